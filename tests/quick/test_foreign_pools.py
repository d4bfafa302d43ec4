"""Jobs, schedules and tasks run on no pool of another namespace that is named by its ID, unless its BatchPool allows that."""

from __future__ import annotations

from typing import Any

import pytest

from quick.test_operation_auto_pools import auto, made
from quick.test_operations import pool_body
from support.stage import Stage, job, pool, schedule, sleeping, thing
from support.stage.faults import Hold

Body = dict[str, Any]
TEAM = {"kind": "Namespace", "metadata": {"name": "team", "labels": {"tier": "gold"}}}
ACCOUNT = {"name": "main", "namespace": "default"}
NOT_ALLOWED = "PoolNotAllowed"


def theirs(name: str = "theirs", pool_id: str = "cpu", **spec: Any) -> Body:
    """A job of the other namespace that names a pool by its ID."""
    given = {"poolRef": None, "poolInfo": {"poolId": pool_id}, "accountRef": ACCOUNT, "tasks": sleeping(1)} | spec
    body = job(name, **given)
    body["metadata"]["namespace"] = "team"
    return body


async def shared_account(stage: Stage, **spec: Any) -> None:
    stage.apply(TEAM, *stage.account_objects(allowedNamespaces={"all": True}), pool("cpu", **spec))
    await stage.until(lambda: stage.ready("bp", "cpu"), 600)


async def test_a_job_does_not_run_on_the_pool_of_another_namespace(stage: Stage) -> None:
    await shared_account(stage)
    stage.apply(theirs())
    await stage.until(lambda: stage.reason("bj", "theirs", "team") == NOT_ALLOWED, 120)
    await stage.run_for(600)
    assert stage.azure.get("/jobs/theirs") is None
    message = stage.condition("bj", "theirs", "Ready", "team")["message"]
    assert "BatchPool default/cpu" in message
    assert "spec.allowedNamespaces" in message
    assert [each["type"] for each in stage.events("bj", "theirs", NOT_ALLOWED, "team")] == ["Warning"]


@pytest.mark.parametrize("allowed", [{"names": ["team"]}, {"selector": {"matchLabels": {"tier": "gold"}}}])
async def test_a_batch_pool_that_allows_the_namespace_takes_its_jobs(stage: Stage, allowed: Body) -> None:
    await shared_account(stage)
    stage.apply(theirs())
    await stage.until(lambda: stage.reason("bj", "theirs", "team") == NOT_ALLOWED, 120)
    stage.patch("bp", "cpu", {"spec": {"allowedNamespaces": allowed}})
    await stage.until(lambda: stage.phase("bj", "theirs", "team") == "Succeeded", 900)
    assert stage.azure.calls("Pools_UpdatePool") + stage.azure.calls("Pools_ReplacePoolProperties") == 0


async def test_the_namespace_of_the_pool_may_name_it_by_id(stage: Stage) -> None:
    await shared_account(stage)
    stage.apply(job("own", poolRef=None, poolInfo={"poolId": "cpu"}, accountRef={"name": "main"}, tasks=sleeping(1)))
    await stage.until(lambda: stage.phase("bj", "own") == "Succeeded", 900)


async def test_a_pool_that_nobody_owns_takes_the_jobs_of_all(stage: Stage) -> None:
    await shared_account(stage)
    stage.azure.post("/pools", pool_body("free", 1))
    stage.apply(theirs(pool_id="free"))
    await stage.until(lambda: stage.phase("bj", "theirs", "team") == "Succeeded", 1200)


async def test_a_job_does_not_run_on_the_auto_pool_of_another_job(stage: Stage) -> None:
    await shared_account(stage)
    own = {"poolRef": None, "accountRef": {"name": "main"}, "poolInfo": auto(), "tasks": sleeping(1, 30_000)}
    stage.delete("bp", "cpu")
    await stage.until(lambda: stage.azure.ids("/pools") == [], 600)
    stage.apply(job("mine", **own))
    id = await made(stage)
    stage.apply(theirs(pool_id=id))
    await stage.until(lambda: stage.reason("bj", "theirs", "team") == NOT_ALLOWED, 120)
    assert stage.azure.get("/jobs/theirs") is None


async def test_a_job_does_not_flee_to_the_pool_of_another_namespace(stage: Stage) -> None:
    await shared_account(stage)
    stage.azure.post("/pools", pool_body("free", 1))
    backoff = {"maxRequeues": 1, "fallbackPoolId": "cpu"}
    stage.apply(theirs(pool_id="free", tasks=sleeping(1, 9000), backoff=backoff))
    await stage.until(lambda: stage.phase("bj", "theirs", "team") == "Running", 1200)
    for _ in range(3):
        await stage.until(lambda: stage.azure.get("/jobs/theirs/tasks/t0")["state"] == "running", 1200)  # type: ignore[index]
        (node,) = stage.azure.ids("/pools/free/nodes")
        stage.azure.post(f"/pools/free/nodes/{node}/reboot", {"nodeRebootOption": "requeue"})
        await stage.run_for(60)
    assert stage.azure.get("/jobs/theirs")["poolInfo"] == {"poolId": "free"}  # type: ignore[index]
    assert stage.events("bj", "theirs", NOT_ALLOWED, "team")


