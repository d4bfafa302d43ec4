"""Commands that people type by mistake say so, or do what was meant."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from click.testing import CliRunner

import demo.__main__ as demo
from azure_batch_operator.generate import ROOT
from localcluster.cluster import LocalCluster

_WRITTEN = {"site", "dist", "build", "__pycache__"}
"""Folders that commands of the repository make."""
FOLDERS = sorted(
    each.name
    for each in ROOT.iterdir()
    if each.is_dir()
    and not each.name.startswith(".")
    and each.name not in _WRITTEN
    and not each.name.endswith("egg-info")
)


def _make(*arguments: str) -> subprocess.CompletedProcess[str]:
    """What `make` does when a person types it, also where the tests themselves are run by `make` (`make test`)."""
    environment = {
        name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "MFLAGS", "MAKELEVEL"}
    }
    return subprocess.run(["make", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_the_folders_are_seen() -> None:
    assert {"tests", "docs", "operator"} <= set(FOLDERS)


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_is_not_taken_for_a_target_that_is_up_to_date(name: str) -> None:
    done = _make("--dry-run", name)
    assert "Nothing to be done" not in done.stdout
    assert "is up to date" not in done.stdout


def test_a_name_that_is_no_target_leads_to_the_list() -> None:
    done = _make("operator")
    assert done.returncode == 2
    assert "There is no target operator: 'make help' lists the targets" in done.stderr


def test_help_lists_every_documented_target() -> None:
    documented = re.findall(r"(?m)^([^\s:]+):.* ## ", (ROOT / "Makefile").read_text())
    done = _make("help")
    assert done.returncode == 0
    listed = [line.split()[0] for line in done.stdout.splitlines()]
    assert "e2e" in documented
    assert listed == documented


def test_the_path_that_the_demo_prints_has_kubectl_and_the_plugin(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "kubectl").write_text("#!/bin/sh\n")
    (tmp_path / "kubectl").chmod(0o755)
    cluster = SimpleNamespace(kubeconfig="k", programs=SimpleNamespace(kubectl=tmp_path / "kubectl"))
    demo._tell_how_to_look_around(cast("LocalCluster", cluster), "More")
    [printed] = re.findall(r"PATH=(\S+):\$PATH", capsys.readouterr().out)
    assert shutil.which("kubectl", path=printed) == str(tmp_path / "kubectl")
    assert shutil.which("kubectl-azure_batch", path=printed) is not None


def test_no_demo_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(demo, "FOLDER", tmp_path)
    done = CliRunner().invoke(demo.main, ["--down"])
    assert (done.exit_code, done.output) == (0, "▸ No demo runs\n")
