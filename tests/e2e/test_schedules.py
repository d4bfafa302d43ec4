"""Job schedules: those of the service by interval, and those of the operator by cron."""

from __future__ import annotations

import json
from typing import Any

from e2e.conftest import Stage, thing

MANAGER = {"id": "manager", "commandLine": "/bin/sh -c 'echo managed'"}


def native(name: str, **spec: Any) -> dict[str, Any]:
    body = {
        "schedule": {"recurrenceInterval": "PT3M"},
        "jobSpecification": {"poolRef": {"name": "cpu"}, "jobManagerTask": MANAGER},
    }
    return thing("BatchJobSchedule", name, **(body | spec))


def cron(name: str, **spec: Any) -> dict[str, Any]:
    body = {
        "cron": {"expression": "* * * * *"},
        "jobSpecification": {"poolRef": {"name": "cpu"}, "tasks": [{"id": "a", "commandLine": "true"}]},
    }
    return thing("BatchJobSchedule", name, **(body | spec))


def make_due(stage: Stage, name: str) -> None:
    """As if the last run had been long ago: the next is due at once, not at the next full minute."""
    stage.until(lambda: stage.status("bjs", name).get("observedGeneration", -1) > 0, "the schedule was looked at")
    patch = {"status": {"lastScheduleTime": "2026-01-01T00:00:00Z"}}
    stage.kubectl("patch", f"bjs/{name}", "--subresource=status", "--type=merge", "-p", json.dumps(patch))
    stage.kubectl("annotate", f"bjs/{name}", "note=due", "--overwrite")


def history(stage: Stage, name: str) -> list[dict[str, Any]]:
    return list(stage.status("bjs", name).get("history", []))


def jobs_of(stage: Stage, name: str) -> list[dict[str, Any]]:
    text = stage.kubectl("get", "bj", "-l", f"azurebatch.io/schedule={name}", "-o", "json")
    return list(json.loads(text)["items"])


def test_a_schedule_of_the_service_makes_jobs_one_after_the_other(stage: Stage) -> None:
    stage.ready_pool()
    stage.apply(native("hourly"))
    stage.wait("bjs", "hourly", "Ready")
    stage.until(
        lambda: sum(job["state"] == "completed" for job in history(stage, "hourly")) >= 2, "two jobs have ended"
    )
    status = stage.status("bjs", "hourly")
    ended = next(job for job in status["history"] if job["state"] == "completed")
    assert ended["id"].startswith("hourly:job-")
    assert (ended["succeeded"], ended["failed"]) == (1, 0)
    assert status["nextRunTime"]
    stage.kubectl("delete", "bjs/hourly", "--timeout=60s")
    assert stage.emulator.admin("GET", "state")["jobs"] == 0


def test_suspended_changed_resumed_and_ended(stage: Stage) -> None:
    stage.ready_pool()
    stage.apply(native("hourly", schedule={"recurrenceInterval": "PT5H"}, suspend=False))
    stage.wait("bjs", "hourly", "Ready")
    stage.kubectl("patch", "bjs/hourly", "--type=merge", "-p", '{"spec":{"suspend":true}}')
    stage.wait("bjs", "hourly", "Suspended")
    change = {"spec": {"suspend": False, "schedule": {"recurrenceInterval": "PT2H"}}}
    stage.kubectl("patch", "bjs/hourly", "--type=merge", "-p", json.dumps(change))
    stage.until(lambda: stage.status("bjs", "hourly").get("phase") == "Active", "it is active again")
    stage.until(lambda: stage.status("bjs", "hourly").get("observedGeneration") == 3, "the change was taken up")
    calls = stage.calls()
    named = {name: calls.get(f"JobSchedules_{name}", 0) for name in (
        "CreateJobSchedule", "DisableJobSchedule", "EnableJobSchedule", "UpdateJobSchedule", "TerminateJobSchedule",
    )}  # fmt: skip
    assert list(named.values()) == [1, 1, 1, 1, 0], "each once, nothing twice"
    stage.kubectl("annotate", "bjs/hourly", "azurebatch.io/terminate=now")
    stage.wait("bjs", "hourly", "Complete")
    assert stage.status("bjs", "hourly")["phase"] == "Completed"


