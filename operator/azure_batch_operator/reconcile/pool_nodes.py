"""Nodes that do not work: what to say of them, and what `spec.nodeRemediation` and `spec.startTaskUpdate` have done about them.

Such nodes are billed and do not recover by themselves (users.md §2.10-12). What was done stands in `status.remediations`: it is
what the limit per hour is counted by, and it keeps a node from being treated twice for the same failure, also across restarts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from azure_batch_operator.api.resource import Resource
from azure_batch_operator.reconcile.plan import Call, Evidence, Notice, Table, without_etag
from azure_batch_operator.reconcile.pool_scale import error_text
from azure_batch_operator.reconcile.pool_view import (
    ON_THE_WAY,
    PoolView,
    Step,
    number_of,
    scaled_by_formula,
    some_nodes,
    steady,
)
from azure_batch_operator.reconcile.status import seconds_since, timestamp

_HOUR = 3600.0
_MOST_PER_HOUR = 5
_MOST_SHOWN = 20
_LONGEST = 2000
_POLICIES = {"starttaskfailed": "startTaskFailed", "unusable": "unusable"}
START_TASK_CHANGED = "StartTaskChanged"


@dataclass(frozen=True)
class Care:
    """What is done about nodes.

    Attributes:
        calls: reboots.
        hold: the removal of nodes, or what has to be done to the pool first; it goes before a change of the size.
        fields: members of the status.
        again: seconds until the limit lets something more be done.
    """

    calls: tuple[Call, ...] = ()
    hold: Step | None = None
    notices: tuple[Notice, ...] = ()
    fields: Mapping[str, Any] = field(default_factory=dict)
    again: float | None = None


def lately(resource: Resource, now: float) -> list[Mapping[str, Any]]:
    """What was done in the last hour."""
    return [each for each in resource.status.get("remediations") or () if seconds_since(each["time"], now) < _HOUR]


def removed_lately(resource: Resource, now: float) -> bool:
    """Whether nodes were removed in the last hour, so that the targets in Azure Batch have dropped by our own doing."""
    return any(each.get("action") == "Remove" for each in lately(resource, now))


def care(resource: Resource, view: PoolView, remote: Mapping[str, Any], now: float) -> Care:
    """Decide what to do about nodes, as far as the limit allows."""
    log = lately(resource, now)
    policy = resource.spec.get("nodeRemediation") or {}
    budget = max(0, int(policy.get("maxPerHour") or _MOST_PER_HOUR) - len(log))
    open_cases = _cases(resource, policy, view)
    cases = open_cases[:budget]
    reboots = [(node, reason) for node, action, reason in cases if action == "Reboot"]
    removals = [(node, reason) for node, action, reason in cases if action == "Remove"]
    pool_id = str(remote["id"])
    hold = None
    if removals and (scaled_by_formula(remote) or not steady(remote)):
        hold = _make_way(pool_id, remote, len(removals))
        removals = []
    elif removals:
        hold = _remove(pool_id, [str(node["id"]) for node, _ in removals], remote)
    calls = [_reboot(pool_id, node, reason) for node, reason in reboots]
    done = [("Reboot", *each) for each in reboots] + [("Remove", *each) for each in removals]
    entries = [
        {"time": timestamp(now), "node": node["id"], "action": action, "reason": reason, "since": _since(node)}
        for action, node, reason in done
    ]
    fields = {
        "remediations": [*log, *entries] if entries else list(resource.status.get("remediations") or ()) or None,
        "nodesWithOldStartTask": len(view.outdated) or None,
    }
    notices = tuple(
        Notice(f"Node{'Rebooted' if action == 'Reboot' else 'Removed'}", _told(action, node, reason))
        for action, node, reason in done
    )
    waits = len(open_cases) > len(cases) and log
    again = _HOUR - seconds_since(log[0]["time"], now) + 1 if waits else None
    return Care(tuple(calls), hold, notices, fields, again)


def _cases(resource: Resource, policy: Mapping[str, Any], view: PoolView) -> list[tuple[Mapping[str, Any], str, str]]:
    """Node, action and reason for all that something should be done about and that nothing was done about yet."""
    known = resource.status.get("remediations") or ()
    treated = {(each["node"], each.get("since")) for each in known}
    cases = []
    for node in view.troubled:
        state = str(node.get("state"))
        action = policy.get(_POLICIES.get(state, ""), "None")
        if action != "None" and (node["id"], _since(node)) not in treated:
            cases.append((node, action, state))
    renewed = {each["node"] for each in known if each.get("reason") == START_TASK_CHANGED}
    if view.outdated and not number_of(view.counts, ON_THE_WAY):
        waiting = [node for node in view.outdated if node["id"] not in renewed]
        # One at a time, and first those that nobody waits for.
        waiting.sort(key=lambda node: node.get("state") != "idle")
        cases += [(node, "Reboot", START_TASK_CHANGED) for node in waiting[:1]]
    return cases


def _make_way(id: str, remote: Mapping[str, Any], number: int) -> Step:
    """Nodes are removed from a steady pool of fixed size only (batch-semantics §4.1); a formula is switched off for that."""
    off = Call("disable_pool_auto_scale", Table.POOLS, id, evidence=Evidence.of(remote))
    calls = (off,) if scaled_by_formula(remote) else ()
    message = f"removes {some_nodes(number)} that cannot work, as soon as the pool is steady and of fixed size"
    return Step(calls, "Remediating", "RemovingNodes", message)


def _remove(id: str, nodes: list[str], remote: Mapping[str, Any]) -> Step:
    call = Call(
        "remove_nodes",
        Table.POOLS,
        id,
        body={"nodeList": nodes},
        if_match=remote.get("eTag"),
        evidence=without_etag(remote),
    )
    return Step((call,), "Remediating", "RemovingNodes", f"removes {some_nodes(len(nodes))} that cannot work")


def _reboot(pool_id: str, node: Mapping[str, Any], reason: str) -> Call:
    # A node that works is let finish its tasks; on one that does not there are none.
    option = "taskcompletion" if reason == START_TASK_CHANGED else "requeue"
    evidence = Evidence(stamp=_since(node))
    body = {"nodeRebootOption": option}
    return Call("reboot_node", Table.NODES, str(node["id"]), pool_id, body=body, evidence=evidence)


def _since(node: Mapping[str, Any]) -> str:
    return str(node.get("stateTransitionTime", ""))


def _told(action: str, node: Mapping[str, Any], reason: str) -> str:
    why = "it has run another start task" if reason == START_TASK_CHANGED else cause(node)
    verb = "restart" if action == "Reboot" else "remove"
    return f"asked Azure Batch to {verb} node {node['id']}: {why}"


def cause(node: Mapping[str, Any]) -> str:
    """Why a node does not work, in one line."""
    info = node.get("startTaskInfo") or {}
    if node.get("state") == "starttaskfailed":
        last = (node.get("stderrTail") or "").rpartition("\n")[2]
        code = info.get("exitCode")
        text = "its start task failed" + (f" with exit code {code}" if code is not None else "")
        return f"{text}: {last}" if last else text
    errors = _errors(node)
    return f"it is {node.get('state')}" + (f": {errors[0]}" if errors else "")


def _errors(node: Mapping[str, Any]) -> list[str]:
    texts = ["; ".join(_words(error)) for error in node.get("errors") or ()]
    failure = (node.get("startTaskInfo") or {}).get("failureInfo")
    return [text[:_LONGEST] for text in [*texts, *([error_text(failure)] if failure else [])]]


def _words(error: Mapping[str, Any]) -> list[str]:
    """Code and message of an error of a node, and of its details what is not in the message."""
    details = dict.fromkeys(str(each.get("value")) for each in error.get("errorDetails") or ())
    return [f"{error.get('code')}: {error.get('message')}", *(text for text in details if text != error.get("message"))]


def shown(troubled: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]] | None:
    """`status.nodesInTrouble`: those that do not work before those that Azure took away."""
    chosen = sorted(troubled, key=lambda node: node.get("state") == "preempted")[:_MOST_SHOWN]
    return [_entry(node) for node in chosen] or None


def _entry(node: Mapping[str, Any]) -> dict[str, Any]:
    info = node.get("startTaskInfo") or {}
    failed = node.get("state") == "starttaskfailed"
    fields = {
        "id": node["id"],
        "state": node.get("state"),
        "since": node.get("stateTransitionTime"),
        "dedicated": node.get("isDedicated"),
        "exitCode": info.get("exitCode") if failed else None,
        "errors": _errors(node)[:5] or None,
        "stderrTail": node.get("stderrTail") or None,
    }
    return {name: value for name, value in fields.items() if value is not None}
