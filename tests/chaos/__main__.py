"""``make chaos CHAOS="--seconds 3600 --seed 1"``: everything hostile that is played on virtual time, within a budget of real time.

Every disturbance at every point of every scenario (`tests/perturbations`), every property of every kind and random sequences of
them (`tests/properties`), and random histories (`tests/histories`) from a seed on, mixed, in several processes. Prints each
violation with the command that plays it again, and what was covered. Exit code 1 if a promise was not kept.

Without CHAOS, `make chaos` runs the tests of this folder: the same kind on a real control plane. For more histories on it:
``make histories HISTORIES="--real"``.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from histories.checker import judge
from histories.generate import generate
from histories.play import play
from histories.tally import Tally
from perturbations.cover import BY_NAME, Job, Outcome, baseline, jobs_of, run
from perturbations.disturbances import KINDS
from properties import cases
from properties.paths import KINDS as KINDS_OF_OBJECTS
from properties.sequences import Walk, run_sequences
from support.stage.worker import prepare

SEQUENCES = {"BatchPool": 100, "BatchTask": 100, "BatchJobSchedule": 100, "BatchJob": 100, "BatchAccount": 10}
"""How many of each kind; a stage has one account, so each sequence of it costs a stage."""

PROGRESS_SECONDS = 60.0
"""Real time between two lines of progress on stderr."""


@dataclass(frozen=True)
class Failure:
    """A task that came to no result, such as one whose operator has logged a traceback."""

    task: str
    error: str


Result = Outcome | Tally | list[cases.Outcome] | Failure


@dataclass
class Summary:
    """What was played, and what came of it.

    Attributes:
        points: to be disturbed, by kind of disturbance.
        covered: of these, reached.
        steps: of properties to be tried; `tried` of these.
        sequences: of changes of several properties, that were played.
        broken: lines that name what was broken and how to play it again.
    """

    points: Counter[str] = field(default_factory=Counter)
    covered: Counter[str] = field(default_factory=Counter)
    steps: int = 0
    tried: int = 0
    sequences: int = 0
    histories: Tally = field(default_factory=Tally)
    broken: list[str] = field(default_factory=list)

    def take(self, result: Result) -> None:
        """Count the result of one task."""
        if isinstance(result, Failure):
            self.say(f"{result.task} failed: {result.error}")
            return
        if isinstance(result, list):
            for outcome in result:
                self.tried += sum(step in cases.STEPS for step in outcome.covered)
                self.sequences += isinstance(outcome.case, Walk)
                for each in outcome.violations:
                    self.say(f"{outcome.case} {each} [{outcome.case.again}]")
            return
        if isinstance(result, Tally):
            self.histories.merge(result)
            for name, violation in result.violations:
                self.say(f'{violation} [make histories HISTORIES="--{name} --count 1"]')
            return
        job = result.job
        again = (
            f'make perturbations PERTURBATIONS="--scenario {job.scenario} --kind {job.kind} --point {job.point.number}"'
        )
        self.covered[job.kind] += result.reached
        if not result.reached:
            self.say(f"{job}: not reached [{again}]")
        for problem in result.problems:
            self.say(f"{job}: {problem} [{again}]")

    def say(self, line: str) -> None:
        """Note and print what was broken."""
        self.broken.append(line)
        print(line, flush=True)

    def lines(self, seconds: float) -> list[str]:
        """What to print at the end."""
        kinds = ", ".join(f"{kind} {self.covered[kind]}/{number}" for kind, number in self.points.items())
        return [
            f"perturbation points covered: {self.covered.total()} of {self.points.total()} ({kinds})",
            f"steps of properties covered: {self.tried} of {self.steps}",
            f"random sequences of changes: {self.sequences}",
            f"histories: {self.histories.histories}",
            *self.histories.lines()[:-1],
            f"violations: {len(self.broken)}, in {seconds:.0f} s",
        ]


def history(seed: int) -> Tally:
    """Play the history of a seed and judge it."""
    made, tally = generate(seed), Tally()
    record = play(made)
    tally.add(f"seed {seed}", made, record, judge(made, record).violations)
    return tally


def main() -> int:
    """Play, judge, tell."""
    if os.environ.get("PYTHONHASHSEED") != "0":
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], os.environ | {"PYTHONHASHSEED": "0"})  # noqa: S606
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3600.0, help="begin nothing after so long")
    parser.add_argument("--seed", type=int, default=1, help="of the first history")
    parser.add_argument("--histories", type=int, default=1000, help="how many, at most")
    parser.add_argument("--part", default="0/1", metavar="I/N", help="only the I-th of N parts, counted from 0")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    options = parser.parse_args()
    began, summary = time.monotonic(), Summary()
    with ProcessPoolExecutor(options.jobs, initializer=prepare) as pool:
        points: list[Job] = []
        for name, known in zip(BY_NAME, pool.map(baseline, BY_NAME), strict=True):
            for problem in known.problems:
                summary.say(f"{name}, undisturbed: {problem}")
            points += jobs_of(name, known, KINDS)
        summary.points.update(job.kind for job in points)
        # Whatever the budget is, it is spent on all scenarios and on histories alike.
        tasks: list[tuple[Callable[[Any], Any], Any]] = [(run, job) for job in points]
        properties = cases.every_case()
        summary.steps = len(properties) * len(cases.STEPS)
        tasks += [(cases.run, batch) for batch in cases.batches(properties)]
        walks = [
            Walk(kind, options.seed + each) for kind in KINDS_OF_OBJECTS.values() for each in range(SEQUENCES[kind])
        ]
        tasks += [(run_sequences, batch) for batch in cases.batches(walks)]
        tasks += [(history, options.seed + each) for each in range(options.histories)]
        random.Random(options.seed).shuffle(tasks)  # noqa: S311
        index, of = map(int, options.part.split("/"))
        chosen, told = tasks[index::of], began
        for number, result in enumerate(_played(pool, chosen, options.jobs, until=began + options.seconds), start=1):
            summary.take(result)
            if (now := time.monotonic()) - told >= PROGRESS_SECONDS:
                told = now
                minutes = (now - began) / 60
                print(
                    f"{minutes:.0f} min: {number:,} of {len(chosen):,} runs, violations: {len(summary.broken)}",
                    file=sys.stderr,
                    flush=True,
                )
    print(*summary.lines(time.monotonic() - began), sep="\n")
    return int(bool(summary.broken))


def _played(
    pool: ProcessPoolExecutor, tasks: Iterable[tuple[Callable[[Any], Any], Any]], jobs: int, until: float
) -> Iterator[Result]:
    """Results in the order in which they are ready; no task begins after the time is up."""
    left, running = iter(tasks), dict[Future[Any], str]()
    while True:
        while len(running) < 2 * jobs and time.monotonic() < until and (task := next(left, None)) is not None:
            running[pool.submit(*task)] = f"{task[0].__name__} of {_named(task[1])}"
        if not running:
            return
        for each in wait(running, return_when=FIRST_COMPLETED).done:
            task_name = running.pop(each)
            error = each.exception()
            yield (
                each.result() if error is None else Failure(task_name, f"{type(error).__name__}: {_short(str(error))}")
            )


def _named(argument: Any) -> str:
    """What a task is about, with the command that repeats it where there is one."""
    if isinstance(argument, list):
        return f"{argument[0]} and {len(argument) - 1} more"
    return str(argument)


def _short(text: str) -> str:
    """The first and the last line of what may be hundreds of tracebacks."""
    lines = text.splitlines() or [""]
    return lines[0] if len(lines) == 1 else f"{lines[0]} … {lines[-1]}"


if __name__ == "__main__":
    sys.exit(main())
