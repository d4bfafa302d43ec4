"""Workload identity end to end: a ServiceAccount's token from the real API server, exchanged at the emulator's token endpoint."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from azure_batch_operator.batch import AuthenticationError, BatchClient
from azure_batch_operator.batch.entra import Authority, service_account
from azure_batch_operator.kube.tokens import AUDIENCE
from e2e.conftest import Stage, job, pool, thing
from localcluster import LocalCluster
from stage import REPOSITORY, Emulator

TENANT, CLIENT = "11111111-2222-3333-4444-555555555555", "66666666-7777-8888-9999-000000000000"
NAME = "azure-batch"


def authority(emulator: Emulator) -> str:
    assert emulator.tls_endpoint
    return emulator.tls_endpoint.removeprefix("https://")


def sign_in_options(emulator: Emulator) -> tuple[str, ...]:
    return (f"--authority={authority(emulator)}", f"--authority-ca-file={emulator.ca_file}")


def trust(cluster: LocalCluster, emulator: Emulator, namespace: str, **changes: Any) -> None:
    """Federate the ServiceAccount of a namespace with an application, as one does in Entra ID."""
    keys = json.loads(cluster.kubectl("get", "--raw", "/openid/v1/jwks").stdout)
    federation = {"issuer": cluster.url, "subject": f"system:serviceaccount:{namespace}:{NAME}", "jwks": keys} | changes
    identity = {"tenantId": TENANT, "clientId": CLIENT, "role": "contributor", "federation": federation}
    emulator.admin("POST", "identities", identity)


@pytest.fixture
def entra(make_stage: Callable[..., Stage]) -> Stage:
    stage = make_stage("--tls-port=0", arguments=sign_in_options)
    stage.kubectl("create", "serviceaccount", NAME)
    return stage


@pytest.fixture
def may_make_tokens(installed: LocalCluster) -> Iterator[None]:
    rights = str(REPOSITORY / "manifests" / "components" / "workload-identity" / "rbac.yaml")
    installed.kubectl("apply", "-f", rights)
    yield
    installed.kubectl("delete", "-f", rights)


def account(stage: Stage, **identity: Any) -> dict[str, Any]:
    auth = {"workloadIdentity": {"tenantId": TENANT, "clientId": CLIENT} | identity}
    return thing(
        "BatchAccount", "main", endpoint=stage.emulator.endpoint, accountName=stage.emulator.account, auth=auth
    )


@pytest.mark.usefixtures("may_make_tokens")
def test_a_job_runs_without_any_key(entra: Stage) -> None:
    trust(entra.cluster, entra.emulator, entra.namespace)
    entra.apply(account(entra, serviceAccountRef={"name": NAME}), pool("cpu"))
    entra.wait("bacc", "main", "Ready")
    entra.apply(job("own", tasks=[{"id": "a", "commandLine": "true"}]))
    entra.wait("bj", "own", "Complete")


def test_without_the_right_to_make_tokens_the_account_says_so(entra: Stage) -> None:
    entra.apply(account(entra, serviceAccountRef={"name": NAME}))
    entra.until(lambda: entra.condition("bacc", "main", "Stalled"), "the account stalls")
    assert entra.condition("bacc", "main")["reason"] == "TokenRequestForbidden"
    message = entra.condition("bacc", "main")["message"]
    assert message.startswith(
        f"the operator may not request tokens for {entra.namespace}/{NAME}: set namespaceIdentities"
    )
    assert "forbidden" in message


def test_nobody_borrows_the_operators_own_identity(entra: Stage) -> None:
    entra.apply(account(entra))
    entra.until(lambda: entra.condition("bacc", "main").get("reason") == "IdentityNotAllowed", "it is refused")
    message = entra.condition("bacc", "main")["message"]
    assert f"--identity-namespace={entra.namespace}" in message
    assert "serviceAccountRef" in message


@pytest.mark.parametrize(
    ("audiences", "changes", "words"),
    [
        (["https://wrong.example"], {}, "audience"),
        ([AUDIENCE], {"issuer": "https://other-cluster.example"}, "issuer"),
        ([AUDIENCE], {"subject": "system:serviceaccount:other:azure-batch"}, "subject"),
    ],
)
async def test_a_token_that_is_not_the_right_one_is_refused_and_the_error_says_why(
    entra: Stage, audiences: list[str], changes: dict[str, Any], words: str
) -> None:
    trust(entra.cluster, entra.emulator, entra.namespace, **changes)
    token = entra.cluster.token_for(entra.namespace, NAME, audiences=audiences)
    with pytest.raises(AuthenticationError) as caught:
        await _list_pools(entra.emulator, token)
    assert words in str(caught.value).lower()
    assert token not in str(caught.value)


async def test_an_expired_token_is_refused_and_the_error_says_so(entra: Stage) -> None:
    trust(entra.cluster, entra.emulator, entra.namespace)
    token = entra.cluster.token_for(entra.namespace, NAME, audiences=[AUDIENCE], expiration=600)
    entra.emulator.admin("POST", "clock", {"skewSeconds": 4000})
    with pytest.raises(AuthenticationError) as caught:
        await _list_pools(entra.emulator, token)
    assert "expired" in str(caught.value).lower()


async def _list_pools(emulator: Emulator, token: str) -> list[Any]:
    async def assertion() -> str:
        return token

    credential = service_account(TENANT, CLIENT, assertion, authority=Authority(authority(emulator), emulator.ca_file))
    async with BatchClient(emulator.endpoint, credential) as client:
        return [pool async for pool in client.pools.list()]
