"""`why`: reads an object and what it depends on, also in Azure Batch where the user may, and prints the paragraph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import aiohttp
import click
from kubernetes.aio.client.exceptions import ApiException

from azure_batch_kubectl import objects, remote
from azure_batch_kubectl.account import signed_in
from azure_batch_kubectl.around import around
from azure_batch_kubectl.cluster import Cluster
from azure_batch_kubectl.evidence import gather, gather_task, task_of
from azure_batch_kubectl.failure import FailureError
from azure_batch_kubectl.objects import Object
from azure_batch_kubectl.remote import Place
from azure_batch_kubectl.why import Answer, Around, Seen, explain, label
from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.batch import BatchError
from azure_batch_operator.batch.errors import InvalidRequestError
from azure_batch_operator.batch.redaction import safe_text
from azure_batch_operator.causes import Evidence, WayOut, judge
from azure_batch_operator.causes.exits import how

_ASKED_IN = frozenset({"Waiting", "Running", "Disabled"})
"""Phases in which the tasks of a job are what matters; in all others the conditions say why nothing runs."""
_QUEUED_IN = frozenset({"", "Pending"})
"""Phases in which a task may wait in Azure Batch."""


async def run(cluster: Cluster, words: Sequence[str]) -> None:
    """The command."""
    click.echo(await answer(cluster, *objects.target(words)))


async def answer(cluster: Cluster, kind: Kind, name: str) -> Answer:
    """The paragraph about an object."""
    thing = await cluster.get(kind, name)
    found = await around(cluster, thing)
    return explain(thing, found, await _seen(cluster, thing, found))


async def _seen(cluster: Cluster, thing: Object, found: Around) -> Seen | None:
    """What Azure Batch shows of a job or a task; None if it is not asked: the user may not, or there is nothing to ask."""
    kind, phase = thing.get("kind"), objects.phase(thing)
    try:
        if kind == Kind.JOB and phase in _ASKED_IN:
            return await _job(cluster, thing, found)
        if kind == Kind.TASK and phase in _QUEUED_IN:
            return await _task(cluster, thing, found)
    except InvalidRequestError as error:
        # Of this program's own making: hidden, it would never be mended.
        click.echo(f"note: Azure Batch refuses what was asked about {label(thing)}: {error}", err=True)
    except (FailureError, ApiException, BatchError, aiohttp.ClientError, TimeoutError, OSError):
        # The status has the operator's judgment.
        return None
    return None


async def _job(cluster: Cluster, thing: Object, found: Around) -> Seen:
    async with remote.opened(cluster, Place(Kind.JOB, objects.name(thing))) as (client, id):
        evidence = await gather(client, id, WayOut(_pool_field(thing)), _retried(found))
    return _judged(evidence)


async def _task(cluster: Cluster, thing: Object, found: Around) -> Seen | None:
    job = found.job if isinstance(found.job, Mapping) else None
    account = objects.account_of(thing, job, found.pool if isinstance(found.pool, Mapping) else None)
    job_id = _job_id(thing, job)
    if account is None or job_id is None:
        return None
    async with signed_in(cluster, account) as client:
        task = await task_of(client, job_id, objects.remote_id(thing))
        if task is None:
            return None
        remote.check_owner(thing, str(task["id"]), task)
        if task.get("state") != "active":
            return Seen(None, str(task.get("state")), failure=_failure(task.get("executionInfo") or {}))
        way_out = WayOut(_pool_field(job) if job is not None else None)
        evidence = await gather_task(client, job_id, task, way_out, _retried(found))
    return _judged(evidence, "active")


def _judged(evidence: Evidence | None, state: str | None = None) -> Seen:
    """The cause that the evidence shows; without its remedy where dependencies are not known, as it may help nothing."""
    if evidence is None:
        return Seen(None, state)
    cause, is_complete = judge(evidence), evidence.disabled is not None or evidence.has_ready is not None
    if cause is not None and not is_complete:
        cause = replace(cause, remedy=None)
    return Seen(cause, state, is_complete=is_complete)


def _failure(info: Mapping[str, Any]) -> str | None:
    """How a task has failed, in words; None if it has not."""
    if info.get("result") != "failure":
        return None
    message = (info.get("failureInfo") or {}).get("message")
    told = how(info) or "no exit code"
    return safe_text(f"{told}: {message}" if message and not info.get("exitCode") else told)


def _job_id(task: Object, job: Object | None) -> str | None:
    """ID of the job that a BatchTask is in, or would be added to."""
    known = objects.status(task).get("jobId") or objects.spec(task).get("jobId")
    if known is None and job is not None:
        known = objects.status(job).get("id")
    return None if known is None else str(known)


def _retried(found: Around) -> Sequence[Mapping[str, Any]]:
    """Errors of the resize that the operator retries; only its BatchPool remembers them meanwhile."""
    return objects.status(found.pool).get("resizeErrors") or () if isinstance(found.pool, Mapping) else ()


def _pool_field(job: Object) -> str | None:
    spec = objects.spec(job)
    if spec.get("poolRef"):
        return "spec.poolRef"
    return "spec.poolInfo.poolId" if (spec.get("poolInfo") or {}).get("poolId") else None
