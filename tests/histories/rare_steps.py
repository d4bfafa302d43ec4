"""More that is in a share of the histories only: verbs that read or write beside the life of an object, and explicit nulls.

As in `more_steps`, each part has a chance of its own, so that other seeds give what they gave.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

from histories.history import Step
from histories.more_steps import LENGTH, Operators

Body = dict[str, Any]
_ACCOUNT = {"name": "main", "namespace": "default"}
_NAMES = tuple(f"rare{number}" for number in range(1, 9))
_CALLS = ("Nodes_UploadNodeLogs", "Nodes_ReplaceNodeUser", "Nodes_CreateNodeUser", "Pools_ListPoolUsageMetrics",
          "Nodes_ListNodeExtensions", "Tasks_ListSubTasks", "Tasks_ListTaskFiles", "Tasks_DeleteTaskFile",
          "JobSchedules_TerminateJobSchedule", "Nodes_.*")  # fmt: skip
_EFFECTS: tuple[Body, ...] = (
    {"lostAnswer": True}, {"lostAnswer": True}, {"reset": True, "landAfter": 20}, {"reset": True, "landAfter": 50},
    {"status": 503}, {"status": 429, "retryAfter": 30}, {"hang": True}, {"status": 500},
)  # fmt: skip
_NULLS: Mapping[str, tuple[str, ...]] = {
    "BatchPool": ("targetLowPriorityNodes", "startTask", "deletionPolicy", "updateStrategy", "nodeRemediation", "metadata"),
    "BatchJob": ("priority", "suspend", "constraints", "failurePolicy", "backoff", "taskFactory", "tasksFrom", "tasks",
                 "activeDeadlineSeconds", "ttlSecondsAfterFinished", "metadata"),
    "BatchTask": ("dependsOnRefs", "environmentSettings", "constraints", "resourceFiles"),
    "BatchJobSchedule": ("suspend", "displayName", "metadata"),
    "BatchOperation": ("maxConcurrent", "maxFailures", "pausePolicy", "ttlSecondsAfterFinished"),
}  # fmt: skip
"""Members of a spec that may be null, by kind."""


class RareOperators:
    """Users who create BatchOperations that mostly read, and a world in which their calls go wrong."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.usual = Operators(chance)

    def nodes(self) -> Body:
        """A verb about nodes."""
        nodes: Body = {"nodes": self.chance.choice(({"selector": "all"}, {"selector": "all", "most": 1}))}
        logs = {**nodes, "containerUrl": "https://logs.example/here", "startTime": "2026-01-01T00:00:00Z"}
        verb: Body = self.chance.choice(
            ({"uploadNodeLogs": logs}, {"uploadNodeLogs": logs},
             {"createNodeUser": {**nodes, "name": "eve", "passwordSecretRef": {"name": "env", "key": "value"}}},
             {"updateNodeUser": {**nodes, "name": "eve", "passwordSecretRef": {"name": "env", "key": "value"}}},
             {"updateNodeUser": {**nodes, "name": "eve", "sshPublicKey": "ssh-ed25519 AAAA eve"}},
             {"listNodeExtensions": nodes})
        )  # fmt: skip
        return verb | {"poolRef": {"name": self.chance.choice(("ops", "ops", "ops", "cpu"))}}

    def files(self) -> Body:
        """A verb about one task and its files."""
        path = self.chance.choice(("stdout.txt", "stdout.txt", "no-such-file.txt"))
        verb: Body = self.chance.choice(
            ({"listFiles": {"recursive": True}}, {"deleteFile": {"path": path}}, {"deleteFile": {"path": path}},
             {"listSubtasks": {}})
        )  # fmt: skip
        task = {"taskId": self.chance.choice(("i0", "i3", "t1"))}
        if self.chance.random() < 0.2:
            return verb | task | {"jobId": self.chance.choice(("foreign", "a")), "accountRef": _ACCOUNT}
        return verb | task | {"jobRef": {"name": self.chance.choice(("work", "work", "work", "a"))}}

    def account(self) -> Body:
        """A verb about the account, or about a schedule by its ID."""
        verb: Body = self.chance.choice(
            ({"usageMetrics": {}}, {"scheduleStatus": {}, "scheduleId": "native"},
             {"terminateSchedule": {}, "scheduleId": self.chance.choice(("native", "cron", "nobody"))})
        )  # fmt: skip
        return verb | {"accountRef": _ACCOUNT}

    def create(self) -> tuple[str, Body]:
        """An operation, often under a name that was used before."""
        kind = self.chance.choices((self.nodes, self.files, self.account), (4, 4, 1))[0]
        namespace = "team" if self.chance.random() < 0.1 else "default"
        metadata = {"name": self.chance.choice(_NAMES), "namespace": namespace}
        return "apply", {"object": {"kind": "BatchOperation", "metadata": metadata, "spec": kind()}}

    def delete(self) -> tuple[str, Body]:
        """An operation, perhaps during it."""
        return "delete", {"kind": "BatchOperation", "name": self.chance.choice(_NAMES), "namespace": "default"}

    def fault(self) -> tuple[str, Body]:
        """Calls of operations fail."""
        order = {"operation": self.chance.choice(_CALLS), "effect": self.chance.choice(_EFFECTS)}
        return "fault", order | {"count": self.chance.choice((1, 2, None)), "seconds": self.chance.choice((20, 120))}


def with_rare_operations(seed: int, steps: list[Step]) -> list[Step]:
    """In one of six histories users create BatchOperations of the verbs that `with_operations` leaves out."""
    chance = random.Random(f"rare operations {seed}")  # noqa: S311
    if chance.random() >= 1 / 6:
        return steps
    of = RareOperators(chance)
    table: dict[Callable[[], tuple[str, Body]], float] = {
        of.create: 12, of.delete: 2, of.fault: 3, of.usual.kill: 2, of.usual.api: 1, of.usual.end_theirs: 0.5,
        of.usual.their_job: 1, of.usual.their_pool: 0.5,
    }  # fmt: skip
    made = [Step(1.0, *of.usual.their_pool()), Step(2.0, *of.usual.their_job())]
    for _ in range(chance.randint(10, 30)):
        action = chance.choices(list(table), list(table.values()))[0]
        made.append(Step(round(chance.uniform(200.0, LENGTH), 3), *action()))
    return steps + made


def with_nulls(seed: int, steps: list[Step]) -> list[Step]:
    """In one of six histories manifests say null where they mean nothing."""
    chance = random.Random(f"nulls {seed}")  # noqa: S311
    if chance.random() >= 1 / 6:
        return steps
    return [_with_null(chance, each) if each.do == "apply" else each for each in steps]


def _with_null(chance: random.Random, step: Step) -> Step:
    body = step.args["object"]
    names = _NULLS.get(body["kind"])
    if names is None:
        return step
    absent = {name: None for name in chance.sample(names, chance.randint(1, 3)) if name not in body["spec"]}
    return Step(step.at, step.do, {**step.args, "object": {**body, "spec": {**body["spec"], **absent}}})
