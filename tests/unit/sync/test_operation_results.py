"""What a refusal means for a target: a repeated call is often refused for what the first one, whose answer was lost, has done."""

from __future__ import annotations

import pytest

from azure_batch_operator.batch import BatchError, NotFoundError, PreconditionFailedError
from azure_batch_operator.reconcile.adoption import NO_OTHERS
from azure_batch_operator.reconcile.operation_order import Place, Reach, Request, Result
from azure_batch_operator.reconcile.operation_verbs import VERBS
from azure_batch_operator.sync.operations.results import refused
from azure_batch_operator.sync.operations.runs import Lost

CASES: dict[str, list[tuple[int, str, str, str]]] = {
    # A node, pool, job, schedule or task is read before a call is repeated. So what a refusal of the repetition says of it is new.
    "rebootNode": [(404, "NodeNotFound", "Failed", "Failed"), (409, "NodeStateUnusable", "Failed", "Failed")],
    "reimageNode": [(404, "NodeNotFound", "Failed", "Failed")],
    "deallocateNode": [(404, "NodeNotFound", "Failed", "Failed")],
    "startNode": [(404, "NodeNotFound", "Failed", "Failed")],
    "removeNodes": [(404, "NodeNotFound", "Failed", "Failed")],
    "stopResize": [(409, "PoolNotResizing", "Failed", "Failed")],
    "disableNodeScheduling": [(409, "NodeAlreadyInTargetSchedulingState", "Skipped", "Succeeded")],
    "enableNodeScheduling": [(409, "NodeAlreadyInTargetSchedulingState", "Skipped", "Succeeded")],
    "terminateJob": [(409, "JobCompleted", "Skipped", "Succeeded"), (409, "JobBeingTerminated", "Skipped", "Succeeded")],
    "terminateSchedule": [
        (409, "JobScheduleCompleted", "Skipped", "Succeeded"), (409, "JobScheduleBeingTerminated", "Skipped", "Succeeded"),
    ],
    "terminateTasks": [(409, "TaskCompleted", "Skipped", "Succeeded")],
    "reactivateTasks": [
        (409, "TaskNotCompleted", "Skipped", "Succeeded"), (409, "TaskSucceeded", "Skipped", "Succeeded"),
        (412, "ConditionNotMet", "Skipped", "it is read"),
    ],
    # Files and users of nodes are not read.
    "deleteFile": [(404, "FileNotFound", "Skipped", "Succeeded"), (404, "TaskNotFound", "Failed", "Unknown")],
    "deleteNodeUser": [(404, "NodeUserNotFound", "Skipped", "Succeeded"), (404, "NodeNotFound", "Failed", "Unknown")],
    "updateNodeUser": [(404, "NodeUserNotFound", "Failed", "Unknown"), (400, "InvalidPropertyValue", "Failed", "Unknown")],
    "createNodeUser": [(409, "NodeUserExists", "Failed", "Unknown"), (404, "NodeNotFound", "Failed", "Unknown")],
    "uploadNodeLogs": [(404, "NodeNotFound", "Failed", "Unknown")],
}  # fmt: skip
"""Refusals by verb, with the outcome of a first call, and of one that repeats a call without a response."""


def test_each_verb_that_changes_something_has_a_case() -> None:
    assert CASES.keys() == {name for name, verb in VERBS.items() if verb.changes}


@pytest.mark.parametrize(
    ("verb", "status", "code", "first", "repeated"),
    [(verb, *case) for verb, cases in CASES.items() for case in cases],
)
def test_a_refusal_of_the_repeated_call_is_told_from_that_of_the_first(
    verb: str, status: int, code: str, first: str, repeated: str
) -> None:
    kind = {404: NotFoundError, 412: PreconditionFailedError}.get(status, BatchError)
    error = kind("no", status=status, code=code)
    request = Request(verb, {}, Place(pool="p"), Reach(None, "default", "cluster-1", NO_OTHERS), 10)

    def outcome(*, lost: bool) -> str:
        found = refused(request, error, lost=lost)
        return found.outcome if isinstance(found, Result) else "it is read" if isinstance(found, Lost) else "it waits"

    assert outcome(lost=False) == first
    assert outcome(lost=True) == repeated
