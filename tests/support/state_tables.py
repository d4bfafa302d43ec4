"""Tables of what the service answers to every operation in every state of its resource, as texts that people write."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from support.still_service import StillService

Build = Callable[[StillService], None]
Call = Callable[[StillService], str]


ON_POOL = {"poolInfo": {"poolId": "pool"}}


@dataclass(frozen=True, slots=True)
class Table:
    """Cells by state and verb."""

    cells: dict[str, dict[str, str]]

    @classmethod
    def read(cls, text: str, legend: dict[str, str]) -> Table:
        """A table from its text: states in the first line, a verb and its cells in each of the others."""
        head, *lines = [line.split() for line in text.strip().splitlines()]
        cells: dict[str, dict[str, str]] = {state: {} for state in head}
        for verb, *found in lines:
            assert len(found) == len(head), verb
            for state, cell in zip(head, found, strict=True):
                if cell != "-":
                    answer, source = cell.split(":")
                    assert source in ("r", "d", "p", "i"), cell
                    cells[state][verb] = answer if answer.isdigit() else f"409 {legend[answer]}"
        return cls(cells)

    def beside(self, text: str, legend: dict[str, str]) -> Table:
        """This table with more states."""
        return Table(self.cells | Table.read(text, legend).cells)


def tried(builders: dict[str, Build], calls: dict[str, Call], state: str, expected: dict[str, str]) -> dict[str, str]:
    """What each verb really answers in a state; a resource is made again after each verb that may have changed it."""
    found: dict[str, str] = {}
    stage = None
    for verb in expected:
        if stage is None:
            stage = StillService()
            builders[state](stage)
        found[verb] = calls[verb](stage)
        if found[verb].startswith("2") and not verb.startswith(("get", "head", "list")):
            stage = None
    return found


def call(method: str, path: str, body: object = None) -> Call:
    return lambda stage: str(stage.call(method, path, body))


def on_node(method: str, path: str, body: object = None) -> Call:
    return lambda stage: str(stage.call(method, f"{stage.node_path}{path}", body))


def a_task(command: str = "true", *, nodes: int = 1, job: dict[str, object] | None = None, **more: object) -> Build:
    def build(stage: StillService) -> None:
        if nodes:
            stage.steady_pool(nodes)
        stage.must("POST", "/jobs", {"id": "job", **ON_POOL, **(job or {})})
        stage.must("POST", "/jobs/job/tasks", {"id": "task", "commandLine": command, **more})

    return build


def then(build: Build, state: str) -> Build:
    def both(stage: StillService) -> None:
        build(stage)
        stage.until_task(state)

    return both
