"""BatchAccount: the endpoint of an Azure Batch account, how to sign in, and which namespaces may use it."""

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
from azure_batch_operator.api.status import Status
from azure_batch_operator.words import listed

MAX_IMAGES, MAX_APPLICATIONS, MAX_VERSIONS = 200, 100, 20
"""The most entries that a status shows."""


class SharedKeyAuth(ApiModel):
    """Signs in with an access key of the account."""

    secret_ref: SecretKeyRef = Field(
        description="Key of a Secret that holds the access key, base64-encoded as Azure shows it."
    )


Guid = Annotated[str, StringConstraints(pattern=r"^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$", max_length=36)]


class WorkloadIdentityAuth(ApiModel):
    """Signs in with a federated token of a Kubernetes ServiceAccount."""

    client_id: Guid = Field(
        description="Client ID of the application or managed identity that has the federated credential."
    )
    tenant_id: Guid = Field(description="Tenant ID of the application or managed identity.")
    service_account_ref: NameRef | None = Field(
        default=None,
        description="ServiceAccount in the same namespace whose token is exchanged. If unset, the operator uses its own "
        "ServiceAccount, which is allowed only in namespaces listed in --identity-namespace "
        "(workloadIdentity.namespaces in the chart).",
    )


class ManagedIdentityAuth(ApiModel):
    """Signs in with a managed identity of the operator's node. Allowed only in namespaces listed in --identity-namespace."""

    client_id: Guid | None = Field(
        default=None,
        description="Client ID of the managed identity. If unset, the operator uses the system-assigned identity.",
    )


class ClientSecretAuth(ApiModel):
    """Signs in as a service principal with a client secret."""

    tenant_id: Guid = Field(description="Tenant ID of the service principal.")
    client_id: Guid = Field(description="Client ID of the service principal.")
    secret_ref: SecretKeyRef = Field(description="Key of a Secret that holds the client secret.")


class ClientCertificateAuth(ApiModel):
    """Signs in as a service principal with a certificate."""

    tenant_id: Guid = Field(description="Tenant ID of the service principal.")
    client_id: Guid = Field(description="Client ID of the service principal.")
    secret_ref: SecretKeyRef = Field(
        description="Key of a Secret that holds the certificate and its private key in PEM format."
    )


_AUTH_KINDS = ("sharedKey", "workloadIdentity", "managedIdentity", "clientSecret", "clientCertificate")


class Auth(ApiModel):
    """How the operator signs in. Exactly one method is required."""

    shared_key: SharedKeyAuth | None = Field(default=None, description="Signs in with an access key of the account.")
    workload_identity: WorkloadIdentityAuth | None = Field(
        default=None,
        description="Signs in with a token of a Kubernetes ServiceAccount, using Microsoft Entra Workload ID.",
    )
    managed_identity: ManagedIdentityAuth | None = Field(
        default=None, description="Signs in with a managed identity of the operator's node."
    )
    client_secret: ClientSecretAuth | None = Field(
        default=None, description="Signs in as a service principal with a client secret."
    )
    client_certificate: ClientCertificateAuth | None = Field(
        default=None, description="Signs in as a service principal with a certificate."
    )
    rules: ClassVar[tuple[Rule, ...]] = (
        exactly_one_of(_AUTH_KINDS, f"auth must contain exactly one of {listed(_AUTH_KINDS)}"),
    )


LabelValue = Annotated[str, StringConstraints(max_length=63)]
LabelName = Annotated[str, StringConstraints(min_length=1, max_length=317)]


class LabelRequirement(ApiModel):
    """A requirement on one label."""

    key: LabelName = Field(description="Name of the label.")
    operator: Annotated[str, Field(json_schema_extra={"enum": ["In", "NotIn", "Exists", "DoesNotExist"]})] = Field(
        description="Operator that relates the label to the values."
    )
    values: list[LabelValue] | None = Field(
        default=None,
        description="Values to compare with. Required with In and NotIn, not allowed otherwise.",
        json_schema_extra=schema(maxItems=64),
    )
    rules: ClassVar[tuple[Rule, ...]] = (
        cel(
            "self.operator in ['In', 'NotIn'] ? has(self.values) && size(self.values) > 0 : "
            "!has(self.values) || size(self.values) == 0",
            "values are required with In and NotIn, and not allowed with Exists and DoesNotExist",
            ".values",
        ),
    )


class LabelSelector(ApiModel):
    """A label selector. All requirements must be met."""

    match_labels: dict[str, LabelValue] | None = Field(
        default=None,
        description="Labels that must have exactly these values.",
        json_schema_extra=schema(maxProperties=64),
    )
    match_expressions: list[LabelRequirement] | None = Field(
        default=None, description="Label requirements.", json_schema_extra=schema(maxItems=16)
    )