async def test_a_job_does_not_move_to_the_pool_of_another_namespace(stage: Stage) -> None:
    await shared_account(stage)
    stage.azure.post("/pools", pool_body("free", 1))
    stage.apply(theirs(pool_id="free", tasks=sleeping(1, 9000)))
    await stage.until(lambda: stage.phase("bj", "theirs", "team") == "Running", 1200)
    stage.patch("bj", "theirs", {"spec": {"poolInfo": {"poolId": "cpu"}}}, "team")
    await stage.until(lambda: stage.condition("bj", "theirs", "NotApplied", "team").get("reason") == NOT_ALLOWED, 120)
    assert stage.azure.get("/jobs/theirs")["poolInfo"] == {"poolId": "free"}  # type: ignore[index]


@pytest.mark.parametrize("named", ["poolInfo", "fallbackPoolId"])
async def test_a_job_names_no_pool_by_its_id_before_it_is_known_whose_it_is(stage: Stage, named: str) -> None:
    """Azure Batch accepts a job for a pool that does not exist, and runs it on whoever's pool then gets the ID."""
    stage.apply(TEAM, *stage.account_objects(allowedNamespaces={"all": True}))
    stage.azure.post("/pools", pool_body("free", 1))
    fallback = {"pool_id": "free", "backoff": {"maxRequeues": 1, "fallbackPoolId": "cpu"}}
    stage.apply(theirs(tasks=sleeping(1, 9000), **(fallback if named == "fallbackPoolId" else {})))
    if named == "poolInfo":
        await stage.until(lambda: stage.reason("bj", "theirs", "team") == "PoolNotFound", 120)
        message = stage.condition("bj", "theirs", "Ready", "team")["message"]
        assert message == (
            "spec.poolInfo.poolId names pool 'cpu', which is not in the Azure Batch account: create the pool, or correct the ID"
        )
        assert stage.azure.get("/jobs/theirs") is None
    else:
        await stage.until(lambda: stage.phase("bj", "theirs", "team") == "Running", 1200)
        assert stage.events("bj", "theirs", "PoolNotFound", "team")
    stage.apply(pool("cpu"))
    await stage.until(lambda: stage.ready("bp", "cpu"), 600)
    await stage.run_for(120)
    if named == "poolInfo":
        assert stage.reason("bj", "theirs", "team") == NOT_ALLOWED
        assert stage.azure.get("/jobs/theirs") is None
    else:
        assert stage.azure.get("/jobs/theirs")["poolInfo"] == {"poolId": "free"}  # type: ignore[index]


async def test_a_job_takes_a_pool_that_somebody_makes_later(stage: Stage) -> None:
    stage.apply(TEAM, *stage.account_objects(allowedNamespaces={"all": True}))
    stage.apply(theirs(pool_id="free"))
    await stage.until(lambda: stage.reason("bj", "theirs", "team") == "PoolNotFound", 120)
    stage.azure.post("/pools", pool_body("free", 1))
    await stage.until(lambda: stage.phase("bj", "theirs", "team") == "Succeeded", 1200)


async def test_a_schedule_takes_a_pool_that_somebody_makes_later(stage: Stage) -> None:
    stage.apply(TEAM, *stage.account_objects(allowedNamespaces={"all": True}))
    named = {"poolInfo": {"poolId": "free"}}
    body = schedule("tick", accountRef=ACCOUNT, schedule={"recurrenceInterval": "PT1H"}, jobSpecification=named)
    body["metadata"]["namespace"] = "team"
    stage.apply(body)
    await stage.until(lambda: stage.reason("bjs", "tick", "team") == "PoolNotFound", 120)
    assert stage.azure.get("/jobschedules/tick") is None
    stage.azure.post("/pools", pool_body("free", 1))
    await stage.until(lambda: stage.azure.get("/jobschedules/tick"), 300)


