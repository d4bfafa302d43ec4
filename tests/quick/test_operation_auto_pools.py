"""BatchOperation: a pool that the service has made for a job belongs to the owner of that job."""

from __future__ import annotations

import pytest

from quick.test_operations import Body, ended, nodes, outcomes, pool_body
from support.stage import Stage, job, operation, schedule, thing

REBOOT = {"nodes": {"selector": "all"}}
ENDLESS = {"commandLine": "/bin/sh -c 'sleep 30000'"}


def auto(lifetime: str = "job", **more: str) -> Body:
    body = {name: value for name, value in pool_body("any", 1).items() if name != "id"}
    return {"autoPoolSpecification": {"poolLifetimeOption": lifetime, "pool": body, **more}}


async def made(stage: Stage) -> str:
    """The id of the auto pool, once its node is there."""
    await stage.until(lambda: len(stage.azure.ids("/pools")) == 1, 900)
    (id,) = stage.azure.ids("/pools")
    await stage.until(lambda: [each["state"] for each in stage.azure.all(f"/pools/{id}/nodes")] == ["running"], 900)
    return id


def of_team(stage: Stage, id: str) -> None:
    stage.apply({"kind": "Namespace", "metadata": {"name": "team"}})
    stage.patch("bacc", "main", {"spec": {"allowedNamespaces": {"all": True}}})
    account = {"name": "main", "namespace": "default"}
    stage.apply(thing("BatchOperation", "op", "team", accountRef=account, poolId=id, rebootNode=REBOOT))


@pytest.mark.parametrize("prefix", [{}, {"autoPoolIdPrefix": "mine"}])
async def test_the_auto_pool_of_a_job_of_another_namespace_is_refused(stage: Stage, prefix: dict[str, str]) -> None:
    stage.apply(*stage.account_objects())
    own = {"poolRef": None, "accountRef": {"name": "main"}, "poolInfo": auto(**prefix)}
    stage.apply(job("mine", **own, tasks=[{"id": "t", **ENDLESS}]))
    id = await made(stage)
    of_team(stage, id)
    await stage.until(lambda: stage.reason("bop", "op", "team") == "TargetNotAllowed", 600)
    assert stage.azure.calls("Nodes_RebootNode") == 0
    # The namespace of the job reaches it.
    stage.apply(operation("op", poolRef=None, accountRef={"name": "main"}, poolId=id, rebootNode=REBOOT))
    await ended(stage)
    assert outcomes(stage) == dict.fromkeys(nodes(stage, id), "Succeeded")


async def test_the_auto_pool_of_a_schedule_of_another_namespace_is_refused(stage: Stage) -> None:
    stage.apply(*stage.account_objects())
    made_of = {"poolInfo": auto("jobschedule"), "jobManagerTask": {"id": "m", **ENDLESS}}
    stage.apply(
        schedule("tick", accountRef={"name": "main"}, schedule={"recurrenceInterval": "PT1H"}, jobSpecification=made_of)
    )
    of_team(stage, await made(stage))
    await stage.until(lambda: stage.reason("bop", "op", "team") == "TargetNotAllowed", 600)
    assert stage.azure.calls("Nodes_RebootNode") == 0


async def test_an_auto_pool_without_a_job_is_refused(stage: Stage) -> None:
    """As one with `keepAlive` whose job was deleted."""
    stage.apply(*stage.account_objects())
    id = "5995F2C3-04BD-4F7A-9B67-0E1F3F9B7A11"
    stage.azure.post("/pools", pool_body(id, 1))
    await stage.run_for(300)
    stage.apply(operation("op", poolRef=None, accountRef={"name": "main"}, poolId=id, rebootNode=REBOOT))
    await stage.until(lambda: stage.reason("bop", "op") == "TargetNotAllowed", 600)
    assert stage.azure.calls("Nodes_RebootNode") == 0
