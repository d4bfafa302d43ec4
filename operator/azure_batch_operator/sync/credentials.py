"""Converts `spec.auth` of a BatchAccount to a credential of the Batch client, with the Secret or token that it needs.

A namespace must not be able to borrow the operator's own identity: whoever may create a BatchAccount could name any client id that
is federated with the operator. So the service account of the operator and the managed identity of its node serve only the
namespaces that the operator was told; everybody else names a ServiceAccount of the own namespace.
Azure/azure-service-operator issue 4810 shows what happens otherwise.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from azure_batch_operator.api.account import AccountSpec, WorkloadIdentityAuth
from azure_batch_operator.api.base import SecretKeyRef
from azure_batch_operator.api.resource import Resource
from azure_batch_operator.batch import (
    AuthenticationError,
    AuthenticationKind,
    Credential,
    SharedKey,
)
from azure_batch_operator.batch.entra import (
    Authority,
    client_certificate,
    client_secret,
    managed_identity,
    no_authority,
    service_account,
    workload_identity,
)
from azure_batch_operator.kube.api import Busy, KubeApi, KubeError, NotFound
from azure_batch_operator.kube.tokens import request_token
from azure_batch_operator.kube.values import ValueMissingError, ValueReader

TOKEN_FILE_VARIABLE = "AZURE_FEDERATED_TOKEN_FILE"  # noqa: S105 - the name of a variable
"""Where the workload-identity webhook puts the operator's own token."""
EVERYWHERE = "*"
SHARED_NAME = "azure-batch"
"""The only name of ServiceAccounts that the operator may request tokens for (manifests/components/workload-identity)."""
_FORBIDDEN = 403
_TERMINATING = "because it is being terminated"
"""What the API server says of each creation in a namespace that is being deleted, also of one for which there are rights."""


@dataclass(frozen=True)
class SignIn:
    """How sign-in works in this operator.

    Attributes:
        authority: where Entra tokens come from.
        identity_namespaces: namespaces that may use the operator's own identity; `*` for all.
    """

    authority: Authority
    identity_namespaces: tuple[str, ...]

    def lends_identity(self, namespace: str) -> bool:
        """Whether accounts of a namespace may sign in as the operator itself."""
        return EVERYWHERE in self.identity_namespaces or namespace in self.identity_namespaces


@dataclass(frozen=True)
class Prepared:
    """A credential that can be made, and what tells it from another one.

    Attributes:
        make: makes it; raises `UsageError` if what the Secret holds is no key.
        place: changes when endpoint, account or limits do.
        identity: changes when the way to sign in or its secret does; says nothing of the secret.
        version: of the Secret that was read, as `Values.version` gives it; empty without one.
    """

    make: Callable[[], Credential] = field(repr=False)
    place: str
    identity: str
    version: str = ""


def account_secret(account: Resource) -> str | None:
    """Name of the Secret that a BatchAccount signs in with; None if it does without, or if its spec cannot be read."""
    auth = account.spec.get("auth")
    for way in ("sharedKey", "clientSecret", "clientCertificate"):
        given = auth.get(way) if isinstance(auth, Mapping) else None
        reference = given.get("secretRef") if isinstance(given, Mapping) else None
        if isinstance(reference, Mapping) and reference.get("name"):
            return str(reference["name"])
    return None


async def prepare(api: KubeApi, resource: Resource, spec: AccountSpec, sign_in: SignIn) -> Prepared:
    """Read what signing in takes.

    Raises:
        ValueMissingError: a Secret is missing or wrong, or the operator's identity is not for this namespace.
        KubeError: the API server cannot be asked.
    """
    namespace, auth, authority = resource.key.namespace, spec.auth, sign_in.authority
    secret = version = ""

    async def text_of(way: str, reference: SecretKeyRef) -> str:
        nonlocal version
        # Read again each time: a corrected key must count at once.
        values = ValueReader(api)
        try:
            text = await values.text("Secret", namespace, reference.name, reference.key)
        except ValueMissingError as error:
            raise ValueMissingError(error.reason, f"spec.auth.{way}.secretRef: {error}") from None
        version = await values.version("Secret", namespace, reference.name)
        return text.strip()

    make: Callable[[], Credential]
    if key := auth.shared_key:
        secret = await text_of("sharedKey", key.secret_ref)
        make = partial(SharedKey, spec.account, secret)
    elif principal := auth.client_secret:
        secret = await text_of("clientSecret", principal.secret_ref)
        make = partial(client_secret, principal.tenant_id, principal.client_id, secret, authority=authority)
    elif certificate := auth.client_certificate:
        secret = await text_of("clientCertificate", certificate.secret_ref)
        pem = secret.encode()
        make = partial(client_certificate, certificate.tenant_id, certificate.client_id, pem, authority=authority)
    elif identity := auth.workload_identity:
        make = _workload_identity(api, namespace, identity, sign_in)
    elif managed := auth.managed_identity:
        _check_identity(sign_in, namespace, "choose another method in spec.auth")
        make = partial(managed_identity, managed.client_id)
    else:
        raise ValueMissingError("SignInMissing", "spec.auth names no sign-in method: add one")
    place = f"{spec.endpoint}\0{spec.account}\0{spec.rate_limit!r}\0{spec.polling!r}\0{resource.uid}"
    return Prepared(make, place, hashlib.sha256(f"{auth!r}\0{secret}".encode()).hexdigest(), version)


