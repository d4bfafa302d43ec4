"""BatchTasks beyond the ordinary: in jobs of others, by name after each other, changed, ended, run again, and too late."""

from __future__ import annotations

from typing import Any

from e2e.conftest import Stage, job, task, thing


def reason(stage: Stage, name: str) -> Any:
    return stage.condition("bt", name).get("reason")


def elsewhere(name: str, job_id: str, command: str = "true", **spec: Any) -> dict[str, Any]:
    """A task of a job that exists only in Azure Batch."""
    return thing("BatchTask", name, jobId=job_id, accountRef={"name": "main"}, commandLine=command, **spec)


def test_a_task_in_a_job_that_exists_only_in_batch(stage: Stage) -> None:
    stage.ready_pool()
    # A job that nobody manages: its BatchJob is let go, and the job stays.
    theirs = job("theirs")
    theirs["metadata"]["annotations"] = {"azurebatch.io/reconcile-policy": "detach-on-delete"}
    stage.apply(elsewhere("early", "theirs"))
    stage.until(lambda: reason(stage, "early") == "JobNotFound", "the missing job is named")
    stage.apply(theirs)
    stage.wait("bj", "theirs", "Ready")
    stage.kubectl("delete", "bj/theirs", "--timeout=20s")
    assert stage.emulator.admin("GET", "state")["jobs"] == 1
    stage.wait("bt", "early", "Complete")
    stage.apply(elsewhere("slow", "theirs", "sleep 600"))
    stage.until(lambda: stage.status("bt", "slow").get("phase") == "Running", "the task runs")
    assert stage.status("bt", "slow")["jobId"] == "theirs"
    stage.kubectl("delete", "bt", "--all", "--timeout=20s")
    state = stage.emulator.admin("GET", "state")
    assert (state["jobs"], state["tasks"]) == (1, 0)


def test_tasks_depend_on_each_other_by_name(stage: Stage) -> None:
    stage.ready_pool()
    stage.apply(
        job("steps"),
        job("other"),
        task("elsewhere", "other"),
        task("last", "steps", dependsOnRefs=[{"name": "first"}, {"name": "second"}]),
        task("wrong", "steps", dependsOnRefs=[{"name": "elsewhere"}]),
        task("first", "steps", id="step-1"),
    )
    stage.until(lambda: reason(stage, "last") == "DependencyNotFound", "the missing task is named")
    stage.until(lambda: reason(stage, "wrong") == "DependencyInOtherJob", "a task of another job will not do")
    stage.apply(task("second", "steps", id="step-2"))
    stage.wait("bt", "last", "Complete")
    before = max(stage.status("bt", name)["endTime"] for name in ("first", "second"))
    assert before <= stage.status("bt", "last")["startTime"]


def test_a_diamond_of_batch_tasks_with_a_failing_side(stage: Stage) -> None:
    stage.ready_pool()
    mark = stage.folder / "licence"

    def diamond(job_name: str, **spec: Any) -> list[dict[str, Any]]:
        def one(name: str, command: str = "true", *after: str) -> dict[str, Any]:
            names = [{"name": f"{job_name}-{each}"} for each in after]
            return task(f"{job_name}-{name}", job_name, command, **({"dependsOnRefs": names} if names else {}))

        bad = f"/bin/sh -c 'test -e {mark}'"
        sides = [one("left", bad, "top"), one("right", "true", "top")]
        return [job(job_name, **spec), one("top"), *sides, one("bottom", "true", "left", "right")]

    stage.apply(*diamond("open"), *diamond("ends", onAllTasksComplete="terminatejob"))
    stage.apply(*diamond("goes-on", onDependencyFailure="Ignore"))
    stage.wait("bj", "ends", "Failed")
    assert stage.condition("bj", "ends", "Failed")["reason"] == "DependencyFailed"
    assert "(first: ends-left, exit code 1)" in stage.condition("bj", "ends", "Failed")["message"]
    stage.wait("bt", "ends-bottom", "Failed")
    stage.wait("bt", "goes-on-bottom", "Complete")
    assert stage.status("bt", "goes-on-left")["phase"] == "Failed"
    stage.until(lambda: reason(stage, "open-bottom") == "DependencyFailed", "the last one says that it never starts")
    assert "'open-left'" in stage.condition("bt", "open-bottom")["message"]
    stage.until(
        lambda: "(first: open-left, exit code 1)" in stage.status("bj", "open").get("waitingFor", ""),
        "and so does the job",
    )
    mark.write_text("here")
    stage.kubectl("annotate", "batchtask/open-left", "azurebatch.io/retry-failed=1")
    stage.wait("bt", "open-bottom", "Complete")
    assert stage.calls()["Jobs_TerminateJob"] == 1


