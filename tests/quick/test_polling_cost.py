"""Task counts are asked for when a list of the account has changed: what rests costs little, and what moves is seen soon."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

import pytest

from support.stage import Options, Stage, job, operation, pool, sleeping, thing

ACCOUNTS = ("first", "second")
COUNTS = "Jobs_GetJobTaskCounts"
HOUR = 3600
MACHINE = {
    "imageReference": {"publisher": "canonical", "offer": "ubuntu-24_04-lts", "sku": "server"},
    "nodeAgentSKUId": "batch.node.ubuntu 24.04",
}


def _all_writes(stage: Stage) -> int:
    return sum(call.verb not in {"get", "list"} for call in stage.api.log)


def _counts(stage: Stage, name: str) -> dict[str, Any]:
    return dict(stage.status("bj", name).get("taskCounts") or {})


def _add(stage: Stage, job_id: str, task_id: str, seconds: int) -> None:
    """What another client does."""
    stage.azure.post(f"/jobs/{job_id}/tasks", {"id": task_id, "commandLine": f"/bin/sh -c 'sleep {seconds}'"})


@pytest.mark.parametrize("stage", [Options(accounts=ACCOUNTS)], indirect=True)
@pytest.mark.parametrize("nodes", [0, 1])
async def test_idle_pools_with_open_jobs_cost_two_counts_an_hour_each(stage: Stage, nodes: int) -> None:
    """At this rate, 2,000 open jobs in 4 accounts cost 80 calls a minute."""
    names = [f"{account}-{number}" for account in ACCOUNTS for number in range(3)]
    for account in ACCOUNTS:
        stage.apply(*stage.account_objects(account))
    for name in names:
        account = {"name": name.split("-")[0]}
        stage.apply(
            pool(name, accountRef=account, targetDedicatedNodes=nodes), job(f"open-{name}", poolRef={"name": name})
        )
        if not nodes:
            stage.apply(job(f"waits-{name}", poolRef={"name": name}, tasks=sleeping(2)))
    jobs = stage.names("bj")
    await stage.run_for(1.25 * HOUR)
    assert {stage.phase("bj", name) for name in jobs} == ({"Running"} if nodes else {"Running", "Waiting"})
    counts, calls, writes = stage.azure.calls(COUNTS), stage.azure.calls(), _all_writes(stage)
    await stage.run_for(1.5 * HOUR)
    assert stage.azure.calls(COUNTS) - counts <= 4 * len(jobs)
    assert stage.azure.calls() - calls <= 4 * len(jobs) + len(ACCOUNTS) * 3 * 90 * 1.25 + 2 * 2 * len(ACCOUNTS)
    counts = stage.azure.calls(COUNTS)
    await stage.restart()
    await stage.run_for(180)
    assert stage.azure.calls(COUNTS) - counts == len(jobs), "each job once, since nothing has changed"
    await stage.run_for(HOUR / 2)
    assert stage.azure.calls(COUNTS) - counts <= len(jobs) * 4
    assert _all_writes(stage) == writes


@pytest.mark.parametrize(("slots", "most"), [(1, 20), (2, 190)])
async def test_a_task_that_ends_after_three_hours_is_seen_at_once(stage: Stage, slots: int, most: int) -> None:
    await stage.ready_pool(targetDedicatedNodes=2, taskSlotsPerNode=slots)
    stage.apply(job("long", tasks=sleeping(1, 3 * HOUR), onAllTasksComplete="noaction"))
    await stage.until(lambda: _counts(stage, "long").get("running") == 1, 300)
    started = stage.now
    await stage.run_for(HOUR)
    counts = stage.azure.calls(COUNTS)
    await stage.run_for(HOUR)
    assert stage.azure.calls(COUNTS) - counts <= most
    await stage.until(lambda: _counts(stage, "long").get("completed") == 1, 2 * HOUR)
    assert stage.now - started <= 3 * HOUR + 60


async def test_a_task_that_ends_while_others_wait_for_its_node_is_seen_at_once(stage: Stage) -> None:
    """The node runs a task before and after, so its state tells nothing."""
    await stage.ready_pool(targetDedicatedNodes=1, taskSlotsPerNode=1)
    stage.apply(job("queue", tasks=sleeping(3, HOUR)))
    await stage.until(lambda: _counts(stage, "queue").get("running") == 1, 300)
    for ended in (1, 2):
        started = stage.now
        await stage.until(lambda ended=ended: _counts(stage, "queue").get("completed") == ended, 2 * HOUR)
        assert stage.now - started <= HOUR + 60


@pytest.mark.parametrize("jobs", [1, 21])
async def test_a_task_that_ends_while_another_clients_job_waits_for_its_node_is_seen_at_once(
    stage: Stage, jobs: int
) -> None:
    """Nobody counts the tasks of that job, and the node runs a task before and after."""
    await stage.ready_pool(targetDedicatedNodes=1, taskSlotsPerNode=1)
    stage.apply(pool("idle", targetDedicatedNodes=0))
    stage.apply(*[job(f"open-{number}", poolRef={"name": "idle"}) for number in range(1, jobs)])
    stage.apply(job("own", tasks=sleeping(1, 2 * HOUR), onAllTasksComplete="noaction"))
    await stage.until(lambda: _counts(stage, "own").get("running") == 1, 300)
    started = stage.now
    await stage.run_for(1.5 * HOUR)
    stage.azure.post("/jobs", {"id": "theirs", "poolInfo": {"poolId": "cpu"}})
    _add(stage, "theirs", "t", 3 * HOUR)
    await stage.until(lambda: _counts(stage, "own").get("completed") == 1, 3 * HOUR)
    assert stage.now - started <= 2 * HOUR + 60


async def test_a_task_that_ends_while_one_of_a_job_manager_waits_for_its_node_is_seen_at_once(stage: Stage) -> None:
    await stage.ready_pool(targetDedicatedNodes=1, taskSlotsPerNode=1)
    manager = {"id": "manager", "commandLine": f"/bin/sh -c 'sleep {2 * HOUR}'", "killJobOnCompletion": False}
    stage.apply(job("own", jobManagerTask=manager, onAllTasksComplete="noaction"))
    await stage.until(lambda: _counts(stage, "own").get("running") == 1, 600)
    started = stage.now
    await stage.run_for(2 * HOUR - 45)
    # As the job manager does from its node.
    _add(stage, "own", "step", HOUR)
    await stage.until(lambda: _counts(stage, "own").get("completed") == 1, 3 * HOUR)
    assert stage.now - started <= 2 * HOUR + 60


@pytest.mark.parametrize("by", ["tasks", "BatchTask"])
async def test_a_task_that_ends_while_one_that_another_task_has_added_waits_for_its_node_is_seen_at_once(
    stage: Stage, by: str
) -> None:
    """The other task has a token for the job."""
    await stage.ready_pool(targetDedicatedNodes=2, taskSlotsPerNode=1)
    body: dict[str, Any] = {
        "commandLine": f"/bin/sh -c 'sleep {4 * HOUR}'",
        "authenticationTokenSettings": {"access": ["job"]},
    }
    listed = [{"id": "adds", **body}] if by == "tasks" else []
    stage.apply(job("own", tasks=[*sleeping(1, 2 * HOUR), *listed], onAllTasksComplete="noaction"))
    if not listed:
        stage.apply(thing("BatchTask", "adds", jobRef={"name": "own"}, **body))
    await stage.until(lambda: (stage.azure.get("/jobs/own/tasks/t0") or {}).get("state") == "running", 600)
    started = stage.now
    await stage.run_for(2 * HOUR - 45)
    assert _counts(stage, "own")["running"] == 2
    _add(stage, "own", "added", HOUR)
    await stage.until(lambda: _counts(stage, "own").get("completed") == 1, 3 * HOUR)
    assert stage.now - started <= 2 * HOUR + 60


async def test_jobs_of_others_are_listed_only_on_the_pools_where_they_matter(stage: Stage) -> None:
    await stage.ready_pool(targetDedicatedNodes=1, taskSlotsPerNode=1)
    stage.azure.post("/jobs", {"id": "theirs", "poolInfo": {"poolId": "elsewhere"}})
    stage.apply(job("own", tasks=sleeping(1, 3 * HOUR), onAllTasksComplete="noaction"))
    await stage.until(lambda: _counts(stage, "own").get("running") == 1, 300)
    started, counts = stage.now, stage.azure.calls(COUNTS)
    await stage.run_for(2 * HOUR)
    filters = {
        parse_qs(call.query)["$filter"][0]
        for call in stage.azure.log
        if call.operation == "Jobs_ListJobs" and call.time >= started
    }
    assert filters == {"id eq 'own'", "state ne 'completed' and (executionInfo/poolId eq 'cpu')"}
    assert stage.azure.calls(COUNTS) - counts <= 60, "a job on another pool hides nothing"


@pytest.mark.parametrize("nodes", [0, 2])
async def test_a_task_that_another_client_adds_is_seen(stage: Stage, nodes: int) -> None:
    await stage.ready_pool(targetDedicatedNodes=nodes, taskSlotsPerNode=1)
    stage.apply(job("open"))
    await stage.until(lambda: _counts(stage, "open"), 300)
    await stage.run_for(2 * HOUR)
    added = stage.now
    _add(stage, "open", "theirs", HOUR)
    # Where it runs, its node shows it with the next poll; where it waits, for nodes that are not there, nothing else happens.
    await stage.until(lambda: _counts(stage, "open").get("running" if nodes else "active") == 1, HOUR)
    assert stage.now - added <= (90 if nodes else 2400)
    if not nodes:
        stage.patch("bp", "cpu", {"spec": {"targetDedicatedNodes": 1}})
    await stage.until(lambda: _counts(stage, "open").get("completed") == 1, 2 * HOUR)


async def test_a_task_that_another_client_adds_to_a_busy_pool_is_seen_within_ten_minutes(stage: Stage) -> None:
    """It waits for the node of the other task, so no list shows it."""
    await stage.ready_pool(targetDedicatedNodes=1, taskSlotsPerNode=1)
    stage.apply(job("open", tasks=sleeping(1, 3 * HOUR), onAllTasksComplete="noaction"))
    await stage.until(lambda: _counts(stage, "open").get("running") == 1, 300)
    await stage.run_for(2 * HOUR)
    added = stage.now
    _add(stage, "open", "theirs", HOUR)
    await stage.until(lambda: _counts(stage, "open").get("active") == 1, HOUR)
    assert stage.now - added <= 780


async def test_counts_that_lag_are_seen_later(stage: Stage) -> None:
    await stage.ready_pool(targetDedicatedNodes=1, taskSlotsPerNode=1)
    stage.azure.service.lag.seconds = 210
    stage.apply(job("lags", tasks=sleeping(1, 900), onAllTasksComplete="noaction"))
    await stage.until(lambda: _counts(stage, "lags").get("completed") == 1, 900 + 210 + 60 + 210 + 60)


async def test_effects_of_an_operation_on_waiting_tasks_are_observed(stage: Stage) -> None:
    """No list shows it: there is no node on which one of them could run."""
    await stage.ready_pool(targetDedicatedNodes=0)
    stage.apply(job("waits", tasks=sleeping(3)))
    await stage.until(lambda: _counts(stage, "waits").get("active") == 3, 300)
    await stage.run_for(2 * HOUR)
    reference = {"poolRef": None, "jobRef": {"name": "waits"}}
    stage.apply(operation("end", **reference, terminateTasks={"tasks": {"ids": ["t0"]}}))
    await stage.until(lambda: _counts(stage, "waits").get("active") == 2, 90)


async def test_reconcile_now_counts(stage: Stage) -> None:
    await stage.ready_pool(targetDedicatedNodes=0)
    stage.apply(job("open"))
    await stage.until(lambda: _counts(stage, "open"), 300)
    await stage.run_for(2 * HOUR)
    _add(stage, "open", "theirs", HOUR)
    stage.annotate("bj", "open", reconcile_now="1")
    await stage.until(lambda: _counts(stage, "open").get("active") == 1, 30)


async def test_a_write_to_the_pool_does_not_hide_what_its_jobs_wait_for(stage: Stage) -> None:
    """What a write has made old is unknown to those who decide; a job goes on to say what it waits for, and writes nothing."""
    await stage.ready_pool(targetDedicatedNodes=0)
    stage.apply(job("waits", tasks=sleeping(2)))
    await stage.until(lambda: stage.phase("bj", "waits") == "Waiting", 300)
    await stage.run_for(900)
    hold, writes = stage.azure.hold("Pools_ListPools"), stage.writes("bj", "waits", "status")
    stage.patch("bp", "cpu", {"spec": {"metadata": [{"name": "team", "value": "blue"}]}})
    await stage.until(lambda: stage.azure.calls("Pools_UpdatePool"), 60)
    stage.patch("ns", "default", {"metadata": {"labels": {"team": "blue"}}})
    await stage.run_for(5)
    hold.release()
    await stage.run_for(60)
    assert stage.writes("bj", "waits", "status") == writes


async def test_a_restart_writes_nothing_of_a_job_that_waits_on_a_pool_without_a_batchpool(stage: Stage) -> None:
    """Its status said for a moment that it runs, and then again what it waits for."""
    stage.apply(*stage.account_objects())
    await stage.until(lambda: stage.ready("bacc", "main"), 300)
    stage.azure.post("/pools", {"id": "theirs", "vmSize": "standard_d2s_v3", "virtualMachineConfiguration": MACHINE})
    pools: dict[str, Any] = {"poolRef": None, "accountRef": {"name": "main"}, "poolInfo": {"poolId": "theirs"}}
    stage.apply(job("waits", tasks=sleeping(2), **pools))
    await stage.until(lambda: "has no nodes" in stage.status("bj", "waits").get("waitingFor", ""), 300)
    await stage.run_for(600)
    writes = stage.writes("bj", "waits", "status")
    await stage.restart()
    await stage.run_for(300)
    assert stage.writes("bj", "waits", "status") == writes
    assert stage.phase("bj", "waits") == "Waiting"
