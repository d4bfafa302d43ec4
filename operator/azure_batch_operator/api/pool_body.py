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
    """How tasks are spread over nodes."""

    node_fill_type: Annotated[str, one_of("spread", "pack")] = Field(
        description="spread over all nodes, or pack one node after another; spread is the service's default."
    )


class StartTask(ApiModel):
    """A task that runs on each node when it joins the pool or restarts."""

    command_line: CommandLine = Field(description="The command, not run in a shell.")
    container_settings: ContainerSettings | None = optional("The container that it runs in; none if left out.")
    resource_files: list[ResourceFile] | None = resource_files()
    environment_settings: list[EnvironmentSetting] | None = environment()
    user_identity: UserIdentity | None = optional(
        "As whom it runs; a pool-wide auto user without admin rights if left out."
    )
    max_task_retry_count: Annotated[int, Field(ge=-1)] | None = optional(
        "Further tries after a non-zero exit code, -1 without limit; 0 if left out."
    )
    wait_for_success: bool | None = optional("Whether the node takes tasks only after success; true if left out.")


class LinuxUserConfiguration(ApiModel):
    """Settings of a user account on Linux."""

    uid: Annotated[int, Field(ge=0)] | None = optional("User id; chosen by the node if left out. Together with gid.")
    gid: Annotated[int, Field(ge=0)] | None = optional("Group id; chosen by the node if left out. Together with uid.")
    ssh_private_key_secret_ref: Annotated[SecretKeyRef | None, StandsFor("sshPrivateKey")] = secret_for(
        "sshPrivateKey", "Private key for SSH between the nodes of the pool."
    )
    rules: ClassVar[tuple[Rule, ...]] = (
        cel("has(self.uid) == has(self.gid)", "give uid and gid together, or neither"),
    )


class WindowsUserConfiguration(ApiModel):
    """Settings of a user account on Windows."""

    login_mode: Annotated[str, one_of("batch", "interactive")] | None = optional("How it logs in; batch if left out.")


class UserAccount(ApiModel):
    """A user account on each node."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=20)] = Field(description="Name of the user.")
    password_secret_ref: Annotated[SecretKeyRef | None, StandsFor("password", required=True)] = secret_for(
        "password", "Password of the user, required."
    )
    elevation_level: Annotated[str, one_of("nonadmin", "admin")] | None = optional("nonadmin if left out.")
    linux_user_configuration: LinuxUserConfiguration | None = optional("Settings on Linux.")
    windows_user_configuration: WindowsUserConfiguration | None = optional("Settings on Windows.")


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
    """What a pool is, however it comes into being."""

    display_name: DisplayName | None = optional("Name for people; need not be unique.")
    vm_size: Annotated[str, StringConstraints(min_length=1, max_length=128)] = Field(
        description="Size of the nodes, for example Standard_D4ads_v6; casing does not matter."
    )
    virtual_machine_configuration: VirtualMachineConfiguration = Field(description="What the nodes run.")
    target_dedicated_nodes: Nodes | None = optional(
        "How many dedicated nodes there should be; kubectl scale sets it. A new pool has none if left out, and one that exists "
        "keeps what it has. Not with enableAutoScale."
    )
    target_low_priority_nodes: Nodes | None = optional(
        "How many Spot nodes there should be. A new pool has none if left out, and one that exists keeps what it has. Not with "
        "enableAutoScale."
    )
    enable_auto_scale: bool | None = optional(
        "Whether autoScaleFormula decides on the number of nodes; false if left out."
    )
    auto_scale_formula: Annotated[str, StringConstraints(max_length=8192)] | None = optional(
        "Formula for the number of nodes, for example '$TargetDedicatedNodes = $PendingTasks.GetSample(1);'."
    )
    auto_scale_evaluation_interval: Duration | None = optional(
        "How often the formula is evaluated, PT5M to PT168H; PT15M if left out."
    )
    resize_timeout: Duration | None = optional(
        "How long the service tries to reach the targets, at least PT5M; PT15M if left out. Not with enableAutoScale."
    )
    task_slots_per_node: Annotated[int, Field(ge=1, le=256)] | None = optional(
        "Task slots of a node, at most 4 per core; 1 if left out."
    )
    task_scheduling_policy: TaskSchedulingPolicy | None = optional("How tasks are spread over nodes.")
    start_task: StartTask | None = optional("Runs on each node when it joins or restarts.")
    application_package_references: list[ApplicationPackageReference] | None = many(
        "Application packages on each node, at most 10.", 10
    )
    user_accounts: list[UserAccount] | None = many("User accounts on each node.", 64, key="name")
    mount_configuration: list[MountConfiguration] | None = many("File systems that each node mounts, at most 10.", 10)
    network_configuration: NetworkConfiguration | None = optional("Network of the nodes.")
    enable_inter_node_communication: bool | None = optional(
        "Whether nodes can talk to each other, as MPI needs; limits the size of the pool. false if left out."
    )
    target_node_communication_mode: Annotated[str, one_of("default", "classic", "simplified")] | None = optional(
        "How nodes and service should talk to each other; default if left out."
    )
    upgrade_policy: UpgradePolicy | None = optional("How the machines are upgraded.")
    metadata: list[MetadataItem] | None = metadata("Name-value pairs of the pool.")
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
            "with enableAutoScale the formula decides on the number of nodes: change autoScaleFormula, and remove "
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
            "autoScaleFormula and autoScaleEvaluationInterval need enableAutoScale: true",
            ".autoScaleFormula",
        ),
        at_least_five_minutes("resizeTimeout"),
        at_least_five_minutes("autoScaleEvaluationInterval", " and at most PT168H"),
        at_most_a_week("autoScaleEvaluationInterval"),
    )
