"""`make bench-check`: what counts as a regression."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(autouse=True)
def path_of_benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))


@pytest.mark.parametrize(
    ("value", "lines"),
    [
        (100.0, []),
        (125.0, []),
        (126.0, ["tasks: calls is 126 calls, baseline 100"]),
        (1.0, []),
    ],
)
def test_a_figure_may_be_a_quarter_worse(tmp_path: Path, value: float, lines: list[str]) -> None:
    from baseline import regressions
    from measurement import Measurement

    baseline = tmp_path / "baseline.json"
    baseline.write_text(json.dumps({"tasks": {"calls": 100.0}}))
    results = {"tasks": [Measurement("calls", value, "calls", counted=True), Measurement("time", 9.0, "s")]}
    assert regressions(baseline, results) == lines


def test_a_figure_without_a_baseline_and_one_that_is_gone_are_regressions(tmp_path: Path) -> None:
    from baseline import accept, regressions
    from measurement import Measurement

    baseline = tmp_path / "baseline.json"
    accept(baseline, {"tasks": [Measurement("calls", 100.04, "", counted=True), Measurement("time", 9.0, "s")]})
    assert json.loads(baseline.read_text()) == {"tasks": {"calls": 100.0}}
    assert regressions(baseline, {"tasks": [Measurement("writes", 1.0, "", counted=True)]}) == [
        "tasks: writes has no baseline: accept one with --accept",
        "tasks: calls is in the baseline and was not measured",
    ]
    accept(baseline, {"other": [Measurement("memory", 7.0, "MiB", counted=True)]})
    assert json.loads(baseline.read_text()) == {"tasks": {"calls": 100.0}, "other": {"memory": 7.0}}
