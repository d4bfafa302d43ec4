"""Unhealthy nodes: how they are reported, and the actions of `spec.nodeRemediation` and `spec.startTaskUpdate`.

Such nodes are billed and do not recover by themselves (docs/azure-batch.md#nodes). What was done stands in
`status.remediations`: it is what the limit per hour is counted by, and it keeps a node from being treated twice for the same
failure, also across restarts. What the service refused stands there as refused: it is not done, and is asked again after a
pause that grows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from azure_batch_operator.api.resource import Resource
from azure_batch_operator.batch.pool_wire import Pool
from azure_batch_operator.batch.wire import Body, Node, NodeError, TaskFailure, build
from azure_batch_operator.reconcile.applied import fingerprint
from azure_batch_operator.reconcile.observed import ObservedNode
from azure_batch_operator.reconcile.plan import Call, Event, Evidence, Table
from azure_batch_operator.reconcile.pool.history import Remediated
from azure_batch_operator.reconcile.pool.scope import (
    ON_THE_WAY,
    PoolView,
    Step,
    number_of,
    pool_before,
    some_nodes,
)
from azure_batch_operator.reconcile.pool.spec import NodeRemediation
from azure_batch_operator.reconcile.status import seconds_since

_HOUR = 3600.0
_LONGEST_DRAIN = 86400.0
"""Seconds for which a node that lets its tasks end before it restarts holds up the restarts of others."""
_MAX_PER_HOUR = 5
_MAX_SHOWN = 20
_MAX_KEPT = 100
_PAUSE, _LONGEST_PAUSE = 300.0, 3600.0
"""Seconds before a node that refused is asked again: first, and at most."""
_LONGEST = 2000
_POLICIES = {"starttaskfailed": "startTaskFailed", "unusable": "unusable"}
START_TASK_CHANGED = "StartTaskChanged"
_RESTARTS = {"Reboot": ("reboot_node", "nodeRebootOption"), "Reimage": ("reimage_node", "nodeReimageOption")}
_WORDS = {
    "Reboot": ("restart", "NodeRebooted"),
    "Reimage": ("reimage", "NodeReimaged"),
    "Remove": ("remove", "NodeRemoved"),
}


@dataclass(frozen=True)
class Remediation:
    """What is done about nodes.

    Attributes:
        calls: reboots and reimages.
        hold: the removal of nodes, or what has to be done to the pool first; it goes before a change of the size.
        fields: members of the status.
        again: seconds until the limit, or the pause after a refusal, lets something more be done.
    """

    calls: tuple[Call, ...] = ()
    hold: Step | None = None
    events: tuple[Event, ...] = ()
    fields: Body = field(default_factory=dict)
    requeue_after: float | None = None


@dataclass(frozen=True)
class _Case:
    """A node, what to do about it, why, and what to note of it."""

    node: Node
    action: str
    reason: str
    entry: Mapping[str, str]


def removed_lately(resource: Resource, view: PoolView, now: float) -> bool:
    """Whether nodes were removed in the last hour, so that the targets in Azure Batch have dropped by our own doing."""
    entries = _read([*(pool_before(resource).remediations or ()), *view.history.remediations])
    return any(entry.action == "Remove" for entry in _done(entries, now))


def _read(log: Sequence[Body]) -> tuple[Remediated, ...]:
    return tuple(build(Remediated, entry) for entry in log)


def _done(known: Sequence[Remediated], now: float) -> list[Remediated]:
    """What the service has taken in the last hour, by which the limit counts."""
    return [entry for entry in known if not entry.refusal and seconds_since(entry.time, now) < _HOUR]


def _log(resource: Resource, view: PoolView, now: float) -> tuple[list[Body], list[Body]]:
    """What was asked for nodes in the last hour, or longer ago for nodes still in trouble: in the status, and not there yet."""
    told = pool_before(resource).remediations or ()
    still = {node.id for node in (*(each.node for each in view.troubled), *view.outdated)}

    def kept(entries: Sequence[Body]) -> list[Body]:
        return [
            entry
            for entry in entries
            if entry["node"] in still or not view.compared or seconds_since(entry["time"], now) < _HOUR
        ]

    # What a full list has lost is not brought back.
    first = told[0]["time"] if len(told) >= _MAX_KEPT else ""
    fresh = [each for each in view.history.remediations if each not in told and each["time"] >= first]
    return kept(told), kept(fresh)


def plan_remediation(
    resource: Resource, policy: NodeRemediation, view: PoolView, pool: Pool, now: float
) -> Remediation:
    """Decide what to do about nodes, as far as the limit allows.

    What is noted in the status is what the service has answered, so it comes from `view.history` one pass after the call.

    Args:
        policy: what the spec asks for.
    """
    told = list(pool_before(resource).remediations or ())
    old, news = _log(resource, view, now)
    log = [*old, *news]
    known = _read(log)
    done = _done(known, now)
    budget = max(0, (policy.max_per_hour or _MAX_PER_HOUR) - len(done))
    due, pause = _due(_cases(resource, policy, view, known, now), known, now)
    cases = due[:budget]
    removals = [case for case in cases if case.action == "Remove"]
    hold = None
    if removals and (pool.enable_auto_scale or not pool.is_steady):
        hold = _make_way(pool, len(removals))
    elif removals:
        hold = _remove(pool, removals)
    calls = tuple(_restart(pool.id, case) for case in cases if case.action in _RESTARTS)
    # Not taken away before the nodes were listed, such as after a restart.
    told_outdated = pool_before(resource).nodes_with_old_start_task
    fields = {
        "remediations": log[-_MAX_KEPT:] if news else told or None,
        "nodesWithOldStartTask": (len(view.outdated) or None) if view.compared else told_outdated,
    }
    nodes = {each.node.id: each for each in (*view.troubled, *map(ObservedNode, view.outdated))}
    events = tuple(_notice(entry, nodes.get(entry.node)) for entry in _read(news))
    waits = [pause] if pause is not None else []
    if len(due) > len(cases) and done:
        waits.append(_HOUR - seconds_since(done[0].time, now) + 1)
    return Remediation(calls, hold, events, fields, min(waits, default=None))


def _cases(
    resource: Resource, policy: NodeRemediation, view: PoolView, known: Sequence[Remediated], now: float
) -> list[_Case]:
    """All that something should be done about and that nothing was done about yet."""
    treated = {(entry.node, entry.since) for entry in known if not entry.refusal}
    cases = []
    for each in view.troubled:
        node, state = each.node, str(each.node.state)
        action = action_for(policy, _POLICIES.get(state, ""))
        if action != "None" and (node.id, node.since) not in treated:
            cases.append(_case(node, action, state))
    leaving = any(_restart_pending(node, known, now) for node in view.outdated)
    if view.outdated and not leaving and not number_of(view.counts, ON_THE_WAY):
        wanted = _start_task(resource, view)
        waiting = [node for node in view.outdated if not _renewed(node, wanted, known, now)]
        # One at a time, and first those that nobody waits for.
        waiting.sort(key=lambda node: node.state != "idle")
        more = {"startTask": wanted}
        cases += [_case(node, "Reboot", START_TASK_CHANGED, more | _boot(node)) for node in waiting[:1]]
    return cases


def action_for(policy: NodeRemediation, state: str) -> str:
    """What `spec.nodeRemediation` can have done about nodes in a state (`startTaskFailed`, `unusable`).

    Azure Batch refuses to restart nodes that are unusable. The definition refuses it as well, but an older one did not.
    """
    match state:
        case "startTaskFailed":
            return policy.start_task_failed
        case "unusable" if not useless(policy):
            return policy.unusable
        case _:
            return "None"


def useless(policy: NodeRemediation) -> bool:
    """Whether `spec.nodeRemediation` asks for what Azure Batch always refuses."""
    return policy.unusable in _RESTARTS


def _case(node: Node, action: str, reason: str, more: Mapping[str, str] | None = None) -> _Case:
    entry = {"node": node.id, "action": action, "reason": reason, "since": node.since}
    return _Case(node, action, reason, entry | dict(more or {}))


def _start_task(resource: Resource, view: PoolView) -> str:
    """Which start task the nodes shall run: the spec's, with the values that it takes from Secrets and ConfigMaps."""
    return fingerprint([resource.spec.get("startTask"), view.values.digests.get("startTask")])


