"""The counterparts on localhost as processes: emulator and operator beside a `LocalCluster`, for the demo and the end-to-end tests.

The operator runs as it would in a pod: as a process of its own, under a token of the ServiceAccount that `manifests/base` creates.
"""

from __future__ import annotations

import json
import re
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from localcluster.cluster import LocalCluster
from localcluster.errors import LocalClusterError, tail
from localcluster.processes import ProcessRef, spawn, stop

REPOSITORY = Path(__file__).parents[2]
NAMESPACE = SERVICE_ACCOUNT = "azure-batch-operator"
DEFAULT_PORT = 10100
_START_SECONDS = 60.0
_POLL_SECONDS = 0.05
_READY = re.compile(
    r" endpoint=(?P<endpoint>\S+) account=(?P<account>\S+) key=(?P<key>\S+)"
    r"( tls-endpoint=(?P<tls_endpoint>\S+) ca=(?P<ca_file>\S+))?\n"
)
_PROBES = re.compile(r"Probes and metrics at port (?P<port>\d+)")


def wait_until(condition: Callable[[], Any], what: str, seconds: float = 60.0) -> Any:
    """Wait until `condition` gives something true, and return it.

    Raises:
        TimeoutError: naming `what`, after so many seconds.
    """
    deadline = time.monotonic() + seconds
    while True:
        if result := condition():
            return result
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds:.0f} s: {what}")
        time.sleep(_POLL_SECONDS)


@dataclass
class Service:
    """One of our programs as a process."""

    name: str
    process: ProcessRef
    log: Path

    def stop(self, grace: float = 30.0) -> None:
        """SIGTERM, and SIGKILL after `grace` seconds."""
        stop([self.process], grace=grace)

    def kill(self) -> None:
        """SIGKILL."""
        stop([self.process], grace=0.0)

    def check(self) -> None:
        """Raise LocalClusterError with its last words if it has ended."""
        if not self.process.alive():
            raise LocalClusterError(f"The {self.name} has ended.", details=tail(self.log))

    def match(self, pattern: re.Pattern[str]) -> re.Match[str]:
        """Wait for a line of the log.

        Raises:
            LocalClusterError: if the process ends first, with its last words.
        """
        deadline = time.monotonic() + _START_SECONDS
        while True:
            alive = self.process.alive()
            if found := pattern.search(self.log.read_text(errors="replace")):
                return found
            if not alive or time.monotonic() > deadline:
                what = "ended at once" if not alive else f"did not start within {_START_SECONDS:.0f} s"
                raise LocalClusterError(
                    f"The {self.name} {what}.", details=tail(self.log), remedy=f"Its log is {self.log}."
                )
            time.sleep(_POLL_SECONDS)


