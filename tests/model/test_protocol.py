"""The protocol of ownership holds in every state that the model reaches, and each defence is needed for that."""

from __future__ import annotations

from dataclasses import replace

import pytest

from model.protocol import Decide, Defences, Protocol, ViolationError, World, pool, schedule
from model.search import search, settle

ALONE = World(births=(2, 0))
"""One object that is created twice, a foreign resource, an outsider, one crash, one lost call."""
ONCE = World(births=(1, 0))
TOGETHER = World(births=(1, 1), crashes=0, losses=0, outsiders=0)
"""Two objects that want the same resource, one of them or both by adoption."""


@pytest.mark.parametrize(("decide", "start"), [(schedule, ALONE), (pool, ONCE), (schedule, TOGETHER)])
def test_nothing_is_lost_taken_or_left_and_every_spec_is_applied(decide: Decide, start: World) -> None:
    protocol = Protocol(decide)
    states = search(protocol, start)
    assert len(states) > 50_000
    settled: dict[World, None] = {}
    for state in states:
        settle(protocol, state, settled)


@pytest.mark.parametrize(
    ("without", "start", "what"),
    [
        ("waits_for_landing", ALONE, "an orphan of one"),
        ("inherits_doubt", ALONE, "an orphan of one"),
        ("stores_before_create", ALONE, "an orphan of one"),
        ("reports_repeats", ALONE, "an orphan of one"),
        ("confirms_absence", ALONE, "an orphan of one"),
        ("confirms_foreign", ALONE, "an orphan of one"),
        ("finalizer_first", ALONE, "an orphan of one"),
        ("sends_etag", TOGETHER, "two takes what a living object owns"),
        ("proves_before_delete", ALONE, "one deletes what belongs to None"),
    ],
)
def test_each_defence_is_needed(without: str, start: World, what: str) -> None:
    defences = replace(Defences(), **{without: False})
    if without == "proves_before_delete":
        # Either of the two proofs is enough against foreign resources.
        defences = replace(defences, sends_etag=False)
    with pytest.raises(ViolationError, match=what):
        search(Protocol(schedule, defences), start)
