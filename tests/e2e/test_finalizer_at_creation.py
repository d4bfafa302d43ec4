"""BatchTasks that the API server creates with the operator's finalizer, and what happens where it does not, or no longer does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from azure_batch_operator.api.base import FINALIZER, RECONCILE_POLICY
from e2e.conftest import Stage, job, task, thing
from stage import REPOSITORY, wait_until

POLICY = REPOSITORY / "manifests/components/finalizer-at-creation/finalizer-policy.yaml"
TASKS = 30


class Policy:
    """The policy for the namespace of a test, and a ServiceAccount that stands for that of the operator."""

    def __init__(self, stage: Stage) -> None:
        self.stage, self.name = stage, stage.namespace
        policy, binding = yaml.safe_load_all(POLICY.read_text())
        for each in (policy, binding):
            each["metadata"]["name"] = self.name
        served = {"matchLabels": {"kubernetes.io/metadata.name": stage.namespace}}
        binding["spec"] |= {"policyName": self.name, "matchResources": {"namespaceSelector": served}}
        binding["spec"]["paramRef"] |= {"name": "operator", "namespace": stage.namespace}
        self.objects = [policy, binding]

    def create(self) -> None:
        """Apply it and wait until it takes effect."""
        self.stage.kubectl("create", "serviceaccount", "operator")
        self.stage.apply(*self.objects)
        wait_until(lambda: self.finalizers(task("probe", "none")) == [FINALIZER], "the policy has an effect")

    def delete(self) -> None:
        """Delete it and wait until it has no effect."""
        for kind in ("mutatingadmissionpolicybinding", "mutatingadmissionpolicy"):
            self.stage.cluster.kubectl("delete", kind, self.name, "--ignore-not-found")
        wait_until(lambda: not self.finalizers(task("probe", "none")), "the policy has no effect")

    def finalizers(self, body: dict[str, Any], *options: str) -> list[str]:
        """Those that an object would be created with."""
        text = self.stage.kubectl(
            "create", "-f", "-", "-o", "json", "--dry-run=server", *options, input=json.dumps(body)
        )
        return list(json.loads(text)["metadata"].get("finalizers", []))


@pytest.fixture
def policy(stage: Stage) -> Iterator[Policy]:
    made = Policy(stage)
    made.create()
    yield made
    made.delete()


def annotated(body: dict[str, Any], value: str) -> dict[str, Any]:
    return {**body, "metadata": {**body["metadata"], "annotations": {RECONCILE_POLICY: value}}}


def phases(stage: Stage) -> list[str]:
    items = json.loads(stage.kubectl("get", "bt", "-o", "json"))["items"]
    return [item["status"].get("phase", "") for item in items]


def test_the_operator_has_no_finalizer_to_add(stage: Stage, policy: Policy) -> None:
    stage.ready_pool()
    stage.apply(job("steps"))
    stage.wait("bj", "steps", "Ready")
    before = stage.writes("batchtasks")
    stage.apply(*(task(f"t{number}", "steps") for number in range(TASKS)))
    stage.until(lambda: phases(stage).count("Succeeded") == TASKS, "all tasks have ended")
    assert stage.writes("batchtasks") - before <= 2 * TASKS, "a task has two statuses at most"
    stage.kubectl("delete", "bt", "--all", "--timeout=60s")
    assert stage.emulator.admin("GET", "state")["tasks"] == 0


def test_the_operator_adds_it_where_the_policy_is_gone(stage: Stage, policy: Policy) -> None:
    stage.ready_pool()
    stage.apply(job("steps"), task("with", "steps"))
    stage.until(lambda: phases(stage) == ["Succeeded"], "the task has ended")
    policy.delete()
    stage.apply(task("without", "steps"))
    stage.until(lambda: phases(stage) == ["Succeeded"] * 2, "both tasks have ended")
    assert [stage.get("bt", name)["metadata"]["finalizers"] for name in ("with", "without")] == [[FINALIZER]] * 2
    stage.kubectl("delete", "bt", "--all", "--timeout=60s")
    assert stage.emulator.admin("GET", "state")["tasks"] == 0


def test_a_task_that_was_never_added_is_released_immediately(stage: Stage, policy: Policy) -> None:
    """Nothing of the tasks is in Azure Batch, and nobody can ask: an account is missing, a key is wrong, a BatchJob is missing."""
    wrong = stage.account("wrong")
    wrong[0]["stringData"]["key"] = "bm90aGluZw=="
    stage.apply(*wrong, job("lost", accountRef={"name": "none"}), job("refused", accountRef={"name": "wrong"}))
    stage.apply(task("a", "lost"), task("b", "refused"), task("c", "nowhere"))
    stage.until(lambda: all(stage.condition("bt", name) for name in "abc"), "each task says what it waits for")
    assert all(stage.get("bt", name)["metadata"]["finalizers"] == [FINALIZER] for name in "abc")
    stage.kubectl("delete", "bt", "--all", "--timeout=60s")
    events = json.loads(stage.kubectl("get", "events", "-o", "json"))["items"]
    assert not [each for each in events if each["reason"] == "TaskMayRemain"]


def test_what_has_no_finalizer_from_the_policy(stage: Stage, policy: Policy) -> None:
    one, into = task("one", "steps"), {"jobId": "steps", "accountRef": {"name": "main"}, "commandLine": "true"}
    assert policy.finalizers(annotated(one, "detach-on-delete")) == [FINALIZER]
    assert policy.finalizers(annotated(one, "skip")) == []
    assert policy.finalizers(annotated(one, "neither")) == []
    assert policy.finalizers(thing("BatchTask", "one", **into)) == []
    assert policy.finalizers(job("steps")) == []
    kept = {**one, "metadata": {**one["metadata"], "finalizers": ["example.org/mine"]}}
    assert sorted(policy.finalizers(kept)) == [FINALIZER, "example.org/mine"]

    stage.cluster.kubectl("annotate", "namespace", stage.namespace, f"{RECONCILE_POLICY}=skip")
    wait_until(lambda: policy.finalizers(one) == [], "the annotation of the namespace is seen")
    assert policy.finalizers(annotated(one, "manage")) == [FINALIZER]
    other = f"{stage.namespace}-other"
    stage.cluster.kubectl("create", "namespace", other)
    text = stage.cluster.kubectl("-n", other, "create", "-f", "-", "-o", "json", input=json.dumps(one)).stdout
    assert "finalizers" not in json.loads(text)["metadata"]
    stage.cluster.kubectl("delete", "namespace", other, "--wait=false")


def test_applied_again_it_keeps_the_finalizer(stage: Stage, policy: Policy) -> None:
    stage.kill_operator()
    for options in (["apply"], ["apply", "--server-side"]):
        name = f"t{len(options)}"
        for line in ("1", "2"):
            body = task(name, "steps", tailLines=int(line))
            stage.kubectl(*options, "-f", "-", input=json.dumps(body))
            assert stage.get("bt", name)["metadata"]["finalizers"] == [FINALIZER]
        stage.kubectl("patch", "bt", name, "--type=merge", "-p", '{"metadata": {"finalizers": null}}')


def test_without_its_service_account_there_is_no_operator_to_take_it_off(stage: Stage, policy: Policy) -> None:
    stage.kubectl("delete", "serviceaccount", "operator")
    wait_until(lambda: policy.finalizers(task("one", "steps")) == [], "the policy has lost its parameter")
