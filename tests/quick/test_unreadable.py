"""A job whose tasks cannot be read any more is followed all the same: its counts go on, and its end is shown."""

from __future__ import annotations

from support.stage import Stage, config_map, job, sleeping


async def test_a_running_job_whose_new_list_cannot_be_read_is_followed_to_its_end(stage: Stage) -> None:
    await stage.ready_pool()
    bad = {"tasks.yaml": "- {id: [not a task"}
    stage.apply(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "list", "namespace": "default"}, "data": bad}
    )
    stage.apply(job("own", tasks=sleeping(6, seconds=120)))
    await stage.until(lambda: stage.status("bj", "own").get("taskCounts", {}).get("running", 0) > 0, 300)
    source = [{"configMapKeyRef": {"name": "list", "key": "tasks.yaml"}}]
    stage.patch("bj", "own", {"spec": {"tasks": None, "tasksFrom": source}})
    await stage.until(lambda: stage.reason("bj", "own") == "InvalidTasks", 60)
    await stage.until(lambda: stage.status("bj", "own")["taskCounts"].get("completed") == 4, 300)
    assert stage.reason("bj", "own") == "InvalidTasks"
    await stage.until(lambda: stage.phase("bj", "own") == "Succeeded", 600)


async def test_a_job_whose_list_is_gone_before_all_its_tasks_are_in_does_not_succeed(stage: Stage) -> None:
    await stage.ready_pool()
    lines = "\n".join(f"- {{id: t{number}, commandLine: sleep 5}}" for number in range(300))
    stage.apply(config_map("list", tasks_yaml=lines))
    stage.azure.fault("Tasks_CreateTaskCollection", status=400, code="InvalidPropertyValue", skip=1)
    source = [{"configMapKeyRef": {"name": "list", "key": "tasks.yaml"}}]
    stage.apply(job("own", tasksFrom=source, constraints={"maxWallClockTime": "PT20M"}))
    await stage.until(lambda: stage.azure.get("/jobs/own") and len(stage.azure.all("/jobs/own/tasks")) == 100, 60)
    await stage.until(lambda: stage.status("bj", "own").get("taskCounts", {}).get("total") == 300, 60)
    stage.delete("cm", "list")
    await stage.restart()
    await stage.until(lambda: stage.reason("bj", "own") == "ConfigMapNotFound", 300)
    await stage.until(lambda: stage.status("bj", "own")["taskCounts"]["succeeded"] == 100, 300)
    assert stage.status("bj", "own")["progress"] == "100/300"
    await stage.until(lambda: stage.phase("bj", "own") in {"Succeeded", "Failed"}, 1800)
    assert stage.reason("bj", "own") == "DeadlineExceeded"
    assert "100 of 300 tasks had succeeded" in stage.condition("bj", "own")["message"]


async def test_a_new_job_that_cannot_be_read_says_so(stage: Stage) -> None:
    """Nothing is known of it yet, so it has no conditions; it used to stay without a word."""
    await stage.ready_pool()
    await stage.operator.stop()
    stage.azure.post("/jobs", {"id": "own", "poolInfo": {"poolId": "cpu"}})
    stage.azure.fault("Jobs_GetJob|Jobs_ListJobs", path=".*own.*", status=400, code="InvalidRequest")
    stage.start()
    stage.apply(job("own", tasks=sleeping(1)))
    await stage.until(lambda: stage.reason("bj", "own") == "ObservationFailed", 300)


ENDED = {"tasks": sleeping(1, 5), "ttlSecondsAfterFinished": 86_400, "ttlPolicy": "KeepObject"}
"""A job whose object stays."""


def conditions(stage: Stage) -> list[tuple[str, str]]:
    """Types and reasons."""
    return sorted((each["type"], each["reason"]) for each in stage.status("bj", "own")["conditions"])


FAILED = ("Reconciling", "ObservationFailed")


async def test_a_restart_takes_the_condition_off_a_job_of_which_nothing_is_read_any_more(stage: Stage) -> None:
    """Its result is known, so a new process asks for nothing of it: nothing is left to fail, and nothing flaps.

    Tools that wait for objects take one with `Reconciling` for unfinished.
    """
    await stage.ready_pool()
    stage.apply(job("own", **ENDED))
    await stage.until(lambda: stage.phase("bj", "own") == "Succeeded", 600)
    before = stage.status("bj", "own")["conditions"]
    await stage.kill()
    failed = {**before[0], "type": FAILED[0], "reason": FAILED[1], "status": "True"}
    stage.patch("bj", "own", {"status": {"conditions": [*before, failed]}}, status=True)
    stage.azure.fault("Jobs_GetJobTaskCounts|Tasks_ListTasks", status=400, code="InvalidRequest")
    stage.start()
    await stage.until(lambda: stage.status("bj", "own")["conditions"] == before, 60)
    writes = stage.writes("bj", "own", "status")
    for _ in range(2):
        await stage.restart()
        await stage.run_for(120)
    assert stage.status("bj", "own")["conditions"] == before
    assert stage.writes("bj", "own", "status") == writes
