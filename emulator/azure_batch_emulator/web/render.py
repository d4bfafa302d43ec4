"""Resources as JSON bodies, in the service's order of members; what has no value is left out (docs/azure-batch.md#json)."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any
from urllib.parse import quote

from azure_batch_emulator.engine.entities import (
    TASK_KINDS,
    Counts,
    Job,
    JobSchedule,
    JobTaskRecord,
    Node,
    Pool,
    Subtask,
    Task,
)
from azure_batch_emulator.schema.versions import CURRENT
from azure_batch_emulator.wire.ticks import etag, format_timestamp

_POOL_NAMES = """id displayName url eTag lastModified creationTime state stateTransitionTime allocationState
 allocationStateTransitionTime vmSize virtualMachineConfiguration resizeTimeout resizeErrors resourceTags
 currentDedicatedNodes currentLowPriorityNodes targetDedicatedNodes targetLowPriorityNodes enableAutoScale
 autoScaleFormula autoScaleEvaluationInterval autoScaleRun enableInterNodeCommunication networkConfiguration startTask
 certificateReferences applicationPackageReferences taskSlotsPerNode taskSchedulingPolicy userAccounts metadata stats
 mountConfiguration identity targetNodeCommunicationMode currentNodeCommunicationMode upgradePolicy"""
POOL_PROPERTIES = tuple(_POOL_NAMES.split())
_JOB_NAMES = """id displayName usesTaskDependencies url eTag lastModified creationTime state stateTransitionTime
 previousState previousStateTransitionTime priority allowTaskPreemption maxParallelTasks constraints jobManagerTask
 jobPreparationTask jobReleaseTask commonEnvironmentSettings poolInfo onAllTasksComplete onTaskFailure
 networkConfiguration metadata executionInfo stats"""
JOB_PROPERTIES = tuple(_JOB_NAMES.split())
_TASK_NAMES = """id displayName url eTag lastModified creationTime exitConditions state stateTransitionTime
 previousState previousStateTransitionTime commandLine containerSettings resourceFiles outputFiles environmentSettings
 affinityInfo constraints requiredSlots userIdentity executionInfo nodeInfo multiInstanceSettings stats dependsOn
 applicationPackageReferences authenticationTokenSettings"""
TASK_PROPERTIES = tuple(_TASK_NAMES.split())
_NODE_NAMES = """id url state schedulingState stateTransitionTime lastBootTime allocationTime ipAddress affinityId
 vmSize totalTasksRun runningTasksCount runningTaskSlotsCount totalTasksSucceeded recentTasks startTask startTaskInfo
 certificateReferences errors isDedicated endpointConfiguration nodeAgentInfo virtualMachineInfo"""
NODE_PROPERTIES = tuple(_NODE_NAMES.split())
_SCHEDULE_NAMES = """id displayName url eTag lastModified creationTime state stateTransitionTime previousState
 previousStateTransitionTime schedule jobSpecification executionInfo metadata stats"""
SCHEDULE_PROPERTIES = tuple(_SCHEDULE_NAMES.split())
AGENT_VERSION = "1.13.6"
_COUNT_NAMES = {
    "creating": "creating",
    "deallocated": "deallocated",
    "deallocating": "deallocating",
    "idle": "idle",
    "leavingPool": "leavingpool",
    "offline": "offline",
    "preempted": "preempted",
    "rebooting": "rebooting",
    "reimaging": "reimaging",
    "running": "running",
    "starting": "starting",
    "startTaskFailed": "starttaskfailed",
    "unusable": "unusable",
    "unknown": "unknown",
    "upgradingOS": "upgradingos",
    "waitingForStartTask": "waitingforstarttask",
}


def _present(members: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}


def _time(ticks: int | None) -> str | None:
    return format_timestamp(ticks) if ticks is not None else None


def _times(info: dict[str, Any]) -> dict[str, Any]:
    """A record of the engine with its ticks turned into timestamps."""
    return _present({name: _time(value) if name.endswith("Time") else value for name, value in info.items()})


_PLAIN = re.compile(r"[A-Za-z0-9_.~:-]*").fullmatch


def _segment(text: str) -> str:
    # Ids have nothing to quote, apart from the odd one of a schedule.
    return text if _PLAIN(text) else quote(text, safe="-_.~:")


def pool_url(base: str, pool_id: str) -> str:
    return f"{base}/pools/{_segment(pool_id)}"


def job_url(base: str, job_id: str) -> str:
    return f"{base}/jobs/{_segment(job_id)}"


def task_url(base: str, job_id: str, task_id: str) -> str:
    return f"{base}/jobs/{_segment(job_id)}/tasks/{_segment(task_id)}"


def node_url(base: str, pool_id: str, node_id: str) -> str:
    return f"{base}/pools/{_segment(pool_id)}/nodes/{_segment(node_id)}"


def schedule_url(base: str, schedule_id: str) -> str:
    return f"{base}/jobschedules/{_segment(schedule_id)}"


def pool(base: str, pool: Pool) -> dict[str, Any]:
    """A pool as GET and list return it."""
    steady = pool.allocation_state == "steady"
    live = {
        "id": pool.id,
        "url": pool_url(base, pool.id),
        "eTag": etag(pool.last_modified),
        "lastModified": _time(pool.last_modified),
        "creationTime": _time(pool.created),
        "state": pool.state,
        "stateTransitionTime": _time(pool.state_time),
        "allocationState": pool.allocation_state,
        "allocationStateTransitionTime": _time(pool.allocation_time),
        "resizeTimeout": pool.resize_timeout,
        "resizeErrors": pool.resize_errors if steady and pool.resize_errors else None,
        "currentDedicatedNodes": pool.count(dedicated=True),
        "currentLowPriorityNodes": pool.count(dedicated=False),
        "targetDedicatedNodes": pool.target_dedicated,
        "targetLowPriorityNodes": pool.target_low_priority,
        "enableAutoScale": pool.enable_auto_scale,
        "autoScaleFormula": pool.auto_scale_formula,
        "autoScaleEvaluationInterval": pool.auto_scale_interval,
        "autoScaleRun": pool.auto_scale_run,
        "currentNodeCommunicationMode": pool.communication_mode,
    }
    everything = pool.spec | live
    return {name: everything[name] for name in POOL_PROPERTIES if everything.get(name) is not None}


def job(base: str, job: Job) -> dict[str, Any]:
    """A job as GET and list return it."""
    execution = _present(
        {
            "startTime": _time(job.start_time),
            "endTime": _time(job.end_time),
            "poolId": job.pool_id,
            "schedulingError": job.scheduling_error,
            "terminateReason": job.terminate_reason,
        }
    )
    live = {
        "id": job.id,
        "url": job_url(base, job.id),
        "eTag": etag(job.last_modified),
        "lastModified": _time(job.last_modified),
        "creationTime": _time(job.created),
        "state": job.state,
        "stateTransitionTime": _time(job.state_time),
        "previousState": job.previous_state,
        "previousStateTransitionTime": _time(job.previous_state_time),
        "executionInfo": execution,
    }
    everything = job.spec | live
    return {name: everything[name] for name in JOB_PROPERTIES if everything.get(name) is not None}


def task(base: str, task: Task) -> dict[str, Any]:
    """A task as GET and list return it."""
    execution = _present(
        {
            "startTime": _time(task.start_time),
            "endTime": _time(task.end_time),
            "exitCode": task.exit_code,
            "failureInfo": task.failure,
            "retryCount": task.retry_count,
            "lastRetryTime": _time(task.last_retry),
            "requeueCount": task.requeue_count,
            "lastRequeueTime": _time(task.last_requeue),
            "result": task.result,
        }
    )
    live: dict[str, Any] = {
        "id": task.id,
        "url": task_url(base, task.job.id, task.id),
        "eTag": etag(task.last_modified),
        "lastModified": _time(task.last_modified),
        "creationTime": _time(task.created),
        "state": task.state,
        "stateTransitionTime": _time(task.state_time),
        "previousState": task.previous_state,
        "previousStateTransitionTime": _time(task.previous_state_time),
        "executionInfo": execution,
    }
    if task.node_id is not None and task.node_pool_id is not None:
        live["nodeInfo"] = _node_info(base, task.node_pool_id, task.node_id, task.directory, windows=task.windows)
    elif task.state == "completed":
        live["nodeInfo"] = {}
    everything = task.body | live
    return {name: everything[name] for name in TASK_PROPERTIES if everything.get(name) is not None}


def _node_info(base: str, pool_id: str, node_id: str, directory: str, *, windows: bool) -> dict[str, Any]:
    url = node_url(base, pool_id, node_id)
    return {
        "affinityId": f"TVM:{node_id}",
        "nodeUrl": url,
        "poolId": pool_id,
        "nodeId": node_id,
        "taskRootDirectory": directory.replace("/", "\\") if windows else directory,
        "taskRootDirectoryUrl": f"{url}/files/{quote(directory, safe='/-_.~:')}",
    }


def subtask(base: str, owner: Task, subtask: Subtask) -> dict[str, Any]:
    """An item of subtasksinfo."""
    return _present(
        {
            "id": subtask.id,
            "nodeInfo": _node_info(
                base, subtask.pool_id, subtask.node_id, f"{owner.directory}/{subtask.id}", windows=owner.windows
            ),
            "startTime": _time(subtask.start_time),
            "endTime": _time(subtask.end_time),
            "exitCode": subtask.exit_code,
            "failureInfo": subtask.failure,
            "state": subtask.state,
            "stateTransitionTime": _time(subtask.state_time),
            "previousState": subtask.previous_state,
            "previousStateTransitionTime": _time(subtask.previous_state_time),
            "result": subtask.result,
        }
    )


def node(base: str, node: Node) -> dict[str, Any]:
    """A compute node as GET and list return it."""
    booted = node.boot_time is not None
    running = [run for run in node.runs.values() if run.kind in TASK_KINDS]
    image = node.pool.spec["virtualMachineConfiguration"]["imageReference"]
    info = _times(node.start_task_info) if node.start_task_info else None
    live = {
        "id": node.id,
        "url": node_url(base, node.pool.id, node.id),
        "state": node.state,
        "schedulingState": "enabled" if node.scheduling_enabled else "disabled",
        "stateTransitionTime": _time(node.state_time),
        "lastBootTime": _time(node.boot_time),
        "allocationTime": _time(node.allocated),
        "ipAddress": node.ip_address,
        "affinityId": f"TVM:{node.id}",
        "vmSize": node.pool.spec["vmSize"],
        "totalTasksRun": node.tasks_run,
        "runningTasksCount": len(running),
        "runningTaskSlotsCount": node.slots_used,
        "totalTasksSucceeded": node.tasks_succeeded,
        "recentTasks": [_recent_task(base, entry) for entry in node.recent_tasks] or None,
        "startTask": node.start_task if booted else None,
        "startTaskInfo": info,
        "certificateReferences": [] if booted else None,
        "errors": node.errors or None,
        "isDedicated": node.dedicated,
        "endpointConfiguration": _endpoints(node),
        "nodeAgentInfo": {"version": AGENT_VERSION, "lastUpdateTime": _time(node.boot_time)} if booted else None,
        "virtualMachineInfo": {"imageReference": image | {"exactVersion": image.get("version", "latest")}},
    }
    return _present(live)


def _recent_task(base: str, entry: dict[str, Any]) -> dict[str, Any]:
    execution = _times(
        {name: entry.get(name) for name in ("startTime", "endTime", "exitCode", "result")}
        | {"retryCount": 0, "requeueCount": 0}
    )
    return {
        "taskUrl": task_url(base, entry["job"], entry["task"]),
        "jobId": entry["job"],
        "taskId": entry["task"],
        **({"subtaskId": entry["subtask"]} if "subtask" in entry else {}),
        "taskState": entry["state"],
        "executionInfo": execution,
    }


def endpoints(node: Node) -> list[dict[str, Any]]:
    """The inbound endpoints of a node: one per NAT pool, frontend port by node index (recorded)."""
    network = node.pool.spec.get("networkConfiguration", {})
    return [
        {
            "name": f"{nat['name']}.{node.index}",
            "protocol": nat["protocol"],
            "publicIPAddress": "127.0.0.1",
            "publicFQDN": "localhost",
            "frontendPort": nat["frontendPortRangeStart"] + node.index,
            "backendPort": nat["backendPort"],
        }
        for nat in network.get("endpointConfiguration", {}).get("inboundNATPools", ())
    ]


def _endpoints(node: Node) -> dict[str, Any] | None:
    found = endpoints(node)
    return {"inboundEndpoints": found} if found else None


def node_counts(pool: Pool) -> dict[str, Any]:
    """An item of nodecounts: 17 numbers for each kind of node (recorded), a little behind."""
    found = pool.node_counts() if pool.past is None else pool.past.shown(pool.node_counts)
    shown: Counter[tuple[bool, str | None]] = Counter()
    for (dedicated, state), number in found.items():
        shown[dedicated, CURRENT.get().show_value("state", state)] += number
    body: dict[str, Any] = {"poolId": pool.id}
    for name, dedicated in (("dedicated", True), ("lowPriority", False)):
        numbers = {wire: shown[dedicated, state] for wire, state in _COUNT_NAMES.items()}
        body[name] = numbers | {"total": sum(numbers.values())}
    return body


def counts(counts: Counts) -> dict[str, int]:
    """Task counts or slot counts of a job."""
    return {
        "active": counts.active,
        "running": counts.running,
        "completed": counts.completed,
        "succeeded": counts.succeeded,
        "failed": counts.failed,
    }


def schedule(base: str, schedule: JobSchedule) -> dict[str, Any]:
    """A job schedule as GET and list return it."""
    recent = schedule.recent_job_id
    execution = _present(
        {
            "nextRunTime": _time(schedule.next_run),
            "recentJob": {"url": job_url(base, recent), "id": recent} if recent is not None else None,
            "endTime": _time(schedule.end_time),
        }
    )
    live = {
        "id": schedule.id,
        "url": schedule_url(base, schedule.id),
        "eTag": etag(schedule.last_modified),
        "lastModified": _time(schedule.last_modified),
        "creationTime": _time(schedule.created),
        "state": schedule.state,
        "stateTransitionTime": _time(schedule.state_time),
        "previousState": schedule.previous_state,
        "previousStateTransitionTime": _time(schedule.previous_state_time),
        "executionInfo": execution,
    }
    everything = schedule.spec | live
    return {name: everything[name] for name in SCHEDULE_PROPERTIES if everything.get(name) is not None}


def job_task_status(base: str, record: JobTaskRecord) -> dict[str, Any]:
    """An item of jobpreparationandreleasetaskstatus."""
    url = node_url(base, record.pool_id, record.node_id)

    def info(details: dict[str, Any] | None) -> dict[str, Any] | None:
        if details is None:
            return None
        directory = quote(details["taskRootDirectory"], safe="/-_.~:")
        return _times(details) | {"taskRootDirectoryUrl": f"{url}/files/{directory}"}

    return _present(
        {
            "poolId": record.pool_id,
            "nodeId": record.node_id,
            "nodeUrl": url,
            "jobPreparationTaskExecutionInfo": info(record.preparation),
            "jobReleaseTaskExecutionInfo": info(record.release),
        }
    )
