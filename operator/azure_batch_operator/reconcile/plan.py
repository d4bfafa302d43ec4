"""The decision about an object as a value: tests compare it, and the controller executes it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal

from azure_batch_operator.api.resource import Key
from azure_batch_operator.batch.wire import Body
from azure_batch_operator.reconcile.operation_order import Operate
from azure_batch_operator.reconcile.ownership import Marked, MarkedBody, has_marker, marker_of


class Table(Enum):
    """What the poller keeps a table of."""

    POOLS = "pools"
    JOBS = "jobs"
    TASKS = "tasks"
    SCHEDULES = "schedules"
    NODES = "nodes"


class Absent(Enum):
    """The two ways in which there is nothing to see."""

    UNKNOWN = "unknown"
    """Not looked at since the start or since our own last write: decide nothing, the poller will tell."""
    NOT_FOUND = "gone"
    """Looked at, and not there."""


Remote = Body | Absent
"""A resource in Azure Batch as the last poll saw it."""


VERBS = frozenset(
    {
        "create_pool",
        "update_pool",
        "replace_pool_properties",
        "enable_pool_auto_scale",
        "disable_pool_auto_scale",
        "evaluate_pool_auto_scale",
        "resize_pool",
        "stop_pool_resize",
        "remove_nodes",
        "reboot_node",
        "reimage_node",
        "delete_pool",
        "create_job",
        "update_job",
        "terminate_job",
        "disable_job",
        "enable_job",
        "delete_job",
        "update_task",
        "terminate_task",
        "reactivate_task",
        "create_schedule",
        "update_schedule",
        "enable_schedule",
        "disable_schedule",
        "terminate_schedule",
        "delete_schedule",
        "delete_task",
    }
)
"""Names of all calls; `sync/sending.py` knows how each is sent."""


@dataclass(frozen=True)
class TaskEvidence:
    """How many tasks of a job a list must show, since counts lag behind.

    Attributes:
        filter: of the list.
        least, most: bounds of their number; no upper one if `most` is None.
    """

    filter: str
    least: int = 0
    most: int | None = None


@dataclass(frozen=True)
class Evidence:
    """What must be true of the resource itself right before a call, by a GET whose ETag the call then carries.

    Attributes:
        created: `creationTime` of the incarnation that was decided about.
        owner: its ownership marker.
        stamp: `stateTransitionTime` of a node, which has neither.
        tasks: what must be true of the tasks of a job.
        idle: ids (lower case) of the open jobs that may be on a pool, as long as none of their tasks is unfinished and no node runs
            one; None if a pool may be busy.
        nodes: ids of nodes of a pool with the `stateTransitionTime` that each must still have.
    """

    created: str | None = None
    owner: str | None = None
    stamp: str | None = None
    tasks: tuple[TaskEvidence, ...] = ()
    idle: frozenset[str] | None = None
    nodes: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, remote: Marked, tasks: tuple[TaskEvidence, ...] = (), idle: frozenset[str] | None = None) -> Evidence:
        """That a resource is still the incarnation, and still has the owner, that was observed."""
        found = MarkedBody.of(remote) if isinstance(remote, Mapping) else remote
        return cls(created=found.creation_time, owner=marker_of(remote), tasks=tasks, idle=idle)

    def holds(self, current: Body) -> bool:
        """Whether the resource as a GET shows it is the one that was decided about."""
        if self.stamp is not None:
            return MarkedBody.of(current).state_transition_time == self.stamp
        # A list that was asked for less does not know when the resource was created; the owner is always known.
        return self.created in (None, MarkedBody.of(current).creation_time) and has_marker(current, self.owner)


def without_etag(remote: Marked) -> Evidence | None:
    """Evidence for what was observed without an ETag; None where the ETag is proof enough."""
    found = MarkedBody.of(remote) if isinstance(remote, Mapping) else remote
    return None if found.etag else Evidence.of(remote)


@dataclass(frozen=True)
class Absence:
    """A resource whose absence, or state, must be confirmed before its object is let go or its status is written.

    Attributes:
        table, id, parent: as in `Call`.
        foreign: what was observed under the ID and must stay, because it is foreign or was adopted. While it exists, nothing that
            was created for the object exists under that ID.
    """

    table: Table
    id: str
    parent: str | None = None
    foreign: Evidence | None = None


TAKES_NO_MORE = frozenset({"terminating", "completed"})
"""States of a job to which no task can be added, and which it never leaves."""


@dataclass(frozen=True)
class Ended:
    """A job that accepts no more tasks, as a GET must confirm: it may have been made again since a list showed it.

    Attributes:
        job: its id.
        created: `creationTime` of the incarnation that was observed.
    """

    job: str
    created: str | None

    def holds(self, current: Body) -> bool:
        """Whether the job as a GET shows it is the one that has ended."""
        job = MarkedBody.of(current)
        return self.created in (None, job.creation_time) and job.state in TAKES_NO_MORE


_NEED_NO_PROOF = ("create_", "evaluate_")
"""Verbs that cannot hit somebody else's resource: the service refuses an id that is taken, and evaluating changes nothing."""


