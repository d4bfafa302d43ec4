"""What the API server pays for a BatchTask, write by write: the requests that a user and the operator make, without the operator.

CPU time and allocated memory of its process are counted. The memory hardly depends on what else runs on the machine, and a
quarter of the CPU goes with it. One watch is open, as the operator's would be. The statuses are the operator's own decisions.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson
from measurement import cpu_seconds

from azure_batch_operator.api.base import API_VERSION
from azure_batch_operator.api.resource import Resource
from azure_batch_operator.kube import finalizers
from azure_batch_operator.kube.api import JSON_PATCH, MERGE_PATCH
from azure_batch_operator.kube.status import merge_patch
from azure_batch_operator.reconcile import ownership
from azure_batch_operator.reconcile.plan import AccountView
from azure_batch_operator.reconcile.task import lifecycle as task
from azure_batch_operator.reconcile.task.scope import JobView, TaskScope, TaskView
from localcluster import LocalCluster
from stage import NAMESPACE, SERVICE_ACCOUNT
from support.typed import observed

Json = dict[str, Any]
_PATH = f"/apis/{API_VERSION}/namespaces/default/batchtasks"
_AT_ONCE = 16
_ALLOCATED = re.compile(r"^go_memstats_alloc_bytes_total (\S+)$", re.MULTILINE)
_CLUSTER = "11111111-2222-3333-4444-555555555555"
_ACCOUNT = AccountView(usable=True, url="https://main.westeurope.batch.azure.com", name="default/main")
_JOB = JobView(exists=True, id="render", remote={"id": "render", "state": "active"}, ours=True)
_NODE = {"nodeId": f"tvmps_{64 * 'f'}_d"}
_STARTED: Json = {"startTime": "2026-11-29T10:00:00Z", "retryCount": 0, "requeueCount": 0}
_ENDED: Json = {**_STARTED, "endTime": "2026-11-29T10:00:40Z", "exitCode": 0, "result": "success"}
_SPEC: Json = {
    "jobRef": {"name": "render"},
    "commandLine": "/bin/sh -c 'render --frame 17 --out $AZ_BATCH_TASK_WORKING_DIR'",
    "environmentSettings": [{"name": "FRAME", "value": "17"}, {"name": "SCENE", "value": "harbor"}],
    "constraints": {"maxTaskRetryCount": 2},
}


@dataclass(frozen=True)
class Cost:
    """What one request costs the API server."""

    what: str
    cpu_milliseconds: float
    allocated_kib: float


@dataclass
class Client:
    """Requests of one user."""

    session: aiohttp.ClientSession
    headers: Mapping[str, str]

    async def send(self, method: str, path: str, body: Any, content_type: str = "application/json") -> Json:
        """One request; the object in its answer."""
        headers = {**self.headers, "Content-Type": content_type}
        async with self.session.request(method, path, data=orjson.dumps(body), headers=headers) as answer:
            text = await answer.read()
            if answer.status >= 300:
                raise AssertionError(f"{method} {path}: {answer.status} {text.decode()[:500]}")
            return dict(orjson.loads(text))


def status_of(resource: Resource, state: str, info: Mapping[str, Any]) -> Mapping[str, Any]:
    """The status that the operator gives a BatchTask whose task is in this state."""
    remote = {
        "id": resource.remote_id,
        "state": state,
        "executionInfo": info,
        "nodeInfo": _NODE,
        "owner": ownership.marker(_CLUSTER, resource),
    }
    plan = task.plan(TaskScope(resource, _ACCOUNT, _JOB, TaskView(observed(remote)), _CLUSTER, 1795946460.0))
    if plan.status is None:
        raise AssertionError(f"no status for a task that is {state}")
    return plan.status


async def measure(cluster: LocalCluster, count: int, prefix: str = "t") -> list[Cost]:
    """Give so many BatchTasks their lives, one kind of request after the other; one that no task needs is left out.

    Args:
        prefix: of their names, which stay taken.
    """
    context = ssl.create_default_context(cafile=str(cluster.ca_file))
    token = cluster.token_for(NAMESPACE, SERVICE_ACCOUNT)
    async with aiohttp.ClientSession(cluster.url, connector=aiohttp.TCPConnector(ssl=context)) as session:
        user = Client(session, {"Authorization": f"Bearer {cluster.admin_token}", "User-Agent": "kubectl/v1.36.3"})
        operator = Client(session, {"Authorization": f"Bearer {token}", "User-Agent": "azure-batch-operator/0.1"})
        found: list[Json] = [{"metadata": {"name": f"{prefix}{number:06}"}, "spec": _SPEC} for number in range(count)]

        async def create(body: Json) -> Json:
            whole = {"apiVersion": API_VERSION, "kind": "BatchTask", **body}
            return await user.send("POST", f"{_PATH}?fieldManager=kubectl-create", whole)

        async def hold(body: Json) -> Json:
            return await operator.send("PATCH", _path(body), finalizers.added(Resource.parse(body)), JSON_PATCH)

        async def let_go(body: Json) -> Json:
            return await operator.send("PATCH", _path(body), finalizers.removed(Resource.parse(body)), JSON_PATCH)

        async def show(body: Json, state: str, info: Mapping[str, Any]) -> Json:
            patch = merge_patch(body["status"], status_of(Resource.parse(body), state, info))
            whole = {"metadata": {"uid": body["metadata"]["uid"]}, "status": patch}
            return await operator.send("PATCH", f"{_path(body)}/status", whole, MERGE_PATCH)

        steps: list[tuple[str, Callable[[Json], Awaitable[Json]]]] = [
            ("create", create),
            ("finalizer on", hold),
            ("first status", lambda body: show(body, "running", _STARTED)),
            ("second status", lambda body: show(body, "completed", _ENDED)),
            ("finalizer off", let_go),
        ]
        costs = []
        async with _watching(operator):
            own = _spent(cluster)
            own = tuple(after - before for before, after in zip(own, _spent(cluster), strict=True))
            for what, step in steps:
                if step is hold and all(Resource.parse(each).has_finalizer for each in found):
                    continue
                before = _spent(cluster)
                found = await _all(step, found)
                cpu, memory = (
                    after - first - reading for first, after, reading in zip(before, _spent(cluster), own, strict=True)
                )
                costs.append(Cost(what, cpu * 1000 / count, memory / 1024 / count))
    return costs


def _path(body: Json) -> str:
    return f"{_PATH}/{body['metadata']['name']}"


def _spent(cluster: LocalCluster) -> tuple[float, ...]:
    """CPU seconds that the API server has taken and bytes that it has allocated so far."""
    allocated = _ALLOCATED.search(cluster.metrics())
    if allocated is None:
        raise AssertionError("the API server does not say how much it has allocated")
    return cpu_seconds(cluster.processes["kube-apiserver"].pid), float(allocated[1])


@asynccontextmanager
async def _watching(client: Client) -> AsyncIterator[None]:
    """An open watch whose events are read and dropped."""

    async def drain() -> None:
        patient = aiohttp.ClientTimeout(total=None)
        async with client.session.get(
            _PATH, params={"watch": "true"}, headers=client.headers, timeout=patient
        ) as answer:
            async for _ in answer.content.iter_chunked(1 << 16):
                pass

    reader = asyncio.create_task(drain())
    try:
        yield
    finally:
        reader.cancel()
        with suppress(asyncio.CancelledError):
            await reader


async def _all(step: Callable[[Json], Awaitable[Json]], bodies: list[Json]) -> list[Json]:
    """Each body after a step, a bounded number at once."""
    results: list[Json] = [{}] * len(bodies)
    numbers: Iterator[int] = iter(range(len(bodies)))

    async def work() -> None:
        for number in numbers:
            results[number] = await step(bodies[number])

    async with asyncio.TaskGroup() as group:
        for _ in range(_AT_ONCE):
            group.create_task(work())
    return results
