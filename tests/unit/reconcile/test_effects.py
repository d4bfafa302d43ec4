"""A plan comes to effects in one order, whatever it holds."""

from __future__ import annotations

from typing import get_args

from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Key
from azure_batch_operator.reconcile.effects import (
    AddFinalizer,
    Confirm,
    CountDrift,
    Effect,
    Halt,
    RemoveFinalizer,
    Requeue,
    Settle,
    ShowStatus,
    StartFeed,
    StartMarkedFeed,
    StoreStatus,
    Submit,
    effects,
)
from azure_batch_operator.reconcile.plan import (
    Absence,
    Call,
    Ended,
    Event,
    Feed,
    ObjectChange,
    Plan,
    Retry,
    StopFeed,
    Table,
)

CREATE = Call("create_job", Table.JOBS, "one", body={"id": "one"})
GONE = Absence(Table.JOBS, "one")
WAITS = Absence(Table.TASKS, "a", "one")
CHANGE = ObjectChange(Key(Kind.JOB, "default", "run"), {})
TOLD = Event("Created", "the job was created")
FEED = Feed("print", "2026-01-01T00:00:00Z", spec={"tasks": []})
PLAN = Plan(
    finalizer="add", calls=(CREATE,), objects=(CHANGE,), submit={"id": "a"}, submit_to="one", feed=FEED,
    status={"phase": "Active"}, events=(TOLD,), requeue_after=5.0, drift=("priority",), first={"phase": "Pending"},
    retry=Retry("x", "2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z"),
    feeds_only=StopFeed("print", "2026-01-01T00:00:00Z"), halts=True,
    ended=Ended("one", None), left_active=WAITS, confirm=(GONE,),
)  # fmt: skip


def test_all_that_a_plan_holds_is_done_in_this_order() -> None:
    assert list(effects(PLAN)) == [
        Halt(),
        AddFinalizer(),
        Confirm(Ended("one", None)),
        Confirm(WAITS, active=True),
        Confirm(GONE),
        StoreStatus({"phase": "Pending"}),
        Submit({"id": "a"}, "one"),
        StopFeed("print", "2026-01-01T00:00:00Z"),
        StartFeed(FEED),
        Retry("x", "2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z"),
        CREATE,
        Settle(),
        CHANGE,
        ShowStatus({"phase": "Active"}),
        CountDrift(("priority",)),
        TOLD,
        Requeue(5.0),
    ]


def test_the_order_is_the_one_that_the_union_has() -> None:
    places = [get_args(Effect).index(type(effect)) for effect in effects(PLAN)]
    assert places == sorted(places)


def test_tasks_that_a_call_announces_are_fed_after_it() -> None:
    feed = Feed("print", None, marked=True)
    assert list(effects(Plan(calls=(CREATE,), feed=feed))) == [CREATE, StartMarkedFeed(feed), Settle()]


def test_an_object_goes_last_and_what_must_be_gone_is_requested_then() -> None:
    plan = Plan(finalizer="remove", confirm=(GONE,), status={"phase": "Deleting"}, events=(TOLD,))
    assert list(effects(plan)) == [Settle(), ShowStatus({"phase": "Deleting"}), TOLD, RemoveFinalizer((GONE,))]


def test_a_plan_that_has_decided_nothing_comes_to_nothing() -> None:
    assert list(effects(Plan())) == []
