"""Values for plans: what is missing is named, what is read is read once, and a job is followed although its ConfigMap has gone."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import replace
from typing import Any

import pytest

from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Resource
from azure_batch_operator.kube.api import Busy, KubeError, NotFound
from azure_batch_operator.reconcile.plan import Call, Plan, Table
from azure_batch_operator.reconcile.value_references import ResolutionError
from azure_batch_operator.sync.inputs import Inputs
from support.jumping_loop import run_jumping
from unit.objects import JOB_SPEC, POOL_SPEC, TASK_SPEC, resource

VARIABLE = {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "tokens", "key": "t"}}}
USER = {"name": "u", "passwordSecretRef": {"name": "users", "key": "u"}}


class Api:
    """An API server with a few Secrets and ConfigMaps."""

    def __init__(self, **objects: dict[str, str]) -> None:
        self.objects = objects
        self.failure: Exception | None = None
        self.requests: list[str] = []
        self.version = 1

    async def request(self, method: str, path: str, accept: str = "") -> dict[str, Any]:
        assert method == "GET"
        self.requests.append(path)
        await asyncio.sleep(0)
        if self.failure:
            raise self.failure
        plural, name = path.split("/")[-2:]
        if name not in self.objects:
            raise NotFound("not found", 404)
        data = self.objects[name]
        if plural == "secrets":
            data = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
        return {"data": data, "metadata": {"uid": name, "resourceVersion": str(self.version)}}


def inputs(api: Api) -> Inputs:
    return Inputs(api)  # type: ignore[arg-type]


def create(spec: dict[str, Any]) -> Plan:
    return Plan(calls=(Call("create_pool", Table.POOLS, "one", body={"id": "one"} | spec),))


async def test_bodies_of_creates_get_their_values() -> None:
    api = Api(users={"u": "hunter2"})
    spec = POOL_SPEC | {"userAccounts": [USER]}
    plan = await inputs(api).completed(resource(Kind.POOL, spec), create(spec))
    assert plan.calls[0].body is not None
    assert plan.calls[0].body["userAccounts"] == [{"name": "u", "password": "hunter2"}]
    assert api.requests == ["/api/v1/namespaces/default/secrets/users"]


async def test_tasks_that_go_out_get_their_values() -> None:
    spec = TASK_SPEC | {"environmentSettings": [VARIABLE]}
    made = await inputs(Api(tokens={"t": "abc"})).completed(
        resource(Kind.TASK, spec), Plan(submit_to="steps", submit={"id": "x"} | spec)
    )
    assert made.submit is not None
    assert made.submit["environmentSettings"] == [{"name": "TOKEN", "value": "abc"}]


async def test_plans_that_create_nothing_read_nothing() -> None:
    api = Api()
    plan = Plan(calls=(Call("delete_pool", Table.POOLS, "one", if_match="0x1"),))
    spec = POOL_SPEC | {"userAccounts": [USER]}
    assert await inputs(api).completed(resource(Kind.POOL, spec), plan) is plan
    assert api.requests == []


async def test_many_objects_with_the_same_secret_cost_one_request() -> None:
    api = Api(tokens={"t": "abc"})
    these = inputs(api)
    spec = TASK_SPEC | {"environmentSettings": [VARIABLE]}
    tasks = [resource(Kind.TASK, spec, name=f"t{n}") for n in range(50)]
    for task in tasks:
        these.seen(task.key)
    await asyncio.gather(*(these.completed(task, Plan(submit_to="steps", submit=spec)) for task in tasks))
    assert len(api.requests) == 1


@pytest.mark.parametrize("kind", [Kind.POOL, Kind.TASK])
def test_an_object_gets_what_its_secret_held_when_it_was_created(kind: Kind) -> None:
    async def work() -> None:
        api = Api(users={"u": "old"})
        these = inputs(api)
        spec = POOL_SPEC | {"userAccounts": [USER]}
        if kind is Kind.TASK:
            value = {"secretKeyRef": {"name": "users", "key": "u"}}
            spec = TASK_SPEC | {"environmentSettings": [{"name": "TOKEN", "valueFrom": value}]}
        given = []
        for name, word in (("one", "old"), ("two", "new"), ("three", "newest")):
            api.objects["users"]["u"] = word
            made = resource(kind, spec, name=name)
            these.seen(made.key)
            plan = create(spec) if kind is Kind.POOL else Plan(submit_to="steps", submit=spec)
            done = await these.completed(made, plan)
            body = (done.calls[0].body if kind is Kind.POOL else done.submit) or {}
            given.append(
                body["userAccounts"][0]["password"] if kind is Kind.POOL else body["environmentSettings"][0]["value"]
            )
        assert given == ["old", "new", "newest"]

    run_jumping(work())


def test_a_changed_object_gets_what_its_secret_holds_then() -> None:
    async def work() -> None:
        api = Api(users={"u": "old"})
        these, one = inputs(api), resource(Kind.POOL, POOL_SPEC | {"userAccounts": [USER]})
        these.seen(one.key)
        await these.read_taken(one)
        before = these.taken[one.key]["userAccounts"]
        api.objects["users"]["u"], api.version = "new", 2
        await these.read_taken(one)
        assert these.taken[one.key]["userAccounts"] == before, "what was read lately is remembered"
        these.seen(one.key)
        await these.read_taken(one)
        after = these.taken[one.key]["userAccounts"]
        assert before.digest != after.digest
        assert before.version != after.version

    run_jumping(work())


def test_a_stream_of_tasks_with_one_secret_costs_two_requests_a_second() -> None:
    """2,000 tasks come within ten seconds, and sixteen workers are faster than that."""

    async def work() -> None:
        api = Api(tokens={"t": "abc"})
        these, waiting = inputs(api), asyncio.Queue[Resource]()
        spec = TASK_SPEC | {"environmentSettings": [VARIABLE]}
        done = 0

        async def worker() -> None:
            nonlocal done
            while True:
                task = await waiting.get()
                await these.completed(task, Plan(submit_to="steps", submit=spec))
                done += 1

        async with asyncio.TaskGroup() as group:
            workers = [group.create_task(worker()) for _ in range(16)]
            for number in range(2000):
                task = resource(Kind.TASK, spec, name=f"t{number}")
                these.seen(task.key)
                waiting.put_nowait(task)
                await asyncio.sleep(0.005)
            while done < 2000:
                await asyncio.sleep(0.1)
            for each in workers:
                each.cancel()
        assert len(api.requests) <= 22

    run_jumping(work())


async def test_a_call_is_marked_with_the_digest_of_the_value_that_it_carries() -> None:
    """Else a Secret that changes between the look and the call would be taken for changed again."""
    api = Api(users={"u": "old"})
    these, one = inputs(api), resource(Kind.POOL, POOL_SPEC | {"userAccounts": [USER]})
    await these.read_taken(one)
    looked_at = {"userAccounts": these.taken[one.key]["userAccounts"].digest}
    api.objects["users"]["u"] = "new"
    these._values.forget("Secret", "default", "users")
    call = Call("update_pool", Table.POOLS, "one", body={"userAccounts": [USER]}, if_match="0x1", digests=looked_at)
    (sent,) = (await these.completed(one, Plan(calls=(call,)))).calls
    await these.read_taken(one)
    assert sent.digests == {"userAccounts": these.taken[one.key]["userAccounts"].digest} != looked_at


@pytest.mark.parametrize(
    ("objects", "failure", "reason", "words"),
    [
        ({}, None, "SecretNotFound", "Secret 'users' does not exist in namespace 'default': create it with key 'u'"),
        ({"users": {"v": "hunter2"}}, None, "SecretKeyNotFound", "Secret 'users' has no key 'u'"),
        ({}, KubeError("no", 403), "SecretForbidden", "grant it `get` on secrets there"),
    ],
)
async def test_a_missing_value_is_named_with_its_position(
    objects: dict[str, Any], failure: Exception | None, reason: str, words: str
) -> None:
    api = Api(**objects)
    api.failure = failure
    spec = POOL_SPEC | {"userAccounts": [USER]}
    with pytest.raises(ResolutionError) as caught:
        await inputs(api).completed(resource(Kind.POOL, spec), create(spec))
    assert caught.value.reason == reason
    assert words in str(caught.value)
    assert str(caught.value).startswith("spec.userAccounts[0].passwordSecretRef: ")
    assert "hunter2" not in str(caught.value)


async def test_an_api_server_out_of_reach_is_not_remembered() -> None:
    api = Api(users={"u": "hunter2"})
    api.failure = Busy("later", 503)
    these, spec = inputs(api), POOL_SPEC | {"userAccounts": [USER]}
    with pytest.raises(Busy):
        await these.completed(resource(Kind.POOL, spec), create(spec))
    api.failure = None
    assert (await these.completed(resource(Kind.POOL, spec), create(spec))).calls


async def test_the_output_of_a_task_is_uploaded_as_its_job_says() -> None:
    api = Api(storage={"url": "https://x/c?sig=hunter2"})
    upload = {"containerUrlFrom": {"secretKeyRef": {"name": "storage", "key": "url"}}, "path": "kept"}
    one, plan = (
        resource(Kind.TASK, TASK_SPEC),
        Plan(submit_to="steps", submit={"id": "x", "commandLine": "y"}, logs_to=upload),
    )
    made = await inputs(api).completed(one, plan)
    assert made.submit is not None
    (files,) = made.submit["outputFiles"]
    assert files["destination"]["container"] == {"containerUrl": "https://x/c?sig=hunter2", "path": "kept/x"}
    assert "hunter2" not in repr(made)
    with pytest.raises(
        ResolutionError, match=r"^BatchJob 'steps': spec.logs.upload.containerUrlFrom: Secret 'storage'"
    ):
        await inputs(Api()).completed(one, plan)


async def test_references_of_a_pool_are_resolved_with_value_and_version() -> None:
    api, one = Api(users={"u": "hunter2"}), resource(Kind.POOL, POOL_SPEC | {"userAccounts": [USER]})
    known = inputs(api)
    known._values._remembered_for = 0.0
    seen = []
    for password, version in (("hunter2", 1), ("hunter2", 2), ("hunter3", 3)):
        api.objects["users"]["u"], api.version = password, version
        await known.read_taken(one)
        seen.append(known.taken[one.key]["userAccounts"])
    assert seen[0].digest == seen[1].digest != seen[2].digest
    assert len({each.version for each in seen}) == 3
    del api.objects["users"]
    await known.read_taken(one)
    assert known.taken[one.key]["userAccounts"] == seen[2], "a missing one keeps what was known"
    assert "hunter" not in repr(seen)
    other = inputs(Api(users={"u": "hunter2"}))
    await other.read_taken(one)
    assert other.taken[one.key]["userAccounts"].digest != seen[0].digest, "another process has another key"
    assert other.taken[one.key]["userAccounts"].version == seen[0].version


async def test_accepted_changes_of_a_schedule_are_applied_and_others_need_no_secret() -> None:
    api = Api(tokens={"t": "abc"})
    these = inputs(api)
    manager = {"id": "m", "commandLine": "x", "environmentSettings": [VARIABLE]}
    job = {"poolRef": {"name": "cpu"}, "jobManagerTask": manager}
    one = resource(Kind.SCHEDULE, {"schedule": {}, "jobSpecification": job})
    await these.read_taken(one)
    before = these.taken[one.key]["jobSpecification"]
    api.objects["tokens"]["t"], api.version = "def", 2
    these.seen(one.key)
    these._values.forget("Secret", "default", "tokens")
    await these.read_taken(one)
    after = these.taken[one.key]["jobSpecification"]
    assert (before.digest != after.digest, before.version != after.version) == (True, True)
    del api.objects["tokens"]
    these._values.forget("Secret", "default", "tokens")
    suspending = Plan(calls=(Call("update_schedule", Table.SCHEDULES, "one", body={"metadata": []}, if_match="0x1"),))
    assert (await these.completed(one, suspending)).calls == suspending.calls
    for other in ({"cron": {"expression": "@daily"}}, {"status": {"phase": "Completed"}}):
        status = other.pop("status", None)
        ended = resource(Kind.SCHEDULE, {"jobSpecification": job, **other}, name="two", status=status)
        await these.read_taken(ended)
        assert ended.key not in these.taken


def ended(tail: str) -> Plan:
    return Plan(status={"phase": "Failed", "stderrTail": tail, "failures": [{"stderrTail": tail, "message": "m"}]})


async def test_values_of_secrets_are_cut_out_of_output_also_after_a_restart_and_a_rotation() -> None:
    api = Api(tokens={"t": "hunter2-long", "j": "of-the-job"})
    job = resource(Kind.JOB, JOB_SPEC | {"commonEnvironmentSettings": [
        {"name": "J", "valueFrom": {"secretKeyRef": {"name": "tokens", "key": "j"}}},
    ]}, name="steps")  # fmt: skip
    task = resource(Kind.TASK, TASK_SPEC | {"environmentSettings": [VARIABLE]})
    fresh = Inputs(api, {job.key: job}.get)  # type: ignore[arg-type]
    shown = (await fresh.hidden(task, ended("x hunter2-long y of-the-job"))).status or {}
    assert (shown["stderrTail"], shown["failures"]) == ("x … y …", [{"stderrTail": "x … y …", "message": "m"}])
    api.objects["tokens"] = {"t": "rotated-one", "j": "of-the-job"}
    fresh._values.forget("Secret", "default", "tokens")
    shown = (await fresh.hidden(task, ended("hunter2-long rotated-one"))).status or {}
    assert shown["stderrTail"] == "… …"


async def test_the_tasks_of_a_job_are_looked_through_once_for_secrets() -> None:
    asked = 0

    class Asked(dict[str, Any]):
        def items(self) -> Any:
            nonlocal asked
            asked += 1
            return super().items()

    tasks = [Asked(id="a", commandLine="x", environmentSettings=[VARIABLE])]
    job = replace(resource(Kind.JOB, JOB_SPEC), spec=JOB_SPEC | {"tasks": tasks})
    these = inputs(Api(tokens={"t": "hunter2-long"}))
    for _ in range(3):
        assert (await these.hidden(job, ended("x hunter2-long"))).status == ended("x …").status
    assert asked == 1
    these.forget(job.key)
    await these.hidden(job, ended("x hunter2-long"))
    assert asked == 2


async def test_output_is_withheld_where_the_secret_cannot_be_read() -> None:
    task = resource(Kind.TASK, TASK_SPEC | {"environmentSettings": [VARIABLE]})
    shown = (await inputs(Api()).hidden(task, ended("hunter2-long"))).status or {}
    assert "hunter2" not in str(shown)
    assert shown["stderrTail"].startswith("withheld, because")
    api = Api()
    assert (await inputs(api).hidden(resource(Kind.TASK, TASK_SPEC), ended("x"))).status == ended("x").status
    assert api.requests == [], "what names no Secret costs nothing"
