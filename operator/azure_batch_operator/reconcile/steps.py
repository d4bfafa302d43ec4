"""Steps that several kinds share, and how the steps of a lifecycle are tried. Each kind lists its own as `STEPS`.

A step is a function of the kind's scope. It returns a plan, or None if it does not apply, and then the next one is tried.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from azure_batch_operator.api.resource import Resource
from azure_batch_operator.reconcile import reconcile_policy as policy
from azure_batch_operator.reconcile.adoption import Others
from azure_batch_operator.reconcile.ownership import Marked
from azure_batch_operator.reconcile.plan import Absent, AccountView, Plan, Remote
from azure_batch_operator.reconcile.standard_plans import ever_created, release_at_once, waiting, without_account
from azure_batch_operator.reconcile.target_pool import TargetPoolView


class Scope(Protocol):
    """What the scopes of all kinds have."""

    @property
    def resource(self) -> Resource:
        """The object."""

    @property
    def account(self) -> AccountView:
        """Its account."""

    @property
    def remote(self) -> Marked | Absent:
        """What it stands for in Azure Batch, as the last poll saw it."""

    @property
    def cluster(self) -> str:
        """Id of this cluster, part of the ownership marker."""

    @property
    def now(self) -> float:
        """Seconds since the epoch."""

    @property
    def others(self) -> Others:
        """What is known of other owners."""


class ScopeWithMetadata(Scope, Protocol):
    """The scopes of kinds whose resources carry the marker in their metadata."""

    @property
    def remote(self) -> Remote:
        """What it stands for in Azure Batch, as the last poll saw it."""


class ScopeWithPool(Scope, Protocol):
    """The scopes of kinds that name a pool."""

    @property
    def pool(self) -> TargetPoolView:
        """The pool."""


AnyScope = TypeVar("AnyScope")


def first_plan(steps: Sequence[Callable[[AnyScope], Plan | None]], scope: AnyScope) -> Plan:
    """The plan of the first step that applies; an empty one if none does."""
    return next((found for step in steps if (found := step(scope)) is not None), Plan())


def release(scope: Scope) -> Plan | None:
    """The user has forced the end of the object, or there is nothing to wait for."""
    return release_at_once(scope.resource)


def wait_for_account(scope: Scope) -> Plan | None:
    """No call can be made."""
    return None if scope.account.usable else without_account(scope.resource, scope.account, scope.now)


def wait_for_account_and_pool(scope: ScopeWithPool) -> Plan | None:
    """No call can be made; an object whose pool cannot be used either says that, since the account may come with it."""
    resource, account, pool = scope.resource, scope.account, scope.pool
    if account.usable:
        return None
    if pool.problem and account.gone and not resource.deleting and not ever_created(resource):
        return waiting(resource, *pool.problem, scope.now)
    return wait_for_account(scope)


def wait_for_poll(scope: Scope) -> Plan | None:
    """Nothing is decided before the next poll."""
    return Plan() if scope.remote is Absent.UNKNOWN else None


def settle_ownership(scope: ScopeWithMetadata, kind: policy.Owned) -> Plan | None:
    """What exists is somebody else's, or is to be adopted first."""
    if isinstance(scope.remote, Absent):
        return None
    return policy.claim(scope.resource, kind, scope.remote, scope.cluster, scope.now, scope.others)
