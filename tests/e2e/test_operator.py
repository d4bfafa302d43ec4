"""The process itself: probes, metrics, rights, an orderly end, and that it keeps secrets."""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
from pathlib import Path

import pytest

from e2e.conftest import Stage, job, task
from localcluster import LocalCluster
from stage import NAMESPACE, SERVICE_ACCOUNT

USER = f"system:serviceaccount:{NAMESPACE}:{SERVICE_ACCOUNT}"


def test_probes_metrics_and_an_orderly_end(stage: Stage) -> None:
    stage.ready_pool()
    stage.apply(job("steps"), task("t", "steps"))
    stage.wait("bt", "t", "Complete")
    assert stage.operator.get("healthz") == (200, "ok\n")
    assert stage.operator.get("readyz") == (200, "ok\n")
    code, metrics = stage.operator.get("metrics")
    assert code == 200
    assert 'azurebatch_api_requests_total{code="201",operation="Pools_CreatePool",reason=""} 1.0' in metrics
    for name in (
        "azurebatch_workqueue_depth",
        "azurebatch_status_writes_total",
        "azurebatch_reconcile_duration_seconds",
    ):
        assert name in metrics
    stage.operator.process.signal(15)  # type: ignore[arg-type]
    stage.until(lambda: not stage.operator.process.alive(), "the operator has ended", 30)
    log = stage.operator.log.read_text()
    assert "Stopping" in log
    assert "Traceback" not in log


def test_at_its_end_it_does_not_continue_for_a_while(stage: Stage) -> None:
    """Kopf waits 5 s for what began after it: sessions of accounts, and a scraper's open connection. Nobody else does."""
    stage.ready_pool()
    stage.apply(job("long", tasks=[{"id": "a", "commandLine": "sleep 600"}]))
    stage.until(lambda: stage.status("bj", "long").get("taskCounts", {}).get("running") == 1, "the task runs")
    scraper = http.client.HTTPConnection("127.0.0.1", stage.operator.port)
    scraper.request("GET", "/metrics")
    scraper.getresponse().read()

    before = sum(stage.calls().values())
    stage.operator.stop()
    # A poll every 0.3 s would have made dozens of them.
    assert sum(stage.calls().values()) - before <= 6
    scraper.close()
    assert "Traceback" not in stage.operator.log.read_text()


def test_without_the_definitions_it_does_not_start_and_says_so(bare: LocalCluster) -> None:
    program = Path(sys.executable).with_name("azure-batch-operator")
    done = subprocess.run(
        [program, "run", "--http-host=127.0.0.1", "--http-port=0"],
        env={**os.environ, "KUBECONFIG": str(bare.kubeconfig)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "cannot start: the API server has no batch" in done.stderr
    assert "apply the custom resource definitions" in done.stderr
    assert "Traceback" not in done.stderr


def test_no_secret_leaves_the_secret(stage: Stage) -> None:
    stage.ready_pool()
    stage.apply(job("own", tasks=[{"id": "a", "commandLine": "false"}]), task("t", "own"))
    stage.wait("bj", "own", "Failed")
    everything = [
        stage.kubectl("get", "bacc,bp,bj,bt,events", "-o", "json"),
        stage.operator.log.read_text(),
        stage.operator.get("metrics")[1],
    ]
    assert not any(stage.emulator.key in text or "SharedKey " in text for text in everything)


ALLOWED = [
    ("list", "batchjobs.azurebatch.io"),
    ("create", "batchjobs.azurebatch.io"),
    ("delete", "batchjobs.azurebatch.io"),
    ("list", "namespaces"),
    ("watch", "batchtasks.azurebatch.io"),
    ("patch", "batchpools.azurebatch.io/status"),
    ("get", "secrets"),
    ("patch", "secrets"),
    ("create", "events"),
]
DENIED = [
    ("list", "secrets"),
    ("watch", "secrets"),
    ("create", "secrets"),
    ("delete", "secrets"),
    ("delete", "batchpools.azurebatch.io"),
    ("create", "batchtasks.azurebatch.io"),
    ("update", "batchjobs.azurebatch.io"),
    ("update", "customresourcedefinitions.apiextensions.k8s.io"),
    ("create", "clusterrolebindings.rbac.authorization.k8s.io"),
    ("create", "pods"),
    ("watch", "namespaces"),
    ("patch", "namespaces"),
]


@pytest.mark.parametrize(
    ("verb", "what", "answer"), [(*each, "yes") for each in ALLOWED] + [(*each, "no") for each in DENIED]
)
def test_the_operator_may_do_what_it_must_and_no_more(
    installed: LocalCluster, verb: str, what: str, answer: str
) -> None:
    done = installed.kubectl("auth", "can-i", verb, what, f"--as={USER}", "-n", "default", check=False)
    assert done.stdout.strip() == answer, done.stderr
