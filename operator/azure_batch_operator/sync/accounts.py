"""Sessions: one client, limiter, mirror, poller, submitter and feeder per BatchAccount, renewed when specs and Secrets change."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

from prometheus_client import Counter, Histogram

from azure_batch_operator import tracing
from azure_batch_operator.api.account import AccountSpec, Auth, Polling
from azure_batch_operator.api.resource import Key, Resource
from azure_batch_operator.batch import (
    BatchClient,
    BatchError,
    Call,
    Credential,
    HostPolicy,
    Limiter,
    NotSentError,
    RetryPolicy,
    TransientError,
)
from azure_batch_operator.kube.api import KubeApi
from azure_batch_operator.kube.values import ValueMissingError
from azure_batch_operator.reconcile.account.lifecycle import NO_METADATA, AccountMetadata, Health, pauses_shown
from azure_batch_operator.reconcile.account.problems import account_problem
from azure_batch_operator.sync.credentials import SignIn, account_secret, prepare
from azure_batch_operator.sync.feeder import Feeder
from azure_batch_operator.sync.interest import Interest
from azure_batch_operator.sync.mirror import Mirror
from azure_batch_operator.sync.open_group import OpenGroup
from azure_batch_operator.sync.operations import Operations
from azure_batch_operator.sync.poller import Changed, Poller, PollLimits
from azure_batch_operator.sync.retrier import Retrier
from azure_batch_operator.sync.submitter import Reports, Submitter
from azure_batch_operator.sync.traffic import Traffic

logger = logging.getLogger(__name__)

REQUESTS = Counter(
    "azurebatch_api_requests_total",
    "Attempts to call Azure Batch, by HTTP status and error code; if there was no response, code is empty and reason says why",
    ["operation", "code", "reason"],
)
SECONDS = Histogram(
    "azurebatch_api_request_duration_seconds", "Duration of attempts to call Azure Batch", ["operation"]
)
_reasons: set[str] = set()
_MAX_REASONS = 300


def _bounded(reason: str) -> str:
    """A reason as a label. A server that invents a code for each response must not create unlimited series."""
    if len(_reasons) < _MAX_REASONS:
        _reasons.add(reason)
    return reason if reason in _reasons else "other"


RESTARTS = Counter(
    "azurebatch_session_restarts", "Account sessions that ended because of a fault in the operator and were restarted"
)

_CALLS_PER_SECOND, _MOST_CALLS_PER_SECOND, _IN_FLIGHT = 50.0, 200.0, 16
# The work queue backs off by itself, so a call gives up early and makes room for others.
_RETRY = RetryPolicy(attempts=4, deadline=30.0, attempt_deadline=20.0)
_POLLS_BEFORE_ALARM = 2
_POLLING_SHARE = 0.5
_LAST_CALLS = 25.0
"""Seconds for which the calls in flight may take: a little longer than an attempt."""
_FIRST_RESTART, _LAST_RESTART = 5.0, 300.0
"""Seconds before a session that ended by a fault of ours is opened again: doubled each time."""
_LIVED_WELL = 1800.0
"""Seconds after which an earlier end no longer counts."""


@dataclass(frozen=True)
class Pacing:
    """Bounds of the seconds between two polls of an account."""

    least: float = 1.0
    most: float = 60.0

    def within(self, polling: Polling | None) -> tuple[float, float]:
        """The bounds of an account that may have some of its own; the least is never above the most."""
        least = (polling and polling.min_seconds) or self.least
        most = (polling and polling.max_seconds) or max(self.most, least)
        return min(least, most), most


@dataclass(frozen=True)
class Listeners:
    """Who is told what a session learns.

    Attributes:
        changed: objects whose remote side looks different; `moved` if it has come, gone or changed its state.
        health: the account whose health has changed.
        busy: asked whether objects of an account wait to be reconciled.
        doubtful: is told object, job id and task id of each task that may be added late, by an attempt without a response; without
            a task id, of each job whose own tasks may be.
        secrets: values that no text about objects of a namespace may show.
    """

    changed: Changed
    health: Callable[[Key], None]
    busy: Callable[[Key], bool]
    doubtful: Callable[[Key, str, str | None], None] = lambda *_: None
    secrets: Callable[[str], Collection[str]] = lambda _: ()


@dataclass(frozen=True)
class Setup:
    """What all sessions have in common.

    Attributes:
        hosts: where credentials may be sent.
        permit: asked before each call; raises where this replica may no longer act.
        api: for files that operations keep.
    """

    hosts: HostPolicy
    pacing: Pacing
    listeners: Listeners
    permit: Callable[[], None] | None = None
    api: KubeApi | None = None


class Session:
    """Everything that belongs to one account while it is open."""

    def __init__(
        self,
        key: Key,
        spec: AccountSpec,
        credential: Credential,
        setup: Setup,
        pauses: int = 0,
    ) -> None:
        self.key = key
        self.url = spec.endpoint.rstrip("/")
        self._auth = spec.auth
        self._listeners = listeners = setup.listeners
        limit = spec.rate_limit
        rate = (limit and limit.calls_per_second) or _CALLS_PER_SECOND
        most = rate if limit and limit.calls_per_second else _MOST_CALLS_PER_SECOND
        self._limiter = Limiter(rate, most=most, max_in_flight=(limit and limit.max_in_flight) or _IN_FLIGHT)
        self.client = BatchClient(
            self.url,
            credential,
            limiter=self._limiter,
            retry=_RETRY,
            hosts=setup.hosts,
            observe=self._observe,
            permit=setup.permit,
        )
        self.mirror, self.interest = Mirror(), Interest()
        least, most = setup.pacing.within(spec.polling)
        self.poller = Poller(
            self.client, self.mirror, self.interest, listeners.changed, self._polled,
            PollLimits(least, most, rate * _POLLING_SHARE),
        )  # fmt: skip
        reports = Reports(self._added, self._submitted, self._doubtful, listeners.changed)
        self.submitter = Submitter(self.client, reports, partial(listeners.busy, key), listeners.secrets)
        self.interest.on_its_way = self.submitter.has
        self.feeder = Feeder(
            self.client, self._settled, lambda id, key: listeners.doubtful(key, id, None), listeners.secrets,
            waiting=listeners.changed,
        )  # fmt: skip
        self.retrier = Retrier(self.client, self._settled, listeners.changed)
        self.operations = Operations(
            self.client, setup.api, self._settled, listeners.changed, stirred=self.poller.stir_job
        )
        self.health = Health()
        self._failed_polls = 0
        self._throttled = False
        self._pauses = pauses
        self._traffic = Traffic(asyncio.get_running_loop().time)

    async def sign_in_as(self, credential: Credential, auth: Auth) -> None:
        """Take up a rotated credential; calls that are in progress continue."""
        self._auth = auth
        await self.client.use(credential)
        self.poller.request_poll()

    @property
    def offer(self) -> AccountMetadata:
        """What the service says of the account."""
        return AccountMetadata(self.mirror.images, self.mirror.applications, self._traffic.per_minute())

    async def finish_calls(self) -> None:
        """Send nothing more, and wait for the responses to what was sent."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_CALLS):
                await self._limiter.close()

    async def run(self) -> None:
        """Serve until cancelled, then close the client."""
        try:
            async with asyncio.TaskGroup() as group:
                for service in (self.poller, self.submitter, self.feeder, self.retrier, self.operations):
                    group.create_task(service.run())
        finally:
            await self.client.aclose()

    def _added(self, job_id: str, task_id: str, owner: str | None) -> None:
        self.mirror.tasks[job_id.lower()].touch(task_id, asyncio.get_running_loop().time())
        if owner is not None:
            self.poller.claim(job_id, task_id, owner)

    def _doubtful(self, job_id: str, task_id: str, key: Key) -> None:
        # The next list of tasks decides, not the one before the call.
        self.mirror.tasks[job_id.lower()].touch(task_id, asyncio.get_running_loop().time())
        self._listeners.doubtful(key, job_id, task_id)

    def _settled(self, keys: Sequence[Key]) -> None:
        self._submitted(keys, keys)

    def _submitted(self, keys: Sequence[Key], again: Sequence[Key]) -> None:
        self.poller.settled(keys)
        self.poller.request_poll()
        self._listeners.changed(again)

    def _observe(self, call: Call) -> None:
        REQUESTS.labels(call.operation, call.status or "", _bounded(call.code or call.error or "")).inc()
        SECONDS.labels(call.operation).observe(call.seconds)
        self.poller.answered()
        told = {"http.response.status_code": call.status, "azure.request_id": call.request_id, "azure.code": call.code}
        tracing.ended(
            call.operation, call.seconds, call.error, {"account": str(self.key), "attempt": call.attempt, **told}
        )
        self._traffic.count()
        if call.throttled and not (self._throttled and self.health.reason == "Throttled"):
            self._throttled = True
            self._pauses += 1
            # The limiter learns of the pause just after this call.
            asyncio.get_running_loop().call_soon(self._show_throttling, call)

    def _show_throttling(self, call: Call) -> None:
        paused = self._limiter.paused_until
        until = None if paused is None else time.time() + paused - asyncio.get_running_loop().time()
        text = f"Azure Batch responded {call.status} {call.code or ''} to {call.operation}; calls resume automatically"
        self._set_health(Health(True, "Throttled", text, until))

    def _polled(self, error: BatchError | None) -> None:
        if error is None:
            self._failed_polls, self._throttled = 0, False
            self._set_health(Health(True))
            return
        if isinstance(error, NotSentError):
            # The service was not asked, so this is no evidence against it: calls of ours stood in the way, or a pause it asked for.
            return
        self._failed_polls += 1
        passing = isinstance(error, TransientError) and self.health.checked and not self.health.reason
        if passing and self._failed_polls < _POLLS_BEFORE_ALARM:
            return
        reason, message = account_problem(error, self._auth, self.url)
        if reason == self.health.reason:
            return
        # The next pass over the BatchAccount logs its transition.
        logger.debug("BatchAccount %s/%s: %s: %s", self.key.namespace, self.key.name, reason, message)
        self._set_health(Health(True, reason, message))

    def _set_health(self, health: Health) -> None:
        known, self.health = self.health, replace(health, pauses=self._pauses, last_success=self._last_success())
        if health != known:
            self._listeners.health(self.key)

    def _last_success(self) -> float | None:
        at = self.poller.last_success
        return None if at is None else time.time() - (asyncio.get_running_loop().time() - at)


