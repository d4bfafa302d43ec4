"""Request bodies that together have every property of the API document, and what the service makes of each, written by hand.

A sample is what is sent; its differences say, by path, what comes back otherwise: another value, or `ABSENT`. Where the differences
are known from stands beside them: recorded unless said.
"""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass, field
from typing import Any

ABSENT: Any = object()
INFINITE = "P10675199DT2H48M5.4775807S"
COMPUTE = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute"
SUBNET = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/n/subnets/b"
IDENTITY = {"resourceId": "/subscriptions/s/identity"}
_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")


def steps(path: str) -> list[str | int]:
    """Parts of a path such as ``a.b[0].c``."""
    return [name or int(index) for name, index in _STEP.findall(path)]


def put(body: Any, path: str, value: Any) -> None:
    """Set a value in a body, or take it away."""
    *way, last = steps(path)
    for step in way:
        body = body[step]
    if value is ABSENT:
        body.pop(last, None)
    else:
        body[last] = value


@dataclass(frozen=True)
class Sample:
    """One body and what differs in what comes back."""

    sent: dict[str, Any]
    differences: dict[str, Any] = field(default_factory=dict)

    @property
    def returned(self) -> dict[str, Any]:
        """What comes back."""
        body = copy.deepcopy(self.sent)
        for path, value in self.differences.items():
            put(body, path, value)
        return body

    def inside(self, path: str) -> dict[str, Any]:
        """The differences of this sample where it is part of a larger one."""
        return {f"{path}.{name}": value for name, value in self.differences.items()}


# -- parts that several resources have --

REGISTRY = Sample({"username": "u", "password": "hush", "registryServer": "r.example"}, {"password": ABSENT})
CONTAINER = Sample(
    {
        "containerRunOptions": "--rm",
        "imageName": "image:tag",
        "registry": REGISTRY.sent,
        "workingDirectory": "ContainerImageDefault",
        "containerHostBatchBindMounts": [{"source": "shared", "isReadOnly": True}, {"source": "Task"}],
    },
    {
        "workingDirectory": "containerImageDefault",
        "containerHostBatchBindMounts[0].source": "Shared",
        **REGISTRY.inside("registry"),
    },
)
CONTAINER_BY_IDENTITY = {"imageName": "image", "registry": {"registryServer": "r", "identityReference": IDENTITY}}
RESOURCE_FILES = [
    {"httpUrl": "https://a.example/f", "filePath": "f", "fileMode": "0640", "identityReference": IDENTITY},
    {"storageContainerUrl": "https://a.example/c?sas", "blobPrefix": "x/", "filePath": "d"},
    {"autoStorageContainerName": "c"},
]
ENVIRONMENT = [{"name": "A", "value": "1"}, {"name": "EMPTY", "value": ""}]
AUTO_USER = Sample(
    {"autoUser": {"scope": "Task", "elevationLevel": "Admin"}},
    {"autoUser.scope": "task", "autoUser.elevationLevel": "admin"},
)
CONSTRAINTS = Sample(
    {"maxWallClockTime": "PT01H00M00S", "retentionTime": "P1DT24H", "maxTaskRetryCount": 3},
    {"maxWallClockTime": "PT1H", "retentionTime": "P2D"},
)
OUTPUT_FILES = [
    {
        "filePattern": "**/*.txt",
        "destination": {
            "container": {
                "path": "out",
                "containerUrl": "https://a.example/o?sas",
                "identityReference": IDENTITY,
                "uploadHeaders": [{"name": "x-ms-a", "value": "b"}],
            }
        },
        "uploadOptions": {"uploadCondition": "tasksuccess"},
    }
]
OUTPUT_DIFFERENCES = {"outputFiles[0].uploadOptions.uploadCondition": "TaskSuccess"}
PACKAGES = [{"applicationId": "app", "version": "1"}]
METADATA = [{"name": "a", "value": "b"}]

# -- pools --

