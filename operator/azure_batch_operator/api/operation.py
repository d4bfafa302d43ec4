"""BatchOperation: one imperative call to Azure Batch, or the same call for many nodes or tasks, made once and recorded.

Exactly one verb is given, by a member with its inputs under the names of the REST API. Which target each verb takes stands in
`TARGETS`; the rules of the CRD are made from it, and `reconcile.operation_verbs` says how each verb is carried out.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints

from azure_batch_operator.api.base import (
    AccountRef,
    ApiModel,
    BatchId,
    Duration,
    JobId,
    NameRef,
    RemoteStatus,
    Rule,
    SecretKeyRef,
    ShortText,
    StandsFor,
    cel,
    exactly_one_of,
    naming,
    one_of,
    optional,
    schema,
    secret_for,
)
from azure_batch_operator.api.rest import IdentityReference, Url, ValueSource
from azure_batch_operator.words import listed

MAX_TARGETS = 1000
"""Nodes or tasks of one operation: the status lists all of them."""
MAX_RESULTS = 500
MAX_VALUES = 100
MAX_FILE_BYTES = 512 * 1024
"""A ConfigMap holds 1 MiB, and what is not text takes a third more there."""

NodeId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]+$", min_length=1, max_length=128)]
Moment = Annotated[str, StringConstraints(max_length=64), Field(json_schema_extra={"format": "date-time"})]
FilePath = Annotated[str, StringConstraints(min_length=1, max_length=1024)]
UserName = Annotated[str, StringConstraints(min_length=1, max_length=20)]
NODE_STATES = (
    "idle", "running", "creating", "starting", "waitingforstarttask", "starttaskfailed", "unusable", "unknown", "rebooting",
    "reimaging", "offline", "preempted", "leavingpool", "upgradingos", "deallocating", "deallocated",
)  # fmt: skip
"""States of nodes as the list of nodes has them: tests/unit/api/test_operation.py compares them with those of the REST API."""
Most = Annotated[int, Field(ge=1, le=MAX_TARGETS)]
_OPTION = one_of("requeue", "terminate", "taskcompletion", "retaineddata")
_REQUEUE = "What happens to running tasks: requeued, terminated, or waited for. Defaults to requeue."


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


class NodeChoice(ApiModel):
    """Selects nodes of the pool. The selection is made once, when the operation starts."""

    names: list[NodeId] | None = optional("IDs of the nodes.", maxItems=MAX_TARGETS, minItems=1)
    states: list[Annotated[str, one_of(*NODE_STATES)]] | None = optional(
        "Selects all nodes in one of these states.", maxItems=len(NODE_STATES), minItems=1
    )
    selector: Annotated[str, Field(json_schema_extra={"enum": ["dedicated", "lowPriority", "all"]})] | None = optional(
        "Selects all dedicated nodes, all Spot nodes, or all nodes. Combined with states, both must match."
    )
    most: Most | None = optional(
        f"Maximum number of nodes to select, in order of their IDs. Defaults to {MAX_TARGETS}."
    )
    rules: ClassVar[tuple[Rule, ...]] = (
        cel(
            "has(self.names) != (has(self.states) || has(self.selector))",
            "nodes must contain either names, or states and selector",
        ),
        cel(
            "!has(self.most) || !has(self.names)",
            "most can be combined only with states and selector: list fewer names",
            ".most",
        ),
    )


class TaskChoice(ApiModel):
    """Selects tasks of the job. The selection is made once, when the operation starts."""

    ids: list[BatchId] | None = optional("IDs of the tasks.", maxItems=MAX_TARGETS, minItems=1)
    failed: bool | None = optional("Selects all failed tasks. The only value is true.")
    states: list[Annotated[str, one_of("active", "preparing", "running", "completed")]] | None = optional(
        "Selects all tasks in one of these states.", maxItems=4, minItems=1
    )
    most: Most | None = optional(
        f"Maximum number of tasks to select, in order of their IDs. Defaults to {MAX_TARGETS}."
    )
    rules: ClassVar[tuple[Rule, ...]] = (
        exactly_one_of(("ids", "failed", "states"), "tasks must contain exactly one of ids, failed and states"),
        cel(
            "!has(self.failed) || self.failed",
            "failed can only be true: remove it to select by ids or states",
            ".failed",
        ),
        cel(
            "!has(self.most) || !has(self.ids)",
            "most can be combined only with failed and states: list fewer ids",
            ".most",
        ),
    )


class OfNodes(ApiModel):
    """A verb that applies to each of the selected nodes."""

    nodes: NodeChoice = Field(description="Nodes to act on.")


class RebootNode(OfNodes):
    """Reboots nodes."""

    node_reboot_option: Annotated[str, _OPTION] | None = optional(_REQUEUE)


class ReimageNode(OfNodes):
    """Reimages nodes."""

    node_reimage_option: Annotated[str, _OPTION] | None = optional(_REQUEUE)


class DeallocateNode(OfNodes):
    """Deallocates nodes, so that they incur no compute cost. Start them again with startNode."""

    node_deallocate_option: Annotated[str, _OPTION] | None = optional(_REQUEUE)


class StartNode(OfNodes):
    """Starts deallocated nodes."""


class DisableNodeScheduling(OfNodes):
    """Prevents new tasks from starting on nodes."""

    node_disable_scheduling_option: Annotated[str, one_of("requeue", "terminate", "taskcompletion")] | None = optional(
        "What happens to running tasks: requeued, terminated, or left to finish. Defaults to requeue."
    )


class EnableNodeScheduling(OfNodes):
    """Allows tasks to start on nodes again."""


class RemoveNodes(OfNodes):
    """Removes nodes from a pool of fixed size. The target numbers of the pool decrease accordingly."""

    node_deallocation_option: Annotated[str, _OPTION] | None = optional(_REQUEUE)
    resize_timeout: Duration | None = optional("Timeout of the removal. Defaults to PT15M.")


class UploadNodeLogs(OfNodes):
    """Uploads the Batch service logs of nodes to a blob container, for a support request."""

    container_url: Url | None = optional("URL of a blob container that a managed identity of the pool can write to.")
    container_url_from: Annotated[ValueSource | None, StandsFor("containerUrl", secret=False)] = optional(
        "Source of the URL, for a URL with a SAS token."
    )
    start_time: Moment = Field(description="Start of the time range.")
    end_time: Moment | None = optional("End of the time range. Defaults to the current time.")
    identity_reference: IdentityReference | None = optional("Identity that writes to the storage.")
    rules: ClassVar[tuple[Rule, ...]] = (
        exactly_one_of(("containerUrl", "containerUrlFrom"), "give either containerUrl or containerUrlFrom"),
    )


class CreateNodeUser(OfNodes):
    """Adds a user account to nodes for remote login."""

    name: UserName = Field(description="Name of the user.")
    is_admin: bool | None = optional("Whether the user is an administrator. Defaults to false.")
    expiry_time: Moment | None = optional("Expiry time of the account. Defaults to one day after creation.")
    password_secret_ref: Annotated[SecretKeyRef | None, StandsFor("password")] = secret_for(
        "password", "Password of the user."
    )
    ssh_public_key: Annotated[str, StringConstraints(max_length=16384)] | None = optional(
        "SSH public key of the user, on Linux."
    )
    rules: ClassVar[tuple[Rule, ...]] = (
        exactly_one_of(
            ("passwordSecretRef", "sshPublicKey"),
            "a user signs in with either a password or a key: give either passwordSecretRef or sshPublicKey",
        ),
    )


class UpdateNodeUser(OfNodes):
    """Replaces the password or key, and the expiry time, of a user account on nodes."""

    name: UserName = Field(description="Name of the user.")
    expiry_time: Moment | None = optional("Expiry time of the account. Defaults to one day after the update.")
    password_secret_ref: Annotated[SecretKeyRef | None, StandsFor("password")] = secret_for(
        "password", "Password of the user."
    )
    ssh_public_key: Annotated[str, StringConstraints(max_length=16384)] | None = optional(
        "SSH public key of the user, on Linux."
    )
    rules: ClassVar[tuple[Rule, ...]] = (
        exactly_one_of(
            ("passwordSecretRef", "sshPublicKey"),
            "a user signs in with either a password or a key: give either passwordSecretRef or sshPublicKey",
        ),
    )


class DeleteNodeUser(OfNodes):
    """Deletes a user account from nodes."""

    name: UserName = Field(description="Name of the user.")


class GetRemoteLoginSettings(OfNodes):
    """Shows the address and port for remote login to nodes."""


class ListNodeExtensions(OfNodes):
    """Shows the extensions of nodes and their state."""


class StopResize(ApiModel):
    """Stops a resize that is in progress."""


class EvaluateAutoScale(ApiModel):
    """Evaluates an autoscale formula without applying it. The pool must have autoscaling enabled."""

    auto_scale_formula: Annotated[str, StringConstraints(min_length=1, max_length=8192)] | None = optional(
        "Formula to evaluate. Defaults to the formula of the pool."
    )


class UsageMetrics(ApiModel):
    """Shows the core hours of the account's pools."""

    start_time: Moment | None = optional(
        "Start of the time range, at least 2.5 hours ago. Defaults to the start of the last aggregation interval."
    )
    end_time: Moment | None = optional("End of the time range, at least 2 hours ago.")


