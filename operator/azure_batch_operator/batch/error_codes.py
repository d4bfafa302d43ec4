"""The error class of each error code of Azure Batch.

Codes and their statuses are those of docs/azure-batch.md#error-codes. The class of a code that is not listed, because a
later version of the service added it, depends on the HTTP status. Exceptions to the class's `retryable` are listed here, too.
"""

from collections.abc import Mapping
from types import MappingProxyType

from azure_batch_operator.batch.errors import (
    AlreadyExistsError,
    AuthenticationError,
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

_CODES: dict[type[BatchError], str] = {
    InvalidRequestError: """
        MissingRequiredHeader UnsupportedHeader InvalidHeaderValue MissingRequiredQueryParameter
        UnsupportedQueryParameter InvalidQueryParameterValue OutOfRangeQueryParameterValue RequestUrlFailedToParse
        InvalidUri InvalidHttpVerb MultipleConditionHeadersNotSupported UnsupportedRequestVersion InvalidRequestBody
        MissingRequiredProperty UnsupportedProperty InvalidPropertyValue OutOfRangeInput InvalidInput EmptyMetadataKey
        InvalidMetadata MetadataTooLarge InvalidConstraintValue UnsupportedConstraint OutOfRangePriority
        InvalidRestAPIForAccountSetting InvalidAutoScalingSettings AutoScalingFormulaSyntaxError
        AutoScalingFormulaTooLong AutoScaleFormulaTooLong OSVersionNotFound OSVersionDisabled OSVersionExpired
        PoolVersionEqualsUpgradeVersion PoolNotEligibleForOSVersionUpgrade TaskDependenciesNotSpecifiedOnJob
        TaskDependencyListTooLong TaskDependencyRangesTooLong UnsupportedHttpVerb MissingContentLengthHeader
        InvalidRange
    """,
    RetiredError: "CertificateRetired",
    AuthenticationError: "InvalidAuthenticationInfo AuthenticationFailed",
    ForbiddenError: "InsufficientAccountPermissions AccountIsDisabled IOError",
    NotFoundError: """
        ResourceNotFound PoolNotFound NodeNotFound JobScheduleNotFound JobNotFound TaskNotFound FileNotFound
        NodeUserNotFound CertificateNotFound JobPreparationTaskNotRunOnNode JobReleaseTaskNotRunOnNode
        NodeAgentSKUNotFound ApplicationNotFound PathNotFound
    """,
    AlreadyExistsError: """
        PoolExists NodeUserExists JobExists JobScheduleWithSameIdExists JobScheduleExists JobWithSameIdExists TaskExists
        CertificateExists ResourceAlreadyExists
    """,
    BeingDeletedError: "PoolBeingDeleted JobBeingDeleted JobScheduleBeingDeleted CertificateBeingDeleted",
    BeingResizedError: "PoolBeingResized",
    CompletedError: """
        JobCompleted JobBeingTerminated JobScheduleCompleted JobScheduleBeingTerminated TaskCompleted TaskSucceeded
    """,
    QuotaError: "PoolQuotaReached ActiveJobAndScheduleQuotaReached",
    ConflictError: """
        PoolBeingCreated UpgradePoolVersionConflict OperationNotValidOnPool InvalidApplicationPackageReferences
        NodeBeingCreated NodeBeingStarted NodeBeingReimaged NodeBeingRebooted NodeStateUnusable
        NodeAlreadyInTargetSchedulingState OperationNotValidOnNode NodeCountsMismatch InvalidCertificateReferences
        JobNotActive JobDisabled JobPreparationTaskNotSpecified JobReleaseTaskNotSpecified
        JobPreparationTaskOrReleaseTaskNotSpecified JobScheduleDisabled TaskNotCompleted TaskFilesUnavailable
        TaskFilesCleanedup TaskIdSameAsJobPreparationTask TaskIdSameAsJobReleaseTask CertificateStateActive
        CertificateStateDeleteFailed OperationInvalidForCurrentState ResourceTypeMismatch
    """,
    TooLargeError: "RequestBodyTooLarge RequestEntityTooLarge",
    ThrottledError: "TooManyRequests",
    ServerError: "InternalError",
    DeadlineError: "OperationTimedOut",
    ServerBusyError: "ServerBusy TooManyEnableAutoScaleRequests AutoScaleTooManyRequestsToEnable",
}

CLASS_BY_CODE: Mapping[str, type[BatchError]] = MappingProxyType(
    {code.lower(): kind for kind, codes in _CODES.items() for code in codes.split()}
)
"""Error class by lower-cased code. Without `ConditionNotMet`: its class depends on the status (304 or 412)."""

# Transient conflicts.
_PASSING = frozenset(
    {"poolbeingcreated", "nodebeingcreated", "nodebeingstarted", "nodebeingreimaged", "nodebeingrebooted"}
)

_CLASS_BY_STATUS: Mapping[int, type[BatchError]] = MappingProxyType(
    {
        304: NotModifiedError,
        401: AuthenticationError,
        403: ForbiddenError,
        404: NotFoundError,
        408: DeadlineError,
        409: ConflictError,
        412: PreconditionFailedError,
        413: TooLargeError,
        429: ThrottledError,
        503: ServerBusyError,
        504: DeadlineError,
    }
)


def error_class(code: str | None, status: int | None) -> type[BatchError]:
    """The class for a code and a status; either may be missing (an item of a task collection has no status)."""
    known = CLASS_BY_CODE.get((code or "").lower())
    if known is not None:
        return known
    if status is None:
        return BatchError
    if status in _CLASS_BY_STATUS:
        return _CLASS_BY_STATUS[status]
    if status >= 500:
        return ServerError
    return InvalidRequestError if status >= 400 else MalformedResponseError


def passes_by_itself(code: str | None) -> bool:
    """Whether a conflict is transient."""
    return (code or "").lower() in _PASSING
