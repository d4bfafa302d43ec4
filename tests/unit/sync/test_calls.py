"""Calls of plans against the emulator: somebody else's change between look and call is never written over."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from azure_batch_emulator import EmulatorConfig
from azure_batch_operator.batch import BatchClient, HostPolicy, IncompleteListError, NotFoundError, SharedKey
from azure_batch_operator.batch.job_wire import Job
from azure_batch_operator.batch.wire import TaskCounts, build
from azure_batch_operator.reconcile.job.scope import TasksView
from azure_batch_operator.reconcile.plan import Absent, Call, Evidence, Plan, Table, TaskEvidence
from azure_batch_operator.sync.calls import make
from azure_batch_operator.sync.interest import Interest
from azure_batch_operator.sync.mirror import Mirror
from azure_batch_operator.sync.poller import Poller
from support import typed
from support.emulator_thread import EmulatorThread
from unit.objects import JOB_SPEC
from unit.reconcile.test_job import decide
from unit.reconcile.test_job import job as job_object
from unit.reconcile.test_job import remote as job_body

WANTED = job_object(JOB_SPEC | {"priority": 7, "metadata": [{"name": "team", "value": "render"}]}, finalizer=True)
NOW = 1_800_000_000.0


def clock() -> float:
    """Seconds since the epoch."""
    return NOW


@pytest.fixture(scope="module")
def emulator() -> Iterator[EmulatorThread]:
    with EmulatorThread(EmulatorConfig(port=0, executor="simulated")) as running:
        yield running


@pytest.fixture
async def session(emulator: EmulatorThread) -> AsyncIterator[Any]:
    """What a call needs of a session; polls happen when a test says so."""
    config = emulator.config
    async with BatchClient(emulator.endpoint, SharedKey(config.account, config.key), hosts=HostPolicy()) as client:
        mirror, interest = Mirror(), Interest()
        interest.add(WANTED.key, WANTED.remote_id)
        poller = Poller(client, mirror, interest, lambda *_, **__: None, lambda _: None)
        yield SimpleNamespace(client=client, mirror=mirror, poller=poller)


def seen(session: Any) -> Any:
    return session.mirror.jobs.get(WANTED.remote_id)


def plan(session: Any) -> Plan:
    return decide(WANTED, seen(session), TasksView(counts=TaskCounts(active=1)))


async def test_a_change_by_another_client_makes_a_plan_void(emulator: EmulatorThread, session: Any) -> None:
    created = job_body(WANTED)
    body = {name: created[name] for name in ("id", "poolInfo", "metadata")}
    assert emulator.call("POST", "/jobs", body)[0] == 201
    await session.poller.poll()
    (patch,) = plan(session).calls
    assert patch.if_match == seen(session)["eTag"]
    # Another operator has just noted that it will disable the job; without the condition the PATCH would drop the note.
    note = {"name": "azurebatch.io/held", "value": "suspend"}
    assert emulator.call("PATCH", "/jobs/one", {"metadata": [*created["metadata"], note]})[0] == 200

    assert await make(session, patch, clock) is False
    assert seen(session) is Absent.UNKNOWN, "nothing is decided before the next look"
    await session.poller.poll()
    assert build(Job, seen(session)).note("azurebatch.io/held") == "suspend"
    assert seen(session)["priority"] == 0

    (again,) = [each for each in plan(session).calls if each.verb == "update_job"]
    assert again.if_match != patch.if_match
    assert await make(session, again, clock) is True
    await session.poller.poll()
    assert seen(session)["priority"] == 7
    assert build(Job, seen(session)).note("team") == "render"


OURS, THEIRS = "cluster-1/default/BatchJob/one/uid-1/one", "cluster-1/default/BatchJob/one/uid-2/one"
FIRST, SECOND = "2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z"


class Jobs:
    """A job as a GET shows it; notes with which ETag it was deleted."""

    def __init__(self, owner: str | None, created: str) -> None:
        metadata = [] if owner is None else [{"name": "azurebatch.io/owner", "value": owner}]
        self.shown = {"id": "one", "eTag": "0x2", "creationTime": created, "metadata": metadata}
        self.deleted: list[str | None] = []
        self.jobs = self

    async def get(self, id: str) -> dict[str, Any]:
        return self.shown

    async def delete(self, id: str, *, if_match: str | None = None, **_: Any) -> Any:
        self.deleted.append(if_match)
        return SimpleNamespace(etag=None)


@pytest.mark.parametrize(
    ("evidence", "owner", "created", "deleted"),
    [
        (Evidence(FIRST, OURS), OURS, FIRST, ["0x2"]),
        # Another incarnation, whose maker has copied the marker.
        (Evidence(FIRST, OURS), OURS, SECOND, []),
        # The same one, which has changed hands.
        (Evidence(FIRST, OURS), THEIRS, FIRST, []),
        (Evidence(FIRST, OURS), None, FIRST, []),
        (Evidence(FIRST, None), THEIRS, FIRST, []),
        # A list that was asked for less does not know when it was made.
        (Evidence(None, OURS), OURS, SECOND, ["0x2"]),
        (Evidence(None, OURS), THEIRS, SECOND, []),
    ],
)
async def test_a_resource_is_deleted_only_if_it_is_unchanged_since_the_decision(
    evidence: Evidence, owner: str | None, created: str, deleted: list[str]
) -> None:
    client = Jobs(owner, created)
    session: Any = SimpleNamespace(client=client, mirror=Mirror(), poller=SimpleNamespace(request_poll=lambda: None))
    call = Call("delete_job", Table.JOBS, "one", if_match="0x1", evidence=evidence)
    assert await make(session, call, clock) is bool(deleted)
    assert client.deleted == deleted, "with the ETag of the GET, not of the list"


@pytest.mark.parametrize(
    ("least", "most", "listed", "holds"),
    [
        (0, 0, 0, True),
        (0, 0, 1, False),
        (2, None, 1, False),
        (2, None, 2, True),
        (2, None, 9, True),
        (2, 2, 1, False),
        (2, 2, 2, True),
        (2, 2, 3, False),
    ],
)
async def test_counts_are_accepted_if_a_list_confirms_them(
    least: int, most: int | None, listed: int, holds: bool
) -> None:
    class Tasks(Jobs):
        filters: tuple[str, ...] = ()
        ended = False
        tasks = property(lambda self: self)

        async def list(self, job_id: str, *, filter: str, **_: Any) -> AsyncIterator[dict[str, str]]:
            self.filters = (*self.filters, filter)
            for number in range(listed):
                yield {"id": str(number)}

        async def terminate(self, *_: Any, **__: Any) -> Any:
            self.ended = True
            return SimpleNamespace(etag=None)

    client = Tasks(OURS, FIRST)
    session: Any = SimpleNamespace(client=client, mirror=Mirror(), poller=SimpleNamespace(request_poll=lambda: None))
    evidence = Evidence(FIRST, OURS, tasks=(TaskEvidence("state eq 'active'", least, most),))
    assert await make(session, Call("terminate_job", Table.JOBS, "one", body={}, evidence=evidence), clock) is holds
    assert (client.ended, client.filters) == (holds, ("state eq 'active'",))


@pytest.mark.parametrize("listed", [0, 1])
async def test_an_update_that_lists_must_confirm_is_for_the_body_that_it_was_decided_from(listed: int) -> None:
    """That lists show otherwise is remembered, so that they are not asked again and again; the job is as it was observed."""

    class Updated(Jobs):
        tasks = property(lambda self: self)

        async def list(self, job_id: str, **_: Any) -> AsyncIterator[dict[str, str]]:
            for number in range(listed):
                yield {"id": str(number)}

        async def update(self, id: str, body: Any, *, if_match: str | None = None, **_: Any) -> Any:
            self.deleted.append(if_match)
            return SimpleNamespace(etag=None)

    polls, client, mirror = list[bool](), Updated(OURS, FIRST), Mirror()
    poller = SimpleNamespace(request_poll=lambda: polls.append(True))
    session: Any = SimpleNamespace(client=client, mirror=mirror, poller=poller)
    evidence = Evidence(FIRST, OURS, tasks=(TaskEvidence("state ne 'completed'", most=0),))
    body = {"onAllTasksComplete": "terminatejob"}
    call = Call("update_job", Table.JOBS, "one", body=body, if_match="0x1", evidence=evidence)
    assert await make(session, call, clock) is not bool(listed)
    assert client.deleted == ([] if listed else ["0x1"]), "with the ETag of the list"
    assert mirror.is_busy(call, NOW) is bool(listed)
    assert mirror.unfinished_at == ({"one": NOW} if listed else {})
    assert polls == ([] if listed else [True])


class Nodes:
    """A pool and its nodes as GETs show them; notes which calls were made."""

    def __init__(self, **since: str) -> None:
        self.since, self.made = since, list[str]()
        self.pools = self.nodes = self

    async def get(self, *path: str) -> dict[str, Any]:
        if len(path) == 1:
            return {"id": path[0], "eTag": "0x2"}
        if path[1] not in self.since:
            raise NotFoundError("no such node", status=404, code="NodeNotFound")
        return {"id": path[1], "stateTransitionTime": self.since[path[1]]}

    async def remove_nodes(self, *_: Any, **__: Any) -> Any:
        self.made.append("remove")
        return SimpleNamespace(etag=None)

    async def reboot(self, *_: Any, **__: Any) -> Any:
        self.made.append("reboot")
        return SimpleNamespace(etag=None)


REMOVE = Call(
    "remove_nodes", Table.POOLS, "cpu", body={"nodeList": ["a", "b"]}, if_match="0x1",
    evidence=Evidence(nodes=(("a", "t1"), ("b", "t1"))),
)  # fmt: skip
REBOOT = Call("reboot_node", Table.NODES, "a", "cpu", body={}, evidence=Evidence(stamp="t1"))


@pytest.mark.parametrize(
    ("call", "since", "made", "left"),
    [
        (REMOVE, {"a": "t1", "b": "t1"}, ["remove"], ["a", "b"]),
        # One of them works again, or is gone: neither is removed on an old list.
        (REMOVE, {"a": "t2", "b": "t1"}, [], ["b"]),
        (REMOVE, {"b": "t1"}, [], ["b"]),
        (REBOOT, {"a": "t1"}, ["reboot"], ["a", "b"]),
        (REBOOT, {"a": "t2"}, [], ["b"]),
    ],
)
async def test_each_node_is_read_before_it_is_removed_or_restarted(
    call: Call, since: dict[str, str], made: list[str], left: list[str]
) -> None:
    client, mirror = Nodes(**since), Mirror()
    mirror.notes["cpu"].troubled = (typed.node({"id": "a"}), typed.node({"id": "b"}))
    session: Any = SimpleNamespace(client=client, mirror=mirror, poller=SimpleNamespace(request_poll=lambda: None))
    assert await make(session, call, clock) is bool(made)
    assert client.made == made
    assert [each.node.id for each in mirror.notes["cpu"].troubled] == left, "nothing more is done before the next list"


class Busy:
    """A pool with open jobs on it, their unfinished tasks, and nodes that run tasks."""

    def __init__(self, jobs: dict[str, int], running: int, schedules: tuple[dict[str, Any], ...] = ()) -> None:
        self.counts, self.running, self.deleted, self.schedules = jobs, running, False, schedules
        self.job_schedules = SimpleNamespace(list=self.list_schedules)
        self.pools = self.nodes = self.tasks = self
        self.jobs = SimpleNamespace(list=self.list_jobs)

    async def get(self, id: str) -> dict[str, Any]:
        return {"id": id, "eTag": "0x1"}

    async def list_jobs(self, *, filter: str, **_: Any) -> AsyncIterator[dict[str, Any]]:
        assert filter == "state ne 'completed' and executionInfo/poolId eq 'cpu'"
        for id in self.counts:
            yield {"id": id, "state": "active"}

    async def list_schedules(self, **_: Any) -> AsyncIterator[dict[str, Any]]:
        for schedule in self.schedules:
            yield schedule

    async def list(self, parent: str, **_: Any) -> AsyncIterator[dict[str, Any]]:
        for number in range(self.running if parent == "cpu" else self.counts[parent]):
            yield {"id": str(number)}

    async def delete(self, *_: Any, **__: Any) -> Any:
        self.deleted = True


@pytest.mark.parametrize(
    ("allowed", "jobs", "running", "why"),
    [
        (None, {"a": 3}, 2, None),
        (frozenset(), {}, 0, None),
        (frozenset({"a"}), {"A": 0}, 0, None),
        (frozenset({"a"}), {"a": 1}, 0, "job 'a' has unfinished tasks"),
        (frozenset({"a"}), {"a": 0, "b": 0}, 0, "job 'b' is open on it"),
        (frozenset(), {}, 1, "node '0' runs a task"),
    ],
)
async def test_a_pool_that_must_be_idle_is_deleted_by_lists(
    allowed: frozenset[str] | None, jobs: dict[str, int], running: int, why: str | None
) -> None:
    client, mirror = Busy(jobs, running), Mirror()
    session: Any = SimpleNamespace(client=client, mirror=mirror, poller=SimpleNamespace(request_poll=lambda: None))
    call = Call("delete_pool", Table.POOLS, "cpu", evidence=Evidence(idle=allowed))
    assert await make(session, call, clock) is (why is None)
    assert client.deleted is (why is None)
    told = mirror.notes["cpu"].history.busy
    assert told == (why and (NOW, why))


@pytest.mark.parametrize(
    ("pool", "state", "why"),
    [
        ("cpu", "active", "job schedule 'nightly' creates its jobs on it"),
        ("CPU", "disabled", "job schedule 'nightly' creates its jobs on it"),
        ("cpu", "terminating", None),
        ("other", "active", None),
    ],
)
async def test_a_pool_that_a_job_schedule_names_is_not_idle(pool: str, state: str, why: str | None) -> None:
    schedule = {"id": "nightly", "state": state, "jobSpecification": {"poolInfo": {"poolId": pool}}}
    own_pool = {"id": "x", "state": "active", "jobSpecification": {"poolInfo": {"autoPoolSpecification": {}}}}
    client, mirror = Busy({}, 0, (own_pool, schedule)), Mirror()
    session: Any = SimpleNamespace(client=client, mirror=mirror, poller=SimpleNamespace(request_poll=lambda: None))
    call = Call("delete_pool", Table.POOLS, "cpu", evidence=Evidence(idle=frozenset()))
    assert await make(session, call, clock) is (why is None)
    told = mirror.notes["cpu"].history.busy
    assert told == (why and (NOW, why))


async def test_a_job_schedule_that_cannot_be_read_keeps_a_pool_and_that_is_said() -> None:
    """It may belong to anybody and stay forever; its own members do not even tell its ID."""

    class Unreadable(Busy):
        async def list_schedules(self, **_: Any) -> AsyncIterator[dict[str, Any]]:
            raise IncompleteListError("the response has no id", operation="JobSchedules_ListJobSchedules")
            yield {}

    client, mirror = Unreadable({}, 0), Mirror()
    client.job_schedules = SimpleNamespace(list=client.list_schedules)
    session: Any = SimpleNamespace(client=client, mirror=mirror, poller=SimpleNamespace(request_poll=lambda: None))
    call = Call("delete_pool", Table.POOLS, "cpu", evidence=Evidence(idle=frozenset()))
    assert not await make(session, call, clock)
    assert not client.deleted
    told = mirror.notes["cpu"].history.busy
    assert told is not None
    assert "cannot be read in full" in told[1]
    assert "JobSchedules_ListJobSchedules" in told[1]
