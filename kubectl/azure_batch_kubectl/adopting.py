"""Manifests that adopt what is in an account: `import`. Pure; `import_command` reads the account.

A manifest changes nothing where it is applied: a property that the spec does not set keeps its value when a resource is adopted
(docs/ownership.md). So a property is left out, and the user told, where its value is a secret or needs one: the service does not
return secrets, and a signature in a URL must not go into Git. tests/quick/test_import.py guards that nothing changes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import ValidationError

from azure_batch_operator.api.base import ADOPT, API_VERSION, GROUP, WRITTEN, ApiModel
from azure_batch_operator.api.job import JobTemplate
from azure_batch_operator.api.kinds import KINDS, Kind
from azure_batch_operator.api.pool import PoolSpec
from azure_batch_operator.api.schedule import JobScheduleSpec
from azure_batch_operator.batch.redaction import names_secret, redact
from azure_batch_operator.reconcile.ownership import is_auto_pool, owner_of
from azure_batch_operator.reconcile.wire_equality import is_default
from azure_batch_operator.words import listed

Remote = Mapping[str, Any]
_OPENED = frozenset(
    {"virtualMachineConfiguration", "poolInfo", "jobSpecification", "autoPoolSpecification", "pool", "schedule"}
)
"""What a manifest needs, so that of these only the part with a secret is left out."""
_TARGETS = ("targetDedicatedNodes", "targetLowPriorityNodes")
_NOT_WITH_FORMULA = (*_TARGETS, "resizeTimeout")
_OUTERMOST = {Kind.POOL: "pool", Kind.JOB: "jobSpecification", Kind.SCHEDULE: "schedule"}
"""Names under which `is_default` knows the properties of a kind."""
_MODELS: Mapping[Kind, type[ApiModel]] = {Kind.POOL: PoolSpec, Kind.JOB: JobTemplate, Kind.SCHEDULE: JobScheduleSpec}
_LONGEST_NAME = 63


@dataclass(frozen=True)
class Context:
    """Where the manifests are to be applied.

    Attributes:
        account: `accountRef` of the manifests.
        pools: names of BatchPools by the ID of their pool in lower case: those that exist, and those that are written.
    """

    account: Mapping[str, str]
    pools: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Imported:
    """The manifests, and what the user should know."""

    manifests: tuple[dict[str, Any], ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Found:
    """What an account holds, as the service lists it."""

    pools: tuple[Remote, ...] = ()
    schedules: tuple[Remote, ...] = ()
    jobs: tuple[Remote, ...] = ()

    def by_kind(self) -> Iterator[tuple[Kind, Remote]]:
        """Each resource with its kind, in the order in which they refer to each other."""
        for kind, listed_ in ((Kind.POOL, self.pools), (Kind.SCHEDULE, self.schedules), (Kind.JOB, self.jobs)):
            for each in listed_:
                yield kind, each


def reason_to_skip(kind: Kind, remote: Remote) -> str | None:
    """Why a resource gets no manifest; None if it gets one."""
    if owner := owner_of(remote):
        return f"{owner.object.kind} {owner.object.namespace}/{owner.object.name} owns it"
    if remote.get("state") in {"deleting", "terminating", "completed"}:
        return f"it is {remote['state']}"
    if kind is Kind.POOL and is_auto_pool(remote):
        return "Azure Batch created it for a job"
    # No ID that a user gives holds a colon.
    return "its job schedule created it" if kind is Kind.JOB and ":" in remote["id"] else None


def imported(found: Found, context: Context) -> Imported:
    """Manifests of all that an account holds and that nobody owns: pools first, since the others refer to them."""
    notes: list[str] = []
    taken: set[tuple[Kind, str]] = {(Kind.POOL, name) for name in context.pools.values()}
    manifests: list[dict[str, Any]] = []
    for kind, remote in found.by_kind():
        who = f"{KINDS[kind].short}/{remote['id']}"
        skipped = reason_to_skip(kind, remote)
        if skipped is not None:
            notes.append(f"{who} is skipped: {skipped}")
            continue
        name = object_name(str(remote["id"]), {used for each, used in taken if each is kind})
        try:
            made, lost = manifest(kind, name, remote, context)
        except ValidationError as error:
            fields = listed(sorted({".".join(str(each) for each in one["loc"]) for one in error.errors()}))
            notes.append(f"{who} is skipped, because a {kind} has no place for {fields}: write the manifest by hand")
            continue
        notes += [f"{who}: {each}" for each in lost]
        taken.add((kind, name))
        manifests.append(made)
        if kind is Kind.POOL:
            context = replace(context, pools={**context.pools, str(remote["id"]).lower(): name})
    return Imported(tuple(manifests), tuple(notes))


def object_name(id_: str, taken: Iterable[str]) -> str:
    """A name for an object of that ID: of the characters that Kubernetes takes, with a number where it is taken."""
    slug = re.sub(r"[^a-z0-9-]+", "-", id_.lower())[:_LONGEST_NAME].strip("-") or "x"
    used, name, number = set(taken), slug, 2
    while name in used:
        name, number = f"{slug[: _LONGEST_NAME - len(str(number)) - 1]}-{number}", number + 1
    return name


def manifest(kind: Kind, name: str, remote: Remote, context: Context) -> tuple[dict[str, Any], list[str]]:
    """The object that adopts a resource, and what was left out of it.

    Raises:
        ValidationError: the kind cannot hold it.
    """
    lost: list[str] = []
    body = _trimmed(_MODELS[kind], _OUTERMOST[kind], _without_markers(remote), lost)
    spec = {"id": remote["id"]} if remote["id"] != name else {}
    spec |= _SPECS[kind](body, remote, context)
    KINDS[kind].spec.model_validate(spec, context=WRITTEN)
    made = {
        "apiVersion": API_VERSION,
        "kind": kind.value,
        "metadata": {"name": name, "annotations": {ADOPT: "true"}},
        "spec": spec,
    }
    return made, [
        f"spec.{each} is left out, because it contains or needs a secret; Azure Batch keeps its value" for each in lost
    ]


def _pool(body: dict[str, Any], remote: Remote, context: Context) -> dict[str, Any]:
    # A target of 0 is a wish, too.
    targets = {name: remote[name] for name in _TARGETS if name in remote}
    spec = {"accountRef": dict(context.account), **body, **targets}
    if remote.get("enableAutoScale"):
        return {name: value for name, value in spec.items() if name not in _NOT_WITH_FORMULA}
    return spec


def _on_pool(body: dict[str, Any], context: Context) -> tuple[dict[str, Any], bool]:
    """A job's body with the BatchPool in the place of the ID of its pool, and whether it has one."""
    id_ = str((body.get("poolInfo") or {}).get("poolId") or "")
    name = context.pools.get(id_.lower())
    if name is None:
        return body, False
    return {"poolRef": {"name": name}} | {key: each for key, each in body.items() if key != "poolInfo"}, True


