"""Text from outside: no secrets, nothing that a terminal acts upon, and the same however often it passes."""

from __future__ import annotations

import json
import re
import time
import unicodedata
from urllib.parse import quote

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from azure_batch_operator.batch.errors import BatchError
from azure_batch_operator.batch.models.base import Prose
from azure_batch_operator.batch.models.jobs import JobSchedulingError
from azure_batch_operator.batch.models.nodes import NodeError
from azure_batch_operator.batch.models.pools import AutoScaleRun, AutoScaleRunError, ResizeError
from azure_batch_operator.batch.models.tasks import TaskFailureInfo
from azure_batch_operator.batch.redaction import LONGEST, names_secret, redact, safe, safe_text, without

PARTS = st.sampled_from(
    ["sig=", "sig%3D", "https://a/b?", "https://u:p@h/", "eyJhbGciOi.eyJ", "\x1b[31m", "\x9b", "\u202e",
     '"password": "', "Bearer ", "…"]
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m \x9b1mbold", "red bold"),
        ("\x1b]0;title\x07x\x1b]8;;http://a\x1b\\y", "xy"),
        ("evil\u202etxt.exe\u2066\u200b\u061c", "eviltxt.exe"),
        ("a\r\nb\tc\u2028d\x85e", "a\nb\tc\nde"),
        ("half \ud800 a pair", "half \ufffd a pair"),
        ("GET https://a.blob/c/b.bin?sv=1&sig=abc%2Bd&se=2 failed", "GET https://a.blob/c/b.bin?… failed"),
        ("sv=1&sig=abc%2Bd end", "sv=1&sig=… end"),
        ("url=https%3A%2F%2Fa%3Fsv%3D1%26sig%3Dabc", "url=https%3A%2F%2Fa%3Fsv%3D1%26sig%3D…"),
        ('{"accountKey": "Zm9v", "id": "x"}', '{"accountKey": "…", "id": "x"}'),
        ("AccountName=a;AccountKey=Zm9vYmFy==;End", "AccountName=a;AccountKey=…;End"),
        ("postgres://user:hush@db/x", "postgres://user:…@db/x"),
        ("Authorization: Basic dXNlcjpodXNo", "Authorization: Basic …"),
        ("-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----", "-----BEGIN PRIVATE KEY-----…-----END PRIVATE KEY-----"),
        ("exit code=137, name=x, 100% [====>]", "exit code=137, name=x, 100% [====>]"),
        ("grüße 你好 🎉", "grüße 你好 🎉"),
    ],
)  # fmt: skip
def test_what_is_left_of_a_text(text: str, shown: str) -> None:
    assert safe_text(text) == shown


@given(st.lists(PARTS | st.text(max_size=8), max_size=8).map("".join))
def test_any_text_is_safe_once_and_for_all(text: str) -> None:
    once = safe_text(text)
    assert safe_text(once) == once
    assert len(once) <= LONGEST
    assert {unicodedata.category(each) for each in once if each not in "\n\t"}.isdisjoint({"Cc", "Cf", "Cs"})
    orjson.dumps(once)


def test_no_control_or_format_character_is_forgotten() -> None:
    all_of_them = "".join(
        chr(code)
        for code in range(0x110000)
        if unicodedata.category(chr(code)) in {"Cc", "Cf"} and chr(code) not in "\n\t"
    )
    assert safe_text(f"a{all_of_them[:1]}") == "a"
    for start in range(0, len(all_of_them), 10):
        assert not {unicodedata.category(each) for each in safe_text(f"x{all_of_them[start : start + 10]}y")} & {
            "Cc",
            "Cf",
        }


@pytest.mark.parametrize(
    "part", ["http://", "a:", '"sig"', "eyJ", "https://a:b", "\x1b]", "-----BEGIN PRIVATE KEY-----", "sig="]
)
def test_no_text_takes_long(part: str) -> None:
    before = time.process_time()
    safe_text(part * (2 * LONGEST))
    assert time.process_time() - before < 2  # a quadratic pattern takes minutes


