"""The effects of a plan: a closed union, in the order in which `sync.executor` executes them.

A crash between any two is harmless: IDs are deterministic, and an earlier effect stores what a later one must know.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from azure_batch_operator.reconcile.operation_order import Operate
from azure_batch_operator.reconcile.plan import Absence, Call, Ended, Event, Feed, ObjectChange, Plan, Retry, StopFeed


@dataclass(frozen=True)
class Halt:
    """Stop all work in progress for the object."""


@dataclass(frozen=True)
class AddFinalizer:
    """Add the finalizer, so the object exists at least as long as its resource."""


@dataclass(frozen=True)
class Confirm:
    """Check this in Azure Batch; if it does not hold, drop the rest of the plan."""

    what: Ended | Absence
    active: bool = False
    """Whether a task must be listed as active, not be absent."""


@dataclass(frozen=True)
class StoreStatus:
    """Write this status, and wait until the API server has stored it."""

    status: Mapping[str, object]


@dataclass(frozen=True)
class Submit:
    """Pass the task of a BatchTask to the submitter."""

    body: Mapping[str, object] = field(repr=False)
    job: str


@dataclass(frozen=True)
class StartFeed:
    """Pass the own tasks of a job to the feeder."""

    feed: Feed


@dataclass(frozen=True)
class StartMarkedFeed:
    """As `StartFeed`, after a call has marked the job as changing its tasks."""

    feed: Feed


@dataclass(frozen=True)
class Settle:
    """End the backoff of refused calls and object changes that are no longer planned."""


@dataclass(frozen=True)
class ShowStatus:
    """Write the status of the object."""

    status: Mapping[str, object]


@dataclass(frozen=True)
class Requeue:
    """Reconcile the object again after some seconds, even without an event."""

    after: float


@dataclass(frozen=True)
class RemoveFinalizer:
    """Remove the finalizer, once no resource of the object is left."""

    confirm: tuple[Absence, ...]


@dataclass(frozen=True)
class CountDrift:
    """Count properties that another client had changed."""

    names: tuple[str, ...]


Effect = (
    Halt
    | AddFinalizer
    | Confirm
    | StoreStatus
    | Submit
    | StopFeed
    | StartFeed
    | Retry
    | Operate
    | Call
    | StartMarkedFeed
    | Settle
    | ObjectChange
    | ShowStatus
    | CountDrift
    | Event
    | Requeue
    | RemoveFinalizer
)
"""All effects of a plan, in the order of their execution.

Tasks are submitted, fed and retried before the calls, since they depend on none of them: a refused call does not prevent tasks
from being added or run again.
"""


def effects(plan: Plan) -> Iterator[Effect]:
    """The effects of a plan, in the order of `Effect`."""
    yield from _before_calls(plan)
    yield from plan.calls
    if plan.feed is not None and plan.feed.marked:
        yield StartMarkedFeed(plan.feed)
    if plan.calls or plan.status is not None:
        # An empty plan, such as before the next poll, has decided nothing, so it ends no backoff.
        yield Settle()
    yield from plan.objects
    if plan.status is not None:
        yield ShowStatus(plan.status)
    if plan.drift:
        yield CountDrift(plan.drift)
    yield from plan.events
    if plan.requeue_after is not None:
        yield Requeue(plan.requeue_after)
    if plan.finalizer == "remove":
        yield RemoveFinalizer(plan.confirm)


def _before_calls(plan: Plan) -> Iterator[Effect]:
    if plan.halts:
        yield Halt()
    if plan.finalizer == "add":
        yield AddFinalizer()
    if plan.ended is not None:
        yield Confirm(plan.ended)
    if plan.left_active is not None:
        yield Confirm(plan.left_active, active=True)
    if plan.finalizer != "remove":
        yield from (Confirm(absence) for absence in plan.confirm)
    if plan.first is not None:
        yield StoreStatus(plan.first)
    if plan.submit is not None:
        yield Submit(plan.submit, plan.submit_to)
    if plan.feeds_only is not None:
        yield plan.feeds_only
    if plan.feed is not None and not plan.feed.marked:
        yield StartFeed(plan.feed)
    if plan.retry is not None:
        yield plan.retry
    if plan.operate is not None:
        yield plan.operate
