"""Errors: every code of the service has a class, every text is readable, no text holds a secret."""

import inspect
import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from azure_batch_operator.batch import errors
from azure_batch_operator.batch.error_codes import CLASS_BY_CODE, error_class
from azure_batch_operator.batch.errors import (
    AlreadyExistsError,
    AuthenticationError,
    AuthenticationKind,
    BatchError,
    BeingDeletedError,
    BeingResizedError,
    CompletedError,
    ConflictError,
    DeadlineError,
    ForbiddenError,
    InvalidRequestError,
    MalformedResponseError,
    NotFoundError,
    NotModifiedError,
    PreconditionFailedError,
    QuotaError,
    RetiredError,
    ServerBusyError,
    ServerError,
    ThrottledError,
    TooLargeError,
)
from azure_batch_operator.batch.redaction import redact
from azure_batch_operator.batch.responses import Response, error_of, parse_retry_after

NOW = datetime(2026, 1, 22, 20, 18, 17, tzinfo=UTC)

# All codes of the service (docs/azure-batch.md#error-codes), by status.
CODES = {
    304: "ConditionNotMet",
    400: """MissingRequiredHeader UnsupportedHeader InvalidHeaderValue MissingRequiredQueryParameter
        UnsupportedQueryParameter InvalidQueryParameterValue OutOfRangeQueryParameterValue RequestUrlFailedToParse
        InvalidUri InvalidHttpVerb MultipleConditionHeadersNotSupported UnsupportedRequestVersion
        InvalidAuthenticationInfo InvalidRequestBody MissingRequiredProperty UnsupportedProperty InvalidPropertyValue
        OutOfRangeInput InvalidInput EmptyMetadataKey InvalidMetadata MetadataTooLarge InvalidConstraintValue
        UnsupportedConstraint OutOfRangePriority InvalidRestAPIForAccountSetting InvalidAutoScalingSettings
        AutoScalingFormulaSyntaxError AutoScalingFormulaTooLong AutoScaleFormulaTooLong OSVersionNotFound
        OSVersionDisabled OSVersionExpired PoolVersionEqualsUpgradeVersion PoolNotEligibleForOSVersionUpgrade
        CertificateRetired TaskDependenciesNotSpecifiedOnJob TaskDependencyListTooLong TaskDependencyRangesTooLong""",
    403: "AuthenticationFailed InsufficientAccountPermissions AccountIsDisabled IOError",
    404: """ResourceNotFound PoolNotFound NodeNotFound JobScheduleNotFound JobNotFound TaskNotFound FileNotFound
        NodeUserNotFound CertificateNotFound JobPreparationTaskNotRunOnNode JobReleaseTaskNotRunOnNode
        NodeAgentSKUNotFound ApplicationNotFound PathNotFound""",
    405: "UnsupportedHttpVerb",
    409: """PoolExists PoolBeingCreated PoolBeingResized PoolBeingDeleted PoolQuotaReached UpgradePoolVersionConflict
        OperationNotValidOnPool InvalidApplicationPackageReferences NodeBeingCreated NodeBeingStarted NodeBeingReimaged
        NodeBeingRebooted NodeStateUnusable NodeAlreadyInTargetSchedulingState NodeUserExists OperationNotValidOnNode
        NodeCountsMismatch InvalidCertificateReferences JobExists JobScheduleWithSameIdExists JobNotActive JobDisabled
        JobCompleted JobBeingTerminated JobBeingDeleted ActiveJobAndScheduleQuotaReached JobPreparationTaskNotSpecified
        JobReleaseTaskNotSpecified JobPreparationTaskOrReleaseTaskNotSpecified JobScheduleExists JobWithSameIdExists
        JobScheduleDisabled JobScheduleCompleted JobScheduleBeingTerminated JobScheduleBeingDeleted TaskExists
        TaskCompleted TaskNotCompleted TaskSucceeded TaskFilesUnavailable TaskFilesCleanedup
        TaskIdSameAsJobPreparationTask TaskIdSameAsJobReleaseTask CertificateExists CertificateBeingDeleted
        CertificateStateActive CertificateStateDeleteFailed OperationInvalidForCurrentState ResourceAlreadyExists
        ResourceTypeMismatch""",
    411: "MissingContentLengthHeader",
    412: "ConditionNotMet",
    413: "RequestBodyTooLarge RequestEntityTooLarge",
    416: "InvalidRange",
    429: "TooManyRequests",
    500: "InternalError OperationTimedOut",
    503: "ServerBusy TooManyEnableAutoScaleRequests AutoScaleTooManyRequestsToEnable",
}
FAMILY = {
    304: NotModifiedError,
    400: (InvalidRequestError, AuthenticationError),
    403: (ForbiddenError, AuthenticationError),
    404: NotFoundError,
    405: InvalidRequestError,
    409: ConflictError,
    411: InvalidRequestError,
    412: PreconditionFailedError,
    413: TooLargeError,
    416: InvalidRequestError,
    429: ThrottledError,
    500: (ServerError, DeadlineError),
    503: ServerBusyError,
}
PAIRS = [(status, code) for status, codes in CODES.items() for code in codes.split()]


