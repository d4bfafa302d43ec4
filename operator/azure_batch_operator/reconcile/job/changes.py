"""The differences between a BatchJob and its job in Azure Batch: what can be changed, and what no call can revert.

Nothing else in `reconcile.job` reads the body of a job; other decisions are made from `batch.job_wire.Job`.

What the job was last given is noted in its metadata (`applied`), so that a member that the spec no longer mentions goes back to
what the service has without it. See docs/decisions/0020.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Mapping
from typing import Any

from msgspec import to_builtins

from azure_batch_operator.api.base import HELD_METADATA, HOLDS_METADATA, TASKS_METADATA
from azure_batch_operator.api.job import JobSpec
from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.batch.job_wire import Job, JobConstraints
from azure_batch_operator.batch.wire import Body, Wire, build, convert
from azure_batch_operator.reconcile import applied, ownership
from azure_batch_operator.reconcile import normalization as normal
from azure_batch_operator.reconcile.applied import NOT_APPLIED, STAYS, Applied, differences
from azure_batch_operator.reconcile.job import expand
from azure_batch_operator.reconcile.job.spec import JobTerms, Logs
from azure_batch_operator.reconcile.job.task_policies import Policies
from azure_batch_operator.reconcile.ownership import MarkedBody
from azure_batch_operator.shapes import whole_number

_SOURCES = ("tasks", "tasksFrom", "taskFactory", "retryOf")
_POLICIES: Mapping[str, tuple[str, ...]] = {
    "taskPrunePolicy": ("Keep", "Delete"),
    "taskUpdatePolicy": ("Refuse", "Replace"),
}
PLAIN: Body = {
    "priority": 0,
    "maxParallelTasks": -1,
    "allowTaskPreemption": False,
    "networkConfiguration": STAYS,
}
"""Members that the service takes as they stand, each with what it has where the spec leaves it out (see `differences`).

Beside these, `constraints`, `onAllTasksComplete`, `poolInfo` and `metadata` can be changed, each with rules of its own.
"""
_CHANGING = "changing"
"""Stands in the note in place of a fingerprint, and is none: the tasks have to be compared with a list."""
_ONLY_ADDED = "+"
"""Stands in the note in place of an aim: no policy so far has deleted tasks, so the next sources need no mark either."""
_NOTED = "noted:"
"""In front of a fingerprint in a status that was taken from the note at the job, policies included."""
_FIXED = "commonEnvironmentSettings"
"""The one default of an account that the service never changes for a job; its own spec cannot change it either."""
_NO_CONSTRAINTS: Body = {"maxWallClockTime": normal.UNLIMITED, "maxTaskRetryCount": 0}


class _Making(Wire, frozen=True, gc=False):
    """What the tasks are made with, beside their sources."""

    logs: Logs = Logs()
    on_dependency_failure: str | None = None


def fingerprint(spec: Body) -> str:
    """A short text that differs when what the tasks are made from does, or what happens to those that differ.

    ConfigMaps count by name; for what they hold see `with_contents`.
    """
    sources = _sources(spec)
    return _digest(sources | {name: spec[name] for name in _POLICIES if name in spec}) if sources else ""


def origin(spec: Body) -> str:
    """The same of the sources alone, for a job whose tasks are fixed; `none` without any."""
    sources = _sources(spec)
    return _digest(sources) if sources else "none"


def made_from(job: Job) -> str:
    """What the tasks of a job are made from, by its note, for a status that does not say so yet; empty if never all were in."""
    noted = noted_tasks(job)[0]
    return "" if noted in {"", _CHANGING} else f"{_NOTED}{noted}"


def is_made_from(spec: Body, known: str, origin_now: str) -> bool | None:
    """Whether the sources of a spec are those that a status names; None if that is not known.

    The policies do not count. A fingerprint from a note has those of its time in it, so it is compared with one for each of them.

    Args:
        known: by `origin` or `made_from`, with the ConfigMaps' texts.
        origin_now: that of the spec, with the ConfigMaps' texts. Without it, because a ConfigMap or Secret cannot be read, the
            spec alone still tells some changes.
    """
    contents = origin_now.partition(".")[2] or None
    if not origin_now:
        known, origin_now = without_contents(known), origin(spec)
        same = is_made_from(spec, known, origin_now)
        return None if same else same
    if not known.startswith(_NOTED):
        return known == origin_now
    noted, sources = known.removeprefix(_NOTED), _sources(spec)
    if not sources:
        return False
    for values in itertools.product(*((None, *allowed) for allowed in _POLICIES.values())):
        policies = {name: value for name, value in zip(_POLICIES, values, strict=True) if value is not None}
        if noted == with_contents(_digest(sources | policies), contents):
            return True
    return False


def with_contents(print_: str, contents: str | None) -> str:
    """A fingerprint, with that of the ConfigMaps' texts where there are any."""
    return f"{print_}.{contents}" if contents else print_


