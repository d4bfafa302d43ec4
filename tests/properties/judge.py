"""Judges what specs have come to, by Acto's oracles.

- differential: the state equals that of an object that was created with the spec.
- stable: nothing moves any more.
- rollback: what is refused is named, and leaves things as they were; going back recovers.
- truthful: the status says what is so.
- effect: two values of a property give two states, or nobody reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from perturbations.end import differences
from properties.paths import Path
from properties.picture import Picture
from properties.visits import Spec, Visit

_MAX_SHOWN = 3
"""Lines for one oracle at one step."""
_UNDER_WAY = frozenset(
    {
        "Creating", "Resizing", "Updating", "Draining", "RemovingNodes", "Replacing", "NodesStarting", "Connecting", "Deleting",
    }
)  # fmt: skip
"""Reasons of objects that are on their way to what the spec says."""


@dataclass(frozen=True)
class Violation:
    """What is wrong."""

    step: str
    oracle: str
    what: str

    def __str__(self) -> str:
        return f"[{self.step}] {self.oracle}: {self.what}"


def judged(visits: Sequence[Visit], paths: Sequence[Path], fresh: Callable[[Spec], Visit]) -> Iterator[Violation]:
    """What is wrong with a walk.

    Args:
        paths: properties that it changes; a message has to name one of them, or what it stands in.
        fresh: what an object comes to that is created with a spec.
    """
    names = {name for path in paths for name in path[1:]}
    for visit in visits:
        if visit.refusal:
            yield from _named(visit.step, visit.refusal, names)
            continue
        for each in visit.moved[:_MAX_SHOWN]:
            yield Violation(visit.step, "stable", each)
        generation, observed = (
            visit.body["metadata"]["generation"],
            visit.body.get("status", {}).get("observedGeneration"),
        )
        if observed != generation:
            yield Violation(visit.step, "truthful", f"observedGeneration is {observed}, the generation {generation}")
        text = "; ".join(filter(None, map(told, visit.picture.statuses.values()))) if visit.picture else ""
        if text:
            yield from _named(visit.step, text, names)
        yield from _compared(visit, fresh(visit.spec), text)


def _compared(visit: Visit, new: Visit, text: str) -> Iterator[Violation]:
    for each in new.moved[:_MAX_SHOWN]:
        yield Violation(f"fresh {visit.step}", "stable", each)
    if new.picture is None or visit.picture is None:
        yield Violation(visit.step, "differential", f"a new object is refused: {new.refusal}")
        return
    unlike = _state(new.picture, visit.picture)
    if text:
        kept = visit.before is None or not _state(visit.before, visit.picture)
        if unlike and not kept and not all(_is_of(each, text) for each in unlike):
            yield Violation(visit.step, "rollback", f"neither as before nor as a new object: {unlike[0]}")
        return
    for each in unlike[:_MAX_SHOWN]:
        yield Violation(visit.step, "differential", each)
    for each in differences(new.picture.statuses, visit.picture.statuses)[:_MAX_SHOWN]:
        yield Violation(visit.step, "truthful", f"status {each}")


def _state(wanted: Picture, found: Picture) -> list[str]:
    return differences(wanted.azure, found.azure) + differences(wanted.secrets, found.secrets, "/secret")


def _is_of(difference: str, text: str) -> bool:
    """Whether a difference is in a member that a message names."""
    return any(part in text for part in difference.partition(":")[0].split("/")[2:])


def _named(step: str, text: str, names: set[str]) -> Iterator[Violation]:
    if not any(name.lower() in text.lower() for name in names):
        yield Violation(step, "rollback", f"names none of {', '.join(sorted(names))}: {text}")


def told(status: Mapping[str, Any]) -> str:
    """What a status says of the spec not being what is; empty if it says that all is well, or in progress."""
    conditions = {each["type"]: each for each in status.get("conditions", ())}
    texts = [
        str(conditions[name]["message"])
        for name in ("UpdatePending", "NotApplied")
        if conditions.get(name, {}).get("status") == "True"
    ]
    if conditions.get("TasksInSync", {}).get("status") == "False":
        texts.append(str(conditions["TasksInSync"]["message"]))
    ready = conditions.get("Ready", {})
    if ready and ready["status"] != "True" and ready["reason"] not in _UNDER_WAY:
        texts.append(f"{ready.get('reason')}: {ready.get('message')}")
    return "; ".join(texts)


def outcome_of(visit: Visit) -> str:
    """What has become of a step: `refused` at apply, `told` by the status, or `applied`."""
    if visit.refusal:
        return "refused"
    return "told" if told(visit.body.get("status", {})) else "applied"


def without_effect(first: Visit, second: Visit, path: Path, *, forbidden: bool) -> Iterator[Violation]:
    """Whether two values of a property give the same, or the first is none that a new object can have."""
    if forbidden:
        if not first.refusal or path[-1] not in first.refusal:
            yield Violation("set", "rollback", f"is not refused with its name: {first.refusal}")
        return
    if first.refusal:
        yield Violation("set", "sample", f"a new object is refused: {first.refusal}")
    if second.refusal:
        yield from _named("change", second.refusal, {path[-1]})
    if first.spec != second.spec and first.picture is not None and first.picture == second.picture:
        said = told(second.body.get("status", {}))
        what = f"no value reached Azure Batch; the status says {said}" if said else "both values give the same"
        yield Violation("change", "effect", what)
