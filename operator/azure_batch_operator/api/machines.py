"""virtualMachineConfiguration and upgradePolicy: the virtual machines of a pool (REST: Pools - Create Pool)."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import Field, StringConstraints

from azure_batch_operator.api.base import (
    ApiModel,
    Duration,
    Refused,
    Rule,
    SecretKeyRef,
    StandsFor,
    cel,
    many,
    misnamed,
    one_of,
    optional,
    secret_for,
)
from azure_batch_operator.api.rest import ArmId, ContainerRegistry, ImageId, Label, Path

Percent = Annotated[int, Field(ge=5, le=100)]
Caching = Annotated[str, one_of("none", "readonly", "readwrite")]
DiskKind = Annotated[str, one_of("standard_lrs", "premium_lrs", "standardssd_lrs")]


class ImageReference(ApiModel):
    """The image of the nodes, from the Marketplace or from a gallery."""

    publisher: Label | None = optional("Publisher of a Marketplace image.")
    offer: Label | None = optional("Offer of a Marketplace image.")
    sku: Label | None = optional("SKU of a Marketplace image.")
    version: Label | None = optional("Version of a Marketplace image. Defaults to latest.")
    virtual_machine_image_id: ImageId | None = optional("ARM ID of an Azure Compute Gallery image.")
    shared_gallery_image_id: ArmId | None = optional("ID of an image in a gallery that is shared with you.")
    community_gallery_image_id: ArmId | None = optional("ID of an image in a community gallery.")
    refused: ClassVar[tuple[Refused, ...]] = (
        Refused(
            "exactVersion", "exactVersion is reported by Azure Batch: remove it", {"type": "string", "maxLength": 1024}
        ),
    )
    rules: ClassVar[tuple[Rule, ...]] = (
        cel(
            "(has(self.publisher) && has(self.offer) && has(self.sku) ? 1 : 0) + (has(self.virtualMachineImageId) ? 1 : 0)"
            " + (has(self.sharedGalleryImageId) ? 1 : 0) + (has(self.communityGalleryImageId) ? 1 : 0) == 1",
            "give publisher, offer and sku of a Marketplace image, or exactly one of virtualMachineImageId, "
            "sharedGalleryImageId and communityGalleryImageId",
        ),
    )


class WindowsConfiguration(ApiModel):
    """Windows settings of the nodes."""

    enable_automatic_updates: bool | None = optional("Whether automatic Windows updates are enabled. Defaults to true.")


class DataDisk(ApiModel):
    """An empty data disk attached to each node. It must be formatted and mounted before use."""

    lun: Annotated[int, Field(ge=0, le=63)] = Field(
        description="Logical unit number, from 0 to 63, unique on the node."
    )
    caching: Caching | None = optional("Caching of the disk. Defaults to none.")
    disk_size_gb: Annotated[int, Field(ge=1, alias="diskSizeGB")] = Field(
        alias="diskSizeGB", description="Initial size of the disk in GB."
    )
    storage_account_type: DiskKind | None = optional("Storage type of the disk. Defaults to standard_lrs.")


class ContainerConfiguration(ApiModel):
    """Container runtime of the nodes. Required for tasks with containerSettings."""

    type: Annotated[str, one_of("dockerCompatible", "criCompatible")] = Field(description="Container runtime.")
    container_image_names: list[Path] | None = many("Images to pull when a node starts.", 100)
    container_registries: list[ContainerRegistry] | None = many(
        "Private registries that tasks can pull images from.", 20
    )


class DiskEncryptionConfiguration(ApiModel):
    """Disk encryption of the nodes."""

    targets: list[Annotated[str, one_of("osdisk", "temporarydisk")]] | None = optional(
        "Disks to encrypt. On Linux, only temporarydisk is supported; on Windows, both values are required.", maxItems=2
    )


class NodePlacementConfiguration(ApiModel):
    """Placement of the nodes in a region."""

    policy: Annotated[str, one_of("regional", "zonal")] | None = optional(
        "Placement policy: regional places nodes anywhere in the region, zonal balances them across zones. Defaults to regional."
    )


class VMExtension(ApiModel):
    """A virtual machine extension that is installed on each node."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=256)] = Field(description="Name of the extension.")
    publisher: Label = Field(description="Publisher of the extension handler.")
    type: Label = Field(description="Type of the extension.")
    type_handler_version: Label | None = optional("Version of the extension handler.")
    auto_upgrade_minor_version: bool | None = optional(
        "Whether to use a newer minor version if one is available at deployment."
    )
    enable_automatic_upgrade: bool | None = optional(
        "Whether Azure upgrades the extension automatically when a newer version is available. Defaults to false."
    )
    settings: dict[str, Any] | None = optional(
        "Public settings of the extension, as a JSON object.", x_kubernetes_preserve_unknown_fields=True
    )
    protected_settings_secret_ref: Annotated[SecretKeyRef | None, StandsFor("protectedSettings", structured=True)] = (
        secret_for("protectedSettings", "Protected settings of the extension, as a JSON object.")
    )
    provision_after_extensions: list[Label] | None = many("Names of extensions that must be installed first.", 20)


