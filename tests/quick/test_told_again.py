"""Old watch events of an object that is gone, told to a new process, change nothing.

A watch that begins too early, or a stale API server, shows it as it was. What is made for it then is nobody's.
"""

from __future__ import annotations

from typing import Any

import pytest

from support.stage import Stage, job, operation, pool, schedule, sleeping, task

_ACCOUNT = {"name": "main", "namespace": "default"}
_LONG = {"poolInfo": {"poolId": "cpu"}, "tasks": sleeping(1, 36_000)}
_OBJECTS: dict[str, tuple[str, dict[str, Any]]] = {
    "pool": ("bp", pool("own")),
    "job": ("bj", job("own", tasks=sleeping(2))),
    "task": ("bt", task("own", "base", "/bin/sh -c 'sleep 600'")),
    "cron": ("bjs", schedule("own", accountRef=_ACCOUNT, cron={"expression": "*/5 * * * *"}, jobSpecification=_LONG)),
    "schedule": (
        "bjs",
        schedule(
            "own", accountRef=_ACCOUNT, schedule={"recurrenceInterval": "PT1H"},
            jobSpecification={"poolInfo": {"poolId": "cpu"}, "jobManagerTask": {"id": "m", "commandLine": "true"}},
        ),
    ),
    "operation": ("bop", operation("own", rebootNode={"nodes": {"selector": "all"}})),
}  # fmt: skip
_PLURALS = {
    "bp": "batchpools",
    "bj": "batchjobs",
    "bt": "batchtasks",
    "bjs": "batchjobschedules",
    "bop": "batchoperations",
}


@pytest.mark.parametrize("what", _OBJECTS)
async def test_events_of_what_is_gone_change_nothing_after_a_restart(stage: Stage, what: str) -> None:
    kind, body = _OBJECTS[what]
    await stage.ready_pool()
    stage.apply(job("base", onAllTasksComplete="noaction"))
    await stage.until(lambda: stage.azure.get("/jobs/base"), 60)
    stage.apply(body)
    await stage.until(lambda: stage.status(kind, "own").get("observedGeneration") == 1, 600)
    await stage.run_for(120)
    stage.delete(kind, "own")
    await stage.until(lambda: not stage.get(kind, "own"), 600)
    await stage.run_for(600)
    await stage.restart()
    await stage.run_for(60)
    calls, created = len(stage.azure.changes()), _created(stage)
    stage.watch.drop(_PLURALS[kind], "own", type="DELETED")
    stage.watch.replay(_PLURALS[kind], "own")
    await stage.run_for(900)
    assert stage.azure.changes()[calls:] == []
    assert _created(stage) == created


def _created(stage: Stage) -> list[str]:
    """Our objects that were ever created."""
    return [
        str(event.id) for event in stage.server.log if event.type == "ADDED" and event.id.plural.startswith("batch")
    ]
