"""Values for plans: what is missing is named, what is read is read once, and a job is followed although its ConfigMap has gone."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest

from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.kube.api import Busy, KubeError, NotFound
from azure_batch_operator.reconcile.plan import Call, Plan, Table
from azure_batch_operator.reconcile.resolve import ResolutionError
from azure_batch_operator.sync.inputs import Inputs
from unit.objects import POOL_SPEC, TASK_SPEC, resource

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
    made = await inputs(Api(tokens={"t": "abc"})).completed(resource(Kind.TASK, spec), Plan(submit={"id": "x"} | spec))
    assert made.submit is not None
    assert made.submit["environmentSettings"] == [{"name": "TOKEN", "value": "abc"}]


async def test_plans_that_create_nothing_read_nothing() -> None:
    api = Api()
    plan = Plan(calls=(Call("delete_pool", Table.POOLS, "one"),))
    spec = POOL_SPEC | {"userAccounts": [USER]}
    assert await inputs(api).completed(resource(Kind.POOL, spec), plan) is plan
    assert api.requests == []


async def test_many_objects_with_the_same_secret_cost_one_request() -> None:
    api = Api(tokens={"t": "abc"})
    these = inputs(api)
    spec = TASK_SPEC | {"environmentSettings": [VARIABLE]}
    plans = [these.completed(resource(Kind.TASK, spec, name=f"t{n}"), Plan(submit=spec)) for n in range(50)]
    await asyncio.gather(*plans)
    assert len(api.requests) == 1


@pytest.mark.parametrize(
    ("objects", "failure", "reason", "words"),
    [
        ({}, None, "SecretNotFound", "Secret 'users' does not exist in namespace 'default': create it with key 'u'"),
        ({"users": {"v": "hunter2"}}, None, "SecretKeyNotFound", "Secret 'users' has no key 'u'"),
        ({}, KubeError("no", 403), "SecretForbidden", "grant it `get` on secrets there"),
    ],
)
async def test_what_is_missing_is_named_with_its_place(
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
    one, plan = resource(Kind.TASK, TASK_SPEC), Plan(submit={"id": "x", "commandLine": "y"}, logs_to=upload)
    made = await inputs(api).completed(one, plan)
    assert made.submit is not None
    (files,) = made.submit["outputFiles"]
    assert files["destination"]["container"] == {"containerUrl": "https://x/c?sig=hunter2", "path": "kept/x"}
    assert "hunter2" not in repr(made)
    with pytest.raises(
        ResolutionError, match=r"^BatchJob 'steps': spec.logs.upload.containerUrlFrom: Secret 'storage'"
    ):
        await inputs(Api()).completed(one, plan)


async def test_what_a_pool_takes_is_known_by_value_and_by_version_of_what_holds_it() -> None:
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
