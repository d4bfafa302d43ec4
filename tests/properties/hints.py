"""What a schema does not say of its properties, by the end of their paths: meaningful values, and what goes with what.

The longest end that is in a table counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SECRET, OTHER_SECRET = "hush", "hush-two"
TEXTS, OTHER_TEXTS = "texts", "texts-two"
IMAGE = {"publisher": "canonical", "offer": "0001-com-ubuntu-server-jammy", "sku": "22_04-lts"}
_OTHER_IMAGE = {"publisher": "microsoft-dsvm", "offer": "ubuntu-hpc", "sku": "2204"}
_COMPUTE = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute"
_SUBNET = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v/subnets/n{}"
_HUSH = {"name": SECRET, "key": "one"}
_TASK = {"id": "t0", "commandLine": "/bin/sh -c 'sleep 86400'"}
_LONG = {"commandLine": "/bin/sh -c 'sleep 86400'"}

BASES: Mapping[str, Mapping[str, Any]] = {
    "BatchPool": {
        "accountRef": {"name": "main"},
        "vmSize": "Standard_D4ads_v6",
        "virtualMachineConfiguration": {"imageReference": IMAGE, "nodeAgentSKUId": "batch.node.ubuntu 22.04"},
        "targetDedicatedNodes": 0,
    },
    "BatchJob": {"poolRef": {"name": "cpu"}, "tasks": [_TASK]},
    "BatchTask": {"jobRef": {"name": "open"}, "commandLine": "/bin/sh -c 'sleep 86400'"},
    "BatchJobSchedule": {
        "schedule": {"doNotRunUntil": "2098-01-01T00:00:00Z", "recurrenceInterval": "PT24H"},
        "jobSpecification": {"poolRef": {"name": "cpu"}},
    },
    "BatchAccount": {
        "endpoint": "http://127.0.0.1:10100",
        "accountName": "devaccount",
        "auth": {"sharedKey": {"secretRef": {"name": "main-key", "key": "key"}}},
    },
}
"""Specs in which properties are tried."""

_WINDOWS = {"publisher": "microsoftwindowsserver", "offer": "windowsserver", "sku": "2022-datacenter"}
_WINDOWS_POOL = {
    "virtualMachineConfiguration": {"imageReference": _WINDOWS, "nodeAgentSKUId": "batch.node.windows amd64"},
}
_ON_FAILURE = {"onTaskFailure": "performexitoptionsjobaction"}
_REPLACED = {"taskUpdatePolicy": "Replace", "taskPrunePolicy": "Delete"}
_CRON = {"schedule": None, "cron": {"expression": "0 3 1 1 *"}}
_ONLY_CRON = (
    "tasks tasksFrom taskFactory logs activeDeadlineSeconds pendingDeadlineSeconds backoff failurePolicy onDependencyFailure "
    "suspend suspendPolicy taskPrunePolicy taskUpdatePolicy ttlSecondsAfterFinished ttlPolicy"
)
CONTEXTS: Mapping[str, Mapping[str, Any]] = {
    "BatchJobSchedule.cron": _CRON,
    "BatchJobSchedule.jobSpecification.poolInfo": {"accountRef": {"name": "main"}},
    "BatchJob.poolInfo": {"accountRef": {"name": "main"}},
    **{f"BatchJobSchedule.jobSpecification.{name}": _CRON for name in _ONLY_CRON.split()},
    **{f"BatchJob.{name}": _REPLACED for name in ("tasks", "tasksFrom", "taskFactory", "logs", "onDependencyFailure")},
    "BatchJob.retryOf": {"tasks": None},
    "BatchPool.virtualMachineConfiguration.windowsConfiguration": _WINDOWS_POOL,
    "BatchPool.virtualMachineConfiguration.licenseType": _WINDOWS_POOL,
    "BatchPool.userAccounts.windowsUserConfiguration": _WINDOWS_POOL,
    "BatchPool.mountConfiguration.cifsMountConfiguration": _WINDOWS_POOL,
    "BatchTask.accountRef": {"jobRef": None, "jobId": "open"},
    "BatchTask.exitConditions": {"jobRef": {"name": "open-two"}},
    "BatchPool.pricesFrom": {"targetDedicatedNodes": 1},
    "BatchJob.tasks.dependsOn": {"usesTaskDependencies": True, "onAllTasksComplete": "noaction"},
    "BatchJob.tasks.exitConditions": _ON_FAILURE,
    "BatchJob.tasksFrom.template.dependsOn": {"usesTaskDependencies": True, "onAllTasksComplete": "noaction"},
    "BatchJob.tasksFrom.template.exitConditions": _ON_FAILURE,
    "BatchJob.taskFactory.repeatTask.dependsOn": {"usesTaskDependencies": True, "onAllTasksComplete": "noaction"},
    "BatchJobSchedule.jobSpecification.taskFactory.repeatTask.dependsOn": {
        "jobSpecification": {
            "poolRef": {"name": "cpu"},
            "tasks": [_TASK],
            "usesTaskDependencies": True,
            "onAllTasksComplete": "noaction",
        },
    },
    "BatchJob.taskFactory.repeatTask.exitConditions": _ON_FAILURE,
    "BatchJob.taskFactory.mergeTask.exitConditions": _ON_FAILURE,
}
"""What a kind's base has otherwise where a property is tried; None for what it has not."""

