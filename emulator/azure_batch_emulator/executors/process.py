"""Tasks as real processes in per-node directories, started by the node agent."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import shlex
import shutil
import ssl
import tempfile
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any

import aiohttp

from azure_batch_emulator.clock import Clock
from azure_batch_emulator.executors import windows
from azure_batch_emulator.executors.agent_client import AgentClient, AgentLostError
from azure_batch_emulator.executors.base import NodePlace, RunHandle, RunObserver, RunRequest, RunResult
from azure_batch_emulator.executors.disk import DiskFiles, inside, make_directory, make_way_for_directory
from azure_batch_emulator.executors.transfer import (
    TransferError,
    blob_url,
    download_resources,
    plan_uploads,
    send_blob,
    upload_all,
)
from azure_batch_emulator.executors.windows_drive import NODE_ROOT

_LOG = logging.getLogger(__name__)
_TRANSFER_SECONDS = 300.0
_FALLBACK_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# What OpenSSL (and with it Python), requests, curl and Node.js look at.
_TRUST_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")
_NOT_FOUND = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EACCES})


class ProcessExecutor:
    """Runs commands for real. `start_up` before use, `close` at the end; both on the emulator's loop.

    Args:
        directory: where node directories are made.
        clock: for the times of runs.
    """

    real_time = True
    keeps_files = True

    def __init__(self, directory: Path, clock: Clock) -> None:
        self.files = DiskFiles(directory)
        self.storage_url = ""
        self._clock = clock
        self._trash = directory / ".trash"
        self._agent = AgentClient()
        self._session: aiohttp.ClientSession | None = None
        self._trust = ssl.create_default_context()
        self.trust_variables: dict[str, str] = {}
        self._jobs: set[asyncio.Task[None]] = set()

    async def start_up(self) -> None:
        """Bring up the agent and the HTTP client."""
        await self._agent.start()
        # What an earlier emulator was about to take away when it was killed.
        for left in list(self._trash.iterdir()) if self._trash.is_dir() else ():
            self._spawn(asyncio.to_thread(_take_away, left))
        timeout = aiohttp.ClientTimeout(total=_TRANSFER_SECONDS)
        connector = aiohttp.TCPConnector(ssl=self._trust)
        self._session = aiohttp.ClientSession(timeout=timeout, auto_decompress=False, connector=connector)

    def trust(self, ca_file: Path) -> None:
        """Let nodes trust one more authority, as a real node's image does its own: transfers and the commands of tasks.

        Args:
            ca_file: its certificate; a bundle with those of this machine is written beside it.
        """
        self._trust.load_verify_locations(ca_file)
        known = ssl.get_default_verify_paths().cafile
        bundle = ca_file.with_name("bundle.pem")
        bundle.write_bytes((Path(known).read_bytes() if known else b"") + ca_file.read_bytes())
        self.trust_variables = dict.fromkeys(_TRUST_VARIABLES, str(bundle))

    async def close(self) -> None:
        """Kill every process and wait until that is done."""
        await self._agent.close()
        for job in list(self._jobs):
            job.cancel()
        await asyncio.gather(*self._jobs, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    def start(self, request: RunRequest, observer: RunObserver) -> RunHandle:
        run = _ProcessRun(self, request, observer)
        run.task = self._spawn(run.carry_out())
        return run

    def add_node(self, place: NodePlace) -> None:
        self.files.add_node(place)

    def remove_node(self, place: NodePlace) -> None:
        self._discard(self.files.root(place))

    def remove_directory(self, place: NodePlace, directory: str) -> None:
        above, _, name = directory.rpartition("/")
        try:
            # A task may have put a link to anything above its directory, or a file.
            parent = self.files.resolve(place, "", above)
        except FileNotFoundError:
            return
        self._discard(parent / name)

    def upload(self, container_url: str, files: Mapping[str, bytes]) -> int:
        self._spawn(self._send(container_url, files))
        return len(files)

    async def _send(self, container_url: str, files: Mapping[str, bytes]) -> None:
        for name, content in files.items():
            try:
                await send_blob(self.session, blob_url(container_url, name), content, {})
            except TransferError as error:
                _LOG.warning("logs were not uploaded: %s", error)

    def _discard(self, directory: Path) -> None:
        """Out of sight at once, off the disk in a while; what the disk does not let go stays."""
        try:
            self._trash.mkdir(parents=True, exist_ok=True)
            # It may be a link or a file, and graves of an earlier emulator may be there.
            grave = Path(tempfile.mkdtemp(dir=self._trash))
            try:
                directory.rename(grave / "it")
            except FileNotFoundError:
                grave.rmdir()
                return
            except OSError:
                grave.rmdir()
                raise
        except OSError as error:
            _LOG.warning("%s was not removed: %s", directory, error.strerror)
            return
        self._spawn(asyncio.to_thread(_take_away, grave))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        job = asyncio.create_task(work)
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)
        return job

    @property
    def agent(self) -> AgentClient:
        return self._agent

    @property
    def session(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("the executor has not been started")
        return self._session

    @property
    def clock(self) -> Clock:
        return self._clock


class _ProcessRun:
    """One command from its resource files to its output files."""

    def __init__(self, executor: ProcessExecutor, request: RunRequest, observer: RunObserver) -> None:
        self._executor = executor
        self._request = request
        self._observer = observer
        self._killed = False
        self._begun = False
        self._serial: int | None = None
        self._variables: dict[str, str] = {}
        self._started: int | None = None
        self.task: asyncio.Task[None] | None = None

    def kill(self) -> None:
        if self._killed:
            return
        self._killed = True
        if self._serial is not None:
            self._executor.agent.kill(self._serial)
        elif self.task is not None and self._begun:
            self.task.cancel()

    async def carry_out(self) -> None:
        """Run it all and report once."""
        self._begun = True
        try:
            # A task that is cancelled before its first step would never report.
            result = RunResult(None) if self._killed else await self._stages()
        except asyncio.CancelledError:
            result = RunResult(None, started=self._started)
        except Exception as error:
            _LOG.exception("a run of %s broke", self._request.run_id)
            details = (("Message", type(error).__name__),)
            result = RunResult(None, ("ServerError", "Unknown", "The task could not be run", details), "launch")
        self._observer.on_finished(result)

    async def _stages(self) -> RunResult:
        request = self._request
        await self._executor.agent.ready()
        # As documented for startTime: a task that brings resource files runs from the beginning of that.
        self._started = self._executor.clock.now()
        self._observer.on_started()
        root = self._executor.files.root(request.place)
        directory = root / request.directory
        working = directory / "wd"
        try:
            # An earlier try, or another task, may have put a link in the way, or anything else.
            for needed in (directory, working) if request.windows else (directory, working, directory / "certs"):
                make_way_for_directory(needed)
                make_directory(root, needed)
            if request.shared is not None:
                make_directory(root, root / request.shared)
            for name in ("stdout.txt", "stderr.txt"):
                # An earlier try of the task may have left anything there.
                if (directory / name).is_dir() and not (directory / name).is_symlink():
                    shutil.rmtree(directory / name)
                # Not the old file cut to nothing: services that a coordination command has left write on into that.
                with contextlib.suppress(FileNotFoundError):
                    (directory / name).unlink()
                (directory / name).write_bytes(b"")
        except OSError as error:
            return _failed("ResourceDirectoryCreateFailed", "The task's directory could not be made", error.strerror)
        if request.resource_files:
            try:
                target = root / request.shared if request.shared is not None else working
                await download_resources(
                    self._executor.session, request.resource_files, target, root, self._executor.storage_url
                )
            except TransferError as error:
                return RunResult(None, ("UserError", error.code, error.message, error.details), "preparation")
        else:
            await asyncio.sleep(0)
        result = await self._command(directory, working, str(root))
        if not request.output_files or self._killed or result.lost:
            return result
        return await self._uploads(result, directory, working, root)

    async def _command(self, directory: Path, working: Path, root: str) -> RunResult:
        request = self._request
        path = os.environ.get("PATH", _FALLBACK_PATH)
        trust = self._executor.trust_variables
        if request.windows:
            variables = windows.environment(trust | request.environment(NODE_ROOT), root, path)
        else:
            own = {
                "PATH": path,
                "HOME": str(working),
                "LANG": "C.UTF-8",
                "AZ_BATCH_CERTIFICATES_DIR": f"{directory}/certs",
            }
            variables = own | trust | request.environment(root)
        # Patterns of output files refer to them, also where no command is run.
        self._variables = variables
        if request.windows:
            launch = windows.launch(request.command_line)
            if launch.argv is None:
                (directory / "stderr.txt").write_text(launch.hint)
                reason = f"{launch.program}: the node has no such program"
                return _failed("CommandProgramNotFound", "The specified command program is not found", reason)
            argv = launch.argv
        else:
            try:
                argv = shlex.split(request.command_line)
            except ValueError as error:
                return _failed("CommandLaunchFailed", "The command line could not be split", str(error))
        if not argv:
            # The entry point of a container: there is nothing to run without one.
            if request.leaves_services:
                self._observer.on_returned()
                await asyncio.get_running_loop().create_future()
            return RunResult(0, started=self._started)
        self._serial, exited = self._executor.agent.begin(
            argv,
            str(working),
            variables,
            (str(directory / "stdout.txt"), str(directory / "stderr.txt")),
            variables.get("AZ_BATCH_TASK_DIR", str(directory)),
            leaves=request.leaves_services,
        )
        try:
            code = await exited
        except AgentLostError:
            return RunResult(None, started=self._started, lost=True)
        except OSError as error:
            if error.errno in _NOT_FOUND:
                reason = f"{argv[0]}: {os.strerror(error.errno or 0)}"
                return _failed("CommandProgramNotFound", "The specified command program is not found", reason)
            return _failed("CommandLaunchFailed", "The command could not be launched", os.strerror(error.errno or 0))
        if request.leaves_services and code == 0:
            if not self._killed:
                self._observer.on_returned()
            if not await self._executor.agent.ended(self._serial) and not self._killed:
                return RunResult(None, started=self._started, lost=True)
        return RunResult(None if self._killed else code, started=self._started)

    async def _uploads(self, result: RunResult, directory: Path, working: Path, root: Path) -> RunResult:
        self._serial = None
        success = result.exit_code == 0 and result.failure is None
        request = self._request
        try:
            # In a thread: a task may have left a large tree.
            uploads = await asyncio.to_thread(
                plan_uploads,
                request.output_files,
                working,
                root,
                self._variables,
                success=success,
                windows=request.windows,
            )
            logs = inside(root, directory)
            out, err = logs / "fileuploadout.txt", logs / "fileuploaderr.txt"
            await upload_all(self._executor.session, uploads, out, err)
        except TransferError as error:
            failure: tuple[str, str, str, tuple[tuple[str, str], ...]]
            failure = ("UserError", error.code, error.message, error.details)
        except OSError as error:
            # Such as when the task has taken away its own directory.
            details = (("Message", error.strerror or type(error).__name__),)
            failure = ("UserError", "FileUploadMiscError", "The output files could not be uploaded", details)
        else:
            return result
        return result if result.failure is not None else RunResult(result.exit_code, failure, "upload", self._started)


def _take_away(grave: Path) -> None:
    """Take what is in the trash off the disk."""
    if grave.is_dir() and not grave.is_symlink():
        shutil.rmtree(grave, ignore_errors=True)
    else:
        grave.unlink(missing_ok=True)


def _failed(code: str, message: str, reason: str | None) -> RunResult:
    details = (("Message", reason),) if reason else ()
    return RunResult(None, ("UserError", code, message, details), "launch")
