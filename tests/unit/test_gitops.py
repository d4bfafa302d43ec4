"""Health and actions for Argo CD in its own Lua, kstatus, and Flux' expressions in CEL, on statuses as the operator writes them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import celpy
import pytest
import yaml

import gitopstools
from artifacts import gitops
from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.generate import ROOT

FOLDER = ROOT / "gitops" / "argocd" / "resource_customizations" / "azurebatch.io"
CASES = [(kind.value, case) for kind in Kind for case in gitops.cases(kind.value)]
IDS = [f"{kind}-{case.name}" for kind, case in CASES]


def health(script: str, obj: Any) -> Any:
    return gitopstools.run("health", script, obj)


@pytest.mark.parametrize(("kind", "case"), CASES, ids=IDS)
def test_health_in_argo_cd(kind: str, case: gitops.Case) -> None:
    script = (FOLDER / kind / "health.lua").read_text()
    found = health(script, case.body)
    assert found["status"] == case.health
    assert gitopstools.kstatus([case.body]) == [case.current]
    tests = yaml.safe_load((FOLDER / kind / "health_test.yaml").read_text())["tests"]
    [wanted] = [each for each in tests if each["inputPath"] == f"testdata/{case.name}.yaml"]
    assert wanted["healthStatus"] == found
    assert yaml.safe_load((FOLDER / kind / wanted["inputPath"]).read_text()) == case.body


def test_the_table_is_in_the_documentation() -> None:
    assert gitops.table() in (ROOT / "docs" / "gitops.md").read_text()


def test_an_object_without_any_status_is_waited_for() -> None:
    for kind in Kind:
        body = {"kind": kind.value, "metadata": {"generation": 1}, "spec": {}}
        assert health(gitops.health_lua(kind.value), body)["status"] == "Progressing"


@pytest.mark.parametrize("kind", [each.value for each in Kind])
def test_the_config_map_holds_the_same_scripts(kind: str) -> None:
    data = yaml.safe_load((ROOT / "gitops" / "argocd" / "argocd-cm.yaml").read_text())["data"]
    assert data[f"resource.customizations.health.azurebatch.io_{kind}"] == (FOLDER / kind / "health.lua").read_text()
    actions = yaml.safe_load(data[f"resource.customizations.actions.azurebatch.io_{kind}"])
    assert actions["discovery.lua"] == (FOLDER / kind / "actions" / "discovery.lua").read_text()
    for each in actions["definitions"]:
        assert each["action.lua"] == (FOLDER / kind / "actions" / each["name"] / "action.lua").read_text()


SCRIPTS = sorted(FOLDER.glob("*/actions/*/action.lua"))


def job(spec: dict[str, Any], status: dict[str, Any] | None = None) -> dict[str, Any]:
    """A job with all that Lua tells apart badly: empty lists and maps, whole and broken numbers."""
    metadata = {"name": "a", "generation": 1, "labels": {}}
    odd = {"tasks": [{"environmentSettings": [], "constraints": {}}], "maxParallelTasks": 1000000, "weight": 0.5}
    return {"kind": "BatchJob", "metadata": metadata, "spec": odd | spec} | ({"status": status} if status else {})


def seen(phase: str, state: str, failed: int = 0, *more: tuple[str, str, str]) -> dict[str, Any]:
    """The status of a job, with conditions as type, status and reason."""
    conditions = [{"type": type_, "status": value, "reason": reason} for type_, value, reason in more]
    return {"phase": phase, "state": state, "taskCounts": {"failed": failed}, "conditions": conditions}


_ENDED = ("Failed", "True", "TasksFailed")


@pytest.mark.parametrize(
    ("spec", "status", "enabled"),
    [
        ({}, None, {"reconcile-now", "terminate", "suspend"}),
        ({"suspend": True}, {"phase": "Suspended"}, {"reconcile-now", "terminate", "resume"}),
        ({}, seen("Running", "active", 2), {"reconcile-now", "terminate", "suspend", "retry-failed"}),
        ({}, seen("Running", "active", 0), {"reconcile-now", "terminate", "suspend"}),
        ({}, seen("Held", "active", 2), {"reconcile-now", "terminate", "suspend", "retry-failed"}),
        ({}, seen("Completing", "completed", 2), {"reconcile-now", "terminate", "suspend"}),
        ({}, seen("Failed", "completed", 2, _ENDED), {"reconcile-now"}),
        ({"suspend": True}, seen("Failed", "completed", 2, _ENDED), {"reconcile-now"}),
        ({}, seen("Succeeded", "completed", 2, ("Complete", "True", "Succeeded")), {"reconcile-now"}),
        ({}, seen("Skipped", "active", 2, ("Skipped", "True", "ReconcileSkipped")), {"reconcile-now", "suspend"}),
    ],
)
def test_actions_that_are_offered(spec: dict[str, Any], status: dict[str, Any] | None, enabled: set[str]) -> None:
    found = gitopstools.run("discovery", gitops.discovery_lua("BatchJob"), job(spec, status))
    assert {name for name, each in found.items() if not each["disabled"]} == enabled


@pytest.mark.parametrize("kind", [each.value for each in Kind])
def test_each_kind_offers_the_actions_it_has(kind: str) -> None:
    body = {"kind": kind, "metadata": {"name": "a", "deletionTimestamp": "2026-01-02T03:04:05Z"}, "spec": {}}
    found = gitopstools.run("discovery", (FOLDER / kind / "actions" / "discovery.lua").read_text(), body)
    assert set(found) == {each.parent.name for each in SCRIPTS if each.parts[-4] == kind}
    assert [name for name, each in found.items() if not each["disabled"]] == ["reconcile-now"]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda each: f"{each.parts[-4]}-{each.parts[-2]}")
@pytest.mark.parametrize("annotations", [None, {"team": "a"}])
def test_an_action_changes_one_thing_and_leaves_the_rest(script: Path, annotations: dict[str, str] | None) -> None:
    before = job({"suspend": script.parts[-2] == "resume"}, seen("Running", "active", 2))
    if annotations is not None:
        before["metadata"]["annotations"] = annotations
    after = gitopstools.run("action", script.read_text(), before)
    action = script.parts[-2]
    if action in {"suspend", "resume"}:
        assert after["spec"]["suspend"] is (action == "suspend")
        assert after == before | {"spec": before["spec"] | {"suspend": action == "suspend"}}
        return
    value = after["metadata"]["annotations"][f"azurebatch.io/{action}"]
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", value)
    wanted = {**(annotations or {}), f"azurebatch.io/{action}": value}
    assert after == before | {"metadata": before["metadata"] | {"annotations": wanted}}


@pytest.mark.parametrize(
    "script", ['return { a = os.date("!%Y") }', 'return { a = ("b"):upper() }', 'return require("os").exit()']
)
def test_what_argo_cd_does_not_have_crashes_here_too(script: str) -> None:
    with pytest.raises(gitopstools.ToolError, match="attempt to"):
        gitopstools.run("action", script, job({}))


@pytest.mark.parametrize(("kind", "case"), CASES, ids=IDS)
def test_expressions_for_flux(kind: str, case: gitops.Case) -> None:
    if case.name in {"new", "changed"}:
        return  # Flux evaluates expressions only once the generation is observed
    found = {name: evaluate(text, case.body) for name, text in gitops.expressions(kind).items() if name[0] in "cfi"}
    assert found["failed"] == (case.current == "Failed")
    if kind in gitops.ENDING:
        # What is held may never end; what is suspended is waited for, since it goes on.
        assert found["current"] == (case.name in {"complete", "skipped"})
        assert found["inProgress"] == (not found["current"] and not found["failed"])


def evaluate(text: str, body: Any) -> bool:
    """CEL on the members of an object."""
    environment = celpy.Environment()
    program = environment.program(environment.compile(text))
    return bool(program.evaluate({name: celpy.json_to_cel(value) for name, value in body.items()}))


INSTALLATIONS = [ROOT / "gitops" / name for name in ("argocd/application.yaml", "flux/helmrelease.yaml")]
_PLACEHOLDER = re.compile(r"git\.example|registry\.example|//myaccount\.|00000000-0000")


def written(*folders: str) -> list[dict[str, Any]]:
    """The manifests in folders of gitops/."""
    paths = [path for folder in folders for path in sorted((ROOT / "gitops" / folder).glob("*.yaml"))]
    return [one for path in paths for one in yaml.safe_load_all(path.read_text())]


@pytest.mark.parametrize("path", INSTALLATIONS, ids=lambda path: path.name)
def test_the_operator_is_installed_by_values_that_every_cluster_can_have(path: Path) -> None:
    found = list(yaml.safe_load_all(path.read_text()))[-1]["spec"]
    values = found["values"] if "values" in found else found["source"]["helm"]["valuesObject"]
    # There is no published image, and not every cluster has the Prometheus Operator.
    assert values == {"image": {"registry": "registry.example"}}


def test_flux_does_not_put_the_namespace_before_the_name_of_the_release() -> None:
    [release] = [one for one in written("flux") if one["kind"] == "HelmRelease"]
    assert release["spec"]["releaseName"] == release["spec"]["targetNamespace"] == "azure-batch-operator"


def test_what_a_manifest_refers_to_is_there() -> None:
    flux, waves = written("flux"), written("argocd/waves")
    sources = {one["metadata"]["name"] for one in flux if one["kind"] == "GitRepository"}
    named = {
        (one["spec"].get("sourceRef") or one["spec"]["chart"]["spec"]["sourceRef"])["name"]
        for one in flux
        if one["kind"] in {"Kustomization", "HelmRelease"}
    }
    assert named == sources
    by_kind = {one["kind"]: one for one in waves}
    reference = by_kind["BatchAccount"]["spec"]["auth"]["workloadIdentity"]["serviceAccountRef"]
    assert reference["name"] == by_kind["ServiceAccount"]["metadata"]["name"] == "azure-batch"


def test_what_everybody_has_to_replace_says_so() -> None:
    paths = [*(ROOT / "gitops" / "argocd").glob("*.yaml"), *(ROOT / "gitops").glob("*/waves/*.yaml")]
    lines = [
        line for path in [*paths, *(ROOT / "gitops/flux").glob("*.yaml")] for line in path.read_text().splitlines()
    ]
    placeholders = [line for line in lines if _PLACEHOLDER.search(line)]
    assert len(placeholders) == 8
    assert all("# replace" in line for line in placeholders), placeholders
