"""A BatchPool's plan driven against the engine of the emulator, in one process and on a clock that moves when told.

It does what controller and poller do between them: shows the plan what is there, makes its calls, and lets time pass. A call
that the service refuses is an error of the plan, since what it was shown was true.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from azure_batch_emulator.clock import ManualClock
from azure_batch_emulator.engine.entities import Pool
from azure_batch_emulator.engine.service import BatchService
from azure_batch_emulator.executors.simulated import SimulatedExecutor
from azure_batch_emulator.schema import pools as schema
from azure_batch_emulator.web import render
from azure_batch_emulator.wire.errors import BatchError
from azure_batch_emulator.wire.ticks import TICKS_PER_SECOND, UNIX_EPOCH_TICKS
from azure_batch_operator.api.base import ApiModel
from azure_batch_operator.api.pool import PoolSpec
from azure_batch_operator.api.resource import Resource
from azure_batch_operator.batch.pool_wire import AutoScaleRun
from azure_batch_operator.batch.wire import build
from azure_batch_operator.reconcile.ownership import owns
from azure_batch_operator.reconcile.plan import Absent, Accepted, AccountView, Call, Plan
from azure_batch_operator.reconcile.pool.history import NO_HISTORY, after, after_refusal
from azure_batch_operator.reconcile.pool.lifecycle import PoolScope, plan
from azure_batch_operator.reconcile.pool.recreate import in_use, next_id
from azure_batch_operator.reconcile.pool.scope import PoolView
from azure_batch_operator.reconcile.secret_versions import Taken, compared, version_of
from azure_batch_operator.reconcile.value_references import Source, filled, references
from support import typed


def taken(model: type[ApiModel], spec: Mapping[str, Any]) -> dict[str, Taken]:
    """What members of a spec take from the one Secret, which never changes."""
    found = {}
    for name, value in model.rest_body(spec).items():
        if needed := list(references(model, {name: value})):
            found[name] = Taken("digest", version_of((each, "uid/1") for each in needed))
    return found


CLUSTER = "cluster-1"
ACCOUNT = AccountView(usable=True, url="https://a.example", name="default/main")
IMAGES = [
    typed.image(
        {
            "nodeAgentSKUId": f"agent {number}",
            "imageReference": {"publisher": "p", "offer": "o", "sku": f"s{number}"},
            "verificationType": "verified",
        }
    )
    for number in (1, 2)
]
_SOON = 300.0
SECRETS = {Source("Secret", "s", "k"): '{"secret": "text"}'}
"""A text that is a JSON object, too, as some properties want."""
_BASE = "https://a.example"


class Bench:
    """One account and one BatchPool."""

    def __init__(self, resource: Resource) -> None:
        self.clock = ManualClock()
        self.service = BatchService("account", self.clock, SimulatedExecutor(self.clock, 1), seed=1)
        self.resource = resource
        self.calls: list[Call] = []
        self.plans: list[Plan] = []
        self._accepted: dict[str, Accepted] = {}
        self._evaluated: tuple[str, AutoScaleRun] | None = None
        self._enabled: float | None = None
        self.history = NO_HISTORY

    @property
    def now(self) -> float:
        """Seconds since the epoch."""
        return (self.clock.now() - UNIX_EPOCH_TICKS) / TICKS_PER_SECOND

    @property
    def verbs(self) -> list[str]:
        """What was called, oldest first."""
        return [call.verb for call in self.calls]

    def create(self, body: Mapping[str, Any]) -> Pool:
        """A pool that was there before."""
        return self.service.pools.create(str(body["id"]), schema.POOL.accept("", filled(PoolSpec, body, SECRETS)))

    # --- what the poller shows ---

    def remotes(self) -> list[dict[str, Any]]:
        """All pools as a list shows them."""
        return [render.pool(_BASE, pool) for pool in self.service.pool_table.values()]

    def view(self) -> PoolView:
        """What the plan is shown."""
        everything = {pool["id"].lower(): pool for pool in self.remotes()}
        owned = [typed.pool(pool) for pool in everything.values() if owns(pool, self.resource, CLUSTER)]
        current, older = in_use(owned)
        here = current.id if current else self.resource.remote_id
        remote = everything.get(here.lower(), Absent.NOT_FOUND)
        following = next_id(self.resource, (known.id for known in owned)).lower()
        id = "" if isinstance(remote, Absent) else str(remote["id"]).lower()
        pool = self.service.pool_table.get(id)
        nodes = [render.node(_BASE, node) for node in pool.nodes.values()] if pool else []
        broken = {"starttaskfailed", "unusable", "unknown", "preempted"}
        return PoolView(
            remote=remote,
            counts=typed.nodes(render.node_counts(pool)) if pool else None,
            older=older,
            leaving=[known.id for known in owned if known.state == "deleting"],
            next_taken=following in everything.keys() - {known.id.lower() for known in owned},
            jobs_on={},
            images=IMAGES,
            accepted=self._accepted.get(id),
            values=compared(taken(PoolSpec, self.resource.spec), {}, remote),
            evaluated=self._evaluated,
            enabled=self._enabled,
            history=self.history,
            troubled=tuple(typed.node(node) for node in nodes if node["state"] in broken),
        )

    # --- what the controller does ---

    def step(self) -> Plan:
        """Plan once and carry it out."""
        decided = plan(PoolScope(self.resource, ACCOUNT, self.view(), CLUSTER, self.now))
        self.plans.append(decided)
        for call in decided.calls:
            self.calls.append(call)
            self._make(call)
        if decided.finalizer is not None:
            finalizers = ("azurebatch.io/finalizer",) if decided.finalizer == "add" else ()
            self.resource = replace(self.resource, finalizers=finalizers)
        if decided.status is not None:
            self.resource = replace(self.resource, status=dict(decided.status))
        return decided

    def settle(self, passes: int = 60) -> Plan:
        """Go on until a plan makes no call, the pool is steady, and nothing is looked at again soon; that plan."""
        for _ in range(passes):
            decided = self.step()
            moving = any(each["allocationState"] != "steady" for each in self.remotes())
            starting = "NodesStarting" in str(decided.status)
            soon = decided.requeue_after is not None and decided.requeue_after < _SOON
            if not decided.calls and not moving and not starting and not soon:
                return decided
            self.clock.advance(decided.requeue_after or 40.0)
        raise AssertionError(f"no fixed point after {passes} passes: {self.verbs[-8:]}, {self.resource.status}")

    def _make(self, call: Call) -> None:
        try:
            self._send(call)
        except BatchError as error:
            # As in the controller, what a node refuses is no obstacle for its pool.
            if call.verb not in {"reboot_node", "reimage_node"}:
                raise
            self.history = after_refusal(self.history, call, error.code, self.now)
            return
        self.history = after(self.history, call, self.now)
        pool = self.service.pool_table.get(call.id.lower())
        before = self._accepted.get(call.id.lower())
        if pool is not None and (call.marks is not None or (before and before.etag == call.if_match)):
            kept = before.members if before and before.etag == call.if_match else {}
            etag = render.pool(_BASE, pool)["eTag"]
            self._accepted[call.id.lower()] = Accepted({**kept, **(call.marks or {})}, etag)

    def _send(self, call: Call) -> None:
        service, body = self.service, filled(PoolSpec, call.body or {}, SECRETS)
        if call.verb == "create_pool":
            self.create(body)
            return
        if call.verb in {"reboot_node", "reimage_node"}:
            action, (option,) = call.verb.removesuffix("_node"), (call.body or {}).values()
            service.nodes.act(service.node(call.parent or "", call.id), action, option)
            return
        pool = service.pool(call.id)
        if call.if_match is not None and call.if_match != render.pool(_BASE, pool)["eTag"]:
            raise AssertionError(f"{call.verb} with an old ETag")
        match call.verb:
            case "update_pool":
                service.pools.patch(pool, schema.POOL_UPDATE.accept("", body, partial=True))
            case "replace_pool_properties":
                service.pools.replace_properties(pool, schema.POOL_REPLACE.accept("", body))
            case "resize_pool":
                service.pools.resize(pool, schema.RESIZE.accept("", body))
            case "stop_pool_resize":
                service.pools.stop_resize(pool)
            case "enable_pool_auto_scale":
                service.auto_scale.enable(pool, schema.ENABLE_AUTO_SCALE.accept("", body))
                self._enabled = self.now
            case "disable_pool_auto_scale":
                service.auto_scale.disable(pool)
            case "evaluate_pool_auto_scale":
                self._evaluated = (
                    body["autoScaleFormula"],
                    build(AutoScaleRun, service.auto_scale.try_formula(pool, body["autoScaleFormula"])),
                )
            case "remove_nodes":
                service.pools.remove_nodes(pool, schema.REMOVE_NODES.accept("", body))
            case "delete_pool":
                service.pools.delete(pool)
            case _:
                raise AssertionError(f"unexpected call {call.verb}")
