"""What a release must agree on, and what the documentation says of the repository."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from artifacts import navigation
from azure_batch_emulator.cli import main as emulator_program
from azure_batch_emulator.config import DEFAULT_ACCOUNT, DEFAULT_KEY
from azure_batch_operator.generate import ROOT
from image import __main__ as image_program
from image.check import documented_job

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


def test_the_images_and_the_plugin_are_built_from_what_the_tests_run_with() -> None:
    def pinned(path: Path) -> dict[str, str]:
        return dict(re.findall(r"^([a-z0-9._-]+)==(\S+)", path.read_text(), re.MULTILINE))

    tested = pinned(ROOT / "requirements.txt")
    for name in ("operator", "emulator", "kubectl"):
        found = pinned(ROOT / "requirements" / f"{name}.txt")
        assert found
        assert found.items() <= tested.items()


def test_the_emulators_image_holds_the_libraries_that_it_imports_and_no_others() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    providers = metadata.packages_distributions()
    imported: set[str] = set()
    for path in (ROOT / "emulator").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = (
                [each.name for each in node.names] if isinstance(node, ast.Import)
                else [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level
                else []
            )  # fmt: skip
            imported |= {name.partition(".")[0] for name in names}
    # The plugin for pytest is imported by pytest alone.
    foreign = imported - sys.stdlib_module_names - {"azure_batch_emulator", "pytest"}
    assert {providers[name][0].lower() for name in foreign} == set(project["dependency-groups"]["emulator-image"])


def test_the_documented_service_of_a_ci_job_is_what_the_emulators_image_takes() -> None:
    # `make image` starts the image with these variables.
    service, tests = documented_job()
    for variable, value in service.items():
        option = variable.removeprefix("AZURE_BATCH_EMULATOR_").lower().replace("_", "-")
        assert isinstance(value, str)
        assert f"--{option}" in [name for each in emulator_program.params for name in each.opts], variable
    [exposed] = re.findall(
        r"AS emulator\n.*?^EXPOSE (\d+)$", (ROOT / "Dockerfile").read_text(), re.DOTALL | re.MULTILINE
    )
    assert tests == {
        "AZURE_BATCH_ENDPOINT": f"http://127.0.0.1:{exposed}",
        "AZURE_BATCH_ACCOUNT": DEFAULT_ACCOUNT,
        "AZURE_BATCH_ACCESS_KEY": DEFAULT_KEY,
    }
    assert exposed == str(next(each.default for each in emulator_program.params if each.name == "port"))


def test_the_documented_command_starts_the_image_that_make_image_builds() -> None:
    page = (ROOT / "docs" / "emulator.md").read_text(encoding="utf-8")
    [(image, arguments)] = re.findall(r"^ +docker run .* (\S+) \\\n(.*)$", page, re.MULTILINE)
    prefix = next(option.default for option in image_program.main.params if option.name == "prefix")
    assert image == f"{prefix}azure-batch-emulator:{VERSION}"
    context = emulator_program.make_context("azure-batch-emulator", arguments.split())
    assert (context.params["host"], context.params["allow_remote"]) == ("0.0.0.0", True)


BASE = "python:3.13-slim-trixie"


@pytest.mark.parametrize(
    ("base", "pinned"),
    [
        (f"{BASE}@sha256:{'0a' * 32}", True),
        (BASE, False),
        ("", False),
        (f"{BASE}@sha256:0a", False),
        (f"{BASE}@sha256:…", False),
        (f"@sha256:{'0a' * 32}", False),
    ],
)
def test_a_release_takes_a_base_by_its_digest_only(base: str, pinned: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_program, "find", lambda: None)  # so that nothing is built
    done = CliRunner().invoke(image_program.main, ["--release", "--base", base])
    assert done.exit_code == 1
    assert ("with its digest" in done.output) == (not pinned)
    assert ("no image is built" in done.output) == pinned


def test_pages_that_are_not_named_get_a_place_in_the_navigation() -> None:
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]
    found = list(navigation.named(navigation.completed(nav, ROOT / "docs")))
    assert sorted(found) == sorted(str(page.relative_to(ROOT / "docs")) for page in PAGES)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT / "docs")))
def test_paths_that_are_named_exist(page: Path) -> None:
    for path in _PATH.findall(page.read_text()):
        places = [ROOT / path, ROOT / "manifests" / path]
        assert any(place.exists() for place in places), path
