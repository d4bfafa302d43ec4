"""Requests tokens of ServiceAccounts (TokenRequest API) for the exchange at Entra ID."""

from __future__ import annotations

from urllib.parse import quote

from azure_batch_operator.kube.api import KubeApi

AUDIENCE = "api://AzureADTokenExchange"
"""What Entra ID expects in a federated token."""
_SECONDS = 3600


async def request_token(api: KubeApi, namespace: str, name: str) -> str:
    """A fresh token of a ServiceAccount, good for an hour.

    Raises:
        KubeError: it does not exist, or the operator may not create tokens for it.
    """
    answer = await api.request(
        "POST",
        f"/api/v1/namespaces/{namespace}/serviceaccounts/{quote(name, safe='')}/token",
        body={
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"audiences": [AUDIENCE], "expirationSeconds": _SECONDS},
        },
    )
    return str(answer["status"]["token"])
