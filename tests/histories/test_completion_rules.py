"""The rule about results notices what it is there for: small records, written by hand."""

from __future__ import annotations

from typing import Any

import pytest

from histories.completion import successes_are_complete
from histories.history import History
from histories.judged import Judged
from histories.lives import lives
from histories.record import Body, Done, Effect, Owner, Record, Thing, Version

OWNER = Owner("quick", "n", "BatchJob", "j", "u", "j")
MARKER = [{"name": "azurebatch.io/owner", "value": "quick/n/BatchJob/j/u/j"}]
REPLACE = {"taskUpdatePolicy": "Replace"}


def job(*commands: str, reason: str = "", phase: str = "Succeeded", **spec: Any) -> Body:
    """A BatchJob whose tasks are called a, b and so on."""
    conditions = [{"type": "TasksInSync", "status": "False", "reason": reason}] if reason else []
    tasks = [{"id": "abc"[place], "commandLine": command} for place, command in enumerate(commands)]
    return {
        "kind": "BatchJob",
        "metadata": {"name": "j", "namespace": "n", "uid": "u"},
        "spec": ({"tasks": tasks} if commands else {}) | spec,
        "status": {"phase": phase, "conditions": conditions},
    }


def ran(command: str, result: str = "success", state: str = "completed") -> Body:
    return {"commandLine": command, "state": state, "executionInfo": {"result": result} if state == "completed" else {}}


def broken(
    body: Body,
    tasks: dict[str, Body] | None,
    *effects: Effect,
    before: tuple[tuple[float, Body], ...] = (),
    steps: tuple[Done, ...] = (),
) -> str:
    """What the rule says of a job that has succeeded at 1000 s, and has these tasks in the end; None if the job is gone."""
    versions = [Version(at, "MODIFIED", "batchjobs", "n", "j", each) for at, each in (*before, (1000.0, body))]
    jobs = {} if tasks is None else {"j": {"metadata": MARKER, "tasks": tasks}}
    created = Effect(1.0, True, "Jobs_CreateJob", "/jobs", {}, {"id": "j", "metadata": MARKER}, None)
    record = Record(versions=versions, objects=[body], jobs=jobs, effects=[created, *effects], steps=[*steps])
    found = successes_are_complete(Judged(History(1, ()), record, lives(record)))
    assert {each.rule for each in found} <= {"incomplete"}
    return " ".join(each.text for each in found)


def task_deleted(at: float, id: str, state: str = "completed", *, ours: bool = True, command: str = "x") -> Effect:
    facts = {"job": "j", "job_owner": OWNER, "result": "success" if state == "completed" else None, "command": command}
    before = Thing("task", id, None, "1", state, facts=facts)
    return Effect(at, ours, "Tasks_DeleteTask", f"/jobs/j/tasks/{id}", {"jobId": "j", "taskId": id}, None, before)


def job_deleted(at: float, owner: Owner | None = OWNER, **commands: str) -> Effect:
    facts = {"commands": commands, "results": dict.fromkeys(commands, "success")}
    before = Thing("job", "j", owner, "1", "completed", dict.fromkeys(commands, "completed"), facts=facts)
    return Effect(at, False, "Jobs_DeleteJob", "/jobs/j", {"jobId": "j"}, None, before)


def test_each_task_has_to_have_run() -> None:
    assert broken(job("x", "y"), {"a": ran("x"), "b": ran("y")}) == ""
    assert "task b has run [], not 'y'" in broken(job("x", "y"), {"a": ran("x")})
    assert "task b" in broken(job("x", "y"), {"a": ran("x"), "b": ran("y", state="active")})
    assert "task a has run ['w'], not 'x'" in broken(job("x"), {"a": ran("w")}), "it is that of a former spec"
    assert "task a" in broken(job("x"), None), "there has never been a job"
    assert broken(job("x", phase="Failed"), {}) == ""
    assert broken(job(tasks=[]), None) == ""


def test_a_task_that_has_failed_counts_only_where_failures_are_allowed() -> None:
    assert "task a" in broken(job("x"), {"a": ran("x", "failure")})
    assert broken(job("x", failurePolicy={"maxFailedTasks": 1}), {"a": ran("x", "failure")}) == ""


def test_a_task_that_was_deleted_counts_if_it_had_ended() -> None:
    assert broken(job("x"), {}, task_deleted(500.0, "a", ours=False)) == ""
    assert "task a" in broken(job("x"), {}, task_deleted(500.0, "a", "running", ours=False))
    assert "task a" in broken(job("x", **REPLACE), {}, task_deleted(500.0, "a", command="w")), "it was to be replaced"


