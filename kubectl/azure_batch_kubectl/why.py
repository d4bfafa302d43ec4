"""Why an object is as it is, in one paragraph: the cause nearest to the user, the evidence for it, and what to do.

The operator has judged already: its conditions name cause and remedy. What is added here is what stands elsewhere: in the object's
account, its pool and its job. A cause is named only where an object shows it; tests/unit/kubectl/test_why.py has cases of both.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from azure_batch_kubectl import objects
from azure_batch_kubectl.objects import Object, condition, holds, status
from azure_batch_operator.api.kinds import KINDS, Kind
from azure_batch_operator.causes import Cause

_NOT_FINE = ("ResizeFailed", "RetryRefused", "NotApplied")
"""Conditions besides Ready and Stalled that say, when True, that something is wrong."""
_FINE_IF_TRUE = ("TasksInSync", "SecretKept", "NodesHealthy", "AutoScaleHealthy", "ImageSupported")
"""Those that say it when False."""
_TAIL = 400
_QUEUE = "kueue.x-k8s.io/queue-name"
_SHOWN = 3


@dataclass(frozen=True)
class Unreadable:
    """An object that another one names and that the user does not see.

    Attributes:
        label: kind and name.
        problem: why not, in the words of the API server.
    """

    label: str
    problem: str


@dataclass(frozen=True)
class Around:
    """What an object depends on; None for what it does not name."""

    account: Object | Unreadable | None = None
    pool: Object | Unreadable | None = None
    job: Object | Unreadable | None = None


@dataclass(frozen=True)
class Seen:
    """What Azure Batch itself showed of a job, a moment ago.

    Attributes:
        cause: why none of its tasks runs; None if tasks run, if none wait, or if no cause shows.
    """

    cause: Cause | None


@dataclass(frozen=True)
class Answer:
    """The paragraph in its parts."""

    cause: str
    evidence: tuple[str, ...] = ()
    remedy: str | None = None

    def __str__(self) -> str:
        parts = (self.cause, *self.evidence, *([f"What to do: {self.remedy}"] if self.remedy else []))
        return " ".join(_sentence(each) for each in parts)


def _sentence(text: str) -> str:
    line = " ".join(text.split())
    return line if line.endswith((".", "!", "?")) else f"{line}."


def label(thing: Object) -> str:
    """Kind and name."""
    return f"{thing['kind']} {objects.name(thing)}"


def explain(thing: Object, around: Around, seen: Seen | None = None) -> Answer:
    """What an object waits for, why it failed, or that nothing is wrong.

    Args:
        seen: what Azure Batch showed; None if it was not asked. It is newer than the status.
    """
    answer = _verdict(thing, around, seen)
    generation, known = thing["metadata"].get("generation"), status(thing).get("observedGeneration")
    if generation is not None and known is not None and 0 <= known < generation:
        late = f"The operator has not yet seen the last change of the spec (generation {generation}, seen {known})"
        return Answer(answer.cause, (*answer.evidence, late), answer.remedy)
    return answer


def _verdict(thing: Object, around: Around, seen: Seen | None) -> Answer:
    who, ready = label(thing), condition(thing, "Ready")
    if thing["metadata"].get("deletionTimestamp"):
        return Answer(f"{who} is being deleted{_said(ready)}", tuple(_parents(around)))
    if not any(objects.conditions(thing)):
        where = objects.namespace(thing)
        return Answer(
            f"{who} waits: the operator has not reconciled it yet",
            remedy=f"check that the operator runs and watches the namespace {where!r}",
        )
    if holds(thing, "Skipped"):
        text = "remove the annotation azurebatch.io/reconcile-policy to have the operator act"
        return Answer(f"{who} is left alone{_said(condition(thing, 'Skipped'))}", remedy=text)
    if holds(thing, "Failed"):
        return Answer(
            f"{who} failed{_said(condition(thing, 'Failed'))}", tuple(_failures(thing)), _after_failure(thing)
        )
    if holds(thing, "Complete"):
        return Answer(f"Nothing is wrong with {who}: it has succeeded{_progress(thing)}", tuple(_failures(thing)))
    if holds(thing, "Stalled"):
        return Answer(f"{who} is stalled{_said(condition(thing, 'Stalled'))}", (*_parents(around), *_trouble(thing)))
    return _open(thing, around, seen)


def _open(thing: Object, around: Around, seen: Seen | None) -> Answer:
    """On an object that has not ended and that no person has to act on first."""
    who, ready = label(thing), condition(thing, "Ready")
    if holds(thing, "Suspended"):
        queue = (thing["metadata"].get("labels") or {}).get(_QUEUE)
        remedy = (
            f"Kueue resumes it when queue {queue!r} admits it: kubectl get workloads"
            if queue
            else _command("resume", thing)
        )
        return Answer(f"{who} is suspended: spec.suspend is true", remedy=remedy)
    if objects.phase(thing) == "Held" and thing["kind"] == Kind.JOB:
        remedy = (
            f"correct the cause, then run the failed tasks again: {_command('retry', thing)}; "
            f"or end the job: {_command('terminate', thing)}"
        )
        return Answer(f"{who} is held{_said(ready)}", tuple(_failures(thing)), remedy)
    if seen is not None and seen.cause is not None:
        detail = [seen.cause.detail] if seen.cause.detail else []
        return Answer(f"{who} waits: {seen.cause.sentence}", (*detail, *_parents(around), *_failures(thing)))
    if waits := status(thing).get("waitingFor"):
        if seen is not None:
            return Answer(f"Nothing is wrong with {who}: what it waited for is over", tuple(_failures(thing)))
        return Answer(f"{who} waits: {waits}", (*_parents(around), *_failures(thing)))
    if ready.get("status") != "True":
        return Answer(f"{who} waits{_said(ready)}", (*_parents(around), *_trouble(thing)))
    if objects.phase(thing) == "Disabled":
        return Answer(f"{who} is disabled{_said(ready)}", tuple(_failures(thing)))
    if ready.get("reason") == "Queued" and (why := [*_parents(around)]):
        return Answer(f"{who} waits{_said(ready)}", tuple(why))
    if wrong := [*_trouble(thing)]:
        return Answer(f"{who} is {objects.phase(thing) or 'ready'}, but not all is well", tuple(wrong))
    found = f"Nothing is wrong with {who}: it is {objects.phase(thing) or 'ready'}{_progress(thing)}"
    return Answer(f"{found}{_said(ready)}", tuple(_failures(thing)))


def _command(verb: str, thing: Object) -> str:
    """A command of the plugin for an object, to be typed in any context."""
    kind = KINDS[objects.kind_of(thing["kind"])].short
    return f"kubectl azure-batch {verb} {kind}/{objects.name(thing)} -n {objects.namespace(thing)}"


def _said(found: Object) -> str:
    """Reason and message of a condition, to be put behind a verb."""
    reason, message = found.get("reason"), found.get("message")
    return (f" ({reason})" if reason else "") + (f": {message}" if message else "")


def _progress(thing: Object) -> str:
    progress = status(thing).get("progress")
    return f", {progress} tasks ended" if progress and thing["kind"] == Kind.JOB else ""


def _parents(around: Around) -> Iterator[str]:
    """What is wrong with the account, the job and the pool; the first is nearest to the cause of the others."""
    for each in (around.account, around.job, around.pool):
        if isinstance(each, Unreadable):
            yield f"{each.label} cannot be read: {each.problem}"
        elif each is not None:
            yield from _of_parent(each)


def _of_parent(parent: Object) -> Iterator[str]:
    who, ready = label(parent), condition(parent, "Ready")
    if parent["metadata"].get("deletionTimestamp"):
        yield f"{who} is being deleted"
    elif not any(objects.conditions(parent)):
        yield f"The operator has not reconciled {who} yet"
    elif holds(parent, "Suspended") or status(parent).get("waitingFor"):
        yield f"{who} {'waits: ' + status(parent)['waitingFor'] if status(parent).get('waitingFor') else 'is suspended'}"
    elif holds(parent, "Failed") or holds(parent, "Complete"):
        yield f"{who} has ended{_said(ready)}"
    elif ready.get("status") != "True" or objects.phase(parent) == "Disabled":
        yield f"{who} is not ready{_said(ready)}"
    yield from _trouble(parent)


def _trouble(thing: Object) -> Iterator[str]:
    """What an object's status shows besides its main verdict."""
    for each in objects.conditions(thing):
        wrong = "True" if each.get("type") in _NOT_FINE else "False" if each.get("type") in _FINE_IF_TRUE else None
        if wrong is not None and each.get("status") == wrong:
            yield f"{label(thing)} has {each['type']} {wrong}{_said(each)}"
    if until := (status(thing).get("throttling") or {}).get("until"):
        yield f"Azure Batch throttles {label(thing)} until {until}"
    for node in (status(thing).get("nodesInTrouble") or ())[:_SHOWN]:
        how = [f"exit code {node['exitCode']}"] if "exitCode" in node else []
        text = "; ".join([*how, *(node.get("errors") or ())])
        tail = (
            f"; the end of the stderr of its start task: {_tail(node['stderrTail'])}" if node.get("stderrTail") else ""
        )
        yield f"Node {node['id']} is {node.get('state', 'in trouble')}{': ' if text else ''}{text}{tail}"


