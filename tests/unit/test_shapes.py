"""Nothing that the service or the API server may say ends anything: bodies of any shape are read and decided upon."""

from __future__ import annotations

import copy
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from azure_batch_operator.api.kinds import KINDS, Kind
from azure_batch_operator.api.resource import Key, Resource
from azure_batch_operator.batch.errors import MalformedResponseError
from azure_batch_operator.batch.models import RESULTS
from azure_batch_operator.batch.models.jobs import Job
from azure_batch_operator.batch.models.pools import Pool
from azure_batch_operator.batch.responses import Response, json_object, page, shaped
from azure_batch_operator.batch.wire import TaskCounts
from azure_batch_operator.reconcile.job import lifecycle as jobs
from azure_batch_operator.reconcile.job.scope import JobScope, TasksView
from azure_batch_operator.reconcile.pool import lifecycle as pools
from azure_batch_operator.reconcile.pool.scope import PoolView
from azure_batch_operator.reconcile.schedule import lifecycle as schedules
from azure_batch_operator.reconcile.target_pool import TargetPoolView as JobPool
from azure_batch_operator.reconcile.task import lifecycle as tasks
from azure_batch_operator.reconcile.task.scope import JobView, TaskScope, TaskView
from azure_batch_operator.shapes import conform
from azure_batch_operator.sync.store import Store, references
from support import typed
from unit.objects import ACCOUNT, CLUSTER, JOB_SPEC, NOW, POOL_SPEC, TASK_SPEC, owned, resource

JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
    | st.sampled_from([10**400, "P" + "9" * 5000 + "D", "2026-13-41T99:00:00Z", "9999-12-31T23:59:59Z", "\ud800", "-1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
INFO = {
    "startTime": "2026-01-01T00:00:00Z", "endTime": "2026-01-01T01:00:00.1234567Z", "poolId": "cpu", "exitCode": 3,
    "result": "failure", "retryCount": 1, "requeueCount": 0, "terminateReason": "AllTasksCompleted",
    "failureInfo": {"category": "UserError", "code": "C", "message": "m", "details": [{"name": "n", "value": "v"}]},
    "schedulingError": {"category": "UserError", "code": "C", "message": "m", "details": [{"name": "n", "value": "v"}]},
    "nextRunTime": "2027-01-15T09:00:00Z", "recentJob": {"id": "one:job-2"},
}  # fmt: skip
METADATA = [{"name": "a", "value": "b"}, {"name": "azurebatch.io/tasks", "value": "abc/3"}]
JOB = {
    "id": "one", "state": "active", "previousState": "disabled", "stateTransitionTime": "2026-01-01T00:00:00Z",
    "onAllTasksComplete": "noaction", "priority": 0, "poolInfo": {"poolId": "cpu"}, "metadata": METADATA, "eTag": "0x1",
    "constraints": {"maxWallClockTime": "PT1H", "maxTaskRetryCount": 0}, "executionInfo": INFO, "maxParallelTasks": -1,
}  # fmt: skip
POOL = {
    "id": "one", "state": "active", "allocationState": "steady", "allocationStateTransitionTime": "2026-01-01T00:00:00Z",
    "vmSize": "standard_d4ads_v6", "targetDedicatedNodes": 4, "currentDedicatedNodes": 4, "metadata": METADATA,
    "virtualMachineConfiguration": POOL_SPEC["virtualMachineConfiguration"], "eTag": "0x1", "taskSlotsPerNode": 2,
    "resizeErrors": [{"code": "C", "message": "m", "values": [{"name": "n", "value": "v"}]}], "resizeTimeout": "PT15M",
    "autoScaleRun": {
        "timestamp": "2026-01-01T00:00:00Z", "results": "$a=1;", "error": {"code": "C", "message": "m", "values": []},
    },
    "startTask": {"commandLine": "x", "resourceFiles": [{"httpUrl": "u", "filePath": "f"}]}, "lastModified": "2026-01-01T00:00:00Z",
}  # fmt: skip
SCHEDULE = {
    "id": "one", "state": "active", "schedule": {"recurrenceInterval": "PT1H", "doNotRunUntil": "2026-01-01T00:00:00Z"},
    "executionInfo": INFO,
    "jobSpecification": {"poolInfo": {"poolId": "cpu"}, "jobManagerTask": {"id": "m", "commandLine": "true"}},
    "metadata": METADATA, "stats": {"numSucceededTasks": "3"},
}  # fmt: skip
TASK = {
    "id": "one", "state": "completed", "stateTransitionTime": "2026-01-01T00:00:00Z", "executionInfo": INFO,
    "nodeInfo": {"nodeId": "n"}, "constraints": {"maxWallClockTime": "PT1H", "retentionTime": "P7D", "maxTaskRetryCount": 0},
}  # fmt: skip
ANSWER = Response(200, {"content-type": "application/json"}, b"")


def paths(value: Any) -> list[tuple[Any, ...]]:
    """Paths of all members and items."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path for name, item in pairs for path in ((name,), *((name, *rest) for rest in paths(item)))]


@st.composite
def damaged(draw: st.DrawFn, body: dict[str, Any]) -> dict[str, Any]:
    """A body in which up to three members are missing, or something else stands in their place."""
    result = copy.deepcopy(body)
    for _ in range(draw(st.integers(0, 3))):
        known = paths(result)
        if not known:
            break
        *parents, last = draw(st.sampled_from(known))
        place = result
        for name in parents:
            place = place[name]
        if draw(st.booleans()):
            del place[last]
        else:
            place[last] = draw(JUNK)
    return result


def read(operation: str, body: dict[str, Any]) -> dict[str, Any]:
    return shaped(body, ANSWER, operation)


LISTS = sorted(operation for operation in RESULTS if operation != "Tasks_CreateTaskCollection")
SLOW = settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("operation", LISTS)
@SLOW
@given(data=st.data())
def test_any_response_takes_the_shape_that_the_api_says(operation: str, data: st.DataObject) -> None:
    names = [info.alias or name for name, info in RESULTS[operation].model_fields.items()]
    body = data.draw(st.dictionaries(st.sampled_from(names), JUNK, max_size=4))
    once, _ = conform(RESULTS[operation], body)
    again, wrong = conform(RESULTS[operation], copy.deepcopy(once))
    assert (again, wrong) == (once, [])


def test_a_property_of_another_type_is_omitted_and_named() -> None:
    body = {
        "id": "j", "state": 7, "priority": "high", "metadata": [{"name": "a"}, "b", {"name": "c", "value": 3}],
        "executionInfo": {"startTime": "yesterday", "poolId": None, "terminateReason": "x\x9b31m?sig=abc"}, "unknown": [1],
        "constraints": {"maxWallClockTime": "1 hour", "maxTaskRetryCount": 3.0}, "maxParallelTasks": 10**30,
    }  # fmt: skip
    found, wrong = conform(Job, body)
    assert found == {
        "id": "j", "metadata": [{"name": "a"}, {"name": "c"}], "executionInfo": {"terminateReason": "x?sig=…"},
        "constraints": {"maxTaskRetryCount": 3}, "unknown": [1],
    }  # fmt: skip
    assert sorted(wrong) == [
        "constraints.maxWallClockTime", "executionInfo.startTime", "maxParallelTasks", "metadata[1]", "metadata[2].value",
        "priority", "state",
    ]  # fmt: skip


@pytest.mark.parametrize("error", ["InvalidFormula", ["C"], 7, True, {"code": 3}])
def test_an_error_of_another_type_is_an_error_all_the_same(error: Any) -> None:
    """Left out, the evaluation would have succeeded."""
    found, wrong = conform(RESULTS["Pools_EvaluatePoolAutoScale"], {"results": "$a=1", "error": error})
    assert found == {"results": "$a=1", "error": {}}
    assert wrong in (["error"], ["error.code"])
    pool, _ = conform(RESULTS["Pools_ListPools"], {"id": "p", "autoScaleRun": {"error": error}})
    assert pool == {"id": "p", "autoScaleRun": {"error": {}}}


@pytest.mark.parametrize("error", [None, "", [], False, 0])
def test_an_empty_value_of_another_type_is_no_error(error: Any) -> None:
    assert conform(RESULTS["Pools_EvaluatePoolAutoScale"], {"results": "", "error": error})[0] == {"results": ""}


def test_a_list_without_an_id_is_no_evidence_that_something_is_gone() -> None:
    with pytest.raises(MalformedResponseError, match="has no id"):
        page({"value": [{"id": "a"}, {"state": "active"}]}, ANSWER, "Jobs_ListJobs", ("id",))


def test_a_deeply_nested_response_is_malformed() -> None:
    body = b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    with pytest.raises(MalformedResponseError):
        json_object(Response(200, {"content-type": "application/json"}, body), "Jobs_ListJobs")


def test_a_body_that_is_as_it_should_be_stays_as_it_is() -> None:
    for model, body in ((Job, JOB), (Pool, POOL)):
        assert conform(model, copy.deepcopy(body)) == (body, [])


def written(plan: Any) -> None:
    """A status and calls can be written as JSON."""
    orjson.dumps(plan.status)
    for call in plan.calls:
        orjson.dumps(call.body)


@SLOW
@given(damaged(JOB), damaged(POOL), st.lists(damaged(TASK), max_size=3), st.booleans())
def test_a_plan_for_any_job(
    remote: dict[str, Any], pool: dict[str, Any], failed: list[dict[str, Any]], ours: bool
) -> None:
    one = resource(Kind.JOB, JOB_SPEC | {"activeDeadlineSeconds": 60}, finalizer=True)
    there = read("Jobs_ListJobs", remote)
    there = owned(there, one) if ours else there
    listed = [typed.failed({"id": "a", **read("Tasks_ListTasks", each)}) for each in failed]
    view = TasksView(counts=TaskCounts(active=1), failed=listed, failed_count=len(listed), unfinished=0)
    nodes = JobPool("cpu", remote=read("Pools_ListPools", pool), nodes={})
    written(jobs.plan(JobScope(one, ACCOUNT, nodes, there, view, CLUSTER, NOW)))


@SLOW
@given(damaged(POOL))
def test_a_plan_for_any_pool(remote: dict[str, Any]) -> None:
    one = resource(Kind.POOL, POOL_SPEC, finalizer=True)
    there = {"id": "one"} | read("Pools_ListPools", remote)
    written(pools.plan(pools.PoolScope(one, ACCOUNT, PoolView(there, typed.nodes({})), CLUSTER, NOW)))
    written(pools.plan(pools.PoolScope(one, ACCOUNT, PoolView(owned(there, one), typed.nodes({})), CLUSTER, NOW)))


@SLOW
@given(damaged(SCHEDULE), st.lists(damaged(JOB), max_size=2))
def test_a_plan_for_any_schedule(remote: dict[str, Any], made: list[dict[str, Any]]) -> None:
    spec = {"schedule": {"recurrenceInterval": "PT60M"}, "jobSpecification": {"poolRef": {"name": "cpu"}}}
    one = resource(Kind.SCHEDULE, spec, finalizer=True)
    view = schedules.JobsView((), [{"id": "j"} | read("Jobs_ListJobs", each) for each in made])
    there = read("JobSchedules_ListJobSchedules", remote)
    written(schedules.plan(schedules.ScheduleScope(one, ACCOUNT, JobPool("cpu"), there, view, CLUSTER, NOW)))
    written(
        schedules.plan(schedules.ScheduleScope(one, ACCOUNT, JobPool("cpu"), owned(there, one), view, CLUSTER, NOW))
    )


@SLOW
@given(damaged(TASK), damaged(JOB))
def test_a_plan_for_any_task(remote: dict[str, Any], job: dict[str, Any]) -> None:
    one = resource(Kind.TASK, TASK_SPEC, finalizer=True)
    owner = f"{CLUSTER}/default/BatchTask/one/uid-1"
    there = typed.observed({"id": "one", **read("Tasks_ListTasks", remote), "owner": owner})
    view = JobView(exists=True, id="steps", remote={"id": "steps", **read("Jobs_ListJobs", job)}, ours=True)
    written(tasks.plan(TaskScope(one, ACCOUNT, view, TaskView(there), CLUSTER, NOW)))


SPECS: dict[Kind, dict[str, Any]] = {
    Kind.ACCOUNT: {"endpoint": "https://a", "auth": {"sharedKey": {"secretRef": {"name": "n", "key": "k"}}}},
    Kind.POOL: POOL_SPEC,
    Kind.JOB: JOB_SPEC
    | {"accountRef": {"name": "main"}, "backoff": {"maxRequeues": 1, "fallbackPoolRef": {"name": "other"}}},
    Kind.TASK: TASK_SPEC | {"dependsOnRefs": [{"name": "two"}]},
    Kind.SCHEDULE: {"cron": {"expression": "* * * * *"}, "jobSpecification": {"poolRef": {"name": "cpu"}}},
    Kind.OPERATION: {"scheduleRef": {"name": "nightly"}, "terminateSchedule": {"force": True}},
}
STATUS = {
    "account": "team/main", "phase": "Running", "observedGeneration": 1, "handled": {"terminate": "1"},
    "conditions": [
        {"type": "Ready", "status": "True", "reason": "R", "message": "m", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    ],
}  # fmt: skip


@pytest.mark.parametrize("kind", list(Kind))
@SLOW
@given(data=st.data())
def test_any_object_of_the_api_server_can_be_stored(kind: Kind, data: st.DataObject) -> None:
    spec, status = data.draw(damaged(SPECS[kind])), data.draw(damaged(STATUS))
    one = resource(kind, spec, status=status)
    store = Store()
    store.put(one)
    assert all(isinstance(part, str) for key in references(one) for part in key)
    store.remove(one.key)
    whole = Resource.parse(
        {"kind": kind, "metadata": {"namespace": "n", "name": "x", "uid": "u"}, "spec": 3, "status": None}
    )
    assert (dict(whole.spec), whole.unreadable[0]) == ({}, "")


def test_what_a_spec_lacks_is_named() -> None:
    spec = {"poolRef": {"nam": "cpu"}, "tasks": [{"id": "a"}, {"id": "b", "commandLine": ""}], "priority": "high"}
    one = resource(Kind.JOB, spec)
    assert sorted(one.unreadable) == ["poolRef", "priority", "tasks[0]"]
    assert one.spec == {"tasks": [{"id": "b", "commandLine": ""}]}
    assert resource(Kind.TASK, {"jobRef": {"name": "j"}}).unreadable == ("commandLine",)


@pytest.mark.parametrize("text", ["main", "/main", "team/", "", None, 7, ["a/b"]])
def test_an_account_in_a_status_without_its_namespace_is_none(text: Any) -> None:
    assert Key.of_account(text) is None
    store = Store()
    store.put(resource(Kind.JOB, JOB_SPEC, status={"account": text}))
    assert store.dependents(Key(Kind.ACCOUNT, "default", "main")) == []


def test_every_kind_has_a_model_to_read_it_by() -> None:
    assert {kind for kind in Kind if KINDS[kind].spec and KINDS[kind].status} == set(Kind)
