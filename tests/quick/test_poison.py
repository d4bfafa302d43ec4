"""No text, number or shape ends a service: what cannot be handled is that object's failure, shown in its status."""

from __future__ import annotations

from typing import Any

import pytest

from azure_batch_operator.api.resource import Resource
from azure_batch_operator.sync import observe as views
from support.stage import Stage, config_map, job, pool, sleeping


async def others_go_on(stage: Stage, name: str = "after") -> None:
    """Work that is new is done, also by an operator that has just started."""
    stage.apply(job(name, tasks=sleeping(1, 10)))
    await stage.until(lambda: stage.phase("bj", name) == "Succeeded", 300)
    await stage.restart()
    stage.apply(job(f"{name}-restart", tasks=sleeping(1, 10)))
    await stage.until(lambda: stage.phase("bj", f"{name}-restart") == "Succeeded", 300)


async def test_an_account_in_a_status_without_a_slash(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(job("own", tasks=sleeping(1, 3600)))
    await stage.until(lambda: stage.phase("bj", "own") == "Running")
    stage.patch("bj", "own", {"status": {"account": "edited"}}, status=True)
    await others_go_on(stage)


@pytest.mark.parametrize("template", ["echo {0:5000000000}", "echo {0:" + "9" * 400 + "}", "echo {" + "9" * 400 + "}"])
async def test_a_placeholder_beyond_all_bounds(stage: Stage, template: str) -> None:
    await stage.ready_pool()
    factory = {"parametricSweep": {"parameterSets": [{"start": 1, "end": 2}]}, "repeatTask": {"commandLine": template}}
    stage.apply(job("wrong", taskFactory=factory))
    await stage.until(lambda: stage.reason("bj", "wrong") not in {"", "Pending"}, 60)
    assert stage.condition("bj", "wrong")["status"] == "False"
    await others_go_on(stage)


async def test_a_sweep_to_the_end_of_numbers(stage: Stage) -> None:
    await stage.ready_pool()
    sets = [{"start": 1, "end": 2**63 - 1}]
    factory = {"parametricSweep": {"parameterSets": sets}, "repeatTask": {"commandLine": "echo {0}"}}
    stage.server.validates = False  # The definition bounds it, an older one did not.
    stage.apply(job("wrong", taskFactory=factory))
    stage.server.validates = True
    await stage.until(lambda: stage.reason("bj", "wrong") == "InvalidTasks", 60)
    assert stage.condition("bj", "wrong")["status"] == "False"
    assert stage.azure.calls("Jobs_CreateJob") == 0
    await others_go_on(stage)


async def test_metadata_of_a_foreign_pool_without_a_value(stage: Stage) -> None:
    await stage.ready_pool()
    stage.azure.service.pool("cpu")
    body: dict[str, Any] = dict(stage.azure.service.pool("cpu").spec)
    stage.azure.post("/pools", {**_creatable(body), "id": "foreign", "targetDedicatedNodes": 0})
    stage.azure.service.pool("foreign").spec["metadata"] = [{"name": "azurebatch.io/owner"}, {"name": "x"}]
    await others_go_on(stage)


def _creatable(spec: dict[str, Any]) -> dict[str, Any]:
    names = ("vmSize", "virtualMachineConfiguration")
    return {name: spec[name] for name in names}


async def test_a_csv_whose_quote_is_not_closed(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply({"kind": "ConfigMap", "metadata": {"name": "rows"}, "data": {"rows.csv": 'a,b\n"open,1\nx,2\n'}})
    source = {
        "configMapKeyRef": {"name": "rows", "key": "rows.csv"},
        "template": {"id": "t-{a}", "commandLine": "echo {b}"},
    }
    stage.apply(job("wrong", tasksFrom=[source]))
    await stage.until(lambda: stage.reason("bj", "wrong") == "InvalidTasks", 60)
    await others_go_on(stage)


async def test_specs_that_pass_the_definitions_by_say_so(stage: Stage) -> None:
    """They were made under looser definitions: each says what is wrong, the others go on, also after a restart."""
    await stage.ready_pool()
    stage.server.validates = False
    wrong = {
        "pool-nodes": pool("pool-nodes", targetDedicatedNodes="many"),
        "pool-size": pool("pool-size", vmSize=7),
        "job-tasks": job("job-tasks", tasks="none"),
        "job-task": job("job-task", tasks=[7]),
        "job-pool": job("job-pool", poolRef="cpu"),
        "job-deadline": job("job-deadline", tasks=sleeping(1), pendingDeadlineSeconds="soon"),
    }
    for body in wrong.values():
        stage.apply(body)
    stage.server.validates = True
    await others_go_on(stage)
    for name, body in wrong.items():
        assert stage.condition(body["kind"], name).get("status") == "False", f"{name}\n{stage.picture()}"


async def test_a_fault_of_the_operator_is_shown_on_the_object_and_retried(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    decide = views.plan

    def faulty(context: Any, resource: Resource, *rest: Any) -> Any:
        if resource.key.name == "wrong":
            raise RuntimeError("secret=hunter2")
        return decide(context, resource, *rest)

    await stage.ready_pool()
    monkeypatch.setattr(views, "plan", faulty)
    stage.apply(job("wrong", tasks=sleeping(1, 10)))
    await stage.until(lambda: stage.reason("bj", "wrong") == "InternalError", 60)
    assert stage.condition("bj", "wrong", "Stalled")["status"] == "True"
    assert "report it" in stage.condition("bj", "wrong")["message"]
    assert "hunter2" not in str(stage.status("bj", "wrong"))
    await stage.until(lambda: stage.events("bj", "wrong", "InternalError"), 10)
    await others_go_on(stage)
    writes = stage.writes("bj", "wrong", "status")
    await stage.run_for(1800)
    assert stage.writes("bj", "wrong", "status") == writes, "the same fault again is not a new status"
    monkeypatch.undo()
    await stage.until(lambda: stage.phase("bj", "wrong") == "Succeeded", 400)
    assert stage.tracebacks
    stage.tracebacks.clear()


async def test_an_object_from_before_durations_lost_their_months_is_followed(stage: Stage) -> None:
    await stage.ready_pool()
    stage.server.validates = False
    stage.apply(job("own", tasks=sleeping(1, 30), constraints={"maxWallClockTime": "P1M"}))
    await stage.until(lambda: stage.phase("bj", "own") == "Succeeded", 900)


async def test_months_in_the_tasks_of_a_config_map_are_refused(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(config_map("list", tasks_yaml="- {id: a, commandLine: 'true', constraints: {retentionTime: P5M}}"))
    stage.apply(job("own", tasksFrom=[{"configMapKeyRef": {"name": "list", "key": "tasks.yaml"}}]))
    await stage.until(lambda: stage.reason("bj", "own") == "InvalidTasks", 60)
    assert "no months or years" in stage.condition("bj", "own")["message"]
    assert not stage.azure.ids("/jobs")
