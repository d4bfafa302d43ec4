"""A cluster in memory for the commands, and a runner."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from click.testing import CliRunner, Result
from kubernetes.aio.client.exceptions import NotFoundException

from azure_batch_kubectl.cli import plugin
from azure_batch_operator.api.kinds import KINDS, Kind

Body = dict[str, Any]


def thing(kind: str, name: str, *conditions: tuple[str, str, str, str], phase: str = "", **status: Any) -> Body:
    """An object with a status."""
    listed = [dict(zip(("type", "status", "reason", "message"), each, strict=True)) for each in conditions]
    return {
        "kind": kind,
        "metadata": {"name": name, "namespace": "team", "generation": 1, "creationTimestamp": "2026-05-01T00:00:00Z"},
        "spec": {},
        "status": {"observedGeneration": 1, "conditions": listed, "phase": phase, **status},
    }


class FakeCluster:
    """Objects by kind and name; a list of them is what one GET after the other answers."""

    namespace = "team"
    renames = True
    """Whether operations, whose names end at random, are called made-0, made-1, …"""

    def __init__(self) -> None:
        self.objects: dict[tuple[Kind, str], list[Body | None]] = {}
        self.patches: list[tuple[Kind, str, Mapping[str, Any]]] = []
        self.created: list[Body] = []
        self.names: list[str] = []
        self.config_maps: dict[str, Body] = {}
        self.secrets: dict[tuple[str, str], Mapping[str, str]] = {}
        self.rights: set[tuple[str, str]] = set()
        self.read_maps: list[str] = []
        self.content: tuple[Mapping[str, str], Mapping[str, str]] = {}, {}

    def add(self, *versions: Body | None) -> None:
        first = versions[0]
        assert first is not None
        self.objects[Kind(first["kind"]), first["metadata"]["name"]] = list(versions)

    async def get(self, kind: Kind, name: str, namespace: str | None = None) -> Body:
        versions = self.objects.get((kind, name), [None])
        found = versions.pop(0) if len(versions) > 1 else versions[0]
        if found is None:
            body = f'{{"message": "{KINDS[kind].plural}.azurebatch.io \\"{name}\\" not found"}}'
            raise NotFoundException(status=404, body=body)
        return found

    async def list(self, kind: Kind, *, everywhere: bool = False, fields: str = "") -> AsyncIterator[Body]:
        for (each, _), versions in list(self.objects.items()):
            if each is kind and versions[0] is not None:
                yield versions[0]

    async def rows(self, kind: Kind, fields: str = "") -> AsyncIterator[Body]:
        """The columns of a BatchTask."""
        async for task in self.list(kind, fields=fields):
            job, status = task["spec"].get("jobRef", {}).get("name"), task["status"]
            yield {
                "Name": task["metadata"]["name"],
                "Job": job,
                "Phase": status["phase"],
                "Exit": status.get("exitCode"),
            }

    async def patch(self, kind: Kind, name: str, body: Mapping[str, Any]) -> Body:
        self.patches.append((kind, name, body))
        return await self.get(kind, name)

    async def create(self, kind: Kind, body: Body) -> Body:
        self.names.append(body["metadata"]["name"])
        made = {**body, "metadata": {"namespace": "team", "uid": "uid-1", **body["metadata"]}}
        if kind is Kind.OPERATION and self.renames:
            made["metadata"]["name"] = f"made-{len(self.created)}"
        self.created.append(made)
        self.objects.setdefault((kind, made["metadata"]["name"]), [made])
        return made

    async def may(self, verb: str, resource: str, group: str) -> bool:
        return (verb, resource) in self.rights

    async def config_map(self, name: str) -> tuple[Mapping[str, str], Mapping[str, str]]:
        self.read_maps.append(name)
        return self.content

    async def get_config_map(self, name: str) -> Body:
        if name not in self.config_maps:
            raise NotFoundException(status=404, body=f'{{"message": "configmaps \\"{name}\\" not found"}}')
        return self.config_maps[name]

    async def create_config_map(self, body: Body) -> None:
        self.config_maps[body["metadata"]["name"]] = body

    async def patch_config_map(self, name: str, body: Body) -> None:
        self.config_maps[name]["metadata"] |= body["metadata"]

    async def delete_config_map(self, name: str) -> None:
        del self.config_maps[name]

    async def secret(self, namespace: str, name: str) -> Mapping[str, str]:
        return self.secrets[namespace, name]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
    """The cluster that the commands see."""
    cluster = FakeCluster()

    @asynccontextmanager
    async def connected(_: object) -> AsyncIterator[FakeCluster]:
        yield cluster

    monkeypatch.setattr("azure_batch_kubectl.running.connected", connected)
    return cluster


@pytest.fixture
def run(fake: FakeCluster) -> Callable[..., Result]:
    """Run a command."""
    return lambda *words: CliRunner().invoke(plugin, words)
