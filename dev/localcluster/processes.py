"""Processes of the control plane: started in groups of their own, known again later, ended for certain.

A pid alone is not enough to kill by: it may long be somebody else's. So a process is known by pid and start time.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from localcluster.errors import LocalClusterError

POLL = 0.05
GRACE = 10.0
"""Seconds that a component gets to end in order; 1 is usual, more if clients watch."""


@dataclass(frozen=True)
class ProcessRef:
    """One process, for as long as it lives; `started` is what `start_mark` said when it was new."""

    pid: int
    started: str

    def alive(self) -> bool:
        """Whether this very process still runs. A zombie does not, unless threads of it still run.

        False means that a child of ours is collected too: the mark is read before, because a process that ends between
        the two would stay as a zombie. tests/unit/test_localcluster.py lets it end right there.
        """
        mark = start_mark(self.pid)
        if mark is None:
            return not _collected(self.pid)
        return mark == self.started

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to its process group; nothing if it is gone."""
        if self.alive():
            with suppress(ProcessLookupError):
                os.killpg(self.pid, number)


def _collected(pid: int) -> bool:
    """Collect the exit status of a zombie; False while it cannot be, because threads of the process still end.

    True for what is not a child of ours: somebody else collects it.
    """
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True


def start_mark(pid: int) -> str | None:
    """What tells a process from a later one with the same pid; None if there is none, or only a zombie.

    On Linux the boot and the clock ticks from boot to its start, elsewhere the start time that `ps` tells.
    """
    if sys.platform == "linux":
        try:
            return linux_start_mark(Path(f"/proc/{pid}/stat").read_text(), boot_id())
        except (FileNotFoundError, ProcessLookupError):
            return None
    answer = subprocess.run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    state, _, started = answer.stdout.strip().partition(" ")
    return started.strip() if started and not state.startswith("Z") else None


def linux_start_mark(stat: str, boot: str) -> str | None:
    """The start mark from the text of `/proc/<pid>/stat`: fields 3 (state) and 22 (start time)."""
    # Field 2 is the name in parentheses and may itself hold blanks and parentheses.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else f"{boot}:{fields[19]}"


def boot_id() -> str:
    """An id of this boot of the machine; ticks since boot are worth nothing without it."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def child_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment for the components: without variables that etcd would take for flags."""
    return {name: value for name, value in environ.items() if not name.startswith("ETCD_")}


def spawn(
    command: Sequence[str], *, log: Path, folder: Path, owned: bool, environment: Mapping[str, str] | None = None
) -> ProcessRef:
    """Start a program in a session and process group of its own, in `folder`, with its output in `log`.

    With `owned` the kernel kills it (on Linux) when the calling thread ends, however it ends. `environment` is added to our own.
    """
    launcher = [sys.executable, "-I", "-S", str(Path(__file__).with_name("owned.py")), str(os.getpid())]
    with log.open("wb") as output:
        try:
            process = subprocess.Popen(
                [*launcher, *command] if owned else command,
                cwd=folder,
                env={**child_environment(os.environ), **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise LocalClusterError(f"{command[0]} cannot be run: {error.strerror}") from error
    # From here on the pid is watched and reaped through ProcessRef, which also works for other people's children.
    process.returncode = 0
    return ProcessRef(process.pid, start_mark(process.pid) or "gone")


def stop(processes: Sequence[ProcessRef], *, grace: float = GRACE) -> None:
    """End processes, the last started first: SIGTERM, up to `grace` seconds to go, SIGKILL. Then none is left.

    One after another, because each serves the next: an API server whose etcd is gone hangs until it is killed. Raises
    LocalClusterError if one survives SIGKILL.
    """
    for process in reversed(processes):
        process.signal(signal.SIGTERM)
        if not _gone(process, grace):
            process.signal(signal.SIGKILL)
    survivors = [str(process.pid) for process in processes if not _gone(process, 10.0)]
    if survivors:
        raise LocalClusterError(f"Processes that SIGKILL does not end: {', '.join(survivors)}.")


def _gone(process: ProcessRef, seconds: float) -> bool:
    """Whether a process ends within so many seconds."""
    deadline = time.monotonic() + seconds
    while process.alive():
        if time.monotonic() >= deadline:
            return False
        time.sleep(POLL)
    return True


def resident_bytes(pid: int) -> int:
    """Memory that a process holds, in bytes; 0 if it is gone."""
    answer = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return int(answer.stdout.strip() or 0) * 1024
