"""What is checked of a request before anybody looks at what it asks for.

A request that cannot be read is refused here, in the service's own form, so that the code behind it only sees text that
can be signed, logged, stored and put into a header (tests/conformance/test_malformed.py).
"""

from __future__ import annotations

import asyncio
import re
import zlib
from urllib.parse import quote

from aiohttp import http_exceptions, web

from azure_batch_emulator.wire.errors import BatchError

MAX_BODY_BYTES = 1_048_576
MAX_URL_CHARACTERS = 16_384
# Longer lines are not even kept; the library's response is replaced in `protocol`.
MAX_LINE_BYTES = 65_536
# All bodies being received at one time: 64 of the largest.
_MAX_AT_ONCE = 64
_BODY_SECONDS = 60.0
_SINGLE_HEADERS = (
    "authorization",
    "content-type",
    "date",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-unmodified-since",
    "ocp-date",
    "ocp-range",
)
_HOST = re.compile(r"(\[[0-9A-Fa-f:.%]{2,60}\]|[A-Za-z0-9._~-]{1,253})(:[0-9]{1,5})?")
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]")


def is_text(value: str) -> bool:
    """Whether the bytes of a header or URL were UTF-8: the library keeps others as lone surrogates."""
    return value.isascii() or not any("\ud800" <= character <= "\udfff" for character in value)


def check_head(request: web.BaseRequest) -> None:
    """Refuse a URL or a header that cannot be read, or that says two things at once.

    Raises:
        BatchError: 400 RequestUrlFailedToParse or InvalidHeaderValue.
    """
    if not is_text(request.raw_path):
        raise BatchError("RequestUrlFailedToParse", {"Reason": "The URL is not valid UTF-8."})
    if len(request.raw_path) > MAX_URL_CHARACTERS:
        raise BatchError(
            "RequestUrlFailedToParse", {"Reason": f"The URL is longer than {MAX_URL_CHARACTERS} characters."}
        )
    for name, value in request.headers.items():
        if not is_text(value):
            raise _header_error(name, ascii(value))
    for name in _SINGLE_HEADERS:
        if len(request.headers.getall(name, ())) > 1:
            raise _header_error(name, "several values")
    host = request.headers.get("Host")
    if host is not None and not _HOST.fullmatch(host):
        raise _header_error("Host", host)


def _header_error(name: str, value: str) -> BatchError:
    return BatchError("InvalidHeaderValue", {"HeaderName": name, "HeaderValue": value[:64]})


def base_url(request: web.BaseRequest) -> str:
    """Scheme and host that the caller used, for the URLs of a response; the socket's own address if it named none."""
    host = request.headers.get("Host", "")
    if not _HOST.fullmatch(host):
        address = request.transport.get_extra_info("sockname") if request.transport is not None else None
        host = f"[{address[0]}]:{address[1]}" if address and ":" in address[0] else "127.0.0.1"
        if address and ":" not in address[0]:
            host = f"{address[0]}:{address[1]}"
    return f"{request.scheme}://{host}"


def header_text(value: str) -> str:
    """A value that a header can carry: everything but printable ASCII is percent-encoded."""
    return _UNPRINTABLE.sub(lambda found: quote(found[0], errors="replace"), value)


class Bodies:
    """Receives bodies within a budget: no more than 64 at a time, and none beyond the service's limit."""

    def __init__(self) -> None:
        self._places = asyncio.Semaphore(_MAX_AT_ONCE)

    async def read(self, request: web.BaseRequest) -> bytes:
        """The body, unpacked.

        Raises:
            BatchError: 411 without a length, 413 beyond 1 MiB, 400 for what cannot be unpacked, 500 OperationTimedOut if
                it does not arrive.
        """
        if not request.body_exists:
            return b""
        if request.content_length is None:
            raise BatchError("MissingContentLengthHeader")
        if request.content_length > MAX_BODY_BYTES:
            raise _too_large()
        async with self._places:
            try:
                async with asyncio.timeout(_BODY_SECONDS):
                    body = await request.read()
            except TimeoutError:
                raise BatchError("OperationTimedOut") from None
            except http_exceptions.HttpProcessingError:
                raise BatchError("InvalidRequestBody", {"Reason": "The request body ends too early."}) from None
        return _unpack(body, request.headers.get("Content-Encoding", "").strip().lower())


def _unpack(body: bytes, encoding: str) -> bytes:
    if encoding in ("", "identity"):
        return body
    if encoding not in ("gzip", "deflate"):
        raise _header_error("Content-Encoding", encoding)
    unpacker = zlib.decompressobj(wbits=31 if encoding == "gzip" else 15)
    try:
        unpacked = unpacker.decompress(body, MAX_BODY_BYTES + 1)
    except zlib.error:
        reason = f"The request body is not encoded as {encoding}."
        raise BatchError("InvalidRequestBody", {"Reason": reason}) from None
    if len(unpacked) > MAX_BODY_BYTES:
        raise _too_large()
    if not unpacker.eof:
        raise BatchError("InvalidRequestBody", {"Reason": "The request body ends too early."})
    return unpacked


def _too_large() -> BatchError:
    return BatchError("RequestBodyTooLarge", {"MaxLimit": MAX_BODY_BYTES})
