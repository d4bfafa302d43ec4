"""Chart.yaml with what Artifact Hub shows of the chart: kinds, examples, images and changes.

Nothing of it is written twice: kinds come from the models, examples from manifests/samples, the version from pyproject.toml and the
changes from CHANGELOG.md. The meaning of the annotations: https://artifacthub.io/docs/topics/annotations/helm
"""

from __future__ import annotations

import base64
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from artifacts.values import Image
from azure_batch_operator.api.base import API_VERSION, GROUP, VERSION
from azure_batch_operator.api.kinds import KINDS, KindInfo

_NAME = "azure-batch-operator"
# Samples that say most in few lines come first; the rest fills in what they lack.
_PREFERRED = (
    "account.yaml",
    "pool.yaml",
    "tasks/parametric-sweep.yaml",
    "tasks/after-each-other.yaml",
    "schedules/nightly.yaml",
)
# Headings of Keep a Changelog, which Artifact Hub's kinds of changes are named after.
_CHANGES = {each: each.lower() for each in ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")}
_PLATFORMS = ["linux/amd64", "linux/arm64"]


class _Dumper(yaml.SafeDumper):
    """Texts of several lines as blocks, so that annotations can be read."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def chart_yaml(root: Path) -> str:
    """Chart.yaml; `root` is the repository."""
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    version, urls = project["version"], project["urls"]
    chart = {
        "apiVersion": "v2",
        "name": _NAME,
        "description": "Kubernetes operator for the Azure Batch data plane",
        "type": "application",
        "version": version,
        "appVersion": version,
        # ValidatingAdmissionPolicy is generally available from here on.
        "kubeVersion": ">=1.30.0-0",
        "home": urls["Homepage"],
        "icon": _icon(root),
        "keywords": ["azure", "batch", "hpc", "jobs", "operator"],
        "sources": [urls["Source"]],
        "maintainers": project["maintainers"],
        "annotations": shown(root, version, urls),
    }
    return "# Written by `make crds`; do not edit. The model is dev/artifacts/hub.py.\n" + _dumped(chart)


def _icon(root: Path) -> str:
    """The icon itself, so that it is fetched from nowhere."""
    return "data:image/svg+xml;base64," + base64.b64encode((root / "docs" / "icon.svg").read_bytes()).decode()


def shown(root: Path, version: str, urls: Mapping[str, str]) -> dict[str, str]:
    """Annotations of Artifact Hub; structured ones are YAML in a string."""
    found = changes((root / "CHANGELOG.md").read_text(), version)
    made = {
        "artifacthub.io/category": "integration-delivery",
        "artifacthub.io/license": "MIT",
        "artifacthub.io/operator": "true",
        "artifacthub.io/operatorCapabilities": "Deep Insights",
        "artifacthub.io/prerelease": str(bool(re.search("[a-z]", version))).lower(),
        "artifacthub.io/containsSecurityUpdates": str(any(each["kind"] == "security" for each in found)).lower(),
        "artifacthub.io/links": _dumped(
            [{"name": name, "url": url} for name, url in urls.items() if name != "Homepage"]
        ),
        "artifacthub.io/crds": _dumped([_crd(info) for info in KINDS.values()]),
        "artifacthub.io/crdsExamples": _dumped(list(_examples(root / "manifests" / "samples"))),
        "artifacthub.io/images": _dumped(
            [{"name": _NAME, "image": f"{Image().repository}:{version}", "platforms": _PLATFORMS}]
        ),
    }
    return made | ({"artifacthub.io/changes": _dumped(found)} if found else {})


def _dumped(value: Any) -> str:
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, width=1000, allow_unicode=True)


def _crd(info: KindInfo) -> dict[str, str]:
    return {
        "kind": info.kind.value,
        "version": VERSION,
        "name": f"{info.plural}.{GROUP}",
        "displayName": re.sub(r"(?<=[a-z])(?=[A-Z])", " ", info.kind.value),
        "description": info.description,
    }


def _examples(samples: Path) -> Iterator[dict[str, Any]]:
    """One object of each kind."""
    paths = [*(samples / name for name in _PREFERRED), *sorted(samples.rglob("*.yaml"))]
    found: dict[str, dict[str, Any]] = {}
    for path in paths:
        for document in yaml.safe_load_all(path.read_text()):
            if document and document.get("apiVersion") == API_VERSION:
                found.setdefault(document["kind"], document)
    for kind in KINDS:
        yield found[kind.value]


def changes(changelog: str, version: str) -> list[dict[str, str]]:
    """The entries of the version in CHANGELOG.md; none before it is released, so that an entry there makes no file stale.

    Raises:
        ValueError: if a heading is none of those of Keep a Changelog.
    """
    sections = dict(re.findall(r"^## \[?([^\]\s]+)[^\n]*\n(.*?)(?=^## |\Z)", changelog, re.MULTILINE | re.DOTALL))
    found = []
    for heading, body in re.findall(
        r"^### (\w+)\n(.*?)(?=^### |\Z)", sections.get(version, ""), re.MULTILINE | re.DOTALL
    ):
        if heading not in _CHANGES:
            raise ValueError(f"CHANGELOG.md: no kind of change: {heading}")
        entries = re.findall(r"^- (.*?)(?=^\S|\Z)", body, re.MULTILINE | re.DOTALL)
        found += [{"kind": _CHANGES[heading], "description": _plain(entry)} for entry in entries]
    return found


def _plain(markdown: str) -> str:
    """A text without marks of code and links, on one line."""
    return " ".join(re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", markdown.replace("`", "")).split())