VALUES: Mapping[str, tuple[Any, ...]] = {
    # references
    "accountRef.name": ("main", "second"),
    "accountRef.namespace": ("default", "elsewhere"),
    "poolRef.name": ("cpu", "gpu"),
    "poolInfo.poolId": ("cpu", "gpu"),
    "fallbackPoolRef.name": ("gpu", "cpu"),
    "fallbackPoolId": ("gpu", "cpu"),
    "jobRef.name": ("open", "open-two"),
    "jobId": ("open", "open-two"),
    "retryOf.name": ("ended", "ended-two"),
    "dependsOnRefs.name": ("first", "second"),
    "secretRef.name": ("main-key", "main-key-two"),
    "secretRef.key": ("key", "key-two"),
    "secretKeyRef.name": (SECRET, OTHER_SECRET),
    "secretKeyRef.key": ("one", "two"),
    "configMapKeyRef.name": (TEXTS, OTHER_TEXTS),
    "configMapKeyRef.key": ("one", "two"),
    "tasksFrom.configMapKeyRef.key": ("tasks", "more-tasks"),
    "itemsFrom.configMapKeyRef.key": ("lines", "more-lines"),
    "pricesFrom.name": (TEXTS, OTHER_TEXTS),
    "pricesFrom.key": ("prices", "more-prices"),
    "currency": ("EUR", "CHF"),
    **{f"{name}SecretRef.name": (SECRET, OTHER_SECRET)
       for name in ("password", "accountKey", "sasKey", "sshPrivateKey", "protectedSettings")},
    **{f"{name}SecretRef.key": ("one", "two")
       for name in ("password", "accountKey", "sasKey", "sshPrivateKey", "protectedSettings")},
    # machines
    "vmSize": ("Standard_D4ads_v6", "Standard_D8ads_v6"),
    "imageReference": (IMAGE, _OTHER_IMAGE),
    "imageReference.publisher": ("canonical", "microsoft-dsvm"),
    "imageReference.offer": ("0001-com-ubuntu-server-jammy", "ubuntu-hpc"),
    "imageReference.sku": ("22_04-lts", "2204"),
    "imageReference.version": ("22.04.1", "22.04.2"),
    "virtualMachineImageId": (f"{_COMPUTE}/images/i1", f"{_COMPUTE}/images/i2"),
    "sharedGalleryImageId": ("/sharedGalleries/g/images/i/versions/1", "/sharedGalleries/g/images/i/versions/2"),
    "communityGalleryImageId": ("/communityGalleries/g/images/i/versions/1", "/communityGalleries/g/images/i/versions/2"),
    "nodeAgentSKUId": ("batch.node.ubuntu 22.04", "batch.node.ubuntu 24.04"),
    "licenseType": ("Windows_Server", "Windows_Client"),
    "diskEncryptionConfiguration.targets": (["OsDisk"], ["OsDisk", "TemporaryDisk"]),
    "serviceArtifactReference.id": (f"{_COMPUTE}/galleries/g/serviceArtifacts/a", f"{_COMPUTE}/galleries/g/serviceArtifacts/b"),
    "typeHandlerVersion": ("1.0", "2.1"),
    "writeAcceleratorEnabled": (True, False),
    "subnetId": (_SUBNET.format(1), _SUBNET.format(2)),
    "ipAddressIds": (["/subscriptions/s/ip1"], ["/subscriptions/s/ip2"]),
    "frontendPortRangeStart": (2000, 2100),
    "frontendPortRangeEnd": (3000, 3100),
    "sourceAddressPrefix": ("*", "10.0.0.0/8"),
    "sourcePortRanges": (["1-2"], ["3-4"]),
    "networkSecurityGroupRules.priority": (150, 151),
    "maxBatchInstancePercent": (10, 30),
    "metadata.name": ("name-1", "name-2"),
    "gid": (1001, 1002),
    "uid": (1001, 1002),
    # size
    "targetDedicatedNodes": (1, 2),
    "targetLowPriorityNodes": (1, 2),
    "autoScaleFormula": ("$TargetDedicatedNodes = 0;", "$TargetDedicatedNodes = 1;"),
    "nodeRemediation.unusable": ("Remove", "None"),
    "autoScaleProfile.maximum": (3, 5),
    "workHours.start": (1, 2),
    "workHours.end": (23, 24),
    "workHours.days": (["Monday"], ["Monday", "Friday"]),
    # tasks
    "tasks": ([_TASK], [_TASK, {**_TASK, "id": "t1"}]),
    "commandLine": ("/bin/sh -c 'sleep 86400'", "/bin/sh -c 'sleep 86401'"),
    "coordinationCommandLine": ("/bin/true", "/bin/false"),
    "storageContainerUrl": ("https://a.example/c1", "https://a.example/c2"),
    "httpUrl": ("https://a.example/f1", "https://a.example/f2"),
    "containerUrl": ("https://a.example/o1", "https://a.example/o2"),
    "fileMode": ("0640", "0600"),
    "uploadHeaders.name": ("x-ms-blob-content-type", "x-ms-blob-content-language"),
    "affinityId": ("TVM:n1", "TVM:n2"),
    "requiredSlots": (2, 1),
    "numberOfInstances": (2, 1),
    "taskIds": (["first"], ["second"]),
    "taskIdRanges.start": (1, 2),
    "taskIdRanges.end": (3, 4),
    "repeatTask.dependsOn.taskIdRanges.start": (11, 12),
    "repeatTask.dependsOn.taskIdRanges.end": (13, 14),
    "exitCodeRanges.start": (2, 3),
    "exitCodeRanges.end": (5, 6),
    "authenticationTokenSettings.access": (["job"], []),
    "applicationId": ("app", "app-two"),
    "applicationPackageReferences.version": ("1", "2"),
    "parameterSets.start": (1, 2),
    "parameterSets.end": (3, 4),
    "parameterSets.step": (1, 2),
    "parameterSets.values": ([1, 2], ["a", "b", "c"]),
    "taskPerItem.items": (["a", "b"], ["a", "b", "c"]),
    "repeat.count": (2, 3),
    # jobs
    "jobManagerTask.id": ("manager", "other-manager"),
    "jobPreparationTask.id": ("prepare", "other-prepare"),
    "jobReleaseTask.id": ("release", "other-release"),
    "priority": (7, -5),
    "maxParallelTasks": (3, 5),
    "constraints.maxTaskRetryCount": (2, 3),
    "maxWallClockTime": ("P2D", "P3D"),
    "jobReleaseTask.maxWallClockTime": ("PT5M", "PT6M"),
    "retentionTime": ("P1D", "P2D"),
    "activeDeadlineSeconds": (100000, 200000),
    "pendingDeadlineSeconds": (100000, 200000),
    "ttlSecondsAfterFinished": (100000, 200000),
    "suspend": (True, False),
    "managedBy": ("example.com/one", "example.com/two"),
    "onAllTasksComplete": ("terminatejob", "noaction"),
    "onTaskFailure": ("performexitoptionsjobaction", "noaction"),
    "jobAction": ("none", "none"),
    "spec.poolInfo.autoPoolSpecification.poolLifetimeOption": ("job",),
    "autoPoolIdPrefix": ("mine", "yours"),
    # schedules and accounts
    "recurrenceInterval": ("PT24H", "PT48H"),
    "doNotRunUntil": ("2098-01-01T00:00:00Z", "2099-01-01T00:00:00Z"),
    "doNotRunAfter": ("2100-01-01T00:00:00Z", "2101-01-01T00:00:00Z"),
    "cron.expression": ("0 3 1 1 *", "0 4 1 1 *"),
    "cron.timeZone": ("Europe/Zurich", "America/New_York"),
    "startingDeadlineSeconds": (100, 200),
    "endpoint": ("http://127.0.0.1:10100", "http://127.0.0.1:10200"),
    "accountName": ("devaccount", "second"),
    "spec.auth": (
        {"sharedKey": {"secretRef": {"name": "main-key", "key": "key"}}},
        {"sharedKey": {"secretRef": {"name": "main-key-two", "key": "key"}}},
    ),
    "auth.sharedKey.secretRef.name": ("main-key", "main-key-two"),
    "matchExpressions.operator": ("Exists", "DoesNotExist"),
    "matchExpressions.values": (["a"], ["b"]),
    "allowedNamespaces.names": (["elsewhere"], ["elsewhere", "third"]),
    "callsPerSecond": (20, 30),
    "maxInFlight": (10, 20),
    "polling.minSeconds": (1, 2),
    "polling.maxSeconds": (60, 120),
}  # fmt: skip
"""Two values that mean something."""

