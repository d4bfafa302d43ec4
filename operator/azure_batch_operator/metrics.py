"""The operator's HTTP side: /healthz, /readyz and /metrics on one port, for kubelet and Prometheus.

Metrics that count what happens stand where it happens; what can be read off is read at each scrape, in `fleet`. docs/metrics.md
lists all of them.
"""

from __future__ import annotations

import asyncio
import platform
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from importlib import metadata

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, Gauge, disable_created_metrics, generate_latest

# A series more for each counter and histogram, which nobody asks for in this format.
disable_created_metrics()  # type: ignore[no-untyped-call]

LEADER = Gauge("azurebatch_leader", "1 if this replica is the leader, or acts for shard 0; 0 if not")
LEADER.set(1)
SHARD_HELD = Gauge(
    "azurebatch_shard_held", "1 if this replica acts for the shard, 0 if not; absent without shards", ["shard"]
)
LOOP_LAG = Gauge("azurebatch_event_loop_lag_seconds", "Delay of the last heartbeat of the event loop")
BUILD = Gauge("azurebatch_operator_build_info", "Always 1; the labels contain the versions", ["version", "python"])
BUILD.labels(metadata.version("azure-batch-operator"), platform.python_version()).set(1)


def show_acting(shards: Collection[int], count: int) -> None:
    """Show for which of all shards this replica acts; without shards there is one.

    A Lease is not enough: a replica that cannot list the objects of its shards acts for none of them.
    """
    LEADER.set(0 in shards)
    if count > 1:
        for shard in range(count):
            SHARD_HELD.labels(str(shard)).set(shard in shards)


@asynccontextmanager
async def serve(
    host: str, port: int, healthy: Callable[[], str | None], ready: Callable[[], str | None]
) -> AsyncIterator[int]:
    """Serve until the context ends.

    Args:
        port: 0 for a free one.
        healthy, ready: None if so, else what is wrong.

    Yields:
        The port.

    Raises:
        OSError: it cannot listen there; the settings are named.
    """

    def probe(check: Callable[[], str | None]) -> Callable[[web.Request], asyncio.Future[web.StreamResponse]]:
        async def handler(_: web.Request) -> web.StreamResponse:
            problem = check()
            return web.Response(status=503 if problem else 200, text=(problem or "ok") + "\n")

        return handler  # type: ignore[return-value]  # aiohttp takes coroutine functions

    async def metrics(_: web.Request) -> web.StreamResponse:
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    application = web.Application()
    application.router.add_get("/healthz", probe(healthy))
    application.router.add_get("/readyz", probe(ready))
    application.router.add_get("/metrics", metrics)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        try:
            await site.start()
        except (OSError, OverflowError) as error:
            raise OSError(f"http_host and http_port, {host}:{port}, cannot be used: {error}") from error
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
