"""A success without the members that say what it is about: nothing is concluded from what it does not say."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from quick.test_operations import ended, nodes, pool_body
from support.stage import Stage, job, operation, pool, sleeping, thing

OUTLASTING = 8
"""Responses that are blank, so that a call which is repeated at once meets another one."""
FAILING: list[dict[str, Any]] = [{"id": "a", "commandLine": "bad"}]


async def held_with_a_failed_task(stage: Stage) -> None:
    await stage.ready_pool()
    stage.azure.simulate(".*bad.*", exitCode=1, seconds=(1.0, 1.0))
    stage.apply(job("own", tasks=FAILING, failurePolicy={"action": "Hold"}))
    await stage.until(lambda: stage.phase("bj", "own") == "Held", 600)


async def test_a_job_does_not_succeed_by_a_blank_list_of_its_failed_tasks(stage: Stage) -> None:
    await stage.ready_pool()
    stage.azure.simulate(".*bad.*", exitCode=1, seconds=(60.0, 60.0))
    stage.apply(job("own", tasks=[*FAILING, {"id": "b", "commandLine": "sleep 60"}]))
    completed = lambda: (stage.azure.get("/jobs/own") or {}).get("state") == "completed"  # noqa: E731
    blank = stage.azure.blank("/jobs/own/tasks", when=completed, count=OUTLASTING)
    await stage.until(lambda: stage.phase("bj", "own") in {"Succeeded", "Failed"}, 900)
    assert blank.hits == OUTLASTING
    assert stage.phase("bj", "own") == "Failed"


@pytest.mark.parametrize("without", ["taskCounts", "failed", "succeeded", "active"])
async def test_task_counts_that_lack_some_are_none(stage: Stage, without: str) -> None:
    """What is missing does not count as 0: the counts from before stay."""
    await stage.ready_pool()
    stage.apply(job("own", tasks=sleeping(1, 36000)))
    await stage.until(lambda: stage.status("bj", "own").get("taskCounts", {}).get("running") == 1, 600)
    known = stage.status("bj", "own")["taskCounts"]

    def lacking(answer: bytes) -> bytes:
        counts = orjson.loads(answer)
        counts.pop(without, None)
        counts.get("taskCounts", {}).pop(without, None)
        return orjson.dumps(counts)

    change = stage.azure.change("/jobs/own/taskcounts", lacking)
    await stage.restart()
    await stage.until(lambda: "ObservationFailed" in reasons(stage, "bj", "own"), 300)
    assert change.hits
    assert (stage.status("bj", "own")["taskCounts"], stage.phase("bj", "own")) == (known, "Running")
    change.end()
    await stage.until(lambda: "ObservationFailed" not in reasons(stage, "bj", "own"), 900)


def reasons(stage: Stage, kind: str, name: str) -> set[str]:
    return {condition["reason"] for condition in stage.status(kind, name)["conditions"]}


async def test_a_pool_is_not_idle_by_blank_lists_of_jobs(stage: Stage) -> None:
    await stage.ready_pool(targetDedicatedNodes=0, deletionPolicy="DeleteWhenIdle")
    stage.azure.post("/jobs", {"id": "theirs", "poolInfo": {"poolId": "cpu"}})
    stage.azure.post("/jobs/theirs/tasks", {"id": "t", "commandLine": "sleep 100"})
    stage.delete("bp", "cpu")
    await stage.until(lambda: stage.reason("bp", "cpu") == "WaitingForTasks", 300)
    blank = stage.azure.blank("/jobs", count=2 * OUTLASTING)
    await stage.run_for(900)
    assert blank.hits == 2 * OUTLASTING
    assert stage.azure.get("/pools/cpu")["state"] == "active"
    stage.azure.delete("/jobs/theirs")
    await stage.until(lambda: stage.gone("bp", "cpu"), 900)


async def test_failed_tasks_are_retried_although_their_list_was_blank(stage: Stage) -> None:
    await held_with_a_failed_task(stage)
    blank = stage.azure.blank("/jobs/own/tasks", count=OUTLASTING)
    stage.annotate("bj", "own", retry_failed="1")
    await stage.until(lambda: stage.azure.calls("Tasks_ReactivateTask") == 1, 1800)
    assert blank.hits == OUTLASTING


async def test_a_retry_of_a_job_waits_for_the_list_of_its_failed_tasks(stage: Stage) -> None:
    await stage.ready_pool()
    stage.azure.simulate(".*bad.*", exitCode=1, seconds=(1.0, 1.0))
    stage.apply(job("own", tasks=FAILING))
    await stage.until(lambda: stage.phase("bj", "own") == "Failed", 600)
    blank = stage.azure.blank("/jobs/own/tasks", count=OUTLASTING)
    stage.apply(thing("BatchJob", "again", retryOf={"name": "own"}))
    await stage.until(lambda: stage.phase("bj", "again") in {"Succeeded", "Failed"}, 4 * 3600)
    assert blank.hits == OUTLASTING
    assert stage.azure.ids("/jobs/again/tasks") == ["a"]
    assert stage.phase("bj", "again") == "Failed"


async def test_an_operation_chooses_its_targets_from_a_list_that_is_one(stage: Stage) -> None:
    await stage.ready_pool(targetDedicatedNodes=2)
    blank = stage.azure.blank("/pools/cpu/nodes", count=OUTLASTING)
    stage.apply(operation("op", rebootNode={"nodes": {"states": ["idle"]}}))
    status = await ended(stage)
    assert blank.hits == OUTLASTING
    assert status["counts"]["succeeded"] == stage.azure.calls("Nodes_RebootNode") == 2


async def test_an_image_is_supported_although_the_list_was_blank(stage: Stage) -> None:
    await stage.ready_pool()
    await stage.kill()
    blank = stage.azure.blank("/supportedimages", count=OUTLASTING)
    stage.start()
    derived = pool("derived")
    derived["spec"]["virtualMachineConfiguration"].pop("nodeAgentSKUId", None)
    stage.apply(derived)
    seen = set[str]()
    for _ in range(60):
        await stage.run_for(10)
        seen |= {str(stage.reason("bp", name)) for name in ("cpu", "derived")}
    assert blank.hits == OUTLASTING
    assert "ImageNotSupported" not in seen
    assert stage.ready("bp", "derived")


@pytest.mark.parametrize("without", ["id", "state"])
async def test_a_job_that_is_shown_without_its_identity_concerns_nobody_else(stage: Stage, without: str) -> None:
    """The list lacks the job, so it is asked for by itself."""
    await stage.ready_pool()
    stage.apply(job("own", tasks=sleeping(1, 36000)))
    await stage.until(lambda: stage.phase("bj", "own") == "Running", 600)

    def lacking(answer: bytes) -> bytes:
        return orjson.dumps({name: value for name, value in orjson.loads(answer).items() if name != without})

    await stage.run_for(120)
    stage.azure.omit("/jobs/own")
    change = stage.azure.change("/jobs/own", lacking)
    await stage.until(lambda: "ObservationFailed" in reasons(stage, "bj", "own"), 300)
    assert change.hits
    assert stage.phase("bj", "own") == "Running"
    assert stage.ready("bacc", "main")


async def test_nobody_elses_pool_is_touched_by_blank_responses(stage: Stage) -> None:
    stage.azure.post("/pools", pool_body("theirs", 1))
    await stage.ready_pool()
    await stage.until(lambda: bool(nodes(stage, "theirs")), 600)
    since = stage.now
    for path in ("/pools", "/nodecounts", "/jobs", "/pools/cpu", "/pools/cpu/nodes"):
        stage.azure.blank(path, count=OUTLASTING)
    await stage.run_for(1800)
    assert stage.azure.changes(since) == []
    assert stage.ready("bp", "cpu")
