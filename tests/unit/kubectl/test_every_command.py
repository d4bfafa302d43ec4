"""What holds for every command: a program gets no colors, Ctrl-C ends it with 130 and without a word, an error is one line.

A table over all commands: one that is added without a line in it fails the first test.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from inspect import isawaitable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from kubernetes.aio.client.exceptions import ApiException

from azure_batch_kubectl import __main__ as program
from azure_batch_kubectl.cli import plugin
from azure_batch_kubectl.failure import Exit
from azure_batch_operator.generate import ROOT
from unit.kubectl.conftest import Body, FakeCluster, thing
from unit.kubectl.test_others import Client
from unit.kubectl.test_outputs import NODE, Items, commands

COMMANDS = {
    "why": ["bj/render"],
    "suspend": ["render", "bjs/nightly"],
    "resume": ["bjs/nightly"],
    "retry": ["bt/t"],
    "terminate": ["render"],
    "wait": ["bj/done"],
    "tree": ["render"],
    "top": [],
    "logs": ["render/t"],
    "submit": ["SCRIPT", "--over", "LINES", "--name", "new"],
    "cost": [],
    "doctor": [],
    "export": ["bj/render"],
    "operate": ["stopResize", "bp/cpu"],
    "diff": ["bj/render"],
    "import": [],
    "files ls": ["render/t"],
    "files cat": ["render/t:stdout.txt"],
    "files cp": ["render/t:stdout.txt", "COPY"],
    "nodes ls": ["cpu"],
    "nodes reboot": ["cpu", "n1", "--wait"],
    "nodes reimage": ["cpu", "n1", "--wait"],
    "nodes drain": ["cpu", "n1", "--wait"],
    "nodes uncordon": ["cpu", "n1", "--wait"],
    "nodes ssh": ["cpu", "n1", "--print"],
    "tasks ls": ["render"],
}
"""Words with which each command does something."""
MORE = [("logs", ["render", "-f"]), ("logs", ["render/t", "-f"]), ("files cp", ["render/t", "COPY"]), ("top", ["-A"])]
"""Other ways of some of them."""
CASES = [*COMMANDS.items(), *MORE]
IDS = [" ".join([name, *words]) for name, words in CASES]


def test_every_command_is_in_the_table() -> None:
    assert {name for name, _ in commands(plugin)} == COMMANDS.keys()


class Batch(Client):
    """A job with a task that has ended, a pool with a node, and files."""

    def __init__(self) -> None:
        super().__init__(["t"])
        self.pools = self.job_schedules = Listed()
        self.nodes = Items([NODE])
        self.task_files = Files()

    async def list(self, *_: str, **__: Any) -> AsyncIterator[Body]:
        yield {"id": "t", "state": "completed"}

    async def list_pages(self, *_: str, **__: Any) -> AsyncIterator[list[Body]]:
        yield [{"id": "t", "state": "completed"}]


class Listed(Items):
    """Pools and job schedules: none in a list, any by its ID."""

    def __init__(self) -> None:
        super().__init__([])

    async def get(self, id: str, **_: Any) -> Body:
        return {"id": id, "state": "active"}


class Files(Client):
    """Files of a task."""

    def __init__(self) -> None:
        super().__init__([])

    async def list(self, *_: str, **__: Any) -> AsyncIterator[Body]:
        yield {"name": "stdout.txt", "isDirectory": False, "properties": {"contentLength": "4"}}


class Interrupt:
    """Presses Ctrl-C at the call with a number, which then is never answered.

    Args:
        executed: the call is made, and only its answer is lost.
    """

    def __init__(self, at: int, *, executed: bool = False) -> None:
        self.at, self.executed, self.calls = at, executed, 0

    def around(self, inner: Any) -> Any:
        """An object whose calls are counted, with its groups of calls."""
        return _Interrupted(self, inner)


class _Interrupted:
    def __init__(self, interrupt: Interrupt, inner: Any) -> None:
        self._interrupt, self._inner = interrupt, inner

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._inner, name)
        if hasattr(value, "list"):
            return self._interrupt.around(value)
        if not callable(value):
            return value

        def call(*words: Any, **options: Any) -> Any:
            self._interrupt.calls += 1
            if self._interrupt.calls != self._interrupt.at:
                return value(*words, **options)
            return _Never(partial(value, *words, **options) if self._interrupt.executed else None)

        return call


class _Never:
    """An answer that never comes: to a call, a list, or a stream."""

    def __init__(self, call: Callable[[], Any] | None) -> None:
        self._call = call

    def __await__(self) -> Generator[Any, Any, Any]:
        made = self._call() if self._call else None
        if isawaitable(made):
            yield from made.__await__()
        os.kill(os.getpid(), signal.SIGINT)
        yield from asyncio.Event().wait().__await__()

    def __aiter__(self) -> _Never:
        return self

    async def __anext__(self) -> Any:
        return await self

    async def __aenter__(self) -> Any:
        return await self

    async def __aexit__(self, *_: object) -> None:
        pass


class World(FakeCluster):
    """A namespace with one of each."""

    def __init__(self) -> None:
        super().__init__()
        where = {"account": "team/main", "id": "render"}
        self.add({**thing("BatchJob", "render", phase="Running", **where), "spec": {"poolRef": {"name": "cpu"}}})
        self.add(thing("BatchJob", "done", ("Complete", "True", "Succeeded", "1 of 1"), phase="Succeeded"))
        self.add({**thing("BatchPool", "cpu", phase="Steady", **where), "spec": {"accountRef": {"name": "main"}}})
        self.add(thing("BatchAccount", "main", ("Ready", "True", "Connected", "")))
        self.add(thing("BatchTask", "t", ("Failed", "True", "TaskFailed", ""), phase="Failed"))
        self.add({**thing("BatchJobSchedule", "nightly", phase="Active"), "spec": {"suspend": True}})
        address = {"remoteLoginIPAddress": "127.0.0.1", "remoteLoginPort": "22"}
        results = [{"target": "n1", "outcome": "Succeeded", "values": address}]
        for name in ("made-0", "made-1"):
            self.add(thing("BatchOperation", name, ("Complete", "True", "Succeeded", "1 of 1"), results=results))

    async def read(self, path: str, query: object = None) -> tuple[Body, Body]:
        """What `doctor` reads."""
        if path == "/version":
            return {"major": "1", "minor": "33"}, {}
        return {"resources": [], "items": []}, {}


@pytest.fixture
def sigint() -> Iterator[None]:
    """Ctrl-C is heard, also where a shell has started the tests in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class Terminal:
    """Runs commands in a world, whose calls may be interrupted."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self._monkeypatch = folder, monkeypatch
        self.world = World()
        (folder / "script.sh").write_text("echo\n")
        (folder / "lines.txt").write_text("".join(f"{number}\n" for number in range(3000)))
        monkeypatch.setattr("azure_batch_kubectl.reading.PAUSE", 0.0)
        monkeypatch.setattr("azure_batch_kubectl.storing.PAUSES", (0.0, 0.0))
        monkeypatch.setattr("azure_batch_kubectl.remote.check_owner", lambda *_: None)

    def run(self, name: str, words: list[str], interrupt: Interrupt | None = None) -> Result:
        """Run a command in a new world."""
        self.world = World()
        around: Callable[[Any], Any] = interrupt.around if interrupt else lambda inner: inner

        @asynccontextmanager
        async def connected(_: object) -> AsyncIterator[Any]:
            yield around(self.world)

        @asynccontextmanager
        async def signed_in(*_: object) -> AsyncIterator[Any]:
            yield around(Batch())

        self._monkeypatch.setattr("azure_batch_kubectl.running.connected", connected)
        for module in ("remote", "import_command", "diff_command"):
            self._monkeypatch.setattr(f"azure_batch_kubectl.{module}.signed_in", signed_in)
        places = {"SCRIPT": "script.sh", "LINES": "lines.txt", "COPY": "copy"}
        given = [str(self.folder / places[word]) if word in places else word for word in words]
        return CliRunner().invoke(plugin, [*name.split(), *given], env={"FORCE_COLOR": "1", "TERM": "xterm-256color"})


@pytest.fixture
def terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Where commands are typed."""
    return Terminal(tmp_path, monkeypatch)


