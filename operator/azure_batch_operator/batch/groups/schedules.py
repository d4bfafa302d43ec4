"""Operations on job schedules."""

from collections.abc import AsyncIterator, Sequence
from typing import Unpack

from azure_batch_operator.batch.caller import JsonBody, Listing, detail
from azure_batch_operator.batch.groups.base import Group, JsonObjects
from azure_batch_operator.batch.requests import AllConditions, CallOptions, PageOptions
from azure_batch_operator.batch.responses import JsonObject, Receipt


def _schedule(job_schedule_id: str) -> dict[str, str]:
    return {"jobScheduleId": job_schedule_id}


class JobSchedules(Group):
    """Job schedules of the account."""

    async def create(self, body: JsonBody, **options: Unpack[CallOptions]) -> Receipt:
        """Create a job schedule."""
        return await self._caller.receipt("JobSchedules_CreateJobSchedule", {}, options, body=body)

    def list(
        self,
        *,
        filter: str | None = None,
        select: Sequence[str] | None = None,
        expand: Sequence[str] | None = None,
        **options: Unpack[PageOptions],
    ) -> Listing:
        """List job schedules."""
        return self._caller.listing("JobSchedules_ListJobSchedules", {}, options, detail(select, expand, filter))

    def list_pages(
        self,
        *,
        filter: str | None = None,
        select: Sequence[str] | None = None,
        expand: Sequence[str] | None = None,
        **options: Unpack[PageOptions],
    ) -> AsyncIterator[JsonObjects]:
        """List job schedules, page by page."""
        return self.list(filter=filter, select=select, expand=expand, **options).pages()

    async def get(
        self,
        job_schedule_id: str,
        *,
        select: Sequence[str] | None = None,
        expand: Sequence[str] | None = None,
        **options: Unpack[AllConditions],
    ) -> JsonObject:
        """Get a job schedule."""
        return await self._caller.object(
            "JobSchedules_GetJobSchedule", _schedule(job_schedule_id), options, query=detail(select, expand)
        )

    async def exists(self, job_schedule_id: str, **options: Unpack[AllConditions]) -> bool:
        """Ask whether a job schedule exists; one that is being deleted still does."""
        return await self._caller.exists("JobSchedules_JobScheduleExists", _schedule(job_schedule_id), options)

    async def update(self, job_schedule_id: str, body: JsonBody, **options: Unpack[AllConditions]) -> Receipt:
        """Change the members that the body names, each as a whole, for jobs to come (PATCH)."""
        return await self._caller.receipt(
            "JobSchedules_UpdateJobSchedule", _schedule(job_schedule_id), options, body=body
        )

    async def replace(self, job_schedule_id: str, body: JsonBody, **options: Unpack[AllConditions]) -> Receipt:
        """Replace schedule, job specification and metadata, for jobs to come (PUT)."""
        return await self._caller.receipt(
            "JobSchedules_ReplaceJobSchedule", _schedule(job_schedule_id), options, body=body
        )

    async def delete(
        self, job_schedule_id: str, *, force: bool | None = None, **options: Unpack[AllConditions]
    ) -> Receipt:
        """Begin to delete a schedule with its jobs; it is gone when a GET returns 404."""
        return await self._caller.receipt(
            "JobSchedules_DeleteJobSchedule", _schedule(job_schedule_id), options, query={"force": force}
        )

    async def disable(self, job_schedule_id: str, **options: Unpack[AllConditions]) -> Receipt:
        """Make no more jobs; one that runs continues."""
        return await self._caller.receipt("JobSchedules_DisableJobSchedule", _schedule(job_schedule_id), options)

    async def enable(self, job_schedule_id: str, **options: Unpack[AllConditions]) -> Receipt:
        """Make jobs again."""
        return await self._caller.receipt("JobSchedules_EnableJobSchedule", _schedule(job_schedule_id), options)

    async def terminate(
        self, job_schedule_id: str, *, force: bool | None = None, **options: Unpack[AllConditions]
    ) -> Receipt:
        """Begin to end a schedule and the job that it runs."""
        return await self._caller.receipt(
            "JobSchedules_TerminateJobSchedule", _schedule(job_schedule_id), options, query={"force": force}
        )
