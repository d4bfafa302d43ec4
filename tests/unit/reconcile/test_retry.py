"""Which tasks a retry has, and why it has none: decided from the former job and from the ids that have not succeeded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Key, Resource
from azure_batch_operator.batch.task_wire import IdRange
from azure_batch_operator.reconcile.job import changes, expand, retry
from azure_batch_operator.reconcile.job.spec import Depends, JobTerms
from azure_batch_operator.reconcile.value_references import ResolutionError, Source
from unit.objects import LONG_AGO, resource


def chosen(spec: Mapping[str, Any], *ids: str, others: tuple[str, ...] = ()) -> dict[str, dict[str, Any]]:
    found = retry.chosen(spec, {*ids, *others}, set(others))
    return {each["id"]: {name: value for name, value in each.items() if name != "id"} for each in found}


def ended(status: dict[str, Any] | None = None, **more: Any) -> Resource:
    """A job that has failed."""
    spec = {"poolRef": {"name": "cpu"}, "tasks": [{"id": "a", "commandLine": "x"}]}
    condition = {
        "type": "Failed",
        "status": "True",
        "reason": "TasksFailed",
        "message": "",
        "lastTransitionTime": LONG_AGO,
    }
    found = {
        "phase": "Failed", "state": "completed", "tasksFingerprint": changes.origin(spec), "conditions": [condition],
        "observedGeneration": 1,
    }  # fmt: skip
    return resource(Kind.JOB, spec, name="own", uid="own-1", status=found | (status or {}), **more)


def again(name: str = "more", former: str = "own", status: dict[str, Any] | None = None, **spec: Any) -> Resource:
    return resource(Kind.JOB, {"retryOf": {"name": former}} | spec, name=name, uid=f"{name}-1", status=status or {})


def reason(job: Resource, former: Resource | None) -> str | None:
    error = retry.refusal(job, former)
    assert error is None or str(error).startswith("spec.retryOf names BatchJob ")
    return error.reason if error else None


@pytest.mark.parametrize(
    "settings",
    [
        {"onAllTasksComplete": 7}, {"suspendPolicy": 7}, {"suspendPolicy": None}, {"backoff": []}, {"failurePolicy": ""},
        {"backoff": {"maxRequeues": "2"}}, {"logs": [], "poolRef": "cpu", "taskFactory": []}, {"newer": [1]},
    ],
)  # fmt: skip
def test_stored_settings_that_cannot_be_read_are_left_out(settings: dict[str, Any]) -> None:
    """The CRD checks nothing of them, and a job must be planned, and be stopped, whatever is there."""
    status = {"retryOf": {"uid": "own-1", "tasks": 1, "settings": {"priority": 3, **settings}}}
    spec = JobTerms.of(retry.with_settings(again(status=status, suspend=True)))
    assert spec.whole["priority"] == 3
    assert (spec.suspend, spec.suspend_policy.lower(), spec.stays_open) == (True, "requeue", False)
    assert (spec.backoff.max_requeues, spec.failure_policy.action, spec.pool_ref) == (None, "Continue", None)


PINNED = {"retryOf": {"uid": "own-1", "tasks": 1, "settings": {}}}


@pytest.mark.parametrize(
    ("job", "former", "wanted"),
    [
        (again(), ended(), None),
        (again("own"), ended(), "RetryOfItself"),
        (again(), None, "RetryJobNotFound"),
        (again(status=PINNED), None, "RetryTasksUnknown"),
        (again(status=PINNED), ended(), None),
        (again(status={"retryOf": {"uid": "own-0", "tasks": 1, "settings": {}}}), ended(), "RetryTasksUnknown"),
        (again(), ended(deleting=True), "RetryTasksUnknown"),
        (again(status=PINNED), ended({"phase": "Deleting"}, deleting=True), None),
        (again(), ended({"phase": "Running", "conditions": []}), "RetryJobNotEnded"),
        (again(), ended({"state": ""}), "RetryTasksUnknown"),
        (again(), ended({"cleanedUp": True}), "RetryTasksUnknown"),
        (again(), ended({"tasksFingerprint": None}), "RetryTasksUnknown"),
    ],
)
def test_the_former_job_must_have_ended_with_its_tasks_known(
    job: Resource, former: Resource | None, wanted: str | None
) -> None:
    assert reason(job, former) == wanted


def test_changed_tasks_and_changed_config_maps_are_told_from_the_fingerprint() -> None:
    assert retry.is_unchanged(ended(), None)
    assert not retry.is_unchanged(ended(), "other")
    assert not retry.is_unchanged(ended({"tasksFingerprint": "0123"}), None)


def test_dependencies_on_tasks_that_have_succeeded_are_dropped() -> None:
    spec = {
        "tasks": [
            {"id": "Load", "commandLine": "l"},
            {"id": "bad", "commandLine": "b", "dependsOn": {"taskIds": ["Load"]}},
            {"id": "after", "commandLine": "a", "dependsOn": {"taskIds": ["Bad", "load"]}},
        ],
        "onDependencyFailure": "Ignore",
        "logs": {"upload": {"containerUrl": "https://x.example/c"}},
    }
    assert chosen(spec, "bad", "after") == {
        "bad": {"commandLine": "b"},
        "after": {"commandLine": "a", "dependsOn": {"taskIds": ["Bad"]}},
    }


def test_a_range_with_gaps_becomes_ranges_without() -> None:
    factory = {"repeat": {"count": 1000}, "repeatTask": {"commandLine": "{0}"}, "mergeTask": {"commandLine": "m"}}
    found = chosen({"taskFactory": factory}, "000", "001", "007", "merge")
    assert found == {
        "000": {"commandLine": "0"},
        "001": {"commandLine": "1"},
        "007": {"commandLine": "7"},
        "merge": {"commandLine": "m", "dependsOn": {"taskIdRanges": [{"start": 0, "end": 1}, {"start": 7, "end": 7}]}},
    }


def test_all_of_a_list_means_those_of_it_that_run_again() -> None:
    spec = {
        "tasks": [{"id": id, "commandLine": "x"} for id in "abc"],
        "taskFactory": {
            "taskPerItem": {"items": ["p", "q"]},
            "repeatTask": {"commandLine": "{0}", "dependsOn": {"allOf": ["tasks"]}},
        },
    }
    assert chosen(spec, "b", "1") == {
        "b": {"commandLine": "x"},
        "1": {"commandLine": "q", "dependsOn": {"taskIds": ["b"]}},
    }


def test_values_from_secrets_stay_references() -> None:
    variable = {"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}
    factory = {"repeat": {"count": 2}, "repeatTask": {"commandLine": "x", "environmentSettings": [variable]}}
    assert chosen({"taskFactory": factory}, "1")["1"]["environmentSettings"] == [variable]


def test_only_the_values_of_the_tasks_that_run_again_are_needed_once_each() -> None:
    def variable(secret: str) -> list[dict[str, Any]]:
        return [{"name": "A", "valueFrom": {"secretKeyRef": {"name": secret, "key": "k"}}}]

    listed = [{"id": id, "commandLine": "x", "environmentSettings": variable(f"s{id}")} for id in "abc"]
    template = {"commandLine": "{0}", "environmentSettings": variable("shared")}
    spec = {
        "tasks": listed, "taskFactory": {"repeat": {"count": 3}, "repeatTask": template},
        "commonEnvironmentSettings": variable("job"),
    }  # fmt: skip
    found = retry.chosen(spec, {"b", "0", "2"}, set())
    assert [(each.path, each.source.name) for each in found.needed] == [
        ("spec.retryOf: task '0': environmentSettings[0].valueFrom", "shared"),
        ("spec.retryOf: task 'b': environmentSettings[0].valueFrom", "sb"),
    ]
    assert retry.chosen(spec, {"a"}, set()).needed[0].source.name == "sa"
    values = {Source("Secret", "shared", "k"): '{"a":{"0":1}}', Source("Secret", "sb", "k"): "{0}"}
    sent = {each["id"]: each["environmentSettings"][0]["value"] for each in found.with_values(values)}
    assert sent == {"0": '{"a":{"0":1}}', "2": '{"a":{"0":1}}', "b": "{0}"}


def test_tasks_to_retry_expand_to_the_bodies_of_the_former_job() -> None:
    factory = {"repeat": {"count": 30}, "repeatTask": {"commandLine": "run {0:3}", "requiredSlots": 2}}
    spec = {"taskFactory": factory, "onDependencyFailure": "Ignore", "usesTaskDependencies": True}
    spec["logs"] = {"upload": {"containerUrl": "https://x.example/c"}}
    tasks = retry.chosen(spec, {"07", "21"}, set())
    rest = {name: value for name, value in spec.items() if name != "taskFactory"}
    former = {each["id"]: each for each in expand.expand(spec, "own")}
    assert list(expand.expand(rest | {"tasks": tasks}, "own")) == [former["07"], former["21"]]
    assert expand.problems(JobTerms.of(rest | {"tasks": tasks})) == []


def test_only_the_tasks_that_are_wanted_are_made() -> None:
    class Ids(frozenset[str]):
        asked = 0

        def __contains__(self, id: object) -> bool:
            Ids.asked += 1
            return super().__contains__(id)

    factory = {"repeat": {"count": 5000}, "repeatTask": {"commandLine": "x"}}
    found = list(expand.expand({"taskFactory": factory}, "", only=Ids({"4999"})))
    assert [each["id"] for each in found] == ["4999"]
    assert Ids.asked == 5000


def test_tasks_of_others_are_left_out_and_what_waits_for_them_is_refused() -> None:
    spec = {"tasks": [{"id": "a", "commandLine": "x"}, {"id": "b", "commandLine": "x"}]}
    assert list(chosen(spec, "a", "foreign", others=("b",))) == ["a"]
    waits = {"tasks": [{"id": "a", "commandLine": "x", "dependsOn": {"taskIds": ["theirs"]}}]}
    with pytest.raises(ResolutionError, match="task 'a' depends on task 'theirs', which has not succeeded") as caught:
        chosen(waits, "a", others=("theirs",))
    assert caught.value.reason == "RetryDependencyFailed"
    # One that has succeeded is no longer waited for.
    assert chosen(waits, "a") == {"a": {"commandLine": "x"}}


def test_too_much_for_the_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    factory = {"repeat": {"count": 50}, "repeatTask": {"commandLine": "x"}, "mergeTask": {"commandLine": "m"}}
    ids = [f"{number:02}" for number in range(0, 50, 2)]
    monkeypatch.setattr(retry, "MAX_RANGES", 24)
    assert len(chosen({"taskFactory": factory}, *ids)) == 25
    with pytest.raises(ResolutionError, match="'merge' depends on more than 24 separate ranges") as caught:
        chosen({"taskFactory": factory}, *ids, "merge")
    assert caught.value.reason == "RetryTooLarge"


def test_settings_are_those_of_the_spec_but_for_what_is_the_objects_own() -> None:
    spec = {
        "id": "own-id", "poolRef": {"name": "cpu"}, "priority": 5, "suspend": True, "ttlSecondsAfterFinished": 60,
        "tasks": [{"id": "a", "commandLine": "x"}], "taskUpdatePolicy": "Replace", "failurePolicy": {"maxFailedTasks": 3},
    }  # fmt: skip
    given = retry.settings(resource(Kind.JOB, spec))
    assert given == {"poolRef": {"name": "cpu"}, "priority": 5, "failurePolicy": {"maxFailedTasks": 3}}
    assert retry.merged({"retryOf": {"name": "own"}, "priority": 1, "poolInfo": {"poolId": "gpu"}}, given) == {
        "retryOf": {"name": "own"},
        "priority": 1,
        "poolInfo": {"poolId": "gpu"},
        "failurePolicy": {"maxFailedTasks": 3},
    }


def test_a_retry_of_a_retry_has_the_settings_of_both() -> None:
    noted = {"uid": "u", "tasks": 1, "settings": {"poolRef": {"name": "cpu"}, "priority": 5}}
    former = again("second", status={"retryOf": noted}, priority=7, suspend=True)
    assert retry.settings(former) == {"poolRef": {"name": "cpu"}, "priority": 7}


def test_settings_that_are_too_large_are_named_with_the_remedy() -> None:
    assert retry.too_large({"priority": 5}) is None
    error = retry.too_large({"priority": 5, "metadata": [{"name": "a", "value": "x" * retry.MAX_SETTINGS}]})
    assert error is not None
    assert error.reason == "RetrySettingsTooLarge"
    assert "set metadata (" in str(error)


def test_a_job_is_held_while_a_retry_takes_tasks_from_it_also_through_others() -> None:
    own, second = ended(), again("second", status=ended().status | PINNED)
    third = again("third", "second")

    def held(*jobs: Resource, known: tuple[Key, ...] = (), waiting: bool = False) -> str | None:
        def find(key: Key) -> list[Resource]:
            return [each for each in jobs if retry.source_key(each) == key]

        return retry.is_held(find, own, known, waiting=waiting)

    assert held(second) is None
    assert held(second, third) is None
    assert held(second, third, known=(third.key,)) == "third"
    begun = {"retryOf": {"uid": "second-1", "tasks": 1, "settings": {}}}
    assert held(second, again("third", "second", status=begun)) == "third"
    assert held(again(status=PINNED | {"tasksFingerprint": "x"})) is None
    assert held(again(status=PINNED, suspend=True)) is None
    assert held(again(status=PINNED | {"account": "default/main"}, suspend=True)) == "more"
    # Those that could not begin count where nobody has asked for the deletion.
    assert held(again()) is None
    assert held(again(), waiting=True) == "more"
    assert held(again(suspend=True), waiting=True) is None
    assert held(again(managedBy="someone.example/else"), waiting=True) is None
    assert held(again(status=PINNED, managedBy="someone.example/else")) is None
    refused = {"type": "Ready", "status": "False", "reason": "NothingToRetry", "lastTransitionTime": LONG_AGO}
    assert held(again(status={"conditions": [refused]}), waiting=True) is None
    assert held(again(status={"conditions": [refused | {"reason": "RetryJobChanged"}]}), waiting=True) == "more"
    # Jobs that name each other, or themselves, end nothing.
    assert held(again("own", status=PINNED)) is None


def test_jobs_that_name_each_other_have_no_source() -> None:
    jobs = {each.key: each for each in (again("one", "two"), again("two", "one"), again("own", "own"))}
    assert [retry.source(jobs.get, each) for each in jobs.values()] == [None, None, None]
    jobs |= {each.key: each for each in (ended(), again("two", "own"))}
    assert retry.source(jobs.get, again("three", "two")) == jobs[ended().key]


def test_stand_ins_count_tasks_and_nothing_else() -> None:
    assert expand.total(JobTerms.of(retry.stand_ins(7))) == 7


def test_ids_keep_the_digits_that_they_have_in_azure_batch() -> None:
    factory = {"repeat": {"count": 50}, "repeatTask": {"commandLine": "{0}"}}
    assert chosen({"taskFactory": factory}, "007", "049") == {"007": {"commandLine": "7"}, "049": {"commandLine": "49"}}


def test_tasks_that_the_factory_no_longer_makes_are_not_left_out_silently() -> None:
    factory = {"repeat": {"count": 50}, "repeatTask": {"commandLine": "{0}"}}
    spec = {"taskFactory": factory, "tasks": [{"id": "999", "commandLine": "x"}]}
    with pytest.raises(ResolutionError, match="no longer generates tasks '050' and 99 more, which have not") as caught:
        chosen(spec, *(f"{number:03}" for number in range(150)), "999")
    assert caught.value.reason == "RetryTasksUnknown"


def test_many_tasks_are_held_in_a_few_bytes_each() -> None:
    import tracemalloc

    number = 20_000
    factory = {"repeat": {"count": number}, "repeatTask": {"commandLine": "x" * 300 + " {0}"}}
    ids = {f"{each:05}" for each in range(0, number, 2)}
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    found = retry.chosen({"taskFactory": factory}, ids, set())
    held = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert held < 200_000
    assert len(found) == number // 2
    assert next(iter(found))["id"] == "00000"
    assert found[-1]["id"] == "19998"
    assert retry.weight(found) == number // 2


def test_ids_of_any_form_are_told_apart() -> None:
    ids = retry.Ids({"07", "08", "7", "merge", "9" * 40})
    assert [each for each in ("07", "7", "8", "007", "merge", "9" * 40, "9" * 39) if each in ids] == [
        "07", "7", "merge", "9" * 40,
    ]  # fmt: skip
    assert len(ids) == 5
    depends = Depends(task_ids=("MERGE", "x"), task_id_ranges=(IdRange(start=0, end=10),))
    assert ids.of(depends).body == {
        "taskIds": ["MERGE"],
        "taskIdRanges": [{"start": 7, "end": 8}],
    }


def test_tasks_that_can_never_run_are_found_from_dependencies_alone() -> None:
    listed = [
        {"id": "bad", "commandLine": "x"},
        {"id": "after", "commandLine": "x", "dependsOn": {"taskIds": ["bad"]}, "requiredSlots": 2},
        {"id": "last", "commandLine": "x", "dependsOn": {"taskIds": ["after"]}, "requiredSlots": 3},
    ]
    found = retry.chosen({"tasks": listed}, {"bad", "after", "last"}, set())
    assert (found.depending, found.least_slots, found.let_in) == (2, 1, False)
    spec = {"tasks": found}
    assert expand.needs_dependencies(JobTerms.of(spec))
    assert expand.independent(JobTerms.of(spec)) == 1
    assert set(found.followed or ()) == {"after", "last"}


def test_tasks_that_may_add_others_are_told_from_those_that_run_again_alone() -> None:
    token = {"authenticationTokenSettings": {"access": ["job"]}}
    spec = {"tasks": [{"id": "a", "commandLine": "x"}, {"id": "b", "commandLine": "x", **token}]}
    chosen = {ids: {"tasks": retry.chosen(spec, set(ids), set())} for ids in ("a", "ab")}
    assert {ids: expand.adds_tasks(JobTerms.of(spec)) for ids, spec in chosen.items()} == {"a": False, "ab": True}
