"""Differences from the undisturbed end that may be, each with the reason."""

from __future__ import annotations

import re

_MAY_BE: tuple[tuple[str, str, str], ...] = (
    (
        "job-life",
        r"/(?:requeues|requeueCount|previousState|conditions/Suspended|metadata/azurebatch\.io/holds)(?::| is)",
        "a short suspension may pass unheard, or come before a start",
    ),
    (
        "operation",
        r"^/BatchOperation default/reboot/status/results/\d+/message is there: Azure Batch did not respond to the call, but ",
        "an operator that was killed before it had the answer reads the outcome, and says so",
    ),
    (
        "rotation",
        r"^/schedule nightly/metadata/[^ ]*/value: 'jobSpecification=[0-9a-f]{16}', not 'jobSpecification=[0-9a-f]{16}'$",
        "the note is of the Secret's version, which counts all writes to the API server; the value itself is compared as well",
    ),
)
"""Scenario, pattern of the difference, reason."""


def expected(scenario: str, difference: str) -> bool:
    """Whether a difference may be."""
    return any(name in {"", scenario} and re.search(pattern, difference) for name, pattern, _ in _MAY_BE)
