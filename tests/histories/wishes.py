"""Rules of docs/jobs.md, tasks.md and pools.md: nothing runs twice and nothing ends unless a user has asked for it."""

from __future__ import annotations

from collections import defaultdict

from histories.judged import Judged, Violation
from histories.lives import Life, annotation, has, spec
from histories.record import TASK_MARKER, Effect, Owner, owner_of


def no_task_twice(judged: Judged) -> list[Violation]:
    """A task that has run is added again only if it was replaced, deleted by others as a task, or its job was to be made again."""
    found = []
    added: dict[tuple[str, str, str], Effect] = {}
    removed: dict[tuple[str, str], list[tuple[Effect, bool]]] = defaultdict(list)
    for each in judged.record.effects:
        if not each.done:
            continue
        if each.operation == "Tasks_DeleteTask" and each.before is not None:
            removed[_key(each.parameters["jobId"], each.before.id)].append((each, each.before.started))
        if each.operation == "Jobs_DeleteJob" and each.before is not None:
            for task in each.before.tasks:
                removed[_key(each.before.id, task)].append((each, task in each.before.facts["ran"]))
        if not each.ours or not each.added or each.before is None:
            continue
        for task in each.added:
            author = _author(each, task)
            if author is None:
                continue
            key = (author.uid, *_key(each.parameters["jobId"], task))
            former, added[key] = added.get(key), each
            if former is None:
                continue
            between = [(one, ran) for one, ran in removed[key[1:]] if one.time >= former.time]
            jobs = [(one, ran) for one, ran in between if one.operation == "Jobs_DeleteJob"]
            life, job = judged.life_of(author), judged.life_of(each.before.owner)
            again = any(one.annotated("recreate", each.time) for one in (life, job) if one is not None)
            if not between or (any(ran for _, ran in jobs) and not again):
                text = f"task {task} of job {each.before.id} for {author} at {former.time:.1f} and {each.time:.1f}"
                found.append(
                    Violation("twice", f"{text}; removed: {[(one.operation, one.ours, ran) for one, ran in between]}")
                )
    return found


def _key(job: str, task: str) -> tuple[str, str]:
    return job.lower(), task.lower()


def _author(effect: Effect, task: str) -> Owner | None:
    """The object that has a task added: the one that the task's variable names, else the job's."""
    items = effect.body.get("value", [effect.body]) if effect.operation.endswith("Collection") else [effect.body]
    item = next(each for each in items if str(each["id"]).lower() == task.lower())
    for each in item.get("environmentSettings") or ():
        if each.get("name") == TASK_MARKER:
            return owner_of(each.get("value"))
    return effect.before.owner if effect.before is not None else None


def unwished_ends(judged: Judged) -> list[Violation]:
    """What is deleted or terminated, and the wish behind it."""
    found = []
    for each in judged.effects():
        thing = each.before
        if thing is None:
            continue
        life = judged.life_of(thing.owner)
        if thing.kind == "task" and life is None:
            life = judged.life_of(thing.facts["job_owner"])
        wish = _ENDS.get(each.operation)
        if wish is None or life is None or judged.operated.asking(each):
            continue
        problem = wish(judged, each, life)
        if problem:
            found.append(Violation("unwished", f"{each.operation} {each.path} of {life} at {each.time:.1f}: {problem}"))
    return found


def _deleting(life: Life, time: float) -> bool:
    return life.deleting is not None and life.deleting <= time


def _kept(judged: Judged, effect: Effect, life: Life) -> str:
    """Why a thing of a deleted object had to stay; empty if it had not."""
    assert effect.before is not None
    policies = life.policies(effect.time)
    if policies <= {"skip", "detach-on-delete"}:
        return f"the policy is {policies}"
    if all(spec(body, "deletionPolicy") == "Orphan" for body in life.around(effect.time)):
        return "deletionPolicy is Orphan"
    adopted = not judged.created(life.uid, effect.before.id)
    if adopted and not life.ever(lambda body: annotation(body, "reconcile-policy") == "manage", effect.time):
        return "it was adopted"
    return ""


