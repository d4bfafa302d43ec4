"""A status is true, and is written when it can be; nothing that the API server refuses for a while is forgotten."""

from __future__ import annotations

from typing import Any

import pytest

from support.stage import Stage, config_map, job, pool, secret, sleeping, task


@pytest.mark.parametrize(
    "effect",
    [
        {"status": 403},
        {"status": 404},
        {"status": 409},
        {"status": 422},
        {"status": 422, "causes": ("status.phase",)},
        {"status": 400, "message": "admission webhook denied the request"},
        {"status": 429, "retry_after": 5},
        {"status": 500},
        {"lost": "before"},
    ],
    ids=str,
)
async def test_a_refused_status_is_written_within_a_minute_of_the_end(stage: Stage, effect: dict[str, Any]) -> None:
    await stage.ready_pool()
    fault = stage.fail("patch", "batchjobs/status", **effect)
    stage.apply(job("own", tasks=sleeping(1, 20)))
    await stage.run_for(120)
    assert stage.phase("bj", "own") == "Pending"
    fault.end()
    await stage.until(lambda: stage.phase("bj", "own") == "Succeeded", 60)


async def test_a_refused_status_is_not_hammered(stage: Stage) -> None:
    await stage.ready_pool()
    fault = stage.fail("patch", "batchjobs/status", status=403)
    stage.apply(job("own", tasks=sleeping(1, 20)))
    await stage.run_for(600)
    assert fault.hits <= 60
    fault.end()


async def test_jobs_that_end_while_the_api_server_is_away_say_so_later(stage: Stage) -> None:
    """During its start it answers 403 for a while, as it does before its rights are loaded."""
    await stage.ready_pool()
    stage.apply(*(job(f"own{number}", tasks=sleeping(1, 120)) for number in range(10)))
    await stage.until(lambda: all(stage.phase("bj", f"own{number}") == "Running" for number in range(10)), 120)
    stage.api.down = True
    await stage.until(lambda: all(each["state"] == "completed" for each in stage.azure.all("/jobs")), 900)
    fault = stage.fail(status=403)
    stage.api.down = False
    await stage.run_for(10)
    fault.end()
    await stage.until(lambda: all(stage.phase("bj", f"own{number}") == "Succeeded" for number in range(10)), 120)


