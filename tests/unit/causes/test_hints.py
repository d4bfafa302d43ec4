"""Hints about failed tasks, and who has disabled a job, are given only where what is seen shows them."""

from __future__ import annotations

import time
from typing import Any

import pytest

from azure_batch_operator.batch.job_wire import Job
from azure_batch_operator.batch.task_wire import EndedTask, ExitConditions
from azure_batch_operator.batch.wire import build, convert
from azure_batch_operator.causes.commands import names_of, without_shell
from azure_batch_operator.causes.dependencies import Waiting
from azure_batch_operator.causes.disabling import Disabler, disabler
from azure_batch_operator.causes.evidence import Circle, Failed, Lost, Unfinished, Unmet
from azure_batch_operator.causes.exits import disables_job, satisfies, words
from azure_batch_operator.causes.remedies import of_code, of_resize


@pytest.mark.parametrize(
    ("command", "needed"),
    [
        ("make all && make install", "&&"),
        ("cd build; make", ";"),
        ("cat list.txt | sort", "|"),
        ("python run.py > out.txt", ">"),
        ("python run.py >out.txt", ">"),
        ("tool --node=$AZ_BATCH_NODE_ID", "$AZ_BATCH_NODE_ID"),
        ('tool "${HOME}/x"', "${HOME}"),
        ('tool "$AZ_BATCH_TASK_DIR/x"', "$AZ_BATCH_TASK_DIR"),
        ("tool $col", "$col"),
        ("bash a.sh && bash b.sh", "&&"),
        ("bash a.sh -c && b", "&&"),
        ("python bash.py | sh", "|"),
        ("timeout 60 bash -c 'a && b' && c", "&&"),
        ("cmd.py /x && cmd /c b", "&&"),
        ('python "never closed" && x "y', "&&"),
    ],
)
def test_what_needs_a_shell_is_named(command: str, needed: str) -> None:
    said = without_shell(command)
    assert said is not None
    assert f"the program gets {needed!r} as an argument" in said


@pytest.mark.parametrize(
    "command",
    [
        "",
        "true",
        "/bin/sh -c 'make all && make install'",
        "env A=1 bash -lc 'cat x | sort'",
        'cmd /c "cd build && make"',
        r"C:\Windows\System32\cmd.exe /c a && b",
        "awk '{print $1}' x",
        "perl -e 'print $x && 1'",
        "python -c \"print('a | b')\"",
        "grep a|b file",
        "tool '$HOME'",
        "tool a>b",
        'Rscript -e "mean(df$col)"',
        'perl -e "print $x"',
        'timeout 60 bash -c "echo $AZ_BATCH_TASK_DIR && b"',
        "bash -eo pipefail -c 'a | b' && c",
        "bash -o pipefail -c a && b",
        "busybox sh -c a && b",
        r'"C:\Program Files\Git\bin\bash.exe" -c a && b',
        "cmd /d /s /c a && b",
        "powershell a; b",
        'python "never closed && x',
        r'python "escaped \" && x"',
    ],
)
def test_a_command_that_needs_no_shell_or_has_one_gets_no_hint(command: str) -> None:
    assert without_shell(command) is None


def test_a_variable_in_quotes_counts_if_the_task_has_it() -> None:
    task = {"environmentSettings": [{"name": "INPUT", "value": "x"}, {"name": "secret", "value": "y"}]}
    assert "'$INPUT'" in (without_shell('tool "$OUTPUT $INPUT"', names_of(task)) or "")
    assert without_shell('tool "$OUTPUT"', names_of(task)) is None
    assert without_shell('tool "$INPUT"', names_of({})) is None


def test_only_the_beginning_of_a_long_command_line_is_looked_at() -> None:
    assert without_shell("tool " + "a " * 40_000 + "&& b") is None
    assert "'&&'" in (without_shell("tool && b " + "a " * 40_000) or "")
    assert without_shell("tool" + "a" * 4000 + " $AZ_BATCH_" + "x" * 4000) is None, "the name is cut in two"


