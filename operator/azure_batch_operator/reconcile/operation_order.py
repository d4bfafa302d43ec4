"""Values that the plan, the observation and the runner of a BatchOperation exchange: the request, and what is known of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from azure_batch_operator.api.operation import TARGETS, On
from azure_batch_operator.api.resource import Resource
from azure_batch_operator.batch.errors import BatchError
from azure_batch_operator.batch.wire import Body, ResourceState, build
from azure_batch_operator.reconcile import adoption, ownership
from azure_batch_operator.reconcile.adoption import Others
from azure_batch_operator.reconcile.operation_verbs import VERBS, Verb

ATTEMPTED, SUCCEEDED, FAILED, UNKNOWN, SKIPPED = "Attempted", "Succeeded", "Failed", "Unknown", "Skipped"
NOT_OURS = "TargetNotOwned"
"""Reason of a wait."""
NOT_ALLOWED = "TargetNotAllowed"
"""Reason of a refusal."""
REPLACED = "TargetReplaced"
"""Reason of failures."""


@dataclass(frozen=True)
class Place:
    """What an operation is about, by ids in Azure Batch; all are empty for the account."""

    pool: str = ""
    job: str = ""
    schedule: str = ""
    task: str = ""
    node: str = ""

    @property
    def path(self) -> str:
        """Of the resource, below the account's URL."""
        parts = {"pools": self.pool, "jobs": self.job, "jobschedules": self.schedule}
        return "".join(f"/{collection}/{id}" for collection, id in parts.items() if id)

    @property
    def outer(self) -> str:
        """Id of the pool, job or schedule; empty for the account."""
        return self.pool or self.job or self.schedule

    @property
    def leaf(self) -> str:
        """Id of the innermost thing; empty for the account."""
        return self.task or self.node or self.outer


@dataclass(frozen=True)
class Reach:
    """Whom an operation may reach.

    Attributes:
        owner: the object that the spec names, whose resource it must be; None for ids.
        namespace: of the operation.
        cluster, others: as for `adoption.ours`.
        created: `creationTime` of the resource when the targets were chosen; empty before.
        foreign: why nothing of the namespace may run on a pool, by its ID and as Azure Batch shows it; None if it may.
    """

    owner: Resource | None
    namespace: str
    cluster: str
    others: Others
    created: str = ""
    foreign: Callable[[str, Body], str | None] = field(default=lambda *_: None, compare=False)

    @property
    def _clusters(self) -> frozenset[str]:
        return self.others.lost | {self.cluster}

    def refusal_of_pool(self, id: str, pool: Body) -> tuple[str, str] | None:
        """As `refusal`, for the pool on which tasks of a job would run again."""
        why = self.foreign(id, pool)
        return None if why is None else (NOT_ALLOWED, f"the job is on a pool that this namespace may not use: {why}")

    def needs_makers(self, pool: Body) -> bool:
        """Whether only the jobs that a pool was made for tell whose it is: an auto pool carries no marker of its own."""
        return self.owner is None and ownership.is_auto_pool(pool)

    def refusal_of_auto_pool(self, pool: Body, makers: Sequence[tuple[Body, Body | None]]) -> tuple[str, str] | None:
        """As `refusal`, for a pool that the service has made for jobs.

        Args:
            makers: these jobs, each with its schedule.
        """
        id = build(ResourceState, pool).id
        for job, schedule in makers:
            if (foreign := ownership.foreign_owner(job, schedule, self.namespace, self._clusters)) is not None:
                made_for = build(ResourceState, job).id
                text = f"{id!r} is the auto pool of job {made_for!r}, which cannot be reached from this namespace"
                return NOT_ALLOWED, f"{text}: {foreign}"
        if makers:
            return None
        text = f"{id!r} has the ID of an auto pool, but no job shows for which owner it was created"
        return NOT_ALLOWED, f"{text}: adopt it with a BatchPool, and name that in poolRef"

    def refusal(self, remote: Body, schedule: Body | None = None) -> tuple[str, str] | None:
        """Reason and message why the operation may not touch a resource; None if it may.

        Args:
            schedule: that has made the job, if one has.
        """
        seen = build(ResourceState, remote)
        id = seen.id
        if self.owner is not None:
            if not adoption.ours(remote, self.owner, self.cluster, self.others):
                key = self.owner.key
                return NOT_OURS, f"{key.kind} {key.name!r} does not own {id!r} in Azure Batch; check its conditions"
        elif (foreign := ownership.foreign_owner(remote, schedule, self.namespace, self._clusters)) is not None:
            return NOT_ALLOWED, f"{id!r} cannot be reached from this namespace: {foreign}"
        if self.created and seen.creation_time not in (None, self.created):
            return REPLACED, f"{id!r} was created again in Azure Batch after the targets were chosen"
        return None


