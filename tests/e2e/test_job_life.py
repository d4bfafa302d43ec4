"""The life of a BatchJob beyond the ordinary: suspended, ended early, held, moved, changed; with the exact calls of each."""

from __future__ import annotations

import json
from typing import Any

import pytest

from e2e.conftest import Stage, job, pool, thing

SLOW = {"id": "slow", "commandLine": "sleep 600"}
QUICK = {"id": "quick", "commandLine": "true"}
BAD = "/bin/sh -c 'echo no licence >&2; exit 3'"


def changes(stage: Stage) -> list[str]:
    """Calls that change jobs or tasks, in their order."""
    recorded = stage.emulator.admin("GET", "calls")["value"]
    verbs = ("Create", "Update", "Replace", "Delete", "Disable", "Enable", "Terminate", "Reactivate")
    names = [str(call["operation"]).partition("_") for call in recorded]
    return [name for group, _, name in names if group in {"Jobs", "Tasks"} and name.startswith(verbs)]


def annotate(stage: Stage, name: str, verb: str, value: str = "1") -> None:
    stage.kubectl("annotate", "--overwrite", f"batchjob/{name}", f"azurebatch.io/{verb}={value}")


def patch(stage: Stage, name: str, spec: str) -> None:
    stage.kubectl("patch", f"batchjob/{name}", "--type=merge", "-p", f'{{"spec":{spec}}}')


def reason(stage: Stage, name: str, type_: str = "Ready") -> Any:
    return stage.condition("bj", name, type_).get("reason")


def test_a_job_suspended_from_the_start_is_not_in_azure(stage: Stage) -> None:
    stage.ready_pool()
    stage.apply(job("one", suspend=True, tasks=[QUICK]))
    stage.wait("bj", "one", "Suspended")
    status = stage.status("bj", "one")
    assert (status["phase"], status["observedGeneration"]) == ("Suspended", 1)
    assert stage.emulator.admin("GET", "state")["jobs"] == 0
    patch(stage, "one", '{"suspend":false}')
    stage.wait("bj", "one", "Complete")
    assert changes(stage) == ["CreateJob", "CreateTaskCollection", "UpdateJob"]
    stage.apply(job("two", suspend=True, tasks=[QUICK]))
    stage.wait("bj", "two", "Suspended")
    stage.kubectl("delete", "bj/two", "--timeout=20s")


@pytest.mark.parametrize("policy", ["requeue", "terminate", "wait"])
def test_a_running_job_is_suspended_and_resumed(make_stage: Any, policy: str) -> None:
    stage: Stage = make_stage("--executor=simulated")
    seconds = 3000 if policy == "wait" else 100_000
    stage.emulator.admin("POST", "simulation", {"rules": [{"seconds": seconds}]})
    stage.ready_pool()
    stage.apply(job("one", tasks=[SLOW], suspendPolicy=policy, activeDeadlineSeconds=1000))
    stage.until(lambda: stage.status("bj", "one").get("taskCounts", {}).get("running") == 1, "the task runs")
    stage.emulator.admin("POST", "simulation", {"rules": [{"seconds": 1}]})
    patch(stage, "one", '{"suspend":true}')
    stage.wait("bj", "one", "Suspended")
    ended = 0 if policy == "requeue" else 1
    # Counts lag behind the state of the job, as the service's do.
    stage.until(lambda: stage.status("bj", "one")["taskCounts"]["completed"] == ended, "the task is counted as it is")
    status = stage.status("bj", "one")
    assert (status["phase"], status["state"]) == ("Suspended", "disabled")
    stage.wait("bj", "one", "Ready")
    stage.kill_operator()
    stage.restart_operator()
    patch(stage, "one", '{"suspend":false}')
    end = "Failed" if policy == "terminate" else "Complete"
    stage.wait("bj", "one", end)
    expected = ["CreateJob", "CreateTaskCollection", "UpdateJob", "UpdateJob", "DisableJob", "EnableJob"]
    assert changes(stage)[:6] == expected
    # The last PATCH takes the note away again; a job that is over sooner needs none.
    assert set(changes(stage)[6:]) <= {"UpdateJob"}


