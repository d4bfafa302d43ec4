"""Service variables as series of samples, and their methods (docs/azure-batch.md#samples-of-formulas)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from azure_batch_emulator.autoscale.values import EvaluationError, Interval, Timestamp, kind, plain

PERIOD = 30.0
# A sample can be read a while after it is taken.
LAG = 30.0
_LONGEST_HISTORY = 2 * 24 * 3600 / PERIOD


class History:
    """Samples of all metrics of one pool, by service second."""

    def __init__(self, begin: float) -> None:
        self.begin = begin
        self.times: deque[float] = deque(maxlen=int(_LONGEST_HISTORY))
        self.values: dict[str, deque[float]] = {}

    def take(self, second: float, values: dict[str, float]) -> None:
        """Add one sample of every metric."""
        self.times.append(second)
        for name, value in values.items():
            self.values.setdefault(name, deque(maxlen=int(_LONGEST_HISTORY))).append(value)


class SampledMetric:
    """One metric of a pool at one moment.

    Args:
        now: service second of the evaluation.
        wall: the same moment in seconds since 1970; the two differ by the time scale's run.
        current: what a sample taken now would be.
    """

    def __init__(self, name: str, history: History, now: float, wall: float, current: Callable[[], float]) -> None:
        self._name = name
        self._history = history
        self._now = now
        self._wall = wall
        self._current = current

    def latest(self) -> float:
        """As a plain number: the latest sample, or the present when there is none yet."""
        found = self._between(self._history.begin, self._now)
        return found[-1] if found else self._current()

    def method(self, name: str, arguments: list[Any]) -> Any:
        """Call a method.

        Raises:
            EvaluationError: unknown method, wrong arguments, or too few samples.
        """
        arguments = [plain(argument) for argument in arguments]
        if name == "GetSample":
            return self._get_sample(arguments)
        if name == "GetSamplePercent":
            start, end, rest = self._span(name, arguments)
            if rest:
                raise EvaluationError(f"{name} takes a start and an end")
            return self._percent(start, end)
        if name == "GetSamplePeriod" and not arguments:
            return Interval(PERIOD)
        if name == "Count" and not arguments:
            return float(len(self._between(self._history.begin, self._now)))
        if name == "HistoryBeginTime" and not arguments:
            return Timestamp(self._wall - (self._now - self._history.begin))
        raise EvaluationError(f"Undefined method: {name}")

    def _get_sample(self, arguments: list[Any]) -> list[float]:
        if len(arguments) == 1 and isinstance(arguments[0], float):
            count = int(arguments[0])
            found = self._between(self._history.begin, self._now)
            if count < 1:
                raise EvaluationError("GetSample needs a positive count")
            return found[-count:]
        start, end, rest = self._span("GetSample", arguments)
        needed = rest[0] if rest else 0.0
        if not isinstance(needed, float):
            raise EvaluationError(f"GetSample does not take a {kind(needed)} as percentage")
        if self._percent(start, end) < needed:
            raise EvaluationError(f"Insufficient samples of {self._name}: fewer than {needed:g} percent are available")
        return self._between(start, end)

    def _span(self, name: str, arguments: list[Any]) -> tuple[float, float, list[Any]]:
        """Start and end in service seconds, and the arguments that are left."""
        if not arguments or not isinstance(arguments[0], Timestamp | Interval):
            raise EvaluationError(f"{name} needs a timestamp or a timeinterval")
        start = self._second(arguments[0])
        if len(arguments) > 1 and isinstance(arguments[1], Timestamp | Interval):
            return start, self._second(arguments[1]), arguments[2:]
        return start, self._now, arguments[1:]

    def _second(self, moment: Timestamp | Interval) -> float:
        if isinstance(moment, Interval):
            return self._now - moment.seconds
        return self._now - (self._wall - moment.seconds)

    def _between(self, start: float, end: float) -> list[float]:
        readable = self._now - LAG
        values = self._history.values.get(self._name, ())
        return [
            value
            for second, value in zip(self._history.times, values, strict=False)
            if start <= second <= end and second <= readable
        ]

    def _percent(self, start: float, end: float) -> float:
        expected = max(1.0, (end - start) / PERIOD)
        return min(100.0, 100.0 * len(self._between(start, end)) / expected)
