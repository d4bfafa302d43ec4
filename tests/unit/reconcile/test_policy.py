"""Whose the life of an object in Azure is: policies of object, namespace and operator; adoption, and letting go."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from azure_batch_operator.api.account import AllowedNamespaces
from azure_batch_operator.api.base import ADOPT, ADOPTED_METADATA, OWNER_METADATA, RECONCILE_POLICY, TERMINATE
from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Owner
from azure_batch_operator.reconcile import ownership
from azure_batch_operator.reconcile.job import lifecycle as jobs
from azure_batch_operator.reconcile.job.scope import JobScope
from azure_batch_operator.reconcile.plan import Absent, Plan
from azure_batch_operator.reconcile.pool import lifecycle as pools
from azure_batch_operator.reconcile.pool.changes import with_note
from azure_batch_operator.reconcile.pool.scope import PoolView
from azure_batch_operator.reconcile.reconcile_policy import (
    Above,
    Policy,
    above,
    detached,
    halts,
    observed_only,
    policy_of,
    unknown,
)
from azure_batch_operator.reconcile.selectors import allows
from azure_batch_operator.reconcile.target_pool import TargetPoolView
from unit.objects import ACCOUNT, CLUSTER, JOB_SPEC, NOW, POOL_SPEC, owned, resource

FOREIGN = {
    "id": "one",
    "eTag": "0x1",
    "state": "active",
    "allocationState": "steady",
    **{name: POOL_SPEC[name] for name in ("vmSize", "virtualMachineConfiguration", "targetDedicatedNodes")},
    "metadata": [{"name": "team", "value": "a"}],
}


def pool(**options: Any) -> Any:
    return resource(Kind.POOL, POOL_SPEC, **options)


def decide(each: Any, remote: Any) -> Plan:
    return pools.plan(pools.PoolScope(each, ACCOUNT, PoolView(remote), CLUSTER, NOW))


@pytest.mark.parametrize(
    ("own", "namespace", "default", "expected"),
    [
        (None, None, Policy.MANAGE, Policy.MANAGE),
        (None, None, Policy.SKIP, Policy.SKIP),
        (None, "skip", Policy.MANAGE, Policy.SKIP),
        ("manage", "skip", Policy.MANAGE, Policy.MANAGE),
        ("detach-on-delete", None, Policy.MANAGE, Policy.DETACH),
        ("Manage", None, Policy.MANAGE, None),
        (None, "delete", Policy.MANAGE, None),
    ],
)
def test_the_nearest_statement_counts_and_a_wrong_one_is_none(
    own: str | None, namespace: str | None, default: Policy, expected: Policy | None
) -> None:
    annotations = {RECONCILE_POLICY: own} if own else {}
    around = {RECONCILE_POLICY: namespace} if namespace else {}
    resource = pool(annotations=annotations)
    assert policy_of(resource, above(resource, around, None), default) is expected


SILENT = Above(None, "namespace 'default'")


@pytest.mark.parametrize(
    ("own", "schedule", "uid", "deleting", "expected"),
    [
        (None, "detach-on-delete", "u-s", True, Policy.DETACH),
        (None, "skip", "u-s", True, Policy.SKIP),
        (None, "keep", "u-s", True, None),
        ("manage", "detach-on-delete", "u-s", True, Policy.MANAGE),
        (None, "manage", "u-s", True, Policy.SKIP),
        (None, None, "u-s", True, Policy.SKIP),
        (None, "detach-on-delete", "u-later", True, Policy.SKIP),
        (None, "detach-on-delete", "u-s", False, Policy.SKIP),
    ],
)
def test_what_a_schedule_made_is_kept_like_the_schedule_when_it_is_deleted(
    own: str | None, schedule: str | None, uid: str, deleting: bool, expected: Policy | None
) -> None:
    """Its namespace says skip; `u-s` is the schedule that made it."""
    run = replace(
        resource(Kind.JOB, JOB_SPEC, annotations={RECONCILE_POLICY: own} if own else {}, deleting=deleting),
        controller=Owner("BatchJobSchedule", "nightly", "u-s"),
    )
    stated = {RECONCILE_POLICY: schedule} if schedule else {}
    made = replace(resource(Kind.SCHEDULE, {}, annotations=stated, deleting=True), uid=uid)
    around = {RECONCILE_POLICY: "skip"}
    assert policy_of(run, above(run, around, made), Policy.MANAGE) is expected
    alive = replace(made, deleting=False)
    assert policy_of(run, above(run, around, alive), Policy.MANAGE) is policy_of(
        run, above(run, around, None), Policy.MANAGE
    )


@pytest.mark.parametrize("policy", [Policy.MANAGE, Policy.DETACH])
def test_held_deleted_and_stopped_objects_halt_immediately(policy: Policy) -> None:
    own = resource(Kind.JOB, JOB_SPEC)
    assert not halts(own, policy)
    assert halts(own, Policy.SKIP)
    assert halts(own, None), "what cannot be known to be managed is not managed"
    assert halts(resource(Kind.JOB, JOB_SPEC, deleting=True), policy)
    assert halts(resource(Kind.JOB, JOB_SPEC | {"suspend": True}), policy)
    assert halts(resource(Kind.TASK, {}, annotations={TERMINATE: "1"}), policy)


def test_an_unknown_policy_stalls_and_names_the_values() -> None:
    plan = unknown(pool(annotations={RECONCILE_POLICY: "delete"}), SILENT, NOW)
    ready = next(each for each in (plan.status or {})["conditions"] if each["type"] == "Ready")
    assert ready["reason"] == "InvalidReconcilePolicy"
    assert "manage, skip or detach-on-delete" in ready["message"]
    assert not plan.calls


def test_an_unknown_policy_does_not_delete_but_can_be_forced() -> None:
    wrong = {RECONCILE_POLICY: "delete"}
    assert unknown(pool(annotations=wrong, deleting=True, finalizer=True), SILENT, NOW).finalizer is None
    forced = wrong | {"azurebatch.io/force-finalize": "true"}
    assert unknown(pool(annotations=forced, deleting=True, finalizer=True), SILENT, NOW).finalizer == "remove"


def test_skip_says_what_it_does_not_do() -> None:
    each = pool()
    plan = observed_only(each, decide(each, Absent.NOT_FOUND), NOW)
    assert not plan.calls
    assert plan.finalizer is None
    assert plan.status is not None
    [told] = plan.status["conditions"]
    assert (told["type"], told["status"], told["reason"]) == ("Skipped", "True", "ReconcileSkipped")
    assert "create_pool" in told["message"]


def test_skip_shows_what_is_there() -> None:
    each = pool(finalizer=True)
    remote = with_note(owned(FOREIGN | {"metadata": []}, each), each.spec)
    plan = decide(each, remote)
    shown = observed_only(each, plan, NOW).status
    assert plan.status is not None
    assert shown is not None
    verdict = {"conditions"}
    assert {name: shown[name] for name in shown if name not in verdict} == {
        name: plan.status[name] for name in plan.status if name not in verdict
    }
    told = {each["type"]: (each["status"], each["reason"]) for each in shown["conditions"]}
    assert told == {"Ready": ("True", "ReconcileSkipped"), "Skipped": ("True", "ReconcileSkipped")}


def test_skip_and_detach_leave_azure_alone_on_deletion() -> None:
    each = pool(deleting=True, finalizer=True)
    for plan in (observed_only(each, decide(each, owned(FOREIGN, each)), NOW), detached(each)):
        assert plan.finalizer == "remove"
        assert not plan.calls


def test_foreign_resources_are_adopted_only_on_request() -> None:
    assert not decide(pool(), FOREIGN).calls
    plan = decide(pool(annotations={ADOPT: "true"}), FOREIGN)
    assert plan.finalizer == "add"
    [call] = plan.calls
    names = [item["name"] for item in (call.body or {})["metadata"]]
    assert call.verb == "update_pool"
    assert names == ["team", OWNER_METADATA, ADOPTED_METADATA]


def test_a_job_is_adopted_in_the_same_way() -> None:
    each = resource(Kind.JOB, JOB_SPEC, annotations={ADOPT: "true"})
    remote = {"id": "one", "eTag": "0x1", "state": "active"}
    plan = jobs.plan(JobScope(each, ACCOUNT, TargetPoolView("cpu"), remote, None, CLUSTER, NOW))
    assert [call.verb for call in plan.calls] == ["update_job"]


def adopted_by(each: Any) -> dict[str, Any]:
    return ownership.with_marker(FOREIGN, ownership.marker(CLUSTER, each), adopted=True)


def test_an_adopted_resource_outlives_its_object_unless_the_policy_is_manage() -> None:
    gone = pool(deleting=True, finalizer=True)
    plan = decide(gone, adopted_by(gone))
    assert plan.finalizer == "remove"
    assert not plan.calls
    told = pool(deleting=True, finalizer=True, annotations={RECONCILE_POLICY: "manage"})
    assert [call.verb for call in decide(told, adopted_by(told)).calls] == ["delete_pool"]


LABELS = {"team": "a", "tier": "gold"}


@pytest.mark.parametrize(
    ("allowed", "expected"),
    [
        ({}, False),
        ({"names": ["other"]}, False),
        ({"names": ["here"]}, True),
        ({"all": True}, True),
        ({"all": False}, False),
        ({"selector": {}}, True),
        ({"selector": {"matchLabels": {"team": "a"}}}, True),
        ({"selector": {"matchLabels": {"team": "a", "tier": "tin"}}}, False),
        ({"selector": {"matchExpressions": [{"key": "team", "operator": "In", "values": ["a", "b"]}]}}, True),
        ({"selector": {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}}, False),
        ({"selector": {"matchExpressions": [{"key": "zone", "operator": "NotIn", "values": ["a"]}]}}, True),
        ({"selector": {"matchExpressions": [{"key": "team", "operator": "NotIn", "values": ["a"]}]}}, False),
        ({"selector": {"matchExpressions": [{"key": "tier", "operator": "Exists"}]}}, True),
        ({"selector": {"matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]}}, False),
        ({"selector": {"matchLabels": {"team": "b"}}, "names": ["here"]}, True),
    ],
)
def test_namespaces_are_named_selected_or_all(allowed: dict[str, Any], expected: bool) -> None:
    assert allows(AllowedNamespaces.model_validate(allowed), "here", LABELS) is expected


def test_denied_namespaces_are_reported() -> None:
    assert not allows(None, "here", LABELS)


def test_adoption_does_not_write_over_what_another_client_has_just_written() -> None:
    plan = decide(pool(annotations={ADOPT: "true"}), FOREIGN | {"eTag": "0x1"})
    assert [call.if_match for call in plan.calls] == ["0x1"]
