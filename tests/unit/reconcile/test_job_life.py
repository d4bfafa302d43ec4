"""Jobs: stopped and let go on, ended early, held; what they wait for; and how large their status may become."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from azure_batch_operator.api.resource import Resource
from azure_batch_operator.batch import InvalidRequestError
from azure_batch_operator.batch.job_wire import Job, JobPool
from azure_batch_operator.batch.wire import TaskCounts, build
from azure_batch_operator.reconcile import annotations as oneshot
from azure_batch_operator.reconcile.job import changes as job_changes
from azure_batch_operator.reconcile.job import end as job_end
from azure_batch_operator.reconcile.job import lifecycle
from azure_batch_operator.reconcile.job.scope import JobScope, TasksView
from azure_batch_operator.reconcile.job.spec import JobTerms
from azure_batch_operator.reconcile.job.waiting import waiting_for
from azure_batch_operator.reconcile.observed import FailedNode
from azure_batch_operator.reconcile.plan import Absence, Absent, Feed, Plan, Remote, Table
from azure_batch_operator.reconcile.status import timestamp
from azure_batch_operator.reconcile.target_pool import TargetPoolView
from unit.objects import ACCOUNT, CLUSTER, JOB_SPEC, NOW
from unit.reconcile.test_job import POOL, completed, conditions, counted, decide, failure, job, remote, verbs

RUNNING = TasksView(counts=counted(running=1))
ON_CPU = Job(id="one", state="active", pool_info=JobPool(pool_id="cpu"))


def waits(spec: dict[str, Any], pool: TargetPoolView, tasks: TasksView) -> str | None:
    """What a job on the pool `cpu` waits for."""
    return waiting_for(JobTerms.of(spec), ON_CPU, pool, tasks, blocked=False)


def pending_deadline(one: Resource) -> float | None:
    """Seconds left for the first task of a job to start."""
    return job_end.pending_deadline(one, JobTerms.of(one.spec), NOW)


def held(owner: Resource, state: str = "disabled", **members: Any) -> dict[str, Any]:
    """A job that the operator has disabled."""
    body = remote(owner, state=state, onAllTasksComplete="terminatejob", **members)
    return body | {"metadata": [*body["metadata"], {"name": "azurebatch.io/held", "value": "suspend"}]}


def notes(plan: Plan) -> dict[str, str]:
    """Names and values of the metadata that a plan's PATCH writes."""
    (call,) = [each for each in plan.calls if each.verb == "update_job"]
    assert call.body is not None
    return {item["name"]: item["value"] for item in call.body["metadata"]}


def test_a_job_is_marked_before_it_is_disabled_and_unmarked_after_it_runs() -> None:
    one = job(JOB_SPEC | {"suspend": True, "suspendPolicy": "Wait"}, finalizer=True)
    stopping = decide(one, remote(one, onAllTasksComplete="terminatejob"), RUNNING)
    assert verbs(stopping) == ["update_job", "disable_job"]
    assert notes(stopping)["azurebatch.io/held"] == "suspend"
    assert stopping.calls[1].body == {"disableTasks": "wait"}
    assert verbs(decide(one, held(one), RUNNING)) == []
    assert conditions(decide(one, held(one), RUNNING))["Suspended"] == ("True", "JobSuspended")
    assert verbs(decide(one, held(one, "active"), RUNNING)) == ["disable_job"]
    goes = job(JOB_SPEC, finalizer=True)
    assert verbs(decide(goes, held(goes), RUNNING)) == ["enable_job"]
    assert verbs(decide(goes, held(goes, "enabling"), RUNNING)) == []
    unmarking = decide(goes, held(goes, "active"), RUNNING)
    assert verbs(unmarking) == ["update_job"]
    assert "azurebatch.io/held" not in notes(unmarking)


@pytest.mark.parametrize("why", ["pool", "flee"])
def test_a_job_that_another_client_disabled_moves_disabled(why: str) -> None:
    """Without a mark of the operator's own it is not enabled after the move either (history moved-while-disabled)."""
    one = job(JOB_SPEC | {"backoff": {"maxRequeues": 1, "fallbackPoolId": "safe"}}, finalizer=True)
    there = remote(one, state="disabled", onAllTasksComplete="terminatejob")
    view = replace(RUNNING, most_requeues=2 if why == "flee" else 0)
    (move,) = decide(one, there, view, replace(POOL, id="other", fallback="safe")).calls
    assert move.body == {"poolInfo": {"poolId": "safe" if why == "flee" else "other"}}


def test_a_suspended_job_that_others_deleted_shows_no_state() -> None:
    one = job(JOB_SPEC | {"suspend": True}, finalizer=True)
    stopped = decide(one, held(one), RUNNING).status
    assert stopped is not None
    assert stopped["state"] == "disabled"
    gone = decide(job(one.spec, finalizer=True, status=dict(stopped)), Absent.NOT_FOUND)
    assert gone.status is not None
    assert "state" not in gone.status
    assert gone.status["phase"] == "Suspended"
    assert gone.confirm == (Absence(Table.JOBS, "one"),)


@pytest.mark.parametrize("refused", [False, True])
def test_counts_continue_while_new_tasks_are_wrong_or_refused(*, refused: bool) -> None:
    spec = (
        JOB_SPEC if refused else JOB_SPEC | {"tasks": [{"id": "a", "commandLine": ""}, {"id": "A", "commandLine": ""}]}
    )
    one = job(spec, finalizer=True, status={"phase": "Running", "taskCounts": {"total": 1, "completed": 0}})
    view = replace(RUNNING, counts=counted(running=1, succeeded=4), fingerprint="")
    error = InvalidRequestError("wrong", status=400, code="InvalidPropertyValue") if refused else None
    plan = decide(one, remote(one, full=False), replace(view, refused=error))
    assert conditions(plan)["Ready"] == ("False", "InvalidPropertyValue" if refused else "InvalidTasks")
    assert plan.status is not None
    assert plan.status["taskCounts"]["completed"] == 4
    again = replace(one, annotations={"azurebatch.io/retry-failed": "x"})
    told = decide(again, remote(again, full=False), replace(view, refused=error, retried="x", retried_number=2))
    assert "TasksRetried" in [each.reason for each in told.events], "they run again, and nothing else says so"


def test_a_job_that_another_client_disabled_is_not_enabled() -> None:
    one = job(finalizer=True)
    there = remote(one, state="disabled", onAllTasksComplete="terminatejob")
    assert verbs(decide(one, there, RUNNING)) == []
    assert conditions(decide(one, there, RUNNING))["Ready"] == ("True", "Disabled")


