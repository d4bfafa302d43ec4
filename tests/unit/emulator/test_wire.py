"""Timestamps, ETags, durations, and the values of errors."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from azure_batch_emulator.wire.durations import INFINITE, INFINITE_TICKS, format_duration, parse_duration
from azure_batch_emulator.wire.errors import BatchError, invalid_property, invalid_query
from azure_batch_emulator.wire.ticks import (
    etag,
    format_http_date,
    format_timestamp,
    format_timestamp_full,
    format_timestamps,
    from_unix_ns,
    parse_http_date,
    parse_timestamp,
)

CENTURIES = st.integers(min_value=0, max_value=3_155_378_975_999_999_999)


def test_the_recorded_etag() -> None:
    assert etag(parse_timestamp("2024-10-24T01:15:21.4060208Z")) == "0x8DCF3C954A84EB0"


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("2025-01-02T03:04:45.000Z", "2025-01-02T03:04:45Z"),
        ("2025-01-02T03:04:38.789094Z", "2025-01-02T03:04:38.789094Z"),
        ("2025-01-02T03:04:05.123456789+00:00", "2025-01-02T03:04:05.1234567Z"),
        ("2025-01-02T03:04:05+02:30", "2025-01-02T00:34:05Z"),
        ("2025-01-02", "2025-01-02T00:00:00Z"),
        ("2025-01-02T03:04:05.0000001Z", "2025-01-02T03:04:05.0000001Z"),
        ("2025-01-02T03:04:05.0001000Z", "2025-01-02T03:04:05.0001Z"),
        ("2025-01-02T03:04:05.1200340Z", "2025-01-02T03:04:05.120034Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
    ],
)
def test_timestamps(text: str, normal: str) -> None:
    assert format_timestamp(parse_timestamp(text)) == normal


@given(CENTURIES)
def test_a_timestamp_survives_the_wire(ticks: int) -> None:
    assert parse_timestamp(format_timestamp(ticks)) == ticks
    assert parse_timestamp(format_timestamp_full(ticks)) == ticks
    assert len(format_timestamp_full(ticks)) == 28


@given(st.lists(st.none() | CENTURIES | CENTURIES.map(lambda ticks: ticks // 1000 * 1000)))
def test_a_column_of_timestamps_is_that_of_each(column: list[int | None]) -> None:
    assert format_timestamps(column) == [
        "" if ticks is None else format_timestamp(ticks).removesuffix("Z") for ticks in column
    ]


@given(CENTURIES, st.lists(st.integers(0, 9_999_999) | st.integers(0, 9_999).map(lambda rest: rest * 1000), min_size=1))
def test_a_column_of_one_second_is_that_of_each(some: int, rests: list[int]) -> None:
    column = [some // 10_000_000 * 10_000_000 + rest for rest in rests]
    assert format_timestamps(column) == [format_timestamp(ticks).removesuffix("Z") for ticks in column]


@given(st.integers(min_value=from_unix_ns(0), max_value=3_155_378_975_999_999_999))
def test_an_http_date_drops_less_than_a_second(ticks: int) -> None:
    assert 0 <= ticks - parse_http_date(format_http_date(ticks)) < 10_000_000


@pytest.mark.parametrize("text", ["", "yesterday", "2025-13-01T00:00:00Z", "2025-01-01T25:00:00Z", "1735689600"])
def test_no_timestamps(text: str) -> None:
    with pytest.raises(ValueError):
        parse_timestamp(text)


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("PT06M00S", "PT6M"),
        ("PT01H00M00S", "PT1H"),
        ("P3Y6M4DT12H30M5S", "P1279DT12H30M5S"),
        ("PT168H", "P7D"),
        ("P5D", "P5D"),
        ("PT90M", "PT1H30M"),
        ("PT0.5S", "PT0.5S"),
        ("PT0S", "PT0S"),
        (INFINITE, INFINITE),
        ("P10675199DT2H48M5.477S", "P10675199DT2H48M5.477S"),
    ],
)
def test_durations(text: str, normal: str) -> None:
    assert format_duration(parse_duration(text)) == normal


@pytest.mark.parametrize("text", ["PT7D", "P", "PT", "7D", "P1DT", "-PT5M", "PT5", "P10675200D", "PT1.5H", ""])
def test_no_durations(text: str) -> None:
    with pytest.raises(ValueError):
        parse_duration(text)


@given(st.integers(min_value=0, max_value=INFINITE_TICKS))
def test_a_duration_survives_the_wire(ticks: int) -> None:
    assert parse_duration(format_duration(ticks)) == ticks


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ({"keepAlive": False, "poolLifetimeOption": "job"}, '{"keepAlive": false, "poolLifetimeOption": "job"}'),
        ([1, None, "é"], '[1, null, "é"]'),
        (None, "null"),
        (True, "true"),
        (2.5, "2.5"),
        ("text", "text"),
        ("x" * 300, "x" * 256),
    ],
)
def test_values_of_errors_are_those_of_json(value: object, shown: str) -> None:
    for error in (invalid_property("p", value, "r"), invalid_query("p", value, "r")):
        (_, pair, _) = error.content("id", 0)["values"]
        assert pair["value"] == shown


def test_other_values_of_errors_are_those_of_json_too() -> None:
    (pair,) = BatchError("UnsupportedProperty", {"Reason": {"a": True}}).content("id", 0)["values"]
    assert pair["value"] == '{"a": true}'
