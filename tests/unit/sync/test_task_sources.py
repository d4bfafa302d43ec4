"""Tasks out of ConfigMaps: read once, looked at by their versions, and a job is followed although its ConfigMap has gone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from typing import Any

import pytest

from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Key, Resource
from azure_batch_operator.kube.api import Busy, NotFound
from azure_batch_operator.reconcile.job import expand
from azure_batch_operator.reconcile.job.spec import JobTerms
from azure_batch_operator.reconcile.plan import Feed, Plan
from azure_batch_operator.reconcile.value_references import ResolutionError
from azure_batch_operator.sync import task_sources
from azure_batch_operator.sync.inputs import Inputs
from unit.objects import JOB_SPEC, resource

VARIABLE = {"name": "TOKEN", "valueFrom": {"configMapKeyRef": {"name": "tokens", "key": "t"}}}
SOURCED = {
    "poolRef": {"name": "cpu"},
    "tasksFrom": [{"configMapKeyRef": {"name": "more", "key": "tasks"}}],
}
TWO = json.dumps([{"id": "a", "commandLine": "x", "environmentSettings": [VARIABLE]}, {"id": "b", "commandLine": "y"}])
THREE = json.dumps([{"id": id, "commandLine": "x"} for id in "abc"])


class Api:
    """An API server with a few ConfigMaps."""

    def __init__(self, **objects: str) -> None:
        self.objects: dict[str, tuple[int, str]] = {name: (1, text) for name, text in objects.items()}
        self.failure: Exception | None = None
        self.whole = self.metadata_only = 0

    def write(self, name: str, text: str) -> None:
        self.objects[name] = (self.objects.get(name, (0, ""))[0] + 1, text)

    async def request(self, method: str, path: str, accept: str) -> dict[str, Any]:
        assert method == "GET"
        only_metadata = "PartialObjectMetadata" in accept
        self.metadata_only += only_metadata
        self.whole += not only_metadata
        await asyncio.sleep(0)
        if self.failure:
            raise self.failure
        name = path.split("/")[-1]
        if name not in self.objects:
            raise NotFound("not found", 404)
        version, text = self.objects[name]
        found: dict[str, Any] = {"metadata": {"uid": name, "resourceVersion": str(version)}}
        return found if only_metadata else found | {"data": {"tasks": text, "t": text}}


@pytest.fixture(autouse=True)
def _without_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_sources, "_LOOKS_PER_SECOND", 1_000_000.0)


def inputs(api: Api) -> Inputs:
    return Inputs(api)  # type: ignore[arg-type]


def sourced(name: str = "one", **options: Any) -> Resource:
    return resource(Kind.JOB, SOURCED, name=name, **options)


def running(total: int, submitted: int, phase: str = "Running") -> dict[str, Any]:
    return {"phase": phase, "observedGeneration": 1, "taskCounts": {"total": total, "submitted": submitted}}


async def number(these: Inputs, job: Resource) -> int:
    """Tasks of a job."""
    return expand.total(JobTerms.of((await these.tasks.with_tasks(job)).spec))


async def changed(these: Inputs, jobs: Iterable[Resource]) -> list[set[Key]]:
    return [keys async for keys in these.tasks.changes(jobs)]


async def test_tasks_of_a_config_map_become_the_jobs_own_and_are_read_once() -> None:
    api = Api(more=TWO, tokens="abc")
    these = inputs(api)
    job = await these.tasks.with_tasks(sourced())
    assert expand.total(JobTerms.of(job.spec)) == 2
    assert await number(these, sourced(generation=2)) == 2
    assert api.whole == 1
    plan = await these.completed(job, Plan(feed=Feed("print", None)))
    assert plan.feed is not None
    assert plan.feed.spec is not None
    assert plan.feed.spec["tasks"][0]["environmentSettings"] == [{"name": "TOKEN", "value": "abc"}]


async def test_a_changed_config_map_is_noticed_by_one_look_for_all_jobs() -> None:
    api = Api(more=TWO)
    these, jobs = inputs(api), [sourced(f"j{n}") for n in range(50)]
    for job in jobs:
        assert await number(these, job) == 2
    before = these.tasks.sourced[jobs[0].key].contents
    assert await changed(these, jobs) == []
    api.write("more", THREE)
    assert await number(these, jobs[0]) == 2
    assert await changed(these, jobs) == [{job.key for job in jobs}]
    assert [await number(these, job) for job in jobs] == [3] * 50
    assert these.tasks.sourced[jobs[0].key].contents != before
    assert await changed(these, jobs) == []
    assert (api.whole, api.metadata_only) == (2, 3)


async def test_a_change_that_one_job_reads_first_reaches_all() -> None:
    api = Api(more=TWO)
    these, old, new = inputs(api), sourced("old"), sourced("new")
    await number(these, old)
    api.write("more", THREE)
    these.tasks.hurry(new)
    assert (await number(these, old), await number(these, new)) == (2, 3)
    await changed(these, [old, new])
    assert await number(these, old) == 3


async def test_another_key_of_the_config_map_changes_nothing() -> None:
    api = Api(more=TWO)
    these = inputs(api)
    await number(these, sourced())
    before = these.tasks.sourced[sourced().key]
    api.write("more", TWO)
    assert len(await changed(these, [sourced()])) == 1
    await number(these, sourced())
    assert these.tasks.sourced[sourced().key] == before


async def test_tasks_stay_unchanged_when_their_source_cannot_be_read() -> None:
    api = Api(more=TWO)
    these = inputs(api)
    await number(these, sourced())
    for text, reason in (("{", "InvalidTasks"), ("", "ConfigMapNotFound")):
        if text:
            api.write("more", text)
        else:
            del api.objects["more"]
        await changed(these, [sourced()])
        assert await number(these, sourced()) == 2
        problem = these.tasks.sourced[sourced().key].problem
        assert problem is not None
        assert problem.reason == reason
    api.objects["more"] = (9, TWO)
    await changed(these, [sourced()])
    await number(these, sourced())
    assert these.tasks.sourced[sourced().key].problem is None


async def test_an_api_server_out_of_reach_hides_no_change() -> None:
    api = Api(more=TWO)
    these = inputs(api)
    await number(these, sourced())
    api.failure = Busy("later", 503)
    assert await changed(these, [sourced()]) == []
    api.failure = None
    api.write("more", THREE)
    await changed(these, [sourced()])
    api.failure = Busy("later", 503)
    with pytest.raises(Busy):
        await number(these, sourced())
    api.failure = None
    assert await number(these, sourced()) == 3


async def test_a_missing_config_map_is_waited_for() -> None:
    with pytest.raises(ResolutionError, match=r"spec.tasksFrom\[0\].configMapKeyRef: ConfigMap 'more' does not exist"):
        await number(inputs(Api()), sourced())
    with pytest.raises(ResolutionError):
        await number(inputs(Api()), sourced(status=running(2, 1)))


async def test_a_job_whose_tasks_are_in_is_followed_without_its_config_map() -> None:
    these = inputs(Api())
    job = await these.tasks.with_tasks(sourced(status=running(2, 2)))
    assert expand.total(JobTerms.of(job.spec)) == 2
    assert these.tasks.sourced[job.key].contents is None
    # Should tasks turn out to be missing after all, nothing is made up for them.
    with pytest.raises(ResolutionError):
        await these.completed(job, Plan(feed=Feed("print", None)))


async def test_deleted_and_finished_jobs_need_no_config_map() -> None:
    for job in (
        sourced(deleting=True, finalizer=True),
        sourced(status={"phase": "Succeeded"}),
        resource(Kind.JOB, JOB_SPEC),
    ):
        assert await inputs(Api()).tasks.with_tasks(job) is job


async def test_a_finished_job_is_only_told_that_its_config_map_is_another_one() -> None:
    api = Api(more=TWO)
    these = inputs(api)
    await number(these, sourced())
    done = sourced(status={"phase": "Succeeded", "tasksFingerprint": "known"})
    assert await these.tasks.with_tasks(done) is done
    before = these.tasks.sourced[done.key]
    assert (before.members, before.contents is None) == ({}, False)
    api.write("more", THREE)
    assert await changed(these, [done]) == [{done.key}]
    assert await these.tasks.with_tasks(done) is done
    after = these.tasks.sourced[done.key]
    assert (after.members, after.contents == before.contents) == ({}, False)
    assert await changed(these, [sourced(status={"phase": "Succeeded"})]) == []


async def test_a_job_gets_what_its_config_map_held_when_it_was_created() -> None:
    api = Api(more=TWO, tokens="abc")
    these = inputs(api)
    for name, text, tasks in (("one", TWO, 2), ("two", THREE, 3)):
        api.write("more", text)
        job = sourced(name)
        these.seen(job.key)
        assert expand.total(JobTerms.of((await these.with_tasks(job)).spec)) == tasks
