"""`kubectl azure-batch` as kubectl itself finds and starts it, on a real API server and the emulator."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from e2e.conftest import Stage, job
from stage import REPOSITORY

Plugin = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def plugin(stage: Stage, tmp_path: Path) -> Plugin:
    """`kubectl azure-batch …` in the namespace of the stage."""
    script = tmp_path / "bin" / "kubectl-azure_batch"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -m azure_batch_kubectl "$@"\n')
    script.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{script.parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(REPOSITORY / "kubectl"),
        "KUBECONFIG": str(stage.cluster.kubeconfig),
    }

    def run(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        command = [str(stage.cluster.programs.kubectl), "azure-batch", *arguments, "-n", stage.namespace]
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=120, check=False, **options
        )

    return run


def test_commands(stage: Stage, plugin: Plugin) -> None:
    stage.ready_pool()
    _why(stage, plugin)
    _actions(stage, plugin)


def _why(stage: Stage, plugin: Plugin) -> None:
    failing = [{"id": "bad", "commandLine": "/bin/sh -c 'echo no licence >&2; exit 3'"}]
    stage.apply(job("broken", tasks=failing), job("lost", poolRef={"name": "nowhere"}))
    stage.wait("bj", "broken", "Failed")
    broken = plugin("why", "bj/broken").stdout
    assert broken.startswith("BatchJob broken failed (TasksFailed):")
    assert "exit code 3" in broken
    assert "no licence" in broken
    lost = stage.until(lambda: (text := plugin("why", "batchjob", "lost").stdout) and "nowhere" in text and text, "why")
    assert "PoolNotFound" in lost
    assert plugin("why", "bp/cpu").stdout.startswith("Nothing is wrong with BatchPool cpu")
    missing = plugin("why", "bj/missing")
    assert missing.returncode == 1
    assert missing.stderr == 'error: batchjobs.azurebatch.io "missing" not found\n'


def _actions(stage: Stage, plugin: Plugin) -> None:
    tasks = [{"id": "flaky", "commandLine": "/bin/sh -c 'test -e ../mark || { touch ../mark; exit 1; }'"}]
    stage.apply(job("flaky", tasks=tasks, failurePolicy={"action": "Hold"}))
    stage.until(lambda: stage.status("bj", "flaky").get("phase") == "Held", "the job is held")
    assert plugin("wait", "flaky", "--timeout", "1s").returncode == 4
    assert plugin("retry", "flaky").stdout == "batchjob.azurebatch.io/flaky failed tasks are to run again\n"
    waited = plugin("wait", "flaky", "--timeout", "60s")
    assert waited.stdout.startswith("batchjob.azurebatch.io/flaky complete (Succeeded)"), waited.stderr
    stage.apply(job("long", tasks=[{"id": "t", "commandLine": "/bin/sh -c 'sleep 600'"}]))
    assert plugin("suspend", "long").stdout == "batchjob.azurebatch.io/long suspended\n"
    stage.until(lambda: stage.status("bj", "long").get("phase") == "Suspended", "the job is suspended")
    assert "unchanged" in plugin("suspend", "long").stdout
    assert plugin("resume", "long").stdout == "batchjob.azurebatch.io/long resumed\n"
    assert plugin("terminate", "bj/long").returncode == 0
    failed = plugin("wait", "long", "--timeout", "60s")
    assert failed.returncode == 3
    assert failed.stderr.startswith("error: batchjob.azurebatch.io/long failed (JobTerminated)")
