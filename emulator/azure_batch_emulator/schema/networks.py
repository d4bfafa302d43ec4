"""The networks of pools and jobs."""

from __future__ import annotations

from typing import Any

from azure_batch_emulator.schema.types import (
    TEXT,
    Boolean,
    Choice,
    Integer,
    Many,
    Property,
    Struct,
    Text,
    optional,
    required,
)
from azure_batch_emulator.wire.errors import invalid_property


class SubnetId(Text):
    """The resource id of a subnet; the service checks its form (recorded for subnetId)."""

    def accept(self, name: str, value: Any) -> Any:
        text: str = super().accept(name, value)
        parts = text.lower().strip("/").split("/")
        if len(parts) != 10 or parts[0] != "subscriptions" or parts[6] != "virtualnetworks" or parts[8] != "subnets":
            reason = (
                "The value must be of the form /subscriptions/{subscription}/resourceGroups/{group}/providers/"
                "{provider}/virtualNetworks/{network}/subnets/{subnet}."
            )
            raise invalid_property(name, text, reason)
        return text


def _ports_rule(accepted: dict[str, Any]) -> None:
    if accepted["frontendPortRangeEnd"] < accepted["frontendPortRangeStart"]:
        value = accepted["frontendPortRangeEnd"]
        raise invalid_property("frontendPortRangeEnd", value, "It must not be less than frontendPortRangeStart.")


NETWORK = Struct(
    {
        "subnetId": SubnetId(),
        "dynamicVNetAssignmentScope": optional(Choice("none", "job"), "none"),
        "endpointConfiguration": Struct(
            {
                "inboundNATPools": Property(
                    Many(
                        Struct(
                            {
                                "name": required(Text(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,76}")),
                                "protocol": required(Choice("tcp", "udp")),
                                "backendPort": required(Integer(1, 65535)),
                                "frontendPortRangeStart": required(Integer(1, 65534)),
                                "frontendPortRangeEnd": required(Integer(1, 65534)),
                                "networkSecurityGroupRules": Many(
                                    Struct(
                                        {
                                            "priority": required(Integer(150, 4096)),
                                            "access": required(Choice("allow", "deny")),
                                            "sourceAddressPrefix": required(TEXT),
                                            "sourcePortRanges": optional(Many(TEXT), ["*"]),
                                        }
                                    ),
                                    most=25,
                                ),
                            },
                            rules=[_ports_rule],
                        ),
                        most=5,
                    ),
                    required=True,
                )
            }
        ),
        "publicIPAddressConfiguration": Struct(
            {
                "provision": optional(Choice("batchmanaged", "usermanaged", "nopublicipaddresses"), "batchmanaged"),
                "ipAddressIds": Many(TEXT),
                "ipFamilies": Many(Choice("IPv4", "IPv6")),
                "ipTags": Many(Struct({"ipTagType": TEXT, "tag": TEXT})),
            }
        ),
        "enableAcceleratedNetworking": optional(Boolean(), False),
    }
)
