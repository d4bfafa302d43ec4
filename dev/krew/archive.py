"""The archive: the wheel, the lock of its libraries, and the program that installs both. The same commit makes the same bytes."""

from __future__ import annotations

import gzip
import subprocess
import sys
import tarfile
import tempfile
from hashlib import sha256
from io import BytesIO
from pathlib import Path

from krew.manifest import PROGRAM, archive_name


def wheel(root: Path, folder: Path) -> Path:
    """Build the wheel of the repository into a folder."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(folder)]
    subprocess.run([*command, str(root)], check=True)
    [built] = folder.glob("*.whl")
    return built


def members(root: Path, built: Path) -> dict[str, tuple[bytes, int]]:
    """Contents and modes by name."""
    return {
        PROGRAM: ((root / "kubectl" / "krew" / PROGRAM).read_bytes(), 0o755),
        built.name: (built.read_bytes(), 0o644),
        "requirements.txt": ((root / "requirements" / "kubectl.txt").read_bytes(), 0o644),
        "LICENSE": ((root / "LICENSE").read_bytes(), 0o644),
    }


def packed(contents: dict[str, tuple[bytes, int]]) -> bytes:
    """A tar.gz of these files, without times and owners."""
    whole = BytesIO()
    with gzip.GzipFile(fileobj=whole, mode="wb", mtime=0) as zipped, tarfile.open(fileobj=zipped, mode="w") as tar:
        for name, (content, mode) in sorted(contents.items()):
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), mode
            tar.addfile(info, BytesIO(content))
    return whole.getvalue()


def build(root: Path, folder: Path) -> tuple[Path, str]:
    """Build the archive into a folder; its path and its SHA-256."""
    with tempfile.TemporaryDirectory() as place:
        content = packed(members(root, wheel(root, Path(place))))
    path = folder / archive_name(root)
    path.write_bytes(content)
    return path, sha256(content).hexdigest()
