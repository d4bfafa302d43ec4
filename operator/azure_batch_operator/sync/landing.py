"""What may have been created for an object: creates with an unknown outcome, and objects without any create.

An attempt without a response may be held up on its way. A repetition of it may succeed, what that made may be deleted, and the
first attempt may land only then. So an object is kept until its attempts have landed or can no longer land, and what they name
is looked for again. `tests/quick/test_late.py` runs this for each kind of create.

The finalizer of a BatchTask tells that it may have been sent, since a task that waits has no status. Where the API server adds the
finalizer at creation, that is known only here, and only of objects that this process has seen since they were created
(`tests/quick/test_born_with_finalizer.py`).
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Collection

from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Resource
from azure_batch_operator.reconcile.plan import Absence

LANDING_SECONDS = 60.0
"""An attempt without a response may take effect this late: the service works on a request for 30 seconds, proxies for longer."""


class Landing:
    """What may still come of each object."""

    def __init__(self) -> None:
        self._began = asyncio.get_running_loop().time()
        self._inherited: set[str] = set()
        """Uids of objects for which a process before this one may have sent a create."""
        self._in_doubt: defaultdict[str, dict[Absence, float]] = defaultdict(dict)
        """Uid → what may appear late → time of the loop at which the last attempt to create it has ended."""
        self._deleted: set[str] = set()
        """Uids of objects whose resource this process has deleted."""
        self._unclaimed: set[str] = set()
        """Uids of BatchTasks that were created with the finalizer, for which no plan has wanted it yet."""

    def created(self, resource: Resource) -> None:
        """The object was created while this process was at work, so that no other one has done anything for it."""
        if resource.key.kind is Kind.TASK and resource.has_finalizer:
            self._unclaimed.add(resource.uid)

    def claim(self, uid: str) -> None:
        """A plan wants the finalizer on the object, since something is, or will be, in Azure Batch."""
        self._unclaimed.discard(uid)

    def is_unclaimed(self, resource: Resource) -> bool:
        """Whether the finalizer of an object says nothing: it was created with it, and nothing was done for it."""
        return resource.uid in self._unclaimed

    def inherit(self, resource: Resource) -> None:
        """The object was there when this process began."""
        # A BatchTask says nothing before it runs.
        if resource.has_finalizer and (resource.status.get("account") or resource.key.kind is Kind.TASK):
            self._inherited.add(resource.uid)

    def doubt(self, uid: str, what: Absence) -> None:
        """An attempt to create this for an object has ended without a response."""
        self._in_doubt[uid][what] = asyncio.get_running_loop().time()

    def deleted(self, uid: str) -> None:
        """The service has taken a call that deletes the object's resource."""
        self._deleted.add(uid)

    def forget(self, uid: str) -> None:
        """The object is gone."""
        self._in_doubt.pop(uid, None)
        self._deleted.discard(uid)
        self._inherited.discard(uid)
        self._unclaimed.discard(uid)

    def left(self, resource: Resource) -> float:
        """Seconds for which a create may still take effect; zero or less if none can.

        What a process before this one has sent is not known, so an object that this process found at its start waits for as long as
        a request of that process may take. That something of it is there, or was deleted, proves nothing: another attempt may have
        made that. `tests/model` finds the sequences.
        """
        now, uid = asyncio.get_running_loop().time(), resource.uid
        left = max((at + LANDING_SECONDS - now for at in self._in_doubt.get(uid, {}).values()), default=0.0)
        if uid in self._inherited:
            left = max(left, self._began + LANDING_SECONDS - now)
        return left

    def doubtful(self, uid: str) -> Collection[Absence]:
        """What may have appeared late."""
        return self._in_doubt.get(uid, {})

    def surely_deleted(self, uid: str) -> bool:
        """Whether the resource was deleted by this process and nothing can have appeared in its place."""
        return uid in self._deleted and uid not in self._in_doubt and uid not in self._inherited
