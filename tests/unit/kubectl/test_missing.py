"""Every command that reads files says why a file is not there, although the answer to a HEAD does not, and what to do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import Result

from azure_batch_kubectl import remote
from azure_batch_operator.batch.errors import BatchError, ConflictError, InvalidRequestError, NotFoundError
from unit.kubectl.conftest import Body
from unit.kubectl.test_reading import Stream

Run = Callable[..., Result]
GONE = ConflictError("the files are unavailable", status=409, code="TaskFilesUnavailable")
KEEP = "set spec.logs.upload of the BatchJob or outputFiles of the task"


class Files:
    """A HEAD fails without a code, and a GET with one."""

    def __init__(self, head: BatchError, get: BatchError | None) -> None:
        self.head, self.told = head, get

    async def properties(self, *_: str) -> Any:
        raise self.head

    @asynccontextmanager
    async def get(self, *_: str, **__: Any) -> AsyncIterator[Stream]:
        if self.told is not None:
            raise self.told
        yield Stream(b"a", breaks=False)

    async def list(self, *_: str, **__: Any) -> AsyncIterator[Body]:
        if self.told is not None:
            raise self.told
        yield {"name": "stdout.txt"}


class Tasks:
    async def get(self, *_: str, **__: Any) -> Body:
        return {"id": "t", "state": "completed"}


@pytest.fixture
def with_files(monkeypatch: pytest.MonkeyPatch) -> Callable[[BatchError, BatchError | None], None]:
    def use(head: BatchError, get: BatchError | None) -> None:
        files = Files(head, get)

        @asynccontextmanager
        async def opened(*_: object) -> AsyncIterator[tuple[Any, str]]:
            yield SimpleNamespace(task_files=files, node_files=files, tasks=Tasks()), "j"

        monkeypatch.setattr(remote, "opened", opened)

    return use


Use = Callable[[BatchError, BatchError | None], None]


def head(status: int) -> BatchError:
    kind = NotFoundError if status == 404 else ConflictError
    return kind("the service gave no reason", status=status, operation="Tasks_GetTaskFileProperties")


@pytest.mark.parametrize("gone", ["TaskFilesUnavailable", "TaskFilesCleanedup"])
@pytest.mark.parametrize(
    "words",
    [
        ("files", "ls", "j/t"),
        ("files", "cat", "j/t:stdout.txt"),
        ("files", "cp", "j/t:stdout.txt", "copy"),
        ("files", "cp", "j/t", "copy"),
        ("logs", "j/t"),
        ("logs", "j/t", "--tail", "3"),
        ("logs", "-f", "j/t"),
    ],
)
def test_files_that_are_gone_are_said_with_what_keeps_output(
    run: Run, with_files: Use, tmp_path: Path, words: tuple[str, ...], gone: str
) -> None:
    with_files(head(409), ConflictError("not on the node", status=409, code=gone))
    done = run(*(str(tmp_path / word) if word == "copy" else word for word in words))
    assert done.exit_code == 1
    assert f"is not available: {gone}: not on the node" in done.stderr
    assert KEEP in done.stderr
    assert "gave no reason" not in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("status", "get", "says"),
    [
        (
            404,
            NotFoundError("no such file", status=404, code="FileNotFound"),
            "'j/t:x' does not exist: kubectl azure-batch files ls j/t lists files; what a command writes is in wd/, such as wd/x",
        ),
        (
            409,
            NotFoundError("no such file", status=404, code="FileNotFound"),
            "'j/t:x' does not exist: kubectl azure-batch files ls j/t lists files; what a command writes is in wd/, such as wd/x",
        ),
        (409, ConflictError("busy", status=409, code="NodeBeingCreated"), "error: NodeBeingCreated: busy"),
        # Nothing better is known.
        (409, None, "the service gave no reason"),
        (409, InvalidRequestError("empty", status=416, code="InvalidRange"), "the service gave no reason"),
    ],
)
def test_other_reasons_are_said_as_they_are(
    run: Run, with_files: Use, status: int, get: BatchError | None, says: str
) -> None:
    with_files(head(status), get)
    done = run("files", "cat", "j/t:x")
    assert done.exit_code == 1
    assert says in done.stderr
    assert KEEP not in done.stderr


@pytest.mark.parametrize(
    ("path", "remedy"),
    [
        ("j/t:wd/x", "'j/t:wd/x' does not exist: kubectl azure-batch files ls j/t lists files\n"),
        (
            "bp/cpu/n1:startup/x",
            "'bp/cpu/n1:startup/x' does not exist: kubectl azure-batch files ls bp/cpu/n1 lists files\n",
        ),
    ],
)
def test_only_what_may_be_in_the_working_directory_of_a_task_is_looked_for_there(
    run: Run, with_files: Use, path: str, remedy: str
) -> None:
    with_files(head(404), NotFoundError("no such file", status=404, code="FileNotFound"))
    done = run("files", "cat", path)
    assert done.exit_code == 1
    assert done.stderr == f"error: {remedy}"


def test_logs_of_a_task_that_is_not_there_name_the_command_that_lists_the_tasks(
    run: Run, with_files: Use, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def no_task(*_: str, **__: Any) -> Body:
        raise NotFoundError("no such task", status=404, code="TaskNotFound")

    with_files(head(404), NotFoundError("no such task", status=404, code="TaskNotFound"))
    monkeypatch.setattr(Tasks, "get", no_task)
    done = run("logs", "render/none")
    assert done.exit_code == 1
    assert done.stderr == "error: job 'j' has no task 'none': kubectl azure-batch tasks ls render lists them\n"
