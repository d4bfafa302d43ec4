"""Microsoft Entra ID on the stage: the emulator's token service, asked in the same process and on virtual time.

azure-identity has sockets of its own, so it is replaced where the operator makes a credential with a client secret. What the
operator does with tokens, and what the emulator does when it gets one, are both the real thing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Self
from unittest.mock import patch

from azure.core.credentials import AccessTokenInfo
from azure.core.exceptions import ClientAuthenticationError, ServiceRequestError

from azure_batch_emulator.web.entra import Entra, TokenError
from support.stage.clock import VirtualClock

TENANT = "11111111-2222-3333-4444-555555555555"
CLIENT = "66666666-7777-8888-9999-000000000000"


@dataclass
class Authority:
    """Who gives tokens.

    Attributes:
        down: whether nobody can connect to it.
        silent: whether it never answers.
        issued: all tokens that it has given.
    """

    entra: Entra
    clock: VirtualClock
    latency: Callable[[], float]
    down: bool = False
    silent: bool = False
    issued: list[str] = field(default_factory=list)

    def register(self, secret: str, account: str, role: str = "contributor") -> None:
        """Let the operator sign in with a secret, and with no other one; `role` is one of the emulator's."""
        identity = {"tenantId": TENANT, "clientId": CLIENT, "secret": secret, "role": role, "managed": False}
        self.entra.register(identity, account)

    def revoke(self) -> None:
        """All tokens are worth nothing from now on, as after a change of the signing key."""
        self.entra.renew_key()

    async def token(self, secret: str, scope: str) -> AccessTokenInfo:
        """What azure-identity makes of an answer.

        Raises:
            ServiceRequestError: it is down.
            ClientAuthenticationError: it refuses.
        """
        await asyncio.sleep(self.latency())
        if self.silent:
            await asyncio.Event().wait()
        if self.down:
            raise ServiceRequestError("Cannot connect to the authority")
        form = {"grant_type": "client_credentials", "client_id": CLIENT, "client_secret": secret, "scope": scope}
        try:
            answer: dict[str, Any] = self.entra.token(f"https://authority/{TENANT}", TENANT, form)
        except TokenError as error:
            raise ClientAuthenticationError(error.description) from None
        self.issued.append(answer["access_token"])
        # azure-identity adds what the answer says to the clock of the machine that it runs on.
        return AccessTokenInfo(answer["access_token"], int(self.clock.operator_time()) + answer["expires_in"])


@contextmanager
def signing_in(authority: Authority) -> Iterator[None]:
    """Put it in place of azure-identity until the end of ``with``."""

    class Credential:
        def __init__(self, tenant: str, client: str, secret: str, **_: Any) -> None:
            del tenant, client
            self._secret = secret

        async def __aenter__(self) -> Self:
            return self

        async def __aexit__(self, *_: object) -> None:
            return None

        async def get_token_info(self, scope: str) -> AccessTokenInfo:
            return await authority.token(self._secret, scope)

    with patch("azure.identity.aio.ClientSecretCredential", Credential):
        yield