def _pool_deleted(judged: Judged, effect: Effect, life: Life) -> str:
    if _deleting(life, effect.time):
        return _kept(judged, effect, life)
    replaced = life.ever(lambda body: spec(body, "updateStrategy") == "Recreate", effect.time)
    return "" if replaced else "its object is not being deleted"


def _job_deleted(judged: Judged, effect: Effect, life: Life) -> str:
    if _deleting(life, effect.time):
        return _kept(judged, effect, life)
    kept = life.ever(lambda body: spec(body, "ttlPolicy") == "KeepObject", effect.time)
    return "" if kept else "its object is not being deleted"


def _schedule_deleted(judged: Judged, effect: Effect, life: Life) -> str:
    return _kept(judged, effect, life) if _deleting(life, effect.time) else "its object is not being deleted"


def _job_terminated(judged: Judged, effect: Effect, life: Life) -> str:
    assert effect.before is not None
    time, thing = effect.time, effect.before
    if _deleting(life, time) or life.annotated("terminate", time):
        return ""
    states = list(thing.tasks.values())
    if states and all(each == "completed" for each in states):
        return ""
    failed = "failure" in thing.facts["results"].values()
    if failed and life.ever(lambda body: spec(body, "failurePolicy", "action") == "Stop", time):
        return ""
    names = ("pendingDeadlineSeconds", "backoff", "onDependencyFailure")
    if any(life.ever(has(name), time) for name in names):
        return ""
    if failed and _has_dependencies(judged, life, time):
        return ""
    emptied = any(spec(body, name) is not None for body in life.before(time) for name in ("tasks", "tasksFrom"))
    if not states and emptied:
        return ""
    return f"nobody asked for it; its tasks: {sorted(set(states))}"


def _has_dependencies(judged: Judged, life: Life, time: float) -> bool:
    own = life.ever(lambda body: "dependsOn" in str(spec(body, "tasks")), time)
    others = any(
        other.ever(lambda body: spec(body, "dependsOnRefs") or spec(body, "dependsOn"), time)
        for other in judged.lives.values()
        if other.plural == "batchtasks" and other.namespace == life.namespace
    )
    return own or others


def _task_deleted(judged: Judged, effect: Effect, life: Life) -> str:
    if life.plural == "batchtasks":
        if not _deleting(life, effect.time):
            return "its object is not being deleted"
        return "the policy" if life.policies(effect.time) <= {"skip", "detach-on-delete"} else ""
    asked = ("taskPrunePolicy", "Delete"), ("taskUpdatePolicy", "Replace")
    wished = any(life.ever(has(name, value), effect.time) for name, value in asked)
    return "" if wished else "neither taskPrunePolicy nor taskUpdatePolicy asks for it"


def _task_terminated(judged: Judged, effect: Effect, life: Life) -> str:
    wished = life.annotated("terminate", effect.time) or _deleting(life, effect.time)
    return "" if wished else "nobody asked for it"


def _reactivated(judged: Judged, effect: Effect, life: Life) -> str:
    assert effect.before is not None
    job = judged.life_of(effect.before.facts["job_owner"])
    asked = any(one.annotated("retry-failed", effect.time) for one in (life, job) if one is not None)
    if not asked:
        return "nobody asked for it"
    return "" if effect.before.facts["result"] != "success" else "it had succeeded"


_ENDS = {
    "Pools_DeletePool": _pool_deleted,
    "Jobs_DeleteJob": _job_deleted,
    "JobSchedules_DeleteJobSchedule": _schedule_deleted,
    "Jobs_TerminateJob": _job_terminated,
    "Tasks_DeleteTask": _task_deleted,
    "Tasks_TerminateTask": _task_terminated,
    "Tasks_ReactivateTask": _reactivated,
}


