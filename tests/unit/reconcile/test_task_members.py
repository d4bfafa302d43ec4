"""What is known of each member of a task on the wire: what the service fills in, and how values are compared.

With `taskUpdatePolicy: Replace` a task runs again if it differs from its spec, so a default that nobody knows of would repeat work.
The members come from the models of the wire format: a new one fails here until it is decided about.
"""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, Union, get_args, get_origin

import pytest

from azure_batch_emulator.schema import jobs as job_schema
from azure_batch_emulator.schema import tasks as task_schema
from azure_batch_emulator.web import render
from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.batch.models.base import Model, WireEnum
from azure_batch_operator.batch.models.tasks import TaskCreate
from azure_batch_operator.reconcile import normalization as normal
from support.job_engine import TaskBench
from unit.objects import TASK_SPEC, resource

ECHOED: Mapping[str, str] = {
    "task": "displayName",
    "default": "jobAction dependencyAction",
    "exitOptions": "jobAction dependencyAction",
    "fileUploadError": "jobAction dependencyAction",
    "preProcessingError": "jobAction dependencyAction",
    "containerSettings": "containerRunOptions",
    "containerHostBatchBindMounts": "source isReadOnly",
    "registry": "username",
    "identityReference": "resourceId",
    "resourceFiles": "autoStorageContainerName storageContainerUrl httpUrl blobPrefix filePath",
    "commonResourceFiles": "autoStorageContainerName storageContainerUrl httpUrl blobPrefix filePath",
    "container": "path",
    "uploadHeaders": "value",
    "environmentSettings": "value",
    "userIdentity": "username",
    "applicationPackageReferences": "version",
    "dependsOn": "taskIds",
    "authenticationTokenSettings": "access",
}
"""Members that GET shows only if they were sent (docs/azure-batch.md#defaults), by what they are members of."""


@dataclass(frozen=True)
class Member:
    """A member that is no object.

    Attributes:
        parent: name of what it is a member of, `task` at the top.
        required: whether it is always sent.
        type: of its value, or of the values in it.
    """

    parent: str
    name: str
    required: bool
    type: type[Any]


def value_type(annotation: Any) -> type[Any]:
    """The type of a value; of a list that of its items, of an open enum the enum."""
    while True:
        origin, args = get_origin(annotation), [each for each in get_args(annotation) if each is not type(None)]
        if origin in (Union, types.UnionType):
            enums = [each for each in args if isinstance(each, type) and issubclass(each, WireEnum)]
            annotation = enums[0] if enums else args[0]
        elif origin in (Annotated, list):
            annotation = args[0]
        else:
            assert isinstance(annotation, type), annotation
            return annotation


def members(model: type[Model], parent: str) -> Iterator[Member]:
    for field_name, field in model.model_fields.items():
        name, kind = field.serialization_alias or field.alias or field_name, value_type(field.annotation)
        if issubclass(kind, Model):
            yield from members(kind, name)
        else:
            yield Member(parent, name, field.is_required(), kind)


MEMBERS = sorted(set(members(TaskCreate, "task")), key=lambda each: (each.parent, each.name))


@pytest.mark.parametrize("member", MEMBERS, ids=lambda each: f"{each.parent}.{each.name}")
def test_it_is_known_what_the_service_has_for_a_member_that_is_left_out(member: Member) -> None:
    pair = (member.parent, member.name)
    known = [
        member.required,
        pair in normal.TASK_DEFAULTS,
        pair == normal.OF_THE_JOB,
        member.name in normal.NEVER_RETURNED,
        member.name in ECHOED.get(member.parent, "").split(),
    ]
    assert known.count(True) == 1


def test_nothing_is_known_of_members_that_do_not_exist() -> None:
    optional = {(each.parent, each.name) for each in MEMBERS if not each.required}
    echoed = {(parent, name) for parent, names in ECHOED.items() for name in names.split()}
    assert {*normal.TASK_DEFAULTS, *echoed, normal.OF_THE_JOB} <= optional


@pytest.mark.parametrize("member", MEMBERS, ids=lambda each: f"{each.parent}.{each.name}")
def test_values_are_compared_as_their_types_are_written(member: Member) -> None:
    """The service writes enums and durations in its own way."""
    assert (member.name in normal.ANY_CASE) == issubclass(member.type, WireEnum)
    assert (member.name in normal.DURATIONS) == issubclass(member.type, timedelta)


_MINIMAL: Mapping[str, Any] = {
    "ResourceFile": {"httpUrl": "https://x.example/f", "filePath": "f"},
    "OutputFileDestination": {"container": {"containerUrl": "https://x.example/c"}},
    "OutputFileUploadConfig": {"uploadCondition": "taskcompletion"},
    "ContainerRegistryReference": {"username": "u", "password": "p"},
    "UserIdentity": {"autoUser": {}},
    "TaskDependencies": {"taskIds": ["before"]},
    "TaskIdRange": {"start": 1, "end": 2},
}
"""What a value needs beyond what its model requires."""


def minimal(model: type[Model]) -> dict[str, Any]:
    found: dict[str, Any] = dict(_MINIMAL.get(model.__name__, {}))
    for field_name, field in model.model_fields.items():
        name, kind = field.serialization_alias or field.alias or field_name, value_type(field.annotation)
        if field.is_required() and name not in found:
            found[name] = minimal(kind) if issubclass(kind, Model) else 1 if issubclass(kind, int) else "x"
    return found


def bodies(model: type[Model]) -> Iterator[dict[str, Any]]:
    """The least of a model, and the same with each object in it, at every depth, that says as little as it can."""
    yield minimal(model)
    for field_name, field in model.model_fields.items():
        name, kind = field.serialization_alias or field.alias or field_name, value_type(field.annotation)
        if issubclass(kind, Model):
            for body in bodies(kind):
                value = [body] if "list[" in str(field.annotation) else body
                yield minimal(model) | {name: value}


JOB = {"id": "own", "poolInfo": {"poolId": "cpu"}, "usesTaskDependencies": True}
BODIES = [{**body, "id": "one"} for body in bodies(TaskCreate)]


@pytest.mark.parametrize("body", BODIES, ids=str)
def test_a_task_that_says_as_little_as_it_can_is_not_replaced(body: dict[str, Any]) -> None:
    service = TaskBench(resource(Kind.TASK, TASK_SPEC)).service
    service.applications["x"] = {"id": "x", "displayName": "", "versions": ["1"], "defaultVersion": "1"}
    service.jobs.create("own", job_schema.JOB.accept("", JOB))
    service.tasks.add(service.job("own"), task_schema.TASK.accept("", body))
    there = render.task("http://here", service.task("own", "one"))
    assert normal.contains(there, body)
    assert normal.has_no_more(there, body)
