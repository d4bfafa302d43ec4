"""What the nodes of a pool are: image, agent, disks, extensions and the accounts on them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from azure_batch_emulator.schema.common import CONTAINER_REGISTRY, IDENTITY_REFERENCE
from azure_batch_emulator.schema.types import (
    TEXT,
    Anything,
    Boolean,
    Choice,
    Integer,
    Many,
    Property,
    Struct,
    Text,
    optional,
    required,
    secret,
)
from azure_batch_emulator.wire.errors import BatchError, invalid_property, missing_property

_COMPUTE = r"/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft\.Compute"
_IMAGE_ID = re.compile(
    rf"{_COMPUTE}/(images/[^/]+|galleries/[^/]+/images/[^/]+(/versions/[^/]+)?)", re.IGNORECASE | re.ASCII
)
_COMPUTE_FORM = "/subscriptions/{subscriptionId}/resourceGroups/{resourceGroupName}/providers/Microsoft.Compute"
_GALLERY_FORM = f"{_COMPUTE_FORM}/galleries/{{galleryName}}/images/{{galleryImageName}}"
_IMAGE_ID_REASON = (
    f"The specified resource id must be of the format {_COMPUTE_FORM}/images/{{imageName}}, "
    f"{_GALLERY_FORM}/versions/{{galleryImageVersionName}}, or {_GALLERY_FORM}"
)


def _image_rule(accepted: dict[str, Any]) -> None:
    for name in [name for name, value in accepted.items() if value == ""]:
        # Left out, as in bodies that are made from forms.
        del accepted[name]
    by_id = [
        name
        for name in ("virtualMachineImageId", "sharedGalleryImageId", "communityGalleryImageId")
        if name in accepted
    ]
    if len(by_id) > 1:
        raise invalid_property(by_id[1], accepted[by_id[1]], f"It excludes the property '{by_id[0]}'.")
    if by_id:
        if any(name in accepted for name in ("publisher", "offer", "sku")):
            raise invalid_property(by_id[0], accepted[by_id[0]], "It excludes publisher, offer and sku.")
        value = accepted[by_id[0]]
        if by_id[0] == "virtualMachineImageId" and not _IMAGE_ID.fullmatch(value):
            raise invalid_property(by_id[0], value, _IMAGE_ID_REASON)
        if "version" in accepted:
            reason = "Specified property version can only have a value when publisher is set."
            raise BatchError("InvalidPropertyValue", {"PropertyName": "version", "Reason": reason})
        return
    for name in ("publisher", "offer", "sku"):
        if name not in accepted:
            raise missing_property(name)
    accepted.setdefault("version", "latest")


IMAGE = Struct(
    {
        "publisher": TEXT,
        "offer": TEXT,
        "sku": TEXT,
        "version": TEXT,
        "virtualMachineImageId": TEXT,
        # Read-only in the API document: taken, and not given back.
        "exactVersion": secret(TEXT),
        "sharedGalleryImageId": TEXT,
        "communityGalleryImageId": TEXT,
    },
    rules=[_image_rule],
)
CACHING = Choice("none", "readonly", "readwrite")
DISK_STORAGE = Choice("standard_lrs", "premium_lrs", "standardssd_lrs")
MANAGED_DISK = Struct(
    {
        "storageAccountType": DISK_STORAGE,
        "diskEncryptionSet": Struct({"id": TEXT}),
        "securityProfile": Struct(
            {"securityEncryptionType": Choice("NonPersistedTPM", "VMGuestStateOnly", "DiskWithVMGuestState")}
        ),
    }
)
HOST_ENDPOINT = Struct({"inVMAccessControlProfileReferenceId": TEXT, "mode": Choice("Audit", "Enforce")})
VIRTUAL_MACHINE = Struct(
    {
        "imageReference": required(IMAGE),
        "nodeAgentSKUId": required(Text(shortest=1)),
        "windowsConfiguration": Struct({"enableAutomaticUpdates": optional(Boolean(), True)}),
        "dataDisks": Many(
            Struct(
                {
                    "lun": required(Integer(0, 63)),
                    "caching": optional(CACHING, "none"),
                    "diskSizeGB": required(Integer(1)),
                    "storageAccountType": optional(DISK_STORAGE, "standard_lrs"),
                    "managedDisk": MANAGED_DISK,
                }
            )
        ),
        "licenseType": TEXT,
        "containerConfiguration": Struct(
            {
                "type": required(Choice("dockerCompatible", "criCompatible")),
                "containerImageNames": Many(TEXT),
                "containerRegistries": Many(CONTAINER_REGISTRY),
            }
        ),
        "diskEncryptionConfiguration": Struct(
            {
                "targets": Many(Choice("osdisk", "temporarydisk")),
                "customerManagedKey": Struct(
                    {
                        "identityReference": IDENTITY_REFERENCE,
                        "keyUrl": TEXT,
                        "rotationToLatestKeyVersionEnabled": Boolean(),
                    }
                ),
            }
        ),
        "nodePlacementConfiguration": Struct({"policy": optional(Choice("Regional", "Zonal"), "Regional")}),
        "extensions": Many(
            Struct(
                {
                    "name": required(TEXT),
                    "publisher": required(TEXT),
                    "type": required(TEXT),
                    "typeHandlerVersion": TEXT,
                    "autoUpgradeMinorVersion": Boolean(),
                    "enableAutomaticUpgrade": Boolean(),
                    "settings": Anything(),
                    "protectedSettings": secret(Anything()),
                    "provisionAfterExtensions": Many(TEXT),
                }
            )
        ),
        "osDisk": Struct(
            {
                "ephemeralOSDiskSettings": optional(Struct({"placement": Choice("cachedisk")}), {}),
                "caching": Choice("None", "ReadOnly", "ReadWrite"),
                "diskSizeGB": Integer(1),
                "managedDisk": MANAGED_DISK,
                "writeAcceleratorEnabled": Boolean(),
            }
        ),
        "securityProfile": Struct(
            {
                "encryptionAtHost": Boolean(),
                "securityType": Choice("trustedlaunch", "confidentialvm"),
                "uefiSettings": Struct({"secureBootEnabled": Boolean(), "vTpmEnabled": Boolean()}),
                "proxyAgentSettings": Struct(
                    {"enabled": Boolean(), "imds": HOST_ENDPOINT, "wireServer": HOST_ENDPOINT}
                ),
            }
        ),
        "serviceArtifactReference": Struct({"id": required(TEXT)}),
    }
)


def _linux_user_rule(accepted: dict[str, Any]) -> None:
    if ("uid" in accepted) != ("gid" in accepted):
        present = "uid" if "uid" in accepted else "gid"
        raise invalid_property(present, accepted[present], "uid and gid must be given together or not at all.")


USER_ACCOUNTS = Many(
    Struct(
        {
            "name": required(Text(shortest=1, longest=20)),
            "password": Property(Text(), required=True, secret=True),
            "elevationLevel": optional(Choice("nonadmin", "admin"), "nonadmin"),
            "linuxUserConfiguration": Struct(
                {"uid": Integer(0), "gid": Integer(0), "sshPrivateKey": secret(TEXT)}, rules=[_linux_user_rule]
            ),
            "windowsUserConfiguration": Struct({"loginMode": optional(Choice("batch", "interactive"), "batch")}),
        }
    )
)


def is_windows(spec: Mapping[str, Any]) -> bool:
    """Whether a pool's nodes run Windows, told by the agent that they run."""
    machine = spec["virtualMachineConfiguration"]
    return str(machine["nodeAgentSKUId"]).lower().startswith("batch.node.windows")


def with_user_defaults(spec: dict[str, Any]) -> dict[str, Any]:
    """A specification whose Windows users have the login mode that they get when they name none."""
    accounts = spec.get("userAccounts")
    if not accounts or not is_windows(spec):
        return spec
    default = {"windowsUserConfiguration": {"loginMode": "batch"}}
    return spec | {"userAccounts": [default | account for account in accounts]}
