"""Runs the image once on the local control plane as the chart has it, and sees it finish the sample job."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from image.builders import Builder, ImageError
from localcluster import LocalCluster
from localcluster.errors import LocalClusterError
from stage import REPOSITORY, Emulator, Operator, Pod, samples

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


def check_emulator(builder: Builder, tag: str) -> None:
    """See the emulator's image start as far as its help.

    Raises:
        ImageError: it does not.
    """
    with tempfile.TemporaryDirectory(prefix="image-") as name:
        Path(name).chmod(0o755)
        command = builder.command(tag, Path(name), {}, ("--help",))
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode or "--time-scale" not in done.stdout:
        raise ImageError(f"the emulator's image does not run: {done.stderr}")


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
