"""An emulator for one test or many, in a process of its own: started, asked and stopped like a test container.

    with BatchEmulator(time_scale=100, seed_file="state.yaml") as emulator:
        client = BatchClient(emulator.endpoint, AzureNamedKeyCredential(emulator.account, emulator.key))

Needs nothing but the standard library in the calling process, and works with synchronous and asynchronous code alike.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

_READY = re.compile(
    r"azure-batch-emulator ready: endpoint=(?P<endpoint>\S+) account=(?P<account>\S+) key=(?P<key>\S+)"
    r"(?: tls-endpoint=(?P<tls>\S+) ca=(?P<ca>\S+))?"
)


class EmulatorStartError(RuntimeError):
    """The emulator did not come up; the message is what it said."""


class BatchEmulator:
    """One emulator.

    Args:
        time_scale: how many times faster than the real service everything is that the service times.
        executor: ``process`` runs tasks for real, ``simulated`` only says how they would have ended.
        seed_file: what there is to begin with.
        tls: serve over TLS too.
        options: further options of the command ``azure-batch-emulator``.

    Attributes:
        endpoint: URL for Batch clients.
        account: its name.
        key: its shared key.
        tls_endpoint: the same over TLS, empty without.
        ca_file: the authority to trust there.
    """

    def __init__(
        self,
        *,
        time_scale: float = 100.0,
        executor: str = "process",
        seed_file: str | Path | None = None,
        tls: bool = False,
        options: Sequence[str] = (),
    ) -> None:
        self._options = ["--port=0", f"--time-scale={time_scale}", f"--executor={executor}", *options]
        if seed_file is not None:
            self._options.append(f"--seed-file={seed_file}")
        if tls:
            self._options.append("--tls-port=0")
        self._process: subprocess.Popen[str] | None = None
        self._log: IO[str] | None = None
        self.endpoint = self.account = self.key = self.tls_endpoint = self.ca_file = ""

    def start(self) -> Self:
        """Start and wait until it is ready.

        Raises:
            EmulatorStartError: it ended instead.
        """
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed by stop
        command = [sys.executable, "-m", "azure_batch_emulator", *self._options]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self._log, text=True)
        ready = _READY.match(self._process.stdout.readline() if self._process.stdout is not None else "")
        if ready is None:
            self._process.wait()
            log = self.log()
            self.stop()
            raise EmulatorStartError(log.strip() or "the emulator ended without a word")
        self.endpoint, self.account, self.key = ready["endpoint"], ready["account"], ready["key"]
        self.tls_endpoint, self.ca_file = ready["tls"] or "", ready["ca"] or ""
        return self

    def stop(self) -> None:
        """End it, and every task with it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            if self._process.stdout is not None:
                self._process.stdout.close()
            self._process = None
        if self._log is not None:
            self._log.close()
            self._log = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def log(self) -> str:
        """What it has written to stderr."""
        if self._log is None:
            return ""
        self._log.seek(0)
        return self._log.read()

    @property
    def environment(self) -> dict[str, str]:
        """Variables that az and many programs take account, key and endpoint from."""
        return {
            "AZURE_BATCH_ACCOUNT": self.account,
            "AZURE_BATCH_ACCESS_KEY": self.key,
            "AZURE_BATCH_ENDPOINT": self.endpoint,
        }

    def admin(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """A call of its admin side, such as ``admin("POST", "faults", {…})`` or ``admin("GET", "timeline")``.

        Raises:
            ValueError: it was refused; the message says why.
        """
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(f"{self.endpoint}/emulator/{path}", data, method=method)  # noqa: S310
        try:
            with urllib.request.urlopen(request) as response:  # noqa: S310
                return json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                raise ValueError(json.load(error).get("error", f"status {error.code}")) from None

    def reset(self) -> None:
        """Empty it, as freshly started without a seed file."""
        self.admin("POST", "reset")
