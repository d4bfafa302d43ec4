"""Very many tasks without processes, by rules."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from azure_batch_emulator import EmulatorConfig
from support.emulator_thread import EmulatorThread, wait_until

POOL = {
    "id": "pool",
    "vmSize": "standard_d64s_v3",
    "targetDedicatedNodes": 4,
    "taskSlotsPerNode": 256,
    "virtualMachineConfiguration": {
        "imageReference": {"publisher": "canonical", "offer": "0001-com-ubuntu-server-jammy", "sku": "22_04-lts"},
        "nodeAgentSKUId": "batch.node.ubuntu 22.04",
    },
}


@pytest.fixture
def simulated() -> Iterator[EmulatorThread]:
    config = EmulatorConfig(port=0, executor="simulated", time_scale=1000.0, seed=11)
    with EmulatorThread(config) as emulator:
        assert emulator.call("POST", "/pools", POOL)[0] == 201
        emulator.call("POST", "/jobs", {"id": "job", "poolInfo": {"poolId": "pool"}})
        yield emulator


def add(emulator: EmulatorThread, count: int, command: str = "work", **properties: object) -> None:
    for first in range(0, count, 100):
        numbers = range(first, min(count, first + 100))
        tasks = [{"id": f"t{number:06d}", "commandLine": command} | properties for number in numbers]
        status, _, _ = emulator.call("POST", "/jobs/job/addtaskcollection", {"value": tasks})
        assert status == 200


def counts(emulator: EmulatorThread) -> dict[str, int]:
    body: dict[str, dict[str, int]] = json.loads(emulator.call("GET", "/jobs/job/taskcounts")[2])
    return body["taskCounts"]


def test_thousands_of_tasks_by_rules(simulated: EmulatorThread) -> None:
    rules = [{"pattern": "job/t.*7$", "seconds": [1, 3], "exitCode": 9, "stderr": "simulated trouble\n"}]
    assert simulated.admin("POST", "simulation", {"rules": rules}) == {"rules": 1}
    add(simulated, 5000)
    wait_until(lambda: counts(simulated)["completed"] == 5000, "all are done")
    assert counts(simulated)["failed"] == 500
    seen = 0
    link = "/jobs/job/tasks?api-version=2024-07-01.20.0&$filter=executionInfo/result%20eq%20'failure'&$select=id,executionInfo"
    while link:
        page = json.loads(simulated.call("GET", link)[2])
        seen += len(page["value"])
        assert all(task["executionInfo"]["exitCode"] == 9 for task in page["value"])
        link = page.get("odata.nextLink", "").removeprefix(simulated.endpoint)
    assert seen == 500
    assert simulated.call("GET", "/jobs/job/tasks/t000007/files/stderr.txt")[2] == b"simulated trouble\n"


def test_tries_that_fail_at_first(simulated: EmulatorThread) -> None:
    simulated.admin("POST", "simulation", {"rules": [{"pattern": "work", "exitCode": 1, "attempts": 2}]})
    add(simulated, 10, constraints={"maxTaskRetryCount": 3})
    wait_until(lambda: counts(simulated)["succeeded"] == 10, "all succeed in the end")
    task = json.loads(simulated.call("GET", "/jobs/job/tasks/t000000")[2])
    assert task["executionInfo"]["retryCount"] == 2


def test_command_lines_that_speak_for_themselves(simulated: EmulatorThread) -> None:
    add(simulated, 3, "/bin/sh -c 'sleep 2; exit 4'")
    wait_until(lambda: counts(simulated)["failed"] == 3, "all fail")
    task = json.loads(simulated.call("GET", "/jobs/job/tasks/t000002")[2])
    assert task["executionInfo"]["exitCode"] == 4


@pytest.mark.parametrize(
    "command", ["exit 99999999999999999999", "exit 256", "sleep " + "9" * 400, "exit ٣", "sleep 1e999"]
)
def test_numbers_in_command_lines_can_be_served(simulated: EmulatorThread, command: str) -> None:
    """A shell's exit codes have eight bits; what is stored can always be listed."""
    assert simulated.call("POST", "/jobs/job/tasks", {"id": "t", "commandLine": command})[0] == 201
    if "exit" in command:
        wait_until(
            lambda: json.loads(simulated.call("GET", "/jobs/job/tasks/t")[2])["state"] == "completed", "completed"
        )
    status, _, body = simulated.call("GET", "/jobs/job/tasks")
    assert status == 200
    assert json.loads(body)["value"][0]["executionInfo"].get("exitCode", 0) in (0, 255)


def test_files_follow_the_rule_that_the_task_followed(simulated: EmulatorThread) -> None:
    rules = [
        {"pattern": "^render .*", "exitCode": 4, "stdout": "by command", "stderr": "oh"},
        {"pattern": "^nightly:job-1/t$", "exitCode": 5, "stdout": "by name"},
    ]
    simulated.admin("POST", "simulation", {"rules": rules})
    add(simulated, 1, "render frame")
    manager = {"id": "t", "commandLine": "x", "killJobOnCompletion": False}
    specification = {"poolInfo": {"poolId": "pool"}, "jobManagerTask": manager}
    body = {"id": "nightly", "schedule": {"recurrenceInterval": "P1D"}, "jobSpecification": specification}
    assert simulated.call("POST", "/jobschedules", body)[0] == 201
    for path, code, out, err in (
        ("/jobs/job/tasks/t000000", 4, b"by command", b"oh"),
        ("/jobs/nightly:job-1/tasks/t", 5, b"by name", b""),
    ):

        def done(path: str = path) -> dict[str, Any] | None:
            task: dict[str, Any] = json.loads(simulated.call("GET", path)[2])
            return task if task.get("state") == "completed" else None

        assert wait_until(done, f"{path} is done")["executionInfo"]["exitCode"] == code
        assert simulated.call("GET", f"{path}/files/stdout.txt")[2] == out
        assert simulated.call("GET", f"{path}/files/stderr.txt")[2] == err
        listed = json.loads(simulated.call("GET", f"{path}/files")[2])["value"]
        sizes = {item["name"]: int(item["properties"]["contentLength"]) for item in listed if not item["isDirectory"]}
        assert sizes == {"stdout.txt": len(out), "stderr.txt": len(err)}


def test_files_are_as_old_as_the_end_of_their_task_or_else_its_start(simulated: EmulatorThread) -> None:
    add(simulated, 2, "sleep 100000")
    assert simulated.call("POST", "/jobs/job/tasks", {"id": "ended", "commandLine": "sleep 2"})[0] == 201

    def task(name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(simulated.call("GET", f"/jobs/job/tasks/{name}")[2])
        return found

    wait_until(lambda: task("ended")["state"] == "completed", "one has ended")
    wait_until(lambda: task("t000000")["state"] == "running", "another runs")
    for name, when in (("ended", "endTime"), ("t000000", "startTime")):
        time = task(name)["executionInfo"][when]
        listed = json.loads(simulated.call("GET", f"/jobs/job/tasks/{name}/files")[2])["value"]
        modified = [item["properties"]["lastModified"] for item in listed if not item["isDirectory"]]
        assert modified == [time, time]
        _, headers, _ = simulated.call("GET", f"/jobs/job/tasks/{name}/files/stdout.txt")
        second = datetime.fromisoformat(time).replace(microsecond=0)
        assert parsedate_to_datetime(headers["last-modified"]) == second
