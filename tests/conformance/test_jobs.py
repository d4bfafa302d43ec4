"""Jobs, through the official client."""

from __future__ import annotations

import datetime

import pytest
from azure.batch import BatchClient, models
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError

from support.batch_bodies import add_task, finished, make_job, make_pool, shell
from support.emulator_thread import EmulatorThread, wait_until

ON_POOL = models.BatchPoolInfo(pool_id="pool")


def wait_state(client: BatchClient, state: str, job_id: str = "job") -> models.BatchJob:
    def reached() -> models.BatchJob | None:
        job = client.get_job(job_id)
        return job if job.state == state else None

    return wait_until(reached, f"job {state}")


def test_defaults(client: BatchClient) -> None:
    make_job(client, pool_id="no-such-pool")
    job = client.get_job("JOB")
    assert (job.id, job.state, job.priority, job.max_parallel_tasks) == ("job", "active", 0, -1)
    assert (job.on_all_tasks_complete, job.on_task_failure) == ("noaction", "noaction")
    assert (job.uses_task_dependencies, job.allow_task_preemption) == (False, False)
    assert job.constraints.max_task_retry_count == 0
    assert job.execution_info.pool_id == "no-such-pool"
    assert job.previous_state is None


def test_location_of_a_new_job_is_job_1_whatever_its_id(emulator: EmulatorThread) -> None:
    status, headers, _ = emulator.call("POST", "/jobs", {"id": "other", "poolInfo": {"poolId": "p"}})
    assert status == 201
    assert headers["location"] == headers["dataserviceid"] == f"{emulator.endpoint}/jobs/job-1"


def test_ids_are_unique_without_regard_to_case(client: BatchClient) -> None:
    make_job(client, "Job")
    with pytest.raises(ResourceExistsError) as caught:
        make_job(client, "job")
    assert caught.value.error.code == "JobExists"
    client.terminate_job("job")
    wait_state(client, "completed")
    with pytest.raises(ResourceExistsError) as caught:
        make_job(client, "job")
    assert caught.value.error.code == "JobCompleted"


def test_patch_and_put(client: BatchClient) -> None:
    constraints = models.BatchJobConstraints(max_task_retry_count=3)
    make_job(client, priority=5, constraints=constraints, metadata=[models.MetadataItem(name="a", value="b")])
    before = client.get_job("job").e_tag
    hour = models.BatchJobConstraints(max_wall_clock_time=datetime.timedelta(hours=1))
    client.update_job("job", models.BatchJobUpdateContent(constraints=hour))
    job = client.get_job("job")
    assert job.e_tag != before
    assert (job.priority, job.constraints.max_task_retry_count) == (5, 0)
    assert job.constraints.max_wall_clock_time == datetime.timedelta(hours=1)
    client.replace_job("job", models.BatchJob(pool_info=ON_POOL))
    job = client.get_job("job")
    assert (job.priority, job.metadata) == (0, None)
    with pytest.raises(HttpResponseError) as caught:
        client.update_job("job", models.BatchJobUpdateContent(priority=1001))
    assert caught.value.status_code == 400
    with pytest.raises(ResourceExistsError) as conflict:
        client.update_job("job", models.BatchJobUpdateContent(pool_info=models.BatchPoolInfo(pool_id="other")))
    assert conflict.value.error.code == "OperationInvalidForCurrentState"


def test_terminatejob_cannot_be_taken_back(client: BatchClient) -> None:
    make_job(client)
    client.update_job("job", models.BatchJobUpdateContent(on_all_tasks_complete="terminateJob"))
    with pytest.raises(HttpResponseError) as caught:
        client.update_job("job", models.BatchJobUpdateContent(on_all_tasks_complete="noAction"))
    assert caught.value.error.code == "InvalidPropertyValue"


@pytest.mark.parametrize("option", ["requeue", "terminate"])
def test_disable_and_enable(client: BatchClient, option: str) -> None:
    make_pool(client)
    make_job(client)
    add_task(client, "long", "/bin/sleep 600")
    wait_until(lambda: client.get_task("job", "long").state == "running", "running")
    client.disable_job("job", models.BatchJobDisableContent(disable_tasks=option))
    job = wait_state(client, "disabled")
    assert job.previous_state == "active"
    task = client.get_task("job", "long")
    if option == "requeue":
        assert (task.state, task.execution_info.requeue_count) == ("active", 1)
    else:
        assert (task.state, task.execution_info.failure_info.code) == ("completed", "TaskEnded")
    client.disable_job("job", models.BatchJobDisableContent(disable_tasks=option))
    assert client.get_job("job").state == "disabled"
    add_task(client, "later")
    assert client.get_task("job", "later").state == "active"
    client.enable_job("job")
    assert wait_state(client, "active").previous_state == "disabled"
    if option == "requeue":
        wait_until(lambda: client.get_task("job", "long").state == "running", "running again")
    else:
        finished(client, "later")


def test_disable_waits_for_running_tasks(client: BatchClient) -> None:
    make_pool(client)
    make_job(client)
    add_task(client, "t", shell("while [ ! -e go ]; do sleep 0.05; done"))
    wait_until(lambda: client.get_task("job", "t").state == "running", "running")
    client.disable_job("job", models.BatchJobDisableContent(disable_tasks="wait"))
    assert client.get_job("job").state == "disabling"
    client.terminate_task("job", "t")
    wait_state(client, "disabled")


