"""The protocol by which objects create, adopt and delete one resource in Azure Batch, as a finite model.

The world of the model is one Azure Batch ID and up to two objects that want it, which are deleted and created again under the same
name. The operator's decisions are the product's own functions; the steps of the executor, the service, the network and the user
are written here by hand, from docs/decisions/0023, 0025, 0026 and 0030. `search.py` visits every state that the moves reach.

What the model assumes, and the product relies on: a call takes effect within a minute after it was sent, or never
(`LANDING_SECONDS`); the service checks If-Match atomically; the API server checks uids.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

from azure_batch_operator.api.base import ADOPT
from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Resource
from azure_batch_operator.reconcile.adoption import Others, Standing
from azure_batch_operator.reconcile.ownership import Owned
from azure_batch_operator.reconcile.plan import Absent, Plan
from azure_batch_operator.reconcile.pool import lifecycle as pools
from azure_batch_operator.reconcile.pool.scope import PoolView
from azure_batch_operator.reconcile.schedule import lifecycle as schedules
from azure_batch_operator.reconcile.target_pool import TargetPoolView as JobPool
from unit.objects import ACCOUNT, CLUSTER, NOW, POOL_SPEC, resource

NAMES = ("one", "two")
"""The object "two" has `spec.id: one`, so both want the same resource."""


class Object(NamedTuple):
    """A custom resource as the API server has it; `uid` is the number of its life."""

    uid: int
    finalizer: bool = False
    deleting: bool = False
    adopt: bool = False
    stored: bool = False
    """Whether the status names account and ID: something may have been created."""
    shown: bool = False
    """Whether the status has shown the resource to exist."""


class Owner(NamedTuple):
    """The object that a marker names."""

    slot: int
    uid: int


class Remote(NamedTuple):
    """The resource in Azure Batch. `life` stands for its creation time, `life` and `version` together for its ETag."""

    life: int
    owner: Owner | None = None
    version: int = 0
    adopted: bool = False
    deleting: bool = False


class Call(NamedTuple):
    """A call of a plan, with what it was decided from."""

    verb: str
    remote: Remote | None = None


class Decision(NamedTuple):
    """What matters of a plan."""

    call: Call | None = None
    finalizer: str | None = None
    confirm: bool = False
    foreign: Remote | None = None
    """What belongs to somebody else and, as long as it is there, proves that nothing of the object is."""
    shows: bool = False
    """Whether its status shows the resource to exist."""


class Task(NamedTuple):
    """A reconcile in progress: the object that it was decided for, what was decided, and the next step."""

    object: Object
    decision: Decision
    step: str


class InFlight(NamedTuple):
    """A call whose caller has given up, and that may still take effect."""

    owner: Owner
    call: Call


UNKNOWN = "unknown"
View = Remote | None | str
"""What the operator believes of the resource: as it was, absent (None), or not known."""


class World(NamedTuple):
    """A state of the model."""

    objects: tuple[Object | None, Object | None] = (None, None)
    lives: tuple[int, int] = (0, 0)
    """How often each object was created."""
    births: tuple[int, int] = (2, 0)
    """How often each may be created yet."""
    remote: Remote | None = None
    view: View = UNKNOWN
    tasks: tuple[Task | None, Task | None] = (None, None)
    in_flight: frozenset[InFlight] = frozenset()
    doubt: frozenset[Owner] = frozenset()
    inherited: frozenset[Owner] = frozenset()
    young: bool = True
    """Whether the process has run for less than a minute."""
    remotes: int = 0
    foreign: int = 1
    outsiders: int = 1
    crashes: int = 1
    losses: int = 1
    """How many resources there were; how often others may still create or delete it, the process die, a call be lost."""


class ViolationError(AssertionError):
    """A property does not hold in a state that the moves reach."""


@dataclass(frozen=True)
class Defences:
    """What the executor does against the hostile world. Each can be taken out, to show that the model notices."""

    waits_for_landing: bool = True
    inherits_doubt: bool = True
    stores_before_create: bool = True
    reports_repeats: bool = True
    proves_before_delete: bool = True
    sends_etag: bool = True
    confirms_absence: bool = True
    confirms_foreign: bool = True
    finalizer_first: bool = True


Move = tuple[str, World]


def with_at(pair: tuple[Any, Any], slot: int, value: Any) -> tuple[Any, Any]:
    """A pair with another member."""
    return (value, pair[1]) if slot == 0 else (pair[0], value)


# --- decisions: the product's own ---


def _uid(owner: Owner) -> str:
    return f"uid-{owner.slot}-{owner.uid}"


def _resource(kind: Kind, spec: dict[str, Any], slot: int, each: Object) -> Resource:
    taken = "true" if slot == 0 else f"{CLUSTER}/default/{kind.value}/{NAMES[0]}"
    status: dict[str, Any] = {"observedGeneration": 1, "phase": "Pending"}
    if each.stored:
        status |= {"account": ACCOUNT.name, "id": "one", "url": f"{ACCOUNT.url}/x/one"}
    if each.shown:
        status |= {"state": "active"}
    return resource(
        kind, spec | ({"id": "one"} if slot else {}), name=NAMES[slot], status=status, finalizer=each.finalizer,
        deleting=each.deleting, annotations={ADOPT: taken} if each.adopt else {}, uid=_uid(Owner(slot, each.uid)),
    )  # fmt: skip


def _body(kind: Kind, remote: Remote, shown: dict[str, Any]) -> dict[str, Any]:
    items = []
    if remote.owner is not None:
        slot = remote.owner.slot
        text = "/".join((CLUSTER, "default", kind.value, NAMES[slot], _uid(remote.owner), "one"))
        items.append({"name": "azurebatch.io/owner", "value": text})
    if remote.adopted:
        items.append({"name": "azurebatch.io/adopted", "value": "true"})
    state = "deleting" if remote.deleting else "active"
    return shown | {
        "id": "one", "state": state, "metadata": items, "creationTime": f"2027-01-01T00:00:{remote.life:02}Z",
        "eTag": f"{remote.life}.{remote.version}",
    }  # fmt: skip


def _decision(plan: Plan, remote: View) -> Decision:
    call = None
    if plan.calls:
        [first, *_] = plan.calls
        verb = first.verb.split("_")[0]
        metadata = (first.body or {}).get("metadata")
        if verb == "update" and metadata and any("owner" in item["name"] for item in metadata):
            verb = "adopt" if plan.status and plan.status["phase"] == "Adopting" else "change"
        call = Call(verb, remote if isinstance(remote, Remote) else None)
        call = None if verb not in {"create", "delete", "adopt"} else call
        if verb == "delete" and first.evidence is None:
            raise ViolationError("a deletion without evidence")
        if verb == "adopt" and first.if_match is None:
            raise ViolationError("an adoption without an ETag")
    shows = plan.status is not None and bool(plan.status.get("state"))
    foreign = remote if any(each.foreign is not None for each in plan.confirm) else None
    assert not isinstance(foreign, str)
    return Decision(call, plan.finalizer, bool(plan.confirm), foreign, shows)


Decide = Callable[[int, Object, View, frozenset[Owner]], Decision]

_SCHEDULE_SPEC: dict[str, Any] = {
    "schedule": {"recurrenceInterval": "PT60M"},
    "jobSpecification": {"poolRef": {"name": "cpu"}, "jobManagerTask": {"id": "m", "commandLine": "true"}},
}


def _others(alive: frozenset[Owner]) -> Others:
    uids = {_uid(each) for each in alive}

    def look(owner: Owned) -> Standing:
        return Standing.LIVES if owner.uid in uids else Standing.GONE

    return Others(look)


@cache
def schedule(slot: int, each: Object, view: View, alive: frozenset[Owner]) -> Decision:
    """What the operator decides for a BatchJobSchedule."""
    remote: Any = Absent.UNKNOWN if isinstance(view, str) else Absent.NOT_FOUND
    if isinstance(view, Remote):
        remote = _body(Kind.SCHEDULE, view, _SCHEDULE_SPEC)
    one = _resource(Kind.SCHEDULE, _SCHEDULE_SPEC, slot, each)
    jobs = schedules.JobsView((), None)
    return _decision(
        schedules.plan(
            schedules.ScheduleScope(one, ACCOUNT, JobPool("cpu"), remote, jobs, CLUSTER, NOW, _others(alive))
        ),
        view,
    )


@cache
def pool(slot: int, each: Object, view: View, alive: frozenset[Owner]) -> Decision:
    """What the operator decides for a BatchPool."""
    remote: Any = Absent.UNKNOWN if isinstance(view, str) else Absent.NOT_FOUND
    if isinstance(view, Remote):
        shown = {name: POOL_SPEC[name] for name in ("vmSize", "virtualMachineConfiguration", "targetDedicatedNodes")}
        remote = _body(Kind.POOL, view, shown | {"allocationState": "steady"})
    one = _resource(Kind.POOL, POOL_SPEC, slot, each)
    return _decision(pools.plan(pools.PoolScope(one, ACCOUNT, PoolView(remote), CLUSTER, NOW, _others(alive))), view)


# --- moves ---


class Protocol:
    """The moves of operator, service, network and users.

    Args:
        decide: the decisions of one kind.
        defences: what the executor does.
    """

    def __init__(self, decide: Decide, defences: Defences = Defences()) -> None:
        self._decide, self._has = decide, defences

    def moves(self, world: World) -> Iterator[Move]:
        """Everything that can happen next."""
        yield from self._users(world)
        yield from self._service(world)
        yield from self.operator(world)
        if world.crashes:
            yield from self._crash(world)

    def operator(self, world: World) -> Iterator[Move]:
        """What the operator can do next: look, decide, and carry a decision out step by step."""
        if world.view != world.remote:
            yield "poll", world._replace(view=world.remote)
        yield from self._time(world)
        for slot in (0, 1):
            task = world.tasks[slot]
            if task is not None:
                yield from self._step(world, slot, task)
            elif world.objects[slot] is not None:
                yield from self._begin(world, slot)

    def _users(self, world: World) -> Iterator[Move]:
        for slot in (0, 1):
            each = world.objects[slot]
            if each is None:
                if left := world.births[slot]:
                    uid = world.lives[slot] + 1
                    yield (
                        f"create {NAMES[slot]}",
                        world._replace(
                            objects=with_at(world.objects, slot, Object(uid)),
                            lives=with_at(world.lives, slot, uid),
                            births=with_at(world.births, slot, left - 1),
                        ),
                    )
                continue
            if not each.deleting:
                leaving = each._replace(deleting=True) if each.finalizer else None
                yield f"delete {NAMES[slot]}", self._put(world, slot, leaving)
                if not each.adopt:
                    yield f"annotate {NAMES[slot]}", self._put(world, slot, each._replace(adopt=True))

    def _service(self, world: World) -> Iterator[Move]:
        remote = world.remote
        if remote is None and world.foreign:
            made = Remote(world.remotes + 1)
            yield "another client creates it", world._replace(remote=made, remotes=made.life, foreign=world.foreign - 1)
        if remote is not None and not remote.deleting and world.outsiders:
            yield "somebody deletes it", world._replace(remote=None, outsiders=world.outsiders - 1)
        if remote is not None and remote.deleting:
            yield "it is gone", world._replace(remote=None)
        for each in sorted(world.in_flight, key=str):
            rest = world._replace(in_flight=world.in_flight - {each})
            yield "a late call is dropped", rest
            landed, _ = self._effect(rest, each.owner, each.call)
            if landed != rest:
                yield "a late call lands", landed

    def _time(self, world: World) -> Iterator[Move]:
        """Waits end when a minute has passed, and by then a call has landed or never will."""
        waiting = {each.owner for each in world.in_flight}
        for owner in sorted(world.doubt - waiting):
            yield "a minute passes", world._replace(doubt=world.doubt - {owner})
        if world.young and waiting <= world.doubt:
            yield "the process is a minute old", world._replace(young=False)

    def _crash(self, world: World) -> Iterator[Move]:
        fresh = world._replace(
            view=UNKNOWN, tasks=(None, None), doubt=frozenset(), young=True, crashes=world.crashes - 1
        )
        inherited = frozenset(
            Owner(slot, each.uid)
            for slot, each in enumerate(world.objects)
            if each is not None and each.finalizer and each.stored
        )
        fresh = fresh._replace(inherited=inherited if self._has.inherits_doubt else frozenset())
        yield "the process dies", fresh
        for slot in (0, 1):
            task = world.tasks[slot]
            if task is not None and task.step == "call" and task.decision.call is not None:
                sent = InFlight(Owner(slot, task.object.uid), task.decision.call)
                yield "the process dies in a call", fresh._replace(in_flight=world.in_flight | {sent})

    # --- the executor ---

    def _begin(self, world: World, slot: int) -> Iterator[Move]:
        each = world.objects[slot]
        assert each is not None
        alive = frozenset(Owner(at, known.uid) for at, known in enumerate(world.objects) if known is not None)
        decision = self._decide(slot, each, world.view, alive)
        if decision == Decision() or (
            decision.call is None and decision.finalizer is None and (each.shown or not decision.shows)
        ):
            return
        first = "finalizer" if self._has.finalizer_first or decision.finalizer != "add" else "store"
        task = Task(each, decision, first)
        yield f"reconcile {NAMES[slot]}", world._replace(tasks=with_at(world.tasks, slot, task))

    def _step(self, world: World, slot: int, task: Task) -> Iterator[Move]:
        name, owner = NAMES[slot], Owner(slot, task.object.uid)
        done = world._replace(tasks=with_at(world.tasks, slot, None))
        current = world.objects[slot]
        live = current if current is not None and current.uid == task.object.uid else None
        match task.step:
            case "finalizer":
                if task.decision.finalizer == "add" and not task.object.finalizer:
                    if live is None or live.deleting:
                        yield f"{name}: finalizer refused", done
                        return
                    changed = live._replace(finalizer=True)
                    world = self._put(world, slot, changed)
                    task = task._replace(object=changed)
                yield f"{name}: finalizer", self._next(world, slot, task, "store")
            case "store":
                call = task.decision.call
                if (
                    call is not None
                    and call.verb == "create"
                    and not task.object.stored
                    and self._has.stores_before_create
                ):
                    if live is None:
                        yield f"{name}: status refused", done
                        return
                    changed = live._replace(stored=True)
                    world = self._put(world, slot, changed)
                    task = task._replace(object=task.object._replace(stored=True))
                yield f"{name}: stored", self._next(world, slot, task, "call" if call else "status")
            case "call":
                assert task.decision.call is not None
                yield from self._call(world, slot, task, owner, task.decision.call)
            case "status":
                if live is not None and task.decision.shows:
                    world = self._put(world, slot, live._replace(shown=True, stored=True))
                if task.decision.finalizer == "remove":
                    yield f"{name}: status", self._next(world, slot, task, "absence")
                else:
                    yield f"{name}: status", world._replace(tasks=with_at(world.tasks, slot, None))
            case "absence":
                confirm = task.decision.confirm
                if task.decision.foreign is not None and not self._has.confirms_foreign:
                    confirm = False
                if confirm and self._waits(world, owner):
                    yield f"{name}: waits for what may still land", done
                elif confirm and self._has.confirms_absence and not _absent(world.remote, task.decision):
                    yield f"{name}: it is still there", done._replace(view=UNKNOWN)
                else:
                    yield f"{name}: absence", self._next(world, slot, task, "release")
            case _:
                if live is not None:
                    left = live._replace(finalizer=False)
                    done = self._put(done, slot, None if left.deleting else left)
                    done = done._replace(doubt=done.doubt - {owner}, inherited=done.inherited - {owner})
                yield f"{name}: released", done

    def _call(self, world: World, slot: int, task: Task, owner: Owner, call: Call) -> Iterator[Move]:
        name = f"{NAMES[slot]}: {call.verb}"
        done = world._replace(tasks=with_at(world.tasks, slot, None))
        proven = self._proven(world.remote, call)
        if proven is None:
            yield f"{name}: what was observed has changed", done._replace(view=UNKNOWN)
            return
        landed, accepted = self._effect(world, owner, proven)
        landed = landed._replace(view=UNKNOWN)
        if accepted:
            yield f"{name}: answered", self._next(landed, slot, task, "status")
        else:
            yield f"{name}: refused", done._replace(view=UNKNOWN)
        if not world.losses:
            return
        in_doubt = world.doubt | ({owner} if call.verb == "create" else set())
        lost = landed._replace(tasks=done.tasks, view=UNKNOWN, losses=world.losses - 1)
        yield f"{name}: the answer is lost", lost._replace(doubt=in_doubt)
        late = frozenset({InFlight(owner, proven)})
        held = done._replace(view=UNKNOWN, losses=world.losses - 1, in_flight=world.in_flight | late)
        yield f"{name}: held up", held._replace(doubt=in_doubt)
        if accepted and call.verb == "create":
            # The client itself has sent it again, and the second attempt was answered.
            again = landed._replace(losses=world.losses - 1, in_flight=world.in_flight | late)
            if self._has.reports_repeats:
                again = again._replace(doubt=in_doubt)
            yield f"{name}: repeated by the client", self._next(again, slot, task, "status")

    def _proven(self, remote: Remote | None, call: Call) -> Call | None:
        """The call with the ETag that it carries; None if it is not made."""
        if call.verb != "delete" or not self._has.proves_before_delete:
            return call
        was = call.remote
        if remote is None or was is None or (remote.life, remote.owner) != (was.life, was.owner):
            return None
        return call._replace(remote=remote)

    def _effect(self, world: World, owner: Owner, call: Call) -> tuple[World, bool]:
        """What a call does when the service takes it; whether it does."""
        remote = world.remote
        if call.verb == "create":
            if remote is not None:
                return world, False
            made = Remote(world.remotes + 1, owner)
            return world._replace(remote=made, remotes=made.life), True
        if remote is None or call.remote is None:
            return world, False
        same = (remote.life, remote.version) == (call.remote.life, call.remote.version)
        if self._has.sends_etag and not same:
            return world, False
        if call.verb == "adopt":
            self._judge_adoption(world, remote, owner)
            taken = remote._replace(owner=owner, adopted=True, version=remote.version + 1)
            return world._replace(remote=taken), True
        if remote.deleting:
            return world, False
        self._judge_deletion(world, remote, owner)
        return world._replace(remote=remote._replace(deleting=True, version=remote.version + 1)), True

    def _waits(self, world: World, owner: Owner) -> bool:
        if not self._has.waits_for_landing:
            return False
        if owner in world.doubt:
            return True
        return world.young and owner in world.inherited

    def _put(self, world: World, slot: int, each: Object | None) -> World:
        return world._replace(objects=with_at(world.objects, slot, each))

    def _next(self, world: World, slot: int, task: Task, step: str) -> World:
        return world._replace(tasks=with_at(world.tasks, slot, task._replace(step=step)))

    # --- properties ---

    def _judge_deletion(self, world: World, remote: Remote, owner: Owner) -> None:
        if remote.owner != owner:
            raise ViolationError(f"{NAMES[owner.slot]} deletes what belongs to {remote.owner}")
        if remote.adopted:
            raise ViolationError("what was adopted is deleted without a word")
        each = world.objects[owner.slot]
        if each is not None and each.uid == owner.uid and not each.deleting:
            raise ViolationError("the resource of an object that is to stay is deleted")

    def _judge_adoption(self, world: World, remote: Remote, owner: Owner) -> None:
        if remote.owner is not None and remote.owner != owner and _lives(world, remote.owner):
            raise ViolationError(f"{NAMES[owner.slot]} takes what a living object owns")

    def judge(self, world: World) -> None:
        """Raise if the state must not be.

        Raises:
            ViolationError: if a resource is left that an object has made, and the object is gone.
        """
        remote = world.remote
        if remote is None or remote.owner is None or remote.adopted or remote.deleting:
            return
        if not _lives(world, remote.owner):
            raise ViolationError(f"an orphan of {NAMES[remote.owner.slot]}")


def _absent(remote: Remote | None, decision: Decision) -> bool:
    was = decision.foreign
    return remote is None or (was is not None and (remote.life, remote.owner) == (was.life, was.owner))


def _lives(world: World, owner: Owner) -> bool:
    each = world.objects[owner.slot]
    return each is not None and each.uid == owner.uid
