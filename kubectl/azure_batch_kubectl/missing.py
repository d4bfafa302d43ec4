"""Why a file cannot be read, and how output is kept for longer than its node.

The answer to a HEAD has no body, so it says neither code nor message: the reason is asked for with a GET of one byte.
tests/unit/kubectl/test_missing.py goes through all commands that read files.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from azure_batch_kubectl.failure import FailureError
from azure_batch_kubectl.reading import Source
from azure_batch_operator.batch import BatchError, TransientError
from azure_batch_operator.batch.errors import is_gone

KEEP = (
    "the task has not run, or its node no longer has its files; to keep output for longer than its node, set spec.logs.upload of "
    "the BatchJob or outputFiles of the task"
)
_GONE = frozenset({"TaskFilesUnavailable", "TaskFilesCleanedup"})
_NO_FILE = frozenset({"filenotfound", "pathnotfound"})
_OF_RANGE = "InvalidRange"
"""The answer for an empty file, which has no first byte."""


async def reason(file: Source, error: BatchError) -> BatchError | None:
    """What Azure Batch says of a file of which a HEAD failed; None if the file can be read now."""
    if error.code or error.status is None or isinstance(error, TransientError):
        return error
    try:
        async with file.part(0, 0):
            return None
    except BatchError as told:
        return None if told.code == _OF_RANGE else told


def is_no_file(error: BatchError) -> bool:
    """Whether Azure Batch says that there is no such file, or nothing that it could be in."""
    return is_gone(error) or is_gone(error, _NO_FILE)


def refusal(what: str, error: BatchError) -> FailureError:
    """The words for a file that is not available, with what to do."""
    text = f"{what} is not available: {' '.join(str(error).split())}"
    return FailureError(f"{text}: {KEEP}" if error.code in _GONE else text)


@contextmanager
def advised(what: str) -> Iterator[None]:
    """Says of files that are gone what to do.

    Raises:
        FailureError: Azure Batch no longer has the files of the task.
    """
    try:
        yield
    except BatchError as error:
        if error.code not in _GONE:
            raise
        raise refusal(what, error) from None
