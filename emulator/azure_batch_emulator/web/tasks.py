"""Handlers of the task operations."""

from __future__ import annotations

from itertools import islice
from typing import Any

from azure_batch_emulator.engine import job_rules
from azure_batch_emulator.engine.entities import Job, Task
from azure_batch_emulator.schema import tasks as schema
from azure_batch_emulator.web import fields, render
from azure_batch_emulator.web.filters import Predicate
from azure_batch_emulator.web.messages import Handler, Reply, Request, reply_page
from azure_batch_emulator.web.query import select
from azure_batch_emulator.web.task_pages import TaskPage
from azure_batch_emulator.wire.errors import BatchError, invalid_body, invalid_property, missing_property
from azure_batch_emulator.wire.ticks import etag, format_timestamp

MAX_IN_COLLECTION = 100


def create(request: Request) -> Reply:
    body = request.json(schema.TASK)
    job = request.service.job(request.parameters["jobId"])
    task = request.service.tasks.add(job, body)
    url = render.task_url(request.base_url, job.id, task.id)
    return Reply(modified=task.last_modified, location=url, data_service_id=url)


def create_collection(request: Request) -> Reply:
    body = request.raw_json()
    items = body.get("value")
    if items is None:
        raise missing_property("value")
    if not isinstance(items, list):
        raise invalid_body("The property 'value' must be a list.")
    if len(items) > MAX_IN_COLLECTION:
        reason = f"A collection has at most {MAX_IN_COLLECTION} tasks."
        raise invalid_property("value", len(items), reason)
    job = request.service.job(request.parameters["jobId"])
    # Reported: a job that has ended refuses the whole collection, not its items one by one.
    job_rules.check_allowed("add_task", job.state)
    results = []
    for index, item in enumerate(items):
        if request.partial is not None and request.partial.hits(index):
            results.append(_failed_item(request, item, BatchError(request.partial.code), request.partial.status))
        else:
            results.append(_add_item(request, job, item))
    return Reply({"odata.metadata": request.metadata("taskaddresult"), "value": results})


def _add_item(request: Request, job: Job, item: Any) -> dict[str, Any]:
    try:
        task = request.service.tasks.add(job, schema.TASK.accept("value", item))
    except BatchError as error:
        return _failed_item(request, item, error, "ClientError")
    return {
        "status": "Success",
        "taskId": task.id,
        "eTag": etag(task.last_modified),
        "lastModified": format_timestamp(task.last_modified),
        "location": render.task_url(request.base_url, job.id, task.id),
    }


def _failed_item(request: Request, item: Any, error: BatchError, status: str) -> dict[str, Any]:
    task_id = item.get("id") if isinstance(item, dict) else None
    content = error.content(request.request_id, request.service.clock.now())
    return {"status": status, "taskId": task_id if isinstance(task_id, str) else "", "error": content}


def _find(request: Request) -> Task:
    task = request.service.task(request.parameters["jobId"], request.parameters["taskId"])
    request.check_conditions(task.last_modified)
    return task


def get(request: Request) -> Reply:
    task = _find(request)
    paths = request.query.selection(render.TASK_PROPERTIES)
    body = {"odata.metadata": request.metadata("tasks/@Element")} | render.task(request.base_url, task)
    if request.query.expands_stats():
        body["stats"] = request.service.statistics.task(request.base_url, task)
    return Reply(select(body, paths), modified=task.last_modified)


def list_tasks(request: Request) -> Reply:
    """Tasks by ordinal id; a page costs what it holds, however many tasks the job has."""
    job = request.service.job(request.parameters["jobId"])
    matches = request.filter(fields.TASKS)
    token = request.query.skip_token(str)
    stats = request.query.expands_stats()
    if not stats and request.query.get("$select") is None:
        return _written_page(request, job, matches, token)

    def item(task: Task) -> dict[str, Any]:
        body = render.task(request.base_url, task)
        if stats:
            body["stats"] = request.service.statistics.task(request.base_url, task)
        return body

    return reply_page(
        request,
        "tasks",
        job.tasks_in_order.after(token),
        lambda task: task.id.lower(),
        item,
        matches=matches,
        known=render.TASK_PROPERTIES,
    )


def _written_page(request: Request, job: Job, matches: Predicate | None, token: str | None) -> Reply:
    """A page without a selection, written straight away."""
    size = request.query.max_results()
    if matches is None:
        chosen = job.tasks_in_order.first_after(token, size + 1)
    else:
        chosen = list(islice(filter(matches, job.tasks_in_order.after(token)), size + 1))
    if not chosen:
        return Reply({"odata.metadata": request.metadata("tasks"), "value": []})
    link = None
    if len(chosen) > size:
        del chosen[size:]
        link = request.query.next_link(f"{request.base_url}{request.path}", chosen[-1].id.lower())
    page = TaskPage(request.base_url, request.version, request.metadata("tasks"))
    return Reply(blocks=page.blocks(chosen, link))


def replace(request: Request) -> Reply:
    ignored = schema.TASK_READ_ONLY | (frozenset(schema.TASK.properties) - {"constraints"})
    body = request.json(schema.TASK_UPDATE, ignore=ignored)
    task = _find(request)
    request.service.tasks.replace(task, body["constraints"])
    return Reply(modified=task.last_modified, data_service_id=True)


def delete(request: Request) -> Reply:
    request.service.tasks.delete(_find(request))
    return Reply()


def terminate(request: Request) -> Reply:
    task = _find(request)
    request.service.tasks.terminate(task)
    return Reply(modified=task.last_modified, data_service_id=True)


def reactivate(request: Request) -> Reply:
    task = _find(request)
    request.service.tasks.reactivate(task)
    return Reply(modified=task.last_modified)


def list_subtasks(request: Request) -> Reply:
    task = request.service.task(request.parameters["jobId"], request.parameters["taskId"])
    paths = request.query.selection()
    value = [select(render.subtask(request.base_url, task, subtask), paths) for subtask in task.subtasks or ()]
    return Reply({"odata.metadata": request.metadata("subtaskinfo"), "value": value})


HANDLERS: dict[str, Handler] = {
    "Tasks_CreateTask": create,
    "Tasks_CreateTaskCollection": create_collection,
    "Tasks_GetTask": get,
    "Tasks_ListTasks": list_tasks,
    "Tasks_ReplaceTask": replace,
    "Tasks_DeleteTask": delete,
    "Tasks_TerminateTask": terminate,
    "Tasks_ReactivateTask": reactivate,
    "Tasks_ListSubTasks": list_subtasks,
}