def test_a_job_that_others_disabled_stays_so(stage: Stage) -> None:
    stage.ready_pool()
    action = {"exitConditions": {"default": {"jobAction": "disable"}}}
    stage.apply(
        job(
            "one",
            tasks=[{"id": "a", "commandLine": "false"} | action, SLOW],
            onTaskFailure="performexitoptionsjobaction",
        )
    )
    stage.until(lambda: reason(stage, "one") == "Disabled", "the exit condition has disabled the job")
    assert "EnableJob" not in changes(stage)
    patch(stage, "one", '{"suspend":true}')
    stage.wait("bj", "one", "Suspended")
    patch(stage, "one", '{"suspend":false}')
    stage.until(lambda: stage.status("bj", "one")["state"] == "active", "the job goes on")


def test_a_job_that_another_controller_manages_is_left_alone(stage: Stage) -> None:
    stage.ready_pool()
    stage.apply(job("kept", managedBy="kueue.x-k8s.io/multikueue", tasks=[QUICK]), job("own", tasks=[QUICK]))
    stage.wait("bj", "own", "Complete")
    left = stage.get("bj", "kept")
    assert left["status"] == {"observedGeneration": -1, "phase": "Pending"}
    assert "finalizers" not in left["metadata"]
    assert stage.emulator.admin("GET", "state")["jobs"] == 1

    # What the other controller says of it stays.
    theirs = {"phase": "Running", "observedGeneration": 1, "poolId": "in-another-cluster"}
    stage.kubectl("patch", "bj", "kept", "--subresource=status", "--type=merge", "-p", json.dumps({"status": theirs}))
    stage.apply(job("later", tasks=[QUICK]))
    stage.wait("bj", "later", "Complete")
    assert stage.status("bj", "kept") == theirs
    stage.kubectl("delete", "bj/kept", "--timeout=20s")


def test_terminate_ends_a_job_and_is_recorded(stage: Stage) -> None:
    stage.ready_pool()
    stage.apply(job("one", tasks=[SLOW]), job("not-yet", suspend=True, tasks=[QUICK]))
    stage.until(lambda: stage.status("bj", "one").get("taskCounts", {}).get("running") == 1, "the task runs")
    annotate(stage, "one", "terminate", "please")
    annotate(stage, "not-yet", "terminate", "please")
    stage.wait("bj", "one", "Failed")
    stage.wait("bj", "not-yet", "Failed")
    assert (reason(stage, "one", "Failed"), reason(stage, "not-yet", "Failed")) == ("JobTerminated", "JobTerminated")
    assert stage.status("bj", "one")["handled"] == {"terminate": "please"}
    assert stage.emulator.admin("GET", "state")["jobs"] == 1
    assert changes(stage) == ["CreateJob", "CreateTaskCollection", "UpdateJob", "TerminateJob"]


def test_failed_tasks_of_a_held_job_run_again(stage: Stage) -> None:
    stage.ready_pool()
    mark = stage.folder / "licence"
    tasks = [QUICK, {"id": "bad", "commandLine": f"/bin/sh -c 'test -e {mark}'"}]
    stage.apply(job("one", tasks=tasks, failurePolicy={"action": "Hold"}))
    stage.until(lambda: stage.status("bj", "one").get("phase") == "Held", "the job is held")
    assert reason(stage, "one", "Stalled") == "TasksFailed"
    mark.write_text("here")
    annotate(stage, "one", "retry-failed", "first")
    stage.wait("bj", "one", "Complete")
    status = stage.status("bj", "one")
    assert (status["handled"], status["taskCounts"]["succeeded"]) == ({"retryFailed": "first"}, 2)
    assert changes(stage) == ["CreateJob", "CreateTaskCollection", "UpdateJob", "ReactivateTask", "UpdateJob"]
    annotate(stage, "one", "retry-failed", "second")
    stage.until(lambda: stage.status("bj", "one")["handled"] == {"retryFailed": "second"}, "the late wish is recorded")
    stage.until(lambda: "RetryRefused" in stage.kubectl("get", "events"), "an Event says that it comes too late")
    assert changes(stage).count("ReactivateTask") == 1


def test_reconcile_now_is_heard_and_recorded(stage: Stage) -> None:
    stage.ready_pool()
    stage.apply(job("one", tasks=[QUICK]))
    stage.wait("bj", "one", "Complete")
    for target in ("batchpool/cpu", "batchjob/one"):
        stage.kubectl("annotate", target, "azurebatch.io/reconcile-now=tuesday")
    for kind, name in (("bp", "cpu"), ("bj", "one")):
        stage.until(
            lambda kind=kind, name=name: stage.status(kind, name).get("handled") == {"reconcileNow": "tuesday"}, name
        )
    assert stage.condition("bj", "one", "Complete")["status"] == "True"


