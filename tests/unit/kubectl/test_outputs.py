"""`-o` of all commands that list: the same forms, from the same place."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import click
import pytest
import yaml
from click.testing import Result

from azure_batch_kubectl import remote
from azure_batch_kubectl.cli import plugin
from unit.kubectl.conftest import Body, FakeCluster, thing

Run = Callable[..., Result]
NODE: Body = {
    "id": "n1", "state": "idle", "isDedicated": True, "allocationTime": "2026-05-01T00:00:00Z", "totalTasksRun": 7,
    "nodeAgentInfo": {"version": "1.12"}, "lastBootTime": "2026-05-01T00:00:00Z", "errors": [{"code": "DiskFull"}],
}  # fmt: skip
FILE: Body = {
    "name": "stdout.txt",
    "properties": {
        "contentLength": 3,
        "lastModified": "2026-05-01T00:00:00Z",
        "contentType": "text/plain",
        "fileMode": "0644",
    },
}


TASK: Body = {
    "id": "t1",
    "state": "completed",
    "executionInfo": {
        "result": "failure",
        "exitCode": 3,
        "endTime": "2026-05-01T00:00:00Z",
        "failureInfo": {"code": "FailureExitCode"},
    },
    "nodeInfo": {"nodeId": "n1", "poolId": "CPU"},
}


class Batch:
    """A node, a task and a file; or nothing."""

    def __init__(self, *, empty: bool = False) -> None:
        nodes, tasks, files = ([], [], []) if empty else ([NODE], [TASK], [FILE])
        self.nodes, self.tasks, self.task_files, self.node_files = (
            Items(nodes),
            Items(tasks),
            Items(files),
            Items(files),
        )


class Items:
    """What is listed."""

    def __init__(self, found: list[Body]) -> None:
        self._found = found

    async def list(self, *_: str, **__: Any) -> AsyncIterator[Body]:
        for item in self._found:
            yield item

    async def list_pages(self, *_: str, **__: Any) -> AsyncIterator[list[Body]]:
        yield self._found


def opening(batch: Batch) -> Callable[..., AbstractAsyncContextManager[tuple[Batch, str]]]:
    """What stands for `remote.opened`."""

    @asynccontextmanager
    async def opened(*_: object) -> AsyncIterator[tuple[Batch, str]]:
        yield batch, "x"

    return opened


@pytest.fixture
def empty(objects: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is in Azure Batch."""
    monkeypatch.setattr(remote, "opened", opening(Batch(empty=True)))


