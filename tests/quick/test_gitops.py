"""What GitOps tools see of objects as the operator leaves them, above all of those that it is told to leave alone."""

from __future__ import annotations

import pytest

import gitopstools
from artifacts import gitops
from support.gitops_page import PAGE, page, states, table
from support.stage import Options, Stage, pool


async def test_the_table_in_the_documentation_is_what_the_tools_say(stage: Stage) -> None:
    text = PAGE.read_text()
    assert page(text, table(await states(stage))) == text, "run: python tests/support/gitops_page.py --write"


@pytest.mark.parametrize("stage", [Options(settings={"reconcile_policy": "skip"})], indirect=True)
async def test_no_tool_waits_for_a_held_object(stage: Stage) -> None:
    """The policy may be the namespace's or the operator's: tools see it all the same, also if the account is missing."""
    stage.apply(*stage.account_objects(), pool("cpu"), pool("lost", accountRef={"name": "nowhere"}))
    for name in ("cpu", "lost"):
        await stage.until(lambda name=name: stage.condition("bp", name, "Skipped"), 120)  # type: ignore[misc]
        body = stage.get("bp", name)
        assert gitopstools.kstatus([body]) == ["Current"]
        assert gitopstools.run("health", gitops.health_lua("BatchPool"), body)["status"] == "Suspended"
        # `kubectl wait --for=condition=Ready` waits: there is no pool.
        assert not stage.condition("bp", name, "Ready")
    assert "create_pool" in stage.condition("bp", "cpu", "Skipped")["message"]
    assert "default/nowhere" in stage.condition("bp", "lost", "Skipped")["message"]


async def test_a_held_pool_is_ready_only_while_it_exists(stage: Stage) -> None:
    stage.apply(*stage.account_objects(), pool("cpu"))
    await stage.until(lambda: stage.phase("bp", "cpu") == "Starting", 300)
    stage.annotate("bp", "cpu", reconcile_policy="skip")
    await stage.until(lambda: stage.condition("bp", "cpu", "Skipped"), 60)
    assert not stage.condition("bp", "cpu", "Ready"), "its nodes start"
    await stage.until(lambda: stage.ready("bp", "cpu"), 900)
    stage.azure.delete("/pools/cpu")
    await stage.until(lambda: stage.phase("bp", "cpu") == "Skipped", 900)
    assert not stage.condition("bp", "cpu", "Ready"), "somebody has deleted it"


async def test_a_held_object_is_written_once_and_continues_when_it_is_released(stage: Stage) -> None:
    await stage.ready_pool()
    stage.annotate("bp", "cpu", reconcile_policy="skip")
    await stage.until(lambda: stage.reason("bp", "cpu") == "ReconcileSkipped")
    assert stage.phase("bp", "cpu") == "Steady"
    writes = stage.writes("bp", "cpu")
    await stage.run_for(1800)
    assert stage.writes("bp", "cpu") == writes

    stage.patch("bp", "cpu", {"spec": {"targetDedicatedNodes": 3}})
    await stage.until(lambda: stage.phase("bp", "cpu") == "Skipped")
    assert "resize_pool" in stage.condition("bp", "cpu")["message"]
    await stage.until(lambda: len(stage.events("bp", "cpu", "ReconcileSkipped")) == 1, 10)
    writes = stage.writes("bp", "cpu")
    await stage.run_for(1800)
    assert stage.writes("bp", "cpu") == writes
    assert stage.azure.calls("Pools_ResizePool") == 0

    stage.annotate("bp", "cpu", reconcile_policy=None)
    await stage.until(lambda: stage.phase("bp", "cpu") == "Resizing")
    assert not stage.ready("bp", "cpu")
    await stage.until(lambda: stage.ready("bp", "cpu") and stage.reason("bp", "cpu") == "Steady", 900)
