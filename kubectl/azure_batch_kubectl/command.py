"""What every command shares: the options that say which cluster it looks at. What runs it is loaded only then (`later`)."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import click

from azure_batch_kubectl.failure import Exit
from azure_batch_kubectl.proposals import namespaces


def _options(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option("--kubeconfig", metavar="FILE", help="Path of the kubeconfig file. Defaults to KUBECONFIG."),
        click.option("--context", metavar="NAME", help="Context in the kubeconfig. Defaults to the current one."),
        click.option(
            "-n",
            "--namespace",
            metavar="NAME",
            help="Namespace. Defaults to that of the context.",
            shell_complete=namespaces,
        ),
    ):
        command = option(command)
    return command


def on_cluster(
    function: Callable[..., Awaitable[None]],
    *,
    error: int = Exit.ERROR,
    offline: Callable[[Mapping[str, Any]], bool] = lambda _: False,
) -> Callable[..., None]:
    """A command from a coroutine function that takes a Cluster first; adds the options that say which.

    Args:
        error: exit code of an error, where 1 means something else.
        offline: whether the command with these options asks no cluster, so that it needs no kubeconfig and gets None.
    """

    @_options
    @functools.wraps(function)
    def command(kubeconfig: str | None, context: str | None, namespace: str | None, **arguments: Any) -> None:
        from azure_batch_kubectl.cluster import Place
        from azure_batch_kubectl.running import execute

        async def work(cluster: Any) -> None:
            await function(cluster, **arguments)

        execute(None if offline(arguments) else Place(kubeconfig, context, namespace), work, error)

    return command