@pytest.fixture(autouse=True)
def objects(fake: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job on a pool, and what is in Azure Batch."""
    where = {"account": "team/main", "id": "CPU"}
    pool = thing(
        "BatchPool",
        "cpu",
        phase="Steady",
        nodes="1/1",
        slots={"total": 2, "used": 1},
        estimatedCostPerHour="2.00 EUR",
        **where,
    )
    fake.add(
        {
            **pool,
            "spec": {
                "accountRef": {"name": "main"},
                "vmSize": "d4",
                "id": "CPU",
                "pricesFrom": {"name": "p", "key": "k"},
            },
        }
    )
    job = thing(
        "BatchJob",
        "render",
        phase="Running",
        taskCounts={"running": 1},
        poolId="CPU",
        account="team/main",
        waitingFor="nodes",
    )
    fake.add({**job, "spec": {"poolRef": {"name": "cpu"}}})

    monkeypatch.setattr(remote, "opened", opening(Batch()))


LISTS = {
    "top": (["top"], ["batchpool.azurebatch.io/cpu", "batchjob.azurebatch.io/render"]),
    "cost": (["cost"], ["batchpool.azurebatch.io/cpu", "batchjob.azurebatch.io/render"]),
    "tree": (["tree", "render"], ["batchjob.azurebatch.io/render", "batchpool.azurebatch.io/cpu"]),
    "nodes ls": (["nodes", "ls", "cpu"], ["n1"]),
    "tasks ls": (["tasks", "ls", "render"], ["t1"]),
    "files ls": (["files", "ls", "render/t"], ["stdout.txt"]),
}
MORE = {
    "top": [
        "ACCOUNT     VM-SIZE",
        "ACCOUNT     WAITING-FOR",
        "team/main   nodes",
        "team/main   d4",
    ],
    "cost": ["VM-SIZE   NODES", "d4        1/1"],
    "nodes ls": ["AGENT   BOOTED", "1.12", "DiskFull"],
    "tasks ls": ["POOL   ENDED", "FailureExitCode", "NODE-ID"],
    "files ls": ["TYPE         MODE", "text/plain   0644"],
}


@pytest.mark.parametrize("verb", LISTS)
def test_names(run: Run, verb: str) -> None:
    words, names = LISTS[verb]
    assert run(*words, "-o", "name").stdout.splitlines() == names


@pytest.mark.parametrize("verb", LISTS)
def test_json_and_yaml_say_the_same(run: Run, verb: str) -> None:
    words, names = LISTS[verb]
    found = json.loads(run(*words, "-o", "json").stdout)
    assert (found["kind"], found["apiVersion"]) == ("List", "v1")
    assert len(found["items"]) >= len(names)
    assert yaml.safe_load(run(*words, "-o", "yaml").stdout) == found


# `cost` and `top` list objects of the cluster, the others what is in Azure Batch.
NOTHING = {
    "top": "No pools and no open jobs in namespace 'team'.",
    "cost": "No pools in namespace 'team'.",
    "nodes ls": "No nodes in pool 'cpu'.",
    "tasks ls": "BatchJob render has no such tasks.",
    "files ls": "No files at 'render/t'.",
}


OF_THE_CLUSTER = {"top", "cost"}
"""Commands that list objects of the cluster; the others list what an empty Azure Batch has."""


@pytest.mark.parametrize("verb", NOTHING)
def test_nothing_is_an_empty_list_for_a_program_and_a_sentence_for_a_person(
    run: Run, fake: FakeCluster, empty: None, verb: str
) -> None:
    words, _ = LISTS[verb]
    if verb in OF_THE_CLUSTER:
        fake.objects.clear()
    data = run(*words, "-o", "json")
    assert (json.loads(data.stdout)["items"], data.stderr) == ([], "")
    for forms in ([], ["-o", "wide"]):
        done = run(*words, *forms)
        assert (done.stdout, done.stderr.strip(), done.exit_code) == ("", NOTHING[verb], 0)


@pytest.mark.parametrize("verb", MORE)
def test_wide_has_more_columns_than_the_table(run: Run, verb: str) -> None:
    words, _ = LISTS[verb]
    plain, wide = run(*words).stdout, run(*words, "-o", "wide").stdout
    for text in MORE[verb]:
        assert text in wide
        assert text not in plain


def test_the_node_of_a_task_is_whole_only_where_there_is_room(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    node = f"tvmps_{'ab' * 32}_d"
    monkeypatch.setitem(TASK["nodeInfo"], "nodeId", node)
    words, _ = LISTS["tasks ls"]
    plain, wide = run(*words).stdout, run(*words, "-o", "wide").stdout
    assert f"…{node[-39:]}" in plain
    assert node not in plain
    assert node in wide
    assert node in run(*words, "-o", "json").stdout


def test_costs_are_numbers(run: Run) -> None:
    assert json.loads(run("cost", "-o", "json").stdout)["items"] == [
        {"pool": "cpu", "slots": "1/2", "costPerHour": 2.0, "currency": "EUR"},
        {"pool": "cpu", "job": "render", "slots": 1, "costPerHour": 1.0, "currency": "EUR"},
        {"pool": "cpu", "job": "(idle)", "slots": 1, "costPerHour": 1.0, "currency": "EUR"},
    ]


def commands(group: click.Group, before: str = "") -> Iterator[tuple[str, click.Command]]:
    """All commands by their words."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{before}{name} ")
        else:
            yield before + name, command


def test_each_command_with_forms_is_tested() -> None:
    having = {name for name, command in commands(plugin) if any(option.name == "form" for option in command.params)}
    # These two print manifests and results of an operation, and have tests of their own.
    assert having - {"import", "operate"} == LISTS.keys()


def test_wide_is_offered_where_there_are_more_columns() -> None:
    offered = {
        name
        for name, command in commands(plugin)
        for option in command.params
        if isinstance(option.type, click.Choice) and "wide" in option.type.choices
    }
    assert offered == MORE.keys()
