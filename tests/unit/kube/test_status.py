"""The status writer: the smallest patch, latest wins, nothing for nothing, patient with a busy API server."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Key, Resource
from azure_batch_operator.kube.api import Busy, Conflict, Invalid
from azure_batch_operator.kube.status import StatusWriter, merge_patch
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
        self.gate = asyncio.Event()
        self.gate.set()

    async def patch_status(self, key: Key, uid: str, patch: dict[str, Any]) -> dict[str, Any]:
        await self.gate.wait()
        if self.answers:
            raise self.answers.pop(0)
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
async def writing(server: Server) -> Any:
    writer = StatusWriter(server, server.store.get, server.learn)  # type: ignore[arg-type]
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


async def test_what_the_schema_refuses_or_is_gone_is_not_repeated() -> None:
    for answer in (Invalid("no such field", 422), Conflict("another uid", 409)):
        server, pool = Server(), resource(Kind.POOL, POOL_SPEC, status={})
        server.learn(pool)
        server.answers = [answer]
        async with writing(server) as writer:
            writer.write(pool, {"phase": "Steady"})
            await writer.drain(10)
            assert writer.waiting == 0
        assert server.patches == []


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
