"""A job whose tasks wait for failed ones ends, however many have failed and however their ids are written."""

from __future__ import annotations

from typing import Any

from support.stage import Stage, job


async def test_a_job_ends_although_more_tasks_have_failed_than_are_shown(stage: Stage) -> None:
    await stage.ready_pool()
    pairs: list[dict[str, Any]] = [{"id": f"a{at:03}", "commandLine": "exit 1"} for at in range(250)]
    pairs += [{"id": f"b{at:03}", "commandLine": "x", "dependsOn": {"taskIds": [f"A{at:03}"]}} for at in range(250)]
    stage.apply(job("own", tasks=pairs))
    await stage.until(lambda: stage.phase("bj", "own") == "Failed", 3600)
    assert stage.reason("bj", "own") == "DependencyFailed"
    (group,) = stage.status("bj", "own")["failures"]
    assert (group["count"], len(group["taskIds"])) == (250, 5)
