"""Which model belongs to which operation of the API."""

from collections.abc import Mapping
from types import MappingProxyType

from azure_batch_operator.batch.models.account import Application, Certificate, SupportedImage
from azure_batch_operator.batch.models.base import Model
from azure_batch_operator.batch.models.jobs import (
    Job,
    JobCreate,
    JobDisable,
    JobPreparationAndReleaseTaskStatus,
    JobTerminate,
    JobUpdate,
    TaskCountsResult,
)
from azure_batch_operator.batch.models.nodes import (
    Node,
    NodeDeallocate,
    NodeDisableScheduling,
    NodeFile,
    NodeReboot,
    NodeReimage,
    NodeRemoteLoginSettings,
    NodeUserCreate,
    NodeUserUpdate,
    NodeVMExtension,
    UploadBatchServiceLogs,
    UploadBatchServiceLogsResult,
)
from azure_batch_operator.batch.models.pools import (
    AutoScaleRun,
    NodeRemove,
    Pool,
    PoolCreate,
    PoolEnableAutoScale,
    PoolEvaluateAutoScale,
    PoolNodeCounts,
    PoolReplace,
    PoolResize,
    PoolUpdate,
    PoolUsageMetrics,
)
from azure_batch_operator.batch.models.schedules import JobSchedule, JobScheduleCreate, JobScheduleUpdate
from azure_batch_operator.batch.models.tasks import Subtask, Task, TaskAddCollectionResult, TaskCreate, TaskGroup

BODIES: Mapping[str, type[Model]] = MappingProxyType(
    {
        "Certificates_CreateCertificate": Certificate,
        "Jobs_CreateJob": JobCreate,
        "Jobs_ReplaceJob": Job,
        "Jobs_UpdateJob": JobUpdate,
        "Tasks_CreateTaskCollection": TaskGroup,
        "Jobs_DisableJob": JobDisable,
        "Tasks_CreateTask": TaskCreate,
        "Tasks_ReplaceTask": Task,
        "Jobs_TerminateJob": JobTerminate,
        "JobSchedules_CreateJobSchedule": JobScheduleCreate,
        "JobSchedules_ReplaceJobSchedule": JobSchedule,
        "JobSchedules_UpdateJobSchedule": JobScheduleUpdate,
        "Pools_CreatePool": PoolCreate,
        "Pools_UpdatePool": PoolUpdate,
        "Pools_EnablePoolAutoScale": PoolEnableAutoScale,
        "Pools_EvaluatePoolAutoScale": PoolEvaluateAutoScale,
        "Nodes_DeallocateNode": NodeDeallocate,
        "Nodes_DisableNodeScheduling": NodeDisableScheduling,
        "Nodes_RebootNode": NodeReboot,
        "Nodes_ReimageNode": NodeReimage,
        "Nodes_UploadNodeLogs": UploadBatchServiceLogs,
        "Nodes_CreateNodeUser": NodeUserCreate,
        "Nodes_ReplaceNodeUser": NodeUserUpdate,
        "Pools_RemoveNodes": NodeRemove,
        "Pools_ResizePool": PoolResize,
        "Pools_ReplacePoolProperties": PoolReplace,
    }
)
"""Model of the request body by operation."""

RESULTS: Mapping[str, type[Model]] = MappingProxyType(
    {
        "Applications_ListApplications": Application,
        "Applications_GetApplication": Application,
        "Certificates_ListCertificates": Certificate,
        "Certificates_GetCertificate": Certificate,
        "Jobs_ListJobs": Job,
        "Jobs_GetJob": Job,
        "Tasks_CreateTaskCollection": TaskAddCollectionResult,
        "Jobs_ListJobPreparationAndReleaseTaskStatus": JobPreparationAndReleaseTaskStatus,
        "Jobs_GetJobTaskCounts": TaskCountsResult,
        "Tasks_ListTasks": Task,
        "Tasks_GetTask": Task,
        "Tasks_ListTaskFiles": NodeFile,
        "Tasks_ListSubTasks": Subtask,
        "JobSchedules_ListJobSchedules": JobSchedule,
        "JobSchedules_GetJobSchedule": JobSchedule,
        "Jobs_ListJobsFromSchedule": Job,
        "Pools_ListPoolNodeCounts": PoolNodeCounts,
        "Pools_ListPools": Pool,
        "Pools_GetPool": Pool,
        "Pools_EvaluatePoolAutoScale": AutoScaleRun,
        "Nodes_ListNodes": Node,
        "Nodes_GetNode": Node,
        "Nodes_ListNodeExtensions": NodeVMExtension,
        "Nodes_GetNodeExtension": NodeVMExtension,
        "Nodes_ListNodeFiles": NodeFile,
        "Nodes_GetNodeRemoteLoginSettings": NodeRemoteLoginSettings,
        "Nodes_UploadNodeLogs": UploadBatchServiceLogsResult,
        "Pools_ListPoolUsageMetrics": PoolUsageMetrics,
        "Pools_ListSupportedImages": SupportedImage,
    }
)
"""Model of the result by operation; of one item for lists."""
