"""Visits every state that the moves of the protocol reach, and tells the shortest way to one that must not be."""

from __future__ import annotations

from collections import deque

from model.protocol import NAMES, Protocol, ViolationError, World


def search(protocol: Protocol, start: World) -> set[World]:
    """All states within reach.

    Raises:
        ViolationError: with the moves that lead to it; no sequence is shorter.
    """
    came_by: dict[World, tuple[World, str] | None] = {start: None}
    waiting = deque([start])
    while waiting:
        world = waiting.popleft()
        try:
            protocol.judge(world)
            for name, following in protocol.moves(world):
                if following not in came_by:
                    came_by[following] = (world, name)
                    waiting.append(following)
        except ViolationError as violation:
            raise ViolationError(f"{violation}: {', '.join(_way(came_by, world))}") from violation
    return set(came_by)


def _way(came_by: dict[World, tuple[World, str] | None], world: World) -> list[str]:
    way: list[str] = []
    while (step := came_by[world]) is not None:
        world, name = step
        way.append(name)
    return way[::-1]


def settle(protocol: Protocol, world: World, settled: dict[World, None]) -> None:
    """Let the operator alone go on until nothing changes, and judge the end.

    Every state that is passed is added to `settled`: what follows from it is known.

    Raises:
        ViolationError: if it goes round in a circle, or ends with a wish that is not fulfilled.
    """
    passed: list[World] = []
    seen = set()
    while world not in settled:
        if world in seen:
            raise ViolationError(f"goes round in a circle at {world}")
        seen.add(world)
        passed.append(world)
        following = _calmly(protocol, world)
        if following is None:
            _judge_end(world)
            break
        world = following
    settled.update(dict.fromkeys(passed))


def _calmly(protocol: Protocol, world: World) -> World | None:
    """The next state if nothing goes wrong any more; None at the end."""
    if world.in_flight:
        return world._replace(in_flight=frozenset())
    if world.remote is not None and world.remote.deleting:
        return world._replace(remote=None)
    # A poll comes first, but not while a reconcile is in progress: then that goes on.
    moves = list(protocol.operator(world))
    for name, following in moves:
        if ":" in name and "lost" not in name and "held up" not in name and "repeated" not in name:
            return following
    for name, following in moves:
        if name == "poll":
            return following
    for name, following in moves:
        if not name.startswith("reconcile"):
            return following
    return next((following for name, following in moves if name.startswith("reconcile")), None)


def _judge_end(world: World) -> None:
    for slot, each in enumerate(world.objects):
        if each is None:
            continue
        if each.deleting:
            raise ViolationError(f"{NAMES[slot]} is never let go: {world}")
        if world.remote is None:
            raise ViolationError(f"{NAMES[slot]} has nothing: {world}")
