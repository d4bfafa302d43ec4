"""Conditions of a status as typed values, for decisions; a status that is written repeats them as they are."""

from __future__ import annotations

from azure_batch_operator.api.resource import Resource
from azure_batch_operator.batch.wire import Wire, build


class Condition(Wire, frozen=True, gc=False):
    """A condition of a status."""

    type: str = ""
    status: str = ""
    reason: str = ""
    message: str = ""
    observed_generation: int | None = None

    @property
    def is_true(self) -> bool:
        """Whether it holds."""
        return self.status == "True"


NO_CONDITION = Condition()


def condition_of(resource: Resource, type: str) -> Condition:
    """A condition of an object; an empty one, which does not hold, if its status lacks it."""
    found = resource.condition(type)
    return NO_CONDITION if found is None else build(Condition, found)


def conditions_of(resource: Resource) -> tuple[Condition, ...]:
    """All conditions of an object."""
    return tuple(build(Condition, found) for found in resource.status.get("conditions") or ())
