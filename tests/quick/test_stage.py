"""The stage itself: what it promises to the tests that stand on it."""

from __future__ import annotations

import asyncio

import pytest

from support.stage import Options, Refusal, Stage, job, pool, run_on_stage, sleeping
from support.stage.apiserver import Id


async def test_a_job_runs_to_its_end(stage: Stage) -> None:
    stage.apply(*stage.account_objects(), pool("cpu"), job("own", tasks=sleeping(5, 600)))
    await stage.until(lambda: stage.phase("bj", "own") == "Running", 900)
    begun = stage.clock.time()
    await stage.until(lambda: stage.phase("bj", "own") == "Succeeded", 3600)
    assert stage.status("bj", "own")["taskCounts"]["succeeded"] == 5
    # Four at a time on two nodes with two slots each.
    assert 1200 - 60 <= stage.clock.time() - begun <= 1200 + 120
    await stage.run_for(60)
    stage.delete("bj", "own")
    stage.delete("bp", "cpu")
    await stage.until(lambda: stage.gone("bj", "own") and stage.gone("bp", "cpu"), 900)
    assert stage.azure.ids("/pools") == stage.azure.ids("/jobs") == []


def history(seed: int) -> tuple[int, list[tuple[float, str]], list[tuple[str, str, int]]]:
    """All that a scenario did."""

    async def scenario(stage: Stage) -> tuple[int, list[tuple[float, str]], list[tuple[str, str, int]]]:
        await stage.ready_pool()
        stage.apply(job("own", tasks=sleeping(3, 30)))
        await stage.until(lambda: stage.phase("bj", "own") == "Succeeded", 600)
        calls = [(each.time, each.operation) for each in stage.azure.log]
        return stage.loop.rounds, calls, [(each.type, each.id.name, each.version) for each in stage.server.log]

    found: tuple[int, list[tuple[float, str]], list[tuple[str, str, int]]] = run_on_stage(scenario, Options(seed=seed))
    return found


def test_one_seed_is_one_history_and_another_seed_another() -> None:
    assert history(1) == history(1)
    assert history(1)[1] != history(2)[1]