class TerminateJob(ApiModel):
    """Terminates a job."""

    terminate_reason: Annotated[str, StringConstraints(min_length=1, max_length=1024)] | None = optional(
        "Reason to record for the end of the job. Defaults to UserTerminate."
    )
    force: bool | None = optional(
        "Whether to terminate the job even if its job preparation or job release tasks do not finish. Defaults "
        "to false."
    )


class JobPreparationStatus(ApiModel):
    """Shows the state of job preparation and job release tasks on each node."""


class ReactivateTasks(ApiModel):
    """Reactivates failed tasks. Tasks of BatchTasks are skipped; retry them with azurebatch.io/retry-failed."""

    tasks: TaskChoice = Field(description="Tasks to act on.")


class TerminateTasks(ApiModel):
    """Terminates tasks. Tasks of BatchTasks are skipped; terminate them with azurebatch.io/terminate."""

    tasks: TaskChoice = Field(description="Tasks to act on.")


class ListSubtasks(ApiModel):
    """Shows the subtasks of a multi-instance task."""


class ListFiles(ApiModel):
    """Shows files and their sizes."""

    recursive: bool | None = optional("Whether to include files in subdirectories. Defaults to false.")


class ReadFile(ApiModel):
    """Reads a file into a new ConfigMap, which is deleted together with this object."""

    path: FilePath = Field(description="Path of the file, such as stdout.txt or wd/result.json.")
    into: NameRef = Field(description="ConfigMap to create. Its key content holds the file.")
    most_bytes: Annotated[int, Field(ge=1, le=MAX_FILE_BYTES)] | None = optional(
        "Maximum number of bytes to read. Defaults to 262144."
    )
    tail: bool | None = optional(
        "Whether to read the end of a longer file instead of its beginning. Defaults to false."
    )