def _renewed(node: Node, wanted: str, known: Sequence[Remediated], now: float) -> bool:
    """Whether a node was restarted for this very start task, or is going to.

    Restarted once and still with another start task, it is left alone, or it would be restarted forever. One that has not booted
    an hour after it was asked to, and does nothing, has forgotten.
    """
    last = _last_restart(node, known)
    if last is None or last.start_task != wanted:
        return False
    same_boot = bool(last.boot) and last.boot == node.last_boot_time
    return not (same_boot and node.state == "idle" and seconds_since(last.time, now) > _HOUR)


def _last_restart(node: Node, known: Sequence[Remediated]) -> Remediated | None:
    """When a node was last asked to restart for a changed start task, and the service has taken that."""
    return next(
        (
            entry
            for entry in reversed(known)
            if entry.node == node.id and entry.reason == START_TASK_CHANGED and not entry.refusal
        ),
        None,
    )


def _restart_pending(node: Node, known: Sequence[Remediated], now: float) -> bool:
    """Whether a node was asked to restart and has not booted since: it takes no tasks, and waits for those that it runs to end."""
    last = _last_restart(node, known)
    if last is None or not last.boot or last.boot != node.last_boot_time:
        return False
    return seconds_since(last.time, now) < (_HOUR if node.state == "idle" else _LONGEST_DRAIN)


def _boot(node: Node) -> dict[str, str]:
    return {"boot": node.last_boot_time} if node.last_boot_time else {}


def _due(cases: Sequence[_Case], known: Sequence[Remediated], now: float) -> tuple[list[_Case], float | None]:
    """The cases that are not put off by a refusal, and the seconds until the first of the others is retried."""
    due, waits = [], []
    for case in cases:
        refusals = [entry for entry in known if entry.refusal and _same(entry, build(Remediated, case.entry))]
        left = (
            min(_PAUSE * 2 ** (len(refusals) - 1), _LONGEST_PAUSE) - seconds_since(refusals[-1].time, now)
            if refusals
            else 0.0
        )
        if left <= 0:
            due.append(case)
        else:
            waits.append(left)
    return due, min(waits, default=None)


