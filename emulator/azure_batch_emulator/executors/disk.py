"""Node directories on disk: their layout, and the reading, listing and deleting of files in them.

Nobody gets out of the directory asked for: neither by ``..`` nor by a symbolic link (docs/azure-batch.md#files).
"""

from __future__ import annotations

import contextlib
import errno
import functools
import mimetypes
import os
import shutil
import stat
import threading
import time
from bisect import bisect_right
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import BinaryIO

from azure_batch_emulator.executors.base import FileContent, FileInfo, NodePlace
from azure_batch_emulator.wire.ticks import from_unix_ns

NODE_DIRECTORIES = ("applications", "fsmounts", "shared", "startup", "volatile", "workitems")
# To go through a directory one need not be allowed to list it.
_THROUGH = os.O_DIRECTORY | getattr(os, "O_PATH", os.O_RDONLY)
_CHUNK = 64 * 1024
# Smaller directories fit on a page.
_MIN_KEPT = 1000
# In all directories together; about 30 MB.
_MAX_KEPT = 200_000
# The clock of a file system has ticks: a change within one tick of another leaves the directory's time as it is.
_TICK_NS = 2 * 10**9


# Shown name, own name, whether it is a directory.
_Entry = tuple[str, str, bool]


class _Listings:
    """Entries of directories in order. Those of large ones are kept for the next page of a list, until the directory changes."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[tuple[int, int, int], list[_Entry]]] = {}
        # Lists are made in threads.
        self._lock = threading.Lock()

    def entries(self, directory: str) -> list[_Entry]:
        """The entries now. None for a directory that cannot be read."""
        began = time.time_ns()
        try:
            status = Path(directory).stat(follow_symlinks=False)
        except OSError:
            return []
        # Unlike the time of modification, this time cannot be set by a task.
        state = (status.st_dev, status.st_ino, status.st_ctime_ns)
        with self._lock:
            kept = self._kept.get(directory)
        if kept is not None and kept[0] == state:
            return kept[1]
        found = _entries(directory)
        # Counted from before the reading, which may take as long as a tick.
        settled = began - status.st_ctime_ns > _TICK_NS
        with self._lock:
            self._kept.pop(directory, None)
            if settled and _MIN_KEPT < len(found) <= _MAX_KEPT:
                while self._count() + len(found) > _MAX_KEPT:
                    del self._kept[next(iter(self._kept))]
                self._kept[directory] = state, found
        return found

    def _count(self) -> int:
        return sum(len(entries) for _, entries in self._kept.values())

    def __len__(self) -> int:
        """How many entries are kept."""
        with self._lock:
            return self._count()


class DiskFiles:
    """The files of all nodes, below one directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._listings = _Listings()

    @property
    def kept_entries(self) -> int:
        """How many entries of directories are kept in memory."""
        return len(self._listings)

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
        top = self._top(place, base)
        if path.startswith("/") or "\0" in path or ".." in path.split("/"):
            raise FileNotFoundError(path)
        try:
            found = _entry(top, path)
            real = found.resolve()
            there = real.exists()
        except (OSError, RuntimeError, ValueError):
            # A name that is too long, a loop of links.
            raise FileNotFoundError(path) from None
        if not there or real == top or not real.is_relative_to(top):
            raise FileNotFoundError(path)
        return real

    def _top(self, place: NodePlace, base: str) -> Path:
        """The real path of a base directory.

        Raises:
            FileNotFoundError: it leads out of the node, as the directory of a task may once the task has put a link in its place.
        """
        root = self.root(place)
        try:
            return inside(root, root / base)
        except OSError:
            raise FileNotFoundError(base) from None

    def list(
        self, place: NodePlace, base: str, *, recursive: bool, after: tuple[int, str] | None = None
    ) -> Iterator[FileInfo]:
        top = self._top(place, base)
        if not os.path.isdir(top):  # noqa: PTH112 - `Path` fails where it may not look
            raise FileNotFoundError(base)
        return _walk(self._listings.entries, str(top), after or (0, ""), recursive=recursive)

    def open(self, place: NodePlace, base: str, path: str) -> FileContent:
        real = self.resolve(place, base, path)
        try:
            info = _info(real.name, path, real.stat())
        except OSError:
            # It has just gone.
            raise FileNotFoundError(path) from None
        # A task may take away the right to read its file; that has to be known before a response begins.
        if info is None or not os.access(real, os.R_OK):
            raise FileNotFoundError(path)

        async def read(start: int, length: int) -> AsyncIterator[bytes]:
            with open_inside(self.root(place), real) as stream:
                stream.seek(start)
                left = length
                while left > 0 and (chunk := stream.read(min(_CHUNK, left))):
                    left -= len(chunk)
                    yield chunk

        return FileContent(info, read)

    def delete(self, place: NodePlace, base: str, path: str, *, recursive: bool) -> None:
        # What is not there, or leads out of the base, is refused before anything is touched.
        self.resolve(place, base, path)
        top = self._top(place, base)
        entry = _entry(top, path)
        holder = Path(os.path.realpath(entry.parent))
        if not holder.is_relative_to(top):
            raise FileNotFoundError(path)
        with contextlib.ExitStack() as stack:
            try:
                descriptor = stack.enter_context(_opened_directory(self.root(place), holder))
            except OSError:
                # A link has been put on the way meanwhile.
                raise FileNotFoundError(path) from None
            # A link goes itself, not what it leads to.
            mode = os.lstat(entry.name, dir_fd=descriptor).st_mode
            if not stat.S_ISDIR(mode):
                os.unlink(entry.name, dir_fd=descriptor)
            elif recursive:
                shutil.rmtree(entry.name, dir_fd=descriptor)
            else:
                os.rmdir(entry.name, dir_fd=descriptor)