START_TASK = Sample(
    {
        "commandLine": "true",
        "containerSettings": CONTAINER.sent,
        "resourceFiles": RESOURCE_FILES,
        "environmentSettings": ENVIRONMENT,
        "userIdentity": {"username": "linux"},
        "maxTaskRetryCount": 2,
        "waitForSuccess": False,
    },
    CONTAINER.inside("containerSettings"),
)
LINUX_POOL = Sample(
    {
        "displayName": "Ü",
        "vmSize": "STANDARD_D4s_v3",
        "virtualMachineConfiguration": {
            "imageReference": {
                "publisher": "Microsoft-DSVM",
                "offer": "ubuntu-hpc",
                "sku": "2204",
                "version": "22.04.1",
                "exactVersion": "22.04.1",
            },
            "nodeAgentSKUId": "batch.node.ubuntu 22.04",
            "containerConfiguration": {
                "type": "DockerCompatible",
                "containerImageNames": ["image"],
                "containerRegistries": [REGISTRY.sent, {"registryServer": "s", "identityReference": IDENTITY}],
            },
            "dataDisks": [
                {"lun": 1, "caching": "ReadOnly", "diskSizeGB": 8, "storageAccountType": "Premium_LRS"},
                {"lun": 2, "diskSizeGB": 8},
            ],
            "diskEncryptionConfiguration": {"targets": ["OsDisk", "temporarydisk"]},
            "nodePlacementConfiguration": {"policy": "zonal"},
            "extensions": [
                {
                    "name": "e",
                    "publisher": "p",
                    "type": "t",
                    "typeHandlerVersion": "1.0",
                    "autoUpgradeMinorVersion": True,
                    "enableAutomaticUpgrade": False,
                    "settings": {"a": [1]},
                    "protectedSettings": {"b": "hush"},
                    "provisionAfterExtensions": ["f"],
                }
            ],
            "osDisk": {
                "ephemeralOSDiskSettings": {"placement": "CacheDisk"},
                "caching": "readwrite",
                "diskSizeGB": 64,
                "managedDisk": {
                    "storageAccountType": "StandardSSD_LRS",
                    "securityProfile": {"securityEncryptionType": "vmGuestStateOnly"},
                },
                "writeAcceleratorEnabled": False,
            },
            "securityProfile": {
                "encryptionAtHost": True,
                "securityType": "trustedLaunch",
                "uefiSettings": {"secureBootEnabled": True, "vTpmEnabled": False},
            },
            "serviceArtifactReference": {"id": f"{COMPUTE}/galleries/g/serviceArtifacts/a"},
        },
        "resizeTimeout": "PT06M00S",
        "resourceTags": {"team": "x"},
        "targetDedicatedNodes": 0,
        "targetLowPriorityNodes": 0,
        "enableAutoScale": False,
        "enableInterNodeCommunication": True,
        "networkConfiguration": {
            "subnetId": SUBNET,
            "dynamicVNetAssignmentScope": "Job",
            "enableAcceleratedNetworking": True,
            "endpointConfiguration": {
                "inboundNATPools": [
                    {
                        "name": "ssh",
                        "protocol": "TCP",
                        "backendPort": 22,
                        "frontendPortRangeStart": 15000,
                        "frontendPortRangeEnd": 15100,
                        "networkSecurityGroupRules": [
                            {
                                "priority": 150,
                                "access": "Allow",
                                "sourceAddressPrefix": "*",
                                "sourcePortRanges": ["1-2"],
                            },
                            {"priority": 151, "access": "deny", "sourceAddressPrefix": "10.0.0.0/8"},
                        ],
                    }
                ]
            },
            "publicIPAddressConfiguration": {"provision": "UserManaged", "ipAddressIds": ["/subscriptions/s/ip"]},
        },
        "startTask": START_TASK.sent,
        "certificateReferences": [],
        "applicationPackageReferences": PACKAGES,
        "taskSlotsPerNode": 4,
        "taskSchedulingPolicy": {"nodeFillType": "pack"},
        "userAccounts": [
            {
                "name": "linux",
                "password": "hush",
                "elevationLevel": "Admin",
                "linuxUserConfiguration": {"uid": 1001, "gid": 1002, "sshPrivateKey": "hush"},
            }
        ],
        "metadata": METADATA,
        "mountConfiguration": [
            {
                "azureBlobFileSystemConfiguration": {
                    "accountName": "a",
                    "containerName": "c",
                    "accountKey": "hush",
                    "sasKey": "hush",
                    "blobfuseOptions": "-o",
                    "relativeMountPath": "m1",
                    "identityReference": IDENTITY,
                }
            },
            {"nfsMountConfiguration": {"source": "s:/x", "relativeMountPath": "m2", "mountOptions": "-o"}},
        ],
        "targetNodeCommunicationMode": "Simplified",
        "upgradePolicy": {
            "mode": "Automatic",
            "automaticOSUpgradePolicy": {
                "disableAutomaticRollback": True,
                "enableAutomaticOSUpgrade": True,
                "useRollingUpgradePolicy": True,
                "osRollingUpgradeDeferral": True,
            },
            "rollingUpgradePolicy": {
                "enableCrossZoneUpgrade": True,
                "maxBatchInstancePercent": 21,
                "maxUnhealthyInstancePercent": 22,
                "maxUnhealthyUpgradedInstancePercent": 23,
                "pauseTimeBetweenBatches": "PT0M30S",
                "prioritizeUnhealthyInstances": True,
                "rollbackFailedInstancesOnPolicyBreach": True,
            },
        },
    },
    {
        "vmSize": "standard_d4s_v3",
        # Inferred: the API document calls it read-only.
        "virtualMachineConfiguration.imageReference.exactVersion": ABSENT,
        "virtualMachineConfiguration.containerConfiguration.type": "dockerCompatible",
        **REGISTRY.inside("virtualMachineConfiguration.containerConfiguration.containerRegistries[0]"),
        "virtualMachineConfiguration.dataDisks[0].caching": "readonly",
        "virtualMachineConfiguration.dataDisks[0].storageAccountType": "premium_lrs",
        "virtualMachineConfiguration.dataDisks[1].caching": "none",
        "virtualMachineConfiguration.dataDisks[1].storageAccountType": "standard_lrs",
        "virtualMachineConfiguration.diskEncryptionConfiguration.targets[0]": "osdisk",
        "virtualMachineConfiguration.nodePlacementConfiguration.policy": "Zonal",
        "virtualMachineConfiguration.extensions[0].protectedSettings": ABSENT,
        "virtualMachineConfiguration.osDisk.ephemeralOSDiskSettings.placement": "cachedisk",
        "virtualMachineConfiguration.osDisk.caching": "ReadWrite",
        "virtualMachineConfiguration.osDisk.managedDisk.storageAccountType": "standardssd_lrs",
        "virtualMachineConfiguration.osDisk.managedDisk.securityProfile.securityEncryptionType": "VMGuestStateOnly",
        "virtualMachineConfiguration.securityProfile.securityType": "trustedlaunch",
        "resizeTimeout": "PT6M",
        "networkConfiguration.dynamicVNetAssignmentScope": "job",
        "networkConfiguration.endpointConfiguration.inboundNATPools[0].protocol": "tcp",
        "networkConfiguration.endpointConfiguration.inboundNATPools[0].networkSecurityGroupRules[0].access": "allow",
        "networkConfiguration.endpointConfiguration.inboundNATPools[0].networkSecurityGroupRules[1].sourcePortRanges": [
            "*"
        ],
        "networkConfiguration.publicIPAddressConfiguration.provision": "usermanaged",
        **START_TASK.inside("startTask"),
        "taskSchedulingPolicy.nodeFillType": "Pack",
        "userAccounts[0].password": ABSENT,
        "userAccounts[0].elevationLevel": "admin",
        "userAccounts[0].linuxUserConfiguration.sshPrivateKey": ABSENT,
        "mountConfiguration[0].azureBlobFileSystemConfiguration.accountKey": ABSENT,
        "mountConfiguration[0].azureBlobFileSystemConfiguration.sasKey": ABSENT,
        "targetNodeCommunicationMode": "simplified",
        "upgradePolicy.mode": "automatic",
        "upgradePolicy.rollingUpgradePolicy.pauseTimeBetweenBatches": "PT30S",
    },
)
# What is left out of a pool and comes back filled in.
POOL_DEFAULTS = {
    "resizeTimeout": "PT15M",
    "targetDedicatedNodes": 0,
    "targetLowPriorityNodes": 0,
    "enableAutoScale": False,
    "enableInterNodeCommunication": False,
    "taskSlotsPerNode": 1,
    "taskSchedulingPolicy": {"nodeFillType": "Spread"},
    "certificateReferences": [],
}
WINDOWS_POOL = Sample(
    {
        "vmSize": "standard_d4s_v3",
        "virtualMachineConfiguration": {
            "imageReference": {
                "publisher": "MicrosoftWindowsServer",
                "offer": "WindowsServer",
                "sku": "2019-Datacenter",
            },
            "nodeAgentSKUId": "batch.node.windows amd64",
            "windowsConfiguration": {"enableAutomaticUpdates": False},
            "licenseType": "Windows_Server",
        },
        "startTask": {"commandLine": "cmd /c echo", "userIdentity": AUTO_USER.sent},
        "userAccounts": [
            {"name": "a", "password": "hush", "windowsUserConfiguration": {"loginMode": "Interactive"}},
            {"name": "b", "password": "hush"},
        ],
        "mountConfiguration": [
            {
                "cifsMountConfiguration": {
                    "username": "u",
                    "source": "s",
                    "relativeMountPath": "m1",
                    "mountOptions": "-o",
                    "password": "hush",
                }
            },
            {
                "azureFileShareConfiguration": {
                    "accountName": "a",
                    "accountKey": "hush",
                    "azureFileUrl": "https://f.example",
                    "relativeMountPath": "m2",
                    "mountOptions": "-o",
                }
            },
        ],
        "networkConfiguration": {},
    },
    POOL_DEFAULTS
    | {
        "virtualMachineConfiguration.imageReference.version": "latest",
        "startTask.maxTaskRetryCount": 0,
        "startTask.waitForSuccess": True,
        **AUTO_USER.inside("startTask.userIdentity"),
        "userAccounts[0].password": ABSENT,
        "userAccounts[0].elevationLevel": "nonadmin",
        "userAccounts[0].windowsUserConfiguration.loginMode": "interactive",
        "userAccounts[1]": {
            "name": "b",
            "elevationLevel": "nonadmin",
            "windowsUserConfiguration": {"loginMode": "batch"},
        },
        "mountConfiguration[0].cifsMountConfiguration.password": ABSENT,
        "mountConfiguration[1].azureFileShareConfiguration.accountKey": ABSENT,
        "networkConfiguration": {"dynamicVNetAssignmentScope": "none", "enableAcceleratedNetworking": False},
    },
)


