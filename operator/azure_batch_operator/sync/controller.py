"""The reconcile loop: takes a key from the work queue, lets `decider` make a plan, and lets `executor` execute it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from prometheus_client import Counter, Histogram

from azure_batch_operator import guard, tracing
from azure_batch_operator.api.base import RECONCILE_NOW
from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Key, Resource
from azure_batch_operator.batch import BatchError, HostPolicy
from azure_batch_operator.kube.api import Busy, KubeError
from azure_batch_operator.logs import Few, reconciling
from azure_batch_operator.reconcile import adoption
from azure_batch_operator.reconcile.adoption import Others
from azure_batch_operator.reconcile.annotations import acknowledge, pending_request
from azure_batch_operator.reconcile.error_classes import (
    LONGEST_RETRY_AFTER,
    ClassifiedError,
    RetryClass,
    classify_error,
)
from azure_batch_operator.reconcile.plan import Absence, Table
from azure_batch_operator.reconcile.reconcile_policy import Policy
from azure_batch_operator.reconcile.standard_plans import failed
from azure_batch_operator.sync import observe as views
from azure_batch_operator.sync.account_decider import AccountDecider
from azure_batch_operator.sync.accounts import Accounts, Listeners, Pacing
from azure_batch_operator.sync.cluster import Cluster
from azure_batch_operator.sync.corrections import Corrections
from azure_batch_operator.sync.credentials import SignIn
from azure_batch_operator.sync.decider import Decider, Sources
from azure_batch_operator.sync.executor import (
    RECONCILE,
    CallRefusedError,
    EffectRefusedError,
    Executor,
    Told,
)
from azure_batch_operator.sync.forgetting import forget_in_session
from azure_batch_operator.sync.inputs import Inputs
from azure_batch_operator.sync.memory import Memory, intent_of
from azure_batch_operator.sync.queue import WorkQueue
from azure_batch_operator.sync.relations import Relations, standing
from azure_batch_operator.sync.retries import Links, Retries, former_jobs, retries_of
from azure_batch_operator.sync.secret_keeper import SecretKeeper
from azure_batch_operator.sync.shards import Shards
from azure_batch_operator.sync.store import Store
from azure_batch_operator.sync.triggers import Parts, Triggers
from azure_batch_operator.sync.wake import Finder, Target, Trigger, Wake

logger = logging.getLogger(__name__)

RECONCILES = Counter("azurebatch_reconcile_total", "Passes over objects", ["kind", "result"])
RECONCILE_SECONDS = Histogram("azurebatch_reconcile_duration_seconds", "Duration of passes over objects", ["kind"])

_SPARE = 2
"""Idle workers that are kept. With more of them, more passes that wait for nothing would run in one turn of the event loop."""
_GONE_RETRIED_AFTER = 30.0
"""Seconds after which what is left to do for an object that is gone is retried."""
_SHOWN_FROM = 8.0
"""Seconds: the wait after a failed pass from which on its object says why; what passes by itself is over before."""


@dataclass(frozen=True)
class Options:
    """What the user has set.

    Attributes:
        hosts: where credentials may be sent.
        policy: of objects that state none.
        lost: ids of clusters that no longer exist, whose resources may be taken over.
    """

    hosts: HostPolicy
    sign_in: SignIn
    pacing: Pacing
    policy: Policy
    lost: Collection[str] = ()


class Controller:
    """Reconciles objects one key at a time, many keys at once.

    Attributes:
        triggers: what the API server tells.
        wake: queues what a trigger concerns.
    """

    def __init__(
        self,
        cluster: Cluster,
        store: Store,
        queue: WorkQueue[Key],
        options: Options,
        accounts: Callable[[Listeners], Accounts] | None = None,
        shards: Shards | None = None,
    ) -> None:
        """Wire the parts, each made of those before it.

        Args:
            accounts: makes what opens sessions, given who listens to them.
            shards: for which objects this replica acts; for all by default.
        """
        self._shards = shards = shards or Shards(store)
        self._access = cluster.namespaces.access
        self._store, self._queue, self._writer, self._idle = store, queue, cluster.writer, 0
        self._few = Few()
        self._requested: dict[Key, tuple[str, str]] = {}
        """Uid and value of `reconcile-now` that was acted upon last: its record in a status may come late, or never."""
        self._inputs = Inputs(cluster.api, store.get, lambda job: store.dependents(job, Kind.TASK))
        self._memory, remote = Memory(), Wake(store, queue)
        listeners = Listeners(
            remote.changed, remote.health_changed, queue.waits_in, self._doubtful, self._inputs.secrets
        )
        open_sessions = accounts or partial(Accounts, cluster.api, options.hosts, options.sign_in, options.pacing)
        self.accounts = open_sessions(listeners)
        shards.interested = lambda key: self.accounts.interested(key)
        self._relations = relations = Relations(store, self.accounts, cluster.namespaces)
        self.wake = Wake(store, queue, _finders(store, relations))
        others = Others(partial(standing, store, cluster.namespaces), frozenset(options.lost))
        self._context = views.Context(
            store, cluster.id, self._inputs.prices, self._inputs.taken, self._inputs.missing, self._inputs.tasks.sourced,
            others=others, held=self._memory.is_held, lets_in=relations.lets_in, unclaimed=self._memory.landing.is_unclaimed,
            late=self._memory.landing.late,
        )  # fmt: skip
        self._corrections = Corrections(cluster.writer, cluster.events)
        parts = Parts(self.wake, cluster.writer, self._corrections, self._inputs, self._memory, self._forget, shards)
        self.triggers = Triggers(store, relations, parts)
        triggers = self.triggers
        told = Told(triggers.on_delete, triggers.learned, triggers.on_upsert, triggers.on_created, self._inputs.secrets)
        self._executor = Executor(cluster, store, queue, told, self._memory)
        links = Links(relations.account_key, relations.session, partial(_owns, cluster.id, others), remote.changed)
        self._retries = retries = Retries(store, self._inputs, links)
        sources = Sources(
            cluster.api,
            cluster.namespaces,
            relations,
            self._inputs,
            retries,
            self._context,
            options.policy,
            self._memory.now,
        )
        self._decider = Decider(store, queue, sources)
        keeper = SecretKeeper(cluster.api, cluster.namespaces)
        self._account_decider = AccountDecider(
            self.accounts, relations, cluster.namespaces, keeper, queue, self._memory.now
        )

    def _doubtful(self, key: Key, job_id: str, task_id: str | None) -> None:
        late = Absence(Table.JOBS, job_id) if task_id is None else Absence(Table.TASKS, task_id, job_id)
        if (resource := self._store.get(key)) is not None:
            self._memory.landing.doubt(resource.uid, late)

    async def look_at_task_sources(self, every: float) -> None:
        """Look for changed ConfigMaps that jobs take tasks from, every so many seconds, until cancelled."""
        await self._inputs.tasks.run(
            lambda: filter(self._shards.decides, self._store.of_kind(Kind.JOB)), self._tasks_changed, every
        )

    def _tasks_changed(self, keys: Iterable[Key]) -> None:
        for key in keys:
            self.wake.wake(Trigger.TASKS_CHANGED, key)

    def lane(self, key: Key) -> Hashable:
        """The lane of an object in the work queue: its account. A BatchAccount has its own, since it says why others wait."""
        if key.kind is Kind.ACCOUNT:
            return (key,)
        resource = self._store.get(key)
        return None if resource is None else self._relations.account_key(resource)

    async def run(self) -> None:
        """Work until cancelled."""
        self.triggers.begin()
        async with asyncio.TaskGroup() as group:
            self._hire(group)

    def take_over(self, resource: Resource) -> None:
        """Another replica has acted for an object until now: nothing that this one remembers of it is true."""
        self._writer.forget(resource.key)
        self._forget(resource)
        self._account_decider.keeper.drop(resource.key)
        self._memory.landing.inherit(resource, asyncio.get_running_loop().time())

    def _hire(self, group: asyncio.TaskGroup) -> None:
        self._idle += 1
        group.create_task(self._work(group))

    async def _work(self, group: asyncio.TaskGroup) -> None:
        """Work while not too many others are idle.

        One is always idle, so that a pass that waits holds up nobody; the lanes of the queue bound the passes at once.
        """
        while True:
            key = await self._queue.get()
            self._idle -= 1
            if not self._idle:
                self._hire(group)
            if (resource := self._store.get(key)) is not None and not self._decides(resource):
                await self._pass_over(resource)
                self._idle += 1
                continue
            with reconciling(key), tracing.span(f"reconcile {key.kind}", namespace=key.namespace, object=key.name):
                await self._process(key)
            if self._idle >= _SPARE:
                return
            self._idle += 1

    def _decides(self, resource: Resource) -> bool:
        """Whether this replica acts for an object, and knows what it needs for that.

        Of a namespace whose lists were refused part of the way, some objects are known, and those that use them may not be.
        """
        return self._shards.decides(resource) and resource.key.namespace not in self._access.unseen

    async def _pass_over(self, resource: Resource) -> None:
        """Another replica decides about an object, or this one does so later."""
        key = resource.key
        try:
            if key.kind is Kind.ACCOUNT and not self._shards.finishes(resource):
                # Its endpoint was corrected before it ever responded.
                await self.accounts.close(key)
        finally:
            self._queue.done(key)
        if (wait := self._shards.postponed(resource)) > 0:
            self._queue.add_after(key, wait)

    async def _process(self, key: Key) -> None:
        began = time.monotonic()
        result = "ok"
        resource = self._store.get(key)
        try:
            if resource is None or not self._held(resource):
                await self._reconcile(key)
                self._memory.backoff.succeeded(key, RECONCILE)
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
            what = f"{key.kind} objects that are requeued: {problem.reason}"
            level = self._few.level(logging.INFO, (key.kind, problem.reason), what, key)
            logger.log(level, "%s is requeued in %.0f s: %s", key, wait, error)
            if wait >= _SHOWN_FROM:
                self._show(key, problem)
        except (Exception, asyncio.CancelledError) as error:
            if isinstance(error, asyncio.CancelledError) and guard.is_ending():
                raise
            # A fault of ours must not stop the other objects; it is loud, counted, shown, and retried.
            result = "bug"
            guard.report("reconcile", key, error)
            self._failed(key, error)
        finally:
            self._queue.done(key)
            RECONCILES.labels(key.kind, result).inc()
            RECONCILE_SECONDS.labels(key.kind).observe(time.monotonic() - began)

    def _held(self, resource: Resource) -> bool:
        """Whether the last pass failed as a whole and the next one is not due yet."""
        held = self._memory.backoff.held(resource.key, RECONCILE, intent_of(resource))
        if held is not None:
            self._queue.add_after(resource.key, held[0])
        return held is not None

    def _kube_refused(self, key: Key, error: KubeError) -> None:
        """The API server did not do what a pass needs: wait, and say so if it is not merely busy."""
        busy = isinstance(error, Busy)
        after = min(error.retry_after or 0.0, LONGEST_RETRY_AFTER)
        text = f"the API server refused a request that the operator needs for this object: {error}"
        problem = ClassifiedError(
            "APIServerRefused", text, RetryClass.BUSY if busy else RetryClass.WAITING, after, stalled=not busy
        )
        wait = self._back_off(key, problem)
        what = f"{key.kind} objects that wait for the API server: {type(error).__name__}"
        level = self._few.level(logging.WARNING, (key.kind, type(error).__name__), what, key)
        logger.log(level, "%s waits %.1f s for the API server: %s", key, wait, error)
        if not busy:
            self._show(key, problem)

    def _failed(self, key: Key, error: BaseException) -> None:
        problem = ClassifiedError(
            guard.REASON, f"{guard.message(error)}. It is retried", RetryClass.WAITING, stalled=True
        )
        self._back_off(key, problem)
        self._show(key, problem)

    def _back_off(self, key: Key, problem: ClassifiedError) -> float:
        resource = self._store.get(key)
        if resource is None:
            # Of an object that is gone only an account leaves something to do: its session and the finalizer of its Secret.
            self._queue.add_retry(key, _GONE_RETRIED_AFTER)
            return _GONE_RETRIED_AFTER
        cause = BatchError(problem.message, code=problem.reason)
        wait = self._memory.backoff.refused(key, RECONCILE, intent_of(resource), cause, problem)
        self._queue.add_retry(key, wait)
        return wait

    def _show(self, key: Key, problem: ClassifiedError) -> None:
        """Show a failure of a whole pass on its object; what cannot even be shown is in the log."""
        resource = self._store.get(key)
        if resource is None:
            return
        try:
            said = failed(self._writer.decided(resource), problem, self._memory.now())
            self._executor.tell(resource, said)
            if said.status is not None:
                self._writer.write(resource, said.status)
        except Exception as error:
            guard.report("show", key, error)

    async def _reconcile(self, key: Key) -> None:
        resource = self._store.get(key)
        if resource is None:
            if key.kind is Kind.ACCOUNT:
                await self._account_decider.close(key)
            return
        resource = self._writer.decided(resource)
        if key.kind is Kind.ACCOUNT:
            plan, session = await self._account_decider.plan(resource), None
        else:
            self._look_again_if_requested(resource)
            resource, plan, session = await self._decider.plan(resource)
        await self._executor.carry_out(resource, acknowledge(resource, plan), session)

    def _look_again_if_requested(self, resource: Resource) -> None:
        """A user requested a reconcile: skip the backoff, and poll Azure Batch."""
        value = pending_request(resource, RECONCILE_NOW)
        if not value or self._requested.get(resource.key) == (resource.uid, value):
            return
        self._requested[resource.key] = (resource.uid, value)
        self._inputs.seen(resource.key)
        self._memory.backoff.forget(resource.key)
        if resource.key.kind is Kind.JOB:
            self._inputs.tasks.hurry(resource)
            self._retries.forget(resource.key)
        session = self._relations.session(resource)
        if session is not None:
            session.submitter.forget(resource.key)
            session.feeder.hurry(resource.key)
            session.retrier.hurry(resource.key)
            session.operations.hurry(resource.key)
            session.poller.settled((resource.key,))
            session.poller.request_poll()

    def _forget(self, resource: Resource) -> None:
        self._requested.pop(resource.key, None)
        self._corrections.forget(resource.key)
        self._inputs.forget(resource.key)
        self._shards.forget(resource)
        self._retries.forget(resource.key)
        self._memory.forget(resource)
        self._context.fingerprints.pop(resource.key, None)
        self._context.unfit.pop(resource.key, None)
        session = self._relations.session(resource)
        if session is not None:
            forget_in_session(session, resource)


def _finders(store: Store, relations: Relations) -> Mapping[Target, Finder]:
    """How the targets of triggers are found that more than the store must be asked for."""
    return {
        Target.ACCOUNT: lambda resource: filter(None, [relations.account_key(resource)]),
        Target.GUESTS: lambda pool: [guest.key for guest in relations.guests(pool) if views.waits(guest)],
        Target.JOB: lambda task: filter(None, [relations.job(task)]),
        Target.RETRIES: partial(retries_of, store),
        Target.FORMER: partial(former_jobs, store),
    }


def _owns(cluster: str, others: Others, remote: Mapping[str, Any], job: Resource) -> bool:
    return adoption.ours(remote, job, cluster, others)
