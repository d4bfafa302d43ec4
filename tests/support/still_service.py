"""The emulator's operations on a clock that is stopped, in one process.

What lasts milliseconds with a running emulator lasts here until a test lets time pass. Everything between the matching of the
path and the body of the answer is the emulator's own; only HTTP and signatures are left out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson

from azure_batch_emulator.clock import ManualClock
from azure_batch_emulator.engine import machine_rules
from azure_batch_emulator.engine.service import BatchService
from azure_batch_emulator.executors.simulated import SimulatedExecutor
from azure_batch_emulator.schema.images import FORMER_IMAGES, SUPPORTED_IMAGES
from azure_batch_emulator.schema.versions import DEFAULT
from azure_batch_emulator.web import routes
from azure_batch_emulator.web.handlers import HANDLERS
from azure_batch_emulator.web.messages import HeldError, Request
from azure_batch_emulator.web.query import Query
from azure_batch_emulator.wire.errors import BatchError

BASE = "https://account.example"
MACHINE: dict[str, Any] = {
    "imageReference": {"publisher": "canonical", "offer": "0001-com-ubuntu-server-jammy", "sku": "22_04-lts"},
    "nodeAgentSKUId": "batch.node.ubuntu 22.04",
}
POOL: dict[str, Any] = {"vmSize": "standard_d2s_v3", "virtualMachineConfiguration": MACHINE}


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call came to: a status, the code and values of an error, or a body."""

    status: int
    code: str = ""
    values: dict[str, str] = field(default_factory=dict)
    body: Any = None

    def __str__(self) -> str:
        return f"{self.status} {self.code}".strip()


class StillService:
    """An account with nothing in it."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        images = machine_rules.catalog(SUPPORTED_IMAGES, FORMER_IMAGES)
        self.service = BatchService("account", self.clock, SimulatedExecutor(self.clock, 1), seed=1, images=images)

    def call(self, method: str, target: str, body: Any = None) -> Answer:
        """Call an operation by its path; the body is sent as JSON."""
        path, _, query = target.partition("?")
        try:
            match = routes.match(method, path)
            request = Request(
                self.service,
                match.route,
                match.parameters,
                Query(query),
                {},
                orjson.dumps(body) if body is not None else b"",
                BASE,
                path,
                "request",
            )
            reply = HANDLERS[match.route.operation](request)
        except BatchError as error:
            return Answer(error.status, error.code, {key: str(value) for key, value in error.values.items()})
        except HeldError:
            return Answer(0, "held")
        if (written := reply.join_blocks()) is not None:
            return Answer(reply.status or match.route.status, body=orjson.loads(written))
        shown = DEFAULT.show(reply.body)
        return Answer(reply.status or match.route.status, body=orjson.loads(orjson.dumps(shown)))

    def must(self, method: str, target: str, body: Any = None) -> Any:
        """As `call`, and it must succeed; the body of the answer."""
        answer = self.call(method, target, body)
        assert 200 <= answer.status < 300, (method, target, str(answer), answer.values)
        return answer.body

    # -- resources to begin with --

    def steady_pool(self, nodes: int = 0, **properties: Any) -> None:
        """The pool ``pool``, steady, with idle nodes."""
        self.must("POST", "/pools", {"id": "pool", **POOL, "targetDedicatedNodes": nodes, **properties})
        self.until_pool("steady")
        if nodes:
            self.clock.run_until(lambda: all(node.state == "idle" for node in self.service.pool("pool").nodes.values()))

    def until_pool(self, allocation: str) -> None:
        """Let time pass until the pool's allocation is in a state."""
        self.clock.run_until(lambda: self.service.pool("pool").allocation_state == allocation)

    def until_node(self, state: str) -> None:
        """Let time pass until the pool's only node is in a state."""
        self.clock.run_until(lambda: [node.state for node in self.service.pool("pool").nodes.values()] == [state])

    def until_job(self, state: str) -> None:
        """Let time pass until the job ``job`` is in a state."""
        self.clock.run_until(lambda: self.service.job("job").state == state)

    def until_task(self, state: str) -> None:
        """Let time pass until the task ``task`` of the job ``job`` is in a state."""
        self.clock.run_until(lambda: self.service.task("job", "task").state == state)

    @property
    def node_path(self) -> str:
        """Path of the pool's only node."""
        (node,) = self.service.pool("pool").nodes
        return f"/pools/pool/nodes/{node}"

    def fail_node(self, state: str) -> None:
        """Make the pool's only node unusable or the like."""
        (node,) = self.service.pool("pool").nodes.values()
        self.service.nodes.fail(node, state, "NodeUnusable", "made to fail")

    def preempt_node(self) -> None:
        """Take the pool's only node away."""
        (node,) = self.service.pool("pool").nodes.values()
        self.service.nodes.preempt(node)
