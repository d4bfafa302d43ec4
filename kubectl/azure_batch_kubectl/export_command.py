"""`export`: reads an object, and prints the JSON that creates the same thing with the Azure CLI."""

from __future__ import annotations

import json
from collections.abc import Sequence

import click
from kubernetes.aio.client.exceptions import ApiException

from azure_batch_kubectl import exporting, objects
from azure_batch_kubectl.cluster import Cluster, refusal
from azure_batch_kubectl.failure import FailureError
from azure_batch_operator.api.kinds import Kind


async def run(cluster: Cluster, words: Sequence[str], *, tasks: bool) -> None:
    """The command.

    Raises:
        FailureError: the object cannot be exported.
    """
    kind, name = objects.target(words)
    if tasks and kind is not Kind.JOB:
        raise FailureError(f"--tasks is for a BatchJob, and {name} is a {kind}: leave it out")
    thing = {"kind": kind.value, **await cluster.get(kind, name)}
    if tasks:
        made = exporting.tasks(thing)
    else:
        pool = None if kind is Kind.TASK else objects.reference(thing, "poolRef")
        made = exporting.exported(thing, await _pool_id(cluster, pool) if pool else None)
    click.echo(json.dumps(made.body, indent=2, ensure_ascii=False))
    for note in made.notes:
        click.echo(f"note: {note}", err=True)


async def _pool_id(cluster: Cluster, name: str) -> str:
    try:
        return objects.remote_id(await cluster.get(Kind.POOL, name))
    except ApiException as error:
        raise FailureError(f"the ID of its pool cannot be read: BatchPool {name}: {refusal(error)}") from None
