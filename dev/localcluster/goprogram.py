"""Builds a Go program of this repository into the user's cache, once for each state of its sources.

A build lands in `<user's cache>/azure-batch-operator/<folder>/<hash of go.mod, go.sum, main.go>` and appears there whole or not
at all; two builders do not collide. `build` has the control plane built by this module, `gitopstools` its own program, and
`kustomizecontroller` a program that is all of another module.
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


@dataclass(frozen=True)
class GoProgram:
    """A program that one folder holds.

    Attributes:
        folder: of go.mod, go.sum and, if the program is our own, main.go; the module, the program and the folder of the builds
            have its name.
        what: is built, for people who wait.
        names: symbolic links to the program.
        flags: for the linker.
        instead: what a person can do if it cannot be built, after a remedy and "or".
        package: what is built, if it is not that of the folder: a program of a module that go.mod requires as a tool.
        files: of that module, copied beside the program.
    """

    folder: Path
    what: str
    names: tuple[str, ...] = ()
    flags: str = "-s -w"
    instead: str = ""
    package: str = "."
    files: tuple[str, ...] = ()

    @property
    def sources(self) -> tuple[Path, ...]:
        """All that decides what is built."""
        own = ("main.go",) if self.package == "." else ()
        return tuple(self.folder / name for name in ("go.mod", "go.sum", *own))


def cache_folder(environ: Mapping[str, str], name: str = "localcluster") -> Path:
    """The folder that holds the builds of a program, one for each hash: below XDG_CACHE_HOME, else below ~/.cache."""
    # The XDG specification has relative paths ignored.
    base = environ.get("XDG_CACHE_HOME", "")
    root = Path(base) if Path(base).is_absolute() else Path.home() / ".cache"
    return root / "azure-batch-operator" / name


def source_hash(sources: Sequence[Path]) -> str:
    """16 hex digits that change when a name or a byte of the sources does."""
    digest = hashlib.sha256()
    for source in sources:
        content = source.read_bytes()
        digest.update(f"{source.name} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()[:16]


def remedy_for(output: str, instead: str = "") -> str:
    """What a person can do about a failed build, from what the Go tool said."""
    own = f", or {instead}." if instead else "."
    if "no space left on device" in output:
        return f"The disk is full: a build needs about 4 GB below GOCACHE, GOMODCACHE and TMPDIR. Make room{own}"
    if re.search(r"signal: killed|cannot allocate memory|out of memory", output):
        return f"The machine ran out of memory: a build needs about 3 GB. Close something{own}"
    if re.search(r"dial tcp|no such host|i/o timeout|proxyconnect|connection refused|TLS handshake", output):
        return f"The Go modules could not be fetched: check the network and GOPROXY{own}"
    if "checksum mismatch" in output or "SECURITY ERROR" in output:
        return "A module is not what go.sum says. Try `go clean -modcache`; if it stays, do not use that module proxy."
    return f"Try again{own}"


def built(program: GoProgram, environ: Mapping[str, str] | None = None) -> Path:
    """The folder with the program, which is built first if need be (with progress on standard error).

    Raises LocalClusterError with the reason and the remedy if it cannot be built.
    """
    cache = cache_folder(os.environ if environ is None else environ, program.folder.name)
    folder = cache / source_hash(program.sources)
    if folder.exists():
        return folder
    waiting = Progress(f"Waiting for another build of {program.what}")
    try:
        with locked(cache / ".lock", waiting.update):
            if not folder.exists():
                _build(program, cache, folder)
    except OSError as error:
        raise LocalClusterError(
            f"{program.what} could not be built: {error}", remedy=remedy_for(str(error), program.instead)
        ) from error
    return folder


def _build(program: GoProgram, cache: Path, folder: Path) -> None:
    """Build into a temporary folder and rename it. The caller holds the lock, so leftovers of dead builds can go."""
    for leftover in cache.glob("*.tmp-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    # One Go for all programs: it is 70 MB.
    go = find_go(go_version(program.sources[0].read_text()) or (), cache.with_name("localcluster"))
    temporary = cache / f"{folder.name}.tmp-{os.getpid()}"
    temporary.mkdir()
    try:
        overall = Progress("Building")
        overall.say(f"Building {program.what}, once; kept in {folder}")
        _compile(program, go, _packages(program, go), temporary / program.folder.name)
        for name in program.names:
            (temporary / name).symlink_to(program.folder.name)
        for file in program.files:
            shutil.copyfile(_module_folder(program, go) / file, temporary / Path(file).name)
        temporary.rename(folder)
        overall.finish("Built")
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _module_folder(program: GoProgram, go: Path) -> Path:
    """Where Go keeps the module whose program is built."""
    command = [str(go), "list", "-m", "-f", "{{.Dir}}", program.package]
    answer = subprocess.run(
        command, cwd=program.folder, env=go_environment(os.environ), capture_output=True, text=True, check=True
    )
    return Path(answer.stdout.strip())


def _packages(program: GoProgram, go: Path) -> frozenset[str]:
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

    _run_go(program, [str(go), "list", "-deps", program.package], progress, take)
    progress.finish(f"Go modules are there, {progress.done} fetched")
    # `unsafe` is part of the compiler: listed, never compiled.
    return frozenset(listed - {"unsafe"})


def _compile(program: GoProgram, go: Path, packages: frozenset[str], target: Path) -> None:
    progress = Progress("Compiling Go packages", total=len(packages))

    def take(line: str) -> bool:
        if line not in packages:
            return False
        progress.done += 1
        progress.update("linking" if line == program.folder.name else line)
        return True

    # The linker drops debug information anyway; not to make it saves a tenth of the work.
    options = ["-v", "-trimpath", "-gcflags=all=-dwarf=false", "-ldflags", program.flags]
    _run_go(program, [str(go), "build", *options, "-o", str(target), program.package], progress, take)
    # Not the count of lines seen: what Go finds in its own cache it does not name.
    progress.finish(f"{len(packages)} Go packages compiled and linked")


def _run_go(program: GoProgram, command: Sequence[str], progress: Progress, take: Callable[[str], bool]) -> None:
    """Run the Go tool in the program's folder. `take` says of a line of output whether it is progress; the rest is kept.

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
        cwd=program.folder,
        env=go_environment(os.environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        # A thread reads, so that the time shown continues while the tool is silent, as during linking.
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
            remedy=remedy_for(output, program.instead),
        )


def _next(lines: "queue.SimpleQueue[str | None]", progress: Progress) -> str | None:
    while True:
        try:
            return lines.get(timeout=1)
        except queue.Empty:
            progress.update()
