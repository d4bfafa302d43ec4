"""Every operation that depends on a state, in each state: the status and code that the service answers, one table per resource.

The tables are written by hand. A cell is a status, or a letter for the code of a 409 (see the legend above each table), and after a
colon where it is known from: r for recorded, d for documented, p for reported, i for inferred. What no source tells is inferred
from the nearest one that does. Sources are listed in docs/emulator-differences.md. A cell ``-`` cannot be tried.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from azure_batch_emulator.web import routes
from support.still_service import POOL, StillService

Build = Callable[[StillService], None]
Call = Callable[[StillService], str]


@dataclass(frozen=True, slots=True)
class Table:
    """Cells by state and verb."""

    cells: dict[str, dict[str, str]]

    @classmethod
    def read(cls, text: str, legend: dict[str, str]) -> Table:
        """A table from its text: states in the first line, a verb and its cells in each of the others."""
        head, *lines = [line.split() for line in text.strip().splitlines()]
        cells: dict[str, dict[str, str]] = {state: {} for state in head}
        for verb, *found in lines:
            assert len(found) == len(head), verb
            for state, cell in zip(head, found, strict=True):
                if cell != "-":
                    answer, source = cell.split(":")
                    assert source in ("r", "d", "p", "i"), cell
                    cells[state][verb] = answer if answer.isdigit() else f"409 {legend[answer]}"
        return cls(cells)

    def beside(self, text: str, legend: dict[str, str]) -> Table:
        """This table with more states."""
        return Table(self.cells | Table.read(text, legend).cells)


def tried(builders: dict[str, Build], calls: dict[str, Call], state: str, expected: dict[str, str]) -> dict[str, str]:
    """What each verb really answers in a state; a resource is made again after each verb that may have changed it."""
    found: dict[str, str] = {}
    stage = None
    for verb in expected:
        if stage is None:
            stage = StillService()
            builders[state](stage)
        found[verb] = calls[verb](stage)
        if found[verb].startswith("2") and not verb.startswith(("get", "head", "list")):
            stage = None
    return found


def call(method: str, path: str, body: object = None) -> Call:
    return lambda stage: str(stage.call(method, path, body))


def on_node(method: str, path: str, body: object = None) -> Call:
    return lambda stage: str(stage.call(method, f"{stage.node_path}{path}", body))


# -- jobs --

JOB_LEGEND = {
    "T": "JobBeingTerminated",
    "C": "JobCompleted",
    "D": "JobBeingDeleted",
    "N": "JobNotActive",
    "E": "JobExists",
    "J": "JobWithSameIdExists",
    "O": "OperationInvalidForCurrentState",
    "P": "JobPreparationTaskOrReleaseTaskNotSpecified",
}
JOBS = Table.read(
    """
                      active  disabling  disabled  enabling  terminating  completed  deleting
    get               200:r   200:r      200:r     200:i     200:r        200:r      200:r
    get-counts        200:r   200:i      200:i     200:i     200:i        200:r      200:i
    list-tasks        200:r   200:i      200:r     200:i     200:i        200:r      200:i
    list-preparation  P:r     P:i        P:i       P:i       P:i          P:i        P:i
    patch             200:r   200:i      200:r     200:i     T:d          C:d        D:d
    put               200:r   200:i      200:i     200:i     T:d          C:d        D:d
    patch-pool        O:i     O:i        200:d     O:i       T:d          C:d        D:d
    disable           202:r   202:d      202:d     N:d       T:p          C:p        D:d
    enable            202:i   202:r      202:r     202:i     T:d          C:d        D:d
    terminate         202:r   202:i      202:i     202:i     T:p          C:p        D:d
    delete            202:r   202:i      202:i     202:i     202:r        202:r      D:d
    create            E:r     E:i        E:i       E:i       E:i          C:p        D:d
    create-schedule   J:d     J:d        J:d       J:d       J:d          J:d        J:d
    add-task          201:r   201:i      201:i     201:i     T:d          C:d        D:d
    add-collection    200:r   200:i      200:i     200:i     T:i          C:p        D:i
    put-task          200:d   200:i      200:i     200:i     200:i        200:i      200:i
    terminate-task    204:r   204:i      204:i     204:i     204:i        204:i      204:i
    reactivate-task   204:r   204:i      204:i     204:i     T:d          C:d        D:d
    delete-task       200:r   200:i      200:i     200:i     200:i        200:i      200:i
    """,
    JOB_LEGEND,
)
ON_POOL = {"poolInfo": {"poolId": "pool"}}


def _job(stage: StillService) -> None:
    stage.must("POST", "/jobs", {"id": "job", **ON_POOL})
    for task in ("task", "failed"):
        stage.must("POST", "/jobs/job/tasks", {"id": task, "commandLine": "true"})
    stage.must("POST", "/jobs/job/tasks/failed/terminate")


def _job_after(*calls: tuple[str, str, object], until: str | None = None) -> Build:
    def build(stage: StillService) -> None:
        _job(stage)
        for method, path, body in calls:
            stage.must(method, path, body)
        if until is not None:
            stage.until_job(until)

    return build


_DISABLE = ("POST", "/jobs/job/disable", {"disableTasks": "requeue"})
_ENABLE = ("POST", "/jobs/job/enable", None)
_TERMINATE = ("POST", "/jobs/job/terminate", None)
JOB_STATES: dict[str, Build] = {
    "active": _job,
    "disabling": _job_after(_DISABLE),
    "disabled": _job_after(_DISABLE, until="disabled"),
    "enabling": _job_after(_DISABLE, _ENABLE),
    "terminating": _job_after(_TERMINATE),
    "completed": _job_after(_TERMINATE, until="completed"),
    "deleting": _job_after(("DELETE", "/jobs/job", None)),
}
NEW_TASK = {"id": "new", "commandLine": "true"}
JOB_CALLS: dict[str, Call] = {
    "get": call("GET", "/jobs/job"),
    "get-counts": call("GET", "/jobs/job/taskcounts"),
    "list-tasks": call("GET", "/jobs/job/tasks"),
    "list-preparation": call("GET", "/jobs/job/jobpreparationandreleasetaskstatus"),
    "patch": call("PATCH", "/jobs/job", {"priority": 5}),
    "put": call("PUT", "/jobs/job", ON_POOL),
    "patch-pool": call("PATCH", "/jobs/job", {"poolInfo": {"poolId": "other"}}),
    "disable": call(*_DISABLE),
    "enable": call(*_ENABLE),
    "terminate": call(*_TERMINATE),
    "delete": call("DELETE", "/jobs/job"),
    "create": call("POST", "/jobs", {"id": "JOB", **ON_POOL}),
    "create-schedule": call("POST", "/jobschedules", {"id": "job", "schedule": {}, "jobSpecification": ON_POOL}),
    "add-task": call("POST", "/jobs/job/tasks", NEW_TASK),
    "add-collection": call("POST", "/jobs/job/addtaskcollection", {"value": [NEW_TASK]}),
    "put-task": call("PUT", "/jobs/job/tasks/task", {"constraints": {"maxTaskRetryCount": 1}}),
    "terminate-task": call("POST", "/jobs/job/tasks/task/terminate"),
    "reactivate-task": call("POST", "/jobs/job/tasks/failed/reactivate"),
    "delete-task": call("DELETE", "/jobs/job/tasks/task"),
}


@pytest.mark.parametrize("state", JOBS.cells)
def test_jobs(state: str) -> None:
    stage = StillService()
    JOB_STATES[state](stage)
    assert stage.service.job("job").state == state
    assert tried(JOB_STATES, JOB_CALLS, state, JOBS.cells[state]) == JOBS.cells[state]


# -- tasks --

TASK_LEGEND = {
    "C": "TaskCompleted",
    "N": "TaskNotCompleted",
    "S": "TaskSucceeded",
    "E": "TaskExists",
    "F": "TaskFilesUnavailable",
    "G": "TaskFilesCleanedup",
}
TASKS = Table.read(
    """
                active  blocked  preparing  running  succeeded  failed  ended  cleaned
    get         200:r   200:i    200:r      200:r    200:r      200:r   200:r  200:i
    list-parts  200:r   200:i    200:i      200:i    200:r      200:i   200:i  200:i
    list-files  F:d     F:d      200:i      200:r    200:r      200:r   F:d    G:d
    put         200:d   200:i    200:i      200:i    C:d        C:d     C:d    C:d
    terminate   204:r   204:i    204:i      204:r    C:p        C:p     C:p    C:p
    reactivate  N:d     N:d      N:d        N:d      S:d        204:r   204:r  S:d
    delete      200:r   200:i    200:i      200:i    200:r      200:i   200:i  200:i
    create      E:r     E:i      E:i        E:i      E:i        E:i     E:i    E:i
    """,
    TASK_LEGEND,
)


def _task(command: str = "true", *, nodes: int = 1, job: dict[str, object] | None = None, **more: object) -> Build:
    def build(stage: StillService) -> None:
        if nodes:
            stage.steady_pool(nodes)
        stage.must("POST", "/jobs", {"id": "job", **ON_POOL, **(job or {})})
        stage.must("POST", "/jobs/job/tasks", {"id": "task", "commandLine": command, **more})

    return build


def _then(build: Build, state: str) -> Build:
    def both(stage: StillService) -> None:
        build(stage)
        stage.until_task(state)

    return both


def _ended(stage: StillService) -> None:
    _task(nodes=0)(stage)
    stage.must("POST", "/jobs/job/tasks/task/terminate")


def _cleaned(stage: StillService) -> None:
    _then(_task(), "completed")(stage)
    stage.service.files.remove(stage.service.task("job", "task"))


TASK_STATES: dict[str, Build] = {
    "active": _task(nodes=0),
    "blocked": _task(job={"usesTaskDependencies": True}, dependsOn={"taskIds": ["other"]}),
    "preparing": _then(_task(job={"jobPreparationTask": {"commandLine": "sleep 1000"}}), "preparing"),
    "running": _then(_task("sleep 1000"), "running"),
    "succeeded": _then(_task(), "completed"),
    "failed": _then(_task("exit 3"), "completed"),
    "ended": _ended,
    "cleaned": _cleaned,
}
TASK_CALLS: dict[str, Call] = {
    "get": call("GET", "/jobs/job/tasks/task"),
    "list-parts": call("GET", "/jobs/job/tasks/task/subtasksinfo"),
    "list-files": call("GET", "/jobs/job/tasks/task/files"),
    "put": call("PUT", "/jobs/job/tasks/task", {"constraints": {"maxTaskRetryCount": 1}}),
    "terminate": call("POST", "/jobs/job/tasks/task/terminate"),
    "reactivate": call("POST", "/jobs/job/tasks/task/reactivate"),
    "delete": call("DELETE", "/jobs/job/tasks/task"),
    "create": call("POST", "/jobs/job/tasks", {"id": "TASK", "commandLine": "true"}),
}


@pytest.mark.parametrize("state", TASKS.cells)
def test_tasks(state: str) -> None:
    assert tried(TASK_STATES, TASK_CALLS, state, TASKS.cells[state]) == TASKS.cells[state]


# -- pools --

POOL_LEGEND = {
    "R": "PoolBeingResized",
    "D": "PoolBeingDeleted",
    "E": "PoolExists",
    "N": "OperationNotValidOnPool",
}
POOLS = Table.read(
    """
                 empty  resizing  stopping  nodes  scaled  deleting
    get          200:r  200:r     200:r     200:r  200:r   200:r
    head         200:r  200:i     200:i     200:i  200:i   200:i
    list-nodes   200:r  200:r     200:i     200:r  200:r   200:i
    patch        200:r  200:r     200:i     200:r  200:i   D:d
    patch-size   200:r  N:i       N:i       N:d    200:i   D:d
    properties   204:r  204:r     204:i     204:r  204:i   D:d
    resize       202:r  R:d       R:d       202:r  N:d     D:d
    stop         N:i    202:r     202:i     N:i    N:i     D:d
    remove       -      -         -         202:r  -       D:d
    autoscale    200:r  R:d       R:d       200:r  200:d   D:d
    fixed        200:i  200:i     200:i     200:i  200:r   D:d
    evaluate     N:d    N:d       N:d       N:d    200:r   D:d
    delete       202:r  202:d     202:i     202:r  202:i   D:d
    create       E:r    E:i       E:i       E:i    E:i     D:d
    """,
    POOL_LEGEND,
)
FORMULA = {"autoScaleFormula": "$TargetDedicatedNodes = 0;"}
_KEPT = {"metadata": [], "certificateReferences": [], "applicationPackageReferences": []}


def _resizing(stage: StillService) -> None:
    stage.steady_pool()
    stage.must("POST", "/pools/pool/resize", {"targetDedicatedNodes": 2})


def _stopping(stage: StillService) -> None:
    _resizing(stage)
    stage.must("POST", "/pools/pool/stopresize")


def _scaled(stage: StillService) -> None:
    stage.steady_pool()
    stage.must("POST", "/pools/pool/enableautoscale", FORMULA)
    stage.clock.advance(60)
    stage.until_pool("steady")


def _deleting(stage: StillService) -> None:
    stage.steady_pool(1)
    stage.must("DELETE", "/pools/pool")


POOL_STATES: dict[str, Build] = {
    "empty": StillService.steady_pool,
    "resizing": _resizing,
    "stopping": _stopping,
    "nodes": lambda stage: stage.steady_pool(1),
    "scaled": _scaled,
    "deleting": _deleting,
}
POOL_CALLS: dict[str, Call] = {
    "get": call("GET", "/pools/pool"),
    "head": call("HEAD", "/pools/pool"),
    "list-nodes": call("GET", "/pools/pool/nodes"),
    "patch": call("PATCH", "/pools/pool", {"metadata": [{"name": "a", "value": "b"}]}),
    "patch-size": call("PATCH", "/pools/pool", {"vmSize": "standard_d4s_v3"}),
    "properties": call("POST", "/pools/pool/updateproperties", _KEPT),
    "resize": call("POST", "/pools/pool/resize", {"targetDedicatedNodes": 3}),
    "stop": call("POST", "/pools/pool/stopresize"),
    "remove": lambda stage: str(
        stage.call("POST", "/pools/pool/removenodes", {"nodeList": [stage.node_path.rpartition("/")[2]]})
    ),
    "autoscale": call("POST", "/pools/pool/enableautoscale", FORMULA),
    "fixed": call("POST", "/pools/pool/disableautoscale"),
    "evaluate": call("POST", "/pools/pool/evaluateautoscale", FORMULA),
    "delete": call("DELETE", "/pools/pool"),
    "create": call("POST", "/pools", {"id": "POOL", **POOL}),
}


@pytest.mark.parametrize("state", POOLS.cells)
def test_pools(state: str) -> None:
    assert tried(POOL_STATES, POOL_CALLS, state, POOLS.cells[state]) == POOLS.cells[state]


# -- nodes --

NODE_LEGEND = {
    "C": "NodeBeingCreated",
    "S": "NodeBeingStarted",
    "B": "NodeBeingRebooted",
    "I": "NodeBeingReimaged",
    "U": "NodeStateUnusable",
    "X": "OperationNotValidOnNode",
    "A": "NodeAlreadyInTargetSchedulingState",
}
# Abbreviated: waiting and failed are those of the start task, leaving is leavingpool.
NODES = Table.read(
    """
                 creating  starting  waiting  failed  idle   running  offline
    get          200:r     200:r     200:r    200:r   200:r  200:r    200:r
    get-login    200:i     200:i     200:i    200:i   200:r  200:i    200:i
    list-ext     200:r     200:i     200:i    200:i   200:r  200:i    200:i
    list-files   C:i       200:i     200:i    200:d   200:r  200:r    200:i
    reboot       C:d       S:d       S:i      202:d   202:r  202:d    202:i
    reimage      C:d       S:d       S:i      202:i   202:r  202:d    202:i
    deallocate   C:d       202:r     202:i    X:i     202:d  202:d    202:i
    start        C:d       S:d       S:i      X:d     X:d    X:d      X:d
    disable      C:i       S:i       S:i      X:i     200:r  200:d    A:d
    enable       A:d       A:d       A:d      A:d     A:d    A:d      200:d
    create-user  C:d       S:d       S:i      X:d     201:r  201:d    201:i
    """,
    NODE_LEGEND,
).beside(
    """
                 rebooting  reimaging  deallocating  deallocated  preempted  leaving  unusable  unknown
    get          200:r      200:r      200:r       200:r        200:i      200:i    200:i     200:i
    get-login    200:i      200:i      200:i       200:i        200:i      200:i    200:i     200:i
    list-ext     200:i      200:i      200:i       200:i        200:i      200:i    200:i     200:i
    list-files   200:i      200:i      200:i       X:i          X:i        200:i    200:i     200:i
    reboot       B:d        I:d        X:i         X:i          X:i        X:i      U:d       X:i
    reimage      B:d        I:d        X:i         X:i          X:i        X:i      U:d       X:i
    deallocate   B:d        I:d        X:i         X:i          X:i        X:i      U:d       X:i
    start        B:d        I:d        X:d         202:r        X:d        X:d      U:d       X:d
    disable      B:i        I:i        X:i         X:i          X:i        X:i      U:i       X:i
    enable       A:d        A:d        200:i       200:i        A:d        A:d      A:d       A:d
    create-user  B:d        I:d        X:d         X:d          X:d        X:d      U:d       X:d
    """,
    NODE_LEGEND,
)


def _node_after(path: str, state: str, body: object = None) -> Build:
    def build(stage: StillService) -> None:
        stage.steady_pool(1)
        stage.must("POST", f"{stage.node_path}/{path}", body)
        stage.until_node(state)

    return build


def _coming(state: str, command: str | None = None) -> Build:
    def build(stage: StillService) -> None:
        start = {"startTask": {"commandLine": command}} if command is not None else {}
        stage.must("POST", "/pools", {"id": "pool", **POOL, "targetDedicatedNodes": 1, **start})
        stage.until_node(state)

    return build


def _running(stage: StillService) -> None:
    _then(_task("sleep 1000"), "running")(stage)


def _leaving(stage: StillService) -> None:
    stage.steady_pool(1)
    stage.must("POST", "/pools/pool/resize", {"targetDedicatedNodes": 0})


def _broken(state: str) -> Build:
    def build(stage: StillService) -> None:
        stage.steady_pool(1)
        stage.fail_node(state)

    return build


def _preempted(stage: StillService) -> None:
    stage.steady_pool(1)
    stage.preempt_node()


NODE_STATES: dict[str, Build] = {
    "creating": _coming("creating"),
    "starting": _coming("starting"),
    "waiting": _coming("waitingforstarttask", "sleep 1000"),
    "failed": _coming("starttaskfailed", "exit 1"),
    "idle": lambda stage: stage.steady_pool(1),
    "running": _running,
    "offline": _node_after("disablescheduling", "offline"),
    "rebooting": _node_after("reboot", "rebooting"),
    "reimaging": _node_after("reimage", "reimaging"),
    "deallocating": _node_after("deallocate", "deallocating"),
    "deallocated": _node_after("deallocate", "deallocated"),
    "preempted": _preempted,
    "leaving": _leaving,
    "unusable": _broken("unusable"),
    "unknown": _broken("unknown"),
}
NODE_CALLS: dict[str, Call] = {
    "get": on_node("GET", ""),
    "get-login": on_node("GET", "/remoteloginsettings"),
    "list-ext": on_node("GET", "/extensions"),
    "list-files": on_node("GET", "/files"),
    "reboot": on_node("POST", "/reboot"),
    "reimage": on_node("POST", "/reimage"),
    "deallocate": on_node("POST", "/deallocate"),
    "start": on_node("POST", "/start"),
    "disable": on_node("POST", "/disablescheduling"),
    "enable": on_node("POST", "/enablescheduling"),
    "create-user": on_node("POST", "/users", {"name": "ann", "password": "Aa1!aaaa"}),
}


@pytest.mark.parametrize("state", NODES.cells)
def test_nodes(state: str) -> None:
    assert tried(NODE_STATES, NODE_CALLS, state, NODES.cells[state]) == NODES.cells[state]


# -- job schedules --

SCHEDULE_LEGEND = {
    "X": "JobScheduleDisabled",
    "T": "JobScheduleBeingTerminated",
    "C": "JobScheduleCompleted",
    "D": "JobScheduleBeingDeleted",
    "E": "JobScheduleExists",
    "J": "JobScheduleWithSameIdExists",
}
SCHEDULES = Table.read(
    """
                active  disabled  terminating  completed  deleting
    get         200:r   200:r     200:i        200:r      200:r
    head        200:r   200:i     200:i        200:i      200:i
    list-jobs   200:r   200:i     200:i        200:r      200:i
    patch       200:r   200:i     T:d          C:d        D:d
    put         200:r   200:i     T:d          C:d        D:d
    disable     204:r   X:d       T:d          C:d        D:d
    enable      204:i   204:r     T:d          C:d        D:d
    terminate   202:r   202:i     T:d          C:d        D:d
    delete      202:r   202:i     202:i        202:r      D:d
    create      E:d     E:d       E:d          C:p        D:d
    create-job  J:d     J:d       J:d          J:d        J:d
    """,
    SCHEDULE_LEGEND,
)
SCHEDULE = {"schedule": {"recurrenceInterval": "PT1H"}, "jobSpecification": ON_POOL}


def _schedule(*calls: tuple[str, str], until: str | None = None) -> Build:
    def build(stage: StillService) -> None:
        stage.must("POST", "/jobschedules", {"id": "daily", **SCHEDULE})
        for method, path in calls:
            stage.must(method, f"/jobschedules/daily{path}")
        if until is not None:
            stage.clock.run_until(lambda: stage.service.schedule("daily").state == until)

    return build


SCHEDULE_STATES: dict[str, Build] = {
    "active": _schedule(),
    "disabled": _schedule(("POST", "/disable")),
    "terminating": _schedule(("POST", "/terminate")),
    "completed": _schedule(("POST", "/terminate"), until="completed"),
    "deleting": _schedule(("DELETE", "")),
}
SCHEDULE_CALLS: dict[str, Call] = {
    "get": call("GET", "/jobschedules/daily"),
    "head": call("HEAD", "/jobschedules/daily"),
    "list-jobs": call("GET", "/jobschedules/daily/jobs"),
    "patch": call("PATCH", "/jobschedules/daily", {"metadata": [{"name": "a", "value": "b"}]}),
    "put": call("PUT", "/jobschedules/daily", SCHEDULE),
    "disable": call("POST", "/jobschedules/daily/disable"),
    "enable": call("POST", "/jobschedules/daily/enable"),
    "terminate": call("POST", "/jobschedules/daily/terminate"),
    "delete": call("DELETE", "/jobschedules/daily"),
    "create": call("POST", "/jobschedules", {"id": "DAILY", **SCHEDULE}),
    "create-job": call("POST", "/jobs", {"id": "daily", **ON_POOL}),
}


@pytest.mark.parametrize("state", SCHEDULES.cells)
def test_schedules(state: str) -> None:
    stage = StillService()
    SCHEDULE_STATES[state](stage)
    assert stage.service.schedule("daily").state == state
    assert tried(SCHEDULE_STATES, SCHEDULE_CALLS, state, SCHEDULES.cells[state]) == SCHEDULES.cells[state]


# -- completeness --

# The answer to these depends on no state of a resource, or they are about files and accounts (see test_files, test_account).
STATELESS = {
    "Jobs_ListJobs",
    "Pools_ListPools",
    "JobSchedules_ListJobSchedules",
    "Pools_ListPoolNodeCounts",
    "Pools_ListPoolUsageMetrics",
    "Pools_ListSupportedImages",
    "Applications_ListApplications",
    "Applications_GetApplication",
    "Nodes_GetNodeExtension",
    "Nodes_UploadNodeLogs",
    # As the creation of a user, which the table has.
    "Nodes_ReplaceNodeUser",
    "Nodes_DeleteNodeUser",
}


def test_every_operation_with_a_state_is_in_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    called: set[str] = set()
    match = routes.match

    def noting(method: str, path: str) -> routes.Match:
        found = match(method, path)
        called.add(found.route.operation)
        return found

    monkeypatch.setattr(routes, "match", noting)
    for calls, build in (
        (JOB_CALLS, _job),
        (TASK_CALLS, _task()),
        (POOL_CALLS, POOL_STATES["nodes"]),
        (NODE_CALLS, NODE_STATES["idle"]),
        (SCHEDULE_CALLS, _schedule()),
    ):
        for each in calls.values():
            stage = StillService()
            build(stage)
            each(stage)
    about_files = {operation.operation for operation in routes.ROUTES if "File" in operation.operation}
    about_certificates = {operation.operation for operation in routes.ROUTES if "Certificate" in operation.operation}
    everything = {route.operation for route in routes.ROUTES}
    assert everything - called == STATELESS | (about_files - called) | about_certificates
