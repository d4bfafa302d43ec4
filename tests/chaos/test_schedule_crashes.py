"""The operator killed before and after each call of a schedule's life, and around a cron run: the same end, nothing twice."""

from __future__ import annotations

from typing import Any

import pytest

from chaos.test_job_crashes import hit
from e2e.conftest import Stage
from e2e.test_schedules import cron, jobs_of, make_due, native

STEPS = {
    "JobSchedules_CreateJobSchedule": None,
    "JobSchedules_UpdateJobSchedule": '{"spec":{"schedule":{"recurrenceInterval":"PT200H"}}}',
    "JobSchedules_DisableJobSchedule": '{"spec":{"suspend":true}}',
    "JobSchedules_EnableJobSchedule": '{"spec":{"suspend":false}}',
}


def begin(stage: Stage, step: str) -> None:
    """Do what makes the operator call."""
    change = STEPS[step]
    if change is None:
        stage.apply(native("weekly", schedule={"recurrenceInterval": "PT168H"}))
    else:
        stage.kubectl("patch", "bjs/weekly", "--type=merge", "-p", change)


def settled(stage: Stage) -> Any:
    shown = stage.get("bjs", "weekly")
    status = shown.get("status", {})
    wanted = "Suspended" if shown["spec"].get("suspend") else "Active"
    return status.get("observedGeneration") == shown["metadata"]["generation"] and status.get("phase") == wanted


@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_killed_at_each_call(make_stage: Any, step: str, *, done: bool) -> None:
    stage: Stage = make_stage()
    stage.ready_pool()
    for each in STEPS:
        if each == step:
            rules = [{"operation": step, "effect": {"hang": True}}]
            if done:
                rules.insert(0, {"operation": step, "count": 1, "effect": {"lostAnswer": True}})
            armed = [stage.emulator.admin("POST", "faults", rule)["id"] for rule in rules]
            begin(stage, each)
            if done:
                stage.until(lambda: hit(stage, armed[0]), f"the answer to {step} is lost")  # noqa: B023
            else:
                stage.until(lambda: hit(stage, armed[-1]), f"{step} hangs")  # noqa: B023
            stage.kill_operator()
            for id in armed:
                stage.emulator.admin("DELETE", f"faults/{id}")
            stage.restart_operator()
        else:
            begin(stage, each)
        stage.until(lambda: settled(stage), f"{each} is done", 90)
    operations = stage.emulator.admin("GET", "counters")["operations"]
    well = {each: sum(n for code, n in operations[each].items() if code.startswith("2")) for each in STEPS}
    # What was done although its response was lost counts as done in the emulator, and is not done again.
    assert well == dict.fromkeys(STEPS, 1)
    state = stage.emulator.admin("GET", "state")
    assert (state["jobSchedules"], state["jobs"]) == (1, 1)
    stage.kubectl("delete", "bjs/weekly", "--timeout=60s")
    assert stage.emulator.admin("GET", "state")["jobSchedules"] == 0


def test_killed_while_a_schedule_is_deleted(make_stage: Any) -> None:
    stage: Stage = make_stage()
    stage.ready_pool()
    stage.apply(native("weekly", schedule={"recurrenceInterval": "PT168H"}))
    stage.wait("bjs", "weekly", "Ready")
    id = stage.emulator.admin(
        "POST", "faults", {"operation": "JobSchedules_DeleteJobSchedule", "effect": {"hang": True}}
    )["id"]
    stage.kubectl("delete", "bjs/weekly", "--wait=false")
    stage.until(lambda: hit(stage, id), "the call hangs")
    stage.kill_operator()
    stage.emulator.admin("DELETE", f"faults/{id}")
    stage.restart_operator()
    stage.until_gone("bjs")
    assert stage.emulator.admin("GET", "state")["jobSchedules"] == 0


def test_killed_before_the_status_knows_of_a_run(make_stage: Any) -> None:
    stage: Stage = make_stage()
    stage.ready_pool()
    stage.apply(cron("often", cron={"expression": "* * * * *", "successfulJobsHistoryLimit": 100}))
    make_due(stage, "often")
    stage.until(lambda: jobs_of(stage, "often"), "a BatchJob is made")
    stage.kill_operator()
    first = jobs_of(stage, "often")[0]["metadata"]
    # As if the status had not been written any more.
    stage.kubectl(
        "patch", "bjs/often", "--subresource=status", "--type=merge", "-p",
        '{"status":{"lastScheduleTime":"2026-01-01T00:00:00Z"}}',
    )  # fmt: skip
    stage.restart_operator()
    stage.until(lambda: stage.status("bjs", "often")["lastScheduleTime"] > "2026-01-02", "the run is known again")
    stage.wait("bj", first["name"], "Complete")
    same = [job["metadata"]["uid"] for job in jobs_of(stage, "often") if job["metadata"]["name"] == first["name"]]
    assert same == [first["uid"]]
