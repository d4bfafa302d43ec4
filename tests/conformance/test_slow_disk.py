"""Trees of files can be large and disks slow: who asks for them waits, and nobody else; what they ask for may be gone by then."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from azure_batch_emulator.executors import process
from azure_batch_emulator.executors.base import NodePlace
from azure_batch_emulator.executors.disk import DiskFiles
from azure_batch_emulator.web.storage import Storage
from support.emulator_thread import EmulatorThread, wait_until

MACHINE = {
    "imageReference": {"publisher": "canonical", "offer": "0001-com-ubuntu-server-jammy", "sku": "22_04-lts"},
    "nodeAgentSKUId": "batch.node.ubuntu 22.04",
}
PATIENCE = 20.0
FILES = "/jobs/job/tasks/t/files"


class Door:
    """A part of the emulator that is slow until the test lets it go on."""

    def __init__(self) -> None:
        self.entered, self.open = threading.Event(), threading.Event()

    def before(self, part: Callable[..., Any]) -> Callable[..., Any]:
        def slow(*args: Any, **options: Any) -> Any:
            self.entered.set()
            assert self.open.wait(PATIENCE), "nobody was answered meanwhile"
            return part(*args, **options)

        return slow

    def answers_others(self, emulator: EmulatorThread) -> None:
        """While it is slow, the emulator answers; then it may go on."""
        assert self.entered.wait(PATIENCE)
        try:
            assert emulator.call("GET", "/pools/pool", timeout=PATIENCE / 2)[0] == 200
        finally:
            self.open.set()


def task_state(emulator: EmulatorThread) -> str:
    state: str = json.loads(emulator.call("GET", "/jobs/job/tasks/t")[2])["state"]
    return state


@pytest.fixture
def node(emulator: EmulatorThread) -> EmulatorThread:
    pool = {"id": "pool", "vmSize": "standard_d2_v3", "virtualMachineConfiguration": MACHINE, "targetDedicatedNodes": 1}
    assert emulator.call("POST", "/pools", pool)[0] == 201
    assert emulator.call("POST", "/jobs", {"id": "job", "poolInfo": {"poolId": "pool"}})[0] == 201
    return emulator


@pytest.mark.parametrize(
    ("part", "method", "path"),
    [
        ("list", "GET", f"{FILES}?recursive=true"),
        ("open", "GET", f"{FILES}/stdout.txt"),
        ("open", "HEAD", f"{FILES}/stdout.txt"),
        ("delete", "DELETE", f"{FILES}/wd?recursive=true"),
    ],
)
def test_a_slow_disk_holds_up_nobody_else(
    node: EmulatorThread, monkeypatch: pytest.MonkeyPatch, part: str, method: str, path: str
) -> None:
    node.call("POST", "/jobs/job/tasks", {"id": "t", "commandLine": "/bin/echo hello"})
    wait_until(lambda: task_state(node) == "completed", "the task is over")
    door = Door()
    monkeypatch.setattr(DiskFiles, part, door.before(getattr(DiskFiles, part)))
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(node.call, method, path)
        door.answers_others(node)
        assert answer.result(PATIENCE)[0] == 200


def test_the_choice_of_output_files_holds_up_nobody_else(node: EmulatorThread, monkeypatch: pytest.MonkeyPatch) -> None:
    door = Door()
    monkeypatch.setattr(process, "plan_uploads", door.before(process.plan_uploads))
    container = {"containerUrl": f"{node.endpoint}/storage/output"}
    output = {
        "filePattern": "../std*.txt",
        "destination": {"container": container},
        "uploadOptions": {"uploadCondition": "taskcompletion"},
    }
    node.call("POST", "/jobs/job/tasks", {"id": "t", "commandLine": "/bin/echo hello", "outputFiles": [output]})
    door.answers_others(node)
    wait_until(lambda: task_state(node) == "completed", "the task is over")
    assert node.call("HEAD", f"{FILES}/fileuploadout.txt")[0] == 200


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.usefixtures("no_traceback")
def test_a_file_that_goes_after_it_was_found_is_not_found(
    node: EmulatorThread, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    node.call("POST", "/jobs/job/tasks", {"id": "t", "commandLine": "/bin/echo hello"})
    wait_until(lambda: task_state(node) == "completed", "the task is over")
    find = DiskFiles.open if method == "GET" else DiskFiles.resolve

    def found(files: DiskFiles, place: NodePlace, base: str, path: str) -> Any:
        there = find(files, place, base, path)
        (files.root(place) / base / path).unlink()
        return there

    monkeypatch.setattr(DiskFiles, find.__name__, found)
    assert node.call(method, f"{FILES}/stdout.txt")[0] == 404


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.usefixtures("no_traceback")
def test_a_blob_whose_bytes_go_after_it_was_found_is_not_found(
    emulator: EmulatorThread, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    assert emulator.call("PUT", "/storage/c/blob", None)[0] == 201
    get = Storage._get

    async def gone(storage: Storage, request: Any, blob: Any) -> Any:
        blob.file.unlink()
        return await get(storage, request, blob)

    monkeypatch.setattr(Storage, "_get", gone)
    assert emulator.call(method, "/storage/c/blob")[0] == 404
