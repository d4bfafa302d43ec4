"""The life of a pool, transition by transition: what a user does, and exactly which calls of Azure Batch follow."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from e2e.conftest import Stage, job, pool

IMAGE = {"publisher": "canonical", "offer": "0001-com-ubuntu-server-jammy", "sku": "22_04-lts"}
FORMULA = "$TargetDedicatedNodes = 3;"
WATCHED = {"GET", "HEAD"}


class Witness:
    """The changes that Azure Batch was asked for since it was made, and how the service answered."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._from = len(self._all())

    def _all(self) -> list[dict[str, Any]]:
        calls: list[dict[str, Any]] = self._stage.emulator.admin("GET", "calls")["value"]
        return [call for call in calls if call["method"] not in WATCHED]

    @property
    def calls(self) -> list[str]:
        """Operations without their group, oldest first; with the status if the service refused."""
        return [
            call["operation"].partition("_")[2] + ("" if call["status"] < 300 else f" {call['status']}")
            for call in self._all()[self._from :]
        ]


def change(stage: Stage, **spec: Any) -> None:
    """Merge members into the spec of the pool `cpu`; None takes one away."""
    stage.kubectl("patch", "bp", "cpu", "--type=merge", "-p", json.dumps({"spec": spec}))


def settled(stage: Stage, seconds: float = 60.0) -> dict[str, Any]:
    """Wait until the pool is what its spec says; its status."""

    def done() -> Any:
        body = stage.get("bp", "cpu")
        status = body.get("status", {})
        ready = next((each for each in status.get("conditions", ()) if each["type"] == "Ready"), {})
        generation = body["metadata"]["generation"]
        return status if ready.get("status") == "True" and ready["observedGeneration"] == generation else None

    status: dict[str, Any] = stage.until(done, "the pool is as wanted", seconds)
    return status


def remote(stage: Stage, id: str = "cpu") -> dict[str, Any]:
    """The pool as Azure Batch has it."""
    found: dict[str, Any] = stage.batch("GET", f"pools/{id}")
    return found


START = {"commandLine": "/bin/sh -c 'echo ready'", "userIdentity": {"autoUser": {"elevationLevel": "Admin"}}}
AT_ONCE = [
    ({"displayName": "Four cores"}, ["UpdatePool"]),
    ({"metadata": [{"name": "team", "value": "render"}]}, ["UpdatePool"]),
    ({"targetNodeCommunicationMode": "Simplified"}, ["UpdatePool"]),
    ({"startTask": START}, ["UpdatePool"]),
    ({"startTask": {**START, "environmentSettings": [{"name": "A", "value": "1"}]}}, ["UpdatePool"]),
    ({"startTask": None}, ["ReplacePoolProperties"]),
    ({"metadata": None, "displayName": None}, ["UpdatePool"]),
    ({"resizeTimeout": "PT20M", "nodeDeallocationOption": "taskcompletion", "deletionPolicy": "Delete"}, []),
]


def test_each_change_that_is_always_possible_takes_one_call(stage: Stage) -> None:
    stage.ready_pool(targetDedicatedNodes=1)
    for spec, expected in AT_ONCE:
        witness = Witness(stage)
        change(stage, **spec)
        settled(stage)
        assert witness.calls == expected, spec
    there = remote(stage)
    assert "startTask" not in there
    assert there["targetNodeCommunicationMode"].lower() == "simplified"
    assert [item["name"] for item in there["metadata"]] == ["azurebatch.io/owner", "azurebatch.io/applied"]
    assert not stage.status("bp", "cpu").get("pendingChanges")


