"""The service's errors: one exception, one table of codes with status and message (docs/azure-batch.md#error-codes).

Two shapes exist on the wire. A refused request has `BatchError.body`; an error that is part of a resource
(``resizeErrors``, ``failureInfo`` …) is made by `resource_error`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from azure_batch_emulator.wire.ticks import format_timestamp_full

_MESSAGES: dict[int, dict[str, str]] = {
    400: {
        "AutoScalingFormulaSyntaxError": "The specified autoscaling formula has a syntax error.",
        "AutoScalingFormulaTooLong": "The specified autoscaling formula is too long.",
        "CertificateRetired": "The 'Azure Batch Certificates' feature was retired on 02/29/2024.",
        "EmptyMetadataKey": "One of the metadata items has an empty name.",
        "InvalidAuthenticationInfo": "The authentication information was not provided in the correct format. "
        "Verify the value of Authorization header.",
        "InvalidAutoScalingSettings": "The autoscale settings of the request contradict each other.",
        "InvalidHeaderValue": "The value for one of the HTTP headers is not in the correct format.",
        "InvalidHttpVerb": "The HTTP verb specified is not recognized by the server.",
        "InvalidInput": "One of the request inputs is not valid.",
        "InvalidPropertyValue": "The value provided for one of the properties in the request body is invalid.",
        "InvalidQueryParameterValue": "Value for one of the query parameters specified in the request URI is invalid.",
        "InvalidRequestBody": "The specified Request Body is not syntactically valid.",
        "InvalidUri": "The requested URI does not represent any resource on the server.",
        "MetadataTooLarge": "The size of the specified metadata exceeds the maximum permitted size.",
        "MissingRequiredProperty": "A required property was not specified in the request body.",
        "MissingRequiredQueryParameter": "A query parameter that's mandatory for this request is not specified.",
        "MultipleConditionHeadersNotSupported": "Multiple condition headers are not supported.",
        "OutOfRangeQueryParameterValue": "A query parameter specified in the request URI is out of range.",
        "RequestUrlFailedToParse": "The URL in the request could not be parsed.",
        "TaskDependencyListTooLong": "The list of task dependencies is too long.",
        "UnsupportedProperty": "One of the properties specified in the request body is not supported.",
        "UnsupportedQueryParameter": "One of the query parameters specified in the request URI is not supported.",
        "UnsupportedRequestVersion": "The specified api version string is not supported.",
    },
    401: {"AuthenticationFailed": "Server failed to authenticate the request. The Authorization header is missing."},
    403: {
        "AccountIsDisabled": "The specified account is disabled.",
        "AuthenticationFailed": "Server failed to authenticate the request. Make sure the value of Authorization "
        "header is formed correctly including the signature.",
        "InsufficientAccountPermissions": "The account being accessed does not have sufficient permissions to execute "
        "this operation.",
    },
    404: {
        "ApplicationNotFound": "The specified application does not exist.",
        "CertificateNotFound": "The specified certificate does not exist.",
        "FileNotFound": "The specified file does not exist.",
        "JobNotFound": "The specified job does not exist.",
        "JobScheduleNotFound": "The specified job schedule does not exist.",
        "NodeAgentSKUNotFound": "The specified Node Agent SKU does not exist.",
        "NodeNotFound": "The specified node does not exist.",
        "NodeUserNotFound": "The specified node user does not exist.",
        "PoolNotFound": "The specified pool does not exist.",
        "ResourceNotFound": "The specified resource does not exist.",
        "TaskNotFound": "The specified task does not exist.",
    },
    405: {"UnsupportedHttpVerb": "The resource doesn't support the specified HTTP verb."},
    409: {
        "ActiveJobAndScheduleQuotaReached": "Active job and job schedule quota for the account has been reached.",
        "InvalidApplicationPackageReferences": "One or more of the specified application package references are not "
        "valid.",
        "JobBeingDeleted": "The specified job has been marked for deletion and is being garbage collected.",
        "JobBeingTerminated": "The specified job is being terminated.",
        "JobCompleted": "The specified job is already in a completed state.",
        "JobDisabled": "The specified job is already in a disabled state.",
        "JobExists": "The specified job already exists.",
        "JobNotActive": "The specified job is not in an active state.",
        "JobPreparationTaskOrReleaseTaskNotSpecified": "The specified job does not have either job preparation task "
        "or job release task.",
        "JobScheduleBeingDeleted": "The specified job schedule has been marked for deletion.",
        "JobScheduleBeingTerminated": "The specified job schedule is being terminated.",
        "JobScheduleCompleted": "The specified job schedule is already in completed state.",
        "JobScheduleDisabled": "The specified job schedule is already in a disabled state.",
        "JobScheduleExists": "The specified job schedule already exists.",
        "JobScheduleWithSameIdExists": "A job schedule with the same id already exists.",
        "JobWithSameIdExists": "A job with the same id already exists.",
        "NodeAlreadyInTargetSchedulingState": "The specified node is already in the target scheduling state.",
        "NodeBeingCreated": "The specified node is being created.",
        "NodeBeingRebooted": "The specified node is being rebooted.",
        "NodeBeingReimaged": "The specified node is being reimaged.",
        "NodeBeingStarted": "The specified node is being started.",
        "NodeStateUnusable": "The specified node is not in a usable state.",
        "NodeUserExists": "The specified node user already exists.",
        "OperationInvalidForCurrentState": "The operation is not valid for the current state of the resource.",
        "OperationNotValidOnNode": "The specified operation is not valid on the node.",
        "OperationNotValidOnPool": "The specified operation is not valid on the pool.",
        "PoolBeingDeleted": "The specified pool has been marked for deletion and is being reclaimed.",
        "PoolBeingResized": "The specified pool is being resized.",
        "PoolExists": "The specified pool already exists.",
        "PoolQuotaReached": "Pool quota for the account has been reached.",
        "TaskCompleted": "The specified task is already in a completed state.",
        "TaskExists": "The specified task already exists.",
        "TaskFilesCleanedup": "The files of the specified task have been cleaned up as their retention time is over.",
        "TaskFilesUnavailable": "The files of the specified task are unavailable as its node is gone or it never ran.",
        "TaskIdSameAsJobPreparationTask": "The task id is the same as the id of the job preparation task.",
        "TaskIdSameAsJobReleaseTask": "The task id is the same as the id of the job release task.",
        "TaskNotCompleted": "The specified task is not in a completed state.",
        "TaskSucceeded": "The specified task has completed successfully.",
    },
    411: {"MissingContentLengthHeader": "The Content-Length header was not specified."},
    412: {"ConditionNotMet": "The condition specified using HTTP conditional header(s) is not met."},
    413: {"RequestBodyTooLarge": "The request body is too large and exceeds the maximum permissible limit."},
    416: {"InvalidRange": "The range specified is invalid for the current size of the resource."},
    429: {"TooManyRequests": "Request failed as server encountered too many requests. Please try again."},
    500: {
        "InternalError": "Server encountered an internal error. Please try again after some time.",
        "OperationTimedOut": "Operation could not be completed within the specified time.",
    },
    503: {
        "ServerBusy": "The server is currently unable to receive requests. Please retry your request.",
        "TooManyEnableAutoScaleRequests": "Autoscale can be enabled for a pool at most once in 30 seconds.",
    },
}
STATUS_OF = {code: status for status, codes in _MESSAGES.items() for code in codes}
STATUS_OF["AuthenticationFailed"] = 403


class BatchError(Exception):
    """A request that is refused. ``values`` are pairs for the client; nothing secret may stand there."""

    def __init__(
        self,
        code: str,
        values: Mapping[str, Any] | None = None,
        *,
        status: int | None = None,
        message: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.code = code
        self.status = status if status is not None else STATUS_OF.get(code, 400)
        self.message = message or _MESSAGES.get(self.status, {}).get(code) or "The request was refused."
        self.values = dict(values or {})
        self.headers = dict(headers or {})
        super().__init__(f"{self.status} {code}")

    def body(self, base_url: str, request_id: str, now: int) -> dict[str, Any]:
        """The body of the response, ``values`` left out when there are none (docs/azure-batch.md#error-bodies)."""
        metadata = f"{base_url}/$metadata#Microsoft.Azure.Batch.Protocol.Entities.Container.errors/@Element"
        return {"odata.metadata": metadata} | self.content(request_id, now)

    def content(self, request_id: str, now: int) -> dict[str, Any]:
        """Code, message and values without annotation: the error of one item of a task collection."""
        text = f"{self.message}\nRequestId:{request_id}\nTime:{format_timestamp_full(now)}"
        content: dict[str, Any] = {"code": self.code, "message": {"lang": "en-US", "value": text}}
        if self.values:
            content["values"] = [{"key": key, "value": _text(value)} for key, value in self.values.items()]
        return content


def invalid_property(name: str, value: Any, reason: str) -> BatchError:
    """400 InvalidPropertyValue for one property of the body."""
    return BatchError("InvalidPropertyValue", {"PropertyName": name, "PropertyValue": _shown(value), "Reason": reason})


def missing_property(name: str) -> BatchError:
    """400 MissingRequiredProperty."""
    return BatchError("MissingRequiredProperty", {"PropertyName": name})


def invalid_query(name: str, value: Any, reason: str) -> BatchError:
    """400 InvalidQueryParameterValue."""
    values = {"QueryParameterName": name, "QueryParameterValue": _shown(value), "Reason": reason}
    return BatchError("InvalidQueryParameterValue", values)


def invalid_body(reason: str) -> BatchError:
    """400 InvalidRequestBody."""
    return BatchError("InvalidRequestBody", {"Reason": reason})


def resource_error(
    code: str, message: str, values: Sequence[tuple[str, str]] = (), *, key: str = "values", category: str | None = None
) -> dict[str, Any]:
    """An error inside a resource: a plain message and ``{name, value}`` pairs under ``values`` or ``details``."""
    error: dict[str, Any] = {"category": category} if category else {}
    error |= {"code": code, "message": message}
    if values:
        error[key] = [{"name": name, "value": value} for name, value in values]
    return error


def _shown(value: Any) -> str:
    return _text(value)[:256]


def _text(value: Any) -> str:
    """Text as it is, anything else as JSON has it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
