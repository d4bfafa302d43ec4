"""One emulator: clock, storage, executor, accounts and server put together, started and stopped."""

from __future__ import annotations

import asyncio
import base64
import binascii
import errno
import ipaddress
import logging
import math
import os
import shutil
import socket
import ssl
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson
from aiohttp import web

from azure_batch_emulator.clock import LoopClock
from azure_batch_emulator.config import MAX_TIME_SCALE, EmulatorConfig
from azure_batch_emulator.engine import snapshot
from azure_batch_emulator.engine.commands import command_in
from azure_batch_emulator.engine.machine_rules import catalog
from azure_batch_emulator.engine.service import BatchService
from azure_batch_emulator.executors.process import ProcessExecutor
from azure_batch_emulator.executors.simulated import SimulatedExecutor
from azure_batch_emulator.schema.images import FORMER_IMAGES, SUPPORTED_IMAGES
from azure_batch_emulator.web import admin
from azure_batch_emulator.web.certificates import make_tls
from azure_batch_emulator.web.server import Server
from azure_batch_emulator.web.storage import PREFIX, Storage
from azure_batch_emulator.wire.errors import BatchError

_LOG = logging.getLogger(__name__)
_SHUTDOWN_SECONDS = 2.0


class ConfigurationError(ValueError):
    """The emulator cannot start with these settings. The message says what to do."""