def _image_pool(reference: dict[str, str]) -> Sample:
    machine = {"imageReference": reference, "nodeAgentSKUId": "batch.node.ubuntu 22.04"}
    start = {"commandLine": "true", "containerSettings": CONTAINER_BY_IDENTITY, "userIdentity": AUTO_USER.sent}
    return Sample(
        {"vmSize": "standard_d4s_v3", "virtualMachineConfiguration": machine, "startTask": start},
        POOL_DEFAULTS
        | {"startTask.maxTaskRetryCount": 0, "startTask.waitForSuccess": True}
        | AUTO_USER.inside("startTask.userIdentity"),
    )


POOLS = {
    "linux": LINUX_POOL,
    "windows": WINDOWS_POOL,
    "image": _image_pool({"virtualMachineImageId": f"{COMPUTE}/images/i"}),
    "shared": _image_pool({"sharedGalleryImageId": "/sharedGalleries/g/images/i/versions/1"}),
    "community": _image_pool({"communityGalleryImageId": "/communityGalleries/g/images/i/versions/1"}),
    "scaled": Sample(
        _image_pool({"virtualMachineImageId": f"{COMPUTE}/images/i"}).sent
        | {"enableAutoScale": True, "autoScaleFormula": "$a = 1;", "autoScaleEvaluationInterval": "PT0H5M"},
        {name: value for name, value in _image_pool({}).differences.items() if name != "enableAutoScale"}
        | {"autoScaleEvaluationInterval": "PT5M"},
    ),
}

