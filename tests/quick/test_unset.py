"""What is taken out of a spec, and what changes in a Secret, on the whole operator."""

from __future__ import annotations

from typing import Any

import pytest

from support.stage import Stage, job, pool, schedule, secret, sleeping, thing

VARIABLE = {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "login", "key": "word"}}}


def updates(stage: Stage, operation: str) -> int:
    """How often the operator has changed something in this way."""
    return sum(call.operation == operation for call in stage.azure.log)


def token(stage: Stage) -> Any:
    """The value that jobs of the schedule get."""
    body = stage.azure.get("/jobschedules/nightly") or {}
    return body["jobSpecification"]["jobManagerTask"]["environmentSettings"][0]["value"]


@pytest.mark.parametrize("down", [False, True])
async def test_a_rotated_secret_reaches_a_schedule_once(stage: Stage, down: bool) -> None:
    manager = {"id": "m", "commandLine": "true", "environmentSettings": [VARIABLE]}
    specification = {"poolRef": {"name": "cpu"}, "jobManagerTask": manager}
    stage.apply(secret("login", word="one"))
    await stage.ready_pool()
    stage.apply(schedule("nightly", schedule={"recurrenceInterval": "PT24H"}, jobSpecification=specification))
    await stage.until(lambda: stage.ready("bjs", "nightly"))
    await stage.run_for(60)
    for number, word in enumerate(("two", "three"), 1):
        if down:
            await stage.kill()
        stage.apply(secret("login", word=word))
        if down:
            stage.start()
        await stage.until(lambda word=word: token(stage) == word, 700)
        await stage.run_for(400)
        assert updates(stage, "JobSchedules_UpdateJobSchedule") == number


async def test_a_deadline_that_is_removed_does_not_end_the_job(stage: Stage) -> None:
    await stage.ready_pool()
    stage.apply(job("long", tasks=sleeping(1, 3600), activeDeadlineSeconds=1800, priority=7))
    await stage.until(lambda: stage.phase("bj", "long") == "Running", 300)
    await stage.restart()
    stage.apply(job("long", tasks=sleeping(1, 3600)))
    await stage.until(lambda: (stage.azure.get("/jobs/long") or {}).get("priority") == 0)
    await stage.until(lambda: stage.phase("bj", "long") == "Succeeded", 2 * 3600)


@pytest.mark.parametrize("kind", ["BatchJob", "BatchTask"])
async def test_an_object_gets_the_value_of_the_moment_when_it_was_created(stage: Stage, kind: str) -> None:
    await stage.ready_pool()
    stage.apply(secret("login", word="zero"), job("open"))
    await stage.until(lambda: stage.ready("bj", "open"))
    for number in range(5):
        word, name = f"word{number}", f"t{number}"
        stage.apply(secret("login", word=word))
        if kind == "BatchTask":
            variables = [VARIABLE]
            made = thing(kind, name, jobRef={"name": "open"}, commandLine="true", environmentSettings=variables)
            path = f"/jobs/open/tasks/{name}"
        else:
            made = job(name, tasks=[{"id": "a", "commandLine": "true", "environmentSettings": [VARIABLE]}])
            path = f"/jobs/{name}/tasks/a"
        stage.apply(made)
        found = await stage.until(lambda path=path: stage.azure.get(path), 120)
        assert found["environmentSettings"][0]["value"] == word


async def test_a_secret_that_changes_before_the_first_list_of_pools_makes_a_new_pool(stage: Stage) -> None:
    users = [{"name": "render", "passwordSecretRef": {"name": "login", "key": "word"}}]
    stage.apply(secret("login", word="one"), *stage.account_objects())
    stage.apply(pool("cpu", targetDedicatedNodes=1, userAccounts=users, updateStrategy="Recreate"))
    await stage.until(lambda: stage.ready("bp", "cpu"), 900)
    await stage.kill()
    held = stage.azure.hold("Pools_ListPools", count=1)
    stage.start()
    await stage.until(lambda: held.arrived)
    stage.apply(secret("login", word="two"))
    stage.annotate("bp", "cpu", reconcile_now="1")
    await stage.run_for(5)
    held.release()
    await stage.until(lambda: stage.status("bp", "cpu").get("id") == "cpu-g1", 900)


def _extension(**more: Any) -> dict[str, Any]:
    image = {"publisher": "canonical", "offer": "0001-com-ubuntu-server-jammy", "sku": "22_04-lts"}
    extension = {"name": "e", "publisher": "p", "type": "t", **more}
    return {"imageReference": image, "nodeAgentSKUId": "batch.node.ubuntu 22.04", "extensions": [extension]}


