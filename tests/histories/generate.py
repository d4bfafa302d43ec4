"""Makes a random history from a seed: users who work with a few names, and a world in which things go wrong."""

from __future__ import annotations

import base64
import random
from collections.abc import Callable
from typing import Any

from histories.history import History, Step
from histories.more_steps import LENGTH, with_namespace_policies, with_operations
from histories.rare_steps import with_cron, with_nulls, with_rare_operations

Body = dict[str, Any]
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
_CREATES = ("Pools_CreatePool", "Jobs_CreateJob", "Tasks_CreateTaskCollection", "JobSchedules_CreateJobSchedule")
_CHANGES = ("Jobs_UpdateJob", "Pools_UpdatePool", "Pools_ResizePool", "Jobs_DisableJob", "Jobs_EnableJob",
            "Tasks_ReactivateTask", "Tasks_TerminateTask", "Jobs_TerminateJob")  # fmt: skip
_DELETES = ("Pools_DeletePool", "Jobs_DeleteJob", "Tasks_DeleteTask", "JobSchedules_DeleteJobSchedule")
_READS = ("Jobs_ListJobs", "Pools_ListPools", "Tasks_ListTasks", "Jobs_GetJobTaskCounts", "Jobs_GetJob", "Pools_GetPool",
          "Pools_ListPoolNodeCounts", "Nodes_ListNodes")  # fmt: skip
_PLURALS = ("batchpools", "batchjobs", "batchtasks", "batchjobschedules", "batchaccounts")


def generate(seed: int) -> History:
    """The history of a seed."""
    return _Generator(seed).history()


