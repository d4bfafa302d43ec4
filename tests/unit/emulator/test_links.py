"""Links that a task has put somewhere on its node: what the emulator reads, lists and writes afterwards stays on the node."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from azure_batch_emulator.clock import LoopClock
from azure_batch_emulator.executors.base import FileContent, NodePlace, RunRequest, RunResult
from azure_batch_emulator.executors.disk import DiskFiles
from azure_batch_emulator.executors.process import ProcessExecutor
from azure_batch_emulator.executors.transfer import TransferError, download_resources

PLACE = NodePlace("account", "pool", "node")
TASK = "workitems/job/job-1/t"


class Over:
    """Waits for the result of a run."""

    def __init__(self) -> None:
        self.result: asyncio.Future[RunResult] = asyncio.get_running_loop().create_future()

    def on_started(self) -> None:
        """Nothing."""

    def on_returned(self) -> None:
        """Nothing."""

    def on_finished(self, result: RunResult) -> None:
        self.result.set_result(result)


def outcome(directory: Path, before: Callable[[Path], None], command: str = "/bin/true", **more: Any) -> RunResult:
    """What comes of a task on a node that has been tampered with."""

    async def run() -> RunResult:
        executor = ProcessExecutor(directory, LoopClock())
        await executor.start_up()
        try:
            executor.add_node(PLACE)
            before(executor.files.root(PLACE))
            over = Over()
            executor.start(RunRequest(PLACE, TASK, command, lambda _: {}, "job/t", **more), over)
            return await asyncio.wait_for(over.result, 20.0)
        finally:
            await executor.close()

    return asyncio.run(run())


@pytest.mark.parametrize("link", ["workitems/job", "workitems/job/job-1", TASK, f"{TASK}/wd", "workitems"])
def test_no_task_runs_in_a_directory_that_a_link_has_led_out_of_the_node(tmp_path: Path, link: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()

    def tamper(root: Path) -> None:
        place = root / link
        if place.is_dir():
            place.rmdir()
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(outside)

    result = outcome(tmp_path / "data", tamper)
    assert result.failure is not None
    assert result.failure[1] == "ResourceDirectoryCreateFailed"
    assert ("Message", "A link leads out of the node") in result.failure[3]
    assert list(outside.iterdir()) == []


def test_a_link_to_another_directory_of_the_node_is_followed(tmp_path: Path) -> None:
    def tamper(root: Path) -> None:
        (root / "workitems" / "job").symlink_to(root / "shared")

    assert outcome(tmp_path, tamper).exit_code == 0
    assert (tmp_path / "account" / "pool" / "node" / "shared" / "job-1" / "t" / "stdout.txt").is_file()


def test_the_logs_of_uploads_are_not_written_outside(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    output = {
        "filePattern": "x",
        "destination": {"container": {"containerUrl": "http://127.0.0.1/c"}},
        "uploadOptions": {"uploadCondition": "taskcompletion"},
    }
    command = f"/bin/sh -c 'cd ../..; rm -r t; ln -s \"{outside}\" t'"
    result = outcome(tmp_path / "data", lambda _: None, command, output_files=[output])
    assert result.failure is not None
    assert result.failure[1] == "FileUploadMiscError"
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize("to", ["outside", "shared", "circle"])
def test_resource_files_follow_links_as_far_as_the_node_goes(tmp_path: Path, to: str) -> None:
    root, outside = tmp_path / "node", tmp_path / "outside"
    working = root / TASK / "wd"
    for directory in (working, outside, root / "shared"):
        directory.mkdir(parents=True)
    (working / "in").symlink_to({"outside": outside, "shared": root / "shared", "circle": "in"}[to])

    async def answer(_: web.BaseRequest) -> web.Response:
        return web.Response(text="content")

    async def run() -> None:
        runner = web.ServerRunner(web.Server(answer))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        try:
            async with aiohttp.ClientSession() as session:
                file = {"httpUrl": f"http://{host}:{port}/c/b", "filePath": "in/deep/file"}
                await download_resources(session, [file], working, root, "")
        finally:
            await runner.cleanup()

    if to == "shared":
        asyncio.run(run())
        assert (root / "shared" / "deep" / "file").read_text() == "content"
    else:
        with pytest.raises(TransferError, match="ResourceFileCreateFailed"):
            asyncio.run(run())
    assert list(outside.iterdir()) == []


def test_links_that_lead_in_a_circle_lead_nowhere(tmp_path: Path) -> None:
    files = DiskFiles(tmp_path)
    files.add_node(PLACE)
    circle = files.root(PLACE) / "workitems" / "job"
    circle.symlink_to(circle)
    for call in (
        lambda: files.list(PLACE, TASK, recursive=True),
        lambda: files.open(PLACE, TASK, "x"),
        lambda: files.delete(PLACE, TASK, "x", recursive=True),
    ):
        with pytest.raises(FileNotFoundError):
            call()


async def _read(content: FileContent) -> bytes:
    return b"".join([chunk async for chunk in content.read(0, 8)])


@pytest.mark.parametrize("instead", ["nothing", "link", "directory", "pipe"])
def test_a_file_that_is_replaced_before_it_is_read_is_an_error_of_the_disk(tmp_path: Path, instead: str) -> None:
    files = DiskFiles(tmp_path)
    files.add_node(PLACE)
    task = files.root(PLACE) / TASK
    task.mkdir(parents=True)
    (task / "x").write_text("x")
    content = files.open(PLACE, TASK, "x")
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    (task / "x").unlink()
    if instead == "link":
        task.rmdir()
        task.symlink_to("/usr")
    elif instead == "directory":
        (task / "x").mkdir()
    elif instead == "pipe":
        os.mkfifo(task / "x")
    for _ in range(3):
        with pytest.raises(OSError):
            asyncio.run(_read(content))
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


@pytest.mark.parametrize("left", ["directory", "file", "link", "nothing"])
def test_leftovers_of_an_earlier_emulator_keep_nothing_alive(tmp_path: Path, left: str) -> None:
    grave = tmp_path / ".trash" / "1"
    if left == "directory":
        (grave / "deep").mkdir(parents=True)
    elif left != "nothing":
        grave.parent.mkdir()
        grave.symlink_to(tmp_path) if left == "link" else grave.write_text("")

    async def run() -> bool:
        executor = ProcessExecutor(tmp_path, LoopClock())
        await executor.start_up()
        try:
            executor.add_node(PLACE)
            (executor.files.root(PLACE) / TASK).mkdir(parents=True)
            executor.remove_directory(PLACE, TASK)
            (executor.files.root(PLACE) / TASK).symlink_to(tmp_path)
            executor.remove_directory(PLACE, TASK)
            executor.remove_node(PLACE)
            return executor.files.root(PLACE).exists()
        finally:
            await executor.close()

    assert asyncio.run(run()) is False
    assert list((tmp_path / ".trash").iterdir()) == []


def test_what_the_disk_does_not_let_go_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The directory of one task or node stays, and whoever removes many of them continues."""

    async def run() -> bool:
        executor = ProcessExecutor(tmp_path, LoopClock())
        await executor.start_up()
        try:
            executor.add_node(PLACE)
            directory = executor.files.root(PLACE) / TASK
            directory.mkdir(parents=True)
            (tmp_path / ".trash").write_text("no directory")
            executor.remove_directory(PLACE, TASK)
            executor.remove_node(PLACE)
            return directory.exists()
        finally:
            await executor.close()

    assert asyncio.run(run()) is True
    assert [record.getMessage().partition(" was not removed: ")[2] for record in caplog.records] == ["File exists"] * 2


