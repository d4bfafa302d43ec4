"""Work for what is ours: calls and memory of polls grow with what our objects ask for, and belong to one incarnation."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest

from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Key
from azure_batch_operator.batch import InvalidRequestError
from azure_batch_operator.reconcile.plan import Absent, Call, Table
from azure_batch_operator.sync.interest import Interest
from azure_batch_operator.sync.mirror import JobResults, Mirror
from azure_batch_operator.sync.polls import watch
from azure_batch_operator.sync.polls.account_metadata import shared
from azure_batch_operator.sync.polls.jobs import JobPoll
from azure_batch_operator.sync.polls.schedules import last_ids
from unit.sync.test_poll_scope import jumping
from unit.sync.test_poller import JOB, OWNER, Scene, task

SCHEDULE = Key(Kind.SCHEDULE, "n", "s")


def entry(id: str, state: str = "active", created: str = "2026-01-01T00:00:00Z", **more: Any) -> dict[str, Any]:
    return {"id": id, "state": state, "creationTime": created, "poolInfo": {"poolId": "p"}} | more


def scene_of(number: int) -> Scene:
    scene = Scene()
    for each in range(number):
        scene.interest.add(Key(Kind.JOB, "n", f"j{each:03}"), f"j{each:03}")
    scene.service.items["jobs"] = [entry(f"j{each:03}") for each in range(number)]
    scene.service.items["counts"] = [{"poolId": "p", "dedicated": {"idle": 1}}]
    scene.service.counts = {"active": 1}
    return scene


@jumping
async def test_open_jobs_at_rest_cost_no_call_but_for_a_slow_round() -> None:
    scene = scene_of(500)
    passes, calls, counted = 0, 0, 0
    while asyncio.get_running_loop().time() < 3600:
        await scene.poll()
        assert len(scene.service.counted) <= 100, "one poll stays short"
        passes, calls, counted = passes + 1, calls + scene.service.calls, counted + len(scene.service.counted)
        if passes == 5:
            assert counted == 500, "each of them once at the start"
        await asyncio.sleep(10)
    assert passes > 300
    assert counted <= 500 * 13, "at 20, 40, 80 … seconds, and then every ten minutes"
    assert calls - counted <= 4 * passes, "a poll is a few lists, however many jobs there are"


async def test_jobs_whose_result_is_known_keep_no_other_from_being_counted() -> None:
    """Hundreds of large jobs may end at once, and the retries of each are read for minutes."""
    mirror, interest = Mirror(), Interest()
    ids = [f"j{number:03}" for number in range(120)]
    for id in ids:
        interest.add(Key(Kind.JOB, "n", id), id)
    mirror.jobs.replace(0.0, [entry(id, "completed" if id < "j110" else "active") for id in ids])
    mirror.results |= {id: JobResults(unfinished=0, tries_left=True) for id in ids if id < "j110"}
    steps = JobPoll(Scene().service, mirror, interest).steps()  # type: ignore[arg-type]
    assert len(steps) == 100
    assert [step.scope.id for step in steps][:10] == ids[110:]


async def test_open_jobs_do_not_keep_the_last_retries_of_ended_ones_from_being_read() -> None:
    """An account may have more open jobs to count in each poll than one poll counts."""
    mirror, interest = Mirror(), Interest()
    ids = [f"j{number:03}" for number in range(130)]
    for id in ids:
        interest.add(Key(Kind.JOB, "n", id), id)
    mirror.jobs.replace(0.0, [entry(id, "completed" if id < "j003" else "active") for id in ids])
    mirror.results |= {id: JobResults(unfinished=0, tries_left=True) for id in ids if id < "j003"}
    read = [step.scope.id for step in JobPoll(Scene().service, mirror, interest).steps()]  # type: ignore[arg-type]
    assert len(read) == 100
    assert read[:97] == ids[3:100], "open jobs come first, and have all places that the others do not need"
    assert read[97:] == ids[:3]


@pytest.fixture
def without_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs at rest are counted together, and so not in the moments that a test looks at."""
    monkeypatch.setattr(watch, "_SPREAD", (1.0, 1.0))


