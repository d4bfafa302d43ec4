"""The images that the emulator's supportedimages call knows: a selection of what the service offers."""

from __future__ import annotations

from typing import Any

_UBUNTU_22 = "batch.node.ubuntu 22.04"
_UBUNTU_24 = "batch.node.ubuntu 24.04"
_WINDOWS = "batch.node.windows amd64"
_CONTAINERS = ["DockerCompatible", "NvidiaTeslaDriverInstalled"]


def _image(
    agent: str, reference: tuple[str, str, str], system: str, verification: str, capabilities: list[str] | None = None
) -> dict[str, Any]:
    publisher, offer, sku = reference
    item: dict[str, Any] = {
        "nodeAgentSKUId": agent,
        "imageReference": {"publisher": publisher, "offer": offer, "sku": sku, "version": "latest"},
        "osType": system,
        "verificationType": verification,
    }
    if capabilities:
        item["capabilities"] = capabilities
    return item


SUPPORTED_IMAGES = [
    _image(_UBUNTU_22, ("canonical", "0001-com-ubuntu-server-jammy", "22_04-lts"), "linux", "verified"),
    _image(_UBUNTU_24, ("canonical", "ubuntu-24_04-lts", "server"), "linux", "verified"),
    _image(_UBUNTU_22, ("microsoft-dsvm", "ubuntu-hpc", "2204"), "linux", "verified", _CONTAINERS),
    _image("batch.node.debian 12", ("debian", "debian-12", "12"), "linux", "unverified"),
    _image("batch.node.el 9", ("almalinux", "almalinux-x86_64", "9-gen2"), "linux", "verified"),
    _image("batch.node.el 8", ("almalinux", "almalinux-hpc", "8_7-hpc-gen2"), "linux", "verified"),
    _image(_WINDOWS, ("microsoftwindowsserver", "windowsserver", "2022-datacenter"), "windows", "verified"),
    _image(_WINDOWS, ("microsoftwindowsserver", "windowsserver", "2019-datacenter-core"), "windows", "verified"),
]