@dataclass(frozen=True)
class Request:
    """What is to be called.

    Attributes:
        verb: its name.
        inputs: the member of the spec, with values from Secrets once they are read.
        place, reach: what it is about, and whom it may touch.
        size: targets of a batch.
        secrets: values in `inputs` that came from Secrets.
    """

    verb: str
    inputs: Body = field(repr=False)
    place: Place
    reach: Reach
    size: int
    secrets: frozenset[str] = field(default=frozenset(), repr=False)

    @property
    def on(self) -> On:
        """What the verb is about."""
        return TARGETS[self.verb]

    @property
    def how(self) -> Verb:
        """The row of the table."""
        return VERBS[self.verb]


@dataclass(frozen=True)
class Result:
    """What happened to one target.

    Attributes:
        given_up: whether the operation was ended before the call was made.
    """

    outcome: str
    message: str = ""
    request_id: str | None = None
    values: tuple[tuple[str, str], ...] = ()
    omitted: int = 0
    given_up: bool = False


@dataclass(frozen=True)
class Look:
    """A target as it was seen before an attempt.

    Attributes:
        before: what to remember of it.
        result: why it is not attempted.
    """

    before: str = ""
    result: Result | None = None


@dataclass(frozen=True)
class Chosen:
    """What was found at the beginning.

    Attributes:
        targets: all of them, in order.
        created: `creationTime` of the resource.
        beyond: whether more of them match than one operation takes.
    """

    targets: tuple[str, ...]
    created: str = ""
    beyond: bool = False


@dataclass(frozen=True)
class Progress:
    """What this process knows of an operation beyond its status.

    Attributes:
        busy: whether something of it is in progress.
        chosen: its targets, once they were looked for.
        looks: targets that may be attempted next, as they were seen.
        results: what happened to the targets that were attempted last.
        untried: those of them for which no call was made.
        refused: reason and message why its resource may not be touched.
        problem: why it does not get on.
        ending: reason and message of what has ended it, once that was ordered: it does not go on if the cause is taken back.
    """

    busy: bool = False
    chosen: Chosen | None = None
    looks: Mapping[str, Look] = field(default_factory=dict)
    results: Mapping[str, Result] = field(default_factory=dict)
    untried: frozenset[str] = frozenset()
    refused: tuple[str, str] | None = None
    problem: BatchError | None = None
    ending: tuple[str, str] | None = None


NOTHING = Progress()


@dataclass(frozen=True)
class Operate:
    """What the runner is to do for an operation.

    Attributes:
        request: what is to be called.
        choose: whether the targets are to be chosen.
        attempt: targets whose calls are to be made, with what was seen of each before.
        doubt: whether a process before this one may have made these calls.
        age: seconds since the status said so.
        ending: reason and message of what ended the operation: no call is made any more, and those that may have been made are
            followed to their outcome. None while it continues.
        following: targets to look at afterwards.
        otherwise: the status to show if that is not done, such as under the policy `skip`; it does not say of targets that are only
            about to be attempted that they are. None if nothing is new.
    """

    request: Request
    choose: bool = False
    attempt: Mapping[str, str] = field(default_factory=dict)
    doubt: bool = False
    age: float = 0.0
    ending: tuple[str, str] | None = None
    following: tuple[str, ...] = ()
    otherwise: Body | None = None
