"""operate: words of the command line become a BatchOperation that the schema takes, and its results a table."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from click.testing import Result

from azure_batch_kubectl import operating
from azure_batch_kubectl.failure import FailureError
from azure_batch_operator.api.base import ApiModel
from azure_batch_operator.api.operation import TARGETS, On, OperationSpec
from unit.kubectl.conftest import Body, FakeCluster, thing

Run = Callable[..., Result]


def made(verb: str, word: str, *settings: str) -> Body:
    spec: Body = operating.operation(verb, operating.target(verb, word), operating.inputs(verb, settings))["spec"]
    assert spec.pop("ttlSecondsAfterFinished") == 86400
    return spec


@pytest.mark.parametrize(
    ("words", "spec"),
    [
        (
            ("removeNodes", "bp/cpu/n1", "nodeDeallocationOption=taskcompletion"),
            {
                "poolRef": {"name": "cpu"},
                "removeNodes": {"nodes": {"names": ["n1"]}, "nodeDeallocationOption": "taskcompletion"},
            },
        ),
        (
            ("startNode", "batchpool/cpu", "nodes.states=deallocated", "nodes.states=unknown", "nodes.most=3"),
            {
                "poolRef": {"name": "cpu"},
                "startNode": {"nodes": {"states": ["deallocated", "unknown"], "most": 3}},
            },
        ),
        (
            ("evaluateAutoScale", "bp/cpu", "autoScaleFormula=$TargetDedicatedNodes = 1 == 1 ? 2 : 0;"),
            {
                "poolRef": {"name": "cpu"},
                "evaluateAutoScale": {"autoScaleFormula": "$TargetDedicatedNodes = 1 == 1 ? 2 : 0;"},
            },
        ),
        (
            ("createNodeUser", "bp/cpu/n1", "name=42", "isAdmin=true", "passwordSecretRef.name=s", "passwordSecretRef.key=k"),
            {
                "poolRef": {"name": "cpu"},
                "createNodeUser": {
                    "nodes": {"names": ["n1"]},
                    "name": "42",
                    "isAdmin": True,
                    "passwordSecretRef": {"name": "s", "key": "k"},
                },
            },
        ),
        (("usageMetrics", "bacc/main"), {"accountRef": {"name": "main"}, "usageMetrics": {}}),
        (("terminateJob", "bj/render"), {"jobRef": {"name": "render"}, "terminateJob": {}}),
        (
            ("reactivateTasks", "bj/render", "tasks.failed=true"),
            {"jobRef": {"name": "render"}, "reactivateTasks": {"tasks": {"failed": True}}},
        ),
        (
            ("terminateTasks", "bj/render/t1"),
            {"jobRef": {"name": "render"}, "terminateTasks": {"tasks": {"ids": ["t1"]}}},
        ),
        (("listSubtasks", "bj/mpi/t1"), {"jobRef": {"name": "mpi"}, "taskId": "t1", "listSubtasks": {}}),
        (
            ("deleteFile", "bp/cpu/n1", "path=workitems/a"),
            {"poolRef": {"name": "cpu"}, "nodeId": "n1", "deleteFile": {"path": "workitems/a"}},
        ),
        (("scheduleStatus", "bjs/nightly"), {"scheduleRef": {"name": "nightly"}, "scheduleStatus": {}}),
    ],
)  # fmt: skip
def test_words_become_an_operation(words: tuple[str, ...], spec: Body) -> None:
    assert made(*words) == spec
    OperationSpec.model_validate(spec)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("reboot", "bp/cpu"), "'reboot' is not a verb of a BatchOperation: use one of rebootNode, "),
        (("rebootNode", "bj/x"), "rebootNode does not apply to 'bj/x': give bp/POOL/NODE, or "),
        (("rebootNode", "cpu"), "rebootNode does not apply to 'cpu': give bp/POOL/NODE, or "),
        (("rebootNode", "bp/cpu"), "rebootNode of 'cpu' says not which nodes: give bp/POOL/NODE, or "),
        (("rebootNode", "bp/cpu/n1", "now"), "--set 'now' has no value: give NAME=VALUE"),
        (("rebootNode", "bp/cpu/n1", "a=b"), "rebootNode has no input 'a' .*: use one of nodes, nodeRebootOption"),
        (("stopResize", "bp/cpu", "a=b"), "stopResize has no input 'a' .*: leave it out"),
        (("stopResize", "bp/cpu/n1"), "stopResize does not apply to 'bp/cpu/n1': give bp/POOL"),
        (("stopResize", "bp/"), "stopResize does not apply to 'bp/': give bp/POOL"),
        (("deleteFile", "bj/a/t", "recursive=perhaps", "path=x"), "deleteFile cannot have recursive 'perhaps': "),
        (("deleteFile", "bj/a/t"), "deleteFile needs path: add --set path=VALUE"),
        (("listSubtasks", "bj/a"), "listSubtasks does not apply to 'bj/a': give bj/JOB/TASK"),
        (
            ("startNode", "bp/a", "nodes.selector.x=1"),
            "startNode has no input 'nodes.selector.x': nodes.selector has no members, give --set nodes.selector=VALUE",
        ),
        (
            ("startNode", "bp/a", "nodes=all"),
            "startNode cannot have nodes 'all': .* the members names, states, selector, most, give one, such as --set nodes.names",
        ),
        (("startNode", "bp/a", "nodes=all", "nodes.states=idle"), "startNode cannot have nodes 'all': it is an object"),
        (("startNode", "bp/a", "nodes.states=idle", "nodes=all"), "startNode cannot have nodes 'all': it is an object"),
        (
            ("startNode", "bp/a", "nodes.most=many"),
            "startNode cannot have nodes.most 'many': Input should be a valid integer",
        ),
        (
            ("startNode", "bp/a/n1", "nodes.most=1"),
            "startNode names 'n1' and nodes: leave out --set nodes…, or /n1 after a",
        ),
        (
            ("terminateTasks", "bj/a/t", "tasks.failed=true"),
            "terminateTasks names 't' and tasks: leave out --set tasks…",
        ),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_created(words: tuple[str, ...], text: str) -> None:
    with pytest.raises(FailureError, match=text):
        made(*words)


def paths(model: type[ApiModel], before: str = "") -> Iterator[tuple[str, bool]]:
    """Each input of a model by its path, and whether it is an object."""
    for name, info in model.model_fields.items():
        path, inner = before + (info.alias or name), operating._model(info.annotation)
        yield path, inner is not None
        if inner:
            yield from paths(inner, f"{path}.")


WHERE = {On.NODES: "bp/a", On.POOL: "bp/a", On.ACCOUNT: "bacc/a", On.JOB: "bj/a", On.TASKS: "bj/a", On.TASK: "bj/a/t",
         On.FILES: "bj/a/t", On.SCHEDULE: "bjs/a"}  # fmt: skip


@pytest.mark.parametrize("verb", TARGETS)
def test_a_value_of_another_type_than_that_of_the_schema_is_refused_with_the_remedy(verb: str) -> None:
    """Objects without a member, members of what is no object, and both orders of the two."""
    model = operating._model(operating._type_of(OperationSpec, verb))
    assert model is not None
    for path, is_object in paths(model):
        wrong = [(f"{path}=x",)] if is_object else [(f"{path}.y=x",), (f"{path}=x", f"{path}.y=x")]
        for settings in wrong:
            with pytest.raises(FailureError, match=rf"^{verb} .*{re.escape(path)}.*: .*give .*--set {re.escape(path)}"):
                made(verb, WHERE[TARGETS[verb]], *settings)


def test_every_verb_says_what_it_applies_to() -> None:
    for verb, on in TARGETS.items():
        assert operating._KINDS[on]
        with pytest.raises(FailureError, match=f"^{verb} does not apply to 'nothing': give b"):
            operating.target(verb, "nothing")


def ended(name: str, **result: object) -> Body:
    results = [{"target": "n1", "outcome": "Succeeded", **result}]
    return thing("BatchOperation", name, ("Complete", "True", "Succeeded", "1 of 1"), results=results)


def test_the_answer_is_printed(fake: FakeCluster, run: Run) -> None:
    fake.add(thing("BatchPool", "cpu"))
    fake.add(ended("made-0", values={"a": "1", "b": "2"}, omittedValues=3))
    fake.add(ended("made-1"))
    done = run("operate", "listNodeExtensions", "bp/cpu/n1")
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines == [
        ["TARGET", "OUTCOME", "ANSWER"],
        ["n1", "Succeeded", "a=1"],
        ["n1", "Succeeded", "b=2"],
        ["n1", "Succeeded", "(3", "more)"],
    ]
    assert done.stderr == "batchoperation.azurebatch.io/made-0 created\n"
    assert run("operate", "listNodeExtensions", "bp/cpu/n1", "-o", "name").stdout == "n1\n"


@pytest.mark.parametrize(
    "words",
    [
        ("operate", "stopResize", "bp/cpu"),
        ("nodes", "reboot", "cpu", "n1", "--wait"),
        ("nodes", "ssh", "cpu", "n1", "--print"),
    ],
)
def test_an_operation_that_cannot_start_says_why_and_ends_in_time(
    fake: FakeCluster, run: Run, words: tuple[str, ...]
) -> None:
    fake.add(thing("BatchPool", "cpu"))
    fake.add(thing("BatchOperation", "made-0", ("Ready", "False", "SecretNotFound", "Secret 'logs' does not exist")))
    done = run(*words, "--timeout", "50ms")
    assert done.exit_code == 4
    assert done.stderr.splitlines()[-2:] == [
        "waits (SecretNotFound): Secret 'logs' does not exist",
        (
            "error: BatchOperation made-0 is not complete after 0.05 s: it continues; kubectl azure-batch terminate bop/made-0 "
            "stops it, and kubectl azure-batch why bop/made-0 says why"
        ),
    ]


def test_without_waiting_the_name_is_printed(fake: FakeCluster, run: Run) -> None:
    fake.add(thing("BatchPool", "cpu"))
    assert run("operate", "stopResize", "bp/cpu", "--no-wait").stdout == "batchoperation.azurebatch.io/made-0 created\n"
    assert re.fullmatch(r"stop-resize-[a-z0-9]{5}", *fake.names)


def test_nothing_is_created_for_an_object_that_does_not_exist(fake: FakeCluster, run: Run) -> None:
    done = run("operate", "stopResize", "bp/none")
    assert (done.exit_code, fake.created) == (1, [])
    assert "not found" in done.stderr


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        *(
            (("nodes", verb, "cpu", "n1"), "add --wait, or leave --timeout out")
            for verb in ("reboot", "reimage", "drain", "uncordon")
        ),
        (("operate", "stopResize", "bp/cpu", "--no-wait"), "leave out --timeout or --no-wait"),
    ],
    ids=lambda value: value[1] if isinstance(value, tuple) else "",
)
def test_a_timeout_of_no_wait_is_refused_before_anything_is_done(
    fake: FakeCluster, run: Run, words: tuple[str, ...], remedy: str
) -> None:
    fake.add(thing("BatchPool", "cpu"))
    done = run(*words, "--timeout", "5m")
    assert (done.exit_code, done.stdout, fake.created) == (2, "", [])
    assert done.stderr.endswith(f"--timeout limits how long the command waits, but it does not wait: {remedy}\n")
