"""Each reader of text from outside, under attack: a value or the error that it documents, small, and with nothing planted in it.

Texts of users in ConfigMaps have tests of their own (`reconcile/test_documents.py`, `reconcile/test_parsers.py`), and so have the
shapes of answers and objects (`test_shapes.py`). `tests/security/defenses.yaml` lists all readers, and a test that each has one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from azure_batch_operator import settings as settings_
from azure_batch_operator.api.base import HOLDS_METADATA, TASKS_METADATA
from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.pool import PoolSpec
from azure_batch_operator.api.resource import Key, Resource
from azure_batch_operator.batch import HostPolicy, SharedKey
from azure_batch_operator.batch.endpoints import KNOWN_SUFFIXES, is_loopback
from azure_batch_operator.batch.entra import Authority, sign_in_error
from azure_batch_operator.batch.errors import BatchError, EndpointRefusedError, MalformedResponseError, UsageError
from azure_batch_operator.batch.job_wire import Job
from azure_batch_operator.batch.operations import OPERATIONS
from azure_batch_operator.batch.pool_wire import Pool
from azure_batch_operator.batch.requests import build, next_page
from azure_batch_operator.batch.responses import (
    Response,
    error_of,
    file_properties,
    json_object,
    page,
    parse_http_date,
    parse_retry_after,
    receipt,
    task_add_results,
)
from azure_batch_operator.batch.wire import TaskFailure
from azure_batch_operator.batch.wire import build as struct
from azure_batch_operator.handlers import watch
from azure_batch_operator.kube import api, values
from azure_batch_operator.kube.leases import Lease
from azure_batch_operator.reconcile import value_references as resolve
from azure_batch_operator.reconcile.job import changes as job_changes
from azure_batch_operator.reconcile.job import expand, failures
from azure_batch_operator.reconcile.job import suspension as job_hold
from azure_batch_operator.reconcile.job import task_sources as sources
from azure_batch_operator.reconcile.job.spec import JobTerms
from azure_batch_operator.reconcile.ownership import Owner
from azure_batch_operator.reconcile.pool import cost as pool_cost
from azure_batch_operator.reconcile.pool.spec import Prices
from azure_batch_operator.reconcile.value_references import ResolutionError, Source
from azure_batch_operator.sync.polls.base import tail_of
from azure_batch_operator.sync.polls.schedules import last_ids
from support.hostile import ATTACK, SECRET, SECRETS, TEXTS, VALUES, leaks

ORIGIN = URL("https://a.westeurope.batch.azure.com")
LIST = build(OPERATIONS["Pools_ListPools"], {})
REFERENCE = {"name": "more", "key": "tasks"}
SOURCE = Source("ConfigMap", "more", "tasks")
HEADERS = st.dictionaries(
    st.sampled_from(["content-type", "retry-after", "date", "request-id", "etag", "last-modified", "content-length",
                     "ocp-batch-file-url", "ocp-creation-time", "ocp-batch-file-isdirectory"]),
    TEXTS | st.sampled_from(["application/json", "²", "٣", "9" * 5000, "Mon, 01 Jan 0001 00:00:00 GMT", "-1", "1e9"]),
)  # fmt: skip
BODIES = (
    VALUES.map(lambda value: json.dumps(value).encode())
    | TEXTS.map(lambda text: text.encode(errors="replace"))
    | st.fixed_dictionaries(
        {}, optional={"code": VALUES, "message": VALUES | st.fixed_dictionaries({"value": TEXTS}), "value": VALUES,
                      "values": st.lists(st.fixed_dictionaries({"key": VALUES, "value": VALUES}), max_size=2) | VALUES,
                      "odata.nextLink": VALUES, "details": VALUES, "reason": VALUES},
    ).map(lambda body: json.dumps(body).encode())
)  # fmt: skip
ANSWERS = st.builds(Response, st.sampled_from([200, 400, 401, 403, 404, 409, 412, 422, 429, 500, 503]), HEADERS, BODIES)
JSON_ANSWERS = st.builds(Response, st.just(200), st.just({"content-type": "application/json"}), BODIES)


@dataclass(frozen=True)
class Reader:
    """Something that reads text from outside.

    Attributes:
        given: what it is attacked with.
        read: the call; what it returns is looked at as well.
        refuses: exceptions that it documents.
        shown: whether what it returns is for people; else only its refusals are looked at.
    """

    given: st.SearchStrategy[Any]
    read: Callable[[Any], Any]
    refuses: tuple[type[Exception], ...] = ()
    shown: bool = False


def listed(answer: Response) -> Any:
    """A page of pools, read from an answer."""
    return page(json_object(answer, "Pools_ListPools"), answer, "Pools_ListPools", "id")


def added(answer: Response) -> Any:
    """The results of a task collection."""
    body = json_object(answer, "Tasks_CreateTaskCollection")
    return task_add_results(body, answer, "Tasks_CreateTaskCollection")


def tasks_of(text: str) -> None:
    """Bodies of all tasks that a ConfigMap holds; they can be sent."""
    source = {"configMapKeyRef": REFERENCE}
    spec: dict[str, Any] = {"tasksFrom": [source]}
    whole = spec | sources.inlined(spec, {SOURCE: text})
    if not expand.problems(JobTerms.of(whole)):
        for body in expand.expand(whole, "j"):
            orjson.dumps(body)


def cost(text: str) -> Any:
    """What a pool costs by a price list."""
    found = pool_cost.cost(
        Prices(name="more", key="tasks"), text, Pool(id="p", vm_size="a", current_dedicated_nodes=3), None
    )
    return found.problem or found.per_hour


def noted(text: str) -> Any:
    """Notes in the metadata of a job, which whoever can write to the account can write."""
    items = [{"name": name, "value": text} for name in (HOLDS_METADATA, TASKS_METADATA)]
    job = struct(Job, {"id": "j", "metadata": items})
    return job_changes.noted_tasks(job), job_hold.requeue_limit_exceeded(
        JobTerms.of({"backoff": {"maxRequeues": 1}}), job, job_hold.TasksView()
    )


def structured(text: str) -> Any:
    """A Secret that must hold a JSON object."""
    extension = {"name": "x", "publisher": "p", "type": "t", "protectedSettingsSecretRef": {"name": "s", "key": "k"}}
    spec = {"virtualMachineConfiguration": {"extensions": [extension]}}
    return resolve.filled(PoolSpec, spec, {Source("Secret", "s", "k"): text})


def settings_of(folder: Path, text: str) -> Any:
    """Settings from a file."""
    file = folder / "settings.yaml"
    file.write_bytes(text.encode(errors="surrogateescape") if _encodable(text) else b"\xff")
    return settings_.load({}, {}, str(file))


def _encodable(text: str) -> bool:
    return not re.search("[\ud800-\udc7f\udd00-\udfff]", text)


METADATA = {"namespace": "n", "name": "x", "uid": "u"}
TASK_LINES = st.sampled_from(
    ["{}", "- {{id: a, commandLine: {}}}", "- {{id: {}, commandLine: x}}", "- {{id: a, commandLine: x, {}: 1}}"]
)
YAML_VALUES = TEXTS | st.sampled_from(
    [
        "!!binary aGk=",
        "!!set {a}",
        "2026-01-01",
        ".inf",
        "!!bool x",
        "{1: 2}",
        "&a [*a]",
        "!!omap [{a: 1}]",
        '"\\ud800"',
        "~",
    ]
)
NODES = st.builds(lambda form, value: form.replace("{}", value), TASK_LINES, YAML_VALUES)
RESULTS = st.lists(
    st.fixed_dictionaries(
        {}, optional={"taskId": VALUES, "status": st.sampled_from(["Success", "ClientError"]) | VALUES, "error": VALUES}
    ),
    max_size=3,
).map(lambda items: Response(200, {"content-type": "application/json"}, json.dumps({"value": items}).encode()))  # fmt: skip

SCHEMES = ["https://", "http://", "HTTPS://", "", "https:", "//"]

READERS: dict[str, Reader] = {
    "error body": Reader(ANSWERS, lambda answer: error_of(answer, "Pools_CreatePool"), shown=True),
    "page of a list": Reader(JSON_ANSWERS | ANSWERS, listed, (MalformedResponseError,)),
    "results of a task collection": Reader(RESULTS | ANSWERS, added, (MalformedResponseError,)),
    "receipt": Reader(ANSWERS, lambda answer: receipt(answer, None)),
    "properties of a file": Reader(HEADERS, file_properties),
    "Retry-After": Reader(
        HEADERS, lambda headers: parse_retry_after(headers.get("retry-after"), parse_http_date(headers.get("date")) or _SINCE)
    ),
    "link to the next page": Reader(TEXTS, lambda link: next_page(LIST, link, ORIGIN), (MalformedResponseError,)),
    "endpoint": Reader(TEXTS, HostPolicy().check, (EndpointRefusedError,)),
    "authority": Reader(TEXTS, lambda host: Authority(host).options(), (UsageError,)),
    "key of an account": Reader(TEXTS, lambda key: repr(SharedKey("a", key)), (UsageError,), shown=True),
    "failed sign-in": Reader(TEXTS, lambda text: sign_in_error(ValueError(text), "somebody"), shown=True),
    "response of the API server": Reader(
        ANSWERS, lambda answer: api._document(answer.status, answer.headers, answer.body), (api.KubeError,)
    ),
    "value of a Secret": Reader(VALUES, lambda value: values._text("Secret", {"data": {"k": str(value)}}, "k")),
    "value of a ConfigMap": Reader(VALUES, lambda value: values._text("ConfigMap", {"data": {"k": value}}, "k")),
    "Secret of JSON": Reader(TEXTS | VALUES.map(json.dumps), structured, (ResolutionError,)),
    "object of the API server": Reader(
        st.fixed_dictionaries(
            {"kind": st.sampled_from(list(Kind)), "metadata": st.just(METADATA), "spec": VALUES, "status": VALUES}
        ),
        Resource.parse,
    ),
    "account in a status": Reader(VALUES, Key.of_account),
    "marker": Reader(TEXTS, Owner.parse),
    "notes of a job": Reader(TEXTS | st.sampled_from(["²", "a/²", "9" * 5000, "a/" + "9" * 5000]), noted),
    "recent job of a schedule": Reader(TEXTS.map(lambda text: f"s:job-{text}"), last_ids),
    "tasks of a ConfigMap": Reader(NODES | VALUES.map(json.dumps), tasks_of, (ResolutionError,)),
    "prices": Reader(NODES.map(lambda text: f"a: {text}") | TEXTS | VALUES.map(json.dumps), cost),
    "output of a task": Reader(
        st.binary() | TEXTS.map(lambda text: text.encode(errors="replace")), lambda data: tail_of(data, 20), shown=True
    ),
    "failure of a task": Reader(
        st.lists(st.fixed_dictionaries({"name": TEXTS, "value": TEXTS}), max_size=3),
        lambda details: failures.explained(struct(TaskFailure, {"details": details})), shown=True,
    ),
}  # fmt: skip
_SINCE = parse_http_date("Thu, 01 Jan 2026 00:00:00 GMT")


@pytest.mark.parametrize("name", READERS)
@ATTACK
@given(data=st.data())
def test_a_reader_takes_or_refuses_whatever_comes(name: str, data: st.DataObject) -> None:
    reader = READERS[name]
    given_ = data.draw(reader.given)
    said, cause = "", None
    try:
        found = reader.read(given_)
        said = f"{found}" if reader.shown else ""
        if isinstance(found, BatchError):
            said += repr(found)
    except reader.refuses as error:
        cause, said = error.__cause__, str(error)
    assert cause is None
    assert leaks(said) == []
    assert len(said) < 40_000


@pytest.mark.parametrize("secret", SECRETS)
def test_a_planted_secret_reaches_no_message(secret: str) -> None:
    body: Mapping[str, Any] = {
        "code": secret, "message": {"value": secret}, "values": [{"key": secret, "value": secret}, {"key": "a", "value": secret}],
    }  # fmt: skip
    headers = {"content-type": secret, "request-id": secret, "retry-after": secret}
    error = error_of(Response(400, headers, orjson.dumps(body)), "Pools_CreatePool")
    assert leaks(f"{error} {error!r} {error.args} {vars(error)}".replace("\\n", "")) == []
    with pytest.raises(MalformedResponseError) as refused:
        json_object(Response(200, headers, b"{}"), "x")
    assert leaks(str(refused.value)) == []


@ATTACK
@given(
    TEXTS,
    st.sampled_from(["https://", "http://", "HTTPS://", "", "https:", "//"]),
    st.sampled_from([*KNOWN_SUFFIXES, "", ".evil.example"]),
)
def test_no_endpoint_is_taken_that_credentials_must_not_go_to(text: str, scheme: str, suffix: str) -> None:
    try:
        url = HostPolicy().check(f"{scheme}{text}{suffix}")
    except EndpointRefusedError:
        return
    host = (url.host or "").rstrip(".").lower()
    assert is_loopback(host) or (url.scheme == "https" and host.endswith(KNOWN_SUFFIXES))
    assert (url.user, url.password, url.query_string, url.fragment) == (None, None, "", "")


@ATTACK
@given(TEXTS)
def test_no_link_leads_away_from_the_endpoint(text: str) -> None:
    for link in (text, f"https:{text}", f"{ORIGIN}{text}", f"{ORIGIN}@{text}", f"{ORIGIN}.{text}"):
        try:
            request = next_page(LIST, link, ORIGIN)
        except MalformedResponseError:
            continue
        assert URL(f"{ORIGIN}{request.target}", encoded=True).origin() == ORIGIN


@ATTACK
@given(
    text=TEXTS
    | st.sampled_from(
        ["a: 2026-13-45", "a: !!bool x", "a: !!int ''", "[" * 3000, "a: " + "9" * 5000, "workers: !!timestamp x"]
    )
)
def test_a_file_of_settings_is_taken_or_refused(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    try:
        settings_of(tmp_path_factory.getbasetemp(), text)
    except settings_.SettingsError:
        return


@ATTACK
@given(
    body=st.fixed_dictionaries({}, optional={"kind": VALUES, "metadata": VALUES, "spec": VALUES, "status": VALUES})
    | VALUES
)
async def test_an_event_that_is_no_object_ends_no_watch(body: Any) -> None:
    seen: list[Resource] = []
    observe = watch.observer(seen.append, seen.append, seen.append)
    for event in ({"type": "MODIFIED", "object": body}, body):
        await observe(event)
    assert seen == [] or all(isinstance(each, Resource) for each in seen)


@pytest.mark.parametrize("text", ["²", "9" * 5000, "-1", "1e9", "", "soon", "1.5"])
def test_a_retry_after_of_the_api_server_is_a_number_or_nothing(text: str) -> None:
    with pytest.raises(api.Busy) as refused:
        api._document(503, {"Retry-After": text}, b"{}")
    assert refused.value.retry_after is None


def test_a_lease_that_another_client_wrote_is_read_or_refused() -> None:
    body = {"metadata": {"resourceVersion": "1"}, "spec": {"holderIdentity": SECRET, "leaseDurationSeconds": None}}
    assert Lease.parse(body).duration == 0


SIGNED = f"https://a.blob.core.windows.net/c/f?sv=2024&sig={SECRET}&se=2030"
HIDDEN = f"s\u200big=\u001b[0m{SECRET}"


@pytest.mark.parametrize(
    ("name", "given_"),
    [
        ("tasks of a ConfigMap", json.dumps([{SIGNED: False}])),
        ("tasks of a ConfigMap", json.dumps([{f" {SIGNED}": False}])),
        ("error body", Response(400, {}, json.dumps({"values": [{"key": "a", "value": [HIDDEN]}]}).encode())),
        ("error body", Response(400, {}, json.dumps({"values": [{"key": {HIDDEN: 1}, "value": "a"}]}).encode())),
    ],
)
def test_known_leaks_are_fixed(name: str, given_: Any) -> None:
    reader = READERS[name]
    try:
        found = reader.read(given_)
        said = f"{found}{found!r}"
    except reader.refuses as error:
        said = str(error)
    assert leaks(said) == []
