"""Jobs whose tasks change while they run, in a share of the histories only.

As in `more_steps`, this has a chance of its own, so that other seeds give what they gave.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from histories.history import Step
from histories.more_steps import LENGTH

Body = dict[str, Any]
_ACCOUNT = {"name": "main", "namespace": "default"}
_IMAGE = {"publisher": "canonical", "offer": "0001-com-ubuntu-server-jammy", "sku": "22_04-lts"}
_CALLS = ("Tasks_DeleteTask", "Tasks_DeleteTask", "Tasks_CreateTaskCollection", "Tasks_CreateTaskCollection", "Jobs_UpdateJob",
          "Tasks_ListTasks", "Jobs_GetJobTaskCounts", "Jobs_GetJob", "Jobs_ListJobs")  # fmt: skip
_EFFECTS: tuple[Body, ...] = (
    {"lostAnswer": True}, {"lostAnswer": True}, {"reset": True, "landAfter": 20}, {"reset": True, "landAfter": 50},
    {"status": 503}, {"status": 429, "retryAfter": 30}, {"hang": True}, {"status": 500}, {"truncate": 0.5}, {"reset": True},
)  # fmt: skip
_NAMES = ("swap", "other-swap")


class Editors:
    """Users who correct tasks of jobs while these run, and a world in which the calls for that go wrong.

    The commands of a job are known by its name: each change is one of a few of them.
    """

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.serial = 0
        self.known: dict[str, Body] = {}

    def pool(self) -> tuple[str, Body]:
        """A pool for them."""
        spec = {
            "accountRef": _ACCOUNT, "vmSize": "Standard_D4ads_v6", "targetDedicatedNodes": self.chance.choice((1, 2, 3)),
            "virtualMachineConfiguration": {"imageReference": _IMAGE, "nodeAgentSKUId": "batch.node.ubuntu 22.04"},
            "taskSlotsPerNode": self.chance.choice((1, 2, 4)),
        }  # fmt: skip
        return "apply", {"object": self._object("BatchPool", "editors", spec)}

    def create(self) -> tuple[str, Body]:
        """A job, new or changed in everything."""
        chance = self.chance
        name = chance.choice(_NAMES)
        job: Body = {
            "source": chance.choice(("tasks", "tasks", "tasks", "factory", "list")),
            "commands": [self._command() for _ in range(chance.randint(1, 5))],
            "policies": {"taskUpdatePolicy": "Replace"} if chance.random() < 0.85 else {},
        }
        options: Body = {
            "taskPrunePolicy": "Delete", "failurePolicy": {"action": chance.choice(("Hold", "Continue"))},
            "onAllTasksComplete": "terminatejob",
        }  # fmt: skip
        job["policies"] |= {member: value for member, value in options.items() if chance.random() < 0.2}
        self.known[name] = job
        return self._applied(name)

    def change(self) -> tuple[str, Body]:
        """Another command for one task or several; sometimes one more task, one less, or the policy that replaces them."""
        chance = self.chance
        if not self.known:
            return self.create()
        name = chance.choice(sorted(self.known))
        commands = self.known[name]["commands"]
        for place in chance.sample(range(len(commands)), 1 if chance.random() < 0.7 else len(commands)):
            commands[place] = self._command()
        if chance.random() < 0.15:
            commands.append(self._command())
        if chance.random() < 0.1 and len(commands) > 1:
            commands.pop()
        if chance.random() < 0.1:
            self.known[name]["policies"]["taskUpdatePolicy"] = "Replace"
        if self.known[name]["source"] == "list" and chance.random() < 0.7:
            return "apply", {"object": self._list(name)}
        return self._applied(name)

    def look(self) -> tuple[str, Body]:
        """Have a job reconciled at once, with its list."""
        self.serial += 1
        patch = {"metadata": {"annotations": {"azurebatch.io/reconcile-now": str(self.serial)}}}
        name = self.chance.choice(sorted(self.known) or _NAMES)
        return "patch", {"kind": "BatchJob", "name": name, "namespace": "default", "patch": patch}

    def past(self) -> tuple[str, Body]:
        """A task is deleted or terminated outside the operator."""
        chance = self.chance
        path = f"/jobs/{chance.choice(_NAMES)}/tasks/{chance.choice(('w0', 'w1', 'w2'))}"
        order = {"method": "POST", "path": f"{path}/terminate"}
        return "azure", order if chance.random() < 0.3 else {"method": "DELETE", "path": path}

    def delete(self) -> tuple[str, Body]:
        """A job."""
        return "delete", {"kind": "BatchJob", "name": self.chance.choice(_NAMES), "namespace": "default"}

    def fault(self) -> tuple[str, Body]:
        """Calls for their tasks fail."""
        chance = self.chance
        order = {"operation": chance.choice(_CALLS), "effect": chance.choice(_EFFECTS)}
        return "fault", order | {"count": chance.choice((1, 2, None)), "seconds": chance.choice((20, 120))}

    def late(self) -> tuple[str, Body]:
        """A call lands late."""
        operation = self.chance.choice(_CALLS[:5])
        return "hold", {"operation": operation, "count": 1, "seconds": self.chance.choice((5.0, 20.0, 50.0))}

    def blind(self) -> tuple[str, Body]:
        """News of jobs are late, or counts are behind."""
        chance = self.chance
        if chance.random() < 0.3:
            return "lag", {"by": chance.choice((30.0, 90.0)), "seconds": 300}
        return "watch-hold", {"seconds": chance.choice((10, 60, 120)), "plural": "batchjobs"}

    def kill(self) -> tuple[str, Body]:
        """The operator is killed soon, or is down for a while."""
        chance = self.chance
        if chance.random() < 0.3:
            return "kill", {"seconds": chance.choice((5.0, 60.0, 300.0))}
        return "kill-at-effect", {"number": chance.randint(1, 6), "after": chance.random() < 0.6}

    def _command(self) -> str:
        self.serial += 1
        if self.chance.random() < 0.05:
            return f"/bin/sh -c 'exit 3; echo {self.serial}'"
        return f"/bin/sh -c 'sleep {self.chance.choice((5, 30, 120, 120, 400, 800))}; echo {self.serial}'"

    def _applied(self, name: str) -> tuple[str, Body]:
        job = self.known[name]
        commands = job["commands"]
        spec: Body = {"poolRef": {"name": "editors"}, **job["policies"]}
        match job["source"]:
            case "tasks":
                spec["tasks"] = [{"id": f"w{place}", "commandLine": command} for place, command in enumerate(commands)]
            case "factory":
                sweep = {"parameterSets": [{"values": list(commands)}]}
                spec["taskFactory"] = {"parametricSweep": sweep, "repeatTask": {"commandLine": "{0}"}, "idWidth": 2}
            case _:
                spec["tasksFrom"] = [{"configMapKeyRef": {"name": name, "key": "tasks.yaml"}}]
        return "apply", {"object": self._object("BatchJob", name, spec)}

    def _list(self, name: str) -> Body:
        commands = enumerate(self.known[name]["commands"])
        lines = "\n".join(f"- {{id: w{place}, commandLine: {command}}}" for place, command in commands)
        metadata = {"name": name, "namespace": "default"}
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"tasks.yaml": lines}}

    def list_of(self, applied: tuple[str, Body]) -> list[tuple[str, Body]]:
        """The list that a job takes its tasks from, before the job itself; the job alone if it has none."""
        body = applied[1].get("object") or {}
        takes = body.get("kind") == "BatchJob" and "tasksFrom" in body["spec"]
        return ([("apply", {"object": self._list(body["metadata"]["name"])})] if takes else []) + [applied]

    def _object(self, kind: str, name: str, spec: Body) -> Body:
        metadata = {"name": name, "namespace": "default"}
        return {"apiVersion": "azurebatch.io/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}


def with_changed_tasks(seed: int, steps: list[Step]) -> list[Step]:
    """In one of four histories users change tasks of jobs that run, and mostly have them replaced."""
    chance = random.Random(f"changed tasks {seed}")  # noqa: S311
    if chance.random() >= 0.25:
        return steps
    of = Editors(chance)
    table: dict[Callable[[], tuple[str, Body]], float] = {
        of.create: 2, of.change: 10, of.look: 1, of.past: 0.7, of.delete: 0.7, of.fault: 4, of.late: 2, of.blind: 2, of.kill: 3,
    }  # fmt: skip
    made = [Step(1.0, *of.pool())]
    at = 150.0
    for number in range(chance.randint(10, 30)):
        action = of.create if number == 0 else chance.choices(list(table), list(table.values()))[0]
        made += [Step(round(min(at, LENGTH), 3), *each) for each in of.list_of(action())]
        # Most changes come while tasks of the former ones run.
        at += chance.choice((1.0, 10.0, 60.0, 200.0)) * chance.random() * 2
    return steps + made
