"""`why`: reads an object and what it depends on, and prints the paragraph."""

from __future__ import annotations

from collections.abc import Sequence

import click

from azure_batch_kubectl import objects
from azure_batch_kubectl.around import around
from azure_batch_kubectl.cluster import Cluster
from azure_batch_kubectl.why import explain


async def run(cluster: Cluster, words: Sequence[str]) -> None:
    """The command."""
    kind, name = objects.target(words)
    thing = await cluster.get(kind, name)
    click.echo(explain(thing, await around(cluster, thing)))
