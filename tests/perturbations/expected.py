"""Differences from the undisturbed end that may be, each with the reason."""

from __future__ import annotations

import re

_MAY_BE: tuple[tuple[str, str, str], ...] = (
    (
        "job-life",
        r"/(?:requeues|requeueCount|previousState)(?::| is)",
        "a short suspension may pass unheard, or come before a start",
    ),
)
"""Scenario, pattern of the difference, reason."""


def expected(scenario: str, difference: str) -> bool:
    """Whether a difference may be."""
    return any(name in {"", scenario} and re.search(pattern, difference) for name, pattern, _ in _MAY_BE)
