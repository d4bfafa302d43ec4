"""Models of requests and responses about pools."""

from typing import Annotated

from pydantic import Field

from azure_batch_operator.batch.models.base import Duration, Int64, Model, Moment, Open, Prose
from azure_batch_operator.batch.models.common import (
    ApplicationPackageReference,
    CertificateReference,
    EnvironmentSetting,
    MetadataItem,
    NameValuePair,
    ResourceFile,
    TaskContainerSettings,
    UserIdentity,
)
from azure_batch_operator.batch.models.enums import (
    AllocationState,
    ElevationLevel,
    LoginMode,
    NodeCommunicationMode,
    NodeDeallocationOption,
    NodeFillType,
    PoolIdentityType,
    PoolState,
)
from azure_batch_operator.batch.models.machines import UpgradePolicy, VirtualMachineConfiguration
from azure_batch_operator.batch.models.mounts import MountConfiguration
from azure_batch_operator.batch.models.networks import NetworkConfiguration
from azure_batch_operator.shapes import Presence


class StartTask(Model):
    """What runs on each node before it takes tasks."""

    command_line: str
    container_settings: TaskContainerSettings | None = None
    resource_files: list[ResourceFile] | None = None
    environment_settings: list[EnvironmentSetting] | None = None
    user_identity: UserIdentity | None = None
    max_task_retry_count: int | None = None
    wait_for_success: bool | None = None


class TaskSchedulingPolicy(Model):
    """How tasks are spread over the nodes of a pool."""

    node_fill_type: Open[NodeFillType]


class LinuxUserConfiguration(Model):
    """Settings of a user on Linux; user and group id together or not at all."""

    uid: int | None = None
    gid: int | None = None
    ssh_private_key: str | None = Field(None, repr=False)


class WindowsUserConfiguration(Model):
    """Settings of a user on Windows."""

    login_mode: Open[LoginMode] | None = None


class UserAccount(Model):
    """A user on each node; its password is never returned."""

    name: str
    password: str | None = Field(None, repr=False)
    elevation_level: Open[ElevationLevel] | None = None
    linux_user_configuration: LinuxUserConfiguration | None = None
    windows_user_configuration: WindowsUserConfiguration | None = None


class UserAssignedIdentity(Model):
    """A managed identity of a pool."""

    resource_id: str | None = None
    client_id: str | None = None
    principal_id: str | None = None


class PoolIdentity(Model):
    """Managed identities of a pool."""

    type: Open[PoolIdentityType] | None = None
    user_assigned_identities: list[UserAssignedIdentity] | None = None


class AutoScaleRunError(Model):
    """Why a formula could not be evaluated."""

    code: str | None = None
    message: Prose | None = None
    values: list[NameValuePair] | None = None


class AutoScaleRun(Model):
    """An evaluation of a formula: `$name=value` pairs, separated by semicolons."""

    timestamp: Moment | None = None
    results: Prose | None = None
    error: Annotated[AutoScaleRunError | None, Presence()] = None


class ResizeError(Model):
    """Why a resize did not reach its target."""

    code: str | None = None
    message: Prose | None = None
    values: list[NameValuePair] | None = None


class PoolUsageStatistics(Model):
    """Core time that a pool used."""

    start_time: Moment | None = None
    last_update_time: Moment | None = None
    dedicated_core_time: Duration | None = None


class PoolResourceStatistics(Model):
    """Resources that the nodes of a pool used."""

    start_time: Moment | None = None
    last_update_time: Moment | None = None
    avg_cpu_percentage: float | None = Field(None, alias="avgCPUPercentage")
    avg_memory_gib: float | None = Field(None, alias="avgMemoryGiB")
    peak_memory_gib: float | None = Field(None, alias="peakMemoryGiB")
    avg_disk_gib: float | None = Field(None, alias="avgDiskGiB")
    peak_disk_gib: float | None = Field(None, alias="peakDiskGiB")
    disk_read_iops: Int64 | None = Field(None, alias="diskReadIOps")
    disk_write_iops: Int64 | None = Field(None, alias="diskWriteIOps")
    disk_read_gib: float | None = Field(None, alias="diskReadGiB")
    disk_write_gib: float | None = Field(None, alias="diskWriteGiB")
    network_read_gib: float | None = Field(None, alias="networkReadGiB")
    network_write_gib: float | None = Field(None, alias="networkWriteGiB")


