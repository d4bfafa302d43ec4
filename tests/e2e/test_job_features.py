"""What a job may have beside its tasks, what it waits for, and what becomes of its output."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

from e2e.conftest import Stage, job, pool, task
from e2e.test_job_life import QUICK, SLOW, reason


def waits(stage: Stage, name: str, words: str) -> None:
    stage.until(lambda: words in stage.status("bj", name).get("waitingFor", ""), f"{name} says: {words}")


def test_properties_of_the_job_reach_azure(stage: Stage) -> None:
    stage.ready_pool()
    subnet = (
        "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/r/providers/Microsoft.Network/virtualNetworks/v"
        "/subnets/s"
    )
    manager = {"id": "boss", "commandLine": "/bin/sh -c 'test $CASE = wing'", "killJobOnCompletion": False}
    check = "/bin/sh -c 'test $CASE = wing && test -e $AZ_BATCH_NODE_SHARED_DIR/ready'"
    stage.apply(
        job(
            "one",
            displayName="all of it",
            jobManagerTask=manager | {"runExclusive": False},
            jobPreparationTask={"commandLine": "/bin/sh -c 'touch $AZ_BATCH_NODE_SHARED_DIR/ready'"},
            jobReleaseTask={"commandLine": "true"},
            commonEnvironmentSettings=[{"name": "CASE", "value": "wing"}],
            networkConfiguration={"subnetId": subnet, "skipWithdrawFromVNet": True},
            allowTaskPreemption=True,
            tasks=[
                {"id": "a", "commandLine": check},
                {"id": "b", "commandLine": check, "dependsOn": {"taskIds": ["a"]}},
            ],
        )
    )
    stage.wait("bj", "one", "Complete")
    assert stage.status("bj", "one")["taskCounts"]["succeeded"] == 3


def test_a_job_runs_no_more_tasks_at_once_than_it_may(make_stage: Any) -> None:
    stage: Stage = make_stage("--executor=simulated")
    stage.emulator.admin("POST", "simulation", {"rules": [{"seconds": 1_000_000}]})
    stage.ready_pool()
    stage.apply(
        job("one", maxParallelTasks=2, taskFactory={"repeat": {"count": 6}, "repeatTask": {"commandLine": "x"}})
    )
    stage.until(lambda: stage.status("bj", "one").get("taskCounts", {}).get("running") == 2, "two tasks run")
    assert stage.status("bj", "one")["taskCounts"]["active"] == 4
    stage.kubectl("patch", "bj/one", "--type=merge", "-p", '{"spec":{"maxParallelTasks":3}}')
    stage.until(lambda: stage.status("bj", "one")["taskCounts"]["running"] == 3, "three tasks run")


def test_failing_preparation_and_release_tasks_are_shown_by_node(stage: Stage) -> None:
    stage.ready_pool()
    stage.apply(
        job("stuck", jobPreparationTask={"commandLine": "/bin/sh -c 'exit 7'"}, tasks=[QUICK]),
        job(
            "untidy",
            jobPreparationTask={"commandLine": "true"},
            jobReleaseTask={"commandLine": "/bin/sh -c 'exit 5'"},
            tasks=[QUICK],
        ),
    )
    waits(stage, "stuck", "the job preparation task fails on the nodes")
    assert reason(stage, "stuck") == "Waiting"
    failures = stage.status("bj", "stuck")["nodeFailures"]
    assert {(each["task"], each["exitCode"]) for each in failures} == {("preparation", 7)}
    assert all(each["nodeId"].startswith("tvm") for each in failures)
    # A failing release task does not make the job fail (docs/azure-batch.md#jobs).
    stage.wait("bj", "untidy", "Complete")
    (failure,) = stage.status("bj", "untidy")["nodeFailures"]
    assert (failure["task"], failure["exitCode"]) == ("release", 5)


def test_the_status_of_a_waiting_job_says_why_in_a_sentence(stage: Stage) -> None:
    stage.ready_pool(targetDedicatedNodes=1, taskSlotsPerNode=2)
    big = {"id": "big", "commandLine": "true", "requiredSlots": 4}
    stage.apply(
        pool("none", targetDedicatedNodes=0),
        job("large", tasks=[big]),
        job("nowhere", tasks=[QUICK], poolRef={"name": "none"}),
        job("hog", tasks=[SLOW | {"requiredSlots": 2}], priority=10),
    )
    waits(stage, "large", "each task needs 4 task slots, but the nodes of pool 'cpu' have 2")
    waits(stage, "nowhere", "pool 'none' has no nodes")
    stage.until(lambda: stage.status("bj", "hog").get("taskCounts", {}).get("running") == 1, "the node is busy")
    stage.apply(job("polite", tasks=[QUICK]))
    waits(stage, "polite", "the nodes of pool 'cpu' are busy with other jobs")
    stage.emulator.admin("POST", "quota", {"dedicatedCores": 4})
    stage.kubectl("scale", "batchpool/none", "--replicas=3")
    waits(stage, "nowhere", "Quota")


def test_a_diamond_with_a_failing_side_ends_waits_or_continues_as_specified(stage: Stage) -> None:
    stage.ready_pool()
    diamond = [
        {"id": "top", "commandLine": "true"},
        {"id": "left", "commandLine": "false", "dependsOn": {"taskIds": ["top"]}},
        {"id": "right", "commandLine": "true", "dependsOn": {"taskIds": ["top"]}},
        {"id": "bottom", "commandLine": "true", "dependsOn": {"taskIds": ["left", "right"]}},
    ]
    block = {"exitConditions": {"default": {"dependencyAction": "block"}}}
    stage.apply(
        job("fails", tasks=diamond),
        job("waits", tasks=[diamond[0], diamond[1] | block, *diamond[2:]], onDependencyFailure="Ignore"),
        job("goes-on", tasks=diamond, onDependencyFailure="Ignore"),
        job("allowed", tasks=diamond, onDependencyFailure="Ignore", failurePolicy={"maxFailedTasks": 1}),
    )
    stage.wait("bj", "fails", "Failed")
    failed = stage.condition("bj", "fails", "Failed")
    assert failed["reason"] == "DependencyFailed"
    assert "(first: left, exit code 1)" in failed["message"]
    waits(stage, "waits", "the remaining tasks depend on failed tasks")
    assert stage.status("bj", "waits")["taskCounts"]["active"] == 1
    stage.wait("bj", "goes-on", "Failed")
    assert stage.status("bj", "goes-on")["taskCounts"]["succeeded"] == 3
    failed = stage.condition("bj", "goes-on", "Failed")
    assert (failed["reason"], failed["message"]) == ("TasksFailed", "1 of 4 tasks failed (first: left, exit code 1)")
    stage.wait("bj", "allowed", "Complete")


def test_output_is_kept_and_shown_as_far_as_wanted(stage: Stage) -> None:
    stage.ready_pool()
    secret = {
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "storage"},
        "stringData": {"url": f"{stage.emulator.endpoint}/storage/logs?sig=hunter2"},
    }  # fmt: skip
    upload = {"containerUrlFrom": {"secretKeyRef": {"name": "storage", "key": "url"}}, "path": "kept"}
    talk = "/bin/sh -c 'echo hello; for n in 1 2 3; do echo error $n >&2; done; exit 4'"
    stage.apply(
        secret,
        job("one", tasks=[{"id": "talks", "commandLine": talk}], logs={"tailLines": 2, "upload": upload}),
        job("open", logs={"upload": upload | {"path": "apart"}}),
        task("of-its-own", "open", talk),
        job("quiet", tasks=[{"id": "talks", "commandLine": talk}], logs={"tailLines": 0}),
    )
    for name in ("one", "quiet"):
        stage.wait("bj", name, "Failed")
    stage.wait("bt", "of-its-own", "Failed")
    (failure,) = stage.status("bj", "one")["failures"]
    assert failure["stderrTail"] == "error 2\nerror 3"
    assert "stderrTail" not in stage.status("bj", "quiet")["failures"][0]

    def blob(name: str) -> str:
        url = f"{stage.emulator.endpoint}/storage/logs/{name}"
        with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - always the emulator's own address
            text: bytes = answer.read()
        return text.decode()

    for where in ("kept/talks", "apart/of-its-own"):
        assert blob(f"{where}/stdout.txt") == "hello\n"
        assert blob(f"{where}/stderr.txt").endswith("error 3\n")
    shown = json.dumps(
        [stage.get("bj", "one"), stage.get("bt", "of-its-own"), stage.kubectl("get", "events", "-o", "json")]
    )
    assert "hunter2" not in shown + stage.operator.log.read_text()


def test_output_that_is_gone_with_its_node_says_so(stage: Stage) -> None:
    stage.ready_pool(targetDedicatedNodes=1)
    stage.apply(job("one", tasks=[{"id": "a", "commandLine": "/bin/sh -c 'exit 3'"}], failurePolicy={"action": "Hold"}))
    stage.until(lambda: stage.status("bj", "one").get("phase") == "Held", "the task has failed")
    stage.kubectl("scale", "batchpool/cpu", "--replicas=0")
    stage.until(lambda: stage.status("bp", "cpu").get("nodes") == "0/0", "the node is gone")
    stage.kill_operator()
    stage.restart_operator()
    stage.until(
        lambda: "node that the task ran on is gone" in json.dumps(stage.status("bj", "one").get("failures")),
        "the status says why there is no output",
    )