_AUTO_POOL = {
    "vmSize": "Standard_D4ads_v6",
    "virtualMachineConfiguration": {"imageReference": IMAGE, "nodeAgentSKUId": "batch.node.ubuntu 22.04"},
    "targetDedicatedNodes": 0,
}
MINIMAL: Mapping[str, tuple[Any, ...]] = {
    "imageReference": (IMAGE, _OTHER_IMAGE),
    "virtualMachineConfiguration": (
        {"imageReference": IMAGE, "nodeAgentSKUId": "batch.node.ubuntu 22.04"},
        {"imageReference": _OTHER_IMAGE, "nodeAgentSKUId": "batch.node.ubuntu 22.04"},
    ),
    "containerConfiguration": ({"type": "dockerCompatible"}, {"type": "dockerCompatible", "containerImageNames": ["i"]}),
    "containerRegistries": ({"username": "u", "passwordSecretRef": _HUSH}, {"username": "v", "passwordSecretRef": _HUSH}),
    "registry": ({"username": "u", "passwordSecretRef": _HUSH}, {"username": "v", "passwordSecretRef": _HUSH}),
    "resourceFiles": (
        {"httpUrl": "https://a.example/f1", "filePath": "f"}, {"httpUrl": "https://a.example/f2", "filePath": "f"},
    ),
    "commonResourceFiles": (
        {"httpUrl": "https://a.example/f1", "filePath": "f"}, {"httpUrl": "https://a.example/f2", "filePath": "f"},
    ),
    "outputFiles.destination": (
        {"container": {"containerUrl": "https://a.example/o1"}}, {"container": {"containerUrl": "https://a.example/o2"}},
    ),
    "environmentSettings": ({"name": "A", "value": "1"}, {"name": "A", "value": "2"}),
    "commonEnvironmentSettings": ({"name": "A", "value": "1"}, {"name": "A", "value": "2"}),
    "valueFrom": (
        {"secretKeyRef": {"name": SECRET, "key": "one"}}, {"secretKeyRef": {"name": SECRET, "key": "two"}},
    ),
    "containerUrlFrom": (
        {"secretKeyRef": {"name": SECRET, "key": "url"}}, {"secretKeyRef": {"name": SECRET, "key": "other-url"}},
    ),
    "logs.upload": ({"containerUrl": "https://a.example/o1"}, {"containerUrl": "https://a.example/o2"}),
    "userIdentity": ({"autoUser": {"scope": "task"}}, {"autoUser": {"scope": "pool", "elevationLevel": "admin"}}),
    "userAccounts": ({"name": "u", "passwordSecretRef": _HUSH}, {"name": "v", "passwordSecretRef": _HUSH}),
    "linuxUserConfiguration": ({"uid": 1001, "gid": 1001}, {"uid": 1002, "gid": 1002}),
    "mountConfiguration": (
        {"nfsMountConfiguration": {"source": "s:/x", "relativeMountPath": "m1"}},
        {"nfsMountConfiguration": {"source": "s:/y", "relativeMountPath": "m1"}},
    ),
    "azureBlobFileSystemConfiguration": (
        {"accountName": "a", "containerName": "c", "relativeMountPath": "m1", "accountKeySecretRef": _HUSH},
        {"accountName": "b", "containerName": "c", "relativeMountPath": "m1", "accountKeySecretRef": _HUSH},
    ),
    "cifsMountConfiguration": (
        {"username": "u", "source": "s", "relativeMountPath": "m1", "passwordSecretRef": _HUSH},
        {"username": "v", "source": "s", "relativeMountPath": "m1", "passwordSecretRef": _HUSH},
    ),
    "azureFileShareConfiguration": (
        {"accountName": "a", "azureFileUrl": "https://f.example", "relativeMountPath": "m1", "accountKeySecretRef": _HUSH},
        {"accountName": "b", "azureFileUrl": "https://f.example", "relativeMountPath": "m1", "accountKeySecretRef": _HUSH},
    ),
    "autoScaleProfile": (
        {"maximum": 3, "pendingTasks": {"tasksPerNode": 2}}, {"maximum": 5, "pendingTasks": {"tasksPerNode": 2}},
    ),
    "securityProfile": (
        {"securityType": "trustedLaunch", "uefiSettings": {"secureBootEnabled": True}},
        {"securityType": "trustedLaunch", "uefiSettings": {"secureBootEnabled": False}},
    ),
    "managedDisk.securityProfile": ({"securityEncryptionType": "VMGuestStateOnly"}, {"securityEncryptionType": "NonPersistedTPM"}),
    "poolInfo": ({"poolId": "cpu"}, {"poolId": "gpu"}),
    "autoPoolSpecification": (
        {"poolLifetimeOption": "job", "pool": _AUTO_POOL}, {"poolLifetimeOption": "job", "keepAlive": True, "pool": _AUTO_POOL},
    ),
    "autoPoolSpecification.pool": (_AUTO_POOL, _AUTO_POOL | {"vmSize": "Standard_D8ads_v6"}),
    "multiInstanceSettings": (
        {"numberOfInstances": 2, "coordinationCommandLine": "/bin/true"},
        {"numberOfInstances": 1, "coordinationCommandLine": "/bin/true"},
    ),
    "jobSpecification": ({"poolRef": {"name": "cpu"}}, {"poolRef": {"name": "cpu"}, "priority": 7}),
    "jobManagerTask": (
        {"id": "manager", "runExclusive": False, **_LONG},
        {"id": "manager", "runExclusive": False, "commandLine": "/bin/sh -c 'sleep 86401'"},
    ),
    "exitOptions": ({"dependencyAction": "satisfy"}, {"dependencyAction": "block"}),
    "taskFactory": (
        {"repeat": {"count": 2}, "repeatTask": _LONG}, {"repeat": {"count": 3}, "repeatTask": _LONG},
    ),
    "taskPerItem": ({"items": ["a", "b"]}, {"items": ["a", "b", "c"]}),
    "itemsFrom": (
        {"configMapKeyRef": {"name": TEXTS, "key": "lines"}}, {"configMapKeyRef": {"name": TEXTS, "key": "more-lines"}},
    ),
    "tasksFrom": (
        {"configMapKeyRef": {"name": TEXTS, "key": "tasks"}}, {"configMapKeyRef": {"name": TEXTS, "key": "more-tasks"}},
    ),
    "parameterSets": ({"start": 1, "end": 3}, {"start": 1, "end": 4}),
    "tasks": ({"id": "t0", **_LONG}, {"id": "t1", **_LONG}),
    "failurePolicy": ({"maxFailedTasks": 5, "action": "Continue"}, {"maxFailedTasks": 6, "action": "Continue"}),
    "backoff": ({"maxRequeues": 3}, {"maxRequeues": 4}),
    "sharedKey": ({"secretRef": {"name": "main-key", "key": "key"}}, {"secretRef": {"name": "main-key-two", "key": "key"}}),
    "matchExpressions": (
        {"key": "a", "operator": "In", "values": ["a"]}, {"key": "a", "operator": "In", "values": ["b"]},
    ),
    "nodeRemediation": ({"maxPerHour": 2}, {"maxPerHour": 3}),
}  # fmt: skip
"""Two forms of an object, or of an item of a list, where its required members are not enough."""

