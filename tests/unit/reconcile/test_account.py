"""Accounts: what their health means, and that they go only when nobody needs them."""

from __future__ import annotations

from typing import Any

import pytest

from azure_batch_operator.api.account import Auth
from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Resource
from azure_batch_operator.batch import (
    AlreadyExistsError,
    AuthenticationError,
    AuthenticationKind,
    BatchError,
    BeingDeletedError,
    BeingResizedError,
    ConflictError,
    ConnectionFailedError,
    ConnectionKind,
    DeadlineError,
    EndpointRefusedError,
    ForbiddenError,
    InvalidRequestError,
    NotFoundError,
    QuotaError,
    ServerBusyError,
    ServerError,
    ThrottledError,
    UsageError,
)
from azure_batch_operator.reconcile.account.lifecycle import AccountMetadata, Health, pinned, plan
from azure_batch_operator.reconcile.account.problems import account_problem, in_short
from azure_batch_operator.reconcile.error_classes import RetryClass, classify_error
from azure_batch_operator.reconcile.plan import Plan
from azure_batch_operator.reconcile.standard_plans import troubled
from support import typed
from unit.objects import NOW, POOL_SPEC, resource

ENDPOINT = "https://main.westeurope.batch.azure.com"
SPEC = {
    "endpoint": ENDPOINT,
    "auth": {"sharedKey": {"secretRef": {"name": "s", "key": "k"}}},
}


AUTH = Auth.model_validate(SPEC["auth"])


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


def test_after_a_restart_the_old_message_stays_until_there_is_a_new_one() -> None:
    said = plan(account(), Health(checked=True), [], NOW).status
    assert said is not None
    assert plan(account(status=dict(said), finalizer=True), Health(), [], NOW) == Plan()


def test_only_problems_that_need_a_person_stall() -> None:
    away = plan(account(), Health(True, "ConnectionFailed", "…"), [], NOW)
    assert conditions(away)["Reconciling"] == ("True", "ConnectionFailed")
    wrong = plan(account(), Health(True, "AuthenticationFailed", "…"), [], NOW)
    assert conditions(wrong)["Stalled"] == ("True", "AuthenticationFailed")
    assert [event.type for event in (*away.events, *wrong.events)] == ["Warning", "Warning"]


def test_throttling_shows_until_when_and_how_often() -> None:
    decision = plan(account(), Health(True, "Throttled", "…", NOW + 30, pauses=3), [], NOW)
    assert decision.status is not None
    assert decision.status["throttling"] == {"until": "2027-01-15T08:00:30Z", "times": 3}
    assert decision.requeue_after is not None
    assert decision.requeue_after > 30
    over = plan(account(status=dict(decision.status)), Health(True, "Throttled", "…", NOW - 1), [], NOW)
    assert over.status is not None
    assert over.status["throttling"] == {"times": 3}, "how often is remembered"


def test_an_account_in_use_is_not_released() -> None:
    pool = resource(Kind.POOL, POOL_SPEC, name="cpu")
    answered = {"endpoint": SPEC["endpoint"], "account": "main"}
    decision = plan(account(finalizer=True, deleting=True, status=answered), Health(True), [pool, pool], NOW)
    assert decision.finalizer is None
    assert decision.status is not None
    message = decision.status["conditions"][0]["message"]
    assert "Used by 2 BatchPools: BatchPool default/cpu, BatchPool default/cpu." in message
    many = [resource(Kind.POOL, POOL_SPEC, name=f"p{number}") for number in range(9)]
    crowded = plan(account(finalizer=True, deleting=True, status=answered), Health(True), many, NOW)
    assert crowded.status is not None
    assert "9 BatchPools: BatchPool default/p0" in crowded.status["conditions"][0]["message"]
    assert "default/p4, …" in crowded.status["conditions"][0]["message"]
    assert plan(account(finalizer=True, deleting=True), Health(True), [], NOW).finalizer == "remove"
    forced = account(finalizer=True, deleting=True, annotations={"azurebatch.io/force-finalize": "true"})
    assert plan(forced, Health(True), [pool], NOW).finalizer == "remove"


