"""How soon a change reaches Azure Batch in healthy accounts beside others: dead ones, and a throttled one; on the quick stage.

50 accounts, of which 5 have connections that hang while their objects change, and one account that answers 429 above 10 calls per
second while it has 300 objects to be changed. In virtual time, so this tells what the operator waits for, not how fast it is;
`bench_reaction` measures the time of a real process.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from typing import Any

from measurement import Measurement
from reactions import percentile
from stage_fleet import Count, lift_quotas

from azure_batch_emulator.web.faults import Effect
from support.stage import Options, Stage, job, pool, run_on_stage
from support.stage.azure import Azure

ACCOUNTS = int(os.environ.get("BENCH_ACCOUNTS", "50"))
DEAD = ACCOUNTS // 10
OBJECTS_OF_A_DEAD_ONE = 20
OBJECTS_OF_THE_THROTTLED_ONE = 300
CALLS_PER_SECOND = 10.0
ROUNDS = 3
NAMES = tuple(f"account{number:02}" for number in range(ACCOUNTS))
_GOAL = 100.0
_EVERY = 2.0


async def _reactions(stage: Stage, names: list[str], rounds: int) -> list[float]:
    """Milliseconds from a change of a job until its call is there, for jobs that change one after the other."""
    found = list[float]()
    for priority, name in itertools.product(range(1, rounds + 1), names):
        seen, changed = len(stage.azure.log), stage.now
        stage.patch("bj", name, {"spec": {"priority": priority}})
        await stage.until(_updated(stage, seen, name), 300)
        found.append((stage.now - changed) * 1000)
        await stage.run_for(_EVERY / len(names))
    return found


def _updated(stage: Stage, seen: int, name: str) -> Callable[[], bool]:
    log = stage.azure.log
    return lambda: any(
        call.operation == "Jobs_UpdateJob" and call.path.endswith(f"/{name}")
        for call in itertools.islice(log, seen, None)
    )


async def _healthy_jobs(stage: Stage, accounts: tuple[str, ...]) -> list[str]:
    """An open job in each of these accounts."""
    lift_quotas(stage.azure)
    for name in accounts:
        stage.apply(*stage.account_objects(name, accountName=name))
        stage.apply(
            pool(f"pool-{name}", accountRef={"name": name}, targetDedicatedNodes=0),
            job(f"job-{name}", poolRef={"name": f"pool-{name}"}, priority=0),
        )
    names = [f"job-{name}" for name in accounts]
    await stage.until(lambda: all(stage.phase("bj", name) == "Running" for name in names), 600)
    return names


async def _another(stage: Stage, name: str, port: int, objects: int) -> tuple[Azure, list[str]]:
    """An account at an endpoint of its own, and its pools."""
    azure = await stage.another_azure(port)
    lift_quotas(azure)
    stage.apply(*stage.account_objects(name, endpoint=azure.endpoint, accountName=azure.account))
    pools = [f"{name}-{number}" for number in range(objects)]
    stage.apply(*(pool(each, accountRef={"name": name}, targetDedicatedNodes=0) for each in pools))
    await stage.until(lambda: all(stage.ready("bp", each) for each in pools), 600)
    return azure, pools


async def dead_ones(stage: Stage) -> list[float]:
    """Some of the accounts stop answering, and then all of their objects change."""
    healthy = await _healthy_jobs(stage, NAMES[DEAD:])
    for number, name in enumerate(NAMES[:DEAD]):
        azure, pools = await _another(stage, name, 10200 + number, OBJECTS_OF_A_DEAD_ONE)
        azure.fault(hang=True)
        for each in pools:
            stage.patch("bp", each, {"spec": {"targetDedicatedNodes": 1}})
    await stage.run_for(1)
    return await _reactions(stage, healthy, ROUNDS)


class _Throttle:
    """Refuses calls above a rate, as the service does with an account."""

    def __init__(self, stage: Stage) -> None:
        self._stage, self._tokens, self._at = stage, CALLS_PER_SECOND, stage.now
        self.refused = 0

    def __call__(self, operation: str, *_: Any) -> Effect | None:
        del operation
        now = self._stage.now
        self._tokens = min(CALLS_PER_SECOND, self._tokens + (now - self._at) * CALLS_PER_SECOND)
        self._at = now
        if self._tokens >= 1:
            self._tokens -= 1
            return None
        self.refused += 1
        return Effect(status=429, code="TooManyRequests", retry_after=1)


async def a_throttled_one(stage: Stage) -> tuple[list[float], float, float]:
    """Reactions of the others, refused calls, and the seconds until all of the changes of the throttled account were made."""
    healthy = await _healthy_jobs(stage, NAMES[:10])
    azure, pools = await _another(stage, "throttled", 10200, OBJECTS_OF_THE_THROTTLED_ONE)
    throttle = _Throttle(stage)
    azure.server.faults.effect_on = throttle  # type: ignore[method-assign]
    before, began = azure.calls("Pools_UpdatePool"), stage.now
    for each in pools:
        stage.patch("bp", each, {"spec": {"metadata": [{"name": "team", "value": "blue"}]}})
    reactions = await _reactions(stage, healthy, ROUNDS)

    def updated() -> bool:
        done = [call for call in azure.log[:] if call.operation == "Pools_UpdatePool" and call.status == 200]
        return len(done) - before >= len(pools)

    while not updated():
        assert stage.now - began < 3600, "the changes of the throttled account are not made"
        await stage.run_for(1)
    spent = Count.of(stage, azure)
    share = throttle.refused / sum(spent.calls.values())
    return reactions, share, stage.now - began


def run() -> list[Measurement]:
    """Measure."""
    beside_dead = run_on_stage(dead_ones, Options(accounts=NAMES[DEAD:]))
    beside_throttled, refused, seconds = run_on_stage(a_throttled_one, Options(accounts=NAMES[:10]))
    least = OBJECTS_OF_THE_THROTTLED_ONE / CALLS_PER_SECOND
    return [
        _p99(f"{ACCOUNTS} accounts, {DEAD} of them dead", beside_dead),
        _p99(f"beside an account that is throttled to {CALLS_PER_SECOND:.0f} calls/s", beside_throttled),
        Measurement("throttled account: refused calls", refused * 100, "% of all calls"),
        Measurement(
            "throttled account: all changes made", seconds / least, "× one call each at its rate", counted=True
        ),
    ]


def _p99(what: str, reactions: list[float]) -> Measurement:
    return Measurement(
        f"{what}: change to call on the others, p99 of {len(reactions)}",
        percentile(reactions, 99),
        "virtual ms",
        _GOAL,
        smaller_is_better=True,
        counted=True,
    )
