"""A thin client of the API server: configured as `kubernetes.aio`, returns plain dicts, and raises a small hierarchy of errors.

The typed clients of the library cost several times the CPU of the request itself on the status path (docs/decisions), so only its
configuration, TLS and token handling are used.

    KubeError
     ├── NotFound        404
     ├── Conflict        409, and 422 of a failed JSON-patch `test`
     │    └── AlreadyExists   409 of a create: there is an object of that name
     ├── Invalid         422: the schema refuses what we wrote
     └── Busy            429, 5xx and lost connections: try again, after `retry_after` seconds if given
"""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from importlib import metadata
from typing import Any
from urllib.parse import quote

import aiohttp
import orjson
from kubernetes.aio import client, config
from yarl import URL

from azure_batch_operator.api.base import GROUP, VERSION
from azure_batch_operator.api.kinds import KINDS, Kind
from azure_batch_operator.api.resource import Key
from azure_batch_operator.batch.redaction import safe, safe_text
from azure_batch_operator.shapes import whole_number

MERGE_PATCH = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
METADATA_ONLY = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
_PAGE = 500
# Also the name of the field manager, by which `kubectl get --show-managed-fields` says who wrote what.
_USER_AGENT = f"azure-batch-operator/{metadata.version('azure-batch-operator')}"
_CONNECTIONS = 64
_TIMEOUT = aiohttp.ClientTimeout(total=60, connect=10)


class KubeError(Exception):
    """The API server did not do what was asked; the text is its own, which may quote what users wrote, made safe to show."""

    def __init__(self, message: str, status: int = 0, retry_after: float | None = None) -> None:
        super().__init__(safe_text(message))
        self.status = status
        self.retry_after = retry_after


class NotFound(KubeError):  # noqa: N818  (named as the API server names it)
    """404."""


class Conflict(KubeError):  # noqa: N818
    """The object is not the one, or not in the state, that the request was made for."""


class AlreadyExists(Conflict):
    """There is an object of that name; other conflicts, such as that of a quota which changes, say nothing of it."""


class Invalid(KubeError):  # noqa: N818
    """The API server's schema refuses the body: a fault of ours, not to be repeated."""


class Busy(KubeError):  # noqa: N818
    """Not now: throttled, restarting or unreachable."""


def _error(status: int, headers: Mapping[str, str], body: bytes) -> KubeError:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        document = body[:200].decode(errors="replace")
    # Before it is written out: behind the escapes of JSON or of a representation no filter sees a secret.
    document = safe(document)
    said = document if isinstance(document, dict) else {"message": str(document)}
    message, details, reason = str(said.get("message") or said), said.get("details"), said.get("reason")
    causes = details.get("causes") if isinstance(details, dict) else None
    delay = whole_number(headers.get("Retry-After", ""))
    if status == 404:
        return NotFound(message, status)
    if status == 422 and causes:
        return Invalid(message, status)
    if status == 409 and reason == "AlreadyExists":
        return AlreadyExists(message, status)
    if status in {409, 422}:  # a failed `test` of a JSON patch is a 422 that names no field
        return Conflict(message, status)
    if status == 429 or status >= 500 or status == 401:
        return Busy(message, status, delay)
    return KubeError(message, status)


