"""Receives events from Kopf: one `on.event` handler per kind stores the object and queues its key.

No create, update or delete handlers, timers, daemons or indices, no progress or diff-base in annotations, no peering:
docs/architecture.md#kopf says why. Kopf runs embedded, on a registry of its own, so that several operators can live in one process.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterator
from typing import Any, cast

import kopf

from azure_batch_operator.api.base import GROUP, VERSION
from azure_batch_operator.api.kinds import KINDS
from azure_batch_operator.api.resource import Key, Resource
from azure_batch_operator.kube.access import Access

logger = logging.getLogger(__name__)


class _NoDiffBase(kopf.DiffBaseStorage):
    """Kopf keeps copies to compare objects by, for handlers that we do not have: a third of its CPU (docs/architecture.md#kopf)."""

    def build(self, *, body: kopf.Body, extra_fields: Any = None) -> kopf.BodyEssence:
        return kopf.BodyEssence()

    def fetch(self, *, body: kopf.Body) -> None:
        return None

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        return None


class _NoProgress(kopf.ProgressStorage):
    """Kopf takes its own records off a copy of each object, for handlers that we do not have."""

    def fetch(self, *, key: kopf.HandlerId, body: kopf.Body) -> None:
        return None

    def store(self, *, key: kopf.HandlerId, record: kopf.ProgressRecord, body: kopf.Body, patch: kopf.Patch) -> None:
        return None

    def purge(self, *, key: kopf.HandlerId, body: kopf.Body, patch: kopf.Patch) -> None:
        return None

    def touch(self, *, body: kopf.Body, patch: kopf.Patch, value: str | None) -> None:
        return None

    def clear(self, *, essence: kopf.BodyEssence) -> kopf.BodyEssence:
        return essence


_TRIES = (1, 1, 2, 3, 5, 8, 13, 21)
"""Seconds; Kopf's default."""


class _Patience:
    """Seconds between the tries of one request, without an end while a watched namespace is denied.

    By default Kopf gives up after a minute of 403 or 5xx, and its end is that of the operator. A watched namespace that is deleted,
    and its Role with it, would so stop all others: its watch waits until the Role is there again. Any other cause ends the process
    as by default, since only a restart shows it, and takes in a new certificate authority of the API server.
    """

    def __init__(self, waits: Callable[[], bool]) -> None:
        self._waits = waits

    def __iter__(self) -> Iterator[float]:
        yield from _TRIES
        while self._waits():
            while self._waits():
                yield 30
            # Rights that are granted again reach one API server after the other.
            yield from _TRIES


class _Quiet(logging.Filter):
    """Drops Kopf's line for each try of a list or watch in a denied namespace: `kube.access` has said it, with the remedy."""

    def __init__(self, denied: Callable[[], Collection[str]]) -> None:
        super().__init__()
        self._denied = denied

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        forbidden = "failed; will retry" in text and "APIForbiddenError" in text
        return not (forbidden and any(f"/namespaces/{name}/" in text for name in self._denied()))


KOPF_LOGGER = "kopf._cogs.clients.watching"
"""Of lists and watches."""


def operator_settings(waits: Callable[[], bool] = lambda: False) -> kopf.OperatorSettings:
    """Settings of Kopf that differ from its defaults, each for a measured reason (docs/architecture.md#kopf).

    Args:
        waits: whether a refused request may be for a namespace that is denied, and so is tried for as long as that lasts.
    """
    settings = kopf.OperatorSettings()
    # Not ours: Kopf takes off whatever finalizer bears this name where it has no handler that needs one.
    settings.persistence.finalizer = f"{GROUP}/never-used"
    settings.persistence.diffbase_storage = _NoDiffBase()
    settings.persistence.progress_storage = _NoProgress()
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.queueing.worker_limit = None
    settings.queueing.idle_timeout = 0.5
    settings.queueing.exit_timeout = 10
    settings.watching.server_timeout = 300
    settings.watching.client_timeout = 310
    settings.watching.connect_timeout = 30
    settings.watching.chunk_size = 500
    settings.networking.request_timeout = 60
    settings.networking.error_backoffs = _Patience(waits)
    settings.process.ultimate_exiting_timeout = None
    return settings


def observer(
    created: Callable[[Resource], None],
    seen: Callable[[Resource], None],
    gone: Callable[[Resource], None],
    knows: Callable[[Key, int], bool] = lambda *_: False,
) -> Callable[..., Awaitable[None]]:
    """The handler of all events; what it cannot read is told in the log, and the watch continues.

    Args:
        knows: whether this version of an object, or a later one, is known: most events are echoes of the operator's own writes,
            whose responses have shown the same.
    """

    async def observe(event: kopf.RawEvent, **_: Any) -> None:
        try:
            type_ = event["type"]
            if type_ != "DELETED" and knows(*Resource.identify(event["object"])):
                return
            resource = Resource.parse(event["object"])
        except (LookupError, ValueError, TypeError, AttributeError):
            logger.exception("An object of the API server could not be read")
            return
        if type_ == "DELETED":
            gone(resource)
        elif type_ == "ADDED":
            # What a list shows has no type, and is no news of a creation.
            created(resource)
        else:
            seen(resource)

    return observe


def register(
    registry: kopf.OperatorRegistry,
    created: Callable[[Resource], None],
    seen: Callable[[Resource], None],
    gone: Callable[[Resource], None],
    stopping: Callable[[], None],
    knows: Callable[[Key, int], bool],
) -> None:
    """Register the handlers.

    Args:
        created: is told each object that was created while it was watched for.
        seen: is told each object that was listed or changed.
        gone: is told each object that was deleted.
        stopping: is called when Kopf begins to stop, also after a signal.
        knows: whether this version of an object, or a later one, is known.
    """

    observe = observer(created, seen, gone, knows)
    for info in KINDS.values():
        kopf.on.event(GROUP, VERSION, info.plural, registry=registry, id=f"watch-{info.plural}")(observe)

    @kopf.on.login(registry=registry)
    def login(**kwargs: Any) -> kopf.ConnectionInfo | None:
        return kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)

    @kopf.on.cleanup(registry=registry)
    async def cleanup(**_: Any) -> None:
        stopping()


async def run(registry: kopf.OperatorRegistry, access: Access, stop: asyncio.Event) -> None:
    """Watch until `stop` is set or a signal comes.

    Raises:
        Exception: whatever ends Kopf; the process must end with it.
    """

    quiet, kopf_logger = _Quiet(lambda: access.denied), logging.getLogger(KOPF_LOGGER)
    kopf_logger.addFilter(quiet)
    try:
        await kopf.operator(
            registry=registry,
            settings=operator_settings(lambda: access.is_waited_for),
            standalone=True,
            # For peering, which is not used; by default Kopf asks for the user's name, and one without an entry in passwd has none.
            identity=cast("Any", "azure-batch-operator"),
            clusterwide=not access.only,
            namespaces=access.only,
            stop_flag=stop,
        )
    finally:
        kopf_logger.removeFilter(quiet)
