"""Tasks in ConfigMaps: parses their text into the same form as tasks in the spec.

`needed` says which texts; `inlined` gives the parts of the spec that take the place of `tasksFrom` and `itemsFrom`, so that what
follows (counting, checking, expanding) sees one kind of job. What comes from a ConfigMap has not been checked by the API server, so
it is checked here against the same models.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, chain
from typing import Any

from pydantic import ValidationError

from azure_batch_operator.api.base import WRITTEN, ApiModel, without_nulls
from azure_batch_operator.api.task_body import Task
from azure_batch_operator.batch.wire import Body, Wire, build, convert
from azure_batch_operator.reconcile.documents import loaded
from azure_batch_operator.reconcile.job import placeholders
from azure_batch_operator.reconcile.job.placeholders import fill
from azure_batch_operator.reconcile.job.spec import Depends, ItemsFrom, JobTerms, TasksFrom
from azure_batch_operator.reconcile.references import KeyRef
from azure_batch_operator.reconcile.value_references import Reference, ResolutionError, Source

_MAX_TEXT = 64 << 20
"""Characters of the tasks that the tables of a job may make: they are in memory together."""
_STARTS = "tasksFromStarts"
"""Member beside `tasks`: at which of them each entry of `tasksFrom` begins."""


class _Items(Wire, frozen=True, gc=False):
    """`taskFactory.taskPerItem`."""

    items_from: ItemsFrom | None = None


class _Factory(Wire, frozen=True, gc=False):
    """`taskFactory`."""

    task_per_item: _Items = _Items()


class _Sources(Wire, frozen=True, gc=False):
    """The members of a spec that name ConfigMaps."""

    tasks_from: tuple[TasksFrom, ...] = ()
    task_factory: _Factory = _Factory()

    @property
    def items_from(self) -> ItemsFrom | None:
        """The ConfigMap with the items of the factory."""
        return self.task_factory.task_per_item.items_from


def needed(spec: Body) -> list[Reference]:
    """The ConfigMap keys that hold tasks or items of this job."""
    sources = build(_Sources, spec)
    found = [
        Reference(f"spec.tasksFrom[{at}].configMapKeyRef", _source(each.config_map_key_ref))
        for at, each in enumerate(sources.tasks_from)
    ]
    if sources.items_from is not None:
        where = "spec.taskFactory.taskPerItem.itemsFrom.configMapKeyRef"
        found.append(Reference(where, _source(sources.items_from.config_map_key_ref)))
    return found


def inlined(spec: Body, texts: Mapping[Source, str]) -> dict[str, Any]:
    """Members of the spec that replace those of the same name: `tasks`, `tasksFrom` and `taskFactory`.

    Beside them it is noted which tasks come from which entry of `tasksFrom` (`place`). `taskFactory.taskPerItem` gets `rows`, a
    list of lists of texts, `longest`, characters of the longest of them, and for CSV `columns`, their names. Nobody needs to walk
    over all rows again, which there may be hundreds of thousands of.

    Args:
        texts: the text of every source that `needed` names.

    Raises:
        ResolutionError: if a text is not what it must be; the message names the ConfigMap, the place in it and the remedy.
    """
    result: dict[str, Any] = {}
    sources = build(_Sources, spec)
    if sources.tasks_from:
        pairs = [(each, texts[_source(each.config_map_key_ref)]) for each in sources.tasks_from]
        _check_templates(pairs)
        own = spec.get("tasks", ())
        more = [list(_tasks(each, text)) for each, text in pairs]
        starts = [*accumulate(map(len, more[:-1]), initial=len(own))]
        result = {"tasks": [*own, *chain.from_iterable(more)], "tasksFrom": [], _STARTS: starts}
    if (source := sources.items_from) is not None:
        items = _items(source, texts[_source(source.config_map_key_ref)])
        result["taskFactory"] = dict(spec["taskFactory"]) | {"taskPerItem": items}
    return result


def place(spec: JobTerms, number: int) -> str:
    """The field of a spec, as the user wrote it, that the task with this number among its `tasks` stands in.

    Args:
        spec: with what `inlined` has given.
    """
    at = bisect_right(spec.tasks_from_starts, number) - 1
    return "spec.tasks" if at < 0 else f"spec.tasksFrom[{at}]"


def digest(texts: Mapping[Source, str]) -> str:
    """A short text that differs when one of the texts does."""
    made = hashlib.sha256()
    for source in sorted(texts):
        text = texts[source].encode(errors="surrogatepass")
        made.update(f"{source.name}\n{source.key}\n{len(text)}\n".encode() + text)
    return made.hexdigest()[:16]


def settled(spec: Body, total: int) -> dict[str, Any]:
    """As `inlined`, for a job whose tasks are all in Azure Batch but whose ConfigMaps have gone: only the number counts."""
    repeat = {"repeat": {"count": total}, "repeatTask": {"commandLine": ""}}
    return {"tasks": [], "tasksFrom": [], "taskFactory": repeat}


def _source(reference: KeyRef) -> Source:
    return Source("ConfigMap", reference.name, reference.key)


def _where(reference: KeyRef) -> str:
    return f"key {reference.key!r} of ConfigMap {reference.name!r}"


def _invalid(reference: KeyRef, what: str) -> ResolutionError:
    return ResolutionError("InvalidTasks", f"{_where(reference)}: {what}; correct it, and the operator retries the job")


def _tasks(source: TasksFrom, text: str) -> Iterator[dict[str, Any]]:
    reference = source.config_map_key_ref
    if template := source.template:
        columns, rows = _table(reference, text)
        candidates: Iterable[Any] = (_row(template, row, columns) for row in rows)
    else:
        candidates = _listed(reference, text)
    for number, candidate in enumerate(candidates):
        task = without_nulls(candidate)
        _check(reference, task, f"task {number + 1}")
        yield task


def _row(template: Body, row: Sequence[str], columns: Sequence[str]) -> dict[str, Any]:
    task: dict[str, Any] = fill(template, row, columns)
    if "dependsOn" in task:
        task["dependsOn"] = _without_empty_ids(task["dependsOn"])
    return task


def _without_empty_ids(depends: Body) -> dict[str, Any]:
    """A filled `dependsOn` without ids that a value has left empty, as that of the first row of a chain."""
    ids = [each for each in convert(Depends, depends).ids if each]
    rest = {name: value for name, value in depends.items() if name != "taskIds"}
    return {**rest, "taskIds": ids} if ids else rest


def _check_templates(sources: Iterable[tuple[TasksFrom, str]]) -> None:
    """Refuse templates that cannot be filled with their rows, or not without filling the memory as well.

    Raises:
        ResolutionError: the message names the place and the remedy.
    """
    made = 0
    for source, text in sources:
        if not (template := source.template):
            continue
        columns, rows = _table(source.config_map_key_ref, text)
        longest = _longest(rows)
        found = placeholders.problems(template, len(columns), "columns", longest, "template") if rows else []
        # A value may be filled in again and again.
        size, number = len(json.dumps(template, default=str)), placeholders.count(template)
        made += size * len(rows) + number * sum(_longest([row]) for row in rows)
        if made > _MAX_TEXT:
            found.append(
                f"template: {len(rows)} rows make tasks of more than {_MAX_TEXT} characters: use spec.taskFactory"
            )
        if found:
            raise ResolutionError("InvalidTasks", f"spec.tasksFrom: {'; '.join(found[:5])}")


def _listed(reference: KeyRef, text: str) -> Sequence[Any]:
    document = _parsed(reference, text)
    if document is None:
        return []  # nothing but comments and white space
    # Task files of az batch are lists, or lists under "value".
    if isinstance(document, Mapping) and isinstance(document.get("value"), list):
        document = document["value"]
    if not isinstance(document, list):
        raise _invalid(reference, "must be a list of tasks (for CSV give a template)")
    return document


def _parsed(reference: KeyRef, text: str) -> Any:
    try:
        return loaded(text)
    except ValueError as error:
        raise _invalid(reference, str(error)) from None


def _table(reference: KeyRef, text: str) -> tuple[list[str], list[list[str]]]:
    reader = csv.reader(io.StringIO(text), skipinitialspace=True, strict=True)
    try:
        rows = [row for row in reader if row]
    except csv.Error as error:
        hint = 'a field that starts with a quote (") must end with one; write a quote within a field twice'
        raise _invalid(reference, f"is not CSV: line {reader.line_num}: {error}: {hint}") from None
    if not rows:
        return [], []
    columns = [name.strip() for name in rows[0]]
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(columns):
            raise _invalid(reference, f"row {number} has {len(row)} fields, but there are {len(columns)} columns")
    return columns, rows[1:]


def _items(source: ItemsFrom, text: str) -> dict[str, Any]:
    if source.format == "csv":
        columns, rows = _table(source.config_map_key_ref, text)
        return {"columns": columns, "rows": rows, "longest": _longest(rows)}
    items = [line.strip() for line in text.splitlines() if line.strip()]
    rows = [[item] for item in items]
    return {"rows": rows, "longest": _longest(rows)}


def _longest(rows: Sequence[Sequence[str]]) -> int:
    return max((len(value) for row in rows for value in row), default=0)


def _check(reference: KeyRef, task: Any, which: str) -> None:
    if not isinstance(task, Mapping):
        raise _invalid(reference, f"{which} is not an object")
    _check_names(reference, Task, task, which)
    try:
        Task.model_validate(task, context=WRITTEN)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise _invalid(reference, f"{which}: {place}: {first['msg']}") from None


def _check_names(reference: KeyRef, model: type[ApiModel], value: Body, where: str) -> None:
    """Refuse what the API server would refuse in a manifest: unknown and misspelt names, and secrets in clear."""
    members = model.members()
    for name, item in value.items():
        member = members.get(name)
        if member is None:
            secret = next((each for each in model.secrets() if each.name == name), None)
            refused = next((each for each in model.refused if each.name == name), None)
            reason = f"write {name}SecretRef" if secret else refused.reason if refused else "unknown field"
            raise _invalid(reference, f"{where}: {name}: {reason}")
        if member.model is not None:
            for each in item if isinstance(item, list) else [item]:
                if isinstance(each, Mapping):
                    _check_names(reference, member.model, each, f"{where}: {name}")
