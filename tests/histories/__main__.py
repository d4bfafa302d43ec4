"""``make histories``: random histories of the operator, judged by a checker that knows only the documentation.

Exit code 1 if a promise was not kept, and 2 if a history that is to be shrunk does not break the rule. A seed always gives the
same history.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from histories.checker import judge
from histories.generate import generate
from histories.history import History
from histories.judged import Violation
from histories.play import play
from histories.record import Record
from histories.shrink import shrink
from histories.tally import Tally
from support.stage.worker import prepare


def main() -> int:
    """Play, judge, tell."""
    if os.environ.get("PYTHONHASHSEED") != "0":
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], os.environ | {"PYTHONHASHSEED": "0"})  # noqa: S606
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    parser.add_argument("--count", type=int, help="how many seeds")
    parser.add_argument("--seconds", type=float, default=60.0, help="begin no further history after so long")
    parser.add_argument("--file", type=named_file, help="play a stored history instead")
    parser.add_argument(
        "--shrink", metavar="RULE", help="make the history of the seed smaller as long as it breaks RULE"
    )
    parser.add_argument("--contains", default="", help="with --shrink: and as long as the violation's text has this")
    parser.add_argument("--into", type=Path, help="with --shrink: write the history to this file instead of stdout")
    parser.add_argument("--show", action="store_true", help="print what happened")
    parser.add_argument(
        "--real",
        action="store_true",
        help="on the real control plane, with processes; one history takes two to three minutes",
    )
    options = parser.parse_args()
    prepare()
    if options.shrink:
        return shrunk(options)
    tally, began = Tally(), time.monotonic()
    seed, files = options.seed, [options.file] if options.file else []
    while True:
        if files:
            path, history = files.pop()
            name, words = path.stem, f"--file {shlex.quote(str(path))}"
        elif options.file or _enough(options, seed, time.monotonic() - began):
            break
        else:
            name, words, history = f"seed {seed}", f"--seed {seed} --count 1", generate(seed)
            seed += 1
        record, violations = _played_really(history) if options.real else _played(history)
        tally.add(name, history, record, violations)
        if options.show:
            _show(record)
        for violation in violations:
            print(f"{name}: {violation}")
        for command in commands(words, violations, really=options.real):
            print(command, flush=True)
    counted = f"{tally.histories} {'history' if tally.histories == 1 else 'histories'}"
    seconds, processor = time.monotonic() - began, time.process_time()
    print(
        f"{counted} in {seconds:.0f} s ({tally.histories / seconds * 60:.1f} a minute), "
        f"{processor:.0f} s of processor time"
    )
    print(*tally.lines(), sep="\n")
    return int(bool(tally.violations))


def commands(words: str, violations: Sequence[Violation], *, really: bool) -> Iterator[str]:
    """What shows a history again that broke rules, and what makes it smaller as long as it breaks one of them.

    Args:
        words: that select the history.
        really: on the real control plane, where nothing is shrunk.
    """
    if violations:
        yield f'repeat: make histories HISTORIES="{words} {"--real " if really else ""}--show"'
    for rule in [] if really else dict.fromkeys(violation.rule for violation in violations):
        shrinking = f"{words.removesuffix(' --count 1')} --shrink {shlex.quote(rule)}"
        yield f'shrink: make histories HISTORIES="{shrinking} --into tests/histories/stored/<name>.json"'


def named_file(path: str) -> tuple[Path, History]:
    """Path and content of a stored history."""
    try:
        return Path(path), History.from_json(Path(path).read_text())
    except OSError as error:
        raise argparse.ArgumentTypeError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise argparse.ArgumentTypeError(f"{path} is not a history: {error!r}") from None


def _played(history: History) -> tuple[Record, tuple[Violation, ...]]:
    record = play(history)
    return record, judge(history, record).violations


def _played_really(history: History) -> tuple[Record, tuple[Violation, ...]]:
    """The same with processes; what they have left is kept if a promise was not."""
    from histories.real.play import LEFT_OUT
    from histories.real.play import play as play_really

    folder = Path(tempfile.mkdtemp(prefix="history-"))
    run = play_really(history, folder)
    violations = judge(run.history, run.record, LEFT_OUT).violations
    print(f"went wrong: {dict(run.played)}; skipped: {dict(run.skipped)}")
    if violations:
        print(f"logs: {folder}")
    else:
        shutil.rmtree(folder)
    return run.record, violations


def _enough(options: argparse.Namespace, seed: int, seconds: float) -> bool:
    if options.count is not None:
        return bool(seed >= options.seed + options.count)
    return bool(seconds > options.seconds)


def shrunk(options: argparse.Namespace) -> int:
    """Print or store the smallest history that still breaks the rule; nothing if there is none, and nothing else to stdout."""
    if options.file:
        path, first = options.file
        name = path.stem
    else:
        name, first = f"seed {options.seed}", generate(options.seed)
    print(f"{name}: playing {len(first.steps)} steps …", file=sys.stderr, flush=True)
    violations = _played(first)[1]
    found = _that_breaks(options, violations)
    if found is None:
        text = f" with {options.contains!r} in the text" if options.contains else ""
        broken = ", ".join(sorted({violation.rule for violation in violations})) or "no rule"
        print(f"{name} does not break {options.shrink}{text}; it breaks {broken}", file=sys.stderr)
        return 2
    print(f"{len(first.steps)} steps: {found}", file=sys.stderr, flush=True)

    def fails(tried: History) -> bool:
        still = _that_breaks(options, _played(tried)[1])
        print(f"{len(tried.steps)} steps: {still or 'all kept'}", file=sys.stderr, flush=True)
        return still is not None

    text = replace(shrink(first, fails), found=str(found)).to_json()
    if options.into:
        options.into.write_text(text + "\n")
    else:
        print(text)
    return 0


def _that_breaks(options: argparse.Namespace, violations: Sequence[Violation]) -> Violation | None:
    """The first violation of the rule that is to be shrunk."""
    wanted = (
        violation for violation in violations if violation.rule == options.shrink and options.contains in violation.text
    )
    return next(wanted, None)


def _show(record: Record) -> None:
    lines = [(each.time, f"STEP   {each.do} {dict(each.args)} {each.refusal}") for each in record.steps]
    lines += [
        (
            each.time,
            f"AZURE  {'operator' if each.ours else 'other'} {each.operation} {each.path} {each.code or 'done'} {each.added}",
        )
        for each in record.effects
    ]
    lines += [
        (each.time, f"WRITE  {each.verb} {each.resource} {each.name} {each.status} {str(each.body)[:600]}")
        for each in record.writes
    ]
    lines += [(at, "START") for at in record.starts]
    for at, text in sorted(lines, key=lambda each: each[0]):
        print(f"{at:9.2f} {text}")


if __name__ == "__main__":
    sys.exit(main())
