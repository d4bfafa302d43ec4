"""The effects of a plan: a closed union, in the order in which `sync.executor` executes them.

A crash between any two is harmless: ids are deterministic, and whatever an effect needs to know later is stored by one before it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from azure_batch_operator.reconcile.operation_order import Operate
from azure_batch_operator.reconcile.plan import Absence, Call, Ended, Event, Feed, ObjectChange, Plan


@dataclass(frozen=True)
class Halt:
    """Nothing continues that is under way for the object."""


@dataclass(frozen=True)
class AddFinalizer:
    """From now on the object is not gone before what it stands for is."""


@dataclass(frozen=True)
class Confirm:
    """What must be so before anything else is true; if it is not, the rest of the plan is dropped."""

    what: Ended | Absence
    active: bool = False
    """Whether a task must be listed as active, and not be absent."""


@dataclass(frozen=True)
class StoreStatus:
    """A status that the API server must have taken before anything follows."""

    status: Mapping[str, Any]


@dataclass(frozen=True)
class Submit:
    """A BatchTask's task, for the submitter."""

    body: Mapping[str, Any] = field(repr=False)
    job: str


@dataclass(frozen=True)
class StopFeed:
    """Of a job's own tasks only those of these sources continue to be brought in."""

    fingerprint: str
    created: str | None


@dataclass(frozen=True)
class StartFeed:
    """A job's own tasks, for the feeder."""

    feed: Feed
    spec: Mapping[str, Any] | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Retry:
    """The failed tasks of a job, for the retrier."""

    value: str
    until: str | None
    created: str | None


@dataclass(frozen=True)
class StartMarkedFeed:
    """As `StartFeed`, once a call has said at the job that its tasks change."""

    feed: Feed
    spec: Mapping[str, Any] | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Settle:
    """Waits end of calls and object changes that were refused and that nobody wants any more."""


@dataclass(frozen=True)
class ShowStatus:
    """The status of the object."""

    status: Mapping[str, Any]


@dataclass(frozen=True)
class Requeue:
    """The object is checked again, without any event."""

    after: float


@dataclass(frozen=True)
class RemoveFinalizer:
    """The object may go, once nothing of it is left."""

    confirm: tuple[Absence, ...]


@dataclass(frozen=True)
class CountDrift:
    """Properties that somebody else had changed are counted."""

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
"""All that a plan can do, in the order in which it is done.

Tasks are submitted, fed and retried before the calls, since they need none of them: a refused call does not keep tasks from being
added or run again.
"""


def effects(plan: Plan) -> Iterator[Effect]:
    """What a plan comes to, in the order of `Effect`."""
    yield from _before_calls(plan)
    yield from plan.calls
    if plan.feed is not None and plan.feed.marked:
        yield StartMarkedFeed(plan.feed, plan.tasks_of)
    if plan.calls or plan.status is not None:
        # An empty plan has decided nothing, such as before the next poll, so it ends no wait.
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
    created = plan.feed.created if plan.feed else plan.incarnation
    if plan.feeds_only is not None:
        yield StopFeed(plan.feeds_only, created)
    if plan.feed is not None and not plan.feed.marked:
        yield StartFeed(plan.feed, plan.tasks_of)
    if plan.retry is not None:
        yield Retry(plan.retry, plan.retry_until, created)
    if plan.operate is not None:
        yield plan.operate
