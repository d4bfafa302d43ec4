"""Identity is fixed when something is created; nothing changes hands without a word of its owner."""

from __future__ import annotations

from typing import Any

import pytest

from support.stage import Options, Refusal, Stage, job, pool, sleeping, task

OWNER = "azurebatch.io/owner"


async def test_a_copy_of_a_pool_is_not_ours(stage: Stage) -> None:
    """`az batch pool show`, another id, create: the copy carries the marker of the original."""
    await stage.ready_pool()
    stage.apply(job("own", tasks=sleeping(1, 7200)))
    await stage.until(lambda: stage.phase("bj", "own") == "Running")
    original = stage.azure.get("/pools/cpu") or {}
    members = ("vmSize", "virtualMachineConfiguration", "metadata", "taskSlotsPerNode")
    stage.azure.post("/pools", {name: original[name] for name in members} | {"id": "copy", "targetDedicatedNodes": 0})
    await stage.run_for(300)
    await stage.restart()
    await stage.run_for(300)
    assert stage.azure.ids("/pools") == ["copy", "cpu"]
    assert (stage.azure.get("/jobs/own") or {})["poolInfo"]["poolId"] == "cpu"
    assert stage.status("bp", "cpu").get("id", "cpu") == "cpu"


async def test_a_pool_that_a_live_object_owns_is_not_adopted(stage: Stage) -> None:
    """Adoption takes what nobody alive owns."""
    stage.apply({"kind": "Namespace", "metadata": {"name": "team"}})
    stage.apply(*stage.account_objects(allowedNamespaces={"all": True}), pool("cpu"))
    await stage.until(lambda: stage.ready("bp", "cpu"), 600)
    marker = [each for each in (stage.azure.get("/pools/cpu") or {})["metadata"] if each["name"] == OWNER]
    thief = pool("thief", id="cpu", accountRef={"name": "main", "namespace": "default"})
    thief["metadata"] |= {"namespace": "team", "annotations": {"azurebatch.io/adopt": "true"}}
    stage.apply(thief)
    writes = stage.azure.calls("Pools_UpdatePool") + stage.azure.calls("Pools_ReplacePoolProperties")
    await stage.run_for(120)
    found = [each for each in (stage.azure.get("/pools/cpu") or {})["metadata"] if each["name"] == OWNER]
    assert found == marker
    assert stage.azure.calls("Pools_UpdatePool") + stage.azure.calls("Pools_ReplacePoolProperties") == writes
    assert stage.ready("bp", "cpu")
    assert stage.reason("bp", "thief", "team") == "OwnershipConflict"


