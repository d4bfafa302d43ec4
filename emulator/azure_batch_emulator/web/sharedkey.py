"""Shared-key signatures as the service verifies them (docs/azure-batch.md#shared-key). Pure: headers and key in, verdict out."""

from __future__ import annotations

import base64
import hmac
import itertools
from collections.abc import Callable, Iterator, Mapping
from urllib.parse import quote, unquote, unquote_plus

from azure_batch_emulator.wire.errors import BatchError
from azure_batch_emulator.wire.ticks import TICKS_PER_SECOND, parse_http_date

MAX_SKEW_SECONDS = 15 * 60
_SIGNED_HEADERS = (
    "content-encoding",
    "content-language",
    "content-length",
    "content-md5",
    "content-type",
    "date",
    "if-modified-since",
    "if-match",
    "if-none-match",
    "if-unmodified-since",
    "range",
)


def verify(
    method: str, raw_path: str, raw_query: str, headers: Mapping[str, str], keys: Mapping[str, bytes], now: int
) -> str:
    """The account that signed a request.

    Args:
        method: HTTP method.
        raw_path: path as on the wire.
        raw_query: query as on the wire, without the question mark.
        headers: request headers, any casing of names.
        keys: decoded key per account.
        now: the present, in ticks.

    Raises:
        BatchError: 401 without an Authorization header, 400 for one that cannot be read, 403 for a wrong signature, an
            unknown account or a date that is more than 15 minutes off.
    """
    lowered = {name.lower(): value for name, value in headers.items()}
    authorization = lowered.get("authorization")
    if not authorization:
        raise BatchError("AuthenticationFailed", status=401, headers={"WWW-Authenticate": _CHALLENGE})
    scheme, _, credentials = authorization.partition(" ")
    account, colon, signature = credentials.strip().partition(":")
    if scheme.lower() != "sharedkey" or not colon or not account or not signature:
        raise BatchError("InvalidAuthenticationInfo")
    key = keys.get(account)
    if key is None:
        detail = f"Cannot find the claimed account when trying to GetProperties for the account {account}."
        raise BatchError("AuthenticationFailed", {"AuthenticationErrorDetail": detail})
    _check_date(lowered, now)
    # Nearly every caller signs the first of them, so the others are made only if it does not fit.
    candidates = strings_to_sign(method, account, raw_path, raw_query, lowered)
    documented = next(candidates)
    if not any(hmac.compare_digest(signature, sign(key, text)) for text in itertools.chain((documented,), candidates)):
        shown = documented.replace("\n", "\\n")
        detail = (
            "The MAC signature found in the HTTP request is not the same as any computed signature. "
            f"Server used following string to sign: '{shown}'."
        )
        raise BatchError("AuthenticationFailed", {"AuthenticationErrorDetail": detail})
    return account


_CHALLENGE = (
    'Bearer authorization_uri="https://login.microsoftonline.com/common", resource_id="https://batch.core.windows.net/"'
)


def sign(key: bytes, text: str) -> str:
    """Base64 of HMAC-SHA256 over the UTF-8 text."""
    return base64.b64encode(hmac.digest(key, text.encode(), "sha256")).decode()


def strings_to_sign(
    method: str, account: str, raw_path: str, raw_query: str, headers: Mapping[str, str]
) -> Iterator[str]:
    """Every string a correct client may have signed, the documented one first.

    The official client keeps the case of query names, and its asynchronous half signs a path whose reserved characters
    are escaped although they travel plain (docs/azure-batch.md#shared-key).

    Args:
        headers: names lower-case.
    """
    lines = [method.upper()]
    for name in _SIGNED_HEADERS:
        value = headers.get(name, "")
        if name == "date" and "ocp-date" in headers:
            value = ""
        lines.append(value)
    length = lines[3]
    lengths = {length}
    if method.upper() in ("GET", "HEAD"):
        lengths.add("")
    elif length in ("", "0"):
        lengths |= {"", "0"}
    ocp = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers) if name.startswith("ocp-"))
    pairs = _pairs(raw_query)
    for query in _distinct(lambda: _documented_query(pairs), lambda: _raw_query(pairs)):
        for path in _distinct(lambda: raw_path, lambda: _escaped(raw_path), lambda: unquote(raw_path)):
            for content_length in sorted(lengths, key=lambda value: value != length):
                head = [*lines[:3], content_length, *lines[4:]]
                yield "\n".join(head) + "\n" + ocp + f"/{account}{path}{query}"


def _distinct(*forms: Callable[[], str]) -> Iterator[str]:
    """The forms, each made when it is asked for, without those that there were already."""
    seen = set[str]()
    for form in forms:
        text = form()
        if text not in seen:
            seen.add(text)
            yield text


def _escaped(raw_path: str) -> str:
    return quote(unquote(raw_path), safe="/")


def _pairs(raw_query: str) -> list[tuple[str, str]]:
    pairs = (part.partition("=") for part in raw_query.split("&") if part)
    return [(unquote_plus(name), unquote(value)) for name, _, value in pairs]


def _documented_query(pairs: list[tuple[str, str]]) -> str:
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        values.setdefault(name.lower(), []).append(value)
    return "".join(f"\n{name}:{','.join(sorted(values[name]))}" for name in sorted(values))


def _raw_query(pairs: list[tuple[str, str]]) -> str:
    values: dict[str, str] = {}
    for name, value in pairs:
        if value:
            values.setdefault(name, value)
    return "".join(f"\n{name}:{values[name]}" for name in sorted(values))


def _check_date(headers: Mapping[str, str], now: int) -> None:
    text = headers.get("ocp-date") or headers.get("date")
    if not text:
        detail = "The Date header in the request is missing."
        raise BatchError("AuthenticationFailed", {"AuthenticationErrorDetail": detail})
    try:
        date = parse_http_date(text)
    except (ValueError, TypeError):
        name = "ocp-date" if headers.get("ocp-date") else "Date"
        raise BatchError("InvalidHeaderValue", {"HeaderName": name, "HeaderValue": text[:64]}) from None
    if abs(date - now) > MAX_SKEW_SECONDS * TICKS_PER_SECOND:
        detail = "The Date header in the request is incorrect."
        raise BatchError("AuthenticationFailed", {"AuthenticationErrorDetail": detail})
