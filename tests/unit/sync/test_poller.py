"""The poller: bulk lists only, incremental where it can be, bounded, and truthful about what it could not see."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterable
from types import SimpleNamespace
from typing import Any

import pytest

from azure_batch_operator.api.job import _CHANGEABLE
from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Key
from azure_batch_operator.batch import BatchError, ConnectionFailedError, NotFoundError, ServerBusyError, ServerError
from azure_batch_operator.reconcile.job import changes as job_changes
from azure_batch_operator.reconcile.plan import Absent
from azure_batch_operator.sync.interest import Interest
from azure_batch_operator.sync.mirror import Mirror
from azure_batch_operator.sync.poller import Pace, Poller, PollLimits
from azure_batch_operator.sync.polls.base import tail_of
from azure_batch_operator.sync.polls.jobs import _JOB_MEMBERS
from support.jumping_loop import run_jumping
from support.typed import Listed, application, image, observed, output

ASKED_JOB = "jobs where id eq 'j'"
POOL, JOB = Key(Kind.POOL, "n", "p"), Key(Kind.JOB, "n", "j")


class Service:
    """A Batch client that answers from lists and notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.calls = 0
        self.failing: dict[str, Exception] = {}
        """What raises when it is asked: a part of `asked`, or the id of a job whose tasks are counted."""
        self.held: dict[str, asyncio.Event] = {}
        self.items: dict[str, list[dict[str, Any]]] = {
            "pools": [],
            "counts": [],
            "jobs": [],
            "tasks": [],
            "images": [],
            "applications": [],
            "schedules": [],
            "nodes": [],
        }
        self.counts: dict[str, int] = {}
        self.error: BatchError | None = None
        self.pools = self.jobs = self.tasks = self.task_files = self.account = self.nodes = self.node_files = self
        self.job_schedules = SimpleNamespace(list=self._list_schedules)
        self.applications = SimpleNamespace(list=lambda **_: self._answer("applications", "", None))
        self.counted: list[str] = []
        self.hides: set[str] = set()
        """Ids that lists of what is open do not show, as when pages move."""
        self.slips = ""
        """Id that lists of everything do not show, as when pages move."""
        self.images_asked = 0

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"the poller must not call {name}")

    def list(self, *path: str, filter: str | None = None, select: tuple[str, ...] = (), **_: Any) -> Listed:
        kind = "pools"
        if path:
            kind = "nodes" if "isDedicated" in select or "startTask" in select else "tasks"
        elif "poolInfo" in select or select[-1:] == ("executionInfo",):
            kind = "jobs"
        return Listed(self._answer(kind, f"{kind}{f' where {filter}' if filter else ''}", filter))

    def _list_schedules(self, *, filter: str, **_: Any) -> AsyncIterator[Any]:
        return self._answer("schedules", f"schedules where {filter}", filter)

    def list_supported_images(self, **_: Any) -> AsyncIterator[Any]:
        self.images_asked += 1
        return self._answer("images", "", None)

    async def get(self, id: str, **_: Any) -> dict[str, Any]:
        """A job."""
        self.asked.append(f"get {id}")
        for job in self.items["jobs"]:
            if job["id"] == id:
                return job
        raise NotFoundError("gone", status=404, code="JobNotFound")

    def list_pages(self, **_: Any) -> AsyncIterator[Any]:
        return self._answer("pools", "check", None)

    def list_node_counts(self, **_: Any) -> Listed:
        return Listed(self._answer("counts", "counts", None))

    async def get_task_counts(self, job_id: str, **_: Any) -> dict[str, Any]:
        self.asked.append("taskcounts")
        self.counted.append(job_id)
        await self._reach(f"taskcounts {job_id}")
        return {"taskCounts": dict(self.counts)}

    async def _reach(self, what: str) -> None:
        self.calls += 1
        for part, event in self.held.items():
            if part in what:
                await event.wait()
        for part, error in self.failing.items():
            if part in what:
                raise error

    async def tail(self, job_id: str, task_id: str, path: str, **_: Any) -> bytes:
        self.asked.append(f"tail {task_id}/{path}")
        await self._reach(f"tail {task_id}/{path}")
        if self.error:
            raise self.error
        return b"first\nlast\n"

    async def _answer(self, kind: str, what: str, filter: str | None) -> AsyncIterator[Any]:
        if what:
            self.asked.append(what)
        await self._reach(f"{kind} {what}")
        if self.error:
            raise self.error
        named = set(re.findall(r"id eq '([^']*)'", filter or ""))
        number = 0
        for item in list(self.items[kind]):
            if item.get("id") == self.slips and not filter:
                continue
            if filter == "state ne 'completed'" and item.get("id") in self.hides:
                continue
            if named and item["id"].lower() not in named:
                continue
            if filter and "failure" in filter and item.get("executionInfo", {}).get("result") != "failure":
                continue
            if filter and "ne 'completed'" in filter and item.get("state") == "completed":
                continue
            number += 1
            if number % 1000 == 0:
                self.calls += 1
            yield item


