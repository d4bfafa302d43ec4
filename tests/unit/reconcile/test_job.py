"""Jobs: first the job, then its tasks, then onAllTasksComplete; the outcome comes from the tasks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Resource
from azure_batch_operator.batch import InvalidRequestError, QuotaError
from azure_batch_operator.batch.job_wire import Job
from azure_batch_operator.batch.wire import TaskCounts, build
from azure_batch_operator.reconcile.job import changes as job_changes
from azure_batch_operator.reconcile.job import expand
from azure_batch_operator.reconcile.job.end import DEPENDENCY_FAILED
from azure_batch_operator.reconcile.job.lifecycle import plan
from azure_batch_operator.reconcile.job.scope import JobScope, TasksView
from azure_batch_operator.reconcile.job.spec import JobTerms
from azure_batch_operator.reconcile.observed import FailedTask
from azure_batch_operator.reconcile.plan import Absence, Absent, Evidence, Feed, Plan, Remote, Table, TaskEvidence
from azure_batch_operator.reconcile.target_pool import TargetPoolView
from support import typed
from unit.objects import ACCOUNT, CLUSTER, JOB_SPEC, NOW, owned, resource

POOL = TargetPoolView("cpu")
SWEEP = {
    "poolRef": {"name": "cpu"},
    "taskFactory": {
        "parametricSweep": {"parameterSets": [{"start": 1, "end": 10}]},
        "repeatTask": {"commandLine": "r {0}"},
        "mergeTask": {"commandLine": "m"},
    },
}


def job(spec: dict[str, Any] | None = None, **options: Any) -> Resource:
    return resource(Kind.JOB, spec or JOB_SPEC, **options)


def remote(owner: Resource, *, full: bool = True, **members: Any) -> dict[str, Any]:
    """The job of `owner` in Azure Batch as it was last applied; `full` says that it notes that all tasks are in."""
    width = expand.id_width(JobTerms.of(owner.spec))
    note = job_changes.tasks_note(job_changes.fingerprint(owner.spec) if full else "", width)
    body = {
        "metadata": [{"name": "azurebatch.io/tasks", "value": note}] if expand.total(JobTerms.of(owner.spec)) else [],
        "id": "one", "state": "active", "onAllTasksComplete": "noaction", "priority": 0, "poolInfo": {"poolId": "cpu"},
        "eTag": "0x1", "creationTime": "2026-01-01T00:00:00Z",
        "executionInfo": {"startTime": "2026-01-01T00:00:00Z", "poolId": "cpu"},
    }  # fmt: skip
    return job_changes.with_note(owned(body | members, owner), owner.spec)


def completed(owner: Resource, reason: str = "AllTasksCompleted") -> dict[str, Any]:
    info = {"startTime": "2026-01-01T00:00:00Z", "endTime": "2026-01-01T01:00:00Z", "terminateReason": reason}
    return remote(owner, state="completed", executionInfo=info)


def counted(active: int = 0, running: int = 0, succeeded: int = 0, failed: int = 0) -> TaskCounts:
    return TaskCounts(active=active, running=running, completed=succeeded + failed, succeeded=succeeded, failed=failed)


def failure(id: str, code: int = 3, message: str = "bad", **more: str) -> FailedTask:
    info = {"exitCode": code, "failureInfo": {"category": "UserError", "code": "FailureExitCode", "message": message}}
    return typed.failed({"id": id, "executionInfo": info, **more})


def decide(one: Resource, there: Remote, tasks: TasksView = TasksView(), pool: TargetPoolView = POOL) -> Plan:  # noqa: B008
    tasks = replace(tasks, fingerprint=job_changes.fingerprint(one.spec))
    return plan(JobScope(one, ACCOUNT, pool, there, tasks, CLUSTER, NOW, job_changes.origin(one.spec)))


def verbs(decision: Plan) -> list[str]:
    return [call.verb for call in decision.calls]


def conditions(decision: Plan) -> dict[str, tuple[str, str]]:
    assert decision.status is not None
    return {each["type"]: (each["status"], each["reason"]) for each in decision.status["conditions"]}


def by_name(items: list[dict[str, str]]) -> dict[str, str]:
    return {item["name"]: item["value"] for item in items}


def test_a_job_is_created_without_terminatejob() -> None:
    """A job without tasks that terminates when all are complete would end at once (docs/azure-batch.md#jobs)."""
    for spec in (JOB_SPEC, JOB_SPEC | {"onAllTasksComplete": "terminateJob"}, SWEEP):
        (call,) = decide(job(spec), Absent.NOT_FOUND).calls
        assert call.verb == "create_job"
        assert call.body is not None
        assert call.body["onAllTasksComplete"] == "noaction"
        assert call.body["poolInfo"] == {"poolId": "cpu"}
        assert not {"tasks", "taskFactory", "poolRef"} & call.body.keys()
        assert call.body["usesTaskDependencies"] is True


def test_a_job_waits_for_its_pool() -> None:
    decision = decide(job(), Absent.NOT_FOUND, pool=TargetPoolView(None, ("PoolNotFound", "spec.poolRef names …")))
    assert verbs(decision) == []
    assert conditions(decision)["Ready"] == ("False", "PoolNotFound")


def test_an_object_that_waits_is_no_longer_stalled() -> None:
    """Its tasks were wrong, and are corrected while its pool is not there."""
    one = job(status={"observedGeneration": 1, "phase": "Stalled"})
    decision = decide(one, Absent.NOT_FOUND, pool=TargetPoolView(None, ("WaitingForPool", "waiting until …")))
    assert (decision.status or {})["phase"] == "Pending"
    assert "Stalled" not in conditions(decision)


def test_wrong_tasks_stall_before_anything_is_created() -> None:
    spec = JOB_SPEC | {"tasks": [{"id": "a", "commandLine": ""}, {"id": "A", "commandLine": ""}]}
    decision = decide(job(spec), Absent.NOT_FOUND)
    assert verbs(decision) == []
    assert conditions(decision)["Stalled"] == ("True", "InvalidTasks")


def test_tasks_first_then_terminatejob() -> None:
    one = job(finalizer=True)
    feeding = decide(one, remote(one, full=False), TasksView(counts=counted()))
    assert (isinstance(feeding.feed, Feed), verbs(feeding)) == (True, [])
    complete = decide(one, remote(one, full=False), TasksView(counts=counted(), complete=True, submitted=1))
    assert (complete.feed, verbs(complete)) == (None, ["update_job"])
    assert complete.calls[0].body is not None
    assert complete.calls[0].body["onAllTasksComplete"] == "terminatejob"
    assert by_name(complete.calls[0].body["metadata"]) == by_name(remote(one)["metadata"]) | {
        "azurebatch.io/tasks": "05382bc17e228add/1/2026-01-01T00:00:00Z/+"
    }
    done = decide(one, remote(one, onAllTasksComplete="terminatejob"), TasksView(counts=counted(running=1)))
    assert (done.feed, verbs(done)) == (None, [])
    assert conditions(done)["Ready"] == ("True", "Running")


def test_after_a_restart_the_service_knows_whether_all_tasks_are_in() -> None:
    keeps = job(JOB_SPEC | {"onAllTasksComplete": "noaction"}, finalizer=True)
    for full in (True, False):
        decision = decide(keeps, remote(keeps, full=full), TasksView(counts=counted(succeeded=1)))
        assert (decision.feed is None) is full
        assert verbs(decision) == []


def test_a_job_of_batch_tasks_ends_only_after_they_are_in() -> None:
    spec = {"poolRef": {"name": "cpu"}, "onAllTasksComplete": "terminatejob"}
    one = job(spec, finalizer=True)
    assert verbs(decide(one, remote(one), TasksView(counts=counted()))) == []
    assert verbs(decide(one, remote(one), TasksView(counts=counted(active=1), others_pending=True))) == []
    assert verbs(decide(one, remote(one), TasksView(counts=counted(active=1)))) == ["update_job"]


@pytest.mark.parametrize(
    ("wanted", "there", "change"),
    [
        ({"priority": 5}, {}, {"priority": 5}),
        ({"priority": 0}, {}, {}),
        ({"maxParallelTasks": 2}, {"maxParallelTasks": -1}, {"maxParallelTasks": 2}),
        ({"constraints": {"maxWallClockTime": "PT60M"}}, {"constraints": {"maxWallClockTime": "PT1H"}}, {}),
        (
            {"constraints": {"maxTaskRetryCount": 2}},
            {"constraints": {"maxWallClockTime": "P10675199DT2H48M5.4775807S", "maxTaskRetryCount": 0}},
            {"constraints": {"maxWallClockTime": "P10675199DT2H48M5.4775807S", "maxTaskRetryCount": 2}},
        ),
    ],
)
def test_a_changed_property_is_patched_and_a_spelling_is_not(
    wanted: dict[str, Any], there: dict[str, Any], change: dict[str, Any]
) -> None:
    one = job(JOB_SPEC | wanted, finalizer=True)
    decision = decide(
        one, remote(one, onAllTasksComplete="terminatejob", **there), TasksView(counts=counted(running=1))
    )
    assert [dict(call.body or {}) for call in decision.calls] == ([change] if change else [])


def test_changed_metadata_keep_the_marker() -> None:
    one = job(JOB_SPEC | {"metadata": [{"name": "team", "value": "b"}]}, finalizer=True)
    decision = decide(one, remote(one, onAllTasksComplete="terminatejob"), TasksView(counts=counted(running=1)))
    (call,) = decision.calls
    assert call.body is not None
    names = {item["name"] for item in call.body["metadata"]}
    assert names == {"team", "azurebatch.io/owner", "azurebatch.io/tasks", "azurebatch.io/applied"}


def test_success_and_failure_come_from_the_tasks() -> None:
    one = job(finalizer=True)
    reading = decide(one, completed(one), TasksView(counts=counted(succeeded=1)))
    assert conditions(reading)["Ready"] == ("False", "Completing")
    good = decide(one, completed(one), TasksView(counts=counted(succeeded=1), unfinished=0))
    assert conditions(good)["Complete"] == ("True", "Succeeded")
    bad = decide(
        one, completed(one), TasksView(counts=counted(failed=1), failed=[failure("a")], failed_count=1, unfinished=0)
    )
    assert conditions(bad)["Failed"] == ("True", "TasksFailed")
    assert conditions(bad)["Stalled"] == ("True", "TasksFailed")
    assert bad.status is not None
    assert bad.status["failures"][0]["exitCode"] == 3
    assert bad.status["failures"][0]["taskIds"] == ["a"]


def test_counts_that_lag_are_not_believed_at_the_end() -> None:
    one = job(finalizer=True)
    decision = decide(one, completed(one), TasksView(counts=counted(), unfinished=0))
    assert decision.status is not None
    assert decision.status["taskCounts"]["succeeded"] == 1
    assert decision.status["progress"] == "1/1"


def test_a_job_that_was_ended_before_its_tasks_has_failed() -> None:
    one = job(finalizer=True)
    decision = decide(one, completed(one, "UserTerminate"), TasksView(counts=counted(active=1), unfinished=1))
    assert conditions(decision)["Failed"] == ("True", "JobTerminated")


def test_dependents_of_a_failed_task_do_not_hang() -> None:
    one = job(SWEEP, finalizer=True)
    there = remote(one, onAllTasksComplete="terminatejob")
    one_failed = [failure("04")]
    running = TasksView(counts=counted(active=1, running=1, succeeded=8, failed=1), failed=one_failed, failed_count=1)
    assert verbs(decide(one, there, running)) == []
    stuck = TasksView(counts=counted(active=1, succeeded=9, failed=1), failed=one_failed, failed_count=1)
    decision = decide(one, there, stuck)
    assert [(call.verb, call.body) for call in decision.calls] == [
        ("terminate_job", {"terminateReason": DEPENDENCY_FAILED.terminate_reason})
    ]
    on_nodes = "state eq 'preparing' or state eq 'running'"
    assert decision.calls[0].evidence is not None
    assert decision.calls[0].evidence.tasks == (
        TaskEvidence("state eq 'active'", 1, 1),
        TaskEvidence(on_nodes, most=0),
    ), "counts lag, so lists must show the same"
    ignoring = job(SWEEP | {"onDependencyFailure": "Ignore"}, finalizer=True)
    goes_on = decide(ignoring, remote(ignoring, onAllTasksComplete="terminatejob"), stuck)
    assert verbs(goes_on) == []
    assert "depends on" not in (goes_on.status or {}).get("waitingFor", ""), "its task is about to run"
    ended = TasksView(counts=stuck.counts, failed=one_failed, failed_count=1, unfinished=1)
    assert conditions(decide(one, completed(one, DEPENDENCY_FAILED.terminate_reason), ended))["Failed"] == (
        "True",
        "DependencyFailed",
    )


def test_exit_conditions_that_satisfy_dependents_do_not_end_the_job() -> None:
    satisfy = {"exitConditions": {"exitCodes": [{"code": 3, "exitOptions": {"dependencyAction": "satisfy"}}]}}
    spec = JOB_SPEC | {
        "tasks": [
            {"id": "a", "commandLine": ""} | satisfy,
            {"id": "b", "commandLine": "", "dependsOn": {"taskIds": ["a"]}},
        ]
    }
    one = job(spec, finalizer=True)
    there = remote(one, onAllTasksComplete="terminatejob")
    tasks = TasksView(counts=counted(active=1, failed=1), failed=[failure("a", 3)], failed_count=1)
    assert verbs(decide(one, there, tasks)) == []
    tasks = TasksView(counts=counted(active=1, failed=1), failed=[failure("a", 4)], failed_count=1)
    assert verbs(decide(one, there, tasks)) == ["terminate_job"]


def test_a_refused_task_is_shown_and_retried() -> None:
    one = job(finalizer=True)
    wrong = InvalidRequestError("commandLine is too long", status=400, code="InvalidPropertyValue")
    there = remote(one, full=False)
    decision = decide(one, there, TasksView(counts=counted(), refused=wrong, retry_in=77.0))
    assert conditions(decision)["Stalled"] == ("True", "InvalidPropertyValue")
    assert decision.requeue_after == 77.0
    full = decide(one, there, TasksView(counts=counted(), refused=QuotaError("full", status=409, code="Quota")))
    assert full.status is not None
    assert full.status["phase"] == "Queued"


def test_a_foreign_job_is_never_touched() -> None:
    one = job(finalizer=True)
    there = remote(one) | {"metadata": []}
    assert verbs(decide(one, there)) == []
    assert conditions(decide(one, there))["Stalled"] == ("True", "OwnershipConflict")
    assert decide(job(finalizer=True, deleting=True), there) == Plan(
        finalizer="remove", confirm=(Absence(Table.JOBS, "one", foreign=Evidence(created="2026-01-01T00:00:00Z")),)
    )


def test_a_finished_job_is_left_alone_even_if_batch_forgets_it() -> None:
    one = job(finalizer=True, status={"phase": "Succeeded", "observedGeneration": 1})
    for there in (Absent.NOT_FOUND, completed(one)):
        assert decide(one, there) == Plan()


def test_deletion_waits_until_the_job_is_gone() -> None:
    one = job(finalizer=True, deleting=True)
    assert verbs(decide(one, completed(one))) == ["delete_job"]
    assert decide(one, remote(one, state="deleting")).finalizer is None
    assert decide(one, Absent.NOT_FOUND) == Plan(finalizer="remove", confirm=(Absence(Table.JOBS, "one"),))


def test_tasks_that_change_after_the_end_are_refused_once() -> None:
    one = job(finalizer=True)
    going = decide(one, remote(one, onAllTasksComplete="terminatejob"), TasksView(counts=counted(running=1)))
    assert going.status is not None
    done = decide(
        job(finalizer=True, status=dict(going.status)),
        completed(one),
        TasksView(counts=counted(succeeded=1), unfinished=0),
    )
    assert done.status is not None
    assert done.status["tasksFingerprint"] == job_changes.origin(JOB_SPEC)
    policy = JOB_SPEC | {"taskPrunePolicy": "Delete"}
    assert decide(job(policy, status=dict(done.status)), Absent.UNKNOWN).status is None
    other = JOB_SPEC | {"tasks": [{"id": "b", "commandLine": "true"}]}
    changed = decide(job(other, status=dict(done.status), generation=2), Absent.UNKNOWN)
    assert changed.status is not None
    assert conditions(changed)["TasksInSync"] == ("False", "JobFinished")
    assert conditions(changed)["Ready"] == ("True", "Succeeded")
    assert [event.reason for event in changed.events] == ["TasksNotChanged"]
    again = decide(job(other, status=dict(changed.status), generation=2), Absent.UNKNOWN)
    assert (again.status, again.events) == (None, ())
    back = decide(job(JOB_SPEC, status=dict(changed.status), generation=3), Absent.UNKNOWN)
    assert "TasksInSync" not in conditions(back)


def test_a_late_change_is_told_although_its_sources_cannot_be_read() -> None:
    """Nothing is known of a ConfigMap's text then, but the spec itself may have changed (history late-tasks-unread)."""
    before = JOB_SPEC | {"tasksFrom": [{"configMapKeyRef": {"name": "list", "key": "a.yaml"}}]}
    print_ = job_changes.with_contents(job_changes.origin(before), "0123")
    done = {
        "phase": "Succeeded",
        "id": "one",
        "state": "completed",
        "tasksFingerprint": print_,
        "observedGeneration": 1,
    }
    done["conditions"] = [
        {
            "type": type_,
            "status": "True",
            "reason": "Succeeded",
            "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
        for type_ in ("Ready", "Complete")
    ]

    def unread(spec: dict[str, Any]) -> Plan:
        one = job(spec, status=done, generation=2, finalizer=True)
        return plan(JobScope(one, ACCOUNT, POOL, Absent.UNKNOWN, None, CLUSTER, NOW, origin=""))

    assert "TasksInSync" not in conditions(unread(before))
    changed = unread(before | {"tasks": [{"id": "b", "commandLine": "true"}]})
    assert conditions(changed)["TasksInSync"] == ("False", "JobFinished")
    assert [event.reason for event in changed.events] == ["TasksNotChanged"]


def test_a_job_that_ended_unobserved_is_known_to_have_the_tasks_that_its_note_names() -> None:
    """An operator that was killed before it wrote so must not take a later change of the tasks for what they were made from."""
    one = job(finalizer=True)
    ended = TasksView(counts=counted(succeeded=1), unfinished=0)
    done = decide(one, completed(one), ended)
    assert done.status is not None
    assert done.status["tasksFingerprint"] == job_changes.origin(JOB_SPEC)
    other = job(JOB_SPEC | {"tasks": [{"id": "b", "commandLine": "true"}]}, finalizer=True, generation=2)
    changed = decide(other, completed(one), ended)
    assert conditions(changed)["TasksInSync"] == ("False", "JobFinished")
    assert [event.reason for event in changed.events] == ["TasksNotChanged", "Succeeded"]
    assert changed.status is not None
    back = decide(job(JOB_SPEC, status=dict(changed.status), generation=3), Absent.UNKNOWN)
    assert "TasksInSync" not in conditions(back)


@pytest.mark.parametrize("contents", [None, "0123"])
@pytest.mark.parametrize(
    "policies", [{}, {"taskUpdatePolicy": "Replace"}, {"taskUpdatePolicy": "Refuse", "taskPrunePolicy": "Delete"}]
)
def test_sources_are_told_from_a_note_whatever_the_policies_were(
    policies: dict[str, str], contents: str | None
) -> None:
    def origin(spec: dict[str, Any], texts: str | None = contents) -> str:
        return job_changes.with_contents(job_changes.origin(spec), texts)

    spec = JOB_SPEC | {"logs": {"upload": {"containerUrl": "https://here"}}, "onDependencyFailure": "Ignore"}
    print_ = job_changes.with_contents(job_changes.fingerprint(spec | policies), contents)
    there = {"id": "one", "metadata": [{"name": "azurebatch.io/tasks", "value": job_changes.tasks_note(print_, 3)}]}
    made_from = job_changes.made_from(build(Job, there))
    for now in (spec, spec | {"taskPrunePolicy": "Keep", "taskUpdatePolicy": "Replace"}):
        assert job_changes.is_made_from(now, made_from, origin(now)) is True
        assert job_changes.is_made_from(now, made_from, origin(now, "4567")) is False
        assert job_changes.is_made_from(now, made_from, "") is None, "its lists may have changed"
    other = spec | {"tasks": [{"id": "b", "commandLine": "true"}]}
    assert job_changes.is_made_from(other, made_from, origin(other)) is False
    assert job_changes.is_made_from(other, made_from, "") is False
    assert job_changes.is_made_from({"priority": 1}, made_from, "none") is False
    assert job_changes.made_from(build(Job, {"id": "one"})) == ""


def test_the_fingerprint_of_config_maps_is_part_of_the_note() -> None:
    """Other contents are another fingerprint, and the spec's part of it is found again when they cannot be read."""
    print_ = job_changes.fingerprint(JOB_SPEC)
    both = job_changes.with_contents(print_, "0123")
    there = {"id": "one", "metadata": [{"name": "azurebatch.io/tasks", "value": job_changes.tasks_note(both, 3)}]}
    noted, digits = job_changes.noted_tasks(build(Job, there))
    assert (noted, digits, job_changes.without_contents(noted)) == (both, 3, print_)
    assert job_changes.with_contents(print_, None) == print_


def test_tasks_that_continue_regardless_are_other_tasks() -> None:
    """So the feeder looks at them again, and adds those that are not there yet as they shall be."""
    before = job_changes.fingerprint(SWEEP)
    assert job_changes.fingerprint(SWEEP | {"onDependencyFailure": "Fail"}) == before
    assert job_changes.fingerprint(SWEEP | {"onDependencyFailure": "Ignore"}) != before


EMPTY = [
    {"tasks": []},
    {"tasks": [], "tasksFrom": []},
    {
        "taskFactory": {
            "taskPerItem": {"columns": ["a"], "rows": [], "longest": 0},
            "repeatTask": {"commandLine": ""},
            "mergeTask": {"commandLine": ""},
        }
    },
]


@pytest.mark.parametrize("spec", EMPTY)
def test_a_job_with_nothing_to_do_has_succeeded_and_nothing_is_created(spec: dict[str, Any]) -> None:
    one = job({"poolRef": {"name": "cpu"}} | spec)
    decision = decide(one, Absent.NOT_FOUND, pool=TargetPoolView(None, ("PoolNotFound", "no pool")))
    assert decision.calls == ()
    assert (decision.status or {})["phase"] == "Succeeded"
    said = {each["type"]: (each["status"], each["reason"]) for each in (decision.status or {})["conditions"]}
    assert said == {"Ready": ("True", "NothingToDo"), "Complete": ("True", "NothingToDo")}
    assert decide(one, Absent.UNKNOWN).status is None, "nothing is said before a look at Azure Batch"


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"tasks": [], "onAllTasksComplete": "noaction"},
        {"tasks": [], "jobManagerTask": {"id": "m", "commandLine": ""}},
    ],
)
def test_a_job_that_waits_for_tasks_of_others_is_created(more: dict[str, Any]) -> None:
    assert verbs(decide(job({"poolRef": {"name": "cpu"}} | more), Absent.NOT_FOUND)) == ["create_job"]


def test_a_job_that_is_emptied_while_it_lives_ends() -> None:
    one = job({"poolRef": {"name": "cpu"}, "tasks": []})
    (call,) = decide(one, remote(one), TasksView(counts=counted(), complete=True)).calls
    assert (call.verb, (call.body or {})["onAllTasksComplete"]) == ("update_job", "terminatejob")


def test_a_job_with_tasks_of_its_own_waits_for_its_batch_tasks_before_it_ends() -> None:
    one = job()
    there = remote(one)
    waiting = TasksView(counts=counted(active=1), complete=True, others_pending=True)
    assert verbs(decide(one, there, waiting)) == []
    assert verbs(decide(one, there, replace(waiting, others_pending=False))) == ["update_job"]
