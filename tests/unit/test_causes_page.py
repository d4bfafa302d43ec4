"""docs/troubleshooting.md lists each cause that `causes` can find, in the order of its rules and in the words of the code."""

from __future__ import annotations

from pathlib import Path

import pytest

from azure_batch_operator.causes import (
    RULES,
    AutoScale,
    Circle,
    Demand,
    Evidence,
    Failed,
    Lost,
    NodeFailure,
    PoolEvidence,
    ResizeError,
    Unfinished,
    WayOut,
    judge,
)
from azure_batch_operator.causes.disabling import Disabler

PAGE = Path(__file__).parents[2] / "docs" / "troubleshooting.md"
IDLE, BUSY = {"idle": 2}, {"running": 2}
QUOTA = (ResizeError("AccountCoreQuotaReached", "The specified account has reached core quota"),)
NODE = "tvm-1"
EXAMPLES = {
    "JobDisabled": Evidence(disabled=Disabler("'a' (exit code 3)").sentence),
    "DependencyFailed": Evidence(unmet=Failed("a, exit code 3")),
    "PreparationFails": Evidence(preparation=NodeFailure(NODE, "exit code 7")),
    "DependencyMissing": Evidence(unmet=Lost("later")),
    "DependencyCycle": Evidence(unmet=Circle(("a", "b"))),
    "DependencyUnfinished": Evidence(single=True, unmet=Unfinished("'a', running")),
    "PoolMissing": Evidence(pool=PoolEvidence("cpu", is_missing=True), way_out=WayOut("spec.poolRef")),
    "PoolDeleted": Evidence(pool=PoolEvidence("cpu", is_deleting=True), way_out=WayOut("spec.poolRef")),
    "NodesStarting": Evidence(pool=PoolEvidence("cpu", nodes={"starting": 1})),
    "StartTaskFails": Evidence(
        pool=PoolEvidence("cpu", nodes={"startTaskFailed": 1}, start_task=NodeFailure(NODE, "exit code 9"))
    ),
    "NodesUnusable": Evidence(
        pool=PoolEvidence("cpu", nodes={"unusable": 1}, node_error=NodeFailure(NODE, "DiskFull: the disk is full"))
    ),
    "NodesOffline": Evidence(pool=PoolEvidence("cpu", nodes={"offline": 1})),
    "ResizeFailed": Evidence(pool=PoolEvidence("cpu", resize_errors=QUOTA)),
    "Resizing": Evidence(pool=PoolEvidence("cpu", is_steady=False)),
    "FormulaFails": Evidence(pool=PoolEvidence("cpu", auto_scale=AutoScale("AutoScalingFormulaEvaluationError: …"))),
    "FormulaAtZero": Evidence(pool=PoolEvidence("cpu", auto_scale=AutoScale())),
    "NoNodes": Evidence(pool=PoolEvidence("cpu")),
    "TasksTooLarge": Evidence(pool=PoolEvidence("cpu", nodes=IDLE, slots_per_node=2), least_slots=4),
    "TasksTooWide": Evidence(pool=PoolEvidence("cpu", nodes=BUSY, target=2), least_nodes=3, has_ready=True),
    "NodesBusy": Evidence(pool=PoolEvidence("cpu", nodes=BUSY), has_ready=True),
    "TooManySlots": Evidence(
        pool=PoolEvidence("cpu", nodes=IDLE, slots_per_node=2), demands=[Demand("task 'big'", slots=4)], exact=False
    ),
    "TooManyNodes": Evidence(pool=PoolEvidence("cpu", nodes=IDLE, target=2), demands=[Demand("task 'mpi'", nodes=3)]),
}


_NO_EXAMPLE = "add a row to EXAMPLES in tests/unit/test_causes_page.py, with evidence to which the new rule applies"


@pytest.mark.parametrize("rule", RULES)
def test_each_rule_finds_its_cause(rule: str) -> None:
    assert rule in EXAMPLES, _NO_EXAMPLE
    cause = judge(EXAMPLES[rule])
    assert cause is not None
    assert cause.rule == rule


def test_the_page_has_a_row_for_each_rule_with_its_sentence() -> None:
    assert EXAMPLES.keys() >= set(RULES), _NO_EXAMPLE
    found = [judge(EXAMPLES[rule]) for rule in RULES]
    rows = [f"| `{cause.rule}` | {cause.sentence} |" for cause in found if cause]
    page = PAGE.read_text(encoding="utf-8").partition("\n## Why no task of a job runs\n")[2].partition("\n## ")[0]
    assert [line for line in page.splitlines() if line.startswith("| `")] == rows
