"""Assembles and runs the operator: all services run in one TaskGroup, and the process exits if one of them fails.

Order of life: connect, list everything, start the services, then let Kopf watch. Order of death: Kopf stops watching, the queue's
workers end with what they are doing, sessions are closed, statuses are written out.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import time
from collections.abc import Collection, Coroutine
from contextlib import aclosing, suppress
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import kopf
from prometheus_client import REGISTRY

from azure_batch_operator import guard
from azure_batch_operator.api.resource import Key, Resource
from azure_batch_operator.batch import HostPolicy
from azure_batch_operator.batch.entra import Authority
from azure_batch_operator.fleet import Fleet
from azure_batch_operator.handlers import watch
from azure_batch_operator.kube.access import Access
from azure_batch_operator.kube.api import KubeApi, KubeError
from azure_batch_operator.kube.events import EventRecorder
from azure_batch_operator.kube.leases import Elector, Fence
from azure_batch_operator.kube.namespaces import Namespaces
from azure_batch_operator.kube.shard_leases import Ring, ShardKeeper
from azure_batch_operator.kube.status import StatusWriter
from azure_batch_operator.liveness import Liveness
from azure_batch_operator.metrics import LOOP_LAG, serve, show_acting
from azure_batch_operator.settings import Settings
from azure_batch_operator.sync.accounts import Pacing
from azure_batch_operator.sync.cluster import Cluster
from azure_batch_operator.sync.controller import Controller, Options
from azure_batch_operator.sync.credentials import SignIn
from azure_batch_operator.sync.handover import Progress, ShardHandover
from azure_batch_operator.sync.queue import Urgency, WorkQueue
from azure_batch_operator.sync.resync import Listener, resync
from azure_batch_operator.sync.shards import Shards
from azure_batch_operator.sync.store import Store
from azure_batch_operator.sync.wake import Trigger

logger = logging.getLogger(__name__)

_DRAIN_SECONDS = 15.0
_LEAVE_SECONDS = 20.0
_HEARTBEAT_SECONDS = 1.0
_STUCK_SECONDS = 60.0
# Far beyond what the time limits of all calls of one pass, poll or resync add up to.
_LONG_STUCK_SECONDS = 900.0
_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


class App:
    """One running operator."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stop = asyncio.Event()
        self._ready = self._standby = False
        self._beat = self._resynced = 0.0
        self._liveness = Liveness()
        self._access = Access(settings.namespaces)

    def stop(self) -> None:
        """Begin to stop."""
        self._stop.set()

    async def run(self) -> None:
        """Run until `stop` or a signal.

        Raises:
            BaseExceptionGroup: with what made a service die.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        settings = self._settings
        async with serve(settings.http_host, settings.http_port, self._unhealthy, self._unready) as port:
            logger.info("Probes and metrics at port %d", port)
            if not settings.elects:
                async with aclosing(await KubeApi.connect()) as api:
                    await self._run(api)
                return
            fence = Fence(_end_at_once)
            async with aclosing(await KubeApi.connect(fence.check)) as api:
                await self._run_as_leader(api, fence)

    async def _run_as_leader(self, api: KubeApi, fence: Fence) -> None:
        """Stand by until the Leases let this replica act, run, and give them back at the end."""
        settings = self._settings
        me = f"{os.environ.get('POD_NAME') or socket.gethostname()}_{uuid4()}"
        keeper = self._keeper(api, me, fence)
        show_acting((), settings.shards)
        self._standby = True
        logger.info("Standing by as %s", me)
        if not await self._unless_stopped(keeper.acquire()):
            await keeper.release()
            return
        if settings.shards == 1:
            show_acting({0}, 1)
        self._standby = False
        keeping = asyncio.create_task(keeper.keep(), name="lease")
        try:
            await self._run(api, keeper if isinstance(keeper, ShardKeeper) else None)
        finally:
            keeping.cancel()
            await asyncio.wait([keeping])
        await keeper.release()

    def _keeper(self, api: KubeApi, me: str, fence: Fence) -> Elector | ShardKeeper:
        """What takes and keeps the Leases: the one of the leader, or those of shards."""
        namespace, name, seconds = _own_namespace(), self._settings.lease_name, self._settings.lease_seconds
        if self._settings.shards == 1:
            return Elector(api, namespace, name, me, seconds, fence)
        return ShardKeeper(api, Ring(namespace, name, self._settings.shards, seconds), me, fence)

    async def _unless_stopped(self, work: Coroutine[Any, Any, None]) -> bool:
        """Whether the work was done before the process is to stop."""
        doing, stopping = asyncio.create_task(work), asyncio.create_task(self._stop.wait())
        await asyncio.wait([doing, stopping], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if doing.done():
            doing.result()
            return not self._stop.is_set()
        doing.cancel()
        await asyncio.wait([doing])
        return False

    async def _run(self, api: KubeApi, keeper: ShardKeeper | None = None) -> None:
        settings = self._settings
        cluster = settings.cluster_id or await _cluster_id(api)
        parts = _assemble(api, cluster, settings, self._access)
        # Everything is known before anything is decided: who uses an account, which tasks belong to a job.
        await parts.cluster.namespaces.refresh()
        number = await parts.list_all()
        logger.info("Cluster %s: %d objects", cluster, number)
        self._watch_over(parts)
        fleet = Fleet(parts.store, parts.controller.accounts, parts.queue, parts.cluster.writer, parts.shards)
        REGISTRY.register(fleet)
        async with asyncio.TaskGroup() as group:
            await self._serve(group, parts, fleet, keeper)

    async def _serve(self, group: asyncio.TaskGroup, parts: _Parts, fleet: Fleet, keeper: ShardKeeper | None) -> None:
        """Run all services until Kopf ends or the process is to stop, and end them in order."""
        settings, controller, cluster = self._settings, parts.controller, parts.cluster
        resyncing = guard.keep("resync", partial(self._resync_once, parts), expected=(KubeError,))
        workers = [self._start(group, name, work) for name, work in (
            ("accounts", controller.accounts.run()),
            ("controller", controller.run()),
            ("namespaces", cluster.namespaces.run()),
            ("resync", resyncing),
            ("task sources", controller.look_at_task_sources(settings.task_source_seconds)),
            ("shards", parts.handover.run()),
        )]  # fmt: skip
        writers = [self._start(group, name, work) for name, work in (
            ("status", cluster.writer.run()),
            ("events", cluster.events.run()),
            ("beat", self._keep_beating()),
        )]  # fmt: skip
        stopping = asyncio.create_task(self._stop.wait(), name="stop")
        await asyncio.sleep(0)  # Kopf takes tasks that begin after it for its own, and waits for them at the end
        self._ready = True
        if keeper is not None:
            keeper.hand_over_by(parts.handover)
        registry = kopf.OperatorRegistry()
        watch.register(
            registry,
            controller.triggers.on_created,
            controller.triggers.on_upsert,
            lambda resource: controller.triggers.on_delete(resource.key, resource.uid, version=resource.version),
            self._stop.set,
            parts.store.knows,
        )
        watching = self._start(group, "watch", watch.run(registry, self._access, self._stop))
        try:
            # Kopf's end is not waited for: first it would wait 5 s for the sessions of accounts, which began after it.
            await asyncio.wait([watching, stopping], return_when=asyncio.FIRST_COMPLETED)
            if keeper is not None:
                keeper.hand_over_by(None)
                await parts.handover.leave_all(_LEAVE_SECONDS)
        finally:
            self._ready = False
            REGISTRY.unregister(fleet)
            logger.info("Stopping")
            if keeper is not None:
                keeper.hand_over_by(None)
            # Workers first, so that nothing new is decided; writers last, so that what was decided is written.
            for task in (*workers, stopping):
                task.cancel()
            await asyncio.wait(workers)
            await cluster.writer.drain(_DRAIN_SECONDS)
            for task in (*writers, watching):
                task.cancel()

    async def _resync_once(self, parts: _Parts) -> None:
        returned = self._access.returned
        with suppress(TimeoutError):
            async with asyncio.timeout(self._settings.resync_seconds):
                await returned.wait()
        returned.clear()
        try:
            await parts.list_all()
        finally:
            self._resynced = asyncio.get_running_loop().time()

    async def _keep_beating(self) -> None:
        """Tell the liveness probe that the event loop turns, and the metrics how late it is."""
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            await asyncio.sleep(_HEARTBEAT_SECONDS)
            self._beat = loop.time()
            LOOP_LAG.set(max(0.0, self._beat - began - _HEARTBEAT_SECONDS))

    def _watch_over(self, parts: _Parts) -> None:
        """Have the liveness probe look at each loop of the process."""
        loop, liveness = asyncio.get_running_loop(), self._liveness
        self._resynced = self._beat = loop.time()
        liveness.watch("the event loop", lambda: loop.time() - self._beat, _STUCK_SECONDS)
        liveness.watch("reconciling", lambda: _age(parts.queue.active_since()), _LONG_STUCK_SECONDS)
        accounts = parts.controller.accounts
        liveness.watch("polling", lambda: loop.time() - accounts.earliest_due(), _LONG_STUCK_SECONDS)
        longest = self._settings.resync_seconds + _LONG_STUCK_SECONDS
        liveness.watch("the resync", lambda: loop.time() - self._resynced, longest)

    def _start(self, group: asyncio.TaskGroup, name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        async def guarded() -> None:
            try:
                await work
            except Exception:
                logger.exception("Service %r died", name)
                self._stop.set()
                raise

        return group.create_task(guarded(), name=name)

    def _unhealthy(self) -> str | None:
        return self._liveness.problem() if self._ready else None

    def _unready(self) -> str | None:
        if self._standby:
            return None
        return self._access.problem() if self._ready else "the objects of the cluster have not been listed yet"


@dataclass(frozen=True)
class _Parts:
    """What one run of the operator consists of."""

    cluster: Cluster
    store: Store
    queue: WorkQueue[Key]
    controller: Controller
    shards: Shards

    @cached_property
    def handover(self) -> ShardHandover:
        """What takes shards over and leaves them."""
        shards, progress = self.shards, Progress(self.store, self.queue, self.cluster.writer)
        return ShardHandover(shards, self.controller, progress, self.list_all, partial(_show, shards))

    async def list_all(self) -> int:
        """Compare everything with the API server; the number of objects."""
        controller = self.controller
        listener = Listener(
            seen=lambda resource: controller.triggers.on_upsert(resource, Urgency.REFRESH),
            gone=lambda resource: controller.triggers.on_delete(resource.key, resource.uid, deleted=False),
            wake=lambda key: controller.wake.wake(Trigger.RESYNC, key),
            admitted=self.cluster.writer.resume,
        )
        return await resync(self.cluster.api, self.store, self.cluster.namespaces.access, listener)


def _assemble(api: KubeApi, cluster_id: str, settings: Settings, access: Access) -> _Parts:
    store = Store()
    shards = Shards(store, settings.shards)

    def known(key: Key) -> Resource | None:
        """What the API server last showed of an object, if this replica writes its status."""
        resource = store.get(key)
        return resource if resource is not None and shards.finishes(resource) else None

    # All of them report to the controller, or ask it, which needs them itself.
    queue: WorkQueue[Key] = WorkQueue(lambda key: controller.lane(key), settings.workers)
    written = lambda *shown: controller.triggers.on_status_written(*shown)  # noqa: E731
    writer = StatusWriter(api, known, written, denied=lambda namespace: namespace in access.denied)
    namespaces = Namespaces(api, access, lambda name: controller.triggers.namespace_changed(name))
    cluster = Cluster(cluster_id, api, writer, EventRecorder(api), namespaces)
    controller: Controller = Controller(cluster, store, queue, _options(settings), shards=shards)
    return _Parts(cluster, store, queue, controller, shards)


def _options(settings: Settings) -> Options:
    return Options(
        HostPolicy(allowed=settings.allowed_hosts),
        SignIn(Authority(settings.authority, settings.authority_ca_file), settings.identity_namespaces),
        Pacing(settings.poll_seconds, settings.idle_poll_seconds),
        settings.reconcile_policy,
        settings.adopt_from_clusters,
    )


def _show(shards: Shards) -> None:
    show_acting(shards.acting, shards.count)


def _age(since: Collection[float]) -> float:
    return time.monotonic() - min(since) if since else 0.0


def _own_namespace() -> str:
    """The namespace of this pod, where its Lease is."""
    if namespace := os.environ.get("POD_NAMESPACE"):
        return namespace
    try:
        return _NAMESPACE_FILE.read_text().strip()
    except OSError:
        raise OSError("leader_election outside a pod needs POD_NAMESPACE, the namespace of the Lease") from None


def _end_at_once() -> None:
    """End without a word more to anybody: another one may be the leader already."""
    logger.critical(
        "The Lease has expired, and another replica may take over: this one exits, and is on standby after its restart"
    )
    logging.shutdown()
    os._exit(1)


async def _cluster_id(api: KubeApi) -> str:
    """Id of this cluster for the ownership marker: the uid of the namespace that every cluster has exactly once."""
    namespace = await api.request("GET", "/api/v1/namespaces/kube-system")
    return str(namespace["metadata"]["uid"])
