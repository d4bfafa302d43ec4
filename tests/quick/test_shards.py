"""Three operators divide the accounts among them; one is killed, frozen or stopped, and nothing is done twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator

import pytest
from prometheus_client import REGISTRY

from support.stage import Options, Stage, job, pool, sleeping, task
from support.stage.process import Process, current

SHARDS = 6
ACCOUNTS = ("blue", "amber", "khaki", "fair", "hazel", "dark")
"""One in each shard."""
LEASE_SECONDS = 15.0
TASKS = 3


@pytest.fixture
async def fleet(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    """A stage with several accounts and no operator yet."""
    monkeypatch.setenv("POD_NAMESPACE", "kube-system")
    settings = {"shards": SHARDS, "lease_seconds": LEASE_SECONDS, "poll_seconds": 5.0}
    async with Stage(Options(accounts=ACCOUNTS, settings=settings)) as stage:
        yield stage
        stage.check()


def shares(stage: Stage) -> list[int]:
    """How many shards each replica holds that holds any, by the Leases."""
    leases = [each for each in stage.server.all("leases") if "-shard-" in each["metadata"]["name"]]
    holders = [each["spec"].get("holderIdentity") for each in leases]
    return sorted(Counter(filter(None, holders)).values())


async def three(stage: Stage) -> list[Process]:
    """Three operators that have divided the shards."""
    processes = [stage.start() for _ in range(3)]
    await stage.until(lambda: shares(stage) == [2, 2, 2], 60)
    return processes


def apply_work(stage: Stage, name: str, seconds: float = 100.0) -> None:
    """A pool and a job with tasks in each account."""
    for account in ACCOUNTS:
        if not stage.get("bacc", account):
            stage.apply(*stage.account_objects(account, accountName=account))
        stage.apply(
            pool(f"{name}-{account}", accountRef={"name": account}, targetDedicatedNodes=2),
            job(f"{name}-{account}", poolRef={"name": f"{name}-{account}"}, tasks=sleeping(TASKS, seconds=seconds)),
        )


def phases(stage: Stage, name: str) -> Counter[str]:
    return Counter(stage.phase("bj", f"{name}-{account}") for account in ACCOUNTS)


def are(stage: Stage, name: str, phase: str) -> bool:
    return phases(stage, name) == {phase: len(ACCOUNTS)}


def taken(stage: Stage) -> dict[str, int]:
    """How often the service has taken a create, by operation."""
    creating = {"Pools_CreatePool", "Jobs_CreateJob", "Tasks_CreateTaskCollection"}
    return Counter(each.operation for each in stage.azure.log if each.operation in creating and each.status < 300)


def assert_done_once(stage: Stage, rounds: int) -> None:
    """Of each pool, job and task one, and as many creates as are needed for them."""
    number = rounds * len(ACCOUNTS)
    assert taken(stage) == {"Pools_CreatePool": number, "Jobs_CreateJob": number, "Tasks_CreateTaskCollection": number}
    for service in stage.azure.services.values():
        assert len(service.pool_table) == len(service.job_table) == rounds
        assert [len(each.tasks) for each in service.job_table.values()] == [TASKS] * rounds


async def test_the_accounts_of_a_killed_operator_are_taken_over(fleet: Stage) -> None:
    _, second, _ = await three(fleet)
    apply_work(fleet, "one")
    await fleet.until(lambda: phases(fleet, "one")["Running"] >= 2, 600)
    second.kill()
    await second.reaped()
    apply_work(fleet, "two")
    await fleet.until(lambda: shares(fleet) == [3, 3], 2 * LEASE_SECONDS + 10)
    await fleet.until(lambda: are(fleet, "one", "Succeeded") and are(fleet, "two", "Succeeded"), 1200)
    assert_done_once(fleet, 2)

    # Taken over at rest: as a restart, it costs lists, and no write to any object.
    await fleet.run_for(120)
    before, calls = fleet.writes(), len(fleet.azure.changes())
    leases = fleet.writes("lease")
    fleet.processes[0].kill()
    await fleet.processes[0].reaped()
    await fleet.until(lambda: shares(fleet) == [6], 2 * LEASE_SECONDS + 10)
    await fleet.run_for(60)
    assert fleet.writes() - before == fleet.writes("lease") - leases
    assert len(fleet.azure.changes()) == calls


async def test_an_operator_that_slept_through_its_leases_does_nothing_when_it_wakes(fleet: Stage) -> None:
    processes = await three(fleet)
    hold = fleet.azure.hold("Tasks_CreateTaskCollection")
    apply_work(fleet, "one")
    await fleet.until(lambda: fleet.azure.calls("Jobs_CreateJob") == len(ACCOUNTS), 600)
    await fleet.run_for(2)
    sleeper = processes[2]
    fleet.freeze(sleeper)
    hold.release()
    apply_work(fleet, "two")
    await fleet.until(lambda: shares(fleet) == [3, 3], 2 * LEASE_SECONDS + 10)
    await fleet.until(lambda: are(fleet, "one", "Succeeded") and are(fleet, "two", "Succeeded"), 1200)
    written: list[str] = []

    def note(what: str, name: str, after: bool) -> bool:
        if current() is sleeper:
            written.append(f"{what} {name} {after}")
        return False

    fleet.api.effects.append(note)
    before = taken(fleet)
    fleet.thaw()
    await fleet.until(lambda: not sleeper.alive, 10)
    await fleet.run_for(60)
    assert written == []
    assert taken(fleet) == before
    for service in fleet.azure.services.values():
        assert [len(each.tasks) for each in service.job_table.values()] == [TASKS, TASKS]
    assert before["Pools_CreatePool"] == before["Jobs_CreateJob"] == 2 * len(ACCOUNTS)
    assert shares(fleet) == [3, 3]


async def test_shards_are_handed_over_while_work_is_in_progress(fleet: Stage) -> None:
    first = fleet.start()
    await fleet.until(lambda: shares(fleet) == [6], 60)
    apply_work(fleet, "one")
    await fleet.until(lambda: fleet.azure.calls("Jobs_CreateJob") > 0, 600)
    second, third = fleet.start(), fleet.start()
    await fleet.until(lambda: shares(fleet) == [2, 2, 2], 60)
    apply_work(fleet, "two")
    await fleet.until(lambda: fleet.azure.calls("Jobs_CreateJob") > len(ACCOUNTS), 600)
    # A rollout: the others need not wait until Leases expire.
    stopping = fleet.loop.create_task(first.stop())
    await fleet.until(lambda: not first.running and shares(fleet) == [3, 3], LEASE_SECONDS - 1)
    await stopping
    assert second.alive
    assert third.alive
    await fleet.until(lambda: are(fleet, "one", "Succeeded") and are(fleet, "two", "Succeeded"), 1200)
    assert_done_once(fleet, 2)
    for account in ACCOUNTS:
        for name in ("one", "two"):
            fleet.delete("bj", f"{name}-{account}")
            fleet.delete("bp", f"{name}-{account}")
        fleet.delete("bacc", account)
    await fleet.until(lambda: not any(fleet.names(kind) for kind in ("bj", "bp", "bacc")), 600)
    assert all(not service.pool_table and not service.job_table for service in fleet.azure.services.values())


async def test_replicas_that_are_added_to_an_installation_of_one_wait_for_it(fleet: Stage) -> None:
    """With the settings of manifests/base and of the chart; the old Pod stays as long as one of the new ones is pending."""
    old = fleet.start(shards=1, leader_election=True)
    apply_work(fleet, "one")
    await fleet.until(lambda: are(fleet, "one", "Running"), 600)
    new = [fleet.start() for _ in range(2)]
    await fleet.run_for(60)
    before = fleet.writes(), fleet.writes("lease")
    await fleet.run_for(10)
    writes, renewals = fleet.writes() - before[0], fleet.writes("lease") - before[1]
    assert 1 <= renewals <= 5, "those that are on standby only read"
    assert writes - renewals <= 5 * len(ACCOUNTS), "two that act write a hundred per second"
    assert shares(fleet) == []
    stopping = fleet.loop.create_task(old.stop())
    await fleet.until(lambda: not old.running and shares(fleet) == [3, 3], 60)
    await stopping
    assert all(each.alive for each in new)
    await fleet.until(lambda: are(fleet, "one", "Succeeded"), 1200)
    assert_done_once(fleet, 1)


async def test_one_of_them_says_what_is_missing(fleet: Stage) -> None:
    await three(fleet)
    fleet.apply(job("own", poolRef={"name": "cpu"}, tasks=sleeping(TASKS, seconds=60)))
    await fleet.until(lambda: fleet.reason("bj", "own") == "PoolNotFound", 60)
    fleet.apply(pool("cpu", accountRef={"name": "blue"}))
    await fleet.until(lambda: fleet.reason("bp", "cpu") == "AccountNotFound", 60)
    await fleet.run_for(60)
    before = fleet.writes("bj"), fleet.writes("bp"), fleet.writes("bj", "", "status"), fleet.writes("bp", "", "status")
    await fleet.run_for(600)
    now = fleet.writes("bj"), fleet.writes("bp"), fleet.writes("bj", "", "status"), fleet.writes("bp", "", "status")
    assert before == now
    assert sum(before) <= 5
    fleet.apply(*fleet.account_objects("blue", accountName="blue"))
    await fleet.until(lambda: fleet.phase("bj", "own") == "Succeeded", 900)
    assert fleet.azure.calls("Jobs_CreateJob") == fleet.azure.calls("Tasks_CreateTaskCollection") == 1


async def test_a_shard_whose_objects_cannot_be_listed_is_not_shown_as_held(fleet: Stage) -> None:
    def shown() -> list[float | None]:
        labels = [{"shard": str(shard)} for shard in range(SHARDS)]
        return [REGISTRY.get_sample_value("azurebatch_shard_held", each) for each in labels]

    fleet.start()
    # The list before it is counted succeeds, the one after its shards were acquired does not.
    await fleet.until(lambda: any("-member-" in each["metadata"]["name"] for each in fleet.server.all("leases")), 60)
    fault = fleet.fail("list", "batchpools", status=500)
    await fleet.until(lambda: shares(fleet) == [SHARDS], 60)
    await fleet.run_for(60)
    assert shown() == [0] * SHARDS
    assert REGISTRY.get_sample_value("azurebatch_leader") == 0
    fault.end()
    await fleet.until(lambda: shown() == [1] * SHARDS, 120)
    assert REGISTRY.get_sample_value("azurebatch_leader") == 1


async def apply_waiting_tasks(stage: Stage) -> None:
    """In each account a task that waits for one that runs; only the session knows that it is in Azure Batch."""
    for each in ACCOUNTS:
        pool_name, job_name = f"cpu-{each}", f"own-{each}"
        stage.apply(
            *stage.account_objects(each, accountName=each),
            pool(pool_name, accountRef={"name": each}, targetDedicatedNodes=1),
            job(job_name, poolRef={"name": pool_name}, onAllTasksComplete="noaction", usesTaskDependencies=True),
            task(f"runs-{each}", job_name, "sleep 36000"),
            task(f"waits-{each}", job_name, dependsOnRefs=[{"name": f"runs-{each}"}]),
        )
    await stage.until(lambda: all(stage.phase("bt", f"runs-{each}") == "Running" for each in ACCOUNTS), 600)
    await stage.until(lambda: all(tasks(stage, each) == ["runs", "waits"] for each in ACCOUNTS), 60)
    assert not any("url" in stage.status("bt", f"waits-{each}") for each in ACCOUNTS)


def tasks(stage: Stage, account: str) -> list[str]:
    table = stage.azure.services[account].job_table
    return sorted(id.partition("-")[0] for job in table.values() for id in job.tasks)


def detach(stage: Stage, account: str) -> None:
    """The BatchJob goes, the job stays."""
    stage.annotate("bj", f"own-{account}", reconcile_policy="detach-on-delete")
    stage.delete("bj", f"own-{account}")


async def test_a_waiting_task_is_deleted_although_its_job_is_gone_and_another_replica_has_the_shard_of_its_namespace(
    fleet: Stage,
) -> None:
    await three(fleet)
    await apply_waiting_tasks(fleet)
    for each in ACCOUNTS:
        detach(fleet, each)
        fleet.delete("bt", f"waits-{each}")
    await fleet.until(lambda: all(fleet.gone("bt", f"waits-{each}") for each in ACCOUNTS), 120)
    assert [tasks(fleet, each) for each in ACCOUNTS] == [["runs"]] * len(ACCOUNTS)
    assert fleet.events("bt", reason="TaskMayRemain") == []


async def test_only_the_replica_that_knows_a_waiting_task_says_where_it_is(fleet: Stage) -> None:
    await three(fleet)
    await apply_waiting_tasks(fleet)
    for each in ACCOUNTS:
        detach(fleet, each)
    await fleet.run_for(150)
    for each in ACCOUNTS:
        status = fleet.status("bt", f"waits-{each}")
        assert (status["account"], status["jobId"]) == (f"default/{each}", f"own-{each}")
        assert fleet.writes("bt", f"waits-{each}", "status") <= 2, "replicas contradict each other"
