"""The Marketplace images of the service: what supportedimages lists, and what a pool may name.

The list is what a live account was recorded listing in September 2025 (Azure/azure-sdk-assets,
net/sdk/batch/…/MiscIntegrationTests/ListSupportedImages.json), preceded by a few that the emulator has always had. Images
that left the list some years ago are still accepted by the service for a while (`FORMER_IMAGES`): Ubuntu 18.04 was, in March 2025
(python/sdk/batch/…/test_batch_create_pools).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

_UBUNTU_20 = "batch.node.ubuntu 20.04"
_UBUNTU_22 = "batch.node.ubuntu 22.04"
_UBUNTU_24 = "batch.node.ubuntu 24.04"
_EL_8, _EL_9 = "batch.node.el 8", "batch.node.el 9"
_WINDOWS = "batch.node.windows amd64"
_VERIFIED, _UNVERIFIED = "verified", "unverified"
_DOCKER, _GEN2, _CONFIDENTIAL = "DockerCompatible", "Generation2VMImage", "ConfidentialVMCompatible"
_TESLA, _GRID = "NvidiaTeslaDriverInstalled", "NvidiaGridDriverInstalled"
_RDMA, _MPI = "SupportsRDMAOnly", "IntelMPIRuntimeInstalled"
_HPC = (_DOCKER, _RDMA, _GEN2, _MPI)
_END_OF_UBUNTU_20 = "2025-04-23T00:00:00Z"
_END_OF_MARINER_2 = "2025-07-30T00:00:00Z"


def _image(
    agent: str,
    reference: tuple[str, str, str],
    verification: str,
    capabilities: Iterable[str] = (),
    end_of_life: str | None = None,
) -> dict[str, Any]:
    publisher, offer, sku = reference
    item: dict[str, Any] = {
        "nodeAgentSKUId": agent,
        "imageReference": {"publisher": publisher, "offer": offer, "sku": sku, "version": "latest"},
        "osType": "windows" if agent == _WINDOWS else "linux",
        "verificationType": verification,
    }
    if capabilities := list(capabilities):
        item["capabilities"] = capabilities
    if end_of_life is not None:
        item["batchSupportEndOfLife"] = end_of_life
    return item


def _windows(sku: str, *capabilities: str, verification: str = _VERIFIED) -> dict[str, Any]:
    return _image(_WINDOWS, ("microsoftwindowsserver", "windowsserver", sku), verification, capabilities)


def _ubuntu_20(publisher: str, offer: str, sku: str, verification: str, *capabilities: str) -> dict[str, Any]:
    return _image(_UBUNTU_20, (publisher, offer, sku), verification, capabilities, _END_OF_UBUNTU_20)


def _mariner(sku: str, *capabilities: str) -> dict[str, Any]:
    reference = ("microsoftcblmariner", "cbl-mariner", sku)
    return _image("batch.node.mariner 2.0", reference, _VERIFIED, capabilities, _END_OF_MARINER_2)


SUPPORTED_IMAGES = [
    _image(_UBUNTU_22, ("canonical", "0001-com-ubuntu-server-jammy", "22_04-lts"), _VERIFIED),
    _image(_UBUNTU_24, ("canonical", "ubuntu-24_04-lts", "server"), _VERIFIED, [_GEN2]),
    _image(_UBUNTU_22, ("microsoft-dsvm", "ubuntu-hpc", "2204"), _VERIFIED, _HPC),
    _image("batch.node.debian 12", ("debian", "debian-12", "12"), _UNVERIFIED),
    _image(_EL_9, ("almalinux", "almalinux-x86_64", "9-gen2"), _VERIFIED, [_GEN2]),
    _image(_EL_8, ("almalinux", "almalinux-hpc", "8_7-hpc-gen2"), _VERIFIED),
    _windows("2022-datacenter"),
    _windows("2019-datacenter-core"),
    _image(_EL_8, ("almalinux", "almalinux-hpc", "8-hpc-gen1"), _UNVERIFIED, [_DOCKER, _RDMA, _MPI]),
    _image(_EL_8, ("almalinux", "almalinux-hpc", "8-hpc-gen2"), _UNVERIFIED, [_DOCKER, _RDMA, _MPI, _GEN2]),
    _image(_EL_8, ("almalinux", "almalinux-x86_64", "8-gen1"), _VERIFIED),
    _image(_EL_8, ("almalinux", "almalinux-x86_64", "8-gen2"), _VERIFIED, [_GEN2]),
    _image(_EL_9, ("almalinux", "almalinux-x86_64", "9-gen1"), _VERIFIED),
    _image(
        _UBUNTU_22,
        ("canonical", "0001-com-ubuntu-confidential-vm-jammy", "22_04-lts-cvm"),
        _UNVERIFIED,
        [_CONFIDENTIAL, _GEN2],
    ),
    _ubuntu_20("canonical", "0001-com-ubuntu-server-focal", "20_04-lts", _VERIFIED),
    _ubuntu_20("canonical", "0001-com-ubuntu-server-focal", "20_04-lts-gen2", _VERIFIED, _GEN2),
    _image(_UBUNTU_22, ("canonical", "0001-com-ubuntu-server-jammy", "22_04-lts-gen2"), _VERIFIED, [_GEN2]),
    _image(_UBUNTU_24, ("canonical", "ubuntu-24_04-lts", "cvm"), _UNVERIFIED, [_CONFIDENTIAL, _GEN2]),
    _image(_UBUNTU_24, ("canonical", "ubuntu-24_04-lts", "server-gen1"), _VERIFIED),
    _ubuntu_20("microsoft-azure-batch", "ubuntu-server-container", "20-04-lts", _VERIFIED, _DOCKER, _TESLA, _GRID),
    _ubuntu_20(
        "microsoft-azure-batch", "ubuntu-server-container-rdma", "20-04-lts", _VERIFIED, _DOCKER, _TESLA, _RDMA, _MPI
    ),
    _image(_WINDOWS, ("microsoft-dsvm", "dsvm-win-2019", "winserver-2019"), _UNVERIFIED, [_DOCKER]),
    _ubuntu_20("microsoft-dsvm", "ubuntu-2004", "2004", _UNVERIFIED, _TESLA),
    _ubuntu_20("microsoft-dsvm", "ubuntu-2004", "2004-gen2", _UNVERIFIED, _TESLA),
    _ubuntu_20("microsoft-dsvm", "ubuntu-hpc", "2004", _VERIFIED, *_HPC),
    _image(_UBUNTU_22, ("microsoft-dsvm", "ubuntu-hpc", "2204-rocm"), _VERIFIED, _HPC),
    _image("batch.node.azurelinux 3.0", ("microsoftcblmariner", "azure-linux-3", "azure-linux-3"), _VERIFIED),
    _image(
        "batch.node.azurelinux 3.0", ("microsoftcblmariner", "azure-linux-3", "azure-linux-3-gen2"), _VERIFIED, [_GEN2]
    ),
    _mariner("cbl-mariner-2"),
    _mariner("cbl-mariner-2-gen2", _GEN2),
    _windows("2016-datacenter"),
    _windows("2016-datacenter-gensecond", _GEN2),
    _windows("2016-datacenter-gs", verification=_UNVERIFIED),
    _windows("2016-datacenter-smalldisk"),
    _windows("2016-datacenter-smalldisk-g2", _GEN2),
    _windows("2019-datacenter"),
    _windows("2019-datacenter-core-g2", _CONFIDENTIAL, _GEN2),
    _windows("2019-datacenter-core-smalldisk"),
    _windows("2019-datacenter-core-smalldisk-g2", _CONFIDENTIAL, _GEN2),
    _windows("2019-datacenter-gensecond", _CONFIDENTIAL, _GEN2),
    _windows("2019-datacenter-gs", verification=_UNVERIFIED),
    _windows("2019-datacenter-smalldisk"),
    _windows("2019-datacenter-smalldisk-g2", _CONFIDENTIAL, _GEN2),
    _windows("2022-datacenter-azure-edition", _CONFIDENTIAL, _GEN2),
    _windows("2022-datacenter-azure-edition-smalldisk", _CONFIDENTIAL, _GEN2),
    _windows("2022-datacenter-core"),
    _windows("2022-datacenter-core-g2", _CONFIDENTIAL, _GEN2),
    _windows("2022-datacenter-core-smalldisk"),
    _windows("2022-datacenter-core-smalldisk-g2", _CONFIDENTIAL, _GEN2),
    _windows("2022-datacenter-g2", _CONFIDENTIAL, _GEN2),
    _windows("2022-datacenter-smalldisk"),
    _windows("2022-datacenter-smalldisk-g2", _CONFIDENTIAL, _GEN2),
    _windows("2025-datacenter"),
    _windows("2025-datacenter-azure-edition", _GEN2),
    _windows("2025-datacenter-azure-edition-smalldisk", _GEN2),
    _windows("2025-datacenter-core"),
    _windows("2025-datacenter-core-g2", _GEN2),
    _windows("2025-datacenter-core-smalldisk"),
    _windows("2025-datacenter-core-smalldisk-g2", _GEN2),
    _windows("2025-datacenter-g2", _GEN2),
    _windows("2025-datacenter-smalldisk"),
    _windows("2025-datacenter-smalldisk-g2", _GEN2),
    _image(_EL_8, ("oracle", "oracle-linux", "81"), _UNVERIFIED),
    _ubuntu_20(
        "xilinx",
        "xilinx_alveo_u250_deployment_vm_ubuntu2004_062421",
        "xilinx_alveo_u250_deployment_vm_ubuntu_2004_062421",
        _UNVERIFIED,
    ),
]
FORMER_IMAGES = {
    ("canonical", "ubuntuserver", "16.04-lts"): "batch.node.ubuntu 16.04",
    ("canonical", "ubuntuserver", "18.04-lts"): "batch.node.ubuntu 18.04",
    ("debian", "debian-10", "10"): "batch.node.debian 10",
    ("debian", "debian-11", "11"): "batch.node.debian 11",
    ("microsoft-azure-batch", "centos-container", "7-8"): "batch.node.centos 7",
    ("openlogic", "centos", "7_9"): "batch.node.centos 7",
}
