"""The plugin for krew: its manifest agrees with the packaging, and what it installs starts."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
import yaml

from azure_batch_operator.generate import ROOT
from krew import archive
from krew.manifest import PLUGIN, PROCESSORS, PROGRAM, SYSTEMS, archive_name, dumped, manifest, template

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LAUNCHER = ROOT / "kubectl" / "krew" / PROGRAM
VERSION = f"python{sys.version_info[0]}.{sys.version_info[1]}"


def test_the_manifest_in_the_repository_is_the_one_that_make_krew_completes() -> None:
    shown = yaml.safe_load((ROOT / "kubectl" / "krew" / f"{PLUGIN}.yaml").read_text())
    assert shown == yaml.safe_load(template(ROOT))
    [platform] = shown["spec"]["platforms"]
    assert "sha256" not in platform
    platform["sha256"] = "0a" * 32
    assert yaml.safe_load(dumped(manifest(ROOT, "0a" * 32))) == shown


def test_it_has_the_version_the_places_and_the_program_of_the_package() -> None:
    made = manifest(ROOT, "0a" * 32)
    spec = made["spec"]
    [platform] = spec["platforms"]
    version = PROJECT["version"]
    assert made["metadata"]["name"] == "azure-batch"
    assert spec["version"] == f"v{version}"
    assert spec["homepage"] == PROJECT["urls"]["Homepage"]
    assert platform["uri"] == f"{PROJECT['urls']['Source']}/releases/download/v{version}/{archive_name(ROOT)}"
    # kubectl takes `_` in the name of a program for `-` in the command, as krew does in the name of its link.
    assert platform["bin"] == PROGRAM == "kubectl-azure_batch"
    assert PROGRAM in PROJECT["scripts"]
    assert {word["key"]: word["values"] for word in platform["selector"]["matchExpressions"]} == {
        "os": [*SYSTEMS],
        "arch": [*PROCESSORS],
    }
    # The program is a script with #!, which Windows does not start.
    assert "windows" not in SYSTEMS
    assert "\n" not in spec["shortDescription"]
    page = (ROOT / "docs" / "kubectl.md").read_text()
    assert f"--manifest-url={platform['uri'].rpartition('/')[0]}/{PLUGIN}.yaml\n" in page
    least = PROJECT["requires-python"].removeprefix(">=")
    assert f"python3 {least} or newer" in spec["caveats"]
    assert f"Python {least} or newer" in LAUNCHER.read_text()
    assert f"sys.version_info < ({least.replace('.', ', ')})" in LAUNCHER.read_text()


def test_the_lock_holds_what_the_plugin_depends_on() -> None:
    locked = set(re.findall(r"^([a-z0-9._-]+)==", (ROOT / "requirements" / "kubectl.txt").read_text(), re.MULTILINE))
    named = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["kubectl"]]
    assert {re.split(r"[^\w-]", name)[0] for name in named} <= locked


def test_the_archive_holds_a_program_that_can_be_started(tmp_path: Path) -> None:
    built = tmp_path / "azure_batch_operator-1-py3-none-any.whl"
    built.write_bytes(b"wheel")
    packed = archive.packed(archive.members(ROOT, built))
    assert packed == archive.packed(archive.members(ROOT, built)), "the same files make the same bytes"
    with tarfile.open(fileobj=BytesIO(packed)) as tar:
        assert {member.name: member.mode for member in tar} == {
            PROGRAM: 0o755,
            built.name: 0o644,
            "requirements.txt": 0o644,
            "LICENSE": 0o644,
        }


# What stands for `python3 -m venv`: an environment whose Python writes down what it is asked.
_VENV = """
import os, pathlib, sys
program = pathlib.Path(sys.argv[1]) / "bin" / "python"
program.parent.mkdir(parents=True)
program.write_text('#!/bin/sh\\necho "$@" >> "$LOG"\\ncase "$*" in *"$FAILS"*) exit 1;; esac\\n')
program.chmod(0o755)
"""


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Start the program as krew has unpacked and linked it."""
    store, stubs = tmp_path / "store", tmp_path / "stubs"
    for folder in (store, stubs):
        folder.mkdir()
    (store / PROGRAM).write_bytes(LAUNCHER.read_bytes())
    (store / PROGRAM).chmod(0o755)
    (store / "azure_batch_operator-1-py3-none-any.whl").touch()
    (stubs / "venv.py").write_text(_VENV)
    (tmp_path / PROGRAM).symlink_to(store / PROGRAM)

    def run(*words: str, fails: str = "nothing fails", umask: int = 0o022) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"PYTHONPATH": str(stubs), "LOG": str(tmp_path / "log"), "FAILS": fails}
        command = [sys.executable, str(tmp_path / PROGRAM), *words]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, umask=umask)

    return run


