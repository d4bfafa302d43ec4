"""Nodes of a pool: `ls` with the account's credentials, the verbs as a BatchOperation, which the operator executes and records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import click

from azure_batch_kubectl import objects, output, remote
from azure_batch_kubectl.choices import Form, Goal
from azure_batch_kubectl.cluster import Cluster
from azure_batch_kubectl.failure import Exit, FailureError
from azure_batch_kubectl.remote import Place
from azure_batch_kubectl.wait_command import wait_for
from azure_batch_kubectl.why import Around, explain
from azure_batch_operator.api.base import API_VERSION, GROUP
from azure_batch_operator.api.kinds import Kind

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
_TTL = 86400


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


def operation(verb: str, pool: str, names: Sequence[str], states: Sequence[str], option: str | None) -> dict[str, Any]:
    """The BatchOperation of a verb.

    Raises:
        FailureError: both names and states are given, or neither.
    """
    if bool(names) == bool(states):
        raise FailureError("say which nodes: give either names of nodes or --state, such as --state unusable")
    nodes: dict[str, Any] = {"names": [*names]} if names else {"states": [*states]}
    inputs: dict[str, Any] = {"nodes": nodes} | ({f"node{verb.capitalize()}Option": option} if option else {})
    return {
        "apiVersion": API_VERSION,
        "kind": Kind.OPERATION.value,
        "metadata": {"generateName": f"{verb}-"},
        "spec": {"poolRef": {"name": pool}, f"{verb}Node": inputs, "ttlSecondsAfterFinished": _TTL},
    }


async def show(cluster: Cluster, pool: str, *, form: Form | None) -> None:
    """The command `ls`."""
    async with remote.opened(cluster, Place(Kind.POOL, pool)) as (client, owner):
        found = [dict(each) async for each in client.nodes.list(owner, select=_SELECT)]
    if form is not None:
        output.emit(form, found, lambda each: str(each["id"]))
    elif found:
        now = datetime.now(UTC)
        output.show(output.table(HEADER, (row(each, now) for each in found)))
    else:
        click.echo(f"No nodes in pool {pool!r}.", err=True)


async def run(cluster: Cluster, body: Mapping[str, Any], *, wait: bool) -> None:
    """Create an operation, and wait for its end if that is wanted.

    Raises:
        FailureError: with exit code 3 if it fails.
    """
    made = await cluster.create(Kind.OPERATION, body)
    name = objects.name(made)
    click.echo(f"batchoperation.{GROUP}/{name} created")
    if not wait:
        return
    judgment = await wait_for(cluster, Kind.OPERATION, name, Goal.COMPLETE)
    if not judgment.reached:
        answer = explain(await cluster.get(Kind.OPERATION, name), Around())
        raise FailureError(str(answer), Exit.FAILED)
    click.echo(f"batchoperation.{GROUP}/{name} {judgment.text}")
