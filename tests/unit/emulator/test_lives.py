"""What belongs to one life of a thing ends with it: tries, timers, dependencies, pools of jobs.

Each test is an order of events that once left something behind or took something away.
"""

from __future__ import annotations

import pytest

from azure_batch_emulator.engine.dependencies import Dependencies
from azure_batch_emulator.engine.entities import Node, Task
from azure_batch_emulator.engine.transitions import IllegalTransitionError
from azure_batch_emulator.executors.base import RunResult
from azure_batch_emulator.schema.jobs import JOB, JOB_SCHEDULE, JOB_SCHEDULE_UPDATE
from azure_batch_emulator.schema.pools import REMOVE_NODES, RESIZE
from azure_batch_emulator.schema.tasks import TASK
from azure_batch_emulator.wire.errors import BatchError
from support.hand_executor import DONE, Bench

MANY = {"numberOfInstances": 2, "coordinationCommandLine": "coordinate"}


def first(bench: Bench) -> Node:
    return next(iter(bench.pool.nodes.values()))


def test_a_node_that_leaves_cannot_be_preempted_and_still_leaves() -> None:
    bench = Bench()
    node = first(bench)
    bench.service.pools.remove_nodes(bench.pool, REMOVE_NODES.accept("", {"nodeList": [node.id]}))
    with pytest.raises(IllegalTransitionError):
        bench.service.nodes.preempt(node)
    bench.clock.advance(600.0)
    assert bench.pool.allocation_state == "steady"
    assert len(bench.pool.nodes) == 1


def test_a_preempted_node_comes_back_though_it_is_preempted_again() -> None:
    bench = Bench()
    node = first(bench)
    bench.service.nodes.preempt(node)
    with pytest.raises(IllegalTransitionError):
        bench.service.nodes.preempt(node)
    with pytest.raises(IllegalTransitionError):
        bench.service.nodes.fail(node, "unusable", "Broken", "broken")
    assert node.errors == []
    bench.clock.advance(600.0)
    assert node.state == "idle"


@pytest.mark.parametrize("state", ["unusable", "unknown", "starttaskfailed"])
def test_a_node_that_leaves_does_not_fail_and_its_pool_can_be_deleted(state: str) -> None:
    bench = Bench()
    bench.service.pools.delete(bench.pool)
    with pytest.raises(IllegalTransitionError):
        bench.service.nodes.fail(first(bench), state, "Broken", "broken")
    bench.clock.advance(600.0)
    assert bench.service.pool_table == {}


@pytest.mark.parametrize("action", ["reboot", "reimage", "deallocate"])
@pytest.mark.parametrize("state", ["unusable", "unknown"])
def test_a_node_that_fails_forgets_what_it_was_to_do(action: str, state: str) -> None:
    bench = Bench()
    task = bench.task()
    node = next(node for node in bench.pool.nodes.values() if node.id == task.node_id)
    bench.service.nodes.act(node, action, "taskcompletion")
    bench.service.nodes.fail(node, state, "Broken", "broken")
    bench.clock.advance(1.0)
    assert (node.state, node.after_drain, node.slots_used) == (state, None, 0)
    assert task.node_id != node.id


@pytest.mark.parametrize("end", ["terminate", "delete", "requeue"])
def test_the_coordination_of_a_primary_ends_with_its_task(end: str) -> None:
    bench = Bench()
    task = bench.task(multiInstanceSettings=MANY)
    assert len(bench.executor.open) == 2
    if end == "requeue":
        bench.service.jobs.disable(task.job, "requeue")
    else:
        getattr(bench.service.tasks, end)(task)
    assert [node.busy for node in bench.pool.nodes.values()] == [False, False]


def test_the_coordination_of_a_primary_ends_when_that_of_another_node_fails() -> None:
    bench = Bench()
    task = bench.task(multiInstanceSettings=MANY)
    other = next(run for run in bench.executor.open if run.request.directory.endswith("/1"))
    other.finish(RunResult(3))
    assert task.state == "completed"
    assert [node.busy for node in bench.pool.nodes.values()] == [False, False]


