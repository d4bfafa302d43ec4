"""`diff`: reads objects or manifests and their resources in Azure Batch, and prints what differs as a unified diff."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from typing import IO, Any

import click
import yaml
from kubernetes.aio.client.exceptions import NotFoundException
from pydantic import ValidationError

from azure_batch_kubectl import comparing, objects
from azure_batch_kubectl.account import signed_in
from azure_batch_kubectl.actions import ended
from azure_batch_kubectl.cluster import Cluster
from azure_batch_kubectl.comparing import KINDS
from azure_batch_kubectl.failure import Exit, FailureError
from azure_batch_kubectl.objects import Object, status
from azure_batch_operator.api.base import GROUP, WRITTEN
from azure_batch_operator.api.kinds import KINDS as ALL_KINDS
from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Resource
from azure_batch_operator.batch import BatchClient, JsonObject
from azure_batch_operator.batch.errors import NotFoundError, is_gone
from azure_batch_operator.reconcile.defaults import with_defaults
from azure_batch_operator.reconcile.ownership import owner_of

_COLORS = {"+": "green", "-": "red", "@": "cyan"}
_PLURALS = {Kind.POOL: "pools", Kind.JOB: "jobs", Kind.SCHEDULE: "jobschedules"}


def manifests(files: Sequence[IO[bytes]], namespace: str) -> list[dict[str, Any]]:
    """The objects of the group that files hold, in the namespace that they name or else in that one.

    Raises:
        FailureError: a file is no YAML, or holds something that is no object.
    """
    found: list[dict[str, Any]] = []
    for file in files:
        try:
            documents = [each for each in yaml.safe_load_all(file.read()) if each is not None]
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            text = " ".join(str(error).split())
            raise FailureError(f"{file.name} is no YAML: {text}: correct it") from None
        for document in documents:
            found += _members(document, file.name)
    ours = [each for each in found if str(each.get("apiVersion", "")).partition("/")[0] == GROUP]
    return [{**each, "metadata": {"namespace": namespace, **each["metadata"]}} for each in ours]


def _members(document: Any, where: str) -> list[dict[str, Any]]:
    if isinstance(document, dict) and document.get("kind") == "List":
        return [member for item in document.get("items") or () for member in _members(item, where)]
    named = isinstance(document, dict) and isinstance(document.get("metadata"), dict)
    if not named or not document.get("kind") or not document["metadata"].get("name"):
        raise FailureError(f"{where} holds something that is no object with a kind and a name: correct it")
    return [document]


class NotComparedError(FailureError):
    """An object cannot be compared because its reference leads nowhere; the others can."""


@dataclass
class _Reader:
    """Reads what a comparison needs, each account and pool once."""

    cluster: Cluster
    stack: AsyncExitStack
    given: Sequence[Object]
    clients: dict[tuple[str, str], BatchClient] = field(default_factory=dict)
    found: dict[tuple[Kind, str, str], Object | None] = field(default_factory=dict)

    async def object_(self, kind: Kind, namespace: str, name: str) -> Object | None:
        """An object as it is in the cluster; None if there is none."""
        key = (kind, namespace, name)
        if key not in self.found:
            self.found[key] = None
            with suppress(NotFoundException):
                self.found[key] = {"kind": kind.value, **await self.cluster.get(kind, name, namespace)}
        return self.found[key]

    async def pool(self, thing: Object) -> Object | None:
        """The BatchPool that an object names: of the manifests, else of the cluster.

        Raises:
            NotComparedError: there is none.
        """
        name, namespace = objects.pool_of(thing), objects.namespace(thing)
        if name is None or thing["kind"] == Kind.POOL:
            return None
        for each in self.given:
            if (each["kind"], objects.namespace(each), objects.name(each)) == (Kind.POOL, namespace, name):
                return each
        if (pool := await self.object_(Kind.POOL, namespace, name)) is None:
            raise NotComparedError(f"{_who(thing)} names BatchPool {name}, which is not there: correct poolRef")
        return pool

    async def client(self, account: tuple[str, str]) -> BatchClient:
        """A client of an account."""
        if account not in self.clients:
            self.clients[account] = await self.stack.enter_async_context(signed_in(self.cluster, account))
        return self.clients[account]


def _who(thing: Object) -> str:
    return f"{thing['kind']} {objects.namespace(thing)}/{objects.name(thing)}"


async def _get(client: BatchClient, kind: Kind, id_: str) -> JsonObject | None:
    try:
        if kind is Kind.POOL:
            return await client.pools.get(id_)
        return await (client.jobs if kind is Kind.JOB else client.job_schedules).get(id_)
    except NotFoundError as error:
        if not is_gone(error):
            raise
        return None


def not_compared(thing: Object) -> str | None:
    """Why an object has nothing to compare; None if it has."""
    spec = objects.spec(thing)
    if thing["kind"] not in KINDS:
        return f"a {thing['kind']} has no properties to compare"
    if "retryOf" in spec:
        return "it takes its settings from another job (retryOf)"
    if "cron" in spec:
        return "the operator itself runs it by its cron expression, and Azure Batch has no job schedule for it"
    return None


def with_account_defaults(thing: Object, account: Object | None) -> Object:
    """The spec of an object with the defaults of its account.

    Raises:
        FailureError: the spec of a manifest is invalid.
    """
    try:
        ALL_KINDS[Kind(thing["kind"])].spec.model_validate(objects.spec(thing), context=WRITTEN)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, ("spec", *first["loc"])))
        raise FailureError(f"{_who(thing)} is invalid: {where}: {first['msg']}") from None
    body = {**thing, "metadata": {"uid": "", **thing["metadata"]}}
    return with_defaults(Resource.parse(body), objects.spec(account or {})).spec


async def _lines(reader: _Reader, thing: Object) -> list[str]:
    """The diff of one object."""
    kind, who = Kind(thing["kind"]), _who(thing)
    pool = await reader.pool(thing)
    known = await reader.object_(kind, objects.namespace(thing), objects.name(thing))
    place = objects.account_of(thing, pool, known)
    if place is None:
        raise NotComparedError(f"{who} names no account: set spec.accountRef")
    account = await reader.object_(Kind.ACCOUNT, *place)
    spec = with_account_defaults(thing, account)
    if account is None:
        name = "/".join(place)
        raise NotComparedError(f"{who} names BatchAccount {name}, which is not there: create it, or correct accountRef")
    id_ = str(status(known or {}).get("id") or objects.remote_id(thing))
    pool_id = str(status(pool).get("id") or objects.remote_id(pool)) if pool is not None else None
    remote = await _get(await reader.client(place), kind, id_)
    if remote is not None and (other := _other_owner(thing, remote)):
        click.echo(f"note: {who}: {other} owns {id_!r} in Azure Batch", err=True)
    found = comparing.compared(kind, id_, spec, pool_id, remote)
    for note in found.notes:
        click.echo(f"note: {who}: {note}", err=True)
    own = f"{thing['kind'].lower()}.{GROUP}/{objects.namespace(thing)}/{objects.name(thing)}"
    return comparing.unified(found, f"{_PLURALS[kind]}/{id_} (Azure Batch)", f"{own} (spec)")


def _other_owner(thing: Object, remote: JsonObject) -> str | None:
    owner = owner_of(remote)
    mine = (objects.namespace(thing), thing["kind"], objects.name(thing))
    if owner is None or owner.object[1:4] == mine:
        return None
    return f"{owner.object.kind} {owner.object.namespace}/{owner.object.name}"


async def _chosen(cluster: Cluster, words: Sequence[str]) -> AsyncIterator[Object]:
    """The objects that are named; without a name all of the namespace that have not ended."""
    for word in words:
        kind, name = objects.target([word])
        yield {"kind": kind.value, **await cluster.get(kind, name)}
    for kind in () if words else KINDS:
        async for each in cluster.list(kind):
            if not ended(each):
                yield each


async def run(cluster: Cluster, words: Sequence[str], files: Sequence[IO[bytes]]) -> Exit:
    """The command; its exit code. Of all objects of a namespace, one whose reference leads nowhere does not hide the others.

    Raises:
        FailureError: something that was asked for cannot be compared.
    """
    given = manifests(files, cluster.namespace)
    things = given if files and not words else [*given, *[each async for each in _chosen(cluster, words)]]
    # Whoever names an object, or gives a manifest, asks about that one.
    asked = bool(words or files)
    differs = incomplete = False
    async with AsyncExitStack() as stack:
        reader = _Reader(cluster, stack, given)
        for thing in things:
            if why := not_compared(thing):
                click.echo(f"note: {_who(thing)} is left out: {why}", err=True)
                continue
            try:
                lines = await _lines(reader, thing)
            except NotComparedError as error:
                if asked:
                    raise
                click.echo(f"error: {_who(thing)} is not compared: {error}", err=True)
                incomplete = True
                continue
            for line in lines:
                differs = True
                click.echo(click.style(line, fg=_COLORS.get(line[:1])))
    if incomplete:
        return Exit.USAGE
    return Exit.DIFFERENT if differs else Exit.SUCCESS
