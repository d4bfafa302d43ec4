"""The schemas against the official client's models: every property that it can send is known, under the same name."""

from __future__ import annotations

import sys
import typing
from collections.abc import Iterator
from typing import Any

import pytest
from azure.batch import models
from azure.batch.models import _models

from azure_batch_emulator.schema import jobs, machines, nodes, pools, tasks
from azure_batch_emulator.schema.types import DEEPEST, Anything, Integer, Many, Struct
from azure_batch_emulator.schema.versions import DEFAULT, VERSIONS, Version
from azure_batch_emulator.wire.errors import BatchError

Model: Any = _models.BatchPool.__mro__[1]

# The service sets it; bodies copied from a response have it too.
READ_ONLY = {"exactVersion"}


def unwrapped(hint: Any) -> list[Any]:
    """The classes in a hint such as ``Optional[List[X]]``."""
    arguments = typing.get_args(hint)
    return [found for argument in arguments for found in unwrapped(argument)] if arguments else [hint]


def differences(model: Any, kind: Any, path: str) -> list[str]:
    """Properties of a model that a schema lacks, and the other way round."""
    while isinstance(kind, Many):
        kind = kind._item
    if isinstance(kind, Anything):
        return []
    assert isinstance(kind, Struct), path
    model.__new__(model)
    hints = typing.get_type_hints(model, vars(sys.modules[model.__module__]) | {"_models": models})
    fields = {name: field for name, field in model._attr_to_rest_field.items() if field._visibility != ["read"]}
    names = {field._rest_name: attribute for attribute, field in fields.items()}
    newer = DEFAULT.unknown | ({"managedDisk"} if path.endswith(".dataDisks") else set())
    found = [f"{path}: {name}" for name in (set(names) ^ (set(kind.properties) - newer)) - READ_ONLY]
    for name in set(names) & set(kind.properties):
        for inner in unwrapped(hints[names[name]]):
            if isinstance(inner, type) and issubclass(inner, Model):
                found += differences(inner, kind.properties[name].kind, f"{path}.{name}")
    return found


