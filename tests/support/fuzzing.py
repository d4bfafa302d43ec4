"""Random calls of all 77 operations, made from the API's description, and what must hold of every answer.

Values are partly right, so that calls get far, and partly wrong in all the ways that have broken something before. The same
seed makes the same calls, as far as the emulator's own ids allow.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import random
import re
from collections import Counter
from email.utils import formatdate
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from support.batch_bodies import POOL_BODY

DIGEST = json.loads((Path(__file__).parents[1] / "data" / "api-2024-07-01.20.0.json").read_text(encoding="utf-8"))
OPERATIONS: dict[str, Any] = DIGEST["operations"]
VERSION = "2024-07-01.20.0"
# What the service itself answers with a 5xx: autoscale was enabled twice for a pool within 30 s (docs/azure-batch.md).
ALLOWED_5XX = frozenset({"TooManyEnableAutoScaleRequests"})
_TEXTS = [
    "",
    "a",
    "x" * 70,
    "x" * 2000,
    "ä€😀",
    "a\r\nb",
    "\x00",
    "..",
    "../..",
    "%0A",
    "'\"",
    "٣",
    "null",
    "-1",
    "{{",
    "9" * 5000,
]
# Halves of characters, which only JSON can say: in bodies, not in URLs.
_SURROGATES = ["\ud800", "a\udfffb", "\udc00\ud800", "\ud83d"]
_NUMBERS = [0, 1, -1, 2, 257, 2**31 - 1, 2**31, -(2**31) - 1, 2**63, 10**40, 1.5, 9e30, -0.0, 1e-300]
_DURATIONS = [
    "PT5M",
    "PT0S",
    "P1D",
    "P10675199DT2H48M5.4775807S",
    "P99999999999D",
    "PT",
    "-PT5M",
    "PT1M",
    "PT168H",
    "5",
]
_TIMES = [
    "2026-01-01T00:00:00Z",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59.9999999Z",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00",
    "yesterday",
]
_FORMULAS = [
    "$TargetDedicatedNodes=1;",
    "$TargetDedicatedNodes=9e30;",
    "x=" + "+".join(["1"] * 500) + ";",
    "x=(" * 50,
    "x=1/0;",
    "$TargetDedicatedNodes=avg($PendingTasks.GetSample(TimeInterval_Hour));",
    "x=" + "!" * 3000 + "1;",
    "x=time()+TimeInterval_Year*1e6;",
    "stop();",
]
_FILTERS = [
    "id eq 'a'",
    "state eq 'active'",
    "creationTime gt DateTime'9999-12-31T23:59:59Z'",
    "(" * 60,
    "startswith(id,'p')",
    "id eq",
    "executionInfo/exitCode ne 99999999999999999999",
    "poolId eq 'p0' or poolId eq 'p1'",
]
_WORDS = {
    "vmSize": ["standard_d2s_v3", "standard_d2s_v3", "STANDARD_A1", "standard_d" + "9" * 5000, "standard_d٣", "d0"],
    "publisher": ["canonical"],
    "offer": ["0001-com-ubuntu-server-jammy"],
    "sku": ["22_04-lts"],
    "nodeAgentSKUId": ["batch.node.ubuntu 22.04"],
    "commandLine": [
        "exit 0",
        "exit 1",
        "exit 99999999999999999999",
        "sleep 1",
        "sleep " + "9" * 400,
        "",
        "/bin/sh -c 'echo x'",
        "'",
    ],
    "autoScaleFormula": _FORMULAS,
    "onAllTasksComplete": ["noaction", "terminatejob"],
    "onTaskFailure": ["noaction", "performexitoptionsjobaction"],
    "disableTasks": ["requeue", "terminate", "wait"],
    "poolLifetimeOption": ["job", "jobschedule"],
    "uploadCondition": ["taskcompletion"],
    "nodeFillType": ["spread", "pack"],
    "protocol": ["tcp", "udp"],
    "elevationLevel": ["admin"],
    "httpUrl": ["http://127.0.0.1:1/x"],
    "containerUrl": ["http://127.0.0.1:1/c"],
    "filePattern": ["*.txt", "**"],
    "fileMode": ["0770"],
    "filePath": ["f", "../f"],
}
_ID_PARAMETERS = {
    "poolId": "p",
    "jobId": "j",
    "taskId": "t",
    "jobScheduleId": "s",
    "nodeId": "n",
    "applicationId": "a",
    "userName": "u",
    "extensionName": "e",
}


class Fuzzer:
    """Makes calls and checks answers.

    Args:
        endpoint: of an emulator that simulates tasks, so that no command of ours is run.
        seed: of all choices.
    """

    def __init__(self, endpoint: str, account: str, key: str, seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311
        self.statuses: Counter[int] = Counter()
        self.allowed_5xx: Counter[str] = Counter()
        self.called: Counter[str] = Counter()
        self.problems: list[str] = []
        self._host = urlsplit(endpoint).netloc
        self._account, self._key = account, base64.b64decode(key)
        self._connection: http.client.HTTPConnection | None = None
        self._nodes: list[str] = []

    # -- one call --

    def step(self) -> None:
        """One random call."""
        operation = self.random.choice(list(OPERATIONS))
        described = OPERATIONS[operation]
        path = re.sub(r"\{(\w+)\}", lambda found: self._segment(found[1]), described["path"])
        query = {"api-version": VERSION if self._likely(0.98) else self._text()}
        for name, kind in described["parameters"].items():
            if (name.islower() and "-" not in name and self._likely(0.15)) or (
                name in ("$filter", "$select", "$expand") and self._likely(0.2)
            ):
                query[name] = self._parameter(name, kind)
        if self._likely(0.03):
            query["$skiptoken"] = self._text()
        body = None
        if described["body"] is not None and self._likely(0.97):
            body = self._body(operation, described["body"])
        elif self._likely(0.05):
            body = self.random.choice([b"", b"{", b"[]", b"\xff", b'{"a":' * 300, b"null"])
        self.call(described["verb"], path, query, body, operation)

    def call(self, verb: str, path: str, query: dict[str, str], body: Any, operation: str) -> tuple[int, bytes]:
        """Send a call and check its answer."""
        data = (
            body if isinstance(body, bytes) else json.dumps(body, allow_nan=True).encode() if body is not None else b""
        )
        text = "&".join(f"{name}={quote(value, safe='')}" for name, value in query.items())
        status, headers, content = self._send(verb, f"{path}?{text}", data)
        self.statuses[status] += 1
        self.called[operation] += 1
        self.check(f"{verb} {path[:150]} {data[:300]!r} -> {status} {content[:300]!r}", status, headers, content, verb)
        if verb == "GET" and path.endswith("/nodes") and status == 200:
            self._nodes = [item["id"] for item in json.loads(content)["value"] if "id" in item] or self._nodes
        return status, content

    def check(self, what: str, status: int, headers: dict[str, str], content: bytes, verb: str) -> None:
        """Note what is wrong with an answer."""
        problem = ""
        if status >= 400 and verb != "HEAD":
            try:
                error = json.loads(content)
                problem = (
                    "" if error["code"] and error["message"]["value"] and "odata.metadata" in error else "no error body"
                )
            except (ValueError, KeyError, TypeError):
                error, problem = {}, "an error that is not the service's"
            if status >= 500 and error.get("code") in ALLOWED_5XX:
                self.allowed_5xx[f"{status} {error['code']}"] += 1
            elif status >= 500:
                problem = "5xx"
        elif content and headers.get("content-type", "").startswith("application/json"):
            try:
                json.loads(content)
            except ValueError:
                problem = "not JSON"
        if "request-id" not in headers or headers.get("dataserviceversion") != "3.0":
            problem = problem or "not the service's headers"
        if problem:
            self.problems.append(f"{problem}: {what}")

    def _send(self, verb: str, target: str, data: bytes) -> tuple[int, dict[str, str], bytes]:
        headers = {"ocp-date": formatdate(usegmt=True), "Content-Type": "application/json" if data else ""}
        if self._likely(0.05):
            headers[self.random.choice(["If-Match", "If-None-Match", "If-Modified-Since", "ocp-range"])] = (
                self.random.choice(["*", '"0x1"', "Mon, 01 Jan 0001 00:00:00 GMT", "bytes=-0", "bytes=0-1", "x"])
            )
        headers = {name: value for name, value in headers.items() if value}
        if data or verb not in ("GET", "HEAD"):
            headers["Content-Length"] = str(len(data))
        headers["Authorization"] = self._signature(verb, target, headers)
        for attempt in (1, 2):
            if self._connection is None:
                self._connection = http.client.HTTPConnection(self._host, timeout=60)
            try:
                self._connection.request(verb, target, data or None, headers)
                response = self._connection.getresponse()
                return response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()
            except (http.client.HTTPException, ConnectionError):
                self.close()
                if attempt == 2:
                    raise
        raise AssertionError

    def _signature(self, verb: str, target: str, headers: dict[str, str]) -> str:
        lowered = {name.lower(): value for name, value in headers.items()}
        path, _, query = target.partition("?")
        names = ("content-encoding", "content-language", "content-length", "content-md5", "content-type", "date")
        names += ("if-modified-since", "if-match", "if-none-match", "if-unmodified-since", "range")
        text = "\n".join([verb, *(lowered.get(name, "") for name in names)]) + "\n"
        text += "".join(f"{name}:{lowered[name]}\n" for name in sorted(lowered) if name.startswith("ocp-"))
        pairs = sorted(
            (name.lower(), unquote(value)) for name, _, value in (part.partition("=") for part in query.split("&"))
        )
        text += f"/{self._account}{path}" + "".join(f"\n{name}:{value}" for name, value in pairs)
        return f"SharedKey {self._account}:{base64.b64encode(hmac.new(self._key, text.encode(), hashlib.sha256).digest()).decode()}"

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    # -- between calls --

    def prepare(self) -> None:
        """A pool with nodes, a job and tasks, so that calls find something."""
        for number in range(2):
            pool = POOL_BODY | {"id": f"p{number}", "targetDedicatedNodes": 2}
            self.call("POST", "/pools", {"api-version": VERSION}, pool, "prepare")
            job = {"id": f"j{number}", "poolInfo": {"poolId": f"p{number}"}}
            self.call("POST", "/jobs", {"api-version": VERSION}, job, "prepare")
            tasks = [{"id": f"t{task}", "commandLine": f"exit {task}"} for task in range(3)]
            self.call(
                "POST", f"/jobs/j{number}/addtaskcollection", {"api-version": VERSION}, {"value": tasks}, "prepare"
            )
        self.call("GET", "/pools/p0/nodes", {"api-version": VERSION}, None, "prepare")

    def look(self) -> None:
        """Whatever has been stored must be served: all lists, and what is below each item."""
        for path in ("/pools", "/jobs", "/jobschedules", "/nodecounts"):
            status, content = self.call("GET", path, {"api-version": VERSION, "$expand": "stats"}, None, "look")
            if status != 200:
                self.problems.append(f"a list that is not served: {path} {content[:300]!r}")
                continue
            for item in json.loads(content)["value"]:
                below = {"/pools": "nodes", "/jobs": "tasks", "/jobschedules": "jobs"}.get(path)
                if below:
                    target = f"{path}/{quote(item['id'], safe='')}/{below}"
                    self.call("GET", target, {"api-version": VERSION}, None, "look")

    # -- values --

    def _likely(self, chance: float) -> bool:
        return self.random.random() < chance

    def _text(self) -> str:
        return self.random.choice(_TEXTS)

    def _segment(self, name: str) -> str:
        if name == "nodeId" and self._nodes and self._likely(0.8):
            return self.random.choice(self._nodes)
        if name == "filePath":
            return quote(
                self.random.choice(["stdout.txt", "wd/x", ".", "a/../b", "\x00", "\n", "startup"]),
                safe=self.random.choice(["", "/"]),
            )
        if self._likely(0.85):
            return f"{_ID_PARAMETERS.get(name, 'x')}{self.random.randrange(2)}"
        return quote(self._text() or "x", safe="").replace(".", "%2E")

    def _parameter(self, name: str, kind: str) -> str:
        if name == "$filter":
            return self.random.choice(_FILTERS)
        if name == "$select":
            return self.random.choice(["id", "id,state", "id,url,state", "nothing", ",", "a/b/c", "id/state", "stats"])
        if name == "$expand":
            return self.random.choice(["stats", "x"])
        if kind == "integer":
            return self.random.choice(["1", "2", "0", "-1", "1001", "٣", "1e3", "9" * 50])
        if kind == "boolean":
            return self.random.choice(["true", "false", "TRUE", "1"])
        return self.random.choice([*_TIMES, self._text()])

    def _body(self, operation: str, shape: Any) -> Any:
        if operation == "Pools_CreatePool" and self._likely(0.5):
            body: Any = POOL_BODY | {"id": f"p{self.random.randrange(4)}"}
        elif operation in ("Jobs_CreateJob", "Jobs_ReplaceJob") and self._likely(0.6):
            body = {"id": f"j{self.random.randrange(4)}", "poolInfo": {"poolId": f"p{self.random.randrange(2)}"}}
        elif operation == "Tasks_CreateTask" and self._likely(0.6):
            body = {"id": f"t{self.random.randrange(9)}", "commandLine": "exit 0"}
        elif operation == "JobSchedules_CreateJobSchedule" and self._likely(0.6):
            body = {
                "id": f"s{self.random.randrange(2)}",
                "schedule": {},
                "jobSpecification": {"poolInfo": {"poolId": "p0"}},
            }
        else:
            body = {}
        made = self._value("", shape, 0)
        if isinstance(made, dict):
            return body | {name: value for name, value in made.items() if name not in body or self._likely(0.3)}
        return made

    def _value(self, name: str, shape: Any, depth: int) -> Any:
        if self._likely(0.02):
            return self._wrong()
        if isinstance(shape, int):
            shape = DIGEST["shapes"][shape]
        if isinstance(shape, list):
            return [self._value(name, shape[0], depth + 1) for _ in range(self.random.choice([0, 1, 1, 2]))]
        if isinstance(shape, dict):
            share = 0.6 if depth < 2 else 0.4
            members = {key: self._value(key, kind, depth + 1) for key, kind in shape.items() if self._likely(share)}
            strange = self.random.choice([*_TEXTS, *_SURROGATES])
            return members | ({strange: 1} if self._likely(0.01) else {})
        return self._scalar(name, str(shape))

    def _scalar(self, name: str, kind: str) -> Any:
        if name in _WORDS and self._likely(0.9):
            return self.random.choice(_WORDS[name])
        if kind == "integer":
            return self.random.choice([0, 1, 1, 2, 22, 100]) if self._likely(0.8) else self.random.choice(_NUMBERS)
        if kind == "boolean":
            return self._likely(0.5)
        if kind == "object":
            return self.random.choice([{}, {"a": "b"}, self._wrong()])
        lowered = name.lower()
        if any(word in lowered for word in ("timeout", "interval", "wallclock", "retention", "window", "duration")):
            return self.random.choice(_DURATIONS)
        if lowered.endswith("time") or "donotrun" in lowered:
            return self.random.choice(_TIMES)
        if lowered == "id" or lowered.endswith("id"):
            return f"{self.random.choice('pjts')}{self.random.randrange(3)}" if self._likely(0.8) else self._text()
        return self.random.choice(["a", "b", self._text()])

    def _wrong(self) -> Any:
        deep: Any = {}
        for _ in range(self.random.choice([3, 70, 130, 260])):
            deep = {"a": [deep]}
        return self.random.choice([None, True, [], {}, [[]], "", deep, {"a": deep}, *_NUMBERS, *_TEXTS, *_SURROGATES])
