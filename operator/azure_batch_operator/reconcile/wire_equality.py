"""Whether a response equals the request: compares REST bodies member by member, and allows for the habits of Azure Batch.

The service fills in defaults, returns enums and names of sizes in a casing of its own, writes durations again, leaves out what is
empty and never returns secrets (docs/azure-batch.md#json). A comparison that does not know this finds a difference forever.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from azure_batch_operator.api.job import JobTemplate
from azure_batch_operator.api.pool import PoolSpec
from azure_batch_operator.batch.wire import Body
from azure_batch_operator.reconcile.normalization import UNLIMITED, duration_limit

_ANY_CASING = "^(?i:"
_NAMES = frozenset({"vmSize", "publisher", "offer", "sku", "nodeAgentSKUId", "applicationId", "licenseType"})
"""Names of Azure, in which casing does not matter."""
_DURATIONS = frozenset(
    {"pauseTimeBetweenBatches", "maxWallClockTime", "retentionTime", "resizeTimeout", "autoScaleEvaluationInterval"}
)
_UNFILLED = frozenset(
    {
        "autoUpgradeMinorVersion", "secureBootEnabled", "vTpmEnabled", "enableCrossZoneUpgrade",
        "prioritizeUnhealthyInstances", "uid", "gid",
    }
)  # fmt: skip
"""What is neither filled in by the service nor false or zero where it is missing: something else, such as the image, decides."""
_ARM_ID = re.compile("(?i)^/subscriptions/")
_AUTO_USER = {"autoUser": {"scope": "pool", "elevationLevel": "nonadmin"}}
_DEFAULTS: Mapping[tuple[str, str], Any] = {
    ("startTask", "userIdentity"): _AUTO_USER,
    ("startTask", "maxTaskRetryCount"): 0,
    ("startTask", "waitForSuccess"): True,
    ("autoUser", "scope"): "pool",
    ("autoUser", "elevationLevel"): "nonadmin",
    ("resourceFiles", "fileMode"): "0770",
    ("taskSchedulingPolicy", "nodeFillType"): "spread",
    ("userAccounts", "elevationLevel"): "nonadmin",
    ("userAccounts", "windowsUserConfiguration"): {"loginMode": "batch"},
    ("windowsUserConfiguration", "loginMode"): "batch",
    ("imageReference", "version"): "latest",
    ("dataDisks", "caching"): "none",
    ("dataDisks", "storageAccountType"): "standard_lrs",
    ("nodePlacementConfiguration", "policy"): "regional",
    ("windowsConfiguration", "enableAutomaticUpdates"): True,
    ("networkConfiguration", "dynamicVNetAssignmentScope"): "none",
    ("publicIPAddressConfiguration", "provision"): "batchmanaged",
    ("networkSecurityGroupRules", "sourcePortRanges"): ["*"],
    ("rollingUpgradePolicy", "maxBatchInstancePercent"): 20,
    ("rollingUpgradePolicy", "maxUnhealthyInstancePercent"): 20,
    ("rollingUpgradePolicy", "maxUnhealthyUpgradedInstancePercent"): 20,
    ("rollingUpgradePolicy", "pauseTimeBetweenBatches"): "P0D",
    ("upgradePolicy", "rollingUpgradePolicy"): {
        "maxBatchInstancePercent": 20,
        "maxUnhealthyInstancePercent": 20,
        "maxUnhealthyUpgradedInstancePercent": 20,
        "pauseTimeBetweenBatches": "P0D",
    },
    ("pool", "resizeTimeout"): "PT15M",
    ("pool", "taskSlotsPerNode"): 1,
    ("pool", "taskSchedulingPolicy"): {"nodeFillType": "spread"},
    ("pool", "autoScaleEvaluationInterval"): "PT15M",
    ("jobSpecification", "maxParallelTasks"): -1,
    ("jobSpecification", "constraints"): {"maxWallClockTime": UNLIMITED},
    ("jobSpecification", "onAllTasksComplete"): "noaction",
    ("jobSpecification", "onTaskFailure"): "noaction",
    ("constraints", "maxWallClockTime"): UNLIMITED,
    ("constraints", "retentionTime"): "P7D",
    ("jobManagerTask", "constraints"): {"maxWallClockTime": UNLIMITED, "retentionTime": "P7D"},
    ("jobManagerTask", "userIdentity"): _AUTO_USER,
    ("jobManagerTask", "requiredSlots"): 1,
    ("jobManagerTask", "killJobOnCompletion"): True,
    ("jobManagerTask", "runExclusive"): True,
    ("jobManagerTask", "allowLowPriorityNode"): True,
    ("jobPreparationTask", "id"): "jobpreparation",
    ("jobPreparationTask", "constraints"): {"maxWallClockTime": UNLIMITED, "retentionTime": "P7D"},
    ("jobPreparationTask", "userIdentity"): _AUTO_USER,
    ("jobPreparationTask", "waitForSuccess"): True,
    ("jobPreparationTask", "rerunOnNodeRebootAfterSuccess"): True,
    ("jobReleaseTask", "id"): "jobrelease",
    ("jobReleaseTask", "userIdentity"): _AUTO_USER,
    ("jobReleaseTask", "maxWallClockTime"): "PT15M",
    ("jobReleaseTask", "retentionTime"): "P7D",
    ("outputFiles", "uploadOptions"): {"uploadCondition": "taskcompletion"},
    ("uploadOptions", "uploadCondition"): "taskcompletion",
}
"""What the service fills in, by parent and member; beside these, empty, false and missing are the same."""


def same(name: str, wanted: Any, found: Any, *, lenient: bool = False) -> bool:
    """Whether a property has the wanted value.

    Args:
        lenient: whether members that are not wanted may be there, since the service may have filled them in.
        name: of the property; its members find their defaults and their casing by their own names.
        wanted: as in the spec; references to Secrets may stand in it, and are not compared.
        found: as the service returned it; None if it did not.
    """
    if isinstance(wanted, Mapping) or isinstance(found, Mapping):
        return _same_members(name, wanted or {}, found or {}, lenient=lenient)
    if _is_list(wanted) or _is_list(found):
        return _same_items(name, wanted or [], found or [], lenient=lenient)
    if not wanted and not found:
        return name not in _UNFILLED or wanted is found
    if isinstance(wanted, str) and isinstance(found, str):
        return _text(name, wanted) == _text(name, found)
    return bool(wanted == found)


def _same_members(parent: str, wanted: Body, found: Body, *, lenient: bool) -> bool:
    # What a reference stands for cannot be compared: the service returns no secrets, and values are not read for that.
    hidden = set(_hidden(wanted))
    for name in (wanted.keys() | (set() if lenient else found.keys())) - hidden:
        default = _DEFAULTS.get((parent, name))
        if not same(name, _or_default(wanted, name, default), _or_default(found, name, default), lenient=lenient):
            return False
    return True


def _or_default(members: Body, name: str, default: Any) -> Any:
    """A member, or its default where it is missing or an empty text, list or object, which the service does not tell apart."""
    value = members.get(name)
    return default if value is None or (value in ("", [], {}) and default is not None) else value


def _hidden(wanted: Body) -> Iterator[str]:
    for name in wanted:
        if name.endswith("SecretRef"):
            yield name
            yield name.removesuffix("SecretRef")
        elif name == "valueFrom":
            yield name
            yield "value"


def _same_items(name: str, wanted: Sequence[Any], found: Sequence[Any], *, lenient: bool) -> bool:
    """Lists are sets here: no property of a pool means anything by the order of its items."""
    left = list(found)
    for item in wanted:
        at = next((at for at, other in enumerate(left) if same(name, item, other, lenient=lenient)), None)
        if at is None:
            return False
        del left[at]
    return not left


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _text(name: str, value: str) -> str | int:
    if name in _DURATIONS:
        return duration_limit(value)
    enum = name in _enums() and (name != "source" or value.isalpha())  # of a bind mount, not the address of a share
    if enum or name in _NAMES or _ARM_ID.match(value):
        return value.lower()
    return value


@cache
def _enums() -> frozenset[str]:
    """Names of the properties of a pool or job whose values are enums, which the service takes and returns in any casing."""
    return frozenset(name for model in (PoolSpec, JobTemplate) for name in _any_casing(model.model_json_schema()))


def _any_casing(schema: Any) -> Iterator[str]:
    if isinstance(schema, Mapping):
        for name, child in schema.get("properties", {}).items():
            forms = [child, *child.get("anyOf", ())]
            options = [*forms, *(each.get("items", {}) for each in forms)]
            if any(str(option.get("pattern", "")).startswith(_ANY_CASING) for option in options):
                yield name
        for child in schema.values():
            yield from _any_casing(child)


def is_default(parent: str, name: str, found: Any) -> bool:
    """Whether a property that the service returned says nothing: without it in the spec, it would be the same.

    Args:
        parent: name of the property that it stands in; `pool` and `jobSpecification` for the outermost ones.
    """
    return same(name, _DEFAULTS.get((parent, name)), found)
