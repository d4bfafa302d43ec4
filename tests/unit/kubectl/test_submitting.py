"""submit: the manifest of a script, and that what it runs is the script with the values as they are."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from kubernetes.aio.client.exceptions import ApiException

from azure_batch_kubectl import submit_command, submitting
from azure_batch_kubectl.cli import plugin
from azure_batch_kubectl.failure import FailureError
from azure_batch_kubectl.submitting import Order, over
from azure_batch_operator.api.job import JobSpec
from azure_batch_operator.reconcile.job.expand import expand
from unit.kubectl.conftest import FakeCluster

Run = Callable[..., Result]
PYTHON = "#!/usr/bin/env python3\nimport sys\nprint(sys.argv[1:])\n"


def order(*overs: submitting.Over, arguments: tuple[str, ...] = (), script: str = PYTHON, file: str = "my.py") -> Order:
    return Order("job", file, script, overs, arguments, {"poolRef": {"name": "cpu"}})


def outputs(spec: dict[str, Any], folder: Path) -> list[str]:
    """What the tasks of a job print, as a node would run them."""
    JobSpec.model_validate(spec)
    printed = []
    for task in expand(spec, "job"):
        settings = [*spec["commonEnvironmentSettings"], *task.get("environmentSettings", [])]
        variables = {"PATH": "/usr/bin:/bin:/usr/local/bin"} | {each["name"]: each["value"] for each in settings}
        done = subprocess.run(
            shlex.split(task["commandLine"]), env=variables, cwd=folder, capture_output=True, text=True, check=True
        )
        printed.append(done.stdout.strip())
    return printed


def test_without_over_there_is_one_task_with_the_arguments_as_they_are(tmp_path: Path) -> None:
    (job,) = submitting.manifests(order(arguments=("{0}", "a b", "$(date)", "'\"")))
    assert outputs(job["spec"], tmp_path) == ["['{0}', 'a b', '$(date)', '\\'\"']"]


def test_ranges_and_lists_are_crossed(tmp_path: Path) -> None:
    (job,) = submitting.manifests(order(over("1-3:2", None), over("a,b", None)))
    assert job["spec"]["taskFactory"]["parametricSweep"]["parameterSets"] == [
        {"start": 1, "end": 3, "step": 2},
        {"values": ["a", "b"]},
    ]
    assert outputs(job["spec"], tmp_path) == ["['1', 'a']", "['1', 'b']", "['3', 'a']", "['3', 'b']"]


def test_values_reach_the_script_as_they_are_and_arguments_take_placeholders(tmp_path: Path) -> None:
    """Quotes, blanks and substitutions pass no shell."""
    (job,) = submitting.manifests(order(over('$(exit 1),it\'s,"q"', None), arguments=("--in={0}", "{{x}}")))
    assert outputs(job["spec"], tmp_path) == [
        "['--in=$(exit 1)', '{x}']",
        "[\"--in=it's\", '{x}']",
        "['--in=\"q\"', '{x}']",
    ]


def test_a_script_without_an_interpreter_is_one_of_the_shell(tmp_path: Path) -> None:
    (job,) = submitting.manifests(order(arguments=("x",), script='echo "{0} $1 ${#1}"', file="odd name.sh"))
    assert outputs(job["spec"], tmp_path) == ["{0} x 1"]


@pytest.mark.parametrize(
    ("name", "text", "form", "arguments"),
    [("list.txt", "a\n\nb\n", "lines", ["{0}"]), ("t.CSV", "x,y\n1,2\n", "csv", ["{0}", "{1}"])],
)
def test_a_file_goes_into_a_config_map(name: str, text: str, form: str, arguments: list[str]) -> None:
    items, job = submitting.manifests(order(over(name, text)))
    assert items["data"] == {"items": text}
    assert job["spec"]["taskFactory"]["taskPerItem"]["itemsFrom"] == {
        "configMapKeyRef": {"name": "job-items", "key": "items"},
        "format": form,
    }
    template = job["spec"]["taskFactory"]["repeatTask"]
    assert [each["value"] for each in template["environmentSettings"]] == arguments
    JobSpec.model_validate(job["spec"])


@pytest.mark.parametrize(
    ("word", "text", "says"),
    [
        ("5-1", None, "--over 5-1: 1 cannot be reached from 5: swap them, or give another step"),
        ("1-5:0", None, "--over 1-5:0: 5 cannot be reached from 1: swap them, or give another step"),
        ("frames", None, "--over frames: there is no such file: give a file, a range such as 1-100, or a list such as a,b,c"),
        ("empty.txt", "\n", "--over empty.txt: the file has no lines"),
        ("head.csv", "a,b\n", "--over head.csv: the file has no rows below its header"),
        ("big.txt", "x" * 1_000_001, "--over big.txt: the file is larger than 1 MB, the most that a ConfigMap holds: split it"),
    ],
)  # fmt: skip
def test_what_nothing_can_run_over_is_refused(word: str, text: str | None, says: str) -> None:
    with pytest.raises(FailureError) as raised:
        over(word, text)
    assert str(raised.value) == says


def test_what_no_job_can_hold_is_refused() -> None:
    with pytest.raises(FailureError, match="a file cannot be combined"):
        submitting.manifests(order(over("a.txt", "a\n"), over("1-2", None)))
    with pytest.raises(FailureError, match=r"my.py has 65537 characters"):
        submitting.manifests(order(script="x" * 65537))


def test_a_countdown_is_a_range(tmp_path: Path) -> None:
    (job,) = submitting.manifests(order(over("3--1:-2", None)))
    assert outputs(job["spec"], tmp_path) == ["['3']", "['1']", "['-1']"]


def test_somebody_at_a_terminal_is_told_what_comes_next(
    fake: FakeCluster, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "run.sh"
    script.write_text("true\n")
    monkeypatch.setattr(submit_command, "sys", SimpleNamespace(stderr=SimpleNamespace(isatty=lambda: True)))
    done = run("submit", str(script), "--pool", "cpu", "--name", "mine")
    assert (done.stdout, done.stderr) == (
        "batchjob.azurebatch.io/mine created\n",
        "To see its output: kubectl azure-batch logs -f mine\n",
    )


def test_the_command_takes_the_only_pool_and_leaves_nothing_behind(fake: FakeCluster, run: Run, tmp_path: Path) -> None:
    script, lines = tmp_path / "Run Me.sh", tmp_path / "lines.txt"
    script.write_text("echo $1\n")
    lines.write_text("a\nb\n")
    none = run("submit", str(script))
    assert none.exit_code == 1
    assert none.stderr == "error: there is no BatchPool in namespace team: create one first (docs/first-pool.md)\n"
    fake.add({"kind": "BatchPool", "metadata": {"name": "cpu"}})
    printed = run("submit", str(script), "--over", str(lines), "--name", "mine", "--dry-run")
    assert printed.stdout.startswith("---\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: mine-items\n")
    assert fake.created == []
    made = run("submit", str(script), "--over", str(lines), "--retries", "2", "--max-parallel", "5")
    assert made.exit_code == 0, made.output
    assert made.stdout.startswith("batchjob.azurebatch.io/run-me-")
    assert made.stderr == ""
    (job,) = fake.created
    assert job["spec"]["poolRef"] == {"name": "cpu"}
    assert job["spec"]["backoff"] == {"taskRetries": 2}
    assert job["spec"]["maxParallelTasks"] == 5
    (items,) = fake.config_maps.values()
    assert items["metadata"]["ownerReferences"][0]["name"] == job["metadata"]["name"]


def test_a_dry_run_with_a_pool_needs_no_kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    script = tmp_path / "run.sh"
    script.write_text("true\n")
    words = ["submit", str(script), "--name", "mine", "--dry-run"]
    done = CliRunner().invoke(plugin, [*words, "--pool", "cpu"])
    assert (done.exit_code, done.stderr) == (0, "")
    assert yaml.safe_load(done.stdout)["spec"]["poolRef"] == {"name": "cpu"}
    # Which pool there is, only the cluster knows; and errors are explained as always.
    assert "no usable kubeconfig" in CliRunner().invoke(plugin, words).stderr
    wrong = CliRunner().invoke(plugin, [*words, "--pool", "cpu", "--over", "none"])
    assert wrong.exit_code == 1
    assert wrong.stderr.startswith("error: --over none: there is no such file: ")


@pytest.mark.parametrize(
    ("there", "text"),
    [
        (
            {"status": {"phase": "Failed"}},
            "BatchJob mine already exists (Failed): give another --name, or delete it first: kubectl delete bj/mine",
        ),
        ({}, "BatchJob mine already exists (Pending): give another --name, or delete it first: kubectl delete bj/mine"),
        # Something else of that name, such as the ConfigMap of its items.
        (None, 'configmaps "mine" already exists: give another --name, or delete it first'),
    ],
)
def test_a_name_that_is_taken_is_refused_with_what_to_do(
    fake: FakeCluster,
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    there: dict[str, Any] | None,
    text: str,
) -> None:
    async def taken(*_: object) -> None:
        error = ApiException(status=409, reason="Conflict")
        error.body = json.dumps(
            {"kind": "Status", "message": 'configmaps "mine" already exists', "reason": "AlreadyExists"}
        )
        raise error

    script = tmp_path / "run.sh"
    script.write_text("true\n")
    if there is not None:
        fake.add({"kind": "BatchJob", "metadata": {"name": "mine"}, **there})
    monkeypatch.setattr(fake, "create", taken)
    done = run("submit", str(script), "--pool", "cpu", "--name", "mine")
    assert done.exit_code == 1
    assert done.stderr == f"error: {text}\n"
