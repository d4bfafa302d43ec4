"""The API server, by the user's kubeconfig and with the user's rights.

Requests go through the ApiClient of the library, not through its classes for each group: to load CoreV1Api, with all the models
of Kubernetes, takes as long as all the rest of a command; tests/unit/kubectl/test_later.py.
"""

from __future__ import annotations

import asyncio
import builtins
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import aiohttp
from kubernetes.aio import client, config
from kubernetes.aio.client.exceptions import ApiException

from azure_batch_kubectl import kubeconfig
from azure_batch_kubectl.failure import FailureError
from azure_batch_operator.api.base import GROUP, VERSION
from azure_batch_operator.api.kinds import KINDS, Kind
from azure_batch_operator.batch.redaction import safe_text

_PAGE = 100
"""Whole objects in an answer: a job with its tasks may have a megabyte."""
_ROWS = 500
"""Rows in an answer, as kubectl asks for."""
_SECONDS = 60
_WATCH_SECONDS = 50
"""How long the API server keeps a watch, shorter than any call may take."""
_ONLY_METADATA = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_TABLE = "application/json;as=Table;g=meta.k8s.io;v=v1"
_SIGN_IN = "BearerToken"
_MERGE = "application/merge-patch+json"
UNKNOWN = "the change may have been made: look before you repeat the command"
"""Note of an error after which nobody knows."""


@dataclass(frozen=True)
class Place:
    """Which cluster and which part of it the user means.

    Attributes:
        kubeconfig: file; KUBECONFIG or ~/.kube/config if None.
        context: of the kubeconfig; the current one if None.
        namespace: that of the context if None.
    """

    kubeconfig: str | None = None
    context: str | None = None
    namespace: str | None = None


def refusal(error: ApiException) -> str:
    """What the API server said, in one line."""
    try:
        said = json.loads(error.body or "")["message"]
    except (ValueError, KeyError, TypeError):
        said = error.reason or "no reason given"
    return safe_text(" ".join(str(said).split()))


def unusable(error: object) -> str:
    """What to say of a kubeconfig that cannot be used."""
    return f"no usable kubeconfig: {error}: set KUBECONFIG, --kubeconfig or --context"


def may_be_executed(error: BaseException) -> bool:
    """Whether a call may have changed something, though it failed or was canceled."""
    if isinstance(error, ApiException):
        return (error.status or 0) < HTTPStatus.BAD_REQUEST or error.status >= HTTPStatus.INTERNAL_SERVER_ERROR
    return not isinstance(error, aiohttp.ClientConnectorError)


class _SignedIn(client.ApiClient):  # type: ignore[misc]
    """Signs in again, once for each call, where the API server refuses a token.

    Tokens of credential plugins and token files live shorter than `logs -f`, `top --watch` and `wait`.
    """

    def __init__(self, configuration: client.Configuration, place: Place) -> None:
        super().__init__(configuration)
        self._place = place
        self._signing_in = asyncio.Lock()

    async def call_api(self, method: str, url: str, header_params: Any = None, *more: Any, **options: Any) -> Any:
        """The answer to a call; one that is refused with 401 was not executed."""
        answer = await super().call_api(method, url, header_params, *more, **options)
        if answer.status != HTTPStatus.UNAUTHORIZED:
            return answer
        token = await self._other_token((header_params or {}).get("authorization"))
        if token is None:
            return answer
        answer.response.release()
        return await super().call_api(method, url, {**header_params, "authorization": token}, *more, **options)

    async def _other_token(self, refused: str | None) -> str | None:
        """A token other than the one that was refused, by the kubeconfig; None if there is none."""
        async with self._signing_in:
            # Calls that were refused together share one new token.
            known = self.configuration.api_key.get(_SIGN_IN)
            if known and known != refused:
                return str(known)
            fresh = client.Configuration()
            await _load(self._place, fresh)
            token = fresh.api_key.get(_SIGN_IN)
            if not token or token == refused:
                return None
            self.configuration.api_key[_SIGN_IN] = token
            return str(token)


