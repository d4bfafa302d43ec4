"""From a spec to the REST body: whatever the API describes goes through unchanged, and only what is ours or null stays behind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from azure_batch_operator.api.base import ApiModel, without_nulls
from azure_batch_operator.api.job import JobSpec
from azure_batch_operator.api.pool import PoolSpec
from azure_batch_operator.api.schedule import JobScheduleSpec
from azure_batch_operator.api.task import TaskSpec

DIGEST = json.loads((Path(__file__).parents[2] / "data" / "api-2024-07-01.20.0.json").read_text())
REFUSED = {"certificateReferences", "exactVersion"}
"""What the API server does not let in, so that it need not go through."""
FREE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)
SCALARS: dict[str, st.SearchStrategy[Any]] = {
    "string": st.text(max_size=8),
    "enum": st.sampled_from(["Pool", "admin", "TaskCompletion"]),
    "integer": st.integers(-(2**31), 2**31),
    "boolean": st.booleans(),
    "object": st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=2),
}


def bodies(shape: Any, name: str = "") -> st.SearchStrategy[Any]:
    """Values of a shape of the digest; any member may be missing or null."""
    if isinstance(shape, list):
        return st.lists(bodies(shape[0]), max_size=3)
    if isinstance(shape, int):
        members = {
            name: st.none() | bodies(child, name)
            for name, child in DIGEST["shapes"][shape].items()
            if name not in REFUSED
        }
        return st.fixed_dictionaries({}, optional=members)
    if name == "settings":
        return st.dictionaries(st.text(max_size=5), FREE, max_size=2)
    return SCALARS[shape]


def expected(shape: Any, value: Any) -> Any:
    """The value without nulls, as the shape knows it: what stands in free-form objects is not touched."""
    if isinstance(shape, list):
        return [expected(shape[0], item) for item in value]
    if isinstance(shape, int):
        children = DIGEST["shapes"][shape]
        return {name: expected(children[name], item) for name, item in value.items() if item is not None}
    return value


OURS = {PoolSpec: {"id"}, JobSpec: {"id"}, TaskSpec: {"id"}}


@pytest.mark.parametrize(
    ("operation", "model"),
    [
        ("Pools_CreatePool", PoolSpec),
        ("Jobs_CreateJob", JobSpec),
        ("Tasks_CreateTask", TaskSpec),
        ("JobSchedules_CreateJobSchedule", JobScheduleSpec),
    ],
)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_nothing_is_dropped_renamed_or_reordered(data: st.DataObject, operation: str, model: type[ApiModel]) -> None:
    shape = DIGEST["operations"][operation]["body"]
    spec = data.draw(bodies(shape))
    wanted = {name: value for name, value in expected(shape, spec).items() if name != "id"}
    for given_spec in (spec, without_nulls(spec)):
        body = model.rest_body(given_spec | {"accountRef": {"name": "main"}, "jobRef": {"name": "j"}})
        # The text compares the order of members and of lists as well.
        assert json.dumps(body) == json.dumps(wanted)


def test_ours_stay_behind() -> None:
    spec = {
        "id": "j", "poolRef": {"name": "p"}, "tasks": [], "tasksFrom": [], "taskFactory": {},
        "onDependencyFailure": "Fail", "priority": 3,
    }  # fmt: skip
    assert JobSpec.rest_body(spec) == {"priority": 3}