@pytest.mark.usefixtures("without_spread")
@jumping
async def test_a_job_is_counted_at_once_when_something_about_it_can_have_changed() -> None:
    scene = scene_of(30)
    for _ in range(60):
        await scene.poll()
        await asyncio.sleep(60)

    async def counted() -> list[str]:
        await scene.poll()
        await asyncio.sleep(0.1)
        return sorted(scene.service.counted)

    async def rest() -> None:
        while await counted() or await counted() or await counted():
            await asyncio.sleep(20)

    def change(at: int, **more: Any) -> None:
        scene.service.items["jobs"][at] = scene.service.items["jobs"][at] | more

    await rest()
    change(3, eTag="0x2")
    assert await counted() == ["j003"], "its own entry"
    await rest()
    scene.poller.settled([Key(Kind.JOB, "n", "j004")])
    assert await counted() == ["j004"], "tasks were added"
    await rest()
    scene.interest.add(Key(Kind.TASK, "n", "t"), "j005", "t")
    scene.service.items["tasks"] = [task("t", "running", environmentSettings=OWNER)]
    await scene.poll()
    assert await counted() == ["j005"], "a BatchTask of it has moved"
    await rest()
    scene.service.items["counts"] = [{"poolId": "p", "dedicated": {"running": 1}}]
    assert len(await counted()) == 30, "the nodes of its pool"


@jumping
async def test_while_tasks_run_a_job_is_counted_within_twenty_seconds() -> None:
    scene = scene_of(1)
    scene.service.counts = {"running": 1}
    counted = 0
    for _ in range(600):
        await scene.poll()
        counted += len(scene.service.counted)
        await asyncio.sleep(1)
    assert 600 / 20 <= counted <= 60


@jumping
async def test_completed_jobs_of_the_account_are_neither_listed_nor_kept() -> None:
    scene = scene_of(30)
    scene.service.items["jobs"] += [entry(f"old{each}", "completed") for each in range(50_000)]
    scene.service.items["jobs"] += [entry(f"foreign{each}") for each in range(300)]
    for _ in range(3):
        await scene.poll()
        assert scene.service.calls <= 5 + 30, "with images and applications at first"
        assert [each for each in scene.service.asked if each.startswith("jobs")] == ["jobs where state ne 'completed'"]
    assert len(list(scene.mirror.jobs.entries())) == 30
    assert scene.mirror.jobs.get("old7") is Absent.UNKNOWN, "nobody has asked for it"


@jumping
async def test_a_few_jobs_are_requested_by_id_and_only_those_can_be_gone() -> None:
    scene = scene_of(3)
    del scene.service.items["jobs"][2]
    await scene.poll()
    assert scene.mirror.jobs.get("j002") is Absent.NOT_FOUND
    assert scene.mirror.jobs.get("other") is Absent.UNKNOWN
    late = Key(Kind.JOB, "n", "other")
    scene.interest.add(late, "other")
    assert late in await scene.poll()
    assert scene.mirror.jobs.get("other") is Absent.NOT_FOUND


@jumping
async def test_a_job_that_is_not_listed_as_open_is_requested_before_a_decision() -> None:
    scene = scene_of(40)
    await scene.poll()
    key = Key(Kind.JOB, "n", "j007")
    scene.service.hides = {"j007"}
    await scene.poll()
    assert scene.service.asked[2:4] == ["jobs where state ne 'completed'", "jobs where id eq 'j007'"]
    assert not isinstance(scene.mirror.jobs.get("j007"), Absent), "the list lies: pages move"
    scene.service.hides = set()
    scene.service.items["jobs"][7] = entry("j007", "completed")
    assert key in await scene.poll()
    there = scene.mirror.jobs.get("j007")
    assert not isinstance(there, Absent)
    assert there["state"] == "completed"
    await scene.poll()
    assert "jobs where id eq 'j007'" not in scene.service.asked, "it rests"
    del scene.service.items["jobs"][7]
    await asyncio.sleep(61)
    assert key in await scene.poll()
    assert scene.mirror.jobs.get("j007") is Absent.NOT_FOUND
    assert [each for each in scene.service.asked if each.startswith("get")] == ["get j007"], "and itself"


@jumping
async def test_a_service_that_takes_no_filter_by_id_is_asked_one_by_one() -> None:
    scene = scene_of(3)
    scene.service.failing["id eq"] = InvalidRequestError("no", status=400, code="InvalidQueryParameterValue")
    await scene.poll()
    assert scene.health == [None]
    assert not isinstance(scene.mirror.jobs.get("j000"), Absent)