# -- tasks --

TASK = Sample(
    {
        "displayName": "Ü",
        "commandLine": "true",
        "containerSettings": CONTAINER.sent,
        "resourceFiles": RESOURCE_FILES,
        "outputFiles": OUTPUT_FILES,
        "environmentSettings": ENVIRONMENT,
        "affinityInfo": {"affinityId": "TVM:n"},
        "constraints": CONSTRAINTS.sent,
        "requiredSlots": 2,
        "userIdentity": AUTO_USER.sent,
        "exitConditions": {
            "exitCodes": [{"code": 1, "exitOptions": {"jobAction": "None", "dependencyAction": "Satisfy"}}],
            "exitCodeRanges": [
                {"start": 2, "end": 4, "exitOptions": {"jobAction": "Terminate", "dependencyAction": "Block"}}
            ],
            "preProcessingError": {"jobAction": "disable", "dependencyAction": "block"},
            "fileUploadError": {"jobAction": "terminate", "dependencyAction": "satisfy"},
            "default": {"jobAction": "none", "dependencyAction": "block"},
        },
        "dependsOn": {"taskIds": ["a"], "taskIdRanges": [{"start": 1, "end": 3}]},
        "applicationPackageReferences": PACKAGES,
        "authenticationTokenSettings": {"access": ["Job"]},
    },
    {
        **CONTAINER.inside("containerSettings"),
        **OUTPUT_DIFFERENCES,
        **CONSTRAINTS.inside("constraints"),
        **AUTO_USER.inside("userIdentity"),
        "exitConditions.exitCodes[0].exitOptions": {"jobAction": "none", "dependencyAction": "satisfy"},
        "exitConditions.exitCodeRanges[0].exitOptions": {"jobAction": "terminate", "dependencyAction": "block"},
        "authenticationTokenSettings.access[0]": "job",
    },
)
TASK_DEFAULTS = {
    "constraints": {"maxWallClockTime": INFINITE, "retentionTime": "P7D", "maxTaskRetryCount": 0},
    "requiredSlots": 1,
    "userIdentity": {"autoUser": {"scope": "pool", "elevationLevel": "nonadmin"}},
}
TASKS = {
    "usual": TASK,
    "multi": Sample(
        {
            "commandLine": "",
            "multiInstanceSettings": {
                "numberOfInstances": 2,
                "coordinationCommandLine": "true",
                "commonResourceFiles": RESOURCE_FILES,
            },
            "containerSettings": CONTAINER_BY_IDENTITY,
            "userIdentity": {"username": "u"},
        },
        {name: value for name, value in TASK_DEFAULTS.items() if name != "userIdentity"},
    ),
}

