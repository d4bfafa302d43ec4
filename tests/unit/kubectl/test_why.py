"""`why` names the cause that an object, its account, its pool or its job show, and none where none shows."""

from __future__ import annotations

from typing import Any

import pytest

from azure_batch_kubectl.why import Around, Unreadable, explain
from unit.kubectl.conftest import thing

Body = dict[str, Any]


def test_a_failed_job_shows_its_failures_and_that_it_cannot_run_again() -> None:
    group = {"exitCode": 3, "count": 2, "taskIds": ["t1", "t7"], "stderrTail": "no licence\n"}
    text = "2 of 10 tasks failed"
    job = thing("BatchJob", "render", ("Failed", "True", "TasksFailed", text), phase="Failed", failures=[group])
    assert str(explain(job, Around())) == (
        "BatchJob render failed (TasksFailed): 2 of 10 tasks failed. 2 tasks failed with exit code 3 (first: t1, t7); the end of "
        "its stderr: 'no licence'. What to do: if the cause is outside of the tasks, such as missing data or a license server, "
        "correct it and create a new BatchJob with spec.retryOf: {name: render}, which runs the failed tasks with the same "
        "commands. If a command or script is wrong, correct it and submit it again as a new job. With failurePolicy.action: "
        "Hold, a job with failed tasks stays open for `kubectl azure-batch retry`."
    )


def test_a_waiting_job_shows_the_trouble_of_its_pool() -> None:
    waits = "pool 'cpu' has no nodes: AccountCoreQuotaReached: the quota is used up"
    job = thing("BatchJob", "render", ("Ready", "True", "Waiting", waits), phase="Waiting", waitingFor=waits)
    failed = ("ResizeFailed", "True", "AccountCoreQuotaReached", "the core quota of the account is 8")
    pool = thing("BatchPool", "cpu", ("Ready", "True", "ResizeIncomplete", "0 of 4 nodes"), failed)
    answer = str(explain(job, Around(pool=pool)))
    assert answer.startswith(f"BatchJob render waits: {waits}.")
    assert (
        "BatchPool cpu has ResizeFailed True (AccountCoreQuotaReached): the core quota of the account is 8." in answer
    )


def test_the_account_is_named_before_the_pool_that_waits_for_it() -> None:
    text = "waiting for BatchPool 'cpu'"
    job = thing("BatchJob", "render", ("Ready", "False", "PoolNotReady", text), phase="Pending")
    account = thing("BatchAccount", "main", ("Ready", "False", "KeyRefused", "the key is wrong"))
    pool = thing("BatchPool", "cpu", ("Ready", "False", "AccountNotReady", "the account is not ready"))
    answer = explain(job, Around(account=account, pool=pool))
    assert answer.evidence == (
        "BatchAccount main is not ready (KeyRefused): the key is wrong",
        "BatchPool cpu is not ready (AccountNotReady): the account is not ready",
    )


def test_what_the_user_may_not_read_is_said_and_not_guessed() -> None:
    job = thing("BatchJob", "render", ("Ready", "False", "AccountNotReady", "the account cannot be used"))
    seen = Unreadable("BatchAccount shared/main", "batchaccounts.azurebatch.io is forbidden")
    answer = explain(job, Around(account=seen))
    assert answer.evidence == ("BatchAccount shared/main cannot be read: batchaccounts.azurebatch.io is forbidden",)


def test_nodes_in_trouble_are_shown_with_their_errors() -> None:
    node = {
        "id": "tvm-1",
        "state": "starttaskfailed",
        "exitCode": 1,
        "errors": ["FailureExitCode"],
        "stderrTail": "apt",
    }
    pool = thing(
        "BatchPool", "cpu", ("Stalled", "True", "NoUsableNodes", "no node can take tasks"), nodesInTrouble=[node]
    )
    assert explain(pool, Around()).evidence == (
        "Node tvm-1 is starttaskfailed: exit code 1; FailureExitCode; the end of the stderr of its start task: 'apt'",
    )


def test_nodes_with_the_same_cause_are_one_line() -> None:
    def node(id: str, error: str, **more: Any) -> Body:
        return {"id": id, "state": "starttaskfailed", "exitCode": 9, "errors": [error], **more}

    troubled = [
        node("n1", "A"), node("n2", "A", stderrTail="no disk"), node("n3", "B"), node("n4", "A"), node("n5", "A"),
    ]  # fmt: skip
    pool = thing("BatchPool", "cpu", ("Stalled", "True", "NoUsableNodes", "none"), nodesInTrouble=troubled)
    assert explain(pool, Around()).evidence == (
        "4 nodes (first: n1, n2, n4) are starttaskfailed: exit code 9; A; the end of the stderr of the start task on n2: 'no disk'",
        "Node n3 is starttaskfailed: exit code 9; B",
    )


