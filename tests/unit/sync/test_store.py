"""The store: the API server's last word, and who refers to whom."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest

from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Key, Resource
from azure_batch_operator.kube.access import Access
from azure_batch_operator.kube.api import KubeError
from azure_batch_operator.sync.resync import Listener, resync
from azure_batch_operator.sync.store import Store
from unit.objects import JOB_SPEC, POOL_SPEC, TASK_SPEC, resource


def test_old_news_changes_nothing() -> None:
    store = Store()
    new, old = resource(Kind.POOL, POOL_SPEC, version=5), resource(Kind.POOL, POOL_SPEC, version=4)
    assert store.put(new) is None
    assert store.put(old) is old
    assert store.get(new.key) is new


def test_what_the_store_knows_is_what_it_would_not_take() -> None:
    store = Store()
    known = resource(Kind.POOL, POOL_SPEC, version=5)
    assert not store.knows(known.key, 5)
    store.put(known)
    assert [store.knows(known.key, version) for version in (4, 5, 6)] == [True, True, False]
    store.remove(known.key, deleted=True, version=8)
    assert [store.knows(known.key, version) for version in (8, 9)] == [True, False]


def test_a_namesake_replaces_the_former_object_and_an_old_list_does_not_restore_it() -> None:
    store = Store()
    former = resource(Kind.POOL, POOL_SPEC, version=5)
    store.put(former)
    namesake = resource(Kind.POOL, POOL_SPEC, version=7, uid="uid-2")
    store.put(namesake)
    assert store.get(namesake.key) is namesake
    assert store.put(former) is former
    assert store.get(namesake.key) is namesake


def test_a_late_deletion_does_not_remove_the_namesake() -> None:
    store = Store()
    store.put(resource(Kind.POOL, POOL_SPEC, uid="uid-2"))
    assert store.remove(Key(Kind.POOL, "default", "one"), "uid-1") is None
    assert len(store) == 1


def test_dependents_follow_the_spec() -> None:
    store = Store()
    pool = resource(Kind.POOL, POOL_SPEC, name="cpu")
    job = resource(Kind.JOB, JOB_SPEC, name="steps")
    task = resource(Kind.TASK, TASK_SPEC, name="t")
    for each in (pool, job, task):
        store.put(each)
    assert store.dependents(Key(Kind.ACCOUNT, "default", "main")) == [pool]
    assert store.dependents(pool.key) == [job]
    assert store.dependents(job.key, Kind.TASK) == [task]
    store.remove(job.key)
    assert store.dependents(pool.key) == []


def test_a_job_is_known_to_its_account_even_without_its_pool() -> None:
    store = Store()
    job = resource(Kind.JOB, JOB_SPEC, status={"account": "team/main"})
    store.put(job)
    assert store.dependents(Key(Kind.ACCOUNT, "team", "main")) == [job]


async def test_a_page_of_a_list_does_not_bring_back_what_was_deleted_meanwhile() -> None:
    store = Store()
    objects = [resource(Kind.JOB, JOB_SPEC, name=f"j{number}", uid=f"uid-{number}") for number in range(3)]
    for each in objects:
        store.put(each)

    def body(each: Resource) -> dict[str, Any]:
        metadata = {"namespace": each.key.namespace, "name": each.key.name, "uid": each.uid}
        return {"kind": "BatchJob", "metadata": {**metadata, "resourceVersion": str(each.version)}, "spec": JOB_SPEC}

    class Api:
        """Somebody deletes the last job while its page is read."""

        async def list(self, kind: Kind, _: str | None) -> AsyncIterator[dict[str, Any]]:
            for each in objects if kind is Kind.JOB else ():
                yield body(each)
                store.remove(objects[2].key, objects[2].uid)

    woken: list[Key] = []
    api: Any = Api()

    def seen(each: Resource) -> None:
        store.put(each)

    await resync(api, store, Access(), Listener(seen, lambda _: None, woken.append))
    assert [key.name for key in woken] == ["j0", "j1"]
    assert store.get(objects[2].key) is None
    with store.departures() as departed:
        store.remove(objects[1].key)
    store.remove(objects[0].key)
    assert set(departed) == {"uid-1"}, "only while the list is read"


def test_a_deleted_object_returns_only_with_a_namesake() -> None:
    store = Store()
    former = resource(Kind.POOL, POOL_SPEC, version=5)
    store.put(former)
    store.remove(former.key, deleted=True)
    assert store.put(former) is former
    assert store.get(former.key) is None
    namesake = resource(Kind.POOL, POOL_SPEC, version=7, uid="uid-2")
    assert store.put(namesake) is None
    assert store.get(former.key) is namesake


def test_the_response_to_a_creation_does_not_bring_back_what_was_deleted_before_it_came() -> None:
    """Of an object that is created and deleted in a moment, Kopf tells only the deletion."""
    store = Store()
    created = resource(Kind.JOB, JOB_SPEC, version=5)
    assert store.remove(created.key, created.uid, deleted=True, version=6) is None
    assert store.put(created) is created
    assert store.get(created.key) is None
    namesake = resource(Kind.JOB, JOB_SPEC, version=7, uid="uid-2")
    store.put(namesake)
    assert store.get(namesake.key) is namesake


def test_an_object_that_an_old_list_lacks_is_added_again() -> None:
    store = Store()
    pool = resource(Kind.POOL, POOL_SPEC, version=5)
    store.put(pool)
    store.remove(pool.key)
    assert store.put(pool) is None
    assert store.get(pool.key) is pool


async def test_an_object_that_is_created_while_lists_are_read_is_not_gone() -> None:
    store, gone = Store(), list[Resource]()
    new = resource(Kind.JOB, JOB_SPEC, name="new")

    class Api:
        """The watch shows a new job when the page with jobs has been read."""

        async def list(self, kind: Kind, _: str | None) -> AsyncIterator[dict[str, Any]]:
            if kind is Kind.JOB:
                store.put(new)
            return
            yield

    api: Any = Api()
    await resync(api, store, Access(), Listener(lambda _: None, gone.append, lambda _: None))
    assert gone == []


async def test_the_event_loop_gets_turns_while_a_page_is_compared() -> None:
    """A page has 500 objects, and its next one is not waited for until all of them were compared."""
    store, turns, number = Store(), Counter[int](), [0]
    page = [_body(resource(Kind.POOL, POOL_SPEC, name=f"p{each}", uid=f"u{each}")) for each in range(200)]

    class Api:
        """One page, that is there at once."""

        async def list(self, kind: Kind, _: str | None) -> AsyncIterator[dict[str, Any]]:
            for body in page if kind is Kind.POOL else ():
                yield body

    async def others() -> None:
        while True:
            number[0] += 1
            await asyncio.sleep(0)

    def seen(_: Resource) -> None:
        turns[number[0]] += 1

    task, api = asyncio.create_task(others()), Api()
    assert await resync(api, store, Access(), Listener(seen, lambda _: None, lambda _: None)) == 200  # type: ignore[arg-type]
    task.cancel()
    assert sum(turns.values()) == 200
    assert max(turns.values()) <= 20


@pytest.mark.parametrize("refused", [Kind.ACCOUNT, Kind.POOL, Kind.OPERATION])
async def test_only_what_could_be_listed_is_declared_gone(refused: Kind) -> None:
    """A namespace whose Role is gone in the middle of the lists: what they still showed of it proves nothing of the rest."""
    store, gone = Store(), list[Resource]()
    objects = [
        resource(kind, POOL_SPEC, name="p", namespace=namespace, uid=f"{kind}-{namespace}")
        for kind in (Kind.POOL, Kind.OPERATION)
        for namespace in ("default", "team")
    ]
    for each in objects:
        store.put(each)

    class Api:
        """Lists nothing, and refuses the namespace from one kind on."""

        async def list(self, kind: Kind, namespace: str | None) -> AsyncIterator[Any]:
            if namespace == "team" and list(Kind).index(kind) >= list(Kind).index(refused):
                raise KubeError("is forbidden", 403)
            return
            yield

    api: Any = Api()
    access = Access(["default", "team"])
    await resync(api, store, access, Listener(lambda _: None, gone.append, lambda _: None))
    assert {each.key.namespace for each in gone} == {"default"}
    assert len(gone) == 2
    assert set(access.denied) == {"team"}


@pytest.mark.parametrize("again", [False, True])
async def test_a_namespace_that_was_denied_is_admitted_by_lists_that_were_all_permitted(again: bool) -> None:
    """Its objects are queued again, since those that were queued before are passed over; not if it was denied to others since."""
    access, store = Access(["default", "team"]), Store()
    access.refuses("team", KubeError("is forbidden", 403))
    woken, admitted = list[tuple[str, bool]](), list[str]()

    class Api:
        async def list(self, kind: Kind, namespace: str | None) -> AsyncIterator[Any]:
            if kind is Kind.POOL:
                yield {
                    "kind": "BatchPool", "spec": POOL_SPEC,
                    "metadata": {"namespace": namespace, "name": "p", "uid": f"uid-{namespace}", "resourceVersion": "1"},
                }  # fmt: skip
            if kind is Kind.OPERATION and namespace == "default" and again:
                access.unanswered("team", KubeError("is forbidden", 403))

    api: Any = Api()
    wake = lambda key: woken.append((key.namespace, access.reads(key.namespace)))  # noqa: E731
    await resync(api, store, access, Listener(store.put, lambda _: None, wake, admitted.append))
    assert woken == [("default", True), ("team", False)] + ([] if again else [("team", True)])
    assert admitted == ([] if again else ["team"])


async def test_without_watched_namespaces_a_refused_list_is_an_error() -> None:
    store = Store()
    store.put(resource(Kind.POOL, POOL_SPEC))
    gone = list[Resource]()

    class Api:
        """As without the ClusterRole."""

        async def list(self, *_: Any) -> AsyncIterator[Any]:
            raise KubeError("is forbidden", 403)
            yield

    api: Any = Api()
    with pytest.raises(KubeError):
        await resync(api, store, Access(), Listener(lambda _: None, gone.append, lambda _: None))
    assert gone == []


def test_a_deleted_object_does_not_return_with_an_older_version() -> None:
    store = Store()
    former = resource(Kind.POOL, POOL_SPEC, version=5)
    store.put(former)
    store.remove(former.key, deleted=True, version=9)
    old = resource(Kind.POOL, POOL_SPEC, version=8)
    assert store.put(old) is old
    assert store.get(former.key) is None


def _body(each: Resource) -> dict[str, Any]:
    metadata = {"namespace": each.key.namespace, "name": each.key.name, "uid": each.uid}
    return {
        "kind": each.key.kind.value,
        "metadata": {**metadata, "resourceVersion": str(each.version)},
        "spec": each.spec,
    }


async def test_objects_of_a_restored_cluster_are_accepted_with_lower_versions() -> None:
    """A restored etcd goes on from an older version: what a list shows that began later is true."""
    store = Store()
    changed, deleted = (resource(Kind.POOL, POOL_SPEC, name=name, version=50) for name in ("changed", "deleted"))
    store.put(changed)
    store.put(deleted)
    store.remove(deleted.key, deleted=True, version=60)
    listed = [resource(Kind.POOL, POOL_SPEC, name=name, version=20) for name in ("changed", "deleted", "new")]

    class Api:
        async def list(self, kind: Kind, _: str | None) -> AsyncIterator[dict[str, Any]]:
            for each in listed if kind is Kind.POOL else ():
                yield _body(each)

    api: Any = Api()
    await resync(api, store, Access(), Listener(lambda each: store.put(each) and None, lambda _: None, lambda _: None))
    assert {each.key.name: each.version for each in store.of_kind(Kind.POOL)} == dict.fromkeys(
        ("changed", "deleted", "new"), 20
    )
    later = resource(Kind.POOL, POOL_SPEC, name="changed", version=21)
    store.put(later)
    assert store.get(later.key) is later


async def test_objects_newer_than_a_list_page_are_kept() -> None:
    store = Store()
    old, new = (resource(Kind.POOL, POOL_SPEC, version=version) for version in (5, 7))
    store.put(old)

    class Api:
        """The watch shows a change when the page has been made."""

        async def list(self, kind: Kind, _: str | None) -> AsyncIterator[dict[str, Any]]:
            if kind is Kind.POOL:
                store.put(new)
                yield _body(old)

    api: Any = Api()
    await resync(api, store, Access(), Listener(lambda each: store.put(each) and None, lambda _: None, lambda _: None))
    assert store.get(new.key) is new
