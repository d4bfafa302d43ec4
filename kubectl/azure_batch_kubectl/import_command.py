"""`import`: reads an account with its credentials, and prints the manifests that adopt what it holds. It changes nothing."""

from __future__ import annotations

from collections.abc import Sequence

import click

from azure_batch_kubectl import adopting, objects, output
from azure_batch_kubectl.account import signed_in
from azure_batch_kubectl.adopting import Context, Found
from azure_batch_kubectl.choices import Form, Output
from azure_batch_kubectl.cluster import Cluster
from azure_batch_kubectl.failure import FailureError
from azure_batch_kubectl.objects import Object
from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.batch import BatchClient

_OPEN = "state ne 'completed'"
_KINDS = (Kind.POOL, Kind.SCHEDULE, Kind.JOB)
Chosen = frozenset[tuple[Kind, str]]


def chosen(words: Sequence[str]) -> Chosen:
    """Kind and ID in lower case of each resource that is asked for; none for all.

    Raises:
        FailureError: a word names another kind.
    """
    named = [objects.target([each]) for each in words]
    for kind, _ in named:
        if kind not in _KINDS:
            raise FailureError(f"a {kind} cannot adopt anything: name a pool (bp/ID), schedule (bjs/ID) or job (bj/ID)")
    return frozenset((kind, id_.lower()) for kind, id_ in named)


async def _account(cluster: Cluster, name: str | None) -> tuple[str, str]:
    """Namespace and name of the BatchAccount.

    Raises:
        FailureError: none is named, and there is not exactly one.
    """
    if name is not None:
        namespace, _, short = name.rpartition("/")
        return namespace or cluster.namespace, short
    found = [objects.name(each) async for each in cluster.list(Kind.ACCOUNT)]
    if len(found) != 1:
        which = f"say which BatchAccount with --account: {', '.join(sorted(found))}"
        none = (
            f"there is no BatchAccount in namespace {cluster.namespace}: create one, or give --account NAMESPACE/NAME"
        )
        raise FailureError(which if found else none)
    return cluster.namespace, found[0]


async def _known_pools(cluster: Cluster, account: tuple[str, str]) -> dict[str, str]:
    """Names of the BatchPools of the namespace in that account, by the ID of their pool."""

    def is_there(pool: Object) -> bool:
        return objects.account_of(pool) == account

    return {
        objects.remote_id(each).lower(): objects.name(each) async for each in cluster.list(Kind.POOL) if is_there(each)
    }


async def _read(client: BatchClient, wanted: Chosen) -> Found:
    def asked(kind: Kind, id_: str) -> bool:
        return not wanted or (kind, id_.lower()) in wanted

    return Found(
        tuple([each async for each in client.pools.list() if asked(Kind.POOL, str(each["id"]))]),
        tuple(
            [each async for each in client.job_schedules.list(filter=_OPEN) if asked(Kind.SCHEDULE, str(each["id"]))]
        ),
        tuple([each async for each in client.jobs.list(filter=_OPEN) if asked(Kind.JOB, str(each["id"]))]),
    )


async def run(cluster: Cluster, words: Sequence[str], account: str | None, form: Output | None) -> None:
    """The command.

    Raises:
        FailureError: a resource that was named is not there.
    """
    wanted, place = chosen(words), await _account(cluster, account)
    reference = {"name": place[1]} | ({"namespace": place[0]} if place[0] != cluster.namespace else {})
    async with signed_in(cluster, place) as client:
        found = await _read(client, wanted)
    missing = wanted - {(kind, str(each["id"]).lower()) for kind, each in found.by_kind()}
    if missing:
        kind, id_ = min(missing)
        raise FailureError(
            f"account {place[0]}/{place[1]} has no open resource with ID {id_!r} for a {kind}: check the ID"
        )
    result = adopting.imported(found, Context(reference, await _known_pools(cluster, place)))
    if output.is_data(form) and form is not Form.YAML:
        output.emit(form, result.manifests, output.object_name)
    else:
        output.documents(result.manifests)
    for note in result.notes:
        click.echo(f"note: {note}", err=True)
    if not result.manifests:
        click.echo("There is nothing to adopt.", err=True)
