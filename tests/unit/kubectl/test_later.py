"""What is loaded for `--help` and for completion: nothing that takes long."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from azure_batch_kubectl.later import later
from azure_batch_operator.generate import ROOT

SLOW = ("aiohttp", "azure", "kubernetes", "pydantic", "rich", "yaml")


@pytest.mark.parametrize("words", [["--help"], ["top", "--help"], ["nodes", "reboot", "--help"]])
def test_help_loads_none_of_the_large_libraries(words: list[str]) -> None:
    program = (
        "import sys\nfrom azure_batch_kubectl.cli import plugin\n"
        f"plugin({words!r}, standalone_mode=False)\nprint({{*sys.modules}} & {{*{SLOW!r}}})"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "kubectl")}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("Usage: ")
    assert done.stdout.splitlines()[-1] == "set()"


def test_a_module_that_is_missing_is_named() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"azure_batch_kubectl\.nothing"):
        later("nothing")