def unwished_changes(judged: Judged) -> list[Violation]:
    """What is stopped, resumed, shrunk or restarted, and the wish behind it."""
    found = []
    for each in judged.effects():
        life = judged.life_of(each.before.owner if each.before is not None else None)
        if life is None:
            continue
        problem = ""
        if each.operation == "Jobs_DisableJob":
            suspended = any(spec(body, "suspend") for body in life.around(each.time))
            moved = (
                len({str(spec(body, "poolRef")) + str(spec(body, "poolInfo")) for body in life.before(each.time)}) > 1
            )
            recreated = any(
                other.plural == "batchpools"
                and other.ever(lambda body: spec(body, "updateStrategy") == "Recreate", each.time)
                for other in judged.lives.values()
            )
            # What is adopted may be on another pool than the spec says.
            adopted = life.annotated("adopt", each.time)
            if not (suspended or moved or adopted or recreated or _deleting(life, each.time)):
                problem = "suspend is not set, and the pool is the same"
        elif each.operation == "Jobs_EnableJob":
            stopped = any(
                one.time <= each.time and one.before is not None and one.before.id == each.before.id  # type: ignore[union-attr]
                for one in judged.effects("Jobs_DisableJob")
            )
            if not stopped and not life.ever(lambda body: spec(body, "suspend"), each.time):
                problem = "it was disabled by somebody else"
        elif each.operation in {"Pools_RemoveNodes", "Nodes_RebootNode", "Nodes_ReimageNode"}:
            wished = ("nodeRemediation", "startTaskUpdate")
            if not any(life.ever(has(name), each.time) for name in wished) and not judged.operated.asking(each):
                problem = "nodeRemediation does not ask for it"
        elif each.operation == "Pools_ResizePool":
            problem = _resized(each, life)
        if problem:
            found.append(Violation("unwished", f"{each.operation} {each.path} of {life} at {each.time:.1f}: {problem}"))
    return found


def _resized(effect: Effect, life: Life) -> str:
    for name in ("targetDedicatedNodes", "targetLowPriorityNodes"):
        wanted = effect.body.get(name)
        if wanted is None:
            continue
        asked = {spec(body, name) for body in life.around(effect.time)}
        drains = life.ever(
            lambda body: spec(body, "updateStrategy") in {"Drain", "Recreate"} or spec(body, "maxIdle"), effect.time
        )
        if wanted not in asked and not (wanted == 0 and drains) and not _deleting(life, effect.time):
            now = effect.before.facts["spot" if "Low" in name else "dedicated"] if effect.before is not None else None
            if wanted != now:
                return f"{name} {wanted} is not in the spec: {asked}"
    return ""


def skipped(judged: Judged) -> list[Violation]:
    """With reconcile-policy skip nothing is done (docs/ownership.md); what a deleted object left others may adopt."""
    found = []
    for each in judged.effects():
        if each.operation == "Pools_EvaluatePoolAutoScale":
            continue
        owners = {_author(each, task) for task in each.added} or {
            each.before.owner if each.before is not None else None
        }
        asking = [attempt.life for attempt in judged.operated.asking(each)]
        for life in asking or map(judged.life_of, owners):
            gone = life is not None and life.gone is not None and life.gone <= each.time
            if life is not None and not gone and life.policies(each.time) == {"skip"}:
                found.append(Violation("skipped", f"{each.operation} {each.path} of {life} at {each.time:.1f}"))
    return found


def deleted_objects(judged: Judged) -> list[Violation]:
    """The operator deletes those whose time is over, and BatchJobs of its schedules."""
    found = []
    for each in judged.record.writes:
        if each.verb != "delete" or not 200 <= each.status < 300:
            continue
        lives = [
            life
            for life in judged.lives.values()
            if life.plural == each.resource and (life.namespace, life.name) == (each.namespace, each.name)
        ]
        ttl = any(
            life.ever(lambda body: spec(body, "ttlSecondsAfterFinished") is not None, each.time) for life in lives
        )
        cron = any(
            life.last["metadata"].get("ownerReferences") or life.name.rpartition("-")[2].isdigit() for life in lives
        )
        if not (ttl and each.resource in {"batchjobs", "batchoperations"}) and not (
            cron and each.resource == "batchjobs"
        ):
            found.append(
                Violation("unwished", f"{each.resource} {each.namespace}/{each.name} was deleted by the operator")
            )
    return found