@dataclass(frozen=True)
class Call:
    """One change in Azure Batch.

    A call to something that exists proves that it hits what was decided about: by the ETag that was observed together with the
    owner, or by `evidence`. One without proof cannot be made (`ValueError`).

    Attributes:
        verb: what to do, one of `VERBS`.
        table: the kind of resource that changes, so that the poller looks at it again before anything else is decided.
        id: its id.
        parent: id of the job of a task, or of the pool of a node.
        body: the REST body, if the call has one.
        if_match: ETag that the resource must still have.
        evidence: what a GET must confirm first.
        marks: fingerprints of the body's members as they are in the spec, to know them again (`Accepted`).
        digests: of the values from Secrets and ConfigMaps that the body is given, by member.
        nodes: for calls about nodes, what to note of each once the service has answered (`status.remediations`, without the time).
    """

    verb: str
    table: Table
    id: str
    parent: str | None = None
    # Bodies may hold secrets by the time they are sent.
    body: Body | None = field(default=None, repr=False)
    if_match: str | None = None
    evidence: Evidence | None = None
    marks: Mapping[str, str] | None = None
    digests: Mapping[str, str] | None = None
    nodes: tuple[Mapping[str, str], ...] = ()

    def __post_init__(self) -> None:
        if self.verb not in VERBS:
            raise ValueError(f"unknown verb {self.verb}")
        if not self.verb.startswith(_NEED_NO_PROOF) and self.if_match is None and self.evidence is None:
            raise ValueError(f"{self.verb} of {self.id!r} needs an ETag or evidence")

    @property
    def creates(self) -> bool:
        """Whether the call makes something that was not there."""
        return self.verb.startswith("create_")

    @property
    def action(self) -> tuple[str, str | None, str]:
        """What is done to what: the same for every try."""
        return self.verb, self.parent, self.id

    @property
    def content(self) -> str:
        """A digest of the body; bodies may hold secrets, and this leaves none in memory."""
        return hashlib.sha256(json.dumps(self.body, sort_keys=True, default=str).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Accepted:
    """What the service took from the operator by PATCH.

    Attributes:
        members: fingerprints by member.
        etag: of the resource after it; another one means that somebody has written since.
    """

    members: Mapping[str, str]
    etag: str


@dataclass(frozen=True)
class Event:
    """A transition worth an Event."""

    reason: str
    message: str
    type: Literal["Normal", "Warning"] = "Normal"


@dataclass(frozen=True)
class ObjectChange:
    """An object of ours to create in, or delete from, the cluster.

    Attributes:
        body: the whole object, to create; one that exists already is left as it is. None to delete.
        uid: of the object to delete; a namesake stays.
    """

    key: Key
    body: Body | None = None
    uid: str | None = None


@dataclass(frozen=True)
class Feed:
    """That a job's own tasks must be brought in.

    Attributes:
        fingerprint: of the sources that were decided from; never of a newer manifest.
        created: `creationTime` of the job in Azure Batch.
        exact: whether tasks that are there may have nothing that the sources do not mention; what an adopted job had stays.
        marked: whether a call of the plan says first, at the job, that its tasks change. Nothing is brought in unless that was
            answered; to wait for a poll as well would starve a job whose sources change faster than polls come.
        spec: to make the tasks from, with values from Secrets and ConfigMaps.
        ends: whether the service ends the job when its tasks have ended, so that none is replaced: it could end in between.
    """

    fingerprint: str
    created: str | None
    exact: bool = True
    marked: bool = False
    spec: Body | None = field(default=None, repr=False)
    ends: bool = False


@dataclass(frozen=True)
class StopFeed:
    """Feed only those own tasks of a job that come from these sources; the fingerprint of a job without own tasks is empty."""

    fingerprint: str
    created: str | None


@dataclass(frozen=True)
class Retry:
    """Pass the failed tasks of a job to the retrier.

    Attributes:
        value: of the annotation that asks for it.
        until: time of the last failure that it is about; None before the first look at them.
        created: `creationTime` of the job.
    """

    value: str
    until: str | None
    created: str | None


class Unconfirmed(Enum):
    """Why an object is let go although something of it may be in Azure Batch, or why nothing can be."""

    RELEASED = "the user has forced its end, or it has no finalizer"
    DETACHED = "the user wants to keep what it owns"
    NEVER_CREATED = "no call was ever made for it"
    UNUSED = "no object uses the account any more"
    OF_KUBERNETES = "it has objects only, which the garbage collector deletes"
    NOWHERE = "the job of its task is unknown; an Event reports this"


@dataclass(frozen=True)
class Plan:
    """What to do about one object; `reconcile.effects` has the order in which it is done.

    What has more than one part is one value, which is an effect itself where it can be. Some members are no effects, or parts of
    one beside another member, since later steps change them alone:
    - `status` and `first` are bodies: a policy, a refused call or a problem replaces the verdict of one and keeps the other.
    - `submit`, with what is said of it, stays a body until the values of Secrets and the upload of `logs_to` are put in.
    - `ended`, `left_active` and `confirm` are three kinds of proof. `confirm` means another thing with the finalizer taken off.
    - `finalizer` and `halts` are decided by steps that say nothing of the rest of the plan.
    - `unconfirmed` is a reason for people and tests; nothing is executed because of it.

    Attributes:
        finalizer: put it on before anything else, or take it off when all is done; None leaves it.
        calls: changes in Azure Batch, one after the other.
        objects: changes in the cluster, after the calls.
        submit: body of a task to be added through the submitter (BatchTask).
        submit_to: id of the job that it is added to; its BatchJob may be gone by the time it is sent.
        unseen: whether no list has shown yet that there is no such task: if there is one, the service says so.
        logs_to: `spec.logs.upload` of its BatchJob with `path`, for the output of that task.
        feed: that the job's own tasks must be brought in, and of what they are made (BatchJob).
        status: the whole status to show; None leaves what is there.
        again: seconds until it must be looked at without any event.
        drift: properties that somebody else has changed and that the calls set right.
        first: status that the API server must have taken before tasks are run again; it says which failures that is about.
        retry: that the failed tasks of a job run again.
        feeds_only: the sources that may continue to be brought in, where that is in progress; None if the plan says nothing of it.
        operate: what is to be done next for a BatchOperation, once `first` is stored.
        halts: whether nothing continues that is in progress for the object, since what it works in is somebody else's by now.
        ended: a job that a GET must show as one that accepts no more tasks before the status is true.
        left_active: a task that a list of its job's tasks must show as active before the status is true.
        confirm: what must be absent before the finalizer is taken off or, where it stays, before the status is shown.
        unconfirmed: why nothing needs to be absent. A plan that takes the finalizer off has this or `confirm`, and cannot be built
            otherwise (`ValueError`).
    """

    finalizer: Literal["add", "remove"] | None = None
    calls: tuple[Call, ...] = ()
    submit: Body | None = field(default=None, repr=False)
    submit_to: str = ""
    unseen: bool = False
    logs_to: Body | None = field(default=None, repr=False)
    feed: Feed | None = None
    status: Mapping[str, object] | None = None
    events: tuple[Event, ...] = ()
    requeue_after: float | None = None
    drift: tuple[str, ...] = ()
    objects: tuple[ObjectChange, ...] = ()
    first: Mapping[str, object] | None = None
    retry: Retry | None = None
    feeds_only: StopFeed | None = None
    operate: Operate | None = None
    halts: bool = False
    ended: Ended | None = None
    left_active: Absence | None = None
    confirm: tuple[Absence, ...] = ()
    unconfirmed: Unconfirmed | None = None

    def __post_init__(self) -> None:
        if self.finalizer == "remove" and bool(self.confirm) == (self.unconfirmed is not None):
            raise ValueError("removing a finalizer needs proof, or the reason why none is needed")
        if self.submit is not None and not self.submit_to:
            raise ValueError("a task is added to a job")


@dataclass(frozen=True)
class AccountView:
    """What a reconciler needs to know of its account.

    Attributes:
        usable: whether calls can be made.
        reason, message: why not.
        gone: whether the BatchAccount does not exist at all.
        opening: whether nothing is known of it yet, since the operator, or the account, has only just begun.
        url: endpoint without a slash at the end.
        name: `namespace/name` of the BatchAccount.
    """

    usable: bool
    reason: str = ""
    message: str = ""
    gone: bool = False
    opening: bool = False
    url: str = ""
    name: str = ""
