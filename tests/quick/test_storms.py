"""What many objects that are deleted at once cost, each: the calls that a deletion needs, and no more because there are many."""

from __future__ import annotations

from support.stage import Stage, job

JOBS = 40


async def test_a_deleted_job_takes_a_call_and_two_looks(stage: Stage) -> None:
    """One look before the call, and one before its object goes; what the polls lack then needs no look of theirs."""
    await stage.ready_pool(targetDedicatedNodes=0)
    stage.apply(*stage.account_objects(rateLimit={"callsPerSecond": 8}))
    names = [f"j{number}" for number in range(JOBS)]
    stage.apply(*(job(name) for name in names))
    await stage.until(lambda: all(stage.phase("bj", name) == "Running" for name in names), 600)
    await stage.run_for(60)
    looks, writes = stage.azure.calls("Jobs_GetJob"), stage.writes("bj")
    for name in names:
        stage.delete("bj", name)
    await stage.until(lambda: not stage.names("bj"), 600)
    assert stage.azure.calls("Jobs_DeleteJob") == JOBS
    assert stage.azure.calls("Jobs_GetJob") - looks == 2 * JOBS
    assert stage.writes("bj") - writes == JOBS, "each loses its finalizer"