class Cluster:
    """Objects of the group, as plain dicts."""

    def __init__(self, api: client.ApiClient, namespace: str) -> None:
        self.namespace = namespace
        self._api = api

    async def get(self, kind: Kind, name: str, namespace: str | None = None) -> dict[str, Any]:
        """One object.

        Raises:
            ApiException: there is none, or it may not be read.
        """
        found, _ = await self.read(_path(kind, namespace or self.namespace, name))
        return found

    async def list(self, kind: Kind, *, everywhere: bool = False, fields: str = "") -> AsyncIterator[dict[str, Any]]:
        """All objects of a kind, page by page.

        Args:
            everywhere: in all namespaces.
            fields: a field selector. Kubernetes before 1.31 has none for our kinds: then all objects come.
        """
        async for page in self.pages(kind, everywhere=everywhere, fields=fields):
            for each in page["items"]:
                yield {"kind": kind.value, **each}

    async def pages(self, kind: Kind, *, everywhere: bool = False, fields: str = "") -> AsyncIterator[dict[str, Any]]:
        """The pages of `list` as the API server sends them."""
        async for page in self._pages(_path(kind, "" if everywhere else self.namespace), fields, _PAGE):
            yield page

    async def rows(self, kind: Kind, fields: str = "") -> AsyncIterator[Mapping[str, Any]]:
        """What `kubectl get` shows of the objects of a kind in the namespace: cells by column, without the objects.

        Args:
            fields: as for `list`.
        """
        async for page in self._pages(_path(kind, self.namespace), fields, _ROWS, {"includeObject": "None"}, _TABLE):
            names = [column["name"] for column in page["columnDefinitions"]]
            for row in page.get("rows") or ():
                yield dict(zip(names, row["cells"], strict=True))

    async def _pages(
        self,
        path: str,
        fields: str,
        limit: int,
        more: Mapping[str, str] | None = None,
        accept: str = "application/json",
    ) -> AsyncIterator[dict[str, Any]]:
        query = {"limit": str(limit), **(more or {})} | ({"fieldSelector": fields} if fields else {})
        while True:
            try:
                answer = await self._asked(path, query, accept=accept)
            except ApiException as error:
                if error.status != HTTPStatus.BAD_REQUEST or "fieldSelector" not in query:
                    raise
                del query["fieldSelector"]
                continue
            page = json.loads(await answer.response.read())
            yield page
            token = page["metadata"].get("continue", "")
            if not token:
                return
            query["continue"] = token

    async def names(self, plural: str, limit: int, fields: str = "") -> builtins.list[str]:
        """Names of the first objects of a kind of the group, or of namespaces, without their specs."""
        group = _joined(f"/apis/{GROUP}/{VERSION}", "namespaces", self.namespace, plural)
        query = {"limit": str(limit)} | ({"fieldSelector": fields} if fields else {})
        path = "/api/v1/namespaces" if plural == "namespaces" else group
        answer = await self._asked(path, query, accept=_ONLY_METADATA)
        return [str(each["metadata"]["name"]) for each in json.loads(await answer.response.read())["items"]]

    async def events(self, kind: Kind, version: str, *, everywhere: bool) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        """What changes after a version: type and object of each event, for less than a minute.

        Raises:
            ApiException: the version is too old (410), or the objects may not be watched.
        """
        query = {
            "watch": "true",
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(_WATCH_SECONDS),
        }
        answer = await self._asked(_path(kind, "" if everywhere else self.namespace), query)
        rest = b""
        async with answer.response as response:
            # Not by lines of aiohttp, which bounds their length.
            async for chunk in response.content.iter_any():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        raise ApiException(status=event["object"].get("code"), reason=event["object"].get("message"))
                    yield event["type"], {"kind": kind.value, **event["object"]}

    async def patch(self, kind: Kind, name: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Merge-patch an object; what it is then."""
        return await self._written("PATCH", _path(kind, self.namespace, name), body)

    async def create(self, kind: Kind, body: Mapping[str, Any]) -> dict[str, Any]:
        """Create an object; what it is then."""
        return await self._written("POST", _path(kind, self.namespace), body)

    async def read(self, path: str, query: Mapping[str, str] | None = None) -> tuple[dict[str, Any], Mapping[str, str]]:
        """What stands at a path of the API server, as it is, and the headers of the answer.

        Raises:
            ApiException: nothing stands there, or it may not be read.
        """
        answer = await self._asked(path, query)
        found: dict[str, Any] = json.loads(await answer.response.read())
        return found, answer.response.headers

    async def namespace_phase(self, namespace: str) -> str:
        """`Active` or `Terminating`; empty if there is no such namespace.

        Raises:
            ApiException: it may not be read.
        """
        try:
            found, _ = await self.read(f"/api/v1/namespaces/{namespace}")
        except ApiException as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            return ""
        return str((found.get("status") or {}).get("phase") or "Active")

    async def may(self, verb: str, resource: str, group: str) -> bool:
        """Whether the user has a right in the namespace, as the API server says."""
        attributes = {"namespace": self.namespace, "verb": verb, "resource": resource, "group": group}
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        answer = await self._sent("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review)
        return bool((answer.get("status") or {}).get("allowed"))

    async def may_other(
        self, user: str, verb: str, resource: str, group: str, subresource: str = "", namespace: str = ""
    ) -> bool:
        """Whether somebody else has a right, in a namespace or in all of them; who may ask that is an administrator."""
        attributes = {"verb": verb, "resource": resource, "group": group}
        attributes |= {"subresource": subresource, "namespace": namespace}
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {"user": user, "groups": ["system:serviceaccounts"], "resourceAttributes": attributes},
        }
        answer = await self._sent("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", review)
        return bool((answer.get("status") or {}).get("allowed"))

    async def config_map(self, name: str) -> tuple[Mapping[str, str], Mapping[str, str]]:
        """The data of a ConfigMap, as text, and what is in base64."""
        found = await self.get_config_map(name)
        return found.get("data") or {}, found.get("binaryData") or {}

    async def get_config_map(self, name: str) -> dict[str, Any]:
        """A ConfigMap with its metadata."""
        found, _ = await self.read(_core_path("configmaps", self.namespace, name))
        return found

    async def create_config_map(self, body: Mapping[str, Any]) -> None:
        """Create a ConfigMap."""
        await self._written("POST", _core_path("configmaps", self.namespace), body)

    async def patch_config_map(self, name: str, body: Mapping[str, Any]) -> None:
        """Merge-patch a ConfigMap."""
        await self._written("PATCH", _core_path("configmaps", self.namespace, name), body)

    async def delete_config_map(self, name: str) -> None:
        """Delete a ConfigMap."""
        answer = await self._asked(_core_path("configmaps", self.namespace, name), None, method="DELETE")
        await answer.response.read()

    async def secret(self, namespace: str, name: str) -> Mapping[str, str]:
        """The data of a Secret, in base64."""
        found, _ = await self.read(_core_path("secrets", namespace, name))
        return found.get("data") or {}

    async def _written(self, method: str, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """What an object is after it was created or patched; an error says whether that may have happened nevertheless."""
        try:
            return await self._sent(method, path, body)
        except (ApiException, aiohttp.ClientError, TimeoutError) as error:
            if may_be_executed(error):
                error.add_note(UNKNOWN)
            raise

    async def _sent(self, method: str, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to a request with a body."""
        answer = await self._asked(path, None, method=method, body=body)
        found: dict[str, Any] = json.loads(await answer.response.read())
        return found

    async def _asked(
        self,
        path: str,
        query: Mapping[str, str] | None,
        *,
        accept: str = "application/json",
        method: str = "GET",
        body: Mapping[str, Any] | None = None,
    ) -> Any:
        """The answer to a request, whose content is not read yet.

        Raises:
            ApiException: the API server refuses it; of the class that the library has for the status.
        """
        kind = {"Content-Type": _MERGE if method == "PATCH" else "application/json"} if body is not None else {}
        asked = await self._api.param_serialize(
            method=method,
            resource_path=path,
            query_params=list((query or {}).items()),
            header_params={"Accept": accept, **kind},
            body=body if body is None else dict(body),
            auth_settings=[_SIGN_IN],
        )
        answer = await self._api.call_api(*asked, _request_timeout=_SECONDS, _preload_content=False)
        if not HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
            text = (await answer.response.read()).decode(errors="replace")
            raise ApiException.from_response(http_resp=answer, body=text, data=None)
        return answer


def _path(kind: Kind, namespace: str, name: str = "") -> str:
    """Of an object, or of all objects of a kind; in all namespaces if that is empty."""
    return _joined(
        f"/apis/{GROUP}/{VERSION}", *(("namespaces", namespace) if namespace else ()), KINDS[kind].plural, name
    )


def _core_path(plural: str, namespace: str, name: str = "") -> str:
    return _joined("/api/v1", "namespaces", namespace, plural, name)


def _joined(first: str, *parts: str) -> str:
    """A path of parts that are not empty; what a user writes may contain a slash."""
    return "/".join((first, *(quote(part, safe="") for part in parts if part)))


async def _load(place: Place, configuration: client.Configuration) -> str:
    """Take server and credentials from the kubeconfig; the namespace that the user means.

    Without a kubeconfig, a pod uses its ServiceAccount, as with kubectl.

    Raises:
        FailureError: there is no usable kubeconfig.
    """
    try:
        loader = kubeconfig.load(place.kubeconfig, place.context)
        await loader.load_and_set(configuration)
        return place.namespace or str(loader.current_context["context"].get("namespace") or "default")
    except kubeconfig.NoKubeconfigError as error:
        if not (place.kubeconfig or place.context) and kubeconfig.in_pod(configuration):
            return place.namespace or kubeconfig.namespace_of_pod()
        raise FailureError(unusable(error)) from None
    except (config.ConfigException, ValueError) as error:
        # ValueError: base64 or JSON in it is broken.
        raise FailureError(unusable(error)) from None
    except (TypeError, AttributeError, LookupError) as error:
        # The library expects that what a kubeconfig leaves out is there, such as the user of a context.
        problem = f"its context, cluster or user is incomplete ({' '.join(str(error).split())})"
        raise FailureError(unusable(problem)) from None


@asynccontextmanager
async def connected(place: Place) -> AsyncIterator[Cluster]:
    """The cluster of the kubeconfig.

    Raises:
        FailureError: there is no usable kubeconfig.
    """
    configuration = client.Configuration()
    namespace = await _load(place, configuration)
    try:
        api = _SignedIn(configuration, place)
    except OSError as error:
        # Of the library for TLS: a certificate or a key.
        raise FailureError(unusable(error)) from None
    async with api:
        yield Cluster(api, namespace)
