"""Applies the subscriptions that observations return to the services of an account (`sync.observe` changes nothing itself)."""

from __future__ import annotations

from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Key
from azure_batch_operator.sync.accounts import Session
from azure_batch_operator.sync.observe.context import Remembered, Subscription


def subscribe(session: Session, key: Key, wanted: Subscription) -> None:
    """Poll for what an object needs to be told, and for nothing of one that has ended."""
    interest = session.interest
    if wanted.ended:
        interest.drop(key)
        _end(session, key)
    elif wanted.path:
        new = interest.add(key, *wanted.path)
        if key.kind is Kind.POOL:
            new = interest.watch_jobs(key, wanted=wanted.jobs_of_pools) or new
        if key.kind is Kind.TASK:
            interest.wish_tail(key, wanted.tail_lines)
        if new:
            session.poller.request_poll()
    if wanted.job is not None:
        interest.subscribe(key, wanted.path[0], wanted.job, ours=wanted.ours)
    if wanted.remembered is not None:
        _remember(session, key, wanted.remembered)
    if wanted.output_shown:
        session.mirror.outputs.forget(key)


def _end(session: Session, key: Key) -> None:
    if key.kind is Kind.JOB:
        session.feeder.forget(key)
        session.retrier.forget(key)
    if key.kind is Kind.OPERATION:
        session.operations.forget(key)


def _remember(session: Session, key: Key, known: Remembered) -> None:
    """What the resource has is remembered by value from now on."""
    if key.kind is Kind.SCHEDULE:
        session.mirror.schedule_digests[known.id.lower()] |= known.digests
        return
    notes = session.mirror.notes[known.id.lower()]
    notes.digests |= known.digests
    notes.start_task = known.start_task
