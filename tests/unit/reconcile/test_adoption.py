"""Taking over what exists: never from an object that lives; what was left behind by naming its owner; a lost cluster as a whole."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from azure_batch_operator.api.base import ADOPT, ADOPTED_METADATA, OWNER_METADATA
from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Key, Resource
from azure_batch_operator.batch.wire import TaskCounts
from azure_batch_operator.reconcile.adoption import NO_OTHERS, Others, Standing
from azure_batch_operator.reconcile.job import lifecycle as jobs
from azure_batch_operator.reconcile.job.scope import JobScope, TasksView
from azure_batch_operator.reconcile.ownership import Owned, owns
from azure_batch_operator.reconcile.plan import Absence, Evidence, Plan, Table
from azure_batch_operator.reconcile.pool import lifecycle as pools
from azure_batch_operator.reconcile.pool.scope import PoolView
from azure_batch_operator.reconcile.schedule import lifecycle as schedules
from azure_batch_operator.reconcile.target_pool import TargetPoolView as JobPool
from azure_batch_operator.reconcile.task import lifecycle as tasks
from azure_batch_operator.reconcile.task.scope import JobView, TaskScope, TaskView
from support.typed import observed
from unit.objects import ACCOUNT, CLUSTER, JOB_SPEC, NOW, POOL_SPEC, TASK_SPEC, resource

LOST = Others(lambda _: Standing.GONE, frozenset({"cluster-0"}))


def remote(owner: str | None, id: str = "one", **members: Any) -> dict[str, Any]:
    items = [{"name": "team", "value": "a"}] + ([{"name": OWNER_METADATA, "value": owner}] if owner else [])
    shown = {name: POOL_SPEC[name] for name in ("vmSize", "virtualMachineConfiguration", "targetDedicatedNodes")}
    return (
        {"id": id, "state": "active", "allocationState": "steady", "eTag": "0x1", "metadata": items} | shown | members
    )


def others(standing: Standing) -> Others:
    return Others(lambda _: standing)


def decide(adopt: str | None, there: dict[str, Any], known: Others = NO_OTHERS, **options: Any) -> Plan:
    one = resource(Kind.POOL, POOL_SPEC, annotations={ADOPT: adopt} if adopt is not None else {}, **options)
    return pools.plan(pools.PoolScope(one, ACCOUNT, PoolView(there), CLUSTER, NOW, known))


def reason(plan: Plan) -> tuple[str, str]:
    [ready] = [each for each in (plan.status or {})["conditions"] if each["type"] == "Ready"]
    return ready["reason"], ready["message"]


HERE = "cluster-1/default/BatchPool/one/uid-0/one"
ELSEWHERE = "cluster-1/team-b/BatchPool/theirs/uid-0/one"
NEIGHBOR = "cluster-1/default/BatchPool/two/uid-0/one"
OTHER_CLUSTER = "cluster-9/default/BatchPool/two/uid-0/one"
GONE, LIVES, UNSEEN = Standing.GONE, Standing.LIVES, Standing.UNSEEN


@pytest.mark.parametrize(
    ("owner", "adopt", "standing", "taken"),
    [
        # Nobody's.
        (None, "true", UNSEEN, True),
        (None, "True", UNSEEN, True),
        (None, "false", UNSEEN, False),
        (None, "", UNSEEN, False),
        (None, None, UNSEEN, False),
        # A copy carries a marker that was written for another id.
        ("cluster-1/team-b/BatchPool/theirs/uid-0/original", "true", LIVES, True),
        # A live object's, whatever is named.
        *((owner, adopt, LIVES, False) for owner in (HERE, ELSEWHERE, NEIGHBOR) for adopt in ("true", owner, "cluster-1")),
        # An object's that may live, since its namespace is not watched.
        (ELSEWHERE, "true", UNSEEN, False),
        (ELSEWHERE, ELSEWHERE, UNSEEN, False),
        # What an earlier object of the same name has left.
        (HERE, "true", GONE, True),
        (HERE, None, GONE, False),
        # What another object has left: by its name.
        (NEIGHBOR, "true", GONE, False),
        (NEIGHBOR, NEIGHBOR, GONE, True),
        (NEIGHBOR, "cluster-1/default/BatchPool/two", GONE, True),
        (NEIGHBOR, "cluster-1/default/BatchPool/tw", GONE, False),
        (NEIGHBOR, "cluster-1/default/BatchPool/two/uid-7", GONE, False),
        # Another namespace's is not taken by a name alone.
        (ELSEWHERE, ELSEWHERE, GONE, False),
        # Another cluster's.
        (OTHER_CLUSTER, "true", GONE, False),
        (OTHER_CLUSTER, OTHER_CLUSTER, GONE, True),
        (OTHER_CLUSTER, "cluster-9", GONE, True),
        (OTHER_CLUSTER, "cluster-9/", GONE, True),
        (OTHER_CLUSTER, "cluster-", GONE, False),
        ("cluster-9/team-b/BatchPool/one/uid-0/one", "cluster-9", GONE, False),
        # A marker that cannot be read.
        ("something", "true", GONE, False),
        ("something", "something", GONE, True),
    ],
)  # fmt: skip
def test_who_may_take_what(owner: str | None, adopt: str | None, standing: Standing, taken: bool) -> None:
    plan = decide(adopt, remote(owner), others(standing))
    if not taken:
        assert plan.calls == ()
        assert plan.finalizer is None
        assert reason(plan)[0] == "OwnershipConflict"
        return
    [call] = plan.calls
    assert (call.verb, call.if_match) == ("update_pool", "0x1")
    assert (call.body or {})["metadata"] == [
        {"name": "team", "value": "a"},
        {"name": OWNER_METADATA, "value": "cluster-1/default/BatchPool/one/uid-1/one"},
        {"name": ADOPTED_METADATA, "value": "true"},
    ]


def test_the_conflict_names_a_live_owner_and_how_to_get_it_from_there() -> None:
    _, message = reason(decide("true", remote(NEIGHBOR), others(LIVES)))
    assert "belongs to BatchPool default/two (uid uid-0) of cluster cluster-1" in message
    assert message.endswith(
        ", or delete BatchPool default/two, annotated with azurebatch.io/reconcile-policy=detach-on-delete if the resource must "
        "be kept"
    )


def test_the_conflict_does_not_tell_to_delete_an_object_of_another_namespace() -> None:
    """Other people decide about it."""
    _, message = reason(decide("true", remote(ELSEWHERE), others(LIVES)))
    assert "belongs to BatchPool team-b/theirs (uid uid-0) of cluster cluster-1" in message
    assert message.endswith(
        ", or ask the owner of BatchPool team-b/theirs to delete it, annotated with "
        "azurebatch.io/reconcile-policy=detach-on-delete if the resource must be kept"
    )


def test_the_conflict_does_not_take_an_object_that_nobody_can_see_for_gone() -> None:
    _, message = reason(decide("true", remote(ELSEWHERE), others(UNSEEN)))
    assert (
        "make sure that BatchPool 'theirs' does not exist in namespace 'team-b', which this operator does not watch"
        in message
    )


def test_the_conflict_says_which_value_takes_what_was_left() -> None:
    _, message = reason(decide("true", remote(NEIGHBOR), others(GONE)))
    assert "azurebatch.io/adopt=cluster-1/default/BatchPool/two" in message


# --- a cluster that was lost and is restored from Git ---


def test_resources_of_a_lost_cluster_are_inherited_by_the_namesake() -> None:
    plan = decide(None, remote("cluster-0/default/BatchPool/one/uid-0"), LOST)
    [call] = plan.calls
    assert (call.body or {})["metadata"] == [
        {"name": "team", "value": "a"},
        {"name": OWNER_METADATA, "value": "cluster-1/default/BatchPool/one/uid-1/one"},
    ], "it was made by its object, so it goes with it"


def test_adopted_resources_of_a_lost_cluster_stay_adopted() -> None:
    there = remote("cluster-0/default/BatchPool/one/uid-0")
    there["metadata"].append({"name": ADOPTED_METADATA, "value": "true"})
    [call] = decide(None, there, LOST).calls
    assert (call.body or {})["metadata"][-1] == {"name": ADOPTED_METADATA, "value": "true"}


@pytest.mark.parametrize("owner", ["cluster-0/default/BatchPool/two/uid-0", "cluster-0/team-b/BatchPool/one/uid-0"])
def test_only_the_namesake_continues(owner: str) -> None:
    assert reason(decide(None, remote(owner), LOST))[0] == "OwnershipConflict"


def test_the_pool_in_use_may_be_one_of_a_later_generation() -> None:
    [call] = decide(None, remote("cluster-0/default/BatchPool/one/uid-0/one-g7", "one-g7"), LOST).calls
    assert call.id == "one-g7"
    assert {"name": OWNER_METADATA, "value": "cluster-1/default/BatchPool/one/uid-1/one-g7"} in (call.body or {})[
        "metadata"
    ]


def test_a_finished_job_takes_no_marker_and_is_followed_anyway() -> None:
    one = resource(Kind.JOB, JOB_SPEC)
    there = {
        "id": "one", "state": "completed", "executionInfo": {"terminateReason": "AllTasksCompleted"},
        "metadata": [{"name": OWNER_METADATA, "value": "cluster-0/default/BatchJob/one/uid-0/one"}],
    }  # fmt: skip
    view = TasksView(counts=TaskCounts(completed=1, succeeded=1), unfinished=0)
    plan = jobs.plan(JobScope(one, ACCOUNT, JobPool("cpu"), there, view, CLUSTER, NOW, "", LOST))
    assert plan.calls == ()
    assert (plan.status or {})["phase"] == "Succeeded"
    conflict = jobs.plan(JobScope(one, ACCOUNT, JobPool("cpu"), there, view, CLUSTER, NOW))
    assert reason(conflict)[0] == "OwnershipConflict"


def test_a_task_whose_marker_cannot_be_changed_is_followed_and_deleted() -> None:
    view = TaskView(
        observed({"id": "one", "eTag": "0x1", "state": "active", "owner": "cluster-0/default/BatchTask/one/uid-0"})
    )
    job = JobView(exists=True, id="steps", remote={"id": "steps", "state": "active"}, ours=True)
    gone = resource(Kind.TASK, TASK_SPEC, finalizer=True, deleting=True)
    assert [call.verb for call in tasks.plan(TaskScope(gone, ACCOUNT, job, view, CLUSTER, NOW, LOST)).calls] == [
        "delete_task"
    ]
    assert tasks.plan(TaskScope(gone, ACCOUNT, job, view, CLUSTER, NOW)) == Plan(
        finalizer="remove",
        confirm=(Absence(Table.TASKS, "one", "steps", Evidence(owner="cluster-0/default/BatchTask/one/uid-0")),),
    )
    one = resource(Kind.TASK, TASK_SPEC, finalizer=True)
    assert tasks.plan(TaskScope(one, ACCOUNT, job, view, CLUSTER, NOW, LOST)).status is None, "it waits in Azure Batch"


def test_a_whole_fleet_is_restored_and_the_flag_is_not_needed_afterwards() -> None:
    """Pools, jobs and schedules of a lost cluster are all marked again, and owned from then on without the flag."""
    for number in range(20):
        name = f"pool-{number}"
        one = resource(Kind.POOL, POOL_SPEC, name=name, uid=f"new-{number}")
        there = remote(f"cluster-0/default/BatchPool/{name}/old-{number}/{name}", name)
        [call] = pools.plan(pools.PoolScope(one, ACCOUNT, PoolView(there), CLUSTER, NOW, LOST)).calls
        there["metadata"] = (call.body or {})["metadata"]
        assert owns(there, one, CLUSTER)
        again = pools.plan(pools.PoolScope(one, ACCOUNT, PoolView(there), CLUSTER, NOW))
        assert "OwnershipConflict" not in str(again.status)


# --- two who want the same ---


class Account:
    """One pool in Azure, and objects that want it; a write under an old ETag is refused."""

    def __init__(self, owner: str | None) -> None:
        self.pool = remote(owner)
        self.writes: list[str] = []
        self.live: dict[Key, Resource] = {}

    def look(self, owner: Owned) -> Standing:
        known = self.live.get(Key(Kind(owner.kind), owner.namespace, owner.name))
        return LIVES if known is not None and known.uid == owner.uid else GONE

    def turn(self, one: Resource, seen: dict[str, Any]) -> None:
        for call in pools.plan(pools.PoolScope(one, ACCOUNT, PoolView(seen), CLUSTER, NOW, Others(self.look))).calls:
            if call.verb == "update_pool" and call.if_match == self.pool["eTag"] and OWNER_METADATA in str(call.body):
                self.writes.append(one.key.name)
                etag = f"0x{len(self.writes) + 1}"
                self.pool = self.pool | {"metadata": (call.body or {})["metadata"], "eTag": etag}


@given(
    st.sampled_from([None, HERE, NEIGHBOR, "cluster-1/default/BatchPool/x/uid-0/one"]),
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), min_size=1, max_size=30),
)
def test_a_resource_is_adopted_only_once(owner: str | None, turns: list[tuple[int, int]]) -> None:
    account = Account(owner)
    wants = "true" if owner is None else owner
    rivals = [
        resource(Kind.POOL, POOL_SPEC | {"id": "one"}, name=name, uid=f"uid-{name}", annotations={ADOPT: wants})
        for name in ("a", "b", "c")
    ]
    account.live = {each.key: each for each in rivals}
    shown = [account.pool] * 3
    for who, age in turns:
        # A rival decides from what it has seen, which may be old.
        if age:
            shown[who] = account.pool
        account.turn(rivals[who], shown[who])
    assert len(set(account.writes)) == 1


SPECS: dict[Kind, dict[str, Any]] = {
    Kind.POOL: POOL_SPEC,
    Kind.JOB: JOB_SPEC,
    Kind.SCHEDULE: {
        "accountRef": {"name": "main"},
        "schedule": {"recurrenceInterval": "PT1H"},
        "jobSpecification": {"poolRef": {"name": "cpu"}, "jobManagerTask": {"id": "m", "commandLine": "true"}},
    },
}
STATES = {
    Kind.POOL: ["active", "deleting"],
    Kind.JOB: ["active", "disabling", "disabled", "enabling", "terminating", "completed", "deleting"],
    Kind.SCHEDULE: ["active", "disabled", "terminating", "completed", "deleting"],
}
MARKS = {Kind.POOL: "update_pool", Kind.JOB: "update_job", Kind.SCHEDULE: "update_schedule"}
TAKES_NO_CHANGE = {"terminating", "completed", "deleting"}
"""Azure Batch answers any PATCH with 409 in these states, and none but the passing of time leads out of them."""


@pytest.mark.parametrize(("kind", "state"), [(kind, state) for kind, states in STATES.items() for state in states])
@pytest.mark.parametrize("whose", ["nobody's", "earlier", "lost", "own"])
def test_nothing_is_changed_in_a_state_that_takes_no_change(kind: Kind, state: str, whose: str) -> None:
    cluster, uid = ("cluster-0", "uid-0") if whose == "lost" else (CLUSTER, "uid-1" if whose == "own" else "uid-0")
    owner = None if whose == "nobody's" else f"{cluster}/default/{kind.value}/one/{uid}/one"
    there = remote(owner, state=state, poolInfo={"poolId": "other"}, priority=7)
    one = resource(kind, SPECS[kind] | {"suspend": False}, annotations={ADOPT: "true"})
    known = TasksView(counts=TaskCounts(completed=1, succeeded=1), unfinished=0, complete=True)
    if kind is Kind.POOL:
        plan = pools.plan(pools.PoolScope(one, ACCOUNT, PoolView(there), CLUSTER, NOW, LOST))
    elif kind is Kind.JOB:
        plan = jobs.plan(JobScope(one, ACCOUNT, JobPool("cpu"), there, known, CLUSTER, NOW, others=LOST))
    else:
        plan = schedules.plan(
            schedules.ScheduleScope(one, ACCOUNT, JobPool("cpu"), there, schedules.JobsView(), CLUSTER, NOW, LOST)
        )
    if state in TAKES_NO_CHANGE:
        assert plan.calls == ()
        assert plan.status, "it says what it sees"
    elif whose != "own":
        assert [call.verb for call in plan.calls] == [MARKS[kind]]
