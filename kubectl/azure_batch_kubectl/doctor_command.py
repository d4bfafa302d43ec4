"""`doctor`: reads what an installation depends on, each with the user's own rights, and prints what it finds."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from typing import Any, TypeVar

import click
from kubernetes.aio.client.exceptions import ApiException

from azure_batch_kubectl import doctor, objects
from azure_batch_kubectl.cluster import Cluster
from azure_batch_kubectl.doctor import RIGHTS, Finding, Reach, Right, Seen, Verdict
from azure_batch_kubectl.failure import Exit, FailureError
from azure_batch_kubectl.objects import Object
from azure_batch_operator.api.base import GROUP, VERSION
from azure_batch_operator.api.kinds import KINDS, Kind

T = TypeVar("T")
_LABEL = "app.kubernetes.io/name=azure-batch-operator"
_COLORS = {Verdict.OK: "green", Verdict.NOTE: "yellow", Verdict.FAULT: "red"}
_FORBIDDEN, _NOT_FOUND = 403, 404
_NAMESPACES = "AZURE_BATCH_OPERATOR_NAMESPACES"
_NEEDED = (("list", ""), ("patch", "status"))
"""Verbs and subresources without which an operator does nothing with a kind."""


async def _if_allowed(ask: Callable[[], Awaitable[T]]) -> T | None:
    """The answer; None if the user may not have it."""
    try:
        return await ask()
    except ApiException as error:
        if error.status != _FORBIDDEN:
            raise
        return None


async def _server(cluster: Cluster) -> tuple[tuple[int, int], float]:
    answer, headers = await cluster.read("/version")
    now = datetime.now(UTC)
    said = parsedate_to_datetime(headers["Date"]) if "Date" in headers else now
    numbers = [int(re.sub(r"\D", "", str(answer[name])) or 0) for name in ("major", "minor")]
    # The header has whole seconds.
    return (numbers[0], numbers[1]), (now - said).total_seconds()


async def _served(cluster: Cluster) -> frozenset[str]:
    try:
        answer, _ = await cluster.read(f"/apis/{GROUP}/{VERSION}")
    except ApiException as error:
        if error.status != _NOT_FOUND:
            raise
        return frozenset()
    return frozenset(each["name"] for each in answer["resources"])


async def _definitions(cluster: Cluster) -> Mapping[str, Object]:
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    return {info.plural: (await cluster.read(f"{path}/{info.plural}.{GROUP}"))[0] for info in KINDS.values()}


async def _deployments(cluster: Cluster) -> list[Object]:
    answer, _ = await cluster.read("/apis/apps/v1/deployments", {"labelSelector": _LABEL})
    return list(answer["items"])


async def _reaches(cluster: Cluster, deployments: list[Object]) -> list[Reach]:
    return [
        await _reach(cluster, deployment, namespace)
        for deployment in deployments
        for namespace in _watched(deployment) or [""]
    ]


def _watched(deployment: Object) -> list[str]:
    """The namespaces that an operator watches; none for all."""
    [container, *_] = objects.spec(deployment)["template"]["spec"]["containers"]
    set_to = {variable["name"]: variable.get("value") for variable in container.get("env") or ()}
    given = set_to.get(_NAMESPACES) or ""
    names = json.loads(given) if given.startswith("[") else given.split(",")
    return [text for name in names if (text := str(name).strip())]


async def _reach(cluster: Cluster, deployment: Object, namespace: str) -> Reach:
    """What the operator of a Deployment may do in a namespace, or in all of them."""
    account = objects.spec(deployment)["template"]["spec"].get("serviceAccountName", "default")
    user = f"system:serviceaccount:{objects.namespace(deployment)}:{account}"
    lacking = [
        f"{verb} {info.plural}{f'/{part}' if part else ''}"
        for verb, part in _NEEDED
        for info in KINDS.values()
        if not await cluster.may_other(user, verb, info.plural, GROUP, part, namespace)
    ]
    phase = await _if_allowed(lambda: cluster.namespace_phase(namespace)) if namespace else "Active"
    return Reach(f"Deployment {objects.namespace(deployment)}/{objects.name(deployment)}", namespace, phase, lacking)


async def _accounts(cluster: Cluster) -> list[Object]:
    return [each async for each in cluster.list(Kind.ACCOUNT)]


async def _secrets(cluster: Cluster, accounts: list[Object]) -> dict[str, frozenset[str] | None]:
    """Names of the keys of the Secrets that accounts name; those that the user may not read are left out."""
    found: dict[str, frozenset[str] | None] = {}
    for account in accounts:
        ways = (objects.spec(account).get("auth") or {}).values()
        for reference in (way.get("secretRef") for way in ways if isinstance(way, Mapping)):
            if not reference:
                continue
            try:
                found[reference["name"]] = frozenset(await cluster.secret(cluster.namespace, reference["name"]))
            except ApiException as error:
                if error.status == _NOT_FOUND:
                    found[reference["name"]] = None
                elif error.status != _FORBIDDEN:
                    raise
    return found


async def _refused(cluster: Cluster) -> list[Right]:
    return [each for each in RIGHTS if not await cluster.may(each.verb, each.resource, each.group)]


async def seen(cluster: Cluster) -> Seen:
    """All that can be read."""
    kubernetes, skew = await _server(cluster)
    served = await _served(cluster)
    whole = all(info.plural in served for info in KINDS.values())
    accounts = await _if_allowed(lambda: _accounts(cluster)) if whole else []
    deployments = await _if_allowed(lambda: _deployments(cluster))
    return Seen(
        kubernetes,
        skew,
        served,
        await _if_allowed(lambda: _definitions(cluster)) if whole else None,
        deployments,
        version("azure-batch-operator"),
        await _refused(cluster),
        accounts,
        await _secrets(cluster, accounts or []),
        await _if_allowed(lambda: _reaches(cluster, deployments or [])),
        cluster.namespace,
        await _if_allowed(lambda: cluster.namespace_phase(cluster.namespace)),
    )


def _line(finding: Finding) -> str:
    return f"{click.style(f'{finding.verdict.value:5}', fg=_COLORS[finding.verdict])} {finding}"


async def run(cluster: Cluster) -> None:
    """The command.

    Raises:
        FailureError: there is a fault.
    """
    found: list[Any] = doctor.findings(await seen(cluster))
    for each in found:
        click.echo(_line(each))
    faults = sum(each.verdict is Verdict.FAULT for each in found)
    if faults:
        if faults == 1:
            raise FailureError("1 fault was found: fix it as its line says", Exit.ERROR)
        raise FailureError(
            f"{faults} faults were found: fix the first one first, because it may cause others", Exit.ERROR
        )
