"""How the user names objects, and how ages are shown."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from azure_batch_kubectl import objects
from azure_batch_operator.api.kinds import Kind

NOW = datetime(2026, 5, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "word",
    ["bj", "batchjob", "batchjobs", "BatchJob", "batchjobs.azurebatch.io", "batchjobs.v1alpha1.azurebatch.io"],
)
def test_a_kind_has_the_names_that_kubectl_takes(word: str) -> None:
    assert objects.target([f"{word}/render"]) == (Kind.JOB, "render")
    assert objects.target([word, "render"]) == (Kind.JOB, "render")


@pytest.mark.parametrize("words", [["render"], ["bj/"], ["bj", "a", "b"], ["pod", "x"], ["bj/a/b"]])
def test_anything_else_is_refused_with_the_value(words: list[str]) -> None:
    with pytest.raises(objects.UnknownKindError, match=words[0]):
        objects.target(words)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (119, "119s"), (125, "2m5s"), (1800, "30m"), (7 * 3600 + 60, "7h1m"), (86400, "24h"), (864000, "10d")],
)
def test_ages_are_those_of_kubectl(seconds: int, text: str) -> None:
    assert objects.age((NOW - timedelta(seconds=seconds)).isoformat(), NOW) == text


def test_the_account_is_that_of_the_status_before_that_of_the_spec() -> None:
    pool = {"kind": "BatchPool", "metadata": {"name": "p", "namespace": "team"}, "spec": {"accountRef": {"name": "a"}}}
    assert objects.account_of(pool) == ("team", "a")
    assert objects.account_of({**pool, "status": {"account": "shared/b"}}) == ("shared", "b")
    job = {"kind": "BatchJob", "metadata": {"name": "j", "namespace": "team"}, "spec": {"poolRef": {"name": "p"}}}
    assert objects.account_of(job, None) is None
    assert objects.account_of(job, pool) == ("team", "a")
