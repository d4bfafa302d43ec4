"""taskFactory: many tasks from a few lines, with the names and placeholders of the retired Azure Batch CLI extension."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints

from azure_batch_operator.api.base import ApiModel, Rule, cel, schema
from azure_batch_operator.api.rest import TaskTemplate

MAX_TASKS = 10_000_000
"""The most tasks that one job may make."""


class ParameterSet(ApiModel):
    """One dimension of a sweep: a range of integers, or a list of values."""

    start: int | None = Field(default=None, description="First number of a range.")
    end: int | None = Field(default=None, description="Last number of a range, included.")
    step: int | None = Field(default=None, description="Distance between two numbers, may be negative; 1 if left out.")
    values: list[Annotated[str, StringConstraints(max_length=1024)] | int] | None = Field(
        default=None,
        description="Values in the order in which they are taken.",
        json_schema_extra=schema(maxItems=10000, items={"x-kubernetes-int-or-string": True, "maxLength": 1024}),
    )
    rules: ClassVar[tuple[Rule, ...]] = (
        cel("has(self.values) != (has(self.start) && has(self.end))", "give start and end of a range, or values"),
        cel("!has(self.values) || (!has(self.start) && !has(self.end) && !has(self.step))", "values stand alone"),
        cel("!has(self.step) || self.step != 0", "step must not be 0", ".step"),
        cel(
            "!has(self.start) || !has(self.end) || "
            "(has(self.step) && self.step < 0 ? self.start >= self.end : self.start <= self.end)",
            "end cannot be reached from start by step",
            ".end",
        ),
        cel("!has(self.values) || self.values.size() > 0", "values must not be empty", ".values"),
    )

    def size(self) -> int:
        """How many values the dimension has."""
        return len(self.numbers()) if self.values is None else len(self.values)

    def numbers(self) -> range:
        """The range, `end` included; only without `values`."""
        start, end, step = self.start or 0, self.end or 0, self.step or 1
        return range(start, end + (1 if step > 0 else -1), step)


class ParametricSweep(ApiModel):
    """The cross product of the dimensions; the last one varies fastest."""

    parameter_sets: list[ParameterSet] = Field(
        description="The dimensions; {0}, {1}, … stand for their values.",
        json_schema_extra=schema(minItems=1, maxItems=8),
    )


class TaskFactory(ApiModel):
    """Makes tasks from a template."""

    parametric_sweep: ParametricSweep = Field(description="One task per combination of parameter values.")
    repeat_task: TaskTemplate = Field(
        description="The template: {0}, {1}, … become the values, {0:3} padded with zeros to 3 digits, {{ and }} braces."
    )
    merge_task: TaskTemplate | None = Field(
        default=None, description="One task more that runs when all others have ended well; its id is merge."
    )
