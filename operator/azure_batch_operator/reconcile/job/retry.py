"""`spec.retryOf`: a BatchJob that runs the failed and unfinished tasks of another BatchJob that has ended.

The set of tasks is derived whenever it is needed: the spec of the former job defines its tasks, and Azure Batch reports which of
them have not succeeded. Both are fixed once a job has ended, so a restart at any time finds the same tasks. The former job is kept
until all of them are added (`is_held`). The status stores what is needed afterwards: the settings and the number of tasks.
"""

from __future__ import annotations

import hashlib
import json
from array import array
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from msgspec import structs

from azure_batch_operator.api.base import RECONCILE_POLICY
from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Key, Resource
from azure_batch_operator.api.task_body import Task
from azure_batch_operator.batch.task_wire import ExitConditions, IdRange, TaskNeeds
from azure_batch_operator.batch.wire import Body, convert
from azure_batch_operator.reconcile.before import status_before
from azure_batch_operator.reconcile.job import changes as job_changes
from azure_batch_operator.reconcile.job import expand
from azure_batch_operator.reconcile.job.spec import NO_FACTORY, Depends, JobTerms, TaskLinks, job_before, outline
from azure_batch_operator.reconcile.job.streamed import Streamed, counted
from azure_batch_operator.reconcile.standard_plans import ever_created
from azure_batch_operator.reconcile.status import ended_as, has_ended
from azure_batch_operator.reconcile.value_references import Reference, ResolutionError, Source, references

UNFINISHED = "state ne 'completed' or executionInfo/result eq 'failure'"
"""Filter of the tasks that run again: failed ones, and those that never ran, such as dependents of failed ones."""
MAX_TASKS = 200_000
"""Maximum number of tasks that one job may retry: all their IDs are in memory while they are listed."""
MAX_HELD = 2_000_000
"""Maximum `weight` in memory of all retries together; others wait."""
MAX_FOLLOWED = 20_000
"""Maximum number of tasks of one retry with dependencies or exit conditions that are followed to find those that can never run."""
_FOLLOWED_WEIGHT = 25
_WIDTH_LIMIT = 19
"""Digits of a number that no longer fits into eight bytes; ranges of Azure Batch end far below."""
_MAX_SLOTS = 1 << 30
MAX_RANGES = 10_000
"""Maximum number of ranges in one dependsOn: a range with gaps would wait forever, so it is split at each gap (test_retry.py)."""
MAX_SETTINGS = 16_384
"""Maximum number of characters of the settings in the status."""
NOT_TAKEN = frozenset(
    {
        "id", "retryOf", "suspend", "managedBy", "ttlSecondsAfterFinished", "ttlPolicy", "tasks", "tasksFrom", "taskFactory",
        "taskPrunePolicy", "taskUpdatePolicy",
    }
)  # fmt: skip
"""Properties that a job does not copy from its former job."""
_POOLS = ("poolRef", "poolInfo")
NOTHING_TO_RETRY = "NothingToRetry"
_NEVER = frozenset({NOTHING_TO_RETRY, "RetryTooLarge", "RetryDependencyFailed", "RetryTasksUnknown", "RetryOfItself"})
"""Permanent reasons why tasks do not run again, so the former job need not be kept."""
PENDING, NO_ROOM = "RetryTasksPending", "WaitingForRetries"
WAITS = frozenset({PENDING, NO_ROOM})
"""Reasons of waits that end without an action of a person, so they cause no warning."""
_NEW = "create a BatchJob with all of its tasks instead"


def source_key(job: Resource) -> Key | None:
    """The BatchJob in `spec.retryOf`, if any."""
    named = outline(job).retry_of
    return None if named is None else Key(Kind.JOB, job.key.namespace, named.name)


def source(find: Callable[[Key], Resource | None], job: Resource) -> Resource | None:
    """The BatchJob that first defined the tasks, through any number of retries; None if one of these does not exist."""
    seen = {job.key}
    while (key := source_key(job)) is not None:
        found = find(key)
        if found is None or key in seen:
            return None
        seen.add(key)
        job = found
    return job


def settings(former: Resource) -> dict[str, Any]:
    """What a job copies from the spec of the former one, which may be a retry itself."""
    whole = merged(former.spec, _taken(former))
    return {name: value for name, value in whole.items() if name not in NOT_TAKEN}


def merged(spec: Body, given: Body) -> dict[str, Any]:
    """A spec with the settings that it omits; its own pool replaces that of the settings, in whichever form it is given."""
    own_pool = any(name in spec for name in _POOLS)
    return {name: value for name, value in given.items() if not (own_pool and name in _POOLS)} | dict(spec)


