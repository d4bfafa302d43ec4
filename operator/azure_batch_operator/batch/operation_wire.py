"""What BatchOperations act on and what their calls return, as typed values."""

from __future__ import annotations

from msgspec import field

from azure_batch_operator.batch.pool_wire import PoolError
from azure_batch_operator.batch.schedule_wire import ScheduledJob, ScheduleExecution
from azure_batch_operator.batch.wire import Moment, Prose, TaskNode, Whole, Wire


class TargetNode(Wire, frozen=True, gc=False):
    """A node that a call is about."""

    state: str = ""
    last_boot_time: Moment = ""
    scheduling_state: str | None = None


class TargetPool(Wire, frozen=True, gc=False):
    """A pool whose resize is stopped, or whose formula is evaluated."""

    allocation_state: str = ""
    allocation_state_transition_time: Moment = ""
    resize_errors: tuple[PoolError, ...] = ()
    auto_scale_formula: str = ""


class RemoteLogin(Wire, frozen=True, gc=False):
    """Where to log in to a node."""

    address: str | None = field(default=None, name="remoteLoginIPAddress")
    port: Whole | None = field(default=None, name="remoteLoginPort")


class UploadedLogs(Wire, frozen=True, gc=False):
    """Where the logs of a node are uploaded to."""

    virtual_directory_name: str | None = None
    number_of_files_uploaded: Whole | None = None


class Extension(Wire, frozen=True, gc=False):
    """An extension."""

    name: str = ""


class NodeExtension(Wire, frozen=True, gc=False):
    """An extension of a node."""

    vm_extension: Extension = Extension()
    provisioning_state: str = ""


class Evaluation(Wire, frozen=True, gc=False):
    """What a formula comes to."""

    results: Prose = Prose()
    error: PoolError | None = None


class PoolUsage(Wire, frozen=True, gc=False):
    """Core hours of a pool in an interval."""

    pool_id: str = ""
    start_time: Moment = ""
    end_time: Moment = ""
    vm_size: str = ""
    total_core_hours: float = 0


class TaskRun(Wire, frozen=True, gc=False):
    """How a job preparation or job release task went on a node."""

    start_time: Moment | None = None
    state: str = ""
    exit_code: Whole | None = None
    result: str | None = None


class Preparation(Wire, frozen=True, gc=False):
    """How the job preparation and job release tasks of a job went on a node."""

    node_id: str = ""
    job_preparation_task_execution_info: TaskRun | None = None
    job_release_task_execution_info: TaskRun | None = None


class Subtask(TaskRun, frozen=True, gc=False):
    """One of the further instances of a multi-instance task."""

    id: Whole | None = None
    node_info: TaskNode | None = None


class FileSize(Wire, frozen=True, gc=False):
    """The length of a file in bytes; the service writes the number as a text."""

    content_length: str | int = ""


class NodeFile(Wire, frozen=True, gc=False):
    """A file or a directory on a node."""

    name: str = ""
    is_directory: bool = False
    properties: FileSize = FileSize()


class ScheduleReport(Wire, frozen=True, gc=False):
    """A job schedule with its jobs."""

    state: str = ""
    execution_info: ScheduleExecution = ScheduleExecution()
    jobs: tuple[ScheduledJob, ...] = ()
