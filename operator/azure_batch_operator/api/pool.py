"""BatchPool: a pool of compute nodes (REST: Pools - Create Pool; docs/azure-batch.md#pools)."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from azure_batch_operator.api.account import AllowedNamespaces
from azure_batch_operator.api.base import (
    AccountRef,
    Duration,
    Refused,
    RemoteId,
    cel,
    fixed_account,
    immutable,
    one_of,
    optional,
)
from azure_batch_operator.api.pool_body import PoolBody, at_least_five_minutes
from azure_batch_operator.api.pool_policies import (
    AutoScaleProfile,
    DeletionPolicy,
    NodeRemediation,
    Prices,
    UpdateStrategy,
)
from azure_batch_operator.api.rest import tags

_STAYS = ("networkConfiguration", "upgradePolicy", "resourceTags")
"""What Azure Batch can change but not remove (docs/azure-batch.md#patch-of-a-pool)."""
_WRAPPED = "write its members directly under spec"


class PoolSpec(PoolBody):
    """Desired state of the BatchPool."""

    account_ref: AccountRef = Field(description="BatchAccount that the pool belongs to.")
    id: RemoteId | None = optional("ID of the pool in Azure Batch. Defaults to metadata.name.")
    allowed_namespaces: AllowedNamespaces | None = optional(
        "Other namespaces whose jobs may run on the pool; they reference it by its ID in poolInfo.poolId. "
        "Defaults to none."
    )
    resource_tags: dict[str, str] | None = tags(
        'Tags of the Azure resources of the pool. Only for accounts with pool allocation mode "user subscription".'
    )
    node_deallocation_option: (
        Annotated[str, one_of("requeue", "terminate", "taskcompletion", "retaineddata")] | None
    ) = optional("What happens to running tasks on nodes that a resize removes. Defaults to requeue.")
    auto_scale_profile: AutoScaleProfile | None = optional(
        "Ready-made autoscale formula, as an alternative to enableAutoScale and autoScaleFormula."
    )
    max_idle: Duration | None = optional(
        "Removes all nodes after the pool has had no tasks for this time, and adds them again when a task "
        "arrives. At least PT5M. Only for pools of fixed size. By default, nodes are kept."
    )
    update_strategy: UpdateStrategy | None = optional(
        "How to apply a change that Azure Batch accepts only for a pool without nodes. WhenEmpty waits until the "
        "pool has no nodes. Drain lets running tasks finish and then removes the nodes. Recreate creates a new "
        "pool, moves the jobs to it and deletes the old pool once its tasks have finished. Defaults to WhenEmpty."
    )
    start_task_update: Literal["OnRestart", "Reboot"] | None = optional(
        "When nodes run a changed start task: OnRestart waits until a node restarts for another reason, Reboot "
        "reboots nodes one after another within nodeRemediation.maxPerHour. Defaults to OnRestart."
    )
    node_remediation: NodeRemediation | None = optional(
        "Automatic repair of nodes that do not work. Disabled by default."
    )
    deletion_policy: DeletionPolicy | None = optional(
        "What happens to the pool in Azure Batch when this object is deleted: Delete deletes it, Orphan keeps "
        "it, DeleteWhenIdle deletes it once its tasks have finished. Defaults to Delete."
    )
    prices_from: Prices | None = optional("Prices of nodes, used for status.estimatedCostPerHour.")
    ours: ClassVar[frozenset[str]] = frozenset(
        {
            "accountRef", "id", "allowedNamespaces", "nodeDeallocationOption", "autoScaleProfile", "maxIdle", "updateStrategy",
            "startTaskUpdate", "nodeRemediation", "deletionPolicy", "pricesFrom",
        }
    )  # fmt: skip
    refused: ClassVar[tuple[Refused, ...]] = (
        *PoolBody.refused,
        Refused(
            "properties",
            f"properties is part of Azure Resource Manager templates: {_WRAPPED}",
            {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        ),
        Refused(
            "pool",
            f"pool is part of template files: {_WRAPPED}",
            {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        ),
    )


_FORMULA = "has(self.enableAutoScale) && self.enableAutoScale"
_TARGETS = "has(self.targetDedicatedNodes) || has(self.targetLowPriorityNodes)"

PoolSpec.rules = (
    *PoolBody.rules,
    immutable("id", "create a new BatchPool"),
    fixed_account("BatchPool"),
    *(
        cel(
            f"!has(oldSelf.{name}) || has(self.{name})",
            f"{name} cannot be removed: change it, or create a new BatchPool",
            f".{name}",
        )
        for name in _STAYS
    ),
    cel(
        f"!has(self.autoScaleProfile) || !({_FORMULA} || {_TARGETS} || has(self.resizeTimeout))",
        "autoScaleProfile sets the number of nodes: change its minimum and maximum, and remove "
        "targetDedicatedNodes, targetLowPriorityNodes, resizeTimeout and enableAutoScale, or remove "
        "autoScaleProfile",
        ".autoScaleProfile",
    ),
    cel(
        f"!has(self.maxIdle) || !({_FORMULA} || has(self.autoScaleProfile))",
        "maxIdle is only for pools of fixed size: remove maxIdle and let the formula remove idle nodes",
        ".maxIdle",
    ),
    at_least_five_minutes("maxIdle"),
)
