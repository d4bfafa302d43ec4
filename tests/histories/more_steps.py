"""What is in a share of the histories only. Each part has a chance of its own, so that other seeds give what they gave."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from histories.history import Step

Body = dict[str, Any]
LENGTH = 3600.0
"""Virtual seconds within which steps are taken."""
_NAMES = ("op1", "op2", "op3", "op4")
_ACCOUNT = {"name": "main", "namespace": "default"}
_IMAGE = {"publisher": "canonical", "offer": "0001-com-ubuntu-server-jammy", "sku": "22_04-lts"}
_CHOICES: tuple[Body, ...] = (
    {"selector": "all"}, {"selector": "all"}, {"states": ["idle", "running"]}, {"selector": "lowPriority"},
    {"selector": "all", "most": 1}, {"names": ["tvm-nobody"]},
)  # fmt: skip
_CALLS = ("Nodes_RebootNode", "Nodes_DisableNodeScheduling", "Nodes_EnableNodeScheduling", "Nodes_ReimageNode", "Pools_RemoveNodes",
          "Nodes_CreateNodeUser", "Tasks_TerminateTask", "Tasks_ReactivateTask", "Jobs_TerminateJob", "Nodes_.*",
          "Nodes_GetNode", "Tasks_GetTask", "JobSchedules_TerminateJobSchedule")  # fmt: skip
_EFFECTS: tuple[Body, ...] = (
    {"lostAnswer": True}, {"lostAnswer": True}, {"reset": True, "landAfter": 20}, {"reset": True, "landAfter": 50},
    {"status": 503}, {"status": 429, "retryAfter": 30}, {"hang": True}, {"status": 500},
    {"status": 403, "code": "InsufficientAccountPermissions"}, {"status": 412, "code": "ConditionNotMet"},
)  # fmt: skip


class Operators:
    """Users who create BatchOperations, and a world in which their calls go wrong."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance

    def nodes(self) -> Body:
        """A verb about nodes."""
        chance = self.chance
        verb = chance.choice(
            ("rebootNode", "rebootNode", "reimageNode", "removeNodes", "disableNodeScheduling", "enableNodeScheduling",
             "enableNodeScheduling", "createNodeUser", "deleteNodeUser", "getRemoteLoginSettings", "deallocateNode", "startNode")
        )  # fmt: skip
        given: Body = {"nodes": chance.choice(_CHOICES)}
        options = {
            "rebootNode": "nodeRebootOption", "reimageNode": "nodeReimageOption", "removeNodes": "nodeDeallocationOption",
            "disableNodeScheduling": "nodeDisableSchedulingOption",
        }  # fmt: skip
        if verb in options and chance.random() < 0.3:
            given[options[verb]] = chance.choice(("requeue", "terminate", "taskcompletion"))
        if verb in {"createNodeUser", "deleteNodeUser"}:
            given["name"] = "ann"
        if verb == "createNodeUser":
            given["passwordSecretRef"] = {"name": "env", "key": "value"}
        return {verb: given, **self._pool()}

    def _pool(self) -> Body:
        if self.chance.random() < 0.25:
            return {"poolId": self.chance.choice(("ops", "ops", "cpu", "gpu")), "accountRef": _ACCOUNT}
        return {"poolRef": {"name": self.chance.choice(("ops",) * 6 + ("cpu", "cpu", "gpu"))}}

    def pool(self) -> Body:
        """A verb about a pool."""
        verb: Body = self.chance.choice(({"stopResize": {}}, {"evaluateAutoScale": {}}))
        return verb | self._pool()

    def job(self) -> Body:
        """A verb about a job or its tasks."""
        chance = self.chance
        tasks = chance.choice(
            (
                {"failed": True},
                {"states": ["active", "running"]},
                {"states": ["completed"]},
                {"ids": ["i0", "i3", "t1"]},
            )
        )
        verb: Body = chance.choice(
            ({"terminateJob": {}}, {"reactivateTasks": {"tasks": tasks}}, {"reactivateTasks": {"tasks": tasks}},
             {"terminateTasks": {"tasks": tasks}}, {"terminateTasks": {"tasks": tasks}}, {"jobPreparationStatus": {}},
             {"readFile": {"path": "stdout.txt", "into": {"name": f"file-{chance.randint(1, 3)}"}}, "taskId": "i0"})
        )  # fmt: skip
        if chance.random() < 0.2:
            return verb | {"jobId": chance.choice(("foreign", "a")), "accountRef": _ACCOUNT}
        return verb | {"jobRef": {"name": chance.choice(("work",) * 5 + ("a", "b", "c"))}}

    def their_pool(self) -> tuple[str, Body]:
        """The pool that most of them are about, again or with another size."""
        chance = self.chance
        spec = {
            "accountRef": _ACCOUNT, "vmSize": "Standard_D4ads_v6",
            "virtualMachineConfiguration": {"imageReference": _IMAGE, "nodeAgentSKUId": "batch.node.ubuntu 22.04"},
            "targetDedicatedNodes": chance.choice((1, 3, 5)), "targetLowPriorityNodes": chance.choice((0, 1)),
            "taskSlotsPerNode": 2,
        }  # fmt: skip
        return "apply", {
            "object": {"kind": "BatchPool", "metadata": {"name": "ops", "namespace": "default"}, "spec": spec}
        }

    def their_job(self) -> tuple[str, Body]:
        """The job that most of them are about, with tasks of all kinds."""
        commands = [f"/bin/sh -c '{self.chance.choice(('sleep 20', 'sleep 900', 'exit 3'))}'" for _ in range(6)]
        tasks = [{"id": f"i{number}", "commandLine": command} for number, command in enumerate(commands)]
        spec: Body = {"poolRef": {"name": "ops"}, "tasks": tasks, "failurePolicy": {"action": "Continue"}}
        return "apply", {
            "object": {"kind": "BatchJob", "metadata": {"name": "work", "namespace": "default"}, "spec": spec}
        }

    def end_theirs(self) -> tuple[str, Body]:
        """The end of what they are about."""
        kind, name = self.chance.choice((("BatchJob", "work"), ("BatchJob", "work"), ("BatchPool", "ops")))
        return "delete", {"kind": kind, "name": name, "namespace": "default"}

    def schedule(self) -> Body:
        """A verb about a schedule."""
        verb: Body = self.chance.choice(({"terminateSchedule": {}}, {"scheduleStatus": {}}))
        return verb | {"scheduleRef": {"name": self.chance.choice(("native", "cron"))}}

    def create(self) -> tuple[str, Body]:
        """An operation, often under a name that was used before."""
        chance = self.chance
        kind = chance.choices((self.nodes, self.job, self.pool, self.schedule), (6, 5, 1, 1))[0]
        spec = kind()
        options: Body = {
            "maxConcurrent": chance.choice((1, 2)), "maxFailures": chance.choice((1, 5)), "pausePolicy": "Stop",
            "ttlSecondsAfterFinished": chance.choice((0, 300)),
        }  # fmt: skip
        spec |= {name: value for name, value in options.items() if chance.random() < 0.25}
        metadata = {
            "name": chance.choice(_NAMES),
            "namespace": chance.choice(("default", "default", "default", "team")),
        }
        return "apply", {"object": {"kind": "BatchOperation", "metadata": metadata, "spec": spec}}

    def delete(self) -> tuple[str, Body]:
        """An operation, perhaps during it."""
        return "delete", {"kind": "BatchOperation", "name": self.chance.choice(_NAMES), "namespace": "default"}

    def annotate(self) -> tuple[str, Body]:
        """What ends, holds or hurries an operation."""
        chance = self.chance
        name, value = chance.choice(
            (("terminate", "1"), ("terminate", "1"), ("reconcile-policy", "skip"), ("reconcile-policy", None),
             ("reconcile-now", "1"))
        )  # fmt: skip
        patch = {"metadata": {"annotations": {f"azurebatch.io/{name}": value}}}
        return "patch", {
            "kind": "BatchOperation", "name": chance.choice(_NAMES), "namespace": "default", "patch": patch,
        }  # fmt: skip

    def fault(self) -> tuple[str, Body]:
        """Calls of operations fail."""
        chance = self.chance
        order = {
            "operation": chance.choice(_CALLS),
            "effect": chance.choice(_EFFECTS),
            "count": chance.choice((1, 2, 5, None)),
        }
        return "fault", order | {"seconds": chance.choice((20, 120, 600))}

    def late(self) -> tuple[str, Body]:
        """A call lands late."""
        return "hold", {
            "operation": self.chance.choice(_CALLS),
            "count": 1,
            "seconds": self.chance.choice((5.0, 20.0, 50.0)),
        }

    def api(self) -> tuple[str, Body]:
        """The API server refuses statuses, or is silent about operations."""
        chance = self.chance
        if chance.random() < 0.4:
            return "watch-hold", {"seconds": chance.choice((10, 120)), "plural": "batchoperations"}
        effect: Body = chance.choice(
            ({"lost": "after"}, {"lost": "before"}, {"status": 409}, {"status": 500}, {"hang": True})
        )
        order = {"verb": "patch", "resource": "batchoperations/status", "count": chance.choice((1, 3))}
        return "api-fault", {"seconds": 60, **order, **effect}

    def kill(self) -> tuple[str, Body]:
        """The operator is killed soon."""
        return "kill-at-effect", {"number": self.chance.randint(1, 6), "after": self.chance.random() < 0.6}


