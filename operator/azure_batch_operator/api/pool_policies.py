"""What the operator does with a pool beyond the REST API: ready-made autoscale formulas, node remediation, cost, guard rails.

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
    """As many nodes as the waiting and the running tasks need."""

    tasks_per_node: Annotated[int, Field(ge=1, le=256)] | None = optional(
        "How many tasks a node is thought to run at once; taskSlotsPerNode if left out."
    )
    lookback: Duration | None = optional(
        "How long a task counts after its end, so that nodes do not come and go; PT5M if left out."
    )


class WorkHours(ApiModel):
    """The maximum in working hours, the minimum else."""

    start: Annotated[int, Field(ge=0, le=23)] = Field(description="First hour of the day, 0 to 23.")
    end: Annotated[int, Field(ge=1, le=24)] = Field(description="Hour at which work ends, 1 to 24.")
    days: (
        Annotated[list[Day], Field(json_schema_extra={"maxItems": 7, "minItems": 1, "x-kubernetes-list-type": "set"})]
        | None
    ) = optional("Working days; Monday to Friday if left out.")
    utc_offset_minutes: Annotated[int, Field(ge=-720, le=840)] | None = optional(
        "Minutes that the hours are ahead of UTC, such as 60; 0 if left out. The service knows no summer time."
    )
    rules: ClassVar[tuple[Rule, ...]] = (
        cel("self.end > self.start", "end must be later than start: for hours past midnight write an autoScaleFormula"),
    )


class AutoScaleProfile(ApiModel):
    """A ready-made formula; status.autoScaleFormula shows what became of it."""

    maximum: Annotated[int, Field(ge=1, le=100000)] = Field(description="Most nodes.")
    minimum: Annotated[int, Field(ge=0, le=100000)] | None = optional("Least nodes; 0 if left out.")
    spot_first: bool | None = optional(
        "Whether nodes are Spot nodes, with dedicated ones only in place of those that Azure took away; "
        "false (all dedicated) if left out."
    )
    evaluation_interval: Duration | None = optional(
        "How often the service evaluates the formula, PT5M to PT168H; PT5M if left out."
    )
    pending_tasks: PendingTasks | None = optional("Follow the tasks.")
    work_hours: WorkHours | None = optional("Follow the clock.")
    rules: ClassVar[tuple[Rule, ...]] = (
        exactly_one_of(("pendingTasks", "workHours"), "give either pendingTasks or workHours"),
        cel("!has(self.minimum) || self.minimum <= self.maximum", "minimum must not be more than maximum", ".minimum"),
        at_least_five_minutes("evaluationInterval", " and at most PT168H"),
        at_most_a_week("evaluationInterval"),
    )


class NodeRemediation(ApiModel):
    """What is done about nodes that do not work; each action is told in an Event."""

    start_task_failed: NodeAction | None = optional("For nodes whose start task has failed; None if left out.")
    unusable: UnusableAction | None = optional(
        "For nodes that are unusable; None if left out. Azure Batch restarts none of them, so only Remove helps."
    )
    max_per_hour: Annotated[int, Field(ge=1, le=100)] | None = optional(
        "Most actions of an hour, start tasks that are renewed included; 5 if left out."
    )
    rules: ClassVar[tuple[Rule, ...]] = (
        cel(
            "!has(self.unusable) || self.unusable != 'Reboot'",
            "Azure Batch refuses to restart nodes that are unusable: set unusable to Remove, which replaces them, or to None",
            ".unusable",
        ),
    )


class Prices(ConfigMapKeyRef):
    """A key of a ConfigMap with prices: YAML, VM size to price of a node and hour."""

    currency: Annotated[str, StringConstraints(max_length=16)] | None = optional(
        "Put behind the estimate; USD if left out."
    )
