"""The interface between the engine, which decides that a command runs, and whatever runs it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class NodePlace:
    """Where a node is: the names that make up its directory."""

    account: str
    pool_id: str
    node_id: str


@dataclass(frozen=True, slots=True)
class RunRequest:
    """One command to run.

    Attributes:
        place: the node.
        directory: of the task, below the node's root, such as ``workitems/job/job-1/task``.
        command_line: as given by the user; split like a POSIX shell would, run without one.
        environment: makes the variables, name to value, given the node's root directory.
        resource_files: as in the task's body.
        output_files: as in the task's body.
        shared: a further directory to make, for the common files of a multi-instance task.
        run_id: names the run in simulated rules: ``job/task``.
        attempt: 0 for the first try.
        windows: the node runs Windows.
        leaves_services: what the command leaves running when it succeeds runs on until the run is killed.
    """

    place: NodePlace
    directory: str
    command_line: str
    environment: Callable[[str], dict[str, str]]
    run_id: str
    attempt: int = 0
    resource_files: Sequence[Mapping[str, Any]] = ()
    output_files: Sequence[Mapping[str, Any]] = ()
    shared: str | None = None
    windows: bool = False
    leaves_services: bool = False


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a run ended.

    Attributes:
        exit_code: of the command; None if it never ran or was killed.
        failure: ``(category, code, message, details)`` when something other than the command went wrong.
        stage: where that was: ``preparation``, ``launch`` or ``upload``.
        started: ticks when the command started, None if it did not.
        lost: the node failed under the command; nothing else is known of it, and it is to be run again.
    """

    exit_code: int | None
    failure: tuple[str, str, str, tuple[tuple[str, str], ...]] | None = None
    stage: str | None = None
    started: int | None = None
    lost: bool = False


class RunObserver(Protocol):
    """What the engine wants to know of a run; all are called on the engine's thread."""

    def on_started(self) -> None:
        """The command runs now."""

    def on_returned(self) -> None:
        """The command of a run that leaves services has succeeded; `on_finished` follows once the run is killed or lost."""

    def on_finished(self, result: RunResult) -> None:
        """The run is over and nothing of it is left; called exactly once."""


class RunHandle(Protocol):
    """A run in progress."""

    def kill(self) -> None:
        """End it with everything it started; `on_finished` follows."""


@dataclass(frozen=True, slots=True)
class FileInfo:
    """A file or directory of a node.

    Attributes:
        name: relative to the root asked for, with forward slashes.
        modified: ticks.
        mode: permission and type bits as the node's operating system has them.
    """

    name: str
    is_directory: bool
    size: int = 0
    modified: int = 0
    mode: int = 0o100644
    content_type: str = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class FileContent:
    """An open file: what it is, and its bytes from `start` for `length`."""

    info: FileInfo
    read: Callable[[int, int], AsyncIterator[bytes]] = field(repr=False)


class NodeFiles(Protocol):
    """Files on nodes. Paths are relative to a node's root, already free of ``..``; `base` is the directory that a
    caller may not leave, not even through a symbolic link.
    """

    def list(
        self, place: NodePlace, base: str, *, recursive: bool, after: tuple[int, str] | None = None
    ) -> Iterable[FileInfo]:
        """Files by depth, then by name.

        Args:
            after: number of slashes and name of the file before the first one that is wanted.

        Raises:
            FileNotFoundError: there is no such directory.
        """

    def open(self, place: NodePlace, base: str, path: str) -> FileContent:
        """Raises FileNotFoundError."""

    def delete(self, place: NodePlace, base: str, path: str, *, recursive: bool) -> None:
        """Raises FileNotFoundError, or OSError for a directory that is not empty."""


class Executor(Protocol):
    """Runs commands on nodes."""

    @property
    def files(self) -> NodeFiles:
        """The files of all nodes."""

    @property
    def real_time(self) -> bool:
        """Whether commands take real time, so that limits on them do too."""

    @property
    def keeps_files(self) -> bool:
        """Whether runs leave directories behind that have to be removed."""

    def start(self, request: RunRequest, observer: RunObserver) -> RunHandle:
        """Begin a run; the observer is never called before this returns."""

    def add_node(self, place: NodePlace) -> None:
        """A node has been allocated."""

    def remove_node(self, place: NodePlace) -> None:
        """A node is gone, with all its files."""

    def upload(self, container_url: str, files: Mapping[str, bytes]) -> int:
        """Send files, name to content, to a blob container in the background.

        Returns:
            How many will be sent.
        """

    def remove_directory(self, place: NodePlace, directory: str) -> None:
        """A task's directory is no longer wanted."""