@pytest.mark.parametrize(
    ("error", "of_account", "stalled", "patience"),
    [
        (ThrottledError("slow down", status=429), True, False, "BUSY"),
        (ServerBusyError("busy", status=503), True, False, "BUSY"),
        (ConnectionFailedError("refused"), True, False, "BUSY"),
        (DeadlineError("no answer"), True, False, "BUSY"),
        (AuthenticationError("no", status=403, code="AuthenticationFailed"), True, False, "WAITING"),
        (ServerError("broken", status=500), False, False, "BUSY"),
        (QuotaError("full", status=409), False, False, "WAITING"),
        (BeingDeletedError("going", status=409), False, False, "BUSY"),
        (BeingResizedError("moving", status=409), False, False, "BUSY"),
        (ForbiddenError("no role", status=403), False, True, "WAITING"),
        (InvalidRequestError("wrong", status=400), False, True, "WRONG"),
        (NotFoundError("where", status=404), False, False, "BUSY"),
        (ConflictError("state", status=409), False, False, "BUSY"),
        (ConflictError("no such package", code="InvalidApplicationPackageReferences"), False, True, "WAITING"),
        (AlreadyExistsError("a schedule has it", code="JobScheduleWithSameIdExists"), False, True, "WAITING"),
        (BatchError("what", status=418), False, False, "WAITING"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BatchError) else None,
)
def test_nearly_everything_is_retried_at_its_own_pace(
    error: BatchError, of_account: bool, stalled: bool, patience: str
) -> None:
    problem = classify_error(error)
    assert (problem.of_account, problem.stalled, problem.retry_class.name) == (of_account, stalled, patience)


def test_the_wait_that_a_service_requests_is_limited() -> None:
    assert classify_error(ThrottledError("slow down", status=429, retry_after=7.0)).retry_after == 7.0
    assert classify_error(ThrottledError("slow down", status=429, retry_after=86400.0)).retry_after == 300.0


@pytest.mark.parametrize(
    ("patience", "waits"),
    [
        ("BUSY", [1, 2, 4, 8, 16, 32, 60, 60]),
        ("WAITING", [30, 60, 120, 240, 300, 300]),
        ("WRONG", [60, 240, 960, 3600, 3600]),
    ],
)
def test_the_table_of_waits(patience: str, waits: list[float]) -> None:
    assert [RetryClass[patience].seconds(number + 1) for number in range(len(waits))] == waits


def test_the_services_own_code_is_the_reason() -> None:
    assert classify_error(NotFoundError("x", status=404, code="PoolNotFound")).reason == "PoolNotFound"
    assert classify_error(ConnectionFailedError("refused")).reason == "ConnectionFailed"
    reason, message = account_problem(ForbiddenError("x", status=403, code="AccountIsDisabled"), AUTH, ENDPOINT)
    assert reason == "AccountIsDisabled"
    assert "disabled" in message


def test_a_stalled_resource_that_was_never_created_is_not_pending() -> None:
    refused = classify_error(InvalidRequestError("wrong", status=400, code="InvalidPropertyValue"))
    for phase, expected in (("Pending", "Stalled"), ("Steady", "Steady")):
        one = resource(Kind.POOL, POOL_SPEC, status={"observedGeneration": 1, "phase": phase})
        shown = troubled(one, refused, NOW)
        assert shown is not None
        assert shown["phase"] == expected
    for before in ({}, {"observedGeneration": 1, "phase": "Stalled"}):
        one = resource(Kind.POOL, POOL_SPEC, status=before)
        passing = troubled(one, classify_error(ServerError("broken", status=500, code="InternalError")), NOW)
        assert passing is not None
        assert passing["phase"] == "Pending"


def test_the_signed_text_does_not_hide_the_remedy() -> None:
    detail = "The MAC signature is not the same. Server used following string to sign: 'GET\\n\\nocp-date:x\n/a'."
    error = AuthenticationError(
        "refused", status=403, code="AuthenticationFailed", values={"Detail": detail}, request_id="r"
    )
    error.kind = AuthenticationKind.BAD_KEY
    _, message = account_problem(error, AUTH, ENDPOINT)
    assert message.endswith(
        "(AuthenticationFailed: refused (Detail=The MAC signature is not the same.) [request-id r])"
    ), message
    assert in_short(message).endswith("key 'k' of Secret 's' is not a key of this account: correct it")


def said(decision: Plan) -> dict[str, Any]:
    assert decision.status is not None
    return dict(decision.status)


IMAGE = {
    "nodeAgentSKUId": "batch.node.ubuntu 24.04",
    "imageReference": {"publisher": "canonical", "offer": "ubuntu-24_04-lts", "sku": "server", "version": "latest"},
    "osType": "linux", "verificationType": "verified", "batchSupportEndOfLife": "2029-04-01T00:00:00Z",
}  # fmt: skip


def metadata(images: list[Any], applications: list[Any], calls_per_minute: int = 0) -> AccountMetadata:
    listed = ([typed.image(body) for body in images], [typed.application(body) for body in applications])
    return AccountMetadata(*listed, calls_per_minute)


def test_offers_and_objects_of_an_account() -> None:
    users = [resource(Kind.POOL, POOL_SPEC, name=name) for name in ("a", "b")]
    offer = metadata([IMAGE], [{"id": "blender", "versions": ["4.1", "4.2"], "displayName": "Blender"}], 30)
    status = said(plan(account(), Health(True, last_success=NOW), users, NOW, offer))
    assert status["users"] == {"batchPools": 2}
    assert status["callsPerMinute"] == 30
    assert status["lastSuccessTime"] == "2027-01-15T08:00:00Z"
    assert status["applications"] == [{"id": "blender", "displayName": "Blender", "versions": ["4.1", "4.2"]}]
    assert status["supportedImages"] == [
        {
            "publisher": "canonical", "offer": "ubuntu-24_04-lts", "sku": "server", "endOfLife": "2029-04-01T00:00:00Z",
            "nodeAgentSKUId": "batch.node.ubuntu 24.04", "osType": "linux", "verificationType": "verified",
        }
    ]  # fmt: skip


def test_lists_are_bounded() -> None:
    images = [IMAGE | {"imageReference": {"sku": f"{number:04}"}} for number in range(500)]
    applications = [{"id": f"{number:04}", "versions": [str(v) for v in range(50)]} for number in range(300)]
    status = said(plan(account(), Health(True), [], NOW, metadata(images, applications)))
    assert len(status["supportedImages"]) == 200
    assert len(status["applications"]) == 100
    assert status["applications"][0]["versions"][-1] == "49"


def test_time_and_the_number_of_calls_are_no_reason_to_write() -> None:
    first = said(plan(account(), Health(True, last_success=NOW), [], NOW, metadata([IMAGE], [], 300)))
    later = account(status=first, finalizer=True)
    assert said(plan(later, Health(True, last_success=NOW + 60), [], NOW + 60, metadata([IMAGE], [], 10))) == first
    assert said(plan(later, Health(True, last_success=NOW + 60), [], NOW + 60, metadata([IMAGE], [], 1000))) == first
    user = resource(Kind.POOL, POOL_SPEC)
    more = said(plan(later, Health(True, last_success=NOW + 60), [user], NOW + 60, metadata([IMAGE], [], 1000)))
    assert (more["callsPerMinute"], more["lastSuccessTime"]) == (1000, "2027-01-15T08:01:00Z")
    restarted = said(plan(later, Health(True, last_success=NOW + 90), [], NOW + 90, AccountMetadata()))
    assert restarted == first, "a restart forgets nothing and writes nothing"


def of_kind(error: Any, kind: ConnectionKind | AuthenticationKind) -> BatchError:
    error.kind = kind
    return error  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("error", "reason", "remedy"),
    [
        (of_kind(ConnectionFailedError("x"), ConnectionKind.DNS), "NameNotResolved", "spec.endpoint"),
        (of_kind(ConnectionFailedError("x"), ConnectionKind.TLS), "TLSFailed", "certificate"),
        (of_kind(ConnectionFailedError("x"), ConnectionKind.REFUSED), "ConnectionRefused", "spec.endpoint"),
        (of_kind(ConnectionFailedError("x"), ConnectionKind.RESET), "ConnectionFailed", "spec.endpoint"),
        (of_kind(ConnectionFailedError("a: b"), ConnectionKind.AUTHORITY), "AuthorityUnreachable", "a: b"),
        (of_kind(AuthenticationError("x"), AuthenticationKind.BAD_KEY), "KeyRefused", "key 'k' of Secret 's'"),
        (of_kind(AuthenticationError("x"), AuthenticationKind.UNKNOWN_ACCOUNT), "UnknownAccount", "spec.accountName"),
        (of_kind(AuthenticationError("x"), AuthenticationKind.CLOCK_SKEW), "ClockSkew", "clock"),
        (of_kind(AuthenticationError("x"), AuthenticationKind.NOT_ALLOWED), "SignInMethodNotAllowed", "spec.auth"),
        (of_kind(AuthenticationError("x"), AuthenticationKind.WRONG_SUBJECT), "TokenRefused", "subject"),
        (of_kind(AuthenticationError("x"), AuthenticationKind.EXPIRED), "TokenRefused", "renew"),
        (
            of_kind(AuthenticationError("x"), AuthenticationKind.BAD_SECRET),
            "TokenRefused",
            "does not belong to the application",
        ),
        (AuthenticationError("x"), "AuthenticationFailed", "spec.auth"),
        (UsageError("not base64"), "KeyInvalid", "key 'k' of Secret 's' is not an access key"),
        (EndpointRefusedError("x"), "EndpointRefused", "--allowed-host"),
        (ForbiddenError("x", status=403, code="AccountIsDisabled"), "AccountIsDisabled", "suspended"),
        (
            ForbiddenError("x", status=403, code="InsufficientAccountPermissions"),
            "InsufficientAccountPermissions",
            "Azure Batch Data Contributor",
        ),
        (ThrottledError("x", status=429), "Throttled", "retried automatically"),
        (ServerError("x", status=500, code="InternalError"), "ServiceFailed", "retried automatically"),
        (DeadlineError("x"), "NoAnswer", "in time"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_each_trouble_has_its_own_reason_and_remedy(error: BatchError, reason: str, remedy: str) -> None:
    found, message = account_problem(error, AUTH, ENDPOINT)
    assert found == reason
    assert remedy in message


def test_trouble_with_the_connection_names_the_endpoint() -> None:
    for kind in (ConnectionKind.DNS, ConnectionKind.REFUSED, ConnectionKind.TLS, ConnectionKind.RESET):
        _, message = account_problem(of_kind(ConnectionFailedError("x"), kind), AUTH, "http://127.0.0.1:10101")
        assert "http://127.0.0.1:10101" in message
        assert "spec.endpoint" in in_short(message)


def test_an_account_whose_endpoint_changed_despite_its_rule_keeps_its_endpoint() -> None:
    first = plan(account(), Health(checked=True), [], NOW).status
    assert first is not None
    assert first["endpoint"] == SPEC["endpoint"]
    moved = resource(
        Kind.ACCOUNT, SPEC | {"endpoint": "https://other.westeurope.batch.azure.com"}, name="main", status=dict(first)
    )
    used = pinned(moved)
    assert (used.spec["endpoint"], used.spec["accountName"]) == (SPEC["endpoint"], "main")
    decision = plan(moved, Health(checked=True), [], NOW)
    assert conditions(decision)["Stalled"] == ("True", "EndpointChanged")
    assert (decision.status or {})["endpoint"] == SPEC["endpoint"]
    assert (decision.status or {})["account"] == "main"
    assert "'https://main.westeurope.batch.azure.com' to 'https://other" in str(decision.status)


def test_an_account_that_never_answered_is_where_its_spec_says() -> None:
    never = account(status={"observedGeneration": 1, "account": "typo"})
    assert pinned(never) is never
    assert "endpoint" not in (plan(never, Health(True, "NameNotResolved", "no"), [], NOW).status or {})


def test_an_account_that_never_answered_can_be_deleted_and_created_again() -> None:
    """Its users wait for it and have nothing in Azure; a mistyped endpoint can be corrected in no other way."""
    waits = resource(Kind.POOL, POOL_SPEC)
    gone = account(deleting=True, finalizer=True)
    assert plan(gone, Health(True, "NameNotResolved", "no"), [waits], NOW).finalizer == "remove"
    assert plan(gone, Health(), [resource(Kind.POOL, POOL_SPEC, finalizer=True)], NOW).finalizer is None
