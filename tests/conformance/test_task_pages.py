"""Pages of tasks are written without making the objects first: the text must be what the objects would have given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import orjson
import pytest

from azure_batch_emulator.engine.entities import Task
from azure_batch_emulator.engine.task_rules import TOO_OLD
from azure_batch_emulator.schema.versions import DEFAULT, VERSIONS, Version
from azure_batch_emulator.web import render, task_pages, task_records
from azure_batch_emulator.web.task_pages import TaskPage
from azure_batch_emulator.web.task_records import TaskRecords
from azure_batch_emulator.web.task_templates import kinds_of
from support.property_samples import TASKS
from support.still_service import BASE, MACHINE, StillService


def stage_of_every_kind(*, windows: bool = False) -> StillService:
    """A job with tasks in every state, with every property, retried, requeued and failed."""
    stage = StillService()
    stage.service.applications["app"] = {"id": "app", "versions": ["1"]}
    more: dict[str, Any] = {}
    if windows:
        image = {"publisher": "microsoftwindowsserver", "offer": "windowsserver", "sku": "2022-datacenter"}
        machine = {"imageReference": image, "nodeAgentSKUId": "batch.node.windows amd64"}
        more = {"virtualMachineConfiguration": machine}
    stage.steady_pool(1, taskSlotsPerNode=8, **more)
    job = {"id": "job", "poolInfo": {"poolId": "pool"}, "usesTaskDependencies": True}
    stage.must("POST", "/jobs", job | {"onTaskFailure": "performexitoptionsjobaction"})
    kept: dict[str, Any] = {"jobAction": "none"}
    for name, sample in TASKS.items():
        stage.must("POST", "/jobs/job/tasks", {"exitConditions": {"default": kept}, "id": name, **sample.sent})
    never = {"exitOptions": kept}
    bodies: list[dict[str, Any]] = [
        {"id": "good", "commandLine": "true"},
        {"id": "Good-2_b", "commandLine": 'echo "quoted" \\ ü \t'},
        {"id": "bad", "commandLine": "exit 3", "exitConditions": {"exitCodes": [{"code": 3, **never}]}},
        {"id": "again", "commandLine": "exit 4", "constraints": {"maxTaskRetryCount": 1}},
        {"id": "long", "commandLine": "sleep 1000"},
        {"id": "moved", "commandLine": "sleep 1000"},
        {"id": "ended", "commandLine": "true", "dependsOn": {"taskIds": ["nobody"]}},
        {"id": "old", "commandLine": "true", "dependsOn": {"taskIds": ["nobody"]}},
        {"id": "percent", "commandLine": "echo %d", "environmentSettings": [{"name": "N", "value": "5% %s %(x)s"}]},
    ]
    bodies[3]["exitConditions"] = {"exitCodes": [{"code": 4, **never}]}
    for body in bodies:
        stage.must("POST", "/jobs/job/tasks", body)
    stage.must("POST", "/jobs/job/tasks/ended/terminate")
    # Differs from the one before in nothing but why it has failed.
    stage.service.tasks.end(stage.service.task("job", "old"), TOO_OLD)
    stage.clock.advance(100)
    stage.must("POST", f"{stage.node_path}/reboot", {"nodeRebootOption": "requeue"})
    stage.clock.advance(200)
    stage.must("POST", "/jobs/job/tasks", {"id": "fresh", "commandLine": "true"})
    return stage


WAYS = {"as records": (1000, 1, 0), "piece by piece": (0, 10_000, 0), "one by one": (0, 10_000, 10_000)}


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each way of writing, whatever the tasks."""
    kinds, fewest_of_records, fewest_of_templates = WAYS[request.param]
    monkeypatch.setattr(task_records, "_MAX_KINDS", kinds)
    monkeypatch.setattr(task_records, "_FEWEST_PER_KIND", fewest_of_records)
    monkeypatch.setattr(task_pages, "_FEWEST_PER_KIND", fewest_of_templates)


def as_objects(tasks: Sequence[Task], link: str | None = None, version: Version = DEFAULT) -> bytes:
    """A page as the server writes what is no page of tasks."""
    page: dict[str, Any] = {
        "odata.metadata": f"{BASE}/$metadata#tasks",
        "value": [version.show(render.task(BASE, task)) for task in tasks],
    }
    if link is not None:
        page["odata.nextLink"] = link
    return orjson.dumps(page, option=orjson.OPT_INDENT_2).replace(b"\n", b"\r\n")


