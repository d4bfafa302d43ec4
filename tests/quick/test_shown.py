"""No object of the operator shows a secret that it holds, whoever prints it: a log line, an exception, a debugger's dump.

All that live while calls are in progress are asked for their representation, so that no class can be forgotten.
"""

from __future__ import annotations

import asyncio
import base64
import gc
from typing import Any

from support.stage import Stage, job, pool, secret, task

VALUE = "hunter2-very-secret"
FORMS = (VALUE, base64.b64encode(VALUE.encode()).decode())
ENVIRONMENT = [{"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "tokens", "key": "t"}}}]
USERS = [{"name": "u", "passwordSecretRef": {"name": "tokens", "key": "t"}}]


def ours(each: Any) -> bool:
    """Whether an object is the operator's, or a task of asyncio that runs its code."""
    if isinstance(each, asyncio.Task):
        return "azure_batch_operator" in repr(getattr(each.get_coro(), "cr_code", None)) or each.done()
    return str(getattr(type(each), "__module__", "")).startswith("azure_batch_operator")


def shows(key: str) -> tuple[set[str], set[str]]:
    """Classes of all objects that were looked at, and those whose representation holds a secret."""
    seen, showing = set(), set()
    for each in gc.get_objects():
        if not ours(each):
            continue
        name = f"{type(each).__module__}.{type(each).__qualname__}"
        seen.add(name)
        text = repr(each)
        if any(form in text for form in (*FORMS, key, base64.b64encode(key.encode()).decode())):
            showing.add(f"{name}: {text[:300]}")
    return seen, showing


async def test_no_object_shows_what_it_holds(stage: Stage) -> None:
    key, seen = stage.azure.key, set[str]()
    stage.apply(*stage.account_objects(), secret("tokens", t=VALUE))
    operations = ("Pools_CreatePool", "Jobs_CreateJob", "Tasks_CreateTaskCollection")
    holds = {operation: stage.azure.hold(operation) for operation in operations}
    stage.apply(
        pool("cpu", userAccounts=USERS),
        job("own", tasks=[{"id": "one", "commandLine": "x", "environmentSettings": ENVIRONMENT}]),
        task("more", "own", "x", environmentSettings=ENVIRONMENT),
    )
    for hold in holds.values():
        await stage.until(lambda hold=hold: hold.arrived, 900)  # type: ignore[misc]
        more, showing = shows(key)
        assert showing == set()
        seen |= more
        hold.release()
        await stage.run_for(5)
    more, showing = shows(key)
    assert showing == set()
    # Those that hold a secret were among them.
    for name in (
        "batch.requests.Request",
        "batch.auth.SharedKey",
        "kube.values.ValueReader",
        "reconcile.plan.Call",
        "sync.hidden.Hidden",
    ):
        assert f"azure_batch_operator.{name}" in seen | more, sorted(seen)
