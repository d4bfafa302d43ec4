"""Operations on jobs."""

from collections.abc import AsyncIterator, Sequence
from typing import Unpack

from azure_batch_operator.batch.caller import JsonBody, Listing, detail
from azure_batch_operator.batch.groups.base import Group, JsonObjects
from azure_batch_operator.batch.requests import AllConditions, CallOptions, PageOptions
from azure_batch_operator.batch.responses import JsonObject, Receipt


class Jobs(Group):
    """Jobs of the account."""

    async def create(self, body: JsonBody, **options: Unpack[CallOptions]) -> Receipt:
        """Create a job."""
        return await self._caller.receipt("Jobs_CreateJob", {}, options, body=body)

    def list(
        self,
        *,
        filter: str | None = None,
        select: Sequence[str] | None = None,
        expand: Sequence[str] | None = None,
        **options: Unpack[PageOptions],
    ) -> Listing:
        """List jobs, in no order to rely on."""
        return self._caller.listing("Jobs_ListJobs", {}, options, detail(select, expand, filter))

    def list_pages(
        self,
        *,
        filter: str | None = None,
        select: Sequence[str] | None = None,
        expand: Sequence[str] | None = None,
        **options: Unpack[PageOptions],
    ) -> AsyncIterator[JsonObjects]:
        """List jobs, page by page."""
        return self.list(filter=filter, select=select, expand=expand, **options).pages()

    def list_from_schedule(
        self,
        job_schedule_id: str,
        *,
        filter: str | None = None,
        select: Sequence[str] | None = None,
        expand: Sequence[str] | None = None,
        **options: Unpack[PageOptions],
    ) -> Listing:
        """List the jobs that a schedule made."""
        arguments = {"jobScheduleId": job_schedule_id}
        return self._caller.listing("Jobs_ListJobsFromSchedule", arguments, options, detail(select, expand, filter))

    async def get(
        self,
        job_id: str,
        *,
        select: Sequence[str] | None = None,
        expand: Sequence[str] | None = None,
        **options: Unpack[AllConditions],
    ) -> JsonObject:
        """Get a job."""
        return await self._caller.object("Jobs_GetJob", {"jobId": job_id}, options, query=detail(select, expand))

    async def update(self, job_id: str, body: JsonBody, **options: Unpack[AllConditions]) -> Receipt:
        """Change the members of a job that the body names, each as a whole (PATCH)."""
        return await self._caller.receipt("Jobs_UpdateJob", {"jobId": job_id}, options, body=body)

    async def replace(self, job_id: str, body: JsonBody, **options: Unpack[AllConditions]) -> Receipt:
        """Replace what can change in a job; what the body leaves out falls back to its default (PUT)."""
        return await self._caller.receipt("Jobs_ReplaceJob", {"jobId": job_id}, options, body=body)

    async def delete(self, job_id: str, *, force: bool | None = None, **options: Unpack[AllConditions]) -> Receipt:
        """Begin to delete a job with its tasks; it is gone when a GET returns 404."""
        return await self._caller.receipt("Jobs_DeleteJob", {"jobId": job_id}, options, query={"force": force})

    async def disable(self, job_id: str, body: JsonBody, **options: Unpack[AllConditions]) -> Receipt:
        """Begin to disable a job; `disableTasks` says what happens to its running tasks."""
        return await self._caller.receipt("Jobs_DisableJob", {"jobId": job_id}, options, body=body)

    async def enable(self, job_id: str, **options: Unpack[AllConditions]) -> Receipt:
        """Let a job's tasks run again."""
        return await self._caller.receipt("Jobs_EnableJob", {"jobId": job_id}, options)

    async def terminate(
        self, job_id: str, body: JsonBody | None = None, *, force: bool | None = None, **options: Unpack[AllConditions]
    ) -> Receipt:
        """Begin to end a job; `terminateReason` in the body appears as the reason."""
        return await self._caller.receipt(
            "Jobs_TerminateJob", {"jobId": job_id}, options, body=body, query={"force": force}
        )

    async def get_task_counts(self, job_id: str, **options: Unpack[CallOptions]) -> JsonObject:
        """Get the numbers of tasks and slots by state; they lag behind by up to minutes."""
        return await self._caller.object("Jobs_GetJobTaskCounts", {"jobId": job_id}, options)

    def list_preparation_and_release_status(
        self,
        job_id: str,
        *,
        filter: str | None = None,
        select: Sequence[str] | None = None,
        **options: Unpack[PageOptions],
    ) -> Listing:
        """List what job preparation and release did on each node."""
        operation = "Jobs_ListJobPreparationAndReleaseTaskStatus"
        return self._caller.listing(operation, {"jobId": job_id}, options, detail(select, filter=filter))