def test_a_job_moves_only_while_it_is_disabled() -> None:
    one = job(finalizer=True)
    there = held(one, poolInfo={"poolId": "old"})
    moving = decide(one, there, RUNNING)
    assert verbs(moving) == ["update_job"]
    assert moving.calls[0].body is not None
    assert moving.calls[0].body["poolInfo"] == {"poolId": "cpu"}
    still = remote(one, poolInfo={"poolId": "old"}, onAllTasksComplete="terminatejob")
    assert verbs(decide(one, still, RUNNING)) == ["update_job", "disable_job"]
    where = {"startTime": "2026-01-01T00:00:00Z", "poolId": "old"}
    shown = decide(one, {**still, "executionInfo": where}, RUNNING).status
    assert shown is not None
    assert shown["poolId"] == "old", "until it has moved it is where it is, and not where the spec wants it"
    # Nowhere to go: it stays.
    lost = TargetPoolView(None, ("PoolNotFound", "gone"))
    assert verbs(decide(one, still, RUNNING, lost)) == []


@pytest.mark.parametrize(
    ("here", "requeues", "expected"),
    [("cpu", 2, []), ("cpu", 3, ["update_job", "disable_job"]), ("safe", 9, []), ("safe", 0, [])],
)
def test_a_job_flees_once(here: str, requeues: int, expected: list[str]) -> None:
    spec = JOB_SPEC | {"backoff": {"maxRequeues": 2, "fallbackPoolId": "safe"}}
    one = job(spec, finalizer=True)
    there = remote(one, poolInfo={"poolId": here}, onAllTasksComplete="terminatejob")
    tasks = replace(RUNNING, most_requeues=requeues)
    assert verbs(decide(one, there, tasks, replace(POOL, fallback="safe"))) == expected


def test_a_deadline_restarts_with_the_resumption_and_rests_in_between() -> None:
    spec = JOB_SPEC | {"activeDeadlineSeconds": 600, "constraints": {"maxTaskRetryCount": 1}}
    start = {"id": "one", "executionInfo": {"startTime": "2026-01-01T00:00:00.1234567Z"}}
    assert job_changes.constraints(JobTerms.of(spec), None) == {"maxTaskRetryCount": 1, "maxWallClockTime": "PT600S"}
    assert job_changes.constraints(JobTerms.of(spec | {"suspend": True}), build(Job, start)) == {"maxTaskRetryCount": 1}
    resumed = {"state": "active", "previousState": "disabled", "stateTransitionTime": "2026-01-01T01:00:00Z"} | start
    assert job_changes.constraints(JobTerms.of(spec), build(Job, resumed)) == {
        "maxTaskRetryCount": 1,
        "maxWallClockTime": "PT4200S",
    }
    shorter = spec | {"constraints": {"maxWallClockTime": "PT1M"}}
    assert job_changes.constraints(JobTerms.of(shorter), None) == {"maxWallClockTime": "PT1M"}
    # A job that is being moved keeps the limit that it has: from its start on, the deadline might be over.
    one = job(JOB_SPEC | {"activeDeadlineSeconds": 600}, finalizer=True)
    there = held(one, constraints={"maxWallClockTime": "PT4200S"}, poolInfo={"poolId": "old"})
    (call,) = decide(one, there, RUNNING).calls
    assert call.body is not None
    assert "constraints" not in call.body


def test_suspended_before_creation_nothing_is_waited_for() -> None:
    one = job(JOB_SPEC | {"suspend": True})
    for there in (Absent.NOT_FOUND, Absent.UNKNOWN):
        decision = decide(one, there, pool=TargetPoolView(None, ("PoolNotFound", "…")))
        assert (verbs(decision), decision.finalizer) == ([], None)
        assert conditions(decision)["Suspended"] == ("True", "JobSuspended")


def test_another_controllers_job_is_not_looked_at() -> None:
    theirs = job(JOB_SPEC | {"managedBy": "acme.io/other"})
    assert decide(theirs, Absent.NOT_FOUND) == Plan()
    ours = job(JOB_SPEC | {"managedBy": "azurebatch.io/operator"})
    assert verbs(decide(ours, Absent.NOT_FOUND)) == ["create_job"]


@pytest.mark.parametrize(
    ("policy", "failed", "expected"),
    [
        ({}, 1, "Failed"),
        ({"maxFailedTasks": 2}, 2, "Complete"),
        ({"maxFailedTasks": 2}, 3, "Failed"),
        ({"maxFailedRatio": 0.3}, 3, "Complete"),
        ({"maxFailedRatio": 0.29}, 3, "Failed"),
        ({"maxFailedRatio": 1}, 10, "Complete"),
    ],
)
def test_so_many_may_fail(policy: dict[str, Any], failed: int, expected: str) -> None:
    factory = {"repeat": {"count": 10}, "repeatTask": {"commandLine": ""}}
    spec = {"poolRef": {"name": "cpu"}, "failurePolicy": policy, "taskFactory": factory}
    one = job(spec, finalizer=True)
    view = TasksView(failed=[failure("1")], failed_count=failed, unfinished=0)
    assert expected in conditions(decide(one, completed(one), view))


def test_held_until_all_is_well() -> None:
    one = job(JOB_SPEC | {"failurePolicy": {"action": "Hold"}}, finalizer=True)
    bad = TasksView(counts=counted(failed=1), failed=[failure("a")], failed_count=1)
    decision = decide(one, remote(one), bad)
    assert verbs(decision) == []
    assert conditions(decision)["Stalled"] == ("True", "TasksFailed")
    again = replace(one, annotations={"azurebatch.io/retry-failed": "x"})
    retrying = decide(again, remote(one), bad)
    assert retrying.retry is not None
    assert (retrying.retry.value, (retrying.status or {}).get("handled")) == ("x", None)
    retried = decide(again, remote(one), replace(bad, retried="x"))
    assert (retried.retry, (retried.status or {})["handled"]) == (None, {"retryFailed": "x"})
    assert verbs(decide(one, remote(one), TasksView(counts=counted(running=1)))) == []
    (call,) = decide(one, remote(one), TasksView(counts=counted(succeeded=1))).calls
    assert call.body == {"onAllTasksComplete": "terminatejob"}


TWO = [{"id": id, "commandLine": "true"} for id in "ab"]
REPLACE = JOB_SPEC | {"taskUpdatePolicy": "Replace", "tasks": TWO}
HOLD = {"failurePolicy": {"action": "Hold"}}


