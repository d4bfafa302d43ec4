"""What belongs together: a job with the schedule that made it, its account, its pool and its tasks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from azure_batch_kubectl import objects
from azure_batch_kubectl.objects import Object, status
from azure_batch_kubectl.why import Around, Unreadable
from azure_batch_operator.api.kinds import Kind

SHOWN = 20
_FIRST = {"Failed": 0, "Stalled": 1, "Running": 2}


@dataclass(frozen=True)
class Node:
    """A line, and the lines below it."""

    label: str
    state: str = ""
    text: str = ""
    children: tuple[Node, ...] = ()


def task_of(row: Mapping[str, Any]) -> Object:
    """What is shown of a BatchTask, from its row in `kubectl get`."""
    found = {"phase": row["Phase"], "exitCode": row["Exit"]}
    return {"kind": Kind.TASK.value, "metadata": {"name": row["Name"]}, "status": found}


def of_job(job: Object, around: Around, tasks: Sequence[Object], *, shown: int = SHOWN) -> Node:
    """The tree of a job.

    Args:
        tasks: its BatchTasks.
        shown: how many of them are shown; those with trouble first.
    """
    own = Node(
        f"BatchJob {objects.name(job)}",
        objects.phase(job) or "Pending",
        _counts(job),
        tuple(_below(job, around, tasks, shown)),
    )
    owner = next((each for each in job["metadata"].get("ownerReferences") or () if each.get("controller")), None)
    return Node(f"{owner['kind']} {owner['name']}", children=(own,)) if owner else own


def _below(job: Object, around: Around, tasks: Sequence[Object], shown: int) -> Iterator[Node]:
    for kind, each in ((Kind.ACCOUNT, around.account), (Kind.POOL, around.pool)):
        if isinstance(each, Unreadable):
            yield Node(each.label, text=f"({each.problem})")
        elif each is not None:
            yield Node(f"{kind} {objects.name(each)}", _state(each), str(status(each).get("nodes") or ""))
    for group in status(job).get("failures") or ():
        what = f"exit code {group['exitCode']}" if "exitCode" in group else str(group.get("code") or "no exit code")
        first = ", ".join(map(str, (group.get("taskIds") or ())[:3]))
        yield Node(f"{group.get('count', '?')} failed with {what}", text=f"first: {first}" if first else "")
    ordered = sorted(tasks, key=lambda task: (_FIRST.get(objects.phase(task), 3), objects.name(task)))
    for task in ordered[:shown]:
        exit_code = status(task).get("exitCode")
        text = f"exit code {exit_code}" if exit_code else ""
        yield Node(f"BatchTask {objects.name(task)}", objects.phase(task) or "Pending", text)
    if len(ordered) > shown:
        yield Node(f"… and {len(ordered) - shown} more BatchTasks (--all shows them)")


def _state(thing: Object) -> str:
    """The phase; the reason of Ready where a kind has no phase."""
    return objects.phase(thing) or str(objects.condition(thing, "Ready").get("reason") or "Pending")


def _counts(job: Object) -> str:
    counts = status(job).get("taskCounts") or {}
    parts = [f"{counts.get('completed', 0)}/{counts['total']} tasks"] if counts.get("total") else []
    return ", ".join([*parts, *(f"{counts[each]} {each}" for each in ("running", "failed") if counts.get(each))])
