"""Joins everything: takes a key from the work queue, gathers what is known, has the kind's `plan` decide, and carries the plan out.

This is the only place where plans meet the world, so the only one that knows the order of things: finalizer before the first call,
 calls before status, finalizer off at the very end.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable

from prometheus_client import Counter, Histogram

from azure_batch_operator.api.account import AccountSpec
from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Key, Resource
from azure_batch_operator.batch import AlreadyExistsError, BatchError, CompletedError, HostPolicy, NotFoundError
from azure_batch_operator.kube.api import KubeApi, KubeError
from azure_batch_operator.kube.events import EventRecorder
from azure_batch_operator.kube.finalizers import set_finalizer
from azure_batch_operator.kube.status import StatusWriter
from azure_batch_operator.reconcile import account as account_plans
from azure_batch_operator.reconcile import expand, ownership
from azure_batch_operator.reconcile import job as job_plans
from azure_batch_operator.reconcile import pool as pool_plans
from azure_batch_operator.reconcile import task as task_plans
from azure_batch_operator.reconcile.common import PATIENCE, troubled
from azure_batch_operator.reconcile.plan import Absent, AccountView, Call, Plan, Table
from azure_batch_operator.reconcile.status import seconds_since
from azure_batch_operator.reconcile.trouble import trouble
from azure_batch_operator.sync.accounts import Accounts, Listeners, Pacing, Session
from azure_batch_operator.sync.credentials import SignIn
from azure_batch_operator.sync.queue import Urgency, WorkQueue
from azure_batch_operator.sync.store import Store

logger = logging.getLogger(__name__)

RECONCILES = Counter("azurebatch_reconcile_total", "Passes over an object", ["kind", "result"])
RECONCILE_SECONDS = Histogram("azurebatch_reconcile_duration_seconds", "Their duration", ["kind"])

_SECRET_LOOKED_AT_EVERY = 60.0


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
        workers: int = 16,
    ) -> None:
        self._api, self._store, self._queue = api, store, queue
        self._writer, self._events = writer, events
        self._cluster = cluster
        self._workers = workers
        self.accounts = Accounts(
            api, hosts, sign_in, pacing, Listeners(self.changed, self.health_changed, lambda: bool(queue))
        )

    # --- what the world tells ---

    def seen(self, resource: Resource, urgency: Urgency = Urgency.USER) -> None:
        """The API server has shown an object."""
        before = self._store.put(resource)
        if before is resource:
            return
        if before is not None and before.uid == resource.uid and not _differs(before, resource):
            return
        self._queue.add(resource.key, urgency)
        if before is None or before.uid != resource.uid or before.deleting != resource.deleting:
            self._enqueue(dependent.key for dependent in self._store.dependents(resource.key))

    def gone(self, key: Key, uid: str | None = None) -> None:
        """The API server no longer has an object."""
        known = self._store.remove(key, uid)
        if known is None:
            return
        self._forget(known)
        targets = [dependent.key for dependent in self._store.dependents(key)]
        account = self._account_key(known)
        self._enqueue([*targets, *([account] if account else []), *([key] if key.kind is Kind.ACCOUNT else [])])

    def changed(self, keys: Iterable[Key], *, moved: bool = False) -> None:
        """The remote side of these objects looks different; if it `moved`, what lives in it is looked at as well."""
        for key in keys:
            self._queue.add(key, Urgency.REFRESH)
            if moved:
                self._enqueue(each.key for each in self._store.dependents(key) if _waits(each))

    def health_changed(self, key: Key) -> None:
        """An account has become usable, or has ceased to be."""
        self._queue.add(key)
        self._enqueue(each.key for each in self._of_account(key) if _waits(each))

    def _enqueue(self, keys: Iterable[Key]) -> None:
        for key in keys:
            self._queue.add(key, Urgency.REFRESH)

    # --- working ---

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._workers):
                group.create_task(self._work())

    async def _work(self) -> None:
        while True:
            key = await self._queue.get()
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
                logger.info("%s tried again in %.1f s: %s", key, delay, problem.message)
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
        if key.kind is Kind.ACCOUNT:
            plan, session = await self._plan_account(resource), None
        else:
            account, session = self._account(resource)
            plan = self._plan(resource, account, session)
        await self._carry_out(resource, plan, session)

    async def _plan_account(self, resource: Resource) -> Plan:
        await self.accounts.refresh(resource)
        health = self.accounts.health(resource.key)
        plan = account_plans.plan(resource, health, self._of_account(resource.key), time.time())
        again = min(plan.again or _SECRET_LOOKED_AT_EVERY, _SECRET_LOOKED_AT_EVERY)
        self._queue.add_after(resource.key, again)
        return plan

    def _plan(self, resource: Resource, account: AccountView, session: Session | None) -> Plan:
        now = time.time()
        match resource.key.kind:
            case Kind.POOL:
                return self._plan_pool(resource, account, session, now)
            case Kind.JOB:
                return self._plan_job(resource, account, session, now)
            case _:
                return self._plan_task(resource, account, session, now)

    def _plan_pool(self, resource: Resource, account: AccountView, session: Session | None, now: float) -> Plan:
        id = resource.remote_id
        if session is None:
            return pool_plans.plan(resource, account, Absent.UNKNOWN, None, self._cluster, now)
        self._interested(session, resource, id)
        counts = session.mirror.node_counts.get(id.lower())
        return pool_plans.plan(resource, account, session.mirror.pools.get(id), counts, self._cluster, now)

    def _plan_job(self, resource: Resource, account: AccountView, session: Session | None, now: float) -> Plan:
        pool = self._pool_view(resource, session)
        if session is None:
            return job_plans.plan(resource, account, pool, Absent.UNKNOWN, None, self._cluster, now)
        id = resource.remote_id
        if job_plans.is_open(resource):
            self._interested(session, resource, id)
        else:
            session.interest.drop(resource.key)
            session.feeder.forget(resource.key, resource.uid)
        remote = session.mirror.jobs.get(id)
        tasks = self._tasks_view(resource, session)
        return job_plans.plan(resource, account, pool, remote, tasks, self._cluster, now)

    def _tasks_view(self, resource: Resource, session: Session) -> job_plans.TasksView | None:
        results = session.mirror.results.get(resource.remote_id.lower())
        if results is None:
            return None
        feed = session.feeder.state(resource.key, resource.uid)
        own = expand.total(resource.spec)
        return job_plans.TasksView(
            counts=results.counts,
            failed=results.failed,
            failed_count=results.failed_count,
            unfinished=results.unfinished,
            submitted=feed.submitted if feed else None,
            complete=feed.complete if feed else False,
            refused=feed.refused if feed else None,
            others_pending=not own and self._tasks_pending(resource, session),
        )

    def _tasks_pending(self, job: Resource, session: Session) -> bool:
        """Whether BatchTasks of the job are not in yet, or may still be on their way from the same `apply`."""
        table, now = session.mirror.tasks.get(job.remote_id.lower()), time.time()
        return any(
            seconds_since(task.created, now) < PATIENCE
            or (task_plans.is_open(task) and (table is None or isinstance(table.get(task.remote_id), Absent)))
            for task in self._store.dependents(job.key, Kind.TASK)
            if not task.deleting
        )

    def _plan_task(self, resource: Resource, account: AccountView, session: Session | None, now: float) -> Plan:
        job = self._store.get(Key(Kind.JOB, resource.key.namespace, resource.spec["jobRef"]["name"]))
        if job is None:
            view = task_plans.JobView(exists=False)
            return task_plans.plan(resource, account, view, task_plans.TaskView(), self._cluster, now)
        if session is None:
            view = task_plans.JobView(exists=True, id=job.remote_id)
            return task_plans.plan(resource, account, view, task_plans.TaskView(), self._cluster, now)
        id, job_id = resource.remote_id, job.remote_id
        remote = session.mirror.jobs.get(job_id)
        if task_plans.is_open(resource):
            self._interested(session, resource, job_id, id)
        else:
            session.interest.drop(resource.key)
        ours = not isinstance(remote, Absent) and ownership.owner_of(remote) == ownership.marker(self._cluster, job)
        tasks = session.mirror.tasks.get(job_id.lower())
        return task_plans.plan(
            resource,
            account,
            task_plans.JobView(exists=True, id=job_id, remote=remote, ours=ours),
            task_plans.TaskView(
                remote=tasks.get(id) if tasks is not None else Absent.UNKNOWN,
                pending=session.submitter.has(resource.key),
                refused=session.submitter.refused(resource.key),
            ),
            self._cluster,
            now,
        )

    # --- carrying out ---

    async def _carry_out(self, resource: Resource, plan: Plan, session: Session | None) -> None:
        if plan.finalizer == "add" and not resource.has_finalizer:
            current = await set_finalizer(self._api, resource, present=True)
            if current is None:
                return
            self._store.update(current)
            resource = current
        try:
            if session is not None:
                for call in plan.calls:
                    await self._call(session, call)
        except BatchError as error:
            status = troubled(resource, trouble(error), time.time())
            if status is not None:
                self._writer.write(resource, status)
            elif session is not None:
                session.poller.poke()
            raise
        self._queue.forget(resource.key)
        if plan.submit is not None and session is not None:
            job_id = self._job_id(resource)
            owner = ownership.marker(self._cluster, resource)
            session.submitter.add(resource.key, job_id, plan.submit, owner)
        if plan.feed and session is not None:
            session.feeder.feed(resource.key, resource.uid, resource.remote_id, resource.spec)
        if plan.status is not None:
            self._writer.write(resource, plan.status)
        for notice in plan.notices:
            self._events.record(resource, notice.type, notice.reason, notice.message)
        if plan.again is not None:
            self._queue.add_after(resource.key, plan.again)
        if plan.finalizer == "remove" and resource.has_finalizer:
            current = await set_finalizer(self._api, resource, present=False)
            if current is None or not current.finalizers:
                self.gone(resource.key, resource.uid)
            else:
                self._store.update(current)

    async def _call(self, session: Session, call: Call) -> None:
        began = asyncio.get_running_loop().time()
        try:
            await call.send(session.client)
        except (AlreadyExistsError, CompletedError, NotFoundError) as error:
            # The mirror is behind: look again, then decide anew.
            logger.info("%s %s: %s", call.verb, call.id, error)
            if call.table is Table.TASKS and call.job_id and isinstance(error, NotFoundError):
                session.mirror.jobs.touch(call.job_id, began)
        finally:
            after = asyncio.get_running_loop().time()
            match call.table:
                case Table.POOLS:
                    session.mirror.pools.touch(call.id, after)
                case Table.JOBS:
                    session.mirror.jobs.touch(call.id, after)
                case Table.TASKS:
                    session.mirror.tasks[(call.job_id or "").lower()].touch(call.id, after)
            session.poller.poke()

    # --- who belongs to whom ---

    def _interested(self, session: Session, resource: Resource, *path: str) -> None:
        known = resource.key in session.interest
        session.interest.add(resource.key, *path)
        if not known:
            session.poller.poke()

    def _forget(self, resource: Resource) -> None:
        key = self._account_key(resource)
        session = self.accounts.session(key) if key else None
        if session is not None:
            session.interest.drop(resource.key)
            session.submitter.forget(resource.key)
            session.feeder.forget(resource.key, resource.uid)
            if resource.key.kind is Kind.JOB:
                session.mirror.forget_job(resource.remote_id)

    def _account_key(self, resource: Resource) -> Key | None:
        """The account that an object belongs to, through its pool or job where need be."""
        spec, namespace = resource.spec, resource.key.namespace
        if account := spec.get("accountRef"):
            return Key(Kind.ACCOUNT, account.get("namespace") or namespace, account["name"])
        for field, kind in (("poolRef", Kind.POOL), ("jobRef", Kind.JOB)):
            if reference := spec.get(field):
                parent = self._store.get(Key(kind, namespace, reference["name"]))
                if parent is not None:
                    return self._account_key(parent)
        if resource.key.kind is Kind.JOB and (account := resource.status.get("account")):
            return Key(Kind.ACCOUNT, *account.split("/", 1))
        return None

    def _account(self, resource: Resource) -> tuple[AccountView, Session | None]:
        key = self._account_key(resource)
        if key is None:
            field, kind = ("jobRef", Kind.JOB) if resource.key.kind is Kind.TASK else ("poolRef", Kind.POOL)
            name = (resource.spec.get(field) or {}).get("name", "")
            message = f"spec.{field} names {kind} {name!r}, which does not exist in this namespace: create it or correct {field}"
            return AccountView(False, f"{kind.removeprefix('Batch')}NotFound", message, gone=True), None
        account = self._store.get(key)
        if account is None:
            message = f"spec.accountRef names BatchAccount {key.namespace}/{key.name}, which does not exist: create it"
            return AccountView(False, "AccountNotFound", message, gone=True), None
        if not _allows(account, resource.key.namespace):
            message = (
                f"BatchAccount {key.namespace}/{key.name} does not allow namespace {resource.key.namespace!r}: "
                "add it to its spec.allowedNamespaces.names"
            )
            return AccountView(False, "NamespaceNotAllowed", message, gone=True), None
        session, health = self.accounts.session(key), self.accounts.health(key)
        if session is not None and resource.deleting:
            # The session outlives its Secret, so that what was created with it can be deleted.
            health = session.health
        if session is None or not health.checked or health.reason not in {"", "Throttled"}:
            reason = "AccountNotReady"
            why = f"{health.reason}: {health.message}" if health.reason else "no call was answered yet"
            return AccountView(False, reason, f"BatchAccount {key.namespace}/{key.name}: {why}"), session
        return AccountView(True, url=session.url, name=f"{key.namespace}/{key.name}"), session

    def _pool_view(self, job: Resource, session: Session | None) -> job_plans.PoolView:
        if info := job.spec.get("poolInfo"):
            return job_plans.PoolView(info["poolId"])
        name = job.spec["poolRef"]["name"]
        pool = self._store.get(Key(Kind.POOL, job.key.namespace, name))
        if pool is None:
            message = f"spec.poolRef names BatchPool {name!r}, which does not exist in this namespace: create it or correct poolRef"
            return job_plans.PoolView(None, ("PoolNotFound", message))
        remote = session.mirror.pools.get(pool.remote_id) if session else Absent.UNKNOWN
        if isinstance(remote, Absent):
            return job_plans.PoolView(None, ("WaitingForPool", f"waits until BatchPool {name!r} exists in Azure Batch"))
        if ownership.owner_of(remote) != ownership.marker(self._cluster, pool):
            return job_plans.PoolView(
                None, ("WaitingForPool", f"BatchPool {name!r} does not own its pool; see its conditions")
            )
        return job_plans.PoolView(pool.remote_id)

    def _of_account(self, key: Key) -> list[Resource]:
        """Objects that live in the account, directly or through their pool or job."""
        found: dict[Key, Resource] = {}
        pending = self._store.dependents(key)
        while pending:
            each = pending.pop()
            if each.key not in found:
                found[each.key] = each
                pending += self._store.dependents(each.key)
        return list(found.values())

    def _job_id(self, task: Resource) -> str:
        job = self._store.get(Key(Kind.JOB, task.key.namespace, task.spec["jobRef"]["name"]))
        return job.remote_id if job else ""


def _differs(before: Resource, after: Resource) -> bool:
    """Whether anything but the status has changed, or the status was taken away."""
    return (
        before.generation != after.generation
        or before.deleting != after.deleting
        or before.finalizers != after.finalizers
        or before.annotations != after.annotations
        or bool(before.status.get("conditions")) > bool(after.status.get("conditions"))
    )


def _waits(resource: Resource) -> bool:
    """Whether news about its pool, job or account can matter to an object."""
    match resource.key.kind:
        case Kind.JOB:
            return job_plans.is_open(resource)
        case Kind.TASK:
            return task_plans.is_open(resource)
        case _:
            return True


def _allows(account: Resource, namespace: str) -> bool:
    if namespace == account.key.namespace:
        return True
    allowed = AccountSpec.model_validate(account.spec).allowed_namespaces
    return allowed is not None and namespace in (allowed.names or ())
