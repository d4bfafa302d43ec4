"""The plan of a BatchOperation: what is written before a call, how results are bounded, and what a target tells."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.operation_status import MAX_RESULTS
from azure_batch_operator.api.resource import Resource
from azure_batch_operator.reconcile.adoption import NO_OTHERS
from azure_batch_operator.reconcile.operation import lifecycle as operation
from azure_batch_operator.reconcile.operation.lifecycle import View
from azure_batch_operator.reconcile.operation_order import Chosen, Look, Place, Progress, Reach, Request, Result
from azure_batch_operator.reconcile.operation_verbs import VERBS
from azure_batch_operator.reconcile.plan import AccountView, Plan
from unit.objects import resource

ACCOUNT = AccountView(True, url="https://a", name="team/main")
NOW = 1_800_000_000.0
SPEC: dict[str, Any] = {
    "poolRef": {"name": "cpu"},
    "rebootNode": {"nodes": {"names": ["a", "b", "c"]}},
    "maxConcurrent": 2,
}


def request(verb: str = "rebootNode", size: int = 2) -> Request:
    return Request(verb, {}, Place(pool="cpu"), Reach(None, "team", "cluster", NO_OTHERS), size)


def decided(one: Resource, progress: Progress, verb: str = "rebootNode") -> Plan:
    return operation.plan(one, ACCOUNT, View(request(verb), None, progress), NOW)


def chosen(*targets: str) -> Progress:
    looks = {target: Look(f"idle boot-{target}") for target in targets[:2]}
    return Progress(chosen=Chosen(targets, "created"), looks=looks)


def after(one: Resource, plan: Plan) -> Resource:
    assert plan.status is not None
    return replace(one, status=plan.status)


def test_targets_and_the_first_batch_are_stored_before_the_first_call() -> None:
    one = resource(Kind.OPERATION, SPEC)
    looked_for = decided(one, Progress())
    assert looked_for.operate is not None
    assert (looked_for.operate.choose, looked_for.first, looked_for.status) == (True, None, None)
    plan = decided(one, chosen("a", "b", "c"))
    assert plan.first is not None
    assert plan.first == plan.status
    assert plan.first["targets"] == ["a", "b", "c"]
    assert [(each["target"], each["outcome"], each["before"]) for each in plan.first["results"]] == [
        ("a", "Attempted", "idle boot-a"),
        ("b", "Attempted", "idle boot-b"),
    ]
    assert plan.operate is not None
    assert (dict(plan.operate.attempt), plan.operate.doubt) == ({"a": "idle boot-a", "b": "idle boot-b"}, False)
    assert plan.operate.following == ("c",)
    assert [each.reason for each in plan.events] == ["OperationStarted"]


def test_outcomes_and_the_next_batch_are_one_write() -> None:
    one = resource(Kind.OPERATION, SPEC)
    one = after(one, decided(one, chosen("a", "b", "c")))
    results = {"a": Result("Succeeded", request_id="r"), "b": Result("Failed", "no")}
    plan = decided(one, Progress(results=results, looks={"c": Look("idle boot-c")}))
    assert plan.status is not None
    assert plan.status["counts"] == {"targets": 3, "succeeded": 1, "failed": 1, "unknown": 0, "skipped": 0}
    assert [each["outcome"] for each in plan.status["results"]] == ["Succeeded", "Failed", "Attempted"]
    one = after(one, plan)
    done = decided(one, Progress(results={"c": Result("Succeeded")}))
    assert done.status is not None
    assert (done.status["phase"], done.operate, done.first) == ("Failed", None, None)
    assert "b: no" in next(each["message"] for each in done.status["conditions"] if each["type"] == "Failed")


def test_calls_that_an_earlier_process_attempted_are_uncertain() -> None:
    one = resource(Kind.OPERATION, SPEC)
    one = after(one, decided(one, chosen("a", "b", "c")))
    plan = decided(one, Progress())
    assert plan.operate is not None
    assert (set(plan.operate.attempt), plan.operate.doubt) == ({"a", "b"}, True)
    # The same status: that it is stored is waited for, and nothing is written.
    assert plan.first == one.status
    # And while it is found out about, nothing is decided.
    assert decided(one, Progress(busy=True)) == Plan()


def test_the_policy_skip_shows_outcomes_but_no_attempt() -> None:
    from azure_batch_operator.reconcile.reconcile_policy import observed_only

    one = resource(Kind.OPERATION, SPEC)
    begun = decided(one, chosen("a", "b", "c"))
    held = observed_only(one, begun, NOW)
    assert held.operate is held.first is None
    assert "targets" not in (held.status or {})
    one = after(one, begun)
    results = {"a": Result("Succeeded"), "b": Result("Succeeded")}
    held = observed_only(one, decided(one, Progress(results=results, looks={"c": Look("x")})), NOW)
    assert held.status is not None
    assert [each["outcome"] for each in held.status["results"]] == ["Succeeded"] * 2
    assert "rebootNode" in next(each["message"] for each in held.status["conditions"] if each["type"] == "Skipped")


def test_no_target_is_no_failure() -> None:
    plan = decided(resource(Kind.OPERATION, SPEC), Progress(chosen=Chosen(())))
    assert plan.status is not None
    assert (plan.status["phase"], plan.operate) == ("Succeeded", None)
    assert "no target matched" in plan.status["conditions"][0]["message"]


@pytest.mark.parametrize("outcome", ["Succeeded", "Failed"])
def test_an_operation_goes_with_its_time_however_it_has_ended(outcome: str) -> None:
    one = resource(Kind.OPERATION, SPEC | {"ttlSecondsAfterFinished": 60})
    one = after(one, decided(one, chosen("a")))
    over = decided(one, Progress(results={"a": Result(outcome)}))
    one = after(one, over)
    assert (one.status["phase"], over.requeue_after) == (outcome, 60.0)
    early = operation.plan(one, ACCOUNT, View(request()), NOW + 59)
    assert (early.objects, early.requeue_after) == ((), 1.0)
    (gone,) = operation.plan(one, ACCOUNT, View(request()), NOW + 60).objects
    assert (gone.key, gone.uid) == (one.key, one.uid)


@pytest.mark.parametrize("outcome", ["Failed", "Unknown"])
def test_failures_and_unknown_outcomes_count_towards_max_failures(outcome: str) -> None:
    """Up to it the operation is complete; beyond it, `Stop` attempts nothing more."""
    for allowed, phase, skipped in ((1, "Failed", 1), (2, "Running", 0)):
        one = resource(Kind.OPERATION, SPEC | {"pausePolicy": "Stop", "maxFailures": allowed})
        one = after(one, decided(one, chosen("a", "b", "c")))
        results = {"a": Result(outcome), "b": Result(outcome)}
        plan = decided(one, Progress(results=results, looks={"c": Look("idle boot-c")}))
        assert plan.status is not None
        assert (plan.status["phase"], plan.status["counts"]["skipped"]) == (phase, skipped)
    done = decided(after(one, plan), Progress(results={"c": Result("Succeeded")}))
    assert done.status is not None
    assert done.status["phase"] == "Succeeded"


def test_failures_stay_when_there_is_no_room_for_all_results() -> None:
    entries = [{"target": f"n{each}", "outcome": "Failed" if each < 5 else "Succeeded"} for each in range(700)]
    kept, omitted = operation._bounded([*entries, {"target": "x", "outcome": "Attempted"}])
    assert (len(kept), omitted) == (MAX_RESULTS, 701 - MAX_RESULTS)
    assert [each["target"] for each in kept[:5]] == [f"n{each}" for each in range(5)]
    assert kept[-1]["target"] == "x"
    long = [{"target": f"n{each}", "outcome": "Failed", "message": "m" * 1000} for each in range(200)]
    kept, omitted = operation._bounded(long)
    assert len(kept) + omitted == 200
    assert sum(len(str(each)) for each in kept) < 110_000


def test_values_are_bounded_and_what_is_left_out_is_counted() -> None:
    values, omitted = operation._bounded_values(
        Result("Succeeded", values=tuple((f"f{each}", "x" * 300) for each in range(90)))
    )
    assert len(values) + omitted == 90
    assert sum(len(text) for text in values.values()) < 8 * 1024


NODE = {"state": "idle", "lastBootTime": "1", "schedulingState": "enabled"}


RESIZE = {"allocationState": "resizing", "allocationStateTransitionTime": "1"}


@pytest.mark.parametrize(
    ("verb", "before", "seen", "done"),
    [
        ("rebootNode", "idle 1", NODE, False),
        ("rebootNode", "idle 1", NODE | {"state": "rebooting"}, True),
        ("rebootNode", "idle 1", NODE | {"lastBootTime": "2"}, True),
        ("rebootNode", "starting 1", NODE | {"state": "starting"}, False),
        ("rebootNode", "idle 1", NODE | {"state": "unusable"}, None),
        ("rebootNode", "idle 1", None, None),
        ("rebootNode", "starttaskfailed 1", NODE | {"state": "starttaskfailed"}, False),
        ("reimageNode", "idle 1", NODE | {"state": "reimaging"}, True),
        ("deallocateNode", "idle 1", NODE, False),
        ("deallocateNode", "idle 1", NODE | {"state": "deallocating"}, True),
        ("deallocateNode", "starting 1", NODE | {"state": "starting", "schedulingState": "disabled"}, True),
        ("startNode", "deallocated 1", NODE | {"state": "deallocated"}, False),
        ("startNode", "deallocated 1", NODE | {"state": "starting"}, True),
        ("disableNodeScheduling", "idle 1", NODE, False),
        ("disableNodeScheduling", "idle 1", NODE | {"schedulingState": "disabled"}, True),
        ("enableNodeScheduling", "idle 1", NODE, True),
        ("removeNodes", "idle 1", NODE, False),
        ("removeNodes", "idle 1", NODE | {"state": "leavingpool"}, True),
        ("removeNodes", "idle 1", None, True),
        ("stopResize", "resizing 1", RESIZE, False),
        ("stopResize", "resizing 1", RESIZE | {"allocationStateTransitionTime": "2"}, None),
        ("stopResize", "resizing 1", RESIZE | {"allocationState": "stopping"}, True),
        ("stopResize", "resizing 1", RESIZE | {"allocationState": "steady"}, None),
        (
            "stopResize",
            "resizing 1",
            RESIZE | {"allocationState": "steady", "resizeErrors": [{"code": "ResizeStopped"}]},
            True,
        ),
        ("stopResize", "resizing 1", None, None),
        ("terminateJob", "", {"state": "active"}, False),
        ("terminateJob", "", {"state": "terminating"}, True),
        ("terminateTasks", "e1", {"state": "running", "eTag": "e2"}, False),
        ("terminateTasks", "e1", {"state": "completed", "eTag": "e2"}, True),
        ("reactivateTasks", "e1", {"state": "completed", "eTag": "e1"}, False),
        # It has run and failed again since.
        ("reactivateTasks", "e1", {"state": "completed", "eTag": "e3"}, True),
        ("reactivateTasks", "e1", {"state": "active", "eTag": "e2"}, True),
        ("reactivateTasks", "e1", None, None),
        ("reactivateTasks", "e1 1", {"state": "completed", "eTag": "e3", "creationTime": "2"}, None),
        ("terminateSchedule", "", {"state": "active"}, False),
    ],
)
def test_a_target_tells_whether_it_was_done(
    verb: str, before: str, seen: dict[str, Any] | None, done: bool | None
) -> None:
    assert VERBS[verb].done(before, seen) is done


def test_an_option_that_waits_for_tasks_hides_whether_a_call_was_taken() -> None:
    reboot = VERBS["rebootNode"]
    assert reboot.tells({})
    assert reboot.tells({"nodeRebootOption": "Requeue"})
    assert not reboot.tells({"nodeRebootOption": "TaskCompletion"})


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ({"code": "C"}, "C"),
        ({"message": "wrong"}, "wrong"),
        ({"values": [{"name": "a", "value": "b"}]}, "Azure Batch returned an error without a code and a message"),
        ({"Code": "C"}, "Azure Batch returned an error without a code and a message"),
        # What is left of an error whose members all have other types.
        ({}, "Azure Batch returned an error without a code and a message"),
    ],
)
def test_a_formula_with_an_error_that_cannot_be_read_is_not_evaluated(error: dict[str, Any], expected: str) -> None:
    assert VERBS["evaluateAutoScale"].problem({"results": "", "error": error}) == expected
    assert VERBS["evaluateAutoScale"].problem({"results": "$a=1"}) is None


def test_values_of_answers() -> None:
    shown = dict(
        VERBS["evaluateAutoScale"].values({"results": "$TargetDedicatedNodes=3;$NodeDeallocationOption=requeue;$a=1"})
    )
    assert shown == {"$TargetDedicatedNodes": "3", "$NodeDeallocationOption": "requeue", "$a": "1"}
    problem = VERBS["evaluateAutoScale"].problem({"results": "", "error": {"code": "C", "message": "wrong"}})
    assert problem == "C: wrong"
    info = {"state": "completed", "result": "failure", "exitCode": 3}
    item = {"nodeId": "n", "jobPreparationTaskExecutionInfo": info}
    assert dict(VERBS["jobPreparationStatus"].values(item)) == {
        "n": "preparation completed, failure, exit code 3; release not run"
    }
    assert dict(
        VERBS["listFiles"].values({"name": "a", "isDirectory": False, "properties": {"contentLength": 13}})
    ) == {"a": "13 bytes"}
