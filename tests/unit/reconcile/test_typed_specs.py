"""The typed specs that decisions read: each is a part of the model that the CRD is generated from."""

from __future__ import annotations

from typing import Any, get_type_hints

import msgspec
import pytest
from pydantic import BaseModel

from azure_batch_operator.api.base import Condition as ConditionModel
from azure_batch_operator.api.kinds import KINDS, Kind
from azure_batch_operator.api.operation import OperationResult
from azure_batch_operator.api.pool_status import Remediation
from azure_batch_operator.batch.wire import Wire, build
from azure_batch_operator.reconcile.account.spec import AccountSpec
from azure_batch_operator.reconcile.account.spec import Before as AccountBefore
from azure_batch_operator.reconcile.conditions import Condition
from azure_batch_operator.reconcile.operation.spec import Before as OperationBefore
from azure_batch_operator.reconcile.operation.spec import OperationSpec, RecordedResult
from azure_batch_operator.reconcile.pool.history import Remediated
from azure_batch_operator.reconcile.pool.spec import PoolSpec
from azure_batch_operator.reconcile.schedule.spec import Before as ScheduleBefore
from azure_batch_operator.reconcile.schedule.spec import Cron, RunStatus, ScheduleSpec
from unit.objects import resource

SPECS: dict[Kind, type[Wire]] = {
    Kind.ACCOUNT: AccountSpec,
    Kind.POOL: PoolSpec,
    Kind.SCHEDULE: ScheduleSpec,
    Kind.OPERATION: OperationSpec,
}


def inner(annotation: Any) -> list[Any]:
    """An annotation and those inside of it."""
    return [annotation, *(found for part in getattr(annotation, "__args__", ()) for found in inner(part))]


def plain(annotation: Any) -> set[type]:
    """The types that the JSON of an annotation can have; a Literal and an Enum are texts."""
    found = inner(annotation)
    literal = {type(part) for part in found if isinstance(part, str)}
    return literal | {
        leaf for part in found if isinstance(part, type) for leaf in (str, bool, int, float) if issubclass(part, leaf)
    }


def differences(struct: type[Wire], model: type[BaseModel], path: str = "spec") -> list[str]:
    """Members of a struct that the model does not have, or has with another type."""
    names = {info.serialization_alias or info.alias or name: info for name, info in model.model_fields.items()}
    hints = get_type_hints(struct)
    wrong: list[str] = []
    for member in msgspec.structs.fields(struct):
        where = f"{path}.{member.encode_name}"
        if member.encode_name not in names:
            wrong.append(f"{where} is not in {model.__name__}")
            continue
        annotation = names[member.encode_name].annotation
        structs = [part for part in inner(hints[member.name]) if isinstance(part, type) and issubclass(part, Wire)]
        models = [part for part in inner(annotation) if isinstance(part, type) and issubclass(part, BaseModel)]
        if structs and models:
            wrong += differences(structs[0], models[0], where)
        elif structs or models or plain(hints[member.name]) != plain(annotation):
            wrong.append(f"{where} has another type in {model.__name__}")
        if member.required:
            wrong.append(f"{where} is required, but an old object may lack it")
    return wrong


@pytest.mark.parametrize("kind", SPECS)
def test_a_typed_spec_is_a_part_of_the_model(kind: Kind) -> None:
    assert differences(SPECS[kind], KINDS[kind].spec) == []


def test_what_is_read_of_a_status_is_a_part_of_the_model() -> None:
    assert differences(AccountBefore, KINDS[Kind.ACCOUNT].status, "status") == []
    assert differences(ScheduleBefore, KINDS[Kind.SCHEDULE].status, "status") == []
    assert differences(OperationBefore, KINDS[Kind.OPERATION].status, "status") == []
    assert differences(RecordedResult, OperationResult) == []
    assert differences(RunStatus, KINDS[Kind.JOB].status, "status") == []
    assert differences(Condition, ConditionModel) == []
    assert differences(Remediated, Remediation) == []


def test_the_comparison_finds_what_differs() -> None:
    class Wrong(Wire, frozen=True, gc=False):
        suspend: str | None = None
        cron: str | None = None
        paused: bool = False

    assert differences(Wrong, KINDS[Kind.SCHEDULE].spec) == [
        "spec.suspend has another type in JobScheduleSpec",
        "spec.cron has another type in JobScheduleSpec",
        "spec.paused is not in JobScheduleSpec",
    ]


def test_a_spec_of_an_old_object_is_built_without_what_has_another_type() -> None:
    spec = {
        "cron": {"expression": "* * * * *", "timeZone": 7, "failedJobsHistoryLimit": None},
        "suspend": "yes",
        "new": 1,
    }
    one = resource(Kind.SCHEDULE, spec)
    assert build(ScheduleSpec, one.spec) == ScheduleSpec(cron=Cron(expression="* * * * *"), suspend=False)
    assert build(ScheduleSpec, resource(Kind.SCHEDULE, {"cron": {"timeZone": "UTC"}}).spec) == ScheduleSpec()
