"""A multi-instance task and the job preparation task of its job.

REST API, ``jobPreparationTask``: it is "run on each Compute Node before any other Task of the Job", and a node on which it fails
runs no task of the job.
"""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from azure_batch_emulator.engine.entities import Node, Task
from azure_batch_emulator.executors.base import RunResult
from azure_batch_emulator.schema.pools import REMOVE_NODES, RESIZE
from azure_batch_emulator.schema.tasks import TASK
from azure_batch_emulator.web import render
from support.hand_executor import DONE, LOST, Bench
from unit.emulator.restarting import restarted

MANY = {"numberOfInstances": 2, "coordinationCommandLine": "coordinate"}
PREPARED = {"jobPreparationTask": {"commandLine": "prepare"}, "jobReleaseTask": {"commandLine": "release"}}


def waiting(**preparation: Any) -> tuple[Bench, Task]:
    """A task of two instances whose job preparation tasks run."""
    bench = Bench()
    job = PREPARED | {"jobPreparationTask": PREPARED["jobPreparationTask"] | preparation}
    return bench, bench.task(job, multiInstanceSettings=MANY)


def open_commands(bench: Bench) -> list[str]:
    return [run.request.command_line for run in bench.executor.open]


def free(bench: Bench) -> bool:
    return all(not node.busy and node.slots_used == 0 for node in bench.pool.nodes.values())


def test_each_node_is_prepared_before_its_coordination_command_and_released_at_the_end() -> None:
    bench, task = waiting()
    assert open_commands(bench) == ["prepare", "prepare"]
    assert task.state == "preparing"
    bench.executor.open.pop(0).finish(DONE)
    bench.clock.advance(1.0)
    assert sorted(open_commands(bench)) == ["coordinate", "prepare"]
    assert bench.end_all(DONE) == ["prepare", "coordinate"]
    assert bench.end_all(DONE) == ["coordinate"]
    assert bench.end_all(DONE) == ["work"]
    assert (task.result, free(bench)) == ("success", True)
    bench.service.jobs.terminate(task.job, "r")
    bench.clock.advance(1.0)
    assert bench.end_all(DONE) == ["release", "release"]


def test_a_job_that_does_not_wait_for_its_preparation_coordinates_at_once() -> None:
    bench, _ = waiting(waitForSuccess=False)
    assert sorted(open_commands(bench)) == ["coordinate", "coordinate", "prepare", "prepare"]


@pytest.mark.parametrize("which", [0, 1])
def test_a_node_that_cannot_be_prepared_is_replaced(which: int) -> None:
    bench, task = waiting()
    failed, good = bench.executor.open[which], bench.executor.open[1 - which]
    good.finish(DONE)
    bench.clock.advance(1.0)
    failed.finish(RunResult(1))
    bench.clock.advance(1.0)
    assert (task.state, task.retry_count, task.requeue_count, free(bench)) == ("active", 0, 0, True)
    bench.executor.open = []
    bench.service.pools.resize(bench.pool, RESIZE.accept("", {"targetDedicatedNodes": 3}))
    bench.clock.advance(300.0)
    assert sorted(bench.end_all(DONE)) == ["coordinate", "prepare"]
    assert bench.end_all(DONE) == ["coordinate"]
    assert bench.end_all(DONE) == ["work"]
    assert task.result == "success"


@pytest.mark.parametrize("verb", ["terminate", "delete"])
def test_a_task_that_ends_while_its_nodes_are_prepared_leaves_them_free(verb: str) -> None:
    bench, task = waiting()
    getattr(bench.service.tasks, verb)(task)
    bench.end_all(DONE)
    assert (open_commands(bench), free(bench)) == ([], True)
    assert all(not record.waiting_tasks for record in task.job.job_task_records)


def test_a_task_that_loses_a_node_that_is_being_prepared_begins_again() -> None:
    bench, task = waiting()
    other = next(node for node in bench.pool.nodes.values() if node.id != task.node_id)
    bench.service.nodes.preempt(other)
    bench.clock.advance(1.0)
    assert (task.state, task.requeue_count) == ("active", 1)
    bench.clock.advance(600.0)
    for _ in range(6):
        bench.end_all(DONE)
    assert (task.result, free(bench)) == ("success", True)


def test_a_preparation_that_the_emulator_lost_runs_again_before_the_coordination() -> None:
    bench, task = waiting()
    assert bench.end_all(LOST) == ["prepare", "prepare"]
    assert open_commands(bench) == ["prepare", "prepare"]
    for _ in range(3):
        bench.end_all(DONE)
    assert task.result == "success"


