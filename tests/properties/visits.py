"""Takes objects from spec to spec on the quick stage, and notes what each spec comes to.

Many objects go side by side on one stage, which costs little more than one. They do not touch each other: each has a name, and
with it ids in Azure Batch, of its own.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from perturbations.end import differences
from properties.admission import refusal_of
from properties.picture import Picture, taken
from properties.world import OPTIONS, name_of, prepared, started, subject
from support.stage import Refusal, Stage
from support.stage.clock import StageLoop

Spec = Mapping[str, Any]
SETTLED = 240.0
"""Virtual seconds after which a change has to be through; nodes come and go meanwhile."""
STILL = 320.0
"""Virtual seconds for which nothing may move then: a poll at rest."""
HOUR = 3600.0
"""The same at the end of a walk: polls, and resyncs."""
_WRITES = frozenset({"create", "update", "patch", "delete"})


@dataclass(frozen=True)
class Step:
    """One spec to be applied; `name` is such as `set`. None leaves the object as it is."""

    name: str
    spec: Spec | None


@dataclass(frozen=True)
class Round:
    """What all objects do at the same time.

    Attributes:
        steps: of each object; None if it has nothing to do.
        settled: virtual seconds that they are given.
        still: virtual seconds for which nothing may move after that.
    """

    steps: tuple[Step | None, ...]
    settled: float = SETTLED
    still: float = STILL


@dataclass(frozen=True)
class Visit:
    """What a spec has come to.

    Attributes:
        refusal: why the API server does not take it; then there is nothing else.
        before: a picture of the moment when it was applied; None for a new object.
        picture: of the moment when it has settled.
        body: the object at that moment.
        moved: what moved after that.
    """

    step: str
    spec: Spec
    refusal: str = ""
    before: Picture | None = None
    picture: Picture | None = None
    body: Mapping[str, Any] = field(default_factory=dict)
    moved: tuple[str, ...] = ()


def walked(kind: str, rounds: Sequence[Round], seed: int = 0) -> list[list[Visit]]:
    """Walk objects side by side; the visits of each."""

    async def run() -> list[list[Visit]]:
        visits: list[list[Visit]] = [[] for _ in rounds[0].steps]
        async with Stage(OPTIONS) as stage:
            stage.start()
            await prepared(stage, kind)
            for each in rounds:
                for index, visit in (await _visits(stage, kind, each)).items():
                    visits[index].append(visit)
            stage.check()
            return visits

    return _on_loop(run())


class Fresh:
    """What objects come to that are created with a spec, each on its own; made side by side beforehand."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._known: dict[str, Visit] = {}

    def make(self, specs: Sequence[Spec]) -> None:
        """Create objects with these specs."""
        left = {key: spec for spec in specs if (key := _key(spec)) not in self._known}
        if not left:
            return
        refused = {key: refusal_of(self._kind, spec) for key, spec in left.items()}
        self._known |= {key: Visit("fresh", left[key], why) for key, why in refused.items() if why}
        steps = tuple(Step("fresh", spec) for key, spec in left.items() if not refused[key])
        for part in _parts(steps, most_of(self._kind)):
            for [visit] in walked(self._kind, [Round(part)]):
                self._known[_key(visit.spec)] = visit

    def __call__(self, spec: Spec) -> Visit:
        """What has become of one."""
        self.make([spec])
        return self._known[_key(spec)]


def most_of(kind: str) -> int:
    """How many objects of a kind go side by side."""
    return 1 if kind == "BatchAccount" else 40


def _parts(steps: tuple[Step, ...], size: int) -> list[tuple[Step, ...]]:
    return [steps[at : at + size] for at in range(0, len(steps), size)]


def _key(spec: Spec) -> str:
    return json.dumps(spec, sort_keys=True)


def _on_loop(coroutine: Coroutine[Any, Any, list[list[Visit]]]) -> list[list[Visit]]:
    with asyncio.Runner(loop_factory=StageLoop) as runner:
        return runner.run(coroutine)


async def _visits(stage: Stage, kind: str, round_: Round) -> dict[int, Visit]:
    """One round; the visits by the number of the object."""
    names = [name_of(kind, index) for index in range(len(round_.steps))]
    pictures = taken(stage, kind, names)
    before = {name: None if stage.gone(kind, name) else pictures[name] for name in names}
    visits: dict[int, Visit] = {}
    for index, step in enumerate(round_.steps):
        if step is None:
            continue
        spec = step.spec if step.spec is not None else stage.get(kind, names[index])["spec"]
        try:
            stage.apply(subject(kind, names[index], spec))
            visits[index] = Visit(step.name, spec)
        except Refusal as refusal:
            visits[index] = Visit(step.name, spec, str(refusal))
    if all(each.refusal for each in visits.values()):
        return visits
    await started(stage, kind)
    await stage.run_for(round_.settled)
    pictures, since, requests = taken(stage, kind, names), stage.now, len(stage.api.log)
    bodies = {name: stage.get(kind, name) for name in names}
    await stage.run_for(round_.still)
    later = taken(stage, kind, names)
    for index, visit in visits.items():
        name = names[index]
        if not visit.refusal:
            moved = (*_touched(stage, kind, name, since, requests), *_differing(pictures[name], later[name]))
            visits[index] = Visit(visit.step, visit.spec, "", before[name], pictures[name], bodies[name], moved)
    return visits


def _touched(stage: Stage, kind: str, name: str, since: float, requests: int) -> list[str]:
    """Calls that changed something of the object since then, and writes to it."""
    whole = kind == "BatchAccount"
    # A collection may be taken without any of its tasks; what it adds shows.
    calls = [
        each
        for each in stage.azure.changes(since)
        if each.status < 400 and (whole or name in each.path) and not each.operation.endswith("TaskCollection")
    ]
    writes = [
        each
        for each in stage.api.log[requests:]
        if each.verb in _WRITES and each.resource.startswith("batch") and (whole or name in each.name)
    ]
    return [
        *(f"call {each.operation} of {each.path.replace(name, 'own')}" for each in calls[:3]),
        *(f"write {each.verb} {each.resource} {each.name.replace(name, 'own')}" for each in writes[:3]),
    ]


def _differing(before: Picture, later: Picture) -> list[str]:
    return [f"now {each}" for each in differences(before.everything(), later.everything())[:3]]