def test_everything_that_the_service_fills_in_is_no_difference(stage: Stage) -> None:
    stage.ready_pool()
    specification = {
        "poolRef": {"name": "cpu"},
        "onAllTasksComplete": "TerminateJob",
        "constraints": {"maxTaskRetryCount": 2},
        "jobManagerTask": MANAGER
        | {"constraints": {"maxWallClockTime": "PT1H"}, "environmentSettings": [{"name": "A", "value": "1"}]},
        "jobPreparationTask": {"commandLine": "/bin/true"},
        "jobReleaseTask": {"commandLine": "/bin/true"},
        "metadata": [{"name": "team", "value": "a"}],
    }
    times = {"recurrenceInterval": "PT300M", "startWindow": "PT60M", "doNotRunAfter": "2099-01-01T01:00:00+01:00"}
    stage.apply(native("full", schedule=times, jobSpecification=specification, metadata=[{"name": "m", "value": "v"}]))
    stage.wait("bjs", "full", "Ready")
    stage.until(lambda: history(stage, "full"), "its first job is shown")
    stage.until(lambda: history(stage, "full")[0]["state"] == "completed", "its first job has ended")
    stage.kubectl("annotate", "bjs/full", "note=look")
    listed, before = stage.calls()["JobSchedules_ListJobSchedules"], stage.writes()
    stage.until(lambda: stage.calls()["JobSchedules_ListJobSchedules"] > listed + 3, "it was looked at a few times")
    assert stage.calls().get("JobSchedules_UpdateJobSchedule", 0) == 0
    # The annotation was ours; statistics of the first job may have come in late.
    assert stage.writes() - before <= 1


def test_a_schedule_whose_jobs_never_end_is_warned_of(stage: Stage) -> None:
    stage.ready_pool()
    manager = MANAGER | {"killJobOnCompletion": False}
    stage.apply(native("stuck", jobSpecification={"poolRef": {"name": "cpu"}, "jobManagerTask": manager}))
    stage.until(lambda: stage.condition("bjs", "stuck").get("reason") == "JobsNeverEnd", "it is warned of")
    assert "onAllTasksComplete" in stage.condition("bjs", "stuck")["message"]


def test_cron_makes_jobs_and_keeps_few(stage: Stage) -> None:
    stage.ready_pool()
    stage.apply(cron("often", cron={"expression": "* * * * *", "successfulJobsHistoryLimit": 1}))
    make_due(stage, "often")
    stage.until(lambda: jobs_of(stage, "often"), "a BatchJob is made")
    [first] = jobs_of(stage, "often")
    stage.wait("bj", first["metadata"]["name"], "Complete")
    stage.until(lambda: history(stage, "often")[0].get("succeeded") == 1, "its result is in the history")
    assert first["metadata"]["ownerReferences"][0]["name"] == "often"
    # The same run is not started twice, even if the status forgets it.
    stage.kubectl("delete", f"bj/{first['metadata']['name']}", "--timeout=60s")
    make_due(stage, "often")
    stage.until(lambda: jobs_of(stage, "often"), "the next BatchJob is made")
    stage.kubectl("delete", "bjs/often", "--timeout=30s")
    stage.until(lambda: not jobs_of(stage, "often"), "its jobs go with it")


def test_cron_waits_for_the_last_job_when_told_so(stage: Stage) -> None:
    stage.ready_pool()
    slow = {"poolRef": {"name": "cpu"}, "tasks": [{"id": "a", "commandLine": "sleep 300"}]}
    spec = {"expression": "0 0 1 1 *", "concurrencyPolicy": "Forbid"}
    stage.apply(cron("yearly", cron=spec, jobSpecification=slow))
    make_due(stage, "yearly")
    stage.until(
        lambda: not jobs_of(stage, "yearly") and stage.status("bjs", "yearly").get("active") == 0,
        "not due before 1 January",
    )
    stage.kubectl("patch", "bjs/yearly", "--type=merge", "-p", '{"spec":{"cron":{"expression":"* * * * *"}}}')
    stage.until(lambda: jobs_of(stage, "yearly"), "a BatchJob is made")
    make_due(stage, "yearly")
    stage.until(lambda: stage.status("bjs", "yearly").get("active") == 1, "it runs")
    stage.kubectl("patch", "bjs/yearly", "--type=merge", "-p", '{"spec":{"suspend":true}}')
    stage.wait("bjs", "yearly", "Suspended")
    assert len(jobs_of(stage, "yearly")) == 1


def test_a_detached_cron_schedule_leaves_its_running_job(stage: Stage) -> None:
    """With the operator's own rights: its admission policy lets it delete the BatchJob, and write no annotation."""
    stage.ready_pool()
    tasks = [{"id": "a", "commandLine": "/bin/sh -c 'sleep 36000'"}]
    jobs = {"poolRef": {"name": "cpu"}, "tasks": tasks}
    stage.apply(cron("kept", cron={"expression": "* * * * *", "concurrencyPolicy": "Forbid"}, jobSpecification=jobs))
    make_due(stage, "kept")
    stage.until(
        lambda: [job.get("status", {}).get("phase") for job in jobs_of(stage, "kept")] == ["Running"], "a run has begun"
    )
    stage.kubectl("annotate", "bjs/kept", "azurebatch.io/reconcile-policy=detach-on-delete")
    stage.kubectl("delete", "bjs/kept", "--timeout=60s")
    assert jobs_of(stage, "kept") == []
    assert stage.emulator.admin("GET", "state")["jobs"] == 1
