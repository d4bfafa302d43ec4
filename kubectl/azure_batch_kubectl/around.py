"""Reads what an object depends on."""

from __future__ import annotations

from http import HTTPStatus

from kubernetes.aio.client.exceptions import ApiException

from azure_batch_kubectl import objects
from azure_batch_kubectl.cluster import Cluster, refusal
from azure_batch_kubectl.objects import Object
from azure_batch_kubectl.why import Around, Unreadable
from azure_batch_operator.api.kinds import Kind


async def around(cluster: Cluster, thing: Object) -> Around:
    """The account, the pool and the job that an object names, directly or by each other, and whether its namespace ends."""
    where = objects.namespace(thing)
    job = await _named(cluster, Kind.JOB, objects.reference(thing, "jobRef"), where)
    known = [each for each in (job, thing) if isinstance(each, dict)]
    named = next((found for each in reversed(known) if (found := objects.pool_of(each))), None)
    pool = await _named(cluster, Kind.POOL, named, where)
    if isinstance(pool, dict):
        known.append(pool)
    account = None
    if thing.get("kind") != Kind.ACCOUNT and (place := objects.account_of(thing, *known)):
        account = await _named(cluster, Kind.ACCOUNT, place[1], place[0])
    return Around(account, pool, job, await _is_ending(cluster, thing))


async def _named(cluster: Cluster, kind: Kind, name: str | None, namespace: str) -> Object | Unreadable | None:
    if name is None:
        return None
    try:
        return await cluster.get(kind, name, namespace)
    except ApiException as error:
        return Unreadable(f"{kind} {namespace}/{name}", refusal(error), is_missing=error.status == HTTPStatus.NOT_FOUND)


async def _is_ending(cluster: Cluster, thing: Object) -> bool:
    """Whether an object is deleted together with its namespace; False if the user may not see the namespace."""
    if not thing["metadata"].get("deletionTimestamp"):
        return False
    try:
        return await cluster.namespace_phase(objects.namespace(thing)) == "Terminating"
    except ApiException:
        return False
