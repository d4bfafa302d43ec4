"""Pools scaled by formulas."""

from __future__ import annotations

import datetime

import pytest
from azure.batch import BatchClient, models
from azure.core.exceptions import HttpResponseError, ResourceExistsError

from support.batch_bodies import MACHINE, add_task, make_job, make_pool, wait_steady
from support.emulator_thread import EmulatorThread, wait_until

MINUTES = datetime.timedelta(minutes=5)


def enable(client: BatchClient, formula: str | None, interval: datetime.timedelta | None = MINUTES) -> None:
    content = models.BatchPoolEnableAutoScaleContent(
        auto_scale_formula=formula, auto_scale_evaluation_interval=interval
    )
    client.enable_pool_auto_scale("pool", content)


def evaluated(client: BatchClient, formula: str) -> models.AutoScaleRun:
    content = models.BatchPoolEvaluateAutoScaleContent(auto_scale_formula=formula)
    return client.evaluate_pool_auto_scale("pool", content)


def test_a_pool_follows_its_formula(client: BatchClient) -> None:
    client.create_pool(
        models.BatchPoolCreateContent(
            id="pool",
            vm_size="standard_d2s_v3",
            virtual_machine_configuration=MACHINE,
            enable_auto_scale=True,
            auto_scale_formula="$TargetDedicatedNodes = min(3, $PendingTasks); $NodeDeallocationOption = taskcompletion;",
            auto_scale_evaluation_interval=MINUTES,
        )
    )
    assert client.get_pool("pool").enable_auto_scale is True
    make_job(client)
    for number in range(5):
        add_task(client, f"t{number}", "/bin/sleep 600")
    wait_until(lambda: client.get_pool("pool").current_dedicated_nodes == 3, "three nodes")
    pool = wait_steady(client)
    assert pool.auto_scale_run.results.startswith("$TargetDedicatedNodes=")
    assert pool.auto_scale_run.error is None
    with pytest.raises(ResourceExistsError) as caught:
        client.resize_pool("pool", models.BatchPoolResizeContent(target_dedicated_nodes=1))
    assert caught.value.error.code == "OperationNotValidOnPool"
    client.delete_job("job")
    wait_until(lambda: client.get_pool("pool").target_dedicated_nodes == 0, "no node is wanted any more")


def test_enable_change_and_disable(client: BatchClient, emulator: EmulatorThread) -> None:
    make_pool(client, nodes=0)
    with pytest.raises(HttpResponseError) as caught:
        enable(client, None)
    assert caught.value.error.code == "MissingRequiredProperty"
    with emulator.paused():
        enable(client, "$TargetDedicatedNodes = 1;")
        pool = client.get_pool("pool")
        assert (pool.enable_auto_scale, pool.auto_scale_evaluation_interval) == (True, MINUTES)
        assert pool.auto_scale_run is None
        with pytest.raises(HttpResponseError) as again:
            client.enable_pool_auto_scale(
                "pool", models.BatchPoolEnableAutoScaleContent(auto_scale_formula="a=1;"), retry_total=0
            )
        assert (again.value.status_code, again.value.error.code) == (503, "TooManyEnableAutoScaleRequests")
    wait_until(lambda: client.get_pool("pool").current_dedicated_nodes == 1, "one node")
    wait_steady(client)
    client.disable_pool_auto_scale("pool")
    pool = client.get_pool("pool")
    assert (pool.enable_auto_scale, pool.auto_scale_formula, pool.target_dedicated_nodes) == (False, None, 1)


def test_evaluating(client: BatchClient) -> None:
    make_pool(client, nodes=0)
    with pytest.raises(ResourceExistsError) as caught:
        evaluated(client, "a=1;")
    assert caught.value.error.code == "OperationNotValidOnPool"
    enable(client, "$TargetDedicatedNodes = 0;")
    run = evaluated(client, "$TargetDedicatedNodes = 2.5; x = 1;")
    assert run.results == "$TargetDedicatedNodes=3;$TargetLowPriorityNodes=0;$NodeDeallocationOption=requeue;$x=1"
    assert client.get_pool("pool").target_dedicated_nodes == 0
    run = evaluated(client, "$something_useless")
    assert run.error.code == "AutoScalingFormulaEvaluationError"
    assert dict(run.error)["values"] == [
        {"name": "Message", "value": "Line 1, Col 1: Undefined symbol: $something_useless"}
    ]
    assert run.results == "$TargetDedicatedNodes=0;$TargetLowPriorityNodes=0;$NodeDeallocationOption=requeue"
    assert evaluated(client, "$TargetDedicatedNodes = -1;").error.code == "AutoScalingFormulaEvaluationError"


@pytest.mark.parametrize(
    ("formula", "code"),
    [("$TargetDedicatedNodes = (1;", "AutoScalingFormulaSyntaxError"), ("a = 1;" * 2000, "AutoScalingFormulaTooLong")],
)
def test_wrong_formulas_are_refused(client: BatchClient, formula: str, code: str) -> None:
    make_pool(client, nodes=0)
    with pytest.raises(HttpResponseError) as caught:
        enable(client, formula)
    assert (caught.value.status_code, caught.value.error.code) == (400, code)
    with pytest.raises(HttpResponseError) as caught:
        enable(client, "a = 1;", datetime.timedelta(minutes=4))
    assert caught.value.error.code == "InvalidPropertyValue"