def _same(one: Remediated, other: Remediated) -> bool:
    """Whether two entries are about the same trouble of a node: idle and busy times come and go while a start task is old."""
    if (one.node, one.reason) != (other.node, other.reason):
        return False
    return one.start_task == other.start_task if one.reason == START_TASK_CHANGED else one.since == other.since


def _make_way(pool: Pool, number: int) -> Step:
    """Nodes are removed from a steady pool of fixed size only (docs/azure-batch.md#pools); a formula is switched off for that."""
    off = Call("disable_pool_auto_scale", Table.POOLS, pool.id, evidence=Evidence.of(pool))
    calls = (off,) if pool.enable_auto_scale else ()
    message = (
        f"{some_nodes(number)} cannot run tasks and will be removed as soon as the pool is steady and has a fixed size"
    )
    return Step(calls, "Remediating", "RemovingNodes", message)


def _remove(pool: Pool, cases: Sequence[_Case]) -> Step:
    call = Call(
        "remove_nodes",
        Table.POOLS,
        pool.id,
        body={"nodeList": [case.node.id for case in cases]},
        if_match=pool.etag,
        evidence=replace(Evidence.of(pool), nodes=tuple((case.entry["node"], case.entry["since"]) for case in cases)),
        nodes=tuple(case.entry for case in cases),
    )
    return Step((call,), "Remediating", "RemovingNodes", f"removing {some_nodes(len(cases))} that cannot run tasks")


def _restart(pool_id: str, case: _Case) -> Call:
    # A node that works is let finish its tasks; on one that does not there are none.
    option = "taskcompletion" if case.reason == START_TASK_CHANGED else "requeue"
    verb, member = _RESTARTS[case.action]
    return Call(
        verb, Table.NODES, case.node.id, pool_id,
        body={member: option}, evidence=Evidence(stamp=case.node.since), nodes=(case.entry,),
    )  # fmt: skip


def _notice(entry: Remediated, node: ObservedNode | None) -> Event:
    why = "it ran an older start task" if entry.reason == START_TASK_CHANGED else f"it is {entry.reason}"
    if node is not None and entry.reason != START_TASK_CHANGED:
        why = cause(node)
    verb, event = _WORDS[entry.action]
    if entry.refusal:
        text = f"Azure Batch refused to {verb} node {entry.node} ({entry.refusal}); retrying later: {why}"
        return Event("RemediationRefused", text, "Warning")
    return Event(event, f"asked Azure Batch to {verb} node {entry.node}: {why}")


def cause(seen: ObservedNode) -> str:
    """Why a node does not work, in one line."""
    node, errors = seen.node, _errors(seen.node)
    if node.state == "starttaskfailed":
        last = (seen.stderr_tail or "").rpartition("\n")[2]
        code = node.start_task_info.exit_code if node.start_task_info else None
        text = "its start task failed" + (f" with exit code {code}" if code is not None else "")
        # A start task that could not begin, as without its files, has no exit code and no stderr.
        why = last or (errors[0] if errors and code is None else "")
        return f"{text}: {why}" if why else text
    return f"it is {node.state}" + (f": {errors[0]}" if errors else "")


def _errors(node: Node) -> list[str]:
    texts = ["; ".join(_words(error)) for error in node.errors]
    failure = node.start_task_info.failure_info if node.start_task_info else None
    if failure is not None and failure != TaskFailure():
        texts.append(_failure_text(failure))
    return [text[:_LONGEST] for text in texts]


def _failure_text(failure: TaskFailure) -> str:
    texts = [str(each.value) for each in failure.details]
    values = "; ".join(text for text in texts if text != str(failure.message))
    text = f"{failure.code}: {failure.message}"
    return f"{text} ({values})" if values else text


def _words(error: NodeError) -> list[str]:
    """Code and message of an error of a node, and of its details what is not in the message."""
    details = dict.fromkeys(str(each.value) for each in error.error_details)
    return [f"{error.code}: {error.message}", *(text for text in details if text != error.message)]


def shown(troubled: Sequence[ObservedNode]) -> list[dict[str, Any]] | None:
    """`status.nodesInTrouble`: those that do not work before those that Azure took away."""
    chosen = sorted(troubled, key=lambda each: each.node.state == "preempted")[:_MAX_SHOWN]
    return [_entry(each) for each in chosen] or None


def _entry(seen: ObservedNode) -> dict[str, Any]:
    node, info = seen.node, seen.node.start_task_info
    fields = {
        "id": node.id,
        "state": node.state,
        "since": node.state_transition_time,
        "dedicated": node.is_dedicated,
        "exitCode": info.exit_code if info and node.state == "starttaskfailed" else None,
        "errors": _errors(node)[:5] or None,
        "stderrTail": seen.stderr_tail or None,
    }
    return {name: value for name, value in fields.items() if value is not None}
