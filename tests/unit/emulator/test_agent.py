"""The node agent: no task may take it down, as all others would go with it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from azure_batch_emulator.executors import agent
from azure_batch_emulator.executors.agent_client import AgentClient, AgentLostError


def test_the_descendants_of_a_chain_longer_than_the_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent, "_children", lambda pid: [pid + 1, 100_000 + pid] if pid < 5_000 else [])
    found = agent._descendants(1)
    assert sorted(found) == [*range(2, 5_001), *range(100_001, 105_000)]


@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_a_pipe_that_nobody_reads_does_not_hold_up_a_command(tmp_path: Path, name: str) -> None:
    files = {each: str(tmp_path / each) for each in ("stdout", "stderr")}
    os.mkfifo(files[name])
    message = {"argv": ["/bin/true"], "cwd": str(tmp_path), "env": {}} | files
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        agent._become(message, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as problem:
        # ENXIO: there is no reader.
        assert problem.read() == b"6"
    os.waitpid(pid, 0)


def order(directory: Path, *argv: str) -> dict[str, Any]:
    files = {each: str(directory / each) for each in ("stdout", "stderr")}
    return {
        "start": 1,
        "argv": argv,
        "cwd": str(directory),
        "env": {},
        "marker": str(directory),
        "leaves": True,
    } | files


def test_a_command_that_succeeds_before_the_signal_reaches_it_is_ended_anyway(tmp_path: Path) -> None:
    # Nobody sends a second order: without the answer the node of a subtask would be taken forever.
    ours, theirs = socket.socketpair()
    with ours, theirs:
        node_agent = agent.Agent(theirs)
        node_agent._start(order(tmp_path, "/bin/true"))
        (pid,) = node_agent._by_pid
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        node_agent._kill(1)
        node_agent._reap()
        answers = [json.loads(line) for line in ours.recv(65_536).splitlines()]
    assert answers == [{"began": 1, "pid": pid}, {"exited": 1, "code": 0}, {"ended": 1}]
    assert (node_agent._left, node_agent._killed) == ({}, set())


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="strays are found by /proc, which only Linux has")
def test_a_process_has_its_marker_while_it_turns_into_another_program(tmp_path: Path) -> None:
    # Between two programs /proc shows an empty environment: a stray that is met there would live on.
    script = tmp_path / "script"
    script.write_text(f"exec /bin/sh {script}")
    with subprocess.Popen(["/bin/sh", str(script)], env={"AZ_BATCH_TASK_DIR": "of the task"}) as process:
        try:
            assert {agent._marker_of(process.pid) for _ in range(3_000)} == {b"of the task"}
        finally:
            process.kill()
    assert agent._marker_of(process.pid) is None


@pytest.mark.parametrize("leaves", [True, False], ids=["has left it", "runs"])
@pytest.mark.parametrize("start", ["", "setsid "], ids=["in its group", "in another group"])
async def test_nothing_that_a_command_has_started_outlives_the_agent(tmp_path: Path, start: str, leaves: bool) -> None:
    client = AgentClient()
    await client.start()
    try:
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        # The service has the pipe open for as long as it lives.
        end = "exit 0" if leaves else "exec sleep 1000"
        command = f"{start}sleep 1000 3>{pipe} & {end}"
        logs = (str(tmp_path / "stdout"), str(tmp_path / "stderr"))
        variables = {"PATH": os.environ["PATH"], "AZ_BATCH_TASK_DIR": str(tmp_path)}
        argv = ["/bin/sh", "-c", command]
        serial, exited = client.begin(argv, str(tmp_path), variables, logs, str(tmp_path), leaves=leaves)
        with await asyncio.to_thread(pipe.open, "rb") as alive:
            if leaves:
                assert await exited == 0
            assert client._process is not None
            os.kill(client._process.pid, signal.SIGKILL)
            with contextlib.suppress(AgentLostError):
                await exited
            assert not await client.ended(serial)
            await client.ready()
            assert await asyncio.wait_for(asyncio.to_thread(alive.read), 10.0) == b""
        assert (client._groups, client._markers) == ({}, {})
    finally:
        await client.close()


async def test_nothing_is_remembered_of_commands_that_are_over(tmp_path: Path) -> None:
    client = AgentClient()
    await client.start()
    try:
        logs = (str(tmp_path / "stdout"), str(tmp_path / "stderr"))
        for program, leaves in (("true", False), ("true", True), ("false", True), ("no such program", True)):
            argv, variables = [program], {"PATH": os.environ["PATH"]}
            serial, exited = client.begin(argv, str(tmp_path), variables, logs, str(tmp_path), leaves=leaves)
            with contextlib.suppress(OSError):
                await exited
            client.kill(serial)
            await client.ended(serial)
        assert (client._groups, client._markers, client._ends, client._exits) == ({}, {}, {}, {})
    finally:
        await client.close()
