"""Suspends and resumes a job: for `spec.suspend`, and to change its pool (docs/azure-batch.md#jobs).

Whoever disables a job leaves no trace in the service, so the operator leaves one itself, in the metadata, before it disables:
only then may it enable again, even after a crash or with its status lost. A job that a person or an exit condition has
disabled stays so.
"""

from __future__ import annotations

from typing import Any, Literal

from azure_batch_operator.api.base import HELD_METADATA, HOLDS_METADATA
from azure_batch_operator.batch.job_wire import Job
from azure_batch_operator.reconcile.applied import NOT_APPLIED
from azure_batch_operator.reconcile.job.scope import TasksView
from azure_batch_operator.reconcile.job.spec import JobTerms
from azure_batch_operator.reconcile.plan import Call, Evidence, Table
from azure_batch_operator.reconcile.target_pool import IN_OTHER_ACCOUNT, NO_POOL, NOT_ALLOWED, TargetPoolView
from azure_batch_operator.shapes import whole_number

Why = Literal["suspend", "pool", "flee"]
"""Why a job is disabled: the spec says so, it goes to another pool of the spec, or to the fallback pool."""
_STANDS = frozenset({"disabling", "disabled"})


def wanted_pool(spec: JobTerms, pool: TargetPoolView, job: Job, tasks: TasksView) -> str | None:
    """Id of the pool that the job shall be on; None if it stays where it is."""
    here = job.pool
    if here is None:
        return None
    most = _most_requeues(spec, job)
    moved = pool.fallback is not None and here.lower() == pool.fallback.lower()
    # Once it has begun it is brought to its end, although putting the tasks back raises what is allowed.
    flees = job.note(HELD_METADATA) == "flee" or (most is not None and tasks.most_requeues > most)
    if most is not None and pool.fallback is not None and (moved or flees):
        return None if moved else pool.fallback
    if pool.problem or pool.id is None or pool.id.lower() == here.lower():
        return None
    return pool.id


def _most_requeues(spec: JobTerms, job: Job) -> int | None:
    """How often a task may have been put back in all: what the spec allows, and once for each time that the operator did it."""
    most = spec.backoff.max_requeues
    return None if most is None else most + _holds(job)


def _holds(job: Job) -> int:
    """How often the operator has stopped the job and had its running tasks put back, which the service counts like a preemption."""
    return whole_number(job.note(HOLDS_METADATA) or "") or 0


def requeue_limit_exceeded(spec: JobTerms, job: Job, tasks: TasksView) -> bool:
    """Whether a task was put back too often and the spec knows no other pool; one that is not there yet is waited for."""
    most = _most_requeues(spec, job)
    return most is not None and not spec.backoff.has_fallback and tasks.most_requeues > most


def why(spec: JobTerms, pool: TargetPoolView, moves_to: str | None) -> Why | None:
    """Why the job must stand still; None if it may run."""
    if spec.suspend:
        return "suspend"
    if moves_to is None:
        return None
    return "pool" if moves_to == pool.id else "flee"


def notes(spec: JobTerms, job: Job, reason: Why | None) -> dict[str, str | None]:
    """What the metadata must say of it, for `job_changes.changes`."""
    if reason in ("pool", "flee") and job.note(HELD_METADATA) is None and job.state in _STANDS:
        # Somebody else has stopped it: it moves as it stands, and nobody but them lets it continue.
        return {}
    if reason is not None and job.note(HELD_METADATA) is None and _how(spec, reason) == "requeue":
        return {HELD_METADATA: reason, HOLDS_METADATA: str(_holds(job) + 1)}
    if reason is not None:
        return {HELD_METADATA: reason}
    # Taken away only once the job runs again: a crash in between must find it.
    return {HELD_METADATA: None} if job.state == "active" else {}


def _how(spec: JobTerms, reason: Why) -> str:
    """What happens to running tasks."""
    return spec.suspend_policy.lower() if reason == "suspend" else "requeue"


def switch(id: str, spec: JobTerms, job: Job, reason: Why | None) -> Call | None:
    """The call that stops the job or lets it continue; to be made after the PATCH."""
    if reason is not None and job.state == "active":
        body = {"disableTasks": _how(spec, reason)}
        return Call("disable_job", Table.JOBS, id, body=body, evidence=Evidence.of(job))
    if reason is None and job.state == "disabled" and job.note(HELD_METADATA):
        return Call("enable_job", Table.JOBS, id, evidence=Evidence.of(job))
    return None


def cannot_move(pool: TargetPoolView) -> dict[str, tuple[bool, str, str]]:
    """The condition of a running job, or of a schedule, whose spec names a pool that it cannot be on; none if it does not.

    That is a pool of another account, to which nothing can move, one of another namespace, or a BatchPool that does not exist (any
    more).
    """
    if pool.problem is None or pool.problem[0] not in {IN_OTHER_ACCOUNT, NO_POOL, NOT_ALLOWED}:
        return {}
    return {NOT_APPLIED: (True, *pool.problem)}


def move(job: Job, moves_to: str | None) -> dict[str, Any]:
    """The new pool for the PATCH of a disabled job."""
    if moves_to is None or job.state != "disabled":
        return {}
    return {"poolInfo": {"poolId": moves_to}}
