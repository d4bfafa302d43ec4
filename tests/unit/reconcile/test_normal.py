"""Comparing what was asked for with what the service returns must converge."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from azure_batch_operator.batch.job_wire import JobConstraints
from azure_batch_operator.reconcile import normalization as normal
from azure_batch_operator.reconcile.normalization import UNLIMITED, job_constraints, ticks


@pytest.mark.parametrize(
    ("sent", "returned"),
    [
        ("PT06M00S", "PT6M"),
        ("PT01H00M00S", "PT1H"),
        ("P3Y6M4DT12H30M5S", "P1279DT12H30M5S"),
        ("PT60M", "PT1H"),
        ("P7D", "P7D"),
        ("P1W", "P7D"),
        ("PT0.5S", "PT0.5S"),
    ],
)
def test_durations_of_the_reference(sent: str, returned: str) -> None:
    assert ticks(sent) == ticks(returned)


@pytest.mark.parametrize("text", ["", "P", "PT", "P1DT", "5M", "PT5", "P1H"])
def test_an_invalid_duration_is_rejected(text: str) -> None:
    with pytest.raises(ValueError, match="not an ISO 8601 duration"):
        ticks(text)


@given(st.integers(0, 10**6), st.integers(0, 59), st.integers(0, 9_999_999))
def test_every_digit_counts(minutes: int, seconds: int, fraction: int) -> None:
    assert ticks(f"PT{minutes}M{seconds}.{fraction:07}S") == (minutes * 60 + seconds) * 10_000_000 + fraction


def test_unset_limits_are_the_infinity_of_the_service() -> None:
    returned = JobConstraints(max_wall_clock_time=UNLIMITED, max_task_retry_count=0)
    for sent in (None, JobConstraints(), JobConstraints(max_task_retry_count=0)):
        assert job_constraints(sent) == job_constraints(returned)
    assert job_constraints(JobConstraints(max_wall_clock_time="PT1H")) != job_constraints(returned)


FULL_TASK: dict[str, Any] = {
    "id": "t", "displayName": "d", "commandLine": "true", "affinityInfo": {"affinityId": "a"}, "requiredSlots": 2,
    "environmentSettings": [{"name": "A", "value": "1"}], "resourceFiles": [{"httpUrl": "https://a.example", "filePath": "f"}],
    "containerSettings": {"imageName": "i", "registry": {"username": "u", "password": "p"}},
    "constraints": {"maxWallClockTime": "PT1H", "retentionTime": "P1D", "maxTaskRetryCount": 3},
    "userIdentity": {"autoUser": {"scope": "task", "elevationLevel": "admin"}}, "dependsOn": {"taskIds": ["other"]},
    "exitConditions": {"default": {"jobAction": "none", "dependencyAction": "satisfy"}},
    "multiInstanceSettings": {"numberOfInstances": 2, "coordinationCommandLine": "true"},
    "outputFiles": [{"filePattern": "*", "destination": {}, "uploadOptions": {"uploadCondition": "taskfailure"}}],
    "applicationPackageReferences": [{"applicationId": "a", "version": "1"}],
    "authenticationTokenSettings": {"access": ["job"]},
}  # fmt: skip
IN_THE_TASK = [
    ("displayName",), ("affinityInfo",), ("requiredSlots",), ("environmentSettings",), ("resourceFiles",), ("dependsOn",),
    ("containerSettings",), ("constraints", "maxWallClockTime"), ("constraints", "retentionTime"), ("constraints",),
    ("userIdentity",), ("userIdentity", "autoUser", "scope"), ("userIdentity", "autoUser", "elevationLevel"),
    ("exitConditions",), ("exitConditions", "default", "jobAction"), ("multiInstanceSettings", "numberOfInstances"),
    ("outputFiles",), ("outputFiles", 0, "uploadOptions"), ("applicationPackageReferences",),
    ("applicationPackageReferences", 0, "version"), ("authenticationTokenSettings",), ("resourceFiles", 0, "httpUrl"),
]  # fmt: skip


@pytest.mark.parametrize("path", IN_THE_TASK, ids=str)
def test_a_task_that_still_has_what_the_spec_has_ceased_to_mention_differs(path: tuple[Any, ...]) -> None:
    assert normal.has_no_more(FULL_TASK, FULL_TASK)
    wanted = copy.deepcopy(FULL_TASK)
    here: Any = wanted
    for step in path[:-1]:
        here = here[step]
    del here[path[-1]]
    assert normal.contains(FULL_TASK, wanted)
    assert not normal.has_no_more(FULL_TASK, wanted)
    assert normal.unlike(FULL_TASK, wanted, exact=True) == [path[0]]
    assert normal.unlike(FULL_TASK, wanted, exact=False) == []


@pytest.mark.parametrize("name", [name for name, value in FULL_TASK.items() if isinstance(value, list)])
@pytest.mark.parametrize("exact", [True, False])
def test_a_task_whose_list_is_longer_or_shorter_differs_in_it(name: str, exact: bool) -> None:
    longer = FULL_TASK | {name: FULL_TASK[name] * 2}
    assert normal.unlike(FULL_TASK, longer, exact=exact) == [name]
    assert normal.unlike(longer, FULL_TASK, exact=exact) == [name]


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted(FULL_TASK)), inner, max_size=3),
    max_leaves=6,
)
_TASKS = st.dictionaries(st.sampled_from(sorted(FULL_TASK)), _JSON)


@given(_TASKS, _TASKS)
def test_any_two_tasks_can_be_compared(there: dict[str, Any], wanted: dict[str, Any]) -> None:
    differing = normal.unlike(there, wanted, exact=True)
    assert differing == sorted(set(differing))
    assert normal.unlike(there, there, exact=True) == []


def test_defaults_of_the_service_are_no_difference() -> None:
    listed = {
        "id": "t", "commandLine": "true", "eTag": "0x1", "state": "active", "requiredSlots": 1,
        "userIdentity": {"autoUser": {"scope": "Pool", "elevationLevel": "nonAdmin"}},
        "constraints": {"maxWallClockTime": normal.UNLIMITED, "retentionTime": "P7D", "maxTaskRetryCount": 3},
        "resourceFiles": [{"httpUrl": "https://a.example", "filePath": "f", "fileMode": "0770"}],
        "multiInstanceSettings": {"coordinationCommandLine": "true", "numberOfInstances": 1},
    }  # fmt: skip
    wanted = {
        "id": "t", "commandLine": "true", "resourceFiles": [{"httpUrl": "https://a.example", "filePath": "f"}],
        "multiInstanceSettings": {"coordinationCommandLine": "true"}, "environmentSettings": [], "dependsOn": {},
    }  # fmt: skip
    assert normal.contains(listed, wanted)
    assert normal.has_no_more(listed, wanted), "retries are those of the job when the task was added"
