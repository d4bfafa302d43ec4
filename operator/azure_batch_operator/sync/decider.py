"""Makes the plan of an object: reads what it references, applies its policy, and calls `plan` of its kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from azure_batch_operator.api.base import RETRY_FAILED
from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Key, Resource
from azure_batch_operator.batch import BatchError
from azure_batch_operator.kube.api import KubeApi, KubeError, NotFound
from azure_batch_operator.kube.namespaces import Namespaces
from azure_batch_operator.reconcile import reconcile_policy as policies
from azure_batch_operator.reconcile.annotations import is_stopping, pending_request, stop_only
from azure_batch_operator.reconcile.before import said_by
from azure_batch_operator.reconcile.job.creation import nothing_to_retry
from azure_batch_operator.reconcile.job.lifecycle import managed_elsewhere
from azure_batch_operator.reconcile.job.retry import WAITS, with_settings
from azure_batch_operator.reconcile.plan import Plan, Unconfirmed
from azure_batch_operator.reconcile.reconcile_policy import Above, Policy
from azure_batch_operator.reconcile.standard_plans import beside, waiting
from azure_batch_operator.reconcile.value_references import ResolutionError
from azure_batch_operator.sync import observe as views
from azure_batch_operator.sync.accounts import Session
from azure_batch_operator.sync.executor import halt
from azure_batch_operator.sync.feeder import Incarnation
from azure_batch_operator.sync.inputs import LOOKED_AT_EVERY, Inputs
from azure_batch_operator.sync.observe.schedule import runs_of
from azure_batch_operator.sync.queue import WorkQueue
from azure_batch_operator.sync.relations import Relations
from azure_batch_operator.sync.retries import Retries
from azure_batch_operator.sync.store import Store
from azure_batch_operator.sync.subscriptions import subscribe

_MORE_URGENT = frozenset({"OwnershipConflict", "JobGone", "PendingDeadlineExceeded"})


@dataclass(frozen=True)
class Sources:
    """Where a decision is made from.

    Attributes:
        api: of the cluster.
        namespaces: their annotations may state a policy.
        relations: accounts, pools and jobs of objects.
        inputs: ConfigMaps and Secrets.
        retries: tasks that jobs run again.
        context: all else.
        policy: of objects that state none.
        now: the clock, in seconds since the epoch.
    """

    api: KubeApi
    namespaces: Namespaces
    relations: Relations
    inputs: Inputs
    retries: Retries
    context: views.Context
    policy: Policy
    now: Callable[[], float]


class Decider:
    """Decides about objects, one at a time."""

    def __init__(self, store: Store, queue: WorkQueue[Key], sources: Sources) -> None:
        self._store, self._queue, self._policy, self._api = store, queue, sources.policy, sources.api
        self._namespaces, self._relations, self._context = sources.namespaces, sources.relations, sources.context
        self._inputs, self._retries, self._now = sources.inputs, sources.retries, sources.now

    async def plan(self, resource: Resource) -> tuple[Resource, Plan, Session | None]:
        """What to do about an object of any kind but BatchAccount; the object as it was read, and the session for the calls."""
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
        namespace = (await self._namespaces.find(resource.key.namespace)).annotations
        schedule = resource.scheduled_by
        known = policies.above(resource, namespace, None if schedule is None else self._store.get(schedule))
        result = await self._plan_in(resource, known)
        if not policies.irreversible(resource, result[1]):
            return result
        # Somebody may have annotated the namespace or the schedule just now, such as with detach-on-delete before a deletion.
        namespace = (await self._namespaces.fresh(resource.key.namespace)).annotations
        fresh = policies.above(resource, namespace, await self._schedule(resource))
        return result if fresh == known else await self._plan_in(resource, fresh)

    async def _schedule(self, resource: Resource) -> Resource | None:
        """The schedule that has made a BatchJob which is being deleted, as the API server has it; None if it is gone."""
        if resource.scheduled_by is None or not resource.deleting:
            return None
        try:
            return Resource.parse(await self._api.get(resource.scheduled_by))
        except NotFound:
            return None

    async def _plan_in(self, resource: Resource, inherited: Above) -> tuple[Resource, Plan, Session | None]:
        """Decide about an object, under the policy that it inherits."""
        if resource.deleting and self._context.unclaimed(resource):
            return resource, Plan(finalizer="remove", unconfirmed=Unconfirmed.NEVER_CREATED), None
        policy = policies.policy_of(resource, inherited, self._policy)
        session = self._relations.session(resource)
        if session is not None:
            session.submitter.looked_at(resource.key)
        if session is not None and (policies.halts(resource, policy) or not self._relations.is_let_in(resource)):
            halt(resource, session)
        elif session is not None and pending_request(resource, RETRY_FAILED) is None:
            # Somebody has taken the annotation off before all of the failed tasks were run again.
            session.retrier.stop(resource.key)
        if policy is None:
            return resource, policies.unknown(resource, inherited, self._now()), None
        if resource.deleting and policy in {Policy.DETACH, Policy.SKIP}:
            runs = runs_of(self._store, resource) if resource.is_cron else ()
            return resource, policies.detached(resource, runs=runs), None
        plan, session = Plan(), None
        try:
            resource, missing = await self._read(resource)
            if self._is_superseded(resource):
                return resource, Plan(), None
            account, session = self._relations.account(resource)
            resource = self._relations.with_defaults(resource)
            if policy is Policy.SKIP:
                resource = policies.held(resource)
            decision = views.plan(self._context, resource, account, session, self._now())
            if session is not None:
                subscribe(session, resource.key, decision.subscription)
            plan = self._observed(resource, decision.plan, policy)
            if missing is not None or is_stopping(resource):
                stop = stop_only(resource, plan)
                if stop is not None:
                    return resource, stop, session
            if missing is not None and (plan.status or {}).get("state") != "completed" and not _comes_first(plan):
                raise missing
            if plan.feed is not None and session is not None:
                job = Incarnation(resource.key, resource.uid, plan.feed.created)
                if session.feeder.is_busy(job, plan.feed.fingerprint):
                    # What is in progress needs no values; to put them into all tasks with every pass would hold up everybody.
                    plan = replace(plan, feed=None)
            return resource, await self._inputs.completed(resource, plan), session
        except ResolutionError as error:
            if (told := nothing_to_retry(resource, error, self._now())) is not None:
                return resource, self._observed(resource, told, policy), session
            waits = waiting(resource, error.reason, str(error), self._now(), warning=error.reason not in WAITS)
            shown = beside(plan.status, waits.status)
            # A deadline of the object may come before the next look.
            look = min(waits.requeue_after or LOOKED_AT_EVERY, plan.requeue_after or LOOKED_AT_EVERY)
            told = replace(waits, status=shown, requeue_after=look)
            # What the spec asked for before is brought in no more.
            told = replace(told, feeds_only=plan.feeds_only)
            return resource, self._observed(resource, told, policy), session

    def _observed(self, resource: Resource, plan: Plan, policy: Policy) -> Plan:
        """The plan, without changes in Azure Batch if the policy says so."""
        return policies.observed_only(resource, plan, self._now()) if policy is Policy.SKIP else plan

    async def _read(self, resource: Resource) -> tuple[Resource, ResolutionError | KubeError | BatchError | None]:
        """Read what an object names: a job comes with the tasks of its ConfigMaps, or with those that it runs again.

        Returns:
            The object as far as it could be read, and why not all of it: it can be stopped all the same.

        Raises:
            KubeError, BatchError: if the API server or the service is unreachable, and nothing is to be stopped.
        """
        if resource.key.kind is Kind.JOB and managed_elsewhere(resource) and not resource.deleting:
            # Another controller reads it, and writes its status.
            return resource, None
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

    def _is_superseded(self, resource: Resource) -> bool:
        """Whether the manifest has changed since this pass began; the change has queued the object again."""
        current = self._store.get(resource.key)
        return current is None or (current.uid, current.generation) != (resource.uid, resource.generation)


def _comes_first(plan: Plan) -> bool:
    """Whether a plan only says what is more urgent than a list of tasks that cannot be read, and does not depend on it."""
    if plan.calls or plan.feed is not None or plan.retry is not None:
        return False
    conditions = said_by(plan.status or {}).conditions
    return any(condition.type == "Stalled" and condition.reason in _MORE_URGENT for condition in conditions)
