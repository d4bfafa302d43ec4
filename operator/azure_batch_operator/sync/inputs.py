"""What plans need from Secrets and ConfigMaps: the thin step between deciding and sending.

Plans hold references; their values are read and put in here, right before a call, so that they are never part of anything that is
compared, shown or kept.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from azure_batch_operator.api.base import ApiModel
from azure_batch_operator.api.job import JobSpec
from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.pool import PoolSpec
from azure_batch_operator.api.resource import Key, Resource
from azure_batch_operator.api.schedule import JobScheduleSpec
from azure_batch_operator.api.task import TaskSpec
from azure_batch_operator.kube.api import KubeApi
from azure_batch_operator.kube.values import ValueMissingError, Values
from azure_batch_operator.reconcile import expand, job_changes, sources
from azure_batch_operator.reconcile.job import FINAL
from azure_batch_operator.reconcile.plan import Plan
from azure_batch_operator.reconcile.pool_cost import source_of
from azure_batch_operator.reconcile.pool_values import Taken, version_of
from azure_batch_operator.reconcile.resolve import Reference, ResolutionError, Source, filled, references

LOOKED_AT_EVERY = 15.0
"""Seconds between two looks for a value that is missing."""

_MODELS: dict[Kind, type[ApiModel]] = {
    Kind.POOL: PoolSpec,
    Kind.JOB: JobSpec,
    Kind.TASK: TaskSpec,
    Kind.SCHEDULE: JobScheduleSpec,
}
_CREATES = frozenset({"create_pool", "create_job", "create_schedule", "update_schedule"})
_FILLED = _CREATES | {"update_pool"}


_BEFORE_ALL_ARE_IN = frozenset({"Pending", "Creating", "Submitting", "Stalled", "Queued", "Suspended", "Suspending"})


class Inputs:
    """Completes jobs and plans with what Secrets and ConfigMaps hold."""

    def __init__(self, api: KubeApi) -> None:
        self._values = Values(api)
        self._tasks: dict[Key, tuple[tuple[str, str], Mapping[str, Any]]] = {}
        self._lost: dict[Key, ResolutionError] = {}
        self.prices: dict[Key, str | ResolutionError] = {}
        """What `spec.pricesFrom` of pools points to, or why it cannot be read."""
        self.taken: dict[Key, Mapping[str, Taken]] = {}
        """What properties of pools take from Secrets and ConfigMaps."""
        self._digest_key = os.urandom(32)

    def forget(self, key: Key) -> None:
        """The object is gone or done."""
        self._tasks.pop(key, None)
        self.prices.pop(key, None)
        self.taken.pop(key, None)
        self._lost.pop(key, None)

    async def read_prices(self, resource: Resource) -> None:
        """Read the prices that a pool names; that there are none keeps nothing from going on.

        Raises:
            KubeError: if the API server is out of reach.
        """
        reference = resource.spec.get("pricesFrom")
        if resource.key.kind is not Kind.POOL or not reference or resource.deleting:
            self.prices.pop(resource.key, None)
            return
        source = source_of(reference)
        try:
            found = await self._read(resource.key.namespace, [Reference("spec.pricesFrom", source)])
            self.prices[resource.key] = found[source]
        except ResolutionError as error:
            self.prices[resource.key] = error

    async def read_taken(self, resource: Resource) -> None:
        """Look whether the values that a pool takes from Secrets and ConfigMaps have changed; a missing one keeps what was known.

        Raises:
            KubeError: if the API server is out of reach.
        """
        if resource.key.kind is not Kind.POOL or resource.deleting:
            return
        found = dict(self.taken.get(resource.key, {}))
        for name, value in resource.spec.items():
            needed = [] if name in PoolSpec.ours else list(references(PoolSpec, {name: value}))
            if not needed:
                found.pop(name, None)
                continue
            try:
                values = await self._read(resource.key.namespace, needed)
            except ResolutionError:
                continue
            texts = json.dumps([values[each.source] for each in needed])
            digest = hmac.new(self._digest_key, texts.encode(), "sha256").hexdigest()
            versions = [
                (source, await self._values.version(source.kind, resource.key.namespace, source.name))
                for source in values
            ]
            found[name] = Taken(digest, version_of(versions))
        self.taken[resource.key] = found

    async def with_tasks(self, resource: Resource) -> Resource:
        """A job with the tasks of its ConfigMaps among its own; anything else as it is.

        ConfigMaps are read once for each version of the sources in a spec, and again after a restart of the operator. Once
        all tasks are in Azure Batch they matter no more, so a job is followed to its end although they have gone or changed.

        Raises:
            ResolutionError: if a ConfigMap is missing or does not hold tasks; the text names the field and the remedy.
            KubeError: if the API server is out of reach.
        """
        key = resource.key
        if key.kind is not Kind.JOB:
            return resource
        if resource.deleting or resource.status.get("phase") in FINAL:
            self.forget(key)
            return resource
        needed = sources.needed(resource.spec)
        if not needed:
            return resource
        version = (resource.uid, job_changes.fingerprint(resource.spec))
        known, members = self._tasks.get(key, (None, None))
        if members is None or known != version:
            members = await self._members(resource, needed)
            self._tasks[key] = (version, members)
        return replace(resource, spec={**resource.spec, **members})

    async def _members(self, resource: Resource, needed: Iterable[Reference]) -> Mapping[str, Any]:
        self._lost.pop(resource.key, None)
        all_in = _all_in(resource)
        try:
            texts = await self._read(resource.key.namespace, needed)
            # Parsing a megabyte of YAML takes long enough to hold up everything else.
            members = await asyncio.to_thread(sources.inlined, resource.spec, texts)
        except ResolutionError as error:
            if not all_in:
                raise
            self._lost[resource.key] = error
            return sources.settled(resource.spec, all_in)
        found = expand.total({**resource.spec, **members})
        # With another spec another number is no wonder: its own sources may have changed.
        if all_in and found != all_in and resource.status.get("observedGeneration") == resource.generation:
            message = f"the ConfigMaps now hold tasks for {found} in all, the job was made with {all_in}: create a new BatchJob"
            self._lost[resource.key] = ResolutionError("TasksChanged", message)
            return sources.settled(resource.spec, all_in)
        return members

    async def completed(self, resource: Resource, plan: Plan) -> Plan:
        """The plan with values in the bodies that it creates things with, and with the spec that tasks are made from.

        Raises:
            ResolutionError: if a value is missing or cannot serve; the text names the field and the remedy.
            KubeError: if the API server is out of reach.
        """
        creates = any(call.verb in _CREATES for call in plan.calls)
        if not (creates or plan.feed or plan.submit is not None):
            return await self._with_values(resource, plan)
        if plan.feed and resource.key in self._lost:
            raise self._lost[resource.key]
        model = _MODELS[resource.key.kind]
        # A job's tasks are part of this, so that it is not created before they can be.
        values = await self._read(resource.key.namespace, references(model, resource.spec))
        if values:
            calls = tuple(
                replace(call, body=filled(model, call.body, values)) if call.verb in _CREATES and call.body else call
                for call in plan.calls
            )
            plan = replace(plan, calls=calls, submit=plan.submit and filled(model, plan.submit, values))
        if not plan.feed:
            return plan
        return replace(plan, tasks_of=filled(model, plan.tasks_of or resource.spec, values))

    async def _with_values(self, resource: Resource, plan: Plan) -> Plan:
        """The plan with the values that its own bodies name."""
        model = _MODELS[resource.key.kind]
        needed = [each for call in plan.calls if call.verb in _FILLED for each in references(model, call.body or {})]
        if not needed:
            return plan
        values = await self._read(resource.key.namespace, needed)
        calls = tuple(replace(call, body=filled(model, call.body or {}, values)) for call in plan.calls)
        return replace(plan, calls=calls)

    async def _read(self, namespace: str, needed: Iterable[Reference]) -> Mapping[Source, str]:
        values: dict[Source, str] = {}
        for reference in needed:
            source = reference.source
            if source not in values:
                try:
                    values[source] = await self._values.text(source.kind, namespace, source.name, source.key)
                except ValueMissingError as error:
                    raise ResolutionError(error.reason, f"{reference.path}: {error}") from None
        return values


def _all_in(resource: Resource) -> int:
    """The number of the job's tasks, if its status says that all of them are in Azure Batch; else 0."""
    counts = resource.status.get("taskCounts") or {}
    total = int(counts.get("total") or 0)
    early = resource.status.get("phase") in _BEFORE_ALL_ARE_IN
    return 0 if early or int(counts.get("submitted") or 0) < total else total
