"""What keeps tasks small when there are a million of them: ends that are shared, and attributes that only few have."""

from __future__ import annotations

from typing import Any, Generic, NamedTuple, Protocol, Self, TypeVar, overload

_T = TypeVar("_T")


class Ended(NamedTuple):
    """How a task ended; one for all tasks that ended so."""

    exit_code: int | None
    result: str
    failure: dict[str, Any] | None


NOT_ENDED = Ended(None, "", None)
_MAX_ENDS = 1024
_ENDS: dict[tuple[int | None, int], Ended] = {}


def ended(exit_code: int | None, failure: dict[str, Any] | None) -> Ended:
    """How a task ended, the same object for the same end as far as these are few."""
    key = (exit_code, id(failure))
    found = _ENDS.get(key)
    if found is None:
        found = Ended(exit_code, "success" if failure is None else "failure", failure)
        if len(_ENDS) < _MAX_ENDS:
            # It keeps the failure, so that no other object gets its id.
            _ENDS[key] = found
    return found


def tight(ticks: int) -> int:
    """The same number in no more memory than it needs: CPython leaves the room for a carry in what it adds or multiplies."""
    return ticks - 0


class _HasSeldom(Protocol):
    seldom: dict[str, Any] | None


class Seldom(Generic[_T]):
    """An attribute that is as usual in almost all tasks: the others have it in a dictionary, and these need no room for it."""

    def __init__(self, usual: _T) -> None:
        self._usual = usual
        self._name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, task: None, owner: type) -> Self: ...

    @overload
    def __get__(self, task: _HasSeldom, owner: type) -> _T: ...

    def __get__(self, task: _HasSeldom | None, owner: type) -> _T | Self:
        if task is None:
            return self
        found: _T = self._usual if task.seldom is None else task.seldom.get(self._name, self._usual)
        return found

    def __set__(self, task: _HasSeldom, value: _T) -> None:
        if value != self._usual:
            if task.seldom is None:
                task.seldom = {}
            task.seldom[self._name] = value
        elif task.seldom is not None:
            task.seldom.pop(self._name, None)
