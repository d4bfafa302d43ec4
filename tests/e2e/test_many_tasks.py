"""Large numbers: one object for a hundred thousand tasks, and thousands of BatchTasks; by the services' own counters."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from e2e.conftest import Stage, job, task

TASKS = 100_000
MAX_STATUS_BYTES = 16 * 1024
MAX_GROWTH = 40 * 1024
"""KiB of resident memory that the operator may take more for a hundred thousand tasks than for a hundred."""


def resident(stage: Stage) -> int:
    """KiB of memory of the operator."""
    lines = Path(f"/proc/{stage.operator.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


def factory(count: int) -> dict[str, Any]:
    return {"repeat": {"count": count}, "repeatTask": {"commandLine": "/bin/sh -c 'simulate {0}'"}}


def test_a_hundred_thousand_tasks_from_a_few_lines(make_stage: Any) -> None:
    stage: Stage = make_stage("--executor=simulated", time_scale=1000.0)
    failing = {"pattern": "simulate 9999", "exitCode": 3, "seconds": 1}
    stage.emulator.admin("POST", "simulation", {"rules": [failing, {"seconds": 1}]})
    stage.ready_pool(targetDedicatedNodes=50, taskSlotsPerNode=16)
    stage.apply(job("few", taskFactory=factory(100)))
    stage.wait("bj", "few", "Complete")
    before = resident(stage)
    sizes, memory = [], []

    def look() -> dict[str, Any]:
        status = stage.status("bj", "many")
        sizes.append(len(json.dumps(status)))
        memory.append(resident(stage))
        return status

    stage.apply(job("many", taskFactory=factory(TASKS), failurePolicy={"maxFailedRatio": 0.01}))
    stage.until(lambda: look().get("taskCounts", {}).get("submitted", 0) >= TASKS // 3, "a third is in", 300)
    stage.kill_operator()
    stage.restart_operator()
    stage.until(lambda: look().get("phase") == "Succeeded", "all tasks have ended", 600)
    status = look()
    assert status["taskCounts"]["total"] == status["taskCounts"]["completed"] == TASKS
    assert status["percent"] == 100
    assert sum(group["count"] for group in status["failures"]) == status["taskCounts"]["failed"] == 11
    assert stage.emulator.admin("GET", "state")["tasks"] == TASKS + 100
    counters = stage.emulator.admin("GET", "counters")["operations"]["Tasks_CreateTaskCollection"]
    # A call or two may have been on its way when the operator was killed.
    assert TASKS // 100 <= counters["200"] - 1 <= TASKS // 100 + 8
    assert max(sizes) < MAX_STATUS_BYTES
    assert max(memory) < before + MAX_GROWTH


def test_five_thousand_batch_tasks_over_fifty_jobs(make_stage: Any) -> None:
    jobs, each = 50, 100
    stage: Stage = make_stage("--executor=simulated", time_scale=1000.0)
    stage.emulator.admin("POST", "simulation", {"rules": [{"seconds": 1}]})
    stage.ready_pool(targetDedicatedNodes=50, taskSlotsPerNode=16)
    names = [f"j{number:02}" for number in range(jobs)]
    # They are all there when the jobs begin.
    stage.apply(*(job(name, suspend=True) for name in names))

    def create(name: str) -> None:
        items = [task(f"{name}-{number:02}", name) for number in range(each)]
        stage.kubectl("create", "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(create, names))
    before = stage.writes("batchtasks")
    stage.apply(*(job(name, suspend=False) for name in names))

    def ended() -> bool:
        phases = stage.kubectl("get", "bt", "-o", "jsonpath={range .items[*]}{.status.phase}{' '}{end}")
        return phases.split().count("Succeeded") == jobs * each

    stage.until(ended, "all tasks have ended", 600)
    calls = stage.calls()
    # A slow machine sends calls that are not full after the longest wait. How full they are where time is virtual is counted
    # by tests/quick/test_many_tasks.py.
    assert jobs <= calls["Tasks_CreateTaskCollection"] <= jobs * each / 10
    assert calls.get("Tasks_CreateTask", 0) == 0
    assert calls.get("Tasks_GetTask", 0) == 0
    assert stage.writes("batchtasks") - before <= 3 * jobs * each
    # Nothing is written or changed any more, and nothing but lists is asked for.
    written = stage.writes()
    polls = stage.calls()["Jobs_ListJobs"]
    stage.until(lambda: stage.calls()["Jobs_ListJobs"] >= polls + 3, "three polls have passed")
    assert stage.writes() == written
