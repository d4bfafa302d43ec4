"""Virtual machines of a pool: image, disks, extensions, security, upgrades."""

from typing import Annotated, Any

from pydantic import Field

from azure_batch_operator.batch.models.base import READ_ONLY, Duration, Model, Open
from azure_batch_operator.batch.models.common import ContainerRegistryReference
from azure_batch_operator.batch.models.enums import (
    CachingType,
    ContainerType,
    DiffDiskPlacement,
    DiskEncryptionTarget,
    NodePlacementPolicyType,
    SecurityEncryptionTypes,
    SecurityTypes,
    StorageAccountType,
    UpgradeMode,
)


class ImageReference(Model):
    """An image, by its parts in the marketplace or by one resource id."""

    publisher: str | None = None
    offer: str | None = None
    sku: str | None = None
    version: str | None = None
    virtual_machine_image_id: str | None = None
    exact_version: Annotated[str | None, READ_ONLY] = None
    shared_gallery_image_id: str | None = None
    community_gallery_image_id: str | None = None


class WindowsConfiguration(Model):
    """Settings of Windows."""

    enable_automatic_updates: bool | None = None


class DataDisk(Model):
    """An empty data disk of each node."""

    lun: int
    caching: Open[CachingType] | None = None
    disk_size_gb: int = Field(alias="diskSizeGB")
    storage_account_type: Open[StorageAccountType] | None = None


class ContainerConfiguration(Model):
    """Container runtime of a pool, and images to fetch in advance."""

    type: Open[ContainerType]
    container_image_names: list[str] | None = None
    container_registries: list[ContainerRegistryReference] | None = None


class DiskEncryptionConfiguration(Model):
    """Disks of each node that are encrypted."""

    targets: list[Open[DiskEncryptionTarget]] | None = None


class NodePlacementConfiguration(Model):
    """Where in a region nodes are placed."""

    policy: Open[NodePlacementPolicyType] | None = None


class VMExtension(Model):
    """An extension to install on each node."""

    name: str
    publisher: str
    type: str
    type_handler_version: str | None = None
    auto_upgrade_minor_version: bool | None = None
    enable_automatic_upgrade: bool | None = None
    settings: dict[str, Any] | None = None
    protected_settings: dict[str, Any] | None = Field(None, repr=False)
    provision_after_extensions: list[str] | None = None


class DiffDiskSettings(Model):
    """Ephemeral disk of the operating system."""

    placement: Open[DiffDiskPlacement] | None = None


class VMDiskSecurityProfile(Model):
    """Encryption of a managed disk of a confidential machine."""

    security_encryption_type: Open[SecurityEncryptionTypes] | None = None


class ManagedDisk(Model):
    """Kind of a managed disk."""

    storage_account_type: Open[StorageAccountType] | None = None
    security_profile: VMDiskSecurityProfile | None = None


class OSDisk(Model):
    """Disk of the operating system; its size in GB."""

    ephemeral_os_disk_settings: DiffDiskSettings | None = Field(None, alias="ephemeralOSDiskSettings")
    caching: Open[CachingType] | None = None
    disk_size_gb: int | None = Field(None, alias="diskSizeGB")
    managed_disk: ManagedDisk | None = None
    write_accelerator_enabled: bool | None = None


class UefiSettings(Model):
    """Firmware of a trusted or confidential machine."""

    secure_boot_enabled: bool | None = None
    vtpm_enabled: bool | None = Field(None, alias="vTpmEnabled")


class SecurityProfile(Model):
    """Security of machines."""

    encryption_at_host: bool | None = None
    security_type: Open[SecurityTypes] | None = None
    uefi_settings: UefiSettings | None = None


class ServiceArtifactReference(Model):
    """The service artifact that decides on image versions."""

    id: str


class VirtualMachineConfiguration(Model):
    """What the machines of a pool are made of."""

    image_reference: ImageReference
    node_agent_sku_id: str = Field(alias="nodeAgentSKUId")
    windows_configuration: WindowsConfiguration | None = None
    data_disks: list[DataDisk] | None = None
    license_type: str | None = None
    container_configuration: ContainerConfiguration | None = None
    disk_encryption_configuration: DiskEncryptionConfiguration | None = None
    node_placement_configuration: NodePlacementConfiguration | None = None
    extensions: list[VMExtension] | None = None
    os_disk: OSDisk | None = None
    security_profile: SecurityProfile | None = None
    service_artifact_reference: ServiceArtifactReference | None = None


class AutomaticOSUpgradePolicy(Model):
    """How the operating system is upgraded automatically."""

    disable_automatic_rollback: bool | None = None
    enable_automatic_os_upgrade: bool | None = Field(None, alias="enableAutomaticOSUpgrade")
    use_rolling_upgrade_policy: bool | None = None
    os_rolling_upgrade_deferral: bool | None = None


class RollingUpgradePolicy(Model):
    """How an upgrade rolls over the nodes; shares in percent."""

    enable_cross_zone_upgrade: bool | None = None
    max_batch_instance_percent: int | None = None
    max_unhealthy_instance_percent: int | None = None
    max_unhealthy_upgraded_instance_percent: int | None = None
    pause_time_between_batches: Duration | None = None
    prioritize_unhealthy_instances: bool | None = None
    rollback_failed_instances_on_policy_breach: bool | None = None


class UpgradePolicy(Model):
    """How machines are upgraded."""

    mode: Open[UpgradeMode]
    automatic_os_upgrade_policy: AutomaticOSUpgradePolicy | None = Field(None, alias="automaticOSUpgradePolicy")
    rolling_upgrade_policy: RollingUpgradePolicy | None = None
