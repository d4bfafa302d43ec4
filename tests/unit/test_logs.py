"""Log lines carry the object, the pass over it and the request id, as text and as JSON."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from artifacts.lifecycles import LIFECYCLES
from azure_batch_operator import logs
from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.cli import main
from azure_batch_operator.reconcile.account.lifecycle import Health
from azure_batch_operator.reconcile.account.lifecycle import plan as plan_account
from azure_batch_operator.settings import wants_json
from azure_batch_operator.sync.transitions import Transitions
from support.jumping_loop import run_jumping
from unit.objects import NOW, POOL_SPEC, resource

ACCOUNT_SPEC = {
    "endpoint": "https://a.westeurope.batch.azure.com",
    "auth": {"sharedKey": {"secretRef": {"name": "key", "key": "key"}}},
}
logger = logging.getLogger("azure_batch_operator.test")


@pytest.fixture
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def written(form: str, level: str = "INFO") -> io.StringIO:
    """Configure logging and give what it writes to."""
    logs.configure(form, level)
    stream = io.StringIO()
    [handler] = logging.getLogger().handlers
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(stream)
    return stream


@pytest.mark.usefixtures("restored")
async def test_lines_of_a_pass_name_its_object_also_from_tasks_that_it_starts() -> None:
    stream = written("json")

    async def deep() -> None:
        logger.info("within", extra={"request_id": "abc"})

    with logs.reconciling("BatchPool team/cpu") as id:
        await asyncio.create_task(deep())
    logger.info("without")
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert (first["object"], first["reconcile_id"], first["request_id"]) == ("BatchPool team/cpu", id, "abc")
    assert (first["level"], first["message"]) == ("INFO", "within")
    assert "object" not in second


@pytest.mark.usefixtures("restored")
async def test_passes_at_the_same_time_do_not_mix() -> None:
    stream = written("json")

    async def one(name: str, other: asyncio.Event, mine: asyncio.Event) -> None:
        with logs.reconciling(name):
            mine.set()
            await other.wait()
            logger.info(name)

    a, b = asyncio.Event(), asyncio.Event()
    await asyncio.gather(one("a", b, a), one("b", a, b))
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert all(line["object"] == line["message"] for line in lines)
    assert len({line["reconcile_id"] for line in lines}) == 2


@pytest.mark.usefixtures("restored")
def test_text_for_people_has_them_at_its_end_and_levels_count() -> None:
    stream = written("text", "WARNING")
    with logs.reconciling("BatchPool team/cpu") as id:
        logger.info("not shown")
        logger.warning("shown", extra={"request_id": "abc"})
    [line] = stream.getvalue().splitlines()
    assert line.endswith(f"shown [object=BatchPool team/cpu reconcile_id={id} request_id=abc]")


@pytest.mark.usefixtures("restored")
def test_times_in_json_are_rfc_3339_in_utc() -> None:
    stream = written("json")
    record = logging.makeLogRecord({"name": "a", "msg": "b", "levelno": logging.INFO, "created": 1767323045.678})
    logging.getLogger().handle(record)
    assert json.loads(stream.getvalue())["time"] == "2026-01-02T03:04:05.678Z"


def status(phase: str, reason: str, *true: str) -> dict[str, object]:
    conditions = [{"type": "Ready", "status": "False", "reason": reason, "message": "why"}]
    return {"phase": phase, "conditions": [*conditions, *({"type": each, "status": "True"} for each in true)]}


@pytest.mark.usefixtures("restored")
def test_a_transition_is_one_line_with_its_reason_whatever_is_written_late() -> None:
    stream, transitions = written("json"), Transitions()
    pool = resource(Kind.POOL, POOL_SPEC)
    with logs.reconciling(pool.key) as id:
        for each in (
            status("Starting", "NodesStarting"),
            status("Starting", "NodesStarting"),
            status("Steady", "Steady"),
        ):
            transitions.log(pool, each)
        transitions.log(pool, status("Stalled", "InvalidSpec", "Stalled"))
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(each["phase"], each["reason"], each["level"]) for each in lines] == [
        ("Starting", "NodesStarting", "INFO"),
        ("Steady", "Steady", "INFO"),
        ("Stalled", "InvalidSpec", "WARNING"),
    ]
    assert {(each["object"], each["reconcile_id"]) for each in lines} == {(str(pool.key), id)}
    # A phase that is its own reason is said once.
    assert [each["message"] for each in lines] == [
        f"{pool.key} is Starting: NodesStarting: why",
        f"{pool.key} is Steady: why",
        f"{pool.key} is Stalled: InvalidSpec: why",
    ]


ACCOUNT_LEVELS = {
    "Connecting": "INFO",
    "Connected": "INFO",
    "Throttled": "INFO",
    "Unavailable": "WARNING",
    "Deleting": "INFO",
}
"""An account that nobody can use is worth a warning, whether it may come back by itself or not; a throttled one is used."""


def test_every_phase_of_an_account_has_its_level() -> None:
    assert set(ACCOUNT_LEVELS) == {*LIFECYCLES[Kind.ACCOUNT].states, "Deleting"}
    bad = {phase for phase, (_, look) in LIFECYCLES[Kind.ACCOUNT].states.items() if look == "bad"}
    assert bad == {phase for phase, level in ACCOUNT_LEVELS.items() if level == "WARNING"}


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize(
    ("health", "phase"),
    [
        (Health(), "Connecting"),
        (Health(checked=True), "Connected"),
        (Health(True, "Throttled", "…", NOW + 30), "Throttled"),
        *(
            (Health(True, reason, "…"), "Unavailable")
            for reason in (
                # What may pass by itself…
                "AuthorityUnreachable", "ConnectionFailed", "NameNotResolved", "ConnectionRefused", "NoAnswer", "ServiceFailed",
                "InternalError",
                # … and what a person must correct.
                "TLSFailed", "KeyRefused", "UnknownAccount", "SecretNotFound", "EndpointRefused", "AccountIsDisabled",
            )
        ),
    ],
)  # fmt: skip
def test_an_account_that_nobody_can_use_is_one_warning(health: Health, phase: str) -> None:
    stream, transitions = written("json"), Transitions()
    account = resource(Kind.ACCOUNT, ACCOUNT_SPEC)
    for _ in range(2):
        planned = plan_account(account, health, [], NOW).status
        assert planned is not None
        transitions.log(account, planned)
    [line] = [json.loads(each) for each in stream.getvalue().splitlines()]
    assert (line["phase"], line["level"]) == (phase, ACCOUNT_LEVELS[phase])


@pytest.mark.usefixtures("restored")
def test_an_account_that_waits_for_its_users_is_no_warning() -> None:
    stream, transitions = written("json"), Transitions()
    account = resource(Kind.ACCOUNT, ACCOUNT_SPEC, deleting=True, finalizer=True)
    user = resource(Kind.POOL, POOL_SPEC, finalizer=True)
    planned = plan_account(account, Health(True, "ConnectionRefused", "…"), [user], NOW).status
    assert planned is not None
    transitions.log(account, planned)
    assert (json.loads(stream.getvalue())["phase"], json.loads(stream.getvalue())["level"]) == ("Deleting", "INFO")


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize(("stalled", "level"), [("TasksFailed", "INFO"), ("Forbidden", "WARNING")])
def test_deleting_a_failed_job_is_no_second_warning(stalled: str, level: str) -> None:
    """The object keeps the conditions of its life; a deletion that is refused is stalled for a reason of its own."""
    stream, transitions = written("json"), Transitions()
    reason = "Forbidden" if stalled == "Forbidden" else "Deleting"
    left = [{"type": each, "status": "True", "reason": "TasksFailed"} for each in ("Failed", "Stalled")]
    left[1]["reason"] = stalled
    ready = {"type": "Ready", "status": "False", "reason": reason, "message": "why"}
    transitions.log(
        resource(Kind.JOB, {"poolRef": {"name": "cpu"}}), {"phase": "Deleting", "conditions": [ready, *left]}
    )
    assert json.loads(stream.getvalue())["level"] == level


@pytest.mark.usefixtures("restored")
async def test_of_thousands_of_tasks_only_what_fails_is_a_line() -> None:
    stream, transitions = written("json"), Transitions()
    task = resource(Kind.TASK, {"jobRef": {"name": "a"}, "commandLine": "true"})
    transitions.log(task, status("Running", "Running"))
    assert not stream.getvalue()
    transitions.log(task, status("Failed", "TaskFailed", "Failed"))
    assert json.loads(stream.getvalue())["reason"] == "TaskFailed"


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize("how", ["flag", "variable", "file"])
def test_a_fatal_start_error_is_a_line_of_json_if_requested(
    how: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments, environment = ["run", "--poll-seconds=-1"], {}
    if how == "flag":
        arguments.append("--log-format=json")
    elif how == "variable":
        environment = {"AZURE_BATCH_OPERATOR_LOG_FORMAT": "json"}
    else:
        (tmp_path / "settings.yaml").write_text("logFormat: json\nnoSuchSetting: 1\n")
        arguments.append(f"--config={tmp_path / 'settings.yaml'}")
    result = CliRunner().invoke(main, arguments, env=environment)
    assert result.exit_code == 2
    [line] = [*result.stderr.splitlines(), *capfd.readouterr().err.splitlines()]
    found = json.loads(line)
    assert found["level"] == "CRITICAL"
    assert "cannot start" in found["message"]


@pytest.mark.usefixtures("restored")
def test_nested_extras_are_safe_to_show() -> None:
    stream = written("json")

    class Told:
        def __str__(self) -> str:
            return "https://x/c?sig=hunter2"

    for deep in (
        Told(),
        ValueError("password=hunter2"),
        {"a": [Told()]},
        [{"b": (Told(),)}],
        {Told()},
        b"password=hunter2",
    ):
        logger.info("line", extra={"found": deep})
    assert len(stream.getvalue().splitlines()) == 6
    assert "hunter2" not in stream.getvalue()


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("# logFormat: json\nlogFormat: text\n", False),
        ("# logFormat: json\n", False),
        ("pollSeconds: 2\n\"logFormat\": 'json'\n", True),
        ('{"logFormat": "json", "pollSeconds": -1}', True),
        ('{\n  "logFormat": "json"\n', True),
    ],
)
def test_a_comment_in_a_file_does_not_select_json(text: str, *, asked: bool, tmp_path: Path) -> None:
    (tmp_path / "settings.yaml").write_text(text)
    assert wants_json({}, {}, str(tmp_path / "settings.yaml")) is asked


async def _shown(*subjects: int, few: logs.Few) -> list[bool]:
    return [few.level(logging.INFO, "refused", "refusals", subject) == logging.INFO for subject in subjects]


def test_a_noisy_object_leaves_lines_for_others(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        few = logs.Few(most=10, within=600.0)
        assert (await _shown(*[0] * 1000, few=few)).count(True) == 5
        assert await _shown(1, 2, 1, 3, 0, few=few) == [True, True, False, True, False]
        assert await _shown(4, 5, 6, 7, few=few) == [True, True, False, False], "ten in all"
        assert len(few._known["refused"].subjects) <= 10
        await asyncio.sleep(601)
        assert not few._known
        assert await _shown(0, few=few) == [True], "later it is news again"

    caplog.set_level(logging.INFO)
    run_jumping(run())
    assert [each.getMessage() for each in caplog.records] == [
        "999 more like this within 600 s, each at DEBUG: refusals"
    ]


def test_thousands_of_kinds_of_lines_are_not_all_remembered() -> None:
    async def run() -> None:
        few = logs.Few()
        shown = [few.level(logging.INFO, number, "lines", "one") == logging.INFO for number in range(5000)]
        assert len(few._known) <= 1001
        assert shown[:1000] == [True] * 1000
        assert shown.count(True) == 1005, "the further ones count as one kind"

    run_jumping(run())
