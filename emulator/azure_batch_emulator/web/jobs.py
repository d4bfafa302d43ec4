"""Handlers of the job operations."""

from __future__ import annotations

from typing import Any

from azure_batch_emulator.engine.entities import Job
from azure_batch_emulator.schema import jobs as schema
from azure_batch_emulator.web import fields, render
from azure_batch_emulator.web.filters import Fields
from azure_batch_emulator.web.messages import Handler, Reply, Request, after_key, reply_page
from azure_batch_emulator.web.query import select
from azure_batch_emulator.wire.errors import BatchError


def create(request: Request) -> Reply:
    body = request.json(schema.JOB)
    job = request.service.jobs.create(body["id"], body)
    # Recorded in every version: both name job-1, whatever the job's id (docs/azure-batch.md#response-headers).
    url = render.job_url(request.base_url, "job-1")
    return Reply(modified=job.last_modified, location=url, data_service_id=url)


def _find(request: Request) -> Job:
    job = request.service.job(request.parameters["jobId"])
    request.check_conditions(job.last_modified)
    return job


def get(request: Request) -> Reply:
    job = _find(request)
    paths = request.query.selection(render.JOB_PROPERTIES)
    body = {"odata.metadata": request.metadata("jobs/@Element")} | render.job(request.base_url, job)
    if request.query.expands_stats():
        body["stats"] = request.service.statistics.job(request.base_url, job)
    return Reply(select(body, paths), modified=job.last_modified)


def list_jobs(request: Request) -> Reply:
    return _page(request, list(request.service.job_table.values()), fields.JOBS)


def list_of_schedule(request: Request) -> Reply:
    schedule = request.service.schedule(request.parameters["jobScheduleId"])
    return _page(request, request.service.jobs_of(schedule), fields.JOBS_OF_SCHEDULE)


def _ended(job: Job, moment: int) -> int:
    """0 for a job that was still going on at that moment, 1 for one that had ended."""
    return int(job.end_time is not None and job.end_time <= moment)


def _page(request: Request, jobs: list[Job], filterable: Fields) -> Reply:
    matches = request.filter(filterable)
    stats = request.query.expands_stats()

    def item(job: Job) -> dict[str, Any]:
        body = render.job(request.base_url, job)
        if stats:
            body["stats"] = request.service.statistics.job(request.base_url, job)
        return body

    # Active jobs come first, in each group the newest (recorded). All pages show the order of the moment when the first
    # was asked for: a job that ends meanwhile keeps its place, one that is added meanwhile is on no page.
    token = request.query.skip_token(int, int, int, str)
    moment = request.service.clock.now() if token is None else token[0]

    def position(job: Job) -> list[Any]:
        return [moment, _ended(job, moment), -job.created, job.id]

    found = after_key((job for job in jobs if job.created <= moment), position, token)
    return reply_page(request, "jobs", found, position, item, matches=matches, known=render.JOB_PROPERTIES)


def update(request: Request) -> Reply:
    body = request.json(schema.JOB_UPDATE, partial=True)
    job = _find(request)
    request.service.jobs.update(job, body)
    return Reply(modified=job.last_modified, data_service_id=True)


def replace(request: Request) -> Reply:
    body = request.json(schema.JOB_REPLACE, ignore=schema.JOB_READ_ONLY | schema.JOB_KEPT_BY_REPLACE)
    job = _find(request)
    # What a PUT leaves out falls back to its default; lists and network settings have none and go.
    body = {"metadata": None, "networkConfiguration": None, **body}
    request.service.jobs.update(job, body)
    return Reply(modified=job.last_modified, data_service_id=True)


def delete(request: Request) -> Reply:
    request.query.flag("force")
    request.service.jobs.delete(_find(request))
    return Reply()


def disable(request: Request) -> Reply:
    body = request.json(schema.DISABLE_JOB)
    job = _find(request)
    request.service.jobs.disable(job, body["disableTasks"])
    return Reply(modified=job.last_modified, data_service_id=True)


def enable(request: Request) -> Reply:
    job = _find(request)
    request.service.jobs.enable(job)
    return Reply(modified=job.last_modified, data_service_id=True)


def terminate(request: Request) -> Reply:
    request.query.flag("force")
    body = request.optional_json(schema.TERMINATE_JOB)
    job = _find(request)
    request.service.jobs.terminate(job, body.get("terminateReason", "UserTerminate"))
    return Reply(modified=job.last_modified, data_service_id=True)


def task_counts(request: Request) -> Reply:
    job = request.service.job(request.parameters["jobId"])
    tasks, slots = request.service.jobs.shown_counts(job)
    body = {
        "odata.metadata": request.metadata("taskcountsresult/@Element"),
        "taskCounts": render.counts(tasks),
        "taskSlotCounts": render.counts(slots),
    }
    return Reply(body)


def job_task_status(request: Request) -> Reply:
    job = request.service.job(request.parameters["jobId"])
    if "jobPreparationTask" not in job.spec and "jobReleaseTask" not in job.spec:
        raise BatchError("JobPreparationTaskOrReleaseTaskNotSpecified")
    matches = request.filter(fields.JOB_TASK_STATUS)
    records = after_key(
        job.job_task_records, lambda record: [record.pool_id, record.node_id], request.query.skip_token(str, str)
    )
    return reply_page(
        request,
        "jobpreparationandreleasetaskstatuslist",
        records,
        lambda record: [record.pool_id, record.node_id],
        lambda record: render.job_task_status(request.base_url, record),
        matches=matches,
    )


HANDLERS: dict[str, Handler] = {
    "Jobs_CreateJob": create,
    "Jobs_GetJob": get,
    "Jobs_ListJobs": list_jobs,
    "Jobs_ListJobsFromSchedule": list_of_schedule,
    "Jobs_UpdateJob": update,
    "Jobs_ReplaceJob": replace,
    "Jobs_DeleteJob": delete,
    "Jobs_DisableJob": disable,
    "Jobs_EnableJob": enable,
    "Jobs_TerminateJob": terminate,
    "Jobs_GetJobTaskCounts": task_counts,
    "Jobs_ListJobPreparationAndReleaseTaskStatus": job_task_status,
}
