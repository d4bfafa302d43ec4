"""Requests are built as values, and refuse what cannot be meant."""

from datetime import UTC, datetime, timedelta, timezone
from types import MappingProxyType

import pytest
from yarl import URL

from azure_batch_operator.batch import OPERATIONS, MalformedResponseError, UsageError
from azure_batch_operator.batch.models import PoolCreate, StartTask, TaskSchedulingPolicy
from azure_batch_operator.batch.requests import build, next_page

GET_POOL = OPERATIONS["Pools_GetPool"]
LIST_POOLS = OPERATIONS["Pools_ListPools"]
CREATE_POOL = OPERATIONS["Pools_CreatePool"]
GET_FILE = OPERATIONS["Tasks_GetTaskFile"]
FILE = {"jobId": "j", "taskId": "t", "filePath": "wd/a b.txt"}


def test_path_segments_are_encoded_once_with_slashes() -> None:
    assert build(GET_FILE, FILE).path == "/jobs/j/tasks/t/files/wd%2Fa%20b.txt"
    assert build(OPERATIONS["Jobs_GetJob"], {"jobId": "nightly:job-1"}).path == "/jobs/nightly%3Ajob-1"


def test_certificate_path_keeps_its_parentheses() -> None:
    request = build(OPERATIONS["Certificates_GetCertificate"], {"thumbprintAlgorithm": "sha1", "thumbprint": "ab"})
    assert request.path == "/certificates(thumbprintAlgorithm=sha1,thumbprint=ab)"


def test_query_is_sorted_lower_case_and_encoded() -> None:
    query = {"$filter": "state eq 'active'", "$select": ["id", "state"], "maxresults": 5, "$expand": None}
    request = build(LIST_POOLS, {}, query=query, options={"timeout": 45})
    assert request.query == (
        "$filter=state%20eq%20%27active%27&$select=id%2Cstate&api-version=2024-07-01.20.0&maxresults=5&timeout=45"
    )


def test_booleans_and_times_in_the_query() -> None:
    deleted = build(OPERATIONS["Jobs_DeleteJob"], {"jobId": "j"}, query={"force": True})
    assert "force=true" in deleted.query
    start = datetime(2024, 1, 2, 3, 4, tzinfo=timezone(timedelta(hours=1)))
    metrics = build(OPERATIONS["Pools_ListPoolUsageMetrics"], {}, query={"startTime": start})
    assert "starttime=2024-01-02T02%3A04%3A00Z" in metrics.query


def test_headers_of_a_call_with_a_body() -> None:
    options = {"client_request_id": "me", "return_client_request_id": True}
    request = build(CREATE_POOL, {}, body={"id": "p"}, options=options)
    assert request.body == b'{"id":"p"}'
    assert request.headers == {
        "Accept": "*/*",
        "Content-Type": "application/json; odata=minimalmetadata",
        "Content-Length": "10",
        "client-request-id": "me",
        "return-client-request-id": "true",
    }


@pytest.mark.parametrize("operation", ["Pools_DeletePool", "Pools_StopPoolResize", "Pools_DisablePoolAutoScale"])
def test_writes_without_a_body_say_that_its_length_is_zero(operation: str) -> None:
    assert build(OPERATIONS[operation], {"poolId": "p"}).headers["Content-Length"] == "0"


def test_reads_have_no_content_length() -> None:
    request = build(GET_POOL, {"poolId": "p"})
    assert "Content-Length" not in request.headers
    assert request.headers["Accept"] == "application/json"


@pytest.mark.parametrize(("given", "sent"), [("0x8D1", '"0x8D1"'), ('"0x8D1"', '"0x8D1"'), ("*", "*")])
def test_etags_are_quoted_once(given: str, sent: str) -> None:
    assert build(GET_POOL, {"poolId": "p"}, options={"if_match": given}).headers["If-Match"] == sent


def test_times_of_conditions_are_rfc_1123() -> None:
    options = {"if_unmodified_since": datetime(2014, 7, 29, 21, 49, 13, tzinfo=UTC)}
    headers = build(GET_FILE, FILE, options=options).headers
    assert headers["If-Unmodified-Since"] == "Tue, 29 Jul 2014 21:49:13 GMT"


def test_byte_range_includes_both_ends() -> None:
    assert build(GET_FILE, FILE, byte_range=(0, 99)).headers["ocp-range"] == "bytes=0-99"


