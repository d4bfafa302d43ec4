"""`logs`: the output of tasks, also while it is written."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import click

from azure_batch_kubectl import by_operation, missing, reading, remote
from azure_batch_kubectl.account import NoCredentialsError
from azure_batch_kubectl.cluster import Cluster
from azure_batch_kubectl.failure import FailureError
from azure_batch_kubectl.reading import Reader, changed
from azure_batch_kubectl.remote import Place, TaskFile
from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.batch import BatchClient, BatchError, JsonObject, TransientError
from azure_batch_operator.batch.errors import ConflictError, NotFoundError, is_gone

MAX_FOLLOWED = 10
_LONGEST = 3e9
"""Seconds; older than Azure Batch, and not too long for a date."""
_LISTS = 4
"""Looks at a task's file for one at the job's list of tasks."""


@dataclass(frozen=True)
class Wish:
    """What the user wants to see.

    Attributes:
        follow: until the task has ended.
        path: the file.
        tail: lines of the end; None for all.
        failed: only tasks that failed.
        since: only tasks that run, or that have ended since then. A line of a file has no time, so its output is shown as a whole.
    """

    follow: bool = False
    path: str = "stdout.txt"
    tail: int | None = None
    failed: bool = False
    since: datetime | None = None


def before(seconds: float | None) -> datetime | None:
    """The moment that many seconds ago, in the whole seconds that a filter holds; None without a number."""
    if seconds is None:
        return None
    return (datetime.now(UTC) - timedelta(seconds=min(seconds, _LONGEST))).replace(microsecond=0)


def filter_of(wish: Wish) -> str | None:
    """Which tasks of a job are listed, as `$filter`; None for all. Those that are not yet running are only followed."""
    parts = []
    if wish.failed:
        parts.append("executionInfo/result eq 'failure'")
    elif not wish.follow:
        parts.append("(state eq 'running' or state eq 'completed')")
    if wish.since is not None:
        ended = f"executionInfo/endTime ge DateTime'{wish.since:%Y-%m-%dT%H:%M:%SZ}'"
        parts.append(ended if wish.failed else f"(state ne 'completed' or {ended})")
    return " and ".join(parts) or None


def left_out(task: JsonObject, wish: Wish) -> str | None:
    """Why the output of a task is not shown, as `filter_of` decides for the tasks of a job; None if it is shown."""
    execution = task.get("executionInfo") or {}
    if wish.failed and execution.get("result") != "failure":
        return f"task {task['id']!r} has not failed"
    end = execution.get("endTime") if task.get("state") == "completed" else None
    if wish.since is not None and end and datetime.fromisoformat(end) < wish.since:
        return f"task {task['id']!r} ended at {end}, before the time of --since"
    return None


class Lines:
    """Passes on whole lines with a prefix, so that outputs of several tasks can be told apart."""

    def __init__(self, prefix: str, write: Callable[[bytes], object]) -> None:
        self._prefix = f"{prefix}: ".encode()
        self._write = write
        self._rest = b""

    def __call__(self, data: bytes) -> None:
        *whole, self._rest = (self._rest + data).split(b"\n")
        for line in whole:
            self._write(self._prefix + line + b"\n")

    def close(self) -> None:
        """Pass on a last line that does not end."""
        if self._rest:
            self._write(self._prefix + self._rest + b"\n")
            self._rest = b""


def _out(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def _note(text: str) -> None:
    click.echo(f"({text})", err=True)


async def show(cluster: Cluster, target: str, wish: Wish) -> None:
    """The command.

    Raises:
        FailureError: there is no output, or the user may not read it.
    """
    where = remote.place(target)
    if where.kind is not Kind.JOB or where.path:
        raise FailureError(
            f"{target!r} is not a task: give JOB or JOB/TASK. For files of nodes, use kubectl azure-batch files cat"
        )
    try:
        await _with_credentials(cluster, where, wish)
    except NoCredentialsError as cause:
        if wish.follow or not where.member:
            what = "-f follows" if wish.follow else "the tasks of a job are listed"
            raise FailureError(f"{cause.cause}: {what} only with these: give JOB/TASK without -f") from None
        content = await by_operation.read(cluster, replace(where, path=wish.path), cause, tail=True)
        start = None if wish.tail is None else reading.start_of_last_lines(content, wish.tail)
        _out(content[start or 0 :])
        if start is None:
            by_operation.note_cut(content, tail=True)


async def _with_credentials(cluster: Cluster, where: Place, wish: Wish) -> None:
    async with remote.opened(cluster, where) as (client, job):
        if where.member:
            await _single(TaskFile(client, job, where.member, wish.path, name=where.name), wish)
        elif wish.follow:
            await _follow_all(client, job, wish)
        else:
            await _each(client, job, where, wish)


async def _single(file: TaskFile, wish: Wish) -> None:
    """A task that is named, if it is one of those that are wanted."""
    if wish.failed or wish.since is not None:
        try:
            task = await file.client.tasks.get(file.job, file.task, select=("id", "state", "executionInfo"))
        except NotFoundError as error:
            raise await _missing(file, error) from None
        if why := left_out(task, wish):
            _note(why)
            return
    await _one(file, wish, _out)


async def _each(client: BatchClient, job: str, where: Place, wish: Wish) -> None:
    """One task after the other, each below its name, as they are listed."""
    number = 0
    async for task in _listed(client, job, filter_of(wish)):
        number += 1
        _out(f"==> {task} <==\n".encode())
        try:
            await _one(TaskFile(client, job, task, wish.path), wish, _out)
        except (FailureError, BatchError) as error:
            _note(_line(error))
    if not number:
        what = "failed" if wish.failed else "started" if wish.since is None else "run"
        _note(f"no task of BatchJob {where.name} has {what}{' since then' if wish.since is not None else ''}")


async def _listed(client: BatchClient, job: str, filter_: str | None) -> AsyncIterator[str]:
    async for each in client.tasks.list(job, filter=filter_, select=("id",)):
        yield str(each["id"])


async def _first_tasks(client: BatchClient, job: str, filter_: str | None) -> list[str]:
    """One more than are followed: then one of them is not, and is too many."""
    found: list[str] = []
    async for task in _listed(client, job, filter_):
        found.append(task)
        if len(found) > MAX_FOLLOWED:
            break
    return found


async def _follow_all(client: BatchClient, job: str, wish: Wish) -> None:
    """The tasks of a job until all that were seen, at least one, have ended, or the job has."""
    followed: dict[str, asyncio.Task[None]] = {}
    over = asyncio.Event()
    waits, failures = False, 0
    async with asyncio.TaskGroup() as group:
        while True:
            try:
                # Before the list, so that the last tasks are in it.
                state = await remote.job_state(client, job)
                listed = [] if state is None else await _first_tasks(client, job, filter_of(wish))
            except TransientError:
                failures += 1
                if failures * _LISTS >= reading.PATIENCE:
                    raise
                if failures == 1:
                    _note(reading.LOST)
                await asyncio.sleep(_LISTS * reading.PAUSE)
                continue
            failures = 0
            if state in remote.OVER or (state is None and followed):
                over.set()
            if state is None and followed:
                return
            if state is None:
                if not waits:
                    _note(
                        f"waiting until job {job!r} is in Azure Batch; kubectl azure-batch why says what it waits for"
                    )
                waits = True
                await asyncio.sleep(_LISTS * reading.PAUSE)
                continue
            for task in listed:
                if task in followed:
                    continue
                if len(followed) == MAX_FOLLOWED:
                    text = f"job {job!r} has more than {MAX_FOLLOWED} tasks, too many to follow: give JOB/TASK"
                    raise FailureError(text)
                file = TaskFile(client, job, task, wish.path, over.is_set)
                followed[task] = group.create_task(_prefixed(file, wish))
            if over.is_set() or (followed and all(each.done() for each in followed.values())):
                return
            await asyncio.sleep(_LISTS * reading.PAUSE)


async def _prefixed(file: TaskFile, wish: Wish) -> None:
    lines = Lines(file.task, _out)
    try:
        await _one(file, wish, lines)
    except (FailureError, BatchError) as error:
        # One task's trouble does not end the output of the others.
        _note(_line(error))
    finally:
        lines.close()


def _line(error: Exception) -> str:
    return " ".join(str(error).split())


async def _one(file: TaskFile, wish: Wish, write: Callable[[bytes], object]) -> None:
    reader = Reader(file, write)
    try:
        if wish.tail is not None:
            await _to_tail(reader, wish.tail, follow=wish.follow)
        await (reader.follow(_note) if wish.follow else reader.whole(changed))
    except (NotFoundError, ConflictError) as error:
        raise await _missing(file, error) from None


async def _missing(file: TaskFile, error: BatchError) -> FailureError:
    """Why a file is not there."""
    try:
        await file.writer()
    except NotFoundError as gone:
        if not is_gone(gone):
            raise
        all_ = (
            f"kubectl azure-batch tasks ls {file.name} lists them" if file.name else "give the ID of one of its tasks"
        )
        return FailureError(f"job {file.job!r} has no task {file.task!r}: {all_}")
    told = await missing.reason(file, error)
    if told is None:
        return FailureError(f"{file.path} of task {file.task!r} has just appeared: try again")
    if missing.is_no_file(told):
        return FailureError(f"task {file.task!r} has no {file.path}: it has not started, or wrote none")
    return missing.refusal(f"{file.path} of task {file.task!r}", told)


async def _to_tail(reader: Reader, number: int, *, follow: bool) -> None:
    try:
        await reader.to_last_lines(number)
    except (NotFoundError, ConflictError):
        if not follow:
            raise
