"""Observing an object changes nothing: what it comes to is a plan and a subscription, which others carry out."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import SimpleNamespace
from typing import Any

import pytest

from azure_batch_operator.api.base import TERMINATE
from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Resource
from azure_batch_operator.reconcile.operation_order import Progress
from azure_batch_operator.reconcile.ownership import Owned
from azure_batch_operator.sync import observe
from azure_batch_operator.sync.interest import Interest
from azure_batch_operator.sync.mirror import Mirror
from azure_batch_operator.sync.observe.context import Decision, Subscription
from azure_batch_operator.sync.store import Store
from azure_batch_operator.sync.subscriptions import subscribe
from support import typed
from unit.objects import ACCOUNT, CLUSTER, JOB_SPEC, NOW, POOL_SPEC, TASK_SPEC, owned, resource

ENDED = {"phase": "Succeeded", "observedGeneration": 1}
POOL = resource(Kind.POOL, POOL_SPEC | {"startTask": {"commandLine": "x"}, "startTaskUpdate": "Reboot"}, name="cpu")
JOB = resource(Kind.JOB, JOB_SPEC, name="steps")
TASK = resource(Kind.TASK, TASK_SPEC | {"tailLines": 5}, finalizer=True)
SCHEDULE = resource(
    Kind.SCHEDULE,
    {"schedule": {"recurrenceInterval": "PT1H"}, "jobSpecification": {"poolRef": {"name": "cpu"}}},
    name="hourly",
    status=ENDED,
)
OPERATION = resource(Kind.OPERATION, {"poolRef": {"name": "cpu"}, "rebootNode": {"nodes": {"names": ["a"]}}})


def _none(*_: Any) -> None:
    return None


class Session(SimpleNamespace):
    """Services of an account that can only be asked: whatever would change something is missing."""

    def __init__(self, mirror: Mirror) -> None:
        super().__init__(
            key=None, url=ACCOUNT.url, mirror=mirror, interest=Interest(), poller=SimpleNamespace(),
            feeder=SimpleNamespace(state=_none, retry_in=_none),
            retrier=SimpleNamespace(done=_none, number=lambda *_: 0, others=lambda *_: 0, until=_none, refused=_none),
            submitter=SimpleNamespace(has=lambda *_: False, refused=_none, retry_in=_none),
            operations=SimpleNamespace(progress=lambda *_: Progress()),
        )  # fmt: skip


def _dump(value: object) -> object:
    """All that a value holds, down to the entries of its tables."""
    if isinstance(value, Enum | str | int | float | type(None)):
        return value
    if isinstance(value, Mapping):
        return {str(key): _dump(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_dump(each) for each in value]
    return {name: _dump(each) for name, each in vars(value).items()} if hasattr(value, "__dict__") else repr(value)


def _mirror() -> Mirror:
    mirror = Mirror()
    pool = owned({"id": "cpu", "state": "active", "allocationState": "steady", "vmSize": "x"}, POOL)
    job = owned({"id": "steps", "state": "active", "poolInfo": {"poolId": "cpu"}}, JOB)
    mirror.pools.replace(1.0, [pool])
    mirror.pools_of = {Owned.by(CLUSTER, POOL): [typed.pool(pool)]}
    mirror.jobs.replace(1.0, [job])
    mirror.schedules.replace(1.0, [owned({"id": "hourly", "state": "active"}, SCHEDULE)])
    mirror.tasks["steps"].replace(1.0, [{"id": "one", "state": "running", "owner": None}])
    mirror.images = []
    return mirror


def _observed(one: Resource, mirror: Mirror) -> tuple[Decision, Session]:
    store, session = Store(), Session(mirror)
    for each in (POOL, JOB, one):
        store.put(each)
    context = observe.Context(store, CLUSTER)
    return observe.plan(context, one, ACCOUNT, session, NOW), session  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("one", "wanted"),
    [
        (POOL, ("cpu",)),
        (JOB, ("steps",)),
        (TASK, ("steps", "one")),
        (SCHEDULE, ("hourly",)),
        (OPERATION, ()),
        (resource(Kind.JOB, JOB_SPEC, status=ENDED), ()),
        (resource(Kind.TASK, TASK_SPEC, status=ENDED), ()),
    ],
    ids=lambda one: f"{one.key.kind} {one.status.get('phase')}" if isinstance(one, Resource) else "",
)
def test_observing_changes_nothing(one: Resource, wanted: tuple[str, ...]) -> None:
    mirror = _mirror()
    before = _dump(mirror)
    decision, session = _observed(one, mirror)
    assert _dump(mirror) == before
    assert _dump(session.interest) == _dump(Interest())
    assert decision.subscription.path == wanted


class Poller:
    def __init__(self) -> None:
        self.asked = 0

    def request_poll(self) -> None:
        self.asked += 1


def test_a_subscription_is_followed_and_only_news_requests_a_poll() -> None:
    session = Session(_mirror())
    session.poller = poller = Poller()
    decision, _ = _observed(POOL, session.mirror)
    for _ in range(2):
        subscribe(session, POOL.key, decision.subscription)  # type: ignore[arg-type]
    assert session.interest.path(POOL.key) == ("cpu",)
    assert session.mirror.notes["cpu"].start_task == {"commandLine": "x"}
    assert poller.asked == 1


@pytest.mark.parametrize("wrong", [{"tailLines": "many"}, {"commandLine": 7}])
def test_a_task_that_is_stopped_although_its_spec_cannot_be_used_keeps_its_tail(wrong: dict[str, Any]) -> None:
    session = Session(_mirror())
    session.poller = Poller()
    session.interest.add(TASK.key, "steps", "one")
    session.interest.wish_tail(TASK.key, 5)
    unfit = resource(Kind.TASK, dict(TASK.spec) | wrong, finalizer=True, annotations={TERMINATE: "1"})
    store = Store()
    for one in (POOL, JOB, unfit):
        store.put(one)
    decision = observe.plan(observe.Context(store, CLUSTER), unfit, ACCOUNT, session, NOW)  # type: ignore[arg-type]
    assert decision.subscription.path == ("steps", "one")
    subscribe(session, unfit.key, decision.subscription)  # type: ignore[arg-type]
    assert session.interest.tail([unfit.key]) == 5


def test_nothing_continues_for_a_job_that_has_ended() -> None:
    session, ended = Session(_mirror()), list[str]()
    session.poller = Poller()
    session.feeder.forget = lambda key: ended.append(f"feeder {key.name}")
    session.retrier.forget = lambda key: ended.append(f"retrier {key.name}")
    decision, _ = _observed(JOB, session.mirror)
    subscribe(session, JOB.key, decision.subscription)  # type: ignore[arg-type]
    assert JOB.key in session.interest
    subscribe(session, JOB.key, Subscription(ended=True))  # type: ignore[arg-type]
    assert JOB.key not in session.interest
    assert ended == ["feeder steps", "retrier steps"]
