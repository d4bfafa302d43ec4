"""Typed answers: decoded from bytes where the page is as the API says, and made of JSON with the same result where it is not."""

from __future__ import annotations

import copy
import json
from datetime import datetime
from typing import Any, get_type_hints

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from azure_batch_operator.batch import (
    MalformedResponseError,
    account_wire,
    job_wire,
    models,
    operation_wire,
    pool_wire,
    schedule_wire,
    wire,
)
from azure_batch_operator.batch.caller import Listing
from azure_batch_operator.batch.models import Job as JobModel
from azure_batch_operator.batch.models import JobExecutionInfo as JobExecutionModel
from azure_batch_operator.batch.models import JobSchedule as JobScheduleModel
from azure_batch_operator.batch.models import Node as NodeModel
from azure_batch_operator.batch.models import Pool as PoolModel
from azure_batch_operator.batch.models import PoolNodeCounts as PoolNodeCountsModel
from azure_batch_operator.batch.models import Task as TaskModel
from azure_batch_operator.batch.models import TaskCounts as TaskCountsModel
from azure_batch_operator.batch.models.base import Model
from azure_batch_operator.batch.paging import read_page, read_typed
from azure_batch_operator.batch.responses import Response
from azure_batch_operator.shapes import is_moment
from unit.test_shapes import SLOW, TASK, damaged

HEADERS = {"content-type": "application/json; odata=minimalmetadata"}
SETTINGS = [{"name": "AZUREBATCH_IO_OWNER", "value": "me"}, {"name": "empty"}]
WHOLE = TASK | {"eTag": "0x1", "creationTime": "2026-01-01T00:00:00Z", "environmentSettings": SETTINGS}


def answer(*items: Any, **more: Any) -> Response:
    return Response(200, HEADERS, json.dumps({"value": items, **more}).encode())


def tasks(*items: Any) -> list[wire.Task]:
    return read_typed(wire.Task, answer(*items), "Tasks_ListTasks", ("id",))[0]


def over_json(*items: Any) -> list[wire.Task]:
    return [wire.build(wire.Task, each) for each in read_page(answer(*items), "Tasks_ListTasks", ("id",))[0]]


def is_decoded(*items: Any) -> bool:
    return wire.decode_page(wire.Task, answer(*items).body) is not None


def test_a_page_as_the_api_says_is_decoded_from_its_bytes() -> None:
    assert is_decoded(WHOLE, {"id": "b", "state": None, "new": {"in": ["a later", "version"]}})
    one, other = tasks(WHOLE, {"id": "b", "state": None, "new": {"in": ["a later", "version"]}})
    assert (one.id, one.etag, one.state, one.state_transition_time) == (
        "one",
        "0x1",
        "completed",
        "2026-01-01T00:00:00Z",
    )
    assert (one.execution.exit_code, one.execution.result, one.execution.end_time) == (
        3,
        "failure",
        "2026-01-01T01:00:00.1234567Z",
    )
    assert one.execution.failure.details == (wire.NameValue(name=wire.Prose("n"), value=wire.Prose("v")),)
    assert one.constraints == wire.TaskConstraints(
        max_wall_clock_time="PT1H", retention_time="P7D", max_task_retry_count=0
    )
    assert one.environment_settings[0] == wire.EnvironmentSetting(name="AZUREBATCH_IO_OWNER", value="me")
    assert other == wire.Task(id="b")


