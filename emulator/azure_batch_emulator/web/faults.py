"""Injected faults: rules that make selected calls fail in selected ways. Deterministic under a seed; no I/O here."""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from azure_batch_emulator.schema.orders import FAULT
from azure_batch_emulator.wire.errors import invalid_property


@dataclass(frozen=True, slots=True)
class Partial:
    """Some items of a task collection fail.

    Attributes:
        every: each n-th item, counted from the first.
        status: ``ServerError`` or ``ClientError``, in the wire's casing.
        code: of the item's error.
    """

    every: int = 2
    status: str = "ServerError"
    code: str = "ServerBusy"

    def hits(self, index: int) -> bool:
        """Whether the item at this position fails."""
        return index % self.every == 0


@dataclass(frozen=True, slots=True)
class Effect:
    """What happens to a call.

    Attributes:
        status: return this status and do nothing.
        delay: real seconds to wait first.
        hang: never respond.
        reset: cut the connection; nothing is done, unless it lands later.
        truncate: do it, but send only this share of the body and cut the connection.
        corrupt: do it, but damage the body.
        partial: some items of a task collection fail.
        lost_answer: do it, then cut the connection.
        land_after: take the call in, do it after so many real seconds or when told, whether or not the caller still
            waits, and answer nothing. With `reset` the connection is cut at once.
    """

    status: int | None = None
    code: str | None = None
    message: str | None = None
    retry_after: int | None = None
    delay: float = 0.0
    hang: bool = False
    reset: bool = False
    truncate: float | None = None
    corrupt: bool = False
    partial: Partial | None = None
    lost_answer: bool = False
    land_after: float | None = None


@dataclass(slots=True)
class Rule:
    """Which calls a fault hits.

    Attributes:
        operation: regular expression for the whole operation id, such as ``Tasks_Create.*``.
        path: regular expression searched for in the raw path and query.
        count: how many calls it hits, None for all.
        skip: how many matching calls it lets pass first.
    """

    id: int
    effect: Effect
    body: dict[str, Any]
    operation: re.Pattern[str] | None = None
    method: str | None = None
    path: re.Pattern[str] | None = None
    count: int | None = None
    skip: int = 0
    probability: float = 1.0
    hits: int = 0
    random: random.Random = field(default_factory=random.Random)

    def takes(self, operation: str, method: str, target: str) -> bool:
        """Whether the rule applies to this call; counts the call."""
        if self.count is not None and self.hits >= self.count:
            return False
        if self.operation is not None and not self.operation.fullmatch(operation):
            return False
        if self.method is not None and self.method != method:
            return False
        if self.path is not None and not self.path.search(target):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        if self.probability < 1.0 and self.random.random() >= self.probability:
            return False
        self.hits += 1
        return True

    def as_json(self) -> dict[str, Any]:
        """The rule as it was posted, with its ID and the number of affected calls."""
        return {"id": self.id, "hits": self.hits} | self.body


class Faults:
    """The active rules, oldest first."""

    def __init__(self, seed: int | None = None) -> None:
        self._seed = seed
        self._serial = itertools.count(1)
        self.rules: dict[int, Rule] = {}

    def add(self, body: Mapping[str, Any]) -> Rule:
        """Put a rule in force.

        Raises:
            BatchError: 400, naming what is wrong with the body.
        """
        rule = _make(next(self._serial), FAULT.accept("", body), dict(body), self._seed)
        self.rules[rule.id] = rule
        return rule

    def clear(self, rule_id: int | None = None) -> bool:
        """Remove one rule or all; False if the rule does not exist."""
        if rule_id is None:
            self.rules.clear()
            return True
        return self.rules.pop(rule_id, None) is not None

    def effect_on(self, operation: str, method: str, target: str) -> Effect | None:
        """The effect on a call, from the first rule that matches."""
        for rule in self.rules.values():
            if rule.takes(operation, method, target):
                return rule.effect
        return None


def _make(rule_id: int, order: Mapping[str, Any], body: dict[str, Any], seed: int | None) -> Rule:
    if not body["effect"]:
        raise invalid_property("effect", {}, 'A rule needs an effect, such as {"status": 503, "code": "ServerBusy"}.')
    effect, partial = order["effect"], order["effect"].get("partial")
    rule_seed = order.get("seed", seed)
    return Rule(
        id=rule_id,
        body=body,
        operation=_pattern(order.get("operation")),
        method=order["method"].upper() if order.get("method") else None,
        path=_pattern(order.get("path")),
        count=order.get("count"),
        skip=order["skip"],
        probability=order["probability"],
        random=random.Random(rule_seed if rule_seed is None else f"{rule_seed}/{rule_id}"),  # noqa: S311
        effect=Effect(
            status=effect.get("status"),
            code=effect.get("code"),
            message=effect.get("message"),
            retry_after=effect.get("retryAfter"),
            delay=effect["delay"],
            hang=effect["hang"],
            reset=effect["reset"],
            truncate=effect.get("truncate"),
            corrupt=effect["corrupt"],
            partial=Partial(**partial) if partial is not None else None,
            lost_answer=effect["lostAnswer"],
            land_after=effect.get("landAfter"),
        ),
    )


def _pattern(text: str | None) -> re.Pattern[str] | None:
    return re.compile(text) if text else None
