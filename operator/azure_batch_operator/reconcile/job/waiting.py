"""What a job waits for when none of its tasks runs, in one sentence: what polls show, as evidence for `causes`.

It is decided from what lists show, never asked for. The sentence holds no number that changes by itself: it is part of the status,
and a status that says nothing new is not written.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from azure_batch_operator.batch.job_wire import Job
from azure_batch_operator.batch.task_wire import TaskNeeds
from azure_batch_operator.batch.wire import convert
from azure_batch_operator.causes import Demand, Evidence, Failed, Lost, NodeFailure, PoolEvidence, Unmet, WayOut, judge
from azure_batch_operator.causes.exits import words
from azure_batch_operator.causes.reading import demand, pool_evidence
from azure_batch_operator.reconcile.job import dependencies, expand
from azure_batch_operator.reconcile.job.failures import named
from azure_batch_operator.reconcile.job.scope import TasksView
from azure_batch_operator.reconcile.job.spec import JobTerms
from azure_batch_operator.reconcile.job.streamed import Streamed
from azure_batch_operator.reconcile.plan import Absent
from azure_batch_operator.reconcile.target_pool import TargetPoolView


def waiting_for(spec: JobTerms, job: Job, pool: TargetPoolView, tasks: TasksView, *, blocked: bool) -> str | None:
    """The sentence; None while tasks run, or if there are none that could.

    Args:
        blocked: whether all that is left depends on failed tasks.
    """
    if tasks.running or not tasks.active or job.state != "active":
        return None
    cause = judge(_evidence(spec, job, pool, tasks, blocked=blocked))
    return cause.sentence if cause is not None else None


def _evidence(spec: JobTerms, job: Job, pool: TargetPoolView, tasks: TasksView, *, blocked: bool) -> Evidence:
    # Only counts are known: a task that depends on nothing and has not ended could run at once.
    # Whether tasks that others have added depend on any is not known; jobs take dependencies whether or not the spec says so.
    # Nor is what they need.
    foreign = tasks.present > expand.total(spec)
    ready: bool | None = None if foreign and job.uses_task_dependencies else True
    if expand.needs_dependencies(spec):
        ready = tasks.completed < expand.independent(spec)
    return Evidence(
        unmet=_unmet(spec, tasks, blocked=blocked),
        preparation=_preparation(tasks),
        pool=_pool(job, pool),
        way_out=WayOut(_pool_field(spec)),
        has_ready=ready,
        demands=_Demands(spec),
        least_slots=1 if foreign else least_slots(spec),
        least_nodes=0 if foreign else _least_nodes(spec),
        exact=not tasks.completed,
    )


def _unmet(spec: JobTerms, tasks: TasksView, *, blocked: bool) -> Unmet | None:
    if blocked:
        return Failed(named(tasks.failed[0]) if tasks.failed else "")
    # Said only where no task of somebody else can be the missing one.
    if not expand.needs_dependencies(spec) or tasks.present != expand.total(spec):
        return None
    number, first = dependencies.missing(spec, expand.lists(spec))
    # One that has failed may be one of them that somebody has ended.
    return Lost(first) if number and tasks.active <= number - tasks.failed_count else None


def _preparation(tasks: TasksView) -> NodeFailure | None:
    failed = next((failure for failure in tasks.node_failures if failure.task == "preparation"), None)
    return (
        None if failed is None else NodeFailure(failed.node_id, words(failed.exit_code, failed.code) or "no exit code")
    )


def _pool(job: Job, pool: TargetPoolView) -> PoolEvidence | None:
    name = job.pool or job.execution.pool_id
    if pool.remote is Absent.UNKNOWN or name is None:
        return None
    if pool.remote is Absent.NOT_FOUND:
        return PoolEvidence(name, is_missing=True)
    evidence = pool_evidence(name, pool.remote, pool.nodes or {}, pool.troubled, pool.retried)
    # What nodes do that were not counted yet is not known: they may run tasks of other jobs.
    return None if pool.nodes is None and evidence.current and not evidence.is_deleting else evidence


def _pool_field(spec: JobTerms) -> str | None:
    """Where the spec names its pool; None for an auto pool, which cannot be changed."""
    if spec.pool_ref is not None:
        return "spec.poolRef"
    return "spec.poolInfo.poolId" if spec.pool_info is not None and spec.pool_info.pool_id else None


@dataclass(frozen=True)
class _Demands:
    """What the tasks of a spec need, made only when it is asked for; all those of a factory are one."""

    spec: JobTerms

    def __iter__(self) -> Iterator[Demand]:
        spec = self.spec
        tasks = spec.listed
        if isinstance(tasks, Streamed):
            # All those of a factory are one here as well.
            given = [task for task in JobTerms.of(tasks.source).listed if str(task["id"]).lower() in tasks.only]
            yield from _Demands(JobTerms.of({**tasks.source, "tasks": given}))
            return
        yield from (demand(f"task {task['id']!r}", task) for task in tasks)
        factory = spec.factory
        for which, template in (
            ("each task of the factory", factory.repeat_task),
            ("task 'merge'", factory.merge_task),
        ):
            if template:
                yield demand(which, template)


def least_slots(spec: JobTerms) -> int:
    """The fewest slots that a task of the spec takes; 1 if it has no tasks of its own."""
    given = spec.listed
    if isinstance(given, Streamed):
        return given.least_slots
    tasks = [*given]
    if template := spec.factory.repeat_task:
        tasks.append(template)
    return min((convert(TaskNeeds, task).slots for task in tasks), default=1)


def _least_nodes(spec: JobTerms) -> int:
    """The fewest nodes at the same time that a task of the spec takes; 0 if one takes a single node, or if that is not known."""
    given = spec.listed
    if isinstance(given, Streamed) or not all(convert(TaskNeeds, task).nodes for task in given):
        return 0
    return min((needed.nodes for needed in _Demands(spec)), default=0)