async def test_a_job_on_a_pool_that_became_another_namespaces_gets_no_more_tasks(stage: Stage) -> None:
    stage.apply(TEAM, *stage.account_objects(allowedNamespaces={"all": True}))
    stage.azure.post("/pools", pool_body("cpu", 0))
    stage.apply(theirs(tasks=sleeping(1, 9000)))
    await stage.until(lambda: stage.phase("bj", "theirs", "team") == "Waiting", 300)
    stage.azure.delete("/pools/cpu")
    await stage.until(lambda: stage.azure.ids("/pools") == [], 600)
    stage.apply(pool("cpu"))
    await stage.until(lambda: stage.ready("bp", "cpu"), 600)
    stage.patch("bj", "theirs", {"spec": {"tasks": sleeping(3, 9000)}}, "team")
    stage.apply(thing("BatchTask", "extra", "team", jobRef={"name": "theirs"}, commandLine="true"))
    await stage.until(lambda: stage.reason("bj", "theirs", "team") == NOT_ALLOWED, 120)
    await stage.until(lambda: stage.reason("bt", "extra", "team") == NOT_ALLOWED, 120)
    assert stage.azure.ids("/jobs/theirs/tasks") == ["t0"]


async def test_a_task_does_not_reach_the_pool_of_another_namespace_by_a_job_of_nobody(stage: Stage) -> None:
    await shared_account(stage)
    stage.azure.post("/jobs", {"id": "free", "poolInfo": {"poolId": "cpu"}})
    stage.apply(thing("BatchTask", "t", "team", jobId="free", accountRef=ACCOUNT, commandLine="true"))
    await stage.until(lambda: stage.reason("bt", "t", "team") == NOT_ALLOWED, 120)
    assert stage.azure.ids("/jobs/free/tasks") == []


async def test_a_schedule_makes_no_jobs_on_the_pool_of_another_namespace(stage: Stage) -> None:
    await shared_account(stage)
    named = {"poolInfo": {"poolId": "cpu"}}
    body = schedule("tick", accountRef=ACCOUNT, schedule={"recurrenceInterval": "PT1H"}, jobSpecification=named)
    body["metadata"]["namespace"] = "team"
    stage.apply(body)
    await stage.until(lambda: stage.reason("bjs", "tick", "team") == NOT_ALLOWED, 120)
    assert stage.azure.get("/jobschedules/tick") is None


async def tasks_that_wait(stage: Stage) -> Hold:
    """350 BatchTasks of the other namespace on a pool that allows it; the call that adds the first of them is held up."""
    await shared_account(stage, allowedNamespaces={"names": ["team"]})
    stage.apply(theirs("open", tasks=None, onAllTasksComplete="noaction"))
    await stage.until(lambda: stage.ready("bj", "open", "team"), 300)
    hold = stage.azure.hold("Tasks_CreateTaskCollection")
    names = [f"t{number:03}" for number in range(350)]
    stage.apply(*(thing("BatchTask", name, "team", jobRef={"name": "open"}, commandLine="true") for name in names))
    await stage.until(lambda: hold.arrived, 60)
    await stage.run_for(10)
    return hold


async def test_waiting_batch_tasks_are_not_added_when_the_pool_no_longer_allows_their_namespace(stage: Stage) -> None:
    hold = await tasks_that_wait(stage)
    stage.patch("bp", "cpu", {"spec": {"allowedNamespaces": None}})
    await stage.run_for(20)
    hold.release()
    await stage.until(lambda: stage.reason("bt", "t349", "team") == NOT_ALLOWED, 30)
    await stage.run_for(60)
    assert len(stage.azure.ids("/jobs/open/tasks")) == 100, "what was on its way lands"
    stage.patch("bp", "cpu", {"spec": {"allowedNamespaces": {"all": True}}})
    await stage.until(lambda: len(stage.azure.ids("/jobs/open/tasks")) == 350, 60)


async def test_failed_tasks_do_not_run_again_when_the_pool_no_longer_allows_their_namespace(stage: Stage) -> None:
    await shared_account(stage, allowedNamespaces={"names": ["team"]})
    failing = [{"id": "own", "commandLine": "/bin/sh -c 'exit 1'"}]
    stage.apply(theirs("open", tasks=failing, onAllTasksComplete="noaction"))
    stage.apply(thing("BatchTask", "bad", "team", jobRef={"name": "open"}, commandLine="/bin/sh -c 'exit 1'"))
    await stage.until(lambda: stage.phase("bt", "bad", "team") == "Failed", 300)
    stage.patch("bp", "cpu", {"spec": {"allowedNamespaces": None}})
    await stage.run_for(60)
    stage.annotate("bt", "bad", "team", retry_failed="1")
    stage.annotate("bj", "open", "team", retry_failed="1")
    await stage.until(lambda: bool(stage.events("bt", "bad", "RetryRefused", "team")), 60)
    assert "spec.allowedNamespaces" in stage.events("bt", "bad", "RetryRefused", "team")[0]["message"]
    assert stage.phase("bt", "bad", "team") == "Failed"
    await stage.until(lambda: stage.reason("bj", "open", "team") == NOT_ALLOWED, 60)
    message = stage.condition("bj", "open", "Ready", "team")["message"]
    assert message.startswith("no failed tasks run again: pool 'cpu' belongs to BatchPool default/cpu")
    await stage.run_for(60)
    assert stage.azure.calls("Tasks_ReactivateTask") == 0