def with_operations(seed: int, steps: list[Step]) -> list[Step]:
    """In one of four histories users create BatchOperations."""
    chance = random.Random(f"operations {seed}")  # noqa: S311
    if chance.random() >= 0.25:
        return steps
    of = Operators(chance)
    table: dict[Callable[[], tuple[str, Body]], float] = {
        of.create: 12, of.delete: 1, of.annotate: 2, of.their_job: 1.5, of.their_pool: 0.7, of.end_theirs: 0.7,
        of.fault: 4, of.late: 1.5, of.api: 2, of.kill: 2,
    }  # fmt: skip
    at = 200.0
    made = [Step(1.0, *of.their_pool()), Step(2.0, *of.their_job())]
    for _ in range(chance.randint(12, 40)):
        # Not before there are nodes; what happens to an operation happens mostly within a minute.
        at += chance.choice((0.2, 2.0, 20.0, 100.0)) * chance.random() * 2
        action = chance.choices(list(table), list(table.values()))[0]
        made.append(Step(round(min(at, LENGTH), 3), *action()))
        at = chance.uniform(200.0, LENGTH) if chance.random() < 0.2 else at
    return steps + made


def with_namespace_policies(seed: int, steps: list[Step]) -> list[Step]:
    """In one of six histories namespaces are annotated with a policy, for a while or until the end."""
    chance = random.Random(f"namespace policies {seed}")  # noqa: S311
    if chance.random() >= 1 / 6:
        return steps

    def policy(value: str | None) -> Body:
        patch = {"metadata": {"annotations": {"azurebatch.io/reconcile-policy": value}}}
        return {"kind": "Namespace", "name": chance.choice(("team", "default")), "namespace": "", "patch": patch}

    values = ("skip", "skip", "detach-on-delete", "manage", None, None)
    times = [round(chance.uniform(1.0, LENGTH), 3) for _ in range(chance.randint(1, 6))]
    return steps + [Step(at, "patch", policy(chance.choice(values))) for at in times]


