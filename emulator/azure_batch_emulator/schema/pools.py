"""Bodies of pools: create, PATCH, updateproperties, resize, autoscale, node removal (docs/azure-batch.md#pools)."""

from __future__ import annotations

from typing import Any

from azure_batch_emulator.schema.common import (
    APPLICATION_PACKAGES,
    COMMAND_LINE,
    CONTAINER_SETTINGS,
    ENVIRONMENT,
    IDENTITY_REFERENCE,
    METADATA,
    RESOURCE_FILES,
    USER_IDENTITY,
)
from azure_batch_emulator.schema.machines import USER_ACCOUNTS, VIRTUAL_MACHINE, with_user_defaults
from azure_batch_emulator.schema.networks import NETWORK
from azure_batch_emulator.schema.types import (
    DISPLAY_NAME,
    ID,
    TEXT,
    Anything,
    Boolean,
    Choice,
    Duration,
    Integer,
    Lower,
    Many,
    Property,
    Struct,
    Text,
    optional,
    required,
    secret,
)
from azure_batch_emulator.wire.errors import BatchError, invalid_property, missing_property

MINUTE = 60
RESIZE_TIMEOUT = Duration(5 * MINUTE)
EVALUATION_INTERVAL = Duration(5 * MINUTE, 168 * 3600)
NODES = Integer(0)
COMMUNICATION_MODE = Choice("default", "classic", "simplified")
DEALLOCATION_OPTION = Choice("requeue", "terminate", "taskcompletion", "retaineddata")


class RetiredCertificates(Many):
    """An empty list is accepted, a reference is refused with the service's own reason (docs/azure-batch.md#certificates)."""

    def __init__(self) -> None:
        super().__init__(Anything())

    def accept(self, name: str, value: Any) -> Any:
        if super().accept(name, value):
            reason = "Certificate references are blocked. Pools must not hold certificate references."
            raise BatchError("CertificateRetired", {"Reason": reason})
        return []


CERTIFICATES = RetiredCertificates()


START_TASK = Struct(
    {
        "commandLine": required(COMMAND_LINE),
        "containerSettings": CONTAINER_SETTINGS,
        "resourceFiles": RESOURCE_FILES,
        "environmentSettings": ENVIRONMENT,
        "userIdentity": optional(USER_IDENTITY, {}),
        "maxTaskRetryCount": optional(Integer(-1), 0),
        "waitForSuccess": optional(Boolean(), True),
    }
)


def _mount_rule(accepted: dict[str, Any]) -> None:
    if len(accepted) != 1:
        raise invalid_property("mountConfiguration", ", ".join(accepted), "Each mount has exactly one configuration.")


MOUNTS = Many(
    Struct(
        {
            "azureBlobFileSystemConfiguration": Struct(
                {
                    "accountName": required(TEXT),
                    "containerName": required(TEXT),
                    "accountKey": secret(TEXT),
                    "sasKey": secret(TEXT),
                    "blobfuseOptions": TEXT,
                    "relativeMountPath": required(TEXT),
                    "identityReference": IDENTITY_REFERENCE,
                }
            ),
            "nfsMountConfiguration": Struct(
                {"source": required(TEXT), "relativeMountPath": required(TEXT), "mountOptions": TEXT}
            ),
            "cifsMountConfiguration": Struct(
                {
                    "username": required(TEXT),
                    "source": required(TEXT),
                    "relativeMountPath": required(TEXT),
                    "mountOptions": TEXT,
                    "password": Property(Text(), required=True, secret=True),
                }
            ),
            "azureFileShareConfiguration": Struct(
                {
                    "accountName": required(TEXT),
                    "accountKey": Property(Text(), required=True, secret=True),
                    "azureFileUrl": required(TEXT),
                    "relativeMountPath": required(TEXT),
                    "mountOptions": TEXT,
                }
            ),
        },
        rules=[_mount_rule],
    ),
    most=10,
)
PERCENT = Integer(5, 100)
UPGRADE_POLICY = Struct(
    {
        "mode": required(Choice("automatic", "manual", "rolling")),
        "automaticOSUpgradePolicy": optional(
            Struct(
                {
                    "disableAutomaticRollback": optional(Boolean(), False),
                    "enableAutomaticOSUpgrade": optional(Boolean(), False),
                    "useRollingUpgradePolicy": optional(Boolean(), False),
                    "osRollingUpgradeDeferral": optional(Boolean(), False),
                }
            ),
            {},
        ),
        "rollingUpgradePolicy": optional(
            Struct(
                {
                    "enableCrossZoneUpgrade": Boolean(),
                    "maxBatchInstancePercent": optional(PERCENT, 20),
                    "maxUnhealthyInstancePercent": optional(PERCENT, 20),
                    "maxUnhealthyUpgradedInstancePercent": optional(Integer(0, 100), 20),
                    "pauseTimeBetweenBatches": optional(Duration(), "P0D"),
                    "prioritizeUnhealthyInstances": Boolean(),
                    "rollbackFailedInstancesOnPolicyBreach": optional(Boolean(), False),
                }
            ),
            {},
        ),
    }
)
SCHEDULING_POLICY = Struct(
    {
        "nodeFillType": optional(Choice("Spread", "Pack"), "Spread"),
        "jobDefaultOrder": Choice("none", "creationtime"),
    }
)


