"""BatchOperation: one call, or one call for each of many targets, made once and recorded (docs/decisions/0032-operations.md).

All that must survive a restart is in the status: the targets, fixed before the first call, and which of them were `Attempted`,
written before the calls are made. So one write says how the last batch has ended and which one begins. What this process has seen
and done beyond that is `Progress`, which `sync.operations` keeps.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from azure_batch_operator.api.base import TERMINATE
from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.operation_inputs import MAX_TARGETS
from azure_batch_operator.api.operation_status import MAX_RESULTS, MAX_VALUES
from azure_batch_operator.api.resource import Resource
from azure_batch_operator.batch.wire import Body, build, convert
from azure_batch_operator.reconcile.annotations import handled, pending_request
from azure_batch_operator.reconcile.before import status_before
from azure_batch_operator.reconcile.error_classes import classify_error
from azure_batch_operator.reconcile.operation.spec import Before, OperationSpec, RecordedResult
from azure_batch_operator.reconcile.operation_order import (
    ATTEMPTED,
    FAILED,
    NOT_OURS,
    SKIPPED,
    SUCCEEDED,
    UNKNOWN,
    Operate,
    Place,
    Progress,
    Request,
    Result,
)
from azure_batch_operator.reconcile.operation_verbs import MAX_PER_REMOVAL, VERBS
from azure_batch_operator.reconcile.plan import AccountView, Event, ObjectChange, Plan
from azure_batch_operator.reconcile.standard_plans import failed, waiting, with_event, without_account
from azure_batch_operator.reconcile.status import (
    Verdict,
    carry_over,
    has_ended,
    seconds_since,
    shortened,
    status,
    timestamp,
)

_CONCURRENT = 10
_RESULT_BYTES = 96 * 1024
"""Of all results in a status, which is written again with each batch."""
_VALUE_BYTES = 8 * 1024
"""Of the values of one result."""
_MESSAGE_BYTES = 400
TOO_MANY = "TooManyTargets"
"""Reason of a failure before anything was done."""
TARGETS_FAILED = "TargetsFailed"
"""Reason of a failure."""
OUTCOME_UNKNOWN = "OutcomeUnknown"
"""Reason of a failure where no call was refused."""
TERMINATED = "OperationTerminated"
"""Reason of a failure that a user has asked for."""
_EDITED = "the status no longer shows which targets were attempted, so the operation stops: create a new BatchOperation"
_Ending = tuple[str, str]
"""Reason and message of what ends an operation before all of its targets were attempted."""
_COUNTED = {SUCCEEDED: "succeeded", FAILED: "failed", UNKNOWN: "unknown", SKIPPED: "skipped"}


@dataclass(frozen=True)
class View:
    """What a plan is decided from besides the object and its account.

    Attributes:
        request: what is to be called; None if the spec names an object that does not exist, and nothing has begun.
        missing: reason and message of such an object.
        progress: what this process knows.
    """

    request: Request | None = None
    missing: tuple[str, str] | None = None
    progress: Progress = field(default_factory=Progress)


def is_open(resource: Resource) -> bool:
    """Whether something is left to do."""
    return resource.deleting or not has_ended(resource)


def size_of(spec: OperationSpec, verb: str) -> int:
    """Targets of a batch."""
    usual = MAX_PER_REMOVAL if VERBS[verb].group else _CONCURRENT
    return usual if spec.max_concurrent is None else spec.max_concurrent


def plan(resource: Resource, account: AccountView, view: View, now: float) -> Plan:
    """Decide about one BatchOperation."""
    if resource.deleting:
        # What has begun is written nowhere any more, so there is nothing to wait for.
        return Plan()
    if has_ended(resource):
        return _finished(resource, now)
    if (ending := _ending(resource, view)) is not None:
        return _end(resource, account, view, ending, now)
    if view.missing is not None:
        return waiting(resource, *view.missing, now)
    if not account.usable or view.request is None:
        return without_account(resource, account, now)
    progress = view.progress
    if progress.busy:
        return _slow(resource, progress, now)
    if not {"targets", "counts"} <= resource.status.keys():
        if "startTime" in resource.status:
            # Somebody has edited it while the operator was down. What may have been done is not done again.
            return _over(resource, _members_of(resource), OUTCOME_UNKNOWN, _EDITED, now)
        return _begin(resource, account, view.request, progress, now)
    return _go_on(resource, view.request, progress, now)


def _ending(resource: Resource, view: View) -> _Ending | None:
    """Why the operation ends, whatever else it waits for; None if it continues."""
    if pending_request(resource, TERMINATE):
        return TERMINATED, f"{TERMINATE} ended it"
    if (stored := convert(Before, resource.status).ending) is not None:
        return stored.reason, stored.message
    if view.progress.ending is not None:
        return view.progress.ending
    return view.missing if "startTime" in resource.status else None


def _end(resource: Resource, account: AccountView, view: View, ending: _Ending, now: float) -> Plan:
    """Make no more calls, find out about those that may have been made, and write down the end."""
    progress, reason, text = view.progress, *ending
    if progress.busy:
        slow = _slow(resource, progress, now)
        shown = {**(resource.status if slow.status is None else slow.status), "ending": _stored(ending)}
        return replace(slow, status=None if shown == resource.status else shown, halts=True)
    if not {"targets", "counts"} <= resource.status.keys():
        if "startTime" in resource.status:
            return _over(resource, _members_of(resource), OUTCOME_UNKNOWN, _EDITED, now)
        return _over(resource, {}, reason, f"{text} before anything was done", now)
    if view.request is None or not account.usable:
        if account.opening or reason != TERMINATED:
            return without_account(resource, account, now)
        why = account.message or (view.missing or ("", ""))[1]
        unknown = Result(UNKNOWN, f"it may have been done, but the target cannot be read: {why}")
        attempted = {result.target: unknown for result in _attempted(resource.status)}
        members = _taken_in(_members_of(resource), {**attempted, **_known(progress, attempted)}, now)
        return _finish(resource, members, now, ending)
    return _go_on(resource, view.request, progress, now, ending)


def _stored(ending: _Ending) -> dict[str, str]:
    """What the status says of an ending, so that neither a restart nor a removed annotation takes it back."""
    return {"reason": ending[0], "message": ending[1]}


def _results(members: Body) -> Sequence[Body]:
    return members.get("results") or ()


def _attempted(members: Body) -> list[RecordedResult]:
    return [build(RecordedResult, result) for result in _results(members) if result["outcome"] == ATTEMPTED]


def _known(progress: Progress, targets: Iterable[str]) -> dict[str, Result]:
    return {target: progress.results[target] for target in targets if target in progress.results}


def _slow(resource: Resource, progress: Progress, now: float) -> Plan:
    """Something is in progress; that it waits for Azure Batch is said."""
    if progress.problem is None:
        return Plan()
    return failed(resource, classify_error(progress.problem), now)


def _refused(resource: Resource, request: Request, refused: tuple[str, str], now: float) -> Plan:
    """The resource may not be touched: whoever owns it may change, so it is checked again, ever less often."""
    reason, message = refused
    if reason == NOT_OURS:
        return replace(waiting(resource, reason, message, now), operate=Operate(request, choose=True))
    verdict = Verdict("Stalled", reason, message, ready=False, trend="Stalled")
    shown = Plan(status=carry_over(resource, verdict, now), operate=Operate(request, choose=True))
    return with_event(resource, shown, verdict)


def _begin(resource: Resource, account: AccountView, request: Request, progress: Progress, now: float) -> Plan:
    """Choose the targets and write them down, with the first batch."""
    if progress.refused is not None:
        return _refused(resource, request, progress.refused, now)
    chosen = progress.chosen
    if chosen is None:
        told = failed(resource, classify_error(progress.problem), now) if progress.problem is not None else Plan()
        return replace(told, operate=Operate(request, choose=True))
    if chosen.beyond:
        text = (
            f"more than {MAX_TARGETS} targets match, which is over the limit for one operation: nothing was done. "
            f"Create a new BatchOperation with most: {MAX_TARGETS}, or with fewer"
        )
        return _over(resource, {}, TOO_MANY, text, now)
    begun = {
        "account": account.name,
        "id": request.place.outer or None,
        "url": f"{account.url}{request.place.path}" if request.place.outer else None,
        "created": chosen.created or None,
        "startTime": timestamp(now),
        "targets": list(chosen.targets),
        "counts": {"targets": len(chosen.targets), **dict.fromkeys(_COUNTED.values(), 0)},
    }
    members = {name: value for name, value in begun.items() if value is not None}
    reach = replace(request.reach, created=chosen.created)
    return _next(resource, replace(request, reach=reach), members, progress, now)


def _go_on(resource: Resource, request: Request, progress: Progress, now: float, ending: _Ending | None = None) -> Plan:
    """Take in how the last batch has ended, and begin the next one."""
    members = _members_of(resource)
    attempted = [result.target for result in _attempted(members)]
    known = _known(progress, attempted)
    if len(known) < len(attempted):
        shown = dict(resource.status) | ({} if ending is None else {"ending": _stored(ending)})
        begun = _attempt(resource, request, members, progress, shown, now)
        if ending is None or begun.operate is None:
            return begun
        return replace(begun, operate=replace(begun.operate, ending=ending, following=()))
    members = _taken_in(members, known, now)
    if ending is not None:
        return _finish(resource, members, now, ending, sum(result.given_up for result in known.values()))
    return _next(resource, request, members, progress, now)


_VERDICT = frozenset({"phase", "conditions", "observedGeneration", "handled"})


def _attempt(
    resource: Resource,
    request: Request,
    members: Body,
    progress: Progress,
    shown: Body,
    now: float,
) -> Plan:
    """Have the calls made for what the status says is `Attempted`, once the API server has it."""
    results = _attempted(members)
    attempted = {result.target: result.before for result in results}
    left = _left(members)[len(attempted) : len(attempted) + request.size]
    doubt = any(target not in progress.looks for target in attempted)
    age = max((seconds_since(result.time, now) for result in results), default=0.0) if doubt else 0.0
    operate = Operate(request, attempt=attempted, doubt=doubt, age=max(age, 0.0), following=tuple(left))
    if untried := {target for target in attempted if target in progress.looks or target in progress.untried}:
        known = _taken_in(members, _known(progress, attempted), now)
        kept_ = [each for each in known["results"] if each["target"] not in untried]
        operate = replace(operate, otherwise=_shown(resource, {**known, "results": kept_}, now))
    # Also where it is stored already: a write that failed may still be owed, and then it is waited for.
    return Plan(first=shown, operate=operate)


def _next(resource: Resource, request: Request, members: Body, progress: Progress, now: float) -> Plan:
    """Write down the next batch and begin it; what is not to be attempted is taken in at once."""
    left = _left(members)
    if not left or _why_stopped(resource, members["counts"]):
        return _finish(resource, members, now)
    batch = left[: request.size]
    if any(target not in progress.looks for target in batch):
        shown = members if members != _members_of(resource) else None
        told = Plan() if shown is None else Plan(status=_shown(resource, shown, now))
        if progress.problem is not None:
            told = failed(resource, classify_error(progress.problem), now, told.status)
        return replace(told, operate=Operate(request, following=tuple(batch), otherwise=told.status))
    looks = {target: progress.looks[target] for target in batch}
    settled = {target: look.result for target, look in looks.items() if look.result is not None}
    members = _taken_in(members, settled, now)
    tries = [target for target in batch if target not in settled]
    if not tries:
        return _next(resource, request, members, replace(progress, results={}), now)
    stamp = timestamp(now)
    entries = [
        {"target": target, "outcome": ATTEMPTED, "time": stamp}
        | ({"before": looks[target].before} if looks[target].before else {})
        for target in tries
    ]
    so_far = None if "targets" not in resource.status else _shown(resource, members, now)
    members = _listed(members, [*_results(members), *entries])
    shown = _shown(resource, members, now)
    begun = _attempt(resource, request, members, progress, shown, now)
    operate = begun.operate and replace(begun.operate, otherwise=so_far)
    events = () if convert(Before, resource.status).start_time else (_started(members, request),)
    return replace(begun, operate=operate, status=shown, events=events)


def _members_of(resource: Resource) -> Body:
    return {name: value for name, value in resource.status.items() if name not in _VERDICT}


def _started(members: Body, request: Request) -> Event:
    number = members["counts"]["targets"]
    return Event("OperationStarted", f"{request.verb} of {request.place.leaf or 'the account'}: {_targets(number)}")


def _targets(number: int) -> str:
    return "1 target" if number == 1 else f"{number} targets"


def _left(members: Body) -> list[str]:
    """Targets without an outcome, in their order; those that are attempted are the first of them."""
    counts = members["counts"]
    over = sum(int(counts.get(name, 0)) for name in _COUNTED.values())
    return [str(target) for target in members["targets"][over:]]


def _why_stopped(resource: Resource, counts: Mapping[str, int]) -> str | None:
    """Why no further targets are attempted; None if they are."""
    spec = convert(OperationSpec, resource.spec)
    stops = spec.pause_policy == "Stop" and _failures(counts) > spec.max_failures
    return "pausePolicy is Stop" if stops else None


def _failures(counts: Mapping[str, int]) -> int:
    return int(counts["failed"]) + int(counts["unknown"])


def _taken_in(members: Body, results: Mapping[str, Result], now: float) -> dict[str, Any]:
    """Members with outcomes in place of attempts, and within the bounds of a status."""
    if not results:
        return dict(members)
    counts = dict(members["counts"])
    for result in results.values():
        counts[_COUNTED[result.outcome]] += 1
    others = [recorded for recorded in _results(members) if recorded["target"] not in results]
    entries = [_entry(target, result, timestamp(now)) for target, result in results.items()]
    return _listed({**members, "counts": counts}, [*others, *entries])


def _listed(members: Body, entries: Sequence[Body]) -> dict[str, Any]:
    """Members with as many results as there is room for."""
    listed, omitted = _bounded(entries)
    omitted += convert(Before, members).omitted_results
    return {**members, "results": listed, **({"omittedResults": omitted} if omitted else {})}


def _entry(target: str, result: Result, stamp: str) -> dict[str, Any]:
    values, omitted = _bounded_values(result)
    said: dict[str, Any] = {
        "message": shortened(result.message, _MESSAGE_BYTES) or None,
        "requestId": result.request_id,
        "values": values or None,
        "omittedValues": omitted or None,
    }
    entry = {"target": target, "outcome": result.outcome, "time": stamp}
    return entry | {name: value for name, value in said.items() if value is not None}


def _bounded_values(result: Result) -> tuple[dict[str, str], int]:
    values: dict[str, str] = {}
    room = _VALUE_BYTES
    for name, text in result.values:
        shown = shortened(text, _MESSAGE_BYTES)
        room -= len(orjson.dumps([name, shown]))
        if room < 0 or len(values) >= MAX_VALUES:
            break
        values[name] = shown
    return values, result.omitted + len(dict(result.values)) - len(values)


def _bounded(entries: Sequence[Body]) -> tuple[list[Body], int]:
    """As many results as a status has room for. What has ended well goes first, then the oldest; what is attempted stays."""
    kept_, omitted = list(entries), 0
    sizes = [len(orjson.dumps(each)) for each in kept_]
    total = sum(sizes)
    for outcomes in ({SUCCEEDED, SKIPPED}, {FAILED, UNKNOWN}):
        at = 0
        while at < len(kept_) and (total > _RESULT_BYTES or len(kept_) > MAX_RESULTS):
            if kept_[at]["outcome"] in outcomes:
                total -= sizes.pop(at)
                del kept_[at]
                omitted += 1
            else:
                at += 1
    return kept_, omitted


def _shown(resource: Resource, members: Body, now: float, verdict: Verdict | None = None) -> dict[str, Any]:
    counts = members["counts"]
    over = sum(int(counts[name]) for name in _COUNTED.values())
    progress = f"{over}/{counts['targets']}"
    running = Verdict(
        "Running", "Running", f"{over} of {_targets(counts['targets'])} done with", ready=False, trend="Reconciling"
    )
    return status(resource, verdict or running, now, **{**members, "progress": progress})


def _finish(resource: Resource, members: Body, now: float, ending: _Ending | None = None, cut: int = 0) -> Plan:
    """All targets have an outcome, or no more of them are to be attempted.

    Args:
        ending: why, if something ended it.
        cut: targets of the last batch that were not attempted for that.
    """
    counts = dict(members["counts"])
    stopped = len(_left(members))
    counts["skipped"] += stopped
    members = {**members, "counts": counts}
    bad, allowed = _failures(counts), convert(OperationSpec, resource.spec).max_failures
    told = [f"{counts[name]} {name}" for name in _COUNTED.values() if counts[name]]
    text = f"{_targets(counts['targets'])}: {', '.join(told)}" if told else "no target matched, so nothing was done"
    if stopped + cut:
        why = ending[1] if ending is not None else _why_stopped(resource, counts)
        text += f" ({stopped + cut} not attempted, since {why})"
    if bad <= allowed:
        return _over(resource, members, ending[0] if ending is not None and stopped + cut else "", text, now)
    bad_ones = (result for result in _results(members) if result["outcome"] in {FAILED, UNKNOWN})
    if (recorded := next(bad_ones, None)) is not None:
        first = build(RecordedResult, recorded)
        text += f". First: {first.target}: {first.message}"
    return _over(resource, members, TARGETS_FAILED if counts["failed"] else OUTCOME_UNKNOWN, text, now)


def _over(resource: Resource, members: Body, reason: str, text: str, now: float) -> Plan:
    """The last status; well without a reason."""
    if reason:
        ended = Verdict("Failed", reason, text, ready=False, trend="Stalled", more={"Failed": (True, reason, text)})
    else:
        more = {"Complete": (True, "Succeeded", text)}
        ended = Verdict("Succeeded", "Succeeded", text, ready=True, more=more)
    members = {**members, "completionTime": timestamp(now)}
    shown = _shown(resource, members, now, ended) if "counts" in members else status(resource, ended, now, **members)
    if marks := handled(resource, TERMINATE):
        shown["handled"] = marks
    ttl = convert(OperationSpec, resource.spec).ttl_seconds_after_finished
    return with_event(resource, Plan(status=shown, requeue_after=None if ttl is None else float(ttl)), ended)


def _finished(resource: Resource, now: float) -> Plan:
    """It is done: its object goes when its time is over."""
    ttl = convert(OperationSpec, resource.spec).ttl_seconds_after_finished
    before = status_before(resource)
    done = before.condition("Complete") or before.condition("Failed")
    if ttl is None or done is None:
        return Plan()
    left = float(ttl) - seconds_since(done.last_transition_time, now)
    return Plan(requeue_after=left) if left > 0 else Plan(objects=(ObjectChange(resource.key, uid=resource.uid),))


def place_of(spec: OperationSpec, kind: Kind | None, id: str) -> Place:
    """What the spec is about.

    Args:
        kind: of the object that it names; None if it has IDs.
        id: of that object's resource.
    """
    if kind is None:
        return Place(spec.pool_id, spec.job_id, spec.schedule_id, task=spec.task_id, node=spec.node_id)
    outer = {Kind.POOL: "pool", Kind.JOB: "job", Kind.SCHEDULE: "schedule"}[kind]
    return replace(Place(task=spec.task_id, node=spec.node_id), **{outer: id})
