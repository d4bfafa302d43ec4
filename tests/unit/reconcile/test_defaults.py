"""Defaults of an account: under what a spec says, never over it."""

from __future__ import annotations

from typing import Any

from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.reconcile.defaults import with_defaults
from unit.objects import JOB_SPEC, POOL_SPEC, TASK_SPEC, resource

DEFAULTS: dict[str, Any] = {
    "defaults": {
        "pool": {
            "resizeTimeout": "PT30M",
            "metadata": [{"name": "team", "value": "a"}, {"name": "cost", "value": "1"}],
        },
        "job": {
            "priority": 5,
            "constraints": {"maxTaskRetryCount": 3},
            "commonEnvironmentSettings": [{"name": "P", "value": "x"}],
        },
    }
}


def test_a_spec_goes_before_a_default_and_lists_are_put_together_by_name() -> None:
    own = POOL_SPEC | {"metadata": [{"name": "team", "value": "b"}]}
    spec = with_defaults(resource(Kind.POOL, own), DEFAULTS).spec
    assert spec["resizeTimeout"] == "PT30M"
    assert spec["metadata"] == [{"name": "cost", "value": "1"}, {"name": "team", "value": "b"}]
    assert spec["targetDedicatedNodes"] == 4
    assert "metadata" not in POOL_SPEC, "what the user wrote stays as it is"


def test_a_member_is_taken_as_a_whole() -> None:
    own = JOB_SPEC | {"priority": -1, "constraints": {"maxWallClockTime": "PT1H"}}
    spec = with_defaults(resource(Kind.JOB, own), DEFAULTS).spec
    assert (spec["priority"], spec["constraints"]) == (-1, {"maxWallClockTime": "PT1H"})


def test_jobs_of_schedules_have_them_once() -> None:
    native = {"schedule": {}, "jobSpecification": {"poolInfo": {"poolId": "p"}}}
    assert with_defaults(resource(Kind.SCHEDULE, native), DEFAULTS).spec["jobSpecification"]["priority"] == 5
    # The BatchJobs of a cron schedule have them as BatchJobs.
    cron = {"cron": {"expression": "* * * * *"}, "jobSpecification": {"poolInfo": {"poolId": "p"}}}
    assert with_defaults(resource(Kind.SCHEDULE, cron), DEFAULTS).spec == cron


def test_nothing_else_is_touched() -> None:
    task = resource(Kind.TASK, TASK_SPEC)
    assert with_defaults(task, DEFAULTS) is task
    pool = resource(Kind.POOL, POOL_SPEC)
    assert with_defaults(pool, {}) is pool
