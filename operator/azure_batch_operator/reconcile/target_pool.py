"""The pool that a job, or the jobs of a schedule, are to be on: what the kinds that name a pool know of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from azure_batch_operator.batch.wire import Node
from azure_batch_operator.reconcile.plan import Absent, Remote

IN_OTHER_ACCOUNT = "PoolInOtherAccount"
"""Reason of a pool's problem: it is in another account than the object that names it."""
NOT_ALLOWED = "PoolNotAllowed"
"""Reason of a pool's problem: it belongs to another namespace, which does not allow this one."""
NO_POOL = "PoolNotFound"
"""Reason of a pool's problem: there is no such BatchPool."""


@dataclass(frozen=True)
class TargetPoolView:
    """The pool of a job.

    Attributes:
        id: in Azure Batch; None while it is not known, and for a pool that the service makes for the job.
        problem: reason and message why there is none.
        fallback: id of the pool of `backoff`, if it is known.
        no_fallback: reason and message why the job cannot go to the pool of `backoff`: its BatchPool does not exist, or it belongs
            to another namespace.
        foreign: why the pool that the job is on is not for this namespace; None if it is.
        remote: the pool that the job is on, as the last poll saw it.
        nodes: its node counts, REST names (`idle`, `running`, `unusable`, …), dedicated and Spot together; None
            while it was not counted.
        troubled: its nodes that do not work, if a BatchPool has them listed.
        retried: errors of the resize that the operator retries at the moment; Azure Batch hides them meanwhile.
    """

    id: str | None
    problem: tuple[str, str] | None = None
    fallback: str | None = None
    no_fallback: tuple[str, str] | None = None
    foreign: str | None = None
    remote: Remote = Absent.UNKNOWN
    nodes: Mapping[str, int] | None = None
    troubled: Sequence[Node] = ()
    retried: Sequence[Mapping[str, object]] = ()
