"""The status writer: the smallest patch, latest wins, nothing for nothing, patient with a busy API server."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Key, Resource
from azure_batch_operator.kube.api import Busy, Conflict, Invalid, KubeError, NotFound
from azure_batch_operator.kube.status import StatusWriter, merge_patch
from support.jumping_loop import run_jumping
from unit.objects import POOL_SPEC, resource

JSON = st.recursive(
    st.integers() | st.text(max_size=3) | st.lists(st.integers(), max_size=2),
    lambda children: st.dictionaries(st.text("abc", min_size=1, max_size=2), children, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text("abc", min_size=1, max_size=2), JSON, max_size=4)


def applied(document: Any, patch: Any) -> Any:
    """RFC 7386, section 2, as the API server does it."""
    if not isinstance(patch, dict):
        return patch
    result = dict(document) if isinstance(document, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = applied(result.get(name), value)
    return result


@given(OBJECTS, OBJECTS)
def test_a_patch_leads_from_the_old_to_the_new(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert applied(old, merge_patch(old, new)) == new


@given(OBJECTS)
def test_no_change_is_no_patch(status: dict[str, Any]) -> None:
    assert merge_patch(status, status) == {}


class Server:
    """Stands for the API server: takes status patches, or answers with what it was told to."""

    def __init__(self) -> None:
        self.store: dict[Key, Resource] = {}
        self.patches: list[dict[str, Any]] = []
        self.answers: list[Exception] = []
        self.refuses: set[str] = set()
        self.gate = asyncio.Event()
        self.gate.set()

    async def patch_status(self, key: Key, uid: str, patch: dict[str, Any]) -> dict[str, Any]:
        await self.gate.wait()
        if self.answers:
            raise self.answers.pop(0)
        if key.name in self.refuses:
            raise KubeError("no right to patch", 403)
        self.patches.append(patch)
        known = self.store[key]
        return {
            "kind": key.kind.value,
            "metadata": {
                "namespace": key.namespace, "name": key.name, "uid": uid, "resourceVersion": str(known.version + 1),
            },
            "spec": dict(known.spec),
            "status": applied(dict(known.status), patch),
        }  # fmt: skip

    def learn(self, resource: Resource) -> None:
        self.store[resource.key] = resource


@asynccontextmanager
async def writing(server: Server, denied: Collection[str] = ()) -> Any:
    learned = lambda _, after: server.learn(after)  # noqa: E731
    writer = StatusWriter(server, server.store.get, learned, denied=denied.__contains__)  # type: ignore[arg-type]
    task = asyncio.create_task(writer.run())
    try:
        yield writer
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_only_what_changed_is_written_and_the_same_again_is_not() -> None:
    server, pool = Server(), resource(Kind.POOL, POOL_SPEC, status={"phase": "Pending", "id": "x"})
    server.learn(pool)
    async with writing(server) as writer:
        writer.write(pool, {"phase": "Steady", "id": "x"})
        await writer.drain(10)
        writer.write(server.store[pool.key], {"phase": "Steady", "id": "x"})
        await writer.drain(10)
    assert server.patches == [{"phase": "Steady"}]


async def test_what_is_written_is_safe_to_show_but_what_the_user_wrote_is_compared_as_it_is() -> None:
    server, pool = Server(), resource(Kind.POOL, POOL_SPEC, status={})
    server.learn(pool)
    text = "see https://a.blob/c?sig=abcdef\x1b[31m \u202enow"
    shown = {"failures": [{"message": text}], "stderrTail": text, "handled": {"terminate": text}}
    async with writing(server) as writer:
        writer.write(pool, shown)
        await writer.drain(10)
        writer.write(server.store[pool.key], shown)
        await writer.drain(10)
    safe = "see https://a.blob/c?… now"
    assert server.patches == [{"failures": [{"message": safe}], "stderrTail": safe, "handled": {"terminate": text}}]


async def test_of_several_statuses_the_latest_wins() -> None:
    server, pool = Server(), resource(Kind.POOL, POOL_SPEC, status={})
    server.learn(pool)
    server.gate.clear()
    async with writing(server) as writer:
        for number in range(10):
            writer.write(pool, {"phase": str(number)})
            await asyncio.sleep(0)
        server.gate.set()
        await writer.drain(10)
    assert server.patches[-1] == {"phase": "9"}
    assert len(server.patches) <= 2


async def test_a_status_survives_a_busy_api_server() -> None:
    server, pool = Server(), resource(Kind.POOL, POOL_SPEC, status={})
    server.learn(pool)
    server.answers = [Busy("throttled", 429, 0.01), Busy("restarting", 503)]
    async with writing(server) as writer:
        writer.write(pool, {"phase": "Steady"})
        await writer.drain(30)
    assert server.patches == [{"phase": "Steady"}]


REFUSALS = [
    KubeError("no right to patch", 403),
    Invalid("no such field", 422),
    Conflict("changed meanwhile", 409),
    Busy("throttled", 429, 86400.0),
    KubeError("a webhook says no", 400),
    NotFound("the API server does not serve the kind yet", 404),
]


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda error: str(error.status))
def test_a_status_is_owed_until_the_refusal_ends(refusal: KubeError) -> None:
    """However often and for whatever reason it is refused, and though nobody decides anything again."""

    async def life() -> None:
        server, pool = Server(), resource(Kind.POOL, POOL_SPEC, status={})
        server.learn(pool)
        server.answers = [refusal] * 12
        async with writing(server) as writer:
            now = asyncio.get_running_loop().time
            began = now()
            writer.write(pool, {"phase": "Steady"})
            await writer.drain(3600)
            assert server.patches == [{"phase": "Steady"}]
            assert now() - began <= 12 * 66, "no single wait is longer than about a minute"
            assert now() - began >= 0.5 + 1 + 2 + 4 + 8 + 7 * 15, (
                "each at least half of 1, 2, 4, 8, 16, and then of 30 s"
            )

    run_jumping(life())


def test_statuses_in_a_denied_namespace_are_tried_rarely_and_written_once_it_is_permitted() -> None:
    async def life() -> None:
        server, pool, other = (
            Server(),
            resource(Kind.POOL, POOL_SPEC, status={}),
            resource(Kind.POOL, POOL_SPEC, name="b"),
        )
        server.learn(pool)
        server.learn(other)
        denied = {"default"}
        server.answers = [KubeError("no right to patch", 403) for _ in range(1000)]
        async with writing(server, denied) as writer:
            now, began = asyncio.get_running_loop().time, asyncio.get_running_loop().time()
            for each in (pool, other):
                writer.write(each, {"phase": "Steady"})
            await asyncio.sleep(24 * 3600)
            tried = (1000 - len(server.answers)) / 2
            assert 24 * 6 <= tried <= 24 * 12 + 12, "every five to ten minutes"
            denied.clear()
            server.answers.clear()
            began = now()
            writer.resume("team")
            await asyncio.sleep(1)
            assert not server.patches, "another namespace"
            writer.resume("default")
            await writer.drain(3600)
            assert now() - began < 2
            assert server.store[pool.key].status == server.store[other.key].status == {"phase": "Steady"}

    run_jumping(life())


def test_refusals_of_one_object_do_not_delay_another_one() -> None:
    async def life() -> None:
        server = Server()
        pools = [resource(Kind.POOL, POOL_SPEC, status={}, name=name) for name in ("one", "two")]
        for pool in pools:
            server.learn(pool)
        server.refuses = {"one"}
        async with writing(server) as writer:
            for pool in pools:
                writer.write(pool, {"phase": "Steady"})
            await asyncio.sleep(1)
            assert server.store[pools[1].key].status == {"phase": "Steady"}
            server.refuses = set()
            await writer.drain(60)
            assert server.store[pools[0].key].status == {"phase": "Steady"}

    run_jumping(life())


def test_a_write_that_is_cancelled_is_retried_and_ends_no_writer() -> None:
    async def life() -> None:
        server, pool = Server(), resource(Kind.POOL, POOL_SPEC, status={})
        server.learn(pool)
        server.answers = [asyncio.CancelledError() for _ in range(40)]  # type: ignore[misc]
        async with writing(server) as writer:
            with pytest.raises(KubeError, match="cancelled"):
                await writer.write_first(pool, {"phase": "Steady"})
            await writer.drain(3600)
            assert server.store[pool.key].status == {"phase": "Steady"}

    run_jumping(life())


async def test_deleted_objects_need_no_status() -> None:
    server, pool = Server(), resource(Kind.POOL, POOL_SPEC, status={})
    server.learn(pool)
    server.answers = [NotFound("gone", 404)] * 2
    async with writing(server) as writer:
        writer.write(pool, {"phase": "Steady"})
        while server.answers:
            await asyncio.sleep(0.01)
        del server.store[pool.key]
        await writer.drain(10)
        assert writer.waiting == 0
    assert server.patches == []


async def test_callers_that_need_a_stored_status_wait_for_it_or_get_the_error() -> None:
    server, pool = Server(), resource(Kind.POOL, POOL_SPEC, status={})
    server.learn(pool)
    server.answers = [KubeError("no right", 403)]
    async with writing(server) as writer:
        with pytest.raises(KubeError, match="no right"):
            await writer.write_first(pool, {"account": "default/main"})
        await writer.write_first(pool, {"account": "default/main", "phase": "Creating"})
        assert server.store[pool.key].status == {"account": "default/main", "phase": "Creating"}


async def test_an_object_that_was_replaced_by_a_namesake_is_left_alone() -> None:
    server = Server()
    server.learn(resource(Kind.POOL, POOL_SPEC, status={}, uid="new"))
    async with writing(server) as writer:
        writer.write(resource(Kind.POOL, POOL_SPEC, status={}, uid="old"), {"phase": "Steady"})
        await writer.drain(10)
    assert server.patches == []


async def test_what_is_decided_is_known_before_it_is_written() -> None:
    server, pool = Server(), resource(Kind.POOL, POOL_SPEC, status={"phase": "Pending"})
    server.learn(pool)
    server.gate.clear()
    async with writing(server) as writer:
        assert writer.decided(pool) is pool
        writer.write(pool, {"phase": "Steady"})
        assert writer.decided(pool).status == {"phase": "Steady"}
        while writer.waiting:
            await asyncio.sleep(0)
        assert writer.decided(pool).status == {"phase": "Steady"}
        namesake = resource(Kind.POOL, POOL_SPEC, status={}, uid="new")
        assert writer.decided(namesake) is namesake
        server.gate.set()
        await writer.drain(10)
        assert writer.decided(pool) is pool


async def test_what_another_replica_decides_is_not_written_any_more() -> None:
    server, pool = Server(), resource(Kind.POOL, POOL_SPEC, status={})
    server.learn(pool)
    writer = StatusWriter(server, server.store.get, server.learn)  # type: ignore[arg-type]
    waiting = asyncio.create_task(writer.write_first(pool, {"phase": "Steady"}))
    await asyncio.sleep(0)
    assert writer.owed() == {pool.key}
    writer.forget(pool.key)
    writer.forget(pool.key)
    with pytest.raises(NotFound):
        await waiting
    assert (writer.owed(), writer.decided(pool)) == (set(), pool)
    task = asyncio.create_task(writer.run())
    await writer.drain(10)
    task.cancel()
    await asyncio.wait([task])
    assert server.patches == []


def test_a_status_that_waits_is_written_later_once_or_when_another_one_is_decided() -> None:
    async def life() -> None:
        server, pool = Server(), resource(Kind.POOL, POOL_SPEC, status={"phase": "Broken"})
        server.learn(pool)
        loop = asyncio.get_running_loop()
        async with writing(server) as writer:
            writer.write(pool, {"phase": "Steady"}, after=100)
            assert writer.owes(pool.key)
            assert writer.decided(pool).status == {"phase": "Steady"}
            writer.write(pool, {"phase": "Steady"})
            await asyncio.sleep(99)
            assert server.patches == [], "the same again is no reason to hurry"
            await asyncio.sleep(2)
            assert server.patches == [{"phase": "Steady"}]

            server.learn(pool)
            writer.write(pool, {"phase": "Steady"}, after=100)
            writer.write(pool, {"phase": "Resizing"})
            await asyncio.sleep(1)
            assert server.patches[1:] == [{"phase": "Resizing"}]

            server.learn(pool)
            writer.write(pool, {"phase": "Steady"}, after=100)
            writer.forget(pool.key)
            writer.write(pool, {"phase": "Gone"}, after=300)
            await asyncio.sleep(200)
            assert server.patches[2:] == [], "what was forgotten does not hasten what came after it"

            began = loop.time()
            await writer.drain(10)
            assert server.patches[2:] == [{"phase": "Gone"}]
            assert loop.time() - began < 1, "at the end nothing waits"

    run_jumping(life())


def test_a_status_that_somebody_waits_for_does_not_wait() -> None:
    async def life() -> None:
        server, pool = Server(), resource(Kind.POOL, POOL_SPEC, status={"phase": "Broken"})
        server.learn(pool)
        loop = asyncio.get_running_loop()
        async with writing(server) as writer:
            writer.write(pool, {"phase": "Steady"}, after=100)
            began = loop.time()
            await writer.write_first(pool, {"phase": "Steady"})
            assert loop.time() - began < 1
            assert server.patches == [{"phase": "Steady"}]

    run_jumping(life())
