"""Rules of docs/ownership.md: nothing of others is touched, and nothing of ours is left behind."""

from __future__ import annotations

from typing import Any

from histories.judged import CLUSTER, Judged, Violation
from histories.lives import KINDS, annotation, spec
from histories.record import TASK_MARKER, Owner, Thing, owner_in, owner_of

_NO_TOUCH = frozenset({"Tasks_CreateTask", "Tasks_CreateTaskCollection", "Pools_EvaluatePoolAutoScale"})
"""A task may be added to a job of others; evaluating changes nothing."""
_ADOPTING = frozenset(
    {
        "Pools_UpdatePool",
        "Pools_ReplacePoolProperties",
        "Jobs_UpdateJob",
        "Jobs_ReplaceJob",
        "JobSchedules_UpdateJobSchedule",
    }
)


def _ours(thing: Thing) -> bool:
    return thing.owner is not None and thing.owner.cluster == CLUSTER and thing.owner.id.lower() == thing.id.lower()


def foreign(judged: Judged) -> list[Violation]:
    """What carries another marker, or none, is never changed or deleted; adoption puts the marker on it first.

    What operations may reach is judged by `operations.reach`.
    """
    found = []
    for each in judged.effects():
        thing = each.before
        if thing is None or each.operation in _NO_TOUCH or _ours(thing) or judged.operated.asking(each):
            continue
        if thing.kind == "task":
            job_owner: Owner | None = thing.facts["job_owner"]
            if thing.owner is None and job_owner is not None and job_owner.cluster == CLUSTER:
                continue
            if thing.owner is not None and thing.owner.cluster == CLUSTER:
                continue
        adopting = [
            life
            for life in judged.lives.values()
            if thing.id.lower() in life.ids and life.ever(lambda body: annotation(body, "adopt"), each.time)
        ]
        if adopting and each.operation in _ADOPTING:
            continue
        found.append(
            Violation("foreign", f"{each.operation} {each.path} at {each.time:.1f}: its marker is {thing.owner}")
        )
    return found


def orphans(judged: Judged) -> list[Violation]:
    """At the end nothing carries the marker of an object that is gone, unless its policy was to leave it."""
    found = []
    record = judged.record
    for kind, table in (("pool", record.pools), ("job", record.jobs), ("schedule", record.schedules)):
        for id, body in table.items():
            owner = owner_in(body.get("metadata"))
            if owner is not None and owner.id.lower() == id.lower() and _abandoned(judged, owner):
                found.append(Violation("orphan", f"{kind} {id} of {owner}, state {body.get('state')}"))
    for id, job in record.jobs.items():
        for name, task in job["tasks"].items():
            task_owner = _task_owner(task)
            if task_owner is not None and _abandoned(judged, task_owner):
                found.append(Violation("orphan", f"task {id}/{name} of {task_owner}, state {task.get('state')}"))
    return found


def _task_owner(task: Any) -> Owner | None:
    texts = [each.get("value") for each in task.get("environmentSettings") or () if each.get("name") == TASK_MARKER]
    return owner_of(texts[0]) if texts else None


def _abandoned(judged: Judged, owner: Owner) -> bool:
    life = judged.life_of(owner)
    if life is None or life.gone is None:
        # Nobody of this cluster, or somebody who is there.
        return owner.cluster == CLUSTER and life is None
    kept = life.policies(life.gone) & {"skip", "detach-on-delete"}
    orphaned = any(spec(body, "deletionPolicy") == "Orphan" for body in life.around(life.gone))
    forced = life.annotated("force-finalize", life.gone)
    adopted = life.plural != "batchtasks" and not judged.created(owner.uid, owner.id)
    return not (kept or orphaned or forced or adopted)


def own_writes(judged: Judged) -> list[Violation]:
    """Of an object the operator writes its status and its finalizer, and nothing else (docs/threat-model.md)."""
    found = []
    for each in judged.record.writes:
        plural, _, part = each.resource.partition("/")
        if plural not in KINDS or part or each.verb != "patch":
            continue
        if others := sorted(path for path in _written(each.body) if not path.startswith("/metadata/finalizers")):
            found.append(Violation("write", f"{plural} {each.namespace}/{each.name} at {each.time:.1f}: {others}"))
    return found


def _written(patch: Any) -> list[str]:
    """Paths that a JSON patch changes, or a merge patch names, without the preconditions."""
    if isinstance(patch, list):
        return [str(each["path"]) for each in patch if each["op"] != "test"]
    metadata = [f"/metadata/{name}" for name in patch.get("metadata", {}) if name not in {"uid", "resourceVersion"}]
    return metadata + [f"/{name}" for name in patch if name != "metadata"]
