"""A namespace that is deleted while the operator is down: what signing in takes stays until Azure Batch is cleaned up."""

from __future__ import annotations

from typing import Any

import pytest

from support.stage import Stage, job, pool, sleeping, thing

FINALIZER = "azurebatch.io/finalizer"


def finalizers(stage: Stage, name: str = "main-key", namespace: str = "team") -> list[str]:
    found: list[str] = stage.get("secret", name, namespace).get("metadata", {}).get("finalizers", [])
    return found


async def a_team(stage: Stage) -> None:
    """A namespace with an account of its own, a pool, and a job that runs."""
    stage.apply({"kind": "Namespace", "metadata": {"name": "team"}})
    things = [pool("cpu"), job("own", tasks=sleeping(2, 7200))]
    for each in things:
        each["metadata"]["namespace"] = "team"
    stage.apply(*stage.account_objects(namespace="team"), *things)
    await stage.until(lambda: stage.phase("bj", "own", "team") == "Running", 900)


async def test_everything_goes_with_a_namespace_that_was_deleted_while_the_operator_was_down(stage: Stage) -> None:
    await a_team(stage)
    await stage.kill()
    stage.delete("ns", "team")
    await stage.run_for(60)
    assert stage.get("secret", "main-key", "team"), "it waits for the operator"
    stage.start()
    await stage.until(lambda: not stage.get("ns", "team"), 1800)
    assert stage.azure.ids("/pools") == []
    assert stage.azure.ids("/jobs") == []


async def test_it_goes_as_well_while_the_operator_runs(stage: Stage) -> None:
    await a_team(stage)
    stage.delete("ns", "team")
    await stage.until(lambda: not stage.get("ns", "team"), 1800)
    assert stage.azure.ids("/pools") == []


async def test_a_secret_alone_is_released_at_once(stage: Stage) -> None:
    """Whoever makes it again, as by a tool that deletes and creates, is not held up for long."""
    await a_team(stage)
    assert finalizers(stage) == [FINALIZER]
    stage.delete("secret", "main-key", "team")
    await stage.until(lambda: not stage.get("secret", "main-key", "team"), 90)
    await stage.until(lambda: stage.reason("bacc", "main", "team") == "SecretNotFound", 120)
    stage.apply(stage.account_objects(namespace="team")[0])
    await stage.until(lambda: stage.ready("bacc", "main", "team") and finalizers(stage) == [FINALIZER], 120)


async def test_a_secret_is_released_when_nothing_needs_it_and_finalizers_of_others_stay(stage: Stage) -> None:
    await a_team(stage)
    stage.patch("secret", "main-key", {"metadata": {"finalizers": [FINALIZER, "acme.io/backup"]}}, "team")
    stage.delete("bj", "own", "team")
    stage.delete("bp", "cpu", "team")
    await stage.until(lambda: stage.gone("bp", "cpu", "team"), 900)
    await stage.until(lambda: finalizers(stage) == ["acme.io/backup"], 90)
    stage.delete("bacc", "main", "team")
    await stage.until(lambda: stage.gone("bacc", "main", "team"), 60)
    assert finalizers(stage) == ["acme.io/backup"]


async def test_a_secret_that_two_accounts_sign_in_with_stays_until_both_are_done(stage: Stage) -> None:
    await a_team(stage)
    secret, account = stage.account_objects("second", namespace="team")
    account["spec"]["auth"] = {"sharedKey": {"secretRef": {"name": "main-key", "key": "key"}}}
    extra = pool("other", accountRef={"name": "second"})
    extra["metadata"]["namespace"] = "team"
    stage.apply(account, extra)
    await stage.until(lambda: stage.ready("bp", "other", "team"), 600)
    before = len(stage.api.log)
    for kind, name in (("bp", "other"), ("bacc", "second")):
        stage.delete(kind, name, "team")
        await stage.until(lambda kind=kind, name=name: stage.gone(kind, name, "team"), 900)
    await stage.run_for(120)
    assert finalizers(stage) == [FINALIZER], "the first account needs it"
    written = [call.name for call in stage.api.log[before:] if call.resource == "secrets" and call.verb == "patch"]
    assert written == [], "it was needed all the time"
    assert secret["metadata"]["name"] == "second-key"
    assert finalizers(stage, "second-key") == []


async def test_another_secret_is_named_and_the_first_one_released(stage: Stage) -> None:
    await a_team(stage)
    other = stage.account_objects("next", namespace="team")[0]
    stage.apply(other)
    stage.patch("bacc", "main", {"spec": {"auth": {"sharedKey": {"secretRef": {"name": "next-key"}}}}}, "team")
    await stage.until(lambda: finalizers(stage, "next-key") == [FINALIZER], 120)
    await stage.until(lambda: finalizers(stage) == [], 120)


