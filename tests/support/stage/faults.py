"""What goes wrong on order between the operator and the API server; faults of Azure Batch are the emulator's own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import orjson

from support.stage.apiserver import Route


@dataclass
class Fault:
    """What happens to chosen requests of the operator.

    Attributes:
        status: is answered, and nothing done; None for none.
        message: in place of a usual text.
        retry_after: seconds, as a header.
        lost: the connection breaks `before` the request has its effect, or `after` it.
        causes: fields that a 422 is about; without any it is a failed `test` of a JSON patch.
        delay: seconds before anything happens.
        hang: nothing ever happens; the client has its own patience (60 s, as `kube.api` has).
        count: how many requests it hits; None for all until `end`.
        skip: how many it lets pass first.
        picks: which requests, by verb and what is asked for.
    """

    picks: Callable[[str, Route], bool]
    status: int | None = None
    message: str = ""
    retry_after: float | None = None
    lost: str = ""
    causes: tuple[str, ...] = ()
    delay: float = 0.0
    hang: bool = False
    count: int | None = None
    skip: int = 0
    hits: int = 0
    over: bool = False

    def takes(self, verb: str, route: Route) -> bool:
        """Whether it hits a request; keeps the books."""
        if self.over or (self.count is not None and self.hits >= self.count) or not self.picks(verb, route):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        self.hits += 1
        return True

    def end(self) -> None:
        """Let everything pass again."""
        self.over = True


@dataclass
class Hold:
    """Keeps chosen things on their way until `release`; what comes afterwards passes.

    Attributes:
        count: how many it keeps; all if None.
        cut: whether the connection of a call's caller breaks at once.
        arrived: how many are, or were, kept.
    """

    picks: Callable[[str, str], bool]
    count: int | None = None
    cut: bool = False
    arrived: int = 0
    _released: bool = False
    _kept: list[Callable[[], None]] = field(default_factory=list)

    def takes(self, first: str, second: str) -> bool:
        """Whether something is to be kept."""
        full = self.count is not None and self.arrived >= self.count
        return not self._released and not full and self.picks(first, second)

    def keep(self, let_go: Callable[[], None]) -> None:
        """Keep one that is taken."""
        self.arrived += 1
        self._kept.append(let_go)

    async def wait(self) -> None:
        """Wait, as one that is kept."""
        go_on = asyncio.Event()
        self.keep(go_on.set)
        await go_on.wait()

    def release(self) -> None:
        """Release all, in their order."""
        self._released = True
        kept, self._kept = self._kept, []
        for let_go in kept:
            let_go()


@dataclass
class Omission:
    """Lists lack one thing that is there, until `end`.

    Attributes:
        collection, id: where it is listed, and what it is called there.
        count: how many lists lack it; all if None.
        hits: how many have lacked it so far.
    """

    collection: str
    id: str
    count: int | None = None
    hits: int = 0
    over: bool = False

    def taken_out(self, path: str, answer: bytes) -> bytes:
        """A response to a GET of `path` without the thing."""
        if self.over or path != self.collection or (self.count is not None and self.hits >= self.count):
            return answer
        page: dict[str, Any] = orjson.loads(answer)
        listed = page.get("value", [])
        page["value"] = [each for each in listed if each.get("id") != self.id]
        if len(page["value"]) == len(listed):
            return answer
        self.hits += 1
        return orjson.dumps(page)

    def end(self) -> None:
        """Lists show it again."""
        self.over = True


@dataclass
class Change:
    """Responses to GETs of one path are changed on their way, until `end`.

    Attributes:
        path: without the query.
        change: makes the new body from the one of the service.
        when: whether a response is changed, so that a test can wait for a state of the service.
        count: how many it changes; all if None.
        hits: how many it has changed so far.
    """

    path: str
    change: Callable[[bytes], bytes]
    when: Callable[[], bool] = lambda: True
    count: int | None = None
    hits: int = 0
    over: bool = False

    def taken_out(self, path: str, answer: bytes) -> bytes:
        """A response to a GET of `path` as the operator gets it."""
        if self.over or path != self.path or (self.count is not None and self.hits >= self.count) or not self.when():
            return answer
        changed = self.change(answer)
        self.hits += changed != answer
        return changed

    def end(self) -> None:
        """Responses arrive as they are again."""
        self.over = True
