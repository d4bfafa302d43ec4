"""Models: strict towards the service, open for what it says, exact about time."""

import copy
import pickle
import random
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from azure_batch_operator.batch import MalformedResponseError
from azure_batch_operator.batch.models import (
    INFINITE,
    CifsMountConfiguration,
    ImageReference,
    Job,
    JobConstraints,
    JobPreparationTask,
    JobScheduleConfiguration,
    MountConfiguration,
    Node,
    NodeFile,
    NodeFillType,
    NodeState,
    Pool,
    PoolCreate,
    PoolInfo,
    PoolStatistics,
    Task,
    TaskConstraints,
    TaskCreate,
    TaskSchedulingPolicy,
    Timestamp,
    UserAccount,
    VirtualMachineConfiguration,
    format_duration,
    parse_duration,
)

POOL = {
    "odata.metadata": "https://acc/$metadata#pools/@Element",
    "id": "p",
    "eTag": "0x8DCF3C954A84EB0",
    "lastModified": "2024-10-24T01:15:21.4060208Z",
    "vmSize": "standard_d2s_v3",
    "taskSchedulingPolicy": {"nodeFillType": "Spread"},
    "resizeTimeout": "PT06M00S",
    "virtualMachineConfiguration": {
        "imageReference": {"publisher": "canonical", "version": "latest", "exactVersion": "1.2.3"},
        "nodeAgentSKUId": "batch.node.ubuntu 22.04",
        "osDisk": {"caching": "ReadWrite", "ephemeralOSDiskSettings": {}},
    },
    "userAccounts": [{"name": "u", "elevationLevel": "nonadmin"}],
    "thingOfTomorrow": {"a": 1},
}


def test_a_pool_is_read_as_the_service_sends_it() -> None:
    pool = Pool.read(POOL)
    assert pool.task_scheduling_policy is not None
    assert pool.task_scheduling_policy.node_fill_type is NodeFillType.SPREAD
    assert pool.resize_timeout == timedelta(minutes=6)
    assert isinstance(pool.last_modified, Timestamp)
    assert pool.etag == f"0x{pool.last_modified.ticks:X}"
    assert pool.user_accounts is not None
    assert pool.user_accounts[0].password is None
    assert Pool.read({"id": "p"}).vm_size is None


def test_unknown_enum_values_are_read_and_not_written() -> None:
    node = Node.read({"state": "Hibernating"})
    assert node.state == "Hibernating"
    assert Node.read({"state": "STARTING"}).state is NodeState.STARTING
    with pytest.raises(ValueError, match="Hibernating"):
        node.write()
    with pytest.raises(ValidationError, match=r"node_fill_type\s.*should be spread or pack"):
        TaskSchedulingPolicy(node_fill_type="heap")


def test_unknown_members_are_refused_when_they_are_ours() -> None:
    with pytest.raises(ValidationError, match="nodeAgentSkuId"):
        VirtualMachineConfiguration.model_validate({"imageReference": {}, "nodeAgentSkuId": "x", "nodeAgentSKUId": "x"})


def test_a_body_is_written_under_the_wire_names_without_none_and_read_only_members() -> None:
    pool = PoolCreate(
        id="p",
        vm_size="STANDARD_D2S_V3",
        virtual_machine_configuration=VirtualMachineConfiguration(
            image_reference=ImageReference(publisher="canonical", exact_version="1.2.3"), node_agent_sku_id="ubuntu"
        ),
        resize_timeout=timedelta(hours=1),
        task_scheduling_policy=TaskSchedulingPolicy(node_fill_type=NodeFillType.PACK),
        user_accounts=[UserAccount(name="u", password="hunter2")],
    )
    assert pool.write() == {
        "id": "p",
        "vmSize": "STANDARD_D2S_V3",
        "virtualMachineConfiguration": {"imageReference": {"publisher": "canonical"}, "nodeAgentSKUId": "ubuntu"},
        "resizeTimeout": "PT1H",
        "taskSchedulingPolicy": {"nodeFillType": "pack"},
        "userAccounts": [{"name": "u", "password": "hunter2"}],
    }


