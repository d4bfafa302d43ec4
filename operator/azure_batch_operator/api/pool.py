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

_FIXED = ("id", "accountRef")
_STAYS = ("networkConfiguration", "upgradePolicy", "resourceTags")
"""What the service lets change, but offers no way to take away (docs/azure-batch.md#patch-of-a-pool)."""
_WRAPPED = "write what stands in it directly under spec"


class PoolSpec(PoolBody):
    """What the user wants."""

    account_ref: AccountRef = Field(description="The BatchAccount that the pool lives in.")
    id: RemoteId | None = optional("Id of the pool in Azure Batch; metadata.name if left out.")
    allowed_namespaces: AllowedNamespaces | None = optional(
        "Other namespaces whose jobs may run on the pool, which they name by its id in poolInfo.poolId; none if left out."
    )
    resource_tags: dict[str, str] | None = tags(
        "Tags of the Azure resources of the pool, by name; only for accounts that allocate in your own subscription."
    )
    node_deallocation_option: (
        Annotated[str, one_of("requeue", "terminate", "taskcompletion", "retaineddata")] | None
    ) = optional("What becomes of the tasks on nodes that a resize takes away; requeue if left out.")
    auto_scale_profile: AutoScaleProfile | None = optional(
        "A ready-made formula for the number of nodes, instead of enableAutoScale and autoScaleFormula."
    )
    max_idle: Duration | None = optional(
        "Let go of all nodes after so long without tasks, and bring them back with the next task; at least PT5M. For pools "
        "of fixed size. Never if left out."
    )
    update_strategy: UpdateStrategy | None = optional(
        "How a change that needs a pool without nodes is made. WhenEmpty waits until there are none, Drain lets running tasks "
        "end and takes the nodes away, Recreate makes a new pool, moves the jobs and lets the old one run dry. WhenEmpty if "
        "left out."
    )
    start_task_update: Literal["OnRestart", "Reboot"] | None = optional(
        "When nodes run a changed start task: when they restart anyway, or rebooted one after the other as "
        "nodeRemediation.maxPerHour allows. OnRestart if left out."
    )
    node_remediation: NodeRemediation | None = optional(
        "What is done about nodes that do not work; nothing if left out."
    )
    deletion_policy: DeletionPolicy | None = optional(
        "What becomes of the pool in Azure Batch when this object is deleted: Delete, Orphan (it stays), or DeleteWhenIdle "
        "(deleted when its tasks have ended). Delete if left out."
    )
    prices_from: Prices | None = optional("Prices of nodes, for status.estimatedCostPerHour.")
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
            f"properties belongs to templates of Azure Resource Manager: {_WRAPPED}",
            {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        ),
        Refused(
            "pool",
            f"pool is a wrapper of template files: {_WRAPPED}",
            {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        ),
    )


_FORMULA = "has(self.enableAutoScale) && self.enableAutoScale"
_TARGETS = "has(self.targetDedicatedNodes) || has(self.targetLowPriorityNodes)"

PoolSpec.rules = (
    *PoolBody.rules,
    *(immutable(name, "create a new BatchPool") for name in _FIXED),
    *(
        cel(
            f"!has(oldSelf.{name}) || has(self.{name})",
            f"{name} cannot be taken away again: change it, or create a new BatchPool",
            f".{name}",
        )
        for name in _STAYS
    ),
    cel(
        f"!has(self.autoScaleProfile) || !({_FORMULA} || {_TARGETS} || has(self.resizeTimeout))",
        "autoScaleProfile decides on the number of nodes: change its minimum and maximum, and remove targetDedicatedNodes, "
        "targetLowPriorityNodes, resizeTimeout and enableAutoScale, or remove autoScaleProfile",
        ".autoScaleProfile",
    ),
    cel(
        f"!has(self.maxIdle) || !({_FORMULA} || has(self.autoScaleProfile))",
        "maxIdle is for pools of fixed size: let the formula let go of idle nodes",
        ".maxIdle",
    ),
    at_least_five_minutes("maxIdle"),
)
