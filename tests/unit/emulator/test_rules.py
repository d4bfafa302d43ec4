"""Decisions of the engine: dependencies, retries, exit options, resizes, transitions."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from azure_batch_emulator.engine import job_rules, pool_rules, task_rules, transitions
from azure_batch_emulator.engine.dependencies import Dependencies
from azure_batch_emulator.engine.ordered import Ordered
from azure_batch_emulator.executors.base import RunResult
from azure_batch_emulator.wire.errors import BatchError


@given(
    st.lists(
        st.tuples(st.sampled_from("ABCDEFG"), st.sets(st.sampled_from("abcdefg"), max_size=4)), unique_by=lambda x: x[0]
    ),
    st.permutations("abcdefg"),
)
def test_a_task_is_released_exactly_when_its_last_parent_is_satisfied(
    tasks: list[tuple[str, set[str]]], order: list[str]
) -> None:
    book = Dependencies()
    waiting = {}
    for name, parents in tasks:
        met = book.add(f"child-{name}", {"taskIds": sorted(parents)})
        assert met == (not parents)
        if parents:
            waiting[f"child-{name.lower()}"] = set(parents)
    for parent in order:
        released = set(book.satisfy(parent.upper()))
        expected = set()
        for child, parents in waiting.items():
            if parent in parents:
                parents.discard(parent)
                if not parents:
                    expected.add(child)
        assert released == expected


@given(st.integers(0, 40), st.integers(0, 600), st.permutations(range(60)))
def test_ranges_wait_for_every_number(start: int, length: int, order: list[int]) -> None:
    book = Dependencies()
    early, late = order[:20], order[20:]
    for number in early:
        book.satisfy(f"{number:04d}")
    missing = set(range(start, start + length + 1)) - set(early)
    assert book.add("child", {"taskIdRanges": [{"start": start, "end": start + length}]}) == (not missing)
    for number in late:
        before = bool(missing)
        missing.discard(number)
        assert (book.satisfy(str(number)) == ["child"]) == (before and not missing)


def test_a_forgotten_child_is_not_released() -> None:
    book = Dependencies()
    book.add("child", {"taskIds": ["a"]})
    book.forget("CHILD")
    assert book.satisfy("a") == []


@given(st.lists(st.tuples(st.booleans(), st.text(alphabet="ab01", min_size=1, max_size=3))))
def test_items_stay_in_the_order_of_their_ids(steps: list[tuple[bool, str]]) -> None:
    # An item is the tuple of its id.
    items, model = Ordered[tuple[str]](lambda item: item[0]), set[str]()
    for adds, name in steps:
        if adds and name not in model:
            items.add((name,))
            model.add(name)
        elif not adds and name in model:
            items.remove((name,))
            model.discard(name)
        beyond = sorted((name,) for name in model if name > "a0")
        assert list(items.after(None)) == sorted((name,) for name in model)
        assert list(items.after("a0")) == beyond
        assert items.first_after("a0", 2) == beyond[:2]
        assert items.first_after(None, 2) == sorted((name,) for name in model)[:2]


@pytest.mark.parametrize(
    ("result", "timed_out", "code", "stage", "retryable"),
    [
        (RunResult(0), False, None, None, False),
        (RunResult(7), False, "FailureExitCode", None, True),
        (RunResult(None), True, "TaskEnded", None, True),
        (
            RunResult(None, ("UserError", "BlobNotFound", "m", ()), "preparation"),
            False,
            "BlobNotFound",
            "preProcessingError",
            False,
        ),
        (
            RunResult(0, ("UserError", "FileUploadMiscError", "m", ()), "upload"),
            False,
            "FileUploadMiscError",
            "fileUploadError",
            False,
        ),
        (
            RunResult(7, ("UserError", "FileUploadMiscError", "m", ()), "upload"),
            False,
            "FailureExitCode",
            "fileUploadError",
            True,
        ),
    ],
)
def test_outcomes(result: RunResult, timed_out: bool, code: str | None, stage: str | None, retryable: bool) -> None:
    outcome = task_rules.judge(result, timed_out=timed_out)
    assert (outcome.failure["code"] if outcome.failure else None, outcome.stage, outcome.retryable) == (
        code,
        stage,
        retryable,
    )
    assert outcome.result == ("success" if code is None else "failure")


@pytest.mark.parametrize(("most", "tries"), [(0, 1), (3, 4), (-1, 50)])
def test_how_often_a_task_is_tried(most: int, tries: int) -> None:
    outcome = task_rules.judge(RunResult(1), timed_out=False)
    done = 1
    while done < 50 and task_rules.should_retry(outcome, done - 1, most):
        done += 1
    assert done == tries


CONDITIONS = {
    "exitCodes": [{"code": 3, "exitOptions": {"jobAction": "none"}}],
    "exitCodeRanges": [{"start": 3, "end": 9, "exitOptions": {"dependencyAction": "satisfy"}}],
    "fileUploadError": {"jobAction": "disable"},
    "default": {"jobAction": "disable", "dependencyAction": "satisfy"},
}


@pytest.mark.parametrize(
    ("result", "job_action", "dependency_action"),
    [
        (RunResult(0), "none", "satisfy"),
        (RunResult(3), "none", "block"),
        (RunResult(4), "terminate", "satisfy"),
        (RunResult(10), "disable", "satisfy"),
        (RunResult(3, ("UserError", "F", "m", ()), "upload"), "none", "block"),
        (RunResult(0, ("UserError", "F", "m", ()), "upload"), "disable", "block"),
        (RunResult(None, ("UserError", "B", "m", ()), "preparation"), "disable", "satisfy"),
    ],
)
def test_exit_options(result: RunResult, job_action: str, dependency_action: str) -> None:
    chosen = task_rules.exit_options(CONDITIONS, task_rules.judge(result, timed_out=False))
    assert (chosen["jobAction"], chosen["dependencyAction"]) == (job_action, dependency_action)


@dataclass
class FakeNode:
    id: str
    index: int
    dedicated: bool
    state: str
    busy: bool


@given(
    st.lists(st.tuples(st.booleans(), st.sampled_from(["idle", "running", "leavingpool", "unusable"])), max_size=12),
    st.integers(0, 12),
    st.integers(0, 12),
    st.integers(-3, 12),
)
def test_a_resize_reaches_its_targets_or_says_why(
    present: list[tuple[bool, str]], dedicated: int, low_priority: int, room: int
) -> None:
    nodes = [FakeNode(f"n{i}", i, kind, state, state == "running") for i, (kind, state) in enumerate(present)]
    plan = pool_rules.plan_resize(nodes, dedicated, low_priority, room, room)
    removed = set(plan.remove)
    assert not any(node.state == "leavingpool" for node in nodes if node.id in removed)
    for kind, target, added in ((True, dedicated, plan.add_dedicated), (False, low_priority, plan.add_low_priority)):
        staying = [n for n in nodes if n.dedicated is kind and n.state != "leavingpool" and n.id not in removed]
        assert len(staying) + added == target or (added == max(0, room) and plan.errors)
        busy_removed = any(n.busy for n in nodes if n.id in removed and n.dedicated is kind)
        assert not busy_removed or all(n.busy for n in staying)


@pytest.mark.parametrize(
    ("size", "cores"),
    [
        ("standard_d2s_v3", 2),
        ("STANDARD_D4ads_v6", 4),
        ("standard_d3_v2", 4),
        ("standard_d14_v2", 16),
        ("standard_f16s_v2", 16),
        ("standard_a1", 1),
        ("standard_e8-4s_v5", 8),
        ("odd", 1),
    ],
)
def test_cores(size: str, cores: int) -> None:
    assert pool_rules.cores_of(size) == cores


@pytest.mark.parametrize(
    ("operation", "state", "code"),
    [
        ("add_task", "disabled", None),
        ("add_task", "terminating", "JobBeingTerminated"),
        ("add_task", "completed", "JobCompleted"),
        ("add_task", "deleting", "JobBeingDeleted"),
        ("terminate", "terminating", "JobBeingTerminated"),
        ("delete", "completed", None),
        ("delete", "terminating", None),
        ("delete", "deleting", "JobBeingDeleted"),
        ("disable", "disabled", None),
        ("disable", "enabling", "JobNotActive"),
        ("disable", "disabling", None),
    ],
)
def test_calls_by_the_job_s_state(operation: str, state: str, code: str | None) -> None:
    if code is None:
        job_rules.check_allowed(operation, state)
    else:
        with pytest.raises(BatchError) as caught:
            job_rules.check_allowed(operation, state)
        assert (caught.value.status, caught.value.code) == (409, code)


@pytest.mark.parametrize(
    "table",
    [
        transitions.POOL,
        transitions.ALLOCATION,
        transitions.TASK,
        transitions.JOB,
        transitions.SCHEDULE,
        transitions.NODE,
    ],
)
def test_transition_tables_are_closed(table: dict[str, frozenset[str]]) -> None:
    assert {state for following in table.values() for state in following} <= set(table)


def test_an_illegal_step_is_refused() -> None:
    with pytest.raises(transitions.IllegalTransitionError):
        transitions.check(transitions.TASK, "completed", "running")
