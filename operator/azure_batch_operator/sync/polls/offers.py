"""What the account offers, and what seldom changes: the images that it supports. Asked for once an hour."""

from __future__ import annotations

from azure_batch_operator.batch import BatchClient, ForbiddenError
from azure_batch_operator.sync.mirror import Interest, Mirror
from azure_batch_operator.sync.polls.base import News, Poll, clock, options

_EVERY = 3600.0


class OfferPoll(Poll):
    """Supported images."""

    def __init__(self, client: BatchClient, mirror: Mirror, interest: Interest) -> None:
        super().__init__(client, mirror, interest)
        self._asked: float | None = None

    async def poll(self, news: News) -> None:
        """One list an hour; pools are told when it is something new."""
        if self._asked is not None and clock() - self._asked < _EVERY:
            return
        began = clock()
        try:
            images = [image async for image in self._client.account.list_supported_images(**options())]
        except ForbiddenError:
            # A role that may use pools but not read this: pools then have to name their node agent.
            images = []
        self._asked = began
        if images != self._mirror.images:
            self._mirror.images = images
            for keys in self._interest.pools.values():
                news.changed |= keys
