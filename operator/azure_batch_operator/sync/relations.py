"""The relations of objects: the account, pool and job of an object, and all objects in an account."""

from __future__ import annotations

from dataclasses import replace

from pydantic import ValidationError

from azure_batch_operator.api.account import AllowedNamespaces
from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Key, Resource
from azure_batch_operator.kube.namespaces import Namespaces
from azure_batch_operator.reconcile.account.problems import in_short
from azure_batch_operator.reconcile.adoption import Standing
from azure_batch_operator.reconcile.defaults import with_defaults
from azure_batch_operator.reconcile.job import retry
from azure_batch_operator.reconcile.ownership import Owned
from azure_batch_operator.reconcile.plan import AccountView
from azure_batch_operator.reconcile.references import referenced
from azure_batch_operator.reconcile.selectors import allows, may_allow
from azure_batch_operator.reconcile.standard_plans import ever_created, other_name
from azure_batch_operator.sync.accounts import Accounts, Session
from azure_batch_operator.sync.credentials import account_secret
from azure_batch_operator.sync.store import Store, pinned_account


def _elsewhere(resource: Resource, url: str) -> str | None:
    """Where the object was created, if that is not where its account is now."""
    known = str(resource.status.get("url") or "")
    parts = known.split("/", 3)[:3]
    return None if not known or known.startswith(f"{url}/") else "/".join(parts)


def standing(store: Store, namespaces: Namespaces, owner: Owned) -> Standing:
    """How it stands with an object of this cluster that a marker in Azure Batch names."""
    known = store.get(Key(Kind(owner.kind), owner.namespace, owner.name))
    if known is not None and known.uid == owner.uid:
        # Also in a namespace that cannot be read any more: nothing says that the object was deleted.
        return Standing.LIVES
    return Standing.GONE if namespaces.watches(owner.namespace) else Standing.UNSEEN


def named_account(store: Store, resource: Resource) -> Key | None:
    """The account that an object was created in, else the one that it, its pool or its job names: all that the API server knows."""
    if (pinned := pinned_account(resource)) is not None:
        return pinned
    named, namespace = referenced(resource.spec), resource.key.namespace
    if (account := named.account_ref) is not None:
        return Key(Kind.ACCOUNT, account.namespace or namespace, account.name)
    parents = (
        (referenced(resource.job_spec[1]).pool_ref, Kind.POOL),
        (named.job_ref, Kind.JOB),
        (named.schedule_ref, Kind.SCHEDULE),
    )
    for reference, kind in parents:
        if reference is not None:
            parent = store.get(Key(kind, namespace, reference.name))
            if parent is not None:
                return named_account(store, parent)
    if named.retry_of is not None and (first := retry.source(store.get, resource)) is not None:
        return named_account(store, first)
    return None


