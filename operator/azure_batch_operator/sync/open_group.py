"""A task group that accepts new work at any time: the services of an account start work when plans request it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


class OpenGroup:
    """A task group that stays open until it is cancelled. A fault of one task ends it, as with any task group."""

    def __init__(self) -> None:
        self._group: asyncio.TaskGroup | None = None

    @property
    def is_open(self) -> bool:
        """Whether anything can be started: not before `run`."""
        return self._group is not None

    async def run(self) -> None:
        """Stay open until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            await asyncio.Event().wait()

    def start(self, work: Coroutine[Any, Any, None], name: str | None = None) -> asyncio.Task[None]:
        """Start a task.

        Raises:
            RuntimeError: before `run`.
        """
        if self._group is None:
            work.close()
            raise RuntimeError("work is started only while `run` runs")
        return self._group.create_task(work, name=name)
