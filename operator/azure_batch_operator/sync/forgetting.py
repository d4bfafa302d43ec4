"""Removes what the services of an account remember of an object that no longer exists."""

from __future__ import annotations

from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Resource
from azure_batch_operator.sync.accounts import Session


def forget_in_session(session: Session, resource: Resource) -> None:
    """Nothing is done, polled or remembered for the object any more."""
    path = session.interest.path(resource.key)
    session.interest.drop(resource.key)
    session.mirror.outputs.forget(resource.key)
    session.submitter.withdraw(resource.key)
    session.feeder.forget(resource.key)
    session.retrier.forget(resource.key)
    session.operations.forget(resource.key)
    # Another object may name the same ID, even if it does not own it: what it needs to know stays.
    if resource.key.kind is Kind.JOB and not session.interest.jobs.get(resource.remote_id.lower()):
        session.mirror.forget_job(resource.remote_id)
    if resource.key.kind is Kind.POOL:
        for id in path:
            if id not in session.interest.pools:
                session.mirror.forget_pool(id)
    if resource.key.kind is Kind.SCHEDULE:
        session.mirror.forget_schedule(resource.remote_id)
