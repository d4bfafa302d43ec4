"""Plans a BatchAccount: opens its session, protects its Secret, and counts its users."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from azure_batch_operator.api.resource import Key, Resource
from azure_batch_operator.kube.namespaces import Namespaces
from azure_batch_operator.reconcile.account import lifecycle as account_plans
from azure_batch_operator.reconcile.account.problems import needs_a_person
from azure_batch_operator.reconcile.plan import Plan
from azure_batch_operator.sync.accounts import Accounts
from azure_batch_operator.sync.credentials import account_secret
from azure_batch_operator.sync.queue import WorkQueue
from azure_batch_operator.sync.relations import Relations
from azure_batch_operator.sync.secret_keeper import SecretKeeper

_SECRET_LOOKED_AT_EVERY = 60.0
# Somebody is at it, and waits for the operator to see it.
_WRONG_SECRET_LOOKED_AT_EVERY = 5.0


@dataclass(frozen=True)
class AccountDecider:
    """Decides about BatchAccounts, which have no account themselves."""

    accounts: Accounts
    relations: Relations
    namespaces: Namespaces
    keeper: SecretKeeper
    queue: WorkQueue[Key]
    now: Callable[[], float]

    async def close(self, key: Key) -> None:
        """A BatchAccount is gone: end its session, and let its Secret go if no other account needs it."""
        await self.accounts.close(key)
        await self.keeper.forget(key, needed=self.relations.needs_secret(key, self.keeper.secret(key)))

    async def plan(self, resource: Resource) -> Plan:
        """What to do about it."""
        key = resource.key
        terminating = resource.deleting and (await self.namespaces.fresh(key.namespace)).terminating
        version = await self.accounts.refresh(account_plans.pinned(resource), terminating=terminating)
        health = self.accounts.health(key)
        users, offer = self.relations.users(key), self.accounts.offer(key)
        secret, unseen = account_secret(resource), self.relations.unseen_users(resource)
        # What was kept for objects that cannot be read stays.
        is_used = bool(users) or (bool(unseen) and secret is not None and resource.status.get("keptSecret") == secret)
        wanted = (is_used and not resource.released) or self.relations.needs_secret(key, secret)
        kept = {str(name) for name in (resource.status.get("keptSecret"), self.keeper.secret(key)) if name} - {secret}
        others = [name for name in kept if not self.relations.needs_secret(key, name)]
        keeping = await self.keeper.look(key, secret, wanted=wanted, others=others, version=version)
        plan = account_plans.plan(resource, health, users, self.now(), offer, replace(keeping, unseen=unseen))
        pause = _WRONG_SECRET_LOOKED_AT_EVERY if needs_a_person(health.reason) else _SECRET_LOOKED_AT_EVERY
        requeue_after = min(plan.requeue_after or pause, pause)
        self.queue.add_after(resource.key, requeue_after)
        return plan