class DeleteFile(ApiModel):
    """Deletes a file or a directory."""

    path: FilePath = Field(description="Path of the file.")
    recursive: bool | None = optional("Whether to delete a directory together with its contents. Defaults to false.")


class TerminateSchedule(ApiModel):
    """Terminates a job schedule and its running job."""

    force: bool | None = optional("Whether to terminate the schedule even if its job does not end. Defaults to false.")


class ScheduleStatus(ApiModel):
    """Shows the next run of a job schedule and its jobs."""


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


Outcome = Annotated[str, Field(json_schema_extra={"enum": ["Attempted", "Succeeded", "Failed", "Unknown", "Skipped"]})]


class OperationResult(ApiModel):
    """Result of one target."""

    target: str = Field(description="ID of the node, task, pool, job or schedule, or name of the account.")
    outcome: Outcome = Field(
        description="Outcome of the call: Attempted while it is not known yet, Unknown if the call was not answered and its "
        "effect cannot be determined."
    )
    message: ShortText | None = Field(default=None, description="Details, if the call did not simply succeed.")
    request_id: str | None = Field(default=None, description="Request ID from Azure, for support requests.")
    time: Annotated[str, Field(json_schema_extra={"format": "date-time"})] | None = Field(
        default=None, description="Time at which the outcome became known; for Attempted, the time before the call."
    )
    values: dict[str, str] | None = Field(
        default=None,
        description="Values that the call returned.",
        json_schema_extra=schema(maxProperties=MAX_VALUES, additionalProperties={"type": "string", "maxLength": 4096}),
    )
    omitted_values: int | None = Field(
        default=None, description="Number of returned values that are not shown because of the size limit."
    )
    before: str | None = Field(
        default=None,
        description="State of the target before the attempt, used to determine whether the call had an effect.",
    )


class OperationCounts(ApiModel):
    """Number of targets by outcome."""

    targets: int = Field(description="Total number of targets.")
    succeeded: int = Field(description="Targets for which the call succeeded.")
    failed: int = Field(description="Targets for which Azure Batch refused the call.")
    unknown: int = Field(description="Targets whose call got no response and whose result cannot be determined.")
    skipped: int = Field(
        description="Targets that were skipped, because there was nothing to do or the operation stopped before."
    )


class OperationEnding(ApiModel):
    """Why an operation ended before all targets were attempted."""

    reason: str = Field(description="Machine-readable reason.")
    message: str = Field(description="Human-readable message.")


class OperationStatus(RemoteStatus):
    """Observed state of the BatchOperation."""

    account: str | None = Field(
        default=None, description="BatchAccount of the target, as namespace/name. Set before the first call."
    )
    created: str | None = Field(
        default=None,
        description="creationTime of the target in Azure Batch, which identifies it among resources with the same ID.",
    )
    start_time: str | None = Field(default=None, description="Time before the first call.")
    ending: OperationEnding | None = Field(
        default=None,
        description="Why no more targets are attempted. Final, even if the cause is removed later.",
    )
    completion_time: str | None = Field(default=None, description="Time at which the last outcome became known.")
    progress: str | None = Field(default=None, description="Finished targets and all targets, for display.")
    counts: OperationCounts | None = Field(default=None, description="Number of targets by outcome.")
    targets: list[str] | None = Field(
        default=None,
        description="IDs of all targets in order, fixed before the first call.",
        json_schema_extra=schema(maxItems=MAX_TARGETS, x_kubernetes_list_type="atomic"),
    )
    results: list[OperationResult] | None = Field(
        default=None,
        description="Results of targets. If there are too many, failed targets are kept.",
        json_schema_extra=schema(maxItems=MAX_RESULTS, x_kubernetes_list_type="atomic"),
    )
    omitted_results: int | None = Field(
        default=None, description="Number of targets whose results are not shown because of the size limit."
    )
