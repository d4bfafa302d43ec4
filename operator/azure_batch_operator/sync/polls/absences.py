"""A 404 to a call about one job, pool or schedule that the last poll has shown.

It was deleted in between, then the next poll shows that. Everything else is a call that fails: a 404 with another code, or the same
one again although the poll in between has shown the resource. Nothing about it is read then, and its objects say so.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from contextlib import contextmanager
from typing import Any

from azure_batch_operator.batch import NotFoundError, is_gone
from azure_batch_operator.sync.polls.base import clock
from azure_batch_operator.sync.polls.steps import Scope
from azure_batch_operator.sync.remote_table import RemoteTable


class Absences:
    """What single calls have said is gone.

    Args:
        table: what the polls show.
        codes: error codes (lower case) of the service for such a resource.
    """

    def __init__(self, table: RemoteTable[Any], *codes: str) -> None:
        self._table, self._codes = table, codes
        self._told: set[Scope] = set()

    def keep(self, wanted: Container[str]) -> None:
        """Forget what nobody asks for any more."""
        self._told = {scope for scope in self._told if scope.id in wanted}

    @contextmanager
    def noted(self, scope: Scope) -> Iterator[None]:
        """Make calls about a resource; what is left of them is skipped if it is gone, and the next poll looks for it.

        Raises:
            NotFoundError: it says nothing of that.
        """
        try:
            yield
        except NotFoundError as error:
            if not is_gone(error, self._codes) or scope in self._told:
                raise
            self._told.add(scope)
            self._table.touch(scope.id, clock())
        else:
            self._told.discard(scope)
