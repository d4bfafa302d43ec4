"""Every operation that depends on a state, in each state: the status and code that the service answers, one table per resource.

The tables are written by hand. A cell is a status, or a letter for the code of a 409 (see the legend above each table), and after a
colon where it is known from: r for recorded, d for documented, p for reported, i for inferred. What no source tells is inferred
from the nearest one that does. Sources are listed in docs/emulator-differences.md. A cell ``-`` cannot be tried.
"""

from __future__ import annotations

import pytest

from azure_batch_emulator.web import routes
from conformance.test_pool_states import NODE_CALLS, NODE_STATES, POOL_CALLS, POOL_STATES
from support.state_tables import ON_POOL, Build, Call, Table, a_task, call, then, tried
from support.still_service import StillService

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


def _ended(stage: StillService) -> None:
    a_task(nodes=0)(stage)
    stage.must("POST", "/jobs/job/tasks/task/terminate")


def _cleaned(stage: StillService) -> None:
    then(a_task(), "completed")(stage)
    stage.service.files.remove(stage.service.task("job", "task"))


TASK_STATES: dict[str, Build] = {
    "active": a_task(nodes=0),
    "blocked": a_task(job={"usesTaskDependencies": True}, dependsOn={"taskIds": ["other"]}),
    "preparing": then(a_task(job={"jobPreparationTask": {"commandLine": "sleep 1000"}}), "preparing"),
    "running": then(a_task("sleep 1000"), "running"),
    "succeeded": then(a_task(), "completed"),
    "failed": then(a_task("exit 3"), "completed"),
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
        (TASK_CALLS, a_task()),
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