def _job(body: dict[str, Any], remote: Remote, context: Context) -> dict[str, Any]:
    del remote  # a job that somebody has disabled stays so without a word in the spec
    spec, has_pool = _on_pool(body, context)
    return spec if has_pool else {"accountRef": dict(context.account), **spec}


def _schedule(body: dict[str, Any], remote: Remote, context: Context) -> dict[str, Any]:
    jobs, has_pool = _on_pool(body["jobSpecification"], context)
    spec = ({} if has_pool else {"accountRef": dict(context.account)}) | body
    spec |= {"schedule": body.get("schedule", {}), "jobSpecification": jobs}
    return spec | ({"suspend": True} if remote.get("state") == "disabled" else {})


_SPECS = {Kind.POOL: _pool, Kind.JOB: _job, Kind.SCHEDULE: _schedule}


def _without_markers(remote: Remote) -> dict[str, Any]:
    kept = [item for item in remote.get("metadata") or () if not str(item.get("name")).startswith(f"{GROUP}/")]
    return {**remote, "metadata": kept}


def _trimmed(model: type[ApiModel], parent: str, found: Remote, lost: list[str], path: str = "") -> dict[str, Any]:
    """The properties that the model knows, without those that say nothing and those that hold or need a secret."""
    members, result = model.members(), {}
    for name, value in found.items():
        if name not in members or name in model.ours or (value is None):
            continue
        inner, where = members[name].model, f"{path}.{name}".lstrip(".")
        if name in _OPENED and inner is not None and isinstance(value, Mapping):
            result[name] = _trimmed(inner, name, value, lost, where)
        elif name not in _required(model) and is_default(parent, name, value):
            continue
        elif _secretive(inner, value):
            lost.append(where)
        else:
            result[name] = _plain(inner, name, value)
    return result


def _plain(model: type[ApiModel] | None, name: str, value: Any) -> Any:
    """A value without what the model does not know and what says nothing."""
    if model is None:
        return value
    if isinstance(value, list):
        return [_plain(model, name, each) for each in value]
    if not isinstance(value, Mapping):
        return value
    members = model.members()
    return {
        each: _plain(members[each].model, each, inner)
        for each, inner in value.items()
        if each in members and inner is not None and (each in _required(model) or not is_default(name, each, inner))
    }


def _required(model: type[ApiModel]) -> set[str]:
    return {info.alias or name for name, info in model.model_fields.items() if info.is_required()}


def _secretive(model: type[ApiModel] | None, value: Any) -> bool:
    """Whether a value holds a text that looks like a secret, or lacks a secret that the service does not return."""
    if isinstance(value, str):
        return redact(value) != value
    if isinstance(value, list):
        return any(_secretive(model, each) for each in value)
    if not isinstance(value, Mapping):
        return False
    if model is not None and _lacks_secret(model, value):
        return True
    members = {} if model is None else model.members()
    named = ((name, each) for name, each in value.items() if name not in members)
    return any(_named_secret(*each) for each in [(value.get("name"), value.get("value")), *named]) or any(
        _secretive(members[name].model if name in members else None, each) for name, each in value.items()
    )


def _named_secret(name: Any, value: Any) -> bool:
    """Whether a text is a secret by its name: of a variable or an item of metadata, or in free JSON, which no model describes."""
    if isinstance(value, list):
        return any(_named_secret(name, each) for each in value)
    if not (isinstance(name, str) and isinstance(value, str) and value):
        return False
    pair = f"{name}={value}"
    return names_secret(name) or redact(pair) != pair


def _lacks_secret(model: type[ApiModel], value: Remote) -> bool:
    marks = model.secrets()
    if any(each.required for each in marks):
        return True
    signs_in = "identityReference" in model.members() and not value.get("identityReference")
    return bool(marks) and signs_in and bool(value.get("username") or value.get("accountName"))
