"""A watched namespace that the operator may not read, as after its deletion: nothing in it is lost, and the others are served."""

from __future__ import annotations

from typing import Any

import pytest

from azure_batch_operator.kube.access import DENIED
from support.stage import Options, Stage, pool, sleeping, thing

pytestmark = pytest.mark.parametrize("stage", [Options(settings={"namespaces": ("default", "team")})], indirect=True)


def forbid(stage: Stage) -> list[Any]:
    """What RBAC answers once the Role is gone; the namespace itself is not even named in the path of a watch."""
    message = (
        'is forbidden: User "system:serviceaccount:azure-batch-operator:azure-batch-operator" cannot list resource'
    )
    return [
        stage.fail(namespace="team", status=403, message=message),
        stage.fail(resource="namespaces", name="team", status=403, message=message),
    ]


def a_pool(name: str) -> dict[str, Any]:
    made = pool(name)
    made["metadata"]["namespace"] = "team"
    return made


async def a_team(stage: Stage) -> None:
    stage.apply({"kind": "Namespace", "metadata": {"name": "team"}})
    stage.apply(*stage.account_objects(namespace="team"), a_pool("theirs"))
    stage.apply(*stage.account_objects(), pool("ours"))
    await stage.until(lambda: stage.ready("bp", "theirs", "team") and stage.ready("bp", "ours"), 900)


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "azure_batch_operator.kube.access"]


async def test_an_operator_starts_without_a_namespace_and_takes_it_up_when_its_role_is_back(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "azure_batch_operator.kube.access")
    await a_team(stage)
    await stage.kill()
    faults = forbid(stage)
    stage.start()
    stage.apply(pool("later"))
    await stage.until(lambda: stage.ready("bp", "later"), 900)
    await stage.run_for(3600)
    assert stage.operator.running
    [warning] = said(caplog)
    assert "Namespace team is not reconciled, other namespaces are" in warning
    assert "watchNamespaces" in warning
    assert "manifests/watched-namespace" in warning
    assert "cannot list resource" in warning
    assert DENIED._value.get() == 1
    stage.apply(a_pool("waits"))
    for fault in faults:
        fault.end()
    await stage.until(lambda: stage.ready("bp", "waits", "team"), 900)
    assert said(caplog)[1:] == ["Namespace team is reconciled: the operator has permission in it again"]
    assert DENIED._value.get() == 0


async def test_a_role_that_is_taken_away_stops_nobody_else_and_nothing_counts_as_deleted(stage: Stage) -> None:
    await a_team(stage)
    faults = forbid(stage)
    await stage.run_for(2000)
    stage.apply(pool("later"))
    await stage.until(lambda: stage.ready("bp", "later"), 900)
    assert len(stage.azure.ids("/pools")) == 3
    for fault in faults:
        fault.end()
    stage.patch("bp", "theirs", {"spec": {"targetDedicatedNodes": 1}}, "team")
    await stage.until(lambda: (stage.azure.get("/pools/theirs") or {})["targetDedicatedNodes"] == 1, 900)


OPEN: dict[str, Any] = {"allowedNamespaces": {"all": True}}


async def restart_denied(stage: Stage) -> list[Any]:
    """A new process that has never seen an object of the namespace."""
    await stage.kill()
    faults = forbid(stage)
    stage.start()
    await stage.run_for(90)
    return faults


async def test_an_account_and_its_secret_stay_for_objects_that_cannot_be_read(stage: Stage) -> None:
    """Nobody could sign in any more to delete what they have in Azure Batch."""
    stage.apply({"kind": "Namespace", "metadata": {"name": "team"}})
    stage.apply(*stage.account_objects(**OPEN))
    theirs = a_pool("theirs")
    theirs["spec"]["accountRef"] = {"name": "main", "namespace": "default"}
    stage.apply(theirs)
    await stage.until(lambda: stage.ready("bp", "theirs", "team"), 900)
    await stage.until(lambda: stage.get("bacc", "main")["status"].get("keptSecret") == "main-key", 300)
    faults = await restart_denied(stage)
    stage.delete("secret", "main-key")
    stage.delete("bacc", "main")
    await stage.run_for(600)
    message = stage.condition("bacc", "main")["message"]
    assert "The operator has no permission to read objects of team, which may use it" in message
    for fault in faults:
        fault.end()
    stage.delete("bp", "theirs", "team")
    await stage.until(lambda: stage.gone("bp", "theirs", "team") and stage.gone("bacc", "main"), 900)
    assert stage.azure.ids("/pools") == []