def with_settings(job: Resource) -> Body:
    """The spec of a retry with the settings in its status, which are available even when the former job is gone."""
    return merged(job.spec, _taken(job))


def _taken(job: Resource) -> Body:
    """The settings that a retry has copied from its former job."""
    before = job_before(job).retry_of
    return {} if before is None else before.settings


def stand_ins(number: int) -> dict[str, Any]:
    """Properties of the spec that only have the number of tasks, when the tasks are no longer known."""
    return {"tasks": counted(number), "tasksFrom": []}


def contents(uid: str) -> str:
    """The part of the fingerprint that identifies the former job."""
    return hashlib.sha256(uid.encode()).hexdigest()[:16]


def has_begun(job: Resource) -> bool:
    """Whether its tasks are looked up: not while it is suspended before its creation, when the former job may be deleted."""
    return ever_created(job) or not outline(job).suspend


def is_held(
    find: Callable[[Key], list[Resource]], job: Resource, known: Collection[Key], *, waiting: bool = False
) -> str | None:
    """Name of a BatchJob that still needs the tasks of an ended one, also through other retries; None if there is none.

    Args:
        find: the BatchJobs that name one in `retryOf`.
        known: jobs whose tasks this process has looked up.
        waiting: whether jobs that could not begin yet count, too. They prevent deletion by TTL, which the operator decides, but
            not deletion by a user.
    """
    pending, seen = [job.key], {job.key}
    while pending:
        for each in find(pending.pop()):
            if each.key in seen or source_key(each) is None:
                continue
            seen.add(each.key)
            pending.append(each.key)
            begun = each.key in known or job_before(each).retry_of is not None or (waiting and not _is_refused(each))
            over = each.deleting or has_ended(each) or all_in(each)
            if begun and not over and has_begun(each) and not _is_left_alone(each):
                return each.key.name
    return None


def _is_refused(job: Resource) -> bool:
    """Whether its status says that its tasks can never run."""
    return status_before(job).reason in _NEVER


def _is_left_alone(job: Resource) -> bool:
    """Whether the operator does not manage it: another controller does, or its policy is `skip`."""
    return outline(job).managed_elsewhere or job.annotations.get(RECONCILE_POLICY) == "skip"


def all_in(job: Resource) -> bool:
    """Whether all of its tasks were added, by its status."""
    return job_before(job).tasks_fingerprint is not None


def is_done(job: Resource) -> bool:
    """Whether the job no longer needs the former one: all its tasks are added, or it has ended."""
    return has_ended(job) or all_in(job)


def refusal(job: Resource, former: Resource | None) -> ResolutionError | None:
    """Why tasks of the former job cannot run again, as far as the objects show; None if they can."""
    named, before = outline(job).retry_of, job_before(job).retry_of
    if named is None:
        return None
    name, pinned = named.name, None if before is None else before.uid
    says, other = f"spec.retryOf names BatchJob {name!r}", "or create a new BatchJob with another spec.retryOf"
    if name == job.key.name:
        return ResolutionError("RetryOfItself", f"{says}, which is this object: create a BatchJob with another name")
    if former is None and pinned is None:
        return ResolutionError(
            "RetryJobNotFound", f"{says}, which does not exist in this namespace: create it, {other}"
        )
    if former is None or pinned not in (None, former.uid) or (former.deleting and pinned is None):
        how = (
            "is gone" if former is None else "is being deleted" if former.deleting else "was deleted and created again"
        )
        return ResolutionError("RetryTasksUnknown", f"{says}, which {how}, so its tasks are no longer known: {_NEW}")
    if not has_ended(former) and ended_as(former) is None:
        return ResolutionError(
            "RetryJobNotEnded",
            f"{says}, which has not ended: wait until it ends. To retry failed tasks of an open job, set the annotation "
            "azurebatch.io/retry-failed",
        )
    seen = job_before(former)
    if not seen.state or seen.cleaned_up:
        how = "was deleted" if seen.cleaned_up else "was never created"
        return ResolutionError("RetryTasksUnknown", f"{says}, whose job {how} in Azure Batch: {_NEW}")
    if not all_in(former):
        return ResolutionError(
            "RetryTasksUnknown",
            f"{says}, which ended before the operator had confirmed that all of its tasks were added: {_NEW}",
        )
    return None


def changed(name: str) -> ResolutionError:
    """The error if the tasks of the former job are not those that ran."""
    return ResolutionError(
        "RetryJobChanged",
        f"spec.retryOf: the tasks of BatchJob {name!r} were changed after it ended, in its spec or in a ConfigMap: revert the "
        f"change, or {_NEW}",
    )


