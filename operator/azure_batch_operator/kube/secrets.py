"""Reading one key of a Secret. Values never appear in messages, logs or reprs."""

from __future__ import annotations

import base64
import binascii

from azure_batch_operator.kube.api import KubeApi, KubeError, NotFound


class SecretError(Exception):
    """The Secret cannot serve; `reason` is a condition reason, the text says what to do."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


async def read_secret(api: KubeApi, namespace: str, name: str, key: str) -> str:
    """The text under `key` of a Secret.

    Raises:
        SecretError: if the Secret or the key is missing, may not be read, or is not text.
        Busy: if the API server is out of reach.
    """
    try:
        secret = await api.request("GET", f"/api/v1/namespaces/{namespace}/secrets/{name}")
    except NotFound:
        raise SecretError(
            "SecretNotFound", f"Secret {name!r} does not exist in namespace {namespace!r}: create it with key {key!r}"
        ) from None
    except KubeError as error:
        if error.status == 403:
            raise SecretError(
                "SecretForbidden",
                f"the operator may not read Secret {name!r} in namespace {namespace!r}: grant it `get` on secrets there",
            ) from None
        raise
    encoded = secret.get("data", {}).get(key)
    if not encoded:
        present = ", ".join(sorted(secret.get("data", {}))) or "none"
        raise SecretError(
            "SecretKeyNotFound",
            f"Secret {name!r} has no key {key!r} (it has: {present}): add it or correct secretRef.key",
        )
    try:
        return base64.b64decode(encoded).decode().strip()
    except (binascii.Error, UnicodeDecodeError):
        raise SecretError("SecretInvalid", f"key {key!r} of Secret {name!r} is not text") from None
