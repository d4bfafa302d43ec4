"""Which of the needed jobs or schedules exist: from lists that do not grow with the account's history.

A few are asked for by their ids. Many are found in one list of all that are open; what that list lacks may be completed, gone, or
have slipped between two pages, so it is asked for by id before anything is made of its absence. A list may also lag, so what was
there when last looked at is gone only if a GET of it says so (`tests/quick/test_lacking.py`).
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterable, AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from typing import Any

from azure_batch_operator.api.resource import Key
from azure_batch_operator.batch import BatchError, IncompleteListError, InvalidRequestError, NotFoundError, is_gone
from azure_batch_operator.reconcile.account.problems import judges_account
from azure_batch_operator.reconcile.plan import Absent
from azure_batch_operator.sync.polls.base import clock
from azure_batch_operator.sync.polls.steps import Step
from azure_batch_operator.sync.polls.unread import Unread
from azure_batch_operator.sync.remote_table import RemoteTable

logger = logging.getLogger(__name__)

PER_LIST = 20
"""Ids that one filter names."""
OPEN = "state ne 'completed'"
_AT_REST_LOOKED_AT_EVERY = 60.0

Item = Mapping[str, Any]


def id_filter(ids: Iterable[str]) -> str:
    """For `$filter`: things with one of these ids."""
    return " or ".join("id eq '" + id.replace("'", "''") + "'" for id in ids)


def chunks(ids: Iterable[str], size: int = PER_LIST) -> Iterator[list[str]]:
    """Lists of at most so many ids."""
    source = iter(ids)
    while chunk := list(islice(source, size)):
        yield chunk


class Roll:
    """Looks for wanted things of one kind.

    Args:
        listed: lists by a filter.
        got: one by its id; raises `NotFoundError`.
    """

    def __init__(
        self,
        table: RemoteTable[Item],
        listed: Callable[[str], AsyncIterable[Item]],
        got: Callable[[str], Any],
    ) -> None:
        self._table, self._listed, self._got = table, listed, got
        self._asked_at: dict[str, float] = {}
        self._unread: set[str] = set()
        """Ids that could not be asked for when last looked at; nothing is made of their absence."""
        self._errors = Unread()

    def steps(self, what: str, keys: Callable[[str], frozenset[Key]]) -> list[Step]:
        """A step for each that could not be asked for, so that its objects say so.

        Args:
            what: what is read, in words.
            keys: the objects that an id (lower case) is about.
        """
        return self._errors.steps(what, keys)

    async def call(self, wanted: Collection[str], others: Callable[[Item], Item | None] | None = None) -> set[str]:
        """Look, and put what was found into the table.

        Args:
            wanted: ids (lower case).
            others: what is to be kept of open things that are not wanted, None if nothing; the list of all that are open is only
                read for that, or where many are wanted.

        Returns:
            Ids (lower case) of what looks different now.
        """
        began = clock()
        found: dict[str, Item] = {}
        self._unread = set()
        briefs: dict[str, Item] = {}
        if others is not None or len(wanted) > PER_LIST:
            # What an incomplete list lacks is asked for below, as what a complete one lacks. Nothing stays of an item that is not
            # ours, however many there are (tests/unit/sync/test_poll_incomplete.py).
            with suppress(IncompleteListError):
                async for item in self._listed(OPEN):
                    id = str(item["id"]).lower()
                    if id in wanted:
                        found[id] = item
                    elif others is not None and (brief := others(item)) is not None:
                        briefs[id] = brief
            missing = [id for id in wanted if id not in found and self._is_due(id, began)]
        else:
            missing = list(wanted)
        async for item in self._by_id(missing):
            found[str(item["id"]).lower()] = item
        for id in missing:
            # What was being deleted is expected to go; letting go of its object takes a GET anyway.
            if id not in found and id not in self._unread and self._table.alive(id):
                there = await self._asked_for(id)
                found |= {} if there is None else {id: there}
        self._asked_at = {id: at for id, at in self._asked_at.items() if id in wanted} | dict.fromkeys(missing, began)
        # Wanted and not open: as it was, if it is not due to be looked at, or cannot be asked for. After a write of ours that no
        # poll has seen it is unknown.
        looked, kept = set(missing) - self._unread, list[Item]()
        unseen = {id for id in wanted if id not in found and id not in looked}
        self._errors.keep(unseen)
        for id in unseen:
            if not isinstance(known := self._table.get(id), Absent):
                kept.append(known)
            elif (last := self._table.latest(id)) is not None:
                briefs[id] = last
        asked = set(wanted) - {id for id in self._unread if id not in found}
        return self._table.replace(began, [*found.values(), *kept], asked=asked, briefs=briefs)

    async def _asked_for(self, id: str) -> Item | None:
        """One as a GET shows it; None if it is gone, or if it could not be asked for (`_unread`).

        Raises:
            BatchError: if the error is about the account, not about this one.
        """
        try:
            return await self._one(id)
        except BatchError as error:
            if judges_account(error):
                raise
            # One that cannot be asked for is no evidence about the account, nor about itself.
            logger.info("%r is not in the list, and cannot be read: %s", id, error)
            self._unread.add(id)
            self._errors.failed(id, error)
            return None

    def _is_due(self, id: str, now: float) -> bool:
        """Whether something that is not among the open ones is to be asked for."""
        if self._table.pending(id) or id not in self._asked_at:
            return True
        known = self._table.get(id)
        rests = known is Absent.NOT_FOUND or (not isinstance(known, Absent) and known.get("state") == "completed")
        # Were it made again or enabled again, it would be among the open ones, unless it was completed at once.
        return not rests or now - self._asked_at[id] >= _AT_REST_LOOKED_AT_EVERY

    async def _by_id(self, ids: Iterable[str]) -> AsyncIterator[Item]:
        for chunk in chunks(ids):
            try:
                items = await self._named(chunk)
            except InvalidRequestError:
                # A service that does not take such a filter is asked one by one.
                items = [item for id in chunk if (item := await self._asked_for(id)) is not None]
            for item in items:
                yield item

    async def _named(self, chunk: Iterable[str]) -> list[Item]:
        """Those of these ids that are there: by a list, and if it is incomplete, what it lacks by a GET for each."""
        items: list[Item] = []
        try:
            async for item in self._listed(id_filter(chunk)):
                items.append(item)  # noqa: PERF401 (what came before an error counts)
        except IncompleteListError:
            found = {str(item["id"]).lower() for item in items}
            items += [there for id in chunk if id not in found and (there := await self._asked_for(id)) is not None]
        return items

    async def _one(self, id: str) -> Item | None:
        try:
            item: Item = await self._got(id)
        except NotFoundError as error:
            if not is_gone(error):
                raise
            return None
        return item