def _document(status: int, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    """The object in a response.

    Raises:
        KubeError: the response is a refusal, or no object.
    """
    if status >= 300:
        raise _error(status, headers, body)
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Busy("API server sent a response that is not JSON", status) from None
    if not isinstance(document, dict):
        raise Busy("API server sent a response that is not a JSON object", status)
    return document


_SEGMENTS = re.compile(r"(/[A-Za-z0-9][A-Za-z0-9._:-]*)+", re.ASCII)


def checked(host: str, path: str) -> URL:
    """Where a request goes: exactly to the path that was built.

    Names in it are a user's, and HTTP libraries resolve `..` before they send: a Secret named `../../team/secrets/main` would be
    that of another namespace. tests/unit/kube/test_paths.py.

    Raises:
        NotFound: the path holds what no name of an object does, so there is no such object.
    """
    if not _SEGMENTS.fullmatch(path):
        raise NotFound(f"{path!r} contains a name that no object can have: use letters, digits, '-' and '.'", 404)
    return URL(f"{host}{path}", encoded=True)


def path_of(kind: Kind, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
    """Path of a collection, an object or a subresource of our group."""
    parts = [f"/apis/{GROUP}/{VERSION}"]
    if namespace is not None:
        parts.append(f"namespaces/{namespace}")
    parts.append(KINDS[kind].plural)
    parts += [quote(part, safe="") for part in (name, subresource) if part is not None]
    return "/".join(parts)


def _asking(permit: Callable[[], None]) -> aiohttp.TraceConfig:
    """Asks for permission when a request has its connection: nothing is between that and its first byte."""

    async def ask(_: aiohttp.ClientSession, context: Any, __: Any) -> None:
        if context.trace_request_ctx:
            permit()

    trace = aiohttp.TraceConfig()
    trace.on_connection_create_end.append(ask)
    trace.on_connection_reuseconn.append(ask)
    return trace


class KubeApi:
    """The API server, as the service account of the operator sees it."""

    def __init__(self, api_client: client.ApiClient, permit: Callable[[], None] | None = None) -> None:
        self._client = api_client
        self.permit = permit
        self._proxy = api_client.rest_client.proxy
        # A session of our own on the library's TLS settings: its own looks for ~/.netrc before each request, in a thread.
        connector = aiohttp.TCPConnector(limit=_CONNECTIONS, ssl=api_client.rest_client.ssl_context)
        traces = [_asking(permit)] if permit else []
        self._session = aiohttp.ClientSession(connector=connector, trust_env=False, trace_configs=traces)

    @classmethod
    async def connect(cls, permit: Callable[[], None] | None = None) -> KubeApi:
        """By the pod's service account, else by KUBECONFIG.

        Args:
            permit: is called at the last moment before each write, but for those that are not `fenced`.

        Raises:
            kubernetes.aio.config.ConfigException: if there is neither, naming what was looked for.
        """
        configuration = client.Configuration()
        if os.environ.get("KUBERNETES_SERVICE_HOST") and not os.environ.get("KUBECONFIG"):
            config.load_incluster_config(client_configuration=configuration)
        else:
            place = os.environ.get("KUBECONFIG") or "~/.kube/config"
            try:
                # The library's own default is the KUBECONFIG of the time when it was imported.
                await config.load_kube_config(config_file=place, client_configuration=configuration)
            except config.ConfigException as error:
                text = f"the operator does not run in a pod, and there is no usable kubeconfig in {place} (KUBECONFIG): {error}"
                raise config.ConfigException(text) from None
        return cls(client.ApiClient(configuration), permit)

    async def aclose(self) -> None:
        """Close the session."""
        await self._session.close()
        await self._client.close()

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        fenced: bool = True,
    ) -> dict[str, Any]:
        """One request; the response as a dict.

        Args:
            accept: `METADATA_ONLY` for an object without what it holds.
            fenced: whether a write needs the permission of the one that acts; only the Lease itself does not.

        Raises:
            KubeError: see the tree above.
        """
        url = checked(self._client.configuration.host, path)
        headers = {"Accept": accept, "User-Agent": _USER_AGENT}
        for setting in (await self._client.configuration.auth_settings()).values():
            headers[setting["key"]] = setting["value"]
        data = None
        if body is not None:
            headers["Content-Type"] = content_type
            data = orjson.dumps(body)
        failure: Busy
        try:
            async with self._session.request(
                method,
                url,
                params=params,
                headers=headers,
                data=data,
                timeout=_TIMEOUT,
                proxy=self._proxy,
                allow_redirects=False,
                trace_request_ctx=fenced and method != "GET",
            ) as response:
                answer = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            failure = Busy(f"API server unreachable: {type(error).__name__}: {error}")
        else:
            return _document(response.status, response.headers, answer)
        # Raised out here so that it keeps no context: aiohttp's errors hold the request, the operator's token included.
        raise failure

    async def list(self, kind: Kind, namespace: str | None = None) -> AsyncIterator[dict[str, Any]]:
        """All objects of a kind, page by page; one expired `continue` token starts the list again.

        Raises:
            KubeError: also if the kind is not served, with the remedy.
        """
        token = ""
        while True:
            params = {"limit": str(_PAGE)} | ({"continue": token} if token else {})
            try:
                page = await self.request("GET", path_of(kind, namespace), params=params)
            except NotFound as error:
                name = f"{KINDS[kind].plural}.{GROUP}"
                text = f"the API server has no {name} in version {VERSION}: apply the custom resource definitions (crds/) first"
                raise KubeError(text, error.status) from error
            except KubeError as error:
                if error.status == 410 and token:
                    token = ""
                    continue
                raise
            for item in page["items"]:
                item.setdefault("kind", kind.value)
                yield item
            token = page["metadata"].get("continue", "")
            if not token:
                return

    async def get(self, key: Key) -> dict[str, Any]:
        """One object of ours."""
        return await self.request("GET", path_of(key.kind, key.namespace, key.name))

    async def patch_status(self, key: Key, uid: str, patch: Mapping[str, Any]) -> dict[str, Any]:
        """Merge-patch the status; the uid makes the API server refuse a namesake that was created meanwhile."""
        return await self.request(
            "PATCH",
            path_of(key.kind, key.namespace, key.name, "status"),
            body={"metadata": {"uid": uid}, "status": patch},
            content_type=MERGE_PATCH,
        )

    async def patch_json(self, key: Key, operations: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """JSON-patch the object itself; a failed `test` is a Conflict."""
        return await self.request(
            "PATCH",
            path_of(key.kind, key.namespace, key.name),
            body=list(operations),
            content_type=JSON_PATCH,
        )
