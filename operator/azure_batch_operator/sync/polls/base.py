"""The base of all polls: where they read, where they store results, and what they report."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from azure_batch_operator.api.resource import Key
from azure_batch_operator.batch import BatchClient, BatchError, Priority
from azure_batch_operator.batch.redaction import REDACTED, safe_text
from azure_batch_operator.batch.wire import Task
from azure_batch_operator.sync.interest import Interest
from azure_batch_operator.sync.mirror import Mirror

_DEADLINE = 20.0
COUNTS_LAG = 300.0
"""Seconds by which the service's counts of tasks are behind at most; it was seen to be more than three minutes."""
TAIL_LINES = 20
_CLOCK_SLACK = timedelta(seconds=10)
_FUTURE = timedelta(days=1)
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

    async def _tail(self, job_id: str, task_id: str, path: str, lines: int) -> tuple[str, str | None]:
        """Last lines of a file of a task, and why there are none if it cannot be read."""
        files = self._client.task_files
        try:
            return tail_of(await files.tail(job_id, task_id, path, limit=TAIL_BYTES, **options()), lines), None
        except BatchError as error:
            if error.status not in {404, 409}:
                raise
            if error.code:
                return "", why_no_file(error)
        try:
            # The length cannot be asked for, but the file may be there.
            return tail_of(await files.read(job_id, task_id, path, limit=TAIL_BYTES, **options()), lines), None
        except BatchError as error:
            if error.status not in {404, 409}:
                raise
            return "", why_no_file(error)


def tail_of(data: bytes, lines: int) -> str:
    """The last lines of a file, as text that a status can hold.

    Args:
        data: the last `TAIL_BYTES` of the file; if there are so many, they may begin in the middle of a secret, so the
            first word is left out.
    """
    text = data.decode(errors="replace")
    if len(data) >= TAIL_BYTES:
        text = f"{REDACTED}{_FIRST_WORD.sub('', text, count=1)}"
    return "\n".join(safe_text(text).rstrip().splitlines()[-lines:])


_FIRST_WORD = re.compile(r"\A\S*")


_NO_FILE = {
    "taskfilesunavailable": "the node that the task ran on is gone, and the task's files with it: keep them with logs.upload",
    "taskfilescleanedup": "the task's files were removed from the node after its retentionTime: keep them with logs.upload",
    "filenotfound": "there is no such file: the task has not written it, or did not get as far",
    "nodenotfound": "the node that the task ran on is gone, and the task's files with it: keep them with logs.upload",
    "tasknotfound": "the task no longer exists",
    "jobnotfound": "the job no longer exists",
}


NEVER_STARTED = "the task did not start, so it has written nothing"


def why_no_file(error: BatchError) -> str:
    """Why a file of a task cannot be read, in words (docs/azure-batch.md#files)."""
    return _NO_FILE.get((error.code or "").lower(), str(error))


class Since:
    """Filters for what has changed its state since it was seen last, by the service's clock and with some slack."""

    def __init__(self) -> None:
        self._latest = datetime(2000, 1, 1, tzinfo=UTC)

    def saw(self, task: Task) -> None:
        """A task as a list shows it."""
        if stamp := task.state_transition_time:
            # A time in the far future would have the filter find nothing any more.
            self._latest = min(max(self._latest, _time(stamp)), datetime.now(UTC) + _FUTURE)

    def advance(self, seen: Since, seconds: float) -> None:
        """Go on to what another one has seen, by a list that took so many seconds."""
        self._latest = max(self._latest, seen._latest - timedelta(seconds=seconds))

    def is_past(self, stamp: str) -> bool:
        """Whether the filter no longer finds what has changed then."""
        return bool(stamp) and _time(stamp) < self._latest - _CLOCK_SLACK

    @property
    def filter(self) -> str:
        """For `$filter`."""
        since = (self._latest - _CLOCK_SLACK).strftime("%Y-%m-%dT%H:%M:%SZ")
        return f"stateTransitionTime ge DateTime'{since}'"


def _time(stamp: str) -> datetime:
    return datetime.fromisoformat(stamp[:19]).replace(tzinfo=UTC)


def options() -> dict[str, Any]:
    """Options of every call of a poll."""
    return {"priority": Priority.REFRESH, "deadline": _DEADLINE}


def clock() -> float:
    """The loop's time, by which the mirror tells old news from new."""
    return asyncio.get_running_loop().time()
