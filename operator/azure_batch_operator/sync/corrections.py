"""Sets right what somebody else has written to a status, at longer and longer intervals as long as that goes on.

Only the operator writes statuses. A single change of somebody else is set right at once. A client that insists, or a second
installation of the operator, would otherwise answer each correction with the next change, and both would write without end.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, NamedTuple

from azure_batch_operator.api.resource import Key, Resource
from azure_batch_operator.kube.events import EventRecorder
from azure_batch_operator.kube.status import StatusWriter
from azure_batch_operator.logs import Few

logger = logging.getLogger(__name__)

_FIRST_WAIT, _LONGEST_WAIT = 2.0, 300.0
_FORGOTTEN_AFTER = 900.0
"""Seconds after a correction in which nobody has changed the status: longer than the other one may wait, if it is an operator."""
_OURS = "azure-batch-operator"
"""The field manager of all operators: the beginning of their User-Agent."""


class _Seen(NamedTuple):
    uid: str
    number: int
    until: float
    """When the last correction is forgotten."""


class Corrections:
    """Corrects statuses, each object with a backoff of its own."""

    def __init__(self, writer: StatusWriter, events: EventRecorder) -> None:
        self._writer, self._events, self._few = writer, events, Few()
        self._seen: OrderedDict[Key, _Seen] = OrderedDict()
        """The object that was corrected last is the last one."""

    def correct(self, resource: Resource, status: Mapping[str, Any]) -> None:
        """Somebody else has changed the status of an object: make it `status` again."""
        key, now = resource.key, asyncio.get_running_loop().time()
        self._forget_until(now)
        seen = self._seen.pop(key, None)
        number = seen.number + 1 if seen is not None and seen.uid == resource.uid else 0
        ceiling = min(_LONGEST_WAIT, _FIRST_WAIT * 2.0 ** min(number - 1, 30)) if number else 0.0
        wait = random.uniform(ceiling / 2, ceiling)  # noqa: S311
        self._seen[key] = _Seen(resource.uid, number, now + wait + _FORGOTTEN_AFTER)
        if number == 1:
            self._tell(resource)
        self._writer.write(resource, status, after=wait)

    def forget(self, key: Key) -> None:
        """An object is gone, or was in the hands of another replica."""
        self._seen.pop(key, None)

    def _forget_until(self, now: float) -> None:
        """Forget what has been quiet for long; a longer wait may come before a shorter one, and is forgotten a little later."""
        while self._seen and (oldest := next(iter(self._seen))) and self._seen[oldest].until <= now:
            del self._seen[oldest]

    def _tell(self, resource: Resource) -> None:
        who = f"field manager {resource.status_manager!r}" if resource.status_manager else "another client"
        remedy = "stop that client from writing it"
        if resource.status_manager == _OURS:
            who = "another process of the operator"
            remedy = "let only one installation watch this namespace, and its replicas elect a leader (docs/scaling.md)"
        text = (
            f"{who} repeatedly changes the status of this object, which only the operator may write: {remedy}. The operator "
            f"restores the status at intervals of up to {_LONGEST_WAIT / 60:.0f} minutes"
        )
        self._events.record(resource, "Warning", "StatusOverwritten", text[0].upper() + text[1:])
        key, what = resource.key, f"{resource.key.kind} objects whose status somebody else writes"
        level = self._few.level(logging.WARNING, (key.kind, resource.status_manager), what, key)
        logger.log(level, "%s: %s", key, text)
