"""Generated tasks of a BatchJob: from ConfigMaps (tasksFrom) and from a template (taskFactory).

Names and placeholders of the factory are those of the retired Azure Batch CLI extension.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints

from azure_batch_operator.api.base import (
    ApiModel,
    ConfigMapKeyRef,
    Rule,
    cel,
    exactly_one_of,
    optional,
    schema,
)
from azure_batch_operator.api.task_body import FactoryDependencies, MergeDependencies, RowDependencies, TaskTemplate

MAX_TASKS = 10_000_000
"""Maximum number of tasks that one job may generate."""
MAX_INLINE = 10_000

Scalar = Annotated[str, StringConstraints(max_length=1024)] | int
_SCALARS = {"x-kubernetes-int-or-string": True, "maxLength": 1024}


class ParameterSet(ApiModel):
    """One dimension of a sweep: a range of integers, or a list of values."""

    start: int | None = optional("First number of the range.")
    end: int | None = optional("Last number of the range, inclusive.")
    step: int | None = optional("Step between two numbers. May be negative. Defaults to 1.")
    values: list[Scalar] | None = optional("Values of the dimension, in order.", maxItems=MAX_INLINE, items=_SCALARS)
    rules: ClassVar[tuple[Rule, ...]] = (
        cel(
            "has(self.values) != (has(self.start) && has(self.end))", "give either start and end of a range, or values"
        ),
        cel(
            "!has(self.values) || (!has(self.start) && !has(self.end) && !has(self.step))",
            "values cannot be combined with start, end and step",
        ),
        cel("!has(self.step) || self.step != 0", "step must not be 0", ".step"),
        cel(
            "!has(self.start) || !has(self.end) || "
            "(has(self.step) && self.step < 0 ? self.start >= self.end : self.start <= self.end)",
            "end cannot be reached from start: swap start and end, or correct step, which must be negative to count "
            "down",
            ".end",
        ),
        cel("!has(self.values) || self.values.size() > 0", "values must not be empty", ".values"),
    )

    def size(self) -> int:
        """How many values the dimension has."""
        if self.values is not None:
            return len(self.values)
        start, end, step = self._bounds()
        # Not the length of the range: that must fit into a machine's word, and what users write need not.
        return max(0, (end - start) // step + 1)

    def numbers(self) -> range:
        """The range, `end` included; only without `values`."""
        start, end, step = self._bounds()
        return range(start, end + (1 if step > 0 else -1), step)

    def _bounds(self) -> tuple[int, int, int]:
        return self.start or 0, self.end or 0, self.step or 1


class ParametricSweep(ApiModel):
    """The Cartesian product of the dimensions. The last dimension varies fastest."""

    parameter_sets: list[ParameterSet] = Field(
        description="Dimensions of the sweep, at most 8. The template refers to their values as {0}, {1} and so on.",
        json_schema_extra=schema(minItems=1, maxItems=8),
    )


class ItemSource(ApiModel):
    """Items from a ConfigMap: lines, or rows of a CSV table."""

    config_map_key_ref: ConfigMapKeyRef = Field(description="Key of a ConfigMap in the same namespace.")
    format: Annotated[str, Field(json_schema_extra={"enum": ["lines", "csv"]})] | None = optional(
        "Format of the data. lines: one item per line; empty lines are ignored. csv: one item per row; the first "
        "row names the columns. Defaults to lines."
    )


class TaskPerItem(ApiModel):
    """One task per item. {0} stands for the item; with CSV, {0}, {1}, … for its columns, and {name} for a column by name."""

    items: list[Scalar] | None = optional("Items, each of which becomes a task.", maxItems=MAX_INLINE, items=_SCALARS)
    items_from: ItemSource | None = optional(
        "Source of the items. While the job is open, changes to the ConfigMap are applied within minutes."
    )
    rules: ClassVar[tuple[Rule, ...]] = (
        exactly_one_of(("items", "itemsFrom"), "give either items or itemsFrom"),
        cel("!has(self.items) || self.items.size() > 0", "items must not be empty", ".items"),
    )


class Repeat(ApiModel):
    """The same task many times. {0} is replaced by the number of the task, starting at 0."""

    count: Annotated[int, Field(ge=1, le=MAX_TASKS)] = Field(description="Number of tasks.")


class RepeatTask(TaskTemplate):
    """Template for the tasks of a factory."""

    depends_on: FactoryDependencies | None = optional(
        "Tasks that must succeed before each of these tasks starts. usesTaskDependencies of the job is set "
        "automatically."
    )


class MergeTask(TaskTemplate):
    """Template for the task `merge`."""

    depends_on: MergeDependencies | None = optional(
        "Tasks that must succeed before this task starts. Defaults to all other tasks of the job."
    )


_COMMAND, _SETS = "self.repeatTask.commandLine", "self.parametricSweep.parameterSets.size()"


def _beyond(size: int) -> str:
    """CEL: whether the template of a sweep with so many sets uses the placeholder after the last one, in plain braces.

    Written out for each size, since CEL puts no bound on the length of a number as a text, and then on the cost of the rule.
    """
    return (
        f"({_SETS} == {size} && {_COMMAND}.contains('{{{size}}}') && !{_COMMAND}.contains('{{{{{size}}}') && "
        f"!{_COMMAND}.contains('${{{size}}}'))"
    )


def _beyond_says(size: int) -> str:
    return (
        f"{{{size}}} stands for no value: the number of parameterSets is {size}, and they are numbered from 0. Use "
        f"{{{size - 1}}} for the last one, or add a set"
    )


_SIZES = (1, 2, 3)


class TaskFactory(ApiModel):
    """Generates tasks from a template. Task IDs are numbers, starting at 0 and padded with zeros to equal width."""

    parametric_sweep: ParametricSweep | None = optional("One task per combination of parameter values.")
    task_per_item: TaskPerItem | None = optional("One task per item of a list.")
    repeat: Repeat | None = optional("The same task many times.")
    id_width: Annotated[int, Field(ge=1, le=8)] | None = optional(
        "Minimum number of digits of a task ID. Set it if more tasks may be added later, because the width of "
        "existing IDs cannot change. Defaults to the width of the largest number."
    )
    repeat_task: RepeatTask = Field(
        description="Template for the tasks. {0}, {1} and so on are replaced by the values; {0:3} pads a number with zeros "
        "to 3 digits; {{ and }} stand for braces."
    )
    merge_task: MergeTask | None = optional(
        "Additional task, with ID merge, that runs after all other tasks have succeeded, or after the tasks in "
        "its dependsOn."
    )
    rules: ClassVar[tuple[Rule, ...]] = (
        exactly_one_of(
            ("parametricSweep", "taskPerItem", "repeat"),
            "a taskFactory must contain exactly one of parametricSweep, taskPerItem and repeat",
        ),
        # The usual slip is to count from 1. What else is wrong with placeholders the condition says (`reconcile.placeholders`).
        cel(
            f"!has(self.parametricSweep) || !({' || '.join(_beyond(size) for size in _SIZES)})",
            "repeatTask.commandLine uses a placeholder beyond the last one: parameterSets are numbered from 0",
            ".repeatTask.commandLine",
            says=f"{_SETS} == 1 ? '{_beyond_says(1)}' : {_SETS} == 2 ? '{_beyond_says(2)}' : '{_beyond_says(3)}'",
        ),
    )


class RowTemplate(TaskTemplate):
    """Template for one task per row of a CSV table. {name} stands for the column of that name, {0}, {1}, … for columns in order."""

    id: Annotated[str, StringConstraints(min_length=1, max_length=256)] = Field(
        description="ID of the task, with placeholders, such as frame-{frame:4}. It must be unique for each row."
    )
    depends_on: RowDependencies | None = optional("Tasks that must succeed before this task starts.")


class TaskSource(ApiModel):
    """Tasks from a ConfigMap: a JSON or YAML list of tasks or, with a template, a CSV table whose first row names the columns."""

    config_map_key_ref: ConfigMapKeyRef = Field(
        description="Key of a ConfigMap in the same namespace. While the job is open, changes to the ConfigMap are applied "
        "within minutes."
    )
    template: RowTemplate | None = optional("Template that turns each row into a task. The key must contain CSV.")
