"""Tasks from ConfigMaps: read, checked as the API server would have, and expanded like those that are written inline."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from azure_batch_operator.reconcile.job import expand
from azure_batch_operator.reconcile.job import task_sources as sources
from azure_batch_operator.reconcile.job.spec import JobTerms
from azure_batch_operator.reconcile.value_references import Reference, ResolutionError, Source

REFERENCE = {"name": "more", "key": "tasks"}
SOURCE = Source("ConfigMap", "more", "tasks")


def tasks_from(text: str, **more: Any) -> list[dict[str, Any]]:
    """Bodies of the tasks that a ConfigMap key gives."""
    spec = {"tasksFrom": [{"configMapKeyRef": REFERENCE} | more]}
    return list(expand.expand(spec | sources.inlined(spec, {SOURCE: text}), "job"))


def items_from(text: str, command: str, **more: Any) -> list[dict[str, Any]]:
    """Bodies of the tasks that a factory makes of the items in a ConfigMap key."""
    per_item = {"itemsFrom": {"configMapKeyRef": REFERENCE} | more}
    spec = {"taskFactory": {"taskPerItem": per_item, "repeatTask": {"commandLine": command}}}
    return list(expand.expand(spec | sources.inlined(spec, {SOURCE: text}), "job"))


BOMB = "- &l0 [x]\n" + "".join(f"- &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]\n" for n in range(1, 20))
LISTED = [{"id": "b", "commandLine": "two"}, {"id": "a", "commandLine": "one", "requiredSlots": 2}]


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(LISTED),
        json.dumps({"value": LISTED}),
        "- {id: b, commandLine: two, displayName: null}\n- id: a\n  commandLine: one\n  requiredSlots: 2\n",
    ],
)
def test_json_and_yaml_lists_in_the_order_of_ids(text: str) -> None:
    assert tasks_from(text) == [LISTED[1], LISTED[0]]


def test_aliases_of_yaml_are_welcome() -> None:
    text = (
        "- {id: a, commandLine: x, environmentSettings: &env [{name: A, value: '1'}]}\n"
        "- {id: b, commandLine: y, environmentSettings: *env}"
    )
    assert [task["environmentSettings"] for task in tasks_from(text)] == [[{"name": "A", "value": "1"}]] * 2


def test_csv_with_a_template() -> None:
    template = {
        "id": "frame-{frame:4}",
        "commandLine": "render {frame} {1} ${HOME} {unknown} {{x}}",
        "environmentSettings": [{"name": "SCENE", "value": "{scene}"}],
    }
    assert tasks_from('frame,scene\n7,"a, b"\n12,c\n', template=template) == [
        {
            "id": "frame-0007", "commandLine": "render 7 a, b ${HOME} {unknown} {x}",
            "environmentSettings": [{"name": "SCENE", "value": "a, b"}],
        },
        {
            "id": "frame-0012", "commandLine": "render 12 c ${HOME} {unknown} {x}",
            "environmentSettings": [{"name": "SCENE", "value": "c"}],
        },
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "more", "words"),
    [
        ("a: [", {}, "neither JSON nor YAML near line"),
        ("a: 1", {}, "must be a list of tasks"),
        ("[" * 100_000, {}, "nested too deeply"),
        ("- " * 400_000, {}, "nested too deeply"),
        (BOMB, {}, "too large with its YAML aliases written out"),
        ("- &a [*a]", {}, "too large with its YAML aliases written out"),
        ("[1]", {}, "task 1 is not an object"),
        ('[{"id": "a"}]', {}, "task 1: commandLine: Field required"),
        ('[{"id": "a b", "commandLine": ""}]', {}, "task 1: id: String should match"),
        ('[{"id": "a", "commandLine": "", "comandLine": ""}]', {}, "task 1: comandLine: unknown field"),
        (
            '[{"id": "a", "commandLine": "", "userIdentity": {"userName": "u"}}]', {},
            "task 1: userIdentity: userName: there is no userName: use username",
        ),
        (
            '[{"id": "a", "commandLine": "", "containerSettings": {"imageName": "i", "registry": {"password": "hush"}}}]',
            {}, "registry: password: write passwordSecretRef",
        ),
        ("n\n1,2\n", {"template": {"id": "{n}", "commandLine": ""}}, "row 2 has 2 fields, but there are 1 columns"),
    ],
)  # fmt: skip
def test_an_invalid_task_is_refused_with_its_position(text: str, more: dict[str, Any], words: str) -> None:
    with pytest.raises(ResolutionError) as caught:
        tasks_from(text, **more)
    assert words in str(caught.value)
    assert "key 'tasks' of ConfigMap 'more'" in str(caught.value)
    assert "hush" not in str(caught.value)


def test_lines_as_items() -> None:
    made = items_from("one\n\n  two words \n", "echo {0}")
    assert [(task["id"], task["commandLine"]) for task in made] == [("0", "echo one"), ("1", "echo two words")]


def test_rows_as_items() -> None:
    made = items_from("w,h\n1,2\n30,40\n", "size {w}x{1:3}", format="csv")
    assert [(task["id"], task["commandLine"]) for task in made] == [("0", "size 1x002"), ("1", "size 30x040")]


@pytest.mark.parametrize("text", ["", "\n \n", "[]", "# nothing today\n", '{"value": []}'])
def test_no_task_is_no_error(text: str) -> None:
    assert tasks_from(text) == []


@pytest.mark.parametrize(
    ("text", "more"), [("", {}), ("\n \n", {}), ("", {"format": "csv"}), ("w,h\n", {"format": "csv"})]
)
def test_no_item_is_no_error_and_nothing_is_merged(text: str, more: dict[str, str]) -> None:
    assert items_from(text, "x {1}", **more) == []
    per_item = {"itemsFrom": {"configMapKeyRef": REFERENCE} | more}
    spec = {
        "taskFactory": {"taskPerItem": per_item, "repeatTask": {"commandLine": "{1}"}, "mergeTask": {"commandLine": ""}}
    }
    whole = spec | sources.inlined(spec, {SOURCE: text})
    assert (
        expand.total(JobTerms.of(whole)),
        expand.problems(JobTerms.of(whole)),
        expand.nothing_to_do(JobTerms.of(whole)),
    ) == (0, [], True)
    assert not expand.nothing_to_do(JobTerms.of(spec)), "before the ConfigMap was read nothing is known"


class Walked(list[Any]):
    """A list that counts how often somebody walks over it."""

    times = 0

    def __iter__(self) -> Iterator[Any]:
        Walked.times += 1
        return super().__iter__()


@pytest.mark.parametrize("format_", ["lines", "csv"])
def test_nobody_walks_over_the_rows_of_a_config_map_to_decide(format_: str) -> None:
    per_item = {"itemsFrom": {"configMapKeyRef": REFERENCE, "format": format_}}
    spec = {"taskFactory": {"taskPerItem": per_item, "repeatTask": {"commandLine": "x {0}"}}}
    inlined = spec | sources.inlined(spec, {SOURCE: "height\n1\n22\n"})
    taken = inlined["taskFactory"]["taskPerItem"]
    taken["rows"] = Walked(taken["rows"])
    Walked.times = 0
    assert (expand.total(JobTerms.of(inlined)), expand.problems(JobTerms.of(inlined))) == (
        3 if format_ == "lines" else 2,
        [],
    )
    assert Walked.times == 0
    assert taken["longest"] == (6 if format_ == "lines" else 2)


def test_a_table_without_rows_makes_no_task() -> None:
    assert tasks_from("n\n", template={"id": "{n}", "commandLine": ""}) == []


def test_which_texts_are_needed() -> None:
    spec = {
        "tasksFrom": [{"configMapKeyRef": REFERENCE}],
        "taskFactory": {"taskPerItem": {"itemsFrom": {"configMapKeyRef": {"name": "i", "key": "k"}}}},
    }
    assert sources.needed(spec) == [
        Reference("spec.tasksFrom[0].configMapKeyRef", SOURCE),
        Reference("spec.taskFactory.taskPerItem.itemsFrom.configMapKeyRef", Source("ConfigMap", "i", "k")),
    ]
    assert sources.needed({"tasks": []}) == []


def test_all_kinds_of_tasks_stand_side_by_side() -> None:
    spec = {
        "tasks": [{"id": "z", "commandLine": "z"}],
        "tasksFrom": [{"configMapKeyRef": REFERENCE}],
        "taskFactory": {
            "repeat": {"count": 11}, "repeatTask": {"commandLine": "run {0:4}"}, "mergeTask": {"commandLine": "m"},
        },
    }  # fmt: skip
    whole = spec | sources.inlined(spec, {SOURCE: json.dumps(LISTED)})
    made = list(expand.expand(whole, "job"))
    assert expand.problems(JobTerms.of(whole)) == []
    assert [task["id"] for task in made] == [*(f"{n:02}" for n in range(11)), "a", "b", "merge", "z"]
    assert made[10]["commandLine"] == "run 0010"
    merge = next(task for task in made if task["id"] == "merge")
    assert merge["dependsOn"] == {"taskIdRanges": [{"start": 0, "end": 10}], "taskIds": ["a", "b", "z"]}
    assert expand.total(JobTerms.of(whole)) == len(made) == 15


def test_a_settled_job_keeps_its_number_of_tasks() -> None:
    spec = {"tasks": [{"id": "a", "commandLine": ""}], "tasksFrom": [{"configMapKeyRef": REFERENCE}]}
    assert expand.total(JobTerms.of(spec | sources.settled(spec, 42))) == 42


@pytest.mark.parametrize(
    ("task", "wrong"),
    [
        ({"id": "a", "dependsOn": {"taskIds": ["a"]}}, "task 'a' depends on itself"),
        ({"id": "a", "dependsOn": {"taskIds": ["x"]}}, "task 'a' depends on 'x', which is not a task of this job"),
        ({"id": "a", "dependsOn": {"taskIds": ["b"]}}, "tasks a → b → a form a dependency cycle"),
        ({"id": "OWN"}, "ID 'OWN' is already used by another task"),
        (
            {"id": "a", "exitConditions": {"default": {"jobAction": "terminate"}}},
            "task 'a' has exitConditions with a jobAction",
        ),
    ],
)
def test_an_invalid_task_is_reported_with_its_source(task: dict[str, Any], wrong: str) -> None:
    other = Source("ConfigMap", "other", "tasks")
    keys = [{"configMapKeyRef": {"name": each, "key": "tasks"}} for each in ("other", "more")]
    spec: dict[str, Any] = {"tasks": [{"id": "own", "commandLine": "true"}], "tasksFrom": keys}
    last = [task | {"commandLine": "true"}, {"id": "b", "commandLine": "true", "dependsOn": {"taskIds": [task["id"]]}}]
    if task["id"] == "OWN":
        del last[1]
    spec |= sources.inlined(spec, {other: json.dumps([{"id": "o", "commandLine": "true"}]), SOURCE: json.dumps(last)})
    [found] = expand.problems(JobTerms.of(spec))
    assert found.startswith(f"spec.tasksFrom[1]: {wrong}")
