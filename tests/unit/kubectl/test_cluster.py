"""The requests of the plugin to the API server: against a server that speaks HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.aio.client.exceptions import ApiException, ConflictException, NotFoundException

from azure_batch_kubectl.cluster import Cluster, Place, connected
from azure_batch_operator.api.kinds import Kind
from unit.kubectl.conftest import Body

GROUP = "/apis/azurebatch.io/v1alpha1"
Work = Callable[[Cluster], Awaitable[Any]]


class Server:
    """Keeps what it is asked, and gives one answer to all."""

    def __init__(self, answer: Body, status: int = 200) -> None:
        self.answer, self.status = answer, status
        self.asked: list[tuple[str, str, str, Any]] = []

    async def handle(self, request: web.Request) -> web.Response:
        """An answer."""
        text = await request.text()
        kind = request.headers["Content-Type"]
        self.asked.append((request.method, request.raw_path, kind, json.loads(text) if text else None))
        return web.json_response(self.answer, status=self.status)


def ask(server: Server, folder: Path, work: Work) -> Any:
    """What comes of work with a Cluster of the server."""

    async def run() -> Any:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", server.handle)
        async with TestServer(application) as running:
            config = {
                "current-context": "c",
                "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": "team"}}],
                "clusters": [{"name": "c", "cluster": {"server": str(running.make_url("/")).rstrip("/")}}],
                "users": [{"name": "u", "user": {"token": "t"}}],
            }
            path = folder / "config"
            path.write_text(yaml.safe_dump(config))
            async with connected(Place(str(path))) as cluster:
                return await work(cluster)

    return asyncio.run(run())


JSON, MERGE = "application/json", "application/merge-patch+json"
BODY = {"spec": {"suspend": None}}


@pytest.mark.parametrize(
    ("work", "method", "path", "kind", "body"),
    [
        (lambda c: c.get(Kind.JOB, "render"), "GET", f"{GROUP}/namespaces/team/batchjobs/render", JSON, None),
        (lambda c: c.get(Kind.ACCOUNT, "a/b", "x"), "GET", f"{GROUP}/namespaces/x/batchaccounts/a%2Fb", JSON, None),
        (lambda c: c.patch(Kind.JOB, "j", BODY), "PATCH", f"{GROUP}/namespaces/team/batchjobs/j", MERGE, BODY),
        (lambda c: c.create(Kind.POOL, BODY), "POST", f"{GROUP}/namespaces/team/batchpools", JSON, BODY),
        (lambda c: c.config_map("m"), "GET", "/api/v1/namespaces/team/configmaps/m", JSON, None),
        (lambda c: c.create_config_map(BODY), "POST", "/api/v1/namespaces/team/configmaps", JSON, BODY),
        (lambda c: c.patch_config_map("m", BODY), "PATCH", "/api/v1/namespaces/team/configmaps/m", MERGE, BODY),
        (lambda c: c.delete_config_map("m"), "DELETE", "/api/v1/namespaces/team/configmaps/m", JSON, None),
        (lambda c: c.secret("x", "s"), "GET", "/api/v1/namespaces/x/secrets/s", JSON, None),
    ],
)
def test_each_call_is_one_request(tmp_path: Path, work: Work, method: str, path: str, kind: str, body: Any) -> None:
    server = Server({})
    ask(server, tmp_path, work)
    assert server.asked == [(method, path, kind, body)]


def test_what_an_object_is_then_is_returned(tmp_path: Path) -> None:
    created = Server({"metadata": {"name": "made"}}, status=201)
    assert ask(created, tmp_path, lambda c: c.create(Kind.JOB, {})) == {"metadata": {"name": "made"}}


def test_contents_of_config_maps_and_secrets(tmp_path: Path) -> None:
    server = Server({"data": {"a": "x"}, "binaryData": {"b": "eA=="}})
    assert ask(server, tmp_path, lambda c: c.config_map("m")) == ({"a": "x"}, {"b": "eA=="})
    assert ask(server, tmp_path, lambda c: c.secret("team", "s")) == {"a": "x"}
    assert ask(Server({}), tmp_path, lambda c: c.config_map("m")) == ({}, {})


@pytest.mark.parametrize("allowed", [True, False])
def test_rights_are_asked_of_the_api_server(tmp_path: Path, allowed: bool) -> None:
    server = Server({"status": {"allowed": allowed}}, status=201)
    assert ask(server, tmp_path, lambda c: c.may("get", "secrets", "")) is allowed
    ((method, path, _, body),) = server.asked
    assert (method, path) == ("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews")
    assert body["spec"] == {
        "resourceAttributes": {"namespace": "team", "verb": "get", "resource": "secrets", "group": ""}
    }


def test_lists_of_one_and_of_all_namespaces(tmp_path: Path) -> None:
    async def both(cluster: Cluster) -> list[Body]:
        chosen = [found async for found in cluster.list(Kind.TASK, fields="spec.jobRef.name=render")]
        return chosen + [found async for found in cluster.list(Kind.TASK, everywhere=True)]

    server = Server({"metadata": {}, "items": [{"metadata": {"name": "t"}}]})
    assert ask(server, tmp_path, both) == [{"kind": "BatchTask", "metadata": {"name": "t"}}] * 2
    assert [path for _, path, _, _ in server.asked] == [
        f"{GROUP}/namespaces/team/batchtasks?limit=100&fieldSelector=spec.jobRef.name%3Drender",
        f"{GROUP}/batchtasks?limit=100",
    ]


@pytest.mark.parametrize(("status", "error"), [(404, NotFoundException), (409, ConflictException), (418, ApiException)])
def test_a_refusal_has_the_class_of_its_status_and_the_text(
    tmp_path: Path, status: int, error: type[ApiException]
) -> None:
    server = Server({"message": "no such thing"}, status=status)
    with pytest.raises(error) as caught:
        ask(server, tmp_path, lambda c: c.get(Kind.JOB, "x"))
    assert (caught.value.status, type(caught.value)) == (status, error)
    assert json.loads(caught.value.body) == {"message": "no such thing"}
