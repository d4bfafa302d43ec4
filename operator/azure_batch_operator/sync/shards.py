"""Shards: parts of all accounts, with everything that is in them, for one of which one replica acts (docs/decisions/0037).

The shard of an object follows from what the API server says and from nothing that one process remembers, so all replicas agree as
soon as they have seen the same. It is that of the Azure Batch account, not of the BatchAccount: limits and owners are those of the
former, and several BatchAccounts may name it.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256
from urllib.parse import urlsplit

from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Key, Resource
from azure_batch_operator.batch.wire import build
from azure_batch_operator.reconcile.account.lifecycle import pinned
from azure_batch_operator.reconcile.account.spec import AccountSpec
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
    """

    def __init__(self, store: Store, count: int = 1) -> None:
        self._store, self.count = store, count
        self.acting: set[int] = set()
        self.leaving: set[int] = set()
        self._places: dict[Key, tuple[Resource, str]] = {}

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
        return not self.divided or self.of(resource) in self.acting

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
        key = resource.key if resource.key.kind is Kind.ACCOUNT else named_account(self._store, resource)
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
