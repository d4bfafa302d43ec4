"""Tasks that really run, through the official client."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from azure.batch import BatchClient, models
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError

from support.batch_bodies import add_task, finished, make_job, make_pool, shell, text_of
from support.emulator_thread import EmulatorThread, wait_until


@pytest.fixture(autouse=True)
def _one_node(client: BatchClient) -> None:
    make_pool(client, task_slots_per_node=4)


def processes_with(text: str) -> list[str]:
    """Command lines of processes that hold a text."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if text in line:
            found.append(line)
    return found


def test_a_task_runs_with_the_service_s_environment(client: BatchClient, emulator: EmulatorThread) -> None:
    make_job(
        client,
        common_environment_settings=[
            models.EnvironmentSetting(name="A", value="job"),
            models.EnvironmentSetting(name="B", value="job"),
        ],
    )
    add_task(
        client, "Task_1", shell("env; pwd"), environment_settings=[models.EnvironmentSetting(name="B", value="task")]
    )
    task = finished(client, "Task_1")
    assert (task.execution_info.exit_code, task.execution_info.result) == (0, "success")
    assert task.state_transition_time == task.execution_info.end_time
    assert task.node_info.task_root_directory == "workitems/job/job-1/Task_1"
    lines = text_of(client, "Task_1").splitlines()
    variables = dict(line.split("=", 1) for line in lines if "=" in line)
    assert (variables["A"], variables["B"]) == ("job", "task")
    assert variables["AZ_BATCH_ACCOUNT_NAME"] == "devaccount"
    assert variables["AZ_BATCH_ACCOUNT_URL"] == emulator.endpoint
    assert (variables["AZ_BATCH_POOL_ID"], variables["AZ_BATCH_JOB_ID"]) == ("pool", "job")
    assert variables["AZ_BATCH_TASK_ID"] == "Task_1"
    assert variables["AZ_BATCH_NODE_ID"] == task.node_info.node_id
    assert variables["AZ_BATCH_NODE_IS_DEDICATED"] == "true"
    root = variables["AZ_BATCH_NODE_ROOT_DIR"]
    assert variables["AZ_BATCH_TASK_WORKING_DIR"] == f"{root}/workitems/job/job-1/Task_1/wd" == lines[-1]


def test_no_shell_is_involved(client: BatchClient) -> None:
    make_job(client)
    add_task(client, "t", "/bin/echo $HOME 'two words' > file")
    finished(client, "t")
    assert text_of(client, "t") == "$HOME two words > file\n"


def test_a_failing_exit_code(client: BatchClient) -> None:
    make_job(client)
    add_task(client, "t", shell("echo oops >&2; exit 42"))
    info = finished(client, "t").execution_info
    assert (info.exit_code, info.result, info.retry_count) == (42, "failure", 0)
    assert (info.failure_info.category, info.failure_info.code) == ("UserError", "FailureExitCode")
    assert text_of(client, "t", "stderr.txt") == "oops\n"


def test_a_program_that_does_not_exist(client: BatchClient) -> None:
    make_job(client)
    add_task(client, "t", "no-such-program --flag")
    info = finished(client, "t").execution_info
    assert (info.failure_info.code, info.exit_code) == ("CommandProgramNotFound", None)


def test_retries(client: BatchClient) -> None:
    make_job(client, constraints=models.BatchJobConstraints(max_task_retry_count=2))
    script = "n=$(cat $AZ_BATCH_NODE_SHARED_DIR/n 2>/dev/null || echo 0); echo $((n+1)) > $AZ_BATCH_NODE_SHARED_DIR/n; [ $n = 2 ]"
    add_task(client, "third-time-lucky", shell(script))
    task = finished(client, "third-time-lucky")
    assert task.constraints.max_task_retry_count == 2
    assert (task.execution_info.retry_count, task.execution_info.result) == (2, "success")
    never = models.BatchTaskConstraints(max_task_retry_count=1)
    add_task(client, "hopeless", shell("exit 1"), constraints=never)
    info = finished(client, "hopeless").execution_info
    assert (info.retry_count, info.result) == (1, "failure")
    assert info.last_retry_time is not None


def test_wall_clock_kills_and_leaves_nothing(client: BatchClient) -> None:
    make_job(client)
    second = models.BatchTaskConstraints(max_wall_clock_time=datetime.timedelta(seconds=0.3))
    stubborn = "trap : TERM INT HUP; setsid sleep 4711 & sleep 4711 & while :; do sleep 4711; done"
    add_task(client, "t", shell(stubborn), constraints=second)
    info = finished(client, "t").execution_info
    assert (info.result, info.failure_info.code) == ("failure", "TaskEnded")
    wait_until(lambda: not processes_with("sleep 4711"), "no process is left")


