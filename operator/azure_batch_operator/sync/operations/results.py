"""What a response to a call of an operation means for its target: an outcome, a wait, or doubt.

One place says it for all verbs, so that no refusal is taken for success and no lost response for a refusal.
"""

from __future__ import annotations

from azure_batch_operator.api.operation import On
from azure_batch_operator.api.operation_status import MAX_VALUES
from azure_batch_operator.api.resource import Key
from azure_batch_operator.batch import (
    AuthenticationError,
    BatchError,
    BeingResizedError,
    EndpointRefusedError,
    NotFoundError,
    PreconditionFailedError,
    TransientError,
    is_gone,
    unanswered,
)
from azure_batch_operator.batch.caller import Listing
from azure_batch_operator.kube import files
from azure_batch_operator.kube.api import Busy, KubeApi, KubeError
from azure_batch_operator.reconcile.operation_order import FAILED, SKIPPED, SUCCEEDED, UNKNOWN, Request, Result
from azure_batch_operator.reconcile.operation_verbs import Doubt
from azure_batch_operator.sync.operations.runs import LOST, Lost

_MAX_ITEMS = 10_000
_INNER = frozenset({"filenotfound", "nodeusernotfound"})
"""Codes of a 404 about what is inside of a resource, lower case."""


def failure(request: Request, text: str, *, lost: bool, request_id: str | None = None) -> Result:
    """The outcome of a refusal that is final.

    A refusal of the repeated call says nothing about an earlier call without a response, unless the target was read in between.

    Args:
        lost: whether an earlier call had no response.
    """
    if lost and request.how.changes and request.how.doubt is not Doubt.READ:
        return Result(UNKNOWN, f"{LOST}: it may have been done, and its repetition was refused: {text}", request_id)
    return Result(FAILED, text, request_id)


def refused(request: Request, error: BatchError, *, lost: bool) -> Result | BatchError | Lost:
    """What an error means for a target: its outcome, a wait (the error itself), or doubt."""
    verb = request.how
    if error.code in verb.already:
        if lost and verb.only_in_doubt:
            # It may have been there before, as somebody else made it.
            text = f"{LOST}, and {error.code} does not show who made the change: it may differ from spec.{request.verb}"
            return Result(UNKNOWN, text, error.request_id)
        if lost:
            return Result(SUCCEEDED, f"{LOST}, but there is nothing left to do: {error.code}", error.request_id)
        return Result(FAILED if verb.only_in_doubt else SKIPPED, str(error), error.request_id)
    if unanswered(error):
        return Lost(error) if verb.changes else error
    if request.on is On.FILES and error.code == "FileNotFound":
        text = f"there is no file {request.inputs.get('path')!r}; listFiles shows the files that exist: {error}"
        return failure(request, text, lost=lost, request_id=error.request_id)
    if isinstance(error, PreconditionFailedError) and request.on is On.TASKS and not verb.any_version:
        # After a call without a response, that call may have changed the task, or somebody else: the task is read.
        text = f"the task has changed since it was read: {error}"
        return Lost(error) if lost else Result(SKIPPED, text, error.request_id)
    if isinstance(error, NotFoundError) and not (is_gone(error) or is_gone(error, _INNER)):
        # It does not name what is missing, so it may come from a proxy: what is gone is read before the next call.
        return error
    passing = TransientError | AuthenticationError | EndpointRefusedError | BeingResizedError | PreconditionFailedError
    if isinstance(error, passing):
        return error
    return failure(request, str(error), lost=lost, request_id=error.request_id)


async def listed(request: Request, listing: Listing) -> Result:
    """What a list shows, as far as a status has room for it."""
    values: dict[str, str] = {}
    number = 0
    async for item in listing:
        for name, text in request.how.values(item):
            number += 1
            if len(values) < MAX_VALUES:
                values[name] = text
        if number >= _MAX_ITEMS:
            break
    return Result(SUCCEEDED, values=tuple(values.items()), omitted=number - len(values))


async def kept(api: KubeApi | None, key: Key, uid: str, name: str, content: bytes) -> Result | BatchError:
    """The outcome of writing a file into a ConfigMap."""
    try:
        if api is not None:
            await files.keep(api, key, uid, name, content)
    except Busy as error:
        return BatchError(str(error), code="APIServerRefused", retry_after=error.retry_after)
    except KubeError as error:
        return Result(FAILED, f"ConfigMap {name!r} was not created: {error}")
    return Result(SUCCEEDED, values=(("configMap", name), ("bytes", str(len(content)))))
