"""A member taken out of a spec goes back to what the service has without it; what cannot go back is said."""

from __future__ import annotations

from typing import Any

import pytest

from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.reconcile import applied
from azure_batch_operator.reconcile.job import changes as job_changes
from azure_batch_operator.reconcile.job.scope import TasksView
from azure_batch_operator.reconcile.pool.changes import changes as pool_changes
from azure_batch_operator.reconcile.pool.changes import with_note as pool_with_note
from azure_batch_operator.reconcile.schedule import changes as schedule_changes
from azure_batch_operator.reconcile.schedule.lifecycle import JobsView, ScheduleScope
from azure_batch_operator.reconcile.schedule.lifecycle import plan as schedule_plan
from azure_batch_operator.reconcile.secret_versions import Taken, ValueVersions, noted
from azure_batch_operator.reconcile.task.lifecycle import plan as task_plan
from azure_batch_operator.reconcile.task.scope import JobView, TaskScope, TaskView
from support.typed import observed
from unit.objects import ACCOUNT, CLUSTER, JOB_SPEC, NOW, POOL_SPEC, TASK_SPEC, owned, resource
from unit.reconcile.test_job import POOL, conditions, counted, decide, job, remote, verbs

RUNNING = TasksView(counts=counted(running=1))
UNLIMITED = "P10675199DT2H48M5.4775807S"
SUBNET = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v/subnets/n"
NETWORK = {"subnetId": SUBNET, "skipWithdrawFromVNet": False}
SECRET = {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}


def applied_job(spec: dict[str, Any], **members: Any) -> dict[str, Any]:
    """The job as it is after this spec was applied; `members` as the service returns them."""
    return remote(job(spec), onAllTasksComplete="terminatejob", **members)


def patched(decision: Any) -> dict[str, Any]:
    (call,) = decision.calls
    return {name: value for name, value in call.body.items() if name != "metadata"}


def adopted(body: dict[str, Any]) -> dict[str, Any]:
    """The same resource as if it had been there before its object."""
    items = [item for item in body["metadata"] if item["name"] != "azurebatch.io/applied"]
    return body | {"metadata": [*items, {"name": "azurebatch.io/adopted", "value": "true"}]}


@pytest.mark.parametrize(
    ("before", "there", "back"),
    [
        ({"priority": 5}, {"priority": 5}, {"priority": 0}),
        ({"maxParallelTasks": 3}, {"maxParallelTasks": 3}, {"maxParallelTasks": -1}),
        ({"allowTaskPreemption": True}, {"allowTaskPreemption": True}, {"allowTaskPreemption": False}),
        (
            {"activeDeadlineSeconds": 600},
            {"constraints": {"maxWallClockTime": "PT10M", "maxTaskRetryCount": 0}},
            {"constraints": {"maxWallClockTime": UNLIMITED, "maxTaskRetryCount": 0}},
        ),
        (
            {"backoff": {"taskRetries": 2}},
            {"constraints": {"maxWallClockTime": UNLIMITED, "maxTaskRetryCount": 2}},
            {"constraints": {"maxWallClockTime": UNLIMITED, "maxTaskRetryCount": 0}},
        ),
        (
            {"constraints": {"maxWallClockTime": "PT1H", "maxTaskRetryCount": 2}},
            {"constraints": {"maxWallClockTime": "PT1H", "maxTaskRetryCount": 2}},
            {"constraints": {"maxWallClockTime": UNLIMITED, "maxTaskRetryCount": 0}},
        ),
    ],
    ids=lambda value: ",".join(value),
)
@pytest.mark.parametrize("state", ["active", "disabled"])
def test_removed_properties_of_a_job_return_to_their_defaults(
    before: dict[str, Any], there: dict[str, Any], back: dict[str, Any], state: str
) -> None:
    was = applied_job(JOB_SPEC | before, state=state, **there)
    now = job(JOB_SPEC, finalizer=True, generation=2)
    decision = decide(now, was, RUNNING)
    assert patched(decision) == back
    after = was | dict(decision.calls[0].body or {})
    assert verbs(decide(now, after, RUNNING)) == []


def test_a_default_that_nobody_knows_of_is_not_corrected() -> None:
    """The service may fill in members of the network that the spec does not hold; only a change of the spec counts then."""
    spec = JOB_SPEC | {"networkConfiguration": NETWORK}
    was = applied_job(spec, networkConfiguration=NETWORK | {"novel": "filled in"})
    assert verbs(decide(job(spec, finalizer=True), was, RUNNING)) == []
    other = NETWORK | {"skipWithdrawFromVNet": True}
    decision = decide(job(spec | {"networkConfiguration": other}, finalizer=True), was, RUNNING)
    assert patched(decision) == {"networkConfiguration": other}


