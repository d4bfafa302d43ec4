"""Finds and reads the targets of an operation: the owner of the resource, and the state of the selected nodes or tasks.

Nothing here changes anything in Azure Batch. Whom an operation may reach is checked before each batch, never remembered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from azure_batch_operator.api.operation import On
from azure_batch_operator.api.operation_inputs import MAX_TARGETS
from azure_batch_operator.batch import BatchClient, BatchError, NotFoundError, is_gone
from azure_batch_operator.batch.caller import Listing
from azure_batch_operator.reconcile.operation_order import FAILED, SKIPPED, Chosen, Look, Place, Request, Result
from azure_batch_operator.reconcile.operation_verbs import before_of
from azure_batch_operator.reconcile.ownership import claimed
from azure_batch_operator.sync.operations.runs import Run

_FEW = 3
"""Nodes that are read one by one; for more of them a list is cheaper."""
_NODE = ("id", "state", "schedulingState", "lastBootTime")
_POOL = ("id", "allocationState", "allocationStateTransitionTime", "resizeErrors")
_TASK = ("id", "state", "eTag", "creationTime", "environmentSettings")
_ACCOUNT = "account"
_GONE = frozenset({"poolnotfound", "jobnotfound", "jobschedulenotfound"})
"""Codes of a 404 that say that what the targets are in does not exist. One without such a code says nothing of it."""
_TARGET_GONE = frozenset({"nodenotfound", "tasknotfound"})
_READ_AGAIN_AFTER = 5.0
"""Seconds after which a resource that seems to be gone is read again."""
_RUNS_AGAIN = "reactivateTasks"
"""The verb that has tasks run on the pool of their job."""


class Targets:
    """Looks at what the operations of one account are about.

    Args:
        places: bounds the calls of all operations of the account at once.
    """

    def __init__(self, client: BatchClient, places: asyncio.Semaphore) -> None:
        self._client, self._places = client, places

    async def reach(self, run: Run, request: Request) -> Mapping[str, Any]:
        """The resource that it is about, if it may be touched, else `run.refused` says why; empty for the account.

        Raises:
            BatchError: the service does not show it.
        """
        place, schedule = request.place, None
        if not (place.pool or place.job or place.schedule):
            return {}
        found = await self._resource(place)
        made_by, colon, _ = place.job.partition(":")
        if colon and request.reach.owner is None:
            # A job that a schedule has made carries no marker of its own.
            schedule = await self._client.job_schedules.get(made_by)
        run.refused = request.reach.refusal(found, schedule)
        if run.refused is None and place.pool and request.reach.needs_makers(found):
            run.refused = request.reach.refusal_of_auto_pool(found, await self._makers(str(found["id"])))
        pool = (found.get("poolInfo") or {}).get("poolId") if request.verb == _RUNS_AGAIN else None
        if run.refused is None and pool:
            try:
                run.refused = request.reach.refusal_of_pool(str(pool), await self._client.pools.get(str(pool)))
            except NotFoundError as error:
                if not is_gone(error, _GONE):
                    raise
        return found

    async def _resource(self, place: Place) -> Mapping[str, Any]:
        """The pool, job or schedule that it is about.

        Raises:
            BatchError: the service does not show it.
        """
        if place.pool:
            return await self._client.pools.get(place.pool)
        if place.job:
            return await self._client.jobs.get(place.job)
        return await self._client.job_schedules.get(place.schedule)

    async def is_gone(self, request: Request, error: BatchError) -> bool:
        """Whether an error says that the resource that it is about no longer exists, and a later read says so, too.

        That ends a batch for good, and one response may be wrong, or be about something else.

        Raises:
            BatchError: the later read has failed in another way.
        """
        if not is_gone(error, _GONE):
            return False
        await asyncio.sleep(_READ_AGAIN_AFTER)
        try:
            await self._resource(request.place)
        except NotFoundError as again:
            return is_gone(again, _GONE)
        return False

    async def _makers(self, pool: str) -> list[tuple[Mapping[str, Any], Mapping[str, Any] | None]]:
        """The jobs that a pool was made for, each with the schedule that has made it.

        Raises:
            BatchError: the service does not show them.
        """
        on_it = "executionInfo/poolId eq '{}'".format(pool.replace("'", "''"))
        listed = self._client.jobs.list(filter=on_it, select=("id", "metadata", "poolInfo"))
        jobs = [job async for job in listed if "autoPoolSpecification" in (job.get("poolInfo") or {})]
        schedules: dict[str, Mapping[str, Any]] = {}
        for job in jobs:
            made_by, colon, _ = str(job["id"]).partition(":")
            if colon and made_by not in schedules:
                schedules[made_by] = await self._client.job_schedules.get(made_by)
        return [(job, schedules.get(str(job["id"]).partition(":")[0])) for job in jobs]

    async def choose(self, run: Run, request: Request) -> None:
        run.chosen_at = run.looked_at = asyncio.get_running_loop().time()
        found = await self.reach(run, request)
        if run.refused is not None:
            return
        targets, beyond = await self._targets(request)
        run.looks = await self.look(request, targets[: request.size])
        run.chosen = Chosen(tuple(targets), str(found.get("creationTime") or ""), beyond)

    async def _targets(self, request: Request) -> tuple[list[str], bool]:
        """The targets in their order, and whether there are more of them than one operation takes."""
        place, given = request.place, request.inputs
        if request.on is On.NODES:
            choice = given["nodes"]
            if "names" in choice:
                return list(dict.fromkeys(choice["names"])), False
            nodes = self._client.nodes.list(place.pool, select=("id", "state", "isDedicated"))
            return await _first(nodes, choice.get("most"), lambda node: _is_chosen(choice, node))
        if request.on is On.TASKS:
            choice = given["tasks"]
            if "ids" in choice:
                return list(dict.fromkeys(choice["ids"])), False
            wanted = " or ".join(f"state eq '{state.lower()}'" for state in choice.get("states") or ())
            chosen = "executionInfo/result eq 'failure'" if choice.get("failed") else wanted
            tasks = self._client.tasks.list(place.job, filter=chosen, select=("id",))
            return await _first(tasks, choice.get("most"), lambda _: True)
        return [place.leaf or _ACCOUNT], False

    async def look(self, request: Request, targets: Sequence[str]) -> dict[str, Look]:
        """What targets look like before they are attempted."""
        if not request.how.looks:
            return {target: Look() for target in targets}
        try:
            found = await self.current(request, targets)
        except NotFoundError as error:
            if not await self.is_gone(request, error):
                raise
            # With the pool or the job, all that was in it is gone.
            return {target: Look(result=Result(FAILED, str(error), error.request_id)) for target in targets}
        return {target: looked(request, target, found[target]) for target in targets}

    async def current(self, request: Request, targets: Sequence[str]) -> dict[str, Mapping[str, Any] | None]:
        """Targets as they are now; None for those that are gone.

        Raises:
            BatchError: the service does not show them.
        """
        pool, job = request.place.pool, request.place.job
        known: dict[str, Mapping[str, Any] | None] = {}
        if request.on is On.NODES and len(targets) > _FEW:
            listed = {str(node["id"]).lower(): node async for node in self._client.nodes.list(pool, select=_NODE)}
            # That a list lacks a node is no proof that it is gone: the pages move while they are read.
            known = {target: listed[target.lower()] for target in targets if target.lower() in listed}
        get: Callable[[str], Any]
        match request.on:
            case On.NODES:
                get = lambda target: self._client.nodes.get(pool, target, select=_NODE)  # noqa: E731
            case On.TASKS:
                get = lambda target: self._client.tasks.get(job, target, select=_TASK)  # noqa: E731
            case On.POOL:
                get = lambda target: self._client.pools.get(target, select=_POOL)  # noqa: E731
            case On.JOB:
                get = self._client.jobs.get
            case _:
                get = self._client.job_schedules.get

        async def one(target: str) -> tuple[str, Mapping[str, Any] | None]:
            try:
                async with self._places:
                    return target, await get(target)
            except NotFoundError as error:
                inner = request.on in {On.NODES, On.TASKS}
                if is_gone(error, _TARGET_GONE) if inner else await self.is_gone(request, error):
                    return target, None
                raise

        return known | dict(await together(one(target) for target in targets if target not in known))


async def together(calls: Iterable[Any]) -> list[Any]:
    """The results of concurrent calls, once all of them have ended.

    Raises:
        BatchError: of the first call that failed, as itself: an `except` of those who wait finds nothing in an ExceptionGroup.
    """
    answers = await asyncio.gather(*calls, return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
    return answers


async def _first(
    listing: Listing, most: int | None, chosen: Callable[[Mapping[str, Any]], bool]
) -> tuple[list[str], bool]:
    """Ids of what is chosen from a list, read no further than needed, and whether there are too many."""
    found: list[str] = []
    async for item in listing:
        if not chosen(item):
            continue
        if len(found) == (most or MAX_TARGETS):
            return found, most is None
        found.append(str(item["id"]))
    return found, False


def _is_chosen(choice: Mapping[str, Any], node: Mapping[str, Any]) -> bool:
    states = {state.lower() for state in choice.get("states") or ()}
    if states and str(node.get("state", "")).lower() not in states:
        return False
    wanted = str(choice.get("selector", "all"))
    return wanted == "all" or bool(node.get("isDedicated")) == (wanted == "dedicated")


def looked(request: Request, target: str, seen: Mapping[str, Any] | None) -> Look:
    """What to remember of a target, or why it is not attempted."""
    if seen is None:
        what = {On.NODES: "node", On.TASKS: "task"}.get(request.on, "pool")
        text = f"there is no {what} {target!r}"
        return Look(result=Result(SKIPPED if request.how.group else FAILED, text))
    if request.on is On.TASKS and claimed(seen):
        text = (
            "the task belongs to a BatchTask: annotate that with azurebatch.io/retry-failed or azurebatch.io/terminate"
        )
        return Look(result=Result(SKIPPED, text))
    return Look(before_of(request.on, seen))
