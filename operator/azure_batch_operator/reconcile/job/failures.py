"""Failed tasks: grouped by cause, and followed along dependencies to find tasks that can never run."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from azure_batch_operator.batch.redaction import safe_text
from azure_batch_operator.batch.task_wire import EndedTask, ExitConditions
from azure_batch_operator.batch.wire import TaskCounts, TaskFailure
from azure_batch_operator.causes.exits import satisfies, words
from azure_batch_operator.reconcile.job import expand
from azure_batch_operator.reconcile.job.dependencies import MADE, MERGE_ID, Lists, resolved
from azure_batch_operator.reconcile.job.spec import Depends, JobTerms, TaskLinks
from azure_batch_operator.reconcile.job.streamed import Streamed
from azure_batch_operator.reconcile.observed import FailedTask
from azure_batch_operator.reconcile.status import shortened

_GROUPS = 5
_SAMPLES = 5
_FIRST_TAIL_BYTES, _TAIL_BYTES, _MESSAGE_BYTES = 1400, 700, 300
"""What five groups may take of the 16 KiB that a status has."""


def cause(task: FailedTask) -> tuple[int | None, str | None, str | None]:
    """What failed tasks of one group have in common: exit code, category and code."""
    failure = task.execution.failure
    return task.execution.exit_code, failure.category, failure.code


def how(task: FailedTask) -> str:
    """How a task failed, in two or three words; empty if the service does not say."""
    exit_code, _, code = cause(task)
    return words(exit_code, code)


def first_failed(failed: Sequence[FailedTask]) -> str:
    """Which task failed first, and how, as a message puts it in parentheses; empty if none was listed."""
    return f" (first: {named(failed[0])})" if failed else ""


def named(task: FailedTask) -> str:
    """A failed task, and how it failed, as a message puts it in parentheses."""
    return ", ".join(filter(None, (task.id, how(task))))


def explained(failure: TaskFailure) -> str:
    """The text of a failure with the service's details: which file, which container; empty if it has none.

    What a detail only repeats is left out.
    """
    message = str(failure.message or "")
    told: list[str] = []
    for each in failure.details:
        value = safe_text(str(each.value or "")).strip()
        if value and value not in message and all(value not in other for other in told):
            name = safe_text(str(each.name or ""))
            told.append(value if name in {"", "Message"} else f"{name}: {value}")
    details = "; ".join(told)
    return f"{message} ({details})" if message and details else message or details


def with_conditions(spec: JobTerms, failed: Sequence[FailedTask]) -> Iterator[EndedTask]:
    """Failed tasks that the spec writes out or makes, with their exit conditions."""
    tasks = spec.listed
    inline = {} if isinstance(tasks, Streamed) else {str(task["id"]).lower(): task for task in tasks}
    template, lists = spec.factory.repeat_task or {}, expand.lists(spec)
    for task in failed:
        added = inline.get(task.id.lower()) or (template if lists.makes(task.id) else {})
        conditions = TaskLinks.of(added).exit_conditions
        yield EndedTask(id=task.id, exit_conditions=conditions, execution_info=task.execution)


def groups(failed: Sequence[FailedTask], failed_count: int) -> list[dict[str, Any]]:
    """Failures by cause, most frequent first, at most five groups.

    Args:
        failed: failed tasks as the service lists them, the first of each group with `stderr_tail`.
        failed_count: how many there are in all; more than were listed go to the largest group's count.
    """
    by_cause: defaultdict[tuple[int | None, str | None, str | None], list[FailedTask]] = defaultdict(list)
    for task in failed:
        by_cause[cause(task)].append(task)
    result = []
    for (exit_code, category, code), tasks in by_cause.items():
        group: dict[str, Any] = {
            "exitCode": exit_code,
            "category": category,
            "code": code,
            "message": shortened(explained(tasks[0].execution.failure), _MESSAGE_BYTES) or None,
            "count": len(tasks),
            "taskIds": [task.id for task in tasks[:_SAMPLES]],
            "stderrTail": next((task.stderr_tail for task in tasks if task.stderr_tail), None),
            "stderrProblem": next((task.stderr_problem for task in tasks if task.stderr_problem), None),
        }
        result.append({name: value for name, value in group.items() if value is not None})
    result.sort(key=lambda group: -group["count"])
    if result and failed_count > len(failed):
        result[0]["count"] += failed_count - len(failed)
    return [_bounded(group, _TAIL_BYTES if at else _FIRST_TAIL_BYTES) for at, group in enumerate(result[:_GROUPS])]


def _bounded(group: dict[str, Any], most: int) -> dict[str, Any]:
    """The group with its texts cut; why there is no output matters only if there is none."""
    if tail := group.get("stderrTail"):
        group["stderrTail"] = shortened(tail, most, end=True)
        group.pop("stderrProblem", None)
    elif problem := group.get("stderrProblem"):
        group["stderrProblem"] = shortened(problem, _MESSAGE_BYTES)
    return group


def blocked(
    spec: JobTerms,
    counts: TaskCounts | None,
    failed: Sequence[FailedTask],
    failed_count: int,
    others: int = 0,
) -> bool:
    """Whether all tasks that have not ended wait forever, since they depend on failed ones (docs/azure-batch.md#tasks).

    Only tasks of the spec are known with their dependencies; if anything else is active the answer is no.

    Args:
        others: BatchTasks of the job of which that is known.
    """
    if not counts or not failed_count or counts.running or not counts.active:
        return False
    if counts.failed != failed_count or not (others or expand.needs_dependencies(spec)):
        return False
    return counts.active <= others + _never_run(spec, failed)


def _never_run(spec: JobTerms, failed: Sequence[FailedTask]) -> int:
    """How many tasks of the spec depend, directly or not, on a failed task that blocks its dependents.

    Each dependency is checked once: this runs in the event loop, and a ConfigMap may hold chains of thousands of tasks
    (test_failures.py, `test_long_chains_are_walked_once`).
    """
    tasks = spec.listed
    # Where they are too many to follow, they count as if they could still run.
    streamed = (tasks.followed or {}) if isinstance(tasks, Streamed) else None
    inline = {task.id.lower(): task for task in map(TaskLinks.of, tasks)} if streamed is None else streamed
    template = TaskLinks.of(spec.factory.repeat_task or {})
    ended = {task.id.lower(): task for task in failed}
    lists = expand.lists(spec)
    made = expand.made_depends(spec, lists) or {}
    waiting = _Waiting([*inline, *ended, *made], lists if MADE in made else None)
    for id, task in inline.items():
        if id not in ended and task.depends_on:
            waiting.add(id, resolved(task.depends_on, lists))
    for id, each in made.items():
        if id not in ended:
            waiting.add(id, each)
    blocks_dependents = [
        id
        for id, task in ended.items()
        if not satisfies(
            _as_added(spec, inline.get(id, template)), task.execution.exit_code, task.execution.failure.code
        )
    ]
    never: set[str] = set()
    if MERGE_ID not in ended and blocks_dependents:
        if expand.merges_all(spec):
            never.add(MERGE_ID)
            blocks_dependents.append(MERGE_ID)
        elif merge := expand.merge_depends(spec, lists):
            waiting.add(MERGE_ID, merge)
    while blocks_dependents:
        for child in waiting.take(blocks_dependents.pop()):
            if child not in never:
                never.add(child)
                blocks_dependents.append(child)
    if MADE not in never:
        return len(never)
    return len(never) - 1 + lists.made - sum(map(lists.makes, ended))


class _Waiting:
    """Which tasks depend on an id, by name or by a range of numbers; ranges are kept in a segment tree over the numbers there are.

    Args:
        ids: of all tasks that anything can be asked about, in lower case.
        together: set if the tasks of the factory wait for the same, and are asked about as `MADE`.
    """

    def __init__(self, ids: Iterable[str], together: Lists | None) -> None:
        self._together = together
        self._by_id: defaultdict[str, list[str]] = defaultdict(list)
        self._numbers = sorted({int(id) for id in ids if _is_number(id)})
        self._by_range: defaultdict[int, list[str]] = defaultdict(list)

    def add(self, child: str, depends: Depends) -> None:
        """Note what a task depends on."""
        for id in depends.ids:
            self._by_id[id.lower()].append(child)
        if self._together and self._together.touches(depends):
            self._by_id[MADE].append(child)
        size = len(self._numbers)
        for each in depends.ranges:
            left = bisect_left(self._numbers, each.start) + size
            right = bisect_right(self._numbers, each.end) + size
            while left < right:
                if left % 2:
                    self._by_range[left].append(child)
                    left += 1
                if right % 2:
                    right -= 1
                    self._by_range[right].append(child)
                left, right = left // 2, right // 2

    def take(self, id: str) -> Iterator[str]:
        """The tasks that depend on an id; each of their dependencies is returned once only."""
        yield from self._by_id.pop(id, ())
        if not _is_number(id):
            return
        at = bisect_left(self._numbers, int(id)) + len(self._numbers)
        while at:
            yield from self._by_range.pop(at, ())
            at //= 2


def _is_number(id: str) -> bool:
    return id.isascii() and id.isdigit()


def _as_added(spec: JobTerms, task: TaskLinks) -> ExitConditions:
    return task.exit_conditions.forgiving if spec.goes_on else task.exit_conditions
