"""From a spec to task bodies: unique ids in order, placeholders, and going on where a stream was interrupted."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from azure_batch_operator.reconcile.job import placeholders
from azure_batch_operator.reconcile.job.expand import adds_tasks, expand, needs_dependencies, problems, total
from azure_batch_operator.reconcile.job.spec import JobTerms
from azure_batch_operator.reconcile.job.task_policies import Policies
from azure_batch_operator.sync.task_diff import FeedState, Sieve, UnorderedError

JOB = "job"


def sweep(sets: list[dict[str, Any]], command: str = "run {0}", **more: Any) -> dict[str, Any]:
    return {"taskFactory": {"parametricSweep": {"parameterSets": sets}, "repeatTask": {"commandLine": command}} | more}


def commands(spec: dict[str, Any]) -> list[str]:
    return [task["commandLine"] for task in expand(spec, JOB)]


@pytest.mark.parametrize(
    ("sets", "command", "expected"),
    [
        ([{"start": 1, "end": 3}], "r {0}", ["r 1", "r 2", "r 3"]),
        ([{"start": 0, "end": 10, "step": 5}], "{0}", ["0", "5", "10"]),
        ([{"start": 3, "end": 1, "step": -1}], "{0}", ["3", "2", "1"]),
        ([{"start": -1, "end": 1}], "{0:3}", ["-01", "000", "001"]),
        ([{"values": ["a", 7]}], "{0} {0:3}", ["a a", "7 007"]),
        ([{"start": 1, "end": 2}, {"values": ["x", "y"]}], "{1}{0}", ["x1", "y1", "x2", "y2"]),
        ([{"start": 1, "end": 1}], "echo ${HOME} {{0}} {0} {x}", ["echo ${HOME} {0} 1 {x}"]),
    ],
)
def test_placeholders(sets: list[dict[str, Any]], command: str, expected: list[str]) -> None:
    assert commands(sweep(sets, command)) == expected


def test_placeholders_reach_every_string_and_leave_the_rest() -> None:
    spec = sweep([{"start": 5, "end": 5}])
    spec["taskFactory"]["repeatTask"] |= {
        "environmentSettings": [{"name": "N", "value": "{0:2}"}],
        "resourceFiles": [{"httpUrl": "https://x/{0}", "filePath": "in-{0}"}],
        "requiredSlots": 2,
    }
    (task,) = expand(spec, JOB)
    assert task["environmentSettings"] == [{"name": "N", "value": "05"}]
    assert task["resourceFiles"] == [{"httpUrl": "https://x/5", "filePath": "in-5"}]
    assert task["requiredSlots"] == 2


def test_the_merge_task_waits_for_all_others() -> None:
    spec = sweep([{"start": 1, "end": 12}], mergeTask={"commandLine": "merge"})
    spec["tasks"] = [{"id": "prepare", "commandLine": "true"}]
    tasks = {task["id"]: task for task in expand(spec, JOB)}
    assert tasks["merge"]["dependsOn"] == {"taskIdRanges": [{"start": 0, "end": 11}], "taskIds": ["prepare"]}
    assert needs_dependencies(JobTerms.of(spec))
    assert list(tasks)[:3] == ["00", "01", "02"]
    assert total(JobTerms.of(spec)) == len(tasks) == 14


@given(
    st.lists(st.tuples(st.integers(-5, 5), st.integers(0, 12), st.integers(1, 4)), min_size=1, max_size=3),
    st.sets(st.text("abcXYZ09", min_size=1, max_size=4), max_size=8),
)
def test_ids_are_unique_sorted_and_as_many_as_said(dimensions: list[tuple[int, int, int]], ids: set[str]) -> None:
    spec = sweep([{"start": start, "end": start + size, "step": step} for start, size, step in dimensions])
    spec["tasks"] = [{"id": id, "commandLine": "true"} for id in sorted(ids)]
    if problems(JobTerms.of(spec)):
        return
    found = [task["id"] for task in expand(spec, JOB)]
    assert found == sorted(found)
    assert len({id.lower() for id in found}) == len(found) == total(JobTerms.of(spec))


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (
            sweep([{"start": 1, "end": 3}], "{1}"),
            "repeatTask.commandLine: at character 1 it uses {1}, but the number of parameterSets is 1",
        ),
        (sweep([{"start": 1, "end": 20_000_000}]), "at most 10000000"),
        (sweep([{"start": 0, "end": 9}]) | {"tasks": [{"id": "3", "commandLine": ""}]}, "'3' is already used"),
        ({"tasks": [{"id": "a", "commandLine": ""}, {"id": "A", "commandLine": ""}]}, "'A' is already used"),
        (
            sweep([{"start": 0, "end": 9}], mergeTask={"commandLine": ""})
            | {"tasks": [{"id": "Merge", "commandLine": ""}]},
            "'Merge' is already used",
        ),
    ],
)
def test_problems_name_field_and_remedy(spec: dict[str, Any], words: str) -> None:
    (problem,) = problems(JobTerms.of(spec))
    assert words in problem


async def listed(tasks: list[dict[str, Any]]) -> AsyncIterator[dict[str, Any]]:
    for task in tasks:
        yield task


def sifted(
    spec: dict[str, Any], there: list[dict[str, Any]], policies: Policies, *, ordered: bool = True, ends: bool = False
) -> tuple[list[str], list[str], FeedState]:
    """Ids that are added, ids that are deleted or to be replaced, and what is known in the end."""
    state, deleted = FeedState(), []

    async def delete(task: Mapping[str, Any]) -> bool:
        deleted.append(task["id"])
        return True

    async def scenario() -> list[str]:
        sieve = Sieve(state, policies, delete, ends=ends)
        if ordered:
            missing = sieve.missing(expand(spec, JOB), listed(there))
        else:
            missing = sieve.missing_from(expand(spec, JOB), {task["id"]: task for task in there})
        added = [task["id"] async for task in missing]
        await sieve.prune(expand(spec, JOB))
        deleted.extend(sieve.differing)
        return added

    return asyncio.run(scenario()), deleted, state


@given(st.integers(1, 40), st.booleans(), st.booleans(), st.data())
def test_a_stream_continues_with_exactly_what_is_not_there(
    size: int, prune: bool, ordered: bool, data: st.DataObject
) -> None:
    spec = sweep([{"start": 1, "end": size}])
    tasks = {task["id"]: task for task in expand(spec, JOB)}
    there = data.draw(st.sets(st.sampled_from(list(tasks))))
    foreign = data.draw(st.sets(st.sampled_from(["!", "00x", "zz"]), max_size=2))
    present = [tasks.get(id, {"id": id}) for id in sorted(there | foreign)]
    sent, deleted, state = sifted(spec, present, Policies(prune=prune), ordered=ordered)
    assert sent == sorted(tasks.keys() - there)
    assert deleted == (sorted(foreign) if prune else [])
    assert state.submitted == len(there)


def test_pruning_ends_with_the_spec_that_it_was_for_and_tells_what_has_changed() -> None:
    state, deleted = FeedState(), []

    async def delete(task: Mapping[str, Any]) -> bool:
        deleted.append(task["id"])
        state.stopped = task["id"] == "c"
        return bool(task["id"] != "b")

    async def scenario() -> tuple[int, int]:
        sieve = Sieve(state, Policies(prune=True), delete)
        assert [task async for task in sieve.missing(iter(()), listed([{"id": id} for id in "abcd"]))] == []
        return await sieve.prune(iter(()))

    assert asyncio.run(scenario()) == (2, 1)
    assert deleted == ["a", "b", "c"]


def test_tasks_of_batch_tasks_are_never_pruned() -> None:
    owned = {"id": "x", "environmentSettings": [{"name": "AZUREBATCH_IO_OWNER", "value": "c/n/BatchTask/x/u"}]}
    assert sifted({"tasks": []}, [owned, {"id": "y"}], Policies(prune=True))[1] == ["y"]
    manager = {"taskPrunePolicy": "Delete", "jobManagerTask": {"id": "boss", "commandLine": ""}}
    assert not Policies.of(JobTerms.of(manager)).prune


def test_a_task_of_a_batch_task_is_never_replaced() -> None:
    theirs = {
        "id": "a", "commandLine": "old",
        "environmentSettings": [{"name": "AZUREBATCH_IO_OWNER", "value": "c/n/BatchTask/a/u/a"}],
    }  # fmt: skip
    spec = {"tasks": [{"id": "a", "commandLine": "new"}]}
    sent, deleted, state = sifted(spec, [theirs], Policies(replace=True))
    assert (sent, deleted) == ([], [])
    assert (state.different, state.different_count) == (["a (a BatchTask owns it)"], 1), "the job says which task it is"


def test_a_list_in_another_order_is_noticed_before_anything_is_deleted() -> None:
    spec = sweep([{"start": 1, "end": 12}])
    there = [{"id": task["id"]} for task in expand(spec, JOB)]
    with pytest.raises(UnorderedError):
        sifted(spec, [there[1], there[0], *there[2:]], Policies(prune=True))


def test_a_spec_in_another_order_than_the_list_loses_none_of_its_tasks() -> None:
    """The join takes `a` for superfluous, since the spec comes to it late; the whole spec has the last word."""
    deleted: list[str] = []

    async def delete(task: Mapping[str, Any]) -> bool:
        deleted.append(task["id"])
        return True

    async def scenario() -> list[str]:
        wanted = [{"id": "b", "commandLine": "x"}, {"id": "a", "commandLine": "x"}]
        sieve = Sieve(FeedState(), Policies(prune=True), delete)
        there = listed([{"id": each, "commandLine": "x"} for each in ("a", "b", "c")])
        added = [task["id"] async for task in sieve.missing(iter(wanted), there)]
        await sieve.prune(iter(wanted))
        return added

    assert asyncio.run(scenario()) == ["a"], "it exists, which the service says"
    assert deleted == ["c"]


def test_a_task_that_differs_is_kept_and_named_or_replaced() -> None:
    constraints = {"maxWallClockTime": "PT60M"}
    spec = {
        "tasks": [
            {"id": "a", "commandLine": "new"},
            {"id": "b", "commandLine": "same", "constraints": constraints, "requiredSlots": 1},
        ]
    }
    there = [
        {"id": "a", "commandLine": "old", "requiredSlots": 1},
        {"id": "b", "commandLine": "same", "requiredSlots": 1, "constraints": {"maxWallClockTime": "PT1H", "retentionTime": "P7D"}},
    ]  # fmt: skip
    sent, deleted, state = sifted(spec, there, Policies())
    assert (sent, deleted, state.different, state.different_count) == ([], [], ["a (commandLine)"], 1)
    sent, differing, state = sifted(spec, there, Policies(replace=True))
    assert (sent, differing, state.different_count) == ([], ["a"], 0)
    sent, differing, state = sifted(spec, there, Policies(replace=True), ends=True)
    assert (sent, differing, state.different_count, state.kept) == ([], [], 1, True)


def test_ids_stay_as_long_as_they_were() -> None:
    spec = {"taskFactory": {"repeat": {"count": 3}, "idWidth": 3, "repeatTask": {"commandLine": ""}}}
    assert [task["id"] for task in expand(spec, JOB)] == ["000", "001", "002"]


def test_logs_are_uploaded_beside_other_files() -> None:
    other = {"filePattern": "out"}
    spec = {
        "tasks": [{"id": "a", "commandLine": "", "outputFiles": [other]}],
        "logs": {"upload": {"containerUrl": "https://x/c", "path": "kept/"}},
    }
    (task,) = expand(spec, JOB)
    first, logs = task["outputFiles"]
    assert first == other
    assert logs["destination"]["container"] == {"containerUrl": "https://x/c", "path": "kept/a"}
    assert logs["uploadOptions"] == {"uploadCondition": "taskcompletion"}


def test_dependents_of_failed_tasks_run_if_specified() -> None:
    block = {"exitCodes": [{"code": 3, "exitOptions": {"dependencyAction": "block"}}], "default": {"jobAction": "none"}}
    spec = {
        "tasks": [
            {"id": "a", "commandLine": "true"},
            {"id": "b", "commandLine": "true", "exitConditions": block},
            {"id": "c", "commandLine": "true", "dependsOn": {"taskIds": ["a"]}},
        ]
    }
    a, b, c = expand(spec | {"onDependencyFailure": "Ignore"}, "job")
    assert a["exitConditions"] == c["exitConditions"] == {"default": {"dependencyAction": "satisfy"}}
    assert b["exitConditions"] == block | {"default": {"jobAction": "none", "dependencyAction": "satisfy"}}
    plain = list(expand(spec | {"onDependencyFailure": "Fail"}, "job"))
    assert ["exitConditions" in each for each in plain] == [False, True, False]
    # A job without dependencies needs nothing of the kind.
    (alone,) = expand({"tasks": spec["tasks"][:1], "onDependencyFailure": "Ignore"}, "job")
    assert "exitConditions" not in alone


def test_a_million_tasks_are_a_stream() -> None:
    spec = sweep([{"start": 1, "end": 1000}, {"start": 1, "end": 1000}], "{0} {1}")
    assert total(JobTerms.of(spec)) == 1_000_000
    assert [task["id"] for task in itertools.islice(expand(spec, JOB), 2)] == ["000000", "000001"]


def depending(**tasks: dict[str, Any]) -> dict[str, Any]:
    """A spec with tasks by id, each with its dependsOn."""
    return {"tasks": [{"id": id, "commandLine": "", "dependsOn": depends} for id, depends in tasks.items()]}


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (depending(a={"taskIds": ["A"]}), "task 'a' depends on itself"),
        (depending(**{"5": {"taskIdRanges": [{"start": 1, "end": 9}]}}), "task '5' depends on itself"),
        (depending(a={"taskIds": ["b"]}, b={"taskIds": ["c"]}, c={"taskIds": ["a"]}), "a → b → c → a form a dependency cycle"),
        (
            depending(a={"taskIds": ["merge"]})
            | {"taskFactory": {"repeat": {"count": 2}, "repeatTask": {"commandLine": ""}, "mergeTask": {"commandLine": ""}}},
            "tasks a → merge → a form a dependency cycle",
        ),
        (depending(a={"taskIds": ["x"]}), "task 'a' depends on 'x', which is not a task of this job"),
        (depending(a={}, b={"taskIds": ["a"]}) | {"usesTaskDependencies": False}, "spec.usesTaskDependencies is false"),
        (
            {"tasks": [{"id": "a", "commandLine": "", "exitConditions": {"default": {"jobAction": "none"}}}]},
            "spec.tasks: task 'a' has exitConditions with a jobAction, which the job does not allow",
        ),
        (
            {"taskFactory": {"repeat": {"count": 1}, "repeatTask": {
                "commandLine": "", "exitConditions": {"exitCodes": [{"code": 1, "exitOptions": {"jobAction": "terminate"}}]},
            }}},
            "spec.taskFactory.repeatTask has exitConditions",
        ),
    ],
)  # fmt: skip
def test_tasks_that_could_never_run_are_refused_before_any_call(spec: dict[str, Any], words: str) -> None:
    (problem,) = problems(JobTerms.of(spec))
    assert words in problem


@pytest.mark.parametrize(
    "spec",
    [
        depending(a={"taskIds": ["1", "b"]}, b={"taskIdRanges": [{"start": 0, "end": 99}]})
        | {"taskFactory": {"repeat": {"count": 3}, "repeatTask": {"commandLine": ""}}},
        depending(a={"taskIds": ["later"]}) | {"onAllTasksComplete": "noaction"},
        depending(a={"taskIds": ["later"]}) | {"jobManagerTask": {"id": "m", "commandLine": ""}},
        {"tasks": [{"id": "a", "commandLine": "", "exitConditions": {"default": {"dependencyAction": "satisfy"}}}]},
        {"tasks": [{"id": "a", "commandLine": "", "exitConditions": {"default": {"jobAction": "none"}}}]}
        | {"onTaskFailure": "PerformExitOptionsJobAction"},
    ],
)
def test_tasks_that_can_run_are_not_refused(spec: dict[str, Any]) -> None:
    assert problems(JobTerms.of(spec)) == []


def test_a_long_chain_and_many_ranges_are_looked_through() -> None:
    chain = {f"{n:05}": {"taskIds": [f"{n - 1:05}"]} if n else {} for n in range(20_000)}
    assert problems(JobTerms.of(depending(**chain))) == []
    wide = {f"{n:04}": {"taskIdRanges": [{"start": 0, "end": n - 1}]} for n in range(3000)}
    assert problems(JobTerms.of(depending(**wide))) == []


@given(st.text(alphabet="{}$0a: ", max_size=12))
def test_an_escaped_text_is_filled_in_as_it_is(text: str) -> None:
    template = placeholders.escaped(text)
    assert placeholders.fill(template, ["value"], ["a"]) == text


TOKEN = {"commandLine": "x", "authenticationTokenSettings": {"access": ["job"]}}


@pytest.mark.parametrize(
    ("spec", "adds"),
    [
        ({}, False),
        ({"tasks": [{"id": "a", "commandLine": "x"}]}, False),
        ({"tasks": [{"id": "a", **TOKEN, "authenticationTokenSettings": {}}]}, False),
        ({"taskFactory": {"repeat": {"count": 2}, "repeatTask": {"commandLine": "x"}}}, False),
        ({"jobManagerTask": {"id": "m", "commandLine": "x"}}, True),
        ({"tasks": [{"id": "a", "commandLine": "x"}, {"id": "b", **TOKEN}]}, True),
        ({"taskFactory": {"repeat": {"count": 2}, "repeatTask": TOKEN}}, True),
        ({"taskFactory": {"repeat": {"count": 2}, "repeatTask": {"commandLine": "x"}, "mergeTask": TOKEN}}, True),
    ],
)
def test_a_task_with_a_token_for_its_job_may_add_others(spec: dict[str, Any], adds: bool) -> None:
    assert adds_tasks(JobTerms.of(spec)) is adds
