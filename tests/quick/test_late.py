"""A create that got no response is repeated at once by the client; the first one takes effect long after: nothing is left over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from azure_batch_operator.reconcile import plan
from azure_batch_operator.sync import calls
from support.stage import Stage, job, pool, schedule, sleeping, task

EVERY_DAY = {"recurrenceInterval": "PT24H"}


@dataclass(frozen=True)
class Create:
    """A create call and the object that it is made for.

    Attributes:
        path: of what it makes.
    """

    operation: str
    kind: str
    path: str
    body: dict[str, Any]

    @property
    def name(self) -> str:
        """Of the object."""
        return str(self.body["metadata"]["name"])


CREATES = [
    Create("Pools_CreatePool", "bp", "/pools/late", pool("late", targetDedicatedNodes=0)),
    Create("Jobs_CreateJob", "bj", "/jobs/late", job("late", tasks=sleeping(1))),
    Create(
        "JobSchedules_CreateJobSchedule",
        "bjs",
        "/jobschedules/late",
        schedule("late", schedule=EVERY_DAY, jobSpecification={"poolRef": {"name": "cpu"}}),
    ),
    Create("Tasks_CreateTaskCollection", "bt", "/jobs/own/tasks/late", task("late", "own", "sleep 3600")),
]

FOREIGN: dict[str, dict[str, Any]] = {
    "Pools_CreatePool": {
        "id": "late", "vmSize": "Standard_D2s_v5", "targetDedicatedNodes": 0,
        "virtualMachineConfiguration": {
            "nodeAgentSKUId": "batch.node.ubuntu 22.04",
            "imageReference": {"publisher": "canonical", "offer": "0001-com-ubuntu-server-jammy", "sku": "22_04-lts"},
        },
    },
    "Jobs_CreateJob": {"id": "late", "poolInfo": {"poolId": "cpu"}},
    "JobSchedules_CreateJobSchedule": {
        "id": "late", "schedule": {"recurrenceInterval": "PT24H"},
        "jobSpecification": {"poolInfo": {"poolId": "cpu"}},
    },
}  # fmt: skip
"""What somebody else has under the same ID."""
LISTS = {
    "Pools_CreatePool": "Pools_ListPools",
    "Jobs_CreateJob": "Jobs_ListJobs",
    "JobSchedules_CreateJobSchedule": "JobSchedules_ListJobSchedules",
}


def test_every_verb_that_creates_is_tried() -> None:
    verbs = {verb for verb in plan.VERBS if verb.startswith("create_")}
    assert verbs == {"create_pool", "create_job", "create_schedule"}, "give a new one a place in CREATES"


@pytest.mark.parametrize("answer", ["time-out", "reset"])
@pytest.mark.parametrize("create", CREATES, ids=lambda create: create.operation)
async def test_the_first_try_of_a_create_lands_after_the_object_was_deleted(
    stage: Stage, create: Create, answer: str
) -> None:
    await stage.ready_pool()
    stage.apply(job("own", onAllTasksComplete="noaction"))
    await stage.until(lambda: stage.azure.get("/jobs/own"))
    hold = stage.azure.hold(create.operation, count=1, cut=answer == "reset")
    stage.apply(create.body)
    await stage.until(lambda: stage.azure.get(create.path), 120)
    stage.delete(create.kind, create.name)
    await stage.until(lambda: stage.azure.get(create.path) is None, 120)
    await stage.run_for(20)
    hold.release()
    await stage.until(lambda: stage.gone(create.kind, create.name), 300)
    await stage.run_for(300)
    assert hold.arrived == 1
    assert stage.azure.get(create.path) is None


MANAGER = {"id": "manager", "commandLine": "/bin/sh -c 'sleep 36000'"}
"""Runs as soon as its job is there, and nothing else ends it."""
UNFINISHED = [
    ("Jobs_CreateJob", "bj", "/jobs/late", job("late", jobManagerTask=MANAGER, onAllTasksComplete="noaction")),
    (
        "JobSchedules_CreateJobSchedule",
        "bjs",
        "/jobschedules/late",
        schedule("late", schedule=EVERY_DAY, jobSpecification={"poolRef": {"name": "cpu"}, "jobManagerTask": MANAGER}),
    ),
]


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize(("operation", "kind", "path", "body"), UNFINISHED, ids=["job", "schedule"])
async def test_what_lands_after_its_object_was_terminated_does_not_run(
    stage: Stage, operation: str, kind: str, path: str, body: dict[str, Any], restarted: bool
) -> None:
    """Nobody looks at an object that has ended, so what appeared then would run until somebody deleted the object."""
    await stage.ready_pool()
    hold = stage.azure.hold(operation, count=1)
    stage.apply(body)
    await stage.until(lambda: hold.arrived)
    stage.azure.fault(operation, status=503, code="ServerBusy")
    await stage.run_for(30)
    if restarted:
        await stage.kill()
        stage.start()
    stage.annotate(kind, "late", terminate="now")
    await stage.run_for(15)
    assert stage.phase(kind, "late") == "Terminating"
    assert "may still take effect" in stage.condition(kind, "late")["message"]
    hold.release()
    stage.azure.heal()
    await stage.until(lambda: (stage.azure.get(path) or {}).get("state") == "completed", 120)
    await stage.until(lambda: stage.phase(kind, "late") in {"Failed", "Completed"}, 120)


@pytest.mark.parametrize(("operation", "kind", "path", "body"), UNFINISHED, ids=["job", "schedule"])
async def test_an_object_that_was_terminated_ends_when_nothing_can_land_any_more(
    stage: Stage, operation: str, kind: str, path: str, body: dict[str, Any]
) -> None:
    await stage.ready_pool()
    hold = stage.azure.hold(operation, count=1, cut=True)
    stage.apply(body)
    await stage.until(lambda: hold.arrived)
    stage.azure.fault(operation, status=503, code="ServerBusy")
    await stage.run_for(5)
    stage.annotate(kind, "late", terminate="now")
    await stage.until(lambda: stage.phase(kind, "late") in {"Failed", "Completed"}, 70)
    assert stage.azure.get(path) is None
    assert stage.condition(kind, "late")["message"].endswith("before it was created")
    hold.release()


@pytest.mark.parametrize("lands", [True, False])
async def test_a_task_that_was_terminated_while_its_addition_may_land_does_not_run(stage: Stage, lands: bool) -> None:
    await stage.ready_pool()
    stage.apply(job("own", onAllTasksComplete="noaction"))
    await stage.until(lambda: stage.azure.get("/jobs/own"))
    hold = stage.azure.hold("Tasks_CreateTaskCollection", count=1, cut=True)
    stage.apply(task("late", "own", "sleep 36000"))
    await stage.until(lambda: hold.arrived)
    stage.azure.fault("Tasks_CreateTaskCollection", status=503, code="ServerBusy")
    await stage.run_for(5)
    stage.annotate("bt", "late", terminate="now")
    await stage.until(lambda: "may still take effect" in stage.condition("bt", "late").get("message", ""), 60)
    assert stage.phase("bt", "late") == "Terminating"
    if lands:
        stage.azure.heal()
        hold.release()
        await stage.until(lambda: (stage.azure.get("/jobs/own/tasks/late") or {}).get("state") == "completed", 120)
    await stage.until(lambda: stage.phase("bt", "late") == "Failed", 120)
    assert stage.reason("bt", "late") == "TaskEnded"
    assert (stage.azure.get("/jobs/own/tasks/late") is not None) == lands
    hold.release()


async def test_a_job_that_lands_after_its_pending_deadline_is_followed(stage: Stage) -> None:
    await stage.ready_pool()
    hold = stage.azure.hold("Jobs_CreateJob", count=1)
    stage.apply(job("late", tasks=sleeping(1, 36000), pendingDeadlineSeconds=40))
    await stage.until(lambda: hold.arrived)
    stage.azure.fault("Jobs_CreateJob", status=503, code="ServerBusy")
    await stage.run_for(50)
    hold.release()
    stage.azure.heal()
    await stage.until(lambda: (stage.azure.get("/jobs/late") or {}).get("state") == "completed", 120)
    await stage.until(lambda: stage.phase("bj", "late") == "Failed", 120)
    assert stage.reason("bj", "late") == "PendingDeadlineExceeded"


async def test_twenty_tasks_land_after_their_objects_were_deleted(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(job("own", onAllTasksComplete="noaction"))
    await stage.until(lambda: stage.azure.get("/jobs/own"))
    hold = stage.azure.hold("Tasks_CreateTaskCollection", count=1)
    stage.apply(*(task(f"t{number}", "own", "sleep 3600") for number in range(20)))
    await stage.until(lambda: len(stage.azure.all("/jobs/own/tasks")) == 20, 120)
    for number in range(20):
        stage.delete("bt", f"t{number}")
    await stage.until(lambda: not stage.azure.all("/jobs/own/tasks"), 120)
    await stage.run_for(20)
    hold.release()
    await stage.until(lambda: not stage.names("bt"), 300)
    await stage.run_for(300)
    assert stage.azure.all("/jobs/own/tasks") == []


async def test_a_task_that_was_added_to_a_former_job_is_deleted(stage: Stage) -> None:
    """No plan looks there any more: the status names the job that the task was added to afterwards."""
    await stage.ready_pool()
    stage.apply(job("own", onAllTasksComplete="noaction"))
    await stage.until(lambda: stage.azure.get("/jobs/own"))
    hold = stage.azure.hold("Tasks_CreateTaskCollection", count=1)
    stage.apply(task("t", "own", "sleep 3600"))
    await stage.until(lambda: hold.arrived)
    stage.annotate("bj", "own", reconcile_policy="detach-on-delete")
    stage.delete("bj", "own")
    await stage.until(lambda: stage.gone("bj", "own"))
    stage.apply(job("own", id="other", onAllTasksComplete="noaction"))
    await stage.until(lambda: stage.azure.get("/jobs/own/tasks/t"), 120, "the second attempt has landed")
    stage.azure.delete("/jobs/own/tasks/t")
    await stage.until(lambda: stage.status("bt", "t").get("jobId") == "other", 120)
    hold.release()
    await stage.until(lambda: stage.azure.get("/jobs/own/tasks/t"), 60)
    stage.delete("bt", "t")
    await stage.until(lambda: stage.gone("bt", "t"), 300)
    assert stage.azure.ids("/jobs/own/tasks") == stage.azure.ids("/jobs/other/tasks") == []


async def test_tasks_that_land_after_they_were_pruned_are_pruned_again(stage: Stage) -> None:
    await stage.ready_pool()
    hold = stage.azure.hold("Tasks_CreateTaskCollection", count=1)
    stage.apply(job("own", tasks=sleeping(5, 3600), taskPrunePolicy="Delete", onAllTasksComplete="noaction"))
    await stage.until(lambda: hold.arrived)
    await stage.until(lambda: len(stage.azure.all("/jobs/own/tasks")) == 5, 120)
    stage.apply(job("own", tasks=sleeping(2, 3600), taskPrunePolicy="Delete", onAllTasksComplete="noaction"))
    await stage.until(lambda: stage.azure.ids("/jobs/own/tasks") == ["t0", "t1"], 120)
    await stage.run_for(20)
    hold.release()
    await stage.until(lambda: len(stage.azure.all("/jobs/own/tasks")) == 5)
    await stage.run_for(120)
    assert stage.azure.ids("/jobs/own/tasks") == ["t0", "t1"]


async def test_a_spec_that_changes_while_late_tasks_are_awaited_is_followed_at_once(stage: Stage) -> None:
    await stage.ready_pool()
    hold = stage.azure.hold("Tasks_CreateTaskCollection", count=1)
    for number in (5, 2, 7):
        stage.apply(job("own", tasks=sleeping(number, 3600), taskPrunePolicy="Delete", onAllTasksComplete="noaction"))
        await stage.until(lambda: hold.arrived)
        expected = [f"t{each}" for each in range(number)]
        await stage.until(lambda expected=expected: stage.azure.ids("/jobs/own/tasks") == expected, 40)
        await stage.run_for(5)
    hold.release()


async def test_a_create_with_a_response_delays_no_deletion(stage: Stage) -> None:
    await stage.ready_pool()
    stage.azure.fault("Jobs_CreateJob", status=429, retryAfter=1, count=1)
    stage.apply(job("own", tasks=sleeping(1)))
    await stage.until(lambda: stage.phase("bj", "own") == "Running")
    stage.delete("bj", "own")
    await stage.until(lambda: stage.gone("bj", "own"), 30)


@pytest.mark.parametrize("create", CREATES[:3], ids=lambda create: create.operation)
async def test_a_create_takes_effect_in_place_of_a_foreign_resource(stage: Stage, create: Create) -> None:
    await stage.ready_pool()
    hold = stage.azure.hold(create.operation, count=1)
    stage.apply(create.body)
    await stage.until(lambda: hold.arrived == 1)
    stage.azure.post(create.path.rsplit("/", 1)[0], FOREIGN[create.operation])
    await stage.until(lambda: stage.reason(create.kind, create.name) == "OwnershipConflict", 120)
    # What was observed is foreign. Before the next poll ends it makes room for what the object has asked for.
    polls = stage.azure.hold(LISTS[create.operation])
    await stage.until(lambda: polls.arrived == 1, 120)
    stage.azure.delete(create.path)
    await stage.until(lambda: stage.azure.get(create.path) is None, 120)
    hold.release()
    await stage.until(lambda: stage.azure.get(create.path), 60)
    stage.delete(create.kind, create.name)
    await stage.run_for(5)
    polls.release()
    await stage.until(lambda: stage.gone(create.kind, create.name), 300)
    await stage.run_for(300)
    assert stage.azure.get(create.path) is None


@pytest.mark.parametrize("create", CREATES, ids=lambda create: create.operation)
async def test_a_create_of_a_former_process_lands_after_what_was_there_is_gone(stage: Stage, create: Create) -> None:
    await stage.ready_pool()
    stage.apply(job("own", onAllTasksComplete="noaction"))
    await stage.until(lambda: stage.azure.get("/jobs/own"))
    hold = stage.azure.hold(create.operation, count=1)
    stage.apply(create.body)
    await stage.until(lambda: stage.azure.get(create.path), 120)
    await stage.run_for(5)
    await stage.restart()
    await stage.run_for(5)
    stage.delete(create.kind, create.name)
    await stage.until(lambda: stage.azure.get(create.path) is None, 120)
    await stage.run_for(20)
    hold.release()
    await stage.until(lambda: stage.gone(create.kind, create.name), 300)
    await stage.run_for(300)
    assert stage.azure.get(create.path) is None


async def test_old_events_of_a_task_that_is_gone_run_it_no_second_time(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(job("own", onAllTasksComplete="noaction"), task("a", "own", "sleep 5"))
    await stage.until(lambda: stage.phase("bt", "a") == "Succeeded", 900)
    stage.delete("bt", "a")
    await stage.until(lambda: stage.gone("bt", "a"), 100)
    stage.watch.replay("batchtasks", "a")
    await stage.always(lambda: not stage.azure.ids("/jobs/own/tasks"), 120)
    # One that is made again under the name is another.
    stage.apply(task("a", "own", "sleep 5"))
    await stage.until(lambda: stage.phase("bt", "a") == "Succeeded", 900)


async def test_a_task_whose_object_is_released_before_it_is_sent_is_not_sent(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(job("own", onAllTasksComplete="noaction"))
    await stage.until(lambda: stage.azure.get("/jobs/own"), 60)
    stage.apply(task("a", "own", "sleep 5"))
    await stage.until(lambda: stage.get("bt", "a")["metadata"].get("finalizers"), 10)
    stage.annotate("bt", "a", force_finalize="true")
    stage.delete("bt", "a")
    await stage.until(lambda: stage.gone("bt", "a"), 10)
    await stage.always(lambda: not stage.azure.ids("/jobs/own/tasks"), 120)


async def test_tasks_of_a_deleted_job_land_in_no_other_job_of_its_id(stage: Stage) -> None:
    await stage.ready_pool()
    hold = stage.azure.hold("Tasks_CreateTaskCollection", count=1)
    stage.apply(job("own", tasks=sleeping(2, 3600), onAllTasksComplete="noaction"))
    await stage.until(lambda: hold.arrived)
    await stage.until(lambda: len(stage.azure.all("/jobs/own/tasks")) == 2, 120, "the second attempt has landed")
    stage.delete("bj", "own")
    await stage.until(lambda: stage.azure.get("/jobs/own") is None, 60)
    await stage.run_for(10)
    next_one = job("own", tasks=sleeping(1, 3600, prefix="new"), onAllTasksComplete="noaction")
    early = stage.gone("bj", "own")
    if early:
        stage.apply(next_one)
        await stage.until(lambda: stage.azure.get("/jobs/own"), 60)
    hold.release()
    await stage.run_for(5)
    if not early:
        await stage.until(lambda: stage.gone("bj", "own"), 120)
        stage.apply(next_one)
    await stage.until(lambda: stage.azure.get("/jobs/own") and stage.azure.ids("/jobs/own/tasks"), 120)
    await stage.run_for(30)
    assert stage.azure.ids("/jobs/own/tasks") == ["new0"]


async def test_tasks_of_a_former_incarnation_that_land_are_pruned(stage: Stage) -> None:
    await stage.ready_pool()
    spec = {"taskPrunePolicy": "Delete", "onAllTasksComplete": "noaction"}
    hold = stage.azure.hold("Tasks_CreateTaskCollection", count=1)
    # No node takes them, so that none has started when the job is deleted.
    stage.apply(
        job(
            "own", tasks=[each | {"requiredSlots": 2, "dependsOn": {"taskIds": ["no"]}} for each in sleeping(3)], **spec
        )
    )
    await stage.until(lambda: hold.arrived)
    await stage.until(lambda: len(stage.azure.all("/jobs/own/tasks")) == 3, 120, "the second attempt has landed")
    stage.freeze()
    stage.azure.delete("/jobs/own")
    await stage.until(lambda: stage.azure.get("/jobs/own") is None, 60)
    stage.apply(job("own", tasks=sleeping(1, prefix="new"), **spec))
    stage.thaw()
    await stage.until(lambda: stage.azure.get("/jobs/own") and stage.azure.ids("/jobs/own/tasks") == ["new0"], 120)
    hold.release()
    await stage.until(lambda: len(stage.azure.ids("/jobs/own/tasks")) == 4, 10)
    await stage.until(lambda: stage.azure.ids("/jobs/own/tasks") == ["new0"], 120)


async def test_a_resource_that_is_being_deleted_is_requested_at_growing_intervals(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[str] = []

    async def deleting(_session: object, late: plan.Absence, _owned: object, _now: object) -> bool:
        looks.append(late.id)
        return False

    monkeypatch.setattr(calls, "cleared", deleting)
    await stage.ready_pool()
    stage.apply(job("own", onAllTasksComplete="noaction"))
    await stage.until(lambda: stage.azure.get("/jobs/own"))
    hold = stage.azure.hold("Tasks_CreateTaskCollection", count=1)
    stage.apply(task("t", "own", "sleep 3600"))
    await stage.until(lambda: stage.azure.get("/jobs/own/tasks/t"), 120, "the second attempt has landed")
    stage.annotate("bj", "own", reconcile_policy="detach-on-delete")
    stage.delete("bj", "own")
    await stage.until(lambda: stage.gone("bj", "own"))
    stage.azure.delete("/jobs/own/tasks/t")
    stage.apply(job("own", id="other", onAllTasksComplete="noaction"))
    await stage.until(lambda: stage.status("bt", "t").get("jobId") == "other", 120)
    stage.delete("bt", "t")
    await stage.until(lambda: bool(looks), 300)
    await stage.run_for(300)
    assert len(looks) <= 12
    hold.release()


async def test_an_adopted_resource_does_not_count_as_gone_while_calls_may_take_effect(stage: Stage) -> None:
    await stage.ready_pool()
    stage.azure.post("/jobs", {"id": "old", "poolInfo": {"poolId": "cpu"}})
    adopting = job("old")
    adopting["metadata"]["annotations"] = {"azurebatch.io/adopt": "true"}
    stage.apply(adopting)
    await stage.until(lambda: stage.ready("bj", "old"), 120)
    await stage.restart()
    stage.delete("bj", "old")
    await stage.until(lambda: stage.reason("bj", "old") == "Deleting", 15)
    await stage.run_for(10)
    message = str(stage.condition("bj", "old")["message"])
    assert message.startswith(
        "the resource with its ID stays in Azure Batch, because it was adopted or has another owner:"
    )
    assert "may still take effect" in message
    await stage.until(lambda: stage.gone("bj", "old"), 120)
    assert (stage.azure.get("/jobs/old") or {})["state"] == "active"
    await stage.until(lambda: stage.events("bj", "old", "Detached"), 30)
    await stage.run_for(60)
    assert [each["count"] for each in stage.events("bj", "old", "Detached")] == [1], "told once, when it is let go"


async def test_tasks_that_are_deleted_after_a_restart_cost_no_write_of_their_status(stage: Stage) -> None:
    await stage.ready_pool(targetDedicatedNodes=0)
    stage.apply(job("own", onAllTasksComplete="noaction"))
    await stage.until(lambda: stage.azure.get("/jobs/own"))
    names = [f"t{number}" for number in range(50)]
    stage.apply(*(task(name, "own", "sleep 3600") for name in names))
    await stage.until(lambda: len(stage.azure.all("/jobs/own/tasks")) == 50, 120)
    await stage.run_for(60)
    await stage.restart()
    await stage.run_for(5)
    for name in names:
        stage.delete("bt", name)
    await stage.until(lambda: not stage.azure.all("/jobs/own/tasks"), 30)
    await stage.run_for(10)
    assert len(stage.names("bt")) == 50, "they wait for calls of the operator before"
    await stage.until(lambda: not stage.names("bt"), 120)
    assert stage.writes("bt", subresource="status") == 0


@pytest.mark.parametrize("kind", ["bp", "bj", "bjs"])
async def test_the_status_after_a_restart_says_what_the_object_waits_for(stage: Stage, kind: str) -> None:
    """A call of the operator before may still land; what that one said of the account is out of date."""
    await stage.ready_pool()
    stage.apply(job("own"), schedule("nightly", schedule=EVERY_DAY, jobSpecification={"poolRef": {"name": "cpu"}}))
    await stage.until(lambda: stage.ready("bj", "own") and stage.ready("bjs", "nightly"), 120)
    name, path = {"bp": ("cpu", "/pools/cpu"), "bj": ("own", "/jobs/own"), "bjs": ("nightly", "/jobschedules/nightly")}[
        kind
    ]
    await stage.kill()
    stage.azure.delete(path)
    await stage.until(lambda: stage.azure.get(path) is None, 300)
    stage.delete(kind, name)
    rule = stage.azure.fault(reset=True)
    stage.start()
    await stage.until(lambda: stage.reason(kind, name) == "AccountNotReady", 60)
    stage.azure.server.faults.clear(rule.id)
    await stage.until(lambda: stage.ready("bacc", "main"), 60)
    await stage.until(lambda: stage.gone(kind, name) or stage.reason(kind, name) == "Deleting", 15)
    if not stage.gone(kind, name):
        assert "may still take effect" in str(stage.condition(kind, name)["message"])
    await stage.until(lambda: stage.gone(kind, name), 120)
