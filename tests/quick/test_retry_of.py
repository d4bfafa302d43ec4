"""`spec.retryOf` runs what an ended job has left undone: each such task once, whatever ends the operator meanwhile."""

from __future__ import annotations

from collections import Counter
from typing import Any

import orjson
import pytest

from azure_batch_operator.reconcile.job import expand, retry
from azure_batch_operator.reconcile.job.spec import JobTerms
from azure_batch_operator.reconcile.job.streamed import Streamed
from support.stage import Options, Refusal, Stage, config_map, job, task, thing

FAILS = "/bin/sh -c 'exit 1'"
WORKS = "/bin/sh -c 'exit 0'"


def again(name: str, former: str, **spec: Any) -> dict[str, Any]:
    return thing("BatchJob", name, retryOf={"name": former}, **spec)


def added(stage: Stage, name: str) -> Counter[str]:
    """Tasks that Azure Batch has accepted for a job, by id: of the ids, how often."""
    calls = [
        each
        for each in stage.azure.log
        if each.operation == "Tasks_CreateTaskCollection" and each.path == f"/jobs/{name}/addtaskcollection"
    ]
    return Counter(str(item["id"]) for each in calls for item in orjson.loads(each.body)["value"])


def tasks(stage: Stage, name: str) -> dict[str, Any]:
    """The tasks of a job by id; none before there is one."""
    if stage.azure.get(f"/jobs/{name}") is None:
        return {}
    return {each["id"]: each for each in stage.azure.all(f"/jobs/{name}/tasks")}


async def ended(stage: Stage, name: str, phase: str = "Failed") -> None:
    await stage.until(lambda: stage.phase("bj", name) == phase, 900)


async def test_failed_tasks_and_those_that_waited_for_them_run_again(stage: Stage) -> None:
    await stage.ready_pool()
    listed = [
        {"id": "load", "commandLine": WORKS},
        {"id": "bad", "commandLine": FAILS, "dependsOn": {"taskIds": ["load"]}},
        {"id": "after", "commandLine": WORKS, "dependsOn": {"taskIds": ["bad", "load"]}},
    ]
    stage.apply(job("own", tasks=listed, priority=7, ttlSecondsAfterFinished=86_400))
    await ended(stage, "own")
    stage.azure.simulate("once-more/bad", exitCode=0)
    stage.apply(again("once-more", "own"))
    await ended(stage, "once-more", "Succeeded")
    found = tasks(stage, "once-more")
    assert sorted(found) == ["after", "bad"]
    assert "dependsOn" not in found["bad"]
    assert found["after"]["dependsOn"] == {"taskIds": ["bad"]}
    remote = stage.azure.get("/jobs/once-more")
    assert (remote["priority"], remote["poolInfo"]["poolId"]) == (7, "cpu")
    noted = stage.status("bj", "once-more")["retryOf"]
    assert (noted["tasks"], noted["settings"]) == (2, {"poolRef": {"name": "cpu"}, "priority": 7})
    assert stage.azure.calls("Tasks_GetTask") == 0


