"""Runs all benchmarks, or those named: `python tests/benchmarks [name …]`.

A benchmark is a module `bench_<name>.py` in this directory with a function `run() -> list[Measurement]`. Prints one
table and writes JSON to `benchmarks/results/`.
"""

import importlib
import json
import os
import platform
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent
RESULTS = HERE.parents[1] / "benchmarks" / "results"


def main() -> int:
    """Run, print, write; 1 if a goal was missed."""
    wanted = set(sys.argv[1:])
    console = Console()
    table = Table("benchmark", "what", "value", "unit", "goal", "")
    report = []
    missed = 0
    for path in sorted(HERE.glob("bench_*.py")):
        name = path.stem.removeprefix("bench_")
        if wanted and name not in wanted:
            continue
        console.print(f"{name}: running …")
        for measured in importlib.import_module(path.stem).run():
            verdict = "" if measured.goal is None else "ok" if measured.reached else "[red]missed"
            missed += measured.reached is False
            goal = "" if measured.goal is None else f"{'≤' if measured.smaller_is_better else '≥'} {measured.goal:,.4g}"
            table.add_row(name, measured.what, f"{measured.value:,.4g}", measured.unit, goal, verdict)
            report.append({"benchmark": name, **asdict(measured), "reached": measured.reached})
    console.print(table)
    RESULTS.mkdir(parents=True, exist_ok=True)
    at = datetime.now(UTC)
    machine = {"cpus": os.cpu_count(), "python": platform.python_version(), "machine": platform.machine()}
    target = RESULTS / f"{at:%Y%m%dT%H%M%SZ}.json"
    target.write_text(json.dumps({"at": at.isoformat(), **machine, "measurements": report}, indent=1) + "\n")
    console.print(f"written to {target.relative_to(HERE.parents[1])}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.path[:0] = [str(HERE), str(HERE.parent)]
    sys.exit(main())
