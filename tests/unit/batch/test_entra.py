"""Signing in: one sign-in for many, ahead of time, again when refused; over TLS; and every way to fail."""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from azure.core.credentials import AccessTokenInfo
from azure.core.exceptions import ClientAuthenticationError, ServiceRequestError
from azure.identity import CredentialUnavailableError

from azure_batch_operator.batch import (
    OPERATIONS,
    AuthenticationError,
    AuthenticationKind,
    BatchClient,
    ConnectionFailedError,
    ConnectionKind,
    RetryPolicy,
    UsageError,
)
from azure_batch_operator.batch.entra import (
    BATCH_SCOPE,
    Authority,
    EntraCredential,
    client_certificate,
    client_secret,
    managed_identity,
    service_account,
    sign_in_error,
    workload_identity,
)
from azure_batch_operator.batch.requests import build
from azure_batch_operator.batch.retry import may_repeat
from support.authorities import TokenEndpoint, client_pem, self_signed, token_endpoint
from support.scripted_server import Connection, Received, scripted_server

REQUEST = build(OPERATIONS["Pools_GetPool"], {"poolId": "p"})
TENANT = "11111111-1111-1111-1111-111111111111"
CLIENT = "22222222-2222-2222-2222-222222222222"


class Fake:
    """An azure-identity credential that counts, waits and fails as told."""

    def __init__(self) -> None:
        self.now = 1_000_000.0
        self.life = 3600.0
        self.refresh_in: float | None = None
        self.sign_ins = 0
        self.closed = 0
        self.scopes: list[str] = []
        self.failure: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def make(self) -> "Fake":
        return self

    async def __aenter__(self) -> "Fake":
        return self

    async def __aexit__(self, *_: object) -> None:
        self.closed += 1

    async def get_token_info(self, *scopes: str) -> AccessTokenInfo:
        self.sign_ins += 1
        self.scopes += scopes
        number = self.sign_ins
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        refresh_on = None if self.refresh_in is None else int(self.now + self.refresh_in)
        return AccessTokenInfo(f"secret-{number}", int(self.now + self.life), refresh_on=refresh_on)


@pytest.fixture
async def fake() -> Fake:
    return Fake()


@pytest.fixture
async def credential(fake: Fake) -> AsyncIterator[EntraCredential]:
    made = EntraCredential(fake.make, "a test", clock=lambda: fake.now)  # type: ignore[arg-type]
    yield made
    await made.aclose()


async def bearer(credential: EntraCredential) -> str:
    return (await credential.sign(REQUEST, {}))["Authorization"].removeprefix("Bearer ")


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_token_is_kept_and_requested_with_the_right_scope(fake: Fake, credential: EntraCredential) -> None:
    assert [await bearer(credential) for _ in range(3)] == ["secret-1"] * 3
    assert fake.scopes == ["https://batch.core.windows.net//.default"]
    assert fake.closed == 1


async def test_many_who_wait_share_one_sign_in(fake: Fake, credential: EntraCredential) -> None:
    fake.gate.clear()
    waiting = [asyncio.create_task(bearer(credential)) for _ in range(50)]
    await settle()
    waiting.pop().cancel()
    fake.gate.set()
    assert set(await asyncio.gather(*waiting)) == {"secret-1"}
    assert fake.sign_ins == 1


async def test_a_new_token_comes_ahead_of_expiry_without_anybody_waiting(
    fake: Fake, credential: EntraCredential
) -> None:
    await bearer(credential)
    fake.now += 3600 - 301
    assert await bearer(credential) == "secret-1"
    fake.now += 2
    fake.gate.clear()
    assert [await bearer(credential) for _ in range(3)] == ["secret-1"] * 3
    fake.gate.set()
    await settle()
    assert await bearer(credential) == "secret-2"
    assert fake.sign_ins == 2


async def test_a_token_that_says_when_to_renew_it_is_renewed_then(fake: Fake, credential: EntraCredential) -> None:
    # Managed identities get tokens for a day, to be renewed at half of it.
    fake.life, fake.refresh_in = 86_400.0, 43_200.0
    await bearer(credential)
    for passed, sign_ins in ((43_199, 1), (2, 2)):
        fake.now += passed
        await bearer(credential)
        await settle()
        assert fake.sign_ins == sign_ins


async def test_a_token_at_its_end_is_waited_for(fake: Fake, credential: EntraCredential) -> None:
    await bearer(credential)
    fake.now += 3600 - 20
    assert await bearer(credential) == "secret-2"


