"""What `doctor` makes of an installation: one finding for each thing that must be right, each with its remedy. Pure.

What the user may not read is no fault: it is said, and skipped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import cache
from typing import Any

from azure_batch_kubectl import objects
from azure_batch_kubectl.objects import Object, condition, status
from azure_batch_operator.api.base import GROUP, VERSION
from azure_batch_operator.api.kinds import KINDS, Kind
from azure_batch_operator.crds import crd
from azure_batch_operator.words import listed

OLDEST = (1, 30)
"""Kubernetes that the operator needs (docs/install.md)."""
SKEW = 60.0
"""Seconds between two clocks that are worth a word; Azure Batch refuses keys beyond 15 minutes."""
APPLY = "apply the custom resource definitions of this version: kubectl apply -k crds (docs/upgrade.md)"
_STAYS = "docs/troubleshooting.md, A namespace stays Terminating"
_SHOWN = 3
_OF_SECRET = frozenset({"SecretNotFound", "SecretKeyNotFound"})
"""Reasons of an account that a look at its Secret shows, too."""


class Verdict(StrEnum):
    """How a finding counts; only `FAULT` makes the command fail."""

    OK = "ok"
    NOTE = "note"
    FAULT = "fault"


@dataclass(frozen=True)
class Finding:
    """One line."""

    verdict: Verdict
    text: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.text}: {self.remedy}" if self.remedy else self.text


@dataclass(frozen=True)
class Right:
    """What a user may be allowed to do, and which commands need it."""

    verb: str
    resource: str
    group: str
    commands: str


RIGHTS = (
    *(Right("list", info.plural, GROUP, "all commands") for info in KINDS.values()),
    Right("create", KINDS[Kind.JOB].plural, GROUP, "submit"),
    Right("patch", KINDS[Kind.JOB].plural, GROUP, "suspend, resume, retry and terminate"),
    Right("create", KINDS[Kind.OPERATION].plural, GROUP, "nodes"),
    Right("get", "secrets", "", "logs, files, nodes ls and import"),
)


@dataclass(frozen=True)
class Reach:
    """What an operator may do where it watches.

    Attributes:
        who: the operator's Deployment, in words.
        namespace: that it watches; empty for all.
        phase: of the namespace; empty if there is none of that name, None for what the user may not read.
        lacking: rights that it needs there and does not have, such as `patch batchjobs/status`.
    """

    who: str
    namespace: str
    phase: str | None
    lacking: Sequence[str]


@dataclass(frozen=True)
class Seen:
    """What was read; None for what the user may not read.

    Attributes:
        kubernetes: version of the API server, major and minor.
        skew: seconds that this machine's clock is ahead of the API server's.
        served: plurals of the group that are served.
        definitions: the CustomResourceDefinitions by plural.
        deployments: those of the operator.
        version: of this plugin.
        refused: rights that the user lacks in the namespace.
        accounts: the BatchAccounts of the namespace.
        secrets: keys of the Secrets that they name, by name; None for one that there is not.
        reaches: what the operators may do where they watch; None if the user may not ask for that.
        namespace: of the user.
        phase: of that namespace; None for what the user may not read.
    """

    kubernetes: tuple[int, int]
    skew: float
    served: frozenset[str]
    definitions: Mapping[str, Object] | None
    deployments: Sequence[Object] | None
    version: str
    refused: Sequence[Right] = ()
    accounts: Sequence[Object] | None = ()
    secrets: Mapping[str, frozenset[str] | None] = field(default_factory=dict)
    reaches: Sequence[Reach] | None = ()
    namespace: str = ""
    phase: str | None = None


def findings(seen: Seen) -> list[Finding]:
    """All that there is to say, in the order in which it is to be mended."""
    return [
        *_server(seen),
        *_kinds(seen),
        *_operator(seen),
        *_reaches(seen.reaches),
        *_unwatched(seen),
        *_rights(seen),
        *_tokens(seen),
        *(finding for account in seen.accounts or () for finding in _account(account, seen.secrets)),
        *_no_accounts(seen),
    ]


def _server(seen: Seen) -> Iterator[Finding]:
    major, minor = seen.kubernetes
    if seen.kubernetes < OLDEST:
        remedy = f"the operator needs {OLDEST[0]}.{OLDEST[1]} or newer: upgrade the cluster"
        yield Finding(Verdict.FAULT, f"the API server is Kubernetes {major}.{minor}", remedy)
    else:
        yield Finding(Verdict.OK, f"the API server is Kubernetes {major}.{minor}")
    if abs(seen.skew) > SKEW:
        way = "ahead of" if seen.skew > 0 else "behind"
        text = f"the clock of this machine is {abs(seen.skew):.0f} seconds {way} that of the API server"
        yield Finding(
            Verdict.FAULT,
            text,
            "correct it: Azure Batch refuses requests signed with a key if the clock is off by 15 minutes",
        )
    else:
        yield Finding(Verdict.OK, "the clocks of this machine and of the API server match")


def _kinds(seen: Seen) -> Iterator[Finding]:
    missing = sorted(info.plural for info in KINDS.values() if info.plural not in seen.served)
    if missing:
        yield Finding(Verdict.FAULT, f"{GROUP}/{VERSION} does not serve {listed(missing)}", APPLY)
        return
    yield Finding(Verdict.OK, f"all kinds of {GROUP}/{VERSION} are served")
    if seen.definitions is None:
        yield Finding(Verdict.NOTE, "you may not read CustomResourceDefinitions, so their version is not checked")
        return
    differing = list(_differing(seen.definitions))
    yield from differing
    if not differing:
        yield Finding(Verdict.OK, f"the custom resource definitions are those of version {seen.version}")


def _differing(definitions: Mapping[str, Object]) -> Iterator[Finding]:
    for info in KINDS.values():
        here, there = _known(info.kind), set(_properties(definitions.get(info.plural, {})))
        if older := sorted(here - there):
            yield Finding(Verdict.FAULT, f"the definition of {info.kind} lacks {_some(older, 'properties')}", APPLY)
        elif newer := sorted(there - here):
            remedy = "it is newer than this plugin: install the plugin of the same version"
            yield Finding(Verdict.NOTE, f"the definition of {info.kind} also has {_some(newer, 'properties')}", remedy)


@cache
def _known(kind: Kind) -> frozenset[str]:
    return frozenset(_properties(crd(KINDS[kind])))


def _some(names: Sequence[str], what: str) -> str:
    more = len(names) - _SHOWN
    return listed(names[:_SHOWN]) if more <= 0 else f"{', '.join(names[:_SHOWN])} and {more} more {what}"


def _properties(definition: Object) -> Iterator[str]:
    """Paths of all properties of a definition's version."""
    for version in (definition.get("spec") or {}).get("versions") or ():
        if version.get("name") == VERSION:
            yield from _below((version.get("schema") or {}).get("openAPIV3Schema") or {}, "")


