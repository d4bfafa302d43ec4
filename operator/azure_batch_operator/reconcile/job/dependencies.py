"""Dependencies among the own tasks of a job: what `allOf` refers to, and errors, found before anything is sent.

Azure Batch takes a cycle, a task that depends on itself and an id that nobody has, and leaves the tasks `active` forever. What can
be known from the spec is refused: cycles always; a missing id unless the job is open for tasks of others (a job manager task, or
`onAllTasksComplete: noaction`). Ranges are followed where they hold tasks of the spec; gaps in them are nobody's fault.

The tasks of a factory that all wait for the same are one node (`MADE`), so a million of them cost as much as one.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from azure_batch_operator.batch.task_wire import IdRange
from azure_batch_operator.reconcile.job.spec import NO_LINKS, Depends, JobTerms, TaskLinks
from azure_batch_operator.reconcile.job.task_sources import place

MADE = "taskFactory"
"""Stands for all tasks of the factory. It is no id in lower case."""
MERGE_ID = "merge"
_MAX_EDGES = 2_000_000
"""Beyond them dependencies are left to the service, rather than to keep all other objects waiting."""
_SHOWN = 8
_NAMED = 5
_FACTORY = "spec.taskFactory"


@dataclass(frozen=True)
class Lists:
    """What `allOf` can name.

    Attributes:
        listed: ids of the tasks that are written out, sorted.
        made: how many tasks the factory makes.
        width: digits of their ids.
    """

    listed: Sequence[str]
    made: int
    width: int

    def makes(self, id: str) -> bool:
        """Whether the factory gives this id."""
        return len(id) == self.width and id.isascii() and id.isdigit() and int(id) < self.made

    def touches(self, depends: Depends) -> bool:
        """Whether a `dependsOn` without `allOf` names a task of the factory."""
        ranged = any(each.start < self.made and each.end >= 0 for each in depends.ranges)
        return ranged or any(map(self.makes, depends.ids))


def resolved(depends: Depends, lists: Lists) -> Depends:
    """A `dependsOn` as Azure Batch takes it: with ids and a range instead of `allOf`; empty if nothing is left to wait for."""
    ids, ranges = depends.ids, depends.ranges
    if "tasks" in depends.lists and lists.listed:
        ids = tuple(dict.fromkeys([*ids, *lists.listed]))
    if "taskFactory" in depends.lists and lists.made:
        ranges = (*ranges, IdRange(start=0, end=lists.made - 1))
    return Depends(task_ids=ids or None, task_id_ranges=ranges or None)


def problems(spec: JobTerms, lists: Lists, made: Mapping[str, Depends], merge: Depends | None) -> Iterator[str]:
    """Problems in words, at most five of each sort, each with the tasks and the remedy.

    Args:
        made: what tasks of the factory depend on, by their ids, or under `MADE` if it is the same for all.
        merge: what the merge task depends on, if there is one.
    """
    tasks = {task.id.lower(): task for task in map(TaskLinks.of, spec.listed)}
    if not made and not any(task.depends_on for task in tasks.values()):
        return
    depends = {id: resolved(task.depends_on, lists) for id, task in tasks.items()} | dict(made)
    if merge is not None:
        depends[MERGE_ID] = merge
    places = {id: place(spec, number) for number, id in enumerate(tasks)}
    nodes: dict[str, tuple[str, str]] = {
        id: (places[id], tasks[id].id)
        if id in tasks
        else (f"{_FACTORY}.{'mergeTask' if id == MERGE_ID else 'repeatTask'}", id)
        for id in depends
    }
    edges = _edges(depends, lists)
    itself = [id for id, others in edges.items() if id in others]
    yield from (_waits_for_itself(id, *nodes[id], tasks.get(id, NO_LINKS), lists) for id in itself[:_NAMED])
    if not itself and (cycle := _cycle(edges)):
        names = [nodes[id][1] for id in cycle]
        # What the user wrote as a task is easier to find than a template.
        where = next((places[id] for id in cycle if id in places), nodes[cycle[0]][0])
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        yield (
            f"{where}: tasks {' → '.join(names[:_SHOWN])}{more} → {names[0]} form a dependency cycle, so none of them "
            "ever starts: remove one of these dependencies"
        )
    if spec.task_factory is None:
        without = [id for id, task in tasks.items() if task.depends_on.lists]
        for id in without[:_NAMED]:
            where, name = nodes[id]
            yield (
                f"{where}: task {name!r}: dependsOn.allOf names taskFactory, but the job has none: add spec.taskFactory, or "
                "remove allOf"
            )
    if spec.job_manager_task or spec.stays_open:
        return
    found = 0
    for own, each in depends.items():
        for id in each.ids:
            if id.lower() not in depends and not lists.makes(id) and found < _NAMED:
                found += 1
                where, name = nodes[own]
                subject = "each task" if own == MADE else f"task {name!r}"
                yield (
                    f"{where}: {subject} depends on {id!r}, which is not a task of this job: correct the ID, or "
                    "set spec.onAllTasksComplete to noaction if a BatchTask or another client adds that task"
                )


def missing(spec: JobTerms, lists: Lists) -> tuple[int, str]:
    """How many tasks of `spec.tasks` wait for an id that the job does not have, also through others, and the first such id."""
    tasks = [task for task in map(TaskLinks.of, spec.listed) if task.id]
    named = {task.id.lower(): resolved(task.depends_on, lists).ids for task in tasks}
    have = {*named, MERGE_ID} if spec.factory.merge_task else {*named}
    first, waiting, users = "", [], defaultdict[str, list[str]](list)
    for id, others in named.items():
        lost = next((each for each in others if each.lower() not in have and not lists.makes(each)), None)
        if lost is not None:
            first = first or lost
            waiting.append(id)
        for each in others:
            users[each.lower()].append(id)
    found = set(waiting)
    while waiting:
        new = [each for each in users[waiting.pop()] if each not in found]
        found.update(new)
        waiting += new
    return len(found), first


def _waits_for_itself(id: str, where: str, name: str, task: TaskLinks, lists: Lists) -> str:
    if id == MADE:
        return (
            f"{where}: dependsOn names tasks of the taskFactory itself (IDs 0 to {lists.made - 1}), so none of them ever starts: "
            "name tasks of spec.tasks or spec.tasksFrom"
        )
    if task.depends_on.lists and id.isdigit() and int(id) < lists.made:
        return (
            f"{where}: task {name!r} depends on all tasks of the taskFactory, a range of numbers that includes its own ID, so it "
            "never starts: choose an ID with a letter"
        )
    return f"{where}: task {name!r} depends on itself, so it never starts: remove it from its dependsOn"


def _edges(depends: Mapping[str, Depends], lists: Lists) -> dict[str, Sequence[str]]:
    """By id, the tasks of the spec that it depends on; without ranges where they would be too many."""
    numbers = sorted((int(id), id) for id in depends if id.isascii() and id.isdigit())
    values = [number for number, _ in numbers]
    edges: dict[str, Sequence[str]] = {}
    left = _MAX_EDGES
    for id, each in depends.items():
        others = [other.lower() for other in each.ids]
        for span in each.ranges:
            first, last = bisect_left(values, span.start), bisect_right(values, span.end)
            left -= max(0, last - first)
            if left > 0:
                others += [name for _, name in numbers[first:last]]
        if MADE in depends and lists.touches(each):
            others.append(MADE)
        edges[id] = others
    return edges


def _cycle(edges: Mapping[str, Sequence[str]]) -> list[str]:
    """The tasks of one circle, in its order; empty if there is none. Without recursion, as chains may be long."""
    done: set[str] = set()
    for start in edges:
        if start in done:
            continue
        path, on_path = [start], {start}
        walks = [iter(edges[start])]
        while walks:
            following = next(walks[-1], None)
            if following is None:
                walks.pop()
                done.add(path[-1])
                on_path.discard(path.pop())
            elif following in on_path:
                return path[path.index(following) :]
            elif following in edges and following not in done:
                path.append(following)
                on_path.add(following)
                walks.append(iter(edges[following]))
    return []