@pytest.mark.parametrize(
    ("spec", "view", "ends"),
    [
        (JOB_SPEC | {"tasks": TWO}, TasksView(counts=counted(running=2)), True),
        (REPLACE, TasksView(counts=counted(running=1, succeeded=1)), False),
        (REPLACE, TasksView(counts=counted(active=1, succeeded=1)), False),
        (REPLACE, TasksView(counts=counted(succeeded=2)), True),
        (REPLACE, TasksView(counts=counted(succeeded=1, failed=1), failed_count=1, failed=[failure("a")]), True),
        (REPLACE | HOLD, TasksView(counts=counted(succeeded=1, failed=1), failed_count=1, failed=[failure("a")]), False),
        (REPLACE | HOLD, TasksView(counts=counted(succeeded=2)), True),
        # Nothing will ever end in it.
        (REPLACE | {"tasks": []}, TasksView(counts=counted(), complete=True), True),
    ],
)  # fmt: skip
def test_with_replace_terminatejob_is_set_only_when_all_tasks_have_ended(
    spec: dict[str, Any], view: TasksView, *, ends: bool
) -> None:
    """Nobody can take it back, and with it the job would end while its last unfinished task is deleted to be added again."""
    one = job(spec, finalizer=True)
    bodies = [call.body or {} for call in decide(one, remote(one), view).calls]
    assert any(body.get("onAllTasksComplete") == "terminatejob" for body in bodies) is ends


@pytest.mark.parametrize("ends", [False, True])
def test_the_feeder_is_told_whether_the_job_ends_with_its_tasks(*, ends: bool) -> None:
    """As it is in Azure Batch, not as the spec has it."""
    one = job(REPLACE, finalizer=True)
    there = remote(one, full=False, onAllTasksComplete="terminatejob" if ends else "noaction")
    feed = decide(one, there, TasksView(counts=counted(running=2))).feed
    assert isinstance(feed, Feed)
    assert feed.ends is ends


@pytest.mark.parametrize("kept", [False, True])
def test_a_task_that_is_not_replaced_says_why(*, kept: bool) -> None:
    one = job(REPLACE, finalizer=True)
    view = TasksView(
        counts=counted(running=2), complete=True, different=["a (commandLine)"], different_count=1, kept=kept
    )
    shown = decide(one, remote(one, onAllTasksComplete="terminatejob"), view).status or {}
    told = next(each for each in shown["conditions"] if each["type"] == "TasksInSync")
    assert (told["status"], told["reason"]) == ("False", "TasksDiffer")
    assert ("so no task is replaced" in told["message"]) is kept
    assert ("set spec.taskUpdatePolicy to Replace" in told["message"]) is not kept


@pytest.mark.parametrize(
    ("policy", "failed"),
    [({"taskUpdatePolicy": "Replace"}, None), ({"failurePolicy": {"action": "Hold", "maxFailedTasks": 1}}, 1)],
    ids=["Replace", "Hold"],
)
def test_lists_decide_when_a_job_that_waits_for_its_tasks_is_told_to_end(
    policy: dict[str, Any], failed: int | None
) -> None:
    two = {"tasks": [{"id": id, "commandLine": ""} for id in "ab"]}
    one = job(JOB_SPEC | two | policy, finalizer=True)
    both = TasksView(counts=counted(succeeded=2))
    (call,) = decide(one, remote(one), both).calls
    assert call.body == {"onAllTasksComplete": "terminatejob"}
    assert call.if_match == "0x1"
    assert call.evidence is not None
    wanted = [("state ne 'completed'", 0, 0)]
    wanted += [] if failed is None else [("executionInfo/result eq 'failure'", 0, failed)]
    assert [(each.filter, each.least, each.most) for each in call.evidence.tasks] == wanted
    # One is gone, or not counted yet.
    (call,) = decide(one, remote(one), TasksView(counts=counted(succeeded=1))).calls
    assert call.evidence is not None
    young = remote(one, creationTime=timestamp(NOW - 100))
    soon = decide(one, young, TasksView(counts=counted(succeeded=1)))
    assert (soon.calls, soon.requeue_after) == ((), 200.0)
    # Lists have shown otherwise a moment ago.
    seen = decide(one, remote(one), replace(both, unfinished_at=NOW - 10))
    assert (seen.calls, seen.requeue_after) == ((), 20.0)
    assert decide(one, remote(one), replace(both, counts=counted(running=1, succeeded=1))).requeue_after is None
    # What else the spec asks for does not wait for that.
    (call,) = decide(one, remote(one, priority=3), both).calls
    assert call.body is not None
    assert (call.body["priority"], "onAllTasksComplete" in call.body) == (0, False)
    assert call.evidence is None


def test_verbs_on_an_ended_job_report_that_they_are_too_late() -> None:
    status = {"phase": "Failed", "observedGeneration": 1}
    late = job(status=status, annotations={"azurebatch.io/retry-failed": "x", "azurebatch.io/terminate": "y"})
    decision = decide(late, completed(late))
    assert [event.reason for event in decision.events] == ["RetryRefused"]
    assert decision.status == status | {"handled": {"retryFailed": "x", "terminate": "y"}}
    assert decide(replace(late, status=decision.status or {}), completed(late)) == Plan()


def test_time_to_live() -> None:
    ended = {"type": "Complete", "status": "True", "lastTransitionTime": timestamp(NOW - 50)}
    status = {"phase": "Succeeded", "observedGeneration": 1, "conditions": [ended]}
    young = job(JOB_SPEC | {"ttlSecondsAfterFinished": 60}, status=status)
    assert decide(young, completed(young)) == Plan(requeue_after=10.0)
    (gone,) = decide(job(JOB_SPEC | {"ttlSecondsAfterFinished": 50}, status=status), completed(young)).objects
    assert (gone.key, gone.uid, gone.body) == (young.key, "uid-1", None)


def test_pending_ends_with_the_first_start_and_rests_while_suspended() -> None:
    limit = JOB_SPEC | {"pendingDeadlineSeconds": 100}
    assert (pending_deadline(job(limit)) or 0) < 0
    assert pending_deadline(job(limit | {"suspend": True})) is None
    assert pending_deadline(job(limit, status={"tasksStartTime": "2026-01-01T00:00:00Z"})) is None
    resumed = {"type": "Suspended", "status": "False", "lastTransitionTime": timestamp(NOW - 10)}
    assert pending_deadline(job(limit, status={"conditions": [resumed]})) == 90.0


