"""Plays a scenario undisturbed, finds its points, and plays it again with each kind of disturbance at each of them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from histories.checker import judge
from histories.play import play
from histories.record import Record
from perturbations.disturbances import KINDS, NOTIFICATIONS, Disturbance, OldLists, Point, Points
from perturbations.end import differences, end_of
from perturbations.expected import expected
from perturbations.scenarios import SCENARIOS, Scenario

QUIET_SECONDS = 1500.0
"""Virtual seconds of the quiet end: two resyncs and what comes late by itself."""
BY_NAME = {each.name: each for each in SCENARIOS}


@dataclass(frozen=True)
class Baseline:
    """An undisturbed run.

    Attributes:
        end: as `end_of` has it.
        problems: what is wrong with it already.
    """

    effects: tuple[Point, ...]
    notifications: tuple[Point, ...]
    end: dict[str, Any]
    problems: tuple[str, ...]

    def points(self, kind: str) -> tuple[Point, ...]:
        """Points at which a kind of disturbance can happen."""
        return self.notifications if kind in NOTIFICATIONS else self.effects


@dataclass(frozen=True)
class Job:
    """One run to be made."""

    scenario: str
    kind: str
    point: Point

    def __str__(self) -> str:
        return f"{self.scenario} {self.kind} {self.point.number} ({self.point.what})"


@dataclass(frozen=True)
class Outcome:
    """What came of it.

    Attributes:
        reached: whether the run came to its point.
        problems: broken rules, and differences from the undisturbed end.
    """

    job: Job
    reached: bool
    problems: tuple[str, ...]


@cache
def baseline(name: str) -> Baseline:
    """The undisturbed run of a scenario."""
    _check_seed()
    scenario = BY_NAME[name]
    points = Points(scenario.since, [], [])
    record = play(scenario.history(), disturb=points.arm, quiet_least=QUIET_SECONDS)
    end = end_of(record)
    problems = _broken(scenario, record) + wish_problems(scenario, record)
    return Baseline(tuple(points.effects), tuple(points.notifications), end, tuple(problems))


def _check_seed() -> None:
    if os.environ.get("PYTHONHASHSEED") != "0":
        raise RuntimeError("points are the same in all runs only with PYTHONHASHSEED=0")


def _broken(scenario: Scenario, record: Record) -> list[str]:
    return [str(each) for each in judge(scenario.history(), record).violations]


def wish_problems(scenario: Scenario, record: Record) -> list[str]:
    """Where the end is not what the scenario's user has wished for."""
    phases = {
        f"{each['kind']}/{each['metadata']['name']}": (each.get("status") or {}).get("phase") for each in record.objects
    }
    found = [f"wish: {name} is {phases.get(name)}, not {phase}" for name, phase in scenario.wish.items() if phases.get(name) != phase]  # noqa: E501  # fmt: skip
    found += [f"wish: {name} is still there" for name in phases if name not in scenario.wish]
    for kind, ids in (("pools", record.pools), ("jobs", record.jobs), ("schedules", record.schedules)):
        if set(ids) != set(scenario.azure.get(kind, ())):
            found.append(f"wish: {kind} are {sorted(ids)}, not {sorted(scenario.azure.get(kind, ()))}")
    for job, wanted in scenario.tasks.items():
        tasks = record.jobs.get(job, {}).get("tasks", {})
        succeeded = {
            id: task["commandLine"]
            for id, task in tasks.items()
            if task["state"] == "completed" and task["executionInfo"]["result"] == "success"
        }
        if succeeded != wanted or len(tasks) != len(wanted):
            found.append(f"wish: of {sorted(tasks)} of job {job} have succeeded {succeeded}, not {dict(wanted)}")
    return found


def jobs_of(name: str, known: Baseline, kinds: Sequence[str] = KINDS) -> Iterator[Job]:
    """All runs that there are to be made of a scenario."""
    for kind in kinds:
        for point in known.points(kind):
            yield Job(name, kind, point)


def run(job: Job) -> Outcome:
    """Make one."""
    scenario = BY_NAME[job.scenario]
    known = baseline(job.scenario)
    lists = OldLists()
    disturbance = Disturbance(job.kind, job.point.number, lists)
    with lists.between():
        record = play(scenario.history(), disturb=disturbance.arm, quiet_least=QUIET_SECONDS)
    problems = _broken(scenario, record) + wish_problems(scenario, record)
    problems += [f"end: {each}" for each in differences(known.end, end_of(record)) if not expected(job.scenario, each)]
    return Outcome(job, disturbance.happened, tuple(problems))
