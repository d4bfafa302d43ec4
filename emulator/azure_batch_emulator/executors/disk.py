"""Node directories on disk: their layout, and the reading, listing and deleting of files in them.

Nobody gets out of the directory asked for: neither by ``..`` nor by a symbolic link (batch-semantics §4.7).
"""

from __future__ import annotations

import mimetypes
import os
import shutil
import stat
from collections import deque
from collections.abc import AsyncIterator
from pathlib import Path

from azure_batch_emulator.executors.base import FileContent, FileInfo, NodePlace
from azure_batch_emulator.wire.ticks import from_unix_ns

NODE_DIRECTORIES = ("applications", "fsmounts", "shared", "startup", "volatile", "workitems")
_CHUNK = 64 * 1024


class DiskFiles:
    """The files of all nodes, below one directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def root(self, place: NodePlace) -> Path:
        """A node's root directory. Ids are letters, digits, dashes and underscores, so they are safe as names."""
        return self._directory / place.account / place.pool_id / place.node_id

    def add_node(self, place: NodePlace) -> None:
        """Make a node's directories."""
        for name in NODE_DIRECTORIES:
            (self.root(place) / name).mkdir(parents=True, exist_ok=True)

    def resolve(self, place: NodePlace, base: str, path: str) -> Path:
        """The real path of something below a base directory of a node.

        Raises:
            FileNotFoundError: it leads out of the base, or is not there.
        """
        top = (self.root(place) / base).resolve()
        if path.startswith("/") or "\0" in path or ".." in path.split("/"):
            raise FileNotFoundError(path)
        found = (top / path).resolve()
        if not found.is_relative_to(top) or not found.exists():
            raise FileNotFoundError(path)
        return found

    def list(self, place: NodePlace, base: str, *, recursive: bool) -> list[FileInfo]:
        top = self.root(place) / base
        if not top.is_dir():
            raise FileNotFoundError(base)
        found: list[FileInfo] = []
        waiting = deque([top])
        while waiting:
            directory = waiting.popleft()
            try:
                entries = sorted(os.scandir(directory), key=lambda entry: entry.name)
            except OSError:
                continue
            for entry in entries:
                try:
                    info = _info(
                        Path(entry.path), str(Path(entry.path).relative_to(top)), entry.stat(follow_symlinks=False)
                    )
                except OSError:
                    continue
                if info is None:
                    continue
                found.append(info)
                if recursive and info.is_directory:
                    waiting.append(Path(entry.path))
        return found

    def open(self, place: NodePlace, base: str, path: str) -> FileContent:
        real = self.resolve(place, base, path)
        info = _info(real, path, real.stat())
        if info is None:
            raise FileNotFoundError(path)

        async def read(start: int, length: int) -> AsyncIterator[bytes]:
            with real.open("rb") as stream:
                stream.seek(start)
                left = length
                while left > 0 and (chunk := stream.read(min(_CHUNK, left))):
                    left -= len(chunk)
                    yield chunk

        return FileContent(info, read)

    def delete(self, place: NodePlace, base: str, path: str, *, recursive: bool) -> None:
        real = self.resolve(place, base, path)
        if not real.is_dir():
            real.unlink()
        elif recursive:
            shutil.rmtree(real)
        else:
            real.rmdir()


def _info(path: Path, name: str, status: os.stat_result) -> FileInfo | None:
    """A regular file or directory; links, sockets and the like are not shown."""
    if stat.S_ISDIR(status.st_mode):
        return FileInfo(name, True)
    if not stat.S_ISREG(status.st_mode):
        return None
    modified = from_unix_ns(status.st_mtime_ns) // 10 * 10
    return FileInfo(name, False, status.st_size, modified, status.st_mode, content_type(path.name))


def content_type(name: str) -> str:
    """Content type by a file's name; plain bytes for what is unknown."""
    guess, _ = mimetypes.guess_type(name)
    return guess or "application/octet-stream"