def test_a_restart_keeps_speed_and_estimate_until_something_ends() -> None:
    fast = TasksView(counts=counted(running=1, succeeded=3), per_minute=2.5, estimated_end=NOW + 60)
    many = job(JOB_SPEC | {"tasks": [{"id": id, "commandLine": ""} for id in "abcdef"]}, finalizer=True)
    there = remote(many, onAllTasksComplete="terminatejob")
    before = decide(many, there, fast).status or {}
    assert (before["tasksPerMinute"], before["estimatedEndTime"]) == (2.5, timestamp(NOW + 60))
    restarted = replace(fast, per_minute=None, estimated_end=None)
    assert decide(replace(many, status=before), there, restarted).status == before
    more = replace(restarted, counts=counted(running=1, succeeded=4))
    assert "tasksPerMinute" not in (decide(replace(many, status=before), there, more).status or {})


def test_an_expected_end_that_is_past_is_not_shown() -> None:
    many = job(JOB_SPEC | {"tasks": [{"id": id, "commandLine": ""} for id in "abcdef"]}, finalizer=True)
    there = remote(many, onAllTasksComplete="terminatejob")
    fast = TasksView(counts=counted(running=1, succeeded=3), per_minute=2.5, estimated_end=NOW + 60)
    shown = decide(many, there, fast)
    assert shown.requeue_after == 60.0, "somebody must take it away again"
    for view in (replace(fast, estimated_end=NOW), replace(fast, estimated_end=None, per_minute=None)):
        old = {**(shown.status or {}), "estimatedEndTime": timestamp(NOW - 1)}
        late = decide(replace(many, status=old), there, view)
        assert late.requeue_after is None
        assert late.status is not None
        assert (late.status["tasksPerMinute"], late.status.get("estimatedEndTime")) == (2.5, None)
    stopped = decide(many, held(many), fast).status or {}
    assert "estimatedEndTime" not in stopped


STEADY = {"allocationState": "steady", "taskSlotsPerNode": 2}
QUOTA = [{"code": "AccountCoreQuotaReached", "message": "full"}]


@pytest.mark.parametrize(
    ("allocation", "target", "current", "nodes", "words"),
    [
        ("steady", 0, 0, {}, "has no nodes: scale it up"),
        ("steady", 0, 0, None, "has no nodes: scale it up"),
        # It was just created or resized, and no count shows its nodes yet.
        ("steady", 4, 0, {}, "are starting"),
        ("steady", 4, 0, None, "are starting"),
        ("steady", 4, 4, {}, "are starting"),
        ("steady", 4, 4, {"idle": 0}, "are starting"),
        ("resizing", 4, 2, {}, "are starting"),
        ("resizing", 4, 0, {}, "is being resized and has no nodes yet"),
        ("resizing", 4, 0, None, "is being resized and has no nodes yet"),
        ("resizing", 0, 2, {}, "is being resized and has no nodes yet"),
        ("stopping", 4, 4, {"starting": 4}, "are starting"),
        ("steady", 4, 4, {"unusable": 4}, "(unusable)"),
        # Nodes that were not counted may run tasks of other jobs.
        ("steady", 4, 4, None, None),
        ("resizing", 4, 4, None, None),
    ],
)
def test_a_pool_that_comes_up_is_not_to_be_scaled(
    allocation: str, target: int, current: int, nodes: dict[str, int] | None, words: str | None
) -> None:
    for tier in ("Dedicated", "LowPriority"):
        size = {f"target{tier}Nodes": target, f"current{tier}Nodes": current}
        for formula in ({}, {"enableAutoScale": True}) if target else ({},):
            view = TargetPoolView("cpu", remote={"allocationState": allocation, **size, **formula}, nodes=nodes)
            said = waits(JOB_SPEC, view, TasksView(counts=counted(active=1)))
            assert (said is None) if words is None else words in (said or "")


@pytest.mark.parametrize(
    ("pool", "nodes", "words"),
    [
        (Absent.UNKNOWN, {}, None),
        (Absent.NOT_FOUND, {}, "does not exist"),
        (STEADY, {}, "has no nodes: scale it up"),
        (STEADY | {"enableAutoScale": True}, {}, "its autoscale formula sets the number of nodes to 0"),
        (STEADY | {"allocationState": "resizing"}, {}, "is being resized and has no nodes yet"),
        (STEADY | {"resizeErrors": QUOTA}, {}, "AccountCoreQuotaReached: full"),
        (STEADY, {"starting": 1}, "are starting"),
        (
            STEADY,
            {"unusable": 1, "startTaskFailed": 2},
            "(unusable or startTaskFailed): see the condition NodesHealthy",
        ),
        (STEADY, {"offline": 1}, "(offline): scheduling is disabled on them; enable it"),
        (STEADY, {"offline": 1, "unusable": 1}, "(unusable): see the condition NodesHealthy"),
        (
            STEADY | {"state": "deleting"},
            {"running": 1},
            "is being deleted: move the job to another pool with spec.poolRef",
        ),
        (STEADY, {"idle": 1}, None),
        (STEADY, {"running": 1}, "busy with other jobs"),
        (STEADY | {"taskSlotsPerNode": 1}, {"idle": 1}, "needs 2 task slots"),
    ],
)
def test_the_sentence(pool: Remote, nodes: dict[str, int], words: str | None) -> None:
    spec = JOB_SPEC | {"tasks": [{"id": "a", "commandLine": "", "requiredSlots": 2}]}
    view = TargetPoolView("cpu", remote=pool, nodes=nodes)
    said = waits(spec, view, TasksView(counts=counted(active=1)))
    assert (said is None) if words is None else words in (said or "")
    assert waits(spec, view, TasksView(counts=counted(active=1, running=1))) is None


def _wide(*numbers: int) -> list[dict[str, Any]]:
    settings = [{"multiInstanceSettings": {"numberOfInstances": number}} if number else {} for number in numbers]
    return [{"id": f"t{index}", "commandLine": "", **more} for index, more in enumerate(settings)]


@pytest.mark.parametrize(
    ("tasks", "pool", "words"),
    [
        (
            _wide(3, 4),
            {},
            "each task needs 3 nodes at the same time, but the target size of pool 'cpu' is 2: scale it up, or",
        ),
        (_wide(2, 4), {}, "busy with other jobs"),
        (_wide(3, 0), {}, "busy with other jobs"),
        # More nodes may come.
        (_wide(3), {"targetDedicatedNodes": 3}, "busy with other jobs"),
        (_wide(3), {"allocationState": "resizing"}, "busy with other jobs"),
        (_wide(3), {"enableAutoScale": True}, "busy with other jobs"),
    ],
)
def test_who_waits_for_more_nodes_than_there_will_be_does_not_wait_for_others(
    tasks: list[dict[str, Any]], pool: dict[str, Any], words: str
) -> None:
    view = TargetPoolView("cpu", remote=STEADY | {"targetDedicatedNodes": 2} | pool, nodes={"running": 2})
    said = waits(JOB_SPEC | {"tasks": tasks}, view, TasksView(counts=counted(active=1)))
    assert words in (said or "")


