"""A BatchJob that waits for what never comes fails at its pending deadline, not when something else happens to wake it."""

from __future__ import annotations

from typing import Any

import pytest

from support.stage import Stage, job, sleeping, thing

SECONDS = 28
_ACCOUNT = {"name": "main"}
_TOKEN = [{"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "nowhere", "key": "token"}}}]
_LIST = [{"configMapKeyRef": {"name": "nowhere", "key": "tasks"}}]
_LIMIT: dict[str, Any] = {"pendingDeadlineSeconds": SECONDS}
_WAITING = {
    "pool": ("PoolNotFound", job("own", poolRef={"name": "nowhere"}, tasks=sleeping(1, 30), **_LIMIT)),
    "pool-of-account": (
        "PoolNotFound",
        job("own", accountRef=_ACCOUNT, poolRef={"name": "nowhere"}, tasks=sleeping(1, 30), **_LIMIT),
    ),
    "account": (
        "AccountNotFound",
        thing(
            "BatchJob", "own", accountRef={"name": "nowhere"}, poolInfo={"poolId": "p"}, tasks=sleeping(1, 30), **_LIMIT
        ),
    ),
    "secret": (
        "SecretNotFound",
        job("own", tasks=[{"id": "t", "commandLine": "true", "environmentSettings": _TOKEN}], **_LIMIT),
    ),
    "secret-of-job": ("SecretNotFound", job("own", commonEnvironmentSettings=_TOKEN, tasks=sleeping(1, 30), **_LIMIT)),
    "config-map": ("ConfigMapNotFound", job("own", tasksFrom=_LIST, **_LIMIT)),
    "former-job": ("RetryJobNotFound", thing("BatchJob", "own", retryOf={"name": "nowhere"}, **_LIMIT)),
}


@pytest.mark.parametrize("finalizer", [False, True])
@pytest.mark.parametrize("case", _WAITING)
async def test_a_job_fails_at_its_pending_deadline_whatever_it_waits_for(
    stage: Stage, case: str, finalizer: bool
) -> None:
    reason, waiting = _WAITING[case]
    await stage.ready_pool()
    if finalizer:
        waiting = {**waiting, "metadata": {**waiting["metadata"], "finalizers": ["azurebatch.io/finalizer"]}}
    stage.apply(waiting)
    await stage.run_for(SECONDS - 5)
    assert stage.reason("bj", "own") == reason
    await stage.until(lambda: stage.phase("bj", "own") == "Failed", 7)
    assert stage.reason("bj", "own") == "PendingDeadlineExceeded"
    assert stage.azure.get("/jobs/own") is None


async def test_a_job_whose_id_is_taken_fails_at_its_pending_deadline(stage: Stage) -> None:
    await stage.ready_pool()
    stage.azure.post("/jobs", {"id": "own", "poolInfo": {"poolId": "cpu"}})
    stage.apply(job("own", tasks=sleeping(1, 30), **_LIMIT))
    await stage.run_for(SECONDS - 5)
    assert stage.reason("bj", "own") == "OwnershipConflict"
    before = len(stage.azure.changes())
    await stage.until(lambda: stage.phase("bj", "own") == "Failed", 7)
    assert stage.reason("bj", "own") == "PendingDeadlineExceeded"
    await stage.run_for(60)
    stage.delete("bj", "own")
    await stage.until(lambda: stage.gone("bj", "own"), 60)
    assert len(stage.azure.changes()) == before
    assert (stage.azure.get("/jobs/own") or {})["state"] == "active"


async def test_a_job_whose_id_is_taken_can_be_terminated(stage: Stage) -> None:
    await stage.ready_pool()
    stage.azure.post("/jobs", {"id": "own", "poolInfo": {"poolId": "cpu"}})
    stage.apply(job("own", tasks=sleeping(1, 30)))
    await stage.until(lambda: stage.reason("bj", "own") == "OwnershipConflict", 60)
    stage.annotate("bj", "own", terminate="now")
    await stage.until(lambda: stage.phase("bj", "own") == "Failed", 60)
    assert stage.reason("bj", "own") == "JobTerminated"
    assert (stage.azure.get("/jobs/own") or {})["state"] == "active"


@pytest.mark.parametrize("known", [False, True])
async def test_a_job_whose_account_is_not_ready_fails_at_its_pending_deadline(stage: Stage, known: bool) -> None:
    """Whether or not its account was ready before."""
    if known:
        await stage.ready_pool()
    stage.azure.fault(status=403, code="AuthenticationFailed")
    if not known:
        stage.apply(*stage.account_objects())
    await stage.until(lambda: stage.phase("bacc", "main") not in {"", "Connected"}, 600)
    stage.apply(job("own", accountRef=_ACCOUNT, tasks=sleeping(1, 30), **_LIMIT))
    await stage.run_for(SECONDS - 5)
    assert stage.phase("bj", "own") != "Failed"
    await stage.until(lambda: stage.phase("bj", "own") == "Failed", 7)
    assert stage.reason("bj", "own") == "PendingDeadlineExceeded"


@pytest.mark.parametrize("where", ["object", "namespace"])
async def test_the_deadline_does_not_end_a_job_that_is_held(stage: Stage, where: str) -> None:
    """It is the operator that does not create the job, so the time says nothing about its pool."""
    await stage.ready_pool()
    held = {"azurebatch.io/reconcile-policy": "skip"}
    body = job("own", tasks=sleeping(1, 30), **_LIMIT)
    if where == "object":
        body = {**body, "metadata": {**body["metadata"], "annotations": held}}
    else:
        stage.annotate("namespace", "default", "", reconcile_policy="skip")
        await stage.run_for(60)
    stage.apply(body)
    await stage.run_for(SECONDS + 60)
    assert stage.phase("bj", "own") == "Skipped"
    assert stage.condition("bj", "own", "Failed") == {}
    assert stage.azure.get("/jobs/own") is None


async def test_the_deadline_ends_a_job_whose_job_is_to_outlive_it(stage: Stage) -> None:
    """With detach-on-delete the operator creates the job, so it is the pool that is waited for."""
    body = job("own", poolRef={"name": "nowhere"}, tasks=sleeping(1, 30), **_LIMIT)
    annotations = {"azurebatch.io/reconcile-policy": "detach-on-delete"}
    await stage.ready_pool()
    stage.apply({**body, "metadata": {**body["metadata"], "annotations": annotations}})
    await stage.until(lambda: stage.phase("bj", "own") == "Failed", SECONDS + 7)
    assert stage.reason("bj", "own") == "PendingDeadlineExceeded"


async def test_a_job_that_lost_its_marker_is_not_ended_as_one_that_never_was(stage: Stage) -> None:
    """It runs on: `az batch job set --metadata` replaces all items, and putting the marker back repairs it."""
    await stage.ready_pool()
    stage.apply(job("own", tasks=sleeping(1, 36_000)))
    await stage.until(lambda: stage.phase("bj", "own") == "Running", 600)
    marked = stage.azure.get("/jobs/own")["metadata"]
    stage.azure.patch("/jobs/own", {"metadata": []})
    await stage.until(lambda: stage.reason("bj", "own") == "OwnershipConflict", 600)
    stage.annotate("bj", "own", terminate="1")
    await stage.run_for(600)
    assert stage.phase("bj", "own") != "Failed"
    stage.azure.patch("/jobs/own", {"metadata": marked})
    await stage.until(lambda: stage.phase("bj", "own") == "Failed", 900)
    assert stage.azure.calls("Jobs_TerminateJob") == 1
