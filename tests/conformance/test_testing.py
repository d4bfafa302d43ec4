"""For other people's tests: the helper, the plugin for pytest, seed files and the timeline."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from azure.batch import BatchClient
from azure.core.credentials import AzureNamedKeyCredential

from azure_batch_emulator import Emulator, EmulatorConfig
from azure_batch_emulator.cli import main
from azure_batch_emulator.emulator import ConfigurationError
from azure_batch_emulator.testing import BatchEmulator, EmulatorStartError
from support.emulator_thread import EmulatorThread, wait_until

SEED = """
applications:
- {id: tool, versions: ["1.0"]}
pools:
- id: cpu
  vmSize: Standard_D2s_v3
  targetDedicatedNodes: 1
  virtualMachineConfiguration: &machine
    imageReference: {publisher: canonical, offer: 0001-com-ubuntu-server-jammy, sku: 22_04-lts}
    nodeAgentSKUId: batch.node.ubuntu 22.04
jobs:
- id: render
  poolInfo: {poolId: cpu}
  onAllTasksComplete: terminatejob
  tasks:
  - {id: one, commandLine: "/bin/echo hello"}
  - {id: two, commandLine: "/bin/sh -c 'exit 3'"}
jobSchedules:
- id: nightly
  schedule: {recurrenceInterval: P1D, doNotRunUntil: 2099-01-01T00:00:00Z}
  jobSpecification: {poolInfo: {poolId: cpu}}
