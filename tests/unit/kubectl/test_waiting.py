"""wait: when it ends, and with which exit code."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest
from click.testing import Result

from azure_batch_kubectl import wait_command, waiting
from azure_batch_kubectl.choices import Goal
from azure_batch_kubectl.waiting import judged
from azure_batch_operator.api.base import RETRY_FAILED
from unit.kubectl.conftest import Body, FakeCluster, thing

Run = Callable[..., Result]
RUNNING = thing("BatchJob", "x", phase="Running", taskCounts={"total": 10, "completed": 4, "running": 2, "failed": 1})
COMPLETE = thing("BatchJob", "x", ("Complete", "True", "Succeeded", "all tasks succeeded"))
FAILED = thing("BatchJob", "x", ("Failed", "True", "TasksFailed", "1 of 2 tasks failed"))


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("azure_batch_kubectl.wait_command._SECONDS", 0.0)


@pytest.mark.parametrize(
    ("goal", "reached"),
    [(Goal.COMPLETE, (None, True, False)), (Goal.FAILED, (None, False, True)), (Goal.ENDED, (None, True, True))],
)
def test_a_goal_is_reached_or_missed(goal: Goal, reached: tuple[bool | None, ...]) -> None:
    assert tuple(judged(each, goal).reached for each in (RUNNING, COMPLETE, FAILED)) == reached


def test_it_waits_until_the_job_is_complete(fake: FakeCluster, run: Run) -> None:
    fake.add(RUNNING, RUNNING, COMPLETE)
    done = run("wait", "x")
    assert (done.exit_code, done.output) == (0, "batchjob.azurebatch.io/x complete (Succeeded): all tasks succeeded\n")


def waits(reason: str, message: str, kind: str = "BatchJob") -> Body:
    return thing(kind, "x", ("Ready", "False", reason, message), phase="Pending")


@pytest.mark.parametrize("terminal", [False, True])
def test_each_new_reason_to_wait_is_said_once(
    fake: FakeCluster, run: Run, monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    # The bar itself is tested on a real terminal (tests/quick/test_kubectl_terminal.py).
    monkeypatch.setattr(wait_command, "sys", SimpleNamespace(stderr=SimpleNamespace(isatty=lambda: terminal)))
    secret, account = waits("SecretNotFound", "Secret 'logs'\ndoes not exist"), waits("AccountNotReady", "not yet")
    pool = thing("BatchJob", "x", ("Ready", "True", "Waiting", "w"), waitingFor="pool 'cpu' has no nodes: scale it up")
    fake.add(secret, secret, account, account, secret, RUNNING, pool, pool, waits("Submitting", "3 of 9"), COMPLETE)
    assert [line for line in run("wait", "x").stderr.splitlines() if line.startswith("waits")] == [
        "waits (SecretNotFound): Secret 'logs' does not exist",
        "waits (AccountNotReady): not yet",
        "waits (SecretNotFound): Secret 'logs' does not exist",
        "waits: pool 'cpu' has no nodes: scale it up",
    ]


def test_what_has_ended_waits_for_nothing(fake: FakeCluster, run: Run) -> None:
    ended = thing("BatchJob", "x", ("Ready", "False", "TasksFailed", "1"), ("Failed", "True", "TasksFailed", "1"))
    fake.add(ended)
    assert run("wait", "x", "--for", "ended").stderr == ""
    stalled = thing(
        "BatchOperation", "o", ("Ready", "False", "NotOurs", "of b"), ("Stalled", "True", "NotOurs", "of b")
    )
    assert waiting.reason(stalled) == "is stalled (NotOurs): of b"
    assert waiting.reason(waits("Running", "0 of 1 target done with", "BatchOperation")) is None


def test_a_failed_job_has_an_exit_code_of_its_own(fake: FakeCluster, run: Run) -> None:
    fake.add(RUNNING, FAILED)
    done = run("wait", "bj/x")
    assert done.exit_code == 3
    assert done.stderr == "error: batchjob.azurebatch.io/x failed (TasksFailed): 1 of 2 tasks failed\n"


def test_a_timeout_has_an_exit_code_of_its_own(fake: FakeCluster, run: Run) -> None:
    fake.add(RUNNING)
    done = run("wait", "x", "--timeout", "1ms")
    assert done.exit_code == 4
    assert "kubectl azure-batch why batchjob/x says why" in done.stderr


def test_an_object_that_is_deleted_meanwhile_ends_the_wait(fake: FakeCluster, run: Run) -> None:
    fake.add(RUNNING, None)
    done = run("wait", "x")
    assert (done.exit_code, done.stderr) == (
        1,
        "error: BatchJob x was deleted, and it is not known whether it had ended: see kubectl get events\n",
    )


def test_a_pool_does_not_end(fake: FakeCluster, run: Run) -> None:
    assert "does not end" in run("wait", "bp/cpu").stderr


def test_progress_is_that_of_the_status() -> None:
    assert waiting.numbers(RUNNING) == (4, 10)
    assert waiting.numbers(thing("BatchOperation", "o", progress="5/12")) == (5, 12)
    assert waiting.numbers(thing("BatchTask", "t")) == (0, 0)
    assert waiting.summary(RUNNING) == "Running, 2 running, 1 failed"


@pytest.mark.parametrize(("text", "value"), [("30s", 30), ("1h30m", 5400), ("500ms", 0.5), ("5", 5), ("0", 0)])
def test_durations_are_those_of_kubectl(text: str, value: float) -> None:
    assert waiting.seconds(text) == value


@pytest.mark.parametrize("text", ["", "5x", "m5", "-3s", "5 m"])
def test_another_text_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        waiting.seconds(text)


def test_an_object_that_comes_in_its_place_is_not_waited_for(fake: FakeCluster, run: Run) -> None:
    other = thing("BatchJob", "x", ("Complete", "True", "Succeeded", "all"))
    other["metadata"]["uid"] = "other"
    fake.add(RUNNING, other)
    done = run("wait", "x")
    assert done.exit_code == 1
    assert "another one created with its name" in done.stderr


def test_a_task_that_is_asked_to_run_again_has_not_ended() -> None:
    task = thing("BatchTask", "t", ("Failed", "True", "TaskFailed", "exit code 1"))
    assert judged(task, Goal.ENDED).reached
    task["metadata"]["annotations"] = {RETRY_FAILED: "now"}
    assert judged(task, Goal.ENDED).reached is None
    task["status"]["handled"] = {"retryFailed": "now"}
    assert judged(task, Goal.ENDED).reached


def test_a_slow_api_server_is_no_timeout_of_the_wait(
    fake: FakeCluster, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def get(*_: object) -> None:
        raise TimeoutError

    monkeypatch.setattr(fake, "get", get)
    done = run("wait", "x")
    assert done.exit_code == 1
    assert "the API server is unreachable" in done.stderr
