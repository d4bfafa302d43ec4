"""virtualMachineConfiguration and upgradePolicy: what the nodes of a pool are made of (REST: Pools - Create Pool)."""

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
    """The image of the nodes: one from the Marketplace, or one of a gallery."""

    publisher: Label | None = optional("Publisher of a Marketplace image.")
    offer: Label | None = optional("Offer of a Marketplace image.")
    sku: Label | None = optional("SKU of a Marketplace image.")
    version: Label | None = optional("Version of a Marketplace image; latest if left out.")
    virtual_machine_image_id: ImageId | None = optional("ARM id of an Azure Compute Gallery image.")
    shared_gallery_image_id: ArmId | None = optional("Id of an image of a gallery that was shared with you.")
    community_gallery_image_id: ArmId | None = optional("Id of an image of a community gallery.")
    refused: ClassVar[tuple[Refused, ...]] = (
        Refused(
            "exactVersion", "exactVersion is what the service reports: remove it", {"type": "string", "maxLength": 1024}
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
    """Settings of Windows."""

    enable_automatic_updates: bool | None = optional("Whether Windows updates itself; true if left out.")


class DataDisk(ApiModel):
    """An empty data disk of each node; it must be formatted and mounted before use."""

    lun: Annotated[int, Field(ge=0, le=63)] = Field(description="Logical unit number, unique on the node.")
    caching: Caching | None = optional("Caching of the disk; none if left out.")
    disk_size_gb: Annotated[int, Field(ge=1, alias="diskSizeGB")] = Field(
        alias="diskSizeGB", description="Size in GB when it is created."
    )
    storage_account_type: DiskKind | None = optional("Kind of the disk; standard_lrs if left out.")


class ContainerConfiguration(ApiModel):
    """Container runtime of the nodes; without it tasks cannot use containerSettings."""

    type: Annotated[str, one_of("dockerCompatible", "criCompatible")] = Field(description="The container runtime.")
    container_image_names: list[Path] | None = many("Images to pull in advance.", 100)
    container_registries: list[ContainerRegistry] | None = many("Private registries that tasks may use.", 20)


class DiskEncryptionConfiguration(ApiModel):
    """Disks of each node that are encrypted."""

    targets: list[Annotated[str, one_of("osdisk", "temporarydisk")]] | None = optional(
        "Which disks; on Linux only temporarydisk, on Windows both are needed.", maxItems=2
    )


class NodePlacementConfiguration(ApiModel):
    """Where in a region nodes are placed."""

    policy: Annotated[str, one_of("regional", "zonal")] | None = optional(
        "All in one region, or spread over its zones; regional if left out."
    )


class VMExtension(ApiModel):
    """A virtual machine extension on each node."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=256)] = Field(description="Name of the extension.")
    publisher: Label = Field(description="Publisher of the extension's handler.")
    type: Label = Field(description="Type of the extension.")
    type_handler_version: Label | None = optional("Version of the handler.")
    auto_upgrade_minor_version: bool | None = optional("Whether a newer minor version is taken at deployment.")
    enable_automatic_upgrade: bool | None = optional(
        "Whether the platform upgrades it when there is a newer version; false if left out."
    )
    settings: dict[str, Any] | None = optional(
        "Public settings of the extension, an object of any shape.", x_kubernetes_preserve_unknown_fields=True
    )
    protected_settings_secret_ref: Annotated[SecretKeyRef | None, StandsFor("protectedSettings", structured=True)] = (
        secret_for("protectedSettings", "Protected settings, a JSON object.")
    )
    provision_after_extensions: list[Label] | None = many("Names of extensions that must be there before.", 20)


class EphemeralOSDisk(ApiModel):
    """Settings of an operating system disk on the node's own storage."""

    placement: Annotated[str, one_of("cachedisk")] | None = optional("Which local storage; cachedisk.")


class DiskSecurityProfile(ApiModel):
    """Encryption of a managed disk of a confidential machine."""

    security_encryption_type: Annotated[str, one_of("NonPersistedTPM", "VMGuestStateOnly")] | None = optional(
        "What is encrypted; required for confidential machines."
    )


class ManagedDisk(ApiModel):
    """A managed disk."""

    storage_account_type: DiskKind | None = optional("Kind of the disk.")
    security_profile: DiskSecurityProfile | None = optional("Encryption with confidential machines.")


class OSDisk(ApiModel):
    """The disk of the operating system."""

    ephemeral_os_disk_settings: EphemeralOSDisk | None = optional(
        "Keeps the disk on the node's own storage: faster, and lost when the node goes.",
        alias="ephemeralOSDiskSettings",
    )
    caching: Caching | None = optional("Caching of the disk.")
    disk_size_gb: Annotated[int, Field(ge=1)] | None = optional(
        "Size in GB; that of the image if left out.", alias="diskSizeGB"
    )
    managed_disk: ManagedDisk | None = optional("Kind and encryption of the disk.")
    write_accelerator_enabled: bool | None = optional("Whether writes are accelerated, on sizes that can do so.")


class UefiSettings(ApiModel):
    """Firmware of a trusted or confidential machine."""

    secure_boot_enabled: bool | None = optional("Whether only signed code boots.")
    v_tpm_enabled: bool | None = optional("Whether the node has a virtual TPM.")


class SecurityProfile(ApiModel):
    """Security of the machines."""

    encryption_at_host: bool | None = optional("Whether all disks are encrypted at the host; false if left out.")
    security_type: Annotated[str, one_of("trustedLaunch", "confidentialVM")] | None = optional(
        "Security type; must be given for uefiSettings to count."
    )
    uefi_settings: UefiSettings | None = optional("Secure boot and virtual TPM.")


class ServiceArtifactReference(ApiModel):
    """The service artifact that fixes image versions for latest."""

    id: ArmId = Field(description="ARM id of the service artifact version.")


class VirtualMachineConfiguration(ApiModel):
    """What the nodes run."""

    image_reference: ImageReference = Field(description="The image.")
    node_agent_sku_id: Label | None = optional(
        "The node agent that fits the image, for example 'batch.node.ubuntu 22.04'. If left out in a BatchPool with a "
        "Marketplace image, the operator takes it from the images that the account supports.",
        alias="nodeAgentSKUId",
    )
    windows_configuration: WindowsConfiguration | None = optional("Settings of Windows; not with Linux images.")
    data_disks: list[DataDisk] | None = many("Empty data disks of each node.", 64, key="lun")
    license_type: Label | None = optional(
        "An on-premises licence that covers the nodes: Windows_Server or Windows_Client."
    )
    container_configuration: ContainerConfiguration | None = optional("Container runtime, images and registries.")
    disk_encryption_configuration: DiskEncryptionConfiguration | None = optional(
        "Encryption of the nodes' disks; none if left out."
    )
    node_placement_configuration: NodePlacementConfiguration | None = optional("Where in the region nodes are placed.")
    extensions: list[VMExtension] | None = many("Virtual machine extensions of the nodes.", 20, key="name")
    os_disk: OSDisk | None = optional("The disk of the operating system.")
    security_profile: SecurityProfile | None = optional("Trusted launch, confidential machines, encryption at host.")
    service_artifact_reference: ServiceArtifactReference | None = optional(
        "Service artifact that fixes image versions."
    )
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
    """How the operating system is upgraded by itself."""

    disable_automatic_rollback: bool | None = optional("Whether a failed upgrade is left as it is; false if left out.")
    enable_automatic_os_upgrade: bool | None = optional(
        "Whether nodes get newer images by themselves; false if left out.", alias="enableAutomaticOSUpgrade"
    )
    use_rolling_upgrade_policy: bool | None = optional("Whether rollingUpgradePolicy applies; false if left out.")
    os_rolling_upgrade_deferral: bool | None = optional("Whether nodes that run tasks wait; false if left out.")


class RollingUpgradePolicy(ApiModel):
    """How an upgrade rolls over the nodes."""

    enable_cross_zone_upgrade: bool | None = optional("Whether a batch of nodes may span zones; zonal pools only.")
    max_batch_instance_percent: Percent | None = optional(
        "Share of the nodes upgraded at once, in percent; 20 if left out."
    )
    max_unhealthy_instance_percent: Percent | None = optional(
        "Share of unhealthy nodes that stops the upgrade, in percent; 20 if left out."
    )
    max_unhealthy_upgraded_instance_percent: Annotated[int, Field(ge=0, le=100)] | None = optional(
        "Share of upgraded nodes that may be unhealthy, in percent; 20 if left out."
    )
    pause_time_between_batches: Duration | None = optional("Pause between two batches of nodes; P0D if left out.")
    prioritize_unhealthy_instances: bool | None = optional("Whether unhealthy nodes go first.")
    rollback_failed_instances_on_policy_breach: bool | None = optional(
        "Whether failed nodes go back to the old image; false if left out."
    )


class UpgradePolicy(ApiModel):
    """How the machines are upgraded."""

    mode: Annotated[str, one_of("automatic", "manual", "rolling")] = Field(
        description="All at once, only on demand, or batch by batch."
    )
    automatic_os_upgrade_policy: AutomaticOSUpgradePolicy | None = optional(
        "Upgrades of the operating system.", alias="automaticOSUpgradePolicy"
    )
    rolling_upgrade_policy: RollingUpgradePolicy | None = optional("Settings of mode rolling.")
