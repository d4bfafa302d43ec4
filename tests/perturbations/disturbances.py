"""One disturbance of a run, at one point of it: after Sieve (OSDI 2022), crashes, stale views, and notifications that go wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from azure_batch_emulator.web.handlers import HANDLERS
from azure_batch_emulator.web.messages import Handler, Reply, Request
from azure_batch_emulator.wire.errors import BatchError
from histories.witness import SOMEBODY_ELSE
from support.stage import Stage
from support.stage.apiserver import Event

OLD_WATCH_SECONDS = 60.0
"""Virtual seconds for which nothing new of the API server is heard."""
OLD_LISTS_SECONDS = 15.0
"""Virtual seconds for which lists of Azure Batch show what was there before."""

EFFECTS = ("kill-before", "kill-after", "old-watch", "old-lists")
NOTIFICATIONS = ("drop", "delay", "replay")
KINDS = EFFECTS + NOTIFICATIONS


@dataclass(frozen=True)
class Point:
    """One effect or one notification.

    Attributes:
        number: from 1 on, from the beginning of the run.
        what: the effect or the notification, to be read by people.
    """

    number: int
    what: str


@dataclass
class Points:
    """Notes the points of a run, each from some time on."""

    since: float
    effects: list[Point]
    notifications: list[Point]

    def arm(self, stage: Stage) -> None:
        """Begin to note."""
        begun = stage.now

        def effect(what: str, where: str, after: bool) -> bool:
            if not after and stage.now - begun >= self.since:
                # The stage has counted this one already.
                self.effects.append(Point(stage.effects, f"{what} {where}"))
            return False

        def notification(number: int, event: Event) -> str:
            if stage.now - begun >= self.since:
                self.notifications.append(Point(number, f"{event.type} {event.id.plural} {event.id.name}"))
            return ""

        stage.api.effects.append(effect)
        stage.azure.effects.append(effect)
        stage.watch.meddlers.append(notification)


@dataclass
class Disturbance:
    """One kind at one point; `happened` says afterwards whether the run has come to it."""

    kind: str
    number: int
    lists: OldLists
    happened: bool = False

    def arm(self, stage: Stage) -> None:
        """Have it happen."""
        if self.kind in NOTIFICATIONS:
            stage.watch.meddlers.append(self._meddle)
            return

        def effect(what: str, where: str, after: bool) -> bool:
            if self.happened or stage.effects != self.number or after != (self.kind == "kill-after"):
                return False
            self.happened = True
            return self._happen(stage)

        # Before the stage has its own say: a call that is dropped has no effect that others could see.
        stage.api.effects.append(effect)
        stage.azure.effects.append(effect)

    def _happen(self, stage: Stage) -> bool:
        if self.kind == "old-watch":
            hold = stage.watch.hold()
            stage.loop.call_later(OLD_WATCH_SECONDS, hold.release)
            return False
        if self.kind == "old-lists":
            self.lists.show_old()
            stage.loop.call_later(OLD_LISTS_SECONDS, self.lists.show_new)
            return False
        stage.operator.kill()
        return True

    def _meddle(self, number: int, event: Event) -> str:
        if number != self.number:
            return ""
        self.happened = True
        return self.kind


class OldLists:
    """Lists of Azure Batch that can be held at what they were: a list that was asked for before is answered as it was then."""

    def __init__(self) -> None:
        self._asked: dict[tuple[str, str, str], Callable[[], Reply]] = {}
        self._old: dict[tuple[str, str, str], Reply] = {}

    def show_old(self) -> None:
        """Answer from now on what would be answered now."""
        for key, ask in self._asked.items():
            try:
                self._old[key] = ask()
            except BatchError:
                continue

    def show_new(self) -> None:
        """Answer what is so."""
        self._old.clear()

    @contextmanager
    def between(self) -> Iterator[None]:
        """Stand between the emulator's web layer and its lists until the end of ``with``."""
        usual = {name: handler for name, handler in HANDLERS.items() if "_List" in name}
        HANDLERS.update({name: partial(self._answer, name, handler) for name, handler in usual.items()})
        try:
            yield
        finally:
            HANDLERS.update(usual)

    def _answer(self, operation: str, handler: Handler, request: Request) -> Reply:
        if request.request_id == SOMEBODY_ELSE:
            return handler(request)
        key = operation, request.path, request.query.raw
        if key in self._old:
            return self._old[key]
        self._asked[key] = partial(handler, request)
        return handler(request)
