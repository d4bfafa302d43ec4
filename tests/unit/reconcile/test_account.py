"""Accounts: what their health means, and that they go only when nobody needs them."""

from __future__ import annotations

from typing import Any

import pytest

from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Resource
from azure_batch_operator.batch import (
    AuthenticationError,
    BatchError,
    BeingDeletedError,
    BeingResizedError,
    ConflictError,
    ConnectionFailedError,
    DeadlineError,
    ForbiddenError,
    InvalidRequestError,
    NotFoundError,
    QuotaError,
    ServerBusyError,
    ServerError,
    ThrottledError,
)
from azure_batch_operator.reconcile.account import Health, plan
from azure_batch_operator.reconcile.plan import Plan
from azure_batch_operator.reconcile.trouble import FAST, HOURLY, SLOW, account_problem, trouble
from unit.objects import NOW, POOL_SPEC, resource

SPEC = {
    "endpoint": "https://main.westeurope.batch.azure.com",
    "auth": {"sharedKey": {"secretRef": {"name": "s", "key": "k"}}},
}


def account(**options: Any) -> Resource:
    return resource(Kind.ACCOUNT, SPEC, name="main", **options)


def conditions(decision: Plan) -> dict[str, tuple[str, str]]:
    assert decision.status is not None
    return {each["type"]: (each["status"], each["reason"]) for each in decision.status["conditions"]}


def test_ready_only_after_a_call_went_through() -> None:
    assert conditions(plan(account(), Health(), [], NOW))["Ready"] == ("False", "Connecting")
    decision = plan(account(), Health(checked=True), [], NOW)
    assert conditions(decision) == {"Ready": ("True", "Connected")}
    assert decision.status is not None
    assert decision.status["account"] == "main"


def test_after_a_restart_the_old_word_stands_until_there_is_a_new_one() -> None:
    said = plan(account(), Health(checked=True), [], NOW).status
    assert said is not None
    assert plan(account(status=dict(said), finalizer=True), Health(), [], NOW) == Plan()


def test_what_passes_is_not_stalled_and_what_needs_a_person_is() -> None:
    away = plan(account(), Health(True, "ConnectionFailed", "…"), [], NOW)
    assert conditions(away)["Reconciling"] == ("True", "ConnectionFailed")
    wrong = plan(account(), Health(True, "AuthenticationFailed", "…"), [], NOW)
    assert conditions(wrong)["Stalled"] == ("True", "AuthenticationFailed")
    assert [notice.type for notice in (*away.notices, *wrong.notices)] == ["Warning", "Warning"]


def test_throttling_shows_until_when() -> None:
    decision = plan(account(), Health(True, "Throttled", "…", NOW + 30), [], NOW)
    assert decision.status is not None
    assert decision.status["throttling"] == {"until": "2027-01-15T08:00:30Z"}
    assert decision.again is not None
    assert decision.again > 30
    over = plan(account(), Health(True, "Throttled", "…", NOW - 1), [], NOW)
    assert over.status is not None
    assert "throttling" not in over.status


def test_an_account_in_use_is_not_let_go() -> None:
    pool = resource(Kind.POOL, POOL_SPEC, name="cpu")
    decision = plan(account(finalizer=True, deleting=True), Health(True), [pool, pool], NOW)
    assert decision.finalizer is None
    assert decision.status is not None
    message = decision.status["conditions"][0]["message"]
    assert message.startswith("used by 2 BatchPool, for example BatchPool default/cpu")
    assert plan(account(finalizer=True, deleting=True), Health(True), [], NOW).finalizer == "remove"
    forced = account(finalizer=True, deleting=True, annotations={"azurebatch.io/force-finalize": "true"})
    assert plan(forced, Health(True), [pool], NOW).finalizer == "remove"


@pytest.mark.parametrize(
    ("error", "of_account", "stalled", "wait"),
    [
        (ThrottledError("slow down", status=429, retry_after=7.0), True, False, 7.0),
        (ServerBusyError("busy", status=503), True, False, FAST),
        (ConnectionFailedError("refused"), True, False, FAST),
        (DeadlineError("no answer"), True, False, FAST),
        (AuthenticationError("no", status=403, code="AuthenticationFailed"), True, False, SLOW),
        (ServerError("broken", status=500), False, False, FAST),
        (QuotaError("full", status=409), False, False, SLOW),
        (BeingDeletedError("going", status=409), False, False, FAST),
        (BeingResizedError("moving", status=409), False, False, FAST),
        (ForbiddenError("no role", status=403), False, True, SLOW),
        (InvalidRequestError("wrong", status=400), False, True, HOURLY),
        (NotFoundError("where", status=404), False, False, SLOW / 6),
        (ConflictError("state", status=409), False, False, SLOW / 6),
        (BatchError("what", status=418), False, False, SLOW),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BatchError) else None,
)
def test_nearly_everything_is_tried_again_at_its_own_pace(
    error: BatchError, of_account: bool, stalled: bool, wait: float
) -> None:
    problem = trouble(error)
    assert (problem.of_account, problem.stalled, problem.wait) == (of_account, stalled, wait)


def test_the_services_own_code_is_the_reason() -> None:
    assert trouble(NotFoundError("x", status=404, code="PoolNotFound")).reason == "PoolNotFound"
    assert trouble(ConnectionFailedError("refused")).reason == "ConnectionFailed"
    reason, message = account_problem(ForbiddenError("x", status=403, code="AccountIsDisabled"))
    assert reason == "AccountIsDisabled"
    assert "disabled" in message