async def test_without_the_right_the_account_says_so_and_a_lost_secret_has_a_way_out(stage: Stage) -> None:
    stage.fail("patch", "secrets", status=403)
    await a_team(stage)
    await stage.until(lambda: stage.condition("bacc", "main", "SecretKept", "team"), 120)
    kept = stage.condition("bacc", "main", "SecretKept", "team")
    assert (kept["status"], kept["reason"]) == ("False", "SecretNotKept")
    assert stage.ready("bacc", "main", "team")
    await stage.kill()
    stage.delete("ns", "team")
    await stage.run_for(60)
    assert not stage.get("secret", "main-key", "team")
    stage.start()
    await stage.until(
        lambda: "is being deleted, and Secret" in stage.condition("bp", "cpu", namespace="team")["message"], 180
    )
    assert "force-finalize=true" in stage.condition("bp", "cpu", namespace="team")["message"]
    for kind, name in (("bj", "own"), ("bp", "cpu")):
        stage.annotate(kind, name, "team", force_finalize="true")
    await stage.until(lambda: not stage.get("ns", "team"), 300)


async def test_nothing_is_written_while_idle(stage: Stage) -> None:
    await a_team(stage)
    await stage.run_for(600)
    before = stage.writes()
    await stage.run_for(5400)
    assert stage.writes("secret") == 1
    assert stage.writes() == before


# --- what others do with the name of an account ---


async def test_an_object_that_was_never_let_in_does_not_hold_up_a_namespace(stage: Stage) -> None:
    """Anybody who can create a BatchPool somewhere can name the account of another team."""
    await a_team(stage)
    stage.apply({"kind": "Namespace", "metadata": {"name": "others"}})
    account = {"name": "main", "namespace": "team"}
    uninvited = [pool("x", accountRef=account), job("y", poolRef={"name": "x"}, tasks=sleeping(1))]
    uninvited.append(thing("BatchTask", "z", jobId="own", accountRef=account, commandLine="true"))
    for each in uninvited:
        # A finalizer is easily forged; a status is not.
        each["metadata"] |= {"namespace": "others", "finalizers": [FINALIZER]}
    stage.apply(*uninvited)
    await stage.until(lambda: stage.reason("bp", "x", "others") == "NamespaceNotAllowed", 120)
    await stage.run_for(90)
    assert stage.status("bacc", "main", "team")["users"] == {"batchJobs": 1, "batchPools": 1}
    stage.delete("ns", "team")
    await stage.until(lambda: not stage.get("ns", "team"), 1800)
    assert stage.azure.ids("/pools") == []


@pytest.mark.parametrize("allowed", [None, {"names": ["others"]}, {"selector": {"matchLabels": {"batch": "yes"}}}])
async def test_only_namespaces_that_an_account_lets_in_use_it(stage: Stage, allowed: dict[str, Any] | None) -> None:
    stage.apply(
        {"kind": "Namespace", "metadata": {"name": "team"}}, {"kind": "Namespace", "metadata": {"name": "guests"}}
    )
    guest = pool("cpu", accountRef={"name": "main", "namespace": "team"})
    guest["metadata"]["namespace"] = "guests"
    stage.apply(*stage.account_objects(namespace="team", allowedNamespaces=allowed), guest)
    await stage.until(lambda: stage.reason("bp", "cpu", "guests") == "NamespaceNotAllowed", 60)
    await stage.run_for(60)
    assert stage.azure.ids("/pools") == []
    stage.patch("bacc", "main", {"spec": {"allowedNamespaces": {"names": ["guests"], "selector": None}}}, "team")
    await stage.until(lambda: stage.ready("bp", "cpu", "guests"), 600)


async def test_objects_keep_their_account_after_it_no_longer_allows_their_namespace(stage: Stage) -> None:
    stage.apply(
        {"kind": "Namespace", "metadata": {"name": "team"}}, {"kind": "Namespace", "metadata": {"name": "guests"}}
    )
    guest = pool("cpu", accountRef={"name": "main", "namespace": "team"})
    guest["metadata"]["namespace"] = "guests"
    stage.apply(*stage.account_objects(namespace="team", allowedNamespaces={"names": ["guests"]}), guest)
    await stage.until(lambda: stage.ready("bp", "cpu", "guests"), 900)
    stage.patch("bacc", "main", {"spec": {"allowedNamespaces": None}}, "team")
    await stage.run_for(120)
    stage.delete("ns", "team")
    await stage.until(lambda: stage.reason("bacc", "main", "team") == "InUse", 60)
    await stage.run_for(120)
    assert finalizers(stage) == [FINALIZER], "the pool is in Azure Batch"
    stage.annotate("bp", "cpu", "guests", force_finalize="true")
    stage.delete("bp", "cpu", "guests")
    await stage.until(lambda: not stage.get("ns", "team"), 300)


async def test_the_secret_of_an_account_that_is_gone_is_released_although_the_api_server_failed(stage: Stage) -> None:
    await a_team(stage)
    fault = stage.fail("patch", "secrets", status=500)
    stage.take_finalizers_off("bacc", "main", "team")
    stage.delete("bacc", "main", "team")
    await stage.run_for(60)
    assert finalizers(stage) == [FINALIZER]
    fault.end()
    await stage.until(lambda: finalizers(stage) == [], 60)
