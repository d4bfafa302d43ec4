"""Every member of every spec, set, changed, unset and emptied: Azure Batch ends as if the last spec had been the first.

The members come from the models, so a new one is tested without a line here. A plan's calls are carried out by the engine of the
emulator. See docs/decisions/0020.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from azure_batch_emulator.wire.errors import BatchError
from azure_batch_operator.api.base import ApiModel
from azure_batch_operator.api.job import JobSpec
from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.pool import PoolSpec
from azure_batch_operator.api.schedule import JobScheduleSpec
from azure_batch_operator.api.task import TaskSpec
from azure_batch_operator.reconcile import normalization as normal
from azure_batch_operator.reconcile.plan import Absent
from support import job_engine, pool_engine
from support.samples import Path, Samples
from unit.objects import resource

MODELS: Mapping[Kind, type[ApiModel]] = {
    Kind.POOL: PoolSpec, Kind.JOB: JobSpec, Kind.SCHEDULE: JobScheduleSpec, Kind.TASK: TaskSpec,
}  # fmt: skip
BASES: Mapping[Kind, dict[str, Any]] = {
    Kind.POOL: {
        "accountRef": {"name": "main"},
        "vmSize": "Standard_D4ads_v6",
        "virtualMachineConfiguration": {
            "imageReference": {"publisher": "p", "offer": "o", "sku": "s1"}, "nodeAgentSKUId": "agent 1",
        },
    },
    Kind.JOB: {"poolRef": {"name": "cpu"}},
    Kind.SCHEDULE: {"schedule": {"recurrenceInterval": "PT1H"}, "jobSpecification": {"poolRef": {"name": "cpu"}}},
    Kind.TASK: {"jobRef": {"name": "steps"}, "commandLine": "true"},
}  # fmt: skip

FORMULA = {"enableAutoScale": True, "autoScaleFormula": "$TargetDedicatedNodes = 0;"}
CONTEXTS: Mapping[tuple[Kind, str], dict[str, Any]] = {(Kind.POOL, "autoScaleEvaluationInterval"): FORMULA}
"""What a member of a spec needs beside it."""

NOT_IN_AZURE = "the operator reads it from the spec at each pass, and nothing of it is kept in Azure Batch"
OF_A_RESIZE = "an argument of each resize: it counts from the next one on"
EXCEPTIONS: Mapping[Kind, Mapping[str, str]] = {
    Kind.POOL: {
        "targetDedicatedNodes": "a target that is left out is left to whoever scales the pool: no nodes go for a missing line",
        "targetLowPriorityNodes": "the same",
        "resizeTimeout": OF_A_RESIZE,
        "nodeDeallocationOption": OF_A_RESIZE,
        "enableAutoScale": "goes with autoScaleFormula: test_pool_fixed_point",
        "autoScaleFormula": "goes with enableAutoScale: test_pool_fixed_point",
        "autoScaleProfile": "a formula of the operator: test_pool_fixed_point",
        "maxIdle": "a formula of the operator: test_pool_fixed_point",
        **dict.fromkeys(("updateStrategy", "startTaskUpdate", "nodeRemediation"), NOT_IN_AZURE),
        **dict.fromkeys(("deletionPolicy", "pricesFrom"), NOT_IN_AZURE),
    },
    Kind.JOB: {
        "onAllTasksComplete": "the service does not take it back: test_unset",
        "poolRef": "one of poolRef and poolInfo is required: moving a job is in test_job_life",
        "poolInfo": "the same",
        "tasks": "tasks have rules of their own: taskPrunePolicy and taskUpdatePolicy",
        "tasksFrom": "the same",
        "taskFactory": "the same",
        "logs": "part of the tasks: taskUpdatePolicy",
        "onDependencyFailure": "part of the tasks: taskUpdatePolicy",
        **dict.fromkeys(("taskPrunePolicy", "taskUpdatePolicy", "suspendPolicy", "failurePolicy"), NOT_IN_AZURE),
        **dict.fromkeys(("pendingDeadlineSeconds", "ttlSecondsAfterFinished"), NOT_IN_AZURE),
    },
    Kind.SCHEDULE: {"cron": "in place of schedule, and neither can take the other's place"},
    Kind.TASK: {"tailLines": NOT_IN_AZURE},
}
"""Members of specs that are not compared with a resource that is made from the last spec, each with the reason."""
STAYS = {
    (Kind.POOL, ("networkConfiguration",)), (Kind.POOL, ("upgradePolicy",)), (Kind.POOL, ("resourceTags",)),
    (Kind.JOB, ("networkConfiguration",)),
}  # fmt: skip
"""What the service offers no way to take away: refused at apply."""
UNTESTABLE: Mapping[tuple[str, ...], str] = {
    ("jobSpecification", "poolRef"): "one of poolRef and poolInfo is required",
    ("jobSpecification", "poolInfo", "poolId"): "one of poolId and autoPoolSpecification is required",
    ("jobSpecification", "poolInfo"): "the same as poolRef",
}
_SHORT_LIVED = frozenset(
    {
        "eTag", "lastModified", "creationTime", "stateTransitionTime", "allocationStateTransitionTime", "previousState",
        "previousStateTransitionTime", "executionInfo", "metadata", "url", "autoScaleRun",
    }
)  # fmt: skip


def bench_of(kind: Kind, spec: Mapping[str, Any]) -> Any:
    one = resource(kind, dict(spec), finalizer=True)
    makers = {Kind.JOB: job_engine.JobBench, Kind.SCHEDULE: job_engine.ScheduleBench, Kind.TASK: job_engine.TaskBench}
    if kind is not Kind.POOL:
        return makers[kind](one)
    bench = pool_engine.Bench(one)
    bench.service.applications["applicatio0"] = bench.service.applications["applicatio1"] = {
        "id": "applicatio0", "versions": ["version0", "version1"],
    }  # fmt: skip
    return bench


def become(bench: Any, kind: Kind, spec: Mapping[str, Any]) -> None:
    """The user changes the spec while the operator is down: it remembers nothing of the pool."""
    if kind is not Kind.POOL:
        bench.become(spec)
        return
    bench.resource = resource(Kind.POOL, dict(spec), finalizer=True, generation=bench.resource.generation + 1)
    bench._accepted.clear()


def observed(bench: Any, kind: Kind) -> dict[str, Any] | None:
    """The resource without what means nothing and what only tells its history; None if it does not exist."""
    remote = bench.remotes()[0] if kind is Kind.POOL else bench.remote()
    if isinstance(remote, Absent):
        return None
    body = {name: value for name, value in remote.items() if name not in _SHORT_LIVED}
    if body.get("targetNodeCommunicationMode") == "default":
        # Absent where it was never sent.
        del body["targetNodeCommunicationMode"]
    own = normal.metadata(remote.get("metadata"))
    found = meaning(body)
    assert isinstance(found, dict)
    return found | ({"metadata": own} if own else {})


FILLED_IN = {
    "enableAutomaticUpdates": True, "policy": "Regional", "loginMode": "batch", "dynamicVNetAssignmentScope": "none",
    "provision": "batchmanaged", "sourcePortRanges": ["*"],
}  # fmt: skip
"""Defaults that the service fills in only where the object that they stand in was sent."""
NOT_NOTHING = {
    "autoUpgradeMinorVersion", "secureBootEnabled", "vTpmEnabled", "enableCrossZoneUpgrade", "prioritizeUnhealthyInstances",
    "uid", "gid",
}  # fmt: skip
"""What is neither false nor zero where it is missing, but decided by something else."""


def meaning(value: Any) -> Any:
    """The value without members that mean the same as nothing."""
    if isinstance(value, Mapping):
        kept = {name: meaning(each) for name, each in value.items() if FILLED_IN.get(name) != each}
        return {name: each for name, each in kept.items() if each or (name in NOT_NOTHING and each is not None)}
    if isinstance(value, list):
        return [meaning(each) for each in value]
    return value


def fresh(kind: Kind, spec: Mapping[str, Any]) -> dict[str, Any] | None:
    """The resource that this spec makes; None if the service refuses it, or if nothing is to be made yet."""
    bench = bench_of(kind, spec)
    try:
        bench.settle()
    except BatchError:
        return None
    return observed(bench, kind)


def fixed(kind: Kind) -> frozenset[str]:
    """Members whose adding, changing and removing one rule refuses."""
    return frozenset(str(rule.field).lstrip(".") for rule in MODELS[kind].rules if rule.fixed)


def compared(kind: Kind) -> list[str]:
    """Members of the spec that are compared with the resource."""
    return [name for name in MODELS[kind].wire_names() if name not in fixed(kind) and name not in EXCEPTIONS[kind]]


MEMBERS = [(kind, name) for kind in MODELS for name in compared(kind)]


def paths(kind: Kind, member: str) -> Iterator[Path]:
    found = Samples(MODELS[kind])
    for path in found.paths():
        inside = path[: len(path) - 1]
        if path[0] != member or path in UNTESTABLE or any(name.endswith("Ref") for name in inside):
            continue
        if kind is Kind.SCHEDULE and path[0] == "jobSpecification" and len(path) > 1 and path[1] in _ONLY_CRON:
            continue
        if kind is Kind.JOB and path[0] == "backoff" and path[1:] != ("taskRetries",):
            continue
        if (
            path[-1] in ("name", "key", "secretKeyRef", "configMapKeyRef")
            and len(path) > 1
            and path[-2].endswith("From")
        ):
            continue
        yield path


_ONLY_CRON = frozenset(JobScheduleSpec.members()["jobSpecification"].model.ours) - {"poolRef"}  # type: ignore[union-attr]


@pytest.mark.parametrize(("kind", "member"), MEMBERS, ids=str)
def test_the_last_spec_is_all_that_counts(kind: Kind, member: str) -> None:
    samples = Samples(MODELS[kind])
    wrong, compared = [], 0
    for path in paths(kind, member):
        base = BASES[kind] | CONTEXTS.get((kind, member), {})
        if "windowsUserConfiguration" in path:
            pool = path[: path.index("userAccounts")]
            agent = (*pool, "virtualMachineConfiguration", "nodeAgentSKUId")
            base = samples.with_member(base, agent, "batch.node.windows amd64")
        if len(path) > 1:
            base = samples.with_member(base, path[:-1], samples.value(path[:-1], 0))
        one, two = (samples.with_member(base, path, samples.value(path, number)) for number in (0, 1))
        goes = (kind, path) not in STAYS and not samples.required(path)
        empty = samples.empty(path)
        emptied = samples.with_member(base, path, empty)
        bench = bench_of(kind, base if goes else one)
        bench.settle()
        for spec, wanted in _stages(kind, one, two, base if goes else None, None if empty is None else emptied):
            become(bench, kind, spec)
            bench.settle()
            # Without one of these the test says nothing of the member: the emulator refuses what it does not know.
            compared += spec is one or spec is two
            if (found := observed(bench, kind)) != wanted:
                wrong.append((path, spec, found, wanted))
    assert wrong == []
    assert compared


def _stages(
    kind: Kind, one: dict[str, Any], two: dict[str, Any], without: dict[str, Any] | None, emptied: dict[str, Any] | None
) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Specs that follow each other, each with the resource that it makes; those that make none are left out."""
    specs = [one, two, without, one, without, emptied, one, emptied, without]
    made = [(spec, fresh(kind, spec)) for spec in (one, two, without, emptied) if spec is not None]
    known = [(spec, wanted) for spec in specs for other, wanted in made if other is spec]
    return [(spec, wanted) for spec, wanted in known if wanted is not None]


