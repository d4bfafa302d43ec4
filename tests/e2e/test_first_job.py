"""The newcomer's pages: the five commands of docs/first-job.md run as they stand there; all manifests in docs/ are valid."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
from pathlib import Path

import pytest
import yaml

from localcluster import LocalCluster
from stage import DEFAULT_PORT, REPOSITORY

PAGE = REPOSITORY / "docs" / "first-job.md"
MANIFESTS = sorted(
    path for path in (REPOSITORY / "docs").glob("*.md") if "apiVersion: azurebatch.io" in path.read_text()
)


def commands() -> list[str]:
    [block] = re.findall(r"```bash\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return [line for line in block.splitlines() if line]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_five_commands_lead_from_nothing_to_a_finished_job(cluster: LocalCluster, tmp_path: Path) -> None:
    lines = commands()
    assert len(lines) == 5
    # The page uses the checkout's own cluster and the emulator's usual port; a test must leave both to people.
    port, root, samples = free_port(), tmp_path / "cluster", tmp_path / "samples"
    shutil.copytree(REPOSITORY / "manifests" / "samples", samples)
    for path in samples.rglob("*.yaml"):
        path.write_text(path.read_text().replace(f"http://127.0.0.1:{DEFAULT_PORT}", f"http://127.0.0.1:{port}"))
    replaced = {
        "make cluster": f"python -m localcluster --root {root} up",
        "$PWD/.localcluster": str(root),
        "azure-batch-emulator ": f"azure-batch-emulator --port {port} ",
        "manifests/samples": str(samples),
    }
    script = "\n".join(lines)
    for before, after in replaced.items():
        assert before in script
        script = script.replace(before, after)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", f"trap 'kill $(jobs -p); wait' EXIT\n{script}"],
        cwd=REPOSITORY,
        env={**os.environ, "PATH": f"{REPOSITORY}/.venv/bin:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        assert done.returncode == 0, done.stdout + done.stderr
        assert "batchjob.azurebatch.io/render condition met" in done.stdout
    finally:
        subprocess.run(
            [f"{REPOSITORY}/.venv/bin/python", "-m", "localcluster", "--root", str(root), "down"], check=True
        )


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_manifests_in_the_documentation_are_valid(installed: LocalCluster, path: Path) -> None:
    # Indentation of a list item around a block is no part of it.
    blocks = re.findall(r"^( *)```yaml\n(.*?)^ *```", path.read_text(), re.DOTALL | re.MULTILINE)
    objects = [
        each
        for indent, block in blocks
        for each in yaml.safe_load_all(re.sub(f"^{indent}", "", block, flags=re.MULTILINE))
        if isinstance(each, dict) and "apiVersion" in each
    ]
    assert objects
    for namespace in {each["metadata"].get("namespace", "default") for each in objects}:
        named = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
        installed.kubectl("apply", "-f", "-", input=json.dumps(named))
    listed = {"apiVersion": "v1", "kind": "List", "items": objects}
    installed.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", "-", input=json.dumps(listed))
