"""Lists of very many files: each page costs what is on it, not what the whole tree holds."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from azure_batch_emulator.executors import disk
from azure_batch_emulator.executors.base import NodePlace
from azure_batch_emulator.executors.disk import DiskFiles

PLACE = NodePlace("account", "pool", "node")
# Depth first, or by plain names, their order would be another one: "-" and "." come before "/", "0" after it.
NAMES = ["a", "a-", "a-/x", "a-/y", "a/x", "a/x/deep", "a0", "a0/x", "b", "é", "é/x", "z.txt", "z.txt-"]
DIRECTORIES = {"a-", "a", "a/x", "a0", "é"}


def tree(tmp_path: Path) -> DiskFiles:
    files = DiskFiles(tmp_path)
    files.add_node(PLACE)
    top = files.root(PLACE) / "t"
    for name in NAMES:
        place = top / name
        if name in DIRECTORIES:
            place.mkdir(parents=True)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(name)
    return files


def listed(files: DiskFiles, after: tuple[int, str] | None, *, recursive: bool = True) -> list[str]:
    return [info.name for info in files.list(PLACE, "t", recursive=recursive, after=after)]


def test_a_list_continues_after_any_name_whether_it_is_still_there_or_not(tmp_path: Path) -> None:
    files = tree(tmp_path)
    whole = sorted(NAMES, key=lambda name: (name.count("/"), name))
    assert listed(files, None) == whole
    for number, name in enumerate(whole, start=1):
        assert listed(files, (name.count("/"), name)) == whole[number:]
        assert listed(files, (name.count("/"), f"{name}\x01")) == whole[number:]
    assert listed(files, (7, "z")) == []
    assert listed(files, (1, "a-/x"), recursive=False) == []
    assert listed(files, None, recursive=False) == [name for name in whole if "/" not in name]


def test_a_page_looks_at_no_more_files_than_it_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = tree(tmp_path)
    looked: list[str] = []
    look = os.lstat

    def watched(path: str) -> os.stat_result:
        looked.append(os.path.basename(path))  # noqa: PTH119
        return look(path)

    page = files.list(PLACE, "t", recursive=True, after=(0, "b"))
    monkeypatch.setattr(os, "lstat", watched)
    assert [next(iter(page)).name for _ in range(4)] == ["z.txt", "z.txt-", "é", "a-/x"]
    assert looked == ["z.txt", "z.txt-", "x"]


def test_files_are_shown_as_they_are(tmp_path: Path) -> None:
    files = tree(tmp_path)
    (files.root(PLACE) / "t" / "link").symlink_to("a")
    found = {info.name: info for info in files.list(PLACE, "t", recursive=True)}
    assert {name for name, info in found.items() if info.is_directory} == DIRECTORIES
    assert (found["a-/x"].size, found["z.txt"].content_type, "link" in found) == (4, "text/plain", False)


class Scans:
    """How often directories are read, and a clock that runs ahead so that no directory counts as just changed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        scan, now = os.scandir, time.time_ns

        def counted(path: str) -> Any:
            self.count += 1
            return scan(path)

        monkeypatch.setattr(os, "scandir", counted)
        monkeypatch.setattr(time, "time_ns", lambda: now() + 60 * 10**9)


def flat(tmp_path: Path, number: int) -> tuple[DiskFiles, Path]:
    """A directory of very many files."""
    files = DiskFiles(tmp_path)
    files.add_node(PLACE)
    top = files.root(PLACE) / "t"
    top.mkdir()
    for index in range(number):
        (top / f"f{index:05}").touch()
    return files, top


def page_after(files: DiskFiles, last: str) -> list[str]:
    found = files.list(PLACE, "t", recursive=True, after=(0, last))
    return [info.name for info in islice(found, 1000)]


def changed(directory: Path, change: Callable[[], object]) -> None:
    """Change a directory in another tick of the file system's clock."""
    before = directory.stat().st_ctime_ns
    change()
    while directory.stat().st_ctime_ns == before:
        (directory / "tick").touch()
        (directory / "tick").unlink()


def test_a_flat_directory_is_read_once_for_all_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files, _ = flat(tmp_path, 5000)
    scans = Scans(monkeypatch)
    found: list[str] = []
    while page := page_after(files, found[-1] if found else ""):
        found += page
    assert found == [f"f{index:05}" for index in range(5000)]
    assert scans.count == 1


def test_a_page_shows_what_has_come_and_gone_since_the_page_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, top = flat(tmp_path, 2000)
    scans = Scans(monkeypatch)
    assert page_after(files, "")[-1] == "f00999"
    changed(top, lambda: (top / "f01000").rename(top / "f02000"))
    assert page_after(files, "f00999") == [f"f{index:05}" for index in range(1001, 2001)]
    assert scans.count == 2
    moved = tmp_path / "moved"
    top.rename(moved)
    top.mkdir()
    (top / "z").touch()
    assert page_after(files, "f00999") == ["z"]


def test_a_directory_that_has_just_changed_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A second change within the same tick of the clock leaves the directory's time as it is.
    files, top = flat(tmp_path, 2000)
    scans = Scans(monkeypatch)
    monkeypatch.setattr(time, "time_ns", lambda: top.stat().st_ctime_ns + 10**8)
    page_after(files, "")
    page_after(files, "")
    assert scans.count == 2


def test_a_directory_that_had_just_changed_when_it_was_read_for_long_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, top = flat(tmp_path, 2000)
    scans = Scans(monkeypatch)
    # It takes three seconds to read.
    monkeypatch.setattr(time, "time_ns", lambda: top.stat().st_ctime_ns + 10**8 + scans.count * 3 * 10**9)
    page_after(files, "")
    page_after(files, "")
    assert scans.count == 2


def test_little_is_kept_of_directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "_MAX_KEPT", 2500)
    files, top = flat(tmp_path, 2000)
    Scans(monkeypatch)
    for name in ("a", "b"):
        shutil.copytree(top, files.root(PLACE) / name)
        assert len(list(files.list(PLACE, name, recursive=False))) == 2000
    assert files.kept_entries == 2000
    for index in range(2000, 3000):
        (top / f"f{index:05}").touch()
    assert len(list(files.list(PLACE, "t", recursive=False))) == 3000
    assert files.kept_entries <= 2500
