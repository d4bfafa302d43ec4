"""Makes the calls of BatchOperations, one batch after the other, as their plans order it.

A plan orders a batch only when the API server has stored its targets as attempted. A call without an answer is never simply
repeated: the target is read, and where that says nothing the outcome is Unknown (`reconcile.operation_verbs`). That is also how
a process goes on with a batch that a former one has begun.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from prometheus_client import Counter

from azure_batch_operator.api.operation import MOST_TARGETS, MOST_VALUES, On
from azure_batch_operator.api.resource import Key
from azure_batch_operator.batch import (
    AuthenticationError,
    BatchClient,
    BatchError,
    BeingResizedError,
    EndpointRefusedError,
    NotFoundError,
    PreconditionFailedError,
    Priority,
    Receipt,
    TransientError,
    unanswered,
)
from azure_batch_operator.batch.caller import Listing
from azure_batch_operator.batch.redaction import without
from azure_batch_operator.batch.requests import CallOptions
from azure_batch_operator.guard import refusal
from azure_batch_operator.kube import files
from azure_batch_operator.kube.api import Busy, KubeApi, KubeError
from azure_batch_operator.reconcile.operation_order import (
    FAILED,
    SKIPPED,
    SUCCEEDED,
    UNKNOWN,
    Chosen,
    Look,
    Operate,
    Progress,
    Request,
    Result,
)
from azure_batch_operator.reconcile.operation_verbs import Doubt, Spot, before_of, created_anew, etag_of
from azure_batch_operator.reconcile.ownership import claimed
from azure_batch_operator.reconcile.trouble import Patience, Trouble, trouble
from azure_batch_operator.sync.backoff import Backoff
from azure_batch_operator.sync.landing import LANDING_SECONDS

logger = logging.getLogger(__name__)

TARGETS = Counter("azurebatch_operation_targets", "Targets of BatchOperations that are done with", ["verb", "outcome"])

_ACT = "operate"
_IN_FLIGHT = 8
"""Calls of all operations of an account at once: the others that share it keep half of its places."""
_LOOKED_AT_EVERY = 10.0
_LONGEST_WAIT = 60.0
_REPEATED_WITHIN = 300.0
"""Seconds after a call without an answer within which it is repeated; later, others may have undone it and rely on that."""
_SHOWN_FROM = 3
"""Waits in a row from which on the object says what it waits for."""
_BACK_WITHIN = 1800.0
"""Seconds that a node has to come back."""
_FRESH = 60.0
"""Seconds for which what was seen of targets counts: others may change them while the operation waits, such as for a Secret."""
_FEW = 3
"""Nodes that are read one by one; for more of them a list is cheaper."""
_NODE = ("id", "state", "schedulingState", "lastBootTime")
_POOL = ("id", "allocationState", "allocationStateTransitionTime", "resizeErrors")
_TASK = ("id", "state", "eTag", "creationTime", "environmentSettings")
_MOST_ITEMS = 10_000
_REFUSED = Trouble("", "", Patience.WAITING)
_LOST = "the call had no answer"
_ACCOUNT = "account"


@dataclass(slots=True)
class _Try:
    """One target of a batch.

    Attributes:
        before: what was seen of it.
        doubt: time of the loop until which a call without an answer may still take effect; None if there is none.
        lost: time of the loop at which the first call without an answer was made; None if there was none.
        taken: what the service has answered, while the target is on its way.
        since: time of the loop of that answer.
        changed: whether the call was refused because the task is not as it was seen.
    """

    before: str
    doubt: float | None = None
    lost: float | None = None
    taken: Result | None = None
    since: float = 0.0
    changed: bool = False

    @property
    def doubted(self) -> bool:
        """Whether a call had no answer."""
        return self.lost is not None


@dataclass(slots=True)
class _Run:
    """One operation, as this process knows it.

    Attributes:
        secrets: values that no text about it may show.
        chosen_at, looked_at: times of the loop of what was chosen, and of what was seen of targets.
        tries: the targets of the batch that is under way, or was stopped.
        stopped: whether no further call is to be made for now. What is ordered with an `ending` makes none and is not stopped.
        acted: whether calls were made lately that may have changed something.
        ending: what has ended it for good.
    """

    uid: str
    secrets: frozenset[str] = frozenset()
    chosen: Chosen | None = None
    chosen_at: float = 0.0
    looked_at: float = 0.0
    looks: dict[str, Look] = field(default_factory=dict)
    results: dict[str, Result] = field(default_factory=dict)
    refused: tuple[str, str] | None = None
    problem: BatchError | None = None
    tries: dict[str, _Try] = field(default_factory=dict)
    task: asyncio.Task[None] | None = None
    stopped: bool = False
    acted: bool = False
    ending: tuple[str, str] | None = None

    @property
    def untried(self) -> frozenset[str]:
        """Targets of the batch for which no call was made."""
        tries = self.tries.items()
        return frozenset(
            target
            for target, each in tries
            if target not in self.results and each.taken is None and each.doubt is None and not each.doubted
        )

    def waits_for(self, error: BatchError | None) -> None:
        """It does not get on for now, or does again."""
        if error is not None:
            error.hide(self.secrets)
        self.problem = error

    def settle(self, verb: str, target: str, result: Result) -> None:
        """The outcome of a target is known."""
        values = tuple((name, without(text, self.secrets)) for name, text in result.values)
        self.results[target] = replace(result, message=without(result.message, self.secrets), values=values)
        TARGETS.labels(verb, result.outcome).inc()


class Operations:
    """Carries out the operations of one account.

    Args:
        api: where files are kept.
        settled: is told the operations that have changed something, so that Azure Batch is worth a look.
        waiting: is told those that know more, but have changed nothing.
    """

    def __init__(
        self,
        client: BatchClient,
        api: KubeApi | None,
        settled: Callable[[Sequence[Key]], None],
        waiting: Callable[[Sequence[Key]], None],
    ) -> None:
        self._client, self._api, self._settled, self._waiting = client, api, settled, waiting
        self._runs: dict[Key, _Run] = {}
        self._places = asyncio.Semaphore(_IN_FLIGHT)
        self._backoff = Backoff(lambda: asyncio.get_running_loop().time())
        self._group: asyncio.TaskGroup | None = None

    def progress(self, key: Key, uid: str) -> Progress:
        """What is known of an operation beyond its status."""
        run = self._runs.get(key)
        if run is None or run.uid != uid:
            return Progress()
        now = asyncio.get_running_loop().time()
        looks = dict(run.looks) if now - run.looked_at < _FRESH else {}
        chosen = run.chosen if now - run.chosen_at < _FRESH else None
        untried = frozenset() if run.task is not None else run.untried
        return Progress(
            run.task is not None, chosen, looks, dict(run.results), untried, run.refused, run.problem, run.ending
        )

    def obey(self, key: Key, uid: str, order: Operate) -> float | None:
        """Do what a plan orders, unless something is under way; seconds to wait if it was refused lately."""
        run = self._runs.get(key)
        if run is None or run.uid != uid:
            self.forget(key)
            run = self._runs[key] = _Run(uid)
        if run.task is not None or self._group is None:
            return None
        held = self._backoff.held(key, _ACT, uid)
        if held is not None:
            return held[0]
        run.stopped, run.ending = False, run.ending or order.ending
        run.task = self._group.create_task(self._obey(key, run, order))
        return None

    def hurry(self, key: Key) -> None:
        """Somebody wants another try now."""
        self._backoff.forget(key)

    def stop(self, key: Key) -> None:
        """Make no more calls for now: `obey` goes on with what is left."""
        if (run := self._runs.get(key)) is not None:
            run.stopped = True

    def forget(self, key: Key) -> None:
        """The object is gone or done."""
        self._backoff.forget(key)
        run = self._runs.pop(key, None)
        if run is not None and run.task is not None:
            run.task.cancel()

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            await asyncio.Event().wait()

    async def _obey(self, key: Key, run: _Run, order: Operate) -> None:
        run.problem = run.refused = None
        run.secrets |= order.request.secrets
        run.acted = False
        try:
            if order.choose:
                await self._choose(run, order.request)
            elif order.attempt:
                await self._attempt(key, run, order)
            else:
                # What was not tried is looked at again, and is another try then.
                run.tries = {}
            if order.following and not run.stopped and run.refused is None:
                began = asyncio.get_running_loop().time()
                run.looks, run.looked_at = await self._look(order.request, order.following), began
            if run.refused is not None and order.choose:
                self._backoff.refused(key, _ACT, run.uid, BatchError(run.refused[1]), _REFUSED)
            else:
                self._backoff.succeeded(key, _ACT)
        except BatchError as error:
            self._not_done(key, run, error)
        except Exception as error:
            self._not_done(key, run, refusal("operations", key, error))
        finally:
            run.task = None
            if self._runs.get(key) is run:
                self._tell(key, run)

    def _tell(self, key: Key, run: _Run) -> None:
        """One that waits must not hurry the polls of its account each time that it looks again (decision 22)."""
        (self._settled if run.acted else self._waiting)([key])

    def _not_done(self, key: Key, run: _Run, error: BatchError) -> None:
        run.waits_for(error)
        wait = self._backoff.refused(key, _ACT, run.uid, error, trouble(error))
        logger.info("%s is tried again in %.0f s: %s", key, wait, error)

    # --- before the calls ---

    async def _reach(self, run: _Run, request: Request) -> Mapping[str, Any]:
        """The resource that it is about, if it may be touched, else `run.refused` says why; empty for the account.

        Raises:
            BatchError: the service does not show it.
        """
        place, schedule = request.place, None
        if place.pool:
            found = await self._client.pools.get(place.pool)
        elif place.job:
            found = await self._client.jobs.get(place.job)
            made_by, colon, _ = place.job.partition(":")
            if colon and request.reach.owner is None:
                # A job that a schedule has made carries no marker of its own.
                schedule = await self._client.job_schedules.get(made_by)
        elif place.schedule:
            found = await self._client.job_schedules.get(place.schedule)
        else:
            return {}
        run.refused = request.reach.refusal(found, schedule)
        if run.refused is None and place.pool and request.reach.needs_makers(found):
            run.refused = request.reach.refusal_of_auto_pool(found, await self._makers(str(found["id"])))
        return found

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

    async def _choose(self, run: _Run, request: Request) -> None:
        run.chosen_at = run.looked_at = asyncio.get_running_loop().time()
        found = await self._reach(run, request)
        if run.refused is not None:
            return
        targets, beyond = await self._targets(request)
        run.looks = await self._look(request, targets[: request.size])
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

    async def _look(self, request: Request, targets: Sequence[str]) -> dict[str, Look]:
        """What targets look like before they are attempted."""
        if not request.how.looks:
            return {target: Look() for target in targets}
        try:
            found = await self._current(request, targets)
        except NotFoundError as error:
            # The pool or the job is gone, and with it all that was in it.
            return {target: Look(result=Result(FAILED, str(error), error.request_id)) for target in targets}
        return {target: _looked(request, target, found[target]) for target in targets}

    async def _current(self, request: Request, targets: Sequence[str]) -> dict[str, Mapping[str, Any] | None]:
        """Targets as they are now; None for those that are gone.

        Raises:
            BatchError: the service does not show them.
        """
        pool, job = request.place.pool, request.place.job
        if request.on is On.NODES and len(targets) > _FEW:
            listed = {str(node["id"]).lower(): node async for node in self._client.nodes.list(pool, select=_NODE)}
            return {target: listed.get(target.lower()) for target in targets}
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
            async with self._places:
                try:
                    return target, await get(target)
                except NotFoundError as error:
                    if (error.code or "").startswith(("Node", "Task")) or request.on not in {On.NODES, On.TASKS}:
                        return target, None
                    raise

        return dict(await _together(one(target) for target in targets))

    # --- the calls ---

    async def _attempt(self, key: Key, run: _Run, order: Operate) -> None:
        """Make the calls of a batch, and find out about those that have no answer."""
        if run.tries.keys() != order.attempt.keys():
            # From now, not from the start of this process: an object that was forgotten and seen again may have a call in flight.
            now = asyncio.get_running_loop().time()
            landed, lost = (now + LANDING_SECONDS, now - order.age) if order.doubt else (None, None)
            run.tries = {target: _Try(before, landed, lost) for target, before in order.attempt.items()}
            run.results = {}
        # From here on a repetition of the order is no news of targets that were never tried.
        run.looks = {}
        waits = rounds = 0
        while left := {target: each for target, each in run.tries.items() if target not in run.results}:
            if order.ending is not None:
                problem = await self._end(run, order.request, left, order.ending)
            elif run.stopped:
                return
            else:
                problem = await self._round(key, run, order.request, left)
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

    async def _end(
        self, run: _Run, request: Request, left: Mapping[str, _Try], ending: tuple[str, str]
    ) -> BatchError | None:
        """One look at those in doubt or on their way; the others are not attempted any more. What stands in the way, if anything.

        It comes to an end also where Azure Batch does not show the targets: the outcome is Unknown when the time is over in which
        a call can take effect, or a node be back.
        """
        now, problem, verb = asyncio.get_running_loop().time(), None, request.how
        try:
            await self._resolve(run, request, left)
        except BatchError as error:
            problem = error
        gone = isinstance(problem, NotFoundError)
        for target, each in left.items():
            if target in run.results:
                continue
            if each.taken is not None:
                if gone or (problem is not None and now >= each.since + _BACK_WITHIN):
                    text = f"Azure Batch took the call, and {target} cannot be read: {problem}"
                    run.settle(request.verb, target, Result(FAILED if gone else UNKNOWN, text))
            elif each.doubt is not None:
                if gone or (problem is not None and now >= each.doubt):
                    text = f"{_LOST}, and {target} cannot be read: {problem}"
                    run.settle(request.verb, target, Result(UNKNOWN, text))
            elif each.doubted and verb.changes and verb.doubt is not Doubt.READ:
                text = f"{_LOST}: it may have been done, and is not repeated, since {ending[1]}"
                run.settle(request.verb, target, Result(UNKNOWN, text))
            else:
                run.settle(request.verb, target, Result(SKIPPED, f"not done, since {ending[1]}", given_up=True))
        return problem

    async def _round(self, key: Key, run: _Run, request: Request, left: Mapping[str, _Try]) -> BatchError | None:
        """One look at those in doubt or on their way, then the calls that can be made; what stands in the way, if anything."""
        try:
            await self._resolve(run, request, left)
            _give_up(run, request, left, asyncio.get_running_loop().time())
            ready = [
                target
                for target, each in left.items()
                if each.doubt is None and each.taken is None and target not in run.results
            ]
            if changed := [target for target in ready if left[target].changed]:
                await self._look_again(run, request, left, changed)
                ready = [target for target in ready if target not in run.results]
            return await self._make(key, run, request, left, ready) if ready else None
        except NotFoundError as error:
            # The pool or the job is gone, so nothing can be done to what was in it.
            for target, each in left.items():
                outcome = UNKNOWN if each.doubted and each.taken is None else FAILED
                if target not in run.results:
                    run.settle(request.verb, target, Result(outcome, str(error), error.request_id))
            return None
        except BatchError as error:
            return error

    async def _look_again(self, run: _Run, request: Request, tries: Mapping[str, _Try], changed: Sequence[str]) -> None:
        """Take in the versions of tasks that have changed, unless others have made them anew.

        Raises:
            BatchError: the service does not show them.
        """
        found = await self._current(request, changed)
        for target in changed:
            each, seen = tries[target], found[target]
            look = _looked(request, target, seen)
            if look.result is None and created_anew(each.before, seen or {}):
                look = Look(result=Result(SKIPPED, f"task {target!r} was created anew since the targets were chosen"))
            if look.result is not None:
                run.settle(request.verb, target, look.result)
            else:
                each.before, each.changed = look.before, False

    async def _make(
        self, key: Key, run: _Run, request: Request, tries: Mapping[str, _Try], ready: Sequence[str]
    ) -> BatchError | None:
        found = await self._reach(run, request)
        if run.refused is not None:
            reason, message = run.refused
            for target in ready:
                run.settle(request.verb, target, Result(FAILED, f"{reason}: {message}"))
            return None
        if run.stopped:
            return None
        run.acted = run.acted or request.how.changes
        inputs = {**request.how.defaults(found), **request.inputs}
        landed = asyncio.get_running_loop().time() + LANDING_SECONDS
        for target in ready:
            # Until there is an answer: a fault of ours after the call must not repeat it.
            tries[target].doubt = landed
        place, etag = request.place, found.get("eTag")
        where = Spot(place.pool, place.job, place.schedule, place.task, place.node, etag=etag)
        answers: dict[str, Result | BatchError | None] = {}
        if request.how.group:
            at = replace(where, targets=tuple(ready))
            doubted = tries[ready[0]].doubted
            answers = dict.fromkeys(ready, await self._call(key, run, request, inputs, at, doubted))
        else:

            async def one(target: str) -> None:
                seen = etag_of(tries[target].before) if request.on is On.TASKS else etag
                at = replace(where, target=target, etag=seen or None)
                async with self._places:
                    if run.stopped:
                        # It was told to stop while this call waited for its place.
                        tries[target].doubt = None
                        return
                    answers[target] = await self._call(key, run, request, inputs, at, tries[target].doubted)

            await _together(one(target) for target in ready)
        problem = None
        for target, answer in answers.items():
            tries[target].doubt = None
            if isinstance(answer, BatchError):
                problem = answer
                tries[target].changed = request.how.any_version and isinstance(answer, PreconditionFailedError)
            else:
                self._answered(run, request, target, tries[target], answer)
        return problem

    def _answered(self, run: _Run, request: Request, target: str, each: _Try, answer: Result | None) -> None:
        now = asyncio.get_running_loop().time()
        if answer is None:
            each.doubt = now + LANDING_SECONDS
            each.lost = now if each.lost is None else each.lost
        elif answer.outcome == SUCCEEDED and request.how.busy and request.how.tells(request.inputs):
            each.taken, each.since = answer, now
        else:
            run.settle(request.verb, target, answer)

    async def _call(
        self, key: Key, run: _Run, request: Request, inputs: Mapping[str, Any], at: Spot, doubted: bool
    ) -> Result | BatchError | None:
        """One call: its outcome, or the error that it is to wait for; None if nobody knows what became of it."""
        verb, lost = request.how, False

        def note() -> None:
            nonlocal lost
            lost = True

        options: CallOptions = {"priority": Priority.USER, "on_unanswered": note}
        try:
            sent = verb.send(self._client, at, inputs, options)
            if isinstance(sent, Listing):
                return await _listed(request, sent)
            answer = await sent
            if isinstance(answer, bytes):
                return await self._kept(key, run, inputs, answer)
        except BatchError as error:
            if lost and verb.changes and error.code not in verb.already:
                # The client has repeated it by itself, and the refusal is about what the first attempt has done, or is not.
                return None
            return _refused(request, error, lost=lost or doubted)
        if (problem := verb.problem(answer)) is not None:
            return Result(FAILED, problem)
        id = answer.request_id if isinstance(answer, Receipt) else None
        return Result(SUCCEEDED, request_id=id, values=tuple(verb.values(answer)))

    async def _kept(self, key: Key, run: _Run, inputs: Mapping[str, Any], content: bytes) -> Result | BatchError:
        name = str(inputs["into"]["name"])
        try:
            if self._api is not None:
                await files.keep(self._api, key, run.uid, name, content)
        except Busy as error:
            return BatchError(str(error), code="APIServerRefused", retry_after=error.retry_after)
        except KubeError as error:
            return Result(FAILED, f"ConfigMap {name!r} was not created: {error}")
        return Result(SUCCEEDED, values=(("configMap", name), ("bytes", str(len(content)))))

    # --- after the calls ---

    async def _resolve(self, run: _Run, request: Request, left: Mapping[str, _Try]) -> None:
        """Find out what became of calls without an answer, and how far targets on their way are.

        Raises:
            BatchError: the service does not show them.
        """
        now, verb = asyncio.get_running_loop().time(), request.how
        asked = [target for target, each in left.items() if each.doubt is not None or each.taken is not None]
        if not asked:
            return
        if verb.doubt is not Doubt.READ:
            for target in asked:
                each = left[target]
                if verb.doubt is Doubt.NEVER:
                    text = f"{_LOST}, and nothing tells whether it was done: it may have been, and is not repeated"
                    run.settle(request.verb, target, Result(UNKNOWN, text))
                elif each.doubt is not None and (now >= each.doubt or not verb.changes):
                    each.doubt = None
            return
        found = await self._current(request, asked)
        for target in asked:
            each = left[target]
            if each.taken is None:
                self._judge(run, request, target, each, found[target], now)
            if each.taken is not None and target not in run.results:
                self._follow(run, request, target, each, found[target], now)

    def _judge(
        self, run: _Run, request: Request, target: str, each: _Try, seen: Mapping[str, Any] | None, now: float
    ) -> None:
        """Whether a call without an answer was made."""
        done = request.how.done(each.before, seen)
        if done is False and not request.how.tells(request.inputs):
            done = None
        if done:
            result = Result(SUCCEEDED, f"{_LOST}, but it was done, as {target} shows")
            self._answered(run, request, target, each, result)
        elif each.doubt is not None and now < each.doubt:
            return
        elif done is None:
            text = f"{_LOST}, and {target} does not tell whether it was done: it may have been, and is not repeated"
            run.settle(request.verb, target, Result(UNKNOWN, text))
        else:
            each.doubt = None

    def _follow(
        self, run: _Run, request: Request, target: str, each: _Try, node: Mapping[str, Any] | None, now: float
    ) -> None:
        """Whether a node is back."""
        verb, taken = request.how, each.taken or Result(SUCCEEDED)
        state = "gone" if node is None else str(node.get("state", ""))
        if state in verb.back and verb.done(each.before, node):
            run.settle(request.verb, target, taken)
        elif node is None or (state not in verb.busy and state not in verb.back and verb.done(each.before, node)):
            text = f"Azure Batch took the call, and the node is {state} now"
            run.settle(request.verb, target, Result(FAILED, text, taken.request_id))
        elif now - each.since > _BACK_WITHIN:
            text = f"Azure Batch took the call, but the node is still {state} after {_BACK_WITHIN / 60:.0f} minutes"
            run.settle(request.verb, target, Result(FAILED, text, taken.request_id))


def _give_up(run: _Run, request: Request, left: Mapping[str, _Try], now: float) -> None:
    """Do not repeat a call whose answer was lost long ago."""
    if request.how.lasts or not request.how.changes:
        return
    for target, each in left.items():
        waits = each.doubt is None and each.taken is None and target not in run.results
        if waits and each.lost is not None and now - each.lost > _REPEATED_WITHIN:
            text = f"{_LOST}, too long ago to repeat it: others may have undone it since. Check {target}"
            run.settle(request.verb, target, Result(UNKNOWN, f"{text}, and create a new BatchOperation if needed"))


def _wait(problem: BatchError | None, waits: int) -> float:
    if problem is None:
        return min(_LOOKED_AT_EVERY, 2.0 ** min(waits, 10))
    return max(min(problem.retry_after or 0.0, _LONGEST_WAIT), min(_LONGEST_WAIT, 2.0 ** min(waits, 10)))


async def _together(calls: Iterable[Any]) -> list[Any]:
    """The answers to calls that are made at the same time, once all of them have ended.

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
    async for each in listing:
        if not chosen(each):
            continue
        if len(found) == (most or MOST_TARGETS):
            return found, most is None
        found.append(str(each["id"]))
    return found, False