def without_contents(print_: str) -> str:
    """The part of it that stands for the spec alone."""
    return print_.partition(".")[0]


def _sources(spec: Body) -> dict[str, Any]:
    sources = {name: spec[name] for name in _SOURCES if spec.get(name)}
    made = build(_Making, spec)
    if sources and made.logs.upload:
        sources["upload"] = made.logs.upload
    if sources and made.on_dependency_failure == "Ignore":
        sources["onDependencyFailure"] = "Ignore"
    return sources


def _digest(value: Body) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def tasks_note(print_: str, width: int, created: str | None = None, aim: str = "") -> str:
    """The note that says which tasks a job has: the arguments, with `/` between them.

    Args:
        print_: fingerprint of the sources whose tasks are all in; empty before that.
        width: digits of the ids.
        created: `creationTime` of the job, so that a job that was made from a copy of its body does not pass for one with tasks.
        aim: fingerprint of the sources that the tasks are being brought in line with, or `_ONLY_ADDED`.
    """
    return "/".join([print_, str(width), created or "", aim]).rstrip("/")


def noted_tasks(job: Job) -> tuple[str, int | None]:
    """Fingerprint of the tasks that a job has and the digits of its ids.

    The fingerprint is "" before they are all in for the first time, and one of no sources once they begin to be changed (`mark`).
    """
    return _noted(job)[:2]


def _noted(job: Job) -> tuple[str, int | None, str]:
    print_, width, created, aim = [*(job.note(TASKS_METADATA) or "").split("/"), "", "", ""][:4]
    if created not in ("", job.creation_time):
        print_ = aim = ""
    return print_, whole_number(width), aim


def are_changing(job: Job) -> bool:
    """Whether the tasks of a job were being brought in line with other sources, so that some may have been deleted."""
    return noted_tasks(job)[0] == _CHANGING


def new_note(spec: JobTerms, print_: str) -> str:
    """The note of a job that is created to have the tasks of its spec."""
    deletes = Policies.of(spec).deletes
    return tasks_note("", expand.id_width(spec), aim=print_ if deletes else _ONLY_ADDED)


def complete_note(spec: JobTerms, job: Job, print_: str) -> str:
    """The note of a job that has all tasks of its spec."""
    width = noted_tasks(job)[1] or expand.id_width(spec)
    aim = "" if Policies.of(spec).deletes else _ONLY_ADDED
    return tasks_note(print_, width, job.creation_time, aim)


def mark(spec: JobTerms, job: Job, print_: str) -> dict[str, str | None]:
    """The note that a job needs before its tasks are brought in line with other sources; empty if it needs none.

    Without it a spec that goes back to the former sources, after a refusal or a crash, would pass for one whose tasks are all in.
    The mark names the new sources, so that each change of them changes the ETag of the job: a note that the former ones are in,
    sent before and held up on its way, is refused from then on (tests/quick/test_replaced.py).

    Where no policy deletes tasks, neither before nor now, there is nothing to lose, and no call is made.

    Args:
        print_: fingerprint of the sources as they are now.
    """
    noted, digits, aim = _noted(job)
    if print_ in (noted, aim):
        return {}
    only_added = aim == _ONLY_ADDED or not (noted or aim)
    if only_added and not Policies.of(spec).deletes:
        return {}
    width = digits or expand.id_width(spec)
    return {TASKS_METADATA: tasks_note(noted and _CHANGING, width, job.creation_time, print_)}


