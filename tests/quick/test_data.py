"""What users write and policies refuse ends in a status, and what can go on does."""

from __future__ import annotations

import pytest

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


async def test_a_job_with_nothing_to_do_ends_without_a_call_and_an_empty_config_map_is_nothing(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(config_map("today", csv="city,height\n"))
    per_item = {"itemsFrom": {"configMapKeyRef": {"name": "today", "key": "csv"}, "format": "csv"}}
    factory = {"taskPerItem": per_item, "repeatTask": {"commandLine": "x {city}"}, "mergeTask": {"commandLine": "m"}}
    stage.apply(job("empty", tasks=[]), job("none", tasks=None, taskFactory=factory))
    await stage.until(lambda: {stage.phase("bj", "empty"), stage.phase("bj", "none")} == {"Succeeded"})
    assert stage.reason("bj", "none") == "NothingToDo"
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
