"""Nodes that need attention: one filtered list per pool, only if node counts or the spec require it (docs/azure-batch.md#nodes)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from azure_batch_operator.batch import BatchClient, BatchError
from azure_batch_operator.batch.pool_wire import NodeState
from azure_batch_operator.batch.wire import Node, build
from azure_batch_operator.reconcile.observed import ObservedNode
from azure_batch_operator.reconcile.pool.scope import number_of
from azure_batch_operator.reconcile.wire_equality import same
from azure_batch_operator.sync.interest import Interest
from azure_batch_operator.sync.mirror import Mirror, PoolNotes
from azure_batch_operator.sync.polls.absences import Absences
from azure_batch_operator.sync.polls.base import TAIL_BYTES, TAIL_LINES, News, Poll, clock, options, tail_of
from azure_batch_operator.sync.polls.steps import Scope, Step, keys_of

_TROUBLE: dict[NodeState, str] = {
    "startTaskFailed": "starttaskfailed",
    "unusable": "unusable",
    "unknown": "unknown",
    "preempted": "preempted",
}
"""States by their names in node counts and on nodes."""
_MEMBERS = ("id", "state", "stateTransitionTime", "isDedicated", "errors", "startTaskInfo")
_WITH_START_TASK = ("id", "state", "stateTransitionTime", "lastBootTime", "startTask")
_BOOTED = "state eq 'idle' or state eq 'running'"
_AGAIN_AFTER = 60.0
NODES, START_TASKS = "the nodes of pool", "the start tasks of the nodes of pool"
_MAX_NODES = 100
_MAX_TAILS = 3


@dataclass
class _Looked:
    """When and at what the nodes of a pool were looked at last."""

    at: float
    reason: Any


class NodePoll(Poll):
    """Nodes in trouble, and nodes that have run another start task."""

    def __init__(self, client: BatchClient, mirror: Mirror, interest: Interest) -> None:
        super().__init__(client, mirror, interest)
        self._troubled: dict[str, _Looked] = {}
        self._outdated: dict[str, _Looked] = {}
        self._absences = Absences(mirror.pools, "poolnotfound")

    def steps(self, news: News) -> list[Step]:
        """The lists that are due; `news` is told pools that no longer have such nodes."""
        steps: list[Step] = []
        for id in self._troubled.keys() - self._interest.pools.keys():
            self._troubled.pop(id, None)
            self._outdated.pop(id, None)
        self._absences.keep(self._interest.pools)
        for id in self._interest.pools:
            notes, counts = self._mirror.notes[id], self._mirror.node_counts.get(id)
            if not number_of(counts, tuple(_TROUBLE)):
                self._set(id, notes, news, troubled=())
                self._troubled.pop(id, None)
            elif self._due(self._troubled, id, counts):
                steps.append(self._step(NODES, id, self._troubled, counts, partial(self._trouble, id, notes)))
            wanted = notes.start_task
            if wanted is not None and counts is None:
                # Whether there are nodes is not known yet, so neither is which of them are outdated.
                continue
            if wanted is None or not number_of(counts, ("idle", "running")):
                notes.outdated_for = wanted
                self._set(id, notes, news, outdated=())
                self._outdated.pop(id, None)
            elif self._due(self._outdated, id, (wanted, counts), requeue_after=bool(notes.outdated)):
                run = partial(self._start_tasks, id, notes, wanted)
                steps.append(self._step(START_TASKS, id, self._outdated, (wanted, counts), run))
        return steps

    def _step(
        self, what: str, id: str, looked: dict[str, _Looked], reason: Any, run: Callable[[News], Awaitable[None]]
    ) -> Step:
        scope = Scope(what, id)

        async def read(news: News) -> None:
            began = clock()
            with self._absences.noted(scope):
                await run(news)
                looked[id] = _Looked(began, reason)

        return Step(scope, read, keys_of(self._interest.pools, id))

    def _due(self, looked: dict[str, _Looked], id: str, reason: Any, *, requeue_after: bool = True) -> bool:
        last = looked.get(id)
        return last is None or last.reason != reason or (requeue_after and clock() - last.at > _AGAIN_AFTER)

    async def _trouble(self, id: str, notes: PoolNotes, news: News) -> None:
        states = [state for name, state in _TROUBLE.items() if number_of(self._mirror.node_counts.get(id), (name,))]
        condition = " or ".join(f"state eq '{state}'" for state in states)
        known = {(trouble.node.id, trouble.node.since): trouble.stderr_tail for trouble in notes.troubled}
        found: list[ObservedNode] = []
        tails = 0
        async for node in self._client.nodes.list(id, filter=condition, select=_MEMBERS, **options()).of(Node):
            if len(found) >= _MAX_NODES:
                break
            tail = known.get((node.id, node.since))
            if tail is None and node.state == "starttaskfailed" and tails < _MAX_TAILS:
                tails += 1
                tail = await self._start_task_stderr(id, node.id)
            found.append(ObservedNode(node, tail))
        self._set(id, notes, news, troubled=tuple(found))

    async def _start_tasks(self, id: str, notes: PoolNotes, wanted: Mapping[str, Any], news: News) -> None:
        outdated: list[Node] = []
        async for node in self._client.nodes.list(id, filter=_BOOTED, select=_WITH_START_TASK, **options()):
            if len(outdated) < _MAX_NODES and not same("startTask", wanted, node.get("startTask")):
                outdated.append(build(Node, node))
        notes.outdated_for = wanted
        self._set(id, notes, news, outdated=tuple(outdated))

    async def _start_task_stderr(self, pool_id: str, node_id: str) -> str:
        """Last lines of what the start task wrote to stderr; empty if the node cannot be asked."""
        try:
            data = await self._client.node_files.tail(
                pool_id, node_id, "startup/stderr.txt", limit=TAIL_BYTES, **options()
            )
        except BatchError as error:
            # Without a code it may come from a proxy, and what is found here is kept as long as the node is in this state.
            if error.code and error.status in {404, 409}:
                return ""
            raise
        return tail_of(data, TAIL_LINES)

    def _set(
        self, id: str, notes: PoolNotes, news: News, **fields: tuple[ObservedNode, ...] | tuple[Node, ...]
    ) -> None:
        for name, value in fields.items():
            if getattr(notes, name) != value:
                setattr(notes, name, value)
                news.changed |= self._interest.pools.get(id, set())
        notes.looked = notes.looked or "troubled" in fields