@pytest.mark.parametrize("own", [{"multiInstanceSettings": {"numberOfInstances": 3}}, {"requiredSlots": 9}])
def test_nobody_knows_what_tasks_of_others_need(own: dict[str, Any]) -> None:
    view = TargetPoolView("cpu", remote=STEADY | {"targetDedicatedNodes": 2}, nodes={"running": 2})
    spec = JOB_SPEC | {"tasks": [{"id": "own", "commandLine": "", **own}]}
    assert "busy with other jobs" not in (waits(spec, view, TasksView(counts=counted(active=1))) or "")
    assert "each task" not in (waits(spec, view, TasksView(counts=counted(active=2))) or "")


MISSING = "pool 'cpu' does not exist in Azure Batch: "


@pytest.mark.parametrize(
    ("pool", "remedy"),
    [
        ({"poolRef": {"name": "cpu"}}, "create it, or move the job to another pool with spec.poolRef"),
        ({"poolInfo": {"poolId": "cpu"}}, "create it, or move the job to another pool with spec.poolInfo.poolId"),
        ({"poolInfo": {"autoPoolSpecification": {"poolLifetimeOption": "job"}}}, "create a new BatchJob"),
    ],
)
def test_the_remedy_for_a_missing_pool_names_the_field_that_the_spec_has(pool: dict[str, Any], remedy: str) -> None:
    spec = {"tasks": JOB_SPEC["tasks"]} | pool
    view = TargetPoolView("cpu", remote=Absent.NOT_FOUND)
    said = waits(spec, view, TasksView(counts=counted(active=1)))
    assert said == MISSING + remedy


AFTER_A = {"id": "b", "commandLine": "", "dependsOn": {"taskIds": ["a"]}}
AFTER_X = {"id": "c", "commandLine": "", "dependsOn": {"taskIds": ["x"]}}
AFTER_C = {"id": "d", "commandLine": "", "dependsOn": {"taskIds": ["C"]}}
BUSY = "the nodes of pool 'cpu' are busy with other jobs: wait, or scale the pool up"
PERHAPS = (
    "the nodes of pool 'cpu' are busy with other jobs, unless the remaining tasks wait for tasks that they depend on: wait, or "
    "scale the pool up"
)
LACKING = "the remaining tasks depend on a task that the job does not have (first: 'x'): add it, or end the job"


@pytest.mark.parametrize(
    ("more", "numbers", "said"),
    [
        ([AFTER_A], {"active": 2}, BUSY),
        # Which one has ended is not known: b could run, or a may have failed.
        ([AFTER_A], {"active": 1, "completed": 1}, PERHAPS),
        ([AFTER_X], {"active": 2}, BUSY),
        ([AFTER_X], {"active": 1, "completed": 1}, LACKING),
        ([AFTER_X, AFTER_C], {"active": 2, "completed": 1}, LACKING),
        # A BatchTask has joined, which may be x.
        ([AFTER_X], {"active": 2, "completed": 1}, PERHAPS),
    ],
)
def test_busy_nodes_are_named_only_where_a_task_could_run(
    more: list[dict[str, Any]], numbers: dict[str, int], said: str
) -> None:
    spec = JOB_SPEC | {"tasks": [{"id": "a", "commandLine": ""}, *more]}
    view = TargetPoolView("cpu", remote=STEADY, nodes={"running": 1})
    assert waits(spec, view, TasksView(counts=TaskCounts(**numbers))) == said


@pytest.mark.parametrize(
    ("uses", "own", "said"),
    [(True, 0, PERHAPS), (True, 1, PERHAPS), (True, 2, BUSY), (True, 3, BUSY), (False, 0, BUSY)],
)
def test_whether_tasks_that_others_have_added_could_run_is_not_known(uses: bool, own: int, said: str) -> None:
    """The job decides, not the spec: the operator creates jobs that take dependencies, so that BatchTasks may have some."""
    spec = {"poolRef": {"name": "cpu"}, "tasks": [{"id": f"t{number}", "commandLine": ""} for number in range(own)]}
    view = TargetPoolView("cpu", remote=STEADY, nodes={"running": 1})
    there = structs.replace(ON_CPU, uses_task_dependencies=uses)
    assert waiting_for(JobTerms.of(spec), there, view, TasksView(counts=counted(active=2)), blocked=False) == said


def test_reconcile_now_is_noted_beside_what_was_decided() -> None:
    one = job(
        annotations={"azurebatch.io/reconcile-now": "now"}, status={"phase": "Running", "handled": {"terminate": "t"}}
    )
    noted = oneshot.acknowledge(one, Plan())
    assert noted.status == {"phase": "Running", "handled": {"terminate": "t", "reconcileNow": "now"}}
    assert oneshot.acknowledge(replace(one, status=noted.status or {}), Plan()) == Plan()


TEXT = st.text(min_size=1, max_size=3).map(lambda text: text * 1000)


@given(TEXT, st.lists(TEXT, min_size=6, max_size=6), st.integers(1, 10_000_000))
def test_a_status_is_small_whatever_fails(message: str, tails: list[str], number: int) -> None:
    one = job(finalizer=True)
    failed = [
        failure(f"{at}-" + "x" * 60, at, message, stderrTail=tail, stderrProblem=message)
        for at, tail in enumerate(tails)
    ]
    nodes = [FailedNode("preparation", "n" * 64, message=message) for _ in range(20)]
    view = TasksView(
        counts=counted(active=number, failed=number), failed=failed, failed_count=number, node_failures=nodes,
        per_minute=1.5, estimated_end=NOW, retries=number, requeues=number, slots=counted(active=7),
    )  # fmt: skip
    status = decide(one, remote(one, onAllTasksComplete="terminatejob"), view).status
    assert len(json.dumps(status, ensure_ascii=False).encode()) < 16 * 1024
    wrong = InvalidRequestError(message, status=400, code="InvalidPropertyValue")
    refused = decide(replace(one, status=status or {}), remote(one, full=False), replace(view, refused=wrong)).status
    assert len(json.dumps(refused, ensure_ascii=False).encode()) < 16 * 1024


