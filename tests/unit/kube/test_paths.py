"""No name that a user writes leads out of the place that it was written for.

HTTP libraries resolve `..` before they send, so a Secret named `../../team/secrets/main` would be that of another namespace.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import given
from hypothesis import strategies as st
from kubernetes.aio import client

from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Key
from azure_batch_operator.kube import secrets
from azure_batch_operator.kube.api import KubeApi, NotFound, checked
from azure_batch_operator.kube.tokens import request_token
from azure_batch_operator.kube.values import ValueMissingError, ValueReader
from support.hostile import ATTACK, TEXTS

OUTSIDE = [
    "../../team/secrets/main", "..", ".", "../main", "main/../../../team/secrets/main", "%2e%2e/%2e%2e/team/secrets/main",
    "..%2f..%2fteam%2fsecrets%2fmain", "main?x=1", "main#", "main/status", "/main", "main/", "\\..\\main", "", "main\n",
    "ma in", "mäin", "．．/main", "main;x", "main@evil",
]  # fmt: skip


class Server:
    """An API server that has everything, and knows what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def answer(self, request: web.Request) -> web.Response:
        """Any request."""
        self.asked.append(f"{request.method} {request.raw_path}")
        data = {"key": base64.b64encode(b"value").decode()}
        metadata = {"uid": "u", "resourceVersion": "1", "name": "main"}
        return web.json_response({"metadata": metadata, "data": data, "status": {"token": "a.b.c"}})


@pytest.fixture
async def server() -> Server:
    return Server()


@pytest.fixture
async def api(server: Server) -> AsyncIterator[KubeApi]:
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", server.answer)
    async with TestServer(application) as listening:
        configuration = client.Configuration()
        configuration.host = f"http://127.0.0.1:{listening.port}"
        made = KubeApi(client.ApiClient(configuration))
        yield made
        await made.aclose()


@pytest.mark.parametrize("name", OUTSIDE)
async def test_a_name_that_no_object_has_is_not_requested(server: Server, api: KubeApi, name: str) -> None:
    for kind in ("Secret", "ConfigMap"):
        with pytest.raises(ValueMissingError, match="does not exist in namespace 'default'"):
            await ValueReader(api).text(kind, "default", name, "key")  # type: ignore[arg-type]
    assert await secrets.read(api, "default", name) is None
    known = secrets.SecretMetadata("u", "1", (), False)
    await secrets.set_kept(api, "default", name, known, present=True)
    with pytest.raises(NotFound):
        await request_token(api, "default", name)
    with pytest.raises(NotFound):
        await api.get(Key(Kind.POOL, "default", name))
    assert server.asked == []


async def test_names_of_objects_are(server: Server, api: KubeApi) -> None:
    assert await ValueReader(api).text("Secret", "default", "my.secret-1", "key") == "value"
    await request_token(api, "default", "azure-batch")
    assert server.asked == [
        "GET /api/v1/namespaces/default/secrets/my.secret-1",
        "POST /api/v1/namespaces/default/serviceaccounts/azure-batch/token",
    ]


async def test_a_redirect_does_not_get_the_token(api: KubeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    given_: dict[str, Any] = {}
    request = api._session.request

    def spied(*arguments: Any, **options: Any) -> Any:
        given_.update(options)
        return request(*arguments, **options)

    monkeypatch.setattr(api._session, "request", spied)
    await api.request("GET", "/api/v1/namespaces/default")
    assert given_["allow_redirects"] is False


@ATTACK
@given(TEXTS | st.text(alphabet="./%ab-", max_size=12))
def test_a_path_is_sent_as_it_was_built_or_not_at_all(name: str) -> None:
    path = f"/api/v1/namespaces/default/secrets/{name}"
    try:
        url = checked("https://api", path)
    except NotFound:
        return
    assert url.raw_path == path
    assert ".." not in url.raw_parts
    assert not url.query_string
