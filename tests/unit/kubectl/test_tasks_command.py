"""tasks ls: the rows, the filter, and a table for each page."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from click.testing import Result

from azure_batch_kubectl import output, tasks_command
from azure_batch_kubectl.choices import Form
from azure_batch_operator.batch.errors import NotFoundError
from unit.kubectl.conftest import Body, FakeCluster

Run = Callable[..., Result]
NOW = datetime(2026, 5, 1, 0, 1, tzinfo=UTC)


class Client:
    """Two pages of tasks."""

    def __init__(self, *pages: list[Body]) -> None:
        self.pages, self.tasks, self.asked = pages, self, []  # type: ignore[var-annotated]

    async def list_pages(self, _: str, **options: Any) -> AsyncIterator[list[Body]]:
        self.asked.append(options["filter"])
        self.select = options["select"]
        for page in self.pages:
            self.before_page()
            yield page

    def before_page(self) -> None:
        """A page is asked for."""

    async def get(self, _: str, task: str, **__: Any) -> Body:
        found = [body for page in self.pages for body in page if body["id"] == task]
        if not found:
            raise NotFoundError("there is none", status=404, code="TaskNotFound")
        return found[0]


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Client:
    made = Client([{"id": "1", "state": "running"}], [], [{"id": "2", "state": "active"}])

    @asynccontextmanager
    async def opened(*_: object) -> AsyncIterator[tuple[Client, str]]:
        yield made, "render"

    monkeypatch.setattr("azure_batch_kubectl.remote.opened", opened)
    return made


def test_a_row_of_the_list() -> None:
    run = {"startTime": "2026-05-01T00:00:00Z", "exitCode": 3, "result": "failure", "retryCount": 0}
    task = {"id": "t", "state": "completed", "executionInfo": run, "nodeInfo": {"nodeId": "n1"}}
    assert tasks_command.row(task, NOW) == ("t", "completed", "failure", 3, 0, "60s", "n1")
    assert tasks_command.row({"id": "t", "state": "active"}, NOW) == ("t", "active", "", "", "", "", "")


def test_each_page_is_printed(client: Client, fake: FakeCluster, run: Run) -> None:
    lines = [line.split() for line in run("tasks", "ls", "render").stdout.splitlines()]
    assert [words[0] for words in lines] == ["TASK", "1", "2"]
    assert client.asked == [None]


def test_names_are_printed_page_by_page_and_nothing_else_is_asked_for(
    client: Client, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    printed: list[str] = []
    monkeypatch.setattr(client, "before_page", lambda: printed.append(capsys.readouterr().out))
    asyncio.run(tasks_command.show(FakeCluster(), "render", (), failed=False, form=Form.NAME))  # type: ignore[arg-type]
    assert [*printed, capsys.readouterr().out] == ["", "1\n", "", "2\n"]
    assert client.select == ("id",)


def test_tasks_are_chosen_by_azure_batch(client: Client, fake: FakeCluster, run: Run) -> None:
    assert run("tasks", "ls", "render", "--state", "active", "--state", "completed", "--failed").exit_code == 0
    assert client.asked == ["(state eq 'active' or state eq 'completed') and (executionInfo/result eq 'failure')"]


def test_one_task(client: Client, fake: FakeCluster, run: Run) -> None:
    assert run("tasks", "ls", "render/2", "-o", "name").stdout == "2\n"
    assert run("tasks", "ls", "render/2", "--state", "active", "-o", "name").stdout == "2\n"
    missing = run("tasks", "ls", "render/3")
    assert missing.exit_code == 1
    assert missing.stderr.startswith("error: job 'render' has no task '3': ")
    assert run("tasks", "ls", "bp/cpu/n1").stderr.startswith("error: 'bp/cpu/n1' is not a job or a task: ")


@pytest.mark.parametrize("option", [("--failed",), ("--state", "completed")])
def test_one_task_that_is_not_chosen_is_not_printed(
    client: Client, fake: FakeCluster, run: Run, option: tuple[str, ...]
) -> None:
    done = run("tasks", "ls", "render/2", *option)
    assert (done.stdout, done.stderr) == ("", "BatchJob render has no such tasks.\n")


@pytest.mark.parametrize("form", [Form.JSON, Form.YAML])
def test_data_is_printed_page_by_page(
    client: Client, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, form: Form
) -> None:
    """A job may have a million tasks."""
    printed: list[str] = []
    monkeypatch.setattr(client, "before_page", lambda: printed.append(capsys.readouterr().out))
    asyncio.run(tasks_command.show(FakeCluster(), "render", (), failed=False, form=form))  # type: ignore[arg-type]
    assert ["active" in text for text in (*printed, capsys.readouterr().out)] == [False, False, False, True]
    assert "running" in printed[1]


@pytest.mark.parametrize(
    "items", [[], [{"id": "1"}], [{"id": "ä\n: '", "none": None, "in": [], "deep": {"a": [{"b": "1"}]}}, {"id": "2"}]]
)
@pytest.mark.parametrize("form", [Form.JSON, Form.YAML])
def test_pages_are_printed_as_one_list(items: list[Body], form: Form, capsys: pytest.CaptureFixture[str]) -> None:
    async def pages() -> AsyncIterator[list[Body]]:
        for item in items:
            yield [item]
            yield []

    asyncio.run(output.stream(form, pages()))  # type: ignore[arg-type]
    streamed = capsys.readouterr().out
    output.emit(form, items, str)  # type: ignore[arg-type]
    assert streamed == capsys.readouterr().out
