"""Credentials go only where they may."""

import pytest

from azure_batch_operator.batch import BatchClient, EndpointRefusedError, HostPolicy, SharedKey


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://acc.westeurope.batch.azure.com",
        "https://ACC.WestEurope.Batch.Azure.com/",
        "https://acc.westeurope.batch.azure.com:443",
        "https://acc.chinaeast2.batch.chinacloudapi.cn",
        "https://acc.usgovvirginia.batch.usgovcloudapi.net",
        "http://127.0.0.1:10100",
        "http://127.9.9.9:10100",
        "http://localhost:10100",
        "http://[::1]:10100/",
        "https://127.0.0.1:10443",
    ],
)
def test_known_hosts_and_this_machine_are_allowed(endpoint: str) -> None:
    assert str(HostPolicy().check(endpoint)).lower().rstrip("/") in endpoint.lower()


@pytest.mark.parametrize(
    ("endpoint", "words"),
    [
        ("https://evil.example", "nor an allowed one"),
        ("https://batch.azure.com", "nor an allowed one"),
        ("https://acc.batch.azure.com.evil.example", "nor an allowed one"),
        ("https://accbatch.azure.com", "nor an allowed one"),
        ("https://169.254.169.254", "nor an allowed one"),
        ("https://localhost.evil.example", "nor an allowed one"),
        ("http://acc.westeurope.batch.azure.com", "https"),
        ("http://10.0.0.1:10100", "https"),
        ("http://0.0.0.0:10100", "https"),
        ("https://user:pw@acc.westeurope.batch.azure.com", "must contain only"),
        ("https://acc.westeurope.batch.azure.com/pools", "must contain only"),
        ("https://acc.westeurope.batch.azure.com?x=1", "must contain only"),
        ("ftp://acc.westeurope.batch.azure.com", "must be a URL"),
        ("acc.westeurope.batch.azure.com", "must be a URL"),
        ("", "must be a URL"),
        ("https://", "URL"),
        ("https://acc.westeurope.batch.azure.com:99999", "URL"),
    ],
)
def test_anything_else_is_refused_at_construction(endpoint: str, words: str) -> None:
    with pytest.raises(EndpointRefusedError, match=words) as caught:
        BatchClient(endpoint, SharedKey("acc", "a2V5"))
    assert "pw" not in str(caught.value)
    assert not caught.value.retryable


def test_hosts_can_be_allowed_by_name_and_by_suffix() -> None:
    hosts = HostPolicy(allowed=("batch.internal", ".emulator.svc"))
    assert hosts.check("https://batch.internal:8443").port == 8443
    assert hosts.check("https://a.emulator.svc").host == "a.emulator.svc"
    for endpoint in ("https://a.batch.internal", "https://emulator.svc", "http://batch.internal"):
        with pytest.raises(EndpointRefusedError):
            hosts.check(endpoint)


def test_this_machine_can_be_forbidden() -> None:
    with pytest.raises(EndpointRefusedError, match="loopback"):
        HostPolicy(loopback=False).check("http://127.0.0.1:80")
    assert HostPolicy(loopback=False, allowed=("127.0.0.1",)).check("http://127.0.0.1:80").host == "127.0.0.1"