class AllowedNamespaces(ApiModel):
    """Selects namespaces other than the object's own, which is always allowed."""

    names: list[Annotated[str, StringConstraints(min_length=1, max_length=63)]] | None = Field(
        default=None,
        description="Names of the allowed namespaces.",
        json_schema_extra=schema(maxItems=256, x_kubernetes_list_type="set"),
    )
    selector: LabelSelector | None = Field(
        default=None, description="Label selector for namespaces, allowed in addition to names."
    )
    all: bool | None = Field(default=None, description="Whether all namespaces are allowed. Defaults to false.")


class RateLimit(ApiModel):
    """Limits the calls that the operator makes to the account."""

    calls_per_second: Annotated[float, Field(gt=0, le=1000)] | None = Field(
        default=None,
        description="Maximum average number of calls per second to this account. By default it is 50, and rises to 200 while calls "
        "wait and Azure Batch throttles none.",
    )
    max_in_flight: Annotated[int, Field(ge=1, le=256)] | None = Field(
        default=None, description="Maximum number of concurrent calls. Defaults to 16."
    )


Seconds = Annotated[float, Field(ge=0.1, le=3600)]


class Polling(ApiModel):
    """How often the operator polls the account. It polls more often while something changes."""

    min_seconds: Seconds | None = Field(
        default=None,
        description="Shortest interval between two polls, in seconds. Defaults to the operator's --poll-seconds.",
    )
    max_seconds: Seconds | None = Field(
        default=None,
        description="Longest interval between two polls, in seconds. Defaults to the operator's --idle-poll-seconds.",
    )
    rules: ClassVar[tuple[Rule, ...]] = (
        cel(
            "!has(self.minSeconds) || !has(self.maxSeconds) || self.minSeconds <= self.maxSeconds",
            "minSeconds must not be greater than maxSeconds",
            ".minSeconds",
        ),
    )


