"""Work in progress for a namespace that its account no longer allows: nothing more is done with the rights of that account."""

from __future__ import annotations

from typing import Any

import pytest

from azure_batch_operator.kube.namespaces import LOOKED_AT_EVERY
from support.stage import Stage, config_map, job, operation, pool, task

MANY = 1000
FAILED = 20
LETS_IN: dict[str, dict[str, Any]] = {
    "names": {"names": ["default"]},
    "label": {"selector": {"matchLabels": {"batch": "yes"}}},
}

SEEN_WITHIN = {"names": 5.0, "label": LOOKED_AT_EVERY + 5.0}


async def guests_of_a_team(stage: Stage, how: str, **spec: Any) -> None:
    """A pool of the namespace `default` in the account of another namespace."""
    stage.apply({"kind": "Namespace", "metadata": {"name": "team"}})
    let_in(stage, how, inside=True)
    guest = pool("cpu", accountRef={"name": "main", "namespace": "team"}, **spec)
    stage.apply(*stage.account_objects(namespace="team", allowedNamespaces=LETS_IN[how]), guest)
    await stage.until(lambda: stage.ready("bp", "cpu"), 600)


def let_in(stage: Stage, how: str, *, inside: bool) -> None:
    """Let the namespace in, or no more: by the account, or by a label of the namespace."""
    if how == "label":
        stage.patch("ns", "default", {"metadata": {"labels": {"batch": "yes" if inside else None}}})
    elif stage.get("bacc", "main", "team"):
        names = ["default"] if inside else ["others"]
        stage.patch("bacc", "main", {"spec": {"allowedNamespaces": {"names": names}}}, "team")


def listed(count: int) -> dict[str, Any]:
    lines = (f"- {{id: t{number}, commandLine: sleep 36000}}" for number in range(count))
    return config_map("list", tasks_yaml="\n".join(lines))


def from_list() -> dict[str, Any]:
    return job("own", tasksFrom=[{"configMapKeyRef": {"name": "list", "key": "tasks.yaml"}}])


@pytest.mark.parametrize(("how", "unreadable"), [("names", False), ("label", False), ("names", True)])
async def test_no_more_tasks_are_added(stage: Stage, how: str, unreadable: bool) -> None:
    await guests_of_a_team(stage, how)
    hold = stage.azure.hold("Tasks_CreateTaskCollection")
    stage.apply(listed(MANY), from_list())
    await stage.until(lambda: hold.arrived, 120)
    if unreadable:
        fault = stage.fail("get", "configmaps", status=500)
    let_in(stage, how, inside=False)
    await stage.run_for(SEEN_WITHIN[how])
    hold.release()
    await stage.run_for(120)
    assert len(stage.azure.all("/jobs/own/tasks")) <= 400, "what was on its way lands: four calls of a hundred"
    if unreadable:
        fault.end()
    await stage.until(lambda: stage.reason("bj", "own") == "NamespaceNotAllowed", 300)
    let_in(stage, how, inside=True)
    await stage.until(lambda: len(stage.azure.all("/jobs/own/tasks")) == MANY, 600)


async def test_batch_tasks_that_wait_are_not_added(stage: Stage) -> None:
    await guests_of_a_team(stage, "names")
    stage.apply(job("open", onAllTasksComplete="noaction"))
    await stage.until(lambda: stage.ready("bj", "open"), 120)
    hold = stage.azure.hold("Tasks_CreateTaskCollection")
    names = [f"t{number:03}" for number in range(350)]
    stage.apply(*(task(name, "open") for name in names))
    await stage.until(lambda: hold.arrived, 60)
    await stage.run_for(10)
    let_in(stage, "names", inside=False)
    await stage.run_for(20)
    hold.release()
    await stage.run_for(120)
    assert len(stage.azure.all("/jobs/open/tasks")) <= 100, "one call was on its way"
    let_in(stage, "names", inside=True)
    await stage.until(lambda: all(stage.phase("bt", name) == "Succeeded" for name in names), 900)


async def test_failed_tasks_no_longer_run_again(stage: Stage) -> None:
    await guests_of_a_team(stage, "names")
    failing = [{"id": f"t{number}", "commandLine": "/bin/sh -c 'exit 1'"} for number in range(FAILED)]
    stage.apply(job("own", tasks=failing, failurePolicy={"action": "Hold"}))
    await stage.until(lambda: stage.status("bj", "own").get("taskCounts", {}).get("failed") == FAILED, 300)
    await stage.run_for(60)
    hold = stage.azure.hold("Tasks_ReactivateTask")
    stage.annotate("bj", "own", retry_failed="1")
    await stage.until(lambda: hold.arrived, 60)
    let_in(stage, "names", inside=False)
    await stage.run_for(5)
    hold.release()
    await stage.run_for(120)
    assert stage.azure.calls("Tasks_ReactivateTask") == 1, "the one that was on its way"
    let_in(stage, "names", inside=True)
    await stage.until(lambda: stage.azure.calls("Tasks_ReactivateTask") == FAILED, 300)


async def test_an_operation_makes_no_more_calls(stage: Stage) -> None:
    await guests_of_a_team(stage, "names", targetDedicatedNodes=12)
    hold = stage.azure.hold("Nodes_DisableNodeScheduling")
    every = {"nodes": {"names": stage.azure.ids("/pools/cpu/nodes")}}
    stage.apply(operation("op", disableNodeScheduling=every, maxConcurrent=4))
    await stage.until(lambda: hold.arrived == 4, 60)
    let_in(stage, "names", inside=False)
    await stage.run_for(5)
    hold.release()
    await stage.run_for(120)
    assert stage.azure.calls("Nodes_DisableNodeScheduling") == 4, "those whose attempt the status has told of"
    let_in(stage, "names", inside=True)
    await stage.until(lambda: stage.phase("bop", "op") == "Succeeded", 600)
    assert stage.status("bop", "op")["counts"]["succeeded"] == 12
    assert stage.azure.calls("Nodes_DisableNodeScheduling") == 12