@pytest.mark.parametrize("kind", MODELS, ids=str)
def test_every_member_is_accounted_for(kind: Kind) -> None:
    """A member is compared above, fixed by a rule, or an exception with a reason; null is the same as leaving out."""
    names = set(MODELS[kind].wire_names())
    assert EXCEPTIONS[kind].keys() | fixed(kind) <= names
    assert not EXCEPTIONS[kind].keys() & fixed(kind)
    for name in names:
        nulled = resource(kind, BASES[kind] | {name: None})
        left_out = resource(kind, {each: value for each, value in BASES[kind].items() if each != name})
        assert nulled.spec == left_out.spec


@pytest.mark.parametrize(("kind", "path"), sorted(STAYS), ids=str)
def test_values_that_the_service_keeps_cannot_be_unset(kind: Kind, path: Path) -> None:
    (name,) = path
    assert f"!has(oldSelf.{name}) || has(self.{name})" in [rule.expression for rule in MODELS[kind].rules]


def test_a_fixed_member_can_be_added_changed_and_removed_no_more() -> None:
    for kind in MODELS:
        for rule in MODELS[kind].rules:
            if rule.fixed:
                name = str(rule.field).lstrip(".")
                assert rule.expression == (
                    f"has(self.{name}) ? has(oldSelf.{name}) && self.{name} == oldSelf.{name} : !has(oldSelf.{name})"
                )
