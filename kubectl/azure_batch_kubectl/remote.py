"""What a user means by `JOB/TASK:PATH` and `bp/POOL/NODE:PATH`, and the files that stand behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

from azure_batch_kubectl import objects
from azure_batch_kubectl.account import signed_in
from azure_batch_kubectl.around import around
from azure_batch_kubectl.cluster import Cluster
from azure_batch_kubectl.failure import FailureError
from azure_batch_kubectl.objects import UnknownKindError, status
from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.batch import BatchClient, FileProperties, FileStream, JsonObject


@dataclass(frozen=True)
class Place:
    """A task of a job or a node of a pool, and a path in its directory.

    Attributes:
        kind: BatchJob or BatchPool.
        name: of that object.
        member: ID of the task or node; empty for all.
        path: relative, with `/`; empty for the whole directory.
    """

    kind: Kind
    name: str
    member: str = ""
    path: str = ""


def place(text: str) -> Place:
    """What `JOB`, `JOB/TASK`, `JOB/TASK:PATH` or `bp/POOL/NODE:PATH` means.

    Raises:
        UnknownKindError: the text has another form.
    """
    where, _, path = text.partition(":")
    parts = where.split("/")
    kind = Kind.JOB
    if len(parts) > 1 and parts[0].lower() in {"bj", "batchjob", "batchjobs", "bp", "batchpool", "batchpools"}:
        kind = objects.kind_of(parts.pop(0))
    if len(parts) > 2 or not all(parts) or (kind is Kind.POOL and len(parts) != 2):
        raise UnknownKindError(f"{text!r} names no task or node: give JOB/TASK or bp/POOL/NODE, such as render/t1")
    return Place(kind, parts[0], parts[1] if len(parts) == 2 else "", path)


@asynccontextmanager
async def opened(cluster: Cluster, where: Place) -> AsyncIterator[tuple[BatchClient, str]]:
    """A client of the account that the object lives in, and the ID of the object's resource.

    Raises:
        FailureError: the object is not in Azure Batch, or its account is not for the user.
    """
    thing = await cluster.get(where.kind, where.name)
    found = await around(cluster, thing)
    parents = [each for each in (found.pool,) if isinstance(each, dict)]
    account = objects.account_of(thing, *parents)
    if account is None:
        raise FailureError(
            f"{where.kind} {where.name} names no account: kubectl azure-batch why {where.kind.lower()}/{where.name}"
        )
    async with signed_in(cluster, account) as client:
        yield client, str(status(thing).get("id") or objects.remote_id(thing))


@dataclass(frozen=True)
class TaskFile:
    """A file of a task, as `reading` wants it."""

    client: BatchClient
    job: str
    task: str
    path: str

    async def properties(self) -> FileProperties:
        """Its length."""
        return await self.client.task_files.properties(self.job, self.task, self.path)

    def part(self, first: int, last: int) -> AbstractAsyncContextManager[FileStream]:
        """Bytes of it, both included."""
        return self.client.task_files.get(self.job, self.task, self.path, range=(first, last))

    async def ended(self) -> bool:
        """Whether the task has ended."""
        task: JsonObject = await self.client.tasks.get(self.job, self.task, select=("id", "state"))
        return task.get("state") == "completed"


@dataclass(frozen=True)
class NodeFile:
    """A file of a node."""

    client: BatchClient
    pool: str
    node: str
    path: str

    async def properties(self) -> FileProperties:
        """Its length."""
        return await self.client.node_files.properties(self.pool, self.node, self.path)

    def part(self, first: int, last: int) -> AbstractAsyncContextManager[FileStream]:
        """Bytes of it, both included."""
        return self.client.node_files.get(self.pool, self.node, self.path, range=(first, last))

    async def ended(self) -> bool:
        """Nobody knows what writes it, so it is read as it is."""
        return True


def file_of(client: BatchClient, where: Place, remote_id: str) -> TaskFile | NodeFile:
    """The file that a place means."""
    kind = TaskFile if where.kind is Kind.JOB else NodeFile
    return kind(client, remote_id, where.member, where.path)
