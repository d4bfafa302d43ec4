"""Converts responses of Azure Batch to evidence, in the same way for the operator and the plugin."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from azure_batch_operator.batch.models.base import parse_duration
from azure_batch_operator.batch.redaction import safe_text
from azure_batch_operator.batch.task_wire import TaskNeeds
from azure_batch_operator.batch.wire import Body, Node, convert
from azure_batch_operator.causes.evidence import AutoScale, Demand, NodeFailure, PoolEvidence, ResizeError
from azure_batch_operator.causes.exits import how

_SERVICE_INTERVAL = "PT15M"


def pool_evidence(
    id: str,
    pool: Body,
    nodes: Mapping[str, int],
    troubled: Iterable[Node] = (),
    retried: Iterable[Body] = (),
) -> PoolEvidence:
    """A pool as a list shows it.

    Args:
        nodes: its node counts by state.
        troubled: nodes that do not work, if they were looked at.
        retried: errors of the resize that is being retried. Azure Batch hides them until the retry has ended, and a cause that
            comes and goes with each retry would be written to the status twice an hour, and more, for nothing.
    """
    seen = [*troubled]
    is_steady = pool.get("allocationState") != "resizing"
    errors = (pool.get("resizeErrors") or ()) if is_steady else retried
    return PoolEvidence(
        id,
        is_deleting=pool.get("state") == "deleting",
        is_steady=is_steady,
        nodes=nodes,
        slots_per_node=int(pool.get("taskSlotsPerNode") or 1),
        target=_size(pool, "target"),
        current=_size(pool, "current"),
        resize_errors=tuple(
            ResizeError(safe_text(str(error.get("code") or "")), safe_text(str(error.get("message") or "")))
            for error in errors
        ),
        auto_scale=_auto_scale(pool) if pool.get("enableAutoScale") else None,
        start_task=next((_start_task(node) for node in seen if node.state == "starttaskfailed"), None),
        node_error=next((_error(node) for node in seen if node.state == "unusable" and node.errors), None),
    )


def _size(pool: Body, which: str) -> int:
    return sum(int(pool.get(f"{which}{tier}Nodes") or 0) for tier in ("Dedicated", "LowPriority"))


def _auto_scale(pool: Body) -> AutoScale:
    run = pool.get("autoScaleRun") or {}
    error = run.get("error") or {}
    text = ": ".join(safe_text(str(error[name])) for name in ("code", "message") if error.get(name))
    return AutoScale(text or None, _next_run(run.get("timestamp"), pool.get("autoScaleEvaluationInterval")))


def _next_run(last: str | None, interval: str | None) -> str | None:
    if not last:
        return None
    return f"{datetime.fromisoformat(last) + parse_duration(interval or _SERVICE_INTERVAL):%Y-%m-%dT%H:%M:%SZ}"


def _start_task(node: Node) -> NodeFailure:
    info = node.start_task_info
    if info is not None and info.exit_code:
        return NodeFailure(node.id, f"exit code {info.exit_code}")
    failure = info.failure_info if info is not None else None
    codes = [failure.code] if failure is not None else [error.code for error in node.errors]
    return NodeFailure(node.id, next((code for code in codes if code), "no exit code"))


def _error(node: Node) -> NodeFailure:
    error = node.errors[0]
    return NodeFailure(node.id, ": ".join(text for text in (error.code, error.message) if text))


def node_failure(node_id: str, info: Body) -> NodeFailure:
    """How a preparation task failed on a node, from its `…ExecutionInfo`."""
    return NodeFailure(node_id, how(info) or "no exit code")


def demand(which: str, task: Body) -> Demand:
    """What a task needs, from its body."""
    needs = convert(TaskNeeds, task)
    return Demand(which, needs.nodes, needs.slots)
