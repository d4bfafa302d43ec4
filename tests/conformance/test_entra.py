"""Signing in with tokens: over TLS, from the emulator's own token endpoint, with the official identity library."""

from __future__ import annotations

import json
import ssl
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from azure.batch import BatchClient
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError
from azure.identity import ClientSecretCredential, WorkloadIdentityCredential
from cryptography.hazmat.primitives.asymmetric import rsa

from azure_batch_emulator import EmulatorConfig
from support.batch_bodies import POOL_BODY, make_pool
from support.emulator_thread import EmulatorThread, wait_until

TENANT, CLIENT = "11111111-2222-3333-4444-555555555555", "66666666-7777-8888-9999-000000000000"
ISSUER, SUBJECT = "https://kubernetes.default.svc", "system:serviceaccount:azure-batch-operator:operator"
AUDIENCE = "https://batch.core.windows.net/"


@pytest.fixture(scope="module")
def secure() -> Iterator[EmulatorThread]:
    with EmulatorThread(EmulatorConfig(port=0, tls_port=0, time_scale=200.0)) as emulator:
        yield emulator


@pytest.fixture(scope="module")
def issuer_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def register(emulator: EmulatorThread, **properties: Any) -> None:
    emulator.admin("DELETE", "identities")
    emulator.admin("POST", "identities", {"tenantId": TENANT, "clientId": CLIENT} | properties)


def options(emulator: EmulatorThread) -> dict[str, Any]:
    return {
        "authority": emulator.tls_endpoint,
        "disable_instance_discovery": True,
        "connection_verify": emulator.ca_file,
    }


def with_secret(emulator: EmulatorThread, secret: str) -> ClientSecretCredential:
    return ClientSecretCredential(TENANT, CLIENT, secret, **options(emulator))


def batch(emulator: EmulatorThread, credential: Any) -> BatchClient:
    return BatchClient(emulator.tls_endpoint, credential, connection_verify=emulator.ca_file)


def test_a_client_secret(secure: EmulatorThread) -> None:
    register(secure, secret="s3cret")
    with with_secret(secure, "s3cret") as credential, batch(secure, credential) as client:
        make_pool(client, nodes=0)
        (pool,) = client.list_pools()
        assert pool.url == f"{secure.tls_endpoint}/pools/pool"
    with with_secret(secure, "wrong") as credential, batch(secure, credential) as client:
        with pytest.raises(ClientAuthenticationError) as caught:
            list(client.list_pools())
        assert "AADSTS7000215" in str(caught.value)


def test_a_reader_may_not_write(secure: EmulatorThread) -> None:
    register(secure, secret="s3cret", role="reader")
    with with_secret(secure, "s3cret") as credential, batch(secure, credential) as client:
        list(client.list_jobs())
        with pytest.raises(HttpResponseError) as caught:
            client.delete_job("any")
        assert (caught.value.status_code, caught.value.error.code) == (403, "InsufficientAccountPermissions")


def assertion(key: rsa.RSAPrivateKey, **changes: Any) -> str:
    now = int(time.time())
    claims = {"iss": ISSUER, "sub": SUBJECT, "aud": ["api://AzureADTokenExchange"], "iat": now, "exp": now + 600}
    return jwt.encode(claims | changes, key, algorithm="RS256", headers={"kid": "k1"})


def federation(key: rsa.RSAPrivateKey) -> dict[str, Any]:
    public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key()))
    return {
        "issuer": ISSUER,
        "subject": SUBJECT,
        "jwks": {"keys": [public | {"kid": "k1", "use": "sig", "alg": "RS256"}]},
    }


def test_workload_identity(secure: EmulatorThread, issuer_key: rsa.RSAPrivateKey, tmp_path: Path) -> None:
    register(secure, federation=federation(issuer_key))
    file = tmp_path / "token"
    file.write_text(assertion(issuer_key))
    credential = WorkloadIdentityCredential(
        tenant_id=TENANT, client_id=CLIENT, token_file_path=str(file), **options(secure)
    )
    with credential, batch(secure, credential) as client:
        assert list(client.list_jobs()) == []


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"sub": "system:serviceaccount:other:operator"}, "AADSTS700213"),
        ({"iss": "https://elsewhere"}, "AADSTS700211"),
        ({"aud": ["kubernetes"]}, "AADSTS700212"),
        ({"exp": 1}, "AADSTS700024"),
    ],
)
def test_assertions_that_are_not_trusted(
    secure: EmulatorThread, issuer_key: rsa.RSAPrivateKey, tmp_path: Path, changes: dict[str, Any], code: str
) -> None:
    register(secure, federation=federation(issuer_key))
    file = tmp_path / "token"
    file.write_text(assertion(issuer_key, **changes))
    credential = WorkloadIdentityCredential(
        tenant_id=TENANT, client_id=CLIENT, token_file_path=str(file), **options(secure)
    )
    with credential, pytest.raises(ClientAuthenticationError) as caught:
        credential.get_token("https://batch.core.windows.net//.default")
    assert code in str(caught.value)


