"""Runs all benchmarks, or those named: `python tests/benchmarks [name …]`.

A benchmark is a module `bench_<name>.py` in this directory with a function `run() -> list[Measurement]`. Prints one
table and writes JSON to `benchmarks/results/`. With `--check`, the counted figures are compared with `baseline.json` instead of
the goals, and with `--accept` they become the baseline.
"""

import argparse
import importlib
import json
import os
import platform
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from baseline import accept, regressions
from measurement import Measurement
from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent
RESULTS = HERE.parents[1] / "benchmarks" / "results"
BASELINE = HERE / "baseline.json"


def main() -> int:
    """Run, print, write; 1 if a goal was missed, or a counted figure is worse than the baseline (--check); 2 if a name is none."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="of a benchmark; all without one")
    parser.add_argument("--check", action="store_true", help="compare counted figures with the baseline")
    parser.add_argument("--accept", action="store_true", help="write counted figures to the baseline")
    options = parser.parse_args()
    known = [path.stem.removeprefix("bench_") for path in sorted(HERE.glob("bench_*.py"))]
    if unknown := [name for name in options.names if name not in known]:
        named = ", ".join(map(repr, unknown))
        print(f"no benchmark {named}; there are: {', '.join(known)}", file=sys.stderr)
        return 2
    console = Console()
    # Without a terminal, 80 columns would break each row into four lines.
    console.width = max(console.width, 132)
    table = Table("benchmark", "what", "value", "unit", "goal", "")
    results: dict[str, list[Measurement]] = {}
    for name in known:
        if options.names and name not in options.names:
            continue
        console.print(f"{name}: running …")
        results[name] = importlib.import_module(f"bench_{name}").run()
        for measured in results[name]:
            _add_row(table, name, measured)
    console.print(table)
    console.print(f"written to {_write(results).relative_to(HERE.parents[1])}")
    if options.accept:
        accept(BASELINE, results)
        return 0
    if options.check:
        worse = regressions(BASELINE, results)
        console.print(*worse or ["No counted figure is worse than the baseline."], sep="\n", markup=False)
        return 1 if worse else 0
    return int(any(measured.reached is False for found in results.values() for measured in found))


def _add_row(table: Table, name: str, measured: Measurement) -> None:
    verdict = "" if measured.goal is None else "ok" if measured.reached else "[red]missed"
    goal = "" if measured.goal is None else f"{'≤' if measured.smaller_is_better else '≥'} {measured.goal:,.4g}"
    table.add_row(name, measured.what, f"{measured.value:,.4g}", measured.unit, goal, verdict)


def _write(results: dict[str, list[Measurement]]) -> Path:
    """The file with all figures."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    at = datetime.now(UTC)
    machine = {"cpus": os.cpu_count(), "python": platform.python_version(), "machine": platform.machine()}
    report = [
        {"benchmark": name, **asdict(measured), "reached": measured.reached}
        for name, found in results.items()
        for measured in found
    ]
    target = RESULTS / f"{at:%Y%m%dT%H%M%SZ}.json"
    target.write_text(json.dumps({"at": at.isoformat(), **machine, "measurements": report}, indent=1) + "\n")
    return target


if __name__ == "__main__":
    sys.path[:0] = [str(HERE), str(HERE.parent)]
    sys.exit(main())
