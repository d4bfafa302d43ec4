"""The rules about schedules notice what they are there for: small records, written by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from histories.history import History
from histories.judged import Judged, Violation
from histories.lives import lives
from histories.record import Body, Done, Record, Version
from histories.schedules import active_is_true, history_is_kept, runs_start_as_asked

READY = {"type": "Ready", "status": "True", "reason": "Scheduled", "message": ""}


def schedule(active: int | None = None, *, conditions: list[Body] | None = None, **spec: Any) -> Body:
    status: Body = {"conditions": conditions or [READY], "id": "s"} | ({} if active is None else {"active": active})
    metadata = {"name": "s", "namespace": "n", "uid": "u-s"}
    return {"kind": "BatchJobSchedule", "metadata": metadata, "spec": spec, "status": status}


def cron(active: int | None = None, *, suspend: bool = False, **members: Any) -> Body:
    return schedule(active, cron={"expression": "* * * * *", **members}, suspend=suspend)


def run(minute: int, phase: str = "Running", *, owner: str = "u-s", deleting: bool = False) -> Body:
    owners = [{"kind": "BatchJobSchedule", "uid": owner}]
    metadata = {"name": f"s-{minute}", "namespace": "n", "uid": f"u-{minute}", "ownerReferences": owners}
    if deleting:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return {"kind": "BatchJob", "metadata": metadata, "spec": {}, "status": {"phase": phase}}


def version(time: float, body: Body, type_: str = "MODIFIED") -> Version:
    metadata = body["metadata"]
    return Version(time, type_, f"{body['kind'].lower()}s", metadata["namespace"], metadata["name"], body)


def judged(*versions: Version, objects: tuple[Body, ...] = (), **members: Any) -> Judged:
    record = Record(versions=[*versions], objects=[*objects], rest=(900.0, 2000.0), **members)
    return Judged(History(1, ()), record, lives(record))


def texts(found: list[Violation]) -> list[str]:
    return [str(each) for each in found]


@pytest.mark.parametrize(
    ("active", "real"),
    [(2, None), (1, 2), (None, 2), (3, 2)],
)
def test_active_counts_the_batch_jobs_that_have_not_ended(active: int | None, real: int | None) -> None:
    """Those that are being deleted count; those that have ended and those of a former schedule do not."""
    runs = (run(1, "Succeeded"), run(2, "Failed", deleting=True), run(3, "Stalled"), run(4, deleting=True))
    found = active_is_true(judged(objects=(cron(active), *runs, run(5, owner="u-former"))))
    expected = [] if real is None else [f"untrue: BatchJobSchedule n/s shows {active} active, there are {real}"]
    assert texts(found) == expected


@pytest.mark.parametrize(("active", "right"), [(1, True), (0, False), (2, False), (None, False)])
def test_active_counts_the_jobs_in_azure_batch_that_have_not_ended(active: int | None, right: bool) -> None:
    marker = [{"name": "azurebatch.io/owner", "value": "quick/n/BatchJobSchedule/s/u-s/s"}]
    jobs = {
        id: {"id": id, "state": state}
        for id, state in (("s:job-1", "completed"), ("S:job-2", "disabled"), ("t", "active"))
    }
    seen = {"schedules": {"S": {"id": "S", "metadata": marker}}, "jobs": jobs}
    body = schedule(active, schedule={"recurrenceInterval": "PT5M"})
    assert (active_is_true(judged(objects=(body,), **seen)) == []) is right
    seen["schedules"] = {"S": {"id": "S", "metadata": []}}
    assert active_is_true(judged(objects=(body,), **seen)) == [], "a schedule of somebody else is not counted"


def test_nothing_is_said_of_what_is_not_reconciled() -> None:
    invalid = [READY | {"status": "False", "reason": "InvalidSchedule"}]
    bodies = [cron(7), schedule(7, conditions=invalid, cron={}), cron(7)]
    bodies[0]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    bodies[2]["metadata"]["annotations"] = {"azurebatch.io/reconcile-policy": "skip"}
    for body in bodies:
        assert active_is_true(judged(version(1.0, body, "ADDED"), objects=(body, run(1)))) == []


@pytest.mark.parametrize(
    ("members", "succeeded", "failed", "words"),
    [
        ({}, 3, 1, ""),
        ({}, 4, 1, "keeps 4 BatchJobs that are Succeeded: successfulJobsHistoryLimit None"),
        ({}, 3, 2, "keeps 2 BatchJobs that are Failed: failedJobsHistoryLimit None"),
        ({"successfulJobsHistoryLimit": 0}, 1, 0, "keeps 1 BatchJobs that are Succeeded: successfulJobsHistoryLimit 0"),
        ({"successfulJobsHistoryLimit": 5, "failedJobsHistoryLimit": 2}, 5, 2, ""),
    ],
)
def test_no_more_ended_runs_stay_than_the_schedule_says(
    members: dict[str, Any], succeeded: int, failed: int, words: str
) -> None:
    runs = [run(number, "Succeeded") for number in range(succeeded)]
    runs += [run(10 + number, "Failed") for number in range(failed)]
    runs += [run(20, "Succeeded", deleting=True), run(21, "Running"), run(22, "Running")]
    found = history_is_kept(judged(objects=(cron(2, **members), *runs)))
    assert texts(found) == ([f"unfulfilled: BatchJobSchedule n/s {words}"] if words else [])


def started(*before: Version, body: Body, steps: tuple[Done, ...] = ()) -> list[str]:
    """Rules that the start of a run at 1000 breaks."""
    versions = (version(1.0, body, "ADDED"), *before, version(1000.0, run(9, "Pending"), "ADDED"))
    return [each.rule for each in runs_start_as_asked(judged(*versions, steps=[*steps]))]


@pytest.mark.parametrize("policy", [None, "Allow", "Forbid", "Replace"])
@pytest.mark.parametrize(
    ("other", "type_", "broken"),
    [
        (run(1), "MODIFIED", {"Forbid", "Replace"}),
        (run(1, "Pending"), "ADDED", {"Forbid", "Replace"}),
        (run(1, deleting=True), "MODIFIED", {"Forbid"}),
        (run(1, "Succeeded"), "MODIFIED", set()),
        (run(1, "Failed", deleting=True), "MODIFIED", set()),
        (run(1), "DELETED", set()),
        (run(1, owner="u-other"), "MODIFIED", set()),
    ],
)
def test_a_run_starts_beside_another_only_where_that_is_allowed(
    policy: str | None, other: Body, type_: str, broken: set[str]
) -> None:
    body = cron(concurrencyPolicy=policy)
    assert started(version(900.0, other, type_), body=body) == (["unwished"] if policy in broken else [])


@pytest.mark.parametrize(("ended", "broken"), [("Succeeded", []), ("Failed", []), ("Running", ["unwished"])])
def test_a_run_that_had_ended_before_its_deletion_is_no_longer_there(ended: str, broken: list[str]) -> None:
    """Its phase says only that it is being deleted."""
    before = (version(900.0, run(1, ended)), version(950.0, run(1, "Deleting", deleting=True)))
    assert started(*before, body=cron(concurrencyPolicy="Forbid")) == broken
    found = active_is_true(judged(*before, objects=(cron(len(broken)), run(1, "Deleting", deleting=True))))
    assert texts(found) == []


def test_a_policy_that_has_just_changed_may_not_be_known_yet() -> None:
    before = (version(900.0, run(1)), version(990.0, cron(concurrencyPolicy="Forbid")))
    assert started(*before, body=cron()) == []
    before = (version(900.0, run(1)), version(910.0, cron(concurrencyPolicy="Forbid")))
    assert started(*before, body=cron()) == ["unwished"]


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (lambda body: body["spec"].update(suspend=True), "unwished"),
        (lambda body: body["metadata"].update(deletionTimestamp="2026-01-01T00:00:00Z"), "unwished"),
        (lambda body: body["metadata"].update(annotations={"azurebatch.io/reconcile-policy": "skip"}), "skipped"),
    ],
)
def test_no_run_starts_where_the_schedule_is_not_to_create_any(change: Callable[[Body], None], rule: str) -> None:
    changed = cron()
    change(changed)
    assert started(version(800.0, changed), body=cron()) == [rule]
    assert started(version(980.0, changed), body=cron()) == [], "it may not be known yet"
    held = (Done(799.0, "watch-hold", {"seconds": 150, "plural": "batchjobschedules"}),)
    assert started(version(800.0, changed), body=cron(), steps=held) == [], "news are late"


def test_a_run_starts_once() -> None:
    former = run(9, "Succeeded")
    former["metadata"]["uid"] = "u-former-run"
    assert started(version(900.0, former, "DELETED"), body=cron()) == ["twice"]
    assert started(version(900.0, run(8, "Succeeded"), "DELETED"), body=cron()) == []
