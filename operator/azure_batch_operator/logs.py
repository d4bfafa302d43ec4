"""Log lines as text or JSON, each with its object and its pass.

What logs within a pass need not know of which object: the pass says so once, in context variables, which follow tasks.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pythonjsonlogger.json import JsonFormatter

from azure_batch_operator.batch.redaction import LONGEST, safe_text

logger = logging.getLogger(__name__)

_object: ContextVar[str] = ContextVar("object", default="")
_reconcile_id: ContextVar[str] = ContextVar("reconcile_id", default="")


@contextmanager
def reconciling(name: object) -> Iterator[str]:
    """All lines within are about this object, and of one pass; yields the id of the pass."""
    id = secrets.token_hex(4)
    before = _object.set(str(name)), _reconcile_id.set(id)
    try:
        yield id
    finally:
        _object.reset(before[0])
        _reconcile_id.reset(before[1])


@dataclass(slots=True)
class _Alike:
    """Lines of a kind: how many there were, how many were shown, and whom those are about."""

    number: int = 0
    shown: int = 0
    subjects: set[Hashable] = field(default_factory=set)


_OTHERS = "others"
_MAX_KINDS = 1000
"""Kinds of lines that one `Few` tells apart at a time; those beyond are one kind, so that memory stays bounded."""


class Few:
    """Levels for lines that may be about thousands of objects: the first ones of a kind stand as they are, the others at DEBUG.

    One object that says the same again and again gets half of the lines: the rest is for those that say it for the first time.
    When the time is over, one line tells how many the others were. tests/unit/test_logs.py, tests/quick/test_floods.py.

    Args:
        most: lines of a kind within the time.
        within: seconds.
    """

    def __init__(self, most: int = 10, within: float = 600.0) -> None:
        self._most, self._within = most, within
        self._known: dict[Hashable, _Alike] = {}

    def level(self, level: int, alike: Hashable, what: str, subject: Hashable) -> int:
        """The level of one more line.

        Args:
            alike: the kind of the line, such as its reason and the job that it is about.
            what: the same in words, for the line with the number.
            subject: whom it is about, such as the object.
        """
        if alike not in self._known and len(self._known) >= _MAX_KINDS:
            alike, what = _OTHERS, f"lines of further kinds, beyond {_MAX_KINDS}"
        if alike not in self._known:
            self._known[alike] = _Alike()
            asyncio.get_running_loop().call_later(self._within, self._tell, level, alike, what)
        known = self._known[alike]
        known.number += 1
        if known.shown >= (self._most // 2 if subject in known.subjects else self._most):
            return logging.DEBUG
        known.shown += 1
        known.subjects.add(subject)
        return level

    def _tell(self, level: int, alike: Hashable, what: str) -> None:
        known = self._known.pop(alike)
        more = known.number - known.shown
        if more > 0:
            logger.log(level, "%d more like this within %.0f s, each at DEBUG: %s", more, self._within, what)


_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime"}
"""Members that each record has; any other is an `extra` of whoever logs, also of a library."""


def _shown(extra: Any) -> Any:
    """An `extra`, fit to be shown; what JSON does not know within it would be written as its text."""
    if extra is None or isinstance(extra, bool | int | float):
        return extra
    if isinstance(extra, Mapping):
        return {safe_text(str(name)): _shown(item) for name, item in extra.items()}
    if isinstance(extra, list | tuple | set | frozenset):
        return [_shown(item) for item in extra]
    return safe_text(str(extra))


class _Context(logging.Filter):
    """Adds `object` and `reconcile_id` to records made within a pass, and makes their text safe to show."""

    def filter(self, record: logging.LogRecord) -> bool:
        # Nothing may come out of here: it would end whoever logs.
        try:
            text = record.getMessage()
        except Exception as error:
            # The handler would print the arguments as they are.
            text = f"{record.msg} ({type(error).__name__}: the arguments of this line do not fit)"
        record.msg, record.args = safe_text(text), None
        for member in record.__dict__.keys() - _STANDARD:
            try:
                shown = _shown(getattr(record, member))
            except Exception as error:
                shown = type(error).__name__
            setattr(record, member, shown)
        if record.stack_info:
            record.stack_info = safe_text(record.stack_info)
        if name := _object.get():
            record.object = name
            record.reconcile_id = _reconcile_id.get()
        return True


class _SafeTraceback(logging.Formatter):
    """Formats tracebacks without what their exceptions must not show; of long ones the end counts."""

    def formatException(self, ei: Any) -> str:  # noqa: N802 - the name is logging's
        return safe_text(super().formatException(ei)[-LONGEST:])


class _JsonFormatter(_SafeTraceback, JsonFormatter):
    """A line for machines."""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802 - the name is logging's
        """RFC 3339 with the zone, in UTC."""
        del datefmt
        return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class TextFormatter(_SafeTraceback):
    """A line for people: the pass and the request id at its end."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the name is logging's
        names = ("object", "reconcile_id", "request_id")
        known = [f"{name}={value}" for name in names if (value := getattr(record, name, None))]
        # What is quoted must not look like lines of their own.
        record.message = record.message.replace("\n", "\\n")
        text = super().formatMessage(record)
        return f"{text} [{' '.join(known)}]" if known else text

    def formatException(self, ei: Any) -> str:  # noqa: N802 - the name is logging's
        # Nor must what an exception quotes.
        return super().formatException(ei).replace("\n", "\n  ")


def configure(form: str, level: str) -> None:
    """Send all lines of at least this level to standard error, as `text` or `json`."""
    handler = logging.StreamHandler()
    handler.addFilter(_Context())
    if form == "json":
        renamed = {"asctime": "time", "levelname": "level", "name": "logger"}
        handler.setFormatter(
            _JsonFormatter(
                "%(asctime)s %(levelname)s %(name)s %(message)s", rename_fields=renamed, json_ensure_ascii=False
            )
        )
    else:
        handler.setFormatter(TextFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # Kopf logs a line per object and event; ours say what matters.
    logging.getLogger("kopf").setLevel(logging.WARNING)
    # The Azure libraries log each request for a token, and each failure again; the account's condition says it.
    logging.getLogger("azure").setLevel(logging.ERROR)
