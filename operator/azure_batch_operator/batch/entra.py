"""Sign-in with Microsoft Entra ID: bearer tokens from azure-identity, requested once and shared by all calls.

azure-identity implements the sign-in methods. This module decides when to sign in: once for all waiting calls, in the
background before a token expires, and again when the service refuses a token. Each sign-in uses a new azure-identity
credential, which has no cached token, so rotated secrets and files are read again.

azure-identity is imported by the first sign-in: it takes 10 MiB, which an operator whose accounts have keys does not need.

The scope has two slashes, so that the token's audience ends in one, as the service requires (docs/azure-batch.md#entra-id).
"""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from azure.core.credentials import AccessTokenInfo
from azure.core.credentials_async import AsyncSupportsTokenInfo
from azure.core.exceptions import AzureError, ClientAuthenticationError, ServiceRequestError, ServiceResponseError

from azure_batch_operator.batch.auth import SecretBytes
from azure_batch_operator.batch.errors import (
    AuthenticationError,
    AuthenticationKind,
    BatchError,
    ConnectionFailedError,
    ConnectionKind,
    DeadlineError,
    UsageError,
)
from azure_batch_operator.batch.redaction import safe_text
from azure_batch_operator.batch.requests import Request

BATCH_SCOPE = "https://batch.core.windows.net//.default"
PUBLIC_AUTHORITY = "login.microsoftonline.com"
NODE = "the metadata service of the node"
"""Where a managed identity gets its tokens."""

# Seconds before expiry: from the first on, a new token is requested in the background; from the second on, calls wait
# for it.
_EARLY = 300.0
_LATE = 30.0
# Seconds from a failed sign-in in the background to the next one.
_PAUSE = 30.0
_SIGN_IN_SECONDS = 45.0

Assertion = Callable[[], Awaitable[str]]
"""Returns a signed token of a Kubernetes service account, made for the token exchange."""


@dataclass(frozen=True, slots=True)
class Authority:
    """The authority that issues tokens.

    `host` may include a port, and is always called with https. `ca_file` is a PEM file with the certificate authorities to trust
    instead of those of the system.
    """

    host: str = PUBLIC_AUTHORITY
    ca_file: str | None = None

    def options(self) -> dict[str, Any]:
        """Keyword arguments for azure-identity."""
        if "://" in self.host or "/" in self.host or "@" in self.host or not self.host:
            raise UsageError("the authority must be a host name with an optional port")
        options: dict[str, Any] = {"authority": f"https://{self.host}", "retry_total": 2}
        if self.host != PUBLIC_AUTHORITY:
            options["disable_instance_discovery"] = True
        if self.ca_file is not None:
            options["connection_verify"] = self.ca_file
        return options


@dataclass(frozen=True, slots=True)
class _Token:
    """A token and its times, in seconds since 1970."""

    value: SecretBytes
    expires_on: float
    refresh_on: float


