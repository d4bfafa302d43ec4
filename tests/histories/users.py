"""What users do in random histories."""

from __future__ import annotations

import base64
from collections.abc import Callable

from histories.objects import JOBS, NAMESPACES, POOLS, SCHEDULES, TASKS, Body, Made, Objects

_NAMES = {"BatchPool": POOLS, "BatchJob": JOBS, "BatchTask": TASKS, "BatchJobSchedule": SCHEDULES}


def create(of: Objects) -> Made:
    """An object, new or changed in everything; often under a name that was used before."""
    kind = of.chance.choices(list(_NAMES), (2, 5, 4, 1))[0]
    name, namespace = of.chance.choice(_NAMES[kind]), of.chance.choice(NAMESPACES)
    return "apply", {"object": of.made(kind, name, namespace)}


def _patch(key: tuple[str, str, str], patch: Body) -> tuple[str, Body]:
    kind, namespace, name = key
    return "patch", {"kind": kind, "name": name, "namespace": namespace, "patch": patch}


def change(of: Objects) -> Made:
    """Some members of a spec."""
    key = of.some("BatchPool", "BatchJob", "BatchJobSchedule")
    if key is None:
        return None
    if key[0] == "BatchJobSchedule":
        return _patch(key, {"spec": {"suspend": of.chance.random() < 0.5}})
    spec = of.spec(key[0])
    names = of.chance.sample(sorted(spec), min(2, len(spec)))
    return _patch(key, {"spec": {name: spec[name] for name in names}})


def scale(of: Objects) -> Made:
    """The size of a pool."""
    key = of.some("BatchPool")
    return key and _patch(key, {"spec": {"targetDedicatedNodes": of.chance.choice((0, 1, 2, 4))}})


def suspend(of: Objects) -> Made:
    """Stop a job, or let it go on."""
    key = of.some("BatchJob")
    return key and _patch(key, {"spec": {"suspend": of.chance.random() < 0.5}})


def delete(of: Objects) -> Made:
    """An object."""
    key = of.some()
    return key and ("delete", {"kind": key[0], "name": key[2], "namespace": key[1]})


def annotate(of: Objects) -> Made:
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


def rotate(of: Objects) -> Made:
    """The account's key."""
    key = base64.b64encode(of.chance.randbytes(64)).decode()
    return "rotate-key", {"key": key, "seconds": of.chance.choice((0.0, 5.0, 90.0))}


def change_secret(of: Objects) -> Made:
    """The Secret that tasks name."""
    return "apply", {"object": of.secret(of.chance.choice(NAMESPACES))}


def change_list(of: Objects) -> Made:
    """The ConfigMap that jobs take tasks from."""
    return "apply", {"object": of.task_list(of.chance.choice(NAMESPACES))}


def past(of: Objects) -> Made:
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


def copy_pool(of: Objects) -> Made:
    """A copy of a pool under another id, marker included."""
    return "copy-pool", {"id": of.chance.choice(POOLS), "to": f"copy-{of.new()}"}


def delete_namespace(of: Objects) -> Made:
    """The second namespace."""
    return "delete", {"kind": "namespace", "name": "team", "namespace": ""}


def create_namespace(of: Objects) -> Made:
    """The second namespace, again."""
    return "apply", {"object": {"kind": "Namespace", "metadata": {"name": "team"}}}


USERS_DO: dict[Callable[[Objects], Made], float] = {
    create: 30, change: 10, scale: 5, suspend: 6, delete: 10, annotate: 12, rotate: 1, change_secret: 2, change_list: 3,
    past: 10, copy_pool: 1, delete_namespace: 0.7, create_namespace: 1.5,
}  # fmt: skip
"""How often they do each."""
