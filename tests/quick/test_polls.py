"""What the whole operator asks of an account, and what an error of one call does to the rest."""

from __future__ import annotations

from collections import Counter

import pytest

from support.stage import Options, Stage, job, pool, schedule, sleeping, task, thing

OFFERS = {"Pools_ListSupportedImages", "Applications_ListApplications"}


@pytest.mark.parametrize("how", [{"status": 500, "code": "InternalError"}, {"hang": True}, {"truncate": 0.5}])
async def test_one_job_that_cannot_be_counted_concerns_that_job_alone(stage: Stage, how: dict[str, object]) -> None:
    await stage.ready_pool()
    stage.apply(job("bad", tasks=sleeping(1, 3600)))
    await stage.until(lambda: stage.phase("bj", "bad") == "Running", 900)
    fault = stage.azure.fault("Jobs_GetJobTaskCounts", path="/jobs/bad/", **how)
    stage.apply(job("good", tasks=sleeping(1, 10)))
    await stage.until(lambda: stage.phase("bj", "good") == "Succeeded", 900)
    await stage.run_for(900)
    account = [
        each.body["status"]["phase"] for each in stage.server.log if each.id.name == "main" and "status" in each.body
    ]
    assert set(account[1:]) <= {"Pending", "Connecting", "Connected"}, "the account answers"
    assert stage.ready("bp", "cpu")
    said = stage.condition("bj", "bad", "Reconciling")
    assert said is not None
    assert said["reason"] == "ObservationFailed"
    assert "the task counts of job 'bad'" in said["message"]
    assert fault.hits <= 60
    writes = stage.writes("bj", "bad", "status")
    await stage.run_for(1800)
    assert stage.writes("bj", "bad", "status") == writes, "the same words are written once"
    stage.azure.heal()
    await stage.until(lambda: stage.phase("bj", "bad") == "Succeeded", 3600)
    assert not stage.condition("bj", "bad", "Reconciling")


async def test_a_long_retry_after_is_throttling_and_not_silence(stage: Stage) -> None:
    await stage.ready_pool()
    stage.azure.fault(status=429, code="TooManyRequests", retryAfter=86400, count=1)
    await stage.until(lambda: stage.phase("bacc", "main") == "Throttled", 300)
    begun = stage.now
    await stage.until(lambda: stage.phase("bacc", "main") == "Connected", 900)
    assert stage.now - begun <= 400, "five minutes, not a day"
    reasons = {each.body["status"]["conditions"][0]["reason"] for each in stage.server.log
               if each.id.name == "main" and "conditions" in each.body.get("status", {})}  # fmt: skip
    assert reasons <= {"Connecting", "Connected", "Throttled"}


async def test_faults_at_the_start_of_an_account_do_not_keep_it_connecting(stage: Stage) -> None:
    stage.azure.fault(status=500, code="InternalError", count=9)
    stage.azure.fault(reset=True, skip=9, count=9)
    stage.apply(*stage.account_objects(), pool("cpu"))
    await stage.until(lambda: stage.phase("bacc", "main") == "Connected", 300)
    await stage.until(lambda: stage.ready("bp", "cpu"), 600)