def constraints(spec: JobTerms, job: Job | None) -> dict[str, Any] | None:
    """The constraints that the job shall have; None where the spec says nothing of them.

    `activeDeadlineSeconds` counts from the last resumption, which is when an active job left `disabled`, and not while the job is
    suspended, as for batch/v1 Job.

    Args:
        job: None before it is created.
    """
    given = dict(spec.constraints or {})
    deadline, retries = spec.active_deadline_seconds, spec.backoff.task_retries
    if not given and deadline is None and retries is None:
        return None
    if retries is not None and "maxTaskRetryCount" not in given:
        given["maxTaskRetryCount"] = retries
    if deadline is not None and not spec.suspend:
        own = normal.seconds_ticks(deadline + _before_resumption(job))
        if own < normal.duration_limit(convert(JobConstraints, given).max_wall_clock_time):
            given["maxWallClockTime"] = f"PT{own // normal.SECOND}S"
    return given


def _before_resumption(job: Job | None) -> int:
    """Seconds of a job's life that do not count, since it was suspended after them."""
    if job is None or job.state != "active" or job.previous_state != "disabled":
        return 0
    start, resumed = job.execution.start_time, job.state_transition_time
    return normal.seconds_between(start, resumed) if start and resumed else 0


def _said(spec: JobTerms) -> dict[str, Any]:
    """What the spec says of the members that the note is about."""
    body = JobSpec.rest_body(spec.whole)
    said = {name: body[name] for name in (*PLAIN, "metadata") if name in body}
    limits = [spec.constraints, spec.active_deadline_seconds, spec.backoff.task_retries]
    said |= {"constraints": limits} if any(each is not None for each in limits) else {}
    # Noted also where there are none: an account may give some later.
    return said | {_FIXED: body.get(_FIXED)}


def with_note(body: Body, spec: Body) -> dict[str, Any]:
    """The body of a new job with the note of what it is made from."""
    return applied.with_note(body, _said(JobTerms.of(spec)))


def changes(spec: JobTerms, job: Job, remote: Body, notes: Mapping[str, str | None]) -> dict[str, Any]:
    """Members for a PATCH: where the service differs from the spec, or from its own value where the spec is silent.

    Args:
        remote: the whole body of the job.
        notes: metadata of our own that the job shall have, by name; None takes one away, others stay.
    """
    before, marks = applied.noted(remote), applied.marks(_said(spec))
    found = differences(PLAIN, JobSpec.rest_body(spec.whole), remote, before, marks)
    change = found.members
    not_yet = {*found.stuck, _FIXED}
    if (wanted := _wanted_constraints(spec, job, remote, before, marks)) is None:
        not_yet.add("constraints")
    elif normal.job_constraints(convert(JobConstraints, wanted)) != normal.job_constraints(job.constraints):
        change["constraints"] = wanted
    items = _metadata(spec.whole, job, remote, before, notes)
    noted = applied.note(applied.after(before, marks, not_yet=not_yet))
    there = {item.name: item.value for item in job.metadata if item.name != noted["name"]}
    same_items = {item.name: item.value for item in MarkedBody.of({"metadata": items}).metadata} == there
    # A job of our own is compared to the letter without its note, so that the note can wait for the next change.
    must_note = before.keeps and (not before.known or noted["value"] != applied.note(before.marks)["value"])
    if not same_items or must_note or (change and noted["value"] != applied.note(before.marks)["value"]):
        change["metadata"] = [*items, noted]
    return change


