"""Pools and their node counts: two lists, and a third one if a pool has changed (docs/azure-batch.md#pools).

What moves by itself is listed each time. The rest of a pool can change only with its ETag, so it is listed again only then, and
only for pools modified since (`lastModified`). Autoscale is the exception: enabling a formula may leave the ETag.

Pools that an object of ours stands for, or that a job of ours runs on, are kept whole; of all others a few members, by which their
owner finds them and an id is known to be taken.
"""

from __future__ import annotations

import logging
import math
from collections import defaultdict
from collections.abc import AsyncIterable, AsyncIterator, Collection, Mapping
from typing import Any, TypeVar

from azure_batch_operator.batch import BatchClient, BatchError, IncompleteListError, is_gone
from azure_batch_operator.batch.pool_wire import NodeCounts, Pool
from azure_batch_operator.batch.wire import build
from azure_batch_operator.reconcile.account.problems import judges_account
from azure_batch_operator.reconcile.ownership import Owned, Owner, owner_of
from azure_batch_operator.reconcile.plan import Absent
from azure_batch_operator.reconcile.pool.scope import moment
from azure_batch_operator.sync.interest import Interest
from azure_batch_operator.sync.mirror import Mirror
from azure_batch_operator.sync.polls.base import News, Poll, clock, options
from azure_batch_operator.sync.polls.jobs import pool_of
from azure_batch_operator.sync.polls.steps import Step, keys_of
from azure_batch_operator.sync.polls.unread import Unread
from azure_batch_operator.sync.polls.watch import incarnation

logger = logging.getLogger(__name__)

_MOVING = (
    "id", "eTag", "lastModified", "state", "allocationState", "allocationStateTransitionTime", "resizeErrors",
    "targetDedicatedNodes", "targetLowPriorityNodes", "currentDedicatedNodes", "currentLowPriorityNodes",
    "enableAutoScale", "autoScaleFormula", "autoScaleEvaluationInterval", "autoScaleRun", "creationTime", "metadata",
)  # fmt: skip
_BRIEF = ("id", "state", "creationTime", "metadata")
POOL = "pool"
_MAX_BY_ID = 20
"""Pools that one poll asks for by id."""

T = TypeVar("T")