@pytest.mark.parametrize(("status", "code"), PAIRS)
def test_every_code_has_a_class_of_its_status(status: int, code: str) -> None:
    kind = error_class(code, status)
    assert issubclass(kind, FAMILY[status])
    assert code == "ConditionNotMet" or code.lower() in CLASS_BY_CODE
    assert error_class(code.upper(), status) is kind


def test_the_table_has_no_code_that_the_service_does_not_have() -> None:
    assert set(CLASS_BY_CODE) == {code.lower() for _, code in PAIRS} - {"conditionnotmet"}


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("PoolExists", AlreadyExistsError),
        ("JobScheduleWithSameIdExists", AlreadyExistsError),
        ("JobBeingDeleted", BeingDeletedError),
        ("PoolBeingResized", BeingResizedError),
        ("JobCompleted", CompletedError),
        ("TaskSucceeded", CompletedError),
        ("PoolQuotaReached", QuotaError),
        ("CertificateRetired", RetiredError),
        ("OperationTimedOut", DeadlineError),
        ("JobDisabled", ConflictError),
    ],
)
def test_the_named_cases(code: str, kind: type[BatchError]) -> None:
    assert error_class(code, None) is kind


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, InvalidRequestError),
        (401, AuthenticationError),
        (403, ForbiddenError),
        (404, NotFoundError),
        (408, DeadlineError),
        (409, ConflictError),
        (410, InvalidRequestError),
        (500, ServerError),
        (502, ServerError),
        (503, ServerBusyError),
        (504, DeadlineError),
        (302, MalformedResponseError),
        (206, MalformedResponseError),
    ],
)
@pytest.mark.parametrize(
    "body", [b"", b"<html>Bad gateway</html>", b'{"code": "MadeUpTomorrow"}', b"[1]", b'{"code": 7}']
)
def test_unknown_codes_and_foreign_bodies_are_told_by_their_status(status: int, kind, body: bytes) -> None:
    error = error_of(Response(status, {}, body), "Pools_GetPool", now=NOW)
    assert type(error) is kind
    assert error.status == status
    assert error.message


def _error(status: int, code: str, text: str = "Text.", values: dict[str, str] | None = None, **headers: str):
    body = {
        "code": code,
        "message": {"lang": "en-US", "value": f"{text}\nRequestId:rid\nTime:2026-01-22T20:18:17.6076943Z"},
        "values": [{"key": name, "value": value} for name, value in (values or {}).items()],
    }
    answer = Response(status, {"request-id": "rid", **headers}, json.dumps(body).encode())
    return error_of(answer, "Pools_CreatePool", client_request_id="mine", now=NOW)


