"""Signatures: what is accepted and what is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from azure_batch_emulator.web import sharedkey
from azure_batch_emulator.wire.errors import BatchError
from azure_batch_emulator.wire.ticks import TICKS_PER_SECOND, parse_http_date

KEY = b"a key of the account"
DATE = "Tue, 29 Jul 2014 21:49:13 GMT"
NOW = parse_http_date(DATE)


def verify(method: str, path: str, query: str, headers: dict[str, str], signed: str, now: int = NOW) -> str:
    sent = headers | {"Authorization": f"SharedKey myaccount:{sharedkey.sign(KEY, signed)}"}
    return sharedkey.verify(method, path, query, sent, {"myaccount": KEY}, now)


def test_the_documented_example() -> None:
    signed = (
        "GET\n\n\n\n\n\n\n\n\n\n\n\n"
        "ocp-date:Tue, 29 Jul 2014 21:49:13 GMT\n/myaccount/jobs\napi-version:2014-04-01.1.0\ntimeout:20"
    )
    query = "timeout=20&api-version=2014-04-01.1.0"
    assert verify("GET", "/jobs", query, {"ocp-date": DATE}, signed) == "myaccount"
    assert next(sharedkey.strings_to_sign("GET", "myaccount", "/jobs", query, {"ocp-date": DATE})) == signed


def test_names_of_parameters_in_either_casing() -> None:
    head = f"GET\n\n\n\n\n\n\n\n\n\n\n\nocp-date:{DATE}\n/myaccount/jobs"
    query = "$filter=state%20eq%20%27active%27&timeOut=45"
    for names in ("\n$filter:state eq 'active'\ntimeout:45", "\n$filter:state eq 'active'\ntimeOut:45"):
        assert verify("GET", "/jobs", query, {"ocp-date": DATE}, head + names) == "myaccount"


def test_a_path_signed_escaped_and_sent_plain() -> None:
    head = f"GET\n\n\n\n\n\n\n\n\n\n\n\nocp-date:{DATE}\n/myaccount/jobs/"
    for path in ("s:job-1", "s%3Ajob-1"):
        for signed in ("s:job-1", "s%3Ajob-1"):
            assert verify("GET", f"/jobs/{path}", "", {"ocp-date": DATE}, head + signed) == "myaccount"


def test_a_post_without_a_body_signs_zero_or_nothing() -> None:
    for length in ("0", ""):
        signed = f"POST\n\n\n{length}\n\n\n\n\n\n\n\n\nocp-date:{DATE}\n/myaccount/jobs/j/enable"
        headers = {"ocp-date": DATE, "Content-Length": "0"}
        assert verify("POST", "/jobs/j/enable", "", headers, signed) == "myaccount"


@given(
    method=st.sampled_from(["GET", "POST", "DELETE"]),
    query=st.text(alphabet="abc=&", max_size=12),
    change=st.sampled_from(["method", "path", "header", "key"]),
)
def test_any_change_breaks_the_signature(method: str, query: str, change: str) -> None:
    headers = {"ocp-date": DATE, "content-type": "application/json", "content-length": "17"}
    signed = next(sharedkey.strings_to_sign(method, "myaccount", "/pools/p", query, headers))
    assert verify(method, "/pools/p", query, headers, signed) == "myaccount"
    key = KEY
    path = "/pools/p"
    if change == "method":
        method = "PUT"
    elif change == "path":
        path = "/pools/q"
    elif change == "header":
        headers = headers | {"content-length": "18"}
    else:
        key = b"another key"
    sent = headers | {"Authorization": f"SharedKey myaccount:{sharedkey.sign(key, signed)}"}
    with pytest.raises(BatchError) as caught:
        sharedkey.verify(method, path, query, sent, {"myaccount": KEY}, NOW)
    assert (caught.value.status, caught.value.code) == (403, "AuthenticationFailed")


@pytest.mark.parametrize(("minutes", "accepted"), [(-16, False), (-14, True), (14, True), (16, False)])
def test_the_clock_may_be_off_by_a_quarter_of_an_hour(minutes: int, accepted: bool) -> None:
    signed = f"GET\n\n\n\n\n\n\n\n\n\n\n\nocp-date:{DATE}\n/myaccount/jobs"
    now = NOW + minutes * 60 * TICKS_PER_SECOND
    if accepted:
        assert verify("GET", "/jobs", "", {"ocp-date": DATE}, signed, now) == "myaccount"
    else:
        with pytest.raises(BatchError):
            verify("GET", "/jobs", "", {"ocp-date": DATE}, signed, now)


def test_a_date_is_needed() -> None:
    with pytest.raises(BatchError) as caught:
        verify("GET", "/jobs", "", {}, "GET\n\n\n\n\n\n\n\n\n\n\n\n/myaccount/jobs")
    assert caught.value.code == "AuthenticationFailed"