async def test_a_failure_in_the_background_stops_nothing_else_and_is_not_repeated_at_once(
    fake: Fake, credential: EntraCredential
) -> None:
    await bearer(credential)
    fake.now += 3600 - 200
    fake.failure = ClientAuthenticationError("no")
    for _ in range(3):
        assert await bearer(credential) == "secret-1"
        await settle()
    assert fake.sign_ins == 2
    fake.now += 31
    assert await bearer(credential) == "secret-1"
    await settle()
    assert fake.sign_ins == 3
    fake.now += 150
    with pytest.raises(AuthenticationError, match="signing in as a test failed: no"):
        await bearer(credential)


async def test_a_short_lived_token_is_not_renewed_all_the_time(fake: Fake, credential: EntraCredential) -> None:
    fake.life = 240.0
    for _ in range(3):
        await bearer(credential)
        await settle()
    assert fake.sign_ins == 1


async def test_a_refused_token_is_replaced_unless_that_is_no_use(fake: Fake, credential: EntraCredential) -> None:
    await bearer(credential)
    refusal = AuthenticationError("x")
    refusal.kind = AuthenticationKind.EXPIRED
    assert await credential.refused(refusal, {"Authorization": "Bearer secret-1"})
    assert await bearer(credential) == "secret-2"
    refusal.kind = AuthenticationKind.CLOCK_SKEW
    assert not await credential.refused(refusal, {"Authorization": "Bearer secret-2"})


async def test_calls_whose_token_is_refused_together_are_all_retried_with_one_new_token(
    fake: Fake, credential: EntraCredential
) -> None:
    signed = [await credential.sign(REQUEST, {}) for _ in range(3)]
    refusal = AuthenticationError("x")
    assert await credential.refused(refusal, signed[0])
    assert await credential.refused(refusal, signed[1]), "a token is not there yet"
    assert await bearer(credential) == "secret-2"
    assert await credential.refused(refusal, signed[2]), "a token is there that the service has not seen"
    assert await bearer(credential) == "secret-2"
    assert fake.sign_ins == 2


async def test_a_failed_sign_in_is_not_repeated_for_the_same_call(fake: Fake, credential: EntraCredential) -> None:
    await bearer(credential)
    fake.now += 3600
    fake.failure = ClientAuthenticationError("AADSTS7000215: Invalid client secret provided.")
    async with BatchClient("http://127.0.0.1:9", credential, retry=RetryPolicy(attempts=1)) as client:
        with pytest.raises(AuthenticationError, match="AADSTS7000215"):
            await client.pools.get("p")
    assert fake.sign_ins == 2


async def test_closing_stops_a_sign_in(fake: Fake, credential: EntraCredential) -> None:
    fake.gate.clear()
    waiting = asyncio.create_task(bearer(credential))
    await settle()
    await credential.aclose()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert fake.closed == 1


ENTRA_ERRORS = [
    ("AADSTS700211: No matching federated identity record found for presented assertion issuer 'x'.", "wrong-issuer"),
    (
        "AADSTS700212: No matching federated identity record found for presented assertion audience 'x'.",
        "wrong-audience",
    ),
    ("AADSTS700213: No matching federated identity record found for presented assertion subject 'x'.", "wrong-subject"),
    ("AADSTS700024: Client assertion is not within its valid time range.", "expired"),
    ("AADSTS7000222: The provided client secret keys are expired.", "expired"),
    ("AADSTS7000215: Invalid client secret provided.", "bad-secret"),
    ("AADSTS700016: Application with identifier 'x' was not found.", "unknown-application"),
    ("AADSTS90002: Tenant 'x' not found.", "unknown-tenant"),
    ("AADSTS99: The assertion's audience is wrong.", "wrong-audience"),
    ("The token is expired.", "expired"),
    ("No.", "sign-in-failed"),
]


@pytest.mark.parametrize(("text", "kind"), ENTRA_ERRORS)
def test_a_failed_sign_in_says_why(text: str, kind: str) -> None:
    error = sign_in_error(ClientAuthenticationError(text), "a test")
    assert isinstance(error, AuthenticationError)
    assert error.kind == kind
    assert text.split(":")[0] in str(error)
    assert (error.code or "").startswith("AADSTS") == ("AADSTS" in text)


def test_failures_of_other_kinds() -> None:
    unreachable = sign_in_error(ServiceRequestError("dns"), "a test", "login.example:8443")
    assert isinstance(unreachable, ConnectionFailedError)
    assert unreachable.kind is ConnectionKind.AUTHORITY
    assert str(unreachable) == (
        "login.example:8443, which issues tokens, cannot be reached: check the egress rules and the proxy of the operator, and "
        "its setting `authority` (sign-in as a test)"
    )
    missing = sign_in_error(FileNotFoundError(2, "No such file", "/token"), "a test")
    assert isinstance(missing, AuthenticationError)
    assert "/token" in str(missing)
    unavailable = sign_in_error(CredentialUnavailableError("no managed identity endpoint found"), "a test")
    assert isinstance(unavailable, AuthenticationError)


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ssl.SSLContext]:
    return self_signed(tmp_path_factory.mktemp("tls"))


