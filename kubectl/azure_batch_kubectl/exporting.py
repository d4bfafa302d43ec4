"""The JSON that `az batch … create --json-file` takes, from an object: `export`. Pure; without what is the operator's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from azure_batch_kubectl import objects
from azure_batch_kubectl.failure import FailureError
from azure_batch_kubectl.objects import Object, status
from azure_batch_operator.api.job import JobSpec
from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.pool import PoolSpec
from azure_batch_operator.api.schedule import JobScheduleSpec
from azure_batch_operator.api.task import TaskSpec
from azure_batch_operator.reconcile.job.expand import expand

_REFERENCES = ("SecretRef", "valueFrom", "containerUrlFrom")
_FORMULA = ("autoScaleProfile", "maxIdle")
_SIZE = ("targetDedicatedNodes", "targetLowPriorityNodes", "resizeTimeout")
COMMANDS: Mapping[Kind, str] = {
    Kind.POOL: "az batch pool create --json-file FILE",
    Kind.JOB: "az batch job create --json-file FILE",
    Kind.SCHEDULE: "az batch job-schedule create --json-file FILE",
    Kind.TASK: "az batch task create --job-id JOB --json-file FILE",
}


@dataclass
class Exported:
    """A body, and what the user should know of it."""

    body: Any
    notes: list[str] = field(default_factory=list)


def exported(thing: Object, pool_id: str | None) -> Exported:
    """The body that creates what an object stands for.

    Args:
        pool_id: ID of the pool that the object names.

    Raises:
        FailureError: Azure Batch has no such thing, or the object does not say all of it.
    """
    kind = Kind(thing["kind"])
    if kind not in COMMANDS:
        raise FailureError(
            f"az batch has no command that takes a {kind}: export a pool, a job, a job schedule or a task"
        )
    made = Exported({})
    body = _BODIES[kind](thing, pool_id, made.notes)
    made.body = {"id": objects.remote_id(thing)} | _without_references(body, "", made.notes)
    return made


def tasks(job: Object) -> Exported:
    """The tasks of a job as a list, as `az batch task create` takes it.

    Raises:
        FailureError: the tasks do not stand in the object.
    """
    spec = objects.spec(job)
    items = (spec.get("taskFactory") or {}).get("taskPerItem") or {}
    if "retryOf" in spec or "tasksFrom" in spec or "itemsFrom" in items:
        raise FailureError(
            f"the tasks of BatchJob {objects.name(job)} come from elsewhere (retryOf, tasksFrom or itemsFrom): list them with "
            "az batch task list once the job exists"
        )
    made = Exported([])
    for each in expand(spec, objects.remote_id(job)):
        notes: list[str] = []
        made.body.append(_without_references(each, f"task {each['id']}", notes))
        made.notes += notes
    return made


def _pool(thing: Object, pool_id: str | None, notes: list[str]) -> dict[str, Any]:
    del pool_id
    spec = objects.spec(thing)
    body = PoolSpec.rest_body(spec)
    if any(name in spec for name in _FORMULA):
        formula = status(thing).get("autoScaleFormula")
        if not formula:
            raise FailureError(
                f"BatchPool {objects.name(thing)} does not show the formula of its profile yet: wait until it is ready"
            )
        body = {name: value for name, value in body.items() if name not in _SIZE}
        body |= {"enableAutoScale": True, "autoScaleFormula": formula}
    if not (body.get("virtualMachineConfiguration") or {}).get("nodeAgentSKUId"):
        notes.append("nodeAgentSKUId is selected by the operator: add it to virtualMachineConfiguration")
    return body


def _on_pool(body: dict[str, Any], pool_id: str | None) -> dict[str, Any]:
    return body | ({"poolInfo": {"poolId": pool_id}} if pool_id is not None else {})


def _job(thing: Object, pool_id: str | None, notes: list[str]) -> dict[str, Any]:
    spec = objects.spec(thing)
    if "retryOf" in spec:
        raise FailureError(f"BatchJob {objects.name(thing)} takes its settings from another (retryOf): export that one")
    body = _on_pool(JobSpec.rest_body(spec), pool_id)
    if str(body.get("onAllTasksComplete", "")).lower() == "terminatejob":
        del body["onAllTasksComplete"]
        notes.append(
            "onAllTasksComplete is left out, because a job without tasks would end at once: set it once it has tasks"
        )
    # As the operator creates it: it cannot be set later.
    return {"usesTaskDependencies": True} | body


def _schedule(thing: Object, pool_id: str | None, notes: list[str]) -> dict[str, Any]:
    del notes
    spec = objects.spec(thing)
    if "cron" in spec:
        raise FailureError(
            f"BatchJobSchedule {objects.name(thing)} uses cron, which only the operator supports: Azure Batch supports "
            "only intervals"
        )
    body = JobScheduleSpec.rest_body(spec)
    return body | {"jobSpecification": _on_pool(body["jobSpecification"], pool_id)}


def _task(thing: Object, pool_id: str | None, notes: list[str]) -> dict[str, Any]:
    del pool_id, notes
    return TaskSpec.rest_body(objects.spec(thing))


_BODIES = {Kind.POOL: _pool, Kind.JOB: _job, Kind.SCHEDULE: _schedule, Kind.TASK: _task}


def _without_references(value: Any, path: str, notes: list[str]) -> Any:
    """A body without references to Secrets and ConfigMaps, which only the operator can read; each is noted."""
    if isinstance(value, list):
        return [_without_references(each, f"{path}[{number}]", notes) for number, each in enumerate(value)]
    if not isinstance(value, Mapping):
        return value
    kept = {}
    for name, each in value.items():
        where = f"{path}.{name}".lstrip(".")
        if name.endswith(_REFERENCES):
            notes.append(f"{where} is left out: insert the value itself")
        else:
            kept[name] = _without_references(each, where, notes)
    return kept
