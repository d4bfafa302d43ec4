"""Whatever stands in a token or in a sign-in is refused in the terms of OAuth or of Batch, never an error of the emulator's."""

from __future__ import annotations

import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from azure_batch_emulator.schema.orders import IDENTITY
from azure_batch_emulator.web.entra import Entra, TokenError
from azure_batch_emulator.wire.errors import BatchError

NOW = 1_750_000_000
BASE = "https://127.0.0.1/tenant"
CLAIMS = {
    "iss": "https://issuer",
    "sub": "subject",
    "aud": "api://AzureADTokenExchange",
    "exp": NOW + 600,
    "nbf": NOW - 600,
}
# Of every type of JSON, and beyond what a float holds.
ODD = [
    None,
    "soon",
    "",
    True,
    False,
    [],
    [1],
    {},
    {"a": 1},
    10**400,
    -(10**400),
    float("nan"),
    float("inf"),
    float("-inf"),
]


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def signed(key: Any, claims: Any, algorithm: str = "RS256", **header: Any) -> str:
    return jwt.api_jws.encode(json.dumps(claims).encode(), key, algorithm, {"kid": "k"} | header)


def trusting(public: Any, **identity: Any) -> Entra:
    """A token service that trusts the assertions of one key."""
    entra = Entra(lambda: float(NOW))
    federation = {"issuer": "https://issuer", "subject": "subject", "jwks": {"keys": [public | {"kid": "k"}]}}
    given = identity or {"federation": federation}
    entra.register(IDENTITY.accept("", {"tenantId": "tenant", "clientId": "client"} | given), "account")
    return entra


def public_part(key: rsa.RSAPrivateKey) -> Any:
    return json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key()))


def sign_in(entra: Entra, **form: str) -> dict[str, Any]:
    usual = {
        "grant_type": "client_credentials",
        "client_id": "client",
        "scope": "https://batch.core.windows.net//.default",
    }
    return entra.token(BASE, "tenant", usual | form)


def assert_with(entra: Entra, assertion: str) -> dict[str, Any]:
    kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    return sign_in(entra, client_assertion=assertion, client_assertion_type=kind)


def test_an_assertion_as_it_should_be(key: rsa.RSAPrivateKey) -> None:
    assert assert_with(trusting(public_part(key)), signed(key, CLAIMS))["token_type"] == "Bearer"


@pytest.mark.parametrize("claim", [*CLAIMS, "iat", "jti"])
def test_claims_of_every_type(key: rsa.RSAPrivateKey, claim: str) -> None:
    entra = trusting(public_part(key))
    for value in ODD:
        try:
            assert_with(entra, signed(key, CLAIMS | {claim: value}))
        except TokenError as error:
            assert error.status == 401  # noqa: PT017 - some values are fine for some claims
        else:
            # What is not looked at, and an expiry beyond all times.
            assert (
                claim in ("iat", "jti")
                or (claim, value) in (("exp", 10**400), ("exp", float("inf")), ("nbf", -(10**400)))
                or (claim, value) == ("nbf", float("-inf"))
            )


@pytest.mark.parametrize(
    "assertion",
    [
        "",
        "a",
        "a.b",
        "a.b.c",
        "....",
        "é.é.é",
        "bnVsbA.bnVsbA.bnVsbA",
        "W10.W10.W10",
        "e30.e30.",
        "\ud800.a.b",
        "a." * 1000,
    ],
)
def test_invalid_assertions(key: rsa.RSAPrivateKey, assertion: str) -> None:
    with pytest.raises(TokenError):
        assert_with(trusting(public_part(key)), assertion)
    with pytest.raises(BatchError):
        trusting(public_part(key)).account(assertion, "GET")


@pytest.mark.parametrize("kid", [1, ["k"], {}, True, None, ""])
def test_key_ids_of_every_type(key: rsa.RSAPrivateKey, kid: Any) -> None:
    token = signed(key, CLAIMS)
    header = jwt.utils.base64url_encode(json.dumps({"alg": "RS256", "typ": "JWT", "kid": kid}).encode()).decode()
    with pytest.raises(TokenError):
        assert_with(trusting(public_part(key)), f"{header}.{token.partition('.')[2]}")


def test_a_key_that_does_not_go_with_the_algorithm(key: rsa.RSAPrivateKey) -> None:
    curve = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1()).public_key()))
    for public in (curve, {"kty": "oct", "k": "c2VjcmV0"}):
        with pytest.raises(TokenError):
            assert_with(trusting(public), signed(key, CLAIMS))


@pytest.mark.parametrize("secret", ["wrong", "geheimnß", "", "\ud800"])
def test_secrets_that_are_wrong(key: rsa.RSAPrivateKey, secret: str) -> None:
    with pytest.raises(TokenError):
        sign_in(trusting(public_part(key), secret="geheimnis"), client_secret=secret)


def test_a_secret_that_is_no_ascii(key: rsa.RSAPrivateKey) -> None:
    assert sign_in(trusting(public_part(key), secret="geheimnß"), client_secret="geheimnß")["token_type"] == "Bearer"


def test_a_token_that_was_accepted_is_refused_when_the_key_is_renewed() -> None:
    entra = trusting({}, secret="s")
    token = sign_in(entra, client_secret="s")["access_token"]
    assert entra.account(token, "GET") == "account"
    entra.renew_key()
    with pytest.raises(BatchError):
        entra.account(token, "GET")
    assert entra.account(sign_in(entra, client_secret="s")["access_token"], "GET") == "account"


def test_few_tokens_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("azure_batch_emulator.web.entra._MAX_VERIFIED", 3)
    entra = trusting({}, secret="s")
    for seconds in range(8):
        # Another token each time.
        entra.lifetime = 3600 + seconds
        entra.account(sign_in(entra, client_secret="s")["access_token"], "GET")
    assert 0 < len(entra._verified) <= 3
