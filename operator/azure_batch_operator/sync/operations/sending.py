"""Sends the verbs of BatchOperations: one call of the client, or a list."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from azure_batch_operator.batch import BatchClient, UsageError
from azure_batch_operator.batch.caller import Listing
from azure_batch_operator.batch.requests import CallOptions
from azure_batch_operator.batch.wire import Body
from azure_batch_operator.reconcile.operation_verbs import Answer, Spot

Send = Callable[[BatchClient, Spot, Body, CallOptions], Awaitable[Answer] | Listing]
"""Makes the call, or prepares a list."""


def _picked(inputs: Body, *names: str) -> dict[str, Any]:
    return {name: inputs[name] for name in names if name in inputs}


def _moment(inputs: Body, name: str) -> datetime | None:
    """A time as it is sent.

    Raises:
        UsageError: there is no such time, although the CRD lets it pass.
    """
    if name not in inputs:
        return None
    try:
        return datetime.fromisoformat(str(inputs[name])).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise UsageError(f"{name} {str(inputs[name])!r} is not a time: {error}") from error


def _list_files(client: BatchClient, at: Spot, inputs: Body, options: CallOptions) -> Listing:
    recursive = bool(inputs.get("recursive"))
    if at.task:
        return client.task_files.list(at.job, at.task, recursive=recursive, **options)
    return client.node_files.list(at.pool, at.node, recursive=recursive, **options)


async def _read_file(client: BatchClient, at: Spot, inputs: Body, options: CallOptions) -> bytes:
    path, limit = str(inputs["path"]), int(inputs.get("mostBytes", 256 * 1024))
    tail = bool(inputs.get("tail"))
    if at.task:
        of_task = client.task_files.tail if tail else client.task_files.read
        return await of_task(at.job, at.task, path, limit=limit, **options)
    of_node = client.node_files.tail if tail else client.node_files.read
    return await of_node(at.pool, at.node, path, limit=limit, **options)


def _delete_file(client: BatchClient, at: Spot, inputs: Body, options: CallOptions) -> Awaitable[Answer]:
    path, recursive = str(inputs["path"]), bool(inputs.get("recursive")) or None
    if at.task:
        return client.task_files.delete(at.job, at.task, path, recursive=recursive, **options)
    return client.node_files.delete(at.pool, at.node, path, recursive=recursive, **options)


async def _schedule_status(client: BatchClient, at: Spot, _: Body, options: CallOptions) -> Body:
    schedule = await client.job_schedules.get(at.schedule, **options)
    jobs = client.jobs.list_from_schedule(at.schedule, select=("id", "state"), **options)
    return {**schedule, "jobs": [job async for job in jobs]}


SEND: Mapping[str, Send] = {
    "rebootNode": lambda client, at, given, options: client.nodes.reboot(
        at.pool, at.target, _picked(given, "nodeRebootOption"), **options
    ),
    "reimageNode": lambda client, at, given, options: client.nodes.reimage(
        at.pool, at.target, _picked(given, "nodeReimageOption"), **options
    ),
    "deallocateNode": lambda client, at, given, options: client.nodes.deallocate(
        at.pool, at.target, _picked(given, "nodeDeallocateOption"), **options
    ),
    "startNode": lambda client, at, _, options: client.nodes.start(at.pool, at.target, **options),
    "disableNodeScheduling": lambda client, at, given, options: client.nodes.disable_scheduling(
        at.pool, at.target, _picked(given, "nodeDisableSchedulingOption"), **options
    ),
    "enableNodeScheduling": lambda client, at, _, options: client.nodes.enable_scheduling(
        at.pool, at.target, **options
    ),
    "removeNodes": lambda client, at, given, options: client.pools.remove_nodes(
        at.pool,
        {"nodeList": list(at.targets), **_picked(given, "nodeDeallocationOption", "resizeTimeout")},
        if_match=at.etag,
        **options,
    ),
    "uploadNodeLogs": lambda client, at, given, options: client.nodes.upload_logs(
        at.pool,
        at.target,
        _picked(given, "containerUrl", "startTime", "endTime", "identityReference"),
        **options,
    ),
    "createNodeUser": lambda client, at, given, options: client.node_users.create(
        at.pool,
        at.target,
        _picked(given, "name", "isAdmin", "expiryTime", "password", "sshPublicKey"),
        **options,
    ),
    "updateNodeUser": lambda client, at, given, options: client.node_users.replace(
        at.pool, at.target, str(given["name"]), _picked(given, "expiryTime", "password", "sshPublicKey"), **options
    ),
    "deleteNodeUser": lambda client, at, given, options: client.node_users.delete(
        at.pool, at.target, str(given["name"]), **options
    ),
    "getRemoteLoginSettings": lambda client, at, _, options: client.nodes.get_remote_login_settings(
        at.pool, at.target, **options
    ),
    "listNodeExtensions": lambda client, at, _, options: client.nodes.list_extensions(at.pool, at.target, **options),
    "stopResize": lambda client, at, _, options: client.pools.stop_resize(at.pool, if_match=at.etag, **options),
    "evaluateAutoScale": lambda client, at, given, options: client.pools.evaluate_autoscale(
        at.pool, _picked(given, "autoScaleFormula"), **options
    ),
    "usageMetrics": lambda client, _, given, options: client.pools.list_usage_metrics(
        start_time=_moment(given, "startTime"), end_time=_moment(given, "endTime"), **options
    ),
    "terminateJob": lambda client, at, given, options: client.jobs.terminate(
        at.job,
        _picked(given, "terminateReason") or None,
        force=given.get("force"),
        if_match=at.etag,
        **options,
    ),
    "jobPreparationStatus": lambda client, at, _, options: client.jobs.list_preparation_and_release_status(
        at.job, **options
    ),
    "reactivateTasks": lambda client, at, _, options: client.tasks.reactivate(
        at.job, at.target, if_match=at.etag, **options
    ),
    "terminateTasks": lambda client, at, _, options: client.tasks.terminate(
        at.job, at.target, if_match=at.etag, **options
    ),
    "listSubtasks": lambda client, at, _, options: client.tasks.list_subtasks(at.job, at.task, **options),
    "listFiles": _list_files,
    "readFile": _read_file,
    "deleteFile": _delete_file,
    "terminateSchedule": lambda client, at, given, options: client.job_schedules.terminate(
        at.schedule, force=given.get("force"), if_match=at.etag, **options
    ),
    "scheduleStatus": _schedule_status,
}
