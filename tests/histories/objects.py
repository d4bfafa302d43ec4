"""Objects that random histories are about: a few names, and specs that are drawn by chance."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

Body = dict[str, Any]
Made = tuple[str, Body] | None
"""What a step does, and its arguments; None if there is nothing to do it with."""
POOLS, JOBS, TASKS, SCHEDULES, LISTS = (
    ("cpu", "gpu"),
    ("a", "b", "c"),
    ("t1", "t2", "t3"),
    ("native", "cron"),
    ("list",),
)
NAMESPACES = ("default", "default", "default", "team")
SECRET = "env"
_IMAGE = {"publisher": "canonical", "offer": "0001-com-ubuntu-server-jammy", "sku": "22_04-lts"}


class Objects:
    """Makes objects by chance, and knows which it has made."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.chance = random.Random(f"history {seed}")  # noqa: S311
        self.serial = 0
        self.known: dict[tuple[str, str, str], Body] = {}

    def new(self) -> str:
        """A number that was not given before."""
        self.serial += 1
        return str(self.serial)

    def secret(self, namespace: str) -> Body:
        """The Secret that tasks name, with another value each time."""
        text = f"PLANTED-{self.seed}-{self.new()}-{self.chance.getrandbits(64):016x}"
        metadata = {"name": SECRET, "namespace": namespace}
        return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"value": text}}

    def task_list(self, namespace: str) -> Body:
        """The ConfigMap that jobs take tasks from."""
        number = self.chance.choice((0, 1, 2, 5, 9))
        lines = "\n".join(f"- {{id: l{each}, commandLine: {self.command()}}}" for each in range(number)) or "[]"
        if self.chance.random() < 0.1:
            lines = "- {id: [not a task"
        metadata = {"name": LISTS[0], "namespace": namespace}
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"tasks.yaml": lines}}

    def command(self) -> str:
        seconds = self.chance.choice((5, 30, 120, 400, 900))
        return f"/bin/sh -c 'sleep {seconds}'" if self.chance.random() < 0.85 else "/bin/sh -c 'exit 3'"

    def task(self, id: str) -> Body:
        task: Body = {"id": id, "commandLine": self.command()}
        if self.chance.random() < 0.2:
            reference = {"secretKeyRef": {"name": SECRET, "key": "value"}}
            task["environmentSettings"] = [{"name": "TOKEN", "valueFrom": reference}]
        return task

    def spec(self, kind: str) -> Body:
        """Of an object of some kind."""
        return _SPECS[kind](self)

    def pool(self) -> Body:
        chance = self.chance
        spec: Body = {
            "accountRef": {"name": "main", "namespace": "default"}, "vmSize": "Standard_D4ads_v6",
            "virtualMachineConfiguration": {"imageReference": _IMAGE, "nodeAgentSKUId": "batch.node.ubuntu 22.04"},
            "targetDedicatedNodes": chance.choice((0, 1, 2, 3)), "taskSlotsPerNode": chance.choice((1, 2, 4)),
        }  # fmt: skip
        if chance.random() < 0.4:
            spec["targetLowPriorityNodes"] = chance.choice((1, 2))
        if chance.random() < 0.3:
            spec["deletionPolicy"] = chance.choice(("Delete", "Orphan", "DeleteWhenIdle"))
        if chance.random() < 0.4:
            spec["updateStrategy"] = chance.choice(("WhenEmpty", "Drain", "Recreate"))
        if chance.random() < 0.2:
            spec["nodeRemediation"] = {"unusable": "Remove", "maxPerHour": 5}
        return spec

    def job(self) -> Body:
        chance = self.chance
        spec: Body = {"poolRef": {"name": chance.choice(("cpu", "cpu", "gpu"))}}
        match chance.choice(("tasks", "tasks", "factory", "list", "none")):
            case "tasks":
                spec["tasks"] = [self.task(f"i{each}") for each in range(chance.randint(1, 6))]
            case "factory":
                sweep = [{"start": 0, "end": chance.choice((1, 4, 19, 149))}]
                repeat = {"commandLine": "/bin/sh -c 'sleep 20; echo {0}'"}
                spec["taskFactory"] = {"parametricSweep": {"parameterSets": sweep}, "repeatTask": repeat, "idWidth": 4}
            case "list":
                spec["tasksFrom"] = [{"configMapKeyRef": {"name": LISTS[0], "key": "tasks.yaml"}}]
            case _:
                pass
        options: Body = {
            "taskPrunePolicy": "Delete", "taskUpdatePolicy": "Replace", "suspend": True, "priority": chance.randint(-5, 5),
            "failurePolicy": {"action": chance.choice(("Continue", "Stop", "Hold"))},
            "backoff": {"taskRetries": 1}, "activeDeadlineSeconds": chance.choice((300, 1800)),
            "ttlSecondsAfterFinished": chance.choice((0, 60, 600)),
        }  # fmt: skip
        for name, value in options.items():
            if chance.random() < 0.15:
                spec[name] = value
        return spec

    def batch_task(self) -> Body:
        chance = self.chance
        body = self.task("x")
        del body["id"]
        if chance.random() < 0.15:
            body |= {"jobId": "foreign", "accountRef": {"name": "main", "namespace": "default"}}
        else:
            body["jobRef"] = {"name": chance.choice(JOBS)}
            if chance.random() < 0.25:
                body["dependsOnRefs"] = [{"name": chance.choice(TASKS)}]
        return body

    def schedule(self) -> Body:
        chance = self.chance
        job: Body = {"poolRef": {"name": "cpu"}}
        if chance.random() < 0.5:
            manager = {"id": "manager", "commandLine": self.command()}
            return {
                "schedule": {"recurrenceInterval": chance.choice(("PT5M", "PT20M"))},
                "jobSpecification": job | {"jobManagerTask": manager},
                "accountRef": {"name": "main", "namespace": "default"},
            }
        job["tasks"] = [self.task("i0")]
        return {
            "accountRef": {"name": "main", "namespace": "default"},
            "cron": {
                "expression": chance.choice(("*/5 * * * *", "*/20 * * * *")),
                "concurrencyPolicy": chance.choice(("Allow", "Forbid", "Replace")),
            },
            "jobSpecification": job,
        }

    def made(self, kind: str, name: str, namespace: str) -> Body:
        """An object, which is known from now on."""
        body: Body = {
            "apiVersion": "azurebatch.io/v1alpha1", "kind": kind,
            "metadata": {"name": name, "namespace": namespace}, "spec": self.spec(kind),
        }  # fmt: skip
        annotations: Body = {}
        if kind != "BatchPool" and self.chance.random() < 0.05:
            annotations["azurebatch.io/reconcile-policy"] = self.chance.choice(("skip", "detach-on-delete"))
        if kind in {"BatchPool", "BatchJob"} and self.chance.random() < 0.1:
            annotations["azurebatch.io/adopt"] = "true"
        if annotations:
            body["metadata"]["annotations"] = annotations
        self.known[kind, namespace, name] = body
        return body

    def some(self, *kinds: str) -> tuple[str, str, str] | None:
        """One of the objects that were made; it may be gone by now."""
        found = [each for each in self.known if not kinds or each[0] in kinds]
        return self.chance.choice(found) if found else None


_SPECS: dict[str, Callable[[Objects], Body]] = {
    "BatchPool": Objects.pool, "BatchJob": Objects.job, "BatchTask": Objects.batch_task,
    "BatchJobSchedule": Objects.schedule,
}  # fmt: skip