class _Generator:
    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.chance = random.Random(f"history {seed}")  # noqa: S311
        self.serial = 0
        self.known: dict[tuple[str, str, str], Body] = {}

    def history(self) -> History:
        """Its steps: the beginning that all have, then random ones."""
        chance = self.chance
        steps = [Step(0.0, do, args) for do, args in self._beginning()]
        times = sorted(round(chance.uniform(1.0, LENGTH), 3) for _ in range(chance.randint(30, 80)))
        at = 0.0
        for each in times:
            # People and machines do several things at a time.
            at = at if chance.random() < 0.25 else each
            table = _USER if chance.random() < 0.62 else _WORLD
            action = chance.choices(list(table), list(table.values()))[0]
            made = action(self)
            if made is not None:
                do, args = made
                steps.append(Step(max(at, 0.5), do, args))
        replicas = 2 if chance.random() < 0.1 else 1
        for more in (
            _with_identity,
            with_operations,
            with_namespace_policies,
            with_rare_operations,
            with_cron,
            with_nulls,
        ):
            steps = more(self.seed, steps)
        settings: dict[str, Any] = {}
        if replicas > 1 and self.seed % 2:
            # They share the accounts; without this, the others are on standby.
            settings, replicas = {"shards": 4}, 3
        at_creation = self.seed % 3 == 2
        return History(self.seed, (), settings, replicas, finalizer_at_creation=at_creation).having(steps)

    def _beginning(self) -> list[tuple[str, Body]]:
        return [
            ("apply", {"object": {"kind": "Namespace", "metadata": {"name": "team"}}}),
            ("account", {"allowedNamespaces": {"all": True}}),
            ("apply", {"object": self._secret("default")}),
            ("apply", {"object": self._secret("team")}),
            ("apply", {"object": self._list("default")}),
            ("apply", {"object": self._list("team")}),
            ("apply", {"object": self._made("BatchPool", "cpu", "default")}),
            ("azure", {"method": "POST", "path": "/jobs", "body": {"id": "foreign", "poolInfo": {"poolId": "cpu"}}}),
        ]

    def new(self) -> str:
        self.serial += 1
        return str(self.serial)

    # --- objects ---

    def _secret(self, namespace: str) -> Body:
        text = f"PLANTED-{self.seed}-{self.new()}-{self.chance.getrandbits(64):016x}"
        metadata = {"name": SECRET, "namespace": namespace}
        return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"value": text}}

    def _list(self, namespace: str) -> Body:
        number = self.chance.choice((0, 1, 2, 5, 9))
        lines = "\n".join(f"- {{id: l{each}, commandLine: {self._command()}}}" for each in range(number)) or "[]"
        if self.chance.random() < 0.1:
            lines = "- {id: [not a task"
        metadata = {"name": LISTS[0], "namespace": namespace}
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"tasks.yaml": lines}}

    def _command(self) -> str:
        seconds = self.chance.choice((5, 30, 120, 400, 900))
        return f"/bin/sh -c 'sleep {seconds}'" if self.chance.random() < 0.85 else "/bin/sh -c 'exit 3'"

    def _task(self, id: str) -> Body:
        task: Body = {"id": id, "commandLine": self._command()}
        if self.chance.random() < 0.2:
            reference = {"secretKeyRef": {"name": SECRET, "key": "value"}}
            task["environmentSettings"] = [{"name": "TOKEN", "valueFrom": reference}]
        return task

    def _spec(self, kind: str) -> Body:
        return _SPECS[kind](self)

    def _pool(self) -> Body:
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

    def _job(self) -> Body:
        chance = self.chance
        spec: Body = {"poolRef": {"name": chance.choice(("cpu", "cpu", "gpu"))}}
        match chance.choice(("tasks", "tasks", "factory", "list", "none")):
            case "tasks":
                spec["tasks"] = [self._task(f"i{each}") for each in range(chance.randint(1, 6))]
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

    def _batch_task(self) -> Body:
        chance = self.chance
        body = self._task("x")
        del body["id"]
        if chance.random() < 0.15:
            body |= {"jobId": "foreign", "accountRef": {"name": "main", "namespace": "default"}}
        else:
            body["jobRef"] = {"name": chance.choice(JOBS)}
            if chance.random() < 0.25:
                body["dependsOnRefs"] = [{"name": chance.choice(TASKS)}]
        return body

    def _schedule(self) -> Body:
        chance = self.chance
        job: Body = {"poolRef": {"name": "cpu"}}
        if chance.random() < 0.5:
            manager = {"id": "manager", "commandLine": self._command()}
            return {
                "schedule": {"recurrenceInterval": chance.choice(("PT5M", "PT20M"))},
                "jobSpecification": job | {"jobManagerTask": manager},
                "accountRef": {"name": "main", "namespace": "default"},
            }
        job["tasks"] = [self._task("i0")]
        return {
            "accountRef": {"name": "main", "namespace": "default"},
            "cron": {
                "expression": chance.choice(("*/5 * * * *", "*/20 * * * *")),
                "concurrencyPolicy": chance.choice(("Allow", "Forbid", "Replace")),
            },
            "jobSpecification": job,
        }

    def _made(self, kind: str, name: str, namespace: str) -> Body:
        body: Body = {
            "apiVersion": "azurebatch.io/v1alpha1", "kind": kind,
            "metadata": {"name": name, "namespace": namespace}, "spec": self._spec(kind),
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


Made = tuple[str, Body] | None
_NAMES = {"BatchPool": POOLS, "BatchJob": JOBS, "BatchTask": TASKS, "BatchJobSchedule": SCHEDULES}
_SPECS: dict[str, Callable[[_Generator], Body]] = {
    "BatchPool": _Generator._pool, "BatchJob": _Generator._job, "BatchTask": _Generator._batch_task,
    "BatchJobSchedule": _Generator._schedule,
}  # fmt: skip


# --- what users do ---


def create(of: _Generator) -> Made:
    """An object, new or changed in everything; often under a name that was used before."""
    kind = of.chance.choices(list(_NAMES), (2, 5, 4, 1))[0]
    name, namespace = of.chance.choice(_NAMES[kind]), of.chance.choice(NAMESPACES)
    return "apply", {"object": of._made(kind, name, namespace)}


def _patch(key: tuple[str, str, str], patch: Body) -> tuple[str, Body]:
    kind, namespace, name = key
    return "patch", {"kind": kind, "name": name, "namespace": namespace, "patch": patch}


def change(of: _Generator) -> Made:
    """Some members of a spec."""
    key = of.some("BatchPool", "BatchJob", "BatchJobSchedule")
    if key is None:
        return None
    if key[0] == "BatchJobSchedule":
        return _patch(key, {"spec": {"suspend": of.chance.random() < 0.5}})
    spec = of._spec(key[0])
    names = of.chance.sample(sorted(spec), min(2, len(spec)))
    return _patch(key, {"spec": {name: spec[name] for name in names}})


def scale(of: _Generator) -> Made:
    """The size of a pool."""
    key = of.some("BatchPool")
    return key and _patch(key, {"spec": {"targetDedicatedNodes": of.chance.choice((0, 1, 2, 4))}})


def suspend(of: _Generator) -> Made:
    """Stop a job, or let it go on."""
    key = of.some("BatchJob")
    return key and _patch(key, {"spec": {"suspend": of.chance.random() < 0.5}})


def delete(of: _Generator) -> Made:
    """An object."""
    key = of.some()
    return key and ("delete", {"kind": key[0], "name": key[2], "namespace": key[1]})


def annotate(of: _Generator) -> Made:
    """A one-shot annotation, or a policy."""
    key = of.some()
    if key is None:
        return None
    name = of.chance.choice(
        ("reconcile-now", "retry-failed", "terminate", "recreate", "reconcile-now", "retry-failed", "adopt", "policy")
    )
    value: str | None = of.new()
    if name == "policy":
        name, value = "reconcile-policy", of.chance.choice(("skip", "detach-on-delete", "manage", None))
    elif name == "adopt":
        value = "true"
    return _patch(key, {"metadata": {"annotations": {f"azurebatch.io/{name}": value}}})


def rotate(of: _Generator) -> Made:
    """The account's key."""
    key = base64.b64encode(of.chance.randbytes(64)).decode()
    return "rotate-key", {"key": key, "seconds": of.chance.choice((0.0, 5.0, 90.0))}


def change_secret(of: _Generator) -> Made:
    """The Secret that tasks name."""
    return "apply", {"object": of._secret(of.chance.choice(NAMESPACES))}


def change_list(of: _Generator) -> Made:
    """The ConfigMap that jobs take tasks from."""
    return "apply", {"object": of._list(of.chance.choice(NAMESPACES))}


def past(of: _Generator) -> Made:
    """Something in Azure Batch outside the operator."""
    chance = of.chance
    pool, job = chance.choice(POOLS), chance.choice(JOBS)
    steps: list[Body] = [
        {"method": "DELETE", "path": f"/jobs/{job}"},
        {"method": "POST", "path": f"/jobs/{job}/terminate"},
        {"method": "POST", "path": f"/jobs/{job}/disable", "body": {"disableTasks": "requeue"}},
        {"method": "POST", "path": f"/jobs/{job}/enable"},
        {"method": "PATCH", "path": f"/jobs/{job}", "body": {"priority": chance.randint(-9, 9)}},
        {"method": "DELETE", "path": f"/pools/{pool}"},
        {"method": "POST", "path": f"/pools/{pool}/resize", "body": {"targetDedicatedNodes": chance.choice((0, 1, 3))}},
        {"method": "PATCH", "path": f"/pools/{pool}", "body": {"startTask": {"commandLine": "/bin/true"}}},
        {"method": "DELETE", "path": f"/jobs/{job}/tasks/{chance.choice(TASKS)}"},
        {"method": "DELETE", "path": f"/jobs/{job}/tasks/i0"},
        {"method": "POST", "path": f"/jobs/{job}/tasks/{chance.choice(TASKS)}/terminate"},
        {"method": "POST", "path": f"/jobs/{job}/tasks", "body": {"id": "alien", "commandLine": "/bin/true"}},
        {"method": "POST", "path": "/jobs", "body": {"id": job, "poolInfo": {"poolId": pool}}},
        {"method": "POST", "path": "/jobs", "body": {"id": f"foreign-{of.new()}", "poolInfo": {"poolId": pool}}},
    ]
    return "azure", chance.choice(steps)


def copy_pool(of: _Generator) -> Made:
    """A copy of a pool under another id, marker included."""
    return "copy-pool", {"id": of.chance.choice(POOLS), "to": f"copy-{of.new()}"}


def delete_namespace(of: _Generator) -> Made:
    """The second namespace."""
    return "delete", {"kind": "namespace", "name": "team", "namespace": ""}


def create_namespace(of: _Generator) -> Made:
    """The second namespace, again."""
    return "apply", {"object": {"kind": "Namespace", "metadata": {"name": "team"}}}


# --- what goes wrong ---


def fault(of: _Generator) -> Made:
    """Calls to Azure Batch fail."""
    chance = of.chance
    operation = chance.choice((*_CREATES, *_CREATES, *_CHANGES, *_DELETES, *_READS, ".*", "Jobs_.*", "Tasks_.*"))
    effects: list[Body] = [
        {"status": 429, "retryAfter": chance.choice((1, 30, 600))}, {"status": 503}, {"status": 500},
        {"hang": True}, {"reset": True}, {"lostAnswer": True}, {"lostAnswer": True}, {"truncate": 0.5},
        {"delay": chance.choice((3, 40))}, {"reset": True, "landAfter": chance.choice((5, 50))}, {"corrupt": True},
        {"status": 409, "code": "OperationInvalidForCurrentState"}, {"status": 403, "code": "InsufficientAccountPermissions"},
    ]  # fmt: skip
    effect = chance.choice(effects)
    if "Collection" in operation and chance.random() < 0.4:
        effect = {
            "partial": {"every": chance.choice((1, 2, 3)), "status": chance.choice(("ServerError", "ClientError"))}
        }
    count = chance.choice((1, 2, 5, None))
    return "fault", {"operation": operation, "effect": effect, "count": count, "seconds": chance.choice((20, 120, 600))}


def late(of: _Generator) -> Made:
    """A call lands late."""
    operation = of.chance.choice((*_CREATES, *_DELETES, *_CHANGES))
    return "hold", {"operation": operation, "count": 1, "seconds": of.chance.choice((5.0, 20.0, 50.0))}


def api_fault(of: _Generator) -> Made:
    """Requests to the API server fail."""
    chance = of.chance
    plural = chance.choice(_PLURALS)
    effects: list[Body] = [
        {"status": 429, "retry_after": 9}, {"status": 409}, {"status": 500}, {"status": 403}, {"lost": "before"},
        {"lost": "after"}, {"hang": True}, {"delay": 5.0}, {"status": 422},
    ]  # fmt: skip
    effect = chance.choice(effects)
    verbs: tuple[str, ...] = ("", "patch", "create", "get", "list")
    if effect.get("status") in {409, 422}:
        # No API server answers so to what only reads.
        verbs = ("patch", "create")
    resource = chance.choice(("", plural, f"{plural}/status"))
    order = {"verb": chance.choice(verbs), "resource": resource}
    return "api-fault", {"seconds": chance.choice((20, 120)), "count": chance.choice((1, 3, None)), **order, **effect}


def watching(of: _Generator) -> Made:
    """Notifications come late, twice or in another order."""
    chance = of.chance
    plural = chance.choice(_PLURALS)
    steps: list[tuple[str, Body]] = [
        ("watch-hold", {"seconds": chance.choice((10, 120)), "plural": plural}),
        ("watch-delay", {"seconds": 120, "by": chance.choice((2.0, 20.0))}),
        ("watch-shuffle", {"seconds": 60}),
        ("expire-pages", {}),
    ]
    key = of.some()
    if key is not None:
        steps.append(("watch-replay", {"plural": f"{key[0].lower()}s", "name": key[2]}))
    return chance.choice(steps)


def outage(of: _Generator) -> Made:
    """The API server is down."""
    return "api-down", {"seconds": of.chance.choice((5, 60))}


def lag(of: _Generator) -> Made:
    """Counts are far behind."""
    return "lag", {"by": of.chance.choice((30.0, 90.0)), "seconds": 600}


def node(of: _Generator) -> Made:
    """A node is lost."""
    return "node", {
        "pool": of.chance.choice(POOLS), "index": of.chance.randint(0, 3), "what": of.chance.choice(("preempt", "unusable")),
    }  # fmt: skip


def quota(of: _Generator) -> Made:
    """A quota is full."""
    name, value = of.chance.choice((("pools", 0), ("active_jobs_and_schedules", 1), ("dedicated_cores", 8)))
    return "quota", {"seconds": of.chance.choice((60, 600)), name: value}


def kill(of: _Generator) -> Made:
    """The operator is killed."""
    return "kill", {"seconds": of.chance.choice((0.0, 5.0, 300.0))}


def stop(of: _Generator) -> Made:
    """The operator is asked to stop."""
    return "stop", {"seconds": of.chance.choice((0.0, 60.0))}


def kill_at_effect(of: _Generator) -> Made:
    """The operator is killed at an effect."""
    return "kill-at-effect", {"number": of.chance.randint(1, 12), "after": of.chance.random() < 0.5}


def freeze(of: _Generator) -> Made:
    """The operator is frozen."""
    return "freeze", {"seconds": of.chance.choice((5.0, 60.0, 400.0))}


def clock_jump(of: _Generator) -> Made:
    """The wall clocks jump."""
    return "clock-jump", {"by": of.chance.choice((-40.0, 40.0, 600.0))}


_USER: dict[Callable[[_Generator], Made], float] = {
    create: 30, change: 10, scale: 5, suspend: 6, delete: 10, annotate: 12, rotate: 1, change_secret: 2, change_list: 3,
    past: 10, copy_pool: 1, delete_namespace: 0.7, create_namespace: 1.5,
}  # fmt: skip
_WORLD: dict[Callable[[_Generator], Made], float] = {
    fault: 20, late: 6, api_fault: 8, watching: 8, outage: 2, lag: 3, node: 5, quota: 2, kill: 5, stop: 2,
    kill_at_effect: 8, freeze: 3, clock_jump: 1,
}  # fmt: skip


def _with_identity(seed: int, steps: list[Step]) -> list[Step]:
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
