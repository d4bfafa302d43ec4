"""A value of a Secret that a task has printed never reaches a status, whatever the object is asked to do meanwhile."""

from __future__ import annotations

import pytest

from azure_batch_emulator.executors.simulated import SimulationRule
from support.stage import Stage, job, secret, sleeping, task, thing

ENVIRONMENT = [{"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "tokens", "key": "t"}}}]
VALUE = "hunter2-very-secret"


def prints_its_token(stage: Stage) -> None:
    rule = SimulationRule("own/one", seconds=(20.0, 20.0), exit_code=1, stderr=f"my token is {VALUE}\n")
    stage.azure.executor.rules.append(rule)
    stage.apply(secret("tokens", t=VALUE))


def tail(stage: Stage) -> str:
    failures = stage.status("bj", "own").get("failures")
    return str(failures[0].get("stderrTail", "")) if failures else ""


async def test_suspending_and_terminating_a_job_show_no_value(stage: Stage) -> None:
    await stage.ready_pool()
    prints_its_token(stage)
    tasks = [{"id": "one", "commandLine": "x", "environmentSettings": ENVIRONMENT}, *sleeping(2, 6000)]
    stage.apply(job("own", tasks=tasks))
    await stage.until(lambda: tail(stage), 600)
    stage.patch("bj", "own", {"spec": {"suspend": True}})
    await stage.until(lambda: stage.phase("bj", "own") == "Suspended", 300)
    stage.annotate("bj", "own", terminate="1")
    await stage.until(lambda: stage.phase("bj", "own") == "Failed", 300)
    assert tail(stage) == "my token is …"
    assert VALUE not in str(stage.api.log)


async def test_a_job_shows_no_value_of_a_batch_task_after_a_restart(stage: Stage) -> None:
    await stage.ready_pool()
    prints_its_token(stage)
    stage.apply(job("own", tasks=None), task("one", "own", "x", environmentSettings=ENVIRONMENT))
    await stage.until(lambda: stage.phase("bt", "one") == "Failed" and tail(stage), 300)
    await stage.restart()
    stage.annotate("bj", "own", reconcile_now="1")
    await stage.always(lambda: tail(stage) == "my token is …", 600)


@pytest.mark.parametrize("value", ['{"a":{"b":1}}', "p{0}w}} {{x ${0} {$}", "$(x) {{{0}}} {0:3}"])
async def test_values_of_secrets_in_a_task_factory_are_no_templates(stage: Stage, value: str) -> None:
    """What is cut out of output is the value of the Secret, so tasks must get exactly that; also those that run again."""
    await stage.ready_pool()
    stage.apply(secret("own", k=value))
    variable = {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "own", "key": "k"}}}
    template = {"commandLine": "/bin/sh -c 'exit {0}'", "environmentSettings": [variable]}
    sets = {"parameterSets": [{"start": 5, "end": 6}]}
    stage.apply(job("steps", taskFactory={"parametricSweep": sets, "repeatTask": template}))
    await stage.until(lambda: stage.phase("bj", "steps") == "Failed", 900)
    stage.apply(thing("BatchJob", "again", retryOf={"name": "steps"}))
    await stage.until(lambda: stage.phase("bj", "again") == "Failed", 900)
    for name in ("steps", "again"):
        sent = stage.azure.all(f"/jobs/{name}/tasks")
        assert [each["environmentSettings"][0]["value"] for each in sent] == [value, value]
        assert [each["commandLine"] for each in sent] == ["/bin/sh -c 'exit 5'", "/bin/sh -c 'exit 6'"]
