"""The typed specs that decisions read: each is a part of the model that the CRD is generated from."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, get_origin, get_type_hints

import msgspec
import pytest
from pydantic import BaseModel

from azure_batch_operator.api.kinds import KINDS, Kind
from azure_batch_operator.api.operation_status import OperationResult
from azure_batch_operator.api.pool_status import Remediation
from azure_batch_operator.api.status import Condition as ConditionModel
from azure_batch_operator.api.task_body import Task
from azure_batch_operator.batch.task_wire import ExitCode, ExitConditions, ExitOptions, TaskNeeds
from azure_batch_operator.batch.wire import EnvironmentSetting, TaskConstraints, Wire, build, convert
from azure_batch_operator.reconcile.account.spec import AccountSpec
from azure_batch_operator.reconcile.account.spec import Before as AccountBefore
from azure_batch_operator.reconcile.before import Before, Condition, said_by, status_before
from azure_batch_operator.reconcile.job.spec import JobBefore, JobOutline, JobTerms, TaskLinks
from azure_batch_operator.reconcile.operation.spec import Before as OperationBefore
from azure_batch_operator.reconcile.operation.spec import OperationSpec, RecordedResult
from azure_batch_operator.reconcile.pool.history import Remediated
from azure_batch_operator.reconcile.pool.spec import PoolBefore, PoolSpec
from azure_batch_operator.reconcile.references import References
from azure_batch_operator.reconcile.schedule.spec import Before as ScheduleBefore
from azure_batch_operator.reconcile.schedule.spec import Cron, RunStatus, ScheduleSpec
from azure_batch_operator.reconcile.task.spec import NameRef, TaskBefore, TaskTerms
from unit.objects import resource

SPECS: dict[Kind, type[Wire]] = {
    Kind.ACCOUNT: AccountSpec,
    Kind.POOL: PoolSpec,
    Kind.JOB: JobTerms,
    Kind.TASK: TaskTerms,
    Kind.SCHEDULE: ScheduleSpec,
    Kind.OPERATION: OperationSpec,
}
REMOTE = (Kind.POOL, Kind.JOB, Kind.TASK, Kind.SCHEDULE)
"""Kinds that stand for a resource in Azure Batch."""
COMPUTED = {
    "spec.whole",
    "spec.tasksFromStarts",
    *(f"spec.taskFactory.taskPerItem.{name}" for name in ("rows", "columns", "longest")),
}
"""Members that are not in a manifest: the operator finds them in ConfigMaps."""


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


def is_body(hint: Any) -> bool:
    """Whether a member is a part of a manifest as it is written, or a list of such parts."""
    return any(get_origin(part) is Mapping for part in inner(hint))


def differences(struct: type[Wire], model: type[BaseModel], path: str = "spec") -> list[str]:
    """Members of a struct that the model does not have, or has with another type."""
    names = {info.serialization_alias or info.alias or name: info for name, info in model.model_fields.items()}
    hints = get_type_hints(struct)
    wrong: list[str] = []
    for member in msgspec.structs.fields(struct):
        where = f"{path}.{member.encode_name}"
        if where in COMPUTED:
            continue
        if member.encode_name not in names:
            wrong.append(f"{where} is not in {model.__name__}")
            continue
        annotation = names[member.encode_name].annotation
        structs = [part for part in inner(hints[member.name]) if isinstance(part, type) and issubclass(part, Wire)]
        models = [part for part in inner(annotation) if isinstance(part, type) and issubclass(part, BaseModel)]
        if models and not structs and is_body(hints[member.name]):
            pass
        elif structs and models:
            wrong += differences(structs[0], models[0], where)
        elif structs or models or plain(hints[member.name]) != plain(annotation):
            wrong.append(f"{where} has another type in {model.__name__}")
        if member.required:
            wrong.append(f"{where} is required, but an old object may lack it")
    return wrong


def test_what_is_read_of_many_jobs_is_a_part_of_the_model() -> None:
    assert differences(JobOutline, KINDS[Kind.JOB].spec) == []


def test_what_a_spec_names_is_a_part_of_a_model() -> None:
    wrong = [{*differences(References, info.spec)} for info in KINDS.values()]
    assert not [each for each in set().union(*wrong) if " is not in " not in each]
    unknown = [{each.split()[0] for each in found} for found in wrong]
    assert set.intersection(*unknown) == set()


@pytest.mark.parametrize("struct", [TaskLinks, TaskNeeds])
def test_what_is_read_of_a_task_of_a_job_is_a_part_of_its_model(struct: type[Wire]) -> None:
    assert differences(struct, Task) == []


@pytest.mark.parametrize("kind", SPECS)
def test_a_typed_spec_is_a_part_of_the_model(kind: Kind) -> None:
    assert differences(SPECS[kind], KINDS[kind].spec) == []


def test_what_is_read_of_a_status_is_a_part_of_the_model() -> None:
    assert differences(AccountBefore, KINDS[Kind.ACCOUNT].status, "status") == []
    assert differences(ScheduleBefore, KINDS[Kind.SCHEDULE].status, "status") == []
    assert differences(OperationBefore, KINDS[Kind.OPERATION].status, "status") == []
    assert differences(JobBefore, KINDS[Kind.JOB].status, "status") == []
    assert differences(PoolBefore, KINDS[Kind.POOL].status, "status") == []
    assert differences(TaskBefore, KINDS[Kind.TASK].status, "status") == []
    assert differences(RecordedResult, OperationResult) == []
    assert differences(RunStatus, KINDS[Kind.JOB].status, "status") == []
    assert differences(Condition, ConditionModel) == []
    assert [differences(Before, KINDS[kind].status, "status") for kind in REMOTE] == [[], [], [], []]
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


def test_a_spec_of_an_old_task_is_read_without_what_has_another_type() -> None:
    spec = {
        "jobRef": {"name": "steps"},
        "jobId": 7,
        "commandLine": None,
        "constraints": {"maxTaskRetryCount": "twice", "retentionTime": "P1D"},
        "exitConditions": {
            "default": {"jobAction": 1},
            "exitCodes": [7, {"code": 1, "exitOptions": {"jobAction": "none"}}],
        },
        "environmentSettings": [{"name": "A", "value": "1"}, {"value": "2"}, None],
    }
    terms = convert(TaskTerms, resource(Kind.TASK, spec).spec)
    assert terms == TaskTerms(
        job_ref=NameRef(name="steps"),
        constraints=TaskConstraints(retention_time="P1D"),
        exit_conditions=ExitConditions(
            default=ExitOptions(), exit_codes=(ExitCode(code=1, exit_options=ExitOptions(job_action="none")),)
        ),
        environment_settings=(EnvironmentSetting(name="A", value="1"),),
    )
    assert terms.exit_conditions.acts_on_job


HOSTILE: list[tuple[dict[str, Any], Before]] = [
    ({"phase": 7, "observedGeneration": "new", "conditions": "none", "handled": []}, Before()),
    ({"phase": None, "observedGeneration": None, "conditions": None, "handled": None}, Before()),
    ({"phase": "Unheard", "account": {"a": 1}, "state": True, "handled": {"retryFailed": 2, "later": "x"}},
     Before(phase="Unheard")),
    ({"conditions": [None, 7, {}, {"type": None}, {"status": "True"}], "url": "\ud800", "\ud800": 1}, Before(url="\ud800")),
]  # fmt: skip


@pytest.mark.parametrize(("status", "expected"), HOSTILE)
@pytest.mark.parametrize("kind", REMOTE)
def test_a_hostile_status_says_only_what_has_its_type(kind: Kind, status: dict[str, Any], expected: Before) -> None:
    assert status_before(resource(kind, {}, status=copy.deepcopy(status))) == expected


def test_of_a_status_with_a_member_that_nobody_checks_the_rest_counts() -> None:
    said = said_by({"phase": ["x"], "state": "active", "observedGeneration": 2, "conditions": [{"type": "Ready"}]})
    assert (said.state, said.observed_generation, said.conditions) == ("active", 2, (Condition(type="Ready"),))


def test_each_object_has_its_own_status() -> None:
    one, other = (resource(Kind.JOB, {}, status={"phase": phase}) for phase in ("Running", "Failed"))
    assert [status_before(each).phase for each in (one, other, one, replace(one, status=other.status))] == [
        "Running", "Failed", "Running", "Failed",
    ]  # fmt: skip
