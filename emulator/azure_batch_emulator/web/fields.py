"""What each list can be filtered by (docs/azure-batch.md#filters): name to getter, type and operators."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any

from azure_batch_emulator.web.filters import EQUALITY, Field
from azure_batch_emulator.wire.ticks import parse_timestamp


def _text(name: str, **options: Any) -> Field:
    return Field("text", attrgetter(name), **options)


def _date(name: str) -> Field:
    return Field("date", attrgetter(name))


def _info(attribute: str, key: str) -> Callable[[Any], Any]:
    return lambda resource: (getattr(resource, attribute) or {}).get(key)


POOLS = {
    "id": _text("id", startswith=True),
    "state": _text("state"),
    "stateTransitionTime": _date("state_time"),
    "allocationState": _text("allocation_state"),
    "allocationStateTransitionTime": _date("allocation_time"),
    "creationTime": _date("created"),
    "lastModified": _date("last_modified"),
    "enableAutoScale": Field("boolean", attrgetter("enable_auto_scale"), EQUALITY),
    "vmSize": Field("text", lambda pool: pool.spec["vmSize"], EQUALITY),
    "enableInterNodeCommunication": Field("boolean", lambda pool: pool.spec["enableInterNodeCommunication"], EQUALITY),
}
JOBS_OF_SCHEDULE = {
    "state": _text("state"),
    "stateTransitionTime": _date("state_time"),
    "creationTime": _date("created"),
    "lastModified": _date("last_modified"),
    "executionInfo/startTime": _date("start_time"),
    "executionInfo/endTime": _date("end_time"),
    "executionInfo/poolId": _text("pool_id", startswith=True),
}
JOBS = {"id": _text("id", startswith=True)} | JOBS_OF_SCHEDULE
TASKS = {
    "id": _text("id", startswith=True),
    "state": _text("state"),
    "stateTransitionTime": _date("state_time"),
    "creationTime": _date("created"),
    "lastModifiedTime": _date("last_modified"),
    "executionInfo/startTime": _date("start_time"),
    "executionInfo/endTime": _date("end_time"),
    "executionInfo/exitCode": Field("number", attrgetter("exit_code")),
    "executionInfo/result": _text("result"),
}


def _schedule_time(name: str) -> Callable[[Any], Any]:
    def get(schedule: Any) -> int | None:
        text = schedule.spec.get("schedule", {}).get(name)
        return parse_timestamp(text) if text else None

    return get


JOB_SCHEDULES = {
    "id": _text("id", startswith=True),
    "state": _text("state"),
    "stateTransitionTime": _date("state_time"),
    "creationTime": _date("created"),
    "lastModified": _date("last_modified"),
    "executionInfo/endTime": _date("end_time"),
    "schedule/doNotRunUntil": Field("date", _schedule_time("doNotRunUntil")),
    "schedule/doNotRunAfter": Field("date", _schedule_time("doNotRunAfter")),
}
NODES = {
    "state": _text("state", operators=EQUALITY),
    "stateTransitionTime": _date("state_time"),
    "lastBootTime": _date("boot_time"),
    "allocationTime": _date("allocated"),
    "startTaskInfo/state": Field("text", _info("start_task_info", "state"), frozenset({"eq"})),
    "startTaskInfo/result": Field("text", _info("start_task_info", "result"), EQUALITY),
    "startTaskInfo/exitCode": Field("number", _info("start_task_info", "exitCode")),
    "startTaskInfo/startTime": Field("date", _info("start_task_info", "startTime")),
    "startTaskInfo/endTime": Field("date", _info("start_task_info", "endTime")),
}
NODE_COUNTS = {"poolId": _text("id", operators=frozenset({"eq"}))}
FILES = {"name": _text("name", operators=frozenset(), startswith=True)}
JOB_TASK_STATUS = {
    "poolId": _text("pool_id", operators=EQUALITY),
    "nodeId": _text("node_id", operators=EQUALITY),
} | {
    f"{prefix}/{key}": Field(kind, _info(attribute, key))
    for prefix, attribute in (
        ("jobPreparationTaskExecutionInfo", "preparation"),
        ("jobReleaseTaskExecutionInfo", "release"),
    )
    for key, kind in (
        ("state", "text"),
        ("startTime", "date"),
        ("endTime", "date"),
        ("exitCode", "number"),
        ("result", "text"),
    )
}
SUPPORTED_IMAGES = {
    name: Field("text", lambda item, name=name: item.get(name), EQUALITY)  # type: ignore[misc]
    for name in ("osType", "verificationType", "nodeAgentSKUId")
}
POOL_USAGE = {"poolId": Field("text", lambda item: item["poolId"], frozenset({"eq", "ge", "gt", "le", "lt"}), True)}
