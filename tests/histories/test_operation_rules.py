"""The rules about BatchOperations know which call was made by which operation: small records, written by hand."""

from __future__ import annotations

from typing import Any

import pytest

from histories.history import History
from histories.judged import Judged, Violation
from histories.lives import lives
from histories.operations import asked_for, outcomes_are_true
from histories.record import Body, Effect, Record, Version

DELETED = "Tasks_DeleteTaskFile"
FILE: Body = {"taskId": "t", "deleteFile": {"path": "out.txt"}}
OTHER_FILE: Body = {"taskId": "t", "deleteFile": {"path": "err.txt"}}
NODES: Body = {"selector": "all"}
JOB = {"jobId": "j", "taskId": "t"}
NODE = {"poolId": "p", "nodeId": "n"}


def operation(name: str, spec: Body, outcome: str, resource: str, target: str, message: str = "") -> list[Version]:
    """Its versions: attempted at 100 s, and with an outcome 10 s later."""

    def version(time: float, result: Body) -> Version:
        body = {
            "kind": "BatchOperation",
            "metadata": {"name": name, "namespace": "n", "uid": f"u-{name}"},
            "spec": spec,
            "status": {"id": resource, "results": [{"target": target, **result}]},
        }
        return Version(time, "MODIFIED", "batchoperations", "n", name, body)

    return [version(100.0, {"outcome": "Attempted"}), version(110.0, {"outcome": outcome, "message": message})]


def on_task(name: str, spec: Body, outcome: str, message: str = "") -> list[Version]:
    return operation(name, spec, outcome, "j", "t", message)


def on_node(name: str, spec: Body, outcome: str, message: str = "") -> list[Version]:
    return operation(name, spec, outcome, "p", "n", message)


def call(operation: str, parameters: dict[str, str], body: Any = None, time: float = 105.0) -> Effect:
    return Effect(time, True, operation, "/somewhere", parameters, body, None)


def judged(versions: list[Version], *effects: Effect) -> Judged:
    record = Record(versions=versions, effects=[*effects])
    return Judged(History(1, ()), record, lives(record))


def texts(found: list[Violation]) -> list[str]:
    return [str(each) for each in found]


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize(
    ("spec", "effect"),
    [
        (FILE, call(DELETED, JOB | {"filePath": "out.txt"})),
        ({"terminateTasks": {"tasks": {"ids": ["t"]}}}, call("Tasks_TerminateTask", JOB)),
    ],
)
def test_what_one_operation_has_done_was_not_done_by_the_other_one(spec: Body, effect: Effect, first: bool) -> None:
    done, skipped = on_task("done", spec, "Succeeded"), on_task("skipped", spec, "Skipped", "TaskCompleted")
    assert not outcomes_are_true(judged([*done, *skipped] if first else [*skipped, *done], effect))


def test_one_call_is_not_the_success_of_two_operations() -> None:
    versions = [*on_task("a", FILE, "Succeeded"), *on_task("b", FILE, "Succeeded")]
    found = outcomes_are_true(judged(versions, call(DELETED, JOB | {"filePath": "out.txt"})))
    assert texts(found) == ["untrue: BatchOperation n/b (u-b): t is Succeeded (), and nothing was done"]


def test_what_an_operation_has_done_is_not_skipped() -> None:
    found = outcomes_are_true(
        judged(on_task("op", FILE, "Skipped", "gone"), call(DELETED, JOB | {"filePath": "out.txt"}))
    )
    assert texts(found) == ["untrue: BatchOperation n/op (u-op): t is Skipped (gone), and it was done"]


OTHERS = [
    (on_task("op", FILE, "Skipped"), call(DELETED, JOB | {"filePath": "err.txt"})),
    *(
        (on_node("op", {verb: {"nodes": NODES, "name": "eve"}}, "Failed"), call(operation, NODE | where, body))
        for verb, operation, where, body in (
            ("createNodeUser", "Nodes_CreateNodeUser", {}, {"name": "adam"}),
            ("updateNodeUser", "Nodes_ReplaceNodeUser", {"userName": "adam"}, {}),
            ("deleteNodeUser", "Nodes_DeleteNodeUser", {"userName": "adam"}, None),
        )
    ),
]


@pytest.mark.parametrize(("versions", "effect"), OTHERS, ids=lambda each: getattr(each, "operation", ""))
def test_a_call_about_another_file_or_user_is_not_that_of_the_operation(
    versions: list[Version], effect: Effect
) -> None:
    record = judged(versions, effect)
    assert not outcomes_are_true(record)
    assert texts(asked_for(record)) == [
        f"unwished: {effect.operation} /somewhere at 105.0: no BatchOperation has stored it as attempted, or that one has ended"
    ]


@pytest.mark.parametrize(
    ("versions", "effect"),
    [
        (on_task("op", OTHER_FILE, "Succeeded"), call(DELETED, JOB | {"filePath": "err.txt"})),
        *(
            (on_node("op", {verb: {"nodes": NODES, "name": "eve"}}, "Succeeded"), call(operation, NODE | where, body))
            for verb, operation, where, body in (
                ("createNodeUser", "Nodes_CreateNodeUser", {}, {"name": "eve"}),
                ("updateNodeUser", "Nodes_ReplaceNodeUser", {"userName": "eve"}, {}),
                ("deleteNodeUser", "Nodes_DeleteNodeUser", {"userName": "eve"}, None),
            )
        ),
    ],
    ids=lambda each: getattr(each, "operation", ""),
)
def test_a_call_about_its_file_or_user_is_that_of_the_operation(versions: list[Version], effect: Effect) -> None:
    record = judged(versions, effect)
    assert not outcomes_are_true(record)
    assert not asked_for(record)