def _wanted_constraints(
    spec: JobTerms, job: Job, remote: Body, before: Applied, marks: Mapping[str, str]
) -> dict[str, Any] | None:
    """The constraints that the job shall have; None where they stay as they are for now."""
    # While a job is on its way between states it cannot be said from when its deadline counts.
    settled = job.state == "active" or spec.suspend or spec.active_deadline_seconds is None
    given = constraints(spec, job)
    if not settled or (given is None and before.leaves("constraints")):
        return None
    without = dict(_NO_CONSTRAINTS)
    if before.keeps and before.lenient("constraints", marks.get("constraints")) and "constraints" in remote:
        without |= remote["constraints"]
    return without | (given or {})


def cannot_be_undone(spec: JobTerms, job: Job, remote: Body, *, tasks_left: bool) -> dict[str, tuple[bool, str, str]]:
    """The condition of a job of whose spec something cannot be brought about any more; none if there is no such thing.

    Args:
        tasks_left: whether tasks have not ended yet.
    """
    before, body = applied.noted(remote), JobSpec.rest_body(spec.whole)
    stuck = applied.cannot_be_unset(differences(PLAIN, body, remote, before, {}).stuck, Kind.JOB)
    texts = [text for _, _, text in stuck.values()]
    if job.ends_with_its_tasks:
        texts += _too_late_to_stay_open(spec, adopted=before.keeps, tasks_left=tasks_left)
    return {NOT_APPLIED: (True, "CannotBeUndone", "; ".join(texts))} if texts else {}


def outdated(spec: JobTerms, remote: Body) -> dict[str, tuple[bool, str, str]]:
    """The condition of a job that was created with other defaults of its account, in what the service never changes.

    The job is what its own spec says, so it is ready all the same.
    """
    before = applied.noted(remote).marks
    if _FIXED not in before or before[_FIXED] == applied.marks(_said(spec))[_FIXED]:
        return {}
    text = (
        f"spec.defaults.job.{_FIXED} of the BatchAccount was changed after this job was created, but Azure Batch cannot "
        "change it for an existing job, so the job keeps its values: create a new BatchJob to use the new ones"
    )
    return {NOT_APPLIED: (True, "FixedAtCreation", text)}


def _too_late_to_stay_open(spec: JobTerms, *, adopted: bool, tasks_left: bool) -> list[str]:
    wish = spec.on_all_tasks_complete
    if (wish is None and not expand.total(spec) and not adopted) or spec.stays_open:
        said = "is noaction" if wish is not None else "is unset, which means noaction for a job without its own tasks"
        member, way = "onAllTasksComplete", "set it to terminatejob"
    elif tasks_left and spec.failure_policy.action == "Hold":
        # Once all tasks have ended well it is the operator that ends the job.
        said, member, way = "is Hold", "failurePolicy.action", "set it to Continue or Stop"
    else:
        return []
    text = (
        f"spec.{member} {said}, but the job in Azure Batch has onAllTasksComplete: terminatejob, which Azure Batch cannot "
        f"revert: the job ends with its last task. Either {way}, or create a new BatchJob for a job that stays open"
    )
    return [text]


def with_notes(job: Job, remote: Body, notes: Mapping[str, str | None]) -> dict[str, Any]:
    """Members for a PATCH that changes nothing but our own notes; empty if they stand already.

    Args:
        remote, notes: as for `changes`.
    """
    if all(job.note(name) == value for name, value in notes.items()):
        return {}
    items = [to_builtins(item) for item in job.metadata if item.name not in notes]
    return {
        "metadata": [*items, *({"name": name, "value": value} for name, value in notes.items() if value is not None)]
    }


def _metadata(
    spec: Body, job: Job, remote: Body, before: Applied, notes: Mapping[str, str | None]
) -> list[dict[str, str]]:
    own = applied.own_items(spec, remote, before)
    items: list[dict[str, str]] = ownership.with_same_marker({"metadata": own}, remote)["metadata"]
    kept = {name: job.note(name) for name in (HELD_METADATA, HOLDS_METADATA, TASKS_METADATA)} | dict(notes)
    items = [item for item in items if item["name"] not in kept]
    return items + [{"name": name, "value": value} for name, value in kept.items() if value is not None]
