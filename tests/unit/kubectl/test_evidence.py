"""What `why` makes of Azure Batch where there is more than it looks at: what is not known is neither a cause nor its absence."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from typing import Any, cast

import pytest

from azure_batch_kubectl import why_command
from azure_batch_kubectl.evidence import gather, gather_task, task_of
from azure_batch_kubectl.why import Around, Seen, explain
from azure_batch_kubectl.why_command import _failure, _judged
from azure_batch_operator.batch.errors import InvalidRequestError, NotFoundError
from azure_batch_operator.batch.wire import build
from azure_batch_operator.causes import Cause, WayOut, judge
from unit.kubectl.conftest import thing

Body = dict[str, Any]
BLOCKED = "on failed tasks (first: t7, exit code 1)"


class Listing:
    def __init__(self, items: Iterable[Body], read: list[str] | None = None) -> None:
        self._items, self._read = items, read

    def of(self, kind: Any) -> Listing:
        return Listing((build(kind, item) for item in self._items), self._read)

    async def __aiter__(self) -> AsyncIterator[Any]:
        for item in self._items:
            if self._read is not None:
                self._read.append(item.state)
            yield item


class Service:
    """Azure Batch with one job on one pool; it is each of the groups of a client."""

    def __init__(self, *tasks: Body, node: str = "idle", ended: Iterable[str] = (), broken: int = 0) -> None:
        self._tasks = {task["id"]: task for task in tasks}
        self._ended, self._counts = {*ended}, {node: 1}
        self._preparation: list[Body] = []
        self._broken = broken
        self.code: str | None = "TaskNotFound"
        self.looked_up: list[str] = []
        self.nodes_read: list[str] = []
        self.jobs, self.tasks, self.pools, self.nodes = _Jobs(self), _Tasks(self), _Pools(self), _Nodes(self)
        if broken:
            self._counts = {"startTaskFailed": broken, "unusable": broken}

    def failing_preparation(self) -> Service:
        self._preparation = [{"nodeId": "n7", "jobPreparationTaskExecutionInfo": {"exitCode": 1, "result": "failure"}}]
        return self


class _Group:
    def __init__(self, service: Service) -> None:
        self._service = service


class _Jobs(_Group):
    async def get(self, id: str) -> Body:
        prepared = {"jobPreparationTask": {"commandLine": "x"}} if self._service._preparation else {}
        return {"id": id, "state": "active", "poolInfo": {"poolId": "p"}, **prepared}

    def list(self, **_: Any) -> Listing:
        return Listing([])

    def list_preparation_and_release_status(self, *_: Any, **__: Any) -> Listing:
        return Listing(self._service._preparation)


class _Tasks(_Group):
    def list(self, _: str, *, filter: str, **__: Any) -> Listing:
        tasks = self._service._tasks.values()
        if "failure" in filter:
            return Listing([task for task in tasks if (task.get("executionInfo") or {}).get("result") == "failure"])
        states = {state for state in ("active", "running", "preparing", "completed") if f"eq '{state}'" in filter}
        if "ne 'completed'" in filter:
            states = {"active", "running", "preparing"}
        return Listing([task for task in tasks if task["state"] in states])

    async def get(self, _: str, id: str, **__: Any) -> Body:
        self._service.looked_up.append(id)
        if id in self._service._tasks:
            return self._service._tasks[id]
        if id in self._service._ended:
            return {"id": id, "state": "completed", "executionInfo": {"exitCode": 0, "result": "success"}}
        raise NotFoundError("no such task", status=404, code=self._service.code)


class _Pools(_Group):
    async def get(self, id: str) -> Body:
        return {
            "id": id,
            "state": "active",
            "allocationState": "steady",
            "targetDedicatedNodes": 1,
            "currentDedicatedNodes": 1,
        }

    def list_node_counts(self, **_: Any) -> Listing:
        return Listing([{"poolId": "p", "dedicated": {**self._service._counts, "total": 1}}])


class _Nodes(_Group):
    def list(self, _: str, *, filter: str) -> Listing:
        state = filter.split("'")[1]
        number = self._service._broken
        return Listing(({"id": f"{state}{n}", "state": state} for n in range(number)), self._service.nodes_read)


def waits(id: str, *on: str, ranges: Iterable[tuple[int, int]] = ()) -> Body:
    spans = [{"start": start, "end": end} for start, end in ranges]
    return {"id": id, "state": "active", "dependsOn": {"taskIds": [*on], "taskIdRanges": spans}} if on or spans else {
        "id": id, "state": "active",
    }  # fmt: skip


def failed(id: str) -> Body:
    info = {"exitCode": 1, "result": "failure", "failureInfo": {"code": "FailureExitCode"}}
    return {"id": id, "state": "completed", "executionInfo": info}


async def of_job(service: Service) -> Seen:
    return _judged(await gather(service, "j", WayOut("spec.poolRef")))  # type: ignore[arg-type]


async def of_task(service: Service, task: Body) -> Seen:
    return _judged(await gather_task(service, "j", task, WayOut("spec.poolRef")), "active")  # type: ignore[arg-type]


def sentence(seen: Seen) -> str | None:
    return seen.cause.sentence if seen.cause is not None else None


@pytest.mark.parametrize("node", ["idle", "running"])
@pytest.mark.parametrize("width", [50, 60, 500])
async def test_a_fan_in_behind_a_failed_task_is_blocked_however_wide(width: int, node: str) -> None:
    others = [f"t{number}" for number in range(width)]
    merge = waits("merge", *others)
    service = Service(merge, failed("t7"), node=node, ended=others)
    said = [sentence(await of_job(service)), sentence(await of_task(service, merge))]
    assert [BLOCKED in str(text) for text in said] == [True, True]
    assert service.looked_up == [], "the failed tasks say it"


@pytest.mark.parametrize("node", ["idle", "running", "offline"])
async def test_what_was_not_looked_at_is_not_known(node: str) -> None:
    others = [f"t{number}" for number in range(60)]
    merge = waits("merge", *others)
    service = Service(merge, node=node, ended=others)
    for seen in (await of_job(service), await of_task(service, merge)):
        assert not seen.is_complete
        assert seen.cause is None or seen.cause.remedy is None, "scaling up may help nothing"
    assert len(service.looked_up) == 100


async def test_a_wide_fan_in_with_a_lost_task_is_blocked() -> None:
    others = [f"t{number}" for number in range(60)]
    service = Service(waits("merge", *others), ended=others[1:])
    assert "on a task that the job does not have (first: 't0')" in str(sentence(await of_job(service)))


async def test_a_task_behind_one_that_no_list_showed_is_not_ready() -> None:
    many = [waits(f"a{number:05}") for number in range(3000)]
    for behind in ("a01900", "a02900"):
        task = waits("b", behind)
        seen = await of_task(Service(*many, task), task)
        assert sentence(seen) == f"the task depends on tasks that have not ended (first: {behind!r}, waiting)"
    ranged = waits("b", ranges=[(1, 9)])
    assert not (await of_task(Service(*many, ranged), ranged)).is_complete


async def test_a_job_of_more_waiting_tasks_than_are_listed_is_not_known_unless_one_depends_on_nothing() -> None:
    chain = [waits(f"a{number:05}", f"a{number + 1:05}") for number in range(2500)]
    assert not (await of_job(Service(*chain))).is_complete
    assert (await of_job(Service(waits("free"), *chain))).is_complete


async def test_what_was_looked_at_whole_is_known() -> None:
    task = waits("merge", "t1", "t2")
    service = Service(task, node="running", ended=["t1", "t2"])
    assert (
        sentence(await of_job(service)) == "the nodes of pool 'p' are busy with other jobs: wait, or scale the pool up"
    )
    assert (await of_task(service, task)).is_complete


def test_nothing_is_called_right_that_was_not_looked_at() -> None:
    ready = ("Ready", "True", "Running", "0 of 9 tasks ended")
    task, job = thing("BatchTask", "t"), thing("BatchJob", "j", ready, phase="Running")
    for body, state in ((task, "active"), (job, None)):
        assert str(explain(body, Around(), Seen(None, state))).startswith("Nothing is wrong")
        said = str(explain(body, Around(), Seen(None, state, is_complete=False)))
        assert "Nothing is wrong" not in said
        assert said.startswith(
            f"Whether something keeps {body['kind']} {body['metadata']['name']} from running is not known"
        )


def test_the_judgment_of_the_operator_counts_where_azure_batch_was_not_seen_whole() -> None:
    waits = "the remaining tasks depend on failed tasks (first: t7, exit code 1)"
    job = thing("BatchJob", "j", ("Ready", "True", "Waiting", waits), phase="Waiting", waitingFor=waits)
    busy = Cause("NodesBusy", "the nodes of pool 'p' are busy")
    for cause in (None, busy):
        assert explain(job, Around(), Seen(cause, is_complete=False)).cause == f"BatchJob j waits: {waits}"
    assert explain(job, Around(), Seen(busy)).cause == "BatchJob j waits: the nodes of pool 'p' are busy"


async def test_a_preparation_task_is_a_cause_only_if_no_task_runs() -> None:
    task, other = waits("t"), {"id": "other", "state": "running"}
    alone = await of_task(Service(task).failing_preparation(), task)
    assert "the job preparation task fails on the nodes (first: n7, exit code 1)" in str(sentence(alone))
    beside = await of_task(Service(task, other, node="running").failing_preparation(), task)
    assert sentence(beside) == "the nodes of pool 'p' are busy with other tasks: wait, or scale the pool up"


@pytest.mark.parametrize(
    ("info", "failure"),
    [
        (
            {"result": "failure", "exitCode": 3, "failureInfo": {"code": "FailureExitCode", "message": "m"}},
            "exit code 3",
        ),
        (
            {"result": "failure", "failureInfo": {"code": "BlobNotFound", "message": "not found"}},
            "BlobNotFound: not found",
        ),
        ({"result": "success", "exitCode": 0}, None),
        ({}, None),
    ],
)
def test_a_task_that_has_failed_unseen_is_not_called_right(info: Body, failure: str | None) -> None:
    answer = explain(thing("BatchTask", "t"), Around(), Seen(None, "completed", failure=_failure(info)))
    if failure is None:
        assert answer.cause == "Nothing is wrong with BatchTask t: its task is completed in Azure Batch"
    else:
        assert answer.cause == f"BatchTask t has failed in Azure Batch ({failure}), which the operator has not seen yet"
        assert str(answer.remedy).startswith("check that the operator runs")


async def test_of_broken_nodes_a_few_of_each_state_are_read() -> None:
    service = Service(waits("t"), broken=5000)
    evidence = await gather(service, "j", WayOut("spec.poolRef"))  # type: ignore[arg-type]
    assert evidence is not None
    assert judge(evidence) is not None
    assert Counter(service.nodes_read) == {"starttaskfailed": 20, "unusable": 20}


async def test_a_request_of_its_own_that_is_refused_is_not_hidden(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def refused(*_: Any) -> Seen:
        raise InvalidRequestError("InvalidQueryParameterValue", status=400)

    async def offline(*_: Any) -> Seen:
        raise ConnectionError("no network")

    job = thing("BatchJob", "j", phase="Running")
    for asked, told in ((refused, "note: Azure Batch refuses what was asked about BatchJob j: "), (offline, "")):
        monkeypatch.setattr(why_command, "_job", asked)
        assert await why_command._seen(cast("Any", None), job, Around()) is None
        said = capsys.readouterr().err
        assert said.startswith(told)
        assert bool(said) is bool(told)


@pytest.mark.parametrize("code", [None, "ResourceNotFound", "JobNotFound"])
def test_a_404_that_does_not_name_the_task_is_no_evidence(code: str | None) -> None:
    """It may come from a proxy, or be about the job."""
    service = Service(waits("a", "gone"))
    service.code = code
    with pytest.raises(NotFoundError):
        asyncio.run(of_job(service))
    service.code = "TaskNotFound"
    seen = asyncio.run(of_job(service))
    assert seen.cause is not None
    assert seen.cause.rule == "DependencyMissing"


@pytest.mark.parametrize(("code", "there"), [("TaskNotFound", False), ("JobNotFound", False), (None, True)])
def test_a_task_is_not_there_only_by_a_code(code: str | None, there: bool) -> None:
    service = Service()
    service.code = code
    if there:
        with pytest.raises(NotFoundError):
            asyncio.run(task_of(service, "j", "t"))  # type: ignore[arg-type]
    else:
        assert asyncio.run(task_of(service, "j", "t")) is None  # type: ignore[arg-type]