GROUPS: Mapping[str, tuple[frozenset[str], ...]] = {
    name: tuple(frozenset(each.split()) for each in groups)
    for name, groups in {
        "resourceFiles": ("autoStorageContainerName storageContainerUrl httpUrl",),
        "commonResourceFiles": ("autoStorageContainerName storageContainerUrl httpUrl",),
        "environmentSettings": ("value valueFrom",),
        "commonEnvironmentSettings": ("value valueFrom",),
        "valueFrom": ("secretKeyRef configMapKeyRef",),
        "containerUrlFrom": ("secretKeyRef configMapKeyRef",),
        "upload": ("containerUrl containerUrlFrom",),
        "userIdentity": ("username autoUser",),
        "registry": ("username identityReference", "passwordSecretRef identityReference"),
        "containerRegistries": ("username identityReference", "passwordSecretRef identityReference"),
        "mountConfiguration": (
            "azureBlobFileSystemConfiguration nfsMountConfiguration cifsMountConfiguration azureFileShareConfiguration",
        ),
        "azureBlobFileSystemConfiguration": ("accountKeySecretRef sasKeySecretRef identityReference",),
        "imageReference": (
            "virtualMachineImageId sharedGalleryImageId communityGalleryImageId publisher",
            "virtualMachineImageId sharedGalleryImageId communityGalleryImageId offer",
            "virtualMachineImageId sharedGalleryImageId communityGalleryImageId sku",
        ),
        "poolInfo": ("poolId autoPoolSpecification",),
        "autoScaleProfile": ("pendingTasks workHours",),
        "parameterSets": ("values start", "values end", "values step"),
        "taskPerItem": ("items itemsFrom",),
        "taskFactory": ("parametricSweep taskPerItem repeat",),
        "failurePolicy": ("maxFailedTasks maxFailedRatio",),
        "backoff": ("fallbackPoolRef fallbackPoolId",),
        "auth": ("sharedKey workloadIdentity managedIdentity clientSecret clientCertificate",),
        "spec": ("schedule cron", "jobRef jobId", "poolRef poolInfo"),
        "jobSpecification": ("poolRef poolInfo",),
    }.items()
}
"""Members of an object of which there is at most one."""

