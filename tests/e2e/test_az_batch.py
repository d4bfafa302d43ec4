"""docs/az-batch.md: each line that the page says to type runs as it stands there, in its order, and has the expected effect.

One environment for all lines, as for somebody who tries them one after the other.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import pytest
import yaml
from azure.core.exceptions import HttpResponseError
from click.testing import CliRunner

from azure_batch_kubectl.cli import plugin
from e2e.conftest import Stage, job, pool
from stage import REPOSITORY
from support.az_batch import PAGE, lines, manifests

TEXT = PAGE.read_text()


class Expected(NamedTuple):
    """What a line must show, and what must be so after it."""

    line: str
    shows: str
    then: Callable[[Stage], Any] | None = None


def of(path: str, **values: Any) -> Callable[[Stage], bool]:
    """Whether a resource in Azure Batch has these values."""
    return lambda stage: {name: stage.batch("GET", path).get(name) for name in values} == values


def called(operation: str) -> Callable[[Stage], bool]:
    """Whether a call was made."""
    return lambda stage: bool(stage.calls().get(operation))


def gone(path: str) -> Callable[[Stage], bool]:
    """Whether a resource is no longer in a list of Azure Batch."""
    collection, _, id = path.rpartition("/")
    return lambda stage: id not in {item["id"] for item in stage.batch("GET", collection)["value"]}


def made_of(file: str, content: str) -> Callable[[Stage], bool]:
    """Whether a file of this machine has a content."""
    return lambda stage: (stage.folder / file).read_text() == content


def scheduling(stage: Stage) -> list[str]:
    return sorted(node["schedulingState"] for node in stage.batch("GET", "pools/cpu/nodes")["value"])


def idle(stage: Stage, number: int) -> bool:
    return [node["state"] for node in stage.batch("GET", "pools/cpu/nodes")["value"]] == ["idle"] * number


def ended(stage: Stage, job_id: str, *tasks: str) -> bool:
    states = {task["id"]: task["state"] for task in stage.batch("GET", f"jobs/{job_id}/tasks")["value"]}
    return {task: states.get(task) for task in tasks} == dict.fromkeys(tasks, "completed")


NODE = r"tvm\w+"
ADDRESS = "127.0.0.1"

EXPECTED = [
    # Pools
    Expected("kubectl apply -f pool.yaml", r"batchpool\S*/cpu (created|configured|unchanged)", of("pools/cpu", id="cpu")),
    Expected(
        "kubectl wait --for=condition=Ready bp/cpu --timeout=30m", "cpu condition met", lambda stage: idle(stage, 2)
    ),
    Expected("kubectl get bp", r"(?m)^cpu +True +Steady +2/2"),
    Expected("kubectl get bp/cpu -o yaml", "allocationState: steady"),
    Expected("kubectl azure-batch why bp/cpu", "^Nothing is wrong with BatchPool cpu"),
    Expected(
        """kubectl patch bp/cpu --type=merge -p '{"spec":{"metadata":[{"name":"team","value":"vfx"}]}}'""",
        "cpu patched",
        lambda stage: {"name": "team", "value": "vfx"} in stage.batch("GET", "pools/cpu")["metadata"],
    ),
    Expected("kubectl scale bp/cpu --replicas=3", "cpu scaled", of("pools/cpu", targetDedicatedNodes=3)),
    Expected(
        """kubectl patch bp/cpu --type=merge -p '{"spec":{"targetLowPriorityNodes":1}}'""",
        "cpu patched",
        of("pools/cpu", targetLowPriorityNodes=1),
    ),
    Expected("kubectl scale bp/cpu --replicas=2", "cpu scaled", of("pools/cpu", targetDedicatedNodes=2)),
    Expected(
        """kubectl patch bp/auto --type=merge -p '{"spec":{"targetDedicatedNodes":null,"enableAutoScale":true,"""
        """"autoScaleFormula":"$TargetDedicatedNodes=1;"}}'""",
        "auto patched",
        of("pools/auto", enableAutoScale=True, autoScaleFormula="$TargetDedicatedNodes=1;"),
    ),
    Expected(
        "kubectl azure-batch operate evaluateAutoScale bp/auto --set autoScaleFormula='$TargetDedicatedNodes=2;'",
        r"auto +Succeeded +\$TargetDedicatedNodes=2",
    ),
    Expected(
        """kubectl patch bp/auto --type=merge -p '{"spec":{"targetDedicatedNodes":0,"enableAutoScale":null,"""
        """"autoScaleFormula":null}}'""",
        "auto patched",
        of("pools/auto", enableAutoScale=False, targetDedicatedNodes=0),
    ),
    Expected("kubectl get bp -o wide", r"(?m)^NAME .* DEDICATED +SPOT .*\n(.*\n)*cpu "),
    Expected("kubectl get bp/cpu -o jsonpath='{.status.nodeCounts}'", '"idle":'),
    Expected(
        """kubectl get bacc/main -o jsonpath='{range .status.supportedImages[*]}{.publisher} {.offer} {.sku} """
        """{.nodeAgentSKUId}{"\\n"}{end}'""",
        r"(?m)^canonical 0001-com-ubuntu-server-jammy 22_04-lts batch.node.ubuntu 22.04$",
    ),
    Expected("kubectl azure-batch operate usageMetrics bacc/main", r"account +Succeeded", called("Pools_ListPoolUsageMetrics")),
    Expected("kubectl azure-batch cost", r"(?m)^mpi .* EUR"),
    Expected("kubectl delete bp/old", '"old" deleted', gone("pools/old")),
    # Nodes
    Expected("kubectl azure-batch nodes ls cpu", rf"(?m)^{NODE} +idle +enabled +dedicated"),
    Expected("kubectl azure-batch nodes ls cpu $NODE -o yaml", "lastBootTime: "),
    Expected(
        "kubectl azure-batch nodes drain cpu $NODE --wait", r"drain-\w+ complete", lambda stage: "disabled" in scheduling(stage)
    ),
    Expected(
        "kubectl azure-batch nodes uncordon cpu $NODE --wait",
        r"uncordon-\w+ complete",
        lambda stage: "disabled" not in scheduling(stage),
    ),
    Expected(
        'kubectl azure-batch operate createNodeUser bp/cpu/$NODE --set name=ann --set sshPublicKey="$(cat key.pub)"',
        rf"{NODE} +Succeeded",
        called("Nodes_CreateNodeUser"),
    ),
    Expected(
        "kubectl azure-batch operate updateNodeUser bp/cpu/$NODE --set name=ann --set passwordSecretRef.name=ann --set "
        "passwordSecretRef.key=password",
        rf"{NODE} +Succeeded",
        called("Nodes_ReplaceNodeUser"),
    ),
    Expected("kubectl azure-batch nodes ssh cpu $NODE -l ann --print", rf"^ssh -p \d+ ann@{ADDRESS}\n$"),
    Expected(
        "kubectl azure-batch operate getRemoteLoginSettings bp/cpu/$NODE",
        rf"{NODE} +Succeeded +remoteLoginIPAddress={ADDRESS}",
    ),
    Expected(
        "kubectl azure-batch operate deleteNodeUser bp/cpu/$NODE --set name=ann",
        rf"{NODE} +Succeeded",
        called("Nodes_DeleteNodeUser"),
    ),
    Expected(
        "kubectl azure-batch operate uploadNodeLogs bp/cpu/$NODE --set startTime=2026-01-01T00:00:00Z --set "
        "containerUrlFrom.secretKeyRef.name=logs --set containerUrlFrom.secretKeyRef.key=url",
        rf"{NODE} +Succeeded +virtualDirectoryName=",
        called("Nodes_UploadNodeLogs"),
    ),
    Expected("kubectl azure-batch files ls bp/cpu/$NODE", "startup/"),
    Expected("kubectl azure-batch files ls bp/cpu/$NODE:startup/stdout.txt -o yaml", "name: startup/stdout.txt"),
    Expected("kubectl azure-batch files cp bp/cpu/$NODE:startup/stdout.txt start.txt", "", made_of("start.txt", "started\n")),
    Expected("kubectl azure-batch files cat bp/cpu/$NODE:startup/stdout.txt", "^started\n$"),
    Expected(
        "kubectl azure-batch operate deleteFile bp/cpu/$NODE --set path=startup/wd/old.txt",
        "Succeeded",
        called("Nodes_DeleteNodeFile"),
    ),
    Expected("kubectl azure-batch nodes reboot cpu $NODE --wait", r"reboot-\w+ complete", called("Nodes_RebootNode")),
    Expected(
        "kubectl azure-batch operate removeNodes bp/cpu/$NODE",
        rf"{NODE} +Succeeded",
        lambda stage: called("Pools_RemoveNodes")(stage) and idle(stage, 3),
    ),
    # Jobs
    Expected("kubectl apply -f job.yaml", "render created", lambda stage: ended(stage, "render", "0", "1", "2")),
    Expected(
        "kubectl azure-batch submit run.sh --pool cpu --over 1-3 --name sweep",
        r"^batchjob\S*/sweep created\n$",
        of("jobs/sweep", id="sweep"),
    ),
    Expected("kubectl get bj", r"(?m)^render +Running +cpu +3/3"),
    Expected("kubectl azure-batch top", r"(?m)^render +Running +cpu"),
    Expected("kubectl get bj/render -o yaml", "(?m)^  phase: Running$"),
    Expected("kubectl azure-batch why bj/render", "^Nothing is wrong with BatchJob render"),
    Expected("kubectl get bj/render -o jsonpath='{.status.taskCounts}'", '"succeeded":3'),
    Expected(
        """kubectl patch bj/render --type=merge -p '{"spec":{"priority":100}}'""", "patched", of("jobs/render", priority=100)
    ),
    Expected("kubectl azure-batch suspend render", "render will be suspended", of("jobs/render", state="disabled")),
    Expected("kubectl azure-batch resume render", "render will be resumed", of("jobs/render", state="active")),
    Expected("kubectl azure-batch operate jobPreparationStatus bj/render", r"render +Succeeded +tvm"),
    Expected("kubectl azure-batch terminate sweep", "sweep "),
    Expected("kubectl azure-batch wait sweep --for ended", "sweep (complete|failed)", of("jobs/sweep", state="completed")),
    Expected("kubectl delete bj/sweep", '"sweep" deleted', gone("jobs/sweep")),
    # Tasks
    Expected("kubectl apply -f task.yaml", "convert created", of("jobs/render/tasks/convert", state="running")),
    Expected("kubectl azure-batch tasks ls render", r"(?m)^1 +completed +success +0"),
    Expected("kubectl get bt", r"(?m)^convert "),
    Expected("kubectl azure-batch tasks ls render/1 -o yaml", "commandLine: .*frame 1"),
    Expected("kubectl get bt/convert -o yaml", "jobId: render"),
    Expected(
        """kubectl patch bt/convert --type=merge -p '{"spec":{"constraints":{"maxTaskRetryCount":2}}}'""",
        "patched",
        lambda stage: stage.batch("GET", "jobs/render/tasks/convert")["constraints"]["maxTaskRetryCount"] == 2,
    ),
    Expected("kubectl azure-batch files ls render/1", r"(?m) wd/tmp.txt$"),
    Expected("kubectl azure-batch files ls render/1:stdout.txt -o yaml", "name: stdout.txt"),
    Expected("kubectl azure-batch logs render/1", "^frame 1\n$"),
    Expected("kubectl azure-batch files cp render/1:stdout.txt out.txt", "", made_of("out.txt", "frame 1\n")),
    Expected(
        "kubectl azure-batch operate deleteFile bj/render/1 --set path=wd/tmp.txt", "Succeeded", called("Tasks_DeleteTaskFile")
    ),
    Expected(
        "kubectl azure-batch operate reactivateTasks bj/checks/licence",
        "licence +Succeeded",
        lambda stage: stage.calls().get("Tasks_ReactivateTask") == 1 and ended(stage, "checks", "licence"),
    ),
    Expected(
        "kubectl azure-batch retry checks",
        "checks failed tasks will run again",
        lambda stage: stage.calls().get("Tasks_ReactivateTask") == 2 and ended(stage, "checks", "licence"),
    ),
    Expected(
        "kubectl azure-batch operate terminateTasks bj/checks/slow",
        "slow +Succeeded",
        lambda stage: ended(stage, "checks", "slow"),
    ),
    Expected(
        "kubectl azure-batch terminate bt/convert",
        "convert will be terminated",
        of("jobs/render/tasks/convert", state="completed"),
    ),
    Expected("kubectl azure-batch operate listSubtasks bj/mpi/flow", r"flow +Succeeded +\S", called("Tasks_ListSubTasks")),
    Expected("kubectl delete bt/convert", '"convert" deleted', gone("jobs/render/tasks/convert")),
    # Job schedules
    Expected("kubectl apply -f schedule.yaml", "nightly created", of("jobschedules/nightly", id="nightly")),
    Expected("kubectl get bjs", r"(?m)^nightly .*P1D"),
    Expected("kubectl get bjs/nightly -o yaml", "recurrenceInterval: P1D"),
    Expected("kubectl azure-batch operate scheduleStatus bjs/nightly", "nightly:job-1="),
    Expected("kubectl get bjs/nightly -o jsonpath='{.status.history}'", '"id":"nightly:job-1"'),
    Expected("kubectl get bj -l azurebatch.io/schedule=nightly", "No resources found"),
    Expected(
        """kubectl patch bjs/nightly --type=merge -p '{"spec":{"schedule":{"recurrenceInterval":"PT12H"}}}'""",
        "patched",
        lambda stage: stage.batch("GET", "jobschedules/nightly")["schedule"]["recurrenceInterval"] == "PT12H",
    ),
    Expected("kubectl azure-batch suspend bjs/nightly", "nightly will be suspended", of("jobschedules/nightly", state="disabled")),
    Expected("kubectl azure-batch resume bjs/nightly", "nightly will be resumed", of("jobschedules/nightly", state="active")),
    Expected(
        "kubectl azure-batch operate terminateSchedule bjs/nightly",
        "nightly +Succeeded",
        of("jobschedules/nightly", state="completed"),
    ),
    Expected("kubectl delete bjs/nightly", '"nightly" deleted', gone("jobschedules/nightly")),
    # Accounts and applications
    Expected("kubectl get bacc", r"(?m)^main +True"),
    Expected("kubectl get bacc/main -o yaml", "endpoint: http://127.0.0.1"),
    Expected("kubectl wait --for=condition=Ready bacc/main", "condition met"),
    Expected('kubectl patch secret main-key -p "{\\"stringData\\":{\\"key\\":\\"$KEY\\"}}"', "secret/main-key patched"),
    Expected("kubectl get bacc/main -o jsonpath='{.status.applications}'", '"id":"blender"'),
    Expected(
        """kubectl get bacc/main -o jsonpath='{.status.applications[?(@.id=="blender")]}'""", '^{.*"id":"blender"'
    ),
    # Commands that az batch no longer has
    Expected("kubectl azure-batch nodes reimage cpu $NODE --wait", r"reimage-\w+ complete", called("Nodes_ReimageNode")),
    Expected("kubectl azure-batch operate getRemoteLoginSettings bp/cpu/$NODE -o yaml", f"remoteLoginIPAddress: {ADDRESS}"),
]  # fmt: skip


