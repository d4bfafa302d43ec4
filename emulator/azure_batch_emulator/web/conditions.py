"""Conditional headers: whether a call may continue, given what the caller knows of the resource."""

from __future__ import annotations

from collections.abc import Mapping

from azure_batch_emulator.web.routes import Conditions
from azure_batch_emulator.wire.errors import BatchError
from azure_batch_emulator.wire.ticks import TICKS_PER_SECOND, etag, parse_http_date

_HEADERS = ("if-match", "if-none-match", "if-modified-since", "if-unmodified-since")


def check(headers: Mapping[str, str], allowed: Conditions, modified: int, *, read: bool) -> None:
    """Let a call pass if its condition holds.

    Args:
        headers: names lower-case.
        allowed: which headers the operation looks at.
        modified: ticks of the resource's last modification.
        read: GET and HEAD return 304, other methods 412.

    Raises:
        BatchError: 304 or 412 ConditionNotMet, 400 for several conditions or an unreadable date.
    """
    if allowed is Conditions.NONE:
        return
    names = [name for name in _HEADERS if headers.get(name)]
    if allowed is Conditions.DATES:
        names = [name for name in names if name.endswith("-since")]
    if not names:
        return
    if len(names) > 1:
        raise BatchError("MultipleConditionHeadersNotSupported")
    name, value = names[0], headers[names[0]]
    if not _holds(name, value, modified):
        raise BatchError("ConditionNotMet", status=304 if read else 412)


def _holds(name: str, value: str, modified: int) -> bool:
    if name in ("if-match", "if-none-match"):
        # The official client puts quotes around an ETag that has none.
        tags = [tag.strip().removeprefix("W/").strip('"') for tag in value.split(",")]
        known = "*" in tags or etag(modified) in tags
        return known if name == "if-match" else not known
    try:
        since = parse_http_date(value)
    except (ValueError, TypeError):
        raise BatchError("InvalidHeaderValue", {"HeaderName": name, "HeaderValue": value[:64]}) from None
    second = modified // TICKS_PER_SECOND
    newer = second > since // TICKS_PER_SECOND
    return newer if name == "if-modified-since" else not newer
