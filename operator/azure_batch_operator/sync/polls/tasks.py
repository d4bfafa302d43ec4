"""The tasks of BatchTasks, by job. Nothing is kept of other tasks, however many the job has.

A few are asked for by their ids. Where there are many, all tasks of the job are listed once a minute, and in between those whose
state has changed. A job with far more tasks than anybody wants to know of is never listed as a whole: that list is given up, and
the wanted ones are asked for by their ids, some with each poll.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Collection, Iterable, Mapping
from functools import partial
from itertools import islice

from msgspec.structs import replace

from azure_batch_operator.api.resource import Key
from azure_batch_operator.batch import (
    BatchClient,
    BatchError,
    InvalidRequestError,
    NotFoundError,
    TransientError,
    is_gone,
)
from azure_batch_operator.batch.wire import Task, TaskConstraints, build
from azure_batch_operator.reconcile.observed import ObservedTask, TaskOutput
from azure_batch_operator.reconcile.ownership import marker_of
from azure_batch_operator.reconcile.plan import Absent
from azure_batch_operator.sync.interest import Interest
from azure_batch_operator.sync.mirror import Mirror
from azure_batch_operator.sync.outputs import Owed
from azure_batch_operator.sync.polls.absences import Absences
from azure_batch_operator.sync.polls.base import (
    NEVER_STARTED,
    TAIL_LINES,
    News,
    Poll,
    Since,
    clock,
    options,
)
from azure_batch_operator.sync.polls.roll import PER_LIST, chunks, id_filter
from azure_batch_operator.sync.polls.steps import Scope, Step, keys_of
from azure_batch_operator.sync.polls.watch import incarnation
from azure_batch_operator.sync.remote_table import RemoteTable

_TASK_MEMBERS = (
    "id",
    "eTag",
    "creationTime",
    "state",
    "stateTransitionTime",
    "executionInfo",
    "nodeInfo",
    "constraints",
)
_FULL_TASK_LIST_EVERY = 60.0
_MAX_TAILS = 20
_MAX_BY_ID = 200
"""Tasks that one poll asks for by id, of one job."""
_PER_WANTED = 50
"""A list of all tasks is worth its calls while it shows no more than so many for each wanted one."""
_PAGE = 1000
TASKS, OUTPUT = "the tasks of job", "the output of a task of job"


class TaskPoll(Poll):
    """Tasks by job."""

    def __init__(self, client: BatchClient, mirror: Mirror, interest: Interest) -> None:
        super().__init__(client, mirror, interest)
        self._lists: dict[str, _TaskList] = {}
        self._absences = Absences(mirror.jobs, "jobnotfound")

    def steps(self) -> list[Step]:
        """What has to be asked for each job by itself."""
        interest, steps = self._interest, []
        for id in self._lists.keys() - interest.tasks.keys():
            del self._lists[id]
            self._mirror.tasks.pop(id, None)
        self._absences.keep(interest.tasks)
        for id in list(interest.tasks):
            if self._mirror.jobs.alive(id):
                # Thousands of BatchTasks do not repeat what their BatchJob says.
                told = keys_of(interest.jobs, id) or frozenset(
                    key for keys in interest.tasks[id].values() for key in keys
                )
                steps.append(Step(Scope(TASKS, id), partial(self._tasks, id), told))
        for key, owed in self._mirror.outputs.owed(_MAX_TAILS):
            steps.append(Step(Scope(OUTPUT, f"{owed.job_id}/{owed.task_id}"), partial(self._late, key, owed)))
        return steps

    def _list(self, job_id: str) -> _TaskList:
        """How far the job's tasks were read; not at all, if it is not the one that it was."""
        created = incarnation(self._mirror.jobs.latest(job_id))
        known = self._lists.setdefault(job_id, _TaskList())
        if created and known.created and known.created != created:
            known = self._lists[job_id] = _TaskList()
            self._mirror.tasks.pop(job_id, None)
        known.created = created or known.created
        return known

    async def _tasks(self, job_id: str, news: News) -> None:
        listing = self._list(job_id)
        table, wanted = self._mirror.tasks[job_id], self._interest.tasks.get(job_id, {})
        known = {id for id in wanted if table.get(id) is not Absent.UNKNOWN}
        different = set[str]()
        try:
            with self._absences.noted(Scope(TASKS, job_id)):
                if len(wanted) <= PER_LIST or listing.large > _worth(wanted):
                    await self._ask(job_id, listing, table, listing.turn(table, wanted), wanted, different)
                else:
                    await self._read(job_id, listing, table, wanted, different)
        finally:
            # Whoever has waited for news hears also that there is no such task, since a list shows nothing of it. That includes
            # those who began to wait while it was read, and what was learned before a call failed: the next list is no news of it.
            wanted = self._interest.tasks.get(job_id, {})
            learned = {id for id in wanted if id not in known and table.get(id) is not Absent.UNKNOWN}
            for id in different | learned:
                news.changed |= {key for key in wanted.get(id, ()) if not self._interest.on_its_way(key)}

    async def _ask(
        self,
        job_id: str,
        listing: _TaskList,
        table: RemoteTable[ObservedTask],
        ids: Iterable[str],
        wanted: Mapping[str, Collection[Key]],
        different: set[str],
    ) -> None:
        """Ask for tasks by their ids, with their owners where those are not known; adds to `different` what looks so."""
        for chunk in chunks(ids):
            began = clock()
            strange = any((known := table.latest(id)) is None or not known.owner for id in chunk)
            members = (*_TASK_MEMBERS, "environmentSettings")
            tasks = await self._by_id(job_id, chunk, members if strange else _TASK_MEMBERS)
            if not strange and any(not listing.knows(task, table) for task in tasks):
                # One made again under the id of another may have another owner.
                tasks = await self._by_id(job_id, chunk, members)
            entries = await self._with_outputs(job_id, [listing.entry(task, table) for task in tasks], wanted)
            different |= table.merge(began, entries, asked=chunk)

    async def _by_id(self, job_id: str, ids: list[str], members: tuple[str, ...]) -> list[Task]:
        try:
            listed = self._client.tasks.list(job_id, filter=id_filter(ids), select=members, **options())
            return [task async for task in listed.of(Task)]
        except InvalidRequestError:
            # A service that does not take such a filter is asked one by one.
            return [task for id in ids if (task := await self._one(job_id, id, members)) is not None]

    async def _one(self, job_id: str, id: str, members: tuple[str, ...]) -> Task | None:
        try:
            return build(Task, await self._client.tasks.get(job_id, id, select=members, **options()))
        except NotFoundError as error:
            if is_gone(error, {"tasknotfound"}):
                return None
            raise

    async def _read(
        self,
        job_id: str,
        listing: _TaskList,
        table: RemoteTable[ObservedTask],
        wanted: Mapping[str, Collection[Key]],
        different: set[str],
    ) -> None:
        """List all tasks of the job, or those whose state has changed since the last list; adds to `different` what looks so."""
        began = clock()
        # A new table, such as after the job's BatchJob has gone, knows nothing before a full list.
        due = listing.full_at is None or began - listing.full_at > _FULL_TASK_LIST_EVERY
        full = due or table.first or listing.recount
        # Owners are asked for once; later tasks are our own, or are asked for by their ids.
        members = (*_TASK_MEMBERS, "environmentSettings") if full else _TASK_MEMBERS
        filter = None if full else listing.since.filter
        found: list[Task] = []
        others, seen, number = array("q"), Since(), 0
        async for task in self._client.tasks.list(job_id, filter=filter, select=members, **options()).of(Task):
            seen.saw(task)
            number += 1
            if task.id.lower() in wanted:
                found.append(task)
            else:
                others.append(hash(task.id.lower()))
            if full and number > _worth(wanted):
                listing.large = number
                await self._ask(job_id, listing, table, listing.turn(table, wanted), wanted, different)
                return
        if not full:
            known = [task for task in found if listing.knows(task, table)]
            strange = [task.id.lower() for task in found if not listing.knows(task, table)]
            found = known
        entries = await self._with_outputs(job_id, [listing.entry(task, table) for task in found], wanted)
        # What has changed its state while the pages were read may have been missed.
        listing.since.advance(seen, clock() - began)
        if not full:
            different |= table.merge(began, entries)
            listing.others.extend(others)
            table.settle(began, set(others))
            # Asked for: new ones, whose owners are not known, and wanted ones that were there before anybody wanted them.
            missing = [id for id in wanted if table.latest(id) is None and listing.is_other(id)]
            await self._ask(job_id, listing, table, dict.fromkeys([*strange, *missing]), wanted, different)
            # A touched task that no incremental list shows was deleted or never added: look at all of them.
            listing.recount = table.touched
            return
        listing.full_at, listing.recount = began, False
        listing.others = _Hashes(others)
        here = {entry.id.lower() for entry in entries}
        # Pages move while they are read: what was there before is asked for before it is given up.
        lost = [id for id in wanted if id not in here and table.latest(id) is not None] if number > _PAGE else []
        kept = [entry for id in lost if (entry := table.latest(id)) is not None]
        different |= table.replace(began, [*entries, *kept], rest=listing.others)
        await self._ask(job_id, listing, table, islice(lost, _MAX_BY_ID), wanted, different)

    async def _with_outputs(
        self, job_id: str, entries: Iterable[ObservedTask], wanted: Mapping[str, Collection[Key]]
    ) -> list[ObservedTask]:
        """With the last lines of what ended tasks have written; of many they come with later polls."""
        tails, found = 0, []
        for entry in entries:
            keys = wanted.get(entry.id.lower(), ())
            lines = self._interest.tail(keys)
            if not _shows_output(entry, lines) or not keys:
                found.append(entry)
                continue
            if not entry.execution.has_started:
                found.append(replace(entry, output=_NEVER_STARTED))
                continue
            tails += 1
            if tails <= _MAX_TAILS:
                try:
                    found.append(replace(entry, output=await self._output(job_id, entry.id, lines)))
                    continue
                except NotFoundError:
                    raise
                except BatchError:
                    # The state of a task does not wait for its output, nor do the other tasks.
                    tails = _MAX_TAILS
            found.append(replace(entry, output=_OWED))
            self._mirror.outputs.owe(keys, Owed(job_id, entry.id, lines))
        return found

    async def _late(self, key: Key, owed: Owed, news: News) -> None:
        """Read output that earlier polls have left out."""
        try:
            output = await self._output(owed.job_id, owed.task_id, owed.lines)
        except TransientError:
            self._mirror.outputs.postpone(key)
            raise
        except BatchError:
            self._mirror.outputs.forget(key)
            raise
        self._mirror.outputs.bring(key, output)
        news.changed.add(key)

    async def _output(self, job_id: str, task_id: str, lines: int | None) -> TaskOutput:
        """The last lines of a task's output, and why there are none."""
        stderr, problem = await self._tail(job_id, task_id, "stderr.txt", lines or TAIL_LINES)
        stdout = None
        if lines is not None:
            stdout, problem = await self._tail(job_id, task_id, "stdout.txt", lines)
        return TaskOutput(stdout, stderr, problem or None)

    def claim(self, job_id: str, task_id: str, owner: str) -> None:
        """The service has just taken this task from us."""
        self._lists.setdefault(job_id.lower(), _TaskList()).owners[task_id.lower()] = owner


