"""Which tasks `logs` shows."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from click.testing import Result

from azure_batch_kubectl import logs_command
from azure_batch_kubectl.logs_command import Wish, filter_of, left_out
from unit.kubectl.conftest import Body
from unit.kubectl.test_others import Client, opened

__all__ = ["opened"]
Run = Callable[..., Result]
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
ENDED = "executionInfo/endTime ge DateTime'2026-05-01T12:00:00Z'"


@pytest.mark.parametrize(
    ("wish", "text"),
    [
        (Wish(), "(state eq 'running' or state eq 'completed')"),
        (Wish(follow=True), None),
        (Wish(failed=True), "executionInfo/result eq 'failure'"),
        (Wish(since=NOON), f"(state eq 'running' or state eq 'completed') and (state ne 'completed' or {ENDED})"),
        (Wish(follow=True, since=NOON), f"(state ne 'completed' or {ENDED})"),
        (Wish(failed=True, since=NOON), f"executionInfo/result eq 'failure' and {ENDED}"),
    ],
)
def test_which_tasks_are_listed(wish: Wish, text: str | None) -> None:
    assert filter_of(wish) == text


def task(state: str, end: str | None = None, result: str | None = None) -> Body:
    """A task of Azure Batch."""
    execution = {"endTime": end, "result": result}
    return {"id": "t", "state": state, "executionInfo": {name: text for name, text in execution.items() if text}}


@pytest.mark.parametrize(
    ("found", "wish", "why"),
    [
        (task("running"), Wish(since=NOON), None),
        (task("completed", "2026-05-01T12:00:00.5Z"), Wish(since=NOON), None),
        (task("completed", "2026-05-01T11:59:59.9Z"), Wish(since=NOON), "ended at 2026-05-01T11:59:59.9Z, before"),
        # It runs again: its end is that of the run before.
        (task("running", "2026-05-01T11:00:00Z"), Wish(since=NOON), None),
        (task("completed", "2026-05-01T11:00:00Z", "success"), Wish(failed=True), "has not failed"),
        (task("completed", "2026-05-01T11:00:00Z", "failure"), Wish(failed=True), None),
    ],
)
def test_a_task_that_is_named_is_judged_alike(found: Body, wish: Wish, why: str | None) -> None:
    said = left_out(found, wish)
    assert said is None if why is None else why in str(said)


def test_a_duration_becomes_whole_seconds() -> None:
    moment = logs_command.before(90.0)
    assert moment is not None
    assert moment.microsecond == 0
    assert logs_command.before(None) is None
    assert logs_command.before(1e20) is not None


def test_a_task_that_ended_before_shows_nothing_but_a_note(run: Run, opened: Callable[[Client], None]) -> None:
    class Ended(Client):
        async def _task(self) -> Body:
            return task("completed", "2020-01-01T00:00:00Z")

    client = Ended(["t"])
    opened(client)
    done = run("logs", "j/t", "--since", "10m")
    assert (done.stdout, done.exit_code, client.asked) == ("", 0, [])
    assert done.stderr == "(task 't' ended at 2020-01-01T00:00:00Z, before the time of --since)\n"


def test_the_filter_is_sent(run: Run, opened: Callable[[Client], None], monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Any] = []

    class Recording(Client):
        async def list(self, job: str, **options: Any) -> Any:
            sent.append(options["filter"])
            async for found in super().list(job, **options):
                yield found

    opened(Recording([]))
    monkeypatch.setattr(logs_command, "before", lambda seconds: NOON if seconds == 5400 else None)
    done = run("logs", "j", "--since", "1h30m")
    assert sent == [filter_of(Wish(since=NOON))]
    assert done.stderr == "(no task of BatchJob j has run since then)\n"


def test_an_invalid_duration_is_refused(run: Run) -> None:
    done = run("logs", "j", "--since", "soon")
    assert done.exit_code == 2
    assert "'soon' is not a duration: use a form such as 30s" in done.stderr


@pytest.mark.parametrize("lists", [[[f"t{n}" for n in range(11)]], [["t0"], [f"t{n}" for n in range(11)]]])
def test_more_tasks_than_can_be_followed_are_refused(
    run: Run, opened: Callable[[Client], None], monkeypatch: pytest.MonkeyPatch, lists: list[list[str]]
) -> None:
    monkeypatch.setattr("azure_batch_kubectl.reading.PAUSE", 0.0)

    class Working(Client):
        async def _task(self) -> Body:
            return {"id": "t", "state": "running"}

    opened(Working(*lists, jobs=["active"]))
    done = run("logs", "-f", "j")
    assert done.exit_code == 1
    assert "error: job 'j' has more than 10 tasks, too many to follow: give JOB/TASK" in done.stderr


def test_ten_tasks_are_followed(run: Run, opened: Callable[[Client], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("azure_batch_kubectl.reading.PAUSE", 0.0)
    opened(Client([f"t{n}" for n in range(10)], jobs=["active", "completed"]))
    done = run("logs", "-f", "j")
    assert (done.exit_code, len(done.stdout.splitlines())) == (0, 10)