def test_an_adopted_job_keeps_what_its_object_has_never_mentioned() -> None:
    limits = {"maxWallClockTime": "PT1H", "maxTaskRetryCount": 2}
    was = adopted(applied_job(JOB_SPEC, priority=5, maxParallelTasks=3, constraints=limits))
    was["metadata"].append({"name": "team", "value": "theirs"})
    one = job(JOB_SPEC, finalizer=True)
    noting = decide(one, was, RUNNING)
    assert patched(noting) == {}
    kept = was | dict(noting.calls[0].body or {})
    assert {"name": "team", "value": "theirs"} in kept["metadata"]
    assert verbs(decide(one, kept, RUNNING)) == []
    # What it says counts from then on, also when it no longer says it; the rest stays.
    says = job(JOB_SPEC | {"priority": 5, "activeDeadlineSeconds": 60}, finalizer=True, generation=2)
    saying = decide(says, kept, RUNNING)
    assert patched(saying) == {"constraints": {"maxWallClockTime": "PT60S", "maxTaskRetryCount": 2}}
    said = kept | dict(saying.calls[0].body or {})
    silent = decide(one, said, RUNNING)
    assert patched(silent) == {
        "priority": 0,
        "constraints": {"maxWallClockTime": UNLIMITED, "maxTaskRetryCount": 0},
    }


def test_a_network_that_cannot_be_taken_away_is_named() -> None:
    was = applied_job(JOB_SPEC | {"networkConfiguration": NETWORK}, networkConfiguration=NETWORK)
    decision = decide(job(JOB_SPEC, finalizer=True), was, RUNNING)
    assert verbs(decision) == []
    assert conditions(decision)["NotApplied"] == ("True", "CannotBeUndone")
    assert conditions(decision)["Ready"] == ("False", "CannotBeUndone")
    assert "spec.networkConfiguration" in str(decision.status)
    # It is not forgotten by a change of something else.
    busier = decide(job(JOB_SPEC | {"priority": 1}, finalizer=True), was, RUNNING)
    after = was | dict(busier.calls[0].body or {})
    assert (
        conditions(decide(job(JOB_SPEC | {"priority": 1}, finalizer=True), after, RUNNING))["NotApplied"][0] == "True"
    )


@pytest.mark.parametrize(
    ("change", "member"),
    [
        ({"onAllTasksComplete": "noaction"}, "spec.onAllTasksComplete is noaction"),
        ({"onAllTasksComplete": "NoAction"}, "spec.onAllTasksComplete is noaction"),
        ({"failurePolicy": {"action": "Hold"}}, "spec.failurePolicy.action is Hold"),
        ({"tasks": []}, "spec.onAllTasksComplete is unset"),
    ],
    ids=str,
)
def test_an_impossible_change_of_a_job_is_reported_and_not_applied(change: dict[str, Any], member: str) -> None:
    one = job(JOB_SPEC | change, finalizer=True)
    decision = decide(one, remote(one, onAllTasksComplete="terminatejob"), RUNNING)
    assert all("onAllTasksComplete" not in (call.body or {}) for call in decision.calls)
    assert conditions(decision)["Ready"] == ("False", "CannotBeUndone")
    assert conditions(decision)["Stalled"] == ("True", "CannotBeUndone")
    assert member in str(decision.status)
    ended = decide(one, remote(one, onAllTasksComplete="terminatejob"), TasksView(counts=counted(succeeded=1)))
    assert "stays open for more" not in str(ended.status)


def test_a_job_that_ends_as_it_should_says_nothing_of_that() -> None:
    held = job(JOB_SPEC | {"failurePolicy": {"action": "Hold"}}, finalizer=True)
    done = decide(held, remote(held, onAllTasksComplete="terminatejob"), TasksView(counts=counted(succeeded=1)))
    plain = job(finalizer=True)
    for decision in (done, decide(plain, remote(plain, onAllTasksComplete="terminatejob"), RUNNING)):
        assert conditions(decision)["Ready"][0] == "True"
        assert "NotApplied" not in conditions(decision)


