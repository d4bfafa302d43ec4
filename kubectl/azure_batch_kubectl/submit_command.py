"""`submit`: makes a BatchJob of a script, and applies it or prints it."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any

import click
from kubernetes.aio.client.exceptions import ApiException

from azure_batch_kubectl import objects, output, submitting
from azure_batch_kubectl.cluster import Cluster, refusal
from azure_batch_kubectl.failure import FailureError
from azure_batch_kubectl.storing import Submission, suffix
from azure_batch_kubectl.submitting import Order, Over
from azure_batch_operator.api.kinds import Kind


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except UnicodeDecodeError:
        raise FailureError(f"{path} is not text: put it into storage or into a container image") from None
    except OSError as error:
        raise FailureError(f"{path} cannot be read: {error.strerror}") from None


def _over(word: str) -> Over:
    path = Path(word)
    return submitting.over(word, _text(path) if path.is_file() else None)


async def pool_of(cluster: Cluster | None, name: str | None) -> str:
    """The BatchPool to run on: the only one of the namespace if none is named.

    Args:
        cluster: None only if a pool is named.

    Raises:
        FailureError: there is not exactly one.
    """
    if name is not None or cluster is None:
        return name or ""
    found = sorted([objects.name(each) async for each in cluster.list(Kind.POOL)])
    if len(found) != 1:
        which = f"say which BatchPool with --pool: {', '.join(found)}"
        none = f"there is no BatchPool in namespace {cluster.namespace}: create one first (docs/first-pool.md)"
        raise FailureError(which if found else none)
    return found[0]


def order(
    script: str, overs: Sequence[str], arguments: Sequence[str], name: str | None, settings: Mapping[str, Any]
) -> Order:
    """What the words of the user mean."""
    path = Path(script)
    made = name or f"{submitting.slug(path.name)}-{suffix()}"
    return Order(made, path.name, _text(path), tuple(_over(each) for each in overs), tuple(arguments), settings)


async def _taken(cluster: Cluster, name: str, error: ApiException) -> FailureError:
    """What to do where an object of that name is there."""
    try:
        phase = objects.status(await cluster.get(Kind.JOB, name)).get("phase") or "Pending"
    except ApiException:
        return FailureError(f"{refusal(error)}: give another --name, or delete it first")
    return FailureError(
        f"BatchJob {name} already exists ({phase}): give another --name, or delete it first: kubectl delete bj/{name}"
    )


async def run(cluster: Cluster | None, wanted: Order, *, dry_run: bool) -> None:
    """Apply the objects, or print them, for which no cluster is needed."""
    made = submitting.manifests(wanted)
    if dry_run or cluster is None:
        output.documents(made)
        return
    *items, job = made
    try:
        created = await Submission(cluster, items, job).store()
    except ApiException as error:
        if error.status == HTTPStatus.CONFLICT:
            raise await _taken(cluster, objects.name(job), error) from None
        raise
    if sys.stderr.isatty():
        click.echo(f"To see its output: kubectl azure-batch logs -f {objects.name(created)}", err=True)
