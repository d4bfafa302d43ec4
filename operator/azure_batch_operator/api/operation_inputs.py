"""The verbs of a BatchOperation with their inputs, under the names of the REST API."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints

from azure_batch_operator.api.base import (
    ApiModel,
    BatchId,
    Duration,
    NameRef,
    Rule,
    SecretKeyRef,
    StandsFor,
    cel,
    exactly_one_of,
    one_of,
    optional,
    secret_for,
)
from azure_batch_operator.api.rest import IdentityReference, Url, ValueSource

MAX_TARGETS = 1000
"""Nodes or tasks of one operation: the status lists all of them."""
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
