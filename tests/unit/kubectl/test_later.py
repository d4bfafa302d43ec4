"""What is loaded for `--help`, for completion and for a command: nothing that takes long and is not needed."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

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


def test_a_command_loads_none_of_the_generated_classes_of_kubernetes(tmp_path: Path) -> None:
    # A port that is taken, and that nobody listens at.
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        cluster = {"server": f"http://127.0.0.1:{taken.getsockname()[1]}"}
        config = {
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": cluster}],
            "users": [{"name": "u", "user": {"token": "t"}}],
        }
        (tmp_path / "config").write_text(json.dumps(config))
        program = (
            "import sys\nfrom azure_batch_kubectl.cli import plugin\n"
            f"try: plugin(['top', '--kubeconfig', {str(tmp_path / 'config')!r}])\n"
            "except SystemExit: print(*(name for name in sys.modules if name.startswith("
            "('kubernetes.aio.client.api.', 'kubernetes.aio.client.models.'))))"
        )
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "kubectl")}
        done = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
        )
    assert done.stderr.startswith("error: the API server is unreachable: ")
    assert done.stdout == "\n"


def test_a_module_that_is_missing_is_named() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"azure_batch_kubectl\.nothing"):
        later("nothing")
