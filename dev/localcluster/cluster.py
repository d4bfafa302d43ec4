"""One control plane with its own folder, port and data: started, used and stopped.

The demo and the test sessions hold one each; `background` keeps one for a person. What the components are told is in
`components`, how they are started and ended in `processes`.
"""

import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from localcluster import components
from localcluster.apiclient import ApiClient, Refused, Unreachable
from localcluster.build import Binaries, binaries, binaries_in
from localcluster.errors import LocalClusterError, tail
from localcluster.kubeconfig import kubeconfig, write_kubeconfig, write_private
from localcluster.processes import GRACE, ProcessRef, spawn, stop
from localcluster.requestcounts import RequestKey, parse_request_counts
from localcluster.state import FILE, State, read_state, write_state

ETCD, APISERVER, MANAGER = "etcd", "kube-apiserver", "kube-controller-manager"
START_TIMEOUT = 120.0
"""Seconds for each component to get ready; 3 are usual, a machine under full load takes far more."""
PORT_ATTEMPTS = 5
POLL = 0.1


class _PortTakenError(LocalClusterError):
    """Somebody took the port between our choosing it and the API server's listening on it."""


class LocalCluster:
    """etcd, kube-apiserver and kube-controller-manager on 127.0.0.1, with private data in the folder `root`.

    Use it as a context manager, or call `start` and `stop`. With `owned` (the default) the kernel kills the components
    when this process ends, however it ends (on Linux); without, they live on until `stop`, also of another process that
    has attached itself with `LocalCluster.attach`. There is no kubelet and no scheduler: pods stay pending forever.
    """

    def __init__(self, root: Path, *, programs: Binaries | None = None, owned: bool = True) -> None:
        self.root = root.absolute()
        self._programs = programs
        self._owned = owned
        self._url = ""
        self._admin_token = ""
        self._client: ApiClient | None = None
        self._processes: dict[str, ProcessRef] = {}
        self._spawner: ThreadPoolExecutor | None = None

    def __repr__(self) -> str:
        return f"LocalCluster({str(self.root)!r}, url={self._url!r})"

    @classmethod
    def attach(cls, root: Path) -> "LocalCluster":
        """The cluster that another process has started in `root` and left running.

        Raises LocalClusterError if there is none, or if one of its components has ended.
        """
        cluster = cls(root, owned=False)
        state = read_state(cluster.root)
        ended = [name for name, ref in state.processes.items() if not ref.alive()] if state else []
        if state is None or ended or not cluster.kubeconfig.exists():
            what = f"{', '.join(ended)} of the cluster in {root} has ended." if ended else f"No cluster runs in {root}."
            raise LocalClusterError(what, remedy="Start it with `make cluster`.")
        cluster._url, cluster._processes = state.url, state.processes
        if (cluster.root / "bin" / "kubectl").exists():
            cluster._programs = binaries_in(cluster.root / "bin")
        cluster._admin_token = (cluster.root / components.TOKENS).read_text().partition(",")[0]
        return cluster

    # -- where it is ---------------------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """The API server's URL, `https://127.0.0.1:<port>`; also the issuer of its service-account tokens."""
        if not self._url:
            raise LocalClusterError("The cluster has not been started.")
        return self._url

    @property
    def kubeconfig(self) -> Path:
        """A kubeconfig of a cluster administrator."""
        return self.root / "kubeconfig"

    @property
    def ca_file(self) -> Path:
        """The PEM bundle by which the API server's certificate is verified."""
        return self.root / components.PKI / "apiserver.crt"

    @property
    def admin_token(self) -> str:
        """The bearer token of the cluster administrator."""
        return self._admin_token

    @property
    def programs(self) -> Binaries:
        """The programs that are run; the first use builds them if there are none, which takes minutes."""
        if self._programs is None:
            self._programs = binaries()
        return self._programs

    @property
    def collects_garbage(self) -> bool:
        """Whether there is a controller manager; without it namespaces never end and owners leave dependents behind."""
        return MANAGER in self._processes

    @property
    def processes(self) -> dict[str, ProcessRef]:
        """The components that were started, by name."""
        return dict(self._processes)

    def log(self, component: str) -> Path:
        """The log of `etcd`, `kube-apiserver` or `kube-controller-manager`."""
        return self.root / "logs" / f"{component}.log"

    # -- start and stop ------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the components on fresh data and return when the API server is ready and namespaces work.

        Raises LocalClusterError with the last lines of the log if one ends or is not ready within START_TIMEOUT.
        """
        if any(ref.alive() for ref in self._processes.values()):
            raise LocalClusterError(f"A cluster already runs in {self.root}.")
        programs = self.programs
        for attempt in range(1, PORT_ATTEMPTS + 1):
            try:
                self._start(programs)
            except _PortTakenError:
                self.stop(grace=0)
                if attempt == PORT_ATTEMPTS:
                    raise
            except BaseException:
                self.stop(grace=0)
                raise
            else:
                return

    def stop(self, *, grace: float = GRACE) -> None:
        """End all components: SIGTERM, SIGKILL after `grace` seconds. Nothing is left running when it returns."""
        stop(list(self._processes.values()), grace=grace)
        self._processes = {}
        (self.root / FILE).unlink(missing_ok=True)
        if self._spawner:
            self._spawner.shutdown()
            self._spawner = None

    def clear(self) -> None:
        """Remove data, keys and tokens of a cluster that is stopped; its logs stay."""
        for name in ("etcd", components.PKI):
            shutil.rmtree(self.root / name, ignore_errors=True)
        for path in (
            self.kubeconfig,
            *(
                self.root / name
                for name in (components.TOKENS, components.MANAGER_KUBECONFIG, "etcd.sock", "peer.sock")
            ),
        ):
            path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _start(self, programs: Binaries) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        self.root.chmod(0o700)
        self.clear()
        (self.root / "logs").mkdir(exist_ok=True)
        (self.root / "etcd").mkdir(mode=0o700)
        port = _free_port()
        self._url = f"https://127.0.0.1:{port}"
        self._client = None
        self._admin_token = secrets.token_urlsafe(32)
        manager_token = secrets.token_urlsafe(32)
        write_private(
            self.root / components.TOKENS,
            components.token_file({"admin": self._admin_token, components.MANAGER_USER: manager_token}),
        )

        self._spawn(ETCD, components.etcd_command(programs.etcd))
        self._spawn(APISERVER, components.apiserver_command(programs.apiserver, port))
        self._wait(self._api_ready, f"{APISERVER} is not ready", APISERVER)
        self._api().text(
            "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
            method="POST",
            body=components.issuer_discovery_binding(),
        )
        if programs.controller_manager:
            ca = self.ca_file.read_bytes()
            write_kubeconfig(
                self.root / components.MANAGER_KUBECONFIG,
                kubeconfig(self._url, ca, components.MANAGER_USER, manager_token),
            )
            self._spawn(MANAGER, components.controller_manager_command(programs.controller_manager))
            self._wait(self._controllers_ready, f"{MANAGER} is not ready", MANAGER)
        # Last, so that whoever finds it finds a cluster that works.
        write_kubeconfig(self.kubeconfig, kubeconfig(self._url, self.ca_file.read_bytes(), "admin", self._admin_token))

    def _spawn(self, name: str, command: Sequence[str]) -> None:
        if self._spawner is None:
            # Owned components die with the thread that started them: so one that lives until `stop`, or until Python
            # ends, and not the caller's, which may be a worker that is soon gone.
            self._spawner = ThreadPoolExecutor(1, thread_name_prefix="localcluster")
        started = self._spawner.submit(spawn, command, log=self.log(name), folder=self.root, owned=self._owned)
        self._processes[name] = started.result()
        write_state(self.root, State(self._url, self._processes))

    def _wait(self, ready: Callable[[], bool], otherwise: str, component: str) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while not ready():
            for name, ref in self._processes.items():
                if not ref.alive():
                    raise self._ended(name)
            if time.monotonic() > deadline:
                raise LocalClusterError(
                    f"{otherwise} after {START_TIMEOUT:.0f} s.",
                    details=tail(self.log(component)),
                    remedy=f"The logs are in {self.root / 'logs'}.",
                )
            time.sleep(POLL)

    def _ended(self, name: str) -> LocalClusterError:
        log = self.log(name)
        kind = _PortTakenError if components.is_port_taken(log.read_text(errors="replace")) else LocalClusterError
        return kind(f"{name} ended while the cluster started.", details=tail(log), remedy=f"Its whole log is {log}.")

    def _api_ready(self) -> bool:
        if not self.ca_file.exists():
            return False
        try:
            return self._api().text("/readyz", timeout=5) == "ok"
        except (Unreachable, Refused):
            return False

    def _controllers_ready(self) -> bool:
        """Whether the controllers have begun: one of them gives each namespace a ServiceAccount."""
        try:
            self._api().text("/api/v1/namespaces/default/serviceaccounts/default", timeout=5)
        except (Unreachable, Refused):
            return False
        return True

    def _api(self) -> ApiClient:
        if self._client is None:
            self._client = ApiClient(self.url, self.ca_file, self._admin_token)
        return self._client

    # -- use -----------------------------------------------------------------------------------------------------------

    def token_for(
        self,
        namespace: str,
        serviceaccount: str,
        *,
        audiences: Sequence[str] | None = None,
        expiration: int | None = None,
    ) -> str:
        """A token of a ServiceAccount that exists, from the TokenRequest API.

        `audiences` default to the API server itself; `expiration` is in seconds, at least 600, by default 3600. Raises
        LocalClusterError with the API server's message if it refuses.
        """
        spec: dict[str, Any] = {}
        if audiences is not None:
            spec["audiences"] = list(audiences)
        if expiration is not None:
            spec["expirationSeconds"] = expiration
        answer = self._api().object(
            f"/api/v1/namespaces/{namespace}/serviceaccounts/{serviceaccount}/token",
            method="POST",
            body={"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec},
        )
        return str(answer["status"]["token"])

    def kubeconfig_for(
        self, namespace: str, serviceaccount: str, path: Path, *, expiration: int = 24 * 60 * 60
    ) -> Path:
        """Write a kubeconfig with a fresh token of a ServiceAccount to `path`: its user may do what RBAC lets it.

        `expiration` is in seconds. Raises as `token_for` does.
        """
        token = self.token_for(namespace, serviceaccount, expiration=expiration)
        user = f"system:serviceaccount:{namespace}:{serviceaccount}"
        return write_kubeconfig(path, kubeconfig(self.url, self.ca_file.read_bytes(), user, token, namespace))

    def kubectl(self, *args: str, input: str | None = None, check: bool = True) -> "subprocess.CompletedProcess[str]":  # noqa: A002 - subprocess.run's name
        """Run kubectl as the administrator, with `input` as its standard input.

        With `check`, raises LocalClusterError with what kubectl said if it fails. The arguments are not repeated there
        beyond the first, because they may hold secrets.
        """
        command = [
            str(self.programs.kubectl),
            f"--kubeconfig={self.kubeconfig}",
            f"--cache-dir={self.root / 'kubectl'}",
        ]
        return _run("kubectl", [*command, *args], input, check, {"KUBERC": "off"})

    def helm(self, *args: str, input: str | None = None, check: bool = True) -> "subprocess.CompletedProcess[str]":  # noqa: A002 - subprocess.run's name
        """Run Helm as the administrator, with nothing of the user's own configuration; otherwise as `kubectl`.

        Raises LocalClusterError if there is no Helm, which a folder in KUBEBUILDER_ASSETS may lack.
        """
        program = self.programs.helm
        if program is None:
            raise LocalClusterError("There is no helm beside the other programs.", remedy="Unset KUBEBUILDER_ASSETS.")
        folder = self.root / "helm"
        own = {f"HELM_{name}_HOME": str(folder / name.lower()) for name in ("CACHE", "CONFIG", "DATA")}
        return _run("helm", [str(program), *args], input, check, own | {"KUBECONFIG": str(self.kubeconfig)})

    def metrics(self) -> str:
        """The API server's own metrics, in Prometheus' text format."""
        return self._api().text("/metrics")

    def request_counts(self, *resource_prefixes: str) -> dict[RequestKey, int]:
        """Requests that the API server has answered so far; see `requestcounts.parse_request_counts`."""
        return parse_request_counts(self.metrics(), *resource_prefixes)


def _run(
    name: str, command: Sequence[str], text: str | None, check: bool, environment: dict[str, str]
) -> "subprocess.CompletedProcess[str]":
    done = subprocess.run(
        command,
        input="" if text is None else text,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )
    if check and done.returncode != 0:
        verb = next((each for each in command[1:] if not each.startswith("-")), "")
        raise LocalClusterError(
            f"{name} {verb} failed with exit code {done.returncode}.", details=done.stderr.splitlines()
        )
    return done


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