def _scale_rule(accepted: dict[str, Any]) -> None:
    """A pool has targets or a formula, never both; without either the targets are 0 (docs/azure-batch.md#pools)."""
    targets = [name for name in ("targetDedicatedNodes", "targetLowPriorityNodes") if name in accepted]
    if accepted.get("enableAutoScale"):
        if targets:
            reason = "The targets of a pool with automatic scaling come from its formula and must not be given."
            raise invalid_property(targets[0], accepted[targets[0]], reason)
        if "autoScaleFormula" not in accepted:
            raise missing_property("autoScaleFormula")
        accepted.setdefault("autoScaleEvaluationInterval", "PT15M")
    else:
        for name in ("autoScaleFormula", "autoScaleEvaluationInterval"):
            if name in accepted:
                reason = f"{name} needs enableAutoScale to be true."
                raise BatchError("InvalidAutoScalingSettings", {"PropertyName": name, "Reason": reason})


def _nodes_rule(accepted: dict[str, Any]) -> None:
    account_names = [account["name"] for account in accepted.get("userAccounts", ())]
    if len(set(account_names)) != len(account_names):
        raise invalid_property("userAccounts", ", ".join(account_names), "The names of user accounts must be unique.")


# Everything a pool specification has, whether the pool is created directly or as an auto pool of a job.
_SPECIFICATION: dict[str, Any] = {
    "displayName": DISPLAY_NAME,
    "vmSize": required(Lower(shortest=1)),
    "virtualMachineConfiguration": required(VIRTUAL_MACHINE),
    "resizeTimeout": optional(RESIZE_TIMEOUT, "PT15M"),
    "resourceTags": Anything(),
    "targetDedicatedNodes": NODES,
    "targetLowPriorityNodes": NODES,
    "enableAutoScale": optional(Boolean(), False),
    "autoScaleFormula": TEXT,
    "autoScaleEvaluationInterval": EVALUATION_INTERVAL,
    "enableInterNodeCommunication": optional(Boolean(), False),
    "networkConfiguration": NETWORK,
    "startTask": START_TASK,
    "certificateReferences": optional(CERTIFICATES, [], keep_empty=True),
    "applicationPackageReferences": APPLICATION_PACKAGES,
    "taskSlotsPerNode": optional(Integer(1, 256), 1),
    "taskSchedulingPolicy": optional(SCHEDULING_POLICY, {}),
    "userAccounts": USER_ACCOUNTS,
    "metadata": METADATA,
    "mountConfiguration": MOUNTS,
    "targetNodeCommunicationMode": COMMUNICATION_MODE,
    "upgradePolicy": UPGRADE_POLICY,
}
POOL = Struct({"id": required(ID), **_SPECIFICATION}, rules=[_scale_rule, _nodes_rule])


def _auto_pool_rule(accepted: dict[str, Any]) -> None:
    """Recorded: the specification of an auto pool comes back with both targets and without certificates."""
    del accepted["certificateReferences"]
    accepted |= with_user_defaults(accepted)
    if not accepted["enableAutoScale"]:
        accepted.setdefault("targetDedicatedNodes", 0)
        accepted.setdefault("targetLowPriorityNodes", 0)


POOL_SPECIFICATION = Struct(_SPECIFICATION, rules=[_scale_rule, _nodes_rule, _auto_pool_rule])
POOL_UPDATE = Struct(
    {
        name: _SPECIFICATION[name].kind if isinstance(_SPECIFICATION[name], Property) else _SPECIFICATION[name]
        for name in (
            "displayName",
            "vmSize",
            "enableInterNodeCommunication",
            "startTask",
            "certificateReferences",
            "applicationPackageReferences",
            "metadata",
            "virtualMachineConfiguration",
            "targetNodeCommunicationMode",
            "taskSlotsPerNode",
            "taskSchedulingPolicy",
            "networkConfiguration",
            "resourceTags",
            "userAccounts",
            "mountConfiguration",
            "upgradePolicy",
        )
    }
)
EMPTY_POOL_ONLY = frozenset(POOL_UPDATE.properties) - {
    "displayName",
    "startTask",
    "certificateReferences",
    "applicationPackageReferences",
    "metadata",
    "targetNodeCommunicationMode",
}
"""Properties that a PATCH may change only while the pool has no nodes (docs/azure-batch.md#patch-of-a-pool)."""
POOL_REPLACE = Struct(
    {
        "startTask": START_TASK,
        "certificateReferences": Property(CERTIFICATES, required=True, keep_empty=True),
        "applicationPackageReferences": Property(APPLICATION_PACKAGES, required=True, keep_empty=True),
        "metadata": Property(METADATA, required=True, keep_empty=True),
        "targetNodeCommunicationMode": optional(COMMUNICATION_MODE, "default"),
    }
)


def _resize_rule(accepted: dict[str, Any]) -> None:
    if "targetDedicatedNodes" not in accepted and "targetLowPriorityNodes" not in accepted:
        raise missing_property("targetDedicatedNodes and/or targetLowPriorityNodes")


RESIZE = Struct(
    {
        "targetDedicatedNodes": NODES,
        "targetLowPriorityNodes": NODES,
        "resizeTimeout": optional(RESIZE_TIMEOUT, "PT15M"),
        "nodeDeallocationOption": optional(DEALLOCATION_OPTION, "requeue"),
    },
    rules=[_resize_rule],
)
REMOVE_NODES = Struct(
    {
        "nodeList": required(Many(TEXT, most=100, least=1)),
        "resizeTimeout": optional(RESIZE_TIMEOUT, "PT15M"),
        "nodeDeallocationOption": optional(DEALLOCATION_OPTION, "requeue"),
    }
)
ENABLE_AUTO_SCALE = Struct({"autoScaleFormula": TEXT, "autoScaleEvaluationInterval": EVALUATION_INTERVAL})
EVALUATE_AUTO_SCALE = Struct({"autoScaleFormula": required(TEXT)})
