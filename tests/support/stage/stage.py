"""All parts of the stage put together, with the words that tests use."""

from __future__ import annotations

import asyncio
import logging
import random
import tempfile
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import UUID

from azure_batch_operator.settings import Settings
from support.stage import schemas
from support.stage.api import Gate
from support.stage.apiserver import OURS, ApiServer, Body, Id, copied
from support.stage.azure import Azure
from support.stage.builders import NAMESPACE, pool, thing
from support.stage.clock import StageLoop, VirtualClock, virtual
from support.stage.faults import Fault
from support.stage.process import Process, Tracebacks, seams
from support.stage.sign_in import CLIENT, TENANT, Authority, signing_in
from support.stage.watching import Watching
from support.stage.wire import Network

_SHORT = {
    "bacc": "batchaccounts",
    "bp": "batchpools",
    "bj": "batchjobs",
    "bt": "batchtasks",
    "bjs": "batchjobschedules",
    "bop": "batchoperations",
}
_CORE = {"secret": "secrets", "configmap": "configmaps", "cm": "configmaps", "namespace": "namespaces", "ns": "namespaces",
         "event": "events", "lease": "leases", "serviceaccount": "serviceaccounts", "sa": "serviceaccounts"}  # fmt: skip


@dataclass(frozen=True)
class Options:
    """How a stage differs from the usual one.

    Attributes:
        seed: chance of all parts; the same seed and the same test give the same history.
        api_latency, batch_latency: bounds in seconds of one way to the API server and to the service.
        watch_latency: of an event.
        settings: of the operator, beside what the stage needs.
        accounts: names of the Batch accounts of the emulator.
        finalizer_at_creation: whether the API server creates BatchTasks with the operator's finalizer.
    """

    seed: int = 0
    api_latency: tuple[float, float] = (0.001, 0.004)
    batch_latency: tuple[float, float] = (0.005, 0.02)
    watch_latency: tuple[float, float] = (0.001, 0.01)
    settings: Mapping[str, Any] | None = None
    accounts: tuple[str, ...] = ("devaccount",)
    finalizer_at_creation: bool = False


