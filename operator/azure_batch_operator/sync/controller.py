"""The loop: takes a key from the work queue, gathers what is known, has the kind's `plan` decide, and `executor` carry it out."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from prometheus_client import Counter, Histogram

from azure_batch_operator import guard, tracing
from azure_batch_operator.api.base import RECONCILE_NOW, RETRY_FAILED
from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Key, Resource
from azure_batch_operator.batch import BatchError, HostPolicy
from azure_batch_operator.kube.api import Busy, KubeError
from azure_batch_operator.logs import Few, reconciling
from azure_batch_operator.reconcile import adoption
from azure_batch_operator.reconcile import reconcile_policy as policies
from azure_batch_operator.reconcile.account import lifecycle as account_plans
from azure_batch_operator.reconcile.account.problems import needs_a_person
from azure_batch_operator.reconcile.adoption import Others
from azure_batch_operator.reconcile.annotations import acknowledge, is_stopping, pending_request, stop_only
from azure_batch_operator.reconcile.error_classes import (
    LONGEST_RETRY_AFTER,
    ClassifiedError,
    RetryClass,
    classify_error,
)
from azure_batch_operator.reconcile.job.lifecycle import managed_elsewhere
from azure_batch_operator.reconcile.job.retry import with_settings
from azure_batch_operator.reconcile.plan import Absence, Plan, Table, Unconfirmed
from azure_batch_operator.reconcile.reconcile_policy import Policy
from azure_batch_operator.reconcile.schedule.cron import Hindrance, hindrance
from azure_batch_operator.reconcile.standard_plans import beside, failed, waiting
from azure_batch_operator.reconcile.value_references import ResolutionError
from azure_batch_operator.sync import observe as views
from azure_batch_operator.sync.accounts import Accounts, Listeners, Pacing, Session
from azure_batch_operator.sync.cluster import Cluster
from azure_batch_operator.sync.credentials import SignIn, account_secret
from azure_batch_operator.sync.executor import (
    RECONCILE,
    CallRefusedError,
    EffectRefusedError,
    Executor,
    Told,
    intent_of,
)
from azure_batch_operator.sync.feeder import Incarnation
from azure_batch_operator.sync.inputs import LOOKED_AT_EVERY, Inputs
from azure_batch_operator.sync.queue import Urgency, WorkQueue
from azure_batch_operator.sync.relations import Relations, standing
from azure_batch_operator.sync.retries import Links, Retries
from azure_batch_operator.sync.secret_keeper import SecretKeeper
from azure_batch_operator.sync.store import Store

logger = logging.getLogger(__name__)

RECONCILES = Counter("azurebatch_reconcile_total", "Passes over objects", ["kind", "result"])
RECONCILE_SECONDS = Histogram("azurebatch_reconcile_duration_seconds", "Duration of passes over objects", ["kind"])

_MORE_URGENT = frozenset({"OwnershipConflict", "JobGone", "PendingDeadlineExceeded"})
_USERS_COUNTED_AFTER = 1.0
_SECRET_LOOKED_AT_EVERY = 60.0
# Somebody is at it, and waits for the operator to see it.
_WRONG_SECRET_LOOKED_AT_EVERY = 5.0
_GONE_RETRIED_AFTER = 30.0
"""Seconds after which what is left to do for an object that is gone is tried again."""
_SHOWN_FROM = 8.0
"""Seconds: the wait after a failed pass from which on its object says why; what passes by itself is over before."""


@dataclass(frozen=True)
class Options:
    """What the user has set.

    Attributes:
        hosts: where credentials may be sent.
        policy: of objects that state none.
        workers: passes at once.
        lost: ids of clusters that no longer exist, whose resources may be taken over.
    """

    hosts: HostPolicy
    sign_in: SignIn
    pacing: Pacing
    policy: Policy
    workers: int = 16
    lost: Collection[str] = ()


class Controller:
    """Reconciles objects one key at a time, many keys at once."""

    def __init__(self, cluster: Cluster, store: Store, queue: WorkQueue[Key], options: Options) -> None:
        self._store, self._queue = store, queue
        self._writer, self._namespaces, self._policy = cluster.writer, cluster.namespaces, options.policy
        self._workers = options.workers
        self._few = Few()
        self._begun = False
        self._heard: dict[Key, tuple[str, str]] = {}
        """Uid and value of `reconcile-now` that was acted upon last: its record in a status may come late, or never."""
        self._inputs = Inputs(cluster.api, store.get, lambda job: store.dependents(job, Kind.TASK))
        listeners = Listeners(
            self.changed, self.health_changed, lambda: bool(queue), self._doubtful, self._inputs.secrets
        )
        self.accounts = Accounts(cluster.api, options.hosts, options.sign_in, options.pacing, listeners)
        self._relations = Relations(store, self.accounts, cluster.namespaces)
        links = Links(self._relations.account_key, self._relations.session, self._owns_job)
        self._retries = Retries(store, self._inputs, links)
        self._keeper = SecretKeeper(cluster.api, cluster.namespaces)
        self._executor = Executor(cluster, store, queue, Told(self.on_delete, self.learned, self._inputs.secrets))
        self._context = views.Context(
            store, cluster.id, self._inputs.prices, self._inputs.taken, self._inputs.missing, self._inputs.tasks.sourced,
            others=Others(partial(standing, store, cluster.namespaces), frozenset(options.lost)),
            held=self._executor.is_held,
            lets_in=self._relations.lets_in,
            unclaimed=self._executor.landing.is_unclaimed,
        )  # fmt: skip

    # --- what the world tells ---

    def on_created(self, resource: Resource) -> None:
        """The API server has shown an object as one that was created just now."""
        self.on_upsert(resource, created=True)

    def on_upsert(self, resource: Resource, urgency: Urgency = Urgency.USER, *, created: bool = False) -> None:
        """The API server has shown an object."""
        before = self._store.put(resource)
        if before is resource:
            return
        landing = self._executor.landing
        if not self._begun:
            landing.inherit(resource)
        elif created and before is None:
            landing.created(resource)
        elif before is not None and before.uid != resource.uid:
            landing.claim(before.uid)
        if before is not None and before.uid == resource.uid:
            ours = resource.key.kind is not Kind.JOB or not managed_elsewhere(resource)
            if ours and resource.status != before.status and not self._writer.owes(resource.key):
                # Only the operator writes statuses: what somebody else has written is set right, not believed.
                self._writer.write(resource, before.status)
            if not _differs(before, resource):
                return
        self._react(before, resource, urgency)

    def learned(self, resource: Resource) -> None:
        """The API server has answered a write of ours: it may show a change of somebody else before the watch does."""
        before = self._store.get(resource.key)
        self._store.update(resource)
        if before is None or self._store.get(resource.key) is not resource:
            return
        if _is_changed(before, resource):
            self._react(before, resource, Urgency.USER)

    def _react(self, before: Resource | None, resource: Resource, urgency: Urgency) -> None:
        """An object is new or has changed: reconcile it, and whoever must know."""
        if before is None or (before.uid, before.generation) != (resource.uid, resource.generation):
            self._inputs.seen(resource.key)
            session = self._relations.session(resource) if resource.key.kind is Kind.TASK else None
            if session is not None:
                # A corrected task is sent at once.
                session.submitter.forget(resource.key)
        self._queue.add(resource.key, urgency)
        if before is None or before.uid != resource.uid or before.deleting != resource.deleting:
            self._enqueue(dependent.key for dependent in self._store.dependents(resource.key))
            self._count_users(resource)
        elif resource.key.kind is Kind.ACCOUNT and before.generation != resource.generation:
            # Whom it lets in, and what it gives them, may be different.
            self._enqueue(each.key for each in self._relations.of_account(resource.key) if views.waits(each))
        elif resource.key.kind is Kind.POOL and _lets_in(before) != _lets_in(resource):
            self._enqueue(self._guests(resource))

    def _guests(self, pool: Resource) -> list[Key]:
        """Objects of other namespaces that may be on a pool: they name it by its ID, or their job does."""
        account = self._relations.account_key(pool)
        found = self._relations.of_account(account) if account else []
        return [each.key for each in found if each.key.namespace != pool.key.namespace and views.waits(each)]

    def on_delete(self, key: Key, uid: str | None = None, *, deleted: bool = True, version: int | None = None) -> None:
        """The API server no longer has an object.

        Args:
            deleted: whether its deletion was seen; otherwise a list lacks it.
            version: of the object as it was deleted.
        """
        known = self._store.remove(key, uid, deleted=deleted, version=version)
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

    def on_status_written(self, resource: Resource) -> None:
        """A status was written: a schedule wants to know what becomes of its jobs, a task of those that it depends on."""
        before = self._store.get(resource.key)
        self.learned(resource)
        if before is None:
            return
        if not views.waits(resource) and (session := self._relations.session(resource)) is not None:
            # Nothing comes of it any more, and it may never be looked at again: polls need not ask for it.
            session.interest.drop(resource.key)
        if resource.scheduled_by and _for_schedule(before) != _for_schedule(resource):
            self._queue.add(resource.scheduled_by, Urgency.REFRESH)
        if resource.key.kind is Kind.JOB:
            self._enqueue(self._retries.woken(before, resource))
        if resource.key.kind is Kind.TASK and views.blocks_dependents(before) != views.blocks_dependents(resource):
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

    def _doubtful(self, key: Key, job_id: str, task_id: str | None) -> None:
        late = Absence(Table.JOBS, job_id) if task_id is None else Absence(Table.TASKS, task_id, job_id)
        if (resource := self._store.get(key)) is not None:
            self._executor.landing.doubt(resource.uid, late)

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
        self._begun = True
        async with asyncio.TaskGroup() as group:
            for _ in range(self._workers):
                group.create_task(self._work())

    async def _work(self) -> None:
        while True:
            key = await self._queue.get()
            with reconciling(key), tracing.span(f"reconcile {key.kind}", namespace=key.namespace, object=key.name):
                await self._process(key)

    async def _process(self, key: Key) -> None:
        began = time.monotonic()
        result = "ok"
        resource = self._store.get(key)
        try:
            if resource is None or not self._held(resource):
                await self._reconcile(key)
                self._executor.backoff.succeeded(key, RECONCILE)
        except KubeError as error:
            result = "kubernetes"
            self._kube_refused(key, error)
        except EffectRefusedError as error:
            result = "kubernetes"
            self._queue.add_retry(key, error.wait)
            what = f"effects on {key.kind} objects that were refused"
            level = self._few.level(logging.WARNING, (key.kind, "effect"), what, key)
            logger.log(level, "%s: %s", key, error)
        except CallRefusedError:
            result = "batch"
        except BatchError as error:
            # The service did not say whether what was observed is still so: nothing was done, and it is asked again.
            result, problem = "batch", classify_error(error)
            wait = self._back_off(key, problem)
            what = f"{key.kind} objects that are reconciled again: {problem.reason}"
            level = self._few.level(logging.INFO, (key.kind, problem.reason), what, key)
            logger.log(level, "%s is reconciled again in %.0f s: %s", key, wait, error)
            if wait >= _SHOWN_FROM:
                self._show(key, problem)
        except Exception as error:
            # A fault of ours must not stop the other objects; it is loud, counted, shown, and tried again.
            result = "bug"
            guard.report("reconcile", key, error)
            self._failed(key, error)
        finally:
            self._queue.done(key)
            RECONCILES.labels(key.kind, result).inc()
            RECONCILE_SECONDS.labels(key.kind).observe(time.monotonic() - began)

    def _held(self, resource: Resource) -> bool:
        """Whether the last pass failed as a whole and the next one is not due yet."""
        held = self._executor.backoff.held(resource.key, RECONCILE, intent_of(resource))
        if held is not None:
            self._queue.add_after(resource.key, held[0])
        return held is not None

    def _kube_refused(self, key: Key, error: KubeError) -> None:
        """The API server did not do what a pass needs: wait, and say so if it is not merely busy."""
        busy = isinstance(error, Busy)
        after = min(error.retry_after or 0.0, LONGEST_RETRY_AFTER)
        text = f"the API server refused what the operator needs for this object: {error}"
        problem = ClassifiedError(
            "APIServerRefused", text, RetryClass.BUSY if busy else RetryClass.WAITING, after, stalled=not busy
        )
        wait = self._back_off(key, problem)
        what = f"{key.kind} objects that wait for the API server: {type(error).__name__}"
        level = self._few.level(logging.WARNING, (key.kind, type(error).__name__), what, key)
        logger.log(level, "%s waits %.1f s for the API server: %s", key, wait, error)
        if not busy:
            self._show(key, problem)

    def _failed(self, key: Key, error: Exception) -> None:
        problem = ClassifiedError(guard.REASON, guard.message(error), RetryClass.WAITING, stalled=True)
        self._back_off(key, problem)
        self._show(key, problem)

    def _back_off(self, key: Key, problem: ClassifiedError) -> float:
        resource = self._store.get(key)
        if resource is None:
            # Of an object that is gone only an account leaves something to do: its session and the finalizer of its Secret.
            self._queue.add_retry(key, _GONE_RETRIED_AFTER)
            return _GONE_RETRIED_AFTER
        cause = BatchError(problem.message, code=problem.reason)
        wait = self._executor.backoff.refused(key, RECONCILE, intent_of(resource), cause, problem)
        self._queue.add_retry(key, wait)
        return wait

    def _show(self, key: Key, problem: ClassifiedError) -> None:
        """Show a failure of a whole pass on its object; what cannot even be shown is in the log."""
        resource = self._store.get(key)
        if resource is None:
            return
        try:
            said = failed(self._writer.decided(resource), problem, time.time())
            self._executor.tell(resource, said)
            if said.status is not None:
                self._writer.write(resource, said.status)
        except Exception as error:
            guard.report("show", key, error)

    async def _reconcile(self, key: Key) -> None:
        resource = self._store.get(key)
        if resource is None:
            if key.kind is Kind.ACCOUNT:
                await self.accounts.close(key)
                await self._keeper.forget(key, needed=self._relations.needs_secret(key, self._keeper.secret(key)))
            return
        resource = self._writer.decided(resource)
        if key.kind is Kind.ACCOUNT:
            plan, session = await self._plan_account(resource), None
        else:
            if (value := pending_request(resource, RECONCILE_NOW)) and self._heard.get(key) != (resource.uid, value):
                self._heard[key] = (resource.uid, value)
                self._look_again(resource)
            resource, plan, session = await self._plan(resource)
        await self._executor.carry_out(resource, acknowledge(resource, plan), session)

    def _look_again(self, resource: Resource) -> None:
        """Somebody wants an answer now: no backoff, and a fresh look at Azure Batch."""
        self._inputs.seen(resource.key)
        self._executor.backoff.forget(resource.key)
        if resource.key.kind is Kind.JOB:
            self._inputs.tasks.hurry(resource)
        session = self._relations.session(resource)
        if session is not None:
            session.submitter.forget(resource.key)
            session.feeder.hurry(resource.key)
            session.retrier.hurry(resource.key)
            session.operations.hurry(resource.key)
            session.poller.request_poll()

    async def _plan(self, resource: Resource) -> tuple[Resource, Plan, Session | None]:
        resource, plan, session = await self._decide(resource)
        try:
            return resource, await self._inputs.hidden(resource, plan), session
        except KubeError:
            if not (resource.deleting or is_stopping(resource)):
                raise
            # What stops does not wait for Secrets; what is to be said follows with the next pass.
            self._queue.add_after(resource.key, LOOKED_AT_EVERY)
            return resource, replace(plan, status=None), session

    async def _decide(self, resource: Resource) -> tuple[Resource, Plan, Session | None]:
        known = (await self._namespaces.find(resource.key.namespace)).annotations
        result = await self._plan_in(resource, known)
        if not policies.irreversible(resource, result[1]):
            return result
        # Somebody may have annotated the namespace just now, such as with detach-on-delete before a deletion.
        fresh = (await self._namespaces.fresh(resource.key.namespace)).annotations
        return result if policies.stated(fresh) == policies.stated(known) else await self._plan_in(resource, fresh)

    async def _plan_in(self, resource: Resource, namespace: Mapping[str, str]) -> tuple[Resource, Plan, Session | None]:
        """Decide about an object, under the annotations of its namespace."""
        if resource.deleting and self._executor.landing.is_unclaimed(resource):
            return resource, Plan(finalizer="remove", unconfirmed=Unconfirmed.NEVER_CREATED), None
        policy = policies.policy_of(resource, namespace, self._policy)
        session = self._relations.session(resource)
        if session is not None and (policies.halts(resource, policy) or not self._relations.is_let_in(resource)):
            self._executor.halt(resource, session)
        elif session is not None and pending_request(resource, RETRY_FAILED) is None:
            # Somebody has taken the annotation off before all of the failed tasks were run again.
            session.retrier.stop(resource.key)
        if policy is None:
            return resource, policies.unknown(resource, namespace, time.time()), None
        if resource.deleting and policy is Policy.DETACH:
            return resource, policies.detached(resource), None
        plan, session = Plan(), None
        try:
            resource, missing = await self._read(resource)
            if self._is_superseded(resource):
                return resource, Plan(), None
            account, session = self._relations.account(resource)
            resource = self._relations.with_defaults(resource)
            plan = views.plan(self._context, resource, account, session, time.time())
            if policy is Policy.SKIP:
                plan = policies.observed_only(resource, plan, time.time())
            if missing is not None or is_stopping(resource):
                stop = stop_only(resource, plan)
                if stop is not None:
                    return resource, stop, session
            if missing is not None and (plan.status or {}).get("state") != "completed" and not _comes_first(plan):
                raise missing
            if plan.feed is not None and session is not None:
                job = Incarnation(resource.key, resource.uid, plan.feed.created)
                if session.feeder.is_busy(job, plan.feed.fingerprint):
                    # What is under way needs no values; to put them into all tasks with every pass would hold up everybody.
                    plan = replace(plan, feed=None, tasks_of=None)
            return resource, await self._inputs.completed(resource, plan), session
        except ResolutionError as error:
            waits = waiting(resource, error.reason, str(error), time.time(), warning=True)
            shown = beside(plan.status, waits.status)
            told = replace(waits, status=shown, requeue_after=waits.requeue_after or LOOKED_AT_EVERY)
            # What the spec asked for before is brought in no more.
            told = replace(told, feeds_only=plan.feeds_only, incarnation=plan.incarnation)
            if policy is Policy.SKIP:
                told = policies.observed_only(resource, told, time.time())
            return resource, told, session

    async def _read(self, resource: Resource) -> tuple[Resource, ResolutionError | KubeError | BatchError | None]:
        """Read what an object names: a job comes with the tasks of its ConfigMaps, or with those that it runs again.

        Returns:
            The object as far as it could be read, and why not all of it: it can be stopped all the same.

        Raises:
            KubeError, BatchError: if the API server or the service is out of reach, and nothing is to be stopped.
        """
        try:
            if resource.key.kind is Kind.JOB:
                again = "retryOf" in resource.spec
                resource = await (self._retries if again else self._inputs).with_tasks(resource)
            await self._inputs.read_prices(resource)
            await self._inputs.read_taken(resource)
        except ResolutionError as error:
            return replace(resource, spec=with_settings(resource)), error
        except (KubeError, BatchError) as error:
            if not is_stopping(resource):
                raise
            return replace(resource, spec=with_settings(resource)), error
        return resource, None

    def _owns_job(self, remote: Mapping[str, Any], job: Resource) -> bool:
        return adoption.ours(remote, job, self._context.cluster, self._context.others)

    def _is_superseded(self, resource: Resource) -> bool:
        """Whether the manifest has changed since this pass began; the change has queued the object again."""
        current = self._store.get(resource.key)
        return current is None or (current.uid, current.generation) != (resource.uid, resource.generation)

    async def _plan_account(self, resource: Resource) -> Plan:
        key = resource.key
        terminating = resource.deleting and (await self._namespaces.fresh(key.namespace)).terminating
        version = await self.accounts.refresh(account_plans.pinned(resource), terminating=terminating)
        health = self.accounts.health(key)
        users, offer = self._relations.users(key), self.accounts.offer(key)
        secret = account_secret(resource)
        wanted = (bool(users) and not resource.released) or self._relations.needs_secret(key, secret)
        kept = {str(each) for each in (resource.status.get("keptSecret"), self._keeper.secret(key)) if each} - {secret}
        others = [each for each in kept if not self._relations.needs_secret(key, each)]
        keeping = await self._keeper.look(key, secret, wanted=wanted, others=others, version=version)
        plan = account_plans.plan(resource, health, users, time.time(), offer, keeping)
        pause = _WRONG_SECRET_LOOKED_AT_EVERY if needs_a_person(health.reason) else _SECRET_LOOKED_AT_EVERY
        requeue_after = min(plan.requeue_after or pause, pause)
        self._queue.add_after(resource.key, requeue_after)
        return plan

    def _forget(self, resource: Resource) -> None:
        self._heard.pop(resource.key, None)
        self._inputs.forget(resource.key)
        self._executor.forget(resource)
        self._context.fingerprints.pop(resource.key, None)
        self._context.unfit.pop(resource.key, None)
        session = self._relations.session(resource)
        if session is not None:
            path = session.interest.path(resource.key)
            session.interest.drop(resource.key)
            session.mirror.outputs.forget(resource.key)
            session.submitter.withdraw(resource.key)
            session.feeder.forget(resource.key)
            session.retrier.forget(resource.key)
            session.operations.forget(resource.key)
            # Another object may name the same ID, even if it does not own it: what it needs to know stays.
            if resource.key.kind is Kind.JOB and not session.interest.jobs.get(resource.remote_id.lower()):
                session.mirror.forget_job(resource.remote_id)
            if resource.key.kind is Kind.POOL:
                for id in path:
                    if id not in session.interest.pools:
                        session.mirror.forget_pool(id)
            if resource.key.kind is Kind.SCHEDULE:
                session.mirror.forget_schedule(resource.remote_id)


def _comes_first(plan: Plan) -> bool:
    """Whether a plan only says what is more urgent than a list of tasks that cannot be read, and does not depend on it."""
    if plan.calls or plan.feed is not None or plan.retry is not None:
        return False
    found = [each for each in (plan.status or {}).get("conditions") or () if each["type"] == "Stalled"]
    return any(each["reason"] in _MORE_URGENT for each in found)


def _for_schedule(job: Resource) -> tuple[object, Hindrance | None]:
    """What a schedule tells of one of its runs while that goes on."""
    return job.status.get("phase"), hindrance(job)


def _is_changed(before: Resource, after: Resource) -> bool:
    """Whether a user has changed the object."""
    return (before.generation, before.deleting, before.annotations) != (
        after.generation,
        after.deleting,
        after.annotations,
    )


def _differs(before: Resource, after: Resource) -> bool:
    """Whether anything but the status has changed, or the status was taken away."""
    return (
        _is_changed(before, after)
        or before.finalizers != after.finalizers
        or bool(before.status.get("conditions")) > bool(after.status.get("conditions"))
    )


def _lets_in(pool: Resource) -> object:
    return pool.spec.get("allowedNamespaces")
