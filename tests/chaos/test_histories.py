"""Random histories on the real control plane with processes: SIGKILL, SIGSTOP, a proxy that goes wrong, faults of Azure Batch.

Each has a control plane of its own. They are played and judged by `tests/histories`; `make histories HISTORIES="--real --seed 1
--count 20"` plays more of them.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable

import pytest

from histories.checker import judge
from histories.generate import generate
from histories.real.play import LEFT_OUT, SKIPPED, Run, play
from histories.record import owner_in

UNTIL = {7: 1300.0, 23: 3600.0}
"""Seeds, and up to which virtual second each is played. Together they have what `test_trouble_of_each_kind_was_met` wants, and
neither kills an operator while an object is being deleted: the next one waits a minute then, for calls that may still land."""
SCALE = 120.0
"""Virtual seconds in a real one: twice as fast as usual, because these run with every `make test`."""


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Run]:
    """Plays the history of a seed, once."""

    @functools.cache
    def once(seed: int) -> Run:
        return play(generate(seed).until(UNTIL[seed]), tmp_path_factory.mktemp(f"seed-{seed}"), scale=SCALE)

    return once


@pytest.mark.parametrize("seed", UNTIL)
def test_a_history_keeps_all_promises(played: Callable[[int], Run], seed: int) -> None:
    run = played(seed)
    assert not judge(run.history, run.record, LEFT_OUT).violations
    assert run.skipped.keys() <= SKIPPED.keys()


@pytest.mark.parametrize("seed", UNTIL)
def test_the_record_is_whole(played: Callable[[int], Run], seed: int) -> None:
    """A rule that sees nothing finds nothing: what is there at the end was seen when it came to be."""
    record = played(seed).record
    seen = {(each.uid, each.body["metadata"]["resourceVersion"]) for each in record.versions}
    assert record.objects
    assert {(each["metadata"]["uid"], each["metadata"]["resourceVersion"]) for each in record.objects} <= seen
    created = {
        each.body["id"] for each in record.effects if each.done and each.operation.endswith(("CreateJob", "CreatePool"))
    }
    by_schedules = {id for id, job in record.jobs.items() if "executionInfo" in job and ":" in id}
    assert record.jobs.keys() | record.pools.keys() <= created | by_schedules
    for thing in (*record.jobs.values(), *record.pools.values()):
        owner = owner_in(thing.get("metadata"))
        assert owner is None or any(each.uid == owner.uid for each in record.versions)
    assert any(each.resource.endswith("/status") and each.status == 200 for each in record.writes)
    assert any(each.ours and each.done for each in record.effects)
    assert {each.path for each in record.effects if each.ours} <= {each.path for each in record.calls}
    assert any("is Connected" in line for line in record.lines)


def test_trouble_of_each_kind_was_met(played: Callable[[int], Run]) -> None:
    met = sum((played(seed).played for seed in UNTIL), Counter[str]())
    skipped = sum((played(seed).skipped for seed in UNTIL), Counter[str]())
    print(f"met: {dict(met)}; skipped: {dict(skipped)}")
    assert {"kill", "freeze", "api-down", "fault"} <= {kind for kind, number in met.items() if number > 0}
