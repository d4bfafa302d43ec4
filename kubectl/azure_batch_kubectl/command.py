"""What every command shares: the options that say which cluster it looks at. What runs it is loaded only then (`later`)."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Any

import click


def _options(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option("--kubeconfig", metavar="FILE", help="Kubeconfig to use; KUBECONFIG if not given."),
        click.option("--context", metavar="NAME", help="Context of the kubeconfig; the current one if not given."),
        click.option("-n", "--namespace", metavar="NAME", help="Namespace; that of the context if not given."),
    ):
        command = option(command)
    return command


def on_cluster(function: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """A command from a coroutine function that takes a Cluster first; adds the options that say which."""

    @_options
    @functools.wraps(function)
    def command(kubeconfig: str | None, context: str | None, namespace: str | None, **arguments: Any) -> None:
        from azure_batch_kubectl.cluster import Place
        from azure_batch_kubectl.running import execute

        async def work(cluster: Any) -> None:
            await function(cluster, **arguments)

        execute(Place(kubeconfig, context, namespace), work)

    return command