async def test_settings_of_the_new_job_take_precedence(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(job("own", tasks=[{"id": "bad", "commandLine": FAILS}], priority=7))
    await ended(stage, "own")
    stage.apply(again("more", "own", priority=9, poolInfo={"poolId": "cpu"}, accountRef={"name": "main"}))
    await stage.until(lambda: stage.azure.get("/jobs/more") is not None, 120)
    assert stage.azure.get("/jobs/more")["priority"] == 9
    await ended(stage, "more")


async def test_tasks_that_the_new_job_cannot_have_are_refused_and_looked_through_once(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stage.ready_pool()
    listed = [
        {"id": "bad", "commandLine": FAILS},
        {"id": "after", "commandLine": WORKS, "dependsOn": {"taskIds": ["bad"]}},
    ]
    stage.apply(job("own", tasks=listed))
    await ended(stage, "own")
    stage.apply(again("wrong", "own", usesTaskDependencies=False))
    await stage.until(lambda: stage.reason("bj", "wrong") == "InvalidTasks", 60)
    assert stage.azure.get("/jobs/wrong") is None
    stage.delete("bj", "wrong")
    await stage.until(lambda: stage.gone("bj", "wrong"), 60)
    looks: list[int] = []
    judge = expand.problems

    def counted(spec: JobTerms) -> list[str]:
        looks.append(expand.total(spec))
        return judge(spec)

    monkeypatch.setattr(expand, "problems", counted)
    stage.azure.fault("Tasks_CreateTaskCollection", status=503, code="ServerBusy", count=12)
    stage.apply(again("more", "own"))
    await ended(stage, "more")
    assert looks == [2]


async def test_ids_and_gaps_of_a_factory_stay_and_the_merge_task_waits_for_what_runs(stage: Stage) -> None:
    await stage.ready_pool()
    factory = {
        "repeat": {"count": 12},
        "repeatTask": {"commandLine": "/bin/sh -c 'exit {0}'"},
        "mergeTask": {"commandLine": WORKS},
    }
    for id in ("own/00", "own/03", "own/04", "own/05"):
        stage.azure.simulate(id, exitCode=0)
    stage.apply(job("own", taskFactory=factory))
    await ended(stage, "own")
    stage.apply(again("more", "own"))
    await stage.until(lambda: len(tasks(stage, "more")) == 9, 300)
    found = tasks(stage, "more")
    assert sorted(found) == ["01", "02", "06", "07", "08", "09", "10", "11", "merge"]
    assert found["07"]["commandLine"] == "/bin/sh -c 'exit 7'"
    assert found["merge"]["dependsOn"] == {"taskIdRanges": [{"start": 1, "end": 2}, {"start": 6, "end": 11}]}


async def test_a_retry_of_a_retry(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(job("own", tasks=[{"id": f"t{n}", "commandLine": FAILS} for n in range(4)], priority=3))
    await ended(stage, "own")
    stage.azure.simulate("second/t0", exitCode=0)
    stage.apply(again("second", "own", displayName="second"))
    await ended(stage, "second")
    stage.apply(again("third", "second"))
    await ended(stage, "third")
    assert sorted(tasks(stage, "third")) == ["t1", "t2", "t3"]
    remote = stage.azure.get("/jobs/third")
    assert (remote["priority"], remote["displayName"]) == (3, "second")


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("number", range(1, 11))
async def test_killed_at_each_effect_and_no_task_is_lost_or_added_twice(stage: Stage, number: int, after: bool) -> None:
    await stage.ready_pool()
    factory = {"repeat": {"count": 350}, "repeatTask": {"commandLine": "x"}}
    # The first rule that matches counts.
    stage.azure.simulate("own/..0", exitCode=0)
    stage.azure.simulate("own/.*", exitCode=1)
    stage.apply(job("own", taskFactory=factory))
    await ended(stage, "own")
    wanted = {id for id in tasks(stage, "own") if not id.endswith("0")}
    assert len(wanted) == 315
    stage.kill_at_effect(stage.effects + number, after=after)
    stage.apply(again("more", "own"))
    await stage.until(lambda: not stage.operator.running or stage.phase("bj", "more") == "Succeeded", 900)
    if not stage.operator.running:
        await stage.operator.reaped()
        stage.start()
    await ended(stage, "more", "Succeeded")
    assert set(tasks(stage, "more")) == wanted
    assert stage.status("bj", "more")["taskCounts"]["total"] == 315


async def test_a_deleted_job_is_kept_until_all_tasks_are_added_also_after_a_restart(
    stage: Stage,
) -> None:
    await stage.ready_pool()
    stage.azure.simulate("own/.*", exitCode=1)
    factory = {"repeat": {"count": 250}, "repeatTask": {"commandLine": "x"}}
    stage.apply(job("own", taskFactory=factory, priority=5))
    await ended(stage, "own")
    stage.azure.fault("Tasks_CreateTaskCollection", status=503, code="ServerBusy")
    stage.apply(again("more", "own"))
    await stage.until(lambda: stage.azure.get("/jobs/more") is not None, 300)
    stage.delete("bj", "own")
    await stage.until(lambda: stage.reason("bj", "own") == "NeededByRetry", 60)
    assert "'more'" in stage.condition("bj", "own", "Ready")["message"]
    await stage.kill()
    stage.start()
    await stage.run_for(300)
    assert not stage.gone("bj", "own")
    assert stage.azure.calls("Jobs_DeleteJob") == 0
    stage.azure.heal()
    await stage.until(lambda: stage.gone("bj", "own"), 900)
    assert len(tasks(stage, "more")) == 250
    # It goes on and ends without the former job, under the settings of that.
    await stage.kill()
    stage.start()
    await ended(stage, "more", "Succeeded")
    assert stage.azure.get("/jobs/more")["priority"] == 5
    assert stage.azure.get("/jobs/own") is None
    assert not stage.condition("bj", "more", "TasksInSync")


async def test_a_suspended_retry_keeps_no_job(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(job("own", tasks=[{"id": "bad", "commandLine": FAILS}]))
    await ended(stage, "own")
    stage.apply(again("more", "own", suspend=True))
    await stage.until(lambda: stage.phase("bj", "more") == "Suspended", 60)
    stage.delete("bj", "own")
    await stage.until(lambda: stage.gone("bj", "own"), 300)
    stage.patch("bj", "more", {"spec": {"suspend": False}})
    await stage.until(lambda: stage.reason("bj", "more") == "RetryJobNotFound", 60)
    assert stage.azure.get("/jobs/more") is None


async def test_a_retry_waits_for_the_end_of_the_former_job(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(job("own", tasks=[{"id": "bad", "commandLine": "/bin/sh -c 'sleep 120; exit 1'"}]))
    stage.apply(again("more", "own"))
    await stage.until(lambda: stage.reason("bj", "more") == "RetryJobNotEnded", 60)
    await ended(stage, "own")
    await stage.until(lambda: stage.azure.get("/jobs/more") is not None, 10)


async def test_why_nothing_runs_again(stage: Stage) -> None:
    await stage.ready_pool()
    bad = [{"id": "bad", "commandLine": FAILS}]
    stage.apply(job("good", tasks=[{"id": "a", "commandLine": WORKS}]), job("own", tasks=bad), job("lost", tasks=bad))
    for name, phase in (("good", "Succeeded"), ("own", "Failed"), ("lost", "Failed")):
        await ended(stage, name, phase)
    stage.patch("bj", "own", {"spec": {"tasks": [{"id": "bad", "commandLine": "other"}]}})
    stage.azure.delete("/jobs/lost")
    await stage.until(lambda: stage.azure.get("/jobs/lost") is None, 60)
    stage.apply(
        again("same", "same"), again("none", "nobody"), again("all-good", "good"), again("other", "own"),
        again("gone", "lost"),
    )  # fmt: skip
    wanted = {
        "same": ("RetryOfItself", "create a BatchJob with another name"),
        "none": ("RetryJobNotFound", "create it"),
        "all-good": ("NothingToRetry", "tasks have all succeeded"),
        "other": ("RetryJobChanged", "revert the change"),
        "gone": ("RetryTasksUnknown", "deleted in Azure Batch"),
    }
    for name, (reason, text) in wanted.items():
        # That a job is gone is believed after some minutes.
        await stage.until(lambda name=name, reason=reason: stage.reason("bj", name) == reason, 400)
        message = stage.condition("bj", name, "Ready")["message"]
        assert message.startswith("spec.retryOf")
        assert text in message
    writes = stage.writes("bj", "")
    await stage.run_for(120)
    assert stage.writes("bj", "") == writes
    assert {each["id"] for each in stage.azure.all("/jobs")} == {"good", "own"}


async def test_tasks_of_config_maps_run_again_unless_they_were_changed(stage: Stage) -> None:
    await stage.ready_pool()
    listed = orjson.dumps([{"id": "bad", "commandLine": FAILS}, {"id": "good", "commandLine": WORKS}]).decode()
    stage.apply(config_map("more", list=listed))
    stage.apply(job("own", tasksFrom=[{"configMapKeyRef": {"name": "more", "key": "list"}}]))
    await ended(stage, "own")
    stage.apply(again("one", "own"))
    await stage.until(lambda: sorted(tasks(stage, "one")) == ["bad"], 120)
    stage.apply(config_map("more", list="[]"))
    stage.apply(again("two", "own"))
    await stage.until(lambda: stage.reason("bj", "two") == "RetryJobChanged", 120)


async def test_tasks_of_batch_tasks_are_left_to_these(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(job("own", tasks=[{"id": "bad", "commandLine": FAILS}]), task("theirs", "own", FAILS))
    await ended(stage, "own")
    stage.apply(again("more", "own"))
    await ended(stage, "more")
    assert sorted(tasks(stage, "more")) == ["bad"]


@pytest.mark.parametrize("stage", [Options(accounts=("devaccount", "second"))], indirect=True)
async def test_a_pool_of_another_account_is_refused(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(job("own", tasks=[{"id": "bad", "commandLine": FAILS}]))
    await ended(stage, "own")
    stage.apply(again("more", "own", accountRef={"name": "another"}, poolInfo={"poolId": "cpu"}))
    await stage.until(lambda: stage.reason("bj", "more") == "RetryInOtherAccount", 60)


async def test_two_jobs_that_name_each_other_say_so(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(again("one", "two"), again("two", "one"))
    await stage.until(lambda: stage.reason("bj", "one") == stage.reason("bj", "two") == "RetryJobNotEnded", 60)
    stage.delete("bj", "one")
    stage.delete("bj", "two")
    await stage.until(lambda: stage.gone("bj", "one") and stage.gone("bj", "two"), 300)


async def test_the_api_server_refuses_tasks_beside_it_and_changes(stage: Stage) -> None:
    for spec in (
        {"tasks": [{"id": "a", "commandLine": "x"}]},
        {"taskFactory": {"repeat": {"count": 1}, "repeatTask": {"commandLine": "x"}}},
    ):
        with pytest.raises(Refusal, match="retryOf takes its tasks from another BatchJob"):
            stage.apply(again("more", "own", **spec))
    with pytest.raises(Refusal, match="either poolRef"):
        stage.apply(thing("BatchJob", "none"))
    stage.apply(again("more", "own"))
    with pytest.raises(Refusal, match="retryOf cannot be changed"):
        stage.apply(again("more", "other"))


async def test_many_failed_tasks_cost_a_list_and_no_look_at_each(stage: Stage) -> None:
    await stage.ready_pool(targetDedicatedNodes=6, taskSlotsPerNode=16)
    stage.azure.simulate("own/.*", exitCode=1)
    stage.apply(job("own", taskFactory={"repeat": {"count": 2500}, "repeatTask": {"commandLine": "x"}}))
    await ended(stage, "own")
    before = stage.azure.calls("Tasks_ListTasks"), stage.azure.calls("Tasks_CreateTaskCollection")
    stage.apply(again("more", "own", suspend=False))
    await stage.until(lambda: added(stage, "more").total() == 2500, 900)
    await stage.until(lambda: stage.phase("bj", "more") == "Succeeded", 900)
    assert set(added(stage, "more").values()) == {1}
    assert stage.azure.calls("Tasks_CreateTaskCollection") - before[1] == 25
    assert stage.azure.calls("Tasks_GetTask") == 0
    assert stage.azure.calls("Tasks_ListTasks") - before[0] <= 20


async def test_a_job_whose_time_is_over_is_kept_for_a_retry_that_could_not_begin(stage: Stage) -> None:
    await stage.ready_pool()
    own = job("own", tasks=[{"id": "bad", "commandLine": FAILS}], ttlSecondsAfterFinished=60)
    stage.apply(own, job("kept", tasks=own["spec"]["tasks"], ttlSecondsAfterFinished=60, ttlPolicy="KeepObject"))
    await ended(stage, "own")
    await ended(stage, "kept")
    stage.azure.fault("Tasks_ListTasks", status=503, code="ServerBusy")
    stage.apply(again("more", "own"), again("others", "kept"))
    await stage.run_for(200)
    assert not stage.gone("bj", "own")
    assert stage.azure.ids("/jobs") == ["kept", "own"]
    stage.azure.heal()
    await stage.until(lambda: stage.gone("bj", "own"), 300)
    await stage.until(lambda: stage.azure.get("/jobs/kept") is None, 300)
    assert sorted(tasks(stage, "more")) == sorted(tasks(stage, "others")) == ["bad"]


@pytest.mark.parametrize("spec", [{"managedBy": "kueue.x-k8s.io/multikueue"}, {"suspend": True}])
async def test_a_retry_that_the_operator_does_not_run_keeps_no_job(stage: Stage, spec: dict[str, Any]) -> None:
    await stage.ready_pool()
    stage.apply(job("own", tasks=[{"id": "bad", "commandLine": FAILS}], ttlSecondsAfterFinished=60))
    await ended(stage, "own")
    stage.apply(again("more", "own", **spec))
    await stage.until(lambda: stage.gone("bj", "own"), 300)


async def test_jobs_of_other_controllers_are_neither_read_for_nor_written_to(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(job("own", tasks=[{"id": "bad", "commandLine": FAILS}]))
    await ended(stage, "own")
    calls = stage.azure.calls("Tasks_ListTasks"), stage.azure.calls("Jobs_GetJob")
    other = {"managedBy": "kueue.x-k8s.io/multikueue"}
    missing = [{"configMapKeyRef": {"name": "no", "key": "list"}}]
    stage.apply(again("more", "own", **other), again("none", "nobody", **other))
    stage.apply(job("from-map", tasks=None, tasksFrom=missing, **other))
    await stage.run_for(60)
    assert (stage.azure.calls("Tasks_ListTasks"), stage.azure.calls("Jobs_GetJob")) == calls
    for name in ("more", "none", "from-map"):
        assert stage.status("bj", name) == {"observedGeneration": -1, "phase": "Pending"}, "as the API server made it"


async def test_tasks_that_can_never_run_are_listed_once(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(job("good", tasks=[{"id": "a", "commandLine": WORKS}]))
    await ended(stage, "good", "Succeeded")
    stage.apply(again("more", "good"))
    await stage.until(lambda: stage.phase("bj", "more") == "Failed", 60)
    failed = stage.condition("bj", "more", "Failed")
    assert (failed["status"], failed["reason"]) == ("True", "NothingToRetry")
    calls = stage.azure.calls("Tasks_ListTasks"), stage.azure.calls("Jobs_GetJob")
    await stage.run_for(600)
    assert (stage.azure.calls("Tasks_ListTasks"), stage.azure.calls("Jobs_GetJob")) == calls
    stage.annotate("bj", "more", reconcile_now="1")
    await stage.run_for(60)
    assert stage.azure.calls("Tasks_ListTasks") == calls[0], "it has ended"
    assert stage.reason("bj", "more") == "NothingToRetry"
    stage.delete("bj", "more")
    await stage.until(lambda: stage.gone("bj", "more"), 60)


async def test_a_retry_of_nothing_is_deleted_when_its_time_is_over(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(job("good", tasks=[{"id": "a", "commandLine": WORKS}]))
    await ended(stage, "good", "Succeeded")
    stage.apply(again("more", "good", ttlSecondsAfterFinished=100))
    await stage.until(lambda: stage.phase("bj", "more") == "Failed", 60)
    await stage.until(lambda: stage.gone("bj", "more"), 160)


async def test_a_retry_whose_tasks_are_not_known_any_more_is_not_created_again(stage: Stage) -> None:
    await stage.ready_pool()
    stage.azure.simulate("own/.*", exitCode=1)
    stage.apply(job("own", tasks=[{"id": "t", "commandLine": "sleep 3600"}]))
    await ended(stage, "own")
    stage.apply(again("more", "own"))
    await stage.until(lambda: stage.phase("bj", "more") == "Running", 300)
    stage.delete("bj", "own")
    await stage.until(lambda: stage.gone("bj", "own"), 300)
    await stage.kill()
    stage.start()
    await stage.run_for(30)
    stage.azure.delete("/jobs/more")
    await stage.until(lambda: stage.reason("bj", "more") == "JobGone", 120)
    stage.annotate("bj", "more", recreate="1")
    await stage.until(lambda: stage.reason("bj", "more") == "RetryTasksUnknown", 120)
    await stage.run_for(60)
    assert stage.azure.get("/jobs/more") is None


async def test_passes_make_no_tasks(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pass runs in the event loop: that a job has many tasks must not hold up the others."""
    await stage.ready_pool()
    chain = [
        {"id": f"t{number}", "commandLine": "x", "dependsOn": {"taskIds": [f"t{number - 1}"]} if number else None}
        for number in range(5)
    ]
    stage.azure.simulate("own/t0", exitCode=1)
    stage.azure.simulate("more/t0", exitCode=1, duration=120)
    stage.apply(job("own", tasks=chain))
    await ended(stage, "own")
    stage.apply(again("more", "own"))
    await stage.until(lambda: len(tasks(stage, "more")) == 5, 300)
    await stage.until(lambda: stage.status("bj", "more").get("tasksFingerprint") is not None, 60)
    made: list[int] = []
    make = Streamed.__iter__

    def counted(self: Streamed) -> Any:
        made.append(len(self))
        return make(self)

    monkeypatch.setattr(Streamed, "__iter__", counted)
    await stage.run_for(30)
    stage.annotate("bj", "more", reconcile_now="1")
    # Those that depend on the failed one can never run, which ends the job.
    await ended(stage, "more")
    assert stage.status("bj", "more")["taskCounts"]["total"] == 5
    assert made == []


async def test_retries_in_an_account_that_does_not_answer_hold_up_no_stop(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(
        job("own", tasks=[{"id": "bad", "commandLine": FAILS}]),
        job("victim", tasks=[{"id": "x", "commandLine": "sleep 36000"}]),
    )
    await ended(stage, "own")
    await stage.until(lambda: stage.phase("bj", "victim") == "Running", 300)
    hold = stage.azure.hold("Tasks_ListTasks")
    stage.apply(*(again(f"r{number}", "own") for number in range(40)))
    await stage.run_for(10)
    assert stage.reason("bj", "r0") == "RetryTasksPending"
    stage.annotate("bj", "victim", terminate="1")
    await stage.until(lambda: stage.azure.calls("Jobs_TerminateJob") > 0, 5)
    assert hold.arrived <= 2
    hold.release()
    await ended(stage, "r39")


async def test_nothing_is_listed_for_a_retry_that_only_stops(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(job("own", tasks=[{"id": f"bad{number}", "commandLine": FAILS} for number in range(3)]))
    await ended(stage, "own")
    stage.azure.fault("Tasks_CreateTaskCollection", status=503, code="ServerBusy")
    stage.apply(again("more", "own"))
    await stage.until(lambda: stage.azure.get("/jobs/more") is not None, 300)
    await stage.kill()
    stage.annotate("bj", "more", terminate="1")
    hold = stage.azure.hold("Tasks_ListTasks")
    stage.start()
    await stage.until(lambda: stage.azure.calls("Jobs_TerminateJob") > 0, 30)
    hold.release()
    stage.azure.heal()
    await ended(stage, "more")


async def test_all_retries_together_have_one_limit(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "MAX_HELD", 4)
    await stage.ready_pool()
    slow = "/bin/sh -c 'sleep 300; exit 1'"
    stage.apply(job("own", tasks=[{"id": f"bad{number}", "commandLine": slow} for number in range(3)]))
    await ended(stage, "own")
    stage.apply(again("one", "own"))
    await stage.until(lambda: len(tasks(stage, "one")) == 3, 120)
    stage.apply(again("two", "own"))
    await stage.until(lambda: stage.reason("bj", "two") == "WaitingForRetries", 60)
    lists = stage.azure.calls("Jobs_GetJob")
    await stage.run_for(120)
    assert stage.azure.calls("Jobs_GetJob") == lists
    assert stage.azure.get("/jobs/two") is None
    await ended(stage, "one")
    await stage.until(lambda: len(tasks(stage, "two")) == 3, 120)
