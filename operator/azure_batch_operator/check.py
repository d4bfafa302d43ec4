"""`azure-batch-operator check`: checks an installation, for `helm test` and for users; independent of `app`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import aiohttp

from azure_batch_operator.api.base import GROUP, VERSION
from azure_batch_operator.api.kinds import KINDS, Kind
from azure_batch_operator.kube.api import KubeApi, KubeError

_PAUSE = 0.5
_ASK = aiohttp.ClientTimeout(total=5)


@dataclass(frozen=True)
class Finding:
    """One line of the answer."""

    good: bool
    text: str


async def run(operator_url: str | None, namespaces: Sequence[str], timeout: float) -> list[Finding]:
    """Look at everything; waits up to `timeout` seconds for the operator to be ready.

    Raises:
        kubernetes.aio.config.ConfigException: if there is no cluster to ask.
    """
    api = await KubeApi.connect()
    try:
        found = [await _served(api)]
        if operator_url:
            found += [await _answers(f"{operator_url.rstrip('/')}/{path}", timeout) for path in ("healthz", "readyz")]
        return found + await _accounts(api, namespaces)
    finally:
        await api.aclose()


async def _served(api: KubeApi) -> Finding:
    try:
        answer = await api.request("GET", f"/apis/{GROUP}/{VERSION}")
    except KubeError as error:
        return Finding(False, f"{GROUP}/{VERSION} is not served: {error}")
    served = {member["name"] for member in answer["resources"]}
    missing = sorted(info.plural for info in KINDS.values() if info.plural not in served)
    if missing:
        return Finding(False, f"not served: {', '.join(missing)}: apply the CRDs of this version")
    return Finding(True, f"all kinds of {GROUP}/{VERSION} are served")


async def _answers(url: str, timeout: float) -> Finding:
    """Whether a probe is answered with 200 within `timeout` seconds."""
    last = "no answer"
    try:
        async with asyncio.timeout(timeout), aiohttp.ClientSession(timeout=_ASK) as session:
            while True:
                try:
                    async with session.get(url) as response:
                        last = f"{response.status} {(await response.text()).strip()}"
                        if response.status == 200:
                            return Finding(True, f"{url}: ok")
                except (aiohttp.ClientError, TimeoutError, OSError) as error:
                    last = f"{type(error).__name__}: {error}"
                await asyncio.sleep(_PAUSE)
    except TimeoutError:
        return Finding(False, f"{url}: {last}")


async def _accounts(api: KubeApi, namespaces: Sequence[str]) -> list[Finding]:
    """What accounts say of themselves: the operator has signed in to each and asked it for something small."""
    found = []
    everywhere: list[str | None] = [None]
    for namespace in namespaces or everywhere:
        try:
            async for account in api.list(Kind.ACCOUNT, namespace):
                name = f"{account['metadata']['namespace']}/{account['metadata']['name']}"
                conditions = {
                    condition["type"]: condition for condition in account.get("status", {}).get("conditions", [])
                }
                ready = conditions.get("Ready", {"status": "Unknown", "reason": "NotSeenYet", "message": ""})
                text = f"BatchAccount {name}: {ready['reason']} {ready.get('message', '')}".rstrip()
                found.append(Finding(ready["status"] == "True", text))
        except KubeError as error:
            found.append(
                Finding(False, f"accounts{_where(namespace)} cannot be listed: {error}{_remedy(namespace, error)}")
            )
    return found


def _where(namespace: str | None) -> str:
    return f" of namespace {namespace}" if namespace else ""


def _remedy(namespace: str | None, error: KubeError) -> str:
    """What to do about a namespace without the operator's Role."""
    if error.status != 403:
        return ""
    if namespace is None:
        return (
            ". If the operator watches only some namespaces, name them: by the setting namespaces "
            "(AZURE_BATCH_OPERATOR_NAMESPACES), or by --namespace"
        )
    return (
        f". If namespace {namespace} does not exist any more, remove it from the setting namespaces (in the chart: watchNamespaces)"
        ". Otherwise, create the operator's Role in it: with Helm by watchNamespaces, with kustomize by manifests/watched-namespace"
    )
