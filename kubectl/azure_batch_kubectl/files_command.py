"""`files`: list, print and copy files of tasks and nodes."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import IO, Any

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from azure_batch_kubectl import by_operation, missing, objects, output, remote
from azure_batch_kubectl.account import NoCredentialsError
from azure_batch_kubectl.choices import Output
from azure_batch_kubectl.cluster import Cluster
from azure_batch_kubectl.failure import FailureError
from azure_batch_kubectl.reading import Reader, changed
from azure_batch_kubectl.remote import Place
from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.batch import BatchClient, BatchError, FileProperties


def below(name: str, path: str) -> bool:
    r"""Whether a file is the one at a path, or in the directory there; files of Windows nodes have names with `\`."""
    wanted, found = _slashes(path).strip("/"), _slashes(name)
    return not wanted or found == wanted or found.startswith(f"{wanted}/")


def _slashes(path: str) -> str:
    return path.replace("\\", "/")


def row(item: dict[str, Any], now: datetime) -> tuple[object, ...]:
    """A row of the list: size, age and name; a directory ends in a slash."""
    properties = item.get("properties") or {}
    if item.get("isDirectory"):
        return "", "", f"{item['name']}/"
    return properties.get("contentLength", ""), objects.age(properties.get("lastModified", ""), now), item["name"]


def _more(item: dict[str, Any]) -> tuple[object, ...]:
    """What -o wide adds."""
    properties = item.get("properties") or {}
    return properties.get("contentType", ""), properties.get("fileMode", "")


def _member(text: str, *, path: bool) -> Place:
    where = remote.place(text)
    if not where.member or (path and not where.path):
        form = "JOB/TASK:PATH or bp/POOL/NODE:PATH" if path else "JOB/TASK or bp/POOL/NODE"
        raise FailureError(f"{text!r} names no {'file' if path else 'task or node'}: give {form}")
    return where


async def list_files(cluster: Cluster, target: str, *, form: Output | None) -> None:
    """The command `ls`."""
    where = _member(target, path=False)
    try:
        async with remote.opened(cluster, where) as (client, owner):
            items = await _items(client, owner, where)
    except NoCredentialsError as cause:
        listed = await by_operation.items(cluster, where, cause)
        items = [item for item in listed if below(item["name"], where.path)]
    now = datetime.now(UTC)
    columns = output.Columns(("SIZE", "AGE", "NAME"), lambda item: row(item, now), ("TYPE", "MODE"), _more)
    output.listing(form, items, columns, lambda item: str(item["name"]), f"No files at {target!r}.")


async def cat(cluster: Cluster, target: str) -> None:
    """The command `cat`.

    Raises:
        FailureError: there is no such file.
    """
    where, stream = _member(target, path=True), sys.stdout.buffer
    try:
        async with remote.opened(cluster, where) as (client, owner):
            if (await _properties(client, owner, where)).is_directory:
                text = f"{where.path!r} is a directory: kubectl azure-batch files ls {target} lists its files"
                raise FailureError(text)
            await Reader(remote.file_of(client, where, owner), stream.write).whole(changed)
    except NoCredentialsError as cause:
        content = await by_operation.read(cluster, where, cause, tail=False)
        stream.write(content)
        by_operation.note_cut(content, tail=False)
    stream.flush()


def _local(local: str, path: str) -> Path:
    """Where a copy goes: to the file that is given, or into the directory."""
    given = Path(local)
    return given / PurePosixPath(_slashes(path)).name if given.is_dir() else given


def inside(folder: Path, name: str, path: str) -> Path:
    """Where a file of a directory goes.

    Raises:
        FailureError: its name leads out of the folder.
    """
    found, above = PurePosixPath(_slashes(name)), _slashes(path).strip("/")
    relative = found.relative_to(above) if above else found
    if relative.is_absolute() or ".." in relative.parts or ":" in relative.as_posix():
        raise FailureError(f"{name!r} leads out of {folder}: copy the others one by one")
    return folder.joinpath(*relative.parts)


async def copy(cluster: Cluster, target: str, local: str) -> None:
    """The command `cp`, of a file or of a directory with all that is in it.

    Raises:
        FailureError: there is no such file, or it cannot be written.
    """
    where = _member(target, path=False)
    async with remote.opened(cluster, where) as (client, owner):
        found = await _properties(client, owner, where) if where.path.strip("/") else None
        path = _local(local, where.path or where.member)
        if found is not None and not found.is_directory:
            await _copy_file(client, owner, where, path)
            click.echo(f"{target} copied to {path}", err=True)
            return
        names = [each["name"] for each in await _items(client, owner, where) if not each.get("isDirectory")]
        for name in names:
            await _copy_file(client, owner, replace(where, path=name), inside(path, name, where.path))
        files = "1 file" if len(names) == 1 else f"{len(names)} files"
        click.echo(f"{target} copied to {path}: {files}", err=True)


async def _copy_file(client: BatchClient, owner: str, where: Place, path: Path) -> None:
    """Copy one file, which appears under its name when it is whole."""
    length = (await _properties(client, owner, where)).content_length or 0
    with _appearing(path) as file, _progress(where.path) as (advance, total):
        total(length)

        def write(data: bytes) -> None:
            with _local_problems(path):
                file.write(data)
            advance(len(data))

        def start_over() -> None:
            advance(-file.tell())
            with _local_problems(path):
                file.seek(0)
                file.truncate()

        await Reader(remote.file_of(client, where, owner), write).whole(start_over)


@contextmanager
def _appearing(path: Path) -> Iterator[IO[bytes]]:
    """A new file beside a path, which takes its name at the end and is gone after an error."""
    with _local_problems(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    part = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            with _local_problems(path):
                file.flush()
        with _local_problems(path):
            part.chmod(0o666 & ~_umask())
            part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


@contextmanager
def _local_problems(path: Path) -> Iterator[None]:
    """Only for what is done on this machine: errors of connections are OSErrors, too."""
    try:
        yield
    except OSError as error:
        raise FailureError(f"{path} cannot be written: {error.strerror}: choose another place") from None


async def _properties(client: BatchClient, owner: str, where: Place) -> FileProperties:
    file, place = remote.file_of(client, where, owner), f"{where.typed}:{where.path}"
    try:
        return await file.properties()
    except BatchError as error:
        told = await missing.reason(file, error) or error
        if missing.is_no_file(told):
            text = f"{place!r} does not exist: kubectl azure-batch files ls {where.typed} lists files"
            if where.kind is Kind.JOB and not where.path.startswith("wd/"):
                text += f"; what a command writes is in wd/, such as wd/{where.path}"
            raise FailureError(text) from None
        with missing.advised(place):
            raise told from None


async def _items(client: BatchClient, owner: str, where: Place) -> list[dict[str, Any]]:
    """What is at a path; of a node without a path only the first level, since its whole disk would be long."""
    group = client.task_files if where.kind is Kind.JOB else client.node_files
    chosen = "startswith(name,'{}')".format(where.path.strip("/").replace("'", "''")) if where.path else None
    recursive = where.path != "" or where.kind is Kind.JOB
    found = group.list(owner, where.member, filter=chosen, recursive=recursive)
    with missing.advised(where.typed):
        return [dict(file) async for file in found if below(file["name"], where.path)]


@contextmanager
def _progress(label: str) -> Iterator[tuple[Callable[[int], object], Callable[[int], object]]]:
    """A bar on stderr if that is a terminal: what advances it, and what tells it the whole."""
    if not sys.stderr.isatty():
        yield (lambda number: None), (lambda number: None)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task(label, total=None)
        yield (lambda number: progress.advance(bar, number)), (lambda number: progress.update(bar, total=number))
