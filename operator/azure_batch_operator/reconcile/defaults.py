"""Defaults of an account for the pools and jobs in it, for properties that their specs leave unset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Resource
from azure_batch_operator.batch.wire import Body, Wire, build

_BY_NAME = frozenset({"metadata", "commonEnvironmentSettings"})
"""Lists whose items are put together by name; anything else is taken from one side as a whole."""


class _Defaults(Wire, frozen=True, gc=False):
    """`spec.defaults` of a BatchAccount."""

    pool: Body | None = None
    job: Body | None = None


class _Account(Wire, frozen=True, gc=False):
    """The member of the spec of a BatchAccount that has defaults."""

    defaults: _Defaults = _Defaults()


def with_defaults(resource: Resource, account_spec: Body) -> Resource:
    """An object as if its spec held its account's defaults for what it leaves out.

    Args:
        account_spec: of its BatchAccount.
    """
    defaults = build(_Account, account_spec).defaults
    match resource.key.kind:
        case Kind.POOL if defaults.pool:
            return replace(resource, spec=_under(resource.spec, defaults.pool))
        case Kind.JOB if defaults.job:
            return replace(resource, spec=_under(resource.spec, defaults.job))
        case Kind.SCHEDULE if defaults.job and not resource.is_cron:
            specification = _under(resource.job_spec[1], defaults.job)
            return replace(resource, spec={**resource.spec, "jobSpecification": specification})
        case _:
            return resource


def _under(spec: Body, defaults: Body) -> dict[str, Any]:
    merged = dict(defaults) | dict(spec)
    for name in _BY_NAME & spec.keys() & defaults.keys():
        merged[name] = _together(spec[name], defaults[name])
    return merged


def _together(items: Sequence[Body], defaults: Sequence[Body]) -> list[Body]:
    own = {item["name"] for item in items}
    return [*(item for item in defaults if item["name"] not in own), *items]
