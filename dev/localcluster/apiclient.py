"""The few requests that the control plane's own tooling makes of the API server, with the standard library.

Not for the operator or its tests, which use a Kubernetes client; this one must work before anything is installed.
"""

import http.client
import json
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from localcluster.errors import LocalClusterError


class Unreachable(LocalClusterError):  # noqa: N818 - a state, and normal while a server starts
    """The API server does not answer (yet)."""


class Refused(LocalClusterError):  # noqa: N818 - named like Unreachable
    """The API server answered with an error; `status` is the HTTP status code."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class ApiClient:
    """Requests to one API server as one user."""

    def __init__(self, url: str, ca_file: Path, token: str) -> None:
        self._url = url
        self._token = token
        # A proxy from the environment has no business between this machine and itself.
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}),
            urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=str(ca_file))),
        )

    def __repr__(self) -> str:
        return f"ApiClient({self._url})"

    def text(self, path: str, *, method: str = "GET", body: dict[str, Any] | None = None, timeout: float = 30.0) -> str:
        """The text of an answer. Raises Refused for an answer with an error, Unreachable for none in `timeout` s."""
        request = urllib.request.Request(  # noqa: S310 - https, see the caller
            self._url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"},
        )
        try:
            with self._opener.open(request, timeout=timeout) as answer:
                text: str = answer.read().decode()
                return text
        except urllib.error.HTTPError as error:
            with error:
                raise Refused(error.code, f"{method} {path}: {_message(error.read(), error.reason)}") from None
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable(f"{method} {path}: {getattr(error, 'reason', error)}") from error

    def object(self, path: str, *, method: str = "GET", body: dict[str, Any] | None = None) -> dict[str, Any]:
        """The JSON object of an answer; raises as `text` does."""
        parsed: dict[str, Any] = json.loads(self.text(path, method=method, body=body))
        return parsed


def _message(body: bytes, otherwise: str) -> str:
    try:
        return str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        return body.decode(errors="replace").strip()[:500] or otherwise