@jumping
async def test_a_recreated_job_starts_with_nothing_remembered() -> None:
    scene = scene_of(1)
    name, key = "j000", Key(Kind.JOB, "n", "j000")
    tasks = [Key(Kind.TASK, "n", f"t{each}") for each in range(25)]
    for each in tasks:
        scene.interest.add(each, name, each.name)
    scene.service.items["tasks"] = [
        task(each.name, "completed", at="2026-01-01T09:00:00Z", environmentSettings=OWNER) for each in tasks
    ]
    scene.service.counts = {"completed": 25, "failed": 3, "running": 0, "active": 0}
    await scene.poll()
    await scene.poll()
    assert scene.mirror.tasks[name].get("t3") is not Absent.NOT_FOUND
    watch, listing = scene.poller._jobs._watches[name], scene.poller._tasks._lists[name]
    scene.service.items["jobs"] = [entry(name, created="2026-01-02T00:00:00Z")]
    scene.service.items["tasks"] = []
    scene.service.counts = {"active": 0}
    await scene.poll()
    assert scene.service.asked[-1] == "tasks", "all of them, and not what has changed since nine o'clock"
    assert scene.poller._jobs._watches[name] is not watch
    assert scene.poller._tasks._lists[name] is not listing
    assert scene.mirror.results[name].failed_count == 0
    assert scene.mirror.results[name].per_minute is None
    assert scene.mirror.tasks[name].get("t3") is Absent.NOT_FOUND
    assert key in set().union(*scene.told)


async def test_foreign_resources_are_kept_only_on_request() -> None:
    scene, pool = Scene(), Key(Kind.POOL, "n", "p")
    scene.interest.add(pool, "p")
    scene.service.items["pools"] = [{"id": "p", "state": "active"}, {"id": "theirs", "state": "active", "vmSize": "a"}]
    scene.service.items["counts"] = [{"poolId": "P", "dedicated": {"idle": 1}}, {"poolId": "theirs"}]
    scene.service.items["jobs"] = [entry("foreign", metadata=[{"name": "x", "value": "y"}]), entry("s:job-1")]
    await scene.poll()
    assert set(scene.mirror.node_counts) == {"p"}
    scene.interest.add(SCHEDULE, "s")
    await scene.poll()
    assert {job["id"] for job in scene.mirror.jobs.entries()} == {"s:job-1"}, "jobs of the schedule"
    scene.interest.watch_jobs(pool, wanted=True)
    await scene.poll()
    brief = {"state": "active", "poolInfo": {"poolId": "p"}}
    assert scene.mirror.jobs.brief("foreign") == {"id": "foreign", **brief}, "for a pool that is to go, in brief"


async def test_what_is_noted_of_a_pool_or_schedule_ends_with_it() -> None:
    scene, pool = Scene(), Key(Kind.POOL, "n", "p")
    scene.interest.add(pool, "p")
    scene.interest.add(SCHEDULE, "s")
    first = {"id": "P", "creationTime": "2026-01-01T00:00:00Z", "eTag": "0x1"}
    scene.service.items["pools"] = [first]
    scene.service.items["schedules"] = [{"id": "S", "creationTime": "2026-01-01T00:00:00Z"}]
    await scene.poll()
    notes = scene.mirror.notes["p"]
    notes.digests["startTask"] = scene.mirror.schedule_digests["s"]["jobSpecification"] = "old"
    notes.enabled, notes.start_task = 7.0, {"commandLine": "wanted"}
    await scene.poll()
    assert (scene.mirror.notes["p"].digests, scene.mirror.notes["p"].enabled) == ({"startTask": "old"}, 7.0)
    assert scene.mirror.schedule_digests["s"] == {"jobSpecification": "old"}
    scene.service.items["pools"] = [first | {"creationTime": "2026-01-02T00:00:00Z", "eTag": "0x2"}]
    scene.service.items["schedules"] = [{"id": "S", "creationTime": "2026-01-02T00:00:00Z"}]
    await scene.poll()
    assert (scene.mirror.notes["p"].digests, scene.mirror.notes["p"].enabled) == ({}, None)
    assert scene.mirror.notes["p"].start_task == {"commandLine": "wanted"}, "what the object wants is no memory"
    assert scene.mirror.schedule_digests["s"] == {}


async def test_a_pool_that_we_make_is_noted_from_its_creation_on() -> None:
    scene, pool = Scene(), Key(Kind.POOL, "n", "p")
    scene.interest.add(pool, "p")
    scene.service.items["pools"] = [{"id": "p", "creationTime": "2026-01-01T00:00:00Z", "eTag": "0x1"}]
    await scene.poll()
    scene.mirror.notes["p"].digests["userAccounts"] = "old"
    create = Call("create_pool", Table.POOLS, "P", body={"id": "P"}, digests={"startTask": "new"})
    scene.mirror.learn(create, None, 100.0)
    assert scene.mirror.notes["p"].digests == {"startTask": "new"}
    scene.service.items["pools"] = [{"id": "p", "creationTime": "2026-01-02T00:00:00Z", "eTag": "0x2"}]
    await scene.poll()
    assert scene.mirror.notes["p"].digests == {"startTask": "new"}, "the list shows the pool that was made"
    scene.mirror.forget_pool("P")
    assert "p" not in scene.mirror.notes


