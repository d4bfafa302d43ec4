"""Which properties of a pool to change, and with which call.

Nothing else in `reconcile.pool` reads the body of a pool; other decisions are made from `batch.pool_wire.Pool`.

Most properties go through PATCH, each as a whole. Only a start task can be taken away by nothing but `updateproperties`, which
takes away everything that it does not repeat. A part of the properties can be changed only while the pool has no nodes.

What the pool was last given is noted in its metadata (`applied`). Otherwise a default that nobody knows of would be "set right"
forever, and where that needs an empty pool, by draining it forever. See docs/decisions/0013 and 0020.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from azure_batch_operator.api.pool import PoolSpec as PoolModel
from azure_batch_operator.batch.pool_wire import VirtualMachine
from azure_batch_operator.batch.wire import Body, Wire, build
from azure_batch_operator.reconcile import applied, ownership
from azure_batch_operator.reconcile import normalization as normal
from azure_batch_operator.reconcile import secret_versions as pool_values
from azure_batch_operator.reconcile.applied import STAYS, Applied, differences, fingerprint
from azure_batch_operator.reconcile.ownership import MarkedBody
from azure_batch_operator.reconcile.plan import Accepted, Call, Evidence, Table, without_etag
from azure_batch_operator.reconcile.pool.desired import Image, with_agent
from azure_batch_operator.reconcile.secret_versions import NO_VALUES, ValueVersions, to_note
from azure_batch_operator.reconcile.value_references import ResolutionError
from azure_batch_operator.reconcile.wire_equality import same

ANY_TIME: Body = {
    "displayName": "",
    "applicationPackageReferences": [],
    "targetNodeCommunicationMode": "default",
    "startTask": None,
}
"""Changed at any time; beside each what the service has where the spec leaves it out (see `differences`)."""
EMPTY_ONLY: Body = {
    "vmSize": STAYS,
    "virtualMachineConfiguration": STAYS,
    "taskSlotsPerNode": 1,
    "taskSchedulingPolicy": {"nodeFillType": "spread"},
    "enableInterNodeCommunication": False,
    "userAccounts": [],
    "mountConfiguration": [],
    "networkConfiguration": STAYS,
    "upgradePolicy": STAYS,
    "resourceTags": STAYS,
}
"""Changed only without nodes."""
NEED_NO_NODES = frozenset(EMPTY_ONLY)
_REPLACED = frozenset({"metadata", "applicationPackageReferences", "targetNodeCommunicationMode"})
"""What `updateproperties` sets beside the start task."""


class _Machine(VirtualMachine, frozen=True, gc=False):
    """What says which image the nodes have."""

    image_reference: Body | None = None


class _Imaged(Wire, frozen=True, gc=False):
    """The image of a pool, in the spec or in Azure Batch."""

    virtual_machine_configuration: _Machine | None = None


def kept_image(spec: Body, remote: Body) -> Image | None:
    """The node agent of a pool that has the image of the spec already, and so keeps it; None if it has another image."""
    wanted = build(_Imaged, spec).virtual_machine_configuration or _Machine()
    present = build(_Imaged, remote).virtual_machine_configuration
    if present is None or not same("imageReference", wanted.image_reference or {}, present.image_reference):
        return None
    return Image(present.node_agent_sku_id)


@dataclass(frozen=True)
class Changes:
    """What is different.

    Attributes:
        now: members for a PATCH at any time, metadata included.
        empty: members for a PATCH of a pool without nodes.
        remove_start_task: whether the start task is to go.
        wished: members that differ since the spec has changed, by itself or by defaults of its account; else somebody else has
            changed the pool.
        stuck: members that the spec has ceased to mention and the service keeps.
        note: the metadata that says that everything was applied.
        only_note: whether of the metadata nothing but notes of the operator differs.
        unread: members that cannot be given their values, and why.
    """

    now: Body = field(default_factory=dict)
    empty: Body = field(default_factory=dict)
    remove_start_task: bool = False
    wished: frozenset[str] = frozenset()
    stuck: tuple[str, ...] = ()
    note: tuple[Any, ...] = ()
    only_note: bool = False
    unread: Mapping[str, ResolutionError] = field(default_factory=dict)

    @property
    def asked(self) -> bool:
        """Whether the spec has changed what needs an empty pool."""
        return not self.wished.isdisjoint(self.empty)

    @property
    def note_alone(self) -> bool:
        """Whether nothing is to be changed now but notes of the operator."""
        return self.only_note and self.now.keys() == {"metadata"} and not self.remove_start_task

    @property
    def names(self) -> list[str]:
        """Properties that differ."""
        told = [name for name in self.now if name != "metadata" or not self.only_note]
        return [*told, *(["startTask"] if self.remove_start_task else []), *self.empty]


def _said(spec: Body) -> dict[str, Any]:
    """What the spec says of the members that the note is about."""
    body = PoolModel.rest_body(spec)
    return {name: body[name] for name in (*ANY_TIME, "metadata", *EMPTY_ONLY) if name in body}


def with_note(body: Body, spec: Body, values: ValueVersions = NO_VALUES) -> dict[str, Any]:
    """The body of a new pool with the notes of what it is made from."""
    given = to_note(PoolModel, spec, values, values.taken.keys(), {})
    noted = applied.with_note(body, _said(spec))
    return noted | {"metadata": [*noted["metadata"], *given]}


def changes(
    spec: Body,
    agent: str | None,
    remote: Body,
    accepted: Accepted | None,
    values: ValueVersions = NO_VALUES,
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
    body, marks = with_agent(PoolModel.rest_body(spec), agent), applied.marks(_said(spec))
    found = applied.noted(remote)
    # Nobody's work is interrupted for what a pool without a note may lack.
    before = replace(found, keeps=found.keeps or not found.known)
    there = MarkedBody.of(remote)
    taken = accepted.members if accepted is not None and accepted.etag == there.etag else {}
    any_time = differences(ANY_TIME, body, remote, before, marks, taken)
    without_nodes = differences(EMPTY_ONLY, body, remote, before, marks, taken)
    now, empty = any_time.members, without_nodes.members
    for name in values.changed & body.keys():
        (now if name in ANY_TIME else empty)[name] = body[name]
    if without_image:
        empty.pop("virtualMachineConfiguration", None)
    stuck = (*any_time.stuck, *without_nodes.stuck)
    unread = pool_values.unread(values, marks, before)
    not_yet = {*stuck, *unread, *(["virtualMachineConfiguration"] if without_image else [])}
    at_once = _Notes(
        applied.after(before, marks, not_yet=not_yet | empty.keys()),
        to_note(PoolModel, spec, values, now.keys(), remote),
    )
    in_all = _Notes(
        applied.after(before, marks, not_yet=not_yet),
        to_note(PoolModel, spec, values, now.keys() | empty.keys(), remote),
    )
    own = applied.own_items(body, remote, before)
    note = tuple(_metadata(own, remote, in_all))
    here = tuple(_metadata(own, remote, at_once)) if empty else note
    same_items = normal.metadata(own) == there.user_metadata
    if not same_items or _notes_of({"metadata": here}) != _notes_of(remote):
        now["metadata"] = list(here)
    remove = "startTask" not in body and bool(remote.get("startTask")) and not before.leaves("startTask")
    said = {name for name in marks.keys() | before.marks.keys() if marks.get(name) != before.marks.get(name)}
    return Changes(now, empty, remove, frozenset(said | values.certain), stuck, note, same_items, unread)


@dataclass(frozen=True)
class _Notes:
    """What the operator notes in a pool: fingerprints of the spec, and versions of Secrets and ConfigMaps."""

    applied: Mapping[str, str]
    values: list[Any]


def _notes_of(remote: Body) -> tuple[Applied, Mapping[str, str]]:
    return replace(applied.noted(remote), keeps=False), pool_values.noted(remote)


def _metadata(own: list[Any], remote: Body, notes: _Notes) -> list[Any]:
    items: list[Any] = ownership.with_same_marker({"metadata": own}, remote)["metadata"]
    return [*items, applied.note(notes.applied), *notes.values]


def patch(id: str, members: Body, remote: Body, digests: Mapping[str, str]) -> Call:
    """The PATCH of these members, provided that nobody has written since the pool was seen."""
    marks = {name: fingerprint(value) for name, value in members.items()}
    there = MarkedBody.of(remote)
    return Call(
        "update_pool",
        Table.POOLS,
        id,
        body=members,
        if_match=there.etag,
        evidence=without_etag(remote),
        marks=marks,
        digests={name: digests[name] for name in members if name in digests},
    )


def first_of_removal(found: Changes) -> Body:
    """What must be patched before a start task is taken away, since the call for that does not set it."""
    return {name: value for name, value in found.now.items() if name not in _REPLACED}


def without_start_task(id: str, found: Changes, remote: Body) -> Call:
    """`updateproperties` that repeats everything but the start task; it takes no ETag."""
    kept = {"applicationPackageReferences": [], "targetNodeCommunicationMode": "default", "metadata": []}
    wanted = {name: found.now.get(name, remote.get(name) or default) for name, default in kept.items()}
    body = {"certificateReferences": [], **wanted}
    return Call("replace_pool_properties", Table.POOLS, id, body=body, evidence=Evidence.of(remote))
