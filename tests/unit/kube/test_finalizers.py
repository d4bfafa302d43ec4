"""Finalizer patches never lose a finalizer of somebody else, whatever happens in between."""

from __future__ import annotations

from typing import Any

import pytest

from azure_batch_operator.api.base import FINALIZER
from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Key
from azure_batch_operator.kube.api import Conflict, NotFound
from azure_batch_operator.kube.finalizers import added, removed, set_finalizer
from unit.objects import POOL_SPEC, resource


class Server:
    """One object behind JSON patches, with an optional change by others before the first patch arrives."""

    def __init__(self, body: dict[str, Any] | None, meanwhile: list[str] | None = None) -> None:
        self.body, self.meanwhile = body, meanwhile
        self.patches = 0

    async def patch_json(self, key: Key, operations: list[dict[str, Any]]) -> dict[str, Any]:
        self.patches += 1
        if self.body is None:
            raise NotFound("gone", 404)
        metadata = self.body["metadata"]
        if self.meanwhile is not None:
            metadata["finalizers"], self.meanwhile = self.meanwhile, None
            metadata["resourceVersion"] = str(int(metadata["resourceVersion"]) + 1)
        finalizers = list(metadata.get("finalizers", []))
        for operation in operations:
            path = operation["path"].split("/")[2:]
            if operation["op"] == "test":
                actual = finalizers[int(path[1])] if path[0] == "finalizers" else metadata[path[0]]
                if actual != operation["value"]:
                    raise Conflict("test failed", 422)
            elif operation["op"] == "add":
                finalizers = operation["value"] if len(path) == 1 else [*finalizers, operation["value"]]
            else:
                del finalizers[int(path[1])]
        metadata["finalizers"] = finalizers
        metadata["resourceVersion"] = str(int(metadata["resourceVersion"]) + 1)
        return self.body

    async def get(self, key: Key) -> dict[str, Any]:
        if self.body is None:
            raise NotFound("gone", 404)
        return self.body


def body_of(finalizers: list[str], uid: str = "uid-1") -> dict[str, Any]:
    return {
        "kind": "BatchPool",
        "metadata": {
            "namespace": "default", "name": "one", "uid": uid, "resourceVersion": "1", "finalizers": finalizers,
        },
        "spec": POOL_SPEC,
    }  # fmt: skip


@pytest.mark.parametrize("others", [[], ["other"], ["other", "third"]])
@pytest.mark.parametrize("meanwhile", [None, [], ["new"], ["new", "newer"]])
async def test_others_are_kept_when_ours_is_added(others: list[str], meanwhile: list[str] | None) -> None:
    server = Server(body_of(others), meanwhile)
    now = await set_finalizer(server, resource(Kind.POOL, POOL_SPEC, finalizers=tuple(others)), present=True)  # type: ignore[arg-type]
    assert now is not None
    expected = {*(others if meanwhile is None else meanwhile), FINALIZER}
    assert set(now.finalizers) == expected
    assert len(now.finalizers) == len(expected)


@pytest.mark.parametrize("meanwhile", [None, [FINALIZER, "late"], ["late", FINALIZER]])
async def test_only_ours_is_removed(meanwhile: list[str] | None) -> None:
    server = Server(body_of(["other", FINALIZER]), meanwhile)
    now = await set_finalizer(server, resource(Kind.POOL, POOL_SPEC, finalizers=("other", FINALIZER)), present=False)  # type: ignore[arg-type]
    assert now is not None
    assert list(now.finalizers) == (["late"] if meanwhile else ["other"])


async def test_a_gone_object_and_a_namesake_are_none() -> None:
    one = resource(Kind.POOL, POOL_SPEC, finalizer=True)
    assert await set_finalizer(Server(None), one, present=False) is None  # type: ignore[arg-type]
    namesake = Server(body_of([FINALIZER], uid="another"))
    assert await set_finalizer(namesake, one, present=False) is None  # type: ignore[arg-type]
    assert namesake.body is not None
    assert namesake.body["metadata"]["finalizers"] == [FINALIZER]


def test_an_unchanged_value_needs_no_patch() -> None:
    assert added(resource(Kind.POOL, POOL_SPEC, finalizer=True)) == []
    assert removed(resource(Kind.POOL, POOL_SPEC)) == []
