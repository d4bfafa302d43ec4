"""Files of tasks and nodes without the credentials of the account: the operator reads them, by a BatchOperation.

This needs rights that the user has anyway, to create BatchOperations and to read ConfigMaps: the API server judges both.
"""

from __future__ import annotations

import base64
from typing import Any
from uuid import uuid4

import click

from azure_batch_kubectl import objects, operating, storing
from azure_batch_kubectl.account import NoCredentialsError
from azure_batch_kubectl.cluster import Cluster
from azure_batch_kubectl.failure import FailureError
from azure_batch_kubectl.operating import Target
from azure_batch_kubectl.remote import Place
from azure_batch_operator.api.base import GROUP
from azure_batch_operator.api.kinds import KINDS, Kind
from azure_batch_operator.api.operation_inputs import MAX_FILE_BYTES

_TTL = 300
"""Seconds for which the operation stays, and with it the ConfigMap that others in the namespace can read, too."""
_CUT = 3
"""Bytes of a character that the operator leaves out where it has cut a text."""


async def _check_rights(cluster: Cluster, cause: NoCredentialsError, *, content: bool) -> None:
    """Refuse what the API server would refuse, before anything is created.

    Raises:
        FailureError: with the right that is missing.
    """
    needed = [("create", KINDS[Kind.OPERATION].plural, GROUP)] + ([("get", "configmaps", "")] if content else [])
    for verb, resource, group in needed:
        if not await cluster.may(verb, resource, group):
            raise FailureError(
                f"{cause.cause}, and you may not {verb} {resource}, by which the operator would read for you: "
                "ask for either right"
            )


async def _perform(cluster: Cluster, verb: str, where: Place, inputs: dict[str, Any]) -> objects.Object:
    """The operation when it has ended.

    Raises:
        FailureError: it has failed.
    """
    body = operating.operation(verb, Target(where.kind, where.name, where.member), inputs, _TTL)
    name = await storing.create_operation(cluster, body)
    try:
        await operating.done(cluster, name)
    except FailureError as error:
        raise FailureError(str(error)) from None
    return await cluster.get(Kind.OPERATION, name)


async def read(cluster: Cluster, where: Place, cause: NoCredentialsError, *, tail: bool) -> bytes:
    """A file, or what of its beginning or end fits into a ConfigMap.

    Raises:
        FailureError: there is no such file, or the user has not the rights.
    """
    await _check_rights(cluster, cause, content=True)
    name = f"read-{uuid4().hex[:12]}"
    inputs = {"path": where.path, "into": {"name": name}, "mostBytes": MAX_FILE_BYTES, "tail": tail}
    await _perform(cluster, "readFile", where, inputs)
    text, binary = await cluster.config_map(name)
    return text["content"].encode() if "content" in text else base64.b64decode(binary.get("content", ""))


def note_cut(content: bytes, *, tail: bool) -> None:
    """Say that a file may be longer than what was read."""
    if len(content) >= MAX_FILE_BYTES - 2 * _CUT:
        part = "last" if tail else "first"
        click.echo(f"(only the {part} {MAX_FILE_BYTES >> 10} KiB: the operator reads no more at once)", err=True)


async def items(cluster: Cluster, where: Place, cause: NoCredentialsError) -> list[dict[str, Any]]:
    """The files of a task, or the first level of those of a node, as Azure Batch lists them.

    Raises:
        FailureError: there is no such task or node, or the user has not the rights.
    """
    if where.kind is Kind.POOL and where.path:
        text = "without credentials only the first level of a node's files is listed: leave out the path"
        raise FailureError(f"{cause.cause}: {text}")
    await _check_rights(cluster, cause, content=False)
    done = await _perform(cluster, "listFiles", where, {"recursive": where.kind is Kind.JOB})
    found: list[dict[str, Any]] = []
    for result in objects.status(done).get("results") or []:
        for name, size in (result.get("values") or {}).items():
            found.append(_item(name, size))
        if omitted := result.get("omittedValues"):
            click.echo(f"({omitted} more files are not in the status of the operation)", err=True)
    return found


def _item(name: str, size: str) -> dict[str, Any]:
    if size == "directory":
        return {"name": name, "isDirectory": True}
    return {"name": name, "isDirectory": False, "properties": {"contentLength": size.removesuffix(" bytes")}}