async def test_an_account_in_a_denied_namespace_is_not_said_to_be_missing(stage: Stage) -> None:
    """Who believes it forces the finalizer off, and leaves the pool behind."""
    stage.apply({"kind": "Namespace", "metadata": {"name": "team"}})
    stage.apply(*stage.account_objects(namespace="team", **OPEN))
    reference = {"name": "main", "namespace": "team"}
    stage.apply(pool("ours", accountRef=reference), pool("stays", accountRef=reference))
    await stage.until(lambda: stage.ready("bp", "ours") and stage.ready("bp", "stays"), 900)
    faults = await restart_denied(stage)
    stage.delete("bp", "ours")
    await stage.run_for(60)
    message = stage.condition("bp", "ours")["message"]
    assert "does not exist" not in message
    assert "team/main is in a namespace in which the operator has no permission" in message
    assert stage.ready("bp", "stays"), "what is known of others stands"
    for fault in faults:
        fault.end()
    await stage.until(lambda: stage.gone("bp", "ours"), 900)
    assert stage.azure.ids("/pools") == ["stays"]


async def test_a_pool_in_a_denied_namespace_is_not_said_to_allow_nobody(stage: Stage) -> None:
    """Who believes it moves the job to another pool; its tasks continue as soon as the namespace can be read."""
    stage.apply({"kind": "Namespace", "metadata": {"name": "team"}})
    stage.apply(*stage.account_objects(**OPEN))
    theirs = a_pool("theirs")
    theirs["spec"] |= {"accountRef": {"name": "main", "namespace": "default"}, **OPEN}
    stage.apply(theirs)
    await stage.until(lambda: stage.ready("bp", "theirs", "team"), 900)
    place = {"accountRef": {"name": "main"}, "poolInfo": {"poolId": "theirs"}}
    open_job = thing("BatchJob", "open", onAllTasksComplete="noaction", tasks=sleeping(2, 36000), **place)
    stage.apply(open_job)
    await stage.until(lambda: stage.phase("bj", "open") == "Running", 900)
    faults = await restart_denied(stage)
    stage.patch("bj", "open", {"spec": {"tasks": sleeping(3, 36000)}})
    stage.apply(thing("BatchJob", "new", tasks=sleeping(1), **place))
    await stage.run_for(120)
    for name in ("open", "new"):
        message = stage.condition("bj", name)["message"]
        assert "does not allow" not in message
        assert "BatchPool team/theirs" in message
        assert "which the operator cannot read" in message
    assert stage.azure.ids("/jobs/open/tasks") == ["t0", "t1"]
    for fault in faults:
        fault.end()
    await stage.until(lambda: stage.azure.ids("/jobs/open/tasks") == ["t0", "t1", "t2"], 300)
    await stage.until(lambda: stage.azure.get("/jobs/new"), 300)


async def test_nothing_is_decided_in_a_namespace_of_which_only_some_objects_could_be_listed(stage: Stage) -> None:
    """Its pool is known, and not the job that waits for it."""
    stage.apply({"kind": "Namespace", "metadata": {"name": "team"}})
    theirs = a_pool("theirs")
    theirs["spec"]["deletionPolicy"] = "DeleteWhenIdle"
    own = thing("BatchJob", "own", "team", poolRef={"name": "theirs"}, suspend=True, tasks=sleeping(1))
    stage.apply(*stage.account_objects(namespace="team"), theirs, own)
    await stage.until(lambda: stage.ready("bp", "theirs", "team"), 900)
    await stage.until(lambda: stage.phase("bj", "own", "team") == "Suspended", 60)
    await stage.kill()
    stage.delete("bp", "theirs", "team")
    fault = stage.fail("list", "batchjobs", namespace="team", status=403, message="is forbidden")
    watch = stage.watch.hold()
    stage.start()
    await stage.run_for(120)
    fault.end()
    await stage.until(lambda: stage.reason("bp", "theirs", namespace="team") == "WaitingForTasks", 120)
    watch.release()
    assert stage.azure.calls("Pools_DeletePool") == 0


async def test_statuses_that_are_owed_in_a_denied_namespace_cost_little_and_are_written_when_it_is_back(
    stage: Stage,
) -> None:
    await a_team(stage)
    faults = forbid(stage)
    stage.azure.post("/pools/theirs/resize", {"targetDedicatedNodes": 0})
    await stage.run_for(7200)
    owed = "batchpools/status", "team"
    assert 2 <= stage.api.writes(*owed, ok=False) - stage.api.writes(*owed) <= 40, "and not 240"
    for fault in faults:
        fault.end()
    await stage.until(lambda: stage.status("bp", "theirs", "team")["currentDedicatedNodes"] == 0, 120)


async def test_a_namespace_of_which_only_a_list_was_refused_is_reconciled_within_a_minute(stage: Stage) -> None:
    """As while the rights of a Role are spread: the request for the namespace itself may be permitted before."""
    await a_team(stage)
    await stage.kill()
    fault = stage.fail("list", namespace="team", status=403, message="is forbidden")
    stage.start()
    await stage.run_for(5)
    fault.end()
    assert DENIED._value.get() == 1
    await stage.until(lambda: DENIED._value.get() == 0, 60)
