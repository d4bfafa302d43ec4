"""Decides which hosts credentials may be sent to.

A credential gives access to the whole account, so it is sent only to hosts under the suffixes of the Azure clouds, to hosts
that are allowed by name, and to loopback addresses, and only with https, except to loopback addresses.
"""

import ipaddress
from dataclasses import dataclass

from yarl import URL

from azure_batch_operator.batch.errors import EndpointRefusedError

KNOWN_SUFFIXES = (
    ".batch.azure.com",
    ".batch.chinacloudapi.cn",
    ".batch.usgovcloudapi.net",
)


@dataclass(frozen=True, slots=True)
class HostPolicy:
    """Which hosts may be called.

    allowed: host names in addition to the known suffixes; a leading dot allows all names below.
    loopback: whether loopback addresses are allowed, also with http (the emulator).
    """

    allowed: tuple[str, ...] = ()
    loopback: bool = True

    def check(self, endpoint: str) -> URL:
        """Return the endpoint's origin (scheme, host, port).

        Raises:
            EndpointRefusedError: not a URL of a Batch account, or credentials may not be sent to it.
        """
        try:
            url = URL(endpoint)
            host, port = (url.host or "").rstrip(".").lower(), url.port
        except ValueError:
            raise EndpointRefusedError("the endpoint is not a URL") from None
        if url.scheme not in ("http", "https") or not host or port is None:
            raise EndpointRefusedError(
                "the endpoint must be a URL such as https://myaccount.westeurope.batch.azure.com"
            )
        if (
            url.user is not None
            or url.password is not None
            or url.query_string
            or url.fragment
            or url.path not in ("", "/")
        ):
            raise EndpointRefusedError("the endpoint must contain only scheme, host and port")
        self._check_host(host, url.scheme)
        return url.origin()

    def _check_host(self, host: str, scheme: str) -> None:
        if is_loopback(host):
            if not self.loopback and not self._allows(host):
                raise EndpointRefusedError(f"the loopback host {host} is not allowed here")
            return
        if scheme != "https":
            raise EndpointRefusedError(f"{host} must be called with https: http is allowed only for loopback addresses")
        if not self._allows(host):
            raise EndpointRefusedError(
                f"{host} is neither a host of Azure Batch (*{', *'.join(KNOWN_SUFFIXES)}) nor an allowed one"
            )

    def _allows(self, host: str) -> bool:
        return any(_matches(host, pattern.lower()) for pattern in (*KNOWN_SUFFIXES, *self.allowed))


def _matches(host: str, pattern: str) -> bool:
    return host.endswith(pattern) and len(host) > len(pattern) if pattern.startswith(".") else host == pattern


def is_loopback(host: str) -> bool:
    """Whether a host name or address is a loopback one, without a DNS request."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
