"""`cost`: reads pools and jobs, and prints what they cost in an hour."""

from __future__ import annotations

import click

from azure_batch_kubectl import cost, output
from azure_batch_kubectl.cluster import Cluster
from azure_batch_operator.api.kinds import Kind


async def run(cluster: Cluster) -> None:
    """The command."""
    pools = [each async for each in cluster.list(Kind.POOL)]
    if not pools:
        click.echo(f"No pools in namespace {cluster.namespace!r}.", err=True)
        return
    found = cost.table(pools, [each async for each in cluster.list(Kind.JOB)])
    output.show(output.table(cost.HEADER, found.rows))
    for currency, amount in sorted(found.sums.items()):
        click.echo(
            f"All pools: about {amount:.2f} {currency} in an hour, {amount * 24:.2f} {currency} in a day at the current size."
        )
    click.echo("These are estimates from your prices and the current nodes, not a bill.", err=True)
