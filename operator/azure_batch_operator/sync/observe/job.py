"""Observes a BatchJob: its pool, the last list of jobs, the results of its tasks, and how many tasks are added."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from azure_batch_operator.api.base import RETRY_FAILED
from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Key, Resource
from azure_batch_operator.batch.job_wire import Job
from azure_batch_operator.batch.wire import TaskCounts, build
from azure_batch_operator.reconcile import adoption, ownership
from azure_batch_operator.reconcile.annotations import is_later, pending_request
from azure_batch_operator.reconcile.job import changes as job_changes
from azure_batch_operator.reconcile.job import expand, retry
from azure_batch_operator.reconcile.job import lifecycle as plans
from azure_batch_operator.reconcile.job import task_sources as sources
from azure_batch_operator.reconcile.job.lifecycle import is_open
from azure_batch_operator.reconcile.job.scope import JobScope, TasksView
from azure_batch_operator.reconcile.job.spec import JobTerms
from azure_batch_operator.reconcile.plan import Absent, AccountView, Remote
from azure_batch_operator.reconcile.pool.scope import pool_before
from azure_batch_operator.reconcile.references import referenced
from azure_batch_operator.reconcile.standard_plans import GRACE_SECONDS
from azure_batch_operator.reconcile.status import has_ended, seconds_since
from azure_batch_operator.reconcile.target_pool import NO_POOL, NOT_ALLOWED, TargetPoolView
from azure_batch_operator.reconcile.task.scope import is_blocked
from azure_batch_operator.reconcile.task.scope import is_open as is_open_task
from azure_batch_operator.sync.accounts import Session
from azure_batch_operator.sync.feeder import Incarnation
from azure_batch_operator.sync.interest import JobSubscription
from azure_batch_operator.sync.mirror import JobResults
from azure_batch_operator.sync.observe.context import Context, Decision, Subscription
from azure_batch_operator.sync.observe.pools import batch_pool, foreign, id_pool, pool_view
from azure_batch_operator.sync.polls.base import TAIL_LINES
from azure_batch_operator.sync.polls.jobs import named_pool, pool_of

__all__ = ["fingerprint", "is_open", "plan"]


def plan(context: Context, resource: Resource, account: AccountView, session: Session | None, now: float) -> Decision:
    """Decide about one BatchJob."""
    if session is None:
        pool = _pool(context, resource, None, Absent.UNKNOWN)
        origin = _fingerprints(context, resource)[1]
        scope = JobScope(
            resource, account, pool, Absent.UNKNOWN, None, context.cluster, now, origin,
            named=_named(context, resource), retry=_retry(context, resource),
        )  # fmt: skip
        return Decision(plans.plan(scope))
    remote = session.mirror.jobs.get(resource.remote_id)
    wanted = _subscription(context, resource, session, remote)
    print_, origin = _fingerprints(context, resource)
    if isinstance(remote, Mapping):
        noted, digits = job_changes.noted_tasks(build(Job, remote))
        if digits is not None and digits > expand.id_width(JobTerms.of(resource.spec)):
            resource = expand.with_digits(resource, digits)
        taken = context.sourced.get(resource.key)
        if taken is not None and taken.contents is None and job_changes.without_contents(noted) == print_:
            # Whatever the ConfigMaps held, it is in.
            print_ = noted
    created = remote.get("creationTime") if isinstance(remote, Mapping) else None
    tasks = None
    if (results := session.mirror.results.get(resource.remote_id.lower())) is not None:
        job = Incarnation(resource.key, resource.uid, created)
        tasks = _tasks(context, resource, session, print_, job, results)
        tasks = replace(tasks, others_pending=_tasks_pending(context, resource, session, now))
    end = _end(context, resource, session, print_) if remote is Absent.NOT_FOUND else None
    pool = _pool(context, resource, session, remote)
    named = _named(context, resource)
    cluster, others = context.cluster, context.others
    scope = JobScope(
        resource, account, pool, remote, tasks, cluster, now, origin, others,
        named=named, fingerprint=print_, retry=_retry(context, resource), held_by=_held_by(context, resource),
        end=end, late=context.late(resource), manifest=(context.store.get(resource.key) or resource).spec,
    )  # fmt: skip
    return Decision(plans.plan(scope), wanted)


def _end(
    context: Context, resource: Resource, session: Session, print_: str
) -> tuple[Mapping[str, Any], TasksView] | None:
    """The object's job and its tasks as they were when it was completed, of one that is gone by now."""
    if (known := session.mirror.ends.get(resource.remote_id.lower())) is None:
        return None
    job, results = known
    if not adoption.ours(job, resource, context.cluster, context.others):
        return None
    incarnation = Incarnation(resource.key, resource.uid, job.get("creationTime"))
    return job, _tasks(context, resource, session, print_, incarnation, results)


