"""Lists: paging, filters, selection, expansion."""

from __future__ import annotations

import json

import pytest
from azure.batch import BatchClient
from azure.core.exceptions import HttpResponseError

from support.batch_bodies import add_task, finished, make_job, make_pool, shell
from support.emulator_thread import EmulatorThread, wait_until


def test_pages_follow_the_next_link(client: BatchClient, emulator: EmulatorThread) -> None:
    for number in range(5):
        make_pool(client, f"p{number}", nodes=0)
    status, _, text = emulator.call("GET", "/pools?api-version=2024-07-01.20.0&maxResults=2&$select=id")
    page = json.loads(text)
    assert (status, [pool["id"] for pool in page["value"]]) == (200, ["p0", "p1"])
    link = page["odata.nextLink"]
    assert link.startswith(f"{emulator.endpoint}/pools?api-version=2024-07-01.20.0&maxResults=2&$select=id&$skiptoken=")
    client.delete_pool("p1")
    wait_until(lambda: not client.pool_exists("p1"), "p1 is gone")
    status, _, text = emulator.call("GET", link.removeprefix(emulator.endpoint))
    assert [pool["id"] for pool in json.loads(text)["value"]] == ["p2", "p3"]
    assert [pool.id for pool in client.list_pools(max_results=2)] == ["p0", "p2", "p3", "p4"]


def test_tasks_come_in_ordinal_order_and_pages_stay_right_while_tasks_change(client: BatchClient) -> None:
    make_job(client)
    for number in (49, 490, 5, 50):
        add_task(client, f"t{number}")
    pages = client.list_tasks("job", max_results=2).by_page()
    assert [task.id for task in next(pages)] == ["t49", "t490"]
    client.delete_task("job", "t490")
    add_task(client, "t491")
    add_task(client, "t1")
    assert [task.id for task in next(pages)] == ["t491", "t5"]
    assert [task.id for task in next(pages)] == ["t50"]


def test_filters_of_tasks(client: BatchClient) -> None:
    make_pool(client, task_slots_per_node=4)
    make_job(client)
    add_task(client, "good")
    add_task(client, "bad", shell("exit 3"))
    add_task(client, "worse", shell("exit 9"))
    for name in ("good", "bad", "worse"):
        finished(client, name)

    def ids(text: str) -> list[str]:
        return [task.id for task in client.list_tasks("job", filter=text)]

    assert ids("state eq 'completed' and executionInfo/result eq 'failure'") == ["bad", "worse"]
    assert ids("state eq 'COMPLETED' and executionInfo/exitCode gt 3") == ["worse"]
    assert ids("startswith(id,'G') or id eq 'BAD'") == ["bad", "good"]
    assert ids("state ne 'completed'") == []
    assert ids("stateTransitionTime ge DateTime'2020-01-01T00:00:00Z'") == ["bad", "good", "worse"]
    assert ids("lastModifiedTime lt DateTime'Wed, 01 Jan 2020 00:00:00 GMT'") == []
    assert ids("(id eq 'good' or id eq 'bad') and (executionInfo/exitCode eq 0)") == ["good"]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/jobs/job/tasks", "lastModified ge DateTime'2020-01-01T00:00:00Z'"),
        ("/jobs/job/tasks", "State eq 'active'"),
        ("/jobs/job/tasks", "state eq active"),
        ("/jobs/job/tasks", "state is 'active'"),
        ("/jobs/job/tasks", "state eq 'active' and"),
        ("/jobs/job/tasks", "executionInfo/exitCode eq 'one'"),
        ("/jobs", "creationTime ge DateTime'yesterday'"),
        ("/pools", "vmSize gt 'a'"),
        ("/pools", "startswith(state,'a')"),
    ],
)
def test_wrong_filters(client: BatchClient, emulator: EmulatorThread, path: str, text: str) -> None:
    from urllib.parse import quote

    make_job(client)
    status, _, body = emulator.call("GET", f"{path}?$filter={quote(text)}")
    error = json.loads(body)
    assert (status, error["code"]) == (400, "InvalidQueryParameterValue")
    assert {"key": "QueryParameterName", "value": "$filter"} in error["values"]