@pytest.mark.parametrize(
    "part", ['\\"', "'", '"', "\\", "$", "${a", "&", "cmd ", "bash -o ", "sh - ", "-", ";", "\\\n", "a'\""]
)
def test_no_command_line_takes_long(part: str) -> None:
    before = time.thread_time()
    without_shell('x "' + part * (65_536 // len(part)))
    without_shell("x " + part * (65_536 // len(part)))
    assert time.thread_time() - before < 1  # a quadratic pattern takes seconds


ACTS = {"onTaskFailure": "performExitOptionsJobAction", "stateTransitionTime": "2026-01-01T00:10:00.1234567Z"}
DISABLES = {"exitCodes": [{"code": 3, "exitOptions": {"jobAction": "disable"}}]}


def ended(code: int, at: str = "2026-01-01T00:09:58Z") -> dict[str, Any]:
    """A failed task with an exit condition."""
    return {"id": "a", "exitConditions": DISABLES, "executionInfo": {"exitCode": code, "endTime": at}}


@pytest.mark.parametrize(
    ("job", "failed", "who"),
    [
        (ACTS, [ended(3)], Disabler("'a' (exit code 3)")),
        # Its condition is for another exit code.
        (ACTS, [ended(4)], None),
        # It has failed an hour before, or after the job was disabled.
        (ACTS, [ended(3, "2025-12-31T23:00:00Z")], None),
        (ACTS, [ended(3, "2026-01-01T00:11:00Z")], None),
        (ACTS, [], None),
        # Exit conditions do not act on this job.
        ({"stateTransitionTime": "2026-01-01T00:10:00Z"}, [ended(3)], Disabler()),
        ({"onTaskFailure": "noaction"}, [], Disabler()),
    ],
)
def test_who_has_disabled_a_job(job: dict[str, Any], failed: list[dict[str, Any]], who: Disabler | None) -> None:
    assert disabler(build(Job, {"id": "one", **job}), [build(EndedTask, each) for each in failed]) == who


def waiting(id: str, *ids: str, state: str = "active") -> dict[str, Any]:
    """A task that depends on others."""
    return {"id": id, "state": state, "dependsOn": {"taskIds": [*ids]}}


FAILED = {"id": "f", "executionInfo": {"exitCode": 3}}


@pytest.mark.parametrize(
    ("others", "unmet"),
    [
        ([waiting("a")], Unfinished("'a', waiting")),
        ([waiting("a", state="running")], Unfinished("'a', running")),
        ([], Lost("a")),
        ([waiting("a", "f")], Failed("f, exit code 3")),
        ([waiting("a", "b"), waiting("B", "f")], Failed("f, exit code 3")),
        ([waiting("a", "T")], Circle(("t", "a"))),
        # What others wait for is not its business.
        ([waiting("a"), waiting("x", "f"), waiting("y", "z"), waiting("z", "y")], Unfinished("'a', waiting")),
    ],
)
def test_why_a_single_task_waits_for_others(others: list[dict[str, Any]], unmet: Unmet) -> None:
    task = waiting("t", "a")
    found = Waiting(Waiting.before(task, others), [FAILED])
    looked_up = found.without({"a"} if not others else ())
    assert looked_up.unmet_of("t") == unmet


@pytest.mark.parametrize(("span", "names"), [((2, 4), True), ((4, 9), True), ((1, 3), False), ((5, 9), False)])
def test_a_range_of_ids_names_both_of_its_ends_and_no_id_that_is_no_number(span: tuple[int, int], names: bool) -> None:
    task = {"id": "t", "state": "active", "dependsOn": {"taskIdRanges": [{"start": span[0], "end": span[1]}]}}
    found = Waiting(Waiting.before(task, [waiting("004"), waiting("x4"), waiting("\u0664")]), [])
    assert found.unmet_of("t") == (Unfinished("'004', waiting") if names else None)


@pytest.mark.parametrize(("code", "acts"), [(2, False), (3, True), (9, True), (10, False), (5, False)])
def test_a_range_of_exit_codes_holds_both_of_its_ends_and_a_single_code_goes_first(code: int, acts: bool) -> None:
    conditions = {
        "exitCodes": [{"code": 5, "exitOptions": {"jobAction": "none", "dependencyAction": "block"}}],
        "exitCodeRanges": [
            {"start": 3, "end": 9, "exitOptions": {"jobAction": "disable", "dependencyAction": "satisfy"}}
        ],
    }
    found = convert(ExitConditions, conditions)
    assert satisfies(found, code, "FailureExitCode") is acts
    assert disables_job(found, code, "FailureExitCode") is acts


def test_a_task_whose_dependencies_have_ended_waits_for_none() -> None:
    task = waiting("t", "a")
    assert Waiting(Waiting.before(task, [task, waiting("x", "y")]), []).unmet_of("T") is None


@pytest.mark.parametrize(
    ("code", "reason", "said"),
    [
        (3, "FailureExitCode", "exit code 3"),
        (3, None, "exit code 3"),
        (0, "FileUploadMiscError", "FileUploadMiscError"),
        (None, "BlobNotFound", "BlobNotFound"),
        (0, None, "exit code 0"),
        (None, None, ""),
    ],
)
def test_an_exit_code_of_zero_hides_no_failure(code: int | None, reason: str | None, said: str) -> None:
    assert words(code, reason) == said


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        ("AccountLowPriorityCoreQuotaReached", "request a higher core quota"),
        ("AllocationFailed", "Azure has no capacity"),
        ("AllocationTimedout", "within resizeTimeout"),
        ("ResizeStopped", "resize the pool again"),
        ("Whatever", "see the condition ResizeFailed"),
    ],
)
def test_each_error_of_a_resize_has_a_remedy(code: str, remedy: str) -> None:
    assert remedy in of_resize(code)


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        ("InvalidApplicationPackageReferences", "application package"),
        ("FileUploadAccessDenied", "outputFiles"),
        ("BlobAccessDenied", "resourceFiles"),
        ("ContainerInvalidImage", "container image"),
        ("ContainerPoolNotSupported", "containerConfiguration"),
        ("DiskFull", "larger disk"),
        ("ActiveJobAndScheduleQuotaReached", "request a higher quota"),
    ],
)
def test_codes_that_a_user_can_act_on_have_a_remedy(code: str, remedy: str) -> None:
    assert remedy in (of_code(code) or "")


def test_a_code_that_only_its_message_explains_has_none() -> None:
    assert of_code("FailureExitCode") is None
    assert of_code("") is None
