"""Enum values of the API.

The service returns its own casing; values compare equal to members in any casing once they are read.
"""

from azure_batch_operator.batch.models.base import WireEnum


class AccessScope(WireEnum):
    """What an authentication token of a task allows."""

    JOB = "job"


class AllocationState(WireEnum):
    """Whether a pool is changing its size."""

    STEADY = "steady"
    RESIZING = "resizing"
    STOPPING = "stopping"


class AutoUserScope(WireEnum):
    """How long the service's own user account lives."""

    TASK = "task"
    POOL = "pool"


class CertificateFormat(WireEnum):
    """Format of a certificate's data."""

    PFX = "pfx"
    CER = "cer"


class CertificateState(WireEnum):
    """State of a certificate."""

    ACTIVE = "active"
    DELETING = "deleting"
    DELETE_FAILED = "deletefailed"


class CertificateStoreLocation(WireEnum):
    """Windows certificate store."""

    CURRENT_USER = "currentuser"
    LOCAL_MACHINE = "localmachine"


class CertificateVisibility(WireEnum):
    """Who on a node sees a certificate."""

    START_TASK = "starttask"
    TASK = "task"
    REMOTE_USER = "remoteuser"


class JobAction(WireEnum):
    """What the end of a task does to its job."""

    NONE = "none"
    DISABLE = "disable"
    TERMINATE = "terminate"


class JobPreparationTaskState(WireEnum):
    """State of a job preparation task on a node."""

    RUNNING = "running"
    COMPLETED = "completed"


class JobReleaseTaskState(WireEnum):
    """State of a job release task on a node."""

    RUNNING = "running"
    COMPLETED = "completed"


class JobScheduleState(WireEnum):
    """State of a job schedule."""

    ACTIVE = "active"
    COMPLETED = "completed"
    DISABLED = "disabled"
    TERMINATING = "terminating"
    DELETING = "deleting"


class JobState(WireEnum):
    """State of a job."""

    ACTIVE = "active"
    DISABLING = "disabling"
    DISABLED = "disabled"
    ENABLING = "enabling"
    TERMINATING = "terminating"
    COMPLETED = "completed"
    DELETING = "deleting"


class NodeCommunicationMode(WireEnum):
    """How nodes and service talk to each other."""

    DEFAULT = "default"
    CLASSIC = "classic"
    SIMPLIFIED = "simplified"


class NodeDeallocateOption(WireEnum):
    """What happens to a node's tasks when it is deallocated."""

    REQUEUE = "requeue"
    TERMINATE = "terminate"
    TASK_COMPLETION = "taskcompletion"
    RETAINED_DATA = "retaineddata"


class NodeDeallocationOption(WireEnum):
    """What happens to the tasks on nodes that leave a pool."""

    REQUEUE = "requeue"
    TERMINATE = "terminate"
    TASK_COMPLETION = "taskcompletion"
    RETAINED_DATA = "retaineddata"


class NodeDisableSchedulingOption(WireEnum):
    """What happens to a node's tasks when scheduling is disabled."""

    REQUEUE = "requeue"
    TERMINATE = "terminate"
    TASK_COMPLETION = "taskcompletion"


class NodeFillType(WireEnum):
    """How tasks are spread over nodes."""

    SPREAD = "spread"
    PACK = "pack"


class NodePlacementPolicyType(WireEnum):
    """Where in a region nodes are placed."""

    REGIONAL = "regional"
    ZONAL = "zonal"


class NodeRebootOption(WireEnum):
    """What happens to a node's tasks when it restarts."""

    REQUEUE = "requeue"
    TERMINATE = "terminate"
    TASK_COMPLETION = "taskcompletion"
    RETAINED_DATA = "retaineddata"


class NodeReimageOption(WireEnum):
    """What happens to a node's tasks when it is installed again."""

    REQUEUE = "requeue"
    TERMINATE = "terminate"
    TASK_COMPLETION = "taskcompletion"
    RETAINED_DATA = "retaineddata"


class NodeState(WireEnum):
    """State of a node."""

    IDLE = "idle"
    REBOOTING = "rebooting"
    REIMAGING = "reimaging"
    RUNNING = "running"
    UNUSABLE = "unusable"
    CREATING = "creating"
    STARTING = "starting"
    WAITING_FOR_START_TASK = "waitingforstarttask"
    START_TASK_FAILED = "starttaskfailed"
    UNKNOWN = "unknown"
    LEAVING_POOL = "leavingpool"
    OFFLINE = "offline"
    PREEMPTED = "preempted"
    UPGRADING_OS = "upgradingos"
    DEALLOCATED = "deallocated"
    DEALLOCATING = "deallocating"


class PoolIdentityType(WireEnum):
    """Kind of identity of a pool."""

    USER_ASSIGNED = "UserAssigned"
    NONE = "None"


class PoolLifetimeOption(WireEnum):
    """Whether an automatic pool lives for one job or for its schedule."""

    JOB_SCHEDULE = "jobschedule"
    JOB = "job"


class PoolState(WireEnum):
    """State of a pool."""

    ACTIVE = "active"
    DELETING = "deleting"


class StartTaskState(WireEnum):
    """State of a start task."""

    RUNNING = "running"
    COMPLETED = "completed"


class SubtaskState(WireEnum):
    """State of a subtask."""

    PREPARING = "preparing"
    RUNNING = "running"
    COMPLETED = "completed"


