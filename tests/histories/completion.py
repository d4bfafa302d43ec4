"""The rule of docs/jobs.md about results: a BatchJob that has succeeded has run each task of its spec to completion.

It knows what the service has run from the jobs that are left, and from what jobs and tasks were like right before somebody
deleted them.
"""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from histories.judged import Judged, Violation
from histories.lives import Life, condition, has, spec
from histories.record import Body, owner_in

Ran = dict[str, set[str]]
"""Commands that tasks have run to completion, by the id of the task; `FAILED` stands in front of those that have failed."""
FAILED = "!"
_SLACK = 70.0
"""Virtual seconds for which a change that came before the end may not have been noticed."""
_LISTS = 300.0
"""Virtual seconds between two looks at a ConfigMap (docs/tasks.md)."""
_LINE = re.compile(r"^- \{id: (\S+), commandLine: (.*)\}$")
_PLACE = re.compile(r"\{(\d+)\}")
_FACTORY = "#"
"""In front of the number of a task that a factory makes: the zeros before it depend on how large the factory once was."""


@dataclass(frozen=True)
class Wanted:
    """A task that a spec asks for.

    Attributes:
        command: None if this rule cannot tell it.
    """

    id: str
    command: str | None


def successes_are_complete(judged: Judged) -> list[Violation]:
    """Each task of the spec of a job that has succeeded was run to completion, in this life of the job, as the spec has it."""
    found, ran = [], _ran(judged)
    for body in judged.record.objects:
        life = judged.lives.get(body["metadata"]["uid"])
        if body["kind"] != "BatchJob" or "deletionTimestamp" in body["metadata"] or life is None:
            continue
        if (body.get("status") or {}).get("phase") != "Succeeded":
            continue
        choices = list(_choices(judged, body, life))
        mine = ran.get(life.uid, {})
        problems = [_lacking(judged, body, life, tasks, mine) for tasks in choices]
        if problems and all(problems):
            in_sync = condition(body, "TasksInSync").get("reason")
            text = f"{life} has succeeded, and {problems[0]}; TasksInSync {in_sync}, it has run {sorted(mine)}"
            found.append(Violation("incomplete", text))
    return found


# --- what was run ---


def _ran(judged: Judged) -> dict[str, Ran]:
    """What the last job of each object has run, by the uid of the object."""
    by_owner: dict[str, Ran] = {}
    present: dict[str, Ran] = defaultdict(lambda: defaultdict(set))
    for each in judged.record.effects:
        thing = each.before
        if not each.done or thing is None:
            continue
        if each.operation == "Tasks_DeleteTask" and thing.state == "completed":
            _note(present[each.parameters["jobId"].lower()], thing.id, thing.facts["command"], thing.facts["result"])
        if each.operation == "Jobs_DeleteJob":
            done = present.pop(thing.id.lower(), {})
            for task, state in thing.tasks.items():
                if state == "completed":
                    _note(done, task, thing.facts["commands"][task], thing.facts["results"][task])
            if thing.owner is not None:
                by_owner[thing.owner.uid] = done
    for id, job in judged.record.jobs.items():
        done, owner = present.get(id.lower(), {}), owner_in(job.get("metadata"))
        for task, body in job["tasks"].items():
            if body["state"] == "completed":
                _note(done, task, body["commandLine"], (body.get("executionInfo") or {}).get("result"))
        if owner is not None:
            by_owner[owner.uid] = done
    return by_owner


def _note(ran: Ran, task: str, command: str, result: str | None) -> None:
    ran.setdefault(task.lower(), set()).add(command if result == "success" else FAILED + command)


def _lacking(judged: Judged, body: Body, life: Life, wanted: Iterable[Wanted], ran: Ran) -> str:
    """What a job has not run; empty if nothing."""
    differ = condition(body, "TasksInSync").get("reason") == "TasksDiffer" and not _replaces(judged, body, life)
    failures = spec(body, "failurePolicy") is not None
    numbers = {int(id): commands for id, commands in ran.items() if id.isdecimal()}
    for task in wanted:
        factory = task.id.startswith(_FACTORY)
        commands = numbers.get(int(task.id[1:]), set()) if factory else ran.get(task.id.lower(), set())
        succeeded = {each for each in commands if not each.startswith(FAILED)}
        counted = {each.removeprefix(FAILED) for each in commands} if failures else succeeded
        if task.command is None or differ:
            if not counted:
                return f"task {task.id} was not run to completion"
        elif task.command not in counted:
            return f"task {task.id} has run {sorted(commands)}, not {task.command!r}"
    return ""


