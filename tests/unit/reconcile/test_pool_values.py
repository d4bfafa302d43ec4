"""Values from Secrets: what a pool may lack is sent once, and what is known to have changed survives the operator."""

from __future__ import annotations

from typing import Any

import pytest

from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Resource
from azure_batch_operator.reconcile import ownership
from azure_batch_operator.reconcile.plan import Plan
from azure_batch_operator.reconcile.pool.changes import with_note
from azure_batch_operator.reconcile.pool.lifecycle import PoolScope, plan
from azure_batch_operator.reconcile.pool.scope import PoolView
from azure_batch_operator.reconcile.secret_versions import Taken, ValueVersions, compared, noted, version_of
from azure_batch_operator.reconcile.value_references import Reference, Source
from support import typed
from unit.objects import ACCOUNT, CLUSTER, NOW, POOL_SPEC, owned, resource

USERS = [{"name": "u", "passwordSecretRef": {"name": "login", "key": "p"}}]
VARIABLE = {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "login", "key": "t"}}}
SPEC = POOL_SPEC | {"userAccounts": USERS, "startTask": {"commandLine": "true", "environmentSettings": [VARIABLE]}}
BEFORE = {"userAccounts": Taken("digest 1", "version 1"), "startTask": Taken("digest 1", "version 1")}
DUE_NOTE = {"name": "azurebatch.io/values", "value": "startTask=version 1,userAccounts=due"}
NOTE = {"userAccounts": "version 1", "startTask": "version 1"}


def pool(strategy: str = "WhenEmpty", **options: Any) -> Resource:
    return resource(Kind.POOL, SPEC | {"updateStrategy": strategy}, finalizer=True, **options)


def remote(owner: Resource, nodes: int = 4, **members: Any) -> dict[str, Any]:
    body = POOL_SPEC | {
        "id": "one", "state": "active", "allocationState": "steady", "targetDedicatedNodes": nodes,
        "currentDedicatedNodes": nodes, "eTag": "0x1", "userAccounts": [{"name": "u", "elevationLevel": "nonadmin"}],
        "startTask": {"commandLine": "true", "environmentSettings": [{"name": "TOKEN", "value": "x"}]},
    }  # fmt: skip
    return with_note(owned(body | members, owner), owner.spec, ValueVersions(BEFORE))


def decide(one: Resource, there: dict[str, Any], values: ValueVersions) -> Plan:
    counts = typed.nodes({"dedicated": {"idle": 4, "total": 4}})
    return plan(PoolScope(one, ACCOUNT, PoolView(there, counts, values=values), CLUSTER, NOW))


def seen(digest: str, version: str) -> dict[str, Taken]:
    return dict.fromkeys(BEFORE, Taken(digest, version))


def patched(decision: Plan) -> dict[str, Any]:
    (call,) = decision.calls
    assert (call.verb, call.body is None) == ("update_pool", False)
    return {name: value for name, value in (call.body or {}).items() if name != "metadata"}


def note_of(decision: Plan) -> dict[str, str]:
    return noted(decision.calls[0].body or {})


@pytest.mark.parametrize(
    ("taken", "given", "changed", "certain"),
    [
        (("digest 1", "version 1"), None, False, False),
        (("another process's", "version 2"), None, True, False),
        (("digest 1", "version 2"), "digest 1", False, False),
        (("digest 2", "version 2"), "digest 1", True, True),
    ],
    ids=["untouched while away", "touched while away", "touched", "changed"],
)
def test_what_is_known_of_a_value(taken: tuple[str, str], given: str | None, changed: bool, certain: bool) -> None:
    there = remote(pool())
    values = compared({"userAccounts": Taken(*taken)}, {} if given is None else {"userAccounts": given}, there)
    assert (values.changed, values.certain) == (
        frozenset({"userAccounts"} if changed else ()),
        frozenset({"userAccounts"} if certain else ()),
    )


def test_a_pool_that_was_taken_over_is_left_as_it_is() -> None:
    there = remote(pool())
    ours = {"azurebatch.io/values", "azurebatch.io/applied"}
    there["metadata"] = [item for item in there["metadata"] if item["name"] not in ours]
    assert not compared(seen("digest 9", "version 9"), {}, there).changed


def test_a_new_pool_says_what_it_was_given() -> None:
    assert noted(remote(pool())) == NOTE
    assert decide(pool(), remote(pool()), compared(BEFORE, {}, remote(pool()))).calls == ()


def test_a_secret_that_was_touched_is_noted_and_nothing_is_said_of_it() -> None:
    there = remote(pool())
    rested = decide(pool(), there, compared(BEFORE, {}, there)).status
    assert rested is not None
    values = compared(seen("digest 1", "version 2"), dict.fromkeys(BEFORE, "digest 1"), there)
    decision = decide(pool(status=dict(rested)), there, values)
    assert patched(decision) == {}
    assert note_of(decision) == dict.fromkeys(BEFORE, "version 2")
    assert decision.status == rested
    assert decision.events == ()
    assert decision.drift == ()


