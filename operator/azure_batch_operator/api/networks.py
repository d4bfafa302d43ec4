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
        "must be the ARM id of a subnet: /subscriptions/<id>/resourceGroups/<group>/providers/Microsoft.Network/"
        "virtualNetworks/<network>/subnets/<subnet>",
        2048,
    ),
]
"""ARM id of a subnet; the service checks its form, not its casing (docs/azure-batch.md#bodies-in-practice)."""


class NetworkSecurityGroupRule(ApiModel):
    """Who may reach an endpoint; the lowest priority number decides."""

    priority: Annotated[int, Field(ge=150, le=4096)] = Field(
        description="Order of the rules, lowest first; unique in the pool."
    )
    access: Annotated[str, one_of("allow", "deny")] = Field(description="What the rule does.")
    source_address_prefix: Label = Field(
        description="An address, a range (192.168.0.0/24), a service tag, or * for all."
    )
    source_port_ranges: list[Label] | None = many("Ports of the caller, such as 22 or 1000-2000; * if left out.", 100)


class InboundNatPool(ApiModel):
    """A port of each node that can be reached from outside."""

    name: Annotated[
        str, StringConstraints(pattern=r"^[A-Za-z0-9]([A-Za-z0-9_.-]{0,75}[A-Za-z0-9_])?$", max_length=77)
    ] = Field(description="Name of the endpoint, unique in the pool.")
    protocol: Annotated[str, one_of("tcp", "udp")] = Field(description="Protocol of the endpoint.")
    backend_port: Annotated[int, Field(ge=1, le=65535)] = Field(
        description="Port on the node; not 22, 3389, 29876 or 29877, which Batch needs for itself."
    )
    frontend_port_range_start: Annotated[int, Field(ge=1, le=65534)] = Field(
        description="First of the public ports; each node takes one, 40 at least are needed."
    )
    frontend_port_range_end: Annotated[int, Field(ge=1, le=65534)] = Field(
        description="Last of the public ports; ranges of the pool must not overlap. 50000 to 55000 are taken."
    )
    network_security_group_rules: list[NetworkSecurityGroupRule] | None = many(
        "Who may reach the endpoint; everybody if left out.", 25
    )
    rules: ClassVar[tuple[Rule, ...]] = (
        cel(
            "self.frontendPortRangeEnd >= self.frontendPortRangeStart",
            "frontendPortRangeEnd must not be less than frontendPortRangeStart",
            ".frontendPortRangeEnd",
        ),
    )


class PoolEndpointConfiguration(ApiModel):
    """Ports of the nodes that can be reached from outside."""

    inbound_nat_pools: list[InboundNatPool] = Field(
        alias="inboundNATPools",
        description="The ports, at most 5.",
        json_schema_extra={
            "maxItems": 5, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
        },
    )  # fmt: skip


class PublicIPAddressConfiguration(ApiModel):
    """Public addresses of the nodes."""

    provision: Annotated[str, one_of("batchmanaged", "usermanaged", "nopublicipaddresses")] | None = optional(
        "Who provides public addresses; batchmanaged if left out."
    )
    ip_address_ids: list[ArmId] | None = many(
        "ARM ids of your own addresses, each for 100 nodes; with usermanaged.", 100
    )


class NetworkConfiguration(ApiModel):
    """Network of a pool."""

    subnet_id: SubnetId | None = optional(
        "ARM id of the subnet that nodes join; same region and subscription as the account."
    )
    dynamic_vnet_assignment_scope: Annotated[str, one_of("none", "job")] | None = optional(
        "Whether jobs may move nodes into their own network; none if left out.", alias="dynamicVNetAssignmentScope"
    )
    endpoint_configuration: PoolEndpointConfiguration | None = optional(
        "Ports of the nodes that can be reached from outside."
    )
    public_ip_address_configuration: PublicIPAddressConfiguration | None = optional(
        "Public addresses of the nodes.", alias="publicIPAddressConfiguration"
    )
    enable_accelerated_networking: bool | None = optional(
        "Whether nodes use single-root I/O virtualisation; false if left out."
    )


class AzureBlobFileSystemConfiguration(ApiModel):
    """A blob container that is mounted with blobfuse; exactly one of key, SAS and identity."""

    account_name: Label = Field(description="Name of the storage account.")
    container_name: Path = Field(description="Name of the container.")
    account_key_secret_ref: Annotated[SecretKeyRef | None, StandsFor("accountKey")] = secret_for(
        "accountKey", "Access key of the storage account."
    )
    sas_key_secret_ref: Annotated[SecretKeyRef | None, StandsFor("sasKey")] = secret_for("sasKey", "SAS token.")
    blobfuse_options: Path | None = optional("Further options of the mount command.")
    relative_mount_path: Path = Field(description="Directory below AZ_BATCH_NODE_MOUNTS_DIR.")
    identity_reference: IdentityReference | None = optional("Identity with which the container is read and written.")
    rules: ClassVar[tuple[Rule, ...]] = (
        exactly_one_of(
            ("accountKeySecretRef", "sasKeySecretRef", "identityReference"),
            "give exactly one of accountKeySecretRef, sasKeySecretRef and identityReference",
        ),
    )


class NfsMountConfiguration(ApiModel):
    """An NFS share."""

    source: Url = Field(description="URI of the file system.")
    relative_mount_path: Path = Field(description="Directory below AZ_BATCH_NODE_MOUNTS_DIR.")
    mount_options: Path | None = optional("Further options of the mount command.")


class CifsMountConfiguration(ApiModel):
    """A CIFS share."""

    username: Label = Field(description="User name of the share.")
    source: Url = Field(description="URI of the file system.")
    relative_mount_path: Path = Field(description="Directory below AZ_BATCH_NODE_MOUNTS_DIR.")
    mount_options: Path | None = optional("Further options of the mount command.")
    password_secret_ref: Annotated[SecretKeyRef | None, StandsFor("password", required=True)] = secret_for(
        "password", "Password of the share, required."
    )
    refused: ClassVar[tuple[Refused, ...]] = (misnamed("userName", "username"),)


class AzureFileShareConfiguration(ApiModel):
    """An Azure Files share."""

    account_name: Label = Field(description="Name of the storage account.")
    azure_file_url: Url = Field(description="URL of the share, https://<account>.file.core.windows.net/<share>.")
    account_key_secret_ref: Annotated[SecretKeyRef | None, StandsFor("accountKey", required=True)] = secret_for(
        "accountKey", "Access key of the storage account, required."
    )
    relative_mount_path: Path = Field(description="Directory below AZ_BATCH_NODE_MOUNTS_DIR.")
    mount_options: Path | None = optional("Further options of the mount command.")


class MountConfiguration(ApiModel):
    """A file system that each node mounts: exactly one of the four kinds."""

    azure_blob_file_system_configuration: AzureBlobFileSystemConfiguration | None = optional("A blob container.")
    nfs_mount_configuration: NfsMountConfiguration | None = optional("An NFS share.")
    cifs_mount_configuration: CifsMountConfiguration | None = optional("A CIFS share.")
    azure_file_share_configuration: AzureFileShareConfiguration | None = optional("An Azure Files share.")
    rules: ClassVar[tuple[Rule, ...]] = (
        exactly_one_of(
            (
                "azureBlobFileSystemConfiguration", "nfsMountConfiguration",
                "cifsMountConfiguration", "azureFileShareConfiguration",
            ),
            "each item of mountConfiguration has exactly one of azureBlobFileSystemConfiguration, "
            "nfsMountConfiguration, cifsMountConfiguration and azureFileShareConfiguration",
        ),
    )  # fmt: skip
