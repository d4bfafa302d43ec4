"""The life of each object, from the API server's watch log: what it asked for, and when."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from histories.record import Body, Record, Version

_SLACK = 70.0
"""Virtual seconds for which a wish that was withdrawn may still act: a call may land a minute after it was sent."""
_NAMESPACE_SECONDS = 30.0
"""Until a changed annotation of a namespace is noticed (docs/ownership.md)."""
PREFIX = "azurebatch.io/"
KINDS = {
    "batchpools": "BatchPool", "batchjobs": "BatchJob", "batchtasks": "BatchTask",
    "batchjobschedules": "BatchJobSchedule", "batchaccounts": "BatchAccount", "batchoperations": "BatchOperation",
}  # fmt: skip


@dataclass
class Life:
    """One object from its creation to its end."""

    plural: str
    namespace: str
    name: str
    uid: str
    versions: list[Version] = field(default_factory=list)
    blind: tuple[tuple[float, float], ...] = ()
    """Stretches in which the operator could not learn of a change: it was frozen, or notifications were held up."""
    namespaces: list[Version] = field(default_factory=list)
    """Versions of its namespace."""

    def __str__(self) -> str:
        return f"{KINDS[self.plural]} {self.namespace}/{self.name} ({self.uid[:8]})"

    @property
    def last(self) -> Body:
        """The object as it was last."""
        return self.versions[-1].body

    @property
    def gone(self) -> float | None:
        """When it was removed."""
        return self.versions[-1].time if self.versions[-1].type == "DELETED" else None

    @property
    def deleting(self) -> float | None:
        """When its deletion began."""
        return next(
            (
                each.time
                for each in self.versions
                if each.type == "DELETED" or "deletionTimestamp" in each.body["metadata"]
            ),
            None,
        )

    def before(self, time: float) -> Iterator[Body]:
        """All of its versions up to then."""
        return (each.body for each in self.versions if each.time <= time)

    def heard(self, time: float, slack: float = _SLACK) -> float:
        """By when the operator has learned of what happened at a time, and no call that was sent before can land any more."""
        until = time + slack
        for begin, end in sorted(self.blind):
            if begin <= until and end >= time:
                until += end - max(begin, time)
        return until

    def around(self, time: float, slack: float = _SLACK) -> list[Body]:
        """The versions that the operator may have acted by at a time: the present one and those that it has just replaced."""
        return self._around(self.versions, time, slack)

    def _around(self, versions: list[Version], time: float, slack: float) -> list[Body]:
        since = time - slack
        for begin, end in sorted(self.blind, reverse=True):
            if begin <= time and end >= since:
                since -= min(end, time) - begin
        found = [each.body for each in versions if since <= each.time <= time]
        older = [each.body for each in versions if each.time < since]
        return older[-1:] + found

    def ever(self, holds: Callable[[Body], Any], time: float) -> bool:
        """Whether something has held in any version up to then."""
        return any(holds(each) for each in self.before(time))

    def annotated(self, name: str, time: float) -> bool:
        """Whether it has had an annotation up to then."""
        return self.ever(lambda body: annotation(body, name) is not None, time)

    def policies(self, time: float) -> set[str]:
        """Policies that may count at a time."""
        own = {annotation(each, "reconcile-policy") for each in self.around(time)}
        if None not in own:
            return {each for each in own if each is not None}
        slack = _SLACK + _NAMESPACE_SECONDS
        given = {
            annotation(each, "reconcile-policy") or "manage" for each in self._around(self.namespaces, time, slack)
        }
        if not any(each.time < time - slack for each in self.namespaces):
            given.add("manage")
        return {each for each in own if each is not None} | given

    @property
    def ids(self) -> set[str]:
        """Ids that it may have in Azure Batch."""
        return {(each.body["spec"].get("id") or self.name).lower() for each in self.versions}


def annotation(body: Body, name: str) -> str | None:
    """An annotation of ours."""
    value: str | None = (body["metadata"].get("annotations") or {}).get(PREFIX + name)
    return value


def spec(body: Body, *path: str) -> Any:
    """A member of the spec; None if it is not there."""
    value: Any = body.get("spec")
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def has(name: str, value: Any = None) -> Callable[[Body], bool]:
    """Whether the spec of an object has a member, or has it with this value."""
    return lambda body: spec(body, name) is not None if value is None else bool(spec(body, name) == value)


def condition(body: Body, type_: str = "Ready") -> Body:
    """A condition of a status; empty if it is not there."""
    conditions = (body.get("status") or {}).get("conditions") or ()
    return next((each for each in conditions if each["type"] == type_), {})


def lives(record: Record) -> dict[str, Life]:
    """All lives by uid."""
    found: dict[str, Life] = {}
    blind = tuple(
        (each.time, each.time + float(each.args["seconds"]))
        for each in record.steps
        if each.do in {"freeze", "watch-hold", "watch-delay"}
    )
    namespaces: dict[str, list[Version]] = defaultdict(list)
    for each in record.versions:
        if each.plural == "namespaces":
            namespaces[each.name].append(each)
    for each in record.versions:
        if each.plural in KINDS:
            within = namespaces[each.namespace]
            new = Life(each.plural, each.namespace, each.name, each.uid, blind=blind, namespaces=within)
            life = found.setdefault(each.uid, new)
            life.versions.append(each)
    return found