# Not the Secret of the account: the operator puts its finalizer on that one, and a Secret of another version costs one PATCH.
LOGIN = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "render"}, "stringData": {"password": "a secret"}}
EMPTY_ONLY: dict[str, Any] = {
    "vmSize": "Standard_D8ads_v6",
    "taskSlotsPerNode": 4,
    "taskSchedulingPolicy": {"nodeFillType": "Pack"},
    "enableInterNodeCommunication": True,
    "upgradePolicy": {"mode": "Automatic"},
    "userAccounts": [{"name": "render", "passwordSecretRef": {"name": "render", "key": "password"}}],
    "mountConfiguration": [{"nfsMountConfiguration": {"source": "10.0.0.4:/export", "relativeMountPath": "nfs"}}],
    "virtualMachineConfiguration": {
        "imageReference": {"publisher": "Canonical", "offer": "ubuntu-24_04-lts", "sku": "server"},
        "nodeAgentSKUId": "batch.node.ubuntu 24.04",
    },
}


def test_an_empty_pool_takes_every_change_in_one_call(stage: Stage) -> None:
    stage.ready_pool(targetDedicatedNodes=0)
    witness = Witness(stage)
    stage.apply(LOGIN)
    change(stage, **EMPTY_ONLY)
    settled(stage)
    assert witness.calls == ["UpdatePool"]
    there = remote(stage)
    assert (there["vmSize"], there["taskSlotsPerNode"]) == ("standard_d8ads_v6", 4)
    assert there["userAccounts"][0]["name"] == "render"
    witness = Witness(stage)
    change(stage, userAccounts=None, mountConfiguration=None, taskSlotsPerNode=None, enableInterNodeCommunication=None)
    settled(stage)
    assert witness.calls == ["UpdatePool"]
    assert "userAccounts" not in remote(stage)
    stage.restart_operator_quietly()
    assert witness.calls == ["UpdatePool"]


def test_a_change_waits_until_the_pool_is_empty(stage: Stage) -> None:
    stage.ready_pool(targetDedicatedNodes=1)
    witness = Witness(stage)
    change(stage, vmSize="Standard_D8ads_v6")
    stage.wait("bp", "cpu", "UpdatePending")
    status = settled(stage)
    assert (status["phase"], status["pendingChanges"], status["nodes"]) == ("UpdatePending", ["vmSize"], "1/1")
    pending = stage.condition("bp", "cpu", "UpdatePending")
    assert pending["reason"] == "WaitingForEmptyPool"
    assert "vmSize can be changed only in a pool without nodes" in pending["message"]
    assert "Scale to 0" in pending["message"]
    assert not stage.condition("bp", "cpu", "Reconciling"), "nobody works on it, and it may take weeks"
    stage.kubectl("scale", "batchpool/cpu", "--replicas=0")
    stage.until(lambda: stage.status("bp", "cpu").get("vmSize") == "standard_d8ads_v6", "the change is made")
    assert not settled(stage).get("pendingChanges")
    stage.kubectl("scale", "batchpool/cpu", "--replicas=1")
    settled(stage)
    assert witness.calls == ["ResizePool", "UpdatePool", "ResizePool"]
    assert not stage.kubectl("get", "events", "--field-selector=reason=DriftCorrected", "-o", "name")


def test_drain_lets_tasks_end_changes_and_comes_back(stage: Stage) -> None:
    stage.ready_pool(targetDedicatedNodes=2, updateStrategy="Drain")
    stage.apply(job("work", tasks=[{"id": "long", "commandLine": "/bin/sh -c 'sleep 4'"}]))
    stage.until(lambda: stage.status("bp", "cpu").get("nodeCounts", {}).get("dedicated", {}).get("running"), "it runs")
    witness = Witness(stage)
    change(stage, vmSize="Standard_D8ads_v6")
    stage.until(lambda: stage.status("bp", "cpu").get("phase") == "Draining", "the pool is drained")
    assert "with running tasks" in stage.condition("bp", "cpu")["message"]
    status = settled(stage)
    assert (status["vmSize"], status["nodes"]) == ("standard_d8ads_v6", "2/2")
    assert [each for each in witness.calls if "Pool" in each] == ["ResizePool", "UpdatePool", "ResizePool"]
    assert stage.status("bj", "work")["taskCounts"]["succeeded"] == 1


