"""`kubectl azure-batch` as kubectl itself finds and starts it, on a real API server and the emulator."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from azure_batch_kubectl.cli import plugin as commands
from e2e.conftest import Stage, job, task
from stage import REPOSITORY

Plugin = Callable[..., subprocess.CompletedProcess[str]]
Run = Callable[..., Result]


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


@pytest.fixture
def run(stage: Stage) -> Callable[..., Result]:
    """The same in this process, which saves a start of Python for each command."""
    place = ("-n", stage.namespace, "--kubeconfig", str(stage.cluster.kubeconfig))
    return lambda *words: CliRunner().invoke(commands, [*words, *place])


def test_why(stage: Stage, plugin: Plugin) -> None:
    stage.ready_pool()
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


def test_actions_and_wait(stage: Stage, run: Run) -> None:
    stage.ready_pool()
    tasks = [{"id": "flaky", "commandLine": "/bin/sh -c 'test -e ../mark || { touch ../mark; exit 1; }'"}]
    stage.apply(job("flaky", tasks=tasks, failurePolicy={"action": "Hold"}))
    stage.until(lambda: stage.status("bj", "flaky").get("phase") == "Held", "the job is held")
    assert run("wait", "flaky", "--timeout", "1s").exit_code == 4
    assert run("retry", "flaky").stdout == "batchjob.azurebatch.io/flaky failed tasks are to run again\n"
    waited = run("wait", "flaky", "--timeout", "60s")
    assert waited.stdout.startswith("batchjob.azurebatch.io/flaky complete (Succeeded)"), waited.stderr
    stage.apply(job("long", tasks=[{"id": "t", "commandLine": "/bin/sh -c 'sleep 600'"}]))
    assert run("suspend", "long").stdout == "batchjob.azurebatch.io/long suspended\n"
    stage.until(lambda: stage.status("bj", "long").get("phase") == "Suspended", "the job is suspended")
    assert "unchanged" in run("suspend", "long").stdout
    assert run("resume", "long").stdout == "batchjob.azurebatch.io/long resumed\n"
    assert run("terminate", "bj/long").exit_code == 0
    failed = run("wait", "long", "--timeout", "60s")
    assert failed.exit_code == 3
    assert failed.stderr.startswith("error: batchjob.azurebatch.io/long failed (JobTerminated)")


def test_tree_and_top(stage: Stage, run: Run) -> None:
    stage.ready_pool()
    stage.apply(job("own", onAllTasksComplete="noaction"), task("t1", "own", "/bin/sh -c 'exit 4'"))
    stage.wait("bt", "t1", "Failed")
    lines = run("tree", "own").stdout.splitlines()
    assert lines[0].startswith("BatchJob own  Running")
    assert "├── BatchAccount main  Connected" in lines
    assert "├── BatchPool cpu  Steady  2/2" in lines
    assert lines[-1] == "└── BatchTask t1  Failed  exit code 4"
    shown = run("top").stdout.splitlines()
    assert shown[0].startswith("POOL   READY   PHASE")
    assert shown[1].startswith("cpu    True    Steady   2/2")
    assert shown[4].startswith("own   Running   cpu")
    assert run("top", "-o", "name").stdout == "batchpool.azurebatch.io/cpu\nbatchjob.azurebatch.io/own\n"
