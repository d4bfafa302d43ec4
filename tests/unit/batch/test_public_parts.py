"""Of a value of a Secret, what is public stays in messages: the address of a container, a scheme, the edges of a key."""

from __future__ import annotations

import json

import pytest

from azure_batch_operator.batch.errors import BatchError
from azure_batch_operator.batch.redaction import safe_text, without

CONTAINER = "https://acct.blob.core.windows.net/results"
SAS = f"{CONTAINER}?sv=2022-11-02&sp=rwl&sig=AbCdEf123456789%3D"
KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nKCAQEA\n-----END RSA PRIVATE KEY-----\n"
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIDdz\n-----END CERTIFICATE-----\n"
SECRETS = [
    SAS,
    KEY,
    "Bearer abcdefghijkl",
    "password=hunter2-longer",
    "amqps://user:hush@queue.example/vhost",
    CERTIFICATE,
]


@pytest.mark.parametrize(
    "text",
    [
        f"The container {CONTAINER}?… could not be accessed",
        f"One of the specified Azure Blob container(s) was not found: {CONTAINER}",
        f"It was not found: {CONTAINER}?…",
        "the endpoint must use https",
        "the endpoint must begin with https://",
        "it listens to amqps://",
        "name  size\n-----------",
        "-----------\nname  size",
        "the file lacks -----BEGIN RSA PRIVATE KEY-----…",
        "-----END RSA PRIVATE KEY----- was expected",
        "-----END CERTIFICATE-----",
        "-----BEGIN RSA PRIVATE KEY-----…-----END RSA PRIVATE KEY-----",
        "the header is Authorization: Bearer …",
        "password=… is too short",
    ],
)
def test_what_is_public_of_a_value_stays(text: str) -> None:
    assert safe_text(text) == text
    assert without(text, SECRETS) == text


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (f"before {SAS} after", "before … after"),
        (f"cut off: {SAS[:-5]}", "cut off: …"),
        (f"cut off: {CONTAINER}?s", "cut off: …"),
        (SAS[20:], "…"),
        ("123456789%3D after", "… after"),
        (KEY[:40], "…"),
        ("QEA\n-----END RSA PRIVATE KEY-----", "…"),
        ("it begins with amqps://u", "it begins with …"),
        ("with Bearer abcdefghijkl in it", "with … in it"),
    ],
)
def test_what_is_not_public_of_a_value_is_cut_out_of_texts_as_they_are(text: str, left: str) -> None:
    assert without(text, SECRETS) == left


@pytest.mark.parametrize(
    "value",
    [
        "https://hooks.example/services/T0AB/B1CD?wait=1",
        "https://user:pa55word@acct.blob.core.windows.net/results?sv=2022-11-02&sig=abc",
        "Bearer abc\u200bdefghijkl",
        "password=first; and second-part",
    ],
)
def test_what_redaction_leaves_of_another_value_is_cut_out(value: str) -> None:
    for quoted in (value, json.dumps(value)):
        error = BatchError(safe_text(f"the value '{quoted}' is not valid"))
        error.hide([value])
        for secret in ("T0AB", "pa55word", "acct", "def", "second"):
            assert secret not in error.message


def test_the_address_stays_in_a_refusal_of_the_service() -> None:
    error = BatchError(safe_text(f"The container {SAS} could not be accessed"), values={"Reason": safe_text(SAS)})
    error.hide([SAS])
    assert error.message == f"The container {CONTAINER}?… could not be accessed"
    assert error.values == {"Reason": f"{CONTAINER}?…"}
