"""The admin side: faults, counters, state changes."""

from __future__ import annotations

import http.client
import json
import urllib.error

import pytest
from azure.batch import BatchClient, models
from azure.core.exceptions import HttpResponseError

from azure_batch_emulator.web.faults import Faults
from support.batch_bodies import add_task, finished, make_job, make_pool, wait_steady
from support.emulator_thread import EmulatorThread, wait_until
from support.raw_http import signed


def test_counters(client: BatchClient, emulator: EmulatorThread) -> None:
    make_job(client)
    client.get_job("job")
    with pytest.raises(HttpResponseError):
        client.get_job("none")
    counted = emulator.admin("GET", "counters")
    assert counted == {"total": 3, "operations": {"Jobs_CreateJob": {"201": 1}, "Jobs_GetJob": {"200": 1, "404": 1}}}
    calls = emulator.admin("GET", "calls")["value"]
    assert [(call["operation"], call["status"]) for call in calls][-1] == ("Jobs_GetJob", 404)
    emulator.admin("DELETE", "counters")
    assert emulator.admin("GET", "counters")["total"] == 0


def test_throttling(emulator: EmulatorThread) -> None:
    effect = {"status": 429, "code": "TooManyRequests", "retryAfter": 7}
    emulator.admin("POST", "faults", {"operation": "Jobs_.*", "method": "GET", "count": 2, "skip": 1, "effect": effect})
    assert [emulator.call("GET", "/jobs")[0] for _ in range(4)] == [200, 429, 429, 200]
    (rule,) = emulator.admin("GET", "faults")["value"]
    assert rule["hits"] == 2
    emulator.admin("POST", "faults", {"path": "^/pools", "effect": effect})
    status, headers, body = emulator.call("GET", "/pools")
    assert (status, headers["retry-after"], json.loads(body)["code"]) == (429, "7", "TooManyRequests")
    emulator.admin("DELETE", "faults")
    assert emulator.call("GET", "/pools")[0] == 200


def test_probability_is_repeatable(emulator: EmulatorThread) -> None:
    def draw() -> list[int]:
        rule = emulator.admin("POST", "faults", {"probability": 0.5, "effect": {"status": 503}})
        drawn = [emulator.call("GET", "/pools")[0] for _ in range(20)]
        emulator.admin("DELETE", f"faults/{rule['id']}")
        return drawn

    assert set(draw()) == {200, 503}
    faults = [Faults(seed=3), Faults(seed=3), Faults(seed=4)]
    drawn = []
    for each in faults:
        each.add({"probability": 0.5, "effect": {"status": 503}})
        drawn.append([each.effect_on("Jobs_ListJobs", "GET", "/jobs") is not None for _ in range(64)])
    assert drawn[0] == drawn[1] != drawn[2]


def test_a_lost_response_has_its_effect(client: BatchClient, emulator: EmulatorThread) -> None:
    emulator.admin("POST", "faults", {"operation": "Jobs_CreateJob", "count": 1, "effect": {"lostAnswer": True}})
    with pytest.raises((urllib.error.URLError, http.client.HTTPException, ConnectionError)):
        emulator.call("POST", "/jobs", {"id": "job", "poolInfo": {"poolId": "p"}})
    assert client.get_job("job").state == "active"


def test_a_reset_connection_has_none(emulator: EmulatorThread) -> None:
    emulator.admin("POST", "faults", {"operation": "Jobs_CreateJob", "count": 1, "effect": {"reset": True}})
    with pytest.raises((urllib.error.URLError, http.client.HTTPException, ConnectionError)):
        emulator.call("POST", "/jobs", {"id": "job", "poolInfo": {"poolId": "p"}})
    assert emulator.call("GET", "/jobs/job")[0] == 404


def test_damaged_responses(emulator: EmulatorThread) -> None:
    emulator.admin("POST", "faults", {"operation": "Pools_ListPools", "count": 1, "effect": {"truncate": 0.5}})
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        emulator.call("GET", "/pools")
    emulator.admin("POST", "faults", {"operation": "Pools_ListPools", "count": 1, "effect": {"corrupt": True}})
    status, _, body = emulator.call("GET", "/pools")
    assert status == 200
    with pytest.raises(ValueError):
        json.loads(body)


