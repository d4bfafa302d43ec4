"""The commands that only show: `tree` and `top`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import click
from rich.console import Console, Group
from rich.live import Live

from azure_batch_kubectl import objects, output, top, trees
from azure_batch_kubectl.actions import OPEN
from azure_batch_kubectl.around import around
from azure_batch_kubectl.choices import Form, Output
from azure_batch_kubectl.cluster import Cluster
from azure_batch_kubectl.failure import FailureError
from azure_batch_kubectl.objects import Object
from azure_batch_kubectl.watching import Watched
from azure_batch_operator.api.kinds import Kind

_SECONDS = 2.0


@dataclass(frozen=True)
class Scope:
    """What `top` shows.

    Attributes:
        everywhere: objects of all namespaces.
        every: also jobs that have ended.
        form: as `-o` says.
    """

    everywhere: bool = False
    every: bool = False
    form: Output | None = None


async def show_tree(cluster: Cluster, name: str, *, every: bool, form: Output | None) -> None:
    """The tree of a job, or the objects in it."""
    job = await cluster.get(Kind.JOB, name)
    found = await around(cluster, job)
    if output.is_data(form):
        listed = cluster.list(Kind.TASK, fields=_of(name))
        own = [task async for task in listed if objects.reference(task, "jobRef") == name]
        there = [(Kind.JOB, job), (Kind.ACCOUNT, found.account), (Kind.POOL, found.pool)]
        items = [{**each, "kind": kind.value} for kind, each in there if isinstance(each, dict)]
        output.emit(form, [*items, *own], output.object_name)
        return
    rows = cluster.rows(Kind.TASK, _of(name))
    tasks = [trees.task_of(row) async for row in rows if row["Job"] == name]
    shown = len(tasks) if every else trees.SHOWN
    output.show(output.tree(trees.of_job(job, found, tasks, shown=shown)))


def _of(job: str) -> str:
    """Selects the BatchTasks of a job."""
    return f"spec.jobRef.name={job}"


async def show_top(cluster: Cluster, scope: Scope, *, watch: bool) -> None:
    """Pools and jobs; with `watch` until Ctrl-C."""
    if watch:
        if not sys.stdout.isatty():
            raise FailureError("--watch needs a terminal: leave it out, or use kubectl get bp,bj --watch")
        if output.is_data(scope.form):
            raise FailureError("--watch shows tables: leave out -o, or use kubectl get bp,bj --watch")
        await _live(cluster, scope)
        return
    # Of each page, a table keeps only what it shows.
    keep = _whole if output.is_data(scope.form) and scope.form is not Form.NAME else top.kept
    pools = [keep(pool) async for pool in cluster.list(Kind.POOL, everywhere=scope.everywhere)]
    fields = "" if scope.every else OPEN
    jobs = [keep(job) async for job in cluster.list(Kind.JOB, everywhere=scope.everywhere, fields=fields)]
    if output.is_data(scope.form):
        output.emit(scope.form, [*pools, *top.shown(jobs, every=scope.every)], output.object_name)
        return
    group = _tables(pools, jobs, scope)
    if not group.renderables:
        where = "in any namespace" if scope.everywhere else f"in namespace {cluster.namespace!r}"
        click.echo(f"No pools and no open jobs {where}.", err=True)
    for each in group.renderables:
        output.show(each)


def _whole(thing: Object) -> Object:
    return thing


async def _live(cluster: Cluster, scope: Scope) -> None:
    """The tables on the whole terminal, as objects change."""
    pools = Watched(cluster, Kind.POOL, top.kept, everywhere=scope.everywhere)
    jobs = Watched(cluster, Kind.JOB, top.kept, everywhere=scope.everywhere)
    async with asyncio.TaskGroup() as group:
        for watched in (pools, jobs):
            group.create_task(watched.run())
        await pools.listed.wait()
        await jobs.listed.wait()
        with Live(console=Console(highlight=False), screen=True, auto_refresh=False) as live:
            while True:
                live.update(_tables(pools.objects, jobs.objects, scope), refresh=True)
                await asyncio.sleep(_SECONDS)


def _tables(pools: Sequence[Object], jobs: Sequence[Object], scope: Scope) -> Group:
    now, place = datetime.now(UTC), ("NAMESPACE",) if scope.everywhere else ()

    def columns(header: Sequence[str], row: Callable[[Object, datetime], top.Row], *more: Any) -> output.Columns:
        return output.Columns(
            (*place, *header), lambda thing: top.placed(row(thing, now), thing, everywhere=scope.everywhere), *more
        )

    parts = [
        (columns(top.POOLS, top.pool_row, top.MORE_OF_POOLS, top.more_of_pool), top.shown(pools, every=scope.every)),
        (columns(top.JOBS, top.job_row, top.MORE_OF_JOBS, top.more_of_job), top.shown(jobs, every=scope.every)),
    ]
    tables = [made.table(things, scope.form) for made, things in parts if things]
    return Group(*([tables[0], "", tables[1]] if len(tables) == 2 else tables))
