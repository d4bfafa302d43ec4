"""Plays a history on the real control plane: API server, emulator and operators are processes, and time is real.

The steps are those of the quick stage; `scaled` says what becomes of their times. What has no counterpart outside one process is
skipped and counted. The record is the same, so the same checker judges it.
"""

from __future__ import annotations

import json
import logging
import re
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from azure.batch import BatchClient
from azure.core.credentials import AzureNamedKeyCredential
from azure.core.exceptions import AzureError
from azure.core.rest import HttpRequest

from histories import pace
from histories.checker import Rule, judge
from histories.history import History, Step
from histories.judged import CLUSTER
from histories.lives import KINDS
from histories.quiet import stop_schedules
from histories.real import emulator as witnessed_emulator
from histories.real.apiserver import GROUP, Proxy, Users, path_of
from histories.real.background import Background
from histories.record import Body, Done, Record
from localcluster import LocalCluster
from localcluster.kubeconfig import kubeconfig, write_kubeconfig
from localcluster.processes import ProcessRef, spawn, stop
from stage import NAMESPACE, REPOSITORY, SERVICE_ACCOUNT, Emulator, Pod, install
from support.stage.apiserver import Refusal, Route
from support.stage.faults import Fault

logger = logging.getLogger(__name__)
SCALE = 60.0
"""Virtual seconds of a history within a real one. The emulator's time goes so much faster; the operator's does not."""
REST = 12.0
"""Real seconds for which nothing must change in the end: more than two polls of an idle account."""
MAX_QUIET = 300.0
"""Real seconds after which a history that still moves, or breaks a rule, is judged as it is."""
POLL_SECONDS, IDLE_POLL_SECONDS = 1.0, 5.0
MIN_SECONDS = IDLE_POLL_SECONDS + 1.0
"""Real seconds that a fault lasts at least: so each poll meets the one that is there."""
LEFT_OUT: Mapping[Rule, str] = {
    pace.calls_at_rest: "an idle account is polled every 5 s, not every minute, so that a history does not last an hour",
}
"""Rules that are not asked here, and why."""
SKIPPED: Mapping[str, str] = {
    "expire-pages": "all objects of a history fit on one page of a list",
    "omit": "the emulator leaves nothing out of its lists on order",
    "watch-shuffle": "an API server tells the versions of an object in order",
    "clock-jump": "a process cannot be given another clock than the machine's",
    "clock-skew": "a process cannot be given another clock than the machine's",
    "rotate-principal": "operators sign in with the account's key",
    "authority": "operators sign in with the account's key",
    "revoke-tokens": "operators sign in with the account's key",
    "role": "operators sign in with the account's key",
}
"""Steps that have no counterpart here, and why."""
_LASTING = frozenset({"fault", "hold", "api-fault", "api-down", "watch-hold", "watch-delay", "freeze", "quota", "lag"})
_QUOTAS = {
    "pools": ("pools", 100), "active_jobs_and_schedules": ("activeJobsAndSchedules", 300),
    "dedicated_cores": ("dedicatedCores", 500),
}  # fmt: skip
"""Names of quotas at the emulator, and what they usually are."""
_GRACE = _START_SECONDS = 60.0


def scaled(history: History, scale: float = SCALE) -> History:
    """The history with real seconds: each lasting fault for `MIN_SECONDS` at least."""
    return replace(history, steps=tuple(_scaled(each, scale) for each in history.steps))


def _scaled(step: Step, scale: float) -> Step:
    args = dict(step.args)
    if "seconds" in args:
        args["seconds"] = max(args["seconds"] / scale, MIN_SECONDS if step.do in _LASTING else 0.0)
    if step.do == "watch-delay":
        args["by"] = args["by"] / scale
    if "effect" in args:
        args["effect"] = _scaled_members(args["effect"], scale)
    if step.do == "api-fault":
        args = _scaled_members(args, scale)
    return Step(step.at / scale, step.do, args)


def _scaled_members(members: Mapping[str, Any], scale: float) -> Body:
    """Delays of a fault; what a server asks for is in whole seconds."""
    short = {name: members[name] / scale for name in ("delay", "landAfter") if name in members}
    asked = {name: max(1, round(members[name] / scale)) for name in ("retryAfter", "retry_after") if name in members}
    return {**members, **short, **asked}


