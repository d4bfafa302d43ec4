"""What a process that plays many stages does first."""

from __future__ import annotations

import gc
import logging

_COLLECT_AFTER = (20_000, 20, 10)
"""Objects and collections after which the garbage collector runs: a stage leaves few cycles, and each search looks at all of it."""


def prepare() -> None:
    """Leave out of each garbage collection what is imported by now, and the log of a library that nobody reads."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)
    # An authority that fails is one of the faults, and azure-identity logs each attempt.
    logging.getLogger("azure.identity").setLevel(logging.CRITICAL)
