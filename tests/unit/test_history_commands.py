"""`make histories HISTORIES="--seed 7 --shrink orphan"` and without `--shrink`: what is printed, and the exit code."""

from __future__ import annotations

import sys

import pytest

import histories.__main__ as program
from azure_batch_operator.generate import ROOT
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


class Violating:
    """Plays nothing, and finds that rules are broken."""

    def __init__(self, *rules: str) -> None:
        self._violations = tuple(Violation(rule, "pool cpu") for rule in rules)

    def __call__(self, _: History) -> tuple[None, tuple[Violation, ...]]:
        return None, self._violations


def run(monkeypatch: pytest.MonkeyPatch, played: Played | Violating, *arguments: str) -> int:
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


def printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str, rules: tuple[str, ...]
) -> list[str]:
    monkeypatch.setattr(program.Tally, "add", lambda *_: None)
    monkeypatch.setattr(program.Tally, "lines", lambda _: [])
    run(monkeypatch, Violating(*rules), *arguments)
    lines = capsys.readouterr().out.splitlines()
    return [line for line in lines if line and "of processor time" not in line]


def test_below_violations_stand_the_commands_that_repeat_and_shrink_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = printed(monkeypatch, capsys, "--count", "1", rules=("orphan", "no rest", "orphan"))
    assert lines == [
        "seed 7: orphan: pool cpu",
        "seed 7: no rest: pool cpu",
        "seed 7: orphan: pool cpu",
        'repeat: make histories HISTORIES="--seed 7 --count 1 --show"',
        'shrink: make histories HISTORIES="--seed 7 --shrink orphan --into tests/histories/stored/<name>.json"',
        "shrink: make histories HISTORIES=\"--seed 7 --shrink 'no rest' --into tests/histories/stored/<name>.json\"",
    ]
    assert printed(monkeypatch, capsys, "--count", "1", rules=()) == []


def test_a_stored_history_is_repeated_from_its_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = "tests/histories/stored/replayed-events.json"
    monkeypatch.chdir(ROOT)
    assert printed(monkeypatch, capsys, "--file", file, rules=("orphan",)) == [
        "replayed-events: orphan: pool cpu",
        f'repeat: make histories HISTORIES="--file {file} --show"',
        f'shrink: make histories HISTORIES="--file {file} --shrink orphan --into tests/histories/stored/<name>.json"',
    ]


def test_on_the_real_control_plane_nothing_is_shrunk() -> None:
    broken = [Violation("orphan", "pool cpu")]
    assert list(program.commands("--seed 7 --count 1", broken, really=True)) == [
        'repeat: make histories HISTORIES="--seed 7 --count 1 --real --show"'
    ]
