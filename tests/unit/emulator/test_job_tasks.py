"""Job preparation and release tasks when nodes are rebooted, reimaged or preempted, and when jobs end early.

REST API, ``jobReleaseTask``: it "runs on each Node where Tasks of the Job have run and the Job Preparation Task ran and completed";
not on one that was reimaged since, and again "if a Node reboots while the Job Release Task is still running".
``jobPreparationTask``: if it fails, the node "remains ineligible to run Tasks of this Job until it is reimaged".
"""

from __future__ import annotations

from typing import Any

import pytest

from azure_batch_emulator.engine.entities import Node, Task
from azure_batch_emulator.executors.base import RunResult
from azure_batch_emulator.schema.tasks import TASK
from support.hand_executor import DONE, Bench
from unit.emulator.restarting import restarted

JOB: dict[str, Any] = {
    "jobPreparationTask": {"commandLine": "prepare", "constraints": {"maxTaskRetryCount": 0}},
    "jobReleaseTask": {"commandLine": "release"},
}


def one_node(**preparation: Any) -> tuple[Bench, Task, Node]:
    bench = Bench(targetDedicatedNodes=1)
    task = bench.task(JOB | {"jobPreparationTask": JOB["jobPreparationTask"] | preparation})
    return bench, task, next(iter(bench.pool.nodes.values()))


def worked(**preparation: Any) -> tuple[Bench, Task, Node]:
    """A job of which a task has run."""
    bench, task, node = one_node(**preparation)
    assert bench.end_all(DONE) == ["prepare"]
    assert bench.end_all(DONE) == ["work"]
    return bench, task, node


def act(bench: Bench, node: Node, action: str, seconds: float = 600.0) -> None:
    if action == "preempt":
        bench.service.nodes.preempt(node)
    else:
        bench.service.nodes.act(node, action, "requeue")
    bench.clock.advance(seconds)
    assert node.state in ("idle", "running")


def another(bench: Bench, task: Task) -> Task:
    found = bench.service.tasks.add(task.job, TASK.accept("", {"id": "t2", "commandLine": "again"}))
    bench.clock.advance(1.0)
    return found


def end(bench: Bench, task: Task, verb: str) -> None:
    bench.service.jobs.terminate(task.job, "r") if verb == "terminate" else bench.service.jobs.delete(task.job)
    bench.clock.advance(1.0)


@pytest.mark.parametrize("verb", ["terminate", "delete"])
def test_a_preparation_task_ends_with_its_job_and_no_release_task_runs_there(verb: str) -> None:
    bench, task, node = one_node()
    end(bench, task, verb)
    assert (node.busy, node.slots_used) == (False, 0)
    (record,) = task.job.job_task_records
    assert record.preparation is not None
    assert (record.preparation["state"], record.preparation["result"]) == ("completed", "failure")
    assert record.preparation["failureInfo"]["code"] == "TaskEnded"
    assert record.release is None
    bench.clock.advance(10.0)
    assert task.job.state == "completed" or bench.service.job_table == {}


def test_no_release_task_runs_where_the_job_could_not_be_prepared() -> None:
    bench, task, _ = one_node()
    assert bench.end_all(RunResult(1)) == ["prepare"]
    end(bench, task, "terminate")
    bench.clock.advance(10.0)
    assert (task.job.state, bench.executor.open) == ("completed", [])


def test_a_release_task_runs_after_a_failed_preparation_that_tasks_did_not_wait_for() -> None:
    bench, task, _ = one_node(waitForSuccess=False)
    bench.end_all(RunResult(1))
    end(bench, task, "terminate")
    assert bench.end_all(DONE) == ["release"]


@pytest.mark.parametrize(("action", "released"), [("reboot", ["release"]), ("reimage", []), ("preempt", [])])
def test_a_node_that_is_recreated_has_nothing_to_release(action: str, released: list[str]) -> None:
    bench, task, node = worked()
    act(bench, node, action)
    end(bench, task, "terminate")
    assert bench.end_all(DONE) == released


@pytest.mark.parametrize("action", ["reimage", "preempt"])
@pytest.mark.parametrize("rerun", [False, True])
def test_a_node_that_is_recreated_is_prepared_again_and_released_once(action: str, *, rerun: bool) -> None:
    bench, task, node = worked(rerunOnNodeRebootAfterSuccess=rerun)
    act(bench, node, action)
    another(bench, task)
    assert bench.end_all(DONE) == ["prepare"]
    assert bench.end_all(DONE) == ["again"]
    end(bench, task, "terminate")
    assert bench.end_all(DONE) == ["release"]
    assert len(task.job.job_task_records) == 1


@pytest.mark.parametrize(("rerun", "commands"), [(True, ["prepare"]), (False, ["again"])])
def test_a_rebooted_node_is_prepared_again_if_the_job_says_so(rerun: bool, commands: list[str]) -> None:
    bench, task, node = worked(rerunOnNodeRebootAfterSuccess=rerun)
    act(bench, node, "reboot")
    another(bench, task)
    assert bench.end_all(DONE) == commands