REMEDIES = {
    "BatchTask": "job 'j' was deleted, so the task cannot run: delete this BatchTask, or create it again in another job",
    "BatchOperation": "more than 10 targets match: nothing was done. Create a new BatchOperation with most: 10, or with fewer",
}


@pytest.mark.parametrize("kind", REMEDIES)
def test_a_message_with_its_remedy_gets_no_second_one(kind: str) -> None:
    assert explain(thing(kind, "x", ("Failed", "True", "R", REMEDIES[kind])), Around()).remedy is None
    assert explain(thing(kind, "x", ("Failed", "True", "R", "it failed")), Around()).remedy is not None


def test_what_the_verdict_has_named_is_not_said_again() -> None:
    text = "1 target: 1 failed. First: render: X: not now"
    results = [{"target": "render", "outcome": "Failed", "message": "X: not now"}]
    operation = thing("BatchOperation", "o", ("Failed", "True", "TargetsFailed", text), results=results)
    assert explain(operation, Around()).evidence == ()
    results.append({"target": "other", "outcome": "Failed", "message": "X: not now"})
    assert explain(operation, Around()).evidence == ("other: Failed: X: not now",)


@pytest.mark.parametrize(
    ("text", "group", "evidence"),
    [
        (
            "1 of 3 tasks failed (first: licence, exit code 3)",
            {"count": 1, "stderrTail": "no licence"},
            ("The end of its stderr: 'no licence'",),
        ),
        ("task 'licence' failed (exit code 3)", {"count": 1, "stderrProblem": "it is gone"}, ("Its stderr: it is gone",)),
        ("task 'licence' failed (exit code 3)", {"count": 1}, ()),
        ("1 of 3 tasks failed (first: other, exit code 3)", {"count": 1}, ("1 task failed with exit code 3 (first: licence)",)),
        ("2 of 3 tasks failed (first: licence, exit code 3)", {"count": 2}, ("2 tasks failed with exit code 3 (first: licence)",)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("type_", ["Failed", "Ready"])
def test_a_task_that_the_verdict_has_named_is_not_said_again(
    type_: str, text: str, group: Body, evidence: tuple[str, ...]
) -> None:
    phase, reason = ("Failed", "TasksFailed") if type_ == "Failed" else ("Held", "Held")
    group = {"exitCode": 3, "taskIds": ["licence"], **group}
    job = thing("BatchJob", "checks", (type_, "True", reason, text), phase=phase, failures=[group])
    assert explain(job, Around()).evidence == evidence


@pytest.mark.parametrize(
    ("text", "status", "evidence"),
    [
        ("exit code 3: it exited", {"exitCode": 3, "stderrTail": "no"}, ("The end of its stderr: 'no'",)),
        ("exit code 3: it exited", {"exitCode": 3}, ()),
        ("the blob is gone", {"failureInfo": {"code": "BlobNotFound", "message": "the blob is gone"}}, ()),
        ("it was ended", {"exitCode": 3, "stderrTail": "no"}, ("It ended with exit code 3; the end of its stderr: 'no'",)),
    ],
)  # fmt: skip
def test_how_a_batch_task_ended_is_said_once(text: str, status: Body, evidence: tuple[str, ...]) -> None:
    task = thing("BatchTask", "t", ("Failed", "True", "FailureExitCode", text), result="failure", **status)
    assert explain(task, Around()).evidence == evidence


def test_a_queued_task_shows_that_its_job_is_suspended() -> None:
    task = thing("BatchTask", "t1", ("Ready", "True", "Queued", "the task is queued in Azure Batch"), phase="Pending")
    job = thing("BatchJob", "render", ("Suspended", "True", "JobSuspended", "no task runs"), phase="Suspended")
    assert str(explain(task, Around(job=job))) == (
        "BatchTask t1 waits (Queued): the task is queued in Azure Batch. BatchJob render is suspended."
    )


def test_a_failed_operation_names_targets() -> None:
    results = [
        {"target": "n1", "outcome": "Succeeded"},
        {"target": "n2", "outcome": "Unknown", "message": "Azure Batch did not respond to the call"},
    ]
    operation = thing("BatchOperation", "reboot", ("Failed", "True", "OutcomeUnknown", "1 of 2"), results=results)
    assert explain(operation, Around()).evidence == ("n2: Unknown: Azure Batch did not respond to the call",)


@pytest.mark.parametrize(
    ("conditions", "phase", "start"),
    [
        ([("Suspended", "True", "JobSuspended", "")], "Suspended", "BatchJob x is suspended: spec.suspend is true"),
        ([("Ready", "True", "Held", "1 task failed")], "Held", "BatchJob x is held (Held): 1 task failed"),
        ([("Ready", "True", "Disabled", "by another client")], "Disabled", "BatchJob x is disabled (Disabled): by"),
        ([("Skipped", "True", "ReconcileSkipped", "skip")], "", "BatchJob x is left alone (ReconcileSkipped): skip"),
        ([("Ready", "False", "PoolNotFound", "no pool")], "Pending", "BatchJob x waits (PoolNotFound): no pool"),
        ([("Stalled", "True", "InvalidSpec", "bad")], "Stalled", "BatchJob x is stalled (InvalidSpec): bad"),
        ([], "", "BatchJob x waits: the operator has not reconciled it yet"),
    ],
)
def test_each_state_of_a_job_has_its_words(conditions: list[Any], phase: str, start: str) -> None:
    assert str(explain(thing("BatchJob", "x", *conditions, phase=phase), Around())).startswith(start)


HEALTHY = [
    thing("BatchJob", "x", ("Ready", "True", "Running", "the tasks are in Azure Batch"), phase="Running"),
    thing("BatchJob", "x", ("Ready", "True", "Succeeded", "ok"), ("Complete", "True", "Succeeded", "ok")),
    thing("BatchTask", "x", ("Ready", "True", "Queued", "the task is queued in Azure Batch"), phase="Pending"),
    thing("BatchTask", "x", ("Ready", "True", "Running", "the task runs"), phase="Running"),
    thing("BatchPool", "x", ("Ready", "True", "Steady", "4 of 4"), ("NodesHealthy", "True", "Healthy", ""), phase="Steady"),
    thing("BatchAccount", "x", ("Ready", "True", "Connected", "signed in"), ("SecretKept", "True", "", "")),
    thing("BatchOperation", "x", ("Complete", "True", "Succeeded", "2 of 2")),
]  # fmt: skip


@pytest.mark.parametrize("healthy", HEALTHY)
def test_nothing_is_wrong_where_nothing_is(healthy: Body) -> None:
    around = Around(account=HEALTHY[5], pool=HEALTHY[4], job=HEALTHY[0])
    answer = explain(healthy, around)
    assert answer.cause.startswith(f"Nothing is wrong with {healthy['kind']} x")
    assert answer.evidence == ()
    assert answer.remedy is None


def test_a_status_that_is_older_than_the_spec_says_so() -> None:
    job = thing("BatchJob", "x", ("Ready", "True", "Running", ""), phase="Running")
    job["metadata"]["generation"] = 3
    assert "has not yet seen the last change of the spec (generation 3, seen 1)" in str(explain(job, Around()))


def test_that_an_object_does_not_exist_is_said_once() -> None:
    missing = Unreadable("BatchJob team/nowhere", 'batchjobs "nowhere" not found', is_missing=True)
    said = "spec.jobRef names BatchJob 'nowhere', which does not exist in this namespace: create it"
    task = thing("BatchTask", "t", ("Ready", "False", "JobNotFound", said))
    assert explain(task, Around(job=missing)).evidence == ()
    assert explain(thing("BatchTask", "t"), Around(job=missing)).evidence == ("BatchJob team/nowhere does not exist",)


@pytest.mark.parametrize("phase", ["Held", "Running"])
def test_a_job_that_is_open_gets_the_hints_about_its_failed_tasks(phase: str) -> None:
    group = {"exitCode": 2, "count": 1, "taskIds": ["a"]}
    job = thing("BatchJob", "x", ("Ready", "True", phase, "so it is"), phase=phase, failures=[group])
    job["spec"] = {"tasks": [{"id": "a", "commandLine": "ls /data && echo done"}]}
    remedy = explain(job, Around()).remedy or ""
    assert remedy.startswith("run the command line in a shell, with /bin/sh -c")
    assert "gets '&&' as an argument" in remedy
    assert ("kubectl azure-batch retry bj/x" in remedy) is (phase == "Held")
    job["spec"] = {"tasks": [{"id": "a", "commandLine": "ls /data"}]}
    assert "shell" not in (explain(job, Around()).remedy or "")


def test_an_object_that_goes_with_its_namespace_names_where_to_look() -> None:
    job = thing("BatchJob", "render", ("Ready", "True", "Running", "the tasks are in Azure Batch"), phase="Running")
    job["metadata"] |= {"deletionTimestamp": "2026-01-01T00:00:00Z", "namespace": "team-d"}
    assert str(explain(job, Around(is_namespace_ending=True))) == (
        "BatchJob render is being deleted (Running): the tasks are in Azure Batch. Its namespace team-d is being deleted, too. "
        "What to do: if it stays, `kubectl azure-batch doctor -n team-d` names what keeps the namespace."
    )
    assert "namespace" not in str(explain(job, Around()))
