"""Only account-wide evidence judges an account; trouble of one job or pool stays that one's."""

from __future__ import annotations

import pytest

from support.stage import Stage, job, pool, sleeping


async def test_a_job_whose_counts_fail_affects_no_other(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(job("bad", tasks=sleeping(1, 7200)), job("good", tasks=sleeping(1, 60)))
    await stage.until(lambda: stage.phase("bj", "bad") == stage.phase("bj", "good") == "Running", 120)
    stage.azure.fault("Jobs_GetJobTaskCounts", path="/jobs/bad/", status=500)
    await stage.until(lambda: stage.phase("bj", "good") == "Succeeded", 300)
    stage.apply(job("new", tasks=sleeping(1, 10)))
    await stage.until(lambda: stage.phase("bj", "new") == "Succeeded", 300)
    assert stage.ready("bacc", "main")
    assert stage.ready("bp", "cpu")


async def test_a_pool_whose_nodes_cannot_be_listed_affects_no_other(stage: Stage) -> None:
    await stage.ready_pool()
    stage.azure.fault("Nodes_ListNodes", status=500)
    stage.apply(job("new", tasks=sleeping(1, 10)))
    await stage.until(lambda: stage.phase("bj", "new") == "Succeeded", 300)
    assert stage.ready("bacc", "main")


@pytest.mark.parametrize("status", [400, 500])
@pytest.mark.parametrize("kind", ["bp", "bj"])
async def test_a_resource_in_no_list_that_cannot_be_requested_affects_no_other(
    stage: Stage, kind: str, status: int
) -> None:
    await stage.ready_pool()
    if kind == "bp":
        stage.apply(pool("other", targetDedicatedNodes=0))
        await stage.until(lambda: stage.ready("bp", "other"), 300)
    else:
        # None of its tasks has been seen to start, so it is made again.
        stage.apply(job("other", tasks=sleeping(1, 7200)))
        await stage.until(lambda: stage.phase("bj", "other") == "Running", 120)
    operation, path = {"bp": ("Pools_GetPool", "/pools/other"), "bj": ("Jobs_GetJob", "/jobs/other")}[kind]
    stage.azure.fault(operation, path=path, status=status, code="InvalidPropertyValue")
    stage.freeze()
    stage.azure.delete(path)
    await stage.until(lambda: stage.azure.get(path) is None, 300)
    stage.thaw()
    stage.apply(job("new", tasks=sleeping(1, 10)))
    await stage.until(lambda: stage.phase("bj", "new") == "Succeeded", 300)
    assert not [each for each in stage.events("bacc", "main") if each["type"] == "Warning"]
    stage.azure.heal()
    # What is gone is made again.
    await stage.until(lambda: stage.azure.get(path), 300)


@pytest.mark.parametrize("status", [400, 500])
async def test_a_job_that_cannot_be_requested_affects_no_other_job(stage: Stage, status: int) -> None:
    await stage.ready_pool()
    stage.apply(job("bad", tasks=sleeping(1, 600)))
    await stage.until(lambda: stage.phase("bj", "bad") == "Running", 120)
    await stage.run_for(30)
    stage.azure.fault("Jobs_ListJobs", status=400, code="InvalidQueryParameterValue")
    stage.azure.fault("Jobs_GetJob", path="/jobs/bad", status=status, code="InvalidPropertyValue")
    stage.apply(job("good", tasks=sleeping(1, 10)))
    await stage.until(lambda: stage.phase("bj", "good") == "Succeeded", 300)
    await stage.until(
        lambda: "'bad' cannot be read" in stage.condition("bj", "bad", "Reconciling").get("message", ""), 120
    )
    assert stage.phase("bj", "bad") == "Running"
    assert not [each for each in stage.events("bacc", "main") if each["type"] == "Warning"]
    stage.azure.heal()
    await stage.until(lambda: stage.phase("bj", "bad") == "Succeeded", 900)
    assert stage.azure.calls("Jobs_CreateJob") == 2


async def test_a_long_retry_after_is_throttling_and_nothing_worse(stage: Stage) -> None:
    await stage.ready_pool()
    stage.azure.fault(".*", status=429, code="TooManyRequests", retryAfter=60, count=1)
    seen: set[str] = set()

    def look() -> bool:
        seen.add(stage.reason("bacc", "main"))
        return True

    await stage.always(look, 300)
    assert seen <= {"Connected", "Throttled"}
    assert stage.ready("bacc", "main")
