"""Waiting until an object has ended: what counts as reached, and what cannot be reached any more."""

from __future__ import annotations

import re
from dataclasses import dataclass

from azure_batch_kubectl import objects
from azure_batch_kubectl.choices import Goal
from azure_batch_kubectl.objects import Object
from azure_batch_operator.api.base import RETRY_FAILED
from azure_batch_operator.api.kinds import Kind

MOVING = frozenset(
    {
        "Creating", "Submitting", "Completing", "Suspending", "Enabling", "Disabling", "Terminating", "Updating", "Resizing",
        "NodesStarting", "Running",
    }
)  # fmt: skip
"""Reasons of Ready of an object that is on its way, without anything that it waits for but time."""
KINDS = (Kind.JOB, Kind.TASK, Kind.SCHEDULE, Kind.OPERATION)
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")


@dataclass(frozen=True)
class Judgment:
    """How it stands: `reached` is None while it is open, False if the goal cannot be reached any more."""

    reached: bool | None
    text: str = ""


def judged(thing: Object, goal: Goal) -> Judgment:
    """Whether an object has reached a goal; one that is asked to run again has not ended, whatever its last run says."""
    asked = str((thing["metadata"].get("annotations") or {}).get(RETRY_FAILED) or "")
    if asked and asked != (objects.status(thing).get("handled") or {}).get("retryFailed") and _runs_again(thing):
        return Judgment(None)
    for type_ in ("Complete", "Failed"):
        if objects.holds(thing, type_):
            found = objects.condition(thing, type_)
            text = f"{type_.lower()} ({found.get('reason')}): {found.get('message')}"
            return Judgment(goal is Goal.ENDED or goal == type_.lower(), text)
    return Judgment(None)


def _runs_again(thing: Object) -> bool:
    """Whether the operator takes a request to run it again: of a BatchTask that failed."""
    return thing.get("kind") == Kind.TASK and objects.holds(thing, "Failed")


def numbers(thing: Object) -> tuple[int, int]:
    """Ended and all tasks, or targets, as far as they are known."""
    counts = objects.status(thing).get("taskCounts") or {}
    if counts:
        return int(counts.get("completed") or 0), int(counts.get("total") or 0)
    done, _, all_ = str(objects.status(thing).get("progress") or "").partition("/")
    return (int(done), int(all_)) if done.isdigit() and all_.isdigit() else (0, 0)


def summary(thing: Object) -> str:
    """The state in a few words, for a line that changes."""
    found = objects.status(thing)
    counts = found.get("taskCounts") or {}
    parts = [objects.phase(thing) or "Pending"]
    parts += [f"{counts[each]} {each}" for each in ("running", "failed") if counts.get(each)]
    if found.get("waitingFor"):
        parts.append(str(found["waitingFor"]))
    return ", ".join(parts)


def reason(thing: Object) -> str | None:
    """What an object waits for that is no step of its own, in one line; None while it is on its way."""
    if objects.holds(thing, "Complete") or objects.holds(thing, "Failed"):
        return None
    if waits := objects.status(thing).get("waitingFor"):
        return " ".join(f"waits: {waits}".split())
    ready = objects.condition(thing, "Ready")
    if ready.get("status") != "False" or ready.get("reason") in MOVING or not ready.get("message"):
        return None
    how = "is stalled" if objects.holds(thing, "Stalled") else "waits"
    return " ".join(f"{how} ({ready.get('reason')}): {ready['message']}".split())


def seconds(text: str) -> float:
    """A duration as kubectl takes it: `30s`, `5m`, `1h30m`, or a number of seconds.

    Raises:
        ValueError: the text is none.
    """
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"{text!r} is not a duration: use a form such as 30s, 5m or 1h30m")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)
