"""The objects and resources that a spec names, whatever its kind, as typed values."""

from __future__ import annotations

from collections.abc import Mapping

from azure_batch_operator.batch.job_wire import JobPool
from azure_batch_operator.batch.wire import Wire, convert


class NameRef(Wire, frozen=True, gc=False):
    """An object of the same namespace."""

    name: str = ""


class AccountRef(Wire, frozen=True, gc=False):
    """A BatchAccount; without a namespace in that of the object."""

    name: str = ""
    namespace: str | None = None


class KeyRef(NameRef, frozen=True, gc=False):
    """A key of a Secret or ConfigMap of the same namespace."""

    key: str = ""


class Fallback(Wire, frozen=True, gc=False):
    """The pool that a job moves to when its own gets no nodes."""

    fallback_pool_ref: NameRef | None = None
    fallback_pool_id: str | None = None


class References(Wire, frozen=True, gc=False):
    """What a spec names. A BatchJobSchedule names its pool in `jobSpecification` (`Resource.job_spec`)."""

    account_ref: AccountRef | None = None
    pool_ref: NameRef | None = None
    pool_info: JobPool | None = None
    job_ref: NameRef | None = None
    job_id: str | None = None
    retry_of: NameRef | None = None
    schedule_ref: NameRef | None = None
    depends_on_refs: tuple[NameRef, ...] = ()
    backoff: Fallback = Fallback()


def referenced(spec: Mapping[str, object]) -> References:
    """What a spec names."""
    return convert(References, spec)
