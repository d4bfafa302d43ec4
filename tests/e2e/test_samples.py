"""The samples: all of them valid at the real API server, and those that need nothing but processes run to their end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.conftest import Stage
from localcluster import LocalCluster

SAMPLES = Path(__file__).parents[2] / "manifests" / "samples"
FILES = sorted(path for path in SAMPLES.rglob("*.yaml") if path.name != "kustomization.yaml")
RUNNING = [
    "jobs/special-tasks.yaml", "tasks/from-configmaps.yaml", "tasks/parametric-sweep.yaml", "tasks/per-item.yaml",
    "tasks/values-from-secrets.yaml",
]  # fmt: skip


def documents(path: Path) -> list[dict[str, Any]]:
    """The objects of a file."""
    return [each for each in yaml.safe_load_all(path.read_text()) if each]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SAMPLES)))
def test_a_sample_is_valid_and_says_what_it_shows(installed: LocalCluster, path: Path) -> None:
    assert path.read_text().startswith("# ")
    installed.kubectl("apply", "--dry-run=server", "-f", str(path))


def test_samples_run_to_their_end(stage: Stage) -> None:
    stage.ready_pool()
    objects = [each for name in RUNNING for each in documents(SAMPLES / name)]
    stage.apply(*objects)
    for each in objects:
        if each["kind"] == "BatchJob":
            stage.wait("bj", each["metadata"]["name"], "Complete", 120)
    # As README and docs/first-job.md say: in no order, and without the samples' own list.
    stage.kubectl("delete", "azurebatch", "--all", "--timeout=60s")
    assert stage.kubectl("get", "azurebatch", "-o", "name") == ""
    assert [stage.batch("GET", each)["value"] for each in ("jobs", "pools")] == [[], []]