async def test_a_killed_operator_does_nothing_more_and_the_next_one_continues(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(job("own", tasks=sleeping(3, 60)))
    await stage.until(lambda: stage.azure.get("/jobs/own"))
    await stage.kill()
    calls, writes = len(stage.azure.log), len(stage.api.log)
    await stage.run_for(600)
    assert (len(stage.azure.log), len(stage.api.log)) == (calls, writes)
    assert stage.operator.tasks == 0
    stage.start()
    await stage.until(lambda: stage.phase("bj", "own") == "Succeeded", 120)


@pytest.mark.parametrize("after", [False, True])
async def test_an_operator_is_killed_at_an_effect(stage: Stage, after: bool) -> None:
    """The fifth: by then it has written the account's status and is about the pool."""
    stage.apply(*stage.account_objects(), pool("cpu"))
    stage.kill_at_effect(5, after=after)
    await stage.until(lambda: not stage.operator.running)
    # What was on the wire by then still lands.
    assert 5 <= stage.effects <= 6
    await stage.operator.reaped()
    stage.start()
    await stage.until(lambda: stage.ready("bp", "cpu"), 600)
    assert stage.azure.ids("/pools") == ["cpu"]


async def test_a_frozen_operator_stops_and_continues(stage: Stage) -> None:
    await stage.ready_pool()
    stage.freeze()
    calls = len(stage.azure.log)
    stage.apply(job("own", tasks=sleeping(3, 60)))
    await stage.run_for(3600)
    assert len(stage.azure.log) == calls
    assert stage.azure.get("/jobs/own") is None
    stage.thaw()
    await stage.until(lambda: stage.phase("bj", "own") == "Succeeded", 200)


async def test_a_call_that_is_delayed_lands_after_its_caller_has_died(stage: Stage) -> None:
    await stage.ready_pool()
    hold = stage.azure.hold("Jobs_CreateJob")
    stage.apply(job("own", tasks=sleeping(1)))
    await stage.until(lambda: hold.arrived)
    await stage.kill()
    assert stage.azure.get("/jobs/own") is None
    hold.release()
    await stage.until(lambda: stage.azure.get("/jobs/own"), 1)


async def test_events_are_held_dropped_and_repeated(stage: Stage) -> None:
    await stage.ready_pool()
    hold = stage.watch.hold("batchjobs", "late")
    stage.watch.drop("batchjobs", "lost", type="ADDED")
    stage.apply(job("late", tasks=sleeping(1)), job("lost", tasks=sleeping(1)), job("soon", tasks=sleeping(1)))
    await stage.until(lambda: stage.phase("bj", "soon") == "Running")
    assert stage.azure.ids("/jobs") == ["soon"]
    hold.release()
    stage.watch.replay("batchjobs", "lost")
    await stage.until(lambda: stage.azure.ids("/jobs") == ["late", "lost", "soon"])


async def test_the_api_server_fails_on_order(stage: Stage) -> None:
    fault = stage.fail("patch", "batchpools/status", status=500)
    stage.apply(*stage.account_objects(), pool("cpu"))
    await stage.until(lambda: fault.hits >= 3)
    assert stage.phase("bp", "cpu") == "Pending"
    fault.end()
    await stage.until(lambda: stage.ready("bp", "cpu"), 600)


async def test_an_operator_that_stops_writes_what_it_knows(stage: Stage) -> None:
    await stage.ready_pool()
    await stage.operator.stop()
    assert stage.operator.error is None
    calls = len(stage.azure.log)
    await stage.run_for(60)
    assert len(stage.azure.log) == calls


# --- the API server's rules ---


async def test_the_schema_is_enforced(stage: Stage) -> None:
    with pytest.raises(Refusal, match=r"spec\.targetDedicatedNodes: Invalid value") as refused:
        stage.apply(pool("cpu", targetDedicatedNodes=-1))
    assert refused.value.status == 422
    with pytest.raises(Refusal, match=r"spec\.vmSize: Required value"):
        stage.server.create(
            "batchpools", "default", {"metadata": {"name": "cpu"}, "spec": {"accountRef": {"name": "x"}}}
        )
    stage.apply(pool("cpu", noSuchThing=1))
    assert "noSuchThing" not in stage.get("bp", "cpu")["spec"]
    assert stage.status("bp", "cpu")["observedGeneration"] == -1


async def test_generation_and_version_move_as_they_should(stage: Stage) -> None:
    await stage.kill()
    stage.apply(pool("cpu"))
    before = stage.get("bp", "cpu")["metadata"]
    stage.annotate("bp", "cpu", note="1")
    stage.patch("bp", "cpu", {"status": {"phase": "Steady"}}, status=True)
    stage.patch("bp", "cpu", {"status": {"phase": "Failed"}})  # not by this way
    after = stage.get("bp", "cpu")["metadata"]
    assert (before["generation"], after["generation"]) == (1, 1)
    assert int(after["resourceVersion"]) == int(before["resourceVersion"]) + 2
    assert stage.phase("bp", "cpu") == "Steady"
    stage.patch("bp", "cpu", {"spec": {"targetDedicatedNodes": 3}})
    assert stage.get("bp", "cpu")["metadata"]["generation"] == 2


async def test_preconditions_and_finalizers(stage: Stage) -> None:
    await stage.kill()
    stage.apply(pool("cpu") | {"metadata": {"name": "cpu", "finalizers": ["a/b"]}})
    id = Id("batchpools", "default", "cpu")
    for refused in (
        lambda: stage.server.merge(id, {"metadata": {"uid": "another"}, "status": {}}, status=True),
        lambda: stage.server.merge(id, {"metadata": {"resourceVersion": "1"}, "spec": {}}),
        lambda: stage.server.delete(id, {"preconditions": {"uid": "another"}}),
    ):
        with pytest.raises(Refusal) as refusal:
            refused()
        assert refusal.value.status == 409
    stage.delete("bp", "cpu")
    assert "deletionTimestamp" in stage.get("bp", "cpu")["metadata"]
    with pytest.raises(Refusal, match="no new finalizers"):
        stage.server.patch(id, [{"op": "add", "path": "/metadata/finalizers/-", "value": "c/d"}])
    with pytest.raises(Refusal) as failed:
        stage.server.patch(id, [{"op": "test", "path": "/metadata/uid", "value": "x"}])
    assert (failed.value.status, failed.value.causes) == (422, ())
    stage.take_finalizers_off("bp", "cpu")
    assert stage.gone("bp", "cpu")


async def test_a_namespace_takes_what_is_in_it_along(stage: Stage) -> None:
    stage.apply({"kind": "Namespace", "metadata": {"name": "team"}})
    stage.apply({"kind": "ConfigMap", "metadata": {"name": "c", "namespace": "team"}, "data": {}})
    stage.apply(pool("cpu") | {"metadata": {"name": "cpu", "namespace": "team", "finalizers": ["a/b"]}})
    stage.delete("ns", "team")
    await stage.until(lambda: stage.gone("cm", "c", "team"))
    with pytest.raises(Refusal, match="being terminated"):
        stage.apply({"kind": "Secret", "metadata": {"name": "s", "namespace": "team"}})
    stage.take_finalizers_off("bp", "cpu", "team")
    await stage.until(lambda: stage.gone("ns", "team"))


async def test_nothing_real_is_waited_for() -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    await asyncio.sleep(86_400)
    assert await asyncio.to_thread(lambda: 7) == 7
    assert loop.time() - began >= 86_400


async def test_cel_rules_are_enforced(stage: Stage) -> None:
    await stage.kill()
    with pytest.raises(Refusal, match="give either poolRef"):
        stage.apply(job("both", poolInfo={"poolId": "x"}))
    stage.apply(*stage.account_objects())
    with pytest.raises(Refusal, match="accountName cannot be changed"):
        stage.patch("bacc", "main", {"spec": {"accountName": "another"}})
    other = {"accountName": "another", "endpoint": "https://b.westeurope.batch.azure.com"}
    with pytest.raises(Refusal, match=r"endpoint cannot be changed: .*\. accountName cannot be changed: "):
        stage.patch("bacc", "main", {"spec": other})
    # What is wrong already may stay as it is.
    stage.server.validates = False
    stage.apply(job("both", poolInfo={"poolId": "x"}))
    stage.server.validates = True
    stage.annotate("bj", "both", note="1")
    stage.patch("bj", "both", {"status": {"phase": "Running"}}, status=True)
    with pytest.raises(Refusal, match="give either poolRef"):
        stage.patch("bj", "both", {"spec": {"priority": 7}})
