"""The emulator with 100,000 simulated tasks: through addtaskcollection, to completion, and listed page by page.

It runs as a process of its own, so that its memory and CPU time can be told from the caller's. ``BENCH_TASKS=1000000`` takes
another number of tasks.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from measurement import Measurement, cpu_seconds

TASKS = int(os.environ.get("BENCH_TASKS", "100000"))
PAGES = 100
# On two cores, beside the caller.
GOAL_SECONDS = 12.0 if TASKS <= 100_000 else TASKS / 10_000
GOAL_MEBIBYTES = 450.0
GOAL_PAGE_MILLISECONDS = 6.0
VERSION = "api-version=2024-07-01.20.0"
POOL = {
    "id": "pool",
    "vmSize": "standard_d64s_v3",
    "targetDedicatedNodes": 7,
    "taskSlotsPerNode": 256,
    "virtualMachineConfiguration": {
        "imageReference": {"publisher": "canonical", "offer": "0001-com-ubuntu-server-jammy", "sku": "22_04-lts"},
        "nodeAgentSKUId": "batch.node.ubuntu 22.04",
    },
}


class Connection:
    """Signed calls over one connection."""

    def __init__(self, endpoint: str, account: str, key: str) -> None:
        self._http = http.client.HTTPConnection(endpoint.partition("//")[2])
        self._account = account
        self._key = base64.b64decode(key)

    def call(self, method: str, target: str, body: Any = None) -> Any:
        """The parsed answer of a call that succeeds."""
        data = json.dumps(body).encode() if body is not None else b""
        date = formatdate(usegmt=True)
        parts = urlsplit(target)
        pairs = sorted((name.lower(), value) for name, value in parse_qsl(parts.query, keep_blank_values=True))
        query = "".join(f"\n{name}:{value}" for name, value in pairs)
        length = str(len(data)) if data or method == "POST" else ""
        kind = "application/json" if data else ""
        text = f"{method}\n\n\n{length}\n\n{kind}\n\n\n\n\n\n\nocp-date:{date}\n/{self._account}{parts.path}{query}"
        digest = base64.b64encode(hmac.new(self._key, text.encode(), hashlib.sha256).digest()).decode()
        headers = {"ocp-date": date, "Authorization": f"SharedKey {self._account}:{digest}"}
        if data:
            headers["Content-Type"] = kind
        self._http.request(method, target, data or None, headers)
        response = self._http.getresponse()
        content = response.read()
        if response.status >= 400:
            raise RuntimeError(f"{response.status}: {content[:500]!r}")
        return json.loads(content) if content else None

    def close(self) -> None:
        self._http.close()


def run() -> list[Measurement]:
    """Start an emulator and measure."""
    command = [sys.executable, "-m", "azure_batch_emulator", "--port=0", "--time-scale=1000", "--executor=simulated"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        ready = re.search(r"endpoint=(\S+) account=(\S+) key=(\S+)", process.stdout.readline())
        assert ready is not None
        connection = Connection(*ready.groups())
        try:
            return _measure(connection, process.pid)
        finally:
            connection.close()
            process.terminate()


def _measure(connection: Connection, pid: int) -> list[Measurement]:
    connection.call("POST", f"/pools?{VERSION}", POOL)
    connection.call("POST", f"/jobs?{VERSION}", {"id": "job", "poolInfo": {"poolId": "pool"}})
    began = time.monotonic()
    for first in range(0, TASKS, 100):
        tasks = [
            {"id": f"task-{n:06d}", "commandLine": "/bin/sh -c 'sleep 5; exit 0'"} for n in range(first, first + 100)
        ]
        connection.call("POST", f"/jobs/job/addtaskcollection?{VERSION}", {"value": tasks})
    added = time.monotonic() - began
    while connection.call("GET", f"/jobs/job/taskcounts?{VERSION}")["taskCounts"]["succeeded"] < TASKS:
        time.sleep(0.1)
    done = time.monotonic() - began
    spent = cpu_seconds(pid)
    status = Path(f"/proc/{pid}/status").read_text()
    peak = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert peak is not None
    small = list_pages(connection, pid, 10, PAGES)
    large = list_pages(connection, pid, 1000, PAGES)
    return [
        Measurement(f"{TASKS:,} tasks added", added, "s"),
        Measurement(f"{TASKS:,} tasks added and completed", done, "s", GOAL_SECONDS, smaller_is_better=True),
        Measurement("CPU time of the emulator", spent, "s"),
        Measurement("peak memory", int(peak[1]) / 1024, "MiB", GOAL_MEBIBYTES, smaller_is_better=True),
        Measurement("page of 10 out of them, median", median(small.taken), "ms"),
        Measurement("page of 1,000 out of them, median", median(large.taken), "ms"),
        Measurement(
            f"CPU time of the emulator for it, median of {PAGES}",
            median(large.cpu),
            "ms",
            GOAL_PAGE_MILLISECONDS,
            smaller_is_better=True,
        ),
        Measurement("CPU time of the emulator for it, minimum", min(large.cpu), "ms"),
    ]


@dataclass
class Pages:
    """Milliseconds for each page: those that passed, and those of the emulator's CPU."""

    taken: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)


def list_pages(connection: Connection, pid: int, size: int, number: int) -> Pages:
    """List the job, over and over, until there are so many pages.

    What the emulator does after the last byte of a page counts for the next one.
    """
    pages = Pages()
    first = f"/jobs/job/tasks?{VERSION}&maxresults={size}"
    link = first
    spent = cpu_seconds(pid)
    while len(pages.taken) < number:
        began = time.monotonic()
        page = connection.call("GET", link)
        pages.taken.append((time.monotonic() - began) * 1000)
        before, spent = spent, cpu_seconds(pid)
        pages.cpu.append((spent - before) * 1000)
        following = urlsplit(page.get("odata.nextLink", ""))
        link = f"{following.path}?{following.query}" if following.path else first
    return pages
