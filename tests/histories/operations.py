"""Rules of docs/batch-operations.md: each call once, only to what the operation may reach, and what it says of its end is so."""

from __future__ import annotations

from histories.attempts import CALLS, COME_BACK, Attempt
from histories.judged import CLUSTER, Judged, Violation
from histories.lives import annotation, condition
from histories.record import Body, Effect, Owner

_ONLY_OPERATIONS = frozenset(
    {
        "Nodes_DisableNodeScheduling", "Nodes_EnableNodeScheduling", "Nodes_CreateNodeUser", "Nodes_DeleteNodeUser",
        "Nodes_DeallocateNode", "Nodes_StartNode", "Nodes_UploadNodeLogs", "Nodes_ReplaceNodeUser", "Tasks_DeleteTaskFile",
    }
)  # fmt: skip
"""Calls that nothing else in a history asks for."""
_COUNTED = ("succeeded", "failed", "unknown", "skipped")
_REFERENCES = {"poolRef": "BatchPool", "jobRef": "BatchJob", "scheduleRef": "BatchJobSchedule"}


def once(judged: Judged) -> list[Violation]:
    """Each target of an operation has one effect at most."""
    return [
        Violation("twice", f"{effect.operation} {effect.path} at {effect.time:.1f}: {attempt.life} has done it before")
        for effect, attempt in judged.operated.again
    ]


def asked_for(judged: Judged) -> list[Violation]:
    """What only operations do, one has stored as attempted before, and not ended since."""
    found = []
    for each in judged.effects(*_ONLY_OPERATIONS):
        if not judged.operated.asking(each):
            text = "no BatchOperation has stored it as attempted, or that one has ended"
            found.append(Violation("unwished", f"{each.operation} {each.path} at {each.time:.1f}: {text}"))
    return found


def ended_is_ended(judged: Judged) -> list[Violation]:
    """After azurebatch.io/terminate nothing is done or attempted any more, as soon as the operator can know of it."""
    found = []
    told = {
        life.uid: life.heard(version.time)
        for life in judged.lives.values()
        if life.plural == "batchoperations"
        for version in reversed(life.versions)
        if annotation(version.body, "terminate") is not None
    }
    for effect in judged.effects(*CALLS.values()):
        for attempt in judged.operated.asking(effect):
            if effect.time > told.get(attempt.life.uid, effect.time):
                text = f"{effect.operation} {effect.path} at {effect.time:.1f}: {attempt.life} was terminated"
                found.append(Violation("unwished", text))
    for attempt in judged.attempts:
        if attempt.since > told.get(attempt.life.uid, attempt.since):
            text = f"{attempt.target} was attempted at {attempt.since:.1f}: {attempt.life} was terminated"
            found.append(Violation("unwished", text))
    return found


def reach(judged: Judged) -> list[Violation]:
    """A reference reaches what its object owns, an ID what no other namespace owns, and nothing reaches the task of a BatchTask."""
    found = []
    for effect in judged.effects(*CALLS.values()):
        for attempt in judged.operated.asking(effect):
            if problem := _beyond(attempt, effect):
                text = f"{effect.operation} {effect.path} at {effect.time:.1f} by {attempt.life}: {problem}"
                found.append(Violation("foreign", text))
    return found


def _beyond(attempt: Attempt, effect: Effect) -> str:
    thing, spec = effect.before, attempt.life.last["spec"]
    if thing is None:
        return ""
    owner: Owner | None = thing.owner
    if thing.kind == "task":
        if thing.owner is not None:
            return f"the task belongs to {thing.owner}"
        owner = thing.facts["job_owner"]
    if owner is not None and owner.id.lower() != attempt.resource:
        owner = None
    for member, kind in _REFERENCES.items():
        if (reference := spec.get(member)) is not None:
            named = (CLUSTER, attempt.life.namespace, kind, reference["name"])
            whose = None if owner is None else (owner.cluster, owner.namespace, owner.kind, owner.name)
            return "" if whose == named else f"it belongs to {owner}, not to what {member} names"
    foreign = owner is not None and (owner.cluster, owner.namespace) != (CLUSTER, attempt.life.namespace)
    return f"it belongs to {owner}" if foreign else ""


def outcomes_are_true(judged: Judged) -> list[Violation]:
    """What results say of a target is what has happened to it."""
    found = []
    for attempt in judged.attempts:
        acted, outcome = judged.operated.acts(attempt), attempt.outcome
        problem = ""
        if attempt.said_plainly and not acted:
            problem = "nothing was done"
        elif acted and (outcome == "Skipped" or (outcome == "Failed" and attempt.verb not in COME_BACK)):
            problem = "it was done"
        if problem:
            text = f"{attempt.life}: {attempt.target} is {outcome} ({attempt.message}), and {problem}"
            found.append(Violation("untrue", text))
    return found


def ends_are_true(judged: Judged) -> list[Violation]:
    """An operation that has begun comes to an end, and its counts, results, phase and conditions are about the same."""
    found = []
    for body in judged.record.objects:
        if body["kind"] == "BatchOperation" and "deletionTimestamp" not in body["metadata"]:
            name = f"BatchOperation {body['metadata']['namespace']}/{body['metadata']['name']}"
            found += [Violation(rule, f"{name}: {text}") for rule, text in _of_its_end(judged, body)]
    return found


def _of_its_end(judged: Judged, body: Body) -> list[tuple[str, str]]:
    status, spec = body.get("status") or {}, body["spec"]
    phase, counts, results = status.get("phase"), status.get("counts"), status.get("results") or ()
    terminated = annotation(body, "terminate") is not None
    if phase not in {"Succeeded", "Failed"}:
        if "skip" in judged.policies_at_end(body):
            return []
        if "startTime" in status or terminated:
            return [("unfulfilled", f"it has begun or was terminated, and is {phase} forever: {condition(body)}")]
        return []
    found = []
    complete, failed = (condition(body, name).get("status") == "True" for name in ("Complete", "Failed"))
    if complete == failed or complete != (phase == "Succeeded") or "completionTime" not in status:
        found.append(f"phase {phase}, Complete {complete}, Failed {failed}, {status.get('completionTime')}")
    if left := [each["target"] for each in results if each["outcome"] == "Attempted"]:
        found.append(f"it has ended, and {left} are Attempted")
    if counts is not None:
        told = sum(counts[each] for each in _COUNTED)
        if told != counts["targets"] or len(status["targets"]) != told or status["progress"] != f"{told}/{told}":
            found.append(f"counts {counts} of {len(status['targets'])} targets, progress {status['progress']}")
        shown = {name: sum(each["outcome"].lower() == name for each in results) for name in _COUNTED}
        # Targets that were not attempted are skipped without a result.
        if any(shown[name] != counts[name] for name in _COUNTED[:3]) or shown["skipped"] > counts["skipped"]:
            found.append(f"counts {counts}, and results {shown}")
        bad = counts["failed"] + counts["unknown"] > (spec.get("maxFailures") or 0)
        if failed != bad and not (failed and terminated):
            found.append(f"it is {phase} with {counts} and maxFailures {spec.get('maxFailures', 0)}")
    return [("untrue", each) for each in found]
