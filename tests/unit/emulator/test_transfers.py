"""Transfers that come to an end, whatever a pattern or a server says."""

from __future__ import annotations

import asyncio
import glob
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from azure_batch_emulator.executors.transfer import TransferError, download_resources, plan_uploads


def output(pattern: str) -> list[dict[str, Any]]:
    container = {"containerUrl": "http://127.0.0.1/c"}
    options = {"uploadCondition": "taskcompletion"}
    return [{"filePattern": pattern, "destination": {"container": container}, "uploadOptions": options}]


@pytest.mark.parametrize("pattern", ["/**", "/*", "../../../**/*", "../../../*", "/[a-z]*/**"])
def test_patterns_do_not_walk_the_machine(tmp_path: Path, pattern: str, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "node"
    working = root / "task" / "wd"
    working.mkdir(parents=True)
    walked: list[str] = []
    real = glob.glob

    def noted(path: str, **options: Any) -> list[str]:
        walked.append(path)
        return [] if not path.startswith(str(root)) else real(path, **options)

    monkeypatch.setattr(glob, "glob", noted)
    assert plan_uploads(output(pattern), working, root, success=True) == []
    assert walked == []


@pytest.mark.parametrize(("pattern", "name"), [("*.txt", "a.txt"), ("../*.txt", "stdout.txt"), ("**/*.txt", "a.txt")])
def test_patterns_within_the_node(tmp_path: Path, pattern: str, name: str) -> None:
    working = tmp_path / "node" / "task" / "wd"
    working.mkdir(parents=True)
    (working / "a.txt").write_text("a")
    (working.parent / "stdout.txt").write_text("o")
    (upload,) = plan_uploads(output(pattern), working, tmp_path / "node", success=True)
    assert upload.url == f"http://127.0.0.1/c/{name}"


def test_a_listing_that_never_ends_is_given_up(tmp_path: Path) -> None:
    asked: list[str] = []

    async def answer(request: web.BaseRequest) -> web.Response:
        asked.append(request.path_qs)
        if len(asked) > 10:
            return web.Response(status=500)
        return web.Response(text="<E><Blobs/><NextMarker>m</NextMarker></E>", content_type="application/xml")

    async def run() -> None:
        runner = web.ServerRunner(web.Server(answer))
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        try:
            async with aiohttp.ClientSession() as session:
                file = {"storageContainerUrl": f"http://{host}:{port}/c"}
                await download_resources(session, [file], tmp_path, "")
        finally:
            await runner.cleanup()

    with pytest.raises(TransferError, match="lists the same blobs again"):
        asyncio.run(run())
    assert len(asked) == 2
