"""files cp: where the files of a directory go."""

from __future__ import annotations

from pathlib import Path

import pytest

from azure_batch_kubectl.failure import FailureError
from azure_batch_kubectl.files_command import inside

HERE = Path("/here")


@pytest.mark.parametrize(
    ("name", "path", "local"),
    [("wd/a/b.txt", "wd", "/here/a/b.txt"), ("wd/b.txt", "/wd/", "/here/b.txt"), ("wd/b.txt", "", "/here/wd/b.txt")],
)
def test_a_file_keeps_its_place_in_the_directory(name: str, path: str, local: str) -> None:
    assert inside(HERE, name, path) == Path(local)


@pytest.mark.parametrize("name", ["wd/../../etc/passwd", "wd/..\\x", "/etc/passwd"])
def test_no_file_goes_out_of_the_directory(name: str) -> None:
    with pytest.raises(FailureError, match="leads out of /here"):
        inside(HERE, name, "wd" if name.startswith("wd") else "")
