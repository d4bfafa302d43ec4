"""Tasks that never finish are ended after 180 days."""

from __future__ import annotations

from azure_batch_emulator.clock import ManualClock
from azure_batch_emulator.engine.service import BatchService
from azure_batch_emulator.executors.simulated import SimulatedExecutor
from azure_batch_emulator.schema.jobs import JOB
from azure_batch_emulator.schema.tasks import TASK

DAY = 86_400.0


def account() -> tuple[ManualClock, BatchService]:
    clock = ManualClock()
    service = BatchService("account", clock, SimulatedExecutor(clock, 1), seed=1)
    # The pool does not exist, so that the tasks wait.
    service.jobs.create("job", JOB.accept("", {"id": "job", "poolInfo": {"poolId": "nowhere"}}))
    return clock, service


def test_each_task_is_ended_within_a_day_after_its_time() -> None:
    clock, service = account()
    job = service.job("job")
    days = (0.0, 1.5, 3.0, 90.0)
    tasks = {}
    for day in days:
        clock.advance(day * DAY - clock.service_seconds())
        tasks[day] = service.tasks.add(job, TASK.accept("", {"id": f"t{len(tasks)}", "commandLine": "true"}))
    for day, task in tasks.items():
        clock.advance((day + 179.9) * DAY - clock.service_seconds())
        assert task.state == "active"
        clock.advance((day + 181.1) * DAY - clock.service_seconds())
        assert (task.state, task.failure["code"] if task.failure else None) == ("completed", "TaskEnded")
    assert job.counts.failed == len(tasks)
    assert not job.ready


def test_tasks_that_ended_in_time_and_deleted_jobs_are_left_alone() -> None:
    clock, service = account()
    job = service.job("job")
    task = service.tasks.add(job, TASK.accept("", {"id": "t", "commandLine": "true"}))
    service.tasks.terminate(task)
    ended = task.end_time
    clock.advance(200 * DAY)
    assert task.end_time == ended
    service.tasks.add(job, TASK.accept("", {"id": "u", "commandLine": "true"}))
    service.jobs.delete(job)
    clock.advance(DAY)
    assert (job.age_timer, len(job.age_marks)) == (None, 0)
