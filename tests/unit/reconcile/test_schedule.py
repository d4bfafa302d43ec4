"""Schedules of the service: from spec and last poll to calls and status."""

from __future__ import annotations

from typing import Any

import pytest

from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Resource
from azure_batch_operator.reconcile.plan import Absent, Plan, Remote
from azure_batch_operator.reconcile.schedule.lifecycle import JobsView, ScheduleScope, has_open_jobs, is_open, plan
from azure_batch_operator.reconcile.target_pool import TargetPoolView
from unit.objects import ACCOUNT, CLUSTER, NO_ACCOUNT, NOW, owned, resource

SPECIFICATION = {"poolRef": {"name": "cpu"}, "jobManagerTask": {"id": "m", "commandLine": "true"}}
SPEC: dict[str, Any] = {"schedule": {"recurrenceInterval": "PT60M"}, "jobSpecification": SPECIFICATION}
# As the service returns it, defaults filled in.
REMOTE: dict[str, Any] = {
    "id": "one", "state": "active", "eTag": "0x1", "schedule": {"recurrenceInterval": "PT1H"},
    "executionInfo": {"nextRunTime": "2027-01-15T09:00:00.3058305Z", "recentJob": {"id": "one:job-2"}},
    "jobSpecification": {
        "poolInfo": {"poolId": "cpu"}, "priority": 0, "maxParallelTasks": -1, "onAllTasksComplete": "noaction",
        "onTaskFailure": "noaction", "usesTaskDependencies": False, "allowTaskPreemption": False,
        "constraints": {"maxWallClockTime": "P10675199DT2H48M5.4775807S", "maxTaskRetryCount": 0},
        "jobManagerTask": {
            "id": "m", "commandLine": "true", "killJobOnCompletion": True, "runExclusive": True, "requiredSlots": 1,
            "allowLowPriorityNode": True, "userIdentity": {"autoUser": {"scope": "pool", "elevationLevel": "nonadmin"}},
            "constraints": {"maxWallClockTime": "P10675199DT2H48M5.4775807S", "retentionTime": "P7D", "maxTaskRetryCount": 0},
        },
    },
}  # fmt: skip


def schedule(spec: dict[str, Any] | None = None, **options: Any) -> Resource:
    return resource(Kind.SCHEDULE, spec or SPEC, **{"finalizer": True, **options})


def decide(
    each: Resource, remote: Remote | dict[str, Any], jobs: Any = None, pool: TargetPoolView | None = None
) -> Plan:
    seen = owned(remote, each) if isinstance(remote, dict) else remote
    return plan(ScheduleScope(each, ACCOUNT, pool or TargetPoolView("cpu"), seen, JobsView((), jobs), CLUSTER, NOW))


def calls(decision: Plan) -> list[str]:
    return [call.verb for call in decision.calls]


def ready(decision: Plan) -> tuple[str, str]:
    assert decision.status is not None
    found = next(each for each in decision.status["conditions"] if each["type"] == "Ready")
    return found["status"], found["reason"]


def test_created_with_the_pool_in_place_of_its_reference() -> None:
    decision = decide(schedule(finalizer=False), Absent.NOT_FOUND)
    [call] = decision.calls
    body = dict(call.body or {})
    assert (decision.finalizer, call.verb, body["id"]) == ("add", "create_schedule", "one")
    assert body["jobSpecification"]["poolInfo"] == {"poolId": "cpu"}
    assert "poolRef" not in body["jobSpecification"]
    assert "suspend" not in body


def test_a_resource_that_matches_its_spec_is_left_alone() -> None:
    decision = decide(schedule(), REMOTE)
    assert calls(decision) == []
    assert ready(decision) == ("True", "Scheduled")
    assert (decision.status or {})["nextRunTime"] == "2027-01-15T09:00:00Z"


@pytest.mark.parametrize(
    ("change", "member"),
    [
        ({"schedule": {"recurrenceInterval": "PT2H"}}, "schedule"),
        ({"schedule": {"recurrenceInterval": "PT1H", "startWindow": "PT5M"}}, "schedule"),
        ({"jobSpecification": SPECIFICATION | {"priority": 5}}, "jobSpecification"),
        ({"jobSpecification": {"poolRef": {"name": "cpu"}}}, "jobSpecification"),
        ({"metadata": [{"name": "a", "value": "b"}]}, "metadata"),
    ],
)
def test_a_change_is_patched_whole_and_not_over_that_of_another_client(change: dict[str, Any], member: str) -> None:
    decision = decide(schedule(SPEC | change), REMOTE)
    [call] = decision.calls
    assert (call.verb, call.if_match) == ("update_schedule", "0x1")
    # The note of what was applied goes with it.
    assert list(call.body or {}) == list(dict.fromkeys([member, "metadata"]))
    assert ready(decision) == ("False", "Updating")


def test_suspended_and_resumed_once_each() -> None:
    suspended = schedule(SPEC | {"suspend": True})
    assert calls(decide(suspended, REMOTE)) == ["disable_schedule"]
    disabled = REMOTE | {"state": "disabled"}
    assert calls(decide(suspended, disabled)) == []
    assert ready(decide(suspended, disabled)) == ("True", "Suspended")
    assert calls(decide(schedule(), disabled)) == ["enable_schedule"]


def test_ended_on_demand_and_then_left() -> None:
    ending = schedule(annotations={"azurebatch.io/terminate": "now"})
    assert calls(decide(ending, REMOTE)) == ["terminate_schedule"]
    over = decide(ending, REMOTE | {"state": "completed"})
    assert calls(over) == []
    assert ready(over) == ("True", "Completed")
    done = schedule(status=dict(over.status or {}))
    assert not is_open(done)
    assert calls(decide(done, Absent.NOT_FOUND)) == [], "a schedule that has ended is not made anew"