def is_unchanged(first: Resource, texts: str | None) -> bool:
    """Whether the tasks in the spec of an ended job are those that ran.

    Args:
        texts: digest of the ConfigMaps that contain them.
    """
    made = job_changes.with_contents(job_changes.origin(first.spec), texts)
    return job_changes.is_made_from(first.spec, job_before(first).tasks_fingerprint or "", made) is True


def too_large(given: Body) -> ResolutionError | None:
    """Why the settings cannot be stored; None if they can."""
    sizes = {name: len(json.dumps(value, default=str)) for name, value in given.items()}
    if sum(sizes.values()) <= MAX_SETTINGS:
        return None
    largest = max(sizes, key=lambda name: sizes[name])
    return ResolutionError(
        "RetrySettingsTooLarge",
        f"spec.retryOf: the settings of the former job have {sum(sizes.values())} characters, but at most {MAX_SETTINGS} can be "
        f"copied: set {largest} ({sizes[largest]} characters) in this spec",
    )


def chosen(spec: Body, ids: Collection[str], others: Collection[str]) -> Streamed:
    """The tasks that run again, in the form of `tasks`, without dependencies on those that have succeeded.

    They are generated twice here, and only their IDs are kept. This takes seconds for 100,000 tasks, so it runs in a thread.

    Args:
        spec: of the BatchJob that defined the tasks, with the tasks of its ConfigMaps.
        ids: lower-case IDs of the tasks in Azure Batch that have not succeeded.
        others: those of them that belong to BatchTasks.

    Raises:
        ResolutionError: if there are too many of them, or they depend on a task that has failed and does not run again.
    """
    plain: Body = {name: value for name, value in spec.items() if name not in {"logs", "onDependencyFailure"}}
    own = frozenset(ids) - frozenset(others)
    plain = _with_ids_as_they_are(plain, own)
    found = [id for body in expand.expand(plain, "", only=own) if (id := str(body["id"]).lower())]
    kept, lost = Ids(found), Ids(set(ids).difference(found))
    del found
    followed: dict[str, TaskLinks] = {}
    conditions: dict[ExitConditions, ExitConditions] = {}
    acting: list[str] = []
    number = depending = acts = 0
    least = 0
    let_in = False
    needed: dict[Source, Reference] = {}
    for body in expand.expand(plain, "", only=kept):
        links = _checked(body, kept, lost)
        number += 1
        least = min(least or _MAX_SLOTS, convert(TaskNeeds, body).slots)
        depending += bool(links.depends_on)
        let_in = let_in or expand.is_let_in(body)
        _note_needed(body, needed)
        if links.exit_conditions.acts_on_job:
            acts += 1
            acting += [links.id] if acts == 1 else []
        if (links.depends_on or "exitConditions" in body) and len(followed) <= MAX_FOLLOWED:
            # Most tasks have the same conditions.
            same = conditions.setdefault(links.exit_conditions, links.exit_conditions)
            followed[links.id.lower()] = structs.replace(links, exit_conditions=same)
    return Streamed(
        plain, kept, _Maker(kept), number, depending, followed if len(followed) <= MAX_FOLLOWED else None,
        (tuple(acting), acts), least or 1, let_in, tuple(needed.values()),
    )  # fmt: skip


def _note_needed(task: Body, needed: dict[Source, Reference]) -> None:
    for reference in references(Task, task, ""):
        if reference.source not in needed:
            path = f"spec.retryOf: task {task['id']!r}: {reference.path.removeprefix('.')}"
            needed[reference.source] = Reference(path, reference.source)


def _checked(body: Body, kept: Ids, lost: Ids) -> TaskLinks:
    """What a task has to do with others that run again.

    Raises:
        ResolutionError: if it waits for one of the lost tasks, or for too many ranges.
    """
    links = TaskLinks.of(body)
    left = kept.of(links.depends_on)
    if (id := lost.first(links.depends_on)) is not None:
        raise ResolutionError(
            "RetryDependencyFailed",
            f"spec.retryOf: task {body['id']!r} depends on task {id!r}, which has not succeeded and does not run again, "
            f"because it is not one of the job's own tasks: {_NEW}",
        )
    if len(left.ranges) > MAX_RANGES:
        raise too_many(f"task {body['id']!r} depends on more than {MAX_RANGES} separate ranges")
    return structs.replace(links, depends_on=left)


def _trimmed(body: Body, kept: Ids) -> dict[str, Any]:
    """A task without dependencies on those that have succeeded."""
    task = {name: value for name, value in body.items() if name != "dependsOn"}
    if left := kept.of(TaskLinks.of(body).depends_on):
        task["dependsOn"] = left.body
    return task


