"""What decisions read of the spec and of the former status of a BatchAccount."""

from __future__ import annotations

from collections.abc import Sequence

from azure_batch_operator.api.account import name_at
from azure_batch_operator.batch.wire import Body, Wire


class AccountSpec(Wire, frozen=True, gc=False):
    """The spec of a BatchAccount."""

    endpoint: str = ""
    account_name: str | None = None

    @property
    def account(self) -> str:
        """Name of the account in Azure."""
        return self.account_name or name_at(self.endpoint)


class ThrottlingBefore(Wire, frozen=True, gc=False):
    """`status.throttling`."""

    times: int = 0


class Before(Wire, frozen=True, gc=False):
    """What the status says: an account is used at the endpoint and under the name that it first answered with."""

    endpoint: str | None = None
    account: str | None = None
    throttling: ThrottlingBefore = ThrottlingBefore()
    last_success_time: str | None = None
    calls_per_minute: int | None = None
    supported_images: Sequence[Body] | None = None
    applications: Sequence[Body] | None = None
