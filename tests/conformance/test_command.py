"""The command: how it starts, what it prints, and that nothing outlives it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from azure.batch import BatchClient, models
from azure.core.credentials import AzureNamedKeyCredential

from azure_batch_emulator import DEFAULT_ACCOUNT, DEFAULT_KEY
from support.batch_bodies import CONTAINER_MACHINE, add_task, finished, make_job, make_pool, shell, text_of
from support.emulator_thread import wait_until

READY = re.compile(
    r"azure-batch-emulator ready: endpoint=(?P<endpoint>\S+) account=(?P<account>\S+) key=(?P<key>\S+)\n"
)
COMMAND = [sys.executable, "-m", "azure_batch_emulator"]


@contextmanager
def running(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command on a free port, with its endpoint."""
    command = [*COMMAND, "--port", "0", "--time-scale", "200", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            match = READY.fullmatch(process.stdout.readline())
            assert match is not None
            assert (match["account"], match["key"]) == (DEFAULT_ACCOUNT, DEFAULT_KEY)
            yield process, match["endpoint"]
        finally:
            if process.poll() is None:
                process.kill()


def marked(marker: str) -> list[int]:
    """Processes whose command line holds the marker."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if marker.encode() in entry.read_bytes():
                found.append(int(entry.parent.name))
        except OSError:
            continue
    return found


def busy(endpoint: str, marker: str) -> None:
    """Run a task that resists ending, with processes in and out of its group."""
    with BatchClient(endpoint, AzureNamedKeyCredential(DEFAULT_ACCOUNT, DEFAULT_KEY)) as client:
        make_pool(client)
        make_job(client)
        add_task(
            client, "t", shell(f"trap : TERM HUP INT; setsid sleep {marker} & sleep {marker} & wait; sleep {marker}")
        )
        wait_until(lambda: len(marked(marker)) >= 3, "the task's processes run")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order(number: signal.Signals) -> None:
    marker = f"90{int(number)}.25"
    with running() as (process, endpoint):
        busy(endpoint, marker)
        process.send_signal(number)
        assert process.wait(30) == 0
        assert process.stdout is not None
        assert process.stdout.read() == ""
    assert marked(marker) == []


def test_killed_hard_it_leaves_no_task_behind() -> None:
    marker = "9099.75"
    with running() as (process, endpoint):
        busy(endpoint, marker)
        os.kill(process.pid, signal.SIGKILL)
        process.wait(30)
        wait_until(lambda: not marked(marker), "the task's processes are gone")


def test_a_node_agent_that_is_killed_is_replaced() -> None:
    with running() as (process, endpoint):
        with BatchClient(endpoint, AzureNamedKeyCredential(DEFAULT_ACCOUNT, DEFAULT_KEY)) as client:
            make_pool(client)
            make_job(client)
            add_task(client, "lost", shell("[ -e ran ] && echo again || { touch ran; sleep 9088 & sleep 9088; true; }"))
            wait_until(lambda: len(marked("sleep\0009088")) == 2, "the task runs")
            (agent,) = [pid for pid in marked("agent.py") if parent_of(pid) == process.pid]
            os.kill(agent, signal.SIGKILL)
            info = finished(client, "lost").execution_info
            assert (info.result, info.retry_count, info.requeue_count) == ("success", 0, 0)
            assert text_of(client, "lost") == "again\n"
            add_task(client, "next", "/bin/echo again")
            assert finished(client, "next").execution_info.exit_code == 0
        wait_until(lambda: not marked("9088"), "no process is left")


def parent_of(pid: int) -> int:
    """The parent of a process, 0 if it is gone."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def test_it_keeps_to_this_machine() -> None:
    done = subprocess.run([*COMMAND, "--host", "0.0.0.0", "--port", "0"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "--allow-remote" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_in_use_is_told_in_one_line() -> None:
    with running() as (_, endpoint):
        port = endpoint.rpartition(":")[2]
        done = subprocess.run([*COMMAND, "--port", port], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in done.stderr
    assert "stop the other process, such as another emulator, or select another port with --port" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_key_that_is_not_base64() -> None:
    done = subprocess.run([*COMMAND, "--key", "?", "--port", "0"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "not base64" in done.stderr


def test_a_work_directory_of_its_own_is_removed_and_a_given_one_is_kept(tmp_path: Path) -> None:
    with running("--work-dir", str(tmp_path / "here"), "--executor", "simulated") as (process, endpoint):
        request = urllib.request.Request(f"{endpoint}/storage/c/b", b"x", method="PUT")  # noqa: S310
        urllib.request.urlopen(request).close()  # noqa: S310
        process.terminate()
        process.wait(30)
    assert list((tmp_path / "here" / "storage").iterdir())


@pytest.mark.parametrize(("mode", "code"), [("process", None), ("refuse", "ContainerPoolNotSupported")])
def test_container_tasks(mode: str, code: str | None) -> None:
    credential = AzureNamedKeyCredential(DEFAULT_ACCOUNT, DEFAULT_KEY)
    with running("--containers", mode) as (_, endpoint), BatchClient(endpoint, credential) as client:
        make_pool(client, virtual_machine_configuration=CONTAINER_MACHINE)
        make_job(client)
        container = models.BatchTaskContainerSettings(image_name="busybox")
        add_task(client, "t", "/bin/echo hi", container_settings=container)
        failure = finished(client, "t").execution_info.failure_info
        assert (failure.code if failure else None) == code
        add_task(client, "plain")
        assert finished(client, "plain").execution_info.result == "success"


def test_several_accounts_do_not_see_each_other() -> None:
    with running("--also", f"second:{DEFAULT_KEY}") as (_, endpoint):
        with BatchClient(endpoint, AzureNamedKeyCredential("second", DEFAULT_KEY)) as second:
            make_pool(second, nodes=0)
        with BatchClient(endpoint, AzureNamedKeyCredential(DEFAULT_ACCOUNT, DEFAULT_KEY)) as first:
            assert list(first.list_pools()) == []


def test_a_state_file_survives_a_restart(tmp_path: Path) -> None:
    credential = AzureNamedKeyCredential(DEFAULT_ACCOUNT, DEFAULT_KEY)
    arguments = ("--state-file", str(tmp_path / "state.json"))
    with running(*arguments) as (process, endpoint), BatchClient(endpoint, credential) as client:
        make_pool(client, nodes=2)
        make_job(client, uses_task_dependencies=True)
        add_task(client, "done", shell("echo kept"))
        finished(client, "done")
        wait = f"while [ ! -e {tmp_path}/go ]; do sleep 0.05; done"
        add_task(client, "running", shell(wait))
        add_task(client, "child", depends_on=models.BatchTaskDependencies(task_ids=["running"]))
        wait_until(lambda: client.get_task("job", "running").state == "running", "running")
        etag = client.get_pool("pool").e_tag
        node_ids = {node.id for node in client.list_nodes("pool")}
        request = urllib.request.Request(f"{endpoint}/storage/c/b", b"bytes", method="PUT")  # noqa: S310
        urllib.request.urlopen(request).close()  # noqa: S310
        process.terminate()
        assert process.wait(30) == 0
    with running(*arguments) as (_, endpoint), BatchClient(endpoint, credential) as client:
        assert client.get_pool("pool").e_tag == etag
        assert {node.id for node in client.list_nodes("pool")} == node_ids
        assert text_of(client, "done") == "kept\n"
        with urllib.request.urlopen(f"{endpoint}/storage/c/b") as response:  # noqa: S310
            assert response.read() == b"bytes"
        wait_until(lambda: client.get_task("job", "running").state == "running", "running again")
        task = client.get_task("job", "running")
        assert task.execution_info.requeue_count == 1
        assert client.get_task("job", "child").state == "active"
        (tmp_path / "go").touch()
        assert finished(client, "child").execution_info.result == "success"


def test_a_state_file_that_is_damaged(tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    file.write_text("{nonsense")
    command = [*COMMAND, "--port", "0", "--state-file", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"the state file {file} cannot be read" in done.stderr
    assert file.read_text() == "{nonsense"
