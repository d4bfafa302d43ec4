"""Rules for BatchJobSchedules (docs/schedules.md): what statuses say of jobs, and which runs of a cron schedule may start."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from histories.judged import Judged, Violation
from histories.lives import Life, condition, spec
from histories.record import Body, Version, owner_in

_ENDED = frozenset({"Succeeded", "Failed"})
_KEPT = {"Succeeded": ("successfulJobsHistoryLimit", 3), "Failed": ("failedJobsHistoryLimit", 1)}
"""Where a cron schedule says how many of its BatchJobs stay, and how many do if it does not say."""


def active_is_true(judged: Judged) -> list[Violation]:
    """`status.active` is the number of its jobs that have not ended."""
    found = []
    for body in judged.record.objects:
        if not _is_reconciled(judged, body):
            continue
        shown = (body.get("status") or {}).get("active")
        real = _runs_open(judged, body) if spec(body, "cron") else _jobs_open(judged, body)
        if real is not None and shown != real:
            text = f"{_named(body)} shows {shown} active, there are {real}"
            found.append(Violation("untrue", text))
    return found


def history_is_kept(judged: Judged) -> list[Violation]:
    """Of the BatchJobs of a cron schedule that have ended, no more stay than it says."""
    found = []
    for body in judged.record.objects:
        if not _is_reconciled(judged, body) or not spec(body, "cron"):
            continue
        children = _children(judged, body)
        ended = Counter(_phase(child) for child in children if "deletionTimestamp" not in child["metadata"])
        for phase, (name, usual) in _KEPT.items():
            limit = spec(body, "cron", name)
            if ended[phase] > (usual if limit is None else limit):
                text = f"{_named(body)} keeps {ended[phase]} BatchJobs that are {phase}: {name} {limit}"
                found.append(Violation("unfulfilled", text))
    return found


def runs_start_as_asked(judged: Judged) -> list[Violation]:
    """Each run starts once, not while the schedule is suspended, skipped or deleted, and beside others only if they are allowed."""
    found = []
    for run, life, others in _starts(judged):
        asked = life.around(run.time)
        text = f"BatchJob {run.namespace}/{run.name} of {life} was created at {run.time:.1f}"
        if asked and all(spec(body, "suspend") for body in asked):
            found.append(Violation("unwished", f"{text}, and the schedule is suspended"))
        if life.deleting is not None and run.time > life.heard(life.deleting):
            found.append(Violation("unwished", f"{text}, and the schedule is deleted"))
        if life.policies(run.time) == {"skip"}:
            found.append(Violation("skipped", text))
        if any(other.name == run.name for other in others):
            found.append(Violation("twice", text))
        running = [other for other in others if other.name != run.name and _is_running(other)]
        policies = {spec(body, "cron", "concurrencyPolicy") for body in asked}
        if policies == {"Forbid"} and running:
            found.append(Violation("unwished", f"{text} beside {running[0].name}, which Forbid does not allow"))
        left = [other for other in running if "deletionTimestamp" not in other.body["metadata"]]
        if policies == {"Replace"} and left:
            found.append(Violation("unwished", f"{text} beside {left[0].name}, which Replace deletes first"))
    return found


def _starts(judged: Judged) -> Iterator[tuple[Version, Life, list[Version]]]:
    """Each BatchJob that a cron schedule has created, with its schedule and the latest versions of those that came before."""
    runs: dict[str, dict[str, Version]] = defaultdict(dict)
    for version in judged.record.versions:
        if version.plural != "batchjobs" or (owner := _schedule_of(version.body)) is None:
            continue
        life = judged.lives.get(owner)
        if life is not None and version.uid not in runs[owner] and version.type == "ADDED":
            yield version, life, list(runs[owner].values())
        before = runs[owner].get(version.uid)
        # A run that has ended does not run again while it is deleted, and its status says only that it is.
        if before is None or _is_running(before) or _phase(version.body) != "Deleting":
            runs[owner][version.uid] = version


def _is_running(run: Version) -> bool:
    return run.type != "DELETED" and _phase(run.body) not in _ENDED


def _schedule_of(body: Body) -> str | None:
    """Uid of the schedule that a BatchJob is a run of."""
    owners = body["metadata"].get("ownerReferences") or ()
    return next((str(owner["uid"]) for owner in owners if owner["kind"] == "BatchJobSchedule"), None)


def _children(judged: Judged, schedule: Body) -> list[Body]:
    uid = schedule["metadata"]["uid"]
    return [body for body in judged.record.objects if body["kind"] == "BatchJob" and _schedule_of(body) == uid]


def _runs_open(judged: Judged, schedule: Body) -> int | None:
    """BatchJobs of a cron schedule that have not ended; None if the schedule is invalid, so that nothing is said of them."""
    if condition(schedule).get("reason") == "InvalidSchedule":
        return None
    return sum(_phase_of_work(judged, child) not in _ENDED for child in _children(judged, schedule))


def _jobs_open(judged: Judged, schedule: Body) -> int | None:
    """Jobs of a schedule in Azure Batch that have not ended; None if there is no schedule of the object, or it is not read."""
    if condition(schedule).get("status") != "True":
        return None
    id = str((schedule.get("status") or {}).get("id", "")).lower()
    for known, remote in judged.record.schedules.items():
        owner = owner_in(remote.get("metadata"))
        if known.lower() == id and owner is not None and owner.uid == schedule["metadata"]["uid"]:
            jobs = [job for name, job in judged.record.jobs.items() if name.lower().startswith(f"{id}:")]
            return len([job for job in jobs if job["state"] != "completed"])
    return None


def _phase_of_work(judged: Judged, run: Body) -> str:
    """The phase of a run; of one that is being deleted, the one before."""
    uid, phase = run["metadata"]["uid"], _phase(run)
    if phase != "Deleting":
        return phase
    before = [_phase(version.body) for version in judged.record.versions if version.uid == uid]
    return next((each for each in reversed(before) if each != "Deleting"), phase)


def _phase(body: Body) -> str:
    return str((body.get("status") or {}).get("phase", ""))


def _is_reconciled(judged: Judged, body: Body) -> bool:
    """Whether it is a schedule whose status is kept up to date."""
    gone = "deletionTimestamp" in body["metadata"]
    return body["kind"] == "BatchJobSchedule" and not gone and "skip" not in judged.policies_at_end(body)


def _named(body: Body) -> str:
    return f"{body['kind']} {body['metadata']['namespace']}/{body['metadata']['name']}"
