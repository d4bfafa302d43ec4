"""Tasks without processes: how long they take and how they end follows from rules, for runs of very many tasks.

A rule is found by the task's run id and command line; without one, ``sleep N`` and ``exit N`` in the command line are
understood, and anything else takes no time and succeeds. Files exist in so far as they can be derived: ``stdout.txt``
and ``stderr.txt`` of each task that ran.
"""

from __future__ import annotations

import random
import re
from collections.abc import AsyncIterator, Callable, Mapping
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
        # By account, what finds the run id and command line of the task whose directory it is given.
        self.commands: dict[str, Callable[[str], tuple[str, str] | None]] = {}
        self.files = _DerivedFiles(self)

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
        run = _SimulatedRun(self._clock, observer, exit_code, stays=request.leaves_services)
        run.begin(seconds)
        return run

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
    __slots__ = ("_clock", "_exit_code", "_observer", "_over", "_started", "_stays", "_timer")

    def __init__(self, clock: Clock, observer: RunObserver, exit_code: int, *, stays: bool) -> None:
        self._clock = clock
        self._observer = observer
        self._exit_code = exit_code
        self._stays = stays
        self._started: int | None = None
        self._over = False
        self._timer: Timer | None = None

    def begin(self, seconds: float) -> None:
        self._timer = self._clock.call_later(0.0, self._start, seconds)

    def _start(self, seconds: float) -> None:
        self._started = self._clock.now()
        self._observer.on_started()
        if self._over:
            return
        self._timer = self._clock.call_later(seconds, self._end, self._exit_code)

    def _end(self, exit_code: int | None) -> None:
        if self._stays and exit_code == 0:
            self._observer.on_returned()
        elif not self._over:
            self._over = True
            self._observer.on_finished(RunResult(exit_code, started=self._started))

    def kill(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._clock.call_later(0.0, self._end, None)


@dataclass(slots=True)
class _DerivedFiles:
    """stdout.txt and stderr.txt of tasks, by the rules."""

    executor: SimulatedExecutor

    def _content(self, place: NodePlace, base: str, name: str) -> bytes:
        find = self.executor.commands.get(place.account)
        command = find(base) if find is not None else None
        if command is None:
            return b""
        rule = self.executor.rule_for(*command)
        return (rule.stdout if name == "stdout.txt" else rule.stderr).encode()

    def list(
        self, place: NodePlace, base: str, *, recursive: bool, after: tuple[int, str] | None = None
    ) -> list[FileInfo]:
        del recursive
        if not base:
            return []
        names = ("stderr.txt", "stdout.txt")
        files = [
            FileInfo(name, False, len(self._content(place, base, name)), content_type="text/plain") for name in names
        ]
        return [info for info in (*files, FileInfo("wd", True)) if after is None or (0, info.name) > after]

    def open(self, place: NodePlace, base: str, path: str) -> FileContent:
        if path not in ("stdout.txt", "stderr.txt") or not base:
            raise FileNotFoundError(path)
        content = self._content(place, base, path)

        async def read(start: int, length: int) -> AsyncIterator[bytes]:
            yield content[start : start + length]

        return FileContent(FileInfo(path, False, len(content), content_type="text/plain"), read)

    def delete(self, place: NodePlace, base: str, path: str, *, recursive: bool) -> None:
        del recursive
        self.open(place, base, path)
