"""What a command does beside the way that it is meant for: other owners, errors of one among many, lost connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from click.testing import Result
from kubernetes.aio.client.exceptions import ForbiddenException

from azure_batch_kubectl import files_command, logs_command, objects, remote
from azure_batch_kubectl.failure import FailureError
from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.batch import FileProperties
from azure_batch_operator.batch.errors import AuthenticationError, ConnectionFailedError, NotFoundError
from unit.kubectl.conftest import Body, FakeCluster, thing
from unit.kubectl.test_reading import Stream
from unit.kubectl.test_remote import REF, batch_account

Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("azure_batch_kubectl.reading.PAUSE", 0.0)


def test_each_object_is_changed_whatever_becomes_of_the_others(fake: FakeCluster, run: Run) -> None:
    fake.add(thing("BatchJob", "a", ("Complete", "True", "Succeeded", ""), phase="Succeeded"))
    fake.add(thing("BatchJob", "b", phase="Running"))
    done = run("terminate", "a", "none", "b")
    assert [name for _, name, _ in fake.patches] == ["b"]
    assert done.exit_code == 1
    assert "BatchJob a has ended" in done.stderr
    assert "not found" in done.stderr
    assert done.stderr.endswith("error: 2 of 3 objects were not changed\n")
    assert done.stdout == "batchjob.azurebatch.io/b will be terminated\n"


def test_a_task_that_succeeded_is_not_said_to_run_again(fake: FakeCluster, run: Run) -> None:
    fake.add(thing("BatchTask", "t", ("Complete", "True", "TaskSucceeded", "")))
    done = run("retry", "bt/t")
    assert (done.exit_code, fake.patches) == (1, [])
    assert "has succeeded: only failed tasks run again" in done.stderr


class Client:
    """Tasks whose files cannot be read, or hold a line."""

    def __init__(self, *lists: list[str], error: Exception | None = None, jobs: list[str | None] | None = None) -> None:
        self.lists, self.error, self.states = list(lists), error, jobs or ["active", "completed"]
        self.tasks = self.task_files = self.jobs = self
        self.asked: list[str] = []

    async def list(self, _: str, **__: Any) -> AsyncIterator[Body]:
        for id in self.lists.pop(0) if len(self.lists) > 1 else self.lists[0]:
            yield {"id": id}

    def get(self, *words: str, **_: Any) -> Any:
        if len(words) == 3:
            return self._part()
        return self._job() if len(words) == 1 else self._task()

    async def _job(self) -> Body:
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        if state is None:
            raise NotFoundError("no job", code="JobNotFound")
        return {"id": "j", "state": state}

    async def _task(self) -> Body:
        return {"id": "t", "state": "completed"}

    @asynccontextmanager
    async def _part(self) -> AsyncIterator[Stream]:
        yield Stream(b"abc\n", breaks=False)

    async def properties(self, _: str, task: str, __: str) -> FileProperties:
        self.asked.append(task)
        if self.error is not None and task == "bad":
            raise self.error
        return FileProperties(4, None, None, None, is_directory=False, mode=None, url=None)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Callable[[Client], None]:
    def use(client: Client) -> None:
        @asynccontextmanager
        async def yes(*_: object) -> AsyncIterator[tuple[Client, str]]:
            yield client, "j"

        monkeypatch.setattr(remote, "opened", yes)

    return use


@pytest.mark.parametrize("follow", [True, False])
def test_one_tasks_trouble_does_not_end_the_output_of_the_others(
    run: Run, opened: Callable[[Client], None], follow: bool
) -> None:
    client = Client(["bad", "good"], error=AuthenticationError("the key was rotated", code="AuthenticationFailed"))
    opened(client)
    done = run("logs", "j", *(["-f"] if follow else []))
    assert "abc" in done.stdout
    assert "the key was rotated" in done.stderr
    assert done.exit_code == 0


def test_following_a_job_waits_for_it_and_for_tasks_that_come_later(run: Run, opened: Callable[[Client], None]) -> None:
    opened(Client([], [], ["a", "b"], jobs=[None, None, "active", "active", "active", "completed"]))
    done = run("logs", "-f", "j")
    assert sorted(done.stdout.splitlines()) == ["a: abc", "b: abc"]
    assert "waiting until job 'j' is in Azure Batch" in done.stderr


@pytest.mark.parametrize("state", ["completed", "deleting"])
@pytest.mark.parametrize("target", ["j", "j/t"])
def test_following_ends_with_the_job_although_a_task_never_started(
    run: Run, opened: Callable[[Client], None], target: str, state: str
) -> None:
    class Never(Client):
        looks = 0

        async def _task(self) -> Body:
            self.looks += 1
            assert self.looks < 20, "it follows for ever"
            return {"id": "t", "state": "active"}

        async def properties(self, *_: str) -> FileProperties:
            raise NotFoundError("no file", status=404)

        @asynccontextmanager
        async def _part(self) -> AsyncIterator[Stream]:
            raise NotFoundError("no file", status=404, code="FileNotFound")
            yield

    opened(Never(["t"], jobs=["active", "active", state]))
    done = run("logs", "-f", target)
    assert "task 't' has no stdout.txt: it has not started, or wrote none" in done.stderr


def test_a_reader_that_goes_away_ends_the_output_quietly(
    run: Run, opened: Callable[[Client], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(_: bytes) -> None:
        raise BrokenPipeError(32, "Broken pipe")

    opened(Client(["a", "b"]))
    monkeypatch.setattr(logs_command, "_out", gone)
    done = run("logs", "-f", "j")
    assert "Traceback" not in done.output
    assert not isinstance(done.exception, BaseExceptionGroup)


class UnreachableError(aiohttp.ClientConnectionError, OSError):
    """As aiohttp's own error of a refused connection: an OSError."""


