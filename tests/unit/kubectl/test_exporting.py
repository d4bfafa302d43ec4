"""export: the body of each kind, and what cannot be in it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import Result

from azure_batch_kubectl.exporting import exported, tasks
from azure_batch_kubectl.failure import FailureError
from unit.kubectl.conftest import FakeCluster, thing

MACHINE = {"imageReference": {"sku": "22_04"}, "nodeAgentSKUId": "batch.node.ubuntu 22.04"}


def of(kind: str, name: str = "own", status: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    return thing(kind, name, **(status or {})) | {"spec": spec}


def test_a_pool_without_what_is_the_operators_own() -> None:
    secret = {"name": "s", "key": "password"}
    pool = of(
        "BatchPool", id="cpu", accountRef={"name": "main"}, vmSize="d2", virtualMachineConfiguration=MACHINE,
        targetDedicatedNodes=2, deletionPolicy="Orphan", userAccounts=[{"name": "bob", "passwordSecretRef": secret}],
    )  # fmt: skip
    made = exported(pool, None)
    assert made.body == {
        "id": "cpu",
        "vmSize": "d2",
        "virtualMachineConfiguration": MACHINE,
        "targetDedicatedNodes": 2,
        "userAccounts": [{"name": "bob"}],
    }
    assert made.notes == ["userAccounts[0].passwordSecretRef is left out: insert the value itself"]


def test_a_profile_is_the_formula_that_the_operator_has_made_of_it() -> None:
    profile = {"maximum": 3, "pendingTasks": {}}
    shown = {"autoScaleFormula": "$x=1"}
    pool = of("BatchPool", "own", shown, vmSize="d2", virtualMachineConfiguration=MACHINE, autoScaleProfile=profile)
    made = exported(pool, None)
    assert made.body["enableAutoScale"] is True
    assert made.body["autoScaleFormula"] == "$x=1"
    with pytest.raises(FailureError, match="does not show the formula"):
        exported(of("BatchPool", vmSize="d2", virtualMachineConfiguration=MACHINE, autoScaleProfile=profile), None)


def test_a_job_and_its_tasks() -> None:
    job = of(
        "BatchJob", poolRef={"name": "cpu"}, priority=5, suspend=True, onAllTasksComplete="terminatejob",
        taskFactory={"parametricSweep": {"parameterSets": [{"start": 1, "end": 2}]}, "repeatTask": {"commandLine": "run {0}"}},
    )  # fmt: skip
    made = exported(job, "cpu-1")
    assert made.body == {"id": "own", "priority": 5, "usesTaskDependencies": True, "poolInfo": {"poolId": "cpu-1"}}
    assert len(made.notes) == 1
    assert made.notes[0].startswith("onAllTasksComplete is left out")
    assert tasks(job).body == [{"id": "0", "commandLine": "run 1"}, {"id": "1", "commandLine": "run 2"}]


def test_a_schedule_and_a_task() -> None:
    every = {"recurrenceInterval": "PT1H"}
    schedule = of("BatchJobSchedule", schedule=every, suspend=True, jobSpecification={"poolRef": {"name": "cpu"}})
    assert exported(schedule, "cpu").body == {
        "id": "own",
        "schedule": every,
        "jobSpecification": {"poolInfo": {"poolId": "cpu"}},
    }
    task = of("BatchTask", jobRef={"name": "j"}, commandLine="x")
    assert exported(task, None).body == {"id": "own", "commandLine": "x"}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (of("BatchAccount"), "az batch has no command that takes a BatchAccount"),
        (of("BatchJob", retryOf={"name": "x"}), "takes its settings from another"),
        (
            of("BatchJobSchedule", cron={"expression": "@daily"}, jobSpecification={}),
            "uses cron, which only the operator supports",
        ),
    ],
)
def test_what_azure_batch_does_not_have_is_refused(given: dict[str, Any], says: str) -> None:
    with pytest.raises(FailureError, match=says):
        exported(given, None)


def test_tasks_that_stand_elsewhere_are_refused() -> None:
    with pytest.raises(FailureError, match="come from elsewhere"):
        tasks(of("BatchJob", tasksFrom=[{"configMapKeyRef": {"name": "t", "key": "k"}}]))


def test_the_command_requests_the_id_of_the_pool(fake: FakeCluster, run: Callable[..., Result]) -> None:
    fake.add(of("BatchJob", "j", poolRef={"name": "cpu"}))
    missing = run("export", "bj/j")
    assert missing.stderr.startswith("error: the ID of its pool cannot be read: BatchPool cpu: ")
    fake.add(of("BatchPool", "cpu", id="Cpu_1"))
    done = run("export", "--az", "bj/j")
    assert json.loads(done.stdout)["poolInfo"] == {"poolId": "Cpu_1"}
    assert run("export", "bp/cpu", "--tasks").exit_code == 1
