"""submit: whichever answer is lost, a job owns its ConfigMap and is named, or nothing of the run is left."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
from kubernetes.aio.client.exceptions import ApiException, NotFoundException

from azure_batch_kubectl import storing
from azure_batch_kubectl.cluster import Cluster, may_be_executed
from azure_batch_kubectl.running import explained
from azure_batch_kubectl.storing import MARK, Submission
from azure_batch_operator.api.kinds import Kind
from unit.kubectl.conftest import Body, FakeCluster

ITEMS: Body = {"kind": "ConfigMap", "metadata": {"name": "x-items"}, "data": {"items": "a\nb\n"}}
JOB: Body = {"kind": "BatchJob", "metadata": {"name": "x"}, "spec": {}}
CREATED = "batchjob.azurebatch.io/x created\n"
LOST: list[Callable[[], BaseException]] = [
    lambda: ApiException(status=500, reason="Internal Server Error"),
    lambda: ApiException(status=504, reason="Gateway Timeout"),
    lambda: aiohttp.ServerDisconnectedError(),
    lambda: TimeoutError(),
]
ANSWERS = ["500", "504", "disconnected", "timeout"]


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storing, "PAUSES", (0.0, 0.0, 0.0))


OPERATION: Body = {"kind": "BatchOperation", "metadata": {"generateName": "reboot-"}, "spec": {}}


class Lossy(FakeCluster):
    """A cluster in which a call fails.

    Args:
        method: name of the call.
        error: what comes in place of its answer.
        lands: how many reads of the object find nothing, before it is there; None if it is never there.
    """

    renames = False

    def __init__(self, method: str, error: Callable[[], BaseException], lands: int | None) -> None:
        super().__init__()
        self.method, self.error, self.lands = method, error, lands
        self.reads = 0
        self.deleted: list[str] = []

    async def create_config_map(self, body: Body) -> None:
        if self.method != "create_config_map" or self.lands is not None:
            await super().create_config_map(body)
        self._fail("create_config_map")

    async def create(self, kind: Kind, body: Body) -> Body:
        made = await super().create(kind, body) if self.method != "create" or self.lands is not None else body
        self._fail("create")
        return made

    async def patch_config_map(self, name: str, body: Body) -> None:
        self._fail("patch_config_map")
        await super().patch_config_map(name, body)

    async def delete_config_map(self, name: str) -> None:
        self._fail("delete_config_map")
        self.deleted.append(name)
        await super().delete_config_map(name)

    async def get(self, kind: Kind, name: str, namespace: str | None = None) -> Body:
        self._look()
        return await super().get(kind, name)

    async def get_config_map(self, name: str) -> Body:
        self._look()
        return await super().get_config_map(name)

    def _look(self) -> None:
        self.reads += 1
        if self.lands is not None and self.reads <= self.lands:
            raise NotFoundException(status=404)

    def _fail(self, method: str) -> None:
        if method == self.method:
            raise self.error()


def store(cluster: FakeCluster, *items: Body) -> BaseException | None:
    """How it ends."""
    try:
        asyncio.run(Submission(cluster, items, JOB).store())  # type: ignore[arg-type]
    except (Exception, asyncio.CancelledError) as error:
        return error
    return None


@pytest.mark.parametrize("lands", [0, 1, 2])
@pytest.mark.parametrize("error", LOST, ids=ANSWERS)
def test_a_job_whose_answer_is_lost_is_found_and_named(
    capsys: pytest.CaptureFixture[str], error: Callable[[], BaseException], lands: int
) -> None:
    cluster = Lossy("create", error, lands)
    assert store(cluster, ITEMS) is None
    assert capsys.readouterr() == (CREATED, "")
    owners = cluster.config_maps["x-items"]["metadata"]["ownerReferences"]
    assert [owner["name"] for owner in owners] == ["x"]
    assert cluster.deleted == []


def test_a_job_without_a_config_map_is_named_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert store(Lossy("create", LOST[1], 1)) is None
    assert capsys.readouterr() == (CREATED, "")


@pytest.mark.parametrize("error", LOST, ids=ANSWERS)
def test_a_job_that_never_comes_leaves_nothing(
    capsys: pytest.CaptureFixture[str], error: Callable[[], BaseException]
) -> None:
    cluster = Lossy("create", error, None)
    assert type(store(cluster, ITEMS)) is type(error())
    assert (cluster.config_maps, cluster.reads) == ({}, len(storing.PAUSES))
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("status", [400, 403, 409, 422])
def test_a_refused_job_is_not_looked_for(status: int) -> None:
    cluster = Lossy("create", lambda: ApiException(status=status), None)
    assert getattr(store(cluster, ITEMS), "status", None) == status
    assert (cluster.config_maps, cluster.reads) == ({}, 0)


@pytest.mark.parametrize("lands", [0, 1, 2])
@pytest.mark.parametrize("error", [*LOST, asyncio.CancelledError], ids=[*ANSWERS, "Ctrl-C"])
def test_a_config_map_whose_answer_is_lost_is_deleted(error: Callable[[], BaseException], lands: int) -> None:
    cluster = Lossy("create_config_map", error, lands)
    assert type(store(cluster, ITEMS)) is type(error())
    assert (cluster.config_maps, cluster.deleted, cluster.created) == ({}, ["x-items"], [])


@pytest.mark.parametrize("error", [LOST[1], lambda: ApiException(status=409)], ids=["504", "409"])
def test_objects_of_others_are_left_alone(error: Callable[[], BaseException]) -> None:
    """They have the names that the user gave with --name."""
    cluster = Lossy("create_config_map", error, None)
    cluster.config_maps["x-items"] = {"metadata": {"name": "x-items", "annotations": {MARK: "of another run"}}}
    assert store(cluster, ITEMS) is not None
    assert (cluster.deleted, [*cluster.config_maps]) == ([], ["x-items"])
    cluster = Lossy("create", error, None)
    cluster.add({"kind": "BatchJob", "metadata": {"name": "x", "uid": "other"}})
    assert store(cluster, ITEMS) is not None
    assert cluster.config_maps == {}


def test_a_job_that_cannot_be_handed_its_config_map_is_named_all_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    cluster = Lossy("patch_config_map", lambda: ApiException(status=403, reason="configmaps is forbidden"), None)
    assert store(cluster, ITEMS) is None
    assert capsys.readouterr() == (
        CREATED,
        "warning: ConfigMap x-items is not deleted with BatchJob x: configmaps is forbidden: delete it after the job\n",
    )


def test_a_config_map_that_cannot_be_deleted_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(*_: Any) -> None:
        raise ApiException(status=422, reason="invalid")

    cluster = Lossy("delete_config_map", lambda: ApiException(status=403, reason="forbidden"), None)
    monkeypatch.setattr(cluster, "create", refused)
    assert getattr(store(cluster, ITEMS), "status", None) == 422
    said = "warning: ConfigMap x-items is not deleted: forbidden: delete it, because no BatchJob reads it\n"
    assert capsys.readouterr() == ("", said)


def test_what_cannot_be_found_out_is_said(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The ConfigMap stays: the job may read it."""

    async def down(*_: Any) -> Body:
        raise ApiException(status=503, reason="Service Unavailable")

    cluster = Lossy("create", LOST[1], 0)
    monkeypatch.setattr(cluster, "get", down)
    assert getattr(store(cluster, ITEMS), "status", None) == 504
    assert [*cluster.config_maps] == ["x-items"]
    assert capsys.readouterr().err == (
        "warning: it is not known whether BatchJob x was created: Service Unavailable: look for it, and delete "
        "ConfigMap x-items if it is not there\n"
    )


