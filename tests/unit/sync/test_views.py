"""What plans are decided from, where it is more than looked up."""

from __future__ import annotations

from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.sync import views
from azure_batch_operator.sync.views import task as task_views
from unit.objects import TASK_SPEC, resource

FAILED = {"phase": "Failed", "exitCode": 3, "result": "failure"}


def test_a_failed_task_leaves_its_dependents_without_hope_unless_its_job_goes_on() -> None:
    one = resource(Kind.TASK, TASK_SPEC, status=FAILED)
    assert views.hopeless(one)
    assert not task_views.hopeless(one, goes_on=True)
    block = {"exitConditions": {"default": {"dependencyAction": "block"}}}
    assert task_views.hopeless(resource(Kind.TASK, TASK_SPEC | block, status=FAILED), goes_on=True)
    assert not views.hopeless(resource(Kind.TASK, TASK_SPEC))