def _subscription(context: Context, job: Resource, session: Session, remote: Remote) -> Subscription:
    if not is_open(job) and not session.mirror.reads_on(job.remote_id):
        return Subscription(ended=True)
    ours = isinstance(remote, Mapping) and adoption.ours(remote, job, context.cluster, context.others)
    tasks = context.store.dependents(job.key, Kind.TASK)
    wish = replace(
        _wish(JobTerms.of(job.spec), job.status, tasks),
        has_verdict=has_ended(job), ran=partial(_ran, context, job.key, job.remote_id.lower()),
    )  # fmt: skip
    return Subscription((job.remote_id,), job=wish, ours=ours)


def seen(context: Context, resource: Resource, session: Session) -> tuple[Remote, None, tuple[str, ...]]:
    """The job as the last poll saw it, whatever the spec says of it."""
    return session.mirror.jobs.get(resource.remote_id), None, (resource.remote_id,)


def _retry(context: Context, job: Resource) -> Mapping[str, Any] | None:
    """What the status stores of the job whose tasks run again."""
    taken = context.sourced.get(job.key)
    return taken.retry if taken is not None and taken.version[0] == job.uid else None


def _held_by(context: Context, job: Resource) -> str | None:
    """The BatchJob that still takes tasks from this one, which is why it is kept; asked only when it is to go."""
    if not (job.deleting or (has_ended(job) and "ttlSecondsAfterFinished" in job.spec)):
        return None
    return held_by(context, job, waiting=not job.deleting)


def held_by(context: Context, job: Resource, *, waiting: bool) -> str | None:
    """Name of the BatchJob that still takes tasks from an ended one, or waits to (`retry.is_held`)."""
    find = lambda key: context.store.dependents(key, Kind.JOB)  # noqa: E731
    return retry.is_held(find, job, context.sourced.keys(), waiting=waiting)


def _named(context: Context, job: Resource) -> bool:
    """Whether BatchTasks that have not ended name the job."""
    if not expand.nothing_to_do(JobTerms.of(job.spec)):
        # Nobody asks, and there may be thousands.
        return False
    named = context.store.dependents(job.key, Kind.TASK)
    return any(not task.deleting and is_open_task(task) for task in named)


def _wish(spec: JobTerms, status: Mapping[str, Any], tasks: Iterable[Resource]) -> JobSubscription:
    let_in = [task for task in tasks if expand.is_let_in(task.spec)]
    return JobSubscription(
        tries=spec.backoff.max_requeues is not None,
        tries_shown="retries" in status,
        retries=int(status.get("retries") or 0),
        requeues=int(status.get("requeues") or 0),
        preparation=spec.job_preparation_task is not None,
        total=expand.total(spec),
        tail_lines=TAIL_LINES if spec.logs.tail_lines is None else spec.logs.tail_lines,
        dependencies=expand.needs_dependencies(spec),
        counts=_shown_counts(status.get("taskCounts")),
        has_manager=spec.job_manager_task is not None,
        adds_tasks=expand.adds_tasks(spec) or any(is_open_task(task) for task in let_in),
        has_added=expand.adds_tasks(spec) or bool(let_in),
        pool=str(status.get("poolId") or ""),
    )


def _shown_counts(shown: Mapping[str, Any] | None) -> TaskCounts | None:
    return None if shown is None else TaskCounts(**{name: shown.get(name, 0) for name in TaskCounts.__struct_fields__})


def fingerprint(context: Context, resource: Resource) -> str:
    """Of the sources of a job's tasks as they are in the manifest, and of what its ConfigMaps hold as far as they can be read."""
    return _fingerprints(context, resource)[0]


def _fingerprints(context: Context, resource: Resource) -> tuple[str, str]:
    """That one, and the one for a job that is done: empty if it is not known; made once per version of the manifest."""
    written = context.store.get(resource.key) or resource
    known = context.fingerprints.get(written.key)
    if known is None or known[:2] != (written.uid, written.generation):
        made = (job_changes.fingerprint(written.spec), job_changes.origin(written.spec))
        known = context.fingerprints[written.key] = (written.uid, written.generation, *made)
    taken = context.sourced.get(written.key)
    if taken is None or taken.version != (written.uid, known[2]):
        return known[2], "" if sources.needed(written.spec) or "retryOf" in written.spec else known[3]
    origin = job_changes.with_contents(known[3], taken.contents) if taken.contents else ""
    return job_changes.with_contents(known[2], taken.contents), origin


