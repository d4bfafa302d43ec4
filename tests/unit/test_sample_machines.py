"""Pools of samples and pages name images and sizes that exist together in Azure: sizes of generation 2 take no others."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from azure_batch_emulator.schema.images import SUPPORTED_IMAGES
from azure_batch_operator.generate import ROOT

_ONLY_GENERATION_2 = re.compile(r"_v[67]$")
"""Families that Azure offers for machines of generation 2 alone: all that are of version 6 or later."""
_PLACES = ("manifests", "gitops", "docs", "README.md")


def _documents() -> Iterator[tuple[str, Any]]:
    for place in _PLACES:
        paths = [ROOT / place] if (ROOT / place).is_file() else sorted((ROOT / place).rglob("*.*"))
        for path in paths:
            texts = [path.read_text()] if path.suffix == ".yaml" else []
            if path.suffix == ".md":
                texts = re.findall(r"^ *```yaml\n(.*?)^ *```", path.read_text(), re.MULTILINE | re.DOTALL)
            for text in texts:
                yield str(path.relative_to(ROOT)), text


def _pools(node: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Size and image of each pool below, also of a pool that a job has made for itself."""
    if isinstance(node, dict):
        machine = node.get("virtualMachineConfiguration")
        if "vmSize" in node and isinstance(machine, dict) and isinstance(machine.get("imageReference"), dict):
            yield node["vmSize"], machine["imageReference"]
        for each in node.values():
            yield from _pools(each)
    elif isinstance(node, list):
        for each in node:
            yield from _pools(each)


def _found() -> list[tuple[str, str, dict[str, Any]]]:
    found = []
    for path, text in _documents():
        try:
            documents = list(yaml.safe_load_all(text))
        except yaml.YAMLError:
            continue  # a page shows a part of a manifest, or a template
        found += [(path, size, image) for size, image in _pools(documents) if "publisher" in image]
    return found


FOUND = _found()


@pytest.mark.parametrize(
    ("path", "size", "image"), FOUND, ids=[f"{path}-{size}-{image['sku']}" for path, size, image in FOUND]
)
def test_image_and_size_exist_together(path: str, size: str, image: dict[str, Any]) -> None:
    wanted = tuple(str(image[name]).lower() for name in ("publisher", "offer", "sku"))
    listed = [
        each
        for each in SUPPORTED_IMAGES
        if tuple(each["imageReference"][name].lower() for name in ("publisher", "offer", "sku")) == wanted
    ]
    assert listed, f"{path}: Azure Batch does not list the image"
    if _ONLY_GENERATION_2.search(size):
        assert "Generation2VMImage" in listed[0].get("capabilities", ()), (
            f"{path}: {size} takes no image of generation 1"
        )


def test_the_samples_are_looked_at() -> None:
    assert {path for path, _, _ in FOUND} >= {
        "manifests/samples/pool.yaml",
        "manifests/samples/jobs/own-pool.yaml",
        "gitops/argocd/waves/pool.yaml",
        "docs/first-pool.md",
    }
