"""Refused work waits for its time, whatever wakes its object; invariants of `sync.backoff`."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from azure_batch_operator.batch import ConflictError, InvalidRequestError, QuotaError, ServerError
from azure_batch_operator.reconcile.error_classes import classify_error
from azure_batch_operator.sync.backoff import Backoff

ERRORS = {
    "busy": ServerError("broken", status=500),
    "conflict": ConflictError("not now", status=409),
    "quota": QuotaError("full", status=409),
    "wrong": InvalidRequestError("bad", status=400),
}
MAX_PER_HOUR = {"busy": 66, "conflict": 66, "quota": 16, "wrong": 4}
"""Tries in one hour, the first one included: 1+2+4+…+60+60…, 30+60+…+300+300…, 60+240+960 seconds and then an hour."""


class World:
    """A clock, one object, and a service that refuses."""

    def __init__(self) -> None:
        self.now, self.tries = 0.0, 0
        self.backoff = Backoff(lambda: self.now, lambda: 1.0)

    def wake(self, intent: object, content: str, error: str) -> None:
        if self.backoff.held("pool", "create", intent, content) is None:
            self.tries += 1
            self.backoff.refused("pool", "create", intent, ERRORS[error], classify_error(ERRORS[error]), content)


@settings(deadline=None)
@given(st.sampled_from(sorted(ERRORS)), st.lists(st.floats(0.01, 5.0), min_size=50, max_size=200))
def test_no_wake_up_goes_round_it(error: str, pauses: list[float]) -> None:
    world = World()
    while world.now < 3600:
        for pause in pauses:
            world.now += pause
            world.wake("same", "same", error)
            if world.now >= 3600:
                break
    assert world.tries <= MAX_PER_HOUR[error]


def test_the_user_is_answered_at_once_and_a_corrected_value_too() -> None:
    world = World()
    world.wake("generation 1", "old", "wrong")
    world.wake("generation 1", "old", "wrong")
    assert world.tries == 1
    world.wake("generation 1", "the Secret was corrected", "wrong")
    assert world.tries == 2
    world.wake("generation 2", "old", "wrong")
    assert world.tries == 3


def test_contents_that_change_with_each_try_do_not_make_it_a_new_request_forever() -> None:
    world = World()
    for number in range(1000):
        world.now += 1
        world.wake("same", f"content {number}", "wrong")
    assert world.tries < 15


def test_success_resets_the_backoff_and_so_does_another_kind_of_refusal() -> None:
    world = World()
    for _ in range(5):
        world.now += 100
        world.wake("same", "same", "busy")
    assert (
        world.backoff.refused("pool", "create", "same", ERRORS["quota"], classify_error(ERRORS["quota"]), "same") == 30
    )
    world.backoff.succeeded("pool", "create")
    assert world.backoff.refusals("pool", "create", "same") == 0
    assert world.backoff.refused("pool", "create", "same", ERRORS["busy"], classify_error(ERRORS["busy"]), "same") == 1


def test_a_plan_that_wavers_does_not_shorten_the_wait() -> None:
    world = World()
    world.wake("same", "same", "quota")
    world.backoff.settle("pool", set())
    world.wake("same", "same", "quota")
    assert world.tries == 1
    world.now += 31
    world.backoff.settle("pool", set())
    assert world.backoff.refusals("pool", "create", "same") == 0, "nobody wants it any more and its wait is over"


def test_the_first_refusal_that_an_old_observation_explains_costs_no_wait() -> None:
    world = World()
    world.backoff.overtaken("pool", "create", "same", ERRORS["conflict"])
    assert world.backoff.held("pool", "create", "same", "same") is None
    world.wake("same", "same", "conflict")
    assert world.backoff.held("pool", "create", "same", "same") is not None


def test_objects_do_not_wait_for_each_other() -> None:
    world = World()
    world.wake("same", "same", "wrong")
    assert world.backoff.held("another pool", "create", "same", "same") is None
    assert world.backoff.held("pool", "delete", "same", "same") is None