@pytest.mark.parametrize("state", ["active", "completed"])
def test_the_number_of_its_jobs_stays_until_they_are_read_again(state: str) -> None:
    known = schedule(status={"phase": "Active", "state": "active", "active": 1})
    assert (decide(known, REMOTE | {"state": state}).status or {})["active"] == 1
    assert (decide(known, REMOTE | {"state": state}, []).status or {})["active"] == 0


def test_a_schedule_that_has_ended_is_read_until_its_jobs_have() -> None:
    ended = {"phase": "Completed", "state": "completed"}
    assert has_open_jobs(schedule(status=ended | {"active": 1}))
    assert has_open_jobs(schedule(status=ended)), "they were never read"
    assert not has_open_jobs(schedule(status=ended | {"active": 0}))
    assert not has_open_jobs(schedule(status={"phase": "Completed"})), "it was terminated before it was created"
    gone = decide(schedule(status=ended | {"active": 1}), Absent.NOT_FOUND)
    assert (gone.status or {})["active"] == 0
    assert not has_open_jobs(schedule(status=dict(gone.status or {})))
    never = decide(schedule(status={"phase": "Completed"}), Absent.NOT_FOUND)
    assert "active" not in (never.status or {})


@pytest.mark.parametrize(
    ("specification", "warned"),
    [
        ({}, True),
        ({"onAllTasksComplete": "terminatejob"}, False),
        ({"constraints": {"maxWallClockTime": "PT1H"}}, False),
        ({"jobManagerTask": {"id": "m", "commandLine": "x", "killJobOnCompletion": True}}, False),
        ({"jobManagerTask": {"id": "m", "commandLine": "x", "killJobOnCompletion": False}}, True),
    ],
)
def test_jobs_that_never_end_are_warned_of(specification: dict[str, Any], warned: bool) -> None:
    remote = REMOTE | {"jobSpecification": {"poolInfo": {"poolId": "cpu"}} | specification}
    wanted = schedule(SPEC | {"jobSpecification": {"poolRef": {"name": "cpu"}} | specification})
    assert (ready(decide(wanted, remote))[1] == "JobsNeverEnd") is warned


def test_the_last_jobs_are_shown_with_their_results() -> None:
    jobs = [
        {"id": "one:job-2", "state": "active", "executionInfo": {"startTime": "2027-01-15T08:00:00Z"}},
        {"id": "one:job-1", "state": "completed", "executionInfo": {}, "taskCounts": {"succeeded": 3, "failed": 1}},
    ]
    status = decide(schedule(), REMOTE, jobs).status or {}
    assert status["active"] == 1
    assert [each["id"] for each in status["history"]] == ["one:job-2", "one:job-1"]
    assert (status["history"][1]["succeeded"], status["history"][1]["failed"]) == (3, 1)


def test_waits_for_its_pool_and_its_account() -> None:
    missing = TargetPoolView(None, ("PoolNotFound", "create it"))
    assert ready(decide(schedule(), Absent.NOT_FOUND, pool=missing)) == ("False", "PoolNotFound")
    assert calls(decide(schedule(), REMOTE, pool=missing)) == [], "a pool that has gone is no reason to change anything"
    assert ready(decide(schedule(), REMOTE, pool=missing)) == ("False", "PoolNotFound"), "its spec is not what is so"
    ended = decide(schedule(), REMOTE | {"state": "completed"}, pool=missing)
    assert ready(ended) == ("True", "Completed"), "nothing comes of its pool any more"
    away = plan(ScheduleScope(schedule(), NO_ACCOUNT, TargetPoolView("cpu"), Absent.UNKNOWN, JobsView(), CLUSTER, NOW))
    assert not away.calls


def test_unknown_state_is_waited_for() -> None:
    assert decide(schedule(), Absent.UNKNOWN) == Plan()


def test_a_deleted_object_without_a_resource_is_released() -> None:
    going = schedule(deleting=True)
    assert calls(decide(going, REMOTE)) == ["delete_schedule"]
    assert calls(decide(going, REMOTE | {"state": "deleting"})) == []
    assert decide(going, Absent.NOT_FOUND).finalizer == "remove"


def test_a_foreign_resource_is_left_alone() -> None:
    decision = plan(ScheduleScope(schedule(), ACCOUNT, TargetPoolView("cpu"), REMOTE, JobsView(), CLUSTER, NOW))
    assert calls(decision) == []
    assert ready(decision) == ("False", "OwnershipConflict")
    gone = plan(
        ScheduleScope(schedule(deleting=True), ACCOUNT, TargetPoolView("cpu"), REMOTE, JobsView(), CLUSTER, NOW)
    )
    assert (calls(gone), gone.finalizer) == ([], "remove")


def test_a_schedule_that_has_ended_sees_a_new_generation_also_after_a_restart() -> None:
    condition = {
        "type": "Complete", "status": "True", "reason": "Completed", "message": "m", "observedGeneration": 1,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    ended = {"phase": "Completed", "observedGeneration": 1, "conditions": [condition]}
    shown = decide(schedule(status=ended, generation=2), Absent.UNKNOWN).status or {}
    assert (shown["phase"], shown["observedGeneration"], shown["conditions"][0]["observedGeneration"]) == (
        "Completed",
        2,
        2,
    )
    assert decide(schedule(status=ended), Absent.UNKNOWN) == Plan()
