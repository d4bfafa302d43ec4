"""Our client at an emulator that misbehaves on order: what it bears, and what it says when it cannot."""

from __future__ import annotations

import base64
import math
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from azure_batch_operator.batch import (
    AlreadyExistsError,
    AuthenticationError,
    AuthenticationKind,
    BatchClient,
    ConnectionFailedError,
    DeadlineError,
    Limiter,
    MalformedResponseError,
    NotModifiedError,
    PreconditionFailedError,
    RetryPolicy,
    ServerBusyError,
    ServerError,
    SharedKey,
    ThrottledError,
    TransientError,
)
from support.emulator_thread import EmulatorThread

PATIENT = RetryPolicy(attempts=8, base=0.01, cap=0.05, deadline=60.0, attempt_deadline=20.0)
ONCE = RetryPolicy(attempts=1, attempt_deadline=20.0)
JOB = {"id": "job", "poolInfo": {"poolId": "none"}}


def open_client(emulator: EmulatorThread, retry: RetryPolicy, key: SharedKey | None = None) -> BatchClient:
    """A client for the emulator's account."""
    credential = key or SharedKey(emulator.config.account, emulator.config.key)
    return BatchClient(emulator.endpoint, credential, limiter=Limiter(math.inf, max_in_flight=8), retry=retry)


@pytest.fixture
async def client_of_ours(emulator: EmulatorThread) -> AsyncIterator[BatchClient]:
    async with open_client(emulator, PATIENT) as client:
        yield client


def fault(emulator: EmulatorThread, operation: str, effect: Mapping[str, Any], **rule: Any) -> None:
    """Order a fault."""
    emulator.admin("POST", "faults", {"operation": operation, "effect": dict(effect), **rule})


BUSY = {"status": 503, "code": "ServerBusy", "retryAfter": 0}
PASSING: dict[str, tuple[dict[str, Any], type[TransientError]]] = {
    "throttled": ({"status": 429, "code": "TooManyRequests", "retryAfter": 0}, ThrottledError),
    "busy": (BUSY, ServerBusyError),
    "failed": ({"status": 500, "code": "InternalError"}, ServerError),
    "timed out": ({"status": 500, "code": "OperationTimedOut"}, DeadlineError),
    "reset": ({"reset": True}, ConnectionFailedError),
    "answer lost": ({"lostAnswer": True}, ConnectionFailedError),
    "answer truncated": ({"truncate": 0.5}, TransientError),
    "answer damaged": ({"corrupt": True}, MalformedResponseError),
}


@pytest.mark.parametrize("name", PASSING)
async def test_reads_bear_what_passes(name: str, emulator: EmulatorThread, client_of_ours: BatchClient) -> None:
    await client_of_ours.jobs.create(JOB)
    effect, kind = PASSING[name]
    fault(emulator, "Jobs_GetJob", effect, count=2)
    assert (await client_of_ours.jobs.get("job"))["id"] == "job"
    fault(emulator, "Jobs_GetJob", effect)
    async with open_client(emulator, ONCE) as impatient:
        with pytest.raises(kind) as caught:
            await impatient.jobs.get("job")
    assert caught.value.operation == "Jobs_GetJob"


async def test_a_hanging_service_is_given_up(emulator: EmulatorThread, client_of_ours: BatchClient) -> None:
    await client_of_ours.jobs.create(JOB)
    fault(emulator, "Jobs_GetJob", {"hang": True})
    with pytest.raises(DeadlineError):
        await client_of_ours.jobs.get("job", deadline=0.3)


async def test_a_create_whose_response_was_lost_says_that_it_exists(
    emulator: EmulatorThread, client_of_ours: BatchClient
) -> None:
    fault(emulator, "Jobs_CreateJob", {"lostAnswer": True}, count=1)
    with pytest.raises(AlreadyExistsError):
        await client_of_ours.jobs.create(JOB)
    assert (await client_of_ours.jobs.get("job"))["id"] == "job"