def test_responses_of_several_blocks_can_be_damaged(client: BatchClient, emulator: EmulatorThread) -> None:
    make_job(client)
    value = [{"id": f"t{number:02}", "commandLine": "/bin/true"} for number in range(100)]
    emulator.call("POST", "/jobs/job/addtaskcollection", {"value": value})
    whole = json.loads(emulator.call("GET", "/jobs/job/tasks")[2])
    assert [task["id"] for task in whole["value"]] == [task["id"] for task in value]
    emulator.admin("POST", "faults", {"operation": "Tasks_ListTasks", "count": 1, "effect": {"truncate": 0.5}})
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        emulator.call("GET", "/jobs/job/tasks")
    emulator.admin("POST", "faults", {"operation": "Tasks_ListTasks", "count": 1, "effect": {"corrupt": True}})
    with pytest.raises(ValueError):
        json.loads(emulator.call("GET", "/jobs/job/tasks")[2])


def test_a_partial_collection(client: BatchClient, emulator: EmulatorThread) -> None:
    make_job(client)
    partial = {"every": 2, "status": "ServerError", "code": "ServerBusy"}
    emulator.admin(
        "POST", "faults", {"operation": "Tasks_CreateTaskCollection", "count": 1, "effect": {"partial": partial}}
    )
    tasks = [models.BatchTaskCreateContent(id=f"t{n}", command_line="/bin/true") for n in range(4)]
    result = client.create_task_collection("job", models.BatchTaskGroup(value=tasks))
    assert [item.status for item in result.value] == ["ServerError", "Success", "ServerError", "Success"]
    assert [task.id for task in client.list_tasks("job")] == ["t1", "t3"]


def test_wrong_rules_say_what_is_wrong(emulator: EmulatorThread) -> None:
    for rule in (
        {},
        {"effect": {"explode": True}},
        {"operations": "x", "effect": {"status": 500}},
        {"path": "(", "effect": {"status": 500}},
    ):
        with pytest.raises(urllib.error.HTTPError) as caught:
            emulator.admin("POST", "faults", rule)
        with caught.value as error:
            assert error.code == 400
            assert json.load(error)["error"]


def test_a_preempted_node_comes_back_and_its_task_runs_again(client: BatchClient, emulator: EmulatorThread) -> None:
    make_pool(client, nodes=0, target_low_priority_nodes=1)
    make_job(client)
    add_task(client, "t", "/bin/sleep 600")
    task = wait_until(lambda: (t := client.get_task("job", "t")).state == "running" and t, "running")
    node_id = task.node_info.node_id
    emulator.admin("POST", "pools/pool/nodes/0/preempt")
    assert client.get_node("pool", node_id).state == "preempted"
    task = client.get_task("job", "t")
    assert (task.state, task.execution_info.requeue_count, task.execution_info.retry_count) == ("active", 1, 0)
    wait_until(lambda: client.get_task("job", "t").state == "running", "running again")
    assert client.get_task("job", "t").node_info.node_id == node_id


def test_only_spot_nodes_are_preempted(client: BatchClient, emulator: EmulatorThread) -> None:
    make_pool(client)
    with pytest.raises(urllib.error.HTTPError) as caught:
        emulator.admin("POST", "pools/pool/nodes/0/preempt")
    with caught.value as error:
        assert (error.code, "this one is dedicated" in json.load(error)["error"]) == (409, True)
    (node,) = client.list_nodes("pool")
    assert node.state == "idle"


@pytest.mark.usefixtures("exact_counts")
def test_a_node_that_fails(client: BatchClient, emulator: EmulatorThread) -> None:
    make_pool(client, nodes=2)
    emulator.admin("POST", "pools/pool/nodes/0/fail", {"state": "unusable", "code": "DiskFull", "message": "full"})
    emulator.admin("POST", "pools/pool/nodes/1/fail", {"state": "starttaskfailed"})
    (counts,) = client.list_pool_node_counts()
    assert (counts.dedicated.unusable, counts.dedicated.start_task_failed) == (1, 1)
    broken = next(node for node in client.list_nodes("pool", filter="state eq 'unusable'"))
    assert broken.errors[0].code == "DiskFull"


def test_allocation_that_fails(client: BatchClient, emulator: EmulatorThread) -> None:
    make_pool(client, nodes=0)
    emulator.admin("POST", "pools/pool/resizeerror", {"code": "AllocationFailed", "mostNodes": 1})
    client.resize_pool("pool", models.BatchPoolResizeContent(target_dedicated_nodes=3))
    pool = wait_steady(client)
    assert (pool.current_dedicated_nodes, pool.resize_errors[0].code) == (1, "AllocationFailed")


