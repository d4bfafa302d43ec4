"""`cost`: reads pools and jobs, and prints what they cost in an hour."""

from __future__ import annotations

import click

from azure_batch_kubectl import cost, objects, output
from azure_batch_kubectl.actions import OPEN
from azure_batch_kubectl.choices import Form, Output
from azure_batch_kubectl.cluster import Cluster
from azure_batch_kubectl.objects import Object
from azure_batch_operator.api.kinds import Kind


def _more(pool: Object | None) -> tuple[object, ...]:
    """What -o wide adds to the row of a pool."""
    return ("", "") if pool is None else (objects.spec(pool).get("vmSize", ""), objects.status(pool).get("nodes", ""))


async def run(cluster: Cluster, form: Output | None) -> None:
    """The command."""
    pools = [cost.kept(pool) async for pool in cluster.list(Kind.POOL)]
    if not pools and not output.is_data(form):
        click.echo(f"No pools in namespace {cluster.namespace!r}.", err=True)
        return
    found = cost.table(pools, [cost.kept(job) async for job in cluster.list(Kind.JOB, fields=OPEN)])
    if output.is_data(form):
        items = cost.items(found.rows)
        # What no task uses is no object.
        named = [item for item in items if item.get("job") != cost.IDLE]
        output.emit(form, named if form is Form.NAME else items, cost.name)
        return
    known = {objects.name(pool): pool for pool in pools}
    columns = output.Columns(cost.HEADER, tuple, ("VM-SIZE", "NODES"), lambda row: _more(known.get(str(row[0]))))
    output.show(columns.table(found.rows, form))
    for currency, amount in sorted(found.sums.items()):
        click.echo(
            f"All pools: about {amount:.2f} {currency} in an hour, {amount * 24:.2f} {currency} in a day at the current size."
        )
    if found.sums:
        click.echo("These are estimates from your prices and the current nodes, not a bill.", err=True)