async def test_a_secret_that_the_spec_no_longer_names_is_taken_from_the_pool(stage: Stage) -> None:
    hidden = _extension(protectedSettingsSecretRef={"name": "login", "key": "word"})
    stage.apply(secret("login", word='{"a": "PLANTED"}'), *stage.account_objects())
    stage.apply(pool("cpu", targetDedicatedNodes=0, virtualMachineConfiguration=hidden))
    await stage.until(lambda: stage.ready("bp", "cpu"), 300)
    stage.apply(pool("cpu", targetDedicatedNodes=0, virtualMachineConfiguration=_extension()))
    await stage.run_for(60)
    [call] = [each for each in stage.azure.log if each.operation == "Pools_UpdatePool"]
    assert b'"extensions":[{"name":"e","publisher":"p","type":"t"}]' in call.body
    await stage.run_for(1300)
    assert updates(stage, "Pools_UpdatePool") == 1, "it is sent once"


async def test_a_secret_that_a_full_pool_no_longer_needs_is_taken_from_it_once_it_is_empty(stage: Stage) -> None:
    hidden = _extension(protectedSettingsSecretRef={"name": "login", "key": "word"})
    stage.apply(secret("login", word='{"a": "PLANTED"}'), *stage.account_objects())
    stage.apply(pool("cpu", targetDedicatedNodes=1, virtualMachineConfiguration=hidden))
    await stage.until(lambda: stage.ready("bp", "cpu"), 300)
    stage.apply(pool("cpu", targetDedicatedNodes=1, virtualMachineConfiguration=_extension()))
    await stage.until(lambda: stage.condition("bp", "cpu", "UpdatePending"))
    await stage.restart()
    stage.apply(pool("cpu", targetDedicatedNodes=0, virtualMachineConfiguration=_extension()))
    await stage.until(
        lambda: any(b'"extensions"' in each.body for each in stage.azure.log if each.method == "PATCH"), 600
    )


@pytest.mark.parametrize("kind", ["bp", "bjs"])
@pytest.mark.parametrize("reference", [{"name": "none-such", "key": "word"}, {"name": "login", "key": "none-such"}])
async def test_a_reference_to_nothing_is_told_on_an_object_that_lives(
    stage: Stage, kind: str, reference: dict[str, str]
) -> None:
    def variables(names: dict[str, str]) -> list[Any]:
        return [{"name": "TOKEN", "valueFrom": {"secretKeyRef": names}}]

    def made(names: dict[str, str]) -> dict[str, Any]:
        if kind == "bp":
            start = {"commandLine": "true", "environmentSettings": variables(names)}
            return pool("own", targetDedicatedNodes=0, startTask=start)
        manager = {"id": "m", "commandLine": "true", "environmentSettings": variables(names)}
        specification = {"poolRef": {"name": "cpu"}, "jobManagerTask": manager}
        return schedule("own", schedule={"recurrenceInterval": "PT24H"}, jobSpecification=specification)

    right = {"name": "login", "key": "word"}
    stage.apply(secret("login", word="one"))
    await stage.ready_pool()
    stage.apply(made(right))
    await stage.until(lambda: stage.ready(kind, "own"), 300)
    stage.apply(made(reference))
    await stage.until(lambda: stage.condition(kind, "own").get("status") == "False")
    assert stage.reason(kind, "own") in {"SecretNotFound", "SecretKeyNotFound"}
    message = stage.condition(kind, "own")["message"]
    assert "environmentSettings[0].valueFrom" in message
    assert "none-such" in message
    await stage.run_for(700)
    assert stage.reason(kind, "own") in {"SecretNotFound", "SecretKeyNotFound"}, "it stays so"
    await stage.restart()
    await stage.run_for(60)
    assert not stage.ready(kind, "own")
    stage.apply(made(right))
    await stage.until(lambda: stage.ready(kind, "own"), 60)


async def test_a_secret_that_is_deleted_leaves_a_pool_that_has_its_value_as_it_is(stage: Stage) -> None:
    users = [{"name": "render", "passwordSecretRef": {"name": "login", "key": "word"}}]
    stage.apply(secret("login", word="one"), *stage.account_objects())
    stage.apply(pool("cpu", targetDedicatedNodes=0, userAccounts=users))
    await stage.until(lambda: stage.ready("bp", "cpu"), 300)
    stage.delete("secret", "login")
    await stage.run_for(1300)
    assert stage.ready("bp", "cpu")