def test_an_error_reads_well_and_holds_everything() -> None:
    values = {"PropertyName": "subnetId", "PropertyValue": "x/y", "Reason": "no such subnet"}
    error = _error(400, "InvalidPropertyValue", "The value is invalid.", values, **{"retry-after": "7"})
    assert str(error) == (
        "InvalidPropertyValue: The value is invalid. (PropertyName=subnetId; PropertyValue=x/y; Reason=no such subnet)"
        " [Pools_CreatePool, request-id rid]"
    )
    assert (error.operation, error.status, error.code, error.values) == (
        "Pools_CreatePool",
        400,
        "InvalidPropertyValue",
        values,
    )
    assert (error.request_id, error.client_request_id, error.retry_after) == ("rid", "mine", 7.0)
    assert "subnetId" in repr(error)


def test_transient_errors_are_retryable() -> None:
    retryable = {code for status, code in PAIRS if _error(status, code).retryable}
    assert retryable == {
        "ActiveJobAndScheduleQuotaReached",
        "AutoScaleTooManyRequestsToEnable",
        "CertificateBeingDeleted",
        "InternalError",
        "JobBeingDeleted",
        "JobScheduleBeingDeleted",
        "NodeBeingCreated",
        "NodeBeingRebooted",
        "NodeBeingReimaged",
        "NodeBeingStarted",
        "OperationTimedOut",
        "PoolBeingCreated",
        "PoolBeingDeleted",
        "PoolBeingResized",
        "PoolQuotaReached",
        "ServerBusy",
        "TooManyEnableAutoScaleRequests",
        "TooManyRequests",
    }


DETAIL = "AuthenticationErrorDetail"
SIGNATURE = "c2lnbmF0dXJlIG9mIHRoZSByZXF1ZXN0IGluIGJhc2U2NA=="


@pytest.mark.parametrize(
    ("code", "detail", "kind"),
    [
        (
            "AuthenticationFailed",
            f"The MAC signature found in the HTTP request '{SIGNATURE}' is not the same as any computed signature.",
            AuthenticationKind.BAD_KEY,
        ),
        (
            "AuthenticationFailed",
            "Cannot find the claimed account when trying to GetProperties for the account X.",
            AuthenticationKind.UNKNOWN_ACCOUNT,
        ),
        (
            "AuthenticationFailed",
            "The specified type of authentication SharedKey is not allowed for this account.",
            AuthenticationKind.NOT_ALLOWED,
        ),
        (
            "AuthenticationFailed",
            "The access token has been obtained from wrong audience or resource 'https://batch.core.windows.net'.",
            AuthenticationKind.WRONG_AUDIENCE,
        ),
        ("AuthenticationFailed", "The access token is from the wrong issuer 'x'.", AuthenticationKind.WRONG_ISSUER),
        ("AuthenticationFailed", "The access token has expired.", AuthenticationKind.EXPIRED),
        ("AuthenticationFailed", "", AuthenticationKind.UNKNOWN),
        ("InvalidAuthenticationInfo", "", AuthenticationKind.MALFORMED),
    ],
)
def test_refused_credentials_say_why(code: str, detail: str, kind: AuthenticationKind) -> None:
    error = _error(403, code, "Server failed to authenticate the request.", {DETAIL: detail} if detail else None)
    assert isinstance(error, AuthenticationError)
    assert error.kind is kind
    assert SIGNATURE not in str(error)
    assert SIGNATURE not in repr(vars(error))


@pytest.mark.parametrize(("minutes", "kind"), [(16, AuthenticationKind.CLOCK_SKEW), (5, AuthenticationKind.BAD_KEY)])
def test_a_wrong_clock_is_told_from_a_wrong_key(minutes: int, kind: AuthenticationKind) -> None:
    date = format_datetime(NOW - timedelta(minutes=minutes), usegmt=True)
    error = _error(403, "AuthenticationFailed", "x", {DETAIL: "The MAC signature found …"}, date=date)
    assert isinstance(error, AuthenticationError)
    assert error.kind is kind


