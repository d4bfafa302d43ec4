"""What every rule of the checker works with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from histories.attempts import Attempt, Operated, attempts
from histories.history import History
from histories.lives import Life
from histories.record import Body, Effect, Owner, Record

CLUSTER = "quick"
"""The cluster id of the stage's operator."""


@dataclass(frozen=True)
class Violation:
    """A promise that was not kept."""

    rule: str
    text: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.text}"


@dataclass(frozen=True)
class Judged:
    """A history, what happened, and the lives of its objects by uid."""

    history: History
    record: Record
    lives: dict[str, Life]

    def effects(self, *operations: str) -> Iterator[Effect]:
        """What the operator has brought about, of some operations or of all."""
        for each in self.record.effects:
            if each.ours and each.done and (not operations or each.operation in operations):
                yield each

    @cached_property
    def attempts(self) -> list[Attempt]:
        """Targets that BatchOperations have stored as attempted."""
        return attempts(self.lives.values())

    @cached_property
    def operated(self) -> Operated:
        """Which effects were those of BatchOperations."""
        return Operated(self.effects(), self.attempts)

    def policies_at_end(self, body: Body) -> set[str]:
        """The policy of an object that is there at the end; several if it may not have been noticed yet."""
        life = self.lives.get(body["metadata"]["uid"])
        return {"manage"} if life is None else life.policies(self.record.rest[1] or float("inf"))

    def life_of(self, owner: Owner | None) -> Life | None:
        """The object that a marker names."""
        return self.lives.get(owner.uid) if owner is not None and owner.cluster == CLUSTER else None

    def created(self, uid: str, id: str) -> bool:
        """Whether something under an id was created for an object, rather than adopted."""
        for each in self.effects("Pools_CreatePool", "Jobs_CreateJob", "JobSchedules_CreateJobSchedule"):
            if str(each.body["id"]).lower() == id.lower() and f"/{uid}/" in str(each.body.get("metadata")):
                return True
        return False
