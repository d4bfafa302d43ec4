"""Determines the outcome of calls without a response, and the progress of nodes: by reading the target, never by repeating calls.

Also how an operation that was ended comes to its end: each target gets an outcome, Unknown where nothing tells.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from azure_batch_operator.batch import BatchError
from azure_batch_operator.reconcile.operation_order import FAILED, SKIPPED, SUCCEEDED, UNKNOWN, Request, Result
from azure_batch_operator.reconcile.operation_verbs import Doubt
from azure_batch_operator.sync.operations.runs import LOST, Run, Try
from azure_batch_operator.sync.operations.targets import Targets

_REPEATED_WITHIN = 300.0
"""Seconds after a call without a response within which it is repeated; later, others may have undone it and rely on that."""
_BACK_WITHIN = 1800.0
"""Seconds that a node has to come back."""
_MAX_LOSSES = 30
"""Calls without a response, at least a minute apart, after which a call is not repeated, also where the target tells its effect."""
_MAX_FAULTS = 10
"""Exceptions of the operator after which a call that only reads is not repeated: about six minutes.

What it reads makes the operator fail, so more calls show the same, and nobody waits for an end that never comes.
"""


async def resolve(targets: Targets, run: Run, request: Request, left: Mapping[str, Try]) -> None:
    """Find out what happened to calls without a response, and how far targets on their way are.

    Raises:
        BatchError: the service does not show them.
    """
    now, verb = asyncio.get_running_loop().time(), request.how
    asked = [target for target, attempt in left.items() if attempt.doubt is not None or attempt.taken is not None]
    if not asked:
        return
    if verb.doubt is not Doubt.READ:
        for target in asked:
            attempt = left[target]
            if verb.doubt is Doubt.NEVER:
                text = f"{LOST}, so its effect is unknown: it is not repeated, because it may have been done"
                run.settle(request.verb, target, _unknown(attempt, text))
            elif attempt.doubt is not None and (now >= attempt.doubt or not verb.changes):
                attempt.doubt = None
        return
    found = await targets.current(request, asked)
    for target in asked:
        attempt = left[target]
        if attempt.taken is None:
            _judge(run, request, target, attempt, found[target], now)
        if attempt.taken is not None and target not in run.results:
            _follow(run, request, target, attempt, found[target], now)


async def end(
    targets: Targets, run: Run, request: Request, left: Mapping[str, Try], ending: tuple[str, str]
) -> BatchError | None:
    """One look at those in doubt or on their way; the others are no longer attempted. What stands in the way, if anything.

    It comes to an end also where Azure Batch does not show the targets: the outcome is Unknown when the time is over in which
    a call can take effect, or a node be back.
    """
    now, problem, verb = asyncio.get_running_loop().time(), None, request.how
    try:
        await resolve(targets, run, request, left)
    except BatchError as error:
        problem = await unreadable(targets, run, request, left, error)
    for target, attempt in left.items():
        if target in run.results:
            continue
        if attempt.taken is not None:
            if problem is not None and now >= attempt.since + _BACK_WITHIN:
                text = f"Azure Batch accepted the call, but {target} cannot be read: {problem}"
                run.settle(request.verb, target, Result(UNKNOWN, text))
        elif attempt.doubt is not None:
            if problem is not None and now >= attempt.doubt:
                text = f"{LOST}, and {target} cannot be read: {problem}"
                run.settle(request.verb, target, Result(UNKNOWN, text))
        elif attempt.doubted and verb.changes and verb.doubt is not Doubt.READ:
            text = f"{LOST}: it may have been done, and is not repeated, because {ending[1]}"
            run.settle(request.verb, target, _unknown(attempt, text))
        else:
            run.settle(request.verb, target, Result(SKIPPED, f"not done, because {ending[1]}", given_up=True))
    return problem


def _judge(run: Run, request: Request, target: str, attempt: Try, seen: Mapping[str, Any] | None, now: float) -> None:
    """Whether a call without a response was made."""
    done = request.how.done(attempt.before, seen)
    if done is False and not request.how.tells(request.inputs):
        done = None
    if done:
        result = Result(SUCCEEDED, f"{LOST}, but the state of {target} shows that it was done")
        run.answered(request, target, result)
    elif attempt.doubt is not None and now < attempt.doubt:
        return
    elif done is None:
        text = f"{LOST}, and the state of {target} does not show whether it was done: it may have been, and is not repeated"
        run.settle(request.verb, target, _unknown(attempt, text))
    else:
        attempt.doubt = None


def _follow(run: Run, request: Request, target: str, attempt: Try, node: Mapping[str, Any] | None, now: float) -> None:
    """Whether a node is back."""
    verb, taken = request.how, attempt.taken or Result(SUCCEEDED)
    state = "gone" if node is None else str(node.get("state", ""))
    if state in verb.back and verb.done(attempt.before, node):
        run.settle(request.verb, target, taken)
    elif node is None or (state not in verb.busy and state not in verb.back and verb.done(attempt.before, node)):
        text = f"Azure Batch accepted the call, but the node is {state} now"
        run.settle(request.verb, target, Result(FAILED, text, taken.request_id))
    elif now - attempt.since > _BACK_WITHIN:
        text = f"Azure Batch accepted the call, but the node is still {state} after {_BACK_WITHIN / 60:.0f} minutes"
        run.settle(request.verb, target, Result(FAILED, text, taken.request_id))


def give_up(run: Run, request: Request, left: Mapping[str, Try], now: float) -> None:
    """Do not repeat a call whose response was lost long ago, or that has no response however often it is made."""
    if not request.how.changes:
        _give_up_reading(run, request, left)
        return
    for target, attempt in left.items():
        if attempt.lost is None or attempt.doubt is not None or attempt.taken is not None or target in run.results:
            continue
        if attempt.losses >= _MAX_LOSSES:
            text = f"{LOST} {attempt.losses} times, so it is not repeated"
        elif not request.how.lasts and now - attempt.lost > _REPEATED_WITHIN:
            text = f"{LOST} and it is too late to repeat it: other clients may have undone it"
        else:
            continue
        text = f"{text}. Check {target}, and create a new BatchOperation if needed"
        run.settle(request.verb, target, _unknown(attempt, text))


def _give_up_reading(run: Run, request: Request, left: Mapping[str, Try]) -> None:
    """Do not repeat a call on whose response the operator fails each time: no other read is without a response for good."""
    for target, attempt in left.items():
        if attempt.losses >= _MAX_FAULTS and target not in run.results:
            text = f"{attempt.error}. It failed {attempt.losses} times, so the call is not repeated"
            run.settle(request.verb, target, Result(FAILED, text))


def unanswered(run: Run, left: Mapping[str, Try]) -> BatchError | None:
    """What a call that has no response yet has failed with: it stands in the way like a refusal that passes."""
    waiting = (attempt for target, attempt in left.items() if target not in run.results and attempt.taken is None)
    return next((attempt.error for attempt in waiting if attempt.error is not None), None)


async def unreadable(
    targets: Targets, run: Run, request: Request, left: Mapping[str, Try], error: BatchError
) -> BatchError | None:
    """What stands in the way, if targets cannot be read; None if that is because their pool or job is gone.

    Then those of which a call may have been made have their outcome.
    """
    try:
        if not await targets.is_gone(request, error):
            return error
    except BatchError as other:
        return other
    for target, attempt in left.items():
        if target in run.results:
            continue
        if attempt.taken is not None:
            text = f"Azure Batch accepted the call, but {target} cannot be read: {error}"
            run.settle(request.verb, target, Result(UNKNOWN, text, attempt.taken.request_id))
        elif attempt.doubted or attempt.doubt is not None:
            run.settle(request.verb, target, Result(UNKNOWN, f"{LOST}, and {target} cannot be read: {error}"))
    return None


def _unknown(attempt: Try, text: str) -> Result:
    """The outcome of a call of which nobody knows what became, with what it has failed with."""
    if attempt.error is None:
        return Result(UNKNOWN, text)
    return Result(UNKNOWN, f"{text}. The error was {attempt.error}", attempt.error.request_id)
