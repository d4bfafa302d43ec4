"""The node agent: no task may take it down, as all others would go with it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from azure_batch_emulator.executors import agent


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
