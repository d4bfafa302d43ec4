"""A list lacks what is there, as one does that lags or whose pages move: its absence is no proof."""

from __future__ import annotations

import pytest

from support.stage import Stage, job, schedule, sleeping, task

PLACES = {
    "bp": ("cpu", "/pools/cpu"),
    "bj": ("own", "/jobs/own"),
    "bjs": ("nightly", "/jobschedules/nightly"),
    "bt": ("t", "/jobs/own/tasks/t"),
}


async def all_kinds(stage: Stage) -> None:
    """One of each kind, all at work."""
    await stage.ready_pool()
    manager = {"id": "manager", "commandLine": "sleep 36000"}
    specification = {"poolRef": {"name": "cpu"}, "jobManagerTask": manager}
    stage.apply(schedule("nightly", schedule={"recurrenceInterval": "PT24H"}, jobSpecification=specification))
    stage.apply(job("own", onAllTasksComplete="noaction"), task("t", "own", "sleep 36000"))
    await stage.until(lambda: stage.phase("bt", "t") == "Running" and stage.ready("bjs", "nightly"), 120)


@pytest.mark.parametrize("kind", PLACES)
async def test_an_object_is_not_released_because_lists_lack_what_it_owns(stage: Stage, kind: str) -> None:
    """The operator is new, so nothing but the lists tells it of what is there."""
    name, path = PLACES[kind]
    await all_kinds(stage)
    await stage.kill()
    stage.delete(kind, name)
    gap = stage.azure.omit(path)
    stage.start()
    await stage.run_for(40)
    assert gap.hits
    assert stage.azure.get(path) is not None
    assert not stage.gone(kind, name)
    gap.end()
    await stage.until(lambda: stage.gone(kind, name), 600)
    assert stage.azure.get(path) is None


READS = r"(Pools_GetPool|Jobs_GetJob|JobSchedules_GetJobSchedule|Tasks_GetTask|Tasks_ListTasks)"


@pytest.mark.parametrize("kind", PLACES)
async def test_a_404_that_does_not_name_what_is_missing_releases_nothing(stage: Stage, kind: str) -> None:
    """Such as one of a proxy. What is not deleted then stays in the account, and pools cost."""
    name, path = PLACES[kind]
    await all_kinds(stage)
    await stage.kill()
    stage.delete(kind, name)
    gap, refusal = stage.azure.omit(path), stage.azure.fault(READS, path=path, status=404, code="ResourceNotFound")
    stage.start()
    await stage.run_for(200)
    assert gap.hits
    assert refusal.hits
    assert stage.azure.get(path) is not None
    assert not stage.gone(kind, name)
    gap.end()
    stage.azure.heal()
    await stage.until(lambda: stage.gone(kind, name), 900)
    assert stage.azure.get(path) is None


@pytest.mark.parametrize("kind", ["bp", "bj", "bjs"])
async def test_a_404_that_does_not_name_what_is_missing_is_no_absence(stage: Stage, kind: str) -> None:
    _, path = PLACES[kind]
    await all_kinds(stage)
    await stage.run_for(60)
    since = stage.now
    gap, refusal = stage.azure.omit(path), stage.azure.fault(READS, path=path, status=404, code="ResourceNotFound")
    await stage.run_for(120)
    assert gap.hits
    assert refusal.hits
    assert stage.azure.changes(since) == []


@pytest.mark.parametrize("kind", ["bp", "bj", "bjs"])
async def test_an_object_says_that_neither_list_nor_get_shows_what_it_owns(stage: Stage, kind: str) -> None:
    name, path = PLACES[kind]
    await all_kinds(stage)
    await stage.run_for(60)

    def reconciling(member: str) -> str:
        return str(stage.condition(kind, name, "Reconciling").get(member, ""))

    gap = stage.azure.omit(path)
    stage.azure.fault(READS, path=path, status=404, code="ResourceNotFound")
    await stage.until(lambda: reconciling("reason") == "ObservationFailed", 300)
    assert f"{name!r} cannot be read: ResourceNotFound: " in reconciling("message")
    assert stage.ready("bacc", "main")
    writes = stage.writes(kind, name)
    await stage.run_for(1800)
    assert reconciling("reason") == "ObservationFailed"
    assert stage.writes(kind, name) == writes, "it is said once"
    gap.end()
    stage.azure.heal()
    # One poll, not the backoff of the failures before. The list of a job's tasks has failed as well, and waits for its own.
    await stage.until(lambda: reconciling("reason") != "ObservationFailed", 600 if kind == "bj" else 75)
    assert stage.ready(kind, name)


