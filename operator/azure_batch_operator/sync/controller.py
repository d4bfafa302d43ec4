"""Joins everything: takes a key from the work queue, gathers what is known, has the kind's `plan` decide, and carries the plan out.

This is the only place where plans meet the world, so the only one that knows the order of things: finalizer before the first call,
 calls before status, finalizer off at the very end.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from functools import partial

from prometheus_client import Counter, Histogram

from azure_batch_operator import tracing
from azure_batch_operator.api.base import RECONCILE_NOW
from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Key, Resource
from azure_batch_operator.batch import BatchError, HostPolicy
from azure_batch_operator.kube import objects
from azure_batch_operator.kube.api import KubeApi, KubeError
from azure_batch_operator.kube.events import EventRecorder
from azure_batch_operator.kube.finalizers import set_finalizer
from azure_batch_operator.kube.namespaces import Namespaces
from azure_batch_operator.kube.status import StatusWriter
from azure_batch_operator.logs import reconciling
from azure_batch_operator.reconcile import account as account_plans
from azure_batch_operator.reconcile import ownership
from azure_batch_operator.reconcile import policy as policies
from azure_batch_operator.reconcile.account_problems import needs_a_person
from azure_batch_operator.reconcile.adoption import Others
from azure_batch_operator.reconcile.common import failed, waiting
from azure_batch_operator.reconcile.oneshot import asked, noted
from azure_batch_operator.reconcile.plan import Plan
from azure_batch_operator.reconcile.policy import Policy
from azure_batch_operator.reconcile.resolve import ResolutionError
from azure_batch_operator.reconcile.trouble import trouble
from azure_batch_operator.sync import views
from azure_batch_operator.sync.accounts import Accounts, Listeners, Pacing, Session
from azure_batch_operator.sync.calls import make
from azure_batch_operator.sync.credentials import SignIn
from azure_batch_operator.sync.inputs import LOOKED_AT_EVERY, Inputs
from azure_batch_operator.sync.queue import Urgency, WorkQueue
from azure_batch_operator.sync.relations import Relations, standing
from azure_batch_operator.sync.store import Store

logger = logging.getLogger(__name__)

RECONCILES = Counter("azurebatch_reconcile_total", "Passes over objects", ["kind", "result"])
RECONCILE_SECONDS = Histogram("azurebatch_reconcile_duration_seconds", "Duration of passes over objects", ["kind"])
DRIFT = Counter(
    "azurebatch_drift_corrections", "Properties that others had changed and that were set right", ["kind", "property"]
)

_USERS_COUNTED_AFTER = 1.0
# Nothing is looked at in a circle, whatever a plan says.
_LEAST_WAIT = 0.1
_SECRET_LOOKED_AT_EVERY = 60.0
# Somebody is at it, and waits for the operator to see it.
_WRONG_SECRET_LOOKED_AT_EVERY = 5.0
_NEEDED_LOOKED_AT_EVERY = 1.0


class Controller:
    """Reconciles objects one key at a time, many keys at once."""

    def __init__(
        self,
        api: KubeApi,
        store: Store,
        queue: WorkQueue[Key],
        writer: StatusWriter,
        events: EventRecorder,
        cluster: str,
        hosts: HostPolicy,
        sign_in: SignIn,
        pacing: Pacing,
        namespaces: Namespaces,
        policy: Policy,
        workers: int = 16,
        lost: Collection[str] = (),
    ) -> None:
        self._api, self._store, self._queue = api, store, queue
        self._writer, self._events = writer, events
        self._inputs = Inputs(api)
        self._context = views.Context(
            store, cluster, self._inputs.prices, self._inputs.taken, self._inputs.tasks.sourced,
            others=Others(partial(standing, store, namespaces), frozenset(lost)),
        )  # fmt: skip
        self._workers = workers
        self._namespaces, self._policy = namespaces, policy
        self._refused: dict[Key, str] = {}
        self.accounts = Accounts(
            api, hosts, sign_in, pacing, Listeners(self.changed, self.health_changed, lambda: bool(queue))
        )
        self._relations = Relations(store, self.accounts, namespaces)

    # --- what the world tells ---

    def seen(self, resource: Resource, urgency: Urgency = Urgency.USER) -> None:
        """The API server has shown an object."""
        before = self._store.put(resource)
        if before is resource:
            return
        if before is not None and before.uid == resource.uid and not _differs(before, resource):
            return
        if before is None or (before.uid, before.generation) != (resource.uid, resource.generation):
            self._inputs.seen(resource.key)
        self._queue.add(resource.key, urgency)
        if before is None or before.uid != resource.uid or before.deleting != resource.deleting:
            self._enqueue(dependent.key for dependent in self._store.dependents(resource.key))
            self._count_users(resource)
        elif resource.key.kind is Kind.ACCOUNT and before.generation != resource.generation:
            # Whom it lets in, and what it gives them, may be different.
            self._enqueue(each.key for each in self._relations.of_account(resource.key) if views.waits(each))

    def gone(self, key: Key, uid: str | None = None) -> None:
        """The API server no longer has an object."""
        known = self._store.remove(key, uid)
        if known is None:
            return
        self._forget(known)
        targets = [dependent.key for dependent in self._store.dependents(key)]
        around = (known.scheduled_by, key if key.kind is Kind.ACCOUNT else None)
        self._enqueue([*targets, *(each for each in around if each)])
        self._count_users(known)

    def _count_users(self, resource: Resource) -> None:
        """Have the account of an object count who lives in it; once for all that come or go together."""
        account = self._relations.account_key(resource)
        if account is not None:
            self._queue.add_after(account, _USERS_COUNTED_AFTER)

    def written(self, resource: Resource) -> None:
        """A status was written: a schedule wants to know what becomes of its jobs, a task of those that it depends on."""
        before = self._store.get(resource.key)
        self._store.update(resource)
        if before is None:
            return
        if resource.scheduled_by and before.status.get("phase") != resource.status.get("phase"):
            self._queue.add(resource.scheduled_by, Urgency.REFRESH)
        if resource.key.kind is Kind.TASK and views.hopeless(before) != views.hopeless(resource):
            job = self._relations.job(resource)
            self._enqueue([each.key for each in self._store.dependents(resource.key)] + ([job] if job else []))

    def changed(self, keys: Iterable[Key], *, moved: bool = False) -> None:
        """The remote side of these objects looks different; if it `moved`, what lives in it is looked at as well."""
        for key in keys:
            self._queue.add(key, Urgency.REFRESH)
            if moved:
                self._enqueue(each.key for each in self._store.dependents(key) if views.waits(each))

    def health_changed(self, key: Key) -> None:
        """An account has become usable, or has ceased to be."""
        self._queue.add(key)
        self._enqueue(each.key for each in self._relations.of_account(key) if views.waits(each))

    def namespace_changed(self, name: str) -> None:
        """Labels or annotations of a namespace have changed: what it may use, or what may be done to its objects."""
        known = self._store.keys()
        self._enqueue(key for key in known if key.namespace == name)

    def _enqueue(self, keys: Iterable[Key]) -> None:
        for key in keys:
            self._queue.add(key, Urgency.REFRESH)

    # --- working ---

    async def look_at_task_sources(self, every: float) -> None:
        """Look for changed ConfigMaps that jobs take tasks from, every so many seconds, until cancelled."""
        await self._inputs.tasks.run(lambda: self._store.of_kind(Kind.JOB), self._enqueue, every)

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._workers):
                group.create_task(self._work())

    async def _work(self) -> None:
        while True:
            key = await self._queue.get()
            with reconciling(key), tracing.span(f"reconcile {key.kind}", namespace=key.namespace, object=key.name):
                await self._pass(key)

    async def _pass(self, key: Key) -> None:
        began = time.monotonic()
        result = "ok"
        try:
            await self._reconcile(key)
        except KubeError as error:
            result = "kubernetes"
            delay = self._queue.add_failed(key, error.retry_after or 0.0)
            logger.warning("%s waits %.1f s for the API server: %s", key, delay, error)
        except BatchError as error:
            result = "batch"
            problem = trouble(error)
            delay = self._queue.add_failed(key, problem.wait)
            logger.info(
                "%s tried again in %.1f s: %s", key, delay, problem.message, extra={"request_id": error.request_id}
            )
        except Exception:
            # A fault of ours must not stop the other objects; it is loud, counted, and tried again.
            result = "bug"
            logger.exception("%s could not be reconciled", key)
            self._queue.add_failed(key, 30.0)
        finally:
            self._queue.done(key)
            RECONCILES.labels(key.kind, result).inc()
            RECONCILE_SECONDS.labels(key.kind).observe(time.monotonic() - began)

    async def _reconcile(self, key: Key) -> None:
        resource = self._store.get(key)
        if resource is None:
            if key.kind is Kind.ACCOUNT:
                await self.accounts.close(key)
            return
        resource = self._writer.decided(resource)
        if key.kind is Kind.ACCOUNT:
            plan, session = await self._plan_account(resource), None
        else:
            if asked(resource, RECONCILE_NOW):
                self._look_again(resource)
            resource, plan, session = await self._plan(resource)
        await self._carry_out(resource, noted(resource, plan), session)

    def _look_again(self, resource: Resource) -> None:
        """Somebody wants an answer now: no backoff, and a fresh look at Azure Batch."""
        self._queue.forget(resource.key)
        self._inputs.seen(resource.key)
        if resource.key.kind is Kind.JOB:
            self._inputs.tasks.hurry(resource)
        session = self._relations.session(resource)
        if session is not None:
            session.submitter.forget(resource.key)
            session.feeder.hurry(resource.key, resource.uid)
            session.poller.poke()

    async def _plan(self, resource: Resource) -> tuple[Resource, Plan, Session | None]:
        known = (await self._namespaces.find(resource.key.namespace)).annotations
        result = await self._plan_in(resource, known)
        if not policies.irreversible(resource, result[1]):
            return result
        # Somebody may have annotated the namespace just now, such as with detach-on-delete before a deletion.
        fresh = (await self._namespaces.fresh(resource.key.namespace)).annotations
        return result if policies.stated(fresh) == policies.stated(known) else await self._plan_in(resource, fresh)

    async def _plan_in(self, resource: Resource, namespace: Mapping[str, str]) -> tuple[Resource, Plan, Session | None]:
        """Decide about an object, under the annotations of its namespace."""
        policy = policies.policy_of(resource, namespace, self._policy)
        if policy is None:
            return resource, policies.unknown(resource, namespace, time.time()), None
        if resource.deleting and policy is Policy.DETACH:
            return resource, policies.detached(resource), None
        try:
            if resource.key.kind is Kind.JOB:
                resource = await self._inputs.with_tasks(resource)
            await self._inputs.read_prices(resource)
            await self._inputs.read_taken(resource)
            account, session = self._relations.account(resource)
            resource = self._relations.with_defaults(resource)
            plan = views.plan(self._context, resource, account, session, time.time())
            if policy is Policy.SKIP:
                plan = policies.observed_only(resource, plan, time.time())
            return resource, await self._inputs.completed(resource, plan), session
        except ResolutionError as error:
            plan = waiting(resource, error.reason, str(error), time.time(), warning=True)
            return resource, replace(plan, again=plan.again or LOOKED_AT_EVERY), None

    async def _plan_account(self, resource: Resource) -> Plan:
        await self.accounts.refresh(account_plans.pinned(resource))
        health = self.accounts.health(resource.key)
        users, offer = self._relations.of_account(resource.key), self.accounts.offer(resource.key)
        plan = account_plans.plan(resource, health, users, time.time(), offer)
        pause = _WRONG_SECRET_LOOKED_AT_EVERY if needs_a_person(health.reason) else _SECRET_LOOKED_AT_EVERY
        again = min(plan.again or pause, pause)
        self._queue.add_after(resource.key, again)
        return plan

    # --- carrying out ---

    async def _carry_out(self, resource: Resource, plan: Plan, session: Session | None) -> None:
        if plan.finalizer == "add" and not resource.has_finalizer:
            current = await set_finalizer(self._api, resource, present=True)
            if current is None:
                return
            self._store.update(current)
            resource = current
        done = True
        try:
            if session is not None:
                for call in plan.calls:
                    done = await make(session, call, twice=self._refused.get(resource.key) == call.verb)
                    if not done:
                        self._refused[resource.key] = call.verb
                        break
        except BatchError as error:
            # Where it may be has to be known even if its BatchPool goes before the call succeeds.
            account = {name: value for name, value in (plan.status or {}).items() if name == "account"}
            known = replace(resource, status={**resource.status, **account})
            said = failed(known, trouble(error), time.time())
            self._tell(known, said)
            if said.status is not None:
                self._writer.write(resource, said.status)
            elif session is not None:
                session.poller.poke()
            raise
        self._queue.forget(resource.key)
        if done and (plan.calls or plan.status is not None):
            self._refused.pop(resource.key, None)
        if plan.submit is not None and session is not None:
            job_id = views.job_id(self._context, resource) or ""
            owner = ownership.marker(self._context.cluster, resource)
            session.submitter.add(resource.key, job_id, plan.submit, owner)
        if plan.feed and session is not None:
            print_ = views.fingerprint(self._context, resource)
            session.feeder.feed(resource.key, resource.uid, resource.remote_id, plan.tasks_of or resource.spec, print_)
        if plan.retry is not None and session is not None:
            session.retrier.retry(resource.key, resource.uid, resource.remote_id, plan.retry)
        for change in plan.objects:
            if change.body is not None:
                await objects.create(self._api, change.key, change.body)
            else:
                await objects.delete(self._api, change.key, change.uid or "")
        if plan.status is not None:
            self._writer.write(resource, plan.status)
        if done:
            self._tell(resource, plan)
        if plan.again is not None:
            self._queue.add_after(resource.key, max(plan.again, _LEAST_WAIT))
        if plan.finalizer == "remove" and resource.has_finalizer:
            if self._relations.needed(resource):
                self._queue.add_after(resource.key, _NEEDED_LOOKED_AT_EVERY)
                return
            current = await set_finalizer(self._api, resource, present=False)
            if current is None or not current.finalizers:
                self.gone(resource.key, resource.uid)
            else:
                self._store.update(current)

    def _tell(self, resource: Resource, plan: Plan) -> None:
        for name in plan.drift:
            DRIFT.labels(resource.key.kind, name).inc()
        for notice in plan.notices:
            self._events.record(resource, notice.type, notice.reason, notice.message)

    def _forget(self, resource: Resource) -> None:
        self._inputs.forget(resource.key)
        self._refused.pop(resource.key, None)
        self._context.fingerprints.pop(resource.key, None)
        session = self._relations.session(resource)
        if session is not None:
            session.interest.drop(resource.key)
            session.mirror.outputs.forget(resource.key)
            session.submitter.forget(resource.key)
            session.feeder.forget(resource.key, resource.uid)
            session.retrier.forget(resource.key, resource.uid)
            if resource.key.kind is Kind.JOB:
                session.mirror.forget_job(resource.remote_id)
            if resource.key.kind is Kind.POOL:
                session.mirror.forget_pool(resource.remote_id)
            if resource.key.kind is Kind.SCHEDULE:
                session.mirror.forget_schedule(resource.remote_id)


def _differs(before: Resource, after: Resource) -> bool:
    """Whether anything but the status has changed, or the status was taken away."""
    return (
        before.generation != after.generation
        or before.deleting != after.deleting
        or before.finalizers != after.finalizers
        or before.annotations != after.annotations
        or bool(before.status.get("conditions")) > bool(after.status.get("conditions"))
    )
