"""An account that is signed in to with Microsoft Entra ID, while tokens expire, are refused, or are not available."""

from __future__ import annotations

import pytest

from support.stage import Stage, pool

HOUR = 3600.0


async def signed_in(stage: Stage, lifetime: int = 3600) -> None:
    """An account and a pool, by tokens that are good for so many seconds."""
    stage.azure.server.entra.lifetime = lifetime
    stage.apply(*stage.principal_objects("the first secret"), pool("cpu"))
    await stage.until(lambda: stage.ready("bp", "cpu"), 900)


async def stays_ready(stage: Stage, seconds: float) -> None:
    """Let time pass, and see that the account was ready all the while."""
    since = stage.condition("bacc", "main")["lastTransitionTime"]
    await stage.run_for(seconds)
    assert stage.ready("bacc", "main")
    assert stage.condition("bacc", "main")["lastTransitionTime"] == since


async def test_a_token_is_renewed_before_it_expires(stage: Stage) -> None:
    await signed_in(stage, lifetime=1200)
    await stays_ready(stage, 2 * HOUR)
    refused = [each for each in stage.azure.log if each.status in {401, 403}]
    assert refused == []
    # Each is used until five minutes before its end, and until the next poll after that, which may be a minute later.
    assert 7200 // 960 <= len(stage.authority.issued) - 1 <= 7200 // 900


async def test_revoked_tokens_are_replaced_silently(stage: Stage) -> None:
    await signed_in(stage)
    stage.authority.revoke()
    await stays_ready(stage, 600)
    assert len(stage.authority.issued) == 2


async def test_calls_whose_tokens_are_refused_together_share_a_new_one(stage: Stage) -> None:
    await signed_in(stage)
    stage.authority.revoke()
    stage.apply(*(pool(f"cpu-{number}") for number in range(8)))
    await stage.run_for(20)
    refused = [each for each in stage.azure.log if each.status in {401, 403}]
    assert len(refused) > 1, "several calls were in progress with the token that was revoked"
    assert len(stage.authority.issued) == 2


@pytest.mark.parametrize("how", ["down", "silent"])
async def test_an_authority_that_is_away_for_a_while_is_not_noticed(stage: Stage, how: str) -> None:
    await signed_in(stage)
    await stage.run_for(HOUR - 400)
    setattr(stage.authority, how, True)
    await stays_ready(stage, 200)
    setattr(stage.authority, how, False)
    await stays_ready(stage, HOUR)


@pytest.mark.parametrize("how", ["down", "silent"])
async def test_an_authority_that_stays_away_is_named_and_the_account_recovers(stage: Stage, how: str) -> None:
    """It refuses connections, or a firewall drops what is sent to it."""
    await signed_in(stage, lifetime=600)
    setattr(stage.authority, how, True)
    await stage.until(lambda: not stage.ready("bacc", "main"), 900)
    condition = stage.condition("bacc", "main")
    assert condition["reason"] == "AuthorityUnreachable"
    assert "which issues tokens, cannot be reached" in str(condition["message"])
    assert "spec.endpoint" not in str(condition["message"])
    await stage.run_for(300)
    assert stage.condition("bacc", "main") == condition
    setattr(stage.authority, how, False)
    await stage.until(lambda: stage.ready("bacc", "main"), 900)


async def test_a_secret_that_has_expired_is_named_and_a_new_one_counts_at_once(stage: Stage) -> None:
    await signed_in(stage, lifetime=600)
    stage.authority.register("the second secret", stage.azure.account)
    await stage.until(lambda: not stage.ready("bacc", "main"), 900)
    assert "AADSTS7000215" in str(stage.condition("bacc", "main")["message"])
    assert "the first secret" not in str(stage.status("bacc", "main"))
    # `kubectl create secret --from-file` keeps the newline at the end of the file.
    stage.patch("secret", "main-principal", {"stringData": {"secret": "the second secret\n"}})
    await stage.until(lambda: stage.ready("bacc", "main"), 120)


async def test_a_role_that_was_removed_is_named_and_counts_when_it_is_back(stage: Stage) -> None:
    await signed_in(stage)
    stage.authority.register("the first secret", stage.azure.account, role="none")
    await stage.until(lambda: not stage.ready("bacc", "main"), 900)
    issued = len(stage.authority.issued)
    await stage.run_for(600)
    assert len(stage.authority.issued) <= issued + 2, "no token helps, so none is asked for again and again"
    stage.authority.register("the first secret", stage.azure.account)
    await stage.until(lambda: stage.ready("bacc", "main"), 900)


@pytest.mark.parametrize("by", [-1000.0, -120.0, 120.0, 1000.0])
async def test_tokens_do_not_depend_on_the_clock_of_the_operator(stage: Stage, by: float) -> None:
    stage.clock.operator_skew = by
    await signed_in(stage, lifetime=1200)
    await stays_ready(stage, HOUR)
    assert [each for each in stage.azure.log if each.status in {401, 403}] == []
