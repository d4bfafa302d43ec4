"""Every property of BatchOperation, set when it is created: what the calls carry, and that what is wrong is refused by name."""

from __future__ import annotations

import copy
from typing import Any, cast

import orjson
import pytest

from properties.admission import refusal_of
from properties.operations import ELSEWHERE, KIND, ROWS, Row, is_choice, set_by, wrong_values
from properties.paths import Path, forbidden, paths, text
from support.stage import Stage, config_map, job, operation, pool, run_on_stage, schedule, secret

NODE_VERBS = frozenset(
    {
        "rebootNode", "reimageNode", "deallocateNode", "startNode", "disableNodeScheduling", "enableNodeScheduling",
        "removeNodes", "uploadNodeLogs", "createNodeUser", "updateNodeUser", "deleteNodeUser", "getRemoteLoginSettings",
        "listNodeExtensions",
    }
)  # fmt: skip
CHOICES: dict[str, list[dict[str, Any]]] = {
    "nodes": [{"names": ["a"]}, {"states": ["idle"], "selector": "all", "most": 3}],
    "tasks": [{"ids": ["a"]}, {"failed": True, "most": 3}, {"states": ["running"]}],
}


def test_each_property_is_set_by_a_row_or_tried_elsewhere() -> None:
    tried = {path for row in ROWS for path in set_by(row.spec)} | ELSEWHERE.keys()
    # Which nodes and which tasks is decided in one place for all verbs.
    chosen = {path[2:] for path in tried if is_choice(path)}
    missing = [each for each in paths(KIND) if each not in tried and not (is_choice(each) and each[2:] in chosen)]
    assert [text(KIND, each) for each in missing] == []
    assert all(each in paths(KIND) for each in tried)


def _specs(path: Path) -> list[dict[str, Any]]:
    """Valid specs that set a property, or the one that it stands in."""
    found = [dict(row.spec) for row in ROWS if path in set_by(row.spec)]
    if not found and is_choice(path):
        for row in (row for row in ROWS if path[1] in row.spec):
            for choice in CHOICES[path[2]]:
                spec = copy.deepcopy(dict(row.spec))
                spec[path[1]][path[2]] = choice
                found += [spec] if path in set_by(spec) else []
    return found


@pytest.mark.parametrize(
    "path", [each for each in paths(KIND) if each not in ELSEWHERE], ids=lambda each: text(KIND, each)
)
def test_a_wrong_value_is_refused_by_its_name(path: Path) -> None:
    spec = _specs(path)[0]
    assert refusal_of(KIND, spec) == ""
    for value in wrong_values(path):
        wrong = copy.deepcopy(spec)
        at = wrong
        for name in path[1:-1]:
            at = at[name]
        at[path[-1]] = value
        refusal = refusal_of(KIND, wrong)
        assert text(KIND, path) in refusal, (value, refusal)


@pytest.mark.parametrize("verb", ["createNodeUser", "updateNodeUser"])
def test_a_password_in_the_open_is_refused(verb: str) -> None:
    spec = {"poolRef": {"name": "cpu"}, verb: {"nodes": {"selector": "all"}, "name": "ann", "password": "x"}}
    assert forbidden(KIND, ("spec", verb, "password"))
    assert "passwordSecretRef" in refusal_of(KIND, spec)


@pytest.mark.parametrize("verb", sorted(NODE_VERBS))
def test_each_verb_about_nodes_chooses_in_the_same_way(verb: str) -> None:
    """So one of them stands for all."""
    mine = [path[2:] for path in paths(KIND) if path[:3] == ("spec", verb, "nodes")]
    assert mine == [("nodes",), *(("nodes", each) for each in ("names", "states", "selector", "most"))]


async def _set(stage: Stage) -> str:
    """What the rows are about; the ID of a node."""
    await stage.ready_pool(targetDedicatedNodes=3, targetLowPriorityNodes=1)
    stage.azure.simulate("own/t[01]", exitCode=1, stdout="abcdef")
    stage.apply(
        secret("values", url="https://secret.example/logs", password="hush-hush"),
        config_map("texts", url="https://map.example/logs"),
        job(
            "own",
            failurePolicy={"action": "Hold"},
            jobPreparationTask={"commandLine": "/bin/sh -c true"},
            tasks=[{"id": f"t{each}", "commandLine": "true"} for each in range(2)]
            + [{"id": f"r{each}", "commandLine": "/bin/sh -c 'sleep 86400'"} for each in range(2)],
        ),
        schedule(
            "tick",
            schedule={"recurrenceInterval": "PT1H"},
            jobSpecification={
                "poolRef": {"name": "cpu"},
                "jobManagerTask": {"id": "m", "commandLine": "/bin/sh -c 'sleep 86400'"},
            },
        ),
    )
    await stage.until(lambda: stage.azure.get("/jobs/tick:job-1"), 600)
    body = {name: value for name, value in pool("x")["spec"].items() if name != "accountRef"}
    stage.azure.post("/pools", body | {"id": "wide", "targetDedicatedNodes": 1})
    scaled = {name: value for name, value in body.items() if not name.startswith("target")}
    formula = {"enableAutoScale": True, "autoScaleFormula": "$TargetDedicatedNodes = 0;"}
    stage.azure.post("/pools", scaled | {"id": "scaled", **formula})
    await stage.run_for(300)
    return stage.azure.ids("/pools/cpu/nodes")[0]


def _placed(value: Any, node: str) -> Any:
    """What a row means by the node."""
    return cast("Any", orjson.loads(orjson.dumps(value).replace(b"NODE", node.encode())))


def test_calls_carry_what_is_given() -> None:
    run_on_stage(_all_rows)


async def _all_rows(stage: Stage) -> None:
    node = await _set(stage)
    wrong = []
    for number, row in enumerate(ROWS):
        if "stopResize" in row.spec:
            stage.azure.post("/pools/wide/resize", {"targetDedicatedNodes": 3})
        before, name = len(stage.azure.log), f"op{number}"
        stage.apply(operation(name, **({"poolRef": None} | _placed(dict(row.spec), node))))
        await stage.run_for(5)
        gone = row.ended == "gone"
        if gone:
            await stage.until(lambda name=name: stage.gone("bop", name), 600)  # type: ignore[misc]
        else:
            await stage.until(lambda name=name: stage.phase("bop", name) in {"Succeeded", "Failed"}, 3600)  # type: ignore[misc]
        wrong += [
            f"{row.spec}: {each}"
            for each in _wrong(stage, row, node, before, "gone" if gone else stage.phase("bop", name))
        ]
    assert wrong == []
    assert [stage.get("cm", each)["data"]["content"] for each in ("out-1", "out-2")] == ["abcdef", "def"]


def _wrong(stage: Stage, row: Row, node: str, before: int, ended: str) -> list[str]:
    found = []
    calls = [each for each in stage.azure.log[before:] if each.operation == row.call]
    if ended != row.ended:
        found.append(f"it is {ended}")
    if len(calls) != row.calls:
        found.append(f"{len(calls)} calls")
    for each in calls:
        body = orjson.loads(each.body) if each.body else {}
        found += [f"{name}: {body.get(name)}" for name, value in row.body.items() if body.get(name) != value]
        query = each.query.replace("%3A", ":").lower()
        found += [f"query {query}" for part in row.query if part.lower() not in query]
        if row.path.replace("NODE", node) not in each.path:
            found.append(f"path {each.path}")
    return found
