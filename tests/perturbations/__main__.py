"""``make perturbations``: every scenario with every disturbance at every point of it, counted.

Exit code 1 if a point was not reached or a run has not ended as the undisturbed one.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from perturbations.cover import BY_NAME, Job, Outcome, baseline, jobs_of, run
from perturbations.disturbances import KINDS
from support.stage.worker import prepare


def main() -> int:
    """Run, tell."""
    if os.environ.get("PYTHONHASHSEED") != "0":
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], os.environ | {"PYTHONHASHSEED": "0"})  # noqa: S606
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenario", action="append", choices=sorted(BY_NAME), help="only this one; may be repeated")
    parser.add_argument("--kind", action="append", choices=KINDS, help="only this disturbance; may be repeated")
    parser.add_argument("--point", type=int, help="only the point of this number")
    parser.add_argument("--part", default="0/1", metavar="I/N", help="only the I-th of N parts, counted from 0")
    parser.add_argument(
        "--every", type=int, default=1, help="only every so many-th run; the count then tells what is left out"
    )
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--list", action="store_true", help="only count the points, and print their numbers")
    options = parser.parse_args()
    names, began = options.scenario or list(BY_NAME), time.monotonic()
    with ProcessPoolExecutor(options.jobs, initializer=prepare) as pool:
        knowns = {}
        for name, known in zip(names, pool.map(baseline, names), strict=True):
            knowns[name] = known
            print(f"undisturbed: {len(knowns)} of {len(names)}, {name}", file=sys.stderr, flush=True)
        wrong = [f"{name}, undisturbed: {each}" for name, known in knowns.items() for each in known.problems]
        for each in wrong:
            print(each, flush=True)
        every = [each for name in names for each in jobs_of(name, knowns[name], options.kind or KINDS)]
        index, of = map(int, options.part.split("/"))
        chosen = [each for each in every if options.point in {None, each.point.number}][index::of][:: options.every]
        if options.point is not None and all(each.point.number != options.point for each in every):
            parser.error(f"there is no point {options.point}: {'; '.join(_numbers(every))}")
        outcomes: list[Outcome] = []
        for outcome in pool.map(run, () if options.list else chosen, chunksize=4):
            outcomes.append(outcome)
            for problem in outcome.problems:
                print(f"{outcome.job}: {problem}", flush=True)
    _show(every, outcomes, time.monotonic() - began)
    if options.list:
        print(*_numbers(every), sep="\n")
    return int(bool(wrong) or any(each.problems or not each.reached for each in outcomes))


def _numbers(every: Sequence[Job]) -> list[str]:
    """The numbers of points: they count from the beginning of the run, and its preparation has some of them."""
    by: dict[tuple[str, str], list[int]] = {}
    for job in every:
        by.setdefault((job.scenario, job.kind), []).append(job.point.number)
    return [f"{scenario} {kind} has {min(numbers)} to {max(numbers)}" for (scenario, kind), numbers in by.items()]


def _show(every: Sequence[Job], outcomes: Sequence[Outcome], seconds: float) -> None:
    """Points covered of how many, by scenario and disturbance."""
    total = Counter((each.scenario, each.kind) for each in every)
    covered = Counter((each.job.scenario, each.job.kind) for each in outcomes if each.reached)
    wrong = Counter((each.job.scenario, each.job.kind) for each in outcomes if each.problems)
    kinds = [each for each in KINDS if any(kind == each for _, kind in total)]
    print(f"{'scenario':24}" + "".join(f"{each:>14}" for each in kinds))
    for name in dict.fromkeys(scenario for scenario, _ in total):
        cells = (f"{covered[name, kind]}/{total[name, kind]}" for kind in kinds)
        print(f"{name:24}" + "".join(f"{each:>14}" for each in cells))
    missed = [str(each.job) for each in outcomes if not each.reached]
    print(f"points covered: {covered.total()} of {total.total()} in {seconds:.0f} s; not reached: {len(missed)}")
    print(f"runs with violations: {wrong.total()}")
    for each in missed[:20]:
        print(f"not reached: {each}")


if __name__ == "__main__":
    sys.exit(main())