def test_filters_of_pools_and_jobs(client: BatchClient) -> None:
    make_pool(client, "a", nodes=0)
    make_pool(client, "b", nodes=0, vm_size="standard_f4")
    make_job(client, "one", "a")
    make_job(client, "two", "b")
    assert [p.id for p in client.list_pools(filter="vmSize eq 'STANDARD_F4' and enableAutoScale eq false")] == ["b"]
    assert [p.id for p in client.list_pools(filter="allocationState eq 'steady' and startswith(id,'a')")] == ["a"]
    assert [j.id for j in client.list_jobs(filter="executionInfo/poolId eq 'b'")] == ["two"]


def test_selection(client: BatchClient, emulator: EmulatorThread) -> None:
    make_pool(client)
    make_job(client)
    add_task(client, "t")
    finished(client, "t")
    task = client.get_task("job", "t", select=["id", "executionInfo/exitCode"])
    assert dict(task) == {"odata.metadata": task["odata.metadata"], "id": "t", "executionInfo": {"exitCode": 0}}
    (pool,) = client.list_pools(select=["id", "state"])
    assert dict(pool) == {"id": "pool", "state": "active"}
    status, headers, body = emulator.call("GET", "/pools/pool?$select=id%2C%20state")
    assert status == 200
    assert set(json.loads(body)) == {"odata.metadata", "id", "state"}
    assert headers["etag"].startswith("0x")
    with pytest.raises(HttpResponseError) as caught:
        client.get_pool("pool", select=["Id"])
    assert caught.value.error.code == "InvalidQueryParameterValue"


def test_statistics_have_no_processor_time_and_no_io_of_their_own(client: BatchClient) -> None:
    make_pool(client)
    make_job(client)
    add_task(client, "t", shell("exit 2"))
    finished(client, "t")
    for stats in (
        client.get_job("job", expand=["stats"]).stats,
        client.get_task("job", "t", expand=["stats"]).stats,
    ):
        assert stats.wall_clock_time.total_seconds() > 0
        assert (stats.user_cpu_time, stats.kernel_cpu_time.total_seconds()) == (stats.wall_clock_time, 0)
        assert (stats.read_i_ops, stats.write_i_ops, stats.read_io_gi_b, stats.write_io_gi_b) == (0, 0, 0, 0)


def test_expansion(client: BatchClient) -> None:
    make_pool(client)
    make_job(client)
    add_task(client, "t", shell("exit 2"))
    finished(client, "t")
    assert client.get_job("job").stats is None
    assert client.get_job("job", expand=["stats"]).stats.num_failed_tasks == 1
    assert client.get_job("job", expand=["stats"], select=["id"]).stats is None
    pool = client.get_pool("pool", expand=["stats"]).stats
    assert pool.usage_stats.dedicated_core_time.total_seconds() > 0
    assert pool.resource_stats is None
    with pytest.raises(HttpResponseError):
        client.get_job("job", expand=["tasks"])


@pytest.mark.parametrize("value", ["0", "-5", "1001", "many"])
def test_wrong_page_sizes(emulator: EmulatorThread, value: str) -> None:
    status, _, body = emulator.call("GET", f"/jobs?maxResults={value}")
    error = json.loads(body)
    assert (status, error["code"]) == (400, "InvalidQueryParameterValue")
    assert {"key": "QueryParameterName", "value": "maxresults"} in error["values"]


def test_jobs_active_ones_first(client: BatchClient) -> None:
    for name in ("old", "middle", "new"):
        make_job(client, name)
    client.terminate_job("new")
    wait_until(lambda: client.get_job("new").state == "completed", "completed")
    assert [job.id for job in client.list_jobs()] == ["middle", "old", "new"]


def test_pages_of_jobs_are_those_of_one_moment(client: BatchClient, emulator: EmulatorThread) -> None:
    """Jobs that end, come and go between two pages are listed once, or not at all if they came later."""
    for number in range(12):
        make_job(client, f"j{number:02}")
    seen: list[str] = []
    target = "/jobs?maxresults=3&$select=id"
    while target:
        page = json.loads(emulator.call("GET", target)[2])
        seen += [job["id"] for job in page["value"]]
        for name in (seen[-1], f"j{11 - len(seen) // 2:02}"):
            emulator.call("POST", f"/jobs/{name}/terminate")
            wait_until(lambda name=name: client.get_job(name).state == "completed", "completed")
        make_job(client, f"later{len(seen)}")
        target = page.get("odata.nextLink", "").removeprefix(emulator.endpoint)
    assert sorted(seen) == [f"j{number:02}" for number in range(12)]
    assert len(list(client.list_jobs())) == 16
