"""Writes the table of states in docs/gitops.md: what Argo CD and Flux show over the life of each kind.

The operator leaves the objects on the quick stage as it would in a cluster; Argo CD's Lua and kstatus (`gitopstools`) judge them.
Run it with ``--write`` after changes, with ``--check`` to see whether the page is up to date.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests")] if str(ROOT / "tests") not in sys.path else []

import gitopstools  # noqa: E402
from artifacts import gitops  # noqa: E402
from support.stage import Stage, job, operation, pool, run_on_stage, schedule, sleeping, task  # noqa: E402

PAGE = ROOT / "docs" / "gitops.md"
_BEGIN, _END = "<!-- Written by tests/support/gitops_page.py --write; do not edit. -->\n", "<!-- end -->\n"

Bodies = dict[tuple[str, str], dict[str, Any]]
_SKIP = {"azurebatch.io/reconcile-policy": "skip"}
_TASKS = {"good": "true", "bad": "false", "long": "/bin/sh -c 'sleep 600'"}


def _held(body: dict[str, Any]) -> dict[str, Any]:
    body["metadata"]["annotations"] = dict(_SKIP)
    return body


class Walk:
    """One stage, and the objects that were seen on it."""

    def __init__(self, stage: Stage) -> None:
        self.stage, self.found = stage, Bodies()

    async def see(self, state: str, kind: str, name: str, is_so: Callable[[], Any] = lambda: True) -> None:
        """Keep an object when it is so."""
        await self.stage.until(is_so, 1800, f"{kind} {name}: {state}")
        body = self.stage.get(kind, name)
        assert (body["kind"], state) not in self.found
        self.found[body["kind"], state] = body

    async def phase(self, state: str, kind: str, name: str, *phases: str) -> None:
        """Keep an object when it has a phase."""
        await self.see(state, kind, name, lambda: self.stage.phase(kind, name) in phases)

    async def reason(self, state: str, kind: str, name: str, reason: str) -> None:
        """Keep an object when its Ready has a reason."""
        await self.see(state, kind, name, lambda: self.stage.reason(kind, name) == reason)

    async def deleted(self, kind: str, name: str, hold: str = "") -> None:
        """Delete an object and keep it as it is while the deletion goes on."""
        held = self.stage.azure.hold(hold) if hold else None
        self.stage.delete(kind, name)
        await self.see("being deleted", kind, name)
        if held is not None:
            held.release()
        await self.stage.until(lambda: self.stage.gone(kind, name), 1800)


async def accounts(walk: Walk) -> None:
    """The life of an account."""
    stage = walk.stage
    stage.apply(*stage.account_objects("other"))
    await walk.see("just created", "bacc", "other")
    await walk.see("ready", "bacc", "other", lambda: stage.ready("bacc", "other"))
    stage.apply(*stage.account_objects("wrong", accountName="nobody"))
    await walk.see("wrong name or key", "bacc", "wrong", lambda: stage.condition("bacc", "wrong", "Stalled"))


async def pools(walk: Walk) -> None:
    """The life of a pool."""
    stage = walk.stage
    stage.apply(pool("early", accountRef={"name": "later"}))
    await walk.see("just created", "bp", "early")
    await walk.reason("waiting for its account", "bp", "early", "AccountNotFound")
    stage.apply(pool("one"))
    await walk.phase("starting nodes", "bp", "one", "Starting")
    await walk.see("steady", "bp", "one", lambda: stage.ready("bp", "one") and stage.phase("bp", "one") == "Steady")
    stage.patch("bp", "one", {"spec": {"targetDedicatedNodes": 3}})
    await walk.see("spec changed", "bp", "one")
    await walk.phase("resizing", "bp", "one", "Resizing")
    await stage.until(lambda: stage.phase("bp", "one") == "Steady", 1800)
    stage.annotate("bp", "one", reconcile_policy="skip")
    await walk.reason("held (`reconcile-policy: skip`)", "bp", "one", "ReconcileSkipped")
    stage.patch("bp", "one", {"spec": {"targetDedicatedNodes": 1}})
    await walk.phase("held, spec changed", "bp", "one", "Skipped")
    stage.annotate("bp", "one", reconcile_policy="managed")
    await walk.see("invalid policy", "bp", "one", lambda: stage.condition("bp", "one", "Stalled"))
    stage.annotate("bp", "one", reconcile_policy=None)
    await stage.until(lambda: stage.ready("bp", "one"), 1800)
    await walk.deleted("bp", "one", "Pools_DeletePool")
    stage.apply(_held(pool("never")))
    await walk.phase("held before its creation", "bp", "never", "Skipped")


async def jobs(walk: Walk) -> None:
    """The life of a job."""
    stage = walk.stage
    stage.apply(job("early", poolRef={"name": "later"}, tasks=[{"id": "a", "commandLine": "true"}]))
    await walk.see("just created", "bj", "early")
    await walk.reason("waiting for its pool", "bj", "early", "PoolNotFound")
    for name, command in _TASKS.items():
        stage.apply(job(name, tasks=[{"id": "a", "commandLine": command}]))
    await walk.phase("running", "bj", "long", "Running")
    await walk.phase("succeeded", "bj", "good", "Succeeded")
    await walk.phase("failed", "bj", "bad", "Failed")
    stage.patch("bj", "long", {"spec": {"suspend": True}})
    await walk.phase("suspended", "bj", "long", "Suspended")
    stage.patch("bj", "long", {"spec": {"suspend": False}})
    await stage.until(lambda: stage.phase("bj", "long") == "Running", 1800)
    stage.annotate("bj", "long", reconcile_policy="skip")
    await walk.reason("held (`reconcile-policy: skip`)", "bj", "long", "ReconcileSkipped")
    stage.annotate("bj", "long", reconcile_policy=None)
    stage.apply(_held(job("never", tasks=sleeping(1))))
    await walk.phase("held before its creation", "bj", "never", "Skipped")
    tasks = [{"id": "a", "commandLine": "false"}]
    stage.apply(job("kept", failurePolicy={"action": "Hold"}, tasks=tasks))
    await walk.phase("failed, kept open (`failurePolicy.action: Hold`)", "bj", "kept", "Held")
    await walk.deleted("bj", "long", "Jobs_DeleteJob")


async def tasks(walk: Walk) -> None:
    """The life of a BatchTask."""
    stage = walk.stage
    stage.apply(task("early", "later"))
    await walk.see("just created", "bt", "early")
    await walk.reason("waiting for its job", "bt", "early", "JobNotFound")
    stage.apply(job("open", onAllTasksComplete="noaction"))
    for name, command in _TASKS.items():
        stage.apply(task(name, "open", command))
    await walk.phase("running", "bt", "long", "Running")
    await walk.phase("succeeded", "bt", "good", "Succeeded")
    await walk.phase("failed", "bt", "bad", "Failed")
    stage.annotate("bt", "long", reconcile_policy="skip")
    await walk.reason("held (`reconcile-policy: skip`)", "bt", "long", "ReconcileSkipped")
    stage.annotate("bt", "long", reconcile_policy=None)
    await walk.deleted("bt", "long", "Tasks_DeleteTask")


async def schedules(walk: Walk) -> None:
    """The life of a job schedule."""
    stage = walk.stage
    jobs = {"poolRef": {"name": "cpu"}, "tasks": [{"id": "a", "commandLine": "true"}]}
    cron = {"expression": "0 * * * *"}
    stage.apply(schedule("hourly", cron=cron, jobSpecification=jobs))
    await walk.see("just created", "bjs", "hourly")
    await walk.see("active", "bjs", "hourly", lambda: stage.ready("bjs", "hourly"))
    stage.patch("bjs", "hourly", {"spec": {"suspend": True}})
    await walk.phase("suspended", "bjs", "hourly", "Suspended")
    stage.patch("bjs", "hourly", {"spec": {"suspend": False}})
    stage.annotate("bjs", "hourly", reconcile_policy="skip")
    await walk.reason("held (`reconcile-policy: skip`)", "bjs", "hourly", "ReconcileSkipped")
    stage.annotate("bjs", "hourly", reconcile_policy="managed")
    await walk.see("invalid policy", "bjs", "hourly", lambda: stage.condition("bjs", "hourly", "Stalled"))
    stage.annotate("bjs", "hourly", reconcile_policy=None)
    native = {"recurrenceInterval": "PT1H"}
    manager = {"id": "manager", "commandLine": "true"}
    stage.apply(
        schedule("native", schedule=native, jobSpecification={"poolRef": jobs["poolRef"], "jobManagerTask": manager})
    )
    await stage.until(lambda: stage.ready("bjs", "native"), 1800)
    await walk.deleted("bjs", "native", "JobSchedules_DeleteJobSchedule")


async def operations(walk: Walk) -> None:
    """The life of an operation."""
    stage = walk.stage
    reboot = {"nodes": {"selector": "all"}}
    stage.apply(operation("early", poolRef={"name": "later"}, rebootNode=reboot))
    await walk.see("just created", "bop", "early")
    await walk.reason("waiting for its pool", "bop", "early", "PoolNotFound")
    stage.apply(_held(operation("never", rebootNode=reboot)))
    await walk.phase("held (`reconcile-policy: skip`)", "bop", "never", "Skipped")
    stage.apply(operation("good", rebootNode=reboot))
    await walk.phase("running", "bop", "good", "Running")
    await walk.phase("succeeded", "bop", "good", "Succeeded")
    stage.apply(operation("bad", rebootNode={"nodes": {"names": ["nobody"]}}))
    await walk.phase("failed", "bop", "bad", "Failed")


_LIVES: tuple[Callable[[Walk], Awaitable[None]], ...] = (accounts, pools, jobs, tasks, schedules, operations)


async def states(stage: Stage) -> Bodies:
    """The objects of each kind in each state: (kind, state) → object."""
    await stage.ready_pool()
    walk = Walk(stage)
    for life in _LIVES:
        await life(walk)
    return walk.found


def table(bodies: Bodies) -> str:
    """The table, from what the tools answer."""
    questions = []
    for (kind, _), body in bodies.items():
        questions += [
            gitopstools.Question("health", body, gitops.health_lua(kind)),
            gitopstools.Question("kstatus", body),
        ]
    answers = [answer["status"] for answer in gitopstools.ask(questions)]
    lines = ["| Kind | State | Argo CD | kstatus (Flux, `helm --wait`) |", "|---|---|---|---|"]
    for (kind, state), argo, flux in zip(bodies, answers[::2], answers[1::2], strict=True):
        lines.append(f"| {kind} | {state} | {argo} | {flux} |")
    return "\n".join(lines) + "\n"


def page(text: str, found: str) -> str:
    """The page with the table in its place."""
    before, _, rest = text.partition(_BEGIN)
    return f"{before}{_BEGIN}\n{found}\n{_END}{rest.partition(_END)[2]}"


def main() -> None:
    """Write or check the page."""
    found = page(PAGE.read_text(), table(run_on_stage(states)))
    if "--write" in sys.argv:
        PAGE.write_text(found)
    elif PAGE.read_text() != found:
        sys.exit("docs/gitops.md is not up to date: run python tests/support/gitops_page.py --write")


if __name__ == "__main__":
    main()