def test_a_drained_pool_of_a_formula_gets_its_formula_back(stage: Stage) -> None:
    stage.apply(
        *stage.account(),
        pool(
            "cpu", targetDedicatedNodes=None, enableAutoScale=True, autoScaleFormula="$TargetDedicatedNodes = 1;",
            updateStrategy="Drain",
        ),
    )  # fmt: skip
    stage.until(lambda: stage.status("bp", "cpu").get("nodes") == "1/1", "the formula's node")
    witness = Witness(stage)
    change(stage, taskSlotsPerNode=4)
    stage.until(lambda: remote(stage)["taskSlotsPerNode"] == 4, "the change is made")
    settled(stage)
    assert witness.calls == ["DisablePoolAutoScale", "ResizePool", "UpdatePool", "EnablePoolAutoScale"]
    stage.until(lambda: stage.status("bp", "cpu").get("nodes") == "1/1", "the formula's node again")


def test_from_fixed_size_to_formula_and_back(stage: Stage) -> None:
    stage.ready_pool(targetDedicatedNodes=1)
    witness = Witness(stage)
    change(stage, targetDedicatedNodes=None, enableAutoScale=True, autoScaleFormula=FORMULA)
    stage.until(lambda: stage.status("bp", "cpu").get("nodes") == "3/3", "the formula's nodes")
    status = settled(stage)
    assert (status["enableAutoScale"], status["autoScaleFormula"]) == (True, FORMULA)
    assert "$TargetDedicatedNodes=3" in status["autoScaleRun"]["results"]
    assert stage.condition("bp", "cpu", "AutoScaleHealthy")["status"] == "True"
    assert witness.calls == ["EnablePoolAutoScale"]
    witness = Witness(stage)
    change(stage, targetDedicatedNodes=1, enableAutoScale=None, autoScaleFormula=None)
    stage.until(lambda: stage.status("bp", "cpu").get("nodes") == "1/1", "one node")
    assert "autoScaleFormula" not in settled(stage)
    assert witness.calls == ["DisablePoolAutoScale", "ResizePool"]


def test_a_formula_is_tried_before_it_replaces_another(make_stage: Any) -> None:
    stage: Stage = make_stage(time_scale=600.0)
    spec: dict[str, Any] = {"targetDedicatedNodes": None, "enableAutoScale": True}
    stage.apply(*stage.account(), pool("cpu", autoScaleFormula=FORMULA, **spec))
    stage.until(lambda: stage.status("bp", "cpu").get("nodes") == "3/3", "the formula's nodes")
    witness = Witness(stage)
    change(stage, autoScaleFormula="$TargetDedicatedNodes = $Nonsense;")
    stage.until(lambda: stage.condition("bp", "cpu", "Stalled"), "the new formula is refused")
    condition = stage.condition("bp", "cpu")
    assert condition["reason"] == "AutoScalingFormulaEvaluationError"
    assert "Undefined symbol: $Nonsense" in condition["message"]
    assert witness.calls == ["EvaluatePoolAutoScale"]
    assert remote(stage)["autoScaleFormula"] == FORMULA
    change(stage, autoScaleFormula="$TargetDedicatedNodes = 2;")
    stage.until(lambda: stage.status("bp", "cpu").get("nodes") == "2/2", "the new formula's nodes")
    settled(stage)
    assert witness.calls == ["EvaluatePoolAutoScale", "EvaluatePoolAutoScale", "EnablePoolAutoScale"]


def test_a_formula_that_fails_is_shown_and_leaves_the_pool_alone(stage: Stage) -> None:
    stage.ready_pool(targetDedicatedNodes=1)
    change(
        stage, targetDedicatedNodes=None, enableAutoScale=True, autoScaleFormula="$TargetDedicatedNodes = $Nonsense;"
    )
    condition = stage.until(lambda: stage.condition("bp", "cpu", "AutoScaleHealthy"), "the run of the formula is shown")
    assert (condition["status"], condition["reason"]) == ("False", "AutoScalingFormulaEvaluationError")
    assert "Undefined symbol: $Nonsense" in stage.status("bp", "cpu")["autoScaleRun"]["error"]
    assert stage.status("bp", "cpu")["nodes"] == "1/1"