class Scene:
    """A poller with its surroundings."""

    def __init__(self, service: Service | None = None) -> None:
        self.service, self.mirror, self.interest = service or Service(), Mirror(), Interest()
        self.told: list[set[Key]] = []
        self.health: list[BatchError | None] = []
        self.poller = Poller(
            self.service,  # type: ignore[arg-type]
            self.mirror,
            self.interest,
            self._changed,
            self.health.append,
            PollLimits(least=0.01),
        )

    def _changed(self, keys: Iterable[Key], *, moved: bool = False) -> None:
        self.told.append(set(keys))

    async def poll(self, *stirred: Key) -> set[Key]:
        """One poll, after something was done to the tasks of these objects."""
        self.poller.settled(stirred)
        self.told.clear()
        self.service.asked.clear()
        self.service.counted.clear()
        self.service.calls = 0
        await self.poller.poll()
        return set().union(*self.told)

    async def settled(self, *stirred: Key) -> set[Key]:
        """One poll, and what is asked beside it."""
        await self.poll(*stirred)
        while self.poller._strays:
            await asyncio.wait(list(self.poller._strays.values()))
        return set().union(*self.told)


async def test_an_unused_account_is_only_checked() -> None:
    scene = Scene()
    await scene.poll()
    assert scene.service.asked == ["check"]
    assert scene.health == [None]


async def test_one_list_for_all_pools_and_news_only_for_what_changed() -> None:
    scene = Scene()
    keys = [Key(Kind.POOL, "n", f"p{number}") for number in range(100)]
    for key in keys:
        scene.interest.add(key, key.name)
    scene.service.items["pools"] = [{"id": key.name, "state": "active"} for key in keys[:50]]
    assert await scene.poll() == set(keys)
    assert scene.service.asked == ["pools", "counts"]
    assert await scene.poll() == set()
    scene.service.items["pools"][3] = {"id": "p3", "state": "deleting"}
    assert await scene.poll() == {keys[3]}


async def test_a_changed_pool_is_listed_whole_and_others_are_not() -> None:
    scene = Scene()
    scene.interest.add(POOL, "p")
    first = {"id": "p", "eTag": "0x1", "lastModified": "2026-01-01T00:00:00.5Z", "vmSize": "a"}
    scene.service.items["pools"] = [first]
    await scene.poll()
    assert scene.service.asked == ["pools", "counts"]
    await scene.poll()
    assert scene.service.asked == ["pools", "counts"]
    scene.service.items["pools"] = [first | {"eTag": "0x2", "lastModified": "2026-01-02T00:00:00.5Z", "vmSize": "b"}]
    assert await scene.poll() == {POOL}
    whole = "pools where lastModified ge DateTime'2026-01-02T00:00:00Z'"
    assert scene.service.asked == ["pools", whole, "counts"]
    there = scene.mirror.pools.get("p")
    assert not isinstance(there, Absent)
    assert there["vmSize"] == "b"
    foreign = {"id": "theirs", "eTag": "0x7", "lastModified": "2026-01-03T00:00:00Z"}
    scene.service.items["pools"].append(foreign)
    await scene.poll()
    assert scene.service.asked == ["pools", "counts"], "a pool that nobody stands for is not read"
    assert scene.mirror.pools.get("theirs") is Absent.UNKNOWN
    assert scene.mirror.pools.brief("theirs") == {"id": "theirs"}
    scene.service.items["pools"][1] = foreign | {"eTag": "0x8"}
    await scene.poll()
    assert scene.service.asked == ["pools", "counts"], "what becomes of others' pools does not matter"
    scene.interest.add(Key(Kind.POOL, "n", "x"), "theirs")
    await scene.poll()
    assert scene.mirror.pools.get("theirs") == foreign | {"eTag": "0x8"}