@pytest.mark.parametrize("strategy", ["WhenEmpty", "Drain", "Recreate"])
def test_possible_unobserved_changes_are_sent_once_without_interruption(strategy: str) -> None:
    one, there = pool(strategy), remote(pool(strategy))
    decision = decide(one, there, compared(seen("digest x", "version 2"), {}, there))
    assert patched(decision) == {"startTask": one.spec["startTask"]}
    assert note_of(decision) == {"startTask": "version 2", "userAccounts": "version 1"}
    there["metadata"] = (decision.calls[0].body or {})["metadata"]
    values = compared(seen("digest x", "version 2"), {"startTask": "digest x"}, there)
    waiting = decide(one, there, values)
    assert waiting.calls == ()
    assert waiting.status is not None
    assert waiting.status["pendingChanges"] == ["userAccounts"]
    assert waiting.status["phase"] == "UpdatePending"
    nobody = {"targetDedicatedNodes": 0, "currentDedicatedNodes": 0}
    emptied = decide(one, there | nobody, values)
    assert patched(emptied) == {"userAccounts": USERS}
    assert note_of(emptied) == dict.fromkeys(BEFORE, "version 2")


def test_what_has_changed_for_certain_is_noted_as_due_before_nodes_are_drained() -> None:
    one, there = pool("Drain"), remote(pool("Drain"))
    taken, given = seen("digest 2", "version 2"), dict.fromkeys(BEFORE, "digest 1")
    decision = decide(one, there, compared(taken, given, there))
    assert patched(decision) == {"startTask": one.spec["startTask"]}
    assert note_of(decision) == {"startTask": "version 2", "userAccounts": "due"}
    there["metadata"] = (decision.calls[0].body or {})["metadata"]
    after_a_crash = decide(one, there, compared(taken, {}, there))
    assert [call.verb for call in after_a_crash.calls] == ["resize_pool"]
    assert after_a_crash.status is not None
    assert after_a_crash.status["phase"] == "Draining"


def test_a_secret_that_changes_twice_makes_a_third_pool_and_none_under_an_id_in_use() -> None:
    one = pool("Recreate")
    taken, given = seen("digest 2", "version 2"), dict.fromkeys(BEFORE, "digest 1")
    made = []
    for id in ("one", "one-g1", "one-g1-2"):
        there = remote(one, id=id)
        there["metadata"] = [item if item["name"] != "azurebatch.io/values" else DUE_NOTE for item in there["metadata"]]
        decision = decide(one, there, compared({"userAccounts": taken["userAccounts"]}, given, there))
        made += [call.body["id"] for call in decision.calls if call.verb == "create_pool" and call.body]
    assert made == ["one-g1", "one-g1-2", "one-g1"], "an id whose pool has gone is free again"


def test_a_secret_that_cannot_be_read_changes_nothing() -> None:
    there = remote(pool())
    assert decide(pool(), there, compared({}, {}, there)).calls == ()


def test_the_note_is_the_operators_own() -> None:
    there = remote(pool())
    items = ownership.with_marker(there, "somebody")["metadata"]
    assert [item["name"] for item in items] == ["azurebatch.io/owner"], (
        "who takes a pool over does not know what it was given"
    )


def test_versions_follow_the_object_and_say_nothing_of_what_it_holds() -> None:
    one = Reference("spec.startTask.environmentSettings[0].valueFrom", Source("Secret", "login", "p"))
    versions = {version_of([(one, version)]) for version in ("uid/1", "uid/2", "other/1")}
    assert len(versions) == 3
    other = Reference(one.path, Source("Secret", "login", "t"))
    beside = Reference("spec.startTask.environmentSettings[1].valueFrom", one.source)
    assert version_of([(other, "uid/1")]) not in versions, "another key holds another value"
    assert version_of([(one, "uid/1"), (beside, "uid/1")]) not in versions, "another place takes it as well"


def test_a_value_that_stood_in_the_spec_and_comes_from_a_secret_now_has_changed() -> None:
    """The service would not show the difference, and nothing was noted of a Secret."""
    there = remote(pool())
    there["metadata"] = [item for item in there["metadata"] if item["name"] != "azurebatch.io/values"]
    assert compared(seen("digest 1", "version 1"), {}, there).certain == BEFORE.keys()


def test_a_change_that_was_seen_before_the_pool_is_certain() -> None:
    """A new operator has read the Secret, then the Secret changes, and only then the first list of pools comes."""
    one, there = pool("Recreate"), remote(pool("Recreate"))
    first = Taken("digest 1", "version 1")
    for then, verbs in (
        (first.then("digest 2", "version 2"), ["create_pool"]),
        (first.then("digest 1", "version 2"), []),
    ):
        values = compared({"userAccounts": then, "startTask": BEFORE["startTask"]}, {}, there)
        made = [call.verb for call in decide(one, there, values).calls if call.verb != "update_pool"]
        if verbs:
            # First it is noted as due; then the new pool is made.
            noting = decide(one, there, values)
            assert note_of(noting)["userAccounts"] == "due"
            made = [call.verb for call in decide(one, there | dict(noting.calls[0].body or {}), values).calls]
        assert made == verbs
        assert values.changed == values.certain == (frozenset({"userAccounts"}) if verbs else frozenset())


def test_a_process_keeps_only_the_last_versions_that_it_has_read() -> None:
    now = Taken("digest 0", "version 0")
    for number in range(1, 20):
        now = now.then(f"digest {number}", f"version {number}")
    assert list(now.earlier) == [f"version {number}" for number in range(11, 19)]
    assert now.then("digest 19", "version 19") == now
