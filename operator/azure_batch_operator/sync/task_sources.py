"""ConfigMaps that contain tasks of BatchJobs: read when a job is new, and again if a check of their versions shows a change.

The looks are one for all jobs: one request for the metadata of each ConfigMap that some job names, whatever the number of those
jobs, spread over the interval. ConfigMaps are not watched, since that takes the right to read all of them.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from azure_batch_operator.api.resource import Key, Resource
from azure_batch_operator.guard import keep
from azure_batch_operator.kube.api import KubeError
from azure_batch_operator.kube.values import LONG_AGO, ValueReader
from azure_batch_operator.reconcile.before import status_before
from azure_batch_operator.reconcile.job import changes as job_changes
from azure_batch_operator.reconcile.job import task_sources as sources
from azure_batch_operator.reconcile.job.lifecycle import managed_elsewhere
from azure_batch_operator.reconcile.job.spec import job_before
from azure_batch_operator.reconcile.status import ENDED_PHASES
from azure_batch_operator.reconcile.value_references import Reference, ResolutionError
from azure_batch_operator.sync.texts import read_texts

logger = logging.getLogger(__name__)

_LOOKS_PER_SECOND = 20.0
"""At most; the interval gets longer with more ConfigMaps than that allows."""
_BEFORE_ALL_ARE_IN = frozenset({"Pending", "Creating", "Submitting", "Stalled", "Queued", "Suspended", "Suspending"})

_Map = tuple[str, str]
"""Namespace and name of a ConfigMap."""


@dataclass(frozen=True)
class Sourced:
    """What a job has taken from its ConfigMaps.

    Attributes:
        version: uid of the job and fingerprint of the sources in its spec.
        members: of the spec, in place of those that name ConfigMaps.
        contents: fingerprint of the texts; None if they are gone, and `members` only stand for what is in Azure Batch.
        problem: why they could not be read last time.
        retry: of a job that runs tasks of another one again, what its status stores of that (`RetryStatus`).
    """

    version: tuple[str, str]
    members: Mapping[str, Any]
    contents: str | None
    problem: ResolutionError | None = None
    retry: Mapping[str, Any] | None = None


class TaskSources:
    """Completes jobs with the tasks of their ConfigMaps."""

    def __init__(self, values: ValueReader) -> None:
        self._values = values
        self.sourced: dict[Key, Sourced] = {}
        self._stale: set[Key] = set()
        self._versions: dict[_Map, str] = {}

    def forget(self, key: Key) -> None:
        """The object is gone."""
        self.sourced.pop(key, None)
        self._stale.discard(key)

    def hurry(self, job: Resource) -> None:
        """Somebody wants the ConfigMaps of a job to be looked at now."""
        for reference in sources.needed(job.spec):
            self._values.forget("ConfigMap", job.key.namespace, reference.source.name)
            self._stale.add(job.key)

    async def with_tasks(self, job: Resource, since: int = LONG_AGO) -> Resource:
        """A job with the tasks of its ConfigMaps, as they were after the moment `since`, among its own.

        One that is done stays as it is; what its ConfigMaps hold is only compared. Once all tasks are in Azure Batch, the job is
        followed to its end although its ConfigMaps have gone or can no longer be read.

        Raises:
            ResolutionError: if a ConfigMap is missing or does not hold tasks; the text names the field and the remedy.
            KubeError: if the API server is unreachable.
        """
        key, needed = job.key, sources.needed(job.spec)
        if not needed or job.deleting:
            self.forget(key)
            return job
        version = (job.uid, job_changes.fingerprint(job.spec))
        known = self.sourced.get(key)
        if known is not None and known.version != version:
            known = None
        if job.status.get("phase") in ENDED_PHASES:
            await self._compare(job, needed, version, known, since)
            return job
        if known is None or key in self._stale:
            async with self._fresh(key):
                known = self.sourced[key] = await self._take(job, needed, version, known, since)
        return replace(job, spec={**job.spec, **known.members})

    async def members(self, job: Resource, since: int) -> tuple[Mapping[str, Any], str | None]:
        """What the ConfigMaps of a job give its spec now, and the digest of their texts; nothing without ConfigMaps.

        Raises:
            ResolutionError: as for `with_tasks`.
            KubeError: if the API server is unreachable.
        """
        needed = sources.needed(job.spec)
        if not needed:
            return {}, None
        texts = await self._read(job, needed, since)
        return await asyncio.to_thread(sources.inlined, job.spec, texts), sources.digest(texts)

    @asynccontextmanager
    async def _fresh(self, key: Key) -> AsyncIterator[None]:
        """What is read now is new, unless it changes meanwhile or the API server is unreachable."""
        self._stale.discard(key)
        try:
            yield
        except KubeError:
            self._stale.add(key)
            raise

    async def _take(
        self, job: Resource, needed: Sequence[Reference], version: tuple[str, str], known: Sourced | None, since: int
    ) -> Sourced:
        try:
            texts = await self._read(job, needed, since)
            contents = sources.digest(texts)
            if known is not None and known.contents == contents:
                return replace(known, problem=None)
            # Parsing a megabyte of YAML takes long enough to hold up everything else.
            members = await asyncio.to_thread(sources.inlined, job.spec, texts)
        except ResolutionError as error:
            if known is not None:
                return replace(known, problem=error)
            total = _all_in(job)
            if not total:
                raise
            return Sourced(version, sources.settled(job.spec, total), None, error)
        return Sourced(version, members, contents)

    async def _compare(
        self, job: Resource, needed: Sequence[Reference], version: tuple[str, str], known: Sourced | None, since: int
    ) -> None:
        """For a job that is done: only whether the texts have changed; where they are gone, nothing is said."""
        if job.key not in self._stale:
            if known is None:
                self.sourced.pop(job.key, None)
            elif known.members:
                self.sourced[job.key] = replace(known, members={})
            return
        try:
            async with self._fresh(job.key):
                contents = sources.digest(await self._read(job, needed, since))
        except ResolutionError:
            return
        self.sourced[job.key] = Sourced(version, {}, contents)

    async def _read(self, job: Resource, needed: Sequence[Reference], since: int) -> Mapping[Any, str]:
        for reference in needed:
            map_ = (job.key.namespace, reference.source.name)
            # First the version: what is read after it is that or newer, so no change is missed.
            version = await self._values.version("ConfigMap", *map_, since=since)
            self._versions.setdefault(map_, version)
        return await read_texts(self._values, job.key.namespace, needed, since)

    # --- looking for changes ---

    async def run(
        self, jobs: Callable[[], Iterable[Resource]], changed: Callable[[Iterable[Key]], None], every: float
    ) -> None:
        """Look at all ConfigMaps again and again, until cancelled.

        Args:
            jobs: all that there are.
            changed: is told jobs whose ConfigMaps have changed.
            every: seconds between two rounds.
        """

        async def turn() -> None:
            await asyncio.sleep(every)
            async for keys in self.changes(jobs()):
                changed(keys)

        await keep("task sources", turn)

    async def changes(self, jobs: Iterable[Resource]) -> AsyncIterator[set[Key]]:
        """One round: for each ConfigMap that is not as it was, the jobs that name it."""
        named = _named(jobs)
        for gone in self._versions.keys() - named.keys():
            del self._versions[gone]
        for map_, keys in named.items():
            try:
                version = await self._values.version_now("ConfigMap", *map_)
            except KubeError as error:
                logger.warning("ConfigMap %s/%s could not be read: %s", *map_, error)
                continue
            if self._versions.get(map_) != version:
                self._versions[map_] = version
                self._stale |= keys
                yield keys
            await asyncio.sleep(1 / _LOOKS_PER_SECOND)


def _named(jobs: Iterable[Resource]) -> Mapping[_Map, set[Key]]:
    """Which jobs name which ConfigMaps, of those to whom it matters."""
    named: defaultdict[_Map, set[Key]] = defaultdict(set)
    for job in jobs:
        final = status_before(job).phase in ENDED_PHASES
        if job.deleting or managed_elsewhere(job) or (final and job_before(job).tasks_fingerprint is None):
            continue
        for reference in sources.needed(job.spec):
            named[job.key.namespace, reference.source.name].add(job.key)
    return named


def _all_in(job: Resource) -> int:
    """The number of the job's tasks, if its status says that all of them are in Azure Batch; else 0."""
    counts = job_before(job).task_counts
    total = counts.total or 0
    early = status_before(job).phase in _BEFORE_ALL_ARE_IN
    return 0 if early or (counts.submitted or 0) < total else total
