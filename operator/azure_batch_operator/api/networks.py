"""networkConfiguration and mountConfiguration of a pool: the network and the file systems of its nodes."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints

from azure_batch_operator.api.base import (
    ApiModel,
    Refused,
    Rule,
    SecretKeyRef,
    StandsFor,
    cel,
    exactly_one_of,
    many,
    misnamed,
    one_of,
    optional,
    says,
    secret_for,
)
from azure_batch_operator.api.rest import ArmId, IdentityReference, Label, Path, Url

_SUBNET = "^(?i:/subscriptions/[^/]+/resourcegroups/[^/]+/providers/[^/]+/virtualnetworks/[^/]+/subnets/[^/]+)$"
SubnetId = Annotated[
    str,
    StringConstraints(max_length=2048, pattern=_SUBNET),
    says(
        _SUBNET,
        "must be the ARM ID of a subnet: "
        "/subscriptions/<id>/resourceGroups/<group>/providers/Microsoft.Network/virtualNetworks/<network>/subnets/<subnet>",
        2048,
    ),
]
"""ARM ID of a subnet. Azure Batch checks its form, not its casing (docs/azure-batch.md#bodies-in-practice)."""


class NetworkSecurityGroupRule(ApiModel):
    """A rule that allows or denies access to an endpoint."""

    priority: Annotated[int, Field(ge=150, le=4096)] = Field(
        description="Priority of the rule, from 150 to 4096. The lowest number wins. Must be unique in the pool."
    )
    access: Annotated[str, one_of("allow", "deny")] = Field(description="Whether the rule allows or denies access.")
    source_address_prefix: Label = Field(
        description="Source of the traffic: an address, a range (192.168.0.0/24), a service tag, or * for all."
    )
    source_port_ranges: list[Label] | None = many("Source ports, such as 22 or 1000-2000. Defaults to *.", 100)


class InboundNatPool(ApiModel):
    """A port of each node that is reachable from outside the pool."""

    name: Annotated[
        str, StringConstraints(pattern=r"^[A-Za-z0-9]([A-Za-z0-9_.-]{0,75}[A-Za-z0-9_])?$", max_length=77)
    ] = Field(description="Name of the endpoint. Must be unique in the pool.")
    protocol: Annotated[str, one_of("tcp", "udp")] = Field(description="Protocol of the endpoint.")
    backend_port: Annotated[int, Field(ge=1, le=65535)] = Field(
        description="Port on the node. Ports 22, 3389, 29876 and 29877 are reserved."
    )
    frontend_port_range_start: Annotated[int, Field(ge=1, le=65534)] = Field(
        description="First port of the public port range. Each node uses one port; the range must have at least 40."
    )
    frontend_port_range_end: Annotated[int, Field(ge=1, le=65534)] = Field(
        description="Last port of the public port range. Ranges must not overlap. Ports 50000 to 55000 are reserved."
    )
    network_security_group_rules: list[NetworkSecurityGroupRule] | None = many(
        "Access rules for the endpoint. By default, all sources are allowed.", 25
    )
    rules: ClassVar[tuple[Rule, ...]] = (
        cel(
            "self.frontendPortRangeEnd >= self.frontendPortRangeStart",
            "frontendPortRangeEnd must not be less than frontendPortRangeStart",
            ".frontendPortRangeEnd",
        ),
    )


class PoolEndpointConfiguration(ApiModel):
    """Ports of the nodes that are reachable from outside the pool."""

    inbound_nat_pools: list[InboundNatPool] = Field(
        alias="inboundNATPools",
        description="Inbound NAT pools, at most 5.",
        json_schema_extra={
            "maxItems": 5, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
        },
    )  # fmt: skip


class PublicIPAddressConfiguration(ApiModel):
    """Public IP addresses of the nodes."""

    provision: Annotated[str, one_of("batchmanaged", "usermanaged", "nopublicipaddresses")] | None = optional(
        "How public IP addresses are provided. Defaults to batchmanaged."
    )
    ip_address_ids: list[ArmId] | None = many(
        "ARM IDs of your own public IP addresses, one for every 100 nodes. Only with usermanaged.", 100
    )


class NetworkConfiguration(ApiModel):
    """Network configuration of a pool."""

    subnet_id: SubnetId | None = optional(
        "ARM ID of the subnet that nodes join. It must be in the region and subscription of the account."
    )
    dynamic_vnet_assignment_scope: Annotated[str, one_of("none", "job")] | None = optional(
        "Whether jobs may move nodes into another network. Defaults to none.", alias="dynamicVNetAssignmentScope"
    )
    endpoint_configuration: PoolEndpointConfiguration | None = optional(
        "Ports of the nodes that are reachable from outside the pool."
    )
    public_ip_address_configuration: PublicIPAddressConfiguration | None = optional(
        "Public IP addresses of the nodes.", alias="publicIPAddressConfiguration"
    )
    enable_accelerated_networking: bool | None = optional(
        "Whether accelerated networking (single-root I/O virtualization) is enabled. Defaults to false."
    )


class AzureBlobFileSystemConfiguration(ApiModel):
    """A blob container mounted with blobfuse. Requires exactly one of account key, SAS token and managed identity."""

    account_name: Label = Field(description="Name of the storage account.")
    container_name: Path = Field(description="Name of the blob container.")
    account_key_secret_ref: Annotated[SecretKeyRef | None, StandsFor("accountKey")] = secret_for(
        "accountKey", "Access key of the storage account."
    )
    sas_key_secret_ref: Annotated[SecretKeyRef | None, StandsFor("sasKey")] = secret_for(
        "sasKey", "SAS token for the container."
    )
    blobfuse_options: Path | None = optional("Additional options for the mount command.")
    relative_mount_path: Path = Field(description="Mount path, relative to AZ_BATCH_NODE_MOUNTS_DIR.")
    identity_reference: IdentityReference | None = optional("Identity that reads and writes the container.")
    rules: ClassVar[tuple[Rule, ...]] = (
        exactly_one_of(
            ("accountKeySecretRef", "sasKeySecretRef", "identityReference"),
            "give exactly one of accountKeySecretRef, sasKeySecretRef and identityReference",
        ),
    )


class NfsMountConfiguration(ApiModel):
    """An NFS share to mount."""

    source: Url = Field(description="URI of the file system.")
    relative_mount_path: Path = Field(description="Mount path, relative to AZ_BATCH_NODE_MOUNTS_DIR.")
    mount_options: Path | None = optional("Additional options for the mount command.")


class CifsMountConfiguration(ApiModel):
    """A CIFS share to mount."""

    username: Label = Field(description="User name for the share.")
    source: Url = Field(description="URI of the file system.")
    relative_mount_path: Path = Field(description="Mount path, relative to AZ_BATCH_NODE_MOUNTS_DIR.")
    mount_options: Path | None = optional("Additional options for the mount command.")
    password_secret_ref: Annotated[SecretKeyRef | None, StandsFor("password", required=True)] = secret_for(
        "password", "Password for the share. Required."
    )
    refused: ClassVar[tuple[Refused, ...]] = (misnamed("userName", "username"),)


class AzureFileShareConfiguration(ApiModel):
    """An Azure Files share to mount."""

    account_name: Label = Field(description="Name of the storage account.")
    azure_file_url: Url = Field(description="URL of the share: https://<account>.file.core.windows.net/<share>.")
    account_key_secret_ref: Annotated[SecretKeyRef | None, StandsFor("accountKey", required=True)] = secret_for(
        "accountKey", "Access key of the storage account. Required."
    )
    relative_mount_path: Path = Field(description="Mount path, relative to AZ_BATCH_NODE_MOUNTS_DIR.")
    mount_options: Path | None = optional("Additional options for the mount command.")


class MountConfiguration(ApiModel):
    """A file system to mount on each node. Exactly one kind is required."""

    azure_blob_file_system_configuration: AzureBlobFileSystemConfiguration | None = optional(
        "Blob container to mount with blobfuse."
    )
    nfs_mount_configuration: NfsMountConfiguration | None = optional("NFS share to mount.")
    cifs_mount_configuration: CifsMountConfiguration | None = optional("CIFS share to mount.")
    azure_file_share_configuration: AzureFileShareConfiguration | None = optional("Azure Files share to mount.")
    rules: ClassVar[tuple[Rule, ...]] = (
        exactly_one_of(
            (
                "azureBlobFileSystemConfiguration", "nfsMountConfiguration",
                "cifsMountConfiguration", "azureFileShareConfiguration",
            ),
            "each item of mountConfiguration must contain exactly one of azureBlobFileSystemConfiguration, "
"nfsMountConfiguration, cifsMountConfiguration and azureFileShareConfiguration",
        ),
    )  # fmt: skip
