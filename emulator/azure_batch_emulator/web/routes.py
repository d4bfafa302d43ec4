"""The 77 operations of the data plane as one table, and the matching of a raw request path against it.

Matching works on the path as it came over the wire: a file path may carry encoded slashes in one segment or plain ones
in several, and a scheduled job's id has an encoded colon (docs/azure-batch.md#job-schedules).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from urllib.parse import unquote

from azure_batch_emulator.wire.errors import BatchError


class Conditions(Enum):
    """Which conditional headers an operation takes (docs/azure-batch.md#conditional-requests)."""

    NONE = "none"
    DATES = "If-Modified-Since, If-Unmodified-Since"
    ALL = "If-Match, If-None-Match, If-Modified-Since, If-Unmodified-Since"


NONE, DATES, ALL = Conditions.NONE, Conditions.DATES, Conditions.ALL


@dataclass(frozen=True, slots=True)
class Route:
    """One operation: its id in the API document, method, path template, success status and conditions."""

    operation: str
    method: str
    template: str
    status: int
    conditions: Conditions


_CERTIFICATE = "/certificates(thumbprintAlgorithm={thumbprintAlgorithm},thumbprint={thumbprint})"
# fmt: off
ROUTES: tuple[Route, ...] = (
    Route("Applications_ListApplications", "GET", "/applications", 200, NONE),
    Route("Applications_GetApplication", "GET", "/applications/{applicationId}", 200, NONE),
    Route("Certificates_ListCertificates", "GET", "/certificates", 200, NONE),
    Route("Certificates_CreateCertificate", "POST", "/certificates", 201, NONE),
    Route("Certificates_GetCertificate", "GET", _CERTIFICATE, 200, NONE),
    Route("Certificates_DeleteCertificate", "DELETE", _CERTIFICATE, 202, NONE),
    Route("Certificates_CancelCertificateDeletion", "POST", _CERTIFICATE + "/canceldelete", 204, NONE),
    Route("Jobs_ListJobs", "GET", "/jobs", 200, NONE),
    Route("Jobs_CreateJob", "POST", "/jobs", 201, NONE),
    Route("Jobs_GetJob", "GET", "/jobs/{jobId}", 200, ALL),
    Route("Jobs_ReplaceJob", "PUT", "/jobs/{jobId}", 200, ALL),
    Route("Jobs_UpdateJob", "PATCH", "/jobs/{jobId}", 200, ALL),
    Route("Jobs_DeleteJob", "DELETE", "/jobs/{jobId}", 202, ALL),
    Route("Tasks_CreateTaskCollection", "POST", "/jobs/{jobId}/addtaskcollection", 200, NONE),
    Route("Jobs_DisableJob", "POST", "/jobs/{jobId}/disable", 202, ALL),
    Route("Jobs_EnableJob", "POST", "/jobs/{jobId}/enable", 202, ALL),
    Route("Jobs_ListJobPreparationAndReleaseTaskStatus", "GET", "/jobs/{jobId}/jobpreparationandreleasetaskstatus", 200, NONE),
    Route("Jobs_GetJobTaskCounts", "GET", "/jobs/{jobId}/taskcounts", 200, NONE),
    Route("Tasks_ListTasks", "GET", "/jobs/{jobId}/tasks", 200, NONE),
    Route("Tasks_CreateTask", "POST", "/jobs/{jobId}/tasks", 201, NONE),
    Route("Tasks_GetTask", "GET", "/jobs/{jobId}/tasks/{taskId}", 200, ALL),
    Route("Tasks_ReplaceTask", "PUT", "/jobs/{jobId}/tasks/{taskId}", 200, ALL),
    Route("Tasks_DeleteTask", "DELETE", "/jobs/{jobId}/tasks/{taskId}", 200, ALL),
    Route("Tasks_ListTaskFiles", "GET", "/jobs/{jobId}/tasks/{taskId}/files", 200, NONE),
    Route("Tasks_GetTaskFile", "GET", "/jobs/{jobId}/tasks/{taskId}/files/{filePath}", 200, DATES),
    Route("Tasks_DeleteTaskFile", "DELETE", "/jobs/{jobId}/tasks/{taskId}/files/{filePath}", 200, NONE),
    Route("Tasks_GetTaskFileProperties", "HEAD", "/jobs/{jobId}/tasks/{taskId}/files/{filePath}", 200, DATES),
    Route("Tasks_ReactivateTask", "POST", "/jobs/{jobId}/tasks/{taskId}/reactivate", 204, ALL),
    Route("Tasks_ListSubTasks", "GET", "/jobs/{jobId}/tasks/{taskId}/subtasksinfo", 200, NONE),
    Route("Tasks_TerminateTask", "POST", "/jobs/{jobId}/tasks/{taskId}/terminate", 204, ALL),
    Route("Jobs_TerminateJob", "POST", "/jobs/{jobId}/terminate", 202, ALL),
    Route("JobSchedules_ListJobSchedules", "GET", "/jobschedules", 200, NONE),
    Route("JobSchedules_CreateJobSchedule", "POST", "/jobschedules", 201, NONE),
    Route("JobSchedules_GetJobSchedule", "GET", "/jobschedules/{jobScheduleId}", 200, ALL),
    Route("JobSchedules_ReplaceJobSchedule", "PUT", "/jobschedules/{jobScheduleId}", 200, ALL),
    Route("JobSchedules_UpdateJobSchedule", "PATCH", "/jobschedules/{jobScheduleId}", 200, ALL),
    Route("JobSchedules_DeleteJobSchedule", "DELETE", "/jobschedules/{jobScheduleId}", 202, ALL),
    Route("JobSchedules_JobScheduleExists", "HEAD", "/jobschedules/{jobScheduleId}", 200, ALL),
    Route("JobSchedules_DisableJobSchedule", "POST", "/jobschedules/{jobScheduleId}/disable", 204, ALL),
    Route("JobSchedules_EnableJobSchedule", "POST", "/jobschedules/{jobScheduleId}/enable", 204, ALL),
    Route("Jobs_ListJobsFromSchedule", "GET", "/jobschedules/{jobScheduleId}/jobs", 200, NONE),
    Route("JobSchedules_TerminateJobSchedule", "POST", "/jobschedules/{jobScheduleId}/terminate", 202, ALL),
    Route("Pools_ListPoolNodeCounts", "GET", "/nodecounts", 200, NONE),
    Route("Pools_ListPools", "GET", "/pools", 200, NONE),
    Route("Pools_CreatePool", "POST", "/pools", 201, NONE),
    Route("Pools_GetPool", "GET", "/pools/{poolId}", 200, ALL),
    Route("Pools_UpdatePool", "PATCH", "/pools/{poolId}", 200, ALL),
    Route("Pools_DeletePool", "DELETE", "/pools/{poolId}", 202, ALL),
    Route("Pools_PoolExists", "HEAD", "/pools/{poolId}", 200, ALL),
    Route("Pools_DisablePoolAutoScale", "POST", "/pools/{poolId}/disableautoscale", 200, NONE),
    Route("Pools_EnablePoolAutoScale", "POST", "/pools/{poolId}/enableautoscale", 200, ALL),
    Route("Pools_EvaluatePoolAutoScale", "POST", "/pools/{poolId}/evaluateautoscale", 200, NONE),
    Route("Nodes_ListNodes", "GET", "/pools/{poolId}/nodes", 200, NONE),
    Route("Nodes_GetNode", "GET", "/pools/{poolId}/nodes/{nodeId}", 200, NONE),
    Route("Nodes_DeallocateNode", "POST", "/pools/{poolId}/nodes/{nodeId}/deallocate", 202, NONE),
    Route("Nodes_DisableNodeScheduling", "POST", "/pools/{poolId}/nodes/{nodeId}/disablescheduling", 200, NONE),
    Route("Nodes_EnableNodeScheduling", "POST", "/pools/{poolId}/nodes/{nodeId}/enablescheduling", 200, NONE),
    Route("Nodes_ListNodeExtensions", "GET", "/pools/{poolId}/nodes/{nodeId}/extensions", 200, NONE),
    Route("Nodes_GetNodeExtension", "GET", "/pools/{poolId}/nodes/{nodeId}/extensions/{extensionName}", 200, NONE),
    Route("Nodes_ListNodeFiles", "GET", "/pools/{poolId}/nodes/{nodeId}/files", 200, NONE),
    Route("Nodes_GetNodeFile", "GET", "/pools/{poolId}/nodes/{nodeId}/files/{filePath}", 200, DATES),
    Route("Nodes_DeleteNodeFile", "DELETE", "/pools/{poolId}/nodes/{nodeId}/files/{filePath}", 200, NONE),
    Route("Nodes_GetNodeFileProperties", "HEAD", "/pools/{poolId}/nodes/{nodeId}/files/{filePath}", 200, DATES),
    Route("Nodes_RebootNode", "POST", "/pools/{poolId}/nodes/{nodeId}/reboot", 202, NONE),
    Route("Nodes_ReimageNode", "POST", "/pools/{poolId}/nodes/{nodeId}/reimage", 202, NONE),
    Route("Nodes_GetNodeRemoteLoginSettings", "GET", "/pools/{poolId}/nodes/{nodeId}/remoteloginsettings", 200, NONE),
    Route("Nodes_StartNode", "POST", "/pools/{poolId}/nodes/{nodeId}/start", 202, NONE),
    Route("Nodes_UploadNodeLogs", "POST", "/pools/{poolId}/nodes/{nodeId}/uploadbatchservicelogs", 200, NONE),
    Route("Nodes_CreateNodeUser", "POST", "/pools/{poolId}/nodes/{nodeId}/users", 201, NONE),
    Route("Nodes_ReplaceNodeUser", "PUT", "/pools/{poolId}/nodes/{nodeId}/users/{userName}", 200, NONE),
    Route("Nodes_DeleteNodeUser", "DELETE", "/pools/{poolId}/nodes/{nodeId}/users/{userName}", 200, NONE),
    Route("Pools_RemoveNodes", "POST", "/pools/{poolId}/removenodes", 202, ALL),
    Route("Pools_ResizePool", "POST", "/pools/{poolId}/resize", 202, ALL),
    Route("Pools_StopPoolResize", "POST", "/pools/{poolId}/stopresize", 202, ALL),
    Route("Pools_ReplacePoolProperties", "POST", "/pools/{poolId}/updateproperties", 204, NONE),
    Route("Pools_ListPoolUsageMetrics", "GET", "/poolusagemetrics", 200, NONE),
    Route("Pools_ListSupportedImages", "GET", "/supportedimages", 200, NONE),
)
# fmt: on


@dataclass(frozen=True, slots=True)
class Match:
    """A route and the decoded parameters of its path."""

    route: Route
    parameters: dict[str, str]


def _pattern(template: str) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+)\}", template)
    pattern = ""
    for index, part in enumerate(parts):
        if index % 2 == 0:
            pattern += re.escape(part)
        elif part == "filePath":
            pattern += "(?P<filePath>.+)"
        elif "(" in template:
            pattern += f"(?P<{part}>[^/,()]+)"
        else:
            pattern += f"(?P<{part}>[^/]+)"
    return re.compile(pattern)


