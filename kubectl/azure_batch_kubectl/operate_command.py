"""`operate`: any verb of a BatchOperation as one command, with the answer of Azure Batch."""

from __future__ import annotations

from collections.abc import Sequence

import click

from azure_batch_kubectl import objects, operating, output, storing
from azure_batch_kubectl.choices import Output
from azure_batch_kubectl.cluster import Cluster
from azure_batch_operator.api.base import GROUP
from azure_batch_operator.api.kinds import Kind


async def run(
    cluster: Cluster, verb: str, word: str, settings: Sequence[str], *, timeout: float | None, form: Output | None
) -> None:
    """Create the operation, wait for its end and print its results.

    Args:
        timeout: seconds to wait for its end; 0 for no limit, None for not at all.
    """
    where = operating.target(verb, word)
    body = operating.operation(verb, where, operating.inputs(verb, settings))
    # One for an object that does not exist would wait for it.
    await cluster.get(where.kind, where.name)
    name = await storing.create_operation(cluster, body)
    # Programs read the answer from stdout.
    click.echo(f"batchoperation.{GROUP}/{name} created", err=timeout is not None)
    if timeout is None:
        return
    await operating.done(cluster, name, timeout)
    results = objects.status(await cluster.get(Kind.OPERATION, name)).get("results") or []
    if output.is_data(form):
        output.emit(form, results, lambda result: str(result["target"]))
    elif results:
        output.show(output.table(operating.HEADER, operating.rows(results)))
    else:
        click.echo(f"Nothing to do at {word!r}.", err=True)
