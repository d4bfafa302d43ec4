"""What a user means by `JOB/TASK:PATH` and `bp/POOL/NODE:PATH`, and the files that stand behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

from azure_batch_kubectl import objects
from azure_batch_kubectl.account import signed_in
from azure_batch_kubectl.around import around
from azure_batch_kubectl.cluster import Cluster
from azure_batch_kubectl.failure import FailureError
from azure_batch_kubectl.objects import UnknownKindError, status
from azure_batch_kubectl.reading import Writer
from azure_batch_operator.api.kinds import KINDS, Kind
from azure_batch_operator.batch import BatchClient, FileProperties, FileStream, JsonObject
from azure_batch_operator.batch.errors import NotFoundError, is_gone
from azure_batch_operator.reconcile import ownership


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

    @property
    def typed(self) -> str:
        """As the user types it, without the path: what has no kind before it is a task."""
        kind = "" if self.kind is Kind.JOB else f"{KINDS[self.kind].short}/"
        return f"{kind}{self.name}/{self.member}"


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
    _check_own(thing)
    id = str(status(thing).get("id") or objects.remote_id(thing))
    async with signed_in(cluster, account) as client:
        group = client.jobs if where.kind is Kind.JOB else client.pools
        try:
            check_owner(thing, id, await group.get(id, select=("id", "metadata")))
        except NotFoundError as error:
            if not is_gone(error):
                raise
        yield client, id


def _check_own(thing: objects.Object) -> None:
    """Refuse an object whose ID belongs to somebody else.

    Raises:
        FailureError: with the operator's message.
    """
    for each in objects.conditions(thing):
        if each.get("type") == "Ready" and each.get("reason") == "OwnershipConflict":
            raise FailureError(f"{thing['kind']} {objects.name(thing)} has no resource: {each.get('message')}")


def owner_of(found: JsonObject) -> str | None:
    """Namespace and name of the object that owns a resource; None if no object does."""
    owner = ownership.owner_of(found)
    return None if owner is None else f"{owner.object.namespace}/{owner.object.name}"


def check_owner(thing: objects.Object, id: str, found: JsonObject) -> None:
    """Refuse a resource whose marker names another object, as after the object's own one was deleted and the ID used again.

    Raises:
        FailureError: it does.
    """
    owner = ownership.owner_of(found)
    if owner is not None and owner.object.uid != thing["metadata"].get("uid"):
        whose = f"{owner.object.namespace}/{owner.object.name}"
        raise FailureError(
            f"{id!r} in Azure Batch belongs to another object, {whose}, not to {thing['kind']} {objects.name(thing)}: "
            "use the name of that object"
        )


OVER = frozenset({"completed", "deleting"})
"""States of a job in which no task starts any more."""


async def job_state(client: BatchClient, job: str) -> str | None:
    """The state of a job; None if it is not there."""
    try:
        return str((await client.jobs.get(job, select=("id", "state")))["state"])
    except NotFoundError as error:
        if not is_gone(error):
            raise
        return None


@dataclass(frozen=True)
class TaskFile:
    """A file of a task, as `reading` wants it.

    Attributes:
        is_over: whether the job of the task is over; None to ask Azure Batch. Who follows many tasks knows it without a call for
            each.
        name: of the BatchJob, if somebody has named the task.
    """

    client: BatchClient
    job: str
    task: str
    path: str
    is_over: Callable[[], bool] | None = None
    name: str = ""

    async def properties(self) -> FileProperties:
        """Its length."""
        return await self.client.task_files.properties(self.job, self.task, self.path)

    def part(self, first: int, last: int) -> AbstractAsyncContextManager[FileStream]:
        """Bytes of it, both included."""
        return self.client.task_files.get(self.job, self.task, self.path, range=(first, last))

    async def writer(self) -> Writer:
        """Whether the task has ended, and which of its runs it is: each starts its files again.

        A task that has not started when its job ends stays active forever, and counts as ended.
        """
        task = await self._task()
        state = task.get("state")
        if state not in {"running", "completed"} and await self._job_is_over():
            return Writer(ended=True)
        return Writer(state == "completed", _run(task))

    async def version(self, found: FileProperties) -> object:
        """The run of the task."""
        return _run(await self._task())

    async def _task(self) -> JsonObject:
        return await self.client.tasks.get(self.job, self.task, select=("id", "state", "executionInfo"))

    async def _job_is_over(self) -> bool:
        if self.is_over is not None:
            return self.is_over()
        state = await job_state(self.client, self.job)
        return state is None or state in OVER


def _run(task: JsonObject) -> str | None:
    """When its run has begun; None between two runs, when its files are still those of the last one."""
    runs = task.get("state") in {"running", "completed"}
    return (task.get("executionInfo") or {}).get("startTime") if runs else None


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

    async def writer(self) -> Writer:
        """Nobody knows what writes it, so it is read as it is."""
        return Writer(ended=True)

    async def version(self, found: FileProperties) -> object:
        """When it was changed, since nothing else tells whether it was replaced."""
        return found.last_modified


def plain(found: JsonObject) -> JsonObject:
    """A resource as a list has it: without what the protocol adds to a single one."""
    return {name: value for name, value in found.items() if not name.startswith("odata.")}


def file_of(client: BatchClient, where: Place, remote_id: str) -> TaskFile | NodeFile:
    """The file that a place means."""
    kind = TaskFile if where.kind is Kind.JOB else NodeFile
    return kind(client, remote_id, where.member, where.path)