class EntraCredential:
    """Bearer tokens; created by the functions below."""

    def __init__(
        self,
        make: Callable[[], Awaitable[AsyncSupportsTokenInfo]],
        description: str,
        *,
        scope: str = BATCH_SCOPE,
        issuer: str = PUBLIC_AUTHORITY,
        clock: Callable[[], float] | None = None,
    ) -> None:
        """Create a credential from a factory of azure-identity credentials and a description of the identity for messages.

        Args:
            issuer: the host that issues the tokens, for messages.
        """
        self._make = make
        self._description = description
        self._issuer = issuer
        self._scope = scope
        # Looked up at run time, so the quick stage can replace the clock of the operator.
        self._clock = clock or time.time
        self._token: _Token | None = None
        self._sign_in: asyncio.Task[_Token] | None = None
        self._not_before = 0.0
        self._asks_issuer = False
        """Whether the sign-in in progress waits for the issuer, not for what it needs from elsewhere first."""

    def __repr__(self) -> str:
        return f"EntraCredential({self._description})"

    async def sign(self, request: Request, headers: Mapping[str, str]) -> Mapping[str, str]:
        """The Authorization header."""
        return _header(await self._current())

    async def refused(self, error: AuthenticationError, signed: Mapping[str, str]) -> bool:
        """Discard the token, unless a wrong clock or a missing permission makes any token useless.

        Calls that were refused together share one new token: a token that the service has not seen yet is kept.
        """
        if not signed or error.kind in (
            AuthenticationKind.SIGN_IN,
            AuthenticationKind.NOT_ALLOWED,
            AuthenticationKind.CLOCK_SKEW,
        ):
            return False
        if self._token is not None and _header(self._token) == signed:
            self._token = None
        return True

    def overdue(self) -> BatchError | None:
        """What the sign-in in progress waits for: the issuer, to which a firewall may drop what is sent, or Kubernetes."""
        if self._asks_issuer:
            return _no_issuer(self._issuer, self._description)
        text = f"the API server did not issue a token in time (sign-in as {self._description})"
        return None if self._sign_in is None else no_authority(text)

    async def aclose(self) -> None:
        """Cancel a sign-in in progress."""
        task, self._sign_in = self._sign_in, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _current(self) -> _Token:
        now = self._clock()
        token = self._token
        if token is None or token.expires_on - now <= _LATE:
            return await asyncio.shield(self._signing_in())
        if now >= token.refresh_on and now >= self._not_before:
            self._signing_in()
        return token

    def _signing_in(self) -> asyncio.Task[_Token]:
        """The sign-in in progress; started if there is none."""
        if self._sign_in is None:
            self._sign_in = asyncio.create_task(self._fetch(), name=f"sign in: {self._description}")
            self._sign_in.add_done_callback(self._signed_in)
        return self._sign_in

    def _signed_in(self, task: asyncio.Task[_Token]) -> None:
        if self._sign_in is task:
            self._sign_in = None
        if task.cancelled():
            return
        # Reading the exception also marks it as retrieved for asyncio; a failure in the background is retried later.
        if task.exception() is None:
            self._token = task.result()
        else:
            self._not_before = self._clock() + _PAUSE

    async def _fetch(self) -> _Token:
        failure: BatchError
        try:
            async with asyncio.timeout(_SIGN_IN_SECONDS):
                credential = await self._make()
                self._asks_issuer = True
                async with credential:
                    info = await credential.get_token_info(self._scope)
            return _token(info, self._clock())
        except BatchError:
            raise
        except TimeoutError:
            text = f"signing in as {self._description} took more than {_SIGN_IN_SECONDS:.0f} seconds"
            failure = self.overdue() or DeadlineError(text)
        except Exception as error:
            # Not only AzureErrors: azure-identity raises KeyError for a response without a token.
            failure = sign_in_error(error, self._description, self._issuer)
        finally:
            self._asks_issuer = False
        # Raised here so that it has no context: errors of azure-core contain the request with its secret.
        raise failure


def _header(token: _Token) -> dict[str, str]:
    return {"Authorization": f"Bearer {token.value.reveal().decode()}"}


def _token(info: AccessTokenInfo, now: float) -> _Token:
    expires_on = float(info.expires_on)
    # A short-lived token is renewed at half of its lifetime.
    early = max(expires_on - _EARLY, now + (expires_on - now) / 2)
    return _Token(SecretBytes(info.token.encode()), expires_on, float(info.refresh_on or early))


_CODES = {
    "AADSTS700211": AuthenticationKind.WRONG_ISSUER,
    "AADSTS700212": AuthenticationKind.WRONG_AUDIENCE,
    "AADSTS700213": AuthenticationKind.WRONG_SUBJECT,
    "AADSTS700024": AuthenticationKind.EXPIRED,
    "AADSTS7000222": AuthenticationKind.EXPIRED,
    "AADSTS7000215": AuthenticationKind.BAD_SECRET,
    "AADSTS700027": AuthenticationKind.BAD_SECRET,
    "AADSTS700016": AuthenticationKind.UNKNOWN_APPLICATION,
    "AADSTS90002": AuthenticationKind.UNKNOWN_TENANT,
}
_WORDS = (
    (("expired", "valid time range"), AuthenticationKind.EXPIRED),
    (("audience",), AuthenticationKind.WRONG_AUDIENCE),
    (("issuer",), AuthenticationKind.WRONG_ISSUER),
    (("subject",), AuthenticationKind.WRONG_SUBJECT),
)


def _no_issuer(issuer: str, description: str) -> ConnectionFailedError:
    """The error for an issuer that cannot be reached; it says nothing about the endpoint, which was not called."""
    remedy = (
        "check that Pods on this node may use it"
        if issuer == NODE
        else "check the egress rules and the proxy of the operator, and its setting `authority`"
    )
    return no_authority(f"{issuer}, which issues tokens, cannot be reached: {remedy} (sign-in as {description})")