@jumping
async def test_a_recreated_completed_job_is_read_to_its_end_again() -> None:
    scene = scene_of(1)
    scene.service.items["jobs"], scene.service.counts = [entry("j000", "completed")], {}
    await scene.poll()
    assert scene.mirror.results["j000"].unfinished == 0
    scene.service.items["jobs"] = [entry("j000", "completed", created="2026-01-02T00:00:00Z")]
    scene.service.items["tasks"], scene.service.counts = [{"id": "a", "state": "active"}], {"active": 1}
    await scene.poll()
    assert scene.mirror.results["j000"].unfinished == 1


def schedule(recent: int | None, created: str = "2026-01-01T00:00:00Z") -> dict[str, Any]:
    info = {"recentJob": {"id": f"s:job-{recent}"}} if recent else {}
    return {"id": "s", "state": "active", "creationTime": created, "executionInfo": info}


@jumping
async def test_the_last_jobs_of_a_schedule_are_found_without_its_history() -> None:
    scene = Scene()
    scene.interest.add(SCHEDULE, "s")
    scene.service.items["schedules"] = [schedule(5000)]
    scene.service.items["jobs"] = [entry(f"s:job-{each}", "completed") for each in range(1, 5000)]
    scene.service.items["jobs"].append(entry("s:job-5000"))
    await scene.poll()
    ids = " or ".join(f"id eq 's:job-{each}'" for each in range(5000, 4990, -1))
    assert scene.service.asked[:4] == [
        "pools",
        "jobs where state ne 'completed'",
        "schedules where id eq 's'",
        f"jobs where {ids}",
    ]
    assert [job["id"] for job in scene.mirror.schedule_jobs["s"]] == [f"s:job-{each}" for each in range(5000, 4990, -1)]
    await scene.poll()
    assert len(scene.service.asked) == 3, "nothing, while its open job is open"
    scene.service.items["jobs"][-1] = entry("s:job-5000", "completed")
    assert await scene.poll() == {SCHEDULE}
    assert scene.mirror.schedule_jobs["s"][0]["taskCounts"] == {}
    await scene.poll()
    assert len(scene.service.asked) == 3
    scene.service.items["schedules"] = [schedule(1, created="2026-02-02T00:00:00Z")]
    scene.service.items["jobs"] = [entry("s:job-1")]
    assert await scene.poll() == {SCHEDULE}
    assert [job["id"] for job in scene.mirror.schedule_jobs["s"]] == ["s:job-1"]


@pytest.mark.parametrize(
    ("recent", "ids"),
    [("s:job-2", ["s:job-2", "s:job-1"]), ("s:job-", []), ("x", []), ("a-b:job-1", ["a-b:job-1"])],
)
def test_ids_of_the_last_jobs(recent: str, ids: list[str]) -> None:
    assert last_ids(recent) == ids


@jumping
async def test_many_accounts_with_the_same_images_keep_one_copy() -> None:
    offered = [
        {"nodeAgentSKUId": f"batch.node.{each}", "imageReference": {"sku": str(each)}, "capabilities": ["x" * 1000]}
        for each in range(50)
    ]
    scenes = [Scene() for _ in range(3)]
    for scene in scenes:
        scene.service.items["images"] = [dict(image) for image in offered]
        await scene.poll()
    assert scenes[0].mirror.images is scenes[2].mirror.images
    assert scenes[0].mirror.images is not None
    assert sum(sys.getsizeof(str(each)) for each in scenes[0].mirror.images) < 50 * 300
    assert shared([]) == []


@jumping
async def test_an_idle_account_with_an_open_job_is_polled_once_a_minute() -> None:
    scene = scene_of(1)
    running = asyncio.create_task(scene.poller.run())
    await asyncio.sleep(3600)
    before = scene.service.calls
    await asyncio.sleep(3600)
    assert scene.service.calls - before <= 60 * 3 * 1.25 + 7, "two lists of pools, one of jobs, and some counts"
    running.cancel()
    await asyncio.wait([running])
    assert JOB not in scene.interest
