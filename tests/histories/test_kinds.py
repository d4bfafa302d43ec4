"""The counts of a run: each step is of the kind that its arguments make it."""

from __future__ import annotations

from typing import Any

import pytest

from histories.history import History
from histories.kinds import counted
from histories.record import Done, Effect, Record, Thing
from histories.tally import replaced


def kinds(*steps: tuple[str, dict[str, Any]], refusal: str = "") -> list[str]:
    return [kind for _, kind in counted(History(1, ()), [Done(1.0, do, args, refusal) for do, args in steps])]


@pytest.mark.parametrize(
    ("effect", "kind"),
    [
        ({"status": 429, "retryAfter": 600}, "429 with a long Retry-After"),
        ({"status": 429, "retryAfter": 1}, "429"),
        ({"status": 429}, "429"),
        ({"status": 503}, "5xx"),
        ({"status": 403, "code": "InsufficientAccountPermissions"}, "403"),
        ({"reset": True}, "reset"),
        ({"reset": True, "landAfter": 5}, "call that lands late"),
        ({"lostAnswer": True}, "answer lost after the effect"),
        ({"truncate": 0.5}, "truncated"),
        ({"partial": {"every": 2}}, "partial"),
        ({"hang": True}, "hang"),
        ({"delay": 3}, "slow"),
    ],
)
def test_a_fault_of_azure_batch_is_known_by_its_effect(effect: dict[str, Any], kind: str) -> None:
    assert kinds(("fault", {"operation": ".*", "effect": effect, "seconds": 1})) == [kind]


def test_a_fault_of_the_api_server_is_known_by_its_answer() -> None:
    faults: tuple[dict[str, Any], ...] = (
        {"status": 409},
        {"status": 429, "retry_after": 9},
        {"lost": "after"},
        {"lost": "before"},
        {"hang": True},
        {"delay": 5},
    )
    assert kinds(*(("api-fault", {"seconds": 1, "verb": "", **each}) for each in faults), ("expire-pages", {})) == [
        "API server 409", "API server 429", "API server answer lost", "API server reset", "API server hang", "API server slow",
        "API server 410",
    ]  # fmt: skip


def test_an_object_of_a_name_that_was_used_is_created_again() -> None:
    body = {"kind": "BatchJob", "metadata": {"name": "a", "namespace": "team"}, "spec": {}}
    apply, gone = ("apply", {"object": body}), ("delete", {"kind": "namespace", "name": "team", "namespace": ""})
    deleted = ("delete", {"kind": "BatchJob", "name": "a", "namespace": "team"})
    again = "re-create under the same name"
    assert kinds(apply, apply, deleted, apply, gone, apply) == [
        "create", "change", "delete", again, "delete a namespace", again,
    ]  # fmt: skip
    assert kinds(apply, apply, refusal="422 invalid") == ["create", "create"], "nothing was created"


@pytest.mark.parametrize(
    ("patch", "kind"),
    [
        ({"spec": {"suspend": True}}, "suspend"),
        ({"spec": {"targetDedicatedNodes": 2}}, "scale"),
        ({"spec": {"targetDedicatedNodes": 2, "taskSlotsPerNode": 1}}, "change"),
        ({"metadata": {"annotations": {"azurebatch.io/adopt": "true"}}}, "adopt"),
        ({"metadata": {"annotations": {"azurebatch.io/terminate": "1"}}}, "annotate"),
    ],
)
def test_a_patch_is_known_by_what_it_changes(patch: dict[str, Any], kind: str) -> None:
    assert kinds(("patch", {"kind": "BatchPool", "name": "p", "patch": patch})) == [kind]


@pytest.mark.parametrize(
    ("history", "kind"),
    [
        (History(1, (), replicas=2), ["operators with leader election"]),
        (History(1, (), {"shards": 4}, replicas=3), ["operators sharing accounts"]),
        (History(1, ()), []),
    ],
)
def test_several_operators_count_once(history: History, kind: list[str]) -> None:
    assert [word for by_user, word in counted(history, []) if not by_user] == kind


def test_a_task_is_replaced_when_the_operator_adds_it_again() -> None:
    def effect(operation: str, *added: str, ours: bool = True) -> Effect:
        parameters = {"jobId": "j"} | ({} if added else {"taskId": "t"})
        return Effect(
            1.0, ours, operation, "/somewhere", parameters, None, Thing("job", "j", None, "1", "active"), added
        )

    deleted, added = effect("Tasks_DeleteTask"), effect("Tasks_CreateTaskCollection", "T", "u")
    assert replaced(Record(effects=[added, deleted, added, added])) == 1
    assert replaced(Record(effects=[effect("Tasks_DeleteTask", ours=False), added])) == 0
