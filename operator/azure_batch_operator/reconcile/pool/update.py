"""Changes of properties: immediately if Azure Batch accepts them at any time, otherwise according to `spec.updateStrategy`.

`WhenEmpty` waits until the pool happens to have no nodes; `Drain` brings that about: no node takes new tasks, running tasks
end, nodes leave, the change is made, and the size of the spec comes back. What to do follows from spec and pool alone at every
point of the way.

A change that waits for an empty pool does not make the pool unready: the wait may take weeks, nobody works on it, and it is what
the user has asked for, as `OnDelete` is with a StatefulSet (docs/decisions/0016). It is a condition of its own.
"""

from __future__ import annotations

from azure_batch_operator.batch.pool_wire import Pool
from azure_batch_operator.batch.wire import Body
from azure_batch_operator.reconcile.plan import Call
from azure_batch_operator.reconcile.pool.changes import Changes, first_of_removal, patch, without_start_task
from azure_batch_operator.reconcile.pool.desired import Fixed
from azure_batch_operator.reconcile.pool.scale import over, scale
from azure_batch_operator.reconcile.pool.scope import PoolView, Step, number_of
from azure_batch_operator.reconcile.pool.spec import PoolSpec
from azure_batch_operator.words import listed


def change(pool: Pool, remote: Body, found: Changes, view: PoolView) -> Step | None:
    """The step for what can be changed at any time; `remote` is the body of the pool."""
    members = dict(first_of_removal(found) if found.remove_start_task else found.now)
    if found.empty and pool.is_empty:
        members |= found.empty
        members["metadata"] = list(found.note)
    if members:
        return _updating([*members], patch(pool.id, members, remote, view.values.digests), found, view)
    if found.remove_start_task:
        return _updating(["startTask"], without_start_task(pool.id, found, remote), found, view)
    return None


def held_up(spec: PoolSpec, found: Changes, pool: Pool) -> str | None:
    """What waits until the pool has no nodes, and how to bring that about; None if nothing does."""
    # What somebody else has changed was changed without nodes: nobody's work is interrupted for it.
    if not found.empty or pool.is_empty or (found.asked and spec.update_strategy != "WhenEmpty"):
        return None
    return (
        f"{listed(found.empty)} can be changed only in a pool without nodes. "
        f"Nodes now: {max(pool.present, pool.targeted)}. Scale to 0, or set spec.updateStrategy to Drain or Recreate"
    )


def drain(spec: PoolSpec, found: Changes, view: PoolView, pool: Pool, now: float) -> Step | None:
    """The step towards a pool without nodes, for what needs one."""
    if not found.empty or not found.asked or spec.update_strategy != "Drain":
        return None
    names = listed(found.empty)
    nodes, running = pool.present, number_of(view.counts, ("running",))
    options = {"nodeDeallocationOption": "taskcompletion"}
    if spec.resize_timeout and not pool.enable_auto_scale:
        options |= {"resizeTimeout": spec.resize_timeout}
    step = scale(pool.id, Fixed(0, 0), options, view, pool, now)
    message = f"draining nodes to change {names}: {nodes} left, {running} of them with running tasks"
    if pool.is_steady and over(pool):
        message += ". They were not removed within resizeTimeout; their removal is requested again"
    return Step(step.calls if step else (), "Draining", "Draining", message)


def _updating(names: list[str], call: Call, found: Changes, view: PoolView) -> Step:
    # Metadata may be written for the operator's own note alone, which is no change of the user's.
    told = [name for name in names if name != "metadata" or not found.only_note]
    own = view.values.changed | found.wished
    others = tuple(name for name in told if name not in own)
    return Step((call,), "Updating", "Updating", f"changing {listed(told or names)}", properties=others)