def test_a_terminating_job_is_not_reconciled_in_a_loop() -> None:
    owner = job(spec=JOB_SPEC | {"pendingDeadlineSeconds": 1}, finalizer=True)
    tasks = TasksView(counts=counted(active=1))
    ending = decide(owner, remote(owner, state="terminating"), tasks)
    assert not ending.calls
    assert ending.requeue_after is None, "the deadline is long over; the poller tells when the job has ended"


def test_a_job_with_only_blocked_batch_tasks_ends_if_it_ends_with_its_tasks() -> None:
    view = TasksView(counts=counted(active=2, failed=1), failed=[failure("a")], failed_count=1, others_blocked=2)
    spec = {"poolRef": {"name": "cpu"}}
    for more, verb in (
        ({}, []),
        ({"onAllTasksComplete": "terminatejob"}, ["terminate_job"]),
        ({"onAllTasksComplete": "terminatejob", "onDependencyFailure": "Ignore"}, []),
    ):
        one = job(spec | more, finalizer=True)
        there = remote(one, onAllTasksComplete=more.get("onAllTasksComplete", "noaction"))
        decision = decide(one, there, view)
        assert verbs(decision) == verb
        assert (decision.status or {})["waitingFor"] == (
            "the remaining tasks depend on failed tasks (first: a, exit code 3): run them again with `kubectl azure-batch retry`, "
            "or end the job"
        )
        assert verbs(decide(one, there, replace(view, others_blocked=1))) == []


def test_a_job_that_stays_open_says_so_when_its_tasks_have_ended() -> None:
    view = TasksView(counts=counted(succeeded=2))
    for spec, reason in (
        ({"poolRef": {"name": "cpu"}}, "Active"),
        (JOB_SPEC | {"onAllTasksComplete": "noaction"}, "Active"),
        (JOB_SPEC, "Running"),
    ):
        one = job(spec, finalizer=True)
        shown = decide(one, remote(one), view)
        assert conditions(shown)["Ready"] == ("True", reason)
        assert (shown.status or {})["phase"] == "Running"
        more = decide(one, remote(one), replace(view, counts=counted(running=1, succeeded=2)))
        assert conditions(more)["Ready"] == ("True", "Running")


@pytest.mark.parametrize("more", [{}, {"onAllTasksComplete": "terminatejob"}])
def test_a_job_without_tasks_says_how_it_gets_some_and_how_it_ends(more: dict[str, Any]) -> None:
    one = job({"poolRef": {"name": "cpu"}} | more, finalizer=True)
    shown = decide(one, remote(one), TasksView(counts=counted()))
    ready = next(each for each in (shown.status or {})["conditions"] if each["type"] == "Ready")
    assert ready["message"] == (
        "the job has no tasks: add tasks, tasksFrom or taskFactory to its spec, or create BatchTasks that reference "
        "it in jobRef. To end it without tasks, set the annotation azurebatch.io/terminate, or delete it"
    )


def test_a_job_whose_tasks_are_on_their_way_does_not_ask_for_tasks() -> None:
    one = job({"poolRef": {"name": "cpu"}}, finalizer=True)
    shown = decide(one, remote(one), TasksView(counts=counted(), others_pending=True))
    ready = next(each for each in (shown.status or {})["conditions"] if each["type"] == "Ready")
    assert (ready["status"], ready["reason"]) == ("True", "Active")
    assert ready["message"] == (
        "no task is in Azure Batch yet: the BatchTasks of the job are being added, or their status says what they wait for"
    )


@pytest.mark.parametrize("seen", [None, "2026-01-01T00:05:00Z"])
def test_the_tasks_of_a_job_that_has_ended_started_before_its_end(seen: str | None) -> None:
    """A short job starts and ends between two polls; the clock of the operator may also be ahead of the service's."""
    end = "2026-01-01T00:00:30.25Z"
    one = job(JOB_SPEC, finalizer=True, status={"tasksStartTime": seen} if seen else {})
    there = remote(one, state="completed", executionInfo={"startTime": "2026-01-01T00:00:00Z", "endTime": end})
    shown = decide(one, there, TasksView(counts=counted(succeeded=2), unfinished=0))
    assert ((shown.status or {})["endTime"], (shown.status or {})["tasksStartTime"]) == (end, end)
    earlier = job(JOB_SPEC, finalizer=True, status={"tasksStartTime": "2026-01-01T00:00:10Z"})
    again = decide(earlier, there, TasksView(counts=counted(succeeded=2), unfinished=0))
    assert (again.status or {})["tasksStartTime"] == "2026-01-01T00:00:10Z"


def test_requeues_by_the_operator_do_not_count_against_the_limit() -> None:
    spec = JOB_SPEC | {"backoff": {"maxRequeues": 0}}
    stopping = job(spec | {"suspend": True}, finalizer=True)
    there = remote(stopping, onAllTasksComplete="terminatejob")
    assert notes(decide(stopping, there, RUNNING))["azurebatch.io/holds"] == "1"
    waiting = job(spec | {"suspend": True, "suspendPolicy": "wait"}, finalizer=True)
    assert "azurebatch.io/holds" not in notes(decide(waiting, there, RUNNING))
    one = job(spec, finalizer=True)
    back = {**there, "metadata": [*there["metadata"], {"name": "azurebatch.io/holds", "value": "1"}]}
    assert verbs(decide(one, back, replace(RUNNING, most_requeues=1))) == []
    assert verbs(decide(one, back, replace(RUNNING, most_requeues=2))) == ["terminate_job"]
    assert verbs(decide(one, there, replace(RUNNING, most_requeues=1))) == ["terminate_job"]
    moving = decide(one, back, RUNNING, replace(POOL, id="other"))
    assert notes(moving)["azurebatch.io/holds"] == "2"


def test_a_flight_that_has_begun_is_brought_to_its_end() -> None:
    one = job(JOB_SPEC | {"backoff": {"maxRequeues": 1, "fallbackPoolId": "safe"}}, finalizer=True)
    there, pool = remote(one, onAllTasksComplete="terminatejob"), replace(POOL, fallback="safe")
    view = replace(RUNNING, most_requeues=2)
    fleeing = decide(one, there, view, pool)
    assert verbs(fleeing) == ["update_job", "disable_job"]
    assert (notes(fleeing)["azurebatch.io/held"], notes(fleeing)["azurebatch.io/holds"]) == ("flee", "1")
    items = [{"name": "azurebatch.io/held", "value": "flee"}, {"name": "azurebatch.io/holds", "value": "1"}]
    stopped = {**there, "metadata": [*there["metadata"], *items], "state": "disabled"}
    (move,) = decide(one, stopped, view, pool).calls
    assert move.body == {"poolInfo": {"poolId": "safe"}}
    arrived = {**stopped, "poolInfo": {"poolId": "safe"}}
    assert verbs(decide(one, arrived, view, pool)) == ["enable_job"]
    settled = decide(one, {**arrived, "state": "active"}, replace(view, most_requeues=3), pool)
    assert "azurebatch.io/held" not in notes(settled)
    assert verbs(settled) == ["update_job"]