class EphemeralOSDisk(ApiModel):
    """Settings of an ephemeral operating system disk."""

    placement: Annotated[str, one_of("cachedisk")] | None = optional(
        "Local storage that holds the disk. The only value is cachedisk."
    )


class DiskSecurityProfile(ApiModel):
    """Security settings of a managed disk of a confidential VM."""

    security_encryption_type: Annotated[str, one_of("NonPersistedTPM", "VMGuestStateOnly")] | None = optional(
        "Encryption of the disk. Required for confidential VMs."
    )


class ManagedDisk(ApiModel):
    """Settings of a managed disk."""

    storage_account_type: DiskKind | None = optional("Storage type of the disk.")
    security_profile: DiskSecurityProfile | None = optional("Security settings of the disk for confidential VMs.")


class OSDisk(ApiModel):
    """Operating system disk of the nodes."""

    ephemeral_os_disk_settings: EphemeralOSDisk | None = optional(
        "Places the disk on local storage of the node, which is faster but lost when the node is removed.",
        alias="ephemeralOSDiskSettings",
    )
    caching: Caching | None = optional("Caching of the disk.")
    disk_size_gb: Annotated[int, Field(ge=1)] | None = optional(
        "Size of the disk in GB. Defaults to the size of the image.", alias="diskSizeGB"
    )
    managed_disk: ManagedDisk | None = optional("Storage type and encryption of the disk.")
    write_accelerator_enabled: bool | None = optional(
        "Whether write accelerator is enabled, on VM sizes that support it."
    )


class UefiSettings(ApiModel):
    """UEFI settings of a trusted launch or confidential VM."""

    secure_boot_enabled: bool | None = optional("Whether secure boot is enabled, so that only signed code boots.")
    v_tpm_enabled: bool | None = optional("Whether vTPM is enabled.")


class SecurityProfile(ApiModel):
    """Security settings of the virtual machines."""

    encryption_at_host: bool | None = optional("Whether all disks are encrypted at the host. Defaults to false.")
    security_type: Annotated[str, one_of("trustedLaunch", "confidentialVM")] | None = optional(
        "Security type of the virtual machines. Required for uefiSettings to take effect."
    )
    uefi_settings: UefiSettings | None = optional("Secure boot and vTPM settings.")


class ServiceArtifactReference(ApiModel):
    """A service artifact, which pins image versions for version latest."""

    id: ArmId = Field(description="ARM ID of the service artifact version.")