async def test_a_job_does_not_move_to_a_pool_of_another_account(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(job("own", tasks=sleeping(1, 7200)))
    await stage.until(lambda: stage.phase("bj", "own") == "Running")
    _, other = stage.account_objects("other")
    other["spec"] |= {"accountName": "second", "auth": {"sharedKey": {"secretRef": {"name": "main-key", "key": "key"}}}}
    stage.apply(other, pool("elsewhere", accountRef={"name": "other"}))
    await stage.until(lambda: stage.ready("bp", "elsewhere"), 600)
    stage.patch("bj", "own", {"spec": {"poolRef": {"name": "elsewhere"}}})
    await stage.until(lambda: stage.reason("bj", "own") == "PoolInOtherAccount", 60)
    assert stage.condition("bj", "own", "NotApplied")["status"] == "True"
    await stage.run_for(300)
    assert "own" not in stage.azure.services["second"].job_table
    assert (stage.azure.get("/jobs/own") or {})["poolInfo"]["poolId"] == "cpu"
    stage.patch("bj", "own", {"spec": {"poolRef": {"name": "cpu"}}})
    await stage.until(lambda: stage.ready("bj", "own") and stage.phase("bj", "own") == "Running", 60)


test_a_job_does_not_move_to_a_pool_of_another_account = pytest.mark.parametrize(
    "stage", [Options(accounts=("devaccount", "second"))], indirect=True
)(test_a_job_does_not_move_to_a_pool_of_another_account)


async def test_an_account_does_not_move_to_another_endpoint(stage: Stage) -> None:
    """What was made at the old one would be made again, and the old one billed forever."""
    await stage.ready_pool()
    other = await stage.another_azure(10200)
    with pytest.raises(Refusal, match="endpoint"):
        stage.patch("bacc", "main", {"spec": {"endpoint": other.endpoint}})
    # Somebody has taken the rule away.
    stage.server.validates = False
    stage.patch("bacc", "main", {"spec": {"endpoint": other.endpoint}})
    await stage.until(lambda: stage.reason("bacc", "main") == "EndpointChanged", 120)
    await stage.restart()
    await stage.run_for(300)
    assert other.ids("/pools") == []
    assert stage.azure.ids("/pools") == ["cpu"]


async def test_a_task_is_not_added_to_a_job_of_another_namespace(stage: Stage) -> None:
    stage.apply({"kind": "Namespace", "metadata": {"name": "team"}})
    stage.apply(*stage.account_objects(allowedNamespaces={"all": True}), pool("cpu"))
    stage.apply(job("own", tasks=sleeping(1, 7200)))
    await stage.until(lambda: stage.phase("bj", "own") == "Running", 600)
    intruder = task("intruder", "x")
    intruder["spec"] = {
        "jobId": "own", "accountRef": {"name": "main", "namespace": "default"}, "commandLine": "true",
    }  # fmt: skip
    intruder["metadata"]["namespace"] = "team"
    stage.apply(intruder)
    await stage.run_for(120)
    assert stage.azure.ids("/jobs/own/tasks") == ["t0"]
    assert stage.reason("bt", "intruder", "team") == "JobNotAllowed"


# --- what is remembered by id belongs to the owner ---


async def test_an_object_that_names_a_foreign_job_does_not_change_what_is_read_of_it(stage: Stage) -> None:
    guests = stage.account_objects(allowedNamespaces={"all": True})
    stage.apply({"kind": "Namespace", "metadata": {"name": "team"}}, *guests, pool("cpu"))
    await stage.until(lambda: stage.ready("bp", "cpu"), 600)
    stage.azure.simulate("own/.*", seconds=(120.0, 120.0), exitCode=3, stderr="out of memory")
    stage.apply(job("own", tasks=sleeping(1)))
    await stage.until(lambda: stage.phase("bj", "own") == "Running", 120)
    account, silent = {"name": "main", "namespace": "default"}, {"tailLines": 0}
    other = job("own", poolRef=None, poolInfo={"poolId": "cpu"}, accountRef=account, tasks=sleeping(1), logs=silent)
    other["metadata"]["namespace"] = "team"
    stage.apply(other)
    await stage.until(lambda: stage.reason("bj", "own", "team") == "OwnershipConflict", 60)
    await stage.until(lambda: stage.phase("bj", "own") == "Failed", 600)
    assert stage.status("bj", "own")["failures"][0]["stderrTail"] == "out of memory"


async def test_a_task_with_a_foreign_job_requests_no_lists_of_it_and_runs_once_it_can(stage: Stage) -> None:
    await stage.ready_pool()
    stage.azure.post("/jobs", {"id": "own", "poolInfo": {"poolId": "cpu"}})
    stage.apply(job("own"), task("t", "own"))
    await stage.until(lambda: stage.reason("bj", "own") == "OwnershipConflict", 60)
    await stage.until(lambda: stage.reason("bt", "t") == "WaitingForJob", 60)
    lists = stage.azure.calls("Tasks_ListTasks")
    await stage.run_for(900)
    assert stage.azure.calls("Tasks_ListTasks") == lists
    stage.azure.delete("/jobs/own")
    await stage.until(lambda: stage.phase("bt", "t") == "Succeeded", 900)


async def test_a_job_that_has_ended_is_shown_and_not_requested_repeatedly(stage: Stage) -> None:
    """Azure Batch takes no marker for it any more."""
    await stage.ready_pool()
    stage.apply(job("own", tasks=sleeping(2, 60)))
    await stage.until(lambda: stage.phase("bj", "own") == "Running", 900)
    stage.annotate("bj", "own", reconcile_policy="detach-on-delete")
    stage.delete("bj", "own")
    await stage.until(lambda: stage.gone("bj", "own"), 60)
    await stage.until(lambda: all(each["state"] == "completed" for each in stage.azure.all("/jobs/own/tasks")), 900)
    stage.azure.post("/jobs/own/terminate", {})
    await stage.until(lambda: (stage.azure.get("/jobs/own") or {})["state"] == "completed", 900)
    before = stage.azure.calls("Jobs_UpdateJob")
    again = job("own", tasks=sleeping(2, 60))
    again["metadata"]["annotations"] = {"azurebatch.io/adopt": "true"}
    stage.apply(again)
    await stage.until(lambda: stage.phase("bj", "own") == "Succeeded", 120)
    await stage.run_for(1800)
    assert stage.azure.calls("Jobs_UpdateJob") == before
    assert stage.azure.calls("Tasks_CreateTaskCollection") == 1
    stage.delete("bj", "own")
    await stage.until(lambda: stage.gone("bj", "own"), 60)
    assert stage.azure.get("/jobs/own")


async def test_two_namespaces_with_one_name_on_one_account(stage: Stage) -> None:
    """The second one says who owns the ID, and goes on under another one, as the message says."""
    stage.apply({"kind": "Namespace", "metadata": {"name": "team"}})
    all_: dict[str, Any] = {"allowedNamespaces": {"all": True}}
    stage.apply(*stage.account_objects(**all_), pool("cpu", **all_), job("own", tasks=sleeping(1, 7200)))
    await stage.until(lambda: stage.phase("bj", "own") == "Running", 900)

    def theirs(**spec: Any) -> Any:
        body = job(
            "own", poolRef=None, poolInfo={"poolId": "cpu"}, accountRef={"name": "main", "namespace": "default"}, **spec
        )
        body["metadata"]["namespace"] = "team"
        return body

    stage.apply(theirs(tasks=sleeping(1, 5)))
    await stage.until(lambda: stage.reason("bj", "own", "team") == "OwnershipConflict", 60)
    message = stage.condition("bj", "own", "Ready", "team")["message"]
    assert "belongs to BatchJob default/own" in message
    assert "IDs are those of the account, which all namespaces that use it share" in message
    assert "create this object again with another spec.id, such as 'team-own'" in message
    await stage.until(lambda: stage.events("bj", "own", "OwnershipConflict", "team"), 30)
    assert [each["type"] for each in stage.events("bj", "own", "OwnershipConflict", "team")] == ["Warning"]
    stage.delete("bj", "own", "team")
    await stage.until(lambda: stage.gone("bj", "own", "team"), 60)
    assert (stage.azure.get("/jobs/own") or {})["state"] == "active"
    stage.apply(theirs(id="team-own", tasks=sleeping(1, 5)))
    await stage.until(lambda: stage.phase("bj", "own", "team") == "Running", 900)
    assert stage.azure.ids("/jobs") == ["own", "team-own"]