class Variable(ApiModel):
    """An environment variable of all tasks, without references to Secrets or ConfigMaps."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=1024)] = Field(description="Name of the variable.")
    value: Annotated[str, StringConstraints(max_length=65536)] | None = Field(
        default=None, description="Value of the variable. Defaults to an empty string."
    )


class PoolDefaults(ApiModel):
    """Values that the pools of the account use for fields that their specs leave unset."""

    network_configuration: NetworkConfiguration | None = optional("Network configuration of the nodes.")
    target_node_communication_mode: Annotated[str, one_of("default", "classic", "simplified")] | None = optional(
        "Communication mode between the nodes and Azure Batch."
    )
    resize_timeout: Duration | None = optional("Timeout of a resize.")
    node_deallocation_option: (
        Annotated[str, one_of("requeue", "terminate", "taskcompletion", "retaineddata")] | None
    ) = optional("What happens to running tasks on nodes that a resize removes.")
    metadata: list[MetadataItem] | None = metadata(
        "Metadata added to each pool, in addition to the metadata of its spec."
    )
    resource_tags: dict[str, str] | None = tags("Tags of the Azure resources of each pool.")
    rules: ClassVar[tuple[Rule, ...]] = (at_least_five_minutes("resizeTimeout"),)


class JobDefaults(ApiModel):
    """Values that the jobs of the account use for fields that their specs leave unset."""

    priority: Annotated[int, Field(ge=-1000, le=1000)] | None = optional(
        "Priority of the job, from -1000 to 1000. Azure Batch schedules jobs with a higher priority first."
    )
    allow_task_preemption: bool | None = optional(
        "Whether jobs with a higher priority may preempt running tasks of the job."
    )
    max_parallel_tasks: Annotated[int, Field(ge=-1)] | None = optional(
        "Maximum number of tasks of a job that run at the same time. -1 means no limit."
    )
    constraints: JobConstraints | None = optional("Limits of each job, and defaults for its tasks.")
    common_environment_settings: list[Variable] | None = many(
        "Environment variables of all tasks, in addition to those of the job.", 200, key="name"
    )
    metadata: list[MetadataItem] | None = metadata(
        "Metadata added to each job, in addition to the metadata of its spec."
    )
    rules: ClassVar[tuple[Rule, ...]] = (NOT_NO_TASKS,)


class Defaults(ApiModel):
    """Values for fields that the specs of pools and jobs leave unset. The specs themselves are not changed."""

    pool: PoolDefaults | None = optional("Defaults for pools.")
    job: JobDefaults | None = optional("Defaults for jobs, including jobs of job schedules.")


_ELSEWHERE = (
    "the account's pools and jobs would stay behind at the old address, billed and without an owner. Create "
    "another BatchAccount, or delete this one and the objects that use it, and create them again"
)


def name_at(endpoint: str) -> str:
    """Name of the account whose URL an endpoint is, unless the spec gives another one."""
    return (urlsplit(endpoint).hostname or "").partition(".")[0]


class AccountSpec(ApiModel):
    """Desired state of the BatchAccount."""

    endpoint: Annotated[str, StringConstraints(max_length=1024)] = Field(
        description="URL of the account, such as https://main.westeurope.batch.azure.com. http is accepted only for loopback "
        "addresses."
    )
    account_name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9]{3,24}$")] | None = Field(
        default=None, description="Name of the account. Defaults to the first label of the endpoint's host name."
    )
    auth: Auth = Field(description="How the operator signs in to the account.")
    allowed_namespaces: AllowedNamespaces | None = Field(
        default=None, description="Other namespaces whose objects may use this account. Defaults to none."
    )
    rate_limit: RateLimit | None = Field(
        default=None, description="Limits the calls that the operator makes to this account."
    )
    polling: Polling | None = Field(default=None, description="How often the operator polls this account.")
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
            "accountName is required because the endpoint's host name does not start with it",
            ".accountName",
        ),
        # Objects of the account stand for what is in it: elsewhere everything would be created a second time.
        immutable("endpoint", _ELSEWHERE),
        immutable("accountName", _ELSEWHERE),
    )

    @property
    def account(self) -> str:
        """Name of the account in Azure."""
        return self.account_name or name_at(self.endpoint)


class Users(ApiModel):
    """Number of objects of each kind that use the account."""

    batch_pools: int | None = Field(default=None, description="Number of BatchPools.")
    batch_jobs: int | None = Field(default=None, description="Number of BatchJobs.")
    batch_tasks: int | None = Field(default=None, description="Number of BatchTasks.")
    batch_job_schedules: int | None = Field(default=None, description="Number of BatchJobSchedules.")


class SupportedImage(ApiModel):
    """An image that nodes of the account can run."""

    publisher: str | None = Field(default=None, description="Publisher, as in imageReference.")
    offer: str | None = Field(default=None, description="Offer, as in imageReference.")
    sku: str | None = Field(default=None, description="SKU, as in imageReference.")
    node_agent_sku_id: str | None = Field(
        default=None, alias="nodeAgentSKUId", description="Node agent that matches the image."
    )
    os_type: str | None = Field(default=None, description="Operating system: linux or windows.")
    verification_type: str | None = Field(
        default=None, description="verified if Azure Batch tested the image with this node agent; otherwise unverified."
    )
    end_of_life: str | None = Field(
        default=None, description="Time at which Azure Batch ends support for the image, if announced."
    )


class Application(ApiModel):
    """An application whose packages can be installed on nodes."""

    id: str = Field(description="ID of the application, as in applicationPackageReferences.")
    display_name: str | None = Field(default=None, description="Display name of the application.")
    versions: list[str] | None = Field(
        default=None, description="Versions of the application.", json_schema_extra=schema(maxItems=MAX_VERSIONS)
    )


class Throttling(ApiModel):
    """Throttling of the operator by Azure Batch."""

    until: Annotated[str, Field(json_schema_extra={"format": "date-time"})] | None = Field(
        default=None,
        description="Time until which the operator makes no calls. Absent while the account is not throttled.",
    )
    times: int | None = Field(default=None, description="Number of times that Azure Batch has throttled the operator.")


class AccountStatus(Status):
    """Observed state of the BatchAccount."""

    account: str | None = Field(default=None, description="Name of the account in Azure.")
    endpoint: str | None = Field(
        default=None,
        description="Endpoint at which the account first responded. The operator keeps using it even if spec.endpoint changes.",
    )
    kept_secret: str | None = Field(
        default=None,
        description="Name of the Secret that the operator protects with a finalizer while objects use the account.",
    )
    throttling: Throttling | None = Field(
        default=None, description="Throttling by Azure Batch. Absent until it happens for the first time."
    )
    last_success_time: str | None = Field(
        default=None,
        description="Time of a successful call: the last one before a problem, otherwise the one at the last status change.",
    )
    calls_per_minute: int | None = Field(
        default=None,
        description="Calls per minute that the operator made to the account, measured at the last status change and rounded "
        "up to 10, 30, 100, 300 and so on.",
    )
    users: Users | None = Field(default=None, description="Number of objects that use the account.")
    supported_images: list[SupportedImage] | None = Field(
        default=None,
        description="Images that nodes of the account can run.",
        json_schema_extra=schema(maxItems=MAX_IMAGES),
    )
    applications: list[Application] | None = Field(
        default=None, description="Applications of the account.", json_schema_extra=schema(maxItems=MAX_APPLICATIONS)
    )
