"""On a terminal: colors, progress, and Ctrl-C, which ends a command with 130 and without a traceback."""

from __future__ import annotations

import os
import pty
import re
import signal
import sys
import threading

import pytest

from azure_batch_operator.generate import ROOT

_PROGRAM = """
import asyncio, sys
from contextlib import asynccontextmanager
sys.path[:0] = [{tests!r}, {plugin!r}]
from azure_batch_kubectl import remote, running
from azure_batch_kubectl.__main__ import main
from unit.kubectl.conftest import FakeCluster, thing
from unit.kubectl.test_others import Client

JOB = thing("BatchJob", "render", phase="Running", taskCounts={{"total": 9, "completed": 4, "running": 1}})


class Cluster(FakeCluster):
    async def pages(self, kind, *, everywhere):
        items = [{{**JOB, "metadata": {{**JOB["metadata"], "uid": "1"}}}}] if kind == "BatchJob" else []
        yield {{"metadata": {{"resourceVersion": "1"}}, "items": items}}

    async def events(self, kind, version, *, everywhere):
        await asyncio.Event().wait()
        yield


class Running(Client):
    async def _task(self):
        return {{"id": "t", "state": "running"}}


@asynccontextmanager
async def connected(_):
    cluster = Cluster()
    cluster.add(JOB)
    yield cluster


@asynccontextmanager
async def opened(*_):
    yield Running(["t"]), "j"


running.connected, remote.opened = connected, opened
sys.argv[1:] = {words!r}
main()
"""
_COLOR = re.compile(r"\x1b\[[0-9;]*m")


def interrupted(*words: str, at: str) -> tuple[str, int]:
    """Run a command on a terminal of its own until it shows a text, and press Ctrl-C; what it showed, and its exit code."""
    program = _PROGRAM.format(tests=str(ROOT / "tests"), plugin=str(ROOT / "kubectl"), words=list(words))
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "120", "LINES": "30"}
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
        environment.pop(name, None)
    child, terminal = pty.fork()
    if child == 0:
        # A shell has programs in the background ignore SIGINT, and this would be inherited.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.execve(sys.executable, [sys.executable, "-c", program], environment)  # noqa: S606 (no shell)
    # Not the wall time of the test: what ends a command that shows nothing.
    guard = threading.Timer(240, os.kill, (child, signal.SIGKILL))
    guard.start()
    shown, pressed = b"", False
    try:
        while data := _read(terminal):
            shown += data
            if not pressed and at.encode() in _COLOR.sub("", shown.decode(errors="replace")).encode():
                os.write(terminal, b"\x03")
                pressed = True
    finally:
        _, status = os.waitpid(child, 0)
        guard.cancel()
        os.close(terminal)
    return shown.decode(errors="replace"), os.waitstatus_to_exitcode(status)


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:
        # Linux says so when the other end is closed.
        return b""


@pytest.mark.parametrize(
    ("words", "at", "colored"),
    [
        (("logs", "-f", "j/t"), "abc", False),
        (("logs", "-f", "j"), "t: abc", False),
        (("top", "--watch"), "render", True),
        (("wait", "render"), "4/9", True),
    ],
)
def test_ctrl_c_ends_a_command_quietly(words: tuple[str, ...], at: str, colored: bool) -> None:
    shown, code = interrupted(*words, at=at)
    assert code == 130, shown
    assert "Traceback" not in shown
    assert "error" not in shown
    assert bool(_COLOR.search(shown)) == colored
    if "--watch" in words:
        # The terminal is as it was before: its first screen, and a cursor.
        assert shown.rindex("\x1b[?1049l") > shown.rindex("\x1b[?1049h")
    if "\x1b[?25l" in shown:
        assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")