def _program(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


@dataclass
class Emulator(Service):
    """The Batch service emulator."""

    endpoint: str = ""
    account: str = ""
    key: str = field(default="", repr=False)
    tls_endpoint: str | None = None
    ca_file: str | None = None

    @classmethod
    def start(
        cls,
        folder: Path,
        *,
        port: int = 0,
        time_scale: float = 60.0,
        owned: bool = True,
        arguments: tuple[str, ...] = (),
        program: tuple[str, ...] = (),
    ) -> Emulator:
        """Start one; port 0 takes a free one.

        Args:
            program: another one with the same options and the same line when it is ready.
        """
        command = [
            *(program or (_program("azure-batch-emulator"),)), f"--port={port}", f"--time-scale={time_scale}",
            f"--work-dir={folder / 'emulator'}", *arguments,
        ]  # fmt: skip
        return cls.launch(folder, command, owned=owned)

    @classmethod
    def launch(cls, folder: Path, command: Sequence[str], *, owned: bool = True) -> Emulator:
        """Start one by the whole of its command."""
        folder.mkdir(parents=True, exist_ok=True)
        log = folder / "emulator.log"
        emulator = cls("emulator", spawn(command, log=log, folder=folder, owned=owned), log)
        ready = emulator.match(_READY)
        for name, value in ready.groupdict().items():
            setattr(emulator, name, value)
        return emulator

    @property
    def environment(self) -> dict[str, str]:
        """Variables that tell a program where the account is, and its key."""
        return {"BATCH_ENDPOINT": self.endpoint, "BATCH_ACCOUNT": self.account, "BATCH_KEY": self.key}

    def admin(self, method: str, path: str, body: Any = None) -> Any:
        """A call of the emulator's own interface, `/emulator/<path>`."""
        request = urllib.request.Request(  # noqa: S310 - always the emulator's own address
            f"{self.endpoint}/emulator/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            text = answer.read()
        return json.loads(text) if text else None


@dataclass(frozen=True)
class Pod:
    """What of a pod's spec a process can be: its ServiceAccount, arguments and environment. There is no kubelet."""

    namespace: str
    service_account: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str]

    @classmethod
    def of(cls, workload: Mapping[str, Any], *, name: str = "azure-batch-operator-0") -> Pod:
        """From a rendered Deployment or Pod; `name` is what the downward API would tell."""
        namespace = workload["metadata"]["namespace"]
        spec = workload["spec"]["template"]["spec"] if workload["kind"] == "Deployment" else workload["spec"]
        container = spec["containers"][0]
        fields = {"metadata.namespace": namespace, "metadata.name": name}
        environment = {
            each["name"]: each["value"] if "value" in each else fields[each["valueFrom"]["fieldRef"]["fieldPath"]]
            for each in container.get("env", [])
        }
        return cls(namespace, spec["serviceAccountName"], tuple(container["args"]), environment)

    def command(self, cluster: LocalCluster, folder: Path, *more: str) -> list[str]:
        """The command line of the process, with a fresh token of the ServiceAccount."""
        kubeconfig = cluster.kubeconfig_for(self.namespace, self.service_account, folder / "operator.kubeconfig")
        return self.launch(kubeconfig, self.environment, (*self.arguments, *more))

    def launch(self, kubeconfig: Path, environment: Mapping[str, str], arguments: tuple[str, ...]) -> list[str]:
        """The command line for these; other ways to run a pod have another one."""
        variables = [f"{name}={value}" for name, value in environment.items()]
        return ["/usr/bin/env", f"KUBECONFIG={kubeconfig}", *variables, _program("azure-batch-operator"), *arguments]


@dataclass
class Operator(Service):
    """The operator, under its own ServiceAccount."""

    port: int = 0

    @classmethod
    def start(
        cls,
        cluster: LocalCluster,
        folder: Path,
        *,
        owned: bool = True,
        arguments: tuple[str, ...] = (),
        pod: Pod | None = None,
    ) -> Operator:
        """Start it, and wait until it is ready.

        By default as `manifests/base` has it, which must be applied; else as `pod` says.
        """
        folder.mkdir(parents=True, exist_ok=True)
        pod = pod or Pod(NAMESPACE, SERVICE_ACCOUNT, ("run",), {})
        log = folder / "operator.log"
        options = ("--http-host=127.0.0.1", "--http-port=0", *arguments)
        operator = cls(
            "operator", spawn(pod.command(cluster, folder, *options), log=log, folder=folder, owned=owned), log
        )
        operator.port = int(operator.match(_PROBES)["port"])
        wait_until(operator.ready, "the operator is ready", _START_SECONDS)
        return operator

    def ready(self) -> bool:
        """Whether /readyz says so."""
        self.check()
        return self.get("readyz")[0] == 200

    def get(self, path: str) -> tuple[int, str]:
        """Status and text of one of its pages."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""


def install(cluster: LocalCluster) -> None:
    """Apply `manifests/base` and wait until the API server serves the kinds."""
    cluster.kubectl("apply", "-k", str(REPOSITORY / "manifests" / "base"))
    cluster.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")


def add_finalizers_at_creation(cluster: LocalCluster) -> None:
    """Apply the policy of `manifests/components/finalizer-at-creation`, and wait until it has an effect; `install` comes first."""
    folder = REPOSITORY / "manifests" / "components" / "finalizer-at-creation"
    cluster.kubectl("apply", "-f", str(folder / "finalizer-policy.yaml"))
    spec = {"jobRef": {"name": "none"}, "commandLine": "true"}
    probe = {"apiVersion": "azurebatch.io/v1alpha1", "kind": "BatchTask", "metadata": {"name": "probe"}, "spec": spec}
    create = ("create", "-f", "-", "--dry-run=server", "-o", "jsonpath={.metadata.finalizers}")
    wait_until(lambda: cluster.kubectl(*create, input=json.dumps(probe)).stdout, "the policy has an effect")


def samples(cluster: LocalCluster, endpoint: str) -> str:
    """The manifests of `manifests/samples` as one text, with the emulator at `endpoint`."""
    text = cluster.kubectl("kustomize", str(REPOSITORY / "manifests" / "samples")).stdout
    return text.replace(f"http://127.0.0.1:{DEFAULT_PORT}", endpoint)