class TaskAddStatus(WireEnum):
    """What happened to one task of a collection."""

    SUCCESS = "success"
    CLIENT_ERROR = "clienterror"
    SERVER_ERROR = "servererror"


class TaskExecutionResult(WireEnum):
    """How a task ended."""

    SUCCESS = "success"
    FAILURE = "failure"


class TaskState(WireEnum):
    """State of a task."""

    ACTIVE = "active"
    PREPARING = "preparing"
    RUNNING = "running"
    COMPLETED = "completed"


class CachingType(WireEnum):
    """Caching of a disk."""

    NONE = "none"
    READ_ONLY = "readonly"
    READ_WRITE = "readwrite"


class ContainerHostDataPath(WireEnum):
    """Directory of the node that a container may see."""

    SHARED = "Shared"
    STARTUP = "Startup"
    VFS_MOUNTS = "VfsMounts"
    TASK = "Task"
    JOB_PREP = "JobPrep"
    APPLICATIONS = "Applications"


class ContainerType(WireEnum):
    """Container runtime."""

    DOCKER_COMPATIBLE = "dockerCompatible"
    CRI_COMPATIBLE = "criCompatible"


class ContainerWorkingDirectory(WireEnum):
    """Where in a container a task starts."""

    TASK_WORKING_DIRECTORY = "taskWorkingDirectory"
    CONTAINER_IMAGE_DEFAULT = "containerImageDefault"


class DependencyAction(WireEnum):
    """What the end of a task does to those that depend on it."""

    SATISFY = "satisfy"
    BLOCK = "block"


class DiffDiskPlacement(WireEnum):
    """Where the ephemeral disk of the operating system is."""

    CACHE_DISK = "cachedisk"


class DisableJobOption(WireEnum):
    """What happens to running tasks when a job is disabled."""

    REQUEUE = "requeue"
    TERMINATE = "terminate"
    WAIT = "wait"


class DiskEncryptionTarget(WireEnum):
    """Disk to encrypt."""

    OS_DISK = "osdisk"
    TEMPORARY_DISK = "temporarydisk"


class DynamicVNetAssignmentScope(WireEnum):
    """Who may move nodes into a virtual network."""

    NONE = "none"
    JOB = "job"


class ElevationLevel(WireEnum):
    """Rights of a user account."""

    NON_ADMIN = "nonadmin"
    ADMIN = "admin"


class ErrorCategory(WireEnum):
    """Whose fault an error is."""

    USER_ERROR = "usererror"
    SERVER_ERROR = "servererror"


class ImageVerificationType(WireEnum):
    """Whether the service verifies an image."""

    VERIFIED = "verified"
    UNVERIFIED = "unverified"


class InboundEndpointProtocol(WireEnum):
    """Protocol of an endpoint."""

    TCP = "tcp"
    UDP = "udp"


class IpAddressProvisioningType(WireEnum):
    """Who provides public addresses."""

    BATCH_MANAGED = "batchmanaged"
    USER_MANAGED = "usermanaged"
    NO_PUBLIC_IP_ADDRESSES = "nopublicipaddresses"


class LoginMode(WireEnum):
    """How a Windows user logs in."""

    BATCH = "batch"
    INTERACTIVE = "interactive"


class NetworkSecurityGroupRuleAccess(WireEnum):
    """What a rule does."""

    ALLOW = "allow"
    DENY = "deny"


class OnAllTasksComplete(WireEnum):
    """What a job does when all its tasks are completed."""

    NO_ACTION = "noaction"
    TERMINATE_JOB = "terminatejob"


class OnTaskFailure(WireEnum):
    """What a job does when a task fails."""

    NO_ACTION = "noaction"
    PERFORM_EXIT_OPTIONS_JOB_ACTION = "performexitoptionsjobaction"


class OSType(WireEnum):
    """Operating system of an image."""

    LINUX = "linux"
    WINDOWS = "windows"


class OutputFileUploadCondition(WireEnum):
    """When files are uploaded."""

    TASK_SUCCESS = "tasksuccess"
    TASK_FAILURE = "taskfailure"
    TASK_COMPLETION = "taskcompletion"


class SchedulingState(WireEnum):
    """Whether tasks may start on a node."""

    ENABLED = "enabled"
    DISABLED = "disabled"


class SecurityEncryptionTypes(WireEnum):
    """What of a confidential machine is encrypted."""

    NON_PERSISTED_TPM = "NonPersistedTPM"
    VM_GUEST_STATE_ONLY = "VMGuestStateOnly"


class SecurityTypes(WireEnum):
    """Security type of a machine."""

    TRUSTED_LAUNCH = "trustedLaunch"
    CONFIDENTIAL_VM = "confidentialVM"


class StatusLevelTypes(WireEnum):
    """Level of a status."""

    ERROR = "Error"
    INFO = "Info"
    WARNING = "Warning"


class StorageAccountType(WireEnum):
    """Kind of a managed disk."""

    STANDARD_LRS = "standard_lrs"
    PREMIUM_LRS = "premium_lrs"
    STANDARD_SSD_LRS = "standardssd_lrs"


class UpgradeMode(WireEnum):
    """How the operating system of nodes is upgraded."""

    AUTOMATIC = "automatic"
    MANUAL = "manual"
    ROLLING = "rolling"
