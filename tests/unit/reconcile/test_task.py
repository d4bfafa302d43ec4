"""Tasks: submitted once, two statuses in an ordinary life, and never somebody else's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from azure_batch_operator.api.base import TERMINATE
from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Resource
from azure_batch_operator.batch import CompletedError
from azure_batch_operator.reconcile.observed import ObservedTask
from azure_batch_operator.reconcile.ownership import OWNER_VARIABLE, marker
from azure_batch_operator.reconcile.plan import Absence, Absent, Ended, Evidence, Plan, Table
from azure_batch_operator.reconcile.reconcile_policy import observed_only
from azure_batch_operator.reconcile.task.lifecycle import plan
from azure_batch_operator.reconcile.task.scope import JobView, TaskScope, TaskView, is_blocked, is_open
from support import typed
from unit.objects import ACCOUNT, CLUSTER, NO_ACCOUNT, NOW, TASK_SPEC, resource

ACTIVE = JobView(exists=True, id="steps", remote={"id": "steps", "state": "active"}, ours=True)


def task(**options: Any) -> Resource:
    return resource(Kind.TASK, TASK_SPEC | options.pop("spec", {}), **options)


def remote(owner: Resource, state: str = "active", more: dict[str, Any] | None = None, **info: Any) -> ObservedTask:
    body = {"id": "one", "eTag": "0x1", "state": state, "executionInfo": info, "owner": marker(CLUSTER, owner)}
    return typed.observed(body | (more or {}))


def decide(one: Resource, view: TaskView, job: JobView = ACTIVE) -> Plan:
    return plan(TaskScope(one, ACCOUNT, job, view, CLUSTER, NOW))


def reason(decision: Plan, type_: str = "Ready") -> str:
    assert decision.status is not None
    return str(next(each["reason"] for each in decision.status["conditions"] if each["type"] == type_))


def test_a_new_task_is_submitted_with_finalizer_and_marker() -> None:
    one = task(spec={"environmentSettings": [{"name": "A", "value": "1"}]})
    decision = decide(one, TaskView(Absent.NOT_FOUND))
    assert decision.finalizer == "add"
    assert decision.status is None
    assert decision.submit == {
        "id": "one",
        "commandLine": "true",
        "environmentSettings": [
            {"name": "A", "value": "1"},
            {"name": OWNER_VARIABLE, "value": "cluster-1/default/BatchTask/one/uid-1/one"},
        ],
    }


def test_a_task_goes_to_the_job_that_was_seen_whatever_its_object_is_called() -> None:
    other = replace(ACTIVE, id="nightly-7", remote={"id": "nightly-7", "state": "active"})
    assert decide(task(), TaskView(Absent.NOT_FOUND), other).submit_to == "nightly-7"


@pytest.mark.parametrize(
    ("state", "there"), [("terminating", None), ("completed", None), ("completed", "active")], ids=str
)
def test_a_get_of_the_job_confirms_that_a_task_cannot_run_any_more(state: str, there: str | None) -> None:
    one = task(finalizer=True)
    job = replace(ACTIVE, remote={"id": "steps", "state": state, "creationTime": "2026-01-01T00:00:00Z"})
    decision = decide(one, TaskView(Absent.NOT_FOUND if there is None else remote(one, there)), job)
    assert reason(decision) == "JobFinished"
    assert decision.ended == Ended("steps", "2026-01-01T00:00:00Z")


@pytest.mark.parametrize(
    ("current", "holds"),
    [
        ({"state": "completed", "creationTime": "2026-01-01T00:00:00Z"}, True),
        ({"state": "terminating", "creationTime": "2026-01-01T00:00:00Z"}, True),
        ({"state": "active", "creationTime": "2026-01-01T00:00:00Z"}, False),
        ({"state": "completed", "creationTime": "2026-01-02T00:00:00Z"}, False),
        ({}, False),
    ],
)
def test_only_the_job_that_was_observed_counts_as_ended(current: dict[str, str], holds: bool) -> None:
    assert Ended("steps", "2026-01-01T00:00:00Z").holds(current) is holds


def test_nothing_is_submitted_on_old_news_or_twice() -> None:
    assert decide(task(), TaskView(Absent.UNKNOWN)) == Plan()
    assert decide(task(), TaskView(Absent.NOT_FOUND, pending=True)) == Plan()


def test_a_task_that_nobody_can_have_sent_waits_for_no_list_unless_it_may_only_be_observed() -> None:
    decision = decide(task(), TaskView(Absent.UNKNOWN, never_sent=True))
    assert decision.submit_to == "steps"
    assert decision.finalizer == "add"
    assert decision.unseen
    assert not decide(task(), TaskView(Absent.NOT_FOUND, never_sent=True)).unseen
    # What is there already would not be added, so nothing is said of it yet.
    assert observed_only(task(), decision, NOW) == Plan()
    assert decide(task(), TaskView(Absent.UNKNOWN, pending=True, never_sent=True)) == Plan()
    foreign = replace(ACTIVE, foreign="it belongs to BatchJob other/theirs")
    assert reason(decide(task(), TaskView(Absent.UNKNOWN, never_sent=True), foreign)) == "JobNotAllowed"


def test_a_task_that_nobody_can_have_sent_ends_only_after_a_list() -> None:
    """It may be in the job of a lost cluster; the service checks what is submitted, and nothing else."""
    done = replace(ACTIVE, remote={"id": "steps", "state": "completed"})
    for which, job in ((task(), done), (task(annotations={TERMINATE: "1"}), ACTIVE)):
        assert decide(which, TaskView(Absent.UNKNOWN, never_sent=True), job) == Plan()
        assert (decide(which, TaskView(Absent.NOT_FOUND, never_sent=True), job).status or {})["phase"] == "Failed"


@pytest.mark.parametrize(
    ("job", "why"),
    [
        (replace(ACTIVE, ours=False), "WaitingForJob"),
        (replace(ACTIVE, foreign="it belongs to BatchJob other/theirs"), "JobNotAllowed"),
    ],
)
def test_a_queued_task_is_not_added_to_a_job_that_has_become_foreign(job: JobView, why: str) -> None:
    decision = decide(task(), TaskView(Absent.NOT_FOUND, pending=True), job)
    assert decision.halts
    assert reason(decision) == why
    assert not decide(task(), TaskView(Absent.NOT_FOUND, pending=True)).halts


@pytest.mark.parametrize(
    "job",
    [
        ACTIVE,
        JobView(exists=True, id="steps", remote=Absent.NOT_FOUND),
        replace(ACTIVE, ours=False),
        replace(ACTIVE, exists=False),
    ],
)
def test_a_task_that_is_about_to_be_sent_is_waited_for_before_its_object_goes(job: JobView) -> None:
    assert decide(task(finalizer=True, deleting=True), TaskView(Absent.NOT_FOUND, pending=True), job) == Plan()


def test_an_unreachable_account_does_not_change_waiting_tasks() -> None:
    one = task(finalizer=True)

    def without(view: TaskView) -> Plan:
        return plan(TaskScope(one, NO_ACCOUNT, ACTIVE, view, CLUSTER, NOW))

    assert without(TaskView(remote(one))) == Plan()
    assert without(TaskView(Absent.NOT_FOUND, pending=True)) == Plan()
    assert reason(without(TaskView(Absent.NOT_FOUND))) == "AccountNotReady"
    assert reason(without(TaskView(Absent.UNKNOWN))) == "AccountNotReady"


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
    assert decide(task(finalizer=True, status=dict(done)), TaskView(Absent.NOT_FOUND)) == Plan()


def test_a_task_that_is_prepared_does_not_run_yet() -> None:
    """It has no start time, so a status for it would be one write more than an ordinary life may cost."""
    one = task(finalizer=True)
    assert decide(one, TaskView(remote(one, "preparing"))).status is None


def test_a_failure_says_why() -> None:
    one = task(finalizer=True)
    info = {"result": "failure", "exitCode": 7, "failureInfo": {"code": "FailureExitCode", "message": "bad exit"}}
    decision = decide(one, TaskView(remote(one, "completed", {"stderrTail": "no space"}, **info)))
    assert reason(decision, "Failed") == "FailureExitCode"
    assert decision.status is not None
    assert (decision.status["phase"], decision.status["stderrTail"]) == ("Failed", "no space")


def test_a_foreign_task_is_never_touched() -> None:
    one = task()
    foreign = remote(one, more={"owner": None})
    decision = decide(one, TaskView(foreign))
    assert decision.submit is None
    assert reason(decision, "Stalled") == "OwnershipConflict"
    assert decide(task(finalizer=True, deleting=True), TaskView(foreign)) == Plan(
        finalizer="remove", confirm=(Absence(Table.TASKS, "one", "steps", Evidence()),)
    )


@pytest.mark.parametrize(
    ("owner", "remedy"),
    [
        (None, ", or delete it there"),
        ("cluster-1/default/BatchTask/two/uid-2/one", ", or delete it there"),
        ("cluster-1/team-b/BatchTask/two/uid-2/one", ", or ask the owner of BatchTask team-b/two to delete it"),
    ],
)
def test_a_task_of_another_namespace_is_not_proposed_for_deletion(owner: str | None, remedy: str) -> None:
    decision = decide(task(), TaskView(remote(task(), more={"owner": owner})))
    assert decision.status is not None
    [message] = [each["message"] for each in decision.status["conditions"] if each["type"] == "Ready"]
    assert message.endswith(remedy)


def test_a_missing_job_is_named() -> None:
    decision = decide(task(), TaskView(), JobView(exists=False))
    assert reason(decision) == "JobNotFound"
    waits = decide(task(), TaskView(Absent.NOT_FOUND), JobView(exists=True, id="steps", remote=Absent.NOT_FOUND))
    assert reason(waits) == "WaitingForJob"


def test_a_finished_job_takes_no_more_tasks() -> None:
    error = CompletedError("completed", status=409, code="JobCompleted")
    decision = decide(task(finalizer=True), TaskView(Absent.NOT_FOUND, refused=error))
    assert decision.submit is None
    assert reason(decision, "Stalled") == "JobCompleted"


def test_a_task_goes_with_its_job() -> None:
    one = task(finalizer=True, deleting=True)
    unknown = decide(one, TaskView(remote(one)), JobView(exists=False))
    assert (unknown.finalizer, [each.reason for each in unknown.events]) == ("remove", ["TaskMayRemain"])
    gone = JobView(exists=True, id="steps", remote=Absent.NOT_FOUND)
    assert decide(one, TaskView(remote(one)), gone) == Plan(finalizer="remove", confirm=(Absence(Table.JOBS, "steps"),))
    going = JobView(exists=True, id="steps", remote={"id": "steps", "state": "deleting"}, ours=True)
    assert decide(one, TaskView(remote(one)), going) == Plan()


def test_a_deleted_task_is_deleted_and_released_without_a_status() -> None:
    one = task(finalizer=True, deleting=True)
    decision = decide(one, TaskView(remote(one, "running")))
    assert [(call.verb, call.parent, call.id) for call in decision.calls] == [("delete_task", "steps", "one")]
    assert decision.status is None
    confirm = (Absence(Table.TASKS, "one", "steps"),)
    assert decide(one, TaskView(Absent.NOT_FOUND)) == Plan(finalizer="remove", confirm=confirm)


UNLIMITED = {"maxWallClockTime": "P10675199DT2H48M5.4775807S", "retentionTime": "P7D", "maxTaskRetryCount": 5}
ENDED = {"result": "failure", "exitCode": 1}


def job_in(state: str) -> JobView:
    return JobView(exists=True, id="steps", remote={"id": "steps", "state": state, "executionInfo": {}}, ours=True)


def verbs(decision: Plan) -> list[str]:
    return [call.verb for call in decision.calls]


@pytest.mark.parametrize(
    ("constraints", "there", "changed"),
    [
        (None, UNLIMITED, False),
        (None, None, False),
        ({"maxWallClockTime": "PT60M"}, UNLIMITED | {"maxWallClockTime": "PT1H"}, False),
        ({"retentionTime": "PT168H", "maxTaskRetryCount": 5}, UNLIMITED, False),
        ({"maxTaskRetryCount": 2}, UNLIMITED, True),
        (None, UNLIMITED | {"maxWallClockTime": "PT1H"}, True),
    ],
)
def test_changed_constraints_are_replaced_and_spellings_are_not(
    constraints: dict[str, Any] | None, there: dict[str, Any] | None, *, changed: bool
) -> None:
    one = task(finalizer=True, spec={"constraints": constraints} if constraints else {})
    view = TaskView(remote(one, "running", {"constraints": there} if there else None))
    assert verbs(decide(one, view)) == (["update_task"] if changed else [])
    done = TaskView(remote(one, "completed", {"constraints": there} if there else None, result="success"))
    assert verbs(decide(one, done)) == []


def test_names_become_ids_of_dependencies() -> None:
    one = task(spec={"dependsOnRefs": [{"name": "x"}], "dependsOn": {"taskIds": ["a", "b"]}})
    decision = decide(one, TaskView(Absent.NOT_FOUND, depends_on=["b", "c"]))
    assert decision.submit is not None
    assert decision.submit["dependsOn"] == {"taskIds": ["a", "b", "c"]}
    assert "dependsOnRefs" not in decision.submit
    waits = decide(one, TaskView(Absent.NOT_FOUND, problem=("DependencyNotFound", "create it")))
    assert (waits.submit, reason(waits)) == (None, "DependencyNotFound")


@pytest.mark.parametrize("state", ["terminating", "completed"])
def test_a_job_that_takes_no_more_is_not_asked(state: str) -> None:
    decision = decide(task(), TaskView(Absent.NOT_FOUND), job_in(state))
    assert (decision.submit, reason(decision, "Failed")) == (None, "JobFinished")


def test_a_task_that_its_job_has_left_behind_has_failed() -> None:
    one = task(finalizer=True)
    assert reason(decide(one, TaskView(remote(one)), job_in("completed")), "Failed") == "JobFinished"
    assert decide(one, TaskView(remote(one)), job_in("terminating")).status is None
    seen = task(finalizer=True, status={"state": "running", "phase": "Running", "observedGeneration": 1})
    gone = JobView(exists=True, id="steps", remote=Absent.NOT_FOUND)
    assert reason(decide(seen, TaskView(), gone), "Stalled") == "JobGone"
    assert reason(decide(seen, TaskView(), replace(gone, finished=True)), "Failed") == "JobFinished"


def test_a_task_that_may_have_run_is_looked_up_before_it_counts_as_never_run() -> None:
    """A queued task has no state in its status; a list that lacks it is no proof."""
    ready = {"type": "Ready", "status": "True", "reason": "Queued", "message": "queued"}
    queued = task(finalizer=True, status={"phase": "Pending", "conditions": [ready], "observedGeneration": 1})
    assert decide(queued, TaskView(Absent.NOT_FOUND), job_in("completed")).confirm == (
        Absence(Table.TASKS, queued.remote_id, "steps"),
    )
    assert decide(task(finalizer=True), TaskView(Absent.NOT_FOUND), job_in("completed")).confirm == ()


def test_a_foreign_job_under_the_id_hides_no_message() -> None:
    """What is there is no absence: a GET that finds it would hold the status up forever."""
    seen = task(finalizer=True, status={"state": "running", "phase": "Running", "observedGeneration": 1})
    theirs = replace(job_in("active"), ours=False)
    for view in (theirs, replace(theirs, finished=True)):
        decision = decide(seen, TaskView(), view)
        assert decision.status is not None
        assert decision.confirm == ()


def test_a_failed_task_runs_again_once() -> None:
    failed = {"phase": "Failed", "observedGeneration": 1}
    one = task(finalizer=True, status=failed, annotations={"azurebatch.io/retry-failed": "x"})
    assert is_open(one)
    decision = decide(one, TaskView(remote(one, "completed", **ENDED)))
    assert verbs(decision) == ["reactivate_task"]
    assert decision.status is not None
    assert (decision.status["phase"], decision.status["handled"]) == ("Pending", {"retryFailed": "x"})
    late = decide(one, TaskView(remote(one, "completed", **ENDED)), job_in("completed"))
    assert (verbs(late), [event.reason for event in late.events]) == ([], ["RetryRefused"])
    assert late.status == failed | {"handled": {"retryFailed": "x"}}
    assert not is_open(replace(one, status=late.status or {}))
    good = decide(one, TaskView(remote(one, "completed", result="success")))
    assert (verbs(good), (good.status or {})["handled"]) == ([], {"retryFailed": "x"})


def test_a_task_is_ended_on_demand_or_never_added() -> None:
    one = task(finalizer=True, annotations={"azurebatch.io/terminate": "x"})
    running = decide(one, TaskView(remote(one, "running")))
    assert (verbs(running), (running.status or {})["handled"]) == (["terminate_task"], {"terminate": "x"})
    early = decide(one, TaskView(Absent.NOT_FOUND))
    assert (early.submit, reason(early, "Failed")) == (None, "TaskEnded")


def test_a_job_that_exists_only_in_azure_may_be_missing() -> None:
    one = resource(Kind.TASK, {"jobId": "theirs", "accountRef": {"name": "main"}, "commandLine": "true"})
    decision = decide(one, TaskView(), JobView(exists=True, id="theirs", remote=Absent.NOT_FOUND))
    assert reason(decision) == "JobNotFound"
    assert "spec.jobId" in (decision.status or {})["conditions"][0]["message"]


def test_output_that_comes_later_is_added_to_the_status_once() -> None:
    one = task(finalizer=True)
    ended = remote(one, "completed", {"stderrTail": ""}, result="failure", exitCode=1)
    done = decide(one, TaskView(ended)).status
    assert done is not None
    assert "stderrTail" not in done
    late = typed.output({"stderrTail": "why"})
    assert (decide(one, TaskView(ended, late=late)).status or {})["stderrTail"] == "why"
    closed = task(finalizer=True, status=dict(done))
    shown = decide(closed, TaskView(Absent.NOT_FOUND, late=late)).status
    assert shown == {**done, "stderrTail": "why"}
    assert decide(task(finalizer=True, status=dict(shown)), TaskView(Absent.NOT_FOUND, late=late)) == Plan()


def test_the_output_of_a_task_goes_where_its_job_says() -> None:
    job = JobView(True, "job", ACTIVE.remote, ours=True, upload={"containerUrl": "https://x/c"})
    decision = decide(task(), TaskView(Absent.NOT_FOUND), job)
    assert decision.logs_to == {"containerUrl": "https://x/c", "path": "job"}
    assert decide(task(), TaskView(Absent.NOT_FOUND)).logs_to is None


def test_a_task_of_a_job_that_continues_satisfies_its_dependents() -> None:
    going_on = replace(ACTIVE, goes_on=True)
    body = decide(task(), TaskView(Absent.NOT_FOUND), going_on).submit or {}
    assert body["exitConditions"] == {"default": {"dependencyAction": "satisfy"}}
    assert "exitConditions" not in (decide(task(), TaskView(Absent.NOT_FOUND)).submit or {})


def test_a_task_that_can_never_start_names_the_cause() -> None:
    one = task(finalizer=True)
    waiting = decide(one, TaskView(remote(one), blocked_by="other"))
    assert (reason(waiting), reason(waiting, "Stalled")) == ("DependencyFailed", "DependencyFailed")
    assert waiting.status is not None
    assert "'other'" in waiting.status["conditions"][0]["message"]
    assert waiting.events == ()
    stalled = task(finalizer=True, status=dict(waiting.status))
    assert (is_blocked(one), is_blocked(stalled)) == (False, True)
    assert reason(decide(stalled, TaskView(remote(one)))) == "Queued"
    running = decide(stalled, TaskView(remote(one, "running"), blocked_by="other"))
    assert reason(running) == "Running"
    ended = task(annotations={TERMINATE: "1"}, finalizer=True, status=dict(waiting.status))
    assert [call.verb for call in decide(ended, TaskView(remote(one), blocked_by="other")).calls] == ["terminate_task"]


def test_waiting_for_a_new_account_writes_no_status() -> None:
    """Objects that were made while the operator was down would otherwise be written to again."""
    opening = replace(NO_ACCOUNT, opening=True)
    assert plan(TaskScope(task(), opening, ACTIVE, TaskView(), CLUSTER, NOW)) == Plan()
    assert reason(plan(TaskScope(task(), NO_ACCOUNT, ACTIVE, TaskView(), CLUSTER, NOW))) == "AccountNotReady"
    gone = plan(TaskScope(task(deleting=True, finalizer=True), opening, ACTIVE, TaskView(), CLUSTER, NOW))
    assert reason(gone) == "AccountNotReady"


FOREIGN_JOB = JobView(
    exists=True, id="theirs", remote={"id": "theirs", "state": "active"}, ours=True,
    foreign="it belongs to BatchJob other/theirs (uid uid-9) of cluster cluster-1",
)  # fmt: skip


def test_no_task_goes_into_a_job_that_another_namespace_owns() -> None:
    spec = {"jobId": "theirs", "accountRef": {"name": "main"}, "commandLine": "true"}
    decision = plan(TaskScope(resource(Kind.TASK, spec), ACCOUNT, FOREIGN_JOB, TaskView(), CLUSTER, NOW))
    assert (decision.submit, decision.finalizer) == (None, None)
    assert "JobNotAllowed" in str(decision.status)
    assert "BatchJob other/theirs" in str(decision.status)


def test_a_task_that_is_in_already_is_followed_and_deleted_with_its_object() -> None:
    spec = {"jobId": "theirs", "accountRef": {"name": "main"}, "commandLine": "true"}
    one = resource(Kind.TASK, spec, finalizer=True)
    view = TaskView(typed.observed({"id": "one", "state": "running", "owner": marker(CLUSTER, one)}))
    decision = plan(TaskScope(one, ACCOUNT, FOREIGN_JOB, view, CLUSTER, NOW))
    assert (decision.status or {})["phase"] == "Running"
    gone = resource(Kind.TASK, spec, finalizer=True, deleting=True)
    assert [call.verb for call in plan(TaskScope(gone, ACCOUNT, FOREIGN_JOB, view, CLUSTER, NOW)).calls] == [
        "delete_task"
    ]


@pytest.mark.parametrize(
    ("info", "text"),
    [
        (
            {"exitCode": 0, "code": "FileUploadMiscError", "message": "the upload failed", "details": [
                {"name": "FilePath", "value": "wd/out.bin"}, {"name": "UploadUrl", "value": "https://a.blob/results?sv=1&sig=hush"},
            ]},
            "exit code 0: the upload failed (FilePath: wd/out.bin; UploadUrl: https://a.blob/results?…)",
        ),
        (
            {"code": "BlobNotFound", "message": "The specified blob does not exist", "details": [
                {"name": "Message", "value": "The specified blob does not exist"}, {"name": "BlobSource", "value": "https://a.blob/in/x"},
                {"name": "FilePath", "value": "x"},
            ]},
            "The specified blob does not exist (BlobSource: https://a.blob/in/x)",
        ),
        ({"code": "Unknown"}, "the task failed"),
    ],
)  # fmt: skip
def test_the_details_of_a_failure_are_shown_without_signatures(info: dict[str, Any], text: str) -> None:
    one = task()
    failure = {name: value for name, value in info.items() if name != "exitCode"} | {"category": "UserError"}
    more = {"exitCode": info["exitCode"]} if "exitCode" in info else {}
    decision = decide(one, TaskView(remote(one, "completed", result="failure", failureInfo=failure, **more)))
    failed = next(each for each in (decision.status or {})["conditions"] if each["type"] == "Failed")
    assert failed["message"] == text
    assert (decision.status or {})["failureInfo"].get("message", "the task failed") == text.removeprefix(
        "exit code 0: "
    )


def test_a_task_without_a_job_cannot_be_sent() -> None:
    with pytest.raises(ValueError, match="job"):
        Plan(submit={"id": "x"})