@pytest.fixture
async def endpoint(tls: tuple[Path, ssl.SSLContext]) -> AsyncIterator[TokenEndpoint]:
    async with token_endpoint(tls[1]) as running:
        yield running


@pytest.fixture
def authority(endpoint: TokenEndpoint, tls: tuple[Path, ssl.SSLContext]) -> Authority:
    return Authority(endpoint.host, ca_file=str(tls[0]))


Make = Callable[[Authority, Path], EntraCredential]


def _workload(authority: Authority, directory: Path) -> EntraCredential:
    file = directory / "token"
    file.write_text("service-account-token")
    return workload_identity(TENANT, CLIENT, file, authority=authority)


def _account(authority: Authority, directory: Path) -> EntraCredential:
    async def assertion() -> str:
        return "service-account-token"

    return service_account(TENANT, CLIENT, assertion, authority=authority)


def _secret(authority: Authority, directory: Path) -> EntraCredential:
    return client_secret(TENANT, CLIENT, "hunter2", authority=authority)


def _certificate(authority: Authority, directory: Path) -> EntraCredential:
    return client_certificate(TENANT, CLIENT, client_pem(), authority=authority)


WAYS: dict[str, Make] = {
    "workload identity": _workload,
    "service account": _account,
    "secret": _secret,
    "certificate": _certificate,
}


@pytest.mark.parametrize("way", WAYS)
async def test_every_way_to_sign_in_reaches_the_token_endpoint(
    way: str, endpoint: TokenEndpoint, authority: Authority, tmp_path: Path
) -> None:
    credential = WAYS[way](authority, tmp_path)
    assert await bearer(credential) == "token-1"
    (asked,) = endpoint.asked
    assert endpoint.paths == [f"/{TENANT}/oauth2/v2.0/token"]
    assert (asked["grant_type"], asked["client_id"], asked["scope"]) == ("client_credentials", CLIENT, BATCH_SCOPE)
    if way == "secret":
        assert asked["client_secret"] == "hunter2"
    elif way == "certificate":
        assert asked["client_assertion"].count(".") == 2
    else:
        assert asked["client_assertion"] == "service-account-token"
    await credential.aclose()


async def test_the_token_file_is_read_again_for_each_sign_in(
    endpoint: TokenEndpoint, authority: Authority, tmp_path: Path
) -> None:
    credential = _workload(authority, tmp_path)
    await bearer(credential)
    (tmp_path / "token").write_text("rotated")
    assert await credential.refused(AuthenticationError("x"), {"Authorization": "Bearer token-1"})
    assert await bearer(credential) == "token-2"
    assert endpoint.asked[1]["client_assertion"] == "rotated"


@pytest.mark.parametrize("way", WAYS)
async def test_a_refusal_names_the_reason_and_no_secret(
    way: str, endpoint: TokenEndpoint, authority: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.INFO, "asyncio")
    endpoint.status = 401
    text = "AADSTS700212: No matching federated identity record found for presented assertion audience 'x'."
    endpoint.error = {"error": "invalid_client", "error_description": f"{text} client_assertion=echoed-assertion"}
    credential = WAYS[way](authority, tmp_path)
    with pytest.raises(AuthenticationError, match="AADSTS700212") as caught:
        await bearer(credential)
    assert caught.value.kind is AuthenticationKind.WRONG_AUDIENCE
    link: BaseException | None = caught.value
    while link is not None:
        shown = repr(link) + str(link) + repr(vars(link))
        for secret in ("hunter2", "service-account-token", "echoed-assertion"):
            assert secret not in shown
        link = link.__cause__ or link.__context__
    assert "hunter2" not in caplog.text
    assert "service-account-token" not in caplog.text
    assert "hunter2" not in repr(credential) + repr(vars(credential))


async def test_an_authority_with_a_foreign_certificate_is_not_trusted(endpoint: TokenEndpoint) -> None:
    credential = client_secret(TENANT, CLIENT, "hunter2", authority=Authority(endpoint.host))
    with pytest.raises(ConnectionFailedError, match=f"^{endpoint.host}, which issues tokens, cannot be reached"):
        await bearer(credential)
    assert endpoint.asked == []


