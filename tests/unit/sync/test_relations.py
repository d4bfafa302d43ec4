"""Who belongs to whom, and who must stay for whom."""

from __future__ import annotations

import pytest

from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Key
from azure_batch_operator.sync.relations import Relations
from azure_batch_operator.sync.store import Store
from unit.objects import JOB_SPEC, POOL_SPEC, resource


def test_the_account_that_an_object_was_created_in_wins_over_references_that_change_later() -> None:
    store = Store()
    relations = Relations(store, None, None)  # type: ignore[arg-type]
    main, other = (Key(Kind.ACCOUNT, "default", name) for name in ("main", "other"))
    store.put(resource(Kind.POOL, POOL_SPEC | {"accountRef": {"name": "other"}}, name="cpu"))
    assert relations.account_key(resource(Kind.JOB, JOB_SPEC)) == other
    created = resource(Kind.JOB, JOB_SPEC, status={"account": "default/main"})
    assert relations.account_key(created) == main, "also when its pool is in another account now"
    store.remove(Key(Kind.POOL, "default", "cpu"))
    assert relations.account_key(created) == main, "also when its pool has gone before it"
    assert relations.account_key(resource(Kind.POOL, POOL_SPEC, status={"account": "default/other"})) == other


@pytest.mark.parametrize("text", ["", "main", "/main", "default/", "/"])
def test_a_status_that_somebody_has_edited_names_no_account(text: str) -> None:
    one = resource(Kind.JOB, JOB_SPEC | {"accountRef": {"name": "main"}}, status={"account": text})
    store = Store()
    store.put(one)
    relations = Relations(store, None, None)  # type: ignore[arg-type]
    assert relations.account_key(one) == Key(Kind.ACCOUNT, "default", "main")
