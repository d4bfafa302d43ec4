"""Tasks that a BatchJob does not write out: from ConfigMaps (tasksFrom) and from a template (taskFactory).

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
"""The most tasks that one job may make."""
MAX_INLINE = 10_000

Scalar = Annotated[str, StringConstraints(max_length=1024)] | int
_SCALARS = {"x-kubernetes-int-or-string": True, "maxLength": 1024}


class ParameterSet(ApiModel):
    """One dimension of a sweep: a range of integers, or a list of values."""

    start: int | None = optional("First number of a range.")
    end: int | None = optional("Last number of a range, included.")
    step: int | None = optional("Distance between two numbers, may be negative; 1 if left out.")
    values: list[Scalar] | None = optional(
        "Values in the order in which they are taken.", maxItems=MAX_INLINE, items=_SCALARS
    )
    rules: ClassVar[tuple[Rule, ...]] = (
        cel("has(self.values) != (has(self.start) && has(self.end))", "give start and end of a range, or values"),
        cel("!has(self.values) || (!has(self.start) && !has(self.end) && !has(self.step))", "values stand alone"),
        cel("!has(self.step) || self.step != 0", "step must not be 0", ".step"),
        cel(
            "!has(self.start) || !has(self.end) || "
            "(has(self.step) && self.step < 0 ? self.start >= self.end : self.start <= self.end)",
            "end cannot be reached from start: swap the two, or correct step, which must be negative to count down",
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
    """The cross product of the dimensions; the last one varies fastest."""

    parameter_sets: list[ParameterSet] = Field(
        description="The dimensions; {0}, {1}, … stand for their values.",
        json_schema_extra=schema(minItems=1, maxItems=8),
    )


class ItemSource(ApiModel):
    """Items in a ConfigMap: its lines, or the rows of a CSV table."""

    config_map_key_ref: ConfigMapKeyRef = Field(description="Key of a ConfigMap of this namespace.")
    format: Annotated[str, Field(json_schema_extra={"enum": ["lines", "csv"]})] | None = optional(
        "lines: one item a line, empty ones left out. csv: the first row names the columns. lines if left out."
    )


class TaskPerItem(ApiModel):
    """One task per item: {0} stands for the item, with CSV {0}, {1}, … for its columns and {name} for a column by name."""

    items: list[Scalar] | None = optional("The items.", maxItems=MAX_INLINE, items=_SCALARS)
    items_from: ItemSource | None = optional(
        "Takes the items from a ConfigMap; changes are taken in within minutes while the job is open."
    )
    rules: ClassVar[tuple[Rule, ...]] = (
        exactly_one_of(("items", "itemsFrom"), "give items or itemsFrom"),
        cel("!has(self.items) || self.items.size() > 0", "items must not be empty", ".items"),
    )


class Repeat(ApiModel):
    """The same task many times: {0} stands for the running number, from 0."""

    count: Annotated[int, Field(ge=1, le=MAX_TASKS)] = Field(description="How many tasks.")


class RepeatTask(TaskTemplate):
    """The template of the tasks of a factory."""

    depends_on: FactoryDependencies | None = optional(
        "Tasks that must have ended well before each of these tasks starts; usesTaskDependencies of the job is set by itself."
    )


class MergeTask(TaskTemplate):
    """The template of the task `merge`."""

    depends_on: MergeDependencies | None = optional(
        "Tasks that must have ended well before this one starts; all other tasks of the job if left out."
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
    """Makes tasks from a template. Ids are running numbers from 0, padded with zeros to the width of the last one."""

    parametric_sweep: ParametricSweep | None = optional("One task per combination of parameter values.")
    task_per_item: TaskPerItem | None = optional("One task per item of a list.")
    repeat: Repeat | None = optional("The same task many times.")
    id_width: Annotated[int, Field(ge=1, le=8)] | None = optional(
        "Least number of digits of an id; give it where more tasks may be added later, since ids cannot change. The width of the "
        "largest number if left out."
    )
    repeat_task: RepeatTask = Field(
        description="The template: {0}, {1}, … become the values, {0:3} padded with zeros to 3 digits, {{ and }} braces."
    )
    merge_task: MergeTask | None = optional(
        "One task more, which runs when all others have ended well, or those of its dependsOn; its id is merge."
    )
    rules: ClassVar[tuple[Rule, ...]] = (
        exactly_one_of(
            ("parametricSweep", "taskPerItem", "repeat"),
            "the values of a taskFactory have one source: give exactly one of parametricSweep, taskPerItem and repeat",
        ),
        # The usual slip is to count from 1. What else is wrong with placeholders the condition says (`reconcile.placeholders`).
        cel(
            f"!has(self.parametricSweep) || !({' || '.join(_beyond(size) for size in _SIZES)})",
            "repeatTask.commandLine uses the placeholder after the last one: parameterSets are numbered from 0",
            ".repeatTask.commandLine",
            says=f"{_SETS} == 1 ? '{_beyond_says(1)}' : {_SETS} == 2 ? '{_beyond_says(2)}' : '{_beyond_says(3)}'",
        ),
    )


class RowTemplate(TaskTemplate):
    """A task per row of a CSV table: {name} stands for the column of that name, {0}, {1}, … for columns by position."""

    id: Annotated[str, StringConstraints(min_length=1, max_length=256)] = Field(
        description="Id of the task, with placeholders, for example frame-{frame:4}; must differ from row to row."
    )
    depends_on: RowDependencies | None = optional("Tasks that must have ended well before this one starts.")


class TaskSource(ApiModel):
    """Tasks in a ConfigMap: a JSON or YAML list of tasks, or with a template a CSV table whose first row names the columns."""

    config_map_key_ref: ConfigMapKeyRef = Field(
        description="Key of a ConfigMap of this namespace; changes are taken in within minutes while the job is open."
    )
    template: RowTemplate | None = optional("Makes a task of each row; the key then holds CSV.")
