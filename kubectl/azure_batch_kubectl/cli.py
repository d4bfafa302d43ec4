"""`kubectl azure-batch`: the commands."""

from __future__ import annotations

import click

from azure_batch_kubectl import objects
from azure_batch_kubectl.around import around
from azure_batch_kubectl.cluster import Cluster
from azure_batch_kubectl.command import on_cluster
from azure_batch_kubectl.why import explain


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="azure-batch-operator")
def plugin() -> None:
    """Look at and act on objects of azure-batch-operator, with the rights of your kubeconfig."""


@plugin.command()
@click.argument("target", nargs=-1, required=True, metavar="KIND/NAME")
@on_cluster
async def why(cluster: Cluster, target: tuple[str, ...]) -> None:
    """Say why an object waits or has failed, and what to do.

    KIND is any kind of the group, also in short: bj, bt, bp, bjs, bop, bacc. "kind name" is taken as well.
    """
    kind, name = objects.target(target)
    thing = await cluster.get(kind, name)
    click.echo(explain(thing, await around(cluster, thing)))
