"""Transfers that come to an end, whatever a pattern or a server says."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from azure_batch_emulator.clock import LoopClock
from azure_batch_emulator.executors.base import NodePlace
from azure_batch_emulator.executors.disk import DiskFiles, content_type
from azure_batch_emulator.executors.process import ProcessExecutor
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


def test_pipes_in_place_of_logs_block_nothing(tmp_path: Path) -> None:
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
                await download_resources(session, [file], tmp_path, tmp_path, "")
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


NO_FILES = [
    "D:\\batch\\tasks",
    "D:\\batch\\tasks\\",
    "D:\\batch\\tasksx\\*",
    "D:\\",
    "D:\\*",
    "\\",
    "\\*",
    "C:\\*",
    "",
    "*\0",
    "x\0",
    "..\\..\\D:\\x",
    "..\\..\\D:\\*",
]


@pytest.mark.parametrize("pattern", [*NO_FILES, *(text.replace("\\", "/") for text in NO_FILES), "$NUL/*", "$NUL"])
@pytest.mark.parametrize("windows", [False, True])
def test_a_pattern_that_stands_for_no_file_takes_none(tmp_path: Path, pattern: str, *, windows: bool) -> None:
    root, working = node(tmp_path)
    variables = {"NUL": f"{root}/\0"}
    assert plan_uploads(output(pattern), working, root, variables, success=True, windows=windows) == []


def test_the_root_of_a_windows_node_may_be_searched(tmp_path: Path) -> None:
    root, working = node(tmp_path, "wd/a.txt")
    (root / "top.txt").write_text("x")
    for pattern, names in (("*", ["top.txt"]), ("top.txt", ["top.txt"]), ("**\\a.txt", ["task/wd/a.txt"])):
        uploads = plan_uploads(output(f"D:\\BATCH\\tasks\\{pattern}"), working, root, {}, success=True, windows=True)
        assert [upload.url.removeprefix("http://127.0.0.1/c/") for upload in uploads] == names


@pytest.mark.parametrize("windows", [False, True])
@pytest.mark.parametrize("name", ["a[b]c", "a*", "?", "[!x]*"])
def test_the_name_of_the_data_directory_is_no_pattern(tmp_path: Path, name: str, *, windows: bool) -> None:
    (tmp_path / "abc").mkdir()
    root, working = node(tmp_path / name, "stdout.txt", "wd/a.txt")
    variables = {"AZ_BATCH_TASK_DIR": "D:\\batch\\tasks\\task" if windows else str(root / "task")}
    directory = "%AZ_BATCH_TASK_DIR%" if windows else "$AZ_BATCH_TASK_DIR"
    for pattern, found in (
        ("*.txt", "a.txt"),
        ("a.txt", "a.txt"),
        ("../s*", "stdout.txt"),
        (f"{directory}/s*", "stdout.txt"),
    ):
        (upload,) = plan_uploads(output(pattern), working, root, variables, success=True, windows=windows)
        assert upload.url == f"http://127.0.0.1/c/{found}"


@pytest.mark.parametrize("windows", [False, True])
@pytest.mark.parametrize(
    "pattern", ["link/*", "link/**", "link/x", "link/in/*", "LINK/*", "file", "fil?", "*/x", "link/../../*/x"]
)
def test_links_lead_out_of_the_node_for_no_pattern(
    tmp_path: Path, pattern: str, monkeypatch: pytest.MonkeyPatch, *, windows: bool
) -> None:
    root, working = node(tmp_path)
    outside = tmp_path / "outside" / "in"
    outside.mkdir(parents=True)
    for place in (outside, outside.parent):
        (place / "x").write_text("secret")
    (working / "link").symlink_to(outside.parent)
    (working / "file").symlink_to(outside / "x")
    walked: list[str] = []
    walk = os.walk

    def watched(top: str) -> Any:
        for step in walk(top):
            walked.append(step[0])
            yield step

    monkeypatch.setattr(os, "walk", watched)
    assert plan_uploads(output(pattern), working, root, {}, success=True, windows=windows) == []
    assert [place for place in walked if not os.path.realpath(place).startswith(str(root))] == []


def test_links_within_the_node_are_followed_as_far_as_the_pattern_names_them(tmp_path: Path) -> None:
    root, working = node(tmp_path, "wd/d/a.txt")
    (working / "there").symlink_to(working / "d")
    (working / "file").symlink_to("d/a.txt")
    for pattern, found in (("there/*", "a.txt"), ("there/a.txt", "a.txt"), ("fil*", "file"), ("file", "file")):
        (upload,) = plan_uploads(output(pattern), working, root, {}, success=True)
        assert (upload.url, upload.source) == (f"http://127.0.0.1/c/{found}", working / "d" / "a.txt")


@pytest.mark.parametrize(
    ("swapped", "error"),
    [("file", "OSError"), ("directory", "NotADirectoryError"), ("pipe", "OSError"), ("nothing", "FileNotFoundError")],
)
def test_a_link_that_is_made_after_the_files_were_chosen_leads_nowhere(
    tmp_path: Path, swapped: str, error: str
) -> None:
    # Another task of the node may run meanwhile.
    root, working = node(tmp_path, "wd/d/a.txt")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "a.txt").write_text("secret")
    uploads = plan_uploads(output("d/*"), working, root, {}, success=True)
    file = working / "d" / "a.txt"
    file.unlink()
    if swapped == "file":
        file.symlink_to(tmp_path / "outside" / "a.txt")
    elif swapped == "directory":
        file.parent.rmdir()
        file.parent.symlink_to(tmp_path / "outside")
    elif swapped == "pipe":
        os.mkfifo(file)
    logs = [tmp_path / "out.txt", tmp_path / "err.txt"]

    async def run() -> None:
        async with aiohttp.ClientSession() as session:
            await upload_all(session, uploads, *logs)

    with pytest.raises(TransferError) as caught:
        asyncio.run(run())
    assert caught.value.code == "FileUploadMiscError"
    assert logs[1].read_text() == f"a.txt -> http://127.0.0.1/c/a.txt: FileUploadMiscError: {error}\n"


def test_hidden_directories_are_not_walked_for_a_pattern_that_names_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, working = node(tmp_path, "wd/.git/objects/x", "wd/d/.cache/x", "wd/d/x")
    walked: list[str] = []
    walk = os.walk

    def watched(top: str) -> Any:
        for step in walk(top):
            walked.append(os.path.relpath(step[0], working))
            yield step

    monkeypatch.setattr(os, "walk", watched)
    assert len(plan_uploads(output("**/x"), working, root, {}, success=True)) == 1
    assert sorted(walked) == [".", "d"]


def test_a_task_directory_that_is_a_link_leads_out_of_the_node_for_nobody(tmp_path: Path) -> None:
    files, place = DiskFiles(tmp_path / "data"), NodePlace("account", "pool", "node")
    files.add_node(place)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "x").write_text("secret")
    (files.root(place) / "workitems" / "t").symlink_to(tmp_path / "outside")
    for call in (
        lambda: files.list(place, "workitems/t", recursive=True),
        lambda: files.open(place, "workitems/t", "x"),
        lambda: files.delete(place, "workitems/t", "x", recursive=True),
    ):
        with pytest.raises(FileNotFoundError):
            call()
    assert (tmp_path / "outside" / "x").read_text() == "secret"


def test_a_file_that_becomes_a_link_before_it_is_read_is_not_followed(tmp_path: Path) -> None:
    files, place = DiskFiles(tmp_path / "data"), NodePlace("account", "pool", "node")
    files.add_node(place)
    (tmp_path / "secret").write_text("secret")
    file = files.root(place) / "shared" / "x"
    file.write_text("harmless")
    content = files.open(place, "", "shared/x")
    file.unlink()
    file.symlink_to(tmp_path / "secret")

    async def run() -> bytes:
        return b"".join([chunk async for chunk in content.read(0, 8)])

    with pytest.raises(OSError, match="symbolic links"):
        asyncio.run(run())


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("a.txt", "text/plain"),
        ("a.b.c.d.txt", "text/plain"),
        ("a.tar.gz", "application/x-tar"),
        ("a.tgz", "application/x-tar"),
        (".txt", "application/octet-stream"),
        ("..txt", "application/octet-stream"),
        (".hidden.txt", "text/plain"),
        ("a", "application/octet-stream"),
        ("data:a,b.json", "application/json"),
        ("a.", "application/octet-stream"),
    ],
)
def test_the_type_of_a_file_follows_from_its_name(name: str, found: str) -> None:
    assert content_type(name) == found


@pytest.mark.parametrize("above", ["link", "file", "nothing", "directory"])
def test_files_above_the_task_directory_do_not_disturb_its_removal(tmp_path: Path, above: str) -> None:
    place = NodePlace("account", "pool", "node")
    outside = tmp_path / "outside"
    (outside / "t").mkdir(parents=True)
    (outside / "t" / "x").write_text("precious")

    async def run() -> bool:
        executor = ProcessExecutor(tmp_path / "data", LoopClock())
        executor.add_node(place)
        job = executor.files.root(place) / "workitems" / "job"
        if above == "link":
            job.symlink_to(outside)
        elif above == "file":
            job.write_text("")
        elif above == "directory":
            (job / "t").mkdir(parents=True)
        executor.remove_directory(place, "workitems/job/t")
        return (job / "t").exists()

    assert asyncio.run(run()) is (above == "link")
    assert (outside / "t" / "x").read_text() == "precious"
