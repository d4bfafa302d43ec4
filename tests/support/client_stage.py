"""Our client at an emulator, with shorthand for the states that scenarios begin with."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any

from azure_batch_operator.batch import BatchClient, NotFoundError
from support.emulator_thread import EmulatorThread

MACHINE = {
    "imageReference": {"publisher": "canonical", "offer": "0001-com-ubuntu-server-jammy", "sku": "22_04-lts"},
    "nodeAgentSKUId": "batch.node.ubuntu 22.04",
}
POOL = {"vmSize": "Standard_D2s_v3", "virtualMachineConfiguration": MACHINE}
_numbers = itertools.count()


class Stage:
    """Our client at the emulator, with shorthand for what scenarios need."""

    def __init__(self, client: BatchClient, emulator: EmulatorThread, calls: list[str]) -> None:
        self.client = client
        self.emulator = emulator
        self.calls = calls
        self.id = f"x{next(_numbers)}"

    async def until(self, condition: Callable[[], Awaitable[Any]]) -> Any:
        """Wait for a condition; its value."""
        async with asyncio.timeout(60):
            while not (value := await condition()):
                await asyncio.sleep(0.02)
        return value

    async def gone(self, read: Callable[[], Awaitable[Any]]) -> None:
        """Wait for a 404."""

        async def missing() -> bool:
            try:
                await read()
            except NotFoundError:
                return True
            return False

        await self.until(missing)

    async def pool(self, nodes: int = 0, **properties: Any) -> str:
        """A steady pool with idle nodes."""
        await self.client.pools.create({"id": self.id, **POOL, "targetDedicatedNodes": nodes, **properties})
        await self.steady()
        if nodes:
            await self.until(lambda: self._idle(nodes))
        return self.id

    async def steady(self) -> dict[str, Any]:
        """The pool, once its allocation is steady."""

        async def read() -> dict[str, Any] | None:
            pool = await self.client.pools.get(self.id)
            return pool if pool["allocationState"] == "steady" else None

        pool: dict[str, Any] = await self.until(read)
        return pool

    async def _idle(self, nodes: int) -> bool:
        return [node["state"] async for node in self.client.nodes.list(self.id)].count("idle") == nodes

    async def node(self, **properties: Any) -> tuple[str, str]:
        """A pool and its one idle node."""
        pool = await self.pool(1, **properties)
        (node,) = await self.client.nodes.list(pool).all()
        return pool, node["id"]

    async def node_state(self, pool: str, node: str, state: str) -> None:
        """Wait for a node's state."""

        async def reached() -> bool:
            return bool((await self.client.nodes.get(pool, node))["state"] == state)

        await self.until(reached)

    async def job(self, **properties: Any) -> str:
        """A job on a pool that may not exist: its tasks wait."""
        await self.client.jobs.create({"id": self.id, "poolInfo": {"poolId": self.id}, **properties})
        return self.id

    async def job_state(self, job: str, state: str) -> None:
        """Wait for a job's state."""

        async def reached() -> bool:
            return bool((await self.client.jobs.get(job, select=("state",)))["state"] == state)

        await self.until(reached)

    async def task(self, command: str = "/bin/sh -c 'echo hello'") -> tuple[str, str]:
        """A job with one task that has completed on a node."""
        await self.pool(1)
        job = await self.job()
        await self.client.tasks.create(job, {"id": "t", "commandLine": command})

        async def done() -> bool:
            return bool((await self.client.tasks.get(job, "t"))["state"] == "completed")

        await self.until(done)
        return job, "t"

    async def schedule(self) -> str:
        """A job schedule."""
        specification = {"poolInfo": {"poolId": self.id}}
        body = {"id": self.id, "schedule": {"recurrenceInterval": "PT1H"}, "jobSpecification": specification}
        await self.client.job_schedules.create(body)
        return self.id

    async def schedule_state(self, schedule: str, state: str) -> None:
        """Wait for a schedule's state."""

        async def reached() -> bool:
            return bool((await self.client.job_schedules.get(schedule))["state"] == state)

        await self.until(reached)