@pytest.mark.parametrize("kind", ["bp", "bj", "bjs"])
async def test_an_object_stays_until_what_it_owns_is_gone_although_lists_lack_it_already(
    stage: Stage, kind: str
) -> None:
    """The operator has made it, and has sent the DELETE, which takes the service a while."""
    name, path = PLACES[kind]
    await all_kinds(stage)
    stage.azure.omit(path)
    stage.delete(kind, name)
    await stage.until(lambda: stage.gone(kind, name), 600)
    assert stage.azure.get(path) is None


@pytest.mark.parametrize("kind", ["bp", "bj", "bjs"])
async def test_an_existing_resource_does_not_count_as_gone_when_lists_lack_it(stage: Stage, kind: str) -> None:
    _, path = PLACES[kind]
    await all_kinds(stage)
    await stage.run_for(60)
    writes, since = stage.writes(), stage.now
    gap = stage.azure.omit(path)
    await stage.run_for(120)
    assert gap.hits
    assert stage.azure.changes(since) == []
    assert stage.writes() == writes, "nobody is told of it"


async def test_a_new_operator_does_not_say_that_a_job_was_deleted_because_lists_lack_it(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(job("own", tasks=sleeping(2, 36000)), task("t", "own", "sleep 36000"))
    await stage.until(lambda: stage.phase("bj", "own") == stage.phase("bt", "t") == "Running", 120)
    await stage.until(lambda: stage.status("bj", "own").get("tasksStartTime"), 120)
    await stage.kill()
    gap = stage.azure.omit("/jobs/own")
    stage.start()
    await stage.run_for(40)
    assert gap.hits
    assert stage.phase("bj", "own") == stage.phase("bt", "t") == "Running"
    assert stage.events(reason="JobGone") == []


async def test_a_job_that_lists_lack_is_cleaned_up_anyway(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(job("own", tasks=sleeping(1, 5), ttlSecondsAfterFinished=100, ttlPolicy="KeepObject"))
    await stage.until(lambda: stage.phase("bj", "own") == "Succeeded", 300)
    await stage.kill()
    await stage.run_for(200)
    gap = stage.azure.omit("/jobs/own", count=2)
    stage.start()
    await stage.until(lambda: stage.status("bj", "own").get("cleanedUp"), 300)
    assert gap.hits == 2
    assert stage.azure.get("/jobs/own") is None


async def test_a_task_that_ran_is_not_said_to_have_never_run_because_a_list_lacks_it(stage: Stage) -> None:
    """It has ended, and so has its job, since the last look."""
    await stage.ready_pool()
    stage.apply(job("own", onAllTasksComplete="noaction"), task("t", "own", "sleep 3"))
    await stage.until(lambda: stage.phase("bt", "t") == "Running", 120)
    stage.freeze()
    await stage.run_for(10)
    stage.azure.post("/jobs/own/terminate")
    await stage.run_for(10)
    gap = stage.azure.omit("/jobs/own/tasks/t", count=3)
    stage.thaw()
    await stage.until(lambda: stage.phase("bt", "t") == "Succeeded", 120)
    assert gap.hits


async def test_a_task_that_lists_lack_is_not_added_again_and_again(stage: Stage) -> None:
    await all_kinds(stage)
    added = stage.azure.calls("Tasks_CreateTaskCollection")
    gap = stage.azure.omit("/jobs/own/tasks/t")
    await stage.run_for(300)
    assert stage.azure.calls("Tasks_CreateTaskCollection") - added <= 12, "ever more rarely"
    assert stage.reason("bt", "t") == "TaskExists"
    gap.end()
    await stage.until(lambda: stage.ready("bt", "t"), 90)


async def test_one_list_that_lacks_a_task_is_nothing_to_show(stage: Stage) -> None:
    await all_kinds(stage)
    writes = stage.writes("bt", "t")
    gap = stage.azure.omit("/jobs/own/tasks/t", count=1)
    await stage.run_for(120)
    assert gap.hits == 1
    assert stage.writes("bt", "t") == writes
