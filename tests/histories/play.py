"""Plays a history on the quick stage and writes down what happened."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from azure_batch_emulator.wire.errors import BatchError
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
            return await _Player(stage, history, quiet_least=quiet_least).play()

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
class _Player:
    stage: Stage
    history: History
    record: Record = field(default_factory=Record)
    begun: float = 0.0
    down_until: float = 0.0
    frozen: bool = False
    principal_secret: str = ""
    quiet_least: float = MIN_QUIET
    undo: list[tuple[float, Callable[[], None]]] = field(default_factory=list)

    @property
    def now(self) -> float:
        return self.stage.now - self.begun

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

    def _later(self, seconds: float, undo: Callable[[], None]) -> None:
        self.undo.append((self.now + seconds, undo))

    # --- steps ---

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

    def account(self, name: str = "main", namespace: str = "default", **spec: Any) -> None:
        """Create the BatchAccount of the emulator, and its Secret."""
        self.plant(self.stage.azure.key)
        self.stage.apply(*self.stage.account_objects(name, namespace, **spec))

    def principal(
        self, secret: str, lifetime: int, name: str = "main", namespace: str = "default", **spec: Any
    ) -> None:
        """Create the BatchAccount with a service principal, whose tokens are good for so many seconds."""
        self.plant(secret)
        self.principal_secret = secret
        self.stage.azure.server.entra.lifetime = lifetime
        held, account = self.stage.principal_objects(secret, name, namespace)
        self.stage.apply(held, account | {"spec": account["spec"] | spec})

    def plant(self, text: str) -> None:
        """A value that must not be shown from now on."""
        if text not in self.record.planted:
            self.record.planted.append(text)

    def apply(self, object: Body) -> None:  # noqa: A002
        """Create or replace an object."""
        if object["kind"] == "Secret":
            for text in object.get("stringData", {}).values():
                self.plant(text)
        self.stage.apply(object)

    def patch(self, kind: str, name: str, patch: Mapping[str, Any], namespace: str = "default") -> None:
        """Merge-patch an object."""
        self.stage.patch(kind, name, patch, namespace)

    def delete(self, kind: str, name: str, namespace: str = "default") -> None:
        """Delete an object."""
        self.stage.delete(kind, name, namespace)

    def azure(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> None:
        """Do something in Azure Batch outside the operator."""
        if method != "DELETE" and body is None:
            body = {}
        self.stage.azure.call(method, path, body)

    def copy_pool(self, id: str, to: str) -> None:
        """Create a pool with the body of another one, marker included."""
        original = self.stage.azure.call("GET", f"/pools/{id}")
        members = ("vmSize", "virtualMachineConfiguration", "metadata", "taskSlotsPerNode")
        body = {name: original[name] for name in members if name in original}
        self.stage.azure.post("/pools", body | {"id": to, "targetDedicatedNodes": 0})

    def rotate_key(self, key: str, seconds: float, namespace: str = "default", name: str = "main-key") -> None:
        """Renew the account's key; the Secret follows so much later."""
        import base64

        self.plant(key)
        azure = self.stage.azure
        azure.server.set_key(azure.account, base64.b64decode(key))
        azure.key = key

        def follow() -> None:
            # Of two renewals, the first may be due to follow after the second: nobody puts back a key that is none any more.
            if azure.key == key:
                self._follow(name, {"key": key}, namespace)

        self._later(seconds, follow)

    def _follow(self, name: str, data: Mapping[str, str], namespace: str = "default") -> None:
        try:
            self.stage.patch("secret", name, {"stringData": dict(data)}, namespace)
        except Refusal as error:
            self.record.steps.append(Done(self.now, "secret-follows", {}, str(error)))

    def rotate_principal(self, secret: str, seconds: float, name: str = "main-principal") -> None:
        """Replace the secret of the service principal; the Secret in the cluster follows so much later."""
        self.plant(secret)
        self.principal_secret = secret
        self.stage.authority.register(secret, self.stage.azure.account)

        def follow() -> None:
            if self.principal_secret == secret:
                self._follow(name, {"secret": secret})

        self._later(seconds, follow)

    # --- the adversary ---

    def authority(self, seconds: float, how: str) -> None:
        """Nobody gives tokens for a while: the authority is `down`, or `silent`."""
        authority = self.stage.authority
        setattr(authority, how, True)
        self._later(seconds, lambda: setattr(authority, how, False))

    def revoke_tokens(self) -> None:
        """All tokens that were issued are worth nothing."""
        self.stage.authority.revoke()

    def role(self, seconds: float, role: str) -> None:
        """The service principal may do less for a while."""
        authority, account = self.stage.authority, self.stage.azure.account
        authority.register(self.principal_secret, account, role)
        self._later(seconds, lambda: authority.register(self.principal_secret, account))

    def clock_skew(self, seconds: float, by: float) -> None:
        """The wall clock of the operator's machine is off for a while from that of all others."""
        self.stage.clock.operator_skew = by

        def set_right() -> None:
            self.stage.clock.operator_skew = 0.0

        self._later(seconds, set_right)

    def fault(
        self, operation: str, effect: Mapping[str, Any], seconds: float, count: int | None = None, path: str = ""
    ) -> None:
        """Make calls to Azure Batch fail for a while."""
        rule = self.stage.azure.fault(operation, count=count, path=path, **effect)

        def rule_over() -> None:
            self.stage.azure.server.faults.clear(rule.id)

        self._later(seconds, rule_over)

    def hold(self, operation: str, seconds: float, count: int | None = None) -> None:
        """Keep calls on their way; they land later, whether or not somebody waits."""
        hold = self.stage.azure.hold(operation, count=count)
        self._later(seconds, hold.release)

    def api_fault(self, seconds: float, verb: str = "", resource: str = "", **effect: Any) -> None:
        """Make requests to the API server fail for a while."""
        fault = self.stage.fail(verb, resource, **effect)
        self._later(seconds, fault.end)

    def api_down(self, seconds: float) -> None:
        """The API server refuses connections for a while."""
        self.stage.api.down = True

        def up() -> None:
            self.stage.api.down = False

        self._later(seconds, up)

    def expire_pages(self) -> None:
        """Lists that are in progress get a 410."""
        self.stage.api.expire_pages()

    def watch_hold(self, seconds: float, plural: str = "", name: str = "") -> None:
        """Watches are silent for a while, then tell everything."""
        hold = self.stage.watch.hold(plural, name)
        self._later(seconds, hold.release)

    def watch_delay(self, seconds: float, by: float) -> None:
        """Watch events arrive late for a while."""
        self.stage.watch.delay(by)
        self._later(seconds, lambda: self.stage.watch.delay(0))

    def watch_replay(self, plural: str, name: str) -> None:
        """All that ever happened to an object is told again."""
        self.stage.watch.replay(plural, name)

    def watch_shuffle(self, seconds: float) -> None:
        """The newest event first, for a while."""
        self.stage.watch.shuffle()
        self._later(seconds, lambda: self.stage.watch.shuffle(False))

    def lag(self, by: float, seconds: float) -> None:
        """Counts are behind by so many seconds, for a while."""
        usual = self.stage.azure.service.lag.seconds
        self.stage.azure.service.lag.seconds = by

        def again() -> None:
            self.stage.azure.service.lag.seconds = min(usual, 5.0)

        self._later(seconds, again)

    def node(self, pool: str, index: int, what: str) -> None:
        """A node is preempted, or fails."""
        service = self.stage.azure.service
        found = service.pool_table.get(pool.lower())
        nodes = list(found.nodes.values()) if found is not None else []
        if not nodes:
            return
        node = nodes[index % len(nodes)]
        if what == "preempt" and not node.dedicated and node.state in {"idle", "running"}:
            service.nodes.preempt(node)
        elif what == "unusable" and node.state in {"idle", "running"}:
            service.nodes.fail(node, "unusable", "NodeUnusable", "gone on order")

    def quota(self, seconds: float, **limits: int) -> None:
        """Quotas are lower for a while."""
        quotas = self.stage.azure.service.quotas
        usual = {"pools": 100, "active_jobs_and_schedules": 300, "dedicated_cores": 500, "low_priority_cores": 500}
        for name, value in limits.items():
            setattr(quotas, name, value)

        def again() -> None:
            for name in limits:
                setattr(quotas, name, usual[name])

        self._later(seconds, again)

    def clock_jump(self, by: float) -> None:
        """The wall clocks jump; what lasts is not affected."""
        self.stage.clock.skew += by

    async def kill(self, seconds: float) -> None:
        """SIGKILL the operators; others start so much later."""
        self._thaw()
        for process in self.stage.processes:
            if process.alive and process.running:
                process.kill()
        for process in self.stage.processes:
            await process.reaped()
        self.down_until = self.now + seconds

    async def stop(self, seconds: float) -> None:
        """SIGTERM; another one starts so much later, or after half a minute SIGKILL."""
        self._thaw()
        self.down_until = self.now + 30 + seconds
        for process in self.stage.processes:
            if process.alive and process.running:
                try:
                    async with asyncio.timeout(30):
                        await process.stop()
                except TimeoutError:
                    process.kill()
                    await process.reaped()
        self.down_until = self.now + seconds

    def kill_at_effect(self, number: int, after: bool) -> None:
        """Kill the newest operator at its n-th effect from now."""
        self.stage.kill_at_effect(self.stage.effects + number, after=after)

    def freeze(self, seconds: float) -> None:
        """SIGSTOP for a while."""
        if not self.frozen and self.stage.operator.alive:
            self.stage.freeze()
            self.frozen = True
            self._later(seconds, self._thaw)

    def _thaw(self) -> None:
        if self.frozen:
            self.frozen = False
            self.stage.thaw()

    # --- the end ---

    async def _quiet(self) -> None:
        """Heal everything, stop what makes work forever, and wait until nothing changes."""
        for _, undo in sorted(self.undo, key=lambda each: each[0]):
            undo()
        self.undo.clear()
        self._thaw()
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


ACTIONS: Mapping[str, Callable[..., Any]] = {
    "account": _Player.account, "apply": _Player.apply, "patch": _Player.patch, "delete": _Player.delete,
    "azure": _Player.azure, "copy-pool": _Player.copy_pool, "rotate-key": _Player.rotate_key,
    "fault": _Player.fault, "hold": _Player.hold, "api-fault": _Player.api_fault, "api-down": _Player.api_down,
    "expire-pages": _Player.expire_pages, "watch-hold": _Player.watch_hold, "watch-delay": _Player.watch_delay,
    "watch-replay": _Player.watch_replay, "watch-shuffle": _Player.watch_shuffle, "lag": _Player.lag,
    "node": _Player.node, "quota": _Player.quota, "clock-jump": _Player.clock_jump,
    "principal": _Player.principal, "rotate-principal": _Player.rotate_principal, "authority": _Player.authority,
    "revoke-tokens": _Player.revoke_tokens, "role": _Player.role, "clock-skew": _Player.clock_skew, "kill": _Player.kill,
    "stop": _Player.stop, "kill-at-effect": _Player.kill_at_effect, "freeze": _Player.freeze,
}  # fmt: skip
"""What a step may do."""
