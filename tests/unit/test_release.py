"""What a release must agree on, and what the documentation says of the repository."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from artifacts import navigation
from azure_batch_operator.generate import ROOT

VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
# A path of the repository, in backticks.
_PATH = re.compile(
    r"`((?:crds|dev|emulator|gitops|helm|manifests|operator|tests|schemas|components|overlays)/[\w./-]*)`"
)


def test_one_version_everywhere() -> None:
    chart = yaml.safe_load((ROOT / "helm" / "azure-batch-operator" / "Chart.yaml").read_text())
    base = yaml.safe_load((ROOT / "manifests" / "base" / "kustomization.yaml").read_text())
    assert {chart["version"], chart["appVersion"], base["images"][0]["newTag"]} == {VERSION}


def test_the_images_are_built_from_what_the_tests_run_with() -> None:
    def pinned(path: Path) -> dict[str, str]:
        return dict(re.findall(r"^([a-z0-9._-]+)==(\S+)", path.read_text(), re.MULTILINE))

    tested = pinned(ROOT / "requirements.txt")
    for name in ("operator", "emulator"):
        found = pinned(ROOT / "requirements" / f"{name}.txt")
        assert found
        assert found.items() <= tested.items()


def test_pages_that_are_not_named_get_a_place_in_the_navigation() -> None:
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]
    found = list(navigation.named(navigation.completed(nav, ROOT / "docs")))
    assert sorted(found) == sorted(str(page.relative_to(ROOT / "docs")) for page in PAGES)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT / "docs")))
def test_paths_that_are_named_exist(page: Path) -> None:
    for path in _PATH.findall(page.read_text()):
        places = [ROOT / path, ROOT / "manifests" / path]
        assert any(place.exists() for place in places), path
