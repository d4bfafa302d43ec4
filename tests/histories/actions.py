"""What a step of a history does on the quick stage: users' actions, and the adversary's."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from histories.record import Body, Done, Record
from support.stage import Refusal, Stage


@dataclass
class Actions:
    """Takes the steps of a history on a stage, and notes what it takes to undo those that last."""

    stage: Stage
    record: Record = field(default_factory=Record)
    begun: float = 0.0
    down_until: float = 0.0
    frozen: bool = False
    principal_secret: str = ""
    undo: list[tuple[float, Callable[[], None]]] = field(default_factory=list)

    @property
    def now(self) -> float:
        """Virtual seconds since the beginning."""
        return self.stage.now - self.begun

    def later(self, seconds: float, undo: Callable[[], None]) -> None:
        """Undo what lasts after so many virtual seconds."""
        self.undo.append((self.now + seconds, undo))

    # --- users ---

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
        self.plant(key)
        azure = self.stage.azure
        azure.server.set_key(azure.account, base64.b64decode(key))
        azure.key = key

        def follow() -> None:
            # Of two renewals, the first may be due to follow after the second: nobody puts back a key that is none any more.
            if azure.key == key:
                self._follow(name, {"key": key}, namespace)

        self.later(seconds, follow)

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

        self.later(seconds, follow)

    # --- the adversary ---

    def authority(self, seconds: float, how: str) -> None:
        """Nobody gives tokens for a while: the authority is `down`, or `silent`."""
        authority = self.stage.authority
        setattr(authority, how, True)
        self.later(seconds, lambda: setattr(authority, how, False))

    def revoke_tokens(self) -> None:
        """All tokens that were issued are worth nothing."""
        self.stage.authority.revoke()

    def role(self, seconds: float, role: str) -> None:
        """The service principal may do less for a while."""
        authority, account = self.stage.authority, self.stage.azure.account
        authority.register(self.principal_secret, account, role)
        self.later(seconds, lambda: authority.register(self.principal_secret, account))

    def clock_skew(self, seconds: float, by: float) -> None:
        """The wall clock of the operator's machine is off for a while from that of all others."""
        self.stage.clock.operator_skew = by

        def set_right() -> None:
            self.stage.clock.operator_skew = 0.0

        self.later(seconds, set_right)

    def fault(
        self, operation: str, effect: Mapping[str, Any], seconds: float, count: int | None = None, path: str = ""
    ) -> None:
        """Make calls to Azure Batch fail for a while."""
        rule = self.stage.azure.fault(operation, count=count, path=path, **effect)

        def rule_over() -> None:
            self.stage.azure.server.faults.clear(rule.id)

        self.later(seconds, rule_over)

    def hold(self, operation: str, seconds: float, count: int | None = None) -> None:
        """Keep calls on their way; they land later, whether or not somebody waits."""
        hold = self.stage.azure.hold(operation, count=count)
        self.later(seconds, hold.release)

    def api_fault(self, seconds: float, verb: str = "", resource: str = "", **effect: Any) -> None:
        """Make requests to the API server fail for a while."""
        fault = self.stage.fail(verb, resource, **effect)
        self.later(seconds, fault.end)

    def api_down(self, seconds: float) -> None:
        """The API server refuses connections for a while."""
        self.stage.api.down = True

        def up() -> None:
            self.stage.api.down = False

        self.later(seconds, up)

    def expire_pages(self) -> None:
        """Lists that are in progress get a 410."""
        self.stage.api.expire_pages()

    def watch_hold(self, seconds: float, plural: str = "", name: str = "") -> None:
        """Watches are silent for a while, then tell everything."""
        hold = self.stage.watch.hold(plural, name)
        self.later(seconds, hold.release)

    def watch_delay(self, seconds: float, by: float) -> None:
        """Watch events arrive late for a while."""
        self.stage.watch.delay(by)
        self.later(seconds, lambda: self.stage.watch.delay(0))

    def watch_replay(self, plural: str, name: str) -> None:
        """All that ever happened to an object is told again."""
        self.stage.watch.replay(plural, name)

    def watch_shuffle(self, seconds: float) -> None:
        """The newest event first, for a while."""
        self.stage.watch.shuffle()
        self.later(seconds, lambda: self.stage.watch.shuffle(False))

    def lag(self, by: float, seconds: float) -> None:
        """Counts are behind by so many seconds, for a while."""
        usual = self.stage.azure.service.lag.seconds
        self.stage.azure.service.lag.seconds = by

        def again() -> None:
            self.stage.azure.service.lag.seconds = min(usual, 5.0)

        self.later(seconds, again)

    def omit(self, path: str, seconds: float, count: int | None = None) -> None:
        """Lists lack one thing that is there, for a while: their pages move while they are read."""
        omission = self.stage.azure.omit(path, count)
        self.later(seconds, omission.end)

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

        self.later(seconds, again)

    def clock_jump(self, by: float) -> None:
        """The wall clocks jump; what lasts is not affected."""
        self.stage.clock.skew += by

    async def kill(self, seconds: float) -> None:
        """SIGKILL the operators; others start so much later."""
        self.thaw()
        for process in self.stage.processes:
            if process.alive and process.running:
                process.kill()
        for process in self.stage.processes:
            await process.reaped()
        self.down_until = self.now + seconds

    async def stop(self, seconds: float) -> None:
        """SIGTERM; another one starts so much later, or after half a minute SIGKILL."""
        self.thaw()
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
            self.later(seconds, self.thaw)

    def thaw(self) -> None:
        """SIGCONT."""
        if self.frozen:
            self.frozen = False
            self.stage.thaw()


ACTIONS: Mapping[str, Callable[..., Any]] = {
    "account": Actions.account, "apply": Actions.apply, "patch": Actions.patch, "delete": Actions.delete,
    "azure": Actions.azure, "copy-pool": Actions.copy_pool, "rotate-key": Actions.rotate_key,
    "fault": Actions.fault, "hold": Actions.hold, "api-fault": Actions.api_fault, "api-down": Actions.api_down,
    "expire-pages": Actions.expire_pages, "watch-hold": Actions.watch_hold, "watch-delay": Actions.watch_delay,
    "watch-replay": Actions.watch_replay, "watch-shuffle": Actions.watch_shuffle, "lag": Actions.lag,
    "omit": Actions.omit, "node": Actions.node, "quota": Actions.quota, "clock-jump": Actions.clock_jump,
    "principal": Actions.principal, "rotate-principal": Actions.rotate_principal, "authority": Actions.authority,
    "revoke-tokens": Actions.revoke_tokens, "role": Actions.role, "clock-skew": Actions.clock_skew, "kill": Actions.kill,
    "stop": Actions.stop, "kill-at-effect": Actions.kill_at_effect, "freeze": Actions.freeze,
}  # fmt: skip
"""What a step may do."""
