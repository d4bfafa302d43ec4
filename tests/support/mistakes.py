"""The manifests of `tests/data/mistakes`: mistakes that people make, and the texts that they are told."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from azure_batch_operator.api.base import API_VERSION

DATA = Path(__file__).parents[1] / "data" / "mistakes"
AT_APPLY, IN_CONDITIONS = DATA / "apply.txt", DATA / "conditions.txt"
_IMAGE = {"publisher": "canonical", "offer": "0001-com-ubuntu-server-jammy", "sku": "22_04-lts"}
_TASKS = [{"id": "a", "commandLine": "true"}]
SMALLEST: Mapping[str, Any] = {
    "BatchAccount": {
        "endpoint": "https://contoso.westeurope.batch.azure.com",
        "auth": {"sharedKey": {"secretRef": {"name": "batch-key", "key": "key"}}},
    },
    "BatchPool": {
        "accountRef": {"name": "main"},
        "vmSize": "Standard_D4ads_v6",
        "virtualMachineConfiguration": {"imageReference": _IMAGE, "nodeAgentSKUId": "batch.node.ubuntu 22.04"},
        "targetDedicatedNodes": 2,
    },
    "BatchJob": {"poolRef": {"name": "cpu"}, "tasks": _TASKS},
    "BatchTask": {"jobRef": {"name": "steps"}, "commandLine": "true"},
    "BatchJobSchedule": {
        "cron": {"expression": "0 2 * * *"},
        "jobSpecification": {"poolRef": {"name": "cpu"}, "tasks": _TASKS},
    },
}


def mistakes() -> dict[str, dict[str, Any]]:
    """The manifests by what is wrong with them."""
    groups = yaml.safe_load((DATA / "mistakes.yaml").read_text())
    return {title: _manifest(each) for group in groups.values() for title, each in group.items()}


def _manifest(each: Mapping[str, Any]) -> dict[str, Any]:
    metadata = {"name": each.get("name", "own")} | (
        {"annotations": each["annotations"]} if "annotations" in each else {}
    )
    spec = _merged(SMALLEST[each["kind"]], each.get("spec", {}))
    return {"apiVersion": API_VERSION, "kind": each["kind"], "metadata": metadata, "spec": spec}


def _merged(base: Any, change: Any) -> Any:
    """A merge patch."""
    if not isinstance(base, Mapping) or not isinstance(change, Mapping):
        return change
    merged = {**base, **{name: _merged(base.get(name), value) for name, value in change.items()}}
    return {name: value for name, value in merged.items() if value is not None}


def told(file: Path) -> dict[str, list[str]]:
    """What a golden file says, by the title of the mistake."""
    found: dict[str, list[str]] = {}
    for line in file.read_text().splitlines():
        if line.startswith("    "):
            found[next(reversed(found))].append(line.strip())
        else:
            found[line] = []
    return found


def check(found: Mapping[str, list[str]], file: Path) -> None:
    """Compare with a golden file; write it again with UPDATE_GOLDEN=1."""
    if os.environ.get("UPDATE_GOLDEN"):
        lines = (line for title, texts in found.items() for line in (title, *(f"    {text}" for text in texts)))
        file.write_text("\n".join(lines) + "\n")
    assert found == told(file)
