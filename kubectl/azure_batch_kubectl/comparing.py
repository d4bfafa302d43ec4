"""What a spec says against what Azure Batch has: `diff`. Pure; `diff_command` reads both.

Whether a property differs is what the operator decides (`reconcile/*/changes.py`, `wire_equality`), so that `diff` is empty where
the operator changes nothing. Only how the difference is shown is decided here. Values that are taken from Secrets and ConfigMaps
are not compared. What looks like a secret is not shown, nor the value of an environment variable in Azure Batch that the spec does
not hold: it may come from a Secret that the spec no longer names.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from azure_batch_operator.api.base import GROUP, ApiModel
from azure_batch_operator.api.job import JobSpec
from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.pool import PoolSpec
from azure_batch_operator.api.schedule import JobScheduleSpec
from azure_batch_operator.batch.job_wire import Job
from azure_batch_operator.batch.redaction import redact
from azure_batch_operator.batch.wire import build
from azure_batch_operator.reconcile import applied
from azure_batch_operator.reconcile import normalization as normal
from azure_batch_operator.reconcile.applied import NOT_APPLIED
from azure_batch_operator.reconcile.job import changes as job_changes
from azure_batch_operator.reconcile.job.spec import JobTerms
from azure_batch_operator.reconcile.pool import changes as pool_changes
from azure_batch_operator.reconcile.pool import desired
from azure_batch_operator.reconcile.schedule import changes as schedule_changes
from azure_batch_operator.reconcile.wire_equality import is_default, same

KINDS = (Kind.POOL, Kind.JOB, Kind.SCHEDULE)
HIDDEN = "(hidden)"
_NOTHING: tuple[Any, ...] = (None, "", [], {})
_FORMULA = ("enableAutoScale", "autoScaleFormula", "autoScaleEvaluationInterval")
_MODELS: Mapping[Kind, type[ApiModel]] = {Kind.POOL: PoolSpec, Kind.JOB: JobSpec, Kind.SCHEDULE: JobScheduleSpec}
_MOVES_BY_ITSELF = frozenset({"onAllTasksComplete"})
"""Set by the operator once the tasks of a job are in."""


@dataclass(frozen=True)
class Compared:
    """Both sides of a resource, equal where it is as its spec says.

    Attributes:
        there: what Azure Batch has.
        wanted: what the spec says.
        notes: what the operator cannot bring about.
    """

    there: Mapping[str, Any]
    wanted: Mapping[str, Any]
    notes: tuple[str, ...] = ()


@dataclass
class _Wish:
    """What a spec says, and where the operator finds a difference.

    Attributes:
        body: the properties as Azure Batch takes them.
        different: names of those that differ.
    """

    body: dict[str, Any]
    different: set[str] = field(default_factory=set)
    notes: tuple[str, ...] = ()


Remote = Mapping[str, Any]


def compared(kind: Kind, id_: str, spec: Mapping[str, Any], pool_id: str | None, remote: Remote | None) -> Compared:
    """A spec against the resource.

    Args:
        spec: with the defaults of its account.
        pool_id: ID of the pool that a job or schedule names by `poolRef`.
        remote: the resource as Azure Batch returns it; None if there is none.
    """
    if remote is None:
        body = _BODIES[kind](id_, spec, pool_id, {})
        return Compared({}, _shown(body))
    wish = _WISHES[kind](id_, spec, pool_id, remote)
    before = applied.noted(remote)
    marks = applied.marks(wish.body if kind is Kind.SCHEDULE else _MODELS[kind].rest_body(spec))
    there: dict[str, Any] = {}
    for name, wanted in wish.body.items():
        if name not in wish.different:
            there[name] = wanted
        elif remote.get(name) not in _NOTHING:
            found = _own(remote[name]) if name == "metadata" else remote[name]
            there[name] = aligned(name, wanted, found, lenient=before.lenient(name, marks.get(name)))
    there |= {name: remote[name] for name in sorted(wish.different - wish.body.keys()) if name in remote}
    there = _without_other_values(there, wish.body)
    return Compared(*_told_apart(_said(there), _said(wish.body), wish.different), notes=wish.notes)


def _said(side: Mapping[str, Any]) -> dict[str, Any]:
    """Without what is as good as left out."""
    return {name: value for name, value in side.items() if value not in _NOTHING}


def _pool_body(id_: str, spec: Mapping[str, Any], pool_id: str | None, remote: Remote) -> dict[str, Any]:
    del pool_id
    agent = (remote.get("virtualMachineConfiguration") or {}).get("nodeAgentSKUId")
    return desired.body_of(id_, spec, agent)


def _job_body(id_: str, spec: Mapping[str, Any], pool_id: str | None, remote: Remote) -> dict[str, Any]:
    body = {"id": id_} | JobSpec.rest_body(spec) | ({"poolInfo": {"poolId": pool_id}} if pool_id is not None else {})
    constraints = job_changes.constraints(JobTerms.of(spec), build(Job, remote) if remote else None)
    return body | ({"constraints": constraints} if constraints is not None else {})


def _schedule_body(id_: str, spec: Mapping[str, Any], pool_id: str | None, remote: Remote) -> dict[str, Any]:
    del remote
    return {"id": id_} | schedule_changes.body_of(spec, pool_id)


def _pool(id_: str, spec: Mapping[str, Any], pool_id: str | None, remote: Remote) -> _Wish:
    body = _pool_body(id_, spec, pool_id, remote)
    agent = (body.get("virtualMachineConfiguration") or {}).get("nodeAgentSKUId")
    found = pool_changes.changes(spec, agent, remote, None)
    stuck = applied.cannot_be_unset(found.stuck, Kind.POOL)
    wish = _Wish({**body, **found.now, **found.empty}, {*found.names} - {"metadata"}, _texts(stuck))
    wish.different |= set(_size(desired.size_of_spec(spec), remote))
    _with_metadata(wish, body, remote)
    return wish


def _size(size: desired.Size, remote: Remote) -> Iterator[str]:
    """Which properties of the size differ (see `reconcile/pool/scale.py`)."""
    on = bool(remote.get("enableAutoScale"))
    if isinstance(size, desired.Fixed):
        if on:
            yield from _FORMULA
        else:
            numbers = zip(desired.TARGETS, (size.dedicated, size.low_priority), strict=True)
            yield from (name for name, number in numbers if number is not None and remote.get(name, 0) != number)
        return
    if not on:
        yield from _FORMULA
        return
    if str(remote.get("autoScaleFormula", "")).strip() != size.text.strip():
        yield "autoScaleFormula"
    interval = remote.get("autoScaleEvaluationInterval") or desired.SERVICE_INTERVAL
    if normal.ticks(interval) != normal.ticks(size.interval):
        yield "autoScaleEvaluationInterval"


def _job(id_: str, spec: Mapping[str, Any], pool_id: str | None, remote: Remote) -> _Wish:
    body = _job_body(id_, spec, pool_id, remote)
    job, terms = build(Job, remote), JobTerms.of(spec)
    found = job_changes.changes(terms, job, remote, {})
    stuck = job_changes.cannot_be_undone(terms, job, remote, tasks_left=True)
    wish = _Wish(body | found, {*found} - {"metadata"}, _texts(stuck))
    judged = {*job_changes.PLAIN, "constraints", "metadata", "id", *_MOVES_BY_ITSELF}
    # Fixed when the job was created.
    wish.different |= {
        name for name in body.keys() - judged if not same(name, body[name], remote.get(name), lenient=True)
    }
    _with_metadata(wish, body, remote)
    return wish


def _schedule(id_: str, spec: Mapping[str, Any], pool_id: str | None, remote: Remote) -> _Wish:
    body = _schedule_body(id_, spec, pool_id, remote)
    found = schedule_changes.changes(spec, pool_id, remote)
    wish = _Wish(body, {*found} - {"metadata"})
    _with_metadata(wish, body, remote)
    return wish


_BODIES: Mapping[Kind, Callable[..., dict[str, Any]]] = {
    Kind.POOL: _pool_body, Kind.JOB: _job_body, Kind.SCHEDULE: _schedule_body,
}  # fmt: skip
_WISHES: Mapping[Kind, Callable[..., _Wish]] = {Kind.POOL: _pool, Kind.JOB: _job, Kind.SCHEDULE: _schedule}


def _texts(condition: Mapping[str, tuple[bool, str, str]]) -> tuple[str, ...]:
    return (condition[NOT_APPLIED][2],) if NOT_APPLIED in condition else ()


def _with_metadata(wish: _Wish, body: Mapping[str, Any], remote: Remote) -> None:
    """The metadata of the user; markers and notes of the operator are nobody's wish."""
    own = applied.own_items(body, remote, applied.noted(remote))
    wish.body["metadata"] = own
    if normal.metadata(own) != normal.metadata(remote.get("metadata")):
        wish.different.add("metadata")


