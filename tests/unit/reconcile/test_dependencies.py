"""`dependsOn` in a job's lists of tasks: what `allOf` and placeholders become, what is refused, and what is known to never run."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from azure_batch_operator.batch.wire import TaskCounts
from azure_batch_operator.reconcile.job.expand import expand, lists, made_depends, needs_dependencies, problems
from azure_batch_operator.reconcile.job.failures import blocked
from azure_batch_operator.reconcile.job.spec import JobTerms
from azure_batch_operator.reconcile.observed import FailedTask
from support import typed

MAP = {"repeat": {"count": 3}}


def spec(
    *tasks: dict[str, Any], repeat: Any = None, merge: Any = None, factory: Any = None, **more: Any
) -> dict[str, Any]:
    """A job with these tasks and a factory of three, whose templates depend on `repeat` and `merge`."""
    made: dict[str, Any] = (factory or MAP) | {"repeatTask": {"commandLine": "map"}}
    if repeat is not None:
        made["repeatTask"] = {"commandLine": "map", "dependsOn": repeat}
    if merge is not None:
        made["mergeTask"] = {"commandLine": "merge"} | ({"dependsOn": merge} if merge else {})
    return {"tasks": [{"commandLine": "x"} | each for each in tasks], "taskFactory": made} | more


def waits(wanted: dict[str, Any]) -> dict[str, Any]:
    """The dependsOn of each task, as it is sent."""
    return {task["id"]: task.get("dependsOn") for task in expand(wanted, "j")}


SPLIT, END = {"id": "split"}, {"id": "end", "dependsOn": {"allOf": ["taskFactory"]}}
ALL = {"taskIdRanges": [{"start": 0, "end": 2}]}


def test_split_map_merge_and_a_task_after_it() -> None:
    after = {"id": "after", "dependsOn": {"taskIds": ["merge"]}}
    wanted = spec(SPLIT, after, repeat={"taskIds": ["split"]}, merge={"allOf": ["taskFactory"]})
    one = {"taskIds": ["split"]}
    assert waits(wanted) == {
        "0": one, "1": one, "2": one, "after": {"taskIds": ["merge"]}, "merge": ALL, "split": None,
    }  # fmt: skip
    assert problems(JobTerms.of(wanted)) == []
    assert needs_dependencies(JobTerms.of(wanted))


def test_all_of_a_list_becomes_ids_or_one_range() -> None:
    wanted = spec({"id": "b"}, {"id": "a"}, repeat={"taskIds": ["b"], "allOf": ["tasks"]}, merge={})
    assert waits(wanted)["0"] == {"taskIds": ["b", "a"]}
    assert waits(wanted)["merge"] == {"taskIds": ["a", "b"]} | ALL
    assert waits(spec(END))["end"] == ALL
    assert waits(spec(SPLIT, merge={"allOf": ["tasks"]}))["merge"] == {"taskIds": ["split"]}
    # Nothing is waited for where a list is empty, and an empty dependsOn is not sent.
    assert waits(spec(repeat={"allOf": ["tasks"]})) == {"0": None, "1": None, "2": None}
    assert waits(spec(END, factory={"taskPerItem": {"items": []}})) == {"end": {}}


def test_each_task_of_a_factory_waits_for_its_own() -> None:
    rows = {"taskPerItem": {"columns": ["name", "after"], "rows": [["a", ""], ["b", "0"], ["c", "1"]]}}
    wanted = spec({"id": "prepare-0"}, repeat={"taskIds": ["{after}", "prepare-0"]}, factory=rows)
    assert waits(wanted) == {
        "0": {"taskIds": ["prepare-0"]}, "1": {"taskIds": ["0", "prepare-0"]}, "2": {"taskIds": ["1", "prepare-0"]},
        "prepare-0": None,
    }  # fmt: skip
    assert problems(JobTerms.of(wanted)) == []


def test_a_million_tasks_wait_for_one_without_being_looked_at() -> None:
    sweep = {"parametricSweep": {"parameterSets": [{"start": 1, "end": 1000}, {"start": 1, "end": 1000}]}}
    wanted = spec(SPLIT, END, repeat={"taskIds": ["split"]}, merge={"allOf": ["taskFactory"]}, factory=sweep)
    assert problems(JobTerms.of(wanted)) == []
    first = next(iter(expand(wanted, "j")))
    assert first["dependsOn"] == {"taskIds": ["split"]}
    ended = [failed_task("split")]
    counts = TaskCounts(active=1_000_002, completed=1, failed=1)
    assert blocked(JobTerms.of(wanted), counts, ended, 1)


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (
            spec(repeat={"taskIds": ["splitt"]}),
            "spec.taskFactory.repeatTask: each task depends on 'splitt', which is not a task of this job: correct the ID",
        ),
        (
            spec(SPLIT, repeat={"taskIds": ["split-{0}"]}, factory={"repeat": {"count": 1}}),
            "spec.taskFactory.repeatTask: task '0' depends on 'split-0', which is not a task of this job",
        ),
        (
            spec(repeat={"taskIdRanges": [{"start": 2, "end": 9}]}),
            "spec.taskFactory.repeatTask: dependsOn names tasks of the taskFactory itself (IDs 0 to 2)",
        ),
        (spec(repeat={"taskIds": ["1"]}), "dependsOn names tasks of the taskFactory itself"),
        (
            spec(repeat={"taskIds": ["{0}"]}, factory={"repeat": {"count": 1}}),
            "spec.taskFactory.repeatTask: task '0' depends on itself",
        ),
        (
            spec(END, repeat={"taskIds": ["end"]}),
            "spec.tasks: tasks end → taskFactory → end form a dependency cycle",
        ),
        (spec(SPLIT, END, repeat={"allOf": ["tasks"]}), "form a dependency cycle"),
        (
            spec(repeat={"taskIds": ["merge"]}, merge={}),
            "tasks taskFactory → merge → taskFactory form a dependency cycle",
        ),
        (
            spec({"id": "007", "dependsOn": {"allOf": ["taskFactory"]}}, factory={"repeat": {"count": 20}}),
            "task '007' depends on all tasks of the taskFactory, a range of numbers that includes its own ID",
        ),
        (
            {"tasks": [END | {"commandLine": "x"}]},
            "spec.tasks: task 'end': dependsOn.allOf names taskFactory, but the job has none: add spec.taskFactory",
        ),
        (spec(SPLIT, repeat={"taskIds": ["split"]}, usesTaskDependencies=False), "spec.usesTaskDependencies is false"),
        (spec(SPLIT, repeat={"taskIds": ["{3}"]}), "spec.taskFactory.repeatTask.dependsOn.taskIds[0]: at character 1"),
        (
            spec(*({"id": f"{at:060}-"} for at in range(1200)), repeat={"allOf": ["tasks"]}),
            "dependsOn.allOf: the IDs are too long together (more than 64000 characters): let one task depend on all",
        ),
        (
            spec(*({"id": f"t{at:03}"} for at in range(1000)), repeat={"allOf": ["tasks"]}, factory={"repeat": {"count": 20000}}),
            "4000 characters of IDs in each of 20000 tasks are too many: let one task depend on all others",
        ),
    ],
)  # fmt: skip
def test_tasks_that_cannot_run_or_be_sent_are_refused(wanted: dict[str, Any], words: str) -> None:
    (problem,) = problems(JobTerms.of(wanted))
    assert words in problem


def failed_task(id: str) -> FailedTask:
    return typed.failed({"id": id, "executionInfo": {"exitCode": 1, "failureInfo": {"code": "FailureExitCode"}}})


def is_blocked(wanted: dict[str, Any], *failed: str, active: int) -> bool:
    ended = [failed_task(id) for id in failed]
    counts = TaskCounts(active=active, completed=len(failed), failed=len(failed))
    return blocked(JobTerms.of(wanted), counts, ended, len(failed))


def test_a_failed_split_keeps_the_whole_factory_from_running() -> None:
    wanted = spec(SPLIT, END, repeat={"taskIds": ["split"]}, merge={"allOf": ["taskFactory"]})
    assert is_blocked(wanted, "split", active=5)
    assert not is_blocked(wanted, "split", active=6)
    # One of the factory has failed: what waits for all of it never runs, the other two still do.
    assert is_blocked(wanted, "1", active=2)
    assert not is_blocked(wanted, "1", active=3)
    # Of a factory of which one has failed before, the other two are left.
    assert is_blocked(wanted, "split", "1", active=4)
    assert not is_blocked(wanted, "split", "1", active=5)


def test_a_merge_task_of_one_list_is_not_kept_by_the_other() -> None:
    wanted = spec(SPLIT, merge={"allOf": ["taskFactory"]})
    assert not is_blocked(wanted, "split", active=1)
    assert is_blocked(wanted, "2", active=1)


def test_a_broken_chain_in_a_factory_is_followed() -> None:
    rows = {"taskPerItem": {"columns": ["after"], "rows": [[""], ["0"], ["1"], ["2"]]}}
    wanted = spec(repeat={"taskIds": ["{after}"]}, factory=rows)
    assert is_blocked(wanted, "1", active=2)
    assert not is_blocked(wanted, "1", active=3)


def test_more_tasks_than_are_followed_never_count_as_lost() -> None:
    wanted = spec(SPLIT, repeat={"taskIds": ["split", "x{0}"]}, factory={"repeat": {"count": 50_001}})
    assert problems(JobTerms.of(wanted)) == []
    assert not is_blocked(wanted, "split", active=1)
    assert next(itertools.islice(expand(wanted, "j"), 7, 8))["dependsOn"] == {"taskIds": ["split", "x7"]}


@pytest.mark.parametrize(
    ("listed", "ids", "all_of", "count"), [(0, 1000, False, 251), (500, 1, True, 500)], ids=["templates", "allOf"]
)
def test_more_ids_than_are_followed_are_not_even_made(listed: int, ids: int, all_of: bool, count: int) -> None:
    """All of them are in memory together, while nothing else is reconciled: 4,000 tasks of 1,000 ids took 20 seconds."""
    tasks = [{"id": f"t{number}"} for number in range(listed)]
    repeat: dict[str, Any] = {"taskIds": [f"x{number}-{{0}}" for number in range(ids)]}
    if all_of:
        repeat["allOf"] = ["tasks"]
    wanted = spec(*tasks, repeat=repeat, factory={"repeat": {"count": count}}, onAllTasksComplete="noaction")
    assert made_depends(JobTerms.of(wanted), lists(JobTerms.of(wanted))) is None
    assert problems(JobTerms.of(wanted)) == []
    # They are sent all the same.
    last = next(itertools.islice(expand(wanted, "j"), count - 1, count))
    assert len(last["dependsOn"]["taskIds"]) == ids + listed
    fewer = wanted | {"taskFactory": wanted["taskFactory"] | {"repeat": {"count": count - 2}}}
    assert len(made_depends(JobTerms.of(fewer), lists(JobTerms.of(fewer))) or {}) == count - 2