async def test_disks_to_encrypt_are_the_same_in_any_casing(stage: Stage) -> None:
    machine = pool("any")["spec"]["virtualMachineConfiguration"] | {
        "diskEncryptionConfiguration": {"targets": ["OsDisk", "TemporaryDisk"]}
    }
    specification = {
        "poolLifetimeOption": "job",
        "pool": {"vmSize": "Standard_D4ads_v6", "virtualMachineConfiguration": machine},
    }
    stage.apply(*stage.account_objects(), pool("cpu", targetDedicatedNodes=1, virtualMachineConfiguration=machine))
    times = {"recurrenceInterval": "PT24H", "doNotRunUntil": "2098-01-01T00:00:00Z"}
    template = {"poolInfo": {"autoPoolSpecification": specification}}
    stage.apply(schedule("nightly", accountRef={"name": "main"}, schedule=times, jobSpecification=template))
    await stage.until(lambda: stage.ready("bp", "cpu") and stage.ready("bjs", "nightly"), 600)
    await stage.restart()
    await stage.run_for(700)
    assert updates(stage, "JobSchedules_UpdateJobSchedule") == 0
    assert updates(stage, "Pools_UpdatePool") == 0
    assert stage.phase("bp", "cpu") == "Steady"


@pytest.mark.parametrize("down", [False, True])
async def test_removed_properties_of_a_task_cause_its_replacement(stage: Stage, down: bool) -> None:
    tasks = [{"id": each, "commandLine": "/bin/sh -c 'sleep 7200'", "displayName": "d"} for each in ("t0", "t1")]
    await stage.ready_pool()
    stage.apply(job("own", tasks=tasks, taskUpdatePolicy="Replace", constraints={"maxTaskRetryCount": 2}))
    await stage.until(lambda: stage.phase("bj", "own") == "Running", 300)
    await stage.run_for(60)
    made = {each["id"]: each["creationTime"] for each in stage.azure.all("/jobs/own/tasks")}
    if down:
        await stage.kill()
    # The job's retries change as well: tasks that are there keep those that they were given, and are not replaced for them.
    kept = [tasks[0], {"id": "t1", "commandLine": tasks[1]["commandLine"]}]
    stage.apply(job("own", tasks=kept, taskUpdatePolicy="Replace", constraints={"maxTaskRetryCount": 3}))
    if down:
        stage.start()
    await stage.until(lambda: "displayName" not in (stage.azure.get("/jobs/own/tasks/t1") or {"displayName": ""}), 300)
    await stage.restart()
    await stage.run_for(600)
    now = {each["id"]: each["creationTime"] for each in stage.azure.all("/jobs/own/tasks")}
    assert now["t0"] == made["t0"]
    assert now["t1"] > made["t1"]
    assert updates(stage, "Tasks_DeleteTask") == 1


async def test_removed_properties_of_a_kept_task_are_reported(stage: Stage) -> None:
    tasks = [{"id": "t0", "commandLine": "/bin/sh -c 'sleep 7200'", "displayName": "d"}]
    await stage.ready_pool()
    stage.apply(job("own", tasks=tasks))
    await stage.until(lambda: stage.phase("bj", "own") == "Running", 300)
    stage.apply(job("own", tasks=[{"id": "t0", "commandLine": tasks[0]["commandLine"]}]))
    await stage.until(lambda: stage.condition("bj", "own", "TasksInSync").get("status") == "False", 300)
    assert updates(stage, "Tasks_DeleteTask") == 0


async def test_a_job_tells_that_it_keeps_the_variables_that_its_account_no_longer_gives(stage: Stage) -> None:
    _, account = stage.account_objects()

    def giving(value: str | None) -> dict[str, Any]:
        settings = {"commonEnvironmentSettings": [{"name": "SITE", "value": value}]} if value else {"priority": 1}
        return account | {"spec": account["spec"] | {"defaults": {"job": settings}}}

    await stage.ready_pool()
    stage.apply(job("before", tasks=sleeping(1, 7200)))
    await stage.until(lambda: stage.phase("bj", "before") == "Running", 300)
    stage.apply(giving("one"))
    await stage.until(lambda: stage.condition("bj", "before", "NotApplied").get("reason") == "FixedAtCreation", 300)
    stage.apply(job("amid", tasks=sleeping(1, 7200)))
    await stage.until(lambda: stage.phase("bj", "amid") == "Running", 300)
    assert stage.condition("bj", "amid", "NotApplied") == {}
    stage.apply(giving("two"))
    await stage.until(lambda: stage.condition("bj", "amid", "NotApplied").get("reason") == "FixedAtCreation", 300)
    assert stage.ready("bj", "amid"), "its own spec is what is so"
    assert "defaults.job.commonEnvironmentSettings" in stage.condition("bj", "amid", "NotApplied")["message"]
    # A change of something else does not make the job forget.
    stage.apply(giving(None))
    await stage.until(lambda: (stage.azure.get("/jobs/amid") or {}).get("priority") == 1, 300)
    await stage.restart()
    await stage.run_for(600)
    assert stage.condition("bj", "amid", "NotApplied").get("reason") == "FixedAtCreation"
    assert stage.condition("bj", "before", "NotApplied") == {}, "it never had any"