@pytest.mark.parametrize(
    ("spec", "there", "sent"),
    [
        ({}, {"maxTaskRetryCount": 3}, {"maxTaskRetryCount": 1}),
        ({}, {"maxTaskRetryCount": 1, "maxWallClockTime": "PT1H"}, {"maxTaskRetryCount": 1}),
        ({}, {"maxTaskRetryCount": 1}, None),
        ({"maxTaskRetryCount": 0}, {"maxTaskRetryCount": 0}, None),
    ],
)
def test_a_task_without_retries_of_its_own_has_those_of_its_job(
    spec: dict[str, Any], there: dict[str, Any], sent: dict[str, Any] | None
) -> None:
    one = resource(Kind.TASK, TASK_SPEC | ({"constraints": spec} if spec else {}), finalizer=True)
    marker = f"{CLUSTER}/default/BatchTask/one/uid-1"
    seen = observed({"id": "one", "state": "active", "owner": marker, "constraints": there})
    of_job = {"id": "steps", "state": "active", "constraints": {"maxTaskRetryCount": 1, "maxWallClockTime": "PT9H"}}
    decision = task_plan(
        TaskScope(one, ACCOUNT, JobView(True, "steps", of_job, ours=True), TaskView(seen), CLUSTER, NOW)
    )
    assert [call.body for call in decision.calls] == ([] if sent is None else [{"constraints": sent}])


# --- pools ---


def applied_pool(spec: dict[str, Any], **members: Any) -> dict[str, Any]:
    one = resource(Kind.POOL, spec)
    return pool_with_note(owned(POOL_SPEC | {"id": "one", "eTag": "0x1"} | members, one), spec)


def test_a_pool_that_was_adopted_keeps_what_its_object_has_never_mentioned() -> None:
    there = {
        "displayName": "theirs", "taskSlotsPerNode": 4, "startTask": {"commandLine": "theirs"},
        "userAccounts": [{"name": "u"}], "targetNodeCommunicationMode": "simplified",
    }  # fmt: skip
    was = adopted(applied_pool(POOL_SPEC, **there))
    was["metadata"].append({"name": "team", "value": "theirs"})
    found = pool_changes(POOL_SPEC, None, was, None)
    assert (found.now.keys(), found.empty, found.remove_start_task) == ({"metadata"}, {}, False)
    kept = was | {"metadata": list(found.note)}
    assert {"name": "team", "value": "theirs"} in kept["metadata"]
    assert pool_changes(POOL_SPEC, None, kept, None).names == []
    says = POOL_SPEC | {"displayName": "theirs", "startTask": {"commandLine": "theirs"}, "taskSlotsPerNode": 4}
    said = kept | {"metadata": list(pool_changes(says, None, kept, None).note)}
    silent = pool_changes(POOL_SPEC, None, said, None)
    assert (silent.now["displayName"], dict(silent.empty)) == ("", {"taskSlotsPerNode": 1})
    assert silent.remove_start_task
    assert not {"userAccounts", "targetNodeCommunicationMode"} & (silent.now.keys() | silent.empty.keys())


def test_a_change_of_one_property_is_no_wish_for_another() -> None:
    """What the service fills in is left to it, and what others have changed interrupts nobody, whatever else is changed."""
    spec = POOL_SPEC | {"networkConfiguration": {"enableAcceleratedNetworking": True}, "displayName": "one"}
    novel = {"enableAcceleratedNetworking": True, "novel": "filled in"}
    was = applied_pool(spec, networkConfiguration=novel, displayName="one", enableInterNodeCommunication=True)
    found = pool_changes(spec | {"displayName": "two"}, None, was, None)
    assert (found.names, found.asked) == (["displayName", "enableInterNodeCommunication"], False)
    assert pool_changes(spec | {"taskSlotsPerNode": 2}, None, was, None).asked


def test_a_change_that_waits_for_an_empty_pool_is_recorded_only_when_made() -> None:
    was = applied_pool(POOL_SPEC | {"taskSlotsPerNode": 4, "displayName": "one"}, taskSlotsPerNode=4, displayName="one")
    now = POOL_SPEC | {"displayName": "two"}
    found = pool_changes(now, None, was, None)
    after = was | {"displayName": "two", "metadata": found.now["metadata"]}
    waiting = pool_changes(now, None, after, None)
    assert (waiting.names, waiting.asked) == (["taskSlotsPerNode"], True)


def test_a_default_of_the_account_that_cannot_be_taken_away_is_named() -> None:
    was = applied_pool(POOL_SPEC | {"resourceTags": {"a": "b"}}, resourceTags={"a": "b"})
    found = pool_changes(POOL_SPEC, None, was, None)
    assert (found.stuck, found.names) == (("resourceTags",), [])
    (condition,) = applied.cannot_be_unset(found.stuck, Kind.POOL).values()
    assert "spec.resourceTags" in condition[2]


# --- schedules ---