NOT_COMING = ["unusable", "starttaskfailed", "unknown", "offline", "deallocated", "leaving"]


@pytest.mark.parametrize("state", NOT_COMING)
def test_a_task_that_the_working_nodes_cannot_hold_does_not_hold_up_others(state: str) -> None:
    bench = Bench()
    node = next(iter(bench.pool.nodes.values()))
    if state == "offline":
        bench.service.nodes.disable_scheduling(node, "requeue")
    elif state == "deallocated":
        bench.service.nodes.act(node, "deallocate", "requeue")
        bench.clock.advance(60.0)
    elif state == "leaving":
        bench.service.nodes.drain(node, "leave", "requeue")
    else:
        bench.service.nodes.fail(node, state, "Broken", "broken")
    task = bench.task(multiInstanceSettings=MANY)
    plain = bench.service.tasks.add(task.job, TASK.accept("", {"id": "plain", "commandLine": "plain"}))
    bench.clock.advance(1.0)
    assert (task.state, plain.state) == ("active", "running")
    assert bench.end_all(DONE) == ["plain"]


@pytest.mark.parametrize("state", ["preempted", "rebooting"])
def test_a_task_whose_nodes_will_come_back_is_waited_for(state: str) -> None:
    bench = Bench()
    node = next(iter(bench.pool.nodes.values()))
    bench.service.nodes.preempt(node) if state == "preempted" else bench.service.nodes.act(node, "reboot", "requeue")
    task = bench.task(multiInstanceSettings=MANY)
    plain = bench.service.tasks.add(task.job, TASK.accept("", {"id": "plain", "commandLine": "plain"}))
    bench.clock.advance(1.0)
    assert (task.state, plain.state) == ("active", "active")
    bench.clock.advance(600.0)
    assert bench.end_all(DONE) == ["coordinate"] * 2


def test_a_node_on_which_the_job_cannot_be_prepared_does_not_count() -> None:
    bench, task = waiting(constraints={"maxTaskRetryCount": 0})
    bench.executor.open.pop(0).finish(RunResult(1))
    plain = bench.service.tasks.add(task.job, TASK.accept("", {"id": "plain", "commandLine": "plain"}))
    bench.clock.advance(1.0)
    bench.end_all(DONE)
    assert (task.state, plain.state) == ("active", "running")


@pytest.mark.parametrize("end", ["success", "failure", "terminate", "delete", "requeue"])
def test_nothing_is_remembered_of_a_try_that_is_over(end: str) -> None:
    bench, task = waiting()
    for _ in range(3):
        assert bench.service.multi_instance.under_way() == 1
        if end == "success":
            while task.state != "completed":
                bench.end_all(DONE)
        elif end == "failure":
            bench.end_all(DONE)
            bench.end_all(RunResult(1))
        elif end == "requeue":
            for node in list(bench.pool.nodes.values()):
                bench.service.nodes.preempt(node)
        else:
            getattr(bench.service.tasks, end)(task)
        bench.clock.advance(1.0)
        assert bench.service.multi_instance.under_way() == 0
        if end == "requeue":
            bench.clock.advance(600.0)
            continue
        if end == "delete":
            break
        if end == "success":
            break
        bench.service.tasks.reactivate(task)
        bench.clock.advance(1.0)


def test_a_disabled_node_that_still_works_does_not_count() -> None:
    bench = Bench()
    first = bench.task()
    node = bench.pool.nodes[first.node_id or ""]
    bench.service.nodes.disable_scheduling(node, "taskcompletion")
    assert node.state == "running"
    for name, more in (("many", {"multiInstanceSettings": MANY}), ("plain", {})):
        bench.service.tasks.add(first.job, TASK.accept("", {"id": name, "commandLine": name} | more))
    bench.clock.advance(1.0)
    assert bench.end_all(DONE) == ["work", "plain"]


def parts(task: Task) -> list[tuple[str, int | None, str | None]]:
    assert task.subtasks is not None
    assert all((part.end_time is not None) == (part.state == "completed") for part in task.subtasks)
    return [(part.state, part.exit_code, part.failure["code"] if part.failure else None) for part in task.subtasks]


def other_node(bench: Bench, task: Task) -> Node:
    return next(node for node in bench.pool.nodes.values() if node.id != task.node_id)