async def test_the_images_of_the_account_are_requested_once() -> None:
    scene = Scene()
    scene.interest.add(POOL, "p")
    scene.service.items["images"] = [{"nodeAgentSKUId": "x"}]
    scene.service.items["applications"] = [{"id": "blender"}]
    for _ in range(3):
        await scene.poll()
    assert scene.service.images_asked == 1
    assert scene.mirror.images == [image({"nodeAgentSKUId": "x"})]
    assert scene.mirror.applications == [application({"id": "blender"})]


async def test_an_error_leaves_what_was_seen_and_is_told() -> None:
    scene = Scene()
    scene.interest.add(POOL, "p")
    scene.service.items["pools"] = [{"id": "p"}]
    await scene.poll()
    scene.service.error = ServerBusyError("busy", status=503)
    assert await scene.poll() == set()
    assert scene.mirror.pools.get("p") == {"id": "p"}
    assert scene.health == [None, scene.service.error]


def job(state: str = "active") -> list[dict[str, Any]]:
    return [{"id": "j", "state": state, "poolInfo": {}}]


def failed(id: str, code: int = 1) -> dict[str, Any]:
    return {"id": id, "state": "completed", "executionInfo": {"result": "failure", "exitCode": code}}


async def test_failed_tasks_are_listed_when_their_number_grows_and_one_tail_per_cause_is_read() -> None:
    scene = Scene()
    scene.interest.add(JOB, "j")
    scene.service.items["jobs"] = job()
    scene.service.counts = {"active": 5, "failed": 0}
    await scene.poll()
    assert scene.service.asked == ["pools", "counts", ASKED_JOB, "taskcounts"]
    scene.service.counts = {"active": 1, "failed": 4}
    scene.service.items["tasks"] = [failed("a"), failed("b"), failed("c", 2), failed("d")]
    assert await scene.poll(JOB) == {JOB}
    assert [each for each in scene.service.asked if each.startswith("tail")] == [
        "tail a/stderr.txt",
        "tail c/stderr.txt",
    ]
    results = scene.mirror.results["j"]
    assert (results.failed_count, results.failed[0].stderr_tail) == (4, "first\nlast")
    assert await scene.poll(JOB) == set()
    assert scene.service.asked == ["pools", "counts", ASKED_JOB, "taskcounts"]


async def test_a_completed_job_is_read_to_the_end_once() -> None:
    scene = Scene()
    scene.interest.add(JOB, "j")
    scene.service.items["jobs"] = job("completed")
    scene.service.items["tasks"] = [failed("a"), {"id": "b", "state": "active"}]
    assert await scene.poll() == {JOB}
    assert scene.mirror.results["j"].unfinished == 1
    assert scene.mirror.results["j"].failed_count == 1
    await scene.poll()
    assert scene.service.asked == ["pools", "counts", ASKED_JOB]


def task(id: str, state: str, at: str = "2026-01-01T00:00:30Z", **more: Any) -> dict[str, Any]:
    return {"id": id, "state": state, "stateTransitionTime": at} | more


OWNER = [{"name": "AZUREBATCH_IO_OWNER", "value": "me"}]


def wanted_tasks(scene: Scene, number: int) -> dict[str, Key]:
    keys = {f"t{each:03}": Key(Kind.TASK, "n", f"t{each:03}") for each in range(number)}
    for name, key in keys.items():
        scene.interest.add(key, "J", name)
    scene.service.items["jobs"] = job()
    return keys


async def test_the_tasks_of_a_job_learn_that_it_has_changed_hands() -> None:
    """Those that name it by `jobId` are told by nobody else, and may wait to be added to it."""
    scene = Scene()
    keys = wanted_tasks(scene, 3)
    assert await scene.poll() == set(keys.values())
    assert await scene.poll() == set()
    marked = {"metadata": [{"name": "azurebatch.io/owner", "value": "other/n/BatchJob/j/uid-9/j"}]}
    scene.service.items["jobs"] = [each | marked for each in job()]
    assert await scene.poll() == set(keys.values())
    assert await scene.poll() == set()
    scene.service.items["jobs"] = [each | marked | {"priority": 7} for each in job()]
    assert await scene.poll() == set(), "thousands of tasks are not looked at for what does not concern them"


