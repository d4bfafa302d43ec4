"""Kubernetes Events for transitions: posted in the background without blocking; repetitions increase the count of an Event.

Each namespace has a lane of its own: one whose Events are throttled (EventRateLimit) or held up by a webhook delays no other one.

Kopf's own poster works inside its handlers only and never aggregates (docs/architecture.md#kopf), and our transitions are
found by the poller, so the poster is ours.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict, deque
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

from azure_batch_operator.api.base import API_VERSION
from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Resource
from azure_batch_operator.batch.redaction import safe_text
from azure_batch_operator.guard import report
from azure_batch_operator.kube.api import MERGE_PATCH, AlreadyExists, Busy, KubeApi, KubeError, NotFound
from azure_batch_operator.logs import Few

logger = logging.getLogger(__name__)

_REMEMBERED = 4096
_LONGEST_MESSAGE = 1024
_BACKLOG = 1000
"""Events that wait to be posted, of all namespaces together; beyond it the namespace with the most loses its newest one."""
_AT_ONCE = 4
"""Requests in progress. A namespace has one at a time, so that its Events stay in order."""
_REPEATED_AFTER, _LONGEST_PAUSE = 1.0, 30.0
"""Seconds before an Event that may not have been posted is posted again."""
_SIMILAR, _WITHIN = 10, 600.0
"""How many Events of one reason are posted on BatchTasks of a namespace within so many seconds: what concerns thousands of tasks,
such as the end of their job, is no news for each of them. Their statuses say it, and the log has the number of the rest."""

EventType = Literal["Normal", "Warning"]


@dataclass(slots=True)
class _Seen:
    name: str
    count: int


class _Waiting(NamedTuple):
    resource: Resource
    type: EventType
    reason: str
    message: str


def event_body(
    resource: Resource, type_: EventType, reason: str, message: str, now: datetime, number: int
) -> dict[str, Any]:
    """A new core/v1 Event about an object.

    Args:
        number: greater than that of each earlier Event. Timestamps have whole seconds, and kubectl shows Events of one second by
            name.
    """
    stamp = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": f"{resource.key.name[:200].rstrip('-.')}.{number:016x}",
            "namespace": resource.key.namespace,
        },
        "involvedObject": {
            "apiVersion": API_VERSION,
            "kind": resource.key.kind.value,
            "namespace": resource.key.namespace,
            "name": resource.key.name,
            "uid": resource.uid,
        },
        "type": type_,
        "reason": reason,
        "message": message[:_LONGEST_MESSAGE],
        "source": {"component": "azure-batch-operator"},
        "firstTimestamp": stamp,
        "lastTimestamp": stamp,
        "count": 1,
    }


class EventRecorder:
    """Posts the Events of a namespace one after the other; what comes faster than that is dropped and counted in the log."""

    def __init__(self, api: KubeApi) -> None:
        self._api = api
        self._lanes: dict[str, deque[_Waiting]] = {}
        self._waiting = 0
        self._posting = asyncio.Semaphore(_AT_ONCE)
        self._group: asyncio.TaskGroup | None = None
        self._seen: OrderedDict[tuple[str, str, str], _Seen] = OrderedDict()
        self._similar, self._failures = Few(_SIMILAR, _WITHIN), Few()
        self._number = 0

    def record(self, resource: Resource, type_: EventType, reason: str, message: str) -> None:
        """Post an Event about the object, soon."""
        if self._is_one_of_many(resource, reason, message):
            return
        namespace = resource.key.namespace
        begins = namespace not in self._lanes
        self._lanes.setdefault(namespace, deque()).append(_Waiting(resource, type_, reason, safe_text(message)))
        self._waiting += 1
        if self._waiting > _BACKLOG:
            self._drop()
        if begins and self._group is not None:
            self._group.create_task(self._serve(namespace))

    def _drop(self) -> None:
        """Drop the newest Event of the namespace that has the most, so that it costs no other one its own."""
        lane = max(self._lanes.values(), key=len)
        dropped = lane.pop()
        self._waiting -= 1
        level = self._failures.level(logging.WARNING, "dropped", "Events dropped", dropped.resource.key.namespace)
        logger.log(level, "Event dropped: %s %s: %s", dropped.resource.key, dropped.reason, dropped.message)

    def _is_one_of_many(self, resource: Resource, reason: str, message: str) -> bool:
        """Whether enough other BatchTasks have said the same lately."""
        if resource.key.kind is not Kind.TASK:
            return False
        namespace = resource.key.namespace
        what = f"Events {reason} on BatchTasks of namespace {namespace}, which are not posted"
        if self._similar.level(logging.INFO, (namespace, reason), what, resource.key) == logging.INFO:
            return False
        logger.debug("Event not posted, one of many: %s %s: %s", resource.key, reason, message)
        return True

    async def run(self) -> None:
        """Post until cancelled."""
        async with asyncio.TaskGroup() as self._group:
            for namespace in self._lanes:
                self._group.create_task(self._serve(namespace))
            await asyncio.Event().wait()

    async def _serve(self, namespace: str) -> None:
        """Post the Events of a namespace until there are none left."""
        lane = self._lanes[namespace]
        while lane:
            event = lane.popleft()
            self._waiting -= 1
            try:
                await self._post(*event)
            except KubeError as error:
                what = f"Events that were not posted: {type(error).__name__}"
                level = self._failures.level(logging.WARNING, type(error).__name__, what, namespace)
                logger.log(level, "Event on %s was not posted: %s", event.resource.key, error)
            except Exception as error:
                report("events", event.resource.key, error)
        del self._lanes[namespace]

    async def _post(self, resource: Resource, type_: EventType, reason: str, message: str) -> None:
        path = f"/api/v1/namespaces/{resource.key.namespace}/events"
        identity = (resource.uid, reason, message)
        now = datetime.now(UTC)
        seen = self._seen.get(identity)
        if seen is not None:
            seen.count += 1
            patch = {"count": seen.count, "lastTimestamp": now.strftime("%Y-%m-%dT%H:%M:%SZ")}
            try:
                async with self._posting:
                    await self._api.request("PATCH", f"{path}/{seen.name}", body=patch, content_type=MERGE_PATCH)
            except NotFound:
                # Other lanes may have pushed it out while this one waited for the answer.
                self._seen.pop(identity, None)
            else:
                return
        # Microseconds, which go on although the clock may have been set back.
        self._number = max(self._number + 1, int(now.timestamp() * 1e6))
        body = event_body(resource, type_, reason, message, now, self._number)
        self._seen[identity] = _Seen(await self._create(path, body), 1)
        while len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)

    async def _create(self, path: str, body: dict[str, Any]) -> str:
        """Post a new Event; retry if there is no response. Names are unique: an Event that exists is from the first attempt.

        Returns:
            Its name.

        Raises:
            KubeError: if it was not posted.
        """
        try:
            answer = await self._request(path, body)
        except Busy as error:
            # Only the lane of this namespace waits.
            await asyncio.sleep(min(error.retry_after or _REPEATED_AFTER, _LONGEST_PAUSE))
            try:
                answer = await self._request(path, body)
            except AlreadyExists:
                answer = body
        return str(answer["metadata"]["name"])

    async def _request(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        async with self._posting:
            return await self._api.request("POST", path, body=body)
