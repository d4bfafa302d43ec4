"""Adds BatchTasks to Azure Batch: those that appear together are sent together. `sync.feeder` adds the own tasks of jobs.

How tasks are packed into calls, what is halved and what is repeated is the client's business (`BatchClient.add_tasks`); here is
decided when a call goes out and what its results mean. "Exists" is never taken for "ours": that is left to the next list.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from azure_batch_operator.api.resource import Key
from azure_batch_operator.batch import AlreadyExistsError, BatchClient, BatchError, unanswered
from azure_batch_operator.batch.wire import Body
from azure_batch_operator.guard import refusal
from azure_batch_operator.reconcile.error_classes import classify_error, overtaken
from azure_batch_operator.sync.backoff import Backoff
from azure_batch_operator.sync.open_group import OpenGroup

logger = logging.getLogger(__name__)

MAX_TASKS = 100
"""Tasks that one call carries (docs/azure-batch.md#task-collections)."""
_QUIET = 1.0
_QUIET_AMONG_MANY = 1.5
"""Seconds without a new task after which a call goes out that is not full; where many have come, more are likely to."""
_MANY = 10
_LONGEST_WAIT = 30.0

_ADD, _INTENT, _CONTENT = "add_task", "", ""
"""A task's body is fixed and it has one action, so its refusals need no further name."""


@dataclass(slots=True)
class _Item:
    key: Key
    body: Body = field(repr=False)
    owner: str

    @property
    def id(self) -> str:
        return str(self.body["id"]).lower()


def _take(waiting: dict[Key, _Item]) -> list[_Item]:
    """Take out what goes out in one call; the second of two that name the same task stays, to learn that it is taken."""
    packed: dict[str, _Item] = {}
    for item in waiting.values():
        if len(packed) == MAX_TASKS:
            break
        packed.setdefault(item.id, item)
    for item in packed.values():
        del waiting[item.key]
    return list(packed.values())


@dataclass(frozen=True)
class Reports:
    """Where a submitter reports.

    Attributes:
        added: job id, task id and owner (None if the id was taken before) of each task that now exists.
        settled: the objects about whose task something is known now, and those of them that are to be looked at again.
        doubtful: job id, task id and object of each task that may be added late, by an attempt without a response.
        waiting: instead of `settled`, the objects for which nothing was done and nothing is new, since the same was refused before.
    """

    added: Callable[[str, str, str | None], None]
    settled: Callable[[Sequence[Key], Sequence[Key]], None]
    doubtful: Callable[[str, str, Key], None] = lambda *_: None
    waiting: Callable[[Sequence[Key]], None] | None = None


class Submitter:
    """Collects the tasks of BatchTasks per job and sends them when a call is full or no more come.

    Args:
        more: tells whether objects wait to be reconciled, so that more tasks may come.
        secrets: values that no text about objects of a namespace may show.
    """

    def __init__(
        self,
        client: BatchClient,
        reports: Reports,
        more: Callable[[], bool],
        secrets: Callable[[str], Collection[str]] = lambda _: (),
    ) -> None:
        self._told_waiting = reports.waiting or (lambda keys: reports.settled(keys, keys))
        self._client = client
        self._more = more
        self._added = reports.added
        self._settled = reports.settled
        self._doubtful = reports.doubtful
        self._secrets = secrets
        self._backoff = Backoff(lambda: asyncio.get_running_loop().time(), lambda: 1.0)
        self._waiting: defaultdict[str, dict[Key, _Item]] = defaultdict(dict)
        """By job and object, the longest waiting first. Thousands are withdrawn at once, so none is searched for."""
        self._in_hand: dict[Key, str] = {}
        """The job of each object whose task waits or is being sent."""
        self._looked_at: set[Key] = set()
        """Those of them that had a pass meanwhile."""
        self._jobs: dict[str, asyncio.Task[None]] = {}
        self._arrived: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._group = OpenGroup()

    def add(self, key: Key, job_id: str, body: Body, owner: str) -> None:
        """Have a task added soon."""
        if key in self._in_hand or not self._group.is_open:
            return
        self._in_hand[key] = job_id
        self._waiting[job_id][key] = _Item(key, body, owner)
        self._arrived[job_id].set()
        if job_id not in self._jobs:
            self._jobs[job_id] = self._group.start(self._serve(job_id))

    def has(self, key: Key) -> bool:
        """Whether the task of this object is on its way."""
        return key in self._in_hand

    def looked_at(self, key: Key) -> None:
        """A pass looks at the object: what it cannot decide while the task is on its way, another one decides after that.

        An object that nobody has looked at is as it was when its task was handed over, and until a list shows the task there is
        nothing to decide: that its task was taken is worth no pass.
        """
        if key in self._in_hand:
            self._looked_at.add(key)

    def refused(self, key: Key) -> BatchError | None:
        """Why the task of this object was not taken, until it is time to try again."""
        held = self._backoff.held(key, _ADD, _INTENT, _CONTENT)
        return held[1] if held else None

    def retry_in(self, key: Key) -> float | None:
        """Seconds until then."""
        held = self._backoff.held(key, _ADD, _INTENT, _CONTENT)
        return held[0] if held else None

    def forget(self, key: Key) -> None:
        """The object has changed, or somebody wants another try now."""
        self._backoff.forget(key)

    def withdraw(self, key: Key) -> None:
        """The object is gone or held: its task is not sent, unless it is on its way already."""
        self._backoff.forget(key)
        waiting = self._waiting.get(self._in_hand.get(key, ""), {})
        if waiting.pop(key, None) is not None:
            del self._in_hand[key]
            self._looked_at.discard(key)

    async def run(self) -> None:
        """Send until cancelled."""
        await self._group.run()

    async def _serve(self, job_id: str) -> None:
        """Send the tasks of one job until there are none left."""
        try:
            while self._waiting[job_id]:
                await self._gather(job_id)
                if items := _take(self._waiting[job_id]):
                    await self._send(job_id, items)
        finally:
            del self._jobs[job_id]
            self._arrived.pop(job_id, None)
            if not self._waiting[job_id]:
                del self._waiting[job_id]

    async def _gather(self, job_id: str) -> None:
        """Wait until a call is full, or nothing has come for a moment and nothing is about to."""
        arrived, loop = self._arrived[job_id], asyncio.get_running_loop()
        deadline = loop.time() + _LONGEST_WAIT
        while len(self._waiting[job_id]) < MAX_TASKS and loop.time() < deadline:
            arrived.clear()
            quiet = _QUIET_AMONG_MANY if len(self._waiting[job_id]) >= _MANY else _QUIET
            try:
                async with asyncio.timeout(quiet):
                    await arrived.wait()
            except TimeoutError:
                if not self._more():
                    return

    async def _send(self, job_id: str, items: Sequence[_Item]) -> None:
        keys = [item.key for item in items]
        outcome: dict[str, BatchError | None] = {}
        unknown: BatchError | None = None

        def doubt() -> None:
            for item in items:
                self._doubtful(job_id, str(item.body["id"]), item.key)

        bodies = [item.body for item in items]
        secrets = [self._secrets(namespace) for namespace in {key.namespace for key in keys}]
        try:
            async for result in self._client.add_tasks(job_id, bodies, concurrency=1, on_unanswered=doubt):
                if result.error is not None:
                    result.error.hide(*secrets)
                outcome[result.task_id.lower()] = result.error
        except BatchError as error:
            error.hide(*secrets)
            logger.warning("%d tasks of job %s were not added: %s", len(items) - len(outcome), job_id, error)
            unknown = error
        except Exception as error:
            # Whatever one task holds is the failure of the tasks of this call; the other calls go out all the same.
            unknown = refusal("submitter", job_id, error)
        finally:
            for key in keys:
                self._in_hand.pop(key, None)
        news = [self._learn(job_id, item, outcome.get(item.id, unknown)) for item in items]
        again = [
            key
            for item, key in zip(items, keys, strict=True)
            if outcome.get(item.id, unknown) or key in self._looked_at
        ]
        self._looked_at.difference_update(keys)
        if any(news):
            self._settled(keys, again)
        else:
            self._told_waiting(keys)

    def _learn(self, job_id: str, item: _Item, error: BatchError | None) -> bool:
        """Note what happened to a task; whether it may be in the job now, or was refused for the first time."""
        if error is None:
            self._backoff.succeeded(item.key, _ADD)
            self._added(job_id, str(item.body["id"]), item.owner)
            return True
        twice = self._backoff.refusals(item.key, _ADD, _INTENT) > 0
        if isinstance(error, AlreadyExistsError):
            self._added(job_id, str(item.body["id"]), None)
            if overtaken(error, twice=twice):
                # The next list shows whose it is. A list that still lacks it must not cause a loop.
                self._backoff.overtaken(item.key, _ADD, _INTENT, error)
                return True
        if unanswered(error):
            self._doubtful(job_id, str(item.body["id"]), item.key)
        self._backoff.refused(item.key, _ADD, _INTENT, error, classify_error(error), _CONTENT)
        return not twice or isinstance(error, AlreadyExistsError) or unanswered(error)
