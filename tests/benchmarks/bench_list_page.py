"""A page of 1,000 tasks: as the typed values that the poller reads, as plain JSON, and as models."""

import time
from collections.abc import Callable
from typing import Any

import orjson
from measurement import Measurement

from azure_batch_operator.batch import wire
from azure_batch_operator.batch.models import Task
from azure_batch_operator.batch.paging import read_typed
from azure_batch_operator.batch.responses import Response, json_object, page

ITEMS = 1000
ROUNDS = 15


def task(number: int) -> dict[str, Any]:
    """A completed task as the service lists it."""
    at = "2024-10-24T01:15:21.4060208Z"
    base = "https://acc.westeurope.batch.azure.com"
    return {
        "id": f"task-{number:07}",
        "url": f"{base}/jobs/job/tasks/task-{number:07}",
        "eTag": "0x8DCF3C954A84EB0",
        "creationTime": at,
        "lastModified": at,
        "state": "completed",
        "stateTransitionTime": at,
        "previousState": "running",
        "previousStateTransitionTime": at,
        "commandLine": f"/bin/sh -c 'render --frame {number}'",
        "userIdentity": {"autoUser": {"scope": "pool", "elevationLevel": "nonadmin"}},
        "constraints": {
            "maxWallClockTime": "P10675199DT2H48M5.4775807S",
            "retentionTime": "P7D",
            "maxTaskRetryCount": 0,
        },
        "requiredSlots": 1,
        "executionInfo": {
            "startTime": at,
            "endTime": at,
            "exitCode": 0,
            "result": "Success",
            "retryCount": 0,
            "requeueCount": 0,
        },
        "nodeInfo": {
            "affinityId": "TVM:tvmps_1",
            "nodeUrl": f"{base}/pools/pool/nodes/tvmps_1",
            "poolId": "pool",
            "nodeId": "tvmps_1",
            "taskRootDirectory": f"workitems/job/job-1/task-{number:07}",
            "taskRootDirectoryUrl": f"{base}/pools/pool/nodes/tvmps_1/files/workitems/job/job-1/task-{number:07}",
        },
    }


def best(act: Callable[[], object]) -> float:
    """Milliseconds of the fastest of some rounds."""
    times = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        act()
        times.append(time.perf_counter() - started)
    return min(times) * 1000


def run() -> list[Measurement]:
    """Measure all of them."""
    whole = orjson.dumps({"value": [task(number) for number in range(ITEMS)]})
    few = [{"id": f"task-{number:07}", "state": "completed"} for number in range(ITEMS)]
    selected = orjson.dumps({"value": few})
    headers = {"content-type": "application/json;odata=minimalmetadata"}

    def plain(body: bytes) -> list[dict[str, Any]]:
        answer = Response(200, headers, body)
        return page(json_object(answer, "Tasks_ListTasks"), answer, "Tasks_ListTasks")[0]

    def typed(body: bytes) -> list[wire.Task]:
        return read_typed(wire.Task, Response(200, headers, body), "Tasks_ListTasks", "id")[0]

    return [
        Measurement("whole tasks as typed values", best(lambda: typed(whole)), "ms"),
        Measurement(f"{len(whole) / 1e6:.2g} MB of whole tasks as plain JSON", best(lambda: plain(whole)), "ms"),
        Measurement("the same with $select=id,state", best(lambda: plain(selected)), "ms"),
        Measurement("whole tasks as models", best(lambda: [Task.read(item) for item in plain(whole)]), "ms"),
    ]
