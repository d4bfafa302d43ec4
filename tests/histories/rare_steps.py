"""More that is in a share of the histories only: rare verbs, cron schedules, lists that move, and explicit nulls.

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


class Crontab:
    """Users who run jobs by cron, and a world in which their BatchJobs cannot be created, listed or deleted."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance

    def create(self) -> tuple[str, Body]:
        """A schedule, new or changed in everything."""
        chance = self.chance
        command = chance.choice(("sleep 20", "sleep 20", "sleep 120", "sleep 400", "exit 3"))
        job: Body = {"poolRef": {"name": "cpu"}, "tasks": [{"id": "i0", "commandLine": f"/bin/sh -c '{command}'"}]}
        if chance.random() < 0.2:
            job["ttlSecondsAfterFinished"] = chance.choice((0, 300))
        cron: Body = {
            "expression": chance.choice(("*/2 * * * *", "*/5 * * * *", "*/5 * * * *", "*/15 * * * *")),
            "concurrencyPolicy": chance.choice(("Allow", "Forbid", "Forbid", "Replace")),
        }
        options: Body = {
            "startingDeadlineSeconds": chance.choice((30, 300)), "successfulJobsHistoryLimit": chance.choice((0, 1, 5)),
            "failedJobsHistoryLimit": chance.choice((0, 2)), "timeZone": chance.choice(("Europe/Berlin", "Etc/UTC")),
        }  # fmt: skip
        cron |= {name: value for name, value in options.items() if chance.random() < 0.25}
        metadata = {"name": chance.choice(("every", "often")), "namespace": "default"}
        spec = {"accountRef": _ACCOUNT, "cron": cron, "jobSpecification": job}
        return "apply", {"object": {"kind": "BatchJobSchedule", "metadata": metadata, "spec": spec}}

    def _patch(self, patch: Body) -> tuple[str, Body]:
        where = {"kind": "BatchJobSchedule", "name": self.chance.choice(("every", "every", "often"))}
        return "patch", {**where, "namespace": "default", "patch": patch}

    def suspend(self) -> tuple[str, Body]:
        """Pause it, or let it go on."""
        return self._patch({"spec": {"suspend": self.chance.random() < 0.5}})

    def change(self) -> tuple[str, Body]:
        """Another time, or another policy."""
        name, value = self.chance.choice(
            (("expression", "*/3 * * * *"), ("concurrencyPolicy", "Forbid"), ("concurrencyPolicy", "Replace"),
             ("concurrencyPolicy", None), ("startingDeadlineSeconds", 60), ("expression", "61 * * * *"))
        )  # fmt: skip
        return self._patch({"spec": {"cron": {name: value}}})

    def delete(self) -> tuple[str, Body]:
        """One of them, with its BatchJobs."""
        name = self.chance.choice(("every", "often"))
        return "delete", {"kind": "BatchJobSchedule", "name": name, "namespace": "default"}

    def api(self) -> tuple[str, Body]:
        """BatchJobs cannot be created or deleted, statuses cannot be written, or news of them are late."""
        chance = self.chance
        if chance.random() < 0.3:
            plural = chance.choice(("batchjobs", "batchjobs", "batchjobschedules"))
            return "watch-hold", {"seconds": chance.choice((10, 120, 400)), "plural": plural}
        verb, resource = chance.choice(
            (
                ("create", "batchjobs"),
                ("create", "batchjobs"),
                ("delete", "batchjobs"),
                ("patch", "batchjobschedules/status"),
            )
        )
        effect: Body = chance.choice(
            ({"lost": "after"}, {"lost": "after"}, {"lost": "before"}, {"status": 403}, {"status": 500}, {"hang": True})
        )
        count = chance.choice((1, 1, 3, None))
        return "api-fault", {"seconds": 120, "verb": verb, "resource": resource, "count": count, **effect}

    def kill(self) -> tuple[str, Body]:
        """The operator is killed soon, or is down for some runs."""
        chance = self.chance
        if chance.random() < 0.3:
            return "kill", {"seconds": chance.choice((60.0, 700.0))}
        return "kill-at-effect", {"number": chance.randint(1, 6), "after": chance.random() < 0.6}


def with_cron(seed: int, steps: list[Step]) -> list[Step]:
    """In one of six histories users have cron schedules that run several times an hour from the beginning on."""
    chance = random.Random(f"cron {seed}")  # noqa: S311
    if chance.random() >= 1 / 6:
        return steps
    of = Crontab(chance)
    table: dict[Callable[[], tuple[str, Body]], float] = {
        of.create: 2, of.suspend: 3, of.change: 3, of.delete: 1, of.api: 5, of.kill: 3,
    }  # fmt: skip
    made = [Step(2.0, *of.create())]
    for _ in range(chance.randint(4, 14)):
        action = chance.choices(list(table), list(table.values()))[0]
        made.append(Step(round(chance.uniform(60.0, LENGTH), 3), *action()))
    return steps + made


def with_moving_lists(seed: int, steps: list[Step]) -> list[Step]:
    """In one of six histories lists lack what is there, and other clients change schedules and tasks."""
    chance = random.Random(f"moving lists {seed}")  # noqa: S311
    if chance.random() >= 1 / 6:
        return steps

    def omit() -> tuple[str, Body]:
        path = chance.choice(
            ("/pools/cpu", "/pools/gpu", "/pools/ops", "/jobs/a", "/jobs/b", "/jobs/c", "/jobs/foreign", "/jobs/work",
             "/jobschedules/native")
        )  # fmt: skip
        return "omit", {
            "path": path,
            "count": chance.choice((1, 2, None)),
            "seconds": chance.choice((5.0, 60.0, 600.0)),
        }

    def past() -> tuple[str, Body]:
        steps: list[Body] = [
            {"method": "POST", "path": f"/jobschedules/native/{chance.choice(('disable', 'enable', 'terminate'))}"},
            {"method": "DELETE", "path": "/jobschedules/native"},
            {"method": "PATCH", "path": "/jobschedules/native", "body": {"schedule": {"recurrenceInterval": "PT10M"}}},
            {"method": "PATCH", "path": f"/pools/{chance.choice(('cpu', 'gpu'))}", "body": {"metadata": []}},
        ]
        return "azure", chance.choice(steps)

    times = [round(chance.uniform(60.0, LENGTH), 3) for _ in range(chance.randint(3, 12))]
    return steps + [Step(at, *(omit if chance.random() < 0.75 else past)()) for at in times]


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