"""


@pytest.fixture
def seed_file(tmp_path: Path) -> Path:
    file = tmp_path / "state.yaml"
    file.write_text(SEED)
    return file


def test_resources_of_a_seed_file_exist_and_run(seed_file: Path) -> None:
    with BatchEmulator(time_scale=200, seed_file=seed_file) as emulator:
        client = BatchClient(emulator.endpoint, AzureNamedKeyCredential(emulator.account, emulator.key))
        assert [pool.id for pool in client.list_pools()] == ["cpu"]
        assert [schedule.id for schedule in client.list_job_schedules()] == ["nightly"]
        assert client.get_application("tool").versions == ["1.0"]
        wait_until(lambda: client.get_job("render").state == "completed", "the job ends with its tasks")
        assert {task.id: task.execution_info.exit_code for task in client.list_tasks("render")} == {"one": 0, "two": 3}
        runs = {entry["run"]: entry for entry in emulator.admin("GET", "timeline")["value"]}
        assert {name: entry["exitCode"] for name, entry in runs.items()} == {"render/one": 0, "render/two": 3}
        (node,) = client.list_nodes("cpu")
        for entry in runs.values():
            assert (entry["kind"], entry["poolId"], entry["nodeId"]) == ("task", "cpu", node.id)
            assert entry["startTime"] < entry["endTime"]
        with pytest.raises(ValueError, match="no admin call"):
            emulator.admin("GET", "nothing")
        emulator.reset()
        assert emulator.admin("GET", "timeline") == {"value": [], "forgotten": 0}
        assert list(client.list_pools()) == []
        assert emulator.log() == ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "expected an object with applications, pools, jobs, jobSchedules"),
        ("nodes: []", "expected an object with"),
        ("pools: {}", "pools must be a list of objects"),
        ("pools: [{id: p}]", r"pools\[0\]: MissingRequiredProperty: vmSize"),
        (
            "jobs: [{id: j, poolInfo: {poolId: p}, tasks: [{id: t}]}]",
            r"jobs\[0\]: MissingRequiredProperty: commandLine",
        ),
        ("jobs: [{id: j, poolInfo: {poolId: p}, tasks: 1}]", r"jobs\[0\]: InvalidRequestBody"),
        ("jobs: [{id: [1], poolInfo: {poolId: p}}]", r"jobs\[0\]: InvalidRequestBody: The property 'id'"),
        ("applications: [{versions: []}]", r"applications\[0\]: InvalidRequestBody"),
        ("a: [", "is not YAML"),
        ("pools: [{id: p, targetDedicatedNodes: .nan}]", r"pools\[0\]: it is not valid JSON: nan"),
        ("pools: [{id: p, resizeTimeout: -.inf}]", r"pools\[0\]: it is not valid JSON: -inf"),
        ("pools: [{id: p, displayName: !!binary aGk=}]", r"pools\[0\]: it is not valid JSON: the YAML type bytes"),
        ("pools: [{id: p, displayName: !!set {a, b}}]", r"pools\[0\]: it is not valid JSON: the YAML type set"),
        ("pools: [{id: p, metadata: !!pairs [a: b]}]", r"pools\[0\]: it is not valid JSON: the YAML type tuple"),
        ("pools: [{id: p, resourceTags: {yes: a}}]", r"pools\[0\]: it is not valid JSON: the key True"),
        ("pools: [{id: p, resourceTags: {2026-01-01: a}}]", r"pools\[0\]: it is not valid JSON: the key 2026-01-01"),
        ("pools: [&p {id: p, resourceTags: {a: *p}}]", r"pools\[0\]: it is not valid JSON: it is nested"),
        (
            "applications: [{id: a, versions: ['1']}, {id: A, versions: ['2']}]",
            r"applications\[1\]: InvalidPropertyValue: id: A: The file contains this application twice",
        ),
        ("applications: [{id: a, versions: [v1, V1]}]", r"applications\[0\]: InvalidPropertyValue: versions: V1"),
        (r'pools: [{id: "\ud800"}]', r"pools\[0\]: it is not valid JSON"),
        (
            r'jobs: [{id: j, poolInfo: {poolId: p}, tasks: [{id: t, commandLine: "\ud800"}]}]',
            r"jobs\[0\]: it is not valid JSON",
        ),
        (r'jobSchedules: [{"\udfff": 1}]', r"jobSchedules\[0\]: it is not valid JSON"),
        (
            r'applications: [{id: a, versions: ["1"], displayName: "\ud800"}]',
            r"applications\[0\]: it is not valid JSON",
        ),
        (r'applications: [{id: a, versions: ["\udfff"]}]', r"applications\[0\]: it is not valid JSON"),
        ("\x00", "is not YAML"),
        ("pools: " + "[" * 3000, "nested too deep"),
        ("pools: [{id: p, resourceTags: {a: 99999999999999999999999}}]", r"pools\[0\]: it is not valid JSON"),
        ("pools: [{id: p, resourceTags: " + "{a: " * 300 + "1" + "}" * 301 + "]", r"pools\[0\]: it is not valid JSON"),
    ],
)
async def test_seed_files_that_are_wrong(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "state.yaml"
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=message):
        async with Emulator(EmulatorConfig(port=0, seed_file=file)):
            pass


def test_why_an_emulator_did_not_start() -> None:
    with pytest.raises(EmulatorStartError, match="not a loopback address"):
        BatchEmulator(options=["--host=0.0.0.0"]).start()


def test_the_timeline_knows_what_is_in_progress(emulator: EmulatorThread) -> None:
    pool: dict[str, Any] = {
        "id": "pool",
        "vmSize": "standard_d2s_v3",
        "targetDedicatedNodes": 1,
        "virtualMachineConfiguration": {
            "imageReference": {"publisher": "canonical", "offer": "0001-com-ubuntu-server-jammy", "sku": "22_04-lts"},
            "nodeAgentSKUId": "batch.node.ubuntu 22.04",
        },
        "startTask": {"commandLine": "/bin/true"},
    }
    assert emulator.call("POST", "/pools", pool)[0] == 201
    assert emulator.call("POST", "/jobs", {"id": "job", "poolInfo": {"poolId": "pool"}})[0] == 201
    assert emulator.call("POST", "/jobs/job/tasks", {"id": "t", "commandLine": "sleep 60"})[0] == 201

    def running() -> dict[str, Any] | None:
        value = emulator.admin("GET", "timeline")["value"]
        return next((entry for entry in value if entry["run"] == "job/t" and "startTime" in entry), None)

    assert "endTime" not in wait_until(running, "the task runs")
    assert [entry["kind"] for entry in emulator.admin("GET", "timeline")["value"]] == ["start", "task"]


def test_the_plugin_for_pytest(tmp_path: Path, seed_file: Path) -> None:
    """Somebody else's tests, in a process without our own settings."""
    (tmp_path / "test_mine.py").write_text(
        """
import os
import urllib.request


def test_variables(batch_emulator):
    assert os.environ["AZURE_BATCH_ENDPOINT"] == batch_emulator.endpoint
    assert os.environ["AZURE_BATCH_ACCOUNT"] == batch_emulator.account
    assert batch_emulator.admin("GET", "state")["pools"] == 1
"""
    )
    options = ["--batch-emulator", f"--batch-emulator-seed-file={seed_file}", "--batch-emulator-time-scale=200"]
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "azure_batch_emulator.pytest_plugin",
        *options,
        str(tmp_path),
    ]
    environment = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


def test_the_plugin_costs_nothing_before_it_is_used() -> None:
    script = (
        "import sys, azure_batch_emulator.pytest_plugin; print([m for m in ('aiohttp', 'lark') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_options_can_be_given_as_variables(tmp_path: Path) -> None:
    """A service of a CI job takes no arguments."""
    environment = os.environ | {"AZURE_BATCH_EMULATOR_HOST": "0.0.0.0", "AZURE_BATCH_EMULATOR_PORT": "0"}
    command = [sys.executable, "-m", "azure_batch_emulator"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert "host '0.0.0.0' is not a loopback address" in done.stderr


def test_every_option_has_the_variable_of_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    context = main.make_context("azure-batch-emulator", [], resilient_parsing=True)
    options = [option for option in main.params if not option.is_eager]
    assert len(options) > 15
    for option in options:
        (name,) = (spelling for spelling in option.opts if spelling.startswith("--"))
        monkeypatch.setenv("AZURE_BATCH_EMULATOR_" + name.removeprefix("--").replace("-", "_").upper(), "given")
        assert option.resolve_envvar_value(context) == "given", name


def test_several_accounts_in_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_BATCH_EMULATOR_ALSO", "a:bXkta2V5 b:bXkta2V5")
    with BatchEmulator() as emulator:
        assert emulator.admin("GET", "")["accounts"] == ["devaccount", "a", "b"]
