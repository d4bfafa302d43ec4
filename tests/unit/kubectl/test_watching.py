"""What `top --watch` asks of the API server, and signing in again: against a server that speaks HTTP."""

from __future__ import annotations

import asyncio
import json
import stat
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.aio.client.exceptions import ApiException

from azure_batch_kubectl import top, watching
from azure_batch_kubectl.cluster import Cluster, Place, connected
from azure_batch_kubectl.failure import FailureError
from azure_batch_kubectl.watching import Watched
from azure_batch_operator.api.kinds import Kind
from unit.kubectl.conftest import Body, thing

JOBS = "/apis/azurebatch.io/v1alpha1/batchjobs"


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "PAUSE", 0.0)


class Server:
    """Jobs of a cluster: lists them by pages, and sends the events that a test puts into a queue."""

    def __init__(self, *jobs: Body) -> None:
        self.jobs = list(jobs)
        self.events: asyncio.Queue[Body | int | None] = asyncio.Queue()
        self.lists: list[str] = []
        self.watches: list[str] = []
        self.sent = 0
        self.tokens: set[str] | None = None
        self.refused = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """A list or a watch."""
        if self.tokens is not None and request.headers.get("Authorization") not in self.tokens:
            self.refused += 1
            return web.json_response({"message": "Unauthorized"}, status=401)
        if "watch" in request.query:
            return await self._watch(request)
        self.lists.append(request.query.get("continue", ""))
        first, rest = self.jobs[:2], self.jobs[2:]
        page, more = (rest, "") if request.query.get("continue") else (first, "next" if rest else "")
        text = json.dumps({"metadata": {"resourceVersion": "10", "continue": more}, "items": page})
        self.sent += len(text)
        return web.Response(text=text, content_type="application/json")

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        self.watches.append(request.query["resourceVersion"])
        stream = web.StreamResponse()
        if isinstance(head := await self.events.get(), int):
            return web.json_response({"message": "no"}, status=head)
        await stream.prepare(request)
        event: Body | int | None = head
        while isinstance(event, dict):
            data = json.dumps(event).encode() + b"\n"
            self.sent += len(data)
            await stream.write(data[:5])
            await stream.write(data[5:])
            event = await self.events.get()
        return stream


@asynccontextmanager
async def served(server: Server, folder: Path, user: Body) -> AsyncIterator[Cluster]:
    """A Cluster of that server, by a kubeconfig."""
    application = web.Application()
    application.router.add_get(JOBS, server.answer)
    async with TestServer(application) as running:
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": str(running.make_url("/")).rstrip("/")}}],
            "users": [{"name": "u", "user": user}],
        }
        path = folder / "config"
        path.write_text(yaml.safe_dump(config))
        async with connected(Place(str(path))) as cluster:
            yield cluster


def job(name: str, phase: str = "Running") -> Body:
    """A job with a spec that is large beside what is shown of it."""
    made = {
        **thing("BatchJob", name, phase=phase),
        "spec": {"tasks": [{"id": str(n), "commandLine": "x" * 50} for n in range(50)]},
    }
    del made["kind"]
    made["metadata"] |= {"uid": name, "resourceVersion": "10"}
    return made


def event(type_: str, found: Body, version: str) -> Body:
    """An event of a watch."""
    return {"type": type_, "object": {**found, "metadata": {**found["metadata"], "resourceVersion": version}}}


async def until(true: Callable[[], bool]) -> None:
    """Let the others go on until something is so."""
    async with asyncio.timeout(60):
        while not true():
            await asyncio.sleep(0)


def phases(watched: Watched) -> dict[str, str]:
    """Phase by name."""
    return {found["metadata"]["name"]: found["status"]["phase"] for found in watched.objects}


def watch(folder: Path, server: Server, work: Callable[[Watched], Awaitable[None]]) -> None:
    """Watch the jobs of all namespaces while the work goes on."""

    async def run() -> None:
        async with served(server, folder, {"token": "t"}) as cluster:
            watched = Watched(cluster, Kind.JOB, top.kept, everywhere=True)
            task = asyncio.create_task(watched.run())
            try:
                await watched.listed.wait()
                await work(watched)
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())