class Emulator:
    """An emulator that runs inside ``async with``.

    Raises:
        ConfigurationError: on entering, for settings that do not work.
    """

    def __init__(self, config: EmulatorConfig | None = None) -> None:
        self.config = config or EmulatorConfig()
        self.endpoint = ""
        self.tls_endpoint = ""
        self.ca_file: Path | None = None
        self.services: dict[str, BatchService] = {}
        self._clock: LoopClock | None = None
        self._executor: ProcessExecutor | SimulatedExecutor | None = None
        self._runner: web.BaseRunner | None = None
        self._server: Server | None = None
        self._storage: Storage | None = None
        self._ready = False
        self._directory: Path | None = None
        # Accounts of the state file that this emulator does not have.
        self._others: dict[str, Any] = {}

    async def __aenter__(self) -> Self:
        config = self.config
        _check_host(config)
        _check_numbers(config)
        keys = _decode_keys({config.account: config.key} | config.accounts)
        work_dir = config.work_dir
        if work_dir is None and config.state_file is not None:
            work_dir = config.state_file.with_name(config.state_file.name + ".d")
        if work_dir is None:
            work_dir = self._directory = Path(tempfile.mkdtemp(prefix="azure-batch-emulator-"))
        work_dir.mkdir(parents=True, exist_ok=True)
        self._clock = LoopClock(config.time_scale)
        try:
            if config.executor == "process":
                self._executor = ProcessExecutor(work_dir.resolve() / "nodes", self._clock)
                await self._executor.start_up()
            else:
                self._executor = SimulatedExecutor(self._clock, config.seed)
            for name in keys:
                self.services[name] = BatchService(
                    name,
                    self._clock,
                    self._executor,
                    # Each account has its own.
                    quotas=replace(config.quotas),
                    seed=config.seed,
                    counts_lag=config.counts_lag,
                    images=None if config.any_image else catalog(SUPPORTED_IMAGES, FORMER_IMAGES),
                    subscription=config.subscription,
                )
            if isinstance(self._executor, SimulatedExecutor):
                for name, service in self.services.items():
                    self._executor.commands[name] = partial(command_in, service)
            self._storage = storage = Storage(work_dir.resolve() / "storage", self._clock)
            self._server = Server(self.services, keys, self._clock, storage, admin.handle, config.seed)
            await self._listen(self._server, work_dir.resolve())
            if config.state_file is not None and config.state_file.exists():
                self._load(config.state_file, storage)
            elif config.seed_file is not None:
                self._seed(config.seed_file)
            if config.state_file is not None:
                self._server.save = self.save
        except BaseException:
            await self.close()
            raise
        self._ready = True
        return self

    def save(self) -> None:
        """Write the state file, if there is to be one; the old one is replaced in one step."""
        file = self.config.state_file
        if file is None or self._storage is None:
            return
        accounts = self._others | {name: snapshot.dump(service) for name, service in self.services.items()}
        new = file.with_name(file.name + ".new")
        new.touch(mode=0o600)
        new.write_bytes(orjson.dumps({"accounts": accounts, "storage": self._storage.dump()}))
        new.replace(file)

    def _load(self, file: Path, storage: Storage) -> None:
        try:
            picture = orjson.loads(file.read_bytes())
            storage.load(picture["storage"])
            for name, account in picture["accounts"].items():
                if name in self.services:
                    snapshot.load(self.services[name], account)
                else:
                    # Whoever starts with another --account once must not lose what is there.
                    _LOG.warning("the state file %s has an account %s, which this emulator does not serve", file, name)
                    self._others[name] = account
        except (ValueError, LookupError, TypeError, AttributeError, OSError, BatchError) as error:
            raise ConfigurationError(f"the state file {file} cannot be read: {error}") from None

    def _seed(self, file: Path) -> None:
        # Read here, because it needs a library that only this needs.
        from azure_batch_emulator.seeding import SeedError, seed

        try:
            seed(self.services[self.config.account], file)
        except SeedError as error:
            raise ConfigurationError(f"the seed file cannot be used: {error}") from None

    async def _listen(self, server: Server, work_dir: Path) -> None:
        config = self.config
        self._runner = web.ServerRunner(server.web_server(), shutdown_timeout=_SHUTDOWN_SECONDS)
        await self._runner.setup()
        self.endpoint = await self._open(self._runner, config.port, None)
        if config.tls_port is not None:
            hosts = list(dict.fromkeys([config.host, "localhost", "127.0.0.1", "::1"]))
            context, self.ca_file = make_tls(work_dir / "tls", hosts)
            self.tls_endpoint = await self._open(self._runner, config.tls_port, context)
            if isinstance(self._executor, ProcessExecutor):
                self._executor.trust(self.ca_file)
        for service in self.services.values():
            service.endpoint = self.endpoint
            service.refuses_containers = config.containers == "refuse"
        if isinstance(self._executor, ProcessExecutor):
            self._executor.storage_url = f"{self.endpoint}{PREFIX}"

    async def _open(self, runner: web.BaseRunner, port: int, tls: ssl.SSLContext | None) -> str:
        """Listen on one more port; its URL."""
        known = len(runner.addresses)
        site = web.TCPSite(runner, self.config.host, port, backlog=1024, ssl_context=tls)
        try:
            await site.start()
        except OSError as error:
            # The library's text repeats the address; that of the operating system names the problem.
            reason = os.strerror(error.errno) if error.errno else "the address cannot be used"
            option = "--tls-port" if tls else "--port"
            hint = (
                f": stop the other process, such as another emulator, or select another port with {option}"
                if error.errno == errno.EADDRINUSE
                else ""
            )
            raise ConfigurationError(f"cannot listen on {self.config.host}:{port}: {reason}{hint}") from None
        address = runner.addresses[known]
        host = f"[{address[0]}]" if ":" in str(address[0]) else address[0]
        return f"{'https' if tls else 'http'}://{host}:{address[1]}"

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Stop listening, kill every task process, remove what was temporary."""
        if self._server is not None:
            self._server.close()
        if self._ready:
            self._ready = False
            self.save()
        for service in self.services.values():
            service.close(keep_files=self._directory is None)
        if isinstance(self._executor, ProcessExecutor):
            await self._executor.close()
        if self._runner is not None:
            await _close_connections(self._runner)
        if self._clock is not None:
            self._clock.close()
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)


async def _close_connections(runner: web.BaseRunner) -> None:
    """Stop serving. TLS connections would wait for their clients to say goodbye: they are cut instead."""
    handlers = runner.server.connections if runner.server is not None else []
    transports = [handler.transport for handler in handlers if handler.transport is not None]
    await runner.cleanup()
    for transport in transports:
        transport.abort()
    # The loop closes the sockets in its next rounds.
    for _ in range(3):
        await asyncio.sleep(0)


def _check_host(config: EmulatorConfig) -> None:
    """Listen only on loopback addresses unless allowed: clients can run commands."""
    if config.allow_remote:
        return
    try:
        addresses = {info[4][0] for info in socket.getaddrinfo(config.host, None)}
    except OSError:
        raise ConfigurationError(
            f"host {config.host!r} cannot be resolved: use 127.0.0.1, or correct the name"
        ) from None
    if not all(ipaddress.ip_address(str(address).partition("%")[0]).is_loopback for address in addresses):
        raise ConfigurationError(
            f"host {config.host!r} is not a loopback address, so other machines could run commands here: use 127.0.0.1, "
            "or allow it with --allow-remote"
        )


def _check_numbers(config: EmulatorConfig) -> None:
    """Reject numbers that timers cannot handle, such as NaN."""
    if not 0 < config.time_scale <= MAX_TIME_SCALE:
        raise ConfigurationError(
            f"the time scale is {config.time_scale:g}: use a number above 0 and at most {MAX_TIME_SCALE:,.0f}"
        )
    if not 0 <= config.counts_lag < math.inf:
        raise ConfigurationError(
            f"the lag of counts is {config.counts_lag:g}: use a number of seconds, or 0 for no lag"
        )


def _decode_keys(accounts: dict[str, str]) -> dict[str, bytes]:
    keys = {}
    for name, key in accounts.items():
        try:
            keys[name] = base64.b64decode(key, validate=True)
        except (ValueError, binascii.Error):
            raise ConfigurationError(f"the key of account {name!r} is not base64: encode it") from None
        if not keys[name]:
            raise ConfigurationError(f"the key of account {name!r} is empty: set one")
    return keys