def test_background_processes_end_with_their_task(client: BatchClient) -> None:
    make_job(client)
    add_task(client, "t", shell("setsid sleep 4712 >/dev/null 2>&1 & sleep 4712 & exit 0"))
    assert finished(client, "t").execution_info.exit_code == 0
    wait_until(lambda: not processes_with("sleep 4712"), "no process is left")


def test_terminate_and_reactivate(client: BatchClient) -> None:
    make_job(client)
    add_task(client, "t", "/bin/sleep 600")
    with pytest.raises(ResourceExistsError) as caught:
        client.reactivate_task("job", "t")
    assert caught.value.error.code == "TaskNotCompleted"
    wait_until(lambda: client.get_task("job", "t").state == "running", "running")
    before = client.get_task("job", "t").e_tag
    client.terminate_task("job", "t")
    task = client.get_task("job", "t")
    assert task.e_tag != before
    assert (task.state, task.previous_state, task.execution_info.result) == ("completed", "running", "failure")
    assert task.execution_info.failure_info.code == "TaskEnded"
    with pytest.raises(ResourceExistsError) as caught:
        client.terminate_task("job", "t")
    assert caught.value.error.code == "TaskCompleted"
    client.reactivate_task("job", "t")
    wait_until(lambda: client.get_task("job", "t").state == "running", "running again")
    client.delete_task("job", "t")
    with pytest.raises(ResourceNotFoundError):
        client.get_task("job", "t")
    add_task(client, "good")
    finished(client, "good")
    with pytest.raises(ResourceExistsError) as caught:
        client.reactivate_task("job", "good")
    assert caught.value.error.code == "TaskSucceeded"


def test_a_task_that_never_ran_has_an_empty_node_info(client: BatchClient) -> None:
    make_job(client, pool_id="elsewhere")
    add_task(client, "t")
    task = client.get_task("job", "t")
    assert (task.state, task.node_info) == ("active", None)
    assert (task.execution_info.retry_count, task.execution_info.requeue_count) == (0, 0)
    client.terminate_task("job", "t")
    task = client.get_task("job", "t")
    assert task.node_info == {}
    assert (task.execution_info.start_time, task.execution_info.exit_code) == (None, None)


def test_dependencies(client: BatchClient) -> None:
    make_job(client, uses_task_dependencies=True)
    add_task(client, "last", depends_on=models.BatchTaskDependencies(task_ids=["MERGE"]))
    spans = [models.BatchTaskIdRange(start=1, end=3)]
    add_task(client, "merge", depends_on=models.BatchTaskDependencies(task_id_ranges=spans))
    for number in ("1", "02", "3"):
        add_task(client, number)
    last, merge = finished(client, "last"), finished(client, "merge")
    assert last.execution_info.start_time >= merge.execution_info.end_time
    assert merge.execution_info.start_time >= max(finished(client, n).execution_info.end_time for n in ("1", "02", "3"))


def test_a_parent_that_is_deleted_and_added_again_counts_as_completed(client: BatchClient) -> None:
    # Azure/Batch issue 129, "by design": both tasks deleted and added again, and the dependent one does not wait.
    make_job(client, uses_task_dependencies=True)
    after = models.BatchTaskDependencies(task_ids=["parent"])
    add_task(client, "parent")
    add_task(client, "child", depends_on=after)
    finished(client, "child")
    client.delete_task("job", "parent")
    client.delete_task("job", "child")
    add_task(client, "parent", "/bin/sleep 600")
    add_task(client, "child", depends_on=after)
    assert finished(client, "child").execution_info.result == "success"
    assert client.get_task("job", "parent").state != "completed"


def test_a_failed_parent_blocks_unless_its_exit_conditions_say_otherwise(client: BatchClient) -> None:
    make_job(client, uses_task_dependencies=True)
    satisfy = models.ExitConditions(default=models.ExitOptions(dependency_action="satisfy"))
    add_task(client, "bad", shell("exit 1"))
    add_task(client, "forgiven", shell("exit 1"), exit_conditions=satisfy)
    add_task(client, "blocked", depends_on=models.BatchTaskDependencies(task_ids=["bad"]))
    add_task(client, "freed", depends_on=models.BatchTaskDependencies(task_ids=["forgiven"]))
    finished(client, "freed")
    finished(client, "bad")
    assert client.get_task("job", "blocked").state == "active"


def test_dependencies_need_a_job_that_uses_them(client: BatchClient) -> None:
    make_job(client)
    with pytest.raises(HttpResponseError) as caught:
        add_task(client, "t", depends_on=models.BatchTaskDependencies(task_ids=["x"]))
    assert (caught.value.status_code, caught.value.error.code) == (400, "UnsupportedProperty")


