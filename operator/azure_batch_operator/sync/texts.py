"""Reads all values that references name; an error names the place of the reference."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from azure_batch_operator.kube.values import LONG_AGO, ValueMissingError, ValueReader
from azure_batch_operator.reconcile.value_references import Reference, ResolutionError, Source


async def read_texts(
    values: ValueReader, namespace: str, needed: Iterable[Reference], since: int = LONG_AGO
) -> Mapping[Source, str]:
    """The text of every source as it was after the moment `since`, each read once.

    Raises:
        ResolutionError: if one is missing; the text names the field and the remedy.
        KubeError: if the API server is unreachable.
    """
    texts: dict[Source, str] = {}
    for reference in needed:
        source = reference.source
        if source not in texts:
            try:
                texts[source] = await values.text(source.kind, namespace, source.name, source.key, since=since)
            except ValueMissingError as error:
                raise ResolutionError(error.reason, f"{reference.path}: {error}") from None
    return texts