def with_identity(seed: int, steps: list[Step]) -> list[Step]:
    """Some histories sign in with tokens, and in some the operator's clock is wrong.

    Chance of its own decides it, so that the other histories stay what they were before there was this.
    """
    chance = random.Random(f"identity {seed}")  # noqa: S311

    def some(made: Callable[[], tuple[str, Body]], most: int) -> list[Step]:
        times = [round(chance.uniform(1.0, LENGTH), 3) for _ in range(chance.randint(1, most))]
        return [Step(at, do, args) for at in times for do, args in [made()]]

    def secret() -> str:
        return f"PLANTED-principal-{seed}-{chance.getrandbits(64):016x}"

    def sign_in() -> tuple[str, Body]:
        match chance.choice(("authority", "authority", "revoke-tokens", "role", "rotate-principal")):
            case "authority":
                how, seconds = chance.choice(("down", "silent")), chance.choice((60.0, 600.0, 1800.0))
                return "authority", {"how": how, "seconds": seconds}
            case "role":
                return "role", {"role": chance.choice(("none", "reader")), "seconds": chance.choice((30.0, 600.0))}
            case "rotate-principal":
                return "rotate-principal", {"secret": secret(), "seconds": chance.choice((0.0, 120.0, 900.0))}
            case _:
                return "revoke-tokens", {}

    def skew() -> tuple[str, Body]:
        return "clock-skew", {
            "by": chance.choice((-1200, -300, -30, 30, 300, 1200)),
            "seconds": chance.choice((60, 900)),
        }

    if chance.random() < 0.2:
        signed = {"secret": secret(), "lifetime": chance.choice((400, 900, 3600))}
        steps = [
            Step(each.at, "principal", {**signed, **each.args}) if each.do == "account" else each for each in steps
        ]
        steps += some(sign_in, 5)
    if chance.random() < 0.2:
        steps += some(skew, 3)
    return steps
