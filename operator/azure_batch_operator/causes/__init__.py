"""Why the tasks of a job do not run: one judgment for `status.waitingFor` and for `kubectl azure-batch why`.

Both gather evidence in their own way, the operator from its polls and the plugin by calls of its own, and both ask `judge`. So they
use the same words, and neither names a cause that its evidence does not show (tests/quick/test_why.py runs both on each situation).
"""

from azure_batch_operator.causes.evidence import (
    AutoScale,
    Circle,
    Demand,
    Evidence,
    Failed,
    Lost,
    NodeFailure,
    PoolEvidence,
    ResizeError,
    Unfinished,
    Unmet,
    WayOut,
)
from azure_batch_operator.causes.rules import RULES, Cause, judge

__all__ = [
    "RULES",
    "AutoScale",
    "Cause",
    "Circle",
    "Demand",
    "Evidence",
    "Failed",
    "Lost",
    "NodeFailure",
    "PoolEvidence",
    "ResizeError",
    "Unfinished",
    "Unmet",
    "WayOut",
    "judge",
]
