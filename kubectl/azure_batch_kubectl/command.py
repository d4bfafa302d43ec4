"""What every command shares: where it looks, and how it fails: in one line, with an exit code, also on Ctrl-C."""

from __future__ import annotations

import asyncio
import functools
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import click
from kubernetes.aio.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from azure_batch_kubectl.cluster import Cluster, Place, connected, refusal
from azure_batch_kubectl.failure import Exit, FailureError
from azure_batch_kubectl.objects import UnknownKindError
from azure_batch_operator.batch import BatchError


def _options(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option("--kubeconfig", metavar="FILE", help="Kubeconfig to use; KUBECONFIG if not given."),
        click.option("--context", metavar="NAME", help="Context of the kubeconfig; the current one if not given."),
        click.option("-n", "--namespace", metavar="NAME", help="Namespace; that of the context if not given."),
    ):
        command = option(command)
    return command


async def _run(place: Place, action: Callable[[Cluster], Awaitable[None]]) -> None:
    async with connected(place) as cluster:
        await action(cluster)


def _explained(error: Exception) -> FailureError:
    """What to say of an error that a command did not handle itself."""
    if isinstance(error, FailureError):
        return error
    if isinstance(error, ApiException):
        return FailureError(refusal(error))
    if isinstance(error, (aiohttp.ClientError, HTTPError, TimeoutError, OSError)):
        text = " ".join(str(error).split()) or type(error).__name__
        return FailureError(f"the API server is out of reach: {text}: check the cluster and --context")
    return FailureError(" ".join(str(error).split()))


def on_cluster(function: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """A command from a coroutine function that takes a Cluster first; adds the options that say which."""

    @_options
    @functools.wraps(function)
    def command(kubeconfig: str | None, context: str | None, namespace: str | None, **arguments: Any) -> None:
        place = Place(kubeconfig, context, namespace)
        try:
            asyncio.run(_run(place, functools.partial(_call, function, arguments)))
        except BrokenPipeError:
            raise  # click ends the program quietly
        except (
            FailureError,
            ApiException,
            BatchError,
            UnknownKindError,
            aiohttp.ClientError,
            HTTPError,
            OSError,
        ) as error:
            failure = _explained(error)
            click.echo(f"error: {failure}", err=True)
            sys.exit(failure.code)
        except KeyboardInterrupt:
            sys.exit(Exit.INTERRUPTED)

    return command


async def _call(function: Callable[..., Awaitable[None]], arguments: dict[str, Any], cluster: Cluster) -> None:
    await function(cluster, **arguments)