def test_no_task_that_waits_for_more_nodes_is_lost() -> None:
    bench = Bench()
    three = MANY | {"numberOfInstances": 3}
    tasks = [bench.task(multiInstanceSettings=three)]
    for name in ("t2", "t3"):
        body = {"id": name, "commandLine": "work", "multiInstanceSettings": three}
        tasks.append(bench.service.tasks.add(tasks[0].job, TASK.accept("", body)))
    bench.clock.advance(1.0)
    assert [task.id for task in tasks[0].job.ready] == ["t", "t2", "t3"]
    bench.service.pools.resize(bench.pool, RESIZE.accept("", {"targetDedicatedNodes": 3}))
    bench.clock.advance(300.0)
    for _ in tasks:
        assert bench.end_all(DONE) == ["coordinate"] * 3
        assert bench.end_all(DONE) == ["work"]
    assert {task.result for task in tasks} == {"success"}


def test_a_multi_instance_task_begins_again_when_one_of_its_other_nodes_goes() -> None:
    bench = Bench()
    task = bench.task(multiInstanceSettings=MANY)
    other = next(node for node in bench.pool.nodes.values() if node.id != task.node_id)
    bench.service.nodes.preempt(other)
    bench.clock.advance(600.0)
    assert task.requeue_count == 1
    assert bench.end_all(DONE).count("coordinate") >= 2
    assert bench.end_all(DONE) == ["work"]
    assert (task.state, task.result) == ("completed", "success")


def test_a_task_that_is_added_again_waits_for_its_own_parents() -> None:
    book = Dependencies()
    assert not book.add("c", {"taskIds": ["p"], "taskIdRanges": [{"start": 1, "end": 2}, {"start": 1, "end": 1000}]})
    book.forget("c")
    assert not book.add("C", {"taskIds": ["p", "q"]})
    assert book.satisfy("1") == []
    assert book.satisfy("p") == []
    assert book.satisfy("q") == ["c"]


def test_tasks_that_come_and_go_leave_nothing_behind() -> None:
    book = Dependencies()
    for _ in range(100):
        book.add("c", {"taskIds": ["p"], "taskIdRanges": [{"start": 1, "end": 2}, {"start": 1, "end": 1000}]})
        book.forget("c")
    assert book.size() == 0


def test_a_job_whose_manager_is_refused_is_not_there() -> None:
    bench = Bench()
    manager = {"id": "m", "commandLine": "x", "applicationPackageReferences": [{"applicationId": "none"}]}
    body = {"id": "job", "poolInfo": {"poolId": "pool"}, "jobManagerTask": manager}
    with pytest.raises(BatchError):
        bench.service.jobs.create("job", JOB.accept("", body))
    assert bench.service.job_table == {}
    assert bench.service.scheduler.jobs_of_pool == {}


def test_the_end_of_an_old_window_does_not_close_a_new_one() -> None:
    bench = Bench()
    times = {"recurrenceInterval": "PT50M", "startWindow": "PT60M"}
    specification = {"poolInfo": {"poolId": "pool"}}
    body = {"id": "s", "schedule": times, "jobSpecification": specification}
    schedule = bench.service.schedules.create("s", JOB_SCHEDULE.accept("", body))
    # The second job is due after 50 minutes and starts after 55; the third is due after 100, when the
    # window of the second is still open: that ends after 110.
    bench.clock.advance(55 * 60.0)
    assert schedule.due
    bench.service.jobs.terminate(bench.service.job("s:job-1"), "r")
    bench.clock.advance(57 * 60.0)
    assert (schedule.job_serial, schedule.due) == (2, True)


