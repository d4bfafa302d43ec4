"""The API server, by the user's kubeconfig and with the user's rights."""

from __future__ import annotations

import asyncio
import builtins
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from kubernetes.aio import client, config
from kubernetes.aio.client.exceptions import ApiException

from azure_batch_kubectl.failure import FailureError
from azure_batch_operator.api.base import GROUP, VERSION
from azure_batch_operator.api.kinds import KINDS, Kind
from azure_batch_operator.batch.redaction import safe_text

_PAGE = 500
_SECONDS = 60
_WATCH_SECONDS = 50
"""How long the API server keeps a watch, shorter than any call may take."""
_ONLY_METADATA = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_SIGN_IN = "BearerToken"


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


def _namespace(place: Place) -> str:
    if place.namespace:
        return place.namespace
    contexts, current = config.list_kube_config_contexts(config_file=place.kubeconfig)
    chosen = next((each for each in contexts if each["name"] == place.context), current)
    return str(chosen["context"].get("namespace") or "default")


def refusal(error: ApiException) -> str:
    """What the API server said, in one line."""
    try:
        said = json.loads(error.body or "")["message"]
    except (ValueError, KeyError, TypeError):
        said = error.reason or "no reason given"
    return safe_text(" ".join(str(said).split()))


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
        self._custom = client.CustomObjectsApi(api)
        self._core = client.CoreV1Api(api)

    async def get(self, kind: Kind, name: str, namespace: str | None = None) -> dict[str, Any]:
        """One object.

        Raises:
            ApiException: there is none, or it may not be read.
        """
        where = namespace or self.namespace
        found: dict[str, Any] = await self._custom.get_namespaced_custom_object(
            GROUP, VERSION, where, KINDS[kind].plural, name, _request_timeout=_SECONDS
        )
        return found

    async def list(self, kind: Kind, *, everywhere: bool = False, fields: str = "") -> AsyncIterator[dict[str, Any]]:
        """All objects of a kind, page by page.

        Args:
            everywhere: in all namespaces.
            fields: a field selector.
        """
        async for page in self.pages(kind, everywhere=everywhere, fields=fields):
            for each in page["items"]:
                yield {"kind": kind.value, **each}

    async def pages(self, kind: Kind, *, everywhere: bool = False, fields: str = "") -> AsyncIterator[dict[str, Any]]:
        """The pages of `list` as the API server sends them."""
        token, plural = "", KINDS[kind].plural
        while True:
            options: dict[str, Any] = {"limit": _PAGE, "_request_timeout": _SECONDS}
            options |= {"_continue": token} if token else {}
            options |= {"field_selector": fields} if fields else {}
            if everywhere:
                page = await self._custom.list_cluster_custom_object(GROUP, VERSION, plural, **options)
            else:
                page = await self._custom.list_namespaced_custom_object(
                    GROUP, VERSION, self.namespace, plural, **options
                )
            yield page
            token = page["metadata"].get("continue", "")
            if not token:
                return

    async def names(self, plural: str, limit: int, fields: str = "") -> builtins.list[str]:
        """Names of the first objects of a kind of the group, or of namespaces, without their specs."""
        group = f"/apis/{GROUP}/{VERSION}/namespaces/{self.namespace}/{plural}"
        query = {"limit": str(limit)} | ({"fieldSelector": fields} if fields else {})
        path = "/api/v1/namespaces" if plural == "namespaces" else group
        answer = await self._asked(path, query, accept=_ONLY_METADATA)
        return [str(each["metadata"]["name"]) for each in json.loads(await answer.response.read())["items"]]

    async def events(self, kind: Kind, version: str, *, everywhere: bool) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        """What changes after a version: type and object of each event, for less than a minute.

        Raises:
            ApiException: the version is too old (410), or the objects may not be watched.
        """
        where = "" if everywhere else f"namespaces/{self.namespace}/"
        query = {
            "watch": "true",
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(_WATCH_SECONDS),
        }
        answer = await self._asked(f"/apis/{GROUP}/{VERSION}/{where}{KINDS[kind].plural}", query)
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
        patched: dict[str, Any] = await self._custom.patch_namespaced_custom_object(
            GROUP,
            VERSION,
            self.namespace,
            KINDS[kind].plural,
            name,
            dict(body),
            _content_type="application/merge-patch+json",
            _request_timeout=_SECONDS,
        )
        return patched

    async def create(self, kind: Kind, body: Mapping[str, Any]) -> dict[str, Any]:
        """Create an object; what it is then."""
        made: dict[str, Any] = await self._custom.create_namespaced_custom_object(
            GROUP, VERSION, self.namespace, KINDS[kind].plural, dict(body), _request_timeout=_SECONDS
        )
        return made

    async def read(self, path: str, query: Mapping[str, str] | None = None) -> tuple[dict[str, Any], Mapping[str, str]]:
        """What stands at a path of the API server, as it is, and the headers of the answer.

        Raises:
            ApiException: nothing stands there, or it may not be read.
        """
        answer = await self._asked(path, query)
        found: dict[str, Any] = json.loads(await answer.response.read())
        return found, answer.response.headers

    async def _asked(self, path: str, query: Mapping[str, str] | None, accept: str = "application/json") -> Any:
        asked = await self._api.param_serialize(
            method="GET",
            resource_path=path,
            query_params=list((query or {}).items()),
            header_params={"Accept": accept},
            auth_settings=[_SIGN_IN],
        )
        answer = await self._api.call_api(*asked, _request_timeout=_SECONDS, _preload_content=False)
        if answer.status != HTTPStatus.OK:
            body = (await answer.response.read()).decode(errors="replace")
            raise ApiException(status=answer.status, reason=answer.reason, body=body)
        return answer

    async def may(self, verb: str, resource: str, group: str) -> bool:
        """Whether the user has a right in the namespace, as the API server says."""
        attributes = {"namespace": self.namespace, "verb": verb, "resource": resource, "group": group}
        review = client.V1SelfSubjectAccessReview(
            spec=client.V1SelfSubjectAccessReviewSpec(resource_attributes=client.V1ResourceAttributes(**attributes))
        )
        answer = await client.AuthorizationV1Api(self._api).create_self_subject_access_review(
            review, _request_timeout=_SECONDS
        )
        return bool(answer.status and answer.status.allowed)

    async def config_map(self, name: str) -> tuple[Mapping[str, str], Mapping[str, str]]:
        """The data of a ConfigMap, as text, and what is in base64."""
        found = await self._core.read_namespaced_config_map(name, self.namespace, _request_timeout=_SECONDS)
        return found.data or {}, found.binary_data or {}

    async def create_config_map(self, body: Mapping[str, Any]) -> None:
        """Create a ConfigMap."""
        await self._core.create_namespaced_config_map(self.namespace, dict(body), _request_timeout=_SECONDS)

    async def patch_config_map(self, name: str, body: Mapping[str, Any]) -> None:
        """Merge-patch a ConfigMap."""
        await self._core.patch_namespaced_config_map(
            name,
            self.namespace,
            dict(body),
            _content_type="application/merge-patch+json",
            _request_timeout=_SECONDS,
        )

    async def delete_config_map(self, name: str) -> None:
        """Delete a ConfigMap."""
        await self._core.delete_namespaced_config_map(name, self.namespace, _request_timeout=_SECONDS)

    async def secret(self, namespace: str, name: str) -> Mapping[str, str]:
        """The data of a Secret, in base64."""
        found = await self._core.read_namespaced_secret(name, namespace, _request_timeout=_SECONDS)
        return found.data or {}


async def _load(place: Place, configuration: client.Configuration) -> None:
    await config.load_kube_config(
        config_file=place.kubeconfig,
        context=place.context,
        client_configuration=configuration,
        persist_config=False,
    )


@asynccontextmanager
async def connected(place: Place) -> AsyncIterator[Cluster]:
    """The cluster of the kubeconfig.

    Raises:
        FailureError: there is no usable kubeconfig.
    """
    configuration = client.Configuration()
    try:
        namespace = _namespace(place)
        await _load(place, configuration)
    except config.ConfigException as error:
        raise FailureError(f"no usable kubeconfig: {error}: set KUBECONFIG, --kubeconfig or --context") from None
    async with _SignedIn(configuration, place) as api:
        yield Cluster(api, namespace)