@pytest.mark.parametrize(
    ("policy", "end", "why"),
    [
        ({"maxFailedTasks": 2}, "Complete", "Succeeded"),
        ({"maxFailedRatio": 0.5}, "Complete", "Succeeded"),
        ({"maxFailedTasks": 1}, "Failed", "TasksFailed"),
    ],
)
def test_so_many_tasks_may_fail(stage: Stage, policy: dict[str, Any], end: str, why: str) -> None:
    stage.ready_pool()
    tasks = [{"id": f"t{number}", "commandLine": BAD if number < 2 else "true"} for number in range(4)]
    stage.apply(job("one", tasks=tasks, failurePolicy=policy))
    stage.wait("bj", "one", end)
    assert reason(stage, "one", end) == why
    assert stage.status("bj", "one")["failures"][0]["count"] == 2


def test_stop_ends_the_job_with_the_first_failure_too_many(stage: Stage) -> None:
    stage.ready_pool()
    tasks = [{"id": "bad", "commandLine": BAD}, SLOW]
    stage.apply(job("one", tasks=tasks, failurePolicy={"maxFailedTasks": 0, "action": "Stop"}))
    stage.wait("bj", "one", "Failed")
    assert reason(stage, "one", "Failed") == "TooManyTasksFailed"
    assert stage.status("bj", "one")["failures"][0]["stderrTail"] == "no licence"
    assert changes(stage)[-1] == "TerminateJob"


def test_deadlines(stage: Stage) -> None:
    stage.ready_pool()
    stage.apply(
        pool("none", targetDedicatedNodes=0),
        job("long", tasks=[SLOW], activeDeadlineSeconds=2),
        job("never", tasks=[QUICK], poolRef={"name": "none"}, pendingDeadlineSeconds=3),
        # On a busy machine three seconds are too short to see it in.
        job("waits", tasks=[QUICK], poolRef={"name": "none"}),
        job("no-pool", tasks=[QUICK], poolRef={"name": "missing"}, pendingDeadlineSeconds=3),
        job("quick", tasks=[QUICK], pendingDeadlineSeconds=30, activeDeadlineSeconds=3000),
    )
    stage.until(lambda: stage.status("bj", "waits").get("waitingFor"), "it says what it waits for")
    assert stage.status("bj", "waits")["waitingFor"] == "pool 'none' has no nodes: scale it up"
    for name in ("long", "never", "no-pool"):
        stage.wait("bj", name, "Failed")
    assert reason(stage, "long", "Failed") == "DeadlineExceeded"
    assert reason(stage, "never", "Failed") == "PendingDeadlineExceeded"
    assert reason(stage, "no-pool", "Failed") == "PendingDeadlineExceeded"
    stage.wait("bj", "quick", "Complete")


def test_a_finished_job_goes_when_its_time_is_over(stage: Stage) -> None:
    stage.ready_pool()
    stage.apply(job("one", tasks=[QUICK], ttlSecondsAfterFinished=1), job("kept", tasks=[QUICK]))
    stage.until(lambda: not stage.get("bj", "one"), "the object is gone")
    stage.wait("bj", "kept", "Complete")
    stage.until(lambda: stage.emulator.admin("GET", "state")["jobs"] == 1, "and its job")


def test_backoff_sets_the_retries_of_tasks(stage: Stage) -> None:
    stage.ready_pool()
    count = stage.folder / "tries"
    command = f"/bin/sh -c 'echo x >> {count}; test $(wc -l < {count}) -ge 3'"
    stage.apply(job("one", tasks=[{"id": "a", "commandLine": command}], backoff={"taskRetries": 5}))
    stage.wait("bj", "one", "Complete")
    assert stage.status("bj", "one")["retries"] == 2


