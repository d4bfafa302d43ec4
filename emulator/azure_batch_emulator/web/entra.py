"""A token endpoint in the manner of Entra ID, and the check of its tokens on Batch calls (docs/azure-batch.md#entra-id).

Served over TLS beside the Batch API: OpenID configuration, signing keys, and the client-credentials grant with a secret,
a certificate or a federated assertion, as workload identity uses it; and the metadata service that gives managed identities their
tokens. Who may sign in is registered under ``/emulator/identities``.
"""

from __future__ import annotations

import hmac
import json
import re
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jwt
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from azure_batch_emulator.wire.errors import BatchError

BATCH_AUDIENCE = "https://batch.core.windows.net/"
_MAX_VERIFIED = 256
"""Tokens whose claims are kept, so that the memory for them is bounded."""
_LEEWAY_SECONDS = 60
_LIFETIME_SECONDS = 3600
_PATH = re.compile(
    r"/([0-9A-Za-z.-]+)/(v2\.0/\.well-known/openid-configuration|discovery/v2\.0/keys|oauth2/v2\.0/token)"
)
_METADATA_PATH = "/metadata/identity/oauth2/token"
_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_READING = frozenset({"GET", "HEAD"})


@dataclass(frozen=True, slots=True)
class Federation:
    """Whose assertions an application trusts.

    Attributes:
        keys: the issuer's public keys by key id.
    """

    issuer: str
    subject: str
    audience: str
    keys: dict[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Identity:
    """An application that may sign in.

    Attributes:
        role: ``contributor`` may do everything, ``reader`` may read, ``none`` may nothing.
        account: the Batch account it works with.
        certificate: by which it signs in.
        managed: whether machines may sign in as it without any proof, as managed identities do.
    """

    tenant_id: str
    client_id: str
    account: str
    role: str = "contributor"
    secret: str | None = field(default=None, repr=False)
    federation: Federation | None = None
    certificate: x509.Certificate | None = field(default=None, repr=False)
    managed: bool = False


class TokenError(Exception):
    """A sign-in that is refused, in the terms of OAuth 2.0."""

    def __init__(self, status: int, error: str, number: int, description: str) -> None:
        self.status = status
        self.error = error
        self.number = number
        self.description = f"AADSTS{number}: {description}"
        super().__init__(self.description)


class Entra:
    """Issues and checks tokens."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self.lifetime = _LIFETIME_SECONDS
        """Seconds for which a token is good that is issued from now on."""
        self.identities: dict[tuple[str, str], Identity] = {}
        self._key_id = uuid.uuid4().hex
        self._private_key: rsa.RSAPrivateKey | None = None
        self._verified: dict[str, Mapping[str, Any]] = {}

    @property
    def _key(self) -> rsa.RSAPrivateKey:
        """Made when it is first needed: most emulators never issue a token."""
        if self._private_key is None:
            self._private_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        return self._private_key

    def renew_key(self) -> None:
        """Sign with another key from now on: tokens that were issued before are not valid any more."""
        self._key_id, self._private_key = uuid.uuid4().hex, None
        self._verified.clear()

    def register(self, body: dict[str, Any], default_account: str) -> dict[str, Any]:
        """Let an application sign in.

        Args:
            body: as accepted (`schema.orders.IDENTITY`); the certificate is PEM.

        Raises:
            ValueError: something is missing or wrong.
        """
        federation, certificate = body.get("federation"), body.get("certificate")
        identity = Identity(
            tenant_id=body["tenantId"],
            client_id=body["clientId"],
            account=body.get("account", default_account),
            role=body["role"],
            secret=body.get("secret"),
            federation=_federation(federation) if federation is not None else None,
            certificate=x509.load_pem_x509_certificate(certificate.encode()) if certificate else None,
            managed=body["managed"],
        )
        if not (identity.secret or identity.federation or identity.certificate or identity.managed):
            raise ValueError("an identity needs a secret, a certificate or a federation, or must be managed")
        self.identities[identity.tenant_id, identity.client_id] = identity
        return {"tenantId": identity.tenant_id, "clientId": identity.client_id, "role": identity.role}

    # -- the token endpoint --

    async def handle(self, request: web.BaseRequest) -> web.Response | None:
        """Handle a call of the token service; None if the path is not one of its own."""
        if request.path == _METADATA_PATH:
            return self._metadata(request)
        match = _PATH.fullmatch(request.path)
        if match is None:
            return None
        tenant, what = match.groups()
        if request.scheme != "https":
            return web.json_response({"error": "invalid_request", "error_description": "TLS is required."}, status=400)
        base = f"{request.scheme}://{request.host}/{tenant}"
        if what.endswith("openid-configuration"):
            return web.json_response(_configuration(base))
        if what.endswith("keys"):
            return web.json_response({"keys": [self._public_key()]})
        if request.method != "POST":
            return web.json_response({"error": "invalid_request", "error_description": "POST only."}, status=405)
        form = {name: str(value) for name, value in (await request.post()).items()}
        try:
            return web.json_response(self.token(base, tenant, form))
        except TokenError as error:
            body = {"error": error.error, "error_description": error.description, "error_codes": [error.number]}
            return web.json_response(body | {"correlation_id": str(uuid.uuid4())}, status=error.status)

    def _metadata(self, request: web.BaseRequest) -> web.Response:
        """The metadata service that a machine in Azure finds at an address of its own."""
        if request.headers.get("Metadata", "").lower() != "true":
            return web.json_response(
                {"error": "invalid_request", "error_description": "Metadata: true is required"}, status=400
            )
        base = f"{request.scheme}://{request.host}"
        try:
            answer = self.managed(base, request.query.get("client_id"), request.query.get("resource", ""))
        except TokenError as error:
            return web.json_response(
                {"error": error.error, "error_description": error.description}, status=error.status
            )
        return web.json_response(answer)

    def token(self, base: str, tenant: str, form: dict[str, str]) -> dict[str, Any]:
        """The client-credentials grant.

        Raises:
            TokenError: wrong grant, client, secret, assertion or scope.
        """
        if form.get("grant_type") != "client_credentials":
            raise TokenError(400, "unsupported_grant_type", 70003, "The app requested an unsupported grant type.")
        client_id = form.get("client_id", "")
        identity = self.identities.get((tenant, client_id))
        if identity is None:
            message = f"Application with identifier '{client_id}' was not found in the directory '{tenant}'."
            raise TokenError(400, "unauthorized_client", 700016, message)
        if "client_assertion" in form:
            if form.get("client_assertion_type") != _ASSERTION_TYPE:
                raise TokenError(400, "invalid_request", 90023, "The client_assertion_type is not supported.")
            if identity.certificate is not None:
                _check_certificate(identity, identity.certificate, form["client_assertion"], self._now())
            else:
                _check_assertion(identity, form["client_assertion"], self._now())
        elif identity.secret is None or not hmac.compare_digest(
            identity.secret.encode(), form.get("client_secret", "").encode(errors="replace")
        ):
            raise TokenError(401, "invalid_client", 7000215, "Invalid client secret provided.")
        scope = next((part for part in form.get("scope", "").split() if part.endswith("/.default")), None)
        if scope is None:
            raise TokenError(400, "invalid_scope", 1002012, "The provided value for scope is not valid.")
        return self._issue(base, identity, scope.removesuffix("/.default"))

    def managed(self, base: str, client_id: str | None, resource: str) -> dict[str, Any]:
        """A token for a managed identity, as the metadata service of a machine issues it.

        Raises:
            TokenError: there is no such managed identity.
        """
        candidates = [
            identity
            for identity in self.identities.values()
            if identity.managed and client_id in (None, identity.client_id)
        ]
        if len(candidates) != 1:
            raise TokenError(400, "invalid_request", 0, "Identity not found")
        token = self._issue(f"{base}/{candidates[0].tenant_id}", candidates[0], resource)
        expires = int(time.time()) + self.lifetime
        return token | {"client_id": candidates[0].client_id, "resource": resource, "expires_on": str(expires)}

    def _issue(self, base: str, identity: Identity, audience: str) -> dict[str, Any]:
        now = int(time.time())
        claims = {
            "aud": audience,
            "iss": f"{base}/v2.0",
            "iat": now,
            "nbf": now - 60,
            "exp": now + self.lifetime,
            "appid": identity.client_id,
            "tid": identity.tenant_id,
            "ver": "2.0",
        }
        encoded = jwt.encode(claims, self._key, algorithm="RS256", headers={"kid": self._key_id})
        return {
            "token_type": "Bearer",
            "expires_in": self.lifetime,
            "ext_expires_in": self.lifetime,
            "access_token": encoded,
        }

    def _public_key(self) -> dict[str, Any]:
        key: dict[str, Any] = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self._key.public_key()))
        return key | {"kid": self._key_id, "use": "sig", "alg": "RS256"}

    # -- on Batch calls --

    def account(self, token: str, method: str) -> str:
        """The account a bearer token is for.

        Raises:
            BatchError: 403 for a foreign, expired or misdirected token, or a role that does not allow the call.
        """
        try:
            claims = self._claims(token)
            expired = time.time() >= int(claims["exp"]) + _LEEWAY_SECONDS
        except (jwt.PyJWTError, KeyError, TypeError, ValueError):
            raise _refusal("The access token is not valid.") from None
        if expired:
            raise _refusal("The access token has expired.")
        audience = claims.get("aud")
        if audience != BATCH_AUDIENCE:
            raise _refusal(
                f"The access token has been obtained from wrong audience or resource '{audience}'. It should exactly "
                f"match (including forward slash) with one of the allowed audiences '{BATCH_AUDIENCE}'."
            )
        identity = self.identities.get((str(claims.get("tid")), str(claims.get("appid"))))
        if identity is None:
            raise _refusal("The application of the access token is not known.")
        if identity.role == "none" or (identity.role == "reader" and method not in _READING):
            raise BatchError("InsufficientAccountPermissions")
        return identity.account

    def _claims(self, token: str) -> Mapping[str, Any]:
        """The claims of a token of ours; a client sends the same one with each call, so its signature is checked once.

        Raises:
            jwt.PyJWTError: the key has not signed it.
        """
        claims = self._verified.get(token)
        if claims is None:
            # The caller compares all times, by the clock that issued the token.
            options: Any = {"verify_aud": False, "verify_exp": False, "verify_nbf": False, "verify_iat": False}
            claims = jwt.decode(token, self._key.public_key(), algorithms=["RS256"], options=options)
            if len(self._verified) >= _MAX_VERIFIED:
                self._verified.clear()
            self._verified[token] = claims
        return claims


def _refusal(detail: str) -> BatchError:
    return BatchError("AuthenticationFailed", {"AuthenticationErrorDetail": detail})


def _configuration(base: str) -> dict[str, Any]:
    return {
        "issuer": f"{base}/v2.0",
        "token_endpoint": f"{base}/oauth2/v2.0/token",
        "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
        "jwks_uri": f"{base}/discovery/v2.0/keys",
        "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"],
        "id_token_signing_alg_values_supported": ["RS256"],
    }


def _federation(body: dict[str, Any]) -> Federation:
    try:
        keys = jwt.PyJWKSet.from_dict(body["jwks"]).keys
    except (jwt.PyJWTError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"jwks cannot be read: {error}") from None
    return Federation(
        issuer=str(body["issuer"]),
        subject=str(body["subject"]),
        audience=str(body.get("audience", "api://AzureADTokenExchange")),
        keys={str(key.key_id): key.key for key in keys},
    )


def _check_assertion(identity: Identity, assertion: str, now: float) -> None:
    """A service account's token, checked against the issuer that the identity trusts, by the service's own clock."""
    federation = identity.federation
    if federation is None:
        raise TokenError(401, "invalid_client", 70025, "The client has no configured federated identity credentials.")
    try:
        claims = jwt.decode(assertion, options={"verify_signature": False})
        if claims.get("iss") != federation.issuer:
            raise _unmatched(700211, "issuer", claims.get("iss"))
        key = federation.keys[str(jwt.get_unverified_header(assertion).get("kid"))]
        jwt.decode(
            assertion,
            key,
            algorithms=["RS256", "ES256"],
            options={"verify_aud": False, "verify_exp": False, "verify_nbf": False, "verify_iat": False},
        )
    except (jwt.PyJWTError, KeyError, TypeError, ValueError):
        # Not all that can be wrong with a token or its key is an error of the library's own.
        raise TokenError(401, "invalid_client", 700027, "The signature of the client assertion is not valid.") from None
    if not _is_valid(claims, now):
        message = "Client assertion is not within its valid time range: it has expired or is not valid yet."
        raise TokenError(401, "invalid_client", 700024, message)
    audience = claims.get("aud")
    if federation.audience not in (audience if isinstance(audience, list) else [audience]):
        raise _unmatched(700212, "audience", audience)
    if claims.get("sub") != federation.subject:
        raise _unmatched(700213, "subject", claims.get("sub"))


def _check_certificate(identity: Identity, certificate: x509.Certificate, assertion: str, now: float) -> None:
    """An assertion that a client has signed with the key of its certificate."""
    key = certificate.public_key()
    if not isinstance(key, rsa.RSAPublicKey):
        raise TokenError(401, "invalid_client", 700027, "The certificate's key is not supported.")
    try:
        claims = jwt.decode(
            assertion,
            key,
            algorithms=["RS256", "PS256"],
            options={"verify_aud": False, "verify_exp": False, "verify_nbf": False, "verify_iat": False},
        )
    except (jwt.PyJWTError, TypeError, ValueError):
        raise TokenError(401, "invalid_client", 700027, "The signature of the client assertion is not valid.") from None
    if not (claims.get("iss") == claims.get("sub") == identity.client_id):
        raise TokenError(401, "invalid_client", 700021, "The issuer of the client assertion is not the application.")
    if not _is_valid(claims, now):
        raise TokenError(401, "invalid_client", 700024, "Client assertion is not within its valid time range.")


def _is_valid(claims: dict[str, Any], now: float) -> bool:
    """Whether an assertion holds now; one whose times are no numbers never does."""
    begin, end = _seconds(claims.get("nbf", now)), _seconds(claims.get("exp"))
    return begin is not None and end is not None and begin - _LEEWAY_SECONDS <= now < end + _LEEWAY_SECONDS


def _seconds(value: Any) -> float | int | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _unmatched(number: int, what: str, value: object) -> TokenError:
    message = f"No matching federated identity record found for presented assertion {what} '{value}'."
    return TokenError(401, "invalid_client", number, message)