def no_authority(text: str) -> ConnectionFailedError:
    """The error for a sign-in for which somebody else than Azure Batch does not answer now; the call that needs it is not sent."""
    failure = ConnectionFailedError(text)
    failure.kind = ConnectionKind.AUTHORITY
    return failure


def sign_in_error(error: Exception, description: str, issuer: str = PUBLIC_AUTHORITY) -> BatchError:
    """The error for a failure of azure-identity: by Entra's code, otherwise by its text."""
    if isinstance(error, ServiceRequestError | ServiceResponseError):
        return _no_issuer(issuer, description)
    text = safe_text(" ".join(str(error).split()))
    if not isinstance(error, AzureError | OSError | ValueError):
        text = "the response contains no token"
    match = re.search(r"AADSTS\d+", text)
    code = match[0] if match else None
    lowered = text.lower()
    refusal = AuthenticationError(f"signing in as {description} failed: {text}", code=code)
    refusal.kind = _CODES.get(code or "") or next(
        (kind for words, kind in _WORDS if any(word in lowered for word in words)), AuthenticationKind.SIGN_IN
    )
    if not isinstance(error, ClientAuthenticationError):
        refusal.kind = AuthenticationKind.SIGN_IN
    return refusal


def workload_identity(
    tenant_id: str,
    client_id: str,
    token_file: str | Path,
    *,
    authority: Authority = Authority(),
    scope: str = BATCH_SCOPE,
) -> EntraCredential:
    """The identity of this program's own service account, with the token file that Kubernetes renews."""

    async def make() -> AsyncSupportsTokenInfo:
        from azure.identity.aio import WorkloadIdentityCredential

        return WorkloadIdentityCredential(
            tenant_id=tenant_id, client_id=client_id, token_file_path=str(token_file), **authority.options()
        )

    return EntraCredential(make, f"workload identity {client_id}", scope=scope, issuer=authority.host)


def service_account(
    tenant_id: str,
    client_id: str,
    assertion: Assertion,
    *,
    authority: Authority = Authority(),
    scope: str = BATCH_SCOPE,
) -> EntraCredential:
    """The identity that is federated with a service account. `assertion` requests its token for each sign-in."""

    async def make() -> AsyncSupportsTokenInfo:
        from azure.identity.aio import ClientAssertionCredential

        token = await assertion()
        return ClientAssertionCredential(tenant_id, client_id, lambda: token, **authority.options())

    return EntraCredential(make, f"service account for {client_id}", scope=scope, issuer=authority.host)


def managed_identity(client_id: str | None = None, *, scope: str = BATCH_SCOPE) -> EntraCredential:
    """The managed identity of this machine; without an ID, the system-assigned one."""

    async def make() -> AsyncSupportsTokenInfo:
        from azure.identity.aio import ManagedIdentityCredential

        return ManagedIdentityCredential(client_id=client_id)

    return EntraCredential(make, f"managed identity {client_id or 'of the machine'}", scope=scope, issuer=NODE)


def client_secret(
    tenant_id: str, client_id: str, secret: str, *, authority: Authority = Authority(), scope: str = BATCH_SCOPE
) -> EntraCredential:
    """A service principal with a secret."""
    hidden = SecretBytes(secret.encode())

    async def make() -> AsyncSupportsTokenInfo:
        from azure.identity.aio import ClientSecretCredential

        return ClientSecretCredential(tenant_id, client_id, hidden.reveal().decode(), **authority.options())

    return EntraCredential(make, f"service principal {client_id}", scope=scope, issuer=authority.host)


def client_certificate(
    tenant_id: str,
    client_id: str,
    certificate: bytes,
    *,
    password: str | None = None,
    authority: Authority = Authority(),
    scope: str = BATCH_SCOPE,
) -> EntraCredential:
    """A service principal with a certificate: PEM or PKCS#12, with its private key."""
    hidden = SecretBytes(certificate)
    hidden_password = SecretBytes(password.encode()) if password is not None else None

    async def make() -> AsyncSupportsTokenInfo:
        from azure.identity.aio import CertificateCredential

        return CertificateCredential(
            tenant_id,
            client_id,
            certificate_data=hidden.reveal(),
            password=hidden_password.reveal() if hidden_password else None,
            **authority.options(),
        )

    return EntraCredential(make, f"service principal {client_id}", scope=scope, issuer=authority.host)
