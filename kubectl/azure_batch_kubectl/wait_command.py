"""`wait`: reads the object once a second and shows progress on a terminal."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import aiohttp
import click
from kubernetes.aio.client.exceptions import ApiException, NotFoundException
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from azure_batch_kubectl import objects, waiting
from azure_batch_kubectl.choices import Goal
from azure_batch_kubectl.cluster import Cluster
from azure_batch_kubectl.failure import Exit, FailureError
from azure_batch_operator.api.kinds import Kind

_SECONDS = 1.0


class Show(Protocol):
    """Shows how it stands."""

    def __call__(self, thing: objects.Object) -> None:
        """Take note of the object as it is now."""


class _Reasons:
    """Tells what an object waits for, once for each reason after another one; who waits without a word learns nothing."""

    def __init__(self, tell: Callable[[str], object]) -> None:
        self._tell = tell
        self._told: str | None = None

    def __call__(self, thing: objects.Object) -> None:
        reason = waiting.reason(thing)
        if reason is not None and reason != self._told:
            self._tell(reason)
        self._told = reason


@contextmanager
def _progress(label: str) -> Iterator[Show]:
    """On stderr: each new reason to wait as a line, and a bar if that is a terminal."""
    if not sys.stderr.isatty():
        yield _Reasons(lambda line: click.echo(line, err=True))
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[text]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task(label, total=None, text="")
        reasons = _Reasons(lambda line: progress.console.print(line, markup=False, highlight=False, soft_wrap=True))

        def show(thing: objects.Object) -> None:
            reasons(thing)
            done, total = waiting.numbers(thing)
            progress.update(bar, completed=done, total=total or None, text=waiting.summary(thing))

        yield show


async def wait_for(
    cluster: Cluster, kind: Kind, name: str, goal: Goal, timeout: float = 0.0, after: str = ""
) -> waiting.Judgment:
    """Wait until an object has ended.

    Args:
        timeout: seconds; 0 for no limit.
        after: what to say after the timeout.

    Raises:
        FailureError: it was deleted meanwhile; with exit code 4 after the timeout.
    """
    try:
        async with asyncio.timeout(timeout or None) as limit:
            return await _wait(cluster, kind, name, goal)
    except TimeoutError:
        if not limit.expired():
            raise
        text = f"{kind} {name} is not {goal} after {timeout:g} s: {after}"
        raise FailureError(text, Exit.TIMEOUT) from None


async def _wait(cluster: Cluster, kind: Kind, name: str, goal: Goal) -> waiting.Judgment:
    thing: dict[str, Any] | None = await cluster.get(kind, name)
    uid = thing["metadata"].get("uid") if thing else None
    with _progress(f"{kind} {name}") as show:
        while True:
            if thing is not None:
                show(thing)
                if (judgment := waiting.judged(thing, goal)).reached is not None:
                    return judgment
            await asyncio.sleep(_SECONDS)
            thing = await _again(cluster, kind, name)
            if thing is not None and thing["metadata"].get("uid") != uid:
                raise FailureError(
                    f"{kind} {name} was deleted, and another one created with its name: wait for that one"
                )


async def _again(cluster: Cluster, kind: Kind, name: str) -> dict[str, Any] | None:
    """The object; None while the API server does not answer, which a long wait outlives."""
    try:
        return await cluster.get(kind, name)
    except NotFoundException:
        text = f"{kind} {name} was deleted, and it is not known whether it had ended: see kubectl get events"
        raise FailureError(text) from None
    except ApiException as error:
        if error.status == 429 or (error.status or 500) >= 500:
            return None
        raise
    except (aiohttp.ClientError, TimeoutError):
        return None


async def run(cluster: Cluster, kind: Kind, name: str, goal: Goal, timeout: float) -> None:
    """The command.

    Args:
        timeout: seconds; 0 for no limit.

    Raises:
        FailureError: with exit code 3 if the object has ended in another way, 4 after the timeout.
    """
    if kind not in waiting.KINDS:
        raise FailureError(f"{kind} {name} does not end: wait for it with kubectl wait --for=condition=Ready")
    why = f"kubectl azure-batch why {kind.lower()}/{name} says why"
    judgment = await wait_for(cluster, kind, name, goal, timeout, why)
    text = f"{kind.lower()}.azurebatch.io/{name} {judgment.text}"
    if not judgment.reached:
        raise FailureError(text, Exit.FAILED)
    click.echo(text)