@pytest.mark.parametrize(("action", "commands"), [("reboot", []), ("reimage", ["prepare"]), ("preempt", ["prepare"])])
def test_a_node_on_which_a_preparation_failed_takes_no_tasks_of_the_job_until_it_is_recreated(
    action: str, commands: list[str]
) -> None:
    bench, _, node = one_node()
    assert bench.end_all(RunResult(1)) == ["prepare"]
    act(bench, node, action)
    assert bench.end_all(DONE) == commands


@pytest.mark.parametrize("times", [1, 2])
def test_a_release_task_that_a_reboot_interrupts_runs_again(times: int) -> None:
    bench, task, node = worked()
    end(bench, task, "terminate")
    for _ in range(times):
        act(bench, node, "reboot", 200.0)
        assert task.job.state == "terminating"
    bench.executor.open = bench.executor.open[-1:]
    assert bench.end_all(DONE) == ["release"]
    bench.clock.advance(10.0)
    (record,) = task.job.job_task_records
    assert record.release is not None
    assert (task.job.state, record.release["result"]) == ("completed", "success")


@pytest.mark.parametrize("then", ["preempt", "unusable", "leave", "delete"])
def test_a_job_does_not_wait_for_a_node_that_does_not_come_back(then: str) -> None:
    bench, task, node = worked()
    end(bench, task, "terminate")
    bench.service.nodes.act(node, "reboot", "requeue")
    bench.clock.advance(10.0)
    if then == "preempt":
        bench.service.nodes.preempt(node)
        bench.clock.advance(1000.0)
        bench.end_all(DONE)
        bench.clock.advance(10.0)
    elif then == "unusable":
        bench.service.nodes.fail(node, "unusable", "Broken", "broken")
    elif then == "leave":
        bench.service.nodes.drain(node, "leave", "requeue")
    else:
        bench.service.jobs.delete(task.job)
        bench.service.pools.delete(bench.pool)
    bench.clock.advance(1000.0)
    assert (task.job.state if then != "delete" else len(bench.service.job_table)) in ("completed", 0)


@pytest.mark.parametrize("then", ["preempt", "leave", "delete", "reimage"])
def test_a_job_does_not_wait_for_a_node_that_has_nothing_to_release_any_more(then: str) -> None:
    bench, task, node = worked()
    end(bench, task, "terminate")
    bench.service.nodes.act(node, "reboot", "requeue")
    bench.clock.advance(10.0)
    if then == "preempt":
        bench.service.nodes.preempt(node)
    elif then == "leave":
        bench.service.nodes.drain(node, "leave", "requeue")
    elif then == "delete":
        bench.service.pools.delete(bench.pool)
    else:
        bench.service.nodes.fail(node, "starttaskfailed", "Broken", "broken")
        bench.service.nodes.act(node, "reimage", "requeue")
    bench.clock.advance(300.0)
    assert task.job.state == "completed"
    bench.clock.advance(1000.0)
    assert bench.end_all(DONE) == ["release"]


def test_a_failed_preparation_that_tasks_do_not_wait_for_keeps_no_tasks_away_and_is_not_retried() -> None:
    # REST API, waitForSuccess: "even if the Job Preparation Task fails, new Tasks will continue to be scheduled".
    bench, task, _ = one_node(waitForSuccess=False)
    prepare, work = bench.executor.open
    prepare.finish(RunResult(1))
    work.finish(DONE)
    bench.clock.advance(1.0)
    bench.executor.open = []
    another(bench, task)
    assert bench.end_all(DONE) == ["again"]


@pytest.mark.parametrize("moment", ["during", "after"])
@pytest.mark.parametrize("action", ["reimage", "preempt"])
@pytest.mark.parametrize("verb", ["work", "terminate"])
def test_a_node_that_was_recreated_is_still_new_after_a_restart(action: str, moment: str, verb: str) -> None:
    bench, task, node = worked()
    node.users["user"] = {"name": "user"}
    if moment == "after":
        act(bench, node, action)
    elif action == "preempt":
        bench.service.nodes.preempt(node)
    else:
        bench.service.nodes.act(node, action, "requeue")
    bench = restarted(bench)
    task, node = bench.service.task("job", "t"), next(iter(bench.pool.nodes.values()))
    assert (node.state, node.users) == ("idle", {})
    if verb == "work":
        another(bench, task)
        assert bench.end_all(DONE) == ["prepare"]
        assert bench.end_all(DONE) == ["again"]
    else:
        end(bench, task, verb)
        assert bench.end_all(DONE) == []


