"""Expands the spec of a BatchJob to the bodies of its tasks: a stream in the order of IDs, the same each time.

Ids of a factory are the running number, padded with zeros to the width of the largest one, so that they sort as numbers and that
ranges of dependencies fit (leading zeros are ignored there). The merge task is called `merge`. Tasks of
ConfigMaps have become `tasks` and rows before this (`reconcile.sources`).
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from msgspec import structs

from azure_batch_operator.api.factory import MAX_TASKS, MergeTask, ParameterSet, RepeatTask
from azure_batch_operator.api.resource import Resource
from azure_batch_operator.api.task_body import Task
from azure_batch_operator.batch.task_wire import TaskNeeds
from azure_batch_operator.batch.wire import Body, Wire, build, convert
from azure_batch_operator.reconcile.job import dependencies, placeholders
from azure_batch_operator.reconcile.job.dependencies import MADE, MERGE_ID, Lists, resolved
from azure_batch_operator.reconcile.job.placeholders import fill
from azure_batch_operator.reconcile.job.spec import (
    NO_DEPENDS,
    Depends,
    JobTerms,
    TaskFactory,
    TaskLinks,
    TaskPerItem,
    waits_for_others,
)
from azure_batch_operator.reconcile.job.streamed import Streamed
from azure_batch_operator.reconcile.job.task_sources import place

_WIDEST_ID = 64
_DEPENDENCY_TEXT = 64_000
"""Most characters of all ids in a dependsOn (docs/azure-batch.md#limits)."""
_ALL_DEPENDENCY_TEXT = 64 << 20
"""Most characters that `allOf` may add to all tasks of a factory together: each of them is sent, and read again."""
_MAX_FOLLOWED = 50_000
"""Tasks of a factory that may each depend on something else and are still looked through, which happens in the event loop."""
_MAX_NAMED = 250_000
"""Ids that these tasks may name together, for the same reason: a short manifest can ask for 1,000 of them in each of 50,000 tasks
(test_dependencies.py, `test_more_ids_than_are_followed_are_not_even_made`)."""


@dataclass(frozen=True)
class _Series:
    """The values that a factory fills into its template, one sequence of them per task.

    Attributes:
        size: how many tasks.
        width: how many values each has.
        what: what the values are, for messages.
        values: the sequences, made one by one.
        names: names of the values, if they have any.
        longest: characters of the longest value.
    """

    size: int
    width: int
    what: str
    values: Iterable[Sequence[object]]
    names: Sequence[str] = ()
    longest: int = 20


def total(spec: JobTerms) -> int:
    """How many tasks the spec stands for."""
    return len(spec.listed) + _factory_size(spec) + (1 if _merge_template(spec) else 0)


def unread(spec: JobTerms) -> bool:
    """Whether tasks are in ConfigMaps that could not be read, so that `total` does not count them."""
    per_item = spec.factory.task_per_item
    return bool(spec.tasks_from or (per_item and per_item.items_from))


def nothing_to_do(spec: JobTerms) -> bool:
    """Whether the spec says where tasks come from, and none do: an empty list, no line, no row below the names of the columns.

    A job that says nothing of tasks waits for those of others, and so does one with a job manager task or with noaction.
    """
    sources = (spec.tasks, spec.tasks_from, spec.task_factory)
    given = any(source is not None for source in sources) and not unread(spec)
    waits = bool(spec.job_manager_task) or spec.stays_open
    return given and not waits and not total(spec)


def needs_dependencies(spec: JobTerms) -> bool:
    """Whether a task of the spec depends on others, so that the job must have usesTaskDependencies."""
    made = bool(_repeat_depends(spec)) and _factory_size(spec) > 0
    return made or bool(_merge_template(spec)) or bool(_depending(spec))


def adds_tasks(spec: JobTerms) -> bool:
    """Whether a task of the spec may add others: it is given a token for the job."""
    factory, tasks = spec.factory, spec.listed
    if spec.job_manager_task is not None or any(map(is_let_in, _templates(factory).values())):
        return True
    return tasks.let_in if isinstance(tasks, Streamed) else any(map(is_let_in, tasks))


def _templates(factory: TaskFactory) -> dict[str, Body]:
    """The templates of a factory, by their fields."""
    templates = {"repeatTask": factory.repeat_task, "mergeTask": factory.merge_task}
    return {name: template for name, template in templates.items() if template is not None}


def is_let_in(task: Body) -> bool:
    """Whether a task is given a token for its job."""
    return "authenticationTokenSettings" in task and convert(TaskNeeds, task).is_let_in


def independent(spec: JobTerms) -> int:
    """How many tasks of the spec depend on nothing, so that they can run from the beginning."""
    listed = len(spec.listed) - _depending(spec)
    return listed + (0 if _repeat_depends(spec) else _factory_size(spec))


def _depending(spec: JobTerms) -> int:
    """How many of the listed tasks depend on others."""
    tasks = spec.listed
    return tasks.depending if isinstance(tasks, Streamed) else sum(map(waits_for_others, tasks))


def lists(spec: JobTerms) -> Lists:
    """What `dependsOn.allOf` can name in a spec; streamed tasks have none."""
    tasks = spec.listed
    listed = () if isinstance(tasks, Streamed) else sorted(map(_id, tasks))
    return Lists(listed, _factory_size(spec), id_width(spec))


def merge_depends(spec: JobTerms, all_lists: Lists) -> Depends | None:
    """What the merge task depends on: all other tasks, unless it says something else; None if there is no merge task."""
    template = _merge_template(spec)
    return None if template is None else resolved(TaskLinks.of(template).depends_on or _ALL_OTHERS, all_lists)


_ALL_OTHERS = Depends(all_of=("tasks", "taskFactory"))


def merges_all(spec: JobTerms) -> bool:
    """Whether there is a merge task that depends on all other tasks."""
    template = _merge_template(spec)
    return template is not None and not TaskLinks.of(template).depends_on


def made_depends(spec: JobTerms, all_lists: Lists) -> dict[str, Depends] | None:
    """What tasks of the factory depend on, by their ids, or once for all under `MADE`; None if they are too many to look at."""
    depends, series = _repeat_depends(spec), _series(spec)
    if not depends or series is None or not series.size:
        return {}
    if not _is_template(depends):
        return {MADE: resolved(depends, all_lists)}
    named = len(depends.ids)
    if "tasks" in depends.lists:
        named += len(all_lists.listed)
    if series.size > _MAX_FOLLOWED or series.size * named > _MAX_NAMED:
        return None
    return {
        f"{number:0{all_lists.width}}": resolved(_filled(depends, values, series.names), all_lists)
        for number, values in enumerate(series.values)
    }


def _repeat_depends(spec: JobTerms) -> Depends:
    return TaskLinks.of(spec.factory.repeat_task or {}).depends_on


def _is_template(depends: Depends) -> bool:
    """Whether tasks of the factory wait for different tasks."""
    return placeholders.count([*depends.ids]) > 0


def _filled(depends: Depends, values: Sequence[object], names: Sequence[str]) -> Depends:
    """Without the ids that a value has left empty, as that of the first row of a chain."""
    ids = tuple(filled for id in depends.ids if (filled := fill(id, values, names)))
    return structs.replace(depends, task_ids=ids or None)


def regardless(task: Body) -> dict[str, Any]:
    """The task with `satisfy` for ends of which its exitConditions say nothing, so its dependents run."""
    conditions: Body = task.get("exitConditions") or {}
    default = {"dependencyAction": "satisfy", **(conditions.get("default") or {})}
    return {**task, "exitConditions": {**conditions, "default": default}}


def problems(spec: JobTerms) -> list[str]:
    """What is wrong with the tasks, each with its field and remedy; empty if they can be sent."""
    found: list[str] = []
    if total(spec) > MAX_TASKS:
        found.append(
            f"spec makes {total(spec)} tasks, but at most {MAX_TASKS} are allowed: split it into several BatchJobs"
        )
    if spec.uses_task_dependencies is False and needs_dependencies(spec):
        found.append(
            "spec.usesTaskDependencies is false, but tasks depend on others: remove it, or remove dependsOn and mergeTask"
        )
    if isinstance(spec.tasks, Streamed):
        # Their ids and dependencies are those of a job that has run.
        return [*found, *_job_actions(spec)]
    series, unclear = _series(spec), []
    if series is not None and series.size:
        template, where = spec.factory.repeat_task, "spec.taskFactory.repeatTask"
        unclear = placeholders.problems(template, series.width, series.what, series.longest, where)
    all_lists = lists(spec)
    taken = list(_taken_ids(spec, all_lists))
    found += [*unclear, *taken]
    if not taken:
        made = {} if unclear else made_depends(spec, all_lists) or {}
        found += dependencies.problems(spec, all_lists, made, merge_depends(spec, all_lists))
    found += _job_actions(spec)
    found += _too_long(spec, all_lists)
    return found


def _too_long(spec: JobTerms, all_lists: Lists) -> Iterator[str]:
    """Lists of ids that are too long for Azure Batch, or for all tasks of a factory together."""
    if _text(merge_depends(spec, all_lists) or NO_DEPENDS) > _DEPENDENCY_TEXT:
        yield (
            "spec.taskFactory.mergeTask: the IDs of the other tasks are too long together "
            f"(more than {_DEPENDENCY_TEXT} characters): use shorter IDs, or tasks of the factory"
        )
    depends = _repeat_depends(spec)
    if not depends.lists:
        return
    where, text = "spec.taskFactory.repeatTask.dependsOn.allOf", _text(resolved(depends, all_lists))
    one = "let one task depend on all others, and name only that one in taskIds"
    if text > _DEPENDENCY_TEXT:
        yield f"{where}: the IDs are too long together (more than {_DEPENDENCY_TEXT} characters): {one}"
    elif text * all_lists.made > _ALL_DEPENDENCY_TEXT:
        yield f"{where}: {text} characters of IDs in each of {all_lists.made} tasks are too many: {one}"


def _text(depends: Depends) -> int:
    return sum(map(len, depends.ids))


def _job_actions(spec: JobTerms) -> Iterator[str]:
    """Exit conditions that act on the job, which the service refuses unless the job allows it."""
    if spec.lets_tasks_act:
        return
    templates = {f"spec.taskFactory.{name}": template for name, template in _templates(spec.factory).items()}
    tasks = spec.listed
    listed = {
        f"{place(spec, number)}: task {task['id']!r}": task
        for number, task in enumerate(() if isinstance(tasks, Streamed) else tasks)
        if "exitConditions" in task
    }
    acting = [where for where, task in {**templates, **listed}.items() if acts_on_job(task)]
    number = len(acting)
    if isinstance(tasks, Streamed):
        acting, number = [f"task {id!r}" for id in tasks.acting[0]], tasks.acting[1]
    if acting:
        more = f" and {number - 1} more" if number > 1 else ""
        yield (
            f"{acting[0]}{more} has exitConditions with a jobAction, which the job does not allow: set spec.onTaskFailure to "
            "performexitoptionsjobaction, or remove jobAction"
        )


def acts_on_job(task: Body) -> bool:
    """Whether exit conditions of a task have a jobAction anywhere."""
    return TaskLinks.of(task).exit_conditions.acts_on_job


def _taken_ids(spec: JobTerms, all_lists: Lists) -> Iterator[str]:
    seen: set[str] = set()
    for number, task in enumerate(spec.listed):
        id = _id(task).lower()
        by_factory = all_lists.makes(id)
        if id in seen or by_factory or (id == MERGE_ID and _merge_template(spec)):
            whose = "another task" if id in seen else "a task of the taskFactory"
            where = place(spec, number)
            yield f"{where}: ID {task['id']!r} is already used by {whose} (IDs are not case-sensitive): choose another"
        seen.add(id)


def expand(whole: Body, job_id: str, only: Container[str] | None = None) -> Iterator[dict[str, Any]]:
    """Bodies of all tasks in the order of their ids.

    Args:
        whole: a spec as it is written, or with what ConfigMaps and Secrets hold.
        job_id: id of the job, below which its logs are kept.
        only: lower-case ids of the tasks that are wanted, if not all are; the others are not even made.
    """
    spec = JobTerms.of(whole)
    all_lists, given = lists(spec), spec.listed
    listed = (_listed(task, all_lists) for task in given if only is None or _id(task).lower() in only)
    inline = listed if isinstance(given, Streamed) else sorted(listed, key=_id)
    merged = _merge_template(spec) and (only is None or MERGE_ID in only)
    merge = [_merge_task(spec, all_lists)] if merged else []
    tasks: Iterator[dict[str, Any]] = heapq.merge(inline, _made(spec, all_lists, only), merge, key=_id)
    if spec.goes_on and (needs_dependencies(spec) or spec.uses_task_dependencies):
        tasks = map(regardless, tasks)
    upload = spec.logs.upload
    return (with_logs(task, with_path(upload, job_id)) for task in tasks) if upload else tasks


class _Upload(Wire, frozen=True, gc=False):
    """`spec.logs.upload` with values instead of references."""

    container_url: str | None = None
    path: str = ""
    identity_reference: Body | None = None
    upload_condition: str = "taskcompletion"


def with_path(upload: Body, job_id: str) -> Body:
    """`spec.logs.upload` with its default path, the ID of the job."""
    return {**upload, "path": build(_Upload, upload).path or job_id}


def with_logs(task: Body, upload: Body) -> dict[str, Any]:
    """The task with an upload of stdout.txt and stderr.txt, which lie beside its working directory (docs/azure-batch.md#files).

    Args:
        upload: `spec.logs.upload` of its job, with `path` and with values instead of references.
    """
    given = build(_Upload, upload)
    container: dict[str, object] = {
        "containerUrl": given.container_url,
        "path": f"{given.path.strip('/')}/{task['id']}",
    }
    if given.identity_reference:
        container["identityReference"] = given.identity_reference
    logs = {
        "filePattern": "../std*.txt",
        "destination": {"container": container},
        "uploadOptions": {"uploadCondition": given.upload_condition},
    }
    return {**task, "outputFiles": [*(task.get("outputFiles") or ()), logs]}


def _id(task: Body) -> str:
    return str(task["id"])


def _series(spec: JobTerms) -> _Series | None:
    factory = spec.factory
    if (sweep := factory.parametric_sweep) is not None and sweep.parameter_sets is not None:
        sets = [ParameterSet.model_validate(each) for each in sweep.parameter_sets]
        values = [each.numbers() if each.values is None else each.values for each in sets]
        size = math.prod(each.size() for each in sets)
        return _Series(
            size, len(sets), "parameterSets", _combinations(values), longest=_longest(each.values for each in sets)
        )
    if (per_item := factory.task_per_item) is not None and per_item != _NO_ITEMS:
        rows = per_item.rows
        if rows is None:
            items = per_item.items or ()
            return _Series(len(items), 1, "values per item", ((item,) for item in items), longest=_longest([items]))
        columns, longest = per_item.columns, per_item.longest
        return _Series(
            len(rows), len(columns) or 1, "columns", rows, columns, _longest(rows) if longest is None else longest
        )
    if (repeat := factory.repeat) is not None:
        return _Series(repeat.count, 1, "values", ((number,) for number in range(repeat.count)))
    return None


_NO_ITEMS = TaskPerItem()


def _longest(rows: Iterable[Sequence[object] | None]) -> int:
    """Characters of the longest value; what has no list of values is a number."""
    return max((len(str(value)) for row in rows for value in row or ()), default=20)


def _combinations(dimensions: Sequence[Sequence[object]]) -> Iterator[tuple[object, ...]]:
    """The cross product, the last dimension fastest; unlike itertools.product it never holds a whole dimension in memory."""
    if not dimensions:
        yield ()
        return
    for value in dimensions[0]:
        for rest in _combinations(dimensions[1:]):
            yield (value, *rest)


def _factory_size(spec: JobTerms) -> int:
    series = _series(spec)
    return series.size if series else 0


def id_width(spec: JobTerms) -> int:
    """Digits of the ids of a factory's tasks: enough for the largest number, and at least `idWidth`."""
    least = min(spec.factory.id_width or 1, _WIDEST_ID)
    return max(least, len(str(max(_factory_size(spec) - 1, 0))))


def with_digits(job: Resource, digits: int) -> Resource:
    """The job with ids as long as those that it has in Azure Batch already."""
    factory = job.spec.get("taskFactory")
    if not isinstance(factory, Mapping) or not factory:
        return job
    return replace(job, spec={**job.spec, "taskFactory": {**factory, "idWidth": digits}})


def _merge_template(spec: JobTerms) -> Body | None:
    """The template of the task that depends on all others; None if there is none, or nothing to merge."""
    template = spec.factory.merge_task
    return template if template and (spec.tasks or _factory_size(spec)) else None


def _listed(task: Body, all_lists: Lists) -> dict[str, Any]:
    body = Task.rest_body(task)
    if "dependsOn" in task and (depends := TaskLinks.of(task).depends_on).lists:
        body["dependsOn"] = resolved(depends, all_lists).body
    return body


def _made(spec: JobTerms, all_lists: Lists, only: Container[str] | None) -> Iterator[dict[str, Any]]:
    series = _series(spec)
    # A dimension without values makes none, however long one would walk over the others.
    if series is None or not series.size:
        return
    template = RepeatTask.rest_body(spec.factory.repeat_task or {})
    template.pop("dependsOn", None)
    depends = _repeat_depends(spec)
    same = None if _is_template(depends) else resolved(depends, all_lists).body
    for number, values in enumerate(series.values):
        id = f"{number:0{all_lists.width}}"
        if only is not None and id not in only:
            continue
        body = {"id": id} | fill(template, values, series.names)
        waits_for = resolved(_filled(depends, values, series.names), all_lists).body if same is None else same
        yield body | {"dependsOn": waits_for} if waits_for else body


def _merge_task(spec: JobTerms, all_lists: Lists) -> dict[str, Any]:
    template = MergeTask.rest_body(_merge_template(spec) or {})
    depends = merge_depends(spec, all_lists) or NO_DEPENDS
    return {"id": MERGE_ID} | template | {"dependsOn": depends.body}
