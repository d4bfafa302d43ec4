"""Makes the calls of one batch, and follows them until each target has an outcome or the batch is stopped.

No call is made that the API server has not stored as attempted, and a call without a response is read about before anything else
(`doubts`). What stands in the way is waited for, ever longer, and shown.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from azure_batch_operator.api.operation import On
from azure_batch_operator.api.resource import Key
from azure_batch_operator.batch import (
    BatchClient,
    BatchError,
    PreconditionFailedError,
    Priority,
    Receipt,
)
from azure_batch_operator.batch.caller import Listing
from azure_batch_operator.batch.requests import CallOptions
from azure_batch_operator.guard import is_ending, refusal
from azure_batch_operator.kube.api import KubeApi
from azure_batch_operator.reconcile.operation_order import (
    FAILED,
    SKIPPED,
    SUCCEEDED,
    Look,
    Operate,
    Request,
    Result,
)
from azure_batch_operator.reconcile.operation_verbs import Spot, created_anew, etag_of
from azure_batch_operator.sync.landing import LANDING_SECONDS
from azure_batch_operator.sync.operations import doubts
from azure_batch_operator.sync.operations.results import failure, kept, listed, refused
from azure_batch_operator.sync.operations.runs import Lost, Run, Try
from azure_batch_operator.sync.operations.sending import SEND
from azure_batch_operator.sync.operations.targets import Targets, looked, together

_LOOKED_AT_EVERY = 10.0
_LONGEST_WAIT = 60.0
_SHOWN_FROM = 3
"""Waits in a row from which on the object says what it waits for."""


class Attempts:
    """Makes the calls of the operations of one account.

    Args:
        api: where files are kept.
        places: bounds the calls of all operations of the account at once.
        tell: is told that more is known of an operation.
    """

    def __init__(
        self,
        client: BatchClient,
        api: KubeApi | None,
        targets: Targets,
        places: asyncio.Semaphore,
        tell: Callable[[Key, Run], None],
    ) -> None:
        self._client, self._api, self._targets, self._places, self._tell = client, api, targets, places, tell

    async def attempt(self, key: Key, run: Run, order: Operate) -> None:
        """Make the calls of a batch, and find out about those that have no response."""
        if run.tries.keys() != order.attempt.keys():
            # From now, not from the start of this process: an object that was forgotten and seen again may have a call in flight.
            now = asyncio.get_running_loop().time()
            landed, lost = (now + LANDING_SECONDS, now - order.age) if order.doubt else (None, None)
            run.tries = {target: Try(before, landed, lost) for target, before in order.attempt.items()}
            run.results = {}
        # From here on a repetition of the order is no news of targets that were never tried.
        run.looks = {}
        waits = rounds = 0
        while left := {target: attempt for target, attempt in run.tries.items() if target not in run.results}:
            if order.ending is not None:
                problem = await doubts.end(self._targets, run, order.request, left, order.ending)
            elif run.stopped:
                return
            else:
                problem = await self._round(key, run, order.request, left)
            problem = problem or doubts.unanswered(run, left)
            if all(target in run.results for target in left):
                break
            waits, rounds = (waits + 1, 0) if problem is not None else (0, rounds + 1)
            if problem is not None and waits >= _SHOWN_FROM:
                run.waits_for(problem)
                self._tell(key, run)
            elif problem is None:
                run.waits_for(None)
            await asyncio.sleep(_wait(problem, waits or rounds))
        run.problem = None

    async def _round(self, key: Key, run: Run, request: Request, left: Mapping[str, Try]) -> BatchError | None:
        """One look at those in doubt or on their way, then the calls that can be made; what stands in the way, if anything."""
        try:
            await doubts.resolve(self._targets, run, request, left)
            doubts.give_up(run, request, left, asyncio.get_running_loop().time())
            ready = [
                target
                for target, attempt in left.items()
                if attempt.doubt is None and attempt.taken is None and target not in run.results
            ]
            if changed := [target for target in ready if left[target].changed]:
                await self._look_again(run, request, left, changed)
                ready = [target for target in ready if target not in run.results]
            return await self._make(key, run, request, left, ready) if ready else None
        except BatchError as error:
            problem = await doubts.unreadable(self._targets, run, request, left, error)
            for target in left.keys() - run.results.keys() if problem is None else ():
                run.settle(request.verb, target, Result(FAILED, str(error), error.request_id))
            return problem

    async def _look_again(self, run: Run, request: Request, tries: Mapping[str, Try], changed: Sequence[str]) -> None:
        """Take in the versions of tasks that have changed, unless others have made them again.

        Raises:
            BatchError: the service does not show them.
        """
        found = await self._targets.current(request, changed)
        for target in changed:
            attempt, seen = tries[target], found[target]
            look = looked(request, target, seen)
            if look.result is None and created_anew(attempt.before, seen or {}):
                look = Look(result=Result(SKIPPED, f"task {target!r} was created again after the targets were chosen"))
            if look.result is not None:
                run.settle(request.verb, target, look.result)
            else:
                attempt.before, attempt.changed = look.before, False

    async def _make(
        self, key: Key, run: Run, request: Request, tries: Mapping[str, Try], ready: Sequence[str]
    ) -> BatchError | None:
        found = await self._targets.reach(run, request)
        if run.refused is not None:
            reason, message = run.refused
            for target in ready:
                run.settle(request.verb, target, failure(request, f"{reason}: {message}", lost=tries[target].doubted))
            return None
        if run.stopped:
            return None
        inputs = {**request.how.defaults(found), **request.inputs}
        place, etag = request.place, found.get("eTag")
        where = Spot(place.pool, place.job, place.schedule, place.task, place.node, etag=etag)
        problems = list[BatchError]()

        async def make(at: Spot, targets: Sequence[str]) -> None:
            try:
                answer = await self._call(key, run, request, inputs, at, tries[targets[0]].doubted)
                for target in targets:
                    if isinstance(answer, BatchError):
                        problems.append(answer)
                        tries[target].changed = request.how.any_version and isinstance(answer, PreconditionFailedError)
                    else:
                        run.answered(request, target, answer)
            except (Exception, asyncio.CancelledError) as error:
                if isinstance(error, asyncio.CancelledError) and is_ending():
                    raise
                # A fault of the operator says nothing about the call, so the call counts as one without a response.
                fault = refusal("operations", key, error)
                for target in targets:
                    if target not in run.results:
                        run.answered(request, target, Lost(fault))

        async def one(target: str) -> None:
            seen = etag_of(tries[target].before) if request.on is On.TASKS else etag
            async with self._places:
                # It may have been told to stop while this call waited for its place.
                if not run.stopped:
                    await make(replace(where, target=target, etag=seen or None), (target,))

        if request.how.group:
            await make(replace(where, targets=tuple(ready)), ready)
        else:
            await together(one(target) for target in ready)
        return problems[-1] if problems else None

    async def _call(
        self, key: Key, run: Run, request: Request, inputs: Mapping[str, Any], at: Spot, doubted: bool
    ) -> Result | BatchError | Lost:
        """One call: its outcome, the error that it is to wait for, or that nobody knows what happened to it."""
        verb, lost = request.how, False

        def note() -> None:
            nonlocal lost
            lost = True

        options: CallOptions = {"priority": Priority.USER, "on_unanswered": note}
        try:
            sent = SEND[request.verb](self._client, at, inputs, options)
            if isinstance(sent, Listing):
                return await listed(request, sent)
            answer = await sent
            if isinstance(answer, bytes):
                return await kept(self._api, key, run.uid, str(inputs["into"]["name"]), answer)
        except BatchError as error:
            if lost and verb.changes and error.code not in verb.already:
                # The client has repeated it by itself, and the refusal is about what the first attempt has done, or is not.
                return Lost(error)
            return refused(request, error, lost=lost or doubted)
        if (problem := verb.problem(answer)) is not None:
            return Result(FAILED, problem)
        id = answer.request_id if isinstance(answer, Receipt) else None
        return Result(SUCCEEDED, request_id=id, values=tuple(verb.values(answer)))


def _wait(problem: BatchError | None, waits: int) -> float:
    if problem is None:
        return min(_LOOKED_AT_EVERY, 2.0 ** min(waits, 10))
    return max(min(problem.retry_after or 0.0, _LONGEST_WAIT), min(_LONGEST_WAIT, 2.0 ** min(waits, 10)))