_FORMULA = {"enableAutoScale": True, "autoScaleFormula": "$TargetDedicatedNodes = 0;", "targetDedicatedNodes": None}
NEEDS: Mapping[str, Mapping[str, Any]] = {
    "resourceFiles.httpUrl": {"filePath": "f", "blobPrefix": None},
    "commonResourceFiles.httpUrl": {"filePath": "f", "blobPrefix": None},
    "resourceFiles.blobPrefix": {"httpUrl": None, "storageContainerUrl": "https://a.example/c1"},
    "commonResourceFiles.blobPrefix": {"httpUrl": None, "storageContainerUrl": "https://a.example/c1"},
    "registry.username": {"passwordSecretRef": _HUSH},
    "registry.passwordSecretRef": {"username": "u"},
    "containerRegistries.username": {"passwordSecretRef": _HUSH},
    "containerRegistries.passwordSecretRef": {"username": "u"},
    "linuxUserConfiguration.uid": {"gid": 1000},
    "linuxUserConfiguration.gid": {"uid": 1000},
    "spec.enableAutoScale": _FORMULA,
    "spec.autoScaleFormula": _FORMULA,
    "spec.autoScaleEvaluationInterval": _FORMULA,
    "spec.autoScaleProfile": {"targetDedicatedNodes": None},
    "pool.enableAutoScale": _FORMULA,
    "pool.autoScaleFormula": _FORMULA,
    "pool.autoScaleEvaluationInterval": _FORMULA,
    "parameterSets.step": {"start": 1, "end": 3},
    "parameterSets.start": {"end": 3},
    "parameterSets.end": {"start": 1},
    "spec.poolInfo": {"accountRef": {"name": "main"}},
    "spec.jobReleaseTask": {"jobPreparationTask": {"commandLine": "/bin/true"}},
    "jobSpecification.jobReleaseTask": {"jobPreparationTask": {"commandLine": "/bin/true"}},
    "spec.jobId": {"accountRef": {"name": "main"}},
    "backoff.fallbackPoolRef": {"maxRequeues": 3},
    "backoff.fallbackPoolId": {"maxRequeues": 3},
    "matchExpressions.operator": {"values": None},
    "multiInstanceSettings": {"requiredSlots": None},
}
"""What stands beside a member; None for what does not go with it."""

