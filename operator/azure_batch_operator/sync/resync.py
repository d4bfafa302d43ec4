"""Compares the store with the API server at the start and every ten minutes, to find what the watch missed.

Kopf has no such thing: a DELETED that was lost with a connection would never come again, and neither would a wake-up that was lost.
So every object is queued once per comparison; one that is as it should be costs a decision and no request.

A cluster that was restored continues from an older resourceVersion, so its watch shows events that look old. A list that
began later shows what is true.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from azure_batch_operator import guard
from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Key, Resource
from azure_batch_operator.kube.access import Access
from azure_batch_operator.kube.api import KubeApi, KubeError
from azure_batch_operator.sync.store import Store

_AT_A_STRETCH = 20
"""Objects of a page that are compared before whatever else happens gets a turn."""


@dataclass(frozen=True)
class Listener:
    """Who is told what the lists show.

    Attributes:
        seen: is told each object.
        gone: is told objects that the store has and the API server no longer has.
        wake: queues an object, whether or not it has changed.
        admitted: is told a namespace that was denied and is not any more.
    """

    seen: Callable[[Resource], None]
    gone: Callable[[Resource], None]
    wake: Callable[[Key], None]
    admitted: Callable[[str], None] = lambda _: None


async def resync(api: KubeApi, store: Store, access: Access, listener: Listener) -> int:
    """List all objects, and tell the listener how the store differs from them.

    Args:
        access: the namespaces to list.

    Returns:
        How many there are.

    Raises:
        KubeError: if a list failed; nothing is declared gone then. A watched namespace that cannot be read is no such failure:
            nothing in it is declared gone.
    """
    # An object that is created while the lists run is not in them, and must not be taken for gone. One that was deleted and
    # created again is another object: by its uid, not by its name.
    before = {key: known for key in list(store.keys()) if (known := store.get(key)) is not None}
    listed: dict[Key, str] = {}
    denied: set[str] = set()
    refusals = {namespace: access.refusals(namespace) for namespace in access.only}
    with store.departures() as departed:
        number = 0
        async for kind, body in _everything(api, access, denied):
            number += 1
            if not number % _AT_A_STRETCH:
                await asyncio.sleep(0)
            try:
                resource = Resource.parse(body)
                listed[resource.key] = resource.uid
                if resource.uid not in departed:
                    if store.is_newer(resource) and store.get(resource.key) is before.get(resource.key):
                        # The list began after that was known, so the API server has gone back to it.
                        store.rewind(resource)
                    listener.seen(resource)
                    listener.wake(resource.key)
            except Exception as error:
                # One object that cannot be taken in does not keep the others from being compared.
                guard.report("resync", kind, error)
    for key, former in before.items():
        known = store.get(key)
        is_listed = listed.get(key) == former.uid
        if known is not None and known.uid == former.uid and not is_listed and key.namespace not in denied:
            listener.gone(known)
    for namespace in access.only:
        # One that was denied to others meanwhile waits for the next lists: these may be older than that.
        if namespace not in denied and access.refusals(namespace) == refusals[namespace] and access.admit(namespace):
            listener.admitted(namespace)
            # What was queued before was passed over, since not everything was known.
            for key in [key for key in listed if key.namespace == namespace]:
                listener.wake(key)
    return len(listed)


async def _everything(api: KubeApi, access: Access, denied: set[str]) -> AsyncIterator[tuple[Kind, Mapping[str, Any]]]:
    """All objects; a watched namespace that refuses a list is added to `denied`, and the others continue."""
    for kind in Kind:
        for namespace in access.only or (None,):
            if namespace in denied:
                continue
            try:
                async for body in api.list(kind, namespace):
                    yield kind, body
            except KubeError as error:
                if not access.refuses(namespace, error):
                    raise
                denied.add(str(namespace))