def test_a_job_that_was_read_can_be_put_back() -> None:
    job = Job.read(
        {
            "id": "j",
            "state": "active",
            "lastModified": "2024-10-24T01:15:21.4Z",
            "constraints": {"maxWallClockTime": "P10675199DT2H48M5.4775807S", "maxTaskRetryCount": 0},
            "poolInfo": {"poolId": "p"},
            "jobPreparationTask": {"commandLine": "x"},
        }
    )
    assert job.constraints == JobConstraints(max_wall_clock_time=INFINITE, max_task_retry_count=0)
    assert job.job_preparation_task == JobPreparationTask(command_line="x")
    assert job.write() == {
        "constraints": {"maxWallClockTime": "P10675199DT2H48M5.4775807S", "maxTaskRetryCount": 0},
        "poolInfo": {"poolId": "p"},
    }
    changed = job.model_copy(update={"pool_info": PoolInfo(pool_id="q")})
    assert changed.write()["poolInfo"] == {"poolId": "q"}


def test_numbers_of_64_bits_are_strings_on_the_wire() -> None:
    file = NodeFile.read({"name": "a", "properties": {"contentLength": "9007199254740993"}})
    assert file.properties is not None
    assert file.properties.content_length == 9007199254740993
    assert file.write()["properties"] == {"contentLength": "9007199254740993"}
    assert PoolStatistics.read({"resourceStats": {"diskReadIOps": "7", "avgMemoryGiB": 1.5}}).resource_stats


@pytest.mark.parametrize(
    ("model", "value", "where"),
    [
        (Pool, {"id": 7}, "id"),
        (Pool, {"taskSchedulingPolicy": "spread"}, "taskSchedulingPolicy"),
        (Pool, {"taskSchedulingPolicy": {"nodeFillType": 1}}, "taskSchedulingPolicy.nodeFillType"),
        (Pool, {"lastModified": "yesterday"}, "lastModified"),
        (Pool, {"resizeTimeout": "1h"}, "resizeTimeout"),
        (Task, {"dependsOn": {"taskIdRanges": [{"start": 1}]}}, "dependsOn.taskIdRanges.0.end"),
    ],
)
def test_a_response_of_another_kind_is_malformed_and_says_where(model, value, where) -> None:
    with pytest.raises(MalformedResponseError, match=where) as caught:
        model.read(value)
    assert caught.value.__context__ is None


def test_secrets_show_in_no_repr_and_no_validation_error() -> None:
    account = UserAccount(name="u", password="hunter2")
    mount = MountConfiguration(
        cifs_mount_configuration=CifsMountConfiguration(
            username="u", source="s", relative_mount_path="m", password="hunter2"
        )
    )
    task = TaskCreate.model_validate(
        {
            "id": "t",
            "commandLine": "x",
            "environmentSettings": [{"name": "KEY", "value": "hunter2"}],
            "resourceFiles": [{"httpUrl": "https://x/y?sig=hunter2"}],
        }
    )
    for model in (account, mount, task):
        assert "hunter2" not in repr(model)
        assert "hunter2" not in str(model)
    with pytest.raises(ValidationError) as caught:
        UserAccount(name=7, password="hunter2")  # type: ignore[arg-type]
    assert "hunter2" not in str(caught.value)


DURATIONS = [
    ("PT06M00S", timedelta(minutes=6), "PT6M"),
    ("PT01H00M00S", timedelta(hours=1), "PT1H"),
    ("P3Y6M4DT12H30M5S", timedelta(days=1279, hours=12, minutes=30, seconds=5), "P1279DT12H30M5S"),
    ("P10675199DT2H48M5.4775807S", INFINITE, "P10675199DT2H48M5.4775807S"),
    ("P7D", timedelta(days=7), "P7D"),
    ("P1W", timedelta(days=7), "P7D"),
    ("PT168H", timedelta(days=7), "P7D"),
    ("PT0S", timedelta(0), "PT0S"),
    ("P0D", timedelta(0), "PT0S"),
    ("PT0.5S", timedelta(milliseconds=500), "PT0.5S"),
    ("-PT1M", timedelta(minutes=-1), "-PT1M"),
    ("P10675199DT2H48M5.477S", INFINITE - timedelta(microseconds=580), "P10675199DT2H48M5.477S"),
]


