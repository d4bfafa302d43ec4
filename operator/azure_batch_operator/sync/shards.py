"""Shards: parts of all accounts, with everything that is in them, for one of which one replica acts (docs/decisions/0037).

The shard of an object follows from what the API server says and from nothing that one process remembers, so all replicas agree as
soon as they have seen the same. It is that of the Azure Batch account, not of the BatchAccount: limits and owners are those of the
former, and several BatchAccounts may name it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import lru_cache
from hashlib import sha256
from urllib.parse import urlsplit

from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Key, Resource
from azure_batch_operator.batch.wire import build
from azure_batch_operator.reconcile.account.lifecycle import pinned
from azure_batch_operator.reconcile.account.spec import AccountSpec
from azure_batch_operator.sync.landing import LANDING_SECONDS
from azure_batch_operator.sync.relations import named_account
from azure_batch_operator.sync.store import Store

_PORTS = {"https": 443, "http": 80}


@lru_cache(maxsize=4096)
def number_of(place: str, count: int) -> int:
    """The shard of a place, the same in every process and version."""
    return int.from_bytes(sha256(place.encode()).digest()[:8]) % count


def place_of(endpoint: str, account: str) -> str:
    """One text for all ways to write an endpoint.

    The host of an Azure Batch account belongs to no other one. An address, or localhost, may be that of an emulator with several.
    """
    try:
        parts = urlsplit(endpoint.lower())
        host, port = parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError:
        # No session is opened for it.
        return endpoint
    shared = host == "localhost" or ":" in host or host.replace(".", "").isdigit()
    return f"{host}:{port}" + (f"/{account.lower()}" if shared else "")


class Shards:
    """Which objects this replica acts for.

    Attributes:
        count: the number of shards; with one, the whole process acts, or none of it.
        acting: shards for whose objects it decides.
        leaving: shards for which only what was decided is finished.
        interested: the account in whose session of this replica an object wants to know something.
    """

    def __init__(self, store: Store, count: int = 1) -> None:
        self._store, self.count = store, count
        self.acting: set[int] = set()
        self.leaving: set[int] = set()
        self.interested: Callable[[Key], Key | None] = lambda _: None
        self._places: dict[Key, tuple[Resource, str]] = {}
        self._unknown: dict[str, float] = {}
        """By UID: since when this replica decides about a BatchTask whose account it does not know."""

    @property
    def divided(self) -> bool:
        """Whether there are several."""
        return self.count > 1

    @property
    def leads(self) -> bool:
        """Whether this replica does what one of all does."""
        return not self.divided or 0 in self.acting

    def decides(self, resource: Resource) -> bool:
        """Whether this replica decides about an object."""
        return not self.divided or (self.of(resource) in self.acting and not self.postponed(resource))

    def postponed(self, resource: Resource) -> float:
        """Seconds for which nothing is decided about an object of a shard of this replica, since another one may know more.

        A BatchTask that waits in Azure Batch has no status yet. When its BatchJob goes, only the replica with the session knows
        where it is; it writes that at once, and the account decides from then on.
        """
        if not (self._may_be_known_elsewhere(resource) and self.of(resource) in self.acting):
            self._unknown.pop(resource.uid, None)
            return 0.0
        now = asyncio.get_running_loop().time()
        return max(0.0, self._unknown.setdefault(resource.uid, now) + LANDING_SECONDS - now)

    def forget(self, resource: Resource) -> None:
        """An object is gone, or was in the hands of another replica."""
        self._unknown.pop(resource.uid, None)

    def _may_be_known_elsewhere(self, resource: Resource) -> bool:
        if not self.divided or resource.key.kind is not Kind.TASK or not resource.has_finalizer:
            return False
        try:
            return not resource.status.get("url") and self._account(resource) is None
        except (LookupError, TypeError, ValueError, AttributeError):
            return False

    def _account(self, resource: Resource) -> Key | None:
        """The account of an object, if that is known."""
        if resource.key.kind is Kind.ACCOUNT:
            return resource.key
        if (named := named_account(self._store, resource)) is not None:
            return named
        # A BatchTask whose BatchJob is gone. The one exception from what all replicas agree about: see `postponed`.
        return self.interested(resource.key) if resource.key.kind is Kind.TASK else None

    def finishes(self, resource: Resource) -> bool:
        """Whether this replica writes what was decided about an object."""
        return not self.divided or (number := self.of(resource)) in self.acting or number in self.leaving

    def of(self, resource: Resource) -> int:
        """The shard of an object."""
        try:
            place = self._place(resource)
        except (LookupError, TypeError, ValueError, AttributeError):
            # A spec or status that the definitions would have refused; whoever decides about it says so.
            place = resource.key.namespace
        return number_of(place, self.count)

    def _place(self, resource: Resource) -> str:
        key = self._account(resource)
        account = self._store.get(key) if key is not None else None
        if account is not None:
            return self._place_of(account)
        if url := str(resource.status.get("url") or ""):
            return place_of(url, "")
        # Nothing is sent for it, but somebody says what is missing.
        return str(key) if key is not None else resource.key.namespace

    def _place_of(self, account: Resource) -> str:
        known = self._places.get(account.key)
        if known is not None and known[0] is account:
            return known[1]
        spec = build(AccountSpec, pinned(account).spec)
        place = place_of(spec.endpoint, spec.account)
        self._places[account.key] = account, place
        return place
