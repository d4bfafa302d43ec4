"""Who belongs to whom, and who must stay for whom."""

from __future__ import annotations

from typing import Any

import pytest

from azure_batch_operator.api.base import FORCE_FINALIZE
from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.sync.relations import Relations
from azure_batch_operator.sync.store import Store
from unit.objects import JOB_SPEC, POOL_SPEC, resource


@pytest.mark.parametrize(
    ("spec", "options", "needed"),
    [
        ({}, {"finalizer": True}, True),
        ({}, {"finalizer": True, "status": {"account": "default/main"}}, False),
        ({}, {}, False),
        ({"accountRef": {"name": "main"}}, {"finalizer": True}, False),
        ({"backoff": {"fallbackPoolRef": {"name": "cpu"}}, "poolRef": {"name": "x"}}, {"finalizer": True}, False),
    ],
)
def test_a_pool_stays_while_a_job_knows_its_account_only_by_it(
    spec: dict[str, Any], options: dict[str, Any], needed: bool
) -> None:
    store = Store()
    pool = resource(Kind.POOL, POOL_SPEC, name="cpu", finalizer=True, deleting=True)
    store.put(pool)
    store.put(resource(Kind.JOB, JOB_SPEC | spec, **options))
    relations = Relations(store, None, None)  # type: ignore[arg-type]
    assert relations.needed(pool) is needed
    released = resource(Kind.POOL, POOL_SPEC, name="cpu", deleting=True, annotations={FORCE_FINALIZE: "true"})
    assert not relations.needed(released)
