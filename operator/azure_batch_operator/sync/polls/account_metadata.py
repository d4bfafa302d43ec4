"""The supported images and the applications of an account, which seldom change. Requested once an hour."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from azure_batch_operator.batch import BatchClient, ForbiddenError, JsonObject, Listing
from azure_batch_operator.batch.account_wire import Application, SupportedImage
from azure_batch_operator.batch.wire import build
from azure_batch_operator.sync.interest import Interest
from azure_batch_operator.sync.mirror import Mirror
from azure_batch_operator.sync.polls.base import News, Poll, clock, options
from azure_batch_operator.sync.polls.steps import Scope, Step

_EVERY = 3600.0
_MAX_SHARED = 16
_shared: OrderedDict[tuple[SupportedImage, ...], Sequence[SupportedImage]] = OrderedDict()


def shared(images: Sequence[Mapping[str, Any]]) -> Sequence[SupportedImage]:
    """The images with the members that matter; one copy for all accounts that support the same, as those of a region do."""
    kept = [build(SupportedImage, image) for image in images]
    known = _shared.setdefault(tuple(kept), kept)
    if len(_shared) > _MAX_SHARED:
        _shared.popitem(last=False)
    return known


class AccountMetadataPoll(Poll):
    """Supported images and applications."""

    def __init__(self, client: BatchClient, mirror: Mirror, interest: Interest) -> None:
        super().__init__(client, mirror, interest)
        self._asked: float | None = None

    def steps(self) -> list[Step]:
        """Two lists an hour; they say nothing about whether the account can be used."""
        if self._asked is not None and clock() - self._asked < _EVERY:
            return []
        return [Step(Scope("the images and applications of the account", ""), self._ask)]

    async def _ask(self, news: News) -> None:
        began = clock()
        # A role may use pools but not read this: pools then have to name their node agent.
        images = shared(await self._all(self._client.account.list_supported_images(**options())))
        if images != self._mirror.images:
            self._mirror.images = images
            for keys in self._interest.pools.values():
                news.changed |= keys
        applications = await self._all(self._client.applications.list(**options()))
        self._mirror.applications = [build(Application, application) for application in applications]
        self._asked = began

    @staticmethod
    async def _all(listing: Listing) -> list[JsonObject]:
        try:
            return [item async for item in listing]
        except ForbiddenError:
            return []
