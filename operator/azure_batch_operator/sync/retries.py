"""Finds the tasks of BatchJobs with `spec.retryOf` with one list per job.

The tasks replace `tasks` in the spec, as those of ConfigMaps do, so later code handles one kind of job. They are looked up once per
process and job, since a job that has ended does not change (`reconcile.job.retry`).
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from azure_batch_operator import guard
from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Key, Resource
from azure_batch_operator.batch import NotFoundError, Priority, UsageError, is_gone
from azure_batch_operator.reconcile.annotations import is_stopping
from azure_batch_operator.reconcile.job import changes as job_changes
from azure_batch_operator.reconcile.job import expand, retry
from azure_batch_operator.reconcile.job.spec import JobTerms, job_before, retry_noted
from azure_batch_operator.reconcile.job.streamed import Streamed
from azure_batch_operator.reconcile.ownership import claimed
from azure_batch_operator.reconcile.references import referenced
from azure_batch_operator.reconcile.status import has_ended
from azure_batch_operator.reconcile.value_references import ResolutionError
from azure_batch_operator.sync.accounts import Session
from azure_batch_operator.sync.inputs import Inputs
from azure_batch_operator.sync.store import Store, pinned_account
from azure_batch_operator.sync.task_sources import Sourced
from azure_batch_operator.words import counted


@dataclass(frozen=True)
class Links:
    """How a job finds what it needs.

    Attributes:
        account_of: the account of an object.
        session_of: the session of an object.
        owned: whether a job in Azure Batch is the one of a BatchJob.
        changed: called with the jobs whose list is complete.
    """

    account_of: Callable[[Resource], Key | None]
    session_of: Callable[[Resource], Session | None]
    owned: Callable[[Mapping[str, Any], Resource], bool]
    changed: Callable[[Sequence[Key]], None]


_PATIENCE = 1.0
"""Seconds for which a pass waits for a list; most take less."""
_BELIEVED_AFTER = 180.0
"""Seconds from the first response that the former job does not exist until the operator accepts it: one response may be wrong, and
the former job may be deleted once its tasks are considered lost (test_retry_faults.py)."""
_FIRST_PAUSE, _LONGEST_PAUSE = 15.0, 3600.0
"""Seconds between two requests for a former job that does not exist."""


class _PassingError(ResolutionError):
    """The tasks are not known now. This may change without a change of the objects, unlike results of a complete list."""


class _GoneError(_PassingError):
    """Azure Batch does not return the former job as it was when it ended."""


class _WaitError(ResolutionError):
    """There is no memory for more tasks now."""

    def __init__(self, weight: int) -> None:
        super().__init__(
            retry.NO_ROOM,
            f"spec.retryOf: the operator keeps at most {retry.MAX_HELD} tasks of BatchJobs with spec.retryOf in memory, and those "
            "of this BatchJob exceed that: wait until other such BatchJobs have ended, or delete them",
        )
        self.weight = weight


@dataclass(frozen=True)
class _Refusal:
    """Why a list returned no tasks. It is kept, since a job that has ended does not change.

    Attributes:
        decided: all inputs of the decision.
        weight: of the tasks that do not fit into memory; None if they cannot run for another reason.
    """

    decided: object
    error: ResolutionError
    weight: int | None


@dataclass(frozen=True)
class _Look:
    """A list that is being read, or was read."""

    decided: object
    task: asyncio.Task[Streamed]


@dataclass(frozen=True)
class _Doubt:
    """A former job that does not exist, by the last response.

    Attributes:
        decided: all inputs of the request.
        since: time of the first such response.
        pause: seconds until the next request.
        due: time of the next request.
        error: shown until then.
    """

    decided: object
    since: float
    pause: float
    due: float
    error: ResolutionError


class Retries:
    """Adds the tasks that they retry to jobs."""

    def __init__(self, store: Store, inputs: Inputs, links: Links) -> None:
        self._store, self._inputs, self._links = store, inputs, links
        self._refused: dict[Key, _Refusal] = {}
        self._doubts: dict[Key, _Doubt] = {}
        self._looks: dict[Key, _Look] = {}
        self._turns: defaultdict[Key, asyncio.Lock] = defaultdict(asyncio.Lock)
        """By account: one list at a time, since all IDs of a list are in memory while it is read."""

    def forget(self, key: Key) -> None:
        """The object is gone, or a user requested a reconcile."""
        self._refused.pop(key, None)
        self._doubts.pop(key, None)
        self._drop_look(key)

    def _drop_look(self, key: Key) -> None:
        if (look := self._looks.pop(key, None)) is not None:
            look.task.cancel()

    async def with_tasks(self, job: Resource) -> Resource:
        """A job with the settings and tasks of the one that it names in `retryOf`.

        Once it has begun, it continues even if the former job is gone: its status has the number of tasks.

        Raises:
            ResolutionError: if the tasks cannot run again; the text names the field and the remedy.
            KubeError: if the API server is unreachable.
            BatchError: if the tasks could not be listed.
        """
        if job.deleting or has_ended(job) or not retry.has_begun(job):
            self.forget(job.key)
            self._inputs.tasks.forget(job.key)
            return replace(job, spec=retry.with_settings(job))
        sourced = self._inputs.tasks.sourced
        version = (job.uid, job_changes.fingerprint(job.spec))
        known = sourced.get(job.key)
        if known is None or known.version != version or _is_asked_again(job, known):
            if is_stopping(job):
                # A job that only stops needs no list.
                noted = job_before(job).retry_of
                members = {} if noted is None else retry.stand_ins(noted.tasks)
                return replace(job, spec={**retry.with_settings(job), **members})
            known = sourced[job.key] = await self._take(job, version)
        given = (known.retry or {}).get("settings") or {}
        return replace(job, spec={**retry.merged(job.spec, given), **known.members})

    async def _take(self, job: Resource, version: tuple[str, str]) -> Sourced:
        try:
            return await self._found(job, version)
        except ResolutionError as error:
            noted = job_before(job).retry_of
            if noted is None:
                raise
            return Sourced(version, retry.stand_ins(noted.tasks), None, error, retry_noted(job))

    async def _found(self, job: Resource, version: tuple[str, str]) -> Sourced:
        key = retry.source_key(job)
        former = self._store.get(key) if key else None
        if (refused := retry.refusal(job, former)) is not None or former is None:
            raise refused or ResolutionError("RetryTasksUnknown", "")
        first, account = self._first(job, former), self._session(job, former).key
        given = retry.settings(former)
        if (refused := retry.too_large(given)) is not None:
            raise refused
        decided = (version, *((source.uid, source.generation) for source in (former, first)))
        before = self._refused.get(job.key)
        if before is not None and before.decided == decided and not self._fits(job.key, before.weight):
            raise ResolutionError(before.error.reason, str(before.error))
        doubt = self._doubts.get(job.key)
        if doubt is not None and doubt.decided == decided and time.monotonic() < doubt.due:
            raise ResolutionError(doubt.error.reason, str(doubt.error))
        spec = await self._spec(job, first)
        tasks = await self._look(job, former, account, spec, decided)
        note = {"uid": former.uid, "tasks": len(tasks), "settings": given}
        return Sourced(version, {"tasks": tasks, "tasksFrom": []}, retry.contents(former.uid), None, note)

    async def _look(
        self, job: Resource, former: Resource, account: Key, spec: Mapping[str, Any], decided: object
    ) -> Streamed:
        """The tasks to run again. A long list continues after this pass, because all accounts share the workers."""
        look = self._looks.get(job.key)
        is_new = look is None or look.decided != decided
        if look is None or is_new:
            self._drop_look(job.key)
            task = guard.shared(self._list_in_turn(job, former, account, spec))
            look = self._looks[job.key] = _Look(decided, task)
        await asyncio.wait({look.task}, timeout=_PATIENCE if is_new else 0)
        if not look.task.done():
            if is_new:
                look.task.add_done_callback(lambda _: self._links.changed([job.key]))
            raise _pending(former)
        if self._looks.get(job.key) is not look or look.task.cancelled():
            # Forgotten during the wait: the object was deleted, perhaps created again, or a user requested a reconcile.
            raise _pending(former)
        del self._looks[job.key]
        try:
            tasks = look.task.result()
            if not self._fits(job.key, weight := retry.weight(tasks)):
                raise _WaitError(weight)
        except _GoneError as error:
            raise self._doubted(job.key, former, decided, error) from None
        except _PassingError:
            raise
        except ResolutionError as error:
            needed = error.weight if isinstance(error, _WaitError) else None
            self._refused[job.key] = _Refusal(decided, error, needed)
            raise
        self._refused.pop(job.key, None)
        self._doubts.pop(job.key, None)
        return tasks

    def _doubted(self, key: Key, former: Resource, decided: object, error: _GoneError) -> ResolutionError:
        """The error for a former job that does not exist; it is requested again at growing intervals."""
        now, before = time.monotonic(), self._doubts.get(key)
        since, pause = now, _FIRST_PAUSE
        if before is not None and before.decided == decided:
            since, pause = before.since, min(2 * before.pause, _LONGEST_PAUSE)
        said = ResolutionError(error.reason, str(error))
        if now - since < _BELIEVED_AFTER:
            said = ResolutionError(
                retry.PENDING,
                f"spec.retryOf: Azure Batch does not return the ended job of BatchJob {former.key.name!r}: wait; the operator "
                "repeats the request for some minutes",
            )
        self._doubts[key] = _Doubt(decided, since, pause, now + pause, said)
        return said

    async def _list_in_turn(self, job: Resource, former: Resource, account: Key, spec: Mapping[str, Any]) -> Streamed:
        async with self._turns[account]:
            while True:
                # The session may be replaced during the wait and during the list.
                session = self._ready(former)
                try:
                    return await self._listed(job, former, session, spec)
                except UsageError:
                    if self._links.session_of(former) is session:
                        raise

    def _fits(self, key: Key, weight: int | None) -> bool:
        """Whether the tasks of a retry fit into memory with those of all others; `weight` is None if they cannot run anyway."""
        if weight is None:
            return False
        held, sourced = 0, self._inputs.tasks.sourced
        for other, known in [*sourced.items()]:
            tasks, job = known.members.get("tasks"), self._store.get(other)
            if known.retry is not None and (job is None or has_ended(job)):
                # There may be no pass after the end.
                self._inputs.tasks.forget(other)
                continue
            if other != key and isinstance(tasks, Streamed):
                held += retry.weight(tasks)
        return not held or held + weight <= retry.MAX_HELD

    async def _listed(self, job: Resource, former: Resource, session: Session, spec: Mapping[str, Any]) -> Streamed:
        """The tasks of a spec that have not succeeded in the former job.

        Raises:
            ResolutionError: if there are none, or they cannot run again.
            BatchError: if they could not be listed.
        """
        given = retry.settings(former)
        ids, others = await self._unfinished(session, former)
        known = self._store.get(former.key)
        if "retryOf" not in job.status and (known is None or known.deleting):
            # Its deletion may have begun before the list; from now on it waits for this job.
            refused = retry.refusal(job, known)
            raise _PassingError(refused.reason if refused else "RetryTasksUnknown", str(refused or ""))
        tasks = await asyncio.to_thread(retry.chosen, spec, ids, others)
        if not tasks:
            raise ResolutionError(retry.NOTHING_TO_RETRY, _nothing(former.key.name, len(ids)))
        terms = JobTerms.of({**retry.merged(job.spec, given), "tasks": tasks})
        if wrong := await asyncio.to_thread(expand.problems, terms):
            raise ResolutionError("InvalidTasks", f"spec.retryOf: {'; '.join(wrong[:5])}")
        return tasks

    def _first(self, job: Resource, former: Resource) -> Resource:
        """The BatchJob that defined the tasks.

        Raises:
            ResolutionError: if it is gone.
        """
        current = former
        while (key := retry.source_key(current)) is not None:
            retried = (retry.source_key(job) or key).name
            found, noted = self._store.get(key), job_before(current).retry_of
            if found is None or noted is None or found.uid != noted.uid:
                raise ResolutionError(
                    "RetryTasksUnknown",
                    f"spec.retryOf names BatchJob {retried!r}, which retries BatchJob "
                    f"{key.name!r}, which is gone: create a BatchJob with all of its tasks instead",
                )
            current = found
        return current

    def _session(self, job: Resource, former: Resource) -> Session:
        account, name = self._links.account_of(former), former.key.name
        own = pinned_account(job) or self._links.account_of(job)
        if own is None and (pool := referenced(job.spec).pool_ref) is not None:
            raise ResolutionError(
                "PoolNotFound",
                f"spec.poolRef names BatchPool {pool.name!r}, which does not exist in this namespace: create it or correct "
                "spec.poolRef",
            )
        if account is not None and own is not None and own != account:
            raise ResolutionError(
                "RetryInOtherAccount",
                f"spec.retryOf names BatchJob {name!r} of BatchAccount {account.namespace}/{account.name}, but this job is in "
                f"{own.namespace}/{own.name}: omit accountRef and the pool, or name a pool of that account",
            )
        return self._ready(former)

    def _ready(self, former: Resource) -> Session:
        session = self._links.session_of(former)
        if session is None:
            raise _PassingError(
                "AccountNotReady",
                f"spec.retryOf: the BatchAccount of BatchJob {former.key.name!r} is not ready: check its conditions",
            )
        return session

    async def _spec(self, job: Resource, first: Resource) -> Mapping[str, Any]:
        """The spec that defines the tasks, with those of its ConfigMaps."""
        name = first.key.name
        try:
            members, texts = await self._inputs.members(first, job.key)
        except ResolutionError as error:
            raise ResolutionError(error.reason, f"spec.retryOf: BatchJob {name!r}: {error}") from None
        if not retry.is_unchanged(first, texts):
            raise retry.changed(name)
        return {**first.spec, **members}

    async def _unfinished(self, session: Session, former: Resource) -> tuple[set[str], set[str]]:
        """Lower-case IDs of the tasks that have not succeeded, and of those among them that belong to BatchTasks."""
        name, job_id = former.key.name, former.remote_id
        gone = _GoneError(
            "RetryTasksUnknown",
            f"spec.retryOf names BatchJob {name!r}, whose job was deleted in Azure Batch, so its tasks are no longer known: "
            "create a BatchJob with all of its tasks instead",
        )
        ids: set[str] = set()
        others: set[str] = set()
        try:
            remote = await session.client.jobs.get(job_id)
            if not self._links.owned(remote, former) or remote.get("state") != "completed":
                raise gone
            listed = session.client.tasks.list(
                job_id, filter=retry.UNFINISHED, select=("id", "environmentSettings"), priority=Priority.SUBMIT
            )
            async for task in listed:
                ids.add(str(task["id"]).lower())
                if claimed(task):
                    others.add(str(task["id"]).lower())
                if len(ids) > retry.MAX_TASKS:
                    raise retry.too_many(f"there are more than {retry.MAX_TASKS}")
        except NotFoundError as error:
            if not is_gone(error):
                raise
            raise gone from None
        return ids, others


def retries_of(store: Store, job: Resource) -> list[Key]:
    """The BatchJobs that retry this one."""
    return [
        dependent.key for dependent in store.dependents(job.key, Kind.JOB) if retry.source_key(dependent) == job.key
    ]


def former_jobs(store: Store, job: Resource) -> list[Key]:
    """The BatchJobs that this one retries: the one that it names, the one that that one names, and so on."""
    found: list[Key] = []
    current: Resource | None = job
    while current is not None and (key := retry.source_key(current)) is not None and key not in found:
        found.append(key)
        current = store.get(key)
    return found


def _is_asked_again(job: Resource, known: Sourced) -> bool:
    """Whether only the number of tasks is known, and they can be requested again: the former job may go once all are added."""
    problem = known.problem
    if problem is None:
        return False
    return isinstance(problem, _PassingError) or problem.reason == retry.PENDING or not retry.all_in(job)


def _pending(former: Resource) -> ResolutionError:
    return ResolutionError(
        retry.PENDING,
        f"spec.retryOf: the tasks of BatchJob {former.key.name!r} that have not succeeded are being listed: wait. If it "
        "takes long, check the conditions of the BatchAccount",
    )


def _nothing(name: str, others: int) -> str:
    if not others:
        return (
            f"spec.retryOf names BatchJob {name!r}, whose tasks have all succeeded: delete this object, or create a BatchJob "
            "with all of the tasks to run them again"
        )
    return (
        f"spec.retryOf names BatchJob {name!r}, whose own tasks have all succeeded, in contrast to "
        f"{counted(others, 'task')} of BatchTasks or other clients. Only the client that added them can run them again: delete "
        "this object"
    )