async def test_open_jobs_at_rest_cost_no_calls_and_a_restart_writes_nothing(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(*(job(f"open{number:03}") for number in range(60)), job("own", tasks=sleeping(3, 1)), job("steps"))
    stage.apply(*(task(f"t{number}", "steps") for number in range(20)))
    await stage.until(lambda: stage.phase("bj", "own") == "Succeeded", 900)
    await stage.until(lambda: all(stage.phase("bt", f"t{number}") == "Succeeded" for number in range(20)), 900)
    await stage.run_for(3600)
    before = len(stage.azure.log)
    await stage.run_for(3600)
    calls = Counter(each.operation for each in stage.azure.log[before:])
    assert calls.pop("Jobs_GetJobTaskCounts") <= 61 * 7, "each job every ten minutes"
    assert calls.keys() == {"Pools_ListPools", "Pools_ListPoolNodeCounts", "Jobs_ListJobs"} | calls.keys() & OFFERS
    assert calls.total() <= 75 * 3 + 2, "and each minute two lists of pools and one of jobs"
    writes = len([each for each in stage.api.log if each.verb not in {"get", "list"}])
    await stage.restart()
    await stage.run_for(600)
    assert len([each for each in stage.api.log if each.verb not in {"get", "list"}]) == writes


@pytest.mark.parametrize("foreign", [3000])
async def test_a_task_of_a_large_foreign_job_is_found_without_its_other_tasks(stage: Stage, foreign: int) -> None:
    await stage.ready_pool()
    stage.azure.post("/jobs", {"id": "theirs", "poolInfo": {"poolId": "cpu"}, "priority": -100})
    for first in range(0, foreign, 100):
        tasks = [{"id": f"x{first + each}", "commandLine": "sleep 36000"} for each in range(100)]
        stage.azure.post("/jobs/theirs/addtaskcollection", {"value": tasks})
    before = len(stage.azure.log)
    mine = thing("BatchTask", "mine", jobId="theirs", accountRef={"name": "main"}, commandLine="sleep 5")
    stage.apply(mine)
    await stage.until(lambda: stage.azure.get("/jobs/theirs/tasks/mine"), 300)
    await stage.run_for(300)
    listed = [each for each in stage.azure.log[before:] if each.operation == "Tasks_ListTasks"]
    assert listed
    assert all("skiptoken" not in each.query for each in listed), "never a second page"


async def test_a_job_that_another_client_recreated_is_followed_from_the_start(stage: Stage) -> None:
    """The first has had 5 tasks that ended well, the second has one that fails: nothing of the first is told of it."""
    await stage.ready_pool()
    stage.apply(job("steps"), *(task(f"t{number}", "steps", "sleep 1") for number in range(3)))
    await stage.until(lambda: all(stage.phase("bt", f"t{number}") == "Succeeded" for number in range(3)), 900)
    stage.apply(task("late", "steps", "sleep 7200"))
    await stage.until(lambda: stage.azure.get("/jobs/steps/tasks/late"), 300)
    stage.azure.delete("/jobs/steps")
    await stage.until(lambda: stage.azure.get("/jobs/steps") is None, 300)
    await stage.until(lambda: stage.azure.get("/jobs/steps/tasks/late"), 600, "it is added to the new job")


def test_many_accounts_with_an_open_job_each_are_quiet() -> None:
    """A hundred namespaces' worth of accounts, each with a pool and an open job: calls at rest."""
    from support.stage import run_on_stage

    async def scenario(stage: Stage) -> int:
        for number in range(30):
            name = f"a{number}"
            stage.apply(
                *stage.account_objects(name), pool(f"p{number}", accountRef={"name": name}, targetDedicatedNodes=0)
            )
            stage.apply(job(f"j{number}", poolRef={"name": f"p{number}"}))
        await stage.until(
            lambda: all(stage.phase("bj", f"j{each}") in {"Active", "Running"} for each in range(30)), 900
        )
        await stage.run_for(1800)
        before = len(stage.azure.log)
        await stage.run_for(600)
        return len(stage.azure.log) - before

    calls: int = run_on_stage(scenario, Options(settings={"poll_seconds": 1.0}))
    assert calls <= 30 * (10 * 1.3 * 3 + 5), "three lists a minute for each, and a count now and then"


ACCOUNTS = tuple(f"account{number}" for number in range(20))


@pytest.mark.parametrize("stage", [Options(accounts=ACCOUNTS)], indirect=True)
async def test_idle_accounts_cost_two_lists_a_minute_each(stage: Stage) -> None:
    """One in each namespace, with a pool: no call, read or write beyond looking now and then."""
    for name in ACCOUNTS:
        machine = pool("cpu", targetDedicatedNodes=1)
        machine["metadata"]["namespace"] = name
        namespace = {"kind": "Namespace", "metadata": {"name": name}}
        stage.apply(namespace, *stage.account_objects(namespace=name, accountName=name), machine)
    await stage.until(lambda: all(stage.phase("bp", "cpu", name) == "Steady" for name in ACCOUNTS), 600)
    await stage.run_for(300)
    since, writes, minutes = stage.now, stage.writes(), 5
    await stage.run_for(60 * minutes)
    assert stage.azure.calls(since=since) <= 2 * len(ACCOUNTS) * (minutes + 1)
    assert stage.writes() == writes


async def test_ended_resources_are_no_longer_requested(stage: Stage) -> None:
    """A job, a task of a job that stays open, and a schedule, before a resync looks at their objects again."""
    await stage.ready_pool()
    stage.azure.post("/jobs", {"id": "theirs", "poolInfo": {"poolId": "cpu"}})
    single = thing("BatchTask", "single", jobId="theirs", accountRef={"name": "main"}, commandLine="sleep 5")
    specification = {"poolRef": {"name": "cpu"}, "jobManagerTask": {"id": "manager", "commandLine": "sleep 5"}}
    # Not long after the beginning of the stage's time: a schedule is over when its own time is.
    once = {"recurrenceInterval": "PT24H", "doNotRunAfter": "2026-05-28T20:40:00Z"}
    stage.apply(job("own", tasks=sleeping(2, 5)), single)
    stage.apply(schedule("once", schedule=once, jobSpecification=specification))
    await stage.until(lambda: stage.phase("bj", "own") == stage.phase("bt", "single") == "Succeeded", 120)
    await stage.until(lambda: stage.phase("bjs", "once") == "Completed", 1200)
    await stage.run_for(5)
    since = stage.now
    await stage.run_for(240)
    asked = {each.operation for each in stage.azure.log if each.time >= since}
    assert asked - OFFERS == {"Pools_ListPools", "Pools_ListPoolNodeCounts"}


async def test_many_tasks_that_join_a_few_are_added_at_once(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(job("open"), task("first", "open", "/bin/sh -c 'sleep 600'"))
    await stage.until(lambda: stage.phase("bt", "first") == "Running")
    # More than one filter names: from here on whole lists are read, which show none of them.
    stage.apply(*(task(f"t{number:02}", "open") for number in range(25)))
    await stage.until(lambda: stage.azure.calls("Tasks_CreateTaskCollection") == 2, 10)
