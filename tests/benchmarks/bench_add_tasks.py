"""100,000 tasks into a sink: `BatchClient.add_tasks` against a bare HTTP loop and against the official client.

The sink is an aiohttp server in a process of its own that answers each task of a collection with a success. Each
contestant runs in a process of its own, so that its memory is its own as well. The bare loop posts the same bodies,
made and signed in advance, one after the other, and throws the answers away; the second bare loop has as many calls
in progress as `add_tasks`, which also makes the tasks, writes their JSON, signs, and reads the results. Times begin after
imports.
"""

import asyncio
import base64
import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import aiohttp
import orjson
from aiohttp import web
from measurement import Measurement
from yarl import URL

TASKS = 100_000
TASKS_OFFICIAL = 10_000
CONCURRENCY = 8
ROUNDS = 5
KEY = base64.b64encode(b"a key for a sink").decode()
_RESULT = b'{"status":"Success","taskId":"%b","eTag":"0x8DD0C1C1C1C1C1C","lastModified":"2026-01-22T20:18:17.6076943Z"}'


def tasks(count: int) -> Iterator[dict[str, Any]]:
    """Tasks as a factory makes them."""
    for number in range(count):
        yield {
            "id": f"task-{number:07}",
            "commandLine": f"/bin/sh -c 'render --frame {number} --scene scene.blend --out frame.png'",
            "resourceFiles": [{"httpUrl": f"https://example.invalid/in/{number}", "filePath": "in.dat"}],
            "environmentSettings": [{"name": "FRAME", "value": str(number)}],
            "constraints": {"maxTaskRetryCount": 2, "retentionTime": "P1D"},
        }


async def answer(request: web.Request) -> web.Response:
    """A success for each task of a collection."""
    results = b",".join([_RESULT % task["id"].encode() for task in orjson.loads(await request.read())["value"]])
    return web.Response(body=b'{"value":[' + results + b"]}", content_type="application/json")


async def serve() -> None:
    """Serve until stdin closes; print the port first."""
    app = web.Application(client_max_size=2 << 20)
    app.router.add_post("/jobs/{job}/addtaskcollection", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await runner.cleanup()


async def ours(url: str, count: int) -> float:
    """`add_tasks`, tasks made as they are needed; returns its seconds."""
    from azure_batch_operator.batch import BatchClient, SharedKey

    async with BatchClient(url, SharedKey("acc", KEY)) as client:
        added = 0
        started = time.perf_counter()
        async for result in client.add_tasks("job", tasks(count), concurrency=CONCURRENCY):
            added += result.added
        seconds = time.perf_counter() - started
    if added != count:
        raise RuntimeError(f"{added} of {count} tasks were added")
    return seconds


async def bare(url: str, count: int, concurrency: int) -> float:
    """A loop that posts ready-made bodies; returns the seconds of the loop alone."""
    from azure_batch_operator.batch import OPERATIONS, SharedKey
    from azure_batch_operator.batch.requests import build, http_date

    key = SharedKey("acc", KEY)
    ready = []
    from datetime import UTC, datetime

    source = tasks(count)
    while chunk := [task for _, task in zip(range(100), source, strict=False)]:
        request = build(OPERATIONS["Tasks_CreateTaskCollection"], {"jobId": "job"}, body={"value": chunk})
        headers = {**request.headers, "ocp-date": http_date(datetime.now(UTC))}
        headers.update(await key.sign(request, headers))
        ready.append((URL(url + request.target, encoded=True), headers, request.body))
    work = iter(ready)

    async def worker(session: aiohttp.ClientSession) -> None:
        for target, headers, body in work:
            async with session.post(target, headers=headers, data=body) as response:
                await response.read()

    async with aiohttp.ClientSession() as session:
        started = time.perf_counter()
        await asyncio.gather(*(worker(session) for _ in range(concurrency)))
        return time.perf_counter() - started


def official(url: str, count: int) -> float:
    """`create_tasks` of the official client; returns the seconds of the call alone."""
    from azure.batch import BatchClient
    from azure.batch.models import BatchTaskCreateContent
    from azure.core.credentials import AzureNamedKeyCredential

    content = [BatchTaskCreateContent(task) for task in tasks(count)]
    with BatchClient(url, AzureNamedKeyCredential("acc", KEY)) as client:
        started = time.perf_counter()
        client.create_tasks("job", content, concurrencies=CONCURRENCY)
        return time.perf_counter() - started


def compete(name: str, url: str, count: int) -> None:
    """Run one contestant and print its rate and its largest memory."""
    if name == "official":
        seconds = official(url, count)
    elif name == "ours":
        seconds = asyncio.run(ours(url, count))
    else:
        seconds = asyncio.run(bare(url, count, CONCURRENCY if name == "parallel" else 1))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"rate": count / seconds, "memory": memory}))


def _contestant(name: str, url: str, count: int) -> dict[str, float]:
    command = [sys.executable, str(Path(__file__)), name, url, str(count)]
    answer: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return answer


def run() -> list[Measurement]:
    """Measure all three, ours with two sizes."""
    command = [sys.executable, str(Path(__file__)), "serve"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as sink:
        assert sink.stdin is not None
        assert sink.stdout is not None
        url = f"http://127.0.0.1:{sink.stdout.readline().strip()}"
        try:
            _contestant("bare", url, TASKS // 10)  # warms up the sink
            few = _contestant("ours", url, TASKS // 10)
            contest = [("bare", TASKS), ("parallel", TASKS), ("ours", TASKS), ("official", TASKS_OFFICIAL)]
            rounds = [{name: _contestant(name, url, count) for name, count in contest} for _ in range(ROUNDS)]
        finally:
            sink.stdin.close()

    def rate(name: str) -> float:
        return median(each[name]["rate"] for each in rounds)

    def ratio(to: str) -> float:
        # Of runs next to each other: other work on the machine disturbs them alike.
        return median(each["ours"]["rate"] / each[to]["rate"] for each in rounds)

    memory = median(each["ours"]["memory"] for each in rounds)
    return [
        Measurement("add_tasks", rate("ours"), "tasks/s"),
        Measurement("bare loop", rate("bare"), "tasks/s"),
        Measurement(f"bare loop, {CONCURRENCY} calls in progress", rate("parallel"), "tasks/s"),
        Measurement("official client", rate("official"), "tasks/s"),
        Measurement("add_tasks / bare loop", ratio("bare"), "×", goal=0.5),
        Measurement("add_tasks / bare parallel loop", ratio("parallel"), "×"),
        Measurement("add_tasks / official client", ratio("official"), "×", goal=8),
        Measurement("memory at 100,000 tasks", memory, "MiB"),
        Measurement("memory at ten times as many tasks", memory / few["memory"], "×", 1.05, True),
    ]


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        asyncio.run(serve())
    else:
        compete(sys.argv[1], sys.argv[2], int(sys.argv[3]))
