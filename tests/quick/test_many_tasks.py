"""Many BatchTasks cost a call for each hundred of them, whatever the machine: time is virtual here."""

from __future__ import annotations

from collections import Counter

import orjson

from support.stage import Stage, job, task

JOBS, EACH = 6, 100


async def test_batch_tasks_go_out_in_full_calls_and_each_once(stage: Stage) -> None:
    await stage.ready_pool(targetDedicatedNodes=6, taskSlotsPerNode=16)
    names = [f"j{number:02}" for number in range(JOBS)]
    # They are all there when the jobs begin.
    stage.apply(*(job(name, suspend=True) for name in names))
    stage.apply(*(task(f"{name}-{number:02}", name, "sleep 1") for name in names for number in range(EACH)))
    before = stage.writes("bt", "", "status")
    for name in names:
        stage.patch("bj", name, {"spec": {"suspend": False}})
    # Looked at now and then: each look is at hundreds of objects.
    for _ in range(60):
        if all(each.get("status", {}).get("phase") == "Succeeded" for each in stage.server.all("batchtasks")):
            break
        await stage.run_for(20)
    calls = [each for each in stage.azure.log if each.operation == "Tasks_CreateTaskCollection"]
    sent = Counter(str(item["id"]) for each in calls for item in orjson.loads(each.body)["value"])
    assert (len(sent), set(sent.values())) == (JOBS * EACH, {1})
    assert len(calls) == JOBS * EACH / 100
    assert stage.azure.calls("Tasks_CreateTask") == stage.azure.calls("Tasks_GetTask") == 0
    assert stage.writes("bt", "", "status") - before <= 3 * JOBS * EACH
