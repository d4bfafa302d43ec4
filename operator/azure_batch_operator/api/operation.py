"""BatchOperation: one imperative call to Azure Batch, or the same call for many nodes or tasks, made once and recorded.

Exactly one verb is given, by a member with its inputs under the names of the REST API. Which target each verb takes stands in
`TARGETS`; the rules of the CRD are made from it, and `reconcile.operation_verbs` says how each verb is carried out.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Annotated, ClassVar

from pydantic import Field

from azure_batch_operator.api.base import (
    AccountRef,
    ApiModel,
    BatchId,
    JobId,
    NameRef,
    Rule,
    cel,
    exactly_one_of,
    naming,
    optional,
)
from azure_batch_operator.api.operation_inputs import (
    MAX_TARGETS,
    CreateNodeUser,
    DeallocateNode,
    DeleteFile,
    DeleteNodeUser,
    DisableNodeScheduling,
    EnableNodeScheduling,
    EvaluateAutoScale,
    GetRemoteLoginSettings,
    JobPreparationStatus,
    ListFiles,
    ListNodeExtensions,
    ListSubtasks,
    NodeId,
    ReactivateTasks,
    ReadFile,
    RebootNode,
    ReimageNode,
    RemoveNodes,
    ScheduleStatus,
    StartNode,
    StopResize,
    TerminateJob,
    TerminateSchedule,
    TerminateTasks,
    UpdateNodeUser,
    UploadNodeLogs,
    UsageMetrics,
)
from azure_batch_operator.words import listed


class On(Enum):
    """What a verb applies to; the value says how to name it, for messages."""

    NODES = "nodes of a pool: name it with poolRef, or with accountRef and poolId"
    POOL = "a pool: name it with poolRef, or with accountRef and poolId"
    ACCOUNT = "the account: name it with accountRef alone"
    JOB = "a job: name it with jobRef, or with accountRef and jobId"
    TASKS = "tasks of a job: name the job with jobRef, or with accountRef and jobId"
    TASK = "one task: name its job with jobRef, or with accountRef and jobId, and the task with taskId"
    FILES = "files of a task or a node: name a job and taskId, or a pool and nodeId"
    SCHEDULE = "a job schedule: name it with scheduleRef, or with accountRef and scheduleId"


TARGETS: Mapping[str, On] = {
    "rebootNode": On.NODES,
    "reimageNode": On.NODES,
    "deallocateNode": On.NODES,
    "startNode": On.NODES,
    "disableNodeScheduling": On.NODES,
    "enableNodeScheduling": On.NODES,
    "removeNodes": On.NODES,
    "uploadNodeLogs": On.NODES,
    "createNodeUser": On.NODES,
    "updateNodeUser": On.NODES,
    "deleteNodeUser": On.NODES,
    "getRemoteLoginSettings": On.NODES,
    "listNodeExtensions": On.NODES,
    "stopResize": On.POOL,
    "evaluateAutoScale": On.POOL,
    "usageMetrics": On.ACCOUNT,
    "terminateJob": On.JOB,
    "jobPreparationStatus": On.JOB,
    "reactivateTasks": On.TASKS,
    "terminateTasks": On.TASKS,
    "listSubtasks": On.TASK,
    "listFiles": On.FILES,
    "readFile": On.FILES,
    "deleteFile": On.FILES,
    "terminateSchedule": On.SCHEDULE,
    "scheduleStatus": On.SCHEDULE,
}
"""Each verb by its member of the spec, and what it is about."""


def _any(*on: On) -> str:
    """CEL: whether a verb about one of these is given."""
    return "(" + " || ".join(f"has(self.{name})" for name, target in TARGETS.items() if target in on) + ")"


_POOL, _JOB = "(has(self.poolRef) || has(self.poolId))", "(has(self.jobRef) || has(self.jobId))"
_SCHEDULE = "(has(self.scheduleRef) || has(self.scheduleId))"
_NAMES = ("poolRef", "jobRef", "scheduleRef", "poolId", "jobId", "scheduleId")
_IDS = "(has(self.poolId) || has(self.jobId) || has(self.scheduleId))"


_ONE_TARGET = f"spec must contain exactly one target: one of {listed(_NAMES)}; none of them for usageMetrics"


class OperationSpec(ApiModel):
    """Operation to run and its target. The spec is immutable, because it records a single call."""

    pool_ref: NameRef | None = optional("BatchPool in the same namespace to act on.")
    job_ref: NameRef | None = optional("BatchJob in the same namespace to act on.")
    schedule_ref: NameRef | None = optional("BatchJobSchedule in the same namespace to act on.")
    account_ref: AccountRef | None = optional(
        "BatchAccount of a target that is given by its ID, or the target of usageMetrics."
    )
    pool_id: BatchId | None = optional(
        "ID of a pool that is not owned by an object in another namespace. Requires accountRef."
    )
    job_id: JobId | None = optional(
        "ID of a job that is not owned by an object in another namespace. Requires accountRef."
    )
    schedule_id: BatchId | None = optional(
        "ID of a job schedule that is not owned by an object in another namespace. Requires accountRef."
    )
    task_id: BatchId | None = optional("ID of a task of the job, for listSubtasks and for files of a task.")
    node_id: NodeId | None = optional("ID of a node of the pool, for files of a node.")
    reboot_node: RebootNode | None = optional("Reboots nodes.")
    reimage_node: ReimageNode | None = optional("Reimages nodes.")
    deallocate_node: DeallocateNode | None = optional("Deallocates nodes without removing them from the pool.")
    start_node: StartNode | None = optional("Starts deallocated nodes.")
    disable_node_scheduling: DisableNodeScheduling | None = optional("Prevents new tasks from starting on nodes.")
    enable_node_scheduling: EnableNodeScheduling | None = optional("Allows tasks to start on nodes again.")
    remove_nodes: RemoveNodes | None = optional("Removes nodes from the pool.")
    upload_node_logs: UploadNodeLogs | None = optional("Uploads the Batch service logs of nodes.")
    create_node_user: CreateNodeUser | None = optional("Adds a user account to nodes.")
    update_node_user: UpdateNodeUser | None = optional("Replaces a user account on nodes.")
    delete_node_user: DeleteNodeUser | None = optional("Deletes a user account from nodes.")
    get_remote_login_settings: GetRemoteLoginSettings | None = optional(
        "Shows the address and port for remote login to nodes."
    )
    list_node_extensions: ListNodeExtensions | None = optional("Shows the extensions of nodes and their state.")
    stop_resize: StopResize | None = optional("Stops the resize of a pool.")
    evaluate_auto_scale: EvaluateAutoScale | None = optional("Evaluates an autoscale formula without applying it.")
    usage_metrics: UsageMetrics | None = optional("Shows the core hours of the account's pools.")
    terminate_job: TerminateJob | None = optional("Terminates a job.")
    job_preparation_status: JobPreparationStatus | None = optional(
        "Shows the state of job preparation and job release tasks on each node."
    )
    reactivate_tasks: ReactivateTasks | None = optional("Reactivates failed tasks.")
    terminate_tasks: TerminateTasks | None = optional("Terminates tasks.")
    list_subtasks: ListSubtasks | None = optional("Shows the subtasks of a multi-instance task.")
    list_files: ListFiles | None = optional("Lists the files of a task or a node.")
    read_file: ReadFile | None = optional("Reads a file of a task or a node into a ConfigMap.")
    delete_file: DeleteFile | None = optional("Deletes a file of a task or a node.")
    terminate_schedule: TerminateSchedule | None = optional("Terminates a job schedule.")
    schedule_status: ScheduleStatus | None = optional("Shows the runs of a job schedule.")
    max_concurrent: Annotated[int, Field(ge=1, le=100)] | None = optional(
        "Maximum number of targets to process at the same time, from 1 to 100. Defaults to 10, and to 100 for "
        "removeNodes, which Azure Batch handles in one call."
    )
    pause_policy: Annotated[str, Field(json_schema_extra={"enum": ["Continue", "Stop"]})] | None = optional(
        "What happens when more than maxFailures targets have failed: Continue processes the remaining targets, "
        "Stop skips them. Defaults to Continue."
    )
    max_failures: Annotated[int, Field(ge=0, le=MAX_TARGETS)] | None = optional(
        "Maximum number of targets with a failed or unknown outcome before the operation counts as failed. "
        "Defaults to 0."
    )
    ttl_seconds_after_finished: Annotated[int, Field(ge=0)] | None = optional(
        "Time in seconds after the end of the operation when this object is deleted. By default, it is kept. Do "
        "not use it for objects that a GitOps tool would create again, because the call would be repeated."
    )
    rules: ClassVar[tuple[Rule, ...]] = (
        exactly_one_of(
            tuple(TARGETS),
            "give exactly one verb, such as rebootNode or terminateJob; `kubectl explain bop.spec` describes all of them",
            "create one BatchOperation for each",
        ),
        cel(
            " + ".join(f"(has(self.{name}) ? 1 : 0)" for name in _NAMES) + " == (has(self.usageMetrics) ? 0 : 1)",
            _ONE_TARGET,
            says=naming(_NAMES, _ONE_TARGET),
        ),
        cel(
            f"has(self.accountRef) == ({_IDS} || has(self.usageMetrics))",
            "accountRef is required with poolId, jobId, scheduleId and usageMetrics, and not allowed otherwise: "
            "a reference to an object determines the account",
            ".accountRef",
        ),
        cel(f"!{_any(On.NODES, On.POOL)} || {_POOL}", f"the verb applies to {On.POOL.value}", ".poolRef"),
        cel(f"!{_any(On.JOB, On.TASKS, On.TASK)} || {_JOB}", f"the verb applies to {On.JOB.value}", ".jobRef"),
        cel(f"!{_any(On.SCHEDULE)} || {_SCHEDULE}", f"the verb applies to {On.SCHEDULE.value}", ".scheduleRef"),
        cel(
            f"!{_any(On.FILES)} || (has(self.taskId) && {_JOB}) || (has(self.nodeId) && {_POOL})",
            f"the verb applies to {On.FILES.value}",
            ".taskId",
        ),
        cel(
            f"has(self.taskId) == ({_any(On.TASK)} || ({_any(On.FILES)} && {_JOB}))",
            "taskId is required for listSubtasks and for files of a task, and not allowed otherwise",
            ".taskId",
        ),
        cel(
            f"has(self.nodeId) == ({_any(On.FILES)} && {_POOL})",
            "nodeId is required for files of a node, and not allowed otherwise: other verbs have their own nodes "
            "member",
            ".nodeId",
        ),
        Rule(
            "self == oldSelf",
            "an operation records a single call and cannot be changed: create a new BatchOperation",
            fixed=True,
        ),
    )
