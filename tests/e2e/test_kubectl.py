"""`kubectl azure-batch` as kubectl itself finds and starts it, on a real API server and the emulator."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from azure_batch_kubectl.cli import plugin as commands
from e2e.conftest import Stage, job, pool, task
from stage import REPOSITORY

Run = Callable[..., Result]


class Plugin:
    """`kubectl azure-batch …` in the namespace of a stage."""

    def __init__(self, stage: Stage, folder: Path) -> None:
        script = folder / "bin" / "kubectl-azure_batch"
        script.parent.mkdir()
        script.write_text(f'#!/bin/sh\nexec {sys.executable} -m azure_batch_kubectl "$@"\n')
        script.chmod(0o755)
        self._command = (str(stage.cluster.programs.kubectl), "azure-batch")
        self._place = ("-n", stage.namespace)
        self._environment = {
            **os.environ,
            "PATH": f"{script.parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(REPOSITORY / "kubectl"),
            "KUBECONFIG": str(stage.cluster.kubeconfig),
        }

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start a command."""
        command, pipe = [*self._command, *words, *self._place], subprocess.PIPE
        return subprocess.Popen(command, env=self._environment, stdout=pipe, stderr=pipe, text=True)

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        command = [*self._command, *words, *self._place]
        return subprocess.run(command, env=self._environment, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def plugin(stage: Stage, tmp_path: Path) -> Plugin:
    """The plugin as kubectl finds it."""
    return Plugin(stage, tmp_path)


@pytest.fixture
def run(stage: Stage) -> Callable[..., Result]:
    """The same in this process, which saves a start of Python for each command."""

    def invoke(*words: str, kubeconfig: Path = stage.cluster.kubeconfig) -> Result:
        # What stands after -- is not for the plugin.
        end = words.index("--") if "--" in words else len(words)
        place = ("-n", stage.namespace, "--kubeconfig", str(kubeconfig))
        return CliRunner().invoke(commands, [*words[:end], *place, *words[end:]])

    return invoke


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
    assert missing.stderr == (
        'error: batchjobs.azurebatch.io "missing" not found: kubectl get bj lists those of the namespace; '
        "-n names another namespace\n"
    )


def test_actions_and_wait(stage: Stage, run: Run) -> None:
    stage.ready_pool()
    tasks = [{"id": "flaky", "commandLine": "/bin/sh -c 'test -e ../mark || { touch ../mark; exit 1; }'"}]
    stage.apply(job("flaky", tasks=tasks, failurePolicy={"action": "Hold"}))
    stage.until(lambda: stage.status("bj", "flaky").get("phase") == "Held", "the job is held")
    assert run("wait", "flaky", "--timeout", "1s").exit_code == 4
    assert run("retry", "flaky").stdout == "batchjob.azurebatch.io/flaky failed tasks will run again\n"
    waited = run("wait", "flaky", "--timeout", "60s")
    assert waited.stdout.startswith("batchjob.azurebatch.io/flaky complete (Succeeded)"), waited.stderr
    stage.apply(job("long", tasks=[{"id": "t", "commandLine": "/bin/sh -c 'sleep 600'"}]))
    assert run("suspend", "long").stdout == "batchjob.azurebatch.io/long will be suspended\n"
    stage.until(lambda: stage.status("bj", "long").get("phase") == "Suspended", "the job is suspended")
    assert "unchanged" in run("suspend", "long").stdout
    assert run("resume", "long").stdout == "batchjob.azurebatch.io/long will be resumed\n"
    assert run("terminate", "bj/long").exit_code == 0
    failed = run("wait", "long", "--timeout", "60s")
    assert failed.exit_code == 3
    assert failed.stderr.startswith("error: batchjob.azurebatch.io/long failed (JobTerminated)")


def test_tree_and_top(stage: Stage, run: Run) -> None:
    stage.ready_pool()
    stage.apply(job("own", onAllTasksComplete="noaction"), task("t1", "own", "/bin/sh -c 'exit 4'"))
    stage.wait("bt", "t1", "Failed")
    # The job is looked at by itself, before or after its task.
    stage.until(lambda: stage.status("bj", "own").get("taskCounts", {}).get("failed") == 1, "the job shows its task")
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
    selected = run(
        "top", "-o", r'jsonpath={range .items[?(@.kind=="BatchPool")]}{.metadata.name}: {.status.phase}{"\n"}{end}'
    )
    assert selected.stdout == "cpu: Steady\n"


def test_logs_and_files(stage: Stage, run: Run, tmp_path: Path) -> None:
    stage.ready_pool()
    tasks = [
        {
            "id": "talk",
            "commandLine": "/bin/sh -c 'for i in 1 2 3; do echo line $i; done; echo oops >&2; echo data > wd.txt'",
        },
        {"id": "bad", "commandLine": "/bin/sh -c 'echo broken; exit 1'"},
    ]
    stage.apply(job("out", tasks=tasks))
    stage.wait("bj", "out", "Failed")
    assert run("logs", "out/talk").stdout == "line 1\nline 2\nline 3\n"
    assert run("logs", "out/talk", "--tail", "1").stdout == "line 3\n"
    assert run("logs", "bj/out/talk", "--stderr").stdout == "oops\n"
    assert run("logs", "out", "--failed").stdout == "==> bad <==\nbroken\n"
    assert run("logs", "out", "--since", "10m").stdout == run("logs", "out").stdout
    assert run("logs", "out", "--failed", "--since", "10m").stdout == "==> bad <==\nbroken\n"
    assert run("logs", "out/bad", "--since", "10m", "--failed").stdout == "broken\n"
    assert "has no task 'none'" in run("logs", "out/none", "--since", "1m").stderr
    assert "has no task 'none'" in run("logs", "out/none").stderr
    assert "stdout.txt" in run("files", "ls", "out/talk", "-o", "name").stdout.split()
    assert "wd/wd.txt" in run("files", "ls", "out/talk:wd", "-o", "name").stdout.split()
    assert run("files", "cat", "out/talk:wd/wd.txt").stdout == "data\n"
    assert run("files", "cp", "out/talk:wd/wd.txt", str(tmp_path)).exit_code == 0
    assert (tmp_path / "wd.txt").read_text() == "data\n"
    assert "does not exist" in run("files", "cat", "out/talk:wd/none").stderr
    assert "is a directory" in run("files", "cat", "out/talk:wd").stderr
    assert run("files", "cp", "out/talk:wd", str(tmp_path)).exit_code == 0
    assert (tmp_path / "wd" / "wd.txt").read_text() == "data\n"
    whole = run("files", "cp", "out/talk", str(tmp_path / "all"))
    assert whole.exit_code == 0, whole.stderr
    assert (tmp_path / "all" / "stdout.txt").read_text() == "line 1\nline 2\nline 3\n"
    assert (tmp_path / "all" / "wd" / "wd.txt").read_text() == "data\n"
    node = stage.batch("GET", "pools/cpu/nodes")["value"][0]["id"]
    assert "startup/" in run("files", "ls", f"bp/cpu/{node}").stdout
    _refusal(stage, run)


def test_output_is_followed_to_the_end_of_the_task(stage: Stage, plugin: Plugin) -> None:
    stage.ready_pool()
    gate = stage.folder / "gate"
    command = f"/bin/sh -c 'echo first; while [ ! -e {gate} ]; do sleep 0.1; done; echo last'"
    stage.apply(job("slow", tasks=[{"id": "t", "commandLine": command}]))
    with plugin.start("logs", "slow/t", "-f") as process:
        assert process.stdout is not None
        # It comes while the task runs: nothing else opens the gate.
        assert process.stdout.readline() == "first\n"
        gate.touch()
        assert process.stdout.read() == "last\n"
        assert process.wait() == 0


def _user(stage: Stage, name: str) -> Path:
    """A kubeconfig of a ServiceAccount."""
    stage.kubectl("create", "serviceaccount", name)
    user = yaml.safe_load(stage.cluster.kubeconfig.read_text())
    token = stage.kubectl("create", "token", name).strip()
    user["users"] = [{"name": entry["name"], "user": {"token": token}} for entry in user["users"]]
    own = stage.folder / f"{name}.kubeconfig"
    own.write_text(yaml.safe_dump(user))
    return own


def _reader(stage: Stage) -> Path:
    """A kubeconfig of somebody who may read objects of the namespace and no Secrets."""
    kinds = "batchjobs,batchpools,batchaccounts"
    stage.kubectl("create", "role", "reader", "--verb=get,list", f"--resource={kinds}")
    stage.kubectl("create", "rolebinding", "reader", "--role=reader", f"--serviceaccount={stage.namespace}:reader")
    return _user(stage, "reader")


def _refusal(stage: Stage, run: Run) -> None:
    """Without the right to read the Secret, and to have the operator read, the rights that are missing are named."""
    refused = run("logs", "out/talk", kubeconfig=_reader(stage))
    assert refused.exit_code == 1
    assert refused.stderr.startswith(f"error: you may not read the credentials in Secret {stage.namespace}/main-key, ")
    assert "you may not create batchoperations" in refused.stderr


def test_the_operator_reads_for_somebody_who_may_not_read_the_secret(stage: Stage, run: Run) -> None:
    """Somebody with the role `view`, which has no Secrets, and the right to create BatchOperations, which it has not."""
    stage.ready_pool()
    talk = {"id": "talk", "commandLine": "/bin/sh -c 'echo one; echo two; echo oops >&2; echo data > wd.txt'"}
    stage.apply(job("out", tasks=[talk]))
    stage.wait("bj", "out", "Complete")
    user, whose = _user(stage, "ann"), f"--serviceaccount={stage.namespace}:ann"
    stage.kubectl("create", "rolebinding", "ann-views", "--clusterrole=view", whose)
    stage.until(
        lambda: "batchoperations" in run("logs", "out/talk", kubeconfig=user).stderr, "the role says what is missing"
    )
    assert stage.kubectl("get", "bop", "-o", "name") == ""
    stage.kubectl("create", "role", "operate", "--verb=create", "--resource=batchoperations.azurebatch.io")
    stage.kubectl("create", "rolebinding", "ann-operates", "--role=operate", whose)
    shown = run("logs", "out/talk", kubeconfig=user)
    assert shown.stdout == "one\ntwo\n", shown.stderr
    assert run("logs", "out/talk", "--tail", "1", kubeconfig=user).stdout == "two\n"
    assert run("logs", "out/talk", "--stderr", kubeconfig=user).stdout == "oops\n"
    assert "wd/wd.txt" in run("files", "ls", "out/talk", "-o", "name", kubeconfig=user).stdout.split()
    assert run("files", "cat", "out/talk:wd/wd.txt", kubeconfig=user).stdout == "data\n"
    missing = run("files", "cat", "out/talk:wd/none", kubeconfig=user)
    assert missing.exit_code == 1
    assert "there is no file 'wd/none'" in missing.stderr
    made = stage.kubectl("get", "bop", "-o", "jsonpath={.items[*].spec.ttlSecondsAfterFinished}").split()
    assert made == ["300"] * 6


def test_doctor(stage: Stage, run: Run) -> None:
    stage.apply(*stage.account())
    stage.wait("bacc", "main", "Ready")
    good = run("doctor")
    # Nothing runs pods in this cluster: the operator is a process.
    (note,) = [line for line in good.stdout.splitlines() if not line.startswith("ok ")]
    alone = "Deployment azure-batch-operator/azure-batch-operator has no available replica: "
    assert note.startswith(f"note  {alone}an operator works from elsewhere, because BatchAccount main was reached at 2")
    assert (
        "ok    Deployment azure-batch-operator/azure-batch-operator has its permissions in all namespaces"
        in good.stdout
    )
    assert good.exit_code == 0
    assert f"ok    BatchAccount main is reached at {stage.emulator.endpoint}" in good.stdout
    stage.kubectl("patch", "secret", "main-key", "-p", '{"stringData":{"key":"d3Jvbmc="}}')
    stage.until(lambda: stage.condition("bacc", "main").get("reason") == "KeyRefused", "the key is refused")
    bad = run("doctor")
    assert bad.exit_code == 1
    assert "fault BatchAccount main is not usable (KeyRefused): " in bad.stdout
    assert f"fault {alone}check its pods: kubectl -n azure-batch-operator describe pods" in bad.stdout
    assert "d3Jvbmc=" not in bad.output
    little = run("doctor", kubeconfig=_reader(stage))
    assert "note  you may not read CustomResourceDefinitions" in little.stdout
    assert "note  you may not list Deployments of all namespaces" in little.stdout
    assert "note  you may not get secrets here: ask for a role" in little.stdout
    assert "Secret main-key" not in little.stdout


def test_nodes(stage: Stage, run: Run) -> None:
    stage.ready_pool()
    lines = run("nodes", "ls", "cpu").stdout.splitlines()
    assert lines[0].split() == ["NODE", "STATE", "SCHEDULING", "TIER", "TASKS", "VM-SIZE", "IP", "AGE"]
    assert [line.split()[1:4] for line in lines[1:]] == [["idle", "enabled", "dedicated"]] * 2
    names = run("nodes", "ls", "cpu", "-o", "name").stdout.split()
    done = run("nodes", "reboot", "cpu", names[0], "--wait")
    assert done.exit_code == 0, done.stderr
    created, ended = done.stdout.splitlines()
    assert created.startswith("batchoperation.azurebatch.io/reboot-")
    assert "complete (Succeeded)" in ended
    assert run("nodes", "drain", "cpu", names[1], "--wait").exit_code == 0
    assert stage.batch("GET", f"pools/cpu/nodes/{names[1]}")["schedulingState"] == "disabled"
    assert run("nodes", "uncordon", "cpu", names[1], "--wait").exit_code == 0
    assert stage.batch("GET", f"pools/cpu/nodes/{names[1]}")["schedulingState"] == "enabled"
    shown = run("nodes", "ssh", "cpu", names[1], "-l", "ann", "--print")
    assert re.fullmatch(r"ssh -p \d+ ann@127.0.0.1\n", shown.stdout), shown.output
    assert run("nodes", "reimage", "cpu", "--state", "idle").exit_code == 0
    assert stage.calls()["Nodes_RebootNode"] == 1


def test_export(stage: Stage, run: Run) -> None:
    """What is printed, sent as it is, makes the same."""
    stage.ready_pool()
    sweep = {
        "parametricSweep": {"parameterSets": [{"start": 1, "end": 2}]},
        "repeatTask": {"commandLine": "/bin/echo {0}"},
    }
    stage.apply(job("own", priority=5, suspend=True, taskFactory=sweep))
    made = json.loads(run("export", "bj/own").stdout)
    listed = json.loads(run("export", "bj/own", "--tasks").stdout)
    pools = json.loads(run("export", "bp/cpu").stdout)
    stage.batch("POST", "pools", {**pools, "id": "copy", "targetDedicatedNodes": 0})
    stage.batch("POST", "jobs", {**made, "id": "copy"})
    stage.batch("POST", "jobs/copy/addtaskcollection", {"value": listed})
    there = stage.batch("GET", "jobs/copy")
    assert (there["priority"], there["poolInfo"]) == (5, {"poolId": "cpu"})
    assert [each["commandLine"] for each in stage.batch("GET", "jobs/copy/tasks")["value"]] == [
        "/bin/echo 1",
        "/bin/echo 2",
    ]
    assert stage.batch("GET", "pools/copy")["taskSlotsPerNode"] == 2


def test_diff(stage: Stage, run: Run, tmp_path: Path) -> None:
    """Nothing where the operator is content, and before and after a change what it changes."""
    stage.ready_pool()
    stage.apply(job("own", onAllTasksComplete="noaction", priority=5))
    stage.until(lambda: stage.status("bj", "own").get("phase") == "Running", "the job is there")
    same = run("diff")
    assert (same.exit_code, same.stdout) == (0, ""), same.output
    manifest = tmp_path / "own.yaml"
    manifest.write_text(yaml.safe_dump(job("own", onAllTasksComplete="noaction", priority=9)))
    before = run("diff", "-f", str(manifest))
    assert before.exit_code == 1
    assert "-priority: 5\n+priority: 9\n" in before.stdout
    new = tmp_path / "new.yaml"
    new.write_text(yaml.safe_dump(job("new", priority=9)))
    assert "+id: new\n" in run("diff", "-f", str(new)).stdout
    stage.kubectl("apply", "-f", str(manifest))
    stage.until(lambda: run("diff", "bj/own").exit_code == 0, "the change is in Azure Batch")
    assert stage.batch("GET", "jobs/own")["priority"] == 9
    assert run("diff", "bj/none").exit_code == 2


def test_cost(stage: Stage, run: Run) -> None:
    stage.kubectl("create", "configmap", "prices", "--from-literal=p={standard_d4ads_v6: 0.5}")
    stage.ready_pool(pricesFrom={"name": "prices", "key": "p", "currency": "EUR"})
    gate = stage.folder / "gate"
    command = f"/bin/sh -c 'while [ ! -e {gate} ]; do sleep 0.1; done'"
    stage.apply(job("own", tasks=[{"id": "t", "commandLine": command}]))
    stage.until(lambda: (stage.status("bj", "own").get("taskCounts") or {}).get("running") == 1, "the task runs")
    stage.until(lambda: stage.status("bp", "cpu").get("estimatedCostPerHour") == "1.00 EUR", "the cost is known")
    rows = [line.split() for line in run("cost").stdout.splitlines()]
    assert ["own", "1", "0.25", "EUR"] in rows
    assert ["(idle)", "3", "0.75", "EUR"] in rows
    gate.touch()


_MARKED = {"metadata", "eTag", "lastModified"}
"""What the marker of the owner changes."""


def at_rest(stage: Stage, pool_id: str, nodes: int) -> bool:
    """Whether a pool in Azure Batch is steady and has so many nodes, all idle."""
    states = [node["state"] for node in stage.batch("GET", f"pools/{pool_id}/nodes")["value"]]
    return stage.batch("GET", f"pools/{pool_id}")["allocationState"] == "steady" and states == ["idle"] * nodes


def test_import(stage: Stage, run: Run) -> None:
    stage.apply(*stage.account())
    stage.wait("bacc", "main", "Ready")
    machine = pool("x")["spec"]["virtualMachineConfiguration"]
    later = {
        "schedule": {"doNotRunUntil": "2099-01-01T00:00:00Z"},
        "jobSpecification": {"poolInfo": {"poolId": "Old_Pool"}},
    }
    secret = {"name": "STORE_PASSWORD", "value": "s3cret-word"}
    start = {"commandLine": "/bin/true", "environmentSettings": [secret]}
    stage.batch("POST", "pools", {
        "id": "Old_Pool", "vmSize": "Standard_D4ads_v6", "virtualMachineConfiguration": machine, "startTask": start,
        "targetDedicatedNodes": 1,
    })  # fmt: skip
    stage.batch("POST", "jobs", {"id": "old", "priority": 5, "poolInfo": {"poolId": "Old_Pool"}})
    stage.batch("POST", "jobschedules", {"id": "nightly", **later})
    # Only then does nothing of the pool change by itself: a node that joins sets currentNodeCommunicationMode, for one.
    stage.until(lambda: at_rest(stage, "Old_Pool", nodes=1), "the pool is steady and its node idle")
    printed = run("import")
    assert printed.exit_code == 0, printed.stderr
    assert "bp/Old_Pool: spec.startTask is left out, because it contains or needs a secret" in printed.stderr
    assert "s3cret-word" not in printed.output
    before = [stage.batch("GET", path) for path in ("pools/Old_Pool", "jobs/old", "jobschedules/nightly")]
    stage.kubectl("apply", "-f", "-", input=printed.stdout)
    for kind, name in (("bp", "old-pool"), ("bj", "old"), ("bjs", "nightly")):
        stage.until(lambda kind=kind, name=name: stage.status(kind, name).get("adopted"), f"{name} is adopted")  # type: ignore[misc]
    stage.wait("bp", "old-pool", "Ready")
    after = [stage.batch("GET", path) for path in ("pools/Old_Pool", "jobs/old", "jobschedules/nightly")]
    for old, new in zip(before, after, strict=True):
        assert {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)} <= _MARKED
    assert not {"Pools_ResizePool", "Pools_ReplacePoolProperties", "Jobs_DisableJob"} & stage.calls().keys()
    again = run("import")
    assert again.stdout == ""
    assert f"bj/old is skipped: BatchJob {stage.namespace}/old owns it" in again.stderr
    assert run("import", "bj/none").exit_code == 1