def test_the_link_to_the_next_page_is_read() -> None:
    assert read_typed(wire.Task, answer(**{"odata.nextLink": "https://a/b"}), "Tasks_ListTasks", ("id",)) == (
        [],
        "https://a/b",
    )


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"state": 7}, wire.Task(id="a")),
        ({"creationTime": "yesterday"}, wire.Task(id="a")),
        ({"creationTime": "2026-02-30T00:00:00Z"}, wire.Task(id="a")),
        ({"executionInfo": {"exitCode": 2.0}}, wire.Task(id="a", execution_info=wire.TaskExecution(exit_code=2))),
        (
            {"executionInfo": {"exitCode": 10**30, "result": "failure"}},
            wire.Task(id="a", execution_info=wire.TaskExecution(result="failure")),
        ),
        ({"constraints": {"retentionTime": "a week"}}, wire.Task(id="a", constraints=wire.TaskConstraints())),
        (
            {"environmentSettings": [7, {"name": "n"}]},
            wire.Task(id="a", environment_settings=(wire.EnvironmentSetting(name="n"),)),
        ),
    ],
)  # fmt: skip
def test_a_member_of_another_type_is_left_out(members: dict[str, Any], expected: wire.Task) -> None:
    assert not is_decoded({"id": "a", **members})
    assert tasks({"id": "a", **members}, {"id": "b"}) == [expected, wire.Task(id="b")]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"value":[{"id":"a"},{"state":"active"}]}', "has no id"),
        (b'{"value":[{"id":""}]}', "has no id"),
        (b'{"value":[{"id":"a"', "not valid JSON"),
        (b'{"value":{"id":"a"}}', "list of objects"),
        (b'{"value":null}', "list of objects"),
        (b"{}", "list of objects"),
        (b'{"odata.nextLink":"https://a/b"}', "list of objects"),
        (b'{"code":"InternalError","message":{"value":"x"}}', "list of objects"),
        (b'{"value":[],"odata.nextLink":7}', "not a string"),
        (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "not valid JSON"),
        (b"[]", "JSON object"),
    ],
)
def test_an_invalid_page_is_malformed(body: bytes, words: str) -> None:
    with pytest.raises(MalformedResponseError, match=words):
        read_typed(wire.Task, Response(200, HEADERS, body), "Tasks_ListTasks", ("id",))


@pytest.mark.parametrize(
    ("item", "why"),
    [
        (b'{"state":"active"}', "the response has no id"),
        (b"null", "an item under 'value' is not an object"),
        (b"7", "an item under 'value' is not an object"),
        (b'["a"]', "an item under 'value' is not an object"),
    ],
)
def test_an_item_that_cannot_be_read_is_skipped_where_that_is_noted(item: bytes, why: str) -> None:
    response = Response(200, HEADERS, b'{"value":[{"id":"a"},' + item + b',{"id":"b"}]}')
    dropped: list[str] = []
    found, _ = read_typed(wire.Task, response, "Tasks_ListTasks", ("id",), dropped)
    assert ([task.id for task in found], dropped) == (["a", "b"], [why])
    with pytest.raises(MalformedResponseError, match=why):
        read_typed(wire.Task, response, "Tasks_ListTasks", ("id",))


def test_results_of_added_tasks_that_are_not_objects_are_malformed() -> None:
    with pytest.raises(MalformedResponseError, match="not an object"):
        read_page(Response(200, HEADERS, b'{"value":[null]}'), "Tasks_CreateTaskCollection")


def test_what_was_asked_for_must_be_there() -> None:
    """Whoever has not selected the state does without it."""
    body = b'{"value":[{"id":"a","state":"active"},{"id":"b","state":null}]}'
    assert [task.id for task in read_typed(wire.Task, Response(200, HEADERS, body), "Tasks_ListTasks", ("id",))[0]] == [
        "a",
        "b",
    ]
    with pytest.raises(MalformedResponseError, match="has no state"):
        read_typed(wire.Task, Response(200, HEADERS, body), "Tasks_ListTasks", ("id", "state"))


def test_a_page_that_is_not_json_is_malformed() -> None:
    with pytest.raises(MalformedResponseError, match="text/html"):
        read_typed(wire.Task, Response(200, {"content-type": "text/html"}, b'{"value":[]}'), "Tasks_ListTasks", ("id",))


def test_texts_of_others_are_made_safe() -> None:
    (one,) = tasks({"id": "a", "executionInfo": {"failureInfo": {"message": "x\x9b31m?sig=abc"}}})
    assert one.execution.failure.message == "x?sig=…"


@SLOW
@given(st.lists(damaged(WHOLE), max_size=3))
def test_both_ways_have_the_same_result(items: list[dict[str, Any]]) -> None:
    listed = [{**each, "id": "one"} for each in items]
    found = wire.decode_page(wire.Task, answer(*listed).body)
    try:
        expected = over_json(*copy.deepcopy(listed))
    except MalformedResponseError:
        assert found is None
        return
    assert found is None or found.value == expected
    assert tasks(*listed) == expected


@given(st.datetimes(), st.integers(0, 9_999_999), st.sampled_from(["Z", "+01:00", "-23:59"]))
def test_every_time_is_decoded(moment: datetime, ticks: int, zone: str) -> None:
    assert is_decoded({"id": "a", "creationTime": f"{moment:%Y-%m-%dT%H:%M:%S}".rjust(19, "0") + f".{ticks:07}{zone}"})


@given(
    st.from_regex(
        r"\A[0-9]{4}-[0-1][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9](\.[0-9]{1,9})?(Z|[+-][0-2][0-9]:[0-6][0-9])\Z"
    )
)
def test_decoded_times_are_valid(text: str) -> None:
    assert is_moment(text) or not is_decoded({"id": "a", "creationTime": text})


