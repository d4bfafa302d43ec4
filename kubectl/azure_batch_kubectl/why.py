"""Why an object is as it is, in one paragraph: the cause nearest to the user, the evidence for it, and what to do.

The operator has judged already: its conditions name cause and remedy. What is added here is what stands elsewhere: in the object's
account, its pool and its job. A cause is named only where an object shows it; tests/unit/kubectl/test_why.py has cases of both.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from azure_batch_kubectl import objects
from azure_batch_kubectl.failed import end_of, failures, hints, what_to_do
from azure_batch_kubectl.objects import Object, command, condition, holds, status
from azure_batch_kubectl.waiting import MOVING
from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.causes import Cause
from azure_batch_operator.causes.remedies import of_code, of_resize

_NOT_FINE = ("ResizeFailed", "RetryRefused", "NotApplied")
"""Conditions besides Ready and Stalled that say, when True, that something is wrong."""
_FINE_IF_TRUE = ("TasksInSync", "SecretKept", "NodesHealthy", "AutoScaleHealthy", "ImageSupported")
"""Those that say it when False."""
_TOO_MANY = "there are too many tasks to look at each one that waiting tasks depend on"
_QUEUE = "kueue.x-k8s.io/queue-name"
_SHOWN = 3


@dataclass(frozen=True)
class Unreadable:
    """An object that another one names and that the user does not see.

    Attributes:
        label: kind and name.
        problem: why not, in the words of the API server.
        is_missing: whether there is no such object.
    """

    label: str
    problem: str
    is_missing: bool = False

    def __str__(self) -> str:
        return f"{self.label} does not exist" if self.is_missing else f"{self.label} cannot be read: {self.problem}"


@dataclass(frozen=True)
class Around:
    """What an object depends on; None for what it does not name.

    Attributes:
        is_namespace_ending: whether the namespace of the object is being deleted, as far as the user may see.
    """

    account: Object | Unreadable | None = None
    pool: Object | Unreadable | None = None
    job: Object | Unreadable | None = None
    is_namespace_ending: bool = False


@dataclass(frozen=True)
class Seen:
    """What Azure Batch itself showed of a job or a task, a moment ago.

    Attributes:
        cause: why none of the job's tasks runs, or why the task does not; None if tasks run, if none wait, or if no cause shows.
        state: of the task; None for a job.
        failure: how the task has failed; None if it has not.
        is_complete: whether all was looked at that a cause could be in; if not, that no cause shows says nothing.
    """

    cause: Cause | None
    state: str | None = None
    failure: str | None = None
    is_complete: bool = True


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
    answer = _without_repetition(_verdict(thing, around, seen))
    generation, known = thing["metadata"].get("generation"), status(thing).get("observedGeneration")
    if generation is not None and known is not None and 0 <= known < generation:
        late = f"The operator has not yet seen the last change of the spec (generation {generation}, seen {known})"
        return Answer(answer.cause, (*answer.evidence, late), answer.remedy)
    return answer


def _without_repetition(answer: Answer) -> Answer:
    """The answer without evidence that repeats what has been said, such as the message of an account that its pools quote."""
    told, kept = answer.cause, list[str]()
    for text in answer.evidence:
        message = text.partition("): ")[2] or text.partition(" waits: ")[2]
        if (message and message in told) or _is_known_missing(text, told):
            continue
        kept.append(text)
        told += text
    return Answer(answer.cause, tuple(kept), answer.remedy)


def _is_known_missing(text: str, told: str) -> bool:
    """Whether a text only says that an object does not exist, of which that has been said."""
    label, found, rest = text.partition(" does not exist")
    return bool(found) and not rest and repr(label.rpartition("/")[2]) in told and "does not exist" in told


def _verdict(thing: Object, around: Around, seen: Seen | None) -> Answer:
    who = label(thing)
    if thing["metadata"].get("deletionTimestamp"):
        return _being_deleted(thing, around)
    if not any(objects.conditions(thing)):
        return _without_conditions(thing, around, seen)
    if holds(thing, "Skipped"):
        text = "remove the annotation azurebatch.io/reconcile-policy to have the operator act"
        return Answer(f"{who} is left alone{_said(condition(thing, 'Skipped'))}", remedy=text)
    if holds(thing, "Failed"):
        return Answer(
            f"{who} failed{_said(condition(thing, 'Failed'))}",
            tuple(failures(thing)),
            what_to_do(thing, _readable(around.pool)),
        )
    if holds(thing, "Complete"):
        return Answer(f"Nothing is wrong with {who}: it has succeeded{_progress(thing)}", tuple(failures(thing)))
    if holds(thing, "Stalled") and not _is_held(thing):
        found, more = condition(thing, "Stalled"), (*_parents(around), *_trouble(thing), *failures(thing))
        return Answer(f"{who} is stalled{_said(found)}", more, _by_reason(thing))
    return _hinted(_open(thing, around, seen), thing, around)


def _being_deleted(thing: Object, around: Around) -> Answer:
    cause, where = f"{label(thing)} is being deleted{_said(condition(thing, 'Ready'))}", objects.namespace(thing)
    if not around.is_namespace_ending:
        return Answer(cause, tuple(_parents(around)))
    # Its condition may be older than that: an operator without rights in the namespace writes none.
    ends = f"Its namespace {where} is being deleted, too"
    remedy = f"if it stays, `kubectl azure-batch doctor -n {where}` names what keeps the namespace"
    return Answer(cause, (ends, *_parents(around)), remedy)


def _hinted(answer: Answer, thing: Object, around: Around) -> Answer:
    """With what the causes of failed tasks suggest, where the answer is about these."""
    if not (_is_held(thing) or {*failures(thing)} & {*answer.evidence}):
        return answer
    found = [*hints(thing, _readable(around.pool)), *([answer.remedy] if answer.remedy else [])]
    return Answer(answer.cause, answer.evidence, "; ".join(found) or None)


def _without_conditions(thing: Object, around: Around, seen: Seen | None) -> Answer:
    """On an object of which the operator has said nothing: a BatchTask that waits in Azure Batch has no status."""
    who, parents = label(thing), tuple(_parents(around))
    if seen is not None and seen.state is not None:
        return _of_task(thing, around, seen)
    if parents:
        cause = "its task has not started" if thing["kind"] == Kind.TASK else "the operator has not acted on it yet"
        return Answer(f"{who} waits: {cause}", parents, _by_reason(*_known(around)))
    if thing["kind"] == Kind.TASK and thing["metadata"].get("finalizers"):
        # It may be in its job; only Azure Batch knows.
        return Answer(f"{who} waits: its task has not started, as far as the operator has seen")
    return Answer(
        f"{who} waits: the operator has not reconciled it yet",
        remedy=_is_down(thing),
    )


def _of_task(thing: Object, around: Around, seen: Seen) -> Answer:
    """On a task that Azure Batch shows, and of which the operator has nothing to say."""
    who, job = label(thing), _readable(around.job)
    if seen.failure is not None:
        return Answer(
            f"{who} has failed in Azure Batch ({seen.failure}), which the operator has not seen yet",
            tuple(_parents(around)),
            _by_reason(*_known(around)) or _is_down(thing),
        )
    if seen.state != "active":
        return Answer(f"Nothing is wrong with {who}: its task is {seen.state} in Azure Batch")
    if job is not None and holds(job, "Suspended"):
        return Answer(f"{who} waits: {label(job)} is suspended: spec.suspend is true", remedy=command("resume", job))
    if seen.cause is None:
        return Answer(_fine(who, "its task is queued in Azure Batch", seen))
    return Answer(f"{who} waits: {seen.cause.sentence}", (*_details(seen), *_parents(around)))


def _is_down(thing: Object) -> str:
    return f"check that the operator runs and watches the namespace {objects.namespace(thing)!r}"


def _fine(who: str, how: str, seen: Seen | None) -> str:
    """That nothing is wrong, unless something was not looked at."""
    if seen is None or seen.is_complete:
        return f"Nothing is wrong with {who}: {how}"
    return f"Whether something keeps {who} from running is not known: {how}, and {_TOO_MANY}"


def _details(seen: Seen) -> Iterator[str]:
    """What is known besides a cause."""
    if seen.cause is not None and seen.cause.detail:
        yield seen.cause.detail
    if not seen.is_complete:
        yield f"There may be another cause: {_TOO_MANY}"


def _is_held(thing: Object) -> bool:
    return thing["kind"] == Kind.JOB and objects.phase(thing) == "Held"


def _readable(found: Object | Unreadable | None) -> Object | None:
    return None if isinstance(found, Unreadable) else found


def _known(around: Around) -> Iterator[Object]:
    """What of an object's surroundings can be read."""
    for found in (around.account, around.job, around.pool):
        if found is not None and not isinstance(found, Unreadable):
            yield found