@pytest.mark.usefixtures("exact_counts")
def test_required_slots(client: BatchClient) -> None:
    make_job(client)
    script = shell("while [ ! -e $AZ_BATCH_NODE_SHARED_DIR/go ]; do sleep 0.05; done")
    add_task(client, "big", script, required_slots=3)
    wait_until(lambda: client.get_task("job", "big").state == "running", "running")
    add_task(client, "too-big", required_slots=2)
    add_task(client, "small", shell("touch $AZ_BATCH_NODE_SHARED_DIR/seen"), required_slots=1)
    finished(client, "small")
    assert client.get_task("job", "too-big").state == "active"
    counts = client.get_job_task_counts("job")
    assert (counts.task_counts.running, counts.task_slot_counts.running) == (1, 3)
    add_task(client, "opener", shell("touch $AZ_BATCH_NODE_SHARED_DIR/go"))
    finished(client, "too-big")


def test_collection(client: BatchClient, emulator: EmulatorThread) -> None:
    make_job(client)
    add_task(client, "t3")
    tasks = [models.BatchTaskCreateContent(id=f"t{n}", command_line="/bin/true") for n in range(5)]
    result = client.create_task_collection("job", models.BatchTaskGroup(value=tasks))
    by_id = {item.task_id: item for item in result.value}
    assert by_id["t1"].status == "Success"
    assert by_id["t1"].location == f"{emulator.endpoint}/jobs/job/tasks/t1"
    assert by_id["t1"].e_tag == client.get_task("job", "t1").e_tag
    assert (by_id["t3"].status, by_id["t3"].error.code) == ("ClientError", "TaskExists")
    assert [task.id for task in client.list_tasks("job")] == ["t0", "t1", "t2", "t3", "t4"]


def test_many_tasks_through_the_client_s_own_helper(client: BatchClient) -> None:
    make_job(client)
    tasks = [models.BatchTaskCreateContent(id=f"task{n}", command_line="/bin/true") for n in range(250)]
    client.create_tasks("job", tasks, concurrencies=2)
    wait_until(lambda: client.get_job_task_counts("job").task_counts.succeeded == 250, "all succeeded")
    assert len(list(client.list_tasks("job"))) == 250


def test_put_changes_constraints_only(client: BatchClient) -> None:
    make_job(client, pool_id="elsewhere", constraints=models.BatchJobConstraints(max_task_retry_count=4))
    add_task(client, "t", constraints=models.BatchTaskConstraints(max_task_retry_count=1))
    day = datetime.timedelta(days=1)
    client.replace_task("job", "t", models.BatchTask(constraints=models.BatchTaskConstraints(retention_time=day)))
    task = client.get_task("job", "t")
    assert (task.constraints.retention_time, task.constraints.max_task_retry_count) == (day, 4)
    assert task.command_line == "/bin/true"


def test_preparing_a_job_and_releasing_it(client: BatchClient) -> None:
    make_job(
        client,
        job_preparation_task=models.BatchJobPreparationTask(command_line=shell("echo ready > prepared")),
        job_release_task=models.BatchJobReleaseTask(command_line=shell("cat $AZ_BATCH_JOB_PREP_WORKING_DIR/prepared")),
    )
    add_task(client, "t", shell("cat $AZ_BATCH_JOB_PREP_WORKING_DIR/prepared"))
    assert finished(client, "t").execution_info.exit_code == 0
    assert text_of(client, "t") == "ready\n"
    client.terminate_job("job")
    wait_until(lambda: client.get_job("job").state == "completed", "completed")
    (status,) = client.list_job_preparation_and_release_task_status("job")
    assert status.job_preparation_task_execution_info.exit_code == 0
    assert status.job_release_task_execution_info.exit_code == 0


def test_a_job_manager_ends_its_job(client: BatchClient) -> None:
    manager = models.BatchJobManagerTask(id="boss", command_line=shell("echo managing"))
    make_job(client, job_manager_task=manager)
    job = wait_until(lambda: (job := client.get_job("job")).state == "completed" and job, "completed")
    assert job.execution_info.termination_reason == "JMComplete"
    assert client.get_task("job", "boss").execution_info.result == "success"
    assert job.job_manager_task.run_exclusive is True


def test_a_job_without_prep_has_no_status_of_it(client: BatchClient) -> None:
    make_job(client)
    with pytest.raises(ResourceExistsError) as caught:
        list(client.list_job_preparation_and_release_task_status("job"))
    assert caught.value.error.code == "JobPreparationTaskOrReleaseTaskNotSpecified"
