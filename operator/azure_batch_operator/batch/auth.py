"""Credentials, which sign requests.

The transport gets headers from a `Credential` immediately before each attempt, so dates are current and tokens valid.
This module signs with the shared key; `entra` signs in with Microsoft Entra ID.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from typing import Protocol
from urllib.parse import parse_qsl

from azure_batch_operator.batch.errors import AuthenticationError, BatchError, UsageError
from azure_batch_operator.batch.requests import Request


class Credential(Protocol):
    """Proves the identity of the caller."""

    async def sign(self, request: Request, headers: Mapping[str, str]) -> Mapping[str, str]:
        """Headers to add to a request that goes out with `headers`.

        Raises:
            AuthenticationError: no token is available.
            ConnectionFailedError: the authority that issues tokens cannot be reached.
        """
        ...

    async def refused(self, error: AuthenticationError, signed: Mapping[str, str]) -> bool:
        """Record a refusal by the service; return whether another attempt with a new token makes sense.

        Args:
            signed: headers that `sign` added to the refused attempt; empty if `sign` itself failed.
        """
        ...

    def overdue(self) -> BatchError | None:
        """The error for a `sign` that has not ended in time; None if it does not wait for an authority."""
        ...

    async def aclose(self) -> None:
        """Release the resources of the credential."""
        ...


class SecretBytes:
    """Bytes that are hidden in reprs, logs, exceptions and pickles."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = value

    def reveal(self) -> bytes:
        """The bytes themselves."""
        return self._value

    def __repr__(self) -> str:
        return "SecretBytes(…)"

    def __reduce__(self) -> str:
        raise TypeError("a secret cannot be pickled")


class SharedKey:
    """The account's name and one of its two keys (docs/azure-batch.md#shared-key)."""

    def __init__(self, account: str, key: str) -> None:
        """Create a credential from the account's name and its key in base64.

        Raises:
            UsageError: the name is empty or the key is not base64.
        """
        if not account:
            raise UsageError("the account's name is empty")
        try:
            decoded = base64.b64decode(key.strip(), validate=True)
        except (binascii.Error, ValueError):
            decoded = b""
        if not decoded:
            raise UsageError(f"the key of account {account} is not base64; copy it again from the account's keys")
        self.account = account
        self._key = SecretBytes(decoded)

    def __repr__(self) -> str:
        return f"SharedKey(account={self.account!r})"

    async def sign(self, request: Request, headers: Mapping[str, str]) -> Mapping[str, str]:
        """The Authorization header; `headers` must contain a current ocp-date."""
        digest = hmac.digest(
            self._key.reveal(), string_to_sign(request, headers, self.account).encode(), hashlib.sha256
        )
        return {"Authorization": f"SharedKey {self.account}:{base64.b64encode(digest).decode()}"}

    async def refused(self, error: AuthenticationError, signed: Mapping[str, str]) -> bool:
        """A retry with the same key is useless."""
        return False

    def overdue(self) -> None:
        """Signing takes no time."""

    async def aclose(self) -> None:
        """Nothing to release."""


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


def string_to_sign(request: Request, headers: Mapping[str, str], account: str) -> str:
    """The text to sign (docs/azure-batch.md#shared-key): verb, headers, all `ocp-` headers, account and path, query.

    GET and HEAD have no content length; all other methods have one, even if it is 0.
    """
    lower = {name.lower(): value for name, value in headers.items()}
    if request.method in ("GET", "HEAD"):
        lower.pop("content-length", None)
    lines = [request.method, *(lower.get(name, "") for name in _SIGNED_HEADERS)]
    lines += [f"{name}:{value}" for name, value in sorted(lower.items()) if name.startswith("ocp-") and value]
    values: dict[str, list[str]] = {}
    for name, value in parse_qsl(request.query):
        values.setdefault(name.lower(), []).append(value)
    lines.append(f"/{account}{request.path}")
    lines += [f"{name}:{','.join(sorted(several))}" for name, several in sorted(values.items())]
    return "\n".join(lines)
