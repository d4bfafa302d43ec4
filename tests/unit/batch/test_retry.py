"""The retry policy decides by error, operation and time left."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from azure_batch_operator.batch import OPERATIONS, RetryPolicy
from azure_batch_operator.batch.errors import (
    NEVER_SENT,
    BatchError,
    ConflictError,
    ConnectionFailedError,
    ConnectionKind,
    DeadlineError,
    InvalidRequestError,
    MalformedResponseError,
    NotFoundError,
    QuotaError,
    ServerBusyError,
    ServerError,
    ThrottledError,
)
from azure_batch_operator.batch.operations import Repeat
from azure_batch_operator.batch.retry import may_repeat

GET = OPERATIONS["Pools_GetPool"]
CREATE = OPERATIONS["Pools_CreatePool"]
REBOOT = OPERATIONS["Nodes_RebootNode"]
POLICY = RetryPolicy(attempts=4, base=1.0, cap=5.0)


def _connection(kind: ConnectionKind) -> ConnectionFailedError:
    error = ConnectionFailedError("x")
    error.kind = kind
    return error


@pytest.mark.parametrize("operation", [GET, CREATE, REBOOT])
@pytest.mark.parametrize("error", [ThrottledError("x"), ServerBusyError("x"), *map(_connection, sorted(NEVER_SENT))])
def test_calls_that_were_refused_or_not_sent_are_repeated(operation, error) -> None:
    assert may_repeat(error, operation)


@pytest.mark.parametrize(
    "error",
    [
        ServerError("x"),
        DeadlineError("x"),
        MalformedResponseError("x"),
        _connection(ConnectionKind.RESET),
        _connection(ConnectionKind.CLOSED),
    ],
)
def test_an_attempted_call_is_repeated_only_if_that_is_harmless(error) -> None:
    assert may_repeat(error, GET)
    assert may_repeat(error, CREATE)
    assert not may_repeat(error, REBOOT)


@pytest.mark.parametrize(
    "error", [NotFoundError("x"), ConflictError("x"), InvalidRequestError("x"), QuotaError("x"), BatchError("x")]
)
def test_everything_else_is_for_the_caller(error) -> None:
    assert not may_repeat(error, GET)


def test_only_acts_that_add_up_are_not_idempotent() -> None:
    twice = {operation.id for operation in OPERATIONS.values() if operation.repeat is Repeat.TWICE}
    assert twice == {"Nodes_RebootNode", "Nodes_ReimageNode", "Nodes_UploadNodeLogs", "Tasks_ReactivateTask"}


@pytest.mark.parametrize(("attempt", "span"), [(1, 1.0), (2, 2.0), (3, 4.0)])
def test_jitter_covers_the_whole_span(attempt: int, span: float) -> None:
    def wait(chance: float) -> float | None:
        return POLICY.delay(ServerError("x"), GET, attempt=attempt, remaining=100, chance=chance)

    assert wait(0.0) == 0.0
    assert wait(0.5) == span / 2
    assert wait(0.999) == pytest.approx(span * 0.999)


def test_the_span_is_capped_and_the_attempts_end() -> None:
    patient = RetryPolicy(attempts=5000, base=1.0, cap=5.0)
    assert patient.delay(ServerError("x"), GET, attempt=4000, remaining=100, chance=0.5) == 2.5
    assert POLICY.delay(ServerError("x"), GET, attempt=4, remaining=100, chance=0.5) is None


@settings(deadline=None)
@given(seconds=st.floats(0, 3600), chance=st.floats(0, 1, exclude_max=True), attempt=st.integers(1, 3))
def test_retry_after_is_never_undercut(seconds: float, chance: float, attempt: int) -> None:
    error = ThrottledError("x", retry_after=seconds)
    wait = POLICY.delay(error, GET, attempt=attempt, remaining=10_000, chance=chance)
    assert wait is not None
    assert seconds <= wait <= seconds + POLICY.base


def test_a_wait_beyond_the_deadline_is_not_begun() -> None:
    error = ThrottledError("x", retry_after=60)
    assert POLICY.delay(error, GET, attempt=1, remaining=59, chance=0.0) is None
    assert POLICY.delay(error, GET, attempt=1, remaining=61, chance=0.0) == 60
    assert POLICY.delay(ServerError("x"), GET, attempt=1, remaining=0, chance=0.0) is None
