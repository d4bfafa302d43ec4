"""Sees every call that reaches the service's handlers, also those whose caller has given up or is dead."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import orjson

from azure_batch_emulator.engine.service import BatchService
from azure_batch_emulator.web.handlers import HANDLERS
from azure_batch_emulator.web.messages import Handler, HeldError, Reply, Request
from azure_batch_emulator.wire.errors import BatchError
from histories.record import TASK_MARKER, Effect, Thing, owner_in, owner_of

SOMEBODY_ELSE = "somebody-else"
"""The request id of calls outside the operator."""


def _by_request_id(request: Request) -> bool:
    return request.request_id != SOMEBODY_ELSE


@contextmanager
def witnessed(
    note: Callable[[Effect], None], now: Callable[[], float], ours: Callable[[Request], bool] = _by_request_id
) -> Iterator[None]:
    """Note all effects until the end of ``with``.

    Args:
        ours: whether the operator has sent a call.
    """
    usual = dict(HANDLERS)
    for operation, handler in usual.items():
        HANDLERS[operation] = partial(_seen, note, now, ours, operation, handler)
    try:
        yield
    finally:
        HANDLERS.update(usual)


def _seen(
    note: Callable[[Effect], None],
    now: Callable[[], float],
    is_ours: Callable[[Request], bool],
    operation: str,
    handler: Handler,
    request: Request,
) -> Reply:
    if request.route.method in {"GET", "HEAD"}:
        return handler(request)
    before = thing(request.service, request.parameters)
    status, code = 200, ""
    reply: Reply | None = None
    try:
        reply = handler(request)
    except HeldError:
        code = "Held"
        raise
    except BatchError as error:
        status, code = error.status, error.code
        raise
    finally:
        if code != "Held":
            body = _json(request.body)
            ours = is_ours(request)
            added = _added(operation, body, reply) if reply is not None else ()
            parameters = dict(request.parameters)
            note(Effect(now(), ours, operation, request.path, parameters, body, before, added, status, code))
    return reply


def _json(body: bytes) -> Any:
    try:
        return orjson.loads(body) if body.strip() else None
    except orjson.JSONDecodeError:
        return None


def _added(operation: str, body: Any, reply: Reply) -> tuple[str, ...]:
    if operation == "Tasks_CreateTask":
        return (str(body["id"]),)
    if operation == "Tasks_CreateTaskCollection":
        items = (reply.body or {}).get("value", ())
        return tuple(str(each["taskId"]) for each in items if each["status"] == "Success")
    return ()


def thing(service: BatchService, parameters: dict[str, str]) -> Thing | None:
    """What a path names, as it is now; None if it is not there."""
    if "poolId" in parameters:
        return _pool(service, parameters["poolId"])
    if "taskId" in parameters:
        return _task(service, parameters["jobId"], parameters["taskId"])
    if "jobScheduleId" in parameters:
        return _schedule(service, parameters["jobScheduleId"])
    return _job(service, parameters["jobId"]) if "jobId" in parameters else None


def _pool(service: BatchService, id: str) -> Thing | None:
    pool = service.pool_table.get(id.lower())
    if pool is None:
        return None
    facts = {"dedicated": pool.target_dedicated, "spot": pool.target_low_priority, "spec": pool.spec}
    owner = owner_in(pool.spec.get("metadata"))
    return Thing("pool", pool.id, owner, str(pool.created), pool.state, facts=facts)


def _job(service: BatchService, id: str) -> Thing | None:
    job = service.job_table.get(id.lower())
    if job is None:
        return None
    tasks = {each.id: each.state for each in job.tasks.values()}
    results = {each.id: each.result for each in job.tasks.values()}
    started = any(each.start_time is not None for each in job.tasks.values())
    ran = sorted(each.id for each in job.tasks.values() if each.start_time is not None)
    commands = {each.id: each.command_line for each in job.tasks.values()}
    facts = {"schedule": job.schedule_id, "results": results, "ran": ran, "commands": commands}
    return Thing("job", job.id, owner_in(job.spec.get("metadata")), str(job.created), job.state, tasks, started, facts)


def _task(service: BatchService, job_id: str, id: str) -> Thing | None:
    job = service.job_table.get(job_id.lower())
    task = job.tasks.get(id.lower()) if job is not None else None
    if job is None or task is None:
        return None
    variables = task.spec.get("environmentSettings") or ()
    texts = [each.get("value") for each in variables if each.get("name") == TASK_MARKER]
    owner = owner_of(texts[0]) if texts else None
    marker = owner_in(job.spec.get("metadata"))
    facts = {"job": job.id, "job_owner": marker, "result": task.result, "command": task.command_line}
    started = task.start_time is not None
    return Thing("task", task.id, owner, str(task.created), task.state, started=started, facts=facts)


def _schedule(service: BatchService, id: str) -> Thing | None:
    found = service.schedule_table.get(id.lower())
    if found is None:
        return None
    return Thing("schedule", found.id, owner_in(found.spec.get("metadata")), str(found.created), found.state)