def _is_chosen(choice: Mapping[str, Any], node: Mapping[str, Any]) -> bool:
    states = {state.lower() for state in choice.get("states") or ()}
    if states and str(node.get("state", "")).lower() not in states:
        return False
    wanted = str(choice.get("selector", "all"))
    return wanted == "all" or bool(node.get("isDedicated")) == (wanted == "dedicated")


def _looked(request: Request, target: str, seen: Mapping[str, Any] | None) -> Look:
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


_FILES = {
    404: "there is no file {path!r}, or the task or node does not exist",
    409: "file {path!r} cannot be read: its node was removed or is not ready, or its retention time is over",
}
"""What the status of an answer about files means. An answer to HEAD has no body that could say it."""


def _refused(request: Request, error: BatchError, *, lost: bool) -> Result | BatchError | None:
    """What an error means for a target: its outcome, a wait (the error itself), or doubt (None)."""
    verb = request.how
    if error.code in verb.already:
        if lost and verb.only_in_doubt:
            # It may have been there before, as somebody else made it.
            text = f"{_LOST}, and {error.code} does not tell who has done it, and how: it may differ from spec.{request.verb}"
            return Result(UNKNOWN, text, error.request_id)
        if lost:
            return Result(SUCCEEDED, f"{_LOST}, but there is nothing left to do: {error.code}", error.request_id)
        return Result(FAILED if verb.only_in_doubt else SKIPPED, str(error), error.request_id)
    if unanswered(error):
        return None if verb.changes else error
    if request.on is On.FILES and not error.code and (cause := _FILES.get(error.status or 0)):
        return Result(FAILED, f"{cause.format(path=request.inputs.get('path'))}: {error}", error.request_id)
    if isinstance(error, PreconditionFailedError) and request.on is On.TASKS and not verb.any_version:
        text = f"the task has changed since it was looked at: {error}"
        return Result(SUCCEEDED if lost else SKIPPED, text, error.request_id)
    passing = TransientError | AuthenticationError | EndpointRefusedError | BeingResizedError | PreconditionFailedError
    if isinstance(error, passing):
        return error
    return Result(FAILED, str(error), error.request_id)


async def _listed(request: Request, listing: Listing) -> Result:
    """What a list shows, as far as a status has room for it."""
    values: dict[str, str] = {}
    number = 0
    async for item in listing:
        for name, text in request.how.values(item):
            number += 1
            if len(values) < MOST_VALUES:
                values[name] = text
        if number >= _MOST_ITEMS:
            break
    return Result(SUCCEEDED, values=tuple(values.items()), omitted=number - len(values))