def _pool(context: Context, job: Resource, session: Session | None, remote: Remote) -> TargetPoolView:
    """The pool that the job shall be on, the one that it may move to, and what is seen of the one that it is on."""
    view = pool_view(context, job, session)
    backoff = referenced(job.spec).backoff
    fallback = id_pool(context, job, session, backoff.fallback_pool_id, "spec.backoff.fallbackPoolId")
    if (reference := backoff.fallback_pool_ref) is not None:
        fallback = batch_pool(context, job, session, reference.name, "spec.backoff.fallbackPoolRef")
    wrong = fallback.problem if fallback.problem and fallback.problem[0] in {NO_POOL, NOT_ALLOWED} else None
    view = replace(view, fallback=fallback.id, no_fallback=wrong)
    here = pool_of(remote) if isinstance(remote, Mapping) else ""
    if session is None or not here:
        return view
    counts: Counter[str] | None = None
    if (known := session.mirror.node_counts.get(here.lower())) is not None:
        counts = Counter(known.dedicated.present)
        counts.update(known.low_priority.present)
    named = named_pool(remote) if isinstance(remote, Mapping) else None
    other = foreign(context, job, session, named) if named else None
    # Notes are only of pools that a BatchPool stands for.
    notes = session.mirror.notes.get(here.lower())
    troubled = tuple(seen.node for seen in notes.troubled) if notes is not None else ()
    pool = session.mirror.pools.last_seen(here)
    retried = _retried(context, pool)
    return replace(view, remote=pool, nodes=counts, foreign=other, troubled=troubled, retried=retried)


def _retried(context: Context, pool: Remote) -> Sequence[Mapping[str, Any]]:
    """Errors of a resize that is being retried, as the BatchPool that owns the pool remembers them."""
    owner = ownership.owner_of(pool) if isinstance(pool, Mapping) else None
    if owner is None or owner.object.cluster != context.cluster:
        return ()
    known = context.store.get(Key(Kind.POOL, owner.object.namespace, owner.object.name))
    return () if known is None or known.uid != owner.object.uid else pool_before(known).resize_errors or ()


def _tasks(
    context: Context, resource: Resource, session: Session, print_: str, job: Incarnation, results: JobResults
) -> TasksView:
    feed = session.feeder.state(job)
    if feed is not None and feed.fingerprint != print_:
        feed = None
    taken = context.sourced.get(resource.key)
    # The former job of a retry may go once all is in.
    problem = taken.problem if taken is not None and taken.retry is None else None
    id = resource.remote_id.lower()
    return TasksView(
        counts=results.counts,
        slots=results.slots,
        failed=results.failed,
        failed_count=results.failed_count,
        unfinished=results.unfinished,
        unfinished_at=session.mirror.unfinished_at.get(id),
        submitted=feed.submitted if feed else None,
        complete=feed.complete if feed else False,
        refused=feed.refused if feed else None,
        retry_in=session.feeder.retry_in(job, print_),
        others_in=0 if results.unfinished is None else len(_ran(context, resource.key, id, job.created)),
        lost=results.lost,
        found=results.found,
        awaits_counts=results.awaits_counts,
        others_blocked=_tasks_blocked(context, resource, results),
        fingerprint=print_,
        unread=(problem.reason, str(problem)) if problem is not None else None,
        different=feed.different if feed else (),
        different_count=feed.different_count if feed else 0,
        kept=feed.kept if feed else False,
        retries=results.retries,
        requeues=results.requeues,
        most_requeues=results.most_requeues,
        retried=session.retrier.done(job),
        retried_number=session.retrier.number(job),
        retried_others=session.retrier.others(job),
        retry_until=session.retrier.until(job, pending_request(resource, RETRY_FAILED)),
        retry_refused=session.retrier.refused(job, pending_request(resource, RETRY_FAILED)),
        per_minute=results.per_minute,
        estimated_end=results.estimated_end,
        node_failures=results.node_failures,
    )


def _ran(context: Context, job: Key, id: str, created: str | None) -> set[str]:
    """IDs of the BatchTasks that have run in this incarnation of the job: what ran in a former one did so before its creation.

    Args:
        id: of the job, in lower case.
    """
    runs = {
        task.remote_id.lower(): str(task.status.get("startTime") or task.status.get("endTime") or "")
        for task in context.store.dependents(job, Kind.TASK)
        if not task.deleting and str(task.status.get("jobId", "")).lower() == id
    }
    return {task for task, run in runs.items() if created and is_later(run, created)}


def _tasks_blocked(context: Context, job: Resource, results: JobResults) -> int:
    """BatchTasks of the job that have said that they never start."""
    if not results.waiting or not results.failed_count:
        return 0
    return sum(is_blocked(task) for task in context.store.dependents(job.key, Kind.TASK))


def _tasks_pending(context: Context, job: Resource, session: Session, now: float) -> bool:
    """Whether BatchTasks of the job are not in yet, or may still be on their way from the same `apply`."""
    table = session.mirror.tasks.get(job.remote_id.lower())
    return any(
        seconds_since(task.created, now) < GRACE_SECONDS
        or (is_open_task(task) and (table is None or isinstance(table.get(task.remote_id), Absent)))
        for task in context.store.dependents(job.key, Kind.TASK)
        if not task.deleting
    )