def _members(struct: type[wire.Wire], model: type[Model]) -> None:
    """Each member of a struct is one of the model by its wire name, and inner structs are as their models."""
    names = {info.alias or name: name for name, info in model.model_fields.items()}
    hints = get_type_hints(struct)
    for each in msgspec.structs.fields(struct):
        assert each.encode_name in names, f"{struct.__name__}.{each.name}"
        inner = [part for part in _flat(hints[each.name]) if isinstance(part, type) and issubclass(part, wire.Wire)]
        for part in inner:
            annotation = model.model_fields[names[each.encode_name]].annotation
            (found,) = (at for at in _flat(annotation) if isinstance(at, type) and issubclass(at, Model))
            _members(part, found)


def _flat(annotation: Any) -> list[Any]:
    inner = getattr(annotation, "__args__", ())
    return [annotation, *(each for part in inner for each in _flat(part))]


def test_structs_are_parts_of_the_models() -> None:
    _members(wire.Task, TaskModel)
    _members(wire.TaskCounts, TaskCountsModel)
    _members(wire.Node, NodeModel)
    _members(pool_wire.Pool, PoolModel)
    _members(job_wire.Job, JobModel)
    _members(pool_wire.NodeCounts, PoolNodeCountsModel)
    _members(schedule_wire.JobSchedule, JobScheduleModel)
    _members(schedule_wire.JobExecution, JobExecutionModel)
    _members(schedule_wire.JobResults, TaskCountsModel)
    for struct, model in ANSWERS.items():
        _members(struct, model)


ANSWERS: dict[type[wire.Wire], type[Model]] = {
    account_wire.SupportedImage: models.SupportedImage,
    account_wire.Application: models.Application,
    wire.ResourceState: models.Task,
    operation_wire.TargetNode: models.Node,
    operation_wire.TargetPool: models.Pool,
    operation_wire.RemoteLogin: models.NodeRemoteLoginSettings,
    operation_wire.UploadedLogs: models.UploadBatchServiceLogsResult,
    operation_wire.NodeExtension: models.NodeVMExtension,
    operation_wire.Evaluation: models.AutoScaleRun,
    operation_wire.PoolUsage: models.PoolUsageMetrics,
    operation_wire.Preparation: models.JobPreparationAndReleaseTaskStatus,
    operation_wire.Subtask: models.Subtask,
    operation_wire.NodeFile: models.NodeFile,
}


SCHEDULE: dict[str, Any] = {
    "id": "nightly", "eTag": "0x1", "creationTime": "2026-01-01T00:00:00Z", "state": "active",
    "schedule": {"recurrenceInterval": "PT1H"},
    "jobSpecification": {
        "poolInfo": {"poolId": "cpu"}, "onAllTasksComplete": "noaction",
        "jobManagerTask": {"id": "m", "commandLine": "true", "killJobOnCompletion": False},
        "constraints": {"maxWallClockTime": "P1D"},
    },
    "executionInfo": {"nextRunTime": "2026-01-02T00:00:00Z", "recentJob": {"id": "nightly:job-2", "url": "https://a/b"}},
    "metadata": [{"name": "a", "value": "b"}],
    "stats": {"numSucceededTasks": "3", "numFailedTasks": 1},
}  # fmt: skip


def schedules(*items: Any) -> list[schedule_wire.JobSchedule]:
    listed, _ = read_page(answer(*items), "JobSchedules_ListJobSchedules", ("id",))
    return [wire.build(schedule_wire.JobSchedule, item) for item in listed]


def test_a_schedule_is_built_from_its_body() -> None:
    (one,) = schedules(SCHEDULE)
    assert (one.id, one.etag, one.creation_time, one.state) == ("nightly", "0x1", "2026-01-01T00:00:00Z", "active")
    assert (one.recurs, one.recent_job, one.execution.next_run_time) == (True, "nightly:job-2", "2026-01-02T00:00:00Z")
    assert (one.template.wall_clock_limit, one.template.ends_with_manager) == ("P1D", False)
    assert one.metadata == (pool_wire.MetadataItem(name="a", value="b"),)
    assert one.stats == schedule_wire.ScheduleStatistics(num_succeeded_tasks="3", num_failed_tasks=1)


