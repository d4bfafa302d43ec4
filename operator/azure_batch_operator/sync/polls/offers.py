"""What the account offers, and what seldom changes: the images that it supports, its applications. Asked for once an hour."""

from __future__ import annotations

from azure_batch_operator.batch import BatchClient, ForbiddenError, JsonObject, Listing
from azure_batch_operator.sync.mirror import Interest, Mirror
from azure_batch_operator.sync.polls.base import News, Poll, clock, options

_EVERY = 3600.0


class OfferPoll(Poll):
    """Supported images and applications."""

    def __init__(self, client: BatchClient, mirror: Mirror, interest: Interest) -> None:
        super().__init__(client, mirror, interest)
        self._asked: float | None = None

    async def poll(self, news: News) -> None:
        """Two lists an hour; pools are told when there are other images."""
        if self._asked is not None and clock() - self._asked < _EVERY:
            return
        began = clock()
        # A role may use pools but not read this: pools then have to name their node agent.
        images = await self._all(self._client.account.list_supported_images(**options()))
        self._mirror.applications = await self._all(self._client.applications.list(**options()))
        self._asked = began
        if images != self._mirror.images:
            self._mirror.images = images
            for keys in self._interest.pools.values():
                news.changed |= keys

    @staticmethod
    async def _all(listing: Listing) -> list[JsonObject]:
        try:
            return [item async for item in listing]
        except ForbiddenError:
            return []
