"""The diagrams of lifecycles name the phases that the code gives, and no others; they stand on the page of their kind."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from artifacts.lifecycles import LIFECYCLES
from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.generate import ROOT

RECONCILE = ROOT / "operator" / "azure_batch_operator" / "reconcile"
PAGES = {
    Kind.ACCOUNT: "accounts",
    Kind.POOL: "pools",
    Kind.JOB: "jobs",
    Kind.TASK: "tasks",
    Kind.SCHEDULE: "schedules",
    Kind.OPERATION: "batch-operations",
}
MODULES = {kind: kind.removeprefix("Batch").lower() for kind in Kind} | {Kind.SCHEDULE: "schedule"}
EVERYWHERE = {"Stalled", "Deleting"}
"""Every object can be in these; the note below the diagram says so."""
OF_VARIABLES = {
    Kind.ACCOUNT: {"Throttled", "Unavailable"},
    Kind.POOL: {"Pending", "UpdatePending"},
    Kind.JOB: {"Pending", "Queued"},
    Kind.SCHEDULE: {"Pending"},
    Kind.OPERATION: {"Pending"},
}
"""Phases that no call names directly: of `waiting` and `failed` (reconcile/standard_plans.py), and where a variable holds them."""


def _named(kind: Kind) -> Iterator[str]:
    """What is given as the phase of a verdict, or of a step of a pool."""
    for path in (RECONCILE / MODULES[kind]).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"Verdict", "Step"}:
                # A step begins with its calls.
                given = node.args[1] if node.func.id == "Step" else node.args[0]
                if isinstance(given, ast.Constant) and given.value:
                    yield str(given.value)


@pytest.mark.parametrize("kind", Kind)
def test_a_diagram_has_the_phases_of_its_kind(kind: Kind) -> None:
    found = {*_named(kind), *OF_VARIABLES.get(kind, ())} - EVERYWHERE
    assert set(LIFECYCLES[kind].states) == found


@pytest.mark.parametrize("kind", Kind)
def test_moves_are_between_states_and_reach_all_of_them(kind: Kind) -> None:
    life = LIFECYCLES[kind]
    reached = {next(iter(life.states)), *(end for _, end, _ in life.moves)}
    assert {start for start, _, _ in life.moves} <= life.states.keys()
    assert reached >= life.states.keys() - {"Queued"}


@pytest.mark.parametrize("kind", Kind)
def test_a_diagram_stands_on_the_page_of_its_kind(kind: Kind) -> None:
    assert f"(images/lifecycle-{kind.lower()}.svg)" in (ROOT / "docs" / f"{PAGES[kind]}.md").read_text()
