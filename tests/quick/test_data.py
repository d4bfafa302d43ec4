"""What users write and policies refuse ends in a status, and what can go on does."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from azure_batch_operator.sync import inputs
from azure_batch_operator.sync import task_diff as sieve
from support.stage import Stage, config_map, job, schedule, sleeping, task

POOL = {"poolRef": {"name": "cpu"}}


async def test_a_cron_schedule_whose_name_has_a_dot_runs(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(
        schedule(
            "every.minute",
            id="every-minute",
            cron={"expression": "* * * * *"},
            jobSpecification=POOL | {"tasks": sleeping(1, 5)},
        )
    )
    await stage.until(lambda: "Succeeded" in {stage.phase("bj", name) for name in stage.names("bj")}, 300)
    assert all("." not in id for id in stage.azure.ids("/jobs"))


async def test_a_run_whose_job_was_refused_is_shown_and_made_up_for(stage: Stage) -> None:
    await stage.ready_pool()
    refused = stage.fail("create", "batchjobs", status=403)
    stage.apply(schedule("hourly", cron={"expression": "0 * * * *"}, jobSpecification=POOL | {"tasks": sleeping(1, 5)}))
    await stage.until(lambda: stage.reason("bjs", "hourly") == "ObjectRefused", 3700)
    await stage.until(lambda: stage.events("bjs", "hourly", "ObjectRefused"), 10)
    # Also while the next try waits for its time.
    await stage.always(lambda: stage.reason("bjs", "hourly") == "ObjectRefused", 600)
    assert "lastScheduleTime" not in stage.status("bjs", "hourly")
    refused.end()
    await stage.until(lambda: stage.names("bj"), 600)
    await stage.until(lambda: stage.reason("bjs", "hourly") == "Scheduled", 60)


async def test_a_run_that_a_quota_conflict_refuses_is_not_lost(stage: Stage) -> None:
    await stage.ready_pool()
    refused = stage.fail("create", "batchjobs", status=409)
    stage.apply(schedule("hourly", cron={"expression": "0 * * * *"}, jobSpecification=POOL | {"tasks": sleeping(1, 5)}))
    await stage.until(lambda: stage.reason("bjs", "hourly") == "ObjectRefused", 3700)
    refused.end()
    await stage.until(lambda: stage.names("bj"), 600)


async def test_a_run_whose_name_another_client_has_taken_says_so(stage: Stage) -> None:
    await stage.ready_pool()
    every = schedule("hourly", cron={"expression": "0 * * * *"}, jobSpecification=POOL | {"tasks": sleeping(1, 5)})
    stage.apply(every)
    made = datetime.fromisoformat((stage.get("bjs", "hourly") or {})["metadata"]["creationTimestamp"])
    due = (int(made.timestamp()) // 3600 + 1) * 60
    stage.apply(job(f"hourly-{due}", suspend=True))
    await stage.until(lambda: stage.reason("bjs", "hourly") == "ObjectRefused", 3700)
    stage.delete("bj", f"hourly-{due}")
    await stage.until(lambda: stage.reason("bjs", "hourly") == "Scheduled" and stage.names("bj"), 600)


async def test_a_job_that_ends_before_all_of_its_tasks_are_in_has_not_succeeded(stage: Stage) -> None:
    await stage.ready_pool()
    stage.azure.fault("Tasks_CreateTaskCollection", status=503, skip=1)
    stage.apply(job("own", tasks=sleeping(300, 1)))
    await stage.until(lambda: stage.azure.get("/jobs/own") and stage.azure.all("/jobs/own/tasks"))
    # Somebody else, outside the operator.
    stage.azure.patch("/jobs/own", {"onAllTasksComplete": "terminatejob"})
    await stage.until(lambda: stage.phase("bj", "own") == "Failed", 3600)
    assert "100 of 300 tasks had succeeded" in str(stage.condition("bj", "own", "Failed"))


async def test_all_superfluous_tasks_are_deleted_over_several_rounds(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sieve, "_MAX_NOTED", 5)
    await stage.ready_pool()
    stage.apply(job("own", tasks=sleeping(40, 6000), taskPrunePolicy="Delete"))
    await stage.until(lambda: stage.phase("bj", "own") == "Running", 300)
    stage.patch("bj", "own", {"spec": {"tasks": sleeping(1, 6000)}})
    await stage.until(lambda: stage.azure.ids("/jobs/own/tasks") == ["t0"], 600)
    assert stage.azure.calls("Tasks_DeleteTask") == 39


async def test_values_are_resolved_once_for_all_passes_of_a_job(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    filled, jobs = inputs.filled, 0

    def counted(model: Any, spec: Any, *rest: Any) -> Any:
        nonlocal jobs
        jobs += "tasks" in spec
        return filled(model, spec, *rest)

    monkeypatch.setattr(inputs, "filled", counted)
    await stage.ready_pool()
    hold = stage.azure.hold("Tasks_CreateTaskCollection")
    stage.apply(job("own", tasks=sleeping(3, 5)))
    await stage.until(lambda: stage.phase("bj", "own") == "Submitting")
    for at in range(5):
        stage.annotate("bj", "own", reconcile_now=str(at))
        await stage.run_for(3)
    assert jobs == 1
    hold.release()
    await stage.until(lambda: stage.phase("bj", "own") == "Succeeded", 300)
    assert jobs == 1


async def test_a_job_with_nothing_to_do_ends_without_a_call_and_an_empty_config_map_is_nothing(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(config_map("today", csv="city,height\n"))
    per_item = {"itemsFrom": {"configMapKeyRef": {"name": "today", "key": "csv"}, "format": "csv"}}
    factory = {"taskPerItem": per_item, "repeatTask": {"commandLine": "x {city}"}, "mergeTask": {"commandLine": "m"}}
    stage.apply(job("empty", tasks=[]), job("none", tasks=None, taskFactory=factory))
    texts = {"blank": "", "list": "[]", "comment": "# nothing today\n"}
    stage.apply(config_map("lists", **texts))
    for key in texts:
        stage.apply(job(key, tasksFrom=[{"configMapKeyRef": {"name": "lists", "key": key}}]))
    names = ("empty", "none", *texts)
    await stage.until(lambda: {stage.phase("bj", name) for name in names} == {"Succeeded"})
    for name in names:
        assert stage.condition("bj", name, "Complete")["reason"] == "NothingToDo"
    assert stage.azure.calls("Jobs_CreateJob") == 0


async def test_batch_tasks_of_a_job_with_tasks_of_its_own_run_before_it_ends(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(job("own", tasks=sleeping(1, 1)), task("more", "own", "sleep 30"))
    await stage.until(lambda: stage.phase("bj", "own") == "Succeeded", 600)
    assert stage.phase("bt", "more") == "Succeeded"


async def test_a_circle_of_dependencies_is_refused_before_anything_is_sent(stage: Stage) -> None:
    await stage.ready_pool()
    circle = [
        {"id": "a", "commandLine": "x", "dependsOn": {"taskIds": ["b"]}},
        {"id": "b", "commandLine": "x", "dependsOn": {"taskIds": ["a"]}},
    ]
    stage.apply(job("circle", tasks=circle))
    await stage.until(lambda: stage.reason("bj", "circle") == "InvalidTasks")
    assert stage.azure.calls("Jobs_CreateJob") == 0


@pytest.mark.parametrize("first", ["job", "task"])
async def test_a_job_with_an_empty_list_that_batch_tasks_name_runs_them_and_ends(stage: Stage, first: str) -> None:
    await stage.ready_pool()
    objects = [job("own", tasks=[]), task("more", "own", "sleep 30")]
    stage.apply(objects.pop(0 if first == "job" else 1))
    await stage.run_for(1)
    stage.apply(*objects)
    await stage.until(lambda: stage.phase("bj", "own") == "Succeeded", 600)
    assert stage.phase("bt", "more") == "Succeeded"
    assert stage.reason("bj", "own") != "NothingToDo"


@pytest.mark.parametrize("allowed", [False, True])
async def test_a_batch_task_that_acts_on_its_job_is_sent_only_if_the_job_allows_it(stage: Stage, allowed: bool) -> None:
    await stage.ready_pool()
    more = {"onTaskFailure": "performexitoptionsjobaction"} if allowed else {}
    stage.apply(job("own", onAllTasksComplete="noaction", **more))
    conditions = {"exitCodes": [{"code": 3, "exitOptions": {"jobAction": "terminate"}}]}
    stage.apply(task("t", "own", exitConditions=conditions))
    if allowed:
        await stage.until(lambda: stage.phase("bt", "t") == "Succeeded", 60)
        return
    await stage.until(lambda: stage.reason("bt", "t") == "JobActionNotAllowed", 60)
    said = stage.condition("bt", "t")["message"]
    assert "spec.exitConditions" in said
    assert "'own'" in said
    assert "performexitoptionsjobaction" in said
    assert stage.azure.calls("Tasks_CreateTaskCollection") == 0