def test_a_connection_is_not_taken_for_this_machines_disk(
    fake: FakeCluster, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def get(*_: object) -> None:
        raise UnreachableError("Connection refused")

    monkeypatch.setattr(fake, "get", get)
    done = run("files", "cp", "j/t:stdout.txt", str(tmp_path))
    assert "the API server is unreachable: Connection refused" in done.stderr


def test_a_copy_touches_no_file_but_its_own(run: Run, opened: Callable[[Client], None], tmp_path: Path) -> None:
    mine = tmp_path / "out.txt.part"
    mine.write_text("mine")
    opened(Client([], error=NotFoundError("no file", code="FileNotFound")))
    assert run("files", "cp", "j/bad:wd/out.txt", str(tmp_path)).exit_code == 1
    assert run("files", "cp", "j/good:wd/out.txt", str(tmp_path)).exit_code == 0
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"out.txt.part": "mine", "out.txt": "abc\n"}


def test_names_of_windows_nodes() -> None:
    names = ["wd", "wd\\out.txt", "wd\\a\\b", "wdx", "stdout.txt"]
    assert [name for name in names if files_command.below(name, "wd")] == names[:3]
    assert files_command._local("/", "wd\\out.txt") == Path("/out.txt")


def test_the_resource_of_another_owner_is_not_read(fake: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    fake.add(batch_account(sharedKey=REF))
    text = "job 'render' belongs to BatchJob team-a/render"
    conflict = thing("BatchJob", "render", ("Ready", "False", "OwnershipConflict", text))
    fake.add({**conflict, "spec": {"accountRef": {"name": "main"}}})

    async def read() -> None:
        async with remote.opened(fake, remote.place("render/t1")):  # type: ignore[arg-type]
            pass

    with pytest.raises(FailureError, match="belongs to BatchJob team-a/render"):
        asyncio.run(read())


@pytest.mark.parametrize(("uid", "refused"), [("1", False), ("2", True)])
def test_a_marker_that_names_another_object_is_respected(uid: str, refused: bool) -> None:
    job = thing("BatchJob", "render")
    job["metadata"]["uid"] = "1"
    marker = f"cluster/team/BatchJob/render/{uid}/render"
    found = {"id": "render", "metadata": [{"name": "azurebatch.io/owner", "value": marker}]}
    expected = pytest.raises(FailureError, match="belongs to another object") if refused else nullcontext()
    with expected:
        remote.check_owner(job, "render", found)


def test_an_account_that_may_not_be_read_names_the_other_way(
    fake: FakeCluster, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = fake.get

    async def get(kind: Kind, name: str, namespace: str | None = None) -> Body:
        if kind is Kind.ACCOUNT:
            raise ForbiddenException(status=403, reason="Forbidden")
        return await known(kind, name, namespace)

    monkeypatch.setattr(fake, "get", get)
    fake.add(thing("BatchJob", "j", phase="Running", account="platform/main"))
    done = run("logs", "j/t")
    assert "you may not read BatchAccount platform/main, and you may not create batchoperations" in done.stderr


def test_names_are_those_of_the_table(fake: FakeCluster, run: Run) -> None:
    fake.add(thing("BatchJob", "old", ("Complete", "True", "Succeeded", "")))
    fake.add(thing("BatchJob", "new", phase="Running"))
    assert run("top", "-o", "name").stdout == "batchjob.azurebatch.io/new\n"
    assert len(run("top", "-o", "name", "--all").stdout.splitlines()) == 2


def test_the_pool_of_a_retry_is_that_of_the_job_before_it() -> None:
    taken = {"retryOf": {"settings": {"poolRef": {"name": "cpu"}}}}
    again = {**thing("BatchJob", "again", **taken), "spec": {"retryOf": {"name": "first"}}}
    assert objects.pool_of(again) == "cpu"
    assert objects.pool_of({**again, "spec": {"retryOf": {"name": "first"}, "poolRef": {"name": "gpu"}}}) == "gpu"


def test_a_remedy_is_a_command_for_this_object_in_its_namespace(fake: FakeCluster, run: Run) -> None:
    fake.add(thing("BatchJob", "j", ("Ready", "False", "TasksFailed", "2 failed"), phase="Held"))
    assert "kubectl azure-batch retry bj/j -n team" in run("why", "bj/j").stdout
    queued = thing("BatchJob", "q", ("Suspended", "True", "JobSuspended", "x"), phase="Suspended")
    queued["metadata"]["labels"] = {"kueue.x-k8s.io/queue-name": "main"}
    fake.add(queued)
    said = run("why", "bj/q").stdout
    assert "Kueue resumes it when queue 'main' admits it" in said
    assert "azure-batch resume" not in said


class Unsteady(Client):
    """A job of which some looks fail: as often as the numbers say, before the next ones succeed."""

    def __init__(self, *lists: list[str], failing: list[int], jobs: list[str | None]) -> None:
        super().__init__(*lists, jobs=jobs)
        self.failing = failing

    async def _job(self) -> Body:
        if self.failing and self.failing[0]:
            self.failing[0] -= 1
            raise ConnectionFailedError("nothing listens there")
        self.failing = self.failing[1:]
        return await super()._job()


@pytest.mark.parametrize("failing", [[0, 3], [2, 0, 3], [29, 29, 29]])
def test_following_a_job_survives_lost_connections(
    run: Run, opened: Callable[[Client], None], failing: list[int]
) -> None:
    lost = sum(1 for number in failing if number)
    opened(Unsteady(["a"], ["a", "b"], failing=failing, jobs=["active", "active", "completed"]))
    done = run("logs", "-f", "j")
    assert (sorted(done.stdout.splitlines()), done.exit_code) == (["a: abc", "b: abc"], 0)
    assert done.stderr.count("connection lost, trying again") == lost


def test_a_job_that_stays_out_of_reach_ends_the_output(run: Run, opened: Callable[[Client], None]) -> None:
    client = Unsteady(["a"], failing=[1000], jobs=["active"])
    opened(client)
    done = run("logs", "-f", "j")
    assert "nothing listens there" in done.stderr
    assert (done.exit_code, client.failing) == (1, [970])


def test_a_404_without_a_code_does_not_end_the_output(run: Run, opened: Callable[[Client], None]) -> None:
    class Proxied(Client):
        async def _job(self) -> Body:
            raise NotFoundError("by a proxy", status=404)

    opened(Proxied(["a"]))
    done = run("logs", "-f", "j")
    assert done.exit_code == 1
    assert "by a proxy" in done.stderr


def test_without_knowing_the_owner_nothing_is_read(fake: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """A 404 without a code says nothing of the resource, so neither of its owner."""
    code: list[str | None] = [None]

    class Batch:
        def __init__(self) -> None:
            self.jobs = self

        async def get(self, *_: object, **__: object) -> Body:
            raise NotFoundError("none", status=404, code=code[0])

    @asynccontextmanager
    async def signed_in(*_: object) -> AsyncIterator[Batch]:
        yield Batch()

    monkeypatch.setattr(remote, "signed_in", signed_in)
    fake.add(batch_account(sharedKey=REF))
    fake.add({**thing("BatchJob", "render", phase="Running"), "spec": {"accountRef": {"name": "main"}}})

    async def read() -> str:
        async with remote.opened(fake, remote.Place(Kind.JOB, "render")) as (_, id):  # type: ignore[arg-type]
            return id

    with pytest.raises(NotFoundError):
        asyncio.run(read())
    code[0] = "JobNotFound"
    assert asyncio.run(read()) == "render"