@pytest.mark.parametrize("name", ["x", "deep"])
@pytest.mark.parametrize("moment", ["found", "opened"])
def test_the_target_of_a_link_that_replaces_a_directory_is_not_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str, name: str
) -> None:
    files = DiskFiles(tmp_path / "nodes")
    files.add_node(PLACE)
    inner, outside = files.root(PLACE) / TASK / "inner", tmp_path / "outside"
    for place in (inner, outside):
        (place / "deep").mkdir(parents=True)
        (place / "x").write_text("x")
        (place / "deep" / "y").write_text("y")
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208

    def replace_by_link() -> None:
        if not inner.is_symlink():
            inner.rename(tmp_path / "moved")
            inner.symlink_to(outside)

    resolve, open_ = DiskFiles.resolve, os.open

    def resolve_then_replace(*args: Any) -> Path:
        found = resolve(*args)
        replace_by_link()
        return found

    def replace_then_open(*args: Any, **options: Any) -> int:
        replace_by_link()
        return open_(*args, **options)

    if moment == "found":
        monkeypatch.setattr(DiskFiles, "resolve", resolve_then_replace)
    else:
        monkeypatch.setattr(os, "open", replace_then_open)
    with pytest.raises(FileNotFoundError):
        files.delete(PLACE, TASK, f"inner/{name}", recursive=True)
    monkeypatch.undo()
    assert (outside / "x").read_text() == "x"
    assert (outside / "deep" / "y").read_text() == "y"
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_a_link_is_deleted_and_not_what_it_leads_to(tmp_path: Path) -> None:
    files = DiskFiles(tmp_path)
    files.add_node(PLACE)
    task = files.root(PLACE) / TASK
    (task / "kept").mkdir(parents=True)
    (task / "kept" / "x").write_text("x")
    (task / "link").symlink_to("kept")
    files.delete(PLACE, TASK, "link/x", recursive=False)
    files.delete(PLACE, TASK, "link", recursive=True)
    assert [entry.name for entry in task.iterdir()] == ["kept"]
    assert list((task / "kept").iterdir()) == []
