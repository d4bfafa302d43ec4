"""Transfers that come to an end, whatever a pattern or a server says."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from azure_batch_emulator.executors.base import NodePlace
from azure_batch_emulator.executors.disk import DiskFiles
from azure_batch_emulator.executors.transfer import TransferError, download_resources, plan_uploads, upload_all


def output(pattern: str, url: str = "http://127.0.0.1/c") -> list[dict[str, Any]]:
    options = {"uploadCondition": "taskcompletion"}
    return [{"filePattern": pattern, "destination": {"container": {"containerUrl": url}}, "uploadOptions": options}]


def node(tmp_path: Path, *files: str) -> tuple[Path, Path]:
    """The directory of a node and the working directory of a task on it, with some files below the task's directory."""
    root = tmp_path / "node"
    working = root / "task" / "wd"
    working.mkdir(parents=True)
    for name in files:
        file = root / "task" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("x")
    return root, working


@pytest.mark.parametrize("pattern", ["/**", "/*", "../../../**/*", "../../../*", "/[a-z]*/**", "$OUT/*"])
def test_patterns_do_not_walk_the_machine(tmp_path: Path, pattern: str, monkeypatch: pytest.MonkeyPatch) -> None:
    root, working = node(tmp_path)
    walked: list[str] = []
    monkeypatch.setattr(os, "walk", lambda top: walked.append(top) or iter(()))
    assert plan_uploads(output(pattern), working, root, {"OUT": "/usr"}, success=True) == []
    assert walked == []


# The API document, filePattern: what wildcards and variables mean.
@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*.txt", ["a.txt"]),
        ("../*.txt", ["stdout.txt"]),
        ("**/*.txt", ["a.txt", "d/c.txt"]),
        ("**", ["a.txt", "abc", "d/c.txt"]),
        ("**/**/c.txt", ["d/c.txt"]),
        ("d/**/c.*", ["c.txt"]),
        ("**/.*", [".hidden"]),
        (".e/.*", [".b"]),
        ("ab[a-c]", ["abc"]),
        ("?.t[!a]t", ["a.txt"]),
        ("abc", ["abc"]),
        ("nothing", []),
        ("$AZ_BATCH_TASK_DIR/std*", ["stdout.txt"]),
        ("${AZ_BATCH_TASK_DIR}/stdout.txt", ["stdout.txt"]),
        ("$UNKNOWN/*", []),
        ("..\\std*", []),
    ],
)
def test_patterns_within_the_node(tmp_path: Path, pattern: str, names: list[str]) -> None:
    root, working = node(tmp_path, "stdout.txt", "wd/a.txt", "wd/abc", "wd/d/c.txt", "wd/.hidden", "wd/.e/.b")
    variables = {"AZ_BATCH_TASK_DIR": str(root / "task")}
    uploads = plan_uploads(output(pattern), working, root, variables, success=True)
    assert [upload.url.removeprefix("http://127.0.0.1/c/") for upload in uploads] == names


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("..\\STD*.txt", ["stdout.txt"]),
        ("%az_batch_task_dir%\\std*.txt", ["stdout.txt"]),
        ("D:\\batch\\tasks\\task\\wd\\D\\*", ["c.txt"]),
        ("d\\C.TXT", ["c.txt"]),
        ("**\\*.txt", ["a.txt", "d/c.txt"]),
        ("C:\\Windows\\*", []),
        ("%UNKNOWN%\\*", []),
    ],
)
def test_patterns_of_windows_nodes(tmp_path: Path, pattern: str, names: list[str]) -> None:
    root, working = node(tmp_path, "stdout.txt", "wd/a.txt", "wd/d/c.txt")
    variables = {"AZ_BATCH_TASK_DIR": "D:\\batch\\tasks\\task"}
    uploads = plan_uploads(output(pattern), working, root, variables, success=True, windows=True)
    assert [upload.url.removeprefix("http://127.0.0.1/c/") for upload in uploads] == names


def test_a_pattern_takes_one_walk_whatever_the_tree_and_the_pattern(tmp_path: Path) -> None:
    # With one walk for each ``**``, and links followed, each of the two would take longer than the universe has been there.
    root, working = node(tmp_path, "wd/" + "d/" * 60 + "x")
    for name in ("one", "two"):
        (working / name).symlink_to(working, target_is_directory=True)
    (upload,) = plan_uploads(output("**/" * 20 + "x"), working, root, {}, success=True)
    assert upload.url.endswith("/d/x")


def test_a_name_that_is_no_text_is_uploaded_as_it_is_shown(tmp_path: Path) -> None:
    root, working = node(tmp_path)
    (working / os.fsdecode(b"f\xffx")).write_text("x")
    for pattern in ("*", "f?x"):
        (upload,) = plan_uploads(output(pattern), working, root, {}, success=True)
        assert upload.url == "http://127.0.0.1/c/f%EF%BF%BDx"


def test_a_container_whose_url_is_none_fails_the_upload(tmp_path: Path) -> None:
    root, working = node(tmp_path, "wd/x")
    with pytest.raises(TransferError) as caught:
        plan_uploads(output("x", "http://[x/c"), working, root, {}, success=True)
    assert caught.value.code == "FileUploadMiscError"


def test_pipes_in_the_place_of_logs_hold_up_nobody(tmp_path: Path) -> None:
    logs = [tmp_path / "out.txt", tmp_path / "err.txt"]
    for log in logs:
        os.mkfifo(log)

    async def run() -> None:
        async with aiohttp.ClientSession() as session:
            await upload_all(session, [], *logs)

    asyncio.run(run())
    assert all(log.is_file() for log in logs)


def test_a_listing_that_never_ends_is_given_up(tmp_path: Path) -> None:
    asked: list[str] = []

    async def answer(request: web.BaseRequest) -> web.Response:
        asked.append(request.path_qs)
        if len(asked) > 10:
            return web.Response(status=500)
        return web.Response(text="<E><Blobs/><NextMarker>m</NextMarker></E>", content_type="application/xml")

    async def run() -> None:
        runner = web.ServerRunner(web.Server(answer))
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        try:
            async with aiohttp.ClientSession() as session:
                file = {"storageContainerUrl": f"http://{host}:{port}/c"}
                await download_resources(session, [file], tmp_path, "")
        finally:
            await runner.cleanup()

    with pytest.raises(TransferError, match="lists the same blobs again"):
        asyncio.run(run())
    assert len(asked) == 2


def test_a_file_that_may_not_be_read_is_not_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files, place = DiskFiles(tmp_path), NodePlace("account", "pool", "node")
    files.add_node(place)
    (files.root(place) / "shared" / "secret").write_text("x")
    assert files.open(place, "", "shared/secret").info.size == 1
    # Those who run tests as root may read everything.
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(FileNotFoundError):
        files.open(place, "", "shared/secret")