# -- jobs --

MANAGER = Sample(
    {
        "id": "manager",
        "displayName": "M",
        **{
            name: TASK.sent[name]
            for name in (
                "commandLine",
                "containerSettings",
                "resourceFiles",
                "outputFiles",
                "environmentSettings",
                "constraints",
                "requiredSlots",
                "userIdentity",
                "applicationPackageReferences",
                "authenticationTokenSettings",
            )
        },
        "killJobOnCompletion": False,
        "runExclusive": False,
        "allowLowPriorityNode": False,
    },
    {path: value for path, value in TASK.differences.items() if not path.startswith("exitConditions")},
)
PREPARATION = Sample(
    {
        "id": "prepare",
        "commandLine": "true",
        "containerSettings": CONTAINER.sent,
        "resourceFiles": RESOURCE_FILES,
        "environmentSettings": ENVIRONMENT,
        "constraints": CONSTRAINTS.sent,
        "waitForSuccess": False,
        "userIdentity": {"username": "u"},
        "rerunOnNodeRebootAfterSuccess": False,
    },
    CONTAINER.inside("containerSettings") | CONSTRAINTS.inside("constraints"),
)
RELEASE = Sample(
    {
        "id": "release",
        "commandLine": "true",
        "containerSettings": CONTAINER.sent,
        "resourceFiles": RESOURCE_FILES,
        "environmentSettings": ENVIRONMENT,
        "maxWallClockTime": "PT0M30S",
        "retentionTime": "PT24H",
        "userIdentity": AUTO_USER.sent,
    },
    CONTAINER.inside("containerSettings")
    | AUTO_USER.inside("userIdentity")
    | {"maxWallClockTime": "PT30S", "retentionTime": "P1D"},
)
# The other ways in which a task can say as whom it runs and where its image is.
_OTHERS = Sample(
    {"commandLine": "true", "containerSettings": CONTAINER_BY_IDENTITY, "userIdentity": {"username": "u"}},
    {"constraints": TASK_DEFAULTS["constraints"]},
)
_AUTO_USER_OTHERS = Sample(
    _OTHERS.sent | {"userIdentity": AUTO_USER.sent}, _OTHERS.differences | AUTO_USER.inside("userIdentity")
)
OTHER_MANAGER = Sample(
    _OTHERS.sent | {"id": "manager"},
    _OTHERS.differences
    | {"requiredSlots": 1, "killJobOnCompletion": True, "runExclusive": True, "allowLowPriorityNode": True},
)
OTHER_PREPARATION = Sample(
    _AUTO_USER_OTHERS.sent,
    _AUTO_USER_OTHERS.differences
    | {"id": "jobpreparation", "waitForSuccess": True, "rerunOnNodeRebootAfterSuccess": True},
)
OTHER_RELEASE = Sample(_OTHERS.sent, {"id": "jobrelease", "maxWallClockTime": "PT15M", "retentionTime": "P7D"})


