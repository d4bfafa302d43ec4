"""What goes wrong in random histories: Azure Batch, the API server, the network, the operator's process and the clocks."""

from __future__ import annotations

from collections.abc import Callable

from histories.objects import POOLS, Body, Made, Objects

_CREATES = ("Pools_CreatePool", "Jobs_CreateJob", "Tasks_CreateTaskCollection", "JobSchedules_CreateJobSchedule")
_CHANGES = ("Jobs_UpdateJob", "Pools_UpdatePool", "Pools_ResizePool", "Jobs_DisableJob", "Jobs_EnableJob",
            "Tasks_ReactivateTask", "Tasks_TerminateTask", "Jobs_TerminateJob")  # fmt: skip
_DELETES = ("Pools_DeletePool", "Jobs_DeleteJob", "Tasks_DeleteTask", "JobSchedules_DeleteJobSchedule")
_READS = ("Jobs_ListJobs", "Pools_ListPools", "Tasks_ListTasks", "Jobs_GetJobTaskCounts", "Jobs_GetJob", "Pools_GetPool",
          "Pools_ListPoolNodeCounts", "Nodes_ListNodes")  # fmt: skip
_PLURALS = ("batchpools", "batchjobs", "batchtasks", "batchjobschedules", "batchaccounts")


def fault(of: Objects) -> Made:
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


def late(of: Objects) -> Made:
    """A call lands late."""
    operation = of.chance.choice((*_CREATES, *_DELETES, *_CHANGES))
    return "hold", {"operation": operation, "count": 1, "seconds": of.chance.choice((5.0, 20.0, 50.0))}


def api_fault(of: Objects) -> Made:
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


def watching(of: Objects) -> Made:
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


def outage(of: Objects) -> Made:
    """The API server is down."""
    return "api-down", {"seconds": of.chance.choice((5, 60))}


def lag(of: Objects) -> Made:
    """Counts are far behind."""
    return "lag", {"by": of.chance.choice((30.0, 90.0)), "seconds": 600}


def node(of: Objects) -> Made:
    """A node is lost."""
    return "node", {
        "pool": of.chance.choice(POOLS), "index": of.chance.randint(0, 3), "what": of.chance.choice(("preempt", "unusable")),
    }  # fmt: skip


def quota(of: Objects) -> Made:
    """A quota is full."""
    name, value = of.chance.choice((("pools", 0), ("active_jobs_and_schedules", 1), ("dedicated_cores", 8)))
    return "quota", {"seconds": of.chance.choice((60, 600)), name: value}


def kill(of: Objects) -> Made:
    """The operator is killed."""
    return "kill", {"seconds": of.chance.choice((0.0, 5.0, 300.0))}


def stop(of: Objects) -> Made:
    """The operator is asked to stop."""
    return "stop", {"seconds": of.chance.choice((0.0, 60.0))}


def kill_at_effect(of: Objects) -> Made:
    """The operator is killed at an effect."""
    return "kill-at-effect", {"number": of.chance.randint(1, 12), "after": of.chance.random() < 0.5}


def freeze(of: Objects) -> Made:
    """The operator is frozen."""
    return "freeze", {"seconds": of.chance.choice((5.0, 60.0, 400.0))}


def clock_jump(of: Objects) -> Made:
    """The wall clocks jump."""
    return "clock-jump", {"by": of.chance.choice((-40.0, 40.0, 600.0))}


WORLD_DOES: dict[Callable[[Objects], Made], float] = {
    fault: 20, late: 6, api_fault: 8, watching: 8, outage: 2, lag: 3, node: 5, quota: 2, kill: 5, stop: 2,
    kill_at_effect: 8, freeze: 3, clock_jump: 1,
}  # fmt: skip
"""How often each happens."""
