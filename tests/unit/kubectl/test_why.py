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
        "its stderr: 'no licence'. What to do: correct the cause and create a new BatchJob with spec.retryOf: {name: render}, "
        "which runs what has failed: Azure Batch runs no task of a completed job again. With failurePolicy.action: Hold, a job "
        "with failed tasks stays open for `kubectl azure-batch retry`."
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
