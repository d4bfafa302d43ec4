"""How a command ends when it cannot do what it was asked."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """Exit codes; docs/kubectl.md lists them."""

    SUCCESS = 0
    ERROR = 1
    DIFFERENT = 1
    USAGE = 2
    FAILED = 3
    TIMEOUT = 4
    INTERRUPTED = 130


class FailureError(Exception):
    """One line for the user: what is wrong, with the value, then what to do."""

    def __init__(self, message: str, code: Exit = Exit.ERROR) -> None:
        super().__init__(message)
        self.code = code