@pytest.mark.parametrize(("name", "words"), CASES, ids=IDS)
def test_a_program_gets_no_colors_and_no_progress(terminal: Terminal, name: str, words: list[str]) -> None:
    """Nor with FORCE_COLOR, which CI sets: what reads the output does not expect them."""
    done = terminal.run(name, words)
    assert "\x1b" not in done.output
    assert "\r" not in done.output
    assert all(line == line.rstrip() for line in done.output.splitlines())
    # doctor finds that no kind is installed.
    assert done.exit_code == (Exit.ERROR if name == "doctor" else Exit.DIFFERENT if name == "diff" else 0), done.output


@pytest.mark.usefixtures("sigint")
@pytest.mark.parametrize("executed", [False, True])
@pytest.mark.parametrize(("name", "words"), CASES, ids=IDS)
def test_ctrl_c_ends_it_at_each_call(terminal: Terminal, name: str, words: list[str], executed: bool) -> None:
    """Whether the call was executed or not: nobody can tell."""
    for at in range(1, 60):
        interrupt = Interrupt(at, executed=executed)
        done = terminal.run(name, words, interrupt)
        if interrupt.calls < at:
            assert at > 1, "it calls nobody"
            return
        assert done.exit_code == Exit.INTERRUPTED, (at, done.output, done.exception)
        assert not re.search("(?i)traceback|error|aborted", done.output), (at, done.output)
        # Nothing is left that nobody would delete.
        assert not [path for path in terminal.folder.rglob(".*") if path.is_file()]
        for config_map in terminal.world.config_maps.values():
            assert config_map["metadata"]["ownerReferences"]
    pytest.fail(f"{name} has not ended after {at} calls")