class Stage:
    """One small world, within `async with`; the operator runs unless `start` is left to the test."""

    def __init__(self, options: Options = Options()) -> None:
        self.options = options
        loop = asyncio.get_running_loop()
        if not isinstance(loop, StageLoop):
            raise TypeError("the stage needs a StageLoop: put the test below tests/quick, or run it by `run_on_stage`")
        self.loop = loop
        self._random = random.Random(options.seed)  # noqa: S311
        self._stack = AsyncExitStack()
        self._tracebacks = Tracebacks()
        self.processes: list[Process] = []
        self.clock: VirtualClock
        self.server: ApiServer
        self.api: Gate
        self.watch: Watching
        self.network: Network
        self.azure: Azure
        self.authority: Authority
        self._effects = 0
        self._kill_at: tuple[int, bool] | None = None

    async def __aenter__(self) -> Self:
        options = self.options
        async with AsyncExitStack() as stack:
            self.clock = stack.enter_context(virtual(self.loop, options.seed))
            self.server = ApiServer(self.clock.stamp, self.loop.call_later, self._uid)
            self.server.finalizer_at_creation = options.finalizer_at_creation
            self.api = Gate(self.server, self._latency(options.api_latency))
            self.watch = Watching(self.server, self._latency(options.watch_latency))
            self.network = Network(self.loop, self._latency(options.batch_latency))
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="quick-stage-"))
            self.azure = Azure(self.network, Path(folder), options.seed, accounts=options.accounts)
            self.api.effects.append(self._effect)
            self.azure.effects.append(self._effect)
            latency = self._latency(options.batch_latency)
            self.authority = Authority(self.azure.server.entra, self.clock, latency)
            stack.enter_context(signing_in(self.authority))
            stack.enter_context(seams(self.loop, self.network, self.watch))
            logger = logging.getLogger("azure_batch_operator")
            logger.addHandler(self._tracebacks)
            stack.callback(logger.removeHandler, self._tracebacks)
            await self.azure.start()
            stack.push_async_callback(self.azure.stop)
            stack.push_async_callback(self._end)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def _end(self) -> None:
        for process in self.processes:
            process.kill()
            await process.reaped()

    def _latency(self, bounds: tuple[float, float]) -> Callable[[], float]:
        return lambda: self._random.uniform(*bounds)

    def _uid(self) -> str:
        return str(UUID(int=self._random.getrandbits(128), version=4))

    # --- the operator ---

    @property
    def operator(self) -> Process:
        """The latest incarnation."""
        return self.processes[-1]

    @property
    def tracebacks(self) -> list[str]:
        """What the operator has logged with a traceback; the fixture wants this to be empty at the end."""
        return self._tracebacks.texts

    def start(self, **settings: Any) -> Process:
        """Start an operator; the one before it may still run, as two replicas do."""
        usual: dict[str, Any] = {"cluster_id": "quick", "poll_seconds": 1.0, "idle_poll_seconds": 60.0}
        given = Settings(**(usual | dict(self.options.settings or {}) | settings))
        process = Process(given, self.api, self.network, self.loop)
        self.processes.append(process)
        process.start()
        return process

    async def kill(self) -> None:
        """SIGKILL the operator."""
        self.operator.kill()
        await self.operator.reaped()

    async def restart(self, **settings: Any) -> None:
        """SIGKILL the operator and start another one."""
        await self.kill()
        self.start(**settings)

    def freeze(self, process: Process | None = None) -> None:
        """SIGSTOP the operator, or one of several: the world goes on without it."""
        self.loop.park((process or self.operator).owns)

    def thaw(self) -> None:
        """SIGCONT."""
        self.loop.unpark()

    @property
    def effects(self) -> int:
        """Writes to the API server and changes in Azure Batch that the operator has tried so far."""
        return self._effects

    def kill_at_effect(self, number: int, *, after: bool) -> None:
        """Kill the operators at their n-th effect from the beginning of the stage (the first is 1): before it reaches the other
        side, or when it has happened but the answer is not back. `until(lambda: not stage.operator.running)`, then `start`."""
        self._kill_at = number, after

    def _effect(self, what: str, where: str, after: bool) -> bool:
        if not after:
            self._effects += 1
        if self._kill_at is None or self._kill_at != (self._effects, after):
            return False
        self._kill_at = None
        # All of them: with several, any may be the one that acts.
        for each in self.processes:
            each.kill()
        return True

    # --- time ---

    @property
    def now(self) -> float:
        """Virtual seconds; only differences mean something."""
        return self.loop.time()

    async def run_for(self, seconds: float) -> None:
        """Let so much time pass."""
        await asyncio.sleep(seconds)
        await self.loop.rest(later=False)

    async def until(self, condition: Callable[[], Any], within: float = 60.0, what: str = "") -> Any:
        """Let time pass until a condition holds; its value. It is asked whenever nobody can go on without time passing.

        Raises:
            AssertionError: it does not hold within so many virtual seconds, with a picture of the stage.
        """
        deadline = self.now + within
        alarm = self.loop.call_at(deadline, lambda: None)
        later = False
        try:
            while True:
                await self.loop.rest(later=later)
                if value := condition():
                    return value
                self._check_operator()
                if self.now >= deadline:
                    raise AssertionError(f"not within {within:g} s: {what or _source(condition)}\n{self.picture()}")
                later = True
        finally:
            alarm.cancel()

    async def always(self, condition: Callable[[], Any], seconds: float, what: str = "") -> None:
        """Let time pass and see that a condition holds all the while.

        Raises:
            AssertionError: it does not, with a picture of the stage.
        """
        end, later = self.now + seconds, False
        alarm = self.loop.call_at(end, lambda: None)
        try:
            while self.now < end:
                await self.loop.rest(later=later)
                later = True
                if not condition():
                    raise AssertionError(f"does not hold any more: {what or _source(condition)}\n{self.picture()}")
        finally:
            alarm.cancel()

    def check(self) -> None:
        """See that no operator has died and none has logged a traceback.

        Raises:
            AssertionError: one has.
        """
        self._check_operator()
        assert not self.tracebacks, "\n".join(self.tracebacks)

    def _check_operator(self) -> None:
        for process in self.processes:
            if process.error is not None:
                error, process.error = process.error, None
                raise AssertionError("the operator has died") from error

    # --- the cluster, as a user sees it ---

    def apply(self, *objects: Mapping[str, Any]) -> None:
        """Create objects, or give those that exist this spec (this data); labels and annotations are added.

        Raises:
            Refusal: the API server does not take one.
        """
        for given in objects:
            body = copied(given)
            metadata = body.setdefault("metadata", {})
            id = Id(_plural(body["kind"]), metadata.get("namespace", NAMESPACE), metadata["name"])
            if id.plural == "namespaces":
                id = id._replace(namespace="")
            before = self.server.find(id)
            if before is None:
                self.server.create(id.plural, id.namespace, body)
                continue
            for name in ("labels", "annotations"):
                both = {**before["metadata"].get(name, {}), **metadata.get(name, {})}
                if both:
                    before["metadata"][name] = both
            parts = {
                name: value for name, value in body.items() if name not in {"metadata", "apiVersion", "kind", "status"}
            }
            self.server.replace(id, {**before, **parts})

    def patch(
        self, kind: str, name: str, patch: Mapping[str, Any], namespace: str = NAMESPACE, *, status: bool = False
    ) -> Body:
        """Merge-patch an object, or its status."""
        return self.server.merge(_id(kind, name, namespace), patch, status)

    def annotate(self, kind: str, name: str, namespace: str = NAMESPACE, **annotations: str | None) -> None:
        """Annotate: `reconcile_now="1"` is `azurebatch.io/reconcile-now: "1"`; None takes one off."""
        named = {f"azurebatch.io/{each.replace('_', '-')}": value for each, value in annotations.items()}
        self.patch(kind, name, {"metadata": {"annotations": named}}, namespace)

    def delete(self, kind: str, name: str, namespace: str = NAMESPACE) -> None:
        """Delete an object; its finalizers keep it for a while."""
        self.server.delete(_id(kind, name, namespace))

    def take_finalizers_off(self, kind: str, name: str, namespace: str = NAMESPACE) -> None:
        """What people do by hand when something hangs."""
        self.patch(kind, name, {"metadata": {"finalizers": None}}, namespace)

    def get(self, kind: str, name: str, namespace: str = NAMESPACE) -> Body:
        """An object; empty if there is none."""
        return self.server.find(_id(kind, name, namespace)) or {}

    def status(self, kind: str, name: str, namespace: str = NAMESPACE) -> Body:
        """Its status."""
        status: Body = self.get(kind, name, namespace).get("status", {})
        return status

    def phase(self, kind: str, name: str, namespace: str = NAMESPACE) -> str:
        """Its phase."""
        return str(self.status(kind, name, namespace).get("phase", ""))

    def condition(self, kind: str, name: str, type_: str = "Ready", namespace: str = NAMESPACE) -> Body:
        """One of its conditions; empty if it is not there."""
        conditions = self.status(kind, name, namespace).get("conditions", [])
        return next((each for each in conditions if each["type"] == type_), {})

    def ready(self, kind: str, name: str, namespace: str = NAMESPACE) -> bool:
        """Whether it is ready, and says so of its present spec."""
        body = self.get(kind, name, namespace)
        observed = body.get("status", {}).get("observedGeneration") == body.get("metadata", {}).get("generation")
        return observed and self.condition(kind, name, namespace=namespace).get("status") == "True"

    def reason(self, kind: str, name: str, namespace: str = NAMESPACE) -> str:
        """Reason of its condition Ready."""
        return str(self.condition(kind, name, namespace=namespace).get("reason", ""))

    def gone(self, kind: str, name: str, namespace: str = NAMESPACE) -> bool:
        """Whether there is no such object any more."""
        return not self.get(kind, name, namespace)

    def names(self, kind: str, namespace: str = NAMESPACE) -> list[str]:
        """Names of all objects of a kind."""
        return [each.name for each in self.server.ids(_plural(kind), namespace)]

    def events(self, kind: str = "", name: str = "", reason: str = "", namespace: str = "") -> list[Body]:
        """Events about an object, or about all."""
        found = self.server.all("events", namespace)
        plural = _plural(kind) if kind else ""
        return [
            each
            for each in found
            if (not plural or _plural(each["involvedObject"]["kind"]) == plural)
            and name in {"", each["involvedObject"]["name"]}
            and reason in {"", each["reason"]}
        ]

    # --- faults between the operator and the API server ---

    def fail(self, verb: str = "", resource: str = "", name: str = "", *, namespace: str = "", **effect: Any) -> Fault:
        """Make chosen requests of the operator fail: `fail("patch", "batchjobs/status", status=403)`; see `Fault` for the effects.

        Returns:
            The fault, to `end` it.
        """

        def picks(its_verb: str, asked: Any) -> bool:
            return (
                verb in {"", its_verb}
                and resource in {"", asked.resource}
                and name in {"", asked.id.name}
                and namespace in {"", asked.id.namespace}
            )

        fault = Fault(picks, **effect)
        self.api.faults.append(fault)
        return fault

    async def another_azure(self, port: int) -> Azure:
        """A second emulator, with an account of the same name at another endpoint; it ends with the stage."""
        folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="quick-stage-"))
        other = Azure(self.network, Path(folder), self.options.seed + port, port)
        await other.start()
        self._stack.push_async_callback(other.stop)
        return other

    # --- counting and telling ---

    def writes(self, kind: str = "", name: str = "", subresource: str = "") -> int:
        """Writes of the operator that the API server took: of an object, of a kind, or all; `subresource` as in "status"."""
        resource = f"{_plural(kind)}/{subresource}" if subresource else _plural(kind) if kind else ""
        return self.api.writes(resource, name=name)

    def picture(self) -> str:
        """All objects and resources in a few lines, for messages of failed tests."""
        lines = [f"at {self.now:.3f}; effects: {self._effects}; calls: {dict(self.azure.by_operation())}"]
        for plural in sorted(OURS):
            for body in self.server.all(plural):
                status, metadata = body.get("status", {}), body["metadata"]
                ready: Body = next((each for each in status.get("conditions", []) if each["type"] == "Ready"), {})
                going = " deleting" if "deletionTimestamp" in metadata else ""
                lines.append(
                    f"{body['kind']} {metadata['namespace']}/{metadata['name']}{going} generation {metadata['generation']}: "
                    f"{status.get('phase')} observed {status.get('observedGeneration')}, "
                    f"Ready {ready.get('status')} {ready.get('reason')}: {ready.get('message')}"
                )
        for service in self.azure.services.values():
            pools, jobs = service.pool_table.values(), service.job_table.values()
            lines += [f"pool {p.id}: {p.state} {p.allocation_state}, {len(p.nodes)} nodes" for p in pools]
            lines += [f"job {j.id}: {j.state}, {len(j.tasks)} tasks" for j in jobs]
        lines += [
            f"last calls: {[(each.operation, each.status) for each in self.azure.log[-8:]]}",
            *self.tracebacks[-2:],
        ]
        return "\n".join(lines)

    # --- what is there by default ---

    def account_objects(self, name: str = "main", namespace: str = NAMESPACE, **spec: Any) -> list[Body]:
        """A BatchAccount for the emulator, and its Secret."""
        secret = {
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": f"{name}-key", "namespace": namespace},
            "stringData": {"key": self.azure.key},
        }  # fmt: skip
        auth = {"sharedKey": {"secretRef": {"name": f"{name}-key", "key": "key"}}}
        body = {"endpoint": self.azure.endpoint, "accountName": self.azure.account, "auth": auth}
        return [secret, thing("BatchAccount", name, namespace=namespace, **(body | spec))]

    def principal_objects(self, secret: str, name: str = "main", namespace: str = NAMESPACE) -> list[Body]:
        """The same account, signed in to as a service principal, which the emulator lets in; and the Secret."""
        self.authority.register(secret, self.azure.account)
        reference = {"secretRef": {"name": f"{name}-principal", "key": "secret"}}
        auth = {"clientSecret": {"tenantId": TENANT, "clientId": CLIENT, **reference}}
        held = {
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": f"{name}-principal", "namespace": namespace},
            "stringData": {"secret": secret},
        }  # fmt: skip
        return [held, self.account_objects(name, namespace, auth=auth)[1]]

    async def ready_pool(self, name: str = "cpu", **spec: Any) -> None:
        """An account `main` and a pool with two idle nodes."""
        self.apply(*self.account_objects(), pool(name, **spec))
        await self.until(lambda: self.ready("bp", name), 600.0, f"pool {name} is ready")


def _plural(kind: str) -> str:
    name = kind.lower()
    for plural, definition in schemas.definitions().items():
        if name in {plural, definition.kind.lower()}:
            return plural
    return _SHORT.get(name) or _CORE.get(name) or name


def _id(kind: str, name: str, namespace: str) -> Id:
    plural = _plural(kind)
    return Id(plural, "" if plural == "namespaces" else namespace, name)


def _source(condition: Callable[[], Any]) -> str:
    code = condition.__code__
    return f"{Path(code.co_filename).name}:{code.co_firstlineno}"


def run_on_stage(scenario: Callable[[Stage], Any], options: Options = Options()) -> Any:
    """Run a scenario outside pytest: a coroutine function of the stage, with an operator started."""

    async def run() -> Any:
        async with Stage(options) as stage:
            stage.start()
            return await scenario(stage)

    with asyncio.Runner(loop_factory=StageLoop) as runner:
        return runner.run(run())
