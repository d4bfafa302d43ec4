"""Two replicas on the real API server: one acts, the other stands by, and nothing is done twice when they change."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e.conftest import Stage, job, pool, thing
from localcluster import LocalCluster
from stage import NAMESPACE, REPOSITORY, SERVICE_ACCOUNT, Emulator, Operator, Pod, wait_until

LEASE_SECONDS = 3.0


class Pair:
    """Two replicas in one namespace, with an emulator."""

    def __init__(self, stage: Stage, emulator: Emulator, folder: Path) -> None:
        self.stage, self.emulator, self.folder = stage, emulator, folder
        self.replicas: list[Operator] = []

    def start(self, **settings: str) -> Operator:
        """One more replica."""
        number = len(self.replicas)
        lease = f"test-{self.stage.namespace}"
        environment = {
            "AZURE_BATCH_OPERATOR_LEADER_ELECTION": "true",
            "AZURE_BATCH_OPERATOR_LEASE_NAME": lease,
            "AZURE_BATCH_OPERATOR_LEASE_SECONDS": str(LEASE_SECONDS),
            "POD_NAMESPACE": self.stage.namespace,
            "POD_NAME": f"replica-{number}",
            **{f"AZURE_BATCH_OPERATOR_{name.upper()}": value for name, value in settings.items()},
        }
        pod = Pod(NAMESPACE, SERVICE_ACCOUNT, ("run",), environment)
        replica = Operator.start(self.stage.cluster, self.folder / str(number), pod=pod, arguments=self.stage.arguments)
        self.replicas.append(replica)
        return replica

    def leads(self, replica: Operator) -> bool:
        """Whether a replica says that it acts."""
        return "azurebatch_leader 1.0" in replica.get("metrics")[1]

    def answers(self) -> dict[str, dict[str, int]]:
        """Answers of the creating operations, by operation and status."""
        operations: dict[str, dict[str, int]] = self.emulator.admin("GET", "counters")["operations"]
        return {name: counts for name, counts in operations.items() if "Create" in name}


@pytest.fixture
def pair(make_stage: Callable[..., Stage], installed: LocalCluster, tmp_path: Path) -> Iterator[Pair]:
    stage = make_stage("--executor=simulated")
    # The Leases are in the test's own namespace; the rights on them are those of the components, put there.
    for file in ("base/lease.yaml", "components/shards/rbac.yaml"):
        rights = (REPOSITORY / "manifests" / file).read_text()
        rights = rights.replace("resourceNames: [azure-batch-operator]", f"resourceNames: [test-{stage.namespace}]")
        for kind in ("shard", "member"):
            rights = rights.replace(f"- azure-batch-operator-{kind}-", f"- test-{stage.namespace}-{kind}-")
        own = rights.replace("  namespace: azure-batch-operator\n  labels", f"  namespace: {stage.namespace}\n  labels")
        installed.kubectl("apply", "-f", "-", input=own)
    stage.operator.stop()
    made = Pair(stage, stage.emulator, tmp_path / "pair")
    yield made
    for each in made.replicas:
        each.kill()


def work(name: str) -> list[dict[str, Any]]:
    """A pool and a job on it with a task."""
    tasks = [{"id": "only", "commandLine": "true"}]
    return [pool(name), job(name, poolRef={"name": name}, tasks=tasks)]


def test_one_replica_acts_and_the_other_stands_by(pair: Pair) -> None:
    first, second = pair.start(), pair.start()
    assert pair.leads(first)
    assert not pair.leads(second)
    # Both are well: a rollout of two replicas gets done.
    assert [each.get(page)[0] for each in (first, second) for page in ("healthz", "readyz")] == [200] * 4
    pair.stage.apply(*pair.stage.account(), *work("one"))
    pair.stage.wait("bj", "one", "Complete")

    first.stop()
    wait_until(lambda: pair.leads(second), "the second one leads")
    pair.stage.apply(*work("two"))
    pair.stage.wait("bj", "two", "Complete")
    assert pair.answers() == {
        "Pools_CreatePool": {"201": 2}, "Jobs_CreateJob": {"201": 2}, "Tasks_CreateTaskCollection": {"200": 2},
    }  # fmt: skip


def test_a_leader_that_is_suspended_during_its_work_does_not_continue_it(pair: Pair) -> None:
    first, second = pair.start(), pair.start()
    pair.stage.apply(*pair.stage.account(), pool("cpu"))
    pair.stage.wait("bp", "cpu", "Ready")
    slow = {"operation": "Tasks_CreateTaskCollection", "effect": {"delay": 0.3}}
    pair.emulator.admin("POST", "faults", slow)
    pair.stage.apply(job("many", taskFactory={"repeat": {"count": 2000}, "repeatTask": {"commandLine": "true"}}))

    def added() -> int:
        return sum(pair.answers().get("Tasks_CreateTaskCollection", {}).values())

    wait_until(lambda: 2 <= added() < 15, "some of the tasks are in")
    os.kill(first.process.pid, signal.SIGSTOP)
    pair.emulator.admin("DELETE", "faults")
    pair.stage.wait("bj", "many", "Complete", 120)
    assert pair.leads(second)
    before = added()
    # The response to the call that it slept through is there; the next one would follow at once.
    os.kill(first.process.pid, signal.SIGCONT)
    wait_until(lambda: not first.process.alive(), "the first one ends by itself")
    assert "The Lease has expired" in first.log.read_text()
    assert added() == before


def test_a_leader_that_sleeps_and_wakes_does_nothing_again(pair: Pair) -> None:
    first, second = pair.start(), pair.start()
    pair.stage.apply(*pair.stage.account(), *work("one"))
    pair.stage.wait("bj", "one", "Complete")

    os.kill(first.process.pid, signal.SIGSTOP)
    # Its watch connections fill up with this while it sleeps; when it wakes, it is the first thing that it sees.
    pair.stage.apply(*work("two"), thing("BatchPool", "gone", **pool("gone")["spec"]))
    pair.stage.wait("bj", "two", "Complete")
    pair.stage.kubectl("delete", "bp/gone", "--timeout=60s")
    assert pair.leads(second)
    before = pair.answers()

    os.kill(first.process.pid, signal.SIGCONT)
    wait_until(lambda: not first.process.alive(), "the first one ends by itself")
    assert "The Lease has expired" in first.log.read_text()
    assert pair.answers() == before
    assert before == {
        "Pools_CreatePool": {"201": 3}, "Jobs_CreateJob": {"201": 2}, "Tasks_CreateTaskCollection": {"200": 2},
    }  # fmt: skip
    # Its pod is started again, and stands by.
    third = pair.start()
    assert not pair.leads(third)
    assert pair.leads(second)


def test_a_leader_whose_api_server_is_gone_ends_before_another_may_act(pair: Pair) -> None:
    first = pair.start()
    pair.stage.apply(*pair.stage.account(), *work("one"))
    pair.stage.wait("bj", "one", "Complete")
    # It may not touch the Lease any more; the rest of the API server it reaches as before.
    pair.stage.kubectl("delete", "rolebinding", "azure-batch-operator-leader")
    wait_until(lambda: not first.process.alive(), "it ends by itself")
    assert "The Lease has expired" in first.log.read_text()


def test_three_replicas_share_the_accounts_and_take_over_those_of_one_that_is_killed(pair: Pair) -> None:
    replicas = [pair.start(shards="6") for _ in range(3)]

    def held(replica: Operator) -> int:
        lines = replica.get("metrics")[1].splitlines()
        return sum(line.startswith("azurebatch_shard_held{") and line.endswith(" 1.0") for line in lines)

    wait_until(lambda: [held(each) for each in replicas] == [2, 2, 2], "each of them has two shards", 60)
    assert sum(pair.leads(each) for each in replicas) == 1
    pair.stage.apply(*pair.stage.account(), *work("one"))
    pair.stage.wait("bj", "one", "Complete")
    acting = next(each for each in replicas if "azurebatch_account_up{" in each.get("metrics")[1])
    acting.kill()
    left = [each for each in replicas if each is not acting]
    pair.stage.apply(*work("two"))
    wait_until(lambda: [held(each) for each in left] == [3, 3], "the others have them", 60)
    pair.stage.wait("bj", "two", "Complete")
    assert pair.answers() == {
        "Pools_CreatePool": {"201": 2}, "Jobs_CreateJob": {"201": 2}, "Tasks_CreateTaskCollection": {"200": 2},
    }  # fmt: skip
