"""Handles changes in the API server, and wakes objects (the table is in `sync/wake.py`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Key, Resource
from azure_batch_operator.kube.status import StatusWriter
from azure_batch_operator.reconcile.job import retry
from azure_batch_operator.reconcile.job.lifecycle import managed_elsewhere
from azure_batch_operator.reconcile.schedule.cron import Hindrance, hindrance
from azure_batch_operator.reconcile.status import has_ended
from azure_batch_operator.sync import observe as views
from azure_batch_operator.sync.corrections import Corrections
from azure_batch_operator.sync.inputs import Inputs
from azure_batch_operator.sync.memory import Memory
from azure_batch_operator.sync.queue import Urgency
from azure_batch_operator.sync.relations import Relations
from azure_batch_operator.sync.shards import Shards
from azure_batch_operator.sync.store import Store
from azure_batch_operator.sync.wake import Trigger, Wake


@dataclass(frozen=True)
class Parts:
    """What must know of a change before anybody is woken.

    Attributes:
        wake: queues.
        writer: of statuses.
        corrections: of statuses that somebody else has written.
        inputs: what objects take from Secrets and ConfigMaps.
        memory: of effects.
        forget: an object is gone.
        shards: for which objects this replica acts.
    """

    wake: Wake
    writer: StatusWriter
    corrections: Corrections
    inputs: Inputs
    memory: Memory
    forget: Callable[[Resource], None]
    shards: Shards


class Triggers:
    """Keeps the store, and wakes whom a change concerns."""

    def __init__(self, store: Store, relations: Relations, parts: Parts) -> None:
        self._store, self._relations, self._wake = store, relations, parts.wake
        self._writer, self._inputs, self._memory, self._forget = parts.writer, parts.inputs, parts.memory, parts.forget
        self._shards, self._corrections = parts.shards, parts.corrections
        self._begun = False

    def begin(self) -> None:
        """All objects that were there when this process began are known."""
        self._begun = True

    def on_created(self, resource: Resource) -> None:
        """The API server has shown an object as one that was created just now."""
        self.on_upsert(resource, created=True)

    def on_upsert(self, resource: Resource, urgency: Urgency = Urgency.USER, *, created: bool = False) -> None:
        """The API server has shown an object."""
        before = self._store.put(resource)
        if before is resource:
            return
        landing = self._memory.landing
        if before is None and created and self._begun:
            if not self._shards.divided:
                # With shards, another replica may act for it before this one does, so its deletion needs proof.
                landing.created(resource)
        elif before is None or not self._begun:
            # Also of a namespace that could not be read when this process began: its creation was not seen.
            landing.inherit(resource)
        elif before.uid != resource.uid:
            landing.claim(before.uid)
        if before is not None and before.uid == resource.uid:
            ours = resource.key.kind is not Kind.JOB or not managed_elsewhere(resource)
            ours = ours and resource.status != before.status and not self._writer.owes(resource.key)
            if ours and self._shards.decides(resource):
                # Only the operator writes statuses: what somebody else has written is set right, not believed.
                self._corrections.correct(resource, before.status)
            elif resource.status != before.status and not self._shards.decides(resource):
                # Written by another replica, which wakes nobody here.
                self._status_moved(before, resource)
            if not _differs(before, resource):
                return
        self._react(before, resource, urgency)

    def learned(self, resource: Resource) -> None:
        """The API server has answered a write of ours: it may show a change of somebody else before the watch does."""
        before = self._store.get(resource.key)
        self._store.update(resource)
        if before is None or self._store.get(resource.key) is not resource:
            return
        if _is_changed(before, resource):
            self._react(before, resource, Urgency.USER)

    def _react(self, before: Resource | None, resource: Resource, urgency: Urgency) -> None:
        """An object is new or has changed: reconcile it, and whoever must know."""
        if before is None or (before.uid, before.generation) != (resource.uid, resource.generation):
            self._inputs.seen(resource.key)
            session = self._relations.session(resource) if resource.key.kind is Kind.TASK else None
            if session is not None:
                # A corrected task is sent at once.
                session.submitter.forget(resource.key)
        if before is None or before.uid != resource.uid or before.deleting != resource.deleting:
            trigger = Trigger.CREATED
        elif resource.key.kind is Kind.ACCOUNT and before.generation != resource.generation:
            # Whom it lets in, and what it gives them, may be different.
            trigger = Trigger.ACCOUNT_CHANGED
        elif resource.key.kind is Kind.POOL and _lets_in(before) != _lets_in(resource):
            trigger = Trigger.POOL_OPENED
        else:
            trigger = Trigger.CHANGED
        self._wake.wake(trigger, resource.key, resource, urgency)
        if trigger is Trigger.CREATED and before is not None and resource.key.kind is Kind.POOL:
            self._wake.wake(Trigger.POOL_CLOSED, resource.key, resource)

    def on_delete(self, key: Key, uid: str | None = None, *, deleted: bool = True, version: int | None = None) -> None:
        """The API server no longer has an object.

        Args:
            deleted: whether its deletion was seen; otherwise a list lacks it.
            version: of the object as it was deleted.
        """
        known = self._store.remove(key, uid, deleted=deleted, version=version)
        if known is None:
            return
        self._forget(known)
        trigger = Trigger.ACCOUNT_DELETED if key.kind is Kind.ACCOUNT else Trigger.DELETED
        self._wake.wake(trigger, key, known)
        if key.kind is Kind.POOL:
            # Its pool may stay in Azure Batch, and lets in nobody without its object.
            self._wake.wake(Trigger.POOL_CLOSED, key, known)

    def on_status_written(self, before: Resource, resource: Resource) -> None:
        """A status was written: a schedule wants to know what happens to its jobs, a task of those that it depends on.

        Args:
            before: the object before that. The store may have the new one already: its event may come before the response.
        """
        self.learned(resource)
        if self._store.get(resource.key) is None:
            return
        session = None if views.waits(resource) else self._relations.session(resource)
        if session is not None and not views.reads_on(resource, session):
            # Nothing comes of it any more, and it may never be looked at again: polls need not ask for it.
            session.interest.drop(resource.key)
        self._status_moved(before, resource)

    def _status_moved(self, before: Resource, resource: Resource) -> None:
        """Wake whoever looks at the status of another object."""
        if resource.scheduled_by and _for_schedule(before) != _for_schedule(resource):
            self._wake.wake(Trigger.RUN_MOVED, resource.key, resource)
        if resource.key.kind is Kind.JOB and has_ended(resource) and not has_ended(before):
            self._wake.wake(Trigger.JOB_ENDED, resource.key, resource)
        if resource.key.kind is Kind.JOB and retry.is_done(resource) and not retry.is_done(before):
            self._wake.wake(Trigger.TASKS_TAKEN, resource.key, resource)
        if resource.key.kind is Kind.TASK and views.blocks_dependents(before) != views.blocks_dependents(resource):
            self._wake.wake(Trigger.TASK_BLOCKS, resource.key, resource)

    def namespace_changed(self, name: str) -> None:
        """Labels or annotations of a namespace have changed: what it may use, or what may be done to its objects."""
        known = self._store.keys()
        for key in [key for key in known if key.namespace == name]:
            self._wake.wake(Trigger.NAMESPACE_CHANGED, key)


def _for_schedule(job: Resource) -> tuple[object, Hindrance | None]:
    """What a schedule tells of one of its runs while that continues."""
    return job.status.get("phase"), hindrance(job)


def _is_changed(before: Resource, after: Resource) -> bool:
    """Whether a user has changed the object."""
    return (before.generation, before.deleting, before.annotations) != (
        after.generation,
        after.deleting,
        after.annotations,
    )


def _differs(before: Resource, after: Resource) -> bool:
    """Whether anything but the status has changed, or the status was taken away."""
    return (
        _is_changed(before, after)
        or before.finalizers != after.finalizers
        or bool(before.status.get("conditions")) > bool(after.status.get("conditions"))
    )


def _lets_in(pool: Resource) -> object:
    return pool.spec.get("allowedNamespaces")
