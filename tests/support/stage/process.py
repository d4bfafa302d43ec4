"""The operator on the stage: the real `App` from its list of objects to its drain, between two seams.

In place of sockets it has a `StageApi` and the stage's network, in place of Kopf's watch the stage's. Everything that it starts
bears a mark in its context, so that it can be killed or frozen as a process can.
"""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import aiohttp
import kopf

from azure_batch_operator import app as app_module
from azure_batch_operator.batch import transport as transport_module
from azure_batch_operator.handlers import watch
from azure_batch_operator.kube.access import Access
from azure_batch_operator.kube.leases import Fence
from azure_batch_operator.settings import Settings
from support.stage.api import Gate, StageApi
from support.stage.clock import StageLoop
from support.stage.watching import Watching
from support.stage.wire import MemoryConnector, Network

_mark: contextvars.ContextVar[Process | None] = contextvars.ContextVar("process", default=None)
_numbers = itertools.count(1)


class Process:
    """One incarnation of the operator."""

    def __init__(self, settings: Settings, gate: Gate, network: Network, loop: StageLoop) -> None:
        self.number = next(_numbers)
        self.alive = True
        self.error: BaseException | None = None
        self._settings, self._gate, self._network, self._loop = settings, gate, network, loop
        self._tasks: set[asyncio.Task[Any]] = set()
        self._app: app_module.App | None = None
        self._main: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to run."""
        context = contextvars.copy_context()
        context.run(_mark.set, self)
        self._main = self._loop.create_task(self._run(), context=context, name=f"operator {self.number}")

    async def _run(self) -> None:
        self._app = app_module.App(self._settings)
        try:
            if self._settings.elects:
                fence = Fence(self.kill)
                await self._app._run_as_leader(StageApi(self._gate, lambda: self.alive, fence.check), fence)
            else:
                await self._app._run(StageApi(self._gate, lambda: self.alive))
        except BaseException as error:
            if self.alive:
                self.error = error
        finally:
            self.alive = False

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._main is not None and not self._main.done()

    async def stop(self) -> None:
        """SIGTERM: it drains and ends."""
        if self._app is not None and self._main is not None:
            self._app.stop()
            await asyncio.wait([self._main])

    def kill(self) -> None:
        """SIGKILL: nothing that it does from now on reaches anybody. `reaped` waits until its remains are gone."""
        self.alive = False
        self._network.cut(self.owns)
        for task in self._tasks:
            task.cancel()

    async def reaped(self) -> None:
        """Wait until nothing of a killed process is left."""
        for _ in range(100):
            left = [task for task in self._tasks if not task.done()]
            if not left:
                return
            for task in left:
                task.cancel()
            await self._loop.rest(later=False)
        raise AssertionError(f"these tasks of the operator do not end: {left}")

    def owns(self, context: contextvars.Context) -> bool:
        """Whether something that runs in a context is of this process."""
        return context.get(_mark) is self

    def adopt(self, task: asyncio.Task[Any]) -> None:
        """A task of this process has begun."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @property
    def tasks(self) -> int:
        """Tasks that are in progress."""
        return len(self._tasks)


def _of_process(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
    task: asyncio.Task[Any] = asyncio.Task(coroutine, loop=loop, **options)
    context: contextvars.Context | None = options.get("context")
    process = context.get(_mark) if context is not None else _mark.get()
    if process is not None:
        process.adopt(task)
        if not process.alive:
            task.cancel()
    return task


def current() -> Process | None:
    """The process on whose behalf the caller runs."""
    return _mark.get()


@contextmanager
def seams(loop: StageLoop, network: Network, watching: Watching) -> Iterator[None]:
    """Put the stage in place of sockets and of Kopf until the end of ``with``."""

    def connector(tls: object) -> aiohttp.BaseConnector:
        del tls
        process = _mark.get()
        return MemoryConnector(network, lambda: process is None or process.alive, limit=0)

    async def run(registry: kopf.OperatorRegistry, access: Access, stop: asyncio.Event) -> None:
        # All handlers are one and the same function.
        observe: Callable[..., Any] = next(iter(registry._watching.get_all_handlers())).fn
        await watching.serve(observe, access, stop)

    def end_at_once() -> None:
        process = _mark.get()
        if process is not None:
            process.kill()
        raise asyncio.CancelledError

    replaced = [
        (transport_module, "new_connector", connector),
        (app_module, "watch", SimpleNamespace(register=watch.register, run=run)),
        (app_module, "REGISTRY", SimpleNamespace(register=lambda _: None, unregister=lambda _: None)),
        (app_module, "_end_at_once", end_at_once),
        # Virtual time is never late, so there is no lag to be measured; each beat would cost two rounds of the loop.
        (app_module, "_HEARTBEAT_SECONDS", 30.0),
    ]
    usual = [(place, name, getattr(place, name)) for place, name, _ in replaced]
    loop.set_task_factory(_of_process)
    for place, name, value in replaced:
        setattr(place, name, value)
    try:
        yield
    finally:
        for place, name, value in usual:
            setattr(place, name, value)
        loop.set_task_factory(None)


class Tracebacks(logging.Handler):
    """Collects what the operator logs with a traceback: a fault of the operator, whatever the rest of a test says."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.texts: list[str] = []
        self.setFormatter(logging.Formatter("%(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            process = _mark.get()
            if process is None or process.alive:
                self.texts.append(self.format(record))