@pytest.mark.parametrize(
    ("error", "maybe"),
    [
        *((error(), True) for error in LOST),
        (asyncio.CancelledError(), True),
        (ApiException(status=404), False),
        (ApiException(status=429), False),
        (aiohttp.ClientConnectorError(None, OSError("refused")), False),  # type: ignore[arg-type]
    ],
)
def test_only_a_refusal_says_that_nothing_was_done(error: BaseException, maybe: bool) -> None:
    assert may_be_executed(error) is maybe


@pytest.mark.parametrize(("status", "notes"), [(504, True), (403, False)])
def test_an_error_of_a_change_says_whether_it_may_have_been_made(
    monkeypatch: pytest.MonkeyPatch, status: int, notes: bool
) -> None:
    async def failed(*_: Any, **__: Any) -> Any:
        raise ApiException(status=status, reason="no")

    cluster = Cluster(None, "team")
    monkeypatch.setattr(cluster, "_asked", failed)
    for call in (cluster.create(Kind.OPERATION, {}), cluster.patch(Kind.JOB, "x", {}), cluster.create_config_map({})):
        with pytest.raises(ApiException) as raised:
            asyncio.run(call)
        text = "no: the change may have been made: look before you repeat the command" if notes else "no"
        assert str(explained(raised.value)) == text
    with pytest.raises(ApiException) as raised:
        asyncio.run(cluster.may("get", "secrets", ""))
    assert str(explained(raised.value)) == "no"


def operate(cluster: FakeCluster) -> str | BaseException:
    """The name of an operation that is created, or how it ends."""
    try:
        return asyncio.run(storing.create_operation(cluster, OPERATION))  # type: ignore[arg-type]
    except (Exception, asyncio.CancelledError) as error:
        return error


@pytest.mark.parametrize("lands", [0, 1, 2])
@pytest.mark.parametrize("error", LOST, ids=ANSWERS)
def test_an_operation_whose_answer_is_lost_is_found(error: Callable[[], BaseException], lands: int) -> None:
    cluster = Lossy("create", error, lands)
    assert operate(cluster) == cluster.names[0]
    assert len(cluster.created) == 1


def test_an_operation_that_ctrl_c_leaves_behind_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    cluster = Lossy("create", asyncio.CancelledError, 1)
    assert isinstance(operate(cluster), asyncio.CancelledError)
    (name,) = cluster.names
    assert capsys.readouterr().err == (
        f"warning: BatchOperation {name} was created and continues: kubectl azure-batch terminate bop/{name} stops it\n"
    )


@pytest.mark.parametrize("error", [*LOST, asyncio.CancelledError], ids=[*ANSWERS, "ctrl-c"])
def test_an_operation_that_never_comes_is_not_said_to_be_there(
    capsys: pytest.CaptureFixture[str], error: Callable[[], BaseException]
) -> None:
    cluster = Lossy("create", error, None)
    assert isinstance(operate(cluster), type(error()))
    assert (cluster.reads, capsys.readouterr().err) == (3, "")


def test_an_operation_that_cannot_be_looked_for_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = Lossy("create", asyncio.CancelledError, 0)

    async def unreachable(*_: object) -> Body:
        raise aiohttp.ServerDisconnectedError

    monkeypatch.setattr(cluster, "get", unreachable)
    assert isinstance(operate(cluster), asyncio.CancelledError)
    (name,) = cluster.names
    said = f"warning: it is not known whether BatchOperation {name} was created: Server disconnected: look for it\n"
    assert capsys.readouterr().err == said


def test_an_operation_that_is_refused_is_not_looked_for() -> None:
    cluster = Lossy("create", lambda: ApiException(status=403), None)
    assert isinstance(operate(cluster), ApiException)
    assert cluster.reads == 0
