"""What users do, as data: each scenario is a short history without faults, with the end that the user wishes for.

Each begins with an account and a pool. Only what follows `since` is disturbed: what all have in common is disturbed once, in
`pool-create`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from histories.history import History, Step

Body = dict[str, Any]
READY = 100.0
"""When the pool of the beginning is ready."""


@dataclass(frozen=True)
class Scenario:
    """One of them.

    Attributes:
        name: unique.
        steps: what happens, in order of time.
        wish: phases by `Kind/name` at the end; an object that is not named must be gone.
        azure: ids of pools, jobs and schedules at the end.
        tasks: for some jobs, the commands of all of their tasks at the end, by task, each of which has succeeded.
        since: virtual seconds from which on it is disturbed.
        finalizer_at_creation: whether the API server creates BatchTasks with the operator's finalizer.
    """

    name: str
    steps: tuple[Step, ...]
    wish: Mapping[str, str]
    azure: Mapping[str, tuple[str, ...]]
    tasks: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    since: float = READY
    finalizer_at_creation: bool = False

    def history(self) -> History:
        """As it is played."""
        return History(1, self.steps, finalizer_at_creation=self.finalizer_at_creation)


def _object(kind: str, name: str, spec: Body, namespace: str = "default", **annotations: str) -> Body:
    metadata: Body = {"name": name, "namespace": namespace}
    if annotations:
        metadata["annotations"] = {
            f"azurebatch.io/{key.replace('_', '-')}": value for key, value in annotations.items()
        }
    return {"apiVersion": "azurebatch.io/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}


_IMAGE = {"publisher": "canonical", "offer": "0001-com-ubuntu-server-jammy", "sku": "22_04-lts"}
_MACHINE = {"imageReference": _IMAGE, "nodeAgentSKUId": "batch.node.ubuntu 22.04"}
_TOKEN = {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "env", "key": "value"}}}


def _pool(name: str = "cpu", namespace: str = "default", **spec: Any) -> Step:
    body: Body = {
        "accountRef": {"name": "main", "namespace": "default"}, "vmSize": "Standard_D4ads_v6",
        "virtualMachineConfiguration": _MACHINE, "targetDedicatedNodes": 2, "taskSlotsPerNode": 2,
    }  # fmt: skip
    return Step(1.0, "apply", {"object": _object("BatchPool", name, body | spec, namespace)})


def _job(at: float, name: str, namespace: str = "default", annotations: Mapping[str, str] = {}, **spec: Any) -> Step:
    given = {member: value for member, value in ({"poolRef": {"name": "cpu"}} | spec).items() if value is not None}
    body = _object("BatchJob", name, given, namespace, **annotations)
    return Step(at, "apply", {"object": body})


def _tasks(number: int, command: str = "/bin/sh -c 'sleep 60'") -> list[Body]:
    return [{"id": f"t{each}", "commandLine": command} for each in range(number)]


def _sleep(seconds: int) -> str:
    return f"/bin/sh -c 'sleep {seconds}'"


def _pair(at: float, first: int, second: int) -> Step:
    """A job of two tasks, each of which is replaced when its time changes."""
    tasks = [{"id": "a", "commandLine": _sleep(first)}, {"id": "b", "commandLine": _sleep(second)}]
    return _job(at, "own", tasks=tasks, taskUpdatePolicy="Replace")


def _made_pair(at: float, first: int, second: int) -> Step:
    """The same, made by a factory."""
    sweep = {"parameterSets": [{"values": [first, second]}]}
    factory = {"parametricSweep": sweep, "repeatTask": {"commandLine": "/bin/sh -c 'sleep {0}'"}}
    return _job(at, "own", taskFactory=factory, taskUpdatePolicy="Replace")


def _patch(at: float, kind: str, name: str, **spec: Any) -> Step:
    return Step(at, "patch", {"kind": kind, "name": name, "patch": {"spec": spec}})


def _annotate(at: float, kind: str, name: str, **annotations: str) -> Step:
    named = {f"azurebatch.io/{key.replace('_', '-')}": value for key, value in annotations.items()}
    return Step(at, "patch", {"kind": kind, "name": name, "patch": {"metadata": {"annotations": named}}})


def _delete(at: float, kind: str, name: str, namespace: str = "default") -> Step:
    return Step(at, "delete", {"kind": kind, "name": name, "namespace": namespace})


def _secret(at: float, value: str) -> Step:
    metadata = {"name": "env", "namespace": "default"}
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"value": value}}
    return Step(at, "apply", {"object": body})


def _factory(at: float, word: str, number: int) -> Step:
    factory = {
        "parametricSweep": {"parameterSets": [{"start": 1, "end": number}]},
        "repeatTask": {"commandLine": f"/bin/sh -c 'sleep 60; echo {word} {{0}}'"},
    }
    policies: Body = {"taskUpdatePolicy": "Replace", "taskPrunePolicy": "Delete"}
    return _job(at, "own", "default", {}, taskFactory=factory, **policies)


def _task(at: float, name: str, **spec: Any) -> Step:
    body = {"jobRef": {"name": "open"}, "commandLine": "/bin/sh -c 'sleep 30'"} | spec
    return Step(at, "apply", {"object": _object("BatchTask", name, body)})


def _schedule(at: float, name: str, **spec: Any) -> Step:
    return Step(at, "apply", {"object": _object("BatchJobSchedule", name, spec)})


_ACCOUNT = Step(0.0, "account", {"allowedNamespaces": {"all": True}})
_TEAM = Step(0.0, "apply", {"object": {"kind": "Namespace", "metadata": {"name": "team"}}})
_MAIN = {"name": "main", "namespace": "default"}
_CPU = {"BatchAccount/main": "Connected", "BatchPool/cpu": "Steady"}
_KEY = "bmV3IGtleSBvZiB0aGUgYWNjb3VudA=="
_MANAGER = {"id": "manager", "commandLine": "/bin/sh -c 'sleep 30'", "environmentSettings": [_TOKEN]}


_RUNS = ("often-29666670", "often-29666675", "often-29666680")
"""The minutes since 1970 at which the stage's clock reaches a twelfth of an hour."""


