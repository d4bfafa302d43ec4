"""Wire bodies as tests write them, as the values that polls and decisions have."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from azure_batch_operator.batch.account_wire import Application, SupportedImage
from azure_batch_operator.batch.pool_wire import NodeCounts, Pool
from azure_batch_operator.batch.wire import Node, Task, TaskCounts, W, build
from azure_batch_operator.reconcile.observed import FailedTask, ObservedNode, ObservedTask, TaskOutput

_OUTPUT = {"stdoutTail": "stdout_tail", "stderrTail": "stderr_tail", "outputProblem": "problem"}


def task(body: Mapping[str, Any]) -> Task:
    """A task as a list shows it."""
    return build(Task, body)


def output(members: Mapping[str, str]) -> TaskOutput:
    """Output, by the names that a status gives to its members."""
    return TaskOutput(**{_OUTPUT[name]: text for name, text in members.items()})


def observed(body: Mapping[str, Any]) -> ObservedTask:
    """The task of a BatchTask: a body with `owner`, and with members of a status for its output."""
    known = task(body)
    shown = {name: body[name] for name in _OUTPUT if name in body}
    return ObservedTask(
        id=known.id, etag=known.etag, creation_time=known.creation_time, state=known.state, execution=known.execution,
        node=known.node_info, constraints=known.constraints, owner=body.get("owner"), output=output(shown) if shown else None,
    )  # fmt: skip


def node(body: Mapping[str, Any]) -> ObservedNode:
    """A node: a body with `stderrTail` of its start task."""
    return ObservedNode(build(Node, body), body.get("stderrTail"))


def failed(body: Mapping[str, Any]) -> FailedTask:
    """A failed task of a job: a body with `stderrTail` and `stderrProblem`."""
    known = task(body)
    return FailedTask(known.id, known.execution, body.get("stderrTail"), body.get("stderrProblem"))


def pool(body: Mapping[str, Any]) -> Pool:
    """A pool as a list shows it."""
    return build(Pool, body)


def image(body: Mapping[str, Any]) -> SupportedImage:
    """An image that the account supports."""
    return build(SupportedImage, body)


def application(body: Mapping[str, Any]) -> Application:
    """An application of the account."""
    return build(Application, body)


def nodes(body: Mapping[str, Any]) -> NodeCounts:
    """Numbers of nodes of a pool, as their list shows them; those of pool `one` if the body names none."""
    return build(NodeCounts, {"poolId": "one", **body})


def counts(**numbers: int) -> TaskCounts:
    """Numbers of tasks by state."""
    return TaskCounts(**numbers)


class Listed:
    """A list as the client returns it, from bodies."""

    def __init__(self, source: AsyncIterator[Mapping[str, Any]]) -> None:
        self._source = source

    def __aiter__(self) -> AsyncIterator[Mapping[str, Any]]:
        return self._source

    async def of(self, struct: type[W]) -> AsyncIterator[W]:
        """The items as structs."""
        async for item in self._source:
            yield build(struct, item)
