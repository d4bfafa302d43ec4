"""Policies of a pool that the REST API does not have: autoscale profiles, node remediation, cost, deletion and updates.

These members stand beside the REST properties in the spec of a BatchPool and never go to the service as they are.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from azure_batch_operator.api.base import ApiModel, ConfigMapKeyRef, Duration, Rule, cel, exactly_one_of, optional
from azure_batch_operator.api.pool_body import at_least_five_minutes, at_most_a_week

Day = Literal["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
NodeAction = Literal["Reboot", "Reimage", "Remove", "None"]
UnusableAction = Literal["Reboot", "Remove", "None"]
UpdateStrategy = Literal["WhenEmpty", "Drain", "Recreate"]
DeletionPolicy = Literal["Delete", "Orphan", "DeleteWhenIdle"]


class PendingTasks(ApiModel):
    """Scales the pool to the number of pending and running tasks."""

    tasks_per_node: Annotated[int, Field(ge=1, le=256)] | None = optional(
        "Number of tasks that a node is expected to run at the same time, used to compute the number of nodes. "
        "Defaults to taskSlotsPerNode."
    )
    lookback: Duration | None = optional(
        "Time for which an ended task still counts, which keeps the pool from oscillating. Defaults to PT5M."
    )


class WorkHours(ApiModel):
    """Scales the pool to the maximum during working hours and to the minimum otherwise."""

    start: Annotated[int, Field(ge=0, le=23)] = Field(description="Hour at which work starts, 0 to 23.")
    end: Annotated[int, Field(ge=1, le=24)] = Field(description="Hour at which work ends, 1 to 24.")
    days: (
        Annotated[list[Day], Field(json_schema_extra={"maxItems": 7, "minItems": 1, "x-kubernetes-list-type": "set"})]
        | None
    ) = optional("Working days. Defaults to Monday to Friday.")
    utc_offset_minutes: Annotated[int, Field(ge=-720, le=840)] | None = optional(
        "Offset of the hours from UTC, in minutes, from -720 to 840. For example, 60 for UTC+01:00. Defaults to "
        "0. Azure Batch does not adjust for daylight saving time."
    )
    rules: ClassVar[tuple[Rule, ...]] = (
        cel("self.end > self.start", "end must be later than start: for hours past midnight, use an autoScaleFormula"),
    )


class AutoScaleProfile(ApiModel):
    """A ready-made autoscale formula. status.autoScaleFormula shows the formula that the operator generates from it."""

    maximum: Annotated[int, Field(ge=1, le=100000)] = Field(description="Maximum number of nodes.")
    minimum: Annotated[int, Field(ge=0, le=100000)] | None = optional("Minimum number of nodes. Defaults to 0.")
    spot_first: bool | None = optional(
        "Whether to use Spot nodes, with dedicated nodes only in place of preempted ones. Defaults to false, "
        "which uses only dedicated nodes."
    )
    evaluation_interval: Duration | None = optional(
        "Interval between evaluations of the formula, from PT5M to PT168H. Defaults to PT5M."
    )
    pending_tasks: PendingTasks | None = optional("Scales with the number of tasks.")
    work_hours: WorkHours | None = optional("Scales with the time of day.")
    rules: ClassVar[tuple[Rule, ...]] = (
        exactly_one_of(("pendingTasks", "workHours"), "give either pendingTasks or workHours"),
        cel(
            "!has(self.minimum) || self.minimum <= self.maximum", "minimum must not be greater than maximum", ".minimum"
        ),
        at_least_five_minutes("evaluationInterval", " and at most PT168H"),
        at_most_a_week("evaluationInterval"),
    )


class NodeRemediation(ApiModel):
    """What the operator does about nodes that do not work. It emits an Event for each action."""

    start_task_failed: NodeAction | None = optional("Action for nodes whose start task failed. Defaults to None.")
    unusable: UnusableAction | None = optional(
        "Action for unusable nodes. Defaults to None. Azure Batch refuses to reboot unusable nodes, so only "
        "Remove helps."
    )
    max_per_hour: Annotated[int, Field(ge=1, le=100)] | None = optional(
        "Maximum number of actions per hour, including reboots for startTaskUpdate. Defaults to 5."
    )
    rules: ClassVar[tuple[Rule, ...]] = (
        cel(
            "!has(self.unusable) || self.unusable != 'Reboot'",
            "Azure Batch refuses to reboot unusable nodes: set unusable to Remove, which replaces them, or to None",
            ".unusable",
        ),
    )


class Prices(ConfigMapKeyRef):
    """A key of a ConfigMap that maps VM sizes to prices per node and hour, as YAML."""

    currency: Annotated[str, StringConstraints(max_length=16)] | None = optional(
        "Currency to show with the estimate. Defaults to USD."
    )