@pytest.mark.parametrize("host", ["http://127.0.0.1:1", "https://x", "a@b", "x/y", ""])
async def test_an_authority_is_a_host_and_always_called_by_https(host: str) -> None:
    with pytest.raises(UsageError, match="host name"):
        await bearer(client_secret(TENANT, CLIENT, "hunter2", authority=Authority(host)))


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b"<html>not a token</html>"),
        (200, b""),
        (200, b'{"token_type": "Bearer"'),
        (200, b'{"token_type": "Bearer", "expires_in": 3600}'),
        (200, b'{"access_token": "x", "expires_in": "soon"}'),
        (400, b"[]"),
        (500, b""),
    ],
)
async def test_an_endpoint_that_answers_nonsense_is_a_failed_sign_in(
    endpoint: TokenEndpoint, authority: Authority, status: int, body: bytes
) -> None:
    endpoint.raw, endpoint.status = body, status
    with pytest.raises(AuthenticationError, match="signing in as service principal"):
        await bearer(client_secret(TENANT, CLIENT, "hunter2", authority=authority))


async def test_an_endpoint_that_hangs_ends_in_time(
    endpoint: TokenEndpoint, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("azure_batch_operator.batch.entra._SIGN_IN_SECONDS", 0.3)
    endpoint.gate.clear()
    with pytest.raises(ConnectionFailedError, match="cannot be reached: check the egress rules") as raised:
        await bearer(client_secret(TENANT, CLIENT, "hunter2", authority=authority))
    assert raised.value.kind is ConnectionKind.AUTHORITY
    endpoint.gate.set()


async def test_a_managed_identity_that_is_not_there_is_told_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    # The identity endpoint of an app host, where nothing listens.
    monkeypatch.setenv("IDENTITY_ENDPOINT", "http://127.0.0.1:9/none")
    monkeypatch.setenv("IDENTITY_HEADER", "x")
    monkeypatch.setattr("azure_batch_operator.batch.entra._SIGN_IN_SECONDS", 0.5)
    credential = managed_identity(CLIENT)
    with pytest.raises(ConnectionFailedError, match="managed identity"):
        await bearer(credential)
    await credential.aclose()


async def test_a_call_whose_time_ends_during_the_sign_in_was_not_sent(fake: Fake, credential: EntraCredential) -> None:
    """A firewall drops packets to the issuer, and a call has less time than a sign-in."""
    unanswered: list[str] = []

    async def script(request: Received, connection: Connection) -> None:
        await connection.answer(202)

    fake.gate.clear()
    async with scripted_server(script) as server, BatchClient(server.url, credential) as client:
        with pytest.raises(ConnectionFailedError, match="which issues tokens, cannot be reached") as raised:
            await client.pools.delete("p", deadline=0.1, on_unanswered=lambda: unanswered.append("p"))
        assert raised.value.kind is ConnectionKind.AUTHORITY
        assert raised.value.operation == "", (
            "the condition of the account has the same words, whichever call was waiting"
        )
        assert may_repeat(raised.value, OPERATIONS["Pools_DeletePool"])
        assert (unanswered, server.received) == ([], [])
        fake.gate.set()
        await client.pools.delete("p")
        assert len(server.received) == 1


async def test_a_call_whose_time_ends_before_the_issuer_is_asked_does_not_blame_it_and_was_not_sent() -> None:
    """Kubernetes issues no token of a ServiceAccount."""
    unanswered: list[str] = []

    async def make() -> Fake:
        await asyncio.Event().wait()
        return Fake()

    credential = EntraCredential(make, "a test")  # type: ignore[arg-type]

    async def script(request: Received, connection: Connection) -> None:
        await connection.answer(202)

    async with scripted_server(script) as server, BatchClient(server.url, credential) as client:
        with pytest.raises(ConnectionFailedError, match="the API server did not issue a token in time") as raised:
            await client.pools.delete("p", deadline=0.1, on_unanswered=lambda: unanswered.append("p"))
        assert raised.value.kind is ConnectionKind.AUTHORITY
        assert (unanswered, server.received) == ([], [])


async def test_a_call_carries_the_token_and_gets_a_new_one_when_it_is_refused(
    endpoint: TokenEndpoint, authority: Authority
) -> None:
    async def script(request: Received, connection: Connection) -> None:
        if request.headers["authorization"] == "Bearer token-2":
            await connection.answer(200, {"id": "p", "state": "active"})
        else:
            await connection.error(401, "AuthenticationFailed", values={"AuthenticationErrorDetail": "It has expired."})

    credential = client_secret(TENANT, CLIENT, "hunter2", authority=authority)
    async with (
        scripted_server(script) as server,
        BatchClient(server.url, credential, retry=RetryPolicy(attempts=1)) as client,
    ):
        assert await client.pools.get("p") == {"id": "p", "state": "active"}
        assert len(server.received) == 2
