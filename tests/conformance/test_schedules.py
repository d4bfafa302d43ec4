"""Job schedules."""

from __future__ import annotations

import datetime

import pytest
from azure.batch import BatchClient, models
from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError

from support.batch_bodies import MACHINE, add_task, finished, make_job, make_pool
from support.emulator_thread import EmulatorThread, wait_until

MINUTE = datetime.timedelta(minutes=1)
SPECIFICATION = models.BatchJobSpecification(pool_info=models.BatchPoolInfo(pool_id="pool"))


def make_schedule(
    client: BatchClient, specification: models.BatchJobSpecification = SPECIFICATION, **times: object
) -> None:
    schedule = models.BatchJobScheduleConfiguration(**times)
    client.create_job_schedule(
        models.BatchJobScheduleCreateContent(id="sched", schedule=schedule, job_specification=specification)
    )


def jobs(client: BatchClient) -> dict[str, str]:
    return {job.id: job.state for job in client.list_jobs_from_schedule("sched")}


def test_the_first_job_exists_at_once(client: BatchClient, emulator: EmulatorThread) -> None:
    with emulator.paused():
        make_schedule(client, recurrence_interval=MINUTE)
        schedule = client.get_job_schedule("sched")
        assert (schedule.state, schedule.previous_state) == ("active", None)
        assert schedule.execution_info.recent_job.id == "sched:job-1"
        assert schedule.execution_info.next_run_time > schedule.creation_time
        job = client.get_job("sched:job-1")
        assert (job.priority, job.on_all_tasks_complete) == (0, "noaction")
        assert client.job_schedule_exists("sched")
        assert not client.job_schedule_exists("none")
        listed = list(client.list_job_schedules(filter="state eq 'active' and startswith(id,'sch')", select=["id"]))
        assert [dict(item) for item in listed] == [{"id": "sched"}]


def test_one_job_after_the_other(client: BatchClient) -> None:
    make_pool(client)
    manager = models.BatchJobManagerTask(id="work", command_line="/bin/echo done")
    make_schedule(
        client,
        models.BatchJobSpecification(pool_info=models.BatchPoolInfo(pool_id="pool"), job_manager_task=manager),
        recurrence_interval=MINUTE,
    )
    wait_until(lambda: jobs(client).get("sched:job-2") == "completed", "two jobs are done")
    first, second = client.get_job("sched:job-1"), client.get_job("sched:job-2")
    assert first.execution_info.end_time <= second.creation_time
    task = client.get_task("sched:job-1", "work")
    assert task.node_info.task_root_directory == "workitems/sched/job-1/work"
    assert b"".join(client.get_task_file("sched:job-1", "work", "stdout.txt")) == b"done\n"


def test_a_job_that_never_ends_keeps_the_next_from_starting(client: BatchClient) -> None:
    make_schedule(client, recurrence_interval=MINUTE)
    before = client.get_job_schedule("sched").execution_info.next_run_time
    wait_until(lambda: client.get_job_schedule("sched").execution_info.next_run_time > before, "a run fell due")
    assert jobs(client) == {"sched:job-1": "active"}
    client.terminate_job("sched:job-1")
    wait_until(lambda: "sched:job-2" in jobs(client), "the next job")


def test_once(client: BatchClient) -> None:
    make_schedule(client)
    assert client.get_job_schedule("sched").execution_info.next_run_time is None
    client.terminate_job("sched:job-1")
    schedule = wait_until(lambda: (s := client.get_job_schedule("sched")).state == "completed" and s, "completed")
    assert schedule.execution_info.end_time is not None
    with pytest.raises(ResourceExistsError) as caught:
        client.disable_job_schedule("sched")
    assert caught.value.error.code == "JobScheduleCompleted"


def test_not_before(client: BatchClient) -> None:
    later = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)
    make_schedule(client, do_not_run_until=later, recurrence_interval=MINUTE)
    assert client.get_job_schedule("sched").execution_info.recent_job is None
    assert jobs(client) == {}


def test_disable_and_enable(client: BatchClient) -> None:
    make_schedule(client, recurrence_interval=MINUTE)
    client.disable_job_schedule("sched")
    schedule = client.get_job_schedule("sched")
    assert (schedule.state, schedule.previous_state) == ("disabled", "active")
    assert jobs(client) == {"sched:job-1": "active"}
    with pytest.raises(ResourceExistsError) as caught:
        client.disable_job_schedule("sched")
    assert caught.value.error.code == "JobScheduleDisabled"
    client.enable_job_schedule("sched")
    assert client.get_job_schedule("sched").state == "active"