def test_a_text_that_is_not_cut_takes_no_longer() -> None:
    before = time.thread_time()
    redact("eyJ" * 40_000)
    assert time.thread_time() - before < 1  # a quadratic pattern takes seconds


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("xx-eyJhbGciOi.eyJzdWIi.c2ln yy", "xx-… yy"),
        ("eyJeyJhbGciOi.eyJzdWIi", "…"),
        ("eyJa.eyJhbGciOi.eyJzdWIi.sig", "eyJa.…"),
        ("eyJhbGciOi", "eyJhbGciOi"),
    ],
)
def test_a_token_is_found_within_a_word(text: str, left: str) -> None:
    assert redact(text) == left


def test_a_whole_status_is_safe_but_for_what_is_compared() -> None:
    status = {"a": [{"b": "x\x9b31m?sig=y"}], "n": 3, "handled": {"terminate": "\x1b"}}
    assert safe(status, raw=("handled",)) == {"a": [{"b": "x?sig=…"}], "n": 3, "handled": {"terminate": "\x1b"}}


def test_values_of_secrets_are_cut_out() -> None:
    secrets = ["hunter2", "line one\nline two", "abc", "hunter2-longer"]
    assert without("with hunter2-longer and hunter2, abc; line two", secrets) == "with … and …, abc; …"
    assert without("er2 is the end of one", ["hunter2"]) == "er2 is the end of one", "too short to be sure"
    assert without("nter2 is the end of one", ["hunter2"]) == "… is the end of one"
    assert without("the beginning of one: hunt", ["hunter2"]) == "the beginning of one: …"
    assert without("the beginning of one: hun", ["hunter2"]) == "the beginning of one: hun", "too short to be sure"


@pytest.mark.parametrize(
    "value",
    [
        "\ufeffcorrect-horse-battery",
        "Tr0ub4dor\u200b&3-horse",
        "ab\x1b[0mcd-efgh-password",
        "ab\rcd-efgh",
        "ab\x85cd-efgh",
        "amqps://user:pa55word-x@host/vhost?heartbeat=10",
        "https://store.example/c?sv=1&sig=abc",
        "first\u2028second line",
        'quo"ted \\ and bräcket',
    ],
)
def test_values_are_cut_out_of_texts_that_were_made_safe(value: str) -> None:
    for quoted in (
        value,
        json.dumps(value),
        json.dumps(value, ensure_ascii=False),
        quote(value),
        quote(value, safe=""),
    ):
        error = BatchError(safe_text(f"PropertyValue: [{quoted}] is not valid"), values={"Reason": safe_text(quoted)})
        error.hide({value, "another-value"})
        left = f"{error} {error.args}"
        for word in re.findall(r"[A-Za-z0-9]{4,}", safe_text(value)):
            assert word not in left
    assert without(safe_text("x" * (LONGEST - 9) + value), [value]).strip("x") in {"…", safe_text(value)[:3]}


def test_a_text_without_values_stays_as_it_is() -> None:
    error = BatchError("the pool is full", values={"Reason": "quota"})
    error.hide({"hunter2", "\ufeffcorrect-horse-battery"})
    assert (error.message, error.values) == ("the pool is full", {"Reason": "quota"})


def test_texts_of_the_service_are_made_safe_where_they_are_read() -> None:
    for model, names in (
        (ResizeError, {"message"}), (AutoScaleRunError, {"message"}), (AutoScaleRun, {"results"}), (NodeError, {"message"}),
        (TaskFailureInfo, {"message"}), (JobSchedulingError, {"message"}),
    ):  # fmt: skip
        marked = {
            name
            for name, info in model.model_fields.items()
            if "Reader" in repr(info) or "Reader" in repr(info.annotation)
        }
        assert names <= marked, model
    assert Prose


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        *((name, True) for name in ("password", "dbPassword", "STORAGE_ACCOUNT_KEY", "accountkey", "apiKey", "APP_TOKEN")),
        *((name, True) for name in ("client_secret", "connectionString", "workspace-shared-key", "Pwd", "SASToken")),
        *((name, False) for name in ("", "key", "keyVaultId", "maxTokens", "passwordSecretRef", "secretUri", "TOKENIZERS")),
    ],
)  # fmt: skip
def test_which_names_tell_of_a_secret(name: str, secret: bool) -> None:
    assert names_secret(name) is secret