def inside(root: Path, place: Path) -> Path:
    """The real path of something on a node, which need not exist; links are followed.

    Raises:
        OSError: they lead out of the node.
    """
    top, real = os.path.realpath(root), os.path.realpath(place)
    if real != top and not real.startswith(f"{top}/"):
        raise OSError(errno.EXDEV, "A link leads out of the node")
    return Path(real)


def _walk(
    entries_of: Callable[[str], list[_Entry]], top: str, after: tuple[int, str], *, recursive: bool
) -> Iterator[FileInfo]:
    """What is below a directory, by depth, then by name. There may be very many: only what is asked for is checked."""
    depth, last = after
    # The directories of one depth with what the names of their entries begin with, in the order of these names.
    level, slashes = [(top, "")], 0
    while level:
        below: list[tuple[str, str]] = []
        for directory, inner in level:
            entries = entries_of(directory)
            if recursive:
                below += [
                    (f"{directory}/{name}", f"{inner}{shown}/") for shown, name, is_directory in entries if is_directory
                ]
            if slashes < depth:
                continue
            first = _first_after(entries, inner, last) if slashes == depth else 0
            for shown, name, is_directory in islice(entries, first, None):
                if is_directory:
                    yield FileInfo(f"{inner}{shown}", True)
                    continue
                try:
                    info = _info(name, f"{inner}{shown}", os.lstat(f"{directory}/{name}"))
                except OSError:
                    continue
                if info is not None:
                    yield info
        level, slashes = sorted(below, key=itemgetter(1)), slashes + 1


def _first_after(entries: list[_Entry], inner: str, last: str) -> int:
    """Index of the first entry whose path comes after another path."""
    return bisect_right(entries, last, key=lambda entry: f"{inner}{entry[0]}")


def _entries(directory: str) -> list[_Entry]:
    """Entries of a directory in order. None for one that cannot be read."""
    try:
        with os.scandir(directory) as found:
            return sorted(
                (
                    entry.name if entry.name.isascii() else shown_name(entry.name),
                    entry.name,
                    entry.is_dir(follow_symlinks=False),
                )
                for entry in found
            )
    except OSError:
        return []


def make_directory(root: Path, place: Path) -> Path:
    """Make a directory on a node with those above it, if it is not there; its real path.

    Raises:
        OSError: it cannot be made, or a link leads out of the node.
    """
    real = inside(root, place)
    real.mkdir(parents=True, exist_ok=True)
    return real


def make_way(file: Path) -> None:
    """Take away what stands where a file is to be written and is none: a pipe would not open before it has a reader."""
    with contextlib.suppress(FileNotFoundError):
        mode = file.lstat().st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            file.unlink()


def make_way_for_directory(directory: Path) -> None:
    """Take away what stands where a directory is to be and is none, such as a link that leads nowhere."""
    if not directory.is_dir():
        directory.unlink(missing_ok=True)


@contextlib.contextmanager
def _opened_directory(root: Path, directory: Path) -> Iterator[int]:
    """A descriptor of a directory of a node by its real path; no link that has been put on the way meanwhile is followed.

    Raises:
        OSError: there is one.
    """
    top = root.resolve()
    descriptor = os.open(top, _THROUGH)
    try:
        for part in directory.relative_to(top).parts:
            inner = os.open(part, _THROUGH | os.O_NOFOLLOW, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)


def open_inside(root: Path, file: Path) -> BinaryIO:
    """Open a file of a node by its real path, and no link that has been put on the way meanwhile.

    Raises:
        OSError: there is one, or the file is none; a pipe would be waited for.
    """
    with _opened_directory(root, file.parent) as descriptor:
        found = os.open(file.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=descriptor)
    if not stat.S_ISREG(os.fstat(found).st_mode):
        os.close(found)
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    return os.fdopen(found, "rb")


def _info(own: str, name: str, status: os.stat_result) -> FileInfo | None:
    """A regular file or directory by its own name and the one that is shown; links, sockets and the like are not shown."""
    if stat.S_ISDIR(status.st_mode):
        return FileInfo(name, True)
    if not stat.S_ISREG(status.st_mode):
        return None
    modified = from_unix_ns(status.st_mtime_ns) // 10 * 10
    return FileInfo(name, False, status.st_size, modified, status.st_mode, content_type(own))


def shown_name(name: str) -> str:
    """A name as JSON and URLs can carry it: bytes that are no UTF-8 become U+FFFD, as .NET does it."""
    return os.fsencode(name).decode("utf-8", "replace")


def _entry(top: Path, path: str) -> Path:
    """The entry that is meant by a path as it is shown: the first of that name where several look the same."""
    found = top
    for part in path.split("/"):
        step = found / part
        if "\ufffd" in part and not os.path.lexists(step):
            step = next((entry for entry in sorted(found.iterdir()) if shown_name(entry.name) == part), step)
        found = step
    return found


def content_type(name: str) -> str:
    """Content type by a file's name; plain bytes for what is unknown."""
    stem = name.lstrip(".")
    # Only two extensions are ever looked at, such as in "x.tar.gz", and most files have the same few.
    return _type_of(".".join(["x", *stem.split(".")[1:][-2:]]))


@functools.lru_cache(maxsize=1024)
def _type_of(name: str) -> str:
    return mimetypes.guess_type(name)[0] or "application/octet-stream"
