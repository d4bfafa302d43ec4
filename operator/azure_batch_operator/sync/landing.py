"""Creates that may still take effect: those with an unknown outcome, and objects for which none was sent.

An attempt without a response may be delayed on its way. A retry may succeed, the resource that it created may be deleted, and only
then the first attempt may take effect. So the finalizer stays until all attempts have taken effect or no longer can, and then the
resources that they name are looked up again. `tests/quick/test_late.py` runs this for each kind of create.

The finalizer of a BatchTask shows that the task may have been sent, since a waiting task has no status. If the API server adds the
finalizer at creation, only this module knows whether the task was sent, and only for objects that this process has observed since
their creation (`tests/quick/test_born_with_finalizer.py`).
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Collection

from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Resource
from azure_batch_operator.reconcile.plan import Absence

LANDING_SECONDS = 60.0
"""An attempt without a response may take effect this late: the service works on a request for 30 seconds, and proxies add to it."""


class Landing:
    """Creates that may still take effect, by object."""

    def __init__(self) -> None:
        self._began = asyncio.get_running_loop().time()
        self._inherited: dict[str, float] = {}
        """UIDs of objects for which another process may have sent a create → time of the loop since which it sends none."""
        self._in_doubt: defaultdict[str, dict[Absence, float]] = defaultdict(dict)
        """UID → resource that may appear late → time of the loop at which the last attempt to create it ended."""
        self._deleted: set[str] = set()
        """UIDs of objects whose resource this process has deleted."""
        self._unclaimed: set[str] = set()
        """UIDs of BatchTasks that were created with the finalizer and for which no plan has needed it yet."""

    def created(self, resource: Resource) -> None:
        """The object was created while this process was running, so no other process has acted on it."""
        if resource.key.kind is Kind.TASK and resource.has_finalizer:
            self._unclaimed.add(resource.uid)

    def claim(self, uid: str) -> None:
        """A plan needs the finalizer, since the object has or will have a resource in Azure Batch."""
        self._unclaimed.discard(uid)

    def is_unclaimed(self, resource: Resource) -> bool:
        """Whether the finalizer has no meaning: the object was created with it, and nothing was done for the object."""
        return resource.uid in self._unclaimed

    def inherit(self, resource: Resource, since: float | None = None) -> None:
        """The object existed when this process started, or began to act for it at a later time of the loop."""
        # A BatchTask has no status before it runs.
        if resource.has_finalizer and (resource.status.get("account") or resource.key.kind is Kind.TASK):
            self._inherited[resource.uid] = self._began if since is None else since

    def doubt(self, uid: str, what: Absence) -> None:
        """An attempt to create this resource for an object has ended without a response."""
        self._in_doubt[uid][what] = asyncio.get_running_loop().time()

    def deleted(self, uid: str) -> None:
        """The service has accepted a call that deletes the object's resource."""
        self._deleted.add(uid)

    def forget(self, uid: str) -> None:
        """The object is gone."""
        self._in_doubt.pop(uid, None)
        self._deleted.discard(uid)
        self._inherited.pop(uid, None)
        self._unclaimed.discard(uid)

    def left(self, resource: Resource) -> float:
        """Seconds for which a create may still take effect; zero or less if none can.

        It is not known what an earlier process has sent, so an object that existed at the start waits for as long as a request of
        that process may take. A resource that exists or was deleted proves nothing: another attempt may have created it.
        `tests/model` finds the sequences.
        """
        now, uid = asyncio.get_running_loop().time(), resource.uid
        left = max((at + LANDING_SECONDS - now for at in self._in_doubt.get(uid, {}).values()), default=0.0)
        if (since := self._inherited.get(uid)) is not None:
            left = max(left, since + LANDING_SECONDS - now)
        return left

    def late(self, resource: Resource) -> float | None:
        """As `left`, for an object that is to have no resource; None if no create of an unknown outcome was sent for it.

        Zero or less says that one may have taken effect since the last list.
        """
        uid = resource.uid
        return self.left(resource) if uid in self._inherited or self._in_doubt.get(uid) else None

    def doubtful(self, uid: str) -> Collection[Absence]:
        """Resources that may have appeared late."""
        return self._in_doubt.get(uid, {})

    def surely_deleted(self, uid: str) -> bool:
        """Whether this process deleted the resource and none can have appeared in its place."""
        return uid in self._deleted and uid not in self._in_doubt and uid not in self._inherited
