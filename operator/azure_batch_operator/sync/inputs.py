"""Reads the Secrets and ConfigMaps that plans need: the thin step between deciding and sending.

Plans hold references; their values are read and put in here, right before a call, so that they are never part of anything that is
compared, shown or kept. An object gets values that were read after the operator saw it in its present form (`seen`): who changes a
Secret and then applies the object that names it gets the new value.
"""

from __future__ import annotations

import hmac
import json
import os
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

from azure_batch_operator.api.base import ApiModel
from azure_batch_operator.api.factory import RepeatTask
from azure_batch_operator.api.job import JobSpec
from azure_batch_operator.api.job_policy import LogUpload
from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.operation import OperationSpec
from azure_batch_operator.api.pool import PoolSpec
from azure_batch_operator.api.resource import Key, Resource
from azure_batch_operator.api.schedule import JobScheduleSpec
from azure_batch_operator.api.task import TaskSpec
from azure_batch_operator.batch.wire import Body, convert
from azure_batch_operator.kube.api import KubeApi
from azure_batch_operator.kube.values import ValueReader
from azure_batch_operator.reconcile.job import expand, placeholders
from azure_batch_operator.reconcile.job.streamed import Streamed
from azure_batch_operator.reconcile.operation_order import Operate
from azure_batch_operator.reconcile.plan import Call, Plan
from azure_batch_operator.reconcile.pool.cost import source_of
from azure_batch_operator.reconcile.secret_versions import Taken, version_of
from azure_batch_operator.reconcile.task.spec import TaskTerms
from azure_batch_operator.reconcile.value_references import Reference, ResolutionError, Source, filled, references
from azure_batch_operator.sync.hidden import Hidden
from azure_batch_operator.sync.task_sources import TaskSources
from azure_batch_operator.sync.texts import read_texts

LOOKED_AT_EVERY = 15.0
"""Seconds between two looks for a value that is missing."""

_MODELS: dict[Kind, type[ApiModel]] = {
    Kind.POOL: PoolSpec,
    Kind.JOB: JobSpec,
    Kind.TASK: TaskSpec,
    Kind.SCHEDULE: JobScheduleSpec,
    Kind.OPERATION: OperationSpec,
}
_FOLLOWED: dict[Kind, type[ApiModel]] = {Kind.POOL: PoolSpec, Kind.SCHEDULE: JobScheduleSpec}
"""Kinds that are given new values when a Secret or ConfigMap changes."""
_CREATES = frozenset({"create_pool", "create_job", "create_schedule"})
_FILLED = _CREATES | {"update_pool", "update_schedule"}


