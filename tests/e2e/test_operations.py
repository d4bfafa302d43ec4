"""BatchOperation on a real API server and under the operator's own rights: each verb once, and a kill in the middle."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from azure_batch_operator.api.operation import TARGETS
from e2e.conftest import Stage, job, pool, thing

Body = dict[str, Any]
ALL = {"nodes": {"selector": "all"}}
KEY = "ssh-ed25519 AAAA somebody"
PASSWORD = {"name": "user", "key": "password"}
CONTAINER = {"containerUrlFrom": {"secretKeyRef": {"name": "user", "key": "url"}}, "startTime": "2026-01-01T00:00:00Z"}
OWN: Body = {"jobRef": {"name": "own"}}
WIDE: Body = {"accountRef": {"name": "main"}, "poolId": "wide"}
TICK: Body = {"scheduleRef": {"name": "tick"}}
CPU: Body = {"poolRef": {"name": "cpu"}}
AS = "--as=system:serviceaccount:azure-batch-operator:azure-batch-operator"


def node_states(stage: Stage, member: str = "state") -> list[str]:
    return [node[member] for node in stage.batch("GET", "pools/cpu/nodes")["value"]]


def scheduling(state: str) -> Callable[[Stage], bool]:
    return lambda stage: node_states(stage, "schedulingState") == [state] * 2


def run(stage: Stage, name: str, **spec: Any) -> Body:
    """Have an operation made and wait for its end; its status."""
    stage.apply(thing("BatchOperation", name, **spec))
    final = {"Succeeded", "Failed"}
    stage.until(lambda: stage.status("bop", name).get("phase") in final, f"operation {name} ends", 120)
    return stage.status("bop", name)


STEPS: list[tuple[str, Body, Callable[[Stage], bool] | None]] = [
    ("disableNodeScheduling", CPU | {"disableNodeScheduling": ALL}, scheduling("disabled")),
    ("enableNodeScheduling", CPU | {"enableNodeScheduling": ALL}, scheduling("enabled")),
    ("createNodeUser", CPU | {"createNodeUser": ALL | {"name": "ann", "passwordSecretRef": PASSWORD}}, None),
    ("updateNodeUser", CPU | {"updateNodeUser": ALL | {"name": "ann", "sshPublicKey": KEY}}, None),
    ("deleteNodeUser", CPU | {"deleteNodeUser": ALL | {"name": "ann"}}, None),
    ("getRemoteLoginSettings", CPU | {"getRemoteLoginSettings": ALL}, None),
    ("listNodeExtensions", CPU | {"listNodeExtensions": ALL}, None),
    ("uploadNodeLogs", CPU | {"uploadNodeLogs": ALL | CONTAINER}, None),
    ("rebootNode", CPU | {"rebootNode": ALL, "maxConcurrent": 1}, lambda stage: node_states(stage) == ["idle"] * 2),
    ("reimageNode", CPU | {"reimageNode": ALL}, lambda stage: node_states(stage) == ["idle"] * 2),
    ("deallocateNode", CPU | {"deallocateNode": ALL}, lambda stage: node_states(stage) == ["deallocated"] * 2),
    ("startNode", CPU | {"startNode": ALL}, lambda stage: node_states(stage) == ["idle"] * 2),
    ("stopResize", WIDE | {"stopResize": {}}, None),
    ("evaluateAutoScale", WIDE | {"evaluateAutoScale": {"autoScaleFormula": "$TargetDedicatedNodes = 1;"}}, None),
    ("usageMetrics", {"accountRef": {"name": "main"}, "usageMetrics": {}}, None),
    ("jobPreparationStatus", OWN | {"jobPreparationStatus": {}}, None),
    ("listSubtasks", OWN | {"taskId": "t1", "listSubtasks": {}}, None),
    ("listFiles", OWN | {"taskId": "t1", "listFiles": {}}, None),
    ("readFile", OWN | {"taskId": "t1", "readFile": {"path": "stdout.txt", "into": {"name": "out"}}}, None),
    ("deleteFile", OWN | {"taskId": "t1", "deleteFile": {"path": "stdout.txt"}}, None),
    ("reactivateTasks", OWN | {"reactivateTasks": {"tasks": {"failed": True}}}, None),
    ("terminateTasks", OWN | {"terminateTasks": {"tasks": {"ids": ["long"]}}}, None),
    ("terminateJob", OWN | {"terminateJob": {"terminateReason": "Enough"}}, None),
    ("scheduleStatus", TICK | {"scheduleStatus": {}}, None),
    ("terminateSchedule", TICK | {"terminateSchedule": {}}, None),
    ("removeNodes", CPU | {"removeNodes": ALL}, None),
]  # fmt: skip


def test_each_verb_once(make_stage: Any) -> None:
    stage: Stage = make_stage(time_scale=300.0)
    stage.ready_pool()
    user = {
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "user"},
        "stringData": {"password": "hush-hush", "url": "https://a.blob.core.windows.net/logs?sig=hush"},
    }  # fmt: skip
    tasks = [
        {"id": "t0", "commandLine": "/bin/sh -c true"},
        {"id": "t1", "commandLine": "/bin/sh -c 'echo said; exit 1'"},
        {"id": "long", "commandLine": "/bin/sh -c 'sleep 600'"},
    ]
    own = job(
        "own", tasks=tasks, failurePolicy={"action": "Hold"}, jobPreparationTask={"commandLine": "/bin/sh -c true"}
    )
    manager = {"id": "m", "commandLine": "/bin/sh -c 'sleep 600'"}
    every = {"recurrenceInterval": "PT24H"}
    tick = thing(
        "BatchJobSchedule",
        "tick",
        schedule=every,
        jobSpecification={"poolRef": {"name": "cpu"}, "jobManagerTask": manager},
    )
    wide = {
        name: value
        for name, value in pool("wide")["spec"].items()
        if name not in {"accountRef", "targetDedicatedNodes"}
    }
    stage.batch(
        "POST",
        "pools",
        {"id": "wide", **wide, "enableAutoScale": True, "autoScaleFormula": "$TargetDedicatedNodes = 0;"},
    )
    stage.apply(user)
    assert sorted(step[0] for step in STEPS) == sorted(TARGETS)
    for verb, spec, done in STEPS:
        if verb == "jobPreparationStatus":
            stage.apply(own, tick)
            stage.until(lambda: tasks_of(stage) == ENDS, "the tasks are where they go", 120)
        status = run(stage, verb.lower(), **spec)
        if verb == "stopResize":
            # Nothing is being resized, which is the service's to say.
            assert "OperationNotValidOnPool" in status["results"][0]["message"]
            continue
        assert status["phase"] == "Succeeded", (verb, status)
        assert done is None or done(stage), verb
    values = {step[0]: stage.status("bop", step[0].lower())["results"][0].get("values", {}) for step in STEPS}
    assert values["getRemoteLoginSettings"]["remoteLoginIPAddress"] == "127.0.0.1"
    assert values["listNodeExtensions"] == {"batchNodeExtension": "Succeeded"}
    assert values["evaluateAutoScale"]["$TargetDedicatedNodes"] == "1"
    assert values["jobPreparationStatus"]
    assert values["listFiles"]["wd"] == "directory"
    assert values["scheduleStatus"]["tick:job-1"] == "active"
    config_map = stage.get("configmap", "out")
    assert config_map["data"]["content"] == "said\n"
    assert config_map["metadata"]["ownerReferences"][0]["name"] == "readfile"
    assert "hush" not in stage.kubectl("get", "bop", "-o", "yaml")
    table = stage.kubectl("get", "bop", "rebootnode")
    assert table.split()[:6] == ["NAME", "PHASE", "DONE", "FAILED", "UNKNOWN", "REASON"]
    assert "2/2" in table
    # The garbage collector takes the file along.
    stage.kubectl("delete", "bop", "readfile")
    stage.until(lambda: not stage.get("configmap", "out"), "the ConfigMap is gone")


ENDS = {"t0": "completed", "t1": "completed", "long": "running"}


def tasks_of(stage: Stage) -> dict[str, str]:
    """State by id; empty before the job is there."""
    if stage.status("bj", "own").get("phase") in {None, "Pending", "Creating"}:
        return {}
    return {each["id"]: each["state"] for each in stage.batch("GET", "jobs/own/tasks")["value"]}


def test_a_kill_in_the_middle_leaves_no_node_out_and_reboots_none_twice(make_stage: Any) -> None:
    stage: Stage = make_stage(time_scale=300.0)
    stage.ready_pool(targetDedicatedNodes=6)
    stage.apply(thing("BatchOperation", "op", **CPU, rebootNode=ALL, maxConcurrent=2))
    stage.until(lambda: stage.status("bop", "op").get("counts", {}).get("succeeded"), "the first batch is done", 120)
    stage.kill_operator()
    stage.restart_operator()
    stage.kubectl("wait", "--for=condition=Complete", "bop/op", "--timeout=180s")
    status = stage.status("bop", "op")
    assert Counter(each["outcome"] for each in status["results"]) == {"Succeeded": 6}
    assert stage.calls()["Nodes_RebootNode"] == 6


def test_nothing_can_be_changed_and_the_operator_may_create_no_other_config_maps(stage: Stage) -> None:
    stage.ready_pool()
    run(stage, "op", **CPU, getRemoteLoginSettings=ALL, ttlSecondsAfterFinished=600)
    change = json.dumps({"spec": {"maxConcurrent": 3}})
    with pytest.raises(Exception, match="create a new BatchOperation"):
        stage.kubectl("patch", "bop", "op", "--type=merge", "-p", change)
    with pytest.raises(Exception, match="the operator may create nothing but"):
        stage.kubectl("create", "configmap", "mine", "--from-literal=a=b", AS)
    with pytest.raises(Exception, match=r"exactly one verb.*given: rebootNode and startNode\)"):
        stage.apply(thing("BatchOperation", "two", **CPU, rebootNode=ALL, startNode=ALL))