async def test_a_job_stays_disabled_when_its_pool_no_longer_allows_its_namespace(stage: Stage) -> None:
    await shared_account(stage, allowedNamespaces={"names": ["team"]})
    stage.apply(theirs(tasks=sleeping(2, 3000)))
    await stage.until(lambda: stage.phase("bj", "theirs", "team") == "Running", 600)
    stage.patch("bj", "theirs", {"spec": {"suspend": True}}, "team")
    await stage.until(lambda: stage.phase("bj", "theirs", "team") == "Suspended", 600)
    stage.patch("bp", "cpu", {"spec": {"allowedNamespaces": None}})
    await stage.run_for(60)
    stage.patch("bj", "theirs", {"spec": {"suspend": False}}, "team")
    says = "the job stays disabled: pool 'cpu'"
    await stage.until(lambda: stage.condition("bj", "theirs", "Ready", "team")["message"].startswith(says), 60)
    assert stage.reason("bj", "theirs", "team") == NOT_ALLOWED
    await stage.run_for(120)
    assert stage.azure.calls("Jobs_EnableJob") == 0
    stage.patch("bp", "cpu", {"spec": {"allowedNamespaces": {"all": True}}})
    await stage.until(lambda: stage.phase("bj", "theirs", "team") == "Running", 300)


async def test_a_schedule_stays_disabled_when_its_pool_no_longer_allows_its_namespace(stage: Stage) -> None:
    await shared_account(stage, allowedNamespaces={"names": ["team"]})
    named = {"poolInfo": {"poolId": "cpu"}}
    body = schedule("tick", accountRef=ACCOUNT, schedule={"recurrenceInterval": "PT1H"}, jobSpecification=named)
    body["metadata"]["namespace"] = "team"
    stage.apply(body)
    await stage.until(lambda: stage.phase("bjs", "tick", "team") == "Active", 120)
    stage.patch("bjs", "tick", {"spec": {"suspend": True}}, "team")
    await stage.until(lambda: stage.phase("bjs", "tick", "team") == "Suspended", 300)
    stage.patch("bp", "cpu", {"spec": {"allowedNamespaces": None}})
    await stage.run_for(60)
    stage.patch("bjs", "tick", {"spec": {"suspend": False}}, "team")
    await stage.until(lambda: stage.condition("bjs", "tick", "NotApplied", "team").get("reason") == NOT_ALLOWED, 120)
    await stage.run_for(60)
    assert stage.azure.get("/jobschedules/tick")["state"] == "disabled"  # type: ignore[index]


async def test_foreign_jobs_learn_immediately_that_a_batch_pool_is_gone_and_its_pool_kept(stage: Stage) -> None:
    hold = await tasks_that_wait(stage)
    stage.annotate("bp", "cpu", reconcile_policy="detach-on-delete")
    stage.delete("bp", "cpu")
    await stage.until(lambda: stage.gone("bp", "cpu"), 60)
    await stage.run_for(20)
    hold.release()
    await stage.until(lambda: stage.reason("bt", "t349", "team") == NOT_ALLOWED, 60)
    await stage.run_for(30)
    assert stage.azure.get("/pools/cpu") is not None
    assert len(stage.azure.ids("/jobs/open/tasks")) == 100, "what was on its way lands"


async def test_an_operation_runs_no_task_again_on_the_pool_of_another_namespace(stage: Stage) -> None:
    await shared_account(stage, allowedNamespaces={"names": ["team"]})
    failing = [{"id": "own", "commandLine": "/bin/sh -c 'exit 1'"}]
    stage.apply(theirs("open", tasks=failing, onAllTasksComplete="noaction"))
    await stage.until(lambda: stage.status("bj", "open", "team").get("taskCounts", {}).get("failed") == 1, 600)
    stage.patch("bp", "cpu", {"spec": {"allowedNamespaces": None}})
    await stage.run_for(30)
    again = {"jobRef": {"name": "open"}, "reactivateTasks": {"tasks": {"failed": True}}}
    stage.apply(thing("BatchOperation", "again", "team", **again))
    await stage.until(lambda: stage.reason("bop", "again", "team") == "TargetNotAllowed", 120)
    await stage.run_for(60)
    assert "allowedNamespaces" in stage.condition("bop", "again", "Ready", "team")["message"]
    assert stage.azure.calls("Tasks_ReactivateTask") == 0