@pytest.mark.parametrize("replace", [False, True])
def test_a_schedule_does_not_take_a_job_that_it_could_not_make(*, replace: bool) -> None:
    bench = Bench()
    times = {"recurrenceInterval": "PT50M"}
    body = {"id": "s", "schedule": times, "jobSpecification": {"poolInfo": {"poolId": "pool"}}}
    schedule = bench.service.schedules.create("s", JOB_SCHEDULE.accept("", body))
    before = schedule.spec
    manager = {"id": "m", "commandLine": "x", "applicationPackageReferences": [{"applicationId": "none"}]}
    changes = {"schedule": times, "jobSpecification": {"poolInfo": {"poolId": "pool"}, "jobManagerTask": manager}}
    with pytest.raises(BatchError) as caught:
        bench.service.schedules.update(schedule, JOB_SCHEDULE_UPDATE.accept("", changes), replace=replace)
    assert caught.value.code == "InvalidApplicationPackageReferences"
    assert schedule.spec is before
    bench.service.jobs.terminate(bench.service.job("s:job-1"), "r")
    bench.clock.advance(51 * 60.0)
    assert "s:job-2" in bench.service.job_table


PREPARED = {"jobPreparationTask": {"commandLine": "prepare"}}
STATES = {"reboot": "rebooting", "reimage": "reimaging", "deallocate": "deallocating", "leave": "gone"}


def empty_the_node(bench: Bench, task: Task, action: str, option: str) -> Node:
    """Order the node of a task to do something, or to leave its pool."""
    node = next(node for node in bench.pool.nodes.values() if node.id == task.node_id)
    if action == "leave":
        body = {"nodeList": [node.id], "nodeDeallocationOption": option}
        bench.service.pools.remove_nodes(bench.pool, REMOVE_NODES.accept("", body))
    else:
        bench.service.nodes.act(node, action, option)
    return node


def state_of(bench: Bench, node: Node) -> str:
    return node.state if node.id in bench.pool.nodes else "gone"


@pytest.mark.parametrize("action", list(STATES))
@pytest.mark.parametrize("many", [False, True])
def test_a_node_waits_for_a_task_whose_job_is_being_prepared(action: str, *, many: bool) -> None:
    # REST API, taskcompletion: "Allow currently running Tasks to complete". The task has its node, so it is one of them.
    bench = Bench()
    task = bench.task(PREPARED, **({"multiInstanceSettings": MANY} if many else {}))
    node = empty_the_node(bench, task, action, "taskcompletion")
    assert set(bench.end_all(DONE)) == {"prepare"}
    if many:
        assert bench.end_all(DONE) == ["coordinate"] * 2
    assert bench.end_all(DONE) == ["work"]
    assert (task.state, task.result, task.requeue_count) == ("completed", "success", 0)
    bench.clock.advance(20.0)
    assert state_of(bench, node) in (STATES[action], "leavingpool")
    bench.clock.advance(600.0)
    assert (state_of(bench, node), node.busy) == (
        {"leave": "gone", "deallocate": "deallocated"}.get(action, "idle"),
        False,
    )


@pytest.mark.parametrize("action", list(STATES))
def test_a_node_that_waits_for_tasks_continues_though_a_job_cannot_be_prepared_there(action: str) -> None:
    bench = Bench()
    task = bench.task(PREPARED)
    node = empty_the_node(bench, task, action, "taskcompletion")
    assert bench.end_all(RunResult(1)) == ["prepare"]
    bench.clock.advance(600.0)
    assert state_of(bench, node) == {"leave": "gone", "deallocate": "deallocated"}.get(action, "idle")
    assert task.node_id != node.id
    assert bench.end_all(DONE) == ["prepare"]
    assert bench.end_all(DONE) == ["work"]


@pytest.mark.parametrize("action", list(STATES))
@pytest.mark.parametrize("option", ["requeue", "terminate"])
def test_a_node_that_does_not_wait_leaves_no_task_behind_that_does(action: str, option: str) -> None:
    bench = Bench()
    task = bench.task(PREPARED)
    node = empty_the_node(bench, task, action, option)
    bench.clock.advance(1.0)
    assert (node.busy, node.slots_used) == (False, 0)
    assert task.node_id != node.id


START = {"commandLine": "serve", "waitForSuccess": False}
BESIDE = {"jobPreparationTask": {"commandLine": "prepare", "waitForSuccess": False}}


