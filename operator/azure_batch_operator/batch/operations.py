"""The 77 operations of the Batch data plane as one table.

All differences between operations are data in this module: verb, path, success codes, conditional headers,
query parameters, paging, and what happens if a call is repeated. `requests` builds requests from it, `retry` reads
whether a retry is safe, the groups in `groups/` only name their arguments, and tests compare it with the API
description.

Names of operations, parameters and paths are those of api-version 2024-07-01.20.0.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

SERVICE_VERSION = "2024-07-01.20.0"
"""The api-version of every request. The API group of the custom resources has a version of its own (`api/base.py`)."""

# Query parameters that every operation accepts; `api-version` is added to each request by `requests`.
COMMON_QUERY = ("timeOut",)


class Conditions(Enum):
    """Conditional headers that an operation supports (docs/azure-batch.md#conditional-requests)."""

    NONE = ()
    TIMES = ("If-Modified-Since", "If-Unmodified-Since")
    ALL = ("If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since")


class ResponseKind(Enum):
    """What a successful response contains."""

    RECEIPT = "headers only"
    OBJECT = "one JSON object"
    PAGE = "one page of a list, with a link to the next"
    EXISTENCE = "no body; the status is 200 or 404"
    STREAM = "bytes of a file"
    PROPERTIES = "headers that describe a file"


class Body(Enum):
    """Whether a request has a body."""

    NONE = "none"
    REQUIRED = "required"
    OPTIONAL = "optional"


class Repeat(Enum):
    """What a second delivery of the same call does, after the response to the first was lost."""

    SAME = "ends in the same state, or at worst in an error that it exists already"
    EXISTS = (
        "creates nothing twice; the response is a 409, and the caller must compare the resource with what it wanted"
    )
    TWICE = "may act a second time"


@dataclass(frozen=True, slots=True)
class Operation:
    """One row of the table.

    `path` holds `{placeholders}`; `query` the operation's own query parameters under their exact names; `success` the
    status codes that are no errors.
    """

    id: str
    group: str
    method: str
    verb: str
    path: str
    success: tuple[int, ...]
    response: ResponseKind
    conditions: Conditions = Conditions.NONE
    query: tuple[str, ...] = ()
    body: Body = Body.NONE
    repeat: Repeat = Repeat.SAME
    ranged: bool = False

    @property
    def idempotent(self) -> bool:
        """Whether the call may be repeated without checking the effect of the first one."""
        return self.repeat is not Repeat.TWICE


_LIST = ("maxresults",)
_FILTER = ("maxresults", "$filter")
_FILTER_SELECT = ("maxresults", "$filter", "$select")
_FULL_LIST = ("maxresults", "$filter", "$select", "$expand")
_DETAIL = ("$select", "$expand")
_CERTIFICATE = "/certificates(thumbprintAlgorithm={thumbprintAlgorithm},thumbprint={thumbprint})"
_JOB = "/jobs/{jobId}"
_TASK = "/jobs/{jobId}/tasks/{taskId}"
_TASK_FILE = "/jobs/{jobId}/tasks/{taskId}/files/{filePath}"
_SCHEDULE = "/jobschedules/{jobScheduleId}"
_POOL = "/pools/{poolId}"
_NODE = "/pools/{poolId}/nodes/{nodeId}"
_NODE_FILE = "/pools/{poolId}/nodes/{nodeId}/files/{filePath}"
_NODE_USER = "/pools/{poolId}/nodes/{nodeId}/users/{userName}"


def _page(id: str, group: str, method: str, path: str, query: tuple[str, ...]) -> Operation:
    return Operation(id, group, method, "GET", path, (200,), ResponseKind.PAGE, query=query)


def _get(
    id: str, group: str, method: str, path: str, query: tuple[str, ...] = (), conditions: Conditions = Conditions.NONE
) -> Operation:
    return Operation(id, group, method, "GET", path, (200,), ResponseKind.OBJECT, conditions, query)


def _create(id: str, group: str, method: str, path: str) -> Operation:
    return Operation(
        id, group, method, "POST", path, (201,), ResponseKind.RECEIPT, body=Body.REQUIRED, repeat=Repeat.EXISTS
    )


def _exists(id: str, group: str, path: str) -> Operation:
    return Operation(id, group, "exists", "HEAD", path, (200, 404), ResponseKind.EXISTENCE, Conditions.ALL)


def _write(
    id: str,
    group: str,
    method: str,
    verb: str,
    path: str,
    code: int,
    conditions: Conditions = Conditions.ALL,
    *,
    body: Body = Body.NONE,
    query: tuple[str, ...] = (),
    repeat: Repeat = Repeat.SAME,
) -> Operation:
    return Operation(id, group, method, verb, path, (code,), ResponseKind.RECEIPT, conditions, query, body, repeat)


def _file(id: str, group: str, method: str, verb: str, path: str, response: ResponseKind, ranged: bool) -> Operation:
    return Operation(id, group, method, verb, path, (200,), response, Conditions.TIMES, ranged=ranged)


_NO_IFS = Conditions.NONE
_ALL_IFS = Conditions.ALL

_TABLE = (
    _page("Applications_ListApplications", "applications", "list", "/applications", _LIST),
    _get("Applications_GetApplication", "applications", "get", "/applications/{applicationId}"),
    _page("Certificates_ListCertificates", "certificates", "list", "/certificates", _FILTER_SELECT),
    _create("Certificates_CreateCertificate", "certificates", "create", "/certificates"),
    _get("Certificates_GetCertificate", "certificates", "get", _CERTIFICATE, ("$select",)),
    _write("Certificates_DeleteCertificate", "certificates", "delete", "DELETE", _CERTIFICATE, 202, _NO_IFS),
    _write(
        "Certificates_CancelCertificateDeletion",
        "certificates",
        "cancel_deletion",
        "POST",
        f"{_CERTIFICATE}/canceldelete",
        204,
        _NO_IFS,
    ),
    _page("Jobs_ListJobs", "jobs", "list", "/jobs", _FULL_LIST),
    _create("Jobs_CreateJob", "jobs", "create", "/jobs"),
    _get("Jobs_GetJob", "jobs", "get", _JOB, _DETAIL, _ALL_IFS),
    _write("Jobs_ReplaceJob", "jobs", "replace", "PUT", _JOB, 200, body=Body.REQUIRED),
    _write("Jobs_UpdateJob", "jobs", "update", "PATCH", _JOB, 200, body=Body.REQUIRED),
    _write("Jobs_DeleteJob", "jobs", "delete", "DELETE", _JOB, 202, query=("force",)),
    Operation(
        "Tasks_CreateTaskCollection",
        "tasks",
        "create_collection",
        "POST",
        f"{_JOB}/addtaskcollection",
        (200,),
        ResponseKind.OBJECT,
        body=Body.REQUIRED,
        repeat=Repeat.EXISTS,
    ),
    _write("Jobs_DisableJob", "jobs", "disable", "POST", f"{_JOB}/disable", 202, body=Body.REQUIRED),
    _write("Jobs_EnableJob", "jobs", "enable", "POST", f"{_JOB}/enable", 202),
    _page(
        "Jobs_ListJobPreparationAndReleaseTaskStatus",
        "jobs",
        "list_preparation_and_release_status",
        f"{_JOB}/jobpreparationandreleasetaskstatus",
        _FILTER_SELECT,
    ),
    _get("Jobs_GetJobTaskCounts", "jobs", "get_task_counts", f"{_JOB}/taskcounts"),
    _page("Tasks_ListTasks", "tasks", "list", f"{_JOB}/tasks", _FULL_LIST),
    _create("Tasks_CreateTask", "tasks", "create", f"{_JOB}/tasks"),
    _get("Tasks_GetTask", "tasks", "get", _TASK, _DETAIL, _ALL_IFS),
    _write("Tasks_ReplaceTask", "tasks", "replace", "PUT", _TASK, 200, body=Body.REQUIRED),
    _write("Tasks_DeleteTask", "tasks", "delete", "DELETE", _TASK, 200),
    _page("Tasks_ListTaskFiles", "task_files", "list", f"{_TASK}/files", (*_FILTER, "recursive")),
    _file("Tasks_GetTaskFile", "task_files", "get", "GET", _TASK_FILE, ResponseKind.STREAM, True),
    _write("Tasks_DeleteTaskFile", "task_files", "delete", "DELETE", _TASK_FILE, 200, _NO_IFS, query=("recursive",)),
    _file(
        "Tasks_GetTaskFileProperties", "task_files", "properties", "HEAD", _TASK_FILE, ResponseKind.PROPERTIES, False
    ),
    # A task that ran and failed again after its reactivation would be reactivated a second time.
    _write("Tasks_ReactivateTask", "tasks", "reactivate", "POST", f"{_TASK}/reactivate", 204, repeat=Repeat.TWICE),
    # The only list without maxresults and nextLink.
    _page("Tasks_ListSubTasks", "tasks", "list_subtasks", f"{_TASK}/subtasksinfo", ("$select",)),
    _write("Tasks_TerminateTask", "tasks", "terminate", "POST", f"{_TASK}/terminate", 204),
    _write(
        "Jobs_TerminateJob", "jobs", "terminate", "POST", f"{_JOB}/terminate", 202, query=("force",), body=Body.OPTIONAL
    ),
    _page("JobSchedules_ListJobSchedules", "job_schedules", "list", "/jobschedules", _FULL_LIST),
    _create("JobSchedules_CreateJobSchedule", "job_schedules", "create", "/jobschedules"),
    _get("JobSchedules_GetJobSchedule", "job_schedules", "get", _SCHEDULE, _DETAIL, _ALL_IFS),
    _write("JobSchedules_ReplaceJobSchedule", "job_schedules", "replace", "PUT", _SCHEDULE, 200, body=Body.REQUIRED),
    _write("JobSchedules_UpdateJobSchedule", "job_schedules", "update", "PATCH", _SCHEDULE, 200, body=Body.REQUIRED),
    _write("JobSchedules_DeleteJobSchedule", "job_schedules", "delete", "DELETE", _SCHEDULE, 202, query=("force",)),
    _exists("JobSchedules_JobScheduleExists", "job_schedules", _SCHEDULE),
    _write("JobSchedules_DisableJobSchedule", "job_schedules", "disable", "POST", f"{_SCHEDULE}/disable", 204),
    _write("JobSchedules_EnableJobSchedule", "job_schedules", "enable", "POST", f"{_SCHEDULE}/enable", 204),
    _page("Jobs_ListJobsFromSchedule", "jobs", "list_from_schedule", f"{_SCHEDULE}/jobs", _FULL_LIST),
    _write(
        "JobSchedules_TerminateJobSchedule",
        "job_schedules",
        "terminate",
        "POST",
        f"{_SCHEDULE}/terminate",
        202,
        query=("force",),
    ),
    _page("Pools_ListPoolNodeCounts", "pools", "list_node_counts", "/nodecounts", _FILTER),
    _page("Pools_ListPools", "pools", "list", "/pools", _FULL_LIST),
    _create("Pools_CreatePool", "pools", "create", "/pools"),
    _get("Pools_GetPool", "pools", "get", _POOL, _DETAIL, _ALL_IFS),
    _write("Pools_UpdatePool", "pools", "update", "PATCH", _POOL, 200, body=Body.REQUIRED),
    _write("Pools_DeletePool", "pools", "delete", "DELETE", _POOL, 202),
    _exists("Pools_PoolExists", "pools", _POOL),
    _write(
        "Pools_DisablePoolAutoScale", "pools", "disable_autoscale", "POST", f"{_POOL}/disableautoscale", 200, _NO_IFS
    ),
    _write(
        "Pools_EnablePoolAutoScale",
        "pools",
        "enable_autoscale",
        "POST",
        f"{_POOL}/enableautoscale",
        200,
        body=Body.REQUIRED,
    ),
    Operation(
        "Pools_EvaluatePoolAutoScale",
        "pools",
        "evaluate_autoscale",
        "POST",
        f"{_POOL}/evaluateautoscale",
        (200,),
        ResponseKind.OBJECT,
        body=Body.REQUIRED,
    ),
    _page("Nodes_ListNodes", "nodes", "list", f"{_POOL}/nodes", _FILTER_SELECT),
    _get("Nodes_GetNode", "nodes", "get", _NODE, ("$select",)),
    _write(
        "Nodes_DeallocateNode", "nodes", "deallocate", "POST", f"{_NODE}/deallocate", 202, _NO_IFS, body=Body.OPTIONAL
    ),
    _write(
        "Nodes_DisableNodeScheduling",
        "nodes",
        "disable_scheduling",
        "POST",
        f"{_NODE}/disablescheduling",
        200,
        _NO_IFS,
        body=Body.OPTIONAL,
    ),
    _write(
        "Nodes_EnableNodeScheduling", "nodes", "enable_scheduling", "POST", f"{_NODE}/enablescheduling", 200, _NO_IFS
    ),
    _page("Nodes_ListNodeExtensions", "nodes", "list_extensions", f"{_NODE}/extensions", ("maxresults", "$select")),
    _get("Nodes_GetNodeExtension", "nodes", "get_extension", f"{_NODE}/extensions/{{extensionName}}", ("$select",)),
    _page("Nodes_ListNodeFiles", "node_files", "list", f"{_NODE}/files", (*_FILTER, "recursive")),
    _file("Nodes_GetNodeFile", "node_files", "get", "GET", _NODE_FILE, ResponseKind.STREAM, True),
    _write("Nodes_DeleteNodeFile", "node_files", "delete", "DELETE", _NODE_FILE, 200, _NO_IFS, query=("recursive",)),
    _file(
        "Nodes_GetNodeFileProperties", "node_files", "properties", "HEAD", _NODE_FILE, ResponseKind.PROPERTIES, False
    ),
    _write(
        "Nodes_RebootNode",
        "nodes",
        "reboot",
        "POST",
        f"{_NODE}/reboot",
        202,
        _NO_IFS,
        body=Body.OPTIONAL,
        repeat=Repeat.TWICE,
    ),
    _write(
        "Nodes_ReimageNode",
        "nodes",
        "reimage",
        "POST",
        f"{_NODE}/reimage",
        202,
        _NO_IFS,
        body=Body.OPTIONAL,
        repeat=Repeat.TWICE,
    ),
    _get("Nodes_GetNodeRemoteLoginSettings", "nodes", "get_remote_login_settings", f"{_NODE}/remoteloginsettings"),
    _write("Nodes_StartNode", "nodes", "start", "POST", f"{_NODE}/start", 202, _NO_IFS),
    # Each call creates its own directory in the container.
    Operation(
        "Nodes_UploadNodeLogs",
        "nodes",
        "upload_logs",
        "POST",
        f"{_NODE}/uploadbatchservicelogs",
        (200,),
        ResponseKind.OBJECT,
        body=Body.REQUIRED,
        repeat=Repeat.TWICE,
    ),
    _create("Nodes_CreateNodeUser", "node_users", "create", f"{_NODE}/users"),
    _write("Nodes_ReplaceNodeUser", "node_users", "replace", "PUT", _NODE_USER, 200, _NO_IFS, body=Body.REQUIRED),
    _write("Nodes_DeleteNodeUser", "node_users", "delete", "DELETE", _NODE_USER, 200, _NO_IFS),
    _write("Pools_RemoveNodes", "pools", "remove_nodes", "POST", f"{_POOL}/removenodes", 202, body=Body.REQUIRED),
    _write("Pools_ResizePool", "pools", "resize", "POST", f"{_POOL}/resize", 202, body=Body.REQUIRED),
    _write("Pools_StopPoolResize", "pools", "stop_resize", "POST", f"{_POOL}/stopresize", 202),
    _write(
        "Pools_ReplacePoolProperties",
        "pools",
        "replace_properties",
        "POST",
        f"{_POOL}/updateproperties",
        204,
        _NO_IFS,
        body=Body.REQUIRED,
    ),
    _page(
        "Pools_ListPoolUsageMetrics",
        "pools",
        "list_usage_metrics",
        "/poolusagemetrics",
        ("maxresults", "startTime", "endtime", "$filter"),
    ),
    _page("Pools_ListSupportedImages", "account", "list_supported_images", "/supportedimages", _FILTER),
)

OPERATIONS: Mapping[str, Operation] = MappingProxyType({operation.id: operation for operation in _TABLE})
"""All operations by id, in the order of the API description."""
