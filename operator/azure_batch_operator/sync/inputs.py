"""What plans need from Secrets and ConfigMaps: the thin step between deciding and sending.

Plans hold references; their values are read and put in here, right before a call, so that they are never part of anything that is
compared, shown or kept.
"""

from __future__ import annotations

import hmac
import json
import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from azure_batch_operator.api.base import ApiModel
from azure_batch_operator.api.job import JobSpec
from azure_batch_operator.api.job_policy import LogUpload
from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.pool import PoolSpec
from azure_batch_operator.api.resource import Key, Resource
from azure_batch_operator.api.schedule import JobScheduleSpec
from azure_batch_operator.api.task import TaskSpec
from azure_batch_operator.kube.api import KubeApi
from azure_batch_operator.kube.values import Values
from azure_batch_operator.reconcile import expand
from azure_batch_operator.reconcile.plan import Plan
from azure_batch_operator.reconcile.pool_cost import source_of
from azure_batch_operator.reconcile.pool_values import Taken, version_of
from azure_batch_operator.reconcile.resolve import Reference, ResolutionError, filled, references
from azure_batch_operator.sync.task_sources import TaskSources
from azure_batch_operator.sync.texts import read_texts

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


class Inputs:
    """Completes jobs and plans with what Secrets and ConfigMaps hold."""

    def __init__(self, api: KubeApi) -> None:
        self._values = Values(api)
        self.tasks = TaskSources(self._values)
        self.prices: dict[Key, str | ResolutionError] = {}
        """What `spec.pricesFrom` of pools points to, or why it cannot be read."""
        self.taken: dict[Key, Mapping[str, Taken]] = {}
        """What properties of pools take from Secrets and ConfigMaps."""
        self._digest_key = os.urandom(32)

    def forget(self, key: Key) -> None:
        """The object is gone or done."""
        self.tasks.forget(key)
        self.prices.pop(key, None)
        self.taken.pop(key, None)

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
            found = await read_texts(self._values, resource.key.namespace, [Reference("spec.pricesFrom", source)])
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
                values = await read_texts(self._values, resource.key.namespace, needed)
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

    async def completed(self, resource: Resource, plan: Plan) -> Plan:
        """The plan with values in the bodies that it creates things with, and with the spec that tasks are made from.

        Raises:
            ResolutionError: if a value is missing or cannot serve; the text names the field and the remedy.
            KubeError: if the API server is out of reach.
        """
        creates = any(call.verb in _CREATES for call in plan.calls)
        if not (creates or plan.feed or plan.submit is not None):
            return await self._with_values(resource, plan)
        taken = self.tasks.sourced.get(resource.key)
        if plan.feed and taken is not None and taken.contents is None and taken.problem is not None:
            raise taken.problem
        model = _MODELS[resource.key.kind]
        # A job's tasks are part of this, so that it is not created before they can be.
        values = await read_texts(self._values, resource.key.namespace, references(model, resource.spec))
        if values:
            calls = tuple(
                replace(call, body=filled(model, call.body, values)) if call.verb in _CREATES and call.body else call
                for call in plan.calls
            )
            plan = replace(plan, calls=calls, submit=plan.submit and filled(model, plan.submit, values))
        if plan.submit is not None and plan.logs_to is not None:
            plan = replace(plan, submit=expand.with_logs(plan.submit, await self._upload(resource, plan.logs_to)))
        if not plan.feed:
            return plan
        return replace(plan, tasks_of=filled(model, plan.tasks_of or resource.spec, values))

    async def _upload(self, task: Resource, upload: Mapping[str, Any]) -> Mapping[str, Any]:
        """`spec.logs.upload` of the BatchJob of a BatchTask, with its values."""
        where = f"BatchJob {task.spec['jobRef']['name']!r}: spec.logs.upload"
        needed = references(LogUpload, upload, where)
        values = await read_texts(self._values, task.key.namespace, needed)
        return filled(LogUpload, upload, values, where)

    async def _with_values(self, resource: Resource, plan: Plan) -> Plan:
        """The plan with the values that its own bodies name."""
        model = _MODELS[resource.key.kind]
        needed = [each for call in plan.calls if call.verb in _FILLED for each in references(model, call.body or {})]
        if not needed:
            return plan
        values = await read_texts(self._values, resource.key.namespace, needed)
        calls = tuple(replace(call, body=filled(model, call.body or {}, values)) for call in plan.calls)
        return replace(plan, calls=calls)
