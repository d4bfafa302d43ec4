"""Operations on tasks."""

from collections.abc import AsyncIterator, Sequence
from typing import Unpack

from azure_batch_operator.batch.caller import JsonBody, Listing, detail
from azure_batch_operator.batch.groups.base import Group, JsonObjects
from azure_batch_operator.batch.requests import AllConditions, CallOptions, PageOptions
from azure_batch_operator.batch.responses import JsonObject, Receipt, TaskAddResult

TaskAddResults = list[TaskAddResult]


def _task(job_id: str, task_id: str) -> dict[str, str]:
    return {"jobId": job_id, "taskId": task_id}


class Tasks(Group):
    """Tasks of a job."""

    async def create(self, job_id: str, body: JsonBody, **options: Unpack[CallOptions]) -> Receipt:
        """Add one task to a job."""
        return await self._caller.receipt("Tasks_CreateTask", {"jobId": job_id}, options, body=body)

    async def create_collection(
        self, job_id: str, tasks: Sequence[JsonBody], **options: Unpack[CallOptions]
    ) -> TaskAddResults:
        """Add up to 100 tasks in up to 1 MiB; one result per task, in no order to rely on.

        A success of the call says nothing about the tasks: look at each result. For more tasks there is
        `BatchClient.add_tasks`.
        """
        return await self._caller.add_tasks({"jobId": job_id}, {"value": [*tasks]}, options)

    def list(
        self,
        job_id: str,
        *,
        filter: str | None = None,
        select: Sequence[str] | None = None,
        expand: Sequence[str] | None = None,
        **options: Unpack[PageOptions],
    ) -> Listing:
        """List the tasks of a job, by id."""
        return self._caller.listing("Tasks_ListTasks", {"jobId": job_id}, options, detail(select, expand, filter))

    def list_pages(
        self,
        job_id: str,
        *,
        filter: str | None = None,
        select: Sequence[str] | None = None,
        expand: Sequence[str] | None = None,
        **options: Unpack[PageOptions],
    ) -> AsyncIterator[JsonObjects]:
        """List the tasks of a job, page by page."""
        return self.list(job_id, filter=filter, select=select, expand=expand, **options).pages()

    async def get(
        self,
        job_id: str,
        task_id: str,
        *,
        select: Sequence[str] | None = None,
        expand: Sequence[str] | None = None,
        **options: Unpack[AllConditions],
    ) -> JsonObject:
        """Get a task."""
        return await self._caller.object("Tasks_GetTask", _task(job_id, task_id), options, query=detail(select, expand))

    async def replace(self, job_id: str, task_id: str, body: JsonBody, **options: Unpack[AllConditions]) -> Receipt:
        """Replace the constraints of a task, the only thing about it that can change."""
        return await self._caller.receipt("Tasks_ReplaceTask", _task(job_id, task_id), options, body=body)

    async def delete(self, job_id: str, task_id: str, **options: Unpack[AllConditions]) -> Receipt:
        """Delete a task with its files."""
        return await self._caller.receipt("Tasks_DeleteTask", _task(job_id, task_id), options)

    async def terminate(self, job_id: str, task_id: str, **options: Unpack[AllConditions]) -> Receipt:
        """End a task."""
        return await self._caller.receipt("Tasks_TerminateTask", _task(job_id, task_id), options)

    async def reactivate(self, job_id: str, task_id: str, **options: Unpack[AllConditions]) -> Receipt:
        """Let a failed task run again, its retries again."""
        return await self._caller.receipt("Tasks_ReactivateTask", _task(job_id, task_id), options)

    def list_subtasks(
        self, job_id: str, task_id: str, *, select: Sequence[str] | None = None, **options: Unpack[CallOptions]
    ) -> Listing:
        """List the subtasks of a multi-instance task; always one page."""
        return self._caller.listing("Tasks_ListSubTasks", _task(job_id, task_id), options, {"$select": select})
