"""The emulator's end of the node agent: starts it, asks it to run and kill, waits for exits."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

from azure_batch_emulator.executors.agent import kill_orphans

_LOG = logging.getLogger(__name__)
_PATIENCE_SECONDS = 10.0
_PAUSE_SECONDS = 1.0


class AgentLostError(RuntimeError):
    """The node agent is gone, and with it every task."""


class AgentClient:
    """One node agent. `start` before use, `close` at the end."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._listener: asyncio.Task[None] | None = None
        self._exits: dict[int, asyncio.Future[int]] = {}
        # Of commands that may leave something running: done when that has been ended, true unless it was lost.
        self._ends: dict[int, asyncio.Future[bool]] = {}
        # The process group and the marker of each command of which something may run.
        self._groups: dict[int, int] = {}
        self._markers: dict[int, bytes] = {}
        self._serial = 0
        self._up = asyncio.Event()

    async def start(self) -> None:
        """Bring the agent up."""
        ours, theirs = socket.socketpair()
        script = Path(__file__).with_name("agent.py")
        with theirs:
            self._process = subprocess.Popen(  # noqa: ASYNC220 - returns at once, and is waited for in `close`
                [sys.executable, "-I", "-S", str(script)],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                start_new_session=True,
                env={"PYTHONUTF8": "1"},
            )
        reader, self._writer = await asyncio.open_connection(sock=ours)
        self._listener = asyncio.create_task(self._listen(reader), name="node agent")
        self._up.set()

    async def ready(self) -> None:
        """Wait while an agent that died is being replaced."""
        await self._up.wait()

    async def close(self) -> None:
        """End the agent and with it every task process."""
        if self._listener is not None:
            # First of all, so that nobody takes this for an accident and brings up another agent.
            self._listener.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._listener
        if self._writer is not None:
            self._writer.close()
            with contextlib.suppress(ConnectionError):
                await self._writer.wait_closed()
        if self._process is not None:
            try:
                await asyncio.to_thread(self._process.wait, _PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                await asyncio.to_thread(self._process.wait)

    def begin(
        self,
        argv: list[str],
        cwd: str,
        env: dict[str, str],
        logs: tuple[str, str],
        marker: str,
        *,
        leaves: bool = False,
    ) -> tuple[int, asyncio.Future[int]]:
        """Start a command.

        Args:
            logs: the files for its output and its errors.
            leaves: what it leaves running when it succeeds runs on until `kill`; `ended` then waits for the end of that.

        Returns:
            Its number, and a future of the exit code: `OSError` if it could not be started, `AgentLostError` if the
            agent died.
        """
        self._serial += 1
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._exits[self._serial] = future
        if self._writer is None or self._writer.is_closing():
            del self._exits[self._serial]
            future.set_exception(AgentLostError("the node agent is gone"))
            return self._serial, future
        message = {"start": self._serial, "argv": argv, "cwd": cwd, "env": env}
        self._markers[self._serial] = os.fsencode(marker)
        self._send(message | {"stdout": logs[0], "stderr": logs[1], "marker": marker, "leaves": leaves})
        if leaves:
            self._ends[self._serial] = asyncio.get_running_loop().create_future()
        return self._serial, future

    async def ended(self, serial: int) -> bool:
        """Wait for the end of what a command has left running; whether it was ended, not lost with the agent."""
        end = self._ends.get(serial)
        return end is not None and await end

    def kill(self, serial: int) -> None:
        """Kill a command with all its descendants, also those that it has left running."""
        if serial in self._exits or serial in self._ends:
            self._send({"kill": serial})

    def _send(self, message: dict[str, Any]) -> None:
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(json.dumps(message).encode() + b"\n")

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(ConnectionError):
            while line := await reader.readline():
                message = json.loads(line)
                if "began" in message:
                    self._groups[message["began"]] = message["pid"]
                elif "exited" in message:
                    if message["code"] != 0:
                        self._ends.pop(message["exited"], None)
                    if message["exited"] not in self._ends:
                        self._forget(message["exited"])
                    future = self._exits.pop(message["exited"], None)
                    if future is not None and not future.done():
                        future.set_result(message["code"])
                elif "ended" in message:
                    self._forget(message["ended"])
                    end = self._ends.pop(message["ended"], None)
                    if end is not None and not end.done():
                        end.set_result(True)
                else:
                    self._forget(message["failed"])
                    self._ends.pop(message["failed"], None)
                    future = self._exits.pop(message["failed"], None)
                    if future is not None and not future.done():
                        future.set_exception(OSError(message["errno"], "the command could not be started"))
        self._up.clear()
        lost, self._exits = self._exits, {}
        left, self._ends = self._ends, {}
        for end in left.values():
            if not end.done():
                end.set_result(False)
        self._kill_orphans(lost)
        for future in lost.values():
            if not future.done():
                future.set_exception(AgentLostError("the node agent is gone"))
        _LOG.error("the node agent is gone, and %d tasks with it; another one takes its place", len(lost))
        await self._replace()

    def _forget(self, serial: int) -> None:
        """Nothing of a command runs any more."""
        self._groups.pop(serial, None)
        self._markers.pop(serial, None)

    def _kill_orphans(self, running: Collection[int]) -> None:
        """End what a dead agent's commands have started, and left; those that still ran died with their parent.

        Args:
            running: numbers of commands that were not over, so that their groups are still theirs.
        """
        groups, self._groups = self._groups, {}
        markers, self._markers = self._markers, {}
        for serial, group in groups.items():
            if serial in running:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(group, signal.SIGKILL)
        kill_orphans([(group, markers[serial]) for serial, group in groups.items()])

    async def _replace(self) -> None:
        """Bring up another agent in place of one that died."""
        if self._writer is not None:
            self._writer.close()
        if self._process is not None:
            await asyncio.to_thread(self._process.wait)
        while not self._up.is_set():
            try:
                await self.start()
            except OSError as error:
                _LOG.warning("there is no node agent yet: %s", error.strerror)
                await asyncio.sleep(_PAUSE_SECONDS)
