"""The body of a pool under its REST names, for BatchPool and for autoPoolSpecification.pool (REST: Pools - Create Pool)."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints

from azure_batch_operator.api.base import (
    ApiModel,
    CommandLine,
    DisplayName,
    Duration,
    Refused,
    Rule,
    SecretKeyRef,
    StandsFor,
    cel,
    many,
    misnamed,
    one_of,
    optional,
    secret_for,
)
from azure_batch_operator.api.machines import UpgradePolicy, VirtualMachineConfiguration
from azure_batch_operator.api.networks import MountConfiguration, NetworkConfiguration
from azure_batch_operator.api.rest import (
    ApplicationPackageReference,
    ContainerSettings,
    EnvironmentSetting,
    MetadataItem,
    ResourceFile,
    UserIdentity,
    environment,
    metadata,
    resource_files,
)

Nodes = Annotated[int, Field(ge=0)]


class TaskSchedulingPolicy(ApiModel):
    """How Azure Batch distributes tasks over nodes."""

    node_fill_type: Annotated[str, one_of("spread", "pack")] = Field(
        description="spread distributes tasks over all nodes; pack fills one node before it uses the next. Azure Batch uses "
        "spread by default."
    )


class StartTask(ApiModel):
    """A task that runs on each node when the node joins the pool or restarts."""

    command_line: CommandLine = Field(description="Command line. It does not run in a shell.")
    container_settings: ContainerSettings | None = optional(
        "Container that the task runs in. By default, the task runs directly on the node."
    )
    resource_files: list[ResourceFile] | None = resource_files()
    environment_settings: list[EnvironmentSetting] | None = environment()
    user_identity: UserIdentity | None = optional(
        "User that the task runs as. Defaults to an auto-user with scope pool and elevation level nonadmin."
    )
    max_task_retry_count: Annotated[int, Field(ge=-1)] | None = optional(
        "Maximum number of retries after a non-zero exit code. -1 means no limit. Defaults to 0."
    )
    wait_for_success: bool | None = optional(
        "Whether the node accepts tasks only after the start task has succeeded. Defaults to true."
    )


class LinuxUserConfiguration(ApiModel):
    """Linux settings of a user account."""

    uid: Annotated[int, Field(ge=0)] | None = optional("User ID. Assigned by Linux if unset. Requires gid.")
    gid: Annotated[int, Field(ge=0)] | None = optional("Group ID. Assigned by Linux if unset. Requires uid.")
    ssh_private_key_secret_ref: Annotated[SecretKeyRef | None, StandsFor("sshPrivateKey")] = secret_for(
        "sshPrivateKey", "Private key for SSH between the nodes of the pool."
    )
    rules: ClassVar[tuple[Rule, ...]] = (
        cel("has(self.uid) == has(self.gid)", "give uid and gid together, or neither"),
    )


class WindowsUserConfiguration(ApiModel):
    """Windows settings of a user account."""

    login_mode: Annotated[str, one_of("batch", "interactive")] | None = optional(
        "Login mode of the user. Defaults to batch."
    )


class UserAccount(ApiModel):
    """A user account on each node."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=20)] = Field(description="Name of the user.")
    password_secret_ref: Annotated[SecretKeyRef | None, StandsFor("password", required=True)] = secret_for(
        "password", "Password of the user. Required."
    )
    elevation_level: Annotated[str, one_of("nonadmin", "admin")] | None = optional(
        "Privileges of the user. Defaults to nonadmin."
    )
    linux_user_configuration: LinuxUserConfiguration | None = optional("Linux settings of the account.")
    windows_user_configuration: WindowsUserConfiguration | None = optional("Windows settings of the account.")


_SHORT = "^PT([0-4]M)?([0-2]?[0-9]?[0-9]([.][0-9]+)?S)?$"
_LONG = "^P([0-9]+[YMW]|[89]D|[1-9][0-9]+D|T(169|1[7-9][0-9]|[2-9][0-9][0-9]|[1-9][0-9]{3,})H)"


def at_least_five_minutes(name: str, more: str = "") -> Rule:
    """Refuse a duration below the service's least."""
    return cel(
        f"!has(self.{name}) || !self.{name}.matches('{_SHORT}')", f"{name} must be at least PT5M{more}", f".{name}"
    )


def at_most_a_week(name: str) -> Rule:
    """Refuse an interval beyond the service's longest."""
    return cel(
        f"!has(self.{name}) || !self.{name}.matches('{_LONG}')",
        f"{name} must be at least PT5M and at most PT168H (PT5M is five minutes, P5M five months)",
        f".{name}",
    )