MANAGER = {"id": "m", "commandLine": "true", "environmentSettings": [SECRET]}
NIGHTLY: dict[str, Any] = {
    "schedule": {"recurrenceInterval": "PT1H"},
    "jobSpecification": {"poolRef": {"name": "cpu"}, "jobManagerTask": MANAGER},
}
ONE, TWO = Taken("digest 1", "version 1"), Taken("digest 2", "version 2")


def applied_schedule(values: ValueVersions, **specification: Any) -> dict[str, Any]:
    """The schedule of `NIGHTLY` as the service returns it, with something that nobody knows of."""
    variable = {"name": "TOKEN", "value": "one"}
    body = {
        "id": "one", "state": "active", "eTag": "0x1", "schedule": {"recurrenceInterval": "PT1H"}, "executionInfo": {},
        "jobSpecification": {
            "poolInfo": {"poolId": "cpu"}, "jobManagerTask": MANAGER | {"environmentSettings": [variable]},
            "novel": "filled in", **specification,
        },
    }  # fmt: skip
    return schedule_changes.with_note(owned(body, resource(Kind.SCHEDULE, NIGHTLY)), NIGHTLY, "cpu", values)


def changed(spec: dict[str, Any], there: dict[str, Any], values: ValueVersions = ValueVersions()) -> dict[str, Any]:  # noqa: B008
    return schedule_changes.changes(spec, "cpu", there, values)


def test_a_schedule_leaves_to_the_service_what_it_fills_in_until_the_spec_changes() -> None:
    there = applied_schedule(ValueVersions(), priority=5)
    assert changed(NIGHTLY, there) == {}
    silent = NIGHTLY | {"jobSpecification": {"poolRef": {"name": "cpu"}}}
    assert changed(silent, there)["jobSpecification"] == {"poolInfo": {"poolId": "cpu"}}


@pytest.mark.parametrize("restarted", [False, True])
def test_a_rotated_secret_reaches_a_schedule_with_one_call(*, restarted: bool) -> None:
    there = applied_schedule(ValueVersions({"jobSpecification": ONE}))
    one = resource(Kind.SCHEDULE, NIGHTLY, finalizer=True)

    def decision(remote: dict[str, Any], values: ValueVersions) -> Any:
        return schedule_plan(ScheduleScope(one, ACCOUNT, POOL, remote, JobsView(), CLUSTER, NOW, values=values))

    assert decision(there, ValueVersions({"jobSpecification": ONE})).calls == ()
    seen = frozenset({"jobSpecification"})
    rotated = ValueVersions({"jobSpecification": TWO}, seen, frozenset() if restarted else seen)
    rotating = decision(there, rotated)
    (call,) = rotating.calls
    assert (call.verb, set(call.body)) == ("update_schedule", {"jobSpecification", "metadata"})
    assert call.digests == {"jobSpecification": "digest 2"}
    assert noted(call.body) == {"jobSpecification": "version 2"}
    rest = decision(there | dict(call.body), ValueVersions({"jobSpecification": TWO}))
    assert (rest.calls, rest.requeue_after) == ((), 300.0)


def test_a_secret_that_was_touched_is_noted_in_the_schedule_and_its_jobs_stay() -> None:
    there = applied_schedule(ValueVersions({"jobSpecification": ONE}))
    touched = changed(NIGHTLY, there, ValueVersions({"jobSpecification": Taken("digest 1", "version 2")}))
    assert touched.keys() == {"metadata"}
    assert changed(NIGHTLY, there | touched, ValueVersions({"jobSpecification": Taken("digest 1", "version 2")})) == {}


def test_an_adopted_schedule_keeps_what_its_object_does_not_mention() -> None:
    there = adopted(applied_schedule(ValueVersions(), priority=5))
    there["schedule"] = {"recurrenceInterval": "PT1H", "startWindow": "PT5M"}
    noting = changed(NIGHTLY, there)
    assert noting.keys() == {"metadata"}
    kept = there | noting
    assert changed(NIGHTLY, kept) == {}
    window = NIGHTLY | {"schedule": {"recurrenceInterval": "PT1H", "startWindow": "PT6M"}}
    said = kept | changed(window, kept)
    assert changed(NIGHTLY, said)["schedule"] == {"recurrenceInterval": "PT1H"}


def test_the_note_names_members_and_no_values() -> None:
    body = job_changes.with_note({"metadata": []}, JOB_SPEC | {"priority": 5, "activeDeadlineSeconds": 60})
    ((name, value),) = ((item["name"], item["value"]) for item in body["metadata"])
    assert name == "azurebatch.io/applied"
    assert [each.partition("=")[0] for each in value.split(",")] == [
        "commonEnvironmentSettings",
        "constraints",
        "priority",
    ]