def test_all_is_read_once_and_then_only_what_changes(tmp_path: Path) -> None:
    server = Server(*(job(f"j{number}") for number in range(4)))

    async def work(watched: Watched) -> None:
        assert server.lists == ["", "next"]
        read = server.sent
        server.events.put_nowait(event("MODIFIED", job("j1", "Failed"), "11"))
        await until(lambda: phases(watched)["j1"] == "Failed")
        server.events.put_nowait({"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "20"}}})
        server.events.put_nowait(event("DELETED", job("j2"), "21"))
        server.events.put_nowait(event("ADDED", job("new"), "22"))
        await until(lambda: "new" in phases(watched))
        # The watch ends, as each does after a while, and goes on where it was.
        server.events.put_nowait(None)
        await until(lambda: len(server.watches) == 2)
        assert sorted(phases(watched)) == ["j0", "j1", "j3", "new"]
        assert server.watches == ["10", "22"]
        assert server.lists == ["", "next"]
        # Three objects of four, however long it is looked at.
        assert server.sent - read < read
        # Of each, a small part stays.
        assert all(len(json.dumps(found)) < 500 for found in watched.objects)

    watch(tmp_path, server, work)


@pytest.mark.parametrize("status", [500, 429])
def test_an_api_server_in_trouble_is_asked_again_for_what_changed(tmp_path: Path, status: int) -> None:
    server = Server(job("a"))

    async def work(watched: Watched) -> None:
        server.events.put_nowait(status)
        server.events.put_nowait(event("MODIFIED", job("a", "Held"), "11"))
        await until(lambda: phases(watched)["a"] == "Held")
        assert (len(server.lists), server.watches) == (1, ["10", "10"])

    watch(tmp_path, server, work)


@pytest.mark.parametrize("how", [410, {"type": "ERROR", "object": {"code": 410, "message": "too old"}}])
def test_a_version_that_is_too_old_makes_a_new_list(tmp_path: Path, how: Any) -> None:
    server = Server(job("a"))

    async def work(watched: Watched) -> None:
        server.jobs = [job("b")]
        server.events.put_nowait(how)
        await until(lambda: [*phases(watched)] == ["b"])
        assert len(server.lists) == 2

    watch(tmp_path, server, work)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long was waited; nobody waits."""
    waited: list[float] = []
    sleep = asyncio.sleep

    async def note(seconds: float) -> None:
        waited.append(seconds)
        await sleep(0)

    monkeypatch.setattr(watching, "PAUSE", 1.0)
    monkeypatch.setattr("azure_batch_kubectl.watching.asyncio.sleep", note)
    return waited


class Broken:
    """A cluster whose watches end with an error at once, each time or until an event."""

    def __init__(self, status: int, *, event_after: int = 0, first: Sequence[int] = ()) -> None:
        self.status, self.event_after, self.first = status, event_after, first
        self.lists = self.watches = 0

    async def pages(self, kind: Kind, *, everywhere: bool) -> AsyncIterator[Body]:
        self.lists += 1
        yield {"metadata": {"resourceVersion": "1"}, "items": []}

    async def events(self, kind: Kind, version: str, *, everywhere: bool) -> AsyncIterator[tuple[str, Body]]:
        self.watches += 1
        if self.watches == self.event_after:
            yield "BOOKMARK", {"metadata": {"resourceVersion": "2"}}
        if self.status == 500 and self.watches > 12:
            raise ApiException(status=403)
        raise ApiException(status=self.first[self.watches - 1] if self.watches <= len(self.first) else self.status)


def watch_until_it_ends(cluster: Broken) -> int:
    with pytest.raises(ApiException) as raised:
        asyncio.run(Watched(cluster, Kind.JOB, top.kept, everywhere=True).run())  # type: ignore[arg-type]
    assert raised.value.status is not None
    return int(raised.value.status)


def test_lists_that_are_too_old_at_once_are_made_again_with_growing_pauses_and_not_for_ever(
    pauses: list[float],
) -> None:
    cluster = Broken(410)
    assert watch_until_it_ends(cluster) == 410
    assert (cluster.lists, cluster.watches) == (9, 9)
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]


def test_an_event_between_makes_the_pauses_short_again(pauses: list[float]) -> None:
    cluster = Broken(410, event_after=4)
    assert watch_until_it_ends(cluster) == 410
    assert cluster.watches == 12
    assert pauses[:6] == [1.0, 2.0, 4.0, 1.0, 2.0, 4.0]


def test_an_outage_is_waited_for_with_bounded_pauses(pauses: list[float]) -> None:
    cluster = Broken(500)
    assert watch_until_it_ends(cluster) == 403
    assert (cluster.lists, cluster.watches) == (1, 13)
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, *[30.0] * 7]


@pytest.mark.parametrize("failure", [503, 429])
def test_an_outage_that_ends_with_a_version_that_is_too_old_is_survived(pauses: list[float], failure: int) -> None:
    """The version expires while the API server is down."""
    cluster = Broken(403, first=[*[failure] * 12, 410, failure, 410])
    assert watch_until_it_ends(cluster) == 403
    assert (cluster.lists, cluster.watches) == (3, 16)


def test_who_may_not_watch_is_told(tmp_path: Path) -> None:
    server = Server(job("a"))
    server.events.put_nowait(403)

    async def run() -> None:
        async with served(server, tmp_path, {"token": "t"}) as cluster:
            await Watched(cluster, Kind.JOB, top.kept, everywhere=True).run()

    with pytest.raises(ApiException):
        asyncio.run(run())


def plugin_of(folder: Path) -> Body:
    """A credential plugin whose tokens are numbered by its runs."""
    program, runs = folder / "plugin", folder / "runs"
    program.write_text(
        f"#!{sys.executable}\nimport json, pathlib\nruns = pathlib.Path({str(runs)!r})\n"
        "number = len(runs.read_text()) + 1 if runs.exists() else 1\nruns.write_text('x' * number)\n"
        "status = {'token': f'token-{number}'}\n"
        "print(json.dumps({'apiVersion': 'client.authentication.k8s.io/v1', 'kind': 'ExecCredential', 'status': status}))\n"
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return {
        "exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": str(program), "interactiveMode": "Never"}
    }


def signing_in(folder: Path, user: Body, tokens: list[set[str]]) -> tuple[Server, int]:
    """List once for each set of tokens that the server takes; the server, and the runs of the plugin."""
    server = Server(job("a"))

    async def run() -> None:
        async with served(server, folder, user) as cluster:
            for taken in tokens:
                server.tokens = taken
                # Calls at once share one new token. All end before the server does, so that it accepts no connection at its end.
                ends = await asyncio.gather(*(_all(cluster) for _ in range(3)), return_exceptions=True)
                for error in (end for end in ends if isinstance(end, BaseException)):
                    raise error

    asyncio.run(run())
    runs = folder / "runs"
    return server, len(runs.read_text()) if runs.exists() else 0


async def _all(cluster: Cluster) -> list[Body]:
    return [found async for found in cluster.list(Kind.JOB, everywhere=True)]


def test_an_expired_token_makes_the_credential_plugin_run_again_once(tmp_path: Path) -> None:
    server, runs = signing_in(tmp_path, plugin_of(tmp_path), [{"Bearer token-1"}, {"Bearer token-2"}])
    assert runs == 2
    assert server.refused == 3
    assert len(server.lists) == 6


def test_a_user_who_is_refused_is_not_asked_forever(tmp_path: Path) -> None:
    with pytest.raises(ApiException) as raised:
        signing_in(tmp_path, plugin_of(tmp_path), [{"Bearer none"}])
    assert raised.value.status == 401
    # At the start, and at most once for each of three calls.
    assert len((tmp_path / "runs").read_text()) <= 4


def test_a_token_file_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("one")
    server = Server(job("a"))
    server.tokens = {"Bearer one"}

    async def run() -> None:
        async with served(server, tmp_path, {"tokenFile": str(file)}) as cluster:
            await _all(cluster)
            file.write_text("two")
            server.tokens = {"Bearer two"}
            await _all(cluster)

    asyncio.run(run())
    assert server.refused == 1


def test_a_fixed_token_that_is_refused_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ApiException):
        signing_in(tmp_path, {"token": "fixed"}, [{"Bearer other"}])


@pytest.mark.parametrize("content", [b"", b"[", b"\xff\xfe"])
def test_a_kubeconfig_that_is_broken_meanwhile_is_explained(tmp_path: Path, content: bytes) -> None:
    server = Server(job("a"))

    async def run() -> None:
        async with served(server, tmp_path, {"token": "t"}) as cluster:
            await _all(cluster)
            server.tokens = {"Bearer other"}
            (tmp_path / "config").write_bytes(content)
            await _all(cluster)

    with pytest.raises(FailureError, match="no usable kubeconfig: "):
        asyncio.run(run())