@pytest.mark.parametrize(("name", "words"), CASES, ids=IDS)
def test_a_refusal_is_one_line(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, name: str, words: list[str]
) -> None:
    async def refused(*_: object, **__: object) -> Any:
        raise ApiException(status=418, reason="no tea")

    async def nothing(*_: object, **__: object) -> AsyncIterator[Any]:
        await refused()
        yield

    for method in ("get", "create", "create_config_map", "read"):
        monkeypatch.setattr(World, method, refused)
    for method in ("list", "rows", "pages"):
        monkeypatch.setattr(World, method, nothing, raising=False)
    done = terminal.run(name, words)
    assert done.exit_code == (Exit.USAGE if name == "diff" else Exit.ERROR)
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert lines[-1].startswith("error: ")
    assert all(line.startswith("error: ") for line in lines)


def test_ctrl_c_while_libraries_are_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("azure_batch_kubectl.running.execute", interrupted)
    done = CliRunner().invoke(plugin, ["top"])
    assert (done.exit_code, done.output) == (130, "")


def test_ctrl_c_while_the_commands_are_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    class Loading:
        def __getattr__(self, name: str) -> Any:
            raise KeyboardInterrupt

    monkeypatch.setitem(__import__("sys").modules, "azure_batch_kubectl.cli", Loading())
    with pytest.raises(SystemExit) as raised:
        program.main()
    assert raised.value.code == Exit.INTERRUPTED


def test_every_exit_code_is_documented() -> None:
    page = (ROOT / "docs" / "kubectl.md").read_text().partition("## Exit codes")[2]
    assert [int(code) for code in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)] == sorted({*map(int, Exit)})


def test_every_command_is_documented() -> None:
    """A row of the first table leads to the section of a command, and the section of a group shows each of its commands."""
    page = (ROOT / "docs" / "kubectl.md").read_text()
    first, *parts = page.split("\n## ")
    sections = {part.partition("\n")[0]: part for part in parts}
    of_command = {name: text for title, text in sections.items() for name in title.split(", ")}
    for name in COMMANDS:
        group, _, verb = name.partition(" ")
        assert re.search(rf"^\| .* \| .*`{group}`.*\]\(#", first, re.MULTILINE), f"the first table does not name {name}"
        assert group in of_command, f"no section of {name}"
        assert re.search(rf"\b{name}\b", of_command[group]), f"the section of {group} does not show {verb}"
