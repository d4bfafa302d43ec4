"""A job whose tasks cannot be read any more is followed all the same: its counts go on, and its end is shown."""

from __future__ import annotations

from support.stage import Stage, job, sleeping


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
