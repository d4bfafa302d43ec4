"""`make image` says where the images are: docker, podman and buildah each have a storage of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from image.__main__ import push_hint
from image.builders import Buildah, Engine

TAGS = ("localhost/azure-batch-operator:0.1.0", "localhost/azure-batch-emulator:0.1.0")


def test_an_engine_tags_and_pushes() -> None:
    assert push_hint(Engine("/usr/bin/podman"), TAGS).splitlines() == [
        "Built with podman. To push the images, with your registry instead of registry.example:",
        "  /usr/bin/podman tag localhost/azure-batch-operator:0.1.0 registry.example/azure-batch-operator:0.1.0",
        "  /usr/bin/podman push registry.example/azure-batch-operator:0.1.0",
        "  /usr/bin/podman tag localhost/azure-batch-emulator:0.1.0 registry.example/azure-batch-emulator:0.1.0",
        "  /usr/bin/podman push registry.example/azure-batch-emulator:0.1.0",
    ]


def test_buildah_pushes_from_the_storage_that_it_has_built_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    own = f"  buildah --root {tmp_path}/azure-batch-operator/images/root --runroot {tmp_path}/azure-batch-operator/images/run"
    assert push_hint(Buildah(), TAGS[:1]).splitlines() == [
        "Built with buildah. To push the images, with your registry instead of registry.example:",
        f"{own} --storage-driver vfs push {TAGS[0]} docker://registry.example/azure-batch-operator:0.1.0",
    ]