@dataclass
class Run:
    """What came of a history.

    Attributes:
        played: what went wrong and hit somebody, by kind.
        skipped: steps that have no counterpart here.
    """

    history: History
    record: Record
    played: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)


def play(history: History, folder: Path, *, scale: float = SCALE) -> Run:
    """Play a history on a control plane of its own, whose data and logs are in `folder`."""
    with LocalCluster(folder / "cluster") as cluster, ExitStack() as stack:
        install(cluster)
        if history.replicas > 1:
            rights = REPOSITORY / "manifests" / "base" / "lease.yaml"
            cluster.kubectl("apply", "-f", str(rights))
        background = stack.enter_context(Background())
        player = _Player(Run(scaled(history, scale), Record()), cluster, background, folder, scale, stack)
        player.play()
        return player.run


@dataclass
class _Operator:
    process: ProcessRef
    log: Path
    started: float
    ended: bool = False
    """Whether it was killed or stopped: it has not died by itself."""

    @property
    def begun(self) -> bool:
        """Whether it has got so far as to act, or to stand by."""
        text = self.text()
        return f"Cluster {CLUSTER}: " in text or "Standing by as" in text

    def starting(self, now: float) -> bool:
        """Whether it is worth waiting for it to begin."""
        return not self.ended and now - self.started < _START_SECONDS and not self.begun

    def text(self) -> str:
        return self.log.read_text(errors="replace")


