"""Requests of an administrator to the API server over one connection: kubectl takes longer than what is measured."""

from __future__ import annotations

import http.client
import json
import ssl
from typing import Any
from urllib.parse import urlsplit

from azure_batch_operator.api.base import API_VERSION
from azure_batch_operator.kube.api import MERGE_PATCH
from localcluster import LocalCluster

Json = dict[str, Any]


def custom_object(kind: str, name: str, **spec: Any) -> Json:
    """An object of the operator."""
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec}


class ClusterClient:
    """Custom resources of one namespace."""

    def __init__(self, cluster: LocalCluster, namespace: str) -> None:
        context = ssl.create_default_context(cafile=str(cluster.ca_file))
        self._http = http.client.HTTPSConnection(urlsplit(cluster.url).netloc, context=context, timeout=60)
        self._headers = {"Authorization": f"Bearer {cluster.admin_token}"}
        self._path = f"/apis/{API_VERSION}/namespaces/{namespace}"

    def get(self, path: str) -> Json:
        """An object or a list, such as `batchjobs/large`."""
        return self._call("GET", path, None, "application/json")

    def create(self, plural: str, body: Json) -> Json:
        """Create an object."""
        return self._call("POST", plural, body, "application/json")

    def patch(self, path: str, spec: Json) -> Json:
        """Change a spec."""
        return self._call("PATCH", path, {"spec": spec}, MERGE_PATCH)

    def close(self) -> None:
        """End the connection."""
        self._http.close()

    def _call(self, method: str, path: str, body: Json | None, content_type: str) -> Json:
        data = None if body is None else json.dumps(body)
        self._http.request(method, f"{self._path}/{path}", data, {**self._headers, "Content-Type": content_type})
        answer = self._http.getresponse()
        text = answer.read()
        if answer.status >= 400:
            raise RuntimeError(f"{method} {path}: {answer.status} {text[:500]!r}")
        found: Json = json.loads(text)
        return found
