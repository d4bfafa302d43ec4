"""Carries plans out: the only place where decisions meet the world, so the only one that knows the order of effects.

The order is: finalizer on, status before tasks run again, submission of tasks, status before the first creation, calls, objects in
the cluster, status, Events, finalizer off. A crash between any two steps is harmless: ids are deterministic, and whatever a step
needs to know later is stored by the step before it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Coroutine, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

from prometheus_client import Counter

from azure_batch_operator import guard
from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Key, Resource
from azure_batch_operator.batch import BatchError
from azure_batch_operator.kube import objects
from azure_batch_operator.kube.api import Busy, KubeError, NotFound
from azure_batch_operator.kube.finalizers import set_finalizer
from azure_batch_operator.logs import Few
from azure_batch_operator.reconcile import ownership
from azure_batch_operator.reconcile.annotations import not_done
from azure_batch_operator.reconcile.error_classes import ClassifiedError, RetryClass, classify_error
from azure_batch_operator.reconcile.plan import Absence, Call, Ended, Feed, ObjectChange, Plan, Table
from azure_batch_operator.reconcile.standard_plans import confirming, failed
from azure_batch_operator.sync.accounts import Session
from azure_batch_operator.sync.calls import active_tasks, cleared, has_ended, is_absent, make
from azure_batch_operator.sync.cluster import Cluster
from azure_batch_operator.sync.feeder import Incarnation
from azure_batch_operator.sync.memory import Memory, intent_of
from azure_batch_operator.sync.queue import WorkQueue
from azure_batch_operator.sync.store import Store

logger = logging.getLogger(__name__)

DRIFT = Counter(
    "azurebatch_drift_corrections",
    "Properties that other clients had changed and the operator restored",
    ["kind", "property"],
)

_MIN_WAIT = 0.1
"""Seconds. Nothing is reconciled in a circle, whatever a plan says."""
_LIST_VALID_FOR = 5.0
"""Seconds for which the thousands of tasks of a job rely on one GET of it, or on one list of its tasks."""


_OBJECT_REFUSED = "ObjectRefused"
_RELEASE = "release"
"""The action of letting an object go, for its backoff: what is being deleted in Azure Batch may take long."""
Question = TypeVar("Question", bound=Hashable)
Answer = TypeVar("Answer")

RECONCILE = "reconcile"
"""The action of a pass as a whole, for its backoff."""


class CallRefusedError(Exception):
    """A call of a plan was refused; the object shows it, and the call is tried again when its wait is over."""


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
        gone: the object was let go and does not exist any more.
        learned: the object as the API server has answered a write.
        secrets: values that no text about objects of a namespace may show.
    """

    gone: Callable[[Key, str], None]
    learned: Callable[[Resource], None]
    secrets: Callable[[str], Collection[str]] = lambda _: ()


def halt(resource: Resource, session: Session) -> None:
    """Let nothing go on that is under way for the object; `carry_out` of a plan that wants it begins again."""
    session.feeder.stop(Incarnation(resource.key, resource.uid), None)
    session.retrier.stop(resource.key)
    session.operations.stop(resource.key)
    session.submitter.withdraw(resource.key)


