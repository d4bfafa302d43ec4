"""What is left of a played history, as plain data: the checker sees this and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Body = dict[str, Any]
MARKER = "azurebatch.io/owner"
TASK_MARKER = "AZUREBATCH_IO_OWNER"


@dataclass(frozen=True)
class Owner:
    """An ownership marker, as docs/ownership.md has it."""

    cluster: str
    namespace: str
    kind: str
    name: str
    uid: str
    id: str


def owner_of(text: str | None) -> Owner | None:
    """The marker in a text; None if it is none."""
    parts = (text or "").split("/")
    return Owner(*parts) if len(parts) == 6 else None


def owner_in(metadata: Any) -> Owner | None:
    """The marker in the metadata of a pool, job or schedule."""
    texts = [each.get("value") for each in metadata or () if each.get("name") == MARKER]
    return owner_of(texts[0]) if texts else None


@dataclass(frozen=True)
class Thing:
    """Something in Azure Batch right before an effect on it.

    Attributes:
        owner: its marker.
        created: its creation time; tells incarnations apart.
        state: as the service has it.
        tasks: of a job: states by task id.
        started: of a job or task: whether a task has run.
        facts: further members that rules need.
    """

    kind: str
    id: str
    owner: Owner | None
    created: str
    state: str
    tasks: Mapping[str, str] = field(default_factory=dict)
    started: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Effect:
    """One call that reached the service's handlers, whether or not its caller heard of the answer.

    Attributes:
        time: virtual seconds since the beginning.
        ours: whether the operator has sent it; else somebody else did.
        before: what it was about, right before; None if there was nothing.
        added: task ids that were added by it.
        code: of the refusal; empty if it was done.
    """

    time: float
    ours: bool
    operation: str
    path: str
    parameters: Mapping[str, str]
    body: Any
    before: Thing | None
    added: tuple[str, ...] = ()
    status: int = 200
    code: str = ""

    @property
    def done(self) -> bool:
        """Whether it had its effect."""
        return not self.code


@dataclass(frozen=True)
class Call:
    """One call of the operator as the emulator's log has it; `status` is 0 without a response."""

    time: float
    operation: str
    method: str
    path: str
    status: int
    body: bytes

    @property
    def reads(self) -> bool:
        """Whether it changes nothing."""
        return self.method in {"GET", "HEAD"}


@dataclass(frozen=True)
class Write:
    """One request of the operator to the API server that was a write."""

    time: float
    verb: str
    resource: str
    namespace: str
    name: str
    status: int
    body: Any


@dataclass(frozen=True)
class Version:
    """One entry of the API server's watch log."""

    time: float
    type: str
    plural: str
    namespace: str
    name: str
    body: Body

    @property
    def uid(self) -> str:
        """Of the object."""
        return str(self.body["metadata"]["uid"])


@dataclass(frozen=True)
class Done:
    """A step that was taken; `refusal` is what the API server or the service said against it."""

    time: float
    do: str
    args: Mapping[str, Any]
    refusal: str = ""


@dataclass
class Record:
    """All that happened.

    Attributes:
        steps: taken, in order.
        effects: what reached the service's handlers and was no read.
        calls: of the operator, reads included.
        versions: of all objects.
        objects: at the end.
        pools, jobs, schedules: of the service at the end, by id, as its API shows them; a job has its `tasks` by id.
        rest: when the last, quiet stretch began and ended; they are equal if there was none.
        moving: what still changed when there was no rest.
        lines: of the operator's log.
        tracebacks: in it.
        deaths: why operators ended that nobody ended.
        planted: secret values that must not be shown.
        starts: when operators were started.
    """

    steps: list[Done] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    writes: list[Write] = field(default_factory=list)
    versions: list[Version] = field(default_factory=list)
    objects: list[Body] = field(default_factory=list)
    pools: dict[str, Body] = field(default_factory=dict)
    jobs: dict[str, Body] = field(default_factory=dict)
    schedules: dict[str, Body] = field(default_factory=dict)
    rest: tuple[float, float] = (0.0, 0.0)
    moving: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    tracebacks: list[str] = field(default_factory=list)
    deaths: list[str] = field(default_factory=list)
    planted: list[str] = field(default_factory=list)
    starts: list[float] = field(default_factory=list)