def test_an_interval_is_changed_without_the_formula(make_stage: Any) -> None:
    stage: Stage = make_stage(time_scale=600.0)
    spec: dict[str, Any] = {"targetDedicatedNodes": None, "enableAutoScale": True, "autoScaleFormula": FORMULA}
    stage.apply(*stage.account(), pool("cpu", **spec))
    # Ready comes before the formula has run; what it brings is not to be in the way.
    stage.until(lambda: stage.status("bp", "cpu").get("nodes") == "3/3", "the formula's nodes")
    witness = Witness(stage)
    change(stage, autoScaleEvaluationInterval="PT01H00M")
    stage.until(lambda: remote(stage)["autoScaleEvaluationInterval"] == "PT1H", "the interval")
    settled(stage)
    assert witness.calls == ["EnablePoolAutoScale"]


PROFILES: list[dict[str, Any]] = [
    {"maximum": 3, "minimum": 1, "pendingTasks": {}},
    {"maximum": 3, "minimum": 1, "spotFirst": True, "pendingTasks": {"lookback": "PT10M"}},
    {"maximum": 3, "minimum": 1, "workHours": {"start": 8, "end": 18, "utcOffsetMinutes": -60, "days": ["Sunday"]}},
]


@pytest.mark.parametrize("profile", PROFILES, ids=["pendingTasks", "spotFirst", "workHours"])
def test_a_profile_becomes_a_formula_that_works(stage: Stage, profile: dict[str, Any]) -> None:
    stage.apply(*stage.account(), pool("cpu", targetDedicatedNodes=None, autoScaleProfile=profile))
    condition = stage.until(lambda: stage.condition("bp", "cpu", "AutoScaleHealthy"), "the formula has run")
    status = stage.status("bp", "cpu")
    assert condition["status"] == "True", status
    assert "$NodeDeallocationOption = taskcompletion;" in status["autoScaleFormula"]
    kind = "currentLowPriorityNodes" if profile.get("spotFirst") else "currentDedicatedNodes"
    stage.until(lambda: stage.status("bp", "cpu").get(kind) in {1, 3}, "nodes by the profile")
    settled(stage)


def test_scaling_an_autoscaled_pool_is_refused_with_a_reason(stage: Stage) -> None:
    spec: dict[str, Any] = {"targetDedicatedNodes": None, "enableAutoScale": True, "autoScaleFormula": FORMULA}
    stage.apply(
        *stage.account(), pool("cpu", **spec), pool("prof", targetDedicatedNodes=None, autoScaleProfile=PROFILES[0])
    )
    for name, words in (("cpu", "change autoScaleFormula"), ("prof", "change its minimum and maximum")):
        done = stage.cluster.kubectl("-n", stage.namespace, "scale", f"batchpool/{name}", "--replicas=6", check=False)
        assert done.returncode != 0
        assert words in done.stdout + done.stderr


def test_the_scale_subresource_serves_autoscalers(stage: Stage) -> None:
    """What a HorizontalPodAutoscaler does: read and write `/scale`."""
    stage.ready_pool(targetDedicatedNodes=1)
    path = f"/apis/azurebatch.io/v1alpha1/namespaces/{stage.namespace}/batchpools/cpu/scale"
    scale = json.loads(stage.kubectl("get", "--raw", path))
    assert (scale["spec"]["replicas"], scale["status"]["replicas"]) == (1, 1)
    assert scale["status"]["selector"], "an autoscaler does nothing without one"
    scale["spec"]["replicas"] = 3
    stage.kubectl("replace", "--raw", path, "-f", "-", input=json.dumps(scale))
    stage.until(lambda: json.loads(stage.kubectl("get", "--raw", path))["status"]["replicas"] == 3, "three nodes")


