"""A history is plain data: what users and the world do to the operator, and when, so that it can be stored and played again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self


@dataclass(frozen=True)
class Step:
    """One thing that somebody does.

    Attributes:
        at: virtual seconds since the beginning of the history.
        do: the action, one of those in `actions.ACTIONS`.
        args: of the action; plain data.
    """

    at: float
    do: str
    args: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class History:
    """A list of steps in the order of time, and what chance the stage draws from.

    Attributes:
        seed: of the stage's latencies and of the emulator.
        settings: of the operator, beside those of the stage.
        replicas: how many operators run; more than one use leader election, or share the accounts if the settings have `shards`.
        found: for stored histories: what was wrong when this one was found.
        finalizer_at_creation: whether the API server creates BatchTasks with the operator's finalizer.
    """

    seed: int
    steps: tuple[Step, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    replicas: int = 1
    found: str = ""
    finalizer_at_creation: bool = False

    def having(self, steps: Sequence[Step]) -> Self:
        """The same with other steps."""
        return replace(self, steps=tuple(sorted(steps, key=lambda each: each.at)))

    def until(self, at: float) -> Self:
        """Its steps up to a moment: the beginning of a history is one as well."""
        return self.having([each for each in self.steps if each.at <= at])

    def to_json(self) -> str:
        """As it is stored."""
        steps = [json.dumps({"at": each.at, "do": each.do, **each.args}, ensure_ascii=False) for each in self.steps]
        head = {"found": self.found, "seed": self.seed, "settings": dict(self.settings), "replicas": self.replicas}
        head |= {"finalizerAtCreation": True} if self.finalizer_at_creation else {}
        lines = ",\n".join(f"    {each}" for each in steps)
        return json.dumps(head, indent=2, ensure_ascii=False)[:-2] + f',\n  "steps": [\n{lines}\n  ]\n}}\n'

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` has written.

        Raises:
            KeyError: a member is missing.
        """
        body = json.loads(text)
        steps = []
        for each in body["steps"]:
            args = {name: value for name, value in each.items() if name not in {"at", "do"}}
            steps.append(Step(float(each["at"]), each["do"], args))
        settings, replicas = body.get("settings", {}), body.get("replicas", 1)
        at_creation = body.get("finalizerAtCreation", False)
        return cls(body["seed"], tuple(steps), settings, replicas, body.get("found", ""), at_creation)


def stored() -> dict[str, History]:
    """All stored histories by name."""
    folder = Path(__file__).parent / "stored"
    return {each.stem: History.from_json(each.read_text()) for each in sorted(folder.glob("*.json"))}
