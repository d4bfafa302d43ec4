"""Flux on a test's control plane: kustomize-controller itself, and in place of source-controller what it would offer.

All objects of the test are in one archive, each in a folder of its own with a Kustomization, so that each is judged alone.
"""

from __future__ import annotations

import functools
import hashlib
import io
import json
import re
import shutil
import tarfile
import threading
from collections.abc import Mapping, Sequence
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from kustomizecontroller import controller
from localcluster import LocalCluster
from localcluster.processes import spawn
from stage import Service, wait_until

_SOURCES = "source.toolkit.fluxcd.io"
_SOURCE_KINDS = {"GitRepository": "gitrepositories", "OCIRepository": "ocirepositories", "Bucket": "buckets"}
_REPOSITORY = "fleet"
_REQUEST = "reconcile.fluxcd.io/requestedAt"
_SECONDS = 120.0
_STARTED = re.compile("[Ss]tarting workers")
_ENV = shutil.which("env") or "/usr/bin/env"

Manifests = Mapping[str, Sequence[Mapping[str, Any]]]


class _Silent(SimpleHTTPRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Not on standard error."""


def _definition(kind: str, plural: str) -> dict[str, Any]:
    """A kind of source without its schema: nobody but the test writes such objects."""
    names = {"kind": kind, "listKind": f"{kind}List", "plural": plural, "singular": kind.lower()}
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "subresources": {"status": {}}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{_SOURCES}"},
        "spec": {
            "group": _SOURCES, "names": names, "scope": "Namespaced",
            "versions": [version | {"schema": {"openAPIV3Schema": schema}}],
        },
    }  # fmt: skip


class Flux:
    """Flux for one namespace."""

    def __init__(self, cluster: LocalCluster, namespace: str, folder: Path) -> None:
        self.cluster, self.namespace, self.folder = cluster, namespace, folder
        self._archives = folder / "archives"
        self._archives.mkdir(parents=True)
        self._requests = 0
        handler = functools.partial(_Silent, directory=str(self._archives))
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self._controller = self._start()

    def _start(self) -> Service:
        found = controller()
        sources = [_definition(kind, plural) for kind, plural in _SOURCE_KINDS.items()]
        self._kubectl("apply", "--server-side", "-f", str(found.definition))
        self._apply(*sources)
        self._kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
        temporary = self.folder / "tmp"
        temporary.mkdir()
        log = self.folder / "kustomize-controller.log"
        environment = {"RUNTIME_NAMESPACE": self.namespace, "KUBECONFIG": self.cluster.kubeconfig, "TMPDIR": temporary}
        command = [_ENV, *(f"{name}={value}" for name, value in environment.items()), str(found.program)]
        options = ["--watch-all-namespaces=false", "--concurrent=20", "--metrics-addr=0", "--health-addr=0"]
        process = spawn([*command, *options], log=log, folder=self.folder, owned=True)
        started = Service("kustomize-controller", process, log)
        started.match(_STARTED)
        return started

    def stop(self) -> None:
        """End the controller and the server of the archives."""
        self._controller.kill()
        self._server.shutdown()
        self._server.server_close()

    def publish(self, revision: int, manifests: Manifests) -> None:
        """Offer objects, by folder, as a commit would."""
        content = io.BytesIO()
        with tarfile.open(fileobj=content, mode="w:gz") as archive:
            for folder, objects in manifests.items():
                text = "\n---\n".join(json.dumps(each) for each in objects).encode()
                member = tarfile.TarInfo(f"{folder}/objects.yaml")
                member.size = len(text)
                archive.addfile(member, io.BytesIO(text))
        path = self._archives / f"{revision}.tar.gz"
        path.write_bytes(content.getvalue())
        meta = {"name": _REPOSITORY, "generation": 1}
        body = {"apiVersion": f"{_SOURCES}/v1", "kind": "GitRepository", "metadata": meta, "spec": {"interval": "1h"}}
        self._apply(body)
        artifact = {
            "url": f"http://127.0.0.1:{self._server.server_port}/{path.name}", "path": path.name,
            "digest": f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}", "size": path.stat().st_size,
            "revision": f"main@sha1:{revision:040x}", "lastUpdateTime": "2026-01-01T00:00:00Z",
        }  # fmt: skip
        ready = {
            "type": "Ready", "status": "True", "reason": "Succeeded", "message": "stored", "observedGeneration": 1,
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }  # fmt: skip
        status = {"status": {"artifact": artifact, "conditions": [ready], "observedGeneration": 1}}
        patch = ("--type=merge", "--subresource=status", "-p", json.dumps(status))
        self._kubectl("patch", "gitrepository", _REPOSITORY, *patch)

    def sync(self, *folders: str, **spec: Any) -> None:
        """A Kustomization for each of these folders."""
        api, source = "kustomize.toolkit.fluxcd.io/v1", {"kind": "GitRepository", "name": _REPOSITORY}
        common = {
            "prune": True, "wait": True, "interval": "1h", "timeout": "3s", "targetNamespace": self.namespace,
            "sourceRef": source,
        }  # fmt: skip
        bodies = (common | {"path": f"./{folder}"} | spec for folder in folders)
        self._apply(
            *(
                {"apiVersion": api, "kind": "Kustomization", "metadata": {"name": folder}, "spec": body}
                for folder, body in zip(folders, bodies, strict=True)
            )
        )

    def reconcile(self) -> dict[str, dict[str, Any]]:
        """Have all folders reconciled again, as `flux reconcile` does; then `Ready` of each."""
        self._requests += 1
        token = str(self._requests)
        self._kubectl("annotate", "kustomizations", "--all", f"{_REQUEST}={token}", "--overwrite")

        def handled() -> list[dict[str, Any]]:
            self._controller.check()
            items: list[dict[str, Any]] = json.loads(self._kubectl("get", "kustomizations", "-o", "json"))["items"]
            done = all(each.get("status", {}).get("lastHandledReconcileAt") == token for each in items)
            return items if done else []

        items = wait_until(handled, "each Kustomization is reconciled", _SECONDS)
        return {each["metadata"]["name"]: _ready(each) for each in items}

    def _apply(self, *objects: Mapping[str, Any]) -> None:
        listed = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self._kubectl("apply", "--server-side", "-f", "-", input=json.dumps(listed))

    def _kubectl(self, *arguments: str, **options: Any) -> str:
        return self.cluster.kubectl("-n", self.namespace, *arguments, **options).stdout


def _ready(body: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(each for each in body["status"]["conditions"] if each["type"] == "Ready")
    return found