def _own(items: Sequence[Mapping[str, Any]]) -> list[Any]:
    return [item for item in items if not str(item.get("name")).startswith(f"{GROUP}/")]


def aligned(name: str, wanted: Any, found: Any, *, lenient: bool) -> Any:
    """What was found, written as the spec writes it wherever both mean the same, so that only what differs is shown.

    Args:
        lenient: whether what the spec does not say is the service's business.
    """
    if same(name, wanted, found, lenient=lenient):
        return wanted
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        return _aligned_members(name, wanted, found, lenient=lenient)
    if isinstance(wanted, list) and isinstance(found, list):
        return _aligned_items(name, wanted, found, lenient=lenient)
    return found


def _aligned_members(parent: str, wanted: Mapping[str, Any], found: Mapping[str, Any], *, lenient: bool) -> Any:
    result: dict[str, Any] = {}
    for name, value in wanted.items():
        if name.endswith("SecretRef") or name == "valueFrom":
            result[name] = value
        elif name in found:
            result[name] = aligned(name, value, found[name], lenient=lenient)
        elif same(name, value, None, lenient=lenient) or is_default(parent, name, value):
            result[name] = value
    taken = {"value" if name == "valueFrom" else name.removesuffix("SecretRef") for name in wanted}
    more = found.keys() - wanted.keys() - taken
    if not lenient:
        result |= {name: found[name] for name in sorted(more) if not is_default(parent, name, found[name])}
    return result