async def test_a_status_that_was_edited_by_hand_becomes_true_again(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(
        job("own", onAllTasksComplete="noaction"), task("t", "own", "exit 1"), job("done", tasks=sleeping(1, 10))
    )
    await stage.until(lambda: stage.phase("bt", "t") == "Failed" and stage.phase("bj", "done") == "Succeeded", 300)
    stage.patch("bt", "t", {"status": {"phase": "Running"}}, status=True)
    stage.patch("bj", "done", {"status": {"phase": "Failed"}}, status=True)
    await stage.until(lambda: stage.phase("bt", "t") == "Failed" and stage.phase("bj", "done") == "Succeeded", 900)
    # Members that nobody would come to decide about again.
    stage.patch("bt", "t", {"status": {"exitCode": 0, "nodeId": "another"}}, status=True)
    stage.patch("bj", "done", {"status": {"taskCounts": {"succeeded": 77}}}, status=True)
    await stage.until(lambda: stage.status("bj", "done")["taskCounts"]["succeeded"] == 1, 60)
    await stage.until(
        lambda: stage.status("bt", "t")["exitCode"] == 1 and stage.status("bt", "t")["nodeId"] != "another", 60
    )


@pytest.mark.parametrize("way", ["reconcile-now", "restart"])
async def test_a_status_that_was_edited_becomes_true_at_once_on_demand(stage: Stage, way: str) -> None:
    await stage.ready_pool()
    stage.apply(job("done", tasks=sleeping(1, 10)))
    await stage.until(lambda: stage.phase("bj", "done") == "Succeeded", 300)
    stage.patch("bj", "done", {"status": {"phase": "Failed"}}, status=True)
    if way == "restart":
        await stage.restart()
    else:
        stage.annotate("bj", "done", reconcile_now="1")
    await stage.until(lambda: stage.phase("bj", "done") == "Succeeded", 60)


async def test_a_finalizer_that_was_removed_comes_back(stage: Stage) -> None:
    """As long as something of the object is in Azure Batch."""
    await stage.ready_pool()
    stage.apply(job("done", tasks=sleeping(1, 10)), job("open", onAllTasksComplete="noaction"), task("t", "open"))
    await stage.until(lambda: stage.phase("bj", "done") == "Succeeded" and stage.phase("bt", "t") == "Succeeded", 300)
    for kind, name in (("bp", "cpu"), ("bj", "done"), ("bj", "open"), ("bt", "t")):
        stage.take_finalizers_off(kind, name)

    def back(kind: str, name: str) -> bool:
        return bool(stage.get(kind, name)["metadata"].get("finalizers"))

    for kind, name in (("bp", "cpu"), ("bj", "open"), ("bj", "done"), ("bt", "t")):
        await stage.until(lambda: back(kind, name), 120, f"{kind} {name} has its finalizer again")  # noqa: B023


async def test_an_account_that_began_in_trouble_gets_connected(stage: Stage) -> None:
    stage.azure.fault(".*", reset=True)
    stage.apply(*stage.account_objects(), pool("cpu"))
    await stage.run_for(60)
    assert stage.azure.log, "it was tried"
    assert not stage.ready("bacc", "main")
    assert stage.azure.ids("/pools") == []
    stage.azure.heal()
    await stage.until(lambda: stage.ready("bacc", "main"), 120)
    await stage.until(lambda: stage.ready("bp", "cpu"), 600)


async def test_a_deletion_that_a_status_write_overtakes_is_seen(stage: Stage) -> None:
    """The answer to a status write shows the deletion before the watch does, which then has no news to tell."""
    await stage.ready_pool()
    stage.watch.delay(0.5, "batchpools")
    stage.apply(job("own", tasks=sleeping(1, 7200)))
    slow = stage.fail("patch", "batchpools/status", delay=0.1)
    await stage.until(lambda: slow.hits)
    stage.delete("bp", "cpu")
    await stage.until(lambda: stage.phase("bp", "cpu") == "Deleting", 300)


async def test_a_change_that_a_status_write_overtakes_is_followed(stage: Stage) -> None:
    await stage.ready_pool()
    stage.watch.delay(0.5, "batchpools")
    stage.apply(job("own", tasks=sleeping(1, 7200)))
    slow = stage.fail("patch", "batchpools/status", delay=0.1)
    await stage.until(lambda: slow.hits)
    stage.patch("bp", "cpu", {"spec": {"targetDedicatedNodes": 3}})
    await stage.until(lambda: len(stage.azure.service.pool("cpu").nodes) == 3, 300)


async def test_a_change_that_the_finalizer_overtakes_is_followed(stage: Stage) -> None:
    stage.apply(*stage.account_objects())
    await stage.until(lambda: stage.ready("bacc", "main"))
    stage.watch.delay(0.5, "batchpools")
    slow = stage.fail("patch", "batchpools", delay=0.2, count=1)
    stage.apply(pool("cpu"))
    await stage.until(lambda: slow.hits)
    stage.patch("bp", "cpu", {"spec": {"targetDedicatedNodes": 3}})
    await stage.until(lambda: stage.ready("bp", "cpu"), 600)
    assert len(stage.azure.service.pool("cpu").nodes) == 3


@pytest.mark.parametrize("all_in", [True, False])
async def test_a_job_without_its_config_map_can_be_suspended(stage: Stage, all_in: bool) -> None:
    """Verbs that stop work whatever else is wrong with the object, such as that its tasks cannot be known any more."""
    await stage.ready_pool()
    stage.apply(config_map("list", tasks_json='[{"id": "a", "commandLine": "sleep 3600"}]'))
    if not all_in:
        stage.azure.fault("Tasks_CreateTaskCollection", status=503, code="ServerBusy")
    stage.apply(job("own", tasksFrom=[{"configMapKeyRef": {"name": "list", "key": "tasks.json"}}]))
    await stage.until(lambda: stage.phase("bj", "own") == ("Running" if all_in else "Submitting"), 120)
    stage.delete("cm", "list")
    await stage.restart()
    stage.patch("bj", "own", {"spec": {"suspend": True}})
    await stage.until(lambda: (stage.azure.get("/jobs/own") or {})["state"] == "disabled", 120)


@pytest.mark.parametrize(("verb", "state"), [("suspend", "disabled"), ("terminate", "completed")])
async def test_a_job_without_its_secret_can_be_stopped(stage: Stage, verb: str, state: str) -> None:
    """Its tasks are not all in when the Secret goes, so that the job needs it for all that is left to do."""
    await stage.ready_pool()
    stage.apply(secret("login", word="one"))
    token = {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "login", "key": "word"}}}
    tasks = [each | {"environmentSettings": [token]} for each in sleeping(2, 3600)]
    stage.apply(job("own", tasks=tasks))
    await stage.until(lambda: stage.phase("bj", "own") == "Running", 120)
    stage.delete("secret", "login")
    await stage.restart()
    stage.patch("bj", "own", {"spec": {"tasks": [*tasks, tasks[0] | {"id": "more"}]}})
    await stage.until(lambda: stage.reason("bj", "own") == "SecretNotFound", 120)
    if verb == "suspend":
        stage.patch("bj", "own", {"spec": {"suspend": True}})
    else:
        stage.annotate("bj", "own", terminate="1")
    await stage.until(lambda: (stage.azure.get("/jobs/own") or {})["state"] == state, 120)


