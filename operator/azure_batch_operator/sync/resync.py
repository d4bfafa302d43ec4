"""A full comparison of the store with the API server: at the start, and every ten minutes for what watching has missed.

Kopf has no such thing: a DELETED that was lost with a connection would never come again (kopf.md §0, decision 4).
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Resource
from azure_batch_operator.kube.api import KubeApi
from azure_batch_operator.sync.store import Store


async def resync(
    api: KubeApi,
    store: Store,
    namespaces: Collection[str],
    seen: Callable[[Resource], None],
    gone: Callable[[Resource], None],
) -> int:
    """List all objects, tell `seen` each, and `gone` those that the store has and the API server no longer.

    Returns:
        How many there are.

    Raises:
        KubeError: if a list failed; nothing is declared gone then.
    """
    # What is created while the lists run is not in them, and must not be taken for gone.
    before = set(store.keys())
    present = set()
    for kind in Kind:
        for namespace in namespaces or (None,):
            async for body in api.list(kind, namespace):
                resource = Resource.parse(body)
                present.add(resource.key)
                seen(resource)
    for key in before - present:
        known = store.get(key)
        if known is not None:
            gone(known)
    return len(present)
