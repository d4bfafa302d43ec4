"""Compares the store with the API server at the start and every ten minutes, to find what the watch missed.

Kopf has no such thing: a DELETED that was lost with a connection would never come again, and neither would a wake-up that was lost.
So every object is queued once per comparison; one that is as it should be costs a decision and no request.

A cluster that was restored continues from an older resourceVersion, so its watch shows events that look old. A list that
began later shows what is true.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from azure_batch_operator import guard
from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Key, Resource
from azure_batch_operator.kube.api import KubeApi
from azure_batch_operator.sync.store import Store


async def resync(
    api: KubeApi,
    store: Store,
    namespaces: Collection[str],
    seen: Callable[[Resource], None],
    gone: Callable[[Resource], None],
    wake: Callable[[Key], None],
) -> int:
    """List all objects; report each to `seen`, and to `gone` those that the store has and the API server no longer has.

    Args:
        wake: queues an object, whether or not it has changed.

    Returns:
        How many there are.

    Raises:
        KubeError: if a list failed; nothing is declared gone then.
    """
    # An object that is created while the lists run is not in them, and must not be taken for gone. One that was deleted and
    # created again is another object: by its uid, not by its name.
    before = {key: known for key in list(store.keys()) if (known := store.get(key)) is not None}
    listed: dict[Key, str] = {}
    with store.departures() as departed:
        for kind in Kind:
            for namespace in namespaces or (None,):
                async for body in api.list(kind, namespace):
                    try:
                        resource = Resource.parse(body)
                        listed[resource.key] = resource.uid
                        if resource.uid not in departed:
                            if store.is_newer(resource) and store.get(resource.key) is before.get(resource.key):
                                # The list began after that was known, so the API server has gone back to it.
                                store.rewind(resource)
                            seen(resource)
                            wake(resource.key)
                    except Exception as error:
                        # One object that cannot be taken in does not keep the others from being compared.
                        guard.report("resync", kind, error)
    for key, former in before.items():
        known = store.get(key)
        if known is not None and known.uid == former.uid and listed.get(key) != former.uid:
            gone(known)
    return len(listed)