@pytest.mark.parametrize("pool_id", ["", ".", ".."])
def test_ids_that_would_call_something_else_are_refused(pool_id: str) -> None:
    with pytest.raises(UsageError, match="poolId"):
        build(OPERATIONS["Pools_DeletePool"], {"poolId": pool_id})


@pytest.mark.parametrize(
    ("operation", "arguments", "keywords", "words"),
    [
        (GET_POOL, {"poolId": "p"}, {"options": {"if_match": "a", "if_none_match": "b"}}, "only one"),
        (GET_FILE, FILE, {"options": {"if_match": "a"}}, "takes no If-Match"),
        (GET_POOL, {"poolId": "p"}, {"options": {"if_modified_since": datetime(2024, 1, 1)}}, "time zone"),  # noqa: DTZ001
        (GET_POOL, {"poolId": "p"}, {"options": {"if_modified_since": "yesterday"}}, "cannot be"),
        (GET_POOL, {"poolId": "p"}, {"query": {"$filter": "x"}}, "takes no \\$filter"),
        (LIST_POOLS, {}, {"query": {"maxresults": 0}}, "at least 1"),
        (LIST_POOLS, {}, {"query": {"$filter": ""}}, "empty"),
        (LIST_POOLS, {}, {"query": {"$select": ()}}, "empty"),
        (GET_FILE, FILE, {"byte_range": (5, 4)}, "byte range"),
        (GET_POOL, {"poolId": "p"}, {"byte_range": (0, 4)}, "byte range"),
        (GET_POOL, {"poolId": "p"}, {"body": {}}, "takes no body"),
        (CREATE_POOL, {}, {}, "needs a body"),
        (CREATE_POOL, {}, {"body": {"id": object()}}, "cannot be written"),
    ],
)
def test_misuse_is_refused_before_anything_is_sent(operation, arguments, keywords, words) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        build(operation, arguments, **keywords)
    assert caught.value.operation == operation.id
    assert isinstance(caught.value, ValueError)


def test_models_and_other_mappings_are_bodies_too() -> None:
    pool = PoolCreate(id="p", vm_size="s", start_task=StartTask(command_line="x"))
    assert build(CREATE_POOL, {}, body=pool).body == b'{"id":"p","vmSize":"s","startTask":{"commandLine":"x"}}'
    mixed = MappingProxyType({"id": "p", "startTask": StartTask(command_line="x")})
    assert build(CREATE_POOL, {}, body=mixed).body == b'{"id":"p","startTask":{"commandLine":"x"}}'


def test_a_model_with_a_value_of_tomorrow_is_refused() -> None:
    policy = TaskSchedulingPolicy.read({"nodeFillType": "Heap"})
    with pytest.raises(UsageError, match="Heap"):
        build(CREATE_POOL, {}, body={"id": "p", "taskSchedulingPolicy": policy})


def test_a_body_does_not_show_in_the_repr() -> None:
    request = build(OPERATIONS["Nodes_CreateNodeUser"], {"poolId": "p", "nodeId": "n"}, body={"password": "hunter2"})
    assert "hunter2" not in repr(request)


ORIGIN = URL("http://127.0.0.1:8080")


def test_a_next_link_is_taken_verbatim() -> None:
    first = build(LIST_POOLS, {})
    link = "http://127.0.0.1:8080/pools?maxResults=1&api-version=x&$skiptoken=WATV2:P1a^o079Ch/xP3:1$1"
    assert (
        next_page(first, link, ORIGIN).target == "/pools?maxResults=1&api-version=x&$skiptoken=WATV2:P1a^o079Ch/xP3:1$1"
    )


@pytest.mark.parametrize(
    "link",
    [
        "http://evil.example/pools?x",
        "https://127.0.0.1:8080/pools",
        "http://127.0.0.1:8081/pools",
        "http://127.0.0.1:8080@evil.example/pools",
        "/pools?$skiptoken=1",
        "//evil.example/pools",
        "http://[::1",
        "",
    ],
)
def test_a_next_link_that_leads_away_is_not_followed(link: str) -> None:
    with pytest.raises(MalformedResponseError, match="does not lead to"):
        next_page(build(LIST_POOLS, {}), link, ORIGIN)


def test_a_next_link_cannot_smuggle_a_header() -> None:
    link = "http://127.0.0.1:8080/pools?a=1\r\nX-Evil: yes"
    target = next_page(build(LIST_POOLS, {}), link, ORIGIN).target
    assert not set(target) & set("\r\n ")
