"""The verbs of a BatchOperation in one table: the call, what to look at before it, and how to tell whether it was done.

A call may have no answer: its connection breaks, or the operator dies. Then `doubt` says how to go on. `READ`: the target itself
tells, by `done`. `REPEAT`: a second delivery does no harm within minutes. `NEVER`: nothing tells, so the outcome is Unknown and the
call is not made again. What others can undo is repeated only within minutes, unless the target tells of it ever after (`lasts`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from azure_batch_operator.api.operation import TARGETS, On
from azure_batch_operator.batch import BatchClient, UsageError
from azure_batch_operator.batch.caller import Listing
from azure_batch_operator.batch.requests import CallOptions

Body = Mapping[str, Any]
Answer = Any
MAX_PER_REMOVAL = 100
"""Nodes that one call removes (docs/azure-batch.md#limits)."""
_WAITING = frozenset({"taskcompletion", "retaineddata"})
"""Options with which a call that was taken shows no effect until tasks have ended or their data are gone."""


class Doubt(Enum):
    """What to do about a call without an answer."""

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


Send = Callable[[BatchClient, Spot, Body, CallOptions], Awaitable[Answer] | Listing]
Items = Iterator[tuple[str, str]]


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
        send: makes the call, or prepares a list.
        doubt: what to do about a call without an answer.
        lasts: of `READ`: whether the target tells however long ago it was, and whatever others have done since.
        any_version: whether a task that has changed is looked at again, and the call made if it is the same one still.
        done: of `READ`: whether what was `before` and what is now tell that it was done; None if they do not.
        already: codes of refusals that say that there is nothing to do: it was done by the call without an answer, or before.
        only_in_doubt: whether those codes are failures, but tell nothing after a call without an answer: what is there may be as
            somebody else made it.
        values: what to show of the answer, or of each item of a list.
        problem: what an answer says went wrong.
        defaults: inputs that are taken from the resource where the spec has none.
        changes: whether it changes anything.
        looks: whether each target is looked at before the call.
        group: whether one call is about all targets of a batch.
        option: input that says what becomes of running tasks.
        busy, back: states of a node on its way and where it is to get; empty if nothing is waited for.
    """

    send: Send
    doubt: Doubt = Doubt.REPEAT
    done: Callable[[str, Body | None], bool | None] = _never
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
        return f"{seen.get('allocationState', '')} {seen.get('allocationStateTransitionTime', '')}"
    if on is On.NODES:
        return f"{seen.get('state', '')} {seen.get('lastBootTime', '')}"
    return f"{seen.get('eTag') or ''} {seen.get('creationTime') or ''}".rstrip()


def etag_of(before: str) -> str | None:
    """The ETag in what is remembered of a task."""
    return before.partition(" ")[0] or None


def created_anew(before: str, seen: Body) -> bool:
    """Whether a task is a namesake of the one that was looked at."""
    created = before.partition(" ")[2]
    return bool(created) and seen.get("creationTime") not in (None, created)


def _picked(inputs: Body, *names: str) -> dict[str, Any]:
    return {name: inputs[name] for name in names if name in inputs}


def _moment(inputs: Body, name: str) -> datetime | None:
    """A time as it is sent.

    Raises:
        UsageError: there is no such time, although the CRD lets it pass.
    """
    if name not in inputs:
        return None
    try:
        return datetime.fromisoformat(str(inputs[name])).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise UsageError(f"{name} {str(inputs[name])!r} is not a time: {error}") from error


# --- nodes ---

_STARTING = frozenset({"starting", "waitingforstarttask"})
_WORKING = frozenset({"idle", "running", "offline"})


def _restarted(by: str) -> Callable[[str, Body | None], bool | None]:
    """Whether a node was restarted: it is on its way, or has booted since."""

    def done(before: str, node: Body | None) -> bool | None:
        if node is None:
            return None
        state, boot = str(node.get("state", "")), str(node.get("lastBootTime", ""))
        was, _, booted = before.partition(" ")
        if boot != booted or state == by or (state in _STARTING and was not in _STARTING):
            return True
        return False if state in _WORKING or state == was else None

    return done


def _deallocated(_: str, node: Body | None) -> bool | None:
    if node is None:
        return None
    state = node.get("state")
    # One that starts takes the call, and is stopped once it is up; until then only its scheduling tells.
    postponed = state in _STARTING and node.get("schedulingState") == "disabled"
    return state in {"deallocating", "deallocated"} or postponed


def _started(_: str, node: Body | None) -> bool | None:
    return None if node is None else node.get("state") not in {"deallocated", "deallocating"}


def _scheduling(state: str) -> Callable[[str, Body | None], bool | None]:
    return lambda _, node: None if node is None else node.get("schedulingState") == state


def _removed(_: str, node: Body | None) -> bool | None:
    return node is None or node.get("state") == "leavingpool"


def _login(answer: Body) -> Items:
    for name in ("remoteLoginIPAddress", "remoteLoginPort"):
        if name in answer:
            yield name, str(answer[name])


def _uploaded(answer: Body) -> Items:
    for name in ("virtualDirectoryName", "numberOfFilesUploaded"):
        if name in answer:
            yield name, str(answer[name])


def _extension(item: Body) -> Items:
    yield str((item.get("vmExtension") or {}).get("name", "")), str(item.get("provisioningState", ""))


# --- pools ---


def _resize_stopped(before: str, pool: Body | None) -> bool | None:
    """Whether a resize was stopped. One that has ended may have reached its size, and one that has begun since is another one."""
    if pool is None:
        return None
    if before_of(On.POOL, pool) == before:
        return False
    errors = {str(error.get("code", "")).lower() for error in pool.get("resizeErrors") or ()}
    stopped = pool.get("allocationState") == "steady" and "resizestopped" in errors
    return True if stopped or pool.get("allocationState") == "stopping" else None


def _variables(answer: Body) -> Items:
    for part in str(answer.get("results") or "").split(";"):
        name, sign, value = part.strip().partition("=")
        if sign:
            yield name, value


def _formula(pool: Body) -> Body:
    return {"autoScaleFormula": str(pool.get("autoScaleFormula") or "")}


def _not_evaluated(answer: Body) -> str | None:
    error = answer.get("error")
    return None if not error else f"{error.get('code', '')}: {error.get('message', '')}"


def _usage(item: Body) -> Items:
    what = f"{item.get('totalCoreHours', 0)} core hours of {item.get('vmSize', '')} until {item.get('endTime', '')}"
    yield f"{item.get('poolId', '')} {item.get('startTime', '')}", what


# --- jobs and tasks ---

_ENDING = frozenset({"terminating", "completed", "deleting"})


def _ended(_: str, remote: Body | None) -> bool | None:
    return remote is None or remote.get("state") in _ENDING


def _reactivated(before: str, task: Body | None) -> bool | None:
    """Whether a task was run again: it has left its end, or has come to another one. A namesake of it says nothing."""
    if task is None or created_anew(before, task):
        return None
    if task.get("state") != "completed":
        return True
    return None if etag_of(before) is None else task.get("eTag") != etag_of(before)


def _run(info: Body | None) -> str:
    if not info:
        return "not run"
    code = f", exit code {info['exitCode']}" if "exitCode" in info else ""
    result = f", {info['result']}" if "result" in info else ""
    return f"{info.get('state', '')}{result}{code}"


def _preparation(item: Body) -> Items:
    preparation, release = item.get("jobPreparationTaskExecutionInfo"), item.get("jobReleaseTaskExecutionInfo")
    yield str(item.get("nodeId", "")), f"preparation {_run(preparation)}; release {_run(release)}"


def _subtask(item: Body) -> Items:
    node = (item.get("nodeInfo") or {}).get("nodeId", "")
    yield str(item.get("id", "")), _run(item) + (f" on {node}" if node else "")


# --- files ---


def _file(item: Body) -> Items:
    size = (item.get("properties") or {}).get("contentLength", "")
    yield str(item.get("name", "")), "directory" if item.get("isDirectory") else f"{size} bytes"


def _list_files(client: BatchClient, at: Spot, inputs: Body, options: CallOptions) -> Listing:
    recursive = bool(inputs.get("recursive"))
    if at.task:
        return client.task_files.list(at.job, at.task, recursive=recursive, **options)
    return client.node_files.list(at.pool, at.node, recursive=recursive, **options)


async def _read_file(client: BatchClient, at: Spot, inputs: Body, options: CallOptions) -> bytes:
    path, limit = str(inputs["path"]), int(inputs.get("mostBytes", 256 * 1024))
    tail = bool(inputs.get("tail"))
    if at.task:
        of_task = client.task_files.tail if tail else client.task_files.read
        return await of_task(at.job, at.task, path, limit=limit, **options)
    of_node = client.node_files.tail if tail else client.node_files.read
    return await of_node(at.pool, at.node, path, limit=limit, **options)


def _delete_file(client: BatchClient, at: Spot, inputs: Body, options: CallOptions) -> Awaitable[Answer]:
    path, recursive = str(inputs["path"]), bool(inputs.get("recursive")) or None
    if at.task:
        return client.task_files.delete(at.job, at.task, path, recursive=recursive, **options)
    return client.node_files.delete(at.pool, at.node, path, recursive=recursive, **options)


# --- schedules ---


async def _schedule_status(client: BatchClient, at: Spot, _: Body, options: CallOptions) -> Body:
    schedule = await client.job_schedules.get(at.schedule, **options)
    jobs = client.jobs.list_from_schedule(at.schedule, select=("id", "state"), **options)
    return {**schedule, "jobs": [job async for job in jobs]}


def _runs(answer: Body) -> Items:
    info = answer.get("executionInfo") or {}
    yield "state", str(answer.get("state", ""))
    for name in ("nextRunTime", "endTime"):
        if name in info:
            yield name, str(info[name])
    if recent := info.get("recentJob"):
        yield "recentJob", str(recent.get("id", ""))
    for job in answer.get("jobs") or ():
        yield str(job.get("id", "")), str(job.get("state", ""))


VERBS: Mapping[str, Verb] = {
    "rebootNode": Verb(
        lambda client, at, given, options: client.nodes.reboot(
            at.pool, at.target, _picked(given, "nodeRebootOption"), **options
        ),
        Doubt.READ, _restarted("rebooting"), lasts=True, looks=True, option="nodeRebootOption",
        busy=_STARTING | {"rebooting"}, back=_WORKING,
    ),
    "reimageNode": Verb(
        lambda client, at, given, options: client.nodes.reimage(
            at.pool, at.target, _picked(given, "nodeReimageOption"), **options
        ),
        Doubt.READ, _restarted("reimaging"), lasts=True, looks=True, option="nodeReimageOption",
        busy=_STARTING | {"reimaging"}, back=_WORKING,
    ),
    "deallocateNode": Verb(
        lambda client, at, given, options: client.nodes.deallocate(
            at.pool, at.target, _picked(given, "nodeDeallocateOption"), **options
        ),
        Doubt.READ, _deallocated, looks=True, option="nodeDeallocateOption",
        busy=_STARTING | {"deallocating"}, back=frozenset({"deallocated"}),
    ),
    "startNode": Verb(
        lambda client, at, _, options: client.nodes.start(at.pool, at.target, **options),
        Doubt.READ, _started, looks=True, busy=_STARTING | {"deallocated", "deallocating"}, back=_WORKING,
    ),
    "disableNodeScheduling": Verb(
        lambda client, at, given, options: client.nodes.disable_scheduling(
            at.pool, at.target, _picked(given, "nodeDisableSchedulingOption"), **options
        ),
        Doubt.READ, _scheduling("disabled"), frozenset({"NodeAlreadyInTargetSchedulingState"}), looks=True,
    ),
    "enableNodeScheduling": Verb(
        lambda client, at, _, options: client.nodes.enable_scheduling(at.pool, at.target, **options),
        Doubt.READ, _scheduling("enabled"), frozenset({"NodeAlreadyInTargetSchedulingState"}), looks=True,
    ),
    "removeNodes": Verb(
        lambda client, at, given, options: client.pools.remove_nodes(
            at.pool,
            {"nodeList": list(at.targets), **_picked(given, "nodeDeallocationOption", "resizeTimeout")},
            if_match=at.etag,
            **options,
        ),
        Doubt.READ, _removed, lasts=True, looks=True, group=True, option="nodeDeallocationOption",
    ),
    "uploadNodeLogs": Verb(
        lambda client, at, given, options: client.nodes.upload_logs(
            at.pool,
            at.target,
            _picked(given, "containerUrl", "startTime", "endTime", "identityReference"),
            **options,
        ),
        # Each call makes a directory of its own in the container.
        Doubt.NEVER, values=_uploaded,
    ),
    "createNodeUser": Verb(
        lambda client, at, given, options: client.node_users.create(
            at.pool,
            at.target,
            _picked(given, "name", "isAdmin", "expiryTime", "password", "sshPublicKey"),
            **options,
        ),
        already=frozenset({"NodeUserExists"}), only_in_doubt=True,
    ),
    "updateNodeUser": Verb(
        lambda client, at, given, options: client.node_users.replace(
            at.pool, at.target, str(given["name"]), _picked(given, "expiryTime", "password", "sshPublicKey"), **options
        ),
    ),
    "deleteNodeUser": Verb(
        lambda client, at, given, options: client.node_users.delete(at.pool, at.target, str(given["name"]), **options),
        already=frozenset({"NodeUserNotFound"}),
    ),
    "getRemoteLoginSettings": Verb(
        lambda client, at, _, options: client.nodes.get_remote_login_settings(at.pool, at.target, **options),
        values=_login, changes=False,
    ),
    "listNodeExtensions": Verb(
        lambda client, at, _, options: client.nodes.list_extensions(at.pool, at.target, **options),
        values=_extension, changes=False,
    ),
    "stopResize": Verb(
        lambda client, at, _, options: client.pools.stop_resize(at.pool, if_match=at.etag, **options),
        Doubt.READ, _resize_stopped, lasts=True, looks=True,
    ),
    "evaluateAutoScale": Verb(
        lambda client, at, given, options: client.pools.evaluate_autoscale(
            at.pool, _picked(given, "autoScaleFormula"), **options
        ),
        values=_variables, problem=_not_evaluated, defaults=_formula, changes=False,
    ),
    "usageMetrics": Verb(
        lambda client, _, given, options: client.pools.list_usage_metrics(
            start_time=_moment(given, "startTime"), end_time=_moment(given, "endTime"), **options
        ),
        values=_usage, changes=False,
    ),
    "terminateJob": Verb(
        lambda client, at, given, options: client.jobs.terminate(
            at.job,
            _picked(given, "terminateReason") or None,
            force=given.get("force"),
            if_match=at.etag,
            **options,
        ),
        Doubt.READ, _ended, frozenset({"JobCompleted", "JobBeingTerminated"}), lasts=True,
    ),
    "jobPreparationStatus": Verb(
        lambda client, at, _, options: client.jobs.list_preparation_and_release_status(at.job, **options),
        values=_preparation, changes=False,
    ),
    "reactivateTasks": Verb(
        lambda client, at, _, options: client.tasks.reactivate(at.job, at.target, if_match=at.etag, **options),
        Doubt.READ, _reactivated, frozenset({"TaskNotCompleted", "TaskSucceeded"}), lasts=True, looks=True,
    ),
    "terminateTasks": Verb(
        lambda client, at, _, options: client.tasks.terminate(at.job, at.target, if_match=at.etag, **options),
        Doubt.READ, _ended, frozenset({"TaskCompleted"}), lasts=True, looks=True, any_version=True,
    ),
    "listSubtasks": Verb(
        lambda client, at, _, options: client.tasks.list_subtasks(at.job, at.task, **options),
        values=_subtask, changes=False,
    ),
    "listFiles": Verb(_list_files, values=_file, changes=False),
    "readFile": Verb(_read_file, changes=False),
    "deleteFile": Verb(_delete_file, already=frozenset({"FileNotFound"})),
    "terminateSchedule": Verb(
        lambda client, at, given, options: client.job_schedules.terminate(
            at.schedule, force=given.get("force"), if_match=at.etag, **options
        ),
        Doubt.READ, _ended, frozenset({"JobScheduleCompleted", "JobScheduleBeingTerminated"}), lasts=True,
    ),
    "scheduleStatus": Verb(_schedule_status, values=_runs, changes=False),
}  # fmt: skip


def verb_of(spec: Body) -> str:
    """The verb that a spec gives; empty if it gives none, which the CRD refuses."""
    return next((name for name in TARGETS if name in spec), "")
