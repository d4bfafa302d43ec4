"""The verbs of a BatchOperation in one table: what to read before the call, and how to tell whether it took effect.

How each is sent is in `sync/operations/sending.py`.

A call may have no response: its connection breaks, or the operator dies. Then `doubt` says how to continue. `READ`: the target
shows whether the call was made (`done`). `REPEAT`: a second delivery within minutes is harmless. `NEVER`: nothing shows it, so the
outcome is Unknown and the call is not repeated. A call that others can undo is repeated only within minutes, unless the target
shows it permanently (`lasts`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from azure_batch_operator.api.operation import TARGETS, On
from azure_batch_operator.batch.operation_wire import (
    Evaluation,
    NodeExtension,
    NodeFile,
    PoolUsage,
    Preparation,
    RemoteLogin,
    ScheduleReport,
    Subtask,
    TargetNode,
    TargetPool,
    TaskRun,
    UploadedLogs,
)
from azure_batch_operator.batch.wire import Body, ResourceState, W, build

Answer = Any
MAX_PER_REMOVAL = 100
"""Nodes that one call removes (docs/azure-batch.md#limits)."""
_WAITING = frozenset({"taskcompletion", "retaineddata"})
"""Options with which a call that was taken shows no effect until tasks have ended or their data are gone."""


class Doubt(Enum):
    """What to do about a call without a response."""

    READ = "the target tells whether it was done"
    REPEAT = "a second delivery does no harm"
    NEVER = "nothing tells"


@dataclass(frozen=True)
class Spot:
    """Where a call goes.

    Attributes:
        pool, job, schedule, task, node: ids as the spec, or the object that it names, has them.
        target: id of one node or task, where there are several.
        targets: of a call that is about several at once.
        etag: that the resource must still have.
    """

    pool: str = ""
    job: str = ""
    schedule: str = ""
    task: str = ""
    node: str = ""
    target: str = ""
    targets: tuple[str, ...] = ()
    etag: str | None = None


Items = Iterator[tuple[str, str]]
Done = Callable[[str, Body | None], bool | None]
"""Whether what was `before` and what is now tell that a call was done; None if they do not."""


def _seen(struct: type[W], done: Callable[[str, W], bool | None], *, gone: bool | None = None) -> Done:
    """A `Done` that reads a target as a typed value.

    Args:
        gone: what it tells that there is no target any more.
    """
    return lambda before, body: gone if body is None else done(before, build(struct, body))


def _shown(struct: type[W], values: Callable[[W], Items]) -> Callable[[Answer], Items]:
    """What to show of an answer that is read as a typed value."""
    return lambda answer: values(build(struct, answer))


def _no_values(_: Answer) -> Items:
    return iter(())


def _no_problem(_: Answer) -> str | None:
    return None


def _no_defaults(_: Body) -> Body:
    return {}


def _never(_: str, __: Body | None) -> bool | None:
    return None


@dataclass(frozen=True)
class Verb:
    """One verb.

    Attributes:
        doubt: what to do about a call without a response.
        lasts: of `READ`: whether the target tells however long ago it was, and whatever others have done since.
        any_version: whether a task that has changed is checked again, and the call made if it is the same one still.
        done: of `READ`: whether what was `before` and what is now tell that it was done; None if they do not.
        already: codes of refusals that say that there is nothing to do: it was done by the call without a response, or before.
        only_in_doubt: whether those codes are failures, but tell nothing after a call without a response: what is there may be as
            somebody else made it.
        values: what to show of the answer, or of each item of a list.
        problem: what an answer says went wrong.
        defaults: inputs that are taken from the resource where the spec has none.
        changes: whether it changes anything.
        looks: whether each target is checked before the call.
        group: whether one call is about all targets of a batch.
        option: input that says what happens to running tasks.
        busy, back: states of a node on its way and where it is to get; empty if nothing is waited for.
    """

    doubt: Doubt = Doubt.REPEAT
    done: Done = _never
    already: frozenset[str] = frozenset()
    only_in_doubt: bool = False
    values: Callable[[Answer], Items] = _no_values
    problem: Callable[[Answer], str | None] = _no_problem
    defaults: Callable[[Body], Body] = _no_defaults
    changes: bool = True
    looks: bool = False
    group: bool = False
    option: str = ""
    busy: frozenset[str] = frozenset()
    back: frozenset[str] = frozenset()
    lasts: bool = False
    any_version: bool = False

    def tells(self, inputs: Body) -> bool:
        """Whether the effect of a call shows at once, so that its absence says that nothing was done."""
        return str(inputs.get(self.option, "")).lower() not in _WAITING


def before_of(on: On, seen: Body) -> str:
    """What to remember of a target before an attempt: state and last boot of a node, resize of a pool, else ETag and creation."""
    if on is On.POOL:
        return _before_of_pool(build(TargetPool, seen))
    if on is On.NODES:
        node = build(TargetNode, seen)
        return f"{node.state} {node.last_boot_time}"
    target = build(ResourceState, seen)
    return f"{target.etag or ''} {target.creation_time or ''}".rstrip()


def _before_of_pool(pool: TargetPool) -> str:
    return f"{pool.allocation_state} {pool.allocation_state_transition_time}"


def etag_of(before: str) -> str | None:
    """The ETag in what is remembered of a task."""
    return before.partition(" ")[0] or None


def created_anew(before: str, seen: Body) -> bool:
    """Whether a task is a namesake of the one that was looked at."""
    return _is_namesake(before, build(ResourceState, seen))


def _is_namesake(before: str, seen: ResourceState) -> bool:
    created = before.partition(" ")[2]
    return bool(created) and seen.creation_time not in (None, created)


# --- nodes ---

_STARTING = frozenset({"starting", "waitingforstarttask"})
_WORKING = frozenset({"idle", "running", "offline"})


def _restarted(by: str) -> Done:
    """Whether a node was restarted: it is on its way, or has booted since."""

    def done(before: str, node: TargetNode) -> bool | None:
        state = node.state
        was, _, booted = before.partition(" ")
        if node.last_boot_time != booted or state == by or (state in _STARTING and was not in _STARTING):
            return True
        return False if state in _WORKING or state == was else None

    return _seen(TargetNode, done)


def _deallocated(_: str, node: TargetNode) -> bool:
    # One that starts takes the call, and is stopped once it is up; until then only its scheduling tells.
    postponed = node.state in _STARTING and node.scheduling_state == "disabled"
    return node.state in {"deallocating", "deallocated"} or postponed


def _started(_: str, node: TargetNode) -> bool:
    return node.state not in {"deallocated", "deallocating"}


def _scheduling(state: str) -> Done:
    return _seen(TargetNode, lambda _, node: node.scheduling_state == state)


def _removed(_: str, node: TargetNode) -> bool:
    return node.state == "leavingpool"


def _login(answer: RemoteLogin) -> Items:
    if answer.address is not None:
        yield "remoteLoginIPAddress", answer.address
    if answer.port is not None:
        yield "remoteLoginPort", str(answer.port)


def _uploaded(answer: UploadedLogs) -> Items:
    if answer.virtual_directory_name is not None:
        yield "virtualDirectoryName", answer.virtual_directory_name
    if answer.number_of_files_uploaded is not None:
        yield "numberOfFilesUploaded", str(answer.number_of_files_uploaded)


def _extension(item: NodeExtension) -> Items:
    yield item.vm_extension.name, item.provisioning_state


# --- pools ---


def _resize_stopped(before: str, pool: TargetPool) -> bool | None:
    """Whether a resize was stopped. One that has ended may have reached its size, and one that has begun since is another one."""
    if _before_of_pool(pool) == before:
        return False
    errors = {(error.code or "").lower() for error in pool.resize_errors}
    stopped = pool.allocation_state == "steady" and "resizestopped" in errors
    return True if stopped or pool.allocation_state == "stopping" else None


def _variables(answer: Evaluation) -> Items:
    for part in answer.results.split(";"):
        name, sign, value = part.strip().partition("=")
        if sign:
            yield name, value


def _formula(pool: Body) -> Body:
    return {"autoScaleFormula": build(TargetPool, pool).auto_scale_formula}


def _not_evaluated(answer: Answer) -> str | None:
    error = build(Evaluation, answer).error
    return None if error is None else error.text


def _usage(item: PoolUsage) -> Items:
    what = f"{item.total_core_hours} core hours of {item.vm_size} until {item.end_time}"
    yield f"{item.pool_id} {item.start_time}", what


# --- jobs and tasks ---

_ENDING = frozenset({"terminating", "completed", "deleting"})


def _ended(_: str, remote: ResourceState) -> bool:
    return remote.state in _ENDING


def _reactivated(before: str, task: ResourceState) -> bool | None:
    """Whether a task was run again: it has left its end, or has come to another one. A namesake of it says nothing."""
    if _is_namesake(before, task):
        return None
    if task.state != "completed":
        return True
    return None if etag_of(before) is None else task.etag != etag_of(before)


def _run(run: TaskRun | None) -> str:
    if run in (None, _NO_RUN):
        return "not run"
    code = f", exit code {run.exit_code}" if run.exit_code is not None else ""
    result = f", {run.result}" if run.result is not None else ""
    return f"{run.state}{result}{code}"


_NO_RUN = TaskRun()


def _preparation(item: Preparation) -> Items:
    preparation, release = item.job_preparation_task_execution_info, item.job_release_task_execution_info
    yield item.node_id, f"preparation {_run(preparation)}; release {_run(release)}"


def _subtask(item: Subtask) -> Items:
    node = item.node_info.node_id if item.node_info else None
    yield "" if item.id is None else str(item.id), _run(item) + (f" on {node}" if node else "")


# --- files ---


def _file(item: NodeFile) -> Items:
    yield item.name, "directory" if item.is_directory else f"{item.properties.content_length} bytes"


# --- schedules ---


def _runs(answer: ScheduleReport) -> Items:
    execution = answer.execution_info
    yield "state", answer.state
    if execution.next_run_time is not None:
        yield "nextRunTime", execution.next_run_time
    if execution.end_time is not None:
        yield "endTime", execution.end_time
    if execution.recent_job is not None and execution.recent_job.id is not None:
        yield "recentJob", execution.recent_job.id
    for job in answer.jobs:
        yield job.id, job.state or ""


VERBS: Mapping[str, Verb] = {
    "rebootNode": Verb(
        Doubt.READ, _restarted("rebooting"), lasts=True, looks=True, option="nodeRebootOption",
        busy=_STARTING | {"rebooting"}, back=_WORKING,
    ),
    "reimageNode": Verb(
        Doubt.READ, _restarted("reimaging"), lasts=True, looks=True, option="nodeReimageOption",
        busy=_STARTING | {"reimaging"}, back=_WORKING,
    ),
    "deallocateNode": Verb(
        Doubt.READ, _seen(TargetNode, _deallocated), looks=True, option="nodeDeallocateOption",
        busy=_STARTING | {"deallocating"}, back=frozenset({"deallocated"}),
    ),
    "startNode": Verb(
        Doubt.READ, _seen(TargetNode, _started), looks=True, busy=_STARTING | {"deallocated", "deallocating"}, back=_WORKING,
    ),
    "disableNodeScheduling": Verb(
        Doubt.READ, _scheduling("disabled"), frozenset({"NodeAlreadyInTargetSchedulingState"}), looks=True,
    ),
    "enableNodeScheduling": Verb(
        Doubt.READ, _scheduling("enabled"), frozenset({"NodeAlreadyInTargetSchedulingState"}), looks=True,
    ),
    "removeNodes": Verb(
        Doubt.READ, _seen(TargetNode, _removed, gone=True), lasts=True, looks=True, group=True, option="nodeDeallocationOption",
    ),
    "uploadNodeLogs": Verb(
        # Each call makes a directory of its own in the container.
        Doubt.NEVER, values=_shown(UploadedLogs, _uploaded),
    ),
    "createNodeUser": Verb(
        already=frozenset({"NodeUserExists"}), only_in_doubt=True,
    ),
    "updateNodeUser": Verb(
        ),
    "deleteNodeUser": Verb(
        already=frozenset({"NodeUserNotFound"}),
    ),
    "getRemoteLoginSettings": Verb(
        values=_shown(RemoteLogin, _login), changes=False,
    ),
    "listNodeExtensions": Verb(
        values=_shown(NodeExtension, _extension), changes=False,
    ),
    "stopResize": Verb(
        Doubt.READ, _seen(TargetPool, _resize_stopped), lasts=True, looks=True,
    ),
    "evaluateAutoScale": Verb(
        values=_shown(Evaluation, _variables), problem=_not_evaluated, defaults=_formula, changes=False,
    ),
    "usageMetrics": Verb(
        values=_shown(PoolUsage, _usage), changes=False,
    ),
    "terminateJob": Verb(
        Doubt.READ, _seen(ResourceState, _ended, gone=True), frozenset({"JobCompleted", "JobBeingTerminated"}), lasts=True,
    ),
    "jobPreparationStatus": Verb(
        values=_shown(Preparation, _preparation), changes=False,
    ),
    "reactivateTasks": Verb(
        Doubt.READ, _seen(ResourceState, _reactivated), frozenset({"TaskNotCompleted", "TaskSucceeded"}), lasts=True, looks=True,
    ),
    "terminateTasks": Verb(
        Doubt.READ, _seen(ResourceState, _ended, gone=True), frozenset({"TaskCompleted"}), lasts=True, looks=True, any_version=True,
    ),
    "listSubtasks": Verb(
        values=_shown(Subtask, _subtask), changes=False,
    ),
    "listFiles": Verb(values=_shown(NodeFile, _file), changes=False),
    "readFile": Verb(changes=False),
    "deleteFile": Verb(already=frozenset({"FileNotFound"})),
    "terminateSchedule": Verb(
        Doubt.READ, _seen(ResourceState, _ended, gone=True),
        frozenset({"JobScheduleCompleted", "JobScheduleBeingTerminated"}), lasts=True,
    ),
    "scheduleStatus": Verb(values=_shown(ScheduleReport, _runs), changes=False),
}  # fmt: skip


def verb_of(spec: Body) -> str:
    """The verb that a spec gives; empty if it gives none, which the CRD refuses."""
    return next((name for name in TARGETS if name in spec), "")