def _by_reason(*things: Object) -> str | None:
    """What to do about the first reason of a condition Ready for which that is known."""
    reasons = (str(condition(thing, "Ready").get("reason") or "") for thing in things)
    return next((text for reason in reasons if (text := of_code(reason)) is not None), None)


def _open(thing: Object, around: Around, seen: Seen | None) -> Answer:
    """On an object that has not ended and that no person has to act on first."""
    who, ready = label(thing), condition(thing, "Ready")
    if holds(thing, "Suspended"):
        queue = (thing["metadata"].get("labels") or {}).get(_QUEUE)
        kueue = f"Kueue resumes it when queue {queue!r} admits it: kubectl get workloads"
        return Answer(f"{who} is suspended: spec.suspend is true", remedy=kueue if queue else command("resume", thing))
    if _is_held(thing):
        remedy = (
            f"correct the cause, then run the failed tasks again: {command('retry', thing)}; "
            f"or end the job: {command('terminate', thing)}"
        )
        return Answer(f"{who} is held{_said(ready)}", tuple(failures(thing)), remedy)
    if thing["kind"] == Kind.TASK and ready.get("reason") == "Queued" and seen is not None and seen.state is not None:
        return _of_task(thing, around, seen)
    waits = status(thing).get("waitingFor")
    if seen is not None and seen.cause is not None and (seen.is_complete or not waits):
        more = (*_details(seen), *_parents(around), *failures(thing))
        return Answer(f"{who} waits: {seen.cause.sentence}", more)
    if waits:
        if seen is not None and seen.is_complete:
            return Answer(f"Nothing is wrong with {who}: what it waited for is over", tuple(failures(thing)))
        return Answer(f"{who} waits: {waits}", (*_parents(around), *failures(thing)))
    if ready.get("status") != "True":
        wanted, wrong = _by_reason(thing, *_known(around)), [*_parents(around), *_trouble(thing)]
        if ready.get("reason") in MOVING and not wrong:
            return Answer(_fine(who, f"it is {objects.phase(thing)}{_said(ready)}", seen), tuple(failures(thing)))
        return Answer(f"{who} waits{_said(ready)}", tuple(wrong), wanted)
    if objects.phase(thing) == "Disabled":
        return Answer(f"{who} is disabled{_said(ready)}", tuple(failures(thing)))
    if ready.get("reason") == "Queued" and (why := [*_parents(around)]):
        return Answer(f"{who} waits{_said(ready)}", tuple(why))
    if wrong := [*_trouble(thing)]:
        failed = condition(thing, "ResizeFailed")
        todo = of_resize(str(failed.get("reason"))) if failed.get("status") == "True" else None
        return Answer(f"{who} is {objects.phase(thing) or 'ready'}, but not all is well", tuple(wrong), todo)
    account = _readable(around.account)
    if account is not None and condition(account, "Ready").get("status") == "False":
        # Nobody looks at Azure Batch meanwhile, so the status may be old.
        known = f"{who} was {objects.phase(thing) or 'ready'} when it was last seen{_progress(thing)}"
        return Answer(known, (*_parents(Around(account=account)), *failures(thing)))
    how = f"it is {objects.phase(thing) or 'ready'}{_progress(thing)}{_said(ready)}"
    return Answer(_fine(who, how, seen), tuple(failures(thing)))


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
            yield str(each)
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
    yield from _nodes(status(thing).get("nodesInTrouble") or ())


def _nodes(troubled: Sequence[Object]) -> Iterator[str]:
    """Nodes in trouble, those with the same cause in one line."""
    groups: dict[tuple[str, str], list[Object]] = {}
    for node in troubled:
        how = [f"exit code {node['exitCode']}"] if "exitCode" in node else []
        cause = "; ".join([*how, *(node.get("errors") or ())])
        groups.setdefault((str(node.get("state", "in trouble")), cause), []).append(node)
    for (state, cause), nodes in islice(groups.items(), _SHOWN):
        ids = [str(node["id"]) for node in nodes]
        first = ", ".join(ids[:_SHOWN])
        who = f"Node {first} is" if len(nodes) == 1 else f"{len(nodes)} nodes (first: {first}) are"
        where, end = next(((node["id"], node["stderrTail"]) for node in nodes if node.get("stderrTail")), ("", ""))
        whose = "its start task" if len(nodes) == 1 else f"the start task on {where}"
        tail = f"; the end of the stderr of {whose}: {end_of(end)}" if end else ""
        yield f"{who} {state}{': ' if cause else ''}{cause}{tail}"
