"""What is wrong with the dependencies among a job's own tasks, found before anything is sent.

Azure Batch takes a cycle, a task that depends on itself and an id that nobody has, and leaves the tasks `active` for ever. What can
be known from the spec is refused: cycles always; a missing id unless the job is open for tasks of others (a job manager task, or
`onAllTasksComplete: noaction`). Ranges are followed where they hold tasks of the spec; gaps in them are nobody's fault.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from azure_batch_operator.reconcile.sources import place

_MOST_EDGES = 2_000_000
"""Beyond them dependencies are left to the service, rather than to keep all other objects waiting."""
_SHOWN = 8
_NAMED = 5


def problems(spec: Mapping[str, Any], known: Callable[[str], bool], merge: str | None) -> Iterator[str]:
    """Problems in words, at most five, each with the tasks and the remedy.

    Args:
        known: whether an id in lower case is a task of the spec that is not written out.
        merge: id of the task that depends on all others, if there is one.
    """
    tasks = {str(task["id"]).lower(): task for task in spec.get("tasks") or ()}
    if not any(task.get("dependsOn") for task in tasks.values()):
        return
    edges = _edges(tasks, merge)
    places = {id: place(spec, number) for number, id in enumerate(tasks)}
    itself = [id for id, others in edges.items() if id in others]
    for id in itself[:_NAMED]:
        where, name = places[id], tasks[id]["id"]
        yield f"{where}: task {name!r} depends on itself, so it never starts: remove it from its dependsOn"
    if not itself and (cycle := _cycle(edges)):
        names = [str(tasks[id]["id"]) if id in tasks else id for id in cycle]
        where = next(places[id] for id in cycle if id in places)
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        yield (
            f"{where}: tasks {' → '.join(names[:_SHOWN])}{more} → {names[0]} form a dependency cycle, so none of them "
            "ever starts: remove one of these dependencies"
        )
    if spec.get("jobManagerTask") or str(spec.get("onAllTasksComplete", "")).lower() == "noaction":
        return
    found = 0
    for own, task in tasks.items():
        for id in (task.get("dependsOn") or {}).get("taskIds") or ():
            if str(id).lower() not in tasks and not known(str(id).lower()) and found < _NAMED:
                found += 1
                yield (
                    f"{places[own]}: task {task['id']!r} depends on {id!r}, which is not a task of this job: correct the ID, or "
                    "set spec.onAllTasksComplete to noaction if a BatchTask or somebody else adds that task"
                )


def _edges(tasks: Mapping[str, Mapping[str, Any]], merge: str | None) -> dict[str, Sequence[str]]:
    """By id, the tasks of the spec that it depends on; without ranges where they would be too many."""
    numbers = sorted((int(id), id) for id in tasks if id.isascii() and id.isdigit())
    values = [number for number, _ in numbers]
    edges: dict[str, Sequence[str]] = {}
    left = _MOST_EDGES
    for id, task in tasks.items():
        depends = task.get("dependsOn") or {}
        others = [str(each).lower() for each in depends.get("taskIds") or ()]
        for each in depends.get("taskIdRanges") or ():
            first, last = bisect_left(values, each["start"]), bisect_right(values, each["end"])
            left -= max(0, last - first)
            if left > 0:
                others += [name for _, name in numbers[first:last]]
        edges[id] = others
    if merge is not None:
        edges[merge] = list(tasks)
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
