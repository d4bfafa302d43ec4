"""Lists of very many files: each page costs what is on it, not what the whole tree holds."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

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


def test_a_list_goes_on_after_any_name_whether_it_is_still_there_or_not(tmp_path: Path) -> None:
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