def commands(bench: Bench, node: Node) -> list[str]:
    """What runs on a node."""
    runs = [run for run in bench.executor.open if run.request.place.node_id == node.id and not run.over]
    return [run.request.command_line for run in runs]


@pytest.mark.parametrize("action", list(STATES))
@pytest.mark.parametrize("option", ["taskcompletion", "retaineddata"])
def test_services_beside_tasks_run_as_long_as_the_tasks(action: str, option: str) -> None:
    bench = Bench(startTask=START)
    task = bench.task(BESIDE, constraints={"retentionTime": "PT0S"})
    node = empty_the_node(bench, task, action, option)
    bench.clock.advance(30.0)
    assert commands(bench, node) == ["serve", "prepare", "work"]
    next(run for run in bench.executor.open if run.request.command_line == "work").finish(DONE)
    bench.clock.advance(1.0)
    assert (task.state, task.result) == ("completed", "success")
    assert commands(bench, node) == []
    bench.clock.advance(20.0)
    assert state_of(bench, node) in (STATES[action], "leavingpool")
    bench.clock.advance(600.0)
    assert state_of(bench, node) == {"leave": "gone", "deallocate": "deallocated"}.get(action, "idle")


def test_a_release_task_continues_while_its_node_waits_for_a_task() -> None:
    bench = Bench(targetDedicatedNodes=1, taskSlotsPerNode=2)
    first = bench.task(PREPARED | {"jobReleaseTask": {"commandLine": "release"}})
    bench.end_all(DONE)
    bench.end_all(DONE)
    second = bench.service.jobs.create("next", JOB.accept("", {"id": "next", "poolInfo": {"poolId": "pool"}}))
    long = bench.service.tasks.add(second, TASK.accept("", {"id": "t", "commandLine": "long"}))
    bench.clock.advance(1.0)
    bench.service.jobs.terminate(first.job, "r")
    node = empty_the_node(bench, long, "reboot", "taskcompletion")
    assert commands(bench, node) == ["long", "release"]
    bench.executor.open[-1].finish(DONE)
    bench.clock.advance(10.0)
    assert (first.job.state, node.state) == ("completed", "running")
    assert bench.end_all(DONE) == ["long", "release"]
    assert node.state == "rebooting"


def test_a_start_task_continues_where_a_resize_that_waited_for_tasks_is_stopped() -> None:
    bench = Bench(startTask=START)
    task = bench.task()
    node = empty_the_node(bench, task, "leave", "taskcompletion")
    bench.service.pools.stop_resize(bench.pool)
    bench.clock.advance(60.0)
    assert state_of(bench, node) == "running"
    assert commands(bench, node) == ["serve", "work"]


def test_a_node_that_is_to_be_deallocated_while_it_starts_leaves_no_start_task_behind() -> None:
    bench = Bench(startTask=START)
    node = next(iter(bench.pool.nodes.values()))
    bench.service.nodes.act(node, "reboot", "requeue")
    bench.clock.advance(70.0)
    assert node.state == "starting"
    bench.service.nodes.act(node, "deallocate", "requeue")
    bench.clock.advance(300.0)
    assert (node.state, commands(bench, node)) == ("deallocated", [])


def test_a_start_task_that_continues_keeps_no_job_manager_and_no_task_after_it_away() -> None:
    # REST API, runExclusive: "no other Tasks will run on the same Node for as long as the Job Manager is running".
    bench = Bench(targetDedicatedNodes=1, startTask=START)
    manager = {
        "id": "m",
        "commandLine": "manage",
        "killJobOnCompletion": False,
        "constraints": {"maxTaskRetryCount": 0},
    }
    bench.task({"jobManagerTask": manager})
    (node,) = bench.pool.nodes.values()
    assert commands(bench, node) == ["serve", "manage"]
    next(run for run in bench.executor.open if run.request.command_line == "manage").finish(DONE)
    bench.clock.advance(1.0)
    assert commands(bench, node) == ["serve", "work"]
