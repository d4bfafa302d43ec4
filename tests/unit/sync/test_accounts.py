"""Sessions of accounts: one that ends by a fault concerns its account alone, and what is no evidence judges none."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import replace
from typing import Any
from unittest import mock

import pytest

from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Key, Resource
from azure_batch_operator.batch import (
    AuthenticationError,
    AuthenticationKind,
    BatchError,
    DeadlineError,
    HostPolicy,
    NotSentError,
    ServerBusyError,
    SharedKey,
)
from azure_batch_operator.batch.transport import Call
from azure_batch_operator.kube.api import NotFound
from azure_batch_operator.reconcile.account.lifecycle import Health
from azure_batch_operator.sync import accounts as module
from azure_batch_operator.sync.accounts import Accounts, Listeners, Pacing, Session, Setup
from azure_batch_operator.sync.credentials import Prepared
from support.jumping_loop import run_jumping

GOOD, BAD = Key(Kind.ACCOUNT, "n", "good"), Key(Kind.ACCOUNT, "n", "bad")


def account(key: Key) -> Resource:
    return Resource.parse(
        {
            "kind": "BatchAccount",
            "metadata": {"namespace": key.namespace, "name": key.name, "uid": key.name, "resourceVersion": "1"},
            "spec": {"endpoint": f"http://127.0.0.1:1/{key.name}", "auth": {}},
        }
    )


class FakeSession:
    """Fails at once if it is the bad account's, for the first two times."""

    made: list[Key]

    def __init__(self, key: Key, *_: Any) -> None:
        self.key, self.health = key, Health(True)
        FakeSession.made.append(key)

    async def run(self) -> None:
        if self.key == BAD and FakeSession.made.count(BAD) <= 2:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._fail())
        await asyncio.Event().wait()

    async def _fail(self) -> None:
        raise KeyError("secret text")


def test_a_session_that_ends_with_an_error_is_shown_and_reopened_and_others_continue(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    FakeSession.made = []
    monkeypatch.setattr(module, "Session", FakeSession)

    async def prepare(_api: Any, resource: Resource, *_: Any) -> Prepared:
        return Prepared(lambda: SharedKey("a", "a2V5"), resource.key.name, "")

    monkeypatch.setattr(module, "prepare", prepare)

    async def run() -> None:
        told: list[tuple[float, Key, str]] = []
        now = asyncio.get_running_loop().time

        def health(key: Key) -> None:
            told.append((now(), key, accounts.health(key).reason))

        listeners = Listeners(lambda *_, **__: None, health, lambda _: False)
        api: Any = type("Api", (), {"permit": None})()
        accounts = Accounts(api, HostPolicy(), None, Pacing(), listeners)  # type: ignore[arg-type]
        running = asyncio.create_task(accounts.run())
        await asyncio.sleep(0)
        for _ in range(40):
            for key in (GOOD, BAD):
                await accounts.refresh(account(key))
            await asyncio.sleep(1)
        assert not running.done(), "one account must not end the process"
        assert FakeSession.made.count(GOOD) == 1
        assert FakeSession.made.count(BAD) == 3, "restarted after 5 and after 10 seconds, not each second"
        assert accounts.session(BAD) is not None
        assert accounts.health(BAD).reason == ""
        problems = [reason for _, key, reason in told if key == BAD and reason]
        assert set(problems) == {"InternalError"}
        assert all(key == BAD for _, key, reason in told if reason)
        running.cancel()
        await asyncio.wait([running])

    run_jumping(run())


class Secrets:
    """An API server with the Secret of an account."""

    permit = None

    def __init__(self) -> None:
        self.key, self.version, self.missing = "a2V5", 1, False

    async def request(self, method: str, path: str, **_: Any) -> dict[str, Any]:
        assert (method, path) == ("GET", "/api/v1/namespaces/n/secrets/s")
        if self.missing:
            raise NotFound("there is none", 404)
        data = {"k": base64.b64encode(self.key.encode()).decode()}
        return {"metadata": {"uid": "u", "resourceVersion": str(self.version)}, "data": data}


class Opened:
    """A session that tells whom it signs in as."""

    made = 0

    def __init__(self, key: Key, _spec: Any, credential: SharedKey, *_: Any) -> None:
        self.key, self.health, self.signed = key, Health(True), [credential]
        Opened.made += 1

    async def sign_in_as(self, credential: SharedKey, _auth: Any) -> None:
        self.signed.append(credential)

    async def run(self) -> None:
        await asyncio.Event().wait()


async def test_a_rotated_secret_is_taken_up_once_by_the_session_that_is_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "Session", Opened)
    Opened.made = 0
    auth = {"sharedKey": {"secretRef": {"name": "s", "key": "k"}}}
    own = account(GOOD)
    own = replace(own, spec={**own.spec, "accountName": "good", "auth": auth})
    secrets, told = Secrets(), list[Key]()
    listeners = Listeners(lambda *_, **__: None, told.append, lambda _: False)
    accounts = Accounts(secrets, HostPolicy(), mock.Mock(), Pacing(), listeners)  # type: ignore[arg-type]
    running = asyncio.create_task(accounts.run())
    await asyncio.sleep(0)
    assert await accounts.refresh(own) == "u/1"
    opened: Any = accounts.session(GOOD)
    secrets.version = 2
    assert await accounts.refresh(own) == "u/2"
    assert len(opened.signed) == 1, "an edit that leaves the key changes nothing"
    secrets.key, secrets.version = "b3RoZXI=", 3
    assert await accounts.refresh(own) == "u/3"
    assert await accounts.refresh(own) == "u/3"
    assert accounts.session(GOOD) is opened, "what is known of the account stays"
    assert (Opened.made, len(opened.signed)) == (1, 2)
    # A Secret that is gone takes nothing from what is open; the one that comes in its place counts.
    secrets.missing = True
    await accounts.refresh(own)
    assert (accounts.session(GOOD), accounts.health(GOOD).reason) == (opened, "SecretNotFound")
    secrets.missing, secrets.key, secrets.version = False, "dGhpcmQ=", 4
    await accounts.refresh(own)
    assert (len(opened.signed), accounts.health(GOOD).reason) == (3, "")
    running.cancel()
    await asyncio.wait([running])