class PoolStatistics(Model):
    """Statistics of a pool's whole life."""

    url: str | None = None
    start_time: Moment | None = None
    last_update_time: Moment | None = None
    usage_stats: PoolUsageStatistics | None = None
    resource_stats: PoolResourceStatistics | None = None


class Pool(Model):
    """A pool, as the service describes it."""

    id: str | None = None
    display_name: str | None = None
    url: str | None = None
    etag: str | None = Field(None, alias="eTag")
    last_modified: Moment | None = None
    creation_time: Moment | None = None
    state: Open[PoolState] | None = None
    state_transition_time: Moment | None = None
    allocation_state: Open[AllocationState] | None = None
    allocation_state_transition_time: Moment | None = None
    vm_size: str | None = None
    virtual_machine_configuration: VirtualMachineConfiguration | None = None
    resize_timeout: Duration | None = None
    resize_errors: list[ResizeError] | None = None
    resource_tags: dict[str, str] | None = None
    current_dedicated_nodes: int | None = None
    current_low_priority_nodes: int | None = None
    target_dedicated_nodes: int | None = None
    target_low_priority_nodes: int | None = None
    enable_auto_scale: bool | None = None
    auto_scale_formula: str | None = None
    auto_scale_evaluation_interval: Duration | None = None
    auto_scale_run: AutoScaleRun | None = None
    enable_inter_node_communication: bool | None = None
    network_configuration: NetworkConfiguration | None = None
    start_task: StartTask | None = None
    certificate_references: list[CertificateReference] | None = None
    application_package_references: list[ApplicationPackageReference] | None = None
    task_slots_per_node: int | None = None
    task_scheduling_policy: TaskSchedulingPolicy | None = None
    user_accounts: list[UserAccount] | None = None
    metadata: list[MetadataItem] | None = None
    stats: PoolStatistics | None = None
    mount_configuration: list[MountConfiguration] | None = None
    identity: PoolIdentity | None = None
    target_node_communication_mode: Open[NodeCommunicationMode] | None = None
    current_node_communication_mode: Open[NodeCommunicationMode] | None = None
    upgrade_policy: UpgradePolicy | None = None


class PoolCreate(Model):
    """A pool to create."""

    id: str
    display_name: str | None = None
    vm_size: str
    virtual_machine_configuration: VirtualMachineConfiguration | None = None
    resize_timeout: Duration | None = None
    resource_tags: dict[str, str] | None = None
    target_dedicated_nodes: int | None = None
    target_low_priority_nodes: int | None = None
    enable_auto_scale: bool | None = None
    auto_scale_formula: str | None = None
    auto_scale_evaluation_interval: Duration | None = None
    enable_inter_node_communication: bool | None = None
    network_configuration: NetworkConfiguration | None = None
    start_task: StartTask | None = None
    certificate_references: list[CertificateReference] | None = None
    application_package_references: list[ApplicationPackageReference] | None = None
    task_slots_per_node: int | None = None
    task_scheduling_policy: TaskSchedulingPolicy | None = None
    user_accounts: list[UserAccount] | None = None
    metadata: list[MetadataItem] | None = None
    mount_configuration: list[MountConfiguration] | None = None
    target_node_communication_mode: Open[NodeCommunicationMode] | None = None
    upgrade_policy: UpgradePolicy | None = None