class Executor:
    """Carries out the plans of all kinds."""

    def __init__(self, cluster: Cluster, store: Store, queue: WorkQueue[Key], told: Told, memory: Memory) -> None:
        self._api, self._store, self._queue = cluster.api, store, queue
        self._writer, self._events, self._cluster, self._told = cluster.writer, cluster.events, cluster.id, told
        self.landing, self.backoff, self._transitions = memory.landing, memory.backoff, memory.transitions
        self._few = Few()
        self._absent_jobs: dict[tuple[Key, Absence], tuple[float, asyncio.Task[bool]]] = {}
        self._ended: dict[tuple[Key, Ended], tuple[float, asyncio.Task[bool]]] = {}
        self._active: dict[tuple[Key, str], tuple[float, asyncio.Task[frozenset[str]]]] = {}

    async def carry_out(self, resource: Resource, plan: Plan, session: Session | None) -> None:
        """Make the world follow a plan.

        Raises:
            EffectRefusedError: if the API server refused an effect; the object's status says so.
            KubeError: if the API server is out of reach.
            CallRefusedError: if a call was refused; the object's status says so, and the call waits.
            BatchError: if the service does not say whether what the plan relies on is so.
        """
        if plan.halts and session is not None:
            halt(resource, session)
        if plan.finalizer == "add":
            self.landing.claim(resource.uid)
        if plan.finalizer == "add" and not resource.has_finalizer:
            current = await set_finalizer(self._api, resource, present=True)
            if current is None:
                return
            self._told.learned(current)
            resource = current
        if plan.ended is not None and session is not None and not await self._has_ended(plan.ended, session):
            return
        if (
            plan.left_active is not None
            and session is not None
            and not await self._is_active(plan.left_active, session)
        ):
            return
        if plan.finalizer != "remove" and session is not None:
            for absence in plan.confirm:
                if not await self._is_absent(resource, absence, session):
                    # What was found is looked at again, and what comes of that queues the object.
                    return
        if plan.first is not None:
            await self._writer.write_first(resource, plan.first)
            resource = replace(resource, status=plan.first)
        if session is not None:
            # None of it needs the calls of the plan, so a refused one does not keep tasks from being added or run again.
            self._submit(resource, plan, session)
        if session is not None and plan.calls:
            plan, finished = await self._call(resource, plan, session)
            if not finished:
                # The observation is out of date: nothing more of this plan is true.
                self._show(resource, replace(plan, status=_not_done(resource, plan)))
                return
            if plan.feed is not None and plan.feed.marked:
                self._feed(resource, plan, plan.feed, session)
        if plan.calls or plan.status is not None:
            # An empty plan has decided nothing, such as before the next poll, so it ends no wait.
            wanted = {*(call.action for call in plan.calls), *(_action(change) for change in plan.objects), RECONCILE}
            wanted |= {_RELEASE} if plan.finalizer == "remove" else set()
            self.backoff.settle(resource.key, wanted)
        plan = await self._change_objects(resource, plan)
        lets_go = plan.finalizer == "remove" and resource.has_finalizer
        self._show(resource, plan)
        if not lets_go:
            self.tell(resource, plan)
        if plan.requeue_after is not None:
            self._queue.add_after(resource.key, max(plan.requeue_after, _MIN_WAIT))
        if lets_go:
            await self._release(resource, plan, session)

    def tell(self, resource: Resource, plan: Plan) -> None:
        """Count the drift that a plan corrects, and post its Events."""
        for name in plan.drift:
            DRIFT.labels(resource.key.kind, name).inc()
        for event in plan.events:
            self._events.record(resource, event.type, event.reason, event.message)

    def _show(self, resource: Resource, plan: Plan) -> None:
        if plan.status is not None:
            self._transitions.log(resource, plan.status)
            self._writer.write(resource, plan.status)

    # --- calls ---

    async def _call(self, resource: Resource, plan: Plan, session: Session) -> tuple[Plan, bool]:
        """Make the calls of a plan, one after the other.

        Returns:
            The plan with the status to show, and whether it still holds.
        """
        key, intent = resource.key, intent_of(resource)
        for call in plan.calls:
            wait = self.backoff.held(key, call.action, intent, call.content)
            if wait is not None:
                seconds, error = wait
                self._queue.add_after(key, seconds)
                said = failed(resource, classify_error(error), time.time(), _not_done(resource, plan))
                return replace(plan, status=said.status, events=(), drift=(), objects=(), feed=None), True
            if call.creates and not await self._stored(resource, plan):
                return plan, False
            twice, began = self.backoff.refusals(key, call.action, intent) > 0, time.time()
            try:
                done = await make(session, call, twice=twice, on_unanswered=self._doubting(resource, call))
            except BatchError as error:
                self._refused(resource, plan, call, error, session)
                raise CallRefusedError from error
            if not done and session.mirror.is_busy(call, began):
                # Nothing was refused: the next pass says what lists have shown, and when they are asked again.
                self._queue.add_after(key, _MIN_WAIT)
                return plan, False
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
                return plan, False
            self.backoff.succeeded(key, call.action)
            if call.verb.startswith("delete_"):
                self.landing.deleted(resource.uid)
        return plan, True

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
        what = f"{call.verb} of {resource.key.kind} objects that is tried again: {problem.reason}"
        logger.log(
            self._few.level(logging.INFO, (session.key, call.verb, problem.reason), what, resource.key),
            "%s: %s is tried again in %.0f s: %s", resource.key, call.verb, wait, problem.message,
            extra={"request_id": error.request_id, "reason": problem.reason},
        )  # fmt: skip
        said = failed(resource, problem, time.time(), _not_done(resource, plan))
        self.tell(resource, said)
        if said.status is not None:
            # What waits for a person is a line of its own, at WARNING; the line above says only when the call is tried again.
            self._transitions.log(resource, said.status, request_id=error.request_id)
            self._writer.write(resource, said.status)
        elif problem.of_account and not self.backoff.is_repeated(resource.key, call.action, intent_of(resource)):
            # Is it the account? Each later try asks only for itself, or an idle account would be polled for it.
            session.poller.request_poll()

    def _submit(self, resource: Resource, plan: Plan, session: Session) -> None:
        """Hand tasks over to those who bring them in."""
        key = resource.key
        if plan.submit is not None:
            owner = ownership.marker(self._cluster, resource)
            session.submitter.add(key, plan.submit_to, plan.submit, owner)
        job = Incarnation(key, resource.uid, plan.feed.created if plan.feed else plan.incarnation)
        if plan.feeds_only is not None:
            session.feeder.stop(job, plan.feeds_only)
        if plan.feed is not None and not plan.feed.marked:
            self._feed(resource, plan, plan.feed, session)
        if plan.retry is not None:
            wait = session.retrier.retry(job, resource.remote_id, plan.retry, plan.retry_until)
            if wait is not None:
                self._queue.add_after(key, wait)
        if plan.operate is not None:
            wait = session.operations.obey(key, resource.uid, plan.operate)
            if wait is not None:
                self._queue.add_after(key, wait)

    def _feed(self, resource: Resource, plan: Plan, feed: Feed, session: Session) -> None:
        job, spec = Incarnation(resource.key, resource.uid, feed.created), plan.tasks_of or resource.spec
        session.feeder.feed(job, resource.remote_id, spec, feed.fingerprint, exact=feed.exact)

    # --- objects in the cluster ---

    async def _change_objects(self, resource: Resource, plan: Plan) -> Plan:
        """Create and delete objects; returns the plan with what is to be shown.

        The status of a plan whose object was refused or waits is not shown: it says that a run of a schedule has started.
        """
        for change in plan.objects:
            action, intent = _action(change), intent_of(resource)
            held = self.backoff.held(resource.key, action, intent)
            if held is not None:
                self._queue.add_after(resource.key, held[0])
                if change.body is not None:
                    problem = ClassifiedError(_OBJECT_REFUSED, str(held[1]), RetryClass.WAITING, stalled=True)
                    plan = replace(plan, status=failed(resource, problem, time.time()).status, events=())
                continue
            try:
                if change.body is not None:
                    await objects.create(self._api, change.key, change.body)
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
                said = failed(resource, problem, time.time(), None if change.body is not None else plan.status)
                self.tell(resource, said)
                self._show(resource, said)
                raise EffectRefusedError(problem.message, wait) from error
            self.backoff.succeeded(resource.key, action)
        return plan

    async def _has_ended(self, job: Ended, session: Session) -> bool:
        """Whether a job takes no more tasks; one GET answers for all of its tasks."""
        return await _shared(self._ended, (session.key, job), lambda: has_ended(session, job))

    async def _is_active(self, task: Absence, session: Session) -> bool:
        """Whether a task waits in Azure Batch; one list answers for all tasks of a job that has ended."""
        job_id, now = task.parent or "", asyncio.get_running_loop().time()
        identity = (session.key, job_id.lower())
        active = await _shared(self._active, identity, lambda: active_tasks(session, job_id))
        if task.id.lower() in active:
            return True
        session.mirror.tasks[job_id.lower()].touch(task.id, now)
        session.poller.request_poll()
        return False

    # --- letting go ---

    async def _release(self, resource: Resource, plan: Plan, session: Session | None) -> None:
        """Take the finalizer off, once it is certain that nothing of the object is left in Azure Batch or can still come."""
        if plan.confirm and session is not None and not resource.released:
            wait = self.landing.left(resource)
            if wait > 0:
                if resource.key.kind is not Kind.TASK:
                    # Of tasks there are thousands, and none of them is worth a write for a minute.
                    self._show(resource, confirming(resource, plan.confirm, time.time()))
                self._queue.add_after(resource.key, wait)
                return
            key, intent = resource.key, intent_of(resource)
            if (held := self.backoff.held(key, _RELEASE, intent)) is not None:
                self._queue.add_after(key, held[0])
                return
            if not await self._are_absent(resource, plan.confirm, session):
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

    async def _are_absent(self, resource: Resource, absences: Sequence[Absence], session: Session) -> bool:
        """Whether nothing of the object is there any more, what may have landed late included."""
        for absence in absences:
            if not await self._is_absent(resource, absence, session):
                return False
        without_job = any(absence.table is Table.JOBS for absence in absences)
        owned = partial(ownership.owns, resource=resource, cluster=self._cluster)
        for doubtful in self.landing.doubtful(resource.uid):
            # A task is nowhere if its job is not.
            known = doubtful in absences or (without_job and doubtful.table is Table.TASKS)
            if not known and not await cleared(session, doubtful, owned):
                return False
        return True

    async def _is_absent(self, resource: Resource, absence: Absence, session: Session) -> bool:
        if absence.table is Table.TASKS and self.landing.surely_deleted(resource.uid):
            # The service deletes a task at once, and has said so.
            return True
        if resource.key.kind is not Kind.TASK or absence.table is not Table.JOBS:
            return await is_absent(session, absence)
        # The same question for all tasks of the job.
        return await _shared(self._absent_jobs, (session.key, absence), lambda: is_absent(session, absence))


async def _shared(
    asked: dict[Question, tuple[float, asyncio.Task[Answer]]],
    question: Question,
    ask: Callable[[], Coroutine[Any, Any, Answer]],
) -> Answer:
    """The answer to a question that thousands of tasks have, asked once in `_LIST_VALID_FOR` seconds."""
    now = asyncio.get_running_loop().time()
    for old in [old for old, (until, _) in asked.items() if until <= now]:
        del asked[old]
    if question not in asked:
        asked[question] = (now + _LIST_VALID_FOR, guard.shared(ask()))
    return await asyncio.shield(asked[question][1])
