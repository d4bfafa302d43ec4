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

    Only resources that an object needs are stored completely, so the table does not grow with other resources in the account.
    Absence needs evidence: an ID is NOT_FOUND if a complete list does not contain it, or if a request for it found nothing.
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
        """The resource, or why there is none."""
        id = id.lower()
        if self.seen_at is None or id in self._touched:
            return Absent.UNKNOWN
        if (entry := self._entries.get(id)) is not None:
            return entry
        known = self._asked is None or id in self._asked
        return Absent.NOT_FOUND if known and id not in self._briefs and id not in self._rest else Absent.UNKNOWN

    def brief(self, id: str) -> R | Absent:
        """Like `get`, but also for resources that no object needs; these have only a few members."""
        found = self.get(id)
        known = self._briefs.get(id.lower()) if found is Absent.UNKNOWN and id.lower() not in self._touched else None
        return found if known is None else known

    def last_seen(self, id: str) -> R | Absent:
        """Like `get`, but ignores writes of ours that no poll has seen yet: for statuses, not for decisions."""
        found = self.get(id)
        return self._entries.get(id.lower(), found) if found is Absent.UNKNOWN else found

    def pending(self, prefix: str) -> bool:
        """Whether a resource whose ID has this prefix waits for the next poll."""
        return any(id.startswith(prefix.lower()) for id in self._touched)

    def entries(self) -> Iterable[R]:
        """All resources of the last poll, some of them with only a few members."""
        return (*self._entries.values(), *self._briefs.values())

    def latest(self, id: str) -> R | None:
        """The resource as last seen, even if a write of ours came later, and even if it has only a few members."""
        return self._entries.get(id.lower()) or self._briefs.get(id.lower())

    def alive(self, id: str) -> bool:
        """Whether it existed at the last poll and is not being deleted, also not by a later call of ours."""
        entry = self.latest(id)
        return entry is not None and _state(entry) != "deleting" and id.lower() not in self._leaving

    def leaves(self, id: str) -> None:
        """The service has accepted a deletion; `touch` follows."""
        self._leaving.add(id.lower())

    def touch(self, id: str, now: float) -> None:
        """We have changed it, or may have: what the last poll saw is outdated."""
        self._touched[id.lower()] = now

    @property
    def touched(self) -> bool:
        """Whether a resource waits for the next poll."""
        return bool(self._touched)

    @property
    def first(self) -> bool:
        """Whether the next full poll is the first. All objects wait for its end, also those whose resource does not exist."""
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
        """Store a full poll that began at `began`; returns the IDs (lower case) of changed resources.

        Args:
            entries: resources that are stored.
            asked: IDs (lower case) that do not exist unless they are in `entries`; None for all IDs, as after a complete list.
            briefs: a few members of other resources, by ID (lower case).
            rest: IDs (lower case) of further resources, of which nothing is stored.
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
        """Store a poll of recent changes; absence proves nothing, so only what was seen is settled.

        Args:
            entries: resources that are stored.
            asked: IDs (lower case) that were requested one by one, so those that are not in `entries` are gone.
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
        """Resources in a list that began at `began`, by hashes of their IDs (lower case), no longer wait for a poll."""
        for id in [id for id, at in self._touched.items() if at < began and hash(id) in seen]:
            del self._touched[id]

    def _settle(self, began: float) -> set[str]:
        settled = {id for id, at in self._touched.items() if at < began}
        for id in settled:
            del self._touched[id]
        # A deleted resource is gone, or shows that it is being deleted, or was created again.
        self._leaving -= settled
        return settled


def _id(entry: Mapping[str, Any] | ObservedTask) -> str:
    return str(entry["id"]) if isinstance(entry, Mapping) else entry.id


def _state(entry: Mapping[str, Any] | ObservedTask) -> object:
    return entry.get("state") if isinstance(entry, Mapping) else entry.state
