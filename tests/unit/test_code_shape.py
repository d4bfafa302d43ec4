"""Functions stay small enough to be read at once: what grows beyond is divided by what it does."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from azure_batch_operator.generate import ROOT

MAX_LINES = 60
MAX_PARAMETERS = 6
"""Besides self; more are a value with a name, such as `JobScope`."""
OTHER_WORDS = re.compile(r"_?(MOST|LEAST|HIGHEST|LOWEST)(_[A-Z_]+)?|[A-Z_]+_(MOST|LEAST)")
"""Of which constants for limits are not named."""
FEW_PARAMETERS = ("operator/azure_batch_operator/reconcile", "operator/azure_batch_operator/sync")

OWN_CLOCK = {
    "operator/azure_batch_operator/sync/accounts.py",
    "operator/azure_batch_operator/sync/memory.py",
    "operator/azure_batch_operator/sync/polls/job_results.py",
}
"""Modules that read the time of day: the clock itself, a session, and the speed of a job."""

NAMED = ("operator", "emulator")
"""Folders whose variables are named for what they hold."""
UNNAMED = ("operator/azure_batch_operator/reconcile", "operator/azure_batch_operator/batch/wire.py")
"""Where that is still to be done."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def _functions(*folders: str) -> Iterator[tuple[Path, Function]]:
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, Function):
                    yield path.relative_to(ROOT), node


def _bound_names(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg


def _parameters(function: Function) -> list[str]:
    given = function.args
    names = [each.arg for each in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    return [name for name in names if name not in {"self", "cls"}]


def test_no_function_is_long() -> None:
    functions = list(_functions("operator", "emulator", "dev"))
    assert len(functions) > 2000, "the folders are where they were"
    long = [
        f"{path}:{node.lineno} {node.name} has {lines} lines"
        for path, node in functions
        if (lines := (node.end_lineno or 0) - node.lineno + 1) > MAX_LINES
    ]
    assert long == [], f"at most {MAX_LINES} lines: divide the function by what it does"


def test_no_decision_and_no_machinery_takes_many_parameters() -> None:
    many = [
        f"{path}:{node.lineno} {node.name}({', '.join(names)})"
        for path, node in _functions(*FEW_PARAMETERS)
        if len(names := _parameters(node)) > MAX_PARAMETERS
    ]
    assert many == [], (
        f"at most {MAX_PARAMETERS} parameters besides self: make those that belong together a frozen dataclass"
    )


def test_the_time_is_told_by_the_clock_that_is_given() -> None:
    files = [path for folder in FEW_PARAMETERS for path in sorted((ROOT / folder).rglob("*.py"))]
    found = {str(path.relative_to(ROOT)) for path in files if "time.time()" in path.read_text()}
    assert len(files) > 120, "the folders are where they were"
    assert found == OWN_CLOCK, "take the clock of sync.memory.Memory, or the time, as an argument"


def test_limits_are_named_max_and_min() -> None:
    named = [
        f"{path.relative_to(ROOT)}: {name}"
        for folder in ("operator", "emulator", "kubectl", "dev", "tests")
        for path in sorted((ROOT / folder).rglob("*.py"))
        for name in re.findall(r"^[A-Z_]+(?=[ :,])", path.read_text(), re.MULTILINE)
        if OTHER_WORDS.fullmatch(name)
    ]
    assert named == [], "name constants for limits MAX_… and MIN_…"


def test_a_variable_is_named_for_what_it_holds() -> None:
    files = [path for folder in NAMED for path in sorted((ROOT / folder).rglob("*.py"))]
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in files
        if not any(path.is_relative_to(ROOT / place) for place in UNNAMED)
        for line, name in _bound_names(path)
        if name == "each"
    ]
    assert len(files) > 200, "the folders are where they were"
    assert found == [], "no variable is `each`: call it what it is, such as `task` or `condition`"