def test_what_a_former_job_has_run_does_not_count() -> None:
    assert broken(job("x", "y"), None, job_deleted(1100.0, a="x", b="y")) == "", "it was deleted after its end"
    assert "task b" in broken(job("x", "y"), {"a": ran("x")}, job_deleted(500.0, a="x", b="y"))
    assert "task a" in broken(job("x"), {}, task_deleted(400.0, "a"), job_deleted(500.0))
    assert "task a" in broken(job("x"), None, job_deleted(500.0, OWNER, b="x"))
    foreign = job_deleted(1200.0, None, a="x")
    assert "task a" in broken(job("x"), None, foreign), "somebody else's job has run it"


@pytest.mark.parametrize(
    ("policies", "former", "right"), [({}, {}, True), (REPLACE, {}, True), (REPLACE, REPLACE, False)]
)
def test_tasks_may_differ_only_where_they_were_not_to_be_replaced_from_the_start(
    policies: dict[str, str], former: dict[str, str], right: bool
) -> None:
    before = ((1.0, job("w", "y", phase="Running", **former)),)
    body = job("x", "y", reason="TasksDiffer", **policies)
    assert (broken(body, {"a": ran("w"), "b": ran("y")}, before=before) == "") is right
    assert "task b was not run to completion" in broken(
        job("x", "y", reason="TasksDiffer"), {"a": ran("w")}, before=before
    )


def test_what_was_changed_too_late_has_to_be_said() -> None:
    before = ((1.0, job("w", phase="Running")),)
    assert "task a" in broken(job("x"), {"a": ran("w")}, before=before)
    assert broken(job("x", reason="JobFinished"), {"a": ran("w")}, before=before) == ""
    assert "task a" in broken(job("x", reason="JobFinished"), {"a": ran("v")}, before=before)


def factory(template: str, **source: Any) -> Body:
    return job(taskFactory={**source, "repeatTask": {"commandLine": template}})


def test_the_tasks_of_a_factory_are_known_by_number() -> None:
    sweep = factory(
        "run {0} {1}", parametricSweep={"parameterSets": [{"start": 2, "end": 1, "step": -1}, {"values": ["u"]}]}
    )
    assert broken(sweep, {"00": ran("run 2 u"), "01": ran("run 1 u")}) == ""
    assert "task #1 has run ['run 3 u'], not 'run 1 u'" in broken(sweep, {"0": ran("run 2 u"), "1": ran("run 3 u")})
    assert "task #1" in broken(sweep, {"0": ran("run 2 u")})
    assert "task #1" in broken(factory("run {0}", repeat={"count": 2}), {"0": ran("run 0")})
    assert "task #1" in broken(
        factory("run {0}", taskPerItem={"items": ["k", "l"]}), {"0": ran("run k"), "1": ran("run k")}
    )
    assert broken(factory("run {0:4}", repeat={"count": 1}), {"0": ran("run 0000")}) == "", "the command is not judged"
    assert broken(factory("run {0}", taskPerItem={"itemsFrom": {}}), {}) == "", "nor are items that stand elsewhere"


def list_of(at: float, *commands: str) -> Done:
    lines = "\n".join(f"- {{id: {'abc'[place]}, commandLine: {command}}}" for place, command in enumerate(commands))
    metadata = {"name": "list", "namespace": "n"}
    return Done(at, "apply", {"object": {"kind": "ConfigMap", "metadata": metadata, "data": {"key": lines or "[]"}}})


def test_a_list_may_have_changed_right_before_the_end() -> None:
    body = job(tasksFrom=[{"configMapKeyRef": {"name": "list", "key": "key"}}])
    tasks = {"a": ran("x")}
    assert broken(body, tasks, steps=(list_of(1.0, "x"),)) == ""
    assert broken(body, tasks, steps=(list_of(1.0, "x"), list_of(700.0, "x", "y"))) == ""
    assert broken(body, tasks, steps=(list_of(1.0, "x"), list_of(1001.0, "x", "y"))) == ""
    assert "task b" in broken(body, tasks, steps=(list_of(1.0, "x"), list_of(600.0, "x", "y")))
    down = Done(500.0, "kill", {"seconds": 100.0})
    assert broken(body, tasks, steps=(list_of(1.0, "x"), list_of(600.0, "x", "y"), down)) == ""
    assert broken(body, {}, steps=(list_of(1.0),)) == ""


def test_jobs_whose_tasks_stand_elsewhere_are_not_judged() -> None:
    assert broken(job("x", reason="ConfigMapNotFound"), {}) == ""
    assert broken(job(retryOf={"name": "former"}), {}) == ""
