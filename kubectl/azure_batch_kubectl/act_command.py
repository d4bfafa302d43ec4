"""`suspend`, `resume`, `retry` and `terminate`."""

from __future__ import annotations

from datetime import UTC, datetime

import click
from kubernetes.aio.client.exceptions import ApiException, NotFoundException

from azure_batch_kubectl import objects
from azure_batch_kubectl.actions import change, check_kind
from azure_batch_kubectl.choices import Action
from azure_batch_kubectl.cluster import Cluster
from azure_batch_kubectl.failure import FailureError
from azure_batch_kubectl.running import explained
from azure_batch_operator.api.base import GROUP
from azure_batch_operator.api.kinds import Kind


async def run(cluster: Cluster, action: Action, targets: tuple[str, ...]) -> None:
    """Change each of the objects, if all of them are of a kind that the action is for."""
    named = [objects.job_or(each) for each in targets]
    for kind, _ in named:
        check_kind(action, kind)
    failed = 0
    for kind, name in named:
        # One that cannot be changed does not keep the others as they are, as with kubectl.
        try:
            decided = change(action, await _get(cluster, action, kind, name), datetime.now(UTC).isoformat())
            if decided.patch is not None:
                await cluster.patch(kind, name, decided.patch)
        except (FailureError, ApiException) as error:
            if len(named) == 1:
                raise
            failed += 1
            click.echo(f"error: {explained(error)}", err=True)
        else:
            click.echo(f"{kind.lower()}.{GROUP}/{name} {decided.said}")
    if failed:
        raise FailureError(f"{failed} of {len(named)} objects were not changed")


async def _get(cluster: Cluster, action: Action, kind: Kind, name: str) -> objects.Object:
    """The object; where there is only a BatchJobSchedule of that name, its job was hardly meant.

    Raises:
        FailureError: there is one, and the action is for its kind.
        ApiException: there is none.
    """
    try:
        return await cluster.get(kind, name)
    except NotFoundException:
        if kind is not Kind.JOB:
            raise
        try:
            check_kind(action, Kind.SCHEDULE)
            await cluster.get(Kind.SCHEDULE, name)
        except (FailureError, ApiException):
            pass
        else:
            text = f"there is no BatchJob {name}, but a BatchJobSchedule: kubectl azure-batch {action} bjs/{name}"
            raise FailureError(text) from None
        raise
