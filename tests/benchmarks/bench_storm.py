"""2,000 BatchTasks deleted at once, alone and together with their jobs, and 500 open BatchJobs; on the quick stage.

BENCH_OBJECTS is the number of BatchTasks; there are a quarter as many BatchJobs in the last run, as each of them takes three calls.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from measurement import Measurement
from stage_fleet import Count, lift_quotas

from support.stage import Stage, job, run_on_stage, task

OBJECTS = int(os.environ.get("BENCH_OBJECTS", "2000"))
OPEN_JOBS = OBJECTS // 4
TASKS_OF_A_JOB = 100
_LIMIT = 50.0
"""Calls per second that the operator makes to an account by default."""
_SETTLED_AFTER = 120.0
_PATIENCE = 3600.0


async def _deleted(stage: Stage, *kinds: str) -> Count:
    """Delete all objects of these kinds in one moment, and count until they are gone."""
    await stage.run_for(_SETTLED_AFTER)
    before = Count.of(stage)
    for kind in kinds:
        for name in stage.names(kind):
            stage.delete(kind, name)
    while any(stage.names(kind) for kind in kinds):
        assert Count.of(stage).seconds - before.seconds < _PATIENCE, stage.picture()
        await stage.run_for(0.5)
    stage.check()
    return Count.of(stage) - before


async def _tasks(stage: Stage) -> None:
    """BatchTasks that wait, as the pool has no nodes."""
    lift_quotas(stage.azure)
    await stage.ready_pool(targetDedicatedNodes=0)
    jobs = -(-OBJECTS // TASKS_OF_A_JOB)
    stage.apply(*(job(f"j{number}") for number in range(jobs)))
    stage.apply(*(task(f"t{number}", f"j{number % jobs}") for number in range(OBJECTS)))


async def tasks_alone(stage: Stage) -> Count:
    """The jobs stay."""
    await _tasks(stage)
    return await _deleted(stage, "bt")


async def tasks_with_jobs(stage: Stage) -> Count:
    """The jobs go, too, as with their namespace."""
    await _tasks(stage)
    return await _deleted(stage, "bt", "bj")


async def open_jobs(stage: Stage) -> Count:
    """Open jobs without tasks."""
    lift_quotas(stage.azure)
    await stage.ready_pool(targetDedicatedNodes=0)
    stage.apply(*(job(f"j{number}") for number in range(OPEN_JOBS)))
    return await _deleted(stage, "bj")


def run() -> list[Measurement]:
    """Measure."""
    jobs = -(-OBJECTS // TASKS_OF_A_JOB)
    return [
        *_rows(f"{OBJECTS:,} BatchTasks", OBJECTS, run_on_stage(tasks_alone), Goals(1.2, 1.05, 3.0)),
        *_rows("BatchTasks and their jobs", OBJECTS + jobs, run_on_stage(tasks_with_jobs), Goals(0.2, 1.05, 5.0)),
        *_rows(f"{OPEN_JOBS:,} open BatchJobs", OPEN_JOBS, run_on_stage(open_jobs), Goals(3.3, 2.05, 3.0)),
    ]


@dataclass(frozen=True)
class Goals:
    """At most so many for each object."""

    calls: float
    writes: float
    passes: float


def _rows(what: str, number: int, spent: Count, goals: Goals) -> list[Measurement]:
    calls, each = spent.calls.total(), "per object"
    found = [
        (f"{what} deleted: Batch calls", calls, goals.calls),
        (f"{what}: writes", spent.writes, goals.writes),
        (f"{what}: passes", spent.passes, goals.passes),
    ]
    rows = [
        Measurement(text, value / number, each, goal, smaller_is_better=True, counted=True)
        for text, value, goal in found
    ]
    rows.append(Measurement(f"{what}: all gone after", spent.seconds, "virtual s"))
    if calls > 5 * _LIMIT:
        unit = f"× calls at {_LIMIT:.0f}/s"
        late = spent.seconds * _LIMIT / calls
        rows.append(Measurement(f"{what}: the same", late, unit, 1.5, smaller_is_better=True, counted=True))
    return [*rows, Measurement(f"{what}: CPU, emulator and stage included", spent.cpu * 1000 / number, f"ms {each}")]
