"""When the liveness probe fails."""

from __future__ import annotations

from azure_batch_operator.liveness import Liveness


def test_a_loop_that_is_silent_for_too_long_is_named() -> None:
    ages = {"polling": 0.0, "reconciling": 0.0}
    liveness = Liveness()
    for name in ages:
        liveness.watch(name, lambda name=name: ages[name], 60)  # type: ignore[misc]
    assert liveness.problem() is None
    ages["polling"] = 60
    assert liveness.problem() is None
    ages["polling"] = 61
    assert liveness.problem() == "polling is stuck for 61 s"
    ages["reconciling"] = 100
    assert liveness.problem() == "polling is stuck for 61 s; reconciling is stuck for 100 s"
    ages.update(polling=0, reconciling=0)
    assert liveness.problem() is None