def test_the_first_start_installs_and_the_next_does_not(
    tmp_path: Path, start: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    assert start("why", "bj/a b").returncode == 0
    store, log = tmp_path / "store", tmp_path / "log"
    pip = "-m pip install --quiet --disable-pip-version-check"
    assert log.read_text().splitlines() == [
        f"{pip} --require-hashes -r {store}/requirements.txt",
        f"{pip} --no-deps {store}/azure_batch_operator-1-py3-none-any.whl",
        "-P -m azure_batch_kubectl why bj/a b",
    ]
    log.unlink()
    again = start("top")
    assert (again.stderr, log.read_text()) == ("", "-P -m azure_batch_kubectl top\n")
    assert sorted(path.name for path in store.iterdir() if path.is_dir()) == [VERSION]


def test_an_installation_that_fails_is_none(
    tmp_path: Path, start: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    failed = start("top", fails="--no-deps")
    assert failed.returncode == 1
    assert failed.stdout == ""
    assert failed.stderr.splitlines()[-1].startswith("error: the libraries cannot be installed, see above: ")
    assert [path.name for path in (tmp_path / "store").iterdir() if path.is_dir()] == []
    assert start("top").returncode == 0


def test_an_interpreter_that_is_gone_is_installed_again(
    tmp_path: Path, start: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """An environment links to the Python of the system, which an update may remove."""
    assert start("top").returncode == 0
    store = tmp_path / "store"
    python = store / VERSION / "bin" / "python"
    python.unlink()
    python.symlink_to("/none/python")
    again = start("top")
    assert (again.returncode, again.stderr.splitlines()) == (
        0,
        ["Installing the libraries of kubectl azure-batch, once for this version ..."],
    )
    assert not python.is_symlink()
    assert [path.name for path in store.iterdir() if path.is_dir()] == [VERSION]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o755), (0o077, 0o700), (0o002, 0o775)])
def test_others_may_use_what_one_user_installs_as_the_umask_says(
    tmp_path: Path, start: Callable[..., subprocess.CompletedProcess[str]], umask: int, mode: int
) -> None:
    assert start("top", umask=umask).returncode == 0
    assert stat.S_IMODE((tmp_path / "store" / VERSION).stat().st_mode) == mode


_REFUSED = """
import os, tempfile
def mkdtemp(prefix, dir):
    raise PermissionError(13, "Permission denied", os.path.join(dir, prefix))
tempfile.mkdtemp = mkdtemp
"""


def test_a_folder_that_may_not_be_written_is_explained(
    tmp_path: Path, start: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """Tests run as root, whom no folder refuses: a module that Python imports at its start refuses instead."""
    (tmp_path / "stubs" / "sitecustomize.py").write_text(_REFUSED)
    failed = start("top")
    store = tmp_path / "store"
    said = (
        f"error: the libraries cannot be installed in {store}: [Errno 13] Permission denied: '{store}/.installing-': "
        "install as a user who may write there, or install the plugin with pipx"
    )
    assert (failed.returncode, failed.stderr.splitlines()[1:]) == (1, [said])


def test_an_interpreter_that_cannot_be_started_is_explained(
    tmp_path: Path, start: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    assert start("top").returncode == 0
    place = tmp_path / "store" / VERSION
    (place / "bin" / "python").write_bytes(b"\x7fELF")
    failed = start("top")
    assert (failed.returncode, failed.stderr) == (
        1,
        f"error: {place}/bin/python cannot be started: Exec format error: delete {place}, or install the plugin with pipx\n",
    )
