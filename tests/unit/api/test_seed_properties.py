"""Every property of the bodies that create and change pools, jobs, tasks and schedules is in the custom resources."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from azure_batch_operator.api.base import ApiModel
from azure_batch_operator.api.job import JobSpec
from azure_batch_operator.api.pool import PoolSpec
from azure_batch_operator.api.schedule import JobScheduleSpec
from azure_batch_operator.api.task import TaskSpec
from azure_batch_operator.api.task_body import Task
from azure_batch_operator.crds import structural

DIGEST = json.loads((Path(__file__).parents[2] / "data" / "api-2024-07-01.20.0.json").read_text())

BODIES: list[tuple[str, type[ApiModel]]] = [
    ("Pools_CreatePool", PoolSpec),
    ("Pools_UpdatePool", PoolSpec),
    ("Pools_ReplacePoolProperties", PoolSpec),
    ("Pools_ResizePool", PoolSpec),
    ("Pools_EnablePoolAutoScale", PoolSpec),
    ("Jobs_CreateJob", JobSpec),
    ("Jobs_UpdateJob", JobSpec),
    ("JobSchedules_CreateJobSchedule", JobScheduleSpec),
    ("JobSchedules_UpdateJobSchedule", JobScheduleSpec),
    ("Tasks_CreateTask", TaskSpec),
    ("Tasks_CreateTask", Task),
]

RETIRED = "certificates are retired; only an empty list is let through"
EXCEPTIONS = {
    "certificateReferences[].thumbprint": RETIRED,
    "certificateReferences[].thumbprintAlgorithm": RETIRED,
    "certificateReferences[].storeLocation": RETIRED,
    "certificateReferences[].storeName": RETIRED,
    "certificateReferences[].visibility": RETIRED,
    "certificateReferences[].visibility[]": RETIRED,
}
TYPES = {"string": "string", "enum": "string", "integer": "integer", "boolean": "boolean", "object": "object"}


def properties(shape: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Path and type of everything below a body of the digest."""
    if isinstance(shape, list):
        yield path, "array"
        yield from properties(shape[0], f"{path}[]")
    elif isinstance(shape, int):
        if path:
            yield path, "object"
        for name, child in DIGEST["shapes"][shape].items():
            yield from properties(child, f"{path}.{name}".lstrip("."))
    else:
        yield path, TYPES[shape]


def find(schema: dict[str, Any], path: str) -> dict[str, Any] | None:
    """The schema at a path."""
    at: dict[str, Any] | None = schema
    for part in path.replace("[]", ".[]").split("."):
        if at is None:
            return None
        at = at.get("items") if part == "[]" else at.get("properties", {}).get(part)
    return at


CASES = [
    (operation, model, path, type_)
    for operation, model in BODIES
    for path, type_ in properties(DIGEST["operations"][operation]["body"])
]
SCHEMAS = {model: structural(model, nullable=True) for _, model in BODIES}


def test_the_walk_sees_the_depths() -> None:
    paths = {path for _, _, path, _ in CASES}
    assert "virtualMachineConfiguration.osDisk.managedDisk.securityProfile.securityEncryptionType" in paths
    assert "poolInfo.autoPoolSpecification.pool.mountConfiguration[].cifsMountConfiguration.password" in paths
    assert len(CASES) > 900


@pytest.mark.parametrize(("operation", "model"), BODIES, ids=[f"{name}-{model.__name__}" for name, model in BODIES])
def test_every_property_is_there_with_its_type(operation: str, model: type[ApiModel]) -> None:
    wrong = []
    for _, _, path, type_ in (case for case in CASES if case[:2] == (operation, model)):
        if any(path.endswith(exception) for exception in EXCEPTIONS):
            continue
        found = find(SCHEMAS[model], path)
        if found is None or found.get("type") != type_ or not found.get("description", path.endswith("[]")):
            wrong.append((path, type_, found))
    assert wrong == []


def sent_in_vain(model: type[ApiModel], shape: Any, path: str = "") -> Iterator[str]:
    """What a body would carry although the API has no such property."""
    children = DIGEST["shapes"][shape]
    for name, member in model.members().items():
        if name in model.ours or member.stands_for:
            continue
        if name not in children:
            yield f"{path}{name}"
        elif member.model:
            child = children[name]
            yield from sent_in_vain(member.model, child[0] if isinstance(child, list) else child, f"{path}{name}.")


CREATES = [(operation, model) for operation, model in BODIES if "_Create" in operation]


@pytest.mark.parametrize(("operation", "model"), CREATES, ids=[f"{name}-{model.__name__}" for name, model in CREATES])
def test_properties_outside_the_api_are_marked(operation: str, model: type[ApiModel]) -> None:
    assert list(sent_in_vain(model, DIGEST["operations"][operation]["body"])) == []


def test_no_exception_is_without_a_case() -> None:
    paths = [path for _, _, path, _ in CASES]
    assert [each for each in EXCEPTIONS if not any(path.endswith(each) for path in paths)] == []


def test_enums_take_any_casing_and_say_their_values() -> None:
    for operation, model in BODIES:
        for path, type_ in _enums(DIGEST["operations"][operation]["body"]):
            if path not in EXCEPTIONS and not any(path.endswith(each) for each in EXCEPTIONS):
                assert "(?i:" in (find(SCHEMAS[model], path) or {}).get("pattern", ""), (operation, path, type_)


def _enums(shape: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(shape, list):
        yield from _enums(shape[0], f"{path}[]")
    elif isinstance(shape, int):
        for name, child in DIGEST["shapes"][shape].items():
            yield from _enums(child, f"{path}.{name}".lstrip("."))
    elif shape == "enum":
        yield path, shape