def _job(
    pool: Sample, manager: Sample = MANAGER, preparation: Sample = PREPARATION, release: Sample = RELEASE
) -> Sample:
    return Sample(
        {
            "displayName": "Ü",
            "usesTaskDependencies": True,
            "priority": 7,
            "allowTaskPreemption": True,
            "maxParallelTasks": 3,
            "constraints": {"maxWallClockTime": "PT02H00M", "maxTaskRetryCount": -1},
            "jobManagerTask": manager.sent,
            "jobPreparationTask": preparation.sent,
            "jobReleaseTask": release.sent,
            "commonEnvironmentSettings": ENVIRONMENT,
            "poolInfo": pool.sent,
            "onAllTasksComplete": "NoAction",
            "onTaskFailure": "performExitOptionsJobAction",
            "networkConfiguration": {"subnetId": SUBNET, "skipWithdrawFromVNet": True},
            "metadata": METADATA,
        },
        {
            "constraints.maxWallClockTime": "PT2H",
            **manager.inside("jobManagerTask"),
            **preparation.inside("jobPreparationTask"),
            **release.inside("jobReleaseTask"),
            **pool.inside("poolInfo"),
            "onAllTasksComplete": "noaction",
            "onTaskFailure": "performexitoptionsjobaction",
        },
    )


def _auto(pool: Sample, name: str) -> Sample:
    sent = {"autoPoolIdPrefix": "mine", "poolLifetimeOption": "JobSchedule", "keepAlive": True, "pool": pool.sent}
    differences = {"poolLifetimeOption": "jobschedule", **pool.inside("pool"), "pool.certificateReferences": ABSENT}
    if name == "scaled":
        # Inferred: the targets of such a pool are its formula's.
        differences |= {"pool.targetDedicatedNodes": ABSENT, "pool.targetLowPriorityNodes": ABSENT}
    auto = Sample(sent, differences)
    return Sample({"autoPoolSpecification": auto.sent}, auto.inside("autoPoolSpecification"))


_BY_ID = Sample({"poolId": "pool"})
JOBS = {
    "pool": _job(_BY_ID),
    "others": _job(_BY_ID, OTHER_MANAGER, OTHER_PREPARATION, OTHER_RELEASE),
} | {name: _job(_auto(pool, name)) for name, pool in POOLS.items()}
JOB_DEFAULTS = {
    "usesTaskDependencies": False,
    "priority": 0,
    "allowTaskPreemption": False,
    "maxParallelTasks": -1,
    "constraints": {"maxWallClockTime": INFINITE, "maxTaskRetryCount": 0},
    "onAllTasksComplete": "noaction",
    "onTaskFailure": "noaction",
}
SCHEDULE = Sample(
    {
        "doNotRunUntil": "2099-01-01T01:00:00.000+01:00",
        "doNotRunAfter": "2099-12-31T23:59:59Z",
        "startWindow": "PT60M",
        "recurrenceInterval": "PT24H",
    },
    {"doNotRunUntil": "2099-01-01T00:00:00Z", "startWindow": "PT1H", "recurrenceInterval": "P1D"},
)
