"""Every property of every request body: taken, given back as sent or as the service writes it, refused when its type is wrong.

The bodies are in `support.property_samples`, written by hand; the API document (``tests/data``) only says whether one is missing.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.property_samples import (
    INFINITE,
    JOB_DEFAULTS,
    JOBS,
    METADATA,
    POOL_DEFAULTS,
    POOLS,
    SCHEDULE,
    TASK_DEFAULTS,
    TASKS,
    Sample,
)
from support.still_service import MACHINE, POOL, StillService

DOCUMENT = json.loads((Path(__file__).parents[1] / "data" / "api-2024-07-01.20.0.json").read_text(encoding="utf-8"))
# What the service adds to every resource.
LIVE = frozenset(
    [
        "odata.metadata",
        "id",
        "url",
        "eTag",
        "lastModified",
        "creationTime",
        "state",
        "stateTransitionTime",
        "previousState",
        "previousStateTransitionTime",
        "allocationState",
        "allocationStateTransitionTime",
        "currentDedicatedNodes",
        "currentLowPriorityNodes",
        "executionInfo",
        "nodeInfo",
    ]
)
ON_POOL = {"poolInfo": {"poolId": "pool"}}


@pytest.fixture
def stage() -> StillService:
    stage = StillService()
    stage.service.applications["app"] = {"id": "app", "versions": ["1"]}
    return stage


def shown(stage: StillService, path: str) -> dict[str, Any]:
    """A resource without what the service adds."""
    body = stage.must("GET", path)
    return {name: value for name, value in body.items() if name not in LIVE}


# -- as sent or as the service writes it --


@pytest.mark.parametrize("name", POOLS)
def test_pools_come_back(stage: StillService, name: str) -> None:
    stage.must("POST", "/pools", {"id": "pool", **POOLS[name].sent})
    assert shown(stage, "/pools/pool") == POOLS[name].returned


@pytest.mark.parametrize("name", JOBS)
def test_jobs_come_back(stage: StillService, name: str) -> None:
    stage.must("POST", "/jobs", {"id": "job", **JOBS[name].sent})
    assert shown(stage, "/jobs/job") == JOBS[name].returned


@pytest.mark.parametrize("name", JOBS)
def test_schedules_come_back(stage: StillService, name: str) -> None:
    body = {"displayName": "Ü", "schedule": SCHEDULE.sent, "jobSpecification": JOBS[name].sent, "metadata": METADATA}
    stage.must("POST", "/jobschedules", {"id": "daily", **body})
    returned = body | {"schedule": SCHEDULE.returned, "jobSpecification": JOBS[name].returned}
    assert shown(stage, "/jobschedules/daily") == returned


@pytest.mark.parametrize("way", ["one", "collection"])
@pytest.mark.parametrize("name", TASKS)
def test_tasks_come_back(stage: StillService, name: str, way: str) -> None:
    job = {"usesTaskDependencies": True, "onTaskFailure": "performexitoptionsjobaction", **ON_POOL}
    stage.must("POST", "/jobs", {"id": "job", **job})
    body = {"id": "task", **TASKS[name].sent}
    if way == "one":
        stage.must("POST", "/jobs/job/tasks", body)
    else:
        (result,) = stage.must("POST", "/jobs/job/addtaskcollection", {"value": [body]})["value"]
        assert result["status"] == "Success", result
    assert shown(stage, "/jobs/job/tasks/task") == TASKS[name].returned


# -- defaults --


def test_defaults(stage: StillService) -> None:
    machine = MACHINE | {"imageReference": MACHINE["imageReference"] | {"version": "latest"}}
    stage.must("POST", "/pools", {"id": "pool", **POOL})
    assert shown(stage, "/pools/pool") == POOL | {"virtualMachineConfiguration": machine} | POOL_DEFAULTS
    stage.must("POST", "/jobs", {"id": "job", **ON_POOL})
    assert shown(stage, "/jobs/job") == ON_POOL | JOB_DEFAULTS
    stage.must("POST", "/jobs/job/tasks", {"id": "task", "commandLine": "true"})
    assert shown(stage, "/jobs/job/tasks/task") == {"commandLine": "true"} | TASK_DEFAULTS
    stage.must("POST", "/jobschedules", {"id": "daily", "schedule": {}, "jobSpecification": ON_POOL})
    returned = {"schedule": {}, "jobSpecification": ON_POOL | JOB_DEFAULTS}
    assert shown(stage, "/jobschedules/daily") == returned


# -- changes --


PATCHES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "job": ("/jobs", "/jobs/one", ON_POOL),
    "schedule": ("/jobschedules", "/jobschedules/one", {"schedule": {}, "jobSpecification": ON_POOL}),
    "pool": ("/pools", "/pools/one", POOL),
}


def patchable(kind: str) -> dict[str, tuple[Any, Any]]:
    """By property, what a PATCH sends and what comes back, taken from the samples."""
    if kind == "job":
        sample, names = JOBS["pool"], DOCUMENT["operations"]["Jobs_UpdateJob"]["body"]
    elif kind == "pool":
        sample, names = POOLS["linux"], DOCUMENT["operations"]["Pools_UpdatePool"]["body"]
    else:
        specification = JOBS["pool"]
        sent = {"schedule": SCHEDULE.sent, "jobSpecification": specification.sent, "metadata": METADATA}
        sample = Sample(sent, {**SCHEDULE.inside("schedule"), **specification.inside("jobSpecification")})
        names = DOCUMENT["operations"]["JobSchedules_UpdateJobSchedule"]["body"]
    return {name: (sample.sent[name], sample.returned[name]) for name in DOCUMENT["shapes"][names]}


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind in PATCHES for name in patchable(kind)], ids=lambda each: each
)
def test_a_patch_changes_one_property_and_no_other(stage: StillService, kind: str, name: str) -> None:
    collection, path, body = PATCHES[kind]
    stage.must("POST", collection, {"id": "one", **body})
    if kind == "pool":
        stage.clock.advance(60)
    before = shown(stage, path)
    sent, returned = patchable(kind)[name]
    stage.must("PATCH", path, {name: sent})
    assert shown(stage, path) == before | {name: returned}
    # Null means left out.
    stage.must("PATCH", path, {name: None})
    assert shown(stage, path) == before | {name: returned}


# What a job can change, as the API document says: a PUT changes what a PATCH can, and takes the rest as it was.
CHANGEABLE = {*patchable("job")} - {"poolInfo"}


def test_properties_that_a_put_of_a_job_omits_are_reset(stage: StillService) -> None:
    # Recorded: what cannot change survives, all else is as if it had never been set.
    stage.must("POST", "/jobs", {"id": "job", **JOBS["pool"].sent})
    stage.must("PUT", "/jobs/job", ON_POOL)
    kept = {name: value for name, value in JOBS["pool"].returned.items() if name not in CHANGEABLE}
    reset = {name: value for name, value in JOB_DEFAULTS.items() if name in CHANGEABLE}
    assert shown(stage, "/jobs/job") == kept | reset


def test_properties_that_a_put_of_a_job_sends_are_kept(stage: StillService) -> None:
    stage.must("POST", "/jobs", {"id": "job", **ON_POOL})
    stage.must("PUT", "/jobs/job", JOBS["pool"].sent)
    changed = {name: JOBS["pool"].returned[name] for name in CHANGEABLE}
    assert shown(stage, "/jobs/job") == ON_POOL | JOB_DEFAULTS | changed


def test_properties_that_a_put_of_a_schedule_omits_are_reset(stage: StillService) -> None:
    body = {"displayName": "Ü", "schedule": SCHEDULE.sent, "jobSpecification": JOBS["pool"].sent, "metadata": METADATA}
    stage.must("POST", "/jobschedules", {"id": "daily", **body})
    stage.must("PUT", "/jobschedules/daily", {"jobSpecification": ON_POOL})
    expected = {"displayName": "Ü", "schedule": {}, "jobSpecification": ON_POOL | JOB_DEFAULTS}
    assert shown(stage, "/jobschedules/daily") == expected


def test_properties_that_a_put_of_a_task_omits_are_reset(stage: StillService) -> None:
    stage.must("POST", "/jobs", {"id": "job", **ON_POOL, "constraints": {"maxTaskRetryCount": 5}})
    constraints = {"maxWallClockTime": "PT1H", "retentionTime": "PT1H", "maxTaskRetryCount": 3}
    stage.must("POST", "/jobs/job/tasks", {"id": "task", "commandLine": "true", "constraints": constraints})
    assert shown(stage, "/jobs/job/tasks/task")["constraints"] == constraints
    for body, retries in (({}, 5), ({"constraints": {}}, 5), ({"constraints": {"maxTaskRetryCount": 1}}, 1)):
        stage.must("PUT", "/jobs/job/tasks/task", body)
        expected = {"maxWallClockTime": INFINITE, "retentionTime": "P7D", "maxTaskRetryCount": retries}
        assert shown(stage, "/jobs/job/tasks/task")["constraints"] == expected


def test_properties_that_updateproperties_omits_are_removed(stage: StillService) -> None:
    stage.must("POST", "/pools", {"id": "pool", **POOLS["linux"].sent})
    stage.clock.advance(60)
    empty: dict[str, Any] = {"metadata": [], "certificateReferences": [], "applicationPackageReferences": []}
    stage.must("POST", "/pools/pool/updateproperties", empty)
    expected = POOLS["linux"].returned | {"targetNodeCommunicationMode": "default"}
    for name in ("startTask", "metadata", "applicationPackageReferences"):
        del expected[name]
    assert shown(stage, "/pools/pool") == expected
    for name in empty:
        answer = stage.call("POST", "/pools/pool/updateproperties", {k: v for k, v in empty.items() if k != name})
        assert (str(answer), answer.values) == ("400 MissingRequiredProperty", {"PropertyName": name})


def test_a_response_can_be_sent_back(stage: StillService) -> None:
    stage.must("POST", "/jobs", {"id": "job", **JOBS["pool"].sent})
    stage.must("POST", "/jobs/job/tasks", {"id": "task", "commandLine": "true"})
    body = {"schedule": SCHEDULE.sent, "jobSpecification": JOBS["pool"].sent, "metadata": METADATA}
    stage.must("POST", "/jobschedules", {"id": "daily", **body})
    for path in ("/jobs/job", "/jobs/job/tasks/task", "/jobschedules/daily"):
        before = shown(stage, path)
        stage.must("PUT", path, stage.must("GET", path))
        assert shown(stage, path) == before


# -- wrong types --

# What is sent besides the bodies of resources: the call, and a body with every property.
ORDERS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "Jobs_DisableJob": ("POST", "/jobs/job/disable", {"disableTasks": "Requeue"}),
    "Jobs_TerminateJob": ("POST", "/jobs/job/terminate", {"terminateReason": "r"}),
    "Pools_ResizePool": (
        "POST",
        "/pools/pool/resize",
        {
            "targetDedicatedNodes": 1,
            "targetLowPriorityNodes": 1,
            "resizeTimeout": "PT6M",
            "nodeDeallocationOption": "TaskCompletion",
        },
    ),
    "Pools_RemoveNodes": (
        "POST",
        "/pools/pool/removenodes",
        {"nodeList": ["NODE"], "resizeTimeout": "PT6M", "nodeDeallocationOption": "RetainedData"},
    ),
    "Pools_EnablePoolAutoScale": (
        "POST",
        "/pools/pool/enableautoscale",
        {"autoScaleFormula": "$a=1;", "autoScaleEvaluationInterval": "PT6M"},
    ),
    "Nodes_RebootNode": ("POST", "NODE/reboot", {"nodeRebootOption": "Terminate"}),
    "Nodes_ReimageNode": ("POST", "NODE/reimage", {"nodeReimageOption": "Terminate"}),
    "Nodes_DeallocateNode": ("POST", "NODE/deallocate", {"nodeDeallocateOption": "Terminate"}),
    "Nodes_DisableNodeScheduling": ("POST", "NODE/disablescheduling", {"nodeDisableSchedulingOption": "Terminate"}),
    "Nodes_UploadNodeLogs": (
        "POST",
        "NODE/uploadbatchservicelogs",
        {
            "containerUrl": "https://a.example/c",
            "startTime": "2024-01-01T00:00:00Z",
            "endTime": "2024-01-02T00:00:00Z",
            "identityReference": {"resourceId": "i"},
        },
    ),
    "Nodes_CreateNodeUser": (
        "POST",
        "NODE/users",
        {"name": "ann", "isAdmin": True, "expiryTime": "2099-01-01T00:00:00Z", "password": "hush"},
    ),
    "Nodes_ReplaceNodeUser": (
        "PUT",
        "NODE/users/bob",
        {"expiryTime": "2099-01-01T00:00:00Z", "sshPublicKey": "ssh-rsa x"},
    ),
    "Pools_ReplacePoolProperties": (
        "POST",
        "/pools/pool/updateproperties",
        {
            "startTask": POOLS["linux"].sent["startTask"],
            "certificateReferences": [],
            "applicationPackageReferences": [{"applicationId": "app", "version": "1"}],
            "metadata": METADATA,
            "targetNodeCommunicationMode": "Classic",
        },
    ),
}


def _ordered(operation: str) -> tuple[StillService, str, str, dict[str, Any]]:
    stage = StillService()
    stage.service.applications["app"] = {"id": "app", "versions": ["1"]}
    accounts = [{"name": "linux", "password": "hush"}]
    stage.steady_pool(1, userAccounts=accounts)
    stage.must("POST", "/jobs", {"id": "job", **ON_POOL})
    stage.must("POST", f"{stage.node_path}/users", {"name": "bob", "password": "hush"})
    method, path, body = ORDERS[operation]
    node = stage.node_path.rpartition("/")[2]
    body = json.loads(json.dumps(body).replace('"NODE"', f'"{node}"'))
    return stage, method, path.replace("NODE", stage.node_path), body


@pytest.mark.parametrize("operation", ORDERS)
def test_orders_with_every_property_are_taken(operation: str) -> None:
    stage, method, path, body = _ordered(operation)
    answer = stage.call(method, path, body)
    assert answer.status in (200, 201, 202, 204), (str(answer), answer.values)


def _leaves(body: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    if isinstance(body, dict) and body:
        for name, value in body.items():
            yield from _leaves(value, (*path, name))
    elif isinstance(body, list) and body:
        for index, value in enumerate(body):
            yield from _leaves(value, (*path, index))
    else:
        yield path, body


def _with(body: Any, path: tuple[Any, ...], value: Any) -> Any:
    changed = copy.deepcopy(body)
    place = changed
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return changed


# Passed on unread, so that any JSON is as good as another.
UNREAD = {"settings", "protectedSettings", "resourceTags"}
RESOURCES: dict[str, tuple[str, dict[str, Any]]] = {
    **{f"pool-{name}": ("/pools", {"id": "pool", **pool.sent}) for name, pool in POOLS.items()},
    **{f"job-{name}": ("/jobs", {"id": "new", **JOBS[name].sent}) for name in ("pool", "linux")},
    **{f"task-{name}": ("/jobs/job/tasks", {"id": "new", **task.sent}) for name, task in TASKS.items()},
    "schedule": (
        "/jobschedules",
        {
            "id": "daily",
            "displayName": "d",
            "schedule": SCHEDULE.sent,
            "jobSpecification": ON_POOL,
            "metadata": METADATA,
        },
    ),
}


def _wrong_types(body: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """The body with one value after the other of a wrong type; containers as well as leaves."""
    for path, value in _leaves(body):
        if UNREAD & {*path}:
            continue
        wrong: list[Any] = [{"a": 1}, [1]] if value != [] else [{"a": 1}, "text"]
        wrong += [5] if isinstance(value, str) else ["text"] if isinstance(value, bool | int) else []
        wrong += [True] if isinstance(value, int) and not isinstance(value, bool) else []
        for each in wrong:
            yield f"{'.'.join(map(str, path))}={each!r}", _with(body, path, each)
        for length in range(1, len(path)):
            # An object or a list on the way.
            yield f"{'.'.join(map(str, path[:length]))}='text'", _with(body, path[:length], "text")


@pytest.mark.parametrize("name", RESOURCES)
def test_wrong_types_are_refused(stage: StillService, name: str) -> None:
    path, body = RESOURCES[name]
    job = {"usesTaskDependencies": True, "onTaskFailure": "performexitoptionsjobaction", **ON_POOL}
    stage.must("POST", "/jobs", {"id": "job", **job})
    answers = {label: str(stage.call("POST", path, wrong)) for label, wrong in _wrong_types(body)}
    assert {label: answer for label, answer in answers.items() if answer != "400 InvalidRequestBody"} == {}
    assert len(answers) > 10


@pytest.mark.parametrize("operation", ORDERS)
def test_wrong_types_of_orders_are_refused(operation: str) -> None:
    stage, method, path, body = _ordered(operation)
    answers = {label: str(stage.call(method, path, wrong)) for label, wrong in _wrong_types(body)}
    assert {label: answer for label, answer in answers.items() if answer != "400 InvalidRequestBody"} == {}


def test_unknown_words_are_refused(stage: StillService) -> None:
    # Recorded shape: the property, the value and the reason, in this order.
    answer = stage.call("POST", "/jobs", {"id": "job", **ON_POOL, "onAllTasksComplete": "explode"})
    assert str(answer) == "400 InvalidPropertyValue"
    assert list(answer.values) == ["PropertyName", "PropertyValue", "Reason"]
    assert (answer.values["PropertyName"], answer.values["PropertyValue"]) == ("onAllTasksComplete", "explode")


def test_unknown_properties_are_refused(stage: StillService) -> None:
    # Names are case-sensitive.
    for body in ({"id": "job", **ON_POOL, "Priority": 1}, {"id": "job", **ON_POOL, "constraints": {"maxRetries": 1}}):
        assert str(stage.call("POST", "/jobs", body)) == "400 InvalidRequestBody"


# -- completeness --


def _described(shape: Any, path: str = "") -> Iterator[str]:
    if isinstance(shape, int):
        for name, kind in DOCUMENT["shapes"][shape].items():
            yield from _described(kind, f"{path}.{name}" if path else name)
    elif isinstance(shape, list):
        yield from _described(shape[0], f"{path}[]")
    else:
        yield path


def _plain(body: Any) -> set[str]:
    found = set()
    for path, _ in _leaves(body):
        text = ""
        for step in path:
            text += "[]" if isinstance(step, int) else f".{step}" if text else step
        found.add(text)
    return found


_RETIRED = "certificateReferences"
_BODIES: dict[str, list[dict[str, Any]]] = {
    "Pools_CreatePool": [{"id": "p", **pool.sent} for pool in POOLS.values()],
    "Jobs_CreateJob": [{"id": "j", **job.sent} for job in JOBS.values()],
    "Tasks_CreateTask": [{"id": "t", **task.sent} for task in TASKS.values()],
    "JobSchedules_CreateJobSchedule": [
        {"id": "s", "displayName": "d", "schedule": SCHEDULE.sent, "jobSpecification": job.sent, "metadata": METADATA}
        for job in JOBS.values()
    ],
    **{operation: [body] for operation, (_, _, body) in ORDERS.items()},
}
_SENT_ELSEWHERE = {
    "Nodes_CreateNodeUser": {"sshPublicKey"},
    "Nodes_ReplaceNodeUser": {"password"},
    # The start task is of the same kind as that of a new pool, where the alternatives in it are tried.
    "Pools_ReplacePoolProperties": {
        "startTask.containerSettings.registry.identityReference.resourceId",
        "startTask.userIdentity.autoUser.elevationLevel",
        "startTask.userIdentity.autoUser.scope",
    },
}


@pytest.mark.parametrize("operation", _BODIES)
def test_the_samples_have_every_property_of_the_api_document(operation: str) -> None:
    described = set(_described(DOCUMENT["operations"][operation]["body"]))
    sent = set().union(*map(_plain, _BODIES[operation])) | _SENT_ELSEWHERE.get(operation, set())
    missing = {
        path
        for path in described - sent
        # Free objects have members of their own; retired references cannot be sent.
        if _RETIRED not in path and not any(each.startswith((f"{path}.", f"{path}[")) for each in sent)
    }
    assert missing == set(), f"{operation}: add to a sample in tests/support/property_samples.py: {sorted(missing)}"


def test_every_body_of_the_api_document_is_tried() -> None:
    operations = DOCUMENT["operations"]
    with_body = {name for name, operation in operations.items() if operation.get("body") is not None}
    elsewhere = {
        "Certificates_CreateCertificate",  # test_account: retired
        "Pools_EvaluatePoolAutoScale",  # test_autoscale: its one property
        "Tasks_CreateTaskCollection",  # above, with the bodies of single tasks
        "Jobs_UpdateJob",
        "Jobs_ReplaceJob",
        "Tasks_ReplaceTask",
        "JobSchedules_UpdateJobSchedule",
        "JobSchedules_ReplaceJobSchedule",
        "Pools_UpdatePool",
    }
    assert with_body == {*_BODIES} | elsewhere
