"""Query parameters of a request: names without regard to case, paging, ``$select`` and ``$expand`` (docs/azure-batch.md#pages)."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any
from urllib.parse import unquote_plus

import orjson

from azure_batch_emulator.schema.versions import CURRENT
from azure_batch_emulator.wire.errors import invalid_query

MAX_RESULTS = 1000
_NUMBER = re.compile(r"-?[0-9]{1,9}")
# Recorded: $select does not hide this one.
_ALWAYS_SHOWN = frozenset({"odata.metadata", "upgradePolicy"})


# Callers poll with the same few queries.
@lru_cache(maxsize=256)
def _values(raw: str) -> Mapping[str, str]:
    values: dict[str, str] = {}
    for part in raw.split("&"):
        name, _, value = part.partition("=")
        if name:
            values.setdefault(unquote_plus(name).lower(), unquote_plus(value))
    return MappingProxyType(values)


class Query:
    """The query of one request, with names lower-cased and the raw text kept for nextLink."""

    def __init__(self, raw: str) -> None:
        self.raw = raw
        self._values = _values(raw)

    def get(self, name: str) -> str | None:
        """A parameter's decoded value; a blank one counts as absent."""
        return self._values.get(name) or None

    def flag(self, name: str) -> bool:
        """A boolean parameter, false by default.

        Raises:
            BatchError: 400 for another word.
        """
        value = self.get(name)
        if value is None or value.lower() == "false":
            return False
        if value.lower() != "true":
            raise invalid_query(name, value, "The value must be true or false.")
        return True

    def max_results(self, most: int = MAX_RESULTS) -> int:
        """Size of a page.

        Raises:
            BatchError: 400 for something that is no number, is less than 1 or more than the list allows.
        """
        value = self.get("maxresults")
        if value is None:
            return most
        if not _NUMBER.fullmatch(value):
            raise invalid_query("maxresults", value, "MaxResults must be an integer")
        number = int(value)
        if number < 1:
            raise invalid_query("maxresults", value, "MaxResults cannot be less than 1")
        if number > most:
            raise invalid_query("maxresults", value, f"MaxResults cannot be greater than {most}")
        return number

    def skip_token(self, *shape: type) -> Any:
        """Where the last page ended: what `next_link` was given, or None on the first page.

        Args:
            shape: types of the position's items; one alone is the position's own type.

        Raises:
            BatchError: 400 for a token that the emulator has not made for such a list.
        """
        value = self.get("$skiptoken")
        if value is None:
            return None
        try:
            position = orjson.loads(base64.b64decode(value.replace(".", "="), altchars=b"-_", validate=True))
        except (ValueError, binascii.Error):
            position = None
        items = position if len(shape) > 1 else [position]
        if not isinstance(items, list) or tuple(map(type, items)) != shape:
            raise invalid_query("$skiptoken", value, "The token is not valid.")
        return position

    def next_link(self, url: str, position: Any) -> str:
        """Address of the next page: the query as it came, verbatim, and a token at its end (docs/azure-batch.md#pages).

        Args:
            url: of this list, without query.
            position: JSON value that says where this page ended.
        """
        kept = "&".join(
            part
            for part in self.raw.split("&")
            if part and unquote_plus(part.partition("=")[0]).lower() != "$skiptoken"
        )
        token = base64.urlsafe_b64encode(orjson.dumps(position)).decode().replace("=", ".")
        return f"{url}?{kept}&$skiptoken={token}"

    def selection(self, known: Iterable[str] | None = None) -> list[list[str]] | None:
        """Paths of ``$select``, or None for everything.

        Args:
            known: top-level names that exist.

        Raises:
            BatchError: 400 for an unknown name.
        """
        value = self.get("$select")
        if value is None:
            return None
        paths = [name.strip().split("/") for name in value.split(",") if name.strip()]
        if known is not None:
            names, version = frozenset(known), CURRENT.get()
            for path in paths:
                wrong = version.first_unknown(path) if path[0] in names else path[0]
                if wrong is not None:
                    raise invalid_query("$select", value, f"The property '{wrong}' does not exist.")
        return paths

    def expands_stats(self) -> bool:
        """Whether statistics are wanted: with ``$select`` only if ``stats`` is selected (recorded).

        Raises:
            BatchError: 400 for anything else than stats.
        """
        value = self.get("$expand")
        if value is None:
            return False
        if value.strip() != "stats":
            raise invalid_query("$expand", value, "Only stats can be expanded.")
        selected = self.selection()
        return selected is None or ["stats"] in selected


def select(body: dict[str, Any], paths: list[list[str]] | None) -> dict[str, Any]:
    """Only the selected members of a resource; annotations stay."""
    if paths is None:
        return body
    chosen: dict[str, Any] = {}
    wanted: dict[str, list[list[str]]] = {}
    for path in paths:
        wanted.setdefault(path[0], []).append(path[1:])
    for name, value in body.items():
        if name in _ALWAYS_SHOWN:
            chosen[name] = value
        elif name in wanted:
            deeper = [path for path in wanted[name] if path]
            whole = len(deeper) < len(wanted[name])
            chosen[name] = value if whole or not isinstance(value, dict) else select(value, deeper)
    return chosen
