"""One property of one kind: the specs that it is tried with, and what comes of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from properties import samples
from properties.admission import refusal_of
from properties.expected import reason_for
from properties.judge import Violation, judged, outcome_of, without_effect
from properties.paths import KINDS, Path, forbidden, paths, text
from properties.visits import HOUR, STILL, Fresh, Round, Spec, Step, Visit, most_of, walked

STEPS = ("set", "change", "unset")
"""What coverage is counted of."""
_ROUNDS = ("before", "set", "change", "wrong", "back", "unset")


class Tried(Protocol):
    """What an outcome is of."""

    @property
    def kind(self) -> str:
        """Of the object."""

    @property
    def again(self) -> str:
        """How to repeat it."""


T = TypeVar("T", bound=Tried)


@dataclass(frozen=True)
class Case:
    """One property."""

    kind: str
    path: Path

    def __str__(self) -> str:
        return f"{self.kind} {text(self.kind, self.path)}"

    @property
    def again(self) -> str:
        """How to repeat it."""
        short = next(short for short, kind in KINDS.items() if kind == self.kind)
        return f'make properties PROPERTIES="--kind {short} --path {text(self.kind, self.path)}"'


@dataclass
class Outcome:
    """What came of it.

    Attributes:
        covered: each step that was tried, with what became of it (`judge.outcome_of`).
        allowed: violations that may be, with the reasons.
    """

    case: Tried
    covered: dict[str, str] = field(default_factory=dict)
    violations: list[Violation] = field(default_factory=list)
    allowed: list[tuple[Violation, str]] = field(default_factory=list)


def every_case(kinds: Iterable[str] = KINDS) -> list[Case]:
    """All properties of kinds, which are named in short."""
    return [Case(KINDS[kind], path) for kind in kinds for path in paths(KINDS[kind])]


def batches(chosen: Sequence[T]) -> list[list[T]]:
    """What goes side by side."""
    found = []
    for kind in KINDS.values():
        mine, size = [each for each in chosen if each.kind == kind], most_of(kind)
        found += [mine[at : at + size] for at in range(0, len(mine), size)]
    return found


def specs_of(case: Case) -> Mapping[str, Spec]:
    """The specs to try: without the property, with its values, with a wrong one and back, and without it again."""
    kind, path = case.kind, case.path
    first = samples.with_value(kind, samples.base(kind, path), path, samples.value(kind, path, 0))
    second = samples.with_value(kind, first, path, samples.value(kind, path, 1))
    found: dict[str, Spec] = {"before": _without(kind, first, path), "set": first, "change": second}
    if (bad := samples.wrong(kind, path)) is not samples.NOTHING:
        found |= {"wrong": samples.with_value(kind, first, path, bad), "back": second}
    return found | {"unset": samples.without(second, path)}


def _without(kind: str, spec: Spec, path: Path) -> Spec:
    """A spec without a property, or without what it stands in if that cannot be without it."""
    for length in range(len(path), 1, -1):
        candidate = samples.without(spec, path[:length])
        if candidate != spec and not refusal_of(kind, candidate):
            return candidate
    return samples.base(kind, path)


def run(cases: Sequence[Case]) -> list[Outcome]:
    """Try properties of one kind, side by side."""
    kind = cases[0].kind
    specs = [specs_of(each) for each in cases]
    rounds = [
        Round(
            tuple(Step(name, each[name]) if name in each else None for each in specs),
            still=HOUR if name == "unset" else STILL,
        )
        for name in _ROUNDS
    ]
    fresh = Fresh(kind)
    try:
        fresh.make([spec for each in specs for spec in each.values()])
        walks = walked(kind, rounds)
    except Exception as error:
        if len(cases) > 1:
            return [outcome for each in cases for outcome in run([each])]
        return [Outcome(cases[0], violations=[Violation("", "crash", f"{type(error).__name__}: {error}"[:2000])])]
    return [_judged(*each, fresh) for each in zip(cases, specs, walks, strict=True)]


def _judged(case: Case, specs: Mapping[str, Spec], visits: Sequence[Visit], fresh: Fresh) -> Outcome:
    found = list(judged(visits, [case.path], fresh))
    first, second = fresh(specs["set"]), fresh(specs["change"])
    found += without_effect(first, second, case.path, forbidden=forbidden(case.kind, case.path))
    return sifted(case, {each.step: outcome_of(each) for each in visits}, found)


def sifted(case: Tried, covered: dict[str, str], found: Sequence[Violation]) -> Outcome:
    """An outcome, with what may be apart."""
    outcome = Outcome(case, covered)
    for each in dict.fromkeys(found):
        reason = reason_for(f"{case} {each}")
        if reason is None:
            outcome.violations.append(each)
        else:
            outcome.allowed.append((each, reason))
    return outcome
