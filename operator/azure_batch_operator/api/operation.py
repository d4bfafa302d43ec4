"""BatchOperation: one imperative call to Azure Batch, or the same call for many nodes or tasks, done once and written down.

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
"""Nodes or tasks of one operation: all of them stand in its status."""
MAX_RESULTS = 500
MAX_VALUES = 100
MAX_FILE_BYTES = 512 * 1024
"""A ConfigMap holds 1 MiB, and what is not text takes a third more there."""

NodeId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]+$", min_length=1, max_length=128)]
Moment = Annotated[str, StringConstraints(max_length=64), Field(json_schema_extra={"format": "date-time"})]
FilePath = Annotated[str, StringConstraints(min_length=1, max_length=1024)]
UserName = Annotated[str, StringConstraints(min_length=1, max_length=20)]
Most = Annotated[int, Field(ge=1, le=MAX_TARGETS)]
_OPTION = one_of("requeue", "terminate", "taskcompletion", "retaineddata")
_REQUEUE = "What becomes of running tasks: put back, ended, or waited for; requeue if left out."


class On(Enum):
    """What a verb is about; the value says how it is named, for messages."""

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
    """Which nodes of the pool. They are chosen once, when the operation begins."""

    names: list[NodeId] | None = optional("Ids of nodes.", maxItems=MAX_TARGETS, minItems=1)
    states: list[Annotated[str, StringConstraints(max_length=64)]] | None = optional(
        "All nodes in one of these states, such as idle or unusable.", maxItems=16, minItems=1
    )
    selector: Annotated[str, Field(json_schema_extra={"enum": ["dedicated", "lowPriority", "all"]})] | None = optional(
        "All dedicated nodes, all Spot nodes, or all; with states, those of them."
    )
    most: Most | None = optional(f"At most so many of them, in the order of their ids; {MAX_TARGETS} if left out.")
    rules: ClassVar[tuple[Rule, ...]] = (
        cel(
            "has(self.names) != (has(self.states) || has(self.selector))",
            "say which nodes: give names, or states and selector",
        ),
        cel("!has(self.most) || !has(self.names)", "most belongs to states and selector: give fewer names", ".most"),
    )


class TaskChoice(ApiModel):
    """Which tasks of the job. They are chosen once, when the operation begins."""

    ids: list[BatchId] | None = optional("Ids of tasks.", maxItems=MAX_TARGETS, minItems=1)
    failed: bool | None = optional("All tasks that have failed; true, or leave it out.")
    states: list[Annotated[str, one_of("active", "preparing", "running", "completed")]] | None = optional(
        "All tasks in one of these states.", maxItems=4, minItems=1
    )
    most: Most | None = optional(f"At most so many of them, in the order of their ids; {MAX_TARGETS} if left out.")
    rules: ClassVar[tuple[Rule, ...]] = (
        exactly_one_of(("ids", "failed", "states"), "say which tasks: give exactly one of ids, failed and states"),
        cel("!has(self.failed) || self.failed", "failed can only be true: leave it out for ids or states", ".failed"),
        cel("!has(self.most) || !has(self.ids)", "most belongs to failed and states: give fewer ids", ".most"),
    )


class OfNodes(ApiModel):
    """A verb for each of the chosen nodes."""

    nodes: NodeChoice = Field(description="The nodes.")


class RebootNode(OfNodes):
    """Restarts nodes."""

    node_reboot_option: Annotated[str, _OPTION] | None = optional(_REQUEUE)


class ReimageNode(OfNodes):
    """Installs nodes again."""

    node_reimage_option: Annotated[str, _OPTION] | None = optional(_REQUEUE)


class DeallocateNode(OfNodes):
    """Stops nodes, so that they are not paid for; startNode starts them again."""

    node_deallocate_option: Annotated[str, _OPTION] | None = optional(_REQUEUE)


class StartNode(OfNodes):
    """Starts nodes that were deallocated."""


class DisableNodeScheduling(OfNodes):
    """Lets no more tasks start on nodes."""

    node_disable_scheduling_option: Annotated[str, one_of("requeue", "terminate", "taskcompletion")] | None = optional(
        "What becomes of running tasks: put back, ended, or left to end; requeue if left out."
    )


class EnableNodeScheduling(OfNodes):
    """Lets tasks start on nodes again."""


class RemoveNodes(OfNodes):
    """Removes nodes from a pool of fixed size, whose targets drop by their number."""

    node_deallocation_option: Annotated[str, _OPTION] | None = optional(_REQUEUE)
    resize_timeout: Duration | None = optional("How long the removal may take; PT15M if left out.")


class UploadNodeLogs(OfNodes):
    """Uploads the logs of the Batch service from nodes to a blob container, for a support request."""

    container_url: Url | None = optional("URL of a blob container, for a managed identity of the pool.")
    container_url_from: Annotated[ValueSource | None, StandsFor("containerUrl", secret=False)] = optional(
        "Takes the URL from a Secret or ConfigMap, for one with a SAS."
    )
    start_time: Moment = Field(description="Logs from this time on.")
    end_time: Moment | None = optional("Logs until this time; until now if left out.")
    identity_reference: IdentityReference | None = optional("Identity with which the storage is written.")
    rules: ClassVar[tuple[Rule, ...]] = (
        exactly_one_of(("containerUrl", "containerUrlFrom"), "give either containerUrl or containerUrlFrom"),
    )


class CreateNodeUser(OfNodes):
    """Adds a user who may log in to nodes."""

    name: UserName = Field(description="Name of the user.")
    is_admin: bool | None = optional("Whether the user is an administrator; false if left out.")
    expiry_time: Moment | None = optional("When the user expires; a day from now if left out.")
    password_secret_ref: Annotated[SecretKeyRef | None, StandsFor("password")] = secret_for("password", "Password.")
    ssh_public_key: Annotated[str, StringConstraints(max_length=16384)] | None = optional("SSH public key, on Linux.")
    rules: ClassVar[tuple[Rule, ...]] = (
        exactly_one_of(
            ("passwordSecretRef", "sshPublicKey"), "a user logs in by one thing: give passwordSecretRef or sshPublicKey"
        ),
    )


class UpdateNodeUser(OfNodes):
    """Replaces password or key, and expiry, of a user on nodes."""

    name: UserName = Field(description="Name of the user.")
    expiry_time: Moment | None = optional("When the user expires; a day from now if left out.")
    password_secret_ref: Annotated[SecretKeyRef | None, StandsFor("password")] = secret_for("password", "Password.")
    ssh_public_key: Annotated[str, StringConstraints(max_length=16384)] | None = optional("SSH public key, on Linux.")
    rules: ClassVar[tuple[Rule, ...]] = (
        exactly_one_of(
            ("passwordSecretRef", "sshPublicKey"), "a user logs in by one thing: give passwordSecretRef or sshPublicKey"
        ),
    )


class DeleteNodeUser(OfNodes):
    """Deletes a user from nodes."""

    name: UserName = Field(description="Name of the user.")


class GetRemoteLoginSettings(OfNodes):
    """Shows address and port for logging in to nodes."""


class ListNodeExtensions(OfNodes):
    """Shows the extensions of nodes and how far they are."""


class StopResize(ApiModel):
    """Stops a resize that is under way."""


class EvaluateAutoScale(ApiModel):
    """Evaluates an autoscale formula without applying it; autoscaling must be on."""

    auto_scale_formula: Annotated[str, StringConstraints(min_length=1, max_length=8192)] | None = optional(
        "The formula; that of the pool if left out."
    )


class UsageMetrics(ApiModel):
    """Shows core hours of pools."""

    start_time: Moment | None = optional("From this time on, at least 2.5 hours ago; the last interval if left out.")
    end_time: Moment | None = optional("Until this time, at least 2 hours ago.")


class TerminateJob(ApiModel):
    """Ends a job."""

    terminate_reason: Annotated[str, StringConstraints(min_length=1, max_length=1024)] | None = optional(
        "Shown as the reason; UserTerminate if left out."
    )
    force: bool | None = optional("Whether it ends although its preparation or release cannot; false if left out.")


class JobPreparationStatus(ApiModel):
    """Shows what job preparation and release did on each node."""


class ReactivateTasks(ApiModel):
    """Runs failed tasks again; those of BatchTasks are left to azurebatch.io/retry-failed."""

    tasks: TaskChoice = Field(description="The tasks.")


class TerminateTasks(ApiModel):
    """Ends tasks; those of BatchTasks are left to azurebatch.io/terminate."""

    tasks: TaskChoice = Field(description="The tasks.")


class ListSubtasks(ApiModel):
    """Shows the further instances of a multi-instance task."""


class ListFiles(ApiModel):
    """Shows files and their sizes."""

    recursive: bool | None = optional("Whether files in subdirectories are shown; false if left out.")


class ReadFile(ApiModel):
    """Reads a file into a new ConfigMap, which goes with this object."""

    path: FilePath = Field(description="Path of the file, such as stdout.txt or wd/result.json.")
    into: NameRef = Field(description="The ConfigMap to create; its key content holds the file.")
    most_bytes: Annotated[int, Field(ge=1, le=MAX_FILE_BYTES)] | None = optional(
        "At most so many bytes; 262144 if left out."
    )
    tail: bool | None = optional("Whether a longer file is read from its end; from its beginning if left out.")


class DeleteFile(ApiModel):
    """Deletes a file or a directory."""

    path: FilePath = Field(description="Path of the file.")
    recursive: bool | None = optional("Whether a directory is deleted with what is in it; false if left out.")


class TerminateSchedule(ApiModel):
    """Ends a job schedule and the job that it runs."""

    force: bool | None = optional("Whether it ends although its job cannot; false if left out.")


class ScheduleStatus(ApiModel):
    """Shows when a job schedule runs next, and its jobs."""


def _any(*on: On) -> str:
    """CEL: whether a verb about one of these is given."""
    return "(" + " || ".join(f"has(self.{name})" for name, each in TARGETS.items() if each in on) + ")"


_POOL, _JOB = "(has(self.poolRef) || has(self.poolId))", "(has(self.jobRef) || has(self.jobId))"
_SCHEDULE = "(has(self.scheduleRef) || has(self.scheduleId))"
_NAMES = ("poolRef", "jobRef", "scheduleRef", "poolId", "jobId", "scheduleId")
_IDS = "(has(self.poolId) || has(self.jobId) || has(self.scheduleId))"


_ONE_TARGET = f"name one target: exactly one of {listed(_NAMES)}; none of them for usageMetrics"


class OperationSpec(ApiModel):
    """What is to be done, and to what. Nothing of it can be changed: it is the record of one call."""

    pool_ref: NameRef | None = optional("The BatchPool of this namespace whose pool it is about.")
    job_ref: NameRef | None = optional("The BatchJob of this namespace whose job it is about.")
    schedule_ref: NameRef | None = optional("The BatchJobSchedule of this namespace whose schedule it is about.")
    account_ref: AccountRef | None = optional(
        "The BatchAccount, where the target is named by its id, or is the account."
    )
    pool_id: BatchId | None = optional("Id of a pool that no object of another namespace owns; needs accountRef.")
    job_id: JobId | None = optional("Id of a job that no object of another namespace owns; needs accountRef.")
    schedule_id: BatchId | None = optional("Id of such a job schedule; needs accountRef.")
    task_id: BatchId | None = optional("Id of a task of that job, for listSubtasks and files.")
    node_id: NodeId | None = optional("Id of a node of that pool, for files.")
    reboot_node: RebootNode | None = optional("Restart nodes.")
    reimage_node: ReimageNode | None = optional("Install nodes again.")
    deallocate_node: DeallocateNode | None = optional("Stop nodes without removing them.")
    start_node: StartNode | None = optional("Start deallocated nodes.")
    disable_node_scheduling: DisableNodeScheduling | None = optional("Let no more tasks start on nodes.")
    enable_node_scheduling: EnableNodeScheduling | None = optional("Let tasks start on nodes again.")
    remove_nodes: RemoveNodes | None = optional("Remove nodes from the pool.")
    upload_node_logs: UploadNodeLogs | None = optional("Upload the service's logs from nodes.")
    create_node_user: CreateNodeUser | None = optional("Add a user to nodes.")
    update_node_user: UpdateNodeUser | None = optional("Replace a user of nodes.")
    delete_node_user: DeleteNodeUser | None = optional("Delete a user from nodes.")
    get_remote_login_settings: GetRemoteLoginSettings | None = optional("Show where to log in to nodes.")
    list_node_extensions: ListNodeExtensions | None = optional("Show the extensions of nodes.")
    stop_resize: StopResize | None = optional("Stop the resize of a pool.")
    evaluate_auto_scale: EvaluateAutoScale | None = optional("Evaluate an autoscale formula.")
    usage_metrics: UsageMetrics | None = optional("Show core hours of the account's pools.")
    terminate_job: TerminateJob | None = optional("End a job.")
    job_preparation_status: JobPreparationStatus | None = optional("Show preparation and release of a job by node.")
    reactivate_tasks: ReactivateTasks | None = optional("Run failed tasks again.")
    terminate_tasks: TerminateTasks | None = optional("End tasks.")
    list_subtasks: ListSubtasks | None = optional("Show the instances of a multi-instance task.")
    list_files: ListFiles | None = optional("Show files of a task or a node.")
    read_file: ReadFile | None = optional("Read a file of a task or a node into a ConfigMap.")
    delete_file: DeleteFile | None = optional("Delete a file of a task or a node.")
    terminate_schedule: TerminateSchedule | None = optional("End a job schedule.")
    schedule_status: ScheduleStatus | None = optional("Show the runs of a job schedule.")
    max_concurrent: Annotated[int, Field(ge=1, le=100)] | None = optional(
        "How many targets are worked on at once; 10 if left out, and for removeNodes 100, which Azure Batch removes in one call."
    )
    pause_policy: Annotated[str, Field(json_schema_extra={"enum": ["Continue", "Stop"]})] | None = optional(
        "What happens when more than maxFailures targets have failed: Continue with the others, or Stop. Continue if left out."
    )
    max_failures: Annotated[int, Field(ge=0, le=MAX_TARGETS)] | None = optional(
        "How many targets may fail, or may have an unknown outcome, before the operation counts as failed; 0 if left out."
    )
    ttl_seconds_after_finished: Annotated[int, Field(ge=0)] | None = optional(
        "Deletes this object so long after its end. A GitOps tool would create it again, and so have the call made again."
    )
    rules: ClassVar[tuple[Rule, ...]] = (
        exactly_one_of(
            tuple(TARGETS),
            "give exactly one verb, such as rebootNode or terminateJob; `kubectl explain bop.spec` describes all of them",
            "create a BatchOperation for each",
        ),
        cel(
            " + ".join(f"(has(self.{name}) ? 1 : 0)" for name in _NAMES) + " == (has(self.usageMetrics) ? 0 : 1)",
            _ONE_TARGET,
            says=naming(_NAMES, _ONE_TARGET),
        ),
        cel(
            f"has(self.accountRef) == ({_IDS} || has(self.usageMetrics))",
            "accountRef belongs to poolId, jobId, scheduleId and usageMetrics, which need it; a reference has its own account",
            ".accountRef",
        ),
        cel(f"!{_any(On.NODES, On.POOL)} || {_POOL}", f"the verb is about {On.POOL.value}", ".poolRef"),
        cel(f"!{_any(On.JOB, On.TASKS, On.TASK)} || {_JOB}", f"the verb is about {On.JOB.value}", ".jobRef"),
        cel(f"!{_any(On.SCHEDULE)} || {_SCHEDULE}", f"the verb is about {On.SCHEDULE.value}", ".scheduleRef"),
        cel(
            f"!{_any(On.FILES)} || (has(self.taskId) && {_JOB}) || (has(self.nodeId) && {_POOL})",
            f"the verb is about {On.FILES.value}",
            ".taskId",
        ),
        cel(
            f"has(self.taskId) == ({_any(On.TASK)} || ({_any(On.FILES)} && {_JOB}))",
            "taskId names the task for listSubtasks, and for files of a task; leave it out for other verbs",
            ".taskId",
        ),
        cel(
            f"has(self.nodeId) == ({_any(On.FILES)} && {_POOL})",
            "nodeId names the node for files of a node; other verbs have their nodes below them",
            ".nodeId",
        ),
        Rule(
            "self == oldSelf",
            "an operation is the record of one call and cannot be changed: create a new BatchOperation",
            fixed=True,
        ),
    )


Outcome = Annotated[str, Field(json_schema_extra={"enum": ["Attempted", "Succeeded", "Failed", "Unknown", "Skipped"]})]


class OperationResult(ApiModel):
    """What became of one target."""

    target: str = Field(description="Id of the node, task, pool, job or schedule; name of the account.")
    outcome: Outcome = Field(
        description="Attempted until it is known; Unknown if the call had no answer and nothing tells whether it was done."
    )
    message: ShortText | None = Field(default=None, description="Why, where it was not simply done.")
    request_id: str | None = Field(default=None, description="Azure's id of the request, for support.")
    time: Annotated[str, Field(json_schema_extra={"format": "date-time"})] | None = Field(
        default=None, description="When that was known; for Attempted, before the call was made."
    )
    values: dict[str, str] | None = Field(
        default=None,
        description="What the call has answered.",
        json_schema_extra=schema(maxProperties=MAX_VALUES, additionalProperties={"type": "string", "maxLength": 4096}),
    )
    omitted_values: int | None = Field(default=None, description="Answers that there was no room for.")
    before: str | None = Field(
        default=None, description="What the target looked like before the attempt, to tell whether it was done."
    )


class OperationCounts(ApiModel):
    """Targets by what became of them."""

    targets: int = Field(description="All of them.")
    succeeded: int = Field(description="Done.")
    failed: int = Field(description="Refused by Azure Batch.")
    unknown: int = Field(description="Perhaps done: the call had no answer, and nothing tells.")
    skipped: int = Field(description="Left alone: nothing to do, or stopped before.")


class OperationEnding(ApiModel):
    """What has ended an operation before all of its targets were attempted."""

    reason: str = Field(description="In one word.")
    message: str = Field(description="In a sentence.")


class OperationStatus(RemoteStatus):
    """What was done."""

    account: str | None = Field(default=None, description="namespace/name of the BatchAccount, from the first call on.")
    created: str | None = Field(
        default=None, description="creationTime of that, so that a namesake is never taken for it."
    )
    start_time: str | None = Field(default=None, description="Before the first call.")
    ending: OperationEnding | None = Field(
        default=None,
        description="Why no more targets are attempted, once that is final; also if the cause is taken back.",
    )
    completion_time: str | None = Field(default=None, description="When the last outcome was known.")
    progress: str | None = Field(default=None, description="Targets that are done with, and all.")
    counts: OperationCounts | None = Field(default=None, description="Targets by outcome.")
    targets: list[str] | None = Field(
        default=None,
        description="All targets in their order, fixed before the first call.",
        json_schema_extra=schema(maxItems=MAX_TARGETS, x_kubernetes_list_type="atomic"),
    )
    results: list[OperationResult] | None = Field(
        default=None,
        description="What became of targets; those that failed stay when there is no room for all.",
        json_schema_extra=schema(maxItems=MAX_RESULTS, x_kubernetes_list_type="atomic"),
    )
    omitted_results: int | None = Field(default=None, description="Targets whose results there was no room for.")
