"""The scope of an error in a poll: a call about one job, pool or schedule is that one's trouble, and nobody else's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from prometheus_client import REGISTRY

from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Key, Resource
from azure_batch_operator.batch import (
    AuthenticationError,
    BatchError,
    ConnectionFailedError,
    ConnectionKind,
    DeadlineError,
    ForbiddenError,
    InvalidRequestError,
    MalformedResponseError,
    NotFoundError,
    NotSentError,
    ServerBusyError,
    ServerError,
    ThrottledError,
)
from azure_batch_operator.batch.wire import TaskCounts
from azure_batch_operator.reconcile.account.problems import judges_account
from azure_batch_operator.reconcile.plan import Absent, Plan
from azure_batch_operator.reconcile.unreadable import with_problem
from azure_batch_operator.sync.polls.base import News
from azure_batch_operator.sync.polls.steps import Scope, Step, Troubles
from support.jumping_loop import run_jumping
from unit.sync.test_poller import Scene

JOBS = [Key(Kind.JOB, "n", f"j{number}") for number in range(5)]
FAILED = ServerError("The server encountered an internal error.", status=500, code="InternalError", request_id="r-1")


def jumping(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    def run() -> None:
        run_jumping(test())

    return run


def scene_of_jobs() -> Scene:
    scene = Scene()
    for key in JOBS:
        scene.interest.add(key, key.name)
    scene.service.items["jobs"] = [{"id": key.name, "state": "active", "poolInfo": {}} for key in JOBS]
    scene.service.counts = {"active": 1}
    return scene


def failures(what: str) -> float:
    return REGISTRY.get_sample_value("azurebatch_observation_failures_total", {"what": what}) or 0.0


def kind(error: ConnectionFailedError | AuthenticationError, kind: Any) -> BatchError:
    error.kind = kind
    return error


@pytest.mark.parametrize(
    ("error", "judges"),
    [
        (kind(ConnectionFailedError("x"), ConnectionKind.REFUSED), True),
        (kind(ConnectionFailedError("x"), ConnectionKind.DNS), True),
        (kind(ConnectionFailedError("x"), ConnectionKind.RESET), False),
        (AuthenticationError("x", status=403), True),
        (ForbiddenError("x", status=403, code="AccountIsDisabled"), True),
        (ForbiddenError("x", status=403, code="InsufficientAccountPermissions"), False),
        (ThrottledError("x", status=429), True),
        (ServerBusyError("x", status=503, code="ServerBusy"), True),
        (ServerBusyError("x", status=503, code="TooManyEnableAutoScaleRequests"), False),
        (ServerError("x", status=500), False),
        (DeadlineError("x"), False),
        (NotSentError("x"), False),
        (MalformedResponseError("x"), False),
        (NotFoundError("x", status=404), False),
        (InvalidRequestError("x", status=400), False),
    ],
)
def test_errors_that_affect_an_account(error: BatchError, judges: bool) -> None:
    assert judges_account(error) is judges


@pytest.mark.parametrize(
    "error",
    [
        FAILED,
        MalformedResponseError("not JSON"),
        InvalidRequestError("no", status=400, code="X"),
        KeyError("taskCounts"),
    ],
    ids=["500", "malformed", "400", "our own fault"],
)
def test_a_job_that_cannot_be_counted_is_no_trouble_of_the_account_nor_of_the_others(error: Exception) -> None:
    async def run() -> None:
        scene, before = scene_of_jobs(), failures("the task counts of job")
        scene.service.failing["taskcounts j2"] = error
        assert await scene.poll() == set(JOBS), "all hear that there is a job"
        assert scene.health == [None]
        assert {id for id in scene.mirror.results if scene.mirror.results[id].counts} == {"j0", "j1", "j3", "j4"}
        assert failures("the task counts of job") == before + 1

    run_jumping(run())


@jumping
async def test_a_failed_step_is_retried_at_growing_intervals_and_shown_after_a_while() -> None:
    scene = scene_of_jobs()
    scene.service.failing["taskcounts j2"] = FAILED
    tries, shown_at, told = 0, None, 0
    for second in range(1800):
        news = await scene.settled(JOBS[2])
        tries += scene.service.counted.count("j2")
        if shown_at is None and scene.mirror.problems:
            shown_at = second
            assert JOBS[2] in news
        told += second > 100 and JOBS[2] in news
        await asyncio.sleep(1)
    assert 8 <= tries <= 16, "2, 4, 8 … seconds, at most five minutes"
    assert shown_at is not None
    assert 30 <= shown_at <= 75
    assert told == 0, "the same words are told once"
    text = "the task counts of job 'j2' cannot be read: InternalError: The server encountered an internal error."
    assert scene.mirror.problems == {JOBS[2]: f"{text}. The operator retries this automatically"}
    assert scene.health == [None] * 1800
    scene.service.failing.clear()
    await asyncio.sleep(301)
    assert JOBS[2] in await scene.settled()
    assert scene.mirror.problems == {}
    assert scene.mirror.results["j2"].counts == TaskCounts(active=1)


@jumping
async def test_a_job_without_a_response_delays_no_other() -> None:
    scene = scene_of_jobs()
    scene.service.held["taskcounts j2"] = asyncio.Event()
    running = asyncio.create_task(scene.poll())
    await asyncio.sleep(1)
    assert not running.done()
    told = set().union(*scene.told)
    assert told == {*JOBS} - {JOBS[2]}, "it decides when its part of this poll has ended"
    assert {id for id in scene.mirror.results if scene.mirror.results[id].counts} == {"j0", "j1", "j3", "j4"}
    scene.service.failing["taskcounts j2"] = DeadlineError("there was no complete response")
    scene.service.held["taskcounts j2"].set()
    await running
    scene.service.held["taskcounts j2"] = asyncio.Event()
    await asyncio.sleep(5)
    # From now on nobody waits for it, not even the next poll.
    await asyncio.wait_for(scene.poll(*JOBS), 1)
    assert scene.poller._strays
    assert sorted(scene.service.counted) == ["j0", "j1", "j2", "j3", "j4"]
    scene.service.held["taskcounts j2"].set()


@jumping
async def test_a_service_that_answers_no_step_ends_the_poll_and_not_the_account() -> None:
    scene = Scene()
    for number in range(100):
        scene.interest.add(Key(Kind.JOB, "n", f"x{number}"), f"x{number}")
    scene.service.items["jobs"] = [{"id": f"x{number}", "state": "active", "poolInfo": {}} for number in range(100)]
    scene.service.failing["taskcounts"] = DeadlineError("there was no complete response")
    await scene.poll()
    assert len(scene.service.counted) <= 16
    assert scene.health == [None], "the account-wide lists were answered"


@pytest.mark.parametrize("what", ["nodes", "tail", "tasks where executionInfo"])
def test_an_error_of_one_resource_does_not_affect_the_account(what: str) -> None:
    async def run() -> None:
        scene = scene_of_jobs()
        pool = Key(Kind.POOL, "n", "p")
        scene.interest.add(pool, "p")
        scene.service.items["pools"] = [{"id": "p", "state": "active"}]
        scene.service.items["counts"] = [{"poolId": "p", "dedicated": {"unusable": 1}}]
        scene.service.items["nodes"] = [{"id": "tvm", "state": "unusable"}]
        scene.service.items["tasks"] = [{"id": "a", "executionInfo": {"result": "failure", "exitCode": 1}}]
        scene.service.counts = {"failed": 1}
        scene.service.failing[what] = FAILED
        for _ in range(60):
            await scene.settled(*JOBS)
            await asyncio.sleep(1)
        assert scene.health == [None] * 60
        assert scene.mirror.pools.get("p") == {"id": "p", "state": "active"}
        assert all(scene.mirror.results[key.name].counts == TaskCounts(failed=1) for key in JOBS)

    run_jumping(run())


@jumping
async def test_output_that_can_never_be_read_does_not_keep_a_job_from_its_end() -> None:
    scene = scene_of_jobs()
    scene.service.items["jobs"] = [{"id": "j0", "state": "completed", "poolInfo": {}}]
    failed = {"id": "a", "state": "completed", "executionInfo": {"result": "failure", "exitCode": 1}}
    scene.service.items["tasks"] = [failed]
    scene.service.failing["tail"] = FAILED
    for _ in range(60):
        await scene.settled()
        await asyncio.sleep(1)
    results = scene.mirror.results["j0"]
    assert (results.unfinished, results.failed_count) == (0, 1)
    assert results.failed[0].stderr_problem == "it could not be read (InternalError)"


@pytest.mark.parametrize(("code", "shown"), [("FileNotFound", ""), (None, "first\nlast")])
def test_output_of_a_start_task_is_missing_only_if_the_service_says_so(code: str | None, shown: str) -> None:
    """What is found is kept as long as the node is in this state."""

    async def run() -> None:
        scene = scene_of_jobs()
        scene.interest.add(Key(Kind.POOL, "n", "p"), "p")
        scene.service.items["pools"] = [{"id": "p", "state": "active"}]
        scene.service.items["counts"] = [{"poolId": "p", "dedicated": {"startTaskFailed": 1}}]
        scene.service.items["nodes"] = [{"id": "tvm", "state": "starttaskfailed"}]
        scene.service.failing["tail tvm/startup"] = NotFoundError("not found", status=404, code=code)
        await scene.settled()
        del scene.service.failing["tail tvm/startup"]
        for _ in range(400):
            await asyncio.sleep(1)
            await scene.poll()
        [trouble] = scene.mirror.notes["p"].troubled
        assert trouble.stderr_tail == shown

    run_jumping(run())


@jumping
async def test_one_account_wide_list_that_fails_does_not_hold_back_the_others() -> None:
    scene = scene_of_jobs()
    scene.service.failing["pools "] = FAILED
    await scene.poll()
    assert scene.health == [FAILED], "that is about the account"
    assert all(scene.mirror.results[key.name].counts for key in JOBS)


@jumping
async def test_data_that_cannot_be_taken_in_is_the_accounts_failure_and_ends_no_poll() -> None:
    scene = scene_of_jobs()
    scene.service.items["pools"] = [{"noid": True}]
    await scene.poll()
    assert isinstance(scene.health[0], MalformedResponseError)
    assert all(scene.mirror.results[key.name].counts for key in JOBS)


@jumping
async def test_metadata_of_a_foreign_pool_may_hold_anything() -> None:
    scene = scene_of_jobs()
    scene.interest.add(Key(Kind.POOL, "n", "p"), "p")
    scene.service.items["pools"] = [
        {"id": "theirs", "metadata": [{"name": "azurebatch.io/owner"}, {"value": "x"}, 7, None]},
        {"id": "odd", "metadata": [7, None, {"value": "x"}]},
        {"id": "p", "state": "active"},
    ]
    await scene.poll()
    assert scene.health == [None]
    assert scene.mirror.pools.get("p") == {"id": "p", "state": "active"}


@jumping
async def test_an_account_with_many_jobs_is_known_to_answer_before_all_are_counted() -> None:
    scene = scene_of_jobs()
    scene.service.held["taskcounts"] = asyncio.Event()
    running = asyncio.create_task(scene.poll())
    await asyncio.sleep(1)
    assert scene.health == [None]
    scene.service.held["taskcounts"].set()
    await running
    assert scene.health == [None]


def shown(status: dict[str, Any]) -> Resource:
    metadata = {"namespace": "n", "name": "j", "uid": "u", "resourceVersion": "1", "generation": 3}
    return Resource.parse({"kind": "BatchJob", "metadata": metadata, "spec": {}, "status": status})


READY = {"type": "Ready", "status": "True", "reason": "Running", "message": "", "lastTransitionTime": "t"}


def test_the_object_keeps_its_state_and_says_what_cannot_be_read() -> None:
    resource = shown({"phase": "Running", "observedGeneration": 3, "conditions": [READY]})
    plan = with_problem(resource, Plan(), "cannot be read", 0.0)
    assert plan.status is not None
    assert plan.status["phase"] == "Running"
    assert [(each["type"], each["reason"]) for each in plan.status["conditions"]] == [
        ("Ready", "Running"),
        ("Reconciling", "ObservationFailed"),
    ]
    assert [(each.reason, each.type) for each in plan.events] == [("ObservationFailed", "Warning")]
    again = with_problem(shown(dict(plan.status)), Plan(), "cannot be read", 99.0)
    assert again.status == plan.status, "unchanged, so not written"
    assert not again.events


@pytest.mark.parametrize("status", [{}, {"observedGeneration": -1}, {"phase": "Pending", "id": "j"}])
def test_an_object_that_has_said_nothing_yet_says_what_cannot_be_read(status: dict[str, Any]) -> None:
    plan = with_problem(shown(status), Plan(requeue_after=3.0), "cannot be read", 0.0)
    assert plan.status is not None
    assert plan.requeue_after == 3.0
    assert (plan.status["phase"], plan.status["observedGeneration"], plan.status.get("id")) == (
        "Pending",
        3,
        status.get("id"),
    )
    assert [(each["type"], each["status"], each["reason"]) for each in plan.status["conditions"]] == [
        ("Ready", "False", "ObservationFailed"),
        ("Reconciling", "True", "ObservationFailed"),
    ]
    assert [(each.reason, each.type) for each in plan.events] == [("ObservationFailed", "Warning")]
    again = with_problem(shown(dict(plan.status)), Plan(), "cannot be read", 99.0)
    assert again.status == plan.status, "unchanged, so not written"
    assert not again.events


def test_how_an_object_has_ended_stays_though_its_conditions_were_taken_away() -> None:
    assert with_problem(shown({"phase": "Succeeded"}), Plan(), "x", 0.0) == Plan()


def test_an_object_without_a_problem_says_nothing_and_one_that_stalls_says_that() -> None:
    assert with_problem(shown({"conditions": [READY]}), Plan(), None, 0.0) == Plan()
    stalled = {"conditions": [READY, {**READY, "type": "Stalled"}]}
    assert with_problem(shown(stalled), Plan(status=stalled), "x", 0.0) == Plan(status=stalled)


@jumping
async def test_absence_is_not_claimed_without_a_response() -> None:
    scene = scene_of_jobs()
    scene.service.failing["jobs"] = FAILED
    await scene.poll()
    assert scene.mirror.jobs.get("j0") is Absent.UNKNOWN


def test_the_end_of_one_trouble_leaves_what_another_one_has_to_say() -> None:
    async def nothing(_: News) -> None:
        return None

    troubles, key = Troubles(), JOBS[0]
    counts, failed = (
        Step(Scope(what, "j0"), nothing, frozenset({key}))
        for what in ("the task counts of job", "the failed tasks of job")
    )
    for step in (counts, failed):
        troubles.failed(step, FAILED, 0.0)
    told = [troubles.failed(step, FAILED, now) for now in (40.0, 80.0) for step in (counts, failed)]
    assert told == [{key}, set(), set(), set()], "two troubles do not take turns"
    assert "the task counts of job 'j0'" in troubles.problems[key]
    assert troubles.ended(counts) == {key}
    assert "the failed tasks of job 'j0'" in troubles.problems[key]
    assert troubles.ended(failed) == {key}
    assert troubles.problems == {}


def test_what_nobody_wants_to_know_any_more_is_no_trouble_of_those_who_did() -> None:
    async def nothing(_: News) -> None:
        return None

    troubles, key = Troubles(), JOBS[0]
    step = Step(Scope("the task counts of job", "j0"), nothing, frozenset({key}))
    troubles.failed(step, FAILED, 0.0)
    troubles.failed(step, FAILED, 40.0)
    assert troubles.keep(lambda _: True) == set()
    assert troubles.keep(lambda _: False) == {key}, "it is told"
    assert troubles.problems == {}


def test_nothing_is_read_before_it_was_read() -> None:
    async def nothing(_: News) -> None:
        return None

    troubles, key = Troubles(), JOBS[0]
    counts, tasks = (
        Step(Scope(what, "j0"), nothing, frozenset({key})) for what in ("the task counts of job", "the tasks of job")
    )
    assert not troubles.is_read(key)
    troubles.ended(tasks)
    assert troubles.is_read(key)
    troubles.failed(counts, FAILED, 0.0)
    assert not troubles.is_read(key), "although it is shown only after a while"
    troubles.ended(counts)
    assert troubles.is_read(key)
    assert not troubles.is_read(JOBS[1])
    troubles.keep(lambda _: False)
    assert not troubles.is_read(key)


# --- a 404 ---


def watched() -> Scene:
    """Jobs, one with a BatchTask, and a pool with a node in trouble."""
    scene = scene_of_jobs()
    scene.interest.add(Key(Kind.TASK, "n", "t"), "j4", "t")
    scene.interest.add(Key(Kind.POOL, "n", "p"), "p")
    scene.service.items["pools"] = [{"id": "p", "state": "active"}]
    scene.service.items["counts"] = [{"poolId": "p", "dedicated": {"unusable": 1}}]
    return scene


@pytest.mark.parametrize(
    ("what", "id", "asked", "code"),
    [
        (what, id, asked, code)
        for what, id, asked, own in (
            ("the task counts of job", "j0", "taskcounts j0", "JobNotFound"),
            ("the tasks of job", "j4", "tasks tasks", "JobNotFound"),
            ("the nodes of pool", "p", "nodes nodes", "PoolNotFound"),
        )
        for code in (own, "ResourceNotFound", None)
    ],
)
def test_a_404_about_what_a_list_shows_is_no_silence(what: str, id: str, asked: str, code: str | None) -> None:
    """The resource is there, and one of its calls says 404 for hours."""

    async def run() -> None:
        scene = watched()
        scene.service.failing = {asked: NotFoundError("It does not exist", status=404, code=code)}
        while asyncio.get_running_loop().time() < 600:
            await scene.poll()
            await asyncio.sleep(1)
        problems = set(scene.mirror.problems.values())
        said = f"{what} {id!r} cannot be read: {code or 'NotFound'}: It does not exist"
        assert problems == {f"{said}. The operator retries this automatically"}
        assert scene.health[-1] is None
        scene.service.failing = {}
        await asyncio.sleep(300)
        await scene.settled()
        assert not scene.mirror.problems

    run_jumping(run())


@jumping
async def test_a_job_that_goes_between_the_list_and_its_count_is_no_trouble() -> None:
    scene = scene_of_jobs()
    scene.service.failing = {"taskcounts j0": NotFoundError("gone", status=404, code="JobNotFound")}
    await scene.poll()
    assert scene.mirror.jobs.get("j0") is Absent.UNKNOWN, "the next poll looks for it"
    scene.service.items["jobs"] = scene.service.items["jobs"][1:]
    await asyncio.sleep(1)
    await scene.poll()
    assert scene.mirror.jobs.get("j0") is Absent.NOT_FOUND
    for _ in range(60):
        await asyncio.sleep(1)
        await scene.poll()
    assert not scene.mirror.problems


@pytest.mark.parametrize(
    ("scope", "text"),
    [
        (Scope("the task counts of job", "j0"), "the task counts of job 'j0'"),
        (Scope("the images and applications of the account", ""), "the images and applications of the account"),
    ],
)
def test_what_could_not_be_read_is_named_without_an_empty_id(
    scope: Scope, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def nothing(_: News) -> None: ...

    Troubles().failed(Step(scope, nothing), FAILED, 0.0)
    assert caplog.messages[-1].startswith(f"Could not read {text}: ")
