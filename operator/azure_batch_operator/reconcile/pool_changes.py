"""Which property of a pool is to be changed, and by which call (batch-semantics §6.2, §6.3).

Most properties go through PATCH, each as a whole. Only a start task can be taken away by nothing but `updateproperties`, which
takes away everything that it does not repeat. A part of the properties can be changed only while the pool has no nodes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from azure_batch_operator.api.pool import PoolSpec
from azure_batch_operator.reconcile import normal, ownership
from azure_batch_operator.reconcile.compare import same
from azure_batch_operator.reconcile.plan import Accepted, Call, Table
from azure_batch_operator.reconcile.pool_desired import with_agent

_ANY_TIME: Mapping[str, Any] = {
    "displayName": "",
    "applicationPackageReferences": [],
    "targetNodeCommunicationMode": "default",
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


@dataclass(frozen=True)
class Changes:
    """What is different.

    Attributes:
        now: members for a PATCH at any time.
        empty: members for a PATCH of a pool without nodes.
        remove_start_task: whether the start task is to go.
    """

    now: Mapping[str, Any] = field(default_factory=dict)
    empty: Mapping[str, Any] = field(default_factory=dict)
    remove_start_task: bool = False

    @property
    def names(self) -> list[str]:
        """Properties that differ."""
        return [*self.now, *(["startTask"] if self.remove_start_task else []), *self.empty]


def changes(
    spec: Mapping[str, Any], agent: str | None, remote: Mapping[str, Any], accepted: Accepted | None
) -> Changes:
    """Compare the spec with the pool.

    Args:
        agent: the node agent, where the spec leaves it out.
        accepted: what the operator's own last writes to this pool were. As long as nobody has written since, what the service
            took is not sent again, in whatever form it returns it.
    """
    body = with_agent(PoolSpec.rest_body(spec), agent)
    now = _different(_ANY_TIME, body, remote)
    wanted = body.get("startTask")
    if wanted is not None and not same("startTask", wanted, remote.get("startTask")):
        now["startTask"] = wanted
    if normal.metadata(body.get("metadata")) != normal.metadata(remote.get("metadata")):
        now["metadata"] = _metadata(body, remote)
    empty = _different(_EMPTY_ONLY, body, remote)
    taken = accepted.members if accepted is not None and accepted.etag == remote.get("eTag") else {}
    return Changes(
        {name: value for name, value in now.items() if taken.get(name) != fingerprint(value)},
        {name: value for name, value in empty.items() if taken.get(name) != fingerprint(value)},
        wanted is None and bool(remote.get("startTask")),
    )


def _different(defaults: Mapping[str, Any], body: Mapping[str, Any], remote: Mapping[str, Any]) -> dict[str, Any]:
    result = {}
    for name, default in defaults.items():
        wanted = body.get(name, default)
        if wanted is not None and not same(name, wanted, remote.get(name, default)):
            result[name] = wanted
    return result


def _metadata(body: Mapping[str, Any], remote: Mapping[str, Any]) -> list[Any]:
    owner = ownership.owner_of(remote) or ""
    items: list[Any] = ownership.with_marker(body, owner, adopted=ownership.adopted(remote))["metadata"]
    return items


def patch(id: str, members: Mapping[str, Any], remote: Mapping[str, Any]) -> Call:
    """The PATCH of these members, provided that nobody has written since the pool was seen."""
    marks = {name: fingerprint(value) for name, value in members.items()}
    return Call("update_pool", Table.POOLS, id, body=members, if_match=remote.get("eTag"), marks=marks)


def without_start_task(id: str, spec: Mapping[str, Any], remote: Mapping[str, Any]) -> Call:
    """`updateproperties` that repeats everything but the start task; it takes no ETag."""
    body = PoolSpec.rest_body(spec)
    replaced = {
        "certificateReferences": [],
        "applicationPackageReferences": body.get("applicationPackageReferences", []),
        "metadata": _metadata(body, remote),
        "targetNodeCommunicationMode": body.get("targetNodeCommunicationMode", "default"),
    }
    return Call("replace_pool_properties", Table.POOLS, id, body=replaced)


def fingerprint(value: Any) -> str:
    """A short name for a value, as it stands in the spec."""
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
