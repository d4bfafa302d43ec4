"""Plays a history on the quick stage and writes down what happened."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field

from azure_batch_emulator.wire.errors import BatchError
from histories.actions import ACTIONS, Actions
from histories.history import History, Step
from histories.quiet import seconds_of, stop_schedules
from histories.record import Body, Call, Done, Record, Version, Write
from histories.witness import witnessed
from support.stage import Options, Refusal, Stage
from support.stage.apiserver import OURS, Event
from support.stage.clock import StageLoop

TICK = 5.0
"""Virtual seconds between two looks at whether an operator has to be started again."""
MAX_QUIET = 7200.0
"""Virtual seconds, in addition to those of tasks that have not ended, after which a history that still moves has no rest."""
MIN_QUIET = 2400.0
"""Virtual seconds that the quiet end takes at least, for what comes late by itself."""
REST = 950.0
"""Virtual seconds for which nothing must change, after the last change: longer than any task runs."""


def play(history: History, *, disturb: Callable[[Stage], None] | None = None, quiet_least: float = MIN_QUIET) -> Record:
    """What happens when a history is played. The same history gives the same record (with PYTHONHASHSEED=0).

    Args:
        disturb: arms one more disturbance on the stage before the first step; it has to end by itself.
        quiet_least: virtual seconds that the quiet end takes at least.
    """

    async def run() -> Record:
        options = Options(
            seed=history.seed, settings=history.settings, finalizer_at_creation=history.finalizer_at_creation
        )
        async with Stage(options) as stage:
            if disturb is not None:
                disturb(stage)
            return await _Player(stage, history=history, quiet_least=quiet_least).play()

    before = os.environ.get("POD_NAMESPACE")
    os.environ["POD_NAMESPACE"] = "kube-system"
    try:
        with asyncio.Runner(loop_factory=StageLoop) as runner:
            return runner.run(run())
    finally:
        if before is None:
            del os.environ["POD_NAMESPACE"]
        else:
            os.environ["POD_NAMESPACE"] = before


class _Lines(logging.Handler):
    def __init__(self, lines: list[str]) -> None:
        super().__init__(logging.INFO)
        self._lines = lines
        self.setFormatter(logging.Formatter("%(levelname)s %(name)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(self.format(record))


def _is_refusal(error: BaseException) -> bool:
    return type(error).__name__ in {"KubeError", "Forbidden"}


@dataclass
class _Player(Actions):
    history: History = field(kw_only=True)
    quiet_least: float = MIN_QUIET

    async def play(self) -> Record:
        """Play all of it, then the quiet end."""
        stage, record = self.stage, self.record
        self.begun = stage.now
        logger = logging.getLogger("azure_batch_operator")
        lines, level = _Lines(record.lines), logger.level
        with ExitStack() as stack:
            logger.addHandler(lines)
            logger.setLevel(logging.INFO)
            stack.callback(logger.setLevel, level)
            stack.callback(logger.removeHandler, lines)
            stack.enter_context(witnessed(record.effects.append, lambda: self.now))
            stage.server.listeners.append(self._version)
            self._start()
            for step in self.history.steps:
                await self._advance(step.at)
                await self._take(step)
            await self._quiet()
            self._look()
        return record

    # --- time and the operators ---

    def _start(self) -> None:
        for _ in range(self.history.replicas):
            if self.history.replicas > 1:
                self.stage.start(leader_election=True)
            else:
                self.stage.start()
        self.record.starts.append(self.now)

    async def _advance(self, to: float) -> None:
        while self.now < to:
            due = min((at for at, _ in self.undo), default=to)
            await self.stage.run_for(max(min(to - self.now, TICK, due - self.now), 0.001))
            for at, undo in list(self.undo):
                if at <= self.now:
                    self.undo.remove((at, undo))
                    undo()
            await self._keep_alive()

    async def _keep_alive(self) -> None:
        for process in self.stage.processes:
            if process.error is not None:
                error, process.error = process.error, None
                starting = self.now - self.record.starts[-1] <= 70
                if starting and (type(error).__name__ == "Busy" or (_is_refusal(error) and self.stage.api.faults)):
                    # It cannot start without the API server, or without its rights; the kubelet starts the next one.
                    continue
                self.record.deaths.append(f"at {self.now:.0f}: {type(error).__name__}: {error}")
        if self.now < self.down_until or self.frozen:
            return
        running = [each for each in self.stage.processes if each.running and each.alive]
        if len(running) < self.history.replicas:
            for process in self.stage.processes:
                if not process.alive:
                    await process.reaped()
            for _ in range(self.history.replicas - len(running)):
                self.stage.start(**({"leader_election": True} if self.history.replicas > 1 else {}))
                self.record.starts.append(self.now)

    async def _take(self, step: Step) -> None:
        refusal = ""
        try:
            action = ACTIONS[step.do]
            answer = action(self, **step.args)
            if asyncio.iscoroutine(answer):
                await answer
        except (Refusal, BatchError) as error:
            refusal = f"{error.status} {error}"
        self.record.steps.append(Done(self.now, step.do, step.args, refusal))

    # --- the end ---

    async def _quiet(self) -> None:
        """Heal everything, stop what makes work forever, and wait until nothing changes."""
        for _, undo in sorted(self.undo, key=lambda each: each[0]):
            undo()
        self.undo.clear()
        self.thaw()
        self.down_until = 0.0
        self.stage.azure.heal()
        self.stage.api.down = False
        objects, schedules = self.stage.server.all("batchjobschedules"), self.stage.azure.all("/jobschedules")
        for step in stop_schedules(self.now, objects, schedules, self.stage.server.all("namespaces")):
            await self._take(step)
        await self._keep_alive()
        begun, since, last = self.now, self.now, self._state()
        longest = MAX_QUIET + seconds_of(self._commands())
        while self.now - begun < longest:
            await self._advance(self.now + 150.0)
            state = self._state()
            if state != last:
                self.record.moving = [f"{key}: {last.get(key)} -> {state.get(key)}" for key in sorted(state.keys() | last.keys()) if state.get(key) != last.get(key)]  # noqa: E501  # fmt: skip
                since, last = self.now, state
            if self.now - since >= REST and self.now - begun >= self.quiet_least:
                self.record.moving = []
                self.record.rest = (since, self.now)
                return

    def _commands(self) -> list[str]:
        """Command lines of the tasks that have not ended."""
        jobs = [job for service in self.stage.azure.services.values() for job in service.job_table.values()]
        tasks = [task for job in jobs for task in job.tasks.values() if task.state != "completed"]
        return [task.command_line for task in tasks]

    def _state(self) -> dict[str, str]:
        state = {}
        for plural in sorted(OURS):
            for body in self.stage.server.all(plural):
                metadata = body["metadata"]
                state[f"{plural} {metadata['namespace']}/{metadata['name']}"] = metadata["resourceVersion"]
        for service in self.stage.azure.services.values():
            for pool in service.pool_table.values():
                nodes = sorted(pool.node_counts().items())
                state[f"pool {pool.id}"] = f"{pool.created} {pool.state} {pool.allocation_state} {nodes}"
            for job in service.job_table.values():
                state[f"job {job.id}"] = f"{job.created} {job.state} {job.counts}"
            for schedule in service.schedule_table.values():
                state[f"schedule {schedule.id}"] = f"{schedule.created} {schedule.state}"
        return state

    def _version(self, event: Event) -> None:
        if event.id.plural in OURS or event.id.plural in {"events", "namespaces"}:
            version = Version(self.now, event.type, event.id.plural, event.id.namespace, event.id.name, event.body)
            self.record.versions.append(version)

    def _look(self) -> None:
        stage, record = self.stage, self.record
        for token in stage.authority.issued:
            self.plant(token)
        record.tracebacks = list(stage.tracebacks)
        record.calls = [
            Call(each.time - self.begun, each.operation, each.method, each.path, each.status, each.body)
            for each in stage.azure.log
        ]
        record.writes = [
            Write(each.time - self.begun, each.verb, each.resource, each.namespace, each.name, each.status, each.body)
            for each in stage.api.log
            if each.verb not in {"get", "list"}
        ]
        record.objects = [body for plural in sorted(OURS) for body in stage.server.all(plural)]
        azure = stage.azure
        record.pools = {each["id"]: self._pool(each) for each in azure.all("/pools")}
        record.jobs = {each["id"]: each for each in azure.all("/jobs")}
        for id, job in record.jobs.items():
            job["tasks"] = {each["id"]: each for each in azure.all(f"/jobs/{id}/tasks")}
        record.schedules = {each["id"]: each for each in azure.all("/jobschedules")}

    def _pool(self, body: Body) -> Body:
        states: dict[str, int] = {}
        for node in self.stage.azure.all(f"/pools/{body['id']}/nodes"):
            states[node["state"]] = states.get(node["state"], 0) + 1
        return body | {"nodes": states}
