"""Health and actions for Argo CD in real Lua, and Flux' expressions in CEL, on statuses as the operator writes them."""

from __future__ import annotations

import json
from typing import Any

import celpy
import lupa.lua51 as lua
import pytest
import yaml

from artifacts import gitops
from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.generate import ROOT

FOLDER = ROOT / "gitops" / "argocd" / "resource_customizations" / "azurebatch.io"
CASES = [(kind.value, case) for kind in Kind for case in gitops.cases(kind.value)]
IDS = [f"{kind}-{case.name}" for kind, case in CASES]
# What Argo CD leaves scripts of Lua's libraries.
SAFE = ("ipairs", "pairs", "tostring", "tonumber", "type", "string", "table", "math")


def run(script: str, obj: dict[str, Any]) -> Any:
    """What a script returns, given the object, in the sandbox of Argo CD."""
    runtime = lua.LuaRuntime(unpack_returned_tuples=True)
    make = runtime.eval(
        "function(text, obj, names) local env = { obj = obj, os = { date = os.date, time = os.time } } "
        "for _, name in ipairs(names) do env[name] = _G[name] end local made = assert(loadstring(text)) setfenv(made, env) "
        "return made() end"
    )
    return plain(make(script, runtime.table_from(obj, recursive=True), runtime.table_from(SAFE)))


def plain(value: Any) -> Any:
    """Lua tables as dicts."""
    if lua.lua_type(value) == "table":
        return {key: plain(each) for key, each in value.items()}
    return value


@pytest.mark.parametrize(("kind", "case"), CASES, ids=IDS)
def test_health_in_argo_cd(kind: str, case: gitops.Case) -> None:
    script = (FOLDER / kind / "health.lua").read_text()
    found = run(script, json.loads(gitops.as_json(case)))
    assert found["status"] == case.health
    tests = yaml.safe_load((FOLDER / kind / "health_test.yaml").read_text())["tests"]
    [wanted] = [each for each in tests if each["inputPath"] == f"testdata/{case.name}.yaml"]
    assert wanted["healthStatus"] == found
    assert yaml.safe_load((FOLDER / kind / wanted["inputPath"]).read_text()) == case.body


def test_the_table_is_in_the_documentation() -> None:
    assert gitops.table() in (ROOT / "docs" / "gitops.md").read_text()


def test_an_object_without_any_status_is_waited_for() -> None:
    body = {"metadata": {"generation": 1}, "spec": {}}
    for kind in Kind:
        assert run(gitops.health_lua(kind.value), body)["status"] == "Progressing"


@pytest.mark.parametrize("kind", [each.value for each in Kind])
def test_the_config_map_holds_the_same_scripts(kind: str) -> None:
    data = yaml.safe_load((ROOT / "gitops" / "argocd" / "argocd-cm.yaml").read_text())["data"]
    assert data[f"resource.customizations.health.azurebatch.io_{kind}"] == (FOLDER / kind / "health.lua").read_text()
    actions = yaml.safe_load(data[f"resource.customizations.actions.azurebatch.io_{kind}"])
    assert actions["discovery.lua"] == (FOLDER / kind / "actions" / "discovery.lua").read_text()
    for each in actions["definitions"]:
        assert each["action.lua"] == (FOLDER / kind / "actions" / each["name"] / "action.lua").read_text()


def job(spec: dict[str, Any], status: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"metadata": {"name": "a", "generation": 1}, "spec": spec} | ({"status": status} if status else {})


@pytest.mark.parametrize(
    ("spec", "status", "enabled"),
    [
        ({}, None, {"reconcile-now", "terminate", "suspend"}),
        ({"suspend": True}, {"phase": "Suspended"}, {"reconcile-now", "terminate", "resume"}),
        (
            {},
            {"phase": "Running", "taskCounts": {"failed": 2}},
            {"reconcile-now", "terminate", "suspend", "retry-failed"},
        ),
        ({}, {"phase": "Failed", "taskCounts": {"failed": 2}}, {"reconcile-now", "retry-failed"}),
        ({}, {"phase": "Succeeded", "taskCounts": {}}, {"reconcile-now"}),
    ],
)
def test_actions_that_are_offered(spec: dict[str, Any], status: dict[str, Any] | None, enabled: set[str]) -> None:
    found = run(gitops.discovery_lua("BatchJob"), job(spec, status))
    assert {name for name, each in found.items() if not each["disabled"]} == enabled


@pytest.mark.parametrize("name", ["reconcile-now", "retry-failed", "terminate"])
def test_actions_on_annotations_set_a_new_value_and_leave_the_spec(name: str) -> None:
    before = job({"poolRef": {"name": "cpu"}})
    after = run(gitops.ACTIONS[name], before)
    assert after["spec"] == before["spec"]
    assert after["metadata"]["annotations"][f"azurebatch.io/{name}"].startswith("20")


def test_actions_on_suspend() -> None:
    assert run(gitops.ACTIONS["suspend"], job({}))["spec"]["suspend"] is True
    assert run(gitops.ACTIONS["resume"], job({"suspend": True}))["spec"]["suspend"] is False


@pytest.mark.parametrize(("kind", "case"), CASES, ids=IDS)
def test_expressions_for_flux(kind: str, case: gitops.Case) -> None:
    if case.name in {"new", "changed"}:
        return  # Flux evaluates expressions only once the generation is observed
    found = {name: evaluate(text, case.body) for name, text in gitops.expressions(kind).items() if name[0] in "cfi"}
    assert found["failed"] == (case.current == "Failed")
    if kind in gitops.ENDING:
        assert found["current"] == (case.health == "Healthy")
        assert found["inProgress"] == (not found["current"] and not found["failed"])


def evaluate(text: str, body: Any) -> bool:
    """CEL on the members of an object."""
    environment = celpy.Environment()
    program = environment.program(environment.compile(text))
    return bool(program.evaluate({name: celpy.json_to_cel(value) for name, value in body.items()}))