def test_the_node_agent_is_found_for_the_image(stage: Stage) -> None:
    witness = Witness(stage)
    stage.apply(*stage.account(), pool("cpu", virtualMachineConfiguration={"imageReference": IMAGE}))
    assert settled(stage)["nodeAgentSKUId"] == "batch.node.ubuntu 22.04"
    unknown = {"imageReference": IMAGE | {"sku": "99_04"}}
    stage.apply(pool("odd", virtualMachineConfiguration=unknown))
    stage.until(lambda: stage.condition("bp", "odd").get("reason") == "ImageNotSupported", "it is refused")
    assert "22_04-lts" in stage.condition("bp", "odd", "Stalled")["message"]
    assert witness.calls == ["CreatePool"]
    assert stage.calls()["Pools_ListSupportedImages"] == 1
    stage.kubectl("delete", "bp", "odd")


def test_drift_is_corrected_and_reported(stage: Stage) -> None:
    stage.ready_pool(targetDedicatedNodes=1, startTask=START, displayName="mine")
    witness = Witness(stage)
    stage.batch("PATCH", "pools/cpu", {"displayName": "theirs", "startTask": {"commandLine": "other"}})
    stage.until(lambda: remote(stage)["displayName"] == "mine", "the name is set right")
    settled(stage)
    assert remote(stage)["startTask"]["commandLine"] == START["commandLine"]
    stage.batch("POST", "pools/cpu/resize", {"targetDedicatedNodes": 3})
    stage.until(lambda: remote(stage)["targetDedicatedNodes"] == 1, "the size is set right")
    settled(stage)
    assert witness.calls[:2] == ["UpdatePool", "UpdatePool"]
    assert witness.calls[-1] == "ResizePool"
    events = stage.kubectl(
        "get", "events", "--field-selector=reason=DriftCorrected", "-o", "jsonpath={.items[*].message}"
    )
    assert "another client has changed displayName and startTask in Azure Batch" in events
    assert "another client has changed targetDedicatedNodes in Azure Batch" in events
    assert (
        'azurebatch_drift_corrections_total{kind="BatchPool",property="startTask"} 1.0'
        in stage.operator.get("metrics")[1]
    )


def test_nothing_is_called_when_nothing_has_changed(stage: Stage) -> None:
    """Every property that there is, in casings and forms of the user's own."""
    stage.apply(LOGIN)
    stage.ready_pool(
        targetDedicatedNodes=0, **EMPTY_ONLY, startTask=START, displayName="d", metadata=[{"name": "a", "value": "b"}]
    )
    settled(stage)
    witness = Witness(stage)
    stage.restart_operator_quietly()
    assert witness.calls == []
    writes = stage.writes("batchpools")
    polls = stage.calls()["Pools_ListPools"]
    stage.until(lambda: stage.calls()["Pools_ListPools"] >= polls + 3, "three more polls")
    assert stage.writes("batchpools") == writes


def test_recreate_makes_a_new_pool_and_moves_the_jobs(stage: Stage) -> None:
    stage.ready_pool(targetDedicatedNodes=1, updateStrategy="Recreate")
    tasks = [{"id": f"t{number}", "commandLine": "/bin/sh -c 'sleep 1'"} for number in range(8)]
    stage.apply(job("work", tasks=tasks))
    stage.until(lambda: stage.status("bp", "cpu").get("nodeCounts", {}).get("dedicated", {}).get("running"), "it runs")
    witness = Witness(stage)
    change(stage, vmSize="Standard_D8ads_v6")
    stage.until(lambda: stage.status("bp", "cpu").get("phase") == "Replacing", "the status says so")
    status = settled(stage)
    assert (status["id"], status["vmSize"]) == ("cpu-g2", "standard_d8ads_v6")
    assert "replaces" not in status
    stage.wait("bj", "work", "Complete")
    assert stage.status("bj", "work")["poolId"] == "cpu-g2"
    assert stage.status("bj", "work")["taskCounts"]["succeeded"] == 8
    assert [each for each in witness.calls if "Pool" in each] == ["CreatePool", "DeletePool"]
    stage.until(lambda: stage.emulator.admin("GET", "state")["pools"] == 1, "the old pool is gone")
    stage.kubectl("scale", "bp/cpu", "--replicas=2")
    stage.until(lambda: stage.status("bp", "cpu").get("nodes") == "2/2", "the new pool scales")
    stage.kubectl("delete", "bp/cpu", "--wait=false")
    stage.until_gone("bp")
    assert stage.emulator.admin("GET", "state")["pools"] == 0


