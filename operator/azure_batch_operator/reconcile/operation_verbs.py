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

Body = Mapping[str, Any]
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


# --- schedules ---


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
        Doubt.READ, _restarted("rebooting"), lasts=True, looks=True, option="nodeRebootOption",
        busy=_STARTING | {"rebooting"}, back=_WORKING,
    ),
    "reimageNode": Verb(
        Doubt.READ, _restarted("reimaging"), lasts=True, looks=True, option="nodeReimageOption",
        busy=_STARTING | {"reimaging"}, back=_WORKING,
    ),
    "deallocateNode": Verb(
        Doubt.READ, _deallocated, looks=True, option="nodeDeallocateOption",
        busy=_STARTING | {"deallocating"}, back=frozenset({"deallocated"}),
    ),
    "startNode": Verb(
        Doubt.READ, _started, looks=True, busy=_STARTING | {"deallocated", "deallocating"}, back=_WORKING,
    ),
    "disableNodeScheduling": Verb(
        Doubt.READ, _scheduling("disabled"), frozenset({"NodeAlreadyInTargetSchedulingState"}), looks=True,
    ),
    "enableNodeScheduling": Verb(
        Doubt.READ, _scheduling("enabled"), frozenset({"NodeAlreadyInTargetSchedulingState"}), looks=True,
    ),
    "removeNodes": Verb(
        Doubt.READ, _removed, lasts=True, looks=True, group=True, option="nodeDeallocationOption",
    ),
    "uploadNodeLogs": Verb(
        # Each call makes a directory of its own in the container.
        Doubt.NEVER, values=_uploaded,
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
        values=_login, changes=False,
    ),
    "listNodeExtensions": Verb(
        values=_extension, changes=False,
    ),
    "stopResize": Verb(
        Doubt.READ, _resize_stopped, lasts=True, looks=True,
    ),
    "evaluateAutoScale": Verb(
        values=_variables, problem=_not_evaluated, defaults=_formula, changes=False,
    ),
    "usageMetrics": Verb(
        values=_usage, changes=False,
    ),
    "terminateJob": Verb(
        Doubt.READ, _ended, frozenset({"JobCompleted", "JobBeingTerminated"}), lasts=True,
    ),
    "jobPreparationStatus": Verb(
        values=_preparation, changes=False,
    ),
    "reactivateTasks": Verb(
        Doubt.READ, _reactivated, frozenset({"TaskNotCompleted", "TaskSucceeded"}), lasts=True, looks=True,
    ),
    "terminateTasks": Verb(
        Doubt.READ, _ended, frozenset({"TaskCompleted"}), lasts=True, looks=True, any_version=True,
    ),
    "listSubtasks": Verb(
        values=_subtask, changes=False,
    ),
    "listFiles": Verb(values=_file, changes=False),
    "readFile": Verb(changes=False),
    "deleteFile": Verb(already=frozenset({"FileNotFound"})),
    "terminateSchedule": Verb(
        Doubt.READ, _ended, frozenset({"JobScheduleCompleted", "JobScheduleBeingTerminated"}), lasts=True,
    ),
    "scheduleStatus": Verb(values=_runs, changes=False),
}  # fmt: skip


def verb_of(spec: Body) -> str:
    """The verb that a spec gives; empty if it gives none, which the CRD refuses."""
    return next((name for name in TARGETS if name in spec), "")
