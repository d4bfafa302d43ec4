"""Random sequences: several properties of one object set, changed and unset one after the other, not all of them waited for.

Only the end is judged: it has to be that of a new object with the last spec. A seed always gives the same sequence.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from properties import samples
from properties.admission import refusal_of
from properties.cases import Outcome, sifted
from properties.judge import judged
from properties.paths import KINDS, Path, forbidden, paths, text
from properties.visits import HOUR, SETTLED, Fresh, Round, Spec, Step, walked

_PAUSES = (5.0, 40.0, 1.0, 120.0, 15.0, 3.0, 60.0, 8.0)
"""Virtual seconds after each change; the last is waited for."""
_PROPERTIES = 5
_FOLLOW = ("taskUpdatePolicy", "taskPrunePolicy")


@dataclass(frozen=True)
class Walk:
    """One of them."""

    kind: str
    seed: int

    @property
    def paths(self) -> tuple[Path, ...]:
        """Properties that it changes."""
        chance = random.Random(f"{self.kind} {self.seed}")  # noqa: S311
        allowed = [each for each in paths(self.kind) if not forbidden(self.kind, each)]
        return tuple(chance.sample(allowed, _PROPERTIES))

    def specs(self) -> Iterator[Spec]:
        """The specs, in order; each is one that a new object can have."""
        chance = random.Random(f"{self.seed} {self.kind}")  # noqa: S311
        spec: Spec = {**samples.base(self.kind, self.paths[0]), **self._policies}
        yield spec
        for _ in _PAUSES:
            path, what = chance.choice(self.paths), chance.randrange(3)
            if what == 2:
                changed = samples.without(spec, path)
            else:
                changed = samples.with_value(self.kind, spec, path, samples.value(self.kind, path, what))
            if not refusal_of(self.kind, changed):
                spec = changed
            yield spec

    @property
    def _policies(self) -> Spec:
        """That tasks follow their spec, if one of the properties is about them: otherwise they stay as they are."""
        bases = [samples.base(self.kind, each) for each in self.paths]
        return {name: each[name] for each in bases for name in _FOLLOW if name in each}

    def __str__(self) -> str:
        return f"{self.kind} sequence {self.seed} of {', '.join(text(self.kind, each) for each in self.paths)}"

    @property
    def again(self) -> str:
        """How to repeat it."""
        short = next(short for short, kind in KINDS.items() if kind == self.kind)
        return f'make properties PROPERTIES="--kind {short} --seed {self.seed} --count 1"'


def run_sequences(chosen: Sequence[Walk]) -> list[Outcome]:
    """Play sequences of one kind, side by side."""
    kind = chosen[0].kind
    specs = [list(each.specs()) for each in chosen]
    pauses = (SETTLED, *_PAUSES)
    rounds = [
        Round(tuple(Step(str(number), each[number]) for each in specs), settled=pause, still=0.0)
        for number, pause in enumerate(pauses)
    ]
    rounds.append(Round(tuple(Step("end", None) for _ in specs), still=HOUR))
    fresh = Fresh(kind)
    walks = walked(kind, rounds)
    fresh.make([walk[-1].spec for walk in walks])
    return [
        sifted(each, {}, list(judged(walk[-1:], each.paths, fresh))) for each, walk in zip(chosen, walks, strict=True)
    ]
