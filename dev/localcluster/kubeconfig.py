"""Kubeconfig files: how a user of the local control plane reaches it."""

import base64
import json
import os
from pathlib import Path
from typing import Any


def kubeconfig(url: str, ca: bytes, user: str, token: str, namespace: str = "default") -> dict[str, Any]:
    """A kubeconfig with one cluster and one user; `ca` is the PEM bundle, embedded, so that the file stands alone."""
    name = "localcluster"
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": name, "cluster": {"server": url, "certificate-authority-data": base64.b64encode(ca).decode()}}
        ],
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": user, "namespace": namespace}}],
        "current-context": name,
    }


def write_private(path: Path, text: str) -> Path:
    """Write a file that only its owner can read, whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with open(temporary, "w", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(text)
    temporary.replace(path)
    return path


def write_kubeconfig(path: Path, content: dict[str, Any]) -> Path:
    """Write a kubeconfig as JSON, which is YAML."""
    return write_private(path, json.dumps(content, indent=2) + "\n")
