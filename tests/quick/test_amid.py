"""A spec changes while its tasks are being added, and the operator dies anywhere between that and the end."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from azure_batch_operator.batch import submission
from support.stage import Stage, job

NUMBER = 16


def sweep(name: str, word: str, number: int) -> dict[str, Any]:
    """A job of so many tasks, which say a word."""
    factory = {
        "parametricSweep": {"parameterSets": [{"start": 1, "end": number}]},
        "repeatTask": {"commandLine": f"/bin/sh -c 'sleep 36000; echo {word} {{0}}'"},
    }
    return job(name, taskFactory=factory, taskUpdatePolicy="Replace", taskPrunePolicy="Delete")


@pytest.mark.parametrize(("after", "fewer"), [(False, 0), (True, 5)])
async def test_a_factory_that_changes_during_its_submission_wins_wherever_the_operator_dies(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, after: bool, fewer: int
) -> None:
    """One job for each effect that follows the change, until there is none left to die at."""
    monkeypatch.setattr(submission, "MAX_TASKS", 2)
    await stage.ready_pool()
    effect = 0
    while True:
        effect += 1
        name = f"job{effect}"
        path = f"/jobs/{name}"
        stage.apply(sweep(name, "first", NUMBER))
        await stage.until(lambda path=path: stage.azure.get(path) and len(stage.azure.all(f"{path}/tasks")) >= 5)
        assert len(stage.azure.all(f"{path}/tasks")) < NUMBER, "the change comes during the submission"
        stage.kill_at_effect(stage.effects + effect, after=after)
        stage.apply(sweep(name, "second", NUMBER - fewer))
        await stage.run_for(10)
        died = not stage.operator.alive
        if died:
            await stage.operator.reaped()
            stage.start()

        def is_done(path: str = path) -> bool:
            tasks = stage.azure.all(f"{path}/tasks")
            return len(tasks) == NUMBER - fewer and all("second" in task["commandLine"] for task in tasks)

        await stage.until(is_done, 300, f"the tasks of {name} are those of its last spec")
        await stage.run_for(60)
        assert is_done(), f"effect {effect}"
        deleted = Counter(
            each.path
            for each in stage.azure.log
            if each.operation == "Tasks_DeleteTask" and each.status == 200 and path in each.path
        )
        assert set(deleted.values()) <= {1}, "no task is made twice"
        if not died:
            break
        stage.delete("bj", name)
        await stage.until(lambda name=name: stage.gone("bj", name), 300)
    assert effect > NUMBER // 2
