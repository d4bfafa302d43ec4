"""An object that leaves its resource in Azure Batch goes at once when it is deleted: without a working account or a poll."""

from __future__ import annotations

from typing import Any

import pytest

from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Resource
from azure_batch_operator.reconcile.job import lifecycle as jobs
from azure_batch_operator.reconcile.job.scope import JobScope
from azure_batch_operator.reconcile.plan import Absent, Plan, Unconfirmed
from azure_batch_operator.reconcile.pool import lifecycle as pools
from azure_batch_operator.reconcile.pool.scope import PoolScope, PoolView
from azure_batch_operator.reconcile.schedule import lifecycle as schedules
from azure_batch_operator.reconcile.schedule.lifecycle import JobsView, ScheduleScope
from azure_batch_operator.reconcile.target_pool import TargetPoolView
from azure_batch_operator.reconcile.task import lifecycle as tasks
from azure_batch_operator.reconcile.task.scope import JobView, TaskScope, TaskView
from unit.objects import CLUSTER, JOB_SPEC, NO_ACCOUNT, NOW, POOL_SPEC, TASK_SPEC, resource

SCHEDULE_SPEC: dict[str, Any] = {
    "schedule": {"recurrenceInterval": "PT60M"},
    "jobSpecification": {"poolRef": {"name": "cpu"}, "jobManagerTask": {"id": "m", "commandLine": "true"}},
}
SPECS = {Kind.POOL: POOL_SPEC, Kind.JOB: JOB_SPEC, Kind.SCHEDULE: SCHEDULE_SPEC, Kind.TASK: TASK_SPEC}


def deleted(kind: Kind, **options: Any) -> Resource:
    spec = SPECS[kind] | options.pop("spec", {})
    return resource(kind, spec, deleting=True, finalizer=True, status={"phase": "Ready", "id": "one"}, **options)


def decide(one: Resource) -> Plan:
    """While the account cannot be used, and nothing was listed yet."""
    pool, unknown = TargetPoolView("cpu"), Absent.UNKNOWN
    match one.key.kind:
        case Kind.POOL:
            return pools.plan(PoolScope(one, NO_ACCOUNT, PoolView(unknown), CLUSTER, NOW))
        case Kind.JOB:
            return jobs.plan(JobScope(one, NO_ACCOUNT, pool, unknown, None, CLUSTER, NOW))
        case Kind.SCHEDULE:
            return schedules.plan(ScheduleScope(one, NO_ACCOUNT, pool, unknown, JobsView(), CLUSTER, NOW))
        case _:
            job = JobView(exists=True, id="steps", remote=unknown, used=True)
            return tasks.plan(TaskScope(one, NO_ACCOUNT, job, TaskView(unknown), CLUSTER, NOW))


def test_a_pool_that_is_to_stay_does_not_hold_its_object() -> None:
    decision = decide(deleted(Kind.POOL, spec={"deletionPolicy": "Orphan"}))
    assert (decision.finalizer, decision.unconfirmed) == ("remove", Unconfirmed.DETACHED)
    assert [(event.reason, "pool 'one' is kept" in event.message) for event in decision.events] == [("Detached", True)]


@pytest.mark.parametrize("kind", SPECS)
def test_what_a_user_forces_waits_for_nothing(kind: Kind) -> None:
    decision = decide(deleted(kind, annotations={"azurebatch.io/force-finalize": "true"}))
    assert (decision.finalizer, decision.unconfirmed) == ("remove", Unconfirmed.RELEASED)


def test_a_cron_schedule_has_nothing_in_azure_batch_to_wait_for() -> None:
    decision = decide(deleted(Kind.SCHEDULE, spec={"cron": {"expression": "0 * * * *"}}))
    assert (decision.finalizer, decision.status) == ("remove", None)


@pytest.mark.parametrize("kind", SPECS)
def test_all_others_wait_for_their_account(kind: Kind) -> None:
    decision = decide(deleted(kind))
    assert decision.finalizer is None
    assert "no connection. To remove the object" in str(decision.status)
