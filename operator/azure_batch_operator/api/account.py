"""BatchAccount: where an Azure Batch account is, how to sign in, and who may use it."""

from __future__ import annotations

from typing import Annotated, ClassVar
from urllib.parse import urlsplit

from pydantic import Field, StringConstraints

from azure_batch_operator.api.base import (
    ApiModel,
    Duration,
    NameRef,
    Rule,
    SecretKeyRef,
    Status,
    cel,
    exactly_one_of,
    immutable,
    many,
    one_of,
    optional,
    schema,
)
from azure_batch_operator.api.job_body import NOT_NO_TASKS, JobConstraints
from azure_batch_operator.api.networks import NetworkConfiguration
from azure_batch_operator.api.pool_body import at_least_five_minutes
from azure_batch_operator.api.rest import MetadataItem, metadata, tags
from azure_batch_operator.words import listed

MAX_IMAGES, MAX_APPLICATIONS, MAX_VERSIONS = 200, 100, 20
"""What a status shows at most."""


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
        "which only namespaces may use that the operator's --identity-namespace names (workloadIdentity.namespaces of the chart).",
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
        exactly_one_of(_AUTH_KINDS, f"say how to sign in: give exactly one of {listed(_AUTH_KINDS)}"),
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
    """Which other namespaces are let in; the namespace of the object always is."""

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


Seconds = Annotated[float, Field(ge=0.1, le=3600)]


class Polling(ApiModel):
    """How often the operator looks: often while something moves, seldom while nothing does."""

    min_seconds: Seconds | None = Field(
        default=None, description="Least seconds between two looks; the operator's --poll-seconds if left out."
    )
    max_seconds: Seconds | None = Field(
        default=None, description="Most seconds between two looks; the operator's --idle-poll-seconds if left out."
    )
    rules: ClassVar[tuple[Rule, ...]] = (
        cel(
            "!has(self.minSeconds) || !has(self.maxSeconds) || self.minSeconds <= self.maxSeconds",
            "minSeconds must not be more than maxSeconds",
            ".minSeconds",
        ),
    )


class Variable(ApiModel):
    """An environment variable, with the bounds of those of a job."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=1024)] = Field(description="Its name.")
    value: Annotated[str, StringConstraints(max_length=65536)] | None = Field(
        default=None, description="Its value; empty if left out."
    )


class PoolDefaults(ApiModel):
    """What the account's pools have where their own spec is silent."""

    network_configuration: NetworkConfiguration | None = optional("Network of the nodes.")
    target_node_communication_mode: Annotated[str, one_of("default", "classic", "simplified")] | None = optional(
        "How nodes and service talk."
    )
    resize_timeout: Duration | None = optional("How long a resize may take.")
    node_deallocation_option: (
        Annotated[str, one_of("requeue", "terminate", "taskcompletion", "retaineddata")] | None
    ) = optional("What becomes of the tasks on nodes that a resize takes away.")
    metadata: list[MetadataItem] | None = metadata("Name-value pairs of each pool, beside its own.")
    resource_tags: dict[str, str] | None = tags("Tags of the Azure resources of each pool.")
    rules: ClassVar[tuple[Rule, ...]] = (at_least_five_minutes("resizeTimeout"),)


class JobDefaults(ApiModel):
    """What the account's jobs have where their own spec is silent."""

    priority: Annotated[int, Field(ge=-1000, le=1000)] | None = optional("Jobs with a higher number go first.")
    allow_task_preemption: bool | None = optional("Whether jobs of higher priority may push out running tasks.")
    max_parallel_tasks: Annotated[int, Field(ge=-1)] | None = optional("Most tasks that run at once; -1 for no limit.")
    constraints: JobConstraints | None = optional("Limits of each job and defaults of its tasks.")
    common_environment_settings: list[Variable] | None = many(
        "Environment variables of all tasks, beside the job's own.", 200, key="name"
    )
    metadata: list[MetadataItem] | None = metadata("Name-value pairs of each job, beside its own.")
    rules: ClassVar[tuple[Rule, ...]] = (NOT_NO_TASKS,)


