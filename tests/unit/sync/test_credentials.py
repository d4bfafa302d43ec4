"""Whose identity an account may use: its namespace's Secrets and ServiceAccounts, the operator's own only where that is allowed."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from azure_batch_operator.api.account import AccountSpec
from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.batch import AuthenticationError, ConnectionFailedError
from azure_batch_operator.batch.entra import Authority
from azure_batch_operator.batch.errors import unanswered
from azure_batch_operator.kube.api import Busy, Invalid, KubeError, NotFound
from azure_batch_operator.kube.values import ValueMissingError
from azure_batch_operator.reconcile.account.problems import account_problem
from azure_batch_operator.sync.credentials import SignIn, prepare
from unit.objects import resource

KEY = base64.b64encode(b"key of an account").decode()
ENDPOINT = "https://acc.westeurope.batch.azure.com"
IDENTITIES = {"tenantId": "00000000-0000-0000-0000-000000000001", "clientId": "00000000-0000-0000-0000-000000000002"}
OPERATORS_OWN = [{"managedIdentity": {}}, {"workloadIdentity": IDENTITIES}]


class ApiServer:
    """Has every Secret and every token that it is asked for, and knows what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def request(self, method: str, path: str, **_: Any) -> dict[str, Any]:
        """Any request."""
        self.asked.append(f"{method} {path}")
        encoded = base64.b64encode(KEY.encode()).decode()
        return {
            "metadata": {"uid": "u", "resourceVersion": "1"},
            "data": {"key": encoded},
            "status": {"token": "a.b.c"},
        }


async def prepared(auth: dict[str, Any], api: ApiServer, namespaces: tuple[str, ...] = ()) -> Any:
    """The credential of an account in the namespace `default`."""
    spec = {"endpoint": ENDPOINT, "auth": auth}
    account = resource(Kind.ACCOUNT, spec, name="main")
    sign_in = SignIn(Authority(), namespaces)
    return await prepare(api, account, AccountSpec.model_validate(spec), sign_in)  # type: ignore[arg-type]


@pytest.mark.parametrize("auth", OPERATORS_OWN)
@pytest.mark.parametrize("namespaces", [(), ("team",), ("defaul", "default2", "")])
async def test_the_operators_own_identity_is_lent_to_nobody_who_was_not_named(
    auth: dict[str, Any], namespaces: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", "/token")
    with pytest.raises(ValueMissingError, match="may not use the operator's own identity") as refused:
        await prepared(auth, ApiServer(), namespaces)
    assert refused.value.reason == "IdentityNotAllowed"


@pytest.mark.parametrize("auth", OPERATORS_OWN)
@pytest.mark.parametrize("namespaces", [("default",), ("*",)])
async def test_it_is_lent_where_that_was_said(
    auth: dict[str, Any], namespaces: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", "/token")
    assert (await prepared(auth, ApiServer(), namespaces)).make() is not None


@pytest.mark.parametrize("more", [{}, {"namespace": "team"}])
async def test_secrets_are_those_of_the_accounts_own_namespace(more: dict[str, Any]) -> None:
    """A namespace in a reference means nothing; tests/unit/kube/test_paths.py has names that hold a path."""
    api = ApiServer()
    await prepared({"sharedKey": {"secretRef": {"name": "s", "key": "key"} | more}}, api)
    assert api.asked == ["GET /api/v1/namespaces/default/secrets/s"]


async def test_tokens_are_of_the_accounts_own_namespace() -> None:
    api = ApiServer()
    found = await prepared({"workloadIdentity": IDENTITIES | {"serviceAccountRef": {"name": "azure-batch"}}}, api)
    credential = found.make()
    await credential._make()
    assert api.asked == ["POST /api/v1/namespaces/default/serviceaccounts/azure-batch/token"]
    await credential.aclose()


class Refusing(ApiServer):
    """Answers every request with an error."""

    def __init__(self, error: KubeError) -> None:
        super().__init__()
        self.error = error

    async def request(self, method: str, path: str, **_: Any) -> dict[str, Any]:
        """Any request."""
        raise self.error


FORBIDDEN = KubeError("serviceaccounts is forbidden", 403)


@pytest.mark.parametrize(
    ("name", "error", "reason", "message"),
    [
        (
            "azure-batch",
            FORBIDDEN,
            "TokenRequestForbidden",
            (
                "the operator may not request tokens for default/azure-batch: set namespaceIdentities.enabled=true in the chart, "
                "or apply the kustomize component workload-identity (serviceaccounts is forbidden)"
            ),
        ),
        (
            "mine",
            FORBIDDEN,
            "TokenRequestForbidden",
            (
                "the operator may not request tokens for default/mine, but only for ServiceAccounts named azure-batch: name "
                "'azure-batch' in serviceAccountRef of spec.auth (serviceaccounts is forbidden)"
            ),
        ),
        (
            "azure-batch",
            KubeError("unable to create new content in namespace default because it is being terminated", 403),
            "NamespaceTerminating",
            (
                "namespace default is being deleted, so Kubernetes issues no token of ServiceAccount default/azure-batch: delete "
                "the pools and jobs in Azure Batch, then annotate the objects with azurebatch.io/force-finalize=true (unable to "
                "create new content in namespace default because it is being terminated)"
            ),
        ),
        (
            "azure-batch",
            NotFound("not found", 404),
            "ServiceAccountNotFound",
            (
                "ServiceAccount default/azure-batch does not exist: create it, or correct serviceAccountRef in spec.auth "
                "(not found)"
            ),
        ),
        (
            "azure-batch",
            Invalid("may not expire so late", 422),
            "TokenRequestFailed",
            (
                "the API server issues no token of ServiceAccount default/azure-batch: correct what it says "
                "(may not expire so late)"
            ),
        ),
    ],
    ids=["no-right", "another-name", "terminating", "missing", "invalid"],
)
async def test_a_token_that_kubernetes_does_not_issue(name: str, error: KubeError, reason: str, message: str) -> None:
    """Azure Batch was not asked, so nothing is said of it."""
    auth = {"workloadIdentity": IDENTITIES | {"serviceAccountRef": {"name": name}}}
    credential = (await prepared(auth, Refusing(error))).make()
    with pytest.raises(AuthenticationError) as refused:
        await credential._make()
    spec = AccountSpec.model_validate({"endpoint": ENDPOINT, "auth": auth})
    assert account_problem(refused.value, spec.auth, spec.endpoint) == (reason, message)
    await credential.aclose()


async def test_an_api_server_that_is_busy_is_not_azure_batch_that_throttles() -> None:
    """Nothing was sent to Azure Batch, so no call is in doubt, and no rate is lowered."""
    auth = {"workloadIdentity": IDENTITIES | {"serviceAccountRef": {"name": "azure-batch"}}}
    credential = (await prepared(auth, Refusing(Busy("too many requests", 429)))).make()
    with pytest.raises(ConnectionFailedError) as refused:
        await credential._make()
    assert not unanswered(refused.value)
    assert account_problem(
        refused.value, AccountSpec.model_validate({"endpoint": ENDPOINT, "auth": auth}).auth, ENDPOINT
    ) == (
        "AuthorityUnreachable",
        (
            "the API server does not issue a token of ServiceAccount default/azure-batch now: too many requests. The operator "
            "retries this automatically"
        ),
    )
    await credential.aclose()


async def test_no_key_shows_in_what_was_prepared() -> None:
    found = await prepared({"sharedKey": {"secretRef": {"name": "s", "key": "key"}}}, ApiServer())
    assert KEY not in repr(found)
    assert KEY not in repr(vars(found.make()))