def test_terminate_leaves_active_tasks_active(client: BatchClient, emulator: EmulatorThread) -> None:
    make_pool(client)
    make_job(client)
    add_task(client, "runs", "/bin/sleep 600")
    add_task(client, "waits")
    wait_until(lambda: client.get_task("job", "runs").state == "running", "running")
    with emulator.paused():
        client.terminate_job("job", models.BatchJobTerminateContent(termination_reason="because"))
        job = client.get_job("job")
        assert (job.state, job.execution_info.termination_reason) == ("terminating", "because")
        with pytest.raises(ResourceExistsError) as ending:
            add_task(client, "late")
        assert ending.value.error.code == "JobBeingTerminated"
    job = wait_state(client, "completed")
    assert job.previous_state == "active"
    assert job.execution_info.end_time is not None
    assert client.get_task("job", "waits").state == "active"
    assert client.get_task("job", "runs").execution_info.result == "failure"
    for call, code in (
        (lambda: add_task(client, "late"), "JobCompleted"),
        (lambda: client.terminate_job("job"), "JobCompleted"),
        (lambda: client.reactivate_task("job", "runs"), "JobCompleted"),
    ):
        with pytest.raises(ResourceExistsError) as caught:
            call()
        assert caught.value.error.code == code


def test_a_job_ends_when_all_tasks_are_complete(client: BatchClient) -> None:
    make_pool(client)
    make_job(client)
    add_task(client, "one")
    add_task(client, "two", shell("exit 3"))
    client.update_job("job", models.BatchJobUpdateContent(on_all_tasks_complete="terminatejob"))
    job = wait_state(client, "completed")
    assert job.execution_info.termination_reason == "AllTasksCompleted"


def test_a_failed_task_ends_its_job_where_told_so(client: BatchClient) -> None:
    make_pool(client)
    make_job(client, on_task_failure="performExitOptionsJobAction")
    conditions = models.ExitConditions(
        exit_codes=[models.ExitCodeMapping(code=4, exit_options=models.ExitOptions(job_action="none"))],
    )
    add_task(client, "harmless", shell("exit 4"), exit_conditions=conditions)
    finished(client, "harmless")
    assert client.get_job("job").state == "active"
    add_task(client, "fatal", shell("exit 5"), exit_conditions=conditions)
    assert wait_state(client, "completed").execution_info.termination_reason == "TaskFailed"


def test_job_wall_clock(client: BatchClient) -> None:
    constraints = models.BatchJobConstraints(max_wall_clock_time=datetime.timedelta(seconds=1))
    make_job(client, constraints=constraints)
    assert wait_state(client, "completed").execution_info.termination_reason == "MaxWallClockTimeExpiry"


def test_delete(client: BatchClient, emulator: EmulatorThread) -> None:
    make_pool(client)
    make_job(client)
    add_task(client, "long", "/bin/sleep 600")
    wait_until(lambda: client.get_task("job", "long").state == "running", "running")
    before = client.get_job("job").e_tag
    with emulator.paused():
        client.delete_job("job", force=True)
        job = client.get_job("job")
        assert (job.state, job.e_tag, job.previous_state) == ("deleting", before, "active")
        with pytest.raises(ResourceExistsError) as caught:
            make_job(client)
        assert caught.value.error.code == "JobBeingDeleted"

    def gone() -> bool:
        try:
            client.get_job("job")
        except ResourceNotFoundError as error:
            return error.error.code == "JobNotFound"
        return False

    wait_until(gone, "the job is gone")
    wait_until(lambda: next(iter(client.list_nodes("pool"))).state == "idle", "the node is free again")


def test_quota_of_active_jobs(client: BatchClient, emulator: EmulatorThread) -> None:
    emulator.admin("POST", "quota", {"activeJobsAndSchedules": 1})
    try:
        make_job(client, "one")
        with pytest.raises(ResourceExistsError) as caught:
            make_job(client, "two")
        assert caught.value.error.code == "ActiveJobAndScheduleQuotaReached"
        client.terminate_job("one")
        wait_state(client, "completed", "one")
        make_job(client, "two")
    finally:
        emulator.admin("POST", "quota", {"activeJobsAndSchedules": 300})


def test_priority_decides_who_runs_first(client: BatchClient) -> None:
    make_pool(client)
    make_job(client, "blocker")
    add_task(client, "t", shell("while [ ! -e $AZ_BATCH_NODE_SHARED_DIR/go ]; do sleep 0.05; done"), "blocker")
    wait_until(lambda: client.get_task("blocker", "t").state == "running", "running")
    make_job(client, "low", priority=-5)
    make_job(client, "high", priority=5)
    add_task(client, "t", job_id="low")
    add_task(client, "t", job_id="high")
    client.terminate_task("blocker", "t")
    low, high = finished(client, "t", "low"), finished(client, "t", "high")
    assert high.execution_info.start_time < low.execution_info.start_time


def test_auto_pool(client: BatchClient) -> None:
    from support.batch_bodies import MACHINE

    specification = models.BatchPoolSpecification(
        vm_size="standard_d2s_v3", virtual_machine_configuration=MACHINE, target_dedicated_nodes=1
    )
    auto = models.BatchAutoPoolSpecification(auto_pool_id_prefix="mine", pool_lifetime_option="job", pool=specification)
    make_job(client, pool_info=models.BatchPoolInfo(auto_pool_specification=auto), on_all_tasks_complete="noaction")
    pool_id = client.get_job("job").execution_info.pool_id
    assert pool_id.startswith("mine_")
    assert pool_id == pool_id.upper().replace("MINE", "mine")
    add_task(client, "t")
    assert finished(client, "t").node_info.pool_id == pool_id
    client.terminate_job("job")
    wait_state(client, "completed")
    wait_until(lambda: not client.pool_exists(pool_id), "the pool went with the job")
