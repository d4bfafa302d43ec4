"""Calls to Azure Batch from the user's own machine: with the credentials of the account, where the user may read its Secret.

Never with more than the user has: without that right it says so, and `by_operation` has the operator read files.
For an account without a Secret, whose identity only the operator has, the user signs in with the Azure CLI.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from azure.core.credentials_async import AsyncSupportsTokenInfo
from azure.identity.aio import AzureCliCredential
from kubernetes.aio.client.exceptions import ApiException
from pydantic import ValidationError

from azure_batch_kubectl import objects
from azure_batch_kubectl.cluster import Cluster, refusal
from azure_batch_kubectl.failure import FailureError
from azure_batch_kubectl.objects import Object
from azure_batch_operator.api.account import AccountSpec
from azure_batch_operator.api.base import SecretKeyRef
from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.batch import AuthenticationError, BatchClient, Credential, RetryPolicy, SharedKey
from azure_batch_operator.batch.entra import EntraCredential, client_certificate, client_secret

OPERATION_WAY = (
    "let the operator make the call: create a BatchOperation with listFiles or readFile (docs/batch-operations.md)"
)


class NoCredentialsError(FailureError):
    """The account's credentials are not for the user; the operator may still make the call for him."""

    def __init__(self, cause: str, joint: str = ": ") -> None:
        super().__init__(f"{cause}{joint}{OPERATION_WAY}")
        self.cause = cause


_CLI_SECONDS = 30
_RETRY = RetryPolicy(attempts=4, base=0.2, cap=2.0, deadline=20.0)
"""Somebody waits: an outage is to be said soon, and reading continues as soon as it is over."""


def secret_of(account: Object) -> SecretKeyRef | None:
    """Where the account's credentials are; None if it signs in without a Secret, as a workload or managed identity."""
    auth = _spec(account).auth
    for way in (auth.shared_key, auth.client_secret, auth.client_certificate):
        if way is not None:
            return way.secret_ref
    return None


def own_credential(account: Object) -> Credential:
    """The user's own sign-in with the Azure CLI.

    Raises:
        FailureError: the token would be sent without encryption.
    """
    endpoint = _spec(account).endpoint
    if not endpoint.startswith("https://"):
        raise FailureError(f"{_who(account)}: your token is not sent to {endpoint}: use an endpoint with https")

    async def make() -> AsyncSupportsTokenInfo:
        return AzureCliCredential(process_timeout=_CLI_SECONDS)

    return EntraCredential(make, "the user of the Azure CLI")


def _who(account: Object) -> str:
    return f"BatchAccount {objects.namespace(account)}/{objects.name(account)}"


def credential_of(account: Object, secret: str) -> Credential:
    """The credential that the text in the Secret makes."""
    spec = _spec(account)
    if principal := spec.auth.client_secret:
        return client_secret(principal.tenant_id, principal.client_id, secret)
    if certificate := spec.auth.client_certificate:
        return client_certificate(certificate.tenant_id, certificate.client_id, secret.encode())
    return SharedKey(spec.account, secret)


def _spec(account: Object) -> AccountSpec:
    try:
        return AccountSpec.model_validate(objects.spec(account))
    except ValidationError:
        raise FailureError(f"BatchAccount {objects.name(account)} has an invalid spec: correct it") from None


async def _secret_text(cluster: Cluster, namespace: str, reference: SecretKeyRef) -> str:
    who = f"Secret {namespace}/{reference.name}"
    try:
        data = await cluster.secret(namespace, reference.name)
    except ApiException as error:
        if error.status == 403:
            raise NoCredentialsError(f"you may not read the credentials in {who}") from None
        raise FailureError(f"{who}: {refusal(error)}") from None
    try:
        return base64.b64decode(data[reference.key]).decode().strip()
    except KeyError:
        raise FailureError(f"{who} has no key {reference.key!r}: correct the BatchAccount or the Secret") from None
    except UnicodeDecodeError:
        raise FailureError(f"the key {reference.key!r} of {who} is not text: correct the Secret") from None


@asynccontextmanager
async def signed_in(cluster: Cluster, place: tuple[str, str]) -> AsyncIterator[BatchClient]:
    """A client of an account, by namespace and name of the BatchAccount.

    Raises:
        FailureError: its credentials are not for the user.
    """
    namespace, name = place
    try:
        account = await cluster.get(Kind.ACCOUNT, name, namespace)
    except ApiException as error:
        if error.status == 403:
            raise NoCredentialsError(f"you may not read BatchAccount {namespace}/{name}") from None
        raise
    reference = secret_of(account)
    if reference is not None:
        credential = credential_of(account, await _secret_text(cluster, namespace, reference))
    else:
        credential = own_credential(account)
    async with BatchClient(_spec(account).endpoint, credential, retry=_RETRY) as client:
        try:
            yield client
        except AuthenticationError as error:
            if reference is not None:
                raise
            raise NoCredentialsError(
                f"{_who(account)} signs in without a Secret, so you sign in yourself, and that failed: {error}: run az login as "
                "a user with a role on the Batch account",
                joint=", or ",
            ) from None
