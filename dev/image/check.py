"""Runs the images once: the emulator's as docs/emulator.md has it for a CI, until a task is completed there; the operator's on the
local control plane as the chart has it, until the sample job is complete."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from azure.batch import BatchClient, models
from azure.core.credentials import AzureNamedKeyCredential
from azure.core.exceptions import AzureError

from image.builders import USER, Builder, ImageError
from localcluster import LocalCluster
from localcluster.errors import LocalClusterError
from stage import REPOSITORY, Emulator, Operator, Pod, samples, wait_until

_NAME = "azure-batch-operator"
_QUESTIONS = """
import os, pathlib, shutil
try:
    pathlib.Path("/written").touch()
    print("writable")
except OSError as error:
    print(os.strerror(error.errno))
print(os.getuid(), os.getgid(), os.getgroups())
print([name for name in ("pip", "pip3", "gcc", "cc", "apt", "apt-get") if shutil.which(name)])
import importlib.util
print([name for name in ("pip", "ensurepip", "setuptools", "azure_batch_emulator") if importlib.util.find_spec(name)])
"""
_ANSWERS = ["Read-only file system", "65532 65532 []", "[]", "[]"]


@dataclass(frozen=True)
class _ImagePod(Pod):
    """A pod of the image instead of a process of this checkout."""

    builder: Builder | None = None
    tag: str = ""

    def launch(self, kubeconfig: Path, environment: Mapping[str, str], arguments: tuple[str, ...]) -> list[str]:
        """Run it in the image, with the kubeconfig at /mnt."""
        assert self.builder is not None  # noqa: S101 - always given
        # The pod's user must be able to read it, as it reads the token that kubelet mounts.
        kubeconfig.chmod(0o444)
        kubeconfig.parent.chmod(0o755)
        inside = {**environment, "KUBECONFIG": f"/mnt/{kubeconfig.name}"}
        return self.builder.command(self.tag, kubeconfig.parent, inside, arguments)


def _harmless(builder: Builder, tag: str, folder: Path) -> None:
    """Whether root is read-only, user and groups are right, and nothing that installs or compiles is there."""
    command = builder.command(tag, folder, {}, ("QUESTIONS",))
    [program] = [each for each in command if each.endswith("/bin/azure-batch-operator")] or [""]
    if program:
        command = [program.replace("azure-batch-operator", "python") if each == program else each for each in command]
        command[-1:] = ["-c", _QUESTIONS]
    else:
        command = [*command[:-2], "--entrypoint=/opt/operator/bin/python", tag, "-c", _QUESTIONS]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.stdout.splitlines() != _ANSWERS:
        raise ImageError(f"the image is not as it should be: {done.stdout}{done.stderr}")


def documented_job() -> tuple[dict[str, str], dict[str, str]]:
    """The variables of the emulator's container and of the tests' step, as docs/emulator.md shows them for a CI."""
    page = (REPOSITORY / "docs" / "emulator.md").read_text(encoding="utf-8")
    [text] = [block for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if "services:" in block]
    job = yaml.safe_load(text)["jobs"]["test"]
    [step] = [step for step in job["steps"] if "env" in step]
    return job["services"]["batch"]["env"], step["env"]


def check_emulator(builder: Builder, tag: str) -> None:
    """Start the emulator's image as docs/emulator.md has it for a CI, and see a task complete there.

    Raises:
        ImageError, LocalClusterError, TimeoutError: with what went wrong.
    """
    service, tests = documented_job()
    with tempfile.TemporaryDirectory(prefix="image-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "empty").mkdir()
        # A port that is free: containers share the network of this machine.
        command = builder.command(tag, folder / "empty", service | {"AZURE_BATCH_EMULATOR_PORT": "0"}, ())
        emulator = Emulator.launch(folder / "batch", command)
        try:
            endpoint = emulator.endpoint.replace(service["AZURE_BATCH_EMULATOR_HOST"], "127.0.0.1")
            credential = AzureNamedKeyCredential(tests["AZURE_BATCH_ACCOUNT"], tests["AZURE_BATCH_ACCESS_KEY"])
            with BatchClient(endpoint, credential) as client:
                _run_task(client)
        except AzureError as error:
            raise ImageError(f"the emulator's image does not run a task: {error}") from None
        finally:
            emulator.stop()


def _run_task(client: BatchClient) -> None:
    """See a task's output; its command runs as the image's user."""
    image = models.ImageReference(publisher="canonical", offer="0001-com-ubuntu-server-jammy", sku="22_04-lts")
    machine = models.VirtualMachineConfiguration(image_reference=image, node_agent_sku_id="batch.node.ubuntu 22.04")
    client.create_pool(
        models.BatchPoolCreateContent(
            id="pool", vm_size="standard_d2s_v3", virtual_machine_configuration=machine, target_dedicated_nodes=1
        )
    )
    client.create_job(models.BatchJobCreateContent(id="job", pool_info=models.BatchPoolInfo(pool_id="pool")))
    client.create_task("job", models.BatchTaskCreateContent(id="task", command_line="/bin/sh -c 'id -u'"))
    wait_until(
        lambda: client.get_task("job", "task").state == "completed", "a task in the emulator's image is completed"
    )
    output = b"".join(client.get_task_file("job", "task", "stdout.txt"))
    if output.split() != [USER.partition(":")[0].encode()]:
        raise ImageError(f"a task in the emulator's image wrote {output!r}, not the number of the image's user")


def check(builder: Builder, tag: str) -> None:
    """Install the chart on a fresh control plane, run the image as its Deployment says, and wait for the samples.

    Raises:
        ImageError, LocalClusterError, TimeoutError: with what went wrong.
    """
    with tempfile.TemporaryDirectory(prefix="image-") as name, LocalCluster(Path(name) / "cluster") as cluster:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "empty").mkdir()
        _harmless(builder, tag, folder / "empty")
        print("The root is read-only, the user is 65532, and there is neither pip nor a compiler", flush=True)
        values = json.dumps({"config": {"pollSeconds": 0.3, "idlePollSeconds": 5}})
        chart = str(REPOSITORY / "helm" / _NAME)
        cluster.helm("install", _NAME, chart, "-n", _NAME, "--create-namespace", "-f", "-", input=values)
        cluster.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
        found = cluster.kubectl("-n", _NAME, "get", "deployment", _NAME, "-o", "json").stdout
        _run(builder, tag, cluster, folder, json.loads(found))


def _run(builder: Builder, tag: str, cluster: LocalCluster, folder: Path, deployment: Mapping[str, Any]) -> None:
    plain = Pod.of(deployment)
    pod = _ImagePod(plain.namespace, plain.service_account, plain.arguments, plain.environment, builder, tag)
    emulator = Emulator.start(folder / "batch", time_scale=100.0)
    try:
        operator = Operator.start(cluster, folder / "pod", pod=pod)
        print("The operator is ready", flush=True)
        try:
            cluster.kubectl("apply", "-f", "-", input=samples(cluster, emulator.endpoint))
            cluster.kubectl("wait", "--for=condition=Complete", "bj/render", "--timeout=180s")
            print("The sample job is complete", flush=True)
        except LocalClusterError as error:
            raise ImageError(f"{error}\n{operator.log.read_text()[-3000:]}") from None
        finally:
            operator.stop()
    finally:
        emulator.kill()
