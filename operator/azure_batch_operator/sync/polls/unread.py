"""What neither a list nor a GET shows, and what is not known to be gone: its objects say so until a poll can read it again.

A poll asks for such things by itself and takes them to be as they were. Without a step nobody would hear of it, for as long as it
lasts.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from functools import partial

from azure_batch_operator.api.resource import Key
from azure_batch_operator.batch import BatchError
from azure_batch_operator.sync.polls.base import News
from azure_batch_operator.sync.polls.steps import Scope, Step


class Unread:
    """The errors of GETs, by id (lower case)."""

    def __init__(self) -> None:
        self._errors: dict[str, BatchError] = {}
        self._told: set[str] = set()
        """Ids whose steps have failed since a step has last succeeded."""

    def failed(self, id: str, error: BatchError) -> None:
        """It could not be asked for."""
        self._errors[id] = error

    def read(self, id: str) -> None:
        """It was found, or is gone."""
        self._errors.pop(id, None)

    def keep(self, lacking: Container[str]) -> None:
        """Forget the errors of what the list shows, or what nobody wants any more."""
        self._errors = {id: error for id, error in self._errors.items() if id in lacking}

    def steps(self, what: str, keys: Callable[[str], frozenset[Key]]) -> list[Step]:
        """A step for each that has objects; it makes no call, since the poll has made it.

        Args:
            what: what is read, in words.
            keys: the objects that an id is about.
        """
        self._told = {id for id in self._told if keys(id)}
        ids = sorted({id for id in self._errors if keys(id)} | self._told)
        return [Step(Scope(what, id), partial(self._tell, id), keys(id), at_once=id not in self._errors) for id in ids]

    async def _tell(self, id: str, _: News) -> None:
        if (error := self._errors.get(id)) is not None:
            self._told.add(id)
            raise error
        self._told.discard(id)
