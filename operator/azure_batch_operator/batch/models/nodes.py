"""Models of requests and responses about nodes."""

from pydantic import Field

from azure_batch_operator.batch.models.base import Int64, Model, Moment, Open, Prose
from azure_batch_operator.batch.models.common import (
    CertificateReference,
    NameValuePair,
    NodeIdentityReference,
    TaskContainerExecutionInfo,
    TaskFailureInfo,
)
from azure_batch_operator.batch.models.enums import (
    InboundEndpointProtocol,
    NodeDeallocateOption,
    NodeDisableSchedulingOption,
    NodeRebootOption,
    NodeReimageOption,
    NodeState,
    SchedulingState,
    StartTaskState,
    StatusLevelTypes,
    TaskExecutionResult,
    TaskState,
)
from azure_batch_operator.batch.models.machines import ImageReference, VMExtension
from azure_batch_operator.batch.models.pools import StartTask
from azure_batch_operator.batch.models.tasks import TaskExecutionInfo


class TaskInfo(Model):
    """A task that ran on a node lately."""

    task_url: str | None = None
    job_id: str | None = None
    task_id: str | None = None
    subtask_id: int | None = None
    task_state: Open[TaskState] | None = None
    execution_info: TaskExecutionInfo | None = None


class StartTaskInfo(Model):
    """How the start task went on a node."""

    state: Open[StartTaskState] | None = None
    start_time: Moment | None = None
    end_time: Moment | None = None
    exit_code: int | None = None
    container_info: TaskContainerExecutionInfo | None = None
    failure_info: TaskFailureInfo | None = None
    retry_count: int | None = None
    last_retry_time: Moment | None = None
    result: Open[TaskExecutionResult] | None = None


class NodeError(Model):
    """What is wrong with a node."""

    code: str | None = None
    message: Prose | None = None
    error_details: list[NameValuePair] | None = None


class InboundEndpoint(Model):
    """A port of a node as it is reachable from outside."""

    name: str | None = None
    protocol: Open[InboundEndpointProtocol] | None = None
    public_ip_address: str | None = Field(None, alias="publicIPAddress")
    public_fqdn: str | None = Field(None, alias="publicFQDN")
    frontend_port: int | None = None
    backend_port: int | None = None


class NodeEndpointConfiguration(Model):
    """Ports of a node that are reachable from outside."""

    inbound_endpoints: list[InboundEndpoint] | None = None


class NodeAgentInfo(Model):
    """The service's agent on a node."""

    version: str | None = None
    last_update_time: Moment | None = None


class VirtualMachineInfo(Model):
    """The machine of a node."""

    image_reference: ImageReference | None = None
    scale_set_vm_resource_id: str | None = None


class Node(Model):
    """A node, as the service describes it."""

    id: str | None = None
    url: str | None = None
    state: Open[NodeState] | None = None
    scheduling_state: Open[SchedulingState] | None = None
    state_transition_time: Moment | None = None
    last_boot_time: Moment | None = None
    allocation_time: Moment | None = None
    ip_address: str | None = None
    affinity_id: str | None = None
    vm_size: str | None = None
    total_tasks_run: int | None = None
    running_tasks_count: int | None = None
    running_task_slots_count: int | None = None
    total_tasks_succeeded: int | None = None
    recent_tasks: list[TaskInfo] | None = None
    start_task: StartTask | None = None
    start_task_info: StartTaskInfo | None = None
    certificate_references: list[CertificateReference] | None = None
    errors: list[NodeError] | None = None
    is_dedicated: bool | None = None
    endpoint_configuration: NodeEndpointConfiguration | None = None
    node_agent_info: NodeAgentInfo | None = None
    virtual_machine_info: VirtualMachineInfo | None = None


class NodeReboot(Model):
    """What happens to a node's tasks."""

    node_reboot_option: Open[NodeRebootOption] | None = None


class NodeReimage(Model):
    """What happens to a node's tasks."""

    node_reimage_option: Open[NodeReimageOption] | None = None


class NodeDeallocate(Model):
    """What happens to a node's tasks."""

    node_deallocate_option: Open[NodeDeallocateOption] | None = None


class NodeDisableScheduling(Model):
    """What happens to a node's tasks."""

    node_disable_scheduling_option: Open[NodeDisableSchedulingOption] | None = None


class NodeRemoteLoginSettings(Model):
    """Where to log in to a node."""

    remote_login_ip_address: str | None = Field(None, alias="remoteLoginIPAddress")
    remote_login_port: int | None = None


class UploadBatchServiceLogs(Model):
    """Where to upload which logs of the service."""

    container_url: str = Field(repr=False)
    start_time: Moment
    end_time: Moment | None = None
    identity_reference: NodeIdentityReference | None = None


class UploadBatchServiceLogsResult(Model):
    """Where logs of the service are uploaded to."""

    virtual_directory_name: str | None = None
    number_of_files_uploaded: int | None = None


class NodeUserCreate(Model):
    """A user to add to a node; a password, or on Linux a key."""

    name: str
    is_admin: bool | None = None
    expiry_time: Moment | None = None
    password: str | None = Field(None, repr=False)
    ssh_public_key: str | None = None


class NodeUserUpdate(Model):
    """A user's new password, key and expiry; what is not given is reset."""

    password: str | None = Field(None, repr=False)
    expiry_time: Moment | None = None
    ssh_public_key: str | None = None


class InstanceViewStatus(Model):
    """A status of an extension."""

    code: str | None = None
    display_status: str | None = None
    level: Open[StatusLevelTypes] | None = None
    message: str | None = None
    time: Moment | None = None


class VMExtensionInstanceView(Model):
    """State of an extension on a node."""

    name: str | None = None
    statuses: list[InstanceViewStatus] | None = None
    sub_statuses: list[InstanceViewStatus] | None = None


class NodeVMExtension(Model):
    """An extension of a node."""

    provisioning_state: str | None = None
    vm_extension: VMExtension | None = None
    instance_view: VMExtensionInstanceView | None = None


class FileProperties(Model):
    """Size, type and times of a file; its length in bytes."""

    creation_time: Moment | None = None
    last_modified: Moment | None = None
    content_length: Int64 | None = None
    content_type: str | None = None
    file_mode: str | None = None


class NodeFile(Model):
    """A file or directory on a node."""

    name: str | None = None
    url: str | None = None
    is_directory: bool | None = None
    properties: FileProperties | None = None