_NEVER_STARTED = TaskOutput(stderr_tail="", problem=NEVER_STARTED)
_OWED = TaskOutput(stderr_tail="")


def _shows_output(task: ObservedTask, lines: int | None) -> bool:
    """Whether the output of a task is still to be read: of failed ones, and of all whose object wants some lines."""
    result = task.execution.result
    return result is not None and lines != 0 and task.output is None and (result != "success" or lines is not None)


def _worth(wanted: Collection[str]) -> int:
    """How many tasks a list of a whole job may show."""
    return _PAGE + _PER_WANTED * len(wanted)


class _Hashes:
    """Ids that were seen and of which nothing is kept, eight bytes each.

    Two ids with one hash make an absent task look present, which costs a call that asks for it by its id, and nothing else.
    """

    def __init__(self, hashes: Iterable[int] = ()) -> None:
        self._sorted = array("q", sorted(hashes))
        self._later: set[int] = set()

    def extend(self, hashes: Iterable[int]) -> None:
        """Some more."""
        self._later.update(hashes)

    def __contains__(self, id: object) -> bool:
        value = hash(id)
        at = bisect_left(self._sorted, value)
        return value in self._later or (at < len(self._sorted) and self._sorted[at] == value)


class _TaskList:
    """How far the tasks of one job have been read.

    Attributes:
        created: creationTime of the job; another one means another job.
        large: how many tasks a list of the whole job had shown when it was given up; 0 if none was.
        owners: of tasks that the service has just taken, by id (lower case).
        others: ids that were seen and are not wanted.
    """

    def __init__(self) -> None:
        self.created = ""
        self.full_at: float | None = None
        self.recount = False
        self.large = self._turn = 0
        self.owners: dict[str, str] = {}
        self.since = Since()
        self.others = _Hashes()
        self._constraints: dict[TaskConstraints, TaskConstraints] = {}

    def turn(self, table: RemoteTable[ObservedTask], wanted: Collection[str]) -> list[str]:
        """Wanted ids to ask for one by one: all of a few; of many those that are not known first, the others in turns."""
        if len(wanted) <= _MAX_BY_ID:
            return list(wanted)
        unknown = [id for id in wanted if table.get(id) is Absent.UNKNOWN]
        known = [id for id in wanted if table.get(id) is not Absent.UNKNOWN]
        self._turn = (self._turn + _MAX_BY_ID) % max(1, len(known))
        return [*unknown, *known[self._turn :], *known[: self._turn]][:_MAX_BY_ID]

    def is_other(self, id: str) -> bool:
        """Whether a task of this id (lower case) was seen when nobody wanted it."""
        return id in self.others

    def knows(self, task: Task, table: RemoteTable[ObservedTask]) -> bool:
        """Whether the owner of a task is known that was listed without it."""
        known = table.latest(task.id)
        if task.id.lower() in self.owners:
            return True
        return known is not None and bool(known.owner) and incarnation(known) == incarnation(task)

    def entry(self, task: Task, table: RemoteTable[ObservedTask]) -> ObservedTask:
        """What the mirror keeps of a task; of an earlier one under the same id nothing."""
        id = task.id.lower()
        known = table.latest(id)
        if known is not None and incarnation(known) != incarnation(task):
            known = None
        claimed = self.owners.pop(id, None)
        return ObservedTask(
            id=task.id,
            etag=task.etag,
            creation_time=task.creation_time,
            state=task.state,
            execution=task.execution,
            node=task.node_info,
            # Most tasks of a job have them alike: one copy is kept.
            constraints=task.constraints and self._constraints.setdefault(task.constraints, task.constraints),
            owner=marker_of(task) or claimed or (known.owner if known else None) or None,
            output=known.output if known is not None and known.execution == task.execution else None,
        )
