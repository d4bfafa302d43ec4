"""Tasks without processes: how long they take and how they end follows from rules, for runs of very many tasks.

A rule is found by the task's run id and command line; without one, ``sleep N`` and ``exit N`` in the command line are
understood, and anything else takes no time and succeeds. Files exist in so far as they can be derived: ``stdout.txt``
and ``stderr.txt`` of each task that ran.
"""

from __future__ import annotations

import random
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from azure_batch_emulator.clock import Clock, Timer
from azure_batch_emulator.executors.base import (
    FileContent,
    FileInfo,
    NodePlace,
    RunHandle,
    RunObserver,
    RunRequest,
    RunResult,
)
from azure_batch_emulator.isolation import for_each

_SLEEP = re.compile(r"\bsleep\s+([0-9]+(?:\.[0-9]+)?)")
_EXIT = re.compile(r"\bexit\s+([0-9]+)|(?:^|[\s;'\"/])(false)(?:$|[\s;'\"])")


@dataclass(frozen=True, slots=True)
class SimulationRule:
    """How tasks whose run id or command line matches behave.

    Attributes:
        pattern: regular expression, searched for in ``job/task`` and in the command line.
        seconds: service seconds a try takes: one figure, or two between which it is drawn.
        exit_code: with which a try ends, if the draw hits `probability`, else 0.
        attempts: how many tries end so; later ones succeed. None for all.
    """

    pattern: str
    seconds: tuple[float, float] = (0.0, 0.0)
    exit_code: int = 0
    probability: float = 1.0
    attempts: int | None = None
    stdout: str = ""
    stderr: str = ""

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> SimulationRule:
        """A rule as the admin API has accepted it (`schema.orders.SIMULATION`)."""
        return cls(
            body["pattern"],
            body["seconds"],
            body["exitCode"],
            body["probability"],
            body.get("attempts"),
            body["stdout"],
            body["stderr"],
        )


@dataclass(frozen=True, slots=True)
class SimulatedCommand:
    """Whose files are asked for: what finds the rule of the task, and when the task last wrote, in ticks."""

    run_id: str
    command_line: str
    written: int


# Few: a command line may be a megabyte long.
@lru_cache(32)
def _by_itself(command_line: str) -> SimulationRule:
    """What a command line says without a rule; equal tasks ask over and over."""
    sleep, end = _SLEEP.search(command_line), _EXIT.search(command_line)
    seconds = float(sleep.group(1)) if sleep else 0.0
    # Eight bits, as a shell's; the last eight digits say which.
    code = (int(end.group(1)[-8:]) % 256 if end.group(1) else 1) if end else 0
    return SimulationRule("", (seconds, seconds), code)


class SimulatedExecutor:
    """Runs nothing and reports as if.

    Args:
        clock: in whose service time the tasks take their seconds.
        seed: makes durations and failures repeatable.
    """

    real_time = False
    keeps_files = False

    def __init__(self, clock: Clock, seed: int | None = None) -> None:
        self._clock = clock
        self._random = random.Random(seed)  # noqa: S311 - a simulation
        self.rules: list[SimulationRule] = []
        # By account, what finds the command of the task whose directory it is given.
        self.commands: dict[str, Callable[[str], SimulatedCommand | None]] = {}
        self.files = _DerivedFiles(self)
        self._beginning = _Group(clock, self._begin)

    def rule_for(self, run_id: str, command_line: str) -> SimulationRule:
        """The first rule that matches, or what the command line says by itself."""
        for rule in self.rules:
            if re.search(rule.pattern, run_id) or re.search(rule.pattern, command_line):
                return rule
        return _by_itself(command_line)

    def start(self, request: RunRequest, observer: RunObserver) -> RunHandle:
        rule = self.rule_for(request.run_id, request.command_line)
        seconds = self._random.uniform(*rule.seconds) if rule.seconds[0] != rule.seconds[1] else rule.seconds[0]
        fails = rule.attempts is None or request.attempt < rule.attempts
        if fails and rule.probability < 1.0:
            fails = self._random.random() < rule.probability
        exit_code = rule.exit_code if fails else 0
        run = _SimulatedRun(self._clock, observer, request.run_id, seconds, exit_code, stays=request.leaves_services)
        if not self._beginning:
            self._beginning.plan(0.0)
        self._beginning.add(run)
        return run

    def _begin(self, runs: Sequence[_SimulatedRun]) -> None:
        """Begin what was started in this round of the loop; runs of the same length end with the same timer."""
        for_each(self._clock, runs, _SimulatedRun.begin)
        ends: dict[float, _Group] = {}
        for run in runs:
            if run.killed:
                continue
            end = ends.get(run.seconds)
            if end is None:
                end = ends[run.seconds] = _Group(self._clock, self._come_to_end)
            end.add(run)
        for seconds, end in ends.items():
            end.plan(seconds)

    def _come_to_end(self, runs: Sequence[_SimulatedRun]) -> None:
        for_each(self._clock, runs, _SimulatedRun.come_to_end)

    def add_node(self, place: NodePlace) -> None:
        """Nothing to do: there are no directories."""

    def remove_node(self, place: NodePlace) -> None:
        """Nothing to do."""

    def upload(self, container_url: str, files: Mapping[str, bytes]) -> int:
        """Nothing is sent from a simulation."""
        del container_url, files
        return 0

    def remove_directory(self, place: NodePlace, directory: str) -> None:
        """Nothing to do."""


