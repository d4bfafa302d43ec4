"""Tasks: submitted once, two statuses in an ordinary life, and never somebody else's."""

from __future__ import annotations

from typing import Any

from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Resource
from azure_batch_operator.batch import CompletedError
from azure_batch_operator.reconcile.ownership import OWNER_VARIABLE, marker
from azure_batch_operator.reconcile.plan import Absent, Plan
from azure_batch_operator.reconcile.task import JobView, TaskView, plan
from unit.objects import ACCOUNT, CLUSTER, NOW, TASK_SPEC, resource

ACTIVE = JobView(exists=True, id="steps", remote={"id": "steps", "state": "active"}, ours=True)


def task(**options: Any) -> Resource:
    return resource(Kind.TASK, TASK_SPEC | options.pop("spec", {}), **options)


def remote(owner: Resource, state: str = "active", **info: Any) -> dict[str, Any]:
    return {"id": "one", "state": state, "executionInfo": info, "owner": marker(CLUSTER, owner)}


def decide(one: Resource, view: TaskView, job: JobView = ACTIVE) -> Plan:
    return plan(one, ACCOUNT, job, view, CLUSTER, NOW)


def reason(decision: Plan, type_: str = "Ready") -> str:
    assert decision.status is not None
    return str(next(each["reason"] for each in decision.status["conditions"] if each["type"] == type_))


def test_a_new_task_is_submitted_with_finalizer_and_marker() -> None:
    one = task(spec={"environmentSettings": [{"name": "A", "value": "1"}]})
    decision = decide(one, TaskView(Absent.GONE))
    assert decision.finalizer == "add"
    assert decision.status is None
    assert decision.submit == {
        "id": "one",
        "commandLine": "true",
        "environmentSettings": [
            {"name": "A", "value": "1"},
            {"name": OWNER_VARIABLE, "value": "cluster-1/default/BatchTask/one/uid-1"},
        ],
    }


def test_nothing_is_submitted_on_old_news_or_twice() -> None:
    assert decide(task(), TaskView(Absent.UNKNOWN)) == Plan()
    assert decide(task(), TaskView(Absent.GONE, pending=True)) == Plan()


def test_an_ordinary_life_is_two_statuses() -> None:
    one = task(finalizer=True)
    assert decide(one, TaskView(remote(one))).status is None
    running = decide(one, TaskView(remote(one, "running", startTime="t1"))).status
    assert running is not None
    assert running["phase"] == "Running"
    one = task(finalizer=True, status=dict(running))
    done = decide(one, TaskView(remote(one, "completed", result="success", exitCode=0))).status
    assert done is not None
    assert (done["phase"], done["exitCode"]) == ("Succeeded", 0)
    assert decide(task(finalizer=True, status=dict(done)), TaskView(Absent.GONE)) == Plan()


def test_a_task_that_is_prepared_does_not_run_yet() -> None:
    """It has no start time, so a status for it would be one write more than an ordinary life may cost."""
    one = task(finalizer=True)
    assert decide(one, TaskView(remote(one, "preparing"))).status is None


def test_a_failure_says_why() -> None:
    one = task(finalizer=True)
    info = {"result": "failure", "exitCode": 7, "failureInfo": {"code": "FailureExitCode", "message": "bad exit"}}
    decision = decide(one, TaskView(remote(one, "completed", **info) | {"stderrTail": "no space"}))
    assert reason(decision, "Failed") == "FailureExitCode"
    assert decision.status is not None
    assert (decision.status["phase"], decision.status["stderrTail"]) == ("Failed", "no space")


def test_a_task_of_somebody_else_is_never_touched() -> None:
    one = task()
    foreign = remote(one) | {"owner": None}
    decision = decide(one, TaskView(foreign))
    assert decision.submit is None
    assert reason(decision, "Stalled") == "OwnershipConflict"
    assert decide(task(finalizer=True, deleting=True), TaskView(foreign)) == Plan(finalizer="remove")


def test_a_missing_job_is_named() -> None:
    decision = decide(task(), TaskView(), JobView(exists=False))
    assert reason(decision) == "JobNotFound"
    waits = decide(task(), TaskView(Absent.GONE), JobView(exists=True, id="steps", remote=Absent.GONE))
    assert reason(waits) == "WaitingForJob"


def test_a_finished_job_takes_no_more_tasks() -> None:
    error = CompletedError("completed", status=409, code="JobCompleted")
    decision = decide(task(finalizer=True), TaskView(Absent.GONE, refused=error))
    assert decision.submit is None
    assert reason(decision, "Stalled") == "JobCompleted"


def test_a_task_goes_with_its_job() -> None:
    one = task(finalizer=True, deleting=True)
    assert decide(one, TaskView(remote(one)), JobView(exists=False)) == Plan(finalizer="remove")
    gone = JobView(exists=True, id="steps", remote=Absent.GONE)
    assert decide(one, TaskView(remote(one)), gone) == Plan(finalizer="remove")
    going = JobView(exists=True, id="steps", remote={"state": "deleting"}, ours=True)
    assert decide(one, TaskView(remote(one)), going) == Plan()


def test_a_deleted_task_is_deleted_and_let_go_without_a_status() -> None:
    one = task(finalizer=True, deleting=True)
    decision = decide(one, TaskView(remote(one, "running")))
    assert [(call.verb, call.parent, call.id) for call in decision.calls] == [("delete_task", "steps", "one")]
    assert decision.status is None
    assert decide(one, TaskView(Absent.GONE)) == Plan(finalizer="remove")
