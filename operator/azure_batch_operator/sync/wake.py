"""The table of events and of the objects that they queue.

docs/architecture.md shows the table; tests/unit/test_architecture.py compares both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import NamedTuple

from azure_batch_operator.api.resource import Key, Resource
from azure_batch_operator.sync.observe import waits
from azure_batch_operator.sync.queue import Urgency, WorkQueue
from azure_batch_operator.sync.store import Store

_USERS_COUNTED_AFTER = 1.0
"""Seconds: objects that come or go together are counted once."""


class Target(Enum):
    """Who is queued; the values are the words of the documentation."""

    ITSELF = "the object"
    DEPENDENTS = "the objects that name it"
    OPEN_DEPENDENTS = "the objects that name it and have not ended"
    RESIDENTS = "all objects in the account that have not ended"
    GUESTS = "the objects of other namespaces that may be on the pool"
    ACCOUNT = "its BatchAccount, which counts its users"
    SCHEDULE = "the BatchJobSchedule that created it"
    JOB = "its BatchJob"
    RETRIES = "the BatchJobs that retry its tasks"
    FORMER = "the BatchJobs whose tasks it retries"


class Wakes(NamedTuple):
    """A row of the table.

    Attributes:
        event: what happened.
        noticed: by whom, for the documentation.
        targets: who is queued.
    """

    event: str
    noticed: str
    targets: tuple[Target, ...]


_WATCH = "`handlers/watch.py` → `Triggers.on_upsert`"
_STATUS = "`StatusWriter` → `Triggers.on_status_written`"


class Trigger(Enum):
    """All that wakes objects."""

    CREATED = Wakes(
        "an object was created, or is being deleted", _WATCH, (Target.ITSELF, Target.DEPENDENTS, Target.ACCOUNT)
    )
    ACCOUNT_CHANGED = Wakes("the spec of a BatchAccount has changed", _WATCH, (Target.ITSELF, Target.RESIDENTS))
    POOL_OPENED = Wakes("`allowedNamespaces` of a BatchPool has changed", _WATCH, (Target.ITSELF, Target.GUESTS))
    POOL_CLOSED = Wakes("a BatchPool is being deleted, or is gone", _WATCH + ", `on_delete`", (Target.GUESTS,))
    CHANGED = Wakes(
        "anything else in an object was changed by somebody other than the operator",
        _WATCH + ", `learned`",
        (Target.ITSELF,),
    )
    DELETED = Wakes(
        "an object is gone",
        "`handlers/watch.py` → `Triggers.on_delete`",
        (Target.DEPENDENTS, Target.SCHEDULE, Target.ACCOUNT),
    )
    ACCOUNT_DELETED = Wakes(
        "a BatchAccount is gone", "`handlers/watch.py` → `Triggers.on_delete`", (Target.DEPENDENTS, Target.ITSELF)
    )
    RUN_MOVED = Wakes(
        "a status of a scheduled job was written, with another phase or another cause of waiting",
        _STATUS,
        (Target.SCHEDULE,),
    )
    JOB_ENDED = Wakes("a status of a BatchJob was written: it has ended", _STATUS, (Target.RETRIES,))
    TASKS_TAKEN = Wakes(
        "a status of a BatchJob was written: it no longer needs the job in `retryOf`", _STATUS, (Target.FORMER,)
    )
    TASK_BLOCKS = Wakes(
        "a status of a BatchTask was written: others can never start because of it, or can again",
        _STATUS,
        (Target.DEPENDENTS, Target.JOB),
    )
    REMOTE_CHANGED = Wakes("a poll saw a difference", "`Poller` → `Wake.changed`", (Target.ITSELF,))
    REMOTE_MOVED = Wakes(
        "a poll saw that a resource appeared, disappeared or changed its state",
        "`Poller` → `Wake.changed`",
        (Target.ITSELF, Target.OPEN_DEPENDENTS),
    )
    HEALTH_CHANGED = Wakes(
        "an account became usable, or stopped being usable",
        "`Session` → `Wake.health_changed`",
        (Target.ITSELF, Target.RESIDENTS),
    )
    NAMESPACE_CHANGED = Wakes(
        "labels or annotations of its namespace have changed",
        "`kube/namespaces.py` → `Triggers.namespace_changed`",
        (Target.ITSELF,),
    )
    TASKS_CHANGED = Wakes(
        "a ConfigMap that contains tasks of the job has changed", "`sync/task_sources.py`", (Target.ITSELF,)
    )
    WAIT_OVER = Wakes(
        "a wait is over (`Plan.requeue_after`, backoff, `ttlSecondsAfterFinished`)",
        "`WorkQueue.add_after`",
        (Target.ITSELF,),
    )
    RESYNC = Wakes("every ten minutes", "`sync/resync.py`", (Target.ITSELF,))


Finder = Callable[[Resource], Iterable[Key]]
"""The objects of a target, seen from another one."""


class Wake:
    """Queues what the table says."""

    def __init__(self, store: Store, queue: WorkQueue[Key], finders: Mapping[Target, Finder] | None = None) -> None:
        """Queue into `queue`.

        Args:
            finders: of targets that more than the store must be asked for.
        """
        self._store, self._queue, self._finders = store, queue, finders or {}

    def changed(self, keys: Iterable[Key], *, moved: bool = False) -> None:
        """The remote side of these objects looks different; if it `moved`, what lives in it is checked as well."""
        for key in keys:
            self.wake(Trigger.REMOTE_MOVED if moved else Trigger.REMOTE_CHANGED, key)

    def health_changed(self, key: Key) -> None:
        """An account has become usable, or has ceased to be."""
        self.wake(Trigger.HEALTH_CHANGED, key, urgency=Urgency.USER)

    def wake(
        self, trigger: Trigger, key: Key, resource: Resource | None = None, urgency: Urgency = Urgency.REFRESH
    ) -> None:
        """Queue the targets of a trigger.

        Args:
            key: of the object that it is about.
            resource: the object, for targets that depend on what it says.
            urgency: of the object itself.
        """
        for target in trigger.value.targets:
            if target is Target.ITSELF:
                self._queue.add(key, urgency)
            elif target is Target.ACCOUNT:
                for account in self._found(target, key, resource):
                    self._queue.add_after(account, _USERS_COUNTED_AFTER)
            else:
                for found in self._found(target, key, resource):
                    self._queue.add(found, Urgency.REFRESH)

    def _found(self, target: Target, key: Key, resource: Resource | None) -> Iterable[Key]:
        match target:
            case Target.DEPENDENTS:
                return [dependent.key for dependent in self._store.dependents(key)]
            case Target.OPEN_DEPENDENTS:
                return [dependent.key for dependent in self._store.dependents(key) if waits(dependent)]
            case Target.RESIDENTS:
                return [resident.key for resident in self._store.residents(key) if waits(resident)]
            case Target.SCHEDULE:
                return [resource.scheduled_by] if resource is not None and resource.scheduled_by else []
            case _:
                return [] if resource is None else self._finders[target](resource)