def test_changes_are_for_future_jobs(client: BatchClient) -> None:
    make_schedule(client, recurrence_interval=MINUTE, start_window=MINUTE)
    urgent = models.BatchJobSpecification(pool_info=models.BatchPoolInfo(pool_id="pool"), priority=7)
    client.update_job_schedule("sched", models.BatchJobScheduleUpdateContent(job_specification=urgent))
    schedule = client.get_job_schedule("sched")
    assert (schedule.job_specification.priority, schedule.schedule.start_window) == (7, MINUTE)
    assert client.get_job("sched:job-1").priority == 0
    hour = models.BatchJobScheduleConfiguration(recurrence_interval=datetime.timedelta(hours=1))
    client.replace_job_schedule("sched", models.BatchJobSchedule(schedule=hour, job_specification=SPECIFICATION))
    schedule = client.get_job_schedule("sched")
    assert (schedule.job_specification.priority, schedule.schedule.start_window) == (0, None)
    client.terminate_job("sched:job-1")


def test_terminate_and_delete(client: BatchClient, emulator: EmulatorThread) -> None:
    make_schedule(client, recurrence_interval=MINUTE)
    client.terminate_job_schedule("sched")
    wait_until(lambda: client.get_job_schedule("sched").state == "completed", "completed")
    job = wait_until(lambda: (j := client.get_job("sched:job-1")).state == "completed" and j, "its job too")
    assert job.execution_info.termination_reason == "TerminateWorkitem"
    with emulator.paused():
        etag = client.get_job_schedule("sched").e_tag
        client.delete_job_schedule("sched")
        schedule = client.get_job_schedule("sched")
        assert (schedule.state, schedule.e_tag) == ("deleting", etag)
        with pytest.raises(ResourceExistsError) as caught:
            client.delete_job_schedule("sched")
        assert caught.value.error.code == "JobScheduleBeingDeleted"
    wait_until(lambda: not client.job_schedule_exists("sched"), "gone")
    with pytest.raises(ResourceNotFoundError):
        client.get_job("sched:job-1")


def test_ids_are_shared_with_jobs(client: BatchClient) -> None:
    make_job(client, "sched")
    with pytest.raises(ResourceExistsError) as caught:
        make_schedule(client)
    assert caught.value.error.code == "JobWithSameIdExists"
    client.delete_job("sched")

    def gone() -> bool:
        return not [job for job in client.list_jobs() if job.id == "sched"]

    wait_until(gone, "the job is gone")
    make_schedule(client)
    with pytest.raises(ResourceExistsError) as caught:
        make_job(client, "SCHED")
    assert caught.value.error.code == "JobScheduleWithSameIdExists"


def test_tasks_of_a_scheduled_job(client: BatchClient) -> None:
    make_pool(client)
    make_schedule(client)
    add_task(client, "t", "/bin/echo hi", job_id="sched:job-1")
    assert finished(client, "t", "sched:job-1").execution_info.exit_code == 0
    assert client.get_job_schedule("sched", expand=["stats"]).stats.num_succeeded_tasks == 1


def test_a_shared_pool_that_is_being_deleted_gets_another_id_for_the_next_job(
    client: BatchClient, emulator: EmulatorThread
) -> None:
    pool = models.BatchPoolSpecification(
        vm_size="standard_d2s_v3", virtual_machine_configuration=MACHINE, target_dedicated_nodes=1
    )
    auto = models.BatchAutoPoolSpecification(
        pool_lifetime_option="jobschedule", auto_pool_id_prefix="shared", keep_alive=False, pool=pool
    )
    info = models.BatchPoolInfo(auto_pool_specification=auto)
    make_schedule(client, models.BatchJobSpecification(pool_info=info), recurrence_interval=MINUTE)
    # By then the minute is over: the next job comes as soon as this one has ended.
    wait_until(lambda: [pool.current_dedicated_nodes for pool in client.list_pools()] == [1], "the pool has its node")
    (old,) = client.list_pools()
    assert client.get_job("sched:job-1").execution_info.pool_id == old.id
    # A job in a pool of its own ends within 15 s; a node takes 100 s to leave.
    with emulator.paused():
        emulator.call("DELETE", f"/pools/{old.id}")
        emulator.call("POST", "/jobs/sched:job-1/terminate")
    wait_until(lambda: "sched:job-2" in jobs(client), "the next job is there")
    new = client.get_job("sched:job-2").execution_info.pool_id
    assert new != old.id
    assert new.startswith("shared_")
    wait_until(
        lambda: [pool.id for pool in client.list_pools()] == [new], "the new pool has taken the place of the old one"
    )
    # The schedule knows the new one as its own.
    client.terminate_job_schedule("sched")
    wait_until(lambda: not list(client.list_pools()), "the pool goes with its schedule")