@pytest.mark.parametrize("moment", ["during", "after"])
@pytest.mark.parametrize(("rerun", "commands"), [(True, ["prepare"]), (False, ["again"])])
def test_a_rebooted_node_is_prepared_again_after_a_restart_if_the_job_says_so(
    moment: str, rerun: bool, commands: list[str]
) -> None:
    bench, _, node = worked(rerunOnNodeRebootAfterSuccess=rerun)
    if moment == "after":
        act(bench, node, "reboot")
    else:
        bench.service.nodes.act(node, "reboot", "requeue")
    bench = restarted(bench)
    another(bench, bench.service.task("job", "t"))
    assert bench.end_all(DONE) == commands


def test_a_preparation_task_that_a_restart_ends_does_not_run_forever() -> None:
    bench, _, _ = one_node()
    bench = restarted(bench)
    assert bench.end_all(DONE) == ["prepare"]
    assert bench.end_all(DONE) == ["work"]


def test_a_release_task_that_a_restart_ends_is_over() -> None:
    bench, task, _ = worked()
    end(bench, task, "terminate")
    bench = restarted(bench)
    job = bench.service.job("job")
    (record,) = job.job_task_records
    assert record.release is not None
    assert (job.state, record.release["state"], record.release["result"]) == ("completed", "completed", "failure")


@pytest.mark.parametrize("how", ["reboot", "preempt", "terminate"])
def test_a_preparation_task_that_ends_with_its_node_is_not_shown_as_running(how: str) -> None:
    bench, task, node = one_node()
    if how == "preempt":
        bench.service.nodes.preempt(node)
    else:
        bench.service.nodes.act(node, "reboot", "requeue" if how == "reboot" else "taskcompletion")
    if how == "terminate":
        end(bench, task, "terminate")
    (record,) = task.job.job_task_records
    assert record.preparation is not None
    assert (record.preparation["state"], record.preparation["result"]) == ("completed", "failure")
    assert record.preparation["failureInfo"]["code"] == "TaskEnded"
    bench.clock.advance(600.0)
    running = [run.request.command_line for run in bench.executor.open if not run.over]
    assert running == ([] if how == "terminate" else ["prepare"])


def test_a_release_task_runs_when_a_node_is_back_that_was_rebooting_at_the_end_of_the_job() -> None:
    bench, task, node = worked()
    bench.service.nodes.act(node, "reboot", "requeue")
    bench.clock.advance(10.0)
    end(bench, task, "terminate")
    bench.clock.advance(10.0)
    assert (task.job.state, bench.executor.open) == ("terminating", [])
    bench.clock.advance(200.0)
    assert bench.end_all(DONE) == ["release"]
    bench.clock.advance(10.0)
    assert task.job.state == "completed"


def test_a_preparation_task_that_a_restart_ends_is_shown_again_when_it_runs_again() -> None:
    bench, _, node = one_node()
    bench.service.nodes.disable_scheduling(node, "requeue")
    bench = restarted(bench)
    (record,) = bench.service.job("job").job_task_records
    assert record.preparation is None
    bench.service.nodes.enable_scheduling(next(iter(bench.pool.nodes.values())))
    bench.clock.advance(1.0)
    assert bench.end_all(DONE) == ["prepare"]


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("wait_for_success", [True, False])
def test_a_preparation_task_that_fails_while_its_job_is_disabled_is_retried_when_that_is_enabled(
    wait_for_success: bool, restart: bool
) -> None:
    bench, task, _ = one_node(constraints={"maxTaskRetryCount": 1}, waitForSuccess=wait_for_success)
    bench.service.jobs.disable(task.job, "requeue")
    bench.clock.advance(1.0)
    assert "prepare" in bench.end_all(RunResult(1))
    assert bench.service.job("job").job_task_records[0].preparation["result"] == "failure"
    bench.clock.advance(60.0)
    assert (bench.executor.open, bench.service.job("job").state) == ([], "disabled")
    if restart:
        bench = restarted(bench)
    bench.service.jobs.enable(bench.service.job("job"))
    bench.clock.advance(1.0)
    (record,) = bench.service.job("job").job_task_records
    assert record.preparation["retryCount"] == 1
    # The tries are counted through: this was the last one.
    ran = bench.end_all(RunResult(1))
    assert ran == ["prepare"] if wait_for_success else sorted(ran) == ["prepare", "work"]
    assert record.failed is wait_for_success
    assert bench.executor.open == []


def test_tasks_that_a_disabling_job_waits_for_have_their_preparation_retried() -> None:
    bench, task, _ = one_node(constraints={"maxTaskRetryCount": 1})
    bench.service.jobs.disable(task.job, "wait")
    bench.clock.advance(1.0)
    assert bench.end_all(RunResult(1)) == ["prepare"]
    assert task.job.state == "disabling"
    assert bench.end_all(DONE) == ["prepare"]
    assert bench.end_all(DONE) == ["work"]
    bench.clock.advance(60.0)
    assert (task.state, task.job.state) == ("completed", "disabled")
