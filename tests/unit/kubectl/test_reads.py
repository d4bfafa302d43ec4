"""What `tree`, `top` and `cost` read in a large namespace: pages, and of each object only what they show; requests are counted."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer

from azure_batch_kubectl import cost_command, views
from azure_batch_kubectl.actions import OPEN
from azure_batch_kubectl.choices import Form
from azure_batch_kubectl.cluster import Cluster, Place, connected
from azure_batch_operator.api.kinds import KINDS, Kind
from unit.kubectl.conftest import Body, thing

TASKS = 10_000
TABLE = "application/json;as=Table;g=meta.k8s.io;v=v1"


class Server:
    """A namespace with many BatchTasks and jobs: answers by pages and as tables, and notes what it is asked."""

    def __init__(self, *, selects: bool = True) -> None:
        self.selects = selects
        self.asked: list[tuple[str, dict[str, str], str]] = []
        self.jobs = [job(f"j{number:03}") for number in range(250)]

    async def answer(self, request: web.Request) -> web.Response:
        """One object or a page."""
        plural, _, name = request.path.partition("/namespaces/team/")[2].partition("/")
        self.asked.append((f"{plural}/{name}" if name else plural, dict(request.query), request.headers["Accept"]))
        if not self.selects and "fieldSelector" in request.query:
            return web.json_response({"message": "field label not supported"}, status=400)
        if name:
            return web.json_response(self.jobs[0] if plural == "batchjobs" else thing("BatchPool", name))
        first, limit = int(request.query.get("continue", 0)), int(request.query["limit"])
        found: dict[str, Callable[[], list[Any]]] = {
            "batchtasks": lambda: [[f"t{number:05}", "j000", "Running", None] for number in range(TASKS)],
            "batchjobs": lambda: self.jobs,
            "batchpools": lambda: [pool()],
        }
        page = found[plural]()
        metadata = {"continue": str(first + limit) if first + limit < len(page) else ""}
        return web.json_response({"metadata": metadata, **self.shown(plural, page[first : first + limit])})

    def shown(self, plural: str, page: list[Any]) -> Body:
        """Rows or objects."""
        if plural != "batchtasks":
            return {"items": page}
        columns = [{"name": name} for name in ("Name", "Job", "Phase", "Exit")]
        return {"columnDefinitions": columns, "rows": [{"cells": cells} for cells in page]}


def job(name: str) -> Body:
    """A job with a large spec."""
    made = thing("BatchJob", name, phase="Running", poolId="cpu", account="team/main", taskCounts={"running": 1})
    return {**made, "spec": {"tasks": [{"id": str(number), "commandLine": "x" * 50} for number in range(20)]}}


def pool() -> Body:
    """A pool with prices."""
    made = thing("BatchPool", "cpu", account="team/main", slots={"total": 500}, estimatedCostPerHour="1.00 EUR")
    return {
        **made,
        "spec": {"accountRef": {"name": "main"}, "pricesFrom": {"name": "p"}, "startTask": {"commandLine": "x"}},
    }


def ask(server: Server, folder: Path, work: Callable[[Cluster], Awaitable[None]]) -> None:
    """Do the work on the cluster of a server."""

    async def run() -> None:
        application = web.Application()
        application.router.add_get("/{path:.*}", server.answer)
        async with TestServer(application) as running:
            config = {
                "current-context": "c",
                "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": "team"}}],
                "clusters": [{"name": "c", "cluster": {"server": str(running.make_url("/")).rstrip("/")}}],
                "users": [{"name": "u", "user": {"token": "t"}}],
            }
            (folder / "config").write_text(yaml.safe_dump(config))
            async with connected(Place(str(folder / "config"))) as cluster:
                await work(cluster)

    asyncio.run(run())


def test_a_tree_reads_rows_of_its_tasks_by_pages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    server = Server()
    ask(server, tmp_path, lambda cluster: views.show_tree(cluster, "j000", every=False, form=None))
    assert capsys.readouterr().out.splitlines()[-1] == f"└── … and {TASKS - 20} more BatchTasks (--all shows them)"
    lists = [(query, accept) for what, query, accept in server.asked if what == "batchtasks"]
    assert len(lists) == TASKS / 500
    for number, (query, accept) in enumerate(lists):
        assert query == {"limit": "500", "includeObject": "None", "fieldSelector": "spec.jobRef.name=j000"} | (
            {"continue": str(number * 500)} if number else {}
        )
        assert accept == TABLE


def test_where_the_api_server_does_not_select_all_rows_are_read_and_one_request_more_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server = Server(selects=False)
    ask(server, tmp_path, lambda cluster: views.show_tree(cluster, "other", every=False, form=None))
    assert "BatchTask" not in capsys.readouterr().out, "they are tasks of another job"
    lists = [query for what, query, _ in server.asked if what == "batchtasks"]
    assert len(lists) == TASKS / 500 + 1
    assert ["fieldSelector" in query for query in lists] == [True] + [False] * (len(lists) - 1)


def top(**scope: Any) -> Callable[[Cluster], Awaitable[None]]:
    """The command."""
    return lambda cluster: views.show_top(cluster, views.Scope(**scope), watch=False)


@pytest.mark.parametrize(
    ("work", "selector"),
    [
        (top(), {"fieldSelector": OPEN}),
        (top(every=True), {}),
        (lambda cluster: cost_command.run(cluster, None), {"fieldSelector": OPEN}),
    ],
    ids=["top", "top --all", "cost"],
)
def test_jobs_are_read_by_pages_and_only_those_that_are_shown(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    work: Callable[[Cluster], Awaitable[None]],
    selector: dict[str, str],
) -> None:
    server = Server()
    ask(server, tmp_path, work)
    assert "j249" in capsys.readouterr().out
    assert [(what, query) for what, query, _ in server.asked] == [
        ("batchpools", {"limit": "100"}),
        ("batchjobs", {"limit": "100", **selector}),
        ("batchjobs", {"limit": "100", **selector, "continue": "100"}),
        ("batchjobs", {"limit": "100", **selector, "continue": "200"}),
    ]


@pytest.mark.parametrize("command", ["top", "cost"])
def test_of_an_object_only_what_is_shown_is_kept(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a job with a large spec a small part; the next one is read when that is cut."""
    alive = most = 0

    class Large(dict[str, Any]):
        def __init__(self, body: Body) -> None:
            nonlocal alive, most
            super().__init__(body)
            alive += 1
            most = max(most, alive)

        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    class Many:
        namespace = "team"

        async def list(self, kind: Kind, *, everywhere: bool = False, fields: str = "") -> AsyncIterator[Body]:
            for made in [pool()] if kind is Kind.POOL else (job(f"j{number}") for number in range(100)):
                yield Large(made)

    work = top() if command == "top" else lambda cluster: cost_command.run(cluster, None)
    asyncio.run(work(Many()))  # type: ignore[arg-type]
    assert most <= 3


def test_top_prints_whole_objects_where_they_are_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ask(Server(), tmp_path, top(form=Form.JSON))
    assert json.loads(capsys.readouterr().out)["items"][1] == job("j000")


def test_the_columns_that_a_tree_shows_are_those_of_the_kind() -> None:
    columns = {column.name: column.path for column in KINDS[Kind.TASK].columns}
    assert columns["Job"] == ".spec.jobRef.name"
    assert columns["Phase"] == ".status.phase"
    assert columns["Exit"] == ".status.exitCode"
