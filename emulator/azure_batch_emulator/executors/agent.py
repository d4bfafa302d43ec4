"""The node agent: a small process of its own that is the parent of all task processes.

It exists so that nothing outlives the emulator. When the emulator goes, however it goes, the agent reads end-of-file,
kills every process group and every stray descendant, and leaves. As child subreaper it inherits what tasks put into the
background, so that those end with their task too.

It is run as a script, isolated and without site packages, and speaks JSON lines over the socket that is its stdin:
``{"start": id, "argv", "cwd", "env", "stdout", "stderr", "marker", "leaves"}`` and ``{"kill": id}`` come in;
``{"began": id, "pid"}``, ``{"failed": id, "errno"}``, ``{"exited": id, "code"}`` and ``{"ended": id}`` go out. ``marker`` is the
value of AZ_BATCH_TASK_DIR, by which strays are told apart. ``leaves`` says that what a command that succeeds has left running
runs on until ``kill``; ``ended`` is the reply to that.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import select
import signal
import socket
import sys
import time
from collections.abc import Collection
from typing import Any

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
# A task may not fill the machine's disk by a single file.
_LARGEST_FILE = 4 * 2**30
_MARKER = b"AZ_BATCH_TASK_DIR="
_PAUSE_SECONDS = 0.002
_EXEC_TRIES = 250
# Members of /proc/PID/stat, counted from the third.
_VSIZE = 23 - 3
_ENV_END = 51 - 3


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


class Agent:
    """Starts, watches and kills commands."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._buffer = b""
        self._runs: dict[int, tuple[int, bytes, bool]] = {}
        # What commands that have succeeded may have left running, by their numbers.
        self._left: dict[int, tuple[int, bytes]] = {}
        # Commands that were killed and have not been reaped yet.
        self._killed: set[int] = set()
        self._by_pid: dict[int, int] = {}

    def serve(self) -> None:
        """Work until the emulator is gone."""
        wake, alarm = os.pipe()
        os.set_blocking(alarm, False)
        signal.set_wakeup_fd(alarm, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        try:
            while True:
                ready, _, _ = select.select([self._channel.fileno(), wake], [], [])
                if wake in ready:
                    os.read(wake, 4096)
                    self._reap()
                if self._channel.fileno() in ready and not self._receive():
                    return
        finally:
            self._kill_everything()

    def _receive(self) -> bool:
        try:
            data = self._channel.recv(65536)
        except ConnectionError:
            return False
        if not data:
            return False
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            message = json.loads(line)
            if "start" in message:
                self._start(message)
            else:
                self._kill(message["kill"])
        return True

    def _send(self, message: dict[str, Any]) -> None:
        with contextlib.suppress(ConnectionError):
            self._channel.sendall(json.dumps(message).encode() + b"\n")

    def _start(self, message: dict[str, Any]) -> None:
        serial = message["start"]
        reading, writing = os.pipe()
        try:
            pid = os.fork()
        except OSError as error:
            os.close(reading)
            os.close(writing)
            self._send({"failed": serial, "errno": error.errno})
            return
        if pid == 0:
            _become(message, writing)
        os.close(writing)
        with os.fdopen(reading, "rb") as stream:
            problem = stream.read()
        if problem:
            os.waitpid(pid, 0)
            self._send({"failed": serial, "errno": int(problem)})
            return
        self._runs[serial] = (pid, os.fsencode(message["marker"]), message["leaves"])
        self._by_pid[pid] = serial
        self._send({"began": serial, "pid": pid})

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            serial = self._by_pid.pop(pid, None)
            if serial is None:
                continue
            _, marker, leaves = self._runs.pop(serial)
            code = os.waitstatus_to_exitcode(status)
            if leaves and code == 0:
                self._left[serial] = pid, marker
            else:
                _kill_group(pid)
                self._sweep(pid, marker)
            # As a shell would put it: 128 + the signal's number.
            self._send({"exited": serial, "code": code if code >= 0 else 128 - code})
            if serial in self._killed:
                self._killed.discard(serial)
                # It may have succeeded before the signal reached it: what it has left is to end all the same.
                self._kill(serial)

    def _kill(self, serial: int) -> None:
        if serial in self._left:
            # The number of the group may be another's by now: that is left to the sweep.
            self._sweep(*self._left.pop(serial))
            self._send({"ended": serial})
        run = self._runs.get(serial)
        if run is None:
            return
        self._killed.add(serial)
        pid, *_ = run
        tree = _descendants(pid)
        _kill_group(pid)
        for victim in tree:
            _kill_one(victim)

    def _sweep(self, group: int, marker: bytes | None) -> None:
        """Kill strays: children that are no task's own process, and belong to a task that has ended.

        Args:
            group: of the ended task's own process.
            marker: of the ended task; None for all strays.
        """
        for _ in range(50):
            strays = [pid for pid in _children(os.getpid()) if pid not in self._by_pid]
            if marker is not None and (self._runs or self._left):
                strays = [pid for pid in strays if _group_of(pid) == group or _marker_of(pid) == marker]
            alive = False
            for pid in strays:
                for victim in [*_descendants(pid), pid]:
                    _kill_one(victim)
                with contextlib.suppress(ChildProcessError):
                    alive |= os.waitpid(pid, os.WNOHANG)[0] == 0
            if not strays:
                return
            if alive:
                time.sleep(_PAUSE_SECONDS)

    def _kill_everything(self) -> None:
        for serial in list(self._runs):
            self._kill(serial)
        deadline = time.monotonic() + 5
        while self._runs and time.monotonic() < deadline:
            with contextlib.suppress(ChildProcessError):
                pid, _ = os.waitpid(-1, os.WNOHANG)
                if pid in self._by_pid:
                    del self._runs[self._by_pid.pop(pid)]
                if pid:
                    continue
            time.sleep(_PAUSE_SECONDS)
        self._sweep(0, None)


def _become(message: dict[str, Any], report: int) -> None:
    """In the child: turn into the command, or report the error's number and end."""
    try:
        os.setsid()
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGPIPE, signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_FSIZE, (_LARGEST_FILE, _LARGEST_FILE))
        os.chdir(message["cwd"])
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        # A pipe in place of the file must not hold up the agent: nobody reads it.
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NONBLOCK
        for name, stream in (("stdout", 1), ("stderr", 2)):
            os.dup2(os.open(message[name], flags, 0o644), stream)
            os.set_blocking(stream, True)
        argv = message["argv"]
        os.execvpe(argv[0], argv, message["env"])  # noqa: S606 - running commands is the purpose
    except OSError as error:
        os.write(report, str(error.errno).encode())
    except Exception:
        os.write(report, b"8")
    finally:
        os._exit(127)


