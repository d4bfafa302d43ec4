"""A release of the Helm chart without a kubelet: the operator runs as a process, with what its Deployment says."""

from __future__ import annotations

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from localcluster import LocalCluster
from stage import Operator, Pod, wait_until
from support.helm_chart import NAME


class Release:
    """A release of the chart with the process that its Deployment stands for."""

    def __init__(self, cluster: LocalCluster, folder: Path) -> None:
        self.cluster, self.folder = cluster, folder
        self.operator: Operator | None = None

    def helm(self, *arguments: str, values: dict[str, Any] | None = None) -> str:
        options = ["-n", NAME, *([] if values is None else ["-f", "-"])]
        return self.cluster.helm(*arguments, *options, input=None if values is None else json.dumps(values)).stdout

    def roll_out(self) -> None:
        """What the Deployment controller and kubelet would do: the old pod ends, the new one runs. Strategy Recreate."""
        if self.operator:
            self.operator.stop()
        deployment = json.loads(self.cluster.kubectl("-n", NAME, "get", "deployment", NAME, "-o", "json").stdout)
        self.operator = Operator.start(self.cluster, self.folder, pod=Pod.of(deployment))

    def test(self) -> tuple[str, int]:
        """`helm test` with a kubelet of one pod: what the pod's command says, and its exit code."""
        assert self.operator
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(self.cluster.helm, "test", NAME, "-n", NAME, "--timeout=60s", check=False)
            find = ("-n", NAME, "get", "pod", f"{NAME}-check", "--ignore-not-found", "-o", "json")
            pod = json.loads(wait_until(lambda: self.cluster.kubectl(*find).stdout, "the test's pod"))
            service = f"http://{NAME}.{NAME}.svc:8080"
            command = [
                each.replace(service, f"http://127.0.0.1:{self.operator.port}")
                for each in Pod.of(pod).command(self.cluster, self.folder)
            ]
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=90)
            status = {"status": {"phase": "Failed" if done.returncode else "Succeeded"}}
            self.cluster.kubectl(
                "-n",
                NAME,
                "patch",
                "pod",
                f"{NAME}-check",
                "--subresource=status",
                "--type=merge",
                "-p",
                json.dumps(status),
            )
            result = waiting.result()
            assert (result.returncode == 0) == (done.returncode == 0), result.stderr
        return done.stdout, done.returncode

    def kubectl(self, *arguments: str) -> str:
        return self.cluster.kubectl(*arguments).stdout
