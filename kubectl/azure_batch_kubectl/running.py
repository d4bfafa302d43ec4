"""Runs a command on a cluster, and says in one line, with an exit code, how it fails, also on Ctrl-C."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

import aiohttp
import click
from kubernetes.aio.client.exceptions import ApiException
from kubernetes.aio.config import ConfigException
from urllib3.exceptions import HTTPError

from azure_batch_kubectl.cluster import Place, connected, refusal, unusable
from azure_batch_kubectl.failure import Exit, FailureError
from azure_batch_kubectl.objects import UnknownKindError
from azure_batch_operator.api.kinds import KINDS
from azure_batch_operator.batch import BatchError

Work = Callable[[Any], Awaitable[None]]
"""Takes the cluster."""

_EXPLAINED = (
    *(FailureError, ApiException, BatchError, UnknownKindError, ConfigException),
    *(aiohttp.ClientError, HTTPError, OSError),
)


async def _run(place: Place | None, work: Work) -> None:
    try:
        if place is None:
            await work(None)
            return
        async with connected(place) as cluster:
            await work(cluster)
    except BaseExceptionGroup as group:
        # Of a task group: the first error tells what is wrong, as it does without a group.
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        raise error from None


def explained(error: Exception) -> FailureError:
    """What to say of an error that a command did not handle itself, with its notes."""
    if isinstance(error, FailureError):
        return error
    return FailureError(": ".join([_said(error), *getattr(error, "__notes__", ())]))


def _said(error: Exception) -> str:
    if isinstance(error, ConfigException):
        # Of a token that the library renews between two calls.
        return unusable(error)
    if isinstance(error, ApiException):
        return refusal(error) + _where_to_look(error)
    if isinstance(error, (aiohttp.ClientError, HTTPError, TimeoutError, OSError)):
        text = " ".join(str(error).split()) or type(error).__name__
        return f"the API server is unreachable: {text}: check the cluster and --context"
    return " ".join(str(error).split())


_NO_OBJECT = re.compile(r"([a-z]+)\.azurebatch\.io \"[^\"]*\" not found")


def _where_to_look(error: ApiException) -> str:
    """What to do where an object of ours is not there."""
    said = _NO_OBJECT.fullmatch(refusal(error)) if error.status == HTTPStatus.NOT_FOUND else None
    names = next((each for each in KINDS.values() if said is not None and each.plural == said[1]), None)
    return (
        "" if names is None else f": kubectl get {names.short} lists those of the namespace; -n names another namespace"
    )


def execute(place: Place | None, work: Work, code: int = Exit.ERROR) -> None:
    """Do the work, without a cluster if no place is given; ends the program if it fails.

    Args:
        code: exit code of an error that has none of its own.
    """
    try:
        asyncio.run(_run(place, work))
    except BrokenPipeError:
        raise  # click ends the program quietly
    except _EXPLAINED as error:
        failure = explained(error)
        click.echo(f"error: {failure}", err=True)
        sys.exit(code if failure.code is Exit.ERROR else failure.code)
