"""Which property of a pool is to be changed, and by which call (batch-semantics §6.2, §6.3).

Most properties go through PATCH, each as a whole. Only a start task can be taken away by nothing but `updateproperties`, which
takes away everything that it does not repeat. A part of the properties can be changed only while the pool has no nodes.

What the pool was last given is noted in its metadata, as fingerprints. As long as the spec is the same, members that the
service has filled in are not taken for changes; otherwise a default that nobody knows of would be "set right" for ever, and
where that needs an empty pool, by draining it for ever. See docs/decisions/0013.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from azure_batch_operator.api.base import APPLIED_METADATA
from azure_batch_operator.api.pool import PoolSpec
from azure_batch_operator.reconcile import normal, ownership, pool_values
from azure_batch_operator.reconcile.compare import same
from azure_batch_operator.reconcile.plan import Accepted, Call, Table
from azure_batch_operator.reconcile.pool_desired import with_agent
from azure_batch_operator.reconcile.pool_values import NO_VALUES, Values, to_note

_ANY_TIME: Mapping[str, Any] = {
    "displayName": "",
    "applicationPackageReferences": [],
    "targetNodeCommunicationMode": "default",
    "startTask": None,
}
"""Changed at any time; beside each what it is when the spec leaves it out."""
_EMPTY_ONLY: Mapping[str, Any] = {
    "vmSize": None,
    "virtualMachineConfiguration": None,
    "taskSlotsPerNode": 1,
    "taskSchedulingPolicy": {"nodeFillType": "spread"},
    "enableInterNodeCommunication": False,
    "userAccounts": [],
    "mountConfiguration": [],
    "networkConfiguration": None,
    "upgradePolicy": None,
    "resourceTags": None,
}
"""Changed only without nodes; what is None when the spec leaves it out stays as it is."""
NEED_NO_NODES = frozenset(_EMPTY_ONLY)
_REPLACED = frozenset({"metadata", "applicationPackageReferences", "targetNodeCommunicationMode"})
"""What `updateproperties` sets beside the start task."""


@dataclass(frozen=True)
class Changes:
    """What is different.

    Attributes:
        now: members for a PATCH at any time, metadata included.
        empty: members for a PATCH of a pool without nodes.
        remove_start_task: whether the start task is to go.
        asked_now: whether the spec has changed what can be changed at any time, by itself or by defaults of its account.
        asked: whether the spec has changed what needs an empty pool; else somebody else has changed the pool.
        note: the metadata that says that everything was applied.
        only_note: whether of the metadata nothing but notes of the operator differs.
    """

    now: Mapping[str, Any] = field(default_factory=dict)
    empty: Mapping[str, Any] = field(default_factory=dict)
    remove_start_task: bool = False
    asked_now: bool = True
    asked: bool = True
    note: tuple[Any, ...] = ()
    only_note: bool = False

    @property
    def note_alone(self) -> bool:
        """Whether nothing is to be changed now but notes of the operator."""
        return self.only_note and self.now.keys() == {"metadata"} and not self.remove_start_task

    @property
    def names(self) -> list[str]:
        """Properties that differ."""
        told = [name for name in self.now if name != "metadata" or not self.only_note]
        return [*told, *(["startTask"] if self.remove_start_task else []), *self.empty]


def applied(spec: Mapping[str, Any]) -> tuple[str, str]:
    """Fingerprints of what can be changed at any time, and of what needs an empty pool, as they stand in the spec."""
    body = PoolSpec.rest_body(spec)
    parts = ({name: body[name] for name in names if name in body} for names in ((*_ANY_TIME, "metadata"), _EMPTY_ONLY))
    any_time, empty = (fingerprint(part) for part in parts)
    return any_time, empty


def noted(remote: Mapping[str, Any]) -> tuple[str, str]:
    """What the pool was last given, by its metadata; empty texts if that is not known."""
    items = remote.get("metadata") or ()
    text = next((str(item["value"]) for item in items if item.get("name") == APPLIED_METADATA), "")
    any_time, _, empty = text.partition("/")
    return any_time, empty


def with_note(body: Mapping[str, Any], spec: Mapping[str, Any], values: Values = NO_VALUES) -> dict[str, Any]:
    """The body of a new pool with the notes of what it is made from."""
    given = to_note(spec, values, values.taken.keys(), {})
    return dict(body) | {"metadata": [*body.get("metadata", ()), _item(*applied(spec)), *given]}


def _item(any_time: str, empty: str) -> dict[str, str]:
    return {"name": APPLIED_METADATA, "value": f"{any_time}/{empty}"}


def changes(
    spec: Mapping[str, Any],
    agent: str | None,
    remote: Mapping[str, Any],
    accepted: Accepted | None,
    values: Values = NO_VALUES,
    *,
    without_image: bool = False,
) -> Changes:
    """Compare the spec with the pool.

    Args:
        agent: the node agent, where the spec leaves it out.
        accepted: what the operator's own last writes to this pool were. As long as nobody has written since, what the service
            took is not sent again, in whatever form it returns it.
        values: what properties take from Secrets and ConfigMaps; what the pool has of it cannot be asked for.
        without_image: whether virtualMachineConfiguration stays as it is, since the node agent for it is not known.
    """
    body = with_agent(PoolSpec.rest_body(spec), agent)
    wanted, before = applied(spec), noted(remote)
    taken = accepted.members if accepted is not None and accepted.etag == remote.get("eTag") else {}
    now = _different(_ANY_TIME, body, remote, taken, lenient=wanted[0] == before[0])
    # A pool that was taken over has no note, and what the spec does not mention stays as it is.
    empty = _different(_EMPTY_ONLY, body, remote, taken, lenient=before[1] in ("", wanted[1]))
    for name in values.changed & body.keys():
        (now if name in _ANY_TIME else empty)[name] = body[name]
    if without_image:
        empty.pop("virtualMachineConfiguration", None)
    at_once = _Notes((wanted[0], before[1]), to_note(spec, values, now.keys(), remote))
    in_all = _Notes(wanted, to_note(spec, values, now.keys() | empty.keys(), remote))
    if without_image:
        in_all = replace(in_all, applied=at_once.applied)
    note = tuple(_metadata(body, remote, in_all))
    here = tuple(_metadata(body, remote, at_once)) if empty else note
    same_items = normal.metadata(body.get("metadata")) == normal.metadata(remote.get("metadata"))
    if not same_items or _notes_of({"metadata": here}) != _notes_of(remote):
        now["metadata"] = list(here)
    remove = "startTask" not in body and bool(remote.get("startTask"))
    return Changes(
        now,
        empty,
        remove,
        asked_now=before[0] != wanted[0],
        asked=before[1] != wanted[1] or bool(values.certain & empty.keys()),
        note=note,
        only_note=same_items,
    )


def _different(
    defaults: Mapping[str, Any],
    body: Mapping[str, Any],
    remote: Mapping[str, Any],
    taken: Mapping[str, str],
    *,
    lenient: bool,
) -> dict[str, Any]:
    result = {}
    for name, default in defaults.items():
        wanted = body.get(name, default)
        if wanted is None or taken.get(name) == fingerprint(wanted):
            continue
        if not same(name, wanted, remote.get(name, default), lenient=lenient and name in body):
            result[name] = wanted
    return result


@dataclass(frozen=True)
class _Notes:
    """What the operator notes in a pool: fingerprints of the spec, and versions of Secrets and ConfigMaps."""

    applied: tuple[str, str]
    values: list[Any]


def _notes_of(remote: Mapping[str, Any]) -> tuple[tuple[str, str], Mapping[str, str]]:
    return noted(remote), pool_values.noted(remote)


def _metadata(body: Mapping[str, Any], remote: Mapping[str, Any], notes: _Notes) -> list[Any]:
    items: list[Any] = ownership.with_same_marker(body, remote)["metadata"]
    return [*items, _item(*notes.applied), *notes.values]


def patch(id: str, members: Mapping[str, Any], remote: Mapping[str, Any], digests: Mapping[str, str]) -> Call:
    """The PATCH of these members, provided that nobody has written since the pool was seen."""
    marks = {name: fingerprint(value) for name, value in members.items()}
    return Call(
        "update_pool",
        Table.POOLS,
        id,
        body=members,
        if_match=remote.get("eTag"),
        marks=marks,
        digests={name: digests[name] for name in members if name in digests},
    )


def first_of_removal(found: Changes) -> Mapping[str, Any]:
    """What must be patched before a start task is taken away, since the call for that does not set it."""
    return {name: value for name, value in found.now.items() if name not in _REPLACED}


def without_start_task(id: str, spec: Mapping[str, Any], remote: Mapping[str, Any], found: Changes) -> Call:
    """`updateproperties` that repeats everything but the start task; it takes no ETag."""
    body = PoolSpec.rest_body(spec)
    replaced = {
        "certificateReferences": [],
        "applicationPackageReferences": body.get("applicationPackageReferences", []),
        "metadata": found.now.get("metadata") or remote.get("metadata") or [],
        "targetNodeCommunicationMode": body.get("targetNodeCommunicationMode", "default"),
    }
    return Call("replace_pool_properties", Table.POOLS, id, body=replaced)


def fingerprint(value: Any) -> str:
    """A short name for a value, as it stands in the spec."""
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