def test_nobody_else_has_a_node_of_a_task_until_its_own_command_has_ended() -> None:
    # Multi-instance tasks, task lifetime: "When the primary exits, all of the subtasks are terminated".
    bench = Bench()
    task = bench.task(multiInstanceSettings=MANY)
    plain = bench.service.tasks.add(task.job, TASK.accept("", {"id": "plain", "commandLine": "plain"}))
    assert bench.end_all(DONE) == ["coordinate", "coordinate"]
    assert (open_commands(bench), plain.state, parts(task)) == (["work"], "active", [("running", None, None)])
    assert bench.end_all(DONE) == ["work"]
    assert (plain.state, task.result, parts(task)) == ("running", "success", [("completed", 0, None)])


@pytest.mark.parametrize(
    ("phase", "end"),
    [
        *itertools.product(["coordination", "command"], ["terminate", "primary fails", "job", "timeout"]),
        ("coordination", "other fails"),
    ],
)
def test_subtasks_end_with_their_task(end: str, phase: str) -> None:
    bench = Bench()
    task = bench.task(multiInstanceSettings=MANY, constraints={"maxTaskRetryCount": 0, "maxWallClockTime": "PT5M"})
    if phase == "command":
        bench.end_all(DONE)
    if end == "terminate":
        bench.service.tasks.terminate(task)
    elif end == "job":
        bench.service.jobs.terminate(task.job, "r")
    elif end == "timeout":
        bench.clock.advance(301.0)
    else:
        bench.executor.open[1 if end == "other fails" else 0].finish(RunResult(3))
    bench.clock.advance(1.0)
    code = task.failure["code"] if task.failure else None
    failed = end in ("primary fails", "other fails")
    assert (task.state, task.exit_code, code) == (
        ("completed", 3, "FailureExitCode") if failed else ("completed", None, "TaskEnded")
    )
    expected = ("completed", 0, None) if phase == "command" else ("completed", None, "TaskEnded")
    assert parts(task) == [("completed", 3, "FailureExitCode") if end == "other fails" else expected]
    assert task.start_time is not None
    assert free(bench)


def test_a_task_runs_from_the_coordination_of_its_primary() -> None:
    bench, task = waiting()
    assert (task.state, task.start_time) == ("preparing", None)
    bench.end_all(DONE)
    start = task.start_time
    assert (task.state, start is not None) == ("running", True)
    bench.end_all(DONE)
    assert (task.state, task.start_time) == ("running", start)


@pytest.mark.parametrize("node_of", ["primary", "subtask"])
def test_the_fate_of_a_node_decides_that_of_its_task(node_of: str) -> None:
    bench = Bench()
    task = bench.task(multiInstanceSettings=MANY)
    bench.end_all(DONE)
    node = other_node(bench, task) if node_of == "subtask" else bench.pool.nodes[task.node_id or ""]
    bench.service.nodes.act(node, "reboot", "requeue")
    bench.clock.advance(1.0)
    assert (task.state, task.requeue_count) == ("active", 1)
    bench.clock.advance(600.0)
    assert bench.end_all(DONE).count("coordinate") == 2
    assert bench.end_all(DONE) == ["work"]
    assert (task.result, free(bench)) == ("success", True)


def recent(node: Node) -> list[tuple[int | None, str]]:
    return [(entry.get("subtask"), entry["state"]) for entry in node.recent_tasks]


def test_both_nodes_tell_of_a_task() -> None:
    # Multi-instance tasks: "A compute node's recent task list reflects the ID of a subtask".
    bench = Bench()
    task = bench.task(multiInstanceSettings=MANY, constraints={"maxTaskRetryCount": 1})
    nodes = [bench.pool.nodes[task.node_id or ""], other_node(bench, task)]
    shown = [render.node("", node) for node in nodes]
    assert [(node["runningTasksCount"], node["runningTaskSlotsCount"]) for node in shown] == [(1, 1), (1, 1)]
    assert [[each["subtaskId"] for each in node["recentTasks"]] for node in shown] == [[0], [1]]
    bench.end_all(DONE)
    bench.end_all(RunResult(1))
    for _ in range(2):
        bench.end_all(DONE)
    assert recent(nodes[0]) == [(0, "completed"), (0, "active")]
    assert recent(nodes[1]) == [(1, "completed"), (1, "completed")]
    assert [(node.tasks_run, node.tasks_succeeded) for node in nodes] == [(2, 1), (2, 2)]


@pytest.mark.parametrize("end", ["retry", "disable", "reboot"])
def test_no_try_that_is_over_is_shown_as_running(end: str) -> None:
    bench = Bench()
    task = bench.task(constraints={"maxTaskRetryCount": 1})
    node = bench.pool.nodes[task.node_id or ""]
    if end == "retry":
        bench.end_all(RunResult(1))
    elif end == "disable":
        bench.service.jobs.disable(task.job, "requeue")
    else:
        bench.service.nodes.act(node, "reboot", "requeue")
    tries = recent(node)
    assert tries[-1] == (None, "active")
    assert [state for _, state in tries].count("running") == (1 if end == "retry" and task.node_id == node.id else 0)


