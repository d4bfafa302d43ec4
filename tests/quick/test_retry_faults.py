"""What goes wrong around a retry (`spec.retryOf`) costs neither tasks nor the operator."""

from __future__ import annotations

from quick.test_retry_of import FAILS, again, ended, tasks
from support.stage import Stage, job


async def test_a_retry_that_is_deleted_while_its_tasks_are_listed_fails_no_pass(stage: Stage) -> None:
    """The stage fails on a traceback in the log, so no pass may end by an exception."""
    await stage.ready_pool()
    stage.apply(job("own", tasks=[{"id": "bad", "commandLine": FAILS}]))
    await ended(stage, "own")
    hold = stage.azure.hold("Tasks_ListTasks")
    stage.apply(again("more", "own"))
    await stage.until(lambda: hold.arrived > 0, 5)
    stage.delete("bj", "more")
    stage.apply(again("more", "own"))
    await stage.until(lambda: stage.reason("bj", "more") == "RetryTasksPending", 10)
    hold.release()
    await ended(stage, "more")
    assert sorted(tasks(stage, "more")) == ["bad"]
