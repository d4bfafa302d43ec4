"""Every other way for an account to sign in, through the operator: client secret, certificate, its own and managed identities."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from e2e.conftest import Stage, job, pool, thing
from e2e.test_workload_identity import CLIENT, TENANT, account, sign_in_options, trust
from stage import NAMESPACE, SERVICE_ACCOUNT, Operator, Pod
from support.authorities import client_pem


@pytest.fixture
def entra(make_stage: Callable[..., Stage]) -> Stage:
    return make_stage("--tls-port=0", arguments=sign_in_options)


def register(stage: Stage, **identity: Any) -> None:
    stage.emulator.admin("POST", "identities", {"tenantId": TENANT, "clientId": CLIENT} | identity)


def principal(stage: Stage, kind: str, **fields: Any) -> dict[str, Any]:
    auth = {kind: fields}
    return thing(
        "BatchAccount", "main", endpoint=stage.emulator.endpoint, accountName=stage.emulator.account, auth=auth
    )


def secret(name: str, text: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {"value": text}}


def runs_a_job(stage: Stage) -> None:
    stage.wait("bacc", "main", "Ready")
    stage.apply(pool("cpu"), job("own", tasks=[{"id": "a", "commandLine": "true"}]))
    stage.wait("bj", "own", "Complete")


SERVICE_PRINCIPAL = {"tenantId": TENANT, "clientId": CLIENT, "secretRef": {"name": "principal", "key": "value"}}


def test_a_client_secret_and_its_rotation(entra: Stage) -> None:
    register(entra, secret="wrong-for-now-7f3a")
    entra.apply(secret("principal", "right-later-91bc"), principal(entra, "clientSecret", **SERVICE_PRINCIPAL))
    entra.until(lambda: entra.condition("bacc", "main").get("reason") == "TokenRefused", "Entra gives no token")
    register(entra, secret="right-later-91bc")
    entra.kubectl("annotate", "bacc/main", "note=again")
    runs_a_job(entra)
    everything = entra.kubectl("get", "bacc,events", "-o", "json") + entra.operator.log.read_text()
    assert "right-later-91bc" not in everything


def test_a_client_certificate(entra: Stage) -> None:
    pem = client_pem().decode()
    register(entra, certificate=pem[pem.index("-----BEGIN CERTIFICATE") :])
    entra.apply(secret("principal", pem), principal(entra, "clientCertificate", **SERVICE_PRINCIPAL))
    runs_a_job(entra)


def test_a_role_that_is_missing(entra: Stage) -> None:
    register(entra, secret="s", role="none")
    entra.apply(secret("principal", "s"), principal(entra, "clientSecret", **SERVICE_PRINCIPAL))
    wanted = "InsufficientAccountPermissions"
    entra.until(lambda: entra.condition("bacc", "main").get("reason") == wanted, "the role is missing")
    assert "Azure Batch Data Contributor" in entra.condition("bacc", "main")["message"]


def lent(stage: Stage, folder: Path, **environment: str) -> None:
    """Start the operator again with an identity that it lends to the test's namespace."""
    stage.operator.stop()
    pod = replace(Pod(NAMESPACE, SERVICE_ACCOUNT, ("run",), {}), environment=environment)
    options = (*stage.arguments, f"--identity-namespace={stage.namespace}")
    stage.operator = Operator.start(stage.cluster, folder / "lending", arguments=options, pod=pod)
    stage.started.append(stage.operator)


def test_the_operators_own_workload_identity(entra: Stage, tmp_path: Path) -> None:
    trust(entra.cluster, entra.emulator, NAMESPACE, subject=f"system:serviceaccount:{NAMESPACE}:{SERVICE_ACCOUNT}")
    token = tmp_path / "federated-token"
    token.write_text(entra.cluster.token_for(NAMESPACE, SERVICE_ACCOUNT, audiences=["api://AzureADTokenExchange"]))
    lent(entra, tmp_path, AZURE_FEDERATED_TOKEN_FILE=str(token))
    entra.apply(account(entra))
    runs_a_job(entra)


def test_a_managed_identity(entra: Stage, tmp_path: Path) -> None:
    register(entra, managed=True)
    # Where a machine in Azure has its metadata service; here it is the emulator.
    lent(entra, tmp_path, AZURE_POD_IDENTITY_AUTHORITY_HOST=entra.emulator.endpoint)
    entra.apply(principal(entra, "managedIdentity", clientId=CLIENT))
    runs_a_job(entra)
