"""How tasks, nodes and files are named, and whose credentials are used."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from azure_batch_kubectl import account, files_command, remote
from azure_batch_kubectl.failure import FailureError
from azure_batch_kubectl.objects import UnknownKindError
from azure_batch_kubectl.remote import Place
from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.batch import SharedKey
from azure_batch_operator.batch.entra import EntraCredential
from unit.kubectl.conftest import FakeCluster, thing

Run = Callable[..., Result]
GUID = "00000000-0000-0000-0000-000000000000"
REF = {"secretRef": {"name": "main-key", "key": "key"}}
PRINCIPAL = {"tenantId": GUID, "clientId": GUID}


def batch_account(**auth: Any) -> dict[str, Any]:
    made = thing("BatchAccount", "main", ("Ready", "True", "Connected", ""))
    return {**made, "spec": {"endpoint": "http://127.0.0.1:1", "accountName": "devaccount", "auth": auth}}


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("render", Place(Kind.JOB, "render")),
        ("bj/render", Place(Kind.JOB, "render")),
        ("render/t1", Place(Kind.JOB, "render", "t1")),
        ("bj/render/t1:wd/a:b", Place(Kind.JOB, "render", "t1", "wd/a:b")),
        ("bp/cpu/n1:startup", Place(Kind.POOL, "cpu", "n1", "startup")),
    ],
)
def test_places(text: str, place: Place) -> None:
    assert remote.place(text) == place


@pytest.mark.parametrize("text", ["", "render/", "a/b/c", "bp/cpu", "bj/a/b/c"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(UnknownKindError, match="names no task or node"):
        remote.place(text)


def test_credentials_are_made_of_what_the_account_says() -> None:
    key = base64.b64encode(b"k" * 64).decode()
    assert isinstance(account.credential_of(batch_account(sharedKey=REF), key), SharedKey)
    assert isinstance(account.credential_of(batch_account(clientSecret=PRINCIPAL | REF), "hush"), EntraCredential)
    reference = account.secret_of(batch_account(clientCertificate=PRINCIPAL | REF))
    assert reference is not None
    assert reference.name == "main-key"


IDENTITY = {"workloadIdentity": {"tenantId": GUID, "clientId": GUID, "serviceAccountRef": {"name": "batch"}}}


def azure_cli(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """A program `az` that does what a text of sh says."""
    program = folder / "az"
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def own_account(fake: FakeCluster, endpoint: str = "https://a.westeurope.batch.azure.com") -> None:
    """An account whose identity only the operator has."""
    made = batch_account(**IDENTITY)
    fake.add({**made, "spec": {**made["spec"], "endpoint": endpoint}})


def headers_of(fake: FakeCluster) -> Mapping[str, str]:
    """What signs a call to the account."""

    async def sign() -> Mapping[str, str]:
        async with account.signed_in(fake, ("team", "main")):  # type: ignore[arg-type]
            found = account.own_credential(await fake.get(Kind.ACCOUNT, "main"))
            return await found.sign(None, {})  # type: ignore[arg-type]

    return asyncio.run(sign())


def test_for_an_account_without_a_secret_the_user_signs_in(
    fake: FakeCluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    token = '{"accessToken": "mine", "expires_on": 4102444800, "tenant": "t", "tokenType": "Bearer"}'
    azure_cli(tmp_path, monkeypatch, f"echo \"$@\" > {tmp_path}/asked; echo '{token}'")
    own_account(fake)
    assert headers_of(fake) == {"Authorization": "Bearer mine"}
    assert "--resource https://batch.core.windows.net/" in (tmp_path / "asked").read_text()


def test_who_has_not_signed_in_is_told_how(fake: FakeCluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    azure_cli(tmp_path, monkeypatch, "echo \"ERROR: Please run 'az login' to setup account.\" >&2; exit 1")
    own_account(fake)
    with pytest.raises(FailureError, match=r"signs in without a Secret.*run az login as a user.*or let the operator"):
        headers_of(fake)


def test_the_users_token_is_not_sent_without_encryption(fake: FakeCluster) -> None:
    own_account(fake, "http://127.0.0.1:1")
    with pytest.raises(
        FailureError, match=r"your token is not sent to http://127\.0\.0\.1:1: use an endpoint with https"
    ):
        headers_of(fake)


@pytest.mark.parametrize(
    ("data", "text"),
    [({}, "has no key 'key'"), ({"key": "/w=="}, "is not text"), ({"key": base64.b64encode(b"x").decode()}, "key")],
)
def test_a_wrong_secret_is_said_without_its_value(fake: FakeCluster, run: Run, data: dict[str, str], text: str) -> None:
    fake.secrets["team", "main-key"] = data
    fake.add(batch_account(sharedKey=REF))
    fake.add({**thing("BatchJob", "render"), "spec": {"accountRef": {"name": "main"}}})
    done = run("logs", "render/t1")
    assert done.exit_code == 1
    assert text in done.stderr
    assert done.stderr.count("\n") == 1


def test_files_need_a_task_and_a_path(run: Run) -> None:
    assert "give JOB/TASK or bp/POOL/NODE" in run("files", "ls", "render").stderr
    assert "give JOB/TASK:PATH" in run("files", "cat", "render/t1").stderr
    assert "is not a task" in run("logs", "bp/cpu/n1").stderr


def test_a_single_resource_is_shown_without_what_the_protocol_adds() -> None:
    assert remote.plain({"odata.metadata": "http://x/$metadata#tasks", "id": "t", "state": "active"}) == {
        "id": "t",
        "state": "active",
    }


def test_rows_of_files() -> None:
    now = datetime(2026, 5, 1, 0, 1, tzinfo=UTC)
    file = {"name": "wd/a", "properties": {"contentLength": "5", "lastModified": "2026-05-01T00:00:00Z"}}
    assert files_command.row(file, now) == ("5", "60s", "wd/a")
    assert files_command.row({"name": "wd", "isDirectory": True}, now) == ("", "", "wd/")
    assert [files_command.below(each, "wd/") for each in ("wd", "wd/a", "wdx")] == [True, True, False]
