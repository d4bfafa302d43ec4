"""A release of the Helm chart on the real API server, from its installation to its end."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e.conftest import job
from localcluster import LocalCluster
from stage import Emulator, samples
from support.helm_chart import CHART, NAME
from support.helm_release import Release


@pytest.fixture
def release(bare: LocalCluster, tmp_path: Path) -> Iterator[Release]:
    made = Release(bare, tmp_path)
    yield made
    if made.operator:
        made.operator.kill()


def test_a_release_from_installation_to_its_end(release: Release, tmp_path: Path) -> None:
    emulator = Emulator.start(tmp_path / "batch", time_scale=100.0)
    try:
        _life(release, emulator)
    finally:
        emulator.kill()


def _life(release: Release, emulator: Emulator) -> None:
    values: dict[str, Any] = {"config": {"logFormat": "json", "pollSeconds": 0.3, "idlePollSeconds": 5}}
    said = release.helm("install", NAME, str(CHART), "--create-namespace", values=values)
    assert "Before `helm uninstall" in said
    assert "image.registry is empty" in said
    # Helm keeps chart and manifests in one Secret, which may hold 1 MiB; with more CRDs or values it must not fail at once.
    kept = release.kubectl(
        "-n", NAME, "get", "secret", f"sh.helm.release.v1.{NAME}.v1", "-o", "jsonpath={.data.release}"
    )
    assert len(base64.b64decode(kept)) < 1 << 19
    release.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
    release.roll_out()

    release.cluster.kubectl("apply", "-f", "-", input=samples(release.cluster, emulator.endpoint))
    release.kubectl("wait", "--for=condition=Ready", "bacc,bp", "--all", "--timeout=60s")
    release.kubectl("wait", "--for=condition=Complete", "bj/render", "--timeout=120s")
    lines, code = release.test()
    assert code == 0, lines
    assert lines.count("ok ") == 4, lines

    uids = _uids(release)
    release.helm("upgrade", NAME, str(CHART), values=values | {"podLabels": {"team": "hpc"}, "replicaCount": 1})
    release.roll_out()
    release.helm("rollback", NAME, "1")
    release.roll_out()
    assert _uids(release) == uids
    # The operator that came with the rollback works: something new runs to its end.
    late = job("late", tasks=[{"id": "a", "commandLine": "true"}])
    release.cluster.kubectl("apply", "-f", "-", input=json.dumps(late))
    release.kubectl("wait", "--for=condition=Complete", "bj/late", "--timeout=60s")

    # Each change of a spec would have counted the generation up.
    assert set(_generations(release).values()) == {1}, "the operator writes no spec"

    uids, azure = _uids(release), _azure(emulator)
    assert release.operator
    release.operator.stop()
    said = release.helm("uninstall", NAME)
    assert "kept due to the resource policy" in said
    assert _uids(release) == uids, "no object is lost with the release"
    assert _azure(emulator) == azure, "nothing is lost in Azure"
    assert not release.kubectl("get", "clusterroles,clusterrolebindings", "-l", f"app.kubernetes.io/instance={NAME}")

    # And again: everything is taken up where it was.
    release.helm("install", NAME, str(CHART), values=values)
    release.roll_out()
    release.kubectl("delete", "azurebatch", "-A", "--all", "--timeout=180s")
    assert not any(_azure(emulator).values())


def _generations(release: Release) -> dict[str, int]:
    listed = json.loads(release.kubectl("get", "azurebatch", "-A", "-o", "json"))["items"]
    return {f"{each['kind']}/{each['metadata']['name']}": each["metadata"]["generation"] for each in listed}


def _uids(release: Release) -> dict[str, str]:
    listed = json.loads(release.kubectl("get", "azurebatch", "-A", "-o", "json"))["items"]
    return {f"{each['kind']}/{each['metadata']['name']}": each["metadata"]["uid"] for each in listed}


def _azure(emulator: Emulator) -> dict[str, int]:
    """How many pools, jobs and tasks there are in Batch."""
    state = emulator.admin("GET", "state")
    return {name: state[name] for name in ("pools", "jobs", "tasks")}
