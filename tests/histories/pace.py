"""Rules of docs/reasons.md and decision 24: refused calls keep their time, and what is at rest costs next to nothing."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import pairwise

from histories.judged import Judged, Violation
from histories.play_words import USERS
from histories.record import Call

_BUSY, _OTHERS, _WRONG = (1.0, 2.0, 60.0), (30.0, 2.0, 300.0), (60.0, 4.0, 3600.0)
"""First wait, factor and longest wait in seconds, as the table of docs/reasons.md has them."""
_FAIR = 0.5
"""What chance may take off a wait."""
_ATTEMPTS = 4
"""Of one call whose answer says that the error is transient, within a few seconds (docs/reasons.md)."""

_KEY_SECONDS = 60.0
"""Until the operator has read a Secret again that was changed (docs/accounts.md)."""


def backoff(judged: Judged) -> list[Violation]:
    """The same call is not sent again before its wait is over, unless an object has changed or the operator is new."""
    restarts = sorted(
        [each.time for each in judged.record.steps if each.do in USERS or each.do in {"kill", "stop", "secret-follows"}]
        + judged.record.starts
    )
    # The operator learns of a new key a while after the service has it.
    keys = [each.time for each in judged.record.steps if each.do in {"rotate-key", "secret-follows"}]
    revocations = [each.time for each in judged.record.steps if each.do == "revoke-tokens"]
    sent: dict[tuple[str, str, bytes], list[Call]] = defaultdict(list)
    for each in judged.record.calls:
        if not each.reads:
            sent[each.operation, each.path, each.body].append(each)
    found = []
    for (operation, path, _), calls in sent.items():
        run: list[Call] = []
        excused = set[float]()
        for former, later in pairwise(calls):
            fresh = any(former.time <= at <= later.time for at in restarts)
            fresh = fresh or any(former.time - _KEY_SECONDS <= at <= later.time for at in keys)
            if _class(former.status) is None or fresh:
                run = []
                continue
            # What was refused for a revoked token is repeated at once with a new one, once.
            since = {at for at in revocations if former.time - _KEY_SECONDS <= at <= later.time} - excused
            if _class(former.status) == _OTHERS and since:
                excused |= since
                continue
            run.append(former)
            # A call is repeated within itself, so only one wait among so many attempts is that of the call.
            several = _ATTEMPTS if _transient(former.status) else 1
            if len(run) < several:
                continue
            least, waited = _due(former.status, len(run), several), later.time - run[-several].time
            if waited < least:
                text = f"{operation} {path} after {former.status}: try {len(run) + 1} came {waited:.1f} s later"
                found.append(Violation("backoff", f"{text} at {later.time:.1f}, at least {least:.1f} are due"))
    return found[:5]


def _due(status: int, tries: int, several: int) -> float:
    """The least seconds after so many tries, of which `several` are one call."""
    table = _class(status)
    # One retry without a wait is allowed where an old observation explains the refusal.
    number = tries - 1 if status in {404, 409, 412} else (tries - several) // several + 1
    if table is None or number < 1:
        return 0.0
    first, factor, longest = table
    return min(first * factor ** (number - 1), longest) * _FAIR


def _transient(status: int) -> bool:
    return status in {408, 429} or status >= 500


def _class(status: int) -> tuple[float, float, float] | None:
    if status in {400, 413}:
        return _WRONG
    if status in {401, 403}:
        return _OTHERS
    if status in {404, 409, 412} or _transient(status):
        return _BUSY
    return None


def at_rest(judged: Judged) -> list[Violation]:
    """At rest nothing is written, and nothing is changed in Azure Batch."""
    begin, end = judged.record.rest
    if end <= begin:
        return []
    since, found = _settled(judged), []
    writes = [each for each in judged.record.writes if each.time >= since and each.resource != "leases"]
    if writes:
        kinds = Counter((each.verb, each.resource, each.name, each.status) for each in writes)
        found.append(Violation("rest", f"{len(writes)} writes at rest: {kinds.most_common(3)}"))
    changes = [each for each in judged.record.calls if each.time >= since and not each.reads]
    if changes:
        found.append(
            Violation(
                "rest", f"changes at rest: {Counter((each.operation, each.path, each.status) for each in changes)}"
            )
        )
    return found


def calls_at_rest(judged: Judged) -> list[Violation]:
    """At rest little is called (decision 22: about three calls a minute for an account with an open job)."""
    begin, end = judged.record.rest
    if end <= begin:
        return []
    since = _settled(judged)
    calls = [each for each in judged.record.calls if each.time >= since]
    things = len(judged.record.objects) + len(judged.record.jobs)
    if len(calls) <= (end - since) / 60 * (4 + things):
        return []
    kinds = Counter(each.operation for each in calls).most_common(3)
    return [Violation("rest", f"{len(calls)} calls in {end - since:.0f} s with {things} things: {kinds}")]


def _settled(judged: Judged) -> float:
    """From when on everything is at rest: some seconds after the last change, at most ten minutes before the end."""
    begin, end = judged.record.rest
    return max(begin, end - 600.0)


def storms(judged: Judged) -> list[Violation]:
    """No object is written, and no call sent, more often in a minute than anything calls for."""
    found = []
    writes = Counter((int(each.time // 60), each.resource, each.namespace, each.name) for each in judged.record.writes if each.resource not in {"events", "leases"})  # noqa: E501  # fmt: skip
    for (minute, *what), number in writes.items():
        if number > 60:
            found.append(Violation("storm", f"{number} writes to {what} in minute {minute}"))
    calls = Counter((int(each.time // 60), each.operation, each.path) for each in judged.record.calls)
    for (minute, *called), number in calls.items():
        if number > 120:
            found.append(Violation("storm", f"{number} calls {called} in minute {minute}"))
    return found[:5]