async def test_a_session_that_signs_in_again_polls_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    opened, used, pokes = session(), list[object](), list[int]()

    async def use(credential: object) -> None:
        used.append(credential)

    monkeypatch.setattr(opened.client, "use", use)
    monkeypatch.setattr(opened.poller, "request_poll", lambda: pokes.append(len(used)))
    other = SharedKey("a", "b3RoZXI=")
    auth = module.Auth.model_validate({"sharedKey": {"secretRef": {"name": "s", "key": "renewed"}}})
    await opened.sign_in_as(other, auth)
    error = AuthenticationError("x")
    error.kind = AuthenticationKind.BAD_KEY
    opened._polled(error)
    assert "key 'renewed' of Secret 's'" in opened.health.message
    assert used == [other]
    assert pokes == [1], "with the new credential, and without waiting for the next poll"


def session() -> Session:
    resource = account(GOOD)
    spec = module.AccountSpec.model_validate(
        {"endpoint": "http://127.0.0.1:1", "auth": {"sharedKey": {"secretRef": {"name": "s", "key": "k"}}}}
    )
    listeners = Listeners(lambda *_, **__: None, lambda _: None, lambda _: False)
    return Session(resource.key, spec, SharedKey("a", "a2V5"), Setup(HostPolicy(), Pacing(), listeners))


def call(status: int, code: str, *, throttled: bool) -> Call:
    return Call("Pools_ListPools", status, code, "Error", 0.1, 1, None, throttled)


async def test_waiting_in_our_own_queue_is_no_silence_of_the_service() -> None:
    """A Retry-After of more than the polls' patience: the account stays Throttled, and never becomes NoAnswer."""
    opened = session()
    opened._observe(call(429, "TooManyRequests", throttled=True))
    await asyncio.sleep(0)
    assert opened.health.reason == "Throttled"
    for _ in range(5):
        opened._polled(NotSentError("the rate limit of the account did not admit the call"))
    assert opened.health.reason == "Throttled"
    opened._polled(None)
    assert opened.health == Health(True)
    for _ in range(5):
        opened._polled(NotSentError("the rate limit of the account did not admit the call"))
    assert opened.health == Health(True)
    for _ in range(2):
        opened._polled(DeadlineError("there was no complete response"))
    assert opened.health.reason == "NoAnswer"
    opened._observe(call(429, "TooManyRequests", throttled=True))
    await asyncio.sleep(0)
    assert opened.health.reason == "Throttled", "it answers again"
    await opened.client.aclose()


async def test_a_503_about_one_pool_does_not_make_the_account_throttled() -> None:
    opened = session()
    opened._polled(None)
    opened._observe(call(503, "TooManyEnableAutoScaleRequests", throttled=False))
    await asyncio.sleep(0)
    assert opened.health == Health(True)
    await opened.client.aclose()


@pytest.mark.parametrize("error", [ServerBusyError("busy", status=503), DeadlineError("late"), BatchError("x")])
async def test_after_the_first_poll_an_account_is_never_still_connecting(error: BatchError) -> None:
    opened = session()
    opened._polled(error)
    assert opened.health.checked
    assert opened.health.reason
    await opened.client.aclose()


async def test_a_server_that_makes_up_codes_makes_no_series_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever may create a BatchAccount may point it at a server of their own."""
    monkeypatch.setattr(module, "_reasons", {"TooManyRequests"})
    opened = session()
    for number in range(1000):
        opened._observe(call(418, f"Code{number}", throttled=False))
    opened._observe(call(429, "TooManyRequests", throttled=False))
    found = {
        each.labels["reason"]: each.value
        for family in module.REQUESTS.collect()
        for each in family.samples
        if each.name.endswith("_total") and each.labels["code"] == "418"
    }
    assert len(found) == module._MAX_REASONS
    assert found["other"] == 1000 - module._MAX_REASONS + 1
