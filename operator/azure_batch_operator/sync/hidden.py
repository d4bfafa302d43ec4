"""Removes values of Secrets from the output of tasks before a status is written.

Which values those are is read again from the Secrets that the object names (for a BatchTask also those of its BatchJob, for a
BatchJob those of the BatchTasks whose output it shows), since after a restart nothing is remembered; what this process has sent is
cut out as well, so that a rotated value stays hidden. Where a Secret cannot be read and nothing of it is remembered, the output is
withheld.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

from azure_batch_operator.api.base import ApiModel
from azure_batch_operator.api.job import JobSpec
from azure_batch_operator.api.kinds import KINDS, Kind
from azure_batch_operator.api.resource import Key, Resource
from azure_batch_operator.api.task import TaskSpec
from azure_batch_operator.batch.redaction import SecretValues, without
from azure_batch_operator.batch.wire import convert
from azure_batch_operator.reconcile.job.streamed import Streamed
from azure_batch_operator.reconcile.plan import Plan
from azure_batch_operator.reconcile.task.spec import TaskTerms
from azure_batch_operator.reconcile.value_references import Reference, ResolutionError, Source, references

_TAILS = frozenset({"stdoutTail", "stderrTail"})
_MAX_KNOWN = 512
"""Values that are remembered of one namespace."""

Read = Callable[[Resource, Iterable[Reference]], Awaitable[Mapping[Source, str]]]


class Hidden:
    """Cuts values of Secrets out of statuses.

    Args:
        read: reads the texts of sources for an object.
        find: an object by its key.
        tasks_of: the BatchTasks of a BatchJob.
    """

    def __init__(
        self, read: Read, find: Callable[[Key], Resource | None], tasks_of: Callable[[Key], Iterable[Resource]]
    ) -> None:
        self._read, self._find, self._tasks_of = read, find, tasks_of
        self._found: dict[Key, tuple[Any, list[Reference]]] = {}
        """By BatchJob its tasks, and their references: there may be a hundred thousand tasks, and they seldom change."""
        self._sent: defaultdict[str, _Sent] = defaultdict(_Sent)

    async def remember(self, namespace: str, values: Mapping[Source, str]) -> None:
        """These values are in use, so they may come back.

        The forms of a key of many lines take milliseconds, so others have their turn between two new values (test_hidden.py,
        `test_many_new_values_hold_up_nobody`).
        """
        known = self._sent[namespace]
        used = [(source, value) for source, value in values.items() if source.kind == "Secret"]
        # Of more than that, the first would be let go at once.
        for source, value in used[-_MAX_KNOWN:]:
            if known.add(source, value):
                await asyncio.sleep(0)
        known.trim()

    def sent(self, namespace: str) -> Collection[str]:
        """The values that are in use in a namespace, as far as this process has sent them."""
        return self._sent[namespace].values if namespace in self._sent else ()

    def forget(self, key: Key) -> None:
        """The object is gone."""
        self._found.pop(key, None)

    async def cut(self, resource: Resource, plan: Plan) -> Plan:
        """The plan with a status that shows no value of a Secret.

        Raises:
            KubeError: if the API server is unreachable.
        """
        if plan.status is None or not _has_tail(plan.status):
            return plan
        namespace, unknown = resource.key.namespace, None
        for reference in self._needed(resource, plan.status):
            try:
                await self.remember(namespace, await self._read(resource, [reference]))
            except ResolutionError as error:
                if not self._sent[namespace].has(reference.source):
                    unknown = f"withheld, because a value that the task may have printed cannot be read: {error}"
        values = self.sent(namespace)
        return replace(plan, status=_cut(plan.status, lambda text: unknown or without(text, values)))

    def _needed(self, resource: Resource, status: Mapping[str, Any]) -> list[Reference]:
        """A reference per Secret that the output may show."""
        specs: list[tuple[type[ApiModel], Mapping[str, Any]]] = [
            (KINDS[resource.key.kind].spec, _but_tasks(resource.spec))
        ]
        job = convert(TaskTerms, resource.spec).job_ref.name if resource.key.kind is Kind.TASK else ""
        if job and (owner := self._find(Key(Kind.JOB, resource.key.namespace, job))) is not None:
            specs.append((JobSpec, _but_tasks(owner.spec)))
        if resource.key.kind is Kind.JOB:
            shown = {str(id).lower() for group in status.get("failures") or () for id in group.get("taskIds") or ()}
            specs += [(TaskSpec, task.spec) for task in self._tasks_of(resource.key) if task.remote_id.lower() in shown]
        found = [
            *self._of_tasks(resource),
            *(reference for model, spec in specs for reference in references(model, spec)),
        ]
        return list({reference.source: reference for reference in found if reference.source.kind == "Secret"}.values())

    def _of_tasks(self, resource: Resource) -> list[Reference]:
        tasks = resource.spec.get("tasks")
        if not tasks:
            return []
        known = self._found.get(resource.key)
        if known is None or known[0] is not tasks:
            named = tasks.needed if isinstance(tasks, Streamed) else references(JobSpec, {"tasks": tasks})
            secrets = {reference.source: reference for reference in named if reference.source.kind == "Secret"}
            known = self._found[resource.key] = (tasks, list(secrets.values()))
        return known[1]


class _Sent:
    """The values that are in use in a namespace, the latest used last, and the forms in which they come back."""

    def __init__(self) -> None:
        self.values = SecretValues()
        self._used: OrderedDict[tuple[Source, str], None] = OrderedDict()
        self._sources: Counter[str] = Counter()
        """By value how many sources have had it."""

    def add(self, source: Source, value: str) -> bool:
        """Take in a value of a source; whether its forms had to be computed."""
        is_new = value not in self._sources
        if (source, value) not in self._used:
            self._sources[value] += 1
            self.values.add(value)
        self._used[source, value] = None
        self._used.move_to_end((source, value))
        return is_new

    def trim(self) -> None:
        """Release the values whose last use is longest ago, so that memory is bounded."""
        while len(self._used) > _MAX_KNOWN:
            (_, value), _ = self._used.popitem(last=False)
            self._sources[value] -= 1
            if not self._sources[value]:
                del self._sources[value]
                self.values.discard(value)

    def has(self, source: Source) -> bool:
        return any(known == source for known, _ in self._used)


def _but_tasks(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: value for name, value in spec.items() if name != "tasks"}


def _has_tail(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any((name in _TAILS and member) or _has_tail(member) for name, member in value.items())
    return isinstance(value, list | tuple) and any(_has_tail(item) for item in value)


def _cut(value: Any, hide: Callable[[str], str]) -> Any:
    if isinstance(value, Mapping):
        return {
            name: hide(member) if name in _TAILS and isinstance(member, str) and member else _cut(member, hide)
            for name, member in value.items()
        }
    return [_cut(item, hide) for item in value] if isinstance(value, list | tuple) else value
