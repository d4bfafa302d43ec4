"""One poller per account: bulk lists, never a GET per object. It decides when to poll; `sync/polls` decides what to request.

Polls follow each other quickly while something moves and slow down while nothing does. Account-wide lists come first: they alone,
and what `judges_account` names, say whether the account can be used. What is asked for single jobs, pools and schedules are steps;
one that fails is retried by itself, beside the polls, so that it holds up nobody else.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Key
from azure_batch_operator.batch import BatchClient, BatchError, DeadlineError, MalformedResponseError, NotSentError
from azure_batch_operator.reconcile.account.problems import judges_account
from azure_batch_operator.sync.interest import Interest
from azure_batch_operator.sync.mirror import Mirror
from azure_batch_operator.sync.polls.account_metadata import AccountMetadataPoll
from azure_batch_operator.sync.polls.base import News, options
from azure_batch_operator.sync.polls.jobs import JobPoll
from azure_batch_operator.sync.polls.nodes import NodePoll
from azure_batch_operator.sync.polls.pools import PoolPoll
from azure_batch_operator.sync.polls.schedules import SchedulePoll
from azure_batch_operator.sync.polls.steps import Scope, Step, Troubles
from azure_batch_operator.sync.polls.tasks import OUTPUT, TaskPoll

logger = logging.getLogger(__name__)

_CONCURRENCY = 8
_MAX_SILENT = 8
"""Steps in a row without a response, after which a poll asks no more."""
_RUN = frozenset({"preparing", "running"})
_PATIENCE = 10.0
"""While something is expected, a poll comes before what is quiet has been quiet a tenth longer."""


class Changed(Protocol):
    """Is told objects whose remote side looks different; `moved` if it has come, gone or changed its state."""

    def __call__(self, keys: Iterable[Key], *, moved: bool = False) -> None: ...


class Pace:
    """Seconds between polls: the least while something moves, then longer and longer."""

    def __init__(self, least: float, most: float) -> None:
        self._least, self._most = least, most
        self._quiet = 0.0
        self.seconds = least

    def moved(self) -> None:
        """Something has changed."""
        self.seconds, self._quiet = self._least, 0.0

    def still(self, *, expecting: bool, running: bool = False, urgent: bool = False, failing: bool = False) -> None:
        """Nothing has changed.

        Args:
            expecting: tasks are not over: what has been quiet for long is checked less often, but not much too late.
            running: some of them run, so they may end at any time.
            urgent: a write of ours waits to be seen.
            failing: the account did not answer. It is asked less and less, since each poll repeats its calls as well, but often
                enough that it is soon known to be back.
        """
        self._quiet += self.seconds
        most = self._most
        if failing:
            most = min(most, self._least * 30)
        elif urgent or expecting:
            patience = self._least * 5 if urgent else max(self._least * 5, self._quiet / _PATIENCE)
            most = min(most, patience, self._least * 20 if running else math.inf)
        self.seconds = min(most, self.seconds * 1.5)


@dataclass
class _Round:
    """How the steps of one poll went.

    Attributes:
        error: what judges the account.
        silent: steps in a row that got no response.
        over: whether no further step is taken.
    """

    error: BatchError | None = None
    silent: int = 0
    over: bool = False


@dataclass(frozen=True)
class PollLimits:
    """How often an account may be polled.

    Attributes:
        least, most: bounds of the seconds between two polls.
        share: calls per second that polling may take; a poll of many jobs is followed by a longer rest.
    """

    least: float = 1.0
    most: float = 60.0
    share: float = math.inf


class Poller:
    """Keeps the mirror of one account up to date.

    Args:
        changed: is told what each poll has found.
        healthy: is told how each poll ended: None, or the error.
    """

    def __init__(
        self,
        client: BatchClient,
        mirror: Mirror,
        interest: Interest,
        changed: Changed,
        healthy: Callable[[BatchError | None], None],
        limits: PollLimits = PollLimits(),
    ) -> None:
        self._client = client
        self._mirror = mirror
        self._troubles = Troubles()
        mirror.problems, mirror.is_read = self._troubles.problems, self._troubles.is_read
        self._strays: dict[Scope, asyncio.Task[None]] = {}
        self._reported = self._moved = False
        self._pools = PoolPoll(client, mirror, interest)
        self._nodes = NodePoll(client, mirror, interest)
        self._offers = AccountMetadataPoll(client, mirror, interest)
        self._jobs = JobPoll(client, mirror, interest)
        self._tasks = TaskPoll(client, mirror, interest)
        self._schedules = SchedulePoll(client, mirror, interest)
        self._interest = interest
        self._changed = changed
        self._healthy = healthy
        self._pace = Pace(limits.least, limits.most)
        self._spacing = min(0.25, limits.least)
        self._share = limits.share
        self._calls = 0
        self._poked = asyncio.Event()
        self.opened = self.due = asyncio.get_running_loop().time()
        self.last_success: float | None = None

    def answered(self) -> None:
        """A call of the account has ended, well or badly: whoever polls is not stuck."""
        self.due = max(self.due, asyncio.get_running_loop().time())

    def request_poll(self) -> None:
        """Poll soon: something was written, or somebody is new."""
        self._pace.moved()
        self._poked.set()

    async def run(self) -> None:
        """Poll until cancelled."""
        try:
            await self._run()
        finally:
            for stray in self._strays.values():
                stray.cancel()
            if self._strays:
                await asyncio.wait(self._strays.values())

    async def _run(self) -> None:
        while True:
            self._poked.clear()
            await self.poll()
            rest = max(self._spacing, self._calls / self._share)
            wait = self._pace.seconds * random.uniform(0.8, 1.2)  # noqa: S311
            self.due = asyncio.get_running_loop().time() + rest + wait
            await asyncio.sleep(rest)
            try:
                async with asyncio.timeout(wait):
                    await self._poked.wait()
            except TimeoutError:
                continue

    async def poll(self) -> None:
        """One pass over everything that somebody is interested in."""
        self._calls, self._moved = 0, False
        # What pools look like depends on the images, so these come first; that they cannot be read concerns nobody else.
        error, news = await self._all(self._offers.steps(), News()), News()
        error = error or await self._account_wide(news)
        early = error is None and not self._reported
        if early:
            # The first steps of an account with many jobs take a while: it is known to answer before they end.
            self._reported = True
            self.last_success = asyncio.get_running_loop().time()
            self._healthy(None)
        steps = [] if error is not None and _ends_poll(error) else self._steps(news)
        error = await self._all(steps, news) or error
        if error is None:
            self.last_success = asyncio.get_running_loop().time()
        if error is not None or not early:
            self._reported = True
            self._healthy(error)
        if not self._moved:
            self._pace.still(
                expecting=self._expecting(),
                running=self._running(),
                urgent=self._urgent(),
                failing=error is not None,
            )

    def _tell(self, news: News) -> None:
        if not news:
            return
        self._pace.moved()
        self._moved = True
        self._jobs.stir(key for key in news.changed if key.kind is Kind.TASK)
        self._changed(news.moved, moved=True)
        self._changed(news.changed - news.moved)

    def _urgent(self) -> bool:
        mirror = self._mirror
        wholes = (mirror.pools, mirror.jobs, mirror.schedules)
        return any(table.touched for table in wholes) or any(table.touched for table in mirror.tasks.values())

    def _expecting(self) -> bool:
        return bool(self._interest.tasks) or self._jobs.expecting

    def _running(self) -> bool:
        """Whether tasks run whose end somebody waits for."""
        tables = self._mirror.tasks.values()
        return self._jobs.running or any(task.state in _RUN for table in tables for task in table.entries())

    def _parts(self) -> list[Callable[[News], Awaitable[None]]]:
        """The account-wide lists that somebody needs."""
        interest = self._interest
        if not interest and not self._mirror.outputs:
            return [self._check]
        parts: list[Callable[[News], Awaitable[None]]] = []
        jobs = interest.jobs or interest.tasks or interest.jobs_of_tasks
        if interest.pools or jobs or interest.schedules:
            # Jobs that wait say what for, and whose a pool is decides what may run on it, so pools are checked, too.
            parts.append(self._pools.poll)
        if jobs or interest.jobs_of_pools or interest.schedules:
            parts.append(self._jobs.poll)
        if interest.schedules:
            parts.append(self._schedules.poll)
        return parts

    async def _check(self, _: News) -> None:
        """An account that nobody uses is still checked: is it there, are we let in?"""
        async for _page in self._client.pools.list_pages(select=("id",), max_results=1, **options()):
            break

    async def _account_wide(self, news: News) -> BatchError | None:
        """Take the account-wide lists; the first error, if any of them failed. What was seen before it counts all the same."""
        first: BatchError | None = None
        for part in self._parts():
            error = None
            self._calls += 1
            try:
                await part(news)
            except BatchError as failure:
                error = failure
            except Exception as failure:
                error = _internal(failure)
            first = first or error
            if error is not None and _ends_poll(error):
                break
        return first

    def _steps(self, news: News) -> list[Step]:
        """What is due for single things."""
        steps = list[Step]()
        for part in (
            self._pools.steps,
            partial(self._nodes.steps, news),
            partial(self._jobs.steps, self._is_ready),
            self._tasks.steps,
            self._schedules.steps,
        ):
            try:
                steps += part()
            except Exception as failure:
                _internal(failure)
        return steps

    def _is_ready(self, scope: Scope, *, at_once: bool = False) -> bool:
        """Whether a step can be taken now: it neither runs beside the polls nor waits after a failure."""
        due = at_once or self._troubles.due(scope, asyncio.get_running_loop().time())
        return due and scope not in self._strays

    async def _all(self, steps: Sequence[Step], news: News) -> BatchError | None:
        """Take all steps, some at once; what judges the account, if anything does.

        Args:
            news: of the account-wide lists. Objects that a step is about hear of it when that step has ended, so that they do
                not decide on half of what this poll shows; all others hear of it at once.
        """
        gate, round_ = asyncio.Semaphore(_CONCURRENCY), _Round()
        news.changed |= self._troubles.keep(self._is_wanted)
        awaited = Counter(
            key
            for step in steps
            if self._is_ready(step.scope) and not self._troubles.has(step.scope)
            for key in step.keys
        )
        self._tell(News(news.changed - awaited.keys(), news.moved - awaited.keys()))

        async def guarded(step: Step) -> None:
            async with gate:
                if not round_.over:
                    self._calls += 1
                    await self._take(step, round_)
            awaited.subtract(step.keys)
            ended = {key for key in step.keys if not awaited[key]}
            self._tell(News(news.changed & ended, news.moved & ended))

        async with asyncio.TaskGroup() as group:
            for step in steps:
                if not self._is_ready(step.scope, at_once=step.at_once):
                    continue
                if not self._troubles.has(step.scope):
                    group.create_task(guarded(step))
                else:
                    # It has failed, so it may take long: nobody waits for it.
                    self._calls += 1
                    stray = self._strays[step.scope] = asyncio.create_task(self._take(step, _Round()))
                    stray.add_done_callback(partial(self._stray_ended, step.scope))
        return round_.error

    def _stray_ended(self, scope: Scope, _: asyncio.Task[None]) -> None:
        self._strays.pop(scope, None)

    async def _take(self, step: Step, round_: _Round) -> None:
        """Take a step; its errors stay here."""
        news = News()
        try:
            await step.run(news)
        except NotSentError:
            # Our own queue is full: nobody's trouble, and the next poll asks again.
            round_.over = True
        except BatchError as error:
            if judges_account(error):
                round_.error = round_.error or error
                round_.over = True
            else:
                round_.silent = round_.silent + 1 if isinstance(error, DeadlineError) else 0
                round_.over = round_.over or round_.silent >= _MAX_SILENT
                self._failed(step, error, news)
        except Exception as error:
            # Whatever data can cause concerns the thing that it is about.
            self._failed(step, error, news)
        else:
            round_.silent = 0
            news.changed |= self._troubles.ended(step)
        self._tell(news)

    def _failed(self, step: Step, error: Exception, news: News) -> None:
        news.changed |= self._troubles.failed(step, error, asyncio.get_running_loop().time())

    def _is_wanted(self, scope: Scope) -> bool:
        interest, id = self._interest, scope.id
        if scope.what == OUTPUT:
            return bool(self._mirror.outputs)
        return not id or any(
            id in table
            for table in (interest.jobs, interest.pools, interest.schedules, interest.tasks, interest.jobs_of_tasks)
        )

    def settled(self, keys: Iterable[Key]) -> None:
        """Tasks of these objects were added, or reactivated: their jobs' counts are worth a look."""
        self._jobs.stir(keys)

    def stir_job(self, job_id: str) -> None:
        """Something was done to tasks of this job, whoever has added them."""
        self._jobs.stir_job(job_id)

    def claim(self, job_id: str, task_id: str, owner: str) -> None:
        """The service has just taken this task from us."""
        self._tasks.claim(job_id, task_id, owner)


def _internal(failure: Exception) -> BatchError:
    """Whatever the service sends must not end the session: it is this account's failure, and retried with the next poll."""
    logger.error("A poll could not process a response of Azure Batch", exc_info=failure)
    return MalformedResponseError(
        f"a response of Azure Batch could not be processed ({type(failure).__name__}); see the operator's log"
    )


def _ends_poll(error: BatchError) -> bool:
    """Whether nothing else of this poll is worth asking: there is no response, or there will be none."""
    return isinstance(error, DeadlineError) or judges_account(error)
