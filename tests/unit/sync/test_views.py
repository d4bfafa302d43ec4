"""What plans are decided from, where it is more than looked up."""

from __future__ import annotations

from typing import Any

import pytest

from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.reconcile.plan import Plan
from azure_batch_operator.sync import observe as views
from azure_batch_operator.sync.observe import task as task_views
from azure_batch_operator.sync.store import Store
from unit.objects import ACCOUNT, CLUSTER, JOB_SPEC, NOW, TASK_SPEC, resource

FAILED = {"phase": "Failed", "exitCode": 3, "result": "failure"}


def test_dependents_of_a_failed_task_never_run_unless_its_job_continues() -> None:
    one = resource(Kind.TASK, TASK_SPEC, status=FAILED)
    assert views.blocks_dependents(one)
    assert not task_views.blocks_dependents(one, goes_on=True)
    block = {"exitConditions": {"default": {"dependencyAction": "block"}}}
    assert task_views.blocks_dependents(resource(Kind.TASK, TASK_SPEC | block, status=FAILED), goes_on=True)
    assert not views.blocks_dependents(resource(Kind.TASK, TASK_SPEC))


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"poolRef": "cpu"}, "spec.poolRef is missing, or of another type"),
        ({"taskFactory": {"repeat": {"count": 0}, "repeatTask": {"commandLine": ""}}}, "spec.taskFactory.repeat.count"),
        ({"priority": "high"}, "spec.priority is missing, or of another type"),
    ],
)
def test_a_spec_that_the_crd_would_have_refused_says_so_and_can_be_deleted(spec: dict[str, Any], words: str) -> None:
    one = resource(Kind.JOB, JOB_SPEC | spec)
    context = views.Context(Store(), CLUSTER)
    decision = views.plan(context, one, ACCOUNT, None, NOW).plan
    assert decision.calls == ()
    ready = next(each for each in (decision.status or {})["conditions"] if each["type"] == "Ready")
    assert ready["reason"] == "InvalidSpec"
    assert words in ready["message"]
    leaving = resource(Kind.JOB, JOB_SPEC | spec, deleting=True)
    assert views.plan(context, leaving, ACCOUNT, None, NOW).plan.finalizer == "remove"
    done = resource(Kind.JOB, JOB_SPEC | spec, status={"phase": "Succeeded", "observedGeneration": 1})
    assert views.plan(context, done, ACCOUNT, None, NOW).plan == Plan()