class Inputs:
    """Completes jobs and plans with what Secrets and ConfigMaps hold."""

    def __init__(
        self,
        api: KubeApi,
        find: Callable[[Key], Resource | None] = lambda _: None,
        tasks_of: Callable[[Key], Iterable[Resource]] = lambda _: (),
    ) -> None:
        self._values = ValueReader(api)
        self._hidden = Hidden(self._texts, find, tasks_of)
        self.tasks = TaskSources(self._values)
        self.prices: dict[Key, str | ResolutionError] = {}
        """What `spec.pricesFrom` of pools points to, or why it cannot be read."""
        self.taken: dict[Key, Mapping[str, Taken]] = {}
        """What properties of pools and schedules take from Secrets and ConfigMaps."""
        self.missing: dict[Key, Mapping[str, ResolutionError]] = {}
        """Which of these properties cannot be given their values now, and why."""
        self._digest_key = os.urandom(32)
        self._since: dict[Key, int] = {}

    def seen(self, key: Key) -> None:
        """The object is new, its spec has changed, or a user requested a reconcile: read its inputs again."""
        self._since[key] = self._values.moment()

    def secrets(self, namespace: str) -> Collection[str]:
        """Values that no text about objects of a namespace may show, such as why the service has refused a call."""
        return self._hidden.sent(namespace)

    def _seen_at(self, key: Key) -> int:
        if key not in self._since:
            self.seen(key)
        return self._since[key]

    def forget(self, key: Key) -> None:
        """The object is gone or done."""
        self.tasks.forget(key)
        self._hidden.forget(key)
        self._since.pop(key, None)
        self.prices.pop(key, None)
        self.taken.pop(key, None)
        self.missing.pop(key, None)

    async def read_prices(self, resource: Resource) -> None:
        """Read the prices that a pool names; that there are none keeps nothing from going on.

        Raises:
            KubeError: if the API server is unreachable.
        """
        source = source_of(resource.spec) if resource.key.kind is Kind.POOL else None
        if source is None or resource.deleting:
            self.prices.pop(resource.key, None)
            return
        try:
            needed = [Reference("spec.pricesFrom", source)]
            found = await read_texts(self._values, resource.key.namespace, needed, self._seen_at(resource.key))
            self.prices[resource.key] = found[source]
        except ResolutionError as error:
            self.prices[resource.key] = error

    async def read_taken(self, resource: Resource) -> None:
        """Look whether values that a pool or a schedule of the service takes from Secrets and ConfigMaps have changed.

        A missing one keeps what was known, and is noted.

        Raises:
            KubeError: if the API server is unreachable.
        """
        model = _FOLLOWED.get(resource.key.kind)
        if (
            model is None
            or resource.deleting
            or resource.spec.get("cron")
            or resource.status.get("phase") == "Completed"
        ):
            return
        found, since = dict(self.taken.get(resource.key, {})), self._seen_at(resource.key)
        missing: dict[str, ResolutionError] = {}
        for name, value in resource.spec.items():
            needed = [] if name in model.ours else list(references(model, {name: value}))
            if not needed:
                found.pop(name, None)
                continue
            try:
                values = await read_texts(self._values, resource.key.namespace, needed, since)
            except ResolutionError as error:
                missing[name] = error
                continue
            versions = {
                source: await self._values.version(source.kind, resource.key.namespace, source.name, since=since)
                for source in values
            }
            version = version_of((reference, versions[reference.source]) for reference in needed)
            before, digest = found.get(name), self._digest(needed, values)
            found[name] = Taken(digest, version) if before is None else before.then(digest, version)
        self.taken[resource.key], self.missing[resource.key] = found, missing

    async def with_tasks(self, job: Resource) -> Resource:
        """A BatchJob with the tasks of its ConfigMaps among its own; see `TaskSources.with_tasks`."""
        return await self.tasks.with_tasks(job, self._seen_at(job.key))

    async def members(self, job: Resource, reader: Key) -> tuple[Mapping[str, Any], str | None]:
        """What ConfigMaps give a job whose tasks another object needs; see `TaskSources.members`."""
        return await self.tasks.members(job, self._seen_at(reader))

    def _digest(self, needed: Iterable[Reference], values: Mapping[Source, str]) -> str:
        texts = json.dumps([values[reference.source] for reference in needed])
        return hmac.new(self._digest_key, texts.encode(), "sha256").hexdigest()

    async def hidden(self, resource: Resource, plan: Plan) -> Plan:
        """The plan with a status that shows no value of a Secret: the last step of every decision, whatever way it came about.

        Raises:
            KubeError: if the API server is unreachable.
        """
        return await self._hidden.cut(resource, plan)

    async def completed(self, resource: Resource, plan: Plan) -> Plan:
        """The plan with values in the bodies that it creates things with, and with the spec that tasks are made from.

        Raises:
            ResolutionError: if a value is missing or cannot serve; the text names the field and the remedy.
            KubeError: if the API server is unreachable.
        """
        taken = self.tasks.sourced.get(resource.key)
        # Nor is a job created again for tasks that are only counted.
        brings = plan.feed or any(call.verb == "create_job" for call in plan.calls)
        if brings and taken is not None and taken.contents is None and taken.problem is not None:
            raise taken.problem
        if plan.operate is not None and plan.operate.attempt and plan.operate.ending is None:
            return replace(plan, operate=await self._operated(resource, plan.operate))
        model, tasks = _MODELS[resource.key.kind], resource.spec.get("tasks")
        values: Mapping[Source, str] = {}
        needed = [
            reference for call in plan.calls if call.verb in _FILLED for reference in references(model, call.body or {})
        ]
        if plan.feed or plan.submit is not None or any(call.verb in _CREATES for call in plan.calls):
            # A job's tasks are part of this, so that it is not created before they can be.
            needed = [*references(model, resource.spec), *needed]
            if isinstance(tasks, Streamed):
                needed += tasks.needed
        if needed:
            values = await self._texts(resource, needed)
            calls = tuple(self._filled(model, call, values) for call in plan.calls)
            plan = replace(plan, calls=calls, submit=plan.submit and filled(model, plan.submit, values))
        if plan.submit is not None and plan.logs_to is not None:
            plan = replace(plan, submit=expand.with_logs(plan.submit, await self._upload(resource, plan.logs_to)))
        if plan.feed is None:
            return plan
        spec: Body = plan.feed.spec or resource.spec
        made_from = filled(model, spec, values)
        factory = spec.get("taskFactory")
        if factory and factory.get("repeatTask"):
            # Placeholders are filled in afterwards, and a value has none: what is hidden must be what is sent.
            literal = {source: placeholders.escaped(text) for source, text in values.items()}
            made = filled(RepeatTask, factory["repeatTask"], literal)
            made_from["taskFactory"] = {**made_from["taskFactory"], "repeatTask": made}
        if isinstance(tasks, Streamed):
            made_from["tasks"] = tasks.with_values(values)
        return replace(plan, feed=replace(plan.feed, spec=made_from))

    async def _operated(self, resource: Resource, order: Operate) -> Operate:
        """What an operation is to do, with its values."""
        request = order.request
        given = {request.verb: request.inputs}
        needed = list(references(OperationSpec, given))
        if not needed:
            return order
        values = await self._texts(resource, needed)
        inputs = filled(OperationSpec, given, values)[request.verb]
        secrets = frozenset(text for source, text in values.items() if source.kind == "Secret")
        return replace(order, request=replace(request, inputs=inputs, secrets=secrets))

    async def _texts(self, resource: Resource, needed: Iterable[Reference]) -> Mapping[Source, str]:
        values = await read_texts(self._values, resource.key.namespace, needed, self._seen_at(resource.key))
        await self._hidden.remember(resource.key.namespace, values)
        return values

    def _filled(self, model: type[ApiModel], call: Call, values: Mapping[Source, str]) -> Call:
        """The call with its values, and with digests of those and not of what was read for the plan."""
        if call.verb not in _FILLED or not call.body:
            return call
        body = call.body
        digests = call.digests and {
            name: self._digest(references(model, {name: body[name]}), values) if name in body else digest
            for name, digest in call.digests.items()
        }
        return replace(call, body=filled(model, body, values), digests=digests)

    async def _upload(self, task: Resource, upload: Mapping[str, Any]) -> Mapping[str, Any]:
        """`spec.logs.upload` of the BatchJob of a BatchTask, with its values."""
        where = f"BatchJob {convert(TaskTerms, task.spec).job_ref.name!r}: spec.logs.upload"
        values = await self._texts(task, references(LogUpload, upload, where))
        return filled(LogUpload, upload, values, where)