def test_constraints_are_changed_and_verbs_act_once(stage: Stage) -> None:
    stage.ready_pool()
    mark = stage.folder / "licence"
    stage.apply(job("steps"), task("slow", "steps", "sleep 600"), task("bad", "steps", f"/bin/sh -c 'test -e {mark}'"))
    stage.until(lambda: stage.status("bt", "slow").get("phase") == "Running", "the task runs")
    change = '{"spec":{"constraints":{"maxTaskRetryCount":2}}}'
    stage.kubectl("patch", "batchtask/slow", "--type=merge", "-p", change)
    stage.until(lambda: stage.calls().get("Tasks_ReplaceTask") == 1, "the constraints are changed")
    stage.until(lambda: stage.status("bt", "slow")["observedGeneration"] == 2, "the change is observed")
    stage.wait("bt", "bad", "Failed")
    mark.write_text("here")
    stage.kubectl("annotate", "batchtask/bad", "azurebatch.io/retry-failed=1")
    stage.wait("bt", "bad", "Complete")
    assert stage.status("bt", "bad")["handled"] == {"retryFailed": "1"}
    stage.kubectl("annotate", "batchtask/slow", "azurebatch.io/terminate=1")
    stage.wait("bt", "slow", "Failed")
    assert (reason(stage, "slow"), stage.status("bt", "slow")["handled"]) == ("TaskEnded", {"terminate": "1"})
    calls = stage.calls()
    assert (calls["Tasks_ReactivateTask"], calls["Tasks_TerminateTask"], calls["Tasks_ReplaceTask"]) == (1, 1, 1)


def test_a_task_that_the_job_leaves_behind_has_failed(stage: Stage) -> None:
    stage.ready_pool(targetDedicatedNodes=1, taskSlotsPerNode=1)
    stage.apply(job("steps"), task("running", "steps", "sleep 600"))
    stage.until(lambda: stage.status("bt", "running").get("phase") == "Running", "the task runs")
    stage.apply(task("waiting", "steps"))
    stage.until(lambda: stage.emulator.admin("GET", "state")["tasks"] == 2, "the other one is added")
    stage.kubectl("annotate", "batchjob/steps", "azurebatch.io/terminate=1")
    for name in ("running", "waiting"):
        stage.wait("bt", name, "Failed")
    assert (reason(stage, "running"), reason(stage, "waiting")) == ("TaskEnded", "JobFinished")
    stage.apply(task("late", "steps"))
    stage.wait("bt", "late", "Failed")
    assert "accepts no more tasks" in stage.condition("bt", "late")["message"]
    stage.kubectl("annotate", "batchtask/running", "azurebatch.io/retry-failed=1")
    stage.until(lambda: stage.status("bt", "running").get("handled"), "the late wish is recorded")
    stage.until(lambda: "RetryRefused" in stage.kubectl("get", "events"), "an Event says that it comes too late")
    assert stage.calls().get("Tasks_ReactivateTask", 0) == 0


def test_an_id_that_is_taken_and_output_that_is_wanted(stage: Stage) -> None:
    stage.ready_pool()
    stage.apply(
        job("own", tasks=[{"id": "a", "commandLine": "sleep 600"}]),
        job("steps"),
        task("talks", "steps", "/bin/sh -c 'echo one; echo two; echo three; echo oops >&2'", tailLines=2),
        task("silent", "steps", "/bin/sh -c 'exit 1'", tailLines=2),
    )
    stage.until(lambda: stage.status("bj", "own").get("taskCounts", {}).get("submitted") == 1, "its task is in")
    stage.apply(task("same", "own", id="a"))
    stage.until(lambda: reason(stage, "same") == "OwnershipConflict", "the id is taken")
    stage.wait("bt", "talks", "Complete")
    status = stage.status("bt", "talks")
    assert (status["stdoutTail"], status["stderrTail"]) == ("two\nthree", "oops")
    stage.kubectl("delete", "bt", "same", "--timeout=20s")
    assert stage.emulator.admin("GET", "state")["tasks"] == 3
    twins = ("twin-a", "twin-b")
    stage.apply(*(task(name, "steps", "true", id="twin") for name in twins))
    stage.until(
        lambda: sorted(filter(None, (reason(stage, name) for name in twins))) == ["OwnershipConflict", "Succeeded"],
        "one has the id, the other one is told so",
    )
