"""Values in Secrets and ConfigMaps: which ones a spec needs, and where the REST body contains them.

A `…SecretRef` becomes the REST property that it stands for, an environment setting's `valueFrom` becomes `value`. Both steps are
pure walks along the models, so that nothing outside the declared places is ever taken for a reference. What comes out of `filled`
holds secrets: it goes into a request and nowhere else.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from azure_batch_operator.api.base import ApiModel, StandsFor
from azure_batch_operator.batch.redaction import safe_text
from azure_batch_operator.batch.wire import Body, convert
from azure_batch_operator.reconcile.references import KeyRef


@dataclass(frozen=True, order=True)
class Source:
    """A key of a Secret or ConfigMap."""

    kind: Literal["Secret", "ConfigMap"]
    name: str
    key: str


@dataclass(frozen=True)
class Reference:
    """A place in a spec that needs a value.

    Attributes:
        path: where it stands, for messages, such as `spec.userAccounts[0].passwordSecretRef`.
        source: where the value is.
    """

    path: str
    source: Source


class ResolutionError(Exception):
    """A value is not available; `reason` is a condition reason, the text names the place and the remedy, never a value.

    The text may quote names that users wrote, so it is made safe to show.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(safe_text(message))
        self.reason = reason


def references(model: type[ApiModel], spec: Body, path: str = "spec") -> Iterator[Reference]:
    """All references of a spec or REST body, in its order."""
    members = model.members()
    for name, value in spec.items():
        member = members.get(name)
        if member is None or value is None:
            continue
        here = f"{path}.{name}"
        if member.stands_for is not None:
            yield Reference(here, _source(value))
        elif member.model is not None:
            items = (
                [(f"{here}[{at}]", item) for at, item in enumerate(value)]
                if isinstance(value, list)
                else [(here, value)]
            )
            for where, item in items:
                if isinstance(item, Mapping):
                    yield from references(member.model, item, where)


def filled(model: type[ApiModel], spec: Body, values: Mapping[Source, str], path: str = "spec") -> dict[str, Any]:
    """The same spec or REST body with values instead of references.

    Args:
        values: the text of every source that `references` names.

    Raises:
        ResolutionError: if a text that must be a JSON object is none.
    """
    members = model.members()
    result: dict[str, Any] = {}
    for name, value in spec.items():
        member = members.get(name)
        here = f"{path}.{name}"
        if member is None or value is None:
            result[name] = value
        elif member.stands_for is not None:
            result[member.stands_for.name] = _value(member.stands_for, Reference(here, _source(value)), values)
        elif member.model is None:
            result[name] = value
        elif isinstance(value, list):
            result[name] = [
                filled(member.model, item, values, f"{here}[{at}]") if isinstance(item, Mapping) else item
                for at, item in enumerate(value)
            ]
        else:
            result[name] = filled(member.model, value, values, here) if isinstance(value, Mapping) else value
    return result


class _From(KeyRef, frozen=True, gc=False):
    """What a `…SecretRef` or a `valueFrom` names."""

    secret_key_ref: KeyRef | None = None
    config_map_key_ref: KeyRef | None = None


def _source(value: Body) -> Source:
    named = convert(_From, value)
    if (config_map := named.config_map_key_ref) is not None:
        return Source("ConfigMap", config_map.name, config_map.key)
    secret = named.secret_key_ref or named
    return Source("Secret", secret.name, secret.key)


def _value(mark: StandsFor, reference: Reference, values: Mapping[Source, str]) -> Any:
    text = values[reference.source]
    if not mark.structured:
        return text
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        parsed = None  # the parser's message would quote the secret
    if not isinstance(parsed, dict):
        source = reference.source
        raise ResolutionError(
            "SecretInvalid",
            f"{reference.path}: key {source.key!r} of Secret {source.name!r} is not a JSON object: correct it",
        ) from None
    return parsed