def test_each_line_of_the_page_has_its_expectation() -> None:
    assert [expected.line for expected in EXPECTED] == lines(TEXT)


class Shell:
    """Somebody's terminal, with kubectl and the plugin."""

    def __init__(self, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
        self._stage, folder = stage, stage.folder
        programs = folder / "bin"
        programs.mkdir()
        (programs / "kubectl").symlink_to(stage.cluster.programs.kubectl)
        script = programs / "kubectl-azure_batch"
        script.write_text(f'#!/bin/sh\nexec {sys.executable} -m azure_batch_kubectl "$@"\n')
        script.chmod(0o755)
        config = yaml.safe_load(stage.cluster.kubeconfig.read_text())
        for context in config["contexts"]:
            context["context"]["namespace"] = stage.namespace
        (folder / "kubeconfig").write_text(yaml.safe_dump(config))
        monkeypatch.setenv("KUBECONFIG", str(folder / "kubeconfig"))
        monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
        monkeypatch.setenv("PYTHONPATH", str(REPOSITORY / "kubectl"))
        monkeypatch.chdir(folder)
        self.variables: dict[str, str] = {}

    def bash(self, text: str) -> subprocess.CompletedProcess[str]:
        """Run text as it stands."""
        environment = os.environ | self.variables
        return subprocess.run(
            ["bash", "-uc", text],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def type(self, line: str) -> tuple[int, str, str]:
        """Run a line: exit code, output and what else is said. The plugin runs in this process, which saves seconds each time."""
        if not line.startswith("kubectl azure-batch "):
            done = self.bash(line)
            return done.returncode, done.stdout + done.stderr, done.stderr
        given = self.bash(f"kubectl() {{ printf '%s\\0' \"$@\"; }}; {line}").stdout.split("\0")[1:-1]
        result = CliRunner().invoke(plugin, given)
        return result.exit_code, result.stdout, result.stderr


def prepare(stage: Stage) -> Mapping[str, Any]:
    """What the lines act on, beside what the page itself makes; the objects that must be there before them."""
    for name, text in manifests(TEXT).items():
        (stage.folder / name).write_text(text)
    (stage.folder / "key.pub").write_text("ssh-ed25519 AAAA ann\n")
    (stage.folder / "run.sh").write_text('sleep 600; echo "$1"\n')
    stage.kubectl("create", "configmap", "prices", "--from-literal=p={standard_d4ads_v6: 0.5}")
    prices = {"name": "prices", "key": "p", "currency": "EUR"}
    stage.emulator.admin("PUT", "applications/blender", {"versions": ["4.2"]})
    stage.apply(
        *stage.account(),
        pool("mpi", taskSlotsPerNode=1, enableInterNodeCommunication=True, pricesFrom=prices),
    )
    several = {"numberOfInstances": 2, "coordinationCommandLine": "/bin/sh -c true"}
    flow = {"id": "flow", "commandLine": "/bin/sh -c true", "multiInstanceSettings": several}
    checks = [
        {"id": "licence", "commandLine": "/bin/sh -c 'exit 3'"},
        {"id": "slow", "commandLine": "/bin/sh -c 'sleep 600'"},
    ]
    return {
        "mpi": job("mpi", poolRef={"name": "mpi"}, tasks=[flow], onAllTasksComplete="noaction"),
        "checks": job("checks", tasks=checks, failurePolicy={"action": "Hold"}, onAllTasksComplete="noaction"),
    }


def a_node(stage: Stage, before: str) -> str:
    """The node that the page's lines are about: the same as before while it is there."""
    # A drained node is offline.
    ready = {"idle", "running", "offline"}
    nodes = [node for node in stage.batch("GET", "pools/cpu/nodes")["value"] if node["state"] in ready]
    usable = [str(node["id"]) for node in nodes if node["isDedicated"]]
    return before if before in usable else next(iter(usable), "")


def _holds(then: Callable[[Stage], Any], stage: Stage) -> bool:
    try:
        return bool(then(stage))
    except HttpResponseError as error:
        # What is made may not be there yet.
        if error.status_code != 404:
            raise
        return False


def fault(stage: Stage, shell: Shell, expected: Expected) -> list[str]:
    """What is wrong with a line; nothing if all is as expected."""
    code, output, said = shell.type(expected.line)
    if code or not re.search(expected.shows, output) or "hush" in output:
        return [f"{expected.line}\nexit code {code}, expected {expected.shows!r}, shown:\n{output}{said}"]
    try:
        stage.until(lambda: expected.then is None or _holds(expected.then, stage), "its effect")
    except TimeoutError as error:
        return [f"{expected.line}\n{error}"]
    return []


def test_each_line_of_the_page_does_what_the_command_beside_it_does(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell, later = Shell(stage, monkeypatch), prepare(stage)
    faults: list[str] = []
    [more] = re.findall(r"(?ms)^```bash\n(.*?)^```", TEXT)
    shell.variables = {"PASSWORD": "hush-hush", "LOGS_URL": "https://a.blob.core.windows.net/logs?sig=hush"}
    made = shell.bash(f"set -e\n{more}")
    assert made.returncode == 0, made.stderr
    shell.variables = {"KEY": stage.emulator.key, "NODE": ""}
    for expected in EXPECTED:
        if "$NODE" in expected.line:
            shell.variables["NODE"] = stage.until(lambda: a_node(stage, shell.variables["NODE"]), "a node is idle")
        if expected.line == "kubectl apply -f job.yaml":
            stage.apply(*later.values())
        if "bj/checks/licence" in expected.line:
            stage.until(lambda: ended(stage, "checks", "licence"), "the task has failed")
        faults += fault(stage, shell, expected)
    assert not faults, "\n".join(faults)

    # The page's own way to a node, by the plugin as kubectl finds it.
    [command] = re.findall(r"(?m)^    (NODE=.*)$", TEXT)
    found = shell.bash(f'{command}\necho "$NODE"')
    assert re.fullmatch(rf"{NODE}\n", found.stdout), found.stderr
