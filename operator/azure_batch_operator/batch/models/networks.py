"""Network of a pool."""

from pydantic import Field

from azure_batch_operator.batch.models.base import Model, Open
from azure_batch_operator.batch.models.enums import (
    DynamicVNetAssignmentScope,
    InboundEndpointProtocol,
    IpAddressProvisioningType,
    NetworkSecurityGroupRuleAccess,
)


class NetworkSecurityGroupRule(Model):
    """Who may reach an endpoint; the lowest priority number decides."""

    priority: int
    access: Open[NetworkSecurityGroupRuleAccess]
    source_address_prefix: str
    source_port_ranges: list[str] | None = None


class InboundNatPool(Model):
    """A port of each node that is reachable from outside."""

    name: str
    protocol: Open[InboundEndpointProtocol]
    backend_port: int
    frontend_port_range_start: int
    frontend_port_range_end: int
    network_security_group_rules: list[NetworkSecurityGroupRule] | None = None


class PoolEndpointConfiguration(Model):
    """Ports of the nodes that are reachable from outside."""

    inbound_nat_pools: list[InboundNatPool] = Field(alias="inboundNATPools")


class PublicIPAddressConfiguration(Model):
    """Public addresses of a pool."""

    provision: Open[IpAddressProvisioningType] | None = None
    ip_address_ids: list[str] | None = None


class NetworkConfiguration(Model):
    """Network of a pool."""

    subnet_id: str | None = None
    dynamic_vnet_assignment_scope: Open[DynamicVNetAssignmentScope] | None = Field(
        None, alias="dynamicVNetAssignmentScope"
    )
    endpoint_configuration: PoolEndpointConfiguration | None = None
    public_ip_address_configuration: PublicIPAddressConfiguration | None = Field(
        None, alias="publicIPAddressConfiguration"
    )
    enable_accelerated_networking: bool | None = None