def test_tries_are_counted_without_backoff(make_stage: Any) -> None:
    stage: Stage = make_stage("--executor=simulated")
    stage.emulator.admin("POST", "simulation", {"rules": [{"seconds": 1, "exitCode": 1}]})
    stage.ready_pool(targetDedicatedNodes=0, targetLowPriorityNodes=1, taskSlotsPerNode=1)
    stage.apply(job("failing", tasks=[QUICK], constraints={"maxTaskRetryCount": 2}))
    stage.wait("bj", "failing", "Failed")
    shown = stage.status("bj", "failing")
    assert (shown["retries"], shown["requeues"]) == (2, 0)
    stage.emulator.admin("POST", "simulation", {"rules": [{"seconds": 1_000_000}]})
    stage.apply(job("preempted", tasks=[SLOW]))
    stage.until(lambda: stage.status("bj", "preempted").get("taskCounts", {}).get("running") == 1, "the task runs")
    stage.emulator.admin("POST", "simulation", {"rules": [{"seconds": 1}]})
    stage.emulator.admin("POST", "pools/cpu/nodes/0/preempt")
    stage.wait("bj", "preempted", "Complete")
    shown = stage.status("bj", "preempted")
    assert (shown["retries"], shown["requeues"]) == (0, 1)


def test_kubectl_and_argo_workflows_see_what_they_expect(stage: Stage) -> None:
    stage.ready_pool()
    stage.apply(job("good", tasks=[QUICK]), job("bad", tasks=[{"id": "bad", "commandLine": BAD}]))
    # What a resource template of Argo Workflows with successCondition and failureCondition on status.phase looks at.
    for name, phase in (("good", "Succeeded"), ("bad", "Failed")):
        stage.kubectl("wait", f"--for=jsonpath={{.status.phase}}={phase}", f"batchjob/{name}", "--timeout=60s")
    stage.kubectl("wait", "--for=condition=Complete", "batchjob/good", "--timeout=10s")
    for name in ("good", "bad"):
        assert stage.condition("bj", name, "Reconciling") == {}
    lines = stage.kubectl("get", "bj", "good", "--watch", "--request-timeout=2s", check=False).splitlines()
    assert lines[0].split()[:3] == ["NAME", "PHASE", "POOL"]
    assert lines[1].split()[:4] == ["good", "Succeeded", "cpu", "1/1"]


def test_an_open_job_is_ended_when_its_tasks_have(stage: Stage) -> None:
    stage.ready_pool()
    stage.apply(job("good", onAllTasksComplete="noaction", tasks=[QUICK]), job("busy", tasks=[QUICK, SLOW]))
    stage.until(lambda: reason(stage, "good") == "Active", "it says that it stays open")
    stage.until(lambda: stage.status("bj", "busy").get("taskCounts", {}).get("succeeded") == 1, "one of two has ended")
    annotate(stage, "good", "terminate")
    stage.wait("bj", "good", "Complete")
    # Somebody else, outside the operator: the service ends the running task, too, and calls it failed.
    stage.batch("POST", "jobs/busy/terminate", {"terminateReason": "out of money"})
    stage.wait("bj", "busy", "Failed")
    assert reason(stage, "busy", "Failed") == "JobTerminated"
    assert "(out of money) when 1 of 2 tasks had succeeded" in stage.condition("bj", "busy", "Failed")["message"]


def test_failed_tasks_run_again_in_a_new_job_that_outlives_the_former_one_and_an_operator(stage: Stage) -> None:
    stage.ready_pool()
    licence = stage.folder / "licence"
    checks = [
        {"id": "good", "commandLine": "true"},
        {"id": "bad", "commandLine": f"test -e {licence}", "dependsOn": {"taskIds": ["good"]}},
        {"id": "after", "commandLine": "true", "dependsOn": {"taskIds": ["bad"]}},
    ]
    stage.apply(job("one", tasks=checks, priority=4))
    stage.wait("bj", "one", "Failed")
    licence.touch()
    stage.apply(thing("BatchJob", "again", retryOf={"name": "one"}, failurePolicy={"action": "Hold"}))
    stage.until(lambda: "tasksFingerprint" in stage.status("bj", "again"), "all tasks are added")
    stage.kill_operator()
    stage.kubectl("delete", "bj/one", "--wait=false")
    stage.restart_operator()
    stage.wait("bj", "again", "Complete")
    stage.until(
        lambda: not stage.kubectl("get", "bj/one", "--ignore-not-found", "-o", "name"), "the former job is gone"
    )
    found = {each["id"]: each.get("dependsOn") for each in stage.batch("GET", "jobs/again/tasks")["value"]}
    assert found == {"bad": None, "after": {"taskIds": ["bad"]}}
    remote = stage.batch("GET", "jobs/again")
    assert (remote["priority"], remote["poolInfo"]["poolId"]) == (4, "cpu")
    assert stage.calls().get("Tasks_GetTask", 0) == 0
