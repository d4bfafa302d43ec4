"""What happens to many at the same time: an error with one of them, which is a fault of the emulator, does not stop the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar

from azure_batch_emulator.clock import Clock


class Labeled(Protocol):
    """What the log has a name for."""

    def label(self) -> str:
        """Such as `the task job/task`."""


T = TypeVar("T", bound=Labeled)


def for_each(clock: Clock, items: Iterable[T], act: Callable[[T], object]) -> None:
    """Act on each item in order, also after one that raises.

    Errors are raised soon, each by a timer of its own: the event loop logs them, and tests with a manual clock fail.
    """
    for item in items:
        try:
            act(item)
        except Exception as error:
            error.add_note(f"The error concerns {item.label()}; the others continue.")
            clock.call_later(0.0, _raise, error)


def _raise(error: Exception) -> None:
    raise error