def test_a_foreign_key_is_not_trusted(secure: EmulatorThread, issuer_key: rsa.RSAPrivateKey, tmp_path: Path) -> None:
    register(secure, federation=federation(issuer_key))
    file = tmp_path / "token"
    file.write_text(assertion(rsa.generate_private_key(public_exponent=65537, key_size=2048)))
    credential = WorkloadIdentityCredential(
        tenant_id=TENANT, client_id=CLIENT, token_file_path=str(file), **options(secure)
    )
    with credential, pytest.raises(ClientAuthenticationError):
        credential.get_token("https://batch.core.windows.net//.default")


def call(emulator: EmulatorThread, token: str) -> tuple[int, dict[str, Any]]:
    url = f"{emulator.tls_endpoint}/pools?api-version=2024-07-01.20.0"
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})  # noqa: S310
    context = ssl.create_default_context(cafile=emulator.ca_file)
    try:
        with urllib.request.urlopen(request, context=context) as response:  # noqa: S310
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_tokens_that_are_not_for_batch(secure: EmulatorThread, issuer_key: rsa.RSAPrivateKey) -> None:
    register(secure, secret="s3cret")
    with with_secret(secure, "s3cret") as credential:
        good = credential.get_token("https://batch.core.windows.net//.default").token
        misdirected = credential.get_token("https://batch.core.windows.net/.default").token
    assert call(secure, good)[0] == 200
    status, error = call(secure, misdirected)
    assert (status, error["code"]) == (403, "AuthenticationFailed")
    assert "including forward slash" in error["values"][0]["value"]
    forged = jwt.encode({"aud": AUDIENCE, "tid": TENANT, "appid": CLIENT}, issuer_key, algorithm="RS256")
    for token in (forged, good[:-4] + "AAAA", "nonsense"):
        status, error = call(secure, token)
        assert (status, error["code"]) == (403, "AuthenticationFailed")
        assert token not in json.dumps(error)


def test_the_configuration_document(secure: EmulatorThread) -> None:
    context = ssl.create_default_context(cafile=secure.ca_file)
    url = f"{secure.tls_endpoint}/{TENANT}/v2.0/.well-known/openid-configuration"
    with urllib.request.urlopen(url, context=context) as response:  # noqa: S310
        document = json.load(response)
    with urllib.request.urlopen(document["jwks_uri"], context=context) as response:  # noqa: S310
        assert json.load(response)["keys"][0]["alg"] == "RS256"
    plain = f"{secure.endpoint}/{TENANT}/v2.0/.well-known/openid-configuration"
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(plain)  # noqa: S310
    caught.value.close()


def test_nodes_trust_the_authority_of_the_emulator(secure: EmulatorThread) -> None:
    """A task reaches the TLS endpoint as it reaches any other: with what its libraries trust by default."""
    put = urllib.request.Request(f"{secure.endpoint}/storage/c/in.txt", b"from storage", method="PUT")  # noqa: S310
    urllib.request.urlopen(put).close()  # noqa: S310
    url = f"{secure.tls_endpoint}/storage/c/in.txt"
    script = f"import urllib.request; print(urllib.request.urlopen('{url}').read().decode())"
    assert secure.call("POST", "/pools", POOL_BODY | {"id": "trusting"})[0] == 201
    assert secure.call("POST", "/jobs", {"id": "job", "poolInfo": {"poolId": "trusting"}})[0] == 201
    task = {
        "id": "t",
        "commandLine": f"/bin/sh -c 'cat in.txt && {sys.executable} -c \"{script.replace(chr(39), chr(92) + chr(34))}\"'",
        "resourceFiles": [{"httpUrl": url, "filePath": "in.txt"}],
    }
    assert secure.call("POST", "/jobs/job/tasks", task)[0] == 201

    def done() -> dict[str, Any] | None:
        found: dict[str, Any] = json.loads(secure.call("GET", "/jobs/job/tasks/t")[2])
        return found if found["state"] == "completed" else None

    assert wait_until(done, "completed")["executionInfo"].get("exitCode") == 0, done()
    assert secure.call("GET", "/jobs/job/tasks/t/files/stdout.txt")[2] == b"from storagefrom storage\n"
