"""1,000 pools and 2,000 open jobs in 4 accounts, while nothing changes and after a restart; on the quick stage.

Half of the pools have no nodes, and half of the jobs on those have tasks that wait. BENCH_POOLS is the number of pools.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from measurement import Measurement
from stage_fleet import Count, lift_quotas

from support.stage import Options, Stage, job, pool, run_on_stage, sleeping

POOLS = int(os.environ.get("BENCH_POOLS", "1000"))
ACCOUNTS = tuple(f"account{number}" for number in range(4))
SETTLED_AFTER = 900.0
RESTING = 1200.0
RESTARTED = 180.0
_GOAL_OF_LISTS, _GOAL_OF_COUNTS = 15.0, 135.0 / 2000
"""Calls a minute: of all lists, and of the counts of each job. Together 150 for 2,000 jobs."""


@dataclass(frozen=True)
class Rest:
    """What was counted."""

    jobs: int
    resting: Count
    restarted: Count


async def scene(stage: Stage) -> Rest:
    """Create everything, wait until it rests, count, restart, and count again."""
    lift_quotas(stage.azure)
    for name in ACCOUNTS:
        stage.apply(*stage.account_objects(name, accountName=name))
    for number in range(POOLS):
        name, nodes = f"p{number}", number % 2
        account = {"name": ACCOUNTS[number % len(ACCOUNTS)]}
        tasks = {} if nodes else {"tasks": sleeping(2)}
        stage.apply(
            pool(name, accountRef=account, targetDedicatedNodes=nodes),
            job(f"{name}-open", poolRef={"name": name}),
            job(f"{name}-more", poolRef={"name": name}, **tasks),
        )
    await stage.run_for(SETTLED_AFTER)
    jobs = stage.names("bj")
    left = [name for name in jobs if stage.phase("bj", name) not in {"Running", "Waiting"}]
    assert not left, f"not open after {SETTLED_AFTER:.0f} s: {left[:5]}"
    before = Count.of(stage)
    await stage.run_for(RESTING)
    resting = Count.of(stage)
    await stage.restart()
    await stage.run_for(RESTARTED)
    stage.check()
    return Rest(len(jobs), resting - before, Count.of(stage) - resting)


def run() -> list[Measurement]:
    """Measure."""
    found: Rest = run_on_stage(scene, Options(accounts=ACCOUNTS))
    minutes, jobs = RESTING / 60, found.jobs
    calls, goal = found.resting.calls.total() / minutes, _GOAL_OF_LISTS + _GOAL_OF_COUNTS * jobs
    counts = found.restarted.calls["Jobs_GetJobTaskCounts"]
    what = f"{POOLS:,} pools, {jobs:,} open jobs"
    return [
        Measurement(f"{what}: Batch calls at rest", calls, "per minute", goal, smaller_is_better=True, counted=True),
        Measurement("writes at rest", found.resting.writes, "", 0.0, smaller_is_better=True, counted=True),
        Measurement(
            "passes at rest", found.resting.passes * 60 / minutes / (POOLS + jobs), "per object and hour", counted=True
        ),
        Measurement("writes by a restart", found.restarted.writes, "", 0.0, smaller_is_better=True, counted=True),
        Measurement("task counts after a restart", counts / jobs, "per job", 1.0, smaller_is_better=True, counted=True),
    ]
