"""An asynchronous client of the Azure Batch data plane, api-version 2024-07-01.20.0. Independent of Kubernetes.

client                      entry point
└── groups/                 the operations as methods
    └── caller              build, send, read
        ├── requests        requests as values, from the table in `operations`
        ├── transport       HTTP; uses `auth` to sign, `limiter` to limit the rate, and `retry` to repeat
        ├── paging          lists as asynchronous iterators
        └── responses       parse status, headers and bytes to values or `errors`
"""

from azure_batch_operator.batch.auth import Credential, SharedKey
from azure_batch_operator.batch.caller import Listing
from azure_batch_operator.batch.client import BatchClient
from azure_batch_operator.batch.endpoints import HostPolicy
from azure_batch_operator.batch.errors import (
    NEVER_SENT,
    AlreadyExistsError,
    AuthenticationError,
    AuthenticationKind,
    BatchError,
    BeingDeletedError,
    BeingResizedError,
    CompletedError,
    ConflictError,
    ConnectionFailedError,
    ConnectionKind,
    DeadlineError,
    EndpointRefusedError,
    ForbiddenError,
    IncompleteListError,
    InvalidRequestError,
    MalformedResponseError,
    NotFoundError,
    NotModifiedError,
    NotSentError,
    PreconditionFailedError,
    QuotaError,
    RetiredError,
    ServerBusyError,
    ServerError,
    ThrottledError,
    TooLargeError,
    TransientError,
    UsageError,
    is_gone,
    unanswered,
)
from azure_batch_operator.batch.limiter import Limiter
from azure_batch_operator.batch.models.enums import TaskAddStatus
from azure_batch_operator.batch.operations import OPERATIONS, SERVICE_VERSION
from azure_batch_operator.batch.requests import Priority
from azure_batch_operator.batch.responses import FileProperties, JsonObject, Receipt, TaskAddResult
from azure_batch_operator.batch.retry import RetryPolicy
from azure_batch_operator.batch.transport import Call, FileStream

__all__ = [
    "NEVER_SENT",
    "OPERATIONS",
    "SERVICE_VERSION",
    "AlreadyExistsError",
    "AuthenticationError",
    "AuthenticationKind",
    "BatchClient",
    "BatchError",
    "BeingDeletedError",
    "BeingResizedError",
    "Call",
    "CompletedError",
    "ConflictError",
    "ConnectionFailedError",
    "ConnectionKind",
    "Credential",
    "DeadlineError",
    "EndpointRefusedError",
    "FileProperties",
    "FileStream",
    "ForbiddenError",
    "HostPolicy",
    "IncompleteListError",
    "InvalidRequestError",
    "JsonObject",
    "Limiter",
    "Listing",
    "MalformedResponseError",
    "NotFoundError",
    "NotModifiedError",
    "NotSentError",
    "PreconditionFailedError",
    "Priority",
    "QuotaError",
    "Receipt",
    "RetiredError",
    "RetryPolicy",
    "ServerBusyError",
    "ServerError",
    "SharedKey",
    "TaskAddResult",
    "TaskAddStatus",
    "ThrottledError",
    "TooLargeError",
    "TransientError",
    "UsageError",
    "is_gone",
    "unanswered",
]