class Defaults(ApiModel):
    """What pools and jobs have where their own spec is silent; the specs stay as they are."""

    pool: PoolDefaults | None = optional("For pools.")
    job: JobDefaults | None = optional("For jobs, those of job schedules included.")


_ELSEWHERE = (
    "what the account's objects stand for would stay behind, billed and owned by nobody. Create another BatchAccount, "
    "or delete this one with its objects and create it again"
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
    polling: Polling | None = Field(default=None, description="Bounds on how often the operator looks.")
    defaults: Defaults | None = Field(default=None, description="Defaults for the pools and jobs in this account.")
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
        # Objects of the account stand for what is in it: elsewhere everything would be created a second time.
        immutable("endpoint", _ELSEWHERE),
        immutable("accountName", _ELSEWHERE),
    )

    @property
    def account(self) -> str:
        """Name of the account in Azure."""
        return self.account_name or (urlsplit(self.endpoint).hostname or "").partition(".")[0]


class Users(ApiModel):
    """How many objects of each kind live in the account."""

    batch_pools: int | None = Field(default=None, description="BatchPools.")
    batch_jobs: int | None = Field(default=None, description="BatchJobs.")
    batch_tasks: int | None = Field(default=None, description="BatchTasks.")
    batch_job_schedules: int | None = Field(default=None, description="BatchJobSchedules.")


class SupportedImage(ApiModel):
    """An image that nodes of the account can run."""

    publisher: str | None = Field(default=None, description="As in imageReference.")
    offer: str | None = Field(default=None, description="As in imageReference.")
    sku: str | None = Field(default=None, description="As in imageReference.")
    node_agent_sku_id: str | None = Field(
        default=None, alias="nodeAgentSKUId", description="Node agent that goes with it."
    )
    os_type: str | None = Field(default=None, description="linux or windows.")
    verification_type: str | None = Field(
        default=None, description="verified, or unverified where Batch has not tried it with its node agent."
    )
    end_of_life: str | None = Field(default=None, description="When Batch ends its support, if that is known.")


class Application(ApiModel):
    """An application whose packages nodes can have."""

    id: str = Field(description="As in applicationPackageReferences.")
    display_name: str | None = Field(default=None, description="Name for people.")
    versions: list[str] | None = Field(
        default=None, description="Its versions.", json_schema_extra=schema(maxItems=MAX_VERSIONS)
    )


class Throttling(ApiModel):
    """How the service holds the operator back."""

    until: Annotated[str, Field(json_schema_extra={"format": "date-time"})] | None = Field(
        default=None, description="No call is made before this time; absent while calls go through."
    )
    times: int | None = Field(default=None, description="How often the service has asked for silence so far.")


class AccountStatus(Status):
    """What the operator knows of the account."""

    account: str | None = Field(default=None, description="Name of the account in Azure.")
    endpoint: str | None = Field(
        default=None,
        description="Endpoint that the account first answered at; the operator stays there if spec.endpoint changes all the same.",
    )
    kept_secret: str | None = Field(
        default=None,
        description="Secret that carries the operator's finalizer, so that it stays while objects need the account.",
    )
    throttling: Throttling | None = Field(
        default=None, description="Present once the service has held the operator back."
    )
    last_success_time: str | None = Field(
        default=None,
        description="A time at which the account answered: the last one before trouble began, else one of when the status changed.",
    )
    calls_per_minute: int | None = Field(
        default=None,
        description="Calls of the operator per minute as of the last change of the status, rounded up to 10, 30, 100, 300 …",
    )
    users: Users | None = Field(default=None, description="Objects that live in the account.")
    supported_images: list[SupportedImage] | None = Field(
        default=None, description="Images that nodes can run.", json_schema_extra=schema(maxItems=MAX_IMAGES)
    )
    applications: list[Application] | None = Field(
        default=None, description="Applications of the account.", json_schema_extra=schema(maxItems=MAX_APPLICATIONS)
    )
