"""All watched objects in memory, with the reverse lookups that reconciling needs. Handlers fill it, everything else reads it."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Key, Resource
from azure_batch_operator.reconcile.job.spec import job_before
from azure_batch_operator.reconcile.references import referenced

_MAX_GONE = 20_000
"""Objects that are gone and remembered; what is told again comes soon, or after a restart of the watch."""


def references(resource: Resource) -> tuple[Key, ...]:
    """Keys of the objects that this one names in its spec: its account, its pool, its job; and of the one that has made it."""
    named, namespace = referenced(resource.spec), resource.key.namespace
    keys = []
    if (account := named.account_ref) is not None:
        keys.append(Key(Kind.ACCOUNT, account.namespace or namespace, account.name))
    if (pinned := pinned_account(resource)) is not None and pinned not in keys:
        keys.append(pinned)
    is_schedule = resource.key.kind is Kind.SCHEDULE
    of_job = referenced(resource.job_spec[1]) if is_schedule else named
    pools = (of_job.pool_ref, named.backoff.fallback_pool_ref)
    keys += [Key(Kind.POOL, namespace, pool.name) for pool in pools if pool is not None]
    if (job := named.job_ref) is not None:
        keys.append(Key(Kind.JOB, namespace, job.name))
    if (former := named.retry_of) is not None:
        keys.append(Key(Kind.JOB, namespace, former.name))
        noted = job_before(resource).retry_of
        taken = referenced({} if noted is None else noted.settings).pool_ref
        if taken is not None and named.pool_ref is None and named.pool_info is None:
            keys.append(Key(Kind.POOL, namespace, taken.name))
    if (schedule := named.schedule_ref) is not None:
        keys.append(Key(Kind.SCHEDULE, namespace, schedule.name))
    keys += [Key(Kind.TASK, namespace, reference.name) for reference in named.depends_on_refs]
    if (made_by := resource.scheduled_by) is not None:
        keys.append(made_by)
    return tuple(keys)


def pinned_account(resource: Resource) -> Key | None:
    """The account that an object was created in, as its status has it since before the first call.

    It wins over references that change later, and over a BatchPool that is deleted first: what was created there is there.
    """
    if resource.key.kind is Kind.ACCOUNT:
        return None
    return Key.of_account(resource.status.get("account"))


class Store:
    """Objects by key, and who refers to whom. Not a cache with its own truth: the API server's last word, nothing else."""

    def __init__(self) -> None:
        self._objects: dict[Key, Resource] = {}
        self._dependents: defaultdict[Key, dict[Key, None]] = defaultdict(dict)
        self._departures: list[set[str]] = []
        self._gone: OrderedDict[Key, int] = OrderedDict()
        """Last versions of objects that were deleted: what is not newer is told again, and stands for nothing."""
        self._observers: list[Callable[[Resource | None, Resource | None], None]] = []

    def __len__(self) -> int:
        return len(self._objects)

    def get(self, key: Key) -> Resource | None:
        """The object, or None if there is none."""
        return self._objects.get(key)

    def put(self, resource: Resource) -> Resource | None:
        """Take in what the API server showed, unless something newer is here already.

        Returns:
            What was known before (None for a new object); the resource itself if it was old news.
        """
        key = resource.key
        before = self._objects.get(key)
        if before is not None and before.version >= resource.version:
            # Of a namesake, too: a list that began before it was created shows the one before it.
            return resource
        if resource.version <= self._gone.get(key, -1):
            return resource
        if before is not None:
            self._unlink(before)
        self._gone.pop(key, None)
        self._objects[key] = resource
        for target in references(resource):
            self._dependents[target][key] = None
        for told in self._observers:
            told(before, resource)
        return before

    def update(self, resource: Resource) -> None:
        """Take in the response to a write of ours; nothing if the object was deleted meanwhile, as its DELETED may come first."""
        known = self._objects.get(resource.key)
        if known is not None and known.uid == resource.uid:
            self.put(resource)

    def rewind(self, resource: Resource) -> None:
        """The API server has an object at an older version than it had: its data were restored, and newer ones are no more."""
        key = resource.key
        self._gone.pop(key, None)
        known = self._objects.get(key)
        if known is not None and known.version >= resource.version:
            self._objects[key] = replace(known, version=resource.version - 1)

    def is_newer(self, resource: Resource) -> bool:
        """Whether a newer version of an object is known, or was known before it was deleted."""
        known = self._objects.get(resource.key)
        latest = self._gone.get(resource.key, -1) + 1 if known is None else known.version
        return latest > resource.version

    def knows(self, key: Key, version: int) -> bool:
        """Whether this version of an object, or a later one, is or was known, so that `put` would not take it."""
        known = self._objects.get(key)
        return (self._gone.get(key, -1) if known is None else known.version) >= version

    def remove(
        self, key: Key, uid: str | None = None, *, deleted: bool = False, version: int | None = None
    ) -> Resource | None:
        """Forget an object; with `uid` only if it is still that one.

        Args:
            deleted: whether it is known to be deleted, rather than not to be in a list.
            version: of the object as it was deleted, if that is known.
        """
        known = self._objects.get(key)
        if known is None and deleted and version is not None:
            # The response to its creation may come later.
            self._remember_gone(key, version)
        if known is None or (uid is not None and known.uid != uid):
            return None
        del self._objects[key]
        self._unlink(known)
        if deleted:
            self._remember_gone(key, max(known.version, version or 0))
        for uids in self._departures:
            uids.add(known.uid)
        for told in self._observers:
            told(known, None)
        return known

    def _remember_gone(self, key: Key, version: int) -> None:
        self._gone[key] = max(version, self._gone.get(key, -1))
        self._gone.move_to_end(key)
        while len(self._gone) > _MAX_GONE:
            self._gone.popitem(last=False)

    def observe(self, told: Callable[[Resource | None, Resource | None], None]) -> None:
        """Tell somebody of each change: the object before and after it, None where there is none. What is here is told at once."""
        for resource in self._objects.values():
            told(None, resource)
        self._observers.append(told)

    @contextmanager
    def departures(self) -> Iterator[Collection[str]]:
        """The uids of what is removed while a list is read: its pages still show what was deleted since it began."""
        uids: set[str] = set()
        self._departures.append(uids)
        try:
            yield uids
        finally:
            # By identity: two lists may run at once, and two empty sets are equal.
            self._departures = [departed for departed in self._departures if departed is not uids]

    def of_kind(self, kind: Kind) -> Iterator[Resource]:
        """All objects of a kind."""
        return (resource for key, resource in self._objects.items() if key.kind is kind)

    def keys(self) -> Iterable[Key]:
        """All keys, as of now."""
        return tuple(self._objects)

    def dependents(self, key: Key, kind: Kind | None = None) -> list[Resource]:
        """Objects that name `key` in their spec."""
        return [
            self._objects[dependent]
            for dependent in self._dependents.get(key, ())
            if kind is None or dependent.kind is kind
        ]

    def residents(self, key: Key) -> list[Resource]:
        """Objects that live in the account, directly or through their pool or job."""
        found: dict[Key, Resource] = {}
        pending = self.dependents(key)
        while pending:
            resource = pending.pop()
            if resource.key not in found:
                found[resource.key] = resource
                pending += self.dependents(resource.key)
        return list(found.values())

    def _unlink(self, resource: Resource) -> None:
        for target in references(resource):
            links = self._dependents[target]
            links.pop(resource.key, None)
            if not links:
                del self._dependents[target]
