"""`why`: reads an object and what it depends on, also in Azure Batch where the user may, and prints the paragraph."""

from __future__ import annotations

from collections.abc import Sequence

import aiohttp
import click
from kubernetes.aio.client.exceptions import ApiException

from azure_batch_kubectl import objects, remote
from azure_batch_kubectl.around import around
from azure_batch_kubectl.cluster import Cluster
from azure_batch_kubectl.evidence import gather
from azure_batch_kubectl.failure import FailureError
from azure_batch_kubectl.objects import Object
from azure_batch_kubectl.remote import Place
from azure_batch_kubectl.why import Answer, Seen, explain
from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.batch import BatchError
from azure_batch_operator.causes import WayOut, judge

_ASKED_IN = frozenset({"Waiting", "Running"})
"""Phases in which the tasks of a job are what matters; in all others the conditions say why nothing runs."""


async def run(cluster: Cluster, words: Sequence[str]) -> None:
    """The command."""
    click.echo(await answer(cluster, *objects.target(words)))


async def answer(cluster: Cluster, kind: Kind, name: str) -> Answer:
    """The paragraph about an object."""
    thing = await cluster.get(kind, name)
    return explain(thing, await around(cluster, thing), await _seen(cluster, thing))


async def _seen(cluster: Cluster, thing: Object) -> Seen | None:
    """What Azure Batch shows of a job; None if it is not asked, since the user may not or there is nothing to ask."""
    if thing.get("kind") != Kind.JOB or objects.phase(thing) not in _ASKED_IN:
        return None
    try:
        async with remote.opened(cluster, Place(Kind.JOB, objects.name(thing))) as (client, id):
            evidence = await gather(client, id, WayOut(_pool_field(thing)))
    except (FailureError, ApiException, BatchError, aiohttp.ClientError, TimeoutError, OSError):
        # The status has the operator's judgment.
        return None
    return Seen(judge(evidence) if evidence is not None else None)


def _pool_field(job: Object) -> str | None:
    spec = objects.spec(job)
    if spec.get("poolRef"):
        return "spec.poolRef"
    return "spec.poolInfo.poolId" if (spec.get("poolInfo") or {}).get("poolId") else None