class PoolUpdate(Model):
    """What to change in a pool (PATCH): each member that is given replaces the whole of the old one."""

    display_name: str | None = None
    vm_size: str | None = None
    enable_inter_node_communication: bool | None = None
    start_task: StartTask | None = None
    certificate_references: list[CertificateReference] | None = None
    application_package_references: list[ApplicationPackageReference] | None = None
    metadata: list[MetadataItem] | None = None
    virtual_machine_configuration: VirtualMachineConfiguration | None = None
    target_node_communication_mode: Open[NodeCommunicationMode] | None = None
    task_slots_per_node: int | None = None
    task_scheduling_policy: TaskSchedulingPolicy | None = None
    network_configuration: NetworkConfiguration | None = None
    resource_tags: dict[str, str] | None = None
    user_accounts: list[UserAccount] | None = None
    mount_configuration: list[MountConfiguration] | None = None
    upgrade_policy: UpgradePolicy | None = None


class PoolReplace(Model):
    """Properties of a pool to replace: what is not given is removed."""

    start_task: StartTask | None = None
    certificate_references: list[CertificateReference]
    application_package_references: list[ApplicationPackageReference]
    metadata: list[MetadataItem]
    target_node_communication_mode: Open[NodeCommunicationMode] | None = None


class PoolResize(Model):
    """A new size of a pool."""

    target_dedicated_nodes: int | None = None
    target_low_priority_nodes: int | None = None
    resize_timeout: Duration | None = None
    node_deallocation_option: Open[NodeDeallocationOption] | None = None


class PoolEnableAutoScale(Model):
    """A formula for a pool, how often to evaluate it, or both."""

    auto_scale_formula: str | None = None
    auto_scale_evaluation_interval: Duration | None = None


class PoolEvaluateAutoScale(Model):
    """A formula to try."""

    auto_scale_formula: str


class NodeRemove(Model):
    """Nodes to remove from a pool, at most 100."""

    node_list: list[str]
    resize_timeout: Duration | None = None
    node_deallocation_option: Open[NodeDeallocationOption] | None = None


class PoolSpecification(Model):
    """The pool that the service makes for a job."""

    display_name: str | None = None
    vm_size: str
    virtual_machine_configuration: VirtualMachineConfiguration | None = None
    task_slots_per_node: int | None = None
    task_scheduling_policy: TaskSchedulingPolicy | None = None
    resize_timeout: Duration | None = None
    resource_tags: str | None = None
    target_dedicated_nodes: int | None = None
    target_low_priority_nodes: int | None = None
    enable_auto_scale: bool | None = None
    auto_scale_formula: str | None = None
    auto_scale_evaluation_interval: Duration | None = None
    enable_inter_node_communication: bool | None = None
    network_configuration: NetworkConfiguration | None = None
    start_task: StartTask | None = None
    certificate_references: list[CertificateReference] | None = None
    application_package_references: list[ApplicationPackageReference] | None = None
    user_accounts: list[UserAccount] | None = None
    metadata: list[MetadataItem] | None = None
    mount_configuration: list[MountConfiguration] | None = None
    target_node_communication_mode: Open[NodeCommunicationMode] | None = None
    upgrade_policy: UpgradePolicy | None = None


class NodeCounts(Model):
    """Numbers of nodes by state."""

    creating: int | None = None
    idle: int | None = None
    offline: int | None = None
    preempted: int | None = None
    rebooting: int | None = None
    reimaging: int | None = None
    running: int | None = None
    starting: int | None = None
    start_task_failed: int | None = None
    leaving_pool: int | None = None
    unknown: int | None = None
    unusable: int | None = None
    waiting_for_start_task: int | None = None
    deallocated: int | None = None
    deallocating: int | None = None
    total: int | None = None
    upgrading_os: int | None = Field(None, alias="upgradingOS")


class PoolNodeCounts(Model):
    """Numbers of nodes of one pool."""

    pool_id: str | None = None
    dedicated: NodeCounts | None = None
    low_priority: NodeCounts | None = None


class PoolUsageMetrics(Model):
    """Core hours of a pool in an interval."""

    pool_id: str | None = None
    start_time: Moment | None = None
    end_time: Moment | None = None
    vm_size: str | None = None
    total_core_hours: float | None = None