class PoolPoll(Poll):
    """Pools and node counts."""

    def __init__(self, client: BatchClient, mirror: Mirror, interest: Interest) -> None:
        super().__init__(client, mirror, interest)
        self._whole: dict[str, Mapping[str, Any]] = {}
        self._began = False
        self._is_complete = True
        """Whether the lists of this poll show all there is; if not, nothing is made of what they lack."""
        self._asked_at: dict[str, float] = {}
        """When those that the last list lacked were asked for by id."""
        self._unread = Unread()

    def steps(self) -> list[Step]:
        """A step for each pool that could not be asked for, so that its objects say so."""
        return self._unread.steps(POOL, lambda id: keys_of(self._interest.pools, id))

    async def poll(self, news: News) -> None:
        """One list of pools, one of node counts, and one of the pools that were changed, if any."""
        began = clock()
        table, interest = self._mirror.pools, self._interest.pools
        wanted = self._wanted()
        self._is_complete = True
        pools = await self._pools(wanted)
        gone: set[str] = set()
        pools += await self._not_listed({str(pool["id"]).lower() for pool in pools}, wanted, gone)
        asked = None if self._is_complete else gone | {str(pool["id"]).lower() for pool in pools}
        counts = await self._node_counts(wanted) if interest or self._interest.jobs else {}
        before, self._mirror.node_counts = self._mirror.node_counts, counts
        told = interest.keys() if table.first else ()
        known = {id: table.get(id) for id in interest}
        owners: defaultdict[Owned, list[Pool]] = defaultdict(list)
        for pool in pools:
            if (owner := _owner(pool)) is not None:
                owners[owner.object].append(build(Pool, _brief(pool)))
        self._mirror.pools_of = owners
        whole = [pool for pool in pools if str(pool["id"]).lower() in self._whole]
        briefs = {id: pool for pool in pools if (id := str(pool["id"]).lower()) not in self._whole}
        for pool in whole:
            if (id := str(pool["id"]).lower()) in interest:
                self._mirror.meet_pool(id, incarnation(pool))
        for id in {*table.replace(began, whole, asked=asked, briefs=briefs), *told}:
            keys = interest.get(id, set())
            (news.moved if _moved(known.get(id, Absent.UNKNOWN), table.latest(id)) else news.changed).update(keys)
        for id, number in counts.items():
            if before.get(id) != number:
                news.changed |= interest.get(id, set())

    async def _node_counts(self, wanted: frozenset[str]) -> dict[str, NodeCounts]:
        """Numbers of nodes of the pools that are wanted; those that cannot be read are as they were."""
        self._is_complete = True
        listed = self._readable(self._client.pools.list_node_counts(**options()).of(NodeCounts))
        found = {id: counts async for counts in listed if (id := counts.pool_id.lower()) in wanted}
        if self._is_complete:
            return found
        return {id: counts for id, counts in self._mirror.node_counts.items() if id in wanted} | found

    def _wanted(self) -> frozenset[str]:
        """Pools that objects of ours stand for, and those that jobs of ours run on.

        Pools are listed before jobs, so at the first poll after a start only the statuses of the objects say where jobs run.
        """
        jobs = (self._mirror.jobs.latest(id) for id in self._interest.jobs)
        of_jobs = {pool_of(job).lower() for job in jobs if job is not None}
        shown = {wish.pool.lower() for wish in self._interest.wishes.values() if wish.pool}
        return frozenset({*self._interest.pools, *of_jobs, *shown})

    async def _pools(self, wanted: frozenset[str]) -> list[Mapping[str, Any]]:
        """All pools: those that are wanted whole, the others in brief."""
        if not self._began:
            # One list instead of two, as at the start nothing is known.
            listed = self._readable(self._client.pools.list(**options()))
            found = [pool if str(pool["id"]).lower() in wanted else _brief(pool) async for pool in listed]
            self._whole = {id: pool for pool in found if (id := str(pool["id"]).lower()) in wanted}
            self._began = True
            return found
        listed = self._readable(self._client.pools.list(select=_MOVING, **options()))
        found = [pool if str(pool["id"]).lower() in wanted else _brief(pool) async for pool in listed]
        stale = [pool for pool in found if self._is_stale(pool, wanted)]
        if stale:
            since = min(str(pool.get("lastModified") or "0001-01-01T00:00:00Z")[:19] for pool in stale)
            listed = self._readable(self._client.pools.list(filter=f"lastModified ge DateTime'{since}Z'", **options()))
            self._whole |= {id: pool async for pool in listed if (id := str(pool["id"]).lower()) in wanted}
        here = {str(pool["id"]).lower(): incarnation(pool) for pool in found}
        # Nothing stays of an earlier pool of the same id.
        self._whole = {
            id: pool for id, pool in self._whole.items() if id in wanted and here.get(id) == incarnation(pool)
        }
        return [self._joined(pool) for pool in found]

    async def _readable(self, listed: AsyncIterable[T]) -> AsyncIterator[T]:
        """The items of a list, one by one. One that cannot be read is no trouble of the account (`_is_complete`)."""
        try:
            async for item in listed:
                yield item
        except IncompleteListError:
            self._is_complete = False

    async def _not_listed(
        self, found: Collection[str], wanted: Collection[str], gone: set[str]
    ) -> list[Mapping[str, Any]]:
        """Pools that somebody asks for and that the list lacks although they were there: a list may lack what moves between pages.

        Jobs go back to an old pool when the new one is gone, so that is asked of the pool itself. An incomplete list says nothing
        of what it lacks, so all that is wanted is asked for then: a few by each poll, those first that were asked for longest ago.

        Args:
            gone: gets the ids of those that a GET did not find.
        """
        table, complete = self._mirror.pools, self._is_complete
        lacking = [
            id
            for id in (self._interest.pools if complete else wanted)
            if id not in found and (table.alive(id) or not complete)
        ]
        self._asked_at = {id: self._asked_at.get(id, -math.inf) for id in lacking}
        self._unread.keep(self._asked_at)
        turn = sorted(lacking, key=self._asked_at.__getitem__)
        result: list[Mapping[str, Any]] = []
        for id in turn[:_MAX_BY_ID]:
            self._asked_at[id] = clock()
            known = table.latest(id)
            try:
                pool = await self._client.pools.get(str(known["id"]) if known else id, **options())
            except BatchError as error:
                if is_gone(error):
                    self._unread.read(id)
                    gone.add(id)
                    continue
                if judges_account(error):
                    raise
                # One pool that cannot be asked for is no evidence about the account.
                logger.info("Pool %r is not in the list, and cannot be read: %s", id, error)
                self._unread.failed(id, error)
                result += self._as_it_was(id, gone)
                continue
            self._unread.read(id)
            self._whole[id] = pool
            result.append(pool)
        return [*result, *(pool for id in turn[_MAX_BY_ID:] for pool in self._as_it_was(id, gone))]

    def _as_it_was(self, id: str, gone: set[str]) -> list[Mapping[str, Any]]:
        """A pool that this poll has not seen is taken to be as it was, also if it was gone; after a write of ours it is unknown."""
        known, last = self._mirror.pools.get(id), self._mirror.pools.latest(id)
        if not isinstance(known, Absent):
            self._whole[id] = known
            return [known]
        if known is Absent.NOT_FOUND:
            gone.add(id)
        return [] if last is None else [_brief(last)]

    def _is_stale(self, pool: Mapping[str, Any], wanted: frozenset[str]) -> bool:
        """Whether the rest of a pool must be listed again; what happens to pools that nobody asks for does not matter."""
        id = str(pool["id"]).lower()
        if id not in wanted:
            return False
        known = self._whole.get(id)
        if known is None or incarnation(known) != incarnation(pool):
            return True
        return pool.get("state") != "deleting" and known.get("eTag") != pool.get("eTag")

    def _joined(self, pool: Mapping[str, Any]) -> Mapping[str, Any]:
        """What moves by itself as it was just listed, the rest as it was listed last; a few members of what is not wanted."""
        whole = self._whole.get(str(pool["id"]).lower())
        if whole is None:
            return _brief(pool)
        if moment(whole.get("lastModified")) > moment(pool.get("lastModified")):
            return whole  # changed between the two lists
        return {name: value for name, value in whole.items() if name not in _MOVING} | dict(pool)


def _brief(pool: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: pool[name] for name in _BRIEF if name in pool}


def _owner(pool: Mapping[str, Any]) -> Owner | None:
    try:
        return owner_of(pool)
    except (LookupError, TypeError, ValueError):
        # Metadata of others may hold anything; it must not end the poll of everybody.
        logger.warning("The metadata of pool %r cannot be read", pool.get("id"))
        return None


def _moved(before: Any, after: Mapping[str, Any] | None) -> bool:
    """Whether what lives in the pool must hear of it: it has come, gone, can be seen again, or has another state or owner."""
    if isinstance(before, Absent) or after is None:
        return True
    return any(before.get(name) != after.get(name) for name in ("state", "metadata"))
