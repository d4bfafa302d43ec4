"""Handlers of the job schedule operations."""

from __future__ import annotations

from typing import Any

from azure_batch_emulator.engine.entities import JobSchedule
from azure_batch_emulator.schema import jobs as schema
from azure_batch_emulator.web import fields, render
from azure_batch_emulator.web.messages import Handler, Reply, Request, after_key, reply_page
from azure_batch_emulator.web.query import select

_KEPT_BY_REPLACE = frozenset({"id", "displayName"})


def create(request: Request) -> Reply:
    body = request.json(schema.JOB_SCHEDULE)
    schedule = request.service.schedules.create(body["id"], body)
    url = render.schedule_url(request.base_url, schedule.id)
    return Reply(modified=schedule.last_modified, location=url, data_service_id=url)


def _find(request: Request) -> JobSchedule:
    schedule = request.service.schedule(request.parameters["jobScheduleId"])
    request.check_conditions(schedule.last_modified)
    return schedule


def get(request: Request) -> Reply:
    schedule = _find(request)
    paths = request.query.selection(render.SCHEDULE_PROPERTIES)
    body = {"odata.metadata": request.metadata("jobschedules/@Element")} | render.schedule(request.base_url, schedule)
    if request.query.expands_stats():
        body["stats"] = request.service.statistics.schedule(request.base_url, schedule)
    return Reply(select(body, paths), modified=schedule.last_modified)


def exists(request: Request) -> Reply:
    return Reply(modified=_find(request).last_modified)


def list_schedules(request: Request) -> Reply:
    matches = request.filter(fields.JOB_SCHEDULES)
    stats = request.query.expands_stats()

    def item(schedule: JobSchedule) -> dict[str, Any]:
        body = render.schedule(request.base_url, schedule)
        if stats:
            body["stats"] = request.service.statistics.schedule(request.base_url, schedule)
        return body

    found = after_key(
        request.service.schedule_table.values(), lambda schedule: schedule.id, request.query.skip_token(str)
    )
    return reply_page(
        request,
        "jobschedules",
        found,
        lambda schedule: schedule.id,
        item,
        matches=matches,
        known=render.SCHEDULE_PROPERTIES,
    )


def update(request: Request) -> Reply:
    body = request.json(schema.JOB_SCHEDULE_UPDATE, partial=True)
    schedule = _find(request)
    request.service.schedules.update(schedule, body, replace=False)
    return Reply(modified=schedule.last_modified, data_service_id=True)


def replace(request: Request) -> Reply:
    body = request.json(schema.JOB_SCHEDULE_REPLACE, ignore=schema.JOB_READ_ONLY | _KEPT_BY_REPLACE)
    schedule = _find(request)
    request.service.schedules.update(schedule, body, replace=True)
    return Reply(modified=schedule.last_modified, data_service_id=True)


def delete(request: Request) -> Reply:
    request.query.flag("force")
    request.service.schedules.delete(_find(request))
    return Reply()


def disable(request: Request) -> Reply:
    schedule = _find(request)
    request.service.schedules.disable(schedule)
    return Reply(modified=schedule.last_modified, data_service_id=True)


def enable(request: Request) -> Reply:
    schedule = _find(request)
    request.service.schedules.enable(schedule)
    return Reply(modified=schedule.last_modified, data_service_id=True)


def terminate(request: Request) -> Reply:
    request.query.flag("force")
    schedule = _find(request)
    request.service.schedules.terminate(schedule)
    return Reply(modified=schedule.last_modified, data_service_id=True)


HANDLERS: dict[str, Handler] = {
    "JobSchedules_CreateJobSchedule": create,
    "JobSchedules_GetJobSchedule": get,
    "JobSchedules_JobScheduleExists": exists,
    "JobSchedules_ListJobSchedules": list_schedules,
    "JobSchedules_UpdateJobSchedule": update,
    "JobSchedules_ReplaceJobSchedule": replace,
    "JobSchedules_DeleteJobSchedule": delete,
    "JobSchedules_DisableJobSchedule": disable,
    "JobSchedules_EnableJobSchedule": enable,
    "JobSchedules_TerminateJobSchedule": terminate,
}