@pytest.mark.parametrize(("text", "value", "written"), DURATIONS)
def test_durations_are_read_and_written_as_the_service_does(text: str, value: timedelta, written: str) -> None:
    assert parse_duration(text) == value
    assert format_duration(value) == written
    constraints = TaskConstraints.read({"retentionTime": text})
    assert constraints.write() == {"retentionTime": written}


@pytest.mark.parametrize("text", ["", "P", "PT", "P1DT", "PT7D", "1h", "P1.5D", "PT1S ago", "P99999999999D"])
def test_an_invalid_duration_is_rejected(text: str) -> None:
    with pytest.raises(ValueError, match=r"duration|too long"):
        parse_duration(text)


@settings(deadline=None)
@given(st.timedeltas())
def test_durations_survive_writing_and_reading(value: timedelta) -> None:
    assert parse_duration(format_duration(value)) == value


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("2024-10-24T01:15:21.4060208Z", "2024-10-24T01:15:21.4060208Z"),
        ("2024-10-24T01:15:21Z", "2024-10-24T01:15:21Z"),
        ("2024-10-24T01:15:21.0000001Z", "2024-10-24T01:15:21.0000001Z"),
        ("2024-10-24T01:15:21.500Z", "2024-10-24T01:15:21.5Z"),
        ("2024-10-24T01:15:21.123456789Z", "2024-10-24T01:15:21.1234567Z"),
        ("2024-10-24T03:15:21.4060208+02:00", "2024-10-24T01:15:21.4060208Z"),
    ],
)
def test_times_keep_all_their_digits(text: str, written: str) -> None:
    moment = Timestamp.parse(text)
    assert moment.text == written
    assert moment == datetime.fromisoformat(f"{written[:19]}+00:00") + timedelta(microseconds=moment.microsecond)
    for again in (pickle.loads(pickle.dumps(moment)), copy.deepcopy(moment), Timestamp.parse(moment.text)):  # noqa: S301
        assert (again.text, again.ticks) == (moment.text, moment.ticks)


@settings(deadline=None)
@given(st.integers(0, 3155378975999999999))
def test_ticks_and_text_agree(ticks: int) -> None:
    plain = datetime(1, 1, 1, tzinfo=UTC) + timedelta(microseconds=ticks // 10)
    text = f"{plain.replace(tzinfo=None, microsecond=0).isoformat()}.{plain.microsecond:06}{ticks % 10}Z"
    assert Timestamp.parse(text).ticks == ticks


@pytest.mark.parametrize("text", ["2024-10-24", "2024-10-24T01:15:21", "2024-13-24T01:15:21Z", "now", ""])
def test_an_invalid_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"should be a time|month|isoformat"):
        Timestamp.parse(text)


def test_our_own_times_need_a_zone_and_are_written_in_utc() -> None:
    with pytest.raises(ValidationError, match="time zone"):
        Job(creation_time=datetime(2024, 1, 1))  # noqa: DTZ001
    there = timezone(timedelta(hours=2))
    schedule = JobScheduleConfiguration(do_not_run_until=datetime(2024, 1, 1, 1, 30, tzinfo=there))
    assert schedule.write() == {"doNotRunUntil": "2023-12-31T23:30:00Z"}


def test_models_are_frozen_and_comparable() -> None:
    first, second = (TaskConstraints(max_task_retry_count=3) for _ in range(2))
    assert first == second
    with pytest.raises(ValidationError, match="frozen"):
        first.max_task_retry_count = random.randint(4, 9)  # type: ignore[misc]  # noqa: S311