def test_recreate_waits_for_the_jobs_of_others(stage: Stage) -> None:
    stage.ready_pool(targetDedicatedNodes=1, updateStrategy="Recreate")
    stage.batch("POST", "jobs", {"id": "theirs", "poolInfo": {"poolId": "cpu"}})
    change(stage, vmSize="Standard_D8ads_v6")
    stage.until(lambda: stage.condition("bp", "cpu").get("reason") == "WaitingForJobs", "it waits for the job")
    assert "theirs" in stage.condition("bp", "cpu")["message"]
    assert stage.status("bp", "cpu")["replaces"] == ["cpu"]
    stage.batch("POST", "jobs/theirs/terminate")
    assert settled(stage)["id"] == "cpu-g2"


def test_a_secret_that_changed_while_the_operator_was_away_is_handed_on_once(stage: Stage) -> None:
    secret: dict[str, Any] = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "login"}}
    variable = {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "login", "key": "token"}}}
    accounts = [{"name": "render", "passwordSecretRef": {"name": "login", "key": "token"}}]
    stage.apply(secret | {"stringData": {"token": "t1"}})
    start = {"commandLine": "true", "environmentSettings": [variable]}
    stage.ready_pool(targetDedicatedNodes=1, userAccounts=accounts, startTask=start, updateStrategy="Drain")
    witness = Witness(stage)
    stage.operator.stop()
    stage.apply(secret | {"stringData": {"token": "t2"}})
    stage.restart_operator()
    stage.until(lambda: witness.calls, "the pool is told")
    assert remote(stage)["startTask"]["environmentSettings"] == [{"name": "TOKEN", "value": "t2"}]
    # Whether the password is another one cannot be known any more, so nobody's tasks are interrupted for it.
    stage.until(lambda: stage.status("bp", "cpu").get("pendingChanges") == ["userAccounts"], "the password waits")
    settled(stage)
    stage.restart_operator_quietly()
    assert witness.calls == ["UpdatePool"]
    stage.kubectl("scale", "bp/cpu", "--replicas=0")
    stage.until(lambda: not stage.status("bp", "cpu").get("pendingChanges"), "the password is sent")
    settled(stage)
    stage.restart_operator_quietly()
    assert witness.calls == ["UpdatePool", "ResizePool", "UpdatePool"]


def test_a_changed_secret_is_noticed_and_handed_on(stage: Stage) -> None:
    secret: dict[str, Any] = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "login"}}
    accounts = [{"name": "render", "passwordSecretRef": {"name": "login", "key": "password"}}]
    variable = {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "login", "key": "token"}}}
    stage.apply(secret | {"stringData": {"password": "first-secret", "token": "t1"}})
    start = {"commandLine": "true", "environmentSettings": [variable]}
    stage.ready_pool(targetDedicatedNodes=0, userAccounts=accounts, startTask=start)
    witness = Witness(stage)

    def told() -> list[str]:
        # Values are read again when the pool is looked at, and are remembered for ten seconds.
        stage.kubectl("annotate", "bp/cpu", f"look={len(witness.calls)}-{time.monotonic_ns()}", "--overwrite")
        return witness.calls

    stage.apply(secret | {"stringData": {"password": "second-secret", "token": "t2"}})
    stage.until(told, "the pool is told")
    settled(stage)
    assert witness.calls == ["UpdatePool"]
    assert remote(stage)["startTask"]["environmentSettings"] == [{"name": "TOKEN", "value": "t2"}]
    assert not stage.kubectl("get", "events", "--field-selector=reason=DriftCorrected", "-o", "name")
    everything = stage.kubectl("get", "bp,events", "-o", "json") + stage.operator.log.read_text()
    assert not any(word in everything for word in ("first-secret", "second-secret"))