async def test_every_task_is_added_once_whatever_happens(emulator: EmulatorThread, client_of_ours: BatchClient) -> None:
    await client_of_ours.jobs.create(JOB)
    operation = "Tasks_CreateTaskCollection"
    fault(emulator, operation, PASSING["throttled"][0], count=3)
    fault(emulator, operation, {"lostAnswer": True}, count=2, skip=2)
    fault(emulator, operation, {"reset": True}, count=2, skip=5)
    fault(emulator, operation, {"truncate": 0.3}, count=1, skip=7)
    fault(emulator, operation, {"partial": {"every": 7, "status": "ServerError", "code": "ServerBusy"}}, count=6)
    fault(emulator, operation, {"status": 413, "code": "RequestBodyTooLarge"}, count=1, skip=9)
    tasks = {f"t{number:04}": {"id": f"t{number:04}", "commandLine": f"echo {number}"} for number in range(1000)}

    async def compare(task: Mapping[str, Any]) -> bool:
        existing = await client_of_ours.tasks.get("job", task["id"], select=("commandLine",))
        return bool(existing["commandLine"] == task["commandLine"])

    submission = client_of_ours.add_tasks("job", tasks.values(), compare=compare)
    results = [result async for result in submission]
    assert sorted(result.task_id for result in results) == list(tasks)
    assert [str(result.error) for result in results if result.error] == []
    assert any(result.existed for result in results)
    listed = [task["id"] async for task in client_of_ours.tasks.list("job", select=("id",))]
    assert listed == list(tasks)


async def test_a_foreign_task_of_the_same_id_is_reported(client_of_ours: BatchClient) -> None:
    await client_of_ours.jobs.create(JOB)
    await client_of_ours.tasks.create("job", {"id": "t1", "commandLine": "somebody else's"})

    async def compare(task: Mapping[str, Any]) -> bool:
        return bool((await client_of_ours.tasks.get("job", task["id"]))["commandLine"] == task["commandLine"])

    tasks = [{"id": f"t{number}", "commandLine": "ours"} for number in range(3)]
    results = {result.task_id: result async for result in client_of_ours.add_tasks("job", tasks, compare=compare)}
    assert isinstance(results["t1"].error, AlreadyExistsError)
    assert results["t0"].added
    assert results["t2"].added


async def test_conditions_hold(client_of_ours: BatchClient) -> None:
    await client_of_ours.jobs.create(JOB)
    before = (await client_of_ours.jobs.get("job"))["eTag"]
    after = (await client_of_ours.jobs.update("job", {"priority": 3}, if_match=before)).etag
    assert after is not None
    with pytest.raises(PreconditionFailedError):
        await client_of_ours.jobs.update("job", {"priority": 4}, if_match=before)
    with pytest.raises(NotModifiedError):
        await client_of_ours.jobs.get("job", if_none_match=after)
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    with pytest.raises(NotModifiedError):
        await client_of_ours.jobs.get("job", if_modified_since=tomorrow)


@pytest.mark.parametrize(
    ("account", "key", "kind"),
    [
        ("devaccount", base64.b64encode(b"another").decode(), AuthenticationKind.BAD_KEY),
        ("nobody", base64.b64encode(b"another").decode(), AuthenticationKind.UNKNOWN_ACCOUNT),
    ],
)
async def test_a_refused_key_says_why(
    emulator: EmulatorThread, account: str, key: str, kind: AuthenticationKind
) -> None:
    async with open_client(emulator, PATIENT, SharedKey(account, key)) as client:
        with pytest.raises(AuthenticationError) as caught:
            await client.jobs.list().all()
    assert caught.value.kind is kind
    assert key not in str(caught.value)


async def test_a_wrong_clock_is_named(emulator: EmulatorThread, monkeypatch: pytest.MonkeyPatch) -> None:
    class Late(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) - timedelta(minutes=20)

    monkeypatch.setattr("azure_batch_operator.batch.transport.datetime", Late)
    monkeypatch.setattr("azure_batch_operator.batch.responses.datetime", Late)
    async with open_client(emulator, PATIENT) as client:
        with pytest.raises(AuthenticationError) as caught:
            await client.jobs.list().all()
    assert caught.value.kind is AuthenticationKind.CLOCK_SKEW