def _native(at: float, priority: int) -> Step:
    job = {"poolRef": {"name": "cpu"}, "jobManagerTask": _MANAGER, "priority": priority}
    return _schedule(at, "nightly", schedule={"recurrenceInterval": "PT24H"}, jobSpecification=job)


_BATCH_TASKS = (
    _ACCOUNT, _pool(), _job(READY, "open"), _task(READY, "first"), _task(READY, "second", dependsOnRefs=[{"name": "first"}]),
    _task(READY, "third"), _delete(READY + 15, "bt", "third"),
)  # fmt: skip
_BATCH_TASKS_WISH = _CPU | {"BatchJob/open": "Running", "BatchTask/first": "Succeeded", "BatchTask/second": "Succeeded"}
_BATCH_TASKS_AZURE = {"pools": ("cpu",), "jobs": ("open",)}

SCENARIOS: tuple[Scenario, ...] = (
    Scenario("pool-create", (_ACCOUNT, _pool()), _CPU, {"pools": ("cpu",)}, since=0.0),
    Scenario(
        "pool-resize",
        (_ACCOUNT, _pool(), _patch(READY, "bp", "cpu", targetDedicatedNodes=4),
         _patch(READY + 10, "bp", "cpu", targetDedicatedNodes=3)),
        _CPU, {"pools": ("cpu",)},
    ),
    Scenario(
        "pool-recreate",
        (_ACCOUNT, _pool(updateStrategy="Recreate"), _patch(READY, "bp", "cpu", taskSlotsPerNode=4)),
        _CPU, {"pools": ("cpu-g2",)},
    ),
    Scenario(
        # The deletion comes after a resync: an operator that has not heard of the job cannot let the pool wait for it.
        "pool-delete", (_ACCOUNT, _pool(deletionPolicy="DeleteWhenIdle"),
                        _job(READY, "own", tasks=_tasks(2, "/bin/sh -c 'sleep 1500'")), _delete(READY + 700, "bp", "cpu")),
        {"BatchAccount/main": "Connected", "BatchJob/own": "Succeeded"}, {"jobs": ("own",)},
    ),
    Scenario(
        "job-life",
        (_ACCOUNT, _pool(), _job(READY, "own", tasks=_tasks(3, "/bin/sh -c 'sleep 300'"), priority=5),
         _patch(READY + 10, "bj", "own", priority=7), _patch(READY + 20, "bj", "own", suspend=True),
         _patch(READY + 110, "bj", "own", suspend=False)),
        _CPU | {"BatchJob/own": "Succeeded"}, {"pools": ("cpu",), "jobs": ("own",)},
    ),
    Scenario(
        "job-delete-and-again",
        (_ACCOUNT, _pool(), _job(READY, "own", tasks=_tasks(2)), _delete(READY + 20, "bj", "own"),
         _job(READY + 200, "own", tasks=_tasks(1, "/bin/true"))),
        _CPU | {"BatchJob/own": "Succeeded"}, {"pools": ("cpu",), "jobs": ("own",)},
    ),
    Scenario(
        "factory-replace", (_ACCOUNT, _pool(), _factory(READY, "first", 6), _factory(READY + 10, "second", 4)),
        _CPU | {"BatchJob/own": "Succeeded"}, {"pools": ("cpu",), "jobs": ("own",)},
    ),
    Scenario(
        # The first is replaced while both run, and again as the last one that has not ended. A note tells of it again, should the
        # notification get lost.
        "task-replace",
        (_ACCOUNT, _pool(), _pair(READY, 600, 120), _pair(READY + 30, 601, 120), _pair(READY + 300, 602, 120),
         _annotate(READY + 310, "bj", "own", note="late")),
        _CPU | {"BatchJob/own": "Succeeded"}, {"pools": ("cpu",), "jobs": ("own",)},
        {"own": {"a": _sleep(602), "b": _sleep(120)}},
    ),
    Scenario(
        "factory-task-replace",
        (_ACCOUNT, _pool(), _made_pair(READY, 600, 120), _made_pair(READY + 30, 601, 120),
         _annotate(READY + 40, "bj", "own", note="late")),
        _CPU | {"BatchJob/own": "Succeeded"}, {"pools": ("cpu",), "jobs": ("own",)},
        {"own": {"0": _sleep(601), "1": _sleep(120)}},
    ),
    Scenario(
        # Azure Batch changes no task, so a BatchTask is replaced by one of its name.
        "batch-task-again",
        (_ACCOUNT, _pool(), _job(READY, "open"), _task(READY, "first", commandLine=_sleep(600)),
         _task(READY, "second", commandLine=_sleep(120)), _delete(READY + 30, "bt", "first"),
         _task(READY + 200, "first", commandLine=_sleep(60))),
        _CPU | {"BatchJob/open": "Running", "BatchTask/first": "Succeeded", "BatchTask/second": "Succeeded"},
        {"pools": ("cpu",), "jobs": ("open",)}, {"open": {"first": _sleep(60), "second": _sleep(120)}},
    ),
    Scenario("batch-tasks", _BATCH_TASKS, _BATCH_TASKS_WISH, _BATCH_TASKS_AZURE),
    Scenario(
        "batch-tasks-with-finalizer", _BATCH_TASKS, _BATCH_TASKS_WISH, _BATCH_TASKS_AZURE, finalizer_at_creation=True
    ),
    Scenario(
        "schedule-native",
        # Notes tell of it again, should a notification get lost: it is to run before its job changes, and before all is suspended.
        (_ACCOUNT, _pool(), _secret(0.5, "PLANTED-first"), _native(READY, 1),
         _annotate(READY + 5, "bjs", "nightly", note="early"), _native(READY + 60, 2),
         _annotate(READY + 120, "bjs", "nightly", note="late")),
        _CPU | {"BatchJobSchedule/nightly": "Suspended"},
        {"pools": ("cpu",), "schedules": ("nightly",), "jobs": ("nightly:job-1",)},
    ),
    Scenario(
        "schedule-cron",
        (_ACCOUNT, _pool(), _schedule(READY, "often", cron={"expression": "*/5 * * * *"}, jobSpecification={
            "poolRef": {"name": "cpu"}, "tasks": _tasks(1, "/bin/true")}),
         # Notes tell of it again, should a notification get lost: a run that was missed, or was too many, is not made good.
         _annotate(READY + 5, "bjs", "often", note="early"), _patch(1000.0, "bjs", "often", suspend=True),
         _annotate(1010.0, "bjs", "often", note="late")),
        _CPU | {"BatchJobSchedule/often": "Suspended"} | {f"BatchJob/{each}": "Succeeded" for each in _RUNS},
        {"pools": ("cpu",), "jobs": _RUNS},
    ),
    Scenario(
        "adoption",
        (_ACCOUNT, _pool(),
         Step(READY, "azure", {"method": "POST", "path": "/jobs", "body": {"id": "own", "poolInfo": {"poolId": "cpu"}}}),
         _job(READY + 1, "own", annotations={"adopt": "true"}, tasks=_tasks(2), priority=3)),
        _CPU | {"BatchJob/own": "Succeeded"}, {"pools": ("cpu",), "jobs": ("own",)},
    ),
    Scenario(
        "delete-with-held-create",
        (_ACCOUNT, _pool(), Step(READY - 1, "hold", {"operation": "Jobs_CreateJob", "seconds": 40.0, "count": 1}),
         _job(READY, "own", tasks=_tasks(2)), _delete(READY + 5, "bj", "own")),
        _CPU, {"pools": ("cpu",)},
    ),
    Scenario(
        "rotation",
        (_ACCOUNT, _pool(), _secret(0.5, "PLANTED-first"), _native(READY, 1),
         _job(READY, "own", tasks=_tasks(2, "/bin/sh -c 'sleep 200'")),
         # Tells of the schedule again, should its notification get lost: it is to run before the Secret changes, a delay included.
         _annotate(READY + 5, "bjs", "nightly", note="early"),
         Step(READY + 80, "rotate-key", {"key": _KEY, "seconds": 20.0}), _secret(READY + 90, "PLANTED-second")),
        _CPU | {"BatchJob/own": "Succeeded", "BatchJobSchedule/nightly": "Suspended"},
        {"pools": ("cpu",), "schedules": ("nightly",), "jobs": ("nightly:job-1", "own")},
    ),
    Scenario(
        "retry-failed",
        (_ACCOUNT, _pool(), _job(READY, "own", tasks=_tasks(2, "/bin/sh -c 'exit 3'")),
         _annotate(READY + 60, "bj", "own", retry_failed="1")),
        _CPU | {"BatchJob/own": "Failed"}, {"pools": ("cpu",), "jobs": ("own",)},
    ),
    Scenario(
        "operation",
        (_ACCOUNT, _pool(), Step(READY, "apply", {"object": _object("BatchOperation", "reboot", {
            "poolRef": {"name": "cpu"}, "rebootNode": {"nodes": {"selector": "all"}}, "maxConcurrent": 1})})),
        _CPU | {"BatchOperation/reboot": "Succeeded"}, {"pools": ("cpu",)},
    ),
    Scenario(
        "namespace-going",
        (_ACCOUNT, _TEAM, _pool(allowedNamespaces={"all": True}),
         _job(READY, "theirs", "team", poolRef=None, poolInfo={"poolId": "cpu"}, accountRef=_MAIN, tasks=_tasks(2)),
         Step(READY + 20, "delete", {"kind": "namespace", "name": "team", "namespace": ""})),
        _CPU, {"pools": ("cpu",)},
    ),
)  # fmt: skip
