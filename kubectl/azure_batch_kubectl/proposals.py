"""Names that a shell proposes: objects of the namespace and namespaces, asked for only when a shell asks, and not for long.

Whoever completes a word waits at the keyboard. So there is a time limit, one page of names, metadata without specs, and silence
where the cluster cannot be asked; tests/unit/kubectl/test_completion.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from azure_batch_kubectl.later import later

if TYPE_CHECKING:
    from azure_batch_kubectl import cluster
else:
    cluster = later("cluster")

SECONDS = 2.0
_LIMIT = 500
_KINDS = {
    "bj": "batchjobs",
    "bt": "batchtasks",
    "bjs": "batchjobschedules",
    "bop": "batchoperations",
    "bp": "batchpools",
    "bacc": "batchaccounts",
}
ALL = tuple(_KINDS)
"""Short names of all kinds, those that end first."""
NAMESPACES = "namespaces"


Proposer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def names(ctx: click.Context, plural: str, fields: str = "") -> list[str]:
    """Names of a kind in the namespace that the words so far mean; none where the cluster does not tell in time."""
    given = ctx.params
    place = cluster.Place(given.get("kubeconfig"), given.get("context"), given.get("namespace"))

    async def asked() -> list[str]:
        async with asyncio.timeout(SECONDS), cluster.connected(place) as found:
            return list(await found.names(plural, _LIMIT, fields))

    try:
        return asyncio.run(asked())
    except Exception:
        # An error has no place in a line that is being written.
        return []


def named(*shorts: str, bare: str = "", tasks: bool = False) -> Proposer:
    """What completes a word that names an object.

    Args:
        shorts: short names of the kinds that may stand before a slash.
        bare: that of the kind that is meant without one.
        tasks: whether the name of a job goes on with that of a BatchTask.
    """

    def propose(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        del param
        before, slash, begun = incomplete.rpartition("/")
        if not slash:
            kinds = [CompletionItem(f"{short}/") for short in shorts if short.startswith(incomplete)]
            return [*(_items("", names(ctx, _KINDS[bare]), incomplete) if bare else []), *kinds]
        if before in shorts:
            return _items(f"{before}/", names(ctx, _KINDS[before]), begun)
        if tasks:
            job = before.rpartition("/")[2]
            return _items(f"{before}/", names(ctx, _KINDS["bt"], f"spec.jobRef.name={job}"), begun)
        return []

    return propose


def _items(before: str, found: Sequence[str], begun: str) -> list[CompletionItem]:
    return [CompletionItem(before + name) for name in found if name.startswith(begun)]


def namespaces(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Namespaces that begin so."""
    del param
    return _items("", names(ctx, NAMESPACES), incomplete)