async def test_an_object_that_is_made_again_during_a_resync_is_followed(stage: Stage) -> None:
    """Its deletion was not heard of, so the comparison is the only one to tell; it compares uids, not names."""
    await stage.ready_pool()
    stage.apply(job("own", tasks=sleeping(1, 3600)))
    await stage.until(lambda: stage.phase("bj", "own") == "Running")
    stage.watch.drop("batchjobs", "own", count=1000)
    stage.fail("list", "batchtasks", delay=5.0, count=1)
    resyncs = sum(each.resource == "batchjobs" and each.verb == "list" for each in stage.api.log)
    await stage.until(
        lambda: sum(each.resource == "batchjobs" and each.verb == "list" for each in stage.api.log) > resyncs, 700
    )
    stage.take_finalizers_off("bj", "own")
    stage.delete("bj", "own")
    stage.apply(job("own", tasks=sleeping(1, 7200)))
    await stage.until(lambda: stage.status("bj", "own").get("observedGeneration") == 1, 700)


@pytest.mark.parametrize("restarted", [False, True])
async def test_jobs_that_end_all_at_once_while_the_api_server_is_down_say_so_when_it_is_back(
    stage: Stage, restarted: bool
) -> None:
    """While it starts it lets nobody write statuses: rights are not loaded yet."""
    number = 30
    await stage.ready_pool(targetDedicatedNodes=30)
    stage.apply(*(job(f"j{each}", tasks=sleeping(1, 60)) for each in range(number)))
    await stage.until(
        lambda: sum(stage.phase("bj", f"j{each}") == "Running" for each in range(number)) >= number - 3, 300
    )
    stage.api.down = True
    await stage.run_for(90)
    assert sum(stage.azure.get(f"/jobs/j{each}")["state"] == "completed" for each in range(number)) >= number - 3  # type: ignore[index]
    refused = stage.fail("patch", "batchjobs/status", status=403)
    stage.api.down = False
    if restarted:
        await stage.restart()
    await stage.run_for(20)
    refused.end()
    await stage.until(lambda: all(stage.phase("bj", f"j{each}") == "Succeeded" for each in range(number)), 90)


async def test_a_restart_writes_nothing_of_a_pool_whose_nodes_are_in_trouble(stage: Stage) -> None:
    """Which nodes these are is not known before they are read: until then the status stays as it was."""
    stage.apply(*stage.account_objects())
    failing = {"commandLine": "/bin/sh -c 'exit 1'", "waitForSuccess": True}
    stage.apply(pool("cpu", targetDedicatedNodes=2, startTask=failing))
    await stage.until(lambda: len(stage.status("bp", "cpu").get("nodesInTrouble", ())) == 2, 1200)
    await stage.run_for(1200)
    before, writes = stage.status("bp", "cpu"), stage.writes("bp", "cpu", "status")
    await stage.restart()
    await stage.run_for(1200)
    assert stage.writes("bp", "cpu", "status") == writes
    assert stage.status("bp", "cpu") == before