def _below(schema: Mapping[str, Any], path: str) -> Iterator[str]:
    for name, child in (schema.get("properties") or {}).items():
        if path or name in {"spec", "status"}:
            yield f"{path}.{name}".lstrip(".")
            yield from _below(child, f"{path}.{name}")
    if isinstance(items := schema.get("items"), Mapping):
        yield from _below(items, path)


def _operator(seen: Seen) -> Iterator[Finding]:
    if seen.deployments is None:
        yield Finding(Verdict.NOTE, "you may not list Deployments of all namespaces, so the operator's is not checked")
        return
    if not seen.deployments:
        remedy = "if it does not run elsewhere, install it (docs/install.md)"
        yield Finding(Verdict.NOTE, "there is no Deployment of azure-batch-operator", remedy)
    for each in seen.deployments:
        who = f"Deployment {objects.namespace(each)}/{objects.name(each)}"
        if not status(each).get("availableReplicas"):
            if (reached := _reached_without(each, seen.accounts or ())) is not None:
                account, time = reached
                remedy = f"an operator works from elsewhere, because BatchAccount {account} was reached at {time}"
                yield Finding(Verdict.NOTE, f"{who} has no available replica", remedy)
                continue
            remedy = f"check its pods: kubectl -n {objects.namespace(each)} describe pods"
            yield Finding(Verdict.FAULT, f"{who} has no available replica", remedy)
            continue
        images = [str(one.get("image")) for one in objects.spec(each)["template"]["spec"]["containers"]]
        tag = images[0].partition("@")[0].rpartition(":")[2]
        if tag and tag != seen.version:
            text = f"{who} runs {images[0]}, but this plugin has version {seen.version}"
            yield Finding(Verdict.NOTE, text, "use the same version of both")
        else:
            yield Finding(Verdict.OK, f"{who} is available")


def _reached_without(deployment: Object, accounts: Sequence[Object]) -> tuple[str, str] | None:
    """An account that was reached after a Deployment lost its last replica, and when: by an operator that is no pod of it.

    As of the local cluster, which runs no pods: there, the operator is a process of the developer.
    """
    since = condition(deployment, "Available").get("lastTransitionTime") or deployment["metadata"].get(
        "creationTimestamp"
    )
    if since is None:
        return None
    ready = (account for account in accounts if objects.holds(account, "Ready"))
    times = ((objects.name(account), str(status(account).get("lastSuccessTime") or "")) for account in ready)
    return next((found for found in times if found[1] and _moment(found[1]) > _moment(since)), None)


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _reaches(reaches: Sequence[Reach] | None) -> Iterator[Finding]:
    if reaches is None:
        yield Finding(Verdict.NOTE, "you may not create SubjectAccessReviews, so the operator's rights are not checked")
        return
    for reach in reaches:
        where = f"namespace {reach.namespace}" if reach.namespace else "all namespaces"
        if reach.phase == "":
            text = f"{where}, which {reach.who} watches, does not exist"
            yield Finding(
                Verdict.FAULT,
                text,
                "remove it from watchNamespaces, or create it and the operator's Role in it: docs/install.md",
            )
        elif reach.lacking and reach.phase == "Terminating":
            text = f"{where} is being deleted, and {reach.who} has no rights in it, so its objects stay"
            remedy = f"give it rights until they are deleted ({_STAYS})"
            yield Finding(Verdict.FAULT, text, remedy)
        elif reach.lacking:
            text = f"{reach.who} may not {_some(reach.lacking, 'rights')} in {where}"
            remedy = "apply its roles of this version (docs/install.md, Permissions of the operator)"
            yield Finding(Verdict.FAULT, text, remedy)
        else:
            yield Finding(Verdict.OK, f"{reach.who} has its permissions in {where}")