@pytest.mark.parametrize(
    ("model", "schema"),
    [
        (models.BatchPoolCreateContent, pools.POOL),
        (models.BatchPoolUpdateContent, pools.POOL_UPDATE),
        (models.BatchPoolReplaceContent, pools.POOL_REPLACE),
        (models.BatchPoolResizeContent, pools.RESIZE),
        (models.BatchPoolEnableAutoScaleContent, pools.ENABLE_AUTO_SCALE),
        (models.BatchPoolEvaluateAutoScaleContent, pools.EVALUATE_AUTO_SCALE),
        (models.BatchNodeRemoveContent, pools.REMOVE_NODES),
        (models.BatchJobCreateContent, jobs.JOB),
        (models.BatchJobUpdateContent, jobs.JOB_UPDATE),
        (models.BatchJobDisableContent, jobs.DISABLE_JOB),
        (models.BatchJobTerminateContent, jobs.TERMINATE_JOB),
        (models.BatchJobScheduleCreateContent, jobs.JOB_SCHEDULE),
        (models.BatchJobScheduleUpdateContent, jobs.JOB_SCHEDULE_UPDATE),
        (models.BatchTaskCreateContent, tasks.TASK),
        (models.BatchNodeUserCreateContent, nodes.USER),
        (models.BatchNodeUserUpdateContent, nodes.USER_UPDATE),
        (models.BatchNodeRebootContent, nodes.REBOOT),
        (models.BatchNodeReimageContent, nodes.REIMAGE),
        (models.BatchNodeDeallocateContent, nodes.DEALLOCATE),
        (models.BatchNodeDisableSchedulingContent, nodes.DISABLE_SCHEDULING),
        (models.UploadBatchServiceLogsContent, nodes.UPLOAD_LOGS),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_every_property_of_a_request_is_known(model: Any, schema: Struct) -> None:
    assert differences(model, schema, model.__name__) == []


def _leaves(kind: Any, path: str, seen: set[int]) -> Iterator[tuple[str, Any]]:
    """Types without parts, of a schema and all that it is made of."""
    if id(kind) in seen:
        return
    if isinstance(kind, Struct):
        seen = seen | {id(kind)}
        for name, declared in kind.properties.items():
            yield from _leaves(declared.kind, f"{path}.{name}", seen)
    elif isinstance(kind, Many):
        yield from _leaves(kind._item, path, seen)
    else:
        yield path, kind


_SCHEMAS = [
    (f"{module.__name__.rpartition('.')[2]}.{name}", schema)
    for module in (pools, jobs, tasks, nodes)
    for name, schema in vars(module).items()
    if name.isupper() and isinstance(schema, Struct)
]


def test_whole_numbers_have_the_range_of_their_type() -> None:
    """The API's counts are int32 without exception: whatever is accepted fits, in every schema there is."""
    numbers = [
        (path, kind)
        for name, schema in _SCHEMAS
        for path, kind in _leaves(schema, name, set())
        if isinstance(kind, Integer)
    ]
    assert {path.rpartition(".")[2] for path, _ in numbers} > {
        "targetDedicatedNodes",
        "priority",
        "numberOfInstances",
        "lun",
    }
    for path, kind in numbers:
        for value in (2**31, -(2**31) - 1, 2**63, 10**40, 9e30, 1.0, True, "1", float("nan")):
            with pytest.raises(BatchError, match="400"):
                kind.accept(path, value)


def test_properties_without_a_schema_are_known() -> None:
    """All other JSON has the depth of its schema; these have limits of their own."""
    unread = {
        path.rpartition(".")[2]
        for name, schema in _SCHEMAS
        for path, kind in _leaves(schema, name, set())
        if isinstance(kind, Anything)
    }
    assert unread <= {"settings", "protectedSettings", "resourceTags", "certificateReferences"}
    deep: Any = 1
    for _ in range(DEEPEST + 1):
        deep = [deep]
    for value in (deep, {"a": [2**63]}, -(2**63) - 1, 2**64, -(2**64)):
        with pytest.raises(BatchError, match="400"):
            Anything().accept("settings", value)
    assert Anything().accept("settings", deep[0]) == deep[0]


@pytest.mark.parametrize("version", [{}, {"version": ""}, {"version": None}, {"version": "latest"}])
@pytest.mark.parametrize("ids", [{}, {"virtualMachineImageId": ""}, {"sharedGalleryImageId": "", "exactVersion": ""}])
def test_an_empty_version_or_id_of_an_image_is_as_good_as_none(version: dict[str, Any], ids: dict[str, Any]) -> None:
    named = {"publisher": "p", "offer": "o", "sku": "s"}
    assert machines.IMAGE.accept("", named | version | ids) == named | {"version": "latest"}
    image_id = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/images/i"
    if version.get("version"):
        return
    assert machines.IMAGE.accept("", version | ids | {"virtualMachineImageId": image_id}) == {
        "virtualMachineImageId": image_id
    }


@pytest.mark.parametrize("name", ["publisher", "offer", "sku"])
def test_an_empty_name_of_an_image_is_missing(name: str) -> None:
    with pytest.raises(BatchError) as caught:
        machines.IMAGE.accept("", {"publisher": "p", "offer": "o", "sku": "s"} | {name: ""})
    assert (caught.value.code, caught.value.values["PropertyName"]) == ("MissingRequiredProperty", name)


def test_empty_names_beside_the_id_of_an_image_are_as_good_as_none() -> None:
    image_id = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/images/i"
    for names in (["publisher"], ["offer"], ["publisher", "offer", "sku"]):
        body = dict.fromkeys(names, "") | {"virtualMachineImageId": image_id}
        assert machines.IMAGE.accept("", body) == {"virtualMachineImageId": image_id}


@pytest.mark.parametrize("version", VERSIONS.values(), ids=lambda each: each.name)
def test_no_version_hides_what_is_in_the_users_own_settings(version: Version) -> None:
    own = {"certificateReferences": [1], "deallocated": {"ipTags": 2}, "taskSchedulingPolicy": {}}
    body = {"virtualMachineConfiguration": {"extensions": [{"name": "e", "settings": own}]}}
    assert version.show(body) == body