def test_data_of_subtasks_is_retained_on_their_nodes() -> None:
    # Multi-instance tasks: constraints such as the retention time "apply to the primary and all subtasks".
    bench = Bench()
    task = bench.task(multiInstanceSettings=MANY, constraints={"maxTaskRetryCount": 0, "retentionTime": "PT1H"})
    node = other_node(bench, task)
    bench.end_all(DONE)
    bench.end_all(DONE)
    body = {"nodeList": [node.id], "nodeDeallocationOption": "retaineddata", "resizeTimeout": "PT3H"}
    bench.service.pools.remove_nodes(bench.pool, REMOVE_NODES.accept("", body))
    bench.clock.advance(1800.0)
    assert node.id in bench.pool.nodes
    bench.clock.advance(3600.0)
    assert node.id not in bench.pool.nodes


def test_a_task_whose_services_are_lost_begins_again() -> None:
    bench = Bench()
    task = bench.task(multiInstanceSettings=MANY)
    coordination = list(bench.executor.open)
    bench.end_all(DONE)
    for run in coordination:
        run.finish(LOST)
    bench.clock.advance(1.0)
    assert (open_commands(bench)[-2:], task.retry_count, task.requeue_count) == (["coordinate", "coordinate"], 0, 0)
    for _ in range(2):
        bench.end_all(DONE)
    assert (task.result, free(bench)) == ("success", True)


def test_what_is_known_of_subtasks_after_a_restart() -> None:
    bench = Bench()
    done = bench.task(multiInstanceSettings=MANY)
    for _ in range(2):
        bench.end_all(DONE)
    bench.service.tasks.add(
        done.job, TASK.accept("", {"id": "runs", "commandLine": "work", "multiInstanceSettings": MANY})
    )
    bench.clock.advance(1.0)
    again = restarted(bench)
    assert parts(again.service.task("job", "t")) == [("completed", 0, None)]
    runs = again.service.task("job", "runs")
    nodes = [again.pool.nodes[name] for name in runs.node_ids]
    assert [[state for _, state in recent(node)] for node in nodes] == [["running", "active", "completed"]] * 2
    assert len(nodes) == 2


def test_a_task_that_is_reactivated_has_no_subtasks_before_it_runs() -> None:
    bench = Bench()
    task = bench.task(multiInstanceSettings=MANY)
    bench.end_all(DONE)
    bench.end_all(RunResult(1))
    assert len(task.node_ids) == 2
    bench.service.jobs.disable(task.job, "requeue")
    bench.service.tasks.reactivate(task)
    assert (task.subtasks, task.node_ids) == (None, [])


def test_subtasks_of_the_try_before_are_shown_until_the_next_one_begins() -> None:
    bench = Bench()
    task = bench.task(multiInstanceSettings=MANY, constraints={"maxTaskRetryCount": 1})
    bench.end_all(DONE)
    bench.service.jobs.disable(task.job, "wait")
    bench.end_all(RunResult(1))
    assert (task.state, task.retry_count, parts(task)) == ("active", 1, [("completed", 0, None)])
    again = restarted(bench).service.task("job", "t")
    assert (parts(again), again.node_ids) == (parts(task), task.node_ids)


@pytest.mark.parametrize("end", ["delete", "retention"])
def test_the_directory_of_a_subtask_goes_also_where_the_primary_never_ran(
    monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    bench = Bench()
    removed: list[tuple[str, str]] = []
    bench.executor.keeps_files = True
    monkeypatch.setattr(
        bench.executor, "remove_directory", lambda place, directory: removed.append((place.node_id, directory))
    )
    constraints = {"maxTaskRetryCount": 0, "retentionTime": "PT1H"}
    task = bench.task(PREPARED, multiInstanceSettings=MANY, constraints=constraints)
    node = other_node(bench, task)
    bench.executor.open.pop(1).finish(DONE)
    bench.clock.advance(1.0)
    assert sorted(open_commands(bench)) == ["coordinate", "prepare"]
    assert [(part.state, task.start_time) for part in task.subtasks or ()] == [("running", None)]
    bench.service.tasks.terminate(task)
    bench.clock.advance(1.0)
    if end == "delete":
        bench.service.tasks.delete(task)
    else:
        bench.clock.advance(4000.0)
    assert (node.id, "workitems/job/job-1/t") in removed