@pytest.mark.parametrize(
    "members",
    [
        {"schedule": "PT1H", "jobSpecification": [], "executionInfo": 7, "metadata": {"a": "b"}, "stats": "none"},
        {"schedule": {"recurrenceInterval": "hourly"}, "jobSpecification": {"jobManagerTask": 7, "constraints": "P1D"}},
        {"schedule": None, "executionInfo": {"nextRunTime": "tomorrow", "recentJob": {"id": 7}}, "stats": {"numFailedTasks": "x"}},
        {"state": 7, "eTag": {}, "creationTime": "yesterday", "metadata": [None, 7], "jobSpecification": {"jobManagerTask": {}}},
    ],
)  # fmt: skip
def test_a_schedule_without_what_has_another_type(members: dict[str, Any]) -> None:
    (one,) = schedules({"id": "nightly", **members})
    assert (one.id, one.etag, one.creation_time, one.state) == ("nightly", None, None, None)
    assert (one.recurs, one.recent_job, one.execution.next_run_time, one.metadata) == (False, None, None, ())
    assert (one.template.wall_clock_limit, one.template.ends_with_manager) == (None, False)
    assert one.stats in (None, schedule_wire.ScheduleStatistics())


JOB_METADATA = [{"name": "azurebatch.io/tasks", "value": "abc/3"}, {"name": "team", "value": ""}]
JOB: dict[str, Any] = {
    "id": "render", "eTag": "0x1", "creationTime": "2026-01-01T00:00:00Z", "state": "completed", "previousState": "disabled",
    "stateTransitionTime": "2026-01-01T01:00:00Z", "onAllTasksComplete": "terminateJob", "poolInfo": {"poolId": "cpu"},
    "onTaskFailure": "performExitOptionsJobAction", "metadata": JOB_METADATA,
    "executionInfo": {
        "startTime": "2026-01-01T00:00:00Z", "endTime": "2026-01-01T01:00:00Z", "poolId": "gpu", "terminateReason": "JMComplete",
        "schedulingError": {"code": "PoolNotFound", "message": "gone"},
    },
}  # fmt: skip


def jobs(*items: Any) -> list[job_wire.Job]:
    listed, _ = read_page(answer(*items), "Jobs_ListJobs", ("id",))
    return [wire.build(job_wire.Job, item) for item in listed]


def test_a_job_is_built_from_its_body() -> None:
    (one,) = jobs(JOB)
    assert (one.id, one.etag, one.creation_time, one.state) == ("render", "0x1", "2026-01-01T00:00:00Z", "completed")
    assert (one.previous_state, one.state_transition_time) == ("disabled", "2026-01-01T01:00:00Z")
    assert (one.pool, one.execution.pool_id, one.execution.terminate_reason) == ("cpu", "gpu", "JMComplete")
    assert (one.ends_with_its_tasks, one.stays_open, one.lets_tasks_act) == (True, False, True)
    assert (one.note("azurebatch.io/tasks"), one.note("team"), one.note("other")) == ("abc/3", "", None)
    assert one.execution.error == job_wire.SchedulingError(code="PoolNotFound", message=wire.Prose("gone"))


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"executionInfo": {"schedulingError": {}, "startTime": None}, "poolInfo": {}, "metadata": []},
        {"executionInfo": [], "poolInfo": "cpu", "metadata": {"a": "b"}, "onAllTasksComplete": 7, "onTaskFailure": {}},
        {"state": 7, "eTag": {}, "creationTime": "yesterday", "metadata": [None, 7, {"name": 1}], "poolInfo": {"poolId": 7}},
        {"executionInfo": {"terminateReason": [], "poolId": {}, "endTime": "now", "schedulingError": "none"}},
    ],
)  # fmt: skip
def test_a_job_without_what_has_another_type(members: dict[str, Any]) -> None:
    (one,) = jobs({"id": "render", **members})
    assert (one.id, one.etag, one.creation_time, one.state) == ("render", None, None, None)
    assert (one.pool, one.execution.pool_id, one.execution.terminate_reason) == (None, None, None)
    assert (one.execution.start_time, one.execution.end_time, one.execution.error) == (None, None, None)
    assert (one.ends_with_its_tasks, one.stays_open, one.lets_tasks_act) == (False, True, False)
    assert one.note("azurebatch.io/tasks") is None


@pytest.mark.parametrize("other", [models.Task, dict, "Task"])
def test_what_is_no_struct_is_refused_with_what_to_do(other: Any) -> None:
    unused: Any = None
    listing = Listing(unused, unused, unused, ())
    with pytest.raises(
        TypeError, match=r"such as wire\.Task, not .*: to get models, read .*models\.Task\.read\(item\)"
    ):
        listing.of(other)
