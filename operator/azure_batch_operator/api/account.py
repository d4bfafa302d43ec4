"""BatchAccount: where an Azure Batch account is, how to sign in, and who may use it."""

from __future__ import annotations

from typing import Annotated, ClassVar
from urllib.parse import urlsplit

from pydantic import Field, StringConstraints

from azure_batch_operator.api.base import (
    ApiModel,
    NameRef,
    Rule,
    SecretKeyRef,
    Status,
    cel,
    exactly_one_of,
    immutable,
    schema,
)


class SharedKeyAuth(ApiModel):
    """Sign in with the account's access key."""

    secret_ref: SecretKeyRef = Field(
        description="Key of a Secret that holds the access key (base64, as Azure shows it)."
    )


Guid = Annotated[str, StringConstraints(pattern=r"^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$", max_length=36)]


class WorkloadIdentityAuth(ApiModel):
    """Sign in with a federated service-account token."""

    client_id: Guid = Field(
        description="Client id of the application or managed identity with the federated credential."
    )
    tenant_id: Guid = Field(description="Its tenant.")
    service_account_ref: NameRef | None = Field(
        default=None,
        description="ServiceAccount of this namespace whose token is exchanged. If left out it is the operator's own, "
        "which only namespaces may use that the operator's --identity-namespace names.",
    )


class ManagedIdentityAuth(ApiModel):
    """Sign in with a managed identity of the operator's node; only in namespaces that --identity-namespace names."""

    client_id: Guid | None = Field(default=None, description="Which one; the system-assigned one if left out.")


class ClientSecretAuth(ApiModel):
    """Sign in as a service principal with a secret."""

    tenant_id: Guid = Field(description="Tenant of the service principal.")
    client_id: Guid = Field(description="Its client id.")
    secret_ref: SecretKeyRef = Field(description="Key of a Secret that holds the client secret.")


class ClientCertificateAuth(ApiModel):
    """Sign in as a service principal with a certificate."""

    tenant_id: Guid = Field(description="Tenant of the service principal.")
    client_id: Guid = Field(description="Its client id.")
    secret_ref: SecretKeyRef = Field(
        description="Key of a Secret that holds the certificate and its private key as PEM."
    )


_AUTH_KINDS = ("sharedKey", "workloadIdentity", "managedIdentity", "clientSecret", "clientCertificate")


class Auth(ApiModel):
    """How the operator signs in."""

    shared_key: SharedKeyAuth | None = Field(default=None, description="With the account's access key.")
    workload_identity: WorkloadIdentityAuth | None = Field(
        default=None, description="With a token of a Kubernetes ServiceAccount, by Entra workload identity."
    )
    managed_identity: ManagedIdentityAuth | None = Field(
        default=None, description="With a managed identity of the operator's node."
    )
    client_secret: ClientSecretAuth | None = Field(default=None, description="As a service principal with a secret.")
    client_certificate: ClientCertificateAuth | None = Field(
        default=None, description="As a service principal with a certificate."
    )
    rules: ClassVar[tuple[Rule, ...]] = (
        exactly_one_of(_AUTH_KINDS, f"say how to sign in: give exactly one of {', '.join(_AUTH_KINDS)}"),
    )


LabelValue = Annotated[str, StringConstraints(max_length=63)]
LabelName = Annotated[str, StringConstraints(min_length=1, max_length=317)]


class LabelRequirement(ApiModel):
    """A condition on one label."""

    key: LabelName = Field(description="Name of the label.")
    operator: Annotated[str, Field(json_schema_extra={"enum": ["In", "NotIn", "Exists", "DoesNotExist"]})] = Field(
        description="How the label relates to the values."
    )
    values: list[LabelValue] | None = Field(
        default=None, description="The values, for In and NotIn.", json_schema_extra=schema(maxItems=64)
    )
    rules: ClassVar[tuple[Rule, ...]] = (
        cel(
            "self.operator in ['In', 'NotIn'] ? has(self.values) && size(self.values) > 0 : "
            "!has(self.values) || size(self.values) == 0",
            "values are required with In and NotIn, and only there",
            ".values",
        ),
    )


class LabelSelector(ApiModel):
    """Selects by labels, as everywhere in Kubernetes: all parts must hold."""

    match_labels: dict[str, LabelValue] | None = Field(
        default=None, description="Labels with exactly these values.", json_schema_extra=schema(maxProperties=64)
    )
    match_expressions: list[LabelRequirement] | None = Field(
        default=None, description="Conditions on labels.", json_schema_extra=schema(maxItems=16)
    )


class AllowedNamespaces(ApiModel):
    """Which other namespaces may use the account; its own always may."""

    names: list[Annotated[str, StringConstraints(min_length=1, max_length=63)]] | None = Field(
        default=None, description="Their names.", json_schema_extra=schema(maxItems=256, x_kubernetes_list_type="set")
    )
    selector: LabelSelector | None = Field(
        default=None, description="Namespaces with these labels, besides those that are named."
    )
    all: bool | None = Field(default=None, description="Whether every namespace may; false if left out.")


class RateLimit(ApiModel):
    """How much of the account's request budget the operator may use."""

    calls_per_second: Annotated[float, Field(gt=0, le=1000)] | None = Field(
        default=None, description="Calls per second to this account, on average; 50 if left out."
    )
    max_in_flight: Annotated[int, Field(ge=1, le=256)] | None = Field(
        default=None, description="Calls under way at once; 16 if left out."
    )


class AccountSpec(ApiModel):
    """What the user wants."""

    endpoint: Annotated[str, StringConstraints(max_length=1024)] = Field(
        description="URL of the account, for example https://main.westeurope.batch.azure.com; http only for loopback."
    )
    account_name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9]{3,24}$")] | None = Field(
        default=None, description="Name of the account; the first label of the endpoint's host if left out."
    )
    auth: Auth = Field(description="How the operator signs in.")
    allowed_namespaces: AllowedNamespaces | None = Field(
        default=None, description="Other namespaces whose objects may use this account; none if left out."
    )
    rate_limit: RateLimit | None = Field(default=None, description="Bounds on the calls to this account.")
    rules: ClassVar[tuple[Rule, ...]] = (
        cel(
            "self.endpoint.matches('^(https://[A-Za-z0-9.-]+|http://(127[.][0-9.]+|localhost|[[]::1[]]))(:[0-9]+)?/?$')",
            "endpoint must be https://<host>[:port] without a path (http only for loopback), "
            "for example https://main.westeurope.batch.azure.com",
            ".endpoint",
        ),
        cel(
            "has(self.accountName) || !self.endpoint.matches('^https?://([0-9.]+|localhost|[[]::1[]])(:[0-9]+)?/?$')",
            "accountName is required where the endpoint's host does not begin with it",
            ".accountName",
        ),
        immutable("accountName", "create a new BatchAccount"),
    )

    @property
    def account(self) -> str:
        """Name of the account in Azure."""
        return self.account_name or (urlsplit(self.endpoint).hostname or "").partition(".")[0]


class Throttling(ApiModel):
    """How the service holds the operator back."""

    until: Annotated[str, Field(json_schema_extra={"format": "date-time"})] | None = Field(
        default=None, description="No call is made before this time."
    )


class AccountStatus(Status):
    """What the operator knows of the account."""

    account: str | None = Field(default=None, description="Name of the account in Azure.")
    throttling: Throttling | None = Field(
        default=None, description="Present while the service holds the operator back."
    )
