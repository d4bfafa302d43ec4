"""`suspend`, `resume`, `retry` and `terminate`."""

from __future__ import annotations

from datetime import UTC, datetime

import click
from kubernetes.aio.client.exceptions import ApiException

from azure_batch_kubectl import objects
from azure_batch_kubectl.actions import change, check_kind
from azure_batch_kubectl.choices import Action
from azure_batch_kubectl.cluster import Cluster
from azure_batch_kubectl.failure import FailureError
from azure_batch_kubectl.running import explained
from azure_batch_operator.api.base import GROUP


async def run(cluster: Cluster, action: Action, targets: tuple[str, ...]) -> None:
    """Change each of the objects, if all of them are of a kind that the action is for."""
    named = [objects.job_or(each) for each in targets]
    for kind, _ in named:
        check_kind(action, kind)
    failed = 0
    for kind, name in named:
        # One that cannot be changed does not keep the others as they are, as with kubectl.
        try:
            decided = change(action, await cluster.get(kind, name), datetime.now(UTC).isoformat())
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