SIX = JOB_SPEC | {"tasks": [{"id": id, "commandLine": ""} for id in "abcdef"]}


@pytest.mark.parametrize(
    ("reason", "view", "expected", "words"),
    [
        ("MaxWallClockTimeExpiry", {"failed": 1}, "DeadlineExceeded", "was over when 5 of 6 tasks had succeeded"),
        ("MaxWallClockTimeExpiry", {}, "Succeeded", "all 6 tasks succeeded"),
        ("UserTerminate", {"failed": 2}, "JobTerminated", "was ended (UserTerminate) when 4 of 6 tasks had succeeded"),
        ("because", {"unfinished": 6}, "JobTerminated", "was ended (because) when 0 of 6 tasks had succeeded"),
        ("AllTasksCompleted", {"failed": 2}, "TasksFailed", "2 of 6 tasks failed (first: a, exit code 3)"),
        ("TaskFailed", {"failed": 2}, "TasksFailed", "2 of 6 tasks failed (first: a, exit code 3)"),
        (job_end.ASKED.terminate_reason, {}, "Succeeded", "all 6 tasks succeeded"),
        (job_end.ASKED.terminate_reason, {"failed": 1}, "JobTerminated", "ended the job; 5 of 6 tasks had succeeded"),
        (job_end.TOO_MANY_FAILED.terminate_reason, {"failed": 3}, "TooManyTasksFailed", "(first: a, exit code 3); 3 of 6 tasks"),
    ],
)  # fmt: skip
def test_how_a_job_ends_is_told_by_its_tasks_first(
    reason: str, view: dict[str, int], expected: str, words: str
) -> None:
    """Running tasks that the service ends with their job count as failed, whoever has ended it."""
    one, failed, unfinished = job(SIX, finalizer=True), view.get("failed", 0), view.get("unfinished", 0)
    tasks = TasksView(
        counts=counted(active=unfinished, succeeded=6 - failed - unfinished, failed=failed),
        failed=[failure(id) for id in "abc"[:failed]], failed_count=failed, unfinished=unfinished,
    )  # fmt: skip
    decision = decide(one, completed(one, reason), tasks)
    assert conditions(decision)["Ready"][1] == expected
    assert words in (decision.status or {})["conditions"][0]["message"]


def test_a_job_with_one_task_speaks_of_it_alone() -> None:
    one = job(JOB_SPEC | {"tasks": SIX["tasks"][:1]}, finalizer=True)
    tasks = TasksView(counts=counted(failed=1), failed=[failure("a")], failed_count=1, unfinished=0)
    status = decide(one, completed(one, "AllTasksCompleted"), tasks).status or {}
    assert status["conditions"][0]["message"] == "task 'a' failed (exit code 3)"


def test_a_job_that_ended_by_itself_before_all_tasks_were_in_has_failed() -> None:
    """Also if all tasks of an earlier version of the spec were in and ended well: it has no result for those of its spec."""
    one, tasks = job(SIX, finalizer=True), TasksView(counts=counted(succeeded=2), unfinished=0, fingerprint="later")
    bare = {**completed(one), "metadata": remote(one, full=False)["metadata"]}
    decision = decide(one, bare, tasks)
    assert conditions(decision)["Failed"] == ("True", "TasksMissing")
    message = (decision.status or {})["conditions"][0]["message"]
    assert "4 of 6 tasks are not in the job, which ended before they were added; 2 of 6 tasks had succeeded" in message
    others = [each for each in bare["metadata"] if each["name"] != "azurebatch.io/tasks"]
    grown = {**bare, "metadata": [*others, {"name": "azurebatch.io/tasks", "value": "earlier/1"}]}
    assert conditions(decide(one, grown, tasks))["Failed"] == ("True", "TasksMissing")
    seen = replace(tasks, found=6)
    assert conditions(decide(one, grown, seen))["Complete"] == ("True", "Succeeded"), "lists are exact where counts lag"


@pytest.mark.parametrize(
    ("reason", "view", "expected"),
    [
        ("AllTasksCompleted", {}, "TasksMissing"),
        # Something else than the missing tasks has ended it, or is not over.
        ("AllTasksCompleted", {"unfinished": 1}, "JobTerminated"),
        ("UserTerminate", {}, "JobTerminated"),
        (job_end.ASKED.terminate_reason, {}, "JobTerminated"),
        ("MaxWallClockTimeExpiry", {}, "DeadlineExceeded"),
    ],
)
def test_missing_tasks_are_the_reason_only_where_the_job_ended_by_itself(
    reason: str, view: dict[str, int], expected: str
) -> None:
    one = job(SIX, finalizer=True)
    tasks = TasksView(
        counts=counted(succeeded=2, active=view.get("unfinished", 0)), unfinished=view.get("unfinished", 0)
    )
    bare = {**completed(one, reason), "metadata": remote(one, full=False)["metadata"]}
    assert conditions(decide(one, bare, tasks))["Failed"] == ("True", expected)


@pytest.mark.parametrize(
    ("view", "expected"),
    [({"found": 5}, "TasksMissing"), ({}, "Succeeded"), ({"found": 5, "others_in": 1}, "Succeeded")],
)
def test_a_job_whose_lists_prove_that_a_task_is_gone_has_failed(view: dict[str, int], expected: str) -> None:
    """Counts alone prove nothing, nor does what may be the task of a BatchTask, which has a status itself."""
    one = job(SIX, finalizer=True)
    tasks = TasksView(counts=counted(succeeded=5), unfinished=0, lost=1, **view)  # type: ignore[arg-type]
    shown = decide(one, completed(one), tasks).status or {}
    assert shown["conditions"][0]["reason"] == expected
    words = "1 of 6 tasks is no longer in the job, so nobody knows whether it succeeded"
    assert (words in shown["conditions"][0]["message"]) == (expected == "TasksMissing")


