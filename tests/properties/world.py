"""What stands around the object that a property is tried on: accounts, pools, a job, Secrets and ConfigMaps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from properties.hints import OTHER_SECRET, OTHER_TEXTS, SECRET, TEXTS
from support.stage import Options, Stage, config_map, job, pool, secret, task, thing

OPTIONS = Options(settings={"poll_seconds": 5.0, "idle_poll_seconds": 300.0, "authority": "127.0.0.1:9"})
"""Polls are few: what an object comes to at rest does not depend on how soon it is seen. Nobody gives tokens."""
_LONG = "/bin/sh -c 'sleep 86400'"


async def prepared(stage: Stage, kind: str) -> None:
    """Set the stage for an object of a kind, and let everything come to rest."""
    stage.azure.service.applications.update(
        {each: {"id": each, "versions": ["1", "2"], "defaultVersion": "1"} for each in ("app", "app-two")}
    )
    stage.azure.service.quotas.dedicated_cores = stage.azure.service.quotas.low_priority_cores = 10_000
    for namespace in ("elsewhere", "third"):
        stage.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": {"a": "b"}}})
    _values(stage)
    if kind == "BatchAccount":
        await stage.run_for(1)
        return
    stage.apply(stage.account_objects()[1])
    if kind == "BatchPool":
        await stage.until(lambda: stage.ready("bacc", "main"))
        return
    await with_pools(stage)
    if kind == "BatchJob":
        # For retries: two jobs that were terminated while their task ran.
        ended = {name: {"id": id, "commandLine": _LONG} for name, id in (("ended", "t0"), ("ended-two", "t1"))}
        stage.apply(*(job(name, tasks=[tried]) for name, tried in ended.items()))
        await stage.until(lambda: all(stage.phase("bj", name) == "Running" for name in ended), 900)
        for name in ended:
            stage.azure.post(f"/jobs/{name}/terminate", {})
        await stage.until(lambda: all(stage.phase("bj", name) == "Failed" for name in ended), 900)
    if kind == "BatchTask":
        # Where a failed task may end its job, none of those that stand side by side fails.
        acting = {"usesTaskDependencies": True, "onTaskFailure": "performexitoptionsjobaction"}
        stage.apply(job("open", usesTaskDependencies=True), job("open-two", **acting))
        stage.apply(task("first", "open", _LONG), task("second", "open", _LONG))
        await stage.until(lambda: stage.phase("bt", "first") == stage.phase("bt", "second") == "Running", 900)


async def with_pools(stage: Stage) -> None:
    """Two pools, one of them with nodes, for all sorts of tasks."""
    machine = pool("any")["spec"]["virtualMachineConfiguration"] | {
        "containerConfiguration": {"type": "dockerCompatible"}
    }
    options: Mapping[str, Any] = {
        "virtualMachineConfiguration": machine, "enableInterNodeCommunication": True, "vmSize": "Standard_D96ads_v6",
        "taskSlotsPerNode": 256,
    }  # fmt: skip
    stage.apply(pool("cpu", targetDedicatedNodes=3, **options), pool("gpu", targetDedicatedNodes=0, **options))
    await stage.until(lambda: stage.ready("bp", "cpu") and stage.ready("bp", "gpu"), 900)


def _values(stage: Stage) -> None:
    stage.apply(
        *(secret(name, key=stage.azure.key, **{"key-two": stage.azure.key}) for name in ("main-key", "main-key-two"))
    )
    for number, name in enumerate((SECRET, OTHER_SECRET)):
        urls = {"url": f"https://a.example/o{number}", "other-url": f"https://a.example/p{number}"}
        stage.apply(secret(name, one=f'{{"a": "one {number}"}}', two=f'{{"a": "two {number}"}}', **urls))
    for number, name in enumerate((TEXTS, OTHER_TEXTS)):
        texts = {
            "one": f"one {number}", "two": f"two {number}", "lines": f"a{number}\nb", "more-lines": f"a{number}\nb\nc",
            "tasks": _tasks(number, 1), "more-tasks": _tasks(number, 2),
            "prices": f"Standard_D4ads_v6: {{dedicated: 0.{number + 1}}}", "more-prices": "Standard_D4ads_v6: {dedicated: 0.5}",
        }  # fmt: skip
        stage.apply(config_map(name, **texts))


def _tasks(number: int, count: int) -> str:
    return "".join(f"- id: c{number}{each}\n  commandLine: {_LONG}\n" for each in range(count))


def subject(kind: str, name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    """The object with a spec."""
    return thing(kind, name, **spec)


def name_of(kind: str, number: int) -> str:
    """The name of one of the objects that are tried side by side; all are of the same length."""
    return "main" if kind == "BatchAccount" else f"own{number:02}"


async def started(stage: Stage, kind: str) -> None:
    """What follows once the object is there: an account is used."""
    if kind == "BatchAccount" and not stage.names("bp"):
        await stage.run_for(10)
        stage.apply(pool("cpu", targetDedicatedNodes=0), job("open"))