def written(tasks: Sequence[Task], link: str | None = None, version: Version = DEFAULT) -> list[bytes]:
    """The same as pages of tasks are written."""
    return [bytes(block) for block in TaskPage(BASE, version, f"{BASE}/$metadata#tasks").blocks(tasks, link)]


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("version", VERSIONS.values(), ids=lambda version: version.name)
@pytest.mark.parametrize("windows", [False, True])
def test_the_text_is_that_of_the_objects(version: Any, *, windows: bool) -> None:
    stage = stage_of_every_kind(windows=windows)
    job = stage.service.job("job")
    tasks = list(job.tasks.values())
    assert {task.state for task in tasks} == {"active", "running", "completed"}
    assert {task.retry_count for task in tasks} == {0, 1}
    assert max(task.requeue_count for task in tasks) == 1
    for link in (None, f"{BASE}/jobs/job/tasks?a=b&$skiptoken=x"):
        assert b"".join(written(tasks, link, version)) == as_objects(tasks, link, version)


COMMANDS: dict[str, Callable[[int], str]] = {
    "one command": lambda number: "true",
    "a command for each": lambda number: f"true {'x' * (number % 40)} \u00fc",
    "commands that differ much": lambda number: f"true {'x' * (number % 7 * 40)}",
    "two ways to end": lambda number: f"exit {int(number % 7 == 3)}",
}


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("command", COMMANDS)
def test_a_page_of_several_blocks_and_nodes_is_that_of_the_objects(command: str) -> None:
    stage = StillService()
    stage.steady_pool(3, taskSlotsPerNode=2)
    stage.must("POST", "/jobs", {"id": "job", "poolInfo": {"poolId": "pool"}})
    for first in (0, 100):
        value = [{"id": f"t{n}", "commandLine": COMMANDS[command](n)} for n in range(first, first + 100)]
        stage.must("POST", "/jobs/job/addtaskcollection", {"value": value})
        stage.clock.advance(0.7654321)
    stage.clock.run_until(lambda: stage.service.job("job").counts.completed == 200)
    tasks = list(stage.service.job("job").tasks.values())
    assert len({task.node_id for task in tasks}) == 3
    blocks = written(tasks)
    assert len(blocks) > 1
    assert b"".join(blocks) == as_objects(tasks)


def test_a_page_of_few_kinds_is_written_as_records_and_another_one_is_not() -> None:
    stage = stage_of_every_kind()
    tasks = list(stage.service.job("job").tasks.values())
    assert TaskRecords.of_one_kind(BASE, DEFAULT, tasks) is None
    assert TaskRecords.of_few_kinds(BASE, DEFAULT, tasks, kinds_of(tasks)) is None
    stage.must("POST", "/jobs", {"id": "long", "poolInfo": {"poolId": "pool"}})
    value = [{"id": f"t{number}", "commandLine": "true"} for number in range(100)]
    stage.must("POST", "/jobs/long/addtaskcollection", {"value": value})
    alike = list(stage.service.job("long").tasks.values())
    assert TaskRecords.of_one_kind(BASE, DEFAULT, alike) is not None
    stage.must("POST", "/jobs/long/tasks/t7/terminate")
    assert TaskRecords.of_one_kind(BASE, DEFAULT, alike) is None
    assert TaskRecords.of_few_kinds(BASE, DEFAULT, alike, kinds_of(alike)) is not None
    assert b"".join(written(alike)) == as_objects(alike)


def test_tasks_of_a_pool_that_was_recreated_for_windows_differ_from_those_before() -> None:
    stage = StillService()
    image = {"publisher": "microsoftwindowsserver", "offer": "windowsserver", "sku": "2022-datacenter"}
    windows = {"imageReference": image, "nodeAgentSKUId": "batch.node.windows amd64"}
    stage.must("POST", "/jobs", {"id": "job", "poolInfo": {"poolId": "pool"}})
    for number, machine in enumerate((MACHINE, windows)):
        stage.steady_pool(1, virtualMachineConfiguration=machine)
        retried = {"commandLine": "exit 4", "constraints": {"maxTaskRetryCount": 1}}
        stage.must("POST", "/jobs/job/tasks", {"id": f"t{number}", **retried})
        stage.clock.run_until(lambda number=number: stage.service.job("job").counts.completed == number + 1)
        stage.must("DELETE", "/pools/pool")
        stage.clock.run_until(lambda: "pool" not in stage.service.pool_table)
    tasks = stage.must("GET", "/jobs/job/tasks")["value"]
    assert [task["nodeInfo"]["taskRootDirectory"] for task in tasks] == [
        "workitems/job/job-1/t0",
        "workitems\\job\\job-1\\t1",
    ]


