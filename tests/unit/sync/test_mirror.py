"""What the last polls saw, and that nothing is decided on what our own writes have made old."""

from __future__ import annotations

from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Key
from azure_batch_operator.reconcile.plan import Absent
from azure_batch_operator.sync.interest import Interest
from azure_batch_operator.sync.remote_table import RemoteTable


def test_before_the_first_poll_nothing_is_known() -> None:
    table = RemoteTable()
    assert table.get("a") is Absent.UNKNOWN
    assert table.replace(1.0, [{"id": "B"}]) == {"b"}
    assert table.get("a") is Absent.NOT_FOUND
    assert table.get("b") == {"id": "B"}


def test_a_poll_that_began_before_our_write_does_not_count() -> None:
    table = RemoteTable()
    table.replace(1.0, [])
    table.touch("a", 2.0)
    assert table.get("a") is Absent.UNKNOWN
    assert table.replace(1.5, []) == set()
    assert table.get("a") is Absent.UNKNOWN
    assert table.replace(3.0, []) == {"a"}
    assert table.get("a") is Absent.NOT_FOUND


def test_only_what_looks_different_is_told() -> None:
    table = RemoteTable()
    table.replace(1.0, [{"id": "a", "state": "active"}, {"id": "b"}, {"id": "c"}])
    assert table.replace(2.0, [{"id": "a", "state": "deleting"}, {"id": "b"}]) == {"a", "c"}


def test_absence_from_a_partial_list_says_nothing() -> None:
    table = RemoteTable()
    table.replace(1.0, [{"id": "a"}, {"id": "b"}])
    table.touch("b", 2.0)
    table.touch("c", 2.0)
    assert table.merge(3.0, [{"id": "c"}]) == {"c"}
    assert table.get("a") == {"id": "a"}
    assert table.get("b") is Absent.UNKNOWN
    assert table.touched


def test_interest_follows_objects() -> None:
    interest = Interest()
    pool, task = Key(Kind.POOL, "n", "p"), Key(Kind.TASK, "n", "t")
    interest.add(pool, "P1")
    interest.add(task, "J", "T")
    interest.add(pool, "P2")
    assert dict(interest.pools) == {"p2": {pool}}
    assert {job: dict(tasks) for job, tasks in interest.tasks.items()} == {"j": {"t": {task}}}
    interest.drop(pool)
    interest.drop(task)
    assert not interest
    assert not interest.pools
    assert not interest.tasks
