"""suspend, resume, retry, terminate: what is patched, and what is refused before anything is."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from click.testing import Result

from azure_batch_kubectl.actions import Change, change
from azure_batch_kubectl.choices import Action
from azure_batch_operator.api.kinds import Kind
from unit.kubectl.conftest import FakeCluster, thing

Run = Callable[..., Result]
ENDED = ("Failed", "True", "TasksFailed", "2 of 10 tasks failed")


def test_suspend_and_resume_change_the_spec_only_where_it_differs() -> None:
    job = thing("BatchJob", "render")
    assert change(Action.SUSPEND, job, "now") == Change({"spec": {"suspend": True}}, "will be suspended")
    assert change(Action.RESUME, job, "now").patch is None
    job["spec"]["suspend"] = True
    assert change(Action.SUSPEND, job, "now").patch is None
    assert change(Action.RESUME, job, "now") == Change({"spec": {"suspend": False}}, "will be resumed")


@pytest.mark.parametrize(
    ("action", "annotation"),
    [(Action.RETRY, "azurebatch.io/retry-failed"), (Action.TERMINATE, "azurebatch.io/terminate")],
)
def test_verbs_are_annotations_with_a_new_value(action: Action, annotation: str) -> None:
    assert change(action, thing("BatchTask", "t1"), "now").patch == {"metadata": {"annotations": {annotation: "now"}}}


def test_the_commands_patch_and_say_so(fake: FakeCluster, run: Run) -> None:
    fake.add(thing("BatchJob", "render"))
    fake.add(thing("BatchJobSchedule", "nightly"))
    done = run("suspend", "render", "bjs/nightly")
    assert (
        done.output
        == "batchjob.azurebatch.io/render will be suspended\nbatchjobschedule.azurebatch.io/nightly will be suspended\n"
    )
    assert [(kind, name) for kind, name, _ in fake.patches] == [(Kind.JOB, "render"), (Kind.SCHEDULE, "nightly")]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("retry", "old"), "error: BatchJob old has ended (Failed): Azure Batch runs no task of a completed job again: "),
        (("suspend", "old"), "error: BatchJob old has ended (Failed): it no longer changes\n"),
        (
            ("suspend", "bp/cpu"),
            "error: suspend does not apply to a BatchPool: use it for BatchJob (bj) and BatchJobSchedule (bjs)\n",
        ),
        (
            ("terminate", "missing"),
            'error: batchjobs.azurebatch.io "missing" not found: kubectl get bj lists those of the namespace; -n names another',
        ),
        (
            ("suspend", "nightly"),
            "error: there is no BatchJob nightly, but a BatchJobSchedule: kubectl azure-batch suspend bjs/nightly\n",
        ),
        (
            # terminate is not for a BatchJobSchedule, so it is no remedy.
            ("terminate", "nightly"),
            'error: batchjobs.azurebatch.io "nightly" not found: kubectl get bj lists those of the namespace; ',
        ),
        (
            ("retry", "bt/none"),
            'error: batchtasks.azurebatch.io "none" not found: kubectl get bt lists those of the namespace; -n names another',
        ),
        (("terminate", "pod/x"), "error: 'pod' is not a kind of azurebatch.io: use one of batchaccount (bacc), "),
    ],
)  # fmt: skip
def test_what_can_have_no_effect_is_refused_in_one_line(
    fake: FakeCluster, run: Run, words: tuple[str, ...], text: str
) -> None:
    fake.add(thing("BatchJob", "old", ENDED, phase="Failed"))
    fake.add(thing("BatchJobSchedule", "nightly"))
    done = run(*words)
    assert done.exit_code == 1
    assert done.stderr.startswith(text)
    assert done.stderr.count("\n") == 1
    assert fake.patches == []


def test_a_failed_task_may_run_again() -> None:
    assert change(Action.RETRY, thing("BatchTask", "t1", ENDED, phase="Failed"), "now").said == "will run again"
