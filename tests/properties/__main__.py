"""``make properties``: every property of every kind set, changed and unset, counted.

Exit code 1 if a step was not tried, if something is wrong that may not be, or if nothing needs an exception any more.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from properties.cases import STEPS, Case, Outcome, batches, every_case, run
from properties.expected import not_needed
from properties.paths import KINDS, parsed
from properties.sequences import Walk, run_sequences
from support.stage.worker import prepare


def main() -> int:
    """Run, tell."""
    if os.environ.get("PYTHONHASHSEED") != "0":
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], os.environ | {"PYTHONHASHSEED": "0"})  # noqa: S606
    options = _options()
    began = time.monotonic()
    chosen = _chosen(options)
    outcomes: list[Outcome] = []
    with ProcessPoolExecutor(options.jobs, initializer=prepare) as pool:
        if options.count:
            walks = [Walk(KINDS[kind], seed) for kind in options.kind or KINDS for seed in _seeds(options)]
            played = pool.map(run_sequences, batches(walks))
        else:
            played = pool.map(run, () if options.list else batches(chosen))
        for found in played:
            outcomes += found
            for outcome in found:
                _tell(outcome, allowed=options.allowed)
    if options.count:
        print(f"sequences: {len(outcomes)}")
    else:
        _show(chosen, outcomes)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"{time.monotonic() - began:.0f} s, {used.ru_utime + used.ru_stime:.0f} s of CPU time")
    wrong = [each for each in outcomes if each.violations]
    print(f"violations: {sum(len(each.violations) for each in wrong)} in {len(wrong)}")
    print(f"may be, with a reason: {sum(len(each.allowed) for each in outcomes)}")
    if options.list:
        return 0
    idle = (
        not_needed([f"{each.case} {found}" for each in outcomes for found, _ in each.allowed])
        if _whole(options)
        else []
    )
    for pattern in idle:
        print(f"nothing needs this any more (expected.py): {pattern}")
    covered = options.count or all(set(STEPS) <= each.covered.keys() for each in outcomes)
    return int(bool(wrong or idle or not covered))


def _whole(options: argparse.Namespace) -> bool:
    """Whether all properties are tried."""
    return not (options.kind or options.path or options.count) and options.part == "0/1" and options.every == 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", action="append", choices=sorted(KINDS), help="only this one; may be repeated")
    parser.add_argument("--path", action="append", help="only this property and what is below it; may be repeated")
    parser.add_argument("--count", type=int, default=0, help="so many random sequences of each kind instead")
    parser.add_argument("--seed", type=int, default=1, help="of the first sequence")
    parser.add_argument("--part", default="0/1", metavar="I/N", help="only the I-th of N parts, counted from 0")
    parser.add_argument("--every", type=int, default=1, help="only every so many-th property")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--allowed", action="store_true", help="tell also what may be, with the reason")
    parser.add_argument("--list", action="store_true", help="only count the properties")
    return parser.parse_args()


def _chosen(options: argparse.Namespace) -> list[Case]:
    wanted = [parsed(each) for each in options.path or ()]
    every = every_case(options.kind or KINDS)
    if wanted:
        every = [each for each in every if any(each.path[: len(path)] == path for path in wanted)]
    index, of = map(int, options.part.split("/"))
    return every[index::of][:: options.every]


def _seeds(options: argparse.Namespace) -> range:
    return range(options.seed, options.seed + options.count)


def _tell(outcome: Outcome, *, allowed: bool) -> None:
    for each in outcome.violations:
        print(f"{outcome.case} {each}", flush=True)
    if outcome.violations:
        print(f"    again: {outcome.case.again}", flush=True)
    if allowed:
        for violation, reason in outcome.allowed:
            print(f"{outcome.case} {violation}\n    may be: {reason}", flush=True)


def _show(chosen: Sequence[Case], outcomes: Sequence[Outcome]) -> None:
    """Properties and steps covered of how many, by kind."""
    total = Counter(each.kind for each in chosen)
    covered = Counter(
        (each.case.kind, step, became) for each in outcomes for step, became in each.covered.items() if step in STEPS
    )
    print(f"{'kind':18}{'properties':>12}" + "".join(f"{step:>30}" for step in STEPS))
    for kind, number in total.items():
        cells = []
        for step in STEPS:
            by = {became: covered[kind, step, became] for became in ("applied", "told", "refused")}
            cells.append(f"{sum(by.values())}/{number} ({by['applied']}+{by['told']}+{by['refused']})")
        print(f"{kind:18}{number:>12}" + "".join(f"{each:>30}" for each in cells))
    print("in brackets: applied + told by the status + refused at apply")
    print(f"steps covered: {covered.total()} of {total.total() * len(STEPS)}")


if __name__ == "__main__":
    sys.exit(main())
