"""A reference that leads nowhere is said loudly, at an object that the user looks at, whenever it breaks."""

from __future__ import annotations

from typing import Any

import pytest

from support.stage import Stage, job, pool, schedule, sleeping, task, thing


async def test_a_running_job_whose_batch_pool_is_gone_says_so(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(job("own", tasks=sleeping(1, 600)))
    await stage.until(lambda: stage.phase("bj", "own") == "Running", 900)
    stage.annotate("bp", "cpu", reconcile_policy="detach-on-delete")
    await stage.run_for(5)
    stage.delete("bp", "cpu")
    await stage.until(lambda: stage.gone("bp", "cpu"), 300)
    await stage.until(lambda: stage.reason("bj", "own") == "PoolNotFound", 60)
    await stage.until(lambda: stage.events("bj", "own", "PoolNotFound"), 30)
    assert [each["type"] for each in stage.events("bj", "own", "PoolNotFound")] == ["Warning"]
    await stage.until(lambda: stage.status("bj", "own")["taskCounts"]["running"] == 1, 300)
    # It goes on, and ends as its tasks do.
    await stage.until(lambda: stage.phase("bj", "own") == "Succeeded", 900)


async def test_wrong_references_are_warnings(stage: Stage) -> None:
    stage.apply(*stage.account_objects())
    stage.apply(job("own", poolRef={"name": "cpuu"}, tasks=sleeping(1, 5)), pool("p", accountRef={"name": "mainn"}))
    await stage.until(lambda: stage.events("bj", "own", "PoolNotFound"), 60)
    await stage.until(lambda: stage.events("bp", "p", "AccountNotFound"), 60)
    assert {each["type"] for each in (*stage.events("bj", "own"), *stage.events("bp", "p"))} == {"Warning"}


async def test_a_pool_of_the_namespace_of_the_account_is_named_by_its_id(stage: Stage) -> None:
    stage.apply({"kind": "Namespace", "metadata": {"name": "platform"}})
    secret, account = stage.account_objects(namespace="platform")
    account["spec"]["allowedNamespaces"] = {"all": True}
    reference = {"name": "main", "namespace": "platform"}
    stage.apply(secret, account, job("own", accountRef=reference, tasks=sleeping(1, 5)))
    await stage.until(lambda: stage.reason("bj", "own") == "PoolNotFound", 60)
    hint = "; for a pool of another namespace give its ID in spec.poolInfo.poolId"
    assert stage.condition("bj", "own")["message"].endswith(hint)


@pytest.mark.parametrize("suspend", [False, True])
async def test_the_pool_of_a_job_to_be_is_the_one_that_the_corrected_spec_names(stage: Stage, suspend: bool) -> None:
    """The column went on to show the typing error."""
    stage.apply(*stage.account_objects(), pool("cpu", id="team-a-cpu"))
    stage.apply(job("own", poolRef={"name": "cpuu"}, tasks=sleeping(1, 5), suspend=suspend))
    await stage.until(lambda: stage.status("bj", "own").get("poolId") == "cpuu", 60)
    await stage.until(lambda: stage.ready("bp", "cpu"), 600)
    hold = stage.azure.hold("Jobs_CreateJob")
    stage.patch("bj", "own", {"spec": {"poolRef": {"name": "cpu"}}})
    await stage.until(lambda: stage.status("bj", "own")["poolId"] == "team-a-cpu", 60)
    hold.release()


async def test_a_job_whose_values_are_missing_shows_the_pool_that_the_corrected_spec_names(stage: Stage) -> None:
    """What stands in the status already used to count for more."""
    variable = {"name": "MODE", "valueFrom": {"configMapKeyRef": {"name": "none", "key": "mode"}}}
    stage.apply(*stage.account_objects(), pool("cpu", id="team-a-cpu"))
    tasks = [{"id": "t", "commandLine": "true", "environmentSettings": [variable]}]
    stage.apply(job("own", poolRef={"name": "cpuu"}, tasks=tasks))
    await stage.until(lambda: stage.status("bj", "own").get("poolId") == "cpuu", 60)
    await stage.until(lambda: stage.ready("bp", "cpu"), 600)
    stage.patch("bj", "own", {"spec": {"poolRef": {"name": "cpu"}}})
    await stage.until(lambda: stage.reason("bj", "own") == "ConfigMapNotFound", 60)
    assert stage.status("bj", "own")["poolId"] == "team-a-cpu"


async def test_objects_of_the_same_apply_are_no_wrong_references_with_a_slow_clock(
    stage: Stage,
) -> None:
    stage.apply(*stage.account_objects())
    await stage.until(lambda: stage.ready("bacc", "main"), 60)
    stage.clock.operator_skew = -3.0
    stage.apply(job("own", tasks=sleeping(1, 5)))
    await stage.run_for(2)
    stage.apply(pool("cpu"))
    await stage.until(lambda: stage.phase("bj", "own") == "Running", 600)
    assert not stage.events("bj", "own", "PoolNotFound")


async def test_a_slow_clock_delays_neither_a_job_nor_its_status(stage: Stage) -> None:
    """Objects from the future were waited for in silence until the operator's clock had reached them."""
    await stage.ready_pool()
    stage.clock.operator_skew = -600.0
    stage.apply(job("own", tasks=sleeping(1, 5), backoff={"maxRequeues": 3, "fallbackPoolRef": {"name": "cpuu"}}))
    stage.apply(job("wrong", poolRef={"name": "cpuu"}, tasks=sleeping(1, 5)))
    await stage.until(lambda: stage.azure.get("/jobs/own"), 30)
    await stage.until(lambda: stage.reason("bj", "wrong") == "PoolNotFound", 30)


async def test_a_task_whose_job_has_no_pool_says_which_of_the_two_is_missing(stage: Stage) -> None:
    """It used to say that the BatchJob does not exist."""
    stage.apply(job("own"), task("one", "own"))
    await stage.until(lambda: stage.reason("bt", "one") == "PoolNotFound", 60)
    message = stage.condition("bt", "one", "Ready")["message"]
    assert message.startswith("BatchJob 'own': spec.poolRef names BatchPool 'cpu', which does not exist")
    stage.delete("bj", "own")
    await stage.until(lambda: stage.reason("bt", "one") == "JobNotFound", 60)
    await stage.ready_pool()
    stage.apply(job("own"))
    await stage.until(lambda: stage.phase("bt", "one") == "Succeeded", 600)


def _env(**source: Any) -> list[Any]:
    return [{"name": "TOKEN", "valueFrom": source}]


_SECRET, _MAP = {"name": "wrong", "key": "k"}, {"name": "wrong", "key": "k"}
_AUTH = {"sharedKey": {"secretRef": _SECRET}}
_SLEEP = sleeping(1, 600)
WRONG: tuple[tuple[Any, str], ...] = (
    (thing("BatchAccount", "own", endpoint="https://a.westeurope.batch.azure.com", auth=_AUTH), "SecretNotFound"),
    (pool("own", accountRef={"name": "wrong"}), "AccountNotFound"),
    (pool("own", pricesFrom=_MAP), "ConfigMapNotFound"),
    (
        pool("own", startTask={"commandLine": "true", "environmentSettings": _env(secretKeyRef=_SECRET)}),
        "SecretNotFound",
    ),
    (job("own", poolRef={"name": "wrong"}, tasks=_SLEEP), "PoolNotFound"),
    (
        job("own", poolRef=None, poolInfo={"poolId": "cpu"}, accountRef={"name": "wrong"}, tasks=_SLEEP),
        "AccountNotFound",
    ),
    (job("own", backoff={"maxRequeues": 1, "fallbackPoolRef": {"name": "wrong"}}, tasks=_SLEEP), "PoolNotFound"),
    (job("own", tasksFrom=[{"configMapKeyRef": _MAP}]), "ConfigMapNotFound"),
    (job("own", tasks=_SLEEP, commonEnvironmentSettings=_env(configMapKeyRef=_MAP)), "ConfigMapNotFound"),
    (job("own", tasks=_SLEEP, logs={"upload": {"containerUrlFrom": {"secretKeyRef": _SECRET}}}), "SecretNotFound"),
    (task("own", "wrong"), "JobNotFound"),
    (task("own", "steps", dependsOnRefs=[{"name": "wrong"}]), "DependencyNotFound"),
    (task("own", "steps", environmentSettings=_env(secretKeyRef=_SECRET)), "SecretNotFound"),
    (thing("BatchTask", "own", jobId="steps", accountRef={"name": "wrong"}, commandLine="true"), "AccountNotFound"),
    (
        schedule(
            "own",
            schedule={"recurrenceInterval": "PT1H"},
            jobSpecification={"poolRef": {"name": "wrong"}, "jobManagerTask": {"id": "m", "commandLine": "true"}},
        ),
        "PoolNotFound",
    ),
)


@pytest.mark.parametrize(
    ("body", "reason"), WRONG, ids=[f"{body['kind']}-{reason}-{at}" for at, (body, reason) in enumerate(WRONG)]
)
async def test_a_typing_error_in_any_reference_is_one_warning(stage: Stage, body: Any, reason: str) -> None:
    await stage.ready_pool()
    stage.apply(job("steps"))
    await stage.until(lambda: stage.azure.get("/jobs/steps"), 60)
    stage.apply(body)
    kind = body["kind"].lower()
    await stage.until(lambda: stage.events(kind, "own", reason), 120)
    await stage.run_for(600)
    events = stage.events(kind, "own", reason)
    assert [each["type"] for each in events] == ["Warning"]
    assert "wrong" in events[0]["message"]
