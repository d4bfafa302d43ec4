"""``make mutants``: applies small sabotages of the operator one by one in a scratch copy, and tells which of them no test notices.

Each runs the test that is known to notice it (`test`), and all unit and quick tests if that does not. One process at a time; all of
them take about half an hour of processor time. Exit code 1 if one goes unnoticed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
LIST = Path(__file__).with_name("mutants.yaml")

WHOLE = ("tests/unit", "tests/model", "tests/quick", "--deselect=tests/unit/test_mutants.py")
"""Without the test that each sabotage can be applied: it fails once one is."""
SECONDS = 1200
"""For the tests of one mutant; one that makes them hang counts as noticed."""
_NO_TESTS = frozenset({4, 5})
"""Exit codes of pytest if what it is given does not exist, or holds no tests."""
CANARY = {
    "name": "canary", "kind": 0, "test": "tests/unit/test_guard.py",
    "does": "nothing works: shows that the copy is what the tests import",
    "edits": [{"file": "operator/azure_batch_operator/guard.py", "find": "from __future__ import annotations\n", "put": "1 / 0\n"}],
}  # fmt: skip


@dataclass(frozen=True)
class Edit:
    """A change of one file: `find` stands exactly once in it and is replaced by `put`."""

    file: str
    find: str
    put: str


@dataclass(frozen=True)
class Mutant:
    """A sabotage.

    Attributes:
        kind: of fault, as docs/testing.md numbers them.
        does: what is wrong with it, in words.
        test: what notices it; while it is not known it may be empty here, but not in the list (tests/unit/test_mutants.py).
    """

    name: str
    kind: int
    does: str
    test: str
    edits: tuple[Edit, ...]

    @classmethod
    def parse(cls, body: dict[str, Any]) -> Mutant:
        """From an item of the list."""
        return cls(
            body["name"], body["kind"], body["does"], body["test"], tuple(Edit(**each) for each in body["edits"])
        )


def mutants() -> list[Mutant]:
    """All of the list."""
    return [Mutant.parse(each) for each in yaml.safe_load(LIST.read_text())]


def noticed_by(mutant: Mutant, scratch: Path) -> str:
    """Apply a mutant, run tests, and take it back.

    Returns:
        The first test that failed; empty if all passed.
    """
    before = {each.file: (scratch / each.file).read_text() for each in mutant.edits}
    try:
        for each in mutant.edits:
            path = scratch / each.file
            text = path.read_text()
            if text.count(each.find) != 1:
                raise SystemExit(f"{mutant.name}: `find` does not stand exactly once in {each.file}")
            path.write_text(text.replace(each.find, each.put))
        for tests in filter(None, ((mutant.test,) if mutant.test else (), WHOLE)):
            failed = _first_failure(scratch, *tests)
            if failed:
                return failed
        return ""
    finally:
        for file, text in before.items():
            (scratch / file).write_text(text)


def _check_collection(scratch: Path) -> None:
    """See that all tests can be collected without any mutant: what fails anyway would count as noticing each of them.

    Raises:
        SystemExit: they cannot.
    """
    done = _pytest(scratch, "--collect-only", *WHOLE)
    if done.returncode != 0:
        raise SystemExit(f"the tests cannot be collected as they are:\n{done.stdout[-4000:]}{done.stderr[-4000:]}")


def _pytest(scratch: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "-p", "no:cacheprovider", *arguments]
    # Before the installed package, which is that of the checkout.
    places = os.pathsep.join(str(scratch / each) for each in ("operator", "emulator", "dev", "tests"))
    environment = {**os.environ, "PYTHONPATH": places, "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        command, cwd=scratch, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
    )


def _first_failure(scratch: Path, *tests: str) -> str:
    try:
        done = _pytest(scratch, *tests, *(("-n", "2") if len(tests) > 1 else ()))
    except subprocess.TimeoutExpired:
        return "the tests hang"
    if done.returncode == 0:
        return ""
    if done.returncode in _NO_TESTS:
        raise SystemExit(f"there are no tests {' '.join(tests)}:\n{done.stdout}{done.stderr}")
    summary = done.stdout.rpartition("short test summary info")[2]
    lines = [line for line in summary.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return lines[0].split(" - ")[0] if lines else f"exit code {done.returncode}"


def main() -> int:
    """Run and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="of mutants; all without")
    options = parser.parse_args()
    known = {each.name: each for each in mutants()}
    if unknown := set(options.names) - known.keys():
        raise SystemExit(f"tests/mutants/mutants.yaml has no {', '.join(sorted(unknown))}")
    chosen = [known[name] for name in options.names or known]
    unnoticed, start = [], time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
        for name in subprocess.check_output(listed, cwd=ROOT, text=True).splitlines():
            target = scratch / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target)
        _check_collection(scratch)
        if not noticed_by(Mutant.parse(CANARY), scratch):
            raise SystemExit("the tests do not import the copy")
        for each in chosen:
            began = time.monotonic()
            failed = noticed_by(each, scratch)
            print(f"{each.name} ({time.monotonic() - began:.0f} s): {failed or 'UNNOTICED: ' + each.does}", flush=True)
            if not failed:
                unnoticed.append(each)
    names = ", ".join(each.name for each in unnoticed) or "none"
    seconds = time.monotonic() - start
    print(f"noticed {len(chosen) - len(unnoticed)} of {len(chosen)} in {seconds:.0f} s; unnoticed: {names}")
    return 1 if unnoticed else 0


if __name__ == "__main__":
    sys.exit(main())
