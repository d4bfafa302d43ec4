"""One module per kind: collects what is known of an object from store, mirror and queues, and calls the kind's `plan`.

The plans in `reconcile` are pure; this is where their arguments come from. The controller calls nothing else of a kind.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Resource
from azure_batch_operator.reconcile import adoption, stopping
from azure_batch_operator.reconcile import spec_problems as fitness
from azure_batch_operator.reconcile.annotations import is_stopping
from azure_batch_operator.reconcile.observed import ObservedTask
from azure_batch_operator.reconcile.plan import Absent, AccountView, Plan, Remote
from azure_batch_operator.reconcile.unreadable import with_problem
from azure_batch_operator.sync.accounts import Session
from azure_batch_operator.sync.observe import job, operation, pool, schedule, task
from azure_batch_operator.sync.observe.context import Context, Decision, Subscription
from azure_batch_operator.sync.observe.job import fingerprint
from azure_batch_operator.sync.observe.task import blocks_dependents

__all__ = ["Context", "Decision", "Subscription", "blocks_dependents", "fingerprint", "plan", "waits"]

_PLANS: Mapping[Kind, Callable[[Context, Resource, AccountView, Session | None, float], Decision]] = {
    Kind.POOL: pool.plan,
    Kind.JOB: job.plan,
    Kind.TASK: task.plan,
    Kind.SCHEDULE: schedule.plan,
    Kind.OPERATION: operation.plan,
}
_REMOTES: Mapping[
    Kind, Callable[[Context, Resource, Session], tuple[Remote | ObservedTask, str | None, tuple[str, ...]]]
] = {
    Kind.POOL: lambda *_: (Absent.UNKNOWN, None, ()),
    Kind.JOB: job.seen,
    Kind.TASK: task.seen,
    Kind.SCHEDULE: schedule.seen,
    Kind.OPERATION: lambda *_: (Absent.UNKNOWN, None, ()),
}
_OPEN: Mapping[Kind, Callable[[Resource], bool]] = {
    Kind.JOB: job.is_open,
    Kind.TASK: task.is_open,
    Kind.SCHEDULE: schedule.is_open,
    Kind.OPERATION: operation.is_open,
}


def plan(context: Context, resource: Resource, account: AccountView, session: Session | None, now: float) -> Decision:
    """Decide about one object of any kind but BatchAccount, which has no account.

    Args:
        session: of its account; None while there is none.
        now: seconds since the epoch.
    """
    if not resource.deleting and _is_open(resource) and (found := _unfit(context, resource)):
        stalled = fitness.stalled(resource, found, now)
        return _stopping(context, resource, stalled, session) if account.usable and session else Decision(stalled)
    decided = _PLANS[resource.key.kind](context, resource, account, session, now)
    if session is None:
        return decided
    mirror, key, wanted = session.mirror, resource.key, decided.subscription
    # A new process reads nothing more of a job whose result is known.
    settled = wanted.ended or (wanted.job is not None and wanted.job.has_verdict)
    is_read = lambda: settled or mirror.is_read(key)  # noqa: E731
    return replace(decided, plan=with_problem(resource, decided.plan, mirror.problems.get(key), now, is_read))


def _stopping(context: Context, resource: Resource, stalled: Plan, session: Session) -> Decision:
    """What the user wants to be stopped is stopped, whatever is wrong with the spec."""
    if not is_stopping(resource):
        return Decision(stalled)
    remote, parent, path = _REMOTES[resource.key.kind](context, resource, session)
    # A spec that cannot be used says nothing of the tail, so that stays as it was.
    wanted = Subscription(path, tail_lines=session.interest.tail([resource.key]))
    if isinstance(remote, Absent) or not adoption.ours(remote, resource, context.cluster, context.others):
        return Decision(stalled, wanted)
    return Decision(stopping.stopping(resource, stalled, remote, parent), wanted)


def _unfit(context: Context, resource: Resource) -> list[str]:
    """What is wrong with the spec as it is written, found once per version of the manifest."""
    written = context.store.get(resource.key) or resource
    known = context.unfit.get(written.key)
    if known is None or known[:2] != (written.uid, written.generation):
        known = context.unfit[written.key] = (written.uid, written.generation, fitness.problems(written))
    return known[2]


def reads_on(resource: Resource, session: Session) -> bool:
    """Whether more is still read of an object that has ended: retries of the tasks of a job, or the last jobs of a schedule."""
    if resource.key.kind is Kind.JOB:
        return session.mirror.reads_on(resource.remote_id)
    return resource.key.kind is Kind.SCHEDULE and schedule.reads_on(resource, session)


def waits(resource: Resource) -> bool:
    """Whether news about its pool, job or account can matter to an object."""
    return _is_open(resource) or (resource.key.kind is Kind.SCHEDULE and schedule.has_open_jobs(resource))


def _is_open(resource: Resource) -> bool:
    is_open = _OPEN.get(resource.key.kind)
    return is_open is None or is_open(resource)