class _SimulatedRun:
    __slots__ = (
        "_clock",
        "_exit_code",
        "_observer",
        "_over",
        "_run_id",
        "_started",
        "_stays",
        "group",
        "killed",
        "seconds",
    )

    def __init__(
        self, clock: Clock, observer: RunObserver, run_id: str, seconds: float, exit_code: int, *, stays: bool
    ) -> None:
        self._clock = clock
        self._observer = observer
        self._run_id = run_id
        self.seconds = seconds
        self._exit_code = exit_code
        self._stays = stays
        self._started: int | None = None
        self.killed = self._over = False
        self.group: _Group | None = None

    def label(self) -> str:
        """What the log calls it."""
        return f"the run {self._run_id}"

    def begin(self) -> None:
        """The command starts, unless the run has been killed before."""
        if not self.killed:
            self._started = self._clock.now()
            self._observer.on_started()

    def come_to_end(self) -> None:
        """The time that the command takes is over."""
        if self.killed:
            return
        if self._stays and self._exit_code == 0:
            self._observer.on_returned()
        else:
            self._finish(self._exit_code)

    def kill(self) -> None:
        if self.group is not None:
            self.group.leave(self)
        self.killed = True
        self._clock.call_later(0.0, self._finish, None)

    def _finish(self, exit_code: int | None) -> None:
        if not self._over:
            self._over = True
            self._observer.on_finished(RunResult(exit_code, started=self._started))


class _Group:
    """Runs for which the same happens at the same time: a timer for each of a million would cost more than all else.

    Args:
        act: gets them when their time has come, in the order in which they were added.
    """

    __slots__ = ("_act", "_clock", "_runs", "_timer")

    def __init__(self, clock: Clock, act: Callable[[Sequence[_SimulatedRun]], None]) -> None:
        self._act = act
        self._clock = clock
        self._runs: dict[_SimulatedRun, None] = {}
        self._timer: Timer | None = None

    def __len__(self) -> int:
        return len(self._runs)

    def add(self, run: _SimulatedRun) -> None:
        run.group = self
        self._runs[run] = None

    def plan(self, seconds: float) -> None:
        self._timer = self._clock.call_later(seconds, self._come)

    def leave(self, run: _SimulatedRun) -> None:
        """A run has been killed. A group that nobody is in any more has no timer, also when the clock's were called off."""
        run.group = None
        self._runs.pop(run, None)
        if not self._runs and self._timer is not None:
            self._timer.cancel()

    def _come(self) -> None:
        runs, self._runs = list(self._runs), {}
        for run in runs:
            run.group = None
        self._act(runs)


@dataclass(slots=True)
class _DerivedFiles:
    """stdout.txt and stderr.txt of tasks, by the rules."""

    executor: SimulatedExecutor

    def _all(self, place: NodePlace, base: str) -> dict[str, tuple[FileInfo, bytes]]:
        """Info and content of the files of a task, by name; none if no task has that directory."""
        find = self.executor.commands.get(place.account)
        command = find(base) if find is not None else None
        if command is None:
            return {}
        rule = self.executor.rule_for(command.run_id, command.command_line)
        contents = {"stderr.txt": rule.stderr.encode(), "stdout.txt": rule.stdout.encode()}
        return {
            name: (FileInfo(name, False, len(content), command.written, content_type="text/plain"), content)
            for name, content in contents.items()
        }

    def list(
        self, place: NodePlace, base: str, *, recursive: bool, after: tuple[int, str] | None = None
    ) -> list[FileInfo]:
        del recursive
        files = [info for info, _ in self._all(place, base).values()]
        if not files:
            return []
        return [info for info in (*files, FileInfo("wd", True)) if after is None or (0, info.name) > after]

    def open(self, place: NodePlace, base: str, path: str) -> FileContent:
        try:
            info, content = self._all(place, base)[path]
        except KeyError:
            raise FileNotFoundError(path) from None

        async def read(start: int, length: int) -> AsyncIterator[bytes]:
            yield content[start : start + length]

        return FileContent(info, read)

    def delete(self, place: NodePlace, base: str, path: str, *, recursive: bool) -> None:
        del recursive
        self.open(place, base, path)
