"""Secrets and ConfigMaps on the whole path: values reach the tasks, what is missing is named, and nothing secret is shown."""

from __future__ import annotations

import json
from typing import Any

from e2e.conftest import Stage, job, pool, task

TOKEN = "hunter2-is-not-to-be-seen"


def secret(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}


def config(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def expecting(variable: str, value: str) -> str:
    """A command that fails unless the variable has the value."""
    return f"/bin/sh -c 'test \"${variable}\" = {value}'"


USER = {"name": "worker", "passwordSecretRef": {"name": "users", "key": "worker"}}
FROM_SECRET = {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "tokens", "key": "t"}}}
FROM_CONFIG = {"name": "MODE", "valueFrom": {"configMapKeyRef": {"name": "modes", "key": "m"}}}


def test_values_arrive_and_stay_unseen(stage: Stage) -> None:
    stage.apply(*stage.account(), pool("cpu", userAccounts=[USER]))
    stage.until(lambda: stage.condition("bp", "cpu").get("reason") == "SecretNotFound", "the pool names its Secret")
    message = stage.condition("bp", "cpu")["message"]
    assert "spec.userAccounts[0].passwordSecretRef" in message
    assert "create it with key 'worker'" in message
    stage.apply(secret("users", worker=TOKEN))
    stage.wait("bp", "cpu", "Ready")

    of_that_length = f"/bin/sh -c 'test ${{#TOKEN}} = {len(TOKEN)}'"
    stage.apply(
        job("by-template", taskFactory={
            "repeat": {"count": 2},
            "repeatTask": {"commandLine": of_that_length, "environmentSettings": [FROM_SECRET, FROM_CONFIG]},
        }),
        job("open", usesTaskDependencies=False),
        task("alone", "open", expecting("MODE", "fast"), environmentSettings=[FROM_CONFIG]),
    )  # fmt: skip
    stage.until(
        lambda: stage.condition("bj", "by-template").get("reason") == "SecretNotFound", "the job names its Secret"
    )
    stage.until(lambda: stage.condition("bt", "alone").get("reason") == "ConfigMapNotFound", "the task its ConfigMap")
    stage.apply(secret("tokens", t=TOKEN), config("modes", m="fast"))
    stage.wait("bj", "by-template", "Complete")
    stage.wait("bt", "alone", "Complete")

    shown = stage.kubectl("get", "bp,bj,bt,events", "-o", "json") + stage.operator.log.read_text()
    assert TOKEN not in shown


LISTED = [{"id": f"listed-{n}", "commandLine": "true"} for n in range(3)]


def test_tasks_from_config_maps_and_all_kinds_of_factories(stage: Stage) -> None:
    stage.ready_pool()
    row = {
        "id": "row-{n:3}",
        "commandLine": expecting("WORD", "{word}"),
        "environmentSettings": [{"name": "WORD", "value": "{word}"}],
    }
    stage.apply(
        config("tasks", list=json.dumps(LISTED), table="n,word\n1,a\n22,b\n", items="one\ntwo\n"),
        job(
            "all",
            tasks=[{"id": "inline", "commandLine": "true"}],
            tasksFrom=[
                {"configMapKeyRef": {"name": "tasks", "key": "list"}},
                {"configMapKeyRef": {"name": "tasks", "key": "table"}, "template": row},
            ],
            taskFactory={
                "taskPerItem": {"itemsFrom": {"configMapKeyRef": {"name": "tasks", "key": "items"}}},
                "repeatTask": {"commandLine": "echo {0}"},
                "mergeTask": {"commandLine": "true"},
            },
        ),
        job("repeated", taskFactory={"repeat": {"count": 5}, "repeatTask": {"commandLine": "echo {0}"}}),
        job("lost", tasksFrom=[{"configMapKeyRef": {"name": "tasks", "key": "nothing"}}]),
    )
    stage.wait("bj", "all", "Complete")
    stage.wait("bj", "repeated", "Complete")
    assert stage.status("bj", "all")["taskCounts"]["succeeded"] == 1 + 3 + 2 + 2 + 1
    assert stage.status("bj", "repeated")["taskCounts"]["succeeded"] == 5
    stage.until(
        lambda: stage.condition("bj", "lost").get("reason") == "ConfigMapKeyNotFound", "the missing key is named"
    )
    assert "it has: items, list, table" in stage.condition("bj", "lost")["message"]
    stage.kubectl("delete", "bj", "lost", "--timeout=30s")


def test_a_job_is_followed_to_its_end_without_its_config_map(stage: Stage) -> None:
    stage.ready_pool()
    waits = [
        {"id": "long", "commandLine": "/bin/sh -c 'while ! test -e $AZ_BATCH_NODE_SHARED_DIR/go; do sleep 0.1; done'"}
    ]
    stage.apply(
        config("tasks", list=json.dumps(waits)),
        job("followed", tasksFrom=[{"configMapKeyRef": {"name": "tasks", "key": "list"}}]),
    )
    stage.until(lambda: stage.status("bj", "followed").get("taskCounts", {}).get("running"), "the task runs")
    stage.kubectl("delete", "configmap", "tasks")
    stage.kill_operator()
    stage.restart_operator()
    stage.apply(
        job(
            "key",
            tasks=[{"id": f"k{n}", "commandLine": "/bin/sh -c 'touch $AZ_BATCH_NODE_SHARED_DIR/go'"} for n in range(6)],
        )
    )
    stage.wait("bj", "followed", "Complete")
    assert stage.status("bj", "followed")["taskCounts"]["total"] == 1


def test_a_job_with_a_pool_of_its_own_and_special_tasks(stage: Stage) -> None:
    stage.apply(*stage.account())
    description = {key: value for key, value in pool("x")["spec"].items() if key != "accountRef"}
    auto = {"poolLifetimeOption": "Job", "autoPoolIdPrefix": "mine", "pool": description}
    body = job(
        "own",
        accountRef={"name": "main"},
        poolInfo={"autoPoolSpecification": auto},
        jobPreparationTask={"commandLine": "/bin/sh -c 'echo ready > $AZ_BATCH_NODE_SHARED_DIR/prepared'"},
        jobReleaseTask={"commandLine": "true"},
        tasks=[{"id": "a", "commandLine": "/bin/sh -c 'test -e $AZ_BATCH_NODE_SHARED_DIR/prepared'"}],
    )
    del body["spec"]["poolRef"]
    stage.apply(body)
    stage.wait("bj", "own", "Complete")
    assert stage.status("bj", "own")["poolId"].startswith("mine_")
