"""Nodes of a pool: `ls` with the account's credentials, the verbs as a BatchOperation, which the operator executes and records."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import click

from azure_batch_kubectl import objects, operating, output, remote, storing
from azure_batch_kubectl.choices import Output
from azure_batch_kubectl.cluster import Cluster
from azure_batch_kubectl.failure import FailureError
from azure_batch_kubectl.objects import Object
from azure_batch_kubectl.remote import Place
from azure_batch_operator.api.base import API_VERSION, GROUP
from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.batch import BatchClient
from azure_batch_operator.batch.errors import NotFoundError, is_gone

HEADER = ("NODE", "STATE", "SCHEDULING", "TIER", "TASKS", "VM-SIZE", "IP", "AGE")
_SELECT = (
    "id",
    "state",
    "schedulingState",
    "isDedicated",
    "runningTasksCount",
    "vmSize",
    "ipAddress",
    "allocationTime",
)
_DETAILS = (
    *_SELECT,
    "stateTransitionTime",
    "lastBootTime",
    "totalTasksRun",
    "runningTaskSlotsCount",
    "recentTasks",
    "startTaskInfo",
    "errors",
    "endpointConfiguration",
    "nodeAgentInfo",
)
"""What `-o` shows of a node that is named: not its start task, whose environment may hold secrets."""
_MORE = ("AGENT", "BOOTED", "TASKS-RUN", "ERROR")
_SELECT_MORE = (*_SELECT, "nodeAgentInfo", "lastBootTime", "totalTasksRun", "errors")


def row(node: Mapping[str, Any], now: datetime) -> tuple[object, ...]:
    """A row of the list."""
    tier = "dedicated" if node.get("isDedicated") else "Spot"
    return (
        node["id"],
        node.get("state", ""),
        node.get("schedulingState", ""),
        tier,
        node.get("runningTasksCount", ""),
        node.get("vmSize", ""),
        node.get("ipAddress", ""),
        objects.age(node.get("allocationTime", ""), now),
    )


def more(node: Mapping[str, Any], now: datetime) -> tuple[object, ...]:
    """What -o wide adds to a row."""
    return (
        (node.get("nodeAgentInfo") or {}).get("version", ""),
        objects.age(node.get("lastBootTime", ""), now),
        node.get("totalTasksRun", ""),
        next((error.get("code", "") for error in node.get("errors") or ()), ""),
    )


VERBS: Mapping[str, tuple[str, str | None]] = {
    "reboot": ("rebootNode", "nodeRebootOption"),
    "reimage": ("reimageNode", "nodeReimageOption"),
    "drain": ("disableNodeScheduling", "nodeDisableSchedulingOption"),
    "uncordon": ("enableNodeScheduling", None),
    "ssh": ("getRemoteLoginSettings", None),
}
"""What a verb is in a BatchOperation, and the option that says what happens to running tasks."""


def operation(verb: str, pool: str, names: Sequence[str], states: Sequence[str], option: str | None) -> dict[str, Any]:
    """The BatchOperation of a verb.

    Raises:
        FailureError: both names and states are given, or neither.
    """
    if bool(names) == bool(states):
        raise FailureError("say which nodes: give either names of nodes or --state, such as --state unusable")
    member, told = VERBS[verb]
    nodes: dict[str, Any] = {"names": [*names]} if names else {"states": [*states]}
    inputs: dict[str, Any] = {"nodes": nodes} | ({told: option} if option and told else {})
    return {
        "apiVersion": API_VERSION,
        "kind": Kind.OPERATION.value,
        "metadata": {"generateName": f"{verb}-"},
        "spec": {"poolRef": {"name": pool}, member: inputs, "ttlSecondsAfterFinished": operating.TTL},
    }


async def show(cluster: Cluster, pool: str, node: str | None, *, form: Output | None) -> None:
    """The command `ls`, of all nodes or of one."""
    async with remote.opened(cluster, Place(Kind.POOL, pool)) as (client, owner):
        if node is not None:
            found = [await _node(client, owner, pool, node)]
        else:
            found = [
                dict(item) async for item in client.nodes.list(owner, select=_SELECT if form is None else _SELECT_MORE)
            ]
    now = datetime.now(UTC)
    columns = output.Columns(HEADER, lambda item: row(item, now), _MORE, lambda item: more(item, now))
    output.listing(form, found, columns, lambda item: str(item["id"]), f"No nodes in pool {pool!r}.")


async def _node(client: BatchClient, owner: str, pool: str, node: str) -> dict[str, Any]:
    try:
        return remote.plain(await client.nodes.get(owner, node, select=_DETAILS))
    except NotFoundError as error:
        if not is_gone(error):
            raise
        raise FailureError(
            f"pool {owner!r} has no node {node!r}: kubectl azure-batch nodes ls {pool} lists its nodes"
        ) from None


async def run(cluster: Cluster, body: Mapping[str, Any], *, timeout: float | None) -> None:
    """Create an operation for a pool that exists, and wait for its end if that is wanted.

    Args:
        timeout: seconds to wait for its end; 0 for no limit, None for not at all.

    Raises:
        FailureError: with exit code 3 if it fails.
    """
    await cluster.get(Kind.POOL, body["spec"]["poolRef"]["name"])
    name = await storing.create_operation(cluster, body)
    click.echo(f"batchoperation.{GROUP}/{name} created")
    if timeout is not None:
        click.echo(f"batchoperation.{GROUP}/{name} {await operating.done(cluster, name, timeout)}")


def ssh_words(pool: str, node: str, user: str | None, done: Object) -> list[str]:
    """The ssh command for a node, from an operation that has asked for its address.

    Raises:
        FailureError: Azure Batch has given none.
    """
    results = objects.status(done).get("results") or [{}]
    values = results[0].get("values") or {}
    address, port = values.get("remoteLoginIPAddress"), values.get("remoteLoginPort")
    if not address or not port:
        raise FailureError(
            f"Azure Batch returns no address for node {node} of pool {pool}: check its endpointConfiguration"
        )
    return ["ssh", "-p", str(port), f"{user}@{address}" if user else str(address)]


@dataclass(frozen=True)
class Login:
    """A node to log in to, and as whom; None for the user that ssh selects."""

    pool: str
    node: str
    user: str | None = None


async def ssh_command(cluster: Cluster, to: Login, timeout: float = 0.0) -> list[str]:
    """Ask by a BatchOperation for the address of a node.

    Args:
        timeout: seconds; 0 for no limit.

    Raises:
        FailureError: with exit code 3 if the operation fails.
    """
    await cluster.get(Kind.POOL, to.pool)
    name = await storing.create_operation(cluster, operation("ssh", to.pool, [to.node], [], None))
    await operating.done(cluster, name, timeout)
    return ssh_words(to.pool, to.node, to.user, await cluster.get(Kind.OPERATION, name))


def become(command: Sequence[str]) -> None:
    """Go on as another program.

    Raises:
        FailureError: it is not installed.
    """
    try:
        os.execvp(command[0], [*command])  # noqa: S606 (no shell)
    except FileNotFoundError:
        raise FailureError(f"{command[0]} is not installed: install it, or print the command with --print") from None