def _index() -> dict[str, list[tuple[re.Pattern[str], dict[str, Route]]]]:
    """Routes by first path segment; templates that differ only in the method share one pattern."""
    index: dict[str, dict[str, dict[str, Route]]] = {}
    for route in ROUTES:
        first = re.split(r"[/(]", route.template[1:])[0]
        index.setdefault(first, {}).setdefault(route.template, {})[route.method] = route
    return {first: [(_pattern(t), methods) for t, methods in templates.items()] for first, templates in index.items()}


_INDEX = _index()


def match(method: str, raw_path: str) -> Match:
    """Find the operation for a request.

    Args:
        method: HTTP method, upper case.
        raw_path: path as on the wire, without the query.

    Raises:
        BatchError: 404 ResourceNotFound for an unknown path, 405 UnsupportedHttpVerb for a known one.
    """
    # Only parameters may be encoded; fixed words and the parentheses of certificates are decoded for the lookup.
    path = raw_path.rstrip("/") if raw_path != "/" else raw_path
    path = path.replace("%28", "(").replace("%29", ")").replace("%2C", ",").replace("%3D", "=")
    first = re.split(r"[/(]", path[1:])[0].lower()
    known = False
    for pattern, methods in _INDEX.get(first, ()):
        found = pattern.fullmatch(path)
        if found is None:
            continue
        known = True
        route = methods.get(method)
        if route is not None:
            return Match(route, {name: unquote(value) for name, value in found.groupdict().items()})
    raise BatchError("UnsupportedHttpVerb" if known else "ResourceNotFound")
