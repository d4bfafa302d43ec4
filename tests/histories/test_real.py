"""The parts of the player for the real control plane that need no control plane."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from histories import actions as stage
from histories.history import History, Step
from histories.real import play as real
from histories.real.apiserver import path_of
from histories.real.emulator import Notes, read
from histories.record import Effect, Owner, Thing


def test_each_step_is_played_or_skipped_for_a_reason() -> None:
    assert real.ACTIONS.keys() | real.SKIPPED.keys() == stage.ACTIONS.keys()
    assert not real.ACTIONS.keys() & real.SKIPPED.keys()


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (Step(120.0, "kill", {"seconds": 300.0}), Step(2.0, "kill", {"seconds": 5.0})),
        # What lasts too short hits nothing.
        (Step(60.0, "freeze", {"seconds": 5.0}), Step(1.0, "freeze", {"seconds": 6.0})),
        (Step(60.0, "freeze", {"seconds": 400.0}), Step(1.0, "freeze", {"seconds": 400 / 60})),
        (
            Step(0.0, "watch-delay", {"seconds": 120, "by": 20.0}),
            Step(0.0, "watch-delay", {"seconds": 6.0, "by": 20 / 60}),
        ),
        # By so much counts are behind in the emulator's own time, which is scaled already.
        (Step(0.0, "lag", {"by": 90.0, "seconds": 600}), Step(0.0, "lag", {"by": 90.0, "seconds": 10.0})),
        (
            Step(6.0, "fault", {"operation": ".*", "effect": {"status": 429, "retryAfter": 600}, "seconds": 600}),
            Step(0.1, "fault", {"operation": ".*", "effect": {"status": 429, "retryAfter": 10}, "seconds": 10.0}),
        ),
        (
            Step(6.0, "fault", {"operation": ".*", "effect": {"reset": True, "landAfter": 30}, "seconds": 600}),
            Step(0.1, "fault", {"operation": ".*", "effect": {"reset": True, "landAfter": 0.5}, "seconds": 10.0}),
        ),
        (
            Step(6.0, "api-fault", {"verb": "patch", "status": 429, "retry_after": 9, "seconds": 600}),
            Step(0.1, "api-fault", {"verb": "patch", "status": 429, "retry_after": 1, "seconds": 10.0}),
        ),
    ],
)
def test_times_become_real_seconds(step: Step, expected: Step) -> None:
    assert real.scaled(History(1, (step,)), 60.0).steps == (expected,)


def test_records_of_the_emulator_are_read_back_unchanged(tmp_path: Path) -> None:
    owner = Owner("quick", "default", "BatchTask", "t", "u-1", "t")
    job = Owner("quick", "default", "BatchJob", "a", "u-2", "a")
    before = Thing("task", "t", owner, "1", "active", {"t": "active"}, True, {"job": "a", "job_owner": job})
    parameters = {"jobId": "a", "taskId": "t"}
    noted = Effect(
        100.5, True, "Tasks_DeleteTask", "/jobs/a/tasks/t", parameters, None, before, ("t",), 409, "TaskCompleted"
    )
    path = tmp_path / "calls"
    with path.open("ab", buffering=0) as file:
        Notes(file).effect(noted)
    # The emulator was killed while it wrote.
    path.write_bytes(path.read_bytes() + b'{"effect": {"ti')
    effects, calls = read(path, 100.0)
    assert effects == [Effect(0.5, *list(vars(noted).values())[1:])]
    assert calls == []


def test_a_missing_response_has_no_status(tmp_path: Path) -> None:
    path, now = tmp_path / "calls", time.time()
    lines = [
        b'{"call": {"number": 1, "time": %f, "operation": "Jobs_GetJob", "method": "GET", "path": "/jobs/a", "body": ""}}'
        % now,
        b'{"call": {"number": 2, "time": %f, "operation": "Jobs_DeleteJob", "method": "DELETE", "path": "/jobs/a", "body": ""}}'
        % now,
        b'{"answer": 1, "status": 200}',
    ]
    path.write_bytes(b"".join(each + b"\n" for each in lines))
    assert [(each.operation, each.status, each.reads) for each in read(path, now)[1]] == [
        ("Jobs_GetJob", 200, True),
        ("Jobs_DeleteJob", 0, False),
    ]


@pytest.mark.parametrize(
    ("kind", "name", "expected"),
    [
        ("BatchJob", "a", "/apis/azurebatch.io/v1alpha1/namespaces/team/batchjobs/a"),
        ("BatchJob", "", "/apis/azurebatch.io/v1alpha1/namespaces/team/batchjobs"),
        ("bjs", "cron", "/apis/azurebatch.io/v1alpha1/namespaces/team/batchjobschedules/cron"),
        ("secret", "env", "/api/v1/namespaces/team/secrets/env"),
        ("ConfigMap", "list", "/api/v1/namespaces/team/configmaps/list"),
        ("Namespace", "team", "/api/v1/namespaces/team"),
        ("namespace", "", "/api/v1/namespaces"),
    ],
)
def test_the_path_of_an_object(kind: str, name: str, expected: str) -> None:
    assert path_of(kind, "team", name) == expected


def test_tracebacks_are_found_in_a_log() -> None:
    log = (
        "2026-01-01 ERROR azure_batch_operator.app: Service 'poller' died\n"
        "Traceback (most recent call last):\n"
        '  File "x.py", line 1, in run\n'
        "    fail()\n"
        "ValueError: no\n"
        "2026-01-01 INFO azure_batch_operator.app: Stopping\n"
    )
    [found] = real.TRACEBACK.finditer(log)
    assert found[0].startswith("2026-01-01 ERROR")
    assert found[0].endswith("ValueError: no")
    assert real.TRACEBACK.search("2026-01-01 INFO azure_batch_operator.app: Stopping\n") is None