class _Player:
    def __init__(
        self, run: Run, cluster: LocalCluster, background: Background, folder: Path, scale: float, stack: ExitStack
    ) -> None:
        self.run, self.history, self.record = run, run.history, run.record
        self.cluster, self.background, self.folder, self.scale = cluster, background, folder, scale
        self.begun = time.time()
        self.operators: list[_Operator] = []
        self.down_until = self.stood_still = 0.0
        self.frozen: list[ProcessRef] = []
        self.undo: list[tuple[float, Callable[[], None]]] = []
        self.calls = folder / "calls.jsonl"
        self.emulator = Emulator.start(
            folder,
            time_scale=scale,
            arguments=("--executor=simulated", f"--seed={self.history.seed}"),
            program=(*witnessed_emulator.PROGRAM, str(self.calls)),
        )
        stack.callback(self.emulator.kill)
        self.key = self.emulator.key
        run_coroutine = background.run
        self.users = run_coroutine(self._connected())
        stack.callback(lambda: run_coroutine(self.users.aclose()))
        self.proxy = run_coroutine(self._proxy())
        stack.callback(lambda: run_coroutine(self.proxy.stop()))
        self.record.writes = self.proxy.writes
        self.following = [
            background.start(self.users.follow(plural, self.record.versions.append, lambda: self.now))
            for plural in (*KINDS, "events", "namespaces")
        ]
        stack.callback(self._end)

    async def _connected(self) -> Users:
        return Users(self.cluster.url, self.cluster.ca_file, self.cluster.admin_token)

    async def _proxy(self) -> Proxy:
        proxy = Proxy(self.cluster.url, self.cluster.ca_file, lambda: self.now, self._kill_all)
        await proxy.start()
        return proxy

    @property
    def now(self) -> float:
        return time.time() - self.begun

    def play(self) -> None:
        """Play all of it, then the quiet end."""
        for step in self.history.steps:
            self._advance(step.at)
            self._take(step)
        self._quiet()

    # --- time and the operators ---

    def _start(self, number: int) -> None:
        token = self.cluster.token_for(NAMESPACE, SERVICE_ACCOUNT, expiration=24 * 60 * 60)
        config = kubeconfig(self.proxy.url, self.cluster.ca_file.read_bytes(), "operator", token, NAMESPACE)
        file = write_kubeconfig(self.folder / "operator.kubeconfig", config)
        arguments = [
            f"--cluster-id={CLUSTER}", f"--poll-seconds={POLL_SECONDS}", f"--idle-poll-seconds={IDLE_POLL_SECONDS}",
            "--http-host=127.0.0.1", "--http-port=0",
        ]  # fmt: skip
        if self.history.replicas > 1:
            arguments += ["--leader-election", "--lease-seconds=3"]
        pod = Pod(NAMESPACE, SERVICE_ACCOUNT, ("run",), {"POD_NAMESPACE": NAMESPACE, "POD_NAME": f"operator-{number}"})
        log = self.folder / f"operator-{number}.log"
        command = pod.launch(file, pod.environment, (*pod.arguments, *arguments))
        process = spawn(command, log=log, folder=self.folder, owned=True)
        self.operators.append(_Operator(process, log, self.now))
        self.record.starts.append(self.now)

    def _advance(self, to: float) -> None:
        """Let time pass up to a moment of the history, whose time is paused while an operator starts: on the stage that is
        done at once, and here it takes as long as the machine is slow."""
        while True:
            for at, undo in sorted(self.undo, key=lambda each: each[0]):
                if at <= self.now:
                    self.undo.remove((at, undo))
                    undo()
            self._keep_alive()
            starting = any(each.starting(self.now) for each in self.operators)
            if not starting and self.now - self.stood_still >= to:
                return
            began = self.now
            time.sleep(0.05)
            if starting:
                self.stood_still += self.now - began

    def _keep_alive(self) -> None:
        """What a kubelet does, and a note of those that have ended by themselves."""
        for each in self.operators:
            if not each.ended and not each.process.alive():
                each.ended = True
                text = each.text()
                # Without an API server, or without its rights, it cannot start; without its Lease it must not go on.
                if (each.begun or not self._api_trouble(each.started)) and "The Lease has expired" not in text:
                    self.record.deaths.append(f"at {self.now:.0f}: {text[-2000:]}")
        running = [each for each in self.operators if not each.ended]
        if self.now >= self.down_until and not self.frozen:
            for _ in range(self.history.replicas - len(running)):
                self._start(len(self.operators))

    def _api_trouble(self, since: float) -> bool:
        """Whether the API server was unfit for a start some time since then."""
        return any(
            each.do in {"api-down", "api-fault"} and each.time + float(each.args["seconds"]) >= since
            for each in self.record.steps
        )

    def _later(self, seconds: float, undo: Callable[[], None]) -> None:
        self.undo.append((self.now + seconds, undo))

    def _kill_all(self) -> None:
        for each in self.operators:
            if not each.ended:
                each.ended = True
                each.process.signal(signal.SIGKILL)

    def _end(self) -> None:
        stop([each.process for each in self.operators], grace=0.0)

    # --- steps ---

    def _take(self, step: Step) -> None:
        action, refusal = ACTIONS.get(step.do), ""
        if action is None:
            self.run.skipped[step.do] += 1
            return
        # Noted before it is done: what the operator does about it cannot be earlier.
        began = self.now
        try:
            action(self, **step.args)
        except Refusal as error:
            refusal = f"{error.status} {error}"
        except AzureError as error:
            refusal = f"{type(error).__name__}: {error.message}"
        self.record.steps.append(Done(began, step.do, step.args, refusal))

    def account(self, name: str = "main", namespace: str = "default", **spec: Any) -> None:
        self.plant(self.key)
        metadata = {"name": f"{name}-key", "namespace": namespace}
        self.apply({"kind": "Secret", "metadata": metadata, "stringData": {"key": self.key}})
        auth = {"sharedKey": {"secretRef": {"name": f"{name}-key", "key": "key"}}}
        body = {"endpoint": self.emulator.endpoint, "accountName": self.emulator.account, "auth": auth}
        self.apply({"kind": "BatchAccount", "metadata": {"name": name, "namespace": namespace}, "spec": body | spec})

    def principal(self, secret: str, lifetime: int, **account: Any) -> None:
        """Nobody gives tokens here, so the account's key takes the place of the service principal."""
        self.account(**account)

    def plant(self, text: str) -> None:
        if text not in self.record.planted:
            self.record.planted.append(text)

    def apply(self, object: Body) -> None:  # noqa: A002
        if object["kind"] == "Secret":
            for text in object.get("stringData", {}).values():
                self.plant(text)
        self.background.run(self.users.apply(object))

    def patch(self, kind: str, name: str, patch: Mapping[str, Any], namespace: str = "default") -> None:
        path = path_of(kind, namespace, name)
        self.background.run(self.users.request("PATCH", path, patch, "application/merge-patch+json"))

    def delete(self, kind: str, name: str, namespace: str = "default") -> None:
        self.background.run(self.users.request("DELETE", path_of(kind, namespace, name)))

    # --- Azure Batch outside the operator ---

    def azure(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> None:
        self._batch(method, path, {} if method != "DELETE" and body is None else body)

    def copy_pool(self, id: str, to: str) -> None:
        original = self._batch("GET", f"/pools/{id}")
        members = ("vmSize", "virtualMachineConfiguration", "metadata", "taskSlotsPerNode")
        body = {name: original[name] for name in members if name in original}
        self._batch("POST", "/pools", body | {"id": to, "targetDedicatedNodes": 0})

    def rotate_key(self, key: str, seconds: float, namespace: str = "default", name: str = "main-key") -> None:
        self.plant(key)
        self.emulator.admin("POST", "key", {"key": key})
        self.key = key

        def follow() -> None:
            if self.key != key:
                # Of two renewals, the first may be due to follow after the second.
                return
            began, refusal = self.now, ""
            try:
                self.patch("secret", name, {"stringData": {"key": key}}, namespace)
            except Refusal as error:
                refusal = str(error)
            self.record.steps.append(Done(began, "secret-follows", {}, refusal))

        self._later(seconds, follow)

    def _batch(self, method: str, path: str, body: Mapping[str, Any] | None = None, query: str = "") -> Body:
        """A call as somebody else makes it; it may meet the same faults as the operator's.

        Raises:
            AzureError: the service refuses it, or does not answer.
        """
        credential = AzureNamedKeyCredential(self.emulator.account, self.key)
        headers = {"Content-Type": "application/json; odata=minimalmetadata"} if body is not None else {}
        url = f"{self.emulator.endpoint}{path}?{query or 'api-version=2024-07-01.20.0'}"
        content = None if body is None else json.dumps(body)
        options = {"retry_total": 0, "connection_timeout": 10, "read_timeout": 10}
        with BatchClient(self.emulator.endpoint, credential, **options) as client:
            answer = client.send_request(HttpRequest(method, url, headers=headers, content=content))
            answer.raise_for_status()
            return dict(answer.json()) if answer.text() else {}

    def _all(self, path: str) -> list[Body]:
        items: list[Body] = []
        query = ""
        while True:
            page = self._batch("GET", path, query=query)
            items += page["value"]
            following = page.get("odata.nextLink")
            if not following:
                return items
            query = following.partition("?")[2]

    # --- the adversary: Azure Batch ---

    def fault(
        self, operation: str, effect: Mapping[str, Any], seconds: float, count: int | None = None, path: str = ""
    ) -> None:
        order: Body = {"operation": operation, "effect": effect}
        order |= {name: value for name, value in (("count", count), ("path", path)) if value}
        self._order("fault", order, seconds)

    def hold(self, operation: str, seconds: float, count: int | None = None) -> None:
        effect = {"landAfter": seconds, "reset": True}
        self._order("hold", {"operation": operation, "effect": effect} | ({"count": count} if count else {}), seconds)

    def _order(self, kind: str, order: Mapping[str, Any], seconds: float) -> None:
        id = self.emulator.admin("POST", "faults", order)["id"]

        def over() -> None:
            rules = {each["id"]: each for each in self.emulator.admin("GET", "faults")["value"]}
            self.run.played[kind] += rules[id]["hits"]
            self.emulator.admin("DELETE", f"faults/{id}")

        self._later(seconds, over)

    def lag(self, by: float, seconds: float) -> None:
        self.emulator.admin("POST", "countslag", {"seconds": by})
        self.run.played["lag"] += 1
        self._later(seconds, lambda: self.emulator.admin("POST", "countslag", {"seconds": 5.0}))

    def node(self, pool: str, index: int, what: str) -> None:
        nodes = self._all(f"/pools/{pool}/nodes")
        node = nodes[index % len(nodes)] if nodes else {"state": ""}
        if node["state"] not in {"idle", "running"} or (what == "preempt" and node["isDedicated"]):
            return
        body = {"state": "unusable", "code": "NodeUnusable", "message": "gone on order"} if what == "unusable" else {}
        order = "fail" if what == "unusable" else "preempt"
        self.emulator.admin("POST", f"pools/{pool}/nodes/{node['id']}/{order}", body)
        self.run.played["node"] += 1

    def quota(self, seconds: float, **limits: int) -> None:
        self.emulator.admin("POST", "quota", {_QUOTAS[name][0]: value for name, value in limits.items()})
        self.run.played["quota"] += 1
        usual = dict(_QUOTAS[name] for name in limits)
        self._later(seconds, lambda: self.emulator.admin("POST", "quota", usual))

    # --- the adversary: the API server ---

    def api_fault(self, seconds: float, verb: str = "", resource: str = "", **effect: Any) -> None:
        def picks(its_verb: str, asked: Route) -> bool:
            return verb in {"", its_verb} and resource in {"", asked.resource}

        fault = Fault(picks, **effect)
        self.proxy.faults.append(fault)

        def over() -> None:
            fault.end()
            self.proxy.faults.remove(fault)
            self.run.played["api-fault"] += fault.hits

        self._later(seconds, over)

    def api_down(self, seconds: float) -> None:
        before = self.proxy.cuts
        self.background.run(self.proxy.go_down())

        def up() -> None:
            self.proxy.down = False
            self.run.played["api-down"] += self.proxy.cuts - before

        self._later(seconds, up)

    def watch_hold(self, seconds: float, plural: str = "", name: str = "") -> None:
        before = self.proxy.late
        self.proxy.held.append(plural)

        def release() -> None:
            self.proxy.held.remove(plural)
            self.run.played["watch-hold"] += self.proxy.late - before

        self._later(seconds, release)

    def watch_delay(self, seconds: float, by: float) -> None:
        before = self.proxy.late
        self.proxy.delay = by

        def soon() -> None:
            self.proxy.delay = 0.0
            self.run.played["watch-delay"] += self.proxy.late - before

        self._later(seconds, soon)

    def watch_replay(self, plural: str, name: str) -> None:
        self.run.played["watch-replay"] += self.background.run(self.proxy.replay(plural, name))

    # --- the adversary: the operator's process ---

    def kill(self, seconds: float) -> None:
        self._thaw()
        self.run.played["kill"] += sum(not each.ended and each.process.alive() for each in self.operators)
        self._kill_all()
        self.down_until = self.now + seconds

    def stop(self, seconds: float) -> None:
        self._thaw()
        running = [each for each in self.operators if not each.ended]
        for each in running:
            each.ended = True
        stop([each.process for each in running], grace=_GRACE)
        self.run.played["stop"] += len(running)
        self.down_until = self.now + seconds

    def kill_at_effect(self, number: int, after: bool) -> None:
        """Of the effects only the writes pass through here."""
        self.proxy.kill_at_write = number, after

    def freeze(self, seconds: float) -> None:
        running = [each.process for each in self.operators if not each.ended and each.process.alive()]
        if self.frozen or not running:
            return
        # The newest, as on the quick stage.
        self.frozen = running[-1:]
        for each in self.frozen:
            each.signal(signal.SIGSTOP)
        self.run.played["freeze"] += 1
        self._later(seconds, self._thaw)

    def _thaw(self) -> None:
        frozen, self.frozen = self.frozen, []
        for each in frozen:
            each.signal(signal.SIGCONT)

    # --- the end ---

    def _quiet(self) -> None:
        """Heal everything, stop what makes work forever, and wait until nothing changes and no promise is broken."""
        for _, undo in sorted(self.undo, key=lambda each: each[0]):
            undo()
        self.undo.clear()
        self._thaw()
        self.down_until = 0.0
        self.emulator.admin("DELETE", "faults")
        self.proxy.kill_at_write = None
        objects, namespaces = self._objects("batchjobschedules"), self._at("/api/v1/namespaces")
        for step in stop_schedules(self.now, objects, self._all("/jobschedules"), namespaces):
            self._take(step)
        begun, since, last = self.now, self.now, self._state()
        while self.now - begun < MAX_QUIET:
            self._advance(self.now - self.stood_still + 1.0)
            state = self._state()
            if state != last:
                self.record.moving = [f"{key}: {last.get(key)} -> {state.get(key)}" for key in sorted(state.keys() | last.keys()) if state.get(key) != last.get(key)]  # noqa: E501  # fmt: skip
                logger.info("at %.0f: %s", self.now, self.record.moving[:3])
                since, last = self.now, state
            if self.now - since >= REST:
                self._look((since, self.now))
                violations = judge(self.history, self.record, LEFT_OUT).violations
                if not violations:
                    break
                logger.debug("at %.0f: %s", self.now, violations[0])
        else:
            self._look((since, self.now) if self.now - since >= REST else (0.0, 0.0))
        self.run.played["kill-at-write"] = self.proxy.kills

    def _objects(self, plural: str) -> list[Body]:
        return self._at(f"{GROUP}/{plural}")

    def _at(self, path: str) -> list[Body]:
        items: list[Body] = self.background.run(self.users.request("GET", path))["items"]
        return items

    def _state(self) -> dict[str, str]:
        """What must not change at rest."""
        writes = sum(each.resource != "leases" for each in self.proxy.writes)
        state = {"writes": f"{writes}, operators {len(self.operators)}"}
        for plural in KINDS:
            for body in self._objects(plural):
                metadata = body["metadata"]
                state[f"{plural} {metadata['namespace']}/{metadata['name']}"] = metadata["resourceVersion"]
        for kind, table in self._service().items():
            for id, body in table.items():
                state[f"{kind} {id}"] = json.dumps(body, sort_keys=True)
        return state

    def _service(self) -> dict[str, dict[str, Body]]:
        """Pools, jobs and schedules as the service shows them."""
        pools = {each["id"]: each for each in self._all("/pools")}
        for id, pool in pools.items():
            pool["nodes"] = dict(Counter(node["state"] for node in self._all(f"/pools/{id}/nodes")))
        jobs = {each["id"]: each for each in self._all("/jobs")}
        for id, job in jobs.items():
            job["tasks"] = {each["id"]: each for each in self._all(f"/jobs/{id}/tasks")}
        return {"pool": pools, "job": jobs, "schedule": {each["id"]: each for each in self._all("/jobschedules")}}

    def _look(self, rest: tuple[float, float]) -> None:
        record, service = self.record, self._service()
        for each in self.following:
            if each.done():
                each.result()
        record.rest = rest
        if rest[1] > rest[0]:
            record.moving = []
        record.effects, record.calls = witnessed_emulator.read(self.calls, self.begun)
        record.objects = [body for plural in sorted(KINDS) for body in self._objects(plural)]
        record.pools, record.jobs, record.schedules = service["pool"], service["job"], service["schedule"]
        texts = [each.text() for each in self.operators]
        record.lines = [line for text in texts for line in text.splitlines()]
        record.tracebacks = [found[0] for text in texts for found in TRACEBACK.finditer(text)]


TRACEBACK = re.compile(
    r"^.*\n(?:[ +|]*)?(?:Exception Group )?Traceback \(most recent call last\):\n(?:[ +|].*\n)*.*$", re.MULTILINE
)
"""A traceback in a log, with the line before it."""
ACTIONS: Mapping[str, Callable[..., Any]] = {
    "account": _Player.account, "apply": _Player.apply, "patch": _Player.patch, "delete": _Player.delete,
    "principal": _Player.principal, "azure": _Player.azure, "copy-pool": _Player.copy_pool, "rotate-key": _Player.rotate_key,
    "fault": _Player.fault, "hold": _Player.hold, "api-fault": _Player.api_fault, "api-down": _Player.api_down,
    "watch-hold": _Player.watch_hold, "watch-delay": _Player.watch_delay, "watch-replay": _Player.watch_replay,
    "lag": _Player.lag, "node": _Player.node, "quota": _Player.quota, "kill": _Player.kill, "stop": _Player.stop,
    "kill-at-effect": _Player.kill_at_effect, "freeze": _Player.freeze,
}  # fmt: skip
"""What a step may do here; `SKIPPED` has the others."""
