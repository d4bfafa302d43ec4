"""BatchAccount: whether it is reachable, whether the sign-in works, and who uses it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter, itemgetter
from typing import Any, Literal

from azure_batch_operator.api.account import MAX_APPLICATIONS, MAX_IMAGES, MAX_VERSIONS
from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Resource
from azure_batch_operator.batch.account_wire import Application, SupportedImage
from azure_batch_operator.batch.wire import convert
from azure_batch_operator.reconcile.account.problems import PASSING
from azure_batch_operator.reconcile.account.spec import AccountSpec, Before
from azure_batch_operator.reconcile.before import has_condition
from azure_batch_operator.reconcile.plan import Plan, Unconfirmed
from azure_batch_operator.reconcile.standard_plans import FORCE_HINT, ever_created, finalizer_on, with_event
from azure_batch_operator.reconcile.status import Verdict, carry_over, status, timestamp
from azure_batch_operator.words import listed

_MAX_USERS_NAMED = 5
_NOT_KEPT = (
    "the operator may not add its finalizer to the Secret that the account signs in with. If the namespace is deleted while the "
    "operator is down, the Secret is lost, and pools and jobs stay in Azure Batch and are billed: grant the permissions of "
    "azure-batch-operator-secrets"
)


@dataclass(frozen=True)
class Health:
    """What the calls to the account have shown.

    Attributes:
        checked: whether any call was answered, well or badly, since the account was opened.
        reason, message: of the trouble; empty while all is well.
        throttled_until: seconds since the epoch until which the service asked for silence.
        pauses: how often it has done so, as far as is known.
        last_success: seconds since the epoch at which the account last answered a poll.
    """

    checked: bool = False
    reason: str = ""
    message: str = ""
    throttled_until: float | None = None
    pauses: int = field(default=0, compare=False)
    last_success: float | None = field(default=None, compare=False)


@dataclass(frozen=True)
class AccountMetadata:
    """What the service says of the account itself.

    Attributes:
        images: supported images; None before they were asked for.
        applications: applications with their versions; None before.
        calls_per_minute: calls of ours, in coarse steps.
    """

    images: Sequence[SupportedImage] | None = None
    applications: Sequence[Application] | None = None
    calls_per_minute: int = 0


NO_METADATA = AccountMetadata()


@dataclass(frozen=True)
class Keeping:
    """What an account and the Secret that it signs in with are kept for.

    Attributes:
        secret: name of the Secret, if the operator's finalizer is on it.
        refused: whether it should be and the operator may not put it on.
        unseen: namespaces that cannot be read, whose objects may use the account.
    """

    secret: str | None = None
    refused: bool = False
    unseen: Collection[str] = ()


NOT_KEPT = Keeping()


def pinned(resource: Resource) -> Resource:
    """The account as it is used: at the endpoint and under the name that it first answered with.

    The definition refuses another one. One that is there all the same, past an old definition, would leave what is in Azure behind.
    """
    before = convert(Before, resource.status)
    if not before.endpoint or not before.account or not _moved(resource, before):
        return resource
    return replace(resource, spec={**resource.spec, "endpoint": before.endpoint, "accountName": before.account})


def _moved(resource: Resource, before: Before) -> str | None:
    """Where the spec differs from what it was when the account first answered."""
    spec = convert(AccountSpec, resource.spec)
    members = (("endpoint", spec.endpoint, before.endpoint), ("accountName", spec.account, before.account))
    for member, now, then in members:
        if before.endpoint and then and then.rstrip("/") != now.rstrip("/"):
            return (
                f"spec.{member} was changed from {then!r} to {now!r}, which has no effect: the objects of this account "
                f"represent resources at {then!r}. Change it back, or create another BatchAccount"
            )
    return None


def _never_used(resource: Resource, dependents: Sequence[Resource]) -> bool:
    """Whether the account has never answered, as with a mistyped endpoint, so that nothing of its objects can be in Azure Batch.

    The finalizer of a BatchTask proves nothing, as it may have been created with it; that of its BatchJob does.
    """
    return not convert(Before, resource.status).endpoint and not any(
        ever_created(each) if each.key.kind is Kind.TASK else each.has_finalizer for each in dependents
    )


def plan(
    resource: Resource,
    health: Health,
    dependents: Sequence[Resource],
    now: float,
    offer: AccountMetadata = NO_METADATA,
    keeping: Keeping = NOT_KEPT,
) -> Plan:
    """Decide about one BatchAccount.

    Args:
        health: of the calls, or of what keeps calls from being made (a missing Secret).
        dependents: objects that name the account.
        offer: what the service says of it.
        keeping: what it and its Secret are kept for.
    """
    if resource.deleting:
        is_used = bool(dependents or keeping.unseen) and not _never_used(resource, dependents)
        if not resource.has_finalizer or resource.released or not is_used:
            return Plan(finalizer="remove", unconfirmed=Unconfirmed.UNUSED)
        verdict = Verdict(
            "Deleting",
            "InUse",
            f"waiting until no object uses the account. {_users(dependents, keeping.unseen)}. {FORCE_HINT}",
            ready=False,
            trend="Reconciling",
        )
        return with_event(resource, Plan(status=carry_over(resource, verdict, now)), verdict)
    if not health.checked and has_condition(resource, "Ready"):
        return Plan()  # the operator has just started: what it said before stands until a call says otherwise
    verdict = _verdict(health)
    if (moved := _moved(resource, convert(Before, resource.status))) is not None and verdict.ready:
        verdict = Verdict("Connected", "EndpointChanged", moved, ready=False, trend="Stalled")
    if keeping.refused:
        verdict = replace(verdict, more={**(verdict.more or {}), "SecretKept": (False, "SecretNotKept", _NOT_KEPT)})
    until = health.throttled_until
    plan = Plan(
        finalizer=finalizer_on(resource),
        status=_status(
            resource,
            verdict,
            health,
            offer,
            now,
            keptSecret=keeping.secret,
            users=_numbers(dependents) or None,
        ),
        requeue_after=max(1.0, until - now + 1.0) if until and until > now else None,
    )
    return with_event(resource, plan, verdict)


def _status(
    resource: Resource, verdict: Verdict, health: Health, offer: AccountMetadata, now: float, **fields: Any
) -> dict[str, Any]:
    before, until = convert(Before, resource.status), health.throttled_until
    times = max(pauses_shown(resource), health.pauses)
    throttling = ({"until": timestamp(until)} if until and until > now else {}) | ({"times": times} if times else {})
    images, applications = offer.images, offer.applications
    used = convert(AccountSpec, pinned(resource).spec)
    shown = status(
        resource,
        verdict,
        now,
        account=used.account,
        endpoint=before.endpoint or (used.endpoint if verdict.ready else None),
        throttling=throttling or None,
        lastSuccessTime=before.last_success_time,
        callsPerMinute=before.calls_per_minute,
        supportedImages=before.supported_images if images is None else _images(images) or None,
        applications=before.applications if applications is None else _applications(applications) or None,
        **fields,
    )
    # That time goes by, or that there is more or less to do, is no reason to write: an idle fleet writes nothing.
    if shown != resource.status:
        if health.last_success is not None:
            shown["lastSuccessTime"] = timestamp(health.last_success)
        if offer.calls_per_minute:
            shown["callsPerMinute"] = offer.calls_per_minute
    return shown


def pauses_shown(resource: Resource) -> int:
    """How often the account was throttled, by its status: the count continues from there after a restart."""
    return convert(Before, resource.status).throttling.times


def _numbers(dependents: Sequence[Resource]) -> dict[str, int]:
    kinds = Counter(each.key.kind for each in dependents)
    return {f"{kind[0].lower()}{kind[1:]}s": number for kind, number in sorted(kinds.items())}


def _images(images: Sequence[SupportedImage]) -> list[dict[str, Any]]:
    """Images by name, verified ones first where there are too many."""
    found: list[tuple[bool, str, dict[str, Any]]] = []
    for image in images:
        members = {
            "publisher": image.image_reference.publisher,
            "offer": image.image_reference.offer,
            "sku": image.image_reference.sku,
            "nodeAgentSKUId": image.node_agent_sku_id,
            "osType": image.os_type,
            "verificationType": image.verification_type,
            "endOfLife": image.batch_support_end_of_life,
        }
        entry = {name: value for name, value in members.items() if value is not None}
        found.append((image.verification_type != "verified", str(entry), entry))
    found.sort(key=itemgetter(0, 1))
    return [entry for _, _, entry in sorted(found[:MAX_IMAGES], key=itemgetter(1))]


def _applications(applications: Sequence[Application]) -> list[dict[str, Any]]:
    return [_application(known) for known in sorted(applications, key=attrgetter("id"))[:MAX_APPLICATIONS]]


def _application(known: Application) -> dict[str, Any]:
    named = {} if known.display_name is None else {"displayName": known.display_name}
    versions = list(known.versions[-MAX_VERSIONS:])
    return {"id": known.id} | named | ({"versions": versions} if versions else {})


def _verdict(health: Health) -> Verdict:
    if health.reason:
        waits = health.reason in PASSING
        phase = health.reason if health.reason == "Throttled" else "Unavailable"
        trend: Literal["Reconciling", "Stalled"] = "Reconciling" if waits else "Stalled"
        return Verdict(phase, health.reason, health.message, ready=False, trend=trend, warning=True)
    if not health.checked:
        return Verdict(
            "Connecting", "Connecting", "the account has not responded to a call yet", ready=False, trend="Reconciling"
        )
    return Verdict("Connected", "Connected", "the operator is signed in to the account", ready=True)


def _users(dependents: Sequence[Resource], unseen: Collection[str]) -> str:
    if not dependents:
        return (
            f"The operator has no permission to read objects of {listed(sorted(unseen))}, which may use it: create its Role and "
            "RoleBinding there, or remove what does not exist any more from the setting namespaces"
        )
    kinds = Counter(each.key.kind for each in dependents)
    numbers = listed(f"{number} {kind}{'s' if number > 1 else ''}" for kind, number in sorted(kinds.items()))
    named = sorted(f"{each.key.kind} {each.key.namespace}/{each.key.name}" for each in dependents)[:_MAX_USERS_NAMED]
    more = ", …" if len(dependents) > len(named) else ""
    return f"Used by {numbers}: {', '.join(named)}{more}"
