"""From a BatchJob's spec to the bodies of its tasks: a stream, in the order of ids, the same each time it is made.

Ids of a factory are the running number, padded with zeros to the width of the largest one, so that they sort as numbers and that
ranges of dependencies fit (batch-semantics §4.4: leading zeros are ignored there). The merge task is called `merge`.
Placeholders are those of the retired CLI extension: `{0}` is the value of the first parameter set, `{0:3}` pads a number with zeros
to three digits, `{{` and `}}` are braces; anything else in braces, such as `${HOME}`, stays as it is.
"""

from __future__ import annotations

import heapq
import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from azure_batch_operator.api.factory import MAX_TASKS, ParameterSet
from azure_batch_operator.api.rest import Task, TaskTemplate

MERGE_ID = "merge"
_PLACEHOLDER = re.compile(r"\{\{|\}\}|\{(\d+)(?::(\d+))?\}")


def total(spec: Mapping[str, Any]) -> int:
    """How many tasks the spec stands for."""
    return len(spec.get("tasks") or ()) + _factory_size(spec) + (1 if _merge_template(spec) else 0)


def needs_dependencies(spec: Mapping[str, Any]) -> bool:
    """Whether a task of the spec depends on others, so that the job must have usesTaskDependencies."""
    return bool(_merge_template(spec)) or any(task.get("dependsOn") for task in spec.get("tasks") or ())


def problems(spec: Mapping[str, Any]) -> list[str]:
    """What is wrong with the tasks, each with its field and remedy; empty if they can be sent."""
    found = []
    if total(spec) > MAX_TASKS:
        found.append(f"spec stands for {total(spec)} tasks, the most is {MAX_TASKS}: split it into several BatchJobs")
    if factory := spec.get("taskFactory"):
        dimensions = len(factory["parametricSweep"]["parameterSets"])
        used = {
            int(match[1])
            for text in _strings(factory["repeatTask"])
            for match in _PLACEHOLDER.finditer(text)
            if match[1]
        }
        found += [
            f"spec.taskFactory.repeatTask uses {{{index}}}, but there are {dimensions} parameterSets, numbered from 0"
            for index in sorted(used)
            if index >= dimensions
        ]
    size, generated = _factory_size(spec), _width(spec)
    seen: set[str] = set()
    for task in spec.get("tasks") or ():
        id = task["id"].lower()
        by_factory = len(id) == generated and id.isdigit() and int(id) < size
        if id in seen or by_factory or (id == MERGE_ID and _merge_template(spec)):
            whose = "another task" if id in seen else "a task of the taskFactory"
            found.append(
                f"spec.tasks: id {task['id']!r} is taken by {whose} (ids are not case-sensitive): choose another"
            )
        seen.add(id)
    return found


def expand(spec: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Bodies of all tasks in the order of their ids."""
    inline = sorted((Task.rest_body(task) for task in spec.get("tasks") or ()), key=_id)
    merge = [_merge_task(spec)] if _merge_template(spec) else []
    return heapq.merge(inline, _sweep(spec), merge, key=_id)


def _id(task: Mapping[str, Any]) -> str:
    return str(task["id"])


def _sets(spec: Mapping[str, Any]) -> list[ParameterSet]:
    factory = spec.get("taskFactory")
    if not factory:
        return []
    return [ParameterSet.model_validate(each) for each in factory["parametricSweep"]["parameterSets"]]


def _factory_size(spec: Mapping[str, Any]) -> int:
    sets = _sets(spec)
    return math.prod(each.size() for each in sets) if sets else 0


def _width(spec: Mapping[str, Any]) -> int:
    return len(str(max(_factory_size(spec) - 1, 0)))


def _merge_template(spec: Mapping[str, Any]) -> Mapping[str, Any] | None:
    return (spec.get("taskFactory") or {}).get("mergeTask")


def _sweep(spec: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    sets = _sets(spec)
    if not sets:
        return
    template = TaskTemplate.rest_body(spec["taskFactory"]["repeatTask"])
    width = _width(spec)
    values = [each.numbers() if each.values is None else each.values for each in sets]
    for number, combination in enumerate(itertools.product(*values)):
        yield {"id": f"{number:0{width}}"} | _filled(template, combination)


def _merge_task(spec: Mapping[str, Any]) -> dict[str, Any]:
    template = TaskTemplate.rest_body(_merge_template(spec) or {})
    inline = sorted(task["id"] for task in spec.get("tasks") or ())
    size = _factory_size(spec)
    depends: dict[str, Any] = {"taskIdRanges": [{"start": 0, "end": size - 1}]}
    if inline:
        depends["taskIds"] = inline
    return {"id": MERGE_ID, "dependsOn": depends} | template


def _filled(template: Any, values: Sequence[object]) -> Any:
    """The template with its placeholders replaced, in every string of it."""
    if isinstance(template, str):
        return _PLACEHOLDER.sub(lambda match: _value(match, values), template)
    if isinstance(template, Mapping):
        return {name: _filled(value, values) for name, value in template.items()}
    if isinstance(template, list):
        return [_filled(value, values) for value in template]
    return template


def _value(match: re.Match[str], values: Sequence[object]) -> str:
    if match[1] is None:
        return match[0][0]
    text = str(values[int(match[1])])
    return text.zfill(int(match[2])) if match[2] and text.lstrip("-").isdigit() else text


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _strings(each)
    elif isinstance(value, list):
        for each in value:
            yield from _strings(each)
