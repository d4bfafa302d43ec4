"""What BatchOperations have written down as attempted, and which effects were theirs (docs/batch-operations.md#exactly-once).

Targets are stored as `Attempted` before their calls are made. So an effect belongs to an operation only while its target is
stored so.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from histories.lives import Life
from histories.record import Effect

CALLS = {
    "rebootNode": "Nodes_RebootNode", "reimageNode": "Nodes_ReimageNode", "deallocateNode": "Nodes_DeallocateNode",
    "startNode": "Nodes_StartNode", "disableNodeScheduling": "Nodes_DisableNodeScheduling",
    "enableNodeScheduling": "Nodes_EnableNodeScheduling", "removeNodes": "Pools_RemoveNodes",
    "uploadNodeLogs": "Nodes_UploadNodeLogs", "updateNodeUser": "Nodes_ReplaceNodeUser", "deleteFile": "Tasks_DeleteTaskFile",
    "createNodeUser": "Nodes_CreateNodeUser", "deleteNodeUser": "Nodes_DeleteNodeUser", "stopResize": "Pools_StopPoolResize",
    "terminateJob": "Jobs_TerminateJob", "reactivateTasks": "Tasks_ReactivateTask", "terminateTasks": "Tasks_TerminateTask",
    "terminateSchedule": "JobSchedules_TerminateJobSchedule",
}  # fmt: skip
"""Verbs that change something, and the call of each."""
REPEATED = frozenset({"createNodeUser", "updateNodeUser", "deleteNodeUser", "deleteFile"})
"""Verbs whose call may be repeated, since a second delivery does no harm (docs/decisions/0032-operations.md)."""
COME_BACK = frozenset({"rebootNode", "reimageNode", "deallocateNode", "startNode"})
"""Verbs that fail also where the node does not come back."""
_OUTER = ("poolId", "jobId", "jobScheduleId")
_SOON = 1.0
"""Seconds by which the watch of a test may hear of an outcome before an effect that was noted by another process."""


@dataclass
class Attempt:
    """One target of an operation.

    Attributes:
        since: when it was stored as attempted.
        until: when its outcome was stored, or when the object was gone and a call could not be made any more.
        outcome, message: in the end; the outcome is `Attempted` if it never was known.
    """

    life: Life
    verb: str
    resource: str
    target: str
    since: float
    until: float = float("inf")
    outcome: str = "Attempted"
    message: str = ""

    @property
    def said_plainly(self) -> bool:
        """Whether the answer of the call has told it."""
        return self.outcome == "Succeeded" and not self.message

    @property
    def inner(self) -> str:
        """The file or user that it is about; empty if it is about the target itself."""
        inputs = self.life.last["spec"][self.verb]
        return str(inputs.get("path") or inputs.get("name") or "")


def verb_of(spec: Mapping[str, Any]) -> str:
    """The verb that changes something; empty if there is none."""
    return next((name for name in CALLS if spec.get(name) is not None), "")


def attempts(lives: Iterable[Life]) -> list[Attempt]:
    """All targets that were stored as attempted, of operations that change something."""
    found: list[Attempt] = []
    for life in lives:
        verb = verb_of(life.last["spec"]) if life.plural == "batchoperations" else ""
        if verb:
            found += _of(life, verb)
    return found


def _of(life: Life, verb: str) -> list[Attempt]:
    mine: dict[str, Attempt] = {}
    for version in life.versions:
        status = version.body.get("status") or {}
        for result in status.get("results") or ():
            known = mine.get(result["target"])
            if known is None and result["outcome"] == "Attempted":
                known = Attempt(life, verb, str(status.get("id")).lower(), result["target"], version.time)
                mine[result["target"]] = known
            if known is not None and known.outcome == "Attempted" and result["outcome"] != "Attempted":
                known.until, known.outcome = version.time + _SOON, result["outcome"]
                known.message = result.get("message", "")
    if life.gone is not None:
        for each in mine.values():
            each.until = min(each.until, life.heard(life.gone))
    return list(mine.values())


def targets_of(effect: Effect) -> list[str]:
    """Ids of what a call is about: nodes that it removes, else the last one of its path."""
    if effect.operation == "Pools_RemoveNodes":
        return [str(each) for each in effect.body["nodeList"]]
    parameters = effect.parameters
    inner = [parameters[name] for name in ("taskId", "nodeId", *_OUTER) if name in parameters]
    return inner[:1]


def inner_of(effect: Effect) -> str:
    """The file or user that a call is about; empty if it is about the target itself."""
    if effect.operation == "Nodes_CreateNodeUser":
        return str(effect.body["name"])
    return effect.parameters.get("filePath") or effect.parameters.get("userName") or ""


class Operated:
    """Which effects were those of operations; each attempt has one at most.

    Attributes:
        of: the attempt by effect and target.
        again: effects whose target was attempted, but has had its effect.
    """

    def __init__(self, effects: Iterable[Effect], tried: Iterable[Attempt]) -> None:
        self.of: dict[tuple[int, str], Attempt] = {}
        self.again: list[tuple[Effect, Attempt]] = []
        by_call: dict[tuple[str, str, str], list[Attempt]] = defaultdict(list)
        for attempt in tried:
            by_call[CALLS[attempt.verb], attempt.resource, attempt.target.lower()].append(attempt)
        # Unlike a defaultdict, a Counter does not take in an attempt that it is only asked about.
        used = Counter[int]()
        for effect in effects:
            outer = next((effect.parameters[name].lower() for name in _OUTER if name in effect.parameters), "")
            for target in targets_of(effect):
                open_ = [
                    each
                    for each in by_call.get((effect.operation, outer, target.lower()), ())
                    if each.since <= effect.time <= each.until and each.inner == inner_of(effect)
                ]
                if not open_:
                    continue
                # The one whose outcome says so, where several operations ask for the same at the same time.
                best = min(open_, key=lambda each: (used[id(each)] > 0, not each.said_plainly, _UNLIKELY[each.outcome]))
                if used[id(best)] and best.verb not in REPEATED:
                    self.again.append((effect, best))
                    continue
                used[id(best)] += 1
                self.of[id(effect), target] = best
        self.acted = set(used)

    def asking(self, effect: Effect) -> list[Attempt]:
        """The attempts that an effect belongs to; empty unless it belongs to operations in all of its targets."""
        found = [self.of.get((id(effect), target)) for target in targets_of(effect)]
        return [each for each in found if each is not None] if all(found) else []

    def acts(self, attempt: Attempt) -> bool:
        """Whether an attempt has had an effect."""
        return id(attempt) in self.acted


_UNLIKELY = {"Succeeded": 0, "Attempted": 1, "Unknown": 2, "Failed": 3, "Skipped": 4}
