"""Somebody else writes statuses, too: each is set right, at longer and longer intervals, and the object names the second writer."""

from __future__ import annotations

from typing import Any

import pytest

from support.stage import Stage, job, sleeping
from support.stage.stage import NAMESPACE


class Rival:
    """A client that sets a property of a status whenever the operator has set it right."""

    def __init__(self, stage: Stage, kind: str, name: str, value: Any, pause: float = 1.0) -> None:
        self.pause = pause
        self.stage, self.kind, self.name, self.value = stage, kind, name, value
        self.writes = 0

    @property
    def is_restored(self) -> bool:
        return bool(self.stage.status(self.kind, self.name)["phase"] != self.value)

    async def fight(self, seconds: float) -> None:
        """Overwrite for so long what the operator writes, a second after it has."""
        end = self.stage.now + seconds
        while self.stage.now < end:
            if self.is_restored:
                self.stage.patch(self.kind, self.name, {"status": {"phase": self.value}}, status=True)
                self.writes += 1
            await self.stage.run_for(self.pause)


async def test_a_single_change_is_set_right_at_once_and_is_no_news(stage: Stage) -> None:
    await stage.ready_pool()
    await stage.run_for(60)
    rival = Rival(stage, "bp", "cpu", "Broken")
    await rival.fight(1)
    await stage.until(lambda: rival.is_restored, 2)
    assert rival.writes == 1
    assert stage.events("bp", "cpu", "StatusOverwritten") == []


async def test_a_second_writer_causes_few_writes_and_one_event(stage: Stage) -> None:
    await stage.ready_pool()
    await stage.run_for(60)
    rival, before = Rival(stage, "bp", "cpu", "Broken", pause=3.0), stage.writes("bp", "cpu", "status")
    await rival.fight(1200)
    corrections = stage.writes("bp", "cpu", "status") - before
    # At once, after 2, 4, … 256 seconds, and then each 5 minutes; each wait may be up to a half shorter.
    assert 9 <= corrections <= 20
    [event] = stage.events("bp", "cpu", "StatusOverwritten")
    assert event["type"] == "Warning"
    assert event["count"] == 1
    await stage.until(lambda: rival.is_restored, 320)
    # A later change is again set right at once.
    await stage.run_for(1500)
    await rival.fight(1)
    await stage.until(lambda: rival.is_restored, 2)


async def test_what_the_operator_decides_meanwhile_is_not_held_up(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(job("own", tasks=sleeping(1, 600)))
    await stage.until(lambda: stage.phase("bj", "own") == "Running", 300)
    rival = Rival(stage, "bj", "own", "Broken", pause=3.0)
    await rival.fight(120)
    calls = stage.azure.calls("Jobs_TerminateJob")
    stage.annotate("bj", "own", terminate="now")
    await stage.until(lambda: stage.azure.calls("Jobs_TerminateJob") > calls, 20)
    await stage.until(lambda: stage.phase("bj", "own") not in {"Running", "Broken"}, 60)


async def test_the_status_is_right_when_the_operator_ends(stage: Stage) -> None:
    await stage.ready_pool()
    await stage.run_for(60)
    rival = Rival(stage, "bp", "cpu", "Broken", pause=3.0)
    await rival.fight(120)
    assert not rival.is_restored
    await stage.operator.stop()
    assert rival.is_restored


async def test_two_operators_that_act_for_the_same_objects_do_not_flood_the_api_server(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing keeps a second installation from watching the same namespaces."""
    monkeypatch.setenv("POD_NAMESPACE", "kube-system")
    await stage.ready_pool()
    stage.start(lease_name="another", leader_election=True)
    await stage.run_for(60)
    stage.apply(job("own", tasks=sleeping(3, 60)))
    before = stage.writes("bj")
    await stage.run_for(200)
    assert stage.get("bj", "own")["metadata"]["namespace"] == NAMESPACE
    # Each of the two corrects the other about 8 times in 200 seconds, beside what both decide.
    assert stage.writes("bj") - before <= 40
