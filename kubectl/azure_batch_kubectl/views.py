"""The commands that only show: `tree` and `top`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

import click
from kubernetes.aio.client.exceptions import ApiException
from rich.console import Console, Group
from rich.live import Live

from azure_batch_kubectl import objects, output, top, trees
from azure_batch_kubectl.actions import ended
from azure_batch_kubectl.around import around
from azure_batch_kubectl.choices import Form
from azure_batch_kubectl.cluster import Cluster
from azure_batch_kubectl.failure import FailureError
from azure_batch_kubectl.objects import Object
from azure_batch_kubectl.watching import Watched
from azure_batch_operator.api.kinds import Kind

_SECONDS = 2.0


async def show_tree(cluster: Cluster, name: str, *, every: bool) -> None:
    """The tree of a job."""
    job = await cluster.get(Kind.JOB, name)
    tasks = await _tasks(cluster, name)
    shown = len(tasks) if every else trees.SHOWN
    output.show(output.tree(trees.of_job(job, await around(cluster, job), tasks, shown=shown)))


async def _tasks(cluster: Cluster, job: str) -> list[Object]:
    """The BatchTasks of a job."""
    try:
        return [each async for each in cluster.list(Kind.TASK, fields=f"spec.jobRef.name={job}")]
    except ApiException as error:
        if error.status != 400:
            raise
    # Kubernetes 1.30 selects by no fields of custom resources.
    listed = cluster.list(Kind.TASK)
    return [each async for each in listed if objects.reference(each, "jobRef") == job]


async def show_top(cluster: Cluster, *, everywhere: bool, every: bool, watch: bool, form: Form | None) -> None:
    """Pools and jobs; with `watch` until Ctrl-C."""
    if watch and not sys.stdout.isatty():
        raise FailureError("--watch needs a terminal: leave it out, or use kubectl get bp,bj --watch")
    if form is not None:
        listed = [each for kind in (Kind.POOL, Kind.JOB) async for each in cluster.list(kind, everywhere=everywhere)]
        shown = [each for each in listed if every or each["kind"] != Kind.JOB or not ended(each)]
        output.emit(form, shown, output.object_name)
        return
    if watch:
        await _live(cluster, everywhere=everywhere, every=every)
        return
    pools, jobs = [[each async for each in cluster.list(kind, everywhere=everywhere)] for kind in (Kind.POOL, Kind.JOB)]
    group = _tables(pools, jobs, everywhere=everywhere, every=every)
    if not group.renderables:
        where = "in any namespace" if everywhere else f"in namespace {cluster.namespace!r}"
        click.echo(f"No pools and no open jobs {where}.", err=True)
    for each in group.renderables:
        output.show(each)


async def _live(cluster: Cluster, *, everywhere: bool, every: bool) -> None:
    """The tables on the whole terminal, as objects change."""
    pools = Watched(cluster, Kind.POOL, top.kept, everywhere=everywhere)
    jobs = Watched(cluster, Kind.JOB, top.kept, everywhere=everywhere)
    async with asyncio.TaskGroup() as group:
        for watched in (pools, jobs):
            group.create_task(watched.run())
        await pools.listed.wait()
        await jobs.listed.wait()
        with Live(console=Console(highlight=False), screen=True, auto_refresh=False) as live:
            while True:
                live.update(_tables(pools.objects, jobs.objects, everywhere=everywhere, every=every), refresh=True)
                await asyncio.sleep(_SECONDS)


def _tables(pools: Sequence[Object], jobs: Sequence[Object], *, everywhere: bool, every: bool) -> Group:
    now, place = datetime.now(UTC), ("NAMESPACE",) if everywhere else ()
    of_pools = top.rows_of_pools(pools, now, everywhere=everywhere)
    of_jobs = top.rows_of_jobs(jobs, now, everywhere=everywhere, every=every)
    parts = [((*place, *top.POOLS), of_pools), ((*place, *top.JOBS), of_jobs)]
    shown = [output.table(header, rows) for header, rows in parts if rows]
    return Group(*([shown[0], "", shown[1]] if len(shown) == 2 else shown))
