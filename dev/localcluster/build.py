"""Gets the binaries of the control plane: from KUBEBUILDER_ASSETS, from the cache, or by building them.

They are one Go program (main.go) under several names. A build lands in
`<user's cache>/azure-batch-operator/localcluster/<hash of go.mod, go.sum, main.go>` and appears there whole or not at
all; two builders do not collide.
"""

import hashlib
import os
import queue
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from localcluster.errors import LocalClusterError, last_lines
from localcluster.gotool import find_go, go_environment, go_version
from localcluster.locking import locked
from localcluster.progress import Progress

SOURCES = tuple(Path(__file__).with_name(name) for name in ("go.mod", "go.sum", "main.go"))
PROGRAM = "localcluster"
REQUIRED = ("etcd", "kube-apiserver", "kubectl")
CONTROLLER_MANAGER = "kube-controller-manager"
TOOLS = ("helm", "kstatus")


@dataclass(frozen=True)
class Binaries:
    """Where the programs of the control plane are. Without a controller manager nothing is garbage-collected.

    `helm` and `kstatus` are always there in a build; of other people's binaries helm may be one, kstatus is none.
    """

    etcd: Path
    apiserver: Path
    kubectl: Path
    controller_manager: Path | None
    helm: Path | None = None
    kstatus: Path | None = None


def cache_folder(environ: Mapping[str, str]) -> Path:
    """The folder that holds builds, one for each hash: below XDG_CACHE_HOME, else below ~/.cache."""
    # The XDG specification has relative paths ignored.
    base = environ.get("XDG_CACHE_HOME", "")
    root = Path(base) if Path(base).is_absolute() else Path.home() / ".cache"
    return root / "azure-batch-operator" / "localcluster"