class Relations:
    """Follows references through the store."""

    def __init__(self, store: Store, accounts: Accounts, namespaces: Namespaces) -> None:
        self._store, self._accounts, self._namespaces = store, accounts, namespaces

    def account_key(self, resource: Resource) -> Key | None:
        """The account of an object."""
        if (named := named_account(self._store, resource)) is not None:
            return named
        # A BatchTask whose BatchJob is gone: what was sent is known, even if its status does not say so yet.
        return self._accounts.interested(resource.key) if resource.key.kind is Kind.TASK else None

    def job(self, task: Resource) -> Key | None:
        """The BatchJob of a BatchTask, if it names one."""
        reference = referenced(task.spec).job_ref
        return Key(Kind.JOB, task.key.namespace, reference.name) if reference is not None else None

    def session(self, resource: Resource) -> Session | None:
        """The session of the account that an object belongs to, whether or not it may use it."""
        key = self.account_key(resource)
        return self._accounts.session(key) if key else None

    def is_let_in(self, resource: Resource) -> bool:
        """Whether the account of an object exists and allows its namespace; `account` says why not.

        Without that nothing continues that is in progress for the object, in a session that `account` no longer returns
        (tests/quick/test_shut_out.py).
        """
        key = self.account_key(resource)
        account = self._store.get(key) if key else None
        return account is not None and self.lets_in(account, resource.key.namespace)

    def account(self, resource: Resource) -> tuple[AccountView, Session | None]:
        """What an object needs to know of its account, and the session if there is one."""
        key = self.account_key(resource)
        if key is None:
            return self._unnamed(resource), None
        account = self._store.get(key)
        if account is None:
            return self._absent(resource, key), None
        if not self.lets_in(account, resource.key.namespace):
            allowed = _allowed(account)
            selects = allowed is not None and allowed.selector is not None
            message = (
                f"BatchAccount {key.namespace}/{key.name} does not allow namespace {resource.key.namespace!r}: "
                f"add it to spec.allowedNamespaces{', or label it as its selector requires' if selects else ''}"
            )
            return AccountView(False, "NamespaceNotAllowed", message, gone=True), None
        session, health = self._accounts.session(key), self._accounts.health(key)
        if session is not None and resource.deleting:
            # The session outlives its Secret, so that what was created with it can be deleted.
            health = session.health
        if session is None or not health.checked or health.reason not in {"", "Throttled"}:
            reason = "AccountNotReady"
            why = (
                f"{health.reason}: {in_short(health.message)}"
                if health.reason
                else "the account has not responded to a call yet"
            )
            # Whatever the first call brings is told to all who wait for it.
            text, opening = f"BatchAccount {key.namespace}/{key.name}: {why}", not health.reason
            return AccountView(False, reason, text, opening=opening), session
        if (elsewhere := _elsewhere(resource, session.url)) is not None:
            message = (
                f"the object was created at {elsewhere}, but BatchAccount {key.namespace}/{key.name} is now at {session.url}: "
                "create the BatchAccount again with its former endpoint, or remove the object with the annotation "
                "azurebatch.io/force-finalize=true"
            )
            return AccountView(False, "AccountMoved", message), None
        return AccountView(True, url=session.url, name=f"{key.namespace}/{key.name}"), session

    def _unnamed(self, resource: Resource) -> AccountView:
        """Why it is not known which account an object uses."""
        path, spec = resource.job_spec
        named = referenced(spec)
        given = (
            ("jobRef", Kind.JOB, named.job_ref),
            ("scheduleRef", Kind.SCHEDULE, named.schedule_ref),
            ("poolRef", Kind.POOL, named.pool_ref),
            ("retryOf", Kind.JOB, named.retry_of),
        )
        field, kind, reference = next((way for way in given if way[2] is not None), ("poolRef", Kind.POOL, None))
        name = "" if reference is None else reference.name
        parent = self._store.get(Key(kind, resource.key.namespace, name))
        if field == "retryOf":
            # Two of them may name each other, so nobody follows them here.
            message = f"{path}.retryOf names BatchJob {name!r}, whose BatchAccount is not known: check its conditions"
            if parent is not None:
                return AccountView(False, "AccountNotReady", message, gone=True)
        elif parent is not None:
            view, _ = self.account(parent)
            return replace(view, message=f"{kind} {name!r}: {view.message}")
        which = f"{path}.{field} names {kind} {name!r}, which does not exist in this namespace"
        message = f"{which}: create it{other_name(resource, f'{path}.{field}')}"
        return AccountView(False, f"{kind.removeprefix('Batch')}NotFound", message, gone=True)

    def _absent(self, resource: Resource, key: Key) -> AccountView:
        """Why an object has no account, although it names one."""
        if self._namespaces.denies(key.namespace):
            message = (
                f"BatchAccount {key.namespace}/{key.name} is in a namespace in which the operator has no permission: create the "
                "operator's Role and RoleBinding in it"
            )
            return AccountView(False, "AccountNotReady", message)
        message = (
            f"spec.accountRef names BatchAccount {key.namespace}/{key.name}, which does not exist: create it"
            f"{other_name(resource, 'spec.accountRef')}"
        )
        return AccountView(False, "AccountNotFound", message, gone=True)

    def with_defaults(self, resource: Resource) -> Resource:
        """An object with the defaults of its account."""
        key = self.account_key(resource)
        account = self._store.get(key) if key else None
        return resource if account is None else with_defaults(resource, account.spec)

    def users(self, key: Key) -> list[Resource]:
        """Objects that keep an account: those in namespaces that it allows, and those that may have something in it all the same.

        Anybody who can create an object in some namespace can name any account. That alone must not hold up the deletion of the
        account, of its Secret, or of its namespace.
        """
        account = self._store.get(key)
        if account is None:
            return []
        return [resident for resident in self._store.residents(key) if self._is_user(resident, account)]

    def _is_user(self, resource: Resource, account: Resource) -> bool:
        if resource.key.kind is Kind.OPERATION:
            # Nothing in Azure Batch stands for it, so nothing has to be deleted there.
            return False
        if self.lets_in(account, resource.key.namespace):
            return True
        if resource.key.kind is Kind.TASK:
            # It has no note of its account, and only the operator writes statuses.
            return ever_created(resource)
        return pinned_account(resource) == account.key

    def guests(self, pool: Resource) -> list[Resource]:
        """Objects of other namespaces that may be on a pool: they name it by its ID, or their job does."""
        account = self.account_key(pool)
        found = self._store.residents(account) if account else []
        return [resident for resident in found if resident.key.namespace != pool.key.namespace]

    def needs_secret(self, but: Key, secret: str | None) -> bool:
        """Whether an account of the same namespace, other than `but`, signs in with this Secret and is used."""
        return secret is not None and any(
            account.key.namespace == but.namespace
            and account.key != but
            and account_secret(account) == secret
            and (self.users(account.key) or self.unseen_users(account))
            for account in self._store.of_kind(Kind.ACCOUNT)
        )

    def unseen_users(self, account: Resource) -> list[str]:
        """Namespaces that an account may allow and of which nothing is known, not even the labels: it may be used there."""
        allowed = _allowed(account)
        return sorted(
            name
            for name in self._namespaces.access.unseen
            if name == account.key.namespace or (allowed is not None and may_allow(allowed, name))
        )

    def lets_in(self, resource: Resource, namespace: str) -> bool:
        """Whether an account or a pool allows a namespace."""
        if namespace == resource.key.namespace:
            return True
        known = self._namespaces.get(namespace)
        labels = known.labels if known else {}
        allowed = _allowed(resource)
        return allows(allowed, namespace, labels)


def _allowed(resource: Resource) -> AllowedNamespaces | None:
    """Whom an account or a pool lets in."""
    said = resource.spec.get("allowedNamespaces")
    try:
        return None if said is None else AllowedNamespaces.model_validate(said)
    except ValidationError:
        # A spec that the CRD would have refused lets nobody in.
        return None
