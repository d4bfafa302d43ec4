"""Compares counted figures with those of another day: calls, writes, memory, and CPU time as a ratio within one run. Never times.

The baseline is a JSON object: benchmark → what → figure.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from measurement import Measurement

TOLERANCE = 0.25
"""How much worse a figure may be, as a fraction: equal runs on a busy machine differ by up to a fifth in the ratios of CPU time."""


def regressions(baseline: Path, results: Mapping[str, Sequence[Measurement]]) -> list[str]:
    """A line for each counted figure that is worse than its baseline, or that has no baseline or no longer exists."""
    known = json.loads(baseline.read_text())
    lines = []
    for benchmark, measurements in results.items():
        before = dict(known.get(benchmark, {}))
        for measured in measurements:
            if not measured.counted:
                continue
            if (former := before.pop(measured.what, None)) is None:
                lines.append(f"{benchmark}: {measured.what} has no baseline: accept one with --accept")
            elif measured.value > former * (1 + TOLERANCE):
                lines.append(
                    f"{benchmark}: {measured.what} is {measured.value:,.4g} {measured.unit}, baseline {former:,.4g}"
                )
        lines += [f"{benchmark}: {what} is in the baseline and was not measured" for what in before]
    return lines


def accept(baseline: Path, results: Mapping[str, Sequence[Measurement]]) -> None:
    """Make the counted figures of these benchmarks their baseline; other benchmarks keep theirs."""
    known = json.loads(baseline.read_text()) if baseline.exists() else {}
    for benchmark, measurements in results.items():
        if counted := {measured.what: float(f"{measured.value:.4g}") for measured in measurements if measured.counted}:
            known[benchmark] = counted
    baseline.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")