class PoolBody(ApiModel):
    """Properties of a pool, whether a BatchPool or an auto pool."""

    display_name: DisplayName | None = optional("Display name. It need not be unique.")
    vm_size: Annotated[str, StringConstraints(min_length=1, max_length=128)] = Field(
        description="VM size of the nodes, such as Standard_D4ads_v6. Case-insensitive."
    )
    virtual_machine_configuration: VirtualMachineConfiguration = Field(
        description="Image and configuration of the nodes."
    )
    target_dedicated_nodes: Nodes | None = optional(
        "Target number of dedicated nodes; kubectl scale sets it. If unset, a new pool has none, and an existing "
        "pool keeps its number. Not allowed with enableAutoScale."
    )
    target_low_priority_nodes: Nodes | None = optional(
        "Target number of Spot nodes. If unset, a new pool has none, and an existing pool keeps its number. Not "
        "allowed with enableAutoScale."
    )
    enable_auto_scale: bool | None = optional("Whether autoScaleFormula sets the number of nodes. Defaults to false.")
    auto_scale_formula: Annotated[str, StringConstraints(max_length=8192)] | None = optional(
        "Formula for the number of nodes, for example '$TargetDedicatedNodes = $PendingTasks.GetSample(1);'."
    )
    auto_scale_evaluation_interval: Duration | None = optional(
        "Interval between evaluations of the formula, from PT5M to PT168H. Defaults to PT15M."
    )
    resize_timeout: Duration | None = optional(
        "Timeout of a resize, at least PT5M. Defaults to PT15M. Not allowed with enableAutoScale."
    )
    task_slots_per_node: Annotated[int, Field(ge=1, le=256)] | None = optional(
        "Number of task slots per node, from 1 to 256 and at most 4 per core. Defaults to 1."
    )
    task_scheduling_policy: TaskSchedulingPolicy | None = optional("How Azure Batch distributes tasks over nodes.")
    start_task: StartTask | None = optional("Task that runs on each node when the node joins the pool or restarts.")
    application_package_references: list[ApplicationPackageReference] | None = many(
        "Application packages to install on each node, at most 10.", 10
    )
    user_accounts: list[UserAccount] | None = many("User accounts on each node.", 64, key="name")
    mount_configuration: list[MountConfiguration] | None = many("File systems to mount on each node, at most 10.", 10)
    network_configuration: NetworkConfiguration | None = optional("Network configuration of the nodes.")
    enable_inter_node_communication: bool | None = optional(
        "Whether nodes can communicate with each other, as MPI requires. Limits the maximum size of the pool. "
        "Defaults to false."
    )
    target_node_communication_mode: Annotated[str, one_of("default", "classic", "simplified")] | None = optional(
        "Communication mode between the nodes and Azure Batch. Defaults to default."
    )
    upgrade_policy: UpgradePolicy | None = optional("How the virtual machines are upgraded.")
    metadata: list[MetadataItem] | None = metadata("Metadata of the pool.")
    refused: ClassVar[tuple[Refused, ...]] = (
        Refused(
            "certificateReferences",
            "Azure Batch certificates were retired on 02/29/2024: use Azure Key Vault, for example through the Key Vault "
            "extension in virtualMachineConfiguration.extensions",
            {
                "type": "array",
                "items": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                "maxItems": 100,
            },
            "self.size() == 0",
        ),
        Refused(
            "cloudServiceConfiguration",
            "Cloud Services pools were retired on 02/29/2024: use virtualMachineConfiguration",
            {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        ),
        misnamed("maxTasksPerNode", "taskSlotsPerNode", "integer"),
        misnamed("interNodeCommunication", "enableInterNodeCommunication", "boolean"),
        misnamed("targetDedicated", "targetDedicatedNodes", "integer"),
        misnamed("targetLowPriority", "targetLowPriorityNodes", "integer"),
    )
    rules: ClassVar[tuple[Rule, ...]] = (
        cel(
            "!has(self.enableAutoScale) || !self.enableAutoScale || "
            "!(has(self.targetDedicatedNodes) || has(self.targetLowPriorityNodes) || has(self.resizeTimeout))",
            "with enableAutoScale, the formula sets the number of nodes: change autoScaleFormula, and remove "
            "targetDedicatedNodes, targetLowPriorityNodes and resizeTimeout, or remove enableAutoScale",
            ".enableAutoScale",
        ),
        cel(
            "!has(self.enableAutoScale) || !self.enableAutoScale || has(self.autoScaleFormula)",
            "autoScaleFormula is required with enableAutoScale",
            ".autoScaleFormula",
        ),
        cel(
            "(has(self.enableAutoScale) && self.enableAutoScale) || "
            "!(has(self.autoScaleFormula) || has(self.autoScaleEvaluationInterval))",
            "autoScaleFormula and autoScaleEvaluationInterval require enableAutoScale: true",
            ".autoScaleFormula",
        ),
        at_least_five_minutes("resizeTimeout"),
        at_least_five_minutes("autoScaleEvaluationInterval", " and at most PT168H"),
        at_most_a_week("autoScaleEvaluationInterval"),
    )