async def test_the_tasks_of_a_run_learn_that_its_schedule_has_changed_hands() -> None:
    scene = Scene()
    key = Key(Kind.TASK, "n", "t")
    scene.interest.add(key, "s:job-1", "t")
    scene.interest.add(Key(Kind.SCHEDULE, "n", "s"), "s")
    scene.service.items["jobs"] = [{"id": "s:job-1", "state": "active", "poolInfo": {}}]
    scene.service.items["schedules"] = [{"id": "s", "state": "active"}]
    for _ in range(3):
        await scene.poll()
    assert key not in await scene.poll()
    marked = {"metadata": [{"name": "azurebatch.io/owner", "value": "other/n/BatchJobSchedule/s/uid-9/s"}]}
    scene.service.items["schedules"] = [{"id": "s", "state": "active", **marked}]
    assert key in await scene.poll() | await scene.poll()


async def test_a_task_that_is_requested_while_its_job_is_listed_is_reported_missing() -> None:
    """Whoever asks in that moment waits for news; a list that lacks the task is news, and the next one is none."""
    scene = Scene()
    keys = wanted_tasks(scene, 25)
    listed = scene.service.held["tasks"] = asyncio.Event()
    polling = asyncio.create_task(scene.poll())
    async with asyncio.timeout(30):
        while "tasks" not in scene.service.asked:
            await asyncio.sleep(0)
    late = Key(Kind.TASK, "n", "late")
    scene.interest.add(late, "J", "late")
    assert scene.mirror.tasks["j"].get("late") is Absent.UNKNOWN
    listed.set()
    told = await polling
    assert scene.mirror.tasks["j"].get("late") is Absent.NOT_FOUND
    assert told == {*keys.values(), late}
    assert await scene.poll() == set()


async def test_observed_tasks_are_reported_although_the_next_call_fails() -> None:
    scene = Scene()
    keys = wanted_tasks(scene, 25)
    scene.service.items["tasks"] = [task("t000", "active", environmentSettings=OWNER)]
    await scene.poll()
    # One has moved; another one is new, so its owner is asked for.
    scene.service.items["tasks"] = [task("t000", "running"), task("t001", "active", environmentSettings=OWNER)]
    scene.service.failing["id eq 't001'"] = ServerBusyError("busy", status=503)
    assert keys["t000"] in await scene.poll()


async def test_a_few_tasks_are_requested_by_their_ids() -> None:
    scene = Scene()
    keys = wanted_tasks(scene, 3)
    scene.service.items["tasks"] = [task("t000", "active", environmentSettings=OWNER)]
    assert await scene.poll() == set(keys.values())
    assert scene.service.asked[-1] == "tasks where id eq 't000' or id eq 't001' or id eq 't002'"
    assert scene.mirror.tasks["j"].get("t000") == observed({"id": "t000", "state": "active", "owner": "me"})
    assert scene.mirror.tasks["j"].get("t001") is Absent.NOT_FOUND
    assert scene.mirror.tasks["j"].get("elsewhere") is Absent.UNKNOWN
    scene.service.items["tasks"] = [task("t000", "running", environmentSettings=OWNER)]
    assert await scene.poll() == {keys["t000"]}


async def test_many_tasks_are_listed_whole_once_and_then_by_what_has_moved() -> None:
    scene = Scene()
    keys = wanted_tasks(scene, 25)
    scene.service.items["tasks"] = [task("t000", "active", environmentSettings=OWNER), task("theirs", "active")]
    assert await scene.poll() == set(keys.values())
    assert scene.service.asked[-1] == "tasks"
    assert scene.mirror.tasks["j"].get("t000") == observed({"id": "t000", "state": "active", "owner": "me"})
    assert scene.mirror.tasks["j"].get("t001") is Absent.NOT_FOUND
    assert scene.mirror.tasks["j"].get("theirs") is Absent.UNKNOWN, "it is there, and nobody had asked"
    scene.service.items["tasks"] = [task("t000", "running")]
    assert await scene.poll() == {keys["t000"]}
    assert scene.service.asked[-1].startswith("tasks where stateTransitionTime ge DateTime'2026-01-01T00:00:1")
    assert scene.mirror.tasks["j"].get("t000") == observed({"id": "t000", "state": "running", "owner": "me"})
    late = Key(Kind.TASK, "n", "late")
    scene.interest.add(late, "j", "theirs")
    scene.service.items["tasks"] = [task("theirs", "active")]
    assert await scene.poll() == {late}
    assert scene.mirror.tasks["j"].get("theirs") == observed({"id": "theirs", "state": "active"})


