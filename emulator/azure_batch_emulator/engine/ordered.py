"""Ids in ordinal order, cheap to add to and to page through: a list that is kept sorted."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator


class OrderedIds:
    """A sorted set of ids. Adding moves a few machine words per id; starting a page is a binary search."""

    __slots__ = ("_ids",)

    def __init__(self) -> None:
        self._ids: list[str] = []

    def add(self, id: str) -> None:
        """Put in an id that is not there yet."""
        if not self._ids or id > self._ids[-1]:
            self._ids.append(id)
        else:
            insort(self._ids, id)

    def remove(self, id: str) -> None:
        """Take out an id that is there."""
        del self._ids[bisect_left(self._ids, id)]

    def after(self, id: str | None) -> Iterator[str]:
        """The ids that come after one, or all of them; the one given need not be there any more."""
        start = bisect_right(self._ids, id) if id is not None else 0
        return map(self._ids.__getitem__, range(start, len(self._ids)))

    def __len__(self) -> int:
        return len(self._ids)
