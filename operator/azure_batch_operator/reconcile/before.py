"""What the status of an object says already, as typed values: decisions compare with it, and a new status repeats it as it is.

This is what all kinds have in common; `reconcile/<kind>/spec.py` has what a kind reads beyond that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from azure_batch_operator.api.resource import Resource
from azure_batch_operator.batch.wire import Wire, convert


class Condition(Wire, frozen=True, gc=False):
    """A condition of a status."""

    type: str = ""
    status: str = ""
    reason: str = ""
    message: str = ""
    last_transition_time: str = ""
    observed_generation: int | None = None

    @property
    def is_true(self) -> bool:
        """Whether it holds."""
        return self.status == "True"


NO_CONDITION = Condition()


class Handled(Wire, frozen=True, gc=False):
    """`status.handled`: which values of one-shot annotations were acted upon."""

    reconcile_now: str | None = None
    retry_failed: str | None = None
    retrying: str | None = None
    recreate: str | None = None
    terminate: str | None = None


NOTHING_HANDLED = Handled()


class Before(Wire, frozen=True, gc=False):
    """The status of an object of any kind; a member that the kind lacks is None."""

    observed_generation: int = -1
    phase: str | None = None
    id: str | None = None
    url: str | None = None
    account: str | None = None
    state: str | None = None
    conditions: tuple[Condition, ...] = ()
    handled: Handled = NOTHING_HANDLED

    @property
    def is_blank(self) -> bool:
        """Whether the object was never reconciled, so that it shows what the API server gave it."""
        return self.observed_generation == -1

    @property
    def ever_created(self) -> bool:
        """Whether a call may have created something for the object: its account is in the status before the first one."""
        return bool(self.account or self.state or self.url)

    @property
    def reason(self) -> str | None:
        """Reason of `Ready`; None if that is not there."""
        found = self.condition("Ready")
        return None if found is None else found.reason

    def condition(self, type: str) -> Condition | None:
        """A condition, if it is there."""
        return next((each for each in self.conditions if each.type == type), None)

    def holds(self, type: str) -> bool:
        """Whether a condition is there and holds."""
        found = self.condition(type)
        return found is not None and found.is_true


class _Last:
    """The status that was read last: all steps of a pass ask for the same one.

    Kept here and not at the object, since there may be a million of them.
    """

    __slots__ = ("before", "status")

    def __init__(self, status: Mapping[str, object], before: Before) -> None:
        self.status: Final = status
        self.before: Final = before


_last = _Last({}, Before())


def status_before(resource: Resource) -> Before:
    """What the status of an object says; decoded once per pass."""
    global _last
    if _last.status is not resource.status:
        _last = _Last(resource.status, convert(Before, resource.status))
    return _last.before


def said_by(status: Mapping[str, object]) -> Before:
    """What a status says."""
    return _last.before if _last.status is status else convert(Before, status)


def condition_of(resource: Resource, type: str) -> Condition:
    """A condition of an object; an empty one, which does not hold, if its status lacks it."""
    return status_before(resource).condition(type) or NO_CONDITION


def has_condition(resource: Resource, type: str) -> bool:
    """Whether an object has a condition, whether it holds or not."""
    return status_before(resource).condition(type) is not None
