"""What a user gets wrong, and what they read then: the field, and what to do."""

from __future__ import annotations

import base64

from e2e.conftest import Stage, job, pool, task


def says(stage: Stage, kind: str, name: str, reason: str, *words: str) -> None:
    stage.until(lambda: stage.condition(kind, name).get("reason") == reason, f"{kind}/{name} says {reason}", 40)
    message = stage.condition(kind, name)["message"]
    for word in words:
        assert word in message, message


def test_a_wrong_endpoint(stage: Stage) -> None:
    stage.apply(*stage.account(endpoint="http://127.0.0.1:1"), pool("cpu"))
    says(stage, "bacc", "main", "ConnectionRefused", "spec.endpoint", "refused")
    says(stage, "bp", "cpu", "AccountNotReady", "BatchAccount", "ConnectionRefused")
    stage.kubectl("delete", "bacc/main", "--timeout=30s")
    stage.apply(*stage.account())
    stage.wait("bp", "cpu", "Ready")


def test_a_host_that_credentials_may_not_go_to(stage: Stage) -> None:
    stage.apply(*stage.account(endpoint="https://batch.example.com"))
    says(stage, "bacc", "main", "EndpointRefused", "batch.example.com", "--allowed-host")
    assert stage.condition("bacc", "main", "Stalled")["status"] == "True"


def test_a_wrong_key_that_is_corrected(stage: Stage) -> None:
    wrong = base64.b64encode(b"not the key of this account").decode()
    secret, account = stage.account()
    stage.apply(secret | {"stringData": {"key": wrong}}, account)
    says(stage, "bacc", "main", "KeyRefused", "key 'key' of Secret 'main-key'")
    assert wrong not in stage.kubectl("get", "bacc,events", "-o", "json")
    stage.apply(secret)
    # As long as it is wrong the operator looks every few seconds, and once a minute afterwards.
    stage.wait("bacc", "main", "Ready", 30)


def test_a_key_that_is_no_key(stage: Stage) -> None:
    secret, account = stage.account()
    stage.apply(secret | {"stringData": {"key": "!!! not base64 !!!"}}, account)
    says(stage, "bacc", "main", "KeyInvalid", "not base64", "key 'key' of Secret 'main-key'")
    assert stage.condition("bacc", "main", "Stalled")["status"] == "True"


def test_a_missing_secret_and_a_missing_key(stage: Stage) -> None:
    secret, account = stage.account()
    stage.apply(account)
    says(stage, "bacc", "main", "SecretNotFound", "'main-key'", "create it")
    stage.apply(secret | {"stringData": {"other": "x"}})
    stage.kubectl("annotate", "bacc/main", "note=1")
    says(stage, "bacc", "main", "SecretKeyNotFound", "'key'", "other")


def test_a_missing_account_pool_and_job(stage: Stage) -> None:
    stage.apply(pool("cpu"), job("lonely", poolRef={"name": "nowhere"}), task("t", "nothing"))
    says(stage, "bp", "cpu", "AccountNotFound", "spec.accountRef", "create it")
    says(stage, "bj", "lonely", "PoolNotFound", "spec.poolRef", "'nowhere'")
    says(stage, "bt", "t", "JobNotFound", "spec.jobRef", "'nothing'")
    stage.kubectl("delete", "bp,bj,bt", "--all", "--timeout=30s")


def test_an_account_of_another_namespace_must_allow_it(stage: Stage) -> None:
    other = f"{stage.namespace}-other"
    stage.cluster.kubectl("create", "namespace", other)
    try:
        stage.apply(pool("cpu", accountRef={"name": "main", "namespace": other}))
        says(stage, "bp", "cpu", "AccountNotFound", other)
    finally:
        stage.cluster.kubectl("delete", "namespace", other, "--wait=false")


def test_a_refusal_is_shown_with_the_text_of_the_service(stage: Stage) -> None:
    """How many slots a node may have depends on its cores, which only the service knows (docs/azure-batch.md#limits)."""
    stage.apply(*stage.account(), pool("cpu", vmSize="Standard_D2ads_v6", taskSlotsPerNode=200))
    stage.until(lambda: stage.condition("bp", "cpu", "Stalled"), "the pool stalls", 40)
    ready = stage.condition("bp", "cpu")
    assert ready["reason"] == "InvalidPropertyValue"
    assert "taskSlotsPerNode" in ready["message"]
    assert "request-id" in ready["message"]
    stage.kubectl("delete", "bp/cpu", "--timeout=30s")


def test_placeholders_without_a_parameter_set(stage: Stage) -> None:
    stage.ready_pool()
    factory = {"parametricSweep": {"parameterSets": [{"start": 1, "end": 2}]}, "repeatTask": {"commandLine": "r {2}"}}
    stage.apply(job("wrong", taskFactory=factory))
    says(stage, "bj", "wrong", "InvalidTasks", "spec.taskFactory.repeatTask.commandLine: at character 3 it uses {2}")
    assert stage.calls().get("Jobs_CreateJob", 0) == 0


def test_a_full_quota_is_waited_for(stage: Stage) -> None:
    stage.emulator.admin("POST", "quota", {"activeJobsAndSchedules": 0})
    stage.ready_pool()
    stage.apply(job("own", tasks=[{"id": "a", "commandLine": "true"}]))
    says(stage, "bj", "own", "ActiveJobAndScheduleQuotaReached", "quota")
    assert stage.status("bj", "own")["phase"] == "Queued"
    stage.emulator.admin("POST", "quota", {"activeJobsAndSchedules": 300})
    stage.kubectl("annotate", "bj/own", "note=now")
    stage.wait("bj", "own", "Complete")


def test_an_id_of_a_foreign_resource(stage: Stage) -> None:
    stage.ready_pool()
    stage.operator.stop()
    stage.kubectl("patch", "bp/cpu", "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
    stage.kubectl("delete", "bp/cpu")
    stage.restart_operator()
    stage.apply(pool("cpu", targetDedicatedNodes=7))
    says(stage, "bp", "cpu", "OwnershipConflict", "BatchPool", "another spec.id")
    assert stage.calls().get("Pools_ResizePool", 0) == 0
    stage.kubectl("delete", "bp/cpu", "--timeout=30s")
    assert stage.emulator.admin("GET", "state")["pools"] == 1


def test_a_finalizer_can_be_forced_off(stage: Stage) -> None:
    stage.ready_pool()
    stage.emulator.kill()
    stage.until(lambda: stage.condition("bacc", "main").get("status") == "False", "the account says so", 60)
    stage.kubectl("delete", "bp/cpu", "--wait=false")
    stage.until(lambda: "force-finalize" in stage.condition("bp", "cpu").get("message", ""), "the way out is named", 60)
    stage.kubectl("annotate", "bp/cpu", "azurebatch.io/force-finalize=true")
    stage.until_gone("bp", seconds=30)