async def test_a_deleted_task_is_noticed_by_a_whole_list() -> None:
    scene = Scene()
    keys = wanted_tasks(scene, 25)
    scene.service.items["tasks"] = [task("t000", "active")]
    await scene.poll()
    scene.mirror.tasks["j"].touch("t000", asyncio.get_running_loop().time())
    scene.service.items["tasks"] = []
    await scene.poll()
    assert await scene.poll() == {keys["t000"]}
    assert scene.mirror.tasks["j"].get("t000") is Absent.NOT_FOUND


async def test_one_task_of_a_job_of_20_000_keeps_one_and_costs_one_call() -> None:
    scene = Scene()
    key = Key(Kind.TASK, "n", "mine")
    scene.interest.add(key, "j", "mine")
    scene.service.items["jobs"] = job()
    scene.service.items["tasks"] = [task(f"x{number}", "running") for number in range(20_000)]
    scene.service.items["tasks"].append(task("mine", "running"))
    for _ in range(3):
        await scene.poll()
        assert scene.service.asked == ["pools", "jobs where id eq 'j'", "tasks where id eq 'mine'"]
    assert list(scene.mirror.tasks["j"].entries()) == [observed({"id": "mine", "state": "running"})]


async def test_some_tasks_of_a_job_of_20_000_are_requested_by_id_after_a_list_was_given_up() -> None:
    scene = Scene()
    keys = wanted_tasks(scene, 30)
    scene.service.items["tasks"] = [task(f"x{number}", "running") for number in range(20_000)]
    scene.service.items["tasks"] += [task(name, "running", environmentSettings=OWNER) for name in keys]
    assert await scene.poll() == set(keys.values())
    assert scene.service.calls <= 9, "the pools, three pages of the list, and two lists by id"
    assert len(list(scene.mirror.tasks["j"].entries())) == 30
    await scene.poll()
    assert [each[:14] for each in scene.service.asked] == [
        "pools",
        "jobs where id ",
        "tasks where id",
        "tasks where id",
    ]


async def test_a_task_that_slips_between_two_pages_is_requested_before_it_is_given_up() -> None:
    scene = Scene()
    keys = wanted_tasks(scene, 1200)
    tasks = [task(name, "running", environmentSettings=OWNER) for name in keys]
    scene.service.items["tasks"] = tasks
    await scene.poll()
    await scene.poll()
    scene.poller._tasks._lists["j"].recount = True
    scene.service.slips = "t1100"
    assert await scene.poll() == set()
    assert scene.service.asked[-1] == "tasks where id eq 't1100'"
    assert not isinstance(scene.mirror.tasks["j"].get("t1100"), Absent)


async def test_another_task_under_the_id_has_an_owner_of_its_own() -> None:
    scene = Scene()
    wanted_tasks(scene, 1)
    scene.service.items["tasks"] = [
        task("t000", "active", creationTime="2026-01-01T00:00:00Z", environmentSettings=OWNER)
    ]
    await scene.poll()
    scene.service.items["tasks"] = [task("t000", "active", creationTime="2026-01-01T00:00:09Z")]
    await scene.poll()
    there = scene.mirror.tasks["j"].get("t000")
    assert not isinstance(there, Absent)
    assert there.owner is None


@pytest.mark.parametrize(("data", "text"), [(b"", ""), (b"a\x00\xff\n", "a\ufffd"), (b"x\n" * 50, "\n".join("x" * 20))])
def test_a_tail_is_short_and_fit_for_a_status(data: bytes, text: str) -> None:
    assert tail_of(data, 20) == text


def test_the_pace_slows_down_and_recovers() -> None:
    pace = Pace(1.0, 60.0)
    for _ in range(20):
        pace.still(expecting=False)
    assert pace.seconds == 60.0
    pace.still(expecting=True, urgent=True)
    assert pace.seconds == 5.0
    pace.moved()
    assert pace.seconds == 1.0


