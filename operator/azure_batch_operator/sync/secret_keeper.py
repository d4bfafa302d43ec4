"""Protects the Secret of a BatchAccount with a finalizer while its objects need it (docs/decisions/0029).

A namespace that is deleted loses its Secrets first. If the operator is down at that moment, it can never sign in again, and what is
in Azure Batch stays, billed. So the Secret carries a finalizer while objects use the account. It hinders nobody else: where only
the Secret is deleted, and not its namespace, it is let go at the next look.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from dataclasses import dataclass

from azure_batch_operator.api.resource import Key
from azure_batch_operator.kube import secrets
from azure_batch_operator.kube.api import KubeApi, KubeError
from azure_batch_operator.kube.namespaces import Namespaces
from azure_batch_operator.reconcile.account.lifecycle import Keeping

logger = logging.getLogger(__name__)

_LOOKED_AT_EVERY = 30.0


@dataclass
class _Known:
    secret: str
    wanted: bool
    looked_at: float
    keeping: Keeping
    version: str


class SecretKeeper:
    """Puts the finalizer on Secrets of accounts and takes it off."""

    def __init__(self, api: KubeApi, namespaces: Namespaces) -> None:
        self._api, self._namespaces = api, namespaces
        self._known: dict[Key, _Known] = {}

    async def look(
        self, account: Key, secret: str | None, *, wanted: bool, others: Collection[str], version: str = ""
    ) -> Keeping:
        """See to it that the Secret of an account is kept, or not.

        Args:
            secret: its name; None if the account signs in without one.
            wanted: whether objects use the account, or another one that signs in with the same Secret.
            others: Secrets that were kept for the account and that nobody needs any more.
            version: of the Secret as it was just read to sign in, so that an unchanged one is not read again; empty if that is
                not known.

        Raises:
            KubeError: if the API server cannot be asked.
        """
        known, now = self._known.get(account), asyncio.get_running_loop().time()
        for unneeded in others:
            await self._set(account.namespace, unneeded, wanted=False)
        if secret is None:
            self._known.pop(account, None)
            return Keeping()
        if known is not None and (known.secret, known.wanted) == (secret, wanted):
            unchanged = bool(version) and version == known.version and not known.keeping.refused
            if unchanged or now - known.looked_at < _LOOKED_AT_EVERY:
                return known.keeping
        keeping, seen = await self._set(account.namespace, secret, wanted=wanted)
        self._known[account] = _Known(secret, wanted, now, keeping, seen)
        return keeping

    def secret(self, account: Key) -> str | None:
        """Name of the Secret that was looked at last for an account."""
        known = self._known.get(account)
        return known.secret if known else None

    def drop(self, account: Key) -> None:
        """Another replica has acted for an account until now: look again, whatever is remembered."""
        self._known.pop(account, None)

    async def forget(self, account: Key, *, needed: bool) -> None:
        """An account is gone; `needed` is whether another one signs in with its Secret.

        Raises:
            KubeError: if the API server cannot be asked.
        """
        if (known := self._known.get(account)) is not None and not needed:
            await self._set(account.namespace, known.secret, wanted=False)
        self._known.pop(account, None)

    async def _set(self, namespace: str, name: str, *, wanted: bool) -> tuple[Keeping, str]:
        """See to one Secret; also the version that it had before."""
        try:
            found = await secrets.read(self._api, namespace, name)
            if found is None:
                return Keeping(), ""
            if wanted and found.deleting and not (await self._namespaces.fresh(namespace)).terminating:
                wanted = False
            await secrets.set_kept(self._api, namespace, name, found, present=wanted)
        except KubeError as error:
            if error.status != 403:
                raise
            logger.info("The finalizer of Secret %s/%s cannot be changed: %s", namespace, name, error)
            return Keeping(refused=wanted), ""
        keeping = Keeping(secret=name if wanted and (found.kept or not found.deleting) else None)
        return keeping, f"{found.uid}/{found.version}"
