"""Rules for the end of a history: rest, wishes that are fulfilled or explained, true statuses, nothing secret shown."""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from pathlib import Path

import orjson

from histories.judged import Judged, Violation
from histories.lives import KINDS, annotation, condition, spec
from histories.record import Body, owner_in

_DOCS = Path(__file__).parents[2] / "docs" / "reasons.md"
_CODES = frozenset({"TooManyRequests", "ServerBusy", "InternalError", "AuthenticationFailed", "OperationTimedOut"})
_ON_ITS_WAY = frozenset(
    {
        "Creating", "Submitting", "Updating", "Deleting", "Adopting", "Enabling", "Disabling", "Terminating", "Suspending",
        "Retrying", "Resizing", "Connecting", "InternalError", "ObservationFailed", "APIServerRefused", "DeletedByOthers",
        "Throttled", "Completing", "NoAnswer", "ServiceFailed", "ConnectionFailed", "KeyRefused", "AccountNotReady",
        "AuthorityUnreachable",
    }
)  # fmt: skip
"""Reasons that pass by themselves: long after everything was healed, none of them holds any more."""


@cache
def documented() -> frozenset[str]:
    """Reasons that docs/reasons.md has."""
    return frozenset(re.findall(r"`([A-Z][A-Za-z]+)`", _DOCS.read_text()))


def no_fault(judged: Judged) -> list[Violation]:
    """No operator dies by itself or logs a traceback."""
    deaths = [Violation("fault", f"the operator has died {each}") for each in judged.record.deaths]
    return deaths + [Violation("fault", each[-600:]) for each in judged.record.tracebacks[:2]]


def rest(judged: Judged) -> list[Violation]:
    """After everything is healed, nothing changes any more in the end."""
    if judged.record.rest[1] > judged.record.rest[0]:
        return []
    return [Violation("no rest", f"still moving: {judged.record.moving[:4]}")]


def _skips(judged: Judged, body: Body) -> bool:
    return "skip" in judged.policies_at_end(body)


def _named(body: Body) -> str:
    metadata = body["metadata"]
    return f"{body['kind']} {metadata['namespace']}/{metadata['name']}"


def fulfilled(judged: Judged) -> list[Violation]:
    """Every object says of its present spec that it is as wanted, or why not, by a reason that docs/reasons.md explains."""
    found = []
    codes = {each.code for each in judged.record.effects} | _CODES
    codes |= {str(each.args["effect"].get("code")) for each in judged.record.steps if each.do == "fault"}
    for body in judged.record.objects:
        # Under the policy skip, what was never reached has no Ready.
        ready, status = condition(body) or condition(body, "Skipped"), body.get("status") or {}
        text = f"{_named(body)}: Ready {ready.get('status')} {ready.get('reason')}: {ready.get('message')}"
        if not ready and (_waits_as_task(judged, body) or condition(body, "Skipped").get("status") == "True"):
            continue
        if not ready:
            found.append(Violation("unfulfilled", f"{_named(body)} has no condition Ready"))
            continue
        if ready["reason"] not in documented() | codes:
            found.append(Violation("unfulfilled", f"{text}: not in docs/reasons.md"))
        if (
            "deletionTimestamp" not in body["metadata"]
            and status.get("observedGeneration") != body["metadata"]["generation"]
        ):
            found.append(Violation("unfulfilled", f"{text}: observed {status.get('observedGeneration')}, not {body['metadata']['generation']}"))  # noqa: E501  # fmt: skip
        if ready["reason"] in _ON_ITS_WAY and ready["status"] != "True":
            found.append(Violation("unfulfilled", f"{text}: forever on its way"))
        if "deletionTimestamp" in body["metadata"] and ready["status"] == "True":
            found.append(
                Violation("unfulfilled", f"{text}: it is being deleted, and nothing says why it is still there")
            )
        handled = status.get("handled") or {}
        waits = status.get("phase") in {"Pending", "Queued", "Suspended"}
        if body["kind"] in {"BatchJob", "BatchTask"} and not _skips(judged, body) and not waits:
            for name in ("terminate", "retry-failed"):
                value = annotation(body, name)
                key = {"terminate": "terminate", "retry-failed": "retryFailed"}[name]
                known = handled.get(key, handled.get(name))
                if value is not None and known != value and ready["status"] == "True":
                    found.append(Violation("unfulfilled", f"{text}: {name} {value!r} was not handled: {handled}"))
    return found


def _waits_as_task(judged: Judged, body: Body) -> bool:
    """Whether it is a BatchTask whose task waits in Azure Batch: nothing is written before it runs (decision 2)."""
    uid = body["metadata"]["uid"]
    return body["kind"] == "BatchTask" and any(
        f"/{uid}/" in str(task.get("environmentSettings")) and task["state"] == "active"
        for job in judged.record.jobs.values()
        for task in job["tasks"].values()
    )