def _kill_one(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _children(pid: int) -> list[int]:
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as stream:  # noqa: PTH123
            return [int(word) for word in stream.read().split()]
    except OSError:
        return []


def _descendants(pid: int) -> list[int]:
    # Not by recursion: a chain of processes may be longer than the stack.
    found = _children(pid)
    for child in found:
        found += _children(child)
    return found


def _group_of(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return 0


def _marker_of(pid: int) -> bytes | None:
    # While a process is turning into another program it has no environment for a moment, although it is the task's.
    for _ in range(_EXEC_TRIES):
        place = _place_of_environment(pid)
        try:
            with open(f"/proc/{pid}/environ", "rb") as stream:  # noqa: PTH123
                environment = stream.read()
        except OSError:
            return None
        if environment:
            variables = environment.split(b"\0")
            return next((value[len(_MARKER) :] for value in variables if value.startswith(_MARKER)), None)
        if place is None or (place > 0 and place == _place_of_environment(pid)):
            # It has no variables, and was the same program all the while.
            return None
        time.sleep(_PAUSE_SECONDS)
    return None


def _place_of_environment(pid: int) -> int | None:
    """Where in its memory a process has its environment: 0 while it is turning into another program.

    Returns:
        An address that differs from program to program; None for what has no memory, as zombies and kernel threads.

    Source: proc_pid_stat(5), members vsize (23) and env_end (51).
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as stream:  # noqa: PTH123
            # The name, member 2, is in parentheses and may hold anything.
            members = stream.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return int(members[_ENV_END]) if len(members) > _ENV_END and members[_VSIZE] != b"0" else None


def kill_orphans(commands: Collection[tuple[int, bytes]]) -> None:
    """End what the commands of an agent that is gone have started.

    Args:
        commands: their process groups and markers. Another task may have the marker of a Windows node, and a group that has become
            empty may be another's by now: so what has left the group must have a marker that is a path of this machine.
    """
    groups, markers = {group for group, _ in commands}, {marker for _, marker in commands}
    for _ in range(50):
        victims = [
            pid
            for pid in _processes()
            if (marker := _marker_of(pid)) in markers
            and marker is not None
            and (marker.startswith(b"/") or _group_of(pid) in groups)
        ]
        for victim in victims:
            _kill_one(victim)
        if not victims:
            return
        time.sleep(_PAUSE_SECONDS)


def _processes() -> list[int]:
    try:
        names = os.listdir("/proc")  # noqa: PTH208
    except OSError:
        return []
    return [int(name) for name in names if name.isdecimal() and int(name) != os.getpid()]


def main() -> None:
    """Entry point of the script."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    with socket.socket(fileno=0) as channel:
        Agent(channel).serve()


if __name__ == "__main__":
    main()