def test_what_a_job_manager_task_has_added_and_deleted_is_not_missing() -> None:
    """The spec says nothing of these tasks."""
    spec = JobTerms.of({"poolRef": {"name": "cpu"}, "jobManagerTask": {"id": "boss", "commandLine": ""}})
    info = {"terminateReason": "JMComplete"}
    tasks = TasksView(counts=counted(succeeded=1), unfinished=0, found=1, lost=1)
    assert job_end.outcome(spec, build(Job, {"id": "one", "executionInfo": info}), tasks, 2).reason == "Succeeded"


@pytest.mark.parametrize(
    ("policy", "failed", "lost", "words", "succeeded"),
    [
        ({}, 0, 1, "5 of 6 tasks succeeded; 1 is no longer in the job", 5),
        ({}, 0, 2, "4 of 6 tasks succeeded; 2 are no longer in the job", 4),
        ({"maxFailedTasks": 1}, 1, 2, "3 of 6 tasks succeeded; 1 failed, as failurePolicy allows, and 2 are no longer in the", 3),
        ({}, 1, 2, "1 of 6 tasks failed", 3),
    ],
)  # fmt: skip
def test_tasks_that_are_no_longer_in_the_job_are_not_counted_as_succeeded(
    policy: dict[str, int], failed: int, lost: int, words: str, succeeded: int
) -> None:
    one = job({**SIX, "failurePolicy": policy}, finalizer=True)
    view = TasksView(counts=counted(succeeded=succeeded, failed=failed), unfinished=0, failed_count=failed, lost=lost)
    shown = decide(one, completed(one), replace(view, failed=[failure("a")][:failed])).status or {}
    assert words in shown["conditions"][0]["message"]
    assert shown["taskCounts"] == {
        "total": 6, "submitted": 6, "active": 0, "running": 0,
        "completed": 6 - lost, "succeeded": succeeded, "failed": failed,
    }  # fmt: skip
    assert shown["progress"] == f"{6 - lost}/6"


@pytest.mark.parametrize(("failed", "reason"), [(0, "Succeeded"), (1, "TasksFailed")])
def test_a_job_that_is_gone_before_its_result_was_certain_has_that_of_its_last_lists(failed: int, reason: str) -> None:
    """If a GET does not find it either; nothing of it is in Azure Batch, so nothing is to be cleaned up."""
    one = job(SIX, status={"state": "completed", "tasksStartTime": "2026-01-01T00:00:00Z"})
    print_ = job_changes.fingerprint(one.spec)
    tasks = TasksView(unfinished=0, failed_count=failed, failed=[failure("a")][:failed], fingerprint=print_)
    scope = JobScope(one, ACCOUNT, POOL, Absent.NOT_FOUND, None, CLUSTER, NOW)
    assert conditions(lifecycle.plan(scope))["Stalled"] == ("True", "JobGone")
    ended = lifecycle.plan(replace(scope, end=(completed(one), tasks)))
    assert conditions(ended)["Ready"][1] == reason
    assert ended.confirm == (Absence(Table.JOBS, "one"),)
    assert ended.finalizer is None
    assert ended.calls == ()
    assert "state" not in (ended.status or {})
    again = job(SIX, status=dict(one.status), annotations={"azurebatch.io/recreate": "1"})
    assert verbs(lifecycle.plan(replace(scope, resource=again, end=(completed(one), tasks)))) == ["create_job"]


def test_tasks_that_were_never_added_are_not_counted_as_ended() -> None:
    one = job(SIX, finalizer=True)
    tasks = TasksView(counts=counted(succeeded=2), unfinished=1)
    partial = completed(one, job_end.ASKED.terminate_reason)
    partial = {**partial, "metadata": remote(one, full=False)["metadata"]}
    decision = decide(one, partial, replace(tasks, lost=4))
    assert conditions(decision)["Failed"] == ("True", "JobTerminated")
    shown = (decision.status or {})["taskCounts"]
    assert (shown["total"], shown["submitted"], shown["completed"], shown["succeeded"]) == (6, 2, 1, 1)


@pytest.mark.parametrize(
    ("tasks", "words"),
    [
        (
            [{"id": "small"}, {"id": "big", "requiredSlots": 8}],
            "task 'big' needs 8 task slots, but the nodes of pool 'cpu' have 2",
        ),
        (
            [{"id": "small"}, {"id": "mpi", "multiInstanceSettings": {"numberOfInstances": 5, "coordinationCommandLine": ""}}],
            "task 'mpi' needs 5 nodes at the same time, but the target size of pool 'cpu' is 3",
        ),
        ([{"id": "mpi", "multiInstanceSettings": {"numberOfInstances": 3, "coordinationCommandLine": ""}}], None),
    ],
)  # fmt: skip
def test_a_task_that_no_node_can_take_is_named_with_both_numbers(
    tasks: list[dict[str, Any]], words: str | None
) -> None:
    spec = {"poolRef": {"name": "cpu"}, "tasks": [{"commandLine": ""} | task for task in tasks]}
    pool = {"taskSlotsPerNode": 2, "targetDedicatedNodes": 2, "targetLowPriorityNodes": 1, "allocationState": "steady"}
    view = TargetPoolView("cpu", remote=pool, nodes={"idle": 3})
    said = waits(spec, view, TasksView(counts=counted(active=1)))
    assert (said or "").partition(": ")[0] == (words or "")
    assert words is None or ("in a new job" in (said or "").partition(": ")[2])
    if "nodes at the same time" in (words or ""):
        # The pool was to have enough nodes, and did not get them.
        short = {
            "targetDedicatedNodes": 8,
            "currentDedicatedNodes": 3,
            "resizeErrors": [{"code": "AccountCoreQuotaReached"}],
        }
        failed = TargetPoolView("cpu", remote=pool | {"targetLowPriorityNodes": 0} | short, nodes={"idle": 3})
        few = waits(spec, failed, TasksView(counts=counted(active=1)))
        assert few == (
            "task 'mpi' needs 5 nodes at the same time, but pool 'cpu' reached only a size of 3 (AccountCoreQuotaReached): "
            "request a higher core quota for the Batch account, or scale its other pools down, or lower numberOfInstances in a new "
            "job"
        )
        growing = replace(failed, remote={**pool, **short, "allocationState": "resizing"})
        assert waits(spec, growing, TasksView(counts=counted(active=1))) == (
            "task 'mpi' needs 5 nodes at the same time, but pool 'cpu' is being resized and has fewer"
        )
    # It may be the one that has ended.
    later = TasksView(counts=counted(active=1, succeeded=1))
    assert waits(spec, view, later) == (said and f"unless it has ended, {said}")