WRONG: Mapping[str, Any] = {
    "vmSize": "",
    "imageReference": {"publisher": "canonical"},
    "nodeAgentSKUId": "batch.node.none",
    "resizeTimeout": "PT1M",
    "autoScaleEvaluationInterval": "PT1M",
    "autoScaleFormula": "$TargetDedicatedNodes = ",
    "subnetId": "n1",
    "virtualMachineImageId": "i1",
    "poolRef.name": "none-such",
    "retryOf.name": "none-such",
    "secretKeyRef.name": "none-such",
    "secretKeyRef.key": "none-such",
    "configMapKeyRef.name": "none-such",
    "configMapKeyRef.key": "none-such",
    "pricesFrom.name": "none-such",
    "pricesFrom.key": "none-such",
    "secretRef.name": "none-such",
    "secretRef.key": "none-such",
    **{f"{name}SecretRef.{member}": "none-such" for member in ("name", "key")
       for name in ("password", "accountKey", "sasKey", "sshPrivateKey", "protectedSettings")},
    "applicationId": "none-such",
    "applicationPackageReferences.version": "none-such",
    "cron.expression": "99 0 * * *",
    "cron.timeZone": "No/Where",
    "recurrenceInterval": "PT1S",
    "startWindow": "PT1S",
    "maxParallelTasks": 0,
    "metadata.name": "",
    "workHours.days": ["Someday"],
}  # fmt: skip
"""A value that cannot be, beyond what the schema says."""
