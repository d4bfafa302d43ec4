"""The manifest: what krew shows of the plugin, and which archive it installs where.

The format: https://krew.sigs.k8s.io/docs/developer-guide/plugin-manifest/
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import yaml

PLUGIN = "azure-batch"
# krew makes the program of a plugin's name so, and kubectl looks for it.
PROGRAM = "kubectl-" + PLUGIN.replace("-", "_")
SYSTEMS = ("linux", "darwin")
PROCESSORS = ("amd64", "arm64")
_DESCRIPTION = """\
Shows logs, files, tasks and nodes, says why a job waits or failed, submits
scripts, and suspends, resumes, retries and terminates jobs of
azure-batch-operator. It uses your kubeconfig and has exactly your permissions.
"""
_CAVEATS = """\
The plugin needs python3 3.11 or newer with the modules venv and pip. At its
first start it installs its libraries, with pip, into the folder where krew
keeps the plugin.
"""


def _project(root: Path) -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    return project


def version(root: Path) -> str:
    """The version, as krew and the tag of a release write it."""
    return f"v{_project(root)['version']}"


def archive_name(root: Path) -> str:
    """The file name of the archive."""
    return f"{PROGRAM}-{version(root)}.tar.gz"


def manifest(root: Path, checksum: str | None = None) -> dict[str, Any]:
    """The manifest.

    Args:
        root: the repository.
        checksum: SHA-256 of the archive; without it krew refuses the manifest.
    """
    urls = _project(root)["urls"]
    platform = {
        "selector": {
            "matchExpressions": [
                {"key": "os", "operator": "In", "values": [*SYSTEMS]},
                {"key": "arch", "operator": "In", "values": [*PROCESSORS]},
            ]
        },
        "uri": f"{urls['Source']}/releases/download/{version(root)}/{archive_name(root)}",
        **({"sha256": checksum} if checksum else {}),
        "bin": PROGRAM,
    }
    return {
        "apiVersion": "krew.googlecontainertools.github.com/v1alpha2",
        "kind": "Plugin",
        "metadata": {"name": PLUGIN},
        "spec": {
            "version": version(root),
            "homepage": urls["Homepage"],
            "shortDescription": "Inspect and manage Azure Batch jobs and pools",
            "description": _DESCRIPTION,
            "caveats": _CAVEATS,
            "platforms": [platform],
        },
    }


class _Dumper(yaml.SafeDumper):
    """Texts of several lines as blocks."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def dumped(made: dict[str, Any]) -> str:
    """The manifest as YAML."""
    return yaml.dump(made, Dumper=_Dumper, sort_keys=False, width=1000)


def template(root: Path) -> str:
    """The manifest in the repository."""
    head = "# Written by `make crds`; do not edit. The model is dev/krew/manifest.py. `make krew` adds the checksum.\n"
    return head + dumped(manifest(root))