def test_reset_leaves_nothing(client: BatchClient, emulator: EmulatorThread) -> None:
    make_pool(client)
    make_job(client)
    add_task(client, "t")
    finished(client, "t")
    assert emulator.admin("GET", "state")["tasks"] == 1
    emulator.admin("POST", "reset")
    assert set(emulator.admin("GET", "state").values()) == {0}
    assert list(client.list_pools()) == []


def test_counts_lag_unless_they_are_to_be_exact(client: BatchClient, emulator: EmulatorThread) -> None:
    # REST reference of Jobs - Get Job Task Counts and Pools - List Pool Node Counts: the numbers may not be up to date.
    make_pool(client, nodes=0)
    make_job(client, "job")
    with emulator.paused():
        add_task(client, "t")
        assert client.get_job_task_counts("job").task_counts.active == 0, "by default"
        emulator.admin("POST", "countslag", {"seconds": 0})
        assert client.get_job_task_counts("job").task_counts.active == 1
        emulator.admin("POST", "countslag", {"seconds": 60})
        client.delete_task("job", "t")
        assert client.get_job_task_counts("job").task_counts.active == 1
    wait_until(lambda: client.get_job_task_counts("job").task_counts.active == 0, "the counts have caught up")


def test_node_counts_lag_too(client: BatchClient, emulator: EmulatorThread) -> None:
    emulator.admin("POST", "countslag", {"seconds": 100_000})
    make_pool(client)
    (counts,) = client.list_pool_node_counts()
    assert (counts.dedicated.total, counts.dedicated.idle) == (0, 0)
    assert [node.state for node in client.list_nodes("pool")] == ["idle"], "lists are up to date"
    emulator.admin("POST", "countslag", {"seconds": 0})
    (counts,) = client.list_pool_node_counts()
    assert (counts.dedicated.total, counts.dedicated.idle) == (1, 1)


@pytest.mark.parametrize("reset", [False, True])
def test_a_call_lands_after_its_caller_has_gone(emulator: EmulatorThread, *, reset: bool) -> None:
    effect = {"landAfter": 3600, "reset": reset}
    emulator.admin("POST", "faults", {"operation": "Jobs_CreateJob", "count": 1, "effect": effect})
    with pytest.raises((TimeoutError, urllib.error.URLError, ConnectionError)):
        emulator.call("POST", "/jobs", {"id": "late", "poolInfo": {"poolId": "p"}}, timeout=0.3)
    assert emulator.call("GET", "/jobs/late")[0] == 404
    assert emulator.admin("GET", "state")["heldCalls"] == 1
    assert emulator.admin("POST", "land") == {"landed": 1}
    wait_until(lambda: emulator.call("GET", "/jobs/late")[0] == 200, "the job exists after all")
    assert emulator.admin("GET", "state")["heldCalls"] == 0


def test_delayed_calls_are_discarded_by_a_reset(emulator: EmulatorThread) -> None:
    effect = {"landAfter": 3600, "reset": True}
    emulator.admin("POST", "faults", {"operation": "Jobs_CreateJob", "count": 1, "effect": effect})
    with pytest.raises((urllib.error.URLError, ConnectionError)):
        emulator.call("POST", "/jobs", {"id": "late", "poolInfo": {"poolId": "p"}})
    wait_until(lambda: emulator.admin("GET", "state")["heldCalls"] == 1, "held")
    emulator.admin("POST", "reset")
    wait_until(lambda: emulator.admin("GET", "state")["heldCalls"] == 0, "forgotten")
    assert emulator.call("GET", "/jobs/late")[0] == 404


def test_a_call_lands_by_itself(emulator: EmulatorThread) -> None:
    effect = {"landAfter": 0.2, "reset": True}
    emulator.admin("POST", "faults", {"operation": "Jobs_CreateJob", "count": 1, "effect": effect})
    with pytest.raises((urllib.error.URLError, ConnectionError)):
        emulator.call("POST", "/jobs", {"id": "late", "poolInfo": {"poolId": "p"}})
    wait_until(lambda: emulator.call("GET", "/jobs/late")[0] == 200, "the job exists after all")


def test_a_reset_gives_quotas_and_keys_back(emulator: EmulatorThread) -> None:
    usual = emulator.admin("GET", "quota")
    emulator.admin("POST", "quota", {"pools": 0})
    emulator.admin("POST", "key", {"key": "b3RoZXI="})
    emulator.admin("POST", "reset")
    assert emulator.admin("GET", "quota") == usual
    assert signed(emulator, "GET", "/jobs").status == 200