def _unwatched(seen: Seen) -> Iterator[Finding]:
    watched = {reach.namespace for reach in seen.reaches or ()}
    if watched and not watched & {"", seen.namespace}:
        text = f"no operator watches namespace {seen.namespace}, so objects in it are neither reconciled nor deleted"
        yield Finding(
            Verdict.NOTE, text, f"add it to watchNamespaces, which has {_some(sorted(watched), 'namespaces')}"
        )


def _rights(seen: Seen) -> Iterator[Finding]:
    by_commands: dict[str, list[str]] = {}
    for right in seen.refused:
        by_commands.setdefault(right.commands, []).append(f"{right.verb} {right.resource}")
    for commands, lacking in by_commands.items():
        needs = "need" if " and " in commands or commands.startswith("all") else "needs"
        remedy = f"ask for a role that allows it (docs/multi-tenancy.md); {commands} {needs} it"
        yield Finding(Verdict.NOTE, f"you may not {listed(lacking)} here", remedy)
    if not seen.refused:
        yield Finding(Verdict.OK, "you have the permissions that all commands need")


def _no_accounts(seen: Seen) -> Iterator[Finding]:
    if seen.accounts is None:
        yield Finding(Verdict.NOTE, "you may not list BatchAccounts here, so they are not checked")
    elif not seen.accounts:
        remedy = "create one (docs/identity.md), unless you use one of another namespace"
        yield Finding(Verdict.NOTE, "there is no BatchAccount here", remedy)


def _account(account: Object, secrets: Mapping[str, frozenset[str] | None]) -> Iterator[Finding]:
    who = f"BatchAccount {objects.name(account)}"
    found, ready = [*_secret(account, who, secrets)], condition(account, "Ready")
    yield from found
    message = " ".join(str(ready.get("message") or "").split())
    deleted, remedy = (
        bool(account["metadata"].get("deletionTimestamp")),
        "check that the operator runs and watches this namespace",
    )
    if deleted and not ready:
        yield Finding(Verdict.NOTE, f"{who} is being deleted, and the operator has not reconciled it yet", remedy)
    elif deleted:
        yield Finding(Verdict.NOTE, f"{who} is being deleted ({ready.get('reason')})", message)
    elif ready.get("reason") in _OF_SECRET and any(each.verdict is Verdict.FAULT for each in found):
        return  # said of the Secret
    elif not ready:
        yield Finding(Verdict.FAULT, f"the operator has not reconciled {who} yet", remedy)
    elif ready.get("status") == "True":
        yield Finding(Verdict.OK, f"{who} is reached at {objects.spec(account).get('endpoint')}")
    else:
        yield Finding(Verdict.FAULT, f"{who} is not usable ({ready.get('reason')})", message)
    if until := (status(account).get("throttling") or {}).get("until"):
        text = f"{who} is throttled until {until}"
        yield Finding(Verdict.NOTE, text, "lower spec.rateLimit, or find out who else calls the account")


def _tokens(seen: Seen) -> Iterator[Finding]:
    """Accounts that cannot sign in any more, because Kubernetes issues no token in a namespace that is being deleted.

    The account itself is being deleted, too, so its condition says what it waits for, not this.
    """
    if seen.phase != "Terminating":
        return
    for account in seen.accounts or ():
        identity = (objects.spec(account).get("auth") or {}).get("workloadIdentity") or {}
        if reference := identity.get("serviceAccountRef"):
            text = (
                f"namespace {seen.namespace} is being deleted, so BatchAccount {objects.name(account)} gets no new token of "
                f"ServiceAccount {reference['name']}"
            )
            remedy = f"delete its pools and jobs in Azure Batch, then remove the objects ({_STAYS})"
            yield Finding(Verdict.FAULT, text, remedy)


def _secret(account: Object, who: str, secrets: Mapping[str, frozenset[str] | None]) -> Iterator[Finding]:
    auth = objects.spec(account).get("auth") or {}
    for way in auth.values():
        reference = way.get("secretRef") if isinstance(way, Mapping) else None
        if not reference or reference["name"] not in secrets:
            continue
        keys, name, key = secrets[reference["name"]], reference["name"], reference["key"]
        if keys is None:
            yield Finding(Verdict.FAULT, f"Secret {name} of {who} does not exist", "create it with the credentials")
        elif key not in keys:
            yield Finding(
                Verdict.FAULT, f"Secret {name} of {who} has no key {key!r}", "correct the BatchAccount or the Secret"
            )
        else:
            yield Finding(Verdict.OK, f"Secret {name} of {who} has the key {key!r}")
