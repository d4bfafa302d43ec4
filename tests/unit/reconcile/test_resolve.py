"""References in specs: found wherever a model declares them, and replaced by values without touching anything else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from azure_batch_operator.api.base import ApiModel
from azure_batch_operator.api.job import JobSpec
from azure_batch_operator.api.pool import PoolSpec
from azure_batch_operator.api.secrets import secret_properties
from azure_batch_operator.api.task import TaskSpec
from azure_batch_operator.batch.redaction import REDACTED, redact_values
from azure_batch_operator.crds import structural
from azure_batch_operator.reconcile.plan import Call, Feed, Plan, Table
from azure_batch_operator.reconcile.value_references import (
    Reference,
    ResolutionError,
    Source,
    filled,
    references,
)

POOL: dict[str, Any] = {
    "accountRef": {"name": "main"},
    "userAccounts": [{"name": "u", "passwordSecretRef": {"name": "users", "key": "u"}, "elevationLevel": "admin"}],
    "startTask": {
        "commandLine": "x",
        "environmentSettings": [
            {"name": "PLAIN", "value": "1"},
            {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "tokens", "key": "t"}}},
            {"name": "MODE", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "mode"}}},
        ],
    },
    "virtualMachineConfiguration": {
        "extensions": [
            {
                "name": "e",
                "settings": {"userAccounts": [{"passwordSecretRef": {"name": "not", "key": "ours"}}]},
                "protectedSettingsSecretRef": {"name": "ext", "key": "json"},
            }
        ]
    },
}
VALUES = {
    Source("Secret", "users", "u"): "hunter2",
    Source("Secret", "tokens", "t"): "abc\n",
    Source("ConfigMap", "settings", "mode"): "fast",
    Source("Secret", "ext", "json"): '{"storageAccountKey": "k"}',
}


def test_every_reference_is_found_with_its_place() -> None:
    assert list(references(PoolSpec, POOL)) == [
        Reference("spec.userAccounts[0].passwordSecretRef", Source("Secret", "users", "u")),
        Reference("spec.startTask.environmentSettings[1].valueFrom", Source("Secret", "tokens", "t")),
        Reference("spec.startTask.environmentSettings[2].valueFrom", Source("ConfigMap", "settings", "mode")),
        Reference(
            "spec.virtualMachineConfiguration.extensions[0].protectedSettingsSecretRef", Source("Secret", "ext", "json")
        ),
    ]


def test_values_take_the_place_of_references_and_all_else_stays() -> None:
    body = filled(PoolSpec, PoolSpec.rest_body(POOL), VALUES)
    assert body["userAccounts"] == [{"name": "u", "password": "hunter2", "elevationLevel": "admin"}]
    assert body["startTask"]["environmentSettings"] == [
        {"name": "PLAIN", "value": "1"}, {"name": "TOKEN", "value": "abc\n"}, {"name": "MODE", "value": "fast"},
    ]  # fmt: skip
    extension = body["virtualMachineConfiguration"]["extensions"][0]
    assert extension["protectedSettings"] == {"storageAccountKey": "k"}
    assert extension["settings"] == {"userAccounts": [{"passwordSecretRef": {"name": "not", "key": "ours"}}]}


def test_tasks_of_a_job_and_its_factory_have_references_too() -> None:
    variable = {"name": "T", "valueFrom": {"secretKeyRef": {"name": "tokens", "key": "t"}}}
    spec = {
        "tasks": [{"id": "a", "commandLine": "x", "environmentSettings": [variable]}],
        "taskFactory": {"repeat": {"count": 2}, "repeatTask": {"commandLine": "x", "environmentSettings": [variable]}},
    }
    assert [each.path for each in references(JobSpec, spec)] == [
        "spec.tasks[0].environmentSettings[0].valueFrom",
        "spec.taskFactory.repeatTask.environmentSettings[0].valueFrom",
    ]
    result = filled(JobSpec, spec, VALUES)
    assert result["taskFactory"]["repeatTask"]["environmentSettings"] == [{"name": "T", "value": "abc\n"}]
    assert result["taskFactory"]["repeat"] == {"count": 2}


@pytest.mark.parametrize("text", ["not json: s3cret", '["s3cret"]', "[" * 100_000])
def test_an_invalid_structured_secret_is_named_without_its_value(text: str) -> None:
    with pytest.raises(ResolutionError) as caught:
        filled(PoolSpec, POOL, VALUES | {Source("Secret", "ext", "json"): text})
    assert "protectedSettingsSecretRef" in str(caught.value)
    assert "'ext'" in str(caught.value)
    assert "s3cret" not in repr(caught.value) + str(caught.value.__cause__)


def test_plans_and_calls_do_not_show_bodies() -> None:
    call = Call("create_pool", Table.POOLS, "p", body={"password": "hunter2"})
    plan = Plan(
        calls=(call,), submit={"value": "hunter2"}, submit_to="steps", feed=Feed("", None, spec={"value": "hunter2"})
    )
    assert "hunter2" not in repr(plan)


DIGEST = json.loads((Path(__file__).parents[2] / "data" / "api-2024-07-01.20.0.json").read_text())
SECRETS = {"password", "accountKey", "sasKey", "sshPrivateKey", "protectedSettings"}


def names(shape: Any, path: str = "") -> set[str]:
    """Paths of all members of a body of the digest, lists as their items."""
    if isinstance(shape, list):
        return names(shape[0], path)
    if not isinstance(shape, int):
        return {path}
    found = {path}
    for name, child in DIGEST["shapes"][shape].items():
        found |= names(child, f"{path}.{name}".lstrip("."))
    return found


@pytest.mark.parametrize(
    ("operation", "model"),
    [("Pools_CreatePool", PoolSpec), ("Jobs_CreateJob", JobSpec), ("Tasks_CreateTask", TaskSpec)],
)
def test_every_secret_of_the_api_is_given_by_reference(operation: str, model: type[ApiModel]) -> None:
    wanted = {path for path in names(DIGEST["operations"][operation]["body"]) if path.rsplit(".", 1)[-1] in SECRETS}
    derived = secret_properties(model)
    assert wanted <= derived.keys()
    assert all(reference == f"{path.rsplit('.', 1)[-1]}SecretRef" for path, reference in derived.items())


def test_the_client_redacts_every_secret_property_that_the_service_may_echo() -> None:
    for path in secret_properties(PoolSpec, JobSpec, TaskSpec):
        echoed = redact_values({"PropertyName": path, "PropertyValue": "hunter2"})
        assert echoed["PropertyValue"] == REDACTED


def test_no_schema_takes_a_secret_in_clear() -> None:
    def walk(schema: dict[str, Any], path: str) -> None:
        for name, child in schema.get("properties", {}).items():
            if name in SECRETS:
                rules = [each["rule"] for each in schema["x-kubernetes-validations"]]
                assert f"!has(self.{name})" in rules, path
            walk(child, f"{path}.{name}")
        if "items" in schema:
            walk(schema["items"], f"{path}[]")

    for model in (PoolSpec, JobSpec, TaskSpec):
        walk(structural(model, nullable=True), model.__name__)


TEXT = st.text(max_size=6)


@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    passwords=st.lists(TEXT, max_size=4), variables=st.dictionaries(st.text(min_size=1, max_size=4), TEXT, max_size=4)
)
def test_values_are_unchanged_by_a_reference(passwords: list[str], variables: dict[str, str]) -> None:
    body = {
        "userAccounts": [{"name": f"u{n}", "password": each} for n, each in enumerate(passwords)],
        "startTask": {"environmentSettings": [{"name": name, "value": value} for name, value in variables.items()]},
    }
    values: dict[Source, str] = {}

    def hidden(kind: Any, value: str) -> dict[str, str]:
        source = Source(kind, f"s{len(values)}", "k")
        values[source] = value
        return {"name": source.name, "key": source.key}

    spec = {
        "userAccounts": [
            {"name": each["name"], "passwordSecretRef": hidden("Secret", each["password"])}
            for each in body["userAccounts"]
        ],
        "startTask": {
            "environmentSettings": [
                {"name": each["name"], "valueFrom": {"configMapKeyRef": hidden("ConfigMap", each["value"])}}
                for each in body["startTask"]["environmentSettings"]
            ]
        },
    }
    assert {each.source for each in references(PoolSpec, spec)} == values.keys()
    assert filled(PoolSpec, PoolSpec.rest_body(spec), values) == body