def source_hash(sources: Sequence[Path] = SOURCES) -> str:
    """16 hex digits that change when a name or a byte of the sources does."""
    digest = hashlib.sha256()
    for source in sources:
        content = source.read_bytes()
        digest.update(f"{source.name} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()[:16]


def kubernetes_version(go_mod: str) -> str:
    """The version of k8s.io/kubernetes that a go.mod requires, such as `v1.36.3`."""
    match = re.search(r"\bk8s\.io/kubernetes (v\d+\.\d+\.\d+\S*)", go_mod)
    if not match:
        raise LocalClusterError("dev/localcluster/go.mod does not require k8s.io/kubernetes.")
    return match[1]


def link_flags(version: str) -> str:
    """Flags for the Go linker: no symbol tables, and the version that server and kubectl tell (else v0.0.0-master)."""
    major, minor, _ = version.removeprefix("v").split(".", 2)
    told = {"gitVersion": version, "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    settings = [f"-X {package}.{name}={value}" for package in packages for name, value in told.items()]
    return " ".join(["-s", "-w", *settings])


def remedy_for(output: str) -> str:
    """What a person can do about a failed build, from what the Go tool said."""
    own = "or point KUBEBUILDER_ASSETS at a folder with etcd, kube-apiserver and kubectl."
    if "no space left on device" in output:
        return "The disk is full: a build needs about 4 GB below GOCACHE, GOMODCACHE and TMPDIR. Make room, " + own
    if re.search(r"signal: killed|cannot allocate memory|out of memory", output):
        return "The machine ran out of memory: a build needs about 3 GB. Close something, " + own
    if re.search(r"dial tcp|no such host|i/o timeout|proxyconnect|connection refused|TLS handshake", output):
        return "The Go modules could not be fetched: check the network and GOPROXY, " + own
    if "checksum mismatch" in output or "SECURITY ERROR" in output:
        return "A module is not what go.sum says. Try `go clean -modcache`; if it stays, do not use that module proxy."
    return "Try `python -m localcluster build` again, " + own


def assets_binaries(folder: Path) -> Binaries:
    """The binaries in a folder that KUBEBUILDER_ASSETS names. Raises LocalClusterError if one is missing."""
    missing = [name for name in REQUIRED if not os.access(folder / name, os.X_OK)]
    if missing:
        raise LocalClusterError(
            f"KUBEBUILDER_ASSETS is {folder}, but there is no executable {', '.join(missing)} in it.",
            remedy="Correct it, or unset it to have the binaries built here.",
        )
    return binaries_in(folder)


def binaries_in(folder: Path) -> Binaries:
    """The binaries in a folder that holds all of them, with or without a controller manager and helm."""

    def optional(name: str) -> Path | None:
        return folder / name if os.access(folder / name, os.X_OK) else None

    return Binaries(
        etcd=folder / "etcd",
        apiserver=folder / "kube-apiserver",
        kubectl=folder / "kubectl",
        controller_manager=optional(CONTROLLER_MANAGER),
        helm=optional("helm"),
        kstatus=optional("kstatus"),
    )


def binaries(environ: Mapping[str, str] | None = None) -> Binaries:
    """The binaries to run, built first if need be (minutes, with progress on standard error).

    Raises LocalClusterError with the reason and the remedy if there are none and none can be built.
    """
    environ = os.environ if environ is None else environ
    if assets := environ.get("KUBEBUILDER_ASSETS"):
        return assets_binaries(Path(assets).absolute())
    cache = cache_folder(environ)
    folder = cache / source_hash()
    if not folder.exists():
        waiting = Progress("Waiting for another build of the control plane")
        try:
            with locked(cache / ".lock", waiting.update):
                if not folder.exists():
                    _build(cache, folder)
        except OSError as error:
            raise LocalClusterError(
                f"The control plane could not be built: {error}", remedy=remedy_for(str(error))
            ) from error
    return binaries_in(folder)


def _build(cache: Path, folder: Path) -> None:
    """Build into a temporary folder and rename it. The caller holds the lock, so leftovers of dead builds can go."""
    for leftover in cache.glob("*.tmp-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    go_mod = SOURCES[0].read_text()
    version = kubernetes_version(go_mod)
    go = find_go(go_version(go_mod) or (), cache)
    temporary = cache / f"{folder.name}.tmp-{os.getpid()}"
    temporary.mkdir()
    try:
        overall = Progress("Building")
        overall.say(
            f"Building etcd, kube-apiserver, kube-controller-manager, kubectl {version} and helm: once, "
            f"5 to 6 minutes on 2 free cores; kept in {folder}"
        )
        packages = _packages(go)
        _compile(go, packages, temporary / PROGRAM, link_flags(version))
        for name in (*REQUIRED, CONTROLLER_MANAGER, *TOOLS):
            (temporary / name).symlink_to(PROGRAM)
        temporary.rename(folder)
        overall.finish("The control plane is built")
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _packages(go: Path) -> frozenset[str]:
    """The import paths of all packages of the program; fetches the modules that are missing."""
    progress = Progress("Fetching Go modules")
    listed: set[str] = set()

    def take(line: str) -> bool:
        if line.startswith("go: downloading "):
            progress.done += 1
            progress.update(line.removeprefix("go: downloading "))
        elif line.startswith("go: ") or " " in line:
            return False
        else:
            listed.add(line)
        return True

    _run_go([str(go), "list", "-deps", "."], progress, take)
    progress.finish(f"Go modules are there, {progress.done} fetched")
    # `unsafe` is part of the compiler: listed, never compiled.
    return frozenset(listed - {"unsafe"})


def _compile(go: Path, packages: frozenset[str], program: Path, flags: str) -> None:
    progress = Progress("Compiling Go packages", total=len(packages))

    def take(line: str) -> bool:
        if line not in packages:
            return False
        progress.done += 1
        progress.update("linking" if line == PROGRAM else line)
        return True

    # The linker drops debug information anyway; not to make it saves a tenth of the work.
    options = ["-v", "-trimpath", "-gcflags=all=-dwarf=false", "-ldflags", flags]
    _run_go([str(go), "build", *options, "-o", str(program), "."], progress, take)
    # Not the count of lines seen: what Go finds in its own cache it does not name.
    progress.finish(f"{len(packages)} Go packages compiled and linked")


def _run_go(command: Sequence[str], progress: Progress, take: Callable[[str], bool]) -> None:
    """Run the Go tool in this folder. `take` says of a line of its output whether it is progress; the rest is kept.

    Raises LocalClusterError with the last lines that were kept if the tool fails.
    """
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def read(process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None  # noqa: S101 - PIPE below
        for line in process.stdout:
            lines.put(line.rstrip())
        lines.put(None)

    kept: list[str] = []
    with subprocess.Popen(
        command,
        cwd=SOURCES[0].parent,
        env=go_environment(os.environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        # A thread reads, so that the time shown goes on while the tool is silent, as during linking.
        reader = threading.Thread(target=read, args=(process,), daemon=True)
        reader.start()
        try:
            while (line := _next(lines, progress)) is not None:
                if line and not take(line):
                    kept.append(line)
        except BaseException:
            process.terminate()
            raise
        reader.join()
    if process.returncode != 0:
        output = "\n".join(kept)
        raise LocalClusterError(
            f"`go {command[1]}` failed with exit code {process.returncode}.",
            details=last_lines(output),
            remedy=remedy_for(output),
        )


def _next(lines: "queue.SimpleQueue[str | None]", progress: Progress) -> str | None:
    while True:
        try:
            return lines.get(timeout=1)
        except queue.Empty:
            progress.update()