def test_a_job_without_tasks_has_an_empty_page() -> None:
    stage = StillService()
    stage.must("POST", "/jobs", {"id": "job", "poolInfo": {"poolId": "pool"}})
    assert stage.must("GET", "/jobs/job/tasks") == {"odata.metadata": f"{BASE}/$metadata#tasks", "value": []}


def test_written_pages_are_paged_and_filtered() -> None:
    stage = StillService()
    stage.must("POST", "/jobs", {"id": "job", "poolInfo": {"poolId": "pool"}})
    for number in range(5):
        stage.must("POST", "/jobs/job/tasks", {"id": f"T{number}", "commandLine": "true"})
    stage.must("POST", "/jobs/job/tasks/t2/terminate")
    found, target = [], "/jobs/job/tasks?maxresults=2"
    while target:
        body = stage.must("GET", target)
        found.append([task["id"] for task in body["value"]])
        target = body.get("odata.nextLink", "").removeprefix(BASE)
    assert found == [["T0", "T1"], ["T2", "T3"], ["T4"]]
    ended = stage.must("GET", "/jobs/job/tasks?$filter=state%20eq%20'completed'")
    assert [task["id"] for task in ended["value"]] == ["T2"]
    assert stage.must("GET", "/jobs/job/tasks?$select=id&maxresults=1")["value"] == [{"id": "T0"}]


def _replaced(stage: StillService) -> None:
    stage.must("PUT", "/jobs/job/tasks/waits", {"constraints": {"maxTaskRetryCount": 3, "retentionTime": "PT1H"}})


def _reactivated(stage: StillService) -> None:
    stage.must("POST", "/jobs/job/tasks/fails/reactivate")


def _reactivated_and_run_again(stage: StillService) -> None:
    _reactivated(stage)
    stage.clock.run_until(lambda: stage.service.task("job", "fails").state == "completed")


def _created_again(stage: StillService) -> None:
    stage.must("DELETE", "/jobs/job/tasks/succeeds")
    stage.must("POST", "/jobs/job/tasks", {"id": "Succeeds", "commandLine": "sleep 1000"})


def _requeued(stage: StillService) -> None:
    stage.must("POST", f"{stage.node_path}/reboot", {"nodeRebootOption": "requeue"})


def _rebooted_and_run_again(stage: StillService) -> None:
    _requeued(stage)
    stage.clock.run_until(lambda: stage.service.task("job", "runs").state == "running")


CHANGES: dict[str, Callable[[StillService], Any]] = {
    "added": lambda stage: stage.must("POST", "/jobs/job/tasks", {"id": "new", "commandLine": "true"}),
    "replaced": _replaced,
    "terminated before it ran": lambda stage: stage.must("POST", "/jobs/job/tasks/waits/terminate"),
    "terminated while it ran": lambda stage: stage.must("POST", "/jobs/job/tasks/runs/terminate"),
    "deleted": lambda stage: stage.must("DELETE", "/jobs/job/tasks/succeeds"),
    "deleted and created again": _created_again,
    "reactivated": _reactivated,
    "reactivated and run again": _reactivated_and_run_again,
    "requeued": _requeued,
    "run again": _rebooted_and_run_again,
    "tried again": lambda stage: stage.clock.run_until(lambda: stage.service.task("job", "tries").retry_count > 1),
    "completed": lambda stage: stage.clock.run_until(lambda: stage.service.task("job", "runs").state == "completed"),
    "job disabled": lambda stage: stage.must("POST", "/jobs/job/disable", {"disableTasks": "requeue"}),
    "job terminated": lambda stage: stage.must("POST", "/jobs/job/terminate"),
}
SELECTED = ("id", "eTag", "state", "stateTransitionTime", "constraints", "executionInfo", "nodeInfo")
STATES = ("active", "preparing", "running", "completed")