@dataclass(frozen=True)
class _Maker:
    """Generates the tasks that run again from a spec."""

    kept: Ids

    def __call__(self, spec: Body) -> Iterator[dict[str, Any]]:
        return (_trimmed(body, self.kept) for body in expand.expand(spec, "", only=self.kept))


def weight(tasks: Streamed) -> int:
    """Memory for the tasks of a retry, in tasks."""
    return len(tasks) + _FOLLOWED_WEIGHT * (len(tasks.followed or ()) + len(tasks.needed))


def _with_ids_as_they_are(spec: Body, own: Collection[str]) -> Body:
    """The spec with factory IDs of the width in Azure Batch, which does not change when the factory is reduced.

    Raises:
        ResolutionError: if a larger factory generated some of the tasks.
    """
    terms = JobTerms.of(spec)
    if terms.factory == NO_FACTORY:
        return spec
    listed = {str(task["id"]).lower() for task in terms.listed}
    numbers = [id for id in own if id.isascii() and id.isdigit() and id not in listed]
    width, widths = expand.id_width(terms), {len(id) for id in numbers}
    if len(widths) == 1 and (digits := max(widths)) > width:
        spec, width = {**spec, "taskFactory": {**spec["taskFactory"], "idWidth": digits}}, digits
    made = expand.lists(JobTerms.of(spec))
    lost = sorted(id for id in numbers if len(id) == width and not made.makes(id))
    if lost:
        names = (
            f"tasks {lost[0]!r} and {len(lost) - 1} more, which have"
            if len(lost) > 1
            else f"task {lost[0]!r}, which has"
        )
        raise ResolutionError(
            "RetryTasksUnknown",
            f"spec.retryOf: the taskFactory was reduced while the job ran and no longer generates {names} not succeeded: {_NEW}",
        )
    return spec


def too_many(why: str) -> ResolutionError:
    """The error if there are more tasks to retry than fit into memory."""
    return ResolutionError("RetryTooLarge", f"spec.retryOf: too many tasks to retry: {why}: {_NEW}")


class Ids:
    """A compact set of lower-case IDs: numbers of one width take eight bytes each. It can be searched by range."""

    def __init__(self, ids: Collection[str]) -> None:
        widths = Counter(len(id) for id in ids if id.isascii() and id.isdigit() and len(id) < _WIDTH_LIMIT)
        self._width = widths.most_common(1)[0][0] if widths else 0
        self._made = array("q", sorted(int(id) for id in ids if self._is_number(id)))
        self._names = frozenset(id for id in ids if not self._is_number(id))
        more = {int(id) for id in self._names if id.isascii() and id.isdigit() and len(id) < _WIDTH_LIMIT}
        self._numbers = array("q", sorted(more.union(self._made))) if more else self._made
        self._runs: dict[tuple[int, int], Sequence[IdRange]] = {}

    def _is_number(self, id: str) -> bool:
        return len(id) == self._width and id.isascii() and id.isdigit()

    def __contains__(self, id: object) -> bool:
        if not isinstance(id, str) or not self._is_number(id):
            return id in self._names
        at = bisect_left(self._made, number := int(id))
        return at < len(self._made) and self._made[at] == number

    def __len__(self) -> int:
        return len(self._made) + len(self._names)

    def of(self, depends: Depends) -> Depends:
        """The part of a `dependsOn` that refers to these tasks."""
        named = tuple(id for id in depends.ids if id.lower() in self)
        runs = tuple(run for each in depends.ranges for run in self._between(each.start, each.end))
        return Depends(task_ids=named or None, task_id_ranges=runs or None)

    def first(self, depends: Depends) -> str | None:
        """One of these tasks that a `dependsOn` names."""
        if not len(self):
            return None
        found = self.of(depends)
        if found.ids:
            return found.ids[0]
        return str(found.ranges[0].start) if found.ranges else None

    def _between(self, start: int, end: int) -> Sequence[IdRange]:
        if (start, end) not in self._runs:
            if len(self._runs) >= MAX_RANGES:
                self._runs.clear()
            numbers = self._numbers[bisect_left(self._numbers, start) : bisect_right(self._numbers, end)]
            self._runs[start, end] = list(_runs(numbers))
        return self._runs[start, end]


def _runs(numbers: Sequence[int]) -> Iterator[IdRange]:
    """Ascending numbers as ranges without gaps."""
    if not numbers:
        return
    start = numbers[0]
    for one, other in pairwise(numbers):
        if other != one + 1:
            yield IdRange(start=start, end=one)
            start = other
    yield IdRange(start=start, end=numbers[-1])
