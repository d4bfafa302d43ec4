"""The CRDs: written from the models, structural, and small enough for client-side apply."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from azure_batch_operator import generate
from azure_batch_operator.api.kinds import KINDS, Kind, KindInfo
from azure_batch_operator.crds import crd
from azure_batch_operator.generate import files, stale
from support.stage import rules, schemas

MAX_BYTES = 262_144
"""Where an annotation, and with it client-side apply, ends."""


def test_the_files_are_what_the_models_say() -> None:
    assert stale(files(), whole=list(files())) == []


def test_only_what_differs_is_written_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generate, "ROOT", tmp_path)
    (tmp_path / "crds").mkdir()
    for name, text in {"same.yaml": "a: 1\n", "other.yaml": "b: 1\n", "gone.yaml": "c: 1\n"}.items():
        (tmp_path / "crds" / name).write_text(text)
    os.utime(tmp_path / "crds" / "same.yaml", ns=(1, 1))
    wanted = {
        tmp_path / "crds": {"same.yaml": "a: 1\n", "other.yaml": "b: 2\n"},
        tmp_path / "pages" / "inner": {"new.md": "# New\n"},
    }
    whole = [tmp_path / "crds"]
    assert generate.write(wanted, whole) == [
        "removed crds/gone.yaml",
        "wrote crds/other.yaml",
        "wrote pages/inner/new.md",
    ]
    assert stale(wanted, whole) == []
    assert (tmp_path / "crds" / "same.yaml").stat().st_mtime_ns == 1
    assert generate.write(wanted, whole) == []


@pytest.mark.parametrize("info", KINDS.values(), ids=lambda info: info.kind)
def test_a_crd_can_be_applied_by_the_client(info: KindInfo) -> None:
    assert len(json.dumps(crd(info))) < MAX_BYTES


def nodes(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    if "items" in schema:
        yield from nodes(schema["items"], f"{path}[]")


@pytest.mark.parametrize("info", KINDS.values(), ids=lambda info: info.kind)
def test_every_property_is_typed_and_described_and_every_list_is_bounded(info: KindInfo) -> None:
    schema = crd(info)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    for path, node in [*nodes(schema["properties"]["spec"], "spec"), *nodes(schema["properties"]["status"], "status")]:
        assert "type" in node or "x-kubernetes-int-or-string" in node, path
        assert not {"$ref", "anyOf", "allOf", "title"} & node.keys(), path
        assert "default" not in node or path == "status"
        if not path.endswith("[]"):
            assert node.get("description"), path
        if node.get("type") == "array":
            assert "maxItems" in node, path
        if node.get("type") == "string" and path.startswith("spec"):
            assert {"maxLength", "enum", "pattern"} & node.keys(), path


def values(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    yield path, node
    below = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for name, child in below:
        if name != "default":
            yield from values(child, f"{path}.{name}")


@pytest.mark.parametrize("info", KINDS.values(), ids=lambda info: info.kind)
def test_a_crd_has_nothing_that_the_api_server_drops_when_it_stores_it(info: KindInfo) -> None:
    """Otherwise `kubectl apply --server-side` and Helm conflict about a CRD that both have applied."""
    empty = [path for path, value in values(crd(info)) if value is None or value is False or value in ("", [], {})]
    # `status: {}` turns the subresource on, and is stored.
    assert [path for path in empty if path != ".spec.versions.0.subresources.status"] == []


SUBDOMAINS = ("a", "a-b", "0.a", "a" * 253)
NO_SUBDOMAINS = ("", "A", "a_b", "-a", "a-", "a..b", ".a", "a/b", "a b", "ä", "a" * 254)


@pytest.mark.parametrize("info", KINDS.values(), ids=lambda info: info.kind)
def test_every_reference_takes_names_that_objects_can_have_and_no_others(info: KindInfo) -> None:
    schema = crd(info)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    names = [
        node["properties"]["name"]
        for path, node in nodes(schema["properties"]["spec"], "spec")
        if path.removesuffix("[]").removesuffix("s").endswith("Ref") and "name" in node.get("properties", {})
    ]
    assert names
    for name in names:

        def takes(text: str, name: dict[str, Any] = name) -> bool:
            bounded = name["minLength"] <= len(text) <= name["maxLength"]
            return bounded and re.search(name["pattern"], text) is not None

        assert all(takes(each) for each in SUBDOMAINS)
        assert not any(takes(each) for each in NO_SUBDOMAINS)


@pytest.mark.parametrize("info", KINDS.values(), ids=lambda info: info.kind)
def test_a_new_object_is_not_current(info: KindInfo) -> None:
    schema = crd(info)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    assert schema["properties"]["status"]["default"] == {"observedGeneration": -1, "phase": "Pending"}


CHANGEABLE = {
    "BatchPool": set(KINDS[Kind.POOL].spec.wire_names()) - {"id", "accountRef"},
    "BatchJob": {
        "priority", "allowTaskPreemption", "maxParallelTasks", "constraints", "networkConfiguration", "metadata",
        "onAllTasksComplete", "onDependencyFailure", "poolRef", "poolInfo", "tasks", "tasksFrom", "taskFactory",
        "taskPrunePolicy", "taskUpdatePolicy", "suspend", "suspendPolicy", "failurePolicy", "activeDeadlineSeconds",
        "pendingDeadlineSeconds", "backoff", "ttlSecondsAfterFinished", "ttlPolicy", "logs",
    },
    "BatchTask": {"constraints", "tailLines"},
    "BatchJobSchedule": {"schedule", "cron", "suspend", "jobSpecification", "metadata"},
}  # fmt: skip


@pytest.mark.parametrize("info", KINDS.values(), ids=lambda info: info.plural)
def test_all_rules_about_changes_of_a_spec_are_one_that_an_unchanged_spec_skips(info: KindInfo) -> None:
    """Each access to a property costs the API server time at every write of a status (docs/performance.md)."""
    schema = crd(info)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    changes = [rule for rule in schema["properties"]["spec"]["x-kubernetes-validations"] if "oldSelf" in rule["rule"]]
    wanted = [rule for rule in info.spec.rules if "oldSelf" in rule.expression]
    assert str(schema).count("oldSelf") == str(changes).count("oldSelf")
    [only] = changes
    assert only["rule"].startswith("self == oldSelf || (")
    for rule in wanted:
        assert f"({rule.expression})" in only["rule"]
        assert (
            f"(({rule.expression}) ? '' : {json.dumps(rule.message + '. ', ensure_ascii=False)})"
            in only["messageExpression"]
        )


def test_conditions_are_written_as_a_whole() -> None:
    """The operator replaces the list; owners of single members cost the API server time and serve nobody."""
    for info in KINDS.values():
        status = crd(info)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]
        assert status["properties"]["conditions"]["x-kubernetes-list-type"] == "atomic"


@pytest.mark.parametrize(
    ("kind", "condition", "name"), [(Kind.POOL, "UpdatePending", "Update"), (Kind.JOB, "TasksInSync", "Out-Of-Sync")]
)
def test_differences_from_the_spec_show_in_kubectl_get(kind: Kind, condition: str, name: str) -> None:
    """These conditions exist only while something differs, so the column is empty unless it matters."""
    columns = crd(KINDS[kind])["spec"]["versions"][0]["additionalPrinterColumns"]
    [column] = [each for each in columns if each["name"] == name]
    assert column["jsonPath"] == f'.status.conditions[?(@.type=="{condition}")].reason'
    assert column["priority"] == 1, "only with -o wide"


@pytest.mark.parametrize("kind", CHANGEABLE)
def test_changes_that_the_operator_cannot_make_are_refused_and_reported(kind: str) -> None:
    info = next(each for each in KINDS.values() if each.kind == kind)
    spec = crd(info)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    fixing = (rule for rule in info.spec.rules if "cannot be changed" in rule.message)
    # Rules about a part of a member leave the rest of it to be changed.
    paths = ((rule.field or ".a.b")[1:] for rule in fixing)
    fixed = {path for path in paths if "." not in path}
    assert fixed == set(info.spec.wire_names()) - CHANGEABLE[kind]
    for name, node in spec["properties"].items():
        if not node["description"].startswith("Not a field. "):
            assert node["description"].endswith("Cannot be changed." if name in fixed else "Can be changed."), name


@pytest.mark.parametrize("info", KINDS.values(), ids=lambda info: info.kind)
def test_trap_fields_say_first_that_they_are_not_fields(info: KindInfo) -> None:
    """`kubectl explain` shows it among the real ones."""
    spec = crd(info)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    for name, node in nodes(spec):
        refused = any(
            rule["rule"] in ("false", "self.size() == 0") for rule in node.get("x-kubernetes-validations", ())
        )
        said = node.get("description", "").startswith("Not a field. ")
        assert said or not refused, name
        if said:
            assert re.fullmatch(r"Not a field\. (Use|Put|Write|Remove) .*\.", node["description"]), name


@pytest.mark.parametrize(
    ("zone", "taken"),
    [("Europe/Berlin", True), ("Etc/GMT+2", True), ("UTC", True), ("Local", False), ("+02:00", False), ("", False)],
)
def test_only_names_are_time_zones(zone: str, taken: bool) -> None:
    """CEL of the API server takes all of these for time zones, so the rest of the rule has to refuse those that are no names."""
    spec = crd(KINDS[Kind.SCHEDULE])["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    [each] = spec["properties"]["cron"]["properties"]["timeZone"]["x-kubernetes-validations"]
    known = "timestamp('2000-01-01T00:00:00Z').getHours(self) >= 0"
    assert known in each["rule"]
    schema = {"x-kubernetes-validations": [{**each, "rule": each["rule"].replace(known, "true")}]}
    definition = schemas.Definition("X", "xs", {"properties": {"zone": schema}})
    refused = list(rules.problems(definition, {"metadata": {"name": "x"}, "zone": zone}, None))
    assert bool(refused) is not taken


@pytest.mark.parametrize(
    ("rule", "read"),
    [
        ("!has(self.id) || self.id == oldSelf.id", {("id",)}),
        ("has(self.spec.cron) && size(self.metadata.name) <= 52", {("spec", "cron"), ("metadata", "name")}),
        ("self.items.size() > 0 && self.size() > 0", {("items",), ()}),
        ("self.end.matches( '^a$' )", {("end",)}),
        ("'x' in self.labels || self['y'] == 1", {("labels",), ()}),
        ("self == oldSelf", {()}),
        ("false", set()),
    ],
)
def test_the_members_that_a_rule_reads_are_known(rule: str, read: set[tuple[str, ...]]) -> None:
    """The in-memory API server shows a rule only these."""
    assert rules.members_of(rule) == read


def test_a_rule_is_judged_by_the_members_that_it_reads() -> None:
    validations = [
        {"rule": "self == oldSelf || (self.a.b.size() == oldSelf.a.b.size() && has(self.c))", "message": "no"}
    ]
    definition = schemas.Definition("X", "xs", {"properties": {"x": {"x-kubernetes-validations": validations}}})

    def refused(now: dict[str, Any], before: dict[str, Any]) -> bool:
        named = {"metadata": {"name": "x"}}
        return bool(list(rules.problems(definition, {**named, "x": now}, {**named, "x": before})))

    first = {"a": {"b": [1, 2], "z": 1}, "d": 1}
    assert not refused(first, first)
    assert not refused({**first, "a": {"b": [3, 4]}, "c": 1}, first)
    assert refused({**first, "a": {"b": [1]}, "c": 1}, first)
    assert refused({**first, "d": 2}, first)
