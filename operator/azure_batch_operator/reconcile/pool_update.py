"""Changes of properties: at once where the service takes them at any time, else as `spec.updateStrategy` says.

`WhenEmpty` waits until the pool happens to have no nodes; `Drain` brings that about: no node takes new tasks, running tasks
end, nodes leave, the change is made, and the size of the spec comes back. What to do follows from spec and pool alone at every
point of the way.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from azure_batch_operator.reconcile.plan import Call
from azure_batch_operator.reconcile.pool_changes import Changes, first_of_removal, patch, without_start_task
from azure_batch_operator.reconcile.pool_desired import Fixed
from azure_batch_operator.reconcile.pool_scale import scale
from azure_batch_operator.reconcile.pool_view import (
    PoolView,
    Step,
    number_of,
    present,
    scaled_by_formula,
    steady,
    targeted,
)


def change(id: str, spec: Mapping[str, Any], found: Changes, view: PoolView, remote: Mapping[str, Any]) -> Step | None:
    """The step for what can be changed at any time."""
    members = dict(first_of_removal(found) if found.remove_start_task else found.now)
    if found.empty and is_empty(remote):
        members |= found.empty
        members["metadata"] = list(found.note)
    if members:
        return _updating([*members], patch(id, members, remote, view.digests), found, view)
    if found.remove_start_task:
        return _updating(["startTask"], without_start_task(id, spec, remote, found), found, view)
    return None


def empty(
    id: str, spec: Mapping[str, Any], found: Changes, view: PoolView, remote: Mapping[str, Any], now: float
) -> Step | None:
    """The step for what needs a pool without nodes, while it has some."""
    if not found.empty:
        return None
    names = ", ".join(found.empty)
    nodes, running = present(remote), number_of(view.counts, ("running",))
    # What somebody else has changed was changed without nodes: nobody's work is interrupted for it.
    if spec.get("updateStrategy") != "Drain" or not found.asked:
        message = (
            f"{names} can be changed only without nodes, and there are {max(nodes, targeted(remote))}: waits until there are "
            "none. Scale to 0, or set spec.updateStrategy to Drain or Recreate"
        )
        return Step((), "Updating", "WaitingForEmptyPool", message)
    options = {"nodeDeallocationOption": "taskcompletion"}
    if spec.get("resizeTimeout") and not scaled_by_formula(remote):
        options |= {"resizeTimeout": spec["resizeTimeout"]}
    step = scale(id, Fixed(0, 0), options, view, remote, now)
    message = f"nodes are drained to change {names}: {nodes} left, {running} of them with running tasks"
    return Step(step.calls if step else (), "Draining", "Draining", message)


def is_empty(remote: Mapping[str, Any]) -> bool:
    """Whether the service would take a change that needs a pool without nodes."""
    return steady(remote) and not present(remote) and not targeted(remote)


def _updating(names: list[str], call: Call, found: Changes, view: PoolView) -> Step:
    # Metadata may be written for the operator's own note alone, which is no change of the user's.
    told = [name for name in names if name != "metadata" or not found.only_note]
    others = tuple(name for name in told if name not in view.changed_values)
    return Step((call,), "Updating", "Updating", f"{', '.join(told or names)} is being changed", properties=others)