def test_while_tasks_may_end_nobody_learns_of_it_more_than_a_tenth_later() -> None:
    pace, quiet = Pace(1.0, 60.0), 0.0
    seconds = []
    while quiet < 3600:
        quiet += pace.seconds
        pace.still(expecting=True)
        assert pace.seconds <= max(5.0, quiet / 10)
        seconds.append(pace.seconds)
    assert len(seconds) < 110, "a poll a minute at last, not one every five seconds"
    assert seconds[-1] == 60.0
    pace.still(expecting=True, running=True)
    assert pace.seconds == 20.0


async def test_an_account_that_does_not_answer_is_asked_less_and_less() -> None:
    """Tasks that wait for the first list of jobs are told once it is there, not with each try (seed 782: 140 lists a minute)."""
    scene, key = Scene(), Key(Kind.TASK, "n", "t")
    scene.interest.add(key, "j", "t")
    scene.service.items["jobs"] = [{"id": "j", "state": "active", "creationTime": "2026-01-01T00:00:00Z"}]
    scene.service.failing["jobs"] = ConnectionFailedError("no connection")
    for _ in range(30):
        assert await scene.poll() == set()
    assert scene.poller._pace.seconds == pytest.approx(0.3), "thirty times the least"
    scene.service.failing.clear()
    assert await scene.poll() == {key}
    assert scene.poller._pace.seconds == 0.01


async def test_a_poller_that_rests_is_not_overdue_and_one_that_hangs_is() -> None:
    now = asyncio.get_running_loop().time
    resting = Poller(Service(), Mirror(), Interest(), lambda *_, **__: None, lambda _: None, PollLimits(least=30.0))  # type: ignore[arg-type]
    hanging = Poller(Service(), Mirror(), Interest(), lambda *_, **__: None, lambda _: None)  # type: ignore[arg-type]
    stuck = asyncio.Event()

    async def never() -> None:
        stuck.set()
        await asyncio.Event().wait()

    hanging.poll = never  # type: ignore[method-assign]
    running = [asyncio.create_task(each.run()) for each in (resting, hanging)]
    await stuck.wait()
    while resting.last_success is None:
        await asyncio.sleep(0)
    for _ in range(3):
        await asyncio.sleep(0)
    assert resting.due > now() + 20
    assert hanging.due <= now()
    for each in running:
        each.cancel()
    await asyncio.wait(running)


def test_output_that_is_left_out_comes_with_the_next_polls() -> None:
    run_jumping(_late_output())


async def _late_output() -> None:
    scene = Scene()
    keys = [Key(Kind.TASK, "n", f"t{number:02}") for number in range(50)]
    for key in keys:
        scene.interest.add(key, "j", key.name)
    scene.service.items["jobs"] = job()
    scene.service.items["tasks"] = [failed(key.name) for key in keys]
    assert await scene.poll() == set(keys)

    def read() -> list[str]:
        return [each.partition(" ")[2] for each in scene.service.asked if each.startswith("tail")]

    assert read() == [f"t{number:02}/stderr.txt" for number in range(20)]
    # Their objects are done: nobody is interested in the tasks any more.
    for key in keys:
        scene.interest.drop(key)
    scene.mirror.outputs.forget(keys[49])
    scene.service.failing["tail"] = ServerBusyError("busy", status=503)
    await scene.poll()
    assert isinstance(scene.health[-1], ServerBusyError), "that is about the account"
    scene.service.failing = {"tail": ServerError("failed", status=500)}
    await scene.poll()
    scene.service.failing = {}
    # The busy service had been asked for one, which then stood at the end; the next twenty have failed, so they wait.
    assert await scene.poll() == {*keys[41:49], keys[20]}
    await asyncio.sleep(10)
    assert await scene.settled() == set(keys[21:41])
    assert scene.mirror.outputs.late(keys[30]) == output({"stderrTail": "first\nlast"})
    assert await scene.poll() == set()
    assert scene.service.asked == ["check"]


def test_compared_properties_are_requested_and_can_be_changed() -> None:
    """A member that the poll does not select looks unset, and is sent forever; one that the schema fixes never changes."""
    assert set(job_changes.PLAIN) <= set(_JOB_MEMBERS)
    assert {"constraints", "onAllTasksComplete", "poolInfo", "metadata"} <= set(_JOB_MEMBERS)
    assert set(job_changes.PLAIN) <= _CHANGEABLE
