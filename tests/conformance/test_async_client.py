"""The asynchronous half of the official client."""

from __future__ import annotations

import asyncio

from azure.batch import models
from azure.batch.aio import BatchClient
from azure.core.credentials import AzureNamedKeyCredential

from support.batch_bodies import MACHINE
from support.emulator_thread import EmulatorThread


async def test_a_pool_a_job_and_tasks(emulator: EmulatorThread) -> None:
    credential = AzureNamedKeyCredential(emulator.config.account, emulator.config.key)
    async with BatchClient(emulator.endpoint, credential) as client:
        await client.create_pool(
            models.BatchPoolCreateContent(
                id="pool", vm_size="standard_d2s_v3", virtual_machine_configuration=MACHINE, target_dedicated_nodes=2
            )
        )
        await client.create_job(models.BatchJobCreateContent(id="job", pool_info=models.BatchPoolInfo(pool_id="pool")))
        tasks = [models.BatchTaskCreateContent(id=f"t{n}", command_line=f"/bin/echo {n}") for n in range(5)]
        await client.create_task_collection("job", models.BatchTaskGroup(value=tasks))
        while (await client.get_job_task_counts("job")).task_counts.succeeded < 5:
            await asyncio.sleep(0.02)
        found = [task.id async for task in client.list_tasks("job", max_results=2, filter="state eq 'completed'")]
        assert found == ["t0", "t1", "t2", "t3", "t4"]
        output = b"".join([chunk async for chunk in await client.get_task_file("job", "t3", "stdout.txt")])
        assert output == b"3\n"
        assert await client.pool_exists("pool")


async def test_ids_with_a_colon(emulator: EmulatorThread) -> None:
    """The asynchronous client signs the escaped path and sends the plain one."""
    credential = AzureNamedKeyCredential(emulator.config.account, emulator.config.key)
    specification = models.BatchJobSpecification(pool_info=models.BatchPoolInfo(pool_id="pool"))
    async with BatchClient(emulator.endpoint, credential) as client:
        await client.create_job_schedule(
            models.BatchJobScheduleCreateContent(
                id="sched", schedule=models.BatchJobScheduleConfiguration(), job_specification=specification
            )
        )
        job = await client.get_job("sched:job-1")
        assert job.id == "sched:job-1"
        assert job.url.endswith("/jobs/sched:job-1")
