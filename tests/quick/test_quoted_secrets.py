"""The service may quote what it refuses: no value of a Secret is shown for that, whatever was refused."""

from __future__ import annotations

import pytest

from support.stage import Stage, job, pool, secret, task

TEXT = "The value Correct-Horse provided for the user is invalid"
WRONG = {"status": 400, "code": "InvalidPropertyValue", "message": TEXT, "count": 1000}
REFERENCE = {"name": "pw", "key": "password"}
VARIABLE = [{"name": "A", "valueFrom": {"secretKeyRef": REFERENCE}}]


async def hidden(stage: Stage, kind: str, name: str, caplog: pytest.LogCaptureFixture) -> None:
    await stage.until(lambda: "provided for the user" in str(stage.status(kind, name)), 900)
    await stage.run_for(300)
    assert "Correct-Horse" not in str(stage.get(kind, name))
    assert "Correct-Horse" not in str(stage.events())
    assert "Correct-Horse" not in caplog.text


async def test_of_a_pool(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    stage.apply(*stage.account_objects(), secret("pw", password="Correct-Horse"))
    stage.azure.fault("Pools_CreatePool", **WRONG)
    stage.apply(pool("cpu", userAccounts=[{"name": "eve", "passwordSecretRef": REFERENCE}]))
    await hidden(stage, "bp", "cpu", caplog)


async def test_of_tasks_of_a_job(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    await stage.ready_pool()
    stage.apply(secret("pw", password="Correct-Horse"))
    stage.azure.fault("Tasks_CreateTaskCollection", **WRONG)
    stage.apply(job("own", tasks=[{"id": "t", "commandLine": "true", "environmentSettings": VARIABLE}]))
    await hidden(stage, "bj", "own", caplog)


async def test_of_a_task_of_its_own(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    await stage.ready_pool()
    one = task("t", "own", "true")
    one["spec"]["environmentSettings"] = VARIABLE
    stage.azure.fault("Tasks_CreateTaskCollection", **WRONG)
    stage.apply(secret("pw", password="Correct-Horse"), job("own"), one)
    await hidden(stage, "bt", "t", caplog)
