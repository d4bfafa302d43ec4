"""The resources of one kind, as the last polls observed them.

The rule that keeps a level-triggered operator from acting on old news: after a write of our own the entry is unknown until a poll
that began later has seen it (controller-runtime's "expectations", with the poll as the only source of truth).
"""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Mapping
from typing import Any, Generic, TypeVar

from azure_batch_operator.reconcile.observed import ObservedTask
from azure_batch_operator.reconcile.plan import Absent

R = TypeVar("R", bound=Mapping[str, Any] | ObservedTask)


class RemoteTable(Generic[R]):
    """Resources of one kind by id; ids are not case-sensitive.

    Only what somebody wants to know is kept whole, so the table does not grow with what others have in the account. Absence is
    claimed only with evidence: an id is GONE if a complete list lacks it, or if it was asked for and not found.
    """

    def __init__(self) -> None:
        self._entries: dict[str, R] = {}
        self._asked: set[str] | None = None
        self._briefs: Mapping[str, R] = {}
        self._rest: Container[str] = frozenset()
        self._touched: dict[str, float] = {}
        self._leaving: set[str] = set()
        self.seen_at: float | None = None
        """When the last full poll began; None before the first."""

    def get(self, id: str) -> R | Absent:
        """The resource, or in which way there is none."""
        id = id.lower()
        if self.seen_at is None or id in self._touched:
            return Absent.UNKNOWN
        if (entry := self._entries.get(id)) is not None:
            return entry
        known = self._asked is None or id in self._asked
        return Absent.NOT_FOUND if known and id not in self._briefs and id not in self._rest else Absent.UNKNOWN

    def brief(self, id: str) -> R | Absent:
        """Like `get`, but also of what nobody has asked for: then with a few members only."""
        found = self.get(id)
        known = self._briefs.get(id.lower()) if found is Absent.UNKNOWN and id.lower() not in self._touched else None
        return found if known is None else known

    def last_seen(self, id: str) -> R | Absent:
        """Like `get`, but a write of ours that no poll has seen yet hides nothing: for what is shown, not for what is decided."""
        found = self.get(id)
        return self._entries.get(id.lower(), found) if found is Absent.UNKNOWN else found

    def pending(self, prefix: str) -> bool:
        """Whether something whose id begins so waits for the next poll."""
        return any(id.startswith(prefix.lower()) for id in self._touched)

    def entries(self) -> Iterable[R]:
        """All that was there when last looked at, some of it with a few members only."""
        return (*self._entries.values(), *self._briefs.values())

    def latest(self, id: str) -> R | None:
        """The last that was seen, even if a write of ours has made it old, and even if it has a few members only."""
        return self._entries.get(id.lower()) or self._briefs.get(id.lower())

    def alive(self, id: str) -> bool:
        """Whether it was there when last looked at, and not being deleted, also not by a call of ours since."""
        entry = self.latest(id)
        return entry is not None and _state(entry) != "deleting" and id.lower() not in self._leaving

    def leaves(self, id: str) -> None:
        """The service has accepted a deletion; `touch` follows."""
        self._leaving.add(id.lower())

    def touch(self, id: str, now: float) -> None:
        """We have changed it, or may have: what was seen no longer counts."""
        self._touched[id.lower()] = now

    @property
    def touched(self) -> bool:
        """Whether something waits for the next poll."""
        return bool(self._touched)

    @property
    def first(self) -> bool:
        """Whether the next full poll is the first, for whose end everybody waits: also those whose resource is not there."""
        return self.seen_at is None

    def replace(
        self,
        began: float,
        entries: Iterable[R],
        *,
        asked: Collection[str] | None = None,
        briefs: Mapping[str, R] | None = None,
        rest: Container[str] = frozenset(),
    ) -> set[str]:
        """Take in a full poll that began at `began`; ids (lower case) of what looks different now.

        Args:
            entries: what is kept.
            asked: ids (lower case) whose absence is proven if they are not there; all ids if None, as after a complete list.
            briefs: a few members of what else was there, by id (lower case).
            rest: ids (lower case) that were there, too, and of which nothing is kept.
        """
        fresh = {_id(entry).lower(): entry for entry in entries}
        changed = {id for id, entry in fresh.items() if self._entries.get(id) != entry}
        changed |= self._entries.keys() - fresh.keys()
        if asked is not None:
            changed |= set(asked) - (self._asked or set())
        self._entries, self._briefs, self._rest = fresh, briefs or {}, rest
        self._asked = None if asked is None else set(asked)
        self.seen_at = began
        return changed | self._settle(began)

    def merge(self, began: float, entries: Iterable[R], *, asked: Collection[str] = ()) -> set[str]:
        """Take in a poll of what has changed lately; absence says nothing, so only what was seen is settled.

        Args:
            entries: what is kept.
            asked: ids (lower case) that were asked for one by one, so that those that are not among `entries` are gone.
        """
        fresh = {_id(entry).lower(): entry for entry in entries}
        changed = set()
        for id, entry in fresh.items():
            if self._entries.get(id) != entry:
                self._entries[id] = entry
                changed.add(id)
        for id in asked:
            if id not in fresh and self._entries.pop(id, None) is not None:
                changed.add(id)
        if asked:
            if self.seen_at is None:
                self._asked, self.seen_at = set(), began
            if self._asked is not None:
                changed |= set(asked) - self._asked
                self._asked |= set(asked)
        for id in {*fresh, *asked}:
            if self._touched.get(id, began) < began:
                del self._touched[id]
                changed.add(id)
        return changed

    def settle(self, began: float, seen: Container[int]) -> None:
        """What a list that began then has shown by these hashes of ids (lower case) no longer waits for a poll."""
        for id in [id for id, at in self._touched.items() if at < began and hash(id) in seen]:
            del self._touched[id]

    def _settle(self, began: float) -> set[str]:
        settled = {id for id, at in self._touched.items() if at < began}
        for id in settled:
            del self._touched[id]
        # What was deleted is gone or shows it now; or it was made again.
        self._leaving -= settled
        return settled


def _id(entry: Mapping[str, Any] | ObservedTask) -> str:
    return str(entry["id"]) if isinstance(entry, Mapping) else entry.id


def _state(entry: Mapping[str, Any] | ObservedTask) -> object:
    return entry.get("state") if isinstance(entry, Mapping) else entry.state
