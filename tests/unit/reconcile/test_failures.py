"""Which tasks can never run since others have failed: in any order, by any spelling, and each dependency is looked at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from azure_batch_operator.batch.task_wire import ExitConditions
from azure_batch_operator.batch.wire import TaskCounts, convert
from azure_batch_operator.causes.exits import satisfies
from azure_batch_operator.reconcile.job.failures import blocked
from azure_batch_operator.reconcile.job.spec import JobTerms
from azure_batch_operator.reconcile.observed import FailedTask
from support import typed


class Counted(dict[str, Any]):
    """A task that counts how often it is asked what it depends on."""

    asked = 0

    def get(self, key: str, default: Any = None) -> Any:
        Counted.asked += key == "dependsOn"
        return super().get(key, default)


def failed(*ids: str, **info: Any) -> list[FailedTask]:
    code = {"exitCode": 1, "failureInfo": {"code": "FailureExitCode"}}
    return [typed.failed({"id": id, "executionInfo": code | info}) for id in ids]


def is_blocked(tasks: Sequence[dict[str, Any]], ended: list[FailedTask], waiting: int, **spec: Any) -> bool:
    counts = TaskCounts(active=waiting, completed=len(ended), failed=len(ended))
    return blocked(JobTerms.of({"tasks": tasks} | spec), counts, ended, len(ended))


@pytest.mark.parametrize("by_range", [False, True])
def test_long_chains_are_walked_once(by_range: bool) -> None:
    number = 3000
    depends = [
        {"taskIdRanges": [{"start": 0, "end": at - 1}]} if by_range else {"taskIds": [str(at - 1)]}
        for at in range(1, number)
    ]
    chain = [Counted(id=str(at), dependsOn=each) for at, each in enumerate(depends, start=1)]
    # The worst order: each is listed before the one that it waits for.
    tasks = [*reversed(chain), Counted(id="0")]
    Counted.asked = 0
    assert is_blocked(tasks, failed("0"), number - 1)
    assert Counted.asked <= 3 * number


def test_ids_are_compared_as_the_service_compares_them() -> None:
    tasks: list[dict[str, Any]] = [{"id": "Parent"}, {"id": "b", "dependsOn": {"taskIds": ["PARENT"]}}]
    assert is_blocked(tasks, failed("parent"), 1)
    numbered: list[dict[str, Any]] = [
        {"id": "007"},
        {"id": "x", "dependsOn": {"taskIdRanges": [{"start": 5, "end": 7}]}},
    ]
    assert is_blocked(numbered, failed("007"), 1)
    assert not is_blocked(numbered, failed("008"), 1)


def test_dependents_of_the_merge_task_wait_with_it() -> None:
    factory = {"repeat": {"count": 2}, "repeatTask": {"commandLine": "x"}, "mergeTask": {"commandLine": "m"}}
    assert is_blocked([{"id": "z", "dependsOn": {"taskIds": ["merge"]}}], failed("0"), 2, taskFactory=factory)


def test_a_failed_upload_may_satisfy_and_an_exit_code_goes_first() -> None:
    conditions: dict[str, Any] = {"fileUploadError": {"dependencyAction": "satisfy"}}
    assert satisfies(convert(ExitConditions, conditions), 0, "FileUploadMiscError")
    assert not satisfies(convert(ExitConditions, conditions), 1, "FailureExitCode")
    blocks = [{"code": 0, "exitOptions": {"dependencyAction": "block"}}]
    assert not satisfies(convert(ExitConditions, conditions | {"exitCodes": blocks}), 0, "FileUploadMiscError")
