"""Adds the own tasks of a job to Azure Batch as a stream, and updates existing ones after a change of the spec.

Two streams are joined, what the spec stands for and what the service lists: so it resumes after a restart, and finds what was
added, taken away or changed. Where the service lists ids in order, that takes constant memory.

Everything that is known of a job's tasks belongs to one incarnation of the job. "Exists" is checked, not assumed: a task of a
BatchTask may have the id of one of the job's own tasks.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

from azure_batch_operator.api.resource import Key
from azure_batch_operator.api.task_body import Task
from azure_batch_operator.batch import (
    AlreadyExistsError,
    BatchClient,
    BatchError,
    ConflictError,
    NotFoundError,
    PreconditionFailedError,
    Priority,
    TaskAddResult,
    is_gone,
    unanswered,
)
from azure_batch_operator.batch.wire import Body
from azure_batch_operator.guard import refusal
from azure_batch_operator.reconcile.error_classes import classify_error
from azure_batch_operator.reconcile.job import expand
from azure_batch_operator.reconcile.job.spec import JobTerms
from azure_batch_operator.reconcile.job.task_policies import Policies
from azure_batch_operator.sync.backoff import Backoff
from azure_batch_operator.sync.landing import LANDING_SECONDS
from azure_batch_operator.sync.open_group import OpenGroup
from azure_batch_operator.sync.replacing import Replacer
from azure_batch_operator.sync.task_diff import FeedState, Sieve, UnorderedError

logger = logging.getLogger(__name__)

_FEED = "add_tasks"
_CONCURRENCY = 4
_COMPARED = (*Task.wire_names(), "eTag")
_MAX_ROUNDS = 3
"""Lists per feed: when the service has a task that the list did not show, another list follows at once; after that, later."""


class Incarnation(NamedTuple):
    """A job in one of its lives.

    Attributes:
        key, uid: the BatchJob.
        created: `creationTime` of the job in Azure Batch, as far as it is known.
    """

    key: Key
    uid: str
    created: str | None = None


@dataclass(slots=True)
class _Job:
    """What this process knows of one incarnation.

    Attributes:
        landing: time of the loop until which tasks of former sources may still be added, by attempts without a response.
        doubted: the same for these sources.
        resting: whether all is done but to wait for `landing`.
        exact: whether a task that has more than the spec mentions differs from it.
        acted: whether a task was added or deleted.
        ends: whether the service ends the job when its tasks have ended.
        replaced: ids of tasks that were deleted and added again for these sources.
    """

    incarnation: Incarnation
    state: FeedState
    task: asyncio.Task[None] | None = None
    landing: float = 0.0
    doubted: float = 0.0
    resting: bool = False
    exact: bool = True
    acted: bool = False
    ends: bool = False
    replaced: set[str] = field(default_factory=set)


class Feeder:
    """Brings the own tasks of BatchJobs into Azure Batch.

    Args:
        settled: is told the jobs about which something is known now.
        waiting: is told them instead if nothing was done and nothing is new, since the same was refused before.
        doubtful: is told job id and object of each job whose tasks may be added late, by an attempt without a response. They may
            land in another job of that id, so the object has to be kept until they cannot.
    """

    def __init__(
        self,
        client: BatchClient,
        settled: Callable[[Sequence[Key]], None],
        doubtful: Callable[[str, Key], None] = lambda *_: None,
        secrets: Callable[[str], Collection[str]] = lambda _: (),
        *,
        waiting: Callable[[Sequence[Key]], None] | None = None,
    ) -> None:
        self._client = client
        self._settled, self._waiting = settled, waiting or settled
        self._doubtful = doubtful
        self._secrets = secrets
        self._jobs: dict[Key, _Job] = {}
        self._backoff = Backoff(lambda: asyncio.get_running_loop().time())
        self._group = OpenGroup()

    def state(self, incarnation: Incarnation) -> FeedState | None:
        """How far the tasks of this job are; None if this process has not looked."""
        job = self._jobs.get(incarnation.key)
        return job.state if job is not None and job.incarnation == incarnation else None

    def retry_in(self, incarnation: Incarnation, fingerprint: str) -> float | None:
        """Seconds until refused tasks are retried."""
        held = self._backoff.held(incarnation.key, _FEED, (incarnation, fingerprint))
        return held[0] if held else None

    def is_busy(self, incarnation: Incarnation, fingerprint: str) -> bool:
        """Whether `feed` would do nothing, since these sources are being brought in, are in, or wait for their next try."""
        job = self._jobs.get(incarnation.key)
        if job is None or job.incarnation != incarnation or job.state.fingerprint != fingerprint:
            return False
        return job.task is not None or job.state.complete or self.retry_in(incarnation, fingerprint) is not None

    def feed(
        self,
        incarnation: Incarnation,
        job_id: str,
        spec: Body,
        fingerprint: str,
        *,
        exact: bool = True,
        ends: bool = False,
    ) -> None:
        """Bring the tasks in, unless that is in progress; other sources, or another incarnation, begin again.

        Args:
            fingerprint: of `spec`, decided together with it.
            exact: whether a task that has more than `spec` mentions differs from it.
            ends: whether the service ends the job when its tasks have ended.
        """
        if not self._group.is_open:
            return
        if self.is_busy(incarnation, fingerprint):
            return
        job = self._jobs.get(incarnation.key)
        if job is not None and job.task and job.incarnation == incarnation and not job.resting:
            # A call of the former feed could land after the list of the next one, so it is brought to its end first.
            job.state.stopped = True
            return
        if job is not None and job.task:
            job.task.cancel()
        before, job = job, _Job(incarnation, FeedState(fingerprint), exact=exact, ends=ends)
        if before is not None:
            # What was meant for a former incarnation may land in this one.
            same = before.incarnation == incarnation and before.state.fingerprint == fingerprint
            job.landing = before.landing if same else max(before.landing, before.doubted)
            job.doubted = before.doubted if same else 0.0
            job.exact = before.exact if same else exact
            job.replaced = before.replaced if same else set()
        self._jobs[incarnation.key] = job
        job.task = self._group.start(self._feed(job, job_id, spec))

    def stop(self, incarnation: Incarnation, fingerprint: str | None) -> None:
        """Bring in nothing more for other sources than these, or for another incarnation; what is on its way may still land.

        Args:
            fingerprint: None to stop these, too; `feed` begins again.
        """
        job = self._jobs.get(incarnation.key)
        if job is not None and (
            fingerprint is None or (job.incarnation, job.state.fingerprint) != (incarnation, fingerprint)
        ):
            job.state.stopped = True

    def hurry(self, key: Key) -> None:
        """Somebody wants another try now."""
        self._backoff.forget(key)

    def forget(self, key: Key) -> None:
        """The job is gone or done."""
        self._backoff.forget(key)
        job = self._jobs.pop(key, None)
        if job is not None and job.task:
            job.task.cancel()

    async def run(self) -> None:
        """Feed until cancelled."""
        await self._group.run()

    async def _feed(self, job: _Job, job_id: str, spec: Body) -> None:
        key, state = job.incarnation.key, job.state
        intent = (job.incarnation, state.fingerprint)
        try:
            left = _MAX_ROUNDS
            while left:
                requeue_after, more = await self._round(job, job_id, spec)
                if not (requeue_after or more or state.stopped) and await self._rested(job, spec):
                    requeue_after, more = await self._round(job, job_id, spec)
                if state.stopped:
                    return
                # Deleting thousands of superfluous tasks, round by round, gets on; what a list does not show yet does not.
                left -= requeue_after
                if not requeue_after and not more:
                    state.complete = True
                    job.replaced.clear()
                    self._backoff.succeeded(key, _FEED)
                    return
            raise ConflictError("tasks exist that the list of tasks does not show yet", code="TaskExists")
        except BatchError as error:
            error.hide(self._secrets(key.namespace))
            logger.warning("Adding the tasks of %s stopped after %d: %s", key, state.submitted, error)
            state.refused = error
            self._backoff.refused(key, _FEED, intent, error, classify_error(error))
        except Exception as error:
            # Whatever a spec holds is this job's failure, and the other jobs are fed all the same.
            state.refused = refusal("feeder", key, error)
            self._backoff.refused(key, _FEED, intent, state.refused, classify_error(state.refused))
        finally:
            job.task = None
            if self._jobs.get(key) is job:
                why = None if job.acted else state.refused
                again = why is not None and not unanswered(why) and self._backoff.is_repeated(key, _FEED, intent)
                (self._waiting if again else self._settled)([key])

    async def _rested(self, job: _Job, spec: Body) -> bool:
        """Wait for tasks of former sources that may come after a round has looked for what to prune; whether it took time."""
        wait = job.landing - asyncio.get_running_loop().time()
        if wait <= 0 or not Policies.of(JobTerms.of(spec)).prune:
            return False
        job.resting = True
        await asyncio.sleep(wait)
        job.resting = False
        return True

    async def _round(self, job: _Job, job_id: str, spec: Body) -> tuple[bool, bool]:
        """Add what is missing and delete what is superfluous.

        Returns:
            Whether another look is needed, since something differed from the list, and whether more is to be deleted.
        """
        policies = Policies.of(JobTerms.of(spec), exact=job.exact)
        delete, before = partial(self._delete, job, job_id), len(job.replaced)
        sieve = Sieve(job.state, policies, delete, ends=job.ends, before=job.replaced)
        try:
            requeue_after = await self._bring_in(job, job_id, sieve, spec)
        except UnorderedError:
            logger.info("Tasks of job %s are not listed in the order of their IDs: all of them are read first", job_id)
            there = {str(task["id"]): task async for task in self._list(job_id)}
            requeue_after = await self._bring_in(job, job_id, sieve, spec, there)
        deleted, changed = await sieve.prune(expand.expand(spec, job_id))
        more = (sieve.left and len(job.replaced) > before) or (sieve.capped and deleted > 0)
        if sieve.replaces and not requeue_after and not more:
            # Were there a default that nobody knows of, each further round would replace the tasks again.
            job.exact = False
        return requeue_after or bool(changed), more

    async def _bring_in(
        self, job: _Job, job_id: str, sieve: Sieve, spec: Body, there: Mapping[str, Body] | None = None
    ) -> bool:
        """Replace what differs, then add what is missing; whether another look is needed.

        In this order, since a new task may depend on one that is replaced.
        """
        again = left = False
        if sieve.replaces:
            free, others = await sieve.look(self._missing(job_id, sieve, spec, there))
            left = sieve.left
            if not sieve.saw_any:
                # It need not be listed again.
                there = {}
            if sieve.differing:
                again = await self._replace(job, job_id, sieve, spec, free)
            if not others and (sieve.added or not free):
                return again
        again = await self._add(job, job_id, self._missing(job_id, sieve, spec, there)) or again
        # What differs now and did not a moment ago is for another look.
        again = again or (bool(sieve.differing) and not left)
        sieve.left = sieve.left or left
        return again

    async def _replace(self, job: _Job, job_id: str, sieve: Sieve, spec: Body, free: set[str]) -> bool:
        """Replace the tasks that a look has found to differ.

        Args:
            free: ids of tasks that are missing and depend on nothing. They are added first: some may have been deleted before their
                addition was refused, and as long as it is, no more tasks are deleted.
        """
        wanted, differing = partial(expand.expand, spec, job_id), dict(sieve.differing)
        add = partial(self._send, job, job_id, concurrency=1)
        again = await self._add(job, job_id, wanted({id.lower() for id in free})) if free else False
        sieve.added |= free
        replacer = Replacer(job.state, partial(self._delete, job, job_id), add, job.replaced.add)
        return await replacer.replace(sieve, differing, wanted) or again

    def _missing(
        self, job_id: str, sieve: Sieve, spec: Body, there: Mapping[str, Body] | None
    ) -> AsyncGenerator[Body, None]:
        wanted = expand.expand(spec, job_id)
        return sieve.missing(wanted, self._list(job_id)) if there is None else sieve.missing_from(wanted, there)

    async def _add(self, job: _Job, job_id: str, missing: Iterable[Body] | AsyncIterable[Body]) -> bool:
        requeue_after = False
        async for result in self._send(job, job_id, missing, concurrency=_CONCURRENCY):
            if result.error is None:
                job.state.submitted += 1
            elif isinstance(result.error, AlreadyExistsError):
                # Added by a call whose response was lost, or by a BatchTask: the next list tells.
                requeue_after = True
            else:
                raise result.error
        return requeue_after

    async def _send(
        self, job: _Job, job_id: str, tasks: Iterable[Body] | AsyncIterable[Body], *, concurrency: int
    ) -> AsyncGenerator[TaskAddResult, None]:
        """Add tasks, and remember what is not certain of them."""

        def doubt() -> None:
            job.doubted = asyncio.get_running_loop().time() + LANDING_SECONDS
            self._doubtful(job_id, job.incarnation.key)

        async for result in self._client.add_tasks(job_id, tasks, concurrency=concurrency, on_unanswered=doubt):
            job.acted = job.acted or result.error is None
            yield result

    def _list(self, job_id: str) -> Any:
        return self._client.tasks.list(job_id, select=_COMPARED, priority=Priority.SUBMIT)

    async def _delete(self, job: _Job, job_id: str, task: Body) -> bool:
        """Delete a task as it was listed; False if it has changed since, so that the next list decides."""
        job.acted = True
        try:
            await self._client.tasks.delete(
                job_id, str(task["id"]), if_match=task.get("eTag"), priority=Priority.SUBMIT
            )
        except NotFoundError as error:
            if not is_gone(error):
                raise
            logger.debug("Task %s of job %s is already gone", task["id"], job_id)
        except PreconditionFailedError:
            return False
        return True
