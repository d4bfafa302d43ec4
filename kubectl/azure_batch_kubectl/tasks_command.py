"""`tasks ls`: the tasks of a job as they are in Azure Batch, page by page."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import click

from azure_batch_kubectl import objects, output, remote
from azure_batch_kubectl.choices import Form, Output
from azure_batch_kubectl.cluster import Cluster
from azure_batch_kubectl.failure import FailureError
from azure_batch_kubectl.remote import Place
from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.batch import BatchClient, JsonObject
from azure_batch_operator.batch.errors import NotFoundError, is_gone

HEADER = ("TASK", "STATE", "RESULT", "EXIT", "RETRIES", "STARTED", "NODE")
_MORE = ("POOL", "ENDED", "FAILURE", "NODE-ID")
_NODE_WIDTH = 40
_SELECT = ("id", "state", "executionInfo", "nodeInfo")
_DETAILS = (
    *_SELECT,
    "displayName",
    "url",
    "creationTime",
    "stateTransitionTime",
    "previousState",
    "commandLine",
    "constraints",
    "requiredSlots",
    "dependsOn",
    "exitConditions",
    "userIdentity",
    "stats",
)
"""What `-o json` and `-o yaml` show: not the environment nor the files, whose values and URLs may hold secrets."""


def row(task: Mapping[str, Any], now: datetime) -> tuple[object, ...]:
    """A row of the list."""
    run = task.get("executionInfo") or {}
    started = objects.age(run["startTime"], now) if run.get("startTime") else ""
    return (
        task["id"],
        task.get("state", ""),
        run.get("result", ""),
        run.get("exitCode", ""),
        run.get("retryCount", ""),
        started,
        _short((task.get("nodeInfo") or {}).get("nodeId", "")),
    )


def _short(node: str) -> str:
    """An ID of a node, of up to 73 characters, whose end tells it from those of the same pool; -o wide shows the whole."""
    return node if len(node) <= _NODE_WIDTH else f"…{node[1 - _NODE_WIDTH :]}"


def more(task: Mapping[str, Any], now: datetime) -> tuple[object, ...]:
    """What -o wide adds to a row."""
    run = task.get("executionInfo") or {}
    return (
        (task.get("nodeInfo") or {}).get("poolId", ""),
        objects.age(run["endTime"], now) if run.get("endTime") else "",
        (run.get("failureInfo") or {}).get("code", ""),
        (task.get("nodeInfo") or {}).get("nodeId", ""),
    )


def chosen(states: tuple[str, ...], *, failed: bool) -> str | None:
    """The OData filter for tasks in one of these states, or that failed; None for all."""
    parts = [" or ".join(f"state eq '{state}'" for state in states)] if states else []
    parts += ["executionInfo/result eq 'failure'"] if failed else []
    return " and ".join(f"({part})" for part in parts) or None


def _is_chosen(task: Mapping[str, Any], states: tuple[str, ...], *, failed: bool) -> bool:
    """The same as `chosen`, for a task that is named."""
    result = (task.get("executionInfo") or {}).get("result")
    return (not states or task.get("state") in states) and (not failed or result == "failure")


async def show(cluster: Cluster, target: str, states: tuple[str, ...], *, failed: bool, form: Output | None) -> None:
    """The command `ls`.

    Raises:
        FailureError: the target is not a job or a task.
    """
    where = remote.place(target)
    if where.kind is not Kind.JOB or where.path:
        raise FailureError(f"{target!r} is not a job or a task: give JOB or JOB/TASK, such as render/1")
    async with remote.opened(cluster, where) as (client, job):
        if not where.member and form is Form.NAME:
            await _names(client, job, chosen(states, failed=failed))
            return
        if not where.member and not output.is_data(form):
            await _table(client, job, where, chosen(states, failed=failed), form)
            return
        if where.member:
            task = await _task(client, job, where)
            found = [task] if _is_chosen(task, states, failed=failed) else []
        else:
            pages = _plain(client.tasks.list_pages(job, filter=chosen(states, failed=failed), select=_DETAILS))
            if form is Form.JSON or form is Form.YAML:
                await output.stream(form, pages)
                return
            # A template selects from the whole list.
            found = [task async for page in pages for task in page]
    output.listing(form, found, _columns(), lambda task: str(task["id"]), _none(where))


async def _plain(pages: AsyncIterable[Sequence[JsonObject]]) -> AsyncIterator[list[dict[str, Any]]]:
    async for page in pages:
        yield [dict(task) for task in page]


async def _task(client: BatchClient, job: str, where: Place) -> dict[str, Any]:
    try:
        return remote.plain(await client.tasks.get(job, where.member, select=_DETAILS))
    except NotFoundError as error:
        if not is_gone(error):
            raise
        raise FailureError(
            f"job {job!r} has no task {where.member!r}: kubectl azure-batch tasks ls {where.name} lists its tasks"
        ) from None


def _columns() -> output.Columns:
    now = datetime.now(UTC)
    return output.Columns(HEADER, lambda task: row(task, now), _MORE, lambda task: more(task, now))


def _none(where: Place) -> str:
    return f"BatchJob {where.name} has no such tasks."


async def _names(client: BatchClient, job: str, filter_: str | None) -> None:
    """The IDs page by page, and nothing else of the tasks."""
    async for page in client.tasks.list_pages(job, filter=filter_, select=("id",)):
        for task in page:
            click.echo(str(task["id"]))


async def _table(client: BatchClient, job: str, where: Place, filter_: str | None, form: Output | None) -> None:
    """A table for each page, since a job may have a million tasks: nobody waits for the last one to see the first."""
    found = False
    async for page in client.tasks.list_pages(job, filter=filter_, select=_SELECT):
        tasks = [dict(task) for task in page]
        if tasks:
            table = _columns().table(tasks, form)
            table.show_header = not found
            output.show(table)
            found = True
    if not found:
        click.echo(_none(where), err=True)
