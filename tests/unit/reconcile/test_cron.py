"""Cron schedules: when a BatchJob is due, what becomes of those that run, and which are kept; as CronJob does it."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Resource
from azure_batch_operator.api.schedule import JobScheduleSpec
from azure_batch_operator.reconcile.plan import Plan
from azure_batch_operator.reconcile.schedule.cron import plan, times
from unit.objects import resource

ROOT = Path(__file__).parents[3]
TEMPLATE = {"poolRef": {"name": "cpu"}, "tasks": [{"id": "a", "commandLine": "true"}]}


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


NOW = at("2026-03-10T02:00:30Z")


def nightly(suspend: bool | None = None, status: dict[str, Any] | None = None, **cron: Any) -> Resource:
    spec: dict[str, Any] = {"cron": {"expression": "0 2 * * *"} | cron, "jobSpecification": TEMPLATE}
    if suspend is not None:
        spec["suspend"] = suspend
    last = {"observedGeneration": 1, "phase": "Active", "lastScheduleTime": "2026-03-09T02:00:00Z"}
    return resource(Kind.SCHEDULE, spec, name="nightly", status=last if status is None else status)


def child(when: str, phase: str) -> Resource:
    name = f"nightly-{int(at(when) // 60)}"
    return resource(Kind.JOB, TEMPLATE, name=name, uid=f"uid-{name}", status={"phase": phase})


def created(decision: Plan) -> list[str]:
    return [change.key.name for change in decision.objects if change.body is not None]


def deleted(decision: Plan) -> list[str]:
    return [change.key.name for change in decision.objects if change.body is None]


def test_a_run_that_is_due_becomes_a_job_of_the_schedule() -> None:
    decision = plan(nightly(), [], NOW)
    [change] = decision.objects
    body = change.body or {}
    assert change.key.name == f"nightly-{int(at('2026-03-10T02:00:00Z') // 60)}"
    assert body["metadata"]["ownerReferences"][0]["uid"] == "uid-1"
    assert body["metadata"]["labels"] == {"azurebatch.io/schedule": "nightly"}
    assert body["spec"] == TEMPLATE
    assert (decision.status or {})["lastScheduleTime"] == "2026-03-10T02:00:00Z"
    assert (decision.status or {})["nextRunTime"] == "2026-03-11T02:00:00Z"
    assert decision.requeue_after is not None
    assert 0 < decision.requeue_after <= 3600


def test_a_run_is_started_once_even_if_the_status_is_lost() -> None:
    started = child("2026-03-10T02:00:00Z", "Succeeded")
    assert created(plan(nightly(status={}), [started], NOW)) == []


def test_runs_from_before_the_creation_of_a_schedule_are_ignored() -> None:
    young = nightly(status={})
    young = Resource(**{**{name: getattr(young, name) for name in young.__slots__}, "created": "2026-03-10T02:00:10Z"})
    decision = plan(young, [], NOW)
    assert created(decision) == []
    assert "lastScheduleTime" not in (decision.status or {})


def test_only_the_youngest_of_several_missed_runs_is_made_up_for() -> None:
    long_down = {"observedGeneration": 1, "phase": "Active", "lastScheduleTime": "2026-03-01T02:00:00Z"}
    assert created(plan(nightly(status=long_down), [], NOW)) == [f"nightly-{int(at('2026-03-10T02:00:00Z') // 60)}"]


def test_a_run_that_is_too_late_is_left_out_with_a_warning() -> None:
    decision = plan(nightly(startingDeadlineSeconds=10), [], NOW)
    assert created(decision) == []
    assert [(event.reason, event.type) for event in decision.events] == [("MissedRun", "Warning")]
    assert (decision.status or {})["lastScheduleTime"] == "2026-03-10T02:00:00Z", "it is told once"


@pytest.mark.parametrize(
    ("policy", "made", "removed"), [("Allow", 1, 0), (None, 1, 0), ("Forbid", 0, 0), ("Replace", 1, 1)]
)
def test_a_job_that_still_runs(policy: str | None, made: int, removed: int) -> None:
    running = child("2026-03-09T02:00:00Z", "Running")
    options = {"concurrencyPolicy": policy} if policy else {}
    decision = plan(nightly(**options), [running], NOW)
    assert (len(created(decision)), len(deleted(decision))) == (made, removed)
    if policy == "Forbid":
        assert decision.events[0].message == (
            f"the run of 2026-03-10T02:00:00Z waits until BatchJob {running.key.name!r} has ended, then starts "
            "(concurrencyPolicy: Forbid)"
        )
        ended = child("2026-03-09T02:00:00Z", "Succeeded")
        assert created(plan(nightly(**options, status=dict(decision.status or {})), [ended], NOW)), "it is made up for"


@pytest.mark.parametrize("phase", ["Succeeded", "Deleting"])
def test_a_run_that_has_ended_and_is_being_deleted_is_not_active(phase: str) -> None:
    """Nor does a run wait for it: its deletion in Azure Batch may take long."""
    condition = {"type": "Complete", "status": "True", "reason": "Succeeded", "message": ""}
    ended = child("2026-03-09T02:00:00Z", phase)
    ended = replace(ended, deleting=True, status={**ended.status, "conditions": [condition]})
    unended = replace(child("2026-03-08T02:00:00Z", "Deleting"), deleting=True)
    decision = plan(nightly(concurrencyPolicy="Forbid"), [ended], NOW)
    assert len(created(decision)) == 1
    assert (decision.status or {})["active"] == 1
    assert (plan(nightly(suspend=True), [ended, unended], NOW).status or {})["active"] == 1
    assert not created(plan(nightly(concurrencyPolicy="Forbid"), [unended], NOW)), "its tasks may still run"


def held_up(when: str, reason: str, *, stalled: bool = False, state: str = "") -> Resource:
    found = [{"type": "Ready", "status": "False", "reason": reason, "message": f"{reason} has a remedy"}]
    if stalled:
        found.append({**found[0], "type": "Stalled", "status": "True"})
    run = child(when, "Stalled" if stalled else "Pending")
    return replace(run, status={**run.status, "conditions": found} | ({"state": state} if state else {}))


def told(decision: Plan) -> dict[str, Any]:
    return {each["type"]: each for each in (decision.status or {})["conditions"]}


@pytest.mark.parametrize("suspend", [False, True])
def test_a_stalled_run_is_named_and_the_newest_first(suspend: bool) -> None:
    runs = [held_up(f"2026-03-0{day}T02:00:00Z", reason, stalled=True) for day, reason in ((8, "A"), (9, "B"))]
    decision = plan(nightly(suspend=suspend), runs, NOW)
    said = told(decision)
    assert (said["Ready"]["status"], said["Stalled"]["status"]) == ("False", "True")
    name = runs[1].key.name
    assert said["Ready"]["reason"] == "JobStalled"
    assert said["Ready"]["message"].startswith(
        f"BatchJob {name!r} is stalled (B), and 1 more: B has a remedy; {'spec.suspend is true' if suspend else '3 active'}"
    )
    assert ("Suspended" in said) is suspend
    warnings = [event for event in decision.events if event.type == "Warning"]
    assert [event.reason for event in warnings] == ["JobStalled"]
    assert len(created(decision)) == (not suspend), "the next run goes on"


def test_a_run_that_is_not_in_azure_yet_is_told_unless_it_is_just_being_created() -> None:
    day = "2026-03-09T02:00:00Z"
    said = told(plan(nightly(), [held_up(day, "PoolNotFound")], NOW))
    assert (said["Ready"]["status"], said["Ready"]["reason"]) == ("True", "JobWaiting")
    assert "is waiting (PoolNotFound): PoolNotFound has a remedy; " in said["Ready"]["message"]
    for silent in (held_up(day, "Creating"), held_up(day, "Submitting", state="active"), child(day, "Running")):
        assert told(plan(nightly(), [silent], NOW))["Ready"]["reason"] == "Scheduled"


def test_a_run_that_has_ended_or_is_replaced_holds_nothing_up() -> None:
    stalled = held_up("2026-03-09T02:00:00Z", "OwnershipConflict", stalled=True)
    failed = {"type": "Failed", "status": "True", "reason": "TasksFailed", "message": ""}
    ended = replace(stalled, status={"phase": "Failed", "conditions": [*stalled.status["conditions"], failed]})
    assert told(plan(nightly(), [ended], NOW))["Ready"]["reason"] == "Scheduled"
    replaced = plan(nightly(concurrencyPolicy="Replace"), [stalled], NOW)
    assert deleted(replaced) == [stalled.key.name]
    assert told(replaced)["Ready"]["reason"] == "Scheduled"


def test_a_run_that_waits_for_a_stalled_one_says_what_stalls_it() -> None:
    stalled = held_up("2026-03-09T02:00:00Z", "OwnershipConflict", stalled=True)
    message = told(plan(nightly(concurrencyPolicy="Forbid"), [stalled], NOW))["Ready"]["message"]
    assert message.startswith(f"BatchJob {stalled.key.name!r} is stalled (OwnershipConflict): ")
    assert f"waits until BatchJob {stalled.key.name!r} has ended, then starts" in message


def test_runs_that_collide_one_after_the_other_do_not_pile_up() -> None:
    """As when another schedule has the same `spec.id`: each run would be one more BatchJob that never starts."""
    days = (6, 7, 8, 9)
    runs = [held_up(f"2026-03-0{day}T02:00:00Z", "OwnershipConflict", stalled=True) for day in days]
    decision = plan(nightly(), runs, NOW)
    assert created(decision) == []
    said = told(decision)["Ready"]
    assert said["reason"] == "JobStalled"
    assert said["message"].endswith(
        "; the run of 2026-03-10T02:00:00Z waits: the IDs of the last 3 runs have other owners, and the next one may, too. "
        f"It starts after you delete one of their BatchJobs, such as {runs[3].key.name!r}"
    )
    after = nightly(status=dict(decision.status or {}))
    assert created(plan(after, runs, NOW + 60)) == []
    assert created(plan(after, runs[:2], NOW + 60)) == [f"nightly-{int(at('2026-03-10T02:00:00Z') // 60)}"]
    assert created(plan(nightly(), runs[2:], NOW)), "one that was taken by chance stops nothing"
    running = child("2026-03-09T02:00:00Z", "Running")
    assert created(plan(nightly(), [*runs[:3], running], NOW)), "the last one has its ID"
    assert created(plan(nightly(), [*runs[:3], held_up("2026-03-09T02:00:00Z", "PoolNotFound", stalled=True)], NOW))
    assert created(plan(nightly(concurrencyPolicy="Replace"), runs, NOW)), "what it replaces is deleted"


def test_suspended_makes_none_and_says_so() -> None:
    decision = plan(nightly(suspend=True), [], NOW)
    assert created(decision) == []
    assert (decision.status or {})["phase"] == "Suspended"
    assert decision.requeue_after is None


def test_history_is_bounded_and_open_jobs_stay() -> None:
    days = [f"2026-03-0{day}T02:00:00Z" for day in range(1, 10)]
    children = [child(day, "Succeeded") for day in days[:5]] + [child(day, "Failed") for day in days[5:8]]
    children.append(child(days[8], "Running"))
    decision = plan(nightly(), children, at("2026-03-09T03:00:00Z"))
    assert deleted(decision) == [each.key.name for each in (*children[:2], *children[5:7])]
    kept_all = plan(
        nightly(successfulJobsHistoryLimit=9, failedJobsHistoryLimit=9), children, at("2026-03-09T03:00:00Z")
    )
    assert deleted(kept_all) == []
    none = plan(nightly(successfulJobsHistoryLimit=0, failedJobsHistoryLimit=0), children, at("2026-03-09T03:00:00Z"))
    assert len(deleted(none)) == 8


def test_the_history_shown_is_short_and_newest_first() -> None:
    children = [child(f"2026-02-{day:02}T02:00:00Z", "Succeeded") for day in range(1, 21)]
    history = (plan(nightly(), children, at("2026-03-09T03:00:00Z")).status or {})["history"]
    assert len(history) == 10
    assert history[0]["name"] == children[-1].key.name


@pytest.mark.parametrize(
    ("cron", "word"),
    [
        ({"expression": "61 * * * *"}, "61 * * * *"),
        ({"timeZone": "Mars/Olympus"}, "Mars/Olympus"),
        ({"timeZone": "../etc"}, "../etc"),
    ],
)
def test_an_unreadable_field_stalls_the_object_and_is_named(cron: dict[str, Any], word: str) -> None:
    decision = plan(nightly(**cron), [], NOW)
    ready = next(each for each in (decision.status or {})["conditions"] if each["type"] == "Ready")
    assert ready["reason"] == "InvalidSchedule"
    assert "spec.cron." in ready["message"]
    assert word in ready["message"]


def test_summer_time_is_kept() -> None:
    """Europe/Berlin leaps from 2:00 to 3:00 on 2026-03-29, so that 4:00 there is 3:00 UTC before and 2:00 UTC after."""
    before = times("0 4 * * *", "Europe/Berlin", 0.0, at("2026-03-28T00:00:00Z"))
    after = times("0 4 * * *", "Europe/Berlin", 0.0, at("2026-03-29T00:00:00Z"))
    assert before.next == at("2026-03-28T03:00:00Z")
    assert after.next == at("2026-03-29T02:00:00Z")


EXPRESSIONS = ["* * * * *", "*/7 * * * *", "0 2 * * *", "30 1 * * 0", "@hourly", "@daily", "15 10 1 * *"]


@given(
    expression=st.sampled_from(EXPRESSIONS),
    zone=st.sampled_from(["Etc/UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]),
    now=st.datetimes(datetime(2025, 1, 1), datetime(2028, 1, 1)),  # noqa: DTZ001
    back=st.integers(0, 40 * 86400),
)
def test_now_lies_between_the_last_and_the_next(expression: str, zone: str, now: datetime, back: int) -> None:
    moment = now.replace(tzinfo=UTC)
    since = (moment - timedelta(seconds=back)).timestamp()
    found = times(expression, zone, since, moment.timestamp())
    assert found.next is not None
    assert found.next > moment.timestamp()
    if found.last is not None:
        assert since < found.last <= moment.timestamp()
        again = times(expression, zone, found.last, moment.timestamp())
        assert again.last is None, "what was started is not due again"


def test_a_schedule_whose_name_has_a_dot_makes_jobs_with_ids_of_their_own() -> None:
    ids = []
    for name in ("nightly.eu", "nightly-eu"):
        spec = {"cron": {"expression": "0 2 * * *"}, "jobSpecification": TEMPLATE}
        status = {"observedGeneration": 1, "phase": "Active", "lastScheduleTime": "2026-03-09T02:00:00Z"}
        [change] = plan(resource(Kind.SCHEDULE, spec, name=name, status=status), [], NOW).objects
        body = change.body or {}
        assert body["metadata"]["name"] == f"{name}-{int(at('2026-03-10T02:00:00Z') // 60)}"
        ids.append(body["spec"].get("id", body["metadata"]["name"]))
    assert len(set(ids)) == 2
    assert all(re.fullmatch("[A-Za-z0-9_-]{1,64}", id) for id in ids)


@pytest.mark.parametrize("id", ["team-a-nightly", "x" * 64])
def test_the_id_of_a_schedule_is_the_first_part_of_those_of_its_jobs(id: str) -> None:
    """Two namespaces on one account can have schedules of one name."""
    spec = {"id": id, "cron": {"expression": "0 2 * * *"}, "jobSpecification": TEMPLATE}
    status = {"observedGeneration": 1, "phase": "Active", "lastScheduleTime": "2026-03-09T02:00:00Z"}
    [change] = plan(resource(Kind.SCHEDULE, spec, name="nightly", status=status), [], NOW).objects
    body, minute = change.body or {}, int(at("2026-03-10T02:00:00Z") // 60)
    assert body["metadata"]["name"] == f"nightly-{minute}"
    made = body["spec"]["id"]
    if len(id) < 50:
        assert made == f"team-a-nightly-{minute}"
    else:
        assert made.startswith(40 * "x")
    assert re.fullmatch("[A-Za-z0-9_-]{1,64}", made)
    assert str(minute) in made, "each run has an ID of its own"


def test_forbid_with_a_deadline_waits_for_so_long_and_then_skips() -> None:
    running = child("2026-03-09T02:00:00Z", "Running")
    options = {"concurrencyPolicy": "Forbid", "startingDeadlineSeconds": 60}
    waits = plan(nightly(**options), [running], NOW)
    assert waits.events[0].message.endswith(
        "it is skipped if the BatchJob has not ended by 2026-03-10T02:01:00Z (startingDeadlineSeconds)"
    )
    late = plan(nightly(**options), [child("2026-03-09T02:00:00Z", "Succeeded")], NOW + 60)
    assert (created(late), [event.reason for event in late.events]) == ([], ["MissedRun"])


def test_forbid_is_told_in_the_same_words_everywhere() -> None:
    described = JobScheduleSpec.model_json_schema(by_alias=True)["$defs"]["Cron"]["properties"]
    texts = {
        "explain": f"{described['concurrencyPolicy']['description']} {described['startingDeadlineSeconds']['description']}",
        "sample": (ROOT / "manifests/samples/schedules/nightly.yaml").read_text(),
        "schedules": (ROOT / "docs/schedules.md").read_text(),
        "reasons": (ROOT / "docs/reasons.md").read_text(),
    }
    for where, text in texts.items():
        assert re.search(r"waits until .{1,30} has ended, then\s+starts", text), where
        assert re.search(r"\bskipped\b", text), where


def test_history_keeps_what_a_retry_still_needs() -> None:
    children = [child(f"2026-03-0{day}T02:00:00Z", "Failed") for day in range(1, 4)]
    none_kept = nightly(failedJobsHistoryLimit=0)
    found = plan(none_kept, children, at("2026-03-09T03:00:00Z"), {children[0].key})
    assert deleted(found) == [each.key.name for each in children[1:]]


@pytest.mark.parametrize(
    ("expression", "exists"),
    [
        ("0 0 30 2 *", True), ("0 0 31 4 *", True), ("0 0 31 2,4,6,9,11 *", True), ("0 0 30-31 feb *", True),
        ("0 0 32 4 *", False), ("0 0 30 13 *", False), ("0 0 30 2 8", False), ("0 0 30 2", False), ("0 24 30 2 *", False),
    ],
)  # fmt: skip
def test_a_date_that_no_month_has_is_told_from_a_wrong_expression(expression: str, exists: bool) -> None:
    with pytest.raises(ValueError, match=r"spec\.cron\.expression") as refused:
        times(expression, "UTC", 0.0, NOW)
    text = f"spec.cron.expression {expression!r} never comes due: no such date; correct the day or the month"
    assert (str(refused.value) == text) == exists
    assert ("is not a cron expression" in str(refused.value)) != exists


def test_the_29th_of_february_comes() -> None:
    assert times("0 0 29 2 *", "UTC", 0.0, NOW).next == at("2028-02-29T00:00:00Z")