def test_submit(stage: Stage, run: Run, tmp_path: Path) -> None:
    stage.ready_pool()
    script, table = tmp_path / "sum.sh", tmp_path / "t.csv"
    script.write_text('echo $(($1 + $2)) "$3"\n')
    table.write_text("a,b\n1,2\n30,4\n")
    printed = run("submit", str(script), "--over", str(table), "--dry-run", "--", "{a}", "{b}", "it's $HOME")
    assert stage.kubectl("get", "bj", "-o", "name") == ""
    stage.kubectl("apply", "--dry-run=server", "-f", "-", input=printed.stdout)
    made = run("submit", str(script), "--over", str(table), "--name", "sum", "--", "{a}", "{b}", "it's $HOME")
    assert made.stdout == "batchjob.azurebatch.io/sum created\n", made.stderr
    assert run("wait", "sum", "--timeout", "60s").exit_code == 0
    assert run("logs", "sum").stdout == "==> 0 <==\n3 it's $HOME\n==> 1 <==\n34 it's $HOME\n"
    stage.kubectl("delete", "bj", "sum")
    stage.kubectl("wait", "--for=delete", "configmap/sum-items", "--timeout=60s")
    refused = run("submit", str(script), "--over", str(table), "--name", "X")
    assert refused.exit_code == 1
    assert "sum-items" not in stage.kubectl("get", "configmaps", "-o", "name")
