"""The probes' port serves probes and metrics, to those who read, and nothing else."""

from __future__ import annotations

import aiohttp
import pytest

from azure_batch_operator.metrics import serve


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/healthz", 200),
        ("GET", "/readyz", 503),
        ("GET", "/metrics", 200),
        ("HEAD", "/healthz", 200),
        ("POST", "/healthz", 405),
        ("DELETE", "/metrics", 405),
        ("PUT", "/readyz", 405),
        ("GET", "/", 404),
        ("GET", "/debug/pprof", 404),
        ("GET", "/metrics/../etc/passwd", 404),
        ("GET", "/healthz?x=%0d%0aSet-Cookie:a", 200),
    ],
)
async def test_what_is_served(method: str, path: str, status: int) -> None:
    async with (
        serve("127.0.0.1", 0, lambda: None, lambda: "not yet") as port,
        aiohttp.ClientSession() as session,
        session.request(method, f"http://127.0.0.1:{port}{path}") as response,
    ):
        assert response.status == status
        assert "Set-Cookie" not in response.headers
