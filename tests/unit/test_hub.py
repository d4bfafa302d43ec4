"""What Artifact Hub shows of the chart: made of the models, the samples and the changelog."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from artifacts import hub
from azure_batch_operator.api.kinds import KINDS
from azure_batch_operator.generate import ROOT

CHANGELOG = """# Changelog

## Unreleased

### Added

- Something that is not out yet.

## [1.2.0] - 2027-01-01

### Added

- A kind, `BatchThing`, with [a page](docs/thing.md) of its
  own.
- Another.

For developers:

- A third.

### Security

- A hole is closed.

## 1.1.0

### Fixed

- An old one.
"""


@pytest.fixture(scope="module")
def annotations() -> dict[str, Any]:
    """The annotations of the chart as it is, those that are structured read."""
    chart = yaml.safe_load((ROOT / "helm" / "azure-batch-operator" / "Chart.yaml").read_text())
    found: dict[str, Any] = chart["annotations"]
    assert all(isinstance(each, str) for each in found.values())
    return {name.removeprefix("artifacthub.io/"): yaml.safe_load(text) for name, text in found.items()}


def test_every_kind_is_listed_as_its_definition_has_it(annotations: dict[str, Any]) -> None:
    shown = {each["name"]: each for each in annotations["crds"]}
    assert len(shown) == len(KINDS)
    for name, each in shown.items():
        crd = yaml.safe_load((ROOT / "crds" / f"azurebatch.io_{name.partition('.')[0]}.yaml").read_text())
        assert crd["metadata"]["name"] == name
        assert crd["spec"]["names"]["kind"] == each["kind"]
        assert each["version"] in {version["name"] for version in crd["spec"]["versions"]}
        assert each["displayName"]
        assert each["description"]


def test_every_kind_has_an_example(annotations: dict[str, Any]) -> None:
    assert [each["kind"] for each in annotations["crdsExamples"]] == [kind.value for kind in KINDS]


def test_the_image_is_the_one_that_the_chart_runs(annotations: dict[str, Any]) -> None:
    chart = yaml.safe_load((ROOT / "helm" / "azure-batch-operator" / "Chart.yaml").read_text())
    values = yaml.safe_load((ROOT / "helm" / "azure-batch-operator" / "values.yaml").read_text())
    assert [each["image"] for each in annotations["images"]] == [
        f"{values['image']['repository']}:{chart['appVersion']}"
    ]


def test_changes_are_those_of_the_version() -> None:
    assert hub.changes(CHANGELOG, "1.2.0") == [
        {"kind": "added", "description": "A kind, BatchThing, with a page of its own."},
        {"kind": "added", "description": "Another."},
        {"kind": "added", "description": "A third."},
        {"kind": "security", "description": "A hole is closed."},
    ]
    assert hub.changes(CHANGELOG, "1.1.0") == [{"kind": "fixed", "description": "An old one."}]
    assert hub.changes(CHANGELOG, "1.3.0") == []


def test_a_heading_that_is_no_kind_of_change_is_refused() -> None:
    with pytest.raises(ValueError, match="Improved"):
        hub.changes("## 1.0.0\n\n### Improved\n\n- All.\n", "1.0.0")


def test_the_changelog_of_the_repository_can_be_read() -> None:
    """Under whichever version its entries are released."""
    released = (ROOT / "CHANGELOG.md").read_text().replace("## Unreleased", "## 9.9.9", 1)
    found = hub.changes(released, "9.9.9")
    assert found
    assert all(each["description"].endswith(".") for each in found)
