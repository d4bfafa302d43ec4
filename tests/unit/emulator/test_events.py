"""What managers of the engine tell each other reaches those that it is meant for, in a fixed order."""

from __future__ import annotations

from azure_batch_emulator.engine.events import Event
from support.hand_executor import Bench


def test_handlers_are_called_in_the_order_in_which_they_were_added() -> None:
    event: Event[[str, int]] = Event()
    told: list[tuple[str, str, int]] = []
    event.subscribe(lambda name, number: told.append(("first", name, number)))
    event.subscribe(
        lambda name, number: told.append(("second", name, number)),
        lambda name, number: told.append(("third", name, number)),
    )
    event("x", 1)
    assert told == [("first", "x", 1), ("second", "x", 1), ("third", "x", 1)]


def test_somebody_listens_to_each_event_of_an_account() -> None:
    events = vars(Bench().service.events)
    assert len(events) > 20
    assert [name for name, event in events.items() if not event.handlers] == []
