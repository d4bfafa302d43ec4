"""Shared-key signatures agree with the documentation and with an independent implementation."""

import base64
import copy
import pickle
from datetime import UTC, datetime

import pytest
from azure.batch._patch import BatchSharedKeyAuthPolicy
from azure.core.credentials import AzureNamedKeyCredential
from azure.core.pipeline import PipelineContext, PipelineRequest
from azure.core.rest import HttpRequest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from azure_batch_operator.batch import OPERATIONS, SharedKey, UsageError
from azure_batch_operator.batch.auth import string_to_sign
from azure_batch_operator.batch.operations import Body, Operation
from azure_batch_operator.batch.requests import Request, build

KEY = base64.b64encode(b"not a real key, but long enough to look like one " * 2).decode()
DATE = "Tue, 29 Jul 2014 21:49:13 GMT"

_text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)
_ids = _text.filter(lambda text: text not in (".", ".."))
_times = st.datetimes(min_value=datetime(1970, 1, 2), max_value=datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
_etags = st.from_regex(r'(0x[0-9A-F]{1,16}|\*|"0x[0-9A-F]{1,16}")', fullmatch=True)
_query_values = {
    "maxresults": st.integers(1, 1000),
    "force": st.booleans(),
    "recursive": st.booleans(),
    "startTime": _times,
    "endtime": _times,
    "$select": st.lists(_text, min_size=1, max_size=4),
    "$expand": st.lists(_text, min_size=1, max_size=2),
    "$filter": _text,
}


def _placeholders(operation: Operation) -> list[str]:
    return [part.split("}")[0] for part in operation.path.split("{")[1:]]


@st.composite
def requests(draw: st.DrawFn) -> Request:
    operation = draw(st.sampled_from(list(OPERATIONS.values())))
    options: dict[str, object] = {
        "timeout": draw(st.none() | st.integers(1, 60)),
        "client_request_id": draw(st.none() | st.uuids().map(str)),
        "return_client_request_id": draw(st.booleans()),
    }
    if operation.conditions.value:
        header = draw(st.sampled_from([None, *operation.conditions.value]))
        if header is not None:
            value = _times if header.endswith("Since") else _etags
            options[header.lower().replace("-", "_")] = draw(value)
    needs_body = operation.body is Body.REQUIRED or (operation.body is Body.OPTIONAL and draw(st.booleans()))
    first = draw(st.integers(0, 1000))
    return build(
        operation,
        {name: draw(_ids) for name in _placeholders(operation)},
        query={name: draw(st.none() | _query_values[name]) for name in operation.query},
        body=draw(st.dictionaries(_text, _text, max_size=3)) if needs_body else None,
        options=options,
        byte_range=(first, first + draw(st.integers(0, 1000))) if operation.ranged and draw(st.booleans()) else None,
    )


# The first character table that hypothesis makes takes a second; that says nothing about the code under test.
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(request=requests())
async def test_the_signature_is_that_of_the_official_client(request: Request) -> None:
    headers = {**request.headers, "ocp-date": DATE}
    theirs = HttpRequest(request.method, f"https://acc.westeurope.batch.azure.com{request.target}", headers=headers)
    policy = BatchSharedKeyAuthPolicy(AzureNamedKeyCredential("acc", KEY))
    policy.on_request(PipelineRequest(theirs, PipelineContext(None)))
    ours = await SharedKey("acc", KEY).sign(request, headers)
    assert ours["Authorization"] == theirs.headers["Authorization"]


def test_every_operation_can_be_signed() -> None:
    for operation in OPERATIONS.values():
        body = {} if operation.body is Body.REQUIRED else None
        request = build(operation, dict.fromkeys(_placeholders(operation), "x"), body=body)
        text = string_to_sign(request, {**request.headers, "ocp-date": DATE}, "acc")
        assert text.startswith(f"{operation.verb}\n")
        assert text.endswith(f"ocp-date:{DATE}\n/acc{request.path}\napi-version:2024-07-01.20.0")
        assert text.count("\n") == 14


def test_the_documented_example() -> None:
    request = Request(OPERATIONS["Jobs_ListJobs"], "GET", "/jobs", "timeout=20&api-version=2014-04-01.1.0", {})
    assert string_to_sign(request, {"ocp-date": DATE}, "myaccount") == (
        "GET" + "\n" * 12 + f"ocp-date:{DATE}\n/myaccount/jobs\napi-version:2014-04-01.1.0\ntimeout:20"
    )


def test_names_are_lowered_and_values_decoded_sorted_and_joined() -> None:
    query = "timeOut=45&%24select=id%2Cstate&b=2&B=1&empty="
    request = Request(OPERATIONS["Jobs_ListJobs"], "GET", "/jobs", query, {})
    lines = string_to_sign(request, {}, "acc").split("\n")[13 - 1 :]
    assert lines == ["/acc/jobs", "$select:id,state", "b:1,2", "timeout:45"]


def test_the_key_shows_nowhere() -> None:
    key = SharedKey("acc", KEY)
    raw = base64.b64decode(KEY)
    assert repr(key) == "SharedKey(account='acc')"
    for text in (repr(vars(key)), str(vars(key)), f"{key._key}"):
        assert KEY not in text
        assert raw.decode() not in text
    with pytest.raises(TypeError, match="pickled"):
        pickle.dumps(key)
    with pytest.raises(TypeError, match="pickled"):
        copy.deepcopy(key)


@pytest.mark.parametrize("key", ["", "not base64!", "====", "a2V5=x"])
def test_a_key_that_is_not_base64_is_refused_without_showing_it(key: str) -> None:
    with pytest.raises(UsageError, match="not base64") as caught:
        SharedKey("acc", key)
    assert not key or key not in str(caught.value)
    assert caught.value.__cause__ is None


def test_an_account_without_a_name_is_refused() -> None:
    with pytest.raises(UsageError, match="empty"):
        SharedKey("", KEY)
