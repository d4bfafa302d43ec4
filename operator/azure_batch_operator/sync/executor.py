"""Executes plans: the only place where decisions take effect. The order of effects is that of `reconcile.effects.Effect`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Hashable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, assert_never, get_args

from prometheus_client import Counter

from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Key, Resource
from azure_batch_operator.batch import BatchError
from azure_batch_operator.kube import objects
from azure_batch_operator.kube.api import Busy, KubeError, NotFound
from azure_batch_operator.kube.finalizers import set_finalizer
from azure_batch_operator.logs import Few
from azure_batch_operator.reconcile import ownership
from azure_batch_operator.reconcile.annotations import not_done
from azure_batch_operator.reconcile.effects import (
    AddFinalizer,
    Confirm,
    CountDrift,
    Effect,
    Halt,
    RemoveFinalizer,
    Requeue,
    Settle,
    ShowStatus,
    StartFeed,
    StartMarkedFeed,
    StoreStatus,
    Submit,
    effects,
)
from azure_batch_operator.reconcile.error_classes import ClassifiedError, RetryClass, classify_error
from azure_batch_operator.reconcile.operation_order import Operate
from azure_batch_operator.reconcile.plan import Absence, Call, Ended, Event, ObjectChange, Plan, Retry, StopFeed
from azure_batch_operator.reconcile.standard_plans import confirming, failed
from azure_batch_operator.sync.accounts import Session
from azure_batch_operator.sync.calls import make
from azure_batch_operator.sync.cluster import Cluster
from azure_batch_operator.sync.feeder import Incarnation
from azure_batch_operator.sync.memory import Memory, intent_of
from azure_batch_operator.sync.proofs import Proofs
from azure_batch_operator.sync.queue import WorkQueue
from azure_batch_operator.sync.store import Store

logger = logging.getLogger(__name__)

DRIFT = Counter(
    "azurebatch_drift_corrections",
    "Properties that other clients changed and the operator restored",
    ["kind", "property"],
)

_MIN_WAIT = 0.1
"""Seconds. Nothing is reconciled in a circle, whatever a plan says."""


_OBJECT_REFUSED = "ObjectRefused"
_RELEASE = "release"
"""The action of letting an object go, for its backoff: what is being deleted in Azure Batch may take long."""

RECONCILE = "reconcile"
"""The action of a pass as a whole, for its backoff."""


class CallRefusedError(Exception):
    """A call of a plan was refused; the object shows it, and the call is retried when its wait is over."""


class EffectRefusedError(Exception):
    """The API server refused an effect of a plan; the object shows it and is reconciled again after `wait` seconds."""

    def __init__(self, message: str, wait: float) -> None:
        super().__init__(message)
        self.wait = wait


def _action(change: ObjectChange) -> Hashable:
    return "object", str(change.key)


def _is_stored(resource: Resource, status: Mapping[str, Any]) -> bool:
    """Whether the status says already where the resource of an object is, or may be."""
    return all(resource.status.get(name) == status.get(name) for name in ("account", "id", "url"))


def _not_done(resource: Resource, plan: Plan) -> Mapping[str, Any] | None:
    """The status of a plan whose calls were not all made: verbs of annotations stay to be carried out."""
    return None if plan.status is None else not_done(resource, plan.status)


@dataclass(frozen=True)
class Told:
    """Where an executor reports.

    Attributes:
        gone: the object was let go and no longer exists.
        learned: the object as the API server has answered a write.
        shown: an object that was to be created and that was there already.
        created: an object that was created just now.
        secrets: values that no text about objects of a namespace may show.
    """

    gone: Callable[[Key, str], None]
    learned: Callable[[Resource], None]
    shown: Callable[[Resource], None]
    created: Callable[[Resource], None]
    secrets: Callable[[str], Collection[str]] = lambda _: ()


def halt(resource: Resource, session: Session) -> None:
    """Let nothing go on that is in progress for the object; `carry_out` of a plan that wants it begins again."""
    session.feeder.stop(Incarnation(resource.key, resource.uid), None)
    session.retrier.stop(resource.key)
    session.operations.stop(resource.key)
    session.submitter.withdraw(resource.key)


@dataclass
class _Work:
    """A plan while it is carried out.

    Attributes:
        resource: the object as the effects so far have left it.
        plan: what is still true of it; another one once an effect waits.
    """

    resource: Resource
    plan: Plan
    session: Session | None

    @property
    def lets_go(self) -> bool:
        """Whether the object goes with the plan."""
        return self.plan.finalizer == "remove" and self.resource.has_finalizer

    def incarnation(self, created: str | None) -> Incarnation:
        """The job of the object in Azure Batch."""
        return Incarnation(self.resource.key, self.resource.uid, created)


_PLACES = {kind: place for place, kind in enumerate(get_args(Effect))}


def _place(effect: Effect) -> int:
    """Where in the order an effect stands."""
    return _PLACES[type(effect)]


EffectInAccount = Halt | Confirm | Submit | StopFeed | StartFeed | Retry | Operate | Call | StartMarkedFeed


class Executor:
    """Carries out the plans of all kinds."""

    def __init__(self, cluster: Cluster, store: Store, queue: WorkQueue[Key], told: Told, memory: Memory) -> None:
        self._api, self._store, self._queue = cluster.api, store, queue
        self._writer, self._events, self._cluster, self._told = cluster.writer, cluster.events, cluster.id, told
        self.landing, self.backoff, self._transitions = memory.landing, memory.backoff, memory.transitions
        self._few, self._now = Few(), memory.now
        self._proofs = Proofs(cluster.id, memory.landing, memory.now)

    async def carry_out(self, resource: Resource, plan: Plan, session: Session | None) -> None:
        """Make the world follow a plan.

        Raises:
            EffectRefusedError: if the API server refused an effect; the object's status says so.
            KubeError: if the API server is unreachable.
            CallRefusedError: if a call was refused; the object's status says so, and the call waits.
            BatchError: if the service does not say whether what the plan relies on is so.
        """
        work = _Work(resource, plan, session)
        pending = list(effects(plan))
        while pending:
            effect = pending.pop(0)
            before = work.plan
            if not await self._execute(work, effect):
                return
            if work.plan is not before:
                # The effect waits, and its object says why: what follows is that of another plan.
                rest = [
                    other for other in pending if isinstance(other, ObjectChange) and isinstance(effect, ObjectChange)
                ]
                pending = [*rest, *(other for other in effects(work.plan) if _place(other) > _place(effect))]

    async def _execute(self, work: _Work, effect: Effect) -> bool:
        """Carry out one effect; returns whether the rest of the plan still holds."""
        match effect:
            case AddFinalizer():
                return await self._add_finalizer(work)
            case StoreStatus(status):
                await self._writer.write_first(work.resource, status)
                work.resource = replace(work.resource, status=status)
            case Settle():
                self._settle(work.resource, work.plan)
            case ObjectChange():
                return await self._change_object(work, effect)
            case ShowStatus(status):
                self._show(work.resource, status)
            case CountDrift() | Event():
                # What lets the object go says so itself, once that is certain.
                if not work.lets_go:
                    self._tell(work.resource, effect)
            case Requeue(after):
                self._queue.add_after(work.resource.key, max(after, _MIN_WAIT))
            case RemoveFinalizer():
                if work.lets_go:
                    await self._release(work.resource, work.plan, work.session)
            case _:
                return work.session is None or await self._execute_in(work.session, work, effect)
        return True

    async def _execute_in(self, session: Session, work: _Work, effect: EffectInAccount) -> bool:
        """The same for what the account is needed for."""
        key = work.resource.key
        match effect:
            case Halt():
                halt(work.resource, session)
            case Confirm():
                # What was found otherwise is checked again, and what comes of that queues the object.
                return await self._is_confirmed(session, work.resource, effect)
            case Submit(body, job):
                session.submitter.add(key, job, body, ownership.marker(self._cluster, work.resource))
            case StopFeed(fingerprint, created):
                session.feeder.stop(work.incarnation(created), fingerprint)
            case StartFeed(feed) | StartMarkedFeed(feed):
                incarnation, id = work.incarnation(feed.created), work.resource.remote_id
                spec = feed.spec or work.resource.spec
                session.feeder.feed(incarnation, id, spec, feed.fingerprint, exact=feed.exact, ends=feed.ends)
            case Retry(value, until, created):
                wait = session.retrier.retry(work.incarnation(created), work.resource.remote_id, value, until)
                self._look_in(key, wait)
            case Operate():
                self._look_in(key, session.operations.obey(key, work.resource.uid, effect))
            case Call():
                return await self._call(session, work, effect)
            case _:
                assert_never(effect)
        return True

    def _look_in(self, key: Key, wait: float | None) -> None:
        if wait is not None:
            self._queue.add_after(key, wait)

    async def _add_finalizer(self, work: _Work) -> bool:
        self.landing.claim(work.resource.uid)
        if work.resource.has_finalizer:
            return True
        current = await set_finalizer(self._api, work.resource, present=True)
        if current is None:
            return False
        self._told.learned(current)
        work.resource = current
        return True

    async def _is_confirmed(self, session: Session, resource: Resource, wanted: Confirm) -> bool:
        if isinstance(wanted.what, Ended):
            return await self._proofs.has_ended(wanted.what, session)
        if wanted.active:
            return await self._proofs.is_active(wanted.what, session)
        return await self._proofs.is_absent(resource, wanted.what, session)

    def _settle(self, resource: Resource, plan: Plan) -> None:
        wanted = {*(call.action for call in plan.calls), *(_action(change) for change in plan.objects), RECONCILE}
        wanted |= {_RELEASE} if plan.finalizer == "remove" else set()
        self.backoff.settle(resource.key, wanted)

    def tell(self, resource: Resource, plan: Plan) -> None:
        """Count the drift that a plan corrects, and post its Events."""
        self._tell(resource, CountDrift(plan.drift))
        for event in plan.events:
            self._tell(resource, event)

    def _tell(self, resource: Resource, effect: CountDrift | Event) -> None:
        match effect:
            case CountDrift(names):
                for name in names:
                    DRIFT.labels(resource.key.kind, name).inc()
            case Event():
                self._events.record(resource, effect.type, effect.reason, effect.message)

    def _show(self, resource: Resource, status: Mapping[str, Any] | None) -> None:
        if status is not None:
            self._transitions.log(resource, status)
            self._writer.write(resource, status)

    # --- calls ---

    async def _call(self, session: Session, work: _Work, call: Call) -> bool:
        """Make a call; returns whether the rest of the plan still holds, which is another one while the call waits."""
        resource, plan = work.resource, work.plan
        key, intent = resource.key, intent_of(resource)
        wait = self.backoff.held(key, call.action, intent, call.content)
        if wait is not None:
            seconds, error = wait
            self._queue.add_after(key, seconds)
            said = failed(resource, classify_error(error), self._now(), _not_done(resource, plan))
            work.plan = replace(plan, status=said.status, events=(), drift=(), objects=(), feed=None)
            return True
        if call.creates and not await self._stored(resource, plan):
            return self._give_up(work)
        twice, began = self.backoff.refusals(key, call.action, intent) > 0, self._now()
        try:
            done = await make(session, call, self._now, twice=twice, on_unanswered=self._doubting(resource, call))
        except BatchError as error:
            self._refused(resource, plan, call, error, session)
            raise CallRefusedError from error
        if not done and session.mirror.is_busy(call, began):
            # Nothing was refused: the next pass says what lists have shown, and when they are asked again.
            self._queue.add_after(key, _MIN_WAIT)
            return self._give_up(work)
        if not done:
            stale = BatchError("the resource has changed since it was observed", code="Changed")
            if twice:
                self._queue.add_after(
                    key,
                    self.backoff.refused(
                        key, call.action, intent, stale, ClassifiedError("", "", RetryClass.BUSY), call.content
                    ),
                )
            else:
                self.backoff.overtaken(key, call.action, intent, stale)
            return self._give_up(work)
        self.backoff.succeeded(key, call.action)
        if call.verb.startswith("delete_"):
            self.landing.deleted(resource.uid)
        return True

    def _give_up(self, work: _Work) -> bool:
        """The observation is out of date: nothing more of the plan is true."""
        self._show(work.resource, _not_done(work.resource, work.plan))
        return False

    def _doubting(self, resource: Resource, call: Call) -> Callable[[], None] | None:
        return (
            partial(self.landing.doubt, resource.uid, Absence(call.table, call.id, call.parent))
            if call.creates
            else None
        )

    async def _stored(self, resource: Resource, plan: Plan) -> bool:
        """Whether the object exists and its status says where its resource is or may be, before that can exist.

        Repeated events and old lists show objects that are long gone; what was created for them would be nobody's
        (tests/histories/stored/replayed-events.json).

        Raises:
            KubeError: if the API server does not say so.
        """
        if plan.status is not None and not _is_stored(resource, plan.status):
            await self._writer.write_first(resource, not_done(resource, plan.status))
            return True
        return await self._exists(resource)

    async def _exists(self, resource: Resource) -> bool:
        """Whether the API server has the object at this moment, and not another one of its name.

        Raises:
            KubeError: if the API server does not say so.
        """
        try:
            found = Resource.parse(await self._api.get(resource.key))
        except NotFound:
            return False
        return found.uid == resource.uid

    def _refused(self, resource: Resource, plan: Plan, call: Call, error: BatchError, session: Session) -> None:
        error.hide(self._told.secrets(resource.key.namespace))
        problem = classify_error(error)
        wait = self.backoff.refused(resource.key, call.action, intent_of(resource), error, problem, call.content)
        self._queue.add_retry(resource.key, wait)
        what = f"{call.verb} of {resource.key.kind} objects that is retried: {problem.reason}"
        logger.log(
            self._few.level(logging.INFO, (session.key, call.verb, problem.reason), what, resource.key),
            "%s: %s is retried in %.0f s: %s", resource.key, call.verb, wait, problem.message,
            extra={"request_id": error.request_id, "reason": problem.reason},
        )  # fmt: skip
        said = failed(resource, problem, self._now(), _not_done(resource, plan))
        self.tell(resource, said)
        if said.status is not None:
            # What waits for a person is a line of its own, at WARNING; the line above says only when the call is retried.
            self._transitions.log(resource, said.status, request_id=error.request_id)
            self._writer.write(resource, said.status)
        elif problem.of_account and not self.backoff.is_repeated(resource.key, call.action, intent_of(resource)):
            # Is it the account? Each later try asks only for itself, or an idle account would be polled for it.
            session.poller.request_poll()

    # --- objects in the cluster ---

    async def _change_object(self, work: _Work, change: ObjectChange) -> bool:
        """Create or delete an object; returns whether the rest of the plan still holds.

        The status of a plan whose object was refused or waits is not shown: it says that a run of a schedule has started.
        What no longer exists changes no other object: repeated events and old lists show schedules that are long gone
        (tests/histories/stored/run-of-a-schedule-that-is-gone.json).
        """
        resource = work.resource
        action, intent = _action(change), intent_of(resource)
        held = self.backoff.held(resource.key, action, intent)
        if held is not None:
            self._queue.add_after(resource.key, held[0])
            if change.body is not None:
                problem = ClassifiedError(_OBJECT_REFUSED, str(held[1]), RetryClass.WAITING, stalled=True)
                work.plan = replace(work.plan, status=failed(resource, problem, self._now()).status, events=())
            return True
        if change.key != resource.key and not await self._exists(resource):
            return False
        try:
            if change.body is not None:
                # Known at once: the watch may be late, and the next run of a schedule depends on those before it
                # (tests/quick/test_cron_runs.py).
                found, is_new = await objects.create(self._api, change.key, change.body)
                (self._told.created if is_new else self._told.shown)(Resource.parse(found))
            else:
                await objects.delete(self._api, change.key, change.uid or "")
        except Busy:
            raise
        except KubeError as error:
            verb = "created" if change.body is not None else "deleted"
            problem = ClassifiedError(
                _OBJECT_REFUSED, f"{change.key} was not {verb}: {error}", RetryClass.WAITING, stalled=True
            )
            wait = self.backoff.refused(resource.key, action, intent, BatchError(problem.message), problem)
            said = failed(resource, problem, self._now(), None if change.body is not None else work.plan.status)
            self.tell(resource, said)
            self._show(resource, said.status)
            raise EffectRefusedError(problem.message, wait) from error
        self.backoff.succeeded(resource.key, action)
        return True

    # --- letting go ---

    async def _release(self, resource: Resource, plan: Plan, session: Session | None) -> None:
        """Take the finalizer off, once it is certain that nothing of the object is left in Azure Batch or can still come."""
        if plan.confirm and session is not None and not resource.released:
            wait = self.landing.left(resource)
            if wait > 0:
                if resource.key.kind is not Kind.TASK:
                    # Of tasks there are thousands, and none of them is worth a write for a minute.
                    self._show(resource, confirming(resource, plan.confirm, self._now()).status)
                self._queue.add_after(resource.key, wait)
                return
            key, intent = resource.key, intent_of(resource)
            if (held := self.backoff.held(key, _RELEASE, intent)) is not None:
                self._queue.add_after(key, held[0])
                return
            if not await self._proofs.are_absent(resource, plan.confirm, session):
                there = BatchError("something of the object is in Azure Batch", code="StillThere")
                problem = ClassifiedError("", "", RetryClass.BUSY)
                self._queue.add_after(key, self.backoff.refused(key, _RELEASE, intent, there, problem))
                return
        # Only now: until then it may be another plan that lets the object go.
        self.tell(resource, plan)
        current = await set_finalizer(self._api, resource, present=False)
        if current is None or not current.finalizers:
            self._told.gone(resource.key, resource.uid)
        else:
            self._told.learned(current)