def _aligned_items(name: str, wanted: Sequence[Any], found: Sequence[Any], *, lenient: bool) -> list[Any]:
    """Items that are the same or have the same name stand where the spec has them, others at the end."""
    left, result = list(found), []
    for item in wanted:
        at = next((at for at, other in enumerate(left) if same(name, item, other, lenient=lenient)), None)
        if at is None:
            at = next((at for at, other in enumerate(left) if _name(item) and _name(item) == _name(other)), None)
        if at is not None:
            result.append(aligned(name, item, left.pop(at), lenient=lenient))
    return [*result, *left]


def _name(item: Any) -> Any:
    return (item.get("name") or item.get("id")) if isinstance(item, Mapping) else None


def _without_other_values(there: Any, wanted: Any, name: str = "") -> Any:
    """What Azure Batch has, without the values of environment variables that are not in the spec as they are there.

    Azure Batch returns these values. One may come from a Secret that the spec no longer names, and a diff is often kept in the log
    of a pipeline.
    """
    if isinstance(there, Mapping):
        beside = wanted if isinstance(wanted, Mapping) else {}
        return {member: _without_other_values(value, beside.get(member), member) for member, value in there.items()}
    if not isinstance(there, (list, tuple)):
        return there
    items = list(wanted) if isinstance(wanted, (list, tuple)) else []
    if name.lower().endswith("environmentsettings"):
        return [item if item in items else _without_value(item) for item in there]
    return [_without_other_values(item, items[at] if at < len(items) else None, name) for at, item in enumerate(there)]


def _without_value(item: Any) -> Any:
    return {**item, "value": HIDDEN} if isinstance(item, Mapping) and item.get("value") else item


def _told_apart(there: Mapping[str, Any], wanted: Mapping[str, Any], different: set[str]) -> tuple[Any, Any]:
    """Both sides without secrets; a property that differs only in what is hidden still differs."""
    left, right = _shown(there), _shown(wanted)
    for name in sorted(different & left.keys() & right.keys()):
        if left[name] == right[name]:
            left[name], right[name] = HIDDEN, f"{HIDDEN}, and another one"
    return left, right


def _shown(value: Any) -> Any:
    """A value without what looks like a secret."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        pair = f"{value.get('name')}={value.get('value')}"
        hidden = {"value": HIDDEN} if value.get("value") and redact(pair) != pair else {}
        return {name: _member(name, each) for name, each in value.items()} | hidden
    if isinstance(value, (list, tuple)):
        return [_shown(each) for each in value]
    return value


def _member(name: str, value: Any) -> Any:
    pair = f"{name}={value}"
    return HIDDEN if isinstance(value, str) and value and redact(pair) != pair else _shown(value)


def unified(found: Compared, there: str, wanted: str) -> list[str]:
    """The lines of a unified diff; none if nothing differs."""
    left, right = (_yaml(side) for side in (found.there, found.wanted))
    return [line.rstrip("\n") for line in difflib.unified_diff(left, right, there, wanted)]


def _yaml(side: Mapping[str, Any]) -> list[str]:
    if not side:
        return []
    return yaml.safe_dump(dict(side), sort_keys=True, allow_unicode=True, width=1000).splitlines(keepends=True)