def _as_got(stage: StillService) -> list[dict[str, Any]]:
    """Each task by an operation that writes no page."""
    names = sorted(stage.service.job("job").tasks)
    tasks = [stage.must("GET", f"/jobs/job/tasks/{name}") for name in names]
    return [{name: value for name, value in task.items() if name != "odata.metadata"} for task in tasks]


@pytest.mark.parametrize("change", CHANGES)
def test_every_list_shows_what_has_just_changed(change: str) -> None:
    stage = StillService()
    stage.steady_pool(1, taskSlotsPerNode=2)
    stage.must("POST", "/jobs", {"id": "job", "poolInfo": {"poolId": "pool"}, "usesTaskDependencies": True})
    tasks: list[dict[str, Any]] = [
        {"id": "succeeds", "commandLine": "true"},
        {"id": "fails", "commandLine": "exit 3"},
        {"id": "runs", "commandLine": "sleep 1000"},
        {"id": "tries", "commandLine": "sleep 100; exit 4", "constraints": {"maxTaskRetryCount": 5}},
        {"id": "waits", "commandLine": "true", "dependsOn": {"taskIds": ["nobody"]}},
    ]
    for task in tasks:
        stage.must("POST", "/jobs/job/tasks", task)
    stage.clock.run_until(lambda: stage.service.task("job", "tries").retry_count == 1)
    before = _as_got(stage)
    # Whatever a list keeps of what it was asked for, it has kept now.
    queries = ["", "$filter=startswith(id,'')", "$expand=stats", f"$select={','.join(SELECTED)}"]
    for query in queries:
        stage.must("GET", f"/jobs/job/tasks?{query}")
    CHANGES[change](stage)
    now = _as_got(stage)
    assert now != before
    for query in queries:
        listed = stage.must("GET", f"/jobs/job/tasks?{query}")["value"]
        for task in listed:
            task.pop("stats", None)
        shown = SELECTED if "$select" in query else None
        assert listed == [{name: task[name] for name in task if shown is None or name in shown} for task in now], query
    for state in STATES:
        matching = [task["id"] for task in now if task["state"] == state]
        for more in ("", "&$select=id", "&$expand=stats"):
            listed = stage.must("GET", f"/jobs/job/tasks?$filter=state%20eq%20'{state}'{more}")["value"]
            assert [task["id"] for task in listed] == matching


def test_a_task_that_is_created_again_between_two_lists_is_listed_as_the_new_one() -> None:
    """With enough tasks of a kind for the fastest way to write them."""
    stage = StillService()
    stage.steady_pool(1, taskSlotsPerNode=2)
    stage.must("POST", "/jobs", {"id": "job", "poolInfo": {"poolId": "pool"}})
    value = [{"id": f"t{number:02d}", "commandLine": "exit 3"} for number in range(100)]
    stage.must("POST", "/jobs/job/addtaskcollection", {"value": value})
    stage.clock.run_until(lambda: stage.service.job("job").counts.completed == 100)

    def listed(name: str) -> tuple[str, str, int | None, str]:
        tasks = {task["id"]: task for task in stage.must("GET", "/jobs/job/tasks")["value"]}
        assert len(tasks) == 100
        task = tasks[name]
        return task["state"], task["commandLine"], task["executionInfo"].get("exitCode"), task["creationTime"]

    *first, created = listed("t07")
    *other, created_other = listed("t08")
    assert first == other == ["completed", "exit 3", 3]
    stage.must("DELETE", "/jobs/job/tasks/t07")
    stage.must("POST", "/jobs/job/tasks", {"id": "t07", "commandLine": "exit 4"})
    stage.must("POST", "/jobs/job/tasks/t08/reactivate")
    *second, created_again = listed("t07")
    assert second == ["active", "exit 4", None]
    assert created_again > created
    assert listed("t08") == ("active", "exit 3", None, created_other)
    stage.clock.run_until(lambda: stage.service.job("job").counts.completed == 100)
    assert listed("t07") == ("completed", "exit 4", 4, created_again)
    assert listed("t08") == ("completed", "exit 3", 3, created_other)
