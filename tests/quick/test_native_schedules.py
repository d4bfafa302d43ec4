"""Native schedules: what they cost at rest, and what their history says of jobs that have ended."""

from __future__ import annotations

from typing import Any

import pytest

from support.stage import Stage, pool, schedule

MANAGER = {"id": "manager", "commandLine": "/bin/sh -c 'sleep 30'"}


async def ran_once(stage: Stage) -> None:
    """A schedule whose next job is far away, and whose first one has ended."""
    await stage.ready_pool()
    specification = {"poolRef": {"name": "cpu"}, "jobManagerTask": MANAGER}
    stage.apply(schedule("nightly", schedule={"recurrenceInterval": "PT24H"}, jobSpecification=specification))
    await stage.until(lambda: (stage.azure.get("/jobs/nightly:job-1") or {}).get("state") == "completed", 600)


async def test_statistics_that_change_with_each_request_cause_no_polls(stage: Stage) -> None:
    await ran_once(stage)
    await stage.run_for(1200)
    before = stage.azure.calls("JobSchedules_ListJobSchedules")
    assert before > 0
    await stage.run_for(3600)
    assert stage.azure.calls("JobSchedules_ListJobSchedules") - before < 100, "about one a minute"


async def test_the_history_says_what_has_become_of_a_job_although_counts_lag(stage: Stage) -> None:
    stage.azure.service.lag.seconds = 200
    await ran_once(stage)
    await stage.until(lambda: stage.status("bjs", "nightly")["history"][0]["state"] == "completed", 60)
    await stage.until(lambda: stage.status("bjs", "nightly")["history"][0]["succeeded"] == 1, 900)
    calls = stage.azure.calls("Jobs_GetJobTaskCounts")
    await stage.run_for(3600)
    assert stage.azure.calls("Jobs_GetJobTaskCounts") == calls, "what is settled is not counted again"


@pytest.mark.parametrize("version", ["", "latest", None])
async def test_an_image_without_a_version_is_not_a_permanent_change(stage: Stage, version: str | None) -> None:
    stage.apply(*stage.account_objects())
    own: dict[str, Any] = {**pool("own")["spec"], "targetDedicatedNodes": 0}
    del own["accountRef"]
    image = own["virtualMachineConfiguration"]["imageReference"] | {"version": version}
    own["virtualMachineConfiguration"] = own["virtualMachineConfiguration"] | {"imageReference": image}
    info = {"autoPoolSpecification": {"poolLifetimeOption": "jobschedule", "pool": own}}
    times, account = {"recurrenceInterval": "PT24H"}, {"name": "main"}
    stage.apply(schedule("nightly", accountRef=account, schedule=times, jobSpecification={"poolInfo": info}))
    await stage.until(lambda: stage.azure.get("/jobschedules/nightly"), 600)
    await stage.run_for(1200)
    assert stage.ready("bjs", "nightly"), stage.status("bjs", "nightly")
    assert (
        stage.azure.calls("JobSchedules_UpdateJobSchedule") + stage.azure.calls("JobSchedules_ReplaceJobSchedule") == 0
    )