def _failures(thing: Object) -> Iterator[str]:
    """Tasks, nodes and targets that failed, by cause."""
    found = status(thing)
    for group in found.get("failures") or ():
        count, ids = int(group.get("count", 0)), ", ".join((group.get("taskIds") or ())[:_SHOWN])
        tail = f"; the end of its stderr: {_tail(group['stderrTail'])}" if group.get("stderrTail") else ""
        missing = f"; its stderr: {group['stderrProblem']}" if group.get("stderrProblem") else ""
        yield f"{count} {'task' if count == 1 else 'tasks'} failed with {_how(group)} (first: {ids}){tail or missing}"
    for node in found.get("nodeFailures") or ():
        yield f"The {node['task']} task of the job failed on node {node['nodeId']} with {_how(node)}"
    if thing["kind"] == Kind.TASK and found.get("result") == "failure":
        info = {**(found.get("failureInfo") or {}), **({"exitCode": found["exitCode"]} if "exitCode" in found else {})}
        tail = f"; the end of its stderr: {_tail(found['stderrTail'])}" if found.get("stderrTail") else ""
        yield f"It ended with {_how(info)}{tail}"
    wrong = [each for each in found.get("results") or () if each.get("outcome") in {"Failed", "Unknown"}]
    for each in wrong[:_SHOWN]:
        yield f"{each['target']}: {each['outcome']}: {each.get('message', 'no message')}"


def _how(found: Object) -> str:
    if found.get("exitCode") is not None:
        return f"exit code {found['exitCode']}"
    text = ": ".join(str(found[each]) for each in ("code", "message") if found.get(each))
    return text or "no exit code"


def _tail(text: str) -> str:
    return repr(text.strip()[-_TAIL:])


def _after_failure(thing: Object) -> str | None:
    if thing["kind"] == Kind.JOB and status(thing).get("failures"):
        return (
            f"correct the cause and create a new BatchJob with spec.retryOf: {{name: {objects.name(thing)}}}, which runs what has "
            "failed: Azure Batch runs no task of a completed job again. With failurePolicy.action: Hold, a job with failed tasks "
            "stays open for `kubectl azure-batch retry`"
        )
    if thing["kind"] == Kind.TASK:
        return f"correct the cause, then {_command('retry', thing)} while its job is open, or create a new BatchTask"
    if thing["kind"] == Kind.OPERATION:
        return "correct the cause and create a new BatchOperation: the spec of one cannot change"
    return None
