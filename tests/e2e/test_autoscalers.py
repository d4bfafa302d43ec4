"""The real HorizontalPodAutoscaler controller on pools: it keeps its bounds, and asks for metrics instead of giving up.

There is no metrics API here, so what a metric would come to is not part of it: the way there is.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e.conftest import API_VERSION, Stage
from localcluster import LocalCluster
from localcluster.components import MANAGER_KUBECONFIG
from localcluster.processes import spawn, stop


@pytest.fixture
def autoscaler(installed: LocalCluster, tmp_path: Path) -> Iterator[None]:
    """The controller that kube-controller-manager has for it."""
    command = [
        str(installed.programs.controller_manager),
        f"--kubeconfig={installed.root / MANAGER_KUBECONFIG}",
        "--controllers=horizontal-pod-autoscaler-controller",
        "--horizontal-pod-autoscaler-sync-period=1s",
        "--leader-elect=false",
        "--secure-port=0",
    ]
    process = spawn(command, log=tmp_path / "autoscaler.log", folder=tmp_path, owned=True)
    yield
    stop([process], grace=5.0)


def scaler(least: int, most: int) -> dict[str, Any]:
    """An autoscaler of the pool `cpu` by the length of some queue."""
    metric = {"metric": {"name": "queue_length"}, "target": {"type": "AverageValue", "averageValue": "10"}}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "cpu"},
        "spec": {
            "scaleTargetRef": {"apiVersion": API_VERSION, "kind": "BatchPool", "name": "cpu"},
            "minReplicas": least,
            "maxReplicas": most,
            "metrics": [{"type": "External", "external": metric}],
        },
    }


@pytest.mark.usefixtures("autoscaler")
def test_an_autoscaler_scales_a_pool(stage: Stage) -> None:
    stage.ready_pool(targetDedicatedNodes=1)
    stage.apply(scaler(2, 4))
    stage.until(lambda: stage.status("bp", "cpu").get("nodes") == "2/2", "the least nodes")
    active = stage.until(lambda: stage.condition("hpa", "cpu", "ScalingActive"), "it looks for its metric")
    assert active["reason"] == "FailedGetExternalMetric", active
    stage.kubectl("scale", "bp/cpu", "--replicas=6")
    stage.until(lambda: stage.status("bp", "cpu").get("nodes") == "4/4", "the most nodes")
    stage.until(lambda: stage.status("hpa", "cpu").get("currentReplicas") == 4, "the autoscaler has seen them")