@dataclass
class _Open:
    session: Session
    place: str
    identity: str
    task: asyncio.Task[None]
    ended: bool = False


class Accounts:
    """All open sessions."""

    def __init__(self, api: KubeApi, hosts: HostPolicy, sign_in: SignIn, pacing: Pacing, listeners: Listeners) -> None:
        self._api, self._sign_in = api, sign_in
        self._hosts, self._pacing, self._listeners = hosts, pacing, listeners
        self._open: dict[Key, _Open] = {}
        self._problems: dict[Key, Health] = {}
        self._ends: dict[Key, int] = {}
        self._group = OpenGroup()

    async def run(self) -> None:
        """Hold the sessions until cancelled. One that ends by a fault is shown, and restarted; the others continue."""
        await self._group.run()

    def session(self, key: Key) -> Session | None:
        """The session of an account, if it could be opened."""
        opened = self._open.get(key)
        return opened.session if opened and not opened.ended else None

    def interested(self, key: Key) -> Key | None:
        """The account in whose session an object wants to know something."""
        sessions = (opened.session for opened in self._open.values() if not opened.ended)
        return next((session.key for session in sessions if key in session.interest), None)

    def health(self, key: Key) -> Health:
        """What is known of an account: why it could not be opened, else how its calls go."""
        if problem := self._problems.get(key):
            return problem
        session = self.session(key)
        return session.health if session else Health()

    def offer(self, key: Key) -> AccountMetadata:
        """What the service says of an account."""
        session = self.session(key)
        return session.offer if session else NO_METADATA

    def earliest_due(self) -> float:
        """Time of the loop at which the first of all polls should give a sign of life; now if there is none."""
        now = asyncio.get_running_loop().time()
        return min((opened.session.poller.due for opened in self._open.values() if not opened.ended), default=now)

    async def refresh(self, resource: Resource, *, terminating: bool = False) -> str:
        """Open the session, open it again if endpoint or limits have changed, or have it sign in with what is new.

        A session whose Secret is gone stays, so that what was created with it can still be deleted.

        Args:
            terminating: whether the namespace is being deleted, so that it takes no new Secret.

        Returns:
            Version of the Secret that was read; empty without one.

        Raises:
            KubeError: if the API server cannot be asked for the Secret.
        """
        key = resource.key
        spec, version = AccountSpec.model_validate(resource.spec), ""
        try:
            prepared = await prepare(self._api, resource, spec, self._sign_in)
            version = prepared.version
            opened = self._open.get(key)
            if opened is None or opened.place != prepared.place:
                setup = Setup(self._hosts, self._pacing, self._listeners, self._api.permit, self._api)
                session = Session(key, spec, prepared.make(), setup, pauses_shown(resource))
                await self.close(key)
                task = self._group.start(self._serve(key, session), name=f"session {key}")
                self._open[key] = _Open(session, prepared.place, prepared.identity, task)
                self._problems.pop(key, None)
                self._listeners.health(key)
            elif opened.ended:
                return version
            elif opened.identity != prepared.identity:
                await opened.session.sign_in_as(prepared.make(), spec.auth)
                opened.identity = prepared.identity
                logger.info("BatchAccount %s/%s: signing in with the changed credentials", key.namespace, key.name)
        except ValueMissingError as error:
            text = str(error)
            if terminating and error.reason == "SecretNotFound":
                text = (
                    f"namespace {key.namespace!r} is being deleted, and Secret {account_secret(resource)!r} no longer "
                    "exists: delete "
                    "the resources of its objects in Azure Batch, and annotate the objects with azurebatch.io/force-finalize=true"
                )
            self._set_problem(key, error.reason, text)
        except BatchError as error:
            self._set_problem(key, *account_problem(error, spec.auth, spec.endpoint))
        else:
            if self._problems.pop(key, None):
                self._listeners.health(key)
        return version

    async def finish(self, key: Key) -> None:
        """End the session of an account when its calls in flight have been answered."""
        if (session := self.session(key)) is not None:
            await session.finish_calls()
        await self.close(key)

    async def close(self, key: Key) -> None:
        """End the session of an account."""
        self._problems.pop(key, None)
        opened = self._open.pop(key, None)
        if opened is not None:
            opened.task.cancel()
            await asyncio.wait([opened.task])

    async def _serve(self, key: Key, session: Session) -> None:
        """Run a session; if it ends by a fault of ours, show that at the account and have it opened again after a while."""
        began = asyncio.get_running_loop().time()
        try:
            await session.run()
        except Exception as error:
            logger.exception("BatchAccount %s/%s: its session ended", key.namespace, key.name)
            RESTARTS.inc()
            lived = asyncio.get_running_loop().time() - began
            ends = self._ends[key] = 1 if lived > _LIVED_WELL else self._ends.get(key, 0) + 1
            opened = self._open.get(key)
            if opened is None or opened.session is not session:
                return
            opened.ended = True
            self._set_problem(key, "InternalError", f"internal error of the operator ({_cause(error)}): {_REPORT}")
            await asyncio.sleep(min(_LAST_RESTART, _FIRST_RESTART * 2.0 ** (ends - 1)))
            if self._open.get(key) is opened:
                del self._open[key]
                self._listeners.health(key)

    def _set_problem(self, key: Key, reason: str, message: str) -> None:
        problem = Health(True, reason, message)
        if self._problems.get(key) != problem:
            self._problems[key] = problem
            self._listeners.health(key)


_REPORT = "it reconnects to this account automatically; report the error with the operator's log"


def _cause(error: BaseException) -> str:
    """The class of what went wrong first; its text may hold anything, so it stays in the log."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return type(error).__name__