def pools_are_true(judged: Judged) -> list[Violation]:
    """The status of a pool is what the service has."""
    found = []
    for body in _of(judged, "BatchPool"):
        status = body.get("status") or {}
        pool = judged.record.pools.get(status.get("id", ""))
        ready = condition(body)
        if pool is None or (owner := owner_in(pool.get("metadata"))) is None or owner.uid != body["metadata"]["uid"]:
            if ready.get("status") == "True":
                found.append(
                    Violation(
                        "untrue", f"{_named(body)} is Ready ({ready.get('reason')}), and there is no such pool of it"
                    )
                )
            continue
        shown = Counter[str]()
        for tier in ("dedicated", "lowPriority"):
            for state, number in ((status.get("nodeCounts") or {}).get(tier) or {}).items():
                if state != "total" and number:
                    shown[state.lower()] += number
        real = Counter({state.lower(): number for state, number in pool["nodes"].items() if number})
        if shown != real:
            found.append(Violation("untrue", f"{_named(body)} shows nodes {dict(shown)}, there are {dict(real)}"))
        if _skips(judged, body) or ready.get("status") != "True" or spec(body, "maxIdle"):
            continue
        for name in ("targetDedicatedNodes", "targetLowPriorityNodes"):
            wanted = spec(body, name)
            if wanted is not None and pool.get(name) != wanted and not pool.get("enableAutoScale"):
                found.append(
                    Violation("untrue", f"{_named(body)} is Ready, and {name} is {pool.get(name)}, not {wanted}")
                )
    return found


def jobs_are_true(judged: Judged) -> list[Violation]:
    """The status of a job is what the service has."""
    found = []
    for body in _of(judged, "BatchJob"):
        status = body.get("status") or {}
        phase, counts = status.get("phase"), status.get("taskCounts") or {}
        job = judged.record.jobs.get(status.get("id", ""))
        owner = owner_in(job.get("metadata")) if job is not None else None
        if job is None or owner is None or owner.uid != body["metadata"]["uid"]:
            if phase in {"Running", "Waiting", "Held", "Suspended", "Submitting"} and status.get("state"):
                found.append(Violation("untrue", f"{_named(body)} is {phase}, and there is no such job of it"))
            continue
        states = Counter(each["state"] for each in job["tasks"].values())
        failed = sum((each.get("executionInfo") or {}).get("result") == "failure" for each in job["tasks"].values())
        real = {
            "active": states["active"], "running": states["running"] + states["preparing"],
            "completed": states["completed"], "failed": failed,
        }  # fmt: skip
        shown = {name: counts.get(name) or 0 for name in real}
        if shown != real and not (phase in _DONE and _meddled(judged, job["id"])):
            found.append(Violation("untrue", f"{_named(body)} ({phase}) shows tasks {shown}, there are {real}"))
        if status.get("state") not in {None, job["state"]}:
            found.append(Violation("untrue", f"{_named(body)} shows state {status.get('state')}, it is {job['state']}"))
        if phase == "Succeeded" and failed and spec(body, "failurePolicy") is None:
            found.append(Violation("untrue", f"{_named(body)} has succeeded with {failed} failed tasks"))
        changed = condition(body, "TasksInSync").get("status") == "False" or _meddled(judged, job["id"])
        if phase == "Succeeded" and len(job["tasks"]) < len(spec(body, "tasks") or ()) and not changed:
            found.append(Violation("untrue", f"{_named(body)} has succeeded with {len(job['tasks'])} tasks"))
        skips = _skips(judged, body)
        if spec(body, "suspend") and job["state"] == "active" and not skips and condition(body).get("status") == "True":
            found.append(Violation("untrue", f"{_named(body)} is to be suspended, and its job is active"))
    return found


_DONE = frozenset({"Succeeded", "Failed"})


def _meddled(judged: Judged, job: str) -> bool:
    """Whether tasks of a job were added or deleted; a job that is done is not looked at again (docs/jobs.md)."""
    operations = {"Tasks_DeleteTask", "Tasks_CreateTask", "Tasks_ReactivateTask"}
    return any(
        each.done and each.operation in operations and each.parameters["jobId"].lower() == job.lower()
        for each in judged.record.effects
    )


def tasks_are_true(judged: Judged) -> list[Violation]:
    """The status of a task is what the service has."""
    found = []
    for body in _of(judged, "BatchTask"):
        status, uid = body.get("status") or {}, body["metadata"]["uid"]
        places = [
            task
            for job in judged.record.jobs.values()
            for task in job["tasks"].values()
            if f"/{uid}/" in str(task.get("environmentSettings"))
        ]
        if not places:
            if status.get("phase") in {"Running", "Queued"}:
                found.append(Violation("untrue", f"{_named(body)} is {status.get('phase')}, and there is no such task"))
            continue
        task = places[0]
        if len(places) > 1:
            found.append(Violation("twice", f"{_named(body)} has {len(places)} tasks"))
        if status.get("state") not in {None, task["state"]}:
            found.append(
                Violation("untrue", f"{_named(body)} shows state {status.get('state')}, it is {task['state']}")
            )
        result = (task.get("executionInfo") or {}).get("result")
        if status.get("phase") == "Succeeded" and result != "success":
            found.append(Violation("untrue", f"{_named(body)} has succeeded, and its result is {result}"))
    return found


def _of(judged: Judged, kind: str) -> list[Body]:
    return [
        each for each in judged.record.objects if each["kind"] == kind and "deletionTimestamp" not in each["metadata"]
    ]


def no_secret(judged: Judged) -> list[Violation]:
    """No value of a Secret stands in a status, an Event, a line of the log, a traceback or a write."""
    found = []
    planted = judged.record.planted
    record = judged.record
    outputs = [("log", line) for line in (*record.lines, *record.tracebacks, *record.deaths)]
    outputs += [("write", orjson.dumps(each.body).decode()) for each in record.writes if each.resource != "secrets"]
    for version in record.versions:
        if version.plural in KINDS:
            outputs.append(("status", orjson.dumps(version.body.get("status")).decode()))
        elif version.plural == "events":
            outputs.append(("event", orjson.dumps(version.body).decode()))
    for where, text in outputs:
        found += [Violation("secret", f"{where}: {text[:200]}") for each in planted if each in text]
    return found[:5]