def _workload_identity(
    api: KubeApi, namespace: str, identity: WorkloadIdentityAuth, sign_in: SignIn
) -> Callable[[], Credential]:
    """With a token of the account's own ServiceAccount, or with the operator's where that is allowed."""
    if reference := identity.service_account_ref:
        token = partial(_token_of, api, namespace, reference.name)
        return partial(service_account, identity.tenant_id, identity.client_id, token, authority=sign_in.authority)
    _check_identity(sign_in, namespace, "name a ServiceAccount of this namespace in serviceAccountRef")
    file = os.environ.get(TOKEN_FILE_VARIABLE)
    if not file:
        raise ValueMissingError(
            "IdentityNotConfigured",
            f"the operator has no federated token ({TOKEN_FILE_VARIABLE} is not set): set up workload identity for "
            "its ServiceAccount, or name another one in spec.auth.workloadIdentity.serviceAccountRef",
        )
    return partial(workload_identity, identity.tenant_id, identity.client_id, file, authority=sign_in.authority)


def _check_identity(sign_in: SignIn, namespace: str, remedy: str) -> None:
    if not sign_in.lends_identity(namespace):
        raise ValueMissingError(
            "IdentityNotAllowed",
            f"accounts of namespace {namespace!r} may not use the operator's own identity: {remedy}, or start the operator "
            f"with --identity-namespace={namespace} (in the chart: workloadIdentity.namespaces)",
        )


async def _token_of(api: KubeApi, namespace: str, name: str) -> str:
    try:
        return await request_token(api, namespace, name)
    except Busy as error:
        # Neither is Azure Batch busy, nor was anything sent that it could have executed.
        raise no_authority(
            f"the API server does not issue a token of ServiceAccount {namespace}/{name} now: {error}. The operator retries this "
            "automatically"
        ) from None
    except KubeError as error:
        raise _no_token(namespace, name, error) from None


def _no_token(namespace: str, name: str, error: KubeError) -> AuthenticationError:
    """Why Kubernetes issued no token of a ServiceAccount, and what to do; neither Entra nor Azure Batch was asked."""
    who = f"{namespace}/{name}"
    kind = AuthenticationKind.TOKEN_REQUEST_FORBIDDEN
    if isinstance(error, NotFound):
        kind = AuthenticationKind.NO_SERVICE_ACCOUNT
        text = f"ServiceAccount {who} does not exist: create it, or correct serviceAccountRef in spec.auth"
    elif error.status == _FORBIDDEN and _TERMINATING in str(error):
        kind = AuthenticationKind.NAMESPACE_TERMINATING
        text = (
            f"namespace {namespace} is being deleted, so Kubernetes issues no token of ServiceAccount {who}: delete the pools and "
            "jobs in Azure Batch, then annotate the objects with azurebatch.io/force-finalize=true"
        )
    elif error.status != _FORBIDDEN:
        kind = AuthenticationKind.TOKEN_REQUEST_FAILED
        text = f"the API server issues no token of ServiceAccount {who}: correct what it says"
    elif name != SHARED_NAME:
        text = (
            f"the operator may not request tokens for {who}, but only for ServiceAccounts named {SHARED_NAME}: "
            f"name {SHARED_NAME!r} in serviceAccountRef of spec.auth"
        )
    else:
        text = (
            f"the operator may not request tokens for {who}: set namespaceIdentities.enabled=true in the chart, "
            "or apply the kustomize component workload-identity"
        )
    refusal = AuthenticationError(f"{text} ({error})")
    refusal.kind = kind
    return refusal
