"""Observes a BatchTask: its job, the last list of the job's tasks, and whether the submitter is adding it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Key, Resource
from azure_batch_operator.batch.wire import convert
from azure_batch_operator.causes.exits import satisfies
from azure_batch_operator.reconcile import adoption, ownership
from azure_batch_operator.reconcile.before import status_before
from azure_batch_operator.reconcile.job.spec import JobTerms
from azure_batch_operator.reconcile.observed import ObservedTask
from azure_batch_operator.reconcile.plan import Absent, AccountView, Remote
from azure_batch_operator.reconcile.references import referenced
from azure_batch_operator.reconcile.standard_plans import ever_created, other_name
from azure_batch_operator.reconcile.status import ENDED_PHASES
from azure_batch_operator.reconcile.task import lifecycle as plans
from azure_batch_operator.reconcile.task.scope import JobView, TaskScope, TaskView, is_blocked, is_open
from azure_batch_operator.reconcile.task.spec import TaskBefore, TaskTerms
from azure_batch_operator.sync.accounts import Session
from azure_batch_operator.sync.observe.context import Context, Decision, Subscription
from azure_batch_operator.sync.observe.pools import foreign
from azure_batch_operator.sync.polls.jobs import named_pool

__all__ = ["is_open", "job_id", "plan"]


def plan(context: Context, resource: Resource, account: AccountView, session: Session | None, now: float) -> Decision:
    """Decide about one BatchTask."""
    job = _job(context, resource, session)
    if session is None or not (job.exists or (resource.deleting and job.id)):
        return Decision(plans.plan(TaskScope(resource, account, job, TaskView(), context.cluster, now)))
    id = resource.remote_id
    unclaimed = context.unclaimed(resource)
    tasks = session.mirror.tasks.get(job.id.lower())
    late = session.mirror.outputs.late(resource.key)
    depends_on, problem = _dependencies(context, resource, job.id)
    view = TaskView(
        remote=tasks.get(id) if tasks is not None else Absent.UNKNOWN,
        pending=session.submitter.has(resource.key),
        refused=session.submitter.refused(resource.key),
        retry_in=session.submitter.retry_in(resource.key),
        depends_on=depends_on,
        problem=problem,
        blocked_by=_blocked_by(context, resource, job.goes_on),
        late=late,
        unclaimed=unclaimed,
        never_sent=(unclaimed or not resource.has_finalizer) and not resource.status.get("state"),
    )
    scope = TaskScope(resource, account, job, view, context.cluster, now, context.others, context.late(resource))
    return Decision(plans.plan(scope), _subscription(scope, session))


def _subscription(scope: TaskScope, session: Session) -> Subscription:
    task, job, view = scope.resource, scope.job, scope.view
    if not is_open(task):
        return Subscription(ended=True, output_shown=bool(view.late))
    never_added = view.unclaimed or not task.has_finalizer
    if never_added and _stays_out(task, job, session):
        return Subscription((job.id,))
    return Subscription((job.id, task.remote_id), tail_lines=scope.spec.tail_lines)


def _stays_out(task: Resource, job: JobView, session: Session) -> bool:
    """Whether a task that was never added to its job may not be: what is in the job is none of its business, only the job is.

    The job must stay known, or each look would ask for it again (tests/quick/test_passes_at_rest.py).
    """
    if job.remote is Absent.UNKNOWN:
        # Nothing new, such as after a write of ours: it stays as it was.
        return len(session.interest.path(task.key)) == 1
    return job.refusal is not None or (isinstance(job.remote, Mapping) and not job.ours)


def job_id(context: Context, task: Resource) -> str | None:
    """Id in Azure Batch of the job that a BatchTask belongs to; None if its BatchJob does not exist."""
    if (id := task.spec.get("jobId")) is not None:
        return str(id)
    job = _batch_job(context, task)
    return job.remote_id if job else None


def _batch_job(context: Context, task: Resource) -> Resource | None:
    """The BatchJob that `jobRef` names; None without one, and of a spec that lacks it."""
    named = referenced(task.spec).job_ref
    return None if named is None else context.store.get(Key(Kind.JOB, task.key.namespace, named.name))


def seen(
    context: Context, resource: Resource, session: Session
) -> tuple[ObservedTask | Absent, str | None, tuple[str, ...]]:
    """The task as the last list saw it, whatever the spec says of it, and the id of its job."""
    job = str(resource.status.get("jobId") or job_id(context, resource) or "")
    if not job:
        return Absent.UNKNOWN, None, ()
    tasks = session.mirror.tasks.get(job.lower())
    remote = tasks.get(resource.remote_id) if tasks is not None else Absent.UNKNOWN
    return remote, job, (job, resource.remote_id)


def _former_job(context: Context, task: Resource, session: Session | None) -> str | None:
    """Id of the job that a task was added to, if its BatchJob does not stand for that job any more, such as after it was detached.

    While the task is there, it is followed there: in another job it would run a second time. A task that waits has no status yet,
    so only this process knows its job, from what it asks for; the next plan writes it down, so that a restart does not lose it.
    """
    if "jobId" in task.spec:
        return None
    asked = session.interest.path(task.key) if session else ()
    known = task.status.get("jobId") or (asked[0] if len(asked) > 1 else None)
    if known is None or (_is_job_of(context, task, str(known)) and not _is_taken(context, task, session)):
        return None
    return str(known) if task.deleting or _is_in(task, str(known), session) else None


def _is_job_of(context: Context, task: Resource, job: str) -> bool:
    """Whether a job has the ID of the one that the BatchJob of a task stands for."""
    return (job_id(context, task) or "").lower() == job.lower()


def _is_taken(context: Context, task: Resource, session: Session | None) -> bool:
    """Whether the job of a task was detached from a BatchJob whose name another one has by now, which does not own the job."""
    job, known = _batch_job(context, task), task.status.get("jobId")
    remote = session.mirror.jobs.get(str(known)) if session is not None and known else Absent.UNKNOWN
    return job is not None and isinstance(remote, Mapping) and not _stands_for(context, job, remote)


def _is_in(task: Resource, job: str, session: Session | None) -> bool:
    """Whether the task is in a job, or may be; what a table of its tasks lacks is not."""
    if session is None or session.mirror.jobs.get(job) is Absent.NOT_FOUND:
        return False
    tasks = session.mirror.tasks.get(job.lower())
    if session.submitter.has(task.key) or (tasks is not None and tasks.get(task.remote_id) is not Absent.NOT_FOUND):
        return True
    return tasks is None and bool(task.status.get("jobId"))


def _job(context: Context, task: Resource, session: Session | None) -> JobView:
    id = _former_job(context, task, session) or job_id(context, task)
    if id is None:
        return JobView(exists=False)
    job = _batch_job(context, task)
    # A task that is older than its BatchJob may have been added to the job of a former one of that name.
    used = job is None or job.has_finalizer or ever_created(job) or task.created < job.created
    if session is None:
        return JobView(exists=True, id=id, used=used)
    remote = session.mirror.jobs.get(id)
    if "jobId" in task.spec and ":" in id and session.mirror.schedules.first and session.interest.schedules:
        remote = Absent.UNKNOWN  # who owns the schedule that made the job is not known yet
    if _former_job(context, task, session) is not None:
        # Whose the job is does not matter: the task's own marker decides.
        exists, ours = not task.deleting, isinstance(remote, Mapping)
        return JobView(exists=exists, id=id, remote=remote, ours=ours, former=True)
    if "jobId" in task.spec:
        return JobView(
            exists=True,
            id=id,
            remote=remote,
            ours=isinstance(remote, Mapping),
            foreign=_foreign_owner(context, task, session, remote),
            foreign_pool=_foreign_pool(context, task, session, remote),
        )
    if job is None:
        return JobView(exists=False)
    finished = job.status.get("phase") in ENDED_PHASES
    if not isinstance(remote, Mapping) or not _stands_for(context, job, remote):
        return JobView(exists=True, id=id, remote=remote, finished=finished, used=used)
    terms = JobTerms.of(job.spec)
    return JobView(
        exists=True, id=id, remote=remote, ours=True, finished=finished, upload=terms.logs.upload,
        goes_on=terms.goes_on and bool(remote.get("usesTaskDependencies")),
        foreign_pool=_foreign_pool(context, task, session, remote),
    )  # fmt: skip


def _stands_for(context: Context, job: Resource, remote: Mapping[str, Any]) -> bool:
    """Whether a job is the one that its BatchJob is about, also one that had ended before and so keeps the marker that it had."""
    ended = remote.get("state") == "completed"
    return adoption.stands_for(remote, job, context.cluster, context.others, ended=ended)


def _foreign_owner(context: Context, task: Resource, session: Session, job: Remote) -> str | None:
    """Why tasks of this namespace may not go into a job that `jobId` names."""
    if isinstance(job, Absent):
        return None
    schedule, _, run = str(job["id"]).partition(":")
    made_by = session.mirror.schedules.latest(schedule) if run else None
    return ownership.foreign_owner(job, made_by, task.key.namespace, context.clusters)


def _foreign_pool(context: Context, task: Resource, session: Session, job: Remote) -> str | None:
    """Why tasks of this namespace may not run on the pool of the job."""
    named = None if isinstance(job, Absent) else named_pool(job)
    return foreign(context, task, session, named) if named else None


def _dependencies(context: Context, task: Resource, job: str) -> tuple[list[str], tuple[str, str] | None]:
    """Ids of the BatchTasks that `dependsOnRefs` names; or reason and message of the first that cannot serve."""
    ids = []
    for at, reference in enumerate(referenced(task.spec).depends_on_refs):
        where, name = f"spec.dependsOnRefs[{at}]", reference.name
        other = context.store.get(Key(Kind.TASK, task.key.namespace, name))
        if other is None:
            text = f"{where} names BatchTask {name!r}, which does not exist in this namespace: create it{other_name(task, where)}"
            return [], ("DependencyNotFound", text)
        if (job_id(context, other) or "").lower() != job.lower():
            text = f"{where} names BatchTask {name!r}, which belongs to another job: name tasks of the same job only"
            return [], ("DependencyInOtherJob", text)
        ids.append(other.remote_id)
    return ids, None


def blocks_dependents(task: Resource, *, goes_on: bool = False) -> bool:
    """Whether tasks that depend on this one never start, as far as its status says."""
    conditions = convert(TaskTerms, task.spec).exit_conditions
    added = conditions.forgiving if goes_on else conditions
    before = convert(TaskBefore, task.status)
    failed = status_before(task).phase == "Failed" and not satisfies(added, before.exit_code, before.failure_info.code)
    return failed or is_blocked(task)


def _blocked_by(context: Context, task: Resource, goes_on: bool) -> str | None:
    """Name of the first BatchTask among `dependsOnRefs` that will never satisfy this one."""
    for reference in referenced(task.spec).depends_on_refs:
        other = context.store.get(Key(Kind.TASK, task.key.namespace, reference.name))
        if other is not None and blocks_dependents(other, goes_on=goes_on):
            return other.key.name
    return None
