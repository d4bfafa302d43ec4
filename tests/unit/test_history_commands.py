"""`make histories HISTORIES="--seed 7 --shrink orphan"`: what is printed, and with which exit code it ends."""

from __future__ import annotations

import sys

import pytest

import histories.__main__ as program
from histories.history import History, Step
from histories.judged import Violation


class Played:
    """Histories that break a rule while they contain the last of their steps; none is really played."""

    def __init__(self, *rules: str) -> None:
        self.rules, self.sizes = rules, list[int]()
        self._last: Step | None = None

    def __call__(self, history: History) -> tuple[None, tuple[Violation, ...]]:
        last = history.steps[-1] if history.steps else None
        self._last = self._last or last
        self.sizes.append(len(history.steps))
        broken = self.rules if last == self._last else ()
        return None, tuple(Violation(rule, f"pool cpu has {rule}") for rule in broken)


def run(monkeypatch: pytest.MonkeyPatch, played: Played, *arguments: str) -> int:
    monkeypatch.setenv("PYTHONHASHSEED", "0")
    monkeypatch.setattr(sys, "argv", ["histories", "--seed", "7", *arguments])
    monkeypatch.setattr(program, "_played", played)
    monkeypatch.setattr(program, "prepare", lambda: None)
    return program.main()


@pytest.mark.parametrize(
    ("rules", "arguments", "message"),
    [
        ((), ("--shrink", "orphan"), "seed 7 does not break orphan; it breaks no rule"),
        (("untrue", "backoff"), ("--shrink", "orphan"), "seed 7 does not break orphan; it breaks backoff, untrue"),
        (
            ("orphan",),
            ("--shrink", "orphan", "--contains", "pool gpu"),
            "seed 7 does not break orphan with 'pool gpu' in the text; it breaks orphan",
        ),
    ],
)
def test_a_history_that_does_not_break_the_rule_is_not_shrunk(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    rules: tuple[str, ...],
    arguments: tuple[str, ...],
    message: str,
) -> None:
    played = Played(*rules)
    assert run(monkeypatch, played, *arguments) == 2
    output = capsys.readouterr()
    assert (output.out, output.err.splitlines()[-1]) == ("", message)
    assert len(played.sizes) == 1


def test_only_the_smallest_history_goes_to_stdout(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    played = Played("orphan")
    assert run(monkeypatch, played, "--shrink", "orphan") == 0
    output = capsys.readouterr()
    stored = History.from_json(output.out)
    assert (len(stored.steps), stored.found) == (1, "orphan: pool cpu has orphan")
    # The first run is shown before it ends, and each further one.
    first, *tried = output.err.splitlines()
    assert first == f"seed 7: playing {played.sizes[0]} steps …"
    assert len(tried) == len(played.sizes) > 2