def _replaces(judged: Judged, body: Body, life: Life) -> bool:
    """Whether each task that differs is to be replaced: it was to be from the start on, and the operator has made the job."""
    always = all(has("taskUpdatePolicy", "Replace")(each.body) for each in life.versions)
    return always and judged.created(life.uid, str(spec(body, "id") or life.name))


# --- what was wanted ---


def _choices(judged: Judged, body: Body, life: Life) -> Iterator[list[Wanted]]:
    """The tasks that a job may have been to run; several if a change may have come too late for it, none if that is not known."""
    ended = next(each.time for each in life.versions if (each.body.get("status") or {}).get("phase") == "Succeeded")
    reason = condition(body, "TasksInSync").get("reason")
    bodies = [body]
    if reason == "JobFinished" or "skip" in judged.policies_at_end(body):
        # It says that what the spec has now came too late, or nobody has looked at it.
        bodies = life.around(ended, _SLACK)
    elif reason not in {None, "TasksDiffer"}:
        # Its lists could no longer be read, and it went on without them.
        return
    for each in bodies:
        lists = [_texts(judged, life, reference, ended) for reference in spec(each, "tasksFrom") or ()]
        for texts in itertools.product(*lists):
            tasks = _wanted(each, texts)
            if tasks is not None:
                yield tasks


def _texts(judged: Judged, life: Life, reference: Mapping[str, Body], ended: float) -> list[str]:
    """What a list may have been when the job ended: as it was then, or before the operator has last looked."""
    key = reference["configMapKeyRef"]
    known: list[tuple[float, str]] = []
    for step in judged.record.steps:
        body = step.args.get("object") or {}
        metadata = body.get("metadata") or {}
        where = metadata.get("namespace", "default"), metadata.get("name")
        if body.get("kind") == "ConfigMap" and not step.refusal and where == (life.namespace, key["name"]):
            known.append((step.time, str(body["data"].get(key["key"], ""))))
    since = _looked(judged, ended)
    older = [text for at, text in known if at < since]
    return older[-1:] + [text for at, text in known if since <= at <= ended]


def _looked(judged: Judged, ended: float) -> float:
    """Since when the operator has looked at each list: it does not while it is down, and may not learn what it is told."""
    down = sum(
        float(each.args.get("seconds", 0.0)) for each in judged.record.steps if each.time <= ended and each.do != "lag"
    )
    return ended - _LISTS - _SLACK - down


def _wanted(body: Body, texts: Iterable[str]) -> list[Wanted] | None:
    """The tasks of a spec; None if this rule cannot tell."""
    if spec(body, "retryOf") is not None:
        return None
    tasks = [Wanted(each["id"], each["commandLine"]) for each in spec(body, "tasks") or ()]
    for text in texts:
        lines = [_LINE.match(line) for line in text.splitlines() if line.strip() not in {"", "[]"}]
        if not all(lines):
            return None
        tasks += [Wanted(line[1], line[2]) for line in lines if line is not None]
    factory = spec(body, "taskFactory")
    if factory is None:
        return tasks
    values = _values(factory)
    if values is None:
        return None
    template = factory["repeatTask"]["commandLine"]
    tasks += [Wanted(f"{_FACTORY}{number}", _filled(template, each)) for number, each in enumerate(values)]
    if (merge := factory.get("mergeTask")) is not None:
        tasks.append(Wanted("merge", merge["commandLine"]))
    return tasks


def _values(factory: Body) -> list[tuple[object, ...]] | None:
    """What the tasks of a factory are made of, each; None if it stands elsewhere."""
    if (sweep := factory.get("parametricSweep")) is not None:
        return list(itertools.product(*map(_dimension, sweep["parameterSets"])))
    if (repeat := factory.get("repeat")) is not None:
        return [(number,) for number in range(repeat["count"])]
    items = (factory.get("taskPerItem") or {}).get("items")
    return None if items is None else [(each,) for each in items]


def _dimension(parameters: Body) -> list[object]:
    if parameters.get("values") is not None:
        return list(parameters["values"])
    step = parameters.get("step") or 1
    return list(range(parameters["start"], parameters["end"] + (1 if step > 0 else -1), step))


def _filled(template: str, values: tuple[object, ...]) -> str | None:
    """A command with its values; None if the template has other braces than those of plain places."""
    if "{" in _PLACE.sub("", template) or "}" in _PLACE.sub("", template):
        return None
    return _PLACE.sub(lambda place: str(values[int(place[1])]), template)