class VirtualMachineConfiguration(ApiModel):
    """Image and configuration of the virtual machines."""

    image_reference: ImageReference = Field(description="Image of the nodes.")
    node_agent_sku_id: Label | None = optional(
        "Node agent SKU ID that matches the image, such as 'batch.node.ubuntu 22.04'. If unset in a BatchPool "
        "with a Marketplace image, the operator selects it from the supported images of the account.",
        alias="nodeAgentSKUId",
    )
    windows_configuration: WindowsConfiguration | None = optional("Windows settings. Not allowed with Linux images.")
    data_disks: list[DataDisk] | None = many("Empty data disks to attach to each node.", 64, key="lun")
    license_type: Label | None = optional(
        "On-premises license that covers the nodes: Windows_Server or Windows_Client."
    )
    container_configuration: ContainerConfiguration | None = optional(
        "Container runtime, images to pull in advance, and registries."
    )
    disk_encryption_configuration: DiskEncryptionConfiguration | None = optional(
        "Disk encryption of the nodes. Disabled by default."
    )
    node_placement_configuration: NodePlacementConfiguration | None = optional("Placement of the nodes in the region.")
    extensions: list[VMExtension] | None = many("Virtual machine extensions to install on the nodes.", 20, key="name")
    os_disk: OSDisk | None = optional("Operating system disk of the nodes.")
    security_profile: SecurityProfile | None = optional("Trusted launch, confidential VMs and encryption at host.")
    service_artifact_reference: ServiceArtifactReference | None = optional("Service artifact that pins image versions.")
    refused: ClassVar[tuple[Refused, ...]] = (
        misnamed("nodeAgentSkuId", "nodeAgentSKUId"),
        misnamed("nodeAgentSkuID", "nodeAgentSKUId"),
    )
    rules: ClassVar[tuple[Rule, ...]] = (
        cel(
            "has(self.nodeAgentSKUId) || has(self.imageReference.publisher)",
            "nodeAgentSKUId is required with an image that is not from the Marketplace",
            ".nodeAgentSKUId",
        ),
    )


class AutomaticOSUpgradePolicy(ApiModel):
    """Automatic upgrades of the operating system."""

    disable_automatic_rollback: bool | None = optional(
        "Whether automatic rollback of failed upgrades is disabled. Defaults to false."
    )
    enable_automatic_os_upgrade: bool | None = optional(
        "Whether nodes are automatically upgraded to newer images. Defaults to false.", alias="enableAutomaticOSUpgrade"
    )
    use_rolling_upgrade_policy: bool | None = optional("Whether to apply rollingUpgradePolicy. Defaults to false.")
    os_rolling_upgrade_deferral: bool | None = optional(
        "Whether to defer upgrades of nodes that run tasks. Defaults to false."
    )


class RollingUpgradePolicy(ApiModel):
    """Parameters of a rolling upgrade."""

    enable_cross_zone_upgrade: bool | None = optional("Whether a batch of nodes may span zones. Only for zonal pools.")
    max_batch_instance_percent: Percent | None = optional(
        "Maximum percentage of nodes to upgrade at the same time, from 5 to 100. Defaults to 20."
    )
    max_unhealthy_instance_percent: Percent | None = optional(
        "Maximum percentage of nodes that may be unhealthy before the upgrade stops, from 5 to 100. Defaults to 20."
    )
    max_unhealthy_upgraded_instance_percent: Annotated[int, Field(ge=0, le=100)] | None = optional(
        "Maximum percentage of upgraded nodes that may be unhealthy, from 0 to 100. Defaults to 20."
    )
    pause_time_between_batches: Duration | None = optional("Pause between two batches of nodes. Defaults to P0D.")
    prioritize_unhealthy_instances: bool | None = optional("Whether to upgrade unhealthy nodes first.")
    rollback_failed_instances_on_policy_breach: bool | None = optional(
        "Whether to roll failed nodes back to the previous image. Defaults to false."
    )


class UpgradePolicy(ApiModel):
    """How the virtual machines are upgraded."""

    mode: Annotated[str, one_of("automatic", "manual", "rolling")] = Field(
        description="Upgrade mode: all nodes at once, only on request, or in batches."
    )
    automatic_os_upgrade_policy: AutomaticOSUpgradePolicy | None = optional(
        "Automatic upgrades of the operating system.", alias="automaticOSUpgradePolicy"
    )
    rolling_upgrade_policy: RollingUpgradePolicy | None = optional("Parameters of mode rolling.")
