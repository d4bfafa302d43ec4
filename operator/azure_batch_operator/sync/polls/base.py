"""What all polls share: where they look, where they put it, and what they report."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from azure_batch_operator.api.resource import Key
from azure_batch_operator.batch import BatchClient, BatchError, Priority
from azure_batch_operator.sync.mirror import Interest, Mirror

_DEADLINE = 20.0
_TAIL_LINES = 20
TAIL_BYTES = 2000


@dataclass
class News:
    """What one poll has found."""

    changed: set[Key] = field(default_factory=set)
    moved: set[Key] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.changed or self.moved)


class Poll:
    """One part of what a poller asks for."""

    def __init__(self, client: BatchClient, mirror: Mirror, interest: Interest) -> None:
        self._client, self._mirror, self._interest = client, mirror, interest

    async def _stderr(self, job_id: str, task_id: str) -> str:
        """Last lines of stderr.txt; empty if there are none or the node is gone."""
        try:
            data = await self._client.task_files.tail(job_id, task_id, "stderr.txt", limit=TAIL_BYTES, **options())
        except BatchError as error:
            if error.status in {404, 409}:
                return ""
            raise
        return tail_of(data)


def tail_of(data: bytes) -> str:
    """The last lines of a file, as text that a status can hold."""
    text = data.decode(errors="replace").replace("\x00", "")
    return "\n".join(text.rstrip().splitlines()[-_TAIL_LINES:])


def options() -> dict[str, Any]:
    """Options of every call of a poll."""
    return {"priority": Priority.REFRESH, "deadline": _DEADLINE}


def clock() -> float:
    """The loop's time, by which the mirror tells old news from new."""
    return asyncio.get_running_loop().time()