SECRETS = [
    ("see https://acc.blob.core.windows.net/c/b?sv=2024&sig=abc%2Fdef&se=1 there", "abc%2Fdef"),
    ("HTTPS://HOST/x?token=abcdef", "abcdef"),
    ("blob c/b sig=abcdef failed", "abcdef"),
    ("Authorization: SharedKey acc:QUJDREVG=", "QUJDREVG"),
    ("Authorization: Bearer abcdef.ghi", "abcdef"),
    ("token eyJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJ4In0.c2ln is expired", "eyJhdWQi"),
    ("AccountKey=QUJDREVG;EndpointSuffix=x", "QUJDREVG"),
    ("client_secret=abcdef&grant_type=x", "abcdef"),
]


@pytest.mark.parametrize(("text", "secret"), SECRETS)
def test_secrets_are_taken_out_of_the_services_text(text: str, secret: str) -> None:
    error = _error(400, "InvalidPropertyValue", text, {"PropertyName": "x", "PropertyValue": text, "Reason": text})
    for shown in (str(error), repr(error), repr(vars(error)), str(error.args)):
        assert secret not in shown


def test_redaction_leaves_the_rest_alone() -> None:
    text = "Pool p-1 in https://acc.batch.azure.com/pools/p-1 has 3 nodes; signature mismatch, sigma=3"
    assert redact(text) == text


@pytest.mark.parametrize("name", ["password", "userAccounts[0].password", "accountKey", "SasKey", "sshPrivateKey"])
def test_the_echo_of_a_secret_property_is_dropped(name: str) -> None:
    error = _error(400, "InvalidPropertyValue", values={"PropertyName": name, "PropertyValue": "hunter2"})
    assert "hunter2" not in str(error)
    assert name in str(error)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7.0),
        (" 0 ", 0.0),
        ("Thu, 22 Jan 2026 20:18:47 GMT", 30.0),
        ("Thu, 22 Jan 2026 20:00:00 GMT", 0.0),
        ("-5", None),
        ("soon", None),
        ("", None),
        (None, None),
        ("9" * 400, 300.0),
        ("Thu, 22 Jan 2026 21:18:17 GMT", 300.0),
    ],
)
def test_retry_after_in_seconds_or_as_a_date(text: str | None, seconds: float | None) -> None:
    assert parse_retry_after(text, NOW) == seconds


def _drawn_parents(drawing: str) -> dict[str, str]:
    """Parent by name, as the tree at the top of the module draws them."""
    parents: dict[str, str] = {}
    path: list[tuple[int, str]] = [(-1, "BatchError")]
    for line in drawing.splitlines():
        depth = line.find("── ")
        if depth >= 0:
            name = line[depth + 3 :].split()[0]
            while path[-1][0] >= depth:
                path.pop()
            parents[name] = path[-1][1]
            path.append((depth, name))
    return parents


def test_the_drawn_tree_is_the_tree() -> None:
    classes = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, BatchError)]
    real = {
        kind.__name__: next(base.__name__ for base in kind.__bases__ if issubclass(base, BatchError))
        for kind in classes
        if kind is not BatchError
    }
    assert _drawn_parents(inspect.getdoc(errors) or "") == real


@pytest.mark.parametrize(
    ("code", "gone"),
    [
        ("PoolNotFound", True),
        ("JobNotFound", True),
        ("JobScheduleNotFound", True),
        ("TaskNotFound", True),
        ("NodeNotFound", True),
        ("ResourceNotFound", False),
        ("FileNotFound", False),
        (None, False),
    ],
)
def test_only_a_404_that_names_what_is_missing_says_that_it_is_gone(code: str | None, gone: bool) -> None:
    assert errors.is_gone(NotFoundError("x", status=404, code=code)) is gone
