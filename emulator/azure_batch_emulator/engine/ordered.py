"""Items in the ordinal order of their ids, cheap to add to and to page through: a list that is kept sorted."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

_T = TypeVar("_T")


class Ordered(Generic[_T]):
    """Items by their ids, which are distinct. Adding moves a few machine words per item; starting a page is a binary search.

    A page is a part of the list: it looks up nothing per item, which would cost more than the rest of a list's work with a
    hundred thousand items that are in no cache of the processor.

    Args:
        id_of: the id by which an item is ordered; it must not change.
    """

    __slots__ = ("_id_of", "_items")

    def __init__(self, id_of: Callable[[_T], str]) -> None:
        self._id_of = id_of
        self._items: list[_T] = []

    def add(self, item: _T) -> None:
        """Put in an item whose id is not there yet."""
        if not self._items or self._id_of(item) > self._id_of(self._items[-1]):
            self._items.append(item)
        else:
            insort(self._items, item, key=self._id_of)

    def remove(self, item: _T) -> None:
        """Take out an item that is there."""
        del self._items[bisect_left(self._items, self._id_of(item), key=self._id_of)]

    def after(self, id: str | None) -> Iterator[_T]:
        """The items that come after an id, or all of them; the one of the id need not be there any more."""
        return map(self._items.__getitem__, range(self._start(id), len(self._items)))

    def first_after(self, id: str | None, count: int) -> list[_T]:
        """As `after`, no more than some of them."""
        start = self._start(id)
        return self._items[start : start + count]

    def _start(self, id: str | None) -> int:
        return bisect_right(self._items, id, key=self._id_of) if id is not None else 0

    def __len__(self) -> int:
        return len(self._items)
